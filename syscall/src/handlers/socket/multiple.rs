//! Several messages in one call: `sendmmsg(2)`, `recvmmsg(2)`.

use abi::Errno;
use abi::socket::{Mmsghdr, MsgFlags, Msghdr};
use abi::time::Timespec;

use super::message::{receive_message, send_message};
use super::{find, socket_of};
use crate::decode::{Fd, Flags, InOut, Out, UserPtr};
use crate::{Context, SysError, SysResult};

/// Most messages in one call.
const MESSAGES_MAX: u32 = 1024;
/// Set by old 32-bit programs alone.
const MSG_CMSG_COMPAT: u32 = 0x8000_0000;

/// Returns where a message's header lies, and where its length goes.
fn parts<D>(list: UserPtr<Mmsghdr, D>, index: u32) -> (UserPtr<Msghdr, InOut>, UserPtr<u32, Out>) {
    let at = list.add(index as usize).addr();
    (UserPtr::new(at), UserPtr::new(at.offset(core::mem::offset_of!(Mmsghdr, msg_len) as u64)))
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// `sendmmsg(2)`: an error counts only where nothing was sent.
pub(crate) fn sys_sendmmsg(
    cx: &Context<'_>,
    fd: Fd,
    list: UserPtr<Mmsghdr, InOut>,
    len: u32,
    flags: Flags,
) -> SysResult<u32> {
    if flags.0 & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let description = find(cx, fd)?;
    let flags = MsgFlags::from_bits_retain(flags.0);
    let mut done = 0;
    while done < len.min(MESSAGES_MAX) {
        let (header, len_at) = parts(list, done);
        let result = send_message(cx, &description, UserPtr::new(header.addr()), flags)
            .and_then(|sent| Ok(len_at.write(cx, &count(sent))?));
        match result {
            Ok(()) => done += 1,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// `recvmmsg(2)`. LINUX: the timeout is looked at between messages only, so that a wait for one may take longer.
pub(crate) fn sys_recvmmsg(
    cx: &Context<'_>,
    fd: Fd,
    list: UserPtr<Mmsghdr, InOut>,
    len: u32,
    flags: Flags,
    timeout: UserPtr<Timespec, InOut>,
) -> SysResult<u32> {
    if flags.0 & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let deadline = match timeout.non_null() {
        None => None,
        Some(timeout) => {
            let time = timeout.read(cx)?;
            let (Ok(seconds), Ok(ns @ ..1_000_000_000)) =
                (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec))
            else {
                return Err(Errno::EINVAL.into());
            };
            let span = seconds.saturating_mul(1_000_000_000).saturating_add(ns);
            Some(cx.clock().monotonic_ns().saturating_add(span))
        }
    };
    let description = find(cx, fd)?;
    let common = socket_of(&description)?.socket().common();
    common.check_error()?;
    let mut flags = MsgFlags::from_bits_retain(flags.0);
    let mut done = 0;
    let mut left = 0;
    while done < len.min(MESSAGES_MAX) {
        let (header, len_at) = parts(list, done);
        let result = receive_message(cx, &description, header, flags - MsgFlags::MSG_WAITFORONE)
            .and_then(|got| Ok(len_at.write(cx, &count(got))?));
        match result {
            Ok(()) => done += 1,
            Err(error) if done == 0 => return Err(error),
            Err(error) => {
                // LINUX: the next call reports it, where this one has something to return.
                if let SysError::Errno(errno) = error
                    && errno != Errno::EAGAIN
                {
                    common.set_error(errno);
                }
                break;
            }
        }
        if flags.contains(MsgFlags::MSG_WAITFORONE) {
            flags |= MsgFlags::MSG_DONTWAIT;
        }
        if let Some(deadline) = deadline {
            left = deadline.saturating_sub(cx.clock().monotonic_ns());
            if left == 0 {
                break;
            }
        }
    }
    if let Some(timeout) = timeout.non_null().filter(|_| done > 0) {
        let left = Timespec {
            tv_sec: (left / 1_000_000_000).cast_signed(),
            tv_nsec: (left % 1_000_000_000).cast_signed(),
        };
        timeout.write(cx, &left)?;
    }
    Ok(done)
}
