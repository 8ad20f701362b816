//! The tree of names: which entries are known, and where each came from.
//!
//! A [`Dentry`] joins a node to its name and its parent. Directories remember their children, present and absent, so that
//! a walk along a known path is one hash look-up a component. All changes of a directory go through here
//! while its lock is held, so what is remembered is right.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use abi::{Errno, Result};
use hal::sync::{Lock, SleepGuard, SleepLock, rank};
use hashbrown::HashMap;

use crate::node::{Node, Remember};
use crate::types::{Kind, Name};

/// Absent names that a directory remembers at most.
const ABSENT_MAX: usize = 512;

/// A name in the tree, and the node that it names.
pub struct Dentry {
    node: Arc<dyn Node>,
    kind: Kind,
    remember: Remember,
    link: Lock<Link, { rank::DENTRY }>,
    children: Lock<Children, { rank::DENTRY }>,
    /// Held while entries are looked up in the node or changed (Linux's `i_rwsem` of a directory).
    lock: SleepLock<(), { rank::DIRECTORY }>,
    /// Mounts that sit on this dentry; zero saves the look-up.
    mounts: AtomicU32,
    removed: AtomicBool,
}

struct Link {
    parent: Option<Arc<Dentry>>,
    name: Name,
}

#[derive(Default)]
struct Children {
    map: HashMap<Name, Child>,
    absent: usize,
}

enum Child {
    Present(Arc<Dentry>),
    Absent,
}

/// What is known of a name.
pub(crate) enum Known {
    Present(Arc<Dentry>),
    Absent,
    Nothing,
}

impl Dentry {
    /// Makes the root of a tree, or a dentry outside of any.
    pub fn new_root(node: Arc<dyn Node>, name: &[u8]) -> Arc<Self> {
        Self::make(node, None, Arc::from(name))
    }

    fn make(node: Arc<dyn Node>, parent: Option<Arc<Self>>, name: Name) -> Arc<Self> {
        Arc::new(Self {
            kind: node.kind(),
            remember: node.remember(),
            node,
            link: Lock::new(Link { parent, name }),
            children: Lock::default(),
            lock: SleepLock::new(()),
            mounts: AtomicU32::new(0),
            removed: AtomicBool::new(false),
        })
    }

    /// Makes a dentry that its parent does not remember.
    pub(crate) fn new_loose(node: Arc<dyn Node>, parent: &Arc<Self>, name: &[u8]) -> Arc<Self> {
        Self::make(node, Some(Arc::clone(parent)), Arc::from(name))
    }

    /// Returns the node.
    #[inline]
    pub const fn node(&self) -> &Arc<dyn Node> {
        &self.node
    }

    /// Returns the node's file type.
    #[inline]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Says whether this is a directory.
    #[inline]
    pub fn is_dir(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Returns the parent; `None` for a root.
    pub fn parent(&self) -> Option<Arc<Self>> {
        self.link.lock().parent.clone()
    }

    /// Returns the name.
    pub fn name(&self) -> Name {
        Arc::clone(&self.link.lock().name)
    }

    /// Says whether the name has been removed from its directory.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub(crate) fn set_removed(&self) {
        self.removed.store(true, Ordering::Release);
    }

    /// Says whether something is mounted here.
    #[inline]
    pub fn is_mount_point(&self) -> bool {
        self.mounts.load(Ordering::Acquire) != 0
    }

    pub(crate) fn count_mount(&self) {
        self.mounts.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn uncount_mount(&self) {
        self.mounts.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn lock(&self) -> SleepGuard<'_, ()> {
        self.lock.lock()
    }

    /// Takes the lock while another directory's is held; the caller keeps an order.
    pub(crate) fn lock_nested(&self) -> SleepGuard<'_, ()> {
        self.lock.lock_nested()
    }

    /// Says whether `self` is `other` or lies below it.
    pub(crate) fn is_below(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        let mut at = Some(Arc::clone(self));
        while let Some(dentry) = at {
            if Arc::ptr_eq(&dentry, other) {
                return true;
            }
            at = dentry.parent();
        }
        false
    }

    #[inline]
    pub(crate) fn known(&self, name: &[u8]) -> Known {
        match self.children.lock().map.get(name) {
            Some(Child::Present(dentry)) => Known::Present(Arc::clone(dentry)),
            Some(Child::Absent) => Known::Absent,
            None => Known::Nothing,
        }
    }

    /// Finds an entry, taking the lock if the node has to be asked.
    ///
    /// # Errors
    /// `ENOENT`, and those of [`Node::lookup`].
    #[inline]
    pub fn child(self: &Arc<Self>, name: &[u8]) -> Result<Arc<Self>> {
        match self.known(name) {
            Known::Present(dentry) => Ok(dentry),
            Known::Absent => Err(Errno::ENOENT),
            Known::Nothing => {
                let _lock = self.lock();
                self.child_locked(name)
            }
        }
    }

    /// Finds an entry while the lock is held.
    pub(crate) fn child_locked(self: &Arc<Self>, name: &[u8]) -> Result<Arc<Self>> {
        match self.known(name) {
            Known::Present(dentry) => return Ok(dentry),
            Known::Absent => return Err(Errno::ENOENT),
            Known::Nothing => {}
        }
        if name.len() > crate::types::NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        match self.node.lookup(name) {
            Ok(node) => {
                let dentry = Self::new_loose(node, self, name);
                if self.remember == Remember::All {
                    self.insert(Arc::clone(&dentry));
                }
                Ok(dentry)
            }
            Err(Errno::ENOENT) => {
                self.forget_as_absent(name);
                Err(Errno::ENOENT)
            }
            Err(error) => Err(error),
        }
    }

    /// Remembers a child that was looked up or made; the lock is held.
    pub(crate) fn insert(&self, child: Arc<Self>) {
        let name = child.name();
        let mut children = self.children.lock();
        let before = children.map.insert(name, Child::Present(child));
        if matches!(before, Some(Child::Absent)) {
            children.absent -= 1;
        }
        drop(children);
        drop(before);
    }

    /// Makes the dentry of a node that was just created here; the lock is held.
    pub(crate) fn add_new(self: &Arc<Self>, name: &[u8], node: Arc<dyn Node>) -> Arc<Self> {
        let dentry = Self::new_loose(node, self, name);
        if self.remember == Remember::All {
            self.insert(Arc::clone(&dentry));
        }
        dentry
    }

    /// Notes that a name is absent; returns the dentry that had it. The lock is held.
    pub(crate) fn forget_as_absent(&self, name: &[u8]) -> Option<Arc<Self>> {
        let mut stale: Vec<Name> = Vec::new();
        let mut children = self.children.lock();
        let before = if self.remember == Remember::All {
            if children.absent >= ABSENT_MAX {
                stale = children
                    .map
                    .iter()
                    .filter(|(_, child)| matches!(child, Child::Absent))
                    .map(|(name, _)| Arc::clone(name))
                    .collect();
                for name in &stale {
                    children.map.remove(name);
                }
                children.absent = 0;
            }
            let before = children.map.insert(Arc::from(name), Child::Absent);
            if !matches!(before, Some(Child::Absent)) {
                children.absent += 1;
            }
            before
        } else {
            children.map.remove(name)
        };
        drop(children);
        drop(stale);
        match before {
            Some(Child::Present(dentry)) => Some(dentry),
            _ => None,
        }
    }

    /// Forgets what is known of a name; returns the dentry that had it. The lock is held.
    pub(crate) fn forget(&self, name: &[u8]) -> Option<Arc<Self>> {
        let mut children = self.children.lock();
        let before = children.map.remove(name);
        if matches!(before, Some(Child::Absent)) {
            children.absent -= 1;
        }
        drop(children);
        match before {
            Some(Child::Present(dentry)) => Some(dentry),
            _ => None,
        }
    }

    /// Moves a child to another name or parent; both locks are held, and the tree's rename lock.
    pub(crate) fn relink(self: &Arc<Self>, parent: &Arc<Self>, name: &[u8]) {
        let mut link = self.link.lock();
        let old_parent = link.parent.replace(Arc::clone(parent));
        let old_name = core::mem::replace(&mut link.name, Arc::from(name));
        drop(link);
        drop((old_parent, old_name));
        if parent.remember == Remember::All {
            parent.insert(Arc::clone(self));
        }
    }

    /// Forgets everything that nobody holds below this dentry; returns how many dentries went.
    pub fn prune(self: &Arc<Self>) -> usize {
        self.prune_below(&|child| Arc::strong_count(child) == 1)
    }

    /// Forgets the whole tree below a root that goes away.
    pub(crate) fn dissolve(self: &Arc<Self>) {
        self.prune_below(&|_| true);
    }

    fn prune_below(self: &Arc<Self>, unused: &dyn Fn(&Arc<Self>) -> bool) -> usize {
        // Depth first without recursion: a tree may be deeper than the stack.
        let mut order = Vec::new();
        let mut next = alloc::vec![Arc::clone(self)];
        while let Some(dentry) = next.pop() {
            let children = dentry.children.lock();
            for child in children.map.values() {
                if let Child::Present(child) = child
                    && child.is_dir()
                {
                    next.push(Arc::clone(child));
                }
            }
            drop(children);
            order.push(dentry);
        }
        let mut gone = 0;
        while let Some(dentry) = order.pop() {
            let mut taken: Vec<Child> = Vec::new();
            let mut children = dentry.children.lock();
            children.absent = 0;
            let names: Vec<Name> = children
                .map
                .iter()
                .filter(|(_, child)| match child {
                    // A directory in hand was counted once more by `order`, which has let it go by now.
                    Child::Present(child) => !child.is_mount_point() && unused(child),
                    Child::Absent => true,
                })
                .map(|(name, _)| Arc::clone(name))
                .collect();
            for name in &names {
                if let Some(child) = children.map.remove(name) {
                    taken.push(child);
                }
            }
            children.map.shrink_to_fit();
            drop(children);
            gone += taken.len();
        }
        gone
    }
}

impl Drop for Dentry {
    /// Lets go of the parents in a loop: a chain of thousands must not become that deep a recursion.
    fn drop(&mut self) {
        let mut next = self.link.get_mut().parent.take();
        while let Some(mut parent) = next.and_then(Arc::into_inner) {
            next = parent.link.get_mut().parent.take();
        }
    }
}

impl core::fmt::Debug for Dentry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Dentry({:?})", alloc::string::String::from_utf8_lossy(&self.name()))
    }
}
