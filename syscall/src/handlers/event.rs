//! Descriptors of events: `eventfd(2)`, `signalfd(2)`.

use abi::Errno;
use abi::poll::{EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE};
use abi::signal::{SFD_CLOEXEC, SFD_NONBLOCK, SIGKILL, SIGSTOP};

use super::file::install;
use crate::decode::{Fd, Flags, In, UserPtr};
use crate::eventfd::{EventFd, Take};
use crate::proc::{CloseOnExec, Description, Object};
use crate::signalfd::SignalFd;
use crate::{Context, SysResult};

/// `eventfd(2)`, the older call without flags.
pub(crate) fn sys_eventfd(cx: &Context<'_>, count: u32) -> SysResult<i32> {
    eventfd(cx, count, 0)
}

/// `eventfd2(2)`.
pub(crate) fn sys_eventfd2(cx: &Context<'_>, count: u32, flags: Flags) -> SysResult<i32> {
    eventfd(cx, count, flags.0)
}

fn eventfd(cx: &Context<'_>, count: u32, flags: u32) -> SysResult<i32> {
    if flags & !(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let take = if flags & EFD_SEMAPHORE != 0 { Take::One } else { Take::All };
    let description = Description::new(Object::EventFd(EventFd::new(count, take)), flags & EFD_NONBLOCK);
    Ok(install(cx, description, CloseOnExec::from_bit(flags & EFD_CLOEXEC != 0))?.0)
}

/// `signalfd(2)`, the older call without flags.
pub(crate) fn sys_signalfd(cx: &Context<'_>, fd: Fd, mask: UserPtr<u64, In>, size: usize) -> SysResult<i32> {
    signalfd(cx, fd, mask, size, 0)
}

/// `signalfd4(2)`: a descriptor of -1 makes a new one.
pub(crate) fn sys_signalfd4(
    cx: &Context<'_>,
    fd: Fd,
    mask: UserPtr<u64, In>,
    size: usize,
    flags: Flags,
) -> SysResult<i32> {
    signalfd(cx, fd, mask, size, flags.0)
}

fn signalfd(cx: &Context<'_>, fd: Fd, mask: UserPtr<u64, In>, size: usize, flags: u32) -> SysResult<i32> {
    if size != size_of::<u64>() {
        return Err(Errno::EINVAL.into());
    }
    let mask = mask.read(cx)? & !(1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1));
    if flags & !(SFD_CLOEXEC | SFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    if fd.0 != -1 {
        let description = cx.files().get(fd)?;
        let Object::SignalFd(signals) = description.object() else { return Err(Errno::EINVAL.into()) };
        signals.set_mask(mask);
        // Whoever waits for the descriptor looks again.
        SignalFd::queues(cx.thread).iter().for_each(|queue| queue.wake(hal::Readiness::READ));
        return Ok(fd.0);
    }
    let description = Description::new(Object::SignalFd(SignalFd::new(mask)), flags & SFD_NONBLOCK);
    Ok(install(cx, description, CloseOnExec::from_bit(flags & SFD_CLOEXEC != 0))?.0)
}
