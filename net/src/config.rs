//! Addresses and routes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::Ordering;

use abi::{Errno, Result};

use crate::interface::{Interface, LOOPBACK};
use crate::netlink::{Change, News};
use crate::{Net, any, flag};

/// An address of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterfaceAddress {
    /// The interface's number.
    pub interface: u32,
    /// The address.
    pub address: IpAddr,
    /// Bits of the network.
    pub prefix: u8,
}

impl InterfaceAddress {
    /// Returns the address that means everybody on the network, where there is one.
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(v4) if self.prefix < 31 && self.interface != LOOPBACK => {
                let host = u32::MAX >> self.prefix;
                Some(Ipv4Addr::from(u32::from(v4) | host))
            }
            _ => None,
        }
    }

    /// Returns the network that the address lies in.
    pub fn network(&self) -> IpAddr {
        masked(self.address, self.prefix)
    }
}

/// A route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The destination: a network and its bits.
    pub destination: (IpAddr, u8),
    /// Who passes packets on; `None` means that the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The interface's number.
    pub interface: u32,
    /// The source address to be used, if the route names one.
    pub source: Option<IpAddr>,
    /// Of two routes to a destination the smaller one counts.
    pub metric: u32,
    /// Who made it: `RTPROT_*`.
    pub protocol: u8,
}

/// Addresses and routes, in order.
#[derive(Default)]
pub(crate) struct Config {
    pub(crate) interfaces: Vec<Arc<Interface>>,
    pub(crate) addresses: Vec<InterfaceAddress>,
    pub(crate) routes: Vec<Route>,
}

/// How packets get to an address.
#[derive(Clone)]
pub struct Path {
    /// The interface that they leave through; the loopback for the machine's own addresses.
    pub interface: Arc<Interface>,
    /// The neighbour that they go to.
    pub next_hop: IpAddr,
    /// The source address that suits them.
    pub source: IpAddr,
    /// The value of [`Net::generation`] when this was looked up.
    pub generation: u32,
    /// The destination is everybody on a network.
    pub broadcast: bool,
}

impl Path {
    /// Says whether packets stay in the machine.
    pub fn is_local(&self) -> bool {
        self.interface.is_loopback()
    }
}

/// Returns the route to the network that an address lies in.
fn network_route(address: &InterfaceAddress) -> Option<Route> {
    let v4 = address.address.is_ipv4();
    if address.interface == LOOPBACK || v4 && address.prefix >= 32 {
        return None;
    }
    Some(Route {
        destination: (address.network(), address.prefix),
        gateway: None,
        interface: address.interface,
        source: v4.then_some(address.address),
        // LINUX: the route to an IPv6 network has a metric of 256.
        metric: if v4 { 0 } else { 256 },
        protocol: 2,
    })
}

/// Returns an address without the bits behind the first `prefix`.
pub(crate) fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
        }
    }
}

/// Says whether an address lies in a network.
pub(crate) fn contains(network: (IpAddr, u8), address: IpAddr) -> bool {
    network.0.is_ipv4() == address.is_ipv4() && masked(address, network.1) == masked(network.0, network.1)
}

/// Says whether an address holds on one link only.
pub(crate) const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

impl Config {
    pub(crate) fn interface(&self, index: u32) -> Option<Arc<Interface>> {
        self.interfaces.iter().find(|i| i.index == index).cloned()
    }

    fn is_local(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) if v4.is_loopback() => true,
            _ => self.addresses.iter().any(|a| a.address == address),
        }
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => v4.is_broadcast() || self.addresses.iter().any(|a| a.broadcast() == Some(v4)),
            IpAddr::V6(_) => false,
        }
    }

    /// Chooses the source address for a destination behind an interface (RFC 6724, as far as it goes without labels).
    fn source(&self, interface: u32, destination: IpAddr) -> Option<IpAddr> {
        let fits = |a: &&InterfaceAddress| a.address.is_ipv4() == destination.is_ipv4();
        let all = || self.addresses.iter().filter(fits);
        let here = || all().filter(move |a| a.interface == interface);
        let same_scope = |a: &&InterfaceAddress| is_link_local(a.address) == is_link_local(destination);
        here()
            .find(|a| contains((a.address, a.prefix), destination))
            .or_else(|| here().find(same_scope))
            .or_else(|| here().next())
            .or_else(|| all().find(|a| a.interface != LOOPBACK && same_scope(a)))
            .or_else(|| all().next())
            .map(|a| a.address)
    }

    /// Finds the route to an address: the longest prefix, then the smallest metric.
    fn route(&self, destination: IpAddr, bound: u32) -> Option<&Route> {
        let up = |r: &&Route| self.interface(r.interface).is_some_and(|i| i.is_up());
        self.routes
            .iter()
            .filter(|r| contains(r.destination, destination) && (bound == 0 || r.interface == bound))
            .filter(up)
            .min_by_key(|r| (u8::MAX - r.destination.1, r.metric))
    }
}

impl Net {
    /// Returns the number of changes of addresses and routes so far: a [`Path`] of another one is looked up again.
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns the interfaces in order of their numbers.
    pub fn interfaces(&self) -> Vec<Arc<Interface>> {
        self.config.lock().interfaces.clone()
    }

    /// Finds an interface by its number.
    pub fn interface(&self, index: u32) -> Option<Arc<Interface>> {
        self.config.lock().interface(index)
    }

    /// Finds an interface by its name.
    pub fn interface_named(&self, name: &[u8]) -> Option<Arc<Interface>> {
        self.config.lock().interfaces.iter().find(|i| i.name.as_bytes() == name).cloned()
    }

    /// Returns the addresses in the order in which they were given.
    pub fn addresses(&self) -> Vec<InterfaceAddress> {
        self.config.lock().addresses.clone()
    }

    /// Returns the routes.
    pub fn routes(&self) -> Vec<Route> {
        self.config.lock().routes.clone()
    }

    /// Gives an interface an address, with the route to its network.
    ///
    /// # Errors
    /// `EEXIST`, `ENODEV`, `EINVAL`
    pub fn add_address(&self, address: InterfaceAddress) -> Result<()> {
        let bits = if address.address.is_ipv4() { 32 } else { 128 };
        if address.prefix > bits || address.address.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let mut config = self.config.lock();
        if config.interface(address.interface).is_none() {
            return Err(Errno::ENODEV);
        }
        let same = |a: &InterfaceAddress| a.interface == address.interface && a.address == address.address;
        if config.addresses.iter().any(same) {
            return Err(Errno::EEXIST);
        }
        config.addresses.push(address);
        let mut made = None;
        if let Some(route) = network_route(&address)
            && !config.routes.contains(&route)
        {
            config.routes.push(route);
            made = Some(route);
        }
        drop(config);
        self.changed();
        self.announce(News::Address(address, Change::New));
        if let Some(route) = made {
            self.announce(News::Route(route, Change::New));
        }
        Ok(())
    }

    /// Takes an address, and what routes need it.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL`
    pub fn remove_address(&self, interface: u32, address: IpAddr) -> Result<()> {
        let mut config = self.config.lock();
        let is_it = |a: &InterfaceAddress| a.interface == interface && a.address == address;
        let at = config.addresses.iter().position(is_it).ok_or(Errno::EADDRNOTAVAIL)?;
        let gone = config.addresses.remove(at);
        let network = (gone.network(), gone.prefix);
        let used =
            config.addresses.iter().any(|a| a.interface == interface && (a.network(), a.prefix) == network);
        // LINUX: without an address of a family an interface has no routes of it.
        let left = config
            .addresses
            .iter()
            .any(|a| a.interface == interface && a.address.is_ipv4() == address.is_ipv4());
        let before = config.routes.clone();
        config.routes.retain(|r| {
            if !left && r.interface == interface && r.destination.0.is_ipv4() == address.is_ipv4() {
                return false;
            }
            let own = r.interface == interface && r.destination == network && r.protocol == 2 && !used;
            !own && r.source != Some(address)
        });
        let lost: Vec<_> = before.into_iter().filter(|r| !config.routes.contains(r)).collect();
        drop(config);
        self.changed();
        self.announce(News::Address(gone, Change::Gone));
        for route in lost {
            self.announce(News::Route(route, Change::Gone));
        }
        Ok(())
    }

    /// Adds a route.
    ///
    /// # Errors
    /// `EEXIST`, `ENODEV`, `ENETUNREACH` if the gateway cannot be reached directly.
    pub fn add_route(&self, route: Route) -> Result<()> {
        let mut config = self.config.lock();
        if config.interface(route.interface).is_none() {
            return Err(Errno::ENODEV);
        }
        if let Some(gateway) = route.gateway {
            let direct = is_link_local(gateway)
                || config.route(gateway, route.interface).is_some_and(|r| r.gateway.is_none());
            if !direct {
                return Err(Errno::ENETUNREACH);
            }
        }
        let same = |r: &Route| {
            r.destination == route.destination
                && r.metric == route.metric
                && (r.interface, r.gateway) == (route.interface, route.gateway)
        };
        if config.routes.iter().any(same) {
            return Err(Errno::EEXIST);
        }
        config.routes.push(route);
        drop(config);
        self.changed();
        self.announce(News::Route(route, Change::New));
        Ok(())
    }

    /// Takes the routes away that `is_it` finds; says whether there was one.
    pub fn remove_routes(&self, is_it: impl Fn(&Route) -> bool) -> bool {
        let mut config = self.config.lock();
        let (gone, left): (Vec<_>, Vec<_>) = config.routes.iter().partition(|r| is_it(r));
        config.routes = left;
        drop(config);
        self.changed();
        for &route in &gone {
            self.announce(News::Route(route, Change::Gone));
        }
        !gone.is_empty()
    }

    /// Sets those flags of an interface that can be set; one that goes down loses its routes and neighbours, and gets those
    /// of its addresses back when it comes up.
    pub fn set_flags(&self, interface: &Interface, flags: u32) {
        let (was, is) = (interface.is_up(), flags & flag::UP != 0);
        let before = interface.flags();
        interface.set_flags(flags);
        if before == interface.flags() {
            return;
        }
        if was && !is {
            self.remove_routes(|r| r.interface == interface.index);
            interface.neighbors.lock().clear();
        }
        if !was && is {
            let own: Vec<_> =
                self.addresses().into_iter().filter(|a| a.interface == interface.index).collect();
            for address in own {
                if let Some(route) = network_route(&address)
                    && !self.routes().contains(&route)
                {
                    self.config.lock().routes.push(route);
                    self.announce(News::Route(route, Change::New));
                }
            }
        }
        self.changed();
        self.announce(News::Link(interface));
    }

    /// Sets the largest packet of an interface.
    ///
    /// # Errors
    /// `EINVAL` if the interface does not take such.
    pub fn set_mtu(&self, interface: &Interface, mtu: u32) -> Result<()> {
        interface.set_mtu(mtu).ok_or(Errno::EINVAL)?;
        self.changed();
        self.announce(News::Link(interface));
        Ok(())
    }

    /// Says whether an address is the machine's own.
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.config.lock().is_local(address)
    }

    /// Says whether an address means everybody on a network.
    pub fn is_broadcast(&self, address: IpAddr) -> bool {
        self.config.lock().is_broadcast(address)
    }

    /// Finds the way to an address. `source` is the address that packets come from, if that is known; `bound` the
    /// interface that they have to leave through, 0 for any.
    ///
    /// # Errors
    /// `ENETUNREACH`, `EINVAL` for a source that is not the machine's.
    pub fn path(&self, destination: IpAddr, source: Option<IpAddr>, bound: u32) -> Result<Path> {
        let source = source.filter(|s| !s.is_unspecified());
        let generation = self.generation();
        let config = self.config.lock();
        // LINUX: an address of all zeros is the machine itself.
        let destination = if destination.is_unspecified() {
            if destination.is_ipv4() {
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            } else {
                IpAddr::V6(Ipv6Addr::LOCALHOST)
            }
        } else {
            destination
        };
        let made = |interface: Arc<Interface>, next_hop: IpAddr, chosen: Option<IpAddr>, broadcast| {
            let source = source
                .or(chosen)
                .or_else(|| config.source(interface.index, destination))
                .unwrap_or_else(|| any(destination.is_ipv6()));
            Path { interface, next_hop, source, generation, broadcast }
        };
        if config.is_local(destination) {
            let loopback = config.interface(LOOPBACK).filter(|i| i.is_up()).ok_or(Errno::ENETUNREACH)?;
            // LINUX: all of 127.0.0.0/8 is the machine's, but it speaks from one of these addresses.
            let own = match destination {
                IpAddr::V4(v4) if v4.is_loopback() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                other => other,
            };
            return Ok(made(loopback, destination, Some(own), false));
        }
        if destination.is_multicast() || destination == IpAddr::V4(Ipv4Addr::BROADCAST) {
            let with_source = source.and_then(|s| config.addresses.iter().find(|a| a.address == s));
            let index = [Some(bound).filter(|&b| b != 0), with_source.map(|a| a.interface)]
                .into_iter()
                .flatten()
                .next();
            let interface = match index {
                Some(index) => config.interface(index).ok_or(Errno::ENODEV)?,
                None => match config.route(destination, 0) {
                    Some(route) => config.interface(route.interface).ok_or(Errno::ENETUNREACH)?,
                    // Groups on the link need no route in IPv6.
                    None => config
                        .interfaces
                        .iter()
                        .find(|i| !i.is_loopback() && i.is_up() && destination.is_ipv6())
                        .cloned()
                        .ok_or(Errno::ENETUNREACH)?,
                },
            };
            return Ok(made(interface, destination, None, !destination.is_multicast()));
        }
        if is_link_local(destination) && destination.is_ipv6() && bound != 0 {
            let interface = config.interface(bound).ok_or(Errno::ENODEV)?;
            return Ok(made(interface, destination, None, false));
        }
        let route = config.route(destination, bound).ok_or(Errno::ENETUNREACH)?;
        let interface = config.interface(route.interface).ok_or(Errno::ENETUNREACH)?;
        let broadcast = config.is_broadcast(destination);
        let next_hop = match route.gateway {
            _ if broadcast => IpAddr::V4(Ipv4Addr::BROADCAST),
            Some(gateway) => gateway,
            None => destination,
        };
        let chosen = route.source.filter(|s| s.is_ipv4() == destination.is_ipv4());
        Ok(made(interface, next_hop, chosen, broadcast))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_net;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_longest_prefix_wins() {
        let (net, _card) = test_net();
        let path = |to: &str| net.path(address(to), None, 0).map(|p| (p.next_hop, p.source));
        assert_eq!(path("10.0.2.9"), Ok((address("10.0.2.9"), address("10.0.2.15"))));
        assert_eq!(path("8.8.8.8"), Ok((address("10.0.2.2"), address("10.0.2.15"))));
        assert_eq!(path("127.3.4.5"), Ok((address("127.3.4.5"), address("127.0.0.1"))));
        assert_eq!(path("10.0.2.15"), Ok((address("10.0.2.15"), address("10.0.2.15"))));
        assert_eq!(path("2001:db8::1"), Err(Errno::ENETUNREACH));
        assert_eq!(path("10.0.2.255").unwrap().0, address("255.255.255.255"));
        assert!(net.path(address("10.0.2.255"), None, 0).unwrap().broadcast);
    }

    #[test]
    fn routes_go_with_their_address() {
        let (net, _card) = test_net();
        net.remove_address(2, address("10.0.2.15")).unwrap();
        assert_eq!(net.path(address("10.0.2.9"), None, 0).map(|_| ()), Err(Errno::ENETUNREACH));
        assert_eq!(net.remove_address(2, address("10.0.2.15")), Err(Errno::EADDRNOTAVAIL));
    }

    #[test]
    fn masks_of_all_lengths() {
        assert_eq!(masked(address("255.255.255.255"), 0), address("0.0.0.0"));
        assert_eq!(masked(address("255.255.255.255"), 32), address("255.255.255.255"));
        assert_eq!(masked(address("ffff::1"), 64), address("ffff::"));
        assert!(contains((address("10.0.0.0"), 8), address("10.9.8.7")));
        assert!(!contains((address("0.0.0.0"), 0), address("::1")));
    }
}
