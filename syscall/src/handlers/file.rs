//! Descriptors: opening, duplicating, closing, pipes.

use alloc::sync::Arc;

use abi::fs::{
    AT_FDCWD, FASYNC, O_ACCMODE, O_APPEND, O_CLOEXEC, O_CREAT, O_DIRECT, O_DIRECTORY, O_DSYNC, O_EXCL,
    O_LARGEFILE, O_NOATIME, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_SYNC, O_TMPFILE,
    O_TRUNC, O_WRONLY, OpenHow, RESOLVE_BENEATH, RESOLVE_CACHED, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV,
};
use abi::{Errno, Result};
use hal::{PAGE_SIZE, Readiness, UserAddr};
use vfs::pipe::{Pipe, Side};
use vfs::{Kind, OpenFile};
use zerocopy::FromBytes;

use super::at::{self, CWD, Origin};
use crate::block;
use crate::decode::{Fd, Flags, Mode, Out, UserPath, UserPtr};
use crate::files::PipeNode;
use crate::proc::{CloseOnExec, Description, FdTable, Object, PipeFile, Process, Resource};
use crate::{Context, SysError, SysResult};

/// What `open(2)` looks at; it ignores everything else.
const OPEN_FLAGS: u32 = O_ACCMODE
    | O_CREAT
    | O_EXCL
    | O_NOCTTY
    | O_TRUNC
    | O_APPEND
    | O_NONBLOCK
    | O_SYNC
    | O_DSYNC
    | FASYNC
    | O_DIRECT
    | O_LARGEFILE
    | O_DIRECTORY
    | O_NOFOLLOW
    | O_NOATIME
    | O_CLOEXEC
    | O_PATH
    | O_TMPFILE;
/// What is left of them with `O_PATH`.
const PATH_FLAGS: u32 = O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC;

/// Gives a description the lowest free descriptor.
///
/// # Errors
/// `EMFILE`, `ENOMEM`.
pub(crate) fn install(cx: &Context<'_>, description: Arc<Description>, close: CloseOnExec) -> Result<Fd> {
    cx.files().add(description, close, 0, cx.process().limit(Resource::Nofile))
}

/// `open(2)`.
pub(crate) fn sys_open(cx: &Context<'_>, path: UserPath, flags: Flags, mode: Mode) -> SysResult<i32> {
    open_at(cx, CWD, path, flags.0, mode.0)
}

/// `openat(2)`.
pub(crate) fn sys_openat(
    cx: &Context<'_>,
    fd: Fd,
    path: UserPath,
    flags: Flags,
    mode: Mode,
) -> SysResult<i32> {
    open_at(cx, fd, path, flags.0, mode.0)
}

/// `creat(2)`.
pub(crate) fn sys_creat(cx: &Context<'_>, path: UserPath, mode: Mode) -> SysResult<i32> {
    open_at(cx, CWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode.0)
}

fn open_at(cx: &Context<'_>, fd: Fd, path: UserPath, flags: u32, mode: u32) -> SysResult<i32> {
    let mut flags = flags & OPEN_FLAGS;
    if flags & O_PATH != 0 {
        flags &= PATH_FLAGS;
    }
    let makes = flags & O_CREAT != 0 || flags & O_TMPFILE == O_TMPFILE;
    open(cx, fd, path, flags, if makes { mode & 0o7777 } else { 0 }, 0)
}

/// `openat2(2)`: unknown flags, a mode that nobody uses and contradictions are refused.
pub(crate) fn sys_openat2(
    cx: &Context<'_>,
    fd: Fd,
    path: UserPath,
    how: UserAddr,
    size: usize,
) -> SysResult<i32> {
    const FIRST_VERSION: usize = 24;
    if size < FIRST_VERSION {
        return Err(Errno::EINVAL.into());
    }
    if size > PAGE_SIZE {
        return Err(Errno::E2BIG.into());
    }
    let mut bytes = alloc::vec![0; size];
    cx.memory().copy_in(how, &mut bytes)?;
    let (known, unknown) = bytes.split_at(FIRST_VERSION);
    if unknown.iter().any(|&b| b != 0) {
        return Err(Errno::E2BIG.into());
    }
    let how = OpenHow::read_from_bytes(known).map_err(|_| Errno::EINVAL)?;
    let flags = u32::try_from(how.flags).ok().filter(|f| f & !OPEN_FLAGS == 0).ok_or(Errno::EINVAL)?;
    let resolve = how.resolve;
    let known = RESOLVE_NO_XDEV
        | RESOLVE_NO_MAGICLINKS
        | RESOLVE_NO_SYMLINKS
        | RESOLVE_BENEATH
        | RESOLVE_IN_ROOT
        | RESOLVE_CACHED;
    if resolve & !known != 0 || resolve & RESOLVE_BENEATH != 0 && resolve & RESOLVE_IN_ROOT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let temporary = flags & O_TMPFILE == O_TMPFILE;
    let makes = flags & O_CREAT != 0 || temporary;
    let mode = u32::try_from(how.mode).ok().filter(|m| m & !0o7777 == 0).ok_or(Errno::EINVAL)?;
    if !makes && mode != 0 || flags & O_PATH != 0 && flags & !PATH_FLAGS & !O_LARGEFILE != 0 {
        return Err(Errno::EINVAL.into());
    }
    if resolve & RESOLVE_CACHED != 0 && (makes || flags & O_TRUNC != 0) {
        return Err(Errno::EAGAIN.into());
    }
    open(cx, fd, path, flags, mode, resolve & !RESOLVE_CACHED)
}

fn open(cx: &Context<'_>, fd: Fd, path: UserPath, flags: u32, mode: u32, resolve: u64) -> SysResult<i32> {
    // A temporary file needs both bits and write access; half of the pair is no flag at all.
    if flags & O_TMPFILE & !O_DIRECTORY != 0
        && (flags & O_DIRECTORY == 0
            || matches!(flags & O_ACCMODE, O_RDONLY | O_ACCMODE)
            || flags & O_CREAT != 0)
        || flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY && flags & O_TMPFILE != O_TMPFILE
    {
        return Err(Errno::EINVAL.into());
    }
    let path = at::read_path(cx, path)?;
    // With RESOLVE_IN_ROOT an absolute path starts at the descriptor, too.
    let relative: &[u8] = if resolve & RESOLVE_IN_ROOT != 0 { b"." } else { &path };
    let origin = Origin::at(cx, fd, relative)?;
    // Flags of the call itself are not kept; LINUX: every 64-bit opening has O_LARGEFILE.
    let large = if flags & O_PATH == 0 { O_LARGEFILE } else { 0 };
    let file = origin.restricted(resolve).open(&path, flags & !O_CLOEXEC | large, mode)?;
    let description = describe(cx, file, flags)?;
    Ok(install(cx, description, CloseOnExec::from_bit(flags & O_CLOEXEC != 0))?.0)
}

/// Puts the object behind an open file that stands for more than the file: a fifo, a terminal.
///
/// # Errors
/// Whatever keeps the device or fifo from being opened.
pub(crate) fn describe(cx: &Context<'_>, file: Arc<OpenFile>, flags: u32) -> SysResult<Arc<Description>> {
    if file.is_path() {
        return Ok(Description::of_file(file));
    }
    match file.kind() {
        Kind::Fifo => match file.node().fifo() {
            Some(pipe) => open_fifo(cx, file, &pipe, flags),
            None => Ok(Description::of_file(file)),
        },
        Kind::CharDevice | Kind::BlockDevice if vfs::same(file.node(), file.place().node()) => {
            crate::tty::open_device(cx, file, flags)
        }
        _ => Ok(Description::of_file(file)),
    }
}

/// Opens a fifo, waiting for the other side (`fifo(7)`).
fn open_fifo(
    cx: &Context<'_>,
    file: Arc<OpenFile>,
    pipe: &Arc<Pipe>,
    flags: u32,
) -> SysResult<Arc<Description>> {
    let side = match flags & O_ACCMODE {
        O_RDONLY => Side::READ,
        O_WRONLY => Side::WRITE,
        O_RDWR => Side::READ | Side::WRITE,
        _ => return Err(Errno::EINVAL.into()),
    };
    let blocking = flags & O_NONBLOCK == 0;
    // A pipe without a name, found under `/proc/self/fd`, does not wait for the other side.
    let named = file.node().downcast_ref::<PipeNode>().is_none();
    if named && side == Side::WRITE && !blocking && pipe.readers() == 0 {
        return Err(Errno::ENXIO.into());
    }
    let (readers, writers) = pipe.opens();
    let end = pipe.open(side);
    if named && blocking && side != Side::READ | Side::WRITE {
        let met = || match side {
            Side::READ => pipe.writers() > 0 || pipe.opens().1 != writers,
            _ => pipe.readers() > 0 || pipe.opens().0 != readers,
        };
        let step = || if met() { Ok(()) } else { Err(Errno::EAGAIN) };
        let register = |waker: &_| pipe.wait_queue().add(Readiness::all(), waker);
        block::until_woken(cx, register, None, step)?;
    }
    let flags = file.flags();
    Ok(Description::new(Object::Pipe(PipeFile { end, fifo: Some(file), node: None }), flags))
}

/// `close(2)`.
pub(crate) fn sys_close(cx: &Context<'_>, fd: Fd) -> SysResult<()> {
    let description = cx.files().remove(fd)?;
    closed(cx.process(), &description);
    Ok(())
}

/// Does what closing any descriptor of a file means: the process loses its record locks on it (`fcntl(2)`), and does not
/// hear of messages in it any more (`mq_notify(3)`).
pub(crate) fn closed(process: &Process, description: &Description) {
    let system = process.system();
    if system.ipc.mqueue.notices_used()
        && let Some(file) = description.file().filter(|f| !f.is_path())
        && let Some(queue) = file.node().downcast_ref::<crate::ipc::mqueue::Queue>()
    {
        queue.unregister(process);
    }
    if system.files.record_locks_used()
        && let Some(file) = description.file().filter(|f| !f.is_path())
    {
        let key = vfs::lock::FileKey::of(&**file.place().node());
        system.vfs.locks().release_process(key, process.pid());
    }
}

/// Does for each descriptor of a process that ends what closing it means, while its descriptors are still there.
pub(crate) fn release_locks(process: &Process, files: &FdTable) {
    let system = process.system();
    if system.files.record_locks_used() || system.ipc.mqueue.notices_used() {
        for fd in files.list() {
            if let Ok(description) = files.get(fd) {
                closed(process, &description);
            }
        }
    }
}

/// `close_range(2)`.
pub(crate) fn sys_close_range(cx: &Context<'_>, first: u32, last: u32, flags: Flags) -> SysResult<()> {
    use abi::fs::{CLOSE_RANGE_CLOEXEC, CLOSE_RANGE_UNSHARE};
    if flags.0 & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL.into());
    }
    if flags.0 & CLOSE_RANGE_UNSHARE != 0 {
        let own = Arc::new(cx.files().copy());
        drop(cx.thread.set_files(own));
    }
    let files = cx.files();
    if flags.0 & CLOSE_RANGE_CLOEXEC != 0 {
        files.close_range_on_exec(first, last);
        return Ok(());
    }
    for description in files.remove_range(first, last) {
        closed(cx.process(), &description);
    }
    Ok(())
}

/// `dup(2)`.
pub(crate) fn sys_dup(cx: &Context<'_>, fd: Fd) -> SysResult<i32> {
    let description = cx.files().get(fd)?;
    Ok(install(cx, description, CloseOnExec::No)?.0)
}

/// `dup2(2)`: onto itself it only checks the descriptor.
pub(crate) fn sys_dup2(cx: &Context<'_>, old: Fd, new: Fd) -> SysResult<i32> {
    if old == new {
        cx.files().get(old)?;
        return Ok(new.0);
    }
    dup_onto(cx, old, new, CloseOnExec::No)
}

/// `dup3(2)`.
pub(crate) fn sys_dup3(cx: &Context<'_>, old: Fd, new: Fd, flags: Flags) -> SysResult<i32> {
    if flags.0 & !O_CLOEXEC != 0 || old == new {
        return Err(Errno::EINVAL.into());
    }
    dup_onto(cx, old, new, CloseOnExec::from_bit(flags.0 & O_CLOEXEC != 0))
}

fn dup_onto(cx: &Context<'_>, old: Fd, new: Fd, close: CloseOnExec) -> SysResult<i32> {
    let files = cx.files();
    let limit = cx.process().limit(Resource::Nofile);
    if u64::try_from(new.0).map_or(true, |n| n >= limit) {
        return Err(Errno::EBADF.into());
    }
    let description = files.get(old)?;
    if let Some(replaced) = files.replace(new, description, close, limit)? {
        closed(cx.process(), &replaced);
    }
    Ok(new.0)
}

/// `pipe(2)`.
pub(crate) fn sys_pipe(cx: &Context<'_>, to: UserPtr<[i32; 2], Out>) -> SysResult<()> {
    pipe(cx, to, 0)
}

/// `pipe2(2)`.
pub(crate) fn sys_pipe2(cx: &Context<'_>, to: UserPtr<[i32; 2], Out>, flags: Flags) -> SysResult<()> {
    const O_NOTIFICATION_PIPE: u32 = O_EXCL;
    if flags.0 & O_NOTIFICATION_PIPE != 0 && flags.0 & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT | O_EXCL) == 0 {
        return Err(Errno::ENOPKG.into());
    }
    if flags.0 & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0 {
        return Err(Errno::EINVAL.into());
    }
    pipe(cx, to, flags.0)
}

fn pipe(cx: &Context<'_>, to: UserPtr<[i32; 2], Out>, flags: u32) -> SysResult<()> {
    let who = cx.credentials();
    let close = CloseOnExec::from_bit(flags & O_CLOEXEC != 0);
    let (reader, writer) = cx.system().files.pipe(flags & !O_CLOEXEC, (who.fsuid, who.fsgid));
    let files = cx.files();
    let first = install(cx, reader, close)?;
    let second = match install(cx, writer, close) {
        Ok(fd) => fd,
        Err(errno) => {
            drop(files.remove(first));
            return Err(errno.into());
        }
    };
    to.write(cx, &[first.0, second.0]).map_err(|errno| {
        drop(files.remove(first));
        drop(files.remove(second));
        SysError::from(errno)
    })
}

const _: () = assert!(AT_FDCWD == CWD.0, "the current directory");
