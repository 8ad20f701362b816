//! Waiting for children: `wait4(2)`, `waitid(2)`.

use alloc::sync::Arc;

use abi::Errno;
use abi::process::Rusage;
use abi::signal::{SIGCHLD, SIGCONT};
use abi::time::Timeval;
use hal::{CpuTime, Readiness, UserAddr};
use zerocopy::IntoBytes;

use crate::decode::{Fd, Flags, Out, UserPtr};
use crate::proc::{ExitState, Object, Process};
use crate::{Context, SysResult};

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
}

/// What was found.
struct Found {
    child: Arc<Process>,
    status: u32,
    time: CpuTime,
    /// The child's real user.
    uid: u32,
}

/// Looks through the children once; takes the report or the zombie unless `WNOWAIT`. `ECHILD` if none matches.
fn look(cx: &Context<'_>, which: &Which, options: u32) -> Result<Option<Found>, Errno> {
    let process = cx.process();
    let children = process.state.lock().children.clone();
    let mut any = false;
    for child in children {
        let by_signal = child.exit_signal == SIGCHLD;
        if options & WALL == 0 && (options & WCLONE != 0) == by_signal || !which.matches(&child) {
            continue;
        }
        any = true;
        let mut state = child.state.lock();
        if let ExitState::Zombie(status) = state.exit
            && options & WEXITED != 0
        {
            let time = state.ended_time;
            let below = state.children_time;
            drop(state);
            if options & WNOWAIT == 0 && !reap(process, &child, time, below) {
                continue;
            }
            return Ok(Some(Found { uid: child.uid(), child, status, time }));
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
            return Ok(Some(Found { uid: child.uid(), child, status, time }));
        }
    }
    if any { Ok(None) } else { Err(Errno::ECHILD) }
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
    if taken.is_some() {
        parent.system().remove_process(child.pid());
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
        status.write(cx, &found.status)?;
    }
    if !usage.is_null() {
        usage.write(cx, &rusage(found.time))?;
    }
    Ok(found.child.pid())
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
    const CLD_STOPPED: u32 = 5;
    const CLD_CONTINUED: u32 = 6;
    let status = found.status;
    let (code, value) = match status {
        CONTINUED => (CLD_CONTINUED, SIGCONT.cast_unsigned()),
        _ if status & 0xff == 0x7f => (CLD_STOPPED, status >> 8 & 0xff),
        _ if status & 0x7f == 0 => (CLD_EXITED, status >> 8 & 0xff),
        _ if status & 0x80 != 0 => (CLD_DUMPED, status & 0x7f),
        _ => (CLD_KILLED, status & 0x7f),
    };
    [SIGCHLD.cast_unsigned(), 0, code, found.child.pid(), found.uid, value]
}
