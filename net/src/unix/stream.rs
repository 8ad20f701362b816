//! Bytes of streams.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::socket::MsgFlags;
use abi::{Errno, Result};
use hal::{Dest, Readiness, Source};

use super::UnixSocket;
use super::flight::Rights;
use super::ring::Reading;
use super::side::{Phase, Side};
use super::socket::sender_name;
use crate::{Incoming, Outgoing};

impl UnixSocket {
    /// Says whether there is room enough for a sender to be woken.
    pub(super) fn has_room(&self) -> bool {
        let side = self.side();
        if side.is_stream() {
            return self.link().is_none_or(|other| may_write(side, other));
        }
        if !side.may_send() {
            return false;
        }
        if !self.is_datagram() {
            return true;
        }
        let Some(other) = self.other() else { return true };
        if Arc::ptr_eq(&other, side) || other.peer.load(Ordering::SeqCst) == side.id() || !other.is_full() {
            return true;
        }
        // Whoever asks wants to hear when there is room.
        other.inbox.lock().wait(side);
        !other.is_full()
    }

    /// Sends a part of a stream.
    #[inline]
    pub(super) fn send_stream(&self, from: &mut Source<'_>, message: &mut Outgoing<'_>) -> Result<usize> {
        let side = self.side();
        if message.to.is_some() {
            let connected = side.phase() == Phase::Connected;
            return Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP });
        }
        let Some(other) = self.link() else { return Err(Errno::ENOTCONN) };
        if side.common.write_ended() {
            return Err(Errno::EPIPE);
        }
        if from.remaining() == 0 {
            return Ok(0);
        }
        side.common.check_error()?;
        if other.is_closed() || other.common.read_ended() {
            return Err(Errno::EPIPE);
        }
        let writer = self.writer(other, message);
        let files = core::mem::take(&mut message.ancillary.rights);
        let user = message.ancillary.credentials.map_or(message.sender.uid, |who| who.uid);
        let mut rights = Rights::new(&self.domain, files, user, other);
        let limit = side.page_limit();
        let mut ring = other.ring.lock();
        let urgent = message.flags.contains(MsgFlags::MSG_OOB);
        let result = if urgent {
            // The last byte is the urgent one, and stands alone.
            let len = from.remaining();
            let mut done = 0;
            let mut result = Ok(0);
            if len > 1 {
                let mut ordinary = from.clone();
                ordinary.limit(len - 1);
                result = ring.write(&mut ordinary, limit, writer, &mut rights, false);
                done = *result.as_ref().unwrap_or(&0);
                skip(from, done);
            }
            if result.is_ok() && done == len - 1 {
                result = ring.write(from, limit, writer, &mut rights, true).map(|one| done + one);
            }
            if done > 0 { Ok(result.unwrap_or(done)) } else { result }
        } else {
            ring.write(from, limit, writer, &mut rights, false)
        };
        if urgent {
            other.urgent.store(ring.urgent(), Ordering::Release);
        }
        other.publish(&ring);
        drop(ring);
        if let Some(rights) = rights {
            // Nothing was written: they go with the next try.
            message.ancillary.rights = rights.into_list();
        }
        let done = result?;
        if other.is_closed() {
            // It was closed meanwhile, and did not see these bytes.
            other.discard();
        }
        other.queue.wake(if urgent { Readiness::READ | Readiness::PRI } else { Readiness::READ });
        Ok(done)
    }

    /// Receives a part of a stream.
    #[inline]
    pub(super) fn receive_stream(&self, to: &mut Dest<'_>, flags: MsgFlags) -> Result<Incoming> {
        let side = self.side();
        let Some(other) = self.link() else { return Err(Errno::EINVAL) };
        if flags.contains(MsgFlags::MSG_OOB) {
            return self.receive_urgent(to, flags);
        }
        // Looked at first: what is written before the end is read before it.
        let ended = side.common.read_ended();
        let common = &side.common;
        let peeks = flags.contains(MsgFlags::MSG_PEEK);
        let offset = common.peek_offset.load(Ordering::Relaxed);
        let how = Reading {
            flags,
            by_writer: common.is(&common.pass_credentials),
            inline: common.is(&common.oob_inline),
            skip: if peeks { usize::try_from(offset).unwrap_or(0) } else { 0 },
        };
        let mut ring = side.ring.lock();
        let result = ring.read(to, &how);
        if !peeks {
            side.publish(&ring);
            if side.urgent.load(Ordering::Acquire) {
                side.urgent.store(ring.urgent(), Ordering::Release);
            }
        }
        drop(ring);
        let taken = match result {
            Err(Errno::EAGAIN) => {
                common.check_error()?;
                return if ended { Ok(Incoming::default()) } else { Err(Errno::EAGAIN) };
            }
            other => other?,
        };
        if offset >= 0 {
            let len = i32::try_from(taken.len).unwrap_or(i32::MAX);
            let moved = if peeks { offset.saturating_add(len) } else { (offset - len).max(0) };
            common.peek_offset.store(moved, Ordering::Relaxed);
        }
        if !peeks && may_write(other, side) {
            other.queue.wake(Readiness::WRITE);
        }
        let mut incoming = Incoming { len: taken.len, from: sender_name(other), ..Incoming::default() };
        incoming.ancillary.rights = taken.rights;
        incoming.ancillary.credentials = self.credentials(taken.writer);
        Ok(incoming)
    }

    fn receive_urgent(&self, to: &mut Dest<'_>, flags: MsgFlags) -> Result<Incoming> {
        let side = self.side();
        if side.common.is(&side.common.oob_inline) {
            return Err(Errno::EINVAL);
        }
        let mut ring = side.ring.lock();
        let len = ring.read_urgent(to, flags)?;
        side.publish(&ring);
        side.urgent.store(ring.urgent(), Ordering::Release);
        drop(ring);
        Ok(Incoming { len, flags: MsgFlags::MSG_OOB, ..Incoming::default() })
    }
}

/// Says whether a quarter of what `side` may keep in the other's ring is in use at most.
fn may_write(side: &Side, other: &Side) -> bool {
    let pages = other.pages.load(Ordering::Acquire);
    // A ring of few pages takes more as soon as it is empty.
    pages * 4 <= side.page_limit() || pages == 0
}

/// Passes over bytes that another cursor has taken.
fn skip(from: &mut Source<'_>, len: usize) {
    let mut scrap = [0; 64];
    let mut left = len;
    while left > 0 {
        let part = left.min(scrap.len());
        match from.pull(&mut scrap[..part]) {
            Ok(taken) if taken > 0 => left -= taken,
            _ => return,
        }
    }
}
