//! Pages behind a mapping: files, and memory that processes share.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Frame, OutOfMemory};

/// What `/proc/PID/maps` says of a mapped file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SourceName {
    /// The path, with Linux's ` (deleted)` where the file has none any more.
    pub path: Vec<u8>,
    /// The device number, as `stat(2)` encodes it.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
}

/// Where a mapping's pages come from. Pages are numbered from 0 and are 4096 bytes long.
///
/// Called under the address space's lock; implementations may wait for storage, but not for events.
pub trait PageSource: Send + Sync {
    /// Returns a page, which nobody writes to through the frame that is returned here.
    ///
    /// # Errors
    /// `ENOMEM`; anything else (behind the end of the file, an I/O error) is `SIGBUS` for the application.
    fn page(&self, index: u64) -> Result<Frame>;
    /// Returns a page if it is in memory now.
    fn resident(&self, index: u64) -> Option<Frame>;
    /// Fills in those pages from number `first` on that are in memory now.
    fn resident_from(&self, first: u64, frames: &mut [Option<Frame>]) {
        for (index, frame) in (first..).zip(frames) {
            *frame = self.resident(index);
        }
    }
    /// Returns a page that the application is about to write to through a shared mapping: notes it as dirty.
    ///
    /// # Errors
    /// As for [`Self::page`].
    fn page_for_write(&self, index: u64) -> Result<Frame>;
    /// Says whether [`Self::page_for_write`] has to be called before the first write to a page.
    fn notes_writes(&self) -> bool;
    /// Says which file this is: equal for two mappings of one file, whichever way it was opened.
    fn identity(&self) -> u64;
    /// Returns what `/proc/PID/maps` shows.
    fn name(&self) -> SourceName;
    /// Makes changed pages in a range durable (`msync(2)` with `MS_SYNC`).
    ///
    /// # Errors
    /// `EIO`, `ENOSPC`
    fn sync(&self, pages: Range<u64>) -> Result<()>;
    /// Gives the pages in a range back, so that they read as zeros (`MADV_REMOVE`).
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the file system cannot.
    fn punch(&self, pages: Range<u64>) -> Result<()>;
    /// Says whether the application may map this with `PROT_EXEC` (`noexec` mounts).
    fn may_execute(&self) -> bool {
        true
    }
}

/// Memory that several mappings share and that no file holds: `MAP_SHARED | MAP_ANONYMOUS`, System V segments.
pub struct SharedObject {
    pages: Lock<Pages, { rank::PAGE_CACHE }>,
    count: u64,
    name: SourceName,
}

/// Pages that one part of [`Pages`] holds; a power of two.
const PART: u64 = 64;
/// The same, as a length.
const PART_LEN: usize = 64;

/// The pages that hold memory, by number, in parts that a search finds as a whole.
#[derive(Default)]
struct Pages {
    parts: BTreeMap<u64, Box<[Option<Frame>; PART_LEN]>>,
    count: u64,
}

impl Pages {
    fn get(&self, index: u64) -> Option<&Frame> {
        self.parts.get(&(index / PART))?[(index % PART) as usize].as_ref()
    }

    /// Enters a page, unless there is one: returns the one that is there then.
    fn enter(&mut self, index: u64, new: Frame) -> Frame {
        let part = self.parts.entry(index / PART).or_insert_with(|| Box::new([const { None }; PART_LEN]));
        let place = &mut part[(index % PART) as usize];
        if place.is_none() {
            self.count += 1;
        }
        place.get_or_insert(new).clone()
    }

    /// Takes pages out.
    fn take(&mut self, pages: Range<u64>) -> Vec<Frame> {
        let mut gone = Vec::new();
        for (number, part) in self.parts.range_mut(pages.start / PART..pages.end.div_ceil(PART)) {
            for (index, place) in (number * PART..).zip(part.iter_mut()) {
                if pages.contains(&index) {
                    gone.extend(place.take());
                }
            }
        }
        self.parts.retain(|_, part| part.iter().any(Option::is_some));
        self.count -= gone.len() as u64;
        gone
    }
}

impl SharedObject {
    /// Makes an object of that many pages, all zero, with that name in `/proc/PID/maps`.
    pub fn new(pages: u64, name: SourceName) -> Arc<Self> {
        Arc::new(Self { pages: Lock::default(), count: pages, name })
    }

    /// Returns how many pages hold memory.
    pub fn resident_pages(&self) -> u64 {
        self.pages.lock().count
    }

    /// Returns how many pages it has.
    pub const fn pages(&self) -> u64 {
        self.count
    }
}

impl PageSource for SharedObject {
    fn page(&self, index: u64) -> Result<Frame> {
        if index >= self.count {
            return Err(Errno::ENXIO);
        }
        if let Some(frame) = self.pages.lock().get(index) {
            return Ok(frame.clone());
        }
        // The page is zeroed without the lock; another thread may be faster.
        let new = Frame::zeroed().map_err(|OutOfMemory| Errno::ENOMEM)?;
        Ok(self.pages.lock().enter(index, new))
    }

    fn resident(&self, index: u64) -> Option<Frame> {
        self.pages.lock().get(index).cloned()
    }

    fn resident_from(&self, first: u64, frames: &mut [Option<Frame>]) {
        let pages = self.pages.lock();
        for (index, frame) in (first..).zip(frames) {
            *frame = pages.get(index).cloned();
        }
    }

    fn page_for_write(&self, index: u64) -> Result<Frame> {
        self.page(index)
    }

    fn notes_writes(&self) -> bool {
        false
    }

    fn identity(&self) -> u64 {
        core::ptr::from_ref(self).addr() as u64
    }

    fn name(&self) -> SourceName {
        self.name.clone()
    }

    fn sync(&self, _: Range<u64>) -> Result<()> {
        Ok(())
    }

    fn punch(&self, pages: Range<u64>) -> Result<()> {
        let gone = self.pages.lock().take(pages);
        drop(gone);
        Ok(())
    }
}
