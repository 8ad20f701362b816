//! Hull's kernel: the machine under the seams of `hal`.
//!
//! The modules named here with `allow(unsafe_code)` are all that may hold unsafe code.
#![no_std]
#![no_main]

extern crate alloc;

#[allow(unsafe_code, reason = "instructions, assembly, descriptor tables")]
mod arch;
mod boot;
#[allow(dead_code, reason = "started once interrupts and threads are there")]
mod drivers;
#[allow(unsafe_code, reason = "state of each processor, reached through the GS base")]
mod cpu;
mod log;
#[allow(unsafe_code, reason = "page tables, frames, the heap")]
mod mm;
mod panic;

use crate::log::log;

/// Called by the entry code with the address of the PVH loader's structure.
#[allow(unsafe_code, reason = "the entry code calls it by this name")]
#[unsafe(no_mangle)]
extern "C" fn kernel_main(start_info: u32) -> ! {
    cpu::init_boot();
    let boot = arch::pvh::read(start_info);
    mm::init(&boot);
    let config = abi::boot::Config::parse(boot.command_line());
    log::set_level(3);
    log!(Info, "memory: {:?}", hal::Frame::usage());
    log!(Info, "config: {config:?}");
    panic!("nothing more to do");
}
