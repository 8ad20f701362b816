//! Single instructions: ports, model-specific and control registers, CPUID.

use core::arch::asm;

/// Writes a byte to a port.
pub(crate) fn outb(port: u16, value: u8) {
    // SAFETY: port I/O does not touch memory; callers name ports of devices that they drive.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) };
}

/// Reads a byte from a port.
pub(crate) fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: as in `outb`.
    unsafe { asm!("in al, dx", out("al") value, in("dx") port, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes 16 bits to a port.
pub(crate) fn outw(port: u16, value: u16) {
    // SAFETY: as in `outb`.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags)) };
}

/// Reads 16 bits from a port.
pub(crate) fn inw(port: u16) -> u16 {
    let value;
    // SAFETY: as in `outb`.
    unsafe { asm!("in ax, dx", out("ax") value, in("dx") port, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes 32 bits to a port.
pub(crate) fn outl(port: u16, value: u32) {
    // SAFETY: as in `outb`.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) };
}

/// Reads 32 bits from a port.
pub(crate) fn inl(port: u16) -> u32 {
    let value;
    // SAFETY: as in `outb`.
    unsafe { asm!("in eax, dx", out("eax") value, in("dx") port, options(nomem, nostack, preserves_flags)) };
    value
}

/// Reads a model-specific register.
pub(crate) fn rdmsr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: callers name registers that the processor has; reading one changes nothing.
    unsafe {
        asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    };
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
pub(crate) fn wrmsr(msr: u32, value: u64) {
    // SAFETY: callers in `arch` write values that keep the kernel's own mappings and entry points valid.
    unsafe {
        asm!(
            "wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags)
        );
    };
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
pub(crate) fn cr2() -> u64 {
    let value;
    // SAFETY: reading a control register changes nothing.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Returns the physical address of the root page table.
pub(crate) fn cr3() -> u64 {
    let value;
    // SAFETY: reading a control register changes nothing.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Loads the root page table, which flushes every translation that is not global.
pub(crate) fn set_cr3(value: u64) {
    // SAFETY: callers pass a root whose upper half is the kernel's.
    unsafe { asm!("mov cr3, {}", in(reg) value, options(nostack, preserves_flags)) };
}

/// Reads CR0.
pub(crate) fn cr0() -> u64 {
    let value;
    // SAFETY: reading a control register changes nothing.
    unsafe { asm!("mov {}, cr0", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes CR0.
pub(crate) fn set_cr0(value: u64) {
    // SAFETY: callers keep paging and protection on.
    unsafe { asm!("mov cr0, {}", in(reg) value, options(nostack, preserves_flags)) };
}

/// Reads CR4.
pub(crate) fn cr4() -> u64 {
    let value;
    // SAFETY: reading a control register changes nothing.
    unsafe { asm!("mov {}, cr4", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes CR4.
pub(crate) fn set_cr4(value: u64) {
    // SAFETY: callers keep PAE on and set only bits that CPUID announces.
    unsafe { asm!("mov cr4, {}", in(reg) value, options(nostack, preserves_flags)) };
}

/// Flushes the translation of one page.
pub(crate) fn invlpg(addr: u64) {
    // SAFETY: dropping a cached translation only costs a walk.
    unsafe { asm!("invlpg [{}]", in(reg) addr, options(nostack, preserves_flags)) };
}

/// Stops this processor for good.
pub(crate) fn halt_forever() -> ! {
    loop {
        // SAFETY: interrupts stay off, so nothing runs on this processor again.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
