//! What is settled before a card runs, the header, and the room for outgoing frames.

use hal::{Offloads, Segment, TxOffload};

use super::header::{self, Incoming};
use super::ring::{Place, Ring};
use super::setup::{Config, Plan, Scale, choose, feature, link_up, offloads};
use crate::region::Region;

const LARGE: Scale = Scale { memory: 256 << 20, processors: 4 };
const SMALL: Scale = Scale { memory: 8 << 20, processors: 4 };

fn scale(mib: usize, processors: usize) -> Scale {
    Scale { memory: mib << 20, processors }
}

#[test]
fn a_header_says_what_the_card_is_to_do() {
    assert_eq!(header::encode(TxOffload::default()), [0; 12]);
    let checksum = Some((34, 16));
    assert_eq!(header::encode(TxOffload { checksum, segment: None }), [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]);
    let segment = Some(Segment { v6: false, size: 1460, header: 54 });
    assert_eq!(header::encode(TxOffload { checksum, segment }), [1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0]);
    let segment = Some(Segment { v6: true, size: 0x1234, header: 0x156 });
    assert_eq!(header::encode(TxOffload { checksum, segment })[1..6], [4, 0x56, 1, 0x34, 0x12]);
}

#[test]
fn a_header_says_whether_the_checksum_is_right() {
    let incoming = |flags, low, high| header::decode([flags, 1, 0, 0, 0, 0, 9, 9, 9, 9, low, high]);
    assert_eq!(incoming(0, 1, 0), Incoming { checksum_good: false, buffers: 1 });
    assert_eq!(incoming(1, 0, 1), Incoming { checksum_good: true, buffers: 256 });
    assert_eq!(incoming(2, 0, 0), Incoming { checksum_good: true, buffers: 0 });
    assert!(!incoming(4, 0, 0).checksum_good, "counts of joined segments are something else");
}

#[test]
fn a_feature_is_left_if_what_it_needs_is_not_there() {
    use feature::*;
    assert_eq!(choose(0, LARGE), 0);
    let all = choose(u64::MAX, LARGE);
    let segments_in = GUEST_TSO4 | GUEST_TSO6;
    let segments_out = HOST_TSO4 | HOST_TSO6;
    assert_eq!(all & (segments_in | segments_out), segments_in | segments_out);
    assert_eq!(choose(all, LARGE), all, "it is content with what it chose");
    assert_eq!(choose(!CSUM, LARGE), all & !CSUM & !segments_out);
    assert_eq!(choose(!GUEST_CSUM, LARGE), all & !GUEST_CSUM & !segments_in);
    assert_eq!(choose(!MRG_RXBUF, LARGE), all & !MRG_RXBUF & !segments_in);
    assert_eq!(choose(!CTRL_VQ, LARGE), all & !(CTRL_VQ | CTRL_RX | CTRL_VLAN | MQ));
    assert_eq!(choose(u64::MAX, SMALL), all & !segments_in, "frames of 64 KiB are for those who have room");
    // Whether guests may be told of congestion, and packets joined by the device, are not ours.
    assert_eq!(all & (1 << 9 | 1 << 13 | 1 << 10 | 1 << 14 | 1 << 52), 0);
}

#[test]
fn the_card_is_said_to_do_what_was_agreed_on() {
    assert_eq!(offloads(0), Offloads::empty());
    assert_eq!(offloads(feature::CSUM | feature::HOST_TSO6), Offloads::TX_CHECKSUM | Offloads::TSO6);
    let joined = offloads(feature::GUEST_CSUM | feature::GUEST_TSO6);
    assert_eq!(joined, Offloads::RX_CHECKSUM | Offloads::RX_LARGE);
    assert_eq!(offloads(choose(u64::MAX, LARGE)), Offloads::all());
}

fn region(bytes: &[u8]) -> Option<Region> {
    let region = Region::new(bytes.len().max(1));
    region.copy_in(0, bytes);
    Some(region)
}

#[test]
fn the_configuration_is_believed_where_it_makes_sense() {
    let bytes = [0x52, 0x54, 0, 1, 2, 3, 1, 0, 4, 0, 0x28, 0x23];
    let all = choose(u64::MAX, LARGE);
    let usual = Config { mac: None, mtu: 1500, pairs: 1 };
    let read = Config::read(all, region(&bytes));
    assert_eq!(read, Config { mac: Some([0x52, 0x54, 0, 1, 2, 3]), mtu: 9000, pairs: 4 });
    assert_eq!(Config::read(0, region(&bytes)), usual, "fields without their feature are not there");
    assert_eq!(Config::read(all, None), usual);
    assert_eq!(Config::read(all, region(&bytes[..5])), usual, "too short");
    assert_eq!(Config::read(all, region(&[0; 12])), usual);
    assert_eq!(Config::read(all, region(&[0xff; 12])), Config { mtu: 0xffff, ..usual });
    assert_eq!(Config::read(all, region(&[1, 0, 0, 0, 0, 1, 0, 0, 1, 0x80, 67, 0])), usual);
}

#[test]
fn the_link_is_up_unless_the_card_says_otherwise() {
    let status = |low| region(&[0, 0, 0, 0, 0, 0, low, 0]);
    assert!(link_up(feature::STATUS, status(1)));
    assert!(!link_up(feature::STATUS, status(0)));
    assert!(!link_up(feature::STATUS, status(2)));
    assert!(link_up(0, status(0)));
    assert!(link_up(feature::STATUS, None));
    assert!(link_up(feature::STATUS, region(&[0; 7])));
}

#[test]
fn memory_goes_by_what_the_machine_has() {
    for features in [u64::MAX, !feature::MRG_RXBUF, !feature::MTU, feature::MTU | feature::MQ, 0] {
        for mtu in [68, 1280, 1500, 9000, 65535] {
            for (mib, limit) in
                [(8, 256 << 10), (16, 256 << 10), (32, 512 << 10), (64, 1 << 20), (1024, 16 << 20)]
            {
                let scale = scale(mib, 16);
                let features = choose(features, scale) | features & feature::VERSION_1;
                let plan = Plan::new(features, Config { mac: None, mtu, pairs: 16 }, scale);
                let name = format!("{features:#x}, {mtu}, {mib} MiB: {plan:?}");
                let each = plan.receive_pages() * 4096 + plan.transmit_len;
                let jumbo = if plan.shape.buffer_len > 1536 { 192 << 10 } else { 0 };
                assert!(usize::from(plan.pairs) * each <= limit + jumbo, "{name}");
                assert!(plan.receive_pages() <= 1024 && plan.buffers <= plan.descriptors, "{name}");
                assert!((1..=16).contains(&plan.pairs), "{name}");
                assert!(plan.transmit_len >= plan.shape.header_len + plan.transmit_max, "{name}");
                let frame = 14 + usize::from(mtu);
                assert!(plan.transmit_max >= frame && plan.shape.frame_max >= frame, "{name}");
                assert!(plan.shape.merge || plan.shape.buffer_len >= 12 + frame, "{name}");
                // A joined frame fits in the buffers of a queue.
                let room = usize::from(plan.buffers) * plan.shape.buffer_len;
                assert!(room >= plan.shape.header_len + plan.shape.frame_max, "{name}");
            }
        }
    }
}

#[test]
fn pairs_are_as_many_as_processors_if_there_is_memory() {
    let pairs = |scale, pairs| {
        Plan::new(choose(u64::MAX, scale), Config { mac: None, mtu: 1500, pairs }, scale).pairs
    };
    assert_eq!(pairs(scale(256, 4), 8), 4);
    assert_eq!(pairs(scale(256, 4), 2), 2);
    assert_eq!(pairs(scale(256, 1), 8), 1);
    assert_eq!(pairs(scale(8, 4), 8), 1);
    assert_eq!(pairs(scale(16, 4), 8), 1);
    assert_eq!(pairs(scale(128, 4), 8), 2);
}

#[test]
fn the_header_of_an_old_card_is_shorter() {
    let header_len =
        |features| Plan::new(features, Config { mac: None, mtu: 1500, pairs: 1 }, LARGE).shape.header_len;
    assert_eq!(header_len(0), 10);
    assert_eq!(header_len(feature::MRG_RXBUF), 12);
    assert_eq!(header_len(feature::VERSION_1), 12);
}

#[test]
fn room_is_given_out_once() {
    let mut ring = Ring::new(4096, 16);
    let mut taken: Vec<(Place, usize)> = Vec::new();
    let mut seed = 1u32;
    let mut next = |n: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % n
    };
    let (mut given, mut refused) = (0, 0);
    for _ in 0..200_000 {
        let len = if next(8) == 0 { 1 + next(4096) } else { 1 + next(200) };
        if next(2) == 0 {
            match ring.take(len) {
                Some(place) => {
                    assert!(place.at % 64 == 0 && place.at + len <= 4096);
                    for &(other, other_len) in &taken {
                        assert_ne!(other.slot, place.slot);
                        assert!(other.at + other_len <= place.at || place.at + len <= other.at);
                    }
                    taken.push((place, len));
                    given += 1;
                }
                None => {
                    assert!(!taken.is_empty(), "an empty ring takes what it can hold");
                    refused += 1;
                }
            }
        } else if !taken.is_empty() {
            // Mostly in order.
            let at = if next(10) == 0 { next(taken.len()) } else { 0 };
            let slot = taken.remove(at).0.slot;
            ring.give_back(slot);
        }
    }
    assert!(given > 50_000 && refused > 1000, "{given} {refused}");
    taken.iter().for_each(|(place, _)| ring.give_back(place.slot));
    assert!(ring.is_roomy());
    assert!(ring.take(4096).is_some());
    assert!(!ring.is_roomy());
    assert!(ring.take(1).is_none());
}

#[test]
fn room_that_is_not_taken_cannot_be_given_back() {
    let mut ring = Ring::new(256, 2);
    let first = ring.take(64).unwrap();
    let second = ring.take(64).unwrap();
    assert!(ring.take(64).is_none(), "no slot");
    for slot in [2, 3, u16::MAX] {
        ring.give_back(slot);
    }
    ring.give_back(second.slot);
    ring.give_back(second.slot);
    assert!(ring.take(64).is_none(), "the first is in front of it");
    ring.give_back(first.slot);
    ring.give_back(first.slot);
    assert_eq!(ring.take(256).map(|place| place.at), Some(0));
    assert!(ring.take(257).is_none() && ring.take(usize::MAX).is_none());
}
