//! Putting the parts of IP packets together again (RFC 791, section 3.2; RFC 8200, section 4.5).

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;

/// How long parts wait for the others: 30 s, as Linux has it (`net.ipv4.ipfrag_time`).
const TIMEOUT: u64 = 30_000_000_000;
/// Packets that may be incomplete at a time, and bytes that they may hold together (`ipfrag_high_thresh`).
const MOST: usize = 64;
const MOST_BYTES: usize = 4 << 20;
/// Longest packet.
const LONGEST: usize = 65_535;

/// What parts of one packet have in common: source, destination, protocol, identification.
pub(crate) type Key = (IpAddr, IpAddr, u8, u32);

struct Partial {
    key: Key,
    since: u64,
    total: Option<usize>,
    parts: Vec<(usize, Vec<u8>)>,
    bytes: usize,
}

/// The incomplete packets, oldest first.
#[derive(Default)]
pub(crate) struct Fragments {
    packets: VecDeque<Partial>,
    bytes: usize,
}

impl Fragments {
    /// Takes a part that begins at `offset`; returns the whole packet's payload once it is complete. Parts that overlap
    /// make the packet be dropped (RFC 5722).
    pub(crate) fn take(
        &mut self,
        now: u64,
        key: Key,
        offset: usize,
        more: bool,
        part: &[u8],
    ) -> Option<Vec<u8>> {
        while self.packets.front().is_some_and(|p| now.saturating_sub(p.since) > TIMEOUT) {
            self.drop_at(0);
        }
        let end = offset + part.len();
        if end > LONGEST || part.is_empty() || more && !part.len().is_multiple_of(8) {
            return None;
        }
        let at = match self.packets.iter().position(|p| p.key == key) {
            Some(at) => at,
            None => {
                while self.packets.len() >= MOST || self.bytes > MOST_BYTES {
                    self.drop_at(0);
                }
                self.packets.push_back(Partial { key, since: now, total: None, parts: Vec::new(), bytes: 0 });
                self.packets.len() - 1
            }
        };
        let packet = &mut self.packets[at];
        let index = packet.parts.partition_point(|(start, _)| *start < offset);
        let before = index.checked_sub(1).map(|i| &packet.parts[i]);
        let after = packet.parts.get(index);
        if after.is_some_and(|(start, bytes)| *start == offset && bytes.len() == part.len()) {
            // The same part again.
            return None;
        }
        let overlaps = before.is_some_and(|(start, bytes)| start + bytes.len() > offset)
            || after.is_some_and(|(start, _)| *start < end)
            || packet.total.is_some_and(|total| end > total || !more && end != total)
            || !more && packet.parts.last().is_some_and(|(start, bytes)| start + bytes.len() > end);
        if overlaps {
            self.drop_at(at);
            return None;
        }
        if !more {
            packet.total = Some(end);
        }
        packet.parts.insert(index, (offset, part.to_vec()));
        packet.bytes += part.len();
        self.bytes += part.len();
        if packet.total != Some(packet.bytes) {
            return None;
        }
        let packet = self.drop_at(at)?;
        Some(packet.parts.into_iter().flat_map(|(_, bytes)| bytes).collect())
    }

    fn drop_at(&mut self, index: usize) -> Option<Partial> {
        let packet = self.packets.remove(index)?;
        self.bytes -= packet.bytes;
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const KEY: Key = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST), 17, 5);

    #[test]
    fn parts_join_in_any_order() {
        let mut all = Fragments::default();
        assert_eq!(all.take(0, KEY, 16, false, b"end"), None);
        assert_eq!(all.take(0, KEY, 0, true, b"01234567"), None);
        assert_eq!(all.take(0, KEY, 0, true, b"01234567"), None);
        assert_eq!(all.take(0, KEY, 8, true, b"89abcdef").as_deref(), Some(&b"0123456789abcdefend"[..]));
        assert_eq!(all.bytes, 0);
    }

    #[test]
    fn parts_that_cannot_be_are_dropped() {
        let mut all = Fragments::default();
        assert_eq!(all.take(0, KEY, 0, true, b"odd"), None);
        assert_eq!(all.take(0, KEY, 65_528, false, b"too long"), None);
        all.take(0, KEY, 0, true, b"01234567");
        assert_eq!(all.take(0, KEY, 4, false, b"overlap"), None);
        assert!(all.packets.is_empty());
        for id in 0..1000 {
            all.take(0, (KEY.0, KEY.1, 17, id), 0, true, &[0; 1400]);
        }
        assert_eq!(all.packets.len(), MOST);
        all.take(TIMEOUT + 1, KEY, 0, true, b"01234567");
        assert_eq!(all.packets.len(), 1);
    }
}
