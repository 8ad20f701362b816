//! Single instructions: ports, model-specific and control registers, CPUID; mostly the `x86_64` crate's, under the
//! names and with the types that the kernel uses.

use core::arch::asm;

use x86_64::instructions::{hlt, interrupts, port::Port, tlb};
use x86_64::registers::control::{Cr0, Cr2, Cr3, Cr4};
use x86_64::registers::model_specific::Msr;
use x86_64::structures::paging::PhysFrame;
use x86_64::{PhysAddr, VirtAddr};

macro_rules! ports {
    ($($(#[$doc:meta])* $read:ident, $write:ident: $t:ty;)*) => { $(
        $(#[$doc])*
        pub(crate) fn $read(port: u16) -> $t {
            // SAFETY: port I/O does not touch memory; callers name ports of devices that they drive.
            unsafe { Port::<$t>::new(port).read() }
        }

        /// Writes what its twin reads.
        pub(crate) fn $write(port: u16, value: $t) {
            // SAFETY: as for reading.
            unsafe { Port::<$t>::new(port).write(value) }
        }
    )* };
}

ports! {
    /// Reads a byte from a port.
    inb, outb: u8;
    /// Reads 16 bits from a port.
    inw, outw: u16;
    /// Reads 32 bits from a port.
    inl, outl: u32;
}

/// Reads a model-specific register.
pub(crate) fn rdmsr(msr: u32) -> u64 {
    // SAFETY: callers name registers that the processor has; reading one changes nothing.
    unsafe { Msr::new(msr).read() }
}

/// Writes a model-specific register.
pub(crate) fn wrmsr(msr: u32, value: u64) {
    // SAFETY: callers in `arch` write values that keep the kernel's own mappings and entry points valid.
    unsafe { Msr::new(msr).write(value) }
}

/// Reads the time-stamp counter.
#[inline(always)]
pub(crate) fn rdtsc() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: reading the counter changes nothing.
    unsafe { asm!("rdtsc", out("rax") low, out("rdx") high, options(nomem, nostack, preserves_flags)) };
    high << 32 | low
}

/// Runs CPUID; returns EAX, EBX, ECX, EDX.
pub(crate) fn cpuid(leaf: u32, sub: u32) -> [u32; 4] {
    let r = core::arch::x86_64::__cpuid_count(leaf, sub);
    [r.eax, r.ebx, r.ecx, r.edx]
}

/// Returns the address of the last page fault.
#[inline]
pub(crate) fn cr2() -> u64 {
    Cr2::read_raw()
}

/// Returns the physical address of the root page table.
pub(crate) fn cr3() -> u64 {
    let (root, flags) = Cr3::read_raw();
    root.start_address().as_u64() | u64::from(flags)
}

/// Loads the root page table, which flushes every translation that is not global.
#[inline]
pub(crate) fn set_cr3(value: u64) {
    let root = PhysFrame::containing_address(PhysAddr::new_truncate(value));
    let flags = (value & 0xfff) as u16;
    // SAFETY: callers pass a root whose upper half is the kernel's.
    unsafe { Cr3::write_raw(root, flags) }
}

/// Reads CR0.
pub(crate) fn cr0() -> u64 {
    Cr0::read_raw()
}

/// Writes CR0.
pub(crate) fn set_cr0(value: u64) {
    // SAFETY: callers keep paging and protection on.
    unsafe { Cr0::write_raw(value) }
}

/// Reads CR4.
pub(crate) fn cr4() -> u64 {
    Cr4::read_raw()
}

/// Writes CR4.
pub(crate) fn set_cr4(value: u64) {
    // SAFETY: callers keep PAE on and set only bits that CPUID announces.
    unsafe { Cr4::write_raw(value) }
}

/// Flushes the translation of one page.
#[inline]
pub(crate) fn invlpg(addr: u64) {
    tlb::flush(VirtAddr::new_truncate(addr));
}

/// Stops this processor for good.
pub(crate) fn halt_forever() -> ! {
    loop {
        interrupts::disable();
        hlt();
    }
}
