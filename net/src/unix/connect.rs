//! Connections: listening, connecting, accepting.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::socket::AF_UNIX;
use abi::{Errno, Result};
use hal::Readiness;

use super::UnixSocket;
use super::side::{Phase, Side, wake_waiting};
use crate::{Common, Identity, Ucred, UnixName};

impl UnixSocket {
    /// Begins to take connections.
    pub(super) fn start_listening(&self, limit: u32, who: &Identity) -> Result<()> {
        let side = self.side();
        if self.is_datagram() {
            return Err(Errno::EOPNOTSUPP);
        }
        if *side.name.lock() == UnixName::Unnamed {
            return Err(Errno::EINVAL);
        }
        let begins = side.change_phase(Phase::Closed, Phase::Listening);
        if !begins && side.phase() != Phase::Listening {
            return Err(Errno::EINVAL);
        }
        let waiting = {
            let mut backlog = side.backlog.lock();
            backlog.limit = limit as usize;
            backlog.owner = Some(Ucred { pid: who.pid, uid: who.uid, gid: who.gid });
            backlog.take_waiting()
        };
        side.common.listens.store(true, Ordering::SeqCst);
        wake_waiting(&waiting);
        if begins {
            side.queue.wake(Readiness::all());
        }
        Ok(())
    }

    /// Says whether a connection waits to be taken.
    pub(super) fn has_connection(&self) -> bool {
        !self.side().backlog.lock().waiting_connections.is_empty()
    }

    /// Takes the oldest connection.
    pub(super) fn take_connection(&self) -> Result<Arc<Self>> {
        let side = self.side();
        if self.is_datagram() {
            return Err(Errno::EOPNOTSUPP);
        }
        if side.phase() != Phase::Listening {
            return Err(Errno::EINVAL);
        }
        let ended = side.common.read_ended();
        let (new, waiting) = {
            let mut backlog = side.backlog.lock();
            let new = backlog.waiting_connections.pop_front();
            (new, backlog.take_waiting())
        };
        wake_waiting(&waiting);
        let Some(new) = new else {
            return Err(if ended { Errno::EINVAL } else { Errno::EAGAIN });
        };
        new.side().listener.store(0, Ordering::SeqCst);
        Ok(new)
    }

    /// Connects with a socket that listens.
    pub(super) fn connect_stream(&self, name: &UnixName, who: &Identity) -> Result<()> {
        let side = self.side();
        self.name_for_credentials()?;
        let listener = self.domain.find(name, side.common.kind)?;
        let new = Self::new(&self.domain, Common::new(AF_UNIX, side.common.kind, 0));
        self.meet(&listener, &new, who)?;
        listener.queue.wake(Readiness::READ);
        side.queue.wake(Readiness::WRITE);
        Ok(())
    }

    /// Puts the other end of a new connection into a listening socket's backlog.
    fn meet(&self, listener: &Arc<Side>, new: &Arc<Self>, who: &Identity) -> Result<()> {
        let side = self.side();
        let mut backlog = listener.backlog.lock();
        let listens = listener.phase() == Phase::Listening && !listener.is_closed();
        if !listens || listener.common.read_ended() {
            return Err(Errno::ECONNREFUSED);
        }
        if backlog.waiting_connections.len() > backlog.limit {
            backlog.wait(side);
            return Err(Errno::EAGAIN);
        }
        if !side.change_phase(Phase::Closed, Phase::Connecting) {
            return Err(if side.phase() == Phase::Connected { Errno::EISCONN } else { Errno::EINVAL });
        }
        let (theirs, common) = (new.side(), &new.side().common);
        // LINUX: the new socket is called as the listening one, and passes credentials if that one does.
        let name = listener.name.lock().clone();
        *theirs.name.lock() = name;
        let passes = listener.common.is(&listener.common.pass_credentials);
        common.pass_credentials.store(passes, Ordering::Relaxed);
        *common.peer_credentials.lock() = Some(Ucred { pid: who.pid, uid: who.uid, gid: who.gid });
        common.set_peer_groups(side.common.groups());
        *side.common.peer_credentials.lock() = backlog.owner;
        side.common.set_peer_groups(listener.common.groups());
        theirs.listener.store(listener.id(), Ordering::SeqCst);
        new.join(side);
        self.join(theirs);
        backlog.waiting_connections.push_back(Arc::clone(new));
        Ok(())
    }
}
