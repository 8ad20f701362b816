//! What `/proc/net` and tools that list sockets want to know.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::tcp::{Tcp, TimeWaitRow};
use crate::udp::Udp;
use crate::{Net, any};

/// A socket of the Internet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SocketRow {
    /// The socket is of `AF_INET6`.
    pub v6: bool,
    /// Local address; any where there is none.
    pub local: SocketAddr,
    /// The peer's address; any where there is none.
    pub peer: SocketAddr,
    /// State, as `TCP_INFO` numbers it; 7 for datagram sockets without a peer, 1 with one.
    pub state: u8,
    /// Bytes that wait to be sent or acknowledged.
    pub send_queue: usize,
    /// Bytes that wait to be read; connections that wait to be accepted.
    pub receive_queue: usize,
    /// Number of the socket, which is its inode; 0 where there is no socket any more.
    pub id: u64,
    /// Datagrams that were dropped.
    pub drops: u32,
}

/// How many connections of TCP there are of each kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TcpCount {
    /// Connections that carry bytes, and listeners.
    pub in_use: usize,
    /// Connections that wait out their last minute.
    pub waiting: usize,
}

impl SocketRow {
    fn of_tcp(tcp: &Tcp) -> Self {
        let v6 = tcp.common.domain == abi::socket::AF_INET6;
        let (local, peer) = tcp.ends();
        let none = SocketAddr::new(any(v6), 0);
        let (send_queue, receive_queue) = tcp.queues();
        Self {
            v6,
            local: local.unwrap_or(none),
            peer: peer.unwrap_or(none),
            state: tcp.state_number(),
            send_queue,
            receive_queue,
            id: tcp.common.id,
            drops: 0,
        }
    }

    fn of_wait(row: &TimeWaitRow) -> Self {
        Self {
            v6: row.local.is_ipv6(),
            local: row.local,
            peer: row.peer,
            state: abi::socket::TCP_TIME_WAIT,
            send_queue: 0,
            receive_queue: 0,
            id: 0,
            drops: 0,
        }
    }

    fn of_udp(udp: &Udp) -> Self {
        let v6 = udp.common.domain == abi::socket::AF_INET6;
        let (local, peer) = {
            let inner = udp.state.lock();
            (inner.local, inner.peer)
        };
        let none = SocketAddr::new(any(v6), 0);
        let (receive_queue, drops) = udp.counts();
        Self {
            v6,
            local: local.unwrap_or(none),
            peer: peer.unwrap_or(none),
            state: if peer.is_some() { 1 } else { 7 },
            send_queue: 0,
            receive_queue,
            id: udp.common.id,
            drops,
        }
    }
}

impl Net {
    /// Lists the sockets of TCP: listeners first, then connections through the network, then those that are over.
    pub fn tcp_rows(&self) -> Vec<SocketRow> {
        let (live, waits) = self.tcp.list();
        let owners: Vec<Arc<Tcp>> =
            self.tcp.owners().into_iter().filter(|o| !live.iter().any(|l| Arc::ptr_eq(l, o))).collect();
        let rows = owners.iter().chain(&live).map(|tcp| SocketRow::of_tcp(tcp));
        rows.chain(waits.iter().map(SocketRow::of_wait)).collect()
    }

    /// Lists the sockets of UDP that have a port.
    pub fn udp_rows(&self) -> Vec<SocketRow> {
        self.udp_sockets().iter().map(|udp| SocketRow::of_udp(udp)).collect()
    }

    /// Counts the connections of TCP.
    pub fn tcp_count(&self) -> TcpCount {
        let (all, waiting) = self.tcp_counts();
        TcpCount { in_use: all - waiting + self.tcp.owners().len(), waiting }
    }
}
