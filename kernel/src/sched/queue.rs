//! A processor's run queue: the runnable threads, the one that had least time first.

use alloc::collections::BinaryHeap;
use core::cmp::{Ordering as Cmp, Reverse};
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::thread::Thread;

/// A thread in a queue. A started thread holds a reference to itself until it ends, so the pointer is good.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ThreadRef(NonNull<Thread>);

// SAFETY: `Thread` is `Sync`, and lives while it is in a queue.
unsafe impl Send for ThreadRef {}

impl ThreadRef {
    pub(super) fn new(thread: &Thread) -> Self {
        Self(NonNull::from(thread))
    }

    pub(super) fn get<'a>(self) -> &'a Thread {
        // SAFETY: see the type.
        unsafe { self.0.as_ref() }
    }
}

struct Entry {
    vruntime: u64,
    order: u64,
    thread: ThreadRef,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Cmp::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Cmp> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Cmp {
        (self.vruntime, self.order).cmp(&(other.vruntime, other.order))
    }
}

/// How far behind the others a thread may be when it comes back, in weighted nanoseconds: a bonus for sleepers, but no
/// hoard.
const BONUS_NS: u64 = 3_000_000;
/// How far ahead of them; a thread may come from a processor whose count is higher.
const MALUS_NS: u64 = 8_000_000;

/// The queue.
pub(super) struct RunQueue {
    heap: BinaryHeap<Reverse<Entry>>,
    /// Never falls: what the threads here have had at least.
    pub(super) floor: u64,
    next_order: u64,
}

impl RunQueue {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), floor: 0, next_order: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Adds a thread that comes from outside this queue.
    pub(super) fn enter(&mut self, thread: &Thread) {
        let before = thread.vruntime.load(Ordering::Relaxed);
        let after = before.clamp(self.floor.saturating_sub(BONUS_NS), self.floor + MALUS_NS);
        thread.vruntime.store(after, Ordering::Relaxed);
        self.push(thread);
    }

    /// Adds a thread that ran here just now.
    pub(super) fn push(&mut self, thread: &Thread) {
        let vruntime = thread.vruntime.load(Ordering::Relaxed);
        self.next_order += 1;
        self.heap.push(Reverse(Entry { vruntime, order: self.next_order, thread: ThreadRef::new(thread) }));
    }

    /// Takes the thread whose turn it is.
    pub(super) fn pop(&mut self) -> Option<ThreadRef> {
        let Reverse(entry) = self.heap.pop()?;
        self.floor = self.floor.max(entry.vruntime);
        Some(entry.thread)
    }

    /// Returns what the next thread has had.
    pub(super) fn first(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.0.vruntime)
    }

    /// Takes a thread that may run on processor `cpu` and is in no processor's registers.
    pub(super) fn steal(&mut self, cpu: u32) -> Option<ThreadRef> {
        let fits = |t: &Thread| {
            t.affinity.load(Ordering::SeqCst) & 1 << cpu != 0 && !t.on_cpu.load(Ordering::Acquire)
        };
        let chosen = self.heap.iter().find(|entry| fits(entry.0.thread.get()))?.0.thread;
        self.heap.retain(|entry| entry.0.thread != chosen);
        Some(chosen)
    }

    /// Takes threads out that may not run on processor `cpu` any more.
    pub(super) fn take_strangers(&mut self, cpu: u32, mut each: impl FnMut(ThreadRef)) {
        self.heap.retain(|entry| {
            let thread = entry.0.thread.get();
            let stays = thread.affinity.load(Ordering::SeqCst) & 1 << cpu != 0
                || thread.on_cpu.load(Ordering::Acquire);
            if !stays {
                each(entry.0.thread);
            }
            stays
        });
    }
}
