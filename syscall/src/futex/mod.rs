//! Futexes (`futex(2)`): who waits for a word of memory, and waking them.
//!
//! A waiter enters its bucket *before* it looks at the word, because the word cannot be read under a spin lock. A
//! wake-up that it takes while the word turns out to be another is passed on to the next waiter, so that none is
//! lost and none goes to a thread that never slept.

mod pi;
mod robust;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Waker;

use abi::{Errno, Result};
use hal::sync::{Guard, Lock, rank, relax};
use hal::{Readiness, UserAddr, UserMemory};

pub use pi::Claim;
pub use robust::{clear_and_wake, release_robust};

use crate::block::{self, Woken};
use crate::handlers::time::Base;
use crate::{Context, Restart, SysError, SysResult};

/// Buckets; a power of two.
const BUCKETS: usize = 256;

/// Every bit set: a plain wait or wake-up.
pub const MATCH_ANY: u32 = u32::MAX;

/// Whether other processes may use the futex.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Only threads of this address space (`FUTEX_PRIVATE_FLAG`): the address says which futex it is.
    Private,
    /// Whoever maps the page.
    Shared,
}

/// Says which futex: a word in an address space, or in an object that several map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    object: u64,
    offset: u64,
}

impl Key {
    /// Finds the futex at an address.
    ///
    /// # Errors
    /// `EINVAL` for an address that is not aligned, `EFAULT` for one outside of user space or that is not mapped.
    pub fn new(cx: &Context<'_>, at: UserAddr, scope: Scope) -> Result<Self> {
        if !at.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if at.0 >= hal::USER_END {
            return Err(Errno::EFAULT);
        }
        let vm = cx.vm();
        if scope == Scope::Shared
            && let Some((object, page)) = vm.shared_page(at)?
        {
            let offset = page.wrapping_mul(hal::PAGE_SIZE as u64) + at.page_offset() as u64;
            return Ok(Self { object, offset });
        }
        Ok(Self { object: Arc::as_ptr(&vm).addr() as u64, offset: at.0 })
    }

    fn bucket(self) -> usize {
        // Fibonacci hashing spreads neighbouring words and objects.
        let mixed = (self.object.rotate_left(29) ^ self.offset >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as usize % BUCKETS
    }
}

/// A thread that waits; [`Waiter::state`] says how it was woken.
struct Waiter {
    waker: Waker,
    tid: u32,
    state: AtomicU32,
    /// The bits of the wake-up that it took.
    taken: AtomicU32,
}

/// Still waits.
const WAITS: u32 = 0;
/// Chosen as the next owner, but the word does not say so yet.
const CHOSEN: u32 = u32::MAX;
/// Has left the queue, and cannot be chosen any more.
const GONE: u32 = u32::MAX - 1;

impl Waiter {
    fn new(cx: &Context<'_>) -> Arc<Self> {
        Arc::new(Self {
            waker: cx.thread.waker().clone(),
            tid: cx.thread.tid(),
            state: AtomicU32::new(WAITS),
            taken: AtomicU32::new(0),
        })
    }

    /// Returns the place in the list of futexes that woke it.
    fn woken(&self) -> Option<usize> {
        match self.state.load(Ordering::SeqCst) {
            WAITS | CHOSEN | GONE => None,
            place => Some(place as usize - 1),
        }
    }

    /// Takes the waiter for a wake-up through place `place` of its list; `false` if another was faster.
    fn take(&self, place: u32, bits: u32) -> bool {
        self.taken.store(bits, Ordering::Relaxed);
        self.state.compare_exchange(WAITS, place + 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

struct Entry {
    key: Key,
    waiter: Arc<Waiter>,
    bits: u32,
    /// Which of the futexes that the waiter waits for.
    place: u32,
    /// The word's address in the waiter's address space, for priority-inheriting futexes.
    pi: Option<UserAddr>,
}

type Bucket = Lock<Vec<Entry>, { rank::FUTEX }>;

/// All futexes that somebody waits for.
pub struct Futexes {
    buckets: [Bucket; BUCKETS],
    /// How many wait for priority-inheriting futexes.
    pi_waiters: AtomicU32,
}

impl Default for Futexes {
    fn default() -> Self {
        Self { buckets: [const { Lock::new(Vec::new()) }; BUCKETS], pi_waiters: AtomicU32::new(0) }
    }
}

/// A futex to wait for.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The word.
    pub at: UserAddr,
    /// What it must hold.
    pub value: u32,
    /// Which wake-ups concern the waiter.
    pub bits: u32,
    /// Who may use it.
    pub scope: Scope,
}

/// A point in time on a clock, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    pub(crate) base: Base,
    pub(crate) at: u64,
}

/// Sleeps until the waiter is woken.
fn park_until_woken(cx: &Context<'_>, waiter: &Waiter, deadline: Option<&Deadline>) -> Woken {
    park_until(cx, deadline, || waiter.woken().is_some())
}

/// Sleeps until a wait has ended, whose end comes with a call of the thread's waker: [`Woken::Again`] says that it has.
pub(crate) fn park_until(cx: &Context<'_>, deadline: Option<&Deadline>, ended: impl Fn() -> bool) -> Woken {
    let _registration = deadline
        .is_some_and(|d| matches!(d.base, Base::Realtime))
        .then(|| cx.system().time.changes().add(Readiness::READ, cx.thread.waker()));
    loop {
        if ended() {
            return Woken::Again;
        }
        let mut monotonic = None;
        if let Some(deadline) = deadline {
            let now = deadline.base.now(cx.platform());
            if now >= deadline.at {
                return Woken::Deadline;
            }
            monotonic = Some(deadline.base.monotonic_at(deadline.at, now, cx.platform()));
        }
        match block::park(cx, monotonic) {
            Woken::Signal => return Woken::Signal,
            Woken::Again | Woken::Deadline => {}
        }
    }
}

impl Futexes {
    fn bucket(&self, key: Key) -> Guard<'_, Vec<Entry>> {
        self.buckets[key.bucket()].lock()
    }

    /// Takes a waiter out of every queue; `keys` says where it went in, but it may have been requeued.
    fn leave(&self, waiter: &Arc<Waiter>, keys: &[Key]) {
        let mut left = keys.len();
        for key in keys {
            let mut entries = self.bucket(*key);
            if let Some(at) = entries.iter().position(|e| e.key == *key && Arc::ptr_eq(&e.waiter, waiter)) {
                let gone = entries.remove(at);
                drop(entries);
                drop(gone);
                left -= 1;
            }
        }
        // One reference is the caller's; each entry has another.
        while left > 0 && Arc::strong_count(waiter) > 1 {
            for bucket in &self.buckets {
                let gone: Vec<Entry> = {
                    let mut entries = bucket.lock();
                    entries.extract_if(.., |e| Arc::ptr_eq(&e.waiter, waiter)).collect()
                };
                drop(gone);
            }
            // Whoever holds the last reference is about to wake this thread; it may wait for an answer of this processor.
            relax();
        }
    }

    /// Waits until one of the futexes is woken; returns its place in the list.
    ///
    /// # Errors
    /// `EAGAIN` if a word does not hold what is expected, `EFAULT`, `EINVAL`, `ETIMEDOUT`, or a signal.
    pub(crate) fn wait(
        &self,
        cx: &Context<'_>,
        list: &[Expected],
        deadline: Option<&Deadline>,
    ) -> SysResult<usize> {
        let waiter = Waiter::new(cx);
        let mut one = [Key { object: 0, offset: 0 }; 1];
        let many: Vec<Key>;
        let keys: &[Key] = if let [only] = list {
            one[0] = Key::new(cx, only.at, only.scope)?;
            &one
        } else {
            many = list.iter().map(|e| Key::new(cx, e.at, e.scope)).collect::<Result<_>>()?;
            &many
        };
        for ((place, key), expected) in (0..).zip(keys).zip(list) {
            let entry =
                Entry { key: *key, waiter: Arc::clone(&waiter), bits: expected.bits, place, pi: None };
            self.bucket(*key).push(entry);
        }
        let mismatch = list.iter().find_map(|expected| match cx.memory().load_u32(expected.at) {
            Ok(word) if word == expected.value => None,
            Ok(_) => Some(Errno::EAGAIN),
            Err(_) => Some(Errno::EFAULT),
        });
        if let Some(errno) = mismatch {
            self.leave(&waiter, keys);
            if let Some(place) = waiter.woken() {
                // The thread never slept: the wake-up belongs to the next one.
                self.wake(keys[place], 1, waiter.taken.load(Ordering::Relaxed));
            }
            return Err(errno.into());
        }
        let end = park_until_woken(cx, &waiter, deadline);
        if list.len() > 1 || waiter.woken().is_none() {
            self.leave(&waiter, keys);
        }
        match (waiter.woken(), end) {
            (Some(place), _) => Ok(place),
            (None, Woken::Deadline) => Err(Errno::ETIMEDOUT.into()),
            (None, _) => Err(SysError::Restart(Restart::Sys)),
        }
    }

    /// Wakes up to `most` waiters whose bits match; returns how many.
    pub fn wake(&self, key: Key, most: usize, bits: u32) -> usize {
        // Most wake-ups are for one: it needs no list.
        let mut first = None;
        let mut others = Vec::new();
        let mut entries = self.bucket(key);
        let mut at = 0;
        let mut count = 0;
        while at < entries.len() && count < most {
            let entry = &entries[at];
            if entry.key != key || entry.bits & bits == 0 || entry.pi.is_some() {
                at += 1;
                continue;
            }
            let entry = entries.remove(at);
            if entry.waiter.take(entry.place, bits) {
                count += 1;
                if first.is_none() {
                    first = Some(entry);
                } else {
                    others.push(entry);
                }
            }
        }
        drop(entries);
        for entry in first.into_iter().chain(others) {
            entry.waiter.waker.wake_by_ref();
        }
        count
    }

    /// Wakes up to `most` waiters of one futex, and lets up to `move_most` others wait for another one instead; returns
    /// both numbers.
    pub fn requeue(&self, from: Key, to: Key, most: usize, move_most: usize) -> (usize, usize) {
        let woken = self.wake(from, most, MATCH_ANY);
        if from == to || move_most == 0 {
            let waiting = self.bucket(from).iter().filter(|e| e.key == from).count();
            return (woken, waiting.min(move_most));
        }
        let (low, high) = (from.bucket().min(to.bucket()), from.bucket().max(to.bucket()));
        let mut first = self.buckets[low].lock();
        // LOCK: two buckets, the lower first.
        let mut second = (low != high).then(|| self.lock_second(high));
        let mut moved = 0;
        if second.is_none() {
            for entry in first.iter_mut().filter(|e| e.key == from && e.pi.is_none()).take(move_most) {
                entry.key = to;
                moved += 1;
            }
            return (woken, moved);
        }
        let (source, target): (&mut Vec<Entry>, &mut Vec<Entry>) = match (&mut second, from.bucket() == low) {
            (Some(second), true) => (&mut first, second),
            (Some(second), false) => (second, &mut first),
            (None, _) => return (woken, moved),
        };
        let mut at = 0;
        while at < source.len() && moved < move_most {
            if source[at].key == from && source[at].pi.is_none() {
                let entry = source.remove(at);
                target.push(Entry { key: to, ..entry });
                moved += 1;
            } else {
                at += 1;
            }
        }
        (woken, moved)
    }

    /// Takes a second bucket; the caller orders the two.
    fn lock_second(&self, index: usize) -> Guard<'_, Vec<Entry>> {
        loop {
            if let Some(guard) = self.buckets[index].try_lock() {
                return guard;
            }
            relax();
        }
    }
}

/// Changes a word of the application atomically; returns what it held before.
///
/// # Errors
/// `EFAULT`
pub fn update(memory: &dyn UserMemory, at: UserAddr, change: impl Fn(u32) -> u32) -> Result<u32> {
    let mut old = memory.load_u32(at).map_err(|_| Errno::EFAULT)?;
    loop {
        let was = memory.compare_exchange_u32(at, old, change(old)).map_err(|_| Errno::EFAULT)?;
        if was == old {
            return Ok(old);
        }
        old = was;
    }
}
