//! The kernel's virtqueue against a device made of plain code. The kernel builds for the bare machine only, so the
//! module is included by its path.
#![expect(dead_code, reason = "what only the kernel uses")]
#![expect(clippy::unwrap_used, clippy::tests_outside_test_module, reason = "the whole file is tests")]

extern crate alloc;

mod devices;

#[path = "."]
mod virtio {
    #[path = "../../src/drivers/virtio/queue.rs"]
    pub(crate) mod queue;
}

use devices::{Device, region};
use hal::Frame;
use region::Dma;
use virtio::queue::{Direction, Done, Pages, Segment};

fn segment(dma: &Dma, at: usize, len: usize, direction: Direction) -> Segment {
    Segment::new(dma, at, len, direction)
}

#[test]
fn requests_go_round_long_after_the_indices_have_wrapped() {
    for (event_index, align) in [(false, 4096), (true, 4)] {
        let (mut queue, mut device) = Device::new(8, align, event_index);
        let dma = Dma::new(1).unwrap();
        let mut expected = std::collections::VecDeque::new();
        device.sleep();
        for round in 0..140_000u32 {
            let token = u16::try_from(round % 1000).unwrap();
            let pieces = 1 + (round % 3) as usize;
            let parts: Vec<Segment> =
                (0..pieces).map(|i| segment(&dma, i * 64, 64, Direction::ToDevice)).collect();
            if queue.push(token, &parts, None, &[]).is_ok() {
                expected.push_back((token, pieces));
            }
            queue.kick();
            if device.rang() || round % 7 == 0 {
                while let Some((head, segments)) = device.take() {
                    let (token, pieces) = expected.pop_front().unwrap();
                    assert_eq!(segments.len(), pieces);
                    assert!(device.finish(head.into(), round), "the driver sleeps until something is done");
                    assert_eq!(queue.pop(), Some(Done { token, len: round }));
                }
                device.sleep();
            }
            assert_eq!(queue.pop(), None);
        }
        assert!(expected.len() <= 8);
    }
}

#[test]
fn a_sleeping_device_hears_of_every_batch() {
    for event_index in [false, true] {
        let (mut queue, mut device) = Device::new(4, 4, event_index);
        let dma = Dma::new(1).unwrap();
        for round in 0..70_000 {
            device.sleep();
            for token in 0..3 {
                assert!(queue.push(token, &[segment(&dma, 0, 1, Direction::ToDevice)], None, &[]).is_ok());
            }
            queue.kick();
            assert!(device.rang(), "round {round}");
            queue.kick();
            assert!(!device.rang(), "nothing new");
            while let Some((head, _)) = device.take() {
                device.finish(head.into(), 0);
            }
            assert_eq!([queue.pop(), queue.pop(), queue.pop()].map(|d| d.unwrap().token), [0, 1, 2]);
        }
    }
}

#[test]
fn interrupts_are_wanted_only_while_they_are_on() {
    for event_index in [false, true] {
        let (mut queue, mut device) = Device::new(4, 4, event_index);
        let dma = Dma::new(1).unwrap();
        for round in 0..70_000 {
            let on = round % 3 != 0;
            queue.set_interrupts(on);
            assert!(queue.push(0, &[], None, &[segment(&dma, 0, 9, Direction::FromDevice)]).is_ok());
            queue.kick();
            let (head, segments) = device.take().unwrap();
            assert!(segments[0].2);
            assert_eq!(device.finish(head.into(), 9), on, "round {round}");
            assert!(queue.has_done());
            assert!(queue.pop().is_some());
            assert!(!queue.has_done());
        }
    }
}

#[test]
fn frames_are_held_until_the_device_is_done_and_runs_are_joined() {
    let (mut queue, mut device) = Device::new(64, 4, false);
    let dma = Dma::new(1).unwrap();
    let frames: Vec<Frame> = (0..20).map(|_| Frame::zeroed().unwrap()).collect();
    let bytes = 19 * 4096 + 512;
    let pages = Pages { frames: frames.clone(), bytes, direction: Direction::FromDevice };
    let header = segment(&dma, 0, 16, Direction::ToDevice);
    let status = segment(&dma, 16, 1, Direction::FromDevice);
    assert!(queue.push(5, &[header], Some(pages), &[status]).is_ok());
    queue.kick();
    assert!(frames.iter().all(|f| f.references() == 2));
    let (head, segments) = device.take().unwrap();
    assert_eq!(segments.first().map(|s| (s.1, s.2)), Some((16, false)));
    assert_eq!(segments.last().map(|s| (s.1, s.2)), Some((1, true)));
    let mut at = 0;
    for &(address, len, written) in &segments[1..segments.len() - 1] {
        assert!(written);
        for page in 0..u64::from(len).div_ceil(4096) {
            assert_eq!(address + page * 4096, u64::from(frames[at].number().get()) * 4096);
            at += 1;
        }
    }
    assert_eq!(at, frames.len());
    assert_eq!(segments[1..segments.len() - 1].iter().map(|s| s.1 as usize).sum::<usize>(), bytes);
    device.finish(head.into(), 1);
    assert_eq!(queue.pop(), Some(Done { token: 5, len: 1 }));
    assert!(frames.iter().all(|f| f.references() == 1));
    assert_eq!(queue.free(), 64);
}

#[test]
fn what_does_not_fit_comes_back_unharmed() {
    let (mut queue, _) = Device::new(4, 4, false);
    let dma = Dma::new(1).unwrap();
    let frames: Vec<Frame> = (0..4).map(|_| Frame::zeroed().unwrap()).collect();
    let pages = Pages { frames, bytes: 4 * 4096, direction: Direction::ToDevice };
    let Err(Some(back)) = queue.push(0, &[segment(&dma, 0, 1, Direction::ToDevice)], Some(pages), &[]) else {
        panic!("five descriptors do not fit in four");
    };
    assert_eq!((back.frames.len(), queue.free()), (4, 4));
}

#[test]
fn a_device_that_lies_is_not_believed() {
    let (mut queue, mut device) = Device::new(4, 4, false);
    let dma = Dma::new(1).unwrap();
    assert!(queue.push(3, &[segment(&dma, 0, 1, Direction::ToDevice)], None, &[]).is_ok());
    queue.kick();
    let (head, _) = device.take().unwrap();
    for bad in [u32::from(head) + 1, 4, 0xffff, 0x1_0000 + u32::from(head), u32::MAX] {
        device.finish(bad, 0);
        assert_eq!(queue.pop(), None);
    }
    device.finish(head.into(), 0);
    assert_eq!(queue.pop().map(|d| d.token), Some(3));
    device.finish(head.into(), 0);
    assert_eq!(queue.pop(), None, "twice is a lie, too");
}
