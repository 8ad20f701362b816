//! Requests on sockets (`socket(7)`, "Ioctls").

use alloc::sync::Arc;

use abi::Errno;
use abi::ioctl::{
    FIOGETOWN, FIOSETOWN, SIOCATMARK, SIOCGPGRP, SIOCGSTAMP_NEW, SIOCGSTAMP_OLD, SIOCGSTAMPNS_NEW,
    SIOCGSTAMPNS_OLD, SIOCINQ, SIOCOUTQ, SIOCSPGRP,
};
use abi::socket::{AF_INET, AF_INET6};
use abi::time::{Timespec, Timeval};
use core::sync::atomic::Ordering;
use hal::UserAddr;

use crate::decode::{In, Out, UserPtr};
use crate::handlers::fasync;
use crate::proc::Description;
use crate::socket::SocketFile;
use crate::{Context, SysResult};

/// Carries out a request that is one of sockets.
///
/// # Errors
/// `EFAULT`, `EINVAL` for a listening socket's bytes, `ENOENT` where no message has come in yet, `ENOTTY`
pub(in crate::handlers) fn ioctl(
    cx: &Context<'_>,
    description: &Arc<Description>,
    file: &SocketFile,
    request: u32,
    at: UserAddr,
) -> SysResult<i64> {
    const SECOND: u64 = 1_000_000_000;
    let socket = file.socket();
    match request {
        SIOCINQ | SIOCOUTQ => {
            // A UNIX socket counts what it has sent whatever it does.
            let asks = request == SIOCINQ || matches!(file.domain(), AF_INET | AF_INET6);
            if asks && file.is_connected_kind() && socket.common().listens.load(Ordering::SeqCst) {
                return Err(Errno::EINVAL.into());
            }
            let (input, output) = socket.pending();
            give(cx, at, if request == SIOCINQ { input } else { output })
        }
        SIOCATMARK => give(cx, at, usize::from(socket.at_mark())),
        FIOSETOWN | SIOCSPGRP => {
            let owner = UserPtr::<i32, In>::new(at).read(cx)?;
            fasync::set_plain_owner(cx, description, owner)
        }
        FIOGETOWN | SIOCGPGRP => {
            UserPtr::<i32, Out>::new(at).write(cx, &fasync::plain_owner(description))?;
            Ok(0)
        }
        SIOCGSTAMP_OLD | SIOCGSTAMP_NEW | SIOCGSTAMPNS_OLD | SIOCGSTAMPNS_NEW => {
            let ns = match socket.common().last_time_ns.load(Ordering::Relaxed) {
                0 => return Err(Errno::ENOENT.into()),
                ns => ns,
            };
            let (tv_sec, rest) = ((ns / SECOND).cast_signed(), (ns % SECOND).cast_signed());
            if matches!(request, SIOCGSTAMP_OLD | SIOCGSTAMP_NEW) {
                UserPtr::<Timeval, Out>::new(at).write(cx, &Timeval { tv_sec, tv_usec: rest / 1000 })?;
            } else {
                UserPtr::<Timespec, Out>::new(at).write(cx, &Timespec { tv_sec, tv_nsec: rest })?;
            }
            Ok(0)
        }
        _ => Err(Errno::ENOTTY.into()),
    }
}

fn give(cx: &Context<'_>, at: UserAddr, value: usize) -> SysResult<i64> {
    UserPtr::<i32, Out>::new(at).write(cx, &i32::try_from(value).unwrap_or(i32::MAX))?;
    Ok(0)
}
