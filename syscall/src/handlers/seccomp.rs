//! Filters of system calls: `seccomp(2)`, `prctl(PR_SET_SECCOMP)`.

use abi::Errno;
use abi::seccomp::*;
use hal::UserAddr;

use crate::decode::{Flags, In, Out, UserPtr};
use crate::proc::Capability;
use crate::seccomp::{self, Program, Scope};
use crate::{Context, SysResult};

/// `seccomp(2)`.
pub(crate) fn sys_seccomp(cx: &Context<'_>, operation: u32, flags: Flags, args: UserAddr) -> SysResult<u32> {
    match operation {
        SECCOMP_SET_MODE_STRICT if flags.0 != 0 || !args.is_null() => Err(Errno::EINVAL.into()),
        SECCOMP_SET_MODE_STRICT => Ok(seccomp::set_strict(cx.thread).map(|()| 0)?),
        SECCOMP_SET_MODE_FILTER => set_filter(cx, flags.0, UserPtr::new(args)),
        SECCOMP_GET_ACTION_AVAIL if flags.0 == 0 => {
            let known = [
                SECCOMP_RET_KILL_PROCESS,
                SECCOMP_RET_KILL_THREAD,
                SECCOMP_RET_TRAP,
                SECCOMP_RET_ERRNO,
                SECCOMP_RET_TRACE,
                SECCOMP_RET_LOG,
                SECCOMP_RET_ALLOW,
            ];
            let action = UserPtr::<u32, In>::new(args).read(cx)?;
            if known.contains(&action) { Ok(0) } else { Err(Errno::EOPNOTSUPP.into()) }
        }
        SECCOMP_GET_NOTIF_SIZES if flags.0 == 0 => {
            let sizes = SeccompNotifSizes {
                seccomp_notif: len::<SeccompNotif>(),
                seccomp_notif_resp: len::<SeccompNotifResp>(),
                seccomp_data: len::<SeccompData>(),
            };
            UserPtr::<SeccompNotifSizes, Out>::new(args).write(cx, &sizes)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "structures of less than a hundred bytes")]
const fn len<T>() -> u16 {
    size_of::<T>() as u16
}

/// `prctl(PR_SET_SECCOMP)`.
pub(super) fn set_mode(cx: &Context<'_>, mode: u64, args: UserAddr) -> SysResult<()> {
    match mode {
        SECCOMP_MODE_STRICT => seccomp::set_strict(cx.thread)?,
        SECCOMP_MODE_FILTER => {
            set_filter(cx, 0, UserPtr::new(args))?;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(())
}

/// Returns 0, or the number of the thread that kept the filter from being everybody's.
fn set_filter(cx: &Context<'_>, flags: u32, program: UserPtr<SockFprog, In>) -> SysResult<u32> {
    let flags = FilterFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let listens = flags.contains(FilterFlags::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    let synchronises = flags.contains(FilterFlags::SECCOMP_FILTER_FLAG_TSYNC);
    let by_errno = flags.contains(FilterFlags::SECCOMP_FILTER_FLAG_TSYNC_ESRCH);
    if synchronises && listens && !by_errno
        || flags.contains(FilterFlags::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) && !listens
    {
        return Err(Errno::EINVAL.into());
    }
    let request = program.read(cx)?;
    let len = usize::from(request.len);
    if len == 0 || len > BPF_MAXINSNS {
        return Err(Errno::EINVAL.into());
    }
    let who = cx.credentials();
    if !who.no_new_privs && !who.can(Capability::SysAdmin) {
        return Err(Errno::EACCES.into());
    }
    if request.filter == 0 {
        return Err(Errno::EINVAL.into());
    }
    let code = UserPtr::<SockFilter, In>::new(UserAddr(request.filter)).read_many(cx, len)?;
    let program = Program::new(code)?;
    // A supervisor would read calls from a descriptor; there is none to give out yet.
    if listens {
        return Err(Errno::EINVAL.into());
    }
    let scope = if synchronises { Scope::Process } else { Scope::Thread };
    match seccomp::add_filter(cx.thread, program, scope)? {
        None => Ok(0),
        Some(_) if by_errno => Err(Errno::ESRCH.into()),
        Some(tid) => Ok(tid),
    }
}
