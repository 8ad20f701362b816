//! Segments as values: what a connection takes in and gives out. smoltcp's `wire` knows how they lie in a packet.

use core::net::IpAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, TcpTimestampRepr};

use super::seq::Seq;

/// Length of a header without options, in bytes.
pub(crate) const HEADER_LEN: usize = 20;

/// Blocks of a selective acknowledgement, each from its first byte to the one behind its last (RFC 2018).
pub(crate) type Sacks = [Option<(Seq, Seq)>; 3];

bitflags::bitflags! {
    /// Flags of a segment; `ACK` stands in [`Segment::ack`].
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Flags: u8 {
        const FIN = 1;
        const SYN = 2;
        const RST = 4;
        const PSH = 8;
        const URG = 32;
    }
}

/// A segment without its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Segment {
    /// Sequence number of the first byte, or of `SYN`.
    pub seq: Seq,
    /// What is acknowledged.
    pub ack: Option<Seq>,
    /// Flags.
    pub flags: Flags,
    /// Window, not yet scaled.
    pub window: u16,
    /// Where urgent data ends, from `seq`.
    pub urgent: u16,
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale.
    pub scale: Option<u8>,
    /// Selective acknowledgements are understood.
    pub sack_permitted: bool,
    /// Selective acknowledgements.
    pub sacks: Sacks,
    /// Time stamp and echo (RFC 7323).
    pub timestamp: Option<(u32, u32)>,
}

/// Ports of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ports {
    /// Where it comes from.
    pub source: u16,
    /// Where it goes.
    pub destination: u16,
}

impl Segment {
    /// Says whether a flag is set.
    pub(crate) const fn has(&self, flag: Flags) -> bool {
        self.flags.contains(flag)
    }

    /// Returns the sequence space that the segment takes with a payload of `len` bytes.
    pub(crate) const fn space(&self, len: usize) -> usize {
        len + self.has(Flags::SYN) as usize + self.has(Flags::FIN) as usize
    }

    /// Takes a packet apart: header, ports, payload. `None` if it is malformed. The checksum is the caller's business.
    pub(crate) fn parse(packet: &[u8]) -> Option<(Self, Ports, &[u8])> {
        let packet = TcpPacket::new_checked(packet).ok()?;
        // Only the checksum needs addresses, and it is not looked at here.
        let nowhere = smoltcp::wire::IpAddress::v4(0, 0, 0, 0);
        let repr = TcpRepr::parse(&packet, &nowhere, &nowhere, &ChecksumCapabilities::ignored()).ok()?;
        let mut flags = match repr.control {
            TcpControl::None => Flags::empty(),
            TcpControl::Psh => Flags::PSH,
            TcpControl::Syn => Flags::SYN,
            TcpControl::Fin => Flags::FIN,
            TcpControl::Rst => Flags::RST,
        };
        flags.set(Flags::URG, packet.urg());
        let segment = Self {
            seq: of_wire(repr.seq_number),
            ack: repr.ack_number.map(of_wire),
            flags,
            window: repr.window_len,
            urgent: packet.urgent_at(),
            mss: repr.max_seg_size,
            scale: repr.window_scale,
            sack_permitted: repr.sack_permitted,
            sacks: repr.sack_ranges.map(|range| range.map(|(from, to)| (Seq(from), Seq(to)))),
            timestamp: repr.timestamp.map(|t| (t.tsval, t.tsecr)),
        };
        Some((segment, Ports { source: repr.src_port, destination: repr.dst_port }, repr.payload))
    }

    fn repr(&self, ports: Ports) -> TcpRepr<'static> {
        let control = if self.has(Flags::SYN) {
            TcpControl::Syn
        } else if self.has(Flags::RST) {
            TcpControl::Rst
        } else if self.has(Flags::FIN) {
            TcpControl::Fin
        } else if self.has(Flags::PSH) {
            TcpControl::Psh
        } else {
            TcpControl::None
        };
        TcpRepr {
            src_port: ports.source,
            dst_port: ports.destination,
            control,
            seq_number: to_wire(self.seq),
            ack_number: self.ack.map(to_wire),
            window_len: self.window,
            window_scale: self.scale,
            max_seg_size: self.mss,
            sack_permitted: self.sack_permitted,
            sack_ranges: self.sacks.map(|range| range.map(|(from, to)| (from.0, to.0))),
            timestamp: self.timestamp.map(|(value, echo)| TcpTimestampRepr::new(value, echo)),
            payload: &[],
        }
    }

    /// Returns the length of the header with its options, in bytes.
    pub(crate) fn header_len(&self) -> usize {
        self.repr(Ports::default()).header_len()
    }

    /// Writes the header to the start of a packet, whose length is that of header and payload. The checksum is left 0.
    pub(crate) fn emit(&self, ports: Ports, packet: &mut [u8]) {
        let repr = self.repr(ports);
        let nowhere = smoltcp::wire::IpAddress::v4(0, 0, 0, 0);
        let mut packet = TcpPacket::new_unchecked(packet);
        repr.emit(&mut packet, &nowhere, &nowhere, &ChecksumCapabilities::ignored());
        // With a FIN goes a PSH, as everybody sends it.
        packet.set_psh(self.has(Flags::PSH) || self.has(Flags::FIN));
        if self.has(Flags::URG) {
            packet.set_urg(true);
            packet.set_urgent_at(self.urgent);
        }
        packet.set_checksum(0);
    }

    /// Returns the answer to a segment for which there is no connection (RFC 9293, section 3.10.7.1); none to a reset.
    pub(crate) fn reset_for(&self, payload: usize) -> Option<Self> {
        if self.has(Flags::RST) {
            return None;
        }
        Some(match self.ack {
            Some(ack) => Self { seq: ack, flags: Flags::RST, ..Self::default() },
            None => Self {
                seq: Seq(0),
                ack: Some(self.seq + self.space(payload)),
                flags: Flags::RST,
                ..Self::default()
            },
        })
    }
}

fn of_wire(seq: TcpSeqNumber) -> Seq {
    Seq(seq.0.cast_unsigned())
}

fn to_wire(seq: Seq) -> TcpSeqNumber {
    TcpSeqNumber(seq.0.cast_signed())
}

/// Length of the IP header that packets to this address carry.
pub(crate) const fn ip_header_len(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => 20,
        IpAddr::V6(_) => 40,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_survives_the_wire() {
        let ports = Ports { source: 1234, destination: 80 };
        let segment = Segment {
            seq: Seq(u32::MAX),
            ack: Some(Seq(7)),
            flags: Flags::PSH,
            window: 500,
            sacks: [Some((Seq(20), Seq(30))), None, None],
            timestamp: Some((5, 6)),
            ..Segment::default()
        };
        let len = segment.header_len();
        let mut packet = alloc::vec![0; len + 3];
        segment.emit(ports, &mut packet);
        packet[len..].copy_from_slice(b"abc");
        assert_eq!(Segment::parse(&packet), Some((segment, ports, &b"abc"[..])));
        for cut in 0..HEADER_LEN {
            assert_eq!(Segment::parse(&packet[..cut]), None);
        }
    }

    #[test]
    fn resets_answer_only_what_is_no_reset() {
        let syn = Segment { seq: Seq(9), flags: Flags::SYN, ..Segment::default() };
        let reset = syn.reset_for(0).unwrap();
        assert_eq!((reset.seq, reset.ack), (Seq(0), Some(Seq(10))));
        assert_eq!(reset.reset_for(0), None);
    }
}
