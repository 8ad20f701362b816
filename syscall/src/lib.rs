//! Linux's system calls: the one table, the handlers, and what they act on.
//!
//! An entry from the application arrives at [`dispatch`], which finds the row in [`table`], decodes the
//! arguments (which cannot fail) and calls the handler (which validates, in Linux's order). Handlers never
//! sleep but through [`block`]; files and sockets answer `EAGAIN` plus readiness instead.
//!
//! Lock order: the ranks of [`hal::sync::rank`], lowest first. No copy from or to the application happens
//! under a spin lock or under an address space's lock ([`vm::Vm`]), because the copy may fault and take it.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod block;
pub mod boot;
pub mod console;
pub mod context;
pub mod coverage;
pub mod decode;
pub mod dispatch;
mod entry;
pub mod epoll;
mod error;
pub mod eventfd;
pub mod files;
pub mod futex;
mod handlers;
pub mod inotify;
pub mod ipc;
mod network;
pub mod proc;
pub mod procfs;
pub mod ptrace;
pub mod seccomp;
pub mod signal;
pub mod signalfd;
pub mod socket;
pub mod system;
pub mod table;
pub mod timerfd;
mod trace;
pub mod tty;
pub mod vm;

pub use context::Context;
pub use error::{Outcome, Restart, SysError, SysResult, WideRestart};
