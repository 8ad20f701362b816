//! `/proc/PID/net` (`proc_pid_net(5)`): what is not in [`super::inet`].

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Result;
use net::UnixName;
use vfs::Caller;
use vfs::fs::synthetic::{Entry, File, Folder};

use super::Text;
use super::inet::{self, Family, Sockets};
use crate::system::System;

const RAW: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode \
    ref pointer drops\n";
const UNIX: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";
const NETLINK: &str =
    "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n";
const PACKET: &str = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";

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
        let (tcp, udp) = (self.0.net.tcp_count(), self.0.net.udp_rows().len());
        put!(text, "sockets: used {}\n", self.0.net.unix().list().len() + tcp.in_use + udp);
        put!(text, "TCP: inuse {} orphan 0 tw {} alloc {} mem 0\n", tcp.in_use, tcp.waiting, tcp.in_use);
        put!(text, "UDP: inuse {udp} mem 0\n");
        put!(text, "UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n");
        Ok(text.0)
    }
}

/// Makes the directory.
pub(super) fn folder(system: &Arc<System>) -> Folder {
    let sockets = |family| Entry::file(0o444, Sockets(Arc::clone(system), family));
    Folder::new()
        .with("arp", Entry::file(0o444, inet::Neighbors(Arc::clone(system))))
        .with("dev", Entry::file(0o444, inet::Devices(Arc::clone(system))))
        .with("if_inet6", Entry::file(0o444, inet::Addresses6(Arc::clone(system))))
        .with("netlink", Entry::text(NETLINK))
        .with("packet", Entry::text(PACKET))
        .with("raw", Entry::text(RAW))
        .with("route", Entry::file(0o444, inet::Routes(Arc::clone(system))))
        .with("sockstat", Entry::file(0o444, SocketCount(Arc::clone(system))))
        .with("tcp", sockets(Family::Tcp))
        .with("tcp6", sockets(Family::Tcp6))
        .with("udp", sockets(Family::Udp))
        .with("udp6", sockets(Family::Udp6))
        .with("unix", Entry::file(0o444, Unix(Arc::clone(system))))
}
