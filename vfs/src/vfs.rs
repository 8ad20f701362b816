//! The system of files as a whole: its mounts, its clock, and who hears of events.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use hal::sync::{Lock, SleepLock, rank};
use hal::{Clock, Entropy};

use crate::events::{Event, Events};
use crate::lock::LockTable;
use crate::mount::Mounts;
use crate::node::Node;
use crate::types::Time;

/// What this crate needs from the machine and from the layer above.
#[derive(Clone)]
pub struct Environment {
    /// Time.
    pub clock: &'static dyn Clock,
    /// Random bytes, for the devices that give them.
    pub entropy: &'static dyn Entropy,
    /// Hears of events.
    pub events: Arc<dyn Events>,
}

/// A setting `/proc/sys/fs/protected_*` (`proc_sys_fs(5)`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protection {
    /// `protected_hardlinks`: no links to files of others that one may not read and write.
    Hardlinks,
    /// `protected_symlinks`: no links of others are followed in sticky directories that all may write to.
    Symlinks,
    /// `protected_regular`: `O_CREAT` does not open files of others in such directories.
    Regular,
    /// `protected_fifos`: the same for fifos.
    Fifos,
}

/// One system of files; cloning gives another handle to it.
#[derive(Clone)]
pub struct Vfs {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) environment: Environment,
    pub(crate) mounts: Lock<Mounts, { rank::MOUNTS }>,
    /// Held while a directory moves, so that the tree above a place stands still.
    pub(crate) renames: SleepLock<(), { rank::RENAME }>,
    pub(crate) locks: LockTable,
    protection: [AtomicU32; 4],
    watched: AtomicBool,
    cookies: AtomicU32,
}

impl Vfs {
    /// Makes a system without mounts.
    pub fn new(environment: Environment) -> Self {
        Self {
            shared: Arc::new(Shared {
                environment,
                mounts: Lock::default(),
                renames: SleepLock::new(()),
                locks: LockTable::default(),
                protection: [const { AtomicU32::new(0) }; 4],
                watched: AtomicBool::new(false),
                cookies: AtomicU32::new(0),
            }),
        }
    }

    /// Returns what the system was made with.
    pub fn environment(&self) -> &Environment {
        &self.shared.environment
    }

    /// Returns one of the settings `/proc/sys/fs/protected_*`; all are 0 in a fresh kernel.
    pub fn protection(&self, which: Protection) -> u32 {
        self.shared.protection(which)
    }

    /// Changes one of the settings `/proc/sys/fs/protected_*`.
    pub fn set_protection(&self, which: Protection, level: u32) {
        self.shared.protection[which as usize].store(level, Ordering::Relaxed);
    }

    /// Says from now on whether anybody watches files; without it events are not even put together.
    pub fn set_watched(&self, watched: bool) {
        self.shared.watched.store(watched, Ordering::Release);
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Time {
        Time::from_ns(self.environment.clock.realtime_ns())
    }

    #[inline]
    pub(crate) fn protection(&self, which: Protection) -> u32 {
        self.protection[which as usize].load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    pub(crate) fn cookie(&self) -> u32 {
        self.cookies.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn notify(
        &self,
        mask: u32,
        entry: Option<(&Arc<dyn Node>, &[u8])>,
        node: Option<&Arc<dyn Node>>,
        cookie: u32,
    ) {
        if self.watched() {
            let directory = node.is_some_and(|n| n.kind() == crate::Kind::Directory);
            let mask = if directory { mask | abi::inotify::IN_ISDIR } else { mask };
            self.environment.events.happened(&Event { mask, entry, node, cookie });
        }
    }
}
