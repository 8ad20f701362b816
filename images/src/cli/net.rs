//! Options that say which network interfaces a machine has.

use crate::boot::machine::MachineType;
use crate::boot::net::{
    Backend, Forward, Interface, MICROVM_MAX, Mac, SYS_CLASS_NET, UserNetwork, check_tap, network,
};
use crate::problem::Problem;
use abi::boot::{NetConfig, parse_prefix};
use anyhow::Result;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// The network of a machine.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Network {
    /// Lead a port of this host (all addresses, or ADDR) to a port of the machine; HOST 0 takes a free one,
    /// and ranges such as 8000-8003:80-83 work too (repeatable)
    #[arg(short = 'p', long = "publish", value_name = "[ADDR:]HOST:GUEST[/udp]")]
    publish: Vec<String>,
    /// Connect an interface: user (the default: through this host, no privilege needed), none, tap:NAME, or
    /// socket:OPTIONS as for QEMU; each may have ,ip=ADDR/PREFIX ,gw=ADDR ,mac=MAC behind it (repeatable)
    #[arg(long, value_name = "KIND", alias = "network")]
    net: Vec<String>,
    /// Give the first interface this address instead of an automatic one (repeatable)
    #[arg(long, value_name = "ADDR/PREFIX")]
    ip: Vec<String>,
    /// Send what leaves the first interface's networks through this gateway (repeatable)
    #[arg(long, value_name = "ADDR")]
    gateway: Vec<String>,
    /// Ask this name server (repeatable)
    #[arg(long, value_name = "ADDR")]
    dns: Vec<String>,
    /// Give the first interface this hardware address
    #[arg(long, value_name = "MAC")]
    mac: Option<String>,
}

/// What the options come to.
#[derive(Debug, Default)]
pub(super) struct Setup {
    pub(super) interfaces: Vec<Interface>,
    pub(super) dns: Vec<IpAddr>,
}

impl Setup {
    /// All ports that lead to the machine.
    pub(super) fn forwards(&self) -> impl Iterator<Item = &Forward> {
        self.interfaces.iter().flat_map(Interface::forwards)
    }
}

/// One `--net`, before its values are looked at.
#[derive(Default)]
struct Wish {
    kind: String,
    ip: Vec<String>,
    gateway: Vec<String>,
    mac: Option<String>,
    /// Options of QEMU's own.
    rest: Vec<String>,
}

impl Network {
    /// Reads the options, and checks what can be known before a machine starts; `ports` are published where no
    /// `-p` says otherwise.
    ///
    /// # Errors
    /// If a value is malformed, or names what this host does not have.
    pub(super) fn setup(&self, machine: MachineType, ports: &[Forward]) -> Result<Setup> {
        let wishes = self.wishes()?;
        let mut setup = Setup::default();
        if machine == MachineType::Microvm && wishes.len() > MICROVM_MAX {
            let message = format!("{} network interfaces are too many for this machine type", wishes.len());
            let hint = format!("microvm has room for {MICROVM_MAX}; --machine q35 has more");
            return Err(Problem::new(message).hint(hint).into());
        }
        for (index, wish) in wishes.iter().enumerate() {
            setup.interfaces.push(wish.interface(u8::try_from(index).unwrap_or(u8::MAX))?);
        }
        let mut forwards = if self.publish.is_empty() { ports.to_vec() } else { Vec::new() };
        for text in &self.publish {
            forwards.extend(Forward::parse(text).map_err(|why| {
                let problem = Problem::new(format!("-p {text}: {why}"));
                problem.hint("write [ADDR:]HOST:GUEST[/udp], such as -p 8080:80 or -p 127.0.0.1:5353:53/udp")
            })?);
        }
        if !forwards.is_empty() {
            let user = setup.interfaces.iter_mut().find_map(|interface| match &mut interface.backend {
                Backend::User(user) => Some(user),
                Backend::Tap(..) | Backend::Socket(_) => None,
            });
            match user {
                Some(user) => {
                    forwards.iter_mut().try_for_each(Forward::reserve)?;
                    user.forwards = forwards;
                }
                // A recipe's ports mean nothing where the machine has an address of its own.
                None if self.publish.is_empty() => {}
                None => {
                    let message = "-p publishes ports of a user-mode network, and this machine has none";
                    let hint = "add --net user; behind a tap the machine is reached by its own address";
                    return Err(Problem::new(message).hint(hint).into());
                }
            }
        }
        for text in &self.dns {
            setup.dns.push(address("--dns", text)?);
        }
        if setup.dns.is_empty() {
            setup.dns = setup
                .interfaces
                .iter()
                .filter_map(|i| match &i.backend {
                    Backend::User(user) => Some(user.dns.into()),
                    Backend::Tap(..) | Backend::Socket(_) => None,
                })
                .take(1)
                .collect();
        }
        Ok(setup)
    }

    fn wishes(&self) -> Result<Vec<Wish>> {
        let mut wishes = Vec::new();
        for text in &self.net {
            wishes.push(Wish::read(text)?);
        }
        if self.net.is_empty() {
            wishes.push(Wish { kind: "user".into(), ..Wish::default() });
        }
        if wishes.iter().any(|wish| wish.kind == "none") {
            if wishes.len() > 1 {
                let problem = Problem::new("--net none leaves no room for another --net");
                return Err(problem.hint("leave one of them out").into());
            }
            wishes.clear();
        }
        let first = [("--ip", !self.ip.is_empty()), ("--gateway", !self.gateway.is_empty())];
        let given = first.into_iter().chain([("--mac", self.mac.is_some())]).find(|(_, given)| *given);
        match (wishes.first_mut(), given) {
            (Some(wish), _) => {
                wish.ip.extend(self.ip.iter().cloned());
                wish.gateway.extend(self.gateway.iter().cloned());
                wish.mac = self.mac.clone().or(wish.mac.take());
            }
            (None, Some((option, _))) => {
                let message = format!("{option} is for a network interface, and --net none leaves none");
                return Err(Problem::new(message).hint("leave one of the two out").into());
            }
            (None, None) => {}
        }
        Ok(wishes)
    }
}

impl Wish {
    fn read(text: &str) -> Result<Self> {
        let mut parts = text.split(',');
        let mut wish = Self { kind: parts.next().unwrap_or_default().to_owned(), ..Self::default() };
        for part in parts {
            match part.split_once('=') {
                Some(("ip", value)) => wish.ip.push(value.to_owned()),
                Some(("gw", value)) => wish.gateway.push(value.to_owned()),
                Some(("mac", value)) => wish.mac = Some(value.to_owned()),
                _ if wish.kind.starts_with("socket:") => wish.rest.push(part.to_owned()),
                _ => {
                    let problem = Problem::new(format!("--net {text}: {part:?} is not understood"));
                    return Err(problem
                        .hint("behind the kind may stand ip=ADDR/PREFIX, gw=ADDR, mac=MAC")
                        .into());
                }
            }
        }
        Ok(wish)
    }

    fn interface(&self, index: u8) -> Result<Interface> {
        let mut config = NetConfig::default();
        for text in &self.ip {
            config.addresses.push(prefixed(text)?);
        }
        for text in &self.gateway {
            config.gateways.push(address("--gateway", text)?);
        }
        let has = |config: &NetConfig, v4: bool| config.addresses.iter().any(|(a, _)| a.is_ipv4() == v4);
        config.slaac = !has(&config, false);
        let (kind, argument) = self.kind.split_once(':').map_or((&*self.kind, None), |(k, a)| (k, Some(a)));
        let backend = match (kind, argument) {
            ("user", None) => Backend::User(user_network(index, &mut config)?),
            ("tap", Some(name)) => {
                config.dhcp = !has(&config, true);
                Backend::Tap(name.to_owned(), check_tap(name, Path::new(SYS_CLASS_NET))?)
            }
            ("socket", Some(first)) => {
                config.dhcp = !has(&config, true);
                let first_key = first.split('=').next().unwrap_or_default();
                if !["listen", "connect", "mcast", "udp"].contains(&first_key) || !first.contains('=') {
                    let problem =
                        Problem::new(format!("--net {}: QEMU's socket network needs an end", self.kind));
                    let hint = "write socket:listen=:PORT, socket:connect=HOST:PORT, socket:mcast=ADDR:PORT or socket:udp=...";
                    return Err(problem.hint(hint).into());
                }
                Backend::Socket([&[first.to_owned()], &self.rest[..]].concat().join(","))
            }
            _ => {
                let problem = Problem::new(format!("--net {}: no such kind of network", self.kind));
                return Err(problem.hint("use user, none, tap:NAME or socket:OPTIONS").into());
            }
        };
        for gateway in &config.gateways {
            let local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
            let near = |&(a, p): &(IpAddr, u8)| {
                a.is_ipv4() == gateway.is_ipv4() && network(a, p) == network(*gateway, p)
            };
            if !local && !config.addresses.iter().any(near) {
                let problem =
                    Problem::new(format!("gateway {gateway} is in none of the interface's networks"));
                return Err(problem
                    .hint("--ip ADDR/PREFIX puts the interface into the gateway's network")
                    .into());
            }
        }
        let mac = match &self.mac {
            Some(text) => mac(text)?,
            None => own_mac(&backend, index),
        };
        Ok(Interface { backend, mac, config })
    }
}

/// Completes the configuration of an interface to QEMU's user-mode network: all is known beforehand, so that no
/// machine waits for an answer.
fn user_network(index: u8, config: &mut NetConfig) -> Result<UserNetwork> {
    let mut user = UserNetwork::new(index);
    let v4 = config.addresses.iter().find_map(|&(a, p)| match a {
        IpAddr::V4(v4) => Some((v4, p)),
        IpAddr::V6(_) => None,
    });
    let gateway = config.gateways.iter().find_map(|gateway| match gateway {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    });
    match v4 {
        Some((address, prefix)) => {
            if !(1..=29).contains(&prefix) {
                let problem = Problem::new(format!(
                    "--ip {address}/{prefix}: the network is too small for QEMU's own addresses"
                ));
                return Err(problem
                    .hint("a user-mode network needs a prefix of 29 or less, such as /24")
                    .into());
            }
            // QEMU's own rule for its addresses in a network.
            let place = |low: u32| {
                let IpAddr::V4(base) = network(address.into(), prefix) else { return address };
                Ipv4Addr::from_bits(base.to_bits() | low & (u32::MAX >> prefix))
            };
            user.address = (address, prefix);
            user.gateway = gateway.unwrap_or_else(|| place(0x0202));
            user.dns = place(0x0203);
            if user.dns == user.gateway {
                user.dns = place(0x0204);
            }
            if [user.gateway, user.dns].contains(&address) {
                let problem =
                    Problem::new(format!("--ip {address}: QEMU's user-mode network has this address itself"));
                return Err(problem
                    .hint(format!("use another than {} and {}", user.gateway, user.dns))
                    .into());
            }
        }
        None => {
            config.addresses.insert(0, (user.address.0.into(), user.address.1));
            user.gateway = gateway.unwrap_or(user.gateway);
            if [user.address.0, user.dns].contains(&user.gateway) {
                let problem =
                    Problem::new(format!("--gateway {}: the address is taken in this network", user.gateway));
                return Err(problem
                    .hint(format!("it is {} unless you say otherwise", UserNetwork::new(index).gateway))
                    .into());
            }
        }
    }
    if gateway.is_none() {
        config.gateways.insert(0, user.gateway.into());
    }
    let v6 = config.addresses.iter().find_map(|&(a, p)| match a {
        IpAddr::V6(v6) => Some((v6, p)),
        IpAddr::V4(_) => None,
    });
    if let Some((address, prefix)) = v6
        && let IpAddr::V6(base) = network(address.into(), prefix)
    {
        user.ipv6 = (base, prefix);
        if !config.gateways.iter().any(IpAddr::is_ipv6) {
            config.gateways.push(std::net::Ipv6Addr::from_bits(base.to_bits() | 2).into());
        }
    }
    Ok(user)
}

fn address(option: &str, text: &str) -> Result<IpAddr> {
    match text.parse::<IpAddr>() {
        Ok(address) if is_usable(address) => Ok(address),
        Ok(_) => {
            let problem = Problem::new(format!("{option} {text}: no machine can have this address"));
            Err(problem.hint("use an ordinary address, such as 192.168.1.1 or fd00::1").into())
        }
        Err(_) => {
            let problem = Problem::new(format!("{option} {text}: not an IP address"));
            Err(problem.hint("write it with numbers, such as 192.168.1.1 or fd00::1").into())
        }
    }
}

fn prefixed(text: &str) -> Result<(IpAddr, u8)> {
    let hint = "write ADDR/PREFIX, such as 192.168.1.5/24 or fd00::5/64";
    let Some((address, prefix)) = parse_prefix(text) else {
        let why = if text.contains('/') {
            "not an address with its prefix length"
        } else {
            "its prefix length is missing"
        };
        return Err(Problem::new(format!("--ip {text}: {why}")).hint(hint).into());
    };
    let v4_edge = prefix < 31 && address.is_ipv4() && {
        let all = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        let IpAddr::V4(v4) = address else { return Ok((address, prefix)) };
        [0, all].contains(&(v4.to_bits() & all))
    };
    if !is_usable(address) || prefix == 0 || v4_edge {
        let problem = Problem::new(format!("--ip {text}: no interface can have this address"));
        return Err(problem.hint(hint).into());
    }
    Ok((address, prefix))
}

/// Whether one host's interface can have an address.
fn is_usable(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast)
}

fn mac(text: &str) -> Result<Mac> {
    let parts: Vec<Option<u8>> =
        text.split([':', '-']).map(|p| u8::from_str_radix(p, 16).ok().filter(|_| p.len() == 2)).collect();
    let bytes: Option<Vec<u8>> = parts.into_iter().collect();
    let hint = "write six bytes, such as 52:54:00:12:34:56";
    match bytes.as_deref().and_then(|b| <[u8; 6]>::try_from(b).ok()) {
        None => Err(Problem::new(format!("--mac {text}: not a hardware address")).hint(hint).into()),
        Some(bytes) if bytes[0] & 1 == 1 || bytes == [0; 6] => {
            let problem = Problem::new(format!("--mac {text}: a group's address, or none at all"));
            Err(problem.hint("the first byte of one interface's address is even").into())
        }
        Some(bytes) => Ok(Mac(bytes)),
    }
}

/// An address in QEMU's range: always the same in a network of its own, a random one beside other machines.
fn own_mac(backend: &Backend, index: u8) -> Mac {
    let [a, b, c, ..] = match backend {
        Backend::User(_) => [0x12, 0x34, 0x56_u8.saturating_add(index), 0, 0, 0, 0, 0],
        Backend::Tap(..) | Backend::Socket(_) => RandomState::new().hash_one(index).to_le_bytes(),
    };
    Mac([0x52, 0x54, 0, a, b, c])
}

#[cfg(test)]
mod tests;
