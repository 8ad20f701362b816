//! `fcntl(2)` and `flock(2)`.

use alloc::sync::Arc;

use abi::fs::{
    F_ADD_SEALS, F_CANCELLK, F_DUPFD, F_DUPFD_CLOEXEC, F_GET_FILE_RW_HINT, F_GET_RW_HINT, F_GET_SEALS,
    F_GETFD, F_GETFL, F_GETLEASE, F_GETLK, F_GETOWN, F_GETOWN_EX, F_GETOWNER_UIDS, F_GETPIPE_SZ, F_GETSIG,
    F_NOTIFY, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_OWNER_PGRP, F_OWNER_PID, F_OWNER_TID, F_RDLCK,
    F_SET_FILE_RW_HINT, F_SET_RW_HINT, F_SETFD, F_SETFL, F_SETLEASE, F_SETLK, F_SETLKW, F_SETOWN,
    F_SETOWN_EX, F_SETPIPE_SZ, F_SETSIG, F_UNLCK, F_WRLCK, FASYNC, FD_CLOEXEC, FOwnerEx, Flock, LOCK_EX,
    LOCK_NB, LOCK_SH, LOCK_UN, O_CREAT, O_DIRECT, O_EXCL, O_NOCTTY, O_TRUNC, SEEK_CUR, SEEK_END, SEEK_SET,
};
use abi::{Errno, Result};
use hal::{Prot, Readiness, UserAddr};
use vfs::OpenFile;
use vfs::lock::{LockMode, Owner, RecordLock, TO_END};

use super::at;
use crate::block;
use crate::decode::{Fd, InOut, Out, UserPtr};
use crate::proc::{Capability, CloseOnExec, Description, Object, Resource};
use crate::vm::AreaFlags;
use crate::{Context, SysResult};

/// Commands that work on an `O_PATH` descriptor, too.
const fn works_on_path(command: u32) -> bool {
    matches!(command, F_DUPFD | F_DUPFD_CLOEXEC | F_GETFD | F_SETFD | F_GETFL)
}

/// `fcntl(2)`.
pub(crate) fn sys_fcntl(cx: &Context<'_>, fd: Fd, command: u32, argument: u64) -> SysResult<i64> {
    let description = cx.files().get(fd)?;
    if description.is_path_only() && !works_on_path(command) {
        return Err(Errno::EBADF.into());
    }
    let at = UserAddr(argument);
    // An `int` argument is the register's low half.
    #[expect(clippy::cast_possible_truncation, reason = "narrowing as Linux does")]
    let word = argument as u32;
    match command {
        F_DUPFD => duplicate(cx, description, argument, CloseOnExec::No),
        F_DUPFD_CLOEXEC => duplicate(cx, description, argument, CloseOnExec::Yes),
        F_GETFD => Ok(i64::from(cx.files().close_on_exec(fd)? == CloseOnExec::Yes)),
        F_SETFD => {
            cx.files().set_close_on_exec(fd, CloseOnExec::from_bit(word & FD_CLOEXEC != 0))?;
            Ok(0)
        }
        F_GETFL => Ok(i64::from(description.flags() & !(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC))),
        F_SETFL => set_flags(cx, fd, &description, word),
        F_GETLK | F_OFD_GETLK => get_lock(cx, &description, command, UserPtr::new(at)),
        F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW => {
            set_lock(cx, &description, command, UserPtr::new(at))
        }
        F_CANCELLK => Err(Errno::EINVAL.into()),
        F_SETOWN | F_GETOWN | F_SETOWN_EX | F_GETOWN_EX | F_GETOWNER_UIDS | F_SETSIG | F_GETSIG => {
            super::fasync::owner(cx, &description, command, argument)
        }
        F_GETPIPE_SZ | F_SETPIPE_SZ => pipe_size(cx, &description, command, word),
        F_GET_SEALS | F_ADD_SEALS => seals(cx, &description, command, word),
        F_GETLEASE => match description.object() {
            Object::Node(file) if file.kind() == vfs::Kind::File => Ok(i64::from(F_UNLCK)),
            _ => Err(Errno::EINVAL.into()),
        },
        // File systems here hand out no leases, as many of Linux's do not.
        F_SETLEASE => match word.cast_signed() {
            lease if lease == i32::from(F_UNLCK) => Err(Errno::EAGAIN.into()),
            _ => Err(Errno::EINVAL.into()),
        },
        // As a kernel that was built without dnotify.
        F_NOTIFY => Err(Errno::EINVAL.into()),
        F_GET_RW_HINT | F_SET_RW_HINT | F_GET_FILE_RW_HINT | F_SET_FILE_RW_HINT => {
            write_hint(cx, &description, command, at)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

fn duplicate(
    cx: &Context<'_>,
    description: Arc<Description>,
    from: u64,
    close: CloseOnExec,
) -> SysResult<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the argument is an int")]
    let from = u64::from(from as u32);
    let limit = cx.process().limit(Resource::Nofile);
    if from >= limit {
        return Err(Errno::EINVAL.into());
    }
    let from = usize::try_from(from).map_err(|_| Errno::EINVAL)?;
    Ok(i64::from(cx.files().add(description, close, from, limit)?.0))
}

fn set_flags(cx: &Context<'_>, fd: Fd, description: &Arc<Description>, flags: u32) -> SysResult<i64> {
    // LINUX: append-only and direct I/O are up to the file; pipes take O_DIRECT as packet mode.
    let old = description.flags();
    if flags & O_DIRECT != 0
        && matches!(description.object(), Object::Node(file) if file.kind() == vfs::Kind::File)
        && description.file().is_some_and(|f| f.place().mount.tree.file_system.name() == "proc")
    {
        return Err(Errno::EINVAL.into());
    }
    at::as_caller(cx, |caller| description.set_flags(flags, caller))?;
    if (old ^ flags) & FASYNC != 0 {
        super::fasync::switch(cx, fd, description, flags & FASYNC != 0);
    }
    Ok(0)
}

fn pipe_size(cx: &Context<'_>, description: &Description, command: u32, size: u32) -> SysResult<i64> {
    let Object::Pipe(pipe) = description.object() else { return Err(Errno::EBADF.into()) };
    let pipe = pipe.end.pipe();
    if command == F_GETPIPE_SZ {
        return Ok(i64::try_from(pipe.capacity()).unwrap_or(i64::MAX));
    }
    let size = size as usize;
    let rounded = size.max(1).checked_next_power_of_two().unwrap_or(usize::MAX);
    let grows = rounded > pipe.capacity();
    if grows && rounded > vfs::pipe::CAPACITY_MAX && !cx.credentials().can(Capability::SysResource) {
        return Err(Errno::EPERM.into());
    }
    // LINUX: zero means the smallest pipe.
    Ok(i64::try_from(pipe.set_capacity(size.max(1))?).unwrap_or(i64::MAX))
}

fn seals(cx: &Context<'_>, description: &Description, command: u32, seals: u32) -> SysResult<i64> {
    let Object::Node(file) = description.object() else { return Err(Errno::EINVAL.into()) };
    if command == F_GET_SEALS {
        return Ok(i64::from(file.node().seals()?));
    }
    // The order is Linux's: access mode, known bits, and the file's own checks.
    file.node().seals()?;
    if !description.writable() {
        return Err(Errno::EPERM.into());
    }
    if abi::fs::Seals::from_bits(seals).is_none() {
        return Err(Errno::EINVAL.into());
    }
    let mapped = has_writable_mapping(cx, file);
    file.node().add_seals(seals, mapped)?;
    Ok(0)
}

/// Says whether any process has the file in a shared mapping that may be written to.
fn has_writable_mapping(cx: &Context<'_>, file: &OpenFile) -> bool {
    let m = file.node().metadata();
    cx.system().processes().iter().filter_map(|p| p.try_vm()).any(|vm| {
        vm.maps().iter().any(|line| {
            line.flags.contains(AreaFlags::SHARED)
                && line.may.contains(Prot::WRITE)
                && (line.name.device, line.name.inode) == (m.dev, m.ino)
        })
    })
}

/// Write-life hints: kept nowhere, because nothing here would look at them.
fn write_hint(cx: &Context<'_>, description: &Description, command: u32, at: UserAddr) -> SysResult<i64> {
    let _ = (cx, description, command, at);
    Err(Errno::EINVAL.into())
}

/// Converts a `struct flock` to a range of bytes.
///
/// # Errors
/// `EINVAL` for a bad whence, kind or range, `EOVERFLOW` for one that passes the largest offset.
fn range_of(file: &OpenFile, lock: &Flock) -> Result<(u64, u64)> {
    let base = match u32::try_from(lock.l_whence).map_err(|_| Errno::EINVAL)? {
        SEEK_SET => 0,
        SEEK_CUR => file.offset(),
        SEEK_END => file.node().size(),
        _ => return Err(Errno::EINVAL),
    };
    let base = i64::try_from(base).map_err(|_| Errno::EOVERFLOW)?;
    let start = base.checked_add(lock.l_start).ok_or(Errno::EOVERFLOW)?;
    if start < 0 {
        return Err(Errno::EINVAL);
    }
    let (start, last) = match lock.l_len {
        0 => (start, i64::MAX),
        len @ 1.. => (start, start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?),
        // A negative length counts backwards from the start.
        len => {
            let first = start.checked_add(len).filter(|&f| f >= 0).ok_or(Errno::EINVAL)?;
            (first, start - 1)
        }
    };
    Ok((start.cast_unsigned(), last.cast_unsigned()))
}

fn owner_of(cx: &Context<'_>, file: &OpenFile, of_description: bool) -> (Owner, i32) {
    if of_description {
        (Owner::Description(file.id()), -1)
    } else {
        (Owner::Process(cx.process().pid()), cx.process().pid().cast_signed())
    }
}

const fn mode_of(kind: i16) -> Result<Option<LockMode>> {
    match kind {
        F_RDLCK => Ok(Some(LockMode::Shared)),
        F_WRLCK => Ok(Some(LockMode::Exclusive)),
        F_UNLCK => Ok(None),
        _ => Err(Errno::EINVAL),
    }
}

fn get_lock(
    cx: &Context<'_>,
    description: &Description,
    command: u32,
    at: UserPtr<Flock, InOut>,
) -> SysResult<i64> {
    let mut flock = at.read(cx)?;
    let file = description.file().ok_or(Errno::EBADF)?;
    if command == F_OFD_GETLK && flock.l_pid != 0 {
        return Err(Errno::EINVAL.into());
    }
    // LINUX: F_GETLK asks about a lock, so F_UNLCK makes no sense; for descriptions it does.
    let mode = mode_of(flock.l_type)?;
    let (start, last) = range_of(file, &flock)?;
    let Some(mode) = mode else { return Err(Errno::EINVAL.into()) };
    let (owner, pid) = owner_of(cx, file, command == F_OFD_GETLK);
    let wish = RecordLock { start, last, mode, owner, pid };
    match cx.system().vfs.locks().test(file.lock_key(), &wish) {
        None => flock.l_type = F_UNLCK,
        Some(other) => {
            flock.l_type = if other.mode == LockMode::Shared { F_RDLCK } else { F_WRLCK };
            flock.l_whence = 0;
            flock.l_start = other.start.cast_signed();
            flock.l_len = if other.last >= TO_END { 0 } else { (other.last - other.start + 1).cast_signed() };
            flock.l_pid = other.pid;
        }
    }
    at.write(cx, &flock)?;
    Ok(0)
}

fn set_lock(
    cx: &Context<'_>,
    description: &Description,
    command: u32,
    at: UserPtr<Flock, InOut>,
) -> SysResult<i64> {
    let flock = at.read(cx)?;
    let of_description = matches!(command, F_OFD_SETLK | F_OFD_SETLKW);
    let file = description.file().ok_or(Errno::EBADF)?;
    let (start, last) = range_of(file, &flock)?;
    let mode = mode_of(flock.l_type)?;
    if of_description && flock.l_pid != 0 {
        return Err(Errno::EINVAL.into());
    }
    let allowed = match mode {
        Some(LockMode::Shared) => description.readable(),
        Some(LockMode::Exclusive) => description.writable(),
        None => true,
    };
    if !allowed {
        return Err(Errno::EBADF.into());
    }
    let locks = cx.system().vfs.locks();
    let key = file.lock_key();
    let (owner, pid) = owner_of(cx, file, of_description);
    let Some(mode) = mode else {
        locks.release(key, owner, start, last);
        return Ok(0);
    };
    if !of_description {
        cx.system().files.note_record_lock();
    }
    let wish = RecordLock { start, last, mode, owner, pid };
    if matches!(command, F_SETLK | F_OFD_SETLK) {
        locks.set(key, wish)?;
        return Ok(0);
    }
    let queue = locks.queue(key);
    let result = block::until_woken(
        cx,
        |waker| queue.add(Readiness::all(), waker),
        None,
        || match locks.set(key, wish) {
            Err(Errno::EAGAIN) => locks.wait(key, &wish).and(Err(Errno::EAGAIN)),
            other => other,
        },
    );
    locks.stop_waiting(owner);
    result.map(|()| 0)
}

/// `flock(2)`.
pub(crate) fn sys_flock(cx: &Context<'_>, fd: Fd, operation: u32) -> SysResult<()> {
    let mode = match operation & !LOCK_NB {
        LOCK_SH => Some(LockMode::Shared),
        LOCK_EX => Some(LockMode::Exclusive),
        LOCK_UN => None,
        _ => return Err(Errno::EINVAL.into()),
    };
    let description = cx.files().get(fd)?;
    if description.is_path_only() {
        return Err(Errno::EBADF.into());
    }
    let (key, id) = description.lock_key()?;
    let locks = cx.system().vfs.locks();
    let Some(mode) = mode else {
        locks.funlock(key, id);
        return Ok(());
    };
    if operation & LOCK_NB != 0 {
        return Ok(locks.flock(key, id, mode)?);
    }
    let queue = locks.queue(key);
    let register = |waker: &_| queue.add(Readiness::all(), waker);
    block::until_woken(cx, register, None, || locks.flock(key, id, mode))
}

/// Writes an owner as `F_GETOWN_EX` does.
pub(super) fn write_owner(cx: &Context<'_>, at: UserAddr, kind: i32, id: i32) -> Result<()> {
    UserPtr::<FOwnerEx, Out>::new(at).write(cx, &FOwnerEx { kind, pid: id })
}

/// Says whether a number names a kind of owner.
pub(super) const fn is_owner_kind(kind: i32) -> bool {
    matches!(kind, F_OWNER_TID | F_OWNER_PID | F_OWNER_PGRP)
}
