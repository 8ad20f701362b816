//! Sockets (`socket(2)` and its family): calls, addresses, messages, options, requests.

mod address;
mod call;
mod cmsg;
mod ioctl;
mod message;
mod multiple;
mod options;
mod transfer;

pub(crate) use call::{
    sys_accept, sys_accept4, sys_bind, sys_connect, sys_getpeername, sys_getsockname, sys_listen,
    sys_shutdown, sys_socket, sys_socketpair,
};
pub(super) use ioctl::ioctl;
pub(crate) use message::{sys_recvfrom, sys_recvmsg, sys_sendmsg, sys_sendto};
pub(crate) use multiple::{sys_recvmmsg, sys_sendmmsg};
pub(crate) use options::{sys_getsockopt, sys_setsockopt};
pub(super) use transfer::{Patience, Waits, receive, send};

use alloc::sync::Arc;

use abi::{Errno, Result};

use crate::Context;
use crate::decode::Fd;
use crate::proc::{Description, Object};
use crate::socket::SocketFile;

/// Finds the description of a socket.
///
/// # Errors
/// `EBADF`, `ENOTSOCK` for anything else.
fn find(cx: &Context<'_>, fd: Fd) -> Result<Arc<Description>> {
    let description = cx.files().get(fd)?;
    // LINUX: a descriptor that is only a place in the tree counts as none.
    if description.is_path_only() {
        return Err(Errno::EBADF);
    }
    socket_of(&description)?;
    Ok(description)
}

/// Returns the socket behind a description.
///
/// # Errors
/// `ENOTSOCK`
fn socket_of(description: &Description) -> Result<&SocketFile> {
    match description.object() {
        Object::Socket(socket) => Ok(socket),
        _ => Err(Errno::ENOTSOCK),
    }
}
