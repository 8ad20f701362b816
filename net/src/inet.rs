//! What sockets of the Internet have in common: making them, addresses, interfaces.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr, SocketAddrV6};
use core::sync::atomic::Ordering;

use abi::socket::*;
use abi::{Errno, Result};

pub(crate) use crate::ip_options::{IpOptions, int, of_int};
use crate::tcp::TcpSocket;
use crate::udp::UdpSocket;
use crate::{Address, Common, Identity, Net, Socket, any, mapped, unmapped};

/// Makes a socket of the Internet.
pub(crate) fn socket(
    net: &Arc<Net>,
    domain: u16,
    kind: u32,
    protocol: i32,
    who: &Identity,
) -> Result<Arc<dyn Socket>> {
    if !(0..=IPPROTO_MPTCP).contains(&protocol) {
        return Err(Errno::EINVAL);
    }
    match (kind, protocol) {
        (SOCK_STREAM, IPPROTO_IP | IPPROTO_TCP) => Ok(Arc::new(TcpSocket::new(net, domain))),
        (SOCK_DGRAM, IPPROTO_IP | IPPROTO_UDP) => Ok(Arc::new(UdpSocket::new(net, domain))),
        (SOCK_STREAM | SOCK_DGRAM, _) => Err(Errno::EPROTONOSUPPORT),
        (SOCK_RAW, IPPROTO_IP) => Err(Errno::EPROTONOSUPPORT),
        (SOCK_RAW, _) if !who.net_raw => Err(Errno::EPERM),
        (SOCK_SEQPACKET, _) => Err(Errno::ESOCKTNOSUPPORT),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

/// Takes an address that a call names: of the socket's family, or of IPv4 within IPv6.
///
/// # Errors
/// `EAFNOSUPPORT`, `EINVAL` for another family; `ENETUNREACH` for IPv4 where the socket takes only IPv6.
pub(crate) fn take_address(common: &Common, address: &Address, v6_only: bool) -> Result<SocketAddr> {
    let Address::Inet(address) = address else { return Err(Errno::EAFNOSUPPORT) };
    match (common.domain == AF_INET6, address) {
        (true, SocketAddr::V4(_)) => Err(Errno::EINVAL),
        (false, SocketAddr::V6(_)) => Err(Errno::EAFNOSUPPORT),
        (true, SocketAddr::V6(v6)) => match unmapped(IpAddr::V6(*v6.ip())) {
            v4 @ IpAddr::V4(_) if v6_only => {
                let _ = v4;
                Err(Errno::ENETUNREACH)
            }
            IpAddr::V4(v4) => Ok(SocketAddr::new(IpAddr::V4(v4), v6.port())),
            IpAddr::V6(_) => Ok(*address),
        },
        (false, SocketAddr::V4(_)) => Ok(*address),
    }
}

/// Returns an address as the socket's family shows it.
pub(crate) fn show_address(common: &Common, address: SocketAddr) -> Address {
    if common.domain != AF_INET6 {
        return Address::Inet(address);
    }
    let scope = match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => v6.scope_id(),
        _ => 0,
    };
    Address::Inet(SocketAddr::V6(SocketAddrV6::new(mapped(address.ip()), address.port(), 0, scope)))
}

/// The address of a socket that has none.
pub(crate) fn no_address(common: &Common) -> Address {
    Address::Inet(SocketAddr::new(any(common.domain == AF_INET6), 0))
}

/// Says that a local address may be bound to: the machine's own, any, a group, everybody.
///
/// # Errors
/// `EADDRNOTAVAIL`
pub(crate) fn check_local(net: &Net, address: IpAddr, options: &IpOptions) -> Result<()> {
    let fine = address.is_unspecified()
        || options.free_bind
        || address.is_multicast()
        || net.is_local(address)
        || net.is_broadcast(address);
    if fine { Ok(()) } else { Err(Errno::EADDRNOTAVAIL) }
}

/// Binds a socket to an interface by its name; an empty one ends that (`SO_BINDTODEVICE`).
///
/// # Errors
/// `ENODEV`; `EPERM` if it is bound and the caller may not use raw sockets.
pub(crate) fn bind_to_device(net: &Net, common: &Common, value: &[u8], who: &Identity) -> Result<()> {
    let end = value.iter().position(|&b| b == 0).unwrap_or(value.len());
    let name = &value[..end];
    if common.interface.load(Ordering::Relaxed) != 0 && !who.net_raw {
        return Err(Errno::EPERM);
    }
    let index = if name.is_empty() { 0 } else { net.interface_named(name).ok_or(Errno::ENODEV)?.index };
    common.interface.store(index, Ordering::Relaxed);
    Ok(())
}

/// Returns the name of the interface that a socket is bound to, with its NUL; nothing if it is bound to none.
pub(crate) fn bound_device(net: &Net, common: &Common) -> Vec<u8> {
    let index = common.interface.load(Ordering::Relaxed);
    let interface = if index == 0 { None } else { net.interface(index) };
    interface.map_or_else(Vec::new, |interface| [interface.name.as_bytes(), b"\0"].concat())
}
