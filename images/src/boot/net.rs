//! Network interfaces of a machine: their hosts' ends, and QEMU's arguments for them.

use super::machine::MachineType;
use crate::problem::Problem;
use abi::boot::NetConfig;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::path::Path;

/// Where Linux lists its network interfaces.
pub const SYS_CLASS_NET: &str = "/sys/class/net";
/// Interfaces that fit beside the console and a disk into microvm's eight places for virtio devices.
pub const MICROVM_MAX: usize = 6;
/// Flags in `tun_flags` of a tap interface (`linux/if_tun.h`).
const IFF_TAP: u32 = 2;
const IFF_MULTI_QUEUE: u32 = 0x100;

/// A transport protocol whose ports can be forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port of this host that leads to a port of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Forward {
    /// The protocol.
    pub protocol: Protocol,
    /// The address of this host; `0.0.0.0` for all.
    pub address: Ipv4Addr,
    /// The port of this host; 0 until [`Forward::reserve`] has chosen one.
    pub host: u16,
    /// The port of the machine.
    pub guest: u16,
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}->{}/{}", self.address, self.host, self.guest, self.protocol)
    }
}

impl Forward {
    /// Reads `[ADDR:]HOST:GUEST[/PROTOCOL]`; ranges of ports become one entry for each.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let (ports, protocol) = match text.rsplit_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some((_, other)) => return Err(format!("{other:?} is neither tcp nor udp")),
        };
        let (rest, guest) = ports.rsplit_once(':').ok_or("one of the two ports is missing")?;
        let (address, host) = rest.rsplit_once(':').unwrap_or(("0.0.0.0", rest));
        if address.starts_with('[') || address.contains(':') {
            return Err("QEMU's user-mode network forwards IPv4 only".into());
        }
        let address = address.parse().map_err(|_| format!("{address:?} is no IPv4 address"))?;
        let (Some(host), Some(guest)) = (range(host), range(guest)) else {
            return Err("ports are numbers from 1 to 65535, or ranges of them".into());
        };
        if guest.0 == 0 || host.0 == 0 && host.1 > 0 {
            return Err("port 0 stands for a free port of this host only".into());
        }
        if guest.1 - guest.0 != host.1 - host.0 {
            return Err("the two ranges differ in length".into());
        }
        let pair = |i| Self { protocol, address, host: host.0 + i, guest: guest.0 + i };
        Ok((0..=guest.1 - guest.0).map(pair).collect())
    }

    /// Finds out whether the host's port is free, and chooses one for port 0. Somebody else may still take it
    /// before QEMU does; QEMU then says so itself.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub fn reserve(&mut self) -> Result<()> {
        let at = (self.address, self.host);
        let bound = match self.protocol {
            Protocol::Tcp => TcpListener::bind(at).and_then(|socket| socket.local_addr()),
            Protocol::Udp => UdpSocket::bind(at).and_then(|socket| socket.local_addr()),
        };
        match bound {
            Ok(address) => {
                self.host = address.port();
                Ok(())
            }
            Err(error) => {
                let Self { protocol, address, host, guest } = self;
                let message = format!("port {host}/{protocol} of {address} cannot be published: {error}");
                let hint = match error.kind() {
                    ErrorKind::AddrInUse => format!(
                        "another program has it (`ss -lnp` names it): stop that, or publish another: -p 0:{guest} takes a free one"
                    ),
                    ErrorKind::PermissionDenied => {
                        format!(
                            "ports below 1024 are for root: publish another, such as -p 8{host:03}:{guest}"
                        )
                    }
                    ErrorKind::AddrNotAvailable => {
                        "it is no address of this host (`ip address` lists them)".into()
                    }
                    _ => "publish another port".into(),
                };
                Err(Problem::new(message).hint(hint).into())
            }
        }
    }
}

/// Reads `N` or `N-M`.
fn range(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first, last))
}

/// QEMU's user-mode network: a network of its own behind this host's addresses, which needs no privilege.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserNetwork {
    /// The machine's address and the network's prefix length.
    pub address: (Ipv4Addr, u8),
    /// Where QEMU answers for this host.
    pub gateway: Ipv4Addr,
    /// Where QEMU answers name queries.
    pub dns: Ipv4Addr,
    /// The network's IPv6 prefix and its length.
    pub ipv6: (Ipv6Addr, u8),
    /// Ports that lead to the machine.
    pub forwards: Vec<Forward>,
}

impl UserNetwork {
    /// The network of the interface with this index: QEMU's usual one for the first, its neighbours for others.
    pub fn new(index: u8) -> Self {
        let host = |last| Ipv4Addr::new(10, 0, 2_u8.saturating_add(index), last);
        Self {
            address: (host(15), 24),
            gateway: host(2),
            dns: host(3),
            ipv6: (Ipv6Addr::new(0xfec0, 0, 0, index.into(), 0, 0, 0, 0), 64),
            forwards: Vec::new(),
        }
    }

    fn option(&self, id: &str, index: u8) -> String {
        let mut text = format!("user,id={id}");
        let usual = Self::new(index);
        if index > 0 || (self.address, self.gateway) != (usual.address, usual.gateway) {
            let (address, prefix) = self.address;
            let network = network(address.into(), prefix);
            text += &format!(",net={network}/{prefix},host={},dns={}", self.gateway, self.dns);
            text += &format!(",dhcpstart={address}");
        }
        if index > 0 || self.ipv6 != usual.ipv6 {
            text += &format!(",ipv6-net={}/{}", self.ipv6.0, self.ipv6.1);
        }
        for Forward { protocol, address, host, guest } in &self.forwards {
            text += &format!(",hostfwd={protocol}:{address}:{host}-{}:{guest}", self.address.0);
        }
        text
    }
}

/// What an interface is connected to on the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Backend {
    /// QEMU's user-mode network.
    User(UserNetwork),
    /// A tap interface of this host, by name, and whether it has several queues.
    Tap(String, bool),
    /// QEMU's `socket` network with these options: frames over a socket, to other machines.
    Socket(String),
}

/// A network interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// The host's end.
    pub backend: Backend,
    /// The hardware address.
    pub mac: Mac,
    /// What the kernel is told about it.
    pub config: NetConfig,
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Interface {
    /// Ports of this host that lead to it.
    pub fn forwards(&self) -> &[Forward] {
        match &self.backend {
            Backend::User(user) => &user.forwards,
            Backend::Tap(..) | Backend::Socket(_) => &[],
        }
    }

    /// QEMU's arguments for the interface with this index on a machine of this type with so many processors.
    pub fn args(&self, index: u8, kind: MachineType, cpus: u32) -> [String; 4] {
        let id = format!("net{index}");
        // Linux opens a tap interface with several queues only for a program that asks for more than one.
        let queues = cpus.clamp(2, 8);
        let several = cpus > 1 && matches!(self.backend, Backend::Tap(_, true));
        let netdev = match &self.backend {
            Backend::User(user) => user.option(&id, index),
            Backend::Tap(name, multi_queue) => {
                let more = if *multi_queue { format!(",queues={queues}") } else { String::new() };
                format!("tap,id={id},ifname={name},script=no,downscript=no{more}")
            }
            Backend::Socket(options) => format!("socket,id={id},{options}"),
        };
        // The boot ROM of a PCI card is for booting from the network, and costs the firmware time.
        let pci = kind != MachineType::Microvm;
        let name = if pci { "virtio-net-pci,disable-legacy=on,romfile=" } else { "virtio-net-device" };
        let mut device = format!("{name},netdev={id},mac={}", self.mac);
        if several {
            device += ",mq=on";
            if pci {
                // One for each direction of each queue pair, one for the control queue, one for changes.
                device += &format!(",vectors={}", 2 * queues + 2);
            }
        }
        ["-netdev".into(), netdev, "-device".into(), device]
    }
}

/// Looks at a tap interface of this host; `sys` is [`SYS_CLASS_NET`]. Returns whether it has several queues.
///
/// # Errors
/// If it does not exist, or is no tap interface.
pub fn check_tap(name: &str, sys: &Path) -> Result<bool> {
    let ours = name.len() <= 15 && !name.is_empty() && name != "." && name != "..";
    if !ours || name.contains(|c: char| c == '/' || c.is_whitespace()) {
        let message = format!("--net tap:{name}: no interface can have this name");
        return Err(Problem::new(message)
            .hint("write --net tap:NAME; `ip link` lists the interfaces")
            .into());
    }
    if !sys.is_dir() {
        return Ok(false); // nothing can be known before QEMU tries
    }
    let dir = sys.join(name);
    if !dir.exists() {
        let hint = format!("ip tuntap add dev {name} mode tap user $USER && ip link set {name} up (as root)");
        return Err(Problem::new(format!("network interface {name} does not exist")).hint(hint).into());
    }
    let text = std::fs::read_to_string(dir.join("tun_flags")).unwrap_or_default();
    let flags = u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap_or(0);
    if flags & IFF_TAP == 0 {
        let hint = "a bridge or a card is reached through a tap interface that is its member";
        return Err(Problem::new(format!("network interface {name} is no tap interface")).hint(hint).into());
    }
    Ok(flags & IFF_MULTI_QUEUE != 0)
}

/// The first address of the network that an address lies in.
pub fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}
