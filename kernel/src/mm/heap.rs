//! The kernel's heap: size classes in one-page slabs, with a small magazine of free objects per processor and class.
//!
//! Objects of up to 2016 bytes come from slabs: a page whose first bytes describe it, found again by rounding
//! an object's address down. A slab that is empty goes back to the frame pool. Larger blocks are runs of frames
//! from the direct map; runs over 4 MiB, or where no run is free, are mapped page by page.

use core::alloc::{GlobalAlloc, Layout};
use core::num::NonZeroU32;
use core::ptr::null_mut;

use hal::sync::{Lock, rank};
use hal::{Fill, FramePool, PAGE_SIZE};

use super::frames::{self, Frames};
use super::{areas, layout};
use crate::cpu::{self, LocalCell};

/// Object sizes. Powers of two are aligned to themselves, the others to 16 (8 below 16).
const SIZES: [u16; 22] = [
    16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 672, 800, 1008, 1344, 2016,
];
const CLASSES: usize = SIZES.len();
const LARGEST: usize = 2016;
/// Bytes at the start of a slab for its description.
const HEADER: usize = 64;
/// Objects in a magazine, and how many move at once.
const MAGAZINE: usize = 16;
const BATCH: usize = 8;
/// Largest block in bytes that is physically contiguous.
const LARGEST_RUN: usize = 1024 * PAGE_SIZE;

/// Class of each size in steps of 16 bytes.
static CLASS_OF: [u8; LARGEST / 16 + 1] = {
    let mut table = [0; LARGEST / 16 + 1];
    let (mut step, mut class) = (0, 0);
    while step < table.len() {
        if step * 16 > SIZES[class] as usize {
            class += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "fewer than 256 classes")]
        {
            table[step] = class as u8;
        }
        step += 1;
    }
    table
};

/// A page of objects of one class.
#[repr(C)]
struct Slab {
    /// First free object; each free object's first word points to the next.
    free: *mut u8,
    next: *mut Slab,
    previous: *mut Slab,
    used: u16,
    class: u16,
}

/// Slabs of one class that have free objects.
struct Partial {
    first: *mut Slab,
}

// SAFETY: the slabs belong to the lock around the list.
unsafe impl Send for Partial {}

static PARTIAL: [Lock<Partial, { rank::HEAP }>; CLASSES] =
    [const { Lock::new(Partial { first: null_mut() }) }; CLASSES];

/// Free objects of one processor, by class.
pub(crate) struct Magazines {
    objects: [[*mut u8; MAGAZINE]; CLASSES],
    counts: [u8; CLASSES],
}

impl Magazines {
    pub(crate) const fn new() -> LocalCell<Self> {
        LocalCell::new(Self { objects: [[null_mut(); MAGAZINE]; CLASSES], counts: [0; CLASSES] })
    }
}

/// The size class of a layout; `None` for large blocks.
#[inline(always)]
fn class_of(layout: Layout) -> Option<usize> {
    let mut size = layout.size();
    if layout.align() > 16 {
        size = size.max(layout.align()).checked_next_power_of_two()?;
        if size > 1024 {
            return None;
        }
    }
    if size > LARGEST { None } else { Some(usize::from(CLASS_OF[size.div_ceil(16)])) }
}

/// Offset of a slab's first object: behind the header, and aligned for power-of-two classes.
const fn first_object(size: usize) -> usize {
    if size.is_power_of_two() && size > HEADER { size } else { HEADER }
}

fn write_next(object: *mut u8, next: *mut u8) {
    // SAFETY: a free object is at least 16 bytes, aligned to 16, and used by nobody else.
    unsafe { object.cast::<*mut u8>().write(next) };
}

fn read_next(object: *mut u8) -> *mut u8 {
    // SAFETY: as in `write_next`, which wrote the word.
    unsafe { object.cast::<*mut u8>().read() }
}

/// Lends a slab's header.
fn header<'a>(slab: *mut Slab) -> &'a mut Slab {
    // SAFETY: `slab` is the start of a slab page, and the caller holds its class's lock; callers use one header
    // reference at a time.
    unsafe { &mut *slab }
}

impl Partial {
    fn push(&mut self, slab: *mut Slab) {
        let next = self.first;
        let h = header(slab);
        (h.next, h.previous) = (next, null_mut());
        if !next.is_null() {
            header(next).previous = slab;
        }
        self.first = slab;
    }

    fn unlink(&mut self, slab: *mut Slab) {
        let (next, previous) = (header(slab).next, header(slab).previous);
        if !next.is_null() {
            header(next).previous = previous;
        }
        if previous.is_null() {
            self.first = next;
        } else {
            header(previous).next = next;
        }
    }

    fn take(&mut self, class: usize) -> Option<*mut u8> {
        if self.first.is_null() {
            let slab = new_slab(class)?;
            self.push(slab);
        }
        let slab = self.first;
        let h = header(slab);
        let object = h.free;
        h.free = read_next(object);
        h.used += 1;
        if h.free.is_null() {
            self.unlink(slab);
        }
        Some(object)
    }

    fn give(&mut self, object: *mut u8) {
        let slab: *mut Slab = object.map_addr(|a| a & !(PAGE_SIZE - 1)).cast();
        let h = header(slab);
        let was_full = h.free.is_null();
        write_next(object, h.free);
        h.free = object;
        h.used -= 1;
        let empty = h.used == 0;
        if was_full {
            self.push(slab);
        }
        // One empty slab stays, so that a class that hovers at a boundary does not move pages back and forth.
        if empty && (self.first != slab || !header(slab).next.is_null()) {
            self.unlink(slab);
            Frames.release(frame_of(slab.cast()));
        }
    }
}

fn frame_of(pointer: *mut u8) -> NonZeroU32 {
    let number = u32::try_from(layout::physical(pointer) >> 12).ok().and_then(NonZeroU32::new);
    number.expect("a block of the heap lies in the direct map")
}

fn new_slab(class: usize) -> Option<*mut Slab> {
    let size = usize::from(SIZES[class]);
    let frame = frames::allocate_own(Fill::Any)?;
    let page = layout::direct(u64::from(frame.get()) << 12);
    let mut free = null_mut();
    let mut at = first_object(size);
    while at + size <= PAGE_SIZE {
        let object = page.wrapping_add(at);
        write_next(object, free);
        free = object;
        at += size;
    }
    #[expect(clippy::cast_possible_truncation, reason = "fewer than 256 classes")]
    let slab = Slab { free, next: null_mut(), previous: null_mut(), used: 0, class: class as u16 };
    // SAFETY: the page is ours and aligned.
    unsafe { page.cast::<Slab>().write(slab) };
    Some(page.cast())
}

#[cold]
fn refill(m: &mut Magazines, class: usize) {
    let mut partial = PARTIAL[class].lock();
    while usize::from(m.counts[class]) < BATCH {
        let Some(object) = partial.take(class) else { break };
        m.objects[class][usize::from(m.counts[class])] = object;
        m.counts[class] += 1;
    }
}

#[cold]
fn drain(m: &mut Magazines, class: usize) {
    let mut partial = PARTIAL[class].lock();
    for &object in &m.objects[class][..BATCH] {
        partial.give(object);
    }
    drop(partial);
    m.objects[class].copy_within(BATCH.., 0);
    #[expect(clippy::cast_possible_truncation, reason = "a small constant")]
    {
        m.counts[class] = (MAGAZINE - BATCH) as u8;
    }
}

/// The allocator.
struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

// SAFETY: `alloc` returns blocks of at least the layout's size and alignment that no other live block overlaps:
// objects are in one free list or magazine or in use, and runs come from the frame allocator.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else { return allocate_large(layout) };
        cpu::this().magazines.with(|m| {
            if m.counts[class] == 0 {
                refill(m, class);
                if m.counts[class] == 0 {
                    return null_mut();
                }
            }
            m.counts[class] -= 1;
            m.objects[class][usize::from(m.counts[class]) % MAGAZINE]
        })
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let Some(class) = class_of(layout) else { return release_large(pointer, layout) };
        cpu::this().magazines.with(|m| {
            if usize::from(m.counts[class]) == MAGAZINE {
                drain(m, class);
            }
            m.objects[class][usize::from(m.counts[class]) % MAGAZINE] = pointer;
            m.counts[class] += 1;
        });
    }
}

fn pages(layout: Layout) -> usize {
    layout.size().max(layout.align()).div_ceil(PAGE_SIZE)
}

#[cold]
fn allocate_large(block: Layout) -> *mut u8 {
    let pages = pages(block);
    if pages == 1 {
        let frame = frames::allocate_own(Fill::Any);
        return frame.map_or(null_mut(), |f| layout::direct(u64::from(f.get()) << 12));
    }
    if pages * PAGE_SIZE <= LARGEST_RUN {
        // A run is aligned to its size rounded up to a power of two, which is at least the layout's alignment.
        let run = u32::try_from(pages).ok().and_then(frames::allocate_run);
        if let Some(first) = run {
            return layout::direct(u64::from(first.get()) << 12);
        }
    }
    if block.align() > PAGE_SIZE {
        return null_mut();
    }
    areas::allocate(pages).unwrap_or(null_mut())
}

#[cold]
fn release_large(pointer: *mut u8, block: Layout) {
    let pages = pages(block);
    if pages == 1 {
        Frames.release(frame_of(pointer));
    } else if areas::contains(pointer) {
        areas::release(pointer);
    } else if let Ok(pages) = u32::try_from(pages) {
        frames::release_run(frame_of(pointer), pages);
    }
}
