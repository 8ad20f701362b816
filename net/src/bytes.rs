//! Bytes of a stream on their way, in pages.
//!
//! Pages are filled from the application and emptied to it outside the stream's lock, because such a copy may wait: a
//! writer gathers pages in a [`Batch`] and appends them, a reader takes pieces off and puts back what did not fit. An
//! empty queue holds no page.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use abi::{Errno, Result};
use hal::{Dest, Frame, PAGE_SIZE, Source};

/// A part of a page.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    frame: Frame,
    start: usize,
    end: usize,
}

impl Piece {
    /// Returns the number of bytes.
    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Says whether there is nothing in it.
    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Puts the bytes where the reader wants them; what did not fit stays.
    ///
    /// # Errors
    /// `EFAULT` if the first byte could not be stored.
    pub(crate) fn push_to(&mut self, to: &mut Dest<'_>) -> Result<usize> {
        let moved = to.push_frame(&self.frame, self.start, self.len())?;
        self.start += moved;
        Ok(moved)
    }
}

/// A queue of bytes.
#[derive(Default, Debug)]
pub(crate) struct Bytes {
    pieces: VecDeque<Piece>,
    len: usize,
}

impl Bytes {
    /// Returns the number of bytes.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Says whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends bytes, in the last page as far as they fit.
    ///
    /// # Errors
    /// `ENOBUFS` if there is no memory; nothing was appended then.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        let spare = self.pieces.back().map_or(0, |last| PAGE_SIZE - last.end);
        let pages = bytes.len().saturating_sub(spare).div_ceil(PAGE_SIZE);
        let mut fresh = Vec::new();
        for _ in 0..pages {
            fresh.push(Frame::scratch().map_err(|_| Errno::ENOBUFS)?);
        }
        if let Some(last) = self.pieces.back_mut() {
            let now = bytes.len().min(PAGE_SIZE - last.end);
            last.frame.write(last.end, &bytes[..now]);
            last.end += now;
            self.len += now;
            bytes = &bytes[now..];
        }
        for frame in fresh {
            let now = bytes.len().min(PAGE_SIZE);
            frame.write(0, &bytes[..now]);
            self.pieces.push_back(Piece { frame, start: 0, end: now });
            self.len += now;
            bytes = &bytes[now..];
        }
        Ok(())
    }

    /// Appends what a batch gathered.
    pub(crate) fn append_batch(&mut self, batch: Batch) {
        for piece in batch.pieces {
            self.len += piece.len();
            match self.pieces.back_mut() {
                // The batch began in the room behind the last byte.
                Some(last) if last.frame == piece.frame && last.end == piece.start => last.end = piece.end,
                _ => self.pieces.push_back(piece),
            }
        }
    }

    /// Copies bytes out, from `offset` on; they stay. The range lies within the queue.
    pub(crate) fn copy_out(&self, offset: usize, to: &mut [u8]) {
        let (mut skip, mut done) = (offset, 0);
        for piece in &self.pieces {
            if done == to.len() {
                break;
            }
            if skip >= piece.len() {
                skip -= piece.len();
                continue;
            }
            let now = (piece.len() - skip).min(to.len() - done);
            piece.frame.read(piece.start + skip, &mut to[done..done + now]);
            (skip, done) = (0, done + now);
        }
    }

    /// Drops bytes from the front.
    pub(crate) fn consume(&mut self, mut len: usize) {
        len = len.min(self.len);
        self.len -= len;
        while len > 0
            && let Some(front) = self.pieces.front_mut()
        {
            let now = front.len().min(len);
            front.start += now;
            len -= now;
            if front.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    /// Takes the first piece off, cut to `most` bytes.
    pub(crate) fn take_piece(&mut self, most: usize) -> Option<Piece> {
        let front = self.pieces.front_mut()?;
        if front.len() <= most {
            let piece = self.pieces.pop_front()?;
            self.len -= piece.len();
            return Some(piece);
        }
        let piece = Piece { frame: front.frame.clone(), start: front.start, end: front.start + most };
        front.start += most;
        self.len -= most;
        Some(piece)
    }

    /// Puts a piece back to the front.
    pub(crate) fn put_back(&mut self, piece: Piece) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push_front(piece);
        }
    }

    /// Returns the pieces that hold up to `len` bytes from `offset` on, without taking them.
    pub(crate) fn peek(&self, offset: usize, len: usize) -> Vec<Piece> {
        let (mut skip, mut left) = (offset, len);
        let mut found = Vec::new();
        for piece in &self.pieces {
            if left == 0 {
                break;
            }
            if skip >= piece.len() {
                skip -= piece.len();
                continue;
            }
            let now = (piece.len() - skip).min(left);
            let start = piece.start + skip;
            found.push(Piece { frame: piece.frame.clone(), start, end: start + now });
            (skip, left) = (0, left - now);
        }
        found
    }

    /// Drops bytes from the end.
    pub(crate) fn truncate(&mut self, len: usize) {
        while self.len > len
            && let Some(last) = self.pieces.back_mut()
        {
            let now = (self.len - len).min(last.len());
            last.end -= now;
            self.len -= now;
            if last.is_empty() {
                self.pieces.pop_back();
            }
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the last page and where its room begins, for a [`Batch`] to go on there.
    pub(crate) fn tail(&self) -> Option<(Frame, usize)> {
        let last = self.pieces.back()?;
        (last.end < PAGE_SIZE).then(|| (last.frame.clone(), last.end))
    }
}

/// Pages filled from the application, to be appended to a stream.
///
/// Only one writer at a time gathers for a stream (see the stream's writer lock): it may then fill the room behind the
/// stream's last byte, which nobody else looks at.
#[derive(Default, Debug)]
pub(crate) struct Batch {
    pieces: Vec<Piece>,
    len: usize,
}

impl Batch {
    /// Takes up to `most` bytes from a source; `tail` is what [`Bytes::tail`] answered. The copy may wait.
    ///
    /// # Errors
    /// `EFAULT` if the first byte could not be read, `ENOBUFS` if there is no memory and nothing was taken.
    pub(crate) fn gather(from: &mut Source<'_>, most: usize, tail: Option<(Frame, usize)>) -> Result<Self> {
        let mut batch = Self::default();
        let most = most.min(from.remaining());
        if let Some((frame, end)) = tail {
            batch.fill(from, most, frame, end)?;
        }
        while batch.len < most {
            let Ok(frame) = Frame::scratch() else {
                return if batch.len > 0 { Ok(batch) } else { Err(Errno::ENOBUFS) };
            };
            match batch.fill(from, most, frame, 0) {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) if batch.len > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(batch)
    }

    fn fill(&mut self, from: &mut Source<'_>, most: usize, frame: Frame, start: usize) -> Result<usize> {
        let want = (most - self.len).min(PAGE_SIZE - start);
        let mut end = start;
        while end < start + want {
            match from.pull_frame(&frame, end, start + want - end) {
                Ok(0) => break,
                Ok(moved) => end += moved,
                Err(_) if end > start => break,
                Err(errno) => return Err(errno),
            }
        }
        self.len += end - start;
        if end > start {
            self.pieces.push(Piece { frame, start, end });
        }
        Ok(end - start)
    }

    /// Returns the number of bytes.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut queue = Bytes::default();
        let all: Vec<u8> = (0..20_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        queue.append(&all[..5000]).unwrap();
        queue.append(&all[5000..5001]).unwrap();
        let mut source = Source::kernel(&all[5001..]);
        let tail = queue.tail();
        let batch = Batch::gather(&mut source, usize::MAX, tail).unwrap();
        queue.append_batch(batch);
        assert_eq!(queue.len(), all.len());
        let mut middle = vec![0; 9000];
        queue.copy_out(4000, &mut middle);
        assert_eq!(middle, all[4000..13_000]);
        queue.consume(4100);
        let mut out = vec![0; 100];
        let mut piece = queue.take_piece(4096).unwrap();
        let moved = piece.push_to(&mut Dest::kernel(&mut out)).unwrap();
        assert_eq!((moved, &out[..]), (100, &all[4100..4200]));
        queue.put_back(piece);
        assert_eq!(queue.len(), all.len() - 4200);
        let peeked: usize = queue.peek(10_000, 3000).iter().map(Piece::len).sum();
        assert_eq!(peeked, 3000);
        queue.consume(usize::MAX);
        assert!(queue.is_empty() && queue.tail().is_none());
    }
}
