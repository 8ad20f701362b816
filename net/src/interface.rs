//! Network interfaces: a card or the loopback, and what is known of the neighbours behind it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use hal::sync::{Lock, rank};
use hal::{NetCounters, NetDevice, Offloads, QueueFull, Segment as Cut, TxOffload};

use crate::neighbor::{Answer, Neighbors};
use crate::{Net, wire};

/// Index of the loopback interface.
pub(crate) const LOOPBACK: u32 = 1;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// The address of everybody on the link.
pub(crate) const BROADCAST: Mac = [0xff; 6];

/// A network interface.
pub struct Interface {
    /// Number, from 1.
    pub index: u32,
    /// Name: `lo`, `eth0`.
    pub name: String,
    /// Ethernet address; zeros for the loopback.
    pub mac: Mac,
    pub(crate) device: Option<Arc<dyn NetDevice>>,
    mtu: AtomicU32,
    /// `IFF_UP` and what else can be set by hand.
    flags: AtomicU32,
    pub(crate) neighbors: Lock<Neighbors, { rank::NEIGHBOR }>,
    pub(crate) multicast: Lock<Vec<Membership>, { rank::NET_CONFIG }>,
    /// Who waits for room in the card's queues.
    pub(crate) blocked: Lock<Vec<Arc<dyn Blocked>>, { rank::NEIGHBOR }>,
    /// Packet sockets that see every frame.
    pub(crate) taps: AtomicUsize,
    local: Lock<NetCounters, { rank::LEAF }>,
}

/// Somebody whose packets did not fit into a card's queue.
pub(crate) trait Blocked: Send + Sync {
    /// There is room again.
    fn room(self: Arc<Self>);
}

/// A multicast group, and how many sockets are in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Membership {
    /// The group.
    pub group: IpAddr,
    /// Sockets in it.
    pub users: u32,
}

/// `IFF_*` (`netdevice(7)`).
pub mod flag {
    pub const UP: u32 = 0x1;
    pub const BROADCAST: u32 = 0x2;
    pub const LOOPBACK: u32 = 0x8;
    pub const RUNNING: u32 = 0x40;
    pub const NOARP: u32 = 0x80;
    pub const PROMISC: u32 = 0x100;
    pub const ALLMULTI: u32 = 0x200;
    pub const MULTICAST: u32 = 0x1000;
    pub const LOWER_UP: u32 = 0x10000;
    /// What `SIOCSIFFLAGS` changes.
    pub const SETTABLE: u32 = UP | NOARP | PROMISC | ALLMULTI | MULTICAST;
}

/// What a packet's transport checksum needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Finish {
    /// Where the checksum lies in the transport packet; `None` leaves it as it is.
    pub checksum: Option<u16>,
    /// Cut into TCP segments: bytes of payload in each, and length of the TCP header.
    pub segment: Option<(u16, u16)>,
}

impl Interface {
    pub(crate) fn loopback() -> Self {
        Self::new(LOOPBACK, String::from("lo"), [0; 6], None, 65536, flag::UP)
    }

    pub(crate) fn of_card(index: u32, name: String, device: Arc<dyn NetDevice>) -> Self {
        let info = device.info();
        let flags = flag::UP | flag::MULTICAST;
        Self::new(index, name, info.mac, Some(device), u32::from(info.mtu), flags)
    }

    fn new(
        index: u32,
        name: String,
        mac: Mac,
        device: Option<Arc<dyn NetDevice>>,
        mtu: u32,
        flags: u32,
    ) -> Self {
        Self {
            index,
            name,
            mac,
            device,
            mtu: AtomicU32::new(mtu),
            flags: AtomicU32::new(flags),
            neighbors: Lock::default(),
            multicast: Lock::default(),
            blocked: Lock::default(),
            taps: AtomicUsize::new(0),
            local: Lock::default(),
        }
    }

    /// Says whether this is the loopback.
    pub const fn is_loopback(&self) -> bool {
        self.device.is_none()
    }

    /// Returns the largest packet, in bytes.
    pub fn mtu(&self) -> usize {
        self.mtu.load(Ordering::Relaxed) as usize
    }

    /// Sets the largest packet; `None` if the interface does not take such.
    pub fn set_mtu(&self, mtu: u32) -> Option<()> {
        if !(68..=self.most_mtu()).contains(&mtu) {
            return None;
        }
        self.mtu.store(mtu, Ordering::Relaxed);
        Some(())
    }

    /// Returns the largest value that [`Self::set_mtu`] takes.
    pub(crate) fn most_mtu(&self) -> u32 {
        self.device.as_ref().map_or(65536, |d| u32::from(d.info().mtu))
    }

    /// Returns the flags (`IFF_*`).
    pub fn flags(&self) -> u32 {
        let flags = self.flags.load(Ordering::Relaxed);
        let fixed = if self.is_loopback() { flag::LOOPBACK } else { flag::BROADCAST };
        let link = flags & flag::UP != 0 && self.device.as_ref().is_none_or(|d| d.link_up());
        flags | fixed | if link { flag::RUNNING | flag::LOWER_UP } else { 0 }
    }

    /// Sets those flags that can be set.
    pub fn set_flags(&self, flags: u32) {
        self.flags.store(flags & flag::SETTABLE, Ordering::Relaxed);
        self.refilter();
    }

    /// Says whether the interface carries packets.
    pub fn is_up(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & flag::UP != 0
    }

    /// Returns what passed so far.
    pub fn counters(&self) -> NetCounters {
        match &self.device {
            Some(device) => device.counters(),
            None => *self.local.lock(),
        }
    }

    /// Counts what went through the loopback.
    pub(crate) fn count_local(&self, packets: u64, bytes: u64) {
        let mut local = self.local.lock();
        local.rx_packets += packets;
        local.rx_bytes += bytes;
        local.tx_packets += packets;
        local.tx_bytes += bytes;
    }

    /// Tells the card which frames to hand over.
    pub(crate) fn refilter(&self) {
        let Some(device) = &self.device else { return };
        let flags = self.flags.load(Ordering::Relaxed);
        let groups: Vec<Mac> = self.multicast.lock().iter().map(|m| group_mac(m.group)).collect();
        device.set_filter(flags & (flag::PROMISC | flag::ALLMULTI) != 0, &groups);
    }

    /// Enters or leaves a multicast group; says whether that is the first, or was the last, socket in it.
    pub(crate) fn count_member(&self, group: IpAddr, enters: bool) {
        let mut groups = self.multicast.lock();
        match groups.iter().position(|m| m.group == group) {
            Some(at) if enters => groups[at].users += 1,
            Some(at) if groups[at].users > 1 => groups[at].users -= 1,
            Some(at) => {
                groups.remove(at);
            }
            None if enters => groups.push(Membership { group, users: 1 }),
            None => {}
        }
        drop(groups);
        self.refilter();
    }

    /// Says whether packets to a multicast group are taken.
    pub(crate) fn is_member(&self, group: IpAddr) -> bool {
        let always = match group {
            IpAddr::V4(v4) => v4 == Ipv4Addr::new(224, 0, 0, 1),
            // All nodes, and the solicited-node addresses, behind which one's own may stand.
            IpAddr::V6(v6) => {
                let s = v6.segments();
                v6 == Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)
                    || s[0] == 0xff02 && s[6] >> 8 == 0xff && s[5] == 1
            }
        };
        always || self.multicast.lock().iter().any(|m| m.group == group)
    }

    /// Returns the longest TCP payload that may be handed to the card at once, 0 where it does not cut.
    pub(crate) fn segmentation(&self, v6: bool) -> usize {
        let Some(device) = &self.device else { return 0 };
        let wanted = if v6 { Offloads::TSO6 } else { Offloads::TSO4 };
        // With the longest headers it still fits into 64 KiB.
        if device.info().offloads.contains(wanted) { 65_000 - 120 } else { 0 }
    }

    /// Sends an IP packet of `len` bytes to a neighbour. `fill` writes the packet; its transport header begins at
    /// `transport`. A packet whose neighbour is not known yet waits for it.
    ///
    /// # Errors
    /// [`QueueFull`]
    pub(crate) fn send_packet(
        &self,
        net: &Arc<Net>,
        next_hop: IpAddr,
        len: usize,
        transport: usize,
        finish: Finish,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), QueueFull> {
        let Some(device) = &self.device else { return Ok(()) };
        let destination = if let Some(mac) = group_of(next_hop) {
            Some(mac)
        } else {
            let now = net.now();
            let answer = self.neighbors.lock().find(next_hop, now);
            if let Answer::Ask { again } | Answer::KnownButAsk { again, .. } = answer {
                net.ask_neighbor(self, next_hop, again);
            }
            match answer {
                Answer::Known(mac) | Answer::KnownButAsk { mac, .. } => Some(mac),
                Answer::Ask { .. } | Answer::Wait => None,
            }
        };
        let ethertype = if next_hop.is_ipv4() { wire::ETHERTYPE_IPV4 } else { wire::ETHERTYPE_IPV6 };
        let total = wire::ETHERNET_LEN + len;
        let offloads = device.info().offloads;
        let by_card = offloads.contains(Offloads::TX_CHECKSUM);
        let start = wire::ETHERNET_LEN + transport;
        let offload = TxOffload {
            checksum: finish.checksum.filter(|_| by_card).map(|at| (short(start), at)),
            segment: finish.segment.map(|(size, header)| Cut {
                v6: next_hop.is_ipv6(),
                size,
                header: short(start) + header,
            }),
        };
        let mut write = |frame: &mut [u8], mac: Mac| {
            wire::emit_ethernet(frame, mac, self.mac, ethertype);
            fill(&mut frame[wire::ETHERNET_LEN..]);
            if let Some(at) = finish.checksum {
                wire::finish_checksum(&mut frame[wire::ETHERNET_LEN..], transport, at, by_card);
            }
        };
        let Some(mac) = destination else {
            let mut frame = alloc::vec![0; total];
            write(&mut frame, [0; 6]);
            self.neighbors.lock().keep(next_hop, frame, offload);
            return Ok(());
        };
        if self.taps.load(Ordering::Relaxed) > 0 {
            // Somebody looks at what goes out.
            let mut frame = alloc::vec![0; total];
            write(&mut frame, mac);
            net.tap_outgoing(self, &frame);
            return self.transmit(&frame, offload);
        }
        device.transmit(0, total, offload, &mut |frame| write(frame, mac))
    }

    /// Sends a frame that is whole.
    ///
    /// # Errors
    /// [`QueueFull`]
    pub(crate) fn transmit(&self, frame: &[u8], offload: TxOffload) -> Result<(), QueueFull> {
        match &self.device {
            Some(device) => device.transmit(0, frame.len(), offload, &mut |to| to.copy_from_slice(frame)),
            None => Ok(()),
        }
    }

    /// Tells the card of what was sent.
    pub(crate) fn flush(&self) {
        if let Some(device) = &self.device {
            device.flush(0);
        }
    }

    /// Notes who is to be called when there is room again.
    pub(crate) fn wait_for_room(&self, who: Arc<dyn Blocked>) {
        self.blocked.lock().push(who);
    }
}

fn short(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

/// Returns the Ethernet address of a multicast group (RFC 1112, section 6.4; RFC 2464, section 7).
pub(crate) fn group_mac(group: IpAddr) -> Mac {
    match group {
        IpAddr::V4(v4) => {
            let [_, b, c, d] = v4.octets();
            [0x01, 0x00, 0x5e, b & 0x7f, c, d]
        }
        IpAddr::V6(v6) => {
            let o = v6.octets();
            [0x33, 0x33, o[12], o[13], o[14], o[15]]
        }
    }
}

/// Returns the Ethernet address where none has to be asked for: of groups and of everybody.
fn group_of(address: IpAddr) -> Option<Mac> {
    if address.is_multicast() {
        return Some(group_mac(address));
    }
    (address == IpAddr::V4(Ipv4Addr::BROADCAST)).then_some(BROADCAST)
}
