//! Options: `setsockopt(2)`, `getsockopt(2)` (`socket(7)`).

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::socket::{
    AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, Linger, SO_ACCEPTCONN, SO_BINDTODEVICE, SO_BINDTOIFINDEX,
    SO_BROADCAST, SO_BSDCOMPAT, SO_BUF_LOCK, SO_BUSY_POLL, SO_COOKIE, SO_DEBUG, SO_DOMAIN, SO_DONTROUTE,
    SO_ERROR, SO_INCOMING_CPU, SO_KEEPALIVE, SO_LINGER, SO_MARK, SO_NO_CHECK, SO_OOBINLINE, SO_PASSCRED,
    SO_PEEK_OFF, SO_PEERCRED, SO_PEERGROUPS, SO_PEERNAME, SO_PEERSEC, SO_PRIORITY, SO_PROTOCOL, SO_RCVBUF,
    SO_RCVBUFFORCE, SO_RCVLOWAT, SO_RCVTIMEO_NEW, SO_RCVTIMEO_OLD, SO_REUSEADDR, SO_REUSEPORT, SO_RXQ_OVFL,
    SO_SNDBUF, SO_SNDBUFFORCE, SO_SNDLOWAT, SO_SNDTIMEO_NEW, SO_SNDTIMEO_OLD, SO_TIMESTAMP_OLD,
    SO_TIMESTAMPNS_OLD, SO_TYPE, SO_ZEROCOPY, SOL_SOCKET,
};
use abi::time::Timeval;
use abi::{Errno, Result};
use hal::UserAddr;
use net::{Common, MAX_BUFFER};
use zerocopy::{FromBytes, IntoBytes};

use super::address::Encoded;
use super::{find, socket_of};
use crate::decode::{Fd, InOut, UserPtr};
use crate::proc::{Capability, Credentials};
use crate::socket::{SocketFile, identity};
use crate::{Context, SysResult};

/// Smallest buffers, in bytes as they are told (`SOCK_MIN_SNDBUF`, `SOCK_MIN_RCVBUF`).
const SMALLEST: (u32, u32) = (4608, 2304);
/// Longest value of a family's own option that is looked at.
const VALUE_MAX: usize = 4096;
/// Timeouts are counted in ticks, of which a second has 250.
const TICK_US: u64 = 4000;
/// Priorities up to this one are free to all (`TC_PRIO_INTERACTIVE`).
const PRIORITY_MAX: i32 = 6;

/// `setsockopt(2)`.
pub(crate) fn sys_setsockopt(
    cx: &Context<'_>,
    fd: Fd,
    level: i32,
    name: i32,
    at: UserAddr,
    len: i32,
) -> SysResult<()> {
    let description = find(cx, fd)?;
    let socket = socket_of(&description)?;
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    let read = |most: usize| -> Result<Vec<u8>> {
        let mut value = alloc::vec![0; len.min(most)];
        cx.memory().copy_in(at, &mut value).map_err(|_| Errno::EFAULT)?;
        Ok(value)
    };
    let who = identity(cx.thread);
    if level != SOL_SOCKET {
        return Ok(socket.socket().set_option(level, name, &read(VALUE_MAX)?, &who)?);
    }
    if name == SO_BINDTODEVICE {
        return Ok(socket.socket().set_option(level, name, &read(15)?, &who)?);
    }
    if len < size_of::<i32>() {
        return Err(Errno::EINVAL.into());
    }
    let value = read(VALUE_MAX)?;
    let number = i32::read_from_prefix(&value).map_err(|_| Errno::EINVAL)?.0;
    set_common(cx, socket, name, number, &value)?;
    Ok(())
}

/// Returns the switch behind an option.
fn switch(common: &Common, name: i32) -> Option<&AtomicBool> {
    Some(match name {
        SO_DEBUG => &common.debug,
        SO_REUSEADDR => &common.reuse_address,
        SO_REUSEPORT => &common.reuse_port,
        SO_KEEPALIVE => &common.keep_alive,
        SO_BROADCAST => &common.broadcast,
        SO_OOBINLINE => &common.oob_inline,
        SO_DONTROUTE => &common.dont_route,
        SO_PASSCRED => &common.pass_credentials,
        SO_RXQ_OVFL => &common.count_drops,
        SO_ZEROCOPY => &common.zero_copy,
        SO_NO_CHECK => &common.no_check,
        _ => return None,
    })
}

/// Checks what only some sockets and some callers may switch.
fn check_switch(socket: &SocketFile, who: &Credentials, name: i32, value: i32) -> Result<()> {
    let inet = matches!(socket.domain(), AF_INET | AF_INET6);
    match name {
        SO_DEBUG if value != 0 && !who.can(Capability::NetAdmin) => Err(Errno::EACCES),
        SO_REUSEPORT if value != 0 && !inet => Err(Errno::EOPNOTSUPP),
        SO_PASSCRED if !matches!(socket.domain(), AF_UNIX | AF_NETLINK) => Err(Errno::EOPNOTSUPP),
        // DEVIATION: Linux lets a number out here that is no errno of its interface (524).
        SO_ZEROCOPY if !inet => Err(Errno::EOPNOTSUPP),
        SO_ZEROCOPY if !(0..=1).contains(&value) => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

fn set_common(cx: &Context<'_>, socket: &SocketFile, name: i32, number: i32, value: &[u8]) -> Result<()> {
    let common = socket.socket().common();
    let who = cx.credentials();
    let unsigned = number.cast_unsigned();
    if let Some(switch) = switch(common, name) {
        check_switch(socket, &who, name, number)?;
        switch.store(number != 0, Ordering::Relaxed);
        return tell_family(cx, socket, name, value);
    }
    match name {
        SO_TYPE | SO_PROTOCOL | SO_DOMAIN | SO_ERROR => return Err(Errno::ENOPROTOOPT),
        SO_PRIORITY => {
            let may = (0..=PRIORITY_MAX).contains(&number)
                || who.can(Capability::NetRaw)
                || who.can(Capability::NetAdmin);
            if !may {
                return Err(Errno::EPERM);
            }
            common.priority.store(number, Ordering::Relaxed);
        }
        SO_SNDBUF => set_send_buffer(common, unsigned.min(MAX_BUFFER)),
        SO_RCVBUF => set_receive_buffer(common, unsigned.min(MAX_BUFFER)),
        SO_SNDBUFFORCE | SO_RCVBUFFORCE => {
            if !who.can(Capability::NetAdmin) {
                return Err(Errno::EPERM);
            }
            let bytes = number.max(0).cast_unsigned();
            if name == SO_SNDBUFFORCE {
                set_send_buffer(common, bytes)
            } else {
                set_receive_buffer(common, bytes)
            }
        }
        SO_LINGER => {
            let (linger, _) = Linger::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
            // LINUX: a negative time is a long one.
            let time = if linger.l_linger < 0 { i32::MAX } else { linger.l_linger };
            common.linger.store(if linger.l_onoff == 0 { -1 } else { time }, Ordering::Relaxed);
        }
        SO_BSDCOMPAT => {}
        SO_TIMESTAMP_OLD | SO_TIMESTAMPNS_OLD => {
            let kind = if name == SO_TIMESTAMP_OLD { 1 } else { 2 };
            common.timestamps.store(if number != 0 { kind } else { 0 }, Ordering::Relaxed);
        }
        SO_RCVLOWAT => {
            let low = if number < 0 { i32::MAX.unsigned_abs() } else { unsigned.max(1) };
            common.receive_low.store(low, Ordering::Relaxed);
        }
        SO_RCVTIMEO_OLD | SO_RCVTIMEO_NEW => {
            common.receive_timeout_ns.store(timeout(value)?, Ordering::Relaxed)
        }
        SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW => common.send_timeout_ns.store(timeout(value)?, Ordering::Relaxed),
        SO_MARK => {
            if !who.can(Capability::NetRaw) && !who.can(Capability::NetAdmin) {
                return Err(Errno::EPERM);
            }
            common.mark.store(unsigned, Ordering::Relaxed);
        }
        SO_PEEK_OFF => common.peek_offset.store(number.max(-1), Ordering::Relaxed),
        SO_BUSY_POLL => {
            if number < 0 {
                return Err(Errno::EINVAL);
            }
            let more = unsigned > common.busy_poll.load(Ordering::Relaxed);
            if more && !who.can(Capability::NetAdmin) {
                return Err(Errno::EPERM);
            }
            common.busy_poll.store(unsigned, Ordering::Relaxed);
        }
        SO_INCOMING_CPU => common.incoming_cpu.store(number, Ordering::Relaxed),
        SO_BUF_LOCK => {
            if unsigned & !3 != 0 {
                return Err(Errno::EINVAL);
            }
            common.buffer_lock.store(unsigned, Ordering::Relaxed);
        }
        // What is left belongs to the family, or to nobody.
        _ => return socket.socket().set_option(SOL_SOCKET, name, value, &identity(cx.thread)),
    }
    tell_family(cx, socket, name, value)
}

/// Lets the family act on an option that was noted. One that it does not care for is no error.
fn tell_family(cx: &Context<'_>, socket: &SocketFile, name: i32, value: &[u8]) -> Result<()> {
    match socket.socket().set_option(SOL_SOCKET, name, value, &identity(cx.thread)) {
        Err(Errno::ENOPROTOOPT) => Ok(()),
        other => other,
    }
}

/// LINUX: twice the bytes are set aside, as what manages them counts, too.
fn doubled(bytes: u32, smallest: u32) -> u32 {
    (bytes.min(i32::MAX.unsigned_abs() / 2) * 2).max(smallest)
}

fn set_send_buffer(common: &Common, bytes: u32) {
    common.send_buffer.store(doubled(bytes, SMALLEST.0), Ordering::Relaxed);
    common.buffer_lock.fetch_or(1, Ordering::Relaxed);
}

fn set_receive_buffer(common: &Common, bytes: u32) {
    common.receive_buffer.store(doubled(bytes, SMALLEST.1), Ordering::Relaxed);
    common.buffer_lock.fetch_or(2, Ordering::Relaxed);
}

/// Reads a timeout; returns nanoseconds, 0 for none.
fn timeout(value: &[u8]) -> Result<u64> {
    let (time, _) = Timeval::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
    let Ok(micros @ ..1_000_000) = u64::try_from(time.tv_usec) else { return Err(Errno::EDOM) };
    let Ok(seconds) = u64::try_from(time.tv_sec) else {
        // LINUX: a negative time is over at once.
        return Ok(1);
    };
    let micros = seconds.saturating_mul(1_000_000).saturating_add(micros.next_multiple_of(TICK_US));
    Ok(micros.saturating_mul(1000))
}

fn timeval(ns: u64) -> Timeval {
    let micros = ns / 1000;
    Timeval { tv_sec: (micros / 1_000_000).cast_signed(), tv_usec: (micros % 1_000_000).cast_signed() }
}

/// `getsockopt(2)`.
pub(crate) fn sys_getsockopt(
    cx: &Context<'_>,
    fd: Fd,
    level: i32,
    name: i32,
    at: UserAddr,
    len_at: UserPtr<i32, InOut>,
) -> SysResult<()> {
    let description = find(cx, fd)?;
    let socket = socket_of(&description)?;
    let room = || -> Result<usize> { usize::try_from(len_at.read(cx)?).map_err(|_| Errno::EINVAL) };
    if level != SOL_SOCKET {
        // A family that does not know the level says so before the length is looked at.
        let value = socket.socket().option(level, name)?;
        return give(cx, &value, room()?, at, len_at);
    }
    let room = room()?;
    let value = match name {
        SO_PEERGROUPS => {
            let groups = socket.socket().common().peer_groups().ok_or(Errno::ENODATA)?;
            let bytes = groups.as_bytes();
            if bytes.len() > room {
                len_at.write(cx, &i32::try_from(bytes.len()).unwrap_or(i32::MAX))?;
                return Err(Errno::ERANGE.into());
            }
            bytes.to_vec()
        }
        SO_PEERNAME => {
            let peer = socket.socket().peer().map_err(|_| Errno::ENOTCONN)?;
            let name = Encoded::new(&peer, socket.domain());
            if name.as_bytes().len() < room {
                return Err(Errno::EINVAL.into());
            }
            name.as_bytes().to_vec()
        }
        SO_COOKIE if room < size_of::<u64>() => return Err(Errno::EINVAL.into()),
        _ => common_value(socket, name)?,
    };
    give(cx, &value, room, at, len_at)
}

/// Copies a value out, cut to the room there is, and tells how much that was.
fn give(
    cx: &Context<'_>,
    value: &[u8],
    room: usize,
    at: UserAddr,
    len_at: UserPtr<i32, InOut>,
) -> SysResult<()> {
    let part = value.len().min(room);
    cx.memory().copy_out(at, &value[..part])?;
    len_at.write(cx, &i32::try_from(part).unwrap_or(i32::MAX))?;
    Ok(())
}

fn common_value(socket: &SocketFile, name: i32) -> Result<Vec<u8>> {
    let inner = socket.socket();
    let common = inner.common();
    if let Some(switch) = switch(common, name) {
        if name == SO_PASSCRED {
            let credentials = matches!(socket.domain(), AF_UNIX | AF_NETLINK);
            credentials.then_some(()).ok_or(Errno::EOPNOTSUPP)?;
        }
        return Ok(i32::from(switch.load(Ordering::Relaxed)).as_bytes().to_vec());
    }
    let number = |value: u32| Ok(value.as_bytes().to_vec());
    let signed = |value: i32| Ok(value.as_bytes().to_vec());
    match name {
        SO_TYPE => number(common.kind),
        SO_PROTOCOL => signed(common.protocol),
        SO_DOMAIN => number(u32::from(common.domain)),
        SO_ERROR => signed(common.take_error().map_or(0, Errno::number)),
        SO_PRIORITY => signed(common.priority.load(Ordering::Relaxed)),
        SO_SNDBUF => number(common.send_buffer.load(Ordering::Relaxed)),
        SO_RCVBUF => number(common.receive_buffer.load(Ordering::Relaxed)),
        SO_LINGER => {
            let time = common.linger.load(Ordering::Relaxed);
            let linger = Linger { l_onoff: i32::from(time >= 0), l_linger: time.max(0) };
            Ok(linger.as_bytes().to_vec())
        }
        SO_BSDCOMPAT => signed(0),
        SO_TIMESTAMP_OLD => signed(i32::from(common.timestamps.load(Ordering::Relaxed) == 1)),
        SO_TIMESTAMPNS_OLD => signed(i32::from(common.timestamps.load(Ordering::Relaxed) == 2)),
        SO_RCVLOWAT => number(common.receive_low.load(Ordering::Relaxed)),
        SO_SNDLOWAT => signed(1),
        SO_RCVTIMEO_OLD | SO_RCVTIMEO_NEW => {
            Ok(timeval(common.receive_timeout_ns.load(Ordering::Relaxed)).as_bytes().to_vec())
        }
        SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW => {
            Ok(timeval(common.send_timeout_ns.load(Ordering::Relaxed)).as_bytes().to_vec())
        }
        SO_MARK => number(common.mark.load(Ordering::Relaxed)),
        SO_PEEK_OFF => signed(common.peek_offset.load(Ordering::Relaxed)),
        SO_BUSY_POLL => number(common.busy_poll.load(Ordering::Relaxed)),
        SO_INCOMING_CPU => signed(common.incoming_cpu.load(Ordering::Relaxed)),
        SO_BUF_LOCK => number(common.buffer_lock.load(Ordering::Relaxed)),
        SO_ACCEPTCONN => signed(i32::from(common.listens.load(Ordering::SeqCst))),
        SO_BINDTOIFINDEX => number(common.interface.load(Ordering::Relaxed)),
        SO_COOKIE => Ok(common.id.as_bytes().to_vec()),
        SO_PEERCRED => {
            let peer = *common.peer_credentials.lock();
            // LINUX: nobody has process 0 and no user or group.
            let who = peer.map_or(abi::socket::Ucred { pid: 0, uid: u32::MAX, gid: u32::MAX }, |p| {
                abi::socket::Ucred { pid: p.pid.cast_signed(), uid: p.uid, gid: p.gid }
            });
            Ok(who.as_bytes().to_vec())
        }
        // No security module labels anything.
        SO_PEERSEC => Err(Errno::ENOPROTOOPT),
        _ => inner.option(SOL_SOCKET, name),
    }
}
