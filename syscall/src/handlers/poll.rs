//! Waiting for several descriptors: `poll(2)`, `select(2)`, `epoll(7)`.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::poll::{
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLEXCLUSIVE, EPOLLWAKEUP, EpollEvent,
    Pollfd,
};
use abi::signal::SigsetArgument;
use abi::time::{Timespec, Timeval};
use abi::{Errno, Result};
use hal::{Readiness, USER_END, UserAddr};

use super::file::install;
use crate::block::{self, Woken};
use crate::decode::{Fd, Flags, In, InOut, Out, UserPtr};
use crate::epoll::Epoll;
use crate::proc::{CloseOnExec, Description, Object, Resource, Sharing, Watch};
use crate::signal::with_mask;
use crate::{Context, Restart, SysError, SysResult};

/// When a wait ends, on the monotonic clock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// It does not.
    Never,
    /// At once: look and do not sleep.
    Now,
    /// At this time, in nanoseconds.
    At(u64),
}

impl Limit {
    /// Starts a time span; a span that the clock cannot hold never ends.
    fn after(cx: &Context<'_>, ns: u64) -> Self {
        match ns {
            0 => Self::Now,
            _ => cx.clock().monotonic_ns().checked_add(ns).map_or(Self::Never, Self::At),
        }
    }

    /// Starts a span in milliseconds; a negative one never ends.
    fn after_ms(cx: &Context<'_>, ms: i32) -> Self {
        u64::try_from(ms).map_or(Self::Never, |ms| Self::after(cx, ms * 1_000_000))
    }

    const fn deadline(self) -> Option<u64> {
        match self {
            Self::At(at) => Some(at),
            Self::Never | Self::Now => None,
        }
    }

    /// Returns the nanoseconds that are left; `None` where it never ends.
    fn left(self, cx: &Context<'_>) -> Option<u64> {
        match self {
            Self::Never => None,
            Self::Now => Some(0),
            Self::At(at) => Some(at.saturating_sub(cx.clock().monotonic_ns())),
        }
    }
}

/// Checks a time span and converts it to nanoseconds.
fn span_ns(time: Timespec) -> Result<u64> {
    let (Ok(seconds), Ok(ns @ ..1_000_000_000)) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec))
    else {
        return Err(Errno::EINVAL);
    };
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(ns))
}

/// One descriptor that is waited for.
struct Entry {
    description: Option<Arc<Description>>,
    wanted: Readiness,
}

/// Waits until a look at the entries finds something; `look` returns how many are ready.
fn wait_for(
    cx: &Context<'_>,
    entries: &[Entry],
    limit: Limit,
    mut look: impl FnMut() -> usize,
) -> SysResult<usize> {
    let count = look();
    if count > 0 || limit == Limit::Now {
        return Ok(count);
    }
    let waker = cx.thread.waker();
    let _watches: Vec<Watch> = entries
        .iter()
        .filter_map(|e| Some(e.description.as_ref()?.watch(cx.thread, e.wanted, waker, Sharing::All)))
        .collect();
    loop {
        let count = look();
        if count > 0 {
            return Ok(count);
        }
        match block::park(cx, limit.deadline()) {
            Woken::Again => {}
            Woken::Deadline => return Ok(look()),
            Woken::Signal => return Err(SysError::Restart(Restart::NoHandler)),
        }
    }
}

/// `poll(2)`.
pub(crate) fn sys_poll(
    cx: &Context<'_>,
    fds: UserPtr<Pollfd, InOut>,
    count: u32,
    timeout: i32,
) -> SysResult<usize> {
    let limit = Limit::after_ms(cx, timeout);
    poll_until(cx, fds, count, limit)
}

/// Polls, and goes on with the time that is left where a signal without handler came in.
fn poll_until(cx: &Context<'_>, fds: UserPtr<Pollfd, InOut>, count: u32, limit: Limit) -> SysResult<usize> {
    let result = poll(cx, fds, count, limit);
    if result == Err(SysError::Restart(Restart::NoHandler)) {
        let again =
            move |cx: &Context<'_>| Ok(i64::try_from(poll_until(cx, fds, count, limit)?).unwrap_or(i64::MAX));
        cx.thread.signals.set_continuation(Box::new(again));
        return Err(SysError::Restart(Restart::Block));
    }
    result
}

fn poll(cx: &Context<'_>, fds: UserPtr<Pollfd, InOut>, count: u32, limit: Limit) -> SysResult<usize> {
    let count = count as usize;
    if count as u64 > cx.process().limit(Resource::Nofile) {
        return Err(Errno::EINVAL.into());
    }
    let mut list = fds.read_many(cx, count)?;
    let files = cx.files();
    let entries: Vec<Entry> = list
        .iter()
        .map(|fd| Entry { description: files.get(Fd(fd.fd)).ok(), wanted: wanted(fd.events) })
        .collect();
    let ready = wait_for(cx, &entries, limit, || {
        let mut count = 0;
        for (fd, entry) in list.iter_mut().zip(&entries) {
            let found = match &entry.description {
                _ if fd.fd < 0 => Readiness::empty(),
                None => Readiness::NVAL,
                Some(description) => description.readiness(cx.thread) & entry.wanted,
            };
            #[expect(clippy::cast_possible_truncation, reason = "the events of poll have sixteen bits")]
            {
                fd.revents = (found.bits() as u16).cast_signed();
            }
            count += usize::from(!found.is_empty());
        }
        count
    })?;
    // Only the results are written back, as a neighbour may change the rest meanwhile.
    for (index, fd) in list.iter().enumerate() {
        let at = fds.add(index).addr().offset(6);
        UserPtr::<i16, Out>::new(at).write(cx, &fd.revents)?;
    }
    Ok(ready)
}

fn wanted(events: i16) -> Readiness {
    Readiness::from_bits_truncate(u32::from(events.cast_unsigned())) | Readiness::ALWAYS
}

/// Reads a signal set argument; the null pointer is none.
///
/// # Errors
/// `EINVAL` for a size that is not that of a set, `EFAULT`.
pub(crate) fn read_mask(cx: &Context<'_>, mask: UserPtr<u64, In>, size: usize) -> Result<Option<u64>> {
    match mask.non_null() {
        None => Ok(None),
        Some(_) if size != size_of::<u64>() => Err(Errno::EINVAL),
        Some(mask) => mask.read(cx).map(Some),
    }
}

fn read_limit(cx: &Context<'_>, time: UserPtr<Timespec, InOut>) -> Result<Limit> {
    match time.non_null() {
        None => Ok(Limit::Never),
        Some(time) => Ok(Limit::after(cx, span_ns(time.read(cx)?)?)),
    }
}

/// Tells the application how much time was left. LINUX: a fault here is no error, and the call is not restarted then.
fn write_left(cx: &Context<'_>, time: UserPtr<Timespec, InOut>, limit: Limit) {
    if let (Some(time), Some(left)) = (time.non_null(), limit.left(cx)) {
        let left = Timespec {
            tv_sec: (left / 1_000_000_000).cast_signed(),
            tv_nsec: (left % 1_000_000_000).cast_signed(),
        };
        let _ = time.write(cx, &left);
    }
}

/// `ppoll(2)`.
pub(crate) fn sys_ppoll(
    cx: &Context<'_>,
    fds: UserPtr<Pollfd, InOut>,
    count: u32,
    time: UserPtr<Timespec, InOut>,
    mask: UserPtr<u64, In>,
    mask_size: usize,
) -> SysResult<usize> {
    let limit = read_limit(cx, time)?;
    let mask = read_mask(cx, mask, mask_size)?;
    let result = with_mask(cx, mask, || poll(cx, fds, count, limit));
    write_left(cx, time, limit);
    result
}

/// The three sets of `select(2)`, as words.
struct Sets {
    at: [UserAddr; 3],
    words: [Vec<u64>; 3],
}

/// What each set waits for (`select(2)`, "Correspondence between select() and poll() notifications").
const SET_EVENTS: [Readiness; 3] = [
    Readiness::READ.union(Readiness::RDBAND).union(Readiness::HUP).union(Readiness::ERR),
    Readiness::WRITE.union(Readiness::WRBAND).union(Readiness::ERR),
    Readiness::PRI,
];

impl Sets {
    fn read(cx: &Context<'_>, at: [UserAddr; 3], count: usize) -> Result<Self> {
        let mut words = [Vec::new(), Vec::new(), Vec::new()];
        for (set, &at) in words.iter_mut().zip(&at) {
            if !at.is_null() {
                *set = UserPtr::<u64, In>::new(at).read_many(cx, count.div_ceil(64))?;
            }
        }
        Ok(Self { at, words })
    }

    fn has(&self, set: usize, fd: usize) -> bool {
        self.words[set].get(fd / 64).is_some_and(|w| w >> (fd % 64) & 1 != 0)
    }

    fn write(&self, cx: &Context<'_>) -> Result<()> {
        for (at, words) in self.at.iter().zip(&self.words) {
            if !at.is_null() {
                UserPtr::<u64, Out>::new(*at).write_many(cx, words)?;
            }
        }
        Ok(())
    }
}

fn select(cx: &Context<'_>, count: i32, at: [UserAddr; 3], limit: Limit) -> SysResult<usize> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let files = cx.files();
    // LINUX: descriptors above the table are not looked at, and are not errors.
    let count = count.min(files.capacity());
    let sets = Sets::read(cx, at, count)?;
    let mut entries = Vec::new();
    let mut numbers = Vec::new();
    for fd in 0..count {
        let mut wanted = Readiness::empty();
        for (set, events) in SET_EVENTS.iter().enumerate() {
            if sets.has(set, fd) {
                wanted |= *events;
            }
        }
        if !wanted.is_empty() {
            let number = i32::try_from(fd).map_err(|_| Errno::EINVAL)?;
            entries.push(Entry { description: Some(files.get(Fd(number))?), wanted });
            numbers.push(fd);
        }
    }
    let mut found = Sets { at, words: sets.words.clone() };
    let ready = wait_for(cx, &entries, limit, || {
        found.words.iter_mut().flatten().for_each(|w| *w = 0);
        let mut ready = 0;
        for (entry, &fd) in entries.iter().zip(&numbers) {
            let Some(description) = &entry.description else { continue };
            let now = description.readiness(cx.thread);
            for (set, events) in SET_EVENTS.iter().enumerate() {
                if sets.has(set, fd) && now.intersects(*events) {
                    found.words[set][fd / 64] |= 1 << (fd % 64);
                    ready += 1;
                }
            }
        }
        ready
    })?;
    found.write(cx)?;
    Ok(ready)
}

/// `select(2)`: tells how much time was left.
pub(crate) fn sys_select(
    cx: &Context<'_>,
    count: i32,
    read: UserAddr,
    write: UserAddr,
    except: UserAddr,
    time: UserPtr<Timeval, InOut>,
) -> SysResult<usize> {
    let limit = match time.non_null() {
        None => Limit::Never,
        Some(time) => {
            let t = time.read(cx)?;
            // LINUX: more than a second of microseconds is allowed, and carried over.
            let (Ok(seconds), Ok(micros)) = (u64::try_from(t.tv_sec), u64::try_from(t.tv_usec)) else {
                return Err(Errno::EINVAL.into());
            };
            let ns = seconds.saturating_mul(1_000_000_000).saturating_add(micros.saturating_mul(1000));
            Limit::after(cx, ns)
        }
    };
    let result = select(cx, count, [read, write, except], limit);
    if let (Some(time), Some(left)) = (time.non_null(), limit.left(cx)) {
        let left = Timeval {
            tv_sec: (left / 1_000_000_000).cast_signed(),
            tv_usec: (left % 1_000_000_000 / 1000).cast_signed(),
        };
        let _ = time.write(cx, &left);
    }
    result
}

/// `pselect6(2)`: the sixth argument points to the address and size of the signal set.
pub(crate) fn sys_pselect6(
    cx: &Context<'_>,
    count: i32,
    read: UserAddr,
    write: UserAddr,
    except: UserAddr,
    time: UserPtr<Timespec, InOut>,
    mask: UserPtr<SigsetArgument, In>,
) -> SysResult<usize> {
    let (address, size) = match mask.non_null() {
        None => (0, 0),
        Some(mask) => {
            let pair = mask.read(cx)?;
            (pair.address, pair.size)
        }
    };
    let limit = read_limit(cx, time)?;
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let mask = read_mask(cx, UserPtr::new(UserAddr(address)), size)?;
    let result = with_mask(cx, mask, || select(cx, count, [read, write, except], limit));
    write_left(cx, time, limit);
    result
}

/// `epoll_create(2)`: the size only has to be positive.
pub(crate) fn sys_epoll_create(cx: &Context<'_>, size: i32) -> SysResult<i32> {
    if size <= 0 {
        return Err(Errno::EINVAL.into());
    }
    epoll_create(cx, CloseOnExec::No)
}

/// `epoll_create1(2)`.
pub(crate) fn sys_epoll_create1(cx: &Context<'_>, flags: Flags) -> SysResult<i32> {
    if flags.0 & !EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL.into());
    }
    epoll_create(cx, CloseOnExec::from_bit(flags.0 & EPOLL_CLOEXEC != 0))
}

fn epoll_create(cx: &Context<'_>, close: CloseOnExec) -> SysResult<i32> {
    Ok(install(cx, Description::new(Object::Epoll(Epoll::new()), 0), close)?.0)
}

/// `epoll_ctl(2)`.
pub(crate) fn sys_epoll_ctl(
    cx: &Context<'_>,
    epfd: Fd,
    operation: i32,
    fd: Fd,
    event: UserPtr<EpollEvent, In>,
) -> SysResult<()> {
    // What EPOLLEXCLUSIVE may come with.
    const EXCLUSIVE_OK: u32 = 0x1 | 0x4 | 0x8 | 0x10 | EPOLLWAKEUP | abi::poll::EPOLLET | EPOLLEXCLUSIVE;
    let mut event = if operation == EPOLL_CTL_DEL { EpollEvent::default() } else { event.read(cx)? };
    let (outer, target) = (cx.files().get(epfd)?, cx.files().get(fd)?);
    if outer.is_path_only() || target.is_path_only() {
        return Err(Errno::EBADF.into());
    }
    if !target.pollable() {
        return Err(Errno::EPERM.into());
    }
    let Object::Epoll(epoll) = outer.object() else { return Err(Errno::EINVAL.into()) };
    if Arc::ptr_eq(&outer, &target) {
        return Err(Errno::EINVAL.into());
    }
    let inner = match target.object() {
        Object::Epoll(inner) => Some(inner),
        _ => None,
    };
    let events = event.events;
    if operation != EPOLL_CTL_DEL && events & EPOLLEXCLUSIVE != 0 {
        let refused = operation == EPOLL_CTL_MOD || inner.is_some() || events & !EXCLUSIVE_OK != 0;
        if refused {
            return Err(Errno::EINVAL.into());
        }
    }
    // Nothing sleeps here, so that there is nothing to keep awake.
    event.events = events & !EPOLLWAKEUP;
    match operation {
        EPOLL_CTL_ADD => {
            if inner.is_some_and(|inner| inner.leads_to(epoll, 0)) {
                return Err(Errno::ELOOP.into());
            }
            Ok(epoll.add(fd.0, &target, event, cx.thread)?)
        }
        EPOLL_CTL_DEL => Ok(epoll.remove(fd.0, &target)?),
        EPOLL_CTL_MOD => Ok(epoll.modify(fd.0, &target, event, cx.thread)?),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn epoll_wait(
    cx: &Context<'_>,
    epfd: Fd,
    events: UserPtr<EpollEvent, Out>,
    max: i32,
    limit: Limit,
) -> SysResult<usize> {
    const MOST: i32 = i32::MAX / 12;
    let max = match max {
        1..=MOST => max.unsigned_abs() as usize,
        _ => return Err(Errno::EINVAL.into()),
    };
    let bytes = (max * size_of::<EpollEvent>()) as u64;
    if events.addr().0.checked_add(bytes).is_none_or(|end| end > USER_END) {
        return Err(Errno::EFAULT.into());
    }
    let description = cx.files().get(epfd)?;
    if description.is_path_only() {
        return Err(Errno::EBADF.into());
    }
    let Object::Epoll(epoll) = description.object() else { return Err(Errno::EINVAL.into()) };
    let step = || {
        let collected = epoll.collect(cx.thread, max);
        if collected.events.is_empty() {
            return Err(Errno::EAGAIN);
        }
        match events.write_many(cx, &collected.events) {
            Ok(()) => {
                epoll.delivered(&collected);
                Ok(collected.events.len())
            }
            Err(errno) => {
                epoll.undelivered(&collected);
                Err(errno)
            }
        }
    };
    let result = match limit {
        Limit::Now => step().map_err(SysError::from),
        _ => block::until_ready(cx, epoll.waiters(), Readiness::READ, limit.deadline(), step),
    };
    match result {
        Err(SysError::Errno(Errno::EAGAIN)) => Ok(0),
        Err(SysError::Restart(_)) => Err(Errno::EINTR.into()),
        other => other,
    }
}

/// `epoll_wait(2)`.
pub(crate) fn sys_epoll_wait(
    cx: &Context<'_>,
    epfd: Fd,
    events: UserPtr<EpollEvent, Out>,
    max: i32,
    timeout: i32,
) -> SysResult<usize> {
    epoll_wait(cx, epfd, events, max, Limit::after_ms(cx, timeout))
}

/// `epoll_pwait(2)`.
pub(crate) fn sys_epoll_pwait(
    cx: &Context<'_>,
    epfd: Fd,
    events: UserPtr<EpollEvent, Out>,
    max: i32,
    timeout: i32,
    mask: UserPtr<u64, In>,
    mask_size: usize,
) -> SysResult<usize> {
    let mask = read_mask(cx, mask, mask_size)?;
    with_mask(cx, mask, || epoll_wait(cx, epfd, events, max, Limit::after_ms(cx, timeout)))
}

/// `epoll_pwait2(2)`: the time span as `timespec`.
pub(crate) fn sys_epoll_pwait2(
    cx: &Context<'_>,
    epfd: Fd,
    events: UserPtr<EpollEvent, Out>,
    max: i32,
    time: UserPtr<Timespec, InOut>,
    mask: UserPtr<u64, In>,
    mask_size: usize,
) -> SysResult<usize> {
    let limit = read_limit(cx, time)?;
    let mask = read_mask(cx, mask, mask_size)?;
    with_mask(cx, mask, || epoll_wait(cx, epfd, events, max, limit))
}
