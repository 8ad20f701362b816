//! IP packets go out.

use alloc::sync::Arc;
use alloc::vec;
use core::net::IpAddr;
use core::sync::atomic::Ordering;

use abi::{Errno, Result};

use crate::Net;
use crate::config::Path;
use crate::interface::Finish;
use crate::wire::{self, IpHeader, protocol};

impl Net {
    /// Returns an identification for a packet that may be cut.
    pub(crate) fn next_ident(&self) -> u16 {
        #[expect(clippy::cast_possible_truncation, reason = "identifications wrap")]
        let id = self.ident.fetch_add(1, Ordering::Relaxed) as u16;
        id
    }

    /// Sends a packet of `len` bytes behind the IP header, which `fill` writes. The caller holds no lock that the
    /// receiver may want where the path leads back to this machine.
    ///
    /// # Errors
    /// `EAGAIN` if the card has no room, `EMSGSIZE` if it is too long and must not be cut.
    pub(crate) fn send_ip(
        self: &Arc<Self>,
        path: &Path,
        header: &IpHeader,
        len: usize,
        finish: Finish,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<()> {
        let transport = header.len();
        let total = transport + len;
        if path.is_local() {
            let mut packet = vec![0; total];
            header.emit(&mut packet, len, self.next_ident());
            fill(&mut packet[transport..]);
            self.loop_back(packet);
            return Ok(());
        }
        let mtu = path.interface.mtu();
        if total > mtu && finish.segment.is_none() {
            return self.send_parts(path, header, len, finish, fill);
        }
        let id = if header.dont_fragment { 0 } else { self.next_ident() };
        path.interface
            .send_packet(self, path.next_hop, total, transport, finish, &mut |packet| {
                header.emit(packet, len, id);
                fill(&mut packet[transport..]);
            })
            .map_err(|_| Errno::EAGAIN)
    }

    fn send_parts(
        self: &Arc<Self>,
        path: &Path,
        header: &IpHeader,
        len: usize,
        finish: Finish,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<()> {
        let v6 = header.destination.is_ipv6();
        if header.dont_fragment && !v6 || len > 65_535 - 20 {
            return Err(Errno::EMSGSIZE);
        }
        let transport = header.len();
        let mut packet = vec![0; transport + len];
        header.emit(&mut packet, len, 0);
        fill(&mut packet[transport..]);
        if let Some(at) = finish.checksum {
            wire::finish_checksum(&mut packet, transport, at, false);
        }
        let body = &packet[transport..];
        let extra = if v6 { 8 } else { 0 };
        let unit = (path.interface.mtu() - transport - extra) / 8 * 8;
        let id = self.next_ident();
        let long_id = u32::from(id) << 16 | u32::from(self.next_ident());
        for (index, part) in body.chunks(unit).enumerate() {
            let offset = index * unit;
            let more = offset + part.len() < body.len();
            let size = transport + extra + part.len();
            let sent = path.interface.send_packet(
                self,
                path.next_hop,
                size,
                transport,
                Finish::default(),
                &mut |to| {
                    if v6 {
                        let part_header = IpHeader { protocol: protocol::FRAGMENT, ..*header };
                        part_header.emit(to, part.len() + extra, 0);
                        let field = u16::try_from(offset).unwrap_or(0) | u16::from(more);
                        to[transport] = header.protocol;
                        to[transport + 1] = 0;
                        to[transport + 2..transport + 4].copy_from_slice(&field.to_be_bytes());
                        to[transport + 4..transport + 8].copy_from_slice(&long_id.to_be_bytes());
                    } else {
                        header.emit_part(to, part.len(), id, offset, more);
                    }
                    to[transport + extra..].copy_from_slice(part);
                },
            );
            if sent.is_err() && index == 0 {
                return Err(Errno::EAGAIN);
            }
        }
        Ok(())
    }

    /// Returns the payload that a packet to an address may have behind IP header without being cut.
    pub(crate) fn room_in(path: &Path, destination: IpAddr) -> usize {
        let header = if destination.is_ipv4() { 20 } else { 40 };
        path.interface.mtu().min(65_535) - header
    }
}
