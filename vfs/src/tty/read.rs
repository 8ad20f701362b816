//! From the queue to `read(2)`: lines, or the rules of `VMIN` and `VTIME`.

use alloc::vec::Vec;

use abi::tty::{EXTPROC, ICANON, VEOF, VMIN, VTIME};
use hal::Readiness;

use super::{DISABLED, Line};

/// One read that is under way: what it has seen, for the timers of `VTIME`.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    started_ns: u64,
    seen: usize,
    grown_ns: u64,
}

impl Reading {
    /// Begins a read at a time of the monotonic clock.
    pub const fn new(now_ns: u64) -> Self {
        Self { started_ns: now_ns, seen: 0, grown_ns: now_ns }
    }
}

/// When a read may be completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Now, perhaps with nothing at all.
    Now,
    /// After more input, or at this time of the monotonic clock; a reader that must not wait answers `EAGAIN`.
    Later(Option<u64>),
}

/// Nanoseconds in the unit of `VTIME`.
const TENTH_NS: u64 = 100_000_000;

impl Line {
    fn minimum_and_time(&self) -> (usize, u64) {
        (usize::from(self.termios.c_cc[VMIN]), u64::from(self.termios.c_cc[VTIME]) * TENTH_NS)
    }

    /// Says when a read of up to `room` bytes may be completed. A reader that waits asks again with the same `reading`
    /// whenever there is input, or at the time that was said.
    pub fn when(&self, reading: &mut Reading, room: usize, now_ns: u64) -> When {
        let there = self.queue.len();
        if self.by_lines() {
            return if self.complete > 0 || room == 0 { When::Now } else { When::Later(None) };
        }
        let (minimum, time) = self.minimum_and_time();
        if there > reading.seen {
            (reading.seen, reading.grown_ns) = (there, now_ns);
        }
        if there >= minimum.min(room).max(1) || room == 0 {
            return When::Now;
        }
        let deadline = match (minimum, time) {
            (0, 0) => return When::Now,
            (0, time) => reading.started_ns.saturating_add(time),
            (_, 0) => return When::Later(None),
            // The timer runs between bytes: it starts with the first.
            _ if there == 0 => return When::Later(None),
            (_, time) => reading.grown_ns.saturating_add(time),
        };
        if now_ns >= deadline { When::Now } else { When::Later(Some(deadline)) }
    }

    /// Says whether a read that must not wait answers `EAGAIN`.
    pub fn would_block(&self) -> bool {
        let nothing = if self.by_lines() { self.complete == 0 } else { self.queue.is_empty() };
        nothing && (self.by_lines() || self.minimum_and_time() != (0, 0))
    }

    /// Takes up to `room` bytes, one line at most; does not wait for `VMIN`. Empty where a line of no bytes ends the file,
    /// and where nothing is there.
    pub fn take(&mut self, room: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        if room == 0 {
            return bytes;
        }
        if !self.by_lines() {
            let count = room.min(self.queue.len());
            bytes.extend(self.queue.drain(..count).map(|queued| queued.byte));
            self.complete = self.complete.saturating_sub(count);
            // With the editing done elsewhere, the end of the file comes as its character.
            let alone = self.local(EXTPROC) && self.local(ICANON) && self.queue.is_empty();
            if alone && bytes.first().copied() == self.control(VEOF) && bytes.len() == 1 {
                bytes.clear();
            }
            return bytes;
        }
        while self.complete > 0 {
            let Some(&next) = self.queue.front() else { break };
            let end_of_file = next.end && next.byte == DISABLED;
            if bytes.len() == room && !end_of_file {
                break;
            }
            self.queue.pop_front();
            self.complete -= 1;
            if !end_of_file {
                bytes.push(next.byte);
            }
            if next.end {
                break;
            }
        }
        bytes
    }

    /// Returns how many bytes wait (`FIONREAD`).
    pub fn waiting(&self) -> usize {
        if !self.by_lines() {
            return self.queue.len();
        }
        let line = self.queue.iter().take(self.complete);
        line.filter(|queued| !(queued.end && queued.byte == DISABLED)).count()
    }

    /// Returns whether reading makes sense, for `poll(2)`.
    pub fn read_readiness(&self) -> Readiness {
        let ready = if self.by_lines() {
            self.complete > 0
        } else {
            let (minimum, time) = self.minimum_and_time();
            self.queue.len() >= if time == 0 { minimum.max(1) } else { 1 }
        };
        if ready { Readiness::READ } else { Readiness::empty() }
    }
}
