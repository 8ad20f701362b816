//! The end of a kernel that found itself wrong: what happened, where, and off.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch;
use crate::arch::serial::EarlySerial;

static PANICKING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    begin();
    let _ = writeln!(EarlySerial, "kernel panic: {info}");
    finish(arch::frame_pointer())
}

/// Marks the start of a panic; a processor that panics while one is under way stops here.
pub(crate) fn begin() {
    if PANICKING.swap(true, Ordering::SeqCst) {
        arch::cpu::halt_forever();
    }
}

/// Prints the call chain from a frame pointer up, and switches the machine off.
pub(crate) fn finish(frame_pointer: u64) -> ! {
    arch::backtrace(frame_pointer, |depth, address| {
        let _ = writeln!(EarlySerial, "  #{depth} {address:#018x}");
    });
    arch::power_off_after_panic()
}
