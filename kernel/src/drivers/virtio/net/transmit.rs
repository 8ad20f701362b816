//! A queue of outgoing frames.

use hal::sync::{Lock, rank};
use hal::{NetCounters, QueueFull, TxOffload};

use super::super::super::region::Dma;
use super::super::queue::{Direction, Queue, Segment};
use super::header;
use super::ring::{Place, Ring};

/// The queue.
pub(super) struct Transmit {
    state: Lock<State, { rank::DRIVER }>,
    memory: Dma,
    header_len: usize,
    frame_max: usize,
    /// The header has a descriptor of its own.
    split: bool,
}

struct State {
    queue: Queue,
    ring: Ring,
    /// Somebody waits for room.
    full: bool,
    counters: NetCounters,
}

impl Transmit {
    /// Makes the queue; frames of at most `frame_max` bytes lie in `memory`.
    pub(super) fn new(
        mut queue: Queue,
        memory: Dma,
        header_len: usize,
        frame_max: usize,
        split: bool,
    ) -> Self {
        queue.set_interrupts(false);
        // A place in the ring means that there are descriptors.
        let slots = if split { queue.size() / 2 } else { queue.size() };
        let ring = Ring::new(memory.region().len(), slots);
        let state = State { queue, ring, full: false, counters: NetCounters::default() };
        Self { state: Lock::new(state), memory, header_len, frame_max, split }
    }

    /// As [`hal::NetDevice::transmit`].
    pub(super) fn put(
        &self,
        len: usize,
        offload: TxOffload,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), QueueFull> {
        assert!((1..=self.frame_max).contains(&len), "a frame of {len} bytes, of at most {}", self.frame_max);
        let Place { slot, at } = self.state.lock().reserve(self.header_len + len)?;
        let frame_at = at + self.header_len;
        // SAFETY: 1. The ring gave this place to us alone, until the slot is given back, and that is when the device has
        // returned what is pushed below. 2. The reference ends with `fill`.
        fill(unsafe { self.memory.bytes_mut(frame_at, len) });
        self.memory.region().copy_in(at, &header::encode(offload)[..self.header_len]);
        let part = |at, len| Segment::new(&self.memory, at, len, Direction::ToDevice);
        let mut state = self.state.lock();
        // The ring has no more slots than there are descriptors for.
        let _ = if self.split {
            state.queue.push(slot, &[part(at, self.header_len), part(frame_at, len)], None, &[])
        } else {
            state.queue.push(slot, &[part(at, self.header_len + len)], None, &[])
        };
        state.counters.tx_packets += 1;
        state.counters.tx_bytes += len as u64;
        Ok(())
    }

    /// As [`hal::NetDevice::flush`].
    pub(super) fn flush(&self) {
        self.state.lock().queue.kick();
    }

    /// Handles an interrupt; says whether somebody is to hear that there is room.
    pub(super) fn interrupt(&self) -> bool {
        let mut state = self.state.lock();
        if !state.full {
            return false;
        }
        state.reap();
        let heard = state.ring.is_roomy();
        if heard {
            state.full = false;
            state.queue.set_interrupts(false);
        }
        heard
    }

    /// Returns what was counted.
    pub(super) fn counters(&self) -> NetCounters {
        self.state.lock().counters
    }
}

impl State {
    /// Takes back what the device has sent.
    fn reap(&mut self) {
        while let Some(done) = self.queue.pop() {
            self.ring.give_back(done.token);
        }
    }

    fn reserve(&mut self, len: usize) -> Result<Place, QueueFull> {
        self.reap();
        if let Some(place) = self.ring.take(len) {
            return Ok(place);
        }
        // What the device does not know of will never make room.
        self.queue.kick();
        self.queue.set_interrupts(true);
        // What it did before interrupts were on brings none.
        self.reap();
        if let Some(place) = self.ring.take(len) {
            if !self.full {
                self.queue.set_interrupts(false);
            }
            return Ok(place);
        }
        self.full = true;
        self.counters.tx_dropped += 1;
        Err(QueueFull)
    }
}
