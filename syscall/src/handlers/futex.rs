//! `futex(2)`, `futex_waitv(2)`, robust lists.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::futex::*;
use abi::time::{CLOCK_MONOTONIC, CLOCK_REALTIME, Timespec};
use abi::{Errno, Result};
use hal::UserAddr;

use crate::decode::{Flags, In, Out, UserPtr};
use crate::futex::{Claim, Deadline, Expected, Key, MATCH_ANY, Scope, update};
use crate::handlers::time::{Base, duration_ns};
use crate::proc::{Capability, Thread};
use crate::{Context, Restart, SysError, SysResult};

/// `futex(2)`.
pub(crate) fn sys_futex(
    cx: &Context<'_>,
    at: UserAddr,
    operation: Flags,
    value: u32,
    timeout: UserAddr,
    second: UserAddr,
    third: u32,
) -> SysResult<usize> {
    let command = operation.0 & FUTEX_CMD_MASK;
    let flags = FutexFlags::from_bits_truncate(operation.0);
    let realtime = flags.contains(FutexFlags::FUTEX_CLOCK_REALTIME);
    let takes_clock =
        matches!(command, FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI | FUTEX_LOCK_PI2 | FUTEX_WAIT);
    if realtime && (!takes_clock || command == FUTEX_WAIT) {
        return Err(Errno::ENOSYS.into());
    }
    let scope = if flags.contains(FutexFlags::FUTEX_PRIVATE_FLAG) { Scope::Private } else { Scope::Shared };
    let base = if realtime || command == FUTEX_LOCK_PI { Base::Realtime } else { Base::Monotonic };
    // Where the other operations take an address of a time, these take a second count.
    #[expect(clippy::cast_possible_truncation, reason = "Linux takes the low half of the register")]
    let count = timeout.0 as u32 as usize;
    let most = value as usize;
    let futexes = &cx.system().futexes;
    match command {
        FUTEX_WAIT | FUTEX_WAIT_BITSET => {
            let relative = command == FUTEX_WAIT;
            let deadline = deadline(cx, UserPtr::new(timeout), base, relative)?;
            let bits = if relative { MATCH_ANY } else { third };
            if bits == 0 {
                return Err(Errno::EINVAL.into());
            }
            wait(cx, Expected { at, value, bits, scope }, deadline).map(|_| 0)
        }
        FUTEX_WAKE | FUTEX_WAKE_BITSET => {
            let bits = if command == FUTEX_WAKE { MATCH_ANY } else { third };
            if bits == 0 {
                return Err(Errno::EINVAL.into());
            }
            let key = Key::new(cx, at, scope)?;
            // LINUX: a count of zero or less wakes one.
            Ok(futexes.wake(key, signed_count(value).max(1), bits))
        }
        FUTEX_REQUEUE | FUTEX_CMP_REQUEUE => {
            if value.cast_signed() < 0 || timeout.0 & 0x8000_0000 != 0 {
                return Err(Errno::EINVAL.into());
            }
            let (from, to) = (Key::new(cx, at, scope)?, Key::new(cx, second, scope)?);
            if command == FUTEX_CMP_REQUEUE && cx.memory().load_u32(at)? != third {
                return Err(Errno::EAGAIN.into());
            }
            let (woken, moved) = futexes.requeue(from, to, most, count);
            Ok(woken + moved)
        }
        FUTEX_WAKE_OP => {
            let (first, other) = (Key::new(cx, at, scope)?, Key::new(cx, second, scope)?);
            let holds = wake_op(cx, second, third)?;
            let mut woken = futexes.wake(first, signed_count(value).max(1), MATCH_ANY);
            if holds {
                woken += futexes.wake(other, count.max(1), MATCH_ANY);
            }
            Ok(woken)
        }
        FUTEX_LOCK_PI | FUTEX_LOCK_PI2 | FUTEX_TRYLOCK_PI => {
            let claim = if command == FUTEX_TRYLOCK_PI { Claim::Try } else { Claim::Wait };
            let deadline = match claim {
                Claim::Wait => deadline(cx, UserPtr::new(timeout), base, false)?,
                Claim::Try => None,
            };
            futexes.lock_pi(cx, at, scope, deadline.as_ref(), claim).map(|()| 0)
        }
        FUTEX_UNLOCK_PI => Ok(futexes.unlock_pi(cx, at, scope).map(|()| 0)?),
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn signed_count(value: u32) -> usize {
    usize::try_from(value.cast_signed()).unwrap_or(0)
}

fn deadline(
    cx: &Context<'_>,
    timeout: UserPtr<Timespec, In>,
    base: Base,
    relative: bool,
) -> Result<Option<Deadline>> {
    let Some(timeout) = timeout.non_null() else { return Ok(None) };
    let time = duration_ns(&timeout.read(cx)?)?;
    let start = if relative { base.now(cx.platform()) } else { 0 };
    Ok(Some(Deadline { at: start.saturating_add(time), base }))
}

fn wait(cx: &Context<'_>, expected: Expected, deadline: Option<Deadline>) -> SysResult<i64> {
    match cx.system().futexes.wait(cx, &[expected], deadline.as_ref()) {
        Err(SysError::Restart(_)) if deadline.is_some() => {
            // The time goes on from where it is, not from the start.
            let again = move |cx: &Context<'_>| wait(cx, expected, deadline.clone());
            cx.thread.signals.set_continuation(Box::new(again));
            Err(SysError::Restart(Restart::Block))
        }
        other => other.map(|_| 0),
    }
}

/// Carries out the operation that `FUTEX_WAKE_OP` encodes; says whether its comparison holds.
fn wake_op(cx: &Context<'_>, at: UserAddr, encoded: u32) -> Result<bool> {
    let signed = |bits: u32| (bits << 20).cast_signed() >> 20;
    let (operation, comparison) = (encoded >> 28 & 7, encoded >> 24 & 15);
    let shifted = encoded >> 28 & FUTEX_OP_OPARG_SHIFT != 0;
    let mut argument = signed(encoded >> 12);
    let expected = signed(encoded);
    if shifted {
        // LINUX: a shift out of range is taken modulo 32, with a warning.
        argument = 1_i32.wrapping_shl(argument.cast_unsigned());
    }
    let change = |old: u32| {
        let argument = argument.cast_unsigned();
        match operation {
            FUTEX_OP_SET => argument,
            FUTEX_OP_ADD => old.wrapping_add(argument),
            FUTEX_OP_OR => old | argument,
            FUTEX_OP_ANDN => old & !argument,
            _ => old ^ argument,
        }
    };
    if operation > FUTEX_OP_XOR || comparison > FUTEX_OP_CMP_GE {
        return Err(Errno::ENOSYS);
    }
    let old = update(cx.memory(), at, change)?.cast_signed();
    Ok(match comparison {
        FUTEX_OP_CMP_EQ => old == expected,
        FUTEX_OP_CMP_NE => old != expected,
        FUTEX_OP_CMP_LT => old < expected,
        FUTEX_OP_CMP_LE => old <= expected,
        FUTEX_OP_CMP_GT => old > expected,
        _ => old >= expected,
    })
}

/// `futex_waitv(2)`.
pub(crate) fn sys_futex_waitv(
    cx: &Context<'_>,
    waiters: UserPtr<FutexWaitv, In>,
    count: u32,
    flags: Flags,
    timeout: UserPtr<Timespec, In>,
    clock: i32,
) -> SysResult<usize> {
    if flags.0 != 0 || count == 0 || count > FUTEX_WAITV_MAX || waiters.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let deadline = if timeout.is_null() {
        None
    } else {
        let base = match clock {
            CLOCK_REALTIME => Base::Realtime,
            CLOCK_MONOTONIC => Base::Monotonic,
            _ => return Err(Errno::EINVAL.into()),
        };
        deadline(cx, timeout, base, false)?
    };
    let private = FutexFlags::FUTEX_PRIVATE_FLAG.bits();
    let list = waiters
        .read_many(cx, count as usize)?
        .iter()
        .map(|w| {
            if w.flags & !(FUTEX_32 | private) != 0 || w.__reserved != 0 || w.flags & FUTEX_32 == 0 {
                return Err(Errno::EINVAL);
            }
            let value = u32::try_from(w.val).map_err(|_| Errno::EINVAL)?;
            let scope = if w.flags & private != 0 { Scope::Private } else { Scope::Shared };
            Ok(Expected { at: UserAddr(w.uaddr), value, bits: MATCH_ANY, scope })
        })
        .collect::<Result<Vec<Expected>>>()?;
    cx.system().futexes.wait(cx, &list, deadline.as_ref())
}

/// `set_robust_list(2)`.
pub(crate) fn sys_set_robust_list(cx: &Context<'_>, head: UserAddr, len: usize) -> SysResult<()> {
    if len != size_of::<RobustListHead>() {
        return Err(Errno::EINVAL.into());
    }
    cx.thread.robust_list.store(head.0, Ordering::Relaxed);
    Ok(())
}

/// `get_robust_list(2)`.
pub(crate) fn sys_get_robust_list(
    cx: &Context<'_>,
    tid: i32,
    head: UserPtr<u64, Out>,
    len: UserPtr<usize, Out>,
) -> SysResult<()> {
    let read = |thread: &Thread| thread.robust_list.load(Ordering::Relaxed);
    let at = if tid == 0 {
        read(cx.thread)
    } else {
        let thread = cx.system().thread(tid.cast_unsigned()).ok_or(Errno::ESRCH)?;
        let (own, other) = (cx.credentials(), thread.credentials());
        let same = own.uid == other.uid && own.uid == other.euid && own.uid == other.suid;
        if !same && !own.can(Capability::SysPtrace) {
            return Err(Errno::EPERM.into());
        }
        read(&thread)
    };
    len.write(cx, &size_of::<RobustListHead>())?;
    Ok(head.write(cx, &at)?)
}
