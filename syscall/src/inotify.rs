//! Events of files (`inotify(7)`).
//!
//! The [`Hub`] is what the tree of files reports to. It holds every watch of the system by node; an [`Inotify`]
//! instance holds its queue of events. A watch keeps its node, so that a node's address names it as long as it is watched.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::inotify::{
    IN_ALL_EVENTS, IN_DELETE, IN_DELETE_SELF, IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR, IN_MASK_ADD,
    IN_MASK_CREATE, IN_MOVE_SELF, IN_ONESHOT, IN_Q_OVERFLOW, IN_UNMOUNT, InotifyEvent,
};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Dest, Readiness, WaitQueue};
use vfs::{Event, Events, Node};
use zerocopy::IntoBytes;

use crate::eventfd::push_whole;
use crate::system::System;
use crate::vm::{self, Keep};

/// Events that wait in one instance at most (`/proc/sys/fs/inotify/max_queued_events`).
pub const MAX_QUEUED: usize = 16384;
/// Watches of the whole system at most (`/proc/sys/fs/inotify/max_user_watches`).
pub const MAX_WATCHES: u32 = 65536;

/// Hears of everything that happens to files.
pub struct Hub {
    system: spin::Once<Weak<System>>,
    watches: Lock<BTreeMap<usize, Vec<Watched>>, { rank::EPOLL }>,
    count: AtomicU32,
}

/// One watch, as the hub finds it by its node.
struct Watched {
    node: Arc<dyn Node>,
    instance: Weak<Inotify>,
    wd: i32,
    mask: u32,
}

/// An inotify instance.
pub struct Inotify {
    this: Weak<Self>,
    hub: Arc<Hub>,
    state: Lock<State, { rank::OBJECT }>,
    queue: Arc<WaitQueue>,
}

#[derive(Default)]
struct State {
    events: VecDeque<Record>,
    /// The node of each watch, by descriptor.
    nodes: BTreeMap<i32, usize>,
    last_wd: i32,
}

#[derive(Clone, PartialEq, Eq)]
struct Record {
    wd: i32,
    mask: u32,
    cookie: u32,
    name: Vec<u8>,
}

impl Record {
    /// Returns the bytes that the name takes: with its NUL, padded to the size of an event.
    fn name_len(&self) -> usize {
        if self.name.is_empty() {
            0
        } else {
            (self.name.len() + 1).next_multiple_of(size_of::<InotifyEvent>())
        }
    }

    fn len(&self) -> usize {
        size_of::<InotifyEvent>() + self.name_len()
    }

    fn bytes(&self) -> Vec<u8> {
        #[expect(clippy::cast_possible_truncation, reason = "a name has at most 255 bytes")]
        let len = self.name_len() as u32;
        let head = InotifyEvent { wd: self.wd, mask: self.mask, cookie: self.cookie, len };
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend_from_slice(&self.name);
        bytes.resize(self.len(), 0);
        bytes
    }
}

fn address(node: &Arc<dyn Node>) -> usize {
    Arc::as_ptr(node).addr()
}

impl Hub {
    /// Makes a hub that knows no watch; [`Hub::connect`] completes it.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { system: spin::Once::new(), watches: Lock::default(), count: AtomicU32::new(0) })
    }

    /// Tells the hub which system it belongs to.
    pub fn connect(self: &Arc<Self>, system: &Arc<System>) {
        self.system.call_once(|| Arc::downgrade(system));
        system.files.hub.call_once(|| Arc::clone(self));
    }

    /// Tells the tree of files whether anybody listens.
    fn update(&self) {
        if let Some(system) = self.system.get().and_then(Weak::upgrade) {
            system.vfs.set_watched(self.count.load(Ordering::SeqCst) > 0);
        }
    }

    /// Reports an event to those who watch a node; `name` is that of the entry for whoever watches the directory.
    fn report(&self, node: &Arc<dyn Node>, mask: u32, name: &[u8], cookie: u32, unlinked: bool) {
        let hears: Vec<(Arc<Inotify>, i32, u32)> = {
            let watches = self.watches.lock();
            let Some(list) = watches.get(&address(node)) else { return };
            list.iter()
                .filter(|w| w.mask & mask & IN_ALL_EVENTS != 0 && !(unlinked && w.mask & IN_EXCL_UNLINK != 0))
                .filter_map(|w| Some((w.instance.upgrade()?, w.wd, w.mask)))
                .collect()
        };
        for (instance, wd, wish) in hears {
            instance.push(Record { wd, mask, cookie, name: name.to_vec() });
            if wish & IN_ONESHOT != 0 {
                instance.drop_watch(wd);
            }
        }
    }

    /// Ends every watch of a node that is gone.
    fn forget(&self, node: &Arc<dyn Node>) {
        let gone = self.watches.lock().remove(&address(node)).unwrap_or_default();
        for watched in &gone {
            self.count.fetch_sub(1, Ordering::SeqCst);
            if let Some(instance) = watched.instance.upgrade() {
                instance.state.lock().nodes.remove(&watched.wd);
                instance.push(Record { wd: watched.wd, mask: IN_IGNORED, cookie: 0, name: Vec::new() });
            }
        }
        self.update();
    }
}

impl Events for Hub {
    fn happened(&self, event: &Event<'_>) {
        let mask = event.mask & !IN_ISDIR;
        // What happens to a node itself is told to those who watch it without a name, without the directory bit for the
        // events that end in `_SELF`.
        let about_self = matches!(mask, IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT);
        if let Some((directory, name)) = event.entry
            && !about_self
        {
            self.report(directory, event.mask, name, event.cookie, false);
        }
        if let Some(node) = event.node {
            let of_entry = matches!(
                mask,
                IN_DELETE | abi::inotify::IN_CREATE | abi::inotify::IN_MOVED_FROM | abi::inotify::IN_MOVED_TO
            );
            if !of_entry {
                let shown = if about_self { mask } else { event.mask };
                self.report(node, shown, b"", event.cookie, false);
            }
            if mask == IN_DELETE_SELF || mask == IN_UNMOUNT {
                self.forget(node);
            }
        }
    }

    fn unmap(&self, node: &Arc<dyn Node>, pages: Range<u64>) {
        if let Some(system) = self.system.get().and_then(Weak::upgrade) {
            let identity = vm::identity(node);
            // Pages up to the end go where the file was cut, or moved within.
            let keep = if pages.end == u64::MAX { Keep::Nothing } else { Keep::Private };
            for process in system.processes() {
                if let Some(vm) = process.try_vm() {
                    vm.unmap_source(identity, pages.clone(), keep);
                }
            }
        }
    }
}

impl Inotify {
    /// Makes an instance without watches.
    pub fn new(hub: &Arc<Hub>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            hub: Arc::clone(hub),
            state: Lock::default(),
            queue: WaitQueue::new(),
        })
    }

    /// Returns who waits for events.
    pub const fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// Says whether an event waits.
    pub fn readiness(&self) -> Readiness {
        if self.state.lock().events.is_empty() { Readiness::empty() } else { Readiness::READ }
    }

    /// Returns the bytes that a read would get (`FIONREAD`).
    pub fn available(&self) -> usize {
        self.state.lock().events.iter().map(Record::len).sum()
    }

    fn push(&self, record: Record) {
        {
            let mut state = self.state.lock();
            // An event equal to the last one that nobody has read yet is left out.
            if state.events.back() == Some(&record) {
                return;
            }
            let record = if state.events.len() < MAX_QUEUED {
                record
            } else if state.events.back().is_some_and(|last| last.mask == IN_Q_OVERFLOW) {
                return;
            } else {
                Record { wd: -1, mask: IN_Q_OVERFLOW, cookie: 0, name: Vec::new() }
            };
            state.events.push_back(record);
        }
        self.queue.wake(Readiness::READ);
    }

    /// Reads as many whole events as fit.
    ///
    /// # Errors
    /// `EAGAIN` if there is none, `EINVAL` if the next one does not fit, `EFAULT`.
    pub fn read(&self, to: &mut Dest<'_>) -> Result<usize> {
        let mut done = 0;
        loop {
            let record = {
                let mut state = self.state.lock();
                match state.events.front() {
                    None if done == 0 => return Err(Errno::EAGAIN),
                    Some(next) if next.len() > to.remaining() && done == 0 => return Err(Errno::EINVAL),
                    Some(next) if next.len() <= to.remaining() => {}
                    _ => return Ok(done),
                }
                state.events.pop_front()
            };
            let Some(record) = record else { return Ok(done) };
            match push_whole(to, &record.bytes()) {
                Ok(len) => done += len,
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
        }
    }

    /// Watches a node, or changes the watch that there is; returns its descriptor.
    ///
    /// # Errors
    /// `EEXIST` if there is one and `IN_MASK_CREATE` is set, `ENOSPC` if there are too many.
    pub fn watch(&self, node: &Arc<dyn Node>, mask: u32) -> Result<i32> {
        let wish = mask & (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT);
        let mut watches = self.hub.watches.lock();
        let list = watches.entry(address(node)).or_default();
        let mine = list.iter_mut().find(|w| core::ptr::eq(w.instance.as_ptr(), self));
        if let Some(watched) = mine {
            if mask & IN_MASK_CREATE != 0 {
                return Err(Errno::EEXIST);
            }
            watched.mask = if mask & IN_MASK_ADD != 0 { watched.mask | wish } else { wish };
            return Ok(watched.wd);
        }
        if self.hub.count.load(Ordering::SeqCst) >= MAX_WATCHES {
            return Err(Errno::ENOSPC);
        }
        let wd = {
            let mut state = self.state.lock();
            state.last_wd += 1;
            let wd = state.last_wd;
            state.nodes.insert(wd, address(node));
            wd
        };
        list.push(Watched { node: Arc::clone(node), instance: Weak::clone(&self.this), wd, mask: wish });
        drop(watches);
        self.hub.count.fetch_add(1, Ordering::SeqCst);
        self.hub.update();
        Ok(wd)
    }

    /// Ends a watch (`inotify_rm_watch(2)`).
    ///
    /// # Errors
    /// `EINVAL` if there is no such watch.
    pub fn unwatch(&self, wd: i32) -> Result<()> {
        if self.drop_watch(wd) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn drop_watch(&self, wd: i32) -> bool {
        let Some(node) = self.state.lock().nodes.remove(&wd) else { return false };
        self.leave(wd, node);
        self.push(Record { wd, mask: IN_IGNORED, cookie: 0, name: Vec::new() });
        self.hub.update();
        true
    }

    /// Takes a watch out of the hub.
    fn leave(&self, wd: i32, node: usize) {
        let mut gone = Vec::new();
        let mut watches = self.hub.watches.lock();
        if let Some(list) = watches.get_mut(&node) {
            let mine = |w: &mut Watched| w.wd == wd && core::ptr::eq(w.instance.as_ptr(), self);
            gone.extend(list.extract_if(.., mine));
            if list.is_empty() {
                watches.remove(&node);
            }
        }
        drop(watches);
        self.hub.count.fetch_sub(u32::try_from(gone.len()).unwrap_or(0), Ordering::SeqCst);
    }

    /// Calls back with each watch: descriptor, node and mask, for `/proc/self/fdinfo`.
    pub fn each(&self, mut found: impl FnMut(i32, &Arc<dyn Node>, u32)) {
        let nodes: Vec<(i32, usize)> =
            self.state.lock().nodes.iter().map(|(wd, node)| (*wd, *node)).collect();
        for (wd, node) in nodes {
            let watched = {
                let watches = self.hub.watches.lock();
                let list = watches.get(&node);
                list.and_then(|l| l.iter().find(|w| w.wd == wd && core::ptr::eq(w.instance.as_ptr(), self)))
                    .map(|w| (Arc::clone(&w.node), w.mask))
            };
            if let Some((node, mask)) = watched {
                found(wd, &node, mask);
            }
        }
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        let nodes = core::mem::take(&mut self.state.get_mut().nodes);
        for (wd, node) in nodes {
            self.leave(wd, node);
        }
        self.hub.update();
    }
}
