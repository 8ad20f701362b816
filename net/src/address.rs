//! Addresses of sockets, as values. How they lie in an application's memory is `syscall`'s business.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Names a file that a UNIX socket is bound to: device and inode.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    /// Device number of the file system.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// The name of a UNIX socket (`unix(7)`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum UnixName {
    /// None: never bound.
    #[default]
    Unnamed,
    /// In the abstract namespace, without the leading NUL.
    Abstract(Vec<u8>),
    /// In the tree of files.
    Path {
        /// As it was given to `bind`, without the NUL behind it.
        path: Vec<u8>,
        /// The file.
        file: FileId,
    },
}

/// The address of a socket of any family.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// `AF_UNSPEC`: dissolves an association in `connect`.
    Unspecified,
    /// `AF_INET` or `AF_INET6`, with the scope of a link-local address in it.
    Inet(SocketAddr),
    /// `AF_UNIX`.
    Unix(UnixName),
    /// `AF_NETLINK`.
    Netlink {
        /// Port: 0 is the kernel.
        port: u32,
        /// Multicast groups, a bit each.
        groups: u32,
    },
    /// `AF_PACKET`.
    Packet {
        /// EtherType, in host byte order.
        protocol: u16,
        /// Interface index, 0 for any.
        interface: u32,
        /// `ARPHRD_*`, filled in for the application.
        hardware: u16,
        /// `PACKET_HOST` and the like, filled in for the application.
        kind: u8,
        /// Link-layer address.
        address: Vec<u8>,
    },
    /// `AF_VSOCK`.
    Vsock {
        /// Context identifier.
        cid: u32,
        /// Port.
        port: u32,
    },
}

impl Address {
    /// Returns the Internet address.
    pub const fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            _ => None,
        }
    }
}

/// Returns an IPv4 address for an IPv4-mapped IPv6 one, anything else as it is.
pub fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Returns the IPv4-mapped IPv6 address of an IPv4 one, an IPv6 one as it is.
pub const fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The address that stands for none of a family.
pub const fn any(v6: bool) -> IpAddr {
    if v6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) }
}
