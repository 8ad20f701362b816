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
                watched: AtomicBool::new(false),
                cookies: AtomicU32::new(0),
            }),
        }
    }

    /// Returns what the system was made with.
    pub fn environment(&self) -> &Environment {
        &self.shared.environment
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
