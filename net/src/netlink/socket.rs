//! What an application does with a netlink socket.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::netlink::{
    NETLINK_ADD_MEMBERSHIP, NETLINK_BROADCAST_ERROR, NETLINK_CAP_ACK, NETLINK_DROP_MEMBERSHIP,
    NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK, NETLINK_LIST_MEMBERSHIPS, NETLINK_LISTEN_ALL_NSID,
    NETLINK_NO_ENOBUFS, NETLINK_PKTINFO, NETLINK_ROUTE,
};
use abi::socket::{AF_NETLINK, MsgFlags, SOCK_DGRAM, SOCK_RAW, SOL_NETLINK, SOL_SOCKET};
use abi::{Errno, Result};
use hal::sync::Lock;
use hal::{Dest, Readiness, Source, WaitQueue};

use super::{Inner, Netlink, rules};
use crate::inet::{int, of_int};
use crate::{Address, Common, Identity, Incoming, Net, Outgoing, Shutdown, Socket, Ucred};

/// Makes a netlink socket.
///
/// # Errors
/// `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`
pub(crate) fn create(net: &Arc<Net>, kind: u32, protocol: i32) -> Result<Arc<dyn Socket>> {
    if kind != SOCK_RAW && kind != SOCK_DGRAM {
        return Err(Errno::ESOCKTNOSUPPORT);
    }
    rules(protocol).ok_or(Errno::EPROTONOSUPPORT)?;
    Ok(Arc::new(NetlinkSocket(Arc::new(Netlink {
        net: Arc::clone(net),
        common: Common::new(AF_NETLINK, kind, protocol),
        queue: WaitQueue::new(),
        state: Lock::new(Inner::default()),
        no_enobufs: AtomicBool::new(false),
    }))))
}

/// The application's hold on a socket; its end closes the socket.
struct NetlinkSocket(Arc<Netlink>);

impl Drop for NetlinkSocket {
    fn drop(&mut self) {
        let port = {
            let mut inner = self.0.state.lock();
            self.0.set_groups(&mut inner, 0);
            inner.port.take()
        };
        if let Some(port) = port {
            self.0.net.netlink.unbind(self.0.common.protocol, port);
        }
    }
}

impl Netlink {
    fn set_groups(&self, inner: &mut Inner, groups: u64) {
        let members = &self.net.netlink.members;
        match (inner.groups != 0, groups != 0) {
            (false, true) => {
                members.fetch_add(1, Ordering::Relaxed);
            }
            (true, false) => {
                members.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
        inner.groups = groups;
    }

    /// Gives the socket a port, if it has none.
    fn bind_to(self: &Arc<Self>, port: u32, who: &Identity) -> Result<u32> {
        let mut inner = self.state.lock();
        match inner.port {
            Some(own) if port == 0 || port == own => Ok(own),
            Some(_) => Err(Errno::EINVAL),
            None => {
                let port = self.net.netlink.bind(self, port, who.pid, self.net.random())?;
                inner.port = Some(port);
                Ok(port)
            }
        }
    }

    fn may_join(&self, who: &Identity) -> Result<()> {
        match rules(self.common.protocol) {
            Some((_, true, _)) => Ok(()),
            _ if who.net_admin => Ok(()),
            _ => Err(Errno::EPERM),
        }
    }

    fn may_send(&self, who: &Identity) -> Result<()> {
        match rules(self.common.protocol) {
            Some((_, _, true)) => Ok(()),
            _ if who.net_admin => Ok(()),
            _ => Err(Errno::EPERM),
        }
    }
}

impl Socket for NetlinkSocket {
    fn common(&self) -> &Common {
        &self.0.common
    }

    fn bind(&self, address: &Address, who: &Identity) -> Result<()> {
        let &Address::Netlink { port, groups } = address else { return Err(Errno::EINVAL) };
        if groups != 0 {
            self.0.may_join(who)?;
        }
        let own = self.0.state.lock().port;
        if own.is_some_and(|own| own != port && port != 0) {
            return Err(Errno::EINVAL);
        }
        self.0.bind_to(port, who)?;
        let mut inner = self.0.state.lock();
        // The groups beyond those that an address can name stay as they are.
        let groups = inner.groups & !u64::from(u32::MAX) | u64::from(groups);
        self.0.set_groups(&mut inner, groups);
        Ok(())
    }

    fn connect(&self, address: &Address, who: &Identity) -> Result<()> {
        match *address {
            Address::Unspecified => {
                self.0.state.lock().peer = (0, 0);
                Ok(())
            }
            Address::Netlink { port, groups } => {
                if port != 0 || groups != 0 {
                    self.0.may_send(who)?;
                }
                self.0.bind_to(0, who)?;
                self.0.state.lock().peer = (port, first_group(groups));
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn send(&self, from: &mut Source<'_>, message: &mut Outgoing<'_>) -> Result<usize> {
        let (netlink, who) = (&self.0, message.sender);
        if message.flags.contains(MsgFlags::MSG_OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let len = from.remaining();
        if len == 0 {
            return Err(Errno::ENODATA);
        }
        let (port, group) = match message.to {
            None => netlink.state.lock().peer,
            Some(&Address::Netlink { port, groups }) => {
                if port != 0 || groups != 0 {
                    netlink.may_send(&who)?;
                }
                (port, first_group(groups))
            }
            Some(_) => return Err(Errno::EINVAL),
        };
        let own = netlink.bind_to(0, &who)?;
        if len + 32 > netlink.common.send_buffer.load(Ordering::Relaxed) as usize {
            return Err(Errno::EMSGSIZE);
        }
        let mut bytes = vec![0; len];
        if from.clone().pull(&mut bytes)? < len {
            return Err(Errno::EFAULT);
        }
        let protocol = netlink.common.protocol;
        let sender =
            message.ancillary.credentials.unwrap_or(Ucred { pid: who.pid, uid: who.uid, gid: who.gid });
        if group != 0 {
            netlink.net.netlink.broadcast(protocol, group, own, sender, &bytes);
        }
        if port != 0 {
            let peer = netlink.net.netlink.find(protocol, port).ok_or(Errno::ECONNREFUSED)?;
            peer.deliver(own, 0, sender, &bytes)?;
        } else if protocol == NETLINK_ROUTE {
            netlink.take_requests(&bytes, own, &who);
        } else if group == 0 {
            // The kernel does not listen there.
            return Err(Errno::ECONNREFUSED);
        }
        from.pull(&mut bytes)?;
        Ok(len)
    }

    fn receive(&self, to: &mut Dest<'_>, flags: MsgFlags) -> Result<Incoming> {
        let netlink = &self.0;
        if flags.contains(MsgFlags::MSG_OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        netlink.common.check_error()?;
        // The lock is not held while bytes are copied to the application.
        let peek = flags.contains(MsgFlags::MSG_PEEK);
        let mut inner = netlink.state.lock();
        let packet_info = inner.packet_info;
        let (bytes, from, group, sender) = if peek {
            let front = inner.received.front().ok_or(Errno::EAGAIN)?;
            (front.bytes.clone(), front.from, front.group, front.sender)
        } else {
            let datagram = inner.take().ok_or(Errno::EAGAIN)?;
            (datagram.bytes, datagram.from, datagram.group, datagram.sender)
        };
        drop(inner);
        let pushed = to.push(&bytes)?;
        let cut = pushed < bytes.len();
        if cut && to.remaining() > 0 {
            return Err(Errno::EFAULT);
        }
        let mut incoming = Incoming {
            len: if flags.contains(MsgFlags::MSG_TRUNC) { bytes.len() } else { pushed },
            from: Some(Address::Netlink { port: from, groups: mask_of(group) }),
            flags: if cut { MsgFlags::MSG_TRUNC } else { MsgFlags::empty() },
            ..Incoming::default()
        };
        if netlink.common.is(&netlink.common.pass_credentials) {
            incoming.ancillary.credentials = Some(sender);
        }
        if packet_info {
            let group = group.to_ne_bytes().to_vec();
            incoming.ancillary.other.push((SOL_NETLINK, NETLINK_PKTINFO, group));
        }
        Ok(incoming)
    }

    fn shutdown(&self, _how: Shutdown) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    fn name(&self) -> Address {
        let inner = self.0.state.lock();
        let groups = u32::try_from(inner.groups & u64::from(u32::MAX)).unwrap_or(0);
        Address::Netlink { port: inner.port.unwrap_or(0), groups }
    }

    fn peer(&self) -> Result<Address> {
        let (port, group) = self.0.state.lock().peer;
        Ok(Address::Netlink { port, groups: mask_of(group) })
    }

    fn set_option(&self, level: i32, name: i32, value: &[u8], who: &Identity) -> Result<()> {
        let netlink = &self.0;
        match level {
            SOL_NETLINK => {}
            SOL_SOCKET => return Ok(()),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        let number = if value.len() >= 4 { int(value)? } else { return Err(Errno::EINVAL) };
        let on = number != 0;
        match name {
            NETLINK_ADD_MEMBERSHIP | NETLINK_DROP_MEMBERSHIP => {
                netlink.may_join(who)?;
                let most = rules(netlink.common.protocol).map_or(0, |(groups, ..)| groups);
                let group = u32::try_from(number).ok().filter(|g| (1..=most).contains(g));
                let bit = 1 << (group.ok_or(Errno::EINVAL)? - 1);
                netlink.bind_to(0, who)?;
                let mut inner = netlink.state.lock();
                let groups =
                    if name == NETLINK_ADD_MEMBERSHIP { inner.groups | bit } else { inner.groups & !bit };
                netlink.set_groups(&mut inner, groups);
                return Ok(());
            }
            NETLINK_NO_ENOBUFS => {
                netlink.no_enobufs.store(on, Ordering::Relaxed);
                if on {
                    netlink.state.lock().congested = false;
                }
                return Ok(());
            }
            NETLINK_LISTEN_ALL_NSID if !who.net_admin => return Err(Errno::EPERM),
            _ => {}
        }
        let mut inner = netlink.state.lock();
        let switch = match name {
            NETLINK_PKTINFO => &mut inner.packet_info,
            NETLINK_BROADCAST_ERROR => &mut inner.broadcast_error,
            NETLINK_LISTEN_ALL_NSID => &mut inner.listen_all,
            NETLINK_CAP_ACK => &mut inner.cap_ack,
            NETLINK_EXT_ACK => &mut inner.ext_ack,
            NETLINK_GET_STRICT_CHK => &mut inner.strict,
            _ => return Err(Errno::ENOPROTOOPT),
        };
        *switch = on;
        Ok(())
    }

    fn option(&self, level: i32, name: i32) -> Result<Vec<u8>> {
        if level != SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        let inner = self.0.state.lock();
        let on = match name {
            NETLINK_PKTINFO => inner.packet_info,
            NETLINK_BROADCAST_ERROR => inner.broadcast_error,
            NETLINK_NO_ENOBUFS => self.0.no_enobufs.load(Ordering::Relaxed),
            NETLINK_CAP_ACK => inner.cap_ack,
            NETLINK_EXT_ACK => inner.ext_ack,
            NETLINK_GET_STRICT_CHK => inner.strict,
            NETLINK_LIST_MEMBERSHIPS => {
                let words =
                    rules(self.0.common.protocol).map_or(1, |(groups, ..)| groups.div_ceil(32)) as usize;
                return Ok(inner.groups.to_le_bytes()[..4 * words].to_vec());
            }
            _ => return Err(Errno::ENOPROTOOPT),
        };
        of_int(i32::from(on))
    }

    fn pending(&self) -> (usize, usize) {
        (self.0.state.lock().received.front().map_or(0, |d| d.bytes.len()), 0)
    }

    fn readiness(&self) -> Readiness {
        let mut ready = Readiness::WRITE;
        if !self.0.state.lock().received.is_empty() {
            ready |= Readiness::READ;
        }
        if self.0.common.has_error() {
            ready |= Readiness::ERR;
        }
        ready
    }

    fn queue(&self) -> &Arc<WaitQueue> {
        &self.0.queue
    }
}

/// LINUX: of the groups that an address names, the first one is sent to.
const fn first_group(groups: u32) -> u32 {
    if groups == 0 { 0 } else { groups.trailing_zeros() + 1 }
}

/// Returns a group as a bit, where an address has one for it.
const fn mask_of(group: u32) -> u32 {
    if group == 0 || group > 32 { 0 } else { 1 << (group - 1) }
}
