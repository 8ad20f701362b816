//! Making, naming, connecting and ending sockets.

use alloc::sync::Arc;

use abi::socket::{
    AF_UNIX, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_TYPE_MASK, SOMAXCONN,
};
use abi::{Errno, Result};
use hal::{Readiness, UserAddr};
use net::{Shutdown, Socket};

use super::address::{self, Encoded, Purpose, Raw};
use super::transfer::{Patience, Waits};
use super::{find, socket_of};
use crate::decode::{Fd, Flags, InOut, Out, UserPtr};
use crate::handlers::file::install;
use crate::proc::{CloseOnExec, Description, Object, Resource};
use crate::socket::{SocketFile, identity};
use crate::{Context, SysError, SysResult};

/// Flags beside the type of a new socket.
#[derive(Clone, Copy)]
struct NewFlags {
    status: u32,
    close: CloseOnExec,
}

impl NewFlags {
    fn new(flags: u32) -> Result<Self> {
        if flags & !(SOCK_CLOEXEC | SOCK_NONBLOCK) != 0 {
            return Err(Errno::EINVAL);
        }
        let close = CloseOnExec::from_bit(flags & SOCK_CLOEXEC != 0);
        Ok(Self { status: flags & SOCK_NONBLOCK, close })
    }
}

/// Makes the description of a socket.
fn describe(cx: &Context<'_>, socket: Arc<dyn Socket>, flags: NewFlags) -> Arc<Description> {
    let owner = cx.thread.with_credentials(|who| (who.fsuid, who.fsgid));
    Description::new(Object::Socket(SocketFile::new(socket, owner)), flags.status)
}

/// Tells a UNIX socket the caller's groups, before its peer may ask for them (`SO_PEERGROUPS`).
fn note_groups(cx: &Context<'_>, socket: &dyn Socket) {
    if socket.common().domain == AF_UNIX {
        socket.common().set_groups(&cx.credentials().groups);
    }
}

/// `socket(2)`.
pub(crate) fn sys_socket(cx: &Context<'_>, domain: i32, kind: u32, protocol: i32) -> SysResult<i32> {
    let flags = NewFlags::new(kind & !SOCK_TYPE_MASK)?;
    let socket = cx.system().net.socket(domain, kind & SOCK_TYPE_MASK, protocol, &identity(cx.thread))?;
    Ok(install(cx, describe(cx, socket, flags), flags.close)?.0)
}

/// `socketpair(2)`. LINUX: the numbers are given out, and written, before the sockets are made.
pub(crate) fn sys_socketpair(
    cx: &Context<'_>,
    domain: i32,
    kind: u32,
    protocol: i32,
    to: UserPtr<[i32; 2], Out>,
) -> SysResult<()> {
    let flags = NewFlags::new(kind & !SOCK_TYPE_MASK)?;
    if !cx.files().has_room(2, cx.process().limit(Resource::Nofile)) {
        return Err(Errno::EMFILE.into());
    }
    // Whether there is memory for the answer shows here; the numbers follow.
    to.write(cx, &[-1, -1])?;
    let (kind, who) = (kind & SOCK_TYPE_MASK, identity(cx.thread));
    let (first, second) = cx.system().net.pair(domain, kind, protocol, &who)?;
    for (socket, other) in [(&first, &second), (&second, &first)] {
        if socket.common().domain == AF_UNIX {
            note_groups(cx, &**socket);
            other.common().set_peer_groups(socket.common().groups());
        }
    }
    let first = install(cx, describe(cx, first, flags), flags.close)?;
    let second = match install(cx, describe(cx, second, flags), flags.close) {
        Ok(second) => second,
        Err(error) => {
            drop(cx.files().remove(first));
            return Err(error.into());
        }
    };
    if let Err(error) = to.write(cx, &[first.0, second.0]) {
        drop((cx.files().remove(first), cx.files().remove(second)));
        return Err(error.into());
    }
    Ok(())
}

/// `bind(2)`.
pub(crate) fn sys_bind(cx: &Context<'_>, fd: Fd, at: UserAddr, len: i32) -> SysResult<()> {
    let description = find(cx, fd)?;
    let socket = socket_of(&description)?;
    let raw = Raw::read(cx, at, len)?;
    let who = identity(cx.thread);
    if socket.domain() != AF_UNIX {
        return Ok(socket.socket().bind(&raw.decode(cx, socket.domain(), Purpose::Bind)?, &who)?);
    }
    let Some(path) = raw.unix_path() else {
        return Ok(socket.socket().bind(&raw.decode(cx, AF_UNIX, Purpose::Bind)?, &who)?);
    };
    // LINUX: the file is made first, and goes again if the socket has a name already.
    let name = address::make_file(cx, path)?;
    socket.socket().bind(&name, &who).map_err(|errno| {
        address::remove_file(cx, path);
        errno.into()
    })
}

/// `listen(2)`.
pub(crate) fn sys_listen(cx: &Context<'_>, fd: Fd, backlog: u32) -> SysResult<()> {
    let description = find(cx, fd)?;
    let socket = socket_of(&description)?.socket();
    note_groups(cx, socket);
    // A negative backlog is a large one.
    Ok(socket.listen(backlog.min(SOMAXCONN.unsigned_abs()), &identity(cx.thread))?)
}

/// `accept(2)`.
pub(crate) fn sys_accept(cx: &Context<'_>, fd: Fd, at: UserAddr, len: UserPtr<i32, InOut>) -> SysResult<i32> {
    accept(cx, fd, at, len, 0)
}

/// `accept4(2)`.
pub(crate) fn sys_accept4(
    cx: &Context<'_>,
    fd: Fd,
    at: UserAddr,
    len: UserPtr<i32, InOut>,
    flags: Flags,
) -> SysResult<i32> {
    accept(cx, fd, at, len, flags.0)
}

fn accept(cx: &Context<'_>, fd: Fd, at: UserAddr, len: UserPtr<i32, InOut>, flags: u32) -> SysResult<i32> {
    let description = cx.files().get(fd)?;
    if description.is_path_only() {
        return Err(Errno::EBADF.into());
    }
    let flags = NewFlags::new(flags)?;
    // A connection that has no number to go to stays where it is.
    if !cx.files().has_room(1, cx.process().limit(Resource::Nofile)) {
        return Err(Errno::EMFILE.into());
    }
    let socket = socket_of(&description)?;
    let mut patience = Patience::new(socket, Readiness::READ, Waits::of(&description));
    let new = patience.wait(cx, socket, || socket.socket().accept())?;
    if !at.is_null() {
        // A connection that has gone already has nobody at its other end.
        let peer = match new.origin() {
            Ok(peer) => peer,
            Err(_) => return Err(Errno::ECONNABORTED.into()),
        };
        Encoded::new(&peer, socket.domain()).write(cx, at, len)?;
    }
    Ok(install(cx, describe(cx, new, flags), flags.close)?.0)
}

/// `connect(2)`.
pub(crate) fn sys_connect(cx: &Context<'_>, fd: Fd, at: UserAddr, len: i32) -> SysResult<()> {
    let description = cx.files().get(fd)?;
    if description.is_path_only() {
        return Err(Errno::EBADF.into());
    }
    // LINUX: here the address comes before the question whether this is a socket.
    let raw = Raw::read(cx, at, len)?;
    let file = socket_of(&description)?;
    let address = raw.decode(cx, file.domain(), Purpose::Connect)?;
    let (socket, who, waits) = (file.socket(), identity(cx.thread), Waits::of(&description));
    note_groups(cx, socket);
    let mut patience = Patience::new(file, Readiness::WRITE, waits);
    match patience.wait(cx, file, || socket.connect(&address, &who)) {
        Err(SysError::Errno(Errno::EINPROGRESS | Errno::EALREADY)) if waits == Waits::AsSet => {
            // LINUX: a connection that takes longer than the timeout goes on in the background.
            patience.wait(cx, file, || socket.connected()).map_err(|error| match error {
                SysError::Errno(Errno::EAGAIN) => Errno::EINPROGRESS.into(),
                other => other,
            })
        }
        other => other,
    }
}

/// `shutdown(2)`.
pub(crate) fn sys_shutdown(cx: &Context<'_>, fd: Fd, how: u32) -> SysResult<()> {
    let description = find(cx, fd)?;
    let how = match how {
        SHUT_RD => Shutdown::Read,
        SHUT_WR => Shutdown::Write,
        SHUT_RDWR => Shutdown::Both,
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(socket_of(&description)?.socket().shutdown(how)?)
}

/// `getsockname(2)`.
pub(crate) fn sys_getsockname(
    cx: &Context<'_>,
    fd: Fd,
    at: UserAddr,
    len: UserPtr<i32, InOut>,
) -> SysResult<()> {
    let description = find(cx, fd)?;
    let socket = socket_of(&description)?;
    Ok(Encoded::new(&socket.socket().name(), socket.domain()).write(cx, at, len)?)
}

/// `getpeername(2)`.
pub(crate) fn sys_getpeername(
    cx: &Context<'_>,
    fd: Fd,
    at: UserAddr,
    len: UserPtr<i32, InOut>,
) -> SysResult<()> {
    let description = find(cx, fd)?;
    let socket = socket_of(&description)?;
    Ok(Encoded::new(&socket.socket().peer()?, socket.domain()).write(cx, at, len)?)
}
