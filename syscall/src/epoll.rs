//! Interest lists and ready lists (`epoll(7)`).
//!
//! An [`Item`] joins an epoll instance to an open file description, and is itself the waker that the description's
//! wait queue calls: it then puts itself on the instance's ready list. So waiting costs what is ready, not what is
//! registered. Readiness is looked at only when events are collected: a wake-up says "look again", no more.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;

use abi::poll::{EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EPOLLWAKEUP, EpollEvent};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Readiness, WaitQueue};

use crate::proc::{Description, Object, Sharing, Thread, Watch};

/// How deep instances may watch each other (`EP_MAX_NESTS` and the one on top).
pub const MAX_NESTS: u32 = 5;

/// Bits of an event that are options, not events (`EP_PRIVATE_BITS`).
const OPTIONS: u32 = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;

/// An epoll instance.
pub struct Epoll {
    items: Lock<BTreeMap<Key, Arc<Item>>, { rank::EPOLL }>,
    ready: Lock<VecDeque<Arc<Item>>, { rank::EPOLL_READY }>,
    /// Threads in `epoll_wait`.
    waiters: Arc<WaitQueue>,
    /// Those who watch the instance itself: `poll`, and other instances.
    pollers: Arc<WaitQueue>,
}

/// A descriptor and the address of its description: one description may be registered under several numbers.
type Key = (i32, usize);

/// One registration.
pub struct Item {
    epoll: Weak<Epoll>,
    description: Weak<Description>,
    fd: i32,
    wish: Lock<Wish, { rank::LEAF }>,
    /// On the ready list, or about to be.
    queued: AtomicBool,
    removed: AtomicBool,
    watch: Lock<Option<Watch>, { rank::LEAF }>,
}

#[derive(Clone, Copy)]
struct Wish {
    events: u32,
    data: u64,
}

impl Wake for Item {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(epoll) = self.epoll.upgrade()
            && epoll.enqueue(self)
        {
            epoll.wake();
        }
    }
}

impl Item {
    /// Returns the events that the item waits for and that are there now.
    fn ready_events(&self, description: &Description, thread: &Thread, depth: u32) -> u32 {
        let wanted = self.wish.lock().events;
        // A one-shot registration that has fired waits for nothing, not even for errors.
        if wanted & !OPTIONS == 0 {
            return 0;
        }
        description.readiness_within(thread, depth).bits() & wanted
    }

    fn watch(self: &Arc<Self>, description: &Description, thread: &Thread) {
        let wish = self.wish.lock().events;
        let sharing = if wish & EPOLLEXCLUSIVE != 0 { Sharing::Exclusive } else { Sharing::All };
        let waker = Waker::from(Arc::clone(self));
        let interest = Readiness::from_bits_truncate(wish);
        let watch = description.watch(thread, interest, &waker, sharing);
        let old = self.watch.lock().replace(watch);
        drop(old);
    }

    fn disconnect(&self) {
        self.removed.store(true, Ordering::SeqCst);
        let watch = self.watch.lock().take();
        drop(watch);
    }

    /// Takes the registration out, because its description is gone.
    pub(crate) fn description_closed(&self, address: usize) {
        self.disconnect();
        if let Some(epoll) = self.epoll.upgrade() {
            let gone = epoll.items.lock().remove(&(self.fd, address));
            drop(gone);
        }
    }
}

/// Events that were collected, with their items.
pub struct Collected {
    items: Vec<Arc<Item>>,
    /// What the application gets.
    pub events: Vec<EpollEvent>,
}

impl Epoll {
    /// Makes an instance that watches nothing.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            items: Lock::default(),
            ready: Lock::default(),
            waiters: WaitQueue::new(),
            pollers: WaitQueue::new(),
        })
    }

    /// Puts an item on the ready list unless it is there.
    fn enqueue(&self, item: &Arc<Item>) -> bool {
        if item.removed.load(Ordering::SeqCst) || item.queued.swap(true, Ordering::SeqCst) {
            return false;
        }
        self.ready.lock().push_back(Arc::clone(item));
        true
    }

    fn wake(&self) {
        self.waiters.wake(Readiness::READ);
        self.pollers.wake(Readiness::READ);
    }

    /// Returns the queue of those in `epoll_wait`.
    pub const fn waiters(&self) -> &Arc<WaitQueue> {
        &self.waiters
    }

    /// Returns the queue of those who watch the instance.
    pub const fn pollers(&self) -> &Arc<WaitQueue> {
        &self.pollers
    }

    /// Registers a description (`EPOLL_CTL_ADD`).
    ///
    /// # Errors
    /// `EEXIST` if it is registered under that number already.
    pub fn add(
        self: &Arc<Self>,
        fd: i32,
        description: &Arc<Description>,
        event: EpollEvent,
        thread: &Thread,
    ) -> Result<()> {
        let (events, data) = (event.events, event.data);
        let item = Arc::new(Item {
            epoll: Arc::downgrade(self),
            description: Arc::downgrade(description),
            fd,
            wish: Lock::new(Wish { events: with_always(events), data }),
            queued: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            watch: Lock::new(None),
        });
        {
            let mut items = self.items.lock();
            let key = (fd, Arc::as_ptr(description).addr());
            if items.contains_key(&key) {
                return Err(Errno::EEXIST);
            }
            items.insert(key, Arc::clone(&item));
        }
        description.add_watcher(&item);
        self.look(&item, description, thread);
        Ok(())
    }

    /// Changes a registration (`EPOLL_CTL_MOD`).
    ///
    /// # Errors
    /// `ENOENT` if there is none, `EINVAL` if it was made with `EPOLLEXCLUSIVE`.
    pub fn modify(
        &self,
        fd: i32,
        description: &Arc<Description>,
        event: EpollEvent,
        thread: &Thread,
    ) -> Result<()> {
        let item = self.find(fd, description).ok_or(Errno::ENOENT)?;
        {
            let mut wish = item.wish.lock();
            if wish.events & EPOLLEXCLUSIVE != 0 {
                return Err(Errno::EINVAL);
            }
            *wish = Wish { events: with_always(event.events), data: event.data };
        }
        self.look(&item, description, thread);
        Ok(())
    }

    /// Registers the item's waker, and then looks whether something is ready already.
    fn look(&self, item: &Arc<Item>, description: &Description, thread: &Thread) {
        item.watch(description, thread);
        if item.ready_events(description, thread, 0) != 0 && self.enqueue(item) {
            self.wake();
        }
    }

    /// Takes a registration out (`EPOLL_CTL_DEL`).
    ///
    /// # Errors
    /// `ENOENT` if there is none.
    pub fn remove(&self, fd: i32, description: &Arc<Description>) -> Result<()> {
        let key = (fd, Arc::as_ptr(description).addr());
        let item = self.items.lock().remove(&key).ok_or(Errno::ENOENT)?;
        item.disconnect();
        description.remove_watcher(&item);
        self.ready.lock().retain(|i| !Arc::ptr_eq(i, &item));
        Ok(())
    }

    fn find(&self, fd: i32, description: &Arc<Description>) -> Option<Arc<Item>> {
        self.items.lock().get(&(fd, Arc::as_ptr(description).addr())).cloned()
    }

    /// Collects at most `max` events that are there now. [`Self::delivered`] or [`Self::undelivered`] follows.
    pub fn collect(&self, thread: &Thread, max: usize) -> Collected {
        let mut collected = Collected { items: Vec::new(), events: Vec::new() };
        // What comes in meanwhile goes to the back of the list and waits for the next call.
        let mut left = self.ready.lock().len();
        while left > 0 && collected.events.len() < max {
            left -= 1;
            let Some(item) = self.ready.lock().pop_front() else { break };
            item.queued.store(false, Ordering::SeqCst);
            if item.removed.load(Ordering::SeqCst) {
                continue;
            }
            let Some(description) = item.description.upgrade() else { continue };
            let events = item.ready_events(&description, thread, 0);
            if events == 0 {
                continue;
            }
            let data = item.wish.lock().data;
            collected.events.push(EpollEvent { events, data });
            collected.items.push(item);
        }
        collected
    }

    /// Notes that the application has got the events: one-shot registrations fall asleep, level-triggered ones stay ready.
    pub fn delivered(&self, collected: &Collected) {
        for item in &collected.items {
            let mut wish = item.wish.lock();
            let events = wish.events;
            if events & EPOLLONESHOT != 0 {
                wish.events &= OPTIONS;
            }
            drop(wish);
            if events & (EPOLLONESHOT | EPOLLET) == 0 {
                self.enqueue(item);
            }
        }
        self.pass_on();
    }

    /// Notes that the application could not get the events.
    pub fn undelivered(&self, collected: &Collected) {
        for item in &collected.items {
            self.enqueue(item);
        }
        self.pass_on();
    }

    /// Lets another waiter look at what is still there.
    fn pass_on(&self) {
        let more = !self.ready.lock().is_empty();
        if more {
            self.waiters.wake(Readiness::READ);
        }
    }

    /// Says whether an event can be collected. Items that turn out not to be ready leave the ready list.
    pub fn readiness(&self, thread: &Thread, depth: u32) -> Readiness {
        let mut left = self.ready.lock().len();
        while left > 0 {
            left -= 1;
            let Some(item) = self.ready.lock().pop_front() else { break };
            item.queued.store(false, Ordering::SeqCst);
            let Some(description) = item.description.upgrade() else { continue };
            if item.ready_events(&description, thread, depth) != 0 {
                if !item.removed.load(Ordering::SeqCst) && !item.queued.swap(true, Ordering::SeqCst) {
                    self.ready.lock().push_front(item);
                }
                return Readiness::READ;
            }
        }
        Readiness::empty()
    }

    /// Says whether watching this instance from `top` would close a loop or nest too deep; `depth` is 0 at first.
    pub fn leads_to(&self, top: &Arc<Self>, depth: u32) -> bool {
        if core::ptr::eq(self, Arc::as_ptr(top)) || depth >= MAX_NESTS {
            return true;
        }
        let items: Vec<Arc<Item>> = self.items.lock().values().cloned().collect();
        items.iter().filter_map(|i| i.description.upgrade()).any(|d| match d.object() {
            Object::Epoll(inner) => inner.leads_to(top, depth + 1),
            _ => false,
        })
    }

    /// Calls back with each registration's descriptor, events, data and description, for `/proc/self/fdinfo`.
    pub fn each(&self, mut found: impl FnMut(i32, u32, u64, &Description)) {
        let items: Vec<Arc<Item>> = self.items.lock().values().cloned().collect();
        for item in items {
            if let Some(description) = item.description.upgrade() {
                let wish = *item.wish.lock();
                found(item.fd, wish.events, wish.data, &description);
            }
        }
    }
}

/// Errors and hang-ups are always reported.
const fn with_always(events: u32) -> u32 {
    events | Readiness::ALWAYS.bits()
}

impl Drop for Epoll {
    fn drop(&mut self) {
        let items = core::mem::take(self.items.get_mut());
        for item in items.values() {
            item.disconnect();
            if let Some(description) = item.description.upgrade() {
                description.remove_watcher(item);
            }
        }
        self.ready.get_mut().clear();
    }
}
