//! The root image's pages: those of the boot module as they lie in memory, or those of a disk behind a cache.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use abi::boot::{Config, Root};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{BlockDevice, Frame, FramePool, PAGE_SIZE, PageStore};

use crate::boot::BootInfo;
use crate::log::log;
use crate::mm;
use crate::mm::frames::Frames;

/// An image in the boot module. Its frames are never freed, and count as shared for ever.
struct ModuleImage {
    first: u32,
    len: u64,
}

impl PageStore for ModuleImage {
    fn len(&self) -> u64 {
        self.len
    }

    fn page(&self, index: u64) -> Result<Frame> {
        if index >= self.len.div_ceil(PAGE_SIZE as u64) {
            return Err(Errno::EINVAL);
        }
        let number =
            u32::try_from(index).ok().and_then(|i| self.first.checked_add(i)).and_then(NonZeroU32::new);
        let number = number.ok_or(Errno::EINVAL)?;
        Frames.retain(number);
        // SAFETY: the reference that was just added.
        Ok(unsafe { Frame::from_raw(number) })
    }
}

/// Pages of a disk that are read at once: 64 KiB.
const CLUSTER: u64 = 16;
/// Clusters that are looked at for pages to give up, each time one is read while memory is short.
const SWEEP: usize = 8;

/// An image on a disk.
struct DiskImage {
    disk: Arc<dyn BlockDevice>,
    cache: Lock<Cache, { rank::LEAF }>,
}

#[derive(Default)]
struct Cache {
    clusters: BTreeMap<u64, Vec<Frame>>,
    /// Where the search for pages to give up goes on.
    hand: u64,
}

impl Cache {
    /// Gives up clusters of which nobody uses a page.
    fn sweep(&mut self) -> Vec<Vec<Frame>> {
        let after = self.clusters.range(self.hand..).take(SWEEP);
        let looked_at: Vec<u64> = after.map(|(&cluster, _)| cluster).collect();
        self.hand = looked_at.last().map_or(0, |last| last + 1);
        let unused = |frames: &Vec<Frame>| frames.iter().all(|frame| frame.references() == 1);
        let idle = looked_at.into_iter().filter(|c| self.clusters.get(c).is_some_and(unused));
        let idle: Vec<u64> = idle.collect();
        idle.iter().filter_map(|cluster| self.clusters.remove(cluster)).collect()
    }
}

impl DiskImage {
    fn cached(&self, index: u64) -> Option<Frame> {
        let cache = self.cache.lock();
        let cluster = cache.clusters.get(&(index / CLUSTER))?;
        cluster.get(usize::try_from(index % CLUSTER).ok()?).cloned()
    }

    /// Reads the cluster that holds a page.
    fn read(&self, index: u64) -> Result<Frame> {
        let cluster = index / CLUSTER;
        let first = cluster * CLUSTER;
        let count = (self.len().div_ceil(PAGE_SIZE as u64) - first).min(CLUSTER);
        let usage = Frame::usage();
        if usage.free < usage.total / 16 {
            drop(self.cache.lock().sweep());
        }
        let frames: core::result::Result<Vec<Frame>, _> = (0..count).map(|_| Frame::scratch()).collect();
        let frames = frames.map_err(|_| Errno::ENOMEM)?;
        self.disk.read(first, &frames)?;
        let page = usize::try_from(index - first).ok().and_then(|i| frames.get(i)).cloned();
        // Another thread may have read it meanwhile; both copies are the same, and one is enough.
        self.cache.lock().clusters.entry(cluster).or_insert(frames);
        page.ok_or(Errno::EINVAL)
    }
}

impl PageStore for DiskImage {
    fn len(&self) -> u64 {
        self.disk.len()
    }

    fn page(&self, index: u64) -> Result<Frame> {
        if index >= self.len().div_ceil(PAGE_SIZE as u64) {
            return Err(Errno::EINVAL);
        }
        match self.cached(index) {
            Some(frame) => Ok(frame),
            None => self.read(index),
        }
    }
}

/// Returns the root image, if there is one.
pub(crate) fn image(
    boot: &BootInfo,
    config: &Config,
    disks: Vec<Arc<dyn BlockDevice>>,
) -> Option<Arc<dyn PageStore>> {
    if config.root == Root::Module {
        return module(boot);
    }
    let disk = disks.into_iter().next();
    if disk.is_none() {
        log!(Error, "the root image is to be on a disk, but there is none");
    }
    disk.map(|disk| Arc::new(DiskImage { disk, cache: Lock::default() }) as Arc<dyn PageStore>)
}

/// Returns the image in the boot module, if there is a module.
fn module(boot: &BootInfo) -> Option<Arc<dyn PageStore>> {
    let (start, len) = boot.module?;
    if !start.is_multiple_of(PAGE_SIZE as u64) || !mm::is_direct(start, len) {
        log!(Error, "the boot module at {start:#x} is not page-aligned memory");
        return None;
    }
    let first = u32::try_from(start / PAGE_SIZE as u64).ok()?;
    // Bytes behind the end read as zeros: the loader left whatever was there.
    let tail = usize::try_from(len % PAGE_SIZE as u64).ok()?;
    if tail > 0 {
        let last = NonZeroU32::new(u32::try_from((start + len) / PAGE_SIZE as u64).ok()?)?;
        Frames.zero(last, tail, PAGE_SIZE - tail);
    }
    Some(Arc::new(ModuleImage { first, len }))
}
