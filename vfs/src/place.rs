//! A place: a name in the tree of a mount.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::dentry::Dentry;
use crate::mount::Mount;
use crate::node::Node;
use crate::types::Kind;

/// Where a walk leads: a dentry, seen through a mount. Cloning is two counts.
#[derive(Clone)]
pub struct Place {
    /// The mount through which it was reached.
    pub mount: Arc<Mount>,
    /// The name in the mount's tree.
    pub dentry: Arc<Dentry>,
}

/// How a path is printed that does not lead to the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathText {
    /// From the root down.
    Absolute(Vec<u8>),
    /// The place is not below the root (`getcwd(2)`: `(unreachable)` in front).
    Unreachable(Vec<u8>),
}

impl Place {
    /// Makes the place of a node without a path, such as a memory file; `mount` is an internal one. It prints as
    /// `/name (deleted)`.
    pub fn unnamed(mount: &Arc<Mount>, node: Arc<dyn Node>, name: &[u8]) -> Self {
        let dentry = Dentry::new_loose(node, &mount.root, name);
        dentry.set_removed();
        Self { mount: Arc::clone(mount), dentry }
    }

    /// Returns the node.
    #[inline]
    pub fn node(&self) -> &Arc<dyn Node> {
        self.dentry.node()
    }

    /// Returns the file type.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.dentry.kind()
    }

    /// Says whether this is a directory.
    #[inline]
    pub fn is_dir(&self) -> bool {
        self.dentry.is_dir()
    }

    /// Says whether both are the same name through the same mount.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }

    /// Says whether this is the root of its mount.
    #[inline]
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(&self.mount.root, &self.dentry)
    }

    /// Goes up onto whatever is mounted here.
    #[must_use]
    pub fn topmost(&self) -> Self {
        let mut place = self.clone();
        while place.dentry.is_mount_point() {
            let Some(mount) = place.mount.vfs().mounted_on(&place.mount, &place.dentry) else { break };
            place = mount.root_place();
        }
        place
    }

    /// Returns the path below a root; a removed name gets ` (deleted)` behind it.
    ///
    /// `getcwd(2)` answers `ENOENT` where [`Dentry::is_removed`] holds, and shows `(unreachable)` as [`PathText`] says.
    pub fn path(&self, root: &Self) -> PathText {
        let mut names = Vec::new();
        let (mut mount, mut dentry) = (Arc::clone(&self.mount), Arc::clone(&self.dentry));
        let mut len = 0;
        let reached = loop {
            if Arc::ptr_eq(&mount, &root.mount) && Arc::ptr_eq(&dentry, &root.dentry) {
                break true;
            }
            if Arc::ptr_eq(&dentry, &mount.root) {
                match mount.covered() {
                    Some(place) => (mount, dentry) = (place.mount, place.dentry),
                    None => break false,
                }
                continue;
            }
            let name = dentry.name();
            len += name.len() + 1;
            names.push(name);
            let Some(parent) = dentry.parent() else { break false };
            dentry = parent;
        };
        let mut text = Vec::with_capacity(len + 10);
        for name in names.iter().rev() {
            text.push(b'/');
            text.extend_from_slice(name);
        }
        if text.is_empty() {
            text.push(b'/');
        }
        if self.dentry.is_removed() {
            text.extend_from_slice(b" (deleted)");
        }
        if reached { PathText::Absolute(text) } else { PathText::Unreachable(text) }
    }

    /// Returns the path as `/proc/self/fd` and `/proc/self/maps` show it.
    pub fn display(&self, root: &Self) -> Vec<u8> {
        match self.path(root) {
            PathText::Absolute(text) | PathText::Unreachable(text) => text,
        }
    }
}

impl core::fmt::Debug for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Place({}:{:?})", self.mount.id, self.dentry)
    }
}
