//! `inotify(7)`.

use alloc::sync::Arc;

use abi::Errno;
use abi::inotify::{
    IN_ALL_EVENTS, IN_CLOEXEC, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_ISDIR, IN_MASK_ADD, IN_MASK_CREATE,
    IN_NONBLOCK, IN_ONESHOT, IN_ONLYDIR, IN_UNMOUNT,
};
use vfs::{Follow, Want};

use super::at::{self, Origin};
use super::file::install;
use crate::decode::{Fd, Flags, UserPath};
use crate::inotify::Inotify;
use crate::proc::{CloseOnExec, Description, Object};
use crate::{Context, SysResult};

/// `inotify_init(2)`.
pub(crate) fn sys_inotify_init(cx: &Context<'_>) -> SysResult<i32> {
    init(cx, 0)
}

/// `inotify_init1(2)`.
pub(crate) fn sys_inotify_init1(cx: &Context<'_>, flags: Flags) -> SysResult<i32> {
    init(cx, flags.0)
}

fn init(cx: &Context<'_>, flags: u32) -> SysResult<i32> {
    if flags & !(IN_CLOEXEC | IN_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    // A system that is not connected to its tree of files has no first process that could ask.
    let hub = cx.system().files.hub.get().ok_or(Errno::ENOSYS)?;
    let description = Description::new(Object::Inotify(Inotify::new(hub)), flags & IN_NONBLOCK);
    Ok(install(cx, description, CloseOnExec::from_bit(flags & IN_CLOEXEC != 0))?.0)
}

fn instance(cx: &Context<'_>, fd: Fd) -> abi::Result<Arc<Inotify>> {
    match cx.files().get(fd)?.object() {
        Object::Inotify(inotify) => Ok(Arc::clone(inotify)),
        _ => Err(Errno::EINVAL),
    }
}

/// `inotify_add_watch(2)`.
pub(crate) fn sys_inotify_add_watch(cx: &Context<'_>, fd: Fd, path: UserPath, mask: Flags) -> SysResult<i32> {
    let mask = mask.0;
    let known = IN_ALL_EVENTS
        | IN_UNMOUNT
        | IN_ONLYDIR
        | IN_DONT_FOLLOW
        | IN_EXCL_UNLINK
        | IN_MASK_CREATE
        | IN_MASK_ADD
        | IN_ISDIR
        | IN_ONESHOT;
    if mask & known == 0 {
        return Err(Errno::EINVAL.into());
    }
    cx.files().get(fd)?;
    if mask & IN_MASK_ADD != 0 && mask & IN_MASK_CREATE != 0 {
        return Err(Errno::EINVAL.into());
    }
    let inotify = instance(cx, fd)?;
    let path = at::read_path(cx, path)?;
    let origin = Origin::cwd(cx);
    let follow = if mask & IN_DONT_FOLLOW != 0 { Follow::No } else { Follow::Yes };
    let place = origin.walk().lookup(&path, follow)?;
    if mask & IN_ONLYDIR != 0 && !place.is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    vfs::credentials::check(&**place.node(), Want::READ, origin.credentials())?;
    Ok(inotify.watch(place.node(), mask)?)
}

/// `inotify_rm_watch(2)`.
pub(crate) fn sys_inotify_rm_watch(cx: &Context<'_>, fd: Fd, wd: i32) -> SysResult<()> {
    Ok(instance(cx, fd)?.unwatch(wd)?)
}
