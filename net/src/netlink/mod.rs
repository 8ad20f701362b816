//! Netlink sockets (`netlink(7)`): questions to the kernel about links, addresses, routes and neighbours, orders to change
//! them, and news of changes.
//!
//! [`Netlink`] is a socket as the network knows it; `socket` what an application does with it; `route` the family
//! `NETLINK_ROUTE` (`rtnetlink(7)`), `show` its messages, `news` its groups.

mod change;
mod message;
mod news;
mod route;
mod show;
mod socket;
#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use abi::netlink::{NETLINK_KOBJECT_UEVENT, NETLINK_ROUTE, NETLINK_USERSOCK};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Readiness, WaitQueue};
use hashbrown::HashMap;

use crate::{Common, Net, Ucred};
pub(crate) use news::{Change, News};
pub(crate) use socket::create;

/// What a message costs of the receive buffer beside its bytes.
const OVERHEAD: usize = 512;
/// Bytes of a datagram that answers a question for everything, as Linux fills them (`NLMSG_GOODSIZE`).
const DUMP_SIZE: usize = 3776;

/// The netlink sockets that have a port.
#[derive(Default)]
pub(crate) struct Table {
    sockets: Lock<HashMap<(i32, u32), Weak<Netlink>>, { rank::NET_TABLE }>,
    /// Sockets that are in a group.
    members: AtomicUsize,
}

/// A socket as the network knows it.
pub(crate) struct Netlink {
    net: Arc<Net>,
    common: Common,
    queue: Arc<WaitQueue>,
    state: Lock<Inner, { rank::OBJECT }>,
    no_enobufs: AtomicBool,
}

#[derive(Default)]
struct Inner {
    port: Option<u32>,
    /// Groups that the socket is in: bit 0 is group 1.
    groups: u64,
    /// Where messages go that name no address.
    peer: (u32, u32),
    received: VecDeque<Datagram>,
    /// What [`Self::received`] costs of the receive buffer.
    cost: usize,
    /// The rest of the answer to a question for everything; it is not held against the receive buffer.
    dump: VecDeque<Vec<u8>>,
    /// Something was lost; nothing more is taken before the queue is empty.
    congested: bool,
    strict: bool,
    cap_ack: bool,
    ext_ack: bool,
    packet_info: bool,
    listen_all: bool,
    broadcast_error: bool,
}

/// A message that came in.
struct Datagram {
    /// Port of the sender: 0 is the kernel.
    from: u32,
    /// The group that it was sent to, 0 for none.
    group: u32,
    sender: Ucred,
    bytes: Vec<u8>,
    /// It is part of a dump.
    free: bool,
}

/// How many groups a protocol has, and what everybody may do: be in groups, send to others.
const fn rules(protocol: i32) -> Option<(u32, bool, bool)> {
    match protocol {
        NETLINK_ROUTE => Some((36, true, false)),
        NETLINK_USERSOCK => Some((32, false, true)),
        NETLINK_KOBJECT_UEVENT => Some((32, true, false)),
        _ => None,
    }
}

impl Netlink {
    /// Takes a message, if there is room.
    fn deliver(&self, from: u32, group: u32, sender: Ucred, bytes: &[u8]) -> Result<()> {
        let mut inner = self.state.lock();
        let limit = self.common.receive_buffer.load(Ordering::Relaxed) as usize;
        if inner.congested || inner.cost > limit {
            if !self.no_enobufs.load(Ordering::Relaxed) && !inner.congested {
                inner.congested = true;
                self.common.set_error(Errno::ENOBUFS);
            }
            drop(inner);
            self.queue.wake(Readiness::ALWAYS);
            return Err(Errno::EAGAIN);
        }
        inner.cost += bytes.len() + OVERHEAD;
        inner.received.push_back(Datagram { from, group, sender, bytes: bytes.to_vec(), free: false });
        drop(inner);
        self.queue.wake(Readiness::READ);
        Ok(())
    }

    /// Begins to hand over the answer to a question for everything.
    fn begin_dump(&self, messages: Vec<Vec<u8>>, done: Vec<u8>) {
        let mut datagrams: VecDeque<Vec<u8>> = VecDeque::new();
        for message in messages {
            match datagrams.back_mut() {
                Some(last) if last.len() + message.len() <= DUMP_SIZE => last.extend(message),
                _ => datagrams.push_back(message),
            }
        }
        datagrams.push_back(done);
        let mut inner = self.state.lock();
        inner.dump = datagrams;
        inner.next_of_dump();
        drop(inner);
        self.queue.wake(Readiness::READ);
    }
}

impl Inner {
    /// Puts the next part of a dump behind what waits.
    fn next_of_dump(&mut self) {
        if let Some(bytes) = self.dump.pop_front() {
            self.received.push_back(Datagram { from: 0, group: 0, sender: KERNEL, bytes, free: true });
        }
    }

    /// Takes the oldest message out.
    fn take(&mut self) -> Option<Datagram> {
        let datagram = self.received.pop_front()?;
        if datagram.free {
            self.next_of_dump();
        } else {
            self.cost -= datagram.bytes.len() + OVERHEAD;
        }
        if self.received.is_empty() {
            self.congested = false;
        }
        Some(datagram)
    }
}

/// Who the kernel is.
const KERNEL: Ucred = Ucred { pid: 0, uid: 0, gid: 0 };

impl Table {
    /// Gives a socket a port: that one, or one that nobody has, its process's number if possible.
    ///
    /// # Errors
    /// `EADDRINUSE`
    fn bind(&self, socket: &Arc<Netlink>, port: u32, pid: u32, mut random: u64) -> Result<u32> {
        let mut sockets = self.sockets.lock();
        let protocol = socket.common.protocol;
        let free = |sockets: &HashMap<_, Weak<Netlink>>, port: u32| {
            port != 0 && sockets.get(&(protocol, port)).is_none_or(|s: &Weak<_>| s.strong_count() == 0)
        };
        let chosen = if port != 0 {
            if !free(&sockets, port) {
                return Err(Errno::EADDRINUSE);
            }
            port
        } else {
            let mut chosen = pid;
            while !free(&sockets, chosen) {
                // LINUX: further ones lie where no process number does.
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                chosen = u32::try_from(random >> 33).unwrap_or(0) | 1 << 31;
            }
            chosen
        };
        sockets.insert((protocol, chosen), Arc::downgrade(socket));
        Ok(chosen)
    }

    fn unbind(&self, protocol: i32, port: u32) {
        self.sockets.lock().remove(&(protocol, port));
    }

    fn find(&self, protocol: i32, port: u32) -> Option<Arc<Netlink>> {
        self.sockets.lock().get(&(protocol, port)).and_then(Weak::upgrade)
    }

    /// Says whether somebody wants to hear of anything.
    pub(crate) fn has_members(&self) -> bool {
        self.members.load(Ordering::Relaxed) > 0
    }

    /// Sends a message to a group of a protocol, but not to the port `except`; says whether somebody was there.
    fn broadcast(&self, protocol: i32, group: u32, from: u32, sender: Ucred, bytes: &[u8]) -> bool {
        let all: Vec<Arc<Netlink>> = {
            let sockets = self.sockets.lock();
            sockets.iter().filter(|((p, _), _)| *p == protocol).filter_map(|(_, s)| s.upgrade()).collect()
        };
        let bit = 1_u64.checked_shl(group.wrapping_sub(1)).unwrap_or(0);
        let mut found = false;
        for socket in all {
            let (groups, port) = {
                let inner = socket.state.lock();
                (inner.groups, inner.port)
            };
            if groups & bit == 0 || from != 0 && port == Some(from) {
                continue;
            }
            found = true;
            // What does not fit is told by `ENOBUFS`.
            let _ = socket.deliver(from, group, sender, bytes);
        }
        found
    }
}
