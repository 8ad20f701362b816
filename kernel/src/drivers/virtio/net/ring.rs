//! Room for outgoing frames: one run of bytes, given out round and round.
//!
//! Not two pools of small and large buffers: an acknowledgement takes 128 bytes here, a frame that the card cuts into
//! segments 64 KiB, and neither kind lies idle while there is work for the other. Devices give frames back in the order
//! in which they got them, nearly always; one that is given back early waits for those before it.

use alloc::boxed::Box;
use alloc::vec;

/// Frames start at multiples of this: a cache line, so that the device and we do not write to one together.
const UNIT: usize = 64;

/// A frame's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// The number by which it is given back.
    pub(super) slot: u16,
    /// Offset of its first byte.
    pub(super) at: usize,
}

/// A place that is or was taken.
#[derive(Clone, Copy, Default)]
struct Slot {
    at: usize,
    len: usize,
    /// It was given back, and waits for those before it.
    done: bool,
}

/// The room. Its slots are used in turn.
pub(super) struct Ring {
    len: usize,
    slots: Box<[Slot]>,
    /// The slot of the oldest frame.
    first: usize,
    /// Frames that are there.
    count: usize,
    /// Offset behind the youngest frame.
    head: usize,
    /// Bytes that frames take, without what is left over at the end.
    used: usize,
}

impl Ring {
    /// Makes room of `len` bytes for at most `slots` frames.
    pub(super) fn new(len: usize, slots: u16) -> Self {
        let slots = vec![Slot::default(); slots.into()].into_boxed_slice();
        Self { len, slots, first: 0, count: 0, head: 0, used: 0 }
    }

    /// Takes a place for a frame; `None` if there is no such room now.
    pub(super) fn take(&mut self, len: usize) -> Option<Place> {
        let len = len.checked_next_multiple_of(UNIT)?;
        if self.count == self.slots.len() {
            return None;
        }
        let at = if self.count == 0 {
            (len <= self.len).then_some(0)
        } else {
            let tail = self.slots[self.first].at;
            if self.head <= tail {
                // The two are equal only if there is no byte left, because some frame is there.
                (len <= tail - self.head).then_some(self.head)
            } else if len <= self.len - self.head {
                Some(self.head)
            } else {
                (len <= tail).then_some(0)
            }
        }?;
        let slot = (self.first + self.count) % self.slots.len();
        self.slots[slot] = Slot { at, len, done: false };
        self.count += 1;
        self.head = at + len;
        self.used += len;
        Some(Place { slot: u16::try_from(slot).ok()?, at })
    }

    /// Gives a place back; nothing happens if that number is not taken.
    pub(super) fn give_back(&mut self, slot: u16) {
        let (slot, slots) = (usize::from(slot), self.slots.len());
        if slot >= slots || (slot + slots - self.first) % slots >= self.count {
            return;
        }
        self.slots[slot].done = true;
        while self.count > 0 && self.slots[self.first].done {
            self.slots[self.first].done = false;
            self.used -= self.slots[self.first].len;
            self.first = (self.first + 1) % slots;
            self.count -= 1;
        }
    }

    /// Says whether half of it is free, so that it is worth while to wake who waits for room.
    pub(super) fn is_roomy(&self) -> bool {
        self.count <= self.slots.len() / 2 && self.used <= self.len / 2
    }
}
