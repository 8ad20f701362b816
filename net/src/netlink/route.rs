//! The family `NETLINK_ROUTE` (`rtnetlink(7)`): takes requests in and answers questions; `change` carries orders out.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use abi::netlink::*;
use abi::socket::{AF_INET, AF_INET6, AF_UNSPEC};
use abi::{Errno, Result};
use zerocopy::IntoBytes;

use super::message::{Attributes, Message, Request};
use super::show::{self, Found, Reply, Row};
use super::{KERNEL, Netlink};
use crate::Identity;
use crate::NeighborRow;
use crate::interface::Interface;

/// Largest message type, as Linux 6.1 has it.
const RTM_MAX: u16 = 123;

/// What a request comes to.
pub(super) enum Answer {
    /// It was done.
    Done,
    /// One message.
    One(Vec<u8>),
    /// All there is.
    All(Vec<Vec<u8>>),
}

impl Netlink {
    /// Takes the requests of one datagram in order, and answers them.
    pub(super) fn take_requests(self: &Arc<Self>, mut bytes: &[u8], port: u32, who: &Identity) {
        let strict = self.state.lock().strict;
        while let Some(request) = Request::take(&mut bytes, strict) {
            let header = request.header;
            let result = if request.has(NLM_F_REQUEST) && header.nlmsg_type >= NLMSG_MIN_TYPE {
                self.take_request(&request, port, who)
            } else {
                Ok(Answer::Done)
            };
            let errno = match result {
                Ok(Answer::All(messages)) => {
                    let mut done = Message::new(NLMSG_DONE, NLM_F_MULTI, header.nlmsg_seq, port);
                    done.put(&0_i32.to_ne_bytes());
                    self.begin_dump(messages, done.finish());
                    continue;
                }
                Ok(Answer::One(message)) => {
                    self.answer(&message);
                    None
                }
                Ok(Answer::Done) => None,
                Err(errno) => Some(errno),
            };
            if errno.is_some() || request.has(NLM_F_ACK) {
                self.acknowledge(&request, port, errno);
            }
        }
    }

    fn answer(&self, message: &[u8]) {
        // What does not fit is told by `ENOBUFS`.
        let _ = self.deliver(0, 0, KERNEL, message);
    }

    fn acknowledge(&self, request: &Request<'_>, port: u32, errno: Option<Errno>) {
        let quote = errno.is_some() && !self.state.lock().cap_ack;
        let flags = if quote { 0 } else { NLM_F_CAPPED };
        let mut message = Message::new(NLMSG_ERROR, flags, request.header.nlmsg_seq, port);
        let error = Nlmsgerr { error: errno.map_or(0, |e| -e.number()), msg: request.header };
        message.put(error.as_bytes());
        if quote {
            message.put(request.body);
        }
        self.answer(&message.finish());
    }

    fn take_request(&self, request: &Request<'_>, port: u32, who: &Identity) -> Result<Answer> {
        let kind = request.header.nlmsg_type;
        if kind > RTM_MAX {
            return Err(Errno::EOPNOTSUPP);
        }
        let Some(&family) = request.body.first() else { return Ok(Answer::Done) };
        // Of each four types the third one asks, and the others change something.
        let asks = kind % 4 == 2;
        if !asks && !who.net_admin {
            return Err(Errno::EPERM);
        }
        if asks && request.header.nlmsg_flags & NLM_F_DUMP != 0 {
            if !self.state.lock().dump.is_empty() {
                return Err(Errno::EBUSY);
            }
            let reply = Reply { flags: NLM_F_MULTI, seq: request.header.nlmsg_seq, port };
            return self.dump(request, kind, family, reply).map(Answer::All);
        }
        let reply = Reply { flags: 0, seq: request.header.nlmsg_seq, port };
        match kind {
            RTM_GETLINK => self.one_link(request, reply),
            RTM_GETADDR if u16::from(family) == AF_INET6 => self.one_address(request, reply),
            RTM_GETROUTE => self.one_route(request, family, reply, who.uid),
            RTM_GETNEIGH => self.one_neighbor(request, reply),
            _ => self.change(request),
        }
    }

    /// Finds the link that a header or an attribute names.
    pub(super) fn named_link(&self, index: i32, attributes: &Attributes<'_>) -> Result<Arc<Interface>> {
        let found = if index > 0 {
            self.net.interface(index.cast_unsigned())
        } else if let Some(name) = attributes.text(IFLA_IFNAME).or_else(|| attributes.text(IFLA_ALT_IFNAME)) {
            self.net.interface_named(name)
        } else {
            return Err(Errno::EINVAL);
        };
        found.ok_or(Errno::ENODEV)
    }

    fn one_link(&self, request: &Request<'_>, reply: Reply) -> Result<Answer> {
        let (header, attributes) = request.parts::<Ifinfomsg>()?;
        if request.strict && (header.ifi_type, header.ifi_flags, header.ifi_change) != (0, 0, 0) {
            return Err(Errno::EINVAL);
        }
        let link = self.named_link(header.ifi_index, &attributes)?;
        let statistics = attributes.number(IFLA_EXT_MASK)?.unwrap_or(0) & RTEXT_FILTER_SKIP_STATS == 0;
        Ok(Answer::One(show::link(&link, RTM_NEWLINK, AF_UNSPEC, statistics, reply)))
    }

    fn one_address(&self, request: &Request<'_>, reply: Reply) -> Result<Answer> {
        let (header, attributes) = request.parts::<Ifaddrmsg>()?;
        let local = attributes.address(IFA_LOCAL, AF_INET6)?;
        let wanted = local.or(attributes.address(IFA_ADDRESS, AF_INET6)?).ok_or(Errno::EINVAL)?;
        let all = self.net.addresses();
        let is_it = |a: &&crate::InterfaceAddress| {
            a.address == wanted && (header.ifa_index == 0 || a.interface == header.ifa_index)
        };
        let found = all.iter().find(is_it).ok_or(Errno::EADDRNOTAVAIL)?;
        Ok(Answer::One(show::address(found, &all, "", RTM_NEWADDR, reply)))
    }

    fn one_neighbor(&self, request: &Request<'_>, reply: Reply) -> Result<Answer> {
        let (header, attributes) = request.parts::<Ndmsg>()?;
        let family = u16::from(header.ndm_family);
        let Some(wanted) = attributes.address(NDA_DST, family)? else { return Err(Errno::EINVAL) };
        if header.ndm_ifindex == 0 {
            return Err(Errno::EINVAL);
        }
        if family != AF_INET && family != AF_INET6 {
            return Err(Errno::EAFNOSUPPORT);
        }
        let link = self.net.interface(header.ndm_ifindex.cast_unsigned()).ok_or(Errno::ENODEV)?;
        let known = link.neighbors.lock().list(self.net.now());
        let &NeighborRow { address, mac, reach } =
            known.iter().find(|row| row.address == wanted).ok_or(Errno::ENOENT)?;
        Ok(Answer::One(show::neighbor(link.index, address, mac, reach, RTM_NEWNEIGH, reply)))
    }

    fn one_route(&self, request: &Request<'_>, family: u8, reply: Reply, uid: u32) -> Result<Answer> {
        let (header, attributes) = request.parts::<Rtmsg>()?;
        let family = match u16::from(family) {
            family @ (AF_INET | AF_INET6) => family,
            _ => return Err(Errno::EOPNOTSUPP),
        };
        if request.strict
            && (header.rtm_table, header.rtm_protocol, header.rtm_scope, header.rtm_type) != (0, 0, 0, 0)
        {
            return Err(Errno::EINVAL);
        }
        let v4 = family == AF_INET;
        let wanted = attributes.address(RTA_DST, family)?.unwrap_or_else(|| crate::any(!v4));
        let from = attributes.address(RTA_SRC, family)?.filter(|a| !a.is_unspecified());
        let bound = attributes.number(RTA_OIF)?.unwrap_or(0);
        if attributes.number(RTA_IIF)?.is_some_and(|i| i != 0) {
            // Nothing is forwarded.
            return Err(if v4 { Errno::EHOSTUNREACH } else { Errno::ENETUNREACH });
        }
        if bound != 0 {
            self.net.interface(bound).ok_or(Errno::ENODEV)?;
        }
        let from_ours = from.is_none_or(|a| self.net.is_local(a));
        if !from_ours && v4 {
            return Err(Errno::EINVAL);
        }
        let path = self.net.path(wanted, from, bound)?;
        let row = show::rows(&self.net, family)
            .into_iter()
            .filter(|r| crate::config::contains(r.route.destination, wanted))
            .filter(|r| bound == 0 || r.route.interface == bound)
            .max_by_key(|r| (r.table, r.route.destination.1, u32::MAX - r.route.metric));
        if header.rtm_flags & RTM_F_FIB_MATCH != 0 {
            let row = row.ok_or(Errno::EHOSTUNREACH)?;
            return Ok(Answer::One(show::route(&row, RTM_NEWROUTE, reply)));
        }
        let local = path.is_local();
        // Flags of the cache's entries: local, broadcast, multicast.
        let (kind, mark) = match wanted {
            _ if local => (RTN_LOCAL, 0x8000_0000),
            _ if path.broadcast => (RTN_BROADCAST, 0x9000_0000),
            IpAddr::V4(v4) if v4.is_multicast() => (RTN_MULTICAST, 0xa000_0000),
            IpAddr::V6(v6) if v6.is_multicast() => (RTN_MULTICAST, 0),
            _ => (RTN_UNICAST, 0),
        };
        // LINUX: of IPv4 it is the main one, whatever was asked for.
        let table = if local && !v4 { RT_TABLE_LOCAL } else { RT_TABLE_MAIN };
        let found = Found {
            destination: wanted,
            from: from.map(|a| (a, if v4 { 32 } else { 0 })),
            source: path.source,
            gateway: Some(path.next_hop).filter(|&hop| !local && hop != wanted && !path.broadcast),
            interface: path.interface.index,
            table,
            kind,
            flags: if v4 { RTM_F_CLONED | mark } else { 0 },
            metric: row.filter(|_| !v4).map_or(0, |r| r.route.metric),
            protocol: if v4 { RTPROT_UNSPEC } else { row.map_or(RTPROT_KERNEL, |r| r.route.protocol) },
            uid,
        };
        Ok(Answer::One(show::found(&found, reply)))
    }

    fn dump(&self, request: &Request<'_>, kind: u16, family: u8, reply: Reply) -> Result<Vec<Vec<u8>>> {
        match kind {
            RTM_GETLINK => self.all_links(request, reply),
            RTM_GETADDR => self.all_addresses(request, family, reply),
            RTM_GETROUTE => self.all_routes(request, family, reply),
            RTM_GETNEIGH => self.all_neighbors(request, reply),
            RTM_GETRULE => {
                let all = show::families(family).iter().flat_map(|&f| show::rules(f, reply)).collect();
                if show::families(family).is_empty() { Err(Errno::EAFNOSUPPORT) } else { Ok(all) }
            }
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    fn all_links(&self, request: &Request<'_>, reply: Reply) -> Result<Vec<Vec<u8>>> {
        let (header, attributes) = request.dump_parts::<Ifinfomsg>()?;
        if request.strict {
            let set = (header.ifi_index, header.ifi_flags, header.ifi_change, header.ifi_type);
            if set != (0, 0, 0, 0) {
                return Err(Errno::EINVAL);
            }
            attributes.only(&[IFLA_EXT_MASK, IFLA_MASTER, IFLA_LINKINFO])?;
        }
        if attributes.number(IFLA_MASTER)?.is_some_and(|master| master != 0) {
            // No link belongs to another.
            return Ok(Vec::new());
        }
        let statistics = attributes.number(IFLA_EXT_MASK)?.unwrap_or(0) & RTEXT_FILTER_SKIP_STATS == 0;
        let family = if u16::from(header.ifi_family) == AF_INET6 { AF_INET6 } else { AF_UNSPEC };
        let links = self.net.interfaces();
        Ok(links.iter().map(|l| show::link(l, RTM_NEWLINK, family, statistics, reply)).collect())
    }

    fn all_addresses(&self, request: &Request<'_>, family: u8, mut reply: Reply) -> Result<Vec<Vec<u8>>> {
        let (header, attributes) = request.dump_parts::<Ifaddrmsg>()?;
        let mut index = 0;
        if request.strict {
            if (header.ifa_prefixlen, header.ifa_flags, header.ifa_scope) != (0, 0, 0) {
                return Err(Errno::EINVAL);
            }
            attributes.only(&[])?;
            index = header.ifa_index;
            if index != 0 {
                reply.flags |= NLM_F_DUMP_FILTERED;
                self.net.interface(index).ok_or(Errno::ENODEV)?;
            }
        }
        let known = self.net.addresses();
        // LINUX: a family without addresses is answered as none in particular.
        let families = match show::families(family) {
            [] => show::families(0),
            families => families,
        };
        let mut all = Vec::new();
        for &family in families {
            for (link, address) in show::addresses(&self.net, family) {
                if index == 0 || index == link.index {
                    all.push(show::address(&address, &known, &link.name, RTM_NEWADDR, reply));
                }
            }
        }
        Ok(all)
    }

    fn all_routes(&self, request: &Request<'_>, family: u8, mut reply: Reply) -> Result<Vec<Vec<u8>>> {
        let (header, attributes) = request.dump_parts::<Rtmsg>()?;
        let (mut table, mut bound) = (u32::from(RT_TABLE_UNSPEC), 0);
        if request.strict {
            if (header.rtm_dst_len, header.rtm_src_len, header.rtm_tos, header.rtm_scope) != (0, 0, 0, 0) {
                return Err(Errno::EINVAL);
            }
            attributes.only(&[RTA_TABLE, RTA_OIF])?;
            table = attributes.number(RTA_TABLE)?.unwrap_or_else(|| u32::from(header.rtm_table));
            bound = attributes.number(RTA_OIF)?.unwrap_or(0);
            if bound != 0 {
                self.net.interface(bound).ok_or(Errno::ENODEV)?;
            }
            if (table, bound, header.rtm_protocol, header.rtm_type) != (0, 0, 0, 0) {
                reply.flags |= NLM_F_DUMP_FILTERED;
            }
            let exists = [0, RT_TABLE_MAIN, RT_TABLE_LOCAL].iter().any(|&t| u32::from(t) == table);
            if !exists {
                return if family == 0 { Ok(Vec::new()) } else { Err(Errno::ENOENT) };
            }
        }
        if header.rtm_flags & RTM_F_CLONED != 0 {
            // Those that are found in passing are not kept.
            return Ok(Vec::new());
        }
        let wanted = |row: &Row| {
            let route = &row.route;
            !request.strict
                || (table == 0 || table == u32::from(row.table))
                    && (bound == 0 || bound == route.interface)
                    && (header.rtm_protocol == 0 || header.rtm_protocol == route.protocol)
                    && (header.rtm_type == 0 || header.rtm_type == row.kind)
        };
        let rows = show::families(family).iter().flat_map(|&f| show::rows(&self.net, f));
        Ok(rows.filter(wanted).map(|row| show::route(&row, RTM_NEWROUTE, reply)).collect())
    }

    fn all_neighbors(&self, request: &Request<'_>, reply: Reply) -> Result<Vec<Vec<u8>>> {
        let (header, attributes) = request.dump_parts::<Ndmsg>()?;
        if request.strict {
            if (header.ndm_ifindex, header.ndm_state, header.ndm_type) != (0, 0, 0) {
                return Err(Errno::EINVAL);
            }
            attributes.only(&[NDA_IFINDEX, IFLA_MASTER])?;
        }
        // `NTF_PROXY` asks for those that one answers for: there are none.
        let proxies = header.ndm_flags & 8 != 0;
        let index = attributes.number(NDA_IFINDEX)?.unwrap_or(0);
        let mut all = Vec::new();
        for link in self.net.interfaces() {
            if proxies || index != 0 && link.index != index {
                continue;
            }
            let mut known = link.neighbors.lock().list(self.net.now());
            known.sort_by_key(|row| row.address);
            for NeighborRow { address, mac, reach } in known {
                if show::families(header.ndm_family).contains(&show::family_of(address)) {
                    all.push(show::neighbor(link.index, address, mac, reach, RTM_NEWNEIGH, reply));
                }
            }
        }
        Ok(all)
    }
}
