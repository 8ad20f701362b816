//! Timers: a queue for each processor, and one interrupt armed for the earliest deadline.
//!
//! The queue is a heap of slots that know their place in it, so that taking a timer back costs as little as arming it:
//! most timers are timeouts that never fire.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;

use hal::TimerId;
use hal::sync::{Lock, rank};

use super::monotonic_ns;
use crate::arch::apic;
use crate::{cpu, sched};

/// One processor's timers.
pub(crate) struct Timers {
    queue: Lock<Queue, { rank::SCHEDULER }>,
    /// When the interrupt will come; `u64::MAX` if it is not armed.
    armed: AtomicU64,
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self {
            queue: Lock::new(Queue { slots: Vec::new(), heap: Vec::new(), free: Vec::new() }),
            armed: AtomicU64::new(u64::MAX),
        }
    }
}

struct Slot {
    at_ns: u64,
    generation: u32,
    /// Where the heap holds it.
    place: u32,
    waker: Option<Waker>,
}

struct Queue {
    slots: Vec<Slot>,
    /// Slot numbers; each parent's deadline is at most its children's.
    heap: Vec<u32>,
    free: Vec<u32>,
}

#[expect(clippy::cast_possible_truncation, reason = "a queue has fewer than 2^32 timers")]
impl Queue {
    fn deadline(&self, place: usize) -> u64 {
        self.slots[self.heap[place] as usize].at_ns
    }

    fn put(&mut self, place: usize, slot: u32) {
        self.heap[place] = slot;
        self.slots[slot as usize].place = place as u32;
    }

    fn swap(&mut self, a: usize, b: usize) {
        let (at_a, at_b) = (self.heap[a], self.heap[b]);
        self.put(a, at_b);
        self.put(b, at_a);
    }

    /// Moves an entry to where its deadline belongs.
    fn settle(&mut self, mut place: usize) {
        while place > 0 && self.deadline(place) < self.deadline((place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        loop {
            let children = [2 * place + 1, 2 * place + 2];
            let least =
                children.into_iter().filter(|&c| c < self.heap.len()).min_by_key(|&c| self.deadline(c));
            match least {
                Some(child) if self.deadline(child) < self.deadline(place) => {
                    self.swap(place, child);
                    place = child;
                }
                _ => return,
            }
        }
    }

    /// Adds a timer; returns its slot and generation.
    fn add(&mut self, at_ns: u64, waker: Waker) -> (u32, u32) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { at_ns: 0, generation: 0, place: 0, waker: None });
            self.slots.len() as u32 - 1
        });
        let place = self.heap.len();
        self.heap.push(slot);
        let entry = &mut self.slots[slot as usize];
        (entry.at_ns, entry.place, entry.waker) = (at_ns, place as u32, Some(waker));
        let generation = entry.generation;
        self.settle(place);
        (slot, generation)
    }

    /// Takes the timer at a place out.
    fn remove(&mut self, place: usize) -> Option<Waker> {
        let slot = self.heap[place];
        let last = self.heap.len() - 1;
        self.swap(place, last);
        self.heap.pop();
        if place < last {
            self.settle(place);
        }
        self.free.push(slot);
        let entry = &mut self.slots[slot as usize];
        entry.generation = entry.generation.wrapping_add(1) & 0xff_ffff;
        entry.waker.take()
    }

    fn first(&self) -> Option<u64> {
        (!self.heap.is_empty()).then(|| self.deadline(0))
    }
}

/// Arms a timer on this processor.
pub(crate) fn arm(at_ns: u64, waker: Waker) -> TimerId {
    let cpu = cpu::this();
    let (slot, generation) = cpu.timers.queue.lock().add(at_ns, waker);
    need_interrupt(at_ns);
    TimerId(u64::from(cpu.number()) << 56 | u64::from(generation) << 32 | u64::from(slot))
}

/// Takes a timer back.
#[expect(clippy::cast_possible_truncation, reason = "the parts of a `TimerId`")]
pub(crate) fn cancel(timer: TimerId) {
    let Some(cpu) = cpu::by_id((timer.0 >> 56) as usize) else { return };
    let (slot, generation) = (timer.0 as u32, (timer.0 >> 32) as u32 & 0xff_ffff);
    let mut queue = cpu.timers.queue.lock();
    let entry = queue.slots.get(slot as usize);
    let place = entry.filter(|e| e.waker.is_some() && e.generation == generation).map(|e| e.place as usize);
    let waker = place.and_then(|place| queue.remove(place));
    drop(queue);
    // The last reference to a thread may go with it: not under the lock.
    drop(waker);
}

/// Sees to it that this processor is interrupted at `at_ns` or earlier.
#[inline]
pub(crate) fn need_interrupt(at_ns: u64) {
    let armed = &cpu::this().timers.armed;
    if at_ns < armed.load(Ordering::Relaxed) {
        armed.store(at_ns, Ordering::Relaxed);
        apic::arm_timer(at_ns);
    }
}

/// The interrupt: fires what is due, ends the slice if it is over, and arms the next.
pub(crate) fn interrupt() {
    let timers = &cpu::this().timers;
    timers.armed.store(u64::MAX, Ordering::Relaxed);
    // Read once: a timer that is armed again for soon must not keep the processor here.
    let now = monotonic_ns();
    let next = loop {
        let mut queue = timers.queue.lock();
        let due = match queue.first() {
            Some(at) if at <= now => queue.remove(0),
            Some(at) => break at,
            None => break u64::MAX,
        };
        drop(queue);
        if let Some(waker) = due {
            waker.wake();
        }
    };
    let slice = sched::tick(monotonic_ns());
    if next.min(slice) != u64::MAX {
        need_interrupt(next.min(slice));
    }
}
