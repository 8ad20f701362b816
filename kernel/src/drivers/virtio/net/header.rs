//! The header in front of every frame (virtio 1.2, section 5.1.6). Numbers are little-endian.

use hal::TxOffload;

/// Bytes of the header, where all of it is there.
pub(super) const LEN: usize = 12;
/// The same without the number of buffers: of devices that predate version 1 and join no buffers.
pub(super) const LEN_LEGACY: usize = 10;

/// Flag: the checksum is to be filled in, from the start and at the offset that follow.
const NEEDS_CSUM: u8 = 1;
/// Flag: the checksum was found right.
const DATA_VALID: u8 = 2;

/// How a frame is cut.
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;

/// Writes the header of an outgoing frame.
pub(super) fn encode(offload: TxOffload) -> [u8; LEN] {
    let mut flags = 0;
    let (mut kind, mut header_len, mut segment_len) = (0, 0, 0);
    let (mut start, mut offset) = (0, 0);
    if let Some(at) = offload.checksum {
        flags = NEEDS_CSUM;
        (start, offset) = at;
    }
    if let Some(segment) = offload.segment {
        kind = if segment.v6 { GSO_TCPV6 } else { GSO_TCPV4 };
        (header_len, segment_len) = (segment.header, segment.size);
    }
    let mut bytes = [0; LEN];
    bytes[0] = flags;
    bytes[1] = kind;
    for (to, value) in bytes[2..].as_chunks_mut().0.iter_mut().zip([header_len, segment_len, start, offset]) {
        *to = u16::to_le_bytes(value);
    }
    bytes
}

/// What matters of an incoming frame's header. Nothing in it was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Incoming {
    /// The checksum is right or was never filled in; of meaning only if the feature `GUEST_CSUM` was agreed on.
    pub(super) checksum_good: bool,
    /// Buffers that the frame fills; of meaning only if the feature `MRG_RXBUF` was agreed on.
    pub(super) buffers: u16,
}

/// Reads the header of an incoming frame; of a short one, the rest is zeros.
pub(super) const fn decode(bytes: [u8; LEN]) -> Incoming {
    Incoming {
        checksum_good: bytes[0] & (NEEDS_CSUM | DATA_VALID) != 0,
        buffers: u16::from_le_bytes([bytes[10], bytes[11]]),
    }
}
