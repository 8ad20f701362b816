//! The queues that carry frames.

use std::collections::VecDeque;

use hal::{QueueFull, RxInfo, TxOffload};

use super::receive::Receive;
use super::setup::Shape;
use super::transmit::Transmit;
use crate::devices::{Device, Piece};
use crate::region::{Dma, Region};

const BUFFERS: u16 = 8;
const JOINED: Shape = Shape { header_len: 12, buffer_len: 512, merge: true, frame_max: 3000, checksum: true };
const SINGLE: Shape = Shape { merge: false, frame_max: 500, ..JOINED };
const OLD: Shape = Shape { header_len: 10, ..SINGLE };

/// The card's side of a queue for receiving.
struct Card {
    device: Device,
    shape: Shape,
    /// Buffers that the driver gave.
    buffers: VecDeque<(u16, Vec<Piece>)>,
}

impl Card {
    fn new(shape: Shape, split: bool) -> (Receive, Self) {
        let (queue, device) = Device::new(16, 4, true);
        let memory = Dma::new(1).unwrap();
        let receive = Receive::new(queue, memory, shape, BUFFERS, split);
        receive.kick();
        (receive, Self { device, shape, buffers: VecDeque::new() })
    }

    fn collect(&mut self) {
        self.buffers.extend(std::iter::from_fn(|| self.device.take()));
    }

    /// Writes bytes into the next buffer, and says that it wrote `len`.
    fn fill(&mut self, bytes: &[u8], len: u32) -> bool {
        self.collect();
        let (head, pieces) = self.buffers.pop_front().unwrap();
        let mut rest = bytes;
        for (address, room, write) in pieces {
            assert!(write);
            let (part, more) = rest.split_at(rest.len().min(room as usize));
            let (region, at) = Region::at(address);
            region.copy_in(at, part);
            rest = more;
        }
        self.device.finish(head.into(), len)
    }

    fn header(&self, flags: u8, buffers: u16) -> Vec<u8> {
        let mut header = vec![0; self.shape.header_len];
        header[0] = flags;
        if self.shape.header_len == 12 {
            header[10..].copy_from_slice(&buffers.to_le_bytes());
        }
        header
    }

    /// Sends a frame over as many buffers as it needs; `false` if there are not enough.
    fn send(&mut self, frame: &[u8], flags: u8) -> bool {
        self.collect();
        let whole = self.shape.header_len + frame.len();
        let buffers = whole.div_ceil(self.shape.buffer_len);
        if buffers > self.buffers.len() {
            return false;
        }
        let mut bytes = self.header(flags, u16::try_from(buffers).unwrap());
        bytes.extend(frame);
        for part in bytes.chunks(self.shape.buffer_len) {
            self.fill(part, u32::try_from(part.len()).unwrap());
        }
        true
    }
}

fn frame(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i * 7 + seed) % 251).unwrap()).collect()
}

fn take(receive: &Receive, budget: usize) -> Vec<(Vec<u8>, RxInfo)> {
    let mut frames = Vec::new();
    let count = receive.take(budget, &mut |bytes, info| frames.push((bytes.to_vec(), info)));
    assert_eq!(count, frames.len());
    frames
}

#[test]
fn frames_of_every_length_arrive_whole_and_in_order() {
    for (shape, split) in [(JOINED, false), (SINGLE, false), (OLD, true)] {
        let (receive, mut card) = Card::new(shape, split);
        let longest = if shape.merge { 3000 } else { shape.buffer_len - shape.header_len };
        let mut expected = VecDeque::new();
        let (mut bytes, mut count) = (0, 0);
        for round in 0..20_000 {
            let len = if round % 3 == 0 { 14 + round % (longest - 13) } else { 60 };
            let data = frame(len, round);
            if card.send(&data, 0) {
                bytes += len as u64;
                count += 1;
                expected.push_back(data);
            }
            if round % 5 == 0 {
                for (got, info) in take(&receive, 3) {
                    assert_eq!(got, expected.pop_front().unwrap(), "round {round}");
                    assert!(!info.checksum_good);
                }
            }
        }
        take(&receive, usize::MAX).iter().for_each(|f| assert_eq!(f.0, expected.pop_front().unwrap()));
        assert!(expected.is_empty());
        let counters = receive.counters();
        assert_eq!((counters.rx_packets, counters.rx_bytes, counters.rx_errors), (count, bytes, 0));
    }
}

#[test]
fn buffers_may_come_back_in_any_order() {
    let (receive, mut card) = Card::new(JOINED, false);
    for round in 0..1000 {
        card.collect();
        assert_eq!(card.buffers.len(), usize::from(BUFFERS));
        card.buffers.rotate_left(round % 7);
        card.buffers.swap(1, 3);
        let data = frame(1500, round);
        assert!(card.send(&data, 0) && card.send(&data[..80], 0));
        let frames = take(&receive, 9);
        assert_eq!(frames.iter().map(|f| &f.0[..]).collect::<Vec<_>>(), [&data[..], &data[..80]]);
    }
}

#[test]
fn a_checksum_counts_only_if_that_was_agreed_on() {
    for checksum in [false, true] {
        let (receive, mut card) = Card::new(Shape { checksum, ..JOINED }, false);
        for (flags, good) in [(0, false), (1, true), (2, true)] {
            assert!(card.send(&frame(60, 0), flags));
            assert_eq!(take(&receive, 1)[0].1.checksum_good, good && checksum);
        }
    }
}

#[test]
fn malformed_frames_are_counted_and_dropped() {
    let (receive, mut card) = Card::new(JOINED, false);
    let good = frame(100, 1);
    let mut errors = 0;
    for _ in 0..100 {
        // Too long for the buffer, too short for a header or for an Ethernet frame, and a frame in no buffer.
        for (len, buffers) in [(513, 1), (u32::MAX, 1), (0, 1), (11, 1), (12 + 13, 1), (100, 0)] {
            card.fill(&card.header(0, buffers), len);
            errors += 1;
        }
        assert!(take(&receive, 100).is_empty());
        assert_eq!(receive.counters().rx_errors, errors);
        // More buffers than there are, or than the device has used.
        for buffers in [2, 9, u16::MAX] {
            card.fill(&card.header(0, buffers), 512);
            assert!(take(&receive, 1).is_empty());
            errors += 1;
        }
        // A part too long, and parts longer than any frame: the buffers are used up.
        for lens in [&[512, 513][..], &[512, u32::MAX, 512], &[512; 7]] {
            for (i, &len) in lens.iter().enumerate() {
                let count = u16::try_from(lens.len()).unwrap();
                card.fill(&if i == 0 { card.header(0, count) } else { vec![] }, len);
            }
            assert!(take(&receive, 1).is_empty());
            errors += 1;
        }
        assert!(card.send(&good, 0));
        assert_eq!(take(&receive, 1)[0].0, good);
    }
    assert_eq!(receive.counters().rx_errors, errors);
    let (receive, mut card) = Card::new(SINGLE, false);
    // A number of buffers without the feature means nothing.
    card.fill(&card.header(0, 7), 100);
    assert_eq!(take(&receive, 1)[0].0.len(), 88);
}

#[test]
fn an_interrupt_comes_when_it_was_asked_for() {
    let (receive, mut card) = Card::new(JOINED, false);
    let data = frame(60, 0);
    let send = |card: &mut Card| {
        let header = card.header(0, 1);
        card.fill(&[header, data.clone()].concat(), 72)
    };
    for round in 0..70_000 {
        assert!(!receive.interrupt(), "the line is shared");
        assert!(send(&mut card), "round {round}");
        assert!(receive.interrupt());
        assert!(!receive.interrupt());
        assert!(!send(&mut card), "no more before it is asked for");
        assert!(!receive.interrupt());
        assert!(receive.listen(), "one is there already");
        assert_eq!(take(&receive, 1).len(), 1);
        assert!(receive.listen());
        assert_eq!(take(&receive, 5).len(), 1);
        assert!(!receive.listen());
        assert!(!receive.listen());
    }
}

#[test]
fn frames_are_taken_by_one_at_a_time() {
    let (receive, mut card) = Card::new(JOINED, false);
    assert!(card.send(&frame(60, 0), 0) && card.send(&frame(1000, 1), 0) && receive.interrupt());
    let mut lens = Vec::new();
    let count = receive.take(9, &mut |bytes, _| {
        lens.push(bytes.len());
        assert_eq!(receive.take(9, &mut |_, _| panic!()), 0);
        assert!(!receive.listen(), "whoever takes them will ask");
    });
    assert_eq!((count, &lens[..]), (2, &[60, 1000][..]));
    assert_eq!(receive.take(0, &mut |_, _| panic!()), 0);
    assert!(!receive.listen());
}

/// Takes the next frame from a queue for transmitting: its head, header and bytes.
fn sent(device: &mut Device, header_len: usize) -> Option<(u16, Vec<u8>, Vec<u8>)> {
    let (head, pieces) = device.take()?;
    let mut bytes = Vec::new();
    for (address, len, write) in pieces {
        assert!(!write);
        let (region, at) = Region::at(address);
        let start = bytes.len();
        bytes.resize(start + len as usize, 0);
        region.copy_out(at, &mut bytes[start..]);
    }
    let frame = bytes.split_off(header_len);
    Some((head, bytes, frame))
}

fn put(transmit: &Transmit, data: &[u8]) -> Result<(), QueueFull> {
    transmit.put(data.len(), TxOffload::default(), &mut |to| to.copy_from_slice(data))
}

#[test]
fn frames_leave_whole_and_in_order() {
    for (header_len, split) in [(12, false), (10, true)] {
        let (queue, mut device) = Device::new(16, 4, true);
        let transmit = Transmit::new(queue, Dma::new(2).unwrap(), header_len, 3000, split);
        let mut expected = VecDeque::new();
        let mut dropped = 0;
        device.sleep();
        for round in 0..20_000 {
            let data = frame(if round % 3 == 0 { 14 + round % 2987 } else { 60 }, round);
            match put(&transmit, &data) {
                Ok(()) => expected.push_back(data),
                Err(QueueFull) => dropped += 1,
            }
            if round % 4 == 0 {
                transmit.flush();
                let rang = device.rang();
                assert!(rang || expected.is_empty());
                while let Some((head, header, data)) = sent(&mut device, header_len) {
                    assert_eq!(header, vec![0; header_len]);
                    assert_eq!(data, expected.pop_front().unwrap());
                    device.finish(head.into(), 0);
                }
                device.sleep();
            }
        }
        assert!(expected.len() < 4);
        assert_eq!(transmit.counters().tx_dropped, dropped);
        assert_eq!(transmit.counters().tx_packets, 20_000 - dropped);
    }
}

#[test]
fn who_waits_for_room_hears_of_it() {
    let (queue, mut device) = Device::new(8, 4, true);
    let transmit = Transmit::new(queue, Dma::new(1).unwrap(), 12, 1500, false);
    let data = frame(60, 3);
    for round in 0..20_000 {
        device.sleep();
        for _ in 0..8 {
            assert_eq!(put(&transmit, &data), Ok(()));
        }
        assert!(device.take().is_none(), "it was not told yet");
        assert!(!transmit.interrupt());
        assert_eq!(transmit.put(60, TxOffload::default(), &mut |_| panic!()), Err(QueueFull));
        assert!(device.rang(), "what it does not know of makes no room");
        let mut heard = 0;
        for _ in 0..8 {
            let (head, ..) = sent(&mut device, 12).unwrap();
            if device.finish(head.into(), 0) {
                heard += usize::from(transmit.interrupt());
            }
        }
        assert_eq!(heard, 1, "round {round}");
        assert!(!transmit.interrupt());
    }
}

#[test]
fn what_the_card_is_to_do_stands_in_front_of_the_frame() {
    let (queue, mut device) = Device::new(8, 4, false);
    let transmit = Transmit::new(queue, Dma::new(1).unwrap(), 12, 1500, false);
    let offload = TxOffload { checksum: Some((34, 6)), segment: None };
    assert_eq!(transmit.put(60, offload, &mut |to| to.fill(5)), Ok(()));
    transmit.flush();
    let (_, header, data) = sent(&mut device, 12).unwrap();
    assert_eq!((&header[..], &data[..]), (&[1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0][..], &[5; 60][..]));
}

#[test]
fn a_card_that_returns_what_it_never_got_is_not_believed() {
    let (queue, mut device) = Device::new(8, 4, false);
    let transmit = Transmit::new(queue, Dma::new(1).unwrap(), 12, 1500, false);
    assert_eq!(put(&transmit, &frame(1500, 1)), Ok(()));
    assert_eq!(put(&transmit, &frame(1500, 2)), Ok(()));
    transmit.flush();
    for head in [7, 8, u32::MAX] {
        device.finish(head, 0);
    }
    assert_eq!(put(&transmit, &frame(1500, 3)), Err(QueueFull));
    let (head, ..) = sent(&mut device, 12).unwrap();
    device.finish(head.into(), 0);
    device.finish(head.into(), 0);
    assert_eq!(put(&transmit, &frame(1500, 3)), Ok(()));
    assert_eq!(put(&transmit, &frame(1500, 4)), Err(QueueFull));
}
