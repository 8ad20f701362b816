//! The buddy allocator: free physical memory in blocks of 2^order frames.
//!
//! One `u32` per frame says what the frame is: its reference count, or "head of a free block of this order",
//! or 0 inside a free block. The links of the free lists lie in the free frames themselves.
//!
//! Nothing is prepared at boot that is not needed: each zone has a cursor, and frames behind it were never
//! looked at (their table entries hold garbage). Only when the lists run dry does the cursor advance, by one
//! aligned block of the largest order. So a machine with much memory boots as fast as one with little.

use core::sync::atomic::{AtomicU32, Ordering};

use super::layout;
use crate::arch::copy;

/// Largest block: 2^10 frames, 4 MiB.
pub(super) const MAX_ORDER: usize = 10;
const MAX_BLOCK: u32 = 1 << MAX_ORDER;
/// Mark of a free block's head; the order is in the low bits.
const FREE: u32 = 1 << 31;
/// Zones that are kept.
pub(super) const MAX_ZONES: usize = 48;

/// A run of frames that belong to the allocator.
#[derive(Clone, Copy)]
struct Zone {
    first: u32,
    end: u32,
    /// Frames from here to `end` were never touched.
    fresh: u32,
}

/// The frame table.
#[derive(Clone, Copy)]
pub(super) struct Table {
    entries: &'static [AtomicU32],
}

impl Table {
    pub(super) const fn new(entries: &'static [AtomicU32]) -> Self {
        Self { entries }
    }

    /// Clears the entries of frames that nobody owns.
    fn clear(&self, first: u32, end: u32) {
        let (first, end) = (first as usize, (end as usize).min(self.entries.len()));
        let Some(entries) = self.entries.get(first..end) else { return };
        let start = entries.as_ptr().cast_mut().cast::<u8>();
        // SAFETY: the entries are atomics in memory that is theirs, and nobody uses those of frames that are not owned.
        unsafe { copy::zero(start, size_of_val(entries)) };
    }

    #[inline(always)]
    pub(super) fn entry(&self, frame: u32) -> &'static AtomicU32 {
        &self.entries[frame as usize]
    }
}

/// The allocator's state; guarded by the lock around it.
pub(super) struct Buddy {
    table: Table,
    /// First frame of the first free block of each order; 0 for none.
    heads: [u32; MAX_ORDER + 1],
    zones: [Zone; MAX_ZONES],
    zone_count: usize,
    /// Frames in the lists and behind the cursors.
    pub(super) free: u64,
}

/// Links of a free block, in its first bytes.
#[derive(Clone, Copy)]
#[repr(C)]
struct Links {
    next: u32,
    previous: u32,
}

fn links(frame: u32) -> *mut Links {
    layout::direct(u64::from(frame) << 12).cast()
}

fn read_links(frame: u32) -> Links {
    // SAFETY: the frame heads a free block, so nobody else uses its memory, and the direct map covers it.
    unsafe { links(frame).read() }
}

fn write_links(frame: u32, value: Links) {
    // SAFETY: as in `read_links`.
    unsafe { links(frame).write(value) }
}

impl Buddy {
    pub(super) const fn new(table: Table) -> Self {
        Self {
            table,
            heads: [0; MAX_ORDER + 1],
            zones: [Zone { first: 0, end: 0, fresh: 0 }; MAX_ZONES],
            zone_count: 0,
            free: 0,
        }
    }

    /// Adds a run of frames. Entries of blocks that it does not fill whole are cleared now, since a neighbour
    /// zone may share the block; `grow` clears only its own.
    pub(super) fn add_zone(&mut self, first: u32, end: u32) {
        if first >= end || self.zone_count == MAX_ZONES {
            return;
        }
        for edge in [first, end - 1] {
            let block = edge & !(MAX_BLOCK - 1);
            self.table.clear(block, block + MAX_BLOCK);
        }
        self.zones[self.zone_count] = Zone { first, end, fresh: first };
        self.zone_count += 1;
        self.free += u64::from(end - first);
    }

    /// Advances one zone's cursor over the next aligned block.
    fn grow(&mut self) -> bool {
        let Some(zone) = self.zones[..self.zone_count].iter_mut().find(|z| z.fresh < z.end) else {
            return false;
        };
        let first = zone.fresh;
        let end = ((first & !(MAX_BLOCK - 1)) + MAX_BLOCK).min(zone.end);
        zone.fresh = end;
        if end - first == MAX_BLOCK {
            self.table.clear(first, end);
        }
        let mut at = first;
        while at < end {
            let mut order = (at.trailing_zeros() as usize).min(MAX_ORDER);
            while at + (1 << order) > end {
                order -= 1;
            }
            self.push(at, order);
            at += 1 << order;
        }
        true
    }

    fn push(&mut self, frame: u32, order: usize) {
        let next = self.heads[order];
        write_links(frame, Links { next, previous: 0 });
        if next != 0 {
            write_links(next, Links { previous: frame, ..read_links(next) });
        }
        self.heads[order] = frame;
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_ORDER")]
        self.table.entry(frame).store(FREE | order as u32, Ordering::Relaxed);
    }

    fn unlink(&mut self, frame: u32, order: usize) {
        let Links { next, previous } = read_links(frame);
        if next != 0 {
            write_links(next, Links { previous, ..read_links(next) });
        }
        if previous == 0 {
            self.heads[order] = next;
        } else {
            write_links(previous, Links { next, ..read_links(previous) });
        }
        self.table.entry(frame).store(0, Ordering::Relaxed);
    }

    /// Takes a block; its entries are 0.
    pub(super) fn allocate(&mut self, order: usize) -> Option<u32> {
        loop {
            if let Some(found) = (order..=MAX_ORDER).find(|&o| self.heads[o] != 0) {
                let frame = self.heads[found];
                self.unlink(frame, found);
                for half in (order..found).rev() {
                    self.push(frame + (1 << half), half);
                }
                self.free -= 1 << order;
                return Some(frame);
            }
            if !self.grow() {
                return None;
            }
        }
    }

    /// Gives a block back, merging it with its free neighbours.
    pub(super) fn release(&mut self, mut frame: u32, mut order: usize) {
        self.free += 1 << order;
        self.table.entry(frame).store(0, Ordering::Relaxed);
        let (first, end) = self
            .zones
            .iter()
            .find(|z| z.first <= frame && frame < z.end)
            .map_or((frame, frame + 1), |z| (z.first, z.fresh));
        while order < MAX_ORDER {
            let buddy = frame ^ (1 << order);
            let whole = buddy >= first && buddy + (1 << order) <= end;
            #[expect(clippy::cast_possible_truncation, reason = "at most MAX_ORDER")]
            let free = FREE | order as u32;
            if !whole || self.table.entry(buddy).load(Ordering::Relaxed) != free {
                break;
            }
            self.unlink(buddy, order);
            frame &= !(1 << order);
            order += 1;
        }
        self.push(frame, order);
    }

    /// Gives any run of frames back, in the largest aligned blocks.
    pub(super) fn release_run(&mut self, first: u32, count: u32) {
        let end = first + count;
        let mut at = first;
        while at < end {
            let mut order = (at.trailing_zeros() as usize).min(MAX_ORDER);
            while at + (1 << order) > end {
                order -= 1;
            }
            self.release(at, order);
            at += 1 << order;
        }
    }
}
