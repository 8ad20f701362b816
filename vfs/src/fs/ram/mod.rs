//! Files in memory: `tmpfs(5)`, memory files (`memfd_create(2)`), and the writable part of an overlay.
//!
//! A file's pages are frames, so reading, writing and mapping work on the same memory. A node may have a `lower` node of a
//! read-only file system behind it: then it starts as that, and keeps here only what differs ([`super::overlay`]).

mod dir;
mod file;
mod node;
mod pages;
#[cfg(test)]
mod tests;
mod xattr;

use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::fs::{F_SEAL_SEAL, S_ISVTX};
use abi::mount::{OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Frame, PAGE_SIZE};

use crate::node::{FileSystem, Node};
use crate::types::{FileSystemStatus, Kind, NAME_MAX, NewNode};
use crate::vfs::Environment;

use super::overlay::Lower;
pub use node::RamNode;

/// Inode numbers of new nodes above a lower file system start here, far above those of any image.
const OVERLAY_INO: u64 = 1 << 40;

/// Limits of a file system in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RamOptions {
    /// Pages of contents at most; `None` is half of the machine's memory.
    pub pages: Option<u64>,
    /// Nodes at most; `None` is no limit.
    pub nodes: Option<u64>,
    /// Permission bits of the root directory.
    pub mode: u32,
    /// Owner of the root directory.
    pub uid: u32,
    /// Group of the root directory.
    pub gid: u32,
}

impl Default for RamOptions {
    fn default() -> Self {
        Self { pages: None, nodes: None, mode: 0o777 | S_ISVTX, uid: 0, gid: 0 }
    }
}

impl RamOptions {
    /// Reads the options of `mount -t tmpfs -o ...`: `size`, `nr_blocks`, `nr_inodes`, `mode`, `uid`, `gid`, separated by commas.
    ///
    /// # Errors
    /// `EINVAL` for one that it does not know or cannot read.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let mut options = Self::default();
        let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        for option in text.split(',').filter(|o| !o.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let number = |radix| u32::from_str_radix(value, radix).map_err(|_| Errno::EINVAL);
            match key {
                "size" => options.pages = limit(size(value)?.div_ceil(PAGE_SIZE as u64)),
                "nr_blocks" => options.pages = limit(size(value)?),
                "nr_inodes" => options.nodes = limit(size(value)?),
                "mode" => options.mode = number(8)? & 0o7777,
                "uid" => options.uid = number(10)?,
                "gid" => options.gid = number(10)?,
                // Placement hints and accounting that mean nothing here.
                "huge" | "mpol" | "inode32" | "inode64" | "noswap" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }
}

/// LINUX: a limit of zero means none.
fn limit(value: u64) -> Option<u64> {
    Some(if value == 0 { u64::MAX } else { value })
}

/// Reads a number with a suffix k, m or g, or a percentage of memory.
fn size(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    let factor = match &text[digits.len()..] {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        "%" => return Ok(Frame::usage().total * PAGE_SIZE as u64 / 100 * number),
        _ => return Err(Errno::EINVAL),
    };
    number.checked_mul(factor).ok_or(Errno::EINVAL)
}

/// What all nodes of one file system share.
pub(in crate::fs) struct State {
    pub(super) environment: Environment,
    pub(super) dev: u64,
    pub(super) lower: Option<Lower>,
    next_ino: AtomicU64,
    pages_limit: AtomicU64,
    pages_used: AtomicU64,
    nodes_limit: AtomicU64,
    nodes_used: AtomicU64,
    root: Lock<Weak<RamNode>, { rank::LEAF }>,
}

impl State {
    fn new(environment: &Environment, options: &RamOptions, lower: Option<Lower>) -> Arc<Self> {
        let half = Frame::usage().total / 2;
        let lower_is_none = lower.is_none();
        Arc::new(Self {
            environment: environment.clone(),
            dev: super::anonymous_dev(),
            next_ino: AtomicU64::new(if lower.is_some() { OVERLAY_INO } else { 1 }),
            lower,
            pages_limit: AtomicU64::new(options.pages.unwrap_or(half)),
            pages_used: AtomicU64::new(0),
            nodes_limit: AtomicU64::new(options.nodes.unwrap_or(u64::MAX)),
            // The root is there from the start; nodes that show lower ones are not counted.
            nodes_used: AtomicU64::new(u64::from(lower_is_none)),
            root: Lock::new(Weak::new()),
        })
    }

    fn new_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    fn now(&self) -> crate::Time {
        crate::Time::from_ns(self.environment.clock.realtime_ns())
    }

    /// Counts pages against the limit.
    fn charge(&self, pages: u64) -> Result<()> {
        let limit = self.pages_limit.load(Ordering::Relaxed);
        let take = |used: u64| used.checked_add(pages).filter(|&sum| sum <= limit);
        match self.pages_used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(Errno::ENOSPC),
        }
    }

    fn uncharge(&self, pages: u64) {
        if pages > 0 {
            self.pages_used.fetch_sub(pages, Ordering::AcqRel);
        }
    }

    fn charge_node(&self) -> Result<()> {
        let limit = self.nodes_limit.load(Ordering::Relaxed);
        let take = |used: u64| (used < limit).then_some(used + 1);
        match self.nodes_used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(Errno::ENOSPC),
        }
    }
}

/// A file system in memory.
pub struct RamFs {
    state: Arc<State>,
    root: Arc<RamNode>,
}

impl RamFs {
    /// Makes an empty file system.
    pub fn new(environment: &Environment, options: &RamOptions) -> Arc<Self> {
        let state = State::new(environment, options, None);
        let new = NewNode {
            kind: Kind::Directory,
            mode: options.mode,
            uid: options.uid,
            gid: options.gid,
            rdev: 0,
        };
        let root = RamNode::new(&state, &new, b"", F_SEAL_SEAL);
        Self::with_root(state, root)
    }

    /// Makes a file system that shows, and keeps changes of, a read-only one.
    pub(super) fn above(
        environment: &Environment,
        options: &RamOptions,
        lower: &Arc<dyn FileSystem>,
    ) -> Arc<Self> {
        let state = State::new(environment, options, Some(Lower::new(Arc::clone(lower))));
        let root = RamNode::above(&state, lower.root());
        root.pin();
        Self::with_root(state, root)
    }

    fn with_root(state: Arc<State>, root: Arc<RamNode>) -> Arc<Self> {
        *state.root.lock() = Arc::downgrade(&root);
        root.set_links(root.links().max(2));
        Arc::new(Self { state, root })
    }

    /// Makes a memory file (`memfd_create(2)`): it has no name, and with `seals` 0 may be sealed.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub fn memory_file(&self, mode: u32, uid: u32, gid: u32, seals: u32) -> Result<Arc<dyn Node>> {
        self.state.charge_node()?;
        let new = NewNode { kind: Kind::File, mode, uid, gid, rdev: 0 };
        let node = RamNode::new(&self.state, &new, b"", seals);
        node.set_links(0);
        Ok(node)
    }
}

impl FileSystem for RamFs {
    fn name(&self) -> &'static str {
        if self.state.lower.is_some() { "overlay" } else { "tmpfs" }
    }

    fn root(&self) -> Arc<dyn Node> {
        Arc::clone(&self.root) as Arc<dyn Node>
    }

    fn dev(&self) -> u64 {
        self.state.dev
    }

    fn status(&self) -> FileSystemStatus {
        let s = &self.state;
        let used = s.pages_used.load(Ordering::Relaxed);
        let limit = s.pages_limit.load(Ordering::Relaxed);
        let nodes = s.nodes_used.load(Ordering::Relaxed);
        let nodes_limit = s.nodes_limit.load(Ordering::Relaxed);
        // LINUX: tmpfs without a limit reports none at all.
        let (blocks, free) = if limit == u64::MAX { (0, 0) } else { (limit, limit.saturating_sub(used)) };
        let (files, files_free) =
            if nodes_limit == u64::MAX { (0, 0) } else { (nodes_limit, nodes_limit.saturating_sub(nodes)) };
        let magic = if s.lower.is_some() { OVERLAYFS_SUPER_MAGIC } else { TMPFS_MAGIC };
        FileSystemStatus {
            magic: magic.unsigned_abs(),
            block_size: PAGE_SIZE as u64,
            blocks,
            blocks_free: free,
            blocks_available: free,
            files,
            files_free,
            id: s.dev,
            name_len: NAME_MAX as u64,
        }
    }

    fn options(&self) -> Vec<u8> {
        let mut text = String::new();
        let pages = self.state.pages_limit.load(Ordering::Relaxed);
        if self.state.lower.is_none() && pages != u64::MAX {
            let _ = write!(text, "size={}k", pages * (PAGE_SIZE as u64 / 1024));
        }
        text.into_bytes()
    }

    fn remount(&self, options: &[u8]) -> Result<()> {
        if options.is_empty() {
            return Ok(());
        }
        let options = RamOptions::parse(options)?;
        if let Some(pages) = options.pages {
            if pages < self.state.pages_used.load(Ordering::Relaxed) {
                return Err(Errno::EINVAL);
            }
            self.state.pages_limit.store(pages, Ordering::Relaxed);
        }
        if let Some(nodes) = options.nodes {
            self.state.nodes_limit.store(nodes, Ordering::Relaxed);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
