//! Contents of a file in memory.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use abi::fs::{F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE};
use abi::{Errno, Result};
use hal::sync::{Lock, SleepLock, rank};
use hal::{Dest, Frame, PAGE_SIZE, Source};

use super::RamNode;
use super::pages::Pages;
use crate::node::{PageUse, WriteAt};
use crate::types::{Allocate, Seek};

const PAGE: u64 = PAGE_SIZE as u64;
/// Largest size of a file (`MAX_LFS_FILESIZE`).
const SIZE_MAX: u64 = i64::MAX.unsigned_abs();

/// Seals that may be added.
const SEALS: u32 = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | 0x20;

/// What a regular file holds.
pub(super) struct Contents {
    /// Held by whoever writes or changes the size. Reading needs only `pages`, and each for a moment.
    writer: SleepLock<(), { rank::FILE_WRITE }>,
    pages: Lock<Pages, { rank::PAGE_CACHE }>,
    /// Openings for writing if above zero, executions if below.
    access: AtomicI32,
    seals: AtomicU32,
}

/// Splits an offset into page number and offset in the page.
const fn split(offset: u64) -> (u64, usize) {
    (offset / PAGE, (offset % PAGE) as usize)
}

/// Where a page comes from that is not here.
enum Absent {
    Hole,
    Lower,
}

impl Contents {
    pub(super) fn new(seals: u32, lower_len: u64) -> Self {
        let mut pages = Pages::default();
        (pages.size, pages.lower_len) = (lower_len, lower_len);
        Self {
            writer: SleepLock::new(()),
            pages: Lock::new(pages),
            access: AtomicI32::new(0),
            seals: AtomicU32::new(seals),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.pages.lock().size
    }

    pub(super) fn size_and_pages(&self) -> (u64, u64) {
        let pages = self.pages.lock();
        // Pages that replace lower ones are counted once: what is absent below `lower_len` is the lower file's.
        let lower = pages.lower_len.div_ceil(PAGE);
        let own = if lower == 0 { pages.count() } else { pages.count().max(lower) };
        (pages.size, own)
    }

    pub(super) fn pages_held(&mut self) -> u64 {
        self.pages.get_mut().count()
    }

    pub(super) fn seals(&self) -> u32 {
        self.seals.load(Ordering::Acquire)
    }

    fn sealed(&self, seals: u32) -> Result<()> {
        if self.seals() & seals == 0 { Ok(()) } else { Err(Errno::EPERM) }
    }

    pub(super) fn add_seals(&self, seals: u32, writable_mappings: bool) -> Result<()> {
        if seals & !SEALS != 0 {
            return Err(Errno::EINVAL);
        }
        let _writer = self.writer.lock();
        self.sealed(F_SEAL_SEAL)?;
        if seals & F_SEAL_WRITE != 0 && writable_mappings && self.seals() & F_SEAL_WRITE == 0 {
            return Err(Errno::EBUSY);
        }
        self.seals.fetch_or(seals, Ordering::AcqRel);
        Ok(())
    }

    pub(super) fn get_write_access(&self) -> Result<()> {
        let more = |n: i32| (n >= 0).then_some(n + 1);
        self.access
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .map_or(Err(Errno::ETXTBSY), |_| Ok(()))
    }

    pub(super) fn put_write_access(&self) {
        self.access.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn deny_write_access(&self) -> Result<()> {
        let less = |n: i32| (n <= 0).then_some(n - 1);
        self.access
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
            .map_or(Err(Errno::ETXTBSY), |_| Ok(()))
    }

    pub(super) fn allow_write_access(&self) {
        self.access.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns a page that is here, or where it would come from.
    #[inline]
    fn find(&self, index: u64) -> Result<Frame, Absent> {
        let pages = self.pages.lock();
        match pages.get(index) {
            Some(frame) => Ok(frame.clone()),
            None if pages.is_lower(index) => Err(Absent::Lower),
            None => Err(Absent::Hole),
        }
    }

    /// Puts a new page in its place; if another was quicker, returns that one and drops ours.
    fn insert(&self, index: u64, frame: Frame) -> (Frame, Inserted) {
        let mut pages = self.pages.lock();
        if let Some(other) = pages.get(index) {
            let other = other.clone();
            drop(pages);
            return (other, Inserted::No);
        }
        pages.insert(index, frame.clone());
        (frame, Inserted::Yes)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inserted {
    Yes,
    No,
}

impl RamNode {
    fn lower_page(&self, index: u64) -> Result<Frame> {
        self.lower.as_ref().ok_or(Errno::EIO)?.page(index, PageUse::Read)
    }

    /// Returns a page that may be written to, making it if it is not here.
    fn own_page(&self, contents: &Contents, index: u64) -> Result<Frame> {
        let absent = match contents.find(index) {
            Ok(frame) => return Ok(frame),
            Err(absent) => absent,
        };
        self.pin();
        self.state.charge(1)?;
        let frame = match absent {
            Absent::Hole => Frame::zeroed().map_err(|_| Errno::ENOMEM),
            Absent::Lower => {
                self.lower_page(index).and_then(|lower| Frame::copy_of(&lower).map_err(|_| Errno::ENOMEM))
            }
        };
        let (frame, inserted) = match frame {
            Ok(frame) => contents.insert(index, frame),
            Err(error) => {
                self.state.uncharge(1);
                return Err(error);
            }
        };
        if inserted == Inserted::No {
            self.state.uncharge(1);
        }
        Ok(frame)
    }

    /// Tells mappings that show a lower page that it has been replaced. Not while a page fault is being served.
    fn replaced(&self, index: u64) {
        if let Some(this) = self.this.upgrade() {
            let node: alloc::sync::Arc<dyn crate::Node> = this;
            self.state.environment.events.unmap(&node, index..index + 1);
        }
    }

    pub(super) fn read_contents(&self, offset: u64, to: &mut Dest<'_>) -> Result<usize> {
        let contents = self.contents()?;
        let size = contents.size();
        let mut at = offset;
        let mut done = 0;
        while at < size && to.remaining() > 0 {
            let (index, within) = split(at);
            let left = usize::try_from(size - at).unwrap_or(usize::MAX);
            let len = left.min(PAGE_SIZE - within).min(to.remaining());
            let frame = match contents.find(index) {
                Ok(frame) => Ok(Some(frame)),
                Err(Absent::Hole) => Ok(None),
                Err(Absent::Lower) => self.lower_page(index).map(Some),
            };
            let copied = match frame {
                Ok(Some(frame)) => to.push_frame(&frame, within, len),
                Ok(None) => to.push_zeros(len),
                Err(error) => Err(error),
            };
            match copied {
                Ok(copied) => {
                    done += copied;
                    at += copied as u64;
                    if copied < len {
                        break;
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    pub(super) fn write_contents(&self, how: &mut WriteAt, from: &mut Source<'_>) -> Result<usize> {
        let contents = self.contents()?;
        let writer = contents.writer.lock();
        let size = contents.size();
        if how.append {
            how.offset = size;
        }
        if from.remaining() == 0 {
            return Ok(0);
        }
        contents.sealed(F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)?;
        let mut limit = how.limit.min(SIZE_MAX);
        if how.offset >= limit {
            return Err(Errno::EFBIG);
        }
        if contents.seals() & F_SEAL_GROW != 0 {
            limit = limit.min(size);
            if how.offset >= limit {
                return Err(Errno::EPERM);
            }
        }
        from.limit(usize::try_from(limit - how.offset).unwrap_or(usize::MAX));
        if how.offset + from.remaining() as u64 > size {
            self.settle_end(contents, size)?;
        }
        let mut done = 0;
        let mut result = Ok(());
        while from.remaining() > 0 {
            let at = how.offset + done as u64;
            let (index, within) = split(at);
            let len = from.remaining().min(PAGE_SIZE - within);
            match self.write_page(contents, index, within, len, from) {
                Ok(copied) => {
                    done += copied;
                    if copied > 0 {
                        let mut pages = contents.pages.lock();
                        pages.size = pages.size.max(at + copied as u64);
                    }
                    if copied < len {
                        break;
                    }
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        drop(writer);
        if done == 0 {
            return result.map(|()| 0);
        }
        self.modified();
        Ok(done)
    }

    /// Fills a part of one page.
    fn write_page(
        &self,
        contents: &Contents,
        index: u64,
        within: usize,
        len: usize,
        from: &mut Source<'_>,
    ) -> Result<usize> {
        match contents.find(index) {
            Ok(frame) => from.pull_frame(&frame, within, len),
            Err(Absent::Hole) => self.write_new_page(contents, index, within, len, from),
            Err(Absent::Lower) => {
                let frame = self.own_page(contents, index)?;
                let copied = from.pull_frame(&frame, within, len);
                self.replaced(index);
                copied
            }
        }
    }

    /// Fills a page that was not there: its contents are complete before anybody can see it.
    fn write_new_page(
        &self,
        contents: &Contents,
        index: u64,
        within: usize,
        len: usize,
        from: &mut Source<'_>,
    ) -> Result<usize> {
        self.pin();
        self.state.charge(1)?;
        let filled = Frame::scratch().map_err(|_| Errno::ENOMEM).and_then(|frame| {
            let copied = from.pull_frame(&frame, within, len)?;
            frame.zero(0, within);
            frame.zero(within + copied, PAGE_SIZE - within - copied);
            Ok((frame, copied))
        });
        let (frame, copied) = match filled {
            Ok(filled) => filled,
            Err(error) => {
                self.state.uncharge(1);
                return Err(error);
            }
        };
        let ours = frame.clone();
        let (there, inserted) = contents.insert(index, frame);
        if inserted == Inserted::No {
            // A mapping has made the page meanwhile: it gets the bytes.
            self.state.uncharge(1);
            let mut piece = [0; 256];
            for start in (within..within + copied).step_by(piece.len()) {
                let piece = &mut piece[..(within + copied - start).min(256)];
                ours.read(start, piece);
                there.write(start, piece);
            }
        }
        Ok(copied)
    }

    /// Before a file grows: what its last page holds behind the end has to be zeros, and its own.
    ///
    /// A mapping may have written there, and a lower file's page may hold anything.
    fn settle_end(&self, contents: &Contents, size: u64) -> Result<()> {
        let (index, within) = split(size);
        if within == 0 {
            return Ok(());
        }
        let lower = matches!(contents.find(index), Err(Absent::Lower));
        let frame = if lower {
            self.own_page(contents, index)?
        } else {
            match contents.find(index) {
                Ok(frame) => frame,
                Err(_) => return Ok(()),
            }
        };
        frame.zero(within, PAGE_SIZE - within);
        if lower {
            contents.pages.lock().lower_len = index * PAGE;
            self.replaced(index);
        }
        Ok(())
    }

    pub(super) fn resize(&self, size: u64) -> Result<()> {
        let contents = self.contents()?;
        if size > SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        let writer = contents.writer.lock();
        let before = contents.size();
        let mut gone = Vec::new();
        if size > before {
            contents.sealed(F_SEAL_GROW)?;
            self.settle_end(contents, before)?;
            self.pin();
            contents.pages.lock().size = size;
        } else if size < before {
            contents.sealed(F_SEAL_SHRINK)?;
            self.pin();
            let (index, within) = split(size);
            if within > 0 && matches!(contents.find(index), Err(Absent::Lower)) {
                self.own_page(contents, index)?;
                self.replaced(index);
            }
            let mut pages = contents.pages.lock();
            pages.size = size;
            pages.lower_len = pages.lower_len.min(index * PAGE);
            gone = pages.remove(size.div_ceil(PAGE), u64::MAX);
            let last = pages.get(index).cloned();
            drop(pages);
            if let Some(last) = last.filter(|_| within > 0) {
                last.zero(within, PAGE_SIZE - within);
            }
        }
        drop(writer);
        self.state.uncharge(gone.len() as u64);
        drop(gone);
        self.modified();
        Ok(())
    }

    pub(super) fn allocate_range(&self, what: Allocate, offset: u64, len: u64) -> Result<()> {
        let contents = self.contents()?;
        if what.intersects(Allocate::COLLAPSE_RANGE | Allocate::INSERT_RANGE)
            || what.contains(Allocate::ZERO_RANGE) && self.state.lower.is_none()
        {
            return Err(Errno::EOPNOTSUPP);
        }
        let writer = contents.writer.lock();
        let end = offset + len;
        let size = contents.size();
        let grows = end > size && !what.intersects(Allocate::KEEP_SIZE | Allocate::PUNCH_HOLE);
        if what.intersects(Allocate::PUNCH_HOLE | Allocate::ZERO_RANGE) {
            contents.sealed(F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)?;
            self.punch(contents, offset, end)?;
        }
        if grows {
            contents.sealed(F_SEAL_GROW)?;
            self.settle_end(contents, size)?;
        }
        if !what.contains(Allocate::PUNCH_HOLE) {
            self.populate(contents, offset / PAGE, end.div_ceil(PAGE))?;
        }
        if grows {
            contents.pages.lock().size = end;
        }
        drop(writer);
        self.modified();
        Ok(())
    }

    /// Makes every page of a range exist, or none that did not.
    fn populate(&self, contents: &Contents, first: u64, end: u64) -> Result<()> {
        let free = Frame::usage().free;
        if end - first > free.saturating_add(contents.pages.lock().count()) {
            return Err(Errno::ENOSPC);
        }
        let mut made = Vec::new();
        for index in first..end {
            if matches!(contents.find(index), Err(Absent::Hole)) {
                match self.own_page(contents, index) {
                    Ok(_) => made.push(index),
                    Err(error) => {
                        let mut gone = Vec::new();
                        for index in made {
                            gone.append(&mut contents.pages.lock().remove(index, index + 1));
                        }
                        self.state.uncharge(gone.len() as u64);
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes a range read as zeros.
    fn punch(&self, contents: &Contents, offset: u64, end: u64) -> Result<()> {
        if offset >= end {
            return Ok(());
        }
        self.pin();
        let whole = offset.div_ceil(PAGE)..end / PAGE;
        let zero = |at: u64, until: u64| -> Result<()> {
            let (index, within) = split(at);
            if at >= until || matches!(contents.find(index), Err(Absent::Hole)) {
                return Ok(());
            }
            let len = usize::try_from(until - at).unwrap_or(PAGE_SIZE).min(PAGE_SIZE - within);
            self.own_page(contents, index)?.zero(within, len);
            Ok(())
        };
        if whole.start > whole.end {
            return zero(offset, end);
        }
        zero(offset, whole.start * PAGE)?;
        zero(whole.end * PAGE, end)?;
        let gone = contents.pages.lock().remove(whole.start, whole.end);
        self.state.uncharge(gone.len() as u64);
        drop(gone);
        // Where the lower file shows through an absent page, the hole is a page of zeros.
        let lower_end = contents.pages.lock().lower_len.div_ceil(PAGE);
        for index in whole.start..whole.end.min(lower_end) {
            self.state.charge(1)?;
            let (_, inserted) = match Frame::zeroed() {
                Ok(frame) => contents.insert(index, frame),
                Err(_) => {
                    self.state.uncharge(1);
                    return Err(Errno::ENOMEM);
                }
            };
            if inserted == Inserted::No {
                self.state.uncharge(1);
            }
        }
        Ok(())
    }

    pub(super) fn seek_contents(&self, what: Seek, offset: u64) -> Result<u64> {
        let Ok(contents) = self.contents() else {
            return Err(Errno::ENXIO);
        };
        let pages = contents.pages.lock();
        if offset >= pages.size {
            return Err(Errno::ENXIO);
        }
        let mut index = offset / PAGE;
        let at = |index: u64| (index * PAGE).max(offset);
        match what {
            Seek::Data => {
                if pages.is_lower(index) {
                    return Ok(offset);
                }
                let found = pages.next(index).map(at).filter(|&found| found < pages.size);
                found.ok_or(Errno::ENXIO)
            }
            Seek::Hole => {
                while index * PAGE < pages.size && (pages.is_lower(index) || pages.get(index).is_some()) {
                    index += 1;
                }
                Ok(at(index).min(pages.size))
            }
        }
    }

    pub(super) fn page_of_contents(&self, index: u64, usage: PageUse) -> Result<Frame> {
        let contents = self.contents().map_err(|_| Errno::ENODEV)?;
        if index >= contents.size().div_ceil(PAGE) {
            return Err(Errno::EINVAL);
        }
        match contents.find(index) {
            Ok(frame) => Ok(frame),
            Err(Absent::Lower) if usage == PageUse::Read => self.lower_page(index),
            Err(_) => self.own_page(contents, index),
        }
    }
}
