//! The kernel's virtqueue against a device made of plain code. The kernel builds for the bare machine only, so the
//! module is included by its path; memory that a device shares is played by numbered byte vectors.
#![expect(dead_code, reason = "what only the kernel uses")]
#![expect(clippy::unwrap_used, clippy::tests_outside_test_module, reason = "the whole file is tests")]

extern crate alloc;

/// Stand-ins for the kernel's module of the same name.
mod region {
    use std::sync::Mutex;

    static MEMORY: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Region {
        id: usize,
    }

    impl Region {
        pub(crate) fn new(len: usize) -> Self {
            let mut memory = MEMORY.lock().unwrap();
            memory.push(vec![0; len]);
            Self { id: memory.len() - 1 }
        }

        /// Finds the memory behind a "physical" address: the number of a region above, an offset below.
        pub(crate) fn at(address: u64) -> (Self, usize) {
            (
                Self { id: usize::try_from((address >> 32) - 1).unwrap() },
                usize::try_from(address & 0xffff_ffff).unwrap(),
            )
        }

        fn get<const N: usize>(self, at: usize) -> [u8; N] {
            *MEMORY.lock().unwrap()[self.id][at..].first_chunk().unwrap()
        }

        fn put(self, at: usize, bytes: &[u8]) {
            MEMORY.lock().unwrap()[self.id][at..at + bytes.len()].copy_from_slice(bytes);
        }

        pub(crate) fn read16(&self, at: usize) -> u16 {
            u16::from_le_bytes(self.get(at))
        }

        pub(crate) fn read32(&self, at: usize) -> u32 {
            u32::from_le_bytes(self.get(at))
        }

        pub(crate) fn read64(&self, at: usize) -> u64 {
            u64::from_le_bytes(self.get(at))
        }

        pub(crate) fn write16(&self, at: usize, value: u16) {
            self.put(at, &value.to_le_bytes());
        }

        pub(crate) fn write32(&self, at: usize, value: u32) {
            self.put(at, &value.to_le_bytes());
        }

        pub(crate) fn write64(&self, at: usize, value: u64) {
            self.put(at, &value.to_le_bytes());
        }
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Dma(Region);

    impl Dma {
        pub(crate) fn new(pages: usize) -> Option<Self> {
            Some(Self(Region::new(pages * 4096)))
        }

        pub(crate) const fn region(&self) -> &Region {
            &self.0
        }

        pub(crate) fn physical(&self, at: usize, _: usize) -> u64 {
            (self.0.id as u64 + 1) << 32 | at as u64
        }
    }
}

#[path = "."]
mod virtio {
    #[path = "../../src/drivers/virtio/queue.rs"]
    pub(crate) mod queue;
}

use hal::Frame;
use region::{Dma, Region};
use virtio::queue::{Bell, Direction, Done, Pages, Queue, Segment};

/// Address, length, and whether the device writes it.
type Piece = (u64, u32, bool);

/// The other side of a queue.
struct Device {
    size: u16,
    event_index: bool,
    memory: Region,
    available_at: usize,
    used_at: usize,
    available: u16,
    used: u16,
    bell: Region,
}

impl Device {
    fn new(size: u16, align: usize, event_index: bool) -> (Queue, Self) {
        let bell = Region::new(4);
        let place = Bell { region: bell, at: 0, wide: true };
        let queue = Queue::new(7, size, align, event_index, place).unwrap();
        let [(memory, 0), (_, available_at), (_, used_at)] = queue.addresses().map(Region::at) else {
            panic!()
        };
        assert!(used_at.is_multiple_of(align));
        (queue, Self { size, event_index, memory, available_at, used_at, available: 0, used: 0, bell })
    }

    /// Says whether the driver rang since the last question.
    fn rang(&self) -> bool {
        let rang = self.bell.read32(0) == 7;
        self.bell.write32(0, 0);
        rang
    }

    /// Takes the next chain: its head and segments.
    fn take(&mut self) -> Option<(u16, Vec<Piece>)> {
        if self.memory.read16(self.available_at + 2) == self.available {
            return None;
        }
        let head = self.memory.read16(self.available_at + 4 + 2 * usize::from(self.available % self.size));
        self.available = self.available.wrapping_add(1);
        let (mut segments, mut at) = (Vec::new(), usize::from(head) * 16);
        loop {
            let flags = self.memory.read16(at + 12);
            segments.push((self.memory.read64(at), self.memory.read32(at + 8), flags & 2 != 0));
            if flags & 1 == 0 {
                return Some((head, segments));
            }
            at = usize::from(self.memory.read16(at + 14)) * 16;
        }
    }

    /// Goes to sleep: wants to hear of the next chain.
    fn sleep(&self) {
        if self.event_index {
            self.memory.write16(self.used_at + 4 + 8 * usize::from(self.size), self.available);
        }
    }

    /// Gives a chain back; says whether the driver wants an interrupt.
    fn finish(&mut self, head: u32, len: u32) -> bool {
        let slot = self.used_at + 4 + 8 * usize::from(self.used % self.size);
        self.memory.write32(slot, head);
        self.memory.write32(slot + 4, len);
        let before = self.used;
        self.used = self.used.wrapping_add(1);
        self.memory.write16(self.used_at + 2, self.used);
        if self.event_index {
            self.memory.read16(self.available_at + 4 + 2 * usize::from(self.size)) == before
        } else {
            self.memory.read16(self.available_at) & 1 == 0
        }
    }
}

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
