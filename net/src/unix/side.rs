//! A socket as its peers see it: what it receives, what it is called, what state it is in.
//!
//! Peers hold each other's [`Side`], never each other's socket: so closing a socket depends on its own references alone,
//! and a side that is closed keeps its name for as long as its peer may ask for it.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use abi::socket::SOCK_STREAM;
use hal::sync::{Lock, SleepLock, rank};
use hal::{PAGE_SIZE, Readiness, WaitQueue};

use super::UnixSocket;
use super::inbox::{Inbox, add_waiting};
use super::ring::Ring;
use crate::{Common, ENDED_READ, ENDED_WRITE, Ucred, UnixName};

/// Messages that wait for a socket that is not connected to their sender, less one (`net.unix.max_dgram_qlen`).
pub(super) const QUEUE_MAX: usize = 10;

/// Whether a socket has a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Phase {
    /// It has not.
    Closed = 0,
    /// It is about to.
    Connecting = 1,
    /// It has, or had: it stays so after the end.
    Connected = 2,
    /// It takes them.
    Listening = 3,
}

/// See the module.
pub(super) struct Side {
    pub(super) common: Common,
    pub(super) queue: Arc<WaitQueue>,
    pub(super) name: Lock<UnixName, { rank::LEAF }>,
    /// Bytes of a stream. Copies from and to the application happen under this lock.
    pub(super) ring: SleepLock<Ring, { rank::FILE_WRITE }>,
    /// Messages of other types.
    pub(super) inbox: Lock<Inbox, { rank::OBJECT }>,
    pub(super) backlog: Lock<Backlog, { rank::OBJECT }>,
    /// What follows repeats what is in the queues, so that readiness needs no lock of theirs.
    pub(super) bytes: AtomicUsize,
    pub(super) pages: AtomicUsize,
    pub(super) messages: AtomicUsize,
    pub(super) urgent: AtomicBool,
    /// What this socket's own messages take, wherever they wait.
    pub(super) sent: AtomicUsize,
    /// The socket that this one is connected to, by number; 0 for none.
    pub(super) peer: AtomicU64,
    /// The listening socket in whose backlog this one waits, by number; 0 for none.
    pub(super) listener: AtomicU64,
    pub(super) closed: AtomicBool,
    phase: AtomicU8,
}

/// Connections that wait to be taken, and those who wait for room among them.
#[derive(Default)]
pub(super) struct Backlog {
    pub(super) limit: usize,
    pub(super) waiting_connections: VecDeque<Arc<UnixSocket>>,
    waiting: Vec<Weak<Side>>,
    /// Who called `listen`, for `SO_PEERCRED` of those who connect.
    pub(super) owner: Option<Ucred>,
}

impl Backlog {
    /// Notes somebody who is to hear when there is room.
    pub(super) fn wait(&mut self, who: &Arc<Side>) {
        add_waiting(&mut self.waiting, who);
    }

    /// Takes those who wait.
    pub(super) fn take_waiting(&mut self) -> Vec<Weak<Side>> {
        core::mem::take(&mut self.waiting)
    }
}

/// Wakes those who waited for room.
pub(super) fn wake_waiting(list: &[Weak<Side>]) {
    for who in list.iter().filter_map(Weak::upgrade) {
        who.queue.wake(Readiness::WRITE);
    }
}

impl Side {
    /// Makes the side of a new socket.
    pub(super) fn new(common: Common) -> Arc<Self> {
        Arc::new(Self {
            common,
            queue: WaitQueue::new(),
            name: Lock::default(),
            ring: SleepLock::new(Ring::default()),
            inbox: Lock::default(),
            backlog: Lock::default(),
            bytes: AtomicUsize::new(0),
            pages: AtomicUsize::new(0),
            messages: AtomicUsize::new(0),
            urgent: AtomicBool::new(false),
            sent: AtomicUsize::new(0),
            peer: AtomicU64::new(0),
            listener: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            phase: AtomicU8::new(Phase::Closed as u8),
        })
    }

    /// Returns the number that tells it from all others.
    pub(super) const fn id(&self) -> u64 {
        self.common.id
    }

    /// Returns the number of the socket whose being reachable makes this one so.
    pub(super) fn owner(&self) -> u64 {
        match self.listener.load(Ordering::SeqCst) {
            0 => self.id(),
            listener => listener,
        }
    }

    /// Says whether bytes follow each other without boundaries.
    pub(super) const fn is_stream(&self) -> bool {
        self.common.kind == SOCK_STREAM
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            1 => Phase::Connecting,
            2 => Phase::Connected,
            3 => Phase::Listening,
            _ => Phase::Closed,
        }
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    /// Changes the phase, unless it is another one than expected.
    pub(super) fn change_phase(&self, from: Phase, to: Phase) -> bool {
        self.phase.compare_exchange(from as u8, to as u8, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Returns how many pages a stream may keep in its peer's ring.
    pub(super) fn page_limit(&self) -> usize {
        (self.common.send_buffer.load(Ordering::Relaxed) as usize / PAGE_SIZE).max(1)
    }

    /// Repeats the ring's state.
    pub(super) fn publish(&self, ring: &Ring) {
        self.bytes.store(ring.bytes(), Ordering::Release);
        self.pages.store(ring.pages(), Ordering::Release);
    }

    /// Says whether a message of somebody else than the peer has no room.
    pub(super) fn is_full(&self) -> bool {
        self.messages.load(Ordering::Acquire) > QUEUE_MAX
    }

    /// Says whether anything waits to be received.
    pub(super) fn has_input(&self) -> bool {
        self.bytes.load(Ordering::Acquire) > 0 || self.messages.load(Ordering::Acquire) > 0
    }

    /// Ends both directions, because the peer has gone.
    pub(super) fn hang_up(&self) {
        self.common.end(ENDED_READ | ENDED_WRITE);
        self.queue.wake(Readiness::all());
    }

    /// Notes that a message of this socket's was taken or lost.
    pub(super) fn uncharge(&self, charge: usize) {
        self.sent.fetch_sub(charge, Ordering::AcqRel);
        if self.may_send() {
            self.queue.wake(Readiness::WRITE);
        }
    }

    /// Says whether a quarter of the buffer at most is in use, which is when a sender is worth waking.
    pub(super) fn may_send(&self) -> bool {
        let limit = self.common.send_buffer.load(Ordering::Relaxed) as usize;
        self.sent.load(Ordering::Acquire) * 4 <= limit
    }

    /// Takes everything out of the queues and lets go of it.
    pub(super) fn discard(&self) {
        if let Some(mut ring) = self.ring.try_lock() {
            let old = ring.clear();
            self.publish(&ring);
            drop(ring);
            drop(old);
        }
        let (messages, waiting) = {
            let mut inbox = self.inbox.lock();
            self.messages.store(0, Ordering::Release);
            (core::mem::take(&mut inbox.messages), inbox.take_waiting())
        };
        for message in messages {
            message.from.uncharge(message.charge());
            drop(message);
        }
        wake_waiting(&waiting);
        let (connections, waiting) = {
            let mut backlog = self.backlog.lock();
            (core::mem::take(&mut backlog.waiting_connections), backlog.take_waiting())
        };
        drop(connections);
        wake_waiting(&waiting);
    }
}
