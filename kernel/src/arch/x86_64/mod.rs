//! x86_64.

pub(crate) mod copy;
pub(crate) mod cpu;
pub(crate) mod pvh;
pub(crate) mod serial;
pub(crate) mod tlb;

use core::arch::{asm, global_asm};

use crate::cpu::Cpu;
use crate::mm::layout;

global_asm!(include_str!("boot.S"));

/// The page tables that the assembler filled in.
pub(crate) struct BootTables {
    /// The root, which stays the kernel's own.
    pub(crate) root: *const u64,
    /// Directory of the first GiB.
    pub(crate) first_gib: *const u64,
    /// Directory of the kernel's image.
    pub(crate) image: *const u64,
}

/// Returns the boot tables.
pub(crate) fn boot_tables() -> BootTables {
    unsafe extern "C" {
        static boot_pml4: u64;
        static boot_pd: u64;
        static boot_pd_high: u64;
    }
    BootTables { root: &raw const boot_pml4, first_gib: &raw const boot_pd, image: &raw const boot_pd_high }
}

/// Says whether the processor maps pages of 1 GiB.
pub(crate) fn has_gib_pages() -> bool {
    cpu::cpuid(0x8000_0000, 0)[0] >= 0x8000_0001 && cpu::cpuid(0x8000_0001, 0)[3] & 1 << 26 != 0
}

/// Points this processor's GS base to its state.
pub(crate) fn set_local_base(base: u64) {
    const GS_BASE: u32 = 0xc000_0101;
    cpu::wrmsr(GS_BASE, base);
}

/// Returns the address of this processor's state.
#[inline(always)]
pub(crate) fn local_base() -> *const Cpu {
    let base;
    // SAFETY: the first word of a `Cpu` is its own address, and the GS base points to one.
    unsafe { asm!("mov {}, gs:[0]", out(reg) base, options(pure, readonly, nostack, preserves_flags)) };
    base
}

/// Returns the current frame pointer.
#[inline(always)]
pub(crate) fn frame_pointer() -> u64 {
    let value;
    // SAFETY: reading a register changes nothing.
    unsafe { asm!("mov {}, rbp", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Follows frame pointers and names each return address.
pub(crate) fn backtrace(mut frame: u64, mut each: impl FnMut(usize, u64)) {
    for depth in 0..32 {
        if frame < layout::DIRECT_MAP || !frame.is_multiple_of(8) {
            break;
        }
        let at = core::ptr::with_exposed_provenance::<[u64; 2]>(frame as usize);
        // SAFETY: frame pointers of kernel code lead from frame to frame of one kernel stack, and end at 0; a broken
        // chain faults, which ends the panic as well as anything could.
        let [next, address] = unsafe { at.read() };
        if address < layout::IMAGE {
            break;
        }
        each(depth, address);
        if next <= frame {
            break;
        }
        frame = next;
    }
}

/// Ends a machine whose kernel panicked: by the ways of the usual hypervisors, then by a triple fault.
pub(crate) fn power_off_after_panic() -> ! {
    // An empty IDT turns the next exception into a triple fault, at which hypervisors reset or end the machine.
    let empty: [u64; 2] = [0; 2];
    // SAFETY: nothing is to run any more.
    unsafe { asm!("lidt [{}]", "int3", in(reg) &raw const empty, options(nostack)) };
    cpu::halt_forever()
}
