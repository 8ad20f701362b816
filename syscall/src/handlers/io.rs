//! Reading, writing, seeking, and making durable.

use abi::fs::{
    IOV_MAX, Iovec, RWF_APPEND, RWF_DSYNC, RWF_HIPRI, RWF_NOWAIT, RWF_SYNC, SEEK_CUR, SEEK_DATA, SEEK_END,
    SEEK_HOLE, SEEK_SET,
};
use abi::signal::{SI_USER, SIGPIPE, SIGXFSZ, Siginfo};
use abi::socket::MsgFlags;
use abi::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::{Dest, Readiness, Source, USER_END, UserAddr, UserRange};
use vfs::{Allocate, Durable, OpenFile, Whence, WriteAt};

use super::at;
use super::socket::{self, Patience, Waits};
use crate::block;
use crate::decode::{Fd, Flags, In, InBuf, OutBuf, UserPtr};
use crate::proc::{Description, Object, Resource, Sharing};
use crate::{Context, SysError, SysResult};

/// Most bytes that one call moves (`MAX_RW_COUNT`).
pub(crate) const MAX_RW: usize = 0x7fff_f000;

/// Checks that a buffer lies in the application's half, and cuts it to [`MAX_RW`].
///
/// # Errors
/// `EFAULT`.
pub(crate) fn check_range(range: UserRange) -> Result<UserRange> {
    match range.start.0.checked_add(range.len as u64) {
        Some(end) if end <= USER_END => Ok(UserRange { len: range.len.min(MAX_RW), ..range }),
        _ => Err(Errno::EFAULT),
    }
}

/// Copies a list of buffers in (`readv(2)`), cut to [`MAX_RW`] bytes together.
///
/// # Errors
/// `EINVAL` for too many or a negative length, `EFAULT`.
pub(crate) fn read_vector(
    cx: &Context<'_>,
    vector: UserPtr<Iovec, In>,
    count: usize,
) -> Result<Vec<UserRange>> {
    if count > IOV_MAX {
        return Err(Errno::EINVAL);
    }
    let mut left = MAX_RW;
    let entries = vector.read_many(cx, count)?;
    if entries.iter().any(|e| e.iov_len.cast_signed() < 0) {
        return Err(Errno::EINVAL);
    }
    entries
        .iter()
        .map(|e| {
            let len = usize::try_from(e.iov_len).map_err(|_| Errno::EINVAL)?;
            let range = check_range(UserRange { start: UserAddr(e.iov_base), len })?;
            let len = range.len.min(left);
            left -= len;
            Ok(UserRange { len, ..range })
        })
        .collect()
}

/// Repeats a step until it does not answer `EAGAIN`, sleeping until the description is ready; a nonblocking
/// description's `EAGAIN` is the answer.
pub(crate) fn wait<T>(
    cx: &Context<'_>,
    description: &Description,
    interest: Readiness,
    mut step: impl FnMut() -> Result<T>,
) -> SysResult<T> {
    match step() {
        Err(Errno::EAGAIN) if !description.is_nonblocking() => {}
        other => return Ok(other?),
    }
    if let Object::Socket(socket) = description.object() {
        return Patience::new(socket, interest, Waits::AsSet).sleep(cx, socket, step);
    }
    let register = |waker: &_| description.watch(cx.thread, interest, waker, Sharing::Exclusive);
    block::sleep_until_woken(cx, register, None, step)
}

/// Whether a call may sleep, beyond what the description says (`RWF_NOWAIT`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Yes,
    No,
}

fn read(cx: &Context<'_>, file: &Description, to: &mut Dest<'_>, sleep: Sleep) -> SysResult<usize> {
    if sleep == Sleep::No {
        return Ok(file.read(cx, to)?);
    }
    if let Object::Tty(tty) = file.object() {
        return tty.read_waiting(cx, file, to);
    }
    if let Object::Socket(socket) = file.object() {
        // LINUX: no bytes are no question, where `recv` would wait for some.
        if to.remaining() == 0 {
            return Ok(0);
        }
        let flags = MsgFlags::empty();
        return Ok(socket::receive(cx, socket, to, flags, Waits::of(file))?.len);
    }
    wait(cx, file, Readiness::READ, || file.read(cx, to))
}

/// Writes all, sleeping in between where the object takes only parts; a part that was written beats an error.
pub(crate) fn write(cx: &Context<'_>, file: &Description, from: &mut Source<'_>) -> SysResult<usize> {
    write_some(cx, file, from, Sleep::Yes)
}

fn write_some(cx: &Context<'_>, file: &Description, from: &mut Source<'_>, sleep: Sleep) -> SysResult<usize> {
    if let Object::Tty(tty) = file.object() {
        tty.check_write(cx)?;
    }
    if let Object::Socket(socket) = file.object() {
        let waits = if sleep == Sleep::No { Waits::Never } else { Waits::of(file) };
        return socket::send(cx, socket, from, &mut socket.outgoing(cx), waits);
    }
    // Files of the tree write what they can at once; pipes and terminals take what there is room for.
    let goes_on = matches!(file.object(), Object::Pipe(_) | Object::Tty(_));
    let mut done = 0;
    loop {
        let result = match sleep {
            Sleep::Yes => wait(cx, file, Readiness::WRITE, || file.write(cx, from)),
            Sleep::No => file.write(cx, from).map_err(SysError::from),
        };
        match result {
            Ok(some) => {
                done += some;
                if some == 0 || from.remaining() == 0 || !goes_on || file.is_nonblocking() {
                    return Ok(done);
                }
            }
            Err(error) => {
                let error = report_write_error(cx, error);
                return if done > 0 { Ok(done) } else { Err(error) };
            }
        }
    }
}

/// Sends the signal that goes with an error of a write: `SIGPIPE` with `EPIPE`, `SIGXFSZ` with `EFBIG` above the limit.
pub(crate) fn report_write_error(cx: &Context<'_>, error: SysError) -> SysError {
    match error {
        SysError::Errno(Errno::EPIPE) => raise(cx, SIGPIPE),
        SysError::Errno(Errno::EFBIG) if cx.process().limit(Resource::Fsize) != u64::MAX => {
            raise(cx, SIGXFSZ)
        }
        _ => {}
    }
    error
}

/// Passes a result on, with `SIGXFSZ` where the size limit was hit.
pub(crate) fn report_size_limit<T>(cx: &Context<'_>, result: Result<T>) -> SysResult<T> {
    result.map_err(|errno| report_write_error(cx, errno.into()))
}

pub(super) fn raise(cx: &Context<'_>, signal: i32) {
    let info = Siginfo::kill(signal, SI_USER, cx.process().pid().cast_signed(), cx.credentials().uid);
    // It is a standard signal, which always finds room.
    let _ = crate::signal::send_thread(&cx.thread.arc(), info);
}

fn for_reading(cx: &Context<'_>, fd: Fd) -> Result<Arc<Description>> {
    let file = cx.files().get(fd)?;
    if file.readable() { Ok(file) } else { Err(Errno::EBADF) }
}

fn for_writing(cx: &Context<'_>, fd: Fd) -> Result<Arc<Description>> {
    let file = cx.files().get(fd)?;
    if file.writable() { Ok(file) } else { Err(Errno::EBADF) }
}

/// `read(2)`. Descriptor, access mode, then the buffer's range; its bytes as they are filled.
pub(crate) fn sys_read(cx: &Context<'_>, fd: Fd, to: OutBuf) -> SysResult<usize> {
    let file = for_reading(cx, fd)?;
    let mut to = Dest::user(cx.memory(), check_range(to.0)?);
    read(cx, &file, &mut to, Sleep::Yes)
}

/// `write(2)`.
pub(crate) fn sys_write(cx: &Context<'_>, fd: Fd, from: InBuf) -> SysResult<usize> {
    let file = for_writing(cx, fd)?;
    let mut from = Source::user(cx.memory(), check_range(from.0)?);
    write(cx, &file, &mut from)
}

/// `readv(2)`.
pub(crate) fn sys_readv(
    cx: &Context<'_>,
    fd: Fd,
    vector: UserPtr<Iovec, In>,
    count: usize,
) -> SysResult<usize> {
    let file = cx.files().get(fd)?;
    readv(cx, &file, vector, count, None, 0)
}

/// `writev(2)`.
pub(crate) fn sys_writev(
    cx: &Context<'_>,
    fd: Fd,
    vector: UserPtr<Iovec, In>,
    count: usize,
) -> SysResult<usize> {
    let file = cx.files().get(fd)?;
    writev(cx, &file, vector, count, None, 0)
}

fn readv(
    cx: &Context<'_>,
    file: &Description,
    vector: UserPtr<Iovec, In>,
    count: usize,
    offset: Option<u64>,
    flags: u32,
) -> SysResult<usize> {
    if file.is_path_only() {
        return Err(Errno::EBADF.into());
    }
    let ranges = read_vector(cx, vector, count)?;
    if !file.readable() {
        return Err(Errno::EBADF.into());
    }
    check_flags(flags)?;
    let mut to = Dest::user_ranges(cx.memory(), &ranges);
    if to.remaining() == 0 {
        return Ok(0);
    }
    match offset {
        Some(offset) => {
            check_end(offset, to.remaining())?;
            Ok(tree_file(file)?.read_at(offset, &mut to)?)
        }
        None => read(cx, file, &mut to, if flags & RWF_NOWAIT != 0 { Sleep::No } else { Sleep::Yes }),
    }
}

fn writev(
    cx: &Context<'_>,
    file: &Description,
    vector: UserPtr<Iovec, In>,
    count: usize,
    offset: Option<u64>,
    flags: u32,
) -> SysResult<usize> {
    if file.is_path_only() {
        return Err(Errno::EBADF.into());
    }
    let ranges = read_vector(cx, vector, count)?;
    if !file.writable() {
        return Err(Errno::EBADF.into());
    }
    check_flags(flags)?;
    let mut from = Source::user_ranges(cx.memory(), &ranges);
    if from.remaining() == 0 {
        return Ok(0);
    }
    let append = flags & RWF_APPEND != 0;
    let done = match (offset, file.object()) {
        (Some(offset), _) => {
            check_end(offset, from.remaining())?;
            write_at(cx, tree_file(file)?, offset, append, &mut from)?
        }
        // Without an offset it is the description's, which moves.
        (None, Object::Node(inner)) if append && inner.node().seekable() => {
            let mut how = WriteAt { offset: 0, append, limit: cx.process().limit(Resource::Fsize) };
            let result = at::as_caller(cx, |caller| inner.write_how(&mut how, &mut from, caller));
            let done = report_size_limit(cx, result)?;
            inner.set_offset(how.offset + done as u64);
            done
        }
        _ => write_some(cx, file, &mut from, if flags & RWF_NOWAIT != 0 { Sleep::No } else { Sleep::Yes })?,
    };
    if flags & (RWF_DSYNC | RWF_SYNC) != 0
        && done > 0
        && let Object::Node(inner) = file.object()
    {
        inner.sync(if flags & RWF_SYNC != 0 { Durable::All } else { Durable::Data })?;
    }
    Ok(done)
}

fn write_at(
    cx: &Context<'_>,
    file: &OpenFile,
    offset: u64,
    append: bool,
    from: &mut Source<'_>,
) -> SysResult<usize> {
    let result = at::as_caller(cx, |caller| {
        if append {
            file.write_how(&mut WriteAt { offset, append, limit: caller.size_limit }, from, caller)
        } else {
            file.write_at(offset, from, caller)
        }
    });
    report_size_limit(cx, result)
}

fn check_flags(flags: u32) -> Result<()> {
    let known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;
    if flags & !known == 0 { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

/// Returns the file of the tree whose contents have offsets.
///
/// # Errors
/// `ESPIPE` for anything else, `EBADF` for `O_PATH`.
pub(crate) fn tree_file(description: &Description) -> Result<&Arc<OpenFile>> {
    match description.object() {
        Object::Node(file) if file.is_path() => Err(Errno::EBADF),
        Object::Node(file) if file.node().seekable() => Ok(file),
        _ => Err(Errno::ESPIPE),
    }
}

/// Checks that no byte lies behind the largest offset.
fn check_end(offset: u64, len: usize) -> Result<()> {
    let end = offset.checked_add(len as u64).and_then(|end| i64::try_from(end).ok());
    end.map(|_| ()).ok_or(Errno::EINVAL)
}

fn offset_of(offset: i64) -> Result<u64> {
    u64::try_from(offset).map_err(|_| Errno::EINVAL)
}

/// `pread64(2)`. A negative offset comes before a bad descriptor.
pub(crate) fn sys_pread64(cx: &Context<'_>, fd: Fd, to: OutBuf, offset: i64) -> SysResult<usize> {
    let offset = offset_of(offset)?;
    let description = cx.files().get(fd)?;
    let file = tree_file(&description)?;
    if !file.readable() {
        return Err(Errno::EBADF.into());
    }
    let range = check_range(to.0)?;
    check_end(offset, range.len)?;
    let mut to = Dest::user(cx.memory(), range);
    Ok(file.read_at(offset, &mut to)?)
}

/// `pwrite64(2)`.
pub(crate) fn sys_pwrite64(cx: &Context<'_>, fd: Fd, from: InBuf, offset: i64) -> SysResult<usize> {
    let offset = offset_of(offset)?;
    let description = cx.files().get(fd)?;
    let file = tree_file(&description)?;
    if !file.writable() {
        return Err(Errno::EBADF.into());
    }
    let range = check_range(from.0)?;
    check_end(offset, range.len)?;
    let mut from = Source::user(cx.memory(), range);
    write_at(cx, file, offset, false, &mut from)
}

/// `preadv(2)`: on 64-bit machines the offset comes in one register.
pub(crate) fn sys_preadv(
    cx: &Context<'_>,
    fd: Fd,
    vector: UserPtr<Iovec, In>,
    count: usize,
    offset: i64,
) -> SysResult<usize> {
    let offset = offset_of(offset)?;
    let description = cx.files().get(fd)?;
    tree_file(&description)?;
    readv(cx, &description, vector, count, Some(offset), 0)
}

/// `pwritev(2)`.
pub(crate) fn sys_pwritev(
    cx: &Context<'_>,
    fd: Fd,
    vector: UserPtr<Iovec, In>,
    count: usize,
    offset: i64,
) -> SysResult<usize> {
    let offset = offset_of(offset)?;
    let description = cx.files().get(fd)?;
    tree_file(&description)?;
    writev(cx, &description, vector, count, Some(offset), 0)
}

/// `preadv2(2)`: offset -1 means the description's own.
pub(crate) fn sys_preadv2(
    cx: &Context<'_>,
    fd: Fd,
    vector: UserPtr<Iovec, In>,
    count: usize,
    offset: i64,
    _high: u64,
    flags: Flags,
) -> SysResult<usize> {
    let offset = if offset == -1 { None } else { Some(offset_of(offset)?) };
    let description = cx.files().get(fd)?;
    if offset.is_some() {
        tree_file(&description)?;
    }
    readv(cx, &description, vector, count, offset, flags.0)
}

/// `pwritev2(2)`.
pub(crate) fn sys_pwritev2(
    cx: &Context<'_>,
    fd: Fd,
    vector: UserPtr<Iovec, In>,
    count: usize,
    offset: i64,
    _high: u64,
    flags: Flags,
) -> SysResult<usize> {
    let offset = if offset == -1 { None } else { Some(offset_of(offset)?) };
    let description = cx.files().get(fd)?;
    if offset.is_some() {
        tree_file(&description)?;
    }
    writev(cx, &description, vector, count, offset, flags.0)
}

/// `lseek(2)`.
pub(crate) fn sys_lseek(cx: &Context<'_>, fd: Fd, offset: i64, whence: u32) -> SysResult<u64> {
    let description = cx.files().get(fd)?;
    if description.is_path_only() {
        return Err(Errno::EBADF.into());
    }
    let whence = match whence {
        SEEK_SET => Whence::Set,
        SEEK_CUR => Whence::Current,
        SEEK_END => Whence::End,
        SEEK_DATA => Whence::Data,
        SEEK_HOLE => Whence::Hole,
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(match description.object() {
        // LINUX: an offset that no file can have is EINVAL, also where the sum overflows.
        Object::Node(file) => file.seek(offset, whence).map_err(|errno| match errno {
            Errno::EOVERFLOW => Errno::EINVAL,
            other => other,
        })?,
        Object::Pipe(_) | Object::Tty(_) | Object::Process(_) | Object::Socket(_) => {
            return Err(Errno::ESPIPE.into());
        }
        // LINUX: these have an offset that never moves (`noop_llseek`).
        Object::Epoll(_)
        | Object::EventFd(_)
        | Object::SignalFd(_)
        | Object::Inotify(_)
        | Object::TimerFd(_) => 0,
    })
}

/// `fsync(2)`.
pub(crate) fn sys_fsync(cx: &Context<'_>, fd: Fd) -> SysResult<()> {
    sync_file(cx, fd, Durable::All)
}

/// `fdatasync(2)`.
pub(crate) fn sys_fdatasync(cx: &Context<'_>, fd: Fd) -> SysResult<()> {
    sync_file(cx, fd, Durable::Data)
}

fn sync_file(cx: &Context<'_>, fd: Fd, what: Durable) -> SysResult<()> {
    let description = cx.files().get(fd)?;
    match description.object() {
        Object::Node(file) => Ok(file.sync(what)?),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `sync(2)`. Errors are nobody's.
pub(crate) fn sys_sync(cx: &Context<'_>) {
    for mount in cx.system().vfs.mount_list() {
        let _ = mount.tree.file_system.sync();
    }
}

/// `syncfs(2)`.
pub(crate) fn sys_syncfs(cx: &Context<'_>, fd: Fd) -> SysResult<()> {
    let description = cx.files().get(fd)?;
    if description.is_path_only() {
        return Err(Errno::EBADF.into());
    }
    match description.place() {
        Some(place) => Ok(place.mount.tree.file_system.sync()?),
        None => Ok(()),
    }
}

/// `sync_file_range(2)`: what it starts or waits for is done when the file's contents are durable.
pub(crate) fn sys_sync_file_range(
    cx: &Context<'_>,
    fd: Fd,
    offset: i64,
    len: i64,
    flags: Flags,
) -> SysResult<()> {
    let description = cx.files().get(fd)?;
    if description.is_path_only() {
        return Err(Errno::EBADF.into());
    }
    let end = offset.checked_add(len);
    if flags.0 & !7 != 0 || offset < 0 || len < 0 || end.is_none() {
        return Err(Errno::EINVAL.into());
    }
    match description.object() {
        Object::Node(file) if file.node().seekable() => {
            if flags.0 != 0 && file.kind() == vfs::Kind::File {
                file.node().sync(Durable::Data)?;
            }
            Ok(())
        }
        _ => Err(Errno::ESPIPE.into()),
    }
}

/// `fallocate(2)`.
pub(crate) fn sys_fallocate(cx: &Context<'_>, fd: Fd, mode: Flags, offset: i64, len: i64) -> SysResult<()> {
    let description = cx.files().get(fd)?;
    let result = match description.object() {
        Object::Node(file) => {
            at::as_caller(cx, |caller| file.allocate(Allocate::from_bits_retain(mode.0), offset, len, caller))
        }
        _ if offset < 0 || len <= 0 => Err(Errno::EINVAL),
        _ if !description.writable() => Err(Errno::EBADF),
        Object::Pipe(_) => Err(Errno::ESPIPE),
        _ => Err(Errno::ENODEV),
    };
    report_size_limit(cx, result)
}

/// `fadvise64(2)`: advice changes nothing that a program can see; wrong advice is refused.
pub(crate) fn sys_fadvise64(cx: &Context<'_>, fd: Fd, _offset: i64, len: i64, advice: i32) -> SysResult<()> {
    let description = cx.files().get(fd)?;
    if description.is_path_only() {
        return Err(Errno::EBADF.into());
    }
    if matches!(description.object(), Object::Pipe(_)) {
        return Err(Errno::ESPIPE.into());
    }
    if len < 0 || !(0..=5).contains(&advice) {
        return Err(Errno::EINVAL.into());
    }
    Ok(())
}

/// `readahead(2)`: pages come in when they are asked for; what cannot be read ahead is refused.
pub(crate) fn sys_readahead(cx: &Context<'_>, fd: Fd, _offset: i64, _count: usize) -> SysResult<()> {
    let description = cx.files().get(fd)?;
    if !description.readable() {
        return Err(Errno::EBADF.into());
    }
    match description.object() {
        Object::Node(file) if matches!(file.kind(), vfs::Kind::File | vfs::Kind::BlockDevice) => Ok(()),
        _ => Err(Errno::EINVAL.into()),
    }
}
