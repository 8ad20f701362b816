//! Time: the time-stamp counter, the wall clock, and the vDSO's page.

mod calibrate;
mod rtc;
pub(crate) mod timer;

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use core::task::Waker;

use hal::TimerId;

use crate::arch::cpu::rdtsc;
pub(crate) use calibrate::init;

/// Nanoseconds for a tick of the counter, times 2^32.
static MULT: AtomicU64 = AtomicU64::new(1 << 31);
static KHZ: AtomicU64 = AtomicU64::new(0);
/// The counter's value at monotonic time zero.
static BASE: AtomicU64 = AtomicU64::new(0);
/// Wall clock minus monotonic clock, in nanoseconds.
static OFFSET: AtomicI64 = AtomicI64::new(0);

/// Converts ticks of the counter.
#[inline(always)]
pub(crate) fn ticks_to_ns(ticks: u64) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "584 years fit")]
    {
        ((u128::from(ticks) * u128::from(MULT.load(Ordering::Relaxed))) >> 32) as u64
    }
}

/// Converts nanoseconds to ticks of the counter.
pub(crate) fn ns_to_ticks(ns: u64) -> u64 {
    let ticks = u128::from(ns) * u128::from(KHZ.load(Ordering::Relaxed)) / 1_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// Returns the counter's value at a monotonic time.
pub(crate) fn tsc_at(ns: u64) -> u64 {
    BASE.load(Ordering::Relaxed).saturating_add(ns_to_ticks(ns))
}

/// Returns the counter's frequency in kHz.
pub(crate) fn tsc_khz() -> u64 {
    KHZ.load(Ordering::Relaxed)
}

/// Returns nanoseconds since the machine started. Another processor's counter may lag by a little: that counts as zero
/// elapsed rather than as centuries.
#[inline(always)]
pub(crate) fn monotonic_ns() -> u64 {
    let ticks = rdtsc().saturating_sub(BASE.load(Ordering::Relaxed));
    ticks_to_ns(ticks)
}

fn set_frequency(khz: u64) {
    KHZ.store(khz, Ordering::Relaxed);
    MULT.store((1_000_000 << 32) / khz.max(1), Ordering::Relaxed);
}

#[expect(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "times of this millennium fit in 63 bits"
)]
fn realtime_ns() -> u64 {
    (monotonic_ns() as i64).wrapping_add(OFFSET.load(Ordering::Relaxed)) as u64
}

#[expect(clippy::cast_possible_wrap, reason = "times of this millennium fit in 63 bits")]
fn set_realtime_ns(ns: u64) {
    OFFSET.store((ns as i64).wrapping_sub(monotonic_ns() as i64), Ordering::Relaxed);
    crate::vdso::update();
}

/// Returns nanoseconds for a tick of the counter, times 2^32.
pub(crate) fn mult() -> u64 {
    MULT.load(Ordering::Relaxed)
}

/// What the vDSO's page is made from: counter base, and the wall clock's offset.
pub(crate) fn bases() -> (u64, i64) {
    (BASE.load(Ordering::Relaxed), OFFSET.load(Ordering::Relaxed))
}

/// The clock as `hal` sees it.
pub(crate) struct Time;

impl hal::Clock for Time {
    fn monotonic_ns(&self) -> u64 {
        monotonic_ns()
    }

    fn realtime_ns(&self) -> u64 {
        realtime_ns()
    }

    fn set_realtime_ns(&self, ns: u64) {
        set_realtime_ns(ns);
    }

    fn arm(&self, at_ns: u64, waker: Waker) -> TimerId {
        timer::arm(at_ns, waker)
    }

    fn cancel(&self, timer: TimerId) {
        timer::cancel(timer);
    }
}
