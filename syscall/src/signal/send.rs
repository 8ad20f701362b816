//! Sending: who gets a signal, and who hears of it.

use abi::signal::{
    CLD_CONTINUED, CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, SI_USER, SIG_IGN, SIGCHLD, SIGCONT,
    SIGKILL, SIGRTMIN, SIGSTOP, SaFlags, Siginfo,
};
use abi::{Errno, Result};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use super::{Pending, Queued, SignalSet};
use crate::proc::{ExitState, Process, Resource, Thread, Work};
use crate::ptrace;

/// Sends a signal to a process: to one of its threads that does not block it.
///
/// # Errors
/// `EAGAIN` where too many real-time signals wait (`RLIMIT_SIGPENDING`).
pub fn send_process(process: &Process, info: Siginfo) -> Result<()> {
    let threads = process.threads();
    let Some(main) = threads.first() else { return Ok(()) };
    if !prepare(process, main, info.si_signo) {
        return Ok(());
    }
    if !queue(process, &process.pending, info)? {
        return Ok(());
    }
    if let Some(thread) = choose(&threads, info.si_signo) {
        wake(process, thread, info.si_signo);
    }
    Ok(())
}

/// Sends a signal to one thread.
///
/// # Errors
/// As for [`send_process`].
pub fn send_thread(thread: &Arc<Thread>, info: Siginfo) -> Result<()> {
    let process = thread.process();
    if !prepare(process, thread, info.si_signo) {
        return Ok(());
    }
    if queue(process, &thread.signals.pending, info)? && !thread.signals.blocked().has(info.si_signo) {
        wake(process, thread, info.si_signo);
    }
    Ok(())
}

/// Sends a signal that the kernel raises by itself to every process of a group (`SIGINT` from a terminal).
pub fn send_group(system: &crate::system::System, group: u32, signal: i32) {
    for process in system.processes() {
        if process.state.lock().group == group {
            let _ = send_process(&process, Siginfo::kill(signal, abi::signal::SI_KERNEL, 0, 0));
        }
    }
}

/// Does what the mere sending does; says whether the signal is to be queued.
fn prepare(process: &Process, thread: &Thread, signal: i32) -> bool {
    if signal == SIGKILL {
        super::exit_group(process, SIGKILL.cast_unsigned());
        return false;
    }
    if SignalSet::STOP.has(signal) {
        forget(process, SignalSet::of(&[SIGCONT]));
    } else if signal == SIGCONT {
        forget(process, SignalSet::STOP);
        go_on(process);
    }
    // A blocked signal waits even if it is ignored now: the action may change before it is unblocked. A tracer wants to see
    // the others, too.
    let handlers = Arc::clone(&process.handlers.lock());
    thread.signals.blocked().has(signal) || thread.is_traced() || !handlers.get(signal).ignores(signal)
}

fn forget(process: &Process, signals: SignalSet) {
    process.pending.forget(signals);
    for thread in process.threads() {
        thread.signals.pending.forget(signals);
    }
}

/// Queues a signal; says whether somebody has to look at it.
fn queue(process: &Process, pending: &Pending, info: Siginfo) -> Result<bool> {
    let limit = process.limit(Resource::Sigpending);
    let room = limit.saturating_sub(if info.si_signo >= SIGRTMIN { waiting(process) } else { 0 });
    match pending.add(info, room) {
        Queued::Yes => Ok(true),
        Queued::Already => Ok(false),
        // LINUX: kill(2) does not fail for want of room; the queue is not told apart from one signal then.
        Queued::Full if info.si_code == SI_USER => Ok(false),
        Queued::Full => Err(Errno::EAGAIN),
    }
}

/// Returns how many signals wait in a process (`SigQ` of `/proc/PID/status`).
pub fn waiting(process: &Process) -> u64 {
    let of_threads: usize = process.threads().iter().map(|t| t.signals.pending.len()).sum();
    (process.pending.len() + of_threads) as u64
}

/// Chooses a thread for a signal to the process: the first if it may, else one that waits for nothing else.
fn choose(threads: &[Arc<Thread>], signal: i32) -> Option<&Arc<Thread>> {
    let may = |t: &&Arc<Thread>| {
        !t.signals.blocked().has(signal) && !t.work_flags().intersects(Work::EXIT | Work::STOP)
    };
    threads
        .iter()
        .filter(may)
        .find(|t| !t.work_flags().contains(Work::SIGNAL))
        .or_else(|| threads.iter().find(|t| !t.signals.blocked().has(signal)))
}

fn wake(process: &Process, thread: &Thread, _signal: i32) {
    if process.state.lock().exit == ExitState::Running {
        thread.notify(Work::SIGNAL);
    }
}

/// Lets a stopped process go on, and tells its parent.
fn go_on(process: &Process) {
    let parent = {
        let mut state = process.state.lock();
        if state.stopped.take().is_none() {
            return;
        }
        state.report = Some(0xffff);
        state.parent.upgrade()
    };
    for thread in process.threads() {
        thread.task().unpark();
        if thread.is_traced() {
            ptrace::job_control_changed(&thread);
        }
    }
    if let Some(parent) = parent {
        tell_parent(process, &parent, CLD_CONTINUED, SIGCONT);
    }
}

/// Stops a process: each of its threads when it next returns to user mode.
pub(super) fn stop(process: &Process, signal: i32) {
    // LINUX: a parent that traces the process hears of it as its tracer.
    let tracer = process.threads().iter().find(|t| t.leads()).and_then(|leader| leader.tracer());
    let parent = {
        let mut state = process.state.lock();
        if state.exit != ExitState::Running {
            return;
        }
        let by_parent = tracer.as_ref().is_some_and(|tracer| {
            state.parent.upgrade().is_some_and(|parent| Arc::ptr_eq(&parent, tracer.process()))
        });
        let first = state.stopped.replace(signal.cast_unsigned()).is_none();
        for thread in &state.threads {
            thread.notify(Work::STOP);
        }
        if first && !by_parent {
            state.report = Some(signal.cast_unsigned() << 8 | 0x7f);
            state.parent.upgrade()
        } else {
            None
        }
    };
    if let Some(parent) = parent {
        tell_parent(process, &parent, CLD_STOPPED, signal);
    }
}

/// Tells a parent that its child stopped or goes on, unless it does not want to know (`SA_NOCLDSTOP`).
fn tell_parent(child: &Process, parent: &Arc<Process>, code: i32, status: i32) {
    let handlers = Arc::clone(&parent.handlers.lock());
    if !handlers.get(SIGCHLD).flags.contains(SaFlags::SA_NOCLDSTOP) {
        let _ = send_process(parent, child_info(child, SIGCHLD, code, status));
    }
    parent.child_events.wake(hal::Readiness::IN);
}

/// Tells a parent of its child's end (`SIGCHLD`); says whether the parent wants no zombie.
pub fn notify_parent(child: &Process, parent: &Process, wait_status: u32) -> bool {
    let signal = child.exit_signal;
    let (code, status) = end_code(wait_status);
    if signal == 0 {
        return false;
    }
    let handlers = Arc::clone(&parent.handlers.lock());
    let action = handlers.get(signal);
    let ignored = signal == SIGCHLD && action.handler == SIG_IGN;
    if !ignored {
        let _ = send_process(parent, child_info(child, signal, code, status));
    }
    ignored || signal == SIGCHLD && action.flags.contains(SaFlags::SA_NOCLDWAIT)
}

/// Tells a tracer of a stop, unless it does not want to know.
pub(crate) fn notify_tracer(thread: &Thread, tracer: &Arc<Process>, code: i32, status: i32) {
    let handlers = Arc::clone(&tracer.handlers.lock());
    let action = handlers.get(SIGCHLD);
    if action.handler != SIG_IGN && !action.flags.contains(SaFlags::SA_NOCLDSTOP) {
        let _ = send_process(tracer, thread_info(thread, code, status));
    }
    tracer.child_events.wake(hal::Readiness::IN);
}

/// Tells a tracer of a thread's end; says whether it does not want to wait for it.
pub(crate) fn notify_tracer_of_end(thread: &Thread, tracer: &Process, wait_status: u32) -> bool {
    let (code, status) = end_code(wait_status);
    let handlers = Arc::clone(&tracer.handlers.lock());
    let action = handlers.get(SIGCHLD);
    let ignored = action.handler == SIG_IGN;
    if !ignored {
        let _ = send_process(tracer, thread_info(thread, code, status));
    }
    ignored || action.flags.contains(SaFlags::SA_NOCLDWAIT)
}

/// Puts the signal in front that a new tracee starts with; the thread does not run yet.
pub(crate) fn queue_stop(thread: &Thread) {
    thread.signals.pending.force(Siginfo::kill(SIGSTOP, SI_USER, 0, 0));
    thread.add_work(Work::SIGNAL);
}

fn end_code(wait_status: u32) -> (i32, i32) {
    match wait_status & 0x7f {
        0 => (CLD_EXITED, (wait_status >> 8 & 0xff).cast_signed()),
        signal if wait_status & 0x80 != 0 => (CLD_DUMPED, signal.cast_signed()),
        signal => (CLD_KILLED, signal.cast_signed()),
    }
}

fn thread_info(thread: &Thread, code: i32, status: i32) -> Siginfo {
    let time = thread.task().cpu_time();
    let ticks = |ns: u64| (ns / 10_000_000).cast_signed();
    let uid = thread.credentials().uid;
    Siginfo::child(code, thread.tid().cast_signed(), uid, status, ticks(time.user_ns), ticks(time.system_ns))
}

fn child_info(child: &Process, signal: i32, code: i32, status: i32) -> Siginfo {
    let time = child.cpu_time();
    let ticks = |ns: u64| (ns / 10_000_000).cast_signed();
    let (user, system) = (ticks(time.user_ns), ticks(time.system_ns));
    let uid = child.threads().first().map_or(0, |t| t.credentials().uid);
    let mut info = Siginfo::child(code, child.pid().cast_signed(), uid, status, user, system);
    info.si_signo = signal;
    info
}

/// Sends the signal that a child asked for at its parent's end (`PR_SET_PDEATHSIG`).
pub fn notify_orphan(child: &Process) {
    for thread in child.threads() {
        let signal = thread.parent_death_signal.load(Ordering::Relaxed).cast_signed();
        if signal != 0 {
            let _ = send_process(child, Siginfo::kill(signal, SI_USER, 0, 0));
        }
    }
}
