//! Another process's memory (`process_vm_readv(2)`, `process_vm_writev(2)`), and what two processes share (`kcmp(2)`).

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::fs::{IOV_MAX, Iovec};
use abi::{Errno, Result};
use hal::{UserAddr, UserRange};

use super::io::read_vector;
use super::ptrace::find;
use crate::decode::{Fd, In, UserPtr};
use crate::proc::{ExitState, Thread};
use crate::{Context, SysResult, ptrace};

/// `process_vm_readv(2)`.
pub(crate) fn sys_process_vm_readv(
    cx: &Context<'_>,
    pid: i32,
    local: UserPtr<Iovec, In>,
    locals: usize,
    remote: UserPtr<Iovec, In>,
    remotes: usize,
    flags: u64,
) -> SysResult<usize> {
    copy_between(cx, pid, (local, locals), (remote, remotes), flags, Direction::Read)
}

/// `process_vm_writev(2)`.
pub(crate) fn sys_process_vm_writev(
    cx: &Context<'_>,
    pid: i32,
    local: UserPtr<Iovec, In>,
    locals: usize,
    remote: UserPtr<Iovec, In>,
    remotes: usize,
    flags: u64,
) -> SysResult<usize> {
    copy_between(cx, pid, (local, locals), (remote, remotes), flags, Direction::Write)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

/// Copies the list of the other process's ranges in; whether they can be there shows when they are copied.
fn ranges(cx: &Context<'_>, (vector, count): (UserPtr<Iovec, In>, usize)) -> Result<Vec<UserRange>> {
    if count > IOV_MAX {
        return Err(Errno::EINVAL);
    }
    let list = vector.read_many(cx, count)?;
    list.iter()
        .map(|range| {
            let len = usize::try_from(range.iov_len).map_err(|_| Errno::EINVAL)?;
            if len > isize::MAX.cast_unsigned() {
                Err(Errno::EINVAL)
            } else {
                Ok(UserRange { start: UserAddr(range.iov_base), len })
            }
        })
        .collect()
}

fn copy_between(
    cx: &Context<'_>,
    pid: i32,
    local: (UserPtr<Iovec, In>, usize),
    remote: (UserPtr<Iovec, In>, usize),
    flags: u64,
    direction: Direction,
) -> SysResult<usize> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    // LINUX: the caller's own buffers are checked before anybody looks for the process.
    let local = read_vector(cx, local.0, local.1)?;
    let total: usize = local.iter().fold(0, |sum, range| sum.saturating_add(range.len));
    if total == 0 {
        return Ok(0);
    }
    let remote = ranges(cx, remote)?;
    if remote.iter().all(|range| range.len == 0) {
        return Ok(0);
    }
    let thread = find(cx, pid).ok_or(Errno::ESRCH)?;
    ptrace::may_access(cx.thread, &thread)?;
    let running = thread.process().state.lock().exit == ExitState::Running;
    let vm = thread.process().try_vm().filter(|_| running).ok_or(Errno::ESRCH)?;
    let mut done = 0;
    let mut own = Pieces::new(&local);
    for range in remote {
        let mut at = 0;
        while at < range.len {
            let Some(piece) = own.next(range.len - at) else { return Ok(done) };
            let there = range.start.offset(at as u64);
            let mut bytes = alloc::vec![0; piece.len];
            let copied = match direction {
                Direction::Read => {
                    let count = vm.read_permitted(there, &mut bytes);
                    copy_some(count, |len| cx.memory().copy_out(piece.start, &bytes[..len]))
                }
                Direction::Write => {
                    let fits =
                        copy_some(piece.len, |len| cx.memory().copy_in(piece.start, &mut bytes[..len]));
                    vm.write_permitted(there, &bytes[..fits])
                }
            };
            done += copied;
            if copied < piece.len {
                // LINUX: what was copied before the fault counts.
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT.into()) };
            }
            at += copied;
        }
    }
    Ok(done)
}

/// Copies bytes of the caller; returns how many came before a fault.
fn copy_some(len: usize, copy: impl FnOnce(usize) -> core::result::Result<(), hal::Fault>) -> usize {
    match copy(len) {
        Ok(()) => len,
        Err(fault) => fault.done.min(len),
    }
}

/// Goes through ranges in pieces of at most a few pages.
struct Pieces<'a> {
    ranges: &'a [UserRange],
    at: usize,
}

impl<'a> Pieces<'a> {
    const fn new(ranges: &'a [UserRange]) -> Self {
        Self { ranges, at: 0 }
    }

    fn next(&mut self, most: usize) -> Option<UserRange> {
        const PIECE: usize = 16 << 10;
        loop {
            let range = self.ranges.first()?;
            let len = (range.len - self.at).min(most).min(PIECE);
            if len > 0 {
                let start = range.start.offset(self.at as u64);
                self.at += len;
                return Some(UserRange { start, len });
            }
            (self.ranges, self.at) = (&self.ranges[1..], 0);
        }
    }
}

/// `kcmp(2)`.
pub(crate) fn sys_kcmp(
    cx: &Context<'_>,
    first: i32,
    second: i32,
    kind: i32,
    a: u64,
    b: u64,
) -> SysResult<u32> {
    const KCMP_FILE: i32 = 0;
    const KCMP_VM: i32 = 1;
    const KCMP_FILES: i32 = 2;
    const KCMP_FS: i32 = 3;
    const KCMP_SIGHAND: i32 = 4;
    let one = find(cx, first).ok_or(Errno::ESRCH)?;
    let two = find(cx, second).ok_or(Errno::ESRCH)?;
    for thread in [&one, &two] {
        ptrace::may_access(cx.thread, thread)?;
    }
    let ends = |thread: &Thread| thread.process().try_vm().ok_or(Errno::ESRCH);
    let order = match kind {
        KCMP_FILE => {
            let get = |thread: &Thread, fd: u64| thread.files().get(Fd(i32::try_from(fd).unwrap_or(-1)));
            compare(&get(&one, a)?, &get(&two, b)?)
        }
        KCMP_VM => compare(&ends(&one)?, &ends(&two)?),
        KCMP_FILES => compare(&one.files(), &two.files()),
        KCMP_FS => compare(&one.fs(), &two.fs()),
        KCMP_SIGHAND => {
            let handlers = |thread: &Thread| Arc::clone(&thread.process().handlers.lock());
            compare(&handlers(&one), &handlers(&two))
        }
        // No I/O contexts, no undo lists, no comparison with what epoll watches.
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(order)
}

/// Returns 0 for the same object, else 1 or 2: which of the two comes first in an order of the kernel's own.
fn compare<T>(one: &Arc<T>, two: &Arc<T>) -> u32 {
    match Arc::as_ptr(one).cmp(&Arc::as_ptr(two)) {
        core::cmp::Ordering::Equal => 0,
        core::cmp::Ordering::Less => 1,
        core::cmp::Ordering::Greater => 2,
    }
}
