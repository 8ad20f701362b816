//! Messages on their way: what datagram and seqpacket sockets receive.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use abi::{Errno, Result};
use hal::{Dest, Frame, PAGE_SIZE, Source};

use super::flight::Rights;
use super::side::Side;
use crate::{Passed, Ucred};

/// What managing a message costs beside its bytes, as Linux counts it.
const OVERHEAD: usize = 768;
/// Messages up to this length lie in one piece of the heap, longer ones in pages.
const SMALL: usize = 2048;

/// A message.
pub(super) struct Message {
    payload: Arc<Payload>,
    /// Who sent it.
    pub(super) from: Arc<Side>,
    /// Who wrote it, if anybody asked.
    pub(super) writer: Option<Ucred>,
    /// Open files that come with it.
    pub(super) rights: Option<Rights>,
    /// When it was sent, if anybody asked.
    pub(super) time_ns: Option<u64>,
    /// Of a message that is only looked at: the open files of the one in the queue.
    seen: Vec<Passed>,
}

/// The bytes of a message.
pub(super) enum Payload {
    /// In one piece.
    Small(Vec<u8>),
    /// In pages.
    Pages(Vec<Frame>, usize),
}

impl Payload {
    /// Copies a message in.
    ///
    /// # Errors
    /// `ENOBUFS`, `EFAULT`
    pub(super) fn read(from: &mut Source<'_>) -> Result<Self> {
        let len = from.remaining();
        if len <= SMALL {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(len).map_err(|_| Errno::ENOBUFS)?;
            bytes.resize(len, 0);
            if from.pull(&mut bytes)? < len {
                return Err(Errno::EFAULT);
            }
            return Ok(Self::Small(bytes));
        }
        let mut pages = Vec::new();
        pages.try_reserve_exact(len.div_ceil(PAGE_SIZE)).map_err(|_| Errno::ENOBUFS)?;
        while from.remaining() > 0 {
            let frame = Frame::scratch().map_err(|_| Errno::ENOBUFS)?;
            let want = from.remaining().min(PAGE_SIZE);
            if from.pull_frame(&frame, 0, want)? < want {
                return Err(Errno::EFAULT);
            }
            pages.push(frame);
        }
        Ok(Self::Pages(pages, len))
    }

    /// Returns the length in bytes.
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Pages(_, len) => *len,
        }
    }

    fn write(&self, to: &mut Dest<'_>, skip: usize) -> Result<usize> {
        match self {
            Self::Small(bytes) => to.push(&bytes[skip.min(bytes.len())..]),
            Self::Pages(pages, len) => {
                let (mut at, mut done) = (skip, 0);
                while at < *len && to.remaining() > 0 {
                    let want = (PAGE_SIZE - at % PAGE_SIZE).min(len - at).min(to.remaining());
                    let copied = match to.push_frame(&pages[at / PAGE_SIZE], at % PAGE_SIZE, want) {
                        Err(_) if done > 0 => break,
                        other => other?,
                    };
                    at += copied;
                    done += copied;
                    if copied < want {
                        break;
                    }
                }
                Ok(done)
            }
        }
    }
}

impl Message {
    /// Makes a message.
    pub(super) fn new(payload: Payload, from: Arc<Side>) -> Self {
        let payload = Arc::new(payload);
        Self { payload, from, writer: None, rights: None, time_ns: None, seen: Vec::new() }
    }

    /// Returns the length in bytes.
    pub(super) fn len(&self) -> usize {
        self.payload.len()
    }

    /// Returns what it takes of its sender's buffer.
    pub(super) fn charge(&self) -> usize {
        OVERHEAD + self.payload.len()
    }

    /// Returns a message like this one, which stays where it is (`MSG_PEEK`).
    pub(super) fn look(&self) -> Self {
        Self {
            payload: Arc::clone(&self.payload),
            from: Arc::clone(&self.from),
            writer: self.writer,
            rights: None,
            time_ns: self.time_ns,
            seen: self.rights.as_ref().map(Rights::copy).unwrap_or_default(),
        }
    }

    /// Takes the open files.
    pub(super) fn take_files(&mut self) -> Vec<Passed> {
        self.rights.take().map_or_else(|| core::mem::take(&mut self.seen), Rights::into_list)
    }

    /// Copies the bytes behind the first `skip` out, as many as fit. One that cannot be written makes the message unread.
    ///
    /// # Errors
    /// `EFAULT`
    pub(super) fn write(&self, to: &mut Dest<'_>, skip: usize) -> Result<usize> {
        let want = self.len().saturating_sub(skip).min(to.remaining());
        let copied = self.payload.write(to, skip)?;
        if copied < want { Err(Errno::EFAULT) } else { Ok(copied) }
    }
}

/// Messages that wait, and those who wait for room among them.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) messages: VecDeque<Message>,
    waiting: Vec<Weak<Side>>,
}

impl Inbox {
    /// Notes somebody who is to hear when there is room.
    pub(super) fn wait(&mut self, who: &Arc<Side>) {
        add_waiting(&mut self.waiting, who);
    }

    /// Takes those who wait.
    pub(super) fn take_waiting(&mut self) -> Vec<Weak<Side>> {
        core::mem::take(&mut self.waiting)
    }
}

/// Notes somebody, once, and forgets those who have gone.
pub(super) fn add_waiting(list: &mut Vec<Weak<Side>>, who: &Arc<Side>) {
    let address = Arc::as_ptr(who);
    list.retain(|w| w.strong_count() > 0 && !core::ptr::eq(w.as_ptr(), address));
    list.push(Arc::downgrade(who));
}
