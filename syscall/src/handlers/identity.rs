//! Who a process is: numbers, users, groups, capabilities (`credentials(7)`, `capabilities(7)`).

use alloc::sync::Arc;

use abi::Errno;
use abi::process::{CapUserData, CapUserHeader};

use crate::decode::{In, InOut, Out, UserPtr};
use crate::proc::{Capability, Credentials, Process};
use crate::{Context, SysResult};

/// "No change" in the calls that set several numbers; no valid user or group.
const NONE: u32 = u32::MAX;
const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;
const SECBIT_KEEP_CAPS: u32 = 1 << 4;
/// Capabilities that go with the file-system user (`CAP_FS_SET`).
const FILE_CAPABILITIES: u64 = 1 << Capability::Chown as u8
    | 1 << Capability::Mknod as u8
    | 1 << Capability::DacOverride as u8
    | 1 << Capability::DacReadSearch as u8
    | 1 << Capability::Fowner as u8
    | 1 << Capability::Fsetid as u8
    | 1 << Capability::LinuxImmutable as u8
    | 1 << Capability::MacOverride as u8;
/// Most supplementary groups (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;

/// `getpid(2)`.
pub(crate) fn sys_getpid(cx: &Context<'_>) -> u32 {
    cx.process().pid()
}

/// `gettid(2)`.
pub(crate) fn sys_gettid(cx: &Context<'_>) -> u32 {
    cx.thread.tid()
}

/// `getppid(2)`; 1 is the kernel, which plays init.
pub(crate) fn sys_getppid(cx: &Context<'_>) -> u32 {
    cx.process().parent_pid()
}

/// `getuid(2)`.
pub(crate) fn sys_getuid(cx: &Context<'_>) -> u32 {
    cx.thread.with_credentials(|who| who.uid)
}

/// `geteuid(2)`.
pub(crate) fn sys_geteuid(cx: &Context<'_>) -> u32 {
    cx.thread.with_credentials(|who| who.euid)
}

/// `getgid(2)`.
pub(crate) fn sys_getgid(cx: &Context<'_>) -> u32 {
    cx.thread.with_credentials(|who| who.gid)
}

/// `getegid(2)`.
pub(crate) fn sys_getegid(cx: &Context<'_>) -> u32 {
    cx.thread.with_credentials(|who| who.egid)
}

/// `getresuid(2)`.
pub(crate) fn sys_getresuid(
    cx: &Context<'_>,
    real: UserPtr<u32, Out>,
    effective: UserPtr<u32, Out>,
    saved: UserPtr<u32, Out>,
) -> SysResult<()> {
    let who = cx.credentials();
    real.write(cx, &who.uid)?;
    effective.write(cx, &who.euid)?;
    Ok(saved.write(cx, &who.suid)?)
}

/// `getresgid(2)`.
pub(crate) fn sys_getresgid(
    cx: &Context<'_>,
    real: UserPtr<u32, Out>,
    effective: UserPtr<u32, Out>,
    saved: UserPtr<u32, Out>,
) -> SysResult<()> {
    let who = cx.credentials();
    real.write(cx, &who.gid)?;
    effective.write(cx, &who.egid)?;
    Ok(saved.write(cx, &who.sgid)?)
}

/// Takes over new users, with what that does to capabilities.
fn commit_users(cx: &Context<'_>, old: &Credentials, mut new: Credentials) {
    new.fsuid = new.euid;
    if new.securebits & SECBIT_NO_SETUID_FIXUP == 0 {
        let any = |c: &Credentials| c.uid == 0 || c.euid == 0 || c.suid == 0;
        if any(old) && !any(&new) {
            if new.securebits & SECBIT_KEEP_CAPS == 0 {
                new.permitted = 0;
                new.effective = 0;
            }
            new.ambient = 0;
        }
        if old.euid == 0 && new.euid != 0 {
            new.effective = 0;
        }
        if old.euid != 0 && new.euid == 0 {
            new.effective = new.permitted;
        }
    }
    change(cx, old, new);
}

/// Stores a new identity; one that is less trusted may not be inspected any more (`PR_SET_DUMPABLE`).
fn change(cx: &Context<'_>, old: &Credentials, new: Credentials) {
    if (old.euid, old.egid, old.fsuid, old.fsgid) != (new.euid, new.egid, new.fsuid, new.fsgid) {
        cx.process().state.lock().dumpable = false;
    }
    cx.thread.set_credentials(new);
}

/// `setuid(2)`.
pub(crate) fn sys_setuid(cx: &Context<'_>, uid: u32) -> SysResult<()> {
    let old = cx.credentials();
    let mut new = Credentials::clone(&old);
    if uid == NONE {
        return Err(Errno::EINVAL.into());
    }
    if old.can(Capability::Setuid) {
        (new.uid, new.suid) = (uid, uid);
    } else if uid != old.uid && uid != old.suid {
        return Err(Errno::EPERM.into());
    }
    new.euid = uid;
    commit_users(cx, &old, new);
    Ok(())
}

/// `setreuid(2)`.
pub(crate) fn sys_setreuid(cx: &Context<'_>, real: u32, effective: u32) -> SysResult<()> {
    let old = cx.credentials();
    let mut new = Credentials::clone(&old);
    let free = old.can(Capability::Setuid);
    if real != NONE {
        if !free && real != old.uid && real != old.euid {
            return Err(Errno::EPERM.into());
        }
        new.uid = real;
    }
    if effective != NONE {
        if !free && ![old.uid, old.euid, old.suid].contains(&effective) {
            return Err(Errno::EPERM.into());
        }
        new.euid = effective;
    }
    if real != NONE || effective != NONE && effective != old.uid {
        new.suid = new.euid;
    }
    commit_users(cx, &old, new);
    Ok(())
}

/// `setresuid(2)`.
pub(crate) fn sys_setresuid(cx: &Context<'_>, real: u32, effective: u32, saved: u32) -> SysResult<()> {
    let old = cx.credentials();
    let mut new = Credentials::clone(&old);
    let free = old.can(Capability::Setuid);
    let may = |id: u32| id == NONE || free || [old.uid, old.euid, old.suid].contains(&id);
    if !may(real) || !may(effective) || !may(saved) {
        return Err(Errno::EPERM.into());
    }
    for (field, id) in [(&mut new.uid, real), (&mut new.euid, effective), (&mut new.suid, saved)] {
        if id != NONE {
            *field = id;
        }
    }
    commit_users(cx, &old, new);
    Ok(())
}

/// `setfsuid(2)`: returns the old one, whether or not it was changed.
pub(crate) fn sys_setfsuid(cx: &Context<'_>, uid: u32) -> u32 {
    let old = cx.credentials();
    let may = [old.uid, old.euid, old.suid, old.fsuid].contains(&uid) || old.can(Capability::Setuid);
    if uid != NONE && may && uid != old.fsuid {
        let mut new = Credentials::clone(&old);
        new.fsuid = uid;
        if new.securebits & SECBIT_NO_SETUID_FIXUP == 0 {
            if old.fsuid == 0 {
                new.effective &= !FILE_CAPABILITIES;
            } else if uid == 0 {
                new.effective |= new.permitted & FILE_CAPABILITIES;
            }
        }
        change(cx, &old, new);
    }
    old.fsuid
}

/// `setgid(2)`.
pub(crate) fn sys_setgid(cx: &Context<'_>, gid: u32) -> SysResult<()> {
    let old = cx.credentials();
    let mut new = Credentials::clone(&old);
    if gid == NONE {
        return Err(Errno::EINVAL.into());
    }
    if old.can(Capability::Setgid) {
        (new.gid, new.sgid) = (gid, gid);
    } else if gid != old.gid && gid != old.sgid {
        return Err(Errno::EPERM.into());
    }
    (new.egid, new.fsgid) = (gid, gid);
    change(cx, &old, new);
    Ok(())
}

/// `setregid(2)`.
pub(crate) fn sys_setregid(cx: &Context<'_>, real: u32, effective: u32) -> SysResult<()> {
    let old = cx.credentials();
    let mut new = Credentials::clone(&old);
    let free = old.can(Capability::Setgid);
    if real != NONE {
        if !free && real != old.gid && real != old.egid {
            return Err(Errno::EPERM.into());
        }
        new.gid = real;
    }
    if effective != NONE {
        if !free && ![old.gid, old.egid, old.sgid].contains(&effective) {
            return Err(Errno::EPERM.into());
        }
        new.egid = effective;
    }
    if real != NONE || effective != NONE && effective != old.gid {
        new.sgid = new.egid;
    }
    new.fsgid = new.egid;
    change(cx, &old, new);
    Ok(())
}

/// `setresgid(2)`.
pub(crate) fn sys_setresgid(cx: &Context<'_>, real: u32, effective: u32, saved: u32) -> SysResult<()> {
    let old = cx.credentials();
    let mut new = Credentials::clone(&old);
    let free = old.can(Capability::Setgid);
    let may = |id: u32| id == NONE || free || [old.gid, old.egid, old.sgid].contains(&id);
    if !may(real) || !may(effective) || !may(saved) {
        return Err(Errno::EPERM.into());
    }
    for (field, id) in [(&mut new.gid, real), (&mut new.egid, effective), (&mut new.sgid, saved)] {
        if id != NONE {
            *field = id;
        }
    }
    new.fsgid = new.egid;
    change(cx, &old, new);
    Ok(())
}

/// `setfsgid(2)`: returns the old one, whether or not it was changed.
pub(crate) fn sys_setfsgid(cx: &Context<'_>, gid: u32) -> u32 {
    let old = cx.credentials();
    let may = [old.gid, old.egid, old.sgid, old.fsgid].contains(&gid) || old.can(Capability::Setgid);
    if gid != NONE && may && gid != old.fsgid {
        let mut new = Credentials::clone(&old);
        new.fsgid = gid;
        change(cx, &old, new);
    }
    old.fsgid
}

/// `getgroups(2)`.
pub(crate) fn sys_getgroups(cx: &Context<'_>, size: i32, list: UserPtr<u32, Out>) -> SysResult<usize> {
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let groups = Arc::clone(&cx.credentials().groups);
    if size > 0 {
        if size < groups.len() {
            return Err(Errno::EINVAL.into());
        }
        list.write_many(cx, &groups)?;
    }
    Ok(groups.len())
}

/// `setgroups(2)`.
pub(crate) fn sys_setgroups(cx: &Context<'_>, size: i32, list: UserPtr<u32, In>) -> SysResult<()> {
    let mut new = Credentials::clone(&cx.credentials());
    if !new.can(Capability::Setgid) {
        return Err(Errno::EPERM.into());
    }
    let size = usize::try_from(size).ok().filter(|&n| n <= GROUPS_MAX).ok_or(Errno::EINVAL)?;
    let mut groups = list.read_many(cx, size)?;
    if groups.contains(&NONE) {
        return Err(Errno::EINVAL.into());
    }
    // LINUX: the list is kept sorted, and getgroups(2) shows it.
    groups.sort_unstable();
    new.groups = groups.into();
    cx.thread.set_credentials(new);
    Ok(())
}

fn process_of(cx: &Context<'_>, pid: i32) -> SysResult<Arc<Process>> {
    if pid == 0 {
        return Ok(Arc::clone(cx.process()));
    }
    let pid = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    Ok(cx.system().process(pid).ok_or(Errno::ESRCH)?)
}

/// `getpgid(2)`.
pub(crate) fn sys_getpgid(cx: &Context<'_>, pid: i32) -> SysResult<u32> {
    Ok(process_of(cx, pid)?.state.lock().group)
}

/// `getpgrp(2)`.
pub(crate) fn sys_getpgrp(cx: &Context<'_>) -> u32 {
    cx.process().state.lock().group
}

/// `getsid(2)`.
pub(crate) fn sys_getsid(cx: &Context<'_>, pid: i32) -> SysResult<u32> {
    Ok(process_of(cx, pid)?.state.lock().session)
}

/// `setpgid(2)`.
pub(crate) fn sys_setpgid(cx: &Context<'_>, pid: i32, group: i32) -> SysResult<()> {
    let caller = cx.process();
    if group < 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = process_of(cx, pid)?;
    let group = if group == 0 { target.pid() } else { group.unsigned_abs() };
    let session = caller.state.lock().session;
    if !Arc::ptr_eq(&target, caller) {
        let state = target.state.lock();
        if !core::ptr::addr_eq(state.parent.as_ptr(), Arc::as_ptr(caller)) {
            return Err(Errno::ESRCH.into());
        }
        if state.session != session {
            return Err(Errno::EPERM.into());
        }
        if state.has_execed {
            return Err(Errno::EACCES.into());
        }
    }
    if target.state.lock().session == target.pid() {
        return Err(Errno::EPERM.into());
    }
    if group != target.pid() {
        let exists = cx.system().processes().iter().any(|p| {
            let state = p.state.lock();
            state.group == group && state.session == session
        });
        if !exists {
            return Err(Errno::EPERM.into());
        }
    }
    target.state.lock().group = group;
    Ok(())
}

/// `setsid(2)`.
pub(crate) fn sys_setsid(cx: &Context<'_>) -> SysResult<u32> {
    let pid = cx.process().pid();
    if cx.system().processes().iter().any(|p| p.state.lock().group == pid) {
        return Err(Errno::EPERM.into());
    }
    let mut state = cx.process().state.lock();
    (state.group, state.session) = (pid, pid);
    Ok(pid)
}

const CAPABILITY_VERSION_1: u32 = 0x1998_0330;
const CAPABILITY_VERSION_2: u32 = 0x2007_1026;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Reads the header, and says how many 32-bit sets its version has; tells the preferred version where it has none.
fn capability_sets(
    cx: &Context<'_>,
    header: UserPtr<CapUserHeader, InOut>,
) -> SysResult<(CapUserHeader, usize)> {
    let mut head = header.read(cx)?;
    let sets = match head.version {
        CAPABILITY_VERSION_1 => 1,
        CAPABILITY_VERSION_2 | CAPABILITY_VERSION_3 => 2,
        _ => {
            head.version = CAPABILITY_VERSION_3;
            header.write(cx, &head)?;
            return Err(Errno::EINVAL.into());
        }
    };
    Ok((head, sets))
}

#[expect(clippy::cast_possible_truncation, reason = "the low and the high half")]
const fn half(bits: u64, index: usize) -> u32 {
    (bits >> (32 * index)) as u32
}

/// `capget(2)`.
pub(crate) fn sys_capget(
    cx: &Context<'_>,
    header: UserPtr<CapUserHeader, InOut>,
    data: UserPtr<CapUserData, Out>,
) -> SysResult<()> {
    let (head, sets) = match capability_sets(cx, header) {
        // LINUX: without a place for data, asking for the version succeeds.
        Err(crate::SysError::Errno(Errno::EINVAL)) if data.is_null() => return Ok(()),
        other => other?,
    };
    if head.pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let who = if head.pid == 0 {
        cx.credentials()
    } else {
        cx.system().thread(head.pid.unsigned_abs()).ok_or(Errno::ESRCH)?.credentials()
    };
    if data.is_null() {
        return Err(Errno::EFAULT.into());
    }
    for index in 0..sets {
        let set = CapUserData {
            effective: half(who.effective, index),
            permitted: half(who.permitted, index),
            inheritable: half(who.inheritable, index),
        };
        data.add(index).write(cx, &set)?;
    }
    Ok(())
}

/// `capset(2)`.
pub(crate) fn sys_capset(
    cx: &Context<'_>,
    header: UserPtr<CapUserHeader, InOut>,
    data: UserPtr<CapUserData, In>,
) -> SysResult<()> {
    let (head, sets) = capability_sets(cx, header)?;
    if head.pid != 0 && head.pid.cast_unsigned() != cx.thread.tid() {
        return Err(Errno::EPERM.into());
    }
    let (mut effective, mut permitted, mut inheritable) = (0, 0, 0);
    for (index, set) in data.read_many(cx, sets)?.into_iter().enumerate() {
        let shift = 32 * index;
        effective |= u64::from(set.effective) << shift;
        permitted |= u64::from(set.permitted) << shift;
        inheritable |= u64::from(set.inheritable) << shift;
    }
    let all = crate::proc::ALL_CAPABILITIES;
    let (effective, permitted, inheritable) = (effective & all, permitted & all, inheritable & all);
    let old = cx.credentials();
    let free = old.can(Capability::Setpcap);
    if !free && inheritable & !(old.inheritable | old.permitted) != 0
        || inheritable & !(old.inheritable | old.bounding) != 0
        || permitted & !old.permitted != 0
        || effective & !permitted != 0
    {
        return Err(Errno::EPERM.into());
    }
    let ambient = old.ambient & permitted & inheritable;
    let new = Credentials { effective, permitted, inheritable, ambient, ..Credentials::clone(&old) };
    cx.thread.set_credentials(new);
    Ok(())
}
