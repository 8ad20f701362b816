//! Scheduling: policy, priority, affinity (`sched(7)`).

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::sched::SchedAttr;
use abi::time::Timespec;
use hal::{CpuSet, UserAddr};
use zerocopy::{FromZeros, IntoBytes};

use crate::decode::{Flags, In, Out, UserPtr};
use crate::proc::{Capability, Resource, SchedPolicy, Thread};
use crate::{Context, SysResult};

const SCHED_OTHER: u32 = 0;
const SCHED_FIFO: u32 = 1;
const SCHED_RR: u32 = 2;
const SCHED_BATCH: u32 = 3;
const SCHED_IDLE: u32 = 5;
const SCHED_DEADLINE: u32 = 6;
const SCHED_RESET_ON_FORK: u32 = 0x4000_0000;
const SCHED_FLAG_RESET_ON_FORK: u64 = 1;
/// Flags of `sched_setattr(2)` that only `SCHED_DEADLINE` and utilisation clamps use.
const SCHED_FLAG_KEEP: u64 = 0x18;
/// Length of the first version of `struct sched_attr`.
const ATTR_FIRST: u32 = 48;

/// `sched_yield(2)`.
pub(crate) fn sys_sched_yield(cx: &Context<'_>) {
    cx.scheduler().yield_now();
}

fn thread_of(cx: &Context<'_>, tid: i32) -> SysResult<Arc<Thread>> {
    match tid {
        ..0 => Err(Errno::EINVAL.into()),
        0 => Ok(cx.thread.arc()),
        tid => Ok(cx.system().thread(tid.unsigned_abs()).ok_or(Errno::ESRCH)?),
    }
}

/// Says whether the caller may change another's scheduling.
fn may_change(cx: &Context<'_>, thread: &Thread) -> bool {
    let (caller, target) = (cx.credentials(), thread.credentials());
    caller.euid == target.euid || caller.euid == target.uid || caller.can(Capability::SysNice)
}

const fn is_real_time(policy: u32) -> bool {
    matches!(policy, SCHED_FIFO | SCHED_RR)
}

/// Sets a policy, after Linux's checks.
fn set_policy(cx: &Context<'_>, thread: &Thread, mut new: SchedPolicy) -> SysResult<()> {
    let known = matches!(new.policy, SCHED_OTHER | SCHED_FIFO | SCHED_RR | SCHED_BATCH | SCHED_IDLE);
    if !known || new.priority > 99 || is_real_time(new.policy) != (new.priority > 0) {
        return Err(Errno::EINVAL.into());
    }
    let old = *thread.sched.lock();
    if !cx.credentials().can(Capability::SysNice) {
        let limit = thread.process().limit(Resource::Rtprio);
        let raises = u64::from(new.priority) > limit && new.priority > old.priority;
        let leaves_idle = old.policy == SCHED_IDLE && new.policy != SCHED_IDLE && new.nice < old.nice;
        if is_real_time(new.policy) && (old.policy != new.policy && limit == 0 || raises)
            || leaves_idle
            || new.nice < old.nice && !nice_allowed(thread, new.nice)
            || !may_change(cx, thread)
            || old.reset_on_fork && !new.reset_on_fork
        {
            return Err(Errno::EPERM.into());
        }
    }
    new.nice = new.nice.clamp(-20, 19);
    *thread.sched.lock() = new;
    apply(thread, new);
    Ok(())
}

/// Gives the kernel the weight that stands for the policy: real-time threads get the most, idle ones the least.
fn apply(thread: &Thread, policy: SchedPolicy) {
    let nice = match policy.policy {
        SCHED_FIFO | SCHED_RR => -20,
        SCHED_IDLE => 19,
        _ => policy.nice,
    };
    thread.task().set_nice(nice);
}

fn nice_allowed(thread: &Thread, nice: i8) -> bool {
    i64::from(20 - nice).cast_unsigned() <= thread.process().limit(Resource::Nice)
}

/// `sched_setparam(2)`.
pub(crate) fn sys_sched_setparam(cx: &Context<'_>, tid: i32, param: UserPtr<i32, In>) -> SysResult<()> {
    if param.is_null() || tid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let priority = param.read(cx)?;
    let thread = thread_of(cx, tid)?;
    let priority = u32::try_from(priority).map_err(|_| Errno::EINVAL)?;
    let old = *thread.sched.lock();
    set_policy(cx, &thread, SchedPolicy { priority, ..old })
}

/// `sched_getparam(2)`.
pub(crate) fn sys_sched_getparam(cx: &Context<'_>, tid: i32, param: UserPtr<u32, Out>) -> SysResult<()> {
    if param.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let thread = thread_of(cx, tid)?;
    let priority = thread.sched.lock().priority;
    Ok(param.write(cx, &priority)?)
}

/// `sched_setscheduler(2)`.
pub(crate) fn sys_sched_setscheduler(
    cx: &Context<'_>,
    tid: i32,
    policy: i32,
    param: UserPtr<i32, In>,
) -> SysResult<()> {
    if policy < 0 || param.is_null() || tid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let priority = param.read(cx)?;
    let thread = thread_of(cx, tid)?;
    let priority = u32::try_from(priority).map_err(|_| Errno::EINVAL)?;
    let bits = policy.cast_unsigned();
    let old = *thread.sched.lock();
    let new = SchedPolicy {
        policy: bits & !SCHED_RESET_ON_FORK,
        priority,
        nice: old.nice,
        reset_on_fork: bits & SCHED_RESET_ON_FORK != 0,
    };
    set_policy(cx, &thread, new)
}

/// `sched_getscheduler(2)`.
pub(crate) fn sys_sched_getscheduler(cx: &Context<'_>, tid: i32) -> SysResult<u32> {
    let thread = thread_of(cx, tid)?;
    let sched = *thread.sched.lock();
    Ok(sched.policy | if sched.reset_on_fork { SCHED_RESET_ON_FORK } else { 0 })
}

/// `sched_setattr(2)`.
pub(crate) fn sys_sched_setattr(cx: &Context<'_>, tid: i32, at: UserAddr, flags: Flags) -> SysResult<()> {
    if at.is_null() || tid < 0 || flags.0 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut size = UserPtr::<u32, In>::new(at).read(cx)?;
    if size == 0 {
        size = ATTR_FIRST;
    }
    let known = size_of::<SchedAttr>();
    if size < ATTR_FIRST || size as usize > hal::PAGE_SIZE {
        // LINUX: the size that would do is stored even though the call fails.
        let good = u32::try_from(known).unwrap_or(ATTR_FIRST);
        UserPtr::<u32, Out>::new(at).write(cx, &good)?;
        return Err(Errno::E2BIG.into());
    }
    let mut bytes = alloc::vec![0; known.max(size as usize)];
    cx.memory().copy_in(at, &mut bytes[..size as usize])?;
    if bytes[known..].iter().any(|&b| b != 0) {
        return Err(Errno::E2BIG.into());
    }
    let mut attr = SchedAttr::new_zeroed();
    attr.as_mut_bytes().copy_from_slice(&bytes[..known]);
    if attr.sched_policy.cast_signed() < 0
        || attr.sched_flags & !(SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_KEEP) != 0
    {
        return Err(Errno::EINVAL.into());
    }
    let thread = thread_of(cx, tid)?;
    let old = *thread.sched.lock();
    let mut new = SchedPolicy {
        policy: attr.sched_policy,
        priority: attr.sched_priority,
        nice: i8::try_from(attr.sched_nice.clamp(-20, 19)).unwrap_or(0),
        reset_on_fork: attr.sched_flags & SCHED_FLAG_RESET_ON_FORK != 0,
    };
    if attr.sched_flags & 8 != 0 {
        new.policy = old.policy;
    }
    if attr.sched_flags & 0x10 != 0 {
        (new.priority, new.nice) = (old.priority, old.nice);
    }
    // Deadlines need a scheduler that admits and enforces them.
    set_policy(cx, &thread, new)
}

/// `sched_getattr(2)`.
pub(crate) fn sys_sched_getattr(
    cx: &Context<'_>,
    tid: i32,
    at: UserAddr,
    size: u32,
    flags: Flags,
) -> SysResult<()> {
    if at.is_null() || tid < 0 || size < ATTR_FIRST || size as usize > hal::PAGE_SIZE || flags.0 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let thread = thread_of(cx, tid)?;
    let sched = *thread.sched.lock();
    let len = size_of::<SchedAttr>().min(size as usize);
    let mut attr = SchedAttr::new_zeroed();
    attr.size = u32::try_from(len).unwrap_or(ATTR_FIRST);
    attr.sched_policy = sched.policy;
    attr.sched_flags = if sched.reset_on_fork { SCHED_FLAG_RESET_ON_FORK } else { 0 };
    if is_real_time(sched.policy) {
        attr.sched_priority = sched.priority;
    } else {
        attr.sched_nice = i32::from(sched.nice);
    }
    Ok(cx.memory().copy_out(at, &attr.as_bytes()[..len])?)
}

/// `sched_get_priority_max(2)`.
pub(crate) fn sys_sched_get_priority_max(_: &Context<'_>, policy: u32) -> SysResult<u32> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(99),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `sched_get_priority_min(2)`.
pub(crate) fn sys_sched_get_priority_min(_: &Context<'_>, policy: u32) -> SysResult<u32> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(1),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `sched_rr_get_interval(2)`: Linux's time slices.
pub(crate) fn sys_sched_rr_get_interval(
    cx: &Context<'_>,
    tid: i32,
    interval: UserPtr<Timespec, Out>,
) -> SysResult<()> {
    let policy = thread_of(cx, tid)?.sched.lock().policy;
    let tv_nsec = match policy {
        SCHED_FIFO => 0,
        SCHED_RR => 100_000_000,
        _ => 4_000_000,
    };
    Ok(interval.write(cx, &Timespec { tv_sec: 0, tv_nsec })?)
}

/// The processors that exist.
fn present(cx: &Context<'_>) -> u64 {
    u64::MAX >> (64 - cx.platform().info.cpus.clamp(1, 64))
}

/// `sched_setaffinity(2)`.
pub(crate) fn sys_sched_setaffinity(cx: &Context<'_>, tid: i32, len: u32, mask: UserAddr) -> SysResult<()> {
    let mut bytes = [0; 8];
    let len = bytes.len().min(len as usize);
    cx.memory().copy_in(mask, &mut bytes[..len])?;
    if tid < 0 {
        return Err(Errno::ESRCH.into());
    }
    let thread = thread_of(cx, tid)?;
    if !may_change(cx, &thread) {
        return Err(Errno::EPERM.into());
    }
    let cpus = u64::from_le_bytes(bytes) & present(cx);
    if cpus == 0 {
        return Err(Errno::EINVAL.into());
    }
    *thread.affinity.lock() = CpuSet(cpus);
    thread.task().set_affinity(CpuSet(cpus));
    if core::ptr::eq(&raw const *thread, cx.thread) {
        // So that the call returns on a processor of the new set.
        cx.scheduler().yield_now();
    }
    Ok(())
}

/// `sched_getaffinity(2)`.
pub(crate) fn sys_sched_getaffinity(
    cx: &Context<'_>,
    tid: i32,
    len: u32,
    mask: UserAddr,
) -> SysResult<usize> {
    if u64::from(len) * 8 < u64::from(cx.platform().info.cpus) || !len.is_multiple_of(8) {
        return Err(Errno::EINVAL.into());
    }
    if tid < 0 {
        return Err(Errno::ESRCH.into());
    }
    let thread = thread_of(cx, tid)?;
    let cpus = thread.affinity.lock().0 & present(cx);
    cx.memory().copy_out(mask, &cpus.to_le_bytes())?;
    Ok(size_of::<u64>())
}

/// `getcpu(2)`.
pub(crate) fn sys_getcpu(
    cx: &Context<'_>,
    cpu: UserPtr<u32, Out>,
    node: UserPtr<u32, Out>,
    _cache: UserAddr,
) -> SysResult<()> {
    if !cpu.is_null() {
        cpu.write(cx, &cx.scheduler().cpu())?;
    }
    if !node.is_null() {
        node.write(cx, &0)?;
    }
    Ok(())
}

const PRIO_PROCESS: i32 = 0;
const PRIO_PGRP: i32 = 1;
const PRIO_USER: i32 = 2;

/// Returns the threads that `getpriority`, `setpriority`, `ioprio_get` and `ioprio_set` mean, by their `PRIO_*`.
fn threads_of(cx: &Context<'_>, which: i32, who: i32) -> SysResult<Vec<Arc<Thread>>> {
    let all = || cx.system().processes();
    let threads = match which {
        PRIO_PROCESS if who == 0 => alloc::vec![cx.thread.arc()],
        PRIO_PROCESS => u32::try_from(who).ok().and_then(|tid| cx.system().thread(tid)).into_iter().collect(),
        PRIO_PGRP => {
            let group = if who == 0 { cx.process().state.lock().group } else { who.cast_unsigned() };
            all().iter().filter(|p| p.state.lock().group == group).flat_map(|p| p.threads()).collect()
        }
        PRIO_USER => {
            let user = if who == 0 { cx.credentials().uid } else { who.cast_unsigned() };
            all().iter().flat_map(|p| p.threads()).filter(|t| t.credentials().uid == user).collect()
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(threads)
}

/// `getpriority(2)`: the kernel answers 20 minus the nice value.
pub(crate) fn sys_getpriority(cx: &Context<'_>, which: i32, who: i32) -> SysResult<i32> {
    let threads = threads_of(cx, which, who)?;
    let best = threads.iter().map(|t| 20 - i32::from(t.sched.lock().nice)).max();
    Ok(best.ok_or(Errno::ESRCH)?)
}

/// `setpriority(2)`.
pub(crate) fn sys_setpriority(cx: &Context<'_>, which: i32, who: i32, nice: i32) -> SysResult<()> {
    let nice = i8::try_from(nice.clamp(-20, 19)).unwrap_or(0);
    let mut result = Err(Errno::ESRCH);
    for thread in threads_of(cx, which, who)? {
        let old = *thread.sched.lock();
        let caller = cx.credentials();
        let one = if !may_change(cx, &thread) {
            Err(Errno::EPERM)
        } else if nice < old.nice && !caller.can(Capability::SysNice) && !nice_allowed(&thread, nice) {
            Err(Errno::EACCES)
        } else {
            thread.sched.lock().nice = nice;
            apply(&thread, SchedPolicy { nice, ..old });
            Ok(())
        };
        // LINUX: one refusal is the answer, but the others are changed.
        result = match (result, one) {
            (Err(Errno::ESRCH), one) => one,
            (Ok(()), Err(error)) => Err(error),
            (result, _) => result,
        };
    }
    Ok(result?)
}

const IOPRIO_CLASS_SHIFT: u32 = 13;
const IOPRIO_CLASS_NONE: u32 = 0;
const IOPRIO_CLASS_RT: u32 = 1;
const IOPRIO_CLASS_BE: u32 = 2;
const IOPRIO_CLASS_IDLE: u32 = 3;
/// Levels within a class, and the middle one.
const IOPRIO_LEVELS: u32 = 8;
const IOPRIO_NORMAL: u32 = 4;

/// Returns the threads that `ioprio_get` and `ioprio_set` mean: `IOPRIO_WHO_*` are `PRIO_*` plus one.
fn io_threads_of(cx: &Context<'_>, which: i32, who: i32) -> SysResult<Vec<Arc<Thread>>> {
    if !(1..=3).contains(&which) {
        return Err(Errno::EINVAL.into());
    }
    let threads = threads_of(cx, which - 1, who)?;
    if threads.is_empty() { Err(Errno::ESRCH.into()) } else { Ok(threads) }
}

/// `ioprio_set(2)`.
pub(crate) fn sys_ioprio_set(cx: &Context<'_>, which: i32, who: i32, priority: u32) -> SysResult<()> {
    let (class, level) = (priority >> IOPRIO_CLASS_SHIFT, priority & ((1 << IOPRIO_CLASS_SHIFT) - 1));
    let caller = cx.credentials();
    match class {
        IOPRIO_CLASS_RT if !caller.can(Capability::SysAdmin) && !caller.can(Capability::SysNice) => {
            return Err(Errno::EPERM.into());
        }
        IOPRIO_CLASS_RT | IOPRIO_CLASS_BE if level < IOPRIO_LEVELS => {}
        IOPRIO_CLASS_IDLE => {}
        IOPRIO_CLASS_NONE if level == 0 => {}
        _ => return Err(Errno::EINVAL.into()),
    }
    for thread in io_threads_of(cx, which, who)? {
        let target = thread.credentials();
        if target.uid != caller.euid && target.uid != caller.uid && !caller.can(Capability::SysNice) {
            return Err(Errno::EPERM.into());
        }
        thread.io_priority.store(priority, core::sync::atomic::Ordering::Relaxed);
    }
    Ok(())
}

/// `ioprio_get(2)`: the best of those asked for.
pub(crate) fn sys_ioprio_get(cx: &Context<'_>, which: i32, who: i32) -> SysResult<u32> {
    let of = |thread: &Arc<Thread>| {
        let priority = thread.io_priority.load(core::sync::atomic::Ordering::Relaxed);
        // LINUX: what was never set reads as no class at the normal level.
        if priority >> IOPRIO_CLASS_SHIFT == IOPRIO_CLASS_NONE { IOPRIO_NORMAL } else { priority }
    };
    let threads = io_threads_of(cx, which, who)?;
    // A class of none counts as best effort when priorities are compared.
    let rank = |&p: &u32| {
        if p >> IOPRIO_CLASS_SHIFT == IOPRIO_CLASS_NONE {
            IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT | p
        } else {
            p
        }
    };
    Ok(threads.iter().map(of).min_by_key(rank).ok_or(Errno::ESRCH)?)
}
