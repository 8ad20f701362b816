//! `timerfd_create(2)` and its relatives.

use abi::fs::O_RDWR;
use abi::time::*;
use abi::{Errno, Result};
use alloc::sync::Arc;

use crate::decode::{Fd, Flags, In, Out, UserPtr};
use crate::handlers::time::{duration_ns, timer_base};
use crate::handlers::timer::itimerspec;
use crate::proc::{CloseOnExec, Description, Object, Resource};
use crate::timerfd::TimerFd;
use crate::{Context, SysResult};

/// `timerfd_create(2)`.
pub(crate) fn sys_timerfd_create(cx: &Context<'_>, clock: i32, flags: Flags) -> SysResult<i32> {
    let clocks =
        [CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM];
    if flags.0 & !(TFD_CLOEXEC | TFD_NONBLOCK) != 0 || !clocks.contains(&clock) {
        return Err(Errno::EINVAL.into());
    }
    if matches!(clock, CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM)
        && !cx.credentials().can(crate::proc::Capability::WakeAlarm)
    {
        return Err(Errno::EPERM.into());
    }
    let timer = TimerFd::new(cx.platform(), timer_base(cx, clock)?, clock);
    let description = Description::new(Object::TimerFd(timer), O_RDWR | flags.0 & TFD_NONBLOCK);
    let close = CloseOnExec::from_bit(flags.0 & TFD_CLOEXEC != 0);
    Ok(cx.files().add(description, close, 0, cx.process().limit(Resource::Nofile))?.0)
}

fn timer(cx: &Context<'_>, fd: Fd) -> Result<Arc<TimerFd>> {
    match cx.files().get(fd)?.object() {
        Object::TimerFd(timer) => Ok(Arc::clone(timer)),
        _ => Err(Errno::EINVAL),
    }
}

/// `timerfd_settime(2)`.
pub(crate) fn sys_timerfd_settime(
    cx: &Context<'_>,
    fd: Fd,
    flags: Flags,
    new: UserPtr<Itimerspec, In>,
    old: UserPtr<Itimerspec, Out>,
) -> SysResult<()> {
    let new = new.read(cx)?;
    if flags.0 & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (value, interval) = (duration_ns(&new.it_value)?, duration_ns(&new.it_interval)?);
    let timer = timer(cx, fd)?;
    let absolute = flags.0 & TFD_TIMER_ABSTIME != 0;
    let realtime = matches!(timer.clock(), CLOCK_REALTIME | CLOCK_REALTIME_ALARM);
    let cancels = flags.0 & TFD_TIMER_CANCEL_ON_SET != 0 && realtime;
    let before = timer.set(&cx.system().time, value, interval, absolute, cancels);
    if let Some(old) = old.non_null() {
        old.write(cx, &itimerspec(before))?;
    }
    Ok(())
}

/// `timerfd_gettime(2)`.
pub(crate) fn sys_timerfd_gettime(cx: &Context<'_>, fd: Fd, to: UserPtr<Itimerspec, Out>) -> SysResult<()> {
    let timer = timer(cx, fd)?;
    Ok(to.write(cx, &itimerspec(timer.get()))?)
}
