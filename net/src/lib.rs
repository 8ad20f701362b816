//! Sockets: TCP/IP on smoltcp behind a demultiplexer of our own, UNIX sockets, netlink, packet sockets.
//!
//! [`Net`] is one machine's network; [`Socket`] is what every socket can do, whatever its family. The same rules hold as
//! in `vfs`: no system-call names, no addresses of the application, no waiting; time and packets come in as arguments.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
mod bytes;
mod checksum;
mod common;
mod config;
mod discovery;
mod egress;
mod fragments;
mod icmp;
mod inet;
mod ingress;
mod interface;
mod ip_options;
mod loopback;
mod neighbor;
mod net;
mod netlink;
mod rows;
mod socket;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
pub mod unix;
mod wire;

#[cfg(test)]
pub(crate) use tests::test_net;

pub use address::{Address, FileId, UnixName, any, mapped, unmapped};
pub use common::{BUFFER_RANGE, Common, ENDED_READ, ENDED_WRITE, MAX_BUFFER};
pub use config::{InterfaceAddress, Path, Route};
pub use interface::{Interface, Mac, flag};
pub use neighbor::{NeighborRow, Reach};
pub use net::{Environment, Net};
pub use rows::{SocketRow, TcpCount};
pub use socket::{Ancillary, ErrorReport, Identity, Incoming, Outgoing, Passed, Shutdown, Socket, Ucred};
