//! Clocks: what time it is, setting it, sleeping.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};

use abi::time::*;
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{CpuTime, Platform, Readiness, WaitQueue};

pub(crate) use super::timer::ProcessTimers;
use crate::block::{self, Woken};
use crate::decode::{Flags, In, InOut, Out, UserPtr};
use crate::proc::{Capability, Process, Thread};
use crate::{Context, Restart, SysError, SysResult};

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// Nanoseconds of Linux's timer tick (`CONFIG_HZ` 250), the resolution of the coarse clocks.
const TICK_NS: u64 = 4_000_000;
/// Nanoseconds of a clock tick as applications count them (`USER_HZ` 100).
pub(crate) const USER_TICK_NS: u64 = 10_000_000;

/// Shortest wait for processor time to be used up: it stands still while the kernel looks at it.
const CPU_TIME_STEP_NS: u64 = 250_000;

/// What the system keeps of time beside the machine's clock.
#[derive(Default)]
pub struct SystemTime {
    /// Woken when the wall clock is set.
    changes: Arc<WaitQueue>,
    zone: Lock<Timezone, { rank::LEAF }>,
}

impl SystemTime {
    /// Returns the queue that is woken when the wall clock is set.
    pub const fn changes(&self) -> &Arc<WaitQueue> {
        &self.changes
    }
}

/// Which part of processor time a clock counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CpuKind {
    /// In user mode and in the kernel.
    All,
    /// In user mode.
    User,
}

impl CpuKind {
    const fn of(self, time: CpuTime) -> u64 {
        match self {
            Self::All => time.user_ns + time.system_ns,
            Self::User => time.user_ns,
        }
    }
}

/// What a clock counts.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    /// Time since 1970.
    Realtime,
    /// Time since the machine started.
    Monotonic,
    /// A process's processor time.
    Process(Weak<Process>, CpuKind),
    /// A thread's processor time.
    Thread(Weak<Thread>, CpuKind),
}

impl core::fmt::Debug for Process {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Process({})", self.pid())
    }
}

impl Base {
    /// Returns the clock's time in nanoseconds. Takes locks from rank `PROCESS` up.
    pub(crate) fn now(&self, platform: &Platform) -> u64 {
        match self {
            Self::Realtime => platform.clock.realtime_ns(),
            Self::Monotonic => platform.clock.monotonic_ns(),
            Self::Process(process, kind) => process.upgrade().map_or(0, |p| kind.of(p.cpu_time())),
            Self::Thread(thread, kind) => thread.upgrade().map_or(0, |t| kind.of(t.task().cpu_time())),
        }
    }

    /// Returns the monotonic time at which the clock, which shows `now`, can at the earliest show `target`.
    pub(crate) fn monotonic_at(&self, target: u64, now: u64, platform: &Platform) -> u64 {
        let left = target.saturating_sub(now);
        let wait = match self {
            Self::Realtime | Self::Monotonic => left,
            Self::Thread(..) => left.max(CPU_TIME_STEP_NS),
            // All processors together may use time up.
            Self::Process(..) => (left / u64::from(platform.info.cpus.max(1))).max(CPU_TIME_STEP_NS),
        };
        platform.clock.monotonic_ns().saturating_add(wait)
    }
}

/// A clock that an application named.
struct Named {
    base: Base,
    /// Its resolution in nanoseconds.
    resolution: u64,
    /// Whether sleeps and timers can be based on it.
    sleeps: bool,
}

/// Finds the clock that a number names.
fn named(cx: &Context<'_>, clock: i32) -> Result<Named> {
    let fine = |base| Ok(Named { base, resolution: 1, sleeps: true });
    match clock {
        CLOCK_REALTIME | CLOCK_TAI | CLOCK_REALTIME_ALARM => fine(Base::Realtime),
        CLOCK_MONOTONIC | CLOCK_BOOTTIME | CLOCK_BOOTTIME_ALARM => fine(Base::Monotonic),
        CLOCK_MONOTONIC_RAW => Ok(Named { base: Base::Monotonic, resolution: 1, sleeps: false }),
        CLOCK_REALTIME_COARSE => Ok(Named { base: Base::Realtime, resolution: TICK_NS, sleeps: false }),
        CLOCK_MONOTONIC_COARSE => Ok(Named { base: Base::Monotonic, resolution: TICK_NS, sleeps: false }),
        CLOCK_PROCESS_CPUTIME_ID => fine(Base::Process(Arc::downgrade(cx.process()), CpuKind::All)),
        CLOCK_THREAD_CPUTIME_ID => {
            let base = Base::Thread(Arc::downgrade(&cx.thread.arc()), CpuKind::All);
            Ok(Named { base, resolution: 1, sleeps: true })
        }
        clock if clock < 0 => cpu_clock(cx, clock),
        _ => Err(Errno::EINVAL),
    }
}

/// Decodes the clock of another process or thread (`clock_getcpuclockid(3)`).
fn cpu_clock(cx: &Context<'_>, clock: i32) -> Result<Named> {
    const PER_THREAD: i32 = 4;
    let id = !(clock >> 3);
    let (kind, resolution) = match clock & 3 {
        0 => (CpuKind::All, TICK_NS),
        1 => (CpuKind::User, TICK_NS),
        2 => (CpuKind::All, 1),
        // A clock behind a descriptor.
        _ => return Err(Errno::EINVAL),
    };
    let number = id.cast_unsigned();
    let base = if clock & PER_THREAD != 0 {
        let thread = match number {
            0 => cx.thread.arc(),
            _ => cx.system().thread(number).ok_or(Errno::EINVAL)?,
        };
        if !Arc::ptr_eq(thread.process(), cx.process()) {
            return Err(Errno::EINVAL);
        }
        Base::Thread(Arc::downgrade(&thread), kind)
    } else {
        let process = match number {
            0 => Arc::clone(cx.process()),
            _ => cx.system().process(number).ok_or(Errno::EINVAL)?,
        };
        Base::Process(Arc::downgrade(&process), kind)
    };
    Ok(Named { base, resolution, sleeps: true })
}

/// Finds the clock of a timer.
///
/// # Errors
/// `EINVAL` for no clock, `EOPNOTSUPP` for one without timers.
pub(super) fn timer_base(cx: &Context<'_>, clock: i32) -> Result<Base> {
    let named = named(cx, clock)?;
    if named.sleeps { Ok(named.base) } else { Err(Errno::EOPNOTSUPP) }
}

/// Makes a `timespec`.
pub(crate) const fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / SECOND).cast_signed(), tv_nsec: (ns % SECOND).cast_signed() }
}

/// Makes a `timeval`.
pub(crate) const fn timeval(ns: u64) -> Timeval {
    Timeval { tv_sec: (ns / SECOND).cast_signed(), tv_usec: (ns % SECOND / 1000).cast_signed() }
}

/// Reads a span of time, in nanoseconds; spans beyond 584 years are cut.
///
/// # Errors
/// `EINVAL` for negative seconds, or nanoseconds that are none.
pub(crate) fn duration_ns(time: &Timespec) -> Result<u64> {
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno::EINVAL)?;
    let nanoseconds = u64::try_from(time.tv_nsec).map_err(|_| Errno::EINVAL)?;
    if nanoseconds >= SECOND {
        return Err(Errno::EINVAL);
    }
    Ok(seconds.saturating_mul(SECOND).saturating_add(nanoseconds))
}

/// Reads a span of time given in microseconds.
///
/// # Errors
/// `EINVAL` as for [`duration_ns`].
pub(crate) fn timeval_ns(time: &Timeval) -> Result<u64> {
    if !(0..1_000_000).contains(&time.tv_usec) {
        return Err(Errno::EINVAL);
    }
    duration_ns(&Timespec { tv_sec: time.tv_sec, tv_nsec: time.tv_usec * 1000 })
}

/// `clock_gettime(2)`.
pub(crate) fn sys_clock_gettime(cx: &Context<'_>, clock: i32, to: UserPtr<Timespec, Out>) -> SysResult<()> {
    let now = named(cx, clock)?.base.now(cx.platform());
    Ok(to.write(cx, &timespec(now))?)
}

/// `clock_getres(2)`.
pub(crate) fn sys_clock_getres(cx: &Context<'_>, clock: i32, to: UserPtr<Timespec, Out>) -> SysResult<()> {
    // LINUX: the alarm clocks have a resolution only where an RTC can wake the machine.
    if matches!(clock, CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM) {
        return Err(Errno::EINVAL.into());
    }
    let resolution = named(cx, clock)?.resolution;
    if let Some(to) = to.non_null() {
        to.write(cx, &timespec(resolution))?;
    }
    Ok(())
}

/// `clock_settime(2)`.
pub(crate) fn sys_clock_settime(cx: &Context<'_>, clock: i32, from: UserPtr<Timespec, In>) -> SysResult<()> {
    if clock != CLOCK_REALTIME && clock >= 0 {
        return Err(Errno::EINVAL.into());
    }
    let named = named(cx, clock)?;
    let to = duration_ns(&from.read(cx)?)?;
    match named.base {
        Base::Realtime => set_realtime(cx, to),
        _ => Err(Errno::EPERM.into()),
    }
}

fn set_realtime(cx: &Context<'_>, ns: u64) -> SysResult<()> {
    // LINUX: the monotonic clock may not have started before 1970.
    if ns < cx.clock().monotonic_ns() {
        return Err(Errno::EINVAL.into());
    }
    if !cx.credentials().can(Capability::SysTime) {
        return Err(Errno::EPERM.into());
    }
    cx.clock().set_realtime_ns(ns);
    for process in cx.system().processes() {
        process.timers.clock_was_set();
    }
    cx.system().time.changes.wake(Readiness::READ);
    Ok(())
}

/// `gettimeofday(2)`.
pub(crate) fn sys_gettimeofday(
    cx: &Context<'_>,
    to: UserPtr<Timeval, Out>,
    zone: UserPtr<Timezone, Out>,
) -> SysResult<()> {
    if let Some(to) = to.non_null() {
        to.write(cx, &timeval(cx.clock().realtime_ns()))?;
    }
    if let Some(zone) = zone.non_null() {
        let now = *cx.system().time.zone.lock();
        zone.write(cx, &now)?;
    }
    Ok(())
}

/// `settimeofday(2)`.
pub(crate) fn sys_settimeofday(
    cx: &Context<'_>,
    from: UserPtr<Timeval, In>,
    zone: UserPtr<Timezone, In>,
) -> SysResult<()> {
    let time = from.non_null().map(|from| from.read(cx)).transpose()?;
    let time = time.map(|time| timeval_ns(&time)).transpose()?;
    let zone = zone.non_null().map(|zone| zone.read(cx)).transpose()?;
    if !cx.credentials().can(Capability::SysTime) {
        return Err(Errno::EPERM.into());
    }
    if let Some(zone) = zone {
        if !(-15 * 60..=15 * 60).contains(&zone.tz_minuteswest) {
            return Err(Errno::EINVAL.into());
        }
        *cx.system().time.zone.lock() = zone;
    }
    time.map_or(Ok(()), |ns| set_realtime(cx, ns))
}

/// `time(2)`.
pub(crate) fn sys_time(cx: &Context<'_>, to: UserPtr<i64, Out>) -> SysResult<i64> {
    let now = timespec(cx.clock().realtime_ns()).tv_sec;
    if let Some(to) = to.non_null() {
        to.write(cx, &now)?;
    }
    Ok(now)
}

/// `times(2)`.
pub(crate) fn sys_times(cx: &Context<'_>, to: UserPtr<Tms, Out>) -> SysResult<u64> {
    if let Some(to) = to.non_null() {
        let own = cx.process().cpu_time();
        let children = cx.process().state.lock().children_time;
        let ticks = |ns: u64| (ns / USER_TICK_NS).cast_signed();
        to.write(
            cx,
            &Tms {
                tms_utime: ticks(own.user_ns),
                tms_stime: ticks(own.system_ns),
                tms_cutime: ticks(children.user_ns),
                tms_cstime: ticks(children.system_ns),
            },
        )?;
    }
    Ok(cx.clock().monotonic_ns() / USER_TICK_NS)
}

/// `nanosleep(2)`.
pub(crate) fn sys_nanosleep(
    cx: &Context<'_>,
    request: UserPtr<Timespec, In>,
    remaining: UserPtr<Timespec, Out>,
) -> SysResult<i64> {
    let wait = duration_ns(&request.read(cx)?)?;
    sleep_for(cx, Base::Monotonic, wait, remaining)
}

/// `clock_nanosleep(2)`.
pub(crate) fn sys_clock_nanosleep(
    cx: &Context<'_>,
    clock: i32,
    flags: Flags,
    request: UserPtr<Timespec, In>,
    remaining: UserPtr<Timespec, Out>,
) -> SysResult<i64> {
    let clock = named(cx, clock)?;
    if !clock.sleeps || matches!(&clock.base, Base::Thread(thread, _) if thread.as_ptr() == cx.thread) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let wait = duration_ns(&request.read(cx)?)?;
    if flags.0 & TIMER_ABSTIME == 0 {
        // LINUX: a relative sleep on the wall clock does not follow its changes.
        let base = match clock.base {
            Base::Realtime => Base::Monotonic,
            other => other,
        };
        return sleep_for(cx, base, wait, remaining);
    }
    match sleep_until(cx, &clock.base, wait) {
        Woken::Signal => Err(SysError::Restart(Restart::NoHandler)),
        _ => Ok(0),
    }
}

fn sleep_for(cx: &Context<'_>, base: Base, wait: u64, remaining: UserPtr<Timespec, Out>) -> SysResult<i64> {
    let deadline = base.now(cx.platform()).saturating_add(wait);
    sleep_rest(cx, &base, deadline, remaining)
}

fn sleep_rest(
    cx: &Context<'_>,
    base: &Base,
    deadline: u64,
    remaining: UserPtr<Timespec, Out>,
) -> SysResult<i64> {
    if sleep_until(cx, base, deadline) != Woken::Signal {
        return Ok(0);
    }
    let left = deadline.saturating_sub(base.now(cx.platform()));
    if left == 0 {
        return Ok(0);
    }
    if let Some(remaining) = remaining.non_null() {
        remaining.write(cx, &timespec(left))?;
    }
    let base = base.clone();
    let rest = move |cx: &Context<'_>| sleep_rest(cx, &base, deadline, remaining);
    cx.thread.signals.set_continuation(Box::new(rest));
    Err(SysError::Restart(Restart::Block))
}

/// Sleeps until a clock shows a time.
fn sleep_until(cx: &Context<'_>, base: &Base, target: u64) -> Woken {
    let _registration = matches!(base, Base::Realtime)
        .then(|| cx.system().time.changes.add(Readiness::READ, cx.thread.waker()));
    loop {
        let now = base.now(cx.platform());
        if now >= target {
            return Woken::Deadline;
        }
        let at = base.monotonic_at(target, now, cx.platform());
        if block::park(cx, Some(at)) == Woken::Signal {
            return Woken::Signal;
        }
    }
}

/// `adjtimex(2)`.
pub(crate) fn sys_adjtimex(cx: &Context<'_>, state: UserPtr<Timex, InOut>) -> SysResult<i32> {
    sys_clock_adjtime(cx, CLOCK_REALTIME, state)
}

/// `clock_adjtime(2)`: tells the clock's state, and steps it (`ADJ_SETOFFSET`); its rate is fixed.
pub(crate) fn sys_clock_adjtime(
    cx: &Context<'_>,
    clock: i32,
    state: UserPtr<Timex, InOut>,
) -> SysResult<i32> {
    let mut timex = state.read(cx)?;
    if clock != CLOCK_REALTIME {
        named(cx, clock)?;
        return Err(Errno::EOPNOTSUPP.into());
    }
    let modes = timex.modes;
    let reads_only = modes == 0 || modes == ADJ_OFFSET_SS_READ;
    if !reads_only && !cx.credentials().can(Capability::SysTime) {
        return Err(Errno::EPERM.into());
    }
    if modes & ADJ_SETOFFSET != 0 && modes & 0x8000 == 0 {
        let unit = if modes & ADJ_NANO != 0 { 1 } else { 1000 };
        let fraction = timex.time.tv_usec.checked_mul(unit).filter(|ns| (0..1_000_000_000).contains(ns));
        let fraction = fraction.ok_or(Errno::EINVAL)?;
        let step = i128::from(timex.time.tv_sec) * i128::from(SECOND) + i128::from(fraction);
        let to = i128::from(cx.clock().realtime_ns()) + step;
        set_realtime(cx, u64::try_from(to).map_err(|_| Errno::EINVAL)?)?;
    } else if !reads_only {
        // DEVIATION: the clock's rate cannot be disciplined; the host's clock is right.
        return Err(Errno::EOPNOTSUPP.into());
    }
    timex = Timex {
        modes,
        maxerror: 16_000_000,
        esterror: 16_000_000,
        status: STA_UNSYNC,
        constant: 2,
        precision: 1,
        tolerance: 32_768_000,
        time: timeval(cx.clock().realtime_ns()),
        tick: 10_000,
        ..Timex::default()
    };
    state.write(cx, &timex)?;
    Ok(TIME_ERROR)
}
