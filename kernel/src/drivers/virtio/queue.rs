//! A split virtqueue (virtio 1.2, section 2.7).
//!
//! Ours rather than the `virtio-drivers` crate's, because that one takes memory as `&mut [u8]`, which pages that an
//! application maps must never be; wants the same slices again when a request ends; publishes each buffer by
//! itself; and compares the event index without regard to its wrap. Here memory is named by address, and a request
//! keeps what it names: pages for devices are never freed, and frames are held until the device has given them back.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};

use hal::{Frame, PAGE_SIZE};

use super::super::region::{Dma, Region};

/// Bytes of a descriptor.
const DESCRIPTOR_LEN: usize = 16;
/// Descriptor flag: the chain goes on.
const NEXT: u16 = 1;
/// Descriptor flag: the device writes.
const WRITE: u16 = 2;
/// Flag in the available ring: no interrupts wanted; in the used ring: no notifications wanted.
const SUPPRESS: u16 = 1;

/// Who writes a piece of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// The device reads it.
    ToDevice,
    /// The device writes it.
    FromDevice,
}

/// A piece of DMA memory in a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    address: u64,
    len: u32,
    direction: Direction,
}

impl Segment {
    /// Names a range of DMA pages.
    ///
    /// # Panics
    /// If the range is empty or does not lie in the pages.
    pub(crate) fn new(dma: &Dma, at: usize, len: usize, direction: Direction) -> Self {
        let address = dma.physical(at, len);
        assert!(len > 0, "a segment has bytes");
        Self { address, len: u32::try_from(len).expect("DMA pages are few"), direction }
    }
}

/// Frames in a request: whole pages, but for the last, of which `bytes` may leave a part out.
pub(crate) struct Pages {
    /// The frames, in order.
    pub(crate) frames: Vec<Frame>,
    /// Bytes in all.
    pub(crate) bytes: usize,
    /// Who writes them.
    pub(crate) direction: Direction,
}

/// A request that the device has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Done {
    /// What the driver gave with the request.
    pub(crate) token: u16,
    /// Bytes that the device wrote.
    pub(crate) len: u32,
}

/// How the device hears that there is work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bell {
    /// The register's region and offset.
    pub(crate) region: Region,
    /// See `region`.
    pub(crate) at: usize,
    /// 32 bits wide (MMIO) or 16 (PCI).
    pub(crate) wide: bool,
}

impl Bell {
    /// Notifies the queue of this number.
    pub(crate) fn ring(&self, queue: u16) {
        match self.wide {
            true => self.region.write32(self.at, queue.into()),
            false => self.region.write16(self.at, queue),
        }
    }
}

/// A chain of descriptors under way, at the index of its first.
#[derive(Default)]
struct Chain {
    token: u16,
    /// Descriptors in it; 0 if there is no chain here.
    len: u16,
    /// What the device may read or write until it is done.
    #[expect(dead_code, reason = "kept for its references alone")]
    held: Vec<Frame>,
}

/// A queue. Its owner locks it.
pub(crate) struct Queue {
    index: u16,
    size: u16,
    memory: Dma,
    available_at: usize,
    used_at: usize,
    event_index: bool,
    bell: Bell,
    /// The descriptors' links, out of the device's reach.
    next: Box<[u16]>,
    chains: Box<[Chain]>,
    free_head: u16,
    free: u16,
    /// Next index of the available ring.
    available: u16,
    /// The index that the device was told last.
    published: u16,
    /// Next index of the used ring.
    used: u16,
    interrupts: bool,
}

impl Queue {
    /// Makes a queue of `size` descriptors, a power of two; `None` without memory. The used ring starts at a multiple of
    /// `align` (at least 4; a page for legacy devices).
    pub(crate) fn new(index: u16, size: u16, align: usize, event_index: bool, bell: Bell) -> Option<Self> {
        let n = usize::from(size);
        let available_at = n * DESCRIPTOR_LEN;
        let used_at = (available_at + 6 + 2 * n).next_multiple_of(align);
        let memory = Dma::new((used_at + 6 + 8 * n).div_ceil(PAGE_SIZE))?;
        let mut chains = Vec::with_capacity(n);
        chains.resize_with(n, Chain::default);
        Some(Self {
            index,
            size,
            memory,
            available_at,
            used_at,
            event_index,
            bell,
            next: (1..=size).collect(),
            chains: chains.into_boxed_slice(),
            free_head: 0,
            free: size,
            available: 0,
            published: 0,
            used: 0,
            interrupts: true,
        })
    }

    /// Returns the physical addresses of the descriptors, the available ring and the used ring.
    pub(crate) fn addresses(&self) -> [u64; 3] {
        [0, self.available_at, self.used_at].map(|at| self.memory.physical(at, 1))
    }

    /// Returns the number of descriptors.
    pub(crate) const fn size(&self) -> u16 {
        self.size
    }

    /// Queues a request: `before`, then the pages, then `after`; what the device reads comes before what it writes.
    /// The device sees it at the next [`Self::kick`].
    ///
    /// # Errors
    /// The pages, if there are not enough free descriptors.
    pub(crate) fn push(
        &mut self,
        token: u16,
        before: &[Segment],
        pages: Option<Pages>,
        after: &[Segment],
    ) -> Result<(), Option<Pages>> {
        let needed = before.len() + pages.as_ref().map_or(0, |p| p.frames.len()) + after.len();
        if needed == 0 || needed > usize::from(self.free) {
            return Err(pages);
        }
        let head = self.free_head;
        let mut last = head;
        let mut count = 0;
        let mut put = |queue: &mut Self, segment: &Segment| {
            last = queue.free_head;
            queue.free_head = queue.next[usize::from(last)];
            queue.describe(last, segment, NEXT);
            count += 1;
        };
        before.iter().for_each(|s| put(self, s));
        let mut held = Vec::new();
        if let Some(pages) = pages {
            for (address, len) in runs(&pages) {
                put(self, &Segment { address, len, direction: pages.direction });
            }
            held = pages.frames;
        }
        after.iter().for_each(|s| put(self, s));
        self.end_chain(last);
        self.free -= count;
        self.chains[usize::from(head)] = Chain { token, len: count, held };
        let slot = self.available_at + 4 + 2 * usize::from(self.available & (self.size - 1));
        self.memory.region().write16(slot, head);
        self.available = self.available.wrapping_add(1);
        Ok(())
    }

    fn describe(&self, index: u16, segment: &Segment, flags: u16) {
        let (at, memory) = (usize::from(index) * DESCRIPTOR_LEN, self.memory.region());
        let write = if segment.direction == Direction::FromDevice { WRITE } else { 0 };
        memory.write64(at, segment.address);
        memory.write32(at + 8, segment.len);
        memory.write16(at + 12, flags | write);
        memory.write16(at + 14, self.next[usize::from(index)]);
    }

    fn end_chain(&self, last: u16) {
        let (at, memory) = (usize::from(last) * DESCRIPTOR_LEN + 12, self.memory.region());
        memory.write16(at, memory.read16(at) & !NEXT);
    }

    /// Shows the device everything that was pushed, and notifies it unless it asked not to be.
    pub(crate) fn kick(&mut self) {
        if self.published == self.available {
            return;
        }
        let memory = self.memory.region();
        // The device must see descriptors and ring entries before the index that names them.
        fence(Ordering::Release);
        memory.write16(self.available_at + 2, self.available);
        let before = core::mem::replace(&mut self.published, self.available);
        // The index must be out before its own wish is read: else each side could wait for the other.
        fence(Ordering::SeqCst);
        let wanted = if self.event_index {
            let event = memory.read16(self.used_at + 4 + 8 * usize::from(self.size));
            let new = self.available;
            new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(before)
        } else {
            memory.read16(self.used_at) & SUPPRESS == 0
        };
        if wanted {
            self.bell.ring(self.index);
        }
    }

    /// Says whether the device has done something.
    pub(crate) fn has_done(&self) -> bool {
        self.memory.region().read16(self.used_at + 2) != self.used
    }

    /// Takes the next request that the device has done. A device that names a request that it does not have is
    /// not believed: the entry is left out.
    pub(crate) fn pop(&mut self) -> Option<Done> {
        loop {
            if !self.has_done() {
                return None;
            }
            let memory = self.memory.region();
            // The device wrote the entry before the index.
            fence(Ordering::Acquire);
            let slot = self.used_at + 4 + 8 * usize::from(self.used & (self.size - 1));
            let (head, len) = (memory.read32(slot), memory.read32(slot + 4));
            self.used = self.used.wrapping_add(1);
            if self.event_index && self.interrupts {
                memory.write16(self.available_at + 4 + 2 * usize::from(self.size), self.used);
                // The wish must be out before the caller looks for the next entry: else its interrupt could be lost.
                fence(Ordering::SeqCst);
            }
            if let Some(token) = u16::try_from(head).ok().and_then(|head| self.recycle(head)) {
                return Some(Done { token, len });
            }
        }
    }

    fn recycle(&mut self, head: u16) -> Option<u16> {
        let chain = core::mem::take(self.chains.get_mut(usize::from(head)).filter(|c| c.len > 0)?);
        let mut last = head;
        for _ in 1..chain.len {
            last = self.next[usize::from(last)];
        }
        self.next[usize::from(last)] = core::mem::replace(&mut self.free_head, head);
        self.free += chain.len;
        Some(chain.token)
    }

    /// Says whether interrupts are wanted when the device is done with something; it may still send one. After turning
    /// them on, look for what is done once more.
    pub(crate) fn set_interrupts(&mut self, on: bool) {
        if self.interrupts == on {
            return;
        }
        self.interrupts = on;
        let memory = self.memory.region();
        if self.event_index {
            // "Off" is an index as far behind as there is.
            let event = if on { self.used } else { self.used.wrapping_sub(1) };
            memory.write16(self.available_at + 4 + 2 * usize::from(self.size), event);
        } else {
            memory.write16(self.available_at, if on { 0 } else { SUPPRESS });
        }
        fence(Ordering::SeqCst);
    }

    /// Returns the number of requests' descriptors that are free.
    pub(crate) const fn free(&self) -> u16 {
        self.free
    }
}

/// Goes through the pages as runs of contiguous physical memory.
fn runs(pages: &Pages) -> Vec<(u64, u32)> {
    let mut runs: Vec<(u64, u32)> = vec![];
    let mut left = pages.bytes;
    for frame in &pages.frames {
        let address = u64::from(frame.number().get()) * PAGE_SIZE as u64;
        let len = left.min(PAGE_SIZE);
        left -= len;
        #[expect(clippy::cast_possible_truncation, reason = "at most PAGE_SIZE")]
        let len = len as u32;
        match runs.last_mut() {
            _ if len == 0 => break,
            Some((start, run)) if *start + u64::from(*run) == address => *run += len,
            _ => runs.push((address, len)),
        }
    }
    runs
}
