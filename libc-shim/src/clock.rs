//! Reads clocks from the shared page, under its sequence counter.

use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::sync::atomic::fence;

use crate::data::{
    CLOCK_MASK, CLOCKS, FLAG_COARSE, FLAG_RDPID, FLAG_RDTSCP, MODE_NONE, MODE_TSC, SHIFT, VdsoData,
};
use crate::machine;

const CLOCK_MONOTONIC_RAW: u32 = 4;
const COARSE_MASK: u32 = 1 << 5 | 1 << 6;
const EXACT_MASK: u32 = CLOCK_MASK & !COARSE_MASK;

/// How to find out the number of the processor.
pub(crate) enum Reading {
    Rdpid,
    Rdtscp,
    SystemCall,
}

/// Returns an exact clock's time in nanoseconds; `None` for other clocks, or if only the kernel knows it.
#[inline(always)]
pub(crate) fn read_exact_clock(clock: u32) -> Option<u64> {
    if clock as usize >= CLOCKS || EXACT_MASK & (1 << clock) == 0 {
        return None;
    }
    read_exact(machine::data(), clock)
}

/// Returns a coarse clock's time in nanoseconds; `None` for other clocks, or if only the kernel knows it.
#[inline(always)]
pub(crate) fn read_coarse_clock(clock: u32) -> Option<u64> {
    if clock as usize >= CLOCKS || COARSE_MASK & (1 << clock) == 0 {
        return None;
    }
    read_coarse(machine::data(), clock)
}

#[inline(always)]
fn read_exact(data: &VdsoData, clock: u32) -> Option<u64> {
    let is_raw = clock == CLOCK_MONOTONIC_RAW;
    loop {
        let seq = data.seq.load(Acquire);
        if seq & 1 != 0 {
            core::hint::spin_loop();
            continue;
        }
        if data.mode.load(Relaxed) != MODE_TSC {
            return None;
        }
        let now = machine::tsc();
        let base = data.tsc_base.load(Relaxed);
        let mult = if is_raw { &data.raw_mult } else { &data.mult }.load(Relaxed);
        let start = data.base_ns.get(clock as usize)?.load(Relaxed);
        fence(Acquire);
        if data.seq.load(Relaxed) == seq {
            let ticks = u128::from(now.saturating_sub(base));
            #[expect(clippy::cast_possible_truncation, reason = "wraps after 584 years, as the bases do")]
            let passed = ((ticks * u128::from(mult)) >> SHIFT) as u64;
            return Some(start.wrapping_add(passed));
        }
    }
}

#[inline(always)]
fn read_coarse(data: &VdsoData, clock: u32) -> Option<u64> {
    if data.flags.load(Relaxed) & FLAG_COARSE == 0 {
        // REALTIME_COARSE 5 to REALTIME 0, MONOTONIC_COARSE 6 to MONOTONIC 1.
        return read_exact(data, clock - 5);
    }
    loop {
        let seq = data.seq.load(Acquire);
        if seq & 1 != 0 {
            core::hint::spin_loop();
            continue;
        }
        if data.mode.load(Relaxed) == MODE_NONE {
            return None;
        }
        let now = data.base_ns.get(clock as usize)?.load(Relaxed);
        fence(Acquire);
        if data.seq.load(Relaxed) == seq {
            return Some(now);
        }
    }
}

/// Returns the coarse clocks' resolution if the clock is one of the page's (the exact ones have 1 ns).
pub(crate) fn resolution(clock: u32) -> Option<u32> {
    if clock as usize >= CLOCKS || CLOCK_MASK & (1 << clock) == 0 {
        return None;
    }
    let data = machine::data();
    match data.mode.load(Relaxed) {
        MODE_TSC => Some(data.coarse_ns.load(Relaxed)),
        _ => None,
    }
}

/// Returns the two fields of `struct timezone`, which change by `settimeofday` only, one by one.
pub(crate) fn time_zone() -> (i32, i32) {
    let data = machine::data();
    (data.minutes_west.load(Relaxed), data.dst_time.load(Relaxed))
}

/// Says how to find out the number of the processor.
pub(crate) fn reading_of_processor() -> Reading {
    let flags = machine::data().flags.load(Relaxed);
    if flags & FLAG_RDPID != 0 {
        Reading::Rdpid
    } else if flags & FLAG_RDTSCP != 0 {
        Reading::Rdtscp
    } else {
        Reading::SystemCall
    }
}
