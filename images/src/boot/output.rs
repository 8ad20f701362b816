//! Output that must not block the conversation: queues in front of standard output and standard error.

use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

/// What a pipe takes without blocking once it is writable (`PIPE_BUF`).
const SAFE: usize = 4096;

/// One of the tool's output streams.
pub(super) struct Stream {
    fd: BorrowedFd<'static>,
    queue: VecDeque<u8>,
    /// Nobody reads it any more.
    pub(super) closed: bool,
    /// A regular file: it never blocks for long, and never needs polling.
    is_file: bool,
}

impl Stream {
    pub(super) fn new(fd: BorrowedFd<'static>) -> Self {
        let stat = rustix::fs::fstat(fd);
        let is_file = stat.is_ok_and(|s| {
            rustix::fs::FileType::from_raw_mode(s.st_mode) == rustix::fs::FileType::RegularFile
        });
        Self { fd, queue: VecDeque::new(), closed: false, is_file }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'static> {
        self.fd
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes bytes; writes at once what cannot block.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.queue.extend(bytes);
        }
        if self.is_file {
            self.flush();
        }
    }

    /// Writes once; to be called when the stream is writable.
    pub(super) fn write(&mut self) {
        let (front, _) = self.queue.as_slices();
        let len = if self.is_file { front.len() } else { front.len().min(SAFE) };
        if len == 0 {
            return;
        }
        match rustix::io::write(self.fd, &front[..len]) {
            Ok(done) => drop(self.queue.drain(..done)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => {
                self.closed = true;
                self.queue.clear();
            }
        }
    }

    /// Writes everything that waits, blocking.
    pub(super) fn flush(&mut self) {
        use rustix::event::{PollFd, PollFlags, poll};
        while !self.queue.is_empty() {
            if !self.is_file {
                let _ = poll(&mut [PollFd::from_borrowed_fd(self.fd, PollFlags::OUT)], None);
            }
            self.write();
        }
    }
}
