//! Page tables of the application, and keeping every processor's translations in step with them.
//!
//! An entry that is not zero owns a reference to its frame. A page that permits nothing keeps its frame in an entry
//! that is not present. The accessed bit says whether a processor may have the translation: it is set before a
//! translation is cached, so changing an entry without it needs no flush.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use hal::sync::{Lock, rank};
use hal::{
    AddressSpace, ForkMode, ForkRange, Frame, FramePool, Mapped, OutOfMemory, PAGE_SIZE, PageRange, Prot,
    Spaces, UserAddr,
};

use super::frames::{self, Frames};
use super::loaded;
use super::table::{
    self, ACCESSED, DIRTY, LARGE, NO_EXECUTE, PRESENT, Table, USER, WRITABLE, frame_of, index, kernel_root,
    new_table,
};
use crate::arch::ipi::{self, Request};
use crate::arch::tlb;
use crate::cpu;

const PAGE: u64 = PAGE_SIZE as u64;
const MIB_2: u64 = 2 << 20;
/// Ignored by the processor: the entry holds a frame, though it may not be present.
const HELD: u64 = 1 << 9;
/// Flags of an entry that points to a lower table.
const TABLE: u64 = PRESENT | WRITABLE | USER | ACCESSED;

/// Page tables of one process.
pub(crate) struct Space {
    pub(super) root: u64,
    /// Processors that have the root loaded.
    pub(super) cpus: AtomicU64,
    /// Held while the tables are read or changed; never while processors are asked to flush.
    lock: Lock<Spares, { rank::PAGE_TABLE }>,
}

/// Pages for tables: one for each large page that is mapped, so that it can always be split.
type Spares = Vec<u64>;

/// What was removed from the tables, and is freed after the flush.
#[derive(Default)]
struct Removed {
    frames: Vec<NonZeroU32>,
    /// Last-level tables that were cut off whole, with all that is in them.
    tables: Vec<u64>,
    /// First frames of large pages, and the page that was kept for splitting each.
    large: Vec<(NonZeroU32, Option<u64>)>,
    /// A processor may have a translation of one of them.
    cached: bool,
}

impl Removed {
    /// Frees it; returns how many pages it was.
    fn release(self) -> u64 {
        let mut pages = self.frames.len() as u64;
        for frame in self.frames {
            Frames.release(frame);
        }
        for (first, spare) in self.large {
            release_large(first);
            if let Some(spare) = spare {
                table::free(spare);
            }
            pages += 512;
        }
        for table in self.tables {
            pages += free_last_table(table);
        }
        pages
    }
}

fn release_large(first: NonZeroU32) {
    for i in 0..512 {
        Frames.release(first.saturating_add(i));
    }
}

/// Frees a last-level table with all that is in it; returns how many pages that was.
fn free_last_table(physical: u64) -> u64 {
    let mut pages = 0;
    Table::at(physical).for_used(0, 512, |_, entry| {
        if let Some(frame) = frame_of(entry) {
            Frames.release(frame);
            pages += 1;
        }
    });
    table::free(physical);
    pages
}

fn flags_of(prot: Prot) -> u64 {
    if prot.is_empty() {
        return HELD;
    }
    let mut flags = HELD | PRESENT | USER;
    if prot.contains(Prot::WRITE) {
        flags |= WRITABLE;
    }
    if !prot.contains(Prot::EXEC) {
        flags |= NO_EXECUTE;
    }
    flags
}

fn prot_of(entry: u64) -> Prot {
    if entry & PRESENT == 0 {
        return Prot::empty();
    }
    let mut prot = Prot::READ;
    prot.set(Prot::WRITE, entry & WRITABLE != 0);
    prot.set(Prot::EXEC, entry & NO_EXECUTE == 0);
    prot
}

/// Turns a 2 MiB entry into a table of 512.
fn split(directory: &Table, at: u64, spares: &mut Spares) {
    let entry = directory.get(index(at, 1));
    let physical = spares.pop().expect("every large page has a page for its table");
    let first = entry & table::ADDRESS & !(MIB_2 - 1);
    let flags = entry & !table::ADDRESS & !LARGE;
    for i in 0..512 {
        Table::at(physical).set(i, (first + i as u64 * PAGE) | flags);
    }
    directory.set(index(at, 1), physical | TABLE);
}

/// Part of a range within one entry of a directory.
#[derive(Clone, Copy)]
struct Piece {
    directory: &'static Table,
    start: u64,
    end: u64,
}

impl Piece {
    fn entry(self) -> u64 {
        self.directory.get(index(self.start, 1))
    }

    fn is_whole(self) -> bool {
        self.end - self.start == MIB_2
    }

    /// Returns the last-level table, splitting a large page.
    fn table(self, spares: &mut Spares) -> &'static Table {
        if self.entry() & LARGE != 0 {
            split(self.directory, self.start, spares);
        }
        Table::at(self.entry())
    }

    /// Goes through the entries of its last-level table that are in use: address, index, entry.
    #[inline(always)]
    fn for_used(self, table: &Table, mut each: impl FnMut(u64, usize, u64)) {
        let block = self.start & !(MIB_2 - 1);
        let first = index(self.start, 0);
        let end = first + ((self.end - self.start) / PAGE) as usize;
        table.for_used(first, end, |i, entry| each(block + i as u64 * PAGE, i, entry));
    }
}

impl Space {
    fn new() -> Result<Self, OutOfMemory> {
        if frames::only_reserve_left() {
            return Err(OutOfMemory);
        }
        let root = new_table().ok_or(OutOfMemory)?;
        let kernel = Table::at(kernel_root());
        for i in 256..512 {
            let entry = kernel.get(i);
            if entry != 0 {
                Table::at(root).set(i, entry);
            }
        }
        Ok(Self { root, cpus: AtomicU64::new(0), lock: Lock::new(Vec::new()) })
    }

    /// Gives an address space its type back.
    pub(crate) fn of(space: &dyn AddressSpace) -> &Self {
        space.as_any().downcast_ref().expect("every address space is made by this module")
    }

    /// Returns the processors that have the space loaded, one bit each.
    pub(crate) fn cpus(&self) -> u64 {
        self.cpus.load(Ordering::SeqCst)
    }

    /// Finds the directory (the table of 2 MiB entries) of an address.
    fn directory(&self, at: u64) -> Option<&'static Table> {
        let upper = Table::at(self.root).get(index(at, 3));
        if upper == 0 {
            return None;
        }
        let middle = Table::at(upper).get(index(at, 2));
        (middle != 0).then(|| Table::at(middle))
    }

    /// Finds or makes the directory of an address.
    fn make_directory(&self, at: u64) -> Result<&'static Table, OutOfMemory> {
        let mut table = Table::at(self.root);
        for level in [3, 2] {
            if table.get(index(at, level)) == 0 {
                table.set(index(at, level), new_table().ok_or(OutOfMemory)? | TABLE);
            }
            table = Table::at(table.get(index(at, level)));
        }
        Ok(table)
    }

    /// Finds or makes the last-level table of an address.
    fn make_table(&self, at: u64, spares: &mut Spares) -> Result<&'static Table, OutOfMemory> {
        let directory = self.make_directory(at)?;
        let entry = directory.get(index(at, 1));
        if entry & LARGE != 0 {
            split(directory, at, spares);
        } else if entry == 0 {
            directory.set(index(at, 1), new_table().ok_or(OutOfMemory)? | TABLE);
        }
        Ok(Table::at(directory.get(index(at, 1))))
    }

    /// Returns the entry that maps an address: a 4 KiB one, or a large one with the page's own address.
    fn entry(&self, at: u64) -> u64 {
        let Some(directory) = self.directory(at) else { return 0 };
        let entry = directory.get(index(at, 1));
        if entry & LARGE != 0 {
            return entry + (at & (MIB_2 - 1) & !(PAGE - 1));
        }
        if entry == 0 { 0 } else { Table::at(entry).get(index(at, 0)) }
    }

    /// Goes through the directory entries in a range that are in use.
    fn pieces(&self, range: PageRange) -> impl Iterator<Item = Piece> + '_ {
        let (mut at, end) = (range.start().0, range.end().0);
        core::iter::from_fn(move || {
            while at < end {
                let Some(directory) = self.directory(at) else {
                    // Nothing in this 1 GiB; nothing in these 512 either if the root says so.
                    let step =
                        if Table::at(self.root).get(index(at, 3)) == 0 { 1_u64 << 39 } else { 1 << 30 };
                    at = (at & !(step - 1)) + step;
                    continue;
                };
                let start = at;
                at = ((start & !(MIB_2 - 1)) + MIB_2).min(end);
                if directory.get(index(start, 1)) != 0 {
                    return Some(Piece { directory, start, end: at });
                }
            }
            None
        })
    }

    /// Makes every processor forget pages. `tables` says that tables are freed as well: then idle processors, too, must
    /// let go of them at once.
    fn flush(&self, start: u64, pages: u64, tables: bool) {
        fence(Ordering::SeqCst);
        let cpu = cpu::this();
        if cpu.loaded.is(self) {
            tlb::flush_local(start, pages);
        }
        let own = 1_u64 << cpu.number();
        let mut others = self.cpus.load(Ordering::SeqCst) & !own;
        if others == 0 {
            return;
        }
        if !tables {
            let loaded = others;
            for other in cpu::all().filter(|c| loaded & 1 << c.number() != 0) {
                if other.loaded.may_wait() {
                    others &= !(1 << other.number());
                }
            }
        }
        ipi::ask(others, Request::Flush(self, start, pages));
    }
}

impl AddressSpace for Space {
    fn map(&self, at: UserAddr, frame: Frame, prot: Prot) -> Result<(), OutOfMemory> {
        let mut spares = self.lock.lock();
        let table = self.make_table(at.0, &mut spares)?;
        // The page is mapped because it is about to be used: the processor need not note that by itself.
        let flags = flags_of(prot);
        let used = if flags & WRITABLE != 0 { ACCESSED | DIRTY } else { ACCESSED };
        let new = u64::from(frame.into_raw().get()) << 12 | flags | used;
        let old = table.swap(index(at.0, 0), new);
        drop(spares);
        if old & PRESENT != 0 && old & ACCESSED != 0 {
            self.flush(at.0, 1, false);
        }
        if let Some(old) = frame_of(old) {
            Frames.release(old);
        }
        Ok(())
    }

    fn map_large(&self, at: UserAddr, frames: Vec<Frame>, prot: Prot) -> Result<(), OutOfMemory> {
        // Taken before the lock; `None` where memory is too short for a large page.
        let spare = Frame::scratch().ok();
        let mut spares = self.lock.lock();
        let directory = self.make_directory(at.0)?;
        let first = frames.first().map_or(0, |f| u64::from(f.number().get()) << 12);
        let old = directory.get(index(at.0, 1));
        let empty = old == 0 || (old & LARGE == 0 && (0..512).all(|i| Table::at(old).get(i) == 0));
        let aligned = frames.len() == 512 && first.is_multiple_of(MIB_2) && at.0.is_multiple_of(MIB_2);
        if aligned
            && empty
            && let Some(spare) = spare
            && spares.try_reserve(1).is_ok()
        {
            spares.push(u64::from(spare.into_raw().get()) << 12);
            for frame in frames {
                frame.into_raw();
            }
            directory.set(index(at.0, 1), first | flags_of(prot) | LARGE);
            drop(spares);
            if old != 0 {
                // An empty table was there, which a processor may still be walking.
                self.flush(at.0, 512, true);
                table::free(old & table::ADDRESS);
            }
            return Ok(());
        }
        drop(spares);
        for (i, frame) in (0..).zip(frames) {
            self.map(at.offset(i * PAGE), frame, prot)?;
        }
        Ok(())
    }

    fn map_absent(&self, at: UserAddr, frames: &mut [Option<Frame>], prot: Prot) -> u64 {
        let mut spares = self.lock.lock();
        let mut mapped = 0;
        let mut last: Option<(u64, &Table)> = None;
        for (page, slot) in (0..).zip(frames) {
            let at = at.0 + page * PAGE;
            let Some(frame) = slot.take() else { continue };
            let table = match last {
                Some((block, table)) if block == at / MIB_2 => table,
                _ => match self.make_table(at, &mut spares) {
                    Ok(table) => table,
                    Err(OutOfMemory) => {
                        *slot = Some(frame);
                        break;
                    }
                },
            };
            last = Some((at / MIB_2, table));
            if table.get(index(at, 0)) == 0 {
                table.set(index(at, 0), u64::from(frame.into_raw().get()) << 12 | flags_of(prot));
                mapped += 1;
            } else {
                *slot = Some(frame);
            }
        }
        mapped
    }

    fn lookup(&self, at: UserAddr) -> Option<Mapped> {
        let _guard = self.lock.lock();
        let entry = self.entry(at.0);
        let number = frame_of(entry).filter(|_| entry & HELD != 0)?;
        Frames.retain(number);
        // SAFETY: the reference that was just added; the lock keeps the entry's own alive meanwhile.
        let frame = unsafe { Frame::from_raw(number) };
        Some(Mapped {
            frame,
            prot: prot_of(entry),
            accessed: entry & ACCESSED != 0,
            dirty: entry & DIRTY != 0,
        })
    }

    fn unmap(&self, range: PageRange) -> u64 {
        let mut removed = Removed::default();
        let mut spares = self.lock.lock();
        for piece in self.pieces(range) {
            let entry = piece.entry();
            if piece.is_whole() {
                piece.directory.set(index(piece.start, 1), 0);
                removed.cached = true;
                if entry & LARGE == 0 {
                    removed.tables.push(entry & table::ADDRESS);
                } else if let Some(first) = frame_of(entry & !(MIB_2 - 1)) {
                    removed.large.push((first, spares.pop()));
                }
                continue;
            }
            let table = piece.table(&mut spares);
            piece.for_used(table, |_, i, _| {
                let old = table.swap(i, 0);
                removed.cached |= old & PRESENT != 0 && old & ACCESSED != 0;
                removed.frames.extend(frame_of(old));
            });
        }
        drop(spares);
        if removed.cached {
            self.flush(range.start().0, range.pages(), !removed.tables.is_empty());
        }
        removed.release()
    }

    fn protect(&self, range: PageRange, prot: Prot, keep_readonly: bool) {
        let flags = flags_of(prot);
        let mut cached = false;
        let mut spares = self.lock.lock();
        let change = |old: u64| {
            let mut new = old & !(PRESENT | WRITABLE | USER | NO_EXECUTE) | flags;
            if keep_readonly && old & WRITABLE == 0 {
                new &= !WRITABLE;
            }
            new
        };
        for piece in self.pieces(range) {
            let entry = piece.entry();
            if entry & LARGE != 0 && piece.is_whole() {
                cached |= piece.directory.replace(index(piece.start, 1), change) & ACCESSED != 0;
                continue;
            }
            let table = piece.table(&mut spares);
            piece.for_used(table, |_, i, old| {
                if change(old) != old {
                    let old = table.replace(i, change);
                    cached |= old & PRESENT != 0 && old & ACCESSED != 0;
                }
            });
        }
        drop(spares);
        if cached {
            self.flush(range.start().0, range.pages(), false);
        }
    }

    fn relocate(&self, from: PageRange, to: UserAddr) -> Result<(), OutOfMemory> {
        let mut spares = self.lock.lock();
        let target = |at: u64| to.0 + (at - from.start().0);
        for piece in self.pieces(from) {
            let table = piece.table(&mut spares);
            let mut made = Ok(());
            piece.for_used(table, |at, _, _| {
                if made.is_ok() {
                    made = self.make_table(target(at), &mut spares).map(|_| ());
                }
            });
            made?;
        }
        let mut cached = false;
        for piece in self.pieces(from) {
            let table = piece.table(&mut spares);
            piece.for_used(table, |at, i, _| {
                let entry = table.swap(i, 0);
                cached |= entry & PRESENT != 0 && entry & ACCESSED != 0;
                let table = self.make_table(target(at), &mut spares).expect("the tables were made just now");
                table.set(index(target(at), 0), entry);
            });
        }
        drop(spares);
        if cached {
            self.flush(from.start().0, from.pages(), false);
        }
        Ok(())
    }

    fn resident(&self, range: PageRange) -> u64 {
        let _guard = self.lock.lock();
        let count = |piece: Piece| {
            let entry = piece.entry();
            if entry & LARGE != 0 {
                return (piece.end - piece.start) / PAGE;
            }
            let mut count = 0;
            piece.for_used(Table::at(entry), |_, _, _| count += 1);
            count
        };
        self.pieces(range).map(count).sum()
    }

    fn fork(&self, ranges: &[ForkRange]) -> Result<(Arc<dyn AddressSpace>, u64), OutOfMemory> {
        let child = Self::new()?;
        let mut pages = 0;
        let mut cached: Option<(u64, u64)> = None;
        let mut guard = self.lock.lock();
        let mut result = Ok(());
        'all: for range in ranges {
            for piece in self.pieces(range.range) {
                match fork_piece(&child, piece, range.mode, &mut guard, &mut pages) {
                    Ok(true) => {
                        let (start, end) = cached.unwrap_or((piece.start, piece.end));
                        cached = Some((start.min(piece.start), end.max(piece.end)));
                    }
                    Ok(false) => {}
                    Err(error) => {
                        result = Err(error);
                        break 'all;
                    }
                }
            }
        }
        drop(guard);
        if let Some((start, end)) = cached {
            self.flush(start, (end - start) / PAGE, false);
        }
        result.map(|()| (Arc::new(child) as Arc<dyn AddressSpace>, pages))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Passes the pages of one piece to a child, and counts them; says whether the parent's processors must forget them.
fn fork_piece(
    child: &Space,
    piece: Piece,
    mode: ForkMode,
    spares: &mut Spares,
    pages: &mut u64,
) -> Result<bool, OutOfMemory> {
    let source = piece.table(spares);
    // The child maps no large page yet.
    let target = child.make_table(piece.start, &mut Spares::new())?;
    let mut cached = false;
    piece.for_used(source, |_, i, mut entry| {
        let Some(frame) = frame_of(entry) else { return };
        if mode == ForkMode::CopyOnWrite && entry & WRITABLE != 0 {
            entry = source.clear_bits(i, WRITABLE);
            cached |= entry & PRESENT != 0 && entry & ACCESSED != 0;
            entry &= !WRITABLE;
        }
        Frames.retain(frame);
        target.set(i, entry);
        *pages += 1;
    });
    Ok(cached)
}

impl Drop for Space {
    fn drop(&mut self) {
        let cpu = cpu::this();
        if cpu.loaded.is(self) {
            loaded::leave(cpu);
        }
        ipi::ask(self.cpus(), Request::Leave(self));
        for spare in core::mem::take(self.lock.get_mut()) {
            table::free(spare);
        }
        let root = Table::at(self.root);
        root.for_used(0, 256, |_, upper| {
            Table::at(upper).for_used(0, 512, |_, middle| {
                Table::at(middle).for_used(0, 512, |_, entry| {
                    if entry & LARGE == 0 {
                        free_last_table(entry & table::ADDRESS);
                    } else if let Some(first) = frame_of(entry & !(MIB_2 - 1)) {
                        release_large(first);
                    }
                });
                table::free(middle & table::ADDRESS);
            });
            table::free(upper & table::ADDRESS);
        });
        table::free(self.root);
    }
}

/// Makes spaces, as `hal` sees it.
pub(crate) struct Maker;

impl Spaces for Maker {
    fn create(&self) -> Result<Arc<dyn AddressSpace>, OutOfMemory> {
        Ok(Arc::new(Space::new()?))
    }
}
