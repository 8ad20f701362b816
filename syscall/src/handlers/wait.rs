//! Waiting for children: `wait4(2)`, `waitid(2)`.

use alloc::sync::Arc;

use abi::Errno;
use abi::process::Rusage;
use abi::signal::{SIGCHLD, SIGCONT};
use abi::time::Timeval;
use hal::{CpuTime, Readiness, UserAddr};
use zerocopy::IntoBytes;

use crate::decode::{Fd, Flags, Out, UserPtr};
use crate::proc::{ExitState, Object, Process, Thread};
use crate::{Context, SysResult, ptrace};

const WNOHANG: u32 = 1;
const WUNTRACED: u32 = 2;
const WSTOPPED: u32 = 2;
const WEXITED: u32 = 4;
const WCONTINUED: u32 = 8;
const WNOWAIT: u32 = 0x0100_0000;
const WNOTHREAD: u32 = 0x2000_0000;
const WALL: u32 = 0x4000_0000;
const WCLONE: u32 = 0x8000_0000;

/// `_WCLONE` children are those that do not send `SIGCHLD`.
const LINUX_ONLY: u32 = WNOTHREAD | WALL | WCLONE;

/// The wait status of a child that goes on.
const CONTINUED: u32 = 0xffff;

/// Which children a call waits for.
enum Which {
    Any,
    Pid(u32),
    Group(u32),
    Process(Arc<Process>),
}

impl Which {
    fn matches(&self, child: &Process) -> bool {
        match self {
            Self::Any => true,
            Self::Pid(pid) => child.pid() == *pid,
            Self::Group(group) => child.state.lock().group == *group,
            Self::Process(process) => core::ptr::eq(&raw const **process, child),
        }
    }

    fn matches_thread(&self, thread: &Thread) -> bool {
        match self {
            Self::Pid(pid) => thread.tid() == *pid,
            Self::Process(_) => thread.leads() && self.matches(thread.process()),
            Self::Any | Self::Group(_) => self.matches(thread.process()),
        }
    }
}

/// What was found.
struct Found {
    /// The number of the process, or of the traced thread.
    id: u32,
    status: u32,
    /// A tracee's stop: `status` is what `waitid(2)` shows of it, unencoded.
    trapped: bool,
    time: CpuTime,
    /// The child's real user.
    uid: u32,
}

/// Looks through the children once; takes the report or the zombie unless `WNOWAIT`. `ECHILD` if none matches.
fn look(cx: &Context<'_>, which: &Which, options: u32) -> Result<Option<Found>, Errno> {
    let process = cx.process();
    let children = process.state.lock().children.clone();
    let (mut any, found) = look_at_tracees(cx, which, options);
    if found.is_some() {
        return Ok(found);
    }
    for child in children {
        let by_signal = child.exit_signal == SIGCHLD;
        if options & WALL == 0 && (options & WCLONE != 0) == by_signal || !which.matches(&child) {
            continue;
        }
        any = true;
        let hidden = child.tracing.lock().hidden;
        let mut state = child.state.lock();
        if let ExitState::Zombie(status) = state.exit
            && options & WEXITED != 0
            && !hidden
        {
            let time = state.ended_time;
            let below = state.children_time;
            drop(state);
            if options & WNOWAIT == 0 && !reap(process, &child, time, below) {
                continue;
            }
            return Ok(Some(Found { id: child.pid(), status, trapped: false, time, uid: child.uid() }));
        }
        let reported = match state.report {
            Some(CONTINUED) => options & WCONTINUED != 0,
            Some(_) => options & WSTOPPED != 0,
            None => false,
        };
        if reported && let Some(status) = state.report {
            if options & WNOWAIT == 0 {
                state.report = None;
            }
            drop(state);
            let time = child.cpu_time();
            return Ok(Some(Found { id: child.pid(), status, trapped: false, time, uid: child.uid() }));
        }
    }
    if any { Ok(None) } else { Err(Errno::ECHILD) }
}

/// Looks through those that the process traces; says whether there is one that matches.
fn look_at_tracees(cx: &Context<'_>, which: &Which, options: u32) -> (bool, Option<Found>) {
    let mut tracees = cx.thread.tracees.lock().clone();
    if options & WNOTHREAD == 0 {
        for other in cx.process().threads().iter().filter(|other| other.tid() != cx.thread.tid()) {
            tracees.extend(other.tracees.lock().iter().cloned());
        }
    }
    let mut any = false;
    for tracee in tracees.iter().filter(|tracee| which.matches_thread(tracee)) {
        any = true;
        let found = look_at_tracee(cx, tracee, options);
        if found.is_some() {
            return (any, found);
        }
    }
    (any, None)
}

fn look_at_tracee(cx: &Context<'_>, tracee: &Arc<Thread>, options: u32) -> Option<Found> {
    let process = tracee.process();
    let found = |status, trapped| Found {
        id: tracee.tid(),
        status,
        trapped,
        time: tracee.task().cpu_time(),
        uid: tracee.credentials().uid,
    };
    let ended = {
        let state = process.state.lock();
        let of_parent = state.parent.upgrade().is_some_and(|parent| Arc::ptr_eq(&parent, cx.process()));
        match state.exit {
            // A child's end is its parent's business.
            ExitState::Zombie(status) if tracee.leads() && !of_parent => Some(status),
            _ => None,
        }
    };
    let mut tracing = tracee.tracing.lock();
    if let Some(status) = ended.or(tracing.ended).filter(|_| options & WEXITED != 0) {
        drop(tracing);
        if options & WNOWAIT == 0 {
            ptrace::reaped(tracee);
        }
        return Some(found(status, false));
    }
    let stop = tracing.stop.as_deref_mut().filter(|stop| stop.is_news && stop.is_halted())?;
    stop.is_news = options & WNOWAIT != 0;
    let code = stop.code;
    drop(tracing);
    Some(found(code, true))
}

/// Removes a zombie; `false` if another thread was faster.
fn reap(parent: &Process, child: &Process, time: CpuTime, below: CpuTime) -> bool {
    let taken = {
        let mut state = parent.state.lock();
        let at = state.children.iter().position(|c| c.pid() == child.pid());
        let taken = at.map(|i| state.children.swap_remove(i));
        if taken.is_some() {
            state.children_time.user_ns += time.user_ns + below.user_ns;
            state.children_time.system_ns += time.system_ns + below.system_ns;
        }
        taken
    };
    if let Some(child) = &taken {
        parent.system().remove_process(child.pid());
        ptrace::forget_process(parent, child);
    }
    taken.is_some()
}

fn wait(cx: &Context<'_>, which: &Which, options: u32) -> SysResult<Option<Found>> {
    let _registration = cx.process().child_events.add(Readiness::IN, cx.thread.waker());
    loop {
        if let Some(found) = look(cx, which, options)? {
            return Ok(Some(found));
        }
        if options & WNOHANG != 0 {
            return Ok(None);
        }
        super::task::park_for_child(cx)?;
    }
}

fn rusage(time: CpuTime) -> Rusage {
    let mut usage = <Rusage as zerocopy::FromZeros>::new_zeroed();
    usage.ru_utime = timeval(time.user_ns);
    usage.ru_stime = timeval(time.system_ns);
    usage
}

const fn timeval(ns: u64) -> Timeval {
    let (seconds, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
    Timeval { tv_sec: seconds.cast_signed(), tv_usec: (rest / 1000).cast_signed() }
}

/// `wait4(2)`.
pub(crate) fn sys_wait4(
    cx: &Context<'_>,
    pid: i32,
    status: UserPtr<u32, Out>,
    options: Flags,
    usage: UserPtr<Rusage, Out>,
) -> SysResult<u32> {
    if options.0 & !(WNOHANG | WUNTRACED | WCONTINUED | LINUX_ONLY) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let which = match pid {
        i32::MIN => return Err(Errno::ESRCH.into()),
        -1 => Which::Any,
        0 => Which::Group(cx.process().state.lock().group),
        pid if pid < 0 => Which::Group(pid.unsigned_abs()),
        pid => Which::Pid(pid.unsigned_abs()),
    };
    let Some(found) = wait(cx, &which, options.0 | WEXITED)? else { return Ok(0) };
    if !status.is_null() {
        let encoded = if found.trapped { found.status << 8 | 0x7f } else { found.status };
        status.write(cx, &encoded)?;
    }
    if !usage.is_null() {
        usage.write(cx, &rusage(found.time))?;
    }
    Ok(found.id)
}

/// `waitid(2)`.
pub(crate) fn sys_waitid(
    cx: &Context<'_>,
    id_type: i32,
    id: i32,
    info: UserAddr,
    options: Flags,
    usage: UserPtr<Rusage, Out>,
) -> SysResult<()> {
    let options = options.0;
    if options & !(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | LINUX_ONLY) != 0
        || options & (WEXITED | WSTOPPED | WCONTINUED) == 0
    {
        return Err(Errno::EINVAL.into());
    }
    let which = match id_type {
        0 => Which::Any,
        1 if id > 0 => Which::Pid(id.unsigned_abs()),
        2 if id > 0 => Which::Group(id.unsigned_abs()),
        2 if id == 0 => Which::Group(cx.process().state.lock().group),
        3 if id >= 0 => {
            let description = cx.files().get(Fd(id))?;
            let Object::Process(process) = description.object() else { return Err(Errno::EBADF.into()) };
            Which::Process(Arc::clone(process))
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let found = wait(cx, &which, options)?;
    if !info.is_null() {
        // LINUX: without a child the fields that are set otherwise are zero, and the rest is left alone.
        let fields = found.as_ref().map_or([0; 6], siginfo);
        let [signo, errno, code, pid, uid, status] = fields;
        let memory = cx.memory();
        memory.copy_out(info, [signo, errno, code].as_bytes())?;
        memory.copy_out(info.offset(16), [pid, uid, status].as_bytes())?;
    }
    if let Some(found) = found
        && !usage.is_null()
    {
        usage.write(cx, &rusage(found.time))?;
    }
    Ok(())
}

/// Returns signal, errno, code, process, user and status of `siginfo_t` for a child's change.
fn siginfo(found: &Found) -> [u32; 6] {
    const CLD_EXITED: u32 = 1;
    const CLD_KILLED: u32 = 2;
    const CLD_DUMPED: u32 = 3;
    const CLD_TRAPPED: u32 = 4;
    const CLD_STOPPED: u32 = 5;
    const CLD_CONTINUED: u32 = 6;
    let status = found.status;
    let (code, value) = match status {
        _ if found.trapped => (CLD_TRAPPED, status),
        CONTINUED => (CLD_CONTINUED, SIGCONT.cast_unsigned()),
        _ if status & 0xff == 0x7f => (CLD_STOPPED, status >> 8 & 0xff),
        _ if status & 0x7f == 0 => (CLD_EXITED, status >> 8 & 0xff),
        _ if status & 0x80 != 0 => (CLD_DUMPED, status & 0x7f),
        _ => (CLD_KILLED, status & 0x7f),
    };
    [SIGCHLD.cast_unsigned(), 0, code, found.id, found.uid, value]
}
