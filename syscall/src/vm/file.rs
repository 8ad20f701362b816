//! Mapped files: the pages of a node of the file system.

use alloc::sync::Arc;
use core::ops::Range;

use abi::Result;
use hal::{Frame, PAGE_SIZE};
use vfs::{Allocate, Durable, MountOptions, Node, PageUse, Place};

use super::{PageSource, SourceName};

/// A file as mappings see it.
pub struct FileSource {
    place: Place,
    /// What the open file reads and writes; most often the place's own node.
    node: Arc<dyn Node>,
}

impl FileSource {
    /// Makes the source of a file at a place.
    pub fn new(place: &Place) -> Arc<Self> {
        Self::with_node(place, place.node())
    }

    /// Makes the source of an open file, whose contents may come from another node than its name leads to.
    pub fn with_node(place: &Place, node: &Arc<dyn Node>) -> Arc<Self> {
        Arc::new(Self { place: place.clone(), node: Arc::clone(node) })
    }

    /// Returns the place, for `/proc/PID/map_files`.
    pub const fn place(&self) -> &Place {
        &self.place
    }
}

/// Says which file a node is, as [`PageSource::identity`] does.
pub fn identity(node: &Arc<dyn Node>) -> u64 {
    Arc::as_ptr(node).cast::<()>().addr() as u64
}

impl PageSource for FileSource {
    fn page(&self, index: u64) -> Result<Frame> {
        self.node.page(index, PageUse::Read)
    }

    fn resident(&self, index: u64) -> Option<Frame> {
        if index >= self.node.size().div_ceil(PAGE_SIZE as u64) {
            return None;
        }
        self.node.page(index, PageUse::Read).ok()
    }

    fn page_for_write(&self, index: u64) -> Result<Frame> {
        let frame = self.node.page(index, PageUse::Write)?;
        self.node.pages_written(index, 1);
        Ok(frame)
    }

    fn notes_writes(&self) -> bool {
        true
    }

    fn identity(&self) -> u64 {
        identity(&self.node)
    }

    fn name(&self) -> SourceName {
        let mut mount = Arc::clone(&self.place.mount);
        while let Some(below) = mount.covered() {
            mount = below.mount;
        }
        let metadata = self.node.metadata();
        SourceName {
            path: self.place.display(&mount.root_place()),
            device: metadata.dev,
            inode: metadata.ino,
        }
    }

    fn sync(&self, _: Range<u64>) -> Result<()> {
        self.node.sync(Durable::Data)
    }

    fn punch(&self, pages: Range<u64>) -> Result<()> {
        let page = PAGE_SIZE as u64;
        self.node.allocate(
            Allocate::PUNCH_HOLE | Allocate::KEEP_SIZE,
            pages.start * page,
            (pages.end - pages.start) * page,
        )
    }

    fn may_execute(&self) -> bool {
        !self.place.mount.options().contains(MountOptions::NO_EXEC)
    }
}
