//! One machine's network.

use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::Waker;

use abi::socket::{AF_INET, AF_INET6, AF_MAX, AF_NETLINK, AF_UNIX, SOCK_PACKET};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Clock, Entropy, NetDevice, NetEvents};

use crate::config::{Config, InterfaceAddress};
use crate::fragments::Fragments;
use crate::ingress::Batch;
use crate::interface::{Interface, LOOPBACK};
use crate::{Identity, Socket, inet, loopback, netlink, tcp, udp, unix};

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
    pub(crate) config: Lock<Config, { rank::NET_CONFIG }>,
    pub(crate) generation: AtomicU32,
    pub(crate) tcp: tcp::Table,
    pub(crate) udp: udp::Table,
    pub(crate) netlink: netlink::Table,
    pub(crate) fragments: Lock<Fragments, { rank::NET_TABLE }>,
    pub(crate) loopback: loopback::Queue,
    /// Identification of the next packet that may be cut.
    pub(crate) ident: AtomicU32,
    /// A timer looks after neighbours that have not answered yet.
    pub(crate) neighbor_timer: AtomicBool,
    /// Chosen at the start; nobody outside can guess what is derived from it.
    pub(crate) secret: [u64; 4],
    unix: Arc<unix::Domain>,
}

impl Net {
    /// Makes a network without interfaces but the loopback.
    pub fn new(environment: Environment) -> Arc<Self> {
        let mut bytes = [0; 32];
        environment.entropy.fill(&mut bytes);
        let word = |i: usize| u64::from_le_bytes(core::array::from_fn(|j| bytes[8 * i + j]));
        let secret = core::array::from_fn(word);
        let mut config = Config::default();
        config.interfaces.push(Arc::new(Interface::loopback()));
        let own = |address, prefix| InterfaceAddress { interface: LOOPBACK, address, prefix };
        config.addresses.push(own(IpAddr::V4(Ipv4Addr::LOCALHOST), 8));
        config.addresses.push(own(IpAddr::V6(Ipv6Addr::LOCALHOST), 128));
        Arc::new(Self {
            environment,
            config: Lock::new(config),
            generation: AtomicU32::new(0),
            tcp: tcp::Table::new(secret[0]),
            udp: udp::Table::default(),
            netlink: netlink::Table::default(),
            fragments: Lock::default(),
            loopback: loopback::Queue::default(),
            ident: AtomicU32::new(u32::from(bytes[31]) << 8),
            neighbor_timer: AtomicBool::new(false),
            secret,
            unix: unix::Domain::new(environment),
        })
    }

    /// Returns the machine.
    pub const fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Returns the monotonic clock.
    pub(crate) fn now(&self) -> u64 {
        self.environment.clock.monotonic_ns()
    }

    /// Returns a random number that nobody can guess.
    pub(crate) fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        self.environment.entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Takes a card into use, as the next `eth`; it has no address yet.
    pub fn add_card(self: &Arc<Self>, device: Arc<dyn NetDevice>) -> Arc<Interface> {
        let mut config = self.config.lock();
        let index = config.interfaces.last().map_or(LOOPBACK, |i| i.index) + 1;
        let number = config.interfaces.len() - 1;
        let name: String = format!("eth{number}");
        let interface = Arc::new(Interface::of_card(index, name, Arc::clone(&device)));
        config.interfaces.push(Arc::clone(&interface));
        drop(config);
        self.generation.fetch_add(1, Ordering::AcqRel);
        let receiver = Arc::new(Receiver { net: Arc::downgrade(self), interface: Arc::clone(&interface) });
        interface.refilter();
        device.start(receiver.clone());
        for queue in 0..device.info().queues {
            if device.listen(queue) {
                receiver.received(queue);
            }
        }
        interface
    }

    /// Returns the UNIX sockets.
    pub const fn unix(&self) -> &Arc<unix::Domain> {
        &self.unix
    }

    /// Makes a socket (`socket(2)`); `kind` comes without flags.
    ///
    /// # Errors
    /// `EINVAL` for a type that does not exist, `EAFNOSUPPORT`, `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`, `EPERM`
    pub fn socket(
        self: &Arc<Self>,
        domain: i32,
        kind: u32,
        protocol: i32,
        who: &Identity,
    ) -> Result<Arc<dyn Socket>> {
        if !(0..i32::from(AF_MAX)).contains(&domain) {
            return Err(Errno::EAFNOSUPPORT);
        }
        if kind > SOCK_PACKET {
            return Err(Errno::EINVAL);
        }
        match u16::try_from(domain) {
            Ok(AF_UNIX) => unix::socket(self, kind, protocol),
            Ok(family @ (AF_INET | AF_INET6)) => inet::socket(self, family, kind, protocol, who),
            Ok(AF_NETLINK) => netlink::create(self, kind, protocol),
            _ => Err(Errno::EAFNOSUPPORT),
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
        if domain == i32::from(AF_UNIX) {
            return unix::pair(self, kind, protocol, who);
        }
        self.socket(domain, kind, protocol, who)?;
        Err(Errno::EOPNOTSUPP)
    }
}

/// Frames that are taken from a card in one go, and how often before others have a turn.
const BUDGET: usize = 64;
const ROUNDS: usize = 8;

/// Hears of a card's events.
struct Receiver {
    net: Weak<Net>,
    interface: Arc<Interface>,
}

impl NetEvents for Receiver {
    fn received(&self, queue: usize) {
        let (Some(net), Some(device)) = (self.net.upgrade(), &self.interface.device) else { return };
        for _ in 0..ROUNDS {
            let mut batch = Batch::default();
            let count = device.receive(queue, BUDGET, &mut |frame, info| {
                net.frame(&self.interface, frame, info, &mut batch);
            });
            net.finish(batch);
            self.interface.flush();
            if count < BUDGET && !device.listen(queue) {
                return;
            }
        }
        // There is more; but threads want to run too. A timer that is due fires as soon as interrupts are taken again.
        let again = Again { net: self.net.clone(), interface: Arc::clone(&self.interface), queue };
        net.environment.clock.arm(net.now(), Waker::from(Arc::new(again)));
    }

    fn room(&self, _queue: usize) {
        let waiting: Vec<_> = core::mem::take(&mut *self.interface.blocked.lock());
        for who in waiting {
            who.room();
        }
        self.interface.flush();
    }

    fn link_changed(&self) {
        if let Some(net) = self.net.upgrade() {
            net.generation.fetch_add(1, Ordering::AcqRel);
            net.announce(netlink::News::Link(&self.interface));
        }
    }
}

/// Goes on receiving.
struct Again {
    net: Weak<Net>,
    interface: Arc<Interface>,
    queue: usize,
}

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        let receiver = Receiver { net: self.net.clone(), interface: Arc::clone(&self.interface) };
        receiver.received(self.queue);
    }
}
