//! Removing names: `unlink(2)` and `rmdir(2)`.

use alloc::sync::Arc;

use abi::inotify::{IN_ATTRIB, IN_DELETE, IN_DELETE_SELF};
use abi::{Errno, Result};

use crate::Place;
use crate::credentials::{Credentials, check_delete};
use crate::dentry::Dentry;
use crate::walk::{Last, Walk};

/// What a removed or replaced entry has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Directory,
    Other,
}

/// Checks that an entry may be removed or replaced; both directory locks that matter are held.
pub(crate) fn may_delete(
    directory: &Dentry,
    victim: &Dentry,
    expect: Expect,
    who: &Credentials,
) -> Result<()> {
    check_delete(&**directory.node(), &**victim.node(), who)?;
    match (expect, victim.is_dir()) {
        (Expect::Directory, false) => return Err(Errno::ENOTDIR),
        (Expect::Other, true) => return Err(Errno::EISDIR),
        _ => {}
    }
    if directory.is_removed() { Err(Errno::ENOENT) } else { Ok(()) }
}

impl Walk<'_> {
    /// Removes a name that is no directory (`unlink(2)`).
    ///
    /// # Errors
    /// `EISDIR`, `EBUSY` for a mount point, `EACCES`, `EPERM`, `EROFS`, and those of [`Walk::lookup`].
    pub fn unlink(&self, path: &[u8]) -> Result<()> {
        let parent = self.parent(path)?;
        let Last::Name(name) = &parent.last else { return Err(Errno::EISDIR) };
        let name = name.get();
        parent.place.mount.check_writable()?;
        let directory = &parent.place.dentry;
        let lock = directory.lock();
        let victim = directory.child_locked(name)?;
        if parent.slashes {
            return Err(if victim.is_dir() { Errno::EISDIR } else { Errno::ENOTDIR });
        }
        may_delete(directory, &victim, Expect::Other, self.caller.credentials)?;
        if victim.is_mount_point() {
            return Err(Errno::EBUSY);
        }
        directory.node().unlink(name, victim.node())?;
        victim.set_removed();
        let before = directory.forget_as_absent(name);
        drop(lock);
        drop(before);
        let shared = &parent.place.mount.shared;
        if shared.watched() {
            shared.notify(IN_ATTRIB, None, Some(victim.node()), 0);
            shared.notify(IN_DELETE, Some((directory.node(), name)), Some(victim.node()), 0);
            if victim.node().metadata().nlink == 0 {
                shared.notify(IN_DELETE_SELF, None, Some(victim.node()), 0);
            }
        }
        Ok(())
    }

    /// Removes an empty directory (`rmdir(2)`).
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOTEMPTY`, `EBUSY` for a mount point or the root, `EINVAL` for `.`, `EACCES`, `EPERM`, `EROFS`,
    /// and those of [`Walk::lookup`].
    pub fn remove_directory(&self, path: &[u8]) -> Result<()> {
        let parent = self.parent(path)?;
        let name = match &parent.last {
            Last::Name(name) => name.get(),
            Last::Dot => return Err(Errno::EINVAL),
            Last::DotDot => return Err(Errno::ENOTEMPTY),
            Last::Root => return Err(Errno::EBUSY),
        };
        parent.place.mount.check_writable()?;
        let directory = &parent.place.dentry;
        let lock = directory.lock();
        let victim = directory.child_locked(name)?;
        may_delete(directory, &victim, Expect::Directory, self.caller.credentials)?;
        if victim.is_mount_point() {
            return Err(Errno::EBUSY);
        }
        let inner = victim.lock_nested();
        directory.node().rmdir(name, victim.node())?;
        victim.set_removed();
        drop(inner);
        let before = directory.forget_as_absent(name);
        drop(lock);
        drop(before);
        victim.dissolve();
        self.notify_removed(&parent.place, name, &victim);
        Ok(())
    }

    fn notify_removed(&self, directory: &Place, name: &[u8], victim: &Arc<Dentry>) {
        let shared = &directory.mount.shared;
        shared.notify(IN_DELETE_SELF, None, Some(victim.node()), 0);
        shared.notify(IN_DELETE, Some((directory.dentry.node(), name)), Some(victim.node()), 0);
    }
}
