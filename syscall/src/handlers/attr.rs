//! Changing what is said about files: mode, owner, times, size by path.

use abi::fs::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, Utimbuf};
use abi::time::{Timespec, Timeval};
use abi::{Errno, Result};
use vfs::{Follow, Place, SetTime, Time};

use super::at::{self, CWD, Origin, Target};
use super::stat::follow;
use crate::decode::{Fd, Flags, In, Mode, UserPath, UserPtr};
use crate::{Context, SysResult};

/// `chmod(2)`.
pub(crate) fn sys_chmod(cx: &Context<'_>, path: UserPath, mode: Mode) -> SysResult<()> {
    chmod(cx, CWD, path, mode)
}

/// `fchmodat(2)`, the system call: three arguments.
pub(crate) fn sys_fchmodat(cx: &Context<'_>, fd: Fd, path: UserPath, mode: Mode) -> SysResult<()> {
    chmod(cx, fd, path, mode)
}

fn chmod(cx: &Context<'_>, fd: Fd, path: UserPath, mode: Mode) -> SysResult<()> {
    let path = at::read_path(cx, path)?;
    let origin = Origin::at(cx, fd, &path)?;
    let place = origin.walk().lookup(&path, Follow::Yes)?;
    Ok(place.set_mode(mode.0, origin.credentials())?)
}

/// `fchmod(2)`.
pub(crate) fn sys_fchmod(cx: &Context<'_>, fd: Fd, mode: Mode) -> SysResult<()> {
    let place = changeable(cx, fd)?;
    Ok(place.set_mode(mode.0, &at::file_credentials(&cx.credentials()))?)
}

/// Returns the place behind a descriptor whose attributes are to change.
///
/// # Errors
/// `EBADF` for none, or one opened with `O_PATH`; `EPERM` where there is no place.
fn changeable(cx: &Context<'_>, fd: Fd) -> Result<Place> {
    let description = cx.files().get(fd)?;
    if description.is_path_only() {
        return Err(Errno::EBADF);
    }
    description.place().ok_or(Errno::EPERM)
}

/// `chown(2)`.
pub(crate) fn sys_chown(cx: &Context<'_>, path: UserPath, uid: u32, gid: u32) -> SysResult<()> {
    chown(cx, CWD, path, uid, gid, 0)
}

/// `lchown(2)`.
pub(crate) fn sys_lchown(cx: &Context<'_>, path: UserPath, uid: u32, gid: u32) -> SysResult<()> {
    chown(cx, CWD, path, uid, gid, AT_SYMLINK_NOFOLLOW)
}

/// `fchownat(2)`.
pub(crate) fn sys_fchownat(
    cx: &Context<'_>,
    fd: Fd,
    path: UserPath,
    uid: u32,
    gid: u32,
    flags: Flags,
) -> SysResult<()> {
    if flags.0 & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    chown(cx, fd, path, uid, gid, flags.0)
}

fn chown(cx: &Context<'_>, fd: Fd, path: UserPath, uid: u32, gid: u32, flags: u32) -> SysResult<()> {
    let path = at::read_path_or_empty(cx, path, flags)?;
    match at::find(cx, fd, &path, follow(flags))? {
        Target::Place(place) => set_owner(cx, &place, uid, gid),
        Target::Description(_) => Err(Errno::EPERM.into()),
    }
}

/// `fchown(2)`.
pub(crate) fn sys_fchown(cx: &Context<'_>, fd: Fd, uid: u32, gid: u32) -> SysResult<()> {
    let place = changeable(cx, fd)?;
    set_owner(cx, &place, uid, gid)
}

fn set_owner(cx: &Context<'_>, place: &Place, uid: u32, gid: u32) -> SysResult<()> {
    let keep = |id: u32| (id != u32::MAX).then_some(id);
    Ok(place.set_owner(keep(uid), keep(gid), &at::file_credentials(&cx.credentials()))?)
}

const UTIME_NOW: i64 = (1 << 30) - 1;
const UTIME_OMIT: i64 = (1 << 30) - 2;

/// `utime(2)`.
pub(crate) fn sys_utime(cx: &Context<'_>, path: UserPath, times: UserPtr<Utimbuf, In>) -> SysResult<()> {
    let times = match times.non_null() {
        None => [SetTime::Now; 2],
        Some(times) => {
            let times = times.read(cx)?;
            [times.actime, times.modtime].map(|seconds| SetTime::To(Time { seconds, nanoseconds: 0 }))
        }
    };
    set_times_at(cx, CWD, path, times, 0)
}

/// `utimes(2)`.
pub(crate) fn sys_utimes(cx: &Context<'_>, path: UserPath, times: UserPtr<Timeval, In>) -> SysResult<()> {
    futimes(cx, CWD, path, times)
}

/// `futimesat(2)`.
pub(crate) fn sys_futimesat(
    cx: &Context<'_>,
    fd: Fd,
    path: UserPath,
    times: UserPtr<Timeval, In>,
) -> SysResult<()> {
    futimes(cx, fd, path, times)
}

fn futimes(cx: &Context<'_>, fd: Fd, path: UserPath, times: UserPtr<Timeval, In>) -> SysResult<()> {
    let times = match times.non_null() {
        None => [SetTime::Now; 2],
        Some(times) => {
            let both = [times.read(cx)?, times.add(1).read(cx)?];
            let mut set = [SetTime::Now; 2];
            for (set, time) in set.iter_mut().zip(both) {
                let micros = u32::try_from(time.tv_usec).ok().filter(|&us| us < 1_000_000);
                let nanoseconds = micros.ok_or(Errno::EINVAL)? * 1000;
                *set = SetTime::To(Time { seconds: time.tv_sec, nanoseconds });
            }
            set
        }
    };
    set_times_at(cx, fd, path, times, 0)
}

/// `utimensat(2)`; the null path means the descriptor itself.
pub(crate) fn sys_utimensat(
    cx: &Context<'_>,
    fd: Fd,
    path: UserPath,
    times: UserPtr<Timespec, In>,
    flags: Flags,
) -> SysResult<()> {
    let times = match times.non_null() {
        None => [SetTime::Now; 2],
        Some(times) => {
            let both = [times.read(cx)?, times.add(1).read(cx)?];
            // LINUX: where both are to stay, nothing else is looked at.
            if both.iter().all(|t| t.tv_nsec == UTIME_OMIT) {
                return Ok(());
            }
            [set_time(both[0])?, set_time(both[1])?]
        }
    };
    set_times_at(cx, fd, path, times, flags.0)
}

fn set_time(time: Timespec) -> Result<SetTime> {
    Ok(match time.tv_nsec {
        UTIME_OMIT => SetTime::Omit,
        UTIME_NOW => SetTime::Now,
        ns => {
            let nanoseconds = u32::try_from(ns).ok().filter(|&ns| ns < 1_000_000_000).ok_or(Errno::EINVAL)?;
            SetTime::To(Time { seconds: time.tv_sec, nanoseconds })
        }
    })
}

fn set_times_at(cx: &Context<'_>, fd: Fd, path: UserPath, times: [SetTime; 2], flags: u32) -> SysResult<()> {
    let place = if path.0.is_null() && fd != CWD {
        if flags != 0 {
            return Err(Errno::EINVAL.into());
        }
        changeable(cx, fd)?
    } else {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let path = match flags & AT_EMPTY_PATH != 0 {
            true => path.read(cx)?,
            false => at::read_path(cx, path)?,
        };
        match at::find(cx, fd, &path, follow(flags))? {
            Target::Place(place) => place,
            Target::Description(_) => return Err(Errno::EPERM.into()),
        }
    };
    Ok(place.set_times(times[0], times[1], &at::file_credentials(&cx.credentials()))?)
}

/// `truncate(2)`.
pub(crate) fn sys_truncate(cx: &Context<'_>, path: UserPath, size: i64) -> SysResult<()> {
    let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
    let path = at::read_path(cx, path)?;
    let origin = Origin::cwd(cx);
    let place = origin.walk().lookup(&path, Follow::Yes)?;
    let result = place.truncate(size, &origin.caller());
    super::io::report_size_limit(cx, result)
}

/// `ftruncate(2)`.
pub(crate) fn sys_ftruncate(cx: &Context<'_>, fd: Fd, size: i64) -> SysResult<()> {
    let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
    let description = cx.files().get(fd)?;
    let result = description.truncate(size, &Origin::cwd(cx).caller());
    super::io::report_size_limit(cx, result)
}
