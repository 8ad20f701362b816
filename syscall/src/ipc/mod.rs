//! System V shared memory, semaphores and messages (`sysvipc(7)`), and POSIX message queues (`mq_overview(7)`).
//!
//! What the three System V kinds have in common is in [`table`]: keys, identifiers and permissions. Each object has
//! one spin lock of its own (rank `OBJECT`), so that two objects never wait for each other. Whoever makes a sleeper's
//! operation possible carries it out for the sleeper, as Linux does: the order in which sleepers came is the order in
//! which they are served, and a sleeper that wakes finds its result. The sleeping itself is in the handlers.

pub mod mqueue;
pub mod msg;
pub mod sem;
pub mod shm;
pub mod table;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;

use hal::Clock;

/// All IPC objects of a system.
pub struct Ipc {
    /// Segments of shared memory.
    pub shm: Arc<shm::Segments>,
    /// Sets of semaphores.
    pub sem: sem::Sets,
    /// Message queues of System V.
    pub msg: msg::Queues,
    /// Message queues of POSIX.
    pub mqueue: Arc<mqueue::Directory>,
}

impl Ipc {
    /// Makes a system's state, without objects.
    pub fn new(clock: &'static dyn Clock) -> Self {
        Self {
            shm: shm::Segments::new(clock),
            sem: sem::Sets::default(),
            msg: msg::Queues::default(),
            mqueue: mqueue::Directory::new(clock),
        }
    }
}

/// Threads to wake once a lock is gone. One, which is the usual number, needs no memory.
#[derive(Default)]
pub(crate) struct Wakes {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Wakes {
    /// Notes a thread.
    pub(crate) fn push(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.others.push(waker);
        }
    }

    /// Wakes them, in the order in which they were noted.
    pub(crate) fn wake(self) {
        for waker in self.first.into_iter().chain(self.others) {
            waker.wake();
        }
    }
}

/// Returns the wall clock's seconds, as IPC objects note them.
pub(crate) fn seconds(clock: &dyn Clock) -> i64 {
    (clock.realtime_ns() / crate::handlers::time::SECOND).cast_signed()
}
