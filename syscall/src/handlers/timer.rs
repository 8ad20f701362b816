//! Timers: `setitimer(2)`, `alarm(2)`, `timer_create(2)`; [`Alarm`] also drives `timerfd_create(2)`.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, Ordering};
use core::task::Waker;

use abi::signal::{SI_KERNEL, SIGALRM, SIGPROF, SIGRTMAX, SIGVTALRM, Siginfo};
use abi::time::*;
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Platform, TimerId};

use super::time::{Base, CpuKind, duration_ns, timer_base, timespec, timeval, timeval_ns};
use crate::decode::{Flags, In, Out, UserPtr};
use crate::proc::{Process, Thread};
use crate::{Context, SysResult, signal};

/// Shortest time between two expirations that nobody takes one by one, in nanoseconds.
const SHORTEST_NS: u64 = 100_000;
/// Most POSIX timers of a process.
const MAX_TIMERS: usize = 65_536;

/// A deadline on some clock that may repeat. It calls back once when it is reached, and again after
/// [`Alarm::forward`] has counted the expirations: one that nobody takes note of costs nothing.
pub(crate) struct Alarm {
    platform: Platform,
    base: Base,
    state: Lock<AlarmState, { rank::TIMER }>,
    reached: Box<dyn Fn(&Self) + Send + Sync>,
    this: Weak<Self>,
}

#[derive(Default)]
struct AlarmState {
    /// When, on the alarm's clock; `None` while it is off.
    next: Option<u64>,
    /// Period in nanoseconds, or 0.
    interval: u64,
    armed: Option<TimerId>,
}

/// What is left of a deadline, and its period, in nanoseconds; nothing is left while it is off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Setting {
    pub(crate) left: u64,
    pub(crate) interval: u64,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        let now = self.base.now(&self.platform);
        let mut state = self.state.lock();
        state.armed = None;
        let Some(next) = state.next else { return };
        if now < next {
            self.arm(&mut state, next, now);
            return;
        }
        drop(state);
        (self.reached)(&self);
    }
}

impl Alarm {
    /// Makes an alarm that is off.
    pub(crate) fn new(
        platform: &Platform,
        base: Base,
        reached: impl Fn(&Self) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            platform: *platform,
            base,
            state: Lock::default(),
            reached: Box::new(reached),
            this: Weak::clone(this),
        })
    }

    fn arm(&self, state: &mut AlarmState, next: u64, now: u64) {
        let Some(this) = self.this.upgrade() else { return };
        if let Some(old) = state.armed.take() {
            self.platform.clock.cancel(old);
        }
        let at = self.base.monotonic_at(next, now, &self.platform);
        state.armed = Some(self.platform.clock.arm(at, Waker::from(this)));
    }

    /// Sets the deadline (relative to now, or on the clock), or turns the alarm off; returns what was set before.
    pub(crate) fn set(&self, value: u64, interval: u64, absolute: bool) -> Setting {
        let now = self.base.now(&self.platform);
        let mut state = self.state.lock();
        let before = Self::setting(&state, now);
        if let Some(old) = state.armed.take() {
            self.platform.clock.cancel(old);
        }
        state.interval = interval;
        state.next = (value != 0).then_some(if absolute { value } else { now.saturating_add(value) });
        if let Some(next) = state.next {
            self.arm(&mut state, next, now);
        }
        before
    }

    /// Returns what is set.
    pub(crate) fn get(&self) -> Setting {
        let now = self.base.now(&self.platform);
        Self::setting(&self.state.lock(), now)
    }

    fn setting(state: &AlarmState, now: u64) -> Setting {
        let left = match state.next {
            None => 0,
            Some(next) if next > now => next - now,
            // The next expiration of a periodic alarm; a reached one that nobody has taken note of is about to be.
            Some(next) if state.interval > 0 => state.interval - (now - next) % state.interval,
            Some(_) => 1,
        };
        Setting { left, interval: state.interval }
    }

    /// Says whether the deadline is reached.
    pub(crate) fn is_reached(&self) -> bool {
        let now = self.base.now(&self.platform);
        self.state.lock().next.is_some_and(|next| next <= now)
    }

    /// Takes note of the expirations so far and goes on to the next; returns how many there were.
    pub(crate) fn forward(&self) -> u64 {
        self.forward_by(0)
    }

    /// As [`Self::forward`], with at least `pause` nanoseconds until the next call back.
    fn forward_by(&self, pause: u64) -> u64 {
        let now = self.base.now(&self.platform);
        let mut state = self.state.lock();
        let Some(next) = state.next else { return 0 };
        if next > now {
            // A clock of processor time that is read on another processor may be a little behind.
            if state.armed.is_none() {
                self.arm(&mut state, next, now);
            }
            return 0;
        }
        let Some(more) = (now - next).checked_div(state.interval) else {
            state.next = None;
            return 1;
        };
        let next = next.saturating_add((more + 1).saturating_mul(state.interval));
        state.next = Some(next);
        self.arm(&mut state, next.max(now.saturating_add(pause)), now);
        more + 1
    }

    /// After the wall clock was set: waits anew for a deadline on it.
    pub(crate) fn clock_was_set(&self) {
        if matches!(self.base, Base::Realtime) {
            let now = self.base.now(&self.platform);
            let mut state = self.state.lock();
            if let Some(next) = state.next
                && state.armed.is_some()
            {
                self.arm(&mut state, next, now);
            }
        }
    }
}

/// A timer that `timer_create(2)` made.
struct PosixTimer {
    alarm: Arc<Alarm>,
    /// What the last delivery missed.
    overrun: Arc<AtomicI32>,
}

/// A process's interval and POSIX timers.
#[derive(Default)]
pub struct ProcessTimers {
    state: Lock<TimersState, { rank::TIMER }>,
}

#[derive(Default)]
struct TimersState {
    posix: BTreeMap<i32, Arc<PosixTimer>>,
    next_id: i32,
    intervals: [Option<Arc<Alarm>>; 3],
}

impl ProcessTimers {
    /// Takes all timers back, when the process ends.
    pub fn disarm(&self, process: &Process) {
        self.disarm_for_exec(process);
        let intervals = core::mem::take(&mut self.state.lock().intervals);
        for alarm in intervals.into_iter().flatten() {
            alarm.set(0, 0, false);
        }
    }

    /// Takes the POSIX timers back, at `execve(2)`; the interval timers go on.
    pub fn disarm_for_exec(&self, process: &Process) {
        let posix = core::mem::take(&mut self.state.lock().posix);
        for (id, timer) in posix {
            timer.alarm.set(0, 0, false);
            process.pending.forget_timer(id);
        }
    }

    /// Completes the signal of a timer that is about to be delivered: how many expirations it missed.
    pub(crate) fn delivered(&self, _: &Process, info: Siginfo) -> Siginfo {
        let id = info.pid();
        let Some(timer) = self.find(id) else { return info };
        let missed = i32::try_from(timer.alarm.forward().saturating_sub(1)).unwrap_or(i32::MAX);
        timer.overrun.store(missed, Ordering::Relaxed);
        Siginfo::timer(info.si_signo, id, missed, info.value())
    }

    fn find(&self, id: i32) -> Option<Arc<PosixTimer>> {
        self.state.lock().posix.get(&id).cloned()
    }

    /// Makes deadlines on the wall clock right again after it was set.
    pub(crate) fn clock_was_set(&self) {
        let (posix, intervals) = {
            let state = self.state.lock();
            (state.posix.values().cloned().collect::<Vec<_>>(), state.intervals.clone())
        };
        posix.iter().for_each(|timer| timer.alarm.clock_was_set());
        intervals.iter().flatten().for_each(|alarm| alarm.clock_was_set());
    }

    /// Returns one of the three interval timers, made at its first use.
    fn interval(&self, process: &Arc<Process>, which: i32) -> Option<Arc<Alarm>> {
        let index = usize::try_from(which).ok().filter(|&i| i < 3)?;
        if let Some(alarm) = &self.state.lock().intervals[index] {
            return Some(Arc::clone(alarm));
        }
        let weak = Arc::downgrade(process);
        let (base, number) = match which {
            ITIMER_REAL => (Base::Monotonic, SIGALRM),
            ITIMER_VIRTUAL => (Base::Process(Weak::clone(&weak), CpuKind::User), SIGVTALRM),
            _ => (Base::Process(Weak::clone(&weak), CpuKind::All), SIGPROF),
        };
        let new = Alarm::new(process.system().platform(), base, move |alarm| {
            if let Some(process) = weak.upgrade() {
                let _ = signal::send_process(&process, Siginfo::kill(number, SI_KERNEL, 0, 0));
            }
            alarm.forward_by(SHORTEST_NS);
        });
        let mut state = self.state.lock();
        Some(Arc::clone(state.intervals[index].get_or_insert(new)))
    }
}

/// `setitimer(2)`.
pub(crate) fn sys_setitimer(
    cx: &Context<'_>,
    which: i32,
    new: UserPtr<Itimerval, In>,
    old: UserPtr<Itimerval, Out>,
) -> SysResult<()> {
    // LINUX: a null pointer turns the timer off.
    let new = new.non_null().map_or(Ok(Itimerval::default()), |new| new.read(cx))?;
    let (value, interval) = (timeval_ns(&new.it_value)?, timeval_ns(&new.it_interval)?);
    let alarm = cx.process().timers.interval(cx.process(), which).ok_or(Errno::EINVAL)?;
    let before = alarm.set(value, interval, false);
    write_interval(cx, old, before)
}

/// `getitimer(2)`.
pub(crate) fn sys_getitimer(cx: &Context<'_>, which: i32, to: UserPtr<Itimerval, Out>) -> SysResult<()> {
    let alarm = cx.process().timers.interval(cx.process(), which).ok_or(Errno::EINVAL)?;
    Ok(to.write(cx, &itimerval(alarm.get()))?)
}

const fn itimerval(setting: Setting) -> Itimerval {
    // LINUX: a timer that is on never shows zero.
    let left = if setting.left == 0 || setting.left >= 1000 { setting.left } else { 1000 };
    Itimerval { it_interval: timeval(setting.interval), it_value: timeval(left) }
}

fn write_interval(cx: &Context<'_>, to: UserPtr<Itimerval, Out>, setting: Setting) -> SysResult<()> {
    if let Some(to) = to.non_null() {
        to.write(cx, &itimerval(setting))?;
    }
    Ok(())
}

/// `alarm(2)`.
pub(crate) fn sys_alarm(cx: &Context<'_>, seconds: u32) -> SysResult<u64> {
    let alarm = cx.process().timers.interval(cx.process(), ITIMER_REAL).ok_or(Errno::EINVAL)?;
    let second = super::time::SECOND;
    let before = alarm.set(u64::from(seconds) * second, 0, false).left;
    // LINUX: rounds to the nearest second, but a timer that is on never shows zero.
    let rounded = (before + second / 2) / second;
    Ok(if before > 0 { rounded.max(1) } else { 0 })
}

/// Says how a POSIX timer announces itself.
struct Notice {
    signal: i32,
    value: u64,
    /// One thread, or the process.
    thread: Option<Weak<Thread>>,
}

/// Reads `sigevent`; `None` for a timer that announces nothing.
fn notice(cx: &Context<'_>, event: &Sigevent) -> Result<Option<Notice>> {
    let thread = match event.sigev_notify {
        SIGEV_NONE => return Ok(None),
        SIGEV_SIGNAL | SIGEV_THREAD => None,
        SIGEV_THREAD_ID => {
            let thread = cx.system().thread(event._tid.cast_unsigned()).ok_or(Errno::EINVAL)?;
            if !Arc::ptr_eq(thread.process(), cx.process()) {
                return Err(Errno::EINVAL);
            }
            Some(Arc::downgrade(&thread))
        }
        _ => return Err(Errno::EINVAL),
    };
    if !(1..=SIGRTMAX).contains(&event.sigev_signo) {
        return Err(Errno::EINVAL);
    }
    Ok(Some(Notice { signal: event.sigev_signo, value: event.sigev_value, thread }))
}

/// `timer_create(2)`.
pub(crate) fn sys_timer_create(
    cx: &Context<'_>,
    clock: i32,
    event: UserPtr<Sigevent, In>,
    to: UserPtr<i32, Out>,
) -> SysResult<()> {
    let event = event.non_null().map(|event| event.read(cx)).transpose()?;
    // LINUX: the alarm clocks have timers only where an RTC can wake the machine.
    if matches!(clock, CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let base = timer_base(cx, clock)?;
    let timers = &cx.process().timers;
    let id = {
        let mut state = timers.state.lock();
        if state.posix.len() >= MAX_TIMERS {
            return Err(Errno::EAGAIN.into());
        }
        let id = state.next_id;
        state.next_id = id.checked_add(1).unwrap_or(0);
        id
    };
    let notice = match event {
        Some(event) => notice(cx, &event)?,
        None => Some(Notice { signal: SIGALRM, value: id.cast_unsigned().into(), thread: None }),
    };
    let process = Arc::downgrade(cx.process());
    let alarm = Alarm::new(cx.platform(), base, move |alarm| {
        let Some(notice) = &notice else { return };
        let Some(process) = process.upgrade() else { return };
        let info = Siginfo::timer(notice.signal, id, 0, notice.value);
        let thread = notice.thread.as_ref().map(Weak::upgrade);
        let waits = match &thread {
            Some(Some(thread)) => {
                let _ = signal::send_thread(thread, info);
                thread.signals.pending.has_timer(id)
            }
            Some(None) => false,
            None => {
                let _ = signal::send_process(&process, info);
                process.pending.has_timer(id)
            }
        };
        if !waits {
            // The signal is ignored: nobody will ask for the expirations.
            alarm.forward_by(SHORTEST_NS);
        }
    });
    to.write(cx, &id)?;
    let timer = Arc::new(PosixTimer { alarm, overrun: Arc::default() });
    timers.state.lock().posix.insert(id, timer);
    Ok(())
}

/// `timer_settime(2)`.
pub(crate) fn sys_timer_settime(
    cx: &Context<'_>,
    id: i32,
    flags: Flags,
    new: UserPtr<Itimerspec, In>,
    old: UserPtr<Itimerspec, Out>,
) -> SysResult<()> {
    let new = new.non_null().ok_or(Errno::EINVAL)?.read(cx)?;
    let (value, interval) = (duration_ns(&new.it_value)?, duration_ns(&new.it_interval)?);
    let timer = cx.process().timers.find(id).ok_or(Errno::EINVAL)?;
    // The signal of an earlier setting says nothing about this one.
    cx.process().pending.forget_timer(id);
    timer.overrun.store(0, Ordering::Relaxed);
    let before = timer.alarm.set(value, interval, flags.0 & TIMER_ABSTIME != 0);
    if let Some(old) = old.non_null() {
        old.write(cx, &itimerspec(before))?;
    }
    Ok(())
}

/// Makes an `itimerspec`.
pub(crate) const fn itimerspec(setting: Setting) -> Itimerspec {
    Itimerspec { it_interval: timespec(setting.interval), it_value: timespec(setting.left) }
}

/// `timer_gettime(2)`.
pub(crate) fn sys_timer_gettime(cx: &Context<'_>, id: i32, to: UserPtr<Itimerspec, Out>) -> SysResult<()> {
    let timer = cx.process().timers.find(id).ok_or(Errno::EINVAL)?;
    Ok(to.write(cx, &itimerspec(timer.alarm.get()))?)
}

/// `timer_getoverrun(2)`.
pub(crate) fn sys_timer_getoverrun(cx: &Context<'_>, id: i32) -> SysResult<i32> {
    let timer = cx.process().timers.find(id).ok_or(Errno::EINVAL)?;
    Ok(timer.overrun.load(Ordering::Relaxed))
}

/// `timer_delete(2)`.
pub(crate) fn sys_timer_delete(cx: &Context<'_>, id: i32) -> SysResult<()> {
    let timer = cx.process().timers.state.lock().posix.remove(&id).ok_or(Errno::EINVAL)?;
    timer.alarm.set(0, 0, false);
    cx.process().pending.forget_timer(id);
    Ok(())
}
