//! On whose behalf something is done, and whether that is permitted (`path_resolution(7)`, `credentials(7)`).

use alloc::sync::Arc;

use abi::fs::{S_ISGID, S_ISUID, S_ISVTX, S_IWGRP, S_IWOTH, S_IXGRP};
use abi::{Errno, Result};

use crate::{Kind, Node, Permissions};

bitflags::bitflags! {
    /// Capabilities (`capabilities(7)`), by number.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Capabilities: u64 {
        const CHOWN = 1 << 0;
        const DAC_OVERRIDE = 1 << 1;
        const DAC_READ_SEARCH = 1 << 2;
        const FOWNER = 1 << 3;
        const FSETID = 1 << 4;
        const LINUX_IMMUTABLE = 1 << 9;
        const IPC_OWNER = 1 << 15;
        const SYS_ADMIN = 1 << 21;
        const SYS_RESOURCE = 1 << 24;
        const MKNOD = 1 << 27;
        const LEASE = 1 << 28;
        const SETFCAP = 1 << 31;
        /// Capabilities that no file operation asks for are carried, too.
        const _ = !0;
    }
}

/// The identity that file accesses are checked against.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// User for file accesses.
    pub fsuid: u32,
    /// Group for file accesses.
    pub fsgid: u32,
    /// Further groups.
    pub groups: Arc<[u32]>,
    /// Effective capabilities.
    pub capabilities: Capabilities,
}

impl Credentials {
    /// Makes the identity of the superuser.
    pub fn root() -> Self {
        Self { fsuid: 0, fsgid: 0, groups: Arc::from([]), capabilities: Capabilities::all() }
    }

    /// Makes the identity of an ordinary user.
    pub fn user(uid: u32, gid: u32) -> Self {
        Self { fsuid: uid, fsgid: gid, groups: Arc::from([]), capabilities: Capabilities::empty() }
    }

    /// Says whether the identity has the capability.
    pub const fn capable(&self, capability: Capabilities) -> bool {
        self.capabilities.contains(capability)
    }

    /// Says whether the identity is in the group.
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }

    /// Says whether the identity owns the file or may act as if it did (`CAP_FOWNER`).
    pub const fn owns(&self, permissions: Permissions) -> bool {
        self.fsuid == permissions.uid || self.capable(Capabilities::FOWNER)
    }
}

/// The process (and thread) that asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Its identity.
    pub credentials: &'a Credentials,
    /// Permission bits that new files do not get.
    pub umask: u32,
    /// Its process number, for `/proc/self`.
    pub pid: u32,
    /// Its thread number, for `/proc/thread-self`.
    pub tid: u32,
    /// Largest size to which it may make a file (`RLIMIT_FSIZE`), in bytes.
    pub size_limit: u64,
}

impl<'a> Caller<'a> {
    /// Makes a caller without a process: no mask, no limit.
    pub const fn kernel(credentials: &'a Credentials) -> Self {
        Self { credentials, umask: 0, pid: 0, tid: 0, size_limit: u64::MAX }
    }
}

bitflags::bitflags! {
    /// What somebody wants to do with a file; the bits are those of `access(2)`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Want: u32 {
        /// Execute, or search a directory.
        const EXEC = 1;
        /// Write.
        const WRITE = 2;
        /// Read.
        const READ = 4;
    }
}

/// Checks the permission bits of a node; mount flags are not looked at.
///
/// # Errors
/// `EACCES`.
#[inline]
pub fn check(node: &dyn Node, want: Want, who: &Credentials) -> Result<()> {
    check_bits(node.kind(), node.permissions(), want, who)
}

/// As [`check`], for known bits.
///
/// # Errors
/// `EACCES`.
#[inline]
pub fn check_bits(kind: Kind, permissions: Permissions, want: Want, who: &Credentials) -> Result<()> {
    let Permissions { mode, uid, gid } = permissions;
    let granted = if uid == who.fsuid {
        mode >> 6
    } else if (mode >> 3) & 7 != mode & 7 && who.in_group(gid) {
        mode >> 3
    } else {
        mode
    };
    if granted & want.bits() == want.bits() {
        return Ok(());
    }
    overridden(kind, mode, want, who)
}

/// Checks whether a capability permits what the bits do not.
fn overridden(kind: Kind, mode: u32, want: Want, who: &Credentials) -> Result<()> {
    let (all, search) = (who.capable(Capabilities::DAC_OVERRIDE), who.capable(Capabilities::DAC_READ_SEARCH));
    let allowed = if kind == Kind::Directory {
        all || (search && !want.contains(Want::WRITE))
    } else {
        (search && want == Want::READ) || (all && (!want.contains(Want::EXEC) || mode & 0o111 != 0))
    };
    if allowed { Ok(()) } else { Err(Errno::EACCES) }
}

/// Checks that an entry may be taken out of a directory: write and search permission, and the sticky bit's rule.
///
/// # Errors
/// `EACCES`, or `EPERM` where the directory is sticky and neither it nor the entry is the caller's.
pub fn check_delete(directory: &dyn Node, entry: &dyn Node, who: &Credentials) -> Result<()> {
    check(directory, Want::WRITE | Want::EXEC, who)?;
    let parent = directory.permissions();
    let sticky = parent.mode & S_ISVTX != 0
        && entry.permissions().uid != who.fsuid
        && parent.uid != who.fsuid
        && !who.capable(Capabilities::FOWNER);
    if sticky { Err(Errno::EPERM) } else { Ok(()) }
}

/// Checks `protected_hardlinks`: the file is the caller's, or harmless and fully accessible.
///
/// # Errors
/// `EPERM`.
pub(crate) fn check_link_source(node: &dyn Node, who: &Credentials) -> Result<()> {
    let permissions = node.permissions();
    let set_group = permissions.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP;
    let harmless = node.kind() == Kind::File
        && permissions.mode & S_ISUID == 0
        && !set_group
        && check(node, Want::READ | Want::WRITE, who).is_ok();
    if harmless || who.owns(permissions) { Ok(()) } else { Err(Errno::EPERM) }
}

/// Checks `protected_symlinks`: in a sticky directory that everybody may write to, only one's own links are
/// followed, and those of the directory's owner.
///
/// # Errors
/// `EACCES`.
pub(crate) fn check_follow(directory: Permissions, link: Permissions, who: &Credentials) -> Result<()> {
    let open_to_all = directory.mode & (S_ISVTX | S_IWOTH) == S_ISVTX | S_IWOTH;
    let fine = link.uid == who.fsuid || !open_to_all || directory.uid == link.uid;
    if fine { Ok(()) } else { Err(Errno::EACCES) }
}

/// Checks `protected_regular` and `protected_fifos` at `level`: `O_CREAT` in a sticky directory opens only one's own files, and
/// those of the directory's owner.
///
/// # Errors
/// `EACCES`.
pub(crate) fn check_create_existing(
    directory: Permissions,
    file: Permissions,
    level: u32,
    who: &Credentials,
) -> Result<()> {
    let fine = level == 0
        || directory.mode & S_ISVTX == 0
        || file.uid == directory.uid
        || file.uid == who.fsuid
        || directory.mode & S_IWOTH == 0 && (level < 2 || directory.mode & S_IWGRP == 0);
    if fine { Ok(()) } else { Err(Errno::EACCES) }
}

/// Returns the mode that is left after a write by somebody without `CAP_FSETID`; `None` if nothing changes.
///
/// The set-user bit goes; the set-group bit goes where the group may execute (else it once meant mandatory locks),
/// or the writer is not in the group.
pub fn mode_after_write(kind: Kind, permissions: Permissions, who: &Credentials) -> Option<u32> {
    let mode = permissions.mode;
    if kind != Kind::File || mode & (S_ISUID | S_ISGID) == 0 || who.capable(Capabilities::FSETID) {
        return None;
    }
    let mut left = mode & !S_ISUID;
    if mode & S_ISGID != 0 && (mode & 0o010 != 0 || !who.in_group(permissions.gid)) {
        left &= !S_ISGID;
    }
    (left != mode).then_some(left)
}
