//! The bytes of a stream on their way: a ring of pages, with what travels beside them.
//!
//! One copy in, one copy out, and nothing is allocated for a message but the pages that it fills.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use abi::socket::MsgFlags;
use abi::{Errno, Result};
use hal::{Dest, Frame, PAGE_SIZE, Source};

use super::flight::Rights;
use crate::{Passed, Ucred};

/// One page, or a part of one, that waits to be read.
struct Buffer {
    frame: Frame,
    offset: usize,
    len: usize,
    /// Who wrote it, if anybody asked.
    writer: Option<Ucred>,
    /// Open files that come with its first byte.
    rights: Option<Rights>,
    /// Later writes may go on in it.
    open: bool,
    /// The last of what was written together with open files: a read that took those ends here.
    ends: bool,
    urgency: Urgency,
}

/// Whether a buffer is out of band (`MSG_OOB`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Urgency {
    /// It is not.
    Ordinary,
    /// It holds the urgent byte.
    Urgent,
    /// The urgent byte was read; this says where it was.
    Taken,
}

/// What a read or write of the ring needs to know.
pub(super) struct Reading {
    /// Flags of the call.
    pub(super) flags: MsgFlags,
    /// Bytes of different writers are not mixed (`SO_PASSCRED`).
    pub(super) by_writer: bool,
    /// The urgent byte is one like others (`SO_OOBINLINE`).
    pub(super) inline: bool,
    /// Bytes to pass over when peeking (`SO_PEEK_OFF`).
    pub(super) skip: usize,
}

/// What was read.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) len: usize,
    pub(super) writer: Option<Ucred>,
    pub(super) rights: Vec<Passed>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Ring {
    buffers: VecDeque<Buffer>,
    bytes: usize,
    /// A page that was read empty, kept for the next write.
    spare: Option<Frame>,
}

impl Ring {
    /// Returns how many pages are in use.
    pub(super) fn pages(&self) -> usize {
        self.buffers.len()
    }

    /// Returns how many bytes wait.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Says whether an urgent byte waits.
    pub(super) fn urgent(&self) -> bool {
        self.buffers.iter().any(|b| b.urgency == Urgency::Urgent)
    }

    /// Says whether the urgent byte is the next, or would be if it had not been read.
    pub(super) fn at_mark(&self) -> bool {
        self.buffers.front().is_some_and(|b| b.urgency != Urgency::Ordinary)
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> impl Drop + use<> {
        self.bytes = 0;
        Contents { _buffers: core::mem::take(&mut self.buffers), _spare: self.spare.take() }
    }

    /// Writes as many bytes as fit in `limit` pages. Rights go with the first of them.
    ///
    /// # Errors
    /// `EAGAIN` if there is no room, `ENOBUFS`, `EFAULT`: then nothing was written.
    pub(super) fn write(
        &mut self,
        from: &mut Source<'_>,
        limit: usize,
        writer: Option<Ucred>,
        rights: &mut Option<Rights>,
        urgent: bool,
    ) -> Result<usize> {
        let mut done = 0;
        if rights.is_none()
            && !urgent
            && let Some(last) = self.buffers.back_mut()
            && last.open
            && last.writer == writer
        {
            let end = last.offset + last.len;
            if end < PAGE_SIZE {
                let want = from.remaining().min(PAGE_SIZE - end);
                let copied = from.pull_frame(&last.frame, end, want)?;
                last.len += copied;
                self.bytes += copied;
                done += copied;
                if copied < want {
                    return Ok(done);
                }
            }
        }
        let with_rights = rights.is_some();
        let result = self.fill(from, limit, writer, rights, urgent, &mut done);
        if with_rights
            && rights.is_none()
            && let Some(last) = self.buffers.back_mut()
        {
            last.ends = true;
            last.open = false;
        }
        if done > 0 { Ok(done) } else { result.map(|()| 0) }
    }

    fn fill(
        &mut self,
        from: &mut Source<'_>,
        limit: usize,
        writer: Option<Ucred>,
        rights: &mut Option<Rights>,
        urgent: bool,
        done: &mut usize,
    ) -> Result<()> {
        while from.remaining() > 0 {
            if self.buffers.len() >= limit {
                return Err(Errno::EAGAIN);
            }
            let frame = match self.spare.take() {
                Some(frame) => frame,
                None => Frame::scratch().map_err(|_| Errno::ENOBUFS)?,
            };
            let want = from.remaining().min(PAGE_SIZE);
            let len = match from.pull_frame(&frame, 0, want) {
                Ok(len) => len,
                Err(error) => {
                    self.spare = Some(frame);
                    return Err(error);
                }
            };
            if urgent {
                // Only the latest urgent byte is one.
                self.buffers.iter_mut().for_each(|b| b.urgency = Urgency::Ordinary);
            }
            self.buffers.push_back(Buffer {
                frame,
                offset: 0,
                len,
                writer,
                rights: rights.take(),
                open: !urgent,
                ends: false,
                urgency: if urgent { Urgency::Urgent } else { Urgency::Ordinary },
            });
            self.bytes += len;
            *done += len;
            if len < want {
                return Err(Errno::EFAULT);
            }
        }
        Ok(())
    }

    /// Reads what is there, up to where the room ends, the writer changes, open files were taken, or the urgent byte is.
    ///
    /// # Errors
    /// `EAGAIN` if nothing is there, `EFAULT`
    pub(super) fn read(&mut self, to: &mut Dest<'_>, how: &Reading) -> Result<Taken> {
        let peeks = how.flags.contains(MsgFlags::MSG_PEEK);
        let mut taken = Taken::default();
        let (mut index, mut skip, mut looked) = (0, how.skip, false);
        let mut result = Ok(());
        while let Some(buffer) = self.buffers.get_mut(index) {
            if buffer.urgency != Urgency::Ordinary {
                if looked {
                    break;
                }
                let consumed = buffer.urgency == Urgency::Taken;
                if consumed || !how.inline {
                    // Whoever reads past the mark without having asked for the byte has lost it.
                    if peeks {
                        index += 1;
                    } else if let Some(gone) = self.buffers.pop_front() {
                        self.bytes -= gone.len;
                    }
                    continue;
                }
                if !peeks {
                    buffer.urgency = Urgency::Ordinary;
                }
            }
            if skip >= buffer.len && skip > 0 {
                skip -= buffer.len;
                index += 1;
                continue;
            }
            if how.by_writer && looked && buffer.writer != taken.writer {
                break;
            }
            if !looked {
                taken.writer = buffer.writer;
            }
            looked = true;
            let want = (buffer.len - skip).min(to.remaining());
            let copied = match to.push_frame(&buffer.frame, buffer.offset + skip, want) {
                Ok(copied) => copied,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            };
            taken.len += copied;
            let had_rights = if peeks {
                buffer.rights.as_ref().map(Rights::copy).is_some_and(|list| {
                    taken.rights = list;
                    true
                })
            } else {
                if let Some(rights) = buffer.rights.take() {
                    taken.rights = rights.into_list();
                }
                !taken.rights.is_empty()
            };
            let whole = copied == buffer.len - skip;
            let ends = had_rights && buffer.ends;
            if peeks {
                index += 1;
                skip = 0;
            } else {
                self.bytes -= copied;
                buffer.offset += copied;
                buffer.len -= copied;
                if whole && let Some(gone) = self.buffers.pop_front() {
                    self.spare = Some(gone.frame);
                }
            }
            if !whole || ends || copied < want || to.remaining() == 0 {
                break;
            }
        }
        if taken.len == 0 {
            result?;
        }
        if looked { Ok(taken) } else { Err(Errno::EAGAIN) }
    }

    /// Reads the urgent byte (`MSG_OOB`).
    ///
    /// # Errors
    /// `EINVAL` if there is none, `EFAULT`
    pub(super) fn read_urgent(&mut self, to: &mut Dest<'_>, flags: MsgFlags) -> Result<usize> {
        let buffer = self.buffers.iter_mut().find(|b| b.urgency == Urgency::Urgent).ok_or(Errno::EINVAL)?;
        let len = to.push_frame(&buffer.frame, buffer.offset, 1)?;
        if !flags.contains(MsgFlags::MSG_PEEK) {
            self.bytes -= buffer.len;
            buffer.len = 0;
            buffer.urgency = Urgency::Taken;
        }
        Ok(len)
    }
}

/// What was in a ring.
struct Contents {
    _buffers: VecDeque<Buffer>,
    _spare: Option<Frame>,
}

impl Drop for Contents {
    fn drop(&mut self) {}
}
