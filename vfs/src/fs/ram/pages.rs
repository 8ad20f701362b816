//! The frames of one file, by page number.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use hal::{Frame, PAGE_SIZE};

/// Pages under one key: small enough for small files, large enough that sequential access stays in one.
const CHUNK: usize = 32;

type Chunk = Box<[Option<Frame>; CHUNK]>;

/// Frames that exist; what is absent is a hole, or the lower file's.
#[derive(Default)]
pub(super) struct Pages {
    chunks: BTreeMap<u64, Chunk>,
    count: u64,
    /// Size of the file in bytes.
    pub(super) size: u64,
    /// Bytes of the lower file that show where a page is absent: a multiple of the page size, or the file's size.
    pub(super) lower_len: u64,
}

/// Splits a page number.
const fn split(index: u64) -> (u64, usize) {
    #[expect(clippy::cast_possible_truncation, reason = "a remainder below CHUNK")]
    (index / CHUNK as u64, (index % CHUNK as u64) as usize)
}

impl Pages {
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    #[inline]
    pub(super) fn get(&self, index: u64) -> Option<&Frame> {
        let (key, at) = split(index);
        self.chunks.get(&key)?[at].as_ref()
    }

    /// Puts a frame where none is.
    pub(super) fn insert(&mut self, index: u64, frame: Frame) {
        let (key, at) = split(index);
        let chunk = self.chunks.entry(key).or_insert_with(|| Box::new([const { None }; CHUNK]));
        if chunk[at].replace(frame).is_none() {
            self.count += 1;
        }
    }

    /// Takes the frames of pages `first..end` out; the caller drops them without the lock.
    pub(super) fn remove(&mut self, first: u64, end: u64) -> Vec<Frame> {
        let mut gone = Vec::new();
        if first >= end {
            return gone;
        }
        let (first_key, last_key) = (split(first).0, split(end - 1).0);
        let keys: Vec<u64> = self.chunks.range(first_key..=last_key).map(|(&key, _)| key).collect();
        for key in keys {
            let Some(chunk) = self.chunks.get_mut(&key) else { continue };
            for (at, slot) in chunk.iter_mut().enumerate() {
                let index = key * CHUNK as u64 + at as u64;
                if (first..end).contains(&index)
                    && let Some(frame) = slot.take()
                {
                    gone.push(frame);
                }
            }
            if chunk.iter().all(Option::is_none) {
                self.chunks.remove(&key);
            }
        }
        self.count -= gone.len() as u64;
        gone
    }

    /// Returns the first page from `from` on that exists.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        for (&key, chunk) in self.chunks.range(split(from).0..) {
            for (at, slot) in chunk.iter().enumerate() {
                let index = key * CHUNK as u64 + at as u64;
                if slot.is_some() && index >= from {
                    return Some(index);
                }
            }
        }
        None
    }

    /// Says whether a page shows the lower file's.
    #[inline]
    pub(super) const fn is_lower(&self, index: u64) -> bool {
        match index.checked_mul(PAGE_SIZE as u64) {
            Some(start) => start < self.lower_len,
            None => false,
        }
    }
}
