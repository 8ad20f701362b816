//! The page that the kernel shares with the vDSO: what user code needs to tell the time without a system call.
//!
//! The page lies directly below the vDSO's image (image base - 4096), readable and nothing else to programs. The
//! kernel is the only writer, one processor at a time; readers use the sequence counter:
//!
//! - writer: `seq` to odd (relaxed), release fence, fields (relaxed), `seq` to the next even number (release);
//! - reader: `seq` (acquire), again if odd; fields (relaxed) and the time-stamp counter; acquire fence; `seq` again,
//!   and from the start if it changed.
//!
//! Time of a clock in nanoseconds: `base_ns[clock] + ((tsc - tsc_base) * mult >> SHIFT)`, the product in 128 bits, so
//! that the bases need no refreshing however long the machine sleeps. A counter that reads less than `tsc_base`
//! (another processor's may lag by a little) counts as `tsc_base`.
//!
//! This file stands alone (`core` only): the vDSO's build includes it by path.

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64};

/// Bits by which the product of counter and [`VdsoData::mult`] is shifted down.
pub const SHIFT: u32 = 32;

/// [`VdsoData::mode`]: the vDSO makes system calls.
pub const MODE_NONE: u32 = 0;
/// [`VdsoData::mode`]: the time-stamp counter is constant, equal on all processors, and may be read in ring 3.
pub const MODE_TSC: u32 = 1;
/// [`VdsoData::mode`]: reserved for the hypervisor's clock page; a vDSO that does not know a mode makes system calls.
pub const MODE_PVCLOCK: u32 = 2;

/// [`VdsoData::flags`]: the TSC_AUX register holds `node << 12 | cpu` on each processor, and RDTSCP exists.
pub const FLAG_RDTSCP: u32 = 1;
/// [`VdsoData::flags`]: the same, and RDPID exists.
pub const FLAG_RDPID: u32 = 2;
/// [`VdsoData::flags`]: the bases of the two coarse clocks are refreshed at least every [`VdsoData::coarse_ns`] while
/// user code runs. Without it the vDSO answers for them with the exact clocks.
pub const FLAG_COARSE: u32 = 4;

/// Number of clocks that have a base.
pub const CLOCKS: usize = 12;
/// Clocks that the vDSO can answer, one bit for each clock number: REALTIME 0, MONOTONIC 1, MONOTONIC_RAW 4,
/// REALTIME_COARSE 5, MONOTONIC_COARSE 6, BOOTTIME 7, TAI 11.
pub const CLOCK_MASK: u32 = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 11;

/// The shared page's content. All zero is valid and means [`MODE_NONE`].
///
/// | offset | field | meaning |
/// |---|---|---|
/// | 0 | `seq` | sequence counter, odd while being written |
/// | 4 | `mode` | `MODE_*` |
/// | 8 | `tsc_base` | time-stamp counter at which the bases hold |
/// | 16 | `mult` | nanoseconds for a tick of the counter, times 2^32 |
/// | 24 | `raw_mult` | the same for CLOCK_MONOTONIC_RAW, which is never slewed |
/// | 32 | `flags` | `FLAG_*` |
/// | 36 | `coarse_ns` | resolution of the coarse clocks, for `clock_getres` |
/// | 40 | `minutes_west` | time zone for `gettimeofday` |
/// | 44 | `dst_time` | time zone for `gettimeofday` |
/// | 48 | `base_ns` | by clock number: nanoseconds at `tsc_base`; the coarse ones at their last refresh |
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct VdsoData {
    /// Sequence counter, odd while being written.
    pub seq: AtomicU32,
    /// Where time comes from: `MODE_*`.
    pub mode: AtomicU32,
    /// Value of the time-stamp counter at which the bases hold.
    pub tsc_base: AtomicU64,
    /// Nanoseconds for a tick of the counter, times 2^[`SHIFT`].
    pub mult: AtomicU64,
    /// The same for CLOCK_MONOTONIC_RAW.
    pub raw_mult: AtomicU64,
    /// `FLAG_*`.
    pub flags: AtomicU32,
    /// Resolution of the coarse clocks in nanoseconds.
    pub coarse_ns: AtomicU32,
    /// `tz_minuteswest` of `gettimeofday(2)`.
    pub minutes_west: AtomicI32,
    /// `tz_dsttime` of `gettimeofday(2)`.
    pub dst_time: AtomicI32,
    /// Nanoseconds of each clock at `tsc_base`; numbers outside [`CLOCK_MASK`] are unused.
    pub base_ns: [AtomicU64; CLOCKS],
}

const _: () = assert!(size_of::<VdsoData>() == 192);
const _: () = assert!(core::mem::offset_of!(VdsoData, base_ns) == 48);
