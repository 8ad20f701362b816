//! The system as a whole, and limits: `uname(2)`, `sysinfo(2)`, `getrlimit(2)`, `getrusage(2)`, `getrandom(2)` ...

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::Errno;
use abi::process::{Rlimit, Rusage, Sysinfo, Utsname};
use abi::time::Timeval;
use hal::{CpuTime, Frame, PAGE_SIZE, UserAddr};
use zerocopy::FromZeros;

use crate::block::{self, Woken};
use crate::decode::{Flags, In, InBuf, Out, OutBuf, UserPtr};
use crate::proc::{Capability, Limit, Limits, Resource, Thread};
use crate::{Context, Restart, SysError, SysResult};

/// The Linux release whose system calls Hull has; programs compare it with what they need.
pub(crate) const RELEASE: &str = "6.1.0-hull";
/// `uname -v`.
pub(crate) const VERSION: &str = concat!("#1 SMP PREEMPT_DYNAMIC Hull ", env!("CARGO_PKG_VERSION"));
/// Longest host or domain name.
const NAME_MAX: usize = 64;

/// `uname(2)`.
pub(crate) fn sys_uname(cx: &Context<'_>, to: UserPtr<Utsname, Out>) -> SysResult<()> {
    let names = cx.system().names();
    let mut uts = Utsname::new_zeroed();
    let fields: [(&mut [u8; 65], &[u8]); 6] = [
        (&mut uts.sysname, b"Linux"),
        (&mut uts.nodename, &names.host),
        (&mut uts.release, RELEASE.as_bytes()),
        (&mut uts.version, VERSION.as_bytes()),
        (&mut uts.machine, b"x86_64"),
        (&mut uts.domainname, &names.domain),
    ];
    for (field, text) in fields {
        let len = text.len().min(NAME_MAX);
        field[..len].copy_from_slice(&text[..len]);
    }
    Ok(to.write(cx, &uts)?)
}

fn read_name(cx: &Context<'_>, name: UserAddr, len: i32) -> SysResult<Vec<u8>> {
    if !cx.credentials().can(Capability::SysAdmin) {
        return Err(Errno::EPERM.into());
    }
    let len = usize::try_from(len).ok().filter(|&n| n <= NAME_MAX).ok_or(Errno::EINVAL)?;
    let mut bytes = alloc::vec![0; len];
    cx.memory().copy_in(name, &mut bytes)?;
    bytes.truncate(bytes.iter().position(|&b| b == 0).unwrap_or(len));
    Ok(bytes)
}

/// `sethostname(2)`.
pub(crate) fn sys_sethostname(cx: &Context<'_>, name: UserAddr, len: i32) -> SysResult<()> {
    let name = read_name(cx, name, len)?;
    cx.system().change_names(|names| names.host = name);
    Ok(())
}

/// `setdomainname(2)`.
pub(crate) fn sys_setdomainname(cx: &Context<'_>, name: UserAddr, len: i32) -> SysResult<()> {
    let name = read_name(cx, name, len)?;
    cx.system().change_names(|names| names.domain = name);
    Ok(())
}

/// `sysinfo(2)`.
pub(crate) fn sys_sysinfo(cx: &Context<'_>, to: UserPtr<Sysinfo, Out>) -> SysResult<()> {
    let usage = Frame::usage();
    let mut info = Sysinfo::new_zeroed();
    // LINUX: rounded up.
    info.uptime = cx.clock().monotonic_ns().div_ceil(1_000_000_000).cast_signed();
    info.totalram = usage.total * PAGE_SIZE as u64;
    info.freeram = usage.free * PAGE_SIZE as u64;
    info.procs = u16::try_from(cx.system().thread_count().0).unwrap_or(u16::MAX);
    info.mem_unit = 1;
    Ok(to.write(cx, &info)?)
}

/// `getrandom(2)`.
pub(crate) fn sys_getrandom(cx: &Context<'_>, to: OutBuf, flags: Flags) -> SysResult<usize> {
    const GRND_NONBLOCK: u32 = 1;
    const GRND_RANDOM: u32 = 2;
    const GRND_INSECURE: u32 = 4;
    if flags.0 & !(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) != 0
        || flags.0 & (GRND_RANDOM | GRND_INSECURE) == GRND_RANDOM | GRND_INSECURE
    {
        return Err(Errno::EINVAL.into());
    }
    let len = to.0.len.min(0x7fff_f000);
    let mut done = 0;
    let mut chunk = [0; 256];
    while done < len {
        let part = chunk.len().min(len - done);
        cx.platform().entropy.fill(&mut chunk[..part]);
        if let Err(fault) = cx.memory().copy_out(to.0.start.offset(done as u64), &chunk[..part]) {
            done += fault.done;
            if done == 0 {
                return Err(Errno::EFAULT.into());
            }
            break;
        }
        done += part;
        // LINUX: long requests are interruptible after the first page.
        if done.is_multiple_of(PAGE_SIZE) && cx.thread.interrupted() {
            break;
        }
    }
    Ok(done)
}

fn resource(number: u32) -> SysResult<Resource> {
    Ok(Limits::resource(number).ok_or(Errno::EINVAL)?)
}

/// `getrlimit(2)`.
pub(crate) fn sys_getrlimit(cx: &Context<'_>, number: u32, to: UserPtr<Rlimit, Out>) -> SysResult<()> {
    let limit = cx.process().limits.lock().get(resource(number)?);
    Ok(to.write(cx, &Rlimit { rlim_cur: limit.soft, rlim_max: limit.hard })?)
}

/// `setrlimit(2)`.
pub(crate) fn sys_setrlimit(cx: &Context<'_>, number: u32, from: UserPtr<Rlimit, In>) -> SysResult<()> {
    let new = from.read(cx)?;
    set_limit(cx, cx.process(), number, new)
}

fn set_limit(cx: &Context<'_>, process: &crate::proc::Process, number: u32, new: Rlimit) -> SysResult<()> {
    let resource = resource(number)?;
    let new = Limit { soft: new.rlim_cur, hard: new.rlim_max };
    if new.soft > new.hard {
        return Err(Errno::EINVAL.into());
    }
    /// `/proc/sys/fs/nr_open`.
    const OPEN_MAX: u64 = 1 << 20;
    if matches!(resource, Resource::Nofile) && new.hard > OPEN_MAX {
        return Err(Errno::EPERM.into());
    }
    let mut limits = process.limits.lock();
    if new.hard > limits.get(resource).hard && !cx.credentials().can(Capability::SysResource) {
        return Err(Errno::EPERM.into());
    }
    limits.set(resource, new);
    let copy = limits.clone();
    drop(limits);
    if let Some(vm) = process.try_vm() {
        vm.set_limits(&copy);
    }
    Ok(())
}

/// `prlimit(2)`.
pub(crate) fn sys_prlimit64(
    cx: &Context<'_>,
    pid: i32,
    number: u32,
    new: UserPtr<Rlimit, In>,
    old: UserPtr<Rlimit, Out>,
) -> SysResult<()> {
    let new = new.non_null().map(|p| p.read(cx)).transpose()?;
    let process = if pid == 0 {
        alloc::sync::Arc::clone(cx.process())
    } else {
        let thread = u32::try_from(pid).ok().and_then(|tid| cx.system().thread(tid)).ok_or(Errno::ESRCH)?;
        let (caller, target) = (cx.credentials(), thread.credentials());
        let same = [target.uid, target.euid, target.suid].iter().all(|&id| id == caller.uid)
            && [target.gid, target.egid, target.sgid].iter().all(|&id| id == caller.gid);
        if !same && !caller.can(Capability::SysResource) {
            return Err(Errno::EPERM.into());
        }
        alloc::sync::Arc::clone(thread.process())
    };
    let before = process.limits.lock().get(resource(number)?);
    if let Some(new) = new {
        set_limit(cx, &process, number, new)?;
    }
    if !old.is_null() {
        old.write(cx, &Rlimit { rlim_cur: before.soft, rlim_max: before.hard })?;
    }
    Ok(())
}

const fn timeval(ns: u64) -> Timeval {
    let (seconds, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
    Timeval { tv_sec: seconds.cast_signed(), tv_usec: (rest / 1000).cast_signed() }
}

/// Returns resources used, with only the times filled in.
pub(crate) fn usage(time: CpuTime) -> Rusage {
    let mut usage = Rusage::new_zeroed();
    (usage.ru_utime, usage.ru_stime) = (timeval(time.user_ns), timeval(time.system_ns));
    usage
}

fn add_thread(usage: &mut Rusage, thread: &Thread) {
    let (voluntary, involuntary) = thread.task().switches();
    usage.ru_nvcsw += voluntary.cast_signed();
    usage.ru_nivcsw += involuntary.cast_signed();
    usage.ru_minflt += thread.faults.0.load(Ordering::Relaxed).cast_signed();
    usage.ru_majflt += thread.faults.1.load(Ordering::Relaxed).cast_signed();
}

/// `getrusage(2)`.
pub(crate) fn sys_getrusage(cx: &Context<'_>, who: i32, to: UserPtr<Rusage, Out>) -> SysResult<()> {
    const RUSAGE_SELF: i32 = 0;
    const RUSAGE_CHILDREN: i32 = -1;
    const RUSAGE_THREAD: i32 = 1;
    let process = cx.process();
    let mut result = match who {
        RUSAGE_SELF => {
            let mut sum = usage(process.cpu_time());
            process.threads().iter().for_each(|t| add_thread(&mut sum, t));
            sum
        }
        RUSAGE_CHILDREN => usage(process.state.lock().children_time),
        RUSAGE_THREAD => {
            let mut own = usage(cx.thread.task().cpu_time());
            add_thread(&mut own, cx.thread);
            own
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    if who != RUSAGE_CHILDREN {
        result.ru_maxrss = (cx.vm().statistics().peak_resident / 1024).cast_signed();
    }
    Ok(to.write(cx, &result)?)
}

/// `personality(2)`.
pub(crate) fn sys_personality(cx: &Context<'_>, persona: u32) -> u32 {
    let mut state = cx.process().state.lock();
    let old = state.personality;
    if persona != u32::MAX {
        state.personality = persona;
    }
    old
}

/// `syslog(2)`: the kernel's log goes to the console, and there is no buffer to read.
pub(crate) fn sys_syslog(cx: &Context<'_>, action: i32, buffer: OutBuf) -> SysResult<usize> {
    const READ: i32 = 2;
    const READ_ALL: i32 = 3;
    const READ_CLEAR: i32 = 4;
    const SIZE_UNREAD: i32 = 9;
    const SIZE_BUFFER: i32 = 10;
    if !(0..=10).contains(&action) {
        return Err(Errno::EINVAL.into());
    }
    if action != READ_ALL && action != SIZE_BUFFER && !cx.credentials().can(Capability::Syslog) {
        return Err(Errno::EPERM.into());
    }
    match action {
        READ | READ_ALL | READ_CLEAR if buffer.0.start.is_null() => Err(Errno::EINVAL.into()),
        READ => loop {
            // Waits for a line that never comes, as on a Linux that logs nothing more.
            if block::park(cx, None) == Woken::Signal {
                break Err(SysError::Restart(Restart::Sys));
            }
        },
        SIZE_UNREAD | SIZE_BUFFER | READ_ALL | READ_CLEAR => Ok(0),
        _ => Ok(0),
    }
}

const LINUX_REBOOT_MAGIC1: u32 = 0xfee1_dead;
const LINUX_REBOOT_MAGIC2: [u32; 4] = [0x2812_1969, 0x0512_1996, 0x1604_1998, 0x2011_2000];

/// `reboot(2)`: halting, powering off and restarting all end the machine, with exit status 0.
pub(crate) fn sys_reboot(
    cx: &Context<'_>,
    magic: u32,
    magic2: u32,
    command: u32,
    _text: InBuf,
) -> SysResult<()> {
    const RESTART: u32 = 0x0123_4567;
    const HALT: u32 = 0xcdef_0123;
    const CAD_ON: u32 = 0x89ab_cdef;
    const CAD_OFF: u32 = 0;
    const POWER_OFF: u32 = 0x4321_fedc;
    if !cx.credentials().can(Capability::SysBoot) {
        return Err(Errno::EPERM.into());
    }
    if magic != LINUX_REBOOT_MAGIC1 || !LINUX_REBOOT_MAGIC2.contains(&magic2) {
        return Err(Errno::EINVAL.into());
    }
    match command {
        RESTART | HALT | POWER_OFF => cx.system().power_off(0),
        // There is no keyboard whose Ctrl-Alt-Del could be switched.
        CAD_ON | CAD_OFF => Ok(()),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `vhangup(2)`.
pub(crate) fn sys_vhangup(cx: &Context<'_>) -> SysResult<()> {
    if !cx.credentials().can(Capability::SysTtyConfig) {
        return Err(Errno::EPERM.into());
    }
    Ok(())
}
