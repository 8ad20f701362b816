//! Page-table entries, and the kernel's own half of the tables.
//!
//! The upper half of every address space shares the tables below the root: the root's upper entries are all
//! filled in at start-up and never change, so a later kernel mapping needs no walk over address spaces.

use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::sync::{Lock, rank};
use hal::{Fill, FramePool};

use super::frames::{self, Frames};
use super::layout;

pub(crate) const PRESENT: u64 = 1;
pub(crate) const WRITABLE: u64 = 1 << 1;
pub(crate) const USER: u64 = 1 << 2;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
pub(crate) const ACCESSED: u64 = 1 << 5;
pub(crate) const DIRTY: u64 = 1 << 6;
/// In a directory: a 2 MiB (or 1 GiB) page.
pub(crate) const LARGE: u64 = 1 << 7;
pub(crate) const GLOBAL: u64 = 1 << 8;
pub(crate) const NO_EXECUTE: u64 = 1 << 63;
/// Bits of an entry that hold the physical address.
pub(crate) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Flags of the kernel's data.
pub(crate) const KERNEL_DATA: u64 = PRESENT | WRITABLE | ACCESSED | DIRTY | GLOBAL | NO_EXECUTE;
/// Flags of device registers.
pub(crate) const DEVICE: u64 = KERNEL_DATA | WRITE_THROUGH | CACHE_DISABLE;

/// One page of entries, at whatever level.
#[repr(C, align(4096))]
pub(crate) struct Table {
    entries: [AtomicU64; 512],
}

impl Table {
    /// Lends the table at a physical address.
    pub(crate) fn at(physical: u64) -> &'static Self {
        // SAFETY: callers pass the address of a page that serves as a table until its space is gone; the direct map
        // covers it, and entries are atomics.
        unsafe { &*layout::direct(physical & ADDRESS).cast::<Self>() }
    }

    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> u64 {
        self.entries[index & 511].load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set(&self, index: usize, entry: u64) {
        self.entries[index & 511].store(entry, Ordering::Release);
    }

    /// Puts an entry and returns what was there, with the bits that the processor set until now.
    #[inline(always)]
    pub(crate) fn swap(&self, index: usize, entry: u64) -> u64 {
        self.entries[index & 511].swap(entry, Ordering::AcqRel)
    }

    /// Changes an entry that the processor may be marking as used meanwhile.
    #[inline(always)]
    pub(crate) fn clear_bits(&self, index: usize, bits: u64) -> u64 {
        self.entries[index & 511].fetch_and(!bits, Ordering::AcqRel)
    }
}

impl Table {
    /// Calls `each` with the index and value of every entry in `first..end` that is not zero. Tables are sparse, so
    /// eight entries are looked at at a time.
    #[inline(always)]
    pub(crate) fn for_used(&self, first: usize, end: usize, mut each: impl FnMut(usize, u64)) {
        let (mut at, end) = (first, end.min(512));
        while at < end {
            if at.is_multiple_of(8) && at + 8 <= end && self.are_eight_empty(at) {
                at += 8;
                continue;
            }
            let stop = ((at | 7) + 1).min(end);
            while at < stop {
                let entry = self.get(at);
                if entry != 0 {
                    each(at, entry);
                }
                at += 1;
            }
        }
    }

    /// Says whether eight entries are zero. In assembly, since the compiler keeps eight atomic loads apart.
    #[inline(always)]
    fn are_eight_empty(&self, at: usize) -> bool {
        let first = &raw const self.entries[at & 504];
        let any: u64;
        // SAFETY: the eight words lie in the table, `at & 504` being at most 504; they are only read.
        unsafe {
            core::arch::asm!(
                "mov {any}, [{at}]", "or {any}, [{at} + 8]", "or {any}, [{at} + 16]", "or {any}, [{at} + 24]",
                "or {any}, [{at} + 32]", "or {any}, [{at} + 40]", "or {any}, [{at} + 48]", "or {any}, [{at} + 56]",
                any = out(reg) any, at = in(reg) first, options(nostack, readonly)
            );
        };
        any == 0
    }

    /// Changes an entry whose accessed and dirty bits the processor may be setting meanwhile; returns the old one.
    pub(crate) fn replace(&self, index: usize, change: impl Fn(u64) -> u64) -> u64 {
        let cell = &self.entries[index & 511];
        match cell.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |old| Some(change(old))) {
            Ok(old) | Err(old) => old,
        }
    }
}

/// Index of an address at a level: 3 for the root, 0 for the last table.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "nine bits")]
pub(crate) const fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level)) as usize & 511
}

/// Guards changes of the kernel's half.
static KERNEL: Lock<(), { rank::PAGE_TABLE }> = Lock::new(());
/// Physical address of the kernel's own root.
static ROOT: AtomicU64 = AtomicU64::new(0);

/// Returns the physical address of the root that maps the kernel alone.
pub(crate) fn kernel_root() -> u64 {
    ROOT.load(Ordering::Relaxed)
}

pub(super) fn set_kernel_root(root: u64) {
    ROOT.store(root, Ordering::Relaxed);
}

/// Takes a page of zeros for a table; returns its physical address.
pub(crate) fn new_table() -> Option<u64> {
    Some(u64::from(frames::allocate_own(Fill::Zero)?.get()) << 12)
}

/// Frees a table.
pub(crate) fn free(physical: u64) {
    if let Some(frame) = frame_of(physical) {
        Frames.release(frame);
    }
}

/// Returns the frame number in an entry.
pub(crate) fn frame_of(entry: u64) -> Option<NonZeroU32> {
    u32::try_from((entry & ADDRESS) >> 12).ok().and_then(NonZeroU32::new)
}

/// Finds the last-level table of a kernel address; makes missing tables if `make` supplies pages for them.
pub(super) fn walk_kernel(address: u64, mut make: impl FnMut() -> Option<u64>) -> Option<&'static Table> {
    let mut table = Table::at(kernel_root());
    for level in [3, 2, 1] {
        let entry = table.get(index(address, level));
        assert!(entry & LARGE == 0 || level == 3, "kernel address {address:#x} lies in a large page");
        table = if entry & PRESENT != 0 {
            Table::at(entry)
        } else {
            let new = make()?;
            table.set(index(address, level), new | PRESENT | WRITABLE | ACCESSED);
            Table::at(new)
        };
    }
    Some(table)
}

/// Maps one page in the kernel's half, where nothing is mapped; `None` if there is no memory for a table.
pub(crate) fn map_kernel(address: u64, physical: u64, flags: u64) -> Option<()> {
    let _guard = KERNEL.lock();
    walk_kernel(address, new_table)?.set(index(address, 0), physical | flags);
    Some(())
}

/// Makes a page of the kernel's half inaccessible without forgetting what it holds; returns the old entry. The caller flushes.
pub(crate) fn disable_kernel(address: u64) -> Option<u64> {
    let _guard = KERNEL.lock();
    let table = walk_kernel(address, || None)?;
    Some(table.clear_bits(index(address, 0), PRESENT))
}

/// Forgets a page of the kernel's half and returns its entry. The caller has flushed, or flushes.
pub(crate) fn clear_kernel(address: u64) -> Option<u64> {
    let _guard = KERNEL.lock();
    let table = walk_kernel(address, || None)?;
    Some(table.swap(index(address, 0), 0))
}

/// Returns the entry of a page in the mapped areas.
pub(crate) fn lookup_kernel(address: u64) -> Option<u64> {
    Some(walk_kernel(address, || None)?.get(index(address, 0)))
}
