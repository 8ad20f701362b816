//! `/proc/PID/net`: sockets of the Internet, interfaces, routes, neighbours (`proc_pid_net(5)`).

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use abi::Result;
use net::{Net, SocketRow, flag};
use vfs::Caller;
use vfs::fs::synthetic::File;

use super::Text;
use crate::system::System;

const TCP: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue \
    rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const UDP: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode \
    ref pointer drops";
const UDP6: &str = "  sl  local_address                         remote_address                        st tx_queue \
    rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
const DEV: &str = "Inter-|   Receive                                                |  Transmit\n face \
    |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";
const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
const ARP: &str = "IP address       HW type     Flags       HW address            Mask     Device\n";

/// Adds a line as long as the others of its file: they all have the same length on Linux.
fn padded(text: &mut Text, line: &str, width: usize) {
    put!(text, "{line:<width$}\n");
}

/// Which file of sockets.
#[derive(Clone, Copy)]
pub(super) enum Family {
    Tcp,
    Tcp6,
    Udp,
    Udp6,
}

/// `tcp`, `tcp6`, `udp` and `udp6`.
pub(super) struct Sockets(pub(super) Arc<System>, pub(super) Family);

/// An address as Linux prints it: 32-bit words in the machine's order.
fn words(address: IpAddr) -> String {
    let octets: Vec<u8> = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    octets.chunks(4).map(|w| format!("{:08X}", u32::from_ne_bytes([w[0], w[1], w[2], w[3]]))).collect()
}

fn end(address: SocketAddr, v6: bool) -> String {
    let ip = if v6 { IpAddr::V6(net::mapped(address.ip())) } else { address.ip() };
    format!("{}:{:04X}", words(ip), address.port())
}

impl File for Sockets {
    fn read(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        let (v6, tcp) = match self.1 {
            Family::Tcp => (false, true),
            Family::Tcp6 => (true, true),
            Family::Udp => (false, false),
            Family::Udp6 => (true, false),
        };
        let mut text = Text::default();
        match self.1 {
            Family::Tcp => padded(&mut text, TCP, 149),
            Family::Tcp6 => put!(text, "{TCP6}"),
            Family::Udp => padded(&mut text, UDP, 127),
            Family::Udp6 => put!(text, "{UDP6}"),
        }
        let rows = if tcp { self.0.net.tcp_rows() } else { self.0.net.udp_rows() };
        for (index, row) in rows.iter().filter(|row| row.v6 == v6).enumerate() {
            let line = line(index, row, tcp);
            match (tcp, v6) {
                (true, false) => padded(&mut text, &line, 149),
                (false, false) => padded(&mut text, &line, 127),
                _ => put!(text, "{line}\n"),
            }
        }
        Ok(text.0)
    }
}

fn line(index: usize, row: &SocketRow, tcp: bool) -> String {
    let (local, peer) = (end(row.local, row.v6), end(row.peer, row.v6));
    let head = format!(
        "{local} {peer} {:02X} {:08X}:{:08X} 00:00000000 00000000 {:5} {:8} {}",
        row.state, row.send_queue, row.receive_queue, 0, 0, row.id
    );
    if tcp {
        format!("{index:4}: {head} 1 {:016} 100 0 0 10 0", 0)
    } else {
        format!("{index:5}: {head} 2 {:016} {}", 0, row.drops)
    }
}

/// `dev`: what went through the interfaces.
pub(super) struct Devices(pub(super) Arc<System>);

impl File for Devices {
    fn read(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        let mut text = Text::default();
        put!(text, "{DEV}");
        for interface in self.0.net.interfaces() {
            let c = interface.counters();
            put!(
                text,
                "{:>6}: {:7} {:7} {:4} {:4} {:4} {:5} {:10} {:9} ",
                interface.name,
                c.rx_bytes,
                c.rx_packets,
                c.rx_errors,
                c.rx_dropped,
                0,
                0,
                0,
                0
            );
            put!(
                text,
                "{:8} {:7} {:4} {:4} {:4} {:5} {:7} {:10}\n",
                c.tx_bytes,
                c.tx_packets,
                0,
                c.tx_dropped,
                0,
                0,
                0,
                0
            );
        }
        Ok(text.0)
    }
}

/// `route`: routes of IPv4.
pub(super) struct Routes(pub(super) Arc<System>);

fn name(net: &Net, index: u32) -> String {
    net.interface(index).map(|i| i.name.clone()).unwrap_or_default()
}

impl File for Routes {
    fn read(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        const RTF_UP: u16 = 1;
        const RTF_GATEWAY: u16 = 2;
        let mut text = Text::default();
        padded(&mut text, ROUTE, 127);
        for route in self.0.net.routes() {
            let (IpAddr::V4(network), prefix) = route.destination else { continue };
            let gateway = match route.gateway {
                Some(IpAddr::V4(v4)) => Some(v4),
                _ => None,
            };
            let flags = RTF_UP | if gateway.is_some() { RTF_GATEWAY } else { 0 };
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let order = |v: u32| u32::from_ne_bytes(v.to_be_bytes());
            let line = format!(
                "{}\t{:08X}\t{:08X}\t{flags:04X}\t0\t0\t{}\t{:08X}\t0\t0\t0",
                name(&self.0.net, route.interface),
                order(u32::from(network)),
                order(gateway.map_or(0, u32::from)),
                route.metric,
                order(mask),
            );
            padded(&mut text, &line, 127);
        }
        Ok(text.0)
    }
}

/// `if_inet6`: addresses of IPv6.
pub(super) struct Addresses6(pub(super) Arc<System>);

impl File for Addresses6 {
    fn read(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        let mut text = Text::default();
        for address in self.0.net.addresses() {
            let IpAddr::V6(v6) = address.address else { continue };
            let scope = if v6.is_loopback() {
                0x10
            } else if v6.is_unicast_link_local() {
                0x20
            } else {
                0
            };
            put!(
                text,
                "{:032x} {:02x} {:02x} {scope:02x} 80 ",
                v6.to_bits(),
                address.interface,
                address.prefix
            );
            put!(text, "{:>8}\n", name(&self.0.net, address.interface));
        }
        Ok(text.0)
    }
}

/// `arp`: neighbours in IPv4.
pub(super) struct Neighbors(pub(super) Arc<System>);

impl File for Neighbors {
    fn read(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        let mut text = Text::default();
        put!(text, "{ARP}");
        for interface in self.0.net.interfaces().iter().filter(|i| i.flags() & flag::LOOPBACK == 0) {
            for row in self.0.net.neighbors(interface).iter().filter(|row| row.address.is_ipv4()) {
                let mac = row.mac.unwrap_or_default();
                let mac = mac.map(|b| format!("{b:02x}")).join(":");
                let flags = if row.mac.is_some() { 2 } else { 0 };
                put!(
                    text,
                    "{:<16} 0x{:<10x}0x{flags:<10x}{mac:<17}     *        {}\n",
                    row.address,
                    1,
                    interface.name
                );
            }
        }
        Ok(text.0)
    }
}
