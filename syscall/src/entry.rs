//! The way into a system call that somebody has a say in: a filter, a tracer, or the trace.

use abi::Errno;
use hal::UserRegs;

use crate::error::Outcome;
use crate::proc::{Entry, Thread};
use crate::seccomp::{self, Verdict};
use crate::{Context, Restart, dispatch, ptrace, trace};

/// Carries out a call of a thread with an [`Entry`].
#[cold]
#[inline(never)]
pub(crate) fn call(thread: &Thread, regs: &mut UserRegs) -> Outcome {
    // What the call answers if it is left out.
    regs.rax = (-i64::from(Errno::ENOSYS.number())).cast_unsigned();
    let traced = thread.is_traced();
    let outcome = if traced && ptrace::syscall_entry(&Context::new(thread, regs)) {
        Outcome::Return(regs.rax.cast_signed())
    } else {
        filtered(thread, regs)
    };
    if !traced || matches!(outcome, Outcome::Exit) {
        return outcome;
    }
    // The tracer sees the result in the registers, and may change them all.
    match outcome {
        Outcome::Return(value) => regs.rax = value.cast_unsigned(),
        Outcome::Restart(restart) => regs.rax = Restart::from(restart).code(),
        Outcome::Resume | Outcome::Exit => {}
    }
    ptrace::syscall_exit(&Context::new(thread, regs));
    match Restart::pending(regs) {
        Some(restart) => Outcome::Restart(restart.into()),
        None => Outcome::Resume,
    }
}

/// Carries a call out if the filters allow it.
fn filtered(thread: &Thread, regs: &mut UserRegs) -> Outcome {
    if thread.entry().contains(Entry::SECCOMP)
        && let Verdict::Skip(outcome) = seccomp::check(&Context::new(thread, regs))
    {
        return outcome;
    }
    // A tracer leaves a call out by its number.
    if regs.orig_rax & 0xffff_ffff == 0xffff_ffff {
        return Outcome::Return(regs.rax.cast_signed());
    }
    if thread.entry().contains(Entry::LOG) { trace::call(thread, regs) } else { dispatch::call(thread, regs) }
}
