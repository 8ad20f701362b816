//! The network at the start: cards, addresses, name servers, as the boot configuration wants them.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi::Result;
use abi::boot::{Config, NetConfig};
use abi::fs::{O_CREAT, O_TRUNC, O_WRONLY};
use hal::{NetDevice, Source};
use net::{Interface, InterfaceAddress, Route};
use vfs::{Place, Vfs, Walk};

use crate::system::System;

/// Who made a route: `RTPROT_BOOT`.
const RTPROT_BOOT: u8 = 3;

/// Takes the cards into use, in their order, and gives each what its configuration says.
pub(crate) fn set_up(system: &System, cards: Vec<Arc<dyn NetDevice>>, config: &Config) {
    for (index, card) in cards.into_iter().enumerate() {
        let interface = system.net.add_card(card);
        if let Some(wanted) = config.nets.get(index) {
            apply(system, &interface, wanted);
        }
    }
}

fn apply(system: &System, interface: &Interface, wanted: &NetConfig) {
    let interface = interface.index;
    for &(address, prefix) in &wanted.addresses {
        // What the tool let through and the stack does not take is an address that is there twice.
        let _ = system.net.add_address(InterfaceAddress { interface, address, prefix });
    }
    for (rank, &gateway) in (0..).zip(&wanted.gateways) {
        let (any, usual) = match gateway {
            IpAddr::V4(_) => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            IpAddr::V6(_) => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 1024),
        };
        let metric = usual + rank;
        let route = Route {
            destination: (any, 0),
            gateway: Some(gateway),
            interface,
            source: None,
            metric,
            protocol: RTPROT_BOOT,
        };
        let _ = system.net.add_route(route);
    }
}

/// Writes `/etc/resolv.conf` where the boot configuration names name servers.
///
/// # Errors
/// Those of making a file; a root without `/etc` is left as it is.
pub(crate) fn write_resolver(vfs: &Vfs, root: &Place, config: &Config) -> Result<()> {
    if config.dns.is_empty() {
        return Ok(());
    }
    let text: String = config.dns.iter().map(|server| format!("nameserver {server}\n")).collect();
    let who = vfs::Credentials::root();
    let walk = Walk { vfs, caller: vfs::Caller::kernel(&who), root, start: root, resolve: 0 };
    if walk.lookup_directory(b"/etc").is_err() {
        return Ok(());
    }
    let file = walk.open(b"/etc/resolv.conf", O_WRONLY | O_CREAT | O_TRUNC, 0o644)?;
    file.write(&mut Source::kernel(text.as_bytes()), &walk.caller)?;
    Ok(())
}
