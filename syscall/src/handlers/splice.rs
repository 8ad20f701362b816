//! Moving bytes between descriptors inside the kernel: `sendfile(2)`, `splice(2)`, `tee(2)`, `copy_file_range(2)`.

use abi::fs::{Iovec, O_APPEND, SPLICE_F_GIFT, SPLICE_F_MORE, SPLICE_F_MOVE, SPLICE_F_NONBLOCK};
use abi::{Errno, Result};
use hal::{Dest, Frame, PAGE_SIZE, Readiness, Source};
use vfs::pipe::{PipeEnd, Side};
use vfs::{Kind, OpenFile};

use super::at;
use super::io::{MAX_RW, read_vector, report_size_limit, report_write_error, wait, write};
use crate::block;
use crate::decode::{Fd, Flags, In, InOut, UserPtr};
use crate::proc::{Description, Object, Sharing};
use crate::{Context, SysError, SysResult};

/// Bytes that are moved at once.
const CHUNK: usize = 64 << 10;

/// Where bytes are read or written: at an offset that the caller keeps, or at the description's own.
enum Position {
    Own,
    At(u64),
}

impl Position {
    const fn advance(&mut self, bytes: u64) {
        if let Self::At(offset) = self {
            *offset += bytes;
        }
    }
}

fn read_position(cx: &Context<'_>, at: UserPtr<i64, InOut>) -> Result<Position> {
    match at.non_null() {
        None => Ok(Position::Own),
        Some(at) => Ok(Position::At(u64::try_from(at.read(cx)?).map_err(|_| Errno::EINVAL)?)),
    }
}

fn write_position(cx: &Context<'_>, at: UserPtr<i64, InOut>, position: &Position) -> Result<()> {
    match position {
        Position::Own => Ok(()),
        Position::At(offset) => at.write(cx, &offset.cast_signed()),
    }
}

/// Lets the first error count only where nothing was moved.
fn done_or(done: usize, error: SysError) -> SysResult<usize> {
    if done > 0 { Ok(done) } else { Err(error) }
}

/// Reads a chunk of a file without moving its offset.
fn read_chunk(file: &OpenFile, offset: u64, buffer: &mut [u8]) -> Result<usize> {
    file.read_at(offset, &mut Dest::kernel(buffer))
}

fn start_of(file: &OpenFile, position: &Position) -> u64 {
    match position {
        Position::Own => file.offset(),
        Position::At(offset) => *offset,
    }
}

/// Notes that bytes of a file were used.
fn consumed(file: &OpenFile, position: &mut Position, start: u64, bytes: usize) {
    match position {
        Position::Own => file.set_offset(start + bytes as u64),
        Position::At(_) => position.advance(bytes as u64),
    }
}

/// `sendfile(2)`: from a file to anything that can be written.
pub(crate) fn sys_sendfile(
    cx: &Context<'_>,
    out: Fd,
    input: Fd,
    offset: UserPtr<i64, InOut>,
    count: usize,
) -> SysResult<usize> {
    let mut position = read_position(cx, offset)?;
    let (from, to) = (cx.files().get(input)?, cx.files().get(out)?);
    if !from.readable() {
        return Err(Errno::EBADF.into());
    }
    if let Position::At(_) = position
        && !from.seekable()
    {
        return Err(Errno::ESPIPE.into());
    }
    if !to.writable() {
        return Err(Errno::EBADF.into());
    }
    if to.flags() & O_APPEND != 0 && matches!(to.object(), Object::Node(f) if f.kind() == Kind::File) {
        return Err(Errno::EINVAL.into());
    }
    let result = match from.object() {
        Object::Node(file) if file.node().seekable() && file.kind() != Kind::Directory => {
            send(cx, file, &mut position, &to, count.min(MAX_RW))
        }
        _ => Err(Errno::EINVAL.into()),
    };
    write_position(cx, offset, &position)?;
    result
}

fn send(
    cx: &Context<'_>,
    file: &OpenFile,
    position: &mut Position,
    to: &Description,
    count: usize,
) -> SysResult<usize> {
    let mut buffer = alloc::vec![0; count.min(CHUNK)];
    let mut done = 0;
    while done < count {
        let start = start_of(file, position);
        let want = (count - done).min(buffer.len());
        let len = match read_chunk(file, start, &mut buffer[..want]) {
            Ok(0) => break,
            Ok(len) => len,
            Err(errno) => return done_or(done, errno.into()),
        };
        let written = match write(cx, to, &mut Source::kernel(&buffer[..len])) {
            Ok(written) => written,
            Err(error) => return done_or(done, error),
        };
        consumed(file, position, start, written);
        done += written;
        if written < len {
            break;
        }
    }
    Ok(done)
}

/// `copy_file_range(2)`.
pub(crate) fn sys_copy_file_range(
    cx: &Context<'_>,
    input: Fd,
    in_offset: UserPtr<i64, InOut>,
    out: Fd,
    out_offset: UserPtr<i64, InOut>,
    len: usize,
    flags: Flags,
) -> SysResult<usize> {
    let (from, to) = (cx.files().get(input)?, cx.files().get(out)?);
    let (mut source, mut target) = (read_position(cx, in_offset)?, read_position(cx, out_offset)?);
    if flags.0 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (Some(from_file), Some(to_file)) = (from.file(), to.file()) else { return Err(Errno::EINVAL.into()) };
    for file in [from_file, to_file] {
        match file.kind() {
            Kind::File => {}
            Kind::Directory => return Err(Errno::EISDIR.into()),
            _ => return Err(Errno::EINVAL.into()),
        }
    }
    if !from.readable() || !to.writable() || to.flags() & O_APPEND != 0 {
        return Err(Errno::EBADF.into());
    }
    let (in_start, out_start) = (start_of(from_file, &source), start_of(to_file, &target));
    let len = len.min(MAX_RW);
    let end = |start: u64| start.checked_add(len as u64).filter(|&end| i64::try_from(end).is_ok());
    let (Some(in_end), Some(out_end)) = (end(in_start), end(out_start)) else {
        return Err(Errno::EOVERFLOW.into());
    };
    if vfs::same(from_file.node(), to_file.node()) && in_start < out_end && out_start < in_end {
        return Err(Errno::EINVAL.into());
    }
    let mut buffer = alloc::vec![0; len.min(CHUNK)];
    let mut done = 0;
    let mut result = Ok(());
    while done < len {
        let want = (len - done).min(buffer.len());
        let step = read_chunk(from_file, in_start + done as u64, &mut buffer[..want]).and_then(|got| {
            let mut bytes = Source::kernel(&buffer[..got]);
            if got == 0 {
                return Ok(0);
            }
            at::as_caller(cx, |caller| to_file.write_at(out_start + done as u64, &mut bytes, caller))
        });
        match step {
            Ok(0) => break,
            Ok(moved) => done += moved,
            Err(errno) => {
                result = report_size_limit(cx, Err(errno));
                break;
            }
        }
    }
    consumed(from_file, &mut source, in_start, done);
    consumed(to_file, &mut target, out_start, done);
    write_position(cx, in_offset, &source)?;
    write_position(cx, out_offset, &target)?;
    match result {
        Err(error) => done_or(done, error),
        Ok(()) => Ok(done),
    }
}

const SPLICE_FLAGS: u32 = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;

/// `splice(2)`: one side at least is a pipe.
pub(crate) fn sys_splice(
    cx: &Context<'_>,
    input: Fd,
    in_offset: UserPtr<i64, InOut>,
    out: Fd,
    out_offset: UserPtr<i64, InOut>,
    len: usize,
    flags: Flags,
) -> SysResult<usize> {
    if len == 0 {
        return Ok(0);
    }
    if flags.0 & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (from, to) = (cx.files().get(input)?, cx.files().get(out)?);
    let from_pipe_end = pipe_of(&from);
    let to_pipe_end = pipe_of(&to);
    if from_pipe_end.is_some() && !in_offset.is_null() || to_pipe_end.is_some() && !out_offset.is_null() {
        return Err(Errno::ESPIPE.into());
    }
    let (mut source, mut target) = (read_position(cx, in_offset)?, read_position(cx, out_offset)?);
    if !from.readable() || !to.writable() {
        return Err(Errno::EBADF.into());
    }
    let nonblocking = flags.0 & SPLICE_F_NONBLOCK != 0;
    let len = len.min(MAX_RW);
    let result = match (from_pipe_end, to_pipe_end) {
        (Some(a), Some(b)) if core::ptr::eq(&**a.pipe(), &**b.pipe()) => return Err(Errno::EINVAL.into()),
        (Some(end), _) => {
            check_position(&target, &to)?;
            if to.flags() & O_APPEND != 0 && to_pipe_end.is_none() {
                return Err(Errno::EINVAL.into());
            }
            from_pipe(cx, &from, end, &to, &mut target, len, nonblocking)
        }
        (None, Some(end)) => {
            check_position(&source, &from)?;
            to_pipe(cx, &from, &mut source, &to, end, len, nonblocking)
        }
        (None, None) => Err(Errno::EINVAL.into()),
    };
    write_position(cx, in_offset, &source)?;
    write_position(cx, out_offset, &target)?;
    result
}

/// Checks that there are offsets where one was given. LINUX: a socket says so in another way.
fn check_position(position: &Position, description: &Description) -> Result<()> {
    match (position, description.object()) {
        (Position::At(_), Object::Socket(_)) => Err(Errno::EINVAL),
        (Position::At(_), _) if !description.seekable() => Err(Errno::ESPIPE),
        _ => Ok(()),
    }
}

fn pipe_of(description: &Description) -> Option<&PipeEnd> {
    match description.object() {
        Object::Pipe(pipe) => Some(&pipe.end),
        _ => None,
    }
}

/// Moves bytes out of a pipe. What the other side does not take goes back in front.
fn from_pipe(
    cx: &Context<'_>,
    from: &Description,
    end: &PipeEnd,
    to: &Description,
    target: &mut Position,
    len: usize,
    nonblocking: bool,
) -> SysResult<usize> {
    let mut done = 0;
    let mut page = [0; PAGE_SIZE];
    while done < len {
        // Only the first piece is waited for.
        let take = || end.pipe().take(len - done);
        let taken = if done > 0 || nonblocking {
            take().map_err(SysError::from)
        } else {
            wait(cx, from, Readiness::READ, take)
        };
        let (frame, offset, got) = match taken {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(error) => return done_or(done, error),
        };
        frame.read(offset, &mut page[..got]);
        let mut bytes = Source::kernel(&page[..got]);
        let written = match target {
            Position::At(start) => match to.object() {
                Object::Node(file) => {
                    let result = at::as_caller(cx, |caller| file.write_at(*start, &mut bytes, caller));
                    report_size_limit(cx, result)
                }
                _ => Err(Errno::ESPIPE.into()),
            },
            Position::Own if nonblocking => {
                to.write(cx, &mut bytes).map_err(|errno| report_write_error(cx, errno.into()))
            }
            Position::Own => write(cx, to, &mut bytes),
        };
        let moved = *written.as_ref().unwrap_or(&0);
        if moved < got {
            end.pipe().put_back(frame, offset + moved, got - moved);
        }
        target.advance(moved as u64);
        done += moved;
        match written {
            Err(error) => return done_or(done, error),
            Ok(moved) if moved < got => break,
            Ok(_) => {}
        }
    }
    Ok(done)
}

/// Moves bytes into a pipe, a page at a time.
fn to_pipe(
    cx: &Context<'_>,
    from: &Description,
    source: &mut Position,
    to: &Description,
    end: &PipeEnd,
    len: usize,
    nonblocking: bool,
) -> SysResult<usize> {
    let mut done = 0;
    while done < len {
        let room = || match end.pipe().readers() {
            0 => Err(Errno::EPIPE),
            _ if end.readiness().intersects(Readiness::WRITE) => Ok(()),
            _ => Err(Errno::EAGAIN),
        };
        let ready = if done > 0 || nonblocking {
            room().map_err(SysError::from)
        } else {
            wait(cx, to, Readiness::WRITE, room)
        };
        if let Err(error) = ready {
            return done_or(done, report_write_error(cx, error));
        }
        let mut page = [0; PAGE_SIZE];
        let want = (len - done).min(PAGE_SIZE);
        let mut buffer = Dest::kernel(&mut page[..want]);
        let start = from.file().filter(|_| from.seekable()).map(|file| (file, start_of(file, source)));
        let got = match (&start, from.object()) {
            (Some((file, start)), _) if file.kind() != Kind::Directory => {
                file.read_at(*start, &mut buffer).map_err(SysError::from)
            }
            (Some(_), _) => Err(Errno::EINVAL.into()),
            (None, _) if done > 0 || nonblocking => from.read(cx, &mut buffer).map_err(SysError::from),
            (None, _) => wait(cx, from, Readiness::READ, || from.read(cx, &mut buffer)),
        };
        let got = match got {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) => return done_or(done, error),
        };
        if let Err(error) = give(cx, to, end, &page[..got]) {
            return done_or(done, error);
        }
        if let Some((file, start)) = start {
            consumed(file, source, start, got);
        }
        done += got;
        if got < want {
            break;
        }
    }
    Ok(done)
}

/// Puts bytes that were read already into a pipe, waiting if somebody else filled it meanwhile.
fn give(cx: &Context<'_>, to: &Description, end: &PipeEnd, bytes: &[u8]) -> SysResult<()> {
    let frame = Frame::zeroed().map_err(|_| Errno::ENOMEM)?;
    frame.write(0, bytes);
    let step = || end.pipe().give(frame.clone(), 0, bytes.len());
    let register = |waker: &_| to.watch(cx.thread, Readiness::WRITE, waker, Sharing::Exclusive);
    block::until_woken(cx, register, None, step).map_err(|error| report_write_error(cx, error))
}

/// `tee(2)`.
pub(crate) fn sys_tee(cx: &Context<'_>, input: Fd, out: Fd, len: usize, flags: Flags) -> SysResult<usize> {
    if flags.0 & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    let (from, to) = (cx.files().get(input)?, cx.files().get(out)?);
    if !from.readable() || !to.writable() {
        return Err(Errno::EBADF.into());
    }
    let (Some(source), Some(target)) = (pipe_of(&from), pipe_of(&to)) else {
        return Err(Errno::EINVAL.into());
    };
    let step = || source.pipe().tee(target.pipe(), len.min(MAX_RW));
    if flags.0 & SPLICE_F_NONBLOCK != 0 {
        return step().map_err(|errno| report_write_error(cx, errno.into()));
    }
    let register = |waker: &_| {
        [
            from.watch(cx.thread, Readiness::READ, waker, Sharing::All),
            to.watch(cx.thread, Readiness::WRITE, waker, Sharing::All),
        ]
    };
    block::until_woken(cx, register, None, step).map_err(|error| report_write_error(cx, error))
}

/// `vmsplice(2)`: memory into a pipe, or a pipe into memory. The bytes are copied, which a program cannot tell from a
/// gift that it keeps its hands off.
pub(crate) fn sys_vmsplice(
    cx: &Context<'_>,
    fd: Fd,
    vector: UserPtr<Iovec, In>,
    count: usize,
    flags: Flags,
) -> SysResult<usize> {
    if flags.0 & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let description = cx.files().get(fd)?;
    let Some(end) = pipe_of(&description) else { return Err(Errno::EBADF.into()) };
    let ranges = read_vector(cx, vector, count)?;
    if ranges.iter().all(|r| r.len == 0) {
        return Ok(0);
    }
    let nonblocking = flags.0 & SPLICE_F_NONBLOCK != 0;
    if end.side().contains(Side::WRITE) {
        let mut from = Source::user_ranges(cx.memory(), &ranges);
        if nonblocking {
            return description.write(cx, &mut from).map_err(|errno| report_write_error(cx, errno.into()));
        }
        return write(cx, &description, &mut from);
    }
    let mut to = Dest::user_ranges(cx.memory(), &ranges);
    if nonblocking {
        return Ok(description.read(cx, &mut to)?);
    }
    wait(cx, &description, Readiness::READ, || description.read(cx, &mut to))
}
