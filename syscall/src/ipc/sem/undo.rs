//! What is undone at the end of a process (`SEM_UNDO`).
//!
//! The sums to undo are kept by the sets, under their lock; a list knows in which sets it has such. Threads share a list
//! if they were made with `CLONE_SYSVSEM`, and its last user's end is what undoes.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::{Errno, Result};
use hal::sync::{Lock, rank};

use super::{MAX_VALUE, Set, State, Wakes};
use crate::proc::Thread;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The sets in which a thread, or several that share this, have something to undo.
pub struct UndoList {
    id: u64,
    sets: Lock<Vec<Weak<Set>>, { rank::LEAF }>,
}

impl UndoList {
    /// Makes an empty list.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), sets: Lock::default() })
    }

    /// Returns a number that no other list has had.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Lets go of a list; its last user undoes, as this process. `now` is the wall clock's second.
    pub fn release(list: Arc<Self>, pid: u32, now: i64) {
        let Some(list) = Arc::into_inner(list) else { return };
        for set in list.sets.into_inner().iter().filter_map(Weak::upgrade) {
            set.undo(list.id, pid, now);
        }
    }
}

impl Set {
    /// Makes room for what a list has to undo.
    pub(super) fn prepare_undo(self: &Arc<Self>, state: &mut State, list: &UndoList) -> Result<()> {
        if state.undo.contains_key(&list.id) {
            return Ok(());
        }
        let mut sums = Vec::new();
        sums.try_reserve_exact(state.semaphores.len()).map_err(|_| Errno::ENOMEM)?;
        sums.resize(state.semaphores.len(), 0_i16);
        state.undo.insert(list.id, sums.into_boxed_slice());
        let mut sets = list.sets.lock();
        if sets.len() == sets.capacity() {
            // Sets that have gone need no place.
            sets.retain(|set| set.strong_count() > 0);
        }
        sets.push(Arc::downgrade(self));
        Ok(())
    }

    fn undo(&self, list: u64, pid: u32, now: i64) {
        let mut wakes = Wakes::default();
        let mut state = self.state.lock();
        let Some(sums) = state.undo.remove(&list) else { return };
        undo_sums(&mut state, &sums, pid);
        // LINUX: the end of a process counts as an operation whether or not there was something to undo.
        state.serve(None, &mut wakes);
        state.otime = now;
        drop(state);
        wakes.wake();
    }
}

fn undo_sums(state: &mut State, sums: &[i16], pid: u32) {
    for (semaphore, &sum) in state.semaphores.iter_mut().zip(sums) {
        if sum != 0 {
            // LINUX: a sum that does not fit is cut; POSIX leaves it open.
            semaphore.value = (semaphore.value + i32::from(sum)).clamp(0, MAX_VALUE);
            semaphore.pid = pid;
        }
    }
}

impl Thread {
    /// Returns the thread's list of what to undo; makes one if there is none.
    pub fn undo_list(&self) -> Arc<UndoList> {
        if let Some(list) = &*self.undo.lock() {
            return Arc::clone(list);
        }
        let new = UndoList::new();
        Arc::clone(self.undo.lock().get_or_insert(new))
    }

    /// Lets go of the thread's list, which undoes if nobody else has it.
    pub fn release_undo(&self) {
        let list = self.undo.lock().take();
        if let Some(list) = list {
            let process = self.process();
            let now = crate::ipc::seconds(process.system().platform().clock);
            UndoList::release(list, process.pid(), now);
        }
    }
}
