//! What becomes of a thread's futexes when it ends (`set_robust_list(2)`, `set_tid_address(2)`).

use core::sync::atomic::Ordering;

use abi::futex::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS, ROBUST_LIST_LIMIT, RobustListHead};
use hal::UserAddr;

use super::{Key, MATCH_ANY, Scope};
use crate::Context;
use crate::decode::{In, UserPtr};

/// Releases the robust futexes of a thread that ends, and the priority-inheriting ones that it owns.
pub fn release_robust(cx: &Context<'_>) {
    let head_at = UserAddr(cx.thread.robust_list.swap(0, Ordering::Relaxed));
    if !head_at.is_null() {
        walk(cx, head_at);
    }
    cx.system().futexes.release_owned(cx);
}

/// Splits a list entry's address from the bit that marks a priority-inheriting futex.
const fn entry(word: u64) -> (UserAddr, bool) {
    (UserAddr(word & !1), word & 1 != 0)
}

fn walk(cx: &Context<'_>, head_at: UserAddr) {
    let Ok(head) = UserPtr::<RobustListHead, In>::new(head_at).read(cx) else { return };
    let word_of = |entry: UserAddr| entry.offset(head.futex_offset.cast_unsigned());
    let (pending, pending_pi) = entry(head.list_op_pending);
    let (mut at, mut pi) = entry(head.list);
    for _ in 0..ROBUST_LIST_LIMIT {
        if at == head_at {
            break;
        }
        // The next entry first: the woken thread may reuse this one.
        let next = UserPtr::<u64, In>::new(at).read(cx);
        if at != pending && !release(cx, word_of(at), pi, false) {
            return;
        }
        let Ok(next) = next else { break };
        (at, pi) = entry(next);
    }
    if !pending.is_null() {
        release(cx, word_of(pending), pending_pi, true);
    }
}

/// Marks a futex that the thread owns as that of a dead owner, and wakes one waiter; `false` after a fault.
fn release(cx: &Context<'_>, at: UserAddr, pi: bool, pending: bool) -> bool {
    let memory = cx.memory();
    let futexes = &cx.system().futexes;
    if !at.0.is_multiple_of(4) {
        return false;
    }
    let Ok(mut word) = memory.load_u32(at) else { return false };
    let Ok(key) = Key::new(cx, at, Scope::Shared) else { return false };
    if pending && !pi && word == 0 {
        // The thread was about to wake somebody after it had given the futex up.
        futexes.wake(key, 1, MATCH_ANY);
        return true;
    }
    loop {
        if word & FUTEX_TID_MASK != cx.thread.tid() {
            return true;
        }
        if pi && word & FUTEX_WAITERS != 0 {
            return futexes.hand_on(cx, at, key, cx.thread.tid(), FUTEX_OWNER_DIED).is_ok();
        }
        match memory.compare_exchange_u32(at, word, word & FUTEX_WAITERS | FUTEX_OWNER_DIED) {
            Ok(was) if was == word => break,
            Ok(was) => word = was,
            Err(_) => return false,
        }
    }
    if word & FUTEX_WAITERS != 0 {
        futexes.wake(key, 1, MATCH_ANY);
    }
    true
}

/// Writes a zero and wakes one waiter, at a thread's end (`CLONE_CHILD_CLEARTID`).
pub fn clear_and_wake(cx: &Context<'_>, at: UserAddr) {
    if cx.memory().copy_out(at, &0_u32.to_le_bytes()).is_err() {
        return;
    }
    if let Ok(key) = Key::new(cx, at, Scope::Shared) {
        cx.system().futexes.wake(key, 1, MATCH_ANY);
    }
}
