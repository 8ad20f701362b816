//! One message: `sendto(2)`, `sendmsg(2)`, `recvfrom(2)`, `recvmsg(2)`.

use alloc::vec::Vec;

use abi::fs::{IOV_MAX, Iovec};
use abi::socket::{AF_INET, AF_INET6, AF_UNIX, MsgFlags, Msghdr, SOCK_SEQPACKET, SOCK_STREAM};
use abi::{Errno, Result};
use hal::{Dest, Source, UserAddr, UserRange};
use net::{Address, Outgoing};
use zerocopy::IntoBytes;

use super::address::{Encoded, Purpose, Raw};
use super::cmsg::{self, Control};
use super::transfer::{self, Waits};
use super::{find, socket_of};
use crate::decode::{Fd, Flags, In, InBuf, InOut, Out, OutBuf, UserPtr};
use crate::handlers::io::{MAX_RW, check_range, read_vector};
use crate::proc::Description;
use crate::socket::SocketFile;
use crate::{Context, SysResult};

/// Set by old 32-bit programs alone.
const MSG_CMSG_COMPAT: u32 = 0x8000_0000;
/// Longest name that is looked at.
const NAME_MAX: i32 = 128;

/// Buffers of a message; few of them cost no memory of the heap.
pub(super) enum Buffers {
    /// Up to eight.
    Few([UserRange; FEW], usize),
    /// More.
    Many(Vec<UserRange>),
}

const FEW: usize = 8;

impl Buffers {
    /// Copies the list in.
    ///
    /// # Errors
    /// `EMSGSIZE` for more than `IOV_MAX`, `EINVAL` for a negative length, `EFAULT`
    fn read(cx: &Context<'_>, at: u64, count: u64) -> Result<Self> {
        let count = usize::try_from(count).ok().filter(|&c| c <= IOV_MAX).ok_or(Errno::EMSGSIZE)?;
        if count > FEW {
            return Ok(Self::Many(read_vector(cx, UserPtr::<Iovec, In>::new(UserAddr(at)), count)?));
        }
        let mut entries = [Iovec::default(); FEW];
        let entries = &mut entries[..count];
        cx.memory().copy_in(UserAddr(at), entries.as_mut_bytes()).map_err(|_| Errno::EFAULT)?;
        if entries.iter().any(|e| e.iov_len.cast_signed() < 0) {
            return Err(Errno::EINVAL);
        }
        let mut ranges = [UserRange { start: UserAddr::NULL, len: 0 }; FEW];
        let mut left = MAX_RW;
        for (range, entry) in ranges.iter_mut().zip(entries) {
            let len = usize::try_from(entry.iov_len).map_err(|_| Errno::EINVAL)?;
            let checked = check_range(UserRange { start: UserAddr(entry.iov_base), len })?;
            *range = UserRange { len: checked.len.min(left), ..checked };
            left -= range.len;
        }
        Ok(Self::Few(ranges, count))
    }

    fn ranges(&self) -> &[UserRange] {
        match self {
            Self::Few(ranges, count) => &ranges[..*count],
            Self::Many(ranges) => ranges,
        }
    }
}

fn flags_of(flags: Flags) -> MsgFlags {
    MsgFlags::from_bits_retain(flags.0)
}

/// `sendto(2)`.
pub(crate) fn sys_sendto(
    cx: &Context<'_>,
    fd: Fd,
    from: InBuf,
    flags: Flags,
    to: UserAddr,
    to_len: i32,
) -> SysResult<usize> {
    let range = check_range(from.0)?;
    let description = find(cx, fd)?;
    let socket = socket_of(&description)?;
    let flags = flags_of(flags) - MsgFlags::from_bits_retain(MSG_CMSG_COMPAT);
    let address = if to.is_null() { None } else { Some(Raw::read(cx, to, to_len)?) };
    let mut message = socket.outgoing(cx);
    message.flags = flags;
    send_to(cx, &description, socket, address.as_ref(), &mut Source::user(cx.memory(), range), &mut message)
}

/// Sends to an address that was copied in. Where there is none, or of no length, it is the connected peer's.
fn send_to(
    cx: &Context<'_>,
    description: &Description,
    socket: &SocketFile,
    to: Option<&Raw>,
    from: &mut Source<'_>,
    message: &mut Outgoing<'_>,
) -> SysResult<usize> {
    let waits = Waits::with(description, message.flags);
    let Some(raw) = to.filter(|raw| !raw.is_empty()) else {
        return transfer::send(cx, socket, from, message, waits);
    };
    let address = match (socket.domain(), socket.kind()) {
        // LINUX: what a connection sends goes to its peer, whatever the address says.
        (AF_UNIX, SOCK_SEQPACKET) | (AF_INET | AF_INET6, SOCK_STREAM) if !fast_open(message.flags) => {
            return transfer::send(cx, socket, from, message, waits);
        }
        // But this one refuses any address, and does not look it up.
        (AF_UNIX, SOCK_STREAM) => Address::Unspecified,
        (domain, _) => raw.decode(cx, domain, Purpose::Send)?,
    };
    let ancillary = core::mem::take(&mut message.ancillary);
    let mut message =
        Outgoing { to: Some(&address), flags: message.flags, ancillary, sender: message.sender };
    transfer::send(cx, socket, from, &mut message, waits)
}

const fn fast_open(flags: MsgFlags) -> bool {
    flags.contains(MsgFlags::MSG_FASTOPEN)
}

/// `sendmsg(2)`.
pub(crate) fn sys_sendmsg(
    cx: &Context<'_>,
    fd: Fd,
    header: UserPtr<Msghdr, In>,
    flags: Flags,
) -> SysResult<usize> {
    if flags.0 & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let description = find(cx, fd)?;
    send_message(cx, &description, header, flags_of(flags))
}

/// Sends what a message header describes. Header, name, buffers, ancillary data are looked at in that order.
pub(super) fn send_message(
    cx: &Context<'_>,
    description: &Description,
    header: UserPtr<Msghdr, In>,
    flags: MsgFlags,
) -> SysResult<usize> {
    let socket = socket_of(description)?;
    let header = header.read(cx)?;
    let name_len = name_len(&header)?;
    let name = if name_len > 0 { Some(Raw::read(cx, UserAddr(header.msg_name), name_len)?) } else { None };
    let buffers = Buffers::read(cx, header.msg_iov, header.msg_iovlen)?;
    let mut message = socket.outgoing(cx);
    message.flags = flags;
    cmsg::read(cx, socket, UserAddr(header.msg_control), header.msg_controllen, &mut message.ancillary)?;
    let mut from = Source::user_ranges(cx.memory(), buffers.ranges());
    send_to(cx, description, socket, name.as_ref(), &mut from, &mut message)
}

/// Returns the length of a header's name. LINUX: a longer one than any address is cut; no name has no length.
fn name_len(header: &Msghdr) -> Result<i32> {
    match header.msg_namelen.cast_signed() {
        ..0 => Err(Errno::EINVAL),
        _ if header.msg_name == 0 => Ok(0),
        len => Ok(len.min(NAME_MAX)),
    }
}

/// `recvfrom(2)`.
pub(crate) fn sys_recvfrom(
    cx: &Context<'_>,
    fd: Fd,
    to: OutBuf,
    flags: Flags,
    from: UserAddr,
    from_len: UserPtr<i32, InOut>,
) -> SysResult<usize> {
    let range = check_range(to.0)?;
    let description = find(cx, fd)?;
    let socket = socket_of(&description)?;
    let flags = flags_of(flags);
    let mut to = Dest::user(cx.memory(), range);
    let got = transfer::receive(cx, socket, &mut to, flags, Waits::with(&description, flags))?;
    if !from.is_null() {
        let name = got.from.as_ref().map_or(Encoded::empty(), |f| Encoded::new(f, socket.domain()));
        name.write(cx, from, from_len)?;
    }
    Ok(got.len)
}

/// `recvmsg(2)`.
pub(crate) fn sys_recvmsg(
    cx: &Context<'_>,
    fd: Fd,
    header: UserPtr<Msghdr, InOut>,
    flags: Flags,
) -> SysResult<usize> {
    if flags.0 & MSG_CMSG_COMPAT != 0 {
        return Err(Errno::EINVAL.into());
    }
    let description = find(cx, fd)?;
    receive_message(cx, &description, header, flags_of(flags))
}

/// Receives into what a message header describes.
pub(super) fn receive_message(
    cx: &Context<'_>,
    description: &Description,
    at: UserPtr<Msghdr, InOut>,
    flags: MsgFlags,
) -> SysResult<usize> {
    let socket = socket_of(description)?;
    let header = at.read(cx)?;
    name_len(&header)?;
    let buffers = Buffers::read(cx, header.msg_iov, header.msg_iovlen)?;
    let mut to = Dest::user_ranges(cx.memory(), buffers.ranges());
    let got = transfer::receive(cx, socket, &mut to, flags, Waits::with(description, flags))?;
    let mut control = Control::new(&header, flags);
    control.flags |= got.flags;
    control.write(cx, socket, got.ancillary)?;
    let field = |offset: usize| at.addr().offset(offset as u64);
    if header.msg_name != 0 {
        let name = got.from.as_ref().map_or(Encoded::empty(), |f| Encoded::new(f, socket.domain()));
        let len_at = field(core::mem::offset_of!(Msghdr, msg_namelen));
        name.write(cx, UserAddr(header.msg_name), UserPtr::new(len_at))?;
    }
    let flags_at = field(core::mem::offset_of!(Msghdr, msg_flags));
    UserPtr::<u32, Out>::new(flags_at).write(cx, &control.flags.bits())?;
    let used_at = field(core::mem::offset_of!(Msghdr, msg_controllen));
    UserPtr::<u64, Out>::new(used_at).write(cx, &control.used())?;
    Ok(got.len)
}
