//! What an application does with a TCP socket.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::socket::{
    AF_INET6, MsgFlags, SO_BINDTODEVICE, SO_BUF_LOCK, SO_KEEPALIVE, SO_OOBINLINE, SO_RCVBUF, SO_RCVBUFFORCE,
    SO_REUSEADDR, SO_REUSEPORT, SO_SNDBUF, SO_SNDBUFFORCE, SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_TCP,
};
use abi::{Errno, Result};
use hal::{Dest, Readiness, Source, WaitQueue};

use super::connection::{Settings, State};
use super::options::is_synchronized;
use super::{Role, Tcp};
use crate::inet::{bind_to_device, bound_device, no_address, show_address, take_address};
use crate::{Address, Common, Identity, Incoming, Net, Outgoing, Shutdown, Socket};

/// The application's hold on a socket; its end closes the socket.
pub(crate) struct TcpSocket(pub(crate) Arc<Tcp>);

impl TcpSocket {
    /// Makes a socket.
    pub(crate) fn new(net: &Arc<Net>, domain: u16) -> Self {
        Self(Tcp::new(net, domain, Settings::default()))
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Socket for TcpSocket {
    fn common(&self) -> &Common {
        &self.0.common
    }

    fn bind(&self, address: &Address, who: &Identity) -> Result<()> {
        let v6_only = self.0.state.lock().options.ip.v6_only;
        let address = match address {
            // LINUX: any address of no family is any IPv4 address.
            Address::Unspecified if self.0.common.domain != AF_INET6 => {
                return Err(Errno::EAFNOSUPPORT);
            }
            other => take_address(&self.0.common, other, v6_only)?,
        };
        self.0.bind_to(address, who)
    }

    fn listen(&self, backlog: u32, who: &Identity) -> Result<()> {
        self.0.listen_with(backlog, who)
    }

    fn accept(&self) -> Result<Arc<dyn Socket>> {
        Ok(Arc::new(Self(self.0.pop()?)))
    }

    fn connect(&self, address: &Address, _who: &Identity) -> Result<()> {
        if *address == Address::Unspecified {
            self.0.disconnect();
            return Ok(());
        }
        let v6_only = self.0.state.lock().options.ip.v6_only;
        let peer = take_address(&self.0.common, address, v6_only)?;
        self.0.connect_to(peer)
    }

    fn connected(&self) -> Result<()> {
        self.0.connect_result()
    }

    fn send(&self, from: &mut Source<'_>, message: &mut Outgoing<'_>) -> Result<usize> {
        if message.flags.contains(MsgFlags::MSG_FASTOPEN) {
            return Err(Errno::EOPNOTSUPP);
        }
        // LINUX: an address is not looked at where the socket is connected.
        self.0.send_bytes(from, message.flags)
    }

    fn receive(&self, to: &mut Dest<'_>, flags: MsgFlags) -> Result<Incoming> {
        if flags.contains(MsgFlags::MSG_ERRQUEUE) {
            return Err(Errno::EAGAIN);
        }
        if flags.contains(MsgFlags::MSG_OOB) {
            let byte = self.0.receive_urgent(flags.contains(MsgFlags::MSG_PEEK))?;
            let len = to.push(&[byte])?;
            return Ok(Incoming { len, flags: MsgFlags::MSG_OOB, ..Incoming::default() });
        }
        let len = self.0.receive_bytes(to, flags)?;
        Ok(Incoming { len, ..Incoming::default() })
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        self.0.shut(how)
    }

    fn name(&self) -> Address {
        let common = &self.0.common;
        self.0.state.lock().local.map_or_else(|| no_address(common), |local| show_address(common, local))
    }

    fn peer(&self) -> Result<Address> {
        let inner = self.0.state.lock();
        let connected = match &inner.role {
            Role::Wire(wire) => {
                is_synchronized(wire.connection.state()) && wire.connection.state() != State::SynReceived
            }
            Role::Local(end) => !end.view().is_over(),
            _ => false,
        };
        let peer = inner.peer.filter(|_| connected).ok_or(Errno::ENOTCONN)?;
        Ok(show_address(&self.0.common, peer))
    }

    fn origin(&self) -> Result<Address> {
        let peer = self.0.state.lock().peer.ok_or(Errno::ENOTCONN)?;
        Ok(show_address(&self.0.common, peer))
    }

    fn set_option(&self, level: i32, name: i32, value: &[u8], who: &Identity) -> Result<()> {
        let tcp = &self.0;
        let mut inner = tcp.state.lock();
        match level {
            SOL_SOCKET if name == SO_BINDTODEVICE => bind_to_device(&tcp.net, &tcp.common, value, who)?,
            SOL_SOCKET => {
                if !matches!(
                    name,
                    SO_REUSEADDR
                        | SO_REUSEPORT
                        | SO_KEEPALIVE
                        | SO_OOBINLINE
                        | SO_SNDBUF
                        | SO_RCVBUF
                        | SO_SNDBUFFORCE
                        | SO_RCVBUFFORCE
                        | SO_BUF_LOCK
                ) {
                    return Err(Errno::ENOPROTOOPT);
                }
                if let (SO_REUSEADDR | SO_REUSEPORT, Some(port)) = (name, inner.bound) {
                    let common = &tcp.common;
                    let shared = common.is(&common.reuse_port).then_some(who.uid);
                    tcp.net.tcp.set_sharing(common.id, port, common.is(&common.reuse_address), shared);
                }
                tcp.take_common(&mut inner);
            }
            SOL_TCP => {
                if tcp.set_tcp(&mut inner, name, value, who)? {
                    let card = match &inner.role {
                        Role::Wire(wire) => Some(Arc::clone(&wire.path.interface)),
                        _ => None,
                    };
                    drop(inner);
                    tcp.settle();
                    if let Some(card) = card {
                        card.flush();
                    }
                }
            }
            SOL_IP | SOL_IPV6 => {
                if (level, name) == (SOL_IPV6, abi::socket::IPV6_V6ONLY) && inner.bound.is_some() {
                    return Err(Errno::EINVAL);
                }
                inner.options.ip.set(&tcp.net, &tcp.common, level, name, value, who)?;
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    fn option(&self, level: i32, name: i32) -> Result<Vec<u8>> {
        let mut inner = self.0.state.lock();
        match level {
            SOL_TCP => self.0.get_tcp(&mut inner, name),
            SOL_SOCKET if name == SO_BINDTODEVICE => Ok(bound_device(&self.0.net, &self.0.common)),
            SOL_IP | SOL_IPV6 => {
                let mtu = match &inner.role {
                    Role::Wire(wire) => Some(wire.path.interface.mtu()),
                    Role::Local(_) => Some(65_536),
                    _ => None,
                };
                inner.options.ip.get(&self.0.common, level, name, mtu)
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn pending(&self) -> (usize, usize) {
        match &self.0.state.lock().role {
            Role::Wire(wire) => (wire.connection.readable(), wire.connection.tx.len()),
            Role::Local(end) => (end.view().readable, 0),
            _ => (0, 0),
        }
    }

    fn at_mark(&self) -> bool {
        match &self.0.state.lock().role {
            Role::Wire(wire) => {
                let connection = &wire.connection;
                let read_to = connection.receive_next - connection.readable();
                connection.urgent.is_some_and(|at| !at.after(read_to))
            }
            Role::Local(end) => end.at_mark(),
            _ => false,
        }
    }

    fn readiness(&self) -> Readiness {
        self.0.ready()
    }

    fn queue(&self) -> &Arc<WaitQueue> {
        &self.0.queue
    }
}
