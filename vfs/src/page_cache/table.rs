//! Which pages are in memory or on their way, in which order they go, and how far to read ahead.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::Frame;
use hashbrown::HashMap;

use super::Load;

/// Pages that a miss reads that follows no other.
const WINDOW_MIN: u64 = 4;
/// Pages that a miss reads at most.
const WINDOW_MAX: u64 = 32;
/// Readers that are told apart.
const STREAMS: usize = 8;

enum Slot {
    Here { frame: Frame, used: bool },
    Coming(Arc<Load>),
}

/// What is known of a page.
pub(super) enum Found {
    Here(Frame),
    Coming(Arc<Load>),
    Absent,
}

/// Misses that follow each other.
#[derive(Clone, Copy, Default)]
struct Stream {
    /// The page behind the last one that was read.
    next: u64,
    /// How many pages the last miss read.
    window: u64,
}

#[derive(Default)]
pub(super) struct Table {
    slots: HashMap<u64, Slot>,
    /// The pages that are here, the next to be looked at first.
    order: VecDeque<u64>,
    streams: [Stream; STREAMS],
    /// The stream that was made last.
    newest: usize,
}

impl Table {
    pub(super) fn len(&self) -> u64 {
        self.order.len() as u64
    }

    pub(super) fn find(&mut self, index: u64) -> Found {
        match self.slots.get_mut(&index) {
            Some(Slot::Here { frame, used }) => {
                *used = true;
                Found::Here(frame.clone())
            }
            Some(Slot::Coming(load)) => Found::Coming(Arc::clone(load)),
            None => Found::Absent,
        }
    }

    fn stream(&self, index: u64) -> Option<usize> {
        self.streams.iter().position(|s| s.window > 0 && (s.next..=s.next + s.window).contains(&index))
    }

    /// Returns how many pages a miss should read.
    pub(super) fn window(&self, index: u64) -> u64 {
        self.stream(index).map_or(WINDOW_MIN, |stream| (self.streams[stream].window * 2).min(WINDOW_MAX))
    }

    /// Remembers that a miss reads so many pages. Not done by those who come second with the same miss, which would
    /// look like a reader that does not go on.
    pub(super) fn note(&mut self, index: u64, window: u64, count: u64) {
        let stream = self.stream(index).unwrap_or_else(|| {
            self.newest = (self.newest + 1) % STREAMS;
            self.newest
        });
        self.streams[stream] = Stream { next: index + count, window };
    }

    /// Notes that up to `count` pages are on their way; returns how many from the first one on are not known yet.
    pub(super) fn begin(&mut self, first: u64, count: u64, load: &Arc<Load>) -> u64 {
        let mut begun = 0;
        while begun < count && !self.slots.contains_key(&(first + begun)) {
            self.slots.insert(first + begun, Slot::Coming(Arc::clone(load)));
            begun += 1;
        }
        begun
    }

    /// Notes that pages are here. The first one was asked for.
    pub(super) fn complete(&mut self, first: u64, frames: Vec<Frame>) {
        for (index, frame) in (first..).zip(frames) {
            self.slots.insert(index, Slot::Here { frame, used: index == first });
            self.order.push_back(index);
        }
    }

    /// Notes that pages do not come.
    pub(super) fn abandon(&mut self, first: u64, count: u64) {
        for index in first..first + count {
            self.slots.remove(&index);
        }
    }

    /// Takes out up to `count` pages that nobody else holds, with so many looks; the caller drops them without the lock.
    pub(super) fn evict(&mut self, count: usize, looks: u64) -> Vec<Frame> {
        let mut evicted = Vec::new();
        for _ in 0..looks {
            if evicted.len() == count {
                break;
            }
            let Some(index) = self.order.pop_front() else { break };
            match self.slots.get_mut(&index) {
                Some(Slot::Here { frame, used }) if *used || frame.references() > 1 => {
                    *used = false;
                    self.order.push_back(index);
                }
                Some(Slot::Here { .. }) => {
                    if let Some(Slot::Here { frame, .. }) = self.slots.remove(&index) {
                        evicted.push(frame);
                    }
                }
                _ => {}
            }
        }
        evicted
    }
}
