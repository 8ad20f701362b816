//! Process and thread attributes: `prctl(2)`, `arch_prctl(2)`.

use core::sync::atomic::Ordering;

use abi::Errno;
use hal::{USER_END, UserAddr};

use crate::decode::{Out, UserPtr};
use crate::proc::{Capability, Credentials};
use crate::{Context, SysResult};

const ARCH_SET_GS: i32 = 0x1001;
const ARCH_SET_FS: i32 = 0x1002;
const ARCH_GET_FS: i32 = 0x1003;
const ARCH_GET_GS: i32 = 0x1004;
const ARCH_GET_CPUID: i32 = 0x1011;
const ARCH_SET_CPUID: i32 = 0x1012;
const ARCH_GET_XCOMP_SUPP: i32 = 0x1021;
const ARCH_GET_XCOMP_PERM: i32 = 0x1022;

/// `arch_prctl(2)`.
pub(crate) fn sys_arch_prctl(cx: &Context<'_>, code: i32, value: u64) -> SysResult<u64> {
    let scheduler = cx.scheduler();
    let out = UserPtr::<u64, Out>::new(UserAddr(value));
    match code {
        ARCH_SET_FS | ARCH_SET_GS if value >= USER_END => Err(Errno::EPERM.into()),
        ARCH_SET_FS => {
            scheduler.set_fs_base(value);
            Ok(0)
        }
        ARCH_SET_GS => {
            scheduler.set_gs_base(value);
            Ok(0)
        }
        ARCH_GET_FS => Ok(out.write(cx, &scheduler.fs_base()).map(|()| 0)?),
        ARCH_GET_GS => Ok(out.write(cx, &scheduler.gs_base()).map(|()| 0)?),
        ARCH_GET_CPUID => Ok(1),
        // Faulting on CPUID cannot be asked for; leaving it on is no change.
        ARCH_SET_CPUID => Err(Errno::ENODEV.into()),
        ARCH_GET_XCOMP_SUPP | ARCH_GET_XCOMP_PERM => {
            Ok(out.write(cx, &cx.platform().info.xcr0).map(|()| 0)?)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

mod option {
    pub(super) const PR_SET_PDEATHSIG: i32 = 1;
    pub(super) const PR_GET_PDEATHSIG: i32 = 2;
    pub(super) const PR_GET_DUMPABLE: i32 = 3;
    pub(super) const PR_SET_DUMPABLE: i32 = 4;
    pub(super) const PR_GET_KEEPCAPS: i32 = 7;
    pub(super) const PR_SET_KEEPCAPS: i32 = 8;
    pub(super) const PR_GET_TIMING: i32 = 13;
    pub(super) const PR_SET_TIMING: i32 = 14;
    pub(super) const PR_SET_NAME: i32 = 15;
    pub(super) const PR_GET_NAME: i32 = 16;
    pub(super) const PR_GET_SECCOMP: i32 = 21;
    pub(super) const PR_SET_SECCOMP: i32 = 22;
    pub(super) const PR_CAPBSET_READ: i32 = 23;
    pub(super) const PR_CAPBSET_DROP: i32 = 24;
    pub(super) const PR_GET_TSC: i32 = 25;
    pub(super) const PR_SET_TSC: i32 = 26;
    pub(super) const PR_GET_SECUREBITS: i32 = 27;
    pub(super) const PR_SET_SECUREBITS: i32 = 28;
    pub(super) const PR_SET_TIMERSLACK: i32 = 29;
    pub(super) const PR_GET_TIMERSLACK: i32 = 30;
    pub(super) const PR_SET_CHILD_SUBREAPER: i32 = 36;
    pub(super) const PR_GET_CHILD_SUBREAPER: i32 = 37;
    pub(super) const PR_SET_NO_NEW_PRIVS: i32 = 38;
    pub(super) const PR_GET_NO_NEW_PRIVS: i32 = 39;
    pub(super) const PR_GET_TID_ADDRESS: i32 = 40;
    pub(super) const PR_SET_THP_DISABLE: i32 = 41;
    pub(super) const PR_GET_THP_DISABLE: i32 = 42;
    pub(super) const PR_CAP_AMBIENT: i32 = 47;
}

const SECBIT_KEEP_CAPS: u32 = 1 << 4;
const SECBIT_KEEP_CAPS_LOCKED: u32 = 1 << 5;
const SECUREBITS_ALL: u64 = 0xff;
const CAP_LAST: u64 = 40;

/// `prctl(2)`.
pub(crate) fn sys_prctl(cx: &Context<'_>, option: i32, a: u64, b: u64, c: u64, d: u64) -> SysResult<u64> {
    use option::*;
    let thread = cx.thread;
    let process = cx.process();
    let none = |rest: [u64; 4]| if rest == [0; 4] { Ok(()) } else { Err(Errno::EINVAL) };
    match option {
        PR_SET_PDEATHSIG => {
            let signal = u32::try_from(a).ok().filter(|&s| s <= 64).ok_or(Errno::EINVAL)?;
            thread.parent_death_signal.store(signal, Ordering::Relaxed);
        }
        PR_GET_PDEATHSIG => {
            let signal = thread.parent_death_signal.load(Ordering::Relaxed);
            UserPtr::<u32, Out>::new(UserAddr(a)).write(cx, &signal)?;
        }
        PR_GET_DUMPABLE => return Ok(u64::from(process.state.lock().dumpable)),
        PR_SET_DUMPABLE => match a {
            0 | 1 => process.state.lock().dumpable = a == 1,
            _ => return Err(Errno::EINVAL.into()),
        },
        PR_GET_KEEPCAPS => return Ok(u64::from(cx.credentials().securebits & SECBIT_KEEP_CAPS != 0)),
        PR_SET_KEEPCAPS => {
            let mut new = Credentials::clone(&cx.credentials());
            match a {
                _ if a > 1 => return Err(Errno::EINVAL.into()),
                _ if new.securebits & SECBIT_KEEP_CAPS_LOCKED != 0 => return Err(Errno::EPERM.into()),
                0 => new.securebits &= !SECBIT_KEEP_CAPS,
                _ => new.securebits |= SECBIT_KEEP_CAPS,
            }
            thread.set_credentials(new);
        }
        // Only statistical timing exists.
        PR_GET_TIMING => return Ok(0),
        PR_SET_TIMING if a == 0 => {}
        PR_SET_NAME => {
            let mut name = [0; 16];
            let len = cx.memory().copy_in_string(UserAddr(a), &mut name[..15])?.unwrap_or(15);
            thread.set_name(&name[..len]);
        }
        PR_GET_NAME => cx.memory().copy_out(UserAddr(a), &thread.name())?,
        PR_GET_SECCOMP => return Ok(thread.seccomp.lock().numbers().0),
        PR_SET_SECCOMP => super::seccomp::set_mode(cx, a, UserAddr(b))?,
        PR_CAPBSET_READ | PR_CAPBSET_DROP if a > CAP_LAST => return Err(Errno::EINVAL.into()),
        PR_CAPBSET_READ => return Ok(cx.credentials().bounding >> a & 1),
        PR_CAPBSET_DROP => {
            let mut new = Credentials::clone(&cx.credentials());
            if !new.can(Capability::Setpcap) {
                return Err(Errno::EPERM.into());
            }
            new.bounding &= !(1 << a);
            thread.set_credentials(new);
        }
        PR_GET_TSC => UserPtr::<u32, Out>::new(UserAddr(a)).write(cx, &1)?,
        PR_SET_TSC if a == 1 => {}
        PR_GET_SECUREBITS => return Ok(u64::from(cx.credentials().securebits)),
        PR_SET_SECUREBITS => set_securebits(cx, a)?,
        PR_SET_TIMERSLACK => {
            let slack = if a.cast_signed() <= 0 { 50_000 } else { a };
            thread.timer_slack_ns.store(slack, Ordering::Relaxed);
        }
        PR_GET_TIMERSLACK => return Ok(thread.timer_slack_ns.load(Ordering::Relaxed)),
        PR_SET_CHILD_SUBREAPER => process.state.lock().subreaper = a != 0,
        PR_GET_CHILD_SUBREAPER => {
            let subreaper = u32::from(process.state.lock().subreaper);
            UserPtr::<u32, Out>::new(UserAddr(a)).write(cx, &subreaper)?;
        }
        PR_SET_NO_NEW_PRIVS => {
            none([a ^ 1, b, c, d])?;
            let mut new = Credentials::clone(&cx.credentials());
            new.no_new_privs = true;
            thread.set_credentials(new);
        }
        PR_GET_NO_NEW_PRIVS => {
            none([a, b, c, d])?;
            return Ok(u64::from(cx.credentials().no_new_privs));
        }
        PR_GET_TID_ADDRESS => {
            let at = thread.clear_child_tid.load(Ordering::Relaxed);
            UserPtr::<u64, Out>::new(UserAddr(a)).write(cx, &at)?;
        }
        PR_SET_THP_DISABLE => {
            none([0, b, c, d])?;
            cx.vm().set_large_pages(a == 0);
        }
        PR_GET_THP_DISABLE => {
            none([a, b, c, d])?;
            return Ok(u64::from(!cx.vm().uses_large_pages()));
        }
        PR_CAP_AMBIENT => return ambient(cx, a, b, [c, d]),
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

fn set_securebits(cx: &Context<'_>, bits: u64) -> SysResult<()> {
    const LOCKS: u32 = 0xaa;
    let mut new = Credentials::clone(&cx.credentials());
    let wanted = u32::try_from(bits).map_err(|_| Errno::EPERM)?;
    let locked = (new.securebits & LOCKS) >> 1;
    if bits & !SECUREBITS_ALL != 0
        || (new.securebits ^ wanted) & locked != 0
        || new.securebits & LOCKS & !wanted != 0
        || !new.can(Capability::Setpcap)
    {
        return Err(Errno::EPERM.into());
    }
    new.securebits = wanted;
    cx.thread.set_credentials(new);
    Ok(())
}

/// `PR_CAP_AMBIENT`.
fn ambient(cx: &Context<'_>, operation: u64, capability: u64, rest: [u64; 2]) -> SysResult<u64> {
    const IS_SET: u64 = 1;
    const RAISE: u64 = 2;
    const LOWER: u64 = 3;
    const CLEAR_ALL: u64 = 4;
    const SECBIT_NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;
    let mut new = Credentials::clone(&cx.credentials());
    if operation == CLEAR_ALL {
        if capability != 0 || rest != [0; 2] {
            return Err(Errno::EINVAL.into());
        }
        new.ambient = 0;
    } else {
        if rest != [0; 2] || capability > CAP_LAST {
            return Err(Errno::EINVAL.into());
        }
        let bit = 1 << capability;
        match operation {
            IS_SET => return Ok(u64::from(new.ambient & bit != 0)),
            RAISE => {
                if new.permitted & new.inheritable & bit == 0
                    || new.securebits & SECBIT_NO_CAP_AMBIENT_RAISE != 0
                {
                    return Err(Errno::EPERM.into());
                }
                new.ambient |= bit;
            }
            LOWER => new.ambient &= !bit,
            _ => return Err(Errno::EINVAL.into()),
        }
    }
    cx.thread.set_credentials(new);
    Ok(0)
}
