//! A read-only file system that can be written to: changes are kept in memory.
//!
//! Every node is a [`RamNode`] with a `lower` node behind it, made when it is first looked up. What is changed, and only that,
//! is kept above: attributes, extended attributes, names (a name that was removed is hidden by a whiteout), and single pages
//! of contents. So writing one byte of a large file copies one page, directories of the image can be renamed, and hard
//! links, inode numbers and open files stay what they were, which layered file systems that copy whole files cannot do.
//!
//! DEVIATION: pages of the image are given out for mappings as they are. When one is replaced because `write(2)` or
//! `ftruncate(2)` changes it, mappings are told through [`crate::Events::unmap`]; when a store through a shared mapping replaces
//! it, other mappings of that page show the old contents until they fault again. (Linux's overlayfs never shows the change.)

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use hal::sync::{Lock, rank};
use hashbrown::HashMap;

use super::ram::{RamFs, RamNode, RamOptions, State};
use crate::node::{FileSystem, Node};
use crate::vfs::Environment;

/// Makes an overlay above a read-only file system; `options` limit what is kept in memory.
pub fn above(environment: &Environment, lower: &Arc<dyn FileSystem>, options: &RamOptions) -> Arc<RamFs> {
    RamFs::above(environment, options, lower)
}

/// Nodes that show lower ones.
pub(super) struct Lower {
    table: Lock<Table, { rank::PAGE_CACHE }>,
    /// The lower nodes belong to it.
    _file_system: Arc<dyn FileSystem>,
}

#[derive(Default)]
struct Table {
    /// Nodes in use, by the lower inode number: a lower file with two names is one node.
    live: HashMap<u64, Weak<RamNode>>,
    /// Nodes that differ from the lower ones, so that they must stay.
    pinned: HashMap<u64, Arc<RamNode>>,
    /// Length of `live` at which dead entries are looked for.
    sweep_at: usize,
}

impl Lower {
    pub(super) fn new(file_system: Arc<dyn FileSystem>) -> Self {
        Self { table: Lock::default(), _file_system: file_system }
    }

    /// Returns the node that shows a lower one.
    pub(super) fn wrap(&self, state: &Arc<State>, lower: Arc<dyn Node>) -> Arc<RamNode> {
        let ino = lower.metadata().ino;
        let found = |table: &Table| table.live.get(&ino).and_then(Weak::upgrade);
        if let Some(node) = found(&self.table.lock()) {
            return node;
        }
        let new = RamNode::above(state, lower);
        let mut dead: Vec<Weak<RamNode>> = Vec::new();
        let mut table = self.table.lock();
        let node = match found(&table) {
            Some(other) => other,
            None => {
                if table.live.len() >= table.sweep_at {
                    let gone: Vec<u64> =
                        table.live.iter().filter(|e| e.1.strong_count() == 0).map(|e| *e.0).collect();
                    dead.extend(gone.iter().filter_map(|ino| table.live.remove(ino)));
                    table.sweep_at = (table.live.len() * 2).max(1024);
                }
                dead.extend(table.live.insert(ino, Arc::downgrade(&new)));
                Arc::clone(&new)
            }
        };
        drop(table);
        drop(dead);
        drop(new);
        node
    }

    /// Keeps a node.
    pub(super) fn pin(&self, node: Arc<RamNode>) {
        let before = self.table.lock().pinned.insert(node.ino, node);
        drop(before);
    }

    /// Keeps a node no longer: nothing names it any more.
    pub(super) fn unpin(&self, ino: u64) {
        let before = self.table.lock().pinned.remove(&ino);
        drop(before);
    }
}
