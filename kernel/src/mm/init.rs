//! Setting memory up from the loader's memory map.

use core::sync::atomic::AtomicU32;

use hal::PAGE_SIZE;

use super::table::{self, KERNEL_DATA, LARGE, PRESENT, Table, WRITABLE, index};
use super::{frames, layout};
use crate::arch::{self, copy};
use crate::boot::{BootInfo, RegionKind};

const PAGE: u64 = PAGE_SIZE as u64;
const MIB_2: u64 = 2 << 20;
const GIB: u64 = 1 << 30;
/// Free ranges that are kept.
const MAX_RANGES: usize = 40;
/// The direct map ends there; memory above it is left alone.
const MAX_PHYSICAL: u64 = 512 << 30;

/// Free physical memory while nothing else keeps account of it: disjoint ranges of whole pages.
struct Ranges {
    list: [(u64, u64); MAX_RANGES],
    len: usize,
}

impl Ranges {
    fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.list[..self.len].iter().copied()
    }

    fn push(&mut self, start: u64, end: u64) {
        if start < end && self.len < MAX_RANGES {
            self.list[self.len] = (start, end);
            self.len += 1;
        }
    }

    /// Takes a range out.
    fn remove(&mut self, start: u64, end: u64) {
        for i in 0..self.len {
            let (s, e) = self.list[i];
            if start < e && s < end {
                self.list[i] = (s, s.max(start.min(e)));
                self.push(end.max(s).min(e), e);
            }
        }
    }

    /// Takes `len` bytes (whole pages) from a range above 1 MiB, below `limit`.
    fn take(&mut self, len: u64, limit: u64) -> u64 {
        let fits = |r: &&mut (u64, u64)| r.0 >= 1 << 20 && r.0 + len <= r.1.min(limit);
        let range = self.list[..self.len].iter_mut().find(fits);
        let range = range.expect("there is memory for the kernel's tables");
        let start = range.0;
        range.0 += len;
        start
    }
}

/// The memory that the direct map covers: few ranges, kept for [`is_direct`].
static DIRECT: spin::Once<Ranges> = spin::Once::new();
static TRAMPOLINE: spin::Once<u64> = spin::Once::new();

/// Says whether the direct map covers a range of physical memory.
pub(crate) fn is_direct(physical: u64, len: u64) -> bool {
    DIRECT.get().is_some_and(|d| d.iter().any(|(s, e)| s <= physical && physical + len <= e))
}

/// Returns the physical address of a page below 1 MiB that is kept for starting processors, if the machine has one.
pub(crate) fn trampoline_page() -> Option<u64> {
    TRAMPOLINE.get().copied()
}

fn ram(boot: &BootInfo) -> impl Iterator<Item = (u64, u64)> {
    let ram = boot.regions().iter().filter(|r| r.kind == RegionKind::Ram);
    ram.map(|r| (r.start.next_multiple_of(PAGE), r.end.min(MAX_PHYSICAL) & !(PAGE - 1))).filter(|r| r.0 < r.1)
}

/// Sets memory up.
pub(crate) fn init(boot: &BootInfo) {
    let mut free = Ranges { list: [(0, 0); MAX_RANGES], len: 0 };
    for (start, end) in ram(boot) {
        free.push(start, end);
    }
    free.remove(0, PAGE);
    free.remove(layout::image()[0], layout::image()[3]);
    let image = boot.module.map_or((0, 0), |(start, len)| (start, (start + len).next_multiple_of(PAGE)));
    free.remove(image.0 & !(PAGE - 1), image.1);
    // Processors start in real mode, below 1 MiB; 0x8000 and up is free on every machine seen.
    let low = free.iter().find(|r| r.0 <= 0x8000 && r.1 > 0x8000);
    if let Some((page, _)) = low.map(|r| (r.0.max(0x8000), ())) {
        free.remove(page, page + PAGE);
        TRAMPOLINE.call_once(|| page);
    }

    table::set_kernel_root(layout::physical(arch::boot_tables().root.cast()));
    let mut direct = Ranges { list: [(0, 0); MAX_RANGES], len: 0 };
    map_first_gib(boot, &mut free);
    for (start, end) in ram(boot) {
        map_direct(start.max(GIB), end, &mut free);
        direct.push(start, end);
    }
    DIRECT.call_once(|| direct);
    protect_image(&mut free);
    // The other roots copy the upper half, so the areas' table must be there before the first of them.
    let root = Table::at(table::kernel_root());
    let areas = early_table(&mut free);
    root.set(index(layout::AREAS, 3), areas | PRESENT | WRITABLE);
    root.set(0, 0);
    arch::tlb::flush_local_all();

    let frames = ram(boot).map(|r| r.1).max().unwrap_or(0) / PAGE;
    let table_len = (frames * 4).next_multiple_of(PAGE);
    let at = free.take(table_len, u64::MAX);
    // SAFETY: the range was free and is taken for good, the direct map covers it, and a `u32` is valid with any bits
    // (entries are initialised before they are looked at, see `buddy`; reading stale bytes of RAM is what they allow).
    let entries = unsafe {
        core::slice::from_raw_parts(
            layout::direct(at).cast_const().cast::<AtomicU32>(),
            (table_len / 4) as usize,
        )
    };
    let number = |address: u64| u32::try_from(address / PAGE).expect("below 512 GiB");
    let zones = free.iter().map(|(s, e)| (number(s), number(e)));
    let image = (number(image.0), number(image.1) - number(image.0));
    frames::init(entries, zones, image);
    hal::install_frame_pool(&frames::Frames);
}

/// Takes a page of zeros that the boot tables reach.
fn early_table(free: &mut Ranges) -> u64 {
    let page = free.take(PAGE, GIB);
    // SAFETY: the page was free, and lies below 1 GiB, which is mapped from the start.
    unsafe { copy::zero_page(layout::direct(page)) };
    page
}

/// Leaves of the first GiB's directory only what is memory, with the right flags.
fn map_first_gib(boot: &BootInfo, free: &mut Ranges) {
    let directory = Table::at(layout::physical(arch::boot_tables().first_gib.cast()));
    for i in 0..512 {
        let (start, end) = (i * MIB_2, (i + 1) * MIB_2);
        // The first page holds ROM and holes too; their caching is the MTRRs' business.
        let whole = i == 0 || ram(boot).any(|r| r.0 <= start && end <= r.1);
        let entry = if whole {
            start | KERNEL_DATA | LARGE
        } else if ram(boot).any(|r| r.0 < end && start < r.1) {
            let small = early_table(free);
            for (s, e) in ram(boot) {
                for page in (s.max(start)..e.min(end)).step_by(PAGE_SIZE) {
                    Table::at(small).set(index(page, 0), page | KERNEL_DATA);
                }
            }
            small | PRESENT | WRITABLE
        } else {
            0
        };
        directory.set(index(start, 1), entry);
    }
}

/// Maps memory above the first GiB with the largest pages that fit.
fn map_direct(start: u64, end: u64, free: &mut Ranges) {
    let root = Table::at(table::kernel_root());
    let huge = arch::has_gib_pages();
    let mut at = start;
    while at < end {
        let address = layout::DIRECT_MAP + at;
        let upper = Table::at(root.get(index(address, 3)));
        if huge && at.is_multiple_of(GIB) && end - at >= GIB {
            upper.set(index(address, 2), at | KERNEL_DATA | LARGE);
            at += GIB;
            continue;
        }
        if upper.get(index(address, 2)) == 0 {
            upper.set(index(address, 2), early_table(free) | PRESENT | WRITABLE);
        }
        let directory = Table::at(upper.get(index(address, 2)));
        if at.is_multiple_of(MIB_2) && end - at >= MIB_2 {
            directory.set(index(address, 1), at | KERNEL_DATA | LARGE);
            at += MIB_2;
            continue;
        }
        if directory.get(index(address, 1)) == 0 {
            directory.set(index(address, 1), early_table(free) | PRESENT | WRITABLE);
        }
        Table::at(directory.get(index(address, 1))).set(index(address, 0), at | KERNEL_DATA);
        at += PAGE;
    }
}

/// Maps the kernel's image by the page: text executable, read-only data neither, data writable.
fn protect_image(free: &mut Ranges) {
    let [text, rodata, data, end] = layout::image();
    let directory = Table::at(layout::physical(arch::boot_tables().image.cast()));
    for block in 0..4 {
        let start = block * MIB_2;
        if start >= end {
            directory.set(index(start, 1), 0);
            continue;
        }
        let small = early_table(free);
        for page in (start.max(text)..end.min(start + MIB_2)).step_by(PAGE_SIZE) {
            let flags = if page < rodata {
                KERNEL_DATA & !(WRITABLE | table::NO_EXECUTE | table::DIRTY)
            } else if page < data {
                KERNEL_DATA & !(WRITABLE | table::DIRTY)
            } else {
                KERNEL_DATA
            };
            Table::at(small).set(index(page, 0), page | flags);
        }
        directory.set(index(start, 1), small | PRESENT | WRITABLE);
    }
    assert!(end <= 4 * MIB_2, "the kernel's image is larger than its boot mapping");
}
