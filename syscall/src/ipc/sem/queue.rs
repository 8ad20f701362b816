//! Who waits for semaphores, and who can go on.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Waker;

use abi::ipc::Sembuf;
use abi::{Errno, Result};

use super::{Caller, Obstacle, State, Wakes};

/// What became of operations that were queued, as it fits into an atomic.
const WAITS: u32 = 0;
const DONE: u32 = 1;

/// A thread that waits for its operations to be carried out.
pub struct Waiter {
    waker: Waker,
    /// The semaphore of a single operation.
    semaphore: Option<usize>,
    /// [`WAITS`], [`DONE`], or an error's number plus one.
    result: AtomicU32,
}

impl Waiter {
    pub(super) fn new(waker: &Waker, operations: &[Sembuf]) -> Arc<Self> {
        let semaphore = match operations {
            [one] => Some(usize::from(one.sem_num)),
            _ => None,
        };
        Arc::new(Self { waker: waker.clone(), semaphore, result: AtomicU32::new(WAITS) })
    }

    /// Returns what became of the operations; `None` while they wait.
    pub fn result(&self) -> Option<Result<()>> {
        match self.result.load(Ordering::SeqCst) {
            WAITS => None,
            DONE => Some(Ok(())),
            error => {
                let found = Errno::ALL.iter().find(|e| e.number().cast_unsigned() + 1 == error);
                Some(Err(found.copied().unwrap_or(Errno::EIDRM)))
            }
        }
    }
}

/// Operations that are kept; one needs no memory of its own.
pub(super) enum Operations {
    One([Sembuf; 1]),
    Many(Vec<Sembuf>),
}

impl Operations {
    pub(super) fn new(operations: &[Sembuf]) -> Self {
        match operations {
            [one] => Self::One([*one]),
            many => Self::Many(many.to_vec()),
        }
    }

    fn as_slice(&self) -> &[Sembuf] {
        match self {
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }
}

/// Operations in a queue.
pub(super) struct Pending {
    operations: Operations,
    caller: Caller,
    /// The place of the operation that has to wait.
    blocking: usize,
    waiter: Arc<Waiter>,
}

impl Pending {
    pub(super) fn new(operations: Operations, caller: Caller, blocking: usize, waiter: &Arc<Waiter>) -> Self {
        Self { operations, caller, blocking, waiter: Arc::clone(waiter) }
    }

    const fn is_complex(&self) -> bool {
        matches!(self.operations, Operations::Many(_))
    }

    fn first(&self) -> usize {
        usize::from(self.operations.as_slice()[0].sem_num)
    }

    /// Ends the wait.
    pub(super) fn finish(self, result: Result<()>, wakes: &mut Wakes) {
        let value = match result {
            Ok(()) => DONE,
            Err(errno) => errno.number().cast_unsigned() + 1,
        };
        wakes.push(self.waiter.waker.clone());
        self.waiter.result.store(value, Ordering::SeqCst);
    }
}

/// A queue of operations that change semaphores.
#[derive(Clone, Copy)]
enum Queue {
    /// That of the set.
    Set,
    /// That of one semaphore.
    Semaphore(usize),
}

impl State {
    /// Queues operations; `changes` says whether they only wait for zero.
    pub(super) fn queue(&mut self, pending: Pending, changes: bool) {
        let first = pending.first();
        if !pending.is_complex() {
            let queue = match (changes, self.complex > 0) {
                (true, true) => &mut self.changes,
                (true, false) => &mut self.semaphores[first].changes,
                (false, _) => &mut self.semaphores[first].zeros,
            };
            queue.push_back(pending);
            return;
        }
        if self.complex == 0 {
            // From now on all are served in the order in which they came.
            for semaphore in &mut self.semaphores {
                self.changes.append(&mut semaphore.changes);
            }
        }
        self.complex += 1;
        if changes { self.changes.push_back(pending) } else { self.zeros.push_back(pending) }
    }

    /// Takes out operations whose thread does not want to wait any more.
    pub(super) fn take_pending(&mut self, waiter: &Arc<Waiter>) -> Option<Pending> {
        let set = [&mut self.changes, &mut self.zeros];
        let own = waiter.semaphore.and_then(|index| self.semaphores.get_mut(index));
        let each = own.into_iter().flat_map(|s| [&mut s.changes, &mut s.zeros]);
        let mut found = None;
        for queue in set.into_iter().chain(each) {
            if let Some(at) = queue.iter().position(|p| Arc::ptr_eq(&p.waiter, waiter)) {
                found = queue.remove(at);
                break;
            }
        }
        if found.as_ref().is_some_and(Pending::is_complex) {
            self.complex -= 1;
            self.spread();
        }
        found
    }

    /// Takes out everything that waits.
    pub(super) fn take_all_pending(&mut self) -> Vec<Pending> {
        let mut all: Vec<Pending> = Vec::new();
        for semaphore in &mut self.semaphores {
            all.extend(semaphore.zeros.drain(..).chain(semaphore.changes.drain(..)));
        }
        all.extend(self.zeros.drain(..).chain(self.changes.drain(..)));
        self.complex = 0;
        all
    }

    /// Gives the single operations in the set's queue back to their semaphores, once no others are left.
    fn spread(&mut self) {
        if self.complex == 0 {
            while let Some(pending) = self.changes.pop_front() {
                self.semaphores[pending.first()].changes.push_back(pending);
            }
        }
    }

    /// Counts those who wait because of an operation of this kind on a semaphore.
    pub(super) fn count_waiters(&self, index: usize, kind: impl Fn(&Sembuf) -> bool) -> i32 {
        let semaphore = &self.semaphores[index];
        let queues = [&semaphore.changes, &semaphore.zeros, &self.changes, &self.zeros];
        let waits = |pending: &&Pending| {
            let operation = pending.operations.as_slice()[pending.blocking];
            usize::from(operation.sem_num) == index && kind(&operation)
        };
        let count: usize = queues.into_iter().map(|queue| queue.iter().filter(waits).count()).sum();
        i32::try_from(count).unwrap_or(i32::MAX)
    }

    /// Lets go on whoever can, after these operations were carried out, or after anything may have changed. Says whether
    /// somebody's operations were carried out.
    pub(super) fn serve(&mut self, done: Option<&[Sembuf]>, wakes: &mut Wakes) -> bool {
        let mut any = self.serve_zeros(done, wakes);
        if !self.changes.is_empty() {
            any |= self.serve_changes(Queue::Set, wakes);
            self.spread();
            return any;
        }
        match done {
            // Only more can help those who want to take.
            Some(done) => {
                for operation in done.iter().filter(|operation| operation.sem_op > 0) {
                    any |= self.serve_changes(Queue::Semaphore(usize::from(operation.sem_num)), wakes);
                }
            }
            None => {
                for index in 0..self.semaphores.len() {
                    any |= self.serve_changes(Queue::Semaphore(index), wakes);
                }
            }
        }
        any
    }

    /// Lets go on who waits for zero.
    fn serve_zeros(&mut self, done: Option<&[Sembuf]>, wakes: &mut Wakes) -> bool {
        let (mut any, mut found) = (false, false);
        let mut look = |state: &mut Self, index: usize| {
            if state.semaphores[index].value == 0 {
                found = true;
                if !state.semaphores[index].zeros.is_empty() {
                    let mut queue = core::mem::take(&mut state.semaphores[index].zeros);
                    any |= state.serve_zero_queue(&mut queue, wakes);
                    state.semaphores[index].zeros = queue;
                }
            }
        };
        match done {
            Some(done) => done.iter().for_each(|operation| look(self, usize::from(operation.sem_num))),
            None => (0..self.semaphores.len()).for_each(|index| look(self, index)),
        }
        if found && !self.zeros.is_empty() {
            let mut queue = core::mem::take(&mut self.zeros);
            any |= self.serve_zero_queue(&mut queue, wakes);
            self.zeros = queue;
        }
        any
    }

    fn serve_zero_queue(&mut self, queue: &mut VecDeque<Pending>, wakes: &mut Wakes) -> bool {
        let (mut any, mut at) = (false, 0);
        while at < queue.len() {
            match self.try_pending(&mut queue[at]) {
                None => at += 1,
                Some(result) => {
                    any |= result.is_ok();
                    self.finish(queue.remove(at), result, wakes);
                }
            }
        }
        any
    }

    /// Lets go on who wants to change semaphores, in the order of the queue.
    fn serve_changes(&mut self, which: Queue, wakes: &mut Wakes) -> bool {
        let mut queue = match which {
            Queue::Set => core::mem::take(&mut self.changes),
            Queue::Semaphore(index) if self.semaphores[index].changes.is_empty() => return false,
            Queue::Semaphore(index) => core::mem::take(&mut self.semaphores[index].changes),
        };
        let (mut any, mut at) = (false, 0);
        while at < queue.len() {
            // All who wait for one semaphore want to take from it: at zero the rest need no look.
            if matches!(which, Queue::Semaphore(index) if self.semaphores[index].value == 0) {
                break;
            }
            let Some(result) = self.try_pending(&mut queue[at]) else {
                at += 1;
                continue;
            };
            let Some(pending) = queue.remove(at) else { break };
            if result.is_ok() {
                any = true;
                self.serve_zeros(Some(pending.operations.as_slice()), wakes);
                if Self::may_help_earlier(which, &pending) {
                    at = 0;
                }
            }
            self.finish(Some(pending), result, wakes);
        }
        match which {
            Queue::Set => self.changes = queue,
            Queue::Semaphore(index) => self.semaphores[index].changes = queue,
        }
        any
    }

    /// Says whether those in front of what was just carried out may be able to go on now.
    const fn may_help_earlier(which: Queue, pending: &Pending) -> bool {
        // A single operation took from its semaphore: who could not go on before cannot now.
        matches!(which, Queue::Set) || pending.is_complex()
    }

    /// Tries operations of the queue; `None` if they still have to wait.
    fn try_pending(&mut self, pending: &mut Pending) -> Option<Result<()>> {
        match self.perform(pending.operations.as_slice(), pending.caller) {
            Ok(()) => Some(Ok(())),
            Err(Obstacle::Never(errno)) => Some(Err(errno)),
            Err(Obstacle::Wait(place)) => {
                pending.blocking = place;
                None
            }
        }
    }

    fn finish(&mut self, pending: Option<Pending>, result: Result<()>, wakes: &mut Wakes) {
        if let Some(pending) = pending {
            self.complex -= usize::from(pending.is_complex());
            pending.finish(result, wakes);
        }
    }
}
