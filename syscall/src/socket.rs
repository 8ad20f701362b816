//! What a descriptor of a socket stands for.

use alloc::sync::Arc;

use abi::Result;
use abi::socket::{AF_UNIX, SOCK_SEQPACKET, SOCK_STREAM};
use hal::{Dest, Source};
use net::{Ancillary, Identity, Outgoing, Passed, Socket, Ucred};
use vfs::{FileSystemStatus, Kind, Metadata};

use crate::Context;
use crate::files::anonymous_metadata;
use crate::proc::{Capability, Description, Object, Thread};

/// `sockfs`' magic number.
const SOCKFS_MAGIC: u64 = 0x534f_434b;
/// Device number of sockets, beside those of the other files without a name.
const SOCKET_DEVICE: u64 = 0xfd;

/// A socket behind a description.
pub struct SocketFile {
    socket: Arc<dyn Socket>,
    owner: (u32, u32),
    kind: u32,
    domain: u16,
}

impl SocketFile {
    /// Puts a socket behind a description that this user and group own.
    pub fn new(socket: Arc<dyn Socket>, owner: (u32, u32)) -> Self {
        let (kind, domain) = (socket.common().kind, socket.common().domain);
        Self { socket, owner, kind, domain }
    }

    /// Returns the socket.
    #[inline]
    pub fn socket(&self) -> &dyn Socket {
        &*self.socket
    }

    /// Returns the address family.
    pub const fn domain(&self) -> u16 {
        self.domain
    }

    /// Returns the type.
    pub const fn kind(&self) -> u32 {
        self.kind
    }

    /// Says whether the type is one with connections.
    pub const fn is_connected_kind(&self) -> bool {
        matches!(self.kind, SOCK_STREAM | SOCK_SEQPACKET)
    }

    /// Says whether bytes follow each other without boundaries.
    #[inline]
    pub const fn is_stream(&self) -> bool {
        self.kind == SOCK_STREAM
    }

    /// Returns the inode number, which `/proc/self/fd` shows.
    pub fn ino(&self) -> u64 {
        self.socket.common().id
    }

    /// Returns what `fstat(2)` tells.
    pub fn metadata(&self) -> Metadata {
        Metadata {
            ino: self.ino(),
            dev: SOCKET_DEVICE,
            kind: Kind::Socket,
            mode: 0o777,
            uid: self.owner.0,
            gid: self.owner.1,
            ..anonymous_metadata()
        }
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// Those of [`Socket::receive`].
    #[inline]
    pub fn read(&self, to: &mut Dest<'_>) -> Result<usize> {
        Ok(self.socket.receive(to, abi::socket::MsgFlags::empty())?.len)
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// Those of [`Socket::send`].
    #[inline]
    pub fn write(&self, cx: &Context<'_>, from: &mut Source<'_>) -> Result<usize> {
        self.socket.send(from, &mut self.outgoing(cx))
    }

    /// Starts a message without address and flags.
    #[inline]
    pub fn outgoing(&self, cx: &Context<'_>) -> Outgoing<'static> {
        let mut ancillary = Ancillary::default();
        if self.domain == AF_UNIX {
            ancillary.credentials = Some(own_credentials(cx.thread));
        }
        Outgoing { ancillary, sender: identity(cx.thread), ..Outgoing::default() }
    }
}

/// Says which socket is behind an open file that is under way to another process.
pub(crate) fn behind(passed: &Passed) -> Option<Arc<dyn Socket>> {
    match passed.downcast_ref::<Description>()?.object() {
        Object::Socket(file) => Some(Arc::clone(&file.socket)),
        _ => None,
    }
}

/// Returns what `fstatfs(2)` tells of a socket.
pub(crate) fn status() -> FileSystemStatus {
    FileSystemStatus { magic: SOCKFS_MAGIC, block_size: 4096, name_len: 255, ..FileSystemStatus::default() }
}

/// Returns who makes a call.
#[inline]
pub(crate) fn identity(thread: &Thread) -> Identity {
    let pid = thread.process().pid();
    thread.with_credentials(|who| Identity {
        pid,
        uid: who.euid,
        gid: who.egid,
        net_admin: who.can(Capability::NetAdmin),
        net_raw: who.can(Capability::NetRaw),
        bind_service: who.can(Capability::NetBindService),
    })
}

/// Returns the credentials that go with a message that names none. LINUX: the real user and group, where
/// `SO_PEERCRED` tells the effective ones.
#[inline]
pub(crate) fn own_credentials(thread: &Thread) -> Ucred {
    let pid = thread.process().pid();
    thread.with_credentials(|who| Ucred { pid, uid: who.uid, gid: who.gid })
}
