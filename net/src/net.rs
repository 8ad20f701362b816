//! One machine's network.

use alloc::sync::Arc;

use abi::socket::{SOCK_DCCP, SOCK_DGRAM, SOCK_PACKET, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM};
use abi::{Errno, Result};
use hal::{Clock, Entropy};

use crate::{Identity, Socket};

/// What the network needs of the machine.
#[derive(Clone, Copy)]
pub struct Environment {
    /// Time, and timers.
    pub clock: &'static dyn Clock,
    /// Random numbers.
    pub entropy: &'static dyn Entropy,
}

/// One machine's network.
pub struct Net {
    environment: Environment,
}

impl Net {
    /// Makes a network without interfaces but the loopback.
    pub fn new(environment: Environment) -> Arc<Self> {
        Arc::new(Self { environment })
    }

    /// Returns the machine.
    pub const fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Makes a socket (`socket(2)`); `kind` comes without flags.
    ///
    /// # Errors
    /// `EINVAL` for a type that does not exist, `EAFNOSUPPORT`, `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`, `EPERM`
    pub fn socket(
        self: &Arc<Self>,
        _domain: i32,
        kind: u32,
        _protocol: i32,
        _who: &Identity,
    ) -> Result<Arc<dyn Socket>> {
        match kind {
            SOCK_STREAM | SOCK_DGRAM | SOCK_RAW..=SOCK_SEQPACKET | SOCK_DCCP | SOCK_PACKET => {
                Err(Errno::EAFNOSUPPORT)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Makes two sockets that are connected to each other (`socketpair(2)`).
    ///
    /// # Errors
    /// As for [`Net::socket`], and `EOPNOTSUPP`.
    pub fn pair(
        self: &Arc<Self>,
        domain: i32,
        kind: u32,
        protocol: i32,
        who: &Identity,
    ) -> Result<(Arc<dyn Socket>, Arc<dyn Socket>)> {
        self.socket(domain, kind, protocol, who)?;
        Err(Errno::EOPNOTSUPP)
    }
}
