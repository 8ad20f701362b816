//! Changing what is said about a file: `chmod(2)`, `chown(2)`, `utimensat(2)`, `truncate(2)`, `setxattr(2)`.

use alloc::vec::Vec;

use abi::fs::{S_ISGID, S_ISUID};
use abi::inotify::{IN_ATTRIB, IN_MODIFY};
use abi::{Errno, Result};

use crate::credentials::{Caller, Capabilities, Credentials, Want, check, mode_after_write};
use crate::types::{Kind, Metadata, SetAttributes, Time, XattrMode};
use crate::{PathText, Place};

/// What happens to a time in `utimensat(2)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetTime {
    /// It stays (`UTIME_OMIT`).
    Omit,
    /// It becomes the present time (`UTIME_NOW`).
    Now,
    /// It becomes this time.
    To(Time),
}

impl Place {
    /// Returns what `stat(2)` tells.
    pub fn metadata(&self) -> Metadata {
        self.node().metadata()
    }

    fn set(&self, changes: &SetAttributes) -> Result<()> {
        let changes = SetAttributes { ctime: Some(self.mount.shared.now()), ..*changes };
        self.node().set_attributes(&changes)?;
        self.notify(IN_ATTRIB);
        Ok(())
    }

    /// Tells those who watch the node, or its directory.
    pub(crate) fn notify(&self, mask: u32) {
        let shared = &self.mount.shared;
        if !shared.watched() {
            return;
        }
        let parent = self.dentry.parent().filter(|_| !self.dentry.is_removed());
        let name = self.dentry.name();
        shared.notify(mask, parent.as_ref().map(|p| (p.node(), &*name)), Some(self.node()), 0);
    }

    /// Sets the permission bits (`chmod(2)`).
    ///
    /// # Errors
    /// `EPERM` if the file is not the caller's, `EROFS`, `EOPNOTSUPP` for a link.
    pub fn set_mode(&self, mode: u32, who: &Credentials) -> Result<()> {
        self.mount.check_writable()?;
        if self.kind() == Kind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        let now = self.node().permissions();
        if !who.owns(now) {
            return Err(Errno::EPERM);
        }
        let mut mode = mode & 0o7777;
        if !who.in_group(now.gid) && !who.capable(Capabilities::FSETID) {
            mode &= !S_ISGID;
        }
        self.set(&SetAttributes { mode: Some(mode), ..SetAttributes::default() })
    }

    /// Sets owner and group (`chown(2)`); `None` leaves one as it is.
    ///
    /// # Errors
    /// `EPERM`, `EROFS`.
    pub fn set_owner(&self, uid: Option<u32>, gid: Option<u32>, who: &Credentials) -> Result<()> {
        self.mount.check_writable()?;
        let now = self.node().permissions();
        let mine = who.fsuid == now.uid;
        let chown = who.capable(Capabilities::CHOWN);
        if uid.is_some_and(|uid| !(chown || mine && uid == now.uid))
            || gid.is_some_and(|gid| !(chown || mine && (gid == now.gid || who.in_group(gid))))
        {
            return Err(Errno::EPERM);
        }
        let mut left = now.mode;
        if self.kind() != Kind::Directory {
            // LINUX: the set-user bit goes whoever asks; the set-group bit where it means something.
            left &= !S_ISUID;
            if now.mode & S_ISGID != 0
                && (now.mode & 0o010 != 0 || !(who.in_group(now.gid) || who.capable(Capabilities::FSETID)))
            {
                left &= !S_ISGID;
            }
        }
        let mode = (left != now.mode && self.kind() != Kind::Symlink).then_some(left);
        self.set(&SetAttributes { uid, gid, mode, ..SetAttributes::default() })
    }

    /// Sets times (`utimensat(2)`).
    ///
    /// # Errors
    /// `EPERM` if the file is not the caller's; `EACCES` if both become the present and it may not write either; `EROFS`.
    pub fn set_times(&self, atime: SetTime, mtime: SetTime, who: &Credentials) -> Result<()> {
        if (atime, mtime) == (SetTime::Omit, SetTime::Omit) {
            return Ok(());
        }
        self.mount.check_writable()?;
        if !who.owns(self.node().permissions()) {
            if (atime, mtime) != (SetTime::Now, SetTime::Now) {
                return Err(Errno::EPERM);
            }
            check(&**self.node(), Want::WRITE, who)?;
        }
        let now = self.mount.shared.now();
        let pick = |time| match time {
            SetTime::Omit => None,
            SetTime::Now => Some(now),
            SetTime::To(time) => Some(time),
        };
        self.set(&SetAttributes { atime: pick(atime), mtime: pick(mtime), ..SetAttributes::default() })
    }

    /// Sets the size by path (`truncate(2)`).
    ///
    /// # Errors
    /// `EISDIR`, `EINVAL` if this is no regular file, `EACCES`, `EROFS`, `EFBIG`, `ETXTBSY`.
    pub fn truncate(&self, size: u64, who: &Caller<'_>) -> Result<()> {
        match self.kind() {
            Kind::File => {}
            Kind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        self.mount.check_writable()?;
        check(&**self.node(), Want::WRITE, who.credentials)?;
        self.node().get_write_access()?;
        let done = self.resize(size, who);
        self.node().put_write_access();
        done
    }

    /// Sets the size of a file that is open for writing (`ftruncate(2)`); the caller has checked that.
    ///
    /// # Errors
    /// `EFBIG` above the caller's limit, and those of [`crate::Node::truncate`].
    pub(crate) fn resize(&self, size: u64, who: &Caller<'_>) -> Result<()> {
        let before = self.node().size();
        if size > before && size > who.size_limit {
            return Err(Errno::EFBIG);
        }
        self.cut(size, before, who.credentials)
    }

    /// Empties a file that is being opened with `O_TRUNC`.
    pub(crate) fn cut_on_open(&self, who: &Credentials) -> Result<()> {
        self.cut(0, self.node().size(), who)
    }

    fn cut(&self, size: u64, before: u64, who: &Credentials) -> Result<()> {
        self.node().truncate(size)?;
        self.strip_privileges(who)?;
        if size < before {
            let page = hal::PAGE_SIZE as u64;
            self.mount.shared.environment.events.unmap(self.node(), size.div_ceil(page)..u64::MAX);
        }
        self.notify(IN_MODIFY);
        Ok(())
    }

    /// Takes the set-user and set-group bits away after a write by somebody without the right to keep them.
    #[inline]
    pub(crate) fn strip_privileges(&self, who: &Credentials) -> Result<()> {
        match mode_after_write(self.kind(), self.node().permissions(), who) {
            None => Ok(()),
            Some(mode) => {
                self.node().set_attributes(&SetAttributes { mode: Some(mode), ..SetAttributes::default() })
            }
        }
    }

    /// Returns the text of a link (`readlink(2)`).
    ///
    /// # Errors
    /// `EINVAL` if this is no link.
    pub fn read_link(&self, who: &Caller<'_>) -> Result<Vec<u8>> {
        if self.kind() != Kind::Symlink {
            return Err(Errno::EINVAL);
        }
        self.node().read_link(who)
    }

    /// Returns an extended attribute (`getxattr(2)`).
    ///
    /// # Errors
    /// `ENODATA`, `EOPNOTSUPP`, `EACCES`, `EPERM`, `ERANGE` for a bad name.
    pub fn xattr(&self, name: &[u8], who: &Credentials) -> Result<Vec<u8>> {
        self.check_xattr(name, Want::READ, who)?;
        self.node().xattr(name)
    }

    /// Sets an extended attribute (`setxattr(2)`).
    ///
    /// # Errors
    /// As for [`Place::xattr`], and `EEXIST`, `ENOSPC`, `EROFS`, `E2BIG`.
    pub fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode, who: &Credentials) -> Result<()> {
        self.mount.check_writable()?;
        if value.len() > XATTR_SIZE_MAX {
            return Err(Errno::E2BIG);
        }
        self.check_xattr(name, Want::WRITE, who)?;
        self.node().set_xattr(name, value, mode)?;
        self.notify(IN_ATTRIB);
        Ok(())
    }

    /// Removes an extended attribute (`removexattr(2)`).
    ///
    /// # Errors
    /// As for [`Place::xattr`], and `EROFS`.
    pub fn remove_xattr(&self, name: &[u8], who: &Credentials) -> Result<()> {
        self.mount.check_writable()?;
        self.check_xattr(name, Want::WRITE, who)?;
        self.node().remove_xattr(name)?;
        self.notify(IN_ATTRIB);
        Ok(())
    }

    /// Returns the names of the extended attributes, each with a NUL behind it (`listxattr(2)`).
    ///
    /// # Errors
    /// `EIO`.
    pub fn list_xattr(&self, who: &Credentials) -> Result<Vec<u8>> {
        let mut names = Vec::new();
        let trusted = who.capable(Capabilities::SYS_ADMIN);
        self.node().list_xattr(&mut |name| {
            if trusted || !name.starts_with(b"trusted.") {
                names.extend_from_slice(name);
                names.push(0);
            }
        })?;
        Ok(names)
    }

    /// Checks a name's form and whose business it is (`xattr(7)`).
    fn check_xattr(&self, name: &[u8], want: Want, who: &Credentials) -> Result<()> {
        if name.is_empty() || name.len() > crate::types::NAME_MAX {
            return Err(Errno::ERANGE);
        }
        let write = want.contains(Want::WRITE);
        if name.starts_with(b"security.") || name.starts_with(b"system.") {
            if write && name == b"security.capability" && !who.capable(Capabilities::SETFCAP) {
                return Err(Errno::EPERM);
            }
            let known = name != b"security.capability";
            if write && name.starts_with(b"security.") && known && !who.capable(Capabilities::SYS_ADMIN) {
                return Err(Errno::EPERM);
            }
            return Ok(());
        }
        if name.starts_with(b"trusted.") {
            if who.capable(Capabilities::SYS_ADMIN) {
                return Ok(());
            }
            return Err(if write { Errno::EPERM } else { Errno::ENODATA });
        }
        if name.starts_with(b"user.") {
            if !matches!(self.kind(), Kind::File | Kind::Directory) {
                return Err(if write { Errno::EPERM } else { Errno::ENODATA });
            }
            let permissions = self.node().permissions();
            let sticky = self.is_dir() && permissions.mode & abi::fs::S_ISVTX != 0;
            if write && sticky && !who.owns(permissions) {
                return Err(Errno::EPERM);
            }
        }
        check(&**self.node(), want, who)
    }

    /// Returns the path for `getcwd(2)`.
    ///
    /// # Errors
    /// `ENOENT` if the directory was removed.
    pub fn working_directory(&self, root: &Self) -> Result<PathText> {
        if self.dentry.is_removed() { Err(Errno::ENOENT) } else { Ok(self.path(root)) }
    }
}

/// Largest value of an extended attribute, in bytes.
const XATTR_SIZE_MAX: usize = 65536;
