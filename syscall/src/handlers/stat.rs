//! What files are: `stat(2)`, `statx(2)`, `statfs(2)`, `access(2)`, `readlink(2)`.

use abi::Errno;
use abi::fs::{
    AT_EACCESS, AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW, STATX__RESERVED,
    STATX_ATTR_MOUNT_ROOT, STATX_BASIC_STATS, STATX_BTIME, STATX_DIOALIGN, STATX_MNT_ID, Stat, Statx,
    StatxTimestamp,
};
use abi::mount::{
    ST_NOATIME, ST_NODEV, ST_NODIRATIME, ST_NOEXEC, ST_NOSUID, ST_NOSYMFOLLOW, ST_RDONLY, ST_RELATIME,
    ST_VALID, Statfs,
};
use vfs::fs::dev;
use vfs::{FileSystemStatus, Follow, Kind, Metadata, Mount, MountOptions, Time, Want};
use zerocopy::FromZeros;

use super::at::{self, CWD, Origin, Target};
use crate::decode::{Fd, Flags, Out, OutBuf, UserPath, UserPtr};
use crate::{Context, SysResult};

fn stat_of(m: &Metadata) -> Stat {
    Stat {
        st_dev: m.dev,
        st_ino: m.ino,
        st_nlink: u64::from(m.nlink),
        st_mode: m.st_mode(),
        st_uid: m.uid,
        st_gid: m.gid,
        st_rdev: m.rdev,
        st_size: m.size.cast_signed(),
        st_blksize: i64::from(m.block_size),
        st_blocks: m.blocks.cast_signed(),
        st_atime: m.atime.seconds,
        st_atime_nsec: i64::from(m.atime.nanoseconds),
        st_mtime: m.mtime.seconds,
        st_mtime_nsec: i64::from(m.mtime.nanoseconds),
        st_ctime: m.ctime.seconds,
        st_ctime_nsec: i64::from(m.ctime.nanoseconds),
        ..Stat::default()
    }
}

/// `stat(2)`.
pub(crate) fn sys_stat(cx: &Context<'_>, path: UserPath, to: UserPtr<Stat, Out>) -> SysResult<()> {
    stat_path(cx, path, to, Follow::Yes)
}

/// `lstat(2)`.
pub(crate) fn sys_lstat(cx: &Context<'_>, path: UserPath, to: UserPtr<Stat, Out>) -> SysResult<()> {
    stat_path(cx, path, to, Follow::No)
}

fn stat_path(cx: &Context<'_>, path: UserPath, to: UserPtr<Stat, Out>, follow: Follow) -> SysResult<()> {
    let path = at::read_path(cx, path)?;
    let place = Origin::cwd(cx).walk().lookup(&path, follow)?;
    Ok(to.write(cx, &stat_of(&place.node().metadata()))?)
}

/// `fstat(2)`.
pub(crate) fn sys_fstat(cx: &Context<'_>, fd: Fd, to: UserPtr<Stat, Out>) -> SysResult<()> {
    let metadata = cx.files().get(fd)?.metadata();
    Ok(to.write(cx, &stat_of(&metadata))?)
}

/// `newfstatat(2)`. The path comes before the flags, as on Linux.
pub(crate) fn sys_newfstatat(
    cx: &Context<'_>,
    fd: Fd,
    path: UserPath,
    to: UserPtr<Stat, Out>,
    flags: Flags,
) -> SysResult<()> {
    let (metadata, _) = at_metadata(cx, fd, path, flags.0)?;
    Ok(to.write(cx, &stat_of(&metadata))?)
}

fn at_metadata(
    cx: &Context<'_>,
    fd: Fd,
    path: UserPath,
    flags: u32,
) -> abi::Result<(Metadata, Option<vfs::Place>)> {
    let path = at::read_path_or_empty(cx, path, flags)?;
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(match at::find(cx, fd, &path, follow(flags))? {
        Target::Place(place) => {
            // An open file that replaced its node at opening is asked itself.
            let metadata = match path.is_empty() && fd != CWD {
                true => cx.files().get(fd)?.metadata(),
                false => place.node().metadata(),
            };
            (metadata, Some(place))
        }
        Target::Description(description) => (description.metadata(), None),
    })
}

pub(crate) const fn follow(flags: u32) -> Follow {
    if flags & AT_SYMLINK_NOFOLLOW != 0 { Follow::No } else { Follow::Yes }
}

/// `statx(2)`.
pub(crate) fn sys_statx(
    cx: &Context<'_>,
    fd: Fd,
    path: UserPath,
    flags: Flags,
    mask: u32,
    to: UserPtr<Statx, Out>,
) -> SysResult<()> {
    if mask & STATX__RESERVED != 0 || flags.0 & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL.into());
    }
    let (m, place) = at_metadata(cx, fd, path, flags.0)?;
    let mut x = Statx::new_zeroed();
    x.stx_mask = STATX_BASIC_STATS | STATX_MNT_ID;
    x.stx_blksize = m.block_size;
    x.stx_nlink = m.nlink;
    x.stx_uid = m.uid;
    x.stx_gid = m.gid;
    #[expect(clippy::cast_possible_truncation, reason = "a mode has sixteen bits")]
    {
        x.stx_mode = m.st_mode() as u16;
    }
    x.stx_ino = m.ino;
    x.stx_size = m.size;
    x.stx_blocks = m.blocks;
    x.stx_attributes_mask = STATX_ATTR_MOUNT_ROOT;
    x.stx_atime = statx_time(m.atime);
    x.stx_ctime = statx_time(m.ctime);
    x.stx_mtime = statx_time(m.mtime);
    // Linux tells a creation time whether it was asked for or not; alignment for direct I/O only on request.
    if let Some(btime) = m.btime {
        x.stx_mask |= STATX_BTIME;
        x.stx_btime = statx_time(btime);
    }
    if mask & STATX_DIOALIGN != 0 && matches!(m.kind, Kind::File | Kind::BlockDevice) {
        x.stx_mask |= STATX_DIOALIGN;
    }
    (x.stx_rdev_major, x.stx_rdev_minor) = dev::parts(m.rdev);
    (x.stx_dev_major, x.stx_dev_minor) = dev::parts(m.dev);
    if let Some(place) = place {
        x.stx_mnt_id = u64::from(place.mount.id);
        if place.is_mount_root() {
            x.stx_attributes |= STATX_ATTR_MOUNT_ROOT;
        }
    }
    Ok(to.write(cx, &x)?)
}

fn statx_time(time: Time) -> StatxTimestamp {
    StatxTimestamp { tv_sec: time.seconds, tv_nsec: time.nanoseconds, ..StatxTimestamp::default() }
}

/// `statfs(2)`.
pub(crate) fn sys_statfs(cx: &Context<'_>, path: UserPath, to: UserPtr<Statfs, Out>) -> SysResult<()> {
    let path = at::read_path(cx, path)?;
    let place = Origin::cwd(cx).walk().lookup(&path, Follow::Yes)?;
    let status = place.mount.tree.file_system.status();
    Ok(to.write(cx, &statfs_of(&status, mount_flags(&place.mount)))?)
}

/// `fstatfs(2)`.
pub(crate) fn sys_fstatfs(cx: &Context<'_>, fd: Fd, to: UserPtr<Statfs, Out>) -> SysResult<()> {
    let description = cx.files().get(fd)?;
    let (status, flags) = match description.place() {
        Some(place) => (place.mount.tree.file_system.status(), mount_flags(&place.mount)),
        None => (description.file_system_status(), ST_VALID),
    };
    Ok(to.write(cx, &statfs_of(&status, flags))?)
}

/// Returns the flags of a mount as `statfs(2)` tells them.
fn mount_flags(mount: &Mount) -> u64 {
    let options = mount.options();
    let mut flags = ST_VALID;
    for (option, flag) in [
        (MountOptions::NO_SUID, ST_NOSUID),
        (MountOptions::NO_DEV, ST_NODEV),
        (MountOptions::NO_EXEC, ST_NOEXEC),
        (MountOptions::NO_ATIME, ST_NOATIME),
        (MountOptions::NO_DIR_ATIME, ST_NODIRATIME),
        (MountOptions::REL_ATIME, ST_RELATIME),
        (MountOptions::NO_SYMLINK_FOLLOW, ST_NOSYMFOLLOW),
    ] {
        if options.contains(option) {
            flags |= flag;
        }
    }
    if mount.is_read_only() { flags | ST_RDONLY } else { flags }
}

fn statfs_of(status: &FileSystemStatus, flags: u64) -> Statfs {
    #[expect(clippy::cast_possible_truncation, reason = "the number is split in two halves")]
    let fsid = [(status.id as u32).cast_signed(), ((status.id >> 32) as u32).cast_signed()];
    Statfs {
        f_type: status.magic.cast_signed(),
        f_bsize: status.block_size.cast_signed(),
        f_blocks: status.blocks,
        f_bfree: status.blocks_free,
        f_bavail: status.blocks_available,
        f_files: status.files,
        f_ffree: status.files_free,
        f_fsid: fsid,
        f_namelen: status.name_len.cast_signed(),
        f_frsize: status.block_size.cast_signed(),
        f_flags: flags.cast_signed(),
        ..Statfs::default()
    }
}

/// `access(2)`.
pub(crate) fn sys_access(cx: &Context<'_>, path: UserPath, mode: u32) -> SysResult<()> {
    access(cx, CWD, path, mode, 0)
}

/// `faccessat(2)`, the system call: three arguments.
pub(crate) fn sys_faccessat(cx: &Context<'_>, fd: Fd, path: UserPath, mode: u32) -> SysResult<()> {
    access(cx, fd, path, mode, 0)
}

/// `faccessat2(2)`.
pub(crate) fn sys_faccessat2(
    cx: &Context<'_>,
    fd: Fd,
    path: UserPath,
    mode: u32,
    flags: Flags,
) -> SysResult<()> {
    access(cx, fd, path, mode, flags.0)
}

fn access(cx: &Context<'_>, fd: Fd, path: UserPath, mode: u32, flags: u32) -> SysResult<()> {
    let want = Want::from_bits(mode).ok_or(Errno::EINVAL)?;
    if flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = at::read_path_or_empty(cx, path, flags)?;
    let who = cx.credentials();
    let credentials =
        if flags & AT_EACCESS != 0 { at::file_credentials(&who) } else { at::real_credentials(&who) };
    if path.is_empty()
        && let Target::Description(description) = at::find(cx, fd, &path, Follow::Yes)?
    {
        let m = description.metadata();
        let permissions = vfs::Permissions { mode: m.mode, uid: m.uid, gid: m.gid };
        return Ok(vfs::credentials::check_bits(m.kind, permissions, want, &credentials)?);
    }
    let origin = Origin::at(cx, fd, &path)?.with_credentials(credentials);
    let place = origin.walk().lookup_or_start(&path, follow(flags))?;
    Ok(origin.walk().access(&place, want)?)
}

/// `readlink(2)`.
pub(crate) fn sys_readlink(cx: &Context<'_>, path: UserPath, to: OutBuf) -> SysResult<usize> {
    readlink(cx, CWD, path, to)
}

/// `readlinkat(2)`.
pub(crate) fn sys_readlinkat(cx: &Context<'_>, fd: Fd, path: UserPath, to: OutBuf) -> SysResult<usize> {
    readlink(cx, fd, path, to)
}

fn readlink(cx: &Context<'_>, fd: Fd, path: UserPath, to: OutBuf) -> SysResult<usize> {
    // The length is an `int`.
    let len = to.0.len & 0xffff_ffff;
    if len == 0 || len > 0x7fff_ffff {
        return Err(Errno::EINVAL.into());
    }
    let path = path.read(cx)?;
    if path.is_empty() && fd == CWD {
        return Err(Errno::ENOENT.into());
    }
    let origin = Origin::at(cx, fd, &path)?;
    // An empty path means a link that was opened with `O_PATH | O_NOFOLLOW`.
    let place = origin.walk().lookup_or_start(&path, Follow::No)?;
    if place.kind() != Kind::Symlink {
        return Err(if path.is_empty() { Errno::ENOENT } else { Errno::EINVAL }.into());
    }
    let text = place.node().read_link(&origin.caller())?;
    let text = &text[..text.len().min(len)];
    cx.memory().copy_out(to.0.start, text)?;
    Ok(text.len())
}

/// `ustat(2)`: finds a mounted file system by its device number.
pub(crate) fn sys_ustat(cx: &Context<'_>, device: u32, to: UserPtr<[u8; 32], Out>) -> SysResult<()> {
    let mounts = cx.system().vfs.mount_list();
    let system = mounts.iter().map(|m| &m.tree.file_system).find(|f| f.dev() == u64::from(device));
    let status = system.ok_or(Errno::EINVAL)?.status();
    // `struct ustat`: free blocks (int), free inodes (long), and two names that nobody fills in.
    let mut bytes = [0; 32];
    #[expect(clippy::cast_possible_truncation, reason = "the structure has 32 bits for it")]
    bytes[..4].copy_from_slice(&(status.blocks_free as u32).to_ne_bytes());
    bytes[8..16].copy_from_slice(&status.files_free.to_ne_bytes());
    Ok(to.write(cx, &bytes)?)
}
