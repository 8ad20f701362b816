//! Directories: blocks of sorted entries, each block with its names behind the entries.

use alloc::vec::Vec;

use abi::{Errno, Result};
use hal::PAGE_SIZE;

use super::{Fields, Inode, PAGE, add};
use crate::types::{DirEntry, DirSink, Kind};

const ENTRY: usize = 12;

/// One block of a directory.
struct Block {
    bytes: Vec<u8>,
    count: usize,
}

impl Block {
    fn read(directory: &Inode, index: u64) -> Result<Self> {
        let start = index.checked_mul(PAGE).ok_or(Errno::EUCLEAN)?;
        let len = usize::try_from(directory.size.saturating_sub(start)).unwrap_or(usize::MAX).min(PAGE_SIZE);
        let mut bytes = alloc::vec![0; len];
        directory.read(start, &mut bytes)?;
        // The first name follows the last entry.
        let names = usize::from(Fields(&bytes).u16(8)?);
        if names < ENTRY || names % ENTRY != 0 || names > bytes.len() {
            return Err(Errno::EUCLEAN);
        }
        Ok(Self { bytes, count: names / ENTRY })
    }

    /// Returns an entry's inode number, type and name.
    fn entry(&self, index: usize) -> Result<(u64, u8, &[u8])> {
        let fields = Fields(&self.bytes);
        let at = index.saturating_mul(ENTRY);
        let start = usize::from(fields.u16(at.saturating_add(8))?);
        let last = index.saturating_add(1) >= self.count;
        let end = if last {
            self.bytes.len()
        } else {
            usize::from(fields.u16(at.saturating_add(ENTRY).saturating_add(8))?)
        };
        let name = self.bytes.get(start..end).ok_or(Errno::EUCLEAN)?;
        // Only the last name may be padded.
        let len = name.iter().position(|&b| b == 0).unwrap_or(name.len());
        let name = name.get(..len).filter(|n| !n.is_empty() && n.len() <= 255).ok_or(Errno::EUCLEAN)?;
        Ok((fields.u64(at)?, fields.u8(at.saturating_add(10))?, name))
    }
}

/// Finds a name; entries are sorted over all blocks, so both searches are binary.
pub(super) fn find(directory: &Inode, name: &[u8]) -> Result<Option<u64>> {
    let (mut low, mut high) = (0, directory.size.div_ceil(PAGE));
    let mut found = None;
    while low < high {
        let middle = low.midpoint(high);
        let block = Block::read(directory, middle)?;
        if block.entry(0)?.2 <= name {
            found = Some(block);
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    let Some(block) = found else { return Ok(None) };
    let (mut low, mut high) = (0, block.count);
    while low < high {
        let middle = low.midpoint(high);
        let (nid, _, entry) = block.entry(middle)?;
        match entry.cmp(name) {
            core::cmp::Ordering::Equal => return Ok(Some(nid)),
            core::cmp::Ordering::Less => low = middle.saturating_add(1),
            core::cmp::Ordering::Greater => high = middle,
        }
    }
    Ok(None)
}

/// Lists entries from a cursor on: the byte offset of an entry in the directory.
pub(super) fn list(directory: &Inode, cursor: u64, parent_ino: u64, sink: &mut DirSink<'_>) -> Result<u64> {
    let mut at = cursor;
    while at < directory.size {
        let start = at.saturating_sub(at % PAGE);
        let block = Block::read(directory, at / PAGE)?;
        let first = usize::try_from(at.saturating_sub(start)).unwrap_or(0).div_ceil(ENTRY);
        for index in first..block.count {
            let (nid, kind, name) = block.entry(index)?;
            let behind = index.saturating_add(1);
            let next = if behind < block.count {
                add(start, behind.saturating_mul(ENTRY) as u64)?
            } else {
                add(start, PAGE)?
            };
            let ino = if name == b".." { parent_ino } else { nid };
            if !sink(&DirEntry { name, ino, kind: kind_of(kind), next }) {
                return Ok(at);
            }
            at = next;
        }
        at = at.max(add(start, PAGE)?);
    }
    Ok(at)
}

/// Entry types are those of `fs_types.h`, in its order.
const fn kind_of(byte: u8) -> Kind {
    match byte {
        2 => Kind::Directory,
        3 => Kind::CharDevice,
        4 => Kind::BlockDevice,
        5 => Kind::Fifo,
        6 => Kind::Socket,
        7 => Kind::Symlink,
        _ => Kind::File,
    }
}
