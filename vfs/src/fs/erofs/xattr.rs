//! Extended attributes: behind the inode, and shared ones by reference.

use alloc::vec::Vec;

use abi::{Errno, Result};

use super::{Fields, Inode, add, times};

/// What an attribute's name begins with, by the number in the entry (`erofs_fs.h`).
const PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];
const HEADER_LEN: usize = 12;
const HEADER: u64 = HEADER_LEN as u64;
const ENTRY_LEN: usize = 4;
const ENTRY: u64 = ENTRY_LEN as u64;

/// Calls back with each attribute's name, the image offset of its value, and the value's length, until `false`.
fn each(inode: &Inode, visit: &mut dyn FnMut(&[u8], u64, usize) -> bool) -> Result<()> {
    let (start, len) = inode.xattrs;
    if len < HEADER {
        return Ok(());
    }
    let end = add(start, len)?;
    let mut header = [0; HEADER_LEN];
    inode.fs.read(start, &mut header)?;
    let shared = u64::from(Fields(&header).u8(4)?);
    let mut at = add(start, HEADER)?;
    for _ in 0..shared {
        let mut id = [0; 4];
        inode.fs.read(at, &mut id)?;
        let place = add(inode.fs.shared_xattrs, times(4, u64::from(u32::from_le_bytes(id)))?)?;
        if entry(inode, place, visit)?.is_none() {
            return Ok(());
        }
        at = add(at, 4)?;
    }
    while add(at, ENTRY)? <= end {
        match entry(inode, at, visit)? {
            Some(len) => at = add(at, len)?,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Visits one entry; returns its length, or `None` if the visitor has seen enough.
fn entry(inode: &Inode, at: u64, visit: &mut dyn FnMut(&[u8], u64, usize) -> bool) -> Result<Option<u64>> {
    let mut head = [0; ENTRY_LEN];
    inode.fs.read(at, &mut head)?;
    let fields = Fields(&head);
    let (name_len, index, value_len) = (usize::from(fields.u8(0)?), fields.u8(1)?, fields.u16(2)?);
    let mut suffix = alloc::vec![0; name_len];
    inode.fs.read(add(at, ENTRY)?, &mut suffix)?;
    let value_at = add(add(at, ENTRY)?, name_len as u64)?;
    let len = add(add(ENTRY, name_len as u64)?, u64::from(value_len))?.next_multiple_of(4);
    let Some((_, prefix)) = PREFIXES.iter().find(|p| p.0 == index) else { return Ok(Some(len)) };
    let name = [prefix, suffix.as_slice()].concat();
    Ok(visit(&name, value_at, usize::from(value_len)).then_some(len))
}

pub(super) fn get(inode: &Inode, wanted: &[u8]) -> Result<Vec<u8>> {
    let mut found = None;
    each(inode, &mut |name, at, len| {
        if name == wanted {
            found = Some((at, len));
        }
        found.is_none()
    })?;
    let (at, len) = found.ok_or(Errno::ENODATA)?;
    let mut value = alloc::vec![0; len];
    inode.fs.read(at, &mut value)?;
    Ok(value)
}

pub(super) fn list(inode: &Inode, call: &mut dyn FnMut(&[u8])) -> Result<()> {
    each(inode, &mut |name, _, _| {
        call(name);
        true
    })
}
