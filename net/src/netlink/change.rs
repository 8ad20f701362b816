//! Orders of `NETLINK_ROUTE`: addresses, routes and neighbours come and go, links go up and down.

use core::net::IpAddr;

use abi::netlink::*;
use abi::socket::{AF_INET, AF_INET6};
use abi::{Errno, Result};

use super::Netlink;
use super::message::Request;
use super::route::Answer;
use crate::config::masked;
use crate::{InterfaceAddress, Mac, Route};

/// Says that a family is one of the Internet's.
///
/// # Errors
/// `EOPNOTSUPP`
fn internet(family: u8) -> Result<u16> {
    match u16::from(family) {
        family @ (AF_INET | AF_INET6) => Ok(family),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

impl Netlink {
    /// Carries an order out.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for one that is not known, and those of the order.
    pub(super) fn change(&self, request: &Request<'_>) -> Result<Answer> {
        match request.header.nlmsg_type {
            RTM_NEWADDR => self.new_address(request)?,
            RTM_DELADDR => self.remove_address(request)?,
            RTM_NEWROUTE => self.new_route(request)?,
            RTM_DELROUTE => self.remove_route(request)?,
            RTM_NEWNEIGH => self.new_neighbor(request)?,
            RTM_DELNEIGH => self.remove_neighbor(request)?,
            RTM_NEWLINK | RTM_SETLINK => self.set_link(request)?,
            _ => return Err(Errno::EOPNOTSUPP),
        }
        Ok(Answer::Done)
    }

    fn new_address(&self, request: &Request<'_>) -> Result<()> {
        let (header, attributes) = request.parts::<Ifaddrmsg>()?;
        let family = internet(header.ifa_family)?;
        let local = attributes.address(IFA_LOCAL, family)?;
        let other = attributes.address(IFA_ADDRESS, family)?;
        let address = match (family, local) {
            (_, Some(local)) => local,
            (AF_INET, None) => return Err(Errno::EINVAL),
            (_, None) => other.ok_or(Errno::EINVAL)?,
        };
        if other.is_some_and(|other| other != address) {
            // The other end of a link between two.
            return Err(Errno::EOPNOTSUPP);
        }
        let link = self.net.interface(header.ifa_index).ok_or(Errno::ENODEV)?;
        let cached = attributes.get(IFA_CACHEINFO);
        if cached.is_some_and(|c| c.get(4..8).is_some_and(|valid| valid != [0xff; 4])) {
            // DEVIATION: addresses that end by themselves come from the configuration of the machine only.
            return Err(Errno::EOPNOTSUPP);
        }
        let new = InterfaceAddress { interface: link.index, address, prefix: header.ifa_prefixlen };
        match self.net.add_address(new) {
            Err(Errno::EEXIST) if request.has(NLM_F_REPLACE) && !request.has(NLM_F_EXCL) => Ok(()),
            other => other,
        }
    }

    fn remove_address(&self, request: &Request<'_>) -> Result<()> {
        let (header, attributes) = request.parts::<Ifaddrmsg>()?;
        let family = internet(header.ifa_family)?;
        let local = attributes.address(IFA_LOCAL, family)?;
        let wanted = local.or(attributes.address(IFA_ADDRESS, family)?);
        self.net.interface(header.ifa_index).ok_or(Errno::ENODEV)?;
        let wanted = match wanted {
            Some(wanted) => wanted,
            // LINUX: without an address the first one of the link goes.
            None if family == AF_INET => {
                let all = self.net.addresses();
                let first = all.iter().find(|a| a.interface == header.ifa_index && a.address.is_ipv4());
                first.ok_or(Errno::EADDRNOTAVAIL)?.address
            }
            None => return Err(Errno::EINVAL),
        };
        self.net.remove_address(header.ifa_index, wanted)
    }

    /// Reads a route. Of IPv6 a metric of 0 stands for 1024 where a route is made.
    fn route_of(&self, request: &Request<'_>) -> Result<(Rtmsg, Route, bool)> {
        let (header, attributes) = request.parts::<Rtmsg>()?;
        let family = internet(header.rtm_family)?;
        let v4 = family == AF_INET;
        if header.rtm_dst_len > if v4 { 32 } else { 128 } || header.rtm_src_len != 0 {
            return Err(Errno::EINVAL);
        }
        let table = attributes.number(RTA_TABLE)?.unwrap_or_else(|| u32::from(header.rtm_table));
        if table != u32::from(RT_TABLE_MAIN) && table != 0 {
            // DEVIATION: there is one table of routes beside that of the machine's own addresses.
            return Err(Errno::EOPNOTSUPP);
        }
        if attributes.get(RTA_MULTIPATH).is_some() || attributes.get(RTA_METRICS).is_some() {
            // DEVIATION: a route has one way, and the MTU of its link.
            return Err(Errno::EOPNOTSUPP);
        }
        let wanted = attributes.address(RTA_DST, family)?;
        let address = match wanted {
            Some(address) => address,
            None if header.rtm_dst_len == 0 => crate::any(!v4),
            None => return Err(Errno::EINVAL),
        };
        let network = masked(address, header.rtm_dst_len);
        if v4 && network != address {
            return Err(Errno::EINVAL);
        }
        let interface = attributes.number(RTA_OIF)?.unwrap_or(0);
        if interface != 0 {
            self.net.interface(interface).ok_or(Errno::ENODEV)?;
        }
        let route = Route {
            destination: (network, header.rtm_dst_len),
            gateway: attributes.address(RTA_GATEWAY, family)?.filter(|g| !g.is_unspecified()),
            interface,
            source: attributes.address(RTA_PREFSRC, family)?,
            metric: attributes.number(RTA_PRIORITY)?.unwrap_or(0),
            protocol: header.rtm_protocol,
        };
        Ok((header, route, v4))
    }

    fn new_route(&self, request: &Request<'_>) -> Result<()> {
        let (header, mut route, v4) = self.route_of(request)?;
        if header.rtm_type != RTN_UNICAST {
            return Err(Errno::EOPNOTSUPP);
        }
        if !v4 && route.metric == 0 {
            route.metric = 1024;
        }
        if route.source.is_some_and(|source| !self.net.is_local(source)) {
            return Err(Errno::EINVAL);
        }
        if route.interface == 0 {
            let gateway = route.gateway.ok_or(Errno::ENODEV)?;
            let path = self.net.path(gateway, None, 0).map_err(|_| Errno::ENETUNREACH)?;
            if path.is_local() {
                return Err(Errno::EINVAL);
            }
            route.interface = path.interface.index;
        }
        if self.net.interface(route.interface).is_some_and(|link| !link.is_up()) {
            return Err(Errno::ENETDOWN);
        }
        // LINUX: what another route of the same network and metric means depends on the flags.
        let same = |r: &Route| r.destination == route.destination && r.metric == route.metric;
        let known = self.net.routes().iter().any(same);
        if known && request.has(NLM_F_EXCL) {
            return Err(Errno::EEXIST);
        }
        if !known && !request.has(NLM_F_CREATE) {
            return Err(Errno::ENOENT);
        }
        let replaced: Option<Route> =
            if known && request.has(NLM_F_REPLACE) { self.net.routes().into_iter().find(same) } else { None };
        if replaced == Some(route) {
            return Ok(());
        }
        self.net.add_route(route)?;
        if let Some(old) = replaced {
            self.net.remove_routes(|r| *r == old);
        }
        Ok(())
    }

    fn remove_route(&self, request: &Request<'_>) -> Result<()> {
        let (header, wanted, _) = self.route_of(request)?;
        let fits = |r: &Route| {
            r.destination == wanted.destination
                && (wanted.interface == 0 || wanted.interface == r.interface)
                && (wanted.gateway.is_none() || wanted.gateway == r.gateway)
                && (wanted.metric == 0 || wanted.metric == r.metric)
                && (wanted.source.is_none() || wanted.source == r.source)
                && (header.rtm_protocol == RTPROT_UNSPEC || header.rtm_protocol == r.protocol)
                && (header.rtm_type == RTN_UNSPEC || header.rtm_type == RTN_UNICAST)
                && (!r.destination.0.is_ipv4()
                    || header.rtm_scope == RT_SCOPE_NOWHERE
                    || header.rtm_scope == super::show::Row::of(*r).scope)
        };
        let mut all = self.net.routes();
        all.sort_by_key(|r| r.metric);
        let found = all.into_iter().find(fits).ok_or(Errno::ESRCH)?;
        self.net.remove_routes(|r| *r == found);
        Ok(())
    }

    fn new_neighbor(&self, request: &Request<'_>) -> Result<()> {
        let (header, attributes) = request.parts::<Ndmsg>()?;
        let family = u16::from(header.ndm_family);
        let wanted: IpAddr = attributes.address(NDA_DST, family)?.ok_or(Errno::EINVAL)?;
        let link = self.net.interface(header.ndm_ifindex.cast_unsigned()).ok_or(Errno::ENODEV)?;
        internet(header.ndm_family).map_err(|_| Errno::EAFNOSUPPORT)?;
        let mac: Option<Mac> = match attributes.get(NDA_LLADDR) {
            Some(value) => Some(*value.first_chunk().ok_or(Errno::EINVAL)?),
            None => None,
        };
        let now = self.net.now();
        let mut neighbors = link.neighbors.lock();
        let known = neighbors.list(now).iter().find(|row| row.address == wanted).map(|row| row.mac);
        match known {
            None if !request.has(NLM_F_CREATE) => return Err(Errno::ENOENT),
            Some(_) if request.has(NLM_F_EXCL) => return Err(Errno::EEXIST),
            Some(_) if !request.has(NLM_F_REPLACE) && mac.is_some() && known != Some(mac) => {
                // LINUX: another address is not taken over unless it is to replace the one known.
                return Ok(());
            }
            _ => {}
        }
        let mac = mac.or(known.flatten()).ok_or(Errno::EINVAL)?;
        let waiting = neighbors.set(wanted, mac, now, header.ndm_state & NUD_PERMANENT != 0);
        drop(neighbors);
        for (frame, offload) in waiting {
            // What does not fit is lost, as on any full link.
            let _ = link.transmit(&frame, offload);
        }
        link.flush();
        Ok(())
    }

    fn remove_neighbor(&self, request: &Request<'_>) -> Result<()> {
        let (header, attributes) = request.parts::<Ndmsg>()?;
        let family = u16::from(header.ndm_family);
        let wanted = attributes.address(NDA_DST, family)?.ok_or(Errno::EINVAL)?;
        let link = self.net.interface(header.ndm_ifindex.cast_unsigned()).ok_or(Errno::ENODEV)?;
        internet(header.ndm_family).map_err(|_| Errno::EAFNOSUPPORT)?;
        if link.neighbors.lock().remove(wanted) { Ok(()) } else { Err(Errno::ENOENT) }
    }

    fn set_link(&self, request: &Request<'_>) -> Result<()> {
        let (header, attributes) = request.parts::<Ifinfomsg>()?;
        let named = self.named_link(header.ifi_index, &attributes);
        let creates = request.header.nlmsg_type == RTM_NEWLINK && request.has(NLM_F_CREATE);
        let link = match named {
            Err(Errno::ENODEV | Errno::EINVAL) if creates => return Err(Errno::EOPNOTSUPP),
            Ok(_) if creates && request.has(NLM_F_EXCL) => return Err(Errno::EEXIST),
            other => other?,
        };
        // DEVIATION: names, Ethernet addresses and the rest of a link stay as they are.
        let name = attributes.text(IFLA_IFNAME);
        let mac = attributes.get(IFLA_ADDRESS);
        if name.is_some_and(|name| name != link.name.as_bytes()) || mac.is_some_and(|mac| mac != link.mac) {
            return Err(Errno::EOPNOTSUPP);
        }
        attributes
            .only(&[IFLA_IFNAME, IFLA_ADDRESS, IFLA_MTU, IFLA_EXT_MASK])
            .map_err(|_| Errno::EOPNOTSUPP)?;
        if let Some(mtu) = attributes.number(IFLA_MTU)? {
            self.net.set_mtu(&link, mtu)?;
        }
        if header.ifi_flags != 0 || header.ifi_change != 0 {
            let mask = if header.ifi_change == 0 { u32::MAX } else { header.ifi_change };
            self.net.set_flags(&link, link.flags() & !mask | header.ifi_flags & mask);
        }
        Ok(())
    }
}
