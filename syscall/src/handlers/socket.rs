//! Socket calls before there are sockets: what Linux answers where no address family is built in, and for descriptors
//! that are something else.

use abi::Errno;
use abi::socket::{SOCK_CLOEXEC, SOCK_DCCP, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_PACKET, SOCK_RAW, SOCK_STREAM};

use crate::decode::Fd;
use crate::{Context, SysResult};

/// The bits of the type argument that are no flags.
const TYPE_MASK: u32 = 0xf;

/// `socket(2)`.
pub(crate) fn sys_socket(_: &Context<'_>, _family: i32, kind: u32, _protocol: i32) -> SysResult<i32> {
    if kind & !TYPE_MASK & !(SOCK_CLOEXEC | SOCK_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    match kind & TYPE_MASK {
        SOCK_STREAM | SOCK_DGRAM | SOCK_RAW..=SOCK_DCCP | SOCK_PACKET => Err(Errno::EAFNOSUPPORT.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `socketpair(2)`.
pub(crate) fn sys_socketpair(cx: &Context<'_>, family: i32, kind: u32, protocol: i32) -> SysResult<i32> {
    sys_socket(cx, family, kind, protocol)
}

/// Every call on a socket: no descriptor is one.
pub(crate) fn sys_on_socket(cx: &Context<'_>, fd: Fd) -> SysResult<i32> {
    let _something_else = cx.files().get(fd)?;
    Err(Errno::ENOTSOCK.into())
}
