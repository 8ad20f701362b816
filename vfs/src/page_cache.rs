//! Pages of a disk that is only read, kept in memory while there is room: a root image that is not loaded at boot.
//!
//! [`CachedDisk`] gives out the frames that it keeps, so a page is in memory once, however many files and mappings show
//! it. A miss reads ahead: a few pages at first, more while misses follow each other. A page is on its way from the disk
//! once at a time; whoever else wants it waits for that. When memory gets short, pages that nobody holds go, those that
//! were not used since the last look first (second chance).

mod table;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::{Errno, Result};
use hal::sync::{Lock, SleepLock, rank};
use hal::{BlockDevice, Frame, FrameUsage, PAGE_SIZE, PageStore};

use table::{Found, Table};

/// Frames that are left for others before the cache gives some back, as a part of all: one in so many.
const RESERVE_PART: u64 = 32;
/// The cache holds at most three quarters of all frames, not counting what applications have mapped.
const LIMIT_QUARTERS: u64 = 3;
/// The cache may always hold so many pages: less would read the same ones over and over.
const LIMIT_MIN: u64 = 32;

/// Pages on their way from the disk. Whoever reads them holds the lock until they are there.
#[derive(Default)]
struct Load {
    /// Why a single page could not be read; nothing where it was, or where several were tried in one go.
    failure: SleepLock<Option<Errno>, { rank::DISK_READ }>,
}

/// A disk that is read through memory.
pub struct CachedDisk {
    device: Arc<dyn BlockDevice>,
    pages: u64,
    /// Pages to hold at most; `None` follows the machine's memory.
    limit: Option<u64>,
    table: Lock<Table, { rank::PAGE_CACHE }>,
    reads: AtomicU64,
}

impl CachedDisk {
    /// Reads a disk through memory, as much of it as the machine can spare.
    pub fn new(device: Arc<dyn BlockDevice>) -> Arc<Self> {
        Self::make(device, None)
    }

    /// Reads a disk through that many pages of memory, not counting those that somebody else holds, too.
    pub fn with_limit(device: Arc<dyn BlockDevice>, pages: u64) -> Arc<Self> {
        Self::make(device, Some(pages))
    }

    fn make(device: Arc<dyn BlockDevice>, limit: Option<u64>) -> Arc<Self> {
        let pages = device.len().div_ceil(PAGE_SIZE as u64);
        Arc::new(Self { device, pages, limit, table: Lock::default(), reads: AtomicU64::new(0) })
    }

    /// Returns how many pages are in memory.
    pub fn cached(&self) -> u64 {
        self.table.lock().len()
    }

    /// Returns how many requests went to the disk.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Gives back pages that nobody holds, about that many; returns how many went.
    pub fn shrink(&self, pages: usize) -> usize {
        let mut gone = 0;
        // Two looks at each page take both of its chances. In pieces, so that nobody waits for long.
        let mut looks = self.cached().saturating_mul(2);
        while gone < pages && looks > 0 {
            const PIECE: u64 = 256;
            let evicted = self.table.lock().evict(pages - gone, PIECE.min(looks));
            gone += evicted.len();
            looks = looks.saturating_sub(PIECE);
        }
        gone
    }

    /// Returns how many pages have to go before `new` more may come.
    fn excess(&self, cached: u64, new: u64) -> u64 {
        let FrameUsage { total, free } = Frame::usage();
        let limit = self.limit.unwrap_or(total / 4 * LIMIT_QUARTERS).max(LIMIT_MIN);
        let over = cached.saturating_add(new).saturating_sub(limit);
        let short = match self.limit {
            Some(_) => 0,
            None => (total / RESERVE_PART).saturating_add(new).saturating_sub(free),
        };
        over.max(short)
    }

    /// Makes room and takes frames, `want` of them if there are so many.
    fn frames(&self, want: u64) -> Result<Vec<Frame>> {
        let mut table = self.table.lock();
        let excess = self.excess(table.len(), want);
        let evicted = if excess > 0 { table.evict(to_usize(excess), 64 + 8 * want) } else { Vec::new() };
        drop(table);
        let short = (evicted.len() as u64) < excess;
        drop(evicted);
        // Reading ahead is not worth what cannot be given back for it.
        let want = if short { 1 } else { want };
        let mut frames = Vec::with_capacity(to_usize(want));
        while (frames.len() as u64) < want {
            match Frame::scratch() {
                Ok(frame) => frames.push(frame),
                Err(_) if !frames.is_empty() => break,
                Err(_) if self.shrink(1) == 0 => return Err(Errno::ENOMEM),
                Err(_) => {}
            }
        }
        Ok(frames)
    }

    /// Reads a page, and some that follow it; `None` if somebody else was about to do so.
    fn load(&self, index: u64) -> Result<Option<Frame>> {
        let window = self.table.lock().window(index);
        let mut frames = self.frames(window.min(self.pages - index))?;
        let load = Arc::new(Load::default());
        let mut failure = load.failure.lock();
        let mut table = self.table.lock();
        let count = table.begin(index, frames.len() as u64, &load);
        if count > 0 {
            table.note(index, window, count);
        }
        drop(table);
        frames.truncate(to_usize(count));
        let Some(first) = frames.first().cloned() else { return Ok(None) };
        let done = self.read(index, &frames);
        if done.is_ok() {
            self.table.lock().complete(index, frames);
            return Ok(Some(first));
        }
        self.table.lock().abandon(index, count);
        if let Err(error) = done
            && count == 1
        {
            *failure = Some(error);
            return Err(error);
        }
        drop(failure);
        // One of the pages ahead may be to blame; the one that is wanted gets a chance of its own.
        self.load_one(index)
    }

    /// Reads one page.
    fn load_one(&self, index: u64) -> Result<Option<Frame>> {
        let frames = self.frames(1)?;
        let load = Arc::new(Load::default());
        let mut failure = load.failure.lock();
        if self.table.lock().begin(index, 1, &load) == 0 {
            return Ok(None);
        }
        match self.read(index, &frames) {
            Ok(()) => {
                let first = frames.first().cloned();
                self.table.lock().complete(index, frames);
                Ok(first)
            }
            Err(error) => {
                self.table.lock().abandon(index, 1);
                *failure = Some(error);
                Err(error)
            }
        }
    }

    fn read(&self, first: u64, frames: &[Frame]) -> Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.device.read(first, frames)
    }
}

impl PageStore for CachedDisk {
    fn len(&self) -> u64 {
        self.device.len()
    }

    fn page(&self, index: u64) -> Result<Frame> {
        if index >= self.pages {
            return Err(Errno::EINVAL);
        }
        loop {
            let found = self.table.lock().find(index);
            match found {
                Found::Here(frame) => return Ok(frame),
                Found::Coming(load) => {
                    let failure = *load.failure.lock();
                    if let Some(error) = failure {
                        return Err(error);
                    }
                }
                Found::Absent => {
                    if let Some(frame) = self.load(index)? {
                        return Ok(frame);
                    }
                }
            }
        }
    }
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
