//! UNIX sockets (`unix(7)`).

use alloc::sync::Arc;

use abi::{Errno, Result};

use crate::{Identity, Net, Passed, Socket};

/// What the UNIX sockets of one machine share.
#[derive(Default)]
pub struct Domain {
    behind: spin::Once<Behind>,
}

/// Says which socket is behind something that is passed, if it is one.
pub type Behind = fn(&Passed) -> Option<Arc<dyn Socket>>;

impl Domain {
    /// Tells how to find the socket behind something that is passed. The first call wins.
    pub fn set_behind(&self, behind: Behind) {
        self.behind.call_once(|| behind);
    }

    /// Returns how many descriptors of a user are under way.
    pub fn in_flight(&self, _uid: u32) -> u64 {
        0
    }
}

pub(crate) fn socket(_: &Arc<Net>, _kind: u32, _protocol: i32) -> Result<Arc<dyn Socket>> {
    Err(Errno::EAFNOSUPPORT)
}

pub(crate) fn pair(
    _: &Arc<Net>,
    _kind: u32,
    _protocol: i32,
    _who: &Identity,
) -> Result<(Arc<dyn Socket>, Arc<dyn Socket>)> {
    Err(Errno::EAFNOSUPPORT)
}
