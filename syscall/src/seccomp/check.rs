//! What the filters say of a call, and what follows from it.

use abi::Errno;
use abi::seccomp::*;
use abi::signal::{SIGKILL, SIGSYS, SYS_SECCOMP, Siginfo};
use alloc::sync::Arc;
use hal::UserRegs;

use super::{Filter, Mode};
use crate::error::Outcome;
use crate::proc::{self, Thread};
use crate::{Context, ptrace, signal};

/// `MAX_ERRNO`
const ERRNO_MAX: u32 = 4095;

/// What becomes of a call.
pub(crate) enum Verdict {
    /// It is carried out.
    Allow,
    /// It is left out, with what this says as the result.
    Skip(Outcome),
}

/// The calls of strict mode: `read`, `write`, `exit`, `rt_sigreturn`.
const STRICT: [u64; 4] = [0, 1, 60, 15];

/// Looks at the call that the thread makes.
pub(crate) fn check(cx: &Context<'_>) -> Verdict {
    let mode = cx.thread.seccomp.lock().clone();
    match mode {
        Mode::Disabled => Verdict::Allow,
        Mode::Strict if STRICT.contains(&number(&cx.regs.borrow())) => Verdict::Allow,
        Mode::Strict => Verdict::Skip(end_thread(cx, SIGKILL)),
        Mode::Filter(newest) => act(cx, &newest, Seen::First),
    }
}

/// Whether a tracer has had its say about the call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    First,
    AfterTracer,
}

/// LINUX: only the low half of the number counts.
const fn number(regs: &UserRegs) -> u64 {
    regs.orig_rax & 0xffff_ffff
}

#[expect(clippy::cast_possible_truncation, reason = "the low half of the number counts")]
fn data(regs: &UserRegs) -> SeccompData {
    SeccompData {
        nr: (regs.orig_rax as u32).cast_signed(),
        arch: AUDIT_ARCH_X86_64,
        instruction_pointer: regs.rip,
        args: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9],
    }
}

/// Runs a chain; the strictest answer counts, and of equal ones the newest filter's.
fn run(newest: &Arc<Filter>, data: &SeccompData) -> u32 {
    let strictness = |answer: u32| (answer & SECCOMP_RET_ACTION_FULL).cast_signed();
    let mut strictest = SECCOMP_RET_ALLOW;
    for filter in Filter::chain(Some(newest)) {
        let answer = filter.program.run(data);
        if strictness(answer) < strictness(strictest) {
            strictest = answer;
        }
    }
    strictest
}

fn act(cx: &Context<'_>, newest: &Arc<Filter>, seen: Seen) -> Verdict {
    let data = data(&cx.regs.borrow());
    let answer = run(newest, &data);
    let value = answer & SECCOMP_RET_DATA;
    match answer & SECCOMP_RET_ACTION_FULL {
        // There is no audit log to write to.
        SECCOMP_RET_ALLOW | SECCOMP_RET_LOG => Verdict::Allow,
        SECCOMP_RET_ERRNO => Verdict::Skip(Outcome::Return(-i64::from(value.min(ERRNO_MAX)))),
        SECCOMP_RET_TRAP => {
            // The handler sees the registers as they were before the call.
            let mut regs = cx.regs.borrow_mut();
            regs.rax = regs.orig_rax;
            let mut info = Siginfo::sys(SYS_SECCOMP, regs.rip, data.nr, data.arch);
            drop(regs);
            info.si_errno = value.cast_signed();
            signal::force_signal(cx.thread, info);
            Verdict::Skip(Outcome::Resume)
        }
        SECCOMP_RET_TRACE if seen == Seen::AfterTracer => Verdict::Allow,
        SECCOMP_RET_TRACE => ask_tracer(cx, value),
        // Nobody listens: a filter with a listener cannot be made.
        SECCOMP_RET_USER_NOTIF => Verdict::Skip(Outcome::Return(-i64::from(Errno::ENOSYS.number()))),
        SECCOMP_RET_KILL_THREAD if others_live(cx.thread) => Verdict::Skip(end_thread(cx, SIGSYS)),
        _ => {
            proc::exit_group(cx.process(), SIGSYS.cast_unsigned());
            Verdict::Skip(Outcome::Resume)
        }
    }
}

/// Stops for the tracer, which may change the call; the filters look at what it made of it.
fn ask_tracer(cx: &Context<'_>, value: u32) -> Verdict {
    let unimplemented = Outcome::Return(-i64::from(Errno::ENOSYS.number()));
    if !ptrace::stop_for_filter(cx, value) {
        return Verdict::Skip(unimplemented);
    }
    let regs = **cx.regs.borrow();
    let ending = cx.thread.work_flags().contains(proc::Work::EXIT);
    if ending || data(&regs).nr < 0 {
        // The tracer has set the result.
        return Verdict::Skip(Outcome::Return(regs.rax.cast_signed()));
    }
    let mode = cx.thread.seccomp.lock().clone();
    match mode {
        Mode::Filter(newest) => act(cx, &newest, Seen::AfterTracer),
        Mode::Disabled | Mode::Strict => Verdict::Allow,
    }
}

fn others_live(thread: &Thread) -> bool {
    thread.process().state.lock().threads.len() > 1
}

fn end_thread(cx: &Context<'_>, signal: i32) -> Outcome {
    proc::exit_thread(cx, signal.cast_unsigned());
    Outcome::Exit
}
