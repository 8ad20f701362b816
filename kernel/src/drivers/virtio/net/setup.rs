//! What is settled before a network card runs: the features, what its configuration says, and what memory it gets.

use hal::{Offloads, PAGE_SIZE};

use super::super::super::region::Region;
use super::header;

/// Feature bits (virtio 1.2, sections 5.1.3 and 6).
pub(super) mod feature {
    pub(crate) const CSUM: u64 = 1 << 0;
    pub(crate) const GUEST_CSUM: u64 = 1 << 1;
    pub(crate) const MTU: u64 = 1 << 3;
    pub(crate) const MAC: u64 = 1 << 5;
    pub(crate) const GUEST_TSO4: u64 = 1 << 7;
    pub(crate) const GUEST_TSO6: u64 = 1 << 8;
    pub(crate) const HOST_TSO4: u64 = 1 << 11;
    pub(crate) const HOST_TSO6: u64 = 1 << 12;
    pub(crate) const MRG_RXBUF: u64 = 1 << 15;
    pub(crate) const STATUS: u64 = 1 << 16;
    pub(crate) const CTRL_VQ: u64 = 1 << 17;
    pub(crate) const CTRL_RX: u64 = 1 << 18;
    pub(crate) const CTRL_VLAN: u64 = 1 << 19;
    pub(crate) const MQ: u64 = 1 << 22;
    pub(crate) const VERSION_1: u64 = 1 << 32;
}

/// Offsets in the configuration (section 5.1.4).
mod config {
    pub(super) const STATUS: usize = 6;
    pub(super) const PAIRS: usize = 8;
    pub(super) const MTU: usize = 10;
}

/// Ethernet addresses and type.
pub(super) const ETHERNET_LEN: usize = 14;
/// What a tag adds to that. Nobody here sends one, but a device without `CTRL_VLAN` may hand one over.
const TAG_LEN: usize = 4;
/// Longest packet of IP.
const PACKET_MAX: usize = 65535;
const MTU_DEFAULT: u16 = 1500;
/// Smallest value that the device may name (section 5.1.4.1).
const MTU_MIN: u16 = 68;
/// Bytes of a buffer of a device that joins them: a frame of 1500 bytes with everything in front of it, to the next
/// cache line.
const BUFFER_LEN: usize = 1536;

/// How much memory the machine has, for a card to take a share of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scale {
    /// Bytes.
    pub(super) memory: usize,
    /// Processors.
    pub(super) processors: usize,
}

impl Scale {
    /// Machines with less memory than this count as small. Under 48 MiB, what a card of 256 buffers takes (0.7 MiB) is
    /// some hundredths of the memory, and on one of 8 MiB it is a tenth; 64 buffers and no joined segments are
    /// 0.2 MiB, and still more than the 64 KiB that a connection has under way without window scaling.
    const SMALL: usize = 48 << 20;

    const fn is_small(self) -> bool {
        self.memory < Self::SMALL
    }
}

/// Chooses among the features of network cards that a device offers.
///
/// The device may offer a feature without one that it needs (section 5.1.3.1); it is left then.
pub(super) const fn choose(offered: u64, scale: Scale) -> u64 {
    use feature::*;
    const WANTED: u64 = CSUM
        | GUEST_CSUM
        | MTU
        | MAC
        | GUEST_TSO4
        | GUEST_TSO6
        | HOST_TSO4
        | HOST_TSO6
        | MRG_RXBUF
        | STATUS
        | CTRL_VQ
        | CTRL_RX
        // Costs nothing: with it, frames of virtual networks, which nobody here takes, stay outside.
        | CTRL_VLAN
        | MQ;
    let mut chosen = offered & WANTED;
    if chosen & CSUM == 0 {
        chosen &= !(HOST_TSO4 | HOST_TSO6);
    }
    // Joined segments fill some 43 buffers of those that may be joined, or else take buffers of 64 KiB each. On a small
    // machine one such frame would fill two thirds of the buffers.
    if chosen & GUEST_CSUM == 0 || chosen & MRG_RXBUF == 0 || scale.is_small() {
        chosen &= !(GUEST_TSO4 | GUEST_TSO6);
    }
    if chosen & CTRL_VQ == 0 {
        chosen &= !(CTRL_RX | CTRL_VLAN | MQ);
    }
    chosen
}

/// Returns what a card with these features does for us.
pub(super) fn offloads(features: u64) -> Offloads {
    let table = [
        (feature::CSUM, Offloads::TX_CHECKSUM),
        (feature::HOST_TSO4, Offloads::TSO4),
        (feature::HOST_TSO6, Offloads::TSO6),
        (feature::GUEST_CSUM, Offloads::RX_CHECKSUM),
        (feature::GUEST_TSO4, Offloads::RX_LARGE),
        (feature::GUEST_TSO6, Offloads::RX_LARGE),
        (feature::STATUS, Offloads::LINK),
    ];
    table.iter().filter(|(bit, _)| features & bit != 0).map(|&(_, offload)| offload).collect()
}

/// What a device's configuration says. It does not change, but for the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Config {
    /// The Ethernet address, if it names a usable one.
    pub(super) mac: Option<[u8; 6]>,
    /// Largest packet.
    pub(super) mtu: u16,
    /// Pairs of queues that it has.
    pub(super) pairs: u16,
}

impl Config {
    /// Reads it. Each field is read at its own width (section 4.1.3.1), if it is there and makes sense.
    pub(super) fn read(features: u64, from: Option<Region>) -> Self {
        let field = |feature, at, len| from.filter(|r| features & feature != 0 && at + len <= r.len());
        let mac = field(feature::MAC, 0, 6).map(|r| core::array::from_fn(|at| r.read8(at)));
        let number = |feature, at| field(feature, at, 2).map(|r| r.read16(at));
        Self {
            // Neither a group's address nor none at all.
            mac: mac.filter(|mac| mac[0] & 1 == 0 && *mac != [0; 6]),
            mtu: number(feature::MTU, config::MTU).filter(|&mtu| mtu >= MTU_MIN).unwrap_or(MTU_DEFAULT),
            pairs: number(feature::MQ, config::PAIRS).filter(|n| (1..=0x8000).contains(n)).unwrap_or(1),
        }
    }
}

/// Says whether the link is up: always, if the device does not report it.
pub(super) fn link_up(features: u64, config: Option<Region>) -> bool {
    const UP: u16 = 1;
    let status = config.filter(|r| features & feature::STATUS != 0 && config::STATUS + 2 <= r.len());
    status.is_none_or(|r| r.read16(config::STATUS) & UP != 0)
}

/// The shape of frames and buffers on the way in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    /// Bytes in front of a frame.
    pub(super) header_len: usize,
    /// Bytes of a buffer, header included.
    pub(super) buffer_len: usize,
    /// A frame may fill several buffers.
    pub(super) merge: bool,
    /// Longest frame.
    pub(super) frame_max: usize,
    /// What the device says of checksums means something.
    pub(super) checksum: bool,
}

/// What a card gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    /// Pairs of queues.
    pub(super) pairs: u16,
    /// Descriptors of each queue.
    pub(super) descriptors: u16,
    /// Buffers in each queue for receiving.
    pub(super) buffers: u16,
    /// Their shape.
    pub(super) shape: Shape,
    /// Bytes for frames in each queue for transmitting.
    pub(super) transmit_len: usize,
    /// Longest frame on the way out.
    pub(super) transmit_max: usize,
}

impl Plan {
    /// Chooses sizes for a card with these features on this machine.
    pub(super) fn new(features: u64, config: Config, scale: Scale) -> Self {
        let has = |feature| features & feature != 0;
        let merge = has(feature::MRG_RXBUF);
        let header_len = if merge || has(feature::VERSION_1) { header::LEN } else { header::LEN_LEGACY };
        let mtu = usize::from(config.mtu);
        // A smaller packet size is for what we send: others may not have heard of it.
        let whole = ETHERNET_LEN + TAG_LEN + mtu.max(MTU_DEFAULT.into());
        let frame_max = if has(feature::GUEST_TSO4 | feature::GUEST_TSO6) {
            ETHERNET_LEN + TAG_LEN + PACKET_MAX
        } else {
            whole
        };
        let buffer_len = if merge { BUFFER_LEN } else { (header_len + whole).next_multiple_of(64) };
        let transmit_max =
            ETHERNET_LEN + if has(feature::HOST_TSO4 | feature::HOST_TSO6) { PACKET_MAX } else { mtu };
        let (descriptors, receive_len, transmit_len) =
            if scale.is_small() { (64, 96 << 10, 96 << 10) } else { (256, 384 << 10, 256 << 10) };
        // Fewer buffers where they are larger than usual, but enough to fill one while another is looked at.
        let buffers = (receive_len / buffer_len).clamp(4, descriptors);
        let shape = Shape { header_len, buffer_len, merge, frame_max, checksum: has(feature::GUEST_CSUM) };
        let mut this = Self {
            pairs: 1,
            #[expect(clippy::cast_possible_truncation, reason = "at most 256")]
            descriptors: descriptors as u16,
            #[expect(clippy::cast_possible_truncation, reason = "at most as many as descriptors")]
            buffers: buffers as u16,
            shape,
            transmit_len,
            transmit_max,
        };
        // A pair for each processor, but for all pairs together not more than a sixty-fourth of the memory.
        let affordable = scale.memory / 64 / this.pair_len();
        let pairs = usize::from(config.pairs).min(scale.processors).min(affordable).max(1);
        this.pairs = u16::try_from(pairs).unwrap_or(1);
        this
    }

    /// Returns the bytes that a pair takes, nearly.
    fn pair_len(&self) -> usize {
        let scratch = if self.shape.merge { self.shape.frame_max } else { 0 };
        self.receive_pages() * PAGE_SIZE + self.transmit_len + scratch
    }

    /// Returns the pages that a queue's buffers take.
    pub(super) fn receive_pages(&self) -> usize {
        (usize::from(self.buffers) * self.shape.buffer_len).div_ceil(PAGE_SIZE)
    }
}
