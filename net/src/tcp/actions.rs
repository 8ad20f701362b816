//! What calls on a TCP socket lead to.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::sync::atomic::Ordering;

use abi::socket::{AF_INET6, MsgFlags, SOMAXCONN};
use abi::{Errno, Result};
use hal::{Dest, Readiness, Source};

use super::connection::{Connection, State};
use super::listener::Listener;
use super::local::Pair;
use super::options::is_synchronized;
use super::table::{Claim, Key};
use super::{Inner, Role, Tcp, Wire};
use crate::bytes::Batch;
use crate::inet::check_local;
use crate::{ENDED_READ, ENDED_WRITE, Identity, Shutdown};

/// Ports below this one are for those who may (`net.ipv4.ip_unprivileged_port_start`).
pub(crate) const FIRST_FREE_PORT: u16 = 1024;

impl Inner {
    /// Takes the address of a connection that is over back. LINUX: the port is still shown; one that nobody asked for is
    /// another's to use all the same.
    pub(super) fn forget_address(&mut self) {
        if let Some(local) = &mut self.local
            && !(self.named && self.bound.is_some())
        {
            local.set_ip(crate::any(local.is_ipv6()));
        }
    }
}

impl Tcp {
    pub(super) fn claim(&self, inner: &Inner, address: IpAddr, who: &Identity) -> Claim {
        let any = address.is_unspecified();
        let v6_socket = self.common.domain == AF_INET6;
        let common = &self.common;
        Claim {
            address,
            v4: address.is_ipv4() || any && !inner.options.ip.v6_only,
            v6: v6_socket && address.is_ipv6(),
            reuse: common.is(&common.reuse_address),
            reuse_port: common.is(&common.reuse_port).then_some(who.uid),
            interface: common.interface.load(Ordering::Relaxed),
        }
    }

    pub(super) fn bind_to(self: &Arc<Self>, address: SocketAddr, who: &Identity) -> Result<()> {
        let mut inner = self.state.lock();
        check_local(&self.net, address.ip(), &inner.options.ip)?;
        // LINUX: a group of IPv4 passes, though nobody can connect to it.
        if address.ip().is_multicast() && address.is_ipv6() {
            return Err(Errno::EINVAL);
        }
        if (1..FIRST_FREE_PORT).contains(&address.port()) && !who.bind_service {
            return Err(Errno::EACCES);
        }
        if inner.bound.is_some() || !matches!(inner.role, Role::Idle) {
            return Err(Errno::EINVAL);
        }
        let claim = self.claim(&inner, address.ip(), who);
        let port = self.net.tcp.bind(self, &claim, address.port(), self.net.random())?;
        inner.bound = Some(port);
        inner.named = !address.ip().is_unspecified();
        inner.local = Some(SocketAddr::new(address.ip(), port));
        Ok(())
    }

    pub(super) fn listen_with(self: &Arc<Self>, backlog: u32, who: &Identity) -> Result<()> {
        let backlog = backlog.min(SOMAXCONN.unsigned_abs()) as usize;
        {
            let mut inner = self.state.lock();
            match &mut inner.role {
                Role::Listening(listener) => {
                    listener.set_backlog(backlog);
                    return Ok(());
                }
                Role::Idle | Role::Closed => {}
                _ => return Err(Errno::EINVAL),
            }
            inner.role = Role::Idle;
        }
        if self.state.lock().bound.is_none() {
            let any = crate::any(self.common.domain == AF_INET6);
            self.bind_to(SocketAddr::new(any, 0), who)?;
        }
        let mut inner = self.state.lock();
        let port = inner.bound.ok_or(Errno::EADDRINUSE)?;
        self.net.tcp.set_listening(self.common.id, port, true)?;
        self.common.listens.store(true, Ordering::Relaxed);
        inner.role = Role::Listening(Listener::new(backlog));
        inner.peer = None;
        Ok(())
    }

    pub(super) fn connect_to(self: &Arc<Self>, peer: SocketAddr) -> Result<()> {
        let mut inner = self.state.lock();
        match &inner.role {
            // It was refused in the background, and this call hears of it.
            Role::Closed if inner.connecting => {
                drop(inner);
                return self.connect_result();
            }
            Role::Idle | Role::Closed => {}
            Role::Listening(_) => return Err(Errno::EISCONN),
            Role::Queued => return Err(Errno::EALREADY),
            Role::Wire(wire) if !is_synchronized(wire.connection.state()) && inner.connecting => {
                return match wire.connection.state() {
                    State::Closed => {
                        drop(inner);
                        self.connect_result()
                    }
                    _ => Err(Errno::EALREADY),
                };
            }
            Role::Wire(_) | Role::Local(_) => {
                if core::mem::replace(&mut inner.connecting, false) {
                    return Ok(());
                }
                return Err(Errno::EISCONN);
            }
        }
        if peer.ip().is_multicast() || self.net.is_broadcast(peer.ip()) {
            return Err(Errno::ENETUNREACH);
        }
        // LINUX: any address is this machine.
        let ip = match peer.ip() {
            IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        let peer = SocketAddr::new(ip, peer.port());
        let bound_to = inner.local.map(|local| local.ip()).filter(|ip| !ip.is_unspecified());
        if bound_to.is_some_and(|local| local.is_ipv4() != ip.is_ipv4()) {
            return Err(Errno::EINVAL);
        }
        let interface = self.common.interface.load(Ordering::Relaxed);
        let path = self.net.path(ip, bound_to, interface)?;
        let source = path.source;
        let reuse = self.common.is(&self.common.reuse_address);
        let random = self.net.random();
        inner.peer = Some(peer);
        inner.events = super::Events::empty();
        let _ = self.common.take_error();
        self.common.ended.store(0, Ordering::Relaxed);
        if path.is_local() {
            let port = match inner.bound {
                Some(port) => {
                    self.net.tcp.count_within(port, reuse);
                    port
                }
                None => self.net.tcp.connect_within(reuse, random)?,
            };
            inner.local = Some(SocketAddr::new(source, port));
            inner.role = Role::Queued;
            inner.connecting = true;
            drop(inner);
            self.try_again();
            return Err(Errno::EINPROGRESS);
        }
        let local = match inner.bound {
            Some(port) => {
                let local = SocketAddr::new(source, port);
                self.net.tcp.insert(Key::new(local, peer), self, reuse)?;
                local
            }
            None => self.net.tcp.connect(self, source, peer, reuse, random)?,
        };
        let key = Key::new(local, peer);
        let mut settings = inner.settings;
        settings.mss = Tcp::mss_of(&path, ip);
        if inner.options.max_segment != 0 {
            settings.mss = settings.mss.min(inner.options.max_segment);
        }
        let iss = Self::initial_sequence(&self.net, &key);
        let offset = Self::stamp_offset(&self.net, &key);
        let connection = Connection::connect(self.net.now(), iss, offset, settings);
        inner.local = Some(local);
        inner.connecting = true;
        let card = Arc::clone(&path.interface);
        inner.role = Role::Wire(Box::new(Wire { connection, path, key, reuse, timer: None, listener: None }));
        drop(inner);
        self.settle();
        card.flush();
        Err(Errno::EINPROGRESS)
    }

    /// Tries to be taken by a listener of this machine.
    pub(crate) fn try_again(self: &Arc<Self>) {
        let (local, peer) = {
            let inner = self.state.lock();
            let (Role::Queued, Some(local), Some(peer)) = (&inner.role, inner.local, inner.peer) else {
                return;
            };
            (local, peer)
        };
        let Some(listener) = self.net.tcp.listener(peer, local, crate::interface::LOOPBACK) else {
            self.refuse();
            return;
        };
        let (settings, options) = {
            let state = listener.state.lock();
            (state.settings, state.options.clone())
        };
        let child = Tcp::new(&self.net, listener.common.domain, settings);
        listener.common.pass_on(&child.common);
        let reuse = [&self.common, &listener.common].map(|common| common.is(&common.reuse_address));
        let (mine, theirs) = Pair::join(self, &child, reuse);
        {
            let mut state = child.state.lock();
            state.options = options;
            (state.local, state.peer) = (Some(peer), Some(local));
            state.role = Role::Local(theirs);
        }
        match listener.offer(&child, self) {
            Ok(true) => {
                self.net.tcp.count_within(peer.port(), reuse[1]);
                let mut inner = self.state.lock();
                if matches!(inner.role, Role::Queued) {
                    inner.role = Role::Local(mine);
                }
                drop(inner);
                self.queue.wake(Readiness::WRITE);
            }
            Ok(false) => child.state.lock().role = Role::Closed,
            Err(_) => {
                child.state.lock().role = Role::Closed;
                self.refuse();
            }
        }
    }

    /// Nobody listens.
    pub(crate) fn refuse(&self) {
        let mut inner = self.state.lock();
        if !matches!(inner.role, Role::Queued) {
            return;
        }
        inner.role = Role::Closed;
        let port = inner.local.map(|local| local.port());
        drop(inner);
        if let Some(port) = port {
            self.net.tcp.leave_within(port, self.common.is(&self.common.reuse_address));
        }
        self.common.set_error(Errno::ECONNREFUSED);
        self.queue.wake(Readiness::READ | Readiness::WRITE | Readiness::RDHUP | Readiness::ALWAYS);
    }

    pub(super) fn connect_result(&self) -> Result<()> {
        let mut inner = self.state.lock();
        let ended = match &inner.role {
            Role::Queued => return Err(Errno::EAGAIN),
            Role::Wire(wire) => match wire.connection.state() {
                State::SynSent | State::SynReceived => return Err(Errno::EAGAIN),
                State::Closed => true,
                _ => false,
            },
            Role::Closed => true,
            _ => false,
        };
        inner.connecting = false;
        if !ended {
            return Ok(());
        }
        inner.role = Role::Idle;
        inner.forget_address();
        drop(inner);
        Err(self.common.take_error().unwrap_or(Errno::ECONNABORTED))
    }

    /// Ends the association with the peer (`connect` to `AF_UNSPEC`).
    pub(super) fn disconnect(self: &Arc<Self>) {
        let linger = self.common.linger.swap(0, Ordering::Relaxed);
        let (bound, broken) = {
            let mut inner = self.state.lock();
            // LINUX: what was still open was broken, and that is told like any reset.
            let broken = match &inner.role {
                Role::Local(end) => !end.view().is_over(),
                Role::Wire(wire) => !matches!(
                    wire.connection.state(),
                    State::Closed | State::LastAck | State::Closing | State::TimeWait
                ),
                Role::Queued => true,
                Role::Idle | Role::Listening(_) | Role::Closed => false,
            };
            if let (Role::Listening(_), Some(port)) = (&inner.role, inner.bound) {
                let _ = self.net.tcp.set_listening(self.common.id, port, false);
            }
            (inner.bound.take(), broken)
        };
        self.close();
        self.common.linger.store(linger, Ordering::Relaxed);
        let mut inner = self.state.lock();
        (inner.role, inner.peer, inner.bound) = (Role::Idle, None, bound);
        inner.forget_address();
        inner.connecting = false;
        drop(inner);
        let _ = self.common.take_error();
        if broken {
            self.common.set_error(Errno::ECONNRESET);
        }
        self.common.ended.store(0, Ordering::Relaxed);
    }

    pub(super) fn send_bytes(self: &Arc<Self>, from: &mut Source<'_>, flags: MsgFlags) -> Result<usize> {
        let _one = self.writing.lock();
        self.common.check_error()?;
        if self.common.write_ended() {
            return Err(Errno::EPIPE);
        }
        let urgent = flags.contains(MsgFlags::MSG_OOB);
        let mut done = 0;
        loop {
            let mut inner = self.state.lock();
            let wire = match &mut inner.role {
                Role::Local(end) => {
                    let end = end.clone();
                    drop(inner);
                    return end.write(from, urgent);
                }
                Role::Wire(wire) => wire,
                Role::Queued => return Err(Errno::EAGAIN),
                Role::Closed | Role::Idle | Role::Listening(_) => return Err(Errno::EPIPE),
            };
            match wire.connection.state() {
                State::SynSent | State::SynReceived => return Err(Errno::EAGAIN),
                _ if !wire.connection.may_write() => {
                    return if done > 0 { Ok(done) } else { Err(Errno::EPIPE) };
                }
                _ => {}
            }
            let room = wire.connection.room();
            if room == 0 || from.remaining() == 0 {
                drop(inner);
                return if done > 0 || from.remaining() == 0 { Ok(done) } else { Err(Errno::EAGAIN) };
            }
            let tail = wire.connection.tx.tail();
            drop(inner);
            let batch = match Batch::gather(from, room.min(64 << 10), tail) {
                Ok(batch) => batch,
                Err(_) if done > 0 => return Ok(done),
                Err(errno) => return Err(errno),
            };
            let len = batch.len();
            if len == 0 {
                return Ok(done);
            }
            let more = flags.contains(MsgFlags::MSG_MORE) || from.remaining() > 0;
            let mut inner = self.state.lock();
            let Role::Wire(wire) = &mut inner.role else { continue };
            if !wire.connection.may_write() {
                continue;
            }
            wire.connection.tx.append_batch(batch);
            if urgent && from.remaining() == 0 {
                wire.connection.urgent_sent = Some(wire.connection.fin_seq() - 1);
            }
            done += len;
            let corked = core::mem::replace(&mut wire.connection.settings.cork, more);
            wire.connection.settings.cork |= corked;
            let card = Arc::clone(&wire.path.interface);
            drop(inner);
            self.settle();
            if let Role::Wire(wire) = &mut self.state.lock().role {
                wire.connection.settings.cork = corked;
            }
            card.flush();
        }
    }

    pub(super) fn receive_bytes(self: &Arc<Self>, to: &mut Dest<'_>, flags: MsgFlags) -> Result<usize> {
        let _one = self.reading.lock();
        let keep = flags.contains(MsgFlags::MSG_PEEK).then(|| {
            let offset = self.common.peek_offset.load(Ordering::Relaxed);
            usize::try_from(offset).unwrap_or(0)
        });
        let discard = (flags.contains(MsgFlags::MSG_TRUNC) && keep.is_none()).then(|| to.remaining());
        let end = match &self.state.lock().role {
            Role::Local(end) => Some(end.clone()),
            _ => None,
        };
        let result = match end {
            Some(end) => end.read(to, keep, discard),
            None => self.receive_from_wire(to, keep, discard),
        };
        match result {
            Ok(0) | Err(Errno::EAGAIN | Errno::ENOTCONN) => {
                self.common.check_error()?;
                if self.common.read_ended() && !self.common.listens.load(Ordering::Relaxed) {
                    return Ok(0);
                }
                result
            }
            other => other,
        }
    }

    pub(super) fn receive_from_wire(
        self: &Arc<Self>,
        to: &mut Dest<'_>,
        keep: Option<usize>,
        discard: Option<usize>,
    ) -> Result<usize> {
        let now = self.net.now();
        let mut dropped = 0;
        loop {
            let mut inner = self.state.lock();
            let Role::Wire(wire) = &mut inner.role else {
                return match inner.role {
                    Role::Closed => Ok(0),
                    Role::Queued => Err(Errno::EAGAIN),
                    _ => Err(Errno::ENOTCONN),
                };
            };
            let connection = &mut wire.connection;
            if let Some(offset) = keep {
                let pieces = connection.rx.peek(offset, to.remaining());
                let (at_end, open) = (connection.at_end(), connection.state());
                drop(inner);
                for mut piece in pieces {
                    piece.push_to(to)?;
                }
                return match to.done() {
                    0 if to.remaining() > 0 && !at_end => Err(Errno::EAGAIN),
                    0 if open == State::SynSent => Err(Errno::EAGAIN),
                    done => Ok(done),
                };
            }
            let want = discard.map_or(to.remaining(), |most| most - dropped);
            let piece = if want == 0 { None } else { connection.read(now, |rx| rx.take_piece(want)) };
            let Some(mut piece) = piece else {
                let done = to.done() + dropped;
                let (at_end, card) = (connection.at_end(), Arc::clone(&wire.path.interface));
                let update = done > 0 && connection.window_grew();
                drop(inner);
                if update {
                    self.settle();
                    card.flush();
                }
                return if done > 0 || want == 0 || at_end { Ok(done) } else { Err(Errno::EAGAIN) };
            };
            drop(inner);
            if discard.is_some() {
                dropped += piece.len();
                continue;
            }
            let pushed = piece.push_to(to);
            if !piece.is_empty()
                && let Role::Wire(wire) = &mut self.state.lock().role
            {
                wire.connection.rx.put_back(piece);
            }
            if let Err(errno) = pushed {
                return if to.done() > 0 { Ok(to.done()) } else { Err(errno) };
            }
        }
    }

    pub(super) fn receive_urgent(&self, keep: bool) -> Result<u8> {
        let mut inner = self.state.lock();
        if self.common.is(&self.common.oob_inline) {
            return Err(Errno::EINVAL);
        }
        match &mut inner.role {
            Role::Local(end) => {
                let end = end.clone();
                drop(inner);
                end.urgent(keep)
            }
            Role::Wire(wire) => {
                let connection = &mut wire.connection;
                match connection.urgent_byte {
                    Some(byte) => {
                        if !keep {
                            (connection.urgent, connection.urgent_byte) = (None, None);
                        }
                        Ok(byte)
                    }
                    // Told of, but not here yet.
                    None if connection.urgent.is_some() => Err(Errno::EAGAIN),
                    None => Err(Errno::EINVAL),
                }
            }
            Role::Listening(_) => Err(Errno::ENOTCONN),
            Role::Idle | Role::Queued | Role::Closed => Err(Errno::EINVAL),
        }
    }

    pub(super) fn shut(self: &Arc<Self>, how: Shutdown) -> Result<()> {
        let mut inner = self.state.lock();
        let state = &mut *inner;
        match &mut state.role {
            Role::Wire(wire) if wire.connection.state() != State::Closed => {
                if how.write() {
                    self.common.end(ENDED_WRITE);
                    wire.connection.end_sending();
                }
                if how.read() {
                    self.common.end(ENDED_READ);
                    wire.connection.end_receiving();
                }
                let card = Arc::clone(&wire.path.interface);
                drop(inner);
                self.settle();
                card.flush();
            }
            Role::Local(end) if !end.view().is_over() => {
                let end = end.clone();
                drop(inner);
                if how.read() {
                    self.common.end(ENDED_READ);
                }
                if how.write() && !self.common.write_ended() {
                    self.common.end(ENDED_WRITE);
                    end.finish();
                }
            }
            Role::Listening(_) => {
                if how.read() {
                    let Role::Listening(listener) = core::mem::replace(&mut state.role, Role::Idle) else {
                        return Ok(());
                    };
                    let port = state.bound;
                    drop(inner);
                    self.common.listens.store(false, Ordering::Relaxed);
                    if let Some(port) = port {
                        let _ = self.net.tcp.set_listening(self.common.id, port, false);
                    }
                    listener.close();
                }
            }
            _ => {
                drop(inner);
                // LINUX: the directions end all the same.
                self.common
                    .end(if how.read() { ENDED_READ } else { 0 } | if how.write() { ENDED_WRITE } else { 0 });
                self.queue.wake(Readiness::READ | Readiness::WRITE | Readiness::RDHUP | Readiness::HUP);
                return Err(Errno::ENOTCONN);
            }
        }
        self.queue.wake(Readiness::READ | Readiness::WRITE | Readiness::RDHUP | Readiness::HUP);
        Ok(())
    }
}
