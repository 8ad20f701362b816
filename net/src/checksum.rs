//! The Internet checksum (RFC 1071).

use core::net::IpAddr;

use smoltcp::wire::{IpAddress, IpProtocol, checksum};

/// Returns the sum of the pseudo header, not inverted (RFC 9293, section 3.1; RFC 8200, section 8.1).
pub(crate) fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> u16 {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    checksum::pseudo_header(
        &IpAddress::from(source),
        &IpAddress::from(destination),
        IpProtocol::from(protocol),
        len,
    )
}

/// Returns the checksum of a transport packet whose checksum field is 0.
pub(crate) fn transport(source: IpAddr, destination: IpAddr, protocol: u8, packet: &[u8]) -> u16 {
    let pseudo = pseudo_header(source, destination, protocol, packet.len());
    !checksum::combine(&[pseudo, checksum::data(packet)])
}

/// Says whether the checksum of a transport packet is right.
pub(crate) fn transport_is_right(source: IpAddr, destination: IpAddr, protocol: u8, packet: &[u8]) -> bool {
    let pseudo = pseudo_header(source, destination, protocol, packet.len());
    checksum::combine(&[pseudo, checksum::data(packet)]) == 0xffff
}

/// Returns the checksum of bytes whose checksum field is 0.
pub(crate) fn plain(bytes: &[u8]) -> u16 {
    !checksum::data(bytes)
}
