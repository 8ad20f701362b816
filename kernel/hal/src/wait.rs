//! Waiting for events without a sleeping function: readiness and wakers.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering, fence};
use core::task::Waker;

use crate::sync::{Lock, rank};

bitflags::bitflags! {
    /// What a file is ready for; the bits are those of `poll(2)` and `epoll(7)`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Readiness: u32 {
        const IN = 0x001;
        const PRI = 0x002;
        const OUT = 0x004;
        const ERR = 0x008;
        const HUP = 0x010;
        const NVAL = 0x020;
        const RDNORM = 0x040;
        const RDBAND = 0x080;
        const WRNORM = 0x100;
        const WRBAND = 0x200;
        const MSG = 0x400;
        const RDHUP = 0x2000;
    }
}

impl Readiness {
    /// Readable: `IN | RDNORM`.
    pub const READ: Self = Self::IN.union(Self::RDNORM);
    /// Writable: `OUT | WRNORM`.
    pub const WRITE: Self = Self::OUT.union(Self::WRNORM);
    /// What every waiter hears of, asked or not.
    pub const ALWAYS: Self = Self::ERR.union(Self::HUP);
}

/// Those who wait for something to become ready.
///
/// A waiter registers first, tests the condition, and only then parks; whoever changes the condition calls
/// [`WaitQueue::wake`] afterwards. That order leaves no gap in which a wake-up is lost.
#[derive(Default)]
pub struct WaitQueue {
    entries: Lock<Entries, { rank::WAIT_QUEUE }>,
    /// Length of the list, so that waking nobody costs one load.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    next: u64,
}

struct Entry {
    id: u64,
    interest: Readiness,
    exclusive: bool,
    /// An exclusive waiter that was chosen for a wake-up.
    chosen: bool,
    waker: Waker,
}

impl WaitQueue {
    /// Makes an empty queue.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Registers a waker, until the registration is dropped.
    pub fn add(self: &Arc<Self>, interest: Readiness, waker: &Waker) -> Registration {
        self.insert(interest, waker, false)
    }

    /// Registers a waker as one of those of whom a wake-up needs only one (`EPOLLEXCLUSIVE`, blocked reads).
    pub fn add_exclusive(self: &Arc<Self>, interest: Readiness, waker: &Waker) -> Registration {
        self.insert(interest, waker, true)
    }

    fn insert(self: &Arc<Self>, interest: Readiness, waker: &Waker, exclusive: bool) -> Registration {
        let mut entries = self.entries.lock();
        let id = entries.next;
        entries.next += 1;
        let interest = interest | Readiness::ALWAYS;
        entries.list.push(Entry { id, interest, exclusive, chosen: false, waker: waker.clone() });
        self.waiting.store(entries.list.len(), Ordering::SeqCst);
        Registration { queue: Arc::clone(self), id, passes_on: true }
    }

    /// Wakes whoever is interested in one of these events: every ordinary waiter, and the longest-waiting exclusive one.
    pub fn wake(&self, events: Readiness) {
        // What the caller changed may still be on its way to memory; a waiter that registers meanwhile must see it, or
        // be seen here.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        // Wakers run after the lock is gone: one may lead to another queue, or back to this one.
        // One waiter is the common case, which costs no allocation.
        let mut first: Option<Waker> = None;
        let mut more: Vec<Waker> = Vec::new();
        let mut entries = self.entries.lock();
        let mut chosen = None;
        for (index, entry) in entries.list.iter().enumerate() {
            if entry.interest.intersects(events) && (!entry.exclusive || chosen.is_none()) {
                if entry.exclusive {
                    chosen = Some(index);
                }
                match first {
                    None => first = Some(entry.waker.clone()),
                    Some(_) => more.push(entry.waker.clone()),
                }
            }
        }
        if let Some(index) = chosen {
            // To the back, so that the next wake-up goes to another waiter.
            let mut entry = entries.list.remove(index);
            entry.chosen = true;
            entries.list.push(entry);
        }
        drop(entries);
        for waker in first.into_iter().chain(more) {
            waker.wake();
        }
    }

    /// Wakes the longest-waiting exclusive waiter that is interested, because another one leaves what it was woken for.
    fn wake_next(&self, events: Readiness) {
        let waker = {
            let mut entries = self.entries.lock();
            let next = entries.list.iter().position(|e| e.exclusive && e.interest.intersects(events));
            next.map(|index| {
                let mut entry = entries.list.remove(index);
                entry.chosen = true;
                let waker = entry.waker.clone();
                entries.list.push(entry);
                waker
            })
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Says whether anybody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }
}

impl core::fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "WaitQueue({} waiting)", self.waiting.load(Ordering::Relaxed))
    }
}

/// A place in a [`WaitQueue`]; dropping it leaves the queue.
///
/// An exclusive waiter that was chosen for a wake-up and leaves passes the wake-up on, for it may have left without
/// using it (a signal came in), or may not have used all that came. [`Registration::finish`] says that nothing is left.
#[must_use = "dropping a registration takes the waker out again"]
#[derive(Debug)]
pub struct Registration {
    queue: Arc<WaitQueue>,
    id: u64,
    passes_on: bool,
}

impl Registration {
    /// Leaves the queue without passing a wake-up on.
    pub fn finish(mut self) {
        self.passes_on = false;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut entries = self.queue.entries.lock();
        let gone = entries.list.iter().position(|e| e.id == self.id).map(|i| entries.list.remove(i));
        self.queue.waiting.store(entries.list.len(), Ordering::SeqCst);
        drop(entries);
        if let Some(entry) = gone
            && entry.chosen
            && self.passes_on
        {
            self.queue.wake_next(entry.interest - Readiness::ALWAYS);
        }
    }
}
