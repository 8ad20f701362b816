//! Sockets that listen: connections under way and connections that wait to be accepted.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};

use abi::{Errno, Result};
use hal::Readiness;

use super::connection::Connection;
use super::segment::{Flags, Segment};
use super::seq::Seq;
use super::table::Key;
use super::{Inner, Role, Tcp, Wire, cookies};
use crate::ingress::Batch;
use crate::interface::Interface;

/// Handshakes that a listener with a small backlog may have under way all the same.
const LEAST_HALF_OPEN: usize = 64;

/// What a listening socket has.
#[derive(Default)]
pub(crate) struct Listener {
    backlog: usize,
    /// Handshakes under way. Shared, so that they can be counted off without the socket's lock.
    half_open: Arc<AtomicUsize>,
    /// Connections that are made, oldest first.
    ready: VecDeque<Arc<Tcp>>,
    /// Connections that wait for their first bytes (`TCP_DEFER_ACCEPT`).
    deferred: Vec<Arc<Tcp>>,
    /// Sockets of this machine that wait for room.
    waiting: VecDeque<Weak<Tcp>>,
}

/// Where a segment for a listener came from.
pub(crate) struct Arrival<'a> {
    pub(crate) key: Key,
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) interface: &'a Arc<Interface>,
    /// Sequence numbers must be above this one: a connection with the same numbers has just ended.
    pub(crate) floor: Option<Seq>,
}

impl Listener {
    pub(crate) fn new(backlog: usize) -> Self {
        Self { backlog, ..Self::default() }
    }

    pub(crate) const fn set_backlog(&mut self, backlog: usize) {
        self.backlog = backlog;
    }

    /// LINUX: one more than the backlog fits.
    fn is_full(&self) -> bool {
        self.ready.len() > self.backlog
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns how many connections wait, and how many may.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.ready.len(), self.backlog)
    }

    /// Nobody listens any more: connections that wait are reset, and so are those under way when they come.
    pub(crate) fn close(self) {
        for connection in self.ready.into_iter().chain(self.deferred) {
            connection.common.linger.store(0, Ordering::Relaxed);
            connection.close();
        }
        for socket in self.waiting.iter().filter_map(Weak::upgrade) {
            socket.refuse();
        }
    }
}

impl Tcp {
    /// Says whether the queue of connections to be accepted is full.
    pub(crate) fn is_full(&self) -> bool {
        // Another socket's lock is held: this one's is only tried, and somebody who holds it now makes room or needs it.
        let Some(state) = self.state.try_lock() else { return false };
        matches!(&state.role, Role::Listening(listener) if listener.is_full())
    }

    /// Takes a segment for which there is no connection; returns what to answer.
    pub(crate) fn arrive(
        self: &Arc<Self>,
        from: &Arrival<'_>,
        segment: &Segment,
        payload: &[u8],
        batch: &mut Batch,
    ) -> Option<Segment> {
        if segment.has(Flags::RST) {
            return None;
        }
        if let Some(ack) = segment.ack {
            // The end of a handshake of which nothing was remembered, or nothing of ours.
            let syn = cookies::open(&self.net, &from.key, segment, ack);
            let Some((iss, syn)) = syn.filter(|_| !segment.has(Flags::SYN)) else {
                return segment.reset_for(payload.len());
            };
            if self.is_full() {
                return None;
            }
            let child = self.child(from, &syn, iss)?;
            if let Role::Wire(wire) = &mut child.state.lock().role {
                (wire.connection.syn_due, wire.connection.next) = (false, iss + 1);
            }
            return child.take(segment, payload, batch);
        }
        if !segment.has(Flags::SYN) || segment.has(Flags::FIN) {
            return None;
        }
        let (full, half_open, backlog) = match &self.state.lock().role {
            Role::Listening(l) => (l.is_full(), l.half_open.load(Ordering::Relaxed), l.backlog),
            _ => return segment.reset_for(payload.len()),
        };
        if full {
            return None;
        }
        let iss = Self::initial_sequence(&self.net, &from.key);
        let iss = from.floor.map_or(iss, |floor| iss.later(floor));
        if half_open >= backlog.max(LEAST_HALF_OPEN) {
            return Some(cookies::answer(&self.net, &from.key, segment, self.cookie_mss(from)));
        }
        let child = self.child(from, segment, iss)?;
        child.state.lock().in_batch = true;
        batch.touched.push(child);
        None
    }

    fn cookie_mss(&self, from: &Arrival<'_>) -> u16 {
        let path = self.net.path(from.peer.ip(), Some(from.local.ip()), 0);
        path.map_or(536, |path| Self::mss_of(&path, from.peer.ip()))
    }

    /// Makes the connection that answers a SYN, and enters it in the table.
    fn child(self: &Arc<Self>, from: &Arrival<'_>, syn: &Segment, iss: Seq) -> Option<Arc<Self>> {
        let path = self.net.path(from.peer.ip(), Some(from.local.ip()), from.interface.index).ok()?;
        let (settings, options, half_open) = {
            let state = self.state.lock();
            let Role::Listening(listener) = &state.role else { return None };
            let mut settings = state.settings;
            settings.mss = settings.mss.min(Self::mss_of(&path, from.peer.ip()));
            (settings, state.options.clone(), Arc::clone(&listener.half_open))
        };
        let child = Self::new(&self.net, self.common.domain, settings);
        self.common.pass_on(&child.common);
        let offset = Self::stamp_offset(&self.net, &from.key);
        let connection = Connection::answer(self.net.now(), iss, offset, syn, settings);
        let reuse = self.common.reuse_address.load(Ordering::Relaxed);
        {
            let mut state = child.state.lock();
            (state.local, state.peer) = (Some(from.local), Some(from.peer));
            state.options = options;
            state.role = Role::Wire(Box::new(Wire {
                connection,
                path,
                key: from.key,
                reuse,
                timer: None,
                listener: Some(Arc::downgrade(self)),
            }));
        }
        self.net.tcp.insert(from.key, &child, reuse).ok()?;
        half_open.fetch_add(1, Ordering::Relaxed);
        Some(child)
    }

    /// A handshake is done: the connection can be accepted.
    pub(crate) fn made(self: &Arc<Self>, child: &Arc<Self>) {
        let silent = match &child.state.lock().role {
            Role::Wire(wire) => wire.connection.readable() == 0 && !wire.connection.at_end(),
            _ => false,
        };
        let mut state = self.state.lock();
        let defers = state.options.defer_accept > 0;
        let Role::Listening(listener) = &mut state.role else {
            drop(state);
            // Nobody will accept it.
            child.common.linger.store(0, Ordering::Relaxed);
            child.close();
            return;
        };
        listener.half_open.fetch_sub(1, Ordering::Relaxed);
        if defers && silent {
            // DEVIATION: a client that never says anything is never accepted; Linux accepts it after the time given.
            listener.deferred.push(Arc::clone(child));
            return;
        }
        listener.ready.push_back(Arc::clone(child));
        drop(state);
        if let Role::Wire(wire) = &mut child.state.lock().role {
            wire.listener = None;
        }
        self.queue.wake(Readiness::READ);
    }

    /// A handshake came to nothing, or a connection that waited for its first bytes is over.
    pub(crate) fn forget(&self, child: &Arc<Self>) {
        let mut state = self.state.lock();
        let Role::Listening(listener) = &mut state.role else { return };
        let gone: Vec<Arc<Self>> = listener.deferred.extract_if(.., |c| Arc::ptr_eq(c, child)).collect();
        if gone.is_empty() {
            listener.half_open.fetch_sub(1, Ordering::Relaxed);
        }
        drop(state);
        drop(gone);
    }

    /// The first bytes are there.
    pub(crate) fn promote(&self, child: &Arc<Self>) {
        let mut state = self.state.lock();
        let Role::Listening(listener) = &mut state.role else { return };
        let Some(at) = listener.deferred.iter().position(|c| Arc::ptr_eq(c, child)) else { return };
        let child = listener.deferred.remove(at);
        listener.ready.push_back(Arc::clone(&child));
        drop(state);
        if let Role::Wire(wire) = &mut child.state.lock().role {
            wire.listener = None;
        }
        self.queue.wake(Readiness::READ);
    }

    /// Takes a connection from a socket of this machine; says whether there was room.
    ///
    /// # Errors
    /// `ECONNREFUSED` if nobody listens.
    pub(crate) fn offer(&self, child: &Arc<Self>, from: &Arc<Self>) -> Result<bool> {
        let mut state = self.state.lock();
        let Role::Listening(listener) = &mut state.role else { return Err(Errno::ECONNREFUSED) };
        if listener.is_full() {
            listener.waiting.push_back(Arc::downgrade(from));
            return Ok(false);
        }
        listener.ready.push_back(Arc::clone(child));
        drop(state);
        self.queue.wake(Readiness::READ);
        Ok(true)
    }

    /// Takes the oldest connection; another socket of this machine may take its place.
    ///
    /// # Errors
    /// `EAGAIN`, `EINVAL` if the socket does not listen.
    pub(crate) fn pop(&self) -> Result<Arc<Self>> {
        let mut state = self.state.lock();
        let Inner { role: Role::Listening(listener), .. } = &mut *state else { return Err(Errno::EINVAL) };
        let taken = listener.ready.pop_front().ok_or(Errno::EAGAIN)?;
        let next = listener.waiting.pop_front();
        drop(state);
        if let Some(socket) = next.and_then(|weak| weak.upgrade()) {
            socket.try_again();
        }
        Ok(taken)
    }
}
