//! One network interface's configuration, as a value of the boot option `hull.net`.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::IpAddr;

/// How an interface gets its addresses; the default is an interface without any.
///
/// As text, items with commas between them: `dhcp`, `slaac`, `ADDR/PREFIX`, `gw=ADDR`; `none` stands for no item.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NetConfig {
    /// `dhcp`: ask a server for an IPv4 address, gateway and name servers (RFC 2131).
    pub dhcp: bool,
    /// `slaac`: take IPv6 addresses and gateways from router advertisements (RFC 4862).
    pub slaac: bool,
    /// `ADDR/PREFIX`, repeated: fixed addresses with their networks' prefix lengths in bits.
    pub addresses: Vec<(IpAddr, u8)>,
    /// `gw=ADDR`, repeated: default gateways, the preferred one of each family first.
    pub gateways: Vec<IpAddr>,
}

impl NetConfig {
    /// Reads a value of `hull.net`; `None` if an item is not understood.
    pub fn parse(value: &str) -> Option<Self> {
        let mut config = Self::default();
        if value == "none" {
            return Some(config);
        }
        for item in value.split(',') {
            match item {
                "dhcp" => config.dhcp = true,
                "slaac" => config.slaac = true,
                _ => match item.strip_prefix("gw=") {
                    Some(gateway) => config.gateways.push(gateway.parse().ok()?),
                    None => config.addresses.push(parse_prefix(item)?),
                },
            }
        }
        Some(config)
    }

    /// Writes the value that [`NetConfig::parse`] reads.
    pub fn to_text(&self) -> String {
        let mut items = Vec::new();
        for (on, name) in [(self.dhcp, "dhcp"), (self.slaac, "slaac")] {
            if on {
                items.push(name.to_string());
            }
        }
        items.extend(self.addresses.iter().map(|(address, prefix)| alloc::format!("{address}/{prefix}")));
        items.extend(self.gateways.iter().map(|gateway| alloc::format!("gw={gateway}")));
        if items.is_empty() { "none".to_string() } else { items.join(",") }
    }
}

/// Reads an address with its network's prefix length, `ADDR/PREFIX`; `None` if it is malformed.
pub fn parse_prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    // `u8::from_str` takes a sign, which has no meaning here.
    let prefix = prefix.parse().ok().filter(|&p| p <= most && prefix.bytes().all(|b| b.is_ascii_digit()))?;
    Some((address, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn text_round_trips() {
        let full = NetConfig {
            dhcp: true,
            slaac: true,
            addresses: vec![("10.0.2.15".parse().unwrap(), 24), ("fec0::15".parse().unwrap(), 64)],
            gateways: vec!["10.0.2.2".parse().unwrap(), "fe80::2".parse().unwrap()],
        };
        assert_eq!(full.to_text(), "dhcp,slaac,10.0.2.15/24,fec0::15/64,gw=10.0.2.2,gw=fe80::2");
        for config in [full, NetConfig { dhcp: true, ..NetConfig::default() }, NetConfig::default()] {
            assert_eq!(NetConfig::parse(&config.to_text()), Some(config));
        }
    }

    #[test]
    fn malformed_items_are_refused() {
        for bad in [
            "",
            ",",
            "dhcp,",
            "dhcp6",
            "10.0.2.15",
            "10.0.2.15/",
            "10.0.2.15/33",
            "::1/129",
            "10.0.2/24",
            "10.0.2.15/+4",
            "10.0.2.15/-1",
            "gw=",
            "gw=10.0.2.2/24",
            "none,dhcp",
            "fe80::1%eth0/64",
            "1.2.3.4/024x",
        ] {
            assert_eq!(NetConfig::parse(bad), None, "{bad:?}");
        }
    }
}
