//! The handlers, by family. `sys_` marks what the table names.

pub(crate) mod at;
pub(crate) mod attr;
pub(crate) mod dir;
pub(crate) mod event;
pub(crate) mod fasync;
pub(crate) mod fcntl;
pub(crate) mod file;
pub(crate) mod futex;
pub(crate) mod identity;
pub(crate) mod inotify;
pub(crate) mod io;
pub(crate) mod ioctl;
pub(crate) mod membarrier;
pub(crate) mod memfd;
pub(crate) mod mm;
pub(crate) mod mount;
pub(crate) mod mqueue;
pub(crate) mod msg;
pub(crate) mod numa;
pub(crate) mod poll;
pub(crate) mod prctl;
pub(crate) mod ptrace;
pub(crate) mod remote;
pub(crate) mod rseq;
pub(crate) mod sched;
pub(crate) mod seccomp;
pub(crate) mod sem;
pub(crate) mod shm;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod splice;
pub(crate) mod stat;
pub(crate) mod system;
pub(crate) mod task;
pub(crate) mod time;
pub(crate) mod timer;
pub(crate) mod timerfd;
pub(crate) mod wait;
pub(crate) mod xattr;

use crate::Context;
use crate::decode::Fd;

/// Returns where a path that came with a descriptor starts.
///
/// # Errors
/// `EBADF`, `ENOTDIR`.
pub(crate) fn start_of(cx: &Context<'_>, at: Fd, path: &[u8]) -> abi::Result<vfs::Place> {
    Ok(at::Origin::at(cx, at, path)?.start().clone())
}
