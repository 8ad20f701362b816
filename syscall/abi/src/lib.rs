//! Linux's numbers and structures, and the two small formats that the tool and the kernel share.
//!
//! Data only: constants with exactly Linux's names, structures with exactly Linux's layout (tests compare
//! each of them with the kernel headers), the boot configuration ([`boot`]) and the console channel
//! ([`channel`]) through which a running machine talks to the tool that started it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[macro_use]
mod macros;

pub mod auxv;
pub mod boot;
pub mod channel;
mod errno;
pub mod fs;
pub mod futex;
pub mod inotify;
pub mod io;
pub mod ioctl;
pub mod ipc;
pub mod mm;
pub mod mount;
pub mod netlink;
pub mod nr;
pub mod poll;
pub mod process;
pub mod ptrace;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod time;
pub mod tty;
pub mod uring;
pub mod vdso;

pub use errno::{Errno, Result};

#[cfg(test)]
mod layout;
