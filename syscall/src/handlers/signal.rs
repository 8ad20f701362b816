//! Signals: actions, masks, waiting, sending.

use alloc::sync::Arc;

use abi::signal::*;
use abi::time::Timespec;
use abi::{Errno, Result};
use hal::Readiness;

use crate::block::{self, Woken};
use crate::decode::{In, Out, Signal, UserPtr};
use crate::error::Outcome;
use crate::handlers::time::duration_ns;
use crate::proc::{Capability, Process, Thread};
use crate::signal::{self, Action, SignalSet};
use crate::{Context, Restart, SysError, SysResult};

/// Bytes of a `sigset_t`.
const SET_LEN: usize = 8;
/// What the kernel knows of `sa_flags`; other bits are cleared when they are set (`SA_UNSUPPORTED`).
const KNOWN_FLAGS: SaFlags = SaFlags::all().difference(SaFlags::SA_UNSUPPORTED);

const fn valid(signal: i32) -> bool {
    signal >= 1 && signal <= signal::LAST
}

fn check_len(len: usize) -> Result<()> {
    if len == SET_LEN { Ok(()) } else { Err(Errno::EINVAL) }
}

/// `rt_sigaction(2)`.
pub(crate) fn sys_rt_sigaction(
    cx: &Context<'_>,
    signal: Signal,
    new: UserPtr<KernelSigaction, In>,
    old: UserPtr<KernelSigaction, Out>,
    len: usize,
) -> SysResult<()> {
    check_len(len)?;
    let new = new.non_null().map(|new| new.read(cx)).transpose()?;
    let signal = signal.0;
    if !valid(signal) || (new.is_some() && SignalSet::UNBLOCKABLE.has(signal)) {
        return Err(Errno::EINVAL.into());
    }
    let handlers = Arc::clone(&cx.process().handlers.lock());
    let before = match new {
        Some(new) => {
            let action = Action {
                handler: new.sa_handler,
                flags: SaFlags::from_bits_truncate(new.sa_flags) & KNOWN_FLAGS,
                restorer: new.sa_restorer,
                mask: SignalSet(new.sa_mask).without(SignalSet::UNBLOCKABLE),
            };
            let before = handlers.set(signal, action);
            if action.ignores(signal) {
                // POSIX: a signal that is ignored from now on no longer waits, blocked or not.
                let set = SignalSet::of(&[signal]);
                cx.process().pending.forget(set);
                cx.process().threads().iter().for_each(|t| t.signals.pending.forget(set));
            }
            before
        }
        None => handlers.get(signal),
    };
    if let Some(old) = old.non_null() {
        old.write(
            cx,
            &KernelSigaction {
                sa_handler: before.handler,
                sa_flags: before.flags.bits(),
                sa_restorer: before.restorer,
                sa_mask: before.mask.0,
            },
        )?;
    }
    Ok(())
}

/// `rt_sigprocmask(2)`.
pub(crate) fn sys_rt_sigprocmask(
    cx: &Context<'_>,
    how: i32,
    new: UserPtr<u64, In>,
    old: UserPtr<u64, Out>,
    len: usize,
) -> SysResult<()> {
    check_len(len)?;
    let before = cx.thread.signals.mask();
    if let Some(new) = new.non_null() {
        let new = SignalSet(new.read(cx)?).without(SignalSet::UNBLOCKABLE).0;
        let mask = match how {
            SIG_BLOCK => before | new,
            SIG_UNBLOCK => before & !new,
            SIG_SETMASK => new,
            _ => return Err(Errno::EINVAL.into()),
        };
        signal::set_mask(cx.thread, SignalSet(mask));
    }
    if let Some(old) = old.non_null() {
        old.write(cx, &before)?;
    }
    Ok(())
}

/// `rt_sigpending(2)`.
pub(crate) fn sys_rt_sigpending(cx: &Context<'_>, set: UserPtr<u64, Out>, len: usize) -> SysResult<()> {
    if len > SET_LEN {
        return Err(Errno::EINVAL.into());
    }
    let waiting = signal::pending(cx.thread).0 & cx.thread.signals.mask();
    cx.memory().copy_out(set.addr(), &waiting.to_le_bytes()[..len])?;
    Ok(())
}

/// `rt_sigsuspend(2)`.
pub(crate) fn sys_rt_sigsuspend(cx: &Context<'_>, set: UserPtr<u64, In>, len: usize) -> SysResult<()> {
    check_len(len)?;
    let mask = set.read(cx)?;
    signal::with_mask(cx, Some(mask), || sys_pause(cx))
}

/// `pause(2)`.
pub(crate) fn sys_pause(cx: &Context<'_>) -> SysResult<()> {
    while block::park(cx, None) != Woken::Signal {}
    Err(SysError::Restart(Restart::NoHandler))
}

/// `rt_sigtimedwait(2)`.
pub(crate) fn sys_rt_sigtimedwait(
    cx: &Context<'_>,
    set: UserPtr<u64, In>,
    info: UserPtr<Siginfo, Out>,
    timeout: UserPtr<Timespec, In>,
    len: usize,
) -> SysResult<i32> {
    check_len(len)?;
    let wanted = SignalSet(set.read(cx)?).without(SignalSet::UNBLOCKABLE);
    let deadline = match timeout.non_null() {
        Some(timeout) => {
            let wait = duration_ns(&timeout.read(cx)?)?;
            Some(cx.clock().monotonic_ns().saturating_add(wait))
        }
        None => None,
    };
    let thread = cx.thread;
    let queues = [thread.signals.pending.events(), cx.process().pending.events()];
    let _registrations = queues.map(|queue| queue.add(Readiness::READ, thread.waker()));
    let found = loop {
        if let Some(found) = signal::dequeue(thread, wanted) {
            break found;
        }
        match block::park(cx, deadline) {
            Woken::Again => {}
            Woken::Deadline => return Err(Errno::EAGAIN.into()),
            // LINUX: never restarted, whatever the handler's flags.
            Woken::Signal => match signal::dequeue(thread, wanted) {
                Some(found) => break found,
                None => return Err(Errno::EINTR.into()),
            },
        }
    };
    if let Some(to) = info.non_null() {
        to.write(cx, &found)?;
    }
    Ok(found.si_signo)
}

/// `rt_sigreturn(2)`: the end of a handler.
pub(crate) fn sys_rt_sigreturn(cx: &Context<'_>) -> Outcome {
    if signal::return_from_handler(cx).is_err() {
        cx.regs.borrow_mut().orig_rax = u64::MAX;
        signal::force_signal(cx.thread, Siginfo::kill(SIGSEGV, SI_KERNEL, 0, 0));
    }
    Outcome::Resume
}

/// `sigaltstack(2)`.
pub(crate) fn sys_sigaltstack(
    cx: &Context<'_>,
    new: UserPtr<StackT, In>,
    old: UserPtr<StackT, Out>,
) -> SysResult<()> {
    let new = new.non_null().map(|new| new.read(cx)).transpose()?;
    let pointer = cx.regs.borrow().rsp;
    let before = cx.thread.signals.stack().show(pointer);
    if let Some(new) = new {
        signal::set_alternate_stack(cx, &new, pointer)?;
    }
    if let Some(old) = old.non_null() {
        old.write(cx, &before)?;
    }
    Ok(())
}

/// `restart_syscall(2)`.
pub(crate) fn sys_restart_syscall(cx: &Context<'_>) -> SysResult<i64> {
    match cx.thread.signals.take_continuation() {
        Some(continuation) => continuation(cx),
        None => Err(Errno::EINTR.into()),
    }
}

/// What the sender of a signal tells of itself.
fn from_sender(cx: &Context<'_>, signal: i32, code: i32) -> Siginfo {
    Siginfo::kill(signal, code, cx.process().pid().cast_signed(), cx.credentials().uid)
}

/// Checks the signal's number and that the caller may send it (`kill(2)`); `false` for 0, which only checks.
fn check(cx: &Context<'_>, process: &Process, signal: i32) -> Result<bool> {
    if signal != 0 && !valid(signal) {
        return Err(Errno::EINVAL);
    }
    if process.pid() != cx.process().pid() {
        let own = cx.credentials();
        let other = process.threads().first().map(|t| t.credentials());
        let same_user = other
            .is_none_or(|o| own.euid == o.suid || own.euid == o.uid || own.uid == o.suid || own.uid == o.uid);
        let same_session = || {
            let session = process.state.lock().session;
            signal == SIGCONT && cx.process().state.lock().session == session
        };
        if !same_user && !own.can(Capability::Kill) && !same_session() {
            return Err(Errno::EPERM);
        }
    }
    Ok(signal != 0)
}

fn send(cx: &Context<'_>, process: &Process, info: Siginfo, signal: i32) -> Result<()> {
    if check(cx, process, signal)? { signal::send_process(process, info) } else { Ok(()) }
}

/// Finds a process by its number or that of one of its threads.
fn find(cx: &Context<'_>, pid: i32) -> Result<Arc<Process>> {
    let pid = pid.cast_unsigned();
    let by_thread = || cx.system().thread(pid).map(|t| Arc::clone(t.process()));
    cx.system().process(pid).or_else(by_thread).ok_or(Errno::ESRCH)
}

/// `kill(2)`.
pub(crate) fn sys_kill(cx: &Context<'_>, pid: i32, signal: Signal) -> SysResult<()> {
    let signal = signal.0;
    let info = from_sender(cx, signal, SI_USER);
    if pid == 1 {
        // The kernel plays init, which catches nothing.
        let allowed = cx.credentials().can(Capability::Kill);
        return match signal {
            s if s != 0 && !valid(s) => Err(Errno::EINVAL.into()),
            _ if allowed => Ok(()),
            _ => Err(Errno::EPERM.into()),
        };
    }
    if pid > 0 {
        let process = find(cx, pid)?;
        return Ok(send(cx, &process, info, signal)?);
    }
    if pid == i32::MIN {
        return Err(Errno::ESRCH.into());
    }
    let own = cx.process().pid();
    let group = if pid == 0 { cx.process().state.lock().group } else { pid.unsigned_abs() };
    let (mut result, mut sent) = (Err(Errno::ESRCH), false);
    for process in cx.system().processes() {
        let chosen = if pid == -1 { process.pid() != own } else { process.state.lock().group == group };
        if chosen {
            let answer = send(cx, &process, info, signal);
            sent |= answer.is_ok();
            // LINUX: for everybody, lack of permission is not an answer; for a group, one success is.
            if pid != -1 || answer != Err(Errno::EPERM) {
                result = answer;
            } else if result == Err(Errno::ESRCH) {
                result = Ok(());
            }
        }
    }
    Ok(if sent { Ok(()) } else { result }?)
}

fn send_to_thread(cx: &Context<'_>, tgid: i32, tid: i32, info: Siginfo, signal: i32) -> Result<()> {
    let thread: Arc<Thread> = cx.system().thread(tid.cast_unsigned()).ok_or(Errno::ESRCH)?;
    if tgid > 0 && thread.process().pid() != tgid.cast_unsigned() {
        return Err(Errno::ESRCH);
    }
    if check(cx, thread.process(), signal)? { signal::send_thread(&thread, info) } else { Ok(()) }
}

/// `tgkill(2)`.
pub(crate) fn sys_tgkill(cx: &Context<'_>, tgid: i32, tid: i32, signal: Signal) -> SysResult<()> {
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    Ok(send_to_thread(cx, tgid, tid, from_sender(cx, signal.0, SI_TKILL), signal.0)?)
}

/// `tkill(2)`.
pub(crate) fn sys_tkill(cx: &Context<'_>, tid: i32, signal: Signal) -> SysResult<()> {
    if tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    Ok(send_to_thread(cx, 0, tid, from_sender(cx, signal.0, SI_TKILL), signal.0)?)
}

/// Refuses what only the kernel may say (`rt_sigqueueinfo(2)`), but to oneself.
fn check_code(cx: &Context<'_>, info: &Siginfo, pid: u32) -> Result<()> {
    let kernels = info.si_code >= 0 || info.si_code == SI_TKILL;
    if kernels && cx.process().pid() != pid { Err(Errno::EPERM) } else { Ok(()) }
}

/// `rt_sigqueueinfo(2)`.
pub(crate) fn sys_rt_sigqueueinfo(
    cx: &Context<'_>,
    pid: i32,
    signal: Signal,
    info: UserPtr<Siginfo, In>,
) -> SysResult<()> {
    let info = Siginfo { si_signo: signal.0, ..info.read(cx)? };
    check_code(cx, &info, pid.cast_unsigned())?;
    let process = find(cx, pid)?;
    Ok(send(cx, &process, info, signal.0)?)
}

/// `rt_tgsigqueueinfo(2)`.
pub(crate) fn sys_rt_tgsigqueueinfo(
    cx: &Context<'_>,
    tgid: i32,
    tid: i32,
    signal: Signal,
    info: UserPtr<Siginfo, In>,
) -> SysResult<()> {
    let info = Siginfo { si_signo: signal.0, ..info.read(cx)? };
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    check_code(cx, &info, tid.cast_unsigned())?;
    Ok(send_to_thread(cx, tgid, tid, info, signal.0)?)
}

/// Sends a signal to the process behind a descriptor (`pidfd_send_signal(2)`).
pub(crate) fn send_by_pidfd(
    cx: &Context<'_>,
    process: &Arc<Process>,
    signal: Signal,
    info: hal::UserAddr,
) -> SysResult<()> {
    let info = match UserPtr::<Siginfo, In>::new(info).non_null() {
        Some(info) => {
            let info = info.read(cx)?;
            if info.si_signo != signal.0 {
                return Err(Errno::EINVAL.into());
            }
            check_code(cx, &info, process.pid())?;
            info
        }
        None => from_sender(cx, signal.0, SI_USER),
    };
    if process.threads().is_empty() {
        return Err(Errno::ESRCH.into());
    }
    Ok(send(cx, process, info, signal.0)?)
}
