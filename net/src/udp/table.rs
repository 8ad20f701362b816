//! Who takes datagrams to a port.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::{IpAddr, SocketAddr};

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hashbrown::{DefaultHashBuilder, HashMap};

use super::Udp;
use crate::tcp::free_port;

/// What a socket claims.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) address: IpAddr,
    pub(crate) v4: bool,
    pub(crate) v6: bool,
    pub(crate) reuse: bool,
    pub(crate) reuse_port: Option<u32>,
    pub(crate) interface: u32,
    pub(crate) peer: Option<SocketAddr>,
    /// Takes what is sent to groups that it has not joined, if others on the machine have.
    pub(crate) all_groups: bool,
}

struct Entry {
    socket: Weak<Udp>,
    id: u64,
    claim: Claim,
    groups: Vec<IpAddr>,
}

/// Sockets by port.
#[derive(Default)]
pub(crate) struct Table {
    ports: Lock<HashMap<u16, Vec<Entry>>, { rank::NET_TABLE }>,
}

fn named(address: IpAddr) -> Option<IpAddr> {
    Some(address).filter(|a| !a.is_unspecified())
}

impl Claim {
    fn conflicts(&self, other: &Self) -> bool {
        let families = self.v4 && other.v4 || self.v6 && other.v6;
        let addresses = match (named(self.address), named(other.address)) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        let interfaces = self.interface == 0 || other.interface == 0 || self.interface == other.interface;
        let shared =
            self.reuse && other.reuse || self.reuse_port.is_some() && self.reuse_port == other.reuse_port;
        families && addresses && interfaces && !shared
    }

    /// Says how well a datagram fits; `None` if not at all.
    fn fits(&self, to: SocketAddr, from: SocketAddr, interface: u32, to_many: bool) -> Option<u32> {
        let family = if to.is_ipv4() { self.v4 } else { self.v6 };
        let address = named(self.address);
        // Bound to one's own address, one does not hear what goes to everybody.
        let address_fits = address.is_none_or(|a| a == to.ip());
        let peer_fits = self.peer.is_none_or(|p| p == from);
        let interface_fits = self.interface == 0 || interface == 0 || self.interface == interface;
        let _ = to_many;
        (family && address_fits && peer_fits && interface_fits).then(|| {
            u32::from(self.peer.is_some()) * 4
                + u32::from(address.is_some()) * 2
                + u32::from(self.interface != 0)
        })
    }
}

impl Table {
    /// Gives a socket a port: the one that it wants, or any for 0.
    ///
    /// # Errors
    /// `EADDRINUSE`; `EAGAIN` if all ports are used.
    pub(crate) fn bind(&self, socket: &Arc<Udp>, claim: Claim, port: u16, random: u64) -> Result<u16> {
        let mut ports = self.ports.lock();
        let free = |p: u16| ports.get(&p).is_none_or(|all| all.iter().all(|e| !e.claim.conflicts(&claim)));
        let port = if port == 0 {
            free_port(random, |p| !ports.contains_key(&p))
                .or_else(|| free_port(random, free))
                .ok_or(Errno::EAGAIN)?
        } else if free(port) {
            port
        } else {
            return Err(Errno::EADDRINUSE);
        };
        let entry = Entry { socket: Arc::downgrade(socket), id: socket.common.id, claim, groups: Vec::new() };
        ports.entry(port).or_default().push(entry);
        Ok(port)
    }

    /// Changes what a socket claims.
    pub(crate) fn change(&self, id: u64, port: u16, change: impl FnOnce(&mut Claim, &mut Vec<IpAddr>)) {
        if let Some(all) = self.ports.lock().get_mut(&port)
            && let Some(entry) = all.iter_mut().find(|e| e.id == id)
        {
            change(&mut entry.claim, &mut entry.groups);
        }
    }

    /// Gives a port back.
    pub(crate) fn unbind(&self, id: u64, port: u16) {
        let mut ports = self.ports.lock();
        let Some(all) = ports.get_mut(&port) else { return };
        let gone = all.iter().position(|e| e.id == id).map(|at| all.swap_remove(at));
        if all.is_empty() {
            ports.remove(&port);
        }
        drop(ports);
        drop(gone);
    }

    /// Finds who takes a datagram: the one that fits best, or all that fit where it goes to many.
    pub(crate) fn takers(
        &self,
        to: SocketAddr,
        from: SocketAddr,
        interface: u32,
        to_many: bool,
    ) -> Vec<Arc<Udp>> {
        let ports = self.ports.lock();
        let Some(all) = ports.get(&to.port()) else { return Vec::new() };
        let score = |e: &Entry| e.claim.fits(to, from, interface, to_many);
        if to_many {
            let group = to.ip().is_multicast();
            let hears = |e: &&Entry| !group || e.claim.all_groups || e.groups.contains(&to.ip());
            let takers = all.iter().filter(|e| score(e).is_some()).filter(hears);
            return takers.filter_map(|e| e.socket.upgrade()).collect();
        }
        let Some(best) = all.iter().filter_map(score).max() else { return Vec::new() };
        let fitting: Vec<&Entry> = all.iter().filter(|e| score(e) == Some(best)).collect();
        let chosen = match fitting.as_slice() {
            [one] => Some(*one),
            // Of several that share the port, the sender's address chooses; else the last one hears everything.
            several if several.iter().all(|e| e.claim.reuse_port.is_some()) => {
                let hash = DefaultHashBuilder::default().hash_one(from);
                several.get(usize::try_from(hash % several.len() as u64).unwrap_or(0)).copied()
            }
            several => several.last().copied(),
        };
        chosen.and_then(|e| e.socket.upgrade()).into_iter().collect()
    }

    /// Lists the sockets.
    pub(crate) fn list(&self) -> Vec<Weak<Udp>> {
        self.ports.lock().values().flatten().map(|e| e.socket.clone()).collect()
    }
}
