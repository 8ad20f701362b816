//! Headers of Ethernet and IP, as they lie in a frame.

use core::net::IpAddr;

use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet};

use crate::checksum;
use crate::interface::Mac;

/// Length of an Ethernet header.
pub(crate) const ETHERNET_LEN: usize = 14;

pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;

/// Numbers of protocols, as IP headers carry them.
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const ICMPV6: u8 = 58;
}

/// What an IP header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IpHeader {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub hop_limit: u8,
    /// `TOS`, or traffic class.
    pub traffic_class: u8,
    /// Routers must not cut it.
    pub dont_fragment: bool,
}

impl IpHeader {
    /// Returns the header's length.
    pub(crate) const fn len(&self) -> usize {
        match self.destination {
            IpAddr::V4(_) => 20,
            IpAddr::V6(_) => 40,
        }
    }

    /// Writes the header in front of `payload` bytes. `id` tells the parts of one packet from those of others.
    pub(crate) fn emit(&self, to: &mut [u8], payload: usize, id: u16) {
        self.emit_part(to, payload, id, 0, false);
    }

    /// As [`Self::emit`], for the part of a packet that begins at `offset`.
    pub(crate) fn emit_part(&self, to: &mut [u8], payload: usize, id: u16, offset: usize, more: bool) {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut packet = Ipv4Packet::new_unchecked(&mut to[..20]);
                packet.set_version(4);
                packet.set_header_len(20);
                packet.set_dscp(self.traffic_class >> 2);
                packet.set_ecn(self.traffic_class & 3);
                packet.set_total_len(u16::try_from(payload + 20).unwrap_or(u16::MAX));
                packet.set_ident(id);
                packet.clear_flags();
                packet.set_dont_frag(self.dont_fragment);
                packet.set_more_frags(more);
                packet.set_frag_offset(u16::try_from(offset).unwrap_or(0));
                packet.set_hop_limit(self.hop_limit);
                packet.set_next_header(IpProtocol::from(self.protocol));
                packet.set_src_addr(source);
                packet.set_dst_addr(destination);
                packet.set_checksum(0);
                let sum = checksum::plain(&to[..20]);
                to[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut packet = Ipv6Packet::new_unchecked(&mut to[..40]);
                packet.set_version(6);
                packet.set_traffic_class(self.traffic_class);
                packet.set_flow_label(0);
                packet.set_payload_len(u16::try_from(payload).unwrap_or(u16::MAX));
                packet.set_next_header(IpProtocol::from(self.protocol));
                packet.set_hop_limit(self.hop_limit);
                packet.set_src_addr(source);
                packet.set_dst_addr(destination);
            }
            // Both addresses are of one family: whoever makes a header looks the source up for the destination.
            _ => {}
        }
    }
}

/// Writes an Ethernet header.
pub(crate) fn emit_ethernet(frame: &mut [u8], destination: Mac, source: Mac, ethertype: u16) {
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&source);
    frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
}

/// Fills a transport checksum in, or only the part that a card needs to fill in the rest.
pub(crate) fn finish_checksum(packet: &mut [u8], transport: usize, at: u16, by_card: bool) {
    let Some((source, destination, protocol)) = ends_of(packet) else { return };
    let at = usize::from(at);
    let body = &mut packet[transport..];
    if at + 2 > body.len() {
        return;
    }
    body[at..at + 2].fill(0);
    let sum = if by_card {
        checksum::pseudo_header(source, destination, protocol, body.len())
    } else {
        match checksum::transport(source, destination, protocol, body) {
            // Of UDP, 0 means that there is no checksum.
            0 if protocol == protocol::UDP => 0xffff,
            sum => sum,
        }
    };
    body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

fn ends_of(packet: &[u8]) -> Option<(IpAddr, IpAddr, u8)> {
    match packet.first()? >> 4 {
        4 => {
            let packet = Ipv4Packet::new_unchecked(packet);
            Some((
                IpAddr::V4(packet.src_addr()),
                IpAddr::V4(packet.dst_addr()),
                u8::from(packet.next_header()),
            ))
        }
        6 => {
            let packet = Ipv6Packet::new_unchecked(packet);
            Some((
                IpAddr::V6(packet.src_addr()),
                IpAddr::V6(packet.dst_addr()),
                u8::from(packet.next_header()),
            ))
        }
        _ => None,
    }
}
