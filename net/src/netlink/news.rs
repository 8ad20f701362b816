//! News of changes, for those in the groups of `NETLINK_ROUTE`.

use abi::netlink::*;
use abi::socket::AF_UNSPEC;

use super::KERNEL;
use super::show::{self, Reply, Row};
use crate::interface::Interface;
use crate::{InterfaceAddress, Net, Route};

/// Something has changed.
#[derive(Clone, Copy)]
pub(crate) enum News<'a> {
    /// A link: its flags, its MTU.
    Link(&'a Interface),
    /// An address came, or went.
    Address(InterfaceAddress, Change),
    /// A route came, or went.
    Route(Route, Change),
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// It is new.
    New,
    /// It is gone.
    Gone,
}

impl Net {
    /// Tells everybody who wants to hear of it. The caller holds no lock.
    pub(crate) fn announce(&self, news: News<'_>) {
        if !self.netlink.has_members() {
            return;
        }
        let reply = Reply::default();
        let pick = |change, new, gone| if change == Change::New { new } else { gone };
        let (group, message) = match news {
            News::Link(link) => (RTNLGRP_LINK, show::link(link, RTM_NEWLINK, AF_UNSPEC, true, reply)),
            News::Address(address, change) => {
                let kind = pick(change, RTM_NEWADDR, RTM_DELADDR);
                let link = self.interface(address.interface);
                let name = link.as_ref().map_or("", |l| &l.name);
                let v4 = address.address.is_ipv4();
                let group = if v4 { RTNLGRP_IPV4_IFADDR } else { RTNLGRP_IPV6_IFADDR };
                (group, show::address(&address, &self.addresses(), name, kind, reply))
            }
            News::Route(route, change) => {
                let kind = pick(change, RTM_NEWROUTE, RTM_DELROUTE);
                let v4 = route.destination.0.is_ipv4();
                let group = if v4 { RTNLGRP_IPV4_ROUTE } else { RTNLGRP_IPV6_ROUTE };
                (group, show::route(&Row::of(route), kind, reply))
            }
        };
        self.netlink.broadcast(NETLINK_ROUTE, group, 0, KERNEL, &message);
    }
}
