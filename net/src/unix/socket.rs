//! A UNIX socket as descriptors refer to it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::socket::{MsgFlags, SO_BINDTODEVICE, SOCK_DGRAM, SOL_SOCKET};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Dest, Readiness, Source, WaitQueue};

use super::Domain;
use super::side::{Phase, Side};
use crate::{
    Address, Common, ENDED_READ, ENDED_WRITE, Identity, Incoming, Outgoing, Shutdown, Socket, Ucred, UnixName,
};

/// Who a message without known writer comes from (`overflowuid`).
const NOBODY: Ucred = Ucred { pid: 0, uid: 65_534, gid: 65_534 };

/// A UNIX socket; dropping it closes it.
pub struct UnixSocket {
    pub(super) domain: Arc<Domain>,
    side: Arc<Side>,
    /// The other end of a connection, which is for life.
    link: spin::Once<Arc<Side>>,
    /// Where a datagram socket sends to by itself, which may change.
    pub(super) peer: Lock<Option<Arc<Side>>, { rank::LEAF }>,
}

impl UnixSocket {
    /// Makes a socket.
    pub(super) fn new(domain: &Arc<Domain>, common: Common) -> Arc<Self> {
        let side = Side::new(common);
        domain.enter(&side);
        Arc::new(Self { domain: Arc::clone(domain), side, link: spin::Once::new(), peer: Lock::new(None) })
    }

    /// Returns what peers know of the socket.
    #[inline]
    pub(super) const fn side(&self) -> &Arc<Side> {
        &self.side
    }

    /// Returns the other end of a connection.
    #[inline]
    pub(super) fn link(&self) -> Option<&Arc<Side>> {
        self.link.get()
    }

    /// Connects with another socket for good; of datagram sockets until the next `connect`.
    pub(super) fn join(&self, other: &Arc<Side>) {
        if self.is_datagram() {
            *self.peer.lock() = Some(Arc::clone(other));
        } else {
            self.link.call_once(|| Arc::clone(other));
        }
        self.side.peer.store(other.id(), Ordering::SeqCst);
        self.side.set_phase(Phase::Connected);
    }

    pub(super) fn is_datagram(&self) -> bool {
        self.side.common.kind == SOCK_DGRAM
    }

    /// Returns the other end, whatever the type.
    pub(super) fn other(&self) -> Option<Arc<Side>> {
        if self.is_datagram() { self.peer.lock().clone() } else { self.link.get().cloned() }
    }

    /// Gives the socket a name if it wants to tell who it is, which needs one.
    pub(super) fn name_for_credentials(&self) -> Result<()> {
        let common = &self.side.common;
        if common.is(&common.pass_credentials) { self.domain.autobind(&self.side) } else { Ok(()) }
    }

    /// Returns the credentials to note with a message, if one side wants any.
    #[inline]
    pub(super) fn writer(&self, other: &Side, message: &Outgoing<'_>) -> Option<Ucred> {
        let wants = |common: &Common| common.is(&common.pass_credentials);
        let asked =
            wants(&self.side.common) || wants(&other.common) || other.listener.load(Ordering::Relaxed) != 0;
        if asked { message.ancillary.credentials } else { None }
    }

    /// Returns the credentials that come with a message, if this side wants any.
    #[inline]
    pub(super) fn credentials(&self, writer: Option<Ucred>) -> Option<Ucred> {
        let common = &self.side.common;
        common.is(&common.pass_credentials).then(|| writer.unwrap_or(NOBODY))
    }
}

/// Returns a sender's name, as a receiver hears it: LINUX: an unnamed one has no address at all.
pub(super) fn sender_name(side: &Side) -> Option<Address> {
    match &*side.name.lock() {
        UnixName::Unnamed => None,
        name => Some(Address::Unix(name.clone())),
    }
}

impl Socket for UnixSocket {
    #[inline]
    fn common(&self) -> &Common {
        &self.side.common
    }

    fn bind(&self, address: &Address, _: &Identity) -> Result<()> {
        match address {
            Address::Unix(name) => self.domain.bind(&self.side, name),
            _ => Err(Errno::EINVAL),
        }
    }

    fn listen(&self, backlog: u32, who: &Identity) -> Result<()> {
        self.start_listening(backlog, who)
    }

    fn accept(&self) -> Result<Arc<dyn Socket>> {
        Ok(self.take_connection()?)
    }

    fn connect(&self, address: &Address, who: &Identity) -> Result<()> {
        match address {
            Address::Unix(name) if self.is_datagram() => self.connect_datagram(Some(name)),
            Address::Unspecified if self.is_datagram() => self.connect_datagram(None),
            Address::Unix(name) => self.connect_stream(name, who),
            _ => Err(Errno::EINVAL),
        }
    }

    #[inline]
    fn send(&self, from: &mut Source<'_>, message: &mut Outgoing<'_>) -> Result<usize> {
        if self.side.is_stream() { self.send_stream(from, message) } else { self.send_message(from, message) }
    }

    #[inline]
    fn receive(&self, to: &mut Dest<'_>, flags: MsgFlags) -> Result<Incoming> {
        if self.side.is_stream() { self.receive_stream(to, flags) } else { self.receive_message(to, flags) }
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        let bits = |read: bool, write: bool| {
            (if read { ENDED_READ } else { 0 }) | (if write { ENDED_WRITE } else { 0 })
        };
        self.side.common.end(bits(how.read(), how.write()));
        // What one side does not read any more, the other cannot send.
        if let Some(other) = self.link() {
            other.common.end(bits(how.write(), how.read()));
            other.queue.wake(Readiness::all());
        }
        self.side.queue.wake(Readiness::all());
        Ok(())
    }

    fn name(&self) -> Address {
        Address::Unix(self.side.name.lock().clone())
    }

    fn peer(&self) -> Result<Address> {
        let other = self.other().ok_or(Errno::ENOTCONN)?;
        let name = other.name.lock().clone();
        Ok(Address::Unix(name))
    }

    fn set_option(&self, level: i32, name: i32, value: &[u8], _: &Identity) -> Result<()> {
        match (level, name) {
            (SOL_SOCKET, SO_BINDTODEVICE) => {
                let end = value.iter().position(|&b| b == 0).unwrap_or(value.len());
                let interface = match &value[..end] {
                    b"" => 0,
                    b"lo" => 1,
                    _ => return Err(Errno::ENODEV),
                };
                self.side.common.interface.store(interface, Ordering::Relaxed);
                Ok(())
            }
            (SOL_SOCKET, _) => Err(Errno::ENOPROTOOPT),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    fn option(&self, level: i32, _: i32) -> Result<Vec<u8>> {
        Err(if level == SOL_SOCKET { Errno::ENOPROTOOPT } else { Errno::EOPNOTSUPP })
    }

    fn pending(&self) -> (usize, usize) {
        if self.side.is_stream() {
            let sent = self.link().map_or(0, |other| other.bytes.load(Ordering::Acquire));
            return (self.side.bytes.load(Ordering::Acquire), sent);
        }
        let inbox = self.side.inbox.lock();
        // LINUX: of datagrams the first alone counts.
        let first = if self.is_datagram() { 1 } else { usize::MAX };
        let waiting = inbox.messages.iter().take(first).map(super::inbox::Message::len).sum();
        (waiting, self.side.sent.load(Ordering::Acquire))
    }

    fn at_mark(&self) -> bool {
        self.side.is_stream() && self.side.ring.lock().at_mark()
    }

    fn readiness(&self) -> Readiness {
        let (side, common) = (&*self.side, &self.side.common);
        let mut ready = Readiness::empty();
        let (read_ended, write_ended) = (common.read_ended(), common.write_ended());
        let phase = side.phase();
        if common.has_error() {
            ready |= Readiness::ERR;
        }
        if read_ended && write_ended {
            ready |= Readiness::HUP;
        }
        if read_ended {
            ready |= Readiness::RDHUP | Readiness::READ;
        }
        if side.has_input() || phase == Phase::Listening && self.has_connection() {
            ready |= Readiness::READ;
        }
        if side.urgent.load(Ordering::Acquire) {
            ready |= Readiness::PRI;
        }
        if !self.is_datagram() && matches!(phase, Phase::Closed | Phase::Connecting) {
            ready |= Readiness::HUP;
        }
        if phase != Phase::Listening && self.has_room() {
            ready |= Readiness::WRITE | Readiness::WRBAND;
        }
        ready
    }

    fn queue(&self) -> &Arc<WaitQueue> {
        &self.side.queue
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let side = &self.side;
        self.domain.unbind(side);
        self.domain.leave(side);
        let unread = side.has_input() || side.listener.load(Ordering::SeqCst) != 0;
        side.closed.store(true, Ordering::SeqCst);
        side.common.end(ENDED_READ | ENDED_WRITE);
        if let Some(other) = self.link.get() {
            if unread {
                other.common.set_error(Errno::ECONNRESET);
            }
            other.hang_up();
        }
        side.peer.store(0, Ordering::SeqCst);
        side.discard();
        let peer = self.peer.get_mut().take();
        drop(peer);
        self.domain.flight.collect();
    }
}
