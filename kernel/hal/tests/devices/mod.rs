//! Devices made of plain code, for the kernel's drivers to be tested against.

#[expect(unsafe_code, reason = "memory by address, as in the kernel")]
pub(crate) mod region;

use super::virtio::queue::{Bell, Queue};
use region::Region;

/// Address, length, and whether the device writes it.
pub(crate) type Piece = (u64, u32, bool);

/// The other side of a queue.
pub(crate) struct Device {
    size: u16,
    event_index: bool,
    memory: Region,
    available_at: usize,
    used_at: usize,
    available: u16,
    used: u16,
    bell: Region,
}

impl Device {
    pub(crate) fn new(size: u16, align: usize, event_index: bool) -> (Queue, Self) {
        let bell = Region::new(4);
        let place = Bell { region: bell, at: 0, wide: true };
        let queue = Queue::new(7, size, align, event_index, place).unwrap();
        let [(memory, 0), (_, available_at), (_, used_at)] = queue.addresses().map(Region::at) else {
            panic!()
        };
        assert!(used_at.is_multiple_of(align));
        (queue, Self { size, event_index, memory, available_at, used_at, available: 0, used: 0, bell })
    }

    /// Says whether the driver rang since the last question.
    pub(crate) fn rang(&self) -> bool {
        let rang = self.bell.read32(0) == 7;
        self.bell.write32(0, 0);
        rang
    }

    /// Takes the next chain: its head and segments.
    pub(crate) fn take(&mut self) -> Option<(u16, Vec<Piece>)> {
        if self.memory.read16(self.available_at + 2) == self.available {
            return None;
        }
        let head = self.memory.read16(self.available_at + 4 + 2 * usize::from(self.available % self.size));
        self.available = self.available.wrapping_add(1);
        let (mut segments, mut at) = (Vec::new(), usize::from(head) * 16);
        loop {
            let flags = self.memory.read16(at + 12);
            segments.push((self.memory.read64(at), self.memory.read32(at + 8), flags & 2 != 0));
            if flags & 1 == 0 {
                return Some((head, segments));
            }
            at = usize::from(self.memory.read16(at + 14)) * 16;
        }
    }

    /// Goes to sleep: wants to hear of the next chain.
    pub(crate) fn sleep(&self) {
        if self.event_index {
            self.memory.write16(self.used_at + 4 + 8 * usize::from(self.size), self.available);
        }
    }

    /// Gives a chain back; says whether the driver wants an interrupt.
    pub(crate) fn finish(&mut self, head: u32, len: u32) -> bool {
        let slot = self.used_at + 4 + 8 * usize::from(self.used % self.size);
        self.memory.write32(slot, head);
        self.memory.write32(slot + 4, len);
        let before = self.used;
        self.used = self.used.wrapping_add(1);
        self.memory.write16(self.used_at + 2, self.used);
        if self.event_index {
            self.memory.read16(self.available_at + 4 + 2 * usize::from(self.size)) == before
        } else {
            self.memory.read16(self.available_at) & 1 == 0
        }
    }
}
