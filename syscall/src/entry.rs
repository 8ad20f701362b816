//! The way into a system call that somebody has a say in: a filter, or the trace.

use abi::Errno;
use hal::UserRegs;

use crate::error::Outcome;
use crate::proc::{Entry, Thread};
use crate::seccomp::{self, Verdict};
use crate::{Context, dispatch, trace};

/// Carries out a call of a thread with an [`Entry`].
#[cold]
#[inline(never)]
pub(crate) fn call(thread: &Thread, regs: &mut UserRegs) -> Outcome {
    // What the call answers if it is left out.
    regs.rax = (-i64::from(Errno::ENOSYS.number())).cast_unsigned();
    if thread.entry().contains(Entry::SECCOMP)
        && let Verdict::Skip(outcome) = seccomp::check(&Context::new(thread, regs))
    {
        return outcome;
    }
    if thread.entry().contains(Entry::LOG) { trace::call(thread, regs) } else { dispatch::call(thread, regs) }
}
