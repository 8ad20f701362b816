//! Making names: `mknod(2)`, `mkdir(2)`, `symlink(2)`, `link(2)`.

use alloc::sync::Arc;

use abi::fs::{S_ISGID, S_ISVTX, S_IXGRP};
use abi::inotify::{IN_ATTRIB, IN_CREATE};
use abi::{Errno, Result};

use crate::credentials::{Capabilities, Credentials, Want, check, check_link_source};
use crate::dentry::Dentry;
use crate::node::Node;
use crate::types::{Kind, NewNode};
use crate::vfs::Protection;
use crate::walk::{Last, Walk, check_name};
use crate::{Follow, Place};

impl Walk<'_> {
    /// Makes a file, device, fifo or socket (`mknod(2)`). Of `mode` the permission bits count; the mask is applied here.
    ///
    /// # Errors
    /// `EEXIST`, `EPERM` for a device without `CAP_MKNOD`, `EINVAL` for a kind that cannot be made so, `EROFS`,
    /// `ENOSPC`, and those of [`Walk::lookup`].
    pub fn make_node(&self, path: &[u8], kind: Kind, mode: u32, rdev: u64) -> Result<Place> {
        match kind {
            Kind::File | Kind::CharDevice | Kind::BlockDevice | Kind::Fifo | Kind::Socket => {}
            Kind::Directory => return Err(Errno::EPERM),
            Kind::Symlink | Kind::Anonymous => return Err(Errno::EINVAL),
        }
        self.make(path, kind, mode & 0o7777 & !self.caller.umask, rdev, b"")
    }

    /// Makes a directory (`mkdir(2)`).
    ///
    /// # Errors
    /// As for [`Walk::make_node`], and `EMLINK`.
    pub fn make_directory(&self, path: &[u8], mode: u32) -> Result<Place> {
        self.make(path, Kind::Directory, mode & (0o777 | S_ISVTX) & !self.caller.umask, 0, b"")
    }

    /// Makes a symbolic link (`symlink(2)`).
    ///
    /// # Errors
    /// `ENOENT` for an empty target, and those of [`Walk::make_node`].
    pub fn make_symlink(&self, path: &[u8], target: &[u8]) -> Result<Place> {
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        if target.len() >= crate::types::PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        self.make(path, Kind::Symlink, 0o777, 0, target)
    }

    fn make(&self, path: &[u8], kind: Kind, mode: u32, rdev: u64, target: &[u8]) -> Result<Place> {
        let parent = self.parent(path)?;
        let Last::Name(name) = &parent.last else { return Err(Errno::EEXIST) };
        let name = name.get();
        let directory = &parent.place.dentry;
        let lock = directory.lock();
        self.check_free(&parent.place, name, parent.slashes && kind != Kind::Directory)?;
        let who = self.caller.credentials;
        may_create(directory, who)?;
        let device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        let whiteout = kind == Kind::CharDevice && rdev == 0;
        if device && !whiteout && !who.capable(Capabilities::MKNOD) {
            return Err(Errno::EPERM);
        }
        let new = new_node(&**directory.node(), kind, mode, rdev, who);
        let node = directory.node().create(name, &new, target)?;
        let dentry = directory.add_new(name, node);
        drop(lock);
        let shared = &parent.place.mount.shared;
        shared.notify(IN_CREATE, Some((directory.node(), name)), Some(dentry.node()), 0);
        Ok(Place { mount: Arc::clone(&parent.place.mount), dentry })
    }

    /// Makes another name for a place (`link(2)`).
    ///
    /// # Errors
    /// `EXDEV`, `EPERM` for a directory, `EMLINK`, `ENOENT` if the file has no name any more, and those of
    /// [`Walk::make_node`].
    pub fn make_link(&self, path: &[u8], old: &Place) -> Result<()> {
        let parent = self.parent(path)?;
        let Last::Name(name) = &parent.last else { return Err(Errno::EEXIST) };
        let name = name.get();
        let directory = &parent.place.dentry;
        let lock = directory.lock();
        self.check_free(&parent.place, name, parent.slashes)?;
        if !Arc::ptr_eq(&parent.place.mount, &old.mount) {
            return Err(Errno::EXDEV);
        }
        if old.mount.shared.protection(Protection::Hardlinks) != 0 {
            check_link_source(&**old.node(), self.caller.credentials)?;
        }
        may_create(directory, self.caller.credentials)?;
        if old.is_dir() {
            return Err(Errno::EPERM);
        }
        directory.node().link(name, old.node())?;
        let dentry = directory.add_new(name, Arc::clone(old.node()));
        drop(lock);
        let shared = &parent.place.mount.shared;
        shared.notify(IN_ATTRIB, None, Some(dentry.node()), 0);
        shared.notify(IN_CREATE, Some((directory.node(), name)), Some(dentry.node()), 0);
        Ok(())
    }

    /// Checks that a name may be made, in Linux's order: it exists, slashes behind it, read-only.
    fn check_free(&self, directory: &Place, name: &[u8], slashes: bool) -> Result<()> {
        match directory.dentry.child_locked(name) {
            Ok(_) => return Err(Errno::EEXIST),
            Err(Errno::ENOENT) if slashes => return Err(Errno::ENOENT),
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
        check_name(name)?;
        directory.mount.check_writable()
    }

    /// Finds a link or follows it, as the source of [`Walk::make_link`] (`AT_SYMLINK_FOLLOW` chooses).
    ///
    /// # Errors
    /// As for [`Walk::lookup_or_start`].
    pub fn link_source(&self, path: &[u8], follow: Follow) -> Result<Place> {
        self.lookup_or_start(path, follow)
    }
}

/// Checks that an entry may be made in a directory, whose lock is held.
pub(crate) fn may_create(directory: &Dentry, who: &Credentials) -> Result<()> {
    if directory.is_removed() {
        return Err(Errno::ENOENT);
    }
    check(&**directory.node(), Want::WRITE | Want::EXEC, who)
}

/// Chooses owner, group and mode of a new node: the group of a set-group directory is passed on.
pub(crate) fn new_node(directory: &dyn Node, kind: Kind, mode: u32, rdev: u64, who: &Credentials) -> NewNode {
    let parent = directory.permissions();
    let (mut mode, mut gid) = (mode, who.fsgid);
    if parent.mode & S_ISGID != 0 {
        gid = parent.gid;
        if kind == Kind::Directory {
            mode |= S_ISGID;
        } else if mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP
            && !who.in_group(gid)
            && !who.capable(Capabilities::FSETID)
        {
            mode &= !S_ISGID;
        }
    }
    NewNode { kind, mode, uid: who.fsuid, gid, rdev }
}
