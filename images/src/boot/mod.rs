//! Starting an image on a hypervisor, and the conversation with it until it ends.
//!
//! [`machine::Machine`] describes a machine and turns it into QEMU's arguments; [`session::run`] starts it
//! and carries standard input, output, signals and the terminal's size; [`net`] connects its interfaces; [`symbols`] names the addresses of a
//! kernel backtrace; [`accel`] chooses between KVM and TCG; [`guard`] makes QEMU end with the tool.

pub mod accel;
pub mod control;
pub mod guard;
pub mod machine;
pub mod net;
pub mod outcome;
mod output;
pub mod session;
mod signals;
pub mod symbols;
pub mod terminal;
#[cfg(test)]
mod tests;
