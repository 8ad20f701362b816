//! Whose segment is it: connections by their four numbers, listeners and other owners by port, and connections that only
//! wait for old duplicates to die out (`TIME_WAIT`).

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};
use core::net::{IpAddr, SocketAddr};

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hashbrown::HashMap;
use siphasher::sip::SipHasher13;

use super::Tcp;
use super::segment::{Flags, Segment};
use super::seq::Seq;
use crate::mapped;

/// Ports that are given out (`net.ipv4.ip_local_port_range`).
pub(crate) const EPHEMERAL: core::ops::RangeInclusive<u16> = 32_768..=60_999;

/// How long `TIME_WAIT` lasts: 60 s, as on Linux.
const TIME_WAIT_NS: u64 = 60_000_000_000;
/// Connections that may be in `TIME_WAIT` together; the oldest go first.
const MOST_WAITING: usize = 16_384;

/// Hashes with a key that nobody outside knows, so that nobody can make all connections fall together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyed(u64, u64);

impl Keyed {
    /// Makes a hash function.
    pub(super) const fn new(a: u64, b: u64) -> Self {
        Self(a, b)
    }
}

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

/// The four numbers of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    local: u128,
    peer: u128,
    ports: u32,
}

impl Key {
    /// Makes the key of a connection.
    pub(crate) const fn new(local: SocketAddr, peer: SocketAddr) -> Self {
        let ports = (local.port() as u32) << 16 | peer.port() as u32;
        Self { local: mapped(local.ip()).to_bits(), peer: mapped(peer.ip()).to_bits(), ports }
    }

    /// Returns the local port.
    const fn port(&self) -> u16 {
        (self.ports >> 16) as u16
    }
}

impl core::hash::Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.local);
        state.write_u128(self.peer);
        state.write_u32(self.ports);
    }
}

/// A connection that is over, but for old duplicates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Next sequence number of ours and of the peer's.
    pub(crate) next: Seq,
    pub(crate) receive_next: Seq,
    pub(crate) window: u16,
    /// Time stamps: the offset of ours, and the peer's last.
    pub(crate) timestamps: Option<(u32, u32)>,
    /// It counted as a user of its port that lets others use it too.
    pub(crate) reuse: bool,
    pub(crate) until: u64,
}

/// A connection in `TIME_WAIT`, for lists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeWaitRow {
    /// Our end.
    pub(crate) local: SocketAddr,
    /// The peer's end.
    pub(crate) peer: SocketAddr,
}

enum Flow {
    Live(Arc<Tcp>),
    Waiting(Waiting),
}

/// What the table knows of a segment's connection.
pub(crate) enum Found {
    /// It is this one.
    Live(Arc<Tcp>),
    /// It is over; answer with this, if anything.
    Waiting(Option<Segment>),
    /// A new one may take the place of the old one, with sequence numbers from here on.
    Reopen(Seq),
    /// There is none.
    None,
}

/// Somebody who uses a port by his own wish.
struct User {
    socket: Weak<Tcp>,
    id: u64,
    /// The address, if it is not any.
    address: Option<IpAddr>,
    /// Takes IPv4 too, or only that.
    v4: bool,
    v6: bool,
    reuse: bool,
    reuse_port: Option<u32>,
    listening: bool,
    interface: u32,
}

#[derive(Default)]
struct Port {
    users: Vec<User>,
    /// Connections that use the port because they were accepted or connected there, and how many of them let others.
    connections: usize,
    sharing: usize,
}

/// What a socket wants of a port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) address: IpAddr,
    pub(crate) v4: bool,
    pub(crate) v6: bool,
    pub(crate) reuse: bool,
    /// `SO_REUSEPORT`, and for which user.
    pub(crate) reuse_port: Option<u32>,
    pub(crate) interface: u32,
}

/// The tables.
pub(crate) struct Table {
    flows: Lock<Flows, { rank::NET_TABLE }>,
    ports: Lock<HashMap<u16, Port>, { rank::NET_PORTS }>,
    keyed: Keyed,
}

struct Flows {
    map: HashMap<Key, Flow, Keyed>,
    /// The end of each wait, earliest first; an entry may be out of date.
    waits: VecDeque<(u64, Key)>,
    waiting: usize,
}

impl Table {
    /// Makes empty tables.
    pub(crate) fn new(secret: u64) -> Self {
        let keyed = Keyed::new(secret, secret.rotate_left(29) ^ 0x5eed);
        Self {
            flows: Lock::new(Flows { map: HashMap::with_hasher(keyed), waits: VecDeque::new(), waiting: 0 }),
            ports: Lock::default(),
            keyed,
        }
    }

    /// Finds a live connection.
    pub(crate) fn find(&self, local: SocketAddr, peer: SocketAddr) -> Option<Arc<Tcp>> {
        match self.flows.lock().map.get(&Key::new(local, peer)) {
            Some(Flow::Live(connection)) => Some(Arc::clone(connection)),
            _ => None,
        }
    }

    /// Finds what a segment belongs to.
    pub(crate) fn look_up(&self, key: &Key, segment: &Segment, payload: usize, now: u64) -> Found {
        let mut flows = self.flows.lock();
        match flows.map.get_mut(key) {
            None => Found::None,
            Some(Flow::Live(connection)) => Found::Live(Arc::clone(connection)),
            Some(Flow::Waiting(waiting)) => match waiting.answer(segment, payload, now) {
                Found::Reopen(seq) => {
                    flows.map.remove(key);
                    flows.waiting -= 1;
                    Found::Reopen(seq)
                }
                other => other,
            },
        }
    }

    /// Enters a connection.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` if there is one with these numbers.
    pub(crate) fn insert(&self, key: Key, connection: &Arc<Tcp>, reuse: bool) -> Result<()> {
        let mut flows = self.flows.lock();
        if flows.map.contains_key(&key) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        flows.map.insert(key, Flow::Live(Arc::clone(connection)));
        drop(flows);
        self.count(key.port(), reuse, true);
        Ok(())
    }

    fn count(&self, number: u16, reuse: bool, more: bool) {
        let mut ports = self.ports.lock();
        let port = ports.entry(number).or_default();
        let step = |value: usize| if more { value + 1 } else { value.saturating_sub(1) };
        port.connections = step(port.connections);
        if reuse {
            port.sharing = step(port.sharing);
        }
        if port.connections == 0 && port.users.is_empty() {
            ports.remove(&number);
        }
    }

    /// Takes a connection out; where it waits, it stays as long as that takes. Returns when the table wants to be looked
    /// after, if that is news.
    pub(crate) fn remove(&self, key: &Key, reuse: bool, waiting: Option<Waiting>) -> Option<u64> {
        let mut flows = self.flows.lock();
        if !matches!(flows.map.get(key), Some(Flow::Live(_))) {
            return None;
        }
        let mut dropped = Vec::new();
        let old = match waiting {
            None => flows.map.remove(key),
            Some(waiting) => flows.map.insert(*key, Flow::Waiting(waiting)),
        };
        let mut wake = None;
        if let Some(waiting) = waiting {
            flows.waiting += 1;
            if flows.waits.is_empty() {
                wake = Some(waiting.until);
            }
            flows.waits.push_back((waiting.until, *key));
            if flows.waiting > MOST_WAITING {
                flows.drop_oldest(&mut dropped);
            }
        }
        drop(flows);
        drop(old);
        if waiting.is_none() {
            self.count(key.port(), reuse, false);
        }
        for (port, reuse) in dropped {
            self.count(port, reuse, false);
        }
        wake
    }

    /// Forgets the connections that have waited long enough; returns when to come back.
    pub(crate) fn expire(&self, now: u64) -> Option<u64> {
        let mut dropped = Vec::new();
        let mut flows = self.flows.lock();
        while flows.waits.front().is_some_and(|(until, _)| *until <= now) {
            flows.drop_oldest(&mut dropped);
        }
        let next = flows.waits.front().map(|(until, _)| *until);
        drop(flows);
        for (port, reuse) in dropped {
            self.count(port, reuse, false);
        }
        next
    }

    /// Returns how many connections there are, and how many of them wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let flows = self.flows.lock();
        (flows.map.len(), flows.waiting)
    }

    /// Lists the connections: live ones, and the numbers of those that wait.
    pub(crate) fn list(&self) -> (Vec<Arc<Tcp>>, Vec<TimeWaitRow>) {
        let address = |bits: u128, port: u32| {
            let address = IpAddr::V6(core::net::Ipv6Addr::from_bits(bits));
            SocketAddr::new(crate::unmapped(address), u16::try_from(port & 0xffff).unwrap_or(0))
        };
        let flows = self.flows.lock();
        let (mut live, mut waiting) = (Vec::new(), Vec::new());
        for (key, flow) in &flows.map {
            match flow {
                Flow::Live(connection) => live.push(Arc::clone(connection)),
                Flow::Waiting(_) => {
                    let local = address(key.local, key.ports >> 16);
                    waiting.push(TimeWaitRow { local, peer: address(key.peer, key.ports) });
                }
            }
        }
        (live, waiting)
    }

    /// Lists the sockets that listen, or that are only bound.
    pub(crate) fn owners(&self) -> Vec<Arc<Tcp>> {
        let ports = self.ports.lock();
        let mut found: Vec<Arc<Tcp>> =
            ports.values().flat_map(|p| &p.users).filter_map(|u| u.socket.upgrade()).collect();
        drop(ports);
        found.sort_by_key(|socket| socket.common.id);
        found
    }

    /// Gives a socket a port: the one that it wants, or any for 0.
    ///
    /// # Errors
    /// `EADDRINUSE`
    pub(crate) fn bind(&self, socket: &Arc<Tcp>, claim: &Claim, port: u16, random: u64) -> Result<u16> {
        let mut ports = self.ports.lock();
        let port = if port == 0 {
            free_port(random, |p| ports.get(&p).is_none_or(|port| port.allows(claim)))
                .ok_or(Errno::EADDRINUSE)?
        } else {
            if ports.get(&port).is_some_and(|used| !used.allows(claim)) {
                return Err(Errno::EADDRINUSE);
            }
            port
        };
        let user = User {
            socket: Arc::downgrade(socket),
            id: socket.common.id,
            address: Some(claim.address).filter(|a| !a.is_unspecified()),
            v4: claim.v4,
            v6: claim.v6,
            reuse: claim.reuse,
            reuse_port: claim.reuse_port,
            listening: false,
            interface: claim.interface,
        };
        ports.entry(port).or_default().users.push(user);
        Ok(port)
    }

    /// Gives a port back.
    pub(crate) fn unbind(&self, id: u64, number: u16) {
        let mut ports = self.ports.lock();
        let Some(port) = ports.get_mut(&number) else { return };
        let gone = port.users.iter().position(|u| u.id == id).map(|at| port.users.remove(at));
        if port.users.is_empty() && port.connections == 0 {
            ports.remove(&number);
        }
        drop(ports);
        drop(gone);
    }

    /// Notes that a bound socket listens, or does not any more.
    ///
    /// # Errors
    /// `EADDRINUSE` if another one listens there and both do not share the port.
    pub(crate) fn set_listening(&self, id: u64, number: u16, listens: bool) -> Result<()> {
        let mut ports = self.ports.lock();
        let port = ports.get_mut(&number).ok_or(Errno::EADDRINUSE)?;
        let at = port.users.iter().position(|u| u.id == id).ok_or(Errno::EADDRINUSE)?;
        if listens {
            let me = &port.users[at];
            let shares = |other: &User| me.reuse_port.is_some() && me.reuse_port == other.reuse_port;
            if port.users.iter().any(|u| u.id != id && u.listening && me.overlaps(u) && !shares(u)) {
                return Err(Errno::EADDRINUSE);
            }
        }
        port.users[at].listening = listens;
        Ok(())
    }

    /// Notes another set of options.
    pub(crate) fn set_sharing(&self, id: u64, number: u16, reuse: bool, reuse_port: Option<u32>) {
        if let Some(port) = self.ports.lock().get_mut(&number)
            && let Some(user) = port.users.iter_mut().find(|u| u.id == id)
        {
            (user.reuse, user.reuse_port) = (reuse, reuse_port);
        }
    }

    /// Finds who listens for connections to an address: whoever named it, else whoever takes any; of several that share
    /// the port, the peer's address chooses.
    pub(crate) fn listener(&self, local: SocketAddr, peer: SocketAddr, interface: u32) -> Option<Arc<Tcp>> {
        let ports = self.ports.lock();
        let port = ports.get(&local.port())?;
        let v4 = local.is_ipv4();
        let fits = |u: &&User| {
            u.listening
                && (if v4 { u.v4 } else { u.v6 })
                && u.address.is_none_or(|a| a == local.ip())
                && (u.interface == 0 || u.interface == interface)
        };
        let score = |u: &User| (u.address.is_some(), u.interface != 0, u.v4 != u.v6);
        let best = port.users.iter().filter(fits).map(score).max()?;
        let all: Vec<&User> = port.users.iter().filter(fits).filter(|u| score(u) == best).collect();
        let chosen = match all.as_slice() {
            [one] => one,
            several => {
                let hash = self.keyed.hash_one(Key::new(local, peer));
                several[usize::try_from(hash % several.len() as u64).unwrap_or(0)]
            }
        };
        chosen.socket.upgrade()
    }

    /// Chooses a local port for a connection and enters the connection.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` if all ports are used.
    pub(crate) fn connect(
        &self,
        connection: &Arc<Tcp>,
        local: IpAddr,
        peer: SocketAddr,
        reuse: bool,
        random: u64,
    ) -> Result<SocketAddr> {
        for attempt in 0..4_u64 {
            let ports = self.ports.lock();
            let flows = self.flows.lock();
            let free = |p: u16| {
                ports.get(&p).is_none_or(|port| port.users.is_empty())
                    && !flows.map.contains_key(&Key::new(SocketAddr::new(local, p), peer))
            };
            let port = free_port(random.wrapping_add(attempt), free).ok_or(Errno::EADDRNOTAVAIL)?;
            drop(flows);
            drop(ports);
            let local = SocketAddr::new(local, port);
            // Somebody else may have been quicker.
            if self.insert(Key::new(local, peer), connection, reuse).is_ok() {
                return Ok(local);
            }
        }
        Err(Errno::EADDRNOTAVAIL)
    }

    /// Chooses a local port for a connection within the machine, and counts it.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` if all ports are used.
    pub(crate) fn connect_within(&self, reuse: bool, random: u64) -> Result<u16> {
        let mut ports = self.ports.lock();
        let free = |p: u16| ports.get(&p).is_none_or(|port| port.users.is_empty() && port.connections == 0);
        let port = free_port(random, free)
            .or_else(|| free_port(random, |p| ports.get(&p).is_none_or(|port| port.users.is_empty())))
            .ok_or(Errno::EADDRNOTAVAIL)?;
        let used = ports.entry(port).or_default();
        used.connections += 1;
        used.sharing += usize::from(reuse);
        Ok(port)
    }

    /// Counts a connection within the machine at a port that is chosen already.
    pub(crate) fn count_within(&self, port: u16, reuse: bool) {
        self.count(port, reuse, true);
    }

    /// Gives the port of a connection within the machine back.
    pub(crate) fn leave_within(&self, port: u16, reuse: bool) {
        self.count(port, reuse, false);
    }
}

/// Finds a port that is free, from a random one on.
pub(crate) fn free_port(random: u64, mut free: impl FnMut(u16) -> bool) -> Option<u16> {
    let count = u64::from(EPHEMERAL.end() - EPHEMERAL.start()) + 1;
    let start = random % count;
    (0..count)
        .map(|i| EPHEMERAL.start() + u16::try_from((start + i) % count).unwrap_or(0))
        .find(|&port| free(port))
}

impl User {
    fn overlaps(&self, other: &Self) -> bool {
        let families = self.v4 && other.v4 || self.v6 && other.v6;
        let addresses = match (self.address, other.address) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        let interfaces = self.interface == 0 || other.interface == 0 || self.interface == other.interface;
        families && addresses && interfaces
    }
}

impl Port {
    /// Says whether a socket may be bound here (`inet_csk_bind_conflict`).
    fn allows(&self, claim: &Claim) -> bool {
        let new = User {
            socket: Weak::new(),
            id: 0,
            address: Some(claim.address).filter(|a| !a.is_unspecified()),
            v4: claim.v4,
            v6: claim.v6,
            reuse: claim.reuse,
            reuse_port: claim.reuse_port,
            listening: false,
            interface: claim.interface,
        };
        let users = self.users.iter().filter(|u| u.overlaps(&new)).all(|u| {
            u.reuse && claim.reuse && !u.listening
                || claim.reuse_port.is_some() && u.reuse_port == claim.reuse_port
        });
        // Connections that outlived their listener.
        let left = self.connections > 0 && self.users.is_empty();
        users && (!left || claim.reuse && self.sharing == self.connections)
    }
}

impl Flows {
    /// Takes the first wait out, if it still holds; notes whose port is freed.
    fn drop_oldest(&mut self, dropped: &mut Vec<(u16, bool)>) {
        let Some((until, key)) = self.waits.pop_front() else { return };
        if let Some(Flow::Waiting(waiting)) = self.map.get(&key) {
            if waiting.until > until {
                // It was heard of again meanwhile.
                let later = waiting.until;
                self.waits.push_back((later, key));
                return;
            }
            dropped.push((key.port(), waiting.reuse));
            self.map.remove(&key);
            self.waiting -= 1;
        }
    }
}

impl Waiting {
    /// Returns the end of a wait that begins now.
    pub(crate) const fn end(now: u64) -> u64 {
        now + TIME_WAIT_NS
    }

    /// Says what to do with a segment (`tcp_timewait_state_process`).
    fn answer(&mut self, segment: &Segment, payload: usize, now: u64) -> Found {
        if segment.has(Flags::RST) {
            return Found::Waiting(None);
        }
        let newer = match (self.timestamps, segment.timestamp) {
            (Some((_, recent)), Some((value, _))) => value.wrapping_sub(recent).cast_signed() > 0,
            _ => false,
        };
        if segment.has(Flags::SYN) && segment.ack.is_none() && (segment.seq.after(self.receive_next) || newer)
        {
            // RFC 6191: above everything that was sent before.
            return Found::Reopen(self.next + 65_535 + 2);
        }
        if segment.space(payload) == 0 && segment.seq == self.receive_next {
            return Found::Waiting(None);
        }
        if segment.has(Flags::FIN) {
            self.until = Self::end(now);
        }
        let stamp = |(offset, recent): (u32, u32)| {
            #[expect(clippy::cast_possible_truncation, reason = "time stamps wrap")]
            let ms = (now / 1_000_000) as u32;
            (ms.wrapping_add(offset), recent)
        };
        Found::Waiting(Some(Segment {
            seq: self.next,
            ack: Some(self.receive_next),
            window: self.window,
            timestamp: self.timestamps.map(stamp),
            ..Segment::default()
        }))
    }
}
