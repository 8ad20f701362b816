//! What the processor can do, and switching it on.

use core::sync::atomic::{AtomicU64, Ordering};

use super::cpu::{self, cpuid};
use crate::mm::layout;

bitflags::bitflags! {
    /// Features that the kernel uses.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Features: u64 {
        const XSAVE = 1;
        const XSAVEOPT = 1 << 1;
        const FSGSBASE = 1 << 2;
        const SMEP = 1 << 3;
        const SMAP = 1 << 4;
        const UMIP = 1 << 5;
        const X2APIC = 1 << 6;
        const TSC_DEADLINE = 1 << 7;
        const RDRAND = 1 << 8;
        const RDSEED = 1 << 9;
        const RDTSCP = 1 << 10;
        const RDPID = 1 << 11;
        const HYPERVISOR = 1 << 12;
        const INVARIANT_TSC = 1 << 13;
    }
}

static FEATURES: AtomicU64 = AtomicU64::new(0);

/// Says whether the processor has a feature.
#[inline(always)]
pub(crate) fn has(feature: Features) -> bool {
    FEATURES.load(Ordering::Relaxed) & feature.bits() != 0
}

/// Returns one CPUID leaf, or zeros where the processor does not have it.
pub(crate) fn leaf(number: u32, sub: u32) -> [u32; 4] {
    if cpuid(number & 0x8000_0000, 0)[0] >= number { cpuid(number, sub) } else { [0; 4] }
}

/// Finds out, once.
pub(crate) fn detect() {
    let [_, _, ecx1, _] = leaf(1, 0);
    let [_, ebx7, ecx7, _] = leaf(7, 0);
    let xsave = leaf(0xd, 1);
    let extended = leaf(0x8000_0001, 0);
    let power = leaf(0x8000_0007, 0);
    let mut found = Features::empty();
    found.set(Features::XSAVE, ecx1 & 1 << 26 != 0);
    found.set(Features::XSAVEOPT, ecx1 & 1 << 26 != 0 && xsave[0] & 1 != 0);
    found.set(Features::X2APIC, ecx1 & 1 << 21 != 0);
    found.set(Features::TSC_DEADLINE, ecx1 & 1 << 24 != 0);
    found.set(Features::RDRAND, ecx1 & 1 << 30 != 0);
    found.set(Features::HYPERVISOR, ecx1 & 1 << 31 != 0);
    found.set(Features::FSGSBASE, ebx7 & 1 != 0);
    found.set(Features::SMEP, ebx7 & 1 << 7 != 0);
    found.set(Features::RDSEED, ebx7 & 1 << 18 != 0);
    found.set(Features::SMAP, ebx7 & 1 << 20 != 0);
    found.set(Features::UMIP, ecx7 & 1 << 2 != 0);
    found.set(Features::RDPID, ecx7 & 1 << 22 != 0);
    found.set(Features::RDTSCP, extended[3] & 1 << 27 != 0);
    found.set(Features::INVARIANT_TSC, power[3] & 1 << 8 != 0);
    FEATURES.store(found.bits(), Ordering::Relaxed);
}

/// Switches the features on, on this processor.
pub(crate) fn enable() {
    const CR0_MP: u64 = 1 << 1;
    const CR0_EM: u64 = 1 << 2;
    const CR0_TS: u64 = 1 << 3;
    const CR0_NE: u64 = 1 << 5;
    const CR0_WP: u64 = 1 << 16;
    const CR0_AM: u64 = 1 << 18;
    const CR4_PGE: u64 = 1 << 7;
    const CR4_OSFXSR: u64 = 1 << 9;
    const CR4_OSXMMEXCPT: u64 = 1 << 10;
    const CR4_UMIP: u64 = 1 << 11;
    const CR4_FSGSBASE: u64 = 1 << 16;
    const CR4_OSXSAVE: u64 = 1 << 18;
    const CR4_SMEP: u64 = 1 << 20;
    const CR4_SMAP: u64 = 1 << 21;
    cpu::set_cr0(cpu::cr0() & !(CR0_EM | CR0_TS) | CR0_MP | CR0_NE | CR0_WP | CR0_AM);
    let mut cr4 = cpu::cr4() | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    for (feature, bit) in [
        (Features::UMIP, CR4_UMIP),
        (Features::FSGSBASE, CR4_FSGSBASE),
        (Features::XSAVE, CR4_OSXSAVE),
        (Features::SMEP, CR4_SMEP),
        (Features::SMAP, CR4_SMAP),
    ] {
        if has(feature) {
            cr4 |= bit;
        }
    }
    cpu::set_cr4(cr4);
}

/// Writes STAC and CLAC over their places in the code, where the processor has SMAP. Called once, while the boot
/// tables still map the image writable.
pub(crate) fn patch_smap_sites() {
    unsafe extern "C" {
        static smap_sites_start: [u64; 2];
        static smap_sites_end: [u64; 2];
    }
    if !has(Features::SMAP) {
        return;
    }
    let mut site = &raw const smap_sites_start;
    while site < &raw const smap_sites_end {
        // SAFETY: the linker collected the pairs between the two symbols.
        let [address, kind] = unsafe { site.read() };
        let last = if kind == 1 { 0xcb } else { 0xca };
        let code = layout::pointer::<[u8; 3]>(address);
        // SAFETY: `SMAP_SITE` put three bytes of no-operation there, and nothing runs them at this time.
        unsafe { code.write([0x0f, 0x01, last]) };
        site = site.wrapping_add(1);
    }
}
