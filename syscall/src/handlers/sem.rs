//! Semaphores of System V.

use core::sync::atomic::Ordering;

use abi::Errno;
use abi::ipc::*;
use abi::time::Timespec;
use hal::UserAddr;

use super::time::duration_ns;
use crate::block::{self, Woken};
use crate::decode::{Flags, In, InOut, UserPtr};
use crate::ipc::seconds;
use crate::ipc::sem::{Operated, Query, Set};
use crate::ipc::table::{Keyed, READ};
use crate::{Context, SysResult};

/// So many operations are kept on the stack.
const FEW: usize = 16;

/// `semget(2)`.
pub(crate) fn sys_semget(cx: &Context<'_>, key: i32, count: i32, flags: Flags) -> SysResult<i32> {
    let (sets, who) = (&cx.system().ipc.sem, cx.credentials());
    let count = u32::try_from(count).map_err(|_| Errno::EINVAL)?;
    if count > sets.set_limit.load(Ordering::Relaxed) {
        return Err(Errno::EINVAL.into());
    }
    loop {
        let fits = |set: &Set| if set.count() < count { Err(Errno::EINVAL) } else { Ok(()) };
        if let Some(id) = sets.table.find(key, flags.0, &who, fits)? {
            return Ok(id);
        }
        if let Some(id) = sets.add(key, count, flags.0, &who, seconds(cx.clock()))? {
            return Ok(id);
        }
    }
}

/// `semop(2)`.
pub(crate) fn sys_semop(
    cx: &Context<'_>,
    id: i32,
    operations: UserPtr<Sembuf, In>,
    count: u32,
) -> SysResult<()> {
    operate(cx, id, operations, count, None)
}

/// `semtimedop(2)`.
pub(crate) fn sys_semtimedop(
    cx: &Context<'_>,
    id: i32,
    operations: UserPtr<Sembuf, In>,
    count: u32,
    timeout: UserPtr<Timespec, In>,
) -> SysResult<()> {
    let timeout = timeout.non_null().map(|timeout| timeout.read(cx)).transpose()?;
    operate(cx, id, operations, count, timeout)
}

fn operate(
    cx: &Context<'_>,
    id: i32,
    operations: UserPtr<Sembuf, In>,
    count: u32,
    timeout: Option<Timespec>,
) -> SysResult<()> {
    let sets = &cx.system().ipc.sem;
    if count < 1 || id < 0 {
        return Err(Errno::EINVAL.into());
    }
    if count > sets.operation_limit.load(Ordering::Relaxed) {
        return Err(Errno::E2BIG.into());
    }
    let count = count as usize;
    let mut few = [Sembuf { sem_num: 0, sem_op: 0, sem_flg: 0 }; FEW];
    let many;
    let list = if count <= FEW {
        let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut few[..count]);
        cx.memory().copy_in(operations.addr(), bytes)?;
        &few[..count]
    } else {
        many = operations.read_many(cx, count)?;
        &many[..]
    };
    let deadline = match timeout {
        Some(timeout) => Some(cx.clock().monotonic_ns().saturating_add(duration_ns(&timeout)?)),
        None => None,
    };
    let set = sets.table.get(id)?;
    let waiter = match set.operate(cx, list)? {
        Operated::Done => return Ok(()),
        Operated::Queued(waiter) => waiter,
    };
    loop {
        if let Some(result) = waiter.result() {
            return Ok(result?);
        }
        let errno = match block::park(cx, deadline) {
            Woken::Again => continue,
            Woken::Deadline => Errno::EAGAIN,
            // LINUX: never started again after a signal, whatever the handler's flags.
            Woken::Signal => Errno::EINTR,
        };
        return Ok(set.withdraw(&waiter).unwrap_or(Err(errno))?);
    }
}

/// `semctl(2)`. The last argument is a number or an address.
pub(crate) fn sys_semctl(cx: &Context<'_>, id: i32, index: i32, command: i32, value: u64) -> SysResult<i32> {
    let sets = &cx.system().ipc.sem;
    let command = u32::try_from(command).map_err(|_| Errno::EINVAL)?;
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    let to = UserAddr(value);
    match command {
        IPC_INFO | SEM_INFO => {
            let (used, highest) = sets.table.usage();
            UserPtr::<Seminfo, InOut>::new(to).write(cx, &info(cx, command == SEM_INFO, used))?;
            Ok(highest)
        }
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => {
            let set = if command == IPC_STAT { sets.table.get(id) } else { sets.table.at(id) }?;
            if command != SEM_STAT_ANY {
                set.permissions().allow(&cx.credentials(), READ)?;
            }
            let (id, status) = set.status();
            UserPtr::<SemidDs, InOut>::new(to).write(cx, &status)?;
            Ok(if command == IPC_STAT { 0 } else { id })
        }
        GETALL => {
            let values = sets.table.get(id)?.values(&cx.credentials())?;
            UserPtr::<u16, InOut>::new(to).write_many(cx, &values)?;
            Ok(0)
        }
        SETALL => {
            let set = sets.table.get(id)?;
            set.check_set_all(&cx.credentials())?;
            let values = UserPtr::<u16, InOut>::new(to).read_many(cx, set.count() as usize)?;
            set.set_all(cx, &values)?;
            Ok(0)
        }
        GETVAL => Ok(sets.table.get(id)?.query(&cx.credentials(), index, Query::Value)?),
        GETPID => Ok(sets.table.get(id)?.query(&cx.credentials(), index, Query::Pid)?),
        GETNCNT => Ok(sets.table.get(id)?.query(&cx.credentials(), index, Query::WaitForMore)?),
        GETZCNT => Ok(sets.table.get(id)?.query(&cx.credentials(), index, Query::WaitForZero)?),
        SETVAL => {
            #[expect(clippy::cast_possible_truncation, reason = "the argument is an int")]
            let value = value as i32;
            if !(0..=SEMVMX.cast_signed()).contains(&value) {
                return Err(Errno::ERANGE.into());
            }
            sets.table.get(id)?.set_value(cx, &cx.credentials(), index, value)?;
            Ok(0)
        }
        IPC_SET => {
            let new = UserPtr::<SemidDs, InOut>::new(to).read(cx)?;
            sets.table.get(id)?.set(&cx.credentials(), &new.sem_perm, seconds(cx.clock()))?;
            Ok(0)
        }
        IPC_RMID => {
            let set = sets.table.get(id)?;
            sets.remove(&set, &cx.credentials())?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// The limits; with `use_too` two of them make place for how many there are.
fn info(cx: &Context<'_>, use_too: bool, used: usize) -> Seminfo {
    let sets = &cx.system().ipc.sem;
    let limit = |value: &core::sync::atomic::AtomicU32| value.load(Ordering::Relaxed).cast_signed();
    let number = |value: u64| i32::try_from(value).unwrap_or(i32::MAX);
    Seminfo {
        // LINUX: what has no meaning any more repeats the limits' defaults.
        semmap: SEMMNS.cast_signed(),
        semmni: limit(&sets.table.limit),
        semmns: limit(&sets.total_limit),
        semmnu: SEMMNS.cast_signed(),
        semmsl: limit(&sets.set_limit),
        semopm: limit(&sets.operation_limit),
        semume: SEMOPM.cast_signed(),
        semusz: if use_too { number(used as u64) } else { UNDO_SIZE },
        semvmx: SEMVMX.cast_signed(),
        semaem: if use_too { number(sets.used()) } else { SEMAEM.cast_signed() },
    }
}

/// What `SEMUSZ` has been since ever.
const UNDO_SIZE: i32 = 20;
