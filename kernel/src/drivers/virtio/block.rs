//! The virtio disk (virtio 1.2, section 5.2): many requests under way, each a list of frames.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{BlockDevice, Frame, PAGE_SIZE};

use super::queue::{Direction, Pages, Queue, Segment};
use super::{Interrupt, Link, Starting};
use crate::drivers::machine;
use crate::drivers::region::Dma;
use crate::drivers::{Device, ProbeError};
use crate::log::log;

/// Feature bits (section 5.2.3).
mod feature {
    pub(super) const SIZE_MAX: u64 = 1 << 1;
    pub(super) const SEG_MAX: u64 = 1 << 2;
    pub(super) const RO: u64 = 1 << 5;
    pub(super) const FLUSH: u64 = 1 << 9;
}

/// Offsets in the configuration (section 5.2.4).
mod config {
    pub(super) const CAPACITY: usize = 0;
    pub(super) const SIZE_MAX: usize = 8;
    pub(super) const SEG_MAX: usize = 12;
}

/// The unit of positions and sizes.
const SECTOR: u64 = 512;
const SECTORS_IN_PAGE: u64 = PAGE_SIZE as u64 / SECTOR;
/// Descriptors in the queue at most.
const QUEUE_SIZE: u16 = 128;
/// Requests under way at most; each has a header and a status byte in one shared page.
const REQUESTS: u16 = 64;
const HEADER_LEN: usize = 16;
const STATUS_AT: usize = REQUESTS as usize * HEADER_LEN;
/// Frames in one request at most, so that several fit in the queue.
const MAX_FRAMES: usize = 64;

/// What a request does (section 5.2.6).
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Operation {
    Read = 0,
    Write = 1,
    Flush = 4,
}

const STATUS_OK: u8 = 0;
/// What stands in the status byte until the device writes it.
const STATUS_NONE: u8 = 0xff;

/// A disk.
struct Disk {
    state: Lock<State, { rank::DRIVER }>,
    /// Size in sectors.
    sectors: u64,
    read_only: bool,
    /// The device has a cache of its own, which `flush` writes out.
    cached: bool,
    max_frames: usize,
}

struct State {
    queue: Queue,
    page: Dma,
    slots: [Slot; REQUESTS as usize],
    free: Vec<u16>,
    /// Threads that wait for room in the queue.
    crowd: Vec<Waker>,
}

#[derive(Default)]
enum Slot {
    #[default]
    Free,
    /// The device works on it; this thread waits for it.
    Pending(Option<Waker>),
    /// It ended with this status.
    Done(u8),
}

/// A part of a transfer, as large as one request can be.
struct Job<'a> {
    operation: Operation,
    sector: u64,
    frames: &'a [Frame],
    bytes: usize,
}

/// Starts a disk.
pub(crate) fn probe(link: Link) -> Result<Device, ProbeError> {
    let mut device =
        Starting::new(link, feature::SIZE_MAX | feature::SEG_MAX | feature::RO | feature::FLUSH)?;
    let queue = device.queue(0, QUEUE_SIZE)?;
    // A descriptor covers a page at least, and a run of pages where the device sets no limit.
    if device.has(feature::SIZE_MAX) && (device.config32(config::SIZE_MAX) as usize) < MAX_FRAMES * PAGE_SIZE
    {
        return Err(ProbeError::Unsupported("a virtio disk that takes small pieces only"));
    }
    let segments =
        if device.has(feature::SEG_MAX) { device.config32(config::SEG_MAX) as usize } else { MAX_FRAMES };
    // Header and status take two descriptors of each request.
    let max_frames = segments.min(MAX_FRAMES).min(usize::from(queue.size()).saturating_sub(2));
    if max_frames == 0 {
        return Err(ProbeError::Unsupported("a virtio disk whose queue is too short for a request"));
    }
    let disk = Arc::new(Disk {
        state: Lock::new(State {
            queue,
            page: Dma::new(1).ok_or(ProbeError::Memory)?,
            slots: [const { Slot::Free }; REQUESTS as usize],
            free: (0..REQUESTS).rev().collect(),
            crowd: vec![],
        }),
        sectors: device.config64(config::CAPACITY),
        read_only: device.has(feature::RO),
        cached: device.has(feature::FLUSH),
        max_frames,
    });
    let handler = Arc::clone(&disk);
    device.run(vec![Interrupt::new(0, move || handler.interrupt())])?;
    log!(
        Info,
        "disk of {} sectors of 512 bytes{}{}",
        disk.sectors,
        if disk.read_only { ", read-only" } else { "" },
        if disk.cached { ", with a cache" } else { "" }
    );
    Ok(Device::Block(disk))
}

impl Disk {
    fn interrupt(&self) {
        let wakers = self.state.lock().reap();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Carries out jobs, as many at once as fit, and waits for them all.
    fn run<'a>(&self, jobs: impl Iterator<Item = Job<'a>>) -> Result<()> {
        let mut jobs = jobs.peekable();
        let mut under_way: Vec<u16> = Vec::new();
        let mut answer = Ok(());
        machine::wait_until(|waker| {
            let mut state = self.state.lock();
            let wakers = state.reap();
            under_way.retain(|&slot| match state.take_status(slot, waker) {
                None => true,
                Some(STATUS_OK) => false,
                Some(_) => {
                    answer = Err(Errno::EIO);
                    false
                }
            });
            while let Some(job) = jobs.peek() {
                let Some(slot) = state.submit(job, waker) else {
                    // While some of one's own are under way, their end brings the next look.
                    if under_way.is_empty() {
                        state.crowd.extend(waker.cloned());
                    }
                    break;
                };
                under_way.push(slot);
                jobs.next();
            }
            state.queue.kick();
            let more = jobs.peek().is_some();
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
            under_way.is_empty() && !more
        });
        answer
    }

    /// Cuts a transfer into jobs; `bytes` may end within the last page.
    fn jobs<'a>(
        &self,
        operation: Operation,
        first: u64,
        frames: &'a [Frame],
        bytes: usize,
    ) -> impl Iterator<Item = Job<'a>> {
        let step = self.max_frames;
        frames.chunks(step).enumerate().map(move |(i, frames)| Job {
            operation,
            sector: (first + (i * step) as u64) * SECTORS_IN_PAGE,
            frames,
            bytes: (bytes - i * step * PAGE_SIZE).min(frames.len() * PAGE_SIZE),
        })
    }

    /// Returns how many bytes of `len` from page `first` are within the device.
    fn within(&self, first: u64, len: usize) -> usize {
        let end = self.sectors.saturating_mul(SECTOR);
        let rest = end.saturating_sub(first.saturating_mul(PAGE_SIZE as u64));
        usize::try_from(rest).map_or(len, |rest| rest.min(len))
    }
}

impl BlockDevice for Disk {
    fn len(&self) -> u64 {
        self.sectors.saturating_mul(SECTOR)
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read(&self, first: u64, frames: &[Frame]) -> Result<()> {
        let bytes = self.within(first, frames.len() * PAGE_SIZE);
        let (covered, behind) = frames.split_at(bytes.div_ceil(PAGE_SIZE));
        behind.iter().for_each(|frame| frame.zero(0, PAGE_SIZE));
        let tail = bytes % PAGE_SIZE;
        if let Some(last) = covered.last().filter(|_| tail > 0) {
            last.zero(tail, PAGE_SIZE - tail);
        }
        self.run(self.jobs(Operation::Read, first, covered, bytes))
    }

    fn write(&self, first: u64, frames: &[Frame]) -> Result<()> {
        if self.read_only {
            return Err(Errno::EROFS);
        }
        let bytes = self.within(first, frames.len() * PAGE_SIZE);
        if bytes.div_ceil(PAGE_SIZE) < frames.len() {
            return Err(Errno::ENOSPC);
        }
        self.run(self.jobs(Operation::Write, first, frames, bytes))
    }

    fn flush(&self) -> Result<()> {
        if !self.cached || self.read_only {
            return Ok(());
        }
        self.run(core::iter::once(Job { operation: Operation::Flush, sector: 0, frames: &[], bytes: 0 }))
    }
}

impl State {
    /// Takes what the device has done, and returns who is to be woken.
    fn reap(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while let Some(done) = self.queue.pop() {
            let status = self.page.region().read8(STATUS_AT + usize::from(done.token));
            let slot = core::mem::replace(&mut self.slots[usize::from(done.token)], Slot::Done(status));
            if let Slot::Pending(Some(waker)) = slot {
                wakers.push(waker);
            }
            wakers.append(&mut self.crowd);
        }
        wakers
    }

    /// Frees a request that has ended and returns its status; else notes who waits for it.
    fn take_status(&mut self, slot: u16, waker: Option<&Waker>) -> Option<u8> {
        let entry = &mut self.slots[usize::from(slot)];
        match entry {
            Slot::Done(status) => {
                let status = *status;
                *entry = Slot::Free;
                self.free.push(slot);
                Some(status)
            }
            Slot::Pending(waiter) => {
                *waiter = waker.cloned();
                None
            }
            Slot::Free => None,
        }
    }

    /// Queues a request; `None` if there is no room.
    fn submit(&mut self, job: &Job<'_>, waker: Option<&Waker>) -> Option<u16> {
        if job.frames.len() + 2 > usize::from(self.queue.free()) {
            return None;
        }
        let slot = self.free.pop()?;
        let (header_at, status_at) = (usize::from(slot) * HEADER_LEN, STATUS_AT + usize::from(slot));
        let region = self.page.region();
        region.write32(header_at, job.operation as u32);
        region.write32(header_at + 4, 0);
        region.write64(header_at + 8, job.sector);
        region.write8(status_at, STATUS_NONE);
        let header = Segment::new(&self.page, header_at, HEADER_LEN, Direction::ToDevice);
        let status = Segment::new(&self.page, status_at, 1, Direction::FromDevice);
        let direction =
            if job.operation == Operation::Read { Direction::FromDevice } else { Direction::ToDevice };
        let pages = Pages { frames: job.frames.to_vec(), bytes: job.bytes, direction };
        if self.queue.push(slot, &[header], Some(pages), &[status]).is_err() {
            self.free.push(slot);
            return None;
        }
        self.slots[usize::from(slot)] = Slot::Pending(waker.cloned());
        Some(slot)
    }
}
