//! Extended attributes (`xattr(7)`).

use alloc::vec::Vec;

use abi::fs::{XATTR_CREATE, XATTR_LIST_MAX, XATTR_NAME_MAX, XATTR_REPLACE, XATTR_SIZE_MAX};
use abi::{Errno, Result};
use hal::UserAddr;
use vfs::{Follow, Place, XattrMode};

use super::at::{self, Origin};
use crate::decode::{Fd, Flags, InBuf, OutBuf, UserPath, read_string};
use crate::{Context, SysResult};

/// Which file a call means.
enum Which {
    Path(UserPath, Follow),
    Descriptor(Fd),
}

impl Which {
    fn find(&self, cx: &Context<'_>) -> Result<Place> {
        match *self {
            Self::Path(path, follow) => {
                let path = at::read_path(cx, path)?;
                Origin::cwd(cx).walk().lookup(&path, follow)
            }
            Self::Descriptor(fd) => {
                let description = cx.files().get(fd)?;
                if description.is_path_only() {
                    return Err(Errno::EBADF);
                }
                description.place().ok_or(Errno::EOPNOTSUPP)
            }
        }
    }
}

/// Copies an attribute's name in.
///
/// # Errors
/// `EFAULT`; `ERANGE` if it is empty or too long.
fn read_name(cx: &Context<'_>, at: UserAddr) -> Result<Vec<u8>> {
    let name = read_string(cx.memory(), at, XATTR_NAME_MAX + 1)?.ok_or(Errno::ERANGE)?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}

fn set(cx: &Context<'_>, which: &Which, name: UserAddr, value: InBuf, flags: Flags) -> SysResult<()> {
    if flags.0 & !(XATTR_CREATE | XATTR_REPLACE) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let name = read_name(cx, name)?;
    if value.0.len > XATTR_SIZE_MAX {
        return Err(Errno::E2BIG.into());
    }
    let mut bytes = alloc::vec![0; value.0.len];
    cx.memory().copy_in(value.0.start, &mut bytes)?;
    let place = which.find(cx)?;
    let mode = match flags.0 {
        0 => XattrMode::Either,
        XATTR_CREATE => XattrMode::Create,
        XATTR_REPLACE => XattrMode::Replace,
        // Both at once: one of them cannot hold.
        _ => {
            let who = at::file_credentials(&cx.credentials());
            let there = place.xattr(&name, &who).is_ok();
            return Err(if there { Errno::EEXIST } else { Errno::ENODATA }.into());
        }
    };
    Ok(place.set_xattr(&name, &bytes, mode, &at::file_credentials(&cx.credentials()))?)
}

/// Gives out a result, or only its length where the buffer's is zero.
fn give(cx: &Context<'_>, bytes: &[u8], to: OutBuf, max: usize) -> SysResult<usize> {
    if to.0.len == 0 {
        return Ok(bytes.len());
    }
    if bytes.len() > to.0.len.min(max) {
        // LINUX: a result that no buffer could hold is E2BIG.
        return Err(if to.0.len >= max { Errno::E2BIG } else { Errno::ERANGE }.into());
    }
    cx.memory().copy_out(to.0.start, bytes)?;
    Ok(bytes.len())
}

fn get(cx: &Context<'_>, which: &Which, name: UserAddr, to: OutBuf) -> SysResult<usize> {
    let (place, name) = match which {
        Which::Descriptor(_) => (which.find(cx)?, read_name(cx, name)?),
        Which::Path(..) => {
            let name = read_name(cx, name)?;
            (which.find(cx)?, name)
        }
    };
    let value = place.xattr(&name, &at::file_credentials(&cx.credentials()))?;
    give(cx, &value, to, XATTR_SIZE_MAX)
}

fn list(cx: &Context<'_>, which: &Which, to: OutBuf) -> SysResult<usize> {
    let names = which.find(cx)?.list_xattr(&at::file_credentials(&cx.credentials()))?;
    give(cx, &names, to, XATTR_LIST_MAX)
}

fn remove(cx: &Context<'_>, which: &Which, name: UserAddr) -> SysResult<()> {
    let name = read_name(cx, name)?;
    let place = which.find(cx)?;
    Ok(place.remove_xattr(&name, &at::file_credentials(&cx.credentials()))?)
}

/// `setxattr(2)`.
pub(crate) fn sys_setxattr(
    cx: &Context<'_>,
    path: UserPath,
    name: UserAddr,
    value: InBuf,
    flags: Flags,
) -> SysResult<()> {
    set(cx, &Which::Path(path, Follow::Yes), name, value, flags)
}

/// `lsetxattr(2)`.
pub(crate) fn sys_lsetxattr(
    cx: &Context<'_>,
    path: UserPath,
    name: UserAddr,
    value: InBuf,
    flags: Flags,
) -> SysResult<()> {
    set(cx, &Which::Path(path, Follow::No), name, value, flags)
}

/// `fsetxattr(2)`.
pub(crate) fn sys_fsetxattr(
    cx: &Context<'_>,
    fd: Fd,
    name: UserAddr,
    value: InBuf,
    flags: Flags,
) -> SysResult<()> {
    set(cx, &Which::Descriptor(fd), name, value, flags)
}

/// `getxattr(2)`.
pub(crate) fn sys_getxattr(cx: &Context<'_>, path: UserPath, name: UserAddr, to: OutBuf) -> SysResult<usize> {
    get(cx, &Which::Path(path, Follow::Yes), name, to)
}

/// `lgetxattr(2)`.
pub(crate) fn sys_lgetxattr(
    cx: &Context<'_>,
    path: UserPath,
    name: UserAddr,
    to: OutBuf,
) -> SysResult<usize> {
    get(cx, &Which::Path(path, Follow::No), name, to)
}

/// `fgetxattr(2)`.
pub(crate) fn sys_fgetxattr(cx: &Context<'_>, fd: Fd, name: UserAddr, to: OutBuf) -> SysResult<usize> {
    get(cx, &Which::Descriptor(fd), name, to)
}

/// `listxattr(2)`.
pub(crate) fn sys_listxattr(cx: &Context<'_>, path: UserPath, to: OutBuf) -> SysResult<usize> {
    list(cx, &Which::Path(path, Follow::Yes), to)
}

/// `llistxattr(2)`.
pub(crate) fn sys_llistxattr(cx: &Context<'_>, path: UserPath, to: OutBuf) -> SysResult<usize> {
    list(cx, &Which::Path(path, Follow::No), to)
}

/// `flistxattr(2)`.
pub(crate) fn sys_flistxattr(cx: &Context<'_>, fd: Fd, to: OutBuf) -> SysResult<usize> {
    list(cx, &Which::Descriptor(fd), to)
}

/// `removexattr(2)`.
pub(crate) fn sys_removexattr(cx: &Context<'_>, path: UserPath, name: UserAddr) -> SysResult<()> {
    remove(cx, &Which::Path(path, Follow::Yes), name)
}

/// `lremovexattr(2)`.
pub(crate) fn sys_lremovexattr(cx: &Context<'_>, path: UserPath, name: UserAddr) -> SysResult<()> {
    remove(cx, &Which::Path(path, Follow::No), name)
}

/// `fremovexattr(2)`.
pub(crate) fn sys_fremovexattr(cx: &Context<'_>, fd: Fd, name: UserAddr) -> SysResult<()> {
    remove(cx, &Which::Descriptor(fd), name)
}
