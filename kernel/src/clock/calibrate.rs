//! Finding out how fast the time-stamp counter and the APIC's timer run.

use core::sync::atomic::Ordering;

use super::{BASE, rtc, set_frequency, set_realtime_ns};
use crate::arch::cpu::{cpuid, inb, outb, rdmsr, rdtsc, wrmsr};
use crate::arch::features::{self, Features, has};
use crate::arch::{apic, layout_physical};
use crate::log::log;

/// The PIT's frequency in Hz (Intel 8254 data sheet; the PC feeds it a twelfth of 14.31818 MHz).
const PIT_HZ: u64 = 1_193_182;
/// PIT ticks that are waited for: 1 ms.
const WINDOW: u16 = 1193;
/// Frequency of the APIC timer's clock under QEMU and KVM, in kHz.
const VIRTUAL_APIC_KHZ: u64 = 1_000_000;

/// Sets the clocks up. `khz` is the counter's frequency if the launcher said it.
pub(crate) fn init(khz: Option<u64>) {
    let start = rdtsc();
    let mut apic_khz = has(Features::HYPERVISOR).then_some(VIRTUAL_APIC_KHZ);
    let known = khz.map(|khz| (khz, "launcher")).or_else(from_cpuid).or_else(from_pvclock);
    let (khz, source) = match known {
        Some(known) => known,
        None => {
            let (tsc, apic) = measure();
            apic_khz = apic_khz.or(Some(apic));
            (tsc, "PIT")
        }
    };
    BASE.store(start, Ordering::Relaxed);
    set_frequency(khz);
    let apic_khz = apic_khz.unwrap_or_else(|| measure().1);
    apic::set_timer_khz(apic_khz);
    log!(Debug, "time-stamp counter: {khz} kHz ({source}), APIC timer: {apic_khz} kHz");
    match rtc::read() {
        Some(seconds) => set_realtime_ns(seconds * 1_000_000_000),
        None => log!(Warn, "no real-time clock: the wall clock starts in 1970"),
    }
}

/// CPUID leaves that name the frequency (Intel SDM volume 2, CPUID; VMware's leaf 0x40000010, which KVM offers too).
fn from_cpuid() -> Option<(u64, &'static str)> {
    if has(Features::HYPERVISOR) && cpuid(0x4000_0000, 0)[0] >= 0x4000_0010 {
        let khz = cpuid(0x4000_0010, 0)[0];
        if khz > 0 {
            return Some((khz.into(), "hypervisor"));
        }
    }
    let [denominator, numerator, crystal_hz, _] = features::leaf(0x15, 0);
    if denominator > 0 && numerator > 0 && crystal_hz > 0 {
        let hz = u64::from(crystal_hz) * u64::from(numerator) / u64::from(denominator);
        return Some((hz / 1000, "CPUID 15h"));
    }
    None
}

/// KVM's clock page (Linux, Documentation/virt/kvm/x86/msr.rst): only the scale is used, since the counter itself is
/// constant wherever KVM offers it as stable.
fn from_pvclock() -> Option<(u64, &'static str)> {
    const SYSTEM_TIME_NEW: u32 = 0x4b56_4d01;
    #[repr(C, align(64))]
    struct Page([u32; 16]);
    static PAGE: Page = Page([0; 16]);
    let [_, b, c, d] = cpuid(0x4000_0000, 0);
    let name = [b, c, d] == [0x4b4d_564b, 0x564b_4d56, 0x4d];
    if !has(Features::HYPERVISOR) || !name || cpuid(0x4000_0001, 0)[0] & 1 << 3 == 0 {
        return None;
    }
    let page = core::hint::black_box(&PAGE.0);
    let physical = layout_physical(page.as_ptr().cast());
    wrmsr(SYSTEM_TIME_NEW, physical | 1);
    let _ = rdmsr(SYSTEM_TIME_NEW);
    let words = crate::arch::read_volatile_words(page);
    wrmsr(SYSTEM_TIME_NEW, 0);
    // Offsets 24 and 28: multiplier, and a signed shift.
    let (mult, shift) = (words[6], i32::from((words[7] & 0xff).to_le_bytes()[0].cast_signed()));
    if mult == 0 {
        return None;
    }
    let scaled = (1_000_000_u64 << 32) / u64::from(mult);
    let khz = if shift < 0 { scaled << -shift } else { scaled >> shift };
    Some((khz, "pvclock"))
}

/// Reads the PIT's channel 0, and the counter at that moment: of several samples the one that took least time, because
/// a virtual device may answer late.
fn sample() -> (u16, u64, u64) {
    let mut best = (0, 0, 0, u64::MAX);
    for _ in 0..3 {
        let before = rdtsc();
        let apic = apic::timer_count();
        outb(0x43, 0);
        let middle = rdtsc();
        let count = u16::from(inb(0x40)) | u16::from(inb(0x40)) << 8;
        let took = middle - before;
        if took < best.3 {
            best = (count, before + took / 2, apic, took);
        }
    }
    (best.0, best.1, best.2)
}

/// Measures both frequencies in kHz against the PIT.
fn measure() -> (u64, u64) {
    // Channel 0, both bytes, mode 2, from the top.
    outb(0x43, 0x34);
    outb(0x40, 0);
    outb(0x40, 0);
    apic::start_timer_count();
    let (first, tsc, apic) = sample();
    let mut tries = 0_u32;
    let (elapsed, tsc, apic) = loop {
        let (count, now, apic_now) = sample();
        let elapsed = first.wrapping_sub(count);
        tries += 1;
        if elapsed >= WINDOW || tries > 1_000_000 {
            break (u64::from(elapsed.max(1)), now - tsc, apic - apic_now);
        }
    };
    apic::stop_timer();
    (tsc * PIT_HZ / elapsed / 1000, apic * PIT_HZ / elapsed / 1000)
}
