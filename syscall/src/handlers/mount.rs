//! `mount(2)` and `umount2(2)`.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::mount::{
    MNT_DETACH, MNT_EXPIRE, MNT_FORCE, MS_BIND, MS_DIRSYNC, MS_I_VERSION, MS_LAZYTIME, MS_MANDLOCK,
    MS_MGC_MSK, MS_MGC_VAL, MS_MOVE, MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID,
    MS_NOSYMFOLLOW, MS_POSIXACL, MS_PRIVATE, MS_RDONLY, MS_REC, MS_RELATIME, MS_REMOUNT, MS_SHARED,
    MS_SILENT, MS_SLAVE, MS_STRICTATIME, MS_SYNCHRONOUS, MS_UNBINDABLE, UMOUNT_NOFOLLOW,
};
use abi::{Errno, Result};
use hal::{PAGE_SIZE, UserAddr};
use vfs::fs::ram::{RamFs, RamOptions};
use vfs::{FileSystem, Follow, MountOptions, Place, Recursive, Unmount};

use super::at::{self, Origin};
use super::dir::check_admin;
use crate::decode::{Flags, Flags64, UserPath, read_string};
use crate::system::System;
use crate::{Context, SysResult};

/// A type of file system that can be mounted.
pub(crate) struct FileSystemType {
    /// Its name.
    pub name: &'static str,
    /// It needs no disk (`nodev` in `/proc/filesystems`).
    pub virtual_: bool,
    /// Makes one, from the options in `mount(2)`'s data.
    make: Option<Make>,
}

/// Makes a file system from the options in `mount(2)`'s data.
type Make = fn(&Arc<System>, &[u8]) -> Result<Arc<dyn FileSystem>>;

/// Every type, in the order of `/proc/filesystems`.
pub(crate) const FILE_SYSTEMS: &[FileSystemType] = &[
    FileSystemType { name: "sysfs", virtual_: true, make: Some(|system, _| Ok(crate::procfs::sys(system))) },
    FileSystemType { name: "tmpfs", virtual_: true, make: Some(make_ram) },
    FileSystemType { name: "proc", virtual_: true, make: Some(|system, _| Ok(crate::procfs::proc(system))) },
    FileSystemType { name: "devtmpfs", virtual_: true, make: None },
    FileSystemType { name: "pipefs", virtual_: true, make: None },
    FileSystemType { name: "ramfs", virtual_: true, make: Some(|system, _| make_ram(system, b"")) },
    FileSystemType {
        name: "mqueue",
        virtual_: true,
        make: Some(|system, _| Ok(system.ipc.mqueue.file_system())),
    },
    FileSystemType { name: "overlay", virtual_: true, make: None },
    FileSystemType { name: "erofs", virtual_: false, make: None },
];

fn make_ram(system: &Arc<System>, options: &[u8]) -> Result<Arc<dyn FileSystem>> {
    Ok(RamFs::new(system.vfs.environment(), &RamOptions::parse(options)?))
}

/// Reads an optional string argument of `mount(2)`.
fn read_optional(cx: &Context<'_>, at: UserAddr) -> Result<Vec<u8>> {
    if at.is_null() {
        return Ok(Vec::new());
    }
    read_string(cx.memory(), at, PAGE_SIZE)?.ok_or(Errno::EINVAL)
}

fn options_of(flags: u64) -> MountOptions {
    let mut options = MountOptions::empty();
    for (flag, option) in [
        (MS_RDONLY, MountOptions::READ_ONLY),
        (MS_NOSUID, MountOptions::NO_SUID),
        (MS_NODEV, MountOptions::NO_DEV),
        (MS_NOEXEC, MountOptions::NO_EXEC),
        (MS_NOATIME, MountOptions::NO_ATIME),
        (MS_NODIRATIME, MountOptions::NO_DIR_ATIME),
        (MS_NOSYMFOLLOW, MountOptions::NO_SYMLINK_FOLLOW),
    ] {
        if flags & flag != 0 {
            options |= option;
        }
    }
    if flags & (MS_NOATIME | MS_STRICTATIME) == 0 { options | MountOptions::REL_ATIME } else { options }
}

/// `mount(2)`.
pub(crate) fn sys_mount(
    cx: &Context<'_>,
    source: UserAddr,
    target: UserPath,
    kind: UserAddr,
    flags: Flags64,
    data: UserAddr,
) -> SysResult<()> {
    let mut flags = flags.0;
    let kind = read_optional(cx, kind)?;
    let source = read_optional(cx, source)?;
    let data = read_optional(cx, data)?;
    if flags & MS_MGC_MSK == MS_MGC_VAL & MS_MGC_MSK {
        flags &= !MS_MGC_MSK;
    }
    let target = at::read_path(cx, target)?;
    let origin = Origin::cwd(cx);
    let place = origin.walk().lookup(&target, Follow::Yes)?;
    check_admin(cx)?;
    let known = MS_RDONLY
        | MS_NOSUID
        | MS_NODEV
        | MS_NOEXEC
        | MS_SYNCHRONOUS
        | MS_REMOUNT
        | MS_MANDLOCK
        | MS_DIRSYNC
        | MS_NOSYMFOLLOW
        | MS_NOATIME
        | MS_NODIRATIME
        | MS_BIND
        | MS_MOVE
        | MS_REC
        | MS_SILENT
        | MS_POSIXACL
        | MS_UNBINDABLE
        | MS_PRIVATE
        | MS_SLAVE
        | MS_SHARED
        | MS_RELATIME
        | MS_I_VERSION
        | MS_STRICTATIME
        | MS_LAZYTIME;
    if flags & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let vfs = &cx.system().vfs;
    let propagation = flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE);
    if flags & (MS_REMOUNT | MS_BIND) == MS_REMOUNT | MS_BIND {
        check_mount_root(&place)?;
        vfs.set_mount_options(&place.mount, options_of(flags));
        return Ok(());
    }
    if flags & MS_REMOUNT != 0 {
        check_mount_root(&place)?;
        return Ok(vfs.remount(&place.mount, options_of(flags), &data)?);
    }
    if flags & MS_BIND != 0 {
        let from = source_place(&origin, &source)?;
        let recursive = if flags & MS_REC != 0 { Recursive::Yes } else { Recursive::No };
        vfs.bind(&from, &place, recursive)?;
        return Ok(());
    }
    if propagation != 0 {
        // There is one mount namespace, so that nothing is passed on whatever is said here.
        if propagation.count_ones() != 1 || flags & !(propagation | MS_REC | MS_SILENT) != 0 {
            return Err(Errno::EINVAL.into());
        }
        check_mount_root(&place)?;
        return Ok(());
    }
    if flags & MS_MOVE != 0 {
        let from = source_place(&origin, &source)?;
        return Ok(vfs.move_mount(&from, &place)?);
    }
    if kind.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    let found = FILE_SYSTEMS.iter().find(|t| t.name.as_bytes() == kind).ok_or(Errno::ENODEV)?;
    // What needs a disk does not find one; the others are there once.
    let make = found.make.ok_or(if found.virtual_ { Errno::EINVAL } else { Errno::ENOTBLK })?;
    let fs = make(cx.system(), &data)?;
    let source = String::from_utf8_lossy(if source.is_empty() { b"none" } else { &source }).into_owned();
    vfs.mount(fs, &source, &place, options_of(flags))?;
    Ok(())
}

fn check_mount_root(place: &Place) -> Result<()> {
    if place.is_mount_root() { Ok(()) } else { Err(Errno::EINVAL) }
}

fn source_place(origin: &Origin<'_>, source: &[u8]) -> Result<Place> {
    if source.is_empty() {
        return Err(Errno::EINVAL);
    }
    origin.walk().lookup(source, Follow::Yes)
}

/// `umount2(2)`.
pub(crate) fn sys_umount2(cx: &Context<'_>, target: UserPath, flags: Flags) -> SysResult<()> {
    let flags = flags.0;
    if flags & !(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = at::read_path(cx, target)?;
    let follow = if flags & UMOUNT_NOFOLLOW != 0 { Follow::No } else { Follow::Yes };
    let place = Origin::cwd(cx).walk().lookup(&target, follow)?;
    if !place.is_mount_root() {
        return Err(Errno::EINVAL.into());
    }
    check_admin(cx)?;
    if flags & MNT_EXPIRE != 0 && flags & (MNT_FORCE | MNT_DETACH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let how = if flags & MNT_DETACH != 0 { Unmount::Detach } else { Unmount::IfUnused };
    Ok(cx.system().vfs.unmount(&place, how)?)
}
