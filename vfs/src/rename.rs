//! Moving names: `rename(2)`, `renameat2(2)`.

use alloc::sync::Arc;

use abi::fs::{RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT};
use abi::inotify::{IN_DELETE_SELF, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO};
use abi::{Errno, Result};
use hal::sync::SleepGuard;

use crate::credentials::{Want, check};
use crate::dentry::Dentry;
use crate::make::{may_create, new_node};
use crate::node::{Rename, same};
use crate::remove::{Expect, may_delete};
use crate::types::{Kind, RenameMode};
use crate::walk::{Last, Parent, Walk};

/// The locks of the one or two directories of a rename, in order.
struct Locked<'a> {
    _first: SleepGuard<'a, ()>,
    _second: Option<SleepGuard<'a, ()>>,
}

/// Locks both directories, an ancestor before what lies below it; the tree's rename lock is held.
fn lock_both<'a>(from: &'a Arc<Dentry>, to: &'a Arc<Dentry>) -> Locked<'a> {
    if Arc::ptr_eq(from, to) {
        return Locked { _first: from.lock(), _second: None };
    }
    let from_first = if to.is_below(from) {
        true
    } else if from.is_below(to) {
        false
    } else {
        Arc::as_ptr(from) < Arc::as_ptr(to)
    };
    let (first, second) = if from_first { (from, to) } else { (to, from) };
    let first = first.lock();
    Locked { _first: first, _second: Some(second.lock_nested()) }
}

impl Walk<'_> {
    /// Moves a name; `to` tells where the new path starts. `flags` are `RENAME_*`.
    ///
    /// # Errors
    /// `EXDEV`, `EBUSY`, `EINVAL` for bad flags or a directory moved into itself, `EEXIST`, `ENOTEMPTY`, `ENOTDIR`,
    /// `EISDIR`, `EACCES`, `EPERM`, `EROFS`, and those of [`Walk::lookup`].
    pub fn rename(&self, path: &[u8], to: &Walk<'_>, new_path: &[u8], flags: u32) -> Result<()> {
        if flags & !(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) != 0
            || flags & RENAME_EXCHANGE != 0 && flags & (RENAME_NOREPLACE | RENAME_WHITEOUT) != 0
        {
            return Err(Errno::EINVAL);
        }
        let mode = match flags {
            _ if flags & RENAME_EXCHANGE != 0 => RenameMode::Exchange,
            _ if flags & RENAME_NOREPLACE != 0 => RenameMode::NoReplace,
            _ => RenameMode::Replace,
        };
        let from = self.parent(path)?;
        let into = to.parent(new_path)?;
        if !Arc::ptr_eq(&from.place.mount, &into.place.mount) {
            return Err(Errno::EXDEV);
        }
        let Last::Name(name) = &from.last else { return Err(Errno::EBUSY) };
        let Last::Name(new_name) = &into.last else {
            return Err(if mode == RenameMode::NoReplace { Errno::EEXIST } else { Errno::EBUSY });
        };
        from.place.mount.check_writable()?;
        let who = self.caller.credentials;
        let whiteout = (flags & RENAME_WHITEOUT != 0)
            .then(|| new_node(&**from.place.node(), Kind::CharDevice, 0, 0, who));
        let how = Rename { mode, whiteout };
        let shared = Arc::clone(&from.place.mount.shared);
        let tree = shared.renames.lock();
        let done = self.rename_locked(&from, name.get(), &into, new_name.get(), how)?;
        drop(tree);
        if let Some(done) = done {
            done.finish(&from, name.get(), &into, new_name.get(), mode);
        }
        Ok(())
    }

    fn rename_locked(
        &self,
        from: &Parent<'_>,
        name: &[u8],
        into: &Parent<'_>,
        new_name: &[u8],
        how: Rename,
    ) -> Result<Option<Renamed>> {
        let (from_dir, into_dir) = (&from.place.dentry, &into.place.dentry);
        let who = self.caller.credentials;
        let exchange = how.mode == RenameMode::Exchange;
        let locked = lock_both(from_dir, into_dir);
        let old = from_dir.child_locked(name)?;
        let new = match into_dir.child_locked(new_name) {
            Ok(new) => Some(new),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        match (&new, how.mode) {
            (Some(_), RenameMode::NoReplace) => return Err(Errno::EEXIST),
            (None, RenameMode::Exchange) => return Err(Errno::ENOENT),
            (Some(new), RenameMode::Exchange) if !new.is_dir() && into.slashes => return Err(Errno::ENOTDIR),
            _ => {}
        }
        if !old.is_dir() && (from.slashes || !exchange && into.slashes) {
            return Err(Errno::ENOTDIR);
        }
        if old.is_dir() && into_dir.is_below(&old) {
            return Err(Errno::EINVAL);
        }
        if let Some(new) = &new
            && new.is_dir()
            && from_dir.is_below(new)
        {
            return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        if new.as_ref().is_some_and(|new| same(old.node(), new.node())) {
            return Ok(None);
        }
        let expect = |d: &Dentry| if d.is_dir() { Expect::Directory } else { Expect::Other };
        may_delete(from_dir, &old, expect(&old), who)?;
        match &new {
            None => may_create(into_dir, who)?,
            Some(new) => may_delete(into_dir, new, expect(if exchange { new } else { &old }), who)?,
        }
        if !Arc::ptr_eq(from_dir, into_dir) {
            // A directory's `..` changes, which is a write to it.
            if old.is_dir() {
                check(&**old.node(), Want::WRITE, who)?;
            }
            if let Some(new) = new.as_ref().filter(|new| exchange && new.is_dir()) {
                check(&**new.node(), Want::WRITE, who)?;
            }
        }
        if old.is_mount_point() || new.as_ref().is_some_and(|n| n.is_mount_point()) {
            return Err(Errno::EBUSY);
        }
        let victim = new.as_ref().filter(|n| !exchange && n.is_dir()).map(|n| n.lock_nested());
        let new_node = new.as_ref().map(|n| n.node());
        from_dir.node().rename(name, old.node(), into_dir.node(), new_name, new_node, &how)?;
        let mut stale = alloc::vec::Vec::new();
        match &new {
            Some(new) if exchange => {
                old.relink(into_dir, new_name);
                new.relink(from_dir, name);
            }
            _ => {
                if let Some(new) = &new {
                    new.set_removed();
                }
                stale.extend(into_dir.forget_as_absent(new_name));
                stale.extend(if how.whiteout.is_some() {
                    from_dir.forget(name)
                } else {
                    from_dir.forget_as_absent(name)
                });
                old.relink(into_dir, new_name);
            }
        }
        drop(victim);
        drop(locked);
        drop(stale);
        Ok(Some(Renamed { old, new }))
    }
}

/// What took part in a rename that has happened.
struct Renamed {
    old: Arc<Dentry>,
    new: Option<Arc<Dentry>>,
}

impl Renamed {
    fn finish(&self, from: &Parent<'_>, name: &[u8], into: &Parent<'_>, new_name: &[u8], mode: RenameMode) {
        let shared = &from.place.mount.shared;
        if let Some(new) = self.new.as_ref().filter(|new| mode != RenameMode::Exchange && new.is_dir()) {
            new.dissolve();
        }
        if !shared.watched() {
            return;
        }
        let moved = |from: (&Arc<Dentry>, &[u8]), to: (&Arc<Dentry>, &[u8]), what: &Arc<Dentry>| {
            let cookie = shared.cookie();
            shared.notify(IN_MOVED_FROM, Some((from.0.node(), from.1)), Some(what.node()), cookie);
            shared.notify(IN_MOVED_TO, Some((to.0.node(), to.1)), Some(what.node()), cookie);
            shared.notify(IN_MOVE_SELF, None, Some(what.node()), 0);
        };
        let (a, b) = ((&from.place.dentry, name), (&into.place.dentry, new_name));
        moved(a, b, &self.old);
        match &self.new {
            Some(new) if mode == RenameMode::Exchange => moved(b, a, new),
            Some(new) if new.is_dir() || new.node().metadata().nlink == 0 => {
                shared.notify(IN_DELETE_SELF, None, Some(new.node()), 0);
            }
            _ => {}
        }
    }
}
