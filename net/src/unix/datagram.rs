//! Messages of datagram and seqpacket sockets.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::socket::MsgFlags;
use abi::{Errno, Result};
use hal::{Dest, Readiness, Source};

use super::UnixSocket;
use super::flight::Rights;
use super::inbox::{Message, Payload};
use super::side::{Phase, Side, wake_waiting};
use super::socket::sender_name;
use crate::{Address, Incoming, Outgoing, UnixName};

/// What of a buffer no message may use.
const RESERVED: usize = 32;

impl UnixSocket {
    /// Connects a datagram socket with another, or with none.
    pub(super) fn connect_datagram(&self, name: Option<&UnixName>) -> Result<()> {
        let side = self.side();
        let other = match name {
            None => None,
            Some(name) => {
                self.name_for_credentials()?;
                let other = self.domain.find(name, side.common.kind)?;
                if !may_send_to(side, &other) {
                    return Err(Errno::EPERM);
                }
                Some(other)
            }
        };
        side.set_phase(if other.is_some() { Phase::Connected } else { Phase::Closed });
        side.peer.store(other.as_ref().map_or(0, |o| o.id()), Ordering::SeqCst);
        let old = core::mem::replace(&mut *self.peer.lock(), other.clone());
        if let Some(old) = old
            && other.is_none_or(|other| !Arc::ptr_eq(&old, &other))
        {
            self.disconnected(&old);
        }
        // Who waited for the old peer's room looks again.
        side.queue.wake(Readiness::WRITE);
        Ok(())
    }

    /// Parts from a peer: what it has sent is gone, and it hears of it.
    fn disconnected(&self, old: &Side) {
        let side = self.side();
        if side.has_input() {
            side.discard();
            if !old.is_closed() && old.peer.load(Ordering::SeqCst) == side.id() {
                old.common.set_error(Errno::ECONNRESET);
                old.queue.wake(Readiness::all());
            }
        }
    }

    /// Sends a message, whole or not at all.
    pub(super) fn send_message(&self, from: &mut Source<'_>, message: &mut Outgoing<'_>) -> Result<usize> {
        let side = self.side();
        let common = &side.common;
        if !self.is_datagram() {
            common.check_error()?;
            if side.phase() != Phase::Connected {
                return Err(Errno::ENOTCONN);
            }
        }
        if message.flags.contains(MsgFlags::MSG_OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let name = match message.to {
            Some(Address::Unix(name)) if self.is_datagram() => Some(name),
            Some(_) if self.is_datagram() => return Err(Errno::EINVAL),
            _ => None,
        };
        let peer = self.other();
        if name.is_none() && peer.is_none() {
            return Err(Errno::ENOTCONN);
        }
        self.name_for_credentials()?;
        let len = from.remaining();
        let buffer = common.send_buffer.load(Ordering::Relaxed) as usize;
        if len > buffer.saturating_sub(RESERVED) {
            return Err(Errno::EMSGSIZE);
        }
        common.check_error()?;
        if common.write_ended() {
            return Err(Errno::EPIPE);
        }
        if side.sent.load(Ordering::Acquire) >= buffer {
            return Err(Errno::EAGAIN);
        }
        let other = match name {
            Some(name) => self.domain.find(name, common.kind)?,
            None => peer.ok_or(Errno::ENOTCONN)?,
        };
        self.check_target(&other)?;
        let mut source = from.clone();
        // A message that finds no room is not even copied.
        if self.is_blocked(&other) {
            return Err(Errno::EAGAIN);
        }
        let payload = Payload::read(&mut source)?;
        let mut new = Message::new(payload, Arc::clone(side));
        new.writer = self.writer(&other, message);
        if other.common.timestamps.load(Ordering::Relaxed) != 0 {
            new.time_ns = Some(self.domain.environment.clock.realtime_ns());
        }
        let user = message.ancillary.credentials.map_or(message.sender.uid, |who| who.uid);
        let files = core::mem::take(&mut message.ancillary.rights);
        new.rights = Rights::new(&self.domain, files, user, &other);
        let mut new = Some(new);
        if let Err(errno) = self.deliver(&other, &mut new) {
            let rights = new.and_then(|back| back.rights);
            message.ancillary.rights = rights.map(Rights::into_list).unwrap_or_default();
            return Err(errno);
        }
        from.clone_from(&source);
        other.queue.wake(Readiness::READ);
        Ok(len)
    }

    /// Checks that the target takes messages from this socket.
    fn check_target(&self, other: &Arc<Side>) -> Result<()> {
        let side = self.side();
        if !may_send_to(side, other) {
            return Err(Errno::EPERM);
        }
        if other.is_closed() {
            if !self.is_datagram() {
                return Err(Errno::EPIPE);
            }
            // A peer that has gone is a peer no more.
            let gone = {
                let mut peer = self.peer.lock();
                if peer.as_ref().is_some_and(|p| Arc::ptr_eq(p, other)) { peer.take() } else { None }
            };
            if let Some(gone) = gone {
                side.peer.store(0, Ordering::SeqCst);
                side.set_phase(Phase::Closed);
                self.disconnected(&gone);
            }
            return Err(Errno::ECONNREFUSED);
        }
        if other.common.read_ended() { Err(Errno::EPIPE) } else { Ok(()) }
    }

    /// Says whether the target has too many messages; it will tell when it has room.
    fn is_blocked(&self, other: &Arc<Side>) -> bool {
        let side = self.side();
        let unlimited = Arc::ptr_eq(other, side) || other.peer.load(Ordering::SeqCst) == side.id();
        if unlimited || !other.is_full() {
            return false;
        }
        let mut inbox = other.inbox.lock();
        inbox.wait(side);
        inbox.messages.len() > super::side::QUEUE_MAX
    }

    /// Puts a message into the target's queue, or leaves it where it is.
    fn deliver(&self, other: &Arc<Side>, message: &mut Option<Message>) -> Result<()> {
        let side = self.side();
        let unlimited = Arc::ptr_eq(other, side) || other.peer.load(Ordering::SeqCst) == side.id();
        let mut inbox = other.inbox.lock();
        if other.is_closed() {
            return Err(if self.is_datagram() { Errno::ECONNREFUSED } else { Errno::EPIPE });
        }
        if !unlimited && inbox.messages.len() > super::side::QUEUE_MAX {
            inbox.wait(side);
            return Err(Errno::EAGAIN);
        }
        if let Some(message) = message.take() {
            side.sent.fetch_add(message.charge(), Ordering::AcqRel);
            inbox.messages.push_back(message);
        }
        other.messages.store(inbox.messages.len(), Ordering::Release);
        Ok(())
    }

    /// Receives a message.
    pub(super) fn receive_message(&self, to: &mut Dest<'_>, flags: MsgFlags) -> Result<Incoming> {
        let side = self.side();
        let common = &side.common;
        if !self.is_datagram() && side.phase() != Phase::Connected {
            return Err(Errno::ENOTCONN);
        }
        if flags.contains(MsgFlags::MSG_OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let ended = common.read_ended();
        common.check_error()?;
        let peeks = flags.contains(MsgFlags::MSG_PEEK);
        let offset = common.peek_offset.load(Ordering::Relaxed);
        let skip = if peeks { usize::try_from(offset).unwrap_or(0) } else { 0 };
        let Some((message, skip)) = self.take(peeks, skip) else {
            // LINUX: a datagram socket that does not wait learns nothing of the end.
            let told = ended && (!self.is_datagram() || !flags.contains(MsgFlags::MSG_DONTWAIT));
            return if told { Ok(Incoming::default()) } else { Err(Errno::EAGAIN) };
        };
        self.hand_over(to, flags, message, skip)
    }

    /// Takes the next message, or looks at the first that holds the byte behind `skip`.
    fn take(&self, peeks: bool, mut skip: usize) -> Option<(Message, usize)> {
        let side = self.side();
        let mut inbox = side.inbox.lock();
        if peeks {
            let mut index = 0;
            while skip > 0 && inbox.messages.get(index).is_some_and(|m| skip >= m.len()) {
                skip -= inbox.messages.get(index).map_or(0, Message::len);
                index += 1;
            }
            return inbox.messages.get(index).map(|m| (m.look(), skip));
        }
        let message = inbox.messages.pop_front()?;
        side.messages.store(inbox.messages.len(), Ordering::Release);
        let full = inbox.messages.len() > super::side::QUEUE_MAX;
        let waiting = if full { alloc::vec::Vec::new() } else { inbox.take_waiting() };
        drop(inbox);
        message.from.uncharge(message.charge());
        wake_waiting(&waiting);
        Some((message, skip))
    }

    fn hand_over(
        &self,
        to: &mut Dest<'_>,
        flags: MsgFlags,
        mut message: Message,
        skip: usize,
    ) -> Result<Incoming> {
        let common = &self.side().common;
        let offset = common.peek_offset.load(Ordering::Relaxed);
        let (room, whole) = (to.remaining(), message.len() - skip.min(message.len()));
        message.write(to, skip)?;
        let peeks = flags.contains(MsgFlags::MSG_PEEK);
        let copied = whole.min(room);
        if offset >= 0 {
            let move_by = |len: usize| i32::try_from(len).unwrap_or(i32::MAX);
            let moved = if peeks {
                offset.saturating_add(move_by(copied))
            } else {
                (offset - move_by(message.len())).max(0)
            };
            common.peek_offset.store(moved, Ordering::Relaxed);
        }
        let mut incoming = Incoming { len: copied, from: sender_name(&message.from), ..Incoming::default() };
        if whole > room {
            incoming.flags |= MsgFlags::MSG_TRUNC;
            if flags.contains(MsgFlags::MSG_TRUNC) {
                incoming.len = whole;
            }
        }
        if let Some(ns) = message.time_ns.filter(|_| common.timestamps.load(Ordering::Relaxed) != 0) {
            incoming.ancillary.time_ns = Some(ns);
            common.last_time_ns.store(ns, Ordering::Relaxed);
        }
        incoming.ancillary.credentials = self.credentials(message.writer);
        incoming.ancillary.rights = message.take_files();
        Ok(incoming)
    }
}

/// Says whether a socket may send to another: one that has a peer hears only that.
fn may_send_to(side: &Side, other: &Side) -> bool {
    let peer = other.peer.load(Ordering::SeqCst);
    peer == 0 || peer == side.id()
}
