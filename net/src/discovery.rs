//! Asking neighbours for their Ethernet addresses, and answering: ARP (RFC 826), neighbour discovery (RFC 4861).

use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::Ordering;
use core::task::Waker;

use abi::Errno;
use hal::TxOffload;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpHardware, ArpOperation, ArpPacket, ArpRepr, EthernetAddress, Icmpv6Packet, Icmpv6Repr,
    NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
};

use crate::Net;
use crate::ingress::Received;
use crate::interface::{BROADCAST, Interface, Mac, group_mac};
use crate::neighbor::{NeighborRow, RETRY};
use crate::wire::{self, ETHERTYPE_ARP, ETHERTYPE_IPV6, IpHeader, protocol};

/// Length of an ARP packet for IPv4 over Ethernet.
const ARP_LEN: usize = 28;

impl Net {
    /// Lists the neighbours behind an interface.
    pub fn neighbors(&self, interface: &Interface) -> Vec<NeighborRow> {
        interface.neighbors.lock().list(self.now())
    }

    /// Notes where a neighbour is, by hand; `permanent` entries are never asked for again.
    pub fn set_neighbor(&self, interface: &Interface, address: IpAddr, mac: Mac, permanent: bool) {
        let waiting = interface.neighbors.lock().set(address, mac, self.now(), permanent);
        for (frame, offload) in waiting {
            let _ = interface.transmit(&frame, offload);
        }
        interface.flush();
    }

    /// Forgets a neighbour; says whether it was known.
    pub fn remove_neighbor(&self, interface: &Interface, address: IpAddr) -> bool {
        interface.neighbors.lock().remove(address)
    }

    /// Asks for a neighbour's Ethernet address: the neighbour alone where one is known, else everybody.
    pub(crate) fn ask_neighbor(self: &Arc<Self>, interface: &Interface, address: IpAddr, again: Option<Mac>) {
        match address {
            IpAddr::V4(v4) => self.send_arp_request(interface, v4, again),
            IpAddr::V6(v6) => self.send_solicitation(interface, v6, again),
        }
        interface.flush();
        self.arm_neighbor_timer();
    }

    fn arm_neighbor_timer(self: &Arc<Self>) {
        if !self.neighbor_timer.swap(true, Ordering::AcqRel) {
            let tick = NeighborTick { net: Arc::downgrade(self) };
            self.environment().clock.arm(self.now() + RETRY, Waker::from(Arc::new(tick)));
        }
    }

    /// An address of the interface that suits a question to `target`.
    fn asking_address(&self, interface: &Interface, target: IpAddr) -> Option<IpAddr> {
        self.path(target, None, interface.index).ok().map(|p| p.source).filter(|s| !s.is_unspecified())
    }

    fn send_arp_request(&self, interface: &Interface, target: Ipv4Addr, again: Option<Mac>) {
        let source = match self.asking_address(interface, IpAddr::V4(target)) {
            Some(IpAddr::V4(source)) => source,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        send_arp(interface, ArpOperation::Request, again.unwrap_or(BROADCAST), source, [0; 6], target);
    }

    /// Takes an ARP packet: answers questions for our addresses, and learns from what concerns us.
    pub(crate) fn take_arp(&self, interface: &Arc<Interface>, bytes: &[u8]) {
        let Ok(packet) = ArpPacket::new_checked(bytes) else { return };
        if packet.hardware_type() != ArpHardware::Ethernet {
            return;
        }
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        }) = ArpRepr::parse(&packet)
        else {
            return;
        };
        if !source_hardware_addr.is_unicast() || source_protocol_addr.is_multicast() {
            return;
        }
        let mac = source_hardware_addr.0;
        let for_us = self
            .addresses()
            .iter()
            .any(|a| a.interface == interface.index && a.address == IpAddr::V4(target_protocol_addr));
        if !source_protocol_addr.is_unspecified() && !self.is_local(IpAddr::V4(source_protocol_addr)) {
            self.learn(interface, IpAddr::V4(source_protocol_addr), mac, for_us);
        }
        if for_us && operation == ArpOperation::Request {
            let reply = ArpOperation::Reply;
            send_arp(interface, reply, mac, target_protocol_addr, mac, source_protocol_addr);
            interface.flush();
        }
    }

    fn learn(&self, interface: &Interface, address: IpAddr, mac: Mac, create: bool) {
        let waiting = interface.neighbors.lock().learn(address, mac, self.now(), create);
        for (frame, offload) in waiting {
            // What does not fit is lost, as on any full link.
            let _ = interface.transmit(&frame, offload);
        }
        interface.flush();
    }

    fn send_solicitation(&self, interface: &Interface, target: Ipv6Addr, again: Option<Mac>) {
        let Some(source) = self.asking_address(interface, IpAddr::V6(target)) else { return };
        let own = EthernetAddress(interface.mac);
        let repr =
            NdiscRepr::NeighborSolicit { target_addr: target, lladdr: Some(RawHardwareAddress::from(own)) };
        let o = target.octets();
        let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, o[13], o[14], o[15]]);
        let (destination, mac) = match again {
            Some(mac) => (target, mac),
            None => (group, group_mac(IpAddr::V6(group))),
        };
        let IpAddr::V6(source) = source else { return };
        send_ndisc(interface, mac, source, destination, &repr);
    }

    /// Takes a message of neighbour discovery; the hop limit of 255 shows that it comes from the link.
    pub(crate) fn take_ndisc(&self, received: &Received<'_>, repr: &NdiscRepr<'_>) {
        let (IpAddr::V6(source), interface) = (received.header.source, received.interface) else { return };
        if received.header.hop_limit != 255 || interface.is_loopback() {
            return;
        }
        match *repr {
            NdiscRepr::NeighborSolicit { target_addr, lladdr } => {
                let ours = self
                    .addresses()
                    .iter()
                    .any(|a| a.interface == interface.index && a.address == IpAddr::V6(target_addr));
                if !ours {
                    return;
                }
                let mac = lladdr.and_then(mac_of);
                let (destination, to) = if source.is_unspecified() {
                    // Somebody looks whether the address is free.
                    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
                    (all, group_mac(IpAddr::V6(all)))
                } else {
                    if let Some(mac) = mac {
                        self.learn(interface, IpAddr::V6(source), mac, true);
                    }
                    let known = interface.neighbors.lock().list(self.now());
                    let known =
                        known.iter().find(|row| row.address == IpAddr::V6(source)).and_then(|row| row.mac);
                    let Some(to) = mac.or(known) else { return };
                    (source, to)
                };
                let mut flags = NdiscNeighborFlags::OVERRIDE;
                flags.set(NdiscNeighborFlags::SOLICITED, !source.is_unspecified());
                let own = RawHardwareAddress::from(EthernetAddress(interface.mac));
                let reply = NdiscRepr::NeighborAdvert { flags, target_addr, lladdr: Some(own) };
                send_ndisc(interface, to, target_addr, destination, &reply);
                interface.flush();
            }
            NdiscRepr::NeighborAdvert { target_addr, lladdr, .. } => {
                if let Some(mac) = lladdr.and_then(mac_of) {
                    self.learn(interface, IpAddr::V6(target_addr), mac, false);
                }
            }
            _ => {}
        }
    }
}

fn mac_of(address: RawHardwareAddress) -> Option<Mac> {
    <Mac>::try_from(address.as_bytes()).ok().filter(|mac| mac[0] & 1 == 0)
}

fn send_arp(
    interface: &Interface,
    operation: ArpOperation,
    to: Mac,
    source: Ipv4Addr,
    target_mac: Mac,
    target: Ipv4Addr,
) {
    let mut frame = [0; wire::ETHERNET_LEN + ARP_LEN];
    wire::emit_ethernet(&mut frame, to, interface.mac, ETHERTYPE_ARP);
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(interface.mac),
        source_protocol_addr: source,
        target_hardware_addr: EthernetAddress(target_mac),
        target_protocol_addr: target,
    };
    repr.emit(&mut ArpPacket::new_unchecked(&mut frame[wire::ETHERNET_LEN..]));
    // What does not fit is asked again.
    let _ = interface.transmit(&frame, TxOffload::default());
}

/// Sends a message of neighbour discovery.
pub(crate) fn send_ndisc(
    interface: &Interface,
    to: Mac,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    repr: &NdiscRepr<'_>,
) {
    let message = Icmpv6Repr::Ndisc(*repr);
    let len = message.buffer_len();
    let header = IpHeader {
        source: IpAddr::V6(source),
        destination: IpAddr::V6(destination),
        protocol: protocol::ICMPV6,
        hop_limit: 255,
        traffic_class: 0,
        dont_fragment: true,
    };
    let mut frame = alloc::vec![0; wire::ETHERNET_LEN + header.len() + len];
    wire::emit_ethernet(&mut frame, to, interface.mac, ETHERTYPE_IPV6);
    let packet = &mut frame[wire::ETHERNET_LEN..];
    header.emit(packet, len, 0);
    let mut body = Icmpv6Packet::new_unchecked(&mut packet[header.len()..]);
    message.emit(&source, &destination, &mut body, &ChecksumCapabilities::default());
    let _ = interface.transmit(&frame, TxOffload::default());
}

/// Looks after neighbours that have not answered.
struct NeighborTick {
    net: Weak<Net>,
}

impl Wake for NeighborTick {
    fn wake(self: Arc<Self>) {
        let Some(net) = self.net.upgrade() else { return };
        net.neighbor_timer.store(false, Ordering::Release);
        let mut wait = false;
        for interface in net.interfaces() {
            let (ask, lost, more): (Vec<_>, Vec<_>, bool) = interface.neighbors.lock().tick(net.now());
            wait |= more;
            for address in ask {
                net.ask_neighbor(&interface, address, None);
            }
            for frame in lost {
                if let Some(packet) = frame.get(wire::ETHERNET_LEN..) {
                    net.undeliverable(packet, Errno::EHOSTUNREACH);
                }
            }
        }
        if wait {
            net.arm_neighbor_timer();
        }
    }
}
