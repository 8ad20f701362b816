// Builds the vDSO's image. Included by path (`#[path = "../libc-shim/build_vdso.rs"] mod build_vdso;`) by the
// kernel's build script, which embeds the file, and by the tests; uses the standard library alone.
//
// Two calls: the compiler makes one object file (`abi`'s `vdso.rs` is included by path, so that no crate must be
// built first), then the linker that comes with the compiler makes the shared object. Linking by the compiler
// (`--crate-type cdylib`) is not possible: it passes a version script of its own, which cannot be combined with
// the one that gives the symbols their version.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the image in directory `out` and returns its path.
///
/// # Panics
/// With the tool's own words if the compiler or the linker is missing or fails.
pub(crate) fn build(out: &Path) -> PathBuf {
    let source = source_directory();
    let object = out.join("vdso.o");
    let image = out.join("vdso.so");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));

    let mut compile = Command::new(&rustc);
    compile
        .args(["--edition", "2024", "--crate-name", "vdso", "--crate-type", "lib"])
        .args(["--target", "x86_64-unknown-none", "-C", "opt-level=3", "-C", "panic=abort"])
        .args(["-C", "relocation-model=pic", "-C", "code-model=small", "-C", "codegen-units=1"])
        // Profilers and debuggers unwind through the vDSO.
        .args(["-C", "force-unwind-tables=yes", "-C", "debuginfo=0", "-C", "debug-assertions=off"])
        // The host's absolute paths do not belong into the image.
        .arg("--remap-path-prefix")
        .arg(prefixed(&source, "=libc-shim"))
        // A directory and not a file: the compiler's intermediate files go there too then.
        .args(["--emit", "obj", "--out-dir"])
        .arg(out)
        .arg(source.join("src/lib.rs"));
    run(compile);

    let mut link = Command::new(linker(&rustc));
    link.args(["-flavor", "gnu", "-shared", "-Bsymbolic", "-soname", "linux-vdso.so.1", "--hash-style=both"])
        .args(["--eh-frame-hdr", "--build-id=sha1", "--strip-all", "--no-undefined", "--fatal-warnings"])
        .args([
            "-z",
            "rodynamic",
            "-z",
            "text",
            "-z",
            "norelro",
            "-z",
            "max-page-size=4096",
            "-z",
            "nognustack",
        ])
        .arg("-T")
        .arg(source.join("vdso.lds"))
        .arg("--version-script")
        .arg(source.join("vdso.ver"))
        .arg("-o")
        .arg(&image)
        .arg(&object);
    run(link);
    image
}

/// Lists the files that the image is made of, for `cargo::rerun-if-changed`.
pub(crate) fn inputs() -> Vec<PathBuf> {
    let source = source_directory();
    let files = ["src", "vdso.lds", "vdso.ver", "build_vdso.rs", "../syscall/abi/src/vdso.rs"];
    files.iter().map(|file| source.join(file)).collect()
}

/// Finds `libc-shim` beside or above the including package.
fn source_directory() -> PathBuf {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("run by cargo"));
    let found =
        package.ancestors().map(|dir| dir.join("libc-shim")).find(|dir| dir.join("vdso.lds").exists());
    found.unwrap_or_else(|| panic!("no libc-shim/vdso.lds in any directory above {}", package.display()))
}

fn prefixed(path: &Path, rest: &str) -> OsString {
    let mut text = path.as_os_str().to_owned();
    text.push(rest);
    text
}

/// Returns the linker of the compiler's own distribution, or else the one on the search path.
fn linker(rustc: &OsString) -> PathBuf {
    let ask = |args: &[&str]| {
        let answer = Command::new(rustc).args(args).output();
        let answer = answer.unwrap_or_else(|error| panic!("{} does not run: {error}", rustc.display()));
        String::from_utf8_lossy(&answer.stdout).into_owned()
    };
    let root = PathBuf::from(ask(&["--print", "sysroot"]).trim());
    let version = ask(&["-vV"]);
    let host =
        version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("x86_64-unknown-linux-gnu");
    let own = root.join("lib/rustlib").join(host).join("bin/rust-lld");
    if own.exists() { own } else { PathBuf::from("rust-lld") }
}

fn run(mut command: Command) {
    // The outer cargo's settings are for the kernel.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not run: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{text}");
}
