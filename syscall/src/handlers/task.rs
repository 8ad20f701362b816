//! Making and ending processes and threads.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::ptrace::*;
use hal::{PAGE_SIZE, Readiness, Start, UserAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::block::{self, Woken};
use crate::decode::{Fd, Flags, In, Out, Signal, UserPath, UserPtr};
use crate::error::Outcome;
use crate::proc::{
    self, Capability, Description, ExitState, Limits, Object, Process, ProcessState, Resource, Thread,
    ThreadParts, VforkDone,
};
use crate::{Context, Restart, SysError, SysResult, ptrace};

const CSIGNAL: u64 = 0xff;
const CLONE_VM: u64 = 0x100;
const CLONE_FS: u64 = 0x200;
const CLONE_FILES: u64 = 0x400;
const CLONE_SIGHAND: u64 = 0x800;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_PTRACE: u64 = 0x2000;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_PARENT: u64 = 0x8000;
const CLONE_THREAD: u64 = 0x1_0000;
const CLONE_NEWNS: u64 = 0x2_0000;
const CLONE_SYSVSEM: u64 = 0x4_0000;
const CLONE_SETTLS: u64 = 0x8_0000;
const CLONE_PARENT_SETTID: u64 = 0x10_0000;
const CLONE_CHILD_CLEARTID: u64 = 0x20_0000;
const CLONE_DETACHED: u64 = 0x40_0000;
const CLONE_UNTRACED: u64 = 0x80_0000;
const CLONE_CHILD_SETTID: u64 = 0x100_0000;
const CLONE_NEWCGROUP: u64 = 0x200_0000;
const CLONE_NEWUTS: u64 = 0x400_0000;
const CLONE_NEWIPC: u64 = 0x800_0000;
const CLONE_NEWUSER: u64 = 0x1000_0000;
const CLONE_NEWPID: u64 = 0x2000_0000;
const CLONE_NEWNET: u64 = 0x4000_0000;
const CLONE_IO: u64 = 0x8000_0000;
const CLONE_CLEAR_SIGHAND: u64 = 1 << 32;
const CLONE_INTO_CGROUP: u64 = 1 << 33;
const CLONE_NEWTIME: u64 = 0x80;
/// Every flag that asks for a namespace; Hull answers as a kernel that was built without them.
const NAMESPACES: u64 =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

/// What `clone`, `clone3`, `fork` and `vfork` have in common.
#[derive(Default)]
struct CloneRequest {
    flags: u64,
    exit_signal: i32,
    stack: u64,
    parent_tid: UserAddr,
    child_tid: UserAddr,
    pidfd: UserAddr,
    tls: u64,
}

/// `fork(2)`.
pub(crate) fn sys_fork(cx: &Context<'_>) -> SysResult<u32> {
    clone(cx, &CloneRequest { exit_signal: abi::signal::SIGCHLD, ..CloneRequest::default() })
}

/// `vfork(2)`.
pub(crate) fn sys_vfork(cx: &Context<'_>) -> SysResult<u32> {
    let flags = CLONE_VM | CLONE_VFORK;
    clone(cx, &CloneRequest { flags, exit_signal: abi::signal::SIGCHLD, ..CloneRequest::default() })
}

/// `clone(2)`, with x86_64's order of arguments.
pub(crate) fn sys_clone(
    cx: &Context<'_>,
    flags: u64,
    stack: u64,
    parent_tid: UserAddr,
    child_tid: UserAddr,
    tls: u64,
) -> SysResult<u32> {
    // Linux looks at the low half only.
    let flags = flags & 0xffff_ffff;
    let (pidfd, parent_tid) =
        if flags & CLONE_PIDFD != 0 { (parent_tid, UserAddr::NULL) } else { (UserAddr::NULL, parent_tid) };
    if flags & CLONE_PIDFD != 0 && flags & (CLONE_PARENT_SETTID | CLONE_DETACHED) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let exit_signal = (flags & CSIGNAL) as i32;
    clone(
        cx,
        &CloneRequest { flags: flags & !CSIGNAL, exit_signal, stack, parent_tid, child_tid, pidfd, tls },
    )
}

/// `struct clone_args`, version 2.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `clone3(2)`.
pub(crate) fn sys_clone3(cx: &Context<'_>, args: UserAddr, size: usize) -> SysResult<u32> {
    const FIRST_VERSION: usize = 64;
    if size > PAGE_SIZE {
        return Err(Errno::E2BIG.into());
    }
    if size < FIRST_VERSION {
        return Err(Errno::EINVAL.into());
    }
    let mut bytes = alloc::vec![0; size.max(size_of::<CloneArgs>())];
    cx.memory().copy_in(args, &mut bytes[..size])?;
    let (known, unknown) = bytes.split_at(size_of::<CloneArgs>());
    if unknown.iter().any(|&b| b != 0) {
        return Err(Errno::E2BIG.into());
    }
    let args = CloneArgs::read_from_bytes(known).map_err(|_| Errno::EINVAL)?;
    if args.exit_signal & !CSIGNAL != 0
        || args.exit_signal > 64
        || args.flags & (CLONE_DETACHED | CSIGNAL & !CLONE_NEWTIME) != 0
    {
        return Err(Errno::EINVAL.into());
    }
    if args.flags & (CLONE_THREAD | CLONE_PARENT) != 0 && args.exit_signal != 0 {
        return Err(Errno::EINVAL.into());
    }
    if (args.stack == 0) != (args.stack_size == 0) {
        return Err(Errno::EINVAL.into());
    }
    // Choosing numbers and control groups needs namespaces and cgroups that Hull does not have.
    if args.set_tid != 0 || args.set_tid_size != 0 || args.flags & (CLONE_INTO_CGROUP | CLONE_NEWTIME) != 0 {
        return Err(Errno::EINVAL.into());
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be at most 64")]
    let exit_signal = args.exit_signal as i32;
    clone(
        cx,
        &CloneRequest {
            flags: args.flags,
            exit_signal,
            stack: if args.stack == 0 { 0 } else { args.stack.wrapping_add(args.stack_size) },
            parent_tid: UserAddr(args.parent_tid),
            child_tid: UserAddr(args.child_tid),
            pidfd: UserAddr(args.pidfd),
            tls: args.tls,
        },
    )
}

fn clone(cx: &Context<'_>, request: &CloneRequest) -> SysResult<u32> {
    let flags = request.flags;
    let has = |flag| flags & flag != 0;
    if flags & !(0xffff_ffff | CLONE_CLEAR_SIGHAND) != 0
        || has(CLONE_SIGHAND) && !has(CLONE_VM)
        || has(CLONE_THREAD) && !has(CLONE_SIGHAND)
        || has(CLONE_SIGHAND) && has(CLONE_CLEAR_SIGHAND)
        || has(CLONE_FS) && has(CLONE_NEWNS)
        || has(CLONE_PIDFD) && has(CLONE_THREAD)
        || has(CLONE_PARENT) && cx.process().parent_pid() == 1
    {
        return Err(Errno::EINVAL.into());
    }
    if flags & NAMESPACES != 0 {
        return Err(Errno::EINVAL.into());
    }
    // I/O contexts have no effect without an I/O scheduler.
    let _without_effect = CLONE_IO;
    if cx.system().thread_count().0 as u64 >= cx.process().limit(Resource::Nproc)
        && !cx.credentials().can(Capability::SysResource)
    {
        return Err(Errno::EAGAIN.into());
    }
    let parent = cx.thread;
    let tid = cx.system().new_id()?;
    let process = if has(CLONE_THREAD) { Arc::clone(cx.process()) } else { new_process(cx, request, tid)? };
    let credentials = parent.credentials();
    let files = if has(CLONE_FILES) { parent.files() } else { Arc::new(parent.files().copy()) };
    let fs = if has(CLONE_FS) { parent.fs() } else { Arc::new(parent.fs().copy()) };
    let mut sched = *parent.sched.lock();
    if sched.reset_on_fork {
        sched = proc::SchedPolicy { nice: sched.nice.max(0), ..proc::SchedPolicy::default() };
    }
    let thread = Thread::new(ThreadParts {
        process: Arc::clone(&process),
        tid,
        files,
        fs,
        credentials,
        name: parent.name(),
        signal_mask: parent.signals.mask(),
        sched,
        affinity: *parent.affinity.lock(),
    });
    crate::seccomp::inherit(parent, &thread);
    crate::signal::clone_thread(parent, &thread, has(CLONE_VM) && !has(CLONE_VFORK));
    let mut regs = **cx.regs.borrow();
    regs.rax = 0;
    if request.stack != 0 {
        regs.rsp = request.stack;
    }
    let scheduler = cx.scheduler();
    let start = Start {
        thread: thread.clone(),
        regs,
        fs_base: if has(CLONE_SETTLS) { request.tls } else { scheduler.fs_base() },
        gs_base: scheduler.gs_base(),
        space: Arc::clone(process.vm().space()),
        extended: Some(scheduler.save_extended()),
        affinity: *parent.affinity.lock(),
    };
    let task = scheduler.spawn(start).map_err(|_| Errno::EAGAIN)?;
    thread.set_task(task);
    task_nice(&thread, sched.nice);
    let mut pidfd = None;
    if has(CLONE_PIDFD) {
        let description = Description::new(Object::Process(Arc::clone(&process)), 0);
        let limit = cx.process().limit(Resource::Nofile);
        let fd = cx.files().add(description, proc::CloseOnExec::Yes, 0, limit)?;
        if let Err(fault) = UserPtr::<i32, Out>::new(request.pidfd).write(cx, &fd.0) {
            let _closed = cx.files().remove(fd);
            return Err(fault.into());
        }
        pidfd = Some(fd);
    }
    let _kept_open = pidfd;
    if has(CLONE_PARENT_SETTID) {
        // LINUX: a fault here is not an error.
        let _ = UserPtr::<u32, Out>::new(request.parent_tid).write(cx, &tid);
    }
    if has(CLONE_CHILD_SETTID) {
        if has(CLONE_VM) {
            let _ = UserPtr::<u32, Out>::new(request.child_tid).write(cx, &tid);
        } else {
            let _ = process.vm().write_initial(request.child_tid, &tid.to_le_bytes());
        }
    }
    if has(CLONE_SYSVSEM) {
        *thread.undo.lock() = Some(parent.undo_list());
    }
    if has(CLONE_CHILD_CLEARTID) {
        thread.clear_child_tid.store(request.child_tid.0, core::sync::atomic::Ordering::Relaxed);
    }
    if !has(CLONE_VM) {
        let registered = *parent.rseq.lock();
        *thread.rseq.lock() = registered;
        thread.add_work(proc::Work::RSEQ);
    }
    let vfork = has(CLONE_VFORK).then(Arc::<VforkDone>::default);
    (*thread.vfork.lock()).clone_from(&vfork);
    let event = clone_event(request);
    *thread.maker.lock() = Arc::downgrade(&parent.arc());
    let follows = parent.is_traced()
        && (has(CLONE_PTRACE)
            || event.is_some_and(|(option, _)| parent.tracing.lock().options.contains(option)));
    if follows {
        ptrace::follow(parent, &thread);
    }
    if !join_process(cx, &process, &thread) {
        ptrace::detach_dead(&thread);
        return Err(SysError::Restart(Restart::Always));
    }
    thread.task().unpark();
    if let Some((option, kind)) = event {
        ptrace::event(cx, option, kind, tid.into());
    }
    if let Some(done) = vfork {
        wait_for_vfork(cx, &done);
        ptrace::event(cx, PtraceOptions::PTRACE_O_TRACEVFORKDONE, PTRACE_EVENT_VFORK_DONE, tid.into());
    }
    Ok(tid)
}

/// Returns the option of a tracer that wants to hear of a new thread, and the event.
const fn clone_event(request: &CloneRequest) -> Option<(PtraceOptions, u32)> {
    if request.flags & CLONE_UNTRACED != 0 {
        None
    } else if request.flags & CLONE_VFORK != 0 {
        Some((PtraceOptions::PTRACE_O_TRACEVFORK, PTRACE_EVENT_VFORK))
    } else if request.exit_signal != abi::signal::SIGCHLD {
        Some((PtraceOptions::PTRACE_O_TRACECLONE, PTRACE_EVENT_CLONE))
    } else {
        Some((PtraceOptions::PTRACE_O_TRACEFORK, PTRACE_EVENT_FORK))
    }
}

fn task_nice(thread: &Thread, nice: i8) {
    if nice != 0 {
        thread.task().set_nice(nice);
    }
}

/// Enters the thread in its process, and a new process in the table; `false` if the process is ending.
fn join_process(cx: &Context<'_>, process: &Arc<Process>, thread: &Arc<Thread>) -> bool {
    {
        let mut state = process.state.lock();
        if state.exit != ExitState::Running || cx.thread.work_flags().contains(proc::Work::EXIT) {
            return false;
        }
        state.threads.push(Arc::clone(thread));
    }
    cx.system().add_thread(thread);
    if !Arc::ptr_eq(process, cx.process()) {
        cx.system().add_process(process);
        let parent = process.state.lock().parent.upgrade();
        if let Some(parent) = parent {
            parent.state.lock().children.push(Arc::clone(process));
        }
    }
    true
}

fn new_process(cx: &Context<'_>, request: &CloneRequest, pid: u32) -> SysResult<Arc<Process>> {
    let caller = cx.process();
    let vm = if request.flags & CLONE_VM != 0 { caller.vm() } else { caller.vm().fork(pid)? };
    let handlers = Arc::clone(&caller.handlers.lock());
    let handlers = if request.flags & CLONE_SIGHAND != 0 {
        handlers
    } else if request.flags & CLONE_CLEAR_SIGHAND != 0 {
        Arc::new(handlers.copy_cleared())
    } else {
        Arc::new(handlers.copy())
    };
    let limits: Limits = caller.limits.lock().clone();
    let state = caller.state.lock();
    let parent =
        if request.flags & CLONE_PARENT != 0 { state.parent.clone() } else { Arc::downgrade(caller) };
    let child = ProcessState {
        parent,
        children: Vec::new(),
        threads: Vec::new(),
        group: state.group,
        session: state.session,
        exit: ExitState::Running,
        stopped: None,
        report: None,
        has_execed: false,
        subreaper: false,
        dumpable: state.dumpable,
        exe: state.exe.clone(),
        auxv: state.auxv.clone(),
        last_uid: 0,
        ended_time: hal::CpuTime::default(),
        children_time: hal::CpuTime::default(),
        personality: state.personality,
        oom_score_adj: state.oom_score_adj,
    };
    drop(state);
    Ok(Process::new(cx.system(), pid, vm, handlers, limits, child, request.exit_signal))
}

/// Waits until the child has called `execve` or ended; only a signal that kills ends the wait early.
fn wait_for_vfork(cx: &Context<'_>, done: &Arc<VforkDone>) {
    let _registration = done.queue().add(Readiness::IN, cx.thread.waker());
    while !done.is_done() && !cx.thread.work_flags().contains(proc::Work::EXIT) {
        cx.scheduler().park(None);
    }
}

/// `unshare(2)`: gives the thread its own of what it shares with others.
pub(crate) fn sys_unshare(cx: &Context<'_>, flags: u64) -> SysResult<()> {
    let own = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM;
    // What threads of a process always share can be unshared only by a thread that is alone in it.
    let alone = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
    if flags & !(own | alone) != 0 || flags & alone != 0 && cx.process().state.lock().threads.len() > 1 {
        return Err(Errno::EINVAL.into());
    }
    let thread = cx.thread;
    if flags & CLONE_SYSVSEM != 0 {
        thread.release_undo();
    }
    if flags & CLONE_FS != 0 {
        drop(thread.set_fs(Arc::new(thread.fs().copy())));
    }
    if flags & CLONE_FILES != 0 {
        drop(thread.set_files(Arc::new(thread.files().copy())));
    }
    Ok(())
}

/// `exit(2)`: ends the calling thread.
pub(crate) fn sys_exit(cx: &Context<'_>, status: i32) -> Outcome {
    proc::exit_thread(cx, exit_status(status));
    Outcome::Exit
}

/// `exit_group(2)`: ends the process.
pub(crate) fn sys_exit_group(cx: &Context<'_>, status: i32) -> Outcome {
    proc::exit_group(cx.process(), exit_status(status));
    proc::exit_thread(cx, exit_status(status));
    Outcome::Exit
}

/// Encodes an exit code as `wait(2)` reports it.
const fn exit_status(code: i32) -> u32 {
    (code.cast_unsigned() & 0xff) << 8
}

/// `set_tid_address(2)`.
pub(crate) fn sys_set_tid_address(cx: &Context<'_>, at: UserAddr) -> u32 {
    cx.thread.clear_child_tid.store(at.0, core::sync::atomic::Ordering::Relaxed);
    cx.thread.tid()
}

/// `execve(2)`.
pub(crate) fn sys_execve(
    cx: &Context<'_>,
    path: UserPath,
    argv: UserPtr<u64, In>,
    envp: UserPtr<u64, In>,
) -> SysResult<Outcome> {
    proc::exec(cx, Fd(AT_FDCWD), path, argv, envp, Flags(0))
}

/// `execveat(2)`.
pub(crate) fn sys_execveat(
    cx: &Context<'_>,
    at: Fd,
    path: UserPath,
    argv: UserPtr<u64, In>,
    envp: UserPtr<u64, In>,
    flags: Flags,
) -> SysResult<Outcome> {
    proc::exec(cx, at, path, argv, envp, flags)
}

const AT_FDCWD: i32 = -100;

/// `pidfd_open(2)`.
pub(crate) fn sys_pidfd_open(cx: &Context<'_>, pid: i32, flags: Flags) -> SysResult<i32> {
    const PIDFD_NONBLOCK: u32 = 0o4000;
    if flags.0 & !PIDFD_NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let pid = pid.cast_unsigned();
    let Some(process) = cx.system().process(pid) else {
        // LINUX: the number of a thread that does not lead its process is EINVAL, not ESRCH.
        return Err(if cx.system().thread(pid).is_some() { Errno::EINVAL } else { Errno::ESRCH }.into());
    };
    let description = Description::new(Object::Process(process), flags.0);
    let fd = cx.files().add(description, proc::CloseOnExec::Yes, 0, cx.process().limit(Resource::Nofile))?;
    Ok(fd.0)
}

/// `pidfd_send_signal(2)`.
pub(crate) fn sys_pidfd_send_signal(
    cx: &Context<'_>,
    pidfd: Fd,
    signal: Signal,
    info: UserAddr,
    flags: Flags,
) -> SysResult<()> {
    if flags.0 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let description = cx.files().get(pidfd)?;
    let Object::Process(process) = description.object() else { return Err(Errno::EBADF.into()) };
    crate::handlers::signal::send_by_pidfd(cx, process, signal, info)
}

/// Sleeps on a child's change of state; used by the wait calls.
pub(super) fn park_for_child(cx: &Context<'_>) -> SysResult<()> {
    match block::park(cx, None) {
        Woken::Signal => Err(SysError::Restart(Restart::Sys)),
        Woken::Again | Woken::Deadline => Ok(()),
    }
}
