//! Extended attributes of a node in memory.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use abi::{Errno, Result};

use super::RamNode;
use crate::types::XattrMode;

/// Bytes of names and values that one node holds at most.
const TOTAL_MAX: usize = 128 << 10;

pub(super) enum Xattrs {
    /// Those of the lower node.
    Lower,
    /// Our own, by name.
    Own(BTreeMap<Vec<u8>, Vec<u8>>),
}

/// Checks that the prefix names attributes that are kept here.
fn check_prefix(name: &[u8]) -> Result<()> {
    let known: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    if known.iter().any(|prefix| name.starts_with(prefix) && name.len() > prefix.len()) {
        Ok(())
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}

impl RamNode {
    pub(super) fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        check_prefix(name)?;
        match (&*self.xattrs.lock(), &self.lower) {
            (Xattrs::Lower, Some(lower)) => match lower.xattr(name) {
                Err(Errno::EOPNOTSUPP) => Err(Errno::ENODATA),
                other => other,
            },
            (Xattrs::Lower, None) => Err(Errno::ENODATA),
            (Xattrs::Own(map), _) => map.get(name).cloned().ok_or(Errno::ENODATA),
        }
    }

    /// Changes the attributes, after copying those of the lower node.
    fn change_xattrs(&self, f: impl FnOnce(&mut BTreeMap<Vec<u8>, Vec<u8>>) -> Result<()>) -> Result<()> {
        let mut xattrs = self.xattrs.lock();
        if let (Xattrs::Lower, lower) = (&*xattrs, &self.lower) {
            let mut map = BTreeMap::new();
            if let Some(lower) = lower {
                let mut names = Vec::new();
                lower.list_xattr(&mut |name| names.push(name.to_vec()))?;
                for name in names {
                    let value = lower.xattr(&name)?;
                    map.insert(name, value);
                }
            }
            *xattrs = Xattrs::Own(map);
        }
        if let Xattrs::Own(map) = &mut *xattrs {
            f(map)?;
        }
        drop(xattrs);
        self.changed();
        Ok(())
    }

    pub(super) fn put_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        check_prefix(name)?;
        self.change_xattrs(|map| {
            match (map.contains_key(name), mode) {
                (true, XattrMode::Create) => return Err(Errno::EEXIST),
                (false, XattrMode::Replace) => return Err(Errno::ENODATA),
                _ => {}
            }
            let held: usize = map.iter().filter(|e| e.0 != name).map(|e| e.0.len() + e.1.len()).sum();
            if held + name.len() + value.len() > TOTAL_MAX {
                return Err(Errno::ENOSPC);
            }
            map.insert(name.to_vec(), value.to_vec());
            Ok(())
        })
    }

    pub(super) fn delete_xattr(&self, name: &[u8]) -> Result<()> {
        check_prefix(name)?;
        self.change_xattrs(|map| map.remove(name).map(|_| ()).ok_or(Errno::ENODATA))
    }

    pub(super) fn each_xattr(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        match (&*self.xattrs.lock(), &self.lower) {
            (Xattrs::Lower, Some(lower)) => lower.list_xattr(each),
            (Xattrs::Lower, None) => Ok(()),
            (Xattrs::Own(map), _) => {
                map.keys().for_each(|name| each(name));
                Ok(())
            }
        }
    }
}
