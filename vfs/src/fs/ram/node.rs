//! A node in memory: its attributes, and which body it has.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::fs::F_SEAL_SEAL;
use abi::{Errno, Result};
use hal::sync::{Lock, SleepLock, rank};
use hal::{Dest, Frame, PAGE_SIZE, Source};

use super::dir::Dir;
use super::file::Contents;
use super::xattr::Xattrs;
use super::{RamFs, State};
use crate::Caller;
use crate::node::{AccessTime, FileSystem, Node, PageUse, Rename, WriteAt};
use crate::pipe::Pipe;
use crate::types::{
    Allocate, DirSink, Kind, Metadata, NewNode, Permissions, Seek, SetAttributes, Time, XattrMode,
};

/// A node in memory.
pub struct RamNode {
    pub(super) state: Arc<State>,
    pub(super) this: Weak<Self>,
    kind: Kind,
    pub(in crate::fs) ino: u64,
    rdev: u64,
    /// What this node was before anything was changed.
    pub(super) lower: Option<Arc<dyn Node>>,
    pinned: AtomicBool,
    pub(super) attributes: Lock<Attributes, { rank::LEAF }>,
    pub(super) xattrs: SleepLock<Xattrs, { rank::INODE }>,
    pub(super) body: Body,
}

/// What changes without the contents.
#[derive(Clone, Copy)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nlink: u32,
    pub(super) atime: Time,
    pub(super) mtime: Time,
    pub(super) ctime: Time,
    pub(super) btime: Time,
}

pub(super) enum Body {
    File(Contents),
    Directory(SleepLock<Dir, { rank::INODE }>),
    Link(Box<[u8]>),
    Fifo(Arc<Pipe>),
    Special(Lock<Option<Arc<dyn Any + Send + Sync>>, { rank::LEAF }>),
}

impl Body {
    fn new(kind: Kind, target: &[u8], seals: u32, size: u64) -> Self {
        match kind {
            Kind::File => Self::File(Contents::new(seals, size)),
            Kind::Directory => Self::Directory(SleepLock::default()),
            Kind::Symlink => Self::Link(Box::from(target)),
            Kind::Fifo => Self::Fifo(Pipe::new()),
            _ => Self::Special(Lock::new(None)),
        }
    }
}

impl RamNode {
    /// Makes a node that was not there before; the caller has counted it.
    pub(super) fn new(state: &Arc<State>, new: &NewNode, target: &[u8], seals: u32) -> Arc<Self> {
        let now = state.now();
        let nlink = if new.kind == Kind::Directory { 2 } else { 1 };
        let attributes = Attributes {
            mode: new.mode,
            uid: new.uid,
            gid: new.gid,
            nlink,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
        };
        Arc::new_cyclic(|this| Self {
            state: Arc::clone(state),
            this: this.clone(),
            kind: new.kind,
            ino: state.new_ino(),
            rdev: new.rdev,
            lower: None,
            pinned: AtomicBool::new(false),
            attributes: Lock::new(attributes),
            xattrs: SleepLock::new(Xattrs::Own(alloc::collections::BTreeMap::new())),
            body: Body::new(new.kind, target, seals, 0),
        })
    }

    /// Makes the node that shows a lower one.
    pub(in crate::fs) fn above(state: &Arc<State>, lower: Arc<dyn Node>) -> Arc<Self> {
        let m = lower.metadata();
        let attributes = Attributes {
            mode: m.mode,
            uid: m.uid,
            gid: m.gid,
            nlink: m.nlink,
            atime: m.atime,
            mtime: m.mtime,
            ctime: m.ctime,
            btime: m.btime.unwrap_or(m.ctime),
        };
        Arc::new_cyclic(|this| Self {
            state: Arc::clone(state),
            this: this.clone(),
            kind: m.kind,
            ino: m.ino,
            rdev: m.rdev,
            pinned: AtomicBool::new(false),
            attributes: Lock::new(attributes),
            xattrs: SleepLock::new(Xattrs::Lower),
            body: Body::new(m.kind, b"", F_SEAL_SEAL, m.size),
            lower: Some(lower),
        })
    }

    /// Makes sure that a node with a lower one is not forgotten: it is about to differ from it.
    #[inline]
    pub(super) fn pin(&self) {
        if self.lower.is_some() && !self.pinned.load(Ordering::Acquire) {
            self.pin_slow();
        }
    }

    #[cold]
    fn pin_slow(&self) {
        if let (Some(lower), Some(this)) = (&self.state.lower, self.this.upgrade())
            && !self.pinned.swap(true, Ordering::AcqRel)
        {
            lower.pin(this);
        }
    }

    pub(super) fn links(&self) -> u32 {
        self.attributes.lock().nlink
    }

    pub(super) fn set_links(&self, count: u32) {
        self.attributes.lock().nlink = count;
    }

    /// Adds to the link count, and notes the change.
    pub(super) fn add_link(&self) {
        self.pin();
        let now = self.state.now();
        let mut attributes = self.attributes.lock();
        attributes.nlink += 1;
        attributes.ctime = now;
    }

    /// Takes links away, and notes the change; a node without links is not kept any more.
    pub(super) fn drop_links(&self, count: u32) {
        self.pin();
        let now = self.state.now();
        let mut attributes = self.attributes.lock();
        attributes.nlink = attributes.nlink.saturating_sub(count);
        attributes.ctime = now;
        let gone = attributes.nlink == 0;
        drop(attributes);
        if gone
            && self.lower.is_some()
            && let Some(lower) = &self.state.lower
        {
            lower.unpin(self.ino);
        }
    }

    /// Sets modification and change time to now.
    pub(super) fn modified(&self) {
        self.pin();
        let now = self.state.now();
        let mut attributes = self.attributes.lock();
        attributes.mtime = now;
        attributes.ctime = now;
    }

    /// Sets the change time to now.
    pub(super) fn changed(&self) {
        self.pin();
        let now = self.state.now();
        self.attributes.lock().ctime = now;
    }

    pub(super) fn contents(&self) -> Result<&Contents> {
        match &self.body {
            Body::File(contents) => Ok(contents),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn dir(&self) -> Result<&SleepLock<Dir, { rank::INODE }>> {
        match &self.body {
            Body::Directory(dir) => Ok(dir),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn size_and_blocks(&self) -> (u64, u64) {
        let per_page = PAGE_SIZE as u64 / 512;
        match &self.body {
            Body::File(contents) => {
                let (size, pages) = contents.size_and_pages();
                (size, pages * per_page)
            }
            Body::Directory(dir) => match &self.lower {
                Some(lower) => {
                    let m = lower.metadata();
                    (m.size, m.blocks)
                }
                None => (dir.lock().size(), 0),
            },
            Body::Link(target) => match &self.lower {
                Some(lower) => (lower.size(), 0),
                None => (target.len() as u64, 0),
            },
            Body::Fifo(_) | Body::Special(_) => (0, 0),
        }
    }
}

impl Node for RamNode {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn metadata(&self) -> Metadata {
        let (size, blocks) = self.size_and_blocks();
        let a = *self.attributes.lock();
        Metadata {
            ino: self.ino,
            dev: self.state.dev,
            kind: self.kind,
            mode: a.mode,
            nlink: a.nlink,
            uid: a.uid,
            gid: a.gid,
            rdev: self.rdev,
            size,
            blocks,
            block_size: 4096,
            atime: a.atime,
            mtime: a.mtime,
            ctime: a.ctime,
            btime: Some(a.btime),
        }
    }

    #[inline]
    fn permissions(&self) -> Permissions {
        let a = self.attributes.lock();
        Permissions { mode: a.mode, uid: a.uid, gid: a.gid }
    }

    fn size(&self) -> u64 {
        match &self.body {
            Body::File(contents) => contents.size(),
            _ => self.size_and_blocks().0,
        }
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        let root = self.state.root.lock().upgrade();
        // A node outlives its file system only where the last mount has gone; it then is a root to itself.
        let root = root.or_else(|| self.this.upgrade()).expect("a node that is called is alive");
        Arc::new(RamFs { state: Arc::clone(&self.state), root })
    }

    fn set_attributes(&self, changes: &SetAttributes) -> Result<()> {
        self.pin();
        let now = changes.ctime.unwrap_or_else(|| self.state.now());
        let mut a = self.attributes.lock();
        a.mode = changes.mode.unwrap_or(a.mode);
        a.uid = changes.uid.unwrap_or(a.uid);
        a.gid = changes.gid.unwrap_or(a.gid);
        a.atime = changes.atime.unwrap_or(a.atime);
        a.mtime = changes.mtime.unwrap_or(a.mtime);
        a.ctime = now;
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Node>> {
        self.find(name).map(|node| node as Arc<dyn Node>)
    }

    fn create(&self, name: &[u8], new: &NewNode, target: &[u8]) -> Result<Arc<dyn Node>> {
        self.create_entry(name, new, target).map(|node| node as Arc<dyn Node>)
    }

    fn create_unnamed(&self, new: &NewNode) -> Result<Arc<dyn Node>> {
        self.state.charge_node()?;
        let node = Self::new(&self.state, new, b"", F_SEAL_SEAL);
        node.set_links(0);
        Ok(node)
    }

    fn link(&self, name: &[u8], node: &Arc<dyn Node>) -> Result<()> {
        self.link_entry(name, &own(node)?)
    }

    fn unlink(&self, name: &[u8], node: &Arc<dyn Node>) -> Result<()> {
        self.unlink_entry(name, &own(node)?)
    }

    fn rmdir(&self, name: &[u8], node: &Arc<dyn Node>) -> Result<()> {
        self.rmdir_entry(name, &own(node)?)
    }

    fn rename(
        &self,
        name: &[u8],
        old: &Arc<dyn Node>,
        to: &Arc<dyn Node>,
        to_name: &[u8],
        new: Option<&Arc<dyn Node>>,
        rename: &Rename,
    ) -> Result<()> {
        let new = new.map(own).transpose()?;
        self.rename_entry(name, &own(old)?, &*own(to)?, to_name, new.as_ref(), rename)
    }

    fn read_dir(&self, cursor: u64, parent_ino: u64, sink: &mut DirSink<'_>) -> Result<u64> {
        self.list(cursor, parent_ino, sink)
    }

    fn read_link(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        match (&self.body, &self.lower) {
            (Body::Link(_), Some(lower)) => lower.read_link(caller),
            (Body::Link(target), None) => Ok(target.to_vec()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn read_at(&self, offset: u64, to: &mut Dest<'_>) -> Result<usize> {
        self.read_contents(offset, to)
    }

    fn write_at(&self, how: &mut WriteAt, from: &mut Source<'_>) -> Result<usize> {
        self.write_contents(how, from)
    }

    fn truncate(&self, size: u64) -> Result<()> {
        self.resize(size)
    }

    fn allocate(&self, what: Allocate, offset: u64, len: u64) -> Result<()> {
        self.allocate_range(what, offset, len)
    }

    fn seek(&self, what: Seek, offset: u64) -> Result<u64> {
        self.seek_contents(what, offset)
    }

    fn page(&self, index: u64, usage: PageUse) -> Result<Frame> {
        self.page_of_contents(index, usage)
    }

    fn pages_written(&self, _: u64, _: u64) {
        self.modified();
    }

    fn accessed(&self, policy: AccessTime, now: &dyn Fn() -> Time) {
        const DAY: i64 = 24 * 60 * 60;
        let a = *self.attributes.lock();
        if policy == AccessTime::Relative && a.atime > a.mtime && a.atime > a.ctime {
            let now = now();
            if now.seconds - a.atime.seconds < DAY {
                return;
            }
        }
        // An access time is no change that makes a lower node worth keeping.
        self.attributes.lock().atime = now();
    }

    fn get_write_access(&self) -> Result<()> {
        self.contents().map_or(Ok(()), Contents::get_write_access)
    }

    fn put_write_access(&self) {
        if let Ok(contents) = self.contents() {
            contents.put_write_access();
        }
    }

    fn deny_write_access(&self) -> Result<()> {
        self.contents().map_or(Ok(()), Contents::deny_write_access)
    }

    fn allow_write_access(&self) {
        if let Ok(contents) = self.contents() {
            contents.allow_write_access();
        }
    }

    fn sync(&self, _: crate::Durable) -> Result<()> {
        match self.kind {
            Kind::File | Kind::Directory => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.get_xattr(name)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        self.put_xattr(name, value, mode)
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        self.delete_xattr(name)
    }

    fn list_xattr(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.each_xattr(each)
    }

    fn fifo(&self) -> Option<Arc<Pipe>> {
        match &self.body {
            Body::Fifo(pipe) => Some(Arc::clone(pipe)),
            _ => None,
        }
    }

    fn seals(&self) -> Result<u32> {
        match &self.body {
            Body::File(contents) if self.state.lower.is_none() => Ok(contents.seals()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn add_seals(&self, seals: u32, writable_mappings: bool) -> Result<()> {
        match &self.body {
            Body::File(contents) if self.state.lower.is_none() => {
                contents.add_seals(seals, writable_mappings)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn object(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        match &self.body {
            Body::Special(object) => object.lock().clone(),
            _ => None,
        }
    }

    fn set_object(&self, object: Option<Arc<dyn Any + Send + Sync>>) {
        if let Body::Special(slot) = &self.body {
            let mut slot = slot.lock();
            let before = core::mem::replace(&mut *slot, object);
            drop(slot);
            drop(before);
        }
    }
}

/// Returns a node of this kind of file system as what it is.
fn own(node: &Arc<dyn Node>) -> Result<Arc<RamNode>> {
    Arc::clone(node).downcast().ok_or(Errno::EXDEV)
}

impl Drop for RamNode {
    fn drop(&mut self) {
        if let Body::File(contents) = &mut self.body {
            self.state.uncharge(contents.pages_held());
        }
        if self.lower.is_none() {
            self.state.nodes_used.fetch_sub(1, Ordering::AcqRel);
        }
        // A deep tree must not be taken down by as deep a recursion: children wait in a list for their turn.
        let mut waiting = match &mut self.body {
            Body::Directory(dir) => dir.get_mut().take_nodes(),
            _ => return,
        };
        while let Some(node) = waiting.pop() {
            if let Some(mut node) = Arc::into_inner(node)
                && let Body::Directory(dir) = &mut node.body
            {
                waiting.append(&mut dir.get_mut().take_nodes());
            }
        }
    }
}
