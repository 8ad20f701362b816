//! Signals that wait for delivery.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::signal::{SI_TIMER, SIGBUS, SIGFPE, SIGILL, SIGRTMIN, SIGSEGV, SIGSYS, SIGTRAP, Siginfo};
use hal::sync::{Lock, rank};
use hal::{Readiness, WaitQueue};

use super::SignalSet;

/// What the processor raises: delivered first, so that the handler sees where it happened.
const SYNCHRONOUS: SignalSet = SignalSet::of(&[SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS]);

/// Signals that wait, of a thread or of a process as a whole.
///
/// A standard signal waits at most once; real-time signals queue up, each number in the order of sending.
#[derive(Default)]
pub struct Pending {
    queue: Lock<VecDeque<Siginfo>, { rank::SIGNAL }>,
    /// The numbers in the queue, to look without the lock.
    set: AtomicU64,
    events: Arc<WaitQueue>,
}

/// What became of a signal that was to be queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queued {
    /// It waits.
    Yes,
    /// The same one waits already.
    Already,
    /// Too many wait (`RLIMIT_SIGPENDING`).
    Full,
}

impl Pending {
    /// Returns which signals wait.
    #[inline]
    pub fn set(&self) -> SignalSet {
        SignalSet(self.set.load(Ordering::SeqCst))
    }

    /// Returns the queue that is woken when a signal comes in (`signalfd(2)`, `sigtimedwait(2)`).
    pub const fn events(&self) -> &Arc<WaitQueue> {
        &self.events
    }

    /// Returns how many signals wait.
    pub fn len(&self) -> usize {
        self.queue.lock().len()
    }

    /// Returns what waits, the oldest first.
    pub(crate) fn list(&self) -> Vec<Siginfo> {
        self.queue.lock().iter().copied().collect()
    }

    /// Says whether no signal waits.
    pub fn is_empty(&self) -> bool {
        self.set().is_empty()
    }

    /// Puts a signal in; `room` is how many more may wait.
    pub(super) fn add(&self, info: Siginfo, room: u64) -> Queued {
        let signal = info.si_signo;
        let bit = SignalSet::of(&[signal]).0;
        let mut queue = self.queue.lock();
        if signal < SIGRTMIN && self.set.load(Ordering::SeqCst) & bit != 0 {
            return Queued::Already;
        }
        // LINUX: standard signals always find room, the limit is on what queues up.
        if signal >= SIGRTMIN && room == 0 {
            return Queued::Full;
        }
        queue.push_back(info);
        self.set.fetch_or(bit, Ordering::SeqCst);
        drop(queue);
        self.events.wake(Readiness::READ);
        Queued::Yes
    }

    /// Puts a signal in front of all, whatever waits: for what the processor raises.
    pub(super) fn force(&self, info: Siginfo) {
        let mut queue = self.queue.lock();
        queue.push_front(info);
        self.set.fetch_or(SignalSet::of(&[info.si_signo]).0, Ordering::SeqCst);
    }

    /// Takes the next signal of a set out: what the processor raised, then by number, then by age.
    pub(super) fn take(&self, wanted: SignalSet) -> Option<Siginfo> {
        if self.set().0 & wanted.0 == 0 {
            return None;
        }
        let mut queue = self.queue.lock();
        let waiting = self.set.load(Ordering::SeqCst) & wanted.0;
        let first = if waiting & SYNCHRONOUS.0 != 0 { waiting & SYNCHRONOUS.0 } else { waiting };
        if first == 0 {
            return None;
        }
        let signal = first.trailing_zeros().cast_signed() + 1;
        let at = queue.iter().position(|info| info.si_signo == signal)?;
        let info = queue.remove(at)?;
        if !queue.iter().any(|other| other.si_signo == signal) {
            self.set.fetch_and(!SignalSet::of(&[signal]).0, Ordering::SeqCst);
        }
        Some(info)
    }

    /// Forgets every waiting signal of a set.
    pub(crate) fn forget(&self, signals: SignalSet) {
        if self.set().0 & signals.0 != 0 {
            let mut queue = self.queue.lock();
            queue.retain(|info| !signals.has(info.si_signo));
            self.set.fetch_and(!signals.0, Ordering::SeqCst);
        }
    }

    /// Says whether the signal of a POSIX timer still waits, so that another expiration is an overrun.
    pub fn has_timer(&self, timer: i32) -> bool {
        self.queue.lock().iter().any(|info| info.si_code == SI_TIMER && info.pid() == timer)
    }

    /// Forgets the signal of a POSIX timer that is deleted.
    pub fn forget_timer(&self, timer: i32) {
        let mut queue = self.queue.lock();
        queue.retain(|info| !(info.si_code == SI_TIMER && info.pid() == timer));
        let left = queue.iter().fold(0, |set, info| set | SignalSet::of(&[info.si_signo]).0);
        self.set.store(left, Ordering::SeqCst);
    }
}
