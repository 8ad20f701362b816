//! The only place where a system call sleeps.

use alloc::sync::Arc;
use core::task::Waker;

use abi::{Errno, Result};
use hal::{Readiness, WaitQueue};

use crate::{Context, Restart, SysError, SysResult};

/// Why a sleep ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// Somebody called the thread's waker, or nobody did: look again.
    Again,
    /// The deadline has passed.
    Deadline,
    /// A signal wants to be delivered, or the thread is to end.
    Signal,
}

/// Sleeps once, until the thread's waker is called, a signal comes in, or the monotonic clock reaches the deadline.
///
/// The caller has registered the thread's waker ([`crate::proc::Thread::waker`]) before its last look at the condition.
pub fn park(cx: &Context<'_>, deadline_ns: Option<u64>) -> Woken {
    if cx.thread.interrupted() {
        return Woken::Signal;
    }
    if deadline_ns.is_some_and(|at| cx.clock().monotonic_ns() >= at) {
        return Woken::Deadline;
    }
    cx.scheduler().park(deadline_ns);
    if cx.thread.interrupted() {
        return Woken::Signal;
    }
    if deadline_ns.is_some_and(|at| cx.clock().monotonic_ns() >= at) {
        return Woken::Deadline;
    }
    Woken::Again
}

/// Repeats `step` until it answers something else than `EAGAIN`, sleeping between the tries on `queue` for `interest`.
///
/// # Errors
/// What `step` answers; `EAGAIN` when the deadline passes; a [`Restart`] when a signal comes in.
pub fn until_ready<T>(
    cx: &Context<'_>,
    queue: &Arc<WaitQueue>,
    interest: Readiness,
    deadline_ns: Option<u64>,
    step: impl FnMut() -> Result<T>,
) -> SysResult<T> {
    until_woken(cx, |waker| queue.add_exclusive(interest, waker), deadline_ns, step)
}

/// As [`until_ready`], where the thread's waker is registered in another way: what `register` returns is kept as long
/// as the thread may sleep.
///
/// # Errors
/// As for [`until_ready`].
pub fn until_woken<T, R>(
    cx: &Context<'_>,
    register: impl FnOnce(&Waker) -> R,
    deadline_ns: Option<u64>,
    mut step: impl FnMut() -> Result<T>,
) -> SysResult<T> {
    match step() {
        Err(Errno::EAGAIN) => sleep_until_woken(cx, register, deadline_ns, step),
        other => Ok(other?),
    }
}

/// As [`until_woken`], after a first try of `step` has answered `EAGAIN`.
///
/// # Errors
/// As for [`until_ready`].
pub fn sleep_until_woken<T, R>(
    cx: &Context<'_>,
    register: impl FnOnce(&Waker) -> R,
    deadline_ns: Option<u64>,
    mut step: impl FnMut() -> Result<T>,
) -> SysResult<T> {
    // Registered before the next try, so that what happens between the try and the sleep wakes the thread.
    let _registration = register(cx.thread.waker());
    loop {
        match step() {
            Err(Errno::EAGAIN) => {}
            other => return Ok(other?),
        }
        match park(cx, deadline_ns) {
            Woken::Again => {}
            Woken::Deadline => return Err(Errno::EAGAIN.into()),
            Woken::Signal => return Err(SysError::Restart(Restart::Sys)),
        }
    }
}
