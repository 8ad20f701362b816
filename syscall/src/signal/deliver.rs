//! Delivery, on the way back to user mode.

use abi::Errno;
use abi::signal::{SIG_DFL, SIG_IGN, SIGKILL, SIGSTOP, SaFlags, Siginfo};

use super::mask::{deliverable, dequeue};
use super::{Action, Default, SignalSet, default_action, frame, send, set_mask};
use crate::proc::{ExitState, Process, Work, exit_group};
use crate::{Context, Restart, ptrace};

/// `restart_syscall`'s number on x86_64.
const RESTART_SYSCALL: u64 = 219;
/// Length of the `syscall` instruction, and of the call that replaces it in fused mode.
const CALL_LEN: u64 = 2;

/// Ends, stops, or delivers signals, before the return to user mode; `restart` says that a call was interrupted.
///
/// Returns at once if the thread has [`crate::proc::Work::EXIT`]; a signal that kills calls [`crate::proc::exit_group`],
/// which sets it, and the caller ends the thread.
pub fn deliver_pending(cx: &Context<'_>, mut restart: Option<Restart>) {
    let thread = cx.thread;
    if let (Some(restart), true) = (restart, thread.is_traced()) {
        cx.regs.borrow_mut().rax = restart.code();
    }
    loop {
        let work = thread.work_flags();
        if work.contains(Work::EXIT) {
            return;
        }
        if work.contains(Work::STOP) {
            if wait_while_stopped(cx) {
                restart = Restart::pending(&cx.regs.borrow());
            }
            continue;
        }
        if work.contains(Work::TRAP) {
            thread.clear_work(Work::TRAP);
            if thread.is_traced() {
                ptrace::interrupt(cx);
                restart = Restart::pending(&cx.regs.borrow());
            }
            continue;
        }
        thread.clear_work(Work::SIGNAL);
        let wanted = deliverable(thread);
        if wanted.is_empty() {
            break;
        }
        let Some(info) = dequeue(thread, SignalSet(!thread.signals.mask())) else { break };
        let info = if thread.is_traced() {
            let changed = ptrace::signal_stop(cx, info);
            restart = Restart::pending(&cx.regs.borrow());
            let Some(info) = changed else { continue };
            if info.si_signo == SIGKILL {
                exit_group(cx.process(), SIGKILL.cast_unsigned());
                continue;
            }
            info
        } else {
            info
        };
        deliver(cx, info, &mut restart);
    }
    if let Some(restart) = restart {
        go_on_without_handler(cx, restart);
    }
    if let Some(mask) = thread.signals.take_saved() {
        set_mask(thread, mask);
    }
}

fn deliver(cx: &Context<'_>, info: Siginfo, restart: &mut Option<Restart>) {
    let process = cx.process();
    let signal = info.si_signo;
    let handlers = alloc::sync::Arc::clone(&process.handlers.lock());
    let action = handlers.take(signal);
    match action.handler {
        SIG_IGN => {}
        SIG_DFL => match default_action(signal) {
            Default::Ignore | Default::Continue => {}
            // LINUX: a process group without a parent outside of it in its session would never go on.
            Default::Stop if signal != SIGSTOP && is_orphaned(process) => {}
            Default::Stop => send::stop(process, signal),
            Default::Terminate => {
                super::fault::report_fatal(cx, &info);
                exit_group(process, signal.cast_unsigned());
            }
        },
        _ => handle(cx, info, &action, restart.take()),
    }
}

/// Pushes the frame of a handler, which runs next.
fn handle(cx: &Context<'_>, info: Siginfo, action: &Action, restart: Option<Restart>) {
    let thread = cx.thread;
    if let Some(restart) = restart {
        let again = match restart {
            Restart::Sys => action.flags.contains(SaFlags::SA_RESTART),
            Restart::Always => true,
            Restart::NoHandler | Restart::Block => false,
        };
        if again {
            repeat(cx, None);
        } else {
            cx.regs.borrow_mut().rax = (-i64::from(Errno::EINTR.number())).cast_unsigned();
        }
    }
    let stepping = thread.is_traced() && ptrace::hide_step(cx);
    // A critical section is left before the frame keeps its address.
    if thread.has_rseq() && crate::handlers::rseq::resume(cx).is_err() {
        super::fault::force_bad_stack(thread, info.si_signo);
        return;
    }
    let before = thread.signals.take_saved().unwrap_or_else(|| thread.signals.blocked());
    if frame::push(cx, &info, action, before).is_err() {
        super::fault::force_bad_stack(thread, info.si_signo);
        return;
    }
    let mut blocked = SignalSet(thread.signals.mask() | action.mask.0);
    if !action.flags.contains(SaFlags::SA_NODEFER) {
        blocked.0 |= SignalSet::of(&[info.si_signo]).0;
    }
    set_mask(thread, blocked);
    if stepping {
        ptrace::handler_entered(cx);
    }
}

/// Makes the thread carry out the call again, or `restart_syscall` in its place.
fn repeat(cx: &Context<'_>, number: Option<u64>) {
    let mut regs = cx.regs.borrow_mut();
    regs.rax = number.unwrap_or(regs.orig_rax);
    regs.rip = regs.rip.wrapping_sub(CALL_LEN);
}

fn go_on_without_handler(cx: &Context<'_>, restart: Restart) {
    match restart {
        Restart::Sys | Restart::Always | Restart::NoHandler => repeat(cx, None),
        Restart::Block => repeat(cx, Some(RESTART_SYSCALL)),
    }
}

/// Parks until the process goes on, or ends; a traced thread, until its tracer says so. Says whether that was so.
fn wait_while_stopped(cx: &Context<'_>) -> bool {
    loop {
        cx.thread.clear_work(Work::STOP);
        let stopped = {
            let state = cx.process().state.lock();
            state.stopped.filter(|_| state.exit == ExitState::Running)
        };
        let ends = cx.thread.work_flags().contains(Work::EXIT);
        let Some(signal) = stopped.filter(|_| !ends) else { return false };
        if cx.thread.is_traced() {
            ptrace::group_stop(cx, signal);
            return true;
        }
        cx.scheduler().park(None);
    }
}

/// Says whether no process of the group has its parent in another group of the same session.
fn is_orphaned(process: &Process) -> bool {
    let (group, session) = {
        let state = process.state.lock();
        (state.group, state.session)
    };
    !process.system().processes().iter().any(|member| {
        let (in_group, parent) = {
            let state = member.state.lock();
            (state.group == group && !matches!(state.exit, ExitState::Zombie(_)), state.parent.upgrade())
        };
        in_group
            && parent.is_some_and(|parent| {
                let state = parent.state.lock();
                state.group != group && state.session == session
            })
    })
}
