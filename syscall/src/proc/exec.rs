//! `execve(2)`: a new program in an old process.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::Errno;
use abi::ptrace::{PTRACE_EVENT_EXEC, PtraceOptions};
use abi::signal::{SI_USER, SIGTRAP, Siginfo};
use hal::{Readiness, UserAddr, UserRegs};

use super::program::{self, LoadError, Loading, Program};
use super::{Credentials, ExitState, Work};
use crate::decode::{Fd, Flags, In, UserPath, UserPtr, read_string};
use crate::error::Outcome;
use crate::{Context, SysError, SysResult, ptrace, signal};

/// Longest argument or environment string, with its NUL (`MAX_ARG_STRLEN`).
const MAX_STRING: usize = 32 * 4096;
/// What no vector of strings can exceed, whatever the stack's limit: three quarters of `_STK_LIM`.
const MAX_VECTOR: usize = (8 << 20) / 4 * 3;

/// Replaces the program of the calling process.
pub fn exec(
    cx: &Context<'_>,
    at: Fd,
    path: UserPath,
    argv: UserPtr<u64, In>,
    envp: UserPtr<u64, In>,
    flags: Flags,
) -> SysResult<Outcome> {
    let path = path.read(cx)?;
    let limits = cx.process().limits.lock().clone();
    let loading = Loading {
        system: cx.system(),
        fs: &cx.fs(),
        credentials: &cx.credentials(),
        limits: &limits,
        personality: cx.process().state.lock().personality,
        ids: (cx.process().pid(), cx.thread.tid()),
        tracer: cx.thread.tracer(),
    };
    let file = program::open(cx, &loading, at, &path, flags)?;
    let args = read_vector(cx, argv)?;
    let env = read_vector(cx, envp)?;
    let program = match loading.load(file, &path, &args, &env) {
        Ok(program) => program,
        Err(LoadError::Late(_)) => {
            super::exit_group(cx.process(), abi::signal::SIGSEGV.cast_unsigned());
            return Ok(Outcome::Resume);
        }
        Err(LoadError::Errno(errno)) => return Err(errno.into()),
    };
    let old = cx.thread.tid();
    end_other_threads(cx)?;
    become_program(cx, program);
    if cx.thread.is_traced() {
        tell_tracer(cx, old);
    }
    Ok(Outcome::Resume)
}

/// Stops for the tracer in front of the new program's first instruction.
fn tell_tracer(cx: &Context<'_>, old_tid: u32) {
    let wanted = ptrace::event(cx, PtraceOptions::PTRACE_O_TRACEEXEC, PTRACE_EVENT_EXEC, old_tid.into());
    let seized = cx.thread.tracing.lock().seized;
    if !wanted && !seized {
        // LINUX: a tracer that did not ask for the event gets a signal.
        let (pid, uid) = (cx.process().pid().cast_signed(), cx.credentials().uid);
        let _ = signal::send_thread(&cx.thread.arc(), Siginfo::kill(SIGTRAP, SI_USER, pid, uid));
    }
}

/// Copies a NULL-terminated vector of strings in.
fn read_vector(cx: &Context<'_>, vector: UserPtr<u64, In>) -> SysResult<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    // LINUX: a null vector is an empty one.
    if vector.is_null() {
        return Ok(strings);
    }
    let mut total = 0;
    for i in 0.. {
        let at = vector.add(i).read(cx)?;
        if at == 0 {
            break;
        }
        let string = read_string(cx.memory(), UserAddr(at), MAX_STRING)?.ok_or(Errno::E2BIG)?;
        total += string.len() + 1 + size_of::<u64>();
        if total > MAX_VECTOR {
            return Err(Errno::E2BIG.into());
        }
        strings.push(string);
    }
    Ok(strings)
}

/// Ends every thread but the caller, and waits until they have.
fn end_other_threads(cx: &Context<'_>) -> SysResult<()> {
    let process = cx.process();
    {
        let state = process.state.lock();
        if state.exit != ExitState::Running || cx.thread.work_flags().contains(Work::EXIT) {
            return Err(SysError::Restart(crate::Restart::Always));
        }
        for other in state.threads.iter().filter(|t| t.tid() != cx.thread.tid()) {
            other.notify(Work::EXIT);
        }
    }
    let _registration = process.exit_events.add(Readiness::IN, cx.thread.waker());
    while process.state.lock().threads.len() > 1 {
        if cx.thread.work_flags().contains(Work::EXIT) {
            return Err(SysError::Restart(crate::Restart::Always));
        }
        cx.scheduler().park(None);
    }
    if cx.thread.tid() != process.pid() {
        cx.system().remove_thread(cx.thread.tid());
        let leader = cx.process().tracing.lock().leader.take();
        if let Some(leader) = leader {
            // LINUX: nobody hears of the first thread's end; this one takes its place.
            ptrace::detach_dead(&leader);
        }
        cx.thread.become_leader();
        cx.system().add_thread(&cx.thread.arc());
    }
    Ok(())
}

/// The point of no return: the process goes on with the new program (`execve(2)`, "Effect on process attributes").
fn become_program(cx: &Context<'_>, program: Program) {
    let (process, thread) = (cx.process(), cx.thread);
    let scheduler = cx.scheduler();
    let space = Arc::clone(program.vm.space());
    let old = process.set_vm(Arc::clone(&program.vm));
    scheduler.switch_space(space);
    thread.finish_vfork();
    drop(old);
    thread.set_files(Arc::new(thread.files().copy()));
    for description in thread.files().remove_close_on_exec() {
        crate::handlers::file::closed(process, &description);
    }
    let handlers = Arc::new(process.handlers.lock().for_exec());
    *process.handlers.lock() = handlers;
    thread.signals.reset_for_exec();
    process.timers.disarm_for_exec(process);
    thread.clear_child_tid.store(0, Ordering::Relaxed);
    thread.robust_list.store(0, Ordering::Relaxed);
    *thread.rseq.lock() = (0, 0, 0);
    thread.set_name(&program.name);
    if *program.credentials != *thread.credentials() {
        thread.set_credentials(Credentials::clone(&program.credentials));
    }
    {
        let mut state = process.state.lock();
        state.exe = Some(program.exe);
        state.auxv = program.auxv;
        state.has_execed = true;
        state.dumpable = program.dumpable;
        state.personality = program.personality;
    }
    scheduler.set_fs_base(0);
    scheduler.set_gs_base(0);
    scheduler.restore_extended(None);
    let mut regs = cx.regs.borrow_mut();
    // A tracer sees which call this was.
    **regs = UserRegs { orig_rax: regs.orig_rax, ..program.regs };
}
