//! `ioctl(2)`: what every file knows, and what each kind of file adds.

use abi::Errno;
use abi::fs::{FASYNC, O_NONBLOCK};
use abi::ioctl::{
    FIGETBSZ, FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, FIOQSIZE, FS_IOC_FSGETXATTR, FS_IOC_GETFLAGS,
    FS_IOC_SETFLAGS, RNDADDENTROPY, RNDADDTOENTCNT, RNDCLEARPOOL, RNDGETENTCNT, RNDRESEEDCRNG, RNDZAPENTCNT,
};
use hal::UserAddr;
use vfs::{Kind, OpenFile};

use super::{at, fasync, socket};
use crate::decode::{Fd, In, Out, UserPtr};
use crate::files::PipeNode;
use crate::proc::{Capability, CloseOnExec, Object};
use crate::{Context, SysResult, tty};

/// `ioctl(2)`.
pub(crate) fn sys_ioctl(cx: &Context<'_>, fd: Fd, request: u32, argument: u64) -> SysResult<i64> {
    let description = cx.files().get(fd)?;
    if description.is_path_only() {
        return Err(Errno::EBADF.into());
    }
    let at = UserAddr(argument);
    match request {
        FIOCLEX | FIONCLEX => {
            cx.files().set_close_on_exec(fd, CloseOnExec::from_bit(request == FIOCLEX))?;
            return Ok(0);
        }
        FIONBIO | FIOASYNC => {
            let on = UserPtr::<i32, In>::new(at).read(cx)? != 0;
            let bit = if request == FIONBIO { O_NONBLOCK } else { FASYNC };
            let old = description.flags();
            let flags = if on { old | bit } else { old & !bit };
            at::as_caller(cx, |caller| description.set_flags(flags, caller))?;
            if request == FIOASYNC && old != flags {
                fasync::switch(cx, fd, &description, on);
            }
            return Ok(0);
        }
        _ => {}
    }
    match description.object() {
        Object::Node(file) => node(cx, file, request, at),
        Object::Tty(tty) => tty::ioctl::ioctl(cx, tty, request, argument),
        Object::Pipe(pipe) if request == FIONREAD => give_int(cx, at, pipe.end.pipe().len()),
        Object::Socket(file) => socket::ioctl(cx, &description, file, request, at),
        Object::Inotify(inotify) if request == FIONREAD => give_int(cx, at, inotify.available()),
        _ => Err(Errno::ENOTTY.into()),
    }
}

fn give_int(cx: &Context<'_>, at: UserAddr, value: usize) -> SysResult<i64> {
    let value = i32::try_from(value).unwrap_or(i32::MAX);
    UserPtr::<i32, Out>::new(at).write(cx, &value)?;
    Ok(0)
}

fn node(cx: &Context<'_>, file: &OpenFile, request: u32, at: UserAddr) -> SysResult<i64> {
    match (file.kind(), request) {
        (Kind::Fifo, FIONREAD) => {
            match file.node().downcast_ref::<PipeNode>().and_then(PipeNode::available) {
                Some(len) => give_int(cx, at, len),
                None => Err(Errno::ENOTTY.into()),
            }
        }
        (Kind::File, FIONREAD) => give_int(
            cx,
            at,
            usize::try_from(file.node().size().saturating_sub(file.offset())).unwrap_or(usize::MAX),
        ),
        (Kind::File | Kind::Directory, FIGETBSZ) => {
            let size = file.place().mount.tree.file_system.status().block_size;
            give_int(cx, at, usize::try_from(size).unwrap_or(usize::MAX))
        }
        (Kind::File | Kind::Directory | Kind::Symlink, FIOQSIZE) => {
            UserPtr::<i64, Out>::new(at).write(cx, &file.node().size().cast_signed())?;
            Ok(0)
        }
        // File systems here keep no such flags: reading answers as those of Linux that keep none.
        (Kind::File | Kind::Directory, FS_IOC_GETFLAGS | FS_IOC_SETFLAGS | FS_IOC_FSGETXATTR) => {
            Err(Errno::ENOTTY.into())
        }
        (Kind::CharDevice, _) if is_random(file) => random(cx, request, at),
        _ => Err(Errno::ENOTTY.into()),
    }
}

/// Says whether this is `/dev/random` or `/dev/urandom` (1:8, 1:9).
fn is_random(file: &OpenFile) -> bool {
    matches!(vfs::fs::dev::parts(file.node().metadata().rdev), (1, 8 | 9))
}

/// Requests on the random device (`random(4)`).
fn random(cx: &Context<'_>, request: u32, at: UserAddr) -> SysResult<i64> {
    /// Bits that a seeded generator reports.
    const ENTROPY_BITS: usize = 256;
    let admin = cx.credentials().can(Capability::SysAdmin);
    match request {
        RNDGETENTCNT => give_int(cx, at, ENTROPY_BITS),
        RNDADDTOENTCNT | RNDADDENTROPY | RNDZAPENTCNT | RNDCLEARPOOL | RNDRESEEDCRNG if !admin => {
            Err(Errno::EPERM.into())
        }
        RNDADDTOENTCNT => {
            let count = UserPtr::<i32, In>::new(at).read(cx)?;
            if count < 0 { Err(Errno::EINVAL.into()) } else { Ok(0) }
        }
        RNDADDENTROPY => {
            let [count, len] = UserPtr::<[i32; 2], In>::new(at).read(cx)?;
            let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
            if count < 0 {
                return Err(Errno::EINVAL.into());
            }
            let mut bytes = [0; 256];
            let mut from = at.offset(8);
            let mut left = len;
            while left > 0 {
                let part = left.min(bytes.len());
                cx.memory().copy_in(from, &mut bytes[..part])?;
                cx.platform().entropy.mix(&bytes[..part]);
                from = from.offset(part as u64);
                left -= part;
            }
            Ok(0)
        }
        // The count of entropy is not kept, so that there is nothing to clear; the generator reseeds by itself.
        RNDZAPENTCNT | RNDCLEARPOOL | RNDRESEEDCRNG => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}
