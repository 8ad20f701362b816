//! A queue of incoming frames.
//!
//! Its buffers lie side by side in one run of memory and are put back in the order in which they came, so a frame that
//! fills several is contiguous as it lies, and is lent where the device put it. Only one that goes around the end of the
//! run (or over buffers that a device took out of order) is copied together.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use hal::sync::{Lock, rank};
use hal::{NetCounters, RxInfo};

use super::super::super::region::Dma;
use super::super::queue::{Direction, Done, Queue, Segment};
use super::header;
use super::setup::{ETHERNET_LEN, Shape};

/// Frames that are taken under one hold of the lock.
const BATCH: usize = 8;

/// The queue.
pub(super) struct Receive {
    state: Lock<State, { rank::DRIVER }>,
    memory: Dma,
    shape: Shape,
}

struct State {
    queue: Queue,
    /// The header has a descriptor of its own.
    split: bool,
    /// Buffers that the device gave back and that were not put back yet, in order; as many as there are fit.
    returned: Vec<u16>,
    /// Where frames are copied together; with whoever takes frames now.
    scratch: Box<[u8]>,
    /// Somebody takes frames now, and looks at buffers without the lock.
    busy: bool,
    /// An interrupt is wanted.
    listening: bool,
    counters: NetCounters,
}

/// A frame that the device has written.
#[derive(Clone, Copy, Default)]
struct Frame {
    place: Place,
    len: usize,
    info: RxInfo,
}

#[derive(Clone, Copy)]
enum Place {
    /// At this offset of the buffers' memory.
    Buffers(usize),
    /// At the start of the scratch memory.
    Scratch,
}

impl Default for Place {
    fn default() -> Self {
        Self::Buffers(0)
    }
}

/// A frame that is not as the specification says.
struct Malformed;

impl Receive {
    /// Makes the queue: `buffers` of this shape lie in `memory`. The device sees them at [`Self::kick`], and an interrupt
    /// is wanted for the first frame.
    pub(super) fn new(queue: Queue, memory: Dma, shape: Shape, buffers: u16, split: bool) -> Self {
        let descriptors = if split { queue.size() / 2 } else { queue.size() };
        // As all were returned, they are put back in order.
        let returned: Vec<u16> = (0..buffers.min(descriptors)).collect();
        let scratch = vec![0; if shape.merge { shape.frame_max } else { 0 }].into_boxed_slice();
        let mut state = State {
            queue,
            split,
            returned,
            scratch,
            busy: false,
            listening: true,
            counters: NetCounters::default(),
        };
        state.put_back(&memory, shape);
        Self { state: Lock::new(state), memory, shape }
    }

    /// Shows the device its first buffers. It runs now.
    pub(super) fn kick(&self) {
        self.state.lock().queue.kick();
    }

    /// As [`hal::NetDevice::receive`].
    pub(super) fn take(&self, budget: usize, each: &mut dyn FnMut(&[u8], RxInfo)) -> usize {
        let mut given = 0;
        let mut state = self.state.lock();
        if state.busy {
            return 0;
        }
        state.busy = true;
        let mut scratch = core::mem::take(&mut state.scratch);
        while given < budget && state.queue.has_done() {
            let mut batch = [Frame::default(); BATCH];
            let limit = BATCH.min(budget - given);
            let count = state.gather(&self.memory, self.shape, &mut scratch, &mut batch[..limit]);
            drop(state);
            for frame in &batch[..count] {
                let bytes = match frame.place {
                    // SAFETY: 1. `gather` found the range within buffers that the device has given back, and they are put back
                    // only below. 2. `busy` keeps every other caller from taking or putting back buffers. 3. The reference
                    // ends with `each`.
                    Place::Buffers(at) => unsafe { self.memory.bytes(at, frame.len) },
                    Place::Scratch => &scratch[..frame.len],
                };
                each(bytes, frame.info);
            }
            given += count;
            state = self.state.lock();
            state.put_back(&self.memory, self.shape);
            state.queue.kick();
        }
        state.scratch = scratch;
        state.busy = false;
        given
    }

    /// As [`hal::NetDevice::listen`].
    pub(super) fn listen(&self) -> bool {
        let mut state = self.state.lock();
        // Whoever takes frames now listens when they are through.
        if state.busy || state.listening {
            return false;
        }
        if state.queue.has_done() {
            return true;
        }
        state.queue.set_interrupts(true);
        // What came before interrupts were on brings none.
        let there = state.queue.has_done();
        if there {
            state.queue.set_interrupts(false);
        }
        state.listening = !there;
        there
    }

    /// Handles an interrupt; says whether somebody is to hear of it.
    pub(super) fn interrupt(&self) -> bool {
        let mut state = self.state.lock();
        // Lines are shared, and a device may still send an interrupt after it was told not to.
        let heard = state.listening && state.queue.has_done();
        if heard {
            state.listening = false;
            state.queue.set_interrupts(false);
        }
        heard
    }

    /// Returns what was counted.
    pub(super) fn counters(&self) -> NetCounters {
        self.state.lock().counters
    }
}

impl State {
    /// Gives the buffers that came back to the device again.
    fn put_back(&mut self, memory: &Dma, shape: Shape) {
        for &buffer in &self.returned {
            let at = usize::from(buffer) * shape.buffer_len;
            let part = |from, len| Segment::new(memory, at + from, len, Direction::FromDevice);
            // There are descriptors for each buffer.
            let _ = if self.split {
                let frame = part(shape.header_len, shape.buffer_len - shape.header_len);
                self.queue.push(buffer, &[], None, &[part(0, shape.header_len), frame])
            } else {
                self.queue.push(buffer, &[], None, &[part(0, shape.buffer_len)])
            };
        }
        self.returned.clear();
    }

    /// Takes frames until there are as many as fit, or no more, or one was copied to `scratch`; returns their number.
    fn gather(&mut self, memory: &Dma, shape: Shape, scratch: &mut [u8], into: &mut [Frame]) -> usize {
        let mut count = 0;
        // Each turn uses up a buffer at least, and none is put back meanwhile: a device cannot keep this going.
        while count < into.len()
            && let Some(first) = self.queue.pop()
        {
            match self.assemble(first, memory, shape, scratch) {
                Ok(frame) => {
                    self.counters.rx_packets += 1;
                    self.counters.rx_bytes += frame.len as u64;
                    into[count] = frame;
                    count += 1;
                    if matches!(frame.place, Place::Scratch) {
                        break;
                    }
                }
                Err(Malformed) => self.counters.rx_errors += 1,
            }
        }
        count
    }

    /// Takes the buffers of one frame. Nothing that the device says is believed: not a length, not the number of buffers.
    fn assemble(
        &mut self,
        first: Done,
        memory: &Dma,
        shape: Shape,
        scratch: &mut [u8],
    ) -> Result<Frame, Malformed> {
        self.returned.push(first.token);
        let written = |done: Done| usize::try_from(done.len).ok().filter(|&len| len <= shape.buffer_len);
        let at = usize::from(first.token) * shape.buffer_len;
        let len = written(first).and_then(|len| len.checked_sub(shape.header_len)).ok_or(Malformed)?;
        let mut bytes = [0; header::LEN];
        memory.region().copy_out(at, &mut bytes[..shape.header_len]);
        let header = header::decode(bytes);
        let mut frame = Frame {
            place: Place::Buffers(at + shape.header_len),
            len,
            info: RxInfo { checksum_good: shape.checksum && header.checksum_good },
        };
        let mut end = at + shape.header_len + len;
        let mut good = !shape.merge || header.buffers > 0;
        for _ in 1..if shape.merge { header.buffers } else { 1 } {
            // The device shows all buffers of a frame at once (section 5.1.6.4).
            let done = self.queue.pop().ok_or(Malformed)?;
            self.returned.push(done.token);
            let Some(len) = written(done).filter(|len| len + frame.len <= scratch.len()) else {
                // The rest of the frame is used up all the same.
                good = false;
                continue;
            };
            let at = usize::from(done.token) * shape.buffer_len;
            if at != end
                && let Place::Buffers(start) = frame.place
            {
                memory.region().copy_out(start, &mut scratch[..frame.len]);
                frame.place = Place::Scratch;
            }
            if let Place::Scratch = frame.place {
                memory.region().copy_out(at, &mut scratch[frame.len..frame.len + len]);
            }
            frame.len += len;
            end = at + len;
        }
        if good && (ETHERNET_LEN..=shape.frame_max).contains(&frame.len) { Ok(frame) } else { Err(Malformed) }
    }
}
