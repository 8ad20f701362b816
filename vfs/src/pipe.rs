//! Pipes and fifos: a ring of pages (`pipe(7)`, `fifo(7)`).

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use abi::{Errno, Result};
use hal::sync::{SleepLock, rank};
use hal::{Dest, Frame, PAGE_SIZE, Readiness, Source, WaitQueue};

/// Pages that a new pipe holds (64 KiB).
pub const DEFAULT_PAGES: usize = 16;
/// Largest capacity that an ordinary process may set, in bytes (`/proc/sys/fs/pipe-max-size`).
pub const CAPACITY_MAX: usize = 1 << 20;
/// A write of at most so many bytes is never mixed with another (`PIPE_BUF`).
pub const PIPE_BUF: usize = 4096;

/// One page, or a part of one, that waits to be read.
struct Buffer {
    frame: Frame,
    offset: usize,
    len: usize,
    kind: BufferKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BufferKind {
    /// Later writes may go on in it.
    Stream,
    /// A packet of its own (`O_DIRECT`).
    Packet,
    /// Somebody else's page: nothing may be written to it.
    Borrowed,
}

struct Ring {
    buffers: VecDeque<Buffer>,
    slots: usize,
    /// A page that was read empty, kept for the next write.
    spare: Option<Frame>,
}

/// A pipe; its two sides are [`PipeEnd`]s.
pub struct Pipe {
    /// Copies from and to the application happen under this lock, so that a write of [`PIPE_BUF`] bytes stays whole.
    ring: SleepLock<Ring, { rank::FILE_WRITE }>,
    /// What follows repeats the ring's state, so that readiness needs no lock.
    used: AtomicUsize,
    slots: AtomicUsize,
    bytes: AtomicUsize,
    readers: AtomicU32,
    writers: AtomicU32,
    /// How often each side was opened, for those who wait for the first (`fifo(7)`).
    reader_opens: AtomicU32,
    writer_opens: AtomicU32,
    queue: Arc<WaitQueue>,
}

bitflags::bitflags! {
    /// Which sides an end stands for; both for a fifo opened with `O_RDWR`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Side: u8 {
        /// The side that is read.
        const READ = 1;
        /// The side that is written.
        const WRITE = 2;
    }
}

/// Whether each write becomes a packet (`O_DIRECT` of `pipe2(2)`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteMode {
    /// Bytes follow each other.
    Stream,
    /// One read takes one write.
    Packet,
}

/// One opening of a pipe; dropping it closes.
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    side: Side,
}

impl Pipe {
    /// Makes a pipe that is open on neither side.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            ring: SleepLock::new(Ring { buffers: VecDeque::new(), slots: DEFAULT_PAGES, spare: None }),
            used: AtomicUsize::new(0),
            slots: AtomicUsize::new(DEFAULT_PAGES),
            bytes: AtomicUsize::new(0),
            readers: AtomicU32::new(0),
            writers: AtomicU32::new(0),
            reader_opens: AtomicU32::new(0),
            writer_opens: AtomicU32::new(0),
            queue: WaitQueue::new(),
        })
    }

    /// Makes a pipe and both its ends: reading, writing (`pipe(2)`).
    pub fn pair() -> (PipeEnd, PipeEnd) {
        let pipe = Self::new();
        (pipe.open(Side::READ), pipe.open(Side::WRITE))
    }

    /// Opens a side, and wakes those who wait for somebody to open it.
    pub fn open(self: &Arc<Self>, side: Side) -> PipeEnd {
        if side.contains(Side::READ) {
            self.readers.fetch_add(1, Ordering::AcqRel);
            self.reader_opens.fetch_add(1, Ordering::AcqRel);
        }
        if side.contains(Side::WRITE) {
            self.writers.fetch_add(1, Ordering::AcqRel);
            self.writer_opens.fetch_add(1, Ordering::AcqRel);
        }
        self.queue.wake(Readiness::all());
        PipeEnd { pipe: Arc::clone(self), side }
    }

    /// Returns how many have the reading side open.
    pub fn readers(&self) -> u32 {
        self.readers.load(Ordering::Acquire)
    }

    /// Returns how many have the writing side open.
    pub fn writers(&self) -> u32 {
        self.writers.load(Ordering::Acquire)
    }

    /// Returns how often the reading and the writing side were opened since the pipe was made. Opening a fifo
    /// waits until the other side's count changes or the other side is open.
    pub fn opens(&self) -> (u32, u32) {
        (self.reader_opens.load(Ordering::Acquire), self.writer_opens.load(Ordering::Acquire))
    }

    /// Returns the queue that is woken at every change.
    pub const fn wait_queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// Returns the bytes that wait to be read (`FIONREAD`).
    pub fn len(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Says whether nothing waits to be read.
    pub fn is_empty(&self) -> bool {
        self.used.load(Ordering::Acquire) == 0
    }

    /// Returns the capacity in bytes (`F_GETPIPE_SZ`).
    pub fn capacity(&self) -> usize {
        self.slots.load(Ordering::Acquire) * PAGE_SIZE
    }

    /// Sets the capacity, rounded up to a power of two of pages; returns what it became (`F_SETPIPE_SZ`). Whether the
    /// caller may exceed [`CAPACITY_MAX`] is for it to check.
    ///
    /// # Errors
    /// `EBUSY` if what waits does not fit, `EINVAL` for zero or more than 2 GiB.
    pub fn set_capacity(&self, bytes: usize) -> Result<usize> {
        if bytes == 0 || bytes > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let slots = bytes.div_ceil(PAGE_SIZE).next_power_of_two();
        let mut ring = self.ring.lock();
        if ring.buffers.len() > slots {
            return Err(Errno::EBUSY);
        }
        ring.slots = slots;
        self.slots.store(slots, Ordering::Release);
        drop(ring);
        self.queue.wake(Readiness::WRITE);
        Ok(slots * PAGE_SIZE)
    }

    fn publish(&self, ring: &Ring) {
        self.used.store(ring.buffers.len(), Ordering::Release);
        self.bytes.store(ring.buffers.iter().map(|b| b.len).sum(), Ordering::Release);
    }

    fn read(&self, to: &mut Dest<'_>) -> Result<usize> {
        if to.remaining() == 0 {
            return Ok(0);
        }
        let mut ring = self.ring.lock();
        if ring.buffers.is_empty() {
            return if self.writers() == 0 { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        let mut done = 0;
        let mut result = Ok(());
        while let Some(buffer) = ring.buffers.front_mut() {
            let want = buffer.len.min(to.remaining());
            if want == 0 {
                break;
            }
            match to.push_frame(&buffer.frame, buffer.offset, want) {
                Ok(copied) => {
                    done += copied;
                    buffer.offset += copied;
                    buffer.len -= copied;
                    // A packet is read once: what does not fit is lost.
                    let (packet, empty) = (buffer.kind == BufferKind::Packet, buffer.len == 0);
                    if empty || packet {
                        let gone = ring.buffers.pop_front();
                        ring.spare = gone.filter(|b| b.kind != BufferKind::Borrowed).map(|b| b.frame);
                    }
                    if packet || copied < want {
                        break;
                    }
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.publish(&ring);
        drop(ring);
        if done == 0 {
            result?;
        }
        self.queue.wake(Readiness::WRITE);
        Ok(done)
    }

    fn write(&self, from: &mut Source<'_>, mode: WriteMode) -> Result<usize> {
        if self.readers() == 0 {
            return Err(Errno::EPIPE);
        }
        if from.remaining() == 0 {
            return Ok(0);
        }
        let mut ring = self.ring.lock();
        let mut done = 0;
        let result = Self::fill(&mut ring, from, mode, &mut done);
        self.publish(&ring);
        drop(ring);
        if done > 0 {
            self.queue.wake(Readiness::READ);
            return Ok(done);
        }
        result.map(|()| 0)
    }

    /// Fills the ring until it is full or the source is empty.
    fn fill(ring: &mut Ring, from: &mut Source<'_>, mode: WriteMode, done: &mut usize) -> Result<()> {
        // The odd part goes behind what the last page holds, if all of it fits: so a small write stays whole.
        let odd = from.remaining() % PAGE_SIZE;
        if mode == WriteMode::Stream
            && odd > 0
            && let Some(last) = ring.buffers.back_mut()
            && last.kind == BufferKind::Stream
            && last.offset + last.len + odd <= PAGE_SIZE
        {
            let copied = from.pull_frame(&last.frame, last.offset + last.len, odd)?;
            last.len += copied;
            *done += copied;
            if copied < odd {
                return Ok(());
            }
        }
        while from.remaining() > 0 {
            if ring.buffers.len() >= ring.slots {
                return Err(Errno::EAGAIN);
            }
            let frame = match ring.spare.take() {
                Some(frame) => frame,
                None => Frame::scratch().map_err(|_| Errno::ENOMEM)?,
            };
            let want = from.remaining().min(PAGE_SIZE);
            let len = match from.pull_frame(&frame, 0, want) {
                Ok(len) => len,
                Err(error) => {
                    ring.spare = Some(frame);
                    return Err(error);
                }
            };
            let kind = if mode == WriteMode::Packet { BufferKind::Packet } else { BufferKind::Stream };
            ring.buffers.push_back(Buffer { frame, offset: 0, len, kind });
            *done += len;
            if len < want {
                return Err(Errno::EFAULT);
            }
        }
        Ok(())
    }

    /// Puts a part of a page that belongs to somebody else into the pipe, without copying (`splice(2)`, `vmsplice(2)`).
    ///
    /// # Errors
    /// `EAGAIN` if the pipe is full, `EPIPE` if nobody reads.
    pub fn give(&self, frame: Frame, offset: usize, len: usize) -> Result<()> {
        if self.readers() == 0 {
            return Err(Errno::EPIPE);
        }
        let mut ring = self.ring.lock();
        if ring.buffers.len() >= ring.slots {
            return Err(Errno::EAGAIN);
        }
        ring.buffers.push_back(Buffer { frame, offset, len, kind: BufferKind::Borrowed });
        self.publish(&ring);
        drop(ring);
        self.queue.wake(Readiness::READ);
        Ok(())
    }

    /// Takes at most `max` bytes of the first page out of the pipe; `None` at the end (`splice(2)`).
    ///
    /// # Errors
    /// `EAGAIN` if nothing is there yet.
    pub fn take(&self, max: usize) -> Result<Option<(Frame, usize, usize)>> {
        let mut ring = self.ring.lock();
        let Some(buffer) = ring.buffers.front_mut() else {
            return if self.writers() == 0 { Ok(None) } else { Err(Errno::EAGAIN) };
        };
        let len = buffer.len.min(max);
        let part = (buffer.frame.clone(), buffer.offset, len);
        buffer.offset += len;
        buffer.len -= len;
        // Its page is now seen elsewhere: nothing may be written behind what is left.
        buffer.kind = if buffer.kind == BufferKind::Stream { BufferKind::Borrowed } else { buffer.kind };
        if buffer.len == 0 || buffer.kind == BufferKind::Packet {
            ring.buffers.pop_front();
        }
        self.publish(&ring);
        drop(ring);
        self.queue.wake(Readiness::WRITE);
        Ok(Some(part))
    }

    /// Puts bytes back in front that [`Pipe::take`] took and nobody wanted.
    pub fn put_back(&self, frame: Frame, offset: usize, len: usize) {
        let mut ring = self.ring.lock();
        ring.buffers.push_front(Buffer { frame, offset, len, kind: BufferKind::Borrowed });
        self.publish(&ring);
        drop(ring);
        self.queue.wake(Readiness::READ);
    }

    /// Repeats at most `max` bytes in another pipe without taking them out (`tee(2)`); zero at the end.
    ///
    /// # Errors
    /// `EAGAIN` if nothing is there yet or the other is full, `EINVAL` if both are the same, `EPIPE`.
    pub fn tee(&self, to: &Self, max: usize) -> Result<usize> {
        if core::ptr::eq(self, to) {
            return Err(Errno::EINVAL);
        }
        let mut parts = Vec::new();
        let mut ring = self.ring.lock();
        if ring.buffers.is_empty() {
            return if self.writers() == 0 { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        let mut left = max;
        for buffer in &mut ring.buffers {
            if left == 0 {
                break;
            }
            if buffer.kind == BufferKind::Stream {
                buffer.kind = BufferKind::Borrowed;
            }
            let len = buffer.len.min(left);
            parts.push((buffer.frame.clone(), buffer.offset, len));
            left -= len;
        }
        drop(ring);
        let mut done = 0;
        for (frame, offset, len) in parts {
            match to.give(frame, offset, len) {
                Ok(()) => done += len,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

impl PipeEnd {
    /// Returns the pipe.
    pub const fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// Returns the side.
    pub const fn side(&self) -> Side {
        self.side
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// `EBADF` on the writing side, `EAGAIN` if nothing is there yet, `EFAULT`. Zero means that all writers have gone.
    pub fn read(&self, to: &mut Dest<'_>) -> Result<usize> {
        if !self.side.contains(Side::READ) {
            return Err(Errno::EBADF);
        }
        self.pipe.read(to)
    }

    /// Writes what fits; a write of at most [`PIPE_BUF`] bytes is all or nothing. A caller that blocks repeats for the
    /// rest.
    ///
    /// # Errors
    /// `EBADF` on the reading side, `EPIPE` (and `SIGPIPE`) if nobody reads, `EAGAIN` if it is full, `ENOMEM`, `EFAULT`.
    pub fn write(&self, from: &mut Source<'_>, mode: WriteMode) -> Result<usize> {
        if !self.side.contains(Side::WRITE) {
            return Err(Errno::EBADF);
        }
        self.pipe.write(from, mode)
    }

    /// Returns what this side is ready for.
    pub fn readiness(&self) -> Readiness {
        let pipe = &self.pipe;
        let mut ready = Readiness::empty();
        if self.side.contains(Side::READ) {
            if !pipe.is_empty() {
                ready |= Readiness::READ;
            }
            // LINUX: a fifo that never had a writer does not hang up.
            if pipe.writers() == 0 && pipe.opens().1 > 0 {
                ready |= Readiness::HUP;
            }
        }
        if self.side.contains(Side::WRITE) {
            if pipe.used.load(Ordering::Acquire) < pipe.slots.load(Ordering::Acquire) {
                ready |= Readiness::WRITE;
            }
            if pipe.readers() == 0 {
                ready |= Readiness::ERR;
            }
        }
        ready
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        if self.side.contains(Side::READ) {
            self.pipe.readers.fetch_sub(1, Ordering::AcqRel);
        }
        if self.side.contains(Side::WRITE) {
            self.pipe.writers.fetch_sub(1, Ordering::AcqRel);
        }
        if self.pipe.readers() == 0 && self.pipe.writers() == 0 {
            // A fifo starts empty when it is opened again. Nobody holds the lock for long: nobody has it open.
            if let Some(mut ring) = self.pipe.ring.try_lock() {
                let old = core::mem::take(&mut ring.buffers);
                ring.spare = None;
                self.pipe.publish(&ring);
                drop(ring);
                drop(old);
            }
        }
        self.pipe.queue.wake(Readiness::all());
    }
}

#[cfg(test)]
mod tests;
