//! The only door to the application's memory.

use abi::{Errno, Result};

use crate::{Frame, PAGE_SIZE, UserAddr};

/// A byte is not mapped, not permitted, or could not be brought in; `done` bytes before it were copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Bytes that were copied before the fault.
    pub done: usize,
}

/// Memory of the address space that runs now. Pages come in on demand, so a call may wait for storage.
///
/// # Errors
/// [`Fault`] if a byte is not mapped or not permitted; the bytes before it were copied.
pub trait UserMemory: Send + Sync {
    /// Copies from the application.
    fn copy_in(&self, from: UserAddr, to: &mut [u8]) -> Result<(), Fault>;
    /// Copies to the application.
    fn copy_out(&self, to: UserAddr, from: &[u8]) -> Result<(), Fault>;
    /// Copies `len` bytes at `offset` of a page to the application.
    fn frame_out(&self, to: UserAddr, frame: &Frame, offset: usize, len: usize) -> Result<(), Fault>;
    /// Copies `len` bytes from the application to `offset` of a page.
    fn frame_in(&self, from: UserAddr, frame: &Frame, offset: usize, len: usize) -> Result<(), Fault>;
    /// Sets bytes of the application to zero.
    fn zero(&self, to: UserAddr, len: usize) -> Result<(), Fault>;
    /// Atomically replaces an aligned 32-bit word if it holds `old`; returns what it held. For futexes.
    fn compare_exchange_u32(&self, at: UserAddr, old: u32, new: u32) -> Result<u32, Fault>;
    /// Atomically reads an aligned 32-bit word.
    fn load_u32(&self, at: UserAddr) -> Result<u32, Fault>;
    /// Copies a NUL-terminated string of at most `to.len()` bytes including the NUL; returns its length without
    /// the NUL, or `None` if no NUL was found.
    fn copy_in_string(&self, from: UserAddr, to: &mut [u8]) -> Result<Option<usize>, Fault>;
}

/// A buffer that an application named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserRange {
    /// First byte.
    pub start: UserAddr,
    /// Length in bytes.
    pub len: usize,
}

/// Where a read puts its bytes: a kernel slice, or the application's buffers one after the other.
///
/// It advances as bytes are pushed, and never gives out a reference to the application's memory.
pub struct Dest<'a> {
    to: To<'a>,
    done: usize,
    remaining: usize,
}

enum To<'a> {
    Kernel(&'a mut [u8]),
    User(&'a dyn UserMemory, Cursor<'a>),
}

/// Where a write takes its bytes from; the mirror of [`Dest`]. A clone goes on from the same place by itself.
#[derive(Clone)]
pub struct Source<'a> {
    from: From<'a>,
    done: usize,
    remaining: usize,
}

#[derive(Clone)]
enum From<'a> {
    Kernel(&'a [u8]),
    User(&'a dyn UserMemory, Cursor<'a>),
}

/// A position in a list of ranges: first the one at hand, then the list.
#[derive(Clone)]
struct Cursor<'a> {
    now: UserRange,
    rest: &'a [UserRange],
}

impl<'a> Cursor<'a> {
    const fn one(range: UserRange) -> Self {
        Self { now: range, rest: &[] }
    }

    fn many(ranges: &'a [UserRange]) -> Self {
        match ranges.split_first() {
            Some((&now, rest)) => Self { now, rest },
            None => Self::one(UserRange { start: UserAddr::NULL, len: 0 }),
        }
    }

    /// Copies up to `len` bytes piece by piece; `copy` gets an address, the offset so far, and a length.
    fn copy(
        &mut self,
        len: usize,
        mut copy: impl FnMut(UserAddr, usize, usize) -> Result<(), Fault>,
    ) -> Result<usize> {
        let mut done = 0;
        while done < len {
            while self.now.len == 0 {
                let Some((&now, rest)) = self.rest.split_first() else { return Ok(done) };
                (self.now, self.rest) = (now, rest);
            }
            let piece = self.now.len.min(len - done);
            let (copied, faulted) = match copy(self.now.start, done, piece) {
                Ok(()) => (piece, false),
                Err(fault) => (fault.done, true),
            };
            self.now = UserRange { start: self.now.start.offset(copied as u64), len: self.now.len - copied };
            done += copied;
            if faulted {
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT) };
            }
        }
        Ok(done)
    }
}

/// The methods that move bytes all answer the same way: `Ok(n)` with the number of bytes moved, which is less
/// than asked where the end of the buffer or a fault came first, and `EFAULT` where a fault hit the first byte.
impl<'a> Dest<'a> {
    /// Puts bytes into a slice.
    pub fn kernel(to: &'a mut [u8]) -> Self {
        Self { done: 0, remaining: to.len(), to: To::Kernel(to) }
    }

    /// Puts bytes into one buffer of the application.
    pub fn user(memory: &'a dyn UserMemory, range: UserRange) -> Self {
        Self { to: To::User(memory, Cursor::one(range)), done: 0, remaining: range.len }
    }

    /// Puts bytes into several buffers of the application, in order; their lengths sum to less than `usize::MAX`.
    pub fn user_ranges(memory: &'a dyn UserMemory, ranges: &'a [UserRange]) -> Self {
        let remaining = ranges.iter().map(|r| r.len).sum();
        Self { to: To::User(memory, Cursor::many(ranges)), done: 0, remaining }
    }

    /// Returns how many bytes were put so far.
    pub const fn done(&self) -> usize {
        self.done
    }

    /// Returns how many more bytes fit.
    pub const fn remaining(&self) -> usize {
        self.remaining
    }

    /// Lowers the room left to at most `len` bytes.
    pub fn limit(&mut self, len: usize) {
        self.remaining = self.remaining.min(len);
    }

    /// Puts bytes.
    ///
    /// # Errors
    /// `EFAULT` where the first byte could not be stored.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize> {
        let len = bytes.len().min(self.remaining);
        let copied = match &mut self.to {
            To::Kernel(to) => {
                to[self.done..self.done + len].copy_from_slice(&bytes[..len]);
                len
            }
            To::User(memory, cursor) => {
                cursor.copy(len, |at, offset, piece| memory.copy_out(at, &bytes[offset..offset + piece]))?
            }
        };
        Ok(self.advance(copied))
    }

    /// Puts `len` bytes at `offset` of a page.
    ///
    /// # Errors
    /// `EFAULT` where the first byte could not be stored.
    pub fn push_frame(&mut self, frame: &Frame, offset: usize, len: usize) -> Result<usize> {
        let len = len.min(self.remaining).min(PAGE_SIZE - offset);
        let copied = match &mut self.to {
            To::Kernel(to) => {
                frame.read(offset, &mut to[self.done..self.done + len]);
                len
            }
            To::User(memory, cursor) => {
                cursor.copy(len, |at, skip, piece| memory.frame_out(at, frame, offset + skip, piece))?
            }
        };
        Ok(self.advance(copied))
    }

    /// Puts `len` zeros.
    ///
    /// # Errors
    /// `EFAULT` where the first byte could not be stored.
    pub fn push_zeros(&mut self, len: usize) -> Result<usize> {
        let len = len.min(self.remaining);
        let copied = match &mut self.to {
            To::Kernel(to) => {
                to[self.done..self.done + len].fill(0);
                len
            }
            To::User(memory, cursor) => cursor.copy(len, |at, _, piece| memory.zero(at, piece))?,
        };
        Ok(self.advance(copied))
    }

    fn advance(&mut self, copied: usize) -> usize {
        self.done += copied;
        self.remaining -= copied;
        copied
    }
}

/// The methods that move bytes answer as those of [`Dest`] do.
impl<'a> Source<'a> {
    /// Takes bytes from a slice.
    pub const fn kernel(from: &'a [u8]) -> Self {
        Self { done: 0, remaining: from.len(), from: From::Kernel(from) }
    }

    /// Takes bytes from one buffer of the application.
    pub fn user(memory: &'a dyn UserMemory, range: UserRange) -> Self {
        Self { from: From::User(memory, Cursor::one(range)), done: 0, remaining: range.len }
    }

    /// Takes bytes from several buffers of the application, in order; their lengths sum to less than `usize::MAX`.
    pub fn user_ranges(memory: &'a dyn UserMemory, ranges: &'a [UserRange]) -> Self {
        let remaining = ranges.iter().map(|r| r.len).sum();
        Self { from: From::User(memory, Cursor::many(ranges)), done: 0, remaining }
    }

    /// Returns how many bytes were taken so far.
    pub const fn done(&self) -> usize {
        self.done
    }

    /// Returns how many more bytes there are.
    pub const fn remaining(&self) -> usize {
        self.remaining
    }

    /// Lowers the bytes left to at most `len`.
    pub fn limit(&mut self, len: usize) {
        self.remaining = self.remaining.min(len);
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// `EFAULT` where the first byte could not be read.
    pub fn pull(&mut self, to: &mut [u8]) -> Result<usize> {
        let len = to.len().min(self.remaining);
        let copied = match &mut self.from {
            From::Kernel(from) => {
                to[..len].copy_from_slice(&from[self.done..self.done + len]);
                len
            }
            From::User(memory, cursor) => {
                cursor.copy(len, |at, offset, piece| memory.copy_in(at, &mut to[offset..offset + piece]))?
            }
        };
        Ok(self.advance(copied))
    }

    /// Takes `len` bytes into `offset` of a page.
    ///
    /// # Errors
    /// `EFAULT` where the first byte could not be read.
    pub fn pull_frame(&mut self, frame: &Frame, offset: usize, len: usize) -> Result<usize> {
        let len = len.min(self.remaining).min(PAGE_SIZE - offset);
        let copied = match &mut self.from {
            From::Kernel(from) => {
                frame.write(offset, &from[self.done..self.done + len]);
                len
            }
            From::User(memory, cursor) => {
                cursor.copy(len, |at, skip, piece| memory.frame_in(at, frame, offset + skip, piece))?
            }
        };
        Ok(self.advance(copied))
    }

    fn advance(&mut self, copied: usize) -> usize {
        self.done += copied;
        self.remaining -= copied;
        copied
    }
}
