//! What a tracee stops for.

use alloc::sync::Arc;

use abi::ptrace::*;
use abi::signal::{CLD_STOPPED, CLD_TRAPPED, SI_KERNEL, SI_USER, SIGTRAP, Siginfo, TRAP_BRKPT};

use super::stop::{Reason, TRAP, own_info, stop};
use super::{Resume, link};
use crate::Context;
use crate::proc::{Thread, Work};
use crate::signal;

/// Stops at an event of a kind that the tracer asked for.
fn stop_for(cx: &Context<'_>, kind: u32, message: u64) {
    let code = TRAP | kind << 8;
    let info = Some(own_info(cx.thread, SIGTRAP, code));
    stop(cx, &Reason { code, info, message, why: CLD_TRAPPED });
}

/// Stops at an event if the tracer has the option; says whether it has.
pub(crate) fn event(cx: &Context<'_>, option: PtraceOptions, kind: u32, message: u64) -> bool {
    let wanted = cx.thread.is_traced() && cx.thread.tracing.lock().options.contains(option);
    if wanted {
        stop_for(cx, kind, message);
    }
    wanted
}

/// Stops because a filter says so; `false` if no tracer wants to know.
pub(crate) fn stop_for_filter(cx: &Context<'_>, value: u32) -> bool {
    event(cx, PtraceOptions::PTRACE_O_TRACESECCOMP, PTRACE_EVENT_SECCOMP, value.into())
}

/// Stops at a system call's entry or exit.
fn stop_at_call(cx: &Context<'_>, message: u8) {
    let good = cx.thread.tracing.lock().options.contains(PtraceOptions::PTRACE_O_TRACESYSGOOD);
    let code = TRAP | if good { 0x80 } else { 0 };
    let info = Some(own_info(cx.thread, SIGTRAP, code));
    let (next, _) = stop(cx, &Reason { code, info, message: message.into(), why: CLD_TRAPPED });
    if next != 0 && cx.thread.is_traced() {
        let _ = signal::send_thread(&cx.thread.arc(), Siginfo::kill(next.cast_signed(), SI_KERNEL, 0, 0));
    }
}

/// Stops at a call's entry, if the tracer wants to see it; says whether the call is to be left out.
pub(crate) fn syscall_entry(cx: &Context<'_>) -> bool {
    let resume = cx.thread.tracing.lock().resume;
    if resume == Resume::Continue {
        return false;
    }
    stop_at_call(cx, PTRACE_EVENTMSG_SYSCALL_ENTRY);
    resume == Resume::Emulate || cx.thread.work_flags().contains(Work::EXIT)
}

/// Stops at a call's exit, if the tracer wants to see it, or goes one instruction at a time.
pub(crate) fn syscall_exit(cx: &Context<'_>) {
    let (resume, stepping) = {
        let tracing = cx.thread.tracing.lock();
        (tracing.resume, tracing.stepping)
    };
    if resume == Resume::Syscall {
        stop_at_call(cx, PTRACE_EVENTMSG_SYSCALL_EXIT);
    } else if stepping && resume == Resume::Continue {
        let address = cx.regs.borrow().rip;
        signal::force_signal(cx.thread, Siginfo::fault(SIGTRAP, TRAP_BRKPT, address));
    }
}

/// Stops for a signal that is about to be delivered; returns what is delivered instead.
pub(crate) fn signal_stop(cx: &Context<'_>, info: Siginfo) -> Option<Siginfo> {
    let thread = cx.thread;
    let code = info.si_signo.cast_unsigned();
    let tracer = thread.tracer();
    let (next, left) = stop(cx, &Reason { code, info: Some(info), message: 0, why: CLD_TRAPPED });
    if next == 0 {
        return None;
    }
    let next = next.cast_signed();
    let mut info = left.unwrap_or(info);
    if next != info.si_signo {
        // LINUX: another signal comes from the tracer.
        let (pid, uid) = tracer.map_or((0, 0), |t| (t.process().pid().cast_signed(), t.credentials().uid));
        info = Siginfo::kill(next, SI_USER, pid, uid);
    }
    if thread.signals.blocked().has(next) {
        let _ = signal::send_thread(&thread.arc(), info);
        return None;
    }
    Some(info)
}

/// Stops with the whole process, for that signal.
pub(crate) fn group_stop(cx: &Context<'_>, signal: u32) {
    if cx.thread.tracing.lock().seized {
        return stop_seized(cx, signal);
    }
    stop(cx, &Reason { code: signal, info: None, message: 0, why: CLD_STOPPED });
}

fn stop_seized(cx: &Context<'_>, signal: u32) {
    let code = signal | PTRACE_EVENT_STOP << 8;
    let info = Some(own_info(cx.thread, signal.cast_signed(), code));
    stop(cx, &Reason { code, info, message: 0, why: CLD_STOPPED });
}

/// Stops because the tracer said so, or because job control has changed.
pub(crate) fn interrupt(cx: &Context<'_>) {
    if cx.thread.is_traced() {
        let stopped = cx.process().state.lock().stopped;
        stop_seized(cx, stopped.unwrap_or(TRAP));
    }
}

/// Takes the tracer's trap flag out of the registers, so that a handler's frame does not hold it; says whether the tracer
/// goes one instruction at a time.
pub(crate) fn hide_step(cx: &Context<'_>) -> bool {
    let mut tracing = cx.thread.tracing.lock();
    if core::mem::take(&mut tracing.forced_trap) {
        cx.regs.borrow_mut().rflags &= !super::regs::TF;
    }
    tracing.stepping
}

/// Stops at a handler's first instruction, for a tracer that goes one instruction at a time.
pub(crate) fn handler_entered(cx: &Context<'_>) {
    let info = Some(own_info(cx.thread, SIGTRAP, TRAP));
    stop(cx, &Reason { code: TRAP, info, message: 0, why: CLD_TRAPPED });
}

/// Gives a new thread its maker's tracer, if that one follows.
pub(crate) fn follow(parent: &Thread, child: &Arc<Thread>) {
    let (tracer, seized, options) = {
        let tracing = parent.tracing.lock();
        (tracing.tracer(), tracing.seized, tracing.options)
    };
    let Some(tracer) = tracer else { return };
    if !link(child, &tracer, seized, options) {
        return;
    }
    if seized {
        child.add_work(Work::TRAP);
    } else {
        signal::queue_stop(child);
    }
}
