//! UDP sockets (`udp(7)`).

mod socket;
mod table;

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::Ordering;

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Readiness, WaitQueue};

use crate::config::Path;
use crate::icmp::Report;
use crate::inet::IpOptions;
use crate::ingress::Received;
use crate::interface::{Blocked, Finish};
use crate::wire::{IpHeader, protocol};
use crate::{Common, ErrorReport, Net, checksum};
pub(crate) use socket::UdpSocket;
pub(crate) use table::Table;

/// Length of a header.
const HEADER_LEN: usize = 8;
/// Longest payload over IPv4 and IPv6.
const LONGEST: (usize, usize) = (65_507, 65_527);
/// What a datagram costs of the receive buffer beside its bytes.
const OVERHEAD: usize = 256;
/// Reports of errors that may wait.
const MOST_ERRORS: usize = 64;

/// A socket as the network knows it.
pub(crate) struct Udp {
    net: Arc<Net>,
    pub(crate) common: Common,
    queue: Arc<WaitQueue>,
    pub(crate) state: Lock<Inner, { rank::OBJECT }>,
}

pub(crate) struct Inner {
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: Option<SocketAddr>,
    /// The address was chosen by `bind`, not by `connect`.
    bound: bool,
    path: Option<Path>,
    options: IpOptions,
    received: VecDeque<Datagram>,
    /// What [`Self::received`] costs of the receive buffer.
    cost: usize,
    dropped: u32,
    errors: VecDeque<(ErrorReport, Arc<Vec<u8>>, SocketAddr)>,
    /// `UDP_CORK`
    corked: bool,
    /// What is gathered for one datagram (`UDP_CORK`, `MSG_MORE`), and where it goes.
    gathered: Option<(SocketAddr, Vec<u8>)>,
    /// `UDP_SEGMENT`
    segment: u16,
    /// `UDP_GRO`
    joins: bool,
    /// A card had no room at the last try.
    full: bool,
}

/// A datagram that came in.
#[derive(Clone)]
struct Datagram {
    from: SocketAddr,
    to: IpAddr,
    port: u16,
    interface: u32,
    payload: Arc<Vec<u8>>,
    hop_limit: u8,
    traffic_class: u8,
    time_ns: u64,
}

impl Udp {
    /// Takes a datagram for this socket, if there is room.
    fn deliver(&self, datagram: Datagram) {
        let mut inner = self.state.lock();
        if self.common.read_ended() {
            return;
        }
        let limit = self.common.receive_buffer.load(Ordering::Relaxed) as usize;
        let cost = datagram.payload.len() + OVERHEAD;
        if inner.cost + cost > limit && !inner.received.is_empty() {
            inner.dropped = inner.dropped.wrapping_add(1);
            return;
        }
        inner.cost += cost;
        inner.received.push_back(datagram);
        drop(inner);
        self.queue.wake(Readiness::READ);
    }

    /// Returns how many bytes wait, how many datagrams were dropped, and the number of the socket's user.
    pub(crate) fn counts(&self) -> (usize, u32) {
        let inner = self.state.lock();
        (inner.cost, inner.dropped)
    }
}

impl Blocked for Udp {
    fn room(self: Arc<Self>) {
        self.state.lock().full = false;
        self.queue.wake(Readiness::WRITE);
    }
}

/// What is sent.
struct Sending<'a> {
    source: SocketAddr,
    destination: SocketAddr,
    path: &'a Path,
    hop_limit: u8,
    traffic_class: u8,
    dont_fragment: bool,
    no_checksum: bool,
    /// Members on this machine get groups' datagrams too.
    loops: bool,
}

impl Net {
    /// Takes a UDP datagram.
    pub(crate) fn take_datagram(self: &Arc<Self>, received: &Received<'_>) {
        let Some((header, _)) = received.payload.split_first_chunk::<HEADER_LEN>() else { return };
        let word = |i: usize| u16::from_be_bytes([header[i], header[i + 1]]);
        let (source, destination, len, sum) = (word(0), word(2), usize::from(word(4)), word(6));
        let Some(whole) = received.payload.get(..len).filter(|_| len >= HEADER_LEN) else { return };
        let ip = &received.header;
        let unchecked = sum == 0 && ip.source.is_ipv4();
        let right = received.checked
            || unchecked
            || sum != 0 && checksum::transport_is_right(ip.source, ip.destination, protocol::UDP, whole);
        if !right {
            return;
        }
        let (from, to) = (SocketAddr::new(ip.source, source), SocketAddr::new(ip.destination, destination));
        let interface = received.interface.index;
        let takers = self.udp.takers(to, from, interface, received.to_many);
        if takers.is_empty() {
            self.report_port(received);
            return;
        }
        let datagram = Datagram {
            from,
            to: ip.destination,
            port: destination,
            interface,
            payload: Arc::new(whole[HEADER_LEN..].to_vec()),
            hop_limit: ip.hop_limit,
            traffic_class: ip.traffic_class,
            time_ns: self.environment().clock.realtime_ns(),
        };
        for taker in takers {
            taker.deliver(datagram.clone());
        }
    }

    /// Takes a report about a datagram of ours.
    pub(crate) fn report_datagram(&self, local: SocketAddr, peer: SocketAddr, report: &Report) {
        for socket in self.udp.takers(local, peer, 0, false) {
            let mut inner = socket.state.lock();
            let listens =
                if local.is_ipv4() { inner.options.receive_errors } else { inner.options.receive_errors_v6 };
            if listens && inner.errors.len() < MOST_ERRORS {
                let origin = match (report.from, local.is_ipv4()) {
                    (None, _) => 1,
                    (_, true) => 2,
                    (_, false) => 3,
                };
                let entry = ErrorReport {
                    errno: report.errno,
                    origin,
                    kind: report.kind,
                    code: report.code,
                    info: report.mtu.unwrap_or(0),
                    offender: report.from,
                };
                inner.errors.push_back((entry, Arc::default(), peer));
            }
            let connected = inner.peer == Some(peer);
            drop(inner);
            // LINUX: only a connected socket hears of what is final, unless it asked for more.
            if listens || connected && report.hard {
                socket.common.set_error(report.errno);
                socket.queue.wake(Readiness::ALWAYS | Readiness::READ | Readiness::WRITE);
            }
        }
    }

    /// Sends a datagram.
    fn send_datagram(self: &Arc<Self>, sending: &Sending<'_>, payload: &[u8]) -> Result<()> {
        let (source, destination) = (sending.source, sending.destination);
        let most = if destination.is_ipv4() { LONGEST.0 } else { LONGEST.1 };
        if payload.len() > most {
            return Err(Errno::EMSGSIZE);
        }
        let many = destination.ip().is_multicast();
        if sending.path.is_local() && !many {
            return self.send_within(sending, payload);
        }
        let header = IpHeader {
            source: source.ip(),
            destination: destination.ip(),
            protocol: protocol::UDP,
            hop_limit: sending.hop_limit,
            traffic_class: sending.traffic_class,
            dont_fragment: sending.dont_fragment,
        };
        let len = HEADER_LEN + payload.len();
        let write = |to: &mut [u8]| {
            to[..2].copy_from_slice(&source.port().to_be_bytes());
            to[2..4].copy_from_slice(&destination.port().to_be_bytes());
            to[4..6].copy_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
            to[6..8].fill(0);
            to[HEADER_LEN..].copy_from_slice(payload);
        };
        if many && sending.loops && sending.path.interface.is_member(destination.ip())
            || sending.path.is_local()
        {
            let mut packet = vec![0; header.len() + len];
            header.emit(&mut packet, len, 0);
            write(&mut packet[header.len()..]);
            self.loop_back_from(&sending.path.interface, packet);
        }
        if sending.path.is_local() {
            return Ok(());
        }
        let checksum = (!sending.no_checksum || destination.is_ipv6()).then_some(6);
        let finish = Finish { checksum, segment: None };
        self.send_ip(sending.path, &header, len, finish, &mut |to| write(to))
    }

    /// Hands a datagram to a socket of this machine.
    fn send_within(self: &Arc<Self>, sending: &Sending<'_>, payload: &[u8]) -> Result<()> {
        let (source, destination) = (sending.source, sending.destination);
        let takers = self.udp.takers(destination, source, crate::interface::LOOPBACK, false);
        sending.path.interface.count_local(1, (payload.len() + HEADER_LEN + 20) as u64);
        let Some(taker) = takers.first() else {
            let errno = Errno::ECONNREFUSED;
            let (kind, code) = if destination.is_ipv4() { (3, 3) } else { (1, 4) };
            let from = Some(destination.ip());
            let report = Report { errno, hard: true, kind, code, mtu: None, from };
            self.report_datagram(source, destination, &report);
            return Ok(());
        };
        taker.deliver(Datagram {
            from: source,
            to: destination.ip(),
            port: destination.port(),
            interface: crate::interface::LOOPBACK,
            payload: Arc::new(payload.to_vec()),
            hop_limit: sending.hop_limit,
            traffic_class: sending.traffic_class,
            time_ns: self.environment().clock.realtime_ns(),
        });
        Ok(())
    }

    /// Lists the sockets of UDP that have a port.
    pub(crate) fn udp_sockets(&self) -> Vec<Arc<Udp>> {
        self.udp.list().iter().filter_map(Weak::upgrade).collect()
    }
}
