//! Mounts: which file systems sit where, and with which flags.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hashbrown::HashMap;

use crate::dentry::Dentry;
use crate::node::FileSystem;
use crate::vfs::Shared;
use crate::{Place, Vfs};

bitflags::bitflags! {
    /// Flags of one mount.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MountOptions: u32 {
        /// Nothing may be written (`ro`).
        const READ_ONLY = 1;
        /// Set-user and set-group bits have no effect (`nosuid`).
        const NO_SUID = 2;
        /// Devices cannot be opened (`nodev`).
        const NO_DEV = 4;
        /// Programs cannot be executed (`noexec`).
        const NO_EXEC = 8;
        /// Access times stay (`noatime`).
        const NO_ATIME = 0x10;
        /// Access times of directories stay (`nodiratime`).
        const NO_DIR_ATIME = 0x20;
        /// Access times change once a day, or when they would fall behind (`relatime`, the default).
        const REL_ATIME = 0x40;
        /// Symbolic links are not followed (`nosymfollow`).
        const NO_SYMLINK_FOLLOW = 0x80;
    }
}

/// What several mounts of one file system share: its tree of names.
pub struct Tree {
    /// The file system.
    pub file_system: Arc<dyn FileSystem>,
    /// Root of the tree of names.
    pub root: Arc<Dentry>,
    read_only: AtomicBool,
    mounts: AtomicU32,
    /// Regular files that are open for writing.
    pub(crate) writers: AtomicU32,
}

impl Tree {
    /// Makes the tree of a file system.
    pub fn new(file_system: Arc<dyn FileSystem>) -> Arc<Self> {
        let root = Dentry::new_root(file_system.root(), b"/");
        let read_only = AtomicBool::new(file_system.read_only());
        let none = || AtomicU32::new(0);
        Arc::new(Self { file_system, root, read_only, mounts: none(), writers: none() })
    }
}

/// One mount: a part of a tree that can be reached from a place.
pub struct Mount {
    /// Number of the mount (`mountinfo`, `STATX_MNT_ID`).
    pub id: u32,
    /// The tree.
    pub tree: Arc<Tree>,
    /// What shows at the mount point; the tree's root unless this is a bind mount.
    pub root: Arc<Dentry>,
    /// What was mounted, as `/proc/mounts` shows it.
    pub source: String,
    pub(crate) shared: Arc<Shared>,
    options: AtomicU32,
    at: Lock<Option<At>, { rank::LEAF }>,
}

/// Where a mount sits.
#[derive(Clone)]
struct At {
    mount: Arc<Mount>,
    dentry: Arc<Dentry>,
}

impl Mount {
    /// Returns the flags.
    #[inline]
    pub fn options(&self) -> MountOptions {
        MountOptions::from_bits_truncate(self.options.load(Ordering::Relaxed))
    }

    /// Says whether nothing may be written through this mount.
    #[inline]
    pub fn is_read_only(&self) -> bool {
        self.options().contains(MountOptions::READ_ONLY) || self.tree.read_only.load(Ordering::Relaxed)
    }

    /// Says whether the file system itself is read-only, through whichever mount.
    pub fn is_tree_read_only(&self) -> bool {
        self.tree.read_only.load(Ordering::Relaxed)
    }

    /// Checks that something may be written.
    ///
    /// # Errors
    /// `EROFS`.
    #[inline]
    pub fn check_writable(&self) -> Result<()> {
        if self.is_read_only() { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// Returns the place that the mount covers; `None` for the root mount and one that was detached.
    pub fn covered(&self) -> Option<Place> {
        let at = self.at.lock().clone()?;
        Some(Place { mount: at.mount, dentry: at.dentry })
    }

    /// Returns the root of the mount as a place.
    pub fn root_place(self: &Arc<Self>) -> Place {
        Place { mount: Arc::clone(self), dentry: Arc::clone(&self.root) }
    }

    /// Returns the system that the mount belongs to.
    pub fn vfs(&self) -> Vfs {
        Vfs { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.tree.mounts.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Children hold their parents and parents remember their children: the last mount cuts that ring.
            self.tree.root.dissolve();
        }
    }
}

/// All mounts.
#[derive(Default)]
pub(crate) struct Mounts {
    list: Vec<Arc<Mount>>,
    /// The mount on top at a place, by the number of the mount below and the address of the dentry.
    on: HashMap<(u32, usize), Arc<Mount>>,
    next_id: u32,
}

fn key(mount: &Mount, dentry: &Arc<Dentry>) -> (u32, usize) {
    (mount.id, Arc::as_ptr(dentry).addr())
}

/// How [`Vfs::unmount`] unmounts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unmount {
    /// Only if nobody uses it, else `EBUSY`.
    IfUnused,
    /// Now, with everything mounted below; users keep what they have (`MNT_DETACH`).
    Detach,
}

impl Vfs {
    fn new_mount(
        &self,
        mounts: &mut Mounts,
        tree: Arc<Tree>,
        root: Arc<Dentry>,
        source: &str,
        options: MountOptions,
    ) -> Arc<Mount> {
        mounts.next_id += 1;
        tree.mounts.fetch_add(1, Ordering::AcqRel);
        Arc::new(Mount {
            id: mounts.next_id,
            tree,
            root,
            source: String::from(source),
            shared: Arc::clone(&self.shared),
            options: AtomicU32::new(options.bits()),
            at: Lock::new(None),
        })
    }

    /// Makes a mount that is reachable from nowhere: the first root, or one for internal files.
    pub fn mount_internal(&self, file_system: Arc<dyn FileSystem>, source: &str) -> Arc<Mount> {
        let tree = Tree::new(file_system);
        let root = Arc::clone(&tree.root);
        self.new_mount(&mut self.shared.mounts.lock(), tree, root, source, MountOptions::REL_ATIME)
    }

    /// Makes the root mount.
    pub fn mount_root(&self, file_system: Arc<dyn FileSystem>, source: &str) -> Place {
        let mount = self.mount_internal(file_system, source);
        self.shared.mounts.lock().list.push(Arc::clone(&mount));
        mount.root_place()
    }

    /// Mounts a file system at a place (`mount(2)`); permission is the caller's matter.
    ///
    /// # Errors
    /// `ENOTDIR` if one of place and root is a directory and the other is not, `ENOENT` if the place was removed.
    pub fn mount(
        &self,
        file_system: Arc<dyn FileSystem>,
        source: &str,
        at: &Place,
        options: MountOptions,
    ) -> Result<Arc<Mount>> {
        self.mount_tree(Tree::new(file_system), source, at, options)
    }

    /// Mounts a tree that may be mounted elsewhere already.
    ///
    /// # Errors
    /// As for [`Vfs::mount`].
    pub fn mount_tree(
        &self,
        tree: Arc<Tree>,
        source: &str,
        at: &Place,
        options: MountOptions,
    ) -> Result<Arc<Mount>> {
        let at = at.topmost();
        check_kinds(&tree.root, &at)?;
        let mut mounts = self.shared.mounts.lock();
        let root = Arc::clone(&tree.root);
        let mount = self.new_mount(&mut mounts, tree, root, source, options);
        attach(&mut mounts, &mount, &at);
        Ok(mount)
    }

    /// Makes `from` visible at `at`, too (`MS_BIND`); with `recursive` also what is mounted below (`MS_REC`).
    ///
    /// # Errors
    /// As for [`Vfs::mount`].
    pub fn bind(&self, from: &Place, at: &Place, recursive: Recursive) -> Result<Arc<Mount>> {
        let at = at.topmost();
        check_kinds(&from.dentry, &at)?;
        let mut mounts = self.shared.mounts.lock();
        let tree = Arc::clone(&from.mount.tree);
        let options = from.mount.options();
        let top = self.new_mount(&mut mounts, tree, Arc::clone(&from.dentry), &from.mount.source, options);
        // Copies are attached from the top down; the list grows behind what is looked at, so it is taken before.
        let originals = mounts.list.clone();
        attach(&mut mounts, &top, &at);
        if recursive == Recursive::Yes {
            let mut copies = alloc::vec![(Arc::clone(&from.mount), Arc::clone(&top))];
            let mut done = 0;
            while let Some((original, copy)) = copies.get(done).cloned() {
                done += 1;
                for child in &originals {
                    let Some(covered) = child.covered() else { continue };
                    if !Arc::ptr_eq(&covered.mount, &original) || !covered.dentry.is_below(&copy.root) {
                        continue;
                    }
                    let tree = Arc::clone(&child.tree);
                    let root = Arc::clone(&child.root);
                    let new = self.new_mount(&mut mounts, tree, root, &child.source, child.options());
                    let place = Place { mount: Arc::clone(&copy), dentry: covered.dentry };
                    attach(&mut mounts, &new, &place);
                    copies.push((Arc::clone(child), new));
                }
            }
        }
        Ok(top)
    }

    /// Moves a mount to another place (`MS_MOVE`).
    ///
    /// # Errors
    /// `EINVAL` if `from` is not the root of a mount, or the root mount; `ELOOP` if `at` lies below it.
    pub fn move_mount(&self, from: &Place, at: &Place) -> Result<()> {
        let at = at.topmost();
        let mount = &from.mount;
        if !Arc::ptr_eq(&from.dentry, &mount.root) {
            return Err(Errno::EINVAL);
        }
        let mut mounts = self.shared.mounts.lock();
        let Some(covered) = mount.covered() else { return Err(Errno::EINVAL) };
        let mut above = Some(Arc::clone(&at.mount));
        while let Some(this) = above {
            if Arc::ptr_eq(&this, mount) {
                return Err(Errno::ELOOP);
            }
            above = this.covered().map(|c| c.mount);
        }
        check_kinds(&mount.root, &at)?;
        detach(&mut mounts, mount, &covered);
        attach(&mut mounts, mount, &at);
        Ok(())
    }

    /// Changes the flags of a mount (`MS_REMOUNT | MS_BIND`).
    pub fn set_mount_options(&self, mount: &Mount, options: MountOptions) {
        mount.options.store(options.bits(), Ordering::Relaxed);
    }

    /// Changes whether the whole file system may be written to, and its own options (`MS_REMOUNT`).
    ///
    /// # Errors
    /// `EROFS` to make writable what cannot be, `EBUSY` to make read-only where files are open for writing, `EINVAL` for the
    /// options.
    pub fn remount(&self, mount: &Mount, options: MountOptions, own: &[u8]) -> Result<()> {
        let read_only = options.contains(MountOptions::READ_ONLY);
        if !read_only && mount.tree.file_system.read_only() {
            return Err(Errno::EROFS);
        }
        if read_only && !mount.is_tree_read_only() && mount.tree.writers.load(Ordering::Acquire) > 0 {
            return Err(Errno::EBUSY);
        }
        mount.tree.file_system.remount(own)?;
        mount.tree.read_only.store(read_only, Ordering::Relaxed);
        self.set_mount_options(mount, options);
        Ok(())
    }

    /// Takes a mount away (`umount2(2)`); `place` is its root.
    ///
    /// # Errors
    /// `EINVAL` if the place is not the root of a mount or of the root mount; `EBUSY` if it is in use.
    pub fn unmount(&self, place: &Place, how: Unmount) -> Result<()> {
        let mount = Arc::clone(&place.mount);
        if !Arc::ptr_eq(&place.dentry, &mount.root) {
            return Err(Errno::EINVAL);
        }
        let gone = {
            let mut mounts = self.shared.mounts.lock();
            let Some(covered) = mount.covered() else { return Err(Errno::EINVAL) };
            let mut below = alloc::vec![Arc::clone(&mount)];
            let mut done = 0;
            while let Some(parent) = below.get(done).cloned() {
                done += 1;
                let children = mounts
                    .list
                    .iter()
                    .filter(|m| m.covered().is_some_and(|c| Arc::ptr_eq(&c.mount, &parent)));
                below.extend(children.cloned().collect::<Vec<_>>());
            }
            if how == Unmount::IfUnused {
                // The table, its index, `below`, `mount` and the caller's place hold one reference each.
                if below.len() > 1 || Arc::strong_count(&mount) > 5 {
                    return Err(Errno::EBUSY);
                }
            }
            detach(&mut mounts, &mount, &covered);
            // DEVIATION: Linux keeps what is mounted inside reachable for those who are still there; here it goes, too, and
            // what it covered shows.
            for child in &below[1..] {
                if let Some(covered) = child.covered() {
                    detach(&mut mounts, child, &covered);
                }
            }
            below
        };
        drop(gone);
        mount.tree.file_system.sync()
    }

    /// Returns all mounts in the order in which they were made.
    pub fn mount_list(&self) -> Vec<Arc<Mount>> {
        self.shared.mounts.lock().list.clone()
    }

    /// Gives back memory that only speeds things up: names that nobody uses, and what file systems can read again. Asked
    /// for about so many pages; returns how many entries and pages went.
    pub fn reclaim(&self, pages: usize) -> usize {
        let mut gone = 0;
        for mount in self.mount_list() {
            gone += mount.tree.root.prune();
            gone += mount.tree.file_system.shrink(pages);
        }
        gone
    }

    /// Returns the mount on top of a place.
    pub(crate) fn mounted_on(&self, mount: &Mount, dentry: &Arc<Dentry>) -> Option<Arc<Mount>> {
        self.shared.mounts.lock().on.get(&key(mount, dentry)).cloned()
    }
}

/// Whether what is mounted below comes along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recursive {
    /// It does.
    Yes,
    /// It stays.
    No,
}

fn check_kinds(root: &Dentry, at: &Place) -> Result<()> {
    if root.is_dir() != at.dentry.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    if at.dentry.is_removed() {
        return Err(Errno::ENOENT);
    }
    Ok(())
}

fn attach(mounts: &mut Mounts, mount: &Arc<Mount>, at: &Place) {
    *mount.at.lock() = Some(At { mount: Arc::clone(&at.mount), dentry: Arc::clone(&at.dentry) });
    at.dentry.count_mount();
    mounts.on.insert(key(&at.mount, &at.dentry), Arc::clone(mount));
    mounts.list.push(Arc::clone(mount));
}

fn detach(mounts: &mut Mounts, mount: &Arc<Mount>, covered: &Place) {
    mounts.on.remove(&key(&covered.mount, &covered.dentry));
    mounts.list.retain(|m| !Arc::ptr_eq(m, mount));
    covered.dentry.uncount_mount();
    let at = mount.at.lock().take();
    drop(at);
}
