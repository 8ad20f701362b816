//! `open(2)`.

use alloc::sync::Arc;

use abi::fs::{
    O_ACCMODE, O_CREAT, O_DIRECTORY, O_EXCL, O_NOATIME, O_NOFOLLOW, O_PATH, O_RDWR, O_TMPFILE, O_TRUNC,
    O_WRONLY,
};
use abi::inotify::{IN_CREATE, IN_OPEN};
use abi::{Errno, Result};

use crate::Place;
use crate::credentials::{Want, check, check_create_existing};
use crate::dentry::Dentry;
use crate::make::{may_create, new_node};
use crate::mount::MountOptions;
use crate::open_file::OpenFile;
use crate::types::Kind;
use crate::vfs::Protection;
use crate::walk::{Follow, Last, Walk, Walker, check_name};

/// The part of `O_TMPFILE` that is not `O_DIRECTORY`.
const TMPFILE_BIT: u32 = O_TMPFILE & !O_DIRECTORY;

/// What an access mode asks for.
const fn wanted(flags: u32) -> Want {
    let access = match flags & O_ACCMODE {
        O_WRONLY => Want::WRITE,
        O_RDWR | O_ACCMODE => Want::READ.union(Want::WRITE),
        _ => Want::READ,
    };
    if flags & O_TRUNC != 0 { access.union(Want::WRITE) } else { access }
}

impl Walk<'_> {
    /// Opens, and with `O_CREAT` makes, a file. `flags` are those of `open(2)` without unknown bits; `mode` counts for
    /// new files, and the mask is applied here.
    ///
    /// Devices and fifos are opened without asking their drivers: the caller looks at [`OpenFile::kind`] and puts its own
    /// object behind those that it knows. Devices that this crate implements come back ready for use.
    ///
    /// # Errors
    /// As `open(2)` lists them; `ENXIO` for a socket.
    pub fn open(&self, path: &[u8], flags: u32, mode: u32) -> Result<Arc<OpenFile>> {
        if flags & O_PATH == 0 {
            if flags & (O_DIRECTORY | O_CREAT) == O_DIRECTORY | O_CREAT {
                return Err(Errno::EINVAL);
            }
            if flags & TMPFILE_BIT != 0 {
                return self.open_unnamed(path, flags, mode);
            }
        }
        if flags & O_PATH != 0 {
            let follow = if flags & O_NOFOLLOW != 0 { Follow::No } else { Follow::Yes };
            let place = self.lookup(path, follow)?;
            if flags & O_DIRECTORY != 0 && !place.is_dir() {
                return Err(Errno::ENOTDIR);
            }
            return Ok(OpenFile::path_only(place, flags));
        }
        let exclusive = flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL;
        let follow = if flags & O_NOFOLLOW != 0 || exclusive { Follow::No } else { Follow::Yes };
        if flags & O_CREAT == 0 {
            return self.open_place(self.lookup(path, follow)?, flags);
        }
        let mut walker = Walker::new(self, path)?;
        loop {
            let (Last::Name(name), slashes) = walker.go_to_last()? else {
                // `.`, `..` and `/` are there, and are directories.
                return Err(if exclusive { Errno::EEXIST } else { Errno::EISDIR });
            };
            if slashes || walker.must_be_dir() {
                return Err(Errno::EISDIR);
            }
            let directory = walker.at();
            let found = match directory.dentry.child(name.get()) {
                Err(Errno::ENOENT) => match self.create(directory, name.get(), flags, mode)? {
                    Made::New(file) => return Ok(file),
                    Made::Existing(dentry) => dentry,
                },
                other => other?,
            };
            if walker.finish_at(found, follow)? {
                break;
            }
        }
        let place = walker.at().clone();
        if exclusive {
            return Err(Errno::EEXIST);
        }
        if place.is_dir() {
            return Err(Errno::EISDIR);
        }
        let level = match place.kind() {
            Kind::File => place.mount.shared.protection(Protection::Regular),
            Kind::Fifo => place.mount.shared.protection(Protection::Fifos),
            // LINUX: for devices and sockets, the rule holds always.
            _ => 1,
        };
        if let Some(parent) = place.dentry.parent().filter(|_| level != 0) {
            let (directory, file) = (parent.node().permissions(), place.node().permissions());
            check_create_existing(directory, file, level, self.caller.credentials)?;
        }
        self.open_place(place, flags)
    }

    /// Makes a regular file that was not there a moment ago.
    fn create(&self, directory: &Place, name: &[u8], flags: u32, mode: u32) -> Result<Made> {
        let dentry = &directory.dentry;
        let lock = dentry.lock();
        match dentry.child_locked(name) {
            Ok(existing) => return Ok(Made::Existing(existing)),
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
        check_name(name)?;
        directory.mount.check_writable()?;
        let who = self.caller.credentials;
        may_create(dentry, who)?;
        let mode = mode & 0o7777 & !self.caller.umask;
        let new = new_node(&**dentry.node(), Kind::File, mode, 0, who);
        let node = dentry.node().create(name, &new, b"")?;
        let child = dentry.add_new(name, node);
        drop(lock);
        directory.mount.shared.notify(IN_CREATE, Some((dentry.node(), name)), Some(child.node()), 0);
        let place = Place { mount: Arc::clone(&directory.mount), dentry: child };
        // The mode of a new file does not limit the opening that makes it.
        self.finish_open(place, flags & !O_TRUNC).map(Made::New)
    }

    fn open_unnamed(&self, path: &[u8], flags: u32, mode: u32) -> Result<Arc<OpenFile>> {
        if flags & O_DIRECTORY == 0 || !wanted(flags & !O_TRUNC).contains(Want::WRITE) {
            return Err(Errno::EINVAL);
        }
        let place = self.lookup(path, Follow::Yes)?;
        if !place.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        place.mount.check_writable()?;
        let who = self.caller.credentials;
        may_create(&place.dentry, who)?;
        let mode = mode & 0o7777 & !self.caller.umask;
        let new = new_node(&**place.node(), Kind::File, mode, 0, who);
        let node = place.node().create_unnamed(&new)?;
        let name = alloc::format!("#{}", node.metadata().ino);
        let dentry = Dentry::new_loose(node, &place.dentry, name.as_bytes());
        dentry.set_removed();
        self.finish_open(Place { mount: place.mount, dentry }, flags & !O_TRUNC)
    }

    /// Opens what a walk has found, or what a descriptor names (`/proc/self/fd`), with all checks.
    ///
    /// # Errors
    /// As for [`Walk::open`].
    pub fn open_place(&self, place: Place, flags: u32) -> Result<Arc<OpenFile>> {
        let want = wanted(flags);
        let kind = place.kind();
        if flags & O_DIRECTORY != 0 && kind != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let truncate = kind == Kind::File && flags & O_TRUNC != 0;
        if truncate {
            place.mount.check_writable()?;
        }
        match kind {
            Kind::Symlink => return Err(Errno::ELOOP),
            Kind::Directory if want.contains(Want::WRITE) => return Err(Errno::EISDIR),
            Kind::CharDevice | Kind::BlockDevice if place.mount.options().contains(MountOptions::NO_DEV) => {
                return Err(Errno::EACCES);
            }
            _ => {}
        }
        let who = self.caller.credentials;
        if want.contains(Want::WRITE) && kind == Kind::File && place.mount.is_tree_read_only() {
            return Err(Errno::EROFS);
        }
        check(&**place.node(), want, who)?;
        if flags & O_NOATIME != 0 && !who.owns(place.node().permissions()) {
            return Err(Errno::EPERM);
        }
        if kind == Kind::Socket {
            return Err(Errno::ENXIO);
        }
        let file = self.finish_open(place, flags)?;
        if truncate {
            file.place().cut_on_open(who)?;
        }
        Ok(file)
    }

    fn finish_open(&self, place: Place, flags: u32) -> Result<Arc<OpenFile>> {
        let writes = wanted(flags & !O_TRUNC).contains(Want::WRITE);
        if writes && matches!(place.kind(), Kind::File) {
            place.mount.check_writable()?;
            place.node().get_write_access()?;
        }
        let node = match place.node().open(flags, &self.caller) {
            Ok(None) if place.kind() == Kind::CharDevice => {
                crate::fs::dev::device(place.node(), self.vfs.environment())
            }
            Ok(other) => other,
            Err(error) => {
                if writes && place.kind() == Kind::File {
                    place.node().put_write_access();
                }
                return Err(error);
            }
        };
        let file = OpenFile::new(place, node, flags);
        file.notify(IN_OPEN);
        Ok(file)
    }

    /// Opens a program for execution (`execve(2)`): a regular file that may be executed, on a mount that permits it.
    ///
    /// # Errors
    /// `EACCES`, and those of [`Walk::lookup`].
    pub fn open_program(&self, path: &[u8], follow: Follow) -> Result<Arc<OpenFile>> {
        let place = self.lookup_or_start(path, follow)?;
        self.check_program(&place)?;
        self.finish_open(place, 0)
    }

    /// Checks that a place may be executed.
    ///
    /// # Errors
    /// `EACCES`; `ELOOP` for a link.
    pub fn check_program(&self, place: &Place) -> Result<()> {
        match place.kind() {
            Kind::Symlink => return Err(Errno::ELOOP),
            Kind::File => {}
            _ => return Err(Errno::EACCES),
        }
        if place.mount.options().contains(MountOptions::NO_EXEC) {
            return Err(Errno::EACCES);
        }
        check(&**place.node(), Want::EXEC, self.caller.credentials)
    }

    /// Answers `access(2)` for the identity in [`Walk::caller`] (the real one, or the effective one with `AT_EACCESS`).
    ///
    /// # Errors
    /// `EACCES`, `EROFS`.
    pub fn access(&self, place: &Place, want: Want) -> Result<()> {
        let kind = place.kind();
        if want.contains(Want::EXEC)
            && kind == Kind::File
            && place.mount.options().contains(MountOptions::NO_EXEC)
        {
            return Err(Errno::EACCES);
        }
        if want.contains(Want::WRITE)
            && matches!(kind, Kind::File | Kind::Directory | Kind::Symlink)
            && place.mount.is_tree_read_only()
        {
            return Err(Errno::EROFS);
        }
        if !want.is_empty() {
            check(&**place.node(), want, self.caller.credentials)?;
        }
        let special = !matches!(kind, Kind::File | Kind::Directory | Kind::Symlink);
        if want.contains(Want::WRITE) && !special && place.mount.is_read_only() {
            return Err(Errno::EROFS);
        }
        Ok(())
    }
}

/// What [`Walk::create`] came to.
enum Made {
    New(Arc<OpenFile>),
    /// Somebody else was quicker.
    Existing(Arc<Dentry>),
}
