//! Directories in memory: names, their order, and what hides names of the lower directory.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::fs::F_SEAL_SEAL;
use abi::{Errno, Result};
use hashbrown::HashMap;

use super::RamNode;
use crate::node::{Node, Rename};
use crate::types::{DirEntry, DirSink, Kind, Name, NewNode, RenameMode};

/// Cursors from here on belong to entries that are kept here; below are `.`, `..` and the lower directory's.
const OWN_CURSORS: u64 = 1 << 62;
/// Cursor of the lower directory's first entry.
const LOWER_CURSORS: u64 = 2;
/// Bytes that tmpfs says an entry takes.
const ENTRY_SIZE: u64 = 20;

/// A directory's own entries.
#[derive(Default)]
pub(crate) struct Dir {
    entries: HashMap<Name, Entry>,
    /// Names in the order in which they were made, which is the order in which they are listed.
    order: BTreeMap<u64, Name>,
    next: u64,
}

enum Entry {
    Present {
        node: Arc<RamNode>,
        seq: u64,
    },
    /// The lower directory has this name, but here it is gone.
    Whiteout,
}

impl Dir {
    pub(super) fn size(&self) -> u64 {
        (self.order.len() as u64 + 2) * ENTRY_SIZE
    }

    /// Takes all nodes out, for a directory that goes.
    pub(super) fn take_nodes(&mut self) -> Vec<Arc<RamNode>> {
        self.order.clear();
        let entries = core::mem::take(&mut self.entries);
        entries
            .into_values()
            .filter_map(|entry| match entry {
                Entry::Present { node, .. } => Some(node),
                Entry::Whiteout => None,
            })
            .collect()
    }

    fn put(&mut self, name: &[u8], node: Arc<RamNode>) {
        self.remove(name);
        let name: Name = Arc::from(name);
        let seq = OWN_CURSORS + self.next;
        self.next += 1;
        self.order.insert(seq, Arc::clone(&name));
        self.entries.insert(name, Entry::Present { node, seq });
    }

    fn remove(&mut self, name: &[u8]) {
        if let Some(Entry::Present { seq, .. }) = self.entries.remove(name) {
            self.order.remove(&seq);
        }
    }

    /// Makes a name absent, hiding it where the lower directory has it.
    fn hide(&mut self, name: &[u8], in_lower: Shadow) {
        self.remove(name);
        if in_lower == Shadow::Lower {
            self.entries.insert(Arc::from(name), Entry::Whiteout);
        }
    }
}

/// Whether the lower directory has a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shadow {
    Lower,
    Nothing,
}

/// An entry of the lower directory.
struct LowerEntry {
    name: Vec<u8>,
    ino: u64,
    kind: Kind,
    next: u64,
}

/// Entries of the lower directory that are read at a time.
const BATCH: usize = 32;

impl RamNode {
    /// Finds an entry.
    pub(super) fn find(&self, name: &[u8]) -> Result<Arc<Self>> {
        let dir = self.dir()?.lock();
        match dir.entries.get(name) {
            Some(Entry::Present { node, .. }) => return Ok(Arc::clone(node)),
            Some(Entry::Whiteout) => return Err(Errno::ENOENT),
            None => drop(dir),
        }
        match (&self.lower, &self.state.lower) {
            (Some(lower), Some(lowers)) => Ok(lowers.wrap(&self.state, lower.lookup(name)?)),
            _ => Err(Errno::ENOENT),
        }
    }

    /// Goes through the lower directory from a cursor on until `f` answers `false`; returns whether it did not. The lower
    /// file system is asked without our own lock, for it may have one of the same rank.
    fn each_lower(&self, cursor: u64, mut f: impl FnMut(&Dir, &LowerEntry) -> bool) -> Result<bool> {
        let Some(lower) = &self.lower else { return Ok(true) };
        let mut cursor = cursor;
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            lower.read_dir(cursor, 0, &mut |entry| {
                if batch.len() == BATCH {
                    return false;
                }
                let DirEntry { name, ino, kind, next } = *entry;
                batch.push(LowerEntry { name: name.to_vec(), ino, kind, next });
                true
            })?;
            match batch.last() {
                Some(last) => cursor = last.next,
                None => return Ok(true),
            }
            let dir = self.dir()?.lock();
            if !batch.iter().all(|entry| f(&dir, entry)) {
                return Ok(false);
            }
        }
    }

    fn is_empty_dir(&self) -> Result<bool> {
        if !self.dir()?.lock().order.is_empty() {
            return Ok(false);
        }
        self.each_lower(0, |dir, entry| {
            entry.name == b"." || entry.name == b".." || dir.entries.contains_key(&entry.name[..])
        })
    }

    fn put_entry(&self, name: &[u8], node: Arc<Self>) -> Result<()> {
        self.dir()?.lock().put(name, node);
        Ok(())
    }

    fn hide_entry(&self, name: &[u8]) -> Result<()> {
        let found = self.lower.as_ref().is_some_and(|lower| lower.lookup(name).is_ok());
        self.dir()?.lock().hide(name, if found { Shadow::Lower } else { Shadow::Nothing });
        Ok(())
    }

    pub(super) fn create_entry(&self, name: &[u8], new: &NewNode, target: &[u8]) -> Result<Arc<Self>> {
        self.dir()?;
        self.state.charge_node()?;
        let node = Self::new(&self.state, new, target, F_SEAL_SEAL);
        self.pin();
        self.put_entry(name, Arc::clone(&node))?;
        if new.kind == Kind::Directory {
            self.add_link();
        }
        self.modified();
        Ok(node)
    }

    pub(super) fn link_entry(&self, name: &[u8], node: &Arc<Self>) -> Result<()> {
        if !Arc::ptr_eq(&node.state, &self.state) {
            return Err(Errno::EXDEV);
        }
        if node.links() == 0 && node.kind() != Kind::File {
            return Err(Errno::ENOENT);
        }
        self.pin();
        node.add_link();
        self.put_entry(name, Arc::clone(node))?;
        self.modified();
        Ok(())
    }

    pub(super) fn unlink_entry(&self, name: &[u8], node: &Arc<Self>) -> Result<()> {
        self.pin();
        self.hide_entry(name)?;
        node.drop_links(1);
        self.modified();
        Ok(())
    }

    pub(super) fn rmdir_entry(&self, name: &[u8], node: &Arc<Self>) -> Result<()> {
        if !node.is_empty_dir()? {
            return Err(Errno::ENOTEMPTY);
        }
        self.pin();
        self.hide_entry(name)?;
        node.drop_links(u32::MAX);
        self.drop_links(1);
        self.modified();
        Ok(())
    }

    pub(super) fn rename_entry(
        &self,
        name: &[u8],
        old: &Arc<Self>,
        to: &Self,
        to_name: &[u8],
        new: Option<&Arc<Self>>,
        rename: &Rename,
    ) -> Result<()> {
        to.dir()?;
        if !Arc::ptr_eq(&to.state, &self.state) {
            return Err(Errno::EXDEV);
        }
        let is_dir = |node: &Self| node.kind() == Kind::Directory;
        let exchange = rename.mode == RenameMode::Exchange;
        if let Some(new) = new.filter(|new| !exchange && is_dir(new))
            && !new.is_empty_dir()?
        {
            return Err(Errno::ENOTEMPTY);
        }
        let whiteout = match &rename.whiteout {
            Some(new) => {
                self.state.charge_node()?;
                Some(Self::new(&self.state, new, b"", F_SEAL_SEAL))
            }
            None => None,
        };
        self.pin();
        to.pin();
        let moves_between = !core::ptr::eq(self, to);
        match (new, exchange) {
            (Some(new), true) => {
                self.put_entry(name, Arc::clone(new))?;
                to.put_entry(to_name, Arc::clone(old))?;
                if moves_between && is_dir(old) != is_dir(new) {
                    let (loses, gains) = if is_dir(old) { (self, to) } else { (to, self) };
                    loses.drop_links(1);
                    gains.add_link();
                }
                new.changed();
            }
            _ => {
                match whiteout {
                    Some(node) => self.put_entry(name, node)?,
                    None => self.hide_entry(name)?,
                }
                to.put_entry(to_name, Arc::clone(old))?;
                if let Some(new) = new {
                    new.drop_links(if is_dir(new) { u32::MAX } else { 1 });
                    if is_dir(new) {
                        to.drop_links(1);
                    }
                }
                if is_dir(old) && moves_between {
                    self.drop_links(1);
                    to.add_link();
                }
            }
        }
        old.changed();
        self.modified();
        if moves_between {
            to.modified();
        }
        Ok(())
    }

    pub(super) fn list(&self, cursor: u64, parent_ino: u64, sink: &mut DirSink<'_>) -> Result<u64> {
        self.dir()?;
        let mut cursor = cursor;
        for (at, name, ino) in [(0, &b"."[..], self.ino), (1, &b".."[..], parent_ino)] {
            if cursor == at {
                let entry = DirEntry { name, ino, kind: Kind::Directory, next: at + 1 };
                if !sink(&entry) {
                    return Ok(cursor);
                }
                cursor = at + 1;
            }
        }
        if cursor < OWN_CURSORS {
            let all = self.each_lower(cursor - LOWER_CURSORS, |dir, entry| {
                let next = entry.next.saturating_add(LOWER_CURSORS).min(OWN_CURSORS - 1);
                let dots = entry.name == b"." || entry.name == b"..";
                let hidden = dots || dir.entries.contains_key(&entry.name[..]);
                let taken =
                    hidden || sink(&DirEntry { name: &entry.name, ino: entry.ino, kind: entry.kind, next });
                if taken {
                    cursor = next;
                }
                taken
            })?;
            if !all {
                return Ok(cursor);
            }
            cursor = OWN_CURSORS;
        }
        let dir = self.dir()?.lock();
        for (&seq, name) in dir.order.range(cursor..) {
            let Some(Entry::Present { node, .. }) = dir.entries.get(&**name) else { continue };
            let entry = DirEntry { name, ino: node.ino, kind: node.kind(), next: seq + 1 };
            if !sink(&entry) {
                return Ok(cursor);
            }
            cursor = seq + 1;
        }
        Ok(cursor)
    }
}
