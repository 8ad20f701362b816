//! Options of the levels `SOL_IP` and `SOL_IPV6` (`ip(7)`, `ipv6(7)`).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi::socket::*;
use abi::{Errno, Result};

use crate::{Common, Identity, Net};

/// A group that a socket is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Joined {
    pub(crate) interface: u32,
    pub(crate) group: IpAddr,
}

/// Options of the levels `SOL_IP` and `SOL_IPV6`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct IpOptions {
    /// -1 for the default.
    pub(crate) ttl: i32,
    pub(crate) hops: i32,
    pub(crate) tos: u8,
    pub(crate) traffic_class: u8,
    pub(crate) mtu_discover: i32,
    pub(crate) mtu_discover_v6: i32,
    pub(crate) receive_errors: bool,
    pub(crate) receive_errors_v6: bool,
    pub(crate) packet_info: bool,
    pub(crate) packet_info_v6: bool,
    pub(crate) receive_ttl: bool,
    pub(crate) receive_hops: bool,
    pub(crate) receive_tos: bool,
    pub(crate) receive_class: bool,
    pub(crate) original_destination: bool,
    pub(crate) v6_only: bool,
    pub(crate) free_bind: bool,
    pub(crate) transparent: bool,
    pub(crate) no_port: bool,
    pub(crate) header_included: bool,
    pub(crate) multicast_ttl: u8,
    pub(crate) multicast_hops: u8,
    pub(crate) multicast_loop: bool,
    pub(crate) multicast_loop_v6: bool,
    pub(crate) multicast_all: bool,
    pub(crate) multicast_all_v6: bool,
    /// Interface and address for multicast packets; 0 and any for none.
    pub(crate) multicast_interface: u32,
    pub(crate) multicast_address: Ipv4Addr,
    pub(crate) multicast_interface_v6: u32,
    pub(crate) unicast_interface: u32,
    pub(crate) min_ttl: u8,
    pub(crate) dont_fragment_v6: bool,
    pub(crate) auto_flow_label: bool,
    pub(crate) joined: Vec<Joined>,
}

impl Default for IpOptions {
    fn default() -> Self {
        Self {
            ttl: -1,
            hops: -1,
            tos: 0,
            traffic_class: 0,
            mtu_discover: IP_PMTUDISC_WANT,
            mtu_discover_v6: IP_PMTUDISC_WANT,
            receive_errors: false,
            receive_errors_v6: false,
            packet_info: false,
            packet_info_v6: false,
            receive_ttl: false,
            receive_hops: false,
            receive_tos: false,
            receive_class: false,
            original_destination: false,
            v6_only: false,
            free_bind: false,
            transparent: false,
            no_port: false,
            header_included: false,
            multicast_ttl: 1,
            multicast_hops: 1,
            multicast_loop: true,
            multicast_loop_v6: true,
            multicast_all: true,
            multicast_all_v6: true,
            multicast_interface: 0,
            multicast_address: Ipv4Addr::UNSPECIFIED,
            multicast_interface_v6: 0,
            unicast_interface: 0,
            min_ttl: 0,
            dont_fragment_v6: false,
            auto_flow_label: true,
            joined: Vec::new(),
        }
    }
}

/// Reads an integer option of at least four bytes.
///
/// # Errors
/// `EINVAL` if it is shorter.
pub(crate) fn int(value: &[u8]) -> Result<i32> {
    let (bytes, _) = value.split_first_chunk().ok_or(Errno::EINVAL)?;
    Ok(i32::from_ne_bytes(*bytes))
}

/// Reads an integer option, of which one byte is enough.
fn int_or_byte(value: &[u8]) -> i32 {
    match value {
        [] => 0,
        &[a, b, c, d, ..] => i32::from_ne_bytes([a, b, c, d]),
        &[byte, ..] => i32::from(byte),
    }
}

/// Returns an integer option's value.
pub(crate) fn of_int(value: i32) -> Result<Vec<u8>> {
    Ok(value.to_ne_bytes().to_vec())
}

fn hops(value: i32, least: i32) -> Result<i32> {
    if value == -1 || (least..=255).contains(&value) { Ok(value) } else { Err(Errno::EINVAL) }
}

fn byte(value: i32) -> Result<u8> {
    u8::try_from(value).map_err(|_| Errno::EINVAL)
}

impl IpOptions {
    /// Returns the hop limit of packets to one address.
    pub(crate) fn hop_limit(&self, v6: bool) -> u8 {
        u8::try_from(if v6 { self.hops } else { self.ttl }).unwrap_or(64)
    }

    /// Returns the traffic class of packets.
    pub(crate) const fn class(&self, v6: bool) -> u8 {
        if v6 { self.traffic_class } else { self.tos }
    }

    /// Says whether packets to an address must not be cut on the way.
    pub(crate) const fn dont_fragment(&self, v6: bool) -> bool {
        let mode = if v6 { self.mtu_discover_v6 } else { self.mtu_discover };
        matches!(mode, IP_PMTUDISC_DO | IP_PMTUDISC_PROBE)
    }

    /// Sets an option.
    ///
    /// # Errors
    /// `ENOPROTOOPT` for one that does not exist here, `EINVAL`, `EPERM`, and those of groups.
    pub(crate) fn set(
        &mut self,
        net: &Net,
        common: &Common,
        level: i32,
        name: i32,
        value: &[u8],
        who: &Identity,
    ) -> Result<()> {
        if level == SOL_IP {
            self.set_v4(net, common, name, value, who)
        } else if level == SOL_IPV6 && common.domain == AF_INET6 {
            self.set_v6(net, common, name, value, who)
        } else {
            Err(Errno::ENOPROTOOPT)
        }
    }

    fn set_v4(&mut self, net: &Net, common: &Common, name: i32, value: &[u8], who: &Identity) -> Result<()> {
        let stream = common.kind == SOCK_STREAM;
        let number = int_or_byte(value);
        let on = number != 0;
        match name {
            IP_TOS => {
                // The two lowest bits of a stream are the protocol's own.
                let value = u8::try_from(number & 0xff).unwrap_or(0);
                self.tos = if stream { value & !3 | self.tos & 3 } else { value };
            }
            IP_TTL => {
                if value.is_empty() {
                    return Err(Errno::EINVAL);
                }
                self.ttl = hops(number, 1)?;
            }
            IP_MTU_DISCOVER => {
                if !(IP_PMTUDISC_DONT..=IP_PMTUDISC_OMIT).contains(&number) {
                    return Err(Errno::EINVAL);
                }
                self.mtu_discover = number;
            }
            IP_RECVERR => self.receive_errors = on,
            IP_PKTINFO => self.packet_info = on,
            IP_RECVTTL => self.receive_ttl = on,
            IP_RECVTOS => self.receive_tos = on,
            IP_RECVORIGDSTADDR => self.original_destination = on,
            IP_FREEBIND => self.free_bind = on,
            IP_BIND_ADDRESS_NO_PORT => self.no_port = on,
            IP_TRANSPARENT => {
                if on && !who.net_admin && !who.net_raw {
                    return Err(Errno::EPERM);
                }
                self.transparent = on;
            }
            IP_HDRINCL => {
                if common.kind != SOCK_RAW {
                    return Err(Errno::ENOPROTOOPT);
                }
                self.header_included = on;
            }
            IP_MINTTL => self.min_ttl = byte(number)?,
            IP_MULTICAST_TTL => {
                if stream || value.is_empty() {
                    return Err(Errno::EINVAL);
                }
                self.multicast_ttl = if number == -1 { 1 } else { byte(number)? };
            }
            IP_MULTICAST_LOOP => {
                if value.is_empty() {
                    return Err(Errno::EINVAL);
                }
                self.multicast_loop = on;
            }
            IP_MULTICAST_ALL => {
                if !(0..=1).contains(&number) || value.is_empty() {
                    return Err(Errno::EINVAL);
                }
                self.multicast_all = on;
            }
            IP_UNICAST_IF => {
                self.unicast_interface = i32::from_be(int(value)?).cast_unsigned();
            }
            IP_MULTICAST_IF => {
                if stream {
                    return Err(Errno::EINVAL);
                }
                self.set_multicast_interface(net, value)?;
            }
            IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP => {
                if stream && name == IP_ADD_MEMBERSHIP {
                    return Err(Errno::EPROTO);
                }
                let (group, interface) = membership_v4(net, value)?;
                self.change_membership(net, group, interface, name == IP_ADD_MEMBERSHIP)?;
            }
            IP_OPTIONS if value.is_empty() => {}
            IP_RECVOPTS | IP_RETOPTS | IP_NODEFRAG | IP_RECVFRAGSIZE | IP_CHECKSUM | IP_PASSSEC
            | IP_RECVERR_RFC4884 | IP_ROUTER_ALERT
                if !on => {}
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    fn set_multicast_interface(&mut self, net: &Net, value: &[u8]) -> Result<()> {
        let (address, index) = match value {
            // An `ip_mreqn`, an `ip_mreq`, or an address.
            &[_, _, _, _, a, b, c, d, i, j, k, l, ..] => {
                (Ipv4Addr::new(a, b, c, d), i32::from_ne_bytes([i, j, k, l]).cast_unsigned())
            }
            &[_, _, _, _, a, b, c, d, ..] | &[a, b, c, d, ..] => (Ipv4Addr::new(a, b, c, d), 0),
            _ => return Err(Errno::EINVAL),
        };
        if index == 0 && address.is_unspecified() {
            (self.multicast_interface, self.multicast_address) = (0, address);
            return Ok(());
        }
        let index = if index != 0 {
            net.interface(index).ok_or(Errno::EADDRNOTAVAIL)?.index
        } else {
            let known = net.addresses();
            known.iter().find(|a| a.address == IpAddr::V4(address)).ok_or(Errno::EADDRNOTAVAIL)?.interface
        };
        (self.multicast_interface, self.multicast_address) = (index, address);
        Ok(())
    }

    fn change_membership(&mut self, net: &Net, group: IpAddr, interface: u32, enters: bool) -> Result<()> {
        let at =
            self.joined.iter().position(|j| j.group == group && (j.interface == interface || interface == 0));
        match (enters, at) {
            (true, Some(_)) => return Err(Errno::EADDRINUSE),
            (false, None) => return Err(Errno::EADDRNOTAVAIL),
            (true, None) => {
                let interface = match interface {
                    // Where packets to the group would leave.
                    0 => net.path(group, None, 0).map_err(|_| Errno::ENODEV)?.interface,
                    index => net.interface(index).ok_or(Errno::ENODEV)?,
                };
                interface.count_member(group, true);
                self.joined.push(Joined { interface: interface.index, group });
            }
            (false, Some(at)) => {
                let joined = self.joined.remove(at);
                if let Some(interface) = net.interface(joined.interface) {
                    interface.count_member(group, false);
                }
            }
        }
        Ok(())
    }

    /// Leaves all groups, because the socket ends.
    pub(crate) fn leave_all(&mut self, net: &Net) {
        for joined in core::mem::take(&mut self.joined) {
            if let Some(interface) = net.interface(joined.interface) {
                interface.count_member(joined.group, false);
            }
        }
    }

    fn set_v6(&mut self, net: &Net, common: &Common, name: i32, value: &[u8], who: &Identity) -> Result<()> {
        let number = int(value);
        let on = matches!(number, Ok(n) if n != 0);
        match name {
            IPV6_V6ONLY => {
                number?;
                self.v6_only = on;
            }
            IPV6_UNICAST_HOPS => self.hops = hops(number?, 0)?,
            IPV6_MULTICAST_HOPS => {
                if common.kind == SOCK_STREAM {
                    return Err(Errno::ENOPROTOOPT);
                }
                let value = hops(number?, 0)?;
                self.multicast_hops = if value == -1 { 1 } else { byte(value)? };
            }
            IPV6_MULTICAST_LOOP => {
                if !(0..=1).contains(&number?) {
                    return Err(Errno::EINVAL);
                }
                self.multicast_loop_v6 = on;
            }
            IPV6_MULTICAST_ALL => {
                number?;
                self.multicast_all_v6 = on;
            }
            IPV6_MULTICAST_IF => {
                if common.kind == SOCK_STREAM {
                    return Err(Errno::ENOPROTOOPT);
                }
                let index = number?.cast_unsigned();
                if index != 0 {
                    net.interface(index).ok_or(Errno::ENODEV)?;
                }
                self.multicast_interface_v6 = index;
            }
            IPV6_TCLASS => {
                let value = number?;
                if !(-1..=255).contains(&value) {
                    return Err(Errno::EINVAL);
                }
                self.traffic_class = u8::try_from(value).unwrap_or(0);
            }
            IPV6_MTU_DISCOVER => {
                let value = number?;
                if !(IP_PMTUDISC_DONT..=IP_PMTUDISC_OMIT).contains(&value) {
                    return Err(Errno::EINVAL);
                }
                self.mtu_discover_v6 = value;
            }
            IPV6_RECVERR => {
                number?;
                self.receive_errors_v6 = on;
            }
            IPV6_RECVPKTINFO => {
                number?;
                self.packet_info_v6 = on;
            }
            IPV6_RECVHOPLIMIT => {
                number?;
                self.receive_hops = on;
            }
            IPV6_RECVTCLASS => {
                number?;
                self.receive_class = on;
            }
            IPV6_DONTFRAG => {
                number?;
                self.dont_fragment_v6 = on;
            }
            IPV6_AUTOFLOWLABEL => {
                number?;
                self.auto_flow_label = on;
            }
            IPV6_FREEBIND => {
                number?;
                self.free_bind = on;
            }
            IPV6_TRANSPARENT => {
                number?;
                if on && !who.net_admin && !who.net_raw {
                    return Err(Errno::EPERM);
                }
                self.transparent = on;
            }
            IPV6_UNICAST_IF => {
                self.unicast_interface = i32::from_be(number?).cast_unsigned();
            }
            IPV6_ADD_MEMBERSHIP | IPV6_DROP_MEMBERSHIP => {
                let (group, rest) = value.split_first_chunk::<16>().ok_or(Errno::EINVAL)?;
                let (index, _) = rest.split_first_chunk::<4>().ok_or(Errno::EINVAL)?;
                let group = Ipv6Addr::from(*group);
                if !group.is_multicast() {
                    return Err(Errno::EINVAL);
                }
                if common.kind == SOCK_STREAM && name == IPV6_ADD_MEMBERSHIP {
                    return Err(Errno::EPROTO);
                }
                let index = u32::from_ne_bytes(*index);
                self.change_membership(net, IpAddr::V6(group), index, name == IPV6_ADD_MEMBERSHIP)?;
            }
            IPV6_RECVHOPOPTS | IPV6_RECVRTHDR | IPV6_RECVDSTOPTS | IPV6_RECVPATHMTU
            | IPV6_RECVORIGDSTADDR | IPV6_RECVFRAGSIZE | IPV6_2292PKTINFO
                if !on => {}
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// Returns an option. `mtu` is that of the connected path.
    ///
    /// # Errors
    /// `ENOPROTOOPT`, `ENOTCONN` for the MTU of a socket that is not connected.
    pub(crate) fn get(&self, common: &Common, level: i32, name: i32, mtu: Option<usize>) -> Result<Vec<u8>> {
        let flag = |on: bool| of_int(i32::from(on));
        let mtu = || of_int(i32::try_from(mtu.ok_or(Errno::ENOTCONN)?).unwrap_or(i32::MAX));
        if level == SOL_IP {
            return match name {
                IP_TOS => of_int(i32::from(self.tos)),
                IP_TTL => of_int(if self.ttl == -1 { 64 } else { self.ttl }),
                IP_MTU_DISCOVER => of_int(self.mtu_discover),
                IP_MTU => mtu(),
                IP_RECVERR => flag(self.receive_errors),
                IP_PKTINFO => flag(self.packet_info),
                IP_RECVTTL => flag(self.receive_ttl),
                IP_RECVTOS => flag(self.receive_tos),
                IP_RECVORIGDSTADDR => flag(self.original_destination),
                IP_FREEBIND => flag(self.free_bind),
                IP_BIND_ADDRESS_NO_PORT => flag(self.no_port),
                IP_TRANSPARENT => flag(self.transparent),
                IP_HDRINCL if common.kind == SOCK_RAW => flag(self.header_included),
                IP_MINTTL => of_int(i32::from(self.min_ttl)),
                IP_MULTICAST_TTL => of_int(i32::from(self.multicast_ttl)),
                IP_MULTICAST_LOOP => flag(self.multicast_loop),
                IP_MULTICAST_ALL => flag(self.multicast_all),
                IP_MULTICAST_IF => Ok(self.multicast_address.octets().to_vec()),
                IP_UNICAST_IF => of_int(self.unicast_interface.cast_signed().to_be()),
                IP_OPTIONS => Ok(Vec::new()),
                IP_RECVOPTS | IP_RETOPTS | IP_NODEFRAG | IP_RECVFRAGSIZE | IP_CHECKSUM | IP_PASSSEC
                | IP_RECVERR_RFC4884 => of_int(0),
                _ => Err(Errno::ENOPROTOOPT),
            };
        }
        if level != SOL_IPV6 || common.domain != AF_INET6 {
            return Err(Errno::ENOPROTOOPT);
        }
        match name {
            IPV6_V6ONLY => flag(self.v6_only),
            IPV6_UNICAST_HOPS => of_int(if self.hops == -1 { 64 } else { self.hops }),
            IPV6_MULTICAST_HOPS => of_int(i32::from(self.multicast_hops)),
            IPV6_MULTICAST_LOOP => flag(self.multicast_loop_v6),
            IPV6_MULTICAST_ALL => flag(self.multicast_all_v6),
            IPV6_MULTICAST_IF => of_int(self.multicast_interface_v6.cast_signed()),
            IPV6_TCLASS => of_int(i32::from(self.traffic_class)),
            IPV6_MTU_DISCOVER => of_int(self.mtu_discover_v6),
            IPV6_MTU => mtu(),
            IPV6_RECVERR => flag(self.receive_errors_v6),
            IPV6_RECVPKTINFO => flag(self.packet_info_v6),
            IPV6_RECVHOPLIMIT => flag(self.receive_hops),
            IPV6_RECVTCLASS => flag(self.receive_class),
            IPV6_DONTFRAG => flag(self.dont_fragment_v6),
            IPV6_AUTOFLOWLABEL => flag(self.auto_flow_label),
            IPV6_FREEBIND => flag(self.free_bind),
            IPV6_TRANSPARENT => flag(self.transparent),
            IPV6_UNICAST_IF => of_int(self.unicast_interface.cast_signed().to_be()),
            IPV6_RECVHOPOPTS | IPV6_RECVRTHDR | IPV6_RECVDSTOPTS | IPV6_RECVPATHMTU
            | IPV6_RECVORIGDSTADDR | IPV6_RECVFRAGSIZE => of_int(0),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }
}

/// Reads an `ip_mreq` or `ip_mreqn`: the group, and the interface or 0.
fn membership_v4(net: &Net, value: &[u8]) -> Result<(IpAddr, u32)> {
    let (group, address, index) = match *value {
        [g, h, i, j, a, b, c, d, k, l, m, n, ..] => {
            (Ipv4Addr::new(g, h, i, j), Ipv4Addr::new(a, b, c, d), u32::from_ne_bytes([k, l, m, n]))
        }
        [g, h, i, j, a, b, c, d, ..] => (Ipv4Addr::new(g, h, i, j), Ipv4Addr::new(a, b, c, d), 0),
        _ => return Err(Errno::EINVAL),
    };
    if !group.is_multicast() {
        return Err(Errno::EINVAL);
    }
    let index = if index != 0 || address.is_unspecified() {
        index
    } else {
        let known = net.addresses();
        known.iter().find(|a| a.address == IpAddr::V4(address)).ok_or(Errno::ENODEV)?.interface
    };
    Ok((IpAddr::V4(group), index))
}
