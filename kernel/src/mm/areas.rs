//! Mapped areas of the kernel's half: device registers, and memory that is contiguous for the kernel only.
//!
//! Each area is followed by a page that is never mapped, so that running over its end faults.

use core::sync::atomic::{AtomicU64, Ordering};

use hal::sync::{Lock, rank};
use hal::{Fill, FramePool, PAGE_SIZE};

use super::frames::{self, Frames};
use super::layout::pointer;
use super::{layout, table};
use crate::arch::tlb;

const PAGE: u64 = PAGE_SIZE as u64;
/// End of the areas (half a TiB).
const END: u64 = layout::AREAS + (1 << 39);
/// Returned ranges that are kept for the next request; a range that does not fit here is lost, which costs addresses only.
const KEPT: usize = 128;

/// First address that was never given out.
static NEXT: AtomicU64 = AtomicU64::new(layout::AREAS);
/// Ranges that came back: start, pages.
static FREE: Lock<[(u64, u64); KEPT], { rank::LEAF }> = Lock::new([(0, 0); KEPT]);

/// Says whether a pointer lies in the areas.
pub(crate) fn contains(pointer: *const u8) -> bool {
    let address = pointer.addr() as u64;
    (layout::AREAS..END).contains(&address)
}

fn reserve(pages: u64) -> u64 {
    let mut free = FREE.lock();
    // The tightest fit; what is left over stays in the list.
    let best = free.iter_mut().filter(|r| r.1 >= pages).min_by_key(|r| r.1);
    if let Some(range) = best {
        let start = range.0;
        *range = if range.1 == pages { (0, 0) } else { (start + pages * PAGE, range.1 - pages) };
        return start;
    }
    drop(free);
    let start = NEXT.fetch_add(pages * PAGE, Ordering::Relaxed);
    assert!(start + pages * PAGE <= END, "half a TiB of kernel addresses is used up");
    start
}

fn give_back(start: u64, pages: u64) {
    let mut free = FREE.lock();
    let (mut start, mut pages) = (start, pages);
    for range in free.iter_mut() {
        if range.1 > 0 && range.0 + range.1 * PAGE == start {
            (start, pages) = (range.0, range.1 + pages);
            *range = (0, 0);
        } else if range.1 > 0 && start + pages * PAGE == range.0 {
            pages += range.1;
            *range = (0, 0);
        }
    }
    if let Some(slot) = free.iter_mut().min_by_key(|r| r.1)
        && slot.1 < pages
    {
        *slot = (start, pages);
    }
}

/// Takes memory of whole pages with undefined contents.
pub(crate) fn allocate(pages: usize) -> Option<*mut u8> {
    let start = reserve(pages as u64 + 1);
    for i in 0..pages as u64 {
        let frame = frames::allocate_own(Fill::Any);
        let mapped = frame.and_then(|frame| {
            table::map_kernel(start + i * PAGE, u64::from(frame.get()) << 12, table::KERNEL_DATA)
        });
        if mapped.is_none() {
            if let Some(frame) = frame {
                Frames.release(frame);
            }
            unmap(start, i);
            give_back(start, pages as u64 + 1);
            return None;
        }
    }
    Some(pointer(start))
}

/// Gives memory back that [`allocate`] returned.
pub(crate) fn release(at: *mut u8) {
    let start = at.addr() as u64;
    let mut pages = 0;
    while table::lookup_kernel(start + pages * PAGE).is_some_and(|e| e & table::PRESENT != 0) {
        pages += 1;
    }
    unmap(start, pages);
    give_back(start, pages + 1);
}

/// Unmaps pages and frees their frames, after every processor has forgotten them.
fn unmap(start: u64, pages: u64) {
    let addresses = || (0..pages).map(|i| start + i * PAGE);
    for address in addresses() {
        table::disable_kernel(address);
    }
    tlb::flush_kernel(start, pages);
    for address in addresses() {
        if let Some(frame) = table::clear_kernel(address).and_then(table::frame_of) {
            Frames.release(frame);
        }
    }
}

/// Maps device registers, uncached, for good; returns the pointer to the first byte.
///
/// # Panics
/// If there is no memory for page tables.
pub(crate) fn map_device(physical: u64, len: usize) -> *mut u8 {
    map_physical(physical, len, table::DEVICE)
}

/// Maps memory that is not the kernel's (firmware tables), for good; returns the pointer to the first byte.
///
/// # Panics
/// If there is no memory for page tables.
pub(crate) fn map_memory(physical: u64, len: usize) -> *mut u8 {
    if super::is_direct(physical, len as u64) {
        return layout::direct(physical);
    }
    map_physical(physical, len, table::KERNEL_DATA)
}

fn map_physical(physical: u64, len: usize, flags: u64) -> *mut u8 {
    let first = physical & !(PAGE - 1);
    let pages = (physical + len as u64 - first).div_ceil(PAGE);
    let start = reserve(pages + 1);
    for i in 0..pages {
        table::map_kernel(start + i * PAGE, first + i * PAGE, flags)
            .expect("there is memory for the page tables of devices");
    }
    pointer(start + (physical - first))
}
