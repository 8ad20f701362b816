//! Physical memory by the frame: reference counts, per-processor caches over the buddy allocator, contents.

use core::num::NonZeroU32;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use hal::sync::{Lock, rank};
use hal::{Fill, FramePool, FrameUsage, PAGE_SIZE};

use super::buddy::{Buddy, MAX_ORDER, Table};
use super::layout;
use crate::arch::copy;
use crate::cpu::{self, LocalCell};

/// Order of a 2 MiB block.
pub(crate) const LARGE_ORDER: usize = 9;
/// Frames in a processor's cache, and how many move at once between it and the buddy allocator.
const CACHE: usize = 64;
const BATCH: usize = 32;

/// Most frames that are reserved: 8 MiB.
const MAX_RESERVE: u64 = 2048;

struct Pool {
    table: Table,
    buddy: Lock<Buddy, { rank::FRAMES }>,
    /// The boot module's frames: never freed, counted as shared for ever, and without entries in the table.
    image_first: u32,
    image_count: u32,
    total: u64,
    /// Frames that only the kernel's own needs (heap, page tables, stacks) may take.
    reserve: u64,
}

static POOL: spin::Once<Pool> = spin::Once::new();
/// Half of the reserve is gone: a process has to end. Heard before a thread returns to user mode.
static SHORT: AtomicBool = AtomicBool::new(false);
/// Free single frames of one processor.
pub(crate) struct FrameCache {
    frames: [u32; CACHE],
    count: usize,
}

impl FrameCache {
    pub(crate) const fn new() -> LocalCell<Self> {
        LocalCell::new(Self { frames: [0; CACHE], count: 0 })
    }
}

#[inline(always)]
fn pool() -> &'static Pool {
    POOL.get().expect("memory is set up before anything allocates")
}

/// Starts the pool. `zones` are the free runs of frames; `image` is the boot module's.
pub(super) fn init(
    entries: &'static [AtomicU32],
    zones: impl Iterator<Item = (u32, u32)>,
    image: (u32, u32),
) {
    POOL.call_once(|| {
        let table = Table::new(entries);
        let mut buddy = Buddy::new(table);
        for (first, end) in zones {
            buddy.add_zone(first, end);
        }
        let total = buddy.free;
        let reserve = (total / 64).min(MAX_RESERVE);
        Pool { table, buddy: Lock::new(buddy), image_first: image.0, image_count: image.1, total, reserve }
    });
}

impl Pool {
    /// Says whether the frame belongs to the boot module.
    #[inline(always)]
    fn is_image(&self, frame: u32) -> bool {
        frame.wrapping_sub(self.image_first) < self.image_count
    }

    /// Takes a free frame; `kernel` says that the reserve may be touched.
    #[inline]
    fn take_one(&self, kernel: bool) -> Option<u32> {
        let cpu = cpu::this();
        cpu.frames.with(|cache| {
            if cache.count == 0 {
                self.refill(cache, if kernel { 0 } else { self.reserve });
            }
            cache.count = cache.count.checked_sub(1)?;
            cpu.cached_frames.store(cache.count, Ordering::Relaxed);
            Some(cache.frames[cache.count])
        })
    }

    /// Notes that the kernel's own needs have eaten into what nobody else may take.
    fn note_shortage(&self, buddy: &Buddy) {
        if buddy.free < self.reserve / 2 {
            SHORT.store(true, Ordering::Relaxed);
            cpu::this().need_resched.store(true, Ordering::Relaxed);
        }
    }

    #[cold]
    fn refill(&self, cache: &mut FrameCache, reserve: u64) {
        let mut buddy = self.buddy.lock();
        self.note_shortage(&buddy);
        while cache.count < BATCH && buddy.free > reserve {
            let Some(frame) = buddy.allocate(0) else { break };
            cache.frames[cache.count] = frame;
            cache.count += 1;
        }
    }

    #[inline]
    fn allocate(&self, fill: Fill, kernel: bool) -> Option<NonZeroU32> {
        let frame = NonZeroU32::new(self.take_one(kernel)?)?;
        self.table.entry(frame.get()).store(1, Ordering::Relaxed);
        if fill == Fill::Zero {
            // SAFETY: the frame was free, so nobody else uses its memory; the direct map covers it.
            unsafe { copy::zero_page(page(frame)) };
        }
        Some(frame)
    }

    #[inline]
    fn give_one(&self, frame: u32) {
        let cpu = cpu::this();
        cpu.frames.with(|cache| {
            if cache.count == CACHE {
                self.drain(cache);
            }
            cache.frames[cache.count] = frame;
            cache.count += 1;
            cpu.cached_frames.store(cache.count, Ordering::Relaxed);
        });
    }

    /// Gives the frames that were put in first back, so that the warm ones stay.
    #[cold]
    fn drain(&self, cache: &mut FrameCache) {
        let mut buddy = self.buddy.lock();
        for &frame in &cache.frames[..BATCH] {
            buddy.release(frame, 0);
        }
        drop(buddy);
        cache.frames.copy_within(BATCH.., 0);
        cache.count = CACHE - BATCH;
    }
}

/// Says, once, that the kernel's own memory ran short.
pub(crate) fn take_shortage() -> bool {
    SHORT.load(Ordering::Relaxed) && SHORT.swap(false, Ordering::Relaxed)
}

/// Says whether no more than the reserve is left: then nothing that costs much of the kernel's memory should begin.
pub(crate) fn only_reserve_left() -> bool {
    let pool = pool();
    pool.buddy.lock().free <= pool.reserve
}

/// Takes a frame for the kernel's own use, from the reserve if need be.
pub(crate) fn allocate_own(fill: Fill) -> Option<NonZeroU32> {
    pool().allocate(fill, true)
}

/// Takes 2^order contiguous frames for the kernel; each has a reference count of one.
pub(crate) fn allocate_block(order: usize) -> Option<NonZeroU32> {
    if order > MAX_ORDER {
        return None;
    }
    let pool = pool();
    let mut buddy = pool.buddy.lock();
    pool.note_shortage(&buddy);
    let frame = buddy.allocate(order)?;
    drop(buddy);
    for i in 0..1 << order {
        pool.table.entry(frame + i).store(1, Ordering::Relaxed);
    }
    NonZeroU32::new(frame)
}

/// Takes `count` contiguous frames for the kernel (at most 1024); what the block has more is given back.
pub(crate) fn allocate_run(count: u32) -> Option<NonZeroU32> {
    let order = count.next_power_of_two().trailing_zeros();
    let first = allocate_block(order as usize)?;
    let rest = (1 << order) - count;
    if rest > 0 {
        pool().buddy.lock().release_run(first.get() + count, rest);
    }
    Some(first)
}

/// Gives contiguous frames back that [`allocate_block`] or [`allocate_run`] took, all or a part.
pub(crate) fn release_run(first: NonZeroU32, count: u32) {
    pool().buddy.lock().release_run(first.get(), count);
}

/// The pool as `hal` sees it.
pub(crate) struct Frames;

fn page(frame: NonZeroU32) -> *mut u8 {
    layout::direct(u64::from(frame.get()) << 12)
}

impl FramePool for Frames {
    #[inline]
    fn allocate(&self, fill: Fill) -> Option<NonZeroU32> {
        pool().allocate(fill, false)
    }

    fn allocate_large(&self, fill: Fill) -> Option<NonZeroU32> {
        if pool().buddy.lock().free < pool().reserve + (1 << LARGE_ORDER) {
            return None;
        }
        let first = allocate_block(LARGE_ORDER)?;
        if fill == Fill::Zero {
            for i in 0..1 << LARGE_ORDER {
                let at = page(first.saturating_add(i));
                // SAFETY: as in `Pool::allocate`.
                unsafe { copy::zero_page(at) };
            }
        }
        Some(first)
    }

    #[inline]
    fn retain(&self, frame: NonZeroU32) {
        let pool = pool();
        if !pool.is_image(frame.get()) {
            let before = pool.table.entry(frame.get()).fetch_add(1, Ordering::Relaxed);
            debug_assert!(before > 0 && before < 1 << 31, "retain of free frame {frame:#x}");
        }
    }

    #[inline]
    fn release(&self, frame: NonZeroU32) {
        let pool = pool();
        if pool.is_image(frame.get()) {
            return;
        }
        let entry = pool.table.entry(frame.get());
        // The only owner may skip the locked operation: nobody else can add a reference meanwhile.
        let last = entry.load(Ordering::Acquire) == 1 || entry.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            entry.store(0, Ordering::Relaxed);
            pool.give_one(frame.get());
        }
    }

    #[inline]
    fn references(&self, frame: NonZeroU32) -> u32 {
        let pool = pool();
        if pool.is_image(frame.get()) {
            return u32::MAX >> 1;
        }
        pool.table.entry(frame.get()).load(Ordering::Acquire)
    }

    fn read(&self, frame: NonZeroU32, offset: usize, to: &mut [u8]) {
        let len = to.len().min(PAGE_SIZE - offset.min(PAGE_SIZE));
        // SAFETY: the range lies in one page, which the direct map covers; an application may write to it meanwhile,
        // which the copy routine, in assembly, tolerates.
        unsafe { copy::copy(to.as_mut_ptr(), page(frame).wrapping_add(offset), len) };
    }

    fn write(&self, frame: NonZeroU32, offset: usize, from: &[u8]) {
        let len = from.len().min(PAGE_SIZE - offset.min(PAGE_SIZE));
        // SAFETY: as in `read`.
        unsafe { copy::copy(page(frame).wrapping_add(offset), from.as_ptr(), len) };
    }

    fn zero(&self, frame: NonZeroU32, offset: usize, len: usize) {
        let len = len.min(PAGE_SIZE - offset.min(PAGE_SIZE));
        // SAFETY: as in `read`.
        unsafe { copy::zero(page(frame).wrapping_add(offset), len) };
    }

    fn copy(&self, from: NonZeroU32, to: NonZeroU32) {
        // SAFETY: two pages of the direct map; as in `read`.
        unsafe { copy::copy(page(to), page(from), PAGE_SIZE) };
    }

    fn usage(&self) -> FrameUsage {
        let pool = pool();
        let cached: usize = cpu::all().map(|cpu| cpu.cached_frames.load(Ordering::Relaxed)).sum();
        let free = pool.buddy.lock().free + cached as u64;
        FrameUsage { total: pool.total, free }
    }
}
