//! Priority-inheriting futexes: the word holds its owner's thread number, and the kernel hands it on.
//!
//! Threads are scheduled fairly, so there is no priority to inherit; the protocol of the word is Linux's.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::futex::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};
use abi::{Errno, Result};
use hal::UserAddr;

use super::{CHOSEN, Deadline, Entry, Futexes, GONE, Key, MATCH_ANY, Scope, WAITS, Waiter, park_until_woken};
use crate::block::Woken;
use crate::{Context, Restart, SysError, SysResult};

/// What to do about an owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// Wait for it.
    Wait,
    /// Give up (`FUTEX_TRYLOCK_PI`).
    Try,
}

impl Futexes {
    /// Makes the caller the owner of a futex.
    ///
    /// # Errors
    /// `EDEADLK` if it is already, `ESRCH` if the owner does not exist, `EAGAIN` if it is somebody else and the claim
    /// does not wait, `ETIMEDOUT`, `EFAULT`, `EINVAL`, or a signal.
    pub(crate) fn lock_pi(
        &self,
        cx: &Context<'_>,
        at: UserAddr,
        scope: Scope,
        deadline: Option<&Deadline>,
        claim: Claim,
    ) -> SysResult<()> {
        let key = Key::new(cx, at, scope)?;
        let memory = cx.memory();
        let tid = cx.thread.tid();
        loop {
            let word = memory.load_u32(at)?;
            let owner = word & FUTEX_TID_MASK;
            if owner == 0 {
                let new = tid | word & (FUTEX_OWNER_DIED | FUTEX_WAITERS);
                if memory.compare_exchange_u32(at, word, new)? == word {
                    return Ok(());
                }
                continue;
            }
            if owner == tid {
                return Err(Errno::EDEADLK.into());
            }
            if claim == Claim::Try {
                return Err(Errno::EAGAIN.into());
            }
            if cx.system().thread(owner).is_none() {
                if memory.load_u32(at)? == word {
                    return Err(Errno::ESRCH.into());
                }
                continue;
            }
            // In the queue first: an owner that finds the bit set finds the waiter too.
            let waiter = Waiter::new(cx);
            let entry = Entry { key, waiter: Arc::clone(&waiter), bits: MATCH_ANY, place: 0, pi: Some(at) };
            self.pi_waiters.fetch_add(1, Ordering::SeqCst);
            self.bucket(key).push(entry);
            let result = self.wait_for_owner(cx, at, key, &waiter, word, deadline);
            self.pi_waiters.fetch_sub(1, Ordering::SeqCst);
            if let Some(result) = result {
                return result;
            }
        }
    }

    /// Waits as an entered waiter; `None` means that the word has changed and everything starts anew.
    fn wait_for_owner(
        &self,
        cx: &Context<'_>,
        at: UserAddr,
        key: Key,
        waiter: &Arc<Waiter>,
        word: u32,
        deadline: Option<&Deadline>,
    ) -> Option<SysResult<()>> {
        let marked = cx.memory().compare_exchange_u32(at, word, word | FUTEX_WAITERS);
        let end = match marked {
            Ok(was) if was == word => park_until_woken(cx, waiter, deadline),
            _ => Woken::Again,
        };
        if waiter.woken().is_none() {
            self.leave_pi(cx, key, waiter);
        }
        if waiter.woken().is_some() {
            return Some(Ok(()));
        }
        match (marked, end) {
            (Err(_), _) => Some(Err(Errno::EFAULT.into())),
            (_, Woken::Deadline) => Some(Err(Errno::ETIMEDOUT.into())),
            (_, Woken::Signal) => Some(Err(SysError::Restart(Restart::Always))),
            (_, Woken::Again) => None,
        }
    }

    /// Gives a futex up: to the longest-waiting thread, if there is one.
    ///
    /// # Errors
    /// `EPERM` if the caller is not the owner, `EFAULT`, `EINVAL`.
    pub fn unlock_pi(&self, cx: &Context<'_>, at: UserAddr, scope: Scope) -> Result<()> {
        let fault = |_| Errno::EFAULT;
        let word = cx.memory().load_u32(at).map_err(fault)?;
        if word & FUTEX_TID_MASK != cx.thread.tid() {
            return Err(Errno::EPERM);
        }
        let key = Key::new(cx, at, scope)?;
        self.hand_on(cx, at, key, cx.thread.tid(), 0)
    }

    /// Writes the next owner into a word that `owner` has now, with `mark` beside it, and wakes it; a word without a
    /// next owner holds just the mark.
    pub(super) fn hand_on(
        &self,
        cx: &Context<'_>,
        at: UserAddr,
        key: Key,
        owner: u32,
        mark: u32,
    ) -> Result<()> {
        let memory = cx.memory();
        let fault = |_| Errno::EFAULT;
        let next = self.choose(key);
        let mut word = memory.load_u32(at).map_err(fault)?;
        loop {
            if word & FUTEX_TID_MASK != owner {
                // Not the owner's any more: whoever was chosen waits on.
                next.into_iter().for_each(|entry| self.put_back(entry));
                return Ok(());
            }
            // LINUX: the new owner always finds the bit set, and comes to the kernel when it gives the futex up.
            let new = next.as_ref().map_or(0, |entry| entry.waiter.tid | FUTEX_WAITERS) | mark;
            match memory.compare_exchange_u32(at, word, new) {
                Ok(was) if was == word => break,
                // Somebody has come to wait since.
                Ok(_) if next.is_none() => return self.hand_on(cx, at, key, owner, mark),
                Ok(was) => word = was,
                Err(_) => break,
            }
        }
        match next {
            Some(entry) => entry.waiter.hand_over(),
            None => self.serve_late(cx, at, key),
        }
        Ok(())
    }

    /// Looks once more at the queue of a futex that was just freed: a waiter that came meanwhile and found the bit set
    /// already changed nothing in the word, so that the owner could not notice it.
    fn serve_late(&self, cx: &Context<'_>, at: UserAddr, key: Key) {
        let memory = cx.memory();
        while let Some(entry) = self.choose(key) {
            let Ok(word) = memory.load_u32(at) else { return self.put_back(entry) };
            if word & FUTEX_TID_MASK == 0 {
                let new = entry.waiter.tid | FUTEX_WAITERS | word & FUTEX_OWNER_DIED;
                match memory.compare_exchange_u32(at, word, new) {
                    Ok(was) if was == word => return entry.waiter.hand_over(),
                    _ => self.put_back(entry),
                }
            } else {
                // Somebody else was faster: the waiter stays, and the new owner has to come to the kernel.
                self.put_back(entry);
                if !matches!(memory.compare_exchange_u32(at, word, word | FUTEX_WAITERS), Ok(was) if was != word)
                {
                    return;
                }
            }
        }
    }

    /// Takes the longest-waiting thread out of the queue.
    fn choose(&self, key: Key) -> Option<Entry> {
        let mut entries = self.bucket(key);
        loop {
            let at = entries.iter().position(|e| e.key == key && e.pi.is_some())?;
            let entry = entries.remove(at);
            let chosen =
                entry.waiter.state.compare_exchange(WAITS, CHOSEN, Ordering::SeqCst, Ordering::SeqCst);
            if chosen.is_ok() {
                return Some(entry);
            }
        }
    }

    /// Takes a choice back: the waiter is the first in its queue again.
    fn put_back(&self, entry: Entry) {
        let mut entries = self.bucket(entry.key);
        entry.waiter.state.store(WAITS, Ordering::SeqCst);
        entries.insert(0, entry);
    }

    /// Leaves the queue for good, unless the futex was handed over meanwhile.
    fn leave_pi(&self, cx: &Context<'_>, key: Key, waiter: &Arc<Waiter>) {
        loop {
            let mut entries = self.bucket(key);
            let own = entries.iter().position(|e| Arc::ptr_eq(&e.waiter, waiter));
            let entry = own.map(|at| entries.remove(at));
            let left = waiter.state.compare_exchange(WAITS, GONE, Ordering::SeqCst, Ordering::SeqCst);
            drop(entries);
            drop(entry);
            if left.is_ok() || waiter.woken().is_some() {
                return;
            }
            // Whoever chose this waiter is about to write its number into the word, or to put it back.
            cx.scheduler().yield_now();
        }
    }

    /// Hands on what a thread owned that ends, and that somebody waits for.
    pub(super) fn release_owned(&self, cx: &Context<'_>) {
        if self.pi_waiters.load(Ordering::SeqCst) == 0 {
            return;
        }
        let vm = Arc::as_ptr(&cx.vm()).addr() as u64;
        for bucket in &self.buckets {
            let waited: Vec<(Key, UserAddr)> = bucket
                .lock()
                .iter()
                .filter(|e| e.key.object == vm)
                .filter_map(|e| Some((e.key, e.pi?)))
                .collect();
            for (key, at) in waited {
                let tid = cx.thread.tid();
                if cx.memory().load_u32(at).is_ok_and(|word| word & FUTEX_TID_MASK == tid) {
                    let _ = self.hand_on(cx, at, key, tid, FUTEX_OWNER_DIED);
                }
            }
        }
    }
}

impl Waiter {
    /// Tells the waiter that it owns the futex.
    fn hand_over(&self) {
        self.state.store(1, Ordering::SeqCst);
        self.waker.wake_by_ref();
    }
}
