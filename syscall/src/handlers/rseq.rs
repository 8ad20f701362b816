//! Restartable sequences (`rseq(2)`, Linux's `include/uapi/linux/rseq.h`).
//!
//! A registered thread finds the number of its processor in its own memory, and code between two marks is moved
//! to its abort handler when the thread was preempted, migrated or interrupted by a signal in between. All of it
//! happens on the way back to user mode: the scheduler says that the thread was switched
//! ([`hal::UserThread::rescheduled`]), and [`resume`] does the rest.

use abi::Errno;
use abi::futex::{Rseq, RseqCs};
use hal::{USER_END, UserAddr};

use crate::decode::{Flags, In, InOut, Out, UserPtr};
use crate::proc::Work;
use crate::{Context, SysResult};

const RSEQ_FLAG_UNREGISTER: u32 = 1;
/// What stands in `cpu_id` before registration and after.
const CPU_UNINITIALIZED: u32 = u32::MAX;
/// Linux 6.1 knows one length.
const LEN: u32 = 32;
/// Bytes from the start of `struct rseq` to `rseq_cs`.
const RSEQ_CS_OFFSET: u64 = 8;

/// `rseq(2)`.
pub(crate) fn sys_rseq(
    cx: &Context<'_>,
    at: UserAddr,
    len: u32,
    flags: Flags,
    signature: u32,
) -> SysResult<()> {
    let (now_at, now_len, now_signature) = *cx.thread.rseq.lock();
    if flags.0 & RSEQ_FLAG_UNREGISTER != 0 {
        if flags.0 != RSEQ_FLAG_UNREGISTER || now_at == 0 || at.0 != now_at || len != now_len {
            return Err(Errno::EINVAL.into());
        }
        if signature != now_signature {
            return Err(Errno::EPERM.into());
        }
        UserPtr::<[u32; 2], Out>::new(at).write(cx, &[0, CPU_UNINITIALIZED])?;
        *cx.thread.rseq.lock() = (0, 0, 0);
        return Ok(());
    }
    if flags.0 != 0 {
        return Err(Errno::EINVAL.into());
    }
    if now_at != 0 {
        return Err(if at.0 != now_at || len != now_len {
            Errno::EINVAL
        } else if signature != now_signature {
            Errno::EPERM
        } else {
            Errno::EBUSY
        }
        .into());
    }
    if len != LEN || !at.0.is_multiple_of(u64::from(LEN)) {
        return Err(Errno::EINVAL.into());
    }
    if at.0 >= USER_END - u64::from(LEN) {
        return Err(Errno::EFAULT.into());
    }
    *cx.thread.rseq.lock() = (at.0, len, signature);
    cx.thread.add_work(Work::RSEQ);
    Ok(())
}

/// Brings the thread's area up to date, and moves the thread out of a critical section.
///
/// # Errors
/// `EFAULT` if the area cannot be reached or its section makes no sense; the thread gets `SIGSEGV`.
pub(crate) fn resume(cx: &Context<'_>) -> Result<(), Errno> {
    let (at, _, signature) = *cx.thread.rseq.lock();
    if at == 0 {
        return Ok(());
    }
    leave_section(cx, UserAddr(at), signature)?;
    let cpu = cx.scheduler().cpu();
    UserPtr::<[u32; 2], Out>::new(UserAddr(at)).write(cx, &[cpu, cpu])
}

fn leave_section(cx: &Context<'_>, at: UserAddr, signature: u32) -> Result<(), Errno> {
    let area: Rseq = UserPtr::<Rseq, In>::new(at).read(cx)?;
    if area.rseq_cs == 0 {
        return Ok(());
    }
    let section: RseqCs = UserPtr::<RseqCs, In>::new(UserAddr(area.rseq_cs)).read(cx)?;
    let end = section.start_ip.checked_add(section.post_commit_offset).ok_or(Errno::EFAULT)?;
    let in_section = |ip: u64| (section.start_ip..end).contains(&ip);
    if section.version != 0 || end >= USER_END || section.abort_ip >= USER_END || in_section(section.abort_ip)
    {
        return Err(Errno::EFAULT);
    }
    let mark = section.abort_ip.checked_sub(4).ok_or(Errno::EFAULT)?;
    if UserPtr::<u32, In>::new(UserAddr(mark)).read(cx)? != signature {
        return Err(Errno::EFAULT);
    }
    UserPtr::<u64, InOut>::new(at.offset(RSEQ_CS_OFFSET)).write(cx, &0)?;
    let mut regs = cx.regs.borrow_mut();
    if in_section(regs.rip) {
        regs.rip = section.abort_ip;
    }
    Ok(())
}
