//! TCP sockets.
//!
//! [`connection`] is the protocol, a state machine without locks; [`Tcp`] joins it to packets, timers and those who wait;
//! [`TcpSocket`] is the application's hold on it, whose end closes the connection. Within the machine two sockets are
//! joined directly ([`local`]). [`table`] says what a segment belongs to.

mod actions;
pub(crate) mod connection;
mod cookies;
mod input;
mod listener;
mod local;
mod options;
mod output;
mod readiness;
mod reassembly;
mod recovery;
pub(crate) mod segment;
pub(crate) mod seq;
mod socket;
mod table;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use core::hash::BuildHasher;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::Ordering;
use core::task::Waker;

use abi::Errno;
use hal::sync::{Lock, SleepLock, rank};
use hal::{Readiness, TimerId, WaitQueue};

use crate::config::Path;
use crate::icmp::Report;
use crate::ingress::{Batch, Received};
use crate::interface::{Blocked, Finish};
use crate::wire::{IpHeader, protocol};
use crate::{Common, Net, bytes::Bytes, checksum};
use connection::{Connection, Events, Full, Link, Settings, State};
use listener::Listener;
use local::End;
use options::Options;
use segment::{Flags, Ports, Segment};
use seq::Seq;
pub(crate) use socket::TcpSocket;
pub(crate) use table::free_port;
use table::{Found, Key, Keyed, Waiting};
pub(crate) use table::{Table, TimeWaitRow};

/// A socket as the network knows it.
pub(crate) struct Tcp {
    pub(crate) net: Arc<Net>,
    pub(crate) common: Common,
    pub(crate) queue: Arc<WaitQueue>,
    /// One reader and one writer at a time, across the copies to and from the application.
    reading: SleepLock<(), { rank::SOCKET_READ }>,
    writing: SleepLock<(), { rank::SOCKET_WRITE }>,
    pub(crate) state: Lock<Inner, { rank::OBJECT }>,
}

/// What changes.
pub(crate) struct Inner {
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: Option<SocketAddr>,
    /// The port that was claimed by `bind`.
    bound: Option<u16>,
    /// The address was named by `bind`, too: it stays when the connection ends.
    named: bool,
    pub(crate) role: Role,
    pub(crate) settings: Settings,
    pub(crate) options: Options,
    /// What happened that those who wait were not told yet.
    events: Events,
    /// It stands in a batch that settles it.
    in_batch: bool,
    /// The application began to connect and has not heard how that ended.
    connecting: bool,
    /// It is on the list of those that wait for room in a card's queue.
    waits_for_room: bool,
}

/// What a socket is at the moment.
pub(crate) enum Role {
    /// Neither connected nor listening.
    Idle,
    Listening(Listener),
    /// Connected through the network.
    Wire(Box<Wire>),
    /// Connected within the machine.
    Local(End),
    /// Connects within the machine as soon as the listener has room.
    Queued,
    /// Was connected.
    Closed,
}

/// A connection through the network.
pub(crate) struct Wire {
    pub(crate) connection: Connection,
    pub(crate) path: Path,
    key: Key,
    reuse: bool,
    timer: Option<(TimerId, u64)>,
    /// Who takes the connection when it is made; none for one that was begun here or is accepted.
    listener: Option<Weak<Tcp>>,
}

/// The way that a connection's segments take.
struct Way<'a> {
    net: &'a Arc<Net>,
    path: &'a Path,
    local: SocketAddr,
    peer: SocketAddr,
    hop_limit: u8,
    traffic_class: u8,
}

impl Link for Way<'_> {
    fn send(
        &mut self,
        segment: &Segment,
        bytes: &Bytes,
        offset: usize,
        len: usize,
        mss: usize,
    ) -> Result<(), Full> {
        let header = IpHeader {
            source: self.local.ip(),
            destination: self.peer.ip(),
            protocol: protocol::TCP,
            hop_limit: self.hop_limit,
            traffic_class: self.traffic_class,
            dont_fragment: true,
        };
        let ports = Ports { source: self.local.port(), destination: self.peer.port() };
        let options = segment.header_len();
        let cut = len > mss;
        let finish = Finish {
            checksum: Some(16),
            segment: cut
                .then(|| (u16::try_from(mss).unwrap_or(u16::MAX), u16::try_from(options).unwrap_or(0))),
        };
        let mut fill = |to: &mut [u8]| {
            segment.emit(ports, to);
            bytes.copy_out(offset, &mut to[options..]);
        };
        self.net.send_ip(self.path, &header, options + len, finish, &mut fill).or_else(|errno| match errno {
            Errno::EAGAIN => Err(Full),
            // A packet too long for the way is lost there as well.
            _ => Ok(()),
        })
    }

    fn most(&self, mss: usize) -> usize {
        self.path.interface.segmentation(self.peer.is_ipv6()).max(mss)
    }
}

impl Tcp {
    pub(crate) fn new(net: &Arc<Net>, domain: u16, settings: Settings) -> Arc<Self> {
        let common = Common::new(domain, abi::socket::SOCK_STREAM, abi::socket::IPPROTO_TCP);
        common.send_buffer.store(16_384, Ordering::Relaxed);
        common.receive_buffer.store(131_072, Ordering::Relaxed);
        Arc::new(Self {
            net: Arc::clone(net),
            common,
            queue: WaitQueue::new(),
            reading: SleepLock::new(()),
            writing: SleepLock::new(()),
            state: Lock::new(Inner {
                local: None,
                peer: None,
                bound: None,
                named: false,
                role: Role::Idle,
                settings,
                options: Options::default(),
                events: Events::empty(),
                in_batch: false,
                connecting: false,
                waits_for_room: false,
            }),
        })
    }

    /// Returns an initial sequence number: unguessable, and growing for the same four numbers (RFC 6528).
    fn initial_sequence(net: &Net, key: &Key) -> Seq {
        let hash = Keyed::new(net.secret[0], net.secret[1]).hash_one(key);
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers wrap")]
        let seq = (hash as u32).wrapping_add((net.now() >> 12) as u32);
        Seq(seq)
    }

    /// Returns what is added to time stamps to a peer.
    fn stamp_offset(net: &Net, key: &Key) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "any 32 bits do")]
        let offset = Keyed::new(net.secret[2], net.secret[3]).hash_one(key) as u32;
        offset
    }

    /// Returns the largest segment that a path takes.
    fn mss_of(path: &Path, peer: IpAddr) -> u16 {
        let room = Net::room_in(path, peer) - segment::HEADER_LEN;
        u16::try_from(room).unwrap_or(u16::MAX)
    }

    /// Takes a segment for this connection. What it leads to is done by [`Self::settle`].
    fn take(self: &Arc<Self>, segment: &Segment, payload: &[u8], batch: &mut Batch) -> Option<Segment> {
        let now = self.net.now();
        let mut inner = self.state.lock();
        let inner = &mut *inner;
        let Role::Wire(wire) = &mut inner.role else { return segment.reset_for(payload.len()) };
        if wire.connection.state() == State::SynReceived
            && segment.ack.is_some()
            && !segment.has(Flags::RST | Flags::SYN)
        {
            let listener = wire.listener.as_ref().and_then(Weak::upgrade);
            // LINUX: where the queue is full, the last segment of the handshake is not taken; the peer sends again.
            if listener.is_some_and(|listener| listener.is_full()) {
                return None;
            }
        }
        let (events, reply) = wire.connection.input(now, segment, payload);
        inner.events |= events;
        if !core::mem::replace(&mut inner.in_batch, true) {
            batch.touched.push(Arc::clone(self));
        }
        reply
    }

    /// Takes a report about a packet of this connection that quotes a sequence number.
    pub(crate) fn report(&self, seq: u32, report: &Report) {
        let mut inner = self.state.lock();
        let inner = &mut *inner;
        let Role::Wire(wire) = &mut inner.role else { return };
        let seq = Seq(seq);
        // Only what is under way can have come to grief (RFC 5927, section 4.1).
        if seq.before(wire.connection.una) || seq.after(wire.connection.next) {
            return;
        }
        match report.mtu {
            Some(mtu) => {
                let headers = segment::ip_header_len(wire.path.next_hop) + segment::HEADER_LEN;
                let smallest = if wire.path.next_hop.is_ipv4() { 552 } else { 1280 };
                wire.connection.lower_mss((mtu as usize).max(smallest) - headers);
            }
            None => inner.events |= wire.connection.unreachable(report.errno),
        }
    }

    /// Does what is due: sends, arms the timer, ends what is over, wakes those who wait.
    pub(crate) fn settle(self: &Arc<Self>) {
        let net = &self.net;
        let now = net.now();
        let mut inner = self.state.lock();
        let state = &mut *inner;
        state.in_batch = false;
        let events = core::mem::take(&mut state.events);
        let (Some(local), Some(peer)) = (state.local, state.peer) else { return };
        let Role::Wire(wire) = &mut state.role else { return };
        if wire.path.generation != net.generation()
            && let Ok(path) =
                net.path(peer.ip(), Some(local.ip()), self.common.interface.load(Ordering::Relaxed))
        {
            wire.path = path;
        }
        let mut way = Way {
            net,
            path: &wire.path,
            local,
            peer,
            hop_limit: state.options.hop_limit(peer.is_ipv6()),
            traffic_class: state.options.traffic_class(peer.is_ipv6()),
        };
        wire.connection.output(now, &mut way);
        if wire.connection.blocked && !core::mem::replace(&mut state.waits_for_room, true) {
            wire.path.interface.wait_for_room(self.clone());
        }
        let mut gone = None;
        let over = matches!(wire.connection.state(), State::Closed | State::TimeWait);
        if over {
            if let Some(errno) = wire.connection.take_error() {
                self.common.set_error(errno);
            }
            gone = Some(self.end_flow(state, now));
        } else {
            self.arm(wire);
        }
        let listener = match &mut state.role {
            Role::Wire(wire) if events.intersects(Events::CONNECTED | Events::READ) => wire.listener.clone(),
            _ => None,
        };
        drop(inner);
        if let Some((flow, wake)) = gone {
            if let Some(at) = wake {
                net.arm_time_wait(at);
            }
            if let Some(listener) = flow.and_then(|weak| weak.upgrade()) {
                listener.forget(self);
            }
        }
        if let Some(listener) = listener.and_then(|weak| weak.upgrade()) {
            if events.contains(Events::CONNECTED) {
                listener.made(self);
            } else {
                listener.promote(self);
            }
        }
        self.tell(events);
    }

    /// Wakes those who wait for what happened.
    fn tell(&self, events: Events) {
        let mut ready = Readiness::empty();
        if events.intersects(Events::READ | Events::TIME_WAIT) {
            ready |= Readiness::READ | Readiness::RDHUP | Readiness::PRI;
        }
        if events.intersects(Events::WRITE | Events::CONNECTED) {
            ready |= Readiness::WRITE;
        }
        if events.intersects(Events::CLOSED) {
            ready |= Readiness::READ | Readiness::WRITE | Readiness::RDHUP | Readiness::ALWAYS;
        }
        if !ready.is_empty() {
            self.queue.wake(ready);
        }
    }

    fn arm(self: &Arc<Self>, wire: &mut Wire) {
        let clock = self.net.environment().clock;
        let Some(at) = wire.connection.deadline() else { return };
        match wire.timer {
            // It will look again when it fires: most deadlines move on.
            Some((_, armed)) if armed <= at => return,
            Some((id, _)) => clock.cancel(id),
            None => {}
        }
        wire.timer = Some((clock.arm(at, Waker::from(Arc::clone(self))), at));
    }

    /// Takes a connection that is over out of the table. What was not read stays readable.
    fn end_flow(&self, state: &mut Inner, now: u64) -> (Option<Weak<Self>>, Option<u64>) {
        let Role::Wire(wire) = &mut state.role else { return (None, None) };
        if let Some((id, _)) = wire.timer.take() {
            self.net.environment().clock.cancel(id);
        }
        let connection = &wire.connection;
        let waiting = (connection.state() == State::TimeWait).then(|| Waiting {
            next: connection.next,
            receive_next: connection.receive_next,
            window: 500,
            timestamps: connection
                .timestamps
                .then_some((connection.timestamp_offset, connection.timestamp_recent)),
            reuse: wire.reuse,
            until: Waiting::end(now),
        });
        let wake = self.net.tcp.remove(&wire.key, wire.reuse, waiting);
        (wire.listener.take(), wake)
    }

    /// Sends a segment that is no part of the connection's stream: a reset.
    fn send_alone(net: &Arc<Net>, path: &Path, local: SocketAddr, peer: SocketAddr, segment: &Segment) {
        let mut way = Way { net, path, local, peer, hop_limit: 64, traffic_class: 0 };
        let _ = way.send(segment, &Bytes::default(), 0, 0, 536);
        path.interface.flush();
    }

    /// The application is gone.
    pub(crate) fn close(self: &Arc<Self>) {
        let now = self.net.now();
        let mut inner = self.state.lock();
        let state = &mut *inner;
        let bound = state.bound.take();
        let reset_wanted = self.common.linger.load(Ordering::Relaxed) == 0;
        match &mut state.role {
            Role::Wire(wire) => {
                let reset = if reset_wanted { wire.connection.abort() } else { wire.connection.close(now) };
                let (local, peer, path) = (state.local, state.peer, wire.path.clone());
                drop(inner);
                if let (Some(local), Some(peer), Some(reset)) = (local, peer, reset) {
                    Self::send_alone(&self.net, &path, local, peer, &reset);
                }
                self.settle();
                path.interface.flush();
            }
            Role::Local(end) => {
                let end = end.clone();
                let port = state.local.map(|local| local.port());
                state.role = Role::Closed;
                drop(inner);
                end.close(reset_wanted);
                if let Some(port) = port {
                    self.net.tcp.leave_within(port, end.reuse());
                }
            }
            Role::Listening(_) => {
                let Role::Listening(listener) = core::mem::replace(&mut state.role, Role::Closed) else {
                    return;
                };
                drop(inner);
                self.common.listens.store(false, Ordering::Relaxed);
                listener.close();
            }
            Role::Queued => {
                state.role = Role::Closed;
                let port = state.local.map(|local| local.port());
                drop(inner);
                if let Some(port) = port {
                    self.net.tcp.leave_within(port, self.common.is(&self.common.reuse_address));
                }
            }
            Role::Idle | Role::Closed => drop(inner),
        }
        if let Some(port) = bound {
            self.net.tcp.unbind(self.common.id, port);
        }
    }
}

impl Tcp {
    /// Returns the local and the peer's address.
    pub(crate) fn ends(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let inner = self.state.lock();
        (inner.local, inner.peer)
    }

    /// Returns what waits to be sent, and what waits to be read or accepted.
    pub(crate) fn queues(&self) -> (usize, usize) {
        match &self.state.lock().role {
            Role::Wire(wire) => (wire.connection.tx.len(), wire.connection.readable()),
            Role::Local(end) => (0, end.view().readable),
            Role::Listening(listener) => (0, listener.counts().0),
            _ => (0, 0),
        }
    }
}

impl Wake for Tcp {
    /// The timer has fired.
    fn wake(self: Arc<Self>) {
        let now = self.net.now();
        let mut inner = self.state.lock();
        let state = &mut *inner;
        let (Some(local), Some(peer)) = (state.local, state.peer) else { return };
        let Role::Wire(wire) = &mut state.role else { return };
        wire.timer = None;
        let mut way = Way {
            net: &self.net,
            path: &wire.path,
            local,
            peer,
            hop_limit: state.options.hop_limit(peer.is_ipv6()),
            traffic_class: state.options.traffic_class(peer.is_ipv6()),
        };
        state.events |= wire.connection.tick(now, &mut way);
        let interface = Arc::clone(&wire.path.interface);
        drop(inner);
        self.settle();
        interface.flush();
    }
}

impl Blocked for Tcp {
    fn room(self: Arc<Self>) {
        self.state.lock().waits_for_room = false;
        self.settle();
    }
}

/// Looks after the connections in `TIME_WAIT`.
struct Expiry(Weak<Net>);

impl Wake for Expiry {
    fn wake(self: Arc<Self>) {
        if let Some(net) = self.0.upgrade()
            && let Some(at) = net.tcp.expire(net.now())
        {
            net.arm_time_wait(at);
        }
    }
}

impl Net {
    fn arm_time_wait(self: &Arc<Self>, at: u64) {
        let waker = Waker::from(Arc::new(Expiry(Arc::downgrade(self))));
        self.environment().clock.arm(at, waker);
    }

    /// Takes a TCP segment.
    pub(crate) fn take_segment(self: &Arc<Self>, received: &Received<'_>, batch: &mut Batch) {
        let header = received.header;
        if received.to_many {
            return;
        }
        let right = received.checked
            || checksum::transport_is_right(
                header.source,
                header.destination,
                protocol::TCP,
                received.payload,
            );
        if !right {
            return;
        }
        let Some((segment, ports, payload)) = Segment::parse(received.payload) else { return };
        let local = SocketAddr::new(header.destination, ports.destination);
        let peer = SocketAddr::new(header.source, ports.source);
        let key = Key::new(local, peer);
        let mut floor = None;
        let reply = match self.tcp.look_up(&key, &segment, payload.len(), self.now()) {
            Found::Live(connection) => connection.take(&segment, payload, batch),
            Found::Waiting(answer) => answer,
            found => {
                if let Found::Reopen(seq) = found {
                    floor = Some(seq);
                }
                match self.tcp.listener(local, peer, received.interface.index) {
                    Some(listener) => {
                        let from =
                            listener::Arrival { key, local, peer, interface: received.interface, floor };
                        listener.arrive(&from, &segment, payload, batch)
                    }
                    None => segment.reset_for(payload.len()),
                }
            }
        };
        if let Some(reply) = reply
            && let Ok(path) = self.path(peer.ip(), Some(local.ip()), 0)
        {
            Tcp::send_alone(self, &path, local, peer, &reply);
        }
    }

    /// Returns how many connections of TCP there are, and how many of them are in `TIME_WAIT`.
    pub fn tcp_counts(&self) -> (usize, usize) {
        self.tcp.counts()
    }
}
