//! UNIX sockets (`unix(7)`).
//!
//! A [`UnixSocket`] is what descriptors refer to; its [`side::Side`] is what its peers know of it. Streams go through a
//! ring of pages (`ring`), messages through a list (`inbox`); open files on their way are accounted for in `flight`.

mod connect;
mod datagram;
mod flight;
mod inbox;
mod names;
mod ring;
mod side;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use abi::socket::{AF_UNIX, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};

use self::flight::Flight;
use self::names::Names;
use self::side::{Phase, Side};
pub use self::socket::UnixSocket;
use crate::{Common, Environment, Identity, Net, Passed, Socket, Ucred, UnixName};

/// What the UNIX sockets of one machine share.
pub struct Domain {
    environment: Environment,
    behind: spin::Once<Behind>,
    names: Lock<Names, { rank::OBJECT }>,
    flight: Flight,
    sockets: Lock<BTreeMap<u64, Weak<Side>>, { rank::OBJECT }>,
}

/// Says which socket is behind something that is passed, if it is one.
pub type Behind = fn(&Passed) -> Option<Arc<dyn Socket>>;

/// What `/proc/net/unix` tells of a socket.
#[derive(Clone, Debug)]
pub struct Listed {
    /// `SOCK_*`
    pub kind: u32,
    /// It takes connections.
    pub listens: bool,
    /// It has a connection.
    pub connected: bool,
    /// Inode number.
    pub inode: u64,
    /// What it is called.
    pub name: UnixName,
}

impl Domain {
    /// Makes a domain without sockets.
    pub(crate) fn new(environment: Environment) -> Arc<Self> {
        Arc::new(Self {
            environment,
            behind: spin::Once::new(),
            names: Lock::default(),
            flight: Flight::default(),
            sockets: Lock::default(),
        })
    }

    /// Tells how to find the socket behind something that is passed. The first call wins.
    pub fn set_behind(&self, behind: Behind) {
        self.behind.call_once(|| behind);
    }

    fn behind(&self, passed: &Passed) -> Option<Arc<dyn Socket>> {
        self.behind.get().and_then(|behind| behind(passed))
    }

    /// Returns how many descriptors of a user are under way.
    pub fn in_flight(&self, uid: u32) -> u64 {
        self.flight.of_user(uid)
    }

    /// Lists the sockets, for `/proc/net/unix`.
    pub fn list(&self) -> Vec<Listed> {
        let sides: Vec<Arc<Side>> = self.sockets.lock().values().filter_map(Weak::upgrade).collect();
        sides
            .iter()
            .filter(|side| !side.is_closed())
            .map(|side| Listed {
                kind: side.common.kind,
                listens: side.phase() == Phase::Listening,
                connected: side.phase() == Phase::Connected,
                inode: side.id(),
                name: side.name.lock().clone(),
            })
            .collect()
    }

    fn enter(&self, side: &Arc<Side>) {
        self.sockets.lock().insert(side.id(), Arc::downgrade(side));
    }

    fn leave(&self, side: &Arc<Side>) {
        let gone = self.sockets.lock().remove(&side.id());
        drop(gone);
    }
}

/// Checks type and protocol (`unix(7)`).
fn check(kind: u32, protocol: i32) -> Result<u32> {
    if protocol != 0 && protocol != i32::from(AF_UNIX) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match kind {
        SOCK_STREAM | SOCK_DGRAM | SOCK_SEQPACKET => Ok(kind),
        // LINUX: as BSD has it, where nothing uses it.
        SOCK_RAW => Ok(SOCK_DGRAM),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

fn new(net: &Net, kind: u32) -> Arc<UnixSocket> {
    UnixSocket::new(net.unix(), Common::new(AF_UNIX, kind, 0))
}

/// Makes a socket.
///
/// # Errors
/// `EPROTONOSUPPORT`, `ESOCKTNOSUPPORT`
pub(crate) fn socket(net: &Net, kind: u32, protocol: i32) -> Result<Arc<dyn Socket>> {
    Ok(new(net, check(kind, protocol)?))
}

/// Makes two sockets that are connected to each other.
///
/// # Errors
/// As for [`socket`].
pub(crate) fn pair(
    net: &Net,
    kind: u32,
    protocol: i32,
    who: &Identity,
) -> Result<(Arc<dyn Socket>, Arc<dyn Socket>)> {
    let kind = check(kind, protocol)?;
    let (a, b) = (new(net, kind), new(net, kind));
    let who = Ucred { pid: who.pid, uid: who.uid, gid: who.gid };
    for (socket, other) in [(&a, &b), (&b, &a)] {
        *socket.side().common.peer_credentials.lock() = Some(who);
        socket.join(other.side());
    }
    Ok((a, b))
}
