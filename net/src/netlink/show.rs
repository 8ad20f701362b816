//! Links, addresses, routes, neighbours and rules as messages of `rtnetlink(7)`, with the attributes that Linux gives them
//! and in its order.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi::netlink::*;
use abi::socket::{AF_INET, AF_INET6, AF_UNSPEC};
use zerocopy::IntoBytes;

use super::message::Message;
use crate::config::Config;
use crate::interface::{BROADCAST, Interface};
use crate::neighbor::Reach;
use crate::{InterfaceAddress, Mac, Net, Route};

/// Flags and addressee of a message.
#[derive(Clone, Copy, Default)]
pub(super) struct Reply {
    pub(super) flags: u16,
    pub(super) seq: u32,
    pub(super) port: u32,
}

impl Reply {
    pub(super) fn message(self, kind: u16) -> Message {
        Message::new(kind, self.flags, self.seq, self.port)
    }
}

/// Returns the number of an address's family.
pub(super) const fn family_of(address: IpAddr) -> u16 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// Returns a family's number as headers carry it.
pub(super) fn short(family: u16) -> u8 {
    u8::try_from(family).unwrap_or(0)
}

/// Returns a link. `family` is 0, or `AF_INET6` for what IPv6 says of it.
pub(super) fn link(interface: &Interface, kind: u16, family: u16, statistics: bool, reply: Reply) -> Vec<u8> {
    let mut message = reply.message(kind);
    let flags = interface.flags();
    let up = flags & IFF_UP != 0;
    let running = flags & IFF_LOWER_UP != 0;
    message.put(
        Ifinfomsg {
            ifi_family: short(family),
            ifi_type: if interface.is_loopback() { ARPHRD_LOOPBACK } else { ARPHRD_ETHER },
            ifi_index: interface.index.cast_signed(),
            ifi_flags: flags,
            ..Ifinfomsg::default()
        }
        .as_bytes(),
    );
    let mtu = u32::try_from(interface.mtu()).unwrap_or(u32::MAX);
    let state = match (interface.is_loopback(), running) {
        (true, _) if up => IF_OPER_UNKNOWN,
        (false, true) => IF_OPER_UP,
        _ => IF_OPER_DOWN,
    };
    let everybody = if interface.is_loopback() { [0; 6] } else { BROADCAST };
    message.text(IFLA_IFNAME, &interface.name);
    if family == AF_INET6 {
        message.attribute(IFLA_ADDRESS, &interface.mac);
        message.number(IFLA_MTU, mtu);
        message.attribute(IFLA_OPERSTATE, &[state]);
        // `IF_READY`: it may be used.
        let mut inner = Vec::new();
        inner.extend_from_slice(&8_u16.to_ne_bytes());
        inner.extend_from_slice(&IFLA_INET6_FLAGS.to_ne_bytes());
        inner.extend_from_slice(&if up { 0x8000_0000_u32 } else { 0 }.to_ne_bytes());
        message.attribute(IFLA_PROTINFO | NLA_F_NESTED, &inner);
        return message.finish();
    }
    message.number(IFLA_TXQLEN, 1000);
    message.attribute(IFLA_OPERSTATE, &[state]);
    message.attribute(IFLA_LINKMODE, &[0]);
    message.number(IFLA_MTU, mtu);
    message.number(IFLA_MIN_MTU, if interface.is_loopback() { 0 } else { 68 });
    message.number(IFLA_MAX_MTU, if interface.is_loopback() { 0 } else { interface.most_mtu() });
    message.number(IFLA_GROUP, 0);
    message.number(IFLA_PROMISCUITY, u32::from(flags & IFF_PROMISC != 0));
    let queues = interface.device.as_ref().map_or(1, |d| u32::try_from(d.info().queues).unwrap_or(1));
    message.number(IFLA_NUM_TX_QUEUES, queues);
    message.number(IFLA_GSO_MAX_SEGS, 65535);
    message.number(IFLA_GSO_MAX_SIZE, 65536);
    message.number(IFLA_NUM_RX_QUEUES, queues);
    message.attribute(IFLA_CARRIER, &[u8::from(running)]);
    message.text(IFLA_QDISC, "noqueue");
    for kind in [IFLA_CARRIER_CHANGES, IFLA_CARRIER_UP_COUNT, IFLA_CARRIER_DOWN_COUNT] {
        message.number(kind, 0);
    }
    message.attribute(IFLA_ADDRESS, &interface.mac);
    message.attribute(IFLA_BROADCAST, &everybody);
    if statistics {
        let c = interface.counters();
        // `rtnl_link_stats64`: packets, bytes, errors, drops, each received and sent; what follows does not happen here.
        let mut counts = [0_u64; 25];
        counts[..8].copy_from_slice(&[
            c.rx_packets,
            c.tx_packets,
            c.rx_bytes,
            c.tx_bytes,
            c.rx_errors,
            0,
            c.rx_dropped,
            c.tx_dropped,
        ]);
        message.attribute(IFLA_STATS64, counts.as_bytes());
        let low = |count: &u64| u32::try_from(count & u64::from(u32::MAX)).unwrap_or(0);
        let counts: Vec<u32> = counts[..24].iter().map(low).collect();
        message.attribute(IFLA_STATS, counts.as_bytes());
    }
    if !interface.is_loopback() {
        message.attribute(IFLA_PERM_ADDRESS, &interface.mac);
    }
    message.finish()
}

/// Returns an address; `all` are the machine's, of which earlier ones of the same network make it a second one.
pub(super) fn address(
    address: &InterfaceAddress,
    all: &[InterfaceAddress],
    name: &str,
    kind: u16,
    reply: Reply,
) -> Vec<u8> {
    let mut message = reply.message(kind);
    let v4 = address.address.is_ipv4();
    let is_it = |a: &&InterfaceAddress| a.address == address.address && a.interface == address.interface;
    let second = v4
        && all.iter().take_while(|a| !is_it(a)).any(|a| {
            a.interface == address.interface && (a.prefix, a.network()) == (address.prefix, address.network())
        });
    let flags = IFA_F_PERMANENT | if second { IFA_F_SECONDARY } else { 0 };
    message.put(
        Ifaddrmsg {
            ifa_family: short(family_of(address.address)),
            ifa_prefixlen: address.prefix,
            ifa_flags: flags,
            ifa_scope: scope_of(address.address),
            ifa_index: address.interface,
        }
        .as_bytes(),
    );
    let forever = IfaCacheinfo { ifa_prefered: u32::MAX, ifa_valid: u32::MAX, ..IfaCacheinfo::default() };
    message.address(IFA_ADDRESS, address.address);
    if v4 {
        message.address(IFA_LOCAL, address.address);
        if let Some(broadcast) = address.broadcast() {
            message.address(IFA_BROADCAST, IpAddr::V4(broadcast));
        }
        message.text(IFA_LABEL, name);
        message.number(IFA_FLAGS, u32::from(flags));
        message.attribute(IFA_CACHEINFO, forever.as_bytes());
    } else {
        message.attribute(IFA_CACHEINFO, forever.as_bytes());
        message.number(IFA_FLAGS, u32::from(flags));
    }
    message.finish()
}

/// Returns how far an address holds.
const fn scope_of(address: IpAddr) -> u8 {
    match address {
        _ if address.is_loopback() => RT_SCOPE_HOST,
        // LINUX: an IPv4 address of the link is shown as one of the world, unless it was given otherwise.
        IpAddr::V6(v6) if v6.is_unicast_link_local() => RT_SCOPE_LINK,
        _ => RT_SCOPE_UNIVERSE,
    }
}

/// A route as it is shown: those of the main table, and those that addresses make in the local one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) route: Route,
    pub(super) table: u8,
    pub(super) scope: u8,
    /// `RTN_*`
    pub(super) kind: u8,
}

impl Row {
    /// Returns a route of the main table.
    pub(super) const fn of(route: Route) -> Self {
        let scope = match route.gateway {
            None if route.destination.0.is_ipv4() => RT_SCOPE_LINK,
            _ => RT_SCOPE_UNIVERSE,
        };
        Self { route, table: RT_TABLE_MAIN, scope, kind: RTN_UNICAST }
    }

    fn local(address: &InterfaceAddress, destination: (IpAddr, u8), kind: u8) -> Self {
        let v4 = destination.0.is_ipv4();
        let scope = match kind {
            _ if !v4 => RT_SCOPE_UNIVERSE,
            RTN_LOCAL => RT_SCOPE_HOST,
            _ => RT_SCOPE_LINK,
        };
        let route = Route {
            destination,
            gateway: None,
            interface: address.interface,
            source: v4.then_some(address.address),
            metric: if kind == RTN_MULTICAST { 256 } else { 0 },
            protocol: RTPROT_KERNEL,
        };
        Self { route, table: RT_TABLE_LOCAL, scope, kind }
    }
}

/// Returns the routes of a family in the order in which Linux shows them.
pub(super) fn rows(net: &Net, family: u16) -> Vec<Row> {
    let config = net.config.lock();
    let up = |index: u32| config.interface(index).is_some_and(|i| i.is_up());
    let fits = |address: IpAddr| family_of(address) == family;
    let mut main: Vec<Row> = config
        .routes
        .iter()
        .filter(|r| fits(r.destination.0) && up(r.interface))
        .map(|&r| Row::of(r))
        .collect();
    let mut local = local_rows(&config, family);
    local.retain(|r| up(r.route.interface));
    for rows in [&mut main, &mut local] {
        rows.sort_by_key(|row| order(row.route.destination, row.route.metric));
    }
    main.extend(local);
    main
}

/// LINUX: networks of IPv4 come before what lies in them, those of IPv6 behind.
fn order(network: (IpAddr, u8), metric: u32) -> (u128, u8, u32) {
    let prefix = u8::MAX - network.1;
    match network.0 {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), prefix, metric),
        IpAddr::V6(v6) => {
            let host = u128::MAX.checked_shr(u32::from(network.1)).unwrap_or(0);
            (u128::from(v6) | host, prefix, metric)
        }
    }
}

fn local_rows(config: &Config, family: u16) -> Vec<Row> {
    let mut rows = Vec::new();
    for address in config.addresses.iter().filter(|a| family_of(a.address) == family) {
        let bits = if family == AF_INET { 32 } else { 128 };
        rows.push(Row::local(address, (address.address, bits), RTN_LOCAL));
        if let (IpAddr::V4(v4), true) = (address.address, address.address.is_loopback()) {
            let last = u32::from(v4) | u32::MAX.checked_shr(u32::from(address.prefix)).unwrap_or(0);
            rows.push(Row::local(address, (address.network(), address.prefix), RTN_LOCAL));
            rows.push(Row::local(address, (IpAddr::V4(Ipv4Addr::from(last)), 32), RTN_BROADCAST));
        } else if let Some(broadcast) = address.broadcast() {
            rows.push(Row::local(address, (IpAddr::V4(broadcast), 32), RTN_BROADCAST));
        }
    }
    if family == AF_INET6 {
        let groups = (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8);
        for interface in config.interfaces.iter().filter(|i| !i.is_loopback()) {
            let none = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            let own = InterfaceAddress { interface: interface.index, address: none, prefix: 0 };
            rows.push(Row::local(&own, groups, RTN_MULTICAST));
        }
    }
    rows
}

/// Returns a route.
pub(super) fn route(row: &Row, kind: u16, reply: Reply) -> Vec<u8> {
    let route = &row.route;
    let v4 = route.destination.0.is_ipv4();
    let mut message = reply.message(kind);
    message.put(
        Rtmsg {
            rtm_family: short(family_of(route.destination.0)),
            rtm_dst_len: route.destination.1,
            rtm_table: row.table,
            rtm_protocol: route.protocol,
            rtm_scope: row.scope,
            rtm_type: row.kind,
            ..Rtmsg::default()
        }
        .as_bytes(),
    );
    message.number(RTA_TABLE, u32::from(row.table));
    if route.destination.1 > 0 {
        message.address(RTA_DST, route.destination.0);
    }
    if v4 && route.metric != 0 {
        message.number(RTA_PRIORITY, route.metric);
    }
    if let Some(source) = route.source {
        message.address(RTA_PREFSRC, source);
    }
    if !v4 {
        message.number(RTA_PRIORITY, route.metric);
    }
    if let Some(gateway) = route.gateway {
        message.address(RTA_GATEWAY, gateway);
    }
    message.number(RTA_OIF, route.interface);
    if !v4 {
        message.attribute(RTA_CACHEINFO, RtaCacheinfo::default().as_bytes());
        message.attribute(RTA_PREF, &[0]);
    }
    message.finish()
}

/// What `ip route get` is told.
pub(super) struct Found {
    pub(super) destination: IpAddr,
    /// The source that was asked for, with its bits.
    pub(super) from: Option<(IpAddr, u8)>,
    pub(super) source: IpAddr,
    pub(super) gateway: Option<IpAddr>,
    pub(super) interface: u32,
    pub(super) table: u8,
    pub(super) kind: u8,
    pub(super) flags: u32,
    /// Of IPv6: metric and origin of the route.
    pub(super) metric: u32,
    pub(super) protocol: u8,
    pub(super) uid: u32,
}

/// Returns the way to one address.
pub(super) fn found(found: &Found, reply: Reply) -> Vec<u8> {
    let v4 = found.destination.is_ipv4();
    let mut message = reply.message(RTM_NEWROUTE);
    message.put(
        Rtmsg {
            rtm_family: short(family_of(found.destination)),
            rtm_dst_len: if v4 { 32 } else { 128 },
            rtm_src_len: found.from.map_or(0, |(_, bits)| bits),
            rtm_table: found.table,
            rtm_protocol: found.protocol,
            rtm_type: found.kind,
            rtm_flags: found.flags,
            ..Rtmsg::default()
        }
        .as_bytes(),
    );
    message.number(RTA_TABLE, u32::from(found.table));
    message.address(RTA_DST, found.destination);
    if let Some((from, _)) = found.from {
        message.address(RTA_SRC, from);
    } else if !v4 {
        message.address(RTA_SRC, IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    }
    if v4 {
        message.number(RTA_OIF, found.interface);
    }
    if !(v4 && found.from.is_some()) {
        message.address(RTA_PREFSRC, found.source);
    }
    if !v4 {
        message.number(RTA_PRIORITY, found.metric);
    }
    if let Some(gateway) = found.gateway {
        message.address(RTA_GATEWAY, gateway);
    }
    message.number(if v4 { RTA_UID } else { RTA_OIF }, if v4 { found.uid } else { found.interface });
    message.attribute(RTA_CACHEINFO, RtaCacheinfo::default().as_bytes());
    if !v4 {
        message.attribute(RTA_PREF, &[0]);
    }
    message.finish()
}

/// Returns a neighbour.
pub(super) fn neighbor(
    index: u32,
    address: IpAddr,
    mac: Option<Mac>,
    reach: Reach,
    kind: u16,
    reply: Reply,
) -> Vec<u8> {
    let mut message = reply.message(kind);
    let state = match reach {
        Reach::Incomplete => NUD_INCOMPLETE,
        Reach::Reachable => NUD_REACHABLE,
        Reach::Stale => NUD_STALE,
        Reach::Permanent => NUD_PERMANENT,
    };
    message.put(
        Ndmsg {
            ndm_family: short(family_of(address)),
            ndm_ifindex: index.cast_signed(),
            ndm_state: state,
            ndm_type: RTN_UNICAST,
            ..Ndmsg::default()
        }
        .as_bytes(),
    );
    message.address(NDA_DST, address);
    if let Some(mac) = mac {
        message.attribute(NDA_LLADDR, &mac);
    }
    message.number(NDA_PROBES, 0);
    message.attribute(NDA_CACHEINFO, NdaCacheinfo::default().as_bytes());
    message.finish()
}

/// Returns the rules that Linux has from the start: table, and priority.
pub(super) fn rules(family: u16, reply: Reply) -> Vec<Vec<u8>> {
    let v4: &[(u8, u32)] = &[(RT_TABLE_LOCAL, 0), (RT_TABLE_MAIN, 32766), (RT_TABLE_DEFAULT, 32767)];
    let all = if family == AF_INET { v4 } else { &v4[..2] };
    let one = |&(table, priority): &(u8, u32)| {
        let mut message = reply.message(RTM_NEWRULE);
        // `fib_rule_hdr` has the layout of a route's; the type is `FR_ACT_TO_TBL`.
        let header = Rtmsg { rtm_family: short(family), rtm_table: table, rtm_type: 1, ..Rtmsg::default() };
        message.put(header.as_bytes());
        message.number(FRA_TABLE, u32::from(table));
        message.number(FRA_SUPPRESS_PREFIXLEN, u32::MAX);
        message.attribute(FRA_PROTOCOL, &[RTPROT_KERNEL]);
        if priority != 0 {
            message.number(FRA_PRIORITY, priority);
        }
        message.finish()
    };
    all.iter().map(one).collect()
}

/// Returns the families that a question for `family` means.
pub(super) fn families(family: u8) -> &'static [u16] {
    match u16::from(family) {
        AF_INET => &[AF_INET],
        AF_INET6 => &[AF_INET6],
        AF_UNSPEC => &[AF_INET, AF_INET6],
        _ => &[],
    }
}

/// Returns the addresses of a family as Linux lists them: by interface; of IPv6 those that hold everywhere first.
pub(super) fn addresses(net: &Net, family: u16) -> Vec<(Arc<Interface>, InterfaceAddress)> {
    let known = net.addresses();
    let mut all = Vec::new();
    for interface in net.interfaces() {
        let mut own: Vec<_> = known
            .iter()
            .filter(|a| a.interface == interface.index && family_of(a.address) == family)
            .copied()
            .collect();
        own.sort_by_key(|a| scope_of(a.address));
        all.extend(own.into_iter().map(|a| (Arc::clone(&interface), a)));
    }
    all
}
