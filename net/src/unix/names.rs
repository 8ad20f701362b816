//! What UNIX sockets are called, and which socket a name stands for.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::{Errno, Result};

use super::Domain;
use super::side::Side;
use crate::UnixName;

/// Names that are given to sockets that have to have one (`unix(7)`, "Autobind feature").
const AUTOMATIC: u32 = 1 << 20;

/// Sockets by name.
#[derive(Default)]
pub(super) struct Names {
    /// Abstract names: each type has its own.
    abstracts: BTreeMap<(u32, Vec<u8>), Arc<Side>>,
    /// Files: device and inode.
    files: BTreeMap<(u64, u64), Arc<Side>>,
    next: u32,
}

impl Domain {
    /// Calls a socket by a name; an unnamed one means one of our choice.
    ///
    /// # Errors
    /// `EINVAL` if it has a name already, `EADDRINUSE`, `ENOSPC` if no automatic name is left.
    pub(super) fn bind(&self, side: &Arc<Side>, name: &UnixName) -> Result<()> {
        let mut names = self.names.lock();
        let mut own = side.name.lock();
        if *own != UnixName::Unnamed {
            return match name {
                // LINUX: whoever wants any name is content with what he has.
                UnixName::Unnamed => Ok(()),
                _ => Err(Errno::EINVAL),
            };
        }
        let kind = side.common.kind;
        *own = match name {
            UnixName::Unnamed => UnixName::Abstract(names.automatic(kind)?),
            name => name.clone(),
        };
        match &*own {
            UnixName::Abstract(bytes) => {
                let key = (kind, bytes.clone());
                if names.abstracts.contains_key(&key) {
                    *own = UnixName::Unnamed;
                    return Err(Errno::EADDRINUSE);
                }
                names.abstracts.insert(key, Arc::clone(side));
            }
            UnixName::Path { file, .. } => {
                names.files.insert((file.device, file.inode), Arc::clone(side));
            }
            UnixName::Unnamed => {}
        }
        Ok(())
    }

    /// Gives a socket a name unless it has one.
    ///
    /// # Errors
    /// `ENOSPC`
    pub(super) fn autobind(&self, side: &Arc<Side>) -> Result<()> {
        if *side.name.lock() == UnixName::Unnamed { self.bind(side, &UnixName::Unnamed) } else { Ok(()) }
    }

    /// Finds the socket that a name stands for, for one of type `kind`.
    ///
    /// # Errors
    /// `ECONNREFUSED` if there is none, `EPROTOTYPE` if its type is another.
    pub(super) fn find(&self, name: &UnixName, kind: u32) -> Result<Arc<Side>> {
        let names = self.names.lock();
        let side = match name {
            UnixName::Abstract(bytes) => names.abstracts.get(&(kind, bytes.clone())),
            UnixName::Path { file, .. } => names.files.get(&(file.device, file.inode)),
            UnixName::Unnamed => None,
        };
        let side = side.ok_or(Errno::ECONNREFUSED)?;
        if side.common.kind != kind {
            return Err(Errno::EPROTOTYPE);
        }
        Ok(Arc::clone(side))
    }

    /// Forgets what a socket that is closed was called. It keeps its name, for its peer may ask.
    pub(super) fn unbind(&self, side: &Arc<Side>) {
        let name = side.name.lock().clone();
        let gone = {
            let mut names = self.names.lock();
            match name {
                UnixName::Unnamed => None,
                UnixName::Abstract(bytes) => {
                    let key = (side.common.kind, bytes);
                    let ours = names.abstracts.get(&key).is_some_and(|s| Arc::ptr_eq(s, side));
                    if ours { names.abstracts.remove(&key) } else { None }
                }
                UnixName::Path { file, .. } => {
                    let key = (file.device, file.inode);
                    let ours = names.files.get(&key).is_some_and(|s| Arc::ptr_eq(s, side));
                    if ours { names.files.remove(&key) } else { None }
                }
            }
        };
        drop(gone);
    }
}

impl Names {
    /// Chooses a free abstract name of five hexadecimal digits.
    fn automatic(&mut self, kind: u32) -> Result<Vec<u8>> {
        for _ in 0..AUTOMATIC {
            let name = format!("{:05x}", self.next % AUTOMATIC).into_bytes();
            self.next = (self.next + 1) % AUTOMATIC;
            if !self.abstracts.contains_key(&(kind, name.clone())) {
                return Ok(name);
            }
        }
        Err(Errno::ENOSPC)
    }
}
