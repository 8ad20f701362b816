//! `/proc/PID/net` (`proc_pid_net(5)`): the files of a system that has no network yet, which are their headings.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Result;
use net::UnixName;
use vfs::Caller;
use vfs::fs::synthetic::{Entry, File, Folder};

use super::Text;
use crate::system::System;

const DEV: &str = "Inter-|   Receive                                                |  Transmit\n face \
    |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";
const TCP: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue \
    rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const UDP: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode \
    ref pointer drops";
const UDP6: &str = "  sl  local_address                         remote_address                        st tx_queue \
    rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
const RAW: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode \
    ref pointer drops\n";
const UNIX: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";
const ARP: &str = "IP address       HW type     Flags       HW address            Mask     Device\n";
const NETLINK: &str =
    "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n";
const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
const PACKET: &str = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";

/// Returns a line as long as the others of its file: they all have the same length on Linux.
fn padded(text: &str, width: usize) -> String {
    alloc::format!("{text:<width$}\n")
}

/// `/proc/net/unix` (`proc_net(5)`).
struct Unix(Arc<System>);

impl File for Unix {
    fn read(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        /// Takes connections (`__SO_ACCEPTCON`).
        const ACCEPTS: u32 = 0x1_0000;
        /// `SS_UNCONNECTED` and `SS_CONNECTED`.
        const STATES: (u32, u32) = (1, 3);
        let mut text = Text::default();
        put!(text, "{UNIX}");
        for socket in self.0.net.unix().list() {
            let flags = if socket.listens { ACCEPTS } else { 0 };
            let state = if socket.connected { STATES.1 } else { STATES.0 };
            // LINUX: who may not see kernel addresses gets zeros.
            put!(text, "{:016}: {:08X} {:08X} {flags:08X} ", 0, 2, 0);
            put!(text, "{:04X} {state:02X} {:5}", socket.kind, socket.inode);
            match socket.name {
                UnixName::Unnamed => {}
                UnixName::Abstract(name) => {
                    text.0.extend_from_slice(b" @");
                    text.0.extend(name.iter().map(|&b| if b == 0 { b'@' } else { b }));
                }
                UnixName::Path { path, .. } => {
                    text.0.push(b' ');
                    text.0.extend_from_slice(&path);
                }
            }
            text.0.push(b'\n');
        }
        Ok(text.0)
    }
}

/// `/proc/net/sockstat`: how many sockets there are.
struct SocketCount(Arc<System>);

impl File for SocketCount {
    fn read(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        let mut text = Text::default();
        put!(text, "sockets: used {}\n", self.0.net.unix().list().len());
        put!(text, "TCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\nUDP: inuse 0 mem 0\n");
        put!(text, "UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n");
        Ok(text.0)
    }
}

/// Makes the directory.
pub(super) fn folder(system: &Arc<System>) -> Folder {
    Folder::new()
        .with("arp", Entry::text(ARP))
        .with("dev", Entry::text(DEV))
        .with("if_inet6", Entry::text(""))
        .with("netlink", Entry::text(NETLINK))
        .with("packet", Entry::text(PACKET))
        .with("raw", Entry::text(RAW))
        .with("route", Entry::text(padded(ROUTE, 127)))
        .with("sockstat", Entry::file(0o444, SocketCount(Arc::clone(system))))
        .with("tcp", Entry::text(padded(TCP, 149)))
        .with("tcp6", Entry::text(TCP6))
        .with("udp", Entry::text(padded(UDP, 127)))
        .with("udp6", Entry::text(UDP6))
        .with("unix", Entry::file(0o444, Unix(Arc::clone(system))))
}
