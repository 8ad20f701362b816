//! Masks, and taking signals out by hand.

use abi::signal::{SI_TIMER, Siginfo};

use super::{AltStack, SignalSet};
use crate::proc::{Thread, Work};
use crate::{Context, SysError, SysResult};

/// Sets the calling thread's mask; what it no longer blocks is delivered before the return to user mode.
pub fn set_mask(thread: &Thread, mask: SignalSet) {
    let newly_blocked = mask.without(thread.signals.blocked());
    thread.signals.store_mask(mask);
    if !deliverable(thread).is_empty() {
        thread.add_work(Work::SIGNAL);
    }
    hand_over(thread, newly_blocked);
}

/// Hands what waits for the process and this thread was to take to the others, because the thread has ended.
pub fn leave_to_others(thread: &Thread) {
    hand_over(thread, SignalSet(u64::MAX));
}

/// Has other threads take what waits for the process, of signals that this thread will not take any more.
fn hand_over(thread: &Thread, signals: SignalSet) {
    let stranded = thread.process().pending.set().0 & signals.0;
    if stranded == 0 {
        return;
    }
    for other in thread.process().threads() {
        if stranded & !other.signals.mask() != 0 && other.tid() != thread.tid() {
            other.notify(Work::SIGNAL);
        }
    }
}

/// Returns what waits and is not blocked.
pub(super) fn deliverable(thread: &Thread) -> SignalSet {
    pending(thread).without(thread.signals.blocked())
}

/// Returns what waits for a thread, sent to it or to its process, blocked or not.
pub fn pending(thread: &Thread) -> SignalSet {
    SignalSet(thread.signals.pending.set().0 | thread.process().pending.set().0)
}

/// Takes a waiting signal of a set out, sent to the thread or to its process (`sigtimedwait(2)`, `signalfd(2)`).
pub fn dequeue(thread: &Thread, wanted: SignalSet) -> Option<Siginfo> {
    let info = thread.signals.pending.take(wanted).or_else(|| thread.process().pending.take(wanted))?;
    if info.si_code == SI_TIMER {
        return Some(thread.process().timers.delivered(thread.process(), info));
    }
    Some(info)
}

/// Runs a call with another mask, if one is given (`sigsuspend(2)`, `ppoll(2)`, `epoll_pwait(2)` ...).
///
/// Where a signal interrupts the call, the handler still runs under the given mask, and the old one comes back after.
///
/// # Errors
/// What the call answers.
pub fn with_mask<T>(
    cx: &Context<'_>,
    mask: Option<u64>,
    call: impl FnOnce() -> SysResult<T>,
) -> SysResult<T> {
    let Some(mask) = mask else { return call() };
    let signals = &cx.thread.signals;
    let old = signals.blocked();
    signals.save_mask();
    set_mask(cx.thread, SignalSet(mask));
    let result = call();
    let interrupted = matches!(result, Err(SysError::Restart(_) | SysError::Errno(abi::Errno::EINTR)));
    if interrupted {
        // The way back to user mode delivers, and then brings the old mask back.
        cx.thread.add_work(Work::SIGNAL);
    } else {
        signals.take_saved();
        set_mask(cx.thread, old);
    }
    result
}

/// Gives a new thread what it inherits: the mask it has already; the alternate stack only where it does not run in
/// the same memory at the same time.
pub fn clone_thread(parent: &Thread, child: &Thread, shares_memory: bool) {
    let stack = if shares_memory { AltStack::default() } else { parent.signals.stack() };
    child.signals.set_stack(stack);
}
