//! Frames and packets come in.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::sync::atomic::Ordering;

use hal::RxInfo;
use smoltcp::wire::{Ipv4Packet, Ipv6Packet};

use crate::Net;
use crate::fragments::Key;
use crate::interface::Interface;
use crate::tcp::Tcp;
use crate::wire::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IpHeader, protocol};

/// What is to be done once all frames of one go are in: connections acknowledge them together.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) touched: Vec<Arc<Tcp>>,
}

/// A packet for this machine.
pub(crate) struct Received<'a> {
    /// Where it came in.
    pub interface: &'a Arc<Interface>,
    /// Its header.
    pub header: IpHeader,
    /// What follows the IP headers.
    pub payload: &'a [u8],
    /// The whole packet, as far as it is known: reports of errors quote it.
    pub packet: &'a [u8],
    /// The transport checksum needs no look.
    pub checked: bool,
    /// It was sent to everybody, or to a group.
    pub to_many: bool,
}

impl Net {
    /// Takes a frame from a card.
    pub(crate) fn frame(
        self: &Arc<Self>,
        interface: &Arc<Interface>,
        frame: &[u8],
        info: RxInfo,
        batch: &mut Batch,
    ) {
        if frame.len() < wire::ETHERNET_LEN || !interface.is_up() {
            return;
        }
        if interface.taps.load(Ordering::Relaxed) > 0 {
            self.tap_incoming(interface, frame);
        }
        let (header, packet) = frame.split_at(wire::ETHERNET_LEN);
        let to_many = header[0] & 1 != 0;
        if !to_many && header[..6] != interface.mac {
            // Heard by chance, or because somebody wants to hear everything.
            return;
        }
        match u16::from_be_bytes([header[12], header[13]]) {
            ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => self.packet(interface, packet, info, to_many, batch),
            ETHERTYPE_ARP => self.take_arp(interface, packet),
            _ => {}
        }
    }

    /// Does what the frames of one go have left to do.
    pub(crate) fn finish(self: &Arc<Self>, batch: Batch) {
        for connection in batch.touched {
            connection.settle();
        }
    }

    /// Takes an IP packet.
    pub(crate) fn packet(
        self: &Arc<Self>,
        interface: &Arc<Interface>,
        packet: &[u8],
        info: RxInfo,
        to_many: bool,
        batch: &mut Batch,
    ) {
        match packet.first().map(|first| first >> 4) {
            Some(4) => self.take_v4(interface, packet, info, to_many, batch),
            Some(6) => self.take_v6(interface, packet, info, to_many, batch),
            _ => {}
        }
    }

    /// Says whether a packet to this address is ours, and if so whether it goes to many.
    fn takes(&self, interface: &Interface, destination: IpAddr) -> Option<bool> {
        if destination.is_multicast() {
            return interface.is_member(destination).then_some(true);
        }
        if self.is_local(destination) {
            return Some(false);
        }
        self.is_broadcast(destination).then_some(true)
    }

    fn take_v4(
        self: &Arc<Self>,
        interface: &Arc<Interface>,
        bytes: &[u8],
        info: RxInfo,
        to_many: bool,
        batch: &mut Batch,
    ) {
        let Ok(packet) = Ipv4Packet::new_checked(bytes) else { return };
        if !interface.is_loopback() && !packet.verify_checksum() {
            return;
        }
        let (source, destination) = (packet.src_addr(), packet.dst_addr());
        // Nobody sends from there (RFC 1122, section 3.2.1.3), and from ourselves only we send.
        let martian = source.is_multicast()
            || source.is_broadcast()
            || !interface.is_loopback() && (source.is_loopback() || destination.is_loopback());
        if martian {
            return;
        }
        let Some(many) = self.takes(interface, IpAddr::V4(destination)) else { return };
        let to_many = to_many || many;
        let header = IpHeader {
            source: IpAddr::V4(source),
            destination: IpAddr::V4(destination),
            protocol: u8::from(packet.next_header()),
            hop_limit: packet.hop_limit(),
            traffic_class: packet.dscp() << 2 | packet.ecn(),
            dont_fragment: packet.dont_frag(),
        };
        let total = usize::from(packet.total_len());
        let payload = packet.payload();
        let whole = &bytes[..total.min(bytes.len())];
        let checked = info.checksum_good;
        let received = Received { interface, header, payload, packet: whole, checked, to_many };
        if packet.more_frags() || packet.frag_offset() > 0 {
            let key = (header.source, header.destination, header.protocol, u32::from(packet.ident()));
            let offset = usize::from(packet.frag_offset());
            self.take_part(&received, key, offset, packet.more_frags(), batch);
            return;
        }
        self.dispatch(&received, batch);
    }

    fn take_v6(
        self: &Arc<Self>,
        interface: &Arc<Interface>,
        bytes: &[u8],
        info: RxInfo,
        to_many: bool,
        batch: &mut Batch,
    ) {
        let Ok(packet) = Ipv6Packet::new_checked(bytes) else { return };
        let (source, destination) = (packet.src_addr(), packet.dst_addr());
        let martian = source.is_multicast()
            || !interface.is_loopback() && (source.is_loopback() || destination.is_loopback());
        if martian {
            return;
        }
        let Some(many) = self.takes(interface, IpAddr::V6(destination)) else { return };
        let whole = &bytes[..(40 + usize::from(packet.payload_len())).min(bytes.len())];
        let mut header = IpHeader {
            source: IpAddr::V6(source),
            destination: IpAddr::V6(destination),
            protocol: u8::from(packet.next_header()),
            hop_limit: packet.hop_limit(),
            traffic_class: packet.traffic_class(),
            dont_fragment: true,
        };
        let to_many = to_many || many;
        let mut rest = packet.payload();
        // Headers that may stand between (RFC 8200, section 4); more than a few are nobody's.
        for _ in 0..8 {
            match header.protocol {
                // Hop by hop, routing, destination: next header, and a length in units of eight bytes.
                0 | 43 | 60 => {
                    let Some((&[next, len], _)) = rest.split_first_chunk() else { return };
                    let len = 8 * (usize::from(len) + 1);
                    if header.protocol == 43 && rest.get(3).is_some_and(|&left| left > 0) {
                        return;
                    }
                    let Some(behind) = rest.get(len..) else { return };
                    (header.protocol, rest) = (next, behind);
                }
                protocol::FRAGMENT => {
                    let Some((&[next, _, high, low, a, b, c, d], part)) = rest.split_first_chunk() else {
                        return;
                    };
                    let field = u16::from_be_bytes([high, low]);
                    let (offset, more) = (usize::from(field & !7), field & 1 != 0);
                    header.protocol = next;
                    if offset == 0 && !more {
                        // An atomic fragment (RFC 6946).
                        rest = part;
                        continue;
                    }
                    let id = u32::from_be_bytes([a, b, c, d]);
                    let key = (header.source, header.destination, next, id);
                    let received =
                        Received { interface, header, payload: part, packet: whole, checked: false, to_many };
                    self.take_part(&received, key, offset, more, batch);
                    return;
                }
                _ => break,
            }
        }
        let checked = info.checksum_good;
        self.dispatch(&Received { interface, header, payload: rest, packet: whole, checked, to_many }, batch);
    }

    /// Takes a part of a packet, and the packet once it is whole.
    fn take_part(
        self: &Arc<Self>,
        part: &Received<'_>,
        key: Key,
        offset: usize,
        more: bool,
        batch: &mut Batch,
    ) {
        let joined = self.fragments.lock().take(self.now(), key, offset, more, part.payload);
        if let Some(joined) = joined {
            // The card has seen parts only.
            self.dispatch(&Received { payload: &joined, checked: false, ..*part }, batch);
        }
    }

    fn dispatch(self: &Arc<Self>, received: &Received<'_>, batch: &mut Batch) {
        match received.header.protocol {
            protocol::TCP => self.take_segment(received, batch),
            protocol::UDP => self.take_datagram(received),
            protocol::ICMP if received.header.source.is_ipv4() => self.take_icmp_v4(received, batch),
            protocol::ICMPV6 if received.header.source.is_ipv6() => self.take_icmp_v6(received, batch),
            _ => {}
        }
    }

    /// Shows an incoming frame to the packet sockets.
    fn tap_incoming(&self, _interface: &Arc<Interface>, _frame: &[u8]) {}

    /// Shows an outgoing frame to the packet sockets.
    pub(crate) fn tap_outgoing(&self, _interface: &Interface, _frame: &[u8]) {}
}
