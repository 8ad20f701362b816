//! What an application does with a UDP socket.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::Ordering;

use abi::socket::{
    AF_INET6, IPPROTO_UDP, IPV6_V6ONLY, MsgFlags, SO_BINDTODEVICE, SO_REUSEADDR, SO_REUSEPORT, SOCK_DGRAM,
    SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_UDP, UDP_CORK, UDP_GRO, UDP_NO_CHECK6_RX, UDP_NO_CHECK6_TX,
    UDP_SEGMENT,
};
use abi::{Errno, Result};
use hal::{Dest, Readiness, Source, WaitQueue};

use super::table::Claim;
use super::{Datagram, Inner, OVERHEAD, Sending, Udp};
use crate::inet::{
    bind_to_device, bound_device, check_local, int, no_address, of_int, show_address, take_address,
};
use crate::{
    Address, Ancillary, Common, ENDED_READ, ENDED_WRITE, Identity, Incoming, Net, Outgoing, Shutdown, Socket,
    any,
};

/// The application's hold on a socket; its end closes the socket.
pub(crate) struct UdpSocket(Arc<Udp>);

impl UdpSocket {
    /// Makes a socket.
    pub(crate) fn new(net: &Arc<Net>, domain: u16) -> Self {
        let inner = Inner {
            local: None,
            peer: None,
            bound: false,
            path: None,
            options: crate::inet::IpOptions::default(),
            received: alloc::collections::VecDeque::new(),
            cost: 0,
            dropped: 0,
            errors: alloc::collections::VecDeque::new(),
            corked: false,
            gathered: None,
            segment: 0,
            joins: false,
            full: false,
        };
        Self(Arc::new(Udp {
            net: Arc::clone(net),
            common: Common::new(domain, SOCK_DGRAM, IPPROTO_UDP),
            queue: WaitQueue::new(),
            state: hal::sync::Lock::new(inner),
        }))
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let mut inner = self.0.state.lock();
        let port = inner.local.map(|local| local.port());
        inner.options.leave_all(&self.0.net);
        let waiting = core::mem::take(&mut inner.received);
        drop(inner);
        drop(waiting);
        if let Some(port) = port {
            self.0.net.udp.unbind(self.0.common.id, port);
        }
    }
}

impl Udp {
    fn claim(&self, inner: &Inner, address: IpAddr, uid: u32) -> Claim {
        let common = &self.common;
        Claim {
            address,
            v4: address.is_ipv4() || address.is_unspecified() && !inner.options.v6_only,
            v6: common.domain == AF_INET6 && address.is_ipv6(),
            reuse: common.is(&common.reuse_address),
            reuse_port: common.is(&common.reuse_port).then_some(uid),
            interface: common.interface.load(Ordering::Relaxed),
            peer: inner.peer,
            all_groups: inner.options.multicast_all,
        }
    }

    /// Gives the socket a port of its own, if it has none.
    fn bind_any(self: &Arc<Self>, inner: &mut Inner) -> Result<()> {
        if inner.local.is_none() {
            let address = any(self.common.domain == AF_INET6);
            let claim = self.claim(inner, address, 0);
            let port = self.net.udp.bind(self, claim, 0, self.net.random())?;
            inner.local = Some(SocketAddr::new(address, port));
        }
        Ok(())
    }

    fn tell_table(&self, inner: &Inner) {
        let Some(local) = inner.local else { return };
        self.net.udp.change(self.common.id, local.port(), |claim, groups| {
            claim.address = local.ip();
            claim.peer = inner.peer;
            claim.interface = self.common.interface.load(Ordering::Relaxed);
            claim.all_groups = inner.options.multicast_all;
            *groups = inner.options.joined.iter().map(|j| j.group).collect();
        });
    }

    fn connect_to(self: &Arc<Self>, peer: SocketAddr) -> Result<()> {
        let mut inner = self.state.lock();
        let from = inner.local.map(|l| l.ip()).filter(|ip| inner.bound && !ip.is_unspecified());
        let path = self.net.path(peer.ip(), from, self.interface_for(&inner, peer))?;
        if path.broadcast && !self.common.is(&self.common.broadcast) {
            return Err(Errno::EACCES);
        }
        self.bind_any(&mut inner)?;
        let ip = if peer.ip().is_unspecified() { path.source } else { peer.ip() };
        inner.peer = Some(SocketAddr::new(ip, peer.port()));
        let bound = inner.bound;
        if let Some(local) = &mut inner.local
            && (local.ip().is_unspecified() || !bound)
        {
            local.set_ip(path.source);
        }
        inner.path = Some(path);
        self.tell_table(&inner);
        Ok(())
    }

    fn disconnect(&self) {
        let mut inner = self.state.lock();
        inner.peer = None;
        inner.path = None;
        let bound = inner.bound;
        if let Some(local) = &mut inner.local
            && !bound
        {
            local.set_ip(any(self.common.domain == AF_INET6));
        }
        self.tell_table(&inner);
    }

    /// The interface that packets to an address have to take, 0 for any.
    fn interface_for(&self, inner: &Inner, peer: SocketAddr) -> u32 {
        let bound = self.common.interface.load(Ordering::Relaxed);
        let scope = match peer {
            SocketAddr::V6(v6) => v6.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        let group = match (peer.ip().is_multicast(), peer.is_ipv4()) {
            (true, true) => inner.options.multicast_interface,
            (true, false) => inner.options.multicast_interface_v6,
            (false, _) => inner.options.unicast_interface,
        };
        [bound, scope, group].into_iter().find(|&i| i != 0).unwrap_or(0)
    }

    /// Sends a datagram's bytes, which have been copied from the application.
    fn send_bytes(self: &Arc<Self>, peer: Option<SocketAddr>, bytes: &[u8], extra: &Ancillary) -> Result<()> {
        let net = &self.net;
        let mut inner = self.state.lock();
        self.bind_any(&mut inner)?;
        let destination = peer.or(inner.peer).ok_or(Errno::EDESTADDRREQ)?;
        let local = inner.local.ok_or(Errno::EINVAL)?;
        let wanted = extra.packet_info.map(|(_, ip)| ip).filter(|ip| !ip.is_unspecified());
        let from =
            wanted.or_else(|| Some(local.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_multicast()));
        let interface = match extra.packet_info {
            Some((index, _)) if index != 0 => index,
            _ => self.interface_for(&inner, destination),
        };
        let known = inner.path.as_ref().filter(|path| {
            peer.is_none() && extra.packet_info.is_none() && path.generation == net.generation()
        });
        let path = match known {
            Some(path) => path.clone(),
            None => {
                net.path(destination.ip(), from.filter(|f| f.is_ipv4() == destination.is_ipv4()), interface)?
            }
        };
        if peer.is_none() && extra.packet_info.is_none() {
            inner.path = Some(path.clone());
        }
        if path.broadcast && !self.common.is(&self.common.broadcast) {
            return Err(Errno::EACCES);
        }
        let (v6, many) = (destination.is_ipv6(), destination.ip().is_multicast());
        let options = &inner.options;
        let hop_limit = match (many, v6) {
            (true, true) => options.multicast_hops,
            (true, false) => options.multicast_ttl,
            (false, _) => options.hop_limit(v6),
        };
        let loops = if v6 { options.multicast_loop_v6 } else { options.multicast_loop };
        let ip = if destination.ip().is_unspecified() { path.source } else { destination.ip() };
        let sending = Sending {
            source: SocketAddr::new(from.unwrap_or(path.source), local.port()),
            destination: SocketAddr::new(ip, destination.port()),
            path: &path,
            hop_limit: extra.hop_limit.unwrap_or(hop_limit),
            traffic_class: extra.traffic_class.unwrap_or_else(|| options.class(v6)),
            dont_fragment: options.dont_fragment(v6),
            no_checksum: self.common.is(&self.common.no_check),
            loops,
        };
        let segment = usize::from(extra.segment.unwrap_or(inner.segment));
        drop(inner);
        let mut sent = Ok(());
        if segment == 0 || bytes.len() <= segment {
            sent = net.send_datagram(&sending, bytes);
        } else {
            for part in bytes.chunks(segment) {
                sent = net.send_datagram(&sending, part);
                if sent.is_err() {
                    break;
                }
            }
        }
        path.interface.flush();
        if sent == Err(Errno::EAGAIN) {
            self.state.lock().full = true;
            path.interface.wait_for_room(self.clone());
        }
        sent
    }

    fn next(&self, flags: MsgFlags) -> Result<Datagram> {
        let mut inner = self.state.lock();
        if flags.contains(MsgFlags::MSG_PEEK) {
            return inner.received.front().cloned().ok_or(Errno::EAGAIN);
        }
        let datagram = inner.received.pop_front().ok_or(Errno::EAGAIN)?;
        inner.cost -= datagram.payload.len() + OVERHEAD;
        Ok(datagram)
    }

    fn extras(&self, datagram: &Datagram) -> Ancillary {
        let inner = self.state.lock();
        let options = &inner.options;
        let v6 = self.common.domain == AF_INET6;
        let mut extra = Ancillary::default();
        if options.packet_info || v6 && options.packet_info_v6 {
            extra.packet_info = Some((datagram.interface, datagram.to));
        }
        if options.receive_ttl || v6 && options.receive_hops {
            extra.hop_limit = Some(datagram.hop_limit);
        }
        if options.receive_tos || v6 && options.receive_class {
            extra.traffic_class = Some(datagram.traffic_class);
        }
        if self.common.timestamps.load(Ordering::Relaxed) != 0 {
            extra.time_ns = Some(datagram.time_ns);
        }
        if self.common.is(&self.common.count_drops) && inner.dropped > 0 {
            extra.dropped = Some(inner.dropped);
        }
        let _ = datagram.port;
        extra
    }

    fn next_error(&self, to: &mut Dest<'_>) -> Result<Incoming> {
        let entry = self.state.lock().errors.pop_front();
        let (report, payload, peer) = entry.ok_or(Errno::EAGAIN)?;
        to.push(&payload)?;
        let ancillary = Ancillary { error: Some(report), ..Ancillary::default() };
        let from = Some(show_address(&self.common, peer));
        Ok(Incoming { len: payload.len(), from, flags: MsgFlags::MSG_ERRQUEUE, ancillary })
    }
}

impl Socket for UdpSocket {
    fn common(&self) -> &Common {
        &self.0.common
    }

    fn bind(&self, address: &Address, who: &Identity) -> Result<()> {
        let udp = &self.0;
        let mut inner = udp.state.lock();
        let address = take_address(&udp.common, address, inner.options.v6_only)?;
        check_local(&udp.net, address.ip(), &inner.options)?;
        if (1..1024).contains(&address.port()) && !who.bind_service {
            return Err(Errno::EACCES);
        }
        if inner.local.is_some() {
            return Err(Errno::EINVAL);
        }
        let claim = udp.claim(&inner, address.ip(), who.uid);
        let port = udp.net.udp.bind(udp, claim, address.port(), udp.net.random())?;
        inner.local = Some(SocketAddr::new(address.ip(), port));
        // LINUX: a socket that was bound to any address is shown with the one that `connect` chooses.
        inner.bound = !address.ip().is_unspecified();
        udp.tell_table(&inner);
        Ok(())
    }

    fn connect(&self, address: &Address, _who: &Identity) -> Result<()> {
        if *address == Address::Unspecified {
            self.0.disconnect();
            return Ok(());
        }
        let v6_only = self.0.state.lock().options.v6_only;
        let peer = take_address(&self.0.common, address, v6_only)?;
        self.0.connect_to(peer)
    }

    fn send(&self, from: &mut Source<'_>, message: &mut Outgoing<'_>) -> Result<usize> {
        let udp = &self.0;
        if message.flags.contains(MsgFlags::MSG_OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        udp.common.check_error()?;
        if udp.common.write_ended() {
            return Err(Errno::EPIPE);
        }
        let (v6_only, peer, corked, full) = {
            let inner = udp.state.lock();
            (inner.options.v6_only, inner.peer, inner.corked, inner.full)
        };
        if full {
            return Err(Errno::EAGAIN);
        }
        let to = match message.to {
            Some(Address::Unspecified) if udp.common.domain != AF_INET6 => None,
            Some(address) => Some(take_address(&udp.common, address, v6_only)?),
            None => None,
        };
        if to.is_some_and(|to| to.port() == 0) {
            return Err(Errno::EINVAL);
        }
        let len = from.remaining();
        if len > 65_535 {
            return Err(Errno::EMSGSIZE);
        }
        let gathered = udp.state.lock().gathered.take();
        let target = to.or(gathered.as_ref().map(|(to, _)| *to)).or(peer).ok_or(Errno::EDESTADDRREQ)?;
        let (known, mut bytes) = match gathered {
            Some((_, bytes)) => (bytes.len(), bytes),
            None => (0, Vec::new()),
        };
        bytes.resize(known + len, 0);
        // A copy of the source is read: nothing was taken where the datagram does not go.
        let copied = from.clone().pull(&mut bytes[known..])?;
        if copied < len {
            return Err(Errno::EFAULT);
        }
        if corked || message.flags.contains(MsgFlags::MSG_MORE) {
            if bytes.len() > 65_507 {
                return Err(Errno::EMSGSIZE);
            }
            udp.state.lock().gathered = Some((target, bytes));
        } else {
            let named = to.or_else(|| (Some(target) != peer).then_some(target));
            udp.send_bytes(named, &bytes, &message.ancillary)?;
        }
        Ok(len)
    }

    fn receive(&self, to: &mut Dest<'_>, flags: MsgFlags) -> Result<Incoming> {
        let udp = &self.0;
        if flags.contains(MsgFlags::MSG_ERRQUEUE) {
            return udp.next_error(to);
        }
        if flags.contains(MsgFlags::MSG_OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        udp.common.check_error()?;
        let datagram = match udp.next(flags) {
            Err(Errno::EAGAIN) if udp.common.read_ended() => return Ok(Incoming::default()),
            other => other?,
        };
        let offset = if flags.contains(MsgFlags::MSG_PEEK) {
            usize::try_from(udp.common.peek_offset.load(Ordering::Relaxed))
                .unwrap_or(0)
                .min(datagram.payload.len())
        } else {
            0
        };
        let bytes = &datagram.payload[offset..];
        let pushed = if bytes.is_empty() { 0 } else { to.push(bytes)? };
        let cut = to.remaining() == 0 && pushed < bytes.len();
        if pushed < bytes.len() && !cut {
            return Err(Errno::EFAULT);
        }
        let whole = flags.contains(MsgFlags::MSG_TRUNC);
        Ok(Incoming {
            len: if whole { bytes.len() } else { pushed },
            from: Some(show_address(&udp.common, datagram.from)),
            flags: if cut { MsgFlags::MSG_TRUNC } else { MsgFlags::empty() },
            ancillary: udp.extras(&datagram),
        })
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        let udp = &self.0;
        let connected = udp.state.lock().peer.is_some();
        if how.read() {
            udp.common.end(ENDED_READ);
        }
        if how.write() {
            udp.common.end(ENDED_WRITE);
        }
        udp.queue.wake(Readiness::READ | Readiness::WRITE | Readiness::RDHUP | Readiness::HUP);
        // LINUX: it is shut down all the same.
        if connected { Ok(()) } else { Err(Errno::ENOTCONN) }
    }

    fn name(&self) -> Address {
        let common = &self.0.common;
        self.0.state.lock().local.map_or_else(|| no_address(common), |local| show_address(common, local))
    }

    fn peer(&self) -> Result<Address> {
        let peer = self.0.state.lock().peer.ok_or(Errno::ENOTCONN)?;
        Ok(show_address(&self.0.common, peer))
    }

    fn set_option(&self, level: i32, name: i32, value: &[u8], who: &Identity) -> Result<()> {
        let udp = &self.0;
        let mut inner = udp.state.lock();
        match level {
            SOL_SOCKET if name == SO_BINDTODEVICE => bind_to_device(&udp.net, &udp.common, value, who)?,
            SOL_SOCKET => {
                if !matches!(name, SO_REUSEADDR | SO_REUSEPORT) {
                    return Err(Errno::ENOPROTOOPT);
                }
                if let Some(local) = inner.local {
                    let common = &udp.common;
                    udp.net.udp.change(common.id, local.port(), |claim, _| {
                        claim.reuse = common.is(&common.reuse_address);
                        claim.reuse_port = common.is(&common.reuse_port).then_some(who.uid);
                    });
                }
            }
            SOL_UDP => {
                let number = int(value)?;
                match name {
                    UDP_CORK => {
                        inner.corked = number != 0;
                        let gathered = if inner.corked { None } else { inner.gathered.take() };
                        drop(inner);
                        if let Some((to, bytes)) = gathered {
                            udp.send_bytes(Some(to), &bytes, &Ancillary::default())?;
                        }
                        return Ok(());
                    }
                    UDP_SEGMENT => {
                        inner.segment = u16::try_from(number).map_err(|_| Errno::EINVAL)?;
                    }
                    UDP_GRO => inner.joins = number != 0,
                    UDP_NO_CHECK6_RX | UDP_NO_CHECK6_TX => {}
                    _ => return Err(Errno::ENOPROTOOPT),
                }
                return Ok(());
            }
            SOL_IP | SOL_IPV6 => {
                if (level, name) == (SOL_IPV6, IPV6_V6ONLY) && inner.local.is_some() {
                    return Err(Errno::EINVAL);
                }
                inner.options.set(&udp.net, &udp.common, level, name, value, who)?;
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        udp.tell_table(&inner);
        Ok(())
    }

    fn option(&self, level: i32, name: i32) -> Result<Vec<u8>> {
        let inner = self.0.state.lock();
        match (level, name) {
            (SOL_SOCKET, SO_BINDTODEVICE) => Ok(bound_device(&self.0.net, &self.0.common)),
            (SOL_UDP, UDP_CORK) => of_int(i32::from(inner.corked)),
            (SOL_UDP, UDP_SEGMENT) => of_int(i32::from(inner.segment)),
            (SOL_UDP, UDP_GRO) => of_int(i32::from(inner.joins)),
            (SOL_UDP, UDP_NO_CHECK6_RX | UDP_NO_CHECK6_TX) => of_int(0),
            (SOL_IP | SOL_IPV6, _) => {
                let mtu = inner.path.as_ref().filter(|_| inner.peer.is_some()).map(|p| p.interface.mtu());
                inner.options.get(&self.0.common, level, name, mtu)
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn pending(&self) -> (usize, usize) {
        (self.0.state.lock().received.front().map_or(0, |d| d.payload.len()), 0)
    }

    fn readiness(&self) -> Readiness {
        let udp = &self.0;
        let inner = udp.state.lock();
        let mut ready = Readiness::empty();
        if !inner.full {
            ready |= Readiness::WRITE;
        }
        if udp.common.has_error() || !inner.errors.is_empty() {
            ready |= Readiness::ERR;
        }
        if !inner.received.is_empty() || udp.common.read_ended() {
            ready |= Readiness::READ;
        }
        if udp.common.read_ended() {
            ready |= Readiness::RDHUP;
        }
        if udp.common.read_ended() && udp.common.write_ended() {
            ready |= Readiness::HUP;
        }
        ready
    }

    fn queue(&self) -> &Arc<WaitQueue> {
        &self.0.queue
    }
}
