//! `/proc/PID/net` (`proc_pid_net(5)`): the files of a system that has no network yet, which are their headings.

use alloc::string::String;
use alloc::sync::Arc;

use vfs::fs::synthetic::{Entry, Folder};

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

/// Makes the directory.
pub(super) fn folder(_: &Arc<System>) -> Folder {
    Folder::new()
        .with("arp", Entry::text(ARP))
        .with("dev", Entry::text(DEV))
        .with("if_inet6", Entry::text(""))
        .with("netlink", Entry::text(NETLINK))
        .with("packet", Entry::text(PACKET))
        .with("raw", Entry::text(RAW))
        .with("route", Entry::text(padded(ROUTE, 127)))
        .with("tcp", Entry::text(padded(TCP, 149)))
        .with("tcp6", Entry::text(TCP6))
        .with("udp", Entry::text(padded(UDP, 127)))
        .with("udp6", Entry::text(UDP6))
        .with("unix", Entry::text(UNIX))
}
