//! Tells the linker how the kernel lies in memory, and builds the vDSO, which the kernel embeds.

#[path = "../libc-shim/build_vdso.rs"]
mod build_vdso;

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rustc-link-arg-bins=-T{here}/kernel.ld");
    println!("cargo:rustc-link-arg-bins=-no-pie");
    println!("cargo:rustc-link-arg-bins=--gc-sections");
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    build_vdso::build(std::path::Path::new(&out));
    for input in build_vdso::inputs() {
        println!("cargo:rerun-if-changed={}", input.display());
    }
    println!("cargo:rerun-if-changed=kernel.ld");
    println!("cargo:rerun-if-changed=build.rs");
}
