//! What every socket can do, whatever its family.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::net::IpAddr;

use abi::socket::MsgFlags;
use abi::{Errno, Result};
use hal::{Dest, Readiness, Source, WaitQueue};

use crate::{Address, Common};

/// Who makes a call, as far as sockets care.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// Process number, as the application sees it.
    pub pid: u32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// `CAP_NET_ADMIN`.
    pub net_admin: bool,
    /// `CAP_NET_RAW`.
    pub net_raw: bool,
    /// `CAP_NET_BIND_SERVICE`.
    pub bind_service: bool,
}

/// Something that travels beside the bytes and that only the caller understands: an open file description.
pub type Passed = Arc<dyn Any + Send + Sync>;

/// The credentials that travel with a message (`SCM_CREDENTIALS`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ucred {
    /// Process.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Ancillary data, already taken apart.
#[derive(Clone, Default)]
pub struct Ancillary {
    /// `SCM_RIGHTS`.
    pub rights: Vec<Passed>,
    /// `SCM_CREDENTIALS`.
    pub credentials: Option<Ucred>,
    /// `IP_PKTINFO` and `IPV6_PKTINFO`: interface index, and the local address (source when sending, destination when
    /// receiving).
    pub packet_info: Option<(u32, IpAddr)>,
    /// `IP_TTL`, `IPV6_HOPLIMIT`.
    pub hop_limit: Option<u8>,
    /// `IP_TOS`, `IPV6_TCLASS`.
    pub traffic_class: Option<u8>,
    /// When the message came in, in nanoseconds since 1970 (`SO_TIMESTAMP`).
    pub time_ns: Option<u64>,
    /// `UDP_SEGMENT`: bytes in each datagram of what is sent.
    pub segment: Option<u16>,
    /// `SO_RXQ_OVFL`: messages dropped so far.
    pub dropped: Option<u32>,
    /// `IP_RECVERR`, `IPV6_RECVERR`: a report of the error queue (`ip(7)`).
    pub error: Option<ErrorReport>,
    /// `NETLINK_PKTINFO`, `PACKET_AUXDATA` and others that one family alone has: level, type and bytes.
    pub other: Vec<(i32, i32, Vec<u8>)>,
}

/// An entry of the error queue (`struct sock_extended_err`, `ip(7)`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ErrorReport {
    /// `ee_errno`.
    pub errno: Errno,
    /// `ee_origin`: `SO_EE_ORIGIN_*`.
    pub origin: u8,
    /// ICMP type.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    /// `ee_info`: the path's MTU, for instance.
    pub info: u32,
    /// Who reported it.
    pub offender: Option<IpAddr>,
}

/// A message on its way out.
#[derive(Default)]
pub struct Outgoing<'a> {
    /// Where to; `None` means the connected peer.
    pub to: Option<&'a Address>,
    /// Flags; those that only concern waiting and signals are handled above.
    pub flags: MsgFlags,
    /// Ancillary data.
    pub ancillary: Ancillary,
    /// Who sends.
    pub sender: Identity,
}

/// A message that came in.
#[derive(Default)]
pub struct Incoming {
    /// Bytes put into the destination, or the message's whole length under `MSG_TRUNC`.
    pub len: usize,
    /// Where from, if the socket's kind tells.
    pub from: Option<Address>,
    /// `MSG_TRUNC`, `MSG_EOR`, `MSG_OOB`, `MSG_ERRQUEUE`: what `msg_flags` says.
    pub flags: MsgFlags,
    /// Ancillary data.
    pub ancillary: Ancillary,
}

/// Directions that `shutdown(2)` closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// Nothing more is received.
    Read,
    /// Nothing more is sent.
    Write,
    /// Both.
    Both,
}

impl Shutdown {
    /// Says whether receiving ends.
    pub const fn read(self) -> bool {
        matches!(self, Self::Read | Self::Both)
    }

    /// Says whether sending ends.
    pub const fn write(self) -> bool {
        matches!(self, Self::Write | Self::Both)
    }
}

/// A socket. No method waits: what cannot be done now answers `EAGAIN`, and [`Socket::queue`] is woken when it is worth
/// another try. The caller decides whether to sleep.
///
/// Dropping the last reference closes the socket.
pub trait Socket: Send + Sync + Any {
    /// Returns what all families have in common: type, options of the socket level, pending error.
    fn common(&self) -> &Common;

    /// Gives the socket a local address (`bind(2)`).
    ///
    /// # Errors
    /// `EINVAL` if it has one, `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EAFNOSUPPORT`
    fn bind(&self, address: &Address, who: &Identity) -> Result<()>;

    /// Begins to take connections, of which up to `backlog` may wait (`listen(2)`).
    ///
    /// # Errors
    /// `EOPNOTSUPP` unless the type is one with connections; `EINVAL`, `EADDRINUSE`
    fn listen(&self, _backlog: u32, _who: &Identity) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Takes the oldest waiting connection (`accept(2)`).
    ///
    /// # Errors
    /// `EAGAIN`, `EINVAL` if the socket does not listen, `EOPNOTSUPP`
    fn accept(&self) -> Result<Arc<dyn Socket>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Connects (`connect(2)`).
    ///
    /// # Errors
    /// `EINPROGRESS` if it was begun: [`Socket::connected`] tells how it ends. `EALREADY` if it goes on. `EAGAIN` if the
    /// peer's backlog is full: another call is worth a try after a wake-up. `EISCONN`, `ECONNREFUSED`, `ENETUNREACH`,
    /// `EADDRNOTAVAIL`, `EAFNOSUPPORT`, `EPROTOTYPE`
    fn connect(&self, address: &Address, who: &Identity) -> Result<()>;

    /// Tells how a connection that was begun has ended, once.
    ///
    /// # Errors
    /// `EAGAIN` if it goes on; why it failed.
    fn connected(&self) -> Result<()> {
        Ok(())
    }

    /// Sends (`sendmsg(2)`). Of a stream, as many bytes as there is room for; of others the whole message or nothing. A
    /// source of which nothing was taken is as it was.
    ///
    /// # Errors
    /// `EAGAIN` if there is no room, `EPIPE` after the end of sending, `ENOTCONN`, `EDESTADDRREQ`, `EISCONN`, `EMSGSIZE`
    fn send(&self, from: &mut Source<'_>, message: &mut Outgoing<'_>) -> Result<usize>;

    /// Receives (`recvmsg(2)`): up to what fits of a stream, one message of others. A length of 0 is the end.
    ///
    /// # Errors
    /// `EAGAIN` if nothing is there, `ENOTCONN`, the pending error
    fn receive(&self, to: &mut Dest<'_>, flags: MsgFlags) -> Result<Incoming>;

    /// Ends one or both directions (`shutdown(2)`).
    ///
    /// # Errors
    /// `ENOTCONN`
    fn shutdown(&self, how: Shutdown) -> Result<()>;

    /// Returns the local address (`getsockname(2)`).
    fn name(&self) -> Address;

    /// Returns the peer's address (`getpeername(2)`).
    ///
    /// # Errors
    /// `ENOTCONN`
    fn peer(&self) -> Result<Address>;

    /// Returns where an accepted connection came from, even if it is over by now (`accept(2)`).
    ///
    /// # Errors
    /// `ENOTCONN`
    fn origin(&self) -> Result<Address> {
        self.peer()
    }

    /// Sets an option of a level other than `SOL_SOCKET`, or acts on one of that level that concerns the family
    /// (`setsockopt(2)`). Those of `SOL_SOCKET` that are plain values lie in [`Common`].
    ///
    /// # Errors
    /// `ENOPROTOOPT`, `EINVAL`, `EPERM`
    fn set_option(&self, level: i32, name: i32, value: &[u8], who: &Identity) -> Result<()>;

    /// Returns an option's value, as long as it is whole; the caller cuts it (`getsockopt(2)`).
    ///
    /// # Errors
    /// `ENOPROTOOPT`, `ENOTCONN`
    fn option(&self, level: i32, name: i32) -> Result<Vec<u8>>;

    /// Returns how many bytes can be received now (`FIONREAD`), and how many were sent that the peer has not yet taken
    /// (`SIOCOUTQ`).
    fn pending(&self) -> (usize, usize);

    /// Says whether the next byte is the urgent one (`sockatmark(3)`).
    fn at_mark(&self) -> bool {
        false
    }

    /// Says what the socket is ready for.
    fn readiness(&self) -> Readiness;

    /// Returns who is woken when the readiness changes.
    fn queue(&self) -> &Arc<WaitQueue>;
}
