//! A thread's side of signals.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::signal::{SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, StackT};
use hal::sync::{Lock, rank};

use super::{Pending, SignalSet};
use crate::{Context, SysResult};

/// An alternate stack for handlers (`sigaltstack(2)`); no size means none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AltStack {
    /// Lowest address.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// `SS_AUTODISARM` is set: a handler starts without one.
    pub auto_disarm: bool,
}

impl AltStack {
    /// Says whether the thread runs on it.
    pub const fn holds(&self, stack_pointer: u64) -> bool {
        // LINUX: while SS_AUTODISARM is on, a thread on the stack counts as one that is not.
        !self.auto_disarm
            && stack_pointer > self.start
            && stack_pointer - self.start <= self.size
            && self.size > 0
    }

    /// Returns it as `sigaltstack(2)` and signal frames show it.
    pub const fn show(&self, stack_pointer: u64) -> StackT {
        let state = if self.size == 0 {
            SS_DISABLE
        } else if self.holds(stack_pointer) {
            SS_ONSTACK
        } else {
            0
        };
        let auto = if self.auto_disarm { SS_AUTODISARM } else { 0 };
        StackT { ss_sp: self.start, ss_flags: (state | auto).cast_signed(), _pad: 0, ss_size: self.size }
    }
}

/// What the processor said of the last fault, for the signal frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trap {
    /// The exception's number.
    pub number: u64,
    /// The exception's error code.
    pub error: u64,
    /// The address of the last page fault.
    pub cr2: u64,
}

/// How a call goes on that `restart_syscall(2)` continues.
pub type Continuation = Box<dyn Fn(&Context<'_>) -> SysResult<i64> + Send + Sync>;

/// A thread's side of signals: mask, pending signals, alternate stack.
pub struct ThreadSignals {
    /// Written by the thread itself, read by senders.
    mask: AtomicU64,
    /// The mask to come back, while a call has set another for its time (`sigsuspend(2)`, `ppoll(2)`).
    saved: AtomicU64,
    has_saved: AtomicBool,
    /// Signals sent to this thread.
    pub pending: Pending,
    stack: Lock<AltStack, { rank::LEAF }>,
    trap: Lock<Trap, { rank::LEAF }>,
    restart: Lock<Option<Continuation>, { rank::LEAF }>,
}

impl ThreadSignals {
    /// Starts with that mask and nothing pending.
    pub fn new(mask: u64) -> Self {
        Self {
            mask: AtomicU64::new(mask),
            saved: AtomicU64::new(0),
            has_saved: AtomicBool::new(false),
            pending: Pending::default(),
            stack: Lock::default(),
            trap: Lock::default(),
            restart: Lock::new(None),
        }
    }

    /// Returns the blocked signals, as `sigset_t`.
    #[inline]
    pub fn mask(&self) -> u64 {
        self.mask.load(Ordering::SeqCst)
    }

    /// Returns the blocked signals.
    #[inline]
    pub fn blocked(&self) -> SignalSet {
        SignalSet(self.mask())
    }

    /// Sets the mask without looking whether a signal is deliverable now; see [`super::set_mask`].
    pub(super) fn store_mask(&self, mask: SignalSet) {
        self.mask.store(mask.without(SignalSet::UNBLOCKABLE).0, Ordering::SeqCst);
    }

    /// Notes the mask that comes back when the return to user mode has been through the signals.
    pub(super) fn save_mask(&self) {
        self.saved.store(self.mask(), Ordering::Relaxed);
        self.has_saved.store(true, Ordering::Relaxed);
    }

    /// Takes the mask that is to come back.
    pub(super) fn take_saved(&self) -> Option<SignalSet> {
        self.has_saved.swap(false, Ordering::Relaxed).then(|| SignalSet(self.saved.load(Ordering::Relaxed)))
    }

    /// Returns the alternate stack.
    pub fn stack(&self) -> AltStack {
        *self.stack.lock()
    }

    /// Sets the alternate stack.
    pub(crate) fn set_stack(&self, stack: AltStack) {
        *self.stack.lock() = stack;
    }

    pub(super) fn trap(&self) -> Trap {
        *self.trap.lock()
    }

    pub(super) fn set_trap(&self, trap: Trap) {
        *self.trap.lock() = trap;
    }

    /// Says how `restart_syscall(2)` continues the call at hand; the caller answers [`crate::Restart::Block`].
    pub fn set_continuation(&self, continuation: Continuation) {
        let old = self.restart.lock().replace(continuation);
        drop(old);
    }

    pub(crate) fn take_continuation(&self) -> Option<Continuation> {
        self.restart.lock().take()
    }

    /// Forgets what belongs to the old program (`execve(2)`): mask and pending signals stay.
    pub fn reset_for_exec(&self) {
        self.set_stack(AltStack::default());
        self.has_saved.store(false, Ordering::Relaxed);
        drop(self.take_continuation());
        self.set_trap(Trap::default());
    }
}
