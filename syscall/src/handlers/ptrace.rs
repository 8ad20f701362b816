//! Tracing: `ptrace(2)`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::fs::Iovec;
use abi::ptrace::*;
use abi::seccomp::AUDIT_ARCH_X86_64;
use abi::signal::{SIGKILL, Siginfo};
use abi::{Errno, Result};
use hal::UserAddr;
use zerocopy::IntoBytes;

use crate::decode::{In, Out, UserPtr};
use crate::proc::{Thread, Work, exit_group};
use crate::ptrace::{self, Manner, Resume, Stop, Tracing};
use crate::signal::{self, SignalSet};
use crate::{Context, SysResult};

/// Bytes of a signal set.
const SET_LEN: u64 = 8;

/// A request about a tracee: where it looks, and what with.
#[derive(Clone, Copy)]
struct Request {
    code: u64,
    addr: u64,
    data: u64,
}

/// `ptrace(2)`.
pub(crate) fn sys_ptrace(cx: &Context<'_>, request: u64, pid: i32, addr: u64, data: u64) -> SysResult<u64> {
    if request == PTRACE_TRACEME {
        return Ok(trace_me(cx).map(|()| 0)?);
    }
    let thread = find(cx, pid).ok_or(Errno::ESRCH)?;
    let request = Request { code: request, addr, data };
    match request.code {
        PTRACE_ATTACH | PTRACE_SEIZE => return Ok(attach(cx, &thread, &request).map(|()| 0)?),
        PTRACE_KILL => {
            check_tracer(cx, &thread)?;
            exit_group(thread.process(), SIGKILL.cast_unsigned());
            return Ok(0);
        }
        PTRACE_INTERRUPT => {
            check_tracer(cx, &thread)?;
            return Ok(interrupt(&thread).map(|()| 0)?);
        }
        _ => {}
    }
    check_tracer(cx, &thread)?;
    if thread.tracing.lock().halted().is_none() {
        return Err(Errno::ESRCH.into());
    }
    about_halted(cx, &thread, &request)
}

/// Finds a thread by its number.
pub(super) fn find(cx: &Context<'_>, pid: i32) -> Option<Arc<Thread>> {
    cx.system().thread(u32::try_from(pid).ok()?)
}

/// Checks that the caller traces a thread.
///
/// # Errors
/// `ESRCH`
fn check_tracer(cx: &Context<'_>, thread: &Thread) -> Result<()> {
    let own = thread.tracer().is_some_and(|tracer| tracer.tid() == cx.thread.tid());
    if own { Ok(()) } else { Err(Errno::ESRCH) }
}

fn trace_me(cx: &Context<'_>) -> Result<()> {
    if cx.thread.is_traced() {
        return Err(Errno::EPERM);
    }
    let parent = cx.process().state.lock().parent.upgrade();
    let maker = cx.thread.maker.lock().upgrade();
    // The thread that made this one, or another of the parent's where it has ended.
    let of_parent = |maker: &Arc<Thread>| parent.as_ref().is_some_and(|p| Arc::ptr_eq(p, maker.process()));
    let lives = |maker: &Arc<Thread>| cx.system().thread(maker.tid()).is_some_and(|t| Arc::ptr_eq(&t, maker));
    let tracer = maker
        .filter(|maker| of_parent(maker) && lives(maker))
        .or_else(|| parent.as_ref().and_then(|parent| parent.threads().first().cloned()));
    // DEVIATION: on Linux init becomes the tracer of its own child; the kernel, which plays init, would never wait.
    let tracer = tracer.ok_or(Errno::EPERM)?;
    ptrace::attach(&cx.thread.arc(), &tracer, Manner::Asked, PtraceOptions::empty());
    Ok(())
}

fn attach(cx: &Context<'_>, thread: &Arc<Thread>, request: &Request) -> Result<()> {
    let seizes = request.code == PTRACE_SEIZE;
    let mut options = PtraceOptions::empty();
    if seizes {
        if request.addr != 0 {
            return Err(Errno::EIO);
        }
        options = PtraceOptions::from_bits(request.data).ok_or(Errno::EIO)?;
        check_options(options)?;
    }
    if Arc::ptr_eq(thread.process(), cx.process()) {
        return Err(Errno::EPERM);
    }
    ptrace::may_access(cx.thread, thread)?;
    let manner = if seizes { Manner::Seized } else { Manner::Attached };
    if ptrace::attach(thread, &cx.thread.arc(), manner, options) { Ok(()) } else { Err(Errno::EPERM) }
}

/// DEVIATION: suspending filters is for checkpoints, and is refused as by a kernel that was built without them.
const fn check_options(options: PtraceOptions) -> Result<()> {
    if options.contains(PtraceOptions::PTRACE_O_SUSPEND_SECCOMP) { Err(Errno::EINVAL) } else { Ok(()) }
}

fn interrupt(thread: &Thread) -> Result<()> {
    if !thread.tracing.lock().seized {
        return Err(Errno::EIO);
    }
    ptrace::job_control_changed(thread);
    Ok(())
}

/// Looks at a tracee that stands.
///
/// # Errors
/// `ESRCH` if it no longer does, and what `look` answers.
fn halted<T>(thread: &Thread, look: impl FnOnce(&mut Stop) -> Result<T>) -> Result<T> {
    look(thread.tracing.lock().halted().ok_or(Errno::ESRCH)?)
}

fn about_halted(cx: &Context<'_>, thread: &Arc<Thread>, request: &Request) -> SysResult<u64> {
    let Request { code, addr, data } = *request;
    let word = UserPtr::<u64, Out>::new(UserAddr(data));
    match code {
        PTRACE_PEEKTEXT | PTRACE_PEEKDATA => {
            let mut bytes = [0; 8];
            let vm = thread.process().try_vm().ok_or(Errno::EIO)?;
            if vm.read_remote(UserAddr(addr), &mut bytes) < bytes.len() {
                return Err(Errno::EIO.into());
            }
            word.write(cx, &u64::from_ne_bytes(bytes))?;
        }
        PTRACE_POKETEXT | PTRACE_POKEDATA => {
            let vm = thread.process().try_vm().ok_or(Errno::EIO)?;
            if vm.write_forced(UserAddr(addr), &data.to_ne_bytes()) < 8 {
                return Err(Errno::EIO.into());
            }
        }
        PTRACE_PEEKUSR => word.write(cx, &halted(thread, |stop| stop.held.peek(addr))?)?,
        PTRACE_POKEUSR => halted(thread, |stop| stop.held.poke(addr, data))?,
        PTRACE_GETREGS | PTRACE_GETFPREGS => {
            let bytes = halted(thread, |stop| {
                Ok(if code == PTRACE_GETREGS {
                    stop.held.regs().as_bytes().to_vec()
                } else {
                    stop.held.float().to_vec()
                })
            })?;
            cx.memory().copy_out(UserAddr(data), &bytes)?;
        }
        PTRACE_SETREGS => {
            let regs = UserPtr::<UserRegsStruct, In>::new(UserAddr(data)).read(cx)?;
            halted(thread, |stop| stop.held.set_regs(regs.as_bytes()))?;
        }
        PTRACE_SETFPREGS => {
            let mut bytes = [0; 512];
            cx.memory().copy_in(UserAddr(data), &mut bytes)?;
            halted(thread, |stop| stop.held.set_float(&bytes))?;
        }
        PTRACE_GETREGSET | PTRACE_SETREGSET => register_set(cx, thread, request)?,
        PTRACE_CONT | PTRACE_SYSCALL | PTRACE_SINGLESTEP | PTRACE_SYSEMU | PTRACE_SYSEMU_SINGLESTEP => {
            go_on(thread, request)?;
        }
        PTRACE_DETACH => {
            ptrace::detach(thread, Some(valid_signal(data)?));
        }
        PTRACE_LISTEN => listen(thread)?,
        PTRACE_SETOPTIONS => {
            let options = PtraceOptions::from_bits(data).ok_or(Errno::EINVAL)?;
            check_options(options)?;
            thread.tracing.lock().options = options;
        }
        PTRACE_GETEVENTMSG => {
            let message = thread.tracing.lock().message;
            word.write(cx, &message)?;
        }
        PTRACE_GETSIGINFO => {
            let info = halted(thread, |stop| stop.info.ok_or(Errno::EINVAL))?;
            UserPtr::<Siginfo, Out>::new(UserAddr(data)).write(cx, &info)?;
        }
        PTRACE_SETSIGINFO => {
            let new = UserPtr::<Siginfo, In>::new(UserAddr(data)).read(cx)?;
            halted(thread, |stop| stop.info.as_mut().map(|info| *info = new).ok_or(Errno::EINVAL))?;
        }
        PTRACE_PEEKSIGINFO => return peek_signals(cx, thread, request),
        PTRACE_GETSIGMASK | PTRACE_SETSIGMASK if addr != SET_LEN => return Err(Errno::EINVAL.into()),
        PTRACE_GETSIGMASK => word.write(cx, &thread.signals.mask())?,
        PTRACE_SETSIGMASK => {
            let mask = UserPtr::<u64, In>::new(UserAddr(data)).read(cx)?;
            signal::set_mask(thread, SignalSet(mask));
        }
        PTRACE_GET_SYSCALL_INFO => return syscall_info(cx, thread, request),
        PTRACE_GET_RSEQ_CONFIGURATION => {
            let (at, len, signature) = *thread.rseq.lock();
            let configuration = PtraceRseqConfiguration {
                rseq_abi_pointer: at,
                rseq_abi_size: len,
                signature,
                ..PtraceRseqConfiguration::default()
            };
            return copy_part(cx, request, configuration.as_bytes());
        }
        // PTRACE_SINGLEBLOCK needs the processor's record of branches, which the machine does not offer.
        _ => return Err(Errno::EIO.into()),
    }
    Ok(0)
}

/// Copies as much as the tracer has room for (`addr` bytes); returns how much there is.
fn copy_part(cx: &Context<'_>, request: &Request, bytes: &[u8]) -> SysResult<u64> {
    let len = usize::try_from(request.addr).unwrap_or(usize::MAX).min(bytes.len());
    cx.memory().copy_out(UserAddr(request.data), &bytes[..len])?;
    Ok(bytes.len() as u64)
}

fn valid_signal(data: u64) -> Result<u32> {
    u32::try_from(data).ok().filter(|&signal| signal <= signal::LAST.cast_unsigned()).ok_or(Errno::EIO)
}

fn go_on(thread: &Thread, request: &Request) -> Result<()> {
    let signal = valid_signal(request.data)?;
    {
        let mut tracing = thread.tracing.lock();
        let Tracing { stop, resume, stepping, forced_trap, .. } = &mut *tracing;
        let stop = stop.as_deref_mut().filter(|stop| stop.is_halted()).ok_or(Errno::ESRCH)?;
        *stepping = matches!(request.code, PTRACE_SINGLESTEP | PTRACE_SYSEMU_SINGLESTEP);
        *resume = match request.code {
            PTRACE_SYSCALL => Resume::Syscall,
            PTRACE_SYSEMU | PTRACE_SYSEMU_SINGLESTEP => Resume::Emulate,
            _ => Resume::Continue,
        };
        *forced_trap = false;
        stop.go_on(Some(signal));
    }
    thread.task().unpark();
    Ok(())
}

fn listen(thread: &Thread) -> Result<()> {
    let mut tracing = thread.tracing.lock();
    let seized = tracing.seized;
    let stop = tracing.halted().ok_or(Errno::ESRCH)?;
    if !seized || stop.code >> 8 != PTRACE_EVENT_STOP {
        return Err(Errno::EIO);
    }
    stop.listening = true;
    drop(tracing);
    // LINUX: news that came before count.
    if thread.work_flags().contains(Work::TRAP) {
        ptrace::job_control_changed(thread);
    }
    Ok(())
}

/// `PTRACE_GETREGSET`, `PTRACE_SETREGSET`: the vector's length becomes what was copied.
fn register_set(cx: &Context<'_>, thread: &Thread, request: &Request) -> SysResult<()> {
    let vector = UserPtr::<Iovec, crate::decode::InOut>::new(UserAddr(request.data));
    let mut range = vector.read(cx)?;
    let now = halted(thread, |stop| match request.addr {
        NT_PRSTATUS => Ok(stop.held.regs().as_bytes().to_vec()),
        NT_PRFPREG => Ok(stop.held.float().to_vec()),
        NT_X86_XSTATE => Ok(stop.held.xstate()),
        _ => Err(Errno::EINVAL),
    })?;
    if !range.iov_len.is_multiple_of(8) {
        return Err(Errno::EINVAL.into());
    }
    let len = now.len().min(usize::try_from(range.iov_len).unwrap_or(usize::MAX));
    if request.code == PTRACE_GETREGSET {
        cx.memory().copy_out(UserAddr(range.iov_base), &now[..len])?;
    } else {
        let mut bytes = alloc::vec![0; len];
        cx.memory().copy_in(UserAddr(range.iov_base), &mut bytes)?;
        halted(thread, |stop| match request.addr {
            NT_PRSTATUS => stop.held.set_regs(&bytes),
            NT_PRFPREG => stop.held.set_float(&bytes),
            _ => stop.held.set_xstate(&bytes),
        })?;
    }
    range.iov_len = len as u64;
    Ok(vector.write(cx, &range)?)
}

fn peek_signals(cx: &Context<'_>, thread: &Thread, request: &Request) -> SysResult<u64> {
    let args = UserPtr::<PtracePeeksiginfoArgs, In>::new(UserAddr(request.addr)).read(cx)?;
    if args.flags & !PTRACE_PEEKSIGINFO_SHARED != 0 || args.nr < 0 {
        return Err(Errno::EINVAL.into());
    }
    let pending = if args.flags & PTRACE_PEEKSIGINFO_SHARED != 0 {
        &thread.process().pending
    } else {
        &thread.signals.pending
    };
    let skipped = usize::try_from(args.off).unwrap_or(usize::MAX);
    let wanted = usize::try_from(args.nr).unwrap_or(0);
    let found: Vec<Siginfo> = pending.list().into_iter().skip(skipped).take(wanted).collect();
    UserPtr::<Siginfo, Out>::new(UserAddr(request.data)).write_many(cx, &found)?;
    Ok(found.len() as u64)
}

fn syscall_info(cx: &Context<'_>, thread: &Thread, request: &Request) -> SysResult<u64> {
    const HEAD: usize = 24;
    const CALL: u32 = 0x85;
    const FILTER: u32 = 5 | PTRACE_EVENT_SECCOMP << 8;
    let message = thread.tracing.lock().message;
    let (info, len) = halted(thread, |stop| {
        let regs = stop.held.regs();
        let arguments = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
        let mut info = PtraceSyscallInfo {
            arch: AUDIT_ARCH_X86_64,
            instruction_pointer: regs.rip,
            stack_pointer: regs.rsp,
            ..PtraceSyscallInfo::default()
        };
        let code = stop.info.map_or(0, |info| info.si_code.cast_unsigned());
        let entry = u64::from(PTRACE_EVENTMSG_SYSCALL_ENTRY);
        let len = match code {
            CALL if message == u64::from(PTRACE_EVENTMSG_SYSCALL_EXIT) => {
                info.op = PTRACE_SYSCALL_INFO_EXIT;
                let failed = (-4095..0).contains(&regs.rax.cast_signed());
                (info.values[0], info.values[1]) = (regs.rax, u64::from(failed));
                HEAD + 9
            }
            CALL | FILTER if code == FILTER || message == entry => {
                info.values[0] = regs.orig_rax;
                info.values[1..7].copy_from_slice(&arguments);
                if code == FILTER {
                    info.op = PTRACE_SYSCALL_INFO_SECCOMP;
                    info.values[7] = message;
                    HEAD + 60
                } else {
                    info.op = PTRACE_SYSCALL_INFO_ENTRY;
                    HEAD + 56
                }
            }
            _ => HEAD,
        };
        Ok((info, len))
    })?;
    copy_part(cx, request, &info.as_bytes()[..len])
}
