//! The end of threads and processes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::ptrace::{PTRACE_EVENT_EXIT, PtraceOptions};
use hal::Readiness;

use super::{ExitState, Process, Thread, Work};
use crate::{Context, futex, ptrace, signal};

/// Makes every thread of a process end; the process ends with this wait status (`wait(2)` encoding) unless it was
/// ending already.
pub fn exit_group(process: &Process, wait_status: u32) {
    let threads = {
        let mut state = process.state.lock();
        if state.exit == ExitState::Running {
            state.exit = ExitState::Ending(wait_status);
        }
        state.threads.clone()
    };
    for thread in threads {
        thread.notify(Work::EXIT);
    }
}

/// Ends the calling thread; the last one ends the process, with `wait_status` unless [`exit_group`] set another.
///
/// The caller returns [`hal::Flow::Exit`] right after.
pub fn exit_thread(cx: &Context<'_>, wait_status: u32) {
    let thread = cx.thread;
    let process = cx.process();
    if thread.is_traced() {
        // A new signal that kills ends the stop; the old one must not.
        thread.clear_work(Work::EXIT);
        let status = match process.state.lock().exit {
            ExitState::Ending(status) => status,
            ExitState::Running | ExitState::Zombie(_) => wait_status,
        };
        ptrace::event(cx, PtraceOptions::PTRACE_O_TRACEEXIT, PTRACE_EVENT_EXIT, status.into());
    }
    ptrace::tracer_ends(thread);
    futex::release_robust(cx);
    let clear = thread.clear_child_tid.swap(0, Ordering::Relaxed);
    if clear != 0 {
        futex::clear_and_wake(cx, hal::UserAddr(clear));
    }
    thread.finish_vfork();
    thread.release_undo();
    let files = thread.files();
    thread.release_resources();
    cx.system().remove_thread(thread.tid());
    let time = thread.task().cpu_time();
    let before = process.last_identity.lock().replace((cx.credentials(), thread.name()));
    drop(before);
    let last = {
        let mut state = process.state.lock();
        // The caller still holds the thread, so that what is dropped here is only the table's reference.
        state.threads.retain(|t| t.tid() != thread.tid());
        state.last_uid = cx.credentials().uid;
        state.ended_time.user_ns += time.user_ns;
        state.ended_time.system_ns += time.system_ns;
        state.threads.is_empty()
    };
    if last {
        crate::handlers::file::release_locks(process, &files);
    }
    drop(files);
    if last {
        end_process(process, &thread.arc(), wait_status);
    } else {
        let status = match process.state.lock().exit {
            ExitState::Ending(status) => status,
            ExitState::Running | ExitState::Zombie(_) => wait_status,
        };
        ptrace::thread_ended(&thread.arc(), status);
        signal::leave_to_others(thread);
        // `execve` waits for the other threads.
        process.exit_events.wake(Readiness::IN);
    }
}

fn end_process(process: &Arc<Process>, last: &Arc<Thread>, wait_status: u32) {
    let system = process.system();
    process.timers.disarm(process);
    let status = match process.state.lock().exit {
        ExitState::Ending(status) => status,
        ExitState::Running | ExitState::Zombie(_) => wait_status,
    };
    if system.is_first(process) {
        system.power_off(status);
    }
    crate::tty::process_ended(process);
    drop(process.release_vm());
    let children = {
        let mut state = process.state.lock();
        state.exit = ExitState::Zombie(status);
        core::mem::take(&mut state.children)
    };
    reparent(process, children);
    process.exit_events.wake(Readiness::IN);
    if !ptrace::process_ended(process, last, status) {
        tell_end(process, status);
    }
}

/// Tells the parent that a process has ended.
pub(crate) fn tell_end(process: &Arc<Process>, status: u32) {
    let system = process.system();
    let parent = process.state.lock().parent.upgrade();
    match parent {
        Some(parent) => {
            let ignored = signal::notify_parent(process, &parent, status);
            if ignored {
                parent.state.lock().children.retain(|c| c.pid() != process.pid());
                system.remove_process(process.pid());
            }
            parent.child_events.wake(Readiness::IN);
        }
        // Pid 1 is the kernel's: it waits for everyone at once.
        None => system.remove_process(process.pid()),
    }
}

/// Gives the children of a process that ended to the nearest subreaper above it, or to the kernel.
fn reparent(process: &Process, children: Vec<Arc<Process>>) {
    if children.is_empty() {
        return;
    }
    let mut above = process.state.lock().parent.upgrade();
    while let Some(candidate) = above.take() {
        let state = candidate.state.lock();
        if state.subreaper && matches!(state.exit, ExitState::Running) {
            drop(state);
            above = Some(candidate);
            break;
        }
        above = state.parent.upgrade();
    }
    for child in children {
        let zombie = {
            let mut state = child.state.lock();
            state.parent = above.as_ref().map(Arc::downgrade).unwrap_or_default();
            matches!(state.exit, ExitState::Zombie(_))
        };
        signal::notify_orphan(&child);
        match &above {
            Some(parent) => {
                parent.state.lock().children.push(child);
                parent.child_events.wake(Readiness::IN);
            }
            None if zombie && !child.tracing.lock().hidden => process.system().remove_process(child.pid()),
            None => {}
        }
    }
}

impl Thread {
    /// Tells a parent that waits in `vfork` to go on.
    pub(crate) fn finish_vfork(&self) {
        let waiter = self.vfork.lock().take();
        if let Some(done) = waiter {
            done.finish();
        }
    }
}
