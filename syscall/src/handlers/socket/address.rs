//! Addresses as they lie in the application's memory (`sockaddr(3type)`).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use abi::socket::{
    AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_UNSPEC, AF_VSOCK, SockaddrIn, SockaddrIn6,
    SockaddrLl, SockaddrNl, SockaddrStorage, SockaddrVm,
};
use abi::{Errno, Result};
use hal::UserAddr;
use net::{Address, FileId, UnixName, mapped};
use vfs::{Follow, Kind, Want};
use zerocopy::{FromBytes, IntoBytes};

use crate::Context;
use crate::decode::{InOut, UserPtr};
use crate::handlers::at::Origin;

/// Room for every address.
const STORAGE: usize = size_of::<SockaddrStorage>();
/// Where the name begins in a UNIX address.
const SUN_PATH: usize = 2;
/// Longest UNIX address.
const SOCKADDR_UN: usize = 110;
/// Shortest IPv6 address: that of RFC 2133 had no scope.
const SIN6_OLD: usize = 24;

/// An address that was copied in.
pub(super) struct Raw {
    bytes: [u8; STORAGE],
    len: usize,
}

/// What an address is for: families check differently.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Bind,
    Connect,
    Send,
}

impl Raw {
    /// Copies an address in.
    ///
    /// # Errors
    /// `EINVAL` for a length that is negative or longer than any address, `EFAULT`
    pub(super) fn read(cx: &Context<'_>, at: UserAddr, len: i32) -> Result<Self> {
        let len = usize::try_from(len).ok().filter(|&len| len <= STORAGE).ok_or(Errno::EINVAL)?;
        let mut bytes = [0; STORAGE];
        if len > 0 {
            cx.memory().copy_in(at, &mut bytes[..len]).map_err(|_| Errno::EFAULT)?;
        }
        Ok(Self { bytes, len })
    }

    /// Says whether there is no address.
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn family(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[0], self.bytes[1]])
    }

    fn part<T: FromBytes>(&self) -> Result<T> {
        T::read_from_prefix(&self.bytes).map(|(value, _)| value).map_err(|_| Errno::EINVAL)
    }

    /// Returns a UNIX path without its NUL, if it is one.
    pub(super) fn unix_path(&self) -> Option<&[u8]> {
        if self.len <= SUN_PATH || self.len > SOCKADDR_UN || self.family() != AF_UNIX {
            return None;
        }
        let name = &self.bytes[SUN_PATH..self.len];
        let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
        (end > 0).then(|| &name[..end])
    }

    /// Takes the address apart as a socket of this family understands it. A UNIX path is looked up.
    ///
    /// # Errors
    /// `EINVAL` for a length that the family does not have, `EAFNOSUPPORT` for another family; those of a path.
    pub(super) fn decode(&self, cx: &Context<'_>, domain: u16, purpose: Purpose) -> Result<Address> {
        let family = self.family();
        match domain {
            AF_UNIX => self.unix(cx, purpose),
            AF_INET | AF_INET6 => self.inet(domain, purpose),
            _ if self.len < 2 => Err(Errno::EINVAL),
            _ if purpose == Purpose::Connect && family == AF_UNSPEC => Ok(Address::Unspecified),
            AF_NETLINK => {
                if self.len < size_of::<SockaddrNl>() || family != AF_NETLINK {
                    return Err(Errno::EINVAL);
                }
                let part: SockaddrNl = self.part()?;
                Ok(Address::Netlink { port: part.nl_pid, groups: part.nl_groups })
            }
            AF_PACKET => self.packet(),
            AF_VSOCK => {
                if self.len < size_of::<SockaddrVm>() {
                    return Err(Errno::EINVAL);
                }
                let part: SockaddrVm = self.part()?;
                if part.svm_family != AF_VSOCK {
                    return Err(Errno::EAFNOSUPPORT);
                }
                Ok(Address::Vsock { cid: part.svm_cid, port: part.svm_port })
            }
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    fn unix(&self, cx: &Context<'_>, purpose: Purpose) -> Result<Address> {
        // Datagram sockets are disconnected by it; the socket tells whether it is one.
        if purpose == Purpose::Connect && self.len >= 2 && self.family() == AF_UNSPEC {
            return Ok(Address::Unspecified);
        }
        if purpose == Purpose::Bind && self.len == SUN_PATH && self.family() == AF_UNIX {
            return Ok(Address::Unix(UnixName::Unnamed));
        }
        if self.len <= SUN_PATH || self.len > SOCKADDR_UN || self.family() != AF_UNIX {
            return Err(Errno::EINVAL);
        }
        match self.unix_path() {
            Some(path) => look_up(cx, path),
            None => Ok(Address::Unix(UnixName::Abstract(self.bytes[SUN_PATH + 1..self.len].to_vec()))),
        }
    }

    fn inet(&self, domain: u16, purpose: Purpose) -> Result<Address> {
        let family = self.family();
        if self.len < 2 {
            return Err(Errno::EINVAL);
        }
        if purpose == Purpose::Connect && family == AF_UNSPEC {
            return Ok(Address::Unspecified);
        }
        // An IPv6 socket also sends to and connects with IPv4 addresses.
        let v4 = domain == AF_INET || purpose != Purpose::Bind && family == AF_INET;
        let shortest = if v4 { size_of::<SockaddrIn>() } else { SIN6_OLD };
        if self.len < shortest {
            return Err(Errno::EINVAL);
        }
        if v4 {
            let part: SockaddrIn = self.part()?;
            let address = Ipv4Addr::from(part.sin_addr);
            // LINUX: no family at all passes, where an old program left it out.
            let lax = family == AF_UNSPEC
                && (purpose == Purpose::Send || purpose == Purpose::Bind && address.is_unspecified());
            if family != AF_INET && !lax {
                return Err(Errno::EAFNOSUPPORT);
            }
            let port = u16::from_be_bytes(part.sin_port);
            return Ok(Address::Inet(SocketAddr::V4(SocketAddrV4::new(address, port))));
        }
        if family != AF_INET6 {
            let sends = purpose == Purpose::Send;
            return Err(if sends { Errno::EINVAL } else { Errno::EAFNOSUPPORT });
        }
        let part: SockaddrIn6 = self.part()?;
        let scope = if self.len < size_of::<SockaddrIn6>() { 0 } else { part.sin6_scope_id };
        let (port, flow) = (u16::from_be_bytes(part.sin6_port), u32::from_be_bytes(part.sin6_flowinfo));
        let address = SocketAddrV6::new(Ipv6Addr::from(part.sin6_addr), port, flow, scope);
        Ok(Address::Inet(SocketAddr::V6(address)))
    }

    fn packet(&self) -> Result<Address> {
        if self.len < size_of::<SockaddrLl>() || self.family() != AF_PACKET {
            return Err(Errno::EINVAL);
        }
        let part: SockaddrLl = self.part()?;
        let len = usize::from(part.sll_halen).min(part.sll_addr.len());
        Ok(Address::Packet {
            protocol: u16::from_be_bytes(part.sll_protocol),
            interface: part.sll_ifindex.cast_unsigned(),
            hardware: part.sll_hatype,
            kind: part.sll_pkttype,
            address: part.sll_addr[..len].to_vec(),
        })
    }
}

/// Finds the socket file that a path names, which one must be allowed to write to.
fn look_up(cx: &Context<'_>, path: &[u8]) -> Result<Address> {
    let origin = Origin::cwd(cx);
    let place = origin.walk().lookup(path, Follow::Yes)?;
    vfs::credentials::check(&**place.node(), Want::WRITE, origin.credentials())?;
    let about = place.metadata();
    if about.kind != Kind::Socket {
        return Err(Errno::ECONNREFUSED);
    }
    let file = FileId { device: about.dev, inode: about.ino };
    Ok(Address::Unix(UnixName::Path { path: path.to_vec(), file }))
}

/// Makes the socket file that a path names, for a socket that is bound there; `undo` takes it away again.
///
/// # Errors
/// `EADDRINUSE` if the name exists; those of `mknod(2)`.
pub(super) fn make_file(cx: &Context<'_>, path: &[u8]) -> Result<Address> {
    let origin = Origin::cwd(cx);
    let made = origin.walk().make_node(path, Kind::Socket, 0o777, 0);
    let place = made.map_err(|errno| if errno == Errno::EEXIST { Errno::EADDRINUSE } else { errno })?;
    let about = place.metadata();
    let file = FileId { device: about.dev, inode: about.ino };
    Ok(Address::Unix(UnixName::Path { path: path.to_vec(), file }))
}

/// Takes a socket file away that nobody could be bound to.
pub(super) fn remove_file(cx: &Context<'_>, path: &[u8]) {
    // Whoever removed it first has done this one's work.
    let _ = Origin::cwd(cx).walk().unlink(path);
}

/// An address on its way out.
pub(super) struct Encoded {
    bytes: [u8; STORAGE],
    /// Bytes that the address has, which may be more than there is room for.
    len: usize,
}

impl Encoded {
    /// No address at all.
    pub(super) const fn empty() -> Self {
        Self { bytes: [0; STORAGE], len: 0 }
    }

    fn of(bytes: &[u8]) -> Self {
        let mut all = [0; STORAGE];
        all[..bytes.len()].copy_from_slice(bytes);
        Self { bytes: all, len: bytes.len() }
    }

    /// Puts an address into the shape that applications know, for a socket of this family.
    pub(super) fn new(address: &Address, domain: u16) -> Self {
        match address {
            Address::Unspecified => Self::of(&AF_UNSPEC.to_ne_bytes()),
            Address::Inet(address) => Self::inet(*address, domain),
            Address::Unix(name) => Self::unix(name),
            Address::Netlink { port, groups } => Self::of(
                SockaddrNl { nl_family: AF_NETLINK, nl_pad: 0, nl_pid: *port, nl_groups: *groups }.as_bytes(),
            ),
            Address::Packet { protocol, interface, hardware, kind, address } => {
                let mut sll_addr = [0; 8];
                let len = address.len().min(sll_addr.len());
                sll_addr[..len].copy_from_slice(&address[..len]);
                let part = SockaddrLl {
                    sll_family: AF_PACKET,
                    sll_protocol: protocol.to_be_bytes(),
                    sll_ifindex: interface.cast_signed(),
                    sll_hatype: *hardware,
                    sll_pkttype: *kind,
                    sll_halen: u8::try_from(len).unwrap_or(0),
                    sll_addr,
                };
                Self::of(part.as_bytes())
            }
            Address::Vsock { cid, port } => Self::of(
                SockaddrVm { svm_family: AF_VSOCK, svm_cid: *cid, svm_port: *port, ..SockaddrVm::default() }
                    .as_bytes(),
            ),
        }
    }

    fn inet(address: SocketAddr, domain: u16) -> Self {
        let port = address.port().to_be_bytes();
        match address {
            SocketAddr::V4(v4) if domain != AF_INET6 => {
                let part = SockaddrIn {
                    sin_family: AF_INET,
                    sin_port: port,
                    sin_addr: v4.ip().octets(),
                    ..SockaddrIn::default()
                };
                Self::of(part.as_bytes())
            }
            _ => {
                let (flow, scope) = match address {
                    SocketAddr::V6(v6) => (v6.flowinfo(), v6.scope_id()),
                    SocketAddr::V4(_) => (0, 0),
                };
                let ip: IpAddr = address.ip();
                let part = SockaddrIn6 {
                    sin6_family: AF_INET6,
                    sin6_port: port,
                    sin6_flowinfo: flow.to_be_bytes(),
                    sin6_addr: mapped(ip).octets(),
                    sin6_scope_id: scope,
                };
                Self::of(part.as_bytes())
            }
        }
    }

    fn unix(name: &UnixName) -> Self {
        let mut bytes: Vec<u8> = AF_UNIX.to_ne_bytes().to_vec();
        match name {
            UnixName::Unnamed => {}
            UnixName::Abstract(name) => {
                bytes.push(0);
                bytes.extend_from_slice(name);
            }
            UnixName::Path { path, .. } => {
                bytes.extend_from_slice(path);
                bytes.push(0);
            }
        }
        Self::of(&bytes)
    }

    /// Returns the address.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Copies the address out, as much as there is room for, and tells how long it is (`accept(2)`).
    ///
    /// # Errors
    /// `EINVAL` for a negative length, `EFAULT`
    pub(super) fn write(&self, cx: &Context<'_>, at: UserAddr, len_at: UserPtr<i32, InOut>) -> Result<()> {
        let room = usize::try_from(len_at.read(cx)?).map_err(|_| Errno::EINVAL)?;
        let part = room.min(self.len);
        if part > 0 {
            cx.memory().copy_out(at, &self.bytes[..part]).map_err(|_| Errno::EFAULT)?;
        }
        len_at.write(cx, &i32::try_from(self.len).unwrap_or(i32::MAX))
    }
}
