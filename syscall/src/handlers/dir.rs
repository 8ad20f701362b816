//! Names and directories: making, removing, renaming, listing, and where a process stands.

use alloc::vec::Vec;

use abi::fs::{
    AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, LINUX_DIRENT_NAME, LINUX_DIRENT64_NAME, RENAME_EXCHANGE,
    RENAME_NOREPLACE, RENAME_WHITEOUT, S_IFMT, S_IFREG,
};
use abi::{Errno, Result};
use hal::UserAddr;
use vfs::{Capabilities, Follow, Kind, PathText};

use super::at::{self, CWD, Origin};
use crate::decode::{Fd, Flags, Mode, OutBuf, UserPath};
use crate::proc::Capability;
use crate::{Context, SysResult};

/// `mkdir(2)`.
pub(crate) fn sys_mkdir(cx: &Context<'_>, path: UserPath, mode: Mode) -> SysResult<()> {
    mkdir(cx, CWD, path, mode)
}

/// `mkdirat(2)`.
pub(crate) fn sys_mkdirat(cx: &Context<'_>, fd: Fd, path: UserPath, mode: Mode) -> SysResult<()> {
    mkdir(cx, fd, path, mode)
}

fn mkdir(cx: &Context<'_>, fd: Fd, path: UserPath, mode: Mode) -> SysResult<()> {
    let path = at::read_path(cx, path)?;
    Origin::at(cx, fd, &path)?.walk().make_directory(&path, mode.0)?;
    Ok(())
}

/// `rmdir(2)`.
pub(crate) fn sys_rmdir(cx: &Context<'_>, path: UserPath) -> SysResult<()> {
    let path = at::read_path(cx, path)?;
    Ok(Origin::cwd(cx).walk().remove_directory(&path)?)
}

/// `unlink(2)`.
pub(crate) fn sys_unlink(cx: &Context<'_>, path: UserPath) -> SysResult<()> {
    let path = at::read_path(cx, path)?;
    Ok(Origin::cwd(cx).walk().unlink(&path)?)
}

/// `unlinkat(2)`.
pub(crate) fn sys_unlinkat(cx: &Context<'_>, fd: Fd, path: UserPath, flags: Flags) -> SysResult<()> {
    if flags.0 & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = at::read_path(cx, path)?;
    let origin = Origin::at(cx, fd, &path)?;
    let walk = origin.walk();
    Ok(if flags.0 & AT_REMOVEDIR != 0 { walk.remove_directory(&path) } else { walk.unlink(&path) }?)
}

/// `link(2)`.
pub(crate) fn sys_link(cx: &Context<'_>, old: UserPath, new: UserPath) -> SysResult<()> {
    link(cx, CWD, old, CWD, new, 0)
}

/// `linkat(2)`.
pub(crate) fn sys_linkat(
    cx: &Context<'_>,
    old_fd: Fd,
    old: UserPath,
    new_fd: Fd,
    new: UserPath,
    flags: Flags,
) -> SysResult<()> {
    if flags.0 & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    link(cx, old_fd, old, new_fd, new, flags.0)
}

fn link(cx: &Context<'_>, old_fd: Fd, old: UserPath, new_fd: Fd, new: UserPath, flags: u32) -> SysResult<()> {
    let old = at::read_path_or_empty(cx, old, flags)?;
    let new = at::read_path(cx, new)?;
    // LINUX: a file without a path may be linked only with a capability, for its descriptor may have been passed on.
    if old.is_empty() && !cx.credentials().can(Capability::DacReadSearch) {
        return Err(Errno::ENOENT.into());
    }
    let follow = if flags & AT_SYMLINK_FOLLOW != 0 { Follow::Yes } else { Follow::No };
    let source = at::find_place(cx, old_fd, &old, follow).map_err(|e| match e {
        Errno::EOPNOTSUPP => Errno::EXDEV,
        other => other,
    })?;
    Ok(Origin::at(cx, new_fd, &new)?.walk().make_link(&new, &source)?)
}

/// `symlink(2)`.
pub(crate) fn sys_symlink(cx: &Context<'_>, target: UserPath, path: UserPath) -> SysResult<()> {
    symlink(cx, target, CWD, path)
}

/// `symlinkat(2)`.
pub(crate) fn sys_symlinkat(cx: &Context<'_>, target: UserPath, fd: Fd, path: UserPath) -> SysResult<()> {
    symlink(cx, target, fd, path)
}

fn symlink(cx: &Context<'_>, target: UserPath, fd: Fd, path: UserPath) -> SysResult<()> {
    let target = at::read_path(cx, target)?;
    let path = at::read_path(cx, path)?;
    Origin::at(cx, fd, &path)?.walk().make_symlink(&path, &target)?;
    Ok(())
}

/// `rename(2)`.
pub(crate) fn sys_rename(cx: &Context<'_>, old: UserPath, new: UserPath) -> SysResult<()> {
    rename(cx, CWD, old, CWD, new, 0)
}

/// `renameat(2)`.
pub(crate) fn sys_renameat(
    cx: &Context<'_>,
    old_fd: Fd,
    old: UserPath,
    new_fd: Fd,
    new: UserPath,
) -> SysResult<()> {
    rename(cx, old_fd, old, new_fd, new, 0)
}

/// `renameat2(2)`.
pub(crate) fn sys_renameat2(
    cx: &Context<'_>,
    old_fd: Fd,
    old: UserPath,
    new_fd: Fd,
    new: UserPath,
    flags: Flags,
) -> SysResult<()> {
    rename(cx, old_fd, old, new_fd, new, flags.0)
}

fn rename(
    cx: &Context<'_>,
    old_fd: Fd,
    old: UserPath,
    new_fd: Fd,
    new: UserPath,
    flags: u32,
) -> SysResult<()> {
    let known = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
    if flags & !known != 0
        || flags & RENAME_EXCHANGE != 0 && flags & (RENAME_NOREPLACE | RENAME_WHITEOUT) != 0
    {
        return Err(Errno::EINVAL.into());
    }
    let old = at::read_path(cx, old)?;
    let new = at::read_path(cx, new)?;
    let (from, to) = (Origin::at(cx, old_fd, &old)?, Origin::at(cx, new_fd, &new)?);
    Ok(from.walk().rename(&old, &to.walk(), &new, flags)?)
}

/// `mknod(2)`.
pub(crate) fn sys_mknod(cx: &Context<'_>, path: UserPath, mode: Mode, device: u32) -> SysResult<()> {
    mknod(cx, CWD, path, mode, device)
}

/// `mknodat(2)`.
pub(crate) fn sys_mknodat(
    cx: &Context<'_>,
    fd: Fd,
    path: UserPath,
    mode: Mode,
    device: u32,
) -> SysResult<()> {
    mknod(cx, fd, path, mode, device)
}

fn mknod(cx: &Context<'_>, fd: Fd, path: UserPath, mode: Mode, device: u32) -> SysResult<()> {
    // A mode without a type means a regular file.
    let typed = if mode.0 & S_IFMT == 0 { mode.0 | S_IFREG } else { mode.0 };
    let kind = match Kind::from_mode(typed) {
        Some(Kind::Directory) => return Err(Errno::EPERM.into()),
        Some(Kind::Symlink | Kind::Anonymous) | None => return Err(Errno::EINVAL.into()),
        Some(kind) => kind,
    };
    let path = at::read_path(cx, path)?;
    let device = if matches!(kind, Kind::CharDevice | Kind::BlockDevice) { u64::from(device) } else { 0 };
    Origin::at(cx, fd, &path)?.walk().make_node(&path, kind, mode.0, device)?;
    Ok(())
}

/// `getcwd(2)`: returns the length with the NUL.
pub(crate) fn sys_getcwd(cx: &Context<'_>, to: OutBuf) -> SysResult<usize> {
    let (root, cwd) = cx.fs().places();
    let mut text = match cwd.working_directory(&root)? {
        PathText::Absolute(text) => text,
        PathText::Unreachable(text) => [b"(unreachable)", text.as_slice()].concat(),
    };
    text.push(0);
    if text.len() > to.0.len {
        return Err(Errno::ERANGE.into());
    }
    cx.memory().copy_out(to.0.start, &text)?;
    Ok(text.len())
}

/// `chdir(2)`.
pub(crate) fn sys_chdir(cx: &Context<'_>, path: UserPath) -> SysResult<()> {
    let path = at::read_path(cx, path)?;
    let place = Origin::cwd(cx).walk().lookup_directory(&path)?;
    cx.fs().set_cwd(place);
    Ok(())
}

/// `fchdir(2)`.
pub(crate) fn sys_fchdir(cx: &Context<'_>, fd: Fd) -> SysResult<()> {
    let place = cx.files().get(fd)?.place().ok_or(Errno::ENOTDIR)?;
    if !place.is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    vfs::credentials::check(&**place.node(), vfs::Want::EXEC, &at::file_credentials(&cx.credentials()))?;
    cx.fs().set_cwd(place);
    Ok(())
}

/// `chroot(2)`. The working directory stays where it is.
pub(crate) fn sys_chroot(cx: &Context<'_>, path: UserPath) -> SysResult<()> {
    let path = at::read_path(cx, path)?;
    let place = Origin::cwd(cx).walk().lookup_directory(&path)?;
    if !cx.credentials().can(Capability::SysChroot) {
        return Err(Errno::EPERM.into());
    }
    cx.fs().set_root(place);
    Ok(())
}

/// `umask(2)`.
pub(crate) fn sys_umask(cx: &Context<'_>, mask: u32) -> u32 {
    cx.fs().set_umask(mask)
}

/// `getdents64(2)`.
pub(crate) fn sys_getdents64(cx: &Context<'_>, fd: Fd, to: OutBuf) -> SysResult<usize> {
    getdents(cx, fd, to, Format::Long)
}

/// `getdents(2)`.
pub(crate) fn sys_getdents(cx: &Context<'_>, fd: Fd, to: OutBuf) -> SysResult<usize> {
    getdents(cx, fd, to, Format::Old)
}

/// How an entry is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `struct linux_dirent64`.
    Long,
    /// `struct linux_dirent`, with the type in the last byte.
    Old,
}

impl Format {
    fn record_len(self, name: usize) -> usize {
        let bytes = match self {
            Self::Long => LINUX_DIRENT64_NAME + name + 1,
            Self::Old => LINUX_DIRENT_NAME + name + 2,
        };
        bytes.next_multiple_of(8)
    }

    fn put(self, out: &mut Vec<u8>, entry: &vfs::DirEntry<'_>) {
        let start = out.len();
        let len = self.record_len(entry.name.len());
        out.extend_from_slice(&entry.ino.to_ne_bytes());
        out.extend_from_slice(&entry.next.to_ne_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "a name has at most 255 bytes")]
        out.extend_from_slice(&(len as u16).to_ne_bytes());
        if self == Self::Long {
            out.push(entry.kind.entry_type());
        }
        out.extend_from_slice(entry.name);
        out.resize(start + len, 0);
        if self == Self::Old
            && let Some(last) = out.last_mut()
        {
            *last = entry.kind.entry_type();
        }
    }
}

fn getdents(cx: &Context<'_>, fd: Fd, to: OutBuf, format: Format) -> SysResult<usize> {
    let description = cx.files().get(fd)?;
    let file = description.directory()?;
    // The length is an `unsigned int`. More than a megabyte at once is of no use, and would have to be allocated.
    let len = (to.0.len & 0xffff_ffff).min(1 << 20);
    let mut out = Vec::new();
    let mut refused = false;
    let before = file.offset();
    file.read_dir(&mut |entry| {
        let fits = out.len() + format.record_len(entry.name.len()) <= len;
        if fits {
            format.put(&mut out, entry);
        } else {
            refused = true;
        }
        fits
    })?;
    if out.is_empty() && refused {
        return Err(Errno::EINVAL.into());
    }
    if let Err(fault) = cx.memory().copy_out(to.0.start, &out) {
        // Nothing was told, so that the next call tells it.
        file.set_offset(before);
        return Err(fault.into());
    }
    Ok(out.len())
}

/// `name_to_handle_at(2)`: file systems here give out no handles, as Linux's do that cannot be exported.
pub(crate) fn sys_name_to_handle_at(
    cx: &Context<'_>,
    fd: Fd,
    path: UserPath,
    _handle: UserAddr,
    _mount: UserAddr,
    flags: Flags,
) -> SysResult<()> {
    const AT_HANDLE_FID: u32 = 0x200;
    if flags.0 & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | AT_HANDLE_FID) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = at::read_path_or_empty(cx, path, flags.0)?;
    let follow = if flags.0 & AT_SYMLINK_FOLLOW != 0 { Follow::Yes } else { Follow::No };
    at::find(cx, fd, &path, follow)?;
    Err(Errno::EOPNOTSUPP.into())
}

/// `open_by_handle_at(2)`: no handle was ever given out.
pub(crate) fn sys_open_by_handle_at(
    cx: &Context<'_>,
    _mount: Fd,
    _handle: UserAddr,
    _flags: Flags,
) -> SysResult<()> {
    Err(if cx.credentials().can(Capability::DacReadSearch) { Errno::ESTALE } else { Errno::EPERM }.into())
}

/// Says whether the caller may administer file systems.
pub(crate) fn check_admin(cx: &Context<'_>) -> Result<()> {
    let who = at::file_credentials(&cx.credentials());
    if who.capable(Capabilities::SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) }
}

/// `sysfs(2)`: file system types by number and name.
pub(crate) fn sys_sysfs(cx: &Context<'_>, option: i32, first: u64, second: UserAddr) -> SysResult<usize> {
    let types = super::mount::FILE_SYSTEMS;
    match option {
        1 => {
            let name = at::read_path(cx, UserPath(UserAddr(first))).map_err(|e| match e {
                Errno::ENOENT => Errno::EINVAL,
                other => other,
            })?;
            Ok(types.iter().position(|t| t.name.as_bytes() == name).ok_or(Errno::EINVAL)?)
        }
        2 => {
            let found = usize::try_from(first).ok().and_then(|i| types.get(i)).ok_or(Errno::EINVAL)?;
            let name = [found.name.as_bytes(), b"\0"].concat();
            cx.memory().copy_out(second, &name)?;
            Ok(0)
        }
        3 => Ok(types.len()),
        _ => Err(Errno::EINVAL.into()),
    }
}
