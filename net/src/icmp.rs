//! ICMP (RFC 792, RFC 4443): answers to echo requests, reports of errors both ways.

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};

use abi::Errno;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv6Message, Icmpv6Packet, Icmpv6Repr, Ipv4Packet, Ipv6Packet};

use crate::Net;
use crate::checksum;
use crate::ingress::{Batch, Received};
use crate::interface::Finish;
use crate::wire::{IpHeader, protocol};

/// Types and codes of ICMP for IPv4.
mod v4 {
    pub(super) const ECHO_REPLY: u8 = 0;
    pub(super) const UNREACHABLE: u8 = 3;
    pub(super) const ECHO_REQUEST: u8 = 8;
    pub(super) const TIME_EXCEEDED: u8 = 11;
    pub(super) const PARAMETER: u8 = 12;
    pub(super) const CODE_PORT: u8 = 3;
    pub(super) const CODE_TOO_LONG: u8 = 4;
}

/// Types of ICMP for IPv6.
mod v6 {
    pub(super) const UNREACHABLE: u8 = 1;
    pub(super) const TOO_BIG: u8 = 2;
    pub(super) const TIME_EXCEEDED: u8 = 3;
    pub(super) const PARAMETER: u8 = 4;
    pub(super) const ECHO_REQUEST: u8 = 128;
    pub(super) const ECHO_REPLY: u8 = 129;
    pub(super) const CODE_PORT: u8 = 4;
}

/// A report about a packet that we sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Report {
    /// What the application is told.
    pub errno: Errno,
    /// It is the end of a connection's hopes, not a passing trouble.
    pub hard: bool,
    /// Type and code, as they came.
    pub kind: u8,
    /// See [`Self::kind`].
    pub code: u8,
    /// The largest packet that gets through.
    pub mtu: Option<u32>,
    /// Who says so.
    pub from: Option<IpAddr>,
}

/// What a packet of ours said, as far as a report quotes it.
struct Quoted {
    protocol: u8,
    local: SocketAddr,
    peer: SocketAddr,
    /// The first sequence number, of TCP.
    seq: u32,
}

impl Net {
    pub(crate) fn take_icmp_v4(self: &Arc<Self>, received: &Received<'_>, batch: &mut Batch) {
        let message = received.payload;
        if message.len() < 8 || !received.checked && checksum::plain(message) != 0 {
            return;
        }
        let (kind, code) = (message[0], message[1]);
        match kind {
            v4::ECHO_REQUEST if !received.to_many => self.echo(received, v4::ECHO_REPLY),
            v4::UNREACHABLE | v4::TIME_EXCEEDED | v4::PARAMETER => {
                let mtu = u32::from(u16::from_be_bytes([message[6], message[7]]));
                let (errno, hard) = match (kind, code) {
                    (v4::UNREACHABLE, 0 | 5 | 6 | 11) => (Errno::ENETUNREACH, false),
                    (v4::UNREACHABLE, 2) => (Errno::ENOPROTOOPT, true),
                    (v4::UNREACHABLE, v4::CODE_PORT) => (Errno::ECONNREFUSED, true),
                    (v4::UNREACHABLE, v4::CODE_TOO_LONG) => (Errno::EMSGSIZE, false),
                    (v4::UNREACHABLE, 9) => (Errno::ENETUNREACH, true),
                    (v4::UNREACHABLE, 10) => (Errno::EHOSTUNREACH, true),
                    (v4::PARAMETER, _) => (Errno::EPROTO, true),
                    _ => (Errno::EHOSTUNREACH, false),
                };
                let mtu = ((kind, code) == (v4::UNREACHABLE, v4::CODE_TOO_LONG)).then_some(mtu);
                let from = Some(received.header.source);
                self.take_report(&message[8..], Report { errno, hard, kind, code, mtu, from }, batch);
            }
            _ => {}
        }
    }

    pub(crate) fn take_icmp_v6(self: &Arc<Self>, received: &Received<'_>, batch: &mut Batch) {
        let message = received.payload;
        let (IpAddr::V6(source), IpAddr::V6(destination)) =
            (received.header.source, received.header.destination)
        else {
            return;
        };
        let right = received.checked
            || checksum::transport_is_right(
                received.header.source,
                received.header.destination,
                protocol::ICMPV6,
                message,
            );
        if message.len() < 8 || !right {
            return;
        }
        let (kind, code) = (message[0], message[1]);
        match kind {
            v6::ECHO_REQUEST if !destination.is_multicast() => self.echo(received, v6::ECHO_REPLY),
            v6::UNREACHABLE | v6::TOO_BIG | v6::TIME_EXCEEDED | v6::PARAMETER => {
                let mtu = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
                let (errno, hard) = match (kind, code) {
                    (v6::UNREACHABLE, 0) => (Errno::ENETUNREACH, false),
                    (v6::UNREACHABLE, 1 | 5 | 6) => (Errno::EACCES, true),
                    (v6::UNREACHABLE, v6::CODE_PORT) => (Errno::ECONNREFUSED, true),
                    (v6::TOO_BIG, _) => (Errno::EMSGSIZE, false),
                    (v6::PARAMETER, _) => (Errno::EPROTO, true),
                    _ => (Errno::EHOSTUNREACH, false),
                };
                let mtu = (kind == v6::TOO_BIG).then_some(mtu);
                let from = Some(received.header.source);
                self.take_report(&message[8..], Report { errno, hard, kind, code, mtu, from }, batch);
            }
            _ => {
                let Ok(packet) = Icmpv6Packet::new_checked(message) else { return };
                if !matches!(
                    packet.msg_type(),
                    Icmpv6Message::NeighborSolicit | Icmpv6Message::NeighborAdvert
                ) {
                    return;
                }
                let ignored = ChecksumCapabilities::ignored();
                if let Ok(Icmpv6Repr::Ndisc(repr)) =
                    Icmpv6Repr::parse(&source, &destination, &packet, &ignored)
                {
                    self.take_ndisc(received, &repr);
                }
            }
        }
    }

    /// Sends an echo request back as a reply.
    fn echo(self: &Arc<Self>, received: &Received<'_>, kind: u8) {
        let from = received.header;
        let Ok(path) = self.path(from.source, Some(from.destination), 0) else { return };
        let header = IpHeader {
            source: from.destination,
            destination: from.source,
            hop_limit: 64,
            dont_fragment: false,
            ..from
        };
        let body = received.payload;
        let v6 = from.source.is_ipv6();
        let finish = Finish { checksum: v6.then_some(2), segment: None };
        let _ = self.send_ip(&path, &header, body.len(), finish, &mut |to| {
            to.copy_from_slice(body);
            to[0] = kind;
            to[2..4].fill(0);
            if !v6 {
                let sum = checksum::plain(to);
                to[2..4].copy_from_slice(&sum.to_be_bytes());
            }
        });
        path.interface.flush();
    }

    /// Tells the sender of a packet that nobody listens at its port (RFC 1122, section 3.2.2.1). Not of packets to many.
    pub(crate) fn report_port(self: &Arc<Self>, received: &Received<'_>) {
        let from = received.header;
        if received.to_many || from.source.is_unspecified() || from.source.is_multicast() {
            return;
        }
        let Ok(path) = self.path(from.source, Some(from.destination), 0) else { return };
        let v6 = from.source.is_ipv6();
        // As much of the packet as fits into the smallest packet that everybody takes.
        let most = if v6 { 1280 - 48 } else { 576 - 28 };
        let quoted = &received.packet[..received.packet.len().min(most)];
        let (kind, code, protocol) = if v6 {
            (v6::UNREACHABLE, v6::CODE_PORT, protocol::ICMPV6)
        } else {
            (v4::UNREACHABLE, v4::CODE_PORT, protocol::ICMP)
        };
        let header = IpHeader {
            source: from.destination,
            destination: from.source,
            protocol,
            hop_limit: 64,
            traffic_class: 0xc0,
            dont_fragment: false,
        };
        let finish = Finish { checksum: v6.then_some(2), segment: None };
        let _ = self.send_ip(&path, &header, 8 + quoted.len(), finish, &mut |to| {
            to[..8].copy_from_slice(&[kind, code, 0, 0, 0, 0, 0, 0]);
            to[8..].copy_from_slice(quoted);
            if !v6 {
                let sum = checksum::plain(to);
                to[2..4].copy_from_slice(&sum.to_be_bytes());
            }
        });
        path.interface.flush();
    }

    /// Takes a report about the packet that it quotes.
    fn take_report(self: &Arc<Self>, packet: &[u8], report: Report, batch: &mut Batch) {
        let Some(quoted) = quoted(packet) else { return };
        match quoted.protocol {
            protocol::TCP => {
                if let Some(connection) = self.tcp.find(quoted.local, quoted.peer) {
                    connection.report(quoted.seq, &report);
                    batch.touched.push(connection);
                }
            }
            protocol::UDP => self.report_datagram(quoted.local, quoted.peer, &report),
            _ => {}
        }
    }

    /// Tells the sender of a packet that it could not be sent.
    pub(crate) fn undeliverable(self: &Arc<Self>, packet: &[u8], errno: Errno) {
        let report = Report { errno, hard: false, kind: 0, code: 0, mtu: None, from: None };
        let mut batch = Batch::default();
        self.take_report(packet, report, &mut batch);
        self.finish(batch);
    }
}

/// Reads the start of a packet of ours.
fn quoted(packet: &[u8]) -> Option<Quoted> {
    let (source, destination, protocol, rest) = match packet.first()? >> 4 {
        4 if packet.len() >= 28 => {
            let header = Ipv4Packet::new_unchecked(packet);
            let rest = packet.get(usize::from(header.header_len())..)?;
            let (source, destination) = (header.src_addr(), header.dst_addr());
            (IpAddr::V4(source), IpAddr::V4(destination), u8::from(header.next_header()), rest)
        }
        6 if packet.len() >= 48 => {
            let header = Ipv6Packet::new_unchecked(packet);
            let (source, destination) = (header.src_addr(), header.dst_addr());
            (IpAddr::V6(source), IpAddr::V6(destination), u8::from(header.next_header()), &packet[40..])
        }
        _ => return None,
    };
    let (&[a, b, c, d, e, f, g, h], _) = rest.split_first_chunk()?;
    Some(Quoted {
        protocol,
        local: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        peer: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
        seq: u32::from_be_bytes([e, f, g, h]),
    })
}
