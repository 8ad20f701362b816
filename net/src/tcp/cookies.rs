//! Handshakes of which nothing is remembered: when too many are under way, the initial sequence number itself says what
//! is needed to go on (RFC 4987, section 3.6). Window scale, time stamps and selective acknowledgements are lost.

use core::hash::Hash;
use core::hash::{BuildHasher, Hasher};

use super::segment::{Flags, Segment};
use super::seq::Seq;
use super::table::{Key, Keyed};
use crate::Net;

/// Segment sizes that a cookie can tell.
const SIZES: [u16; 8] = [88, 536, 1220, 1300, 1340, 1400, 1440, 1460];

/// How long one count lasts, and how many of them a cookie is good for.
const COUNT_NS: u64 = 64_000_000_000;
const GOOD_FOR: u64 = 2;

fn tag(net: &Net, key: &Key, irs: Seq, count: u64, size: u32) -> u32 {
    let mut hasher = Keyed::new(net.secret[3], net.secret[1] ^ 0x0c00_c1e5).build_hasher();
    key.hash(&mut hasher);
    hasher.write_u32(irs.0);
    hasher.write_u64(count);
    hasher.write_u32(size);
    #[expect(clippy::cast_possible_truncation, reason = "24 bits are kept")]
    let tag = hasher.finish() as u32 & 0xff_ffff;
    tag
}

/// Returns the answer to a SYN.
pub(crate) fn answer(net: &Net, key: &Key, syn: &Segment, own: u16) -> Segment {
    let theirs = syn.mss.unwrap_or(536).min(own);
    let size = SIZES.iter().rposition(|&s| s <= theirs).unwrap_or(0);
    #[expect(clippy::cast_possible_truncation, reason = "below 8")]
    let size = size as u32;
    let count = net.now() / COUNT_NS;
    let low = (count as u32 & 31) << 27;
    let iss = Seq(low | size << 24 | tag(net, key, syn.seq, count, size));
    Segment {
        seq: iss,
        ack: Some(syn.seq + 1),
        flags: Flags::SYN,
        window: 65_535,
        mss: Some(own),
        ..Segment::default()
    }
}

/// Returns our initial sequence number and what the SYN said, if the segment acknowledges a cookie of ours.
pub(crate) fn open(net: &Net, key: &Key, segment: &Segment, ack: Seq) -> Option<(Seq, Segment)> {
    let iss = ack - 1;
    let irs = segment.seq - 1;
    let now = net.now() / COUNT_NS;
    let size = iss.0 >> 24 & 7;
    (0..GOOD_FOR).filter_map(|age| now.checked_sub(age)).find(|&count| {
        count & 31 == u64::from(iss.0 >> 27) && iss.0 & 0xff_ffff == tag(net, key, irs, count, size)
    })?;
    let mss = *SIZES.get(size as usize)?;
    let syn =
        Segment { seq: irs, flags: Flags::SYN, window: segment.window, mss: Some(mss), ..Segment::default() };
    Some((iss, syn))
}
