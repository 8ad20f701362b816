//! Semaphores (`semget(2)`, `semop(2)`, `semctl(2)`).
//!
//! A set's operations are carried out whole or not at all. Who cannot go on queues: an operation on one semaphore with
//! that semaphore, so that a change looks only at those whom it may help; several operations at once in the set's own
//! queue, which, while there is one in it, also takes the single ones, so that all are served in the order in which they
//! came. Operations that only wait for zero are in queues of their own, and come first.

mod queue;
mod undo;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::ipc::{
    IPC_NOWAIT, IpcPerm, SEM_UNDO, SEMAEM, SEMMNI, SEMMNS, SEMMSL, SEMOPM, SEMVMX, Sembuf, SemidDs,
};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hashbrown::HashMap;

use super::Wakes;
use super::table::{Keyed, Permissions, READ, Table, WRITE};
use crate::Context;
use crate::proc::Credentials;

pub use queue::Waiter;
use queue::{Operations, Pending};
pub use undo::UndoList;

/// Largest value of a semaphore.
const MAX_VALUE: i32 = SEMVMX.cast_signed();
/// Largest sum of what is to be undone.
const MAX_UNDO: i32 = SEMAEM.cast_signed();

/// Returns an operation's flags.
fn flags(operation: &Sembuf) -> u32 {
    u32::from(operation.sem_flg.cast_unsigned())
}

/// All sets.
pub struct Sets {
    /// By key and identifier.
    pub table: Table<Set>,
    /// Most semaphores of a set (`SEMMSL`).
    pub set_limit: AtomicU32,
    /// Most semaphores of all sets together (`SEMMNS`).
    pub total_limit: AtomicU32,
    /// Most operations of a call (`SEMOPM`).
    pub operation_limit: AtomicU32,
    used: Lock<u64, { rank::LEAF }>,
}

impl Default for Sets {
    fn default() -> Self {
        Self {
            table: Table::new(SEMMNI),
            set_limit: AtomicU32::new(SEMMSL),
            total_limit: AtomicU32::new(SEMMNS),
            operation_limit: AtomicU32::new(SEMOPM),
            used: Lock::default(),
        }
    }
}

impl Sets {
    /// Makes a set whose semaphores are all zero; `None` if another was faster with the key.
    ///
    /// # Errors
    /// `EINVAL` for no semaphores, `ENOSPC` for too many, `ENOMEM`.
    pub fn add(&self, key: i32, count: u32, flags: u32, who: &Credentials, now: i64) -> Result<Option<i32>> {
        if count == 0 {
            return Err(Errno::EINVAL);
        }
        if *self.used.lock() + u64::from(count) > u64::from(self.total_limit.load(Ordering::Relaxed)) {
            return Err(Errno::ENOSPC);
        }
        let mut semaphores = Vec::new();
        semaphores.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
        semaphores.resize_with(count as usize, Semaphore::default);
        let id = self.table.add(key, |id| {
            let state = State {
                permissions: Permissions::new(id, key, flags, who),
                otime: 0,
                ctime: now,
                removed: false,
                semaphores,
                changes: VecDeque::new(),
                zeros: VecDeque::new(),
                complex: 0,
                undo: HashMap::new(),
            };
            Arc::new(Set { count, state: Lock::new(state) })
        })?;
        if id.is_some() {
            *self.used.lock() += u64::from(count);
        }
        Ok(id)
    }

    /// Returns how many semaphores there are in all sets.
    pub fn used(&self) -> u64 {
        *self.used.lock()
    }

    /// `IPC_RMID`: whoever waits wakes with `EIDRM`.
    ///
    /// # Errors
    /// `EPERM`
    pub fn remove(&self, set: &Set, who: &Credentials) -> Result<()> {
        let mut wakes = Wakes::default();
        let mut state = set.state.lock();
        state.permissions.control(who)?;
        if core::mem::replace(&mut state.removed, true) {
            return Err(Errno::EIDRM);
        }
        *self.used.lock() -= u64::from(set.count);
        // Not the last reference: the caller has one.
        drop(self.table.remove(&state.permissions));
        let undo = core::mem::take(&mut state.undo);
        let pending = state.take_all_pending();
        drop(state);
        drop(undo);
        for pending in pending {
            pending.finish(Err(Errno::EIDRM), &mut wakes);
        }
        wakes.wake();
        Ok(())
    }
}

/// A set of semaphores.
pub struct Set {
    count: u32,
    state: Lock<State, { rank::OBJECT }>,
}

#[derive(Default)]
struct Semaphore {
    value: i32,
    /// The process that changed it last.
    pid: u32,
    /// Single operations that are to change it.
    changes: VecDeque<Pending>,
    /// Single operations that wait for it to be zero.
    zeros: VecDeque<Pending>,
}

struct State {
    permissions: Permissions,
    otime: i64,
    ctime: i64,
    removed: bool,
    semaphores: Vec<Semaphore>,
    /// Several operations at once; while there are such, single ones too.
    changes: VecDeque<Pending>,
    /// Several operations at once that only wait for zero.
    zeros: VecDeque<Pending>,
    /// How many of those that wait have several operations.
    complex: usize,
    /// What is to be added to each semaphore when a list's last user ends.
    undo: HashMap<u64, Box<[i16]>>,
}

/// Who asks for operations.
#[derive(Clone, Copy)]
struct Caller {
    pid: u32,
    undo: Option<u64>,
}

/// Why operations were not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Obstacle {
    /// The one in this place has to wait.
    Wait(usize),
    /// They never will be.
    Never(Errno),
}

/// What [`Set::operate`] has done.
pub enum Operated {
    /// Everything.
    Done,
    /// Queued the operations.
    Queued(Arc<Waiter>),
}

/// A value that `semctl(2)` returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Query {
    /// `GETVAL`
    Value,
    /// `GETPID`
    Pid,
    /// `GETNCNT`
    WaitForMore,
    /// `GETZCNT`
    WaitForZero,
}

impl Set {
    /// Returns how many semaphores it has.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Carries operations out, or queues them.
    ///
    /// # Errors
    /// `EFBIG` for a semaphore that is not in the set, `EACCES`, `EIDRM`, `ERANGE`, `EAGAIN` for what may not wait,
    /// `ENOMEM`.
    pub fn operate(self: &Arc<Self>, cx: &Context<'_>, operations: &[Sembuf]) -> Result<Operated> {
        let undoes = operations.iter().any(|op| flags(op) & SEM_UNDO != 0);
        let list = undoes.then(|| cx.thread.undo_list());
        let changes = operations.iter().any(|op| op.sem_op != 0);
        if operations.iter().any(|op| u32::from(op.sem_num) >= self.count) {
            return Err(Errno::EFBIG);
        }
        let caller = Caller { pid: cx.process().pid(), undo: list.as_ref().map(|list| list.id()) };
        let now = super::seconds(cx.clock());
        let mut wakes = Wakes::default();
        let mut state = self.state.lock();
        let wanted = if changes { WRITE } else { READ };
        cx.thread.with_credentials(|who| state.permissions.allow(who, wanted))?;
        if state.removed {
            return Err(Errno::EIDRM);
        }
        if let Some(list) = &list {
            self.prepare_undo(&mut state, list)?;
        }
        match state.perform(operations, caller) {
            Ok(()) => {
                if changes {
                    state.serve(Some(operations), &mut wakes);
                }
                state.otime = now;
            }
            Err(Obstacle::Never(errno)) => return Err(errno),
            Err(Obstacle::Wait(blocking)) => {
                let waiter = Waiter::new(cx.thread.waker(), operations);
                let operations = Operations::new(operations);
                state.queue(Pending::new(operations, caller, blocking, &waiter), changes);
                return Ok(Operated::Queued(waiter));
            }
        }
        drop(state);
        wakes.wake();
        Ok(Operated::Done)
    }

    /// Takes operations back that are still queued; returns their result if they are not.
    ///
    /// # Errors
    /// As the operations ended.
    pub fn withdraw(&self, waiter: &Arc<Waiter>) -> Option<Result<()>> {
        let mut state = self.state.lock();
        let result = waiter.result();
        let gone = if result.is_none() { state.take_pending(waiter) } else { None };
        drop(state);
        drop(gone);
        result
    }

    /// Returns one value.
    ///
    /// # Errors
    /// `EACCES`, `EINVAL` for a semaphore that is not in the set.
    pub fn query(&self, who: &Credentials, index: i32, query: Query) -> Result<i32> {
        let state = self.state.lock();
        state.permissions.allow(who, READ)?;
        let index = usize::try_from(index).map_err(|_| Errno::EINVAL)?;
        let semaphore = state.semaphores.get(index).ok_or(Errno::EINVAL)?;
        Ok(match query {
            Query::Value => semaphore.value,
            Query::Pid => semaphore.pid.cast_signed(),
            Query::WaitForMore => state.count_waiters(index, |operation| operation.sem_op < 0),
            Query::WaitForZero => state.count_waiters(index, |operation| operation.sem_op == 0),
        })
    }

    /// `GETALL`
    ///
    /// # Errors
    /// `EACCES`
    pub fn values(&self, who: &Credentials) -> Result<Vec<u16>> {
        let state = self.state.lock();
        state.permissions.allow(who, READ)?;
        Ok(state.semaphores.iter().map(|s| u16::try_from(s.value).unwrap_or(0)).collect())
    }

    /// Checks whether `SETALL` is permitted, before the values are copied in.
    ///
    /// # Errors
    /// `EACCES`
    pub fn check_set_all(&self, who: &Credentials) -> Result<()> {
        self.state.lock().permissions.allow(who, WRITE)
    }

    /// `SETALL`
    ///
    /// # Errors
    /// `ERANGE` for a value that is too large, `EIDRM`.
    pub fn set_all(&self, cx: &Context<'_>, values: &[u16]) -> Result<()> {
        if values.iter().any(|&value| i32::from(value) > MAX_VALUE) {
            return Err(Errno::ERANGE);
        }
        self.change_values(cx, |state, pid| {
            for (semaphore, value) in state.semaphores.iter_mut().zip(values) {
                semaphore.value = i32::from(*value);
                semaphore.pid = pid;
            }
            state.undo.values_mut().for_each(|undo| undo.fill(0));
            Ok(())
        })
    }

    /// `SETVAL`
    ///
    /// # Errors
    /// `EINVAL` for a semaphore that is not in the set, `EACCES`, `EIDRM`.
    pub fn set_value(&self, cx: &Context<'_>, who: &Credentials, index: i32, value: i32) -> Result<()> {
        self.change_values(cx, |state, pid| {
            let index = usize::try_from(index).map_err(|_| Errno::EINVAL)?;
            let semaphore = state.semaphores.get_mut(index).ok_or(Errno::EINVAL)?;
            state.permissions.allow(who, WRITE)?;
            (semaphore.value, semaphore.pid) = (value, pid);
            state.undo.values_mut().for_each(|undo| undo[index] = 0);
            Ok(())
        })
    }

    fn change_values(
        &self,
        cx: &Context<'_>,
        change: impl FnOnce(&mut State, u32) -> Result<()>,
    ) -> Result<()> {
        let now = super::seconds(cx.clock());
        let mut wakes = Wakes::default();
        let mut state = self.state.lock();
        if state.removed {
            return Err(Errno::EIDRM);
        }
        change(&mut state, cx.process().pid())?;
        state.ctime = now;
        if state.serve(None, &mut wakes) {
            state.otime = now;
        }
        drop(state);
        wakes.wake();
        Ok(())
    }

    /// `IPC_SET`
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`, `EIDRM`
    pub fn set(&self, who: &Credentials, new: &IpcPerm, now: i64) -> Result<()> {
        let mut state = self.state.lock();
        state.permissions.control(who)?;
        if state.removed {
            return Err(Errno::EIDRM);
        }
        state.permissions.update(new)?;
        state.ctime = now;
        Ok(())
    }

    /// Tells about the set.
    pub fn status(&self) -> (i32, SemidDs) {
        let state = self.state.lock();
        let status = SemidDs {
            sem_perm: state.permissions.to_abi(),
            sem_otime: state.otime,
            _unused1: 0,
            sem_ctime: state.ctime,
            _unused2: 0,
            sem_nsems: u64::from(self.count),
            _unused3: [0; 2],
        };
        (state.permissions.id, status)
    }
}

impl State {
    /// Carries operations out: all, or none.
    fn perform(&mut self, operations: &[Sembuf], caller: Caller) -> Result<(), Obstacle> {
        let mut undo = caller.undo.and_then(|id| self.undo.get_mut(&id));
        let mut obstacle = None;
        let mut done = 0;
        for (place, operation) in operations.iter().enumerate() {
            let semaphore = &mut self.semaphores[usize::from(operation.sem_num)];
            let (change, flags) = (i32::from(operation.sem_op), flags(operation));
            let value = semaphore.value + change;
            if change == 0 && semaphore.value != 0 || value < 0 {
                let wait = flags & IPC_NOWAIT == 0;
                obstacle = Some(if wait { Obstacle::Wait(place) } else { Obstacle::Never(Errno::EAGAIN) });
                break;
            }
            if value > MAX_VALUE {
                obstacle = Some(Obstacle::Never(Errno::ERANGE));
                break;
            }
            if flags & SEM_UNDO != 0
                && let Some(undo) = &mut undo
            {
                let sum = i32::from(undo[usize::from(operation.sem_num)]) - change;
                match i16::try_from(sum) {
                    Ok(sum) if (-MAX_UNDO - 1..=MAX_UNDO).contains(&i32::from(sum)) => {
                        undo[usize::from(operation.sem_num)] = sum;
                    }
                    _ => {
                        obstacle = Some(Obstacle::Never(Errno::ERANGE));
                        break;
                    }
                }
            }
            semaphore.value = value;
            done = place + 1;
        }
        let Some(obstacle) = obstacle else {
            for operation in operations {
                self.semaphores[usize::from(operation.sem_num)].pid = caller.pid;
            }
            return Ok(());
        };
        for operation in operations[..done].iter().rev() {
            let index = usize::from(operation.sem_num);
            self.semaphores[index].value -= i32::from(operation.sem_op);
            if flags(operation) & SEM_UNDO != 0
                && let Some(undo) = &mut undo
            {
                undo[index] += operation.sem_op;
            }
        }
        Err(obstacle)
    }
}

impl Keyed for Set {
    fn permissions(&self) -> Permissions {
        self.state.lock().permissions
    }
}
