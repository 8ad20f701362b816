//! The local APIC: the processor's own interrupts, its timer, and signals to other processors.

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::cpu::{outb, rdmsr, wrmsr};
use super::features::{Features, has};
use crate::clock;
use crate::mm;

/// Vector of the timer.
pub(crate) const TIMER_VECTOR: u64 = 0xf0;
/// Vector of requests from other processors.
pub(crate) const IPI_VECTOR: u64 = 0xf1;
/// Vector of interrupts that were withdrawn.
pub(crate) const SPURIOUS_VECTOR: u64 = 0xff;

const ID: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
const END_OF_INTERRUPT: u32 = 0xb0;
const SPURIOUS: u32 = 0xf0;
const COMMAND: u32 = 0x300;
const COMMAND_HIGH: u32 = 0x310;
const TIMER: u32 = 0x320;
const LINT0: u32 = 0x350;
const INITIAL_COUNT: u32 = 0x380;
const CURRENT_COUNT: u32 = 0x390;
const DIVIDE: u32 = 0x3e0;

const APIC_BASE: u32 = 0x1b;
const TSC_DEADLINE: u32 = 0x6e0;
const MASKED: u64 = 1 << 16;
const MODE_DEADLINE: u64 = 2 << 17;

static REGISTERS: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
static TIMER_KHZ: AtomicU64 = AtomicU64::new(1_000_000);

fn read(register: u32) -> u64 {
    if has(Features::X2APIC) {
        return rdmsr(0x800 + (register >> 4));
    }
    let at = REGISTERS.load(Ordering::Relaxed).wrapping_add(register as usize).cast::<u32>();
    // SAFETY: `init` mapped the page of registers for good.
    u64::from(unsafe { at.read_volatile() })
}

fn write(register: u32, value: u64) {
    if has(Features::X2APIC) {
        return wrmsr(0x800 + (register >> 4), value);
    }
    let at = REGISTERS.load(Ordering::Relaxed).wrapping_add(register as usize).cast::<u32>();
    #[expect(clippy::cast_possible_truncation, reason = "registers have 32 bits here")]
    // SAFETY: as in `read`.
    unsafe {
        at.write_volatile(value as u32);
    };
}

/// Maps the registers and silences the old interrupt controllers; once.
pub(crate) fn init() {
    if !has(Features::X2APIC) {
        let physical = rdmsr(APIC_BASE) & 0xf_ffff_ffff_f000;
        REGISTERS.store(mm::map_device(physical, 4096), Ordering::Relaxed);
    }
    // The 8259s, moved off the exceptions' vectors in case one still fires, and masked.
    for (port, value) in [
        (0x20, 0x11),
        (0xa0, 0x11),
        (0x21, 0x20),
        (0xa1, 0x28),
        (0x21, 4),
        (0xa1, 2),
        (0x21, 1),
        (0xa1, 1),
        (0x21, 0xff),
        (0xa1, 0xff),
    ] {
        outb(port, value);
    }
    enable();
}

/// Switches this processor's APIC on.
pub(crate) fn enable() {
    let mode = if has(Features::X2APIC) { 3 << 10 } else { 2 << 10 };
    wrmsr(APIC_BASE, rdmsr(APIC_BASE) & !(3 << 10) | mode);
    write(TASK_PRIORITY, 0);
    write(LINT0, MASKED);
    write(DIVIDE, 0b1011);
    let mode = if has(Features::TSC_DEADLINE) { MODE_DEADLINE } else { 0 };
    write(TIMER, TIMER_VECTOR | mode);
    write(SPURIOUS, 1 << 8 | SPURIOUS_VECTOR);
    crate::cpu::this().apic.store(id(), Ordering::Relaxed);
}

/// Returns this processor's APIC number.
#[expect(clippy::cast_possible_truncation, reason = "the register has 32 bits")]
pub(crate) fn id() -> u32 {
    let value = read(ID) as u32;
    if has(Features::X2APIC) { value } else { value >> 24 }
}

/// Ends the interrupt at hand.
#[inline]
pub(crate) fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

fn command(apic: u32, value: u64) {
    if has(Features::X2APIC) {
        // The fence orders the caller's stores before the signal, which is not a store in this mode.
        core::sync::atomic::fence(Ordering::SeqCst);
        wrmsr(0x830, u64::from(apic) << 32 | value);
        return;
    }
    while read(COMMAND) & 1 << 12 != 0 {
        core::hint::spin_loop();
    }
    write(COMMAND_HIGH, u64::from(apic) << 24);
    write(COMMAND, value);
}

/// Interrupts another processor.
pub(crate) fn send(apic: u32, vector: u64) {
    command(apic, 1 << 14 | vector);
}

/// Resets a processor (INIT), so that it waits for [`send_startup`].
pub(crate) fn send_init(apic: u32) {
    command(apic, 1 << 14 | 5 << 8);
}

/// Starts a processor that was reset, at a page below 1 MiB.
pub(crate) fn send_startup(apic: u32, page: u64) {
    command(apic, 1 << 14 | 6 << 8 | page >> 12);
}

/// Says how fast the timer counts.
pub(crate) fn set_timer_khz(khz: u64) {
    TIMER_KHZ.store(khz, Ordering::Relaxed);
}

/// Lets the timer interrupt this processor at a time of the monotonic clock, or at once if that has passed.
pub(crate) fn arm_timer(at_ns: u64) {
    if has(Features::TSC_DEADLINE) {
        return wrmsr(TSC_DEADLINE, clock::tsc_at(at_ns).max(1));
    }
    let wait = at_ns.saturating_sub(clock::monotonic_ns());
    let count = u128::from(wait) * u128::from(TIMER_KHZ.load(Ordering::Relaxed)) / 1_000_000;
    // Too long a wait is cut, and continued by the interrupt; at least one tick, since zero stops the timer.
    write(INITIAL_COUNT, u64::try_from(count + 1).unwrap_or(u64::MAX).min(u32::MAX.into()));
}

/// Lets the timer count down from the top, silently, for calibration.
pub(crate) fn start_timer_count() {
    write(TIMER, TIMER_VECTOR | MASKED);
    write(INITIAL_COUNT, u32::MAX.into());
}

/// Returns the timer's count.
pub(crate) fn timer_count() -> u64 {
    read(CURRENT_COUNT)
}

/// Stops the timer after calibration.
pub(crate) fn stop_timer() {
    write(INITIAL_COUNT, 0);
    let mode = if has(Features::TSC_DEADLINE) { MODE_DEADLINE } else { 0 };
    write(TIMER, TIMER_VECTOR | mode);
}
