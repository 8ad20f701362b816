//! Ancillary data (`cmsg(3)`): taken apart on the way in, put together on the way out.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi::socket::{
    AF_INET, AF_INET6, AF_UNIX, Cmsghdr, IP_PKTINFO, IP_RECVERR, IP_TOS, IP_TTL, IPV6_HOPLIMIT, IPV6_PKTINFO,
    IPV6_RECVERR, IPV6_TCLASS, In6Pktinfo, InPktinfo, MsgFlags, Msghdr, SCM_CREDENTIALS, SCM_RIGHTS,
    SCM_TIMESTAMP_OLD, SCM_TIMESTAMPNS_OLD, SO_RXQ_OVFL, SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_UDP,
    SockExtendedErr, SockaddrIn, SockaddrIn6, UDP_SEGMENT,
};
use abi::time::{Timespec, Timeval};
use abi::{Errno, Result};
use core::sync::atomic::Ordering;
use hal::UserAddr;
use net::{Ancillary, ErrorReport, Passed, Ucred, mapped};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::decode::{Fd, Out, UserPtr};
use crate::handlers::file::install;
use crate::proc::{Capability, CloseOnExec, Description, Resource};
use crate::socket::SocketFile;
use crate::{Context, SysResult};

/// Most descriptors in one message (`SCM_MAX_FD`).
const RIGHTS_MAX: usize = 253;
/// Most ancillary data that one message brings (`net.core.optmem_max`).
const CONTROL_MAX: u64 = 131_072;
/// Bytes of a header, which its data follow.
const HEADER: usize = size_of::<Cmsghdr>();
/// What the error queue says of a report whose origin has no address.
const NO_ADDRESS: u16 = 0;

/// Rounds up to where the next header may begin.
const fn align(len: usize) -> usize {
    len.next_multiple_of(8)
}

/// Copies ancillary data in and takes it apart.
///
/// # Errors
/// `ENOBUFS` if it is too long, `EFAULT`, `EINVAL` for what is malformed or unknown, `EBADF`, `EPERM`, `ESRCH`,
/// `ETOOMANYREFS`
pub(super) fn read(
    cx: &Context<'_>,
    socket: &SocketFile,
    at: UserAddr,
    len: u64,
    into: &mut Ancillary,
) -> SysResult<()> {
    if len == 0 {
        return Ok(());
    }
    if len > CONTROL_MAX {
        return Err(Errno::ENOBUFS.into());
    }
    let mut bytes = alloc::vec![0; usize::try_from(len).map_err(|_| Errno::ENOBUFS)?];
    cx.memory().copy_in(at, &mut bytes)?;
    let mut rest = bytes.as_slice();
    // A rest without room for a header is no message.
    while let Ok((header, _)) = Cmsghdr::read_from_prefix(rest) {
        let len = usize::try_from(header.cmsg_len).map_err(|_| Errno::EINVAL)?;
        if len < HEADER || len > rest.len() {
            return Err(Errno::EINVAL.into());
        }
        entry(cx, socket, header.cmsg_level, header.cmsg_type, &rest[HEADER..len], into)?;
        rest = rest.get(align(len)..).unwrap_or(&[]);
    }
    if !into.rights.is_empty() {
        check_flight(cx)?;
    }
    Ok(())
}

fn entry(
    cx: &Context<'_>,
    socket: &SocketFile,
    level: i32,
    kind: i32,
    data: &[u8],
    into: &mut Ancillary,
) -> Result<()> {
    match (socket.domain(), level, kind) {
        (AF_UNIX, SOL_SOCKET, SCM_RIGHTS) => rights(cx, data, into),
        (AF_UNIX, SOL_SOCKET, SCM_CREDENTIALS) => {
            into.credentials = Some(credentials(cx, data)?);
            Ok(())
        }
        (AF_UNIX, SOL_SOCKET, _) => Err(Errno::EINVAL),
        (AF_UNIX, ..) => Ok(()),
        // These mean nothing elsewhere, and do no harm.
        (_, SOL_SOCKET, SCM_RIGHTS | SCM_CREDENTIALS) => Ok(()),
        (AF_INET | AF_INET6, SOL_IP, IP_PKTINFO) => {
            let info: InPktinfo = exact(data)?;
            let source = IpAddr::V4(Ipv4Addr::from(info.ipi_spec_dst));
            into.packet_info = Some((info.ipi_ifindex.cast_unsigned(), source));
            Ok(())
        }
        (AF_INET | AF_INET6, SOL_IP, IP_TTL) => {
            let hops: i32 = exact(data)?;
            into.hop_limit = Some(u8::try_from(hops).ok().filter(|&h| h > 0).ok_or(Errno::EINVAL)?);
            Ok(())
        }
        (AF_INET | AF_INET6, SOL_IP, IP_TOS) => {
            into.traffic_class = Some(match data {
                [byte] => *byte,
                _ => u8::try_from(exact::<i32>(data)?).map_err(|_| Errno::EINVAL)?,
            });
            Ok(())
        }
        (AF_INET6, SOL_IPV6, IPV6_PKTINFO) => {
            let info: In6Pktinfo = exact(data)?;
            let source = IpAddr::V6(Ipv6Addr::from(info.ipi6_addr));
            into.packet_info = Some((info.ipi6_ifindex.cast_unsigned(), source));
            Ok(())
        }
        (AF_INET6, SOL_IPV6, IPV6_HOPLIMIT) => {
            let hops: i32 = exact(data)?;
            into.hop_limit =
                if hops == -1 { None } else { Some(u8::try_from(hops).map_err(|_| Errno::EINVAL)?) };
            Ok(())
        }
        (AF_INET6, SOL_IPV6, IPV6_TCLASS) => {
            let class: i32 = exact(data)?;
            into.traffic_class =
                if class == -1 { None } else { Some(u8::try_from(class).map_err(|_| Errno::EINVAL)?) };
            Ok(())
        }
        (AF_INET | AF_INET6, SOL_UDP, UDP_SEGMENT) => {
            into.segment = Some(exact(data)?);
            Ok(())
        }
        // Each level passes over what is another level's, and refuses what it does not know of its own.
        (AF_INET, SOL_IPV6, _) | (AF_INET | AF_INET6, SOL_UDP, _) => Ok(()),
        (AF_INET | AF_INET6, SOL_IP | SOL_IPV6 | SOL_SOCKET, _) => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

/// Reads data that must have just this length.
fn exact<T: FromBytes>(data: &[u8]) -> Result<T> {
    T::read_from_bytes(data).map_err(|_| Errno::EINVAL)
}

/// Takes references to open files (`SCM_RIGHTS`).
fn rights(cx: &Context<'_>, data: &[u8], into: &mut Ancillary) -> Result<()> {
    let count = data.len() / size_of::<i32>();
    if count + into.rights.len() > RIGHTS_MAX {
        return Err(Errno::EINVAL);
    }
    let files = cx.files();
    for number in data.chunks_exact(size_of::<i32>()) {
        let fd = Fd(exact(number)?);
        let description = files.get(fd)?;
        into.rights.push(description);
    }
    Ok(())
}

/// Checks that this user has not too many descriptors under way (`unix(7)`, `ETOOMANYREFS`).
fn check_flight(cx: &Context<'_>) -> Result<()> {
    let who = cx.credentials();
    if who.can(Capability::SysResource) || who.can(Capability::SysAdmin) {
        return Ok(());
    }
    let in_flight = cx.system().net.unix().in_flight(who.uid);
    if in_flight > cx.process().limit(Resource::Nofile) { Err(Errno::ETOOMANYREFS) } else { Ok(()) }
}

/// Checks credentials that somebody claims to have (`SCM_CREDENTIALS`).
fn credentials(cx: &Context<'_>, data: &[u8]) -> Result<Ucred> {
    let claim: abi::socket::Ucred = exact(data)?;
    let who = cx.credentials();
    let own = claim.pid == cx.process().pid().cast_signed() || who.can(Capability::SysAdmin);
    let user = [who.uid, who.euid, who.suid].contains(&claim.uid) || who.can(Capability::Setuid);
    let group = [who.gid, who.egid, who.sgid].contains(&claim.gid) || who.can(Capability::Setgid);
    if !own || !user || !group {
        return Err(Errno::EPERM);
    }
    let pid = claim.pid.cast_unsigned();
    if cx.system().process(pid).is_none() && cx.system().thread(pid).is_none() {
        return Err(Errno::ESRCH);
    }
    Ok(Ucred { pid, uid: claim.uid, gid: claim.gid })
}

/// Where ancillary data is put for the application.
pub(super) struct Control {
    at: u64,
    start: u64,
    room: usize,
    close: CloseOnExec,
    /// What `msg_flags` will say.
    pub(super) flags: MsgFlags,
}

impl Control {
    /// Starts at the beginning of the buffer that the header names. LINUX: `MSG_CMSG_CLOEXEC` comes back as a flag.
    pub(super) fn new(header: &Msghdr, flags: MsgFlags) -> Self {
        Self {
            at: header.msg_control,
            start: header.msg_control,
            room: if header.msg_control == 0 {
                0
            } else {
                usize::try_from(header.msg_controllen).unwrap_or(0)
            },
            close: CloseOnExec::from_bit(flags.contains(MsgFlags::MSG_CMSG_CLOEXEC)),
            flags: flags & MsgFlags::MSG_CMSG_CLOEXEC,
        }
    }

    /// Returns how many bytes were used.
    pub(super) const fn used(&self) -> u64 {
        self.at - self.start
    }

    /// Writes everything that came with a message, in Linux's order.
    ///
    /// # Errors
    /// `EFAULT`
    pub(super) fn write(&mut self, cx: &Context<'_>, socket: &SocketFile, data: Ancillary) -> Result<()> {
        let v6 = socket.domain() == AF_INET6;
        if let Some(ns) = data.time_ns {
            self.time(cx, socket, ns)?;
        }
        if let Some(drops) = data.dropped {
            self.put(cx, SOL_SOCKET, SO_RXQ_OVFL, &drops)?;
        }
        if let Some((interface, to)) = data.packet_info {
            self.packet_info(cx, v6, interface, to)?;
        }
        if let Some(hops) = data.hop_limit {
            let (level, kind) = if v6 { (SOL_IPV6, IPV6_HOPLIMIT) } else { (SOL_IP, IP_TTL) };
            self.put(cx, level, kind, &i32::from(hops))?;
        }
        match data.traffic_class {
            Some(class) if v6 => self.put(cx, SOL_IPV6, IPV6_TCLASS, &i32::from(class))?,
            // LINUX: IPv4 tells it in one byte.
            Some(class) => self.put(cx, SOL_IP, IP_TOS, &class)?,
            None => {}
        }
        if let Some(report) = data.error {
            self.report(cx, v6, &report)?;
        }
        if let Some(who) = data.credentials {
            let who = abi::socket::Ucred { pid: who.pid.cast_signed(), uid: who.uid, gid: who.gid };
            self.put(cx, SOL_SOCKET, SCM_CREDENTIALS, &who)?;
        }
        for (level, kind, bytes) in &data.other {
            self.put_bytes(cx, *level, *kind, bytes)?;
        }
        if data.rights.is_empty() { Ok(()) } else { self.rights(cx, data.rights) }
    }

    fn time(&mut self, cx: &Context<'_>, socket: &SocketFile, ns: u64) -> Result<()> {
        const SECOND: u64 = 1_000_000_000;
        let (tv_sec, rest) = ((ns / SECOND).cast_signed(), (ns % SECOND).cast_signed());
        match socket.socket().common().timestamps.load(Ordering::Relaxed) {
            0 => Ok(()),
            1 => self.put(cx, SOL_SOCKET, SCM_TIMESTAMP_OLD, &Timeval { tv_sec, tv_usec: rest / 1000 }),
            _ => self.put(cx, SOL_SOCKET, SCM_TIMESTAMPNS_OLD, &Timespec { tv_sec, tv_nsec: rest }),
        }
    }

    fn packet_info(&mut self, cx: &Context<'_>, v6: bool, interface: u32, to: IpAddr) -> Result<()> {
        match to {
            IpAddr::V4(v4) if !v6 => {
                let info = InPktinfo {
                    ipi_ifindex: interface.cast_signed(),
                    ipi_spec_dst: v4.octets(),
                    ipi_addr: v4.octets(),
                };
                self.put(cx, SOL_IP, IP_PKTINFO, &info)
            }
            _ => {
                let info =
                    In6Pktinfo { ipi6_addr: mapped(to).octets(), ipi6_ifindex: interface.cast_signed() };
                self.put(cx, SOL_IPV6, IPV6_PKTINFO, &info)
            }
        }
    }

    /// Writes an entry of the error queue, with the address of whoever reported it behind it.
    fn report(&mut self, cx: &Context<'_>, v6: bool, report: &ErrorReport) -> Result<()> {
        let head = SockExtendedErr {
            ee_errno: report.errno.number().cast_unsigned(),
            ee_origin: report.origin,
            ee_type: report.kind,
            ee_code: report.code,
            ee_pad: 0,
            ee_info: report.info,
            ee_data: 0,
        };
        let mut bytes: Vec<u8> = head.as_bytes().to_vec();
        match report.offender {
            Some(IpAddr::V4(v4)) if !v6 => {
                let offender =
                    SockaddrIn { sin_family: AF_INET, sin_addr: v4.octets(), ..SockaddrIn::default() };
                bytes.extend_from_slice(offender.as_bytes());
            }
            Some(ip) if v6 => {
                let offender = SockaddrIn6 {
                    sin6_family: AF_INET6,
                    sin6_addr: mapped(ip).octets(),
                    ..SockaddrIn6::default()
                };
                bytes.extend_from_slice(offender.as_bytes());
            }
            _ if v6 => {
                let none = SockaddrIn6 { sin6_family: NO_ADDRESS, ..SockaddrIn6::default() };
                bytes.extend_from_slice(none.as_bytes());
            }
            _ => {
                let none = SockaddrIn { sin_family: NO_ADDRESS, ..SockaddrIn::default() };
                bytes.extend_from_slice(none.as_bytes());
            }
        }
        let (level, kind) = if v6 { (SOL_IPV6, IPV6_RECVERR) } else { (SOL_IP, IP_RECVERR) };
        self.put_bytes(cx, level, kind, &bytes)
    }

    fn put<T: IntoBytes + Immutable>(
        &mut self,
        cx: &Context<'_>,
        level: i32,
        kind: i32,
        value: &T,
    ) -> Result<()> {
        self.put_bytes(cx, level, kind, value.as_bytes())
    }

    /// Writes a message; what there is no room for is cut.
    fn put_bytes(&mut self, cx: &Context<'_>, level: i32, kind: i32, bytes: &[u8]) -> Result<()> {
        if self.room < HEADER {
            self.flags |= MsgFlags::MSG_CTRUNC;
            return Ok(());
        }
        let whole = HEADER + bytes.len();
        let len = whole.min(self.room);
        if len < whole {
            self.flags |= MsgFlags::MSG_CTRUNC;
        }
        self.header(cx, len, level, kind)?;
        let data_at = UserAddr(self.at).offset(HEADER as u64);
        cx.memory().copy_out(data_at, &bytes[..len - HEADER]).map_err(|_| Errno::EFAULT)?;
        self.advance(whole);
        Ok(())
    }

    fn header(&self, cx: &Context<'_>, len: usize, level: i32, kind: i32) -> Result<()> {
        let header = Cmsghdr { cmsg_len: len as u64, cmsg_level: level, cmsg_type: kind };
        UserPtr::<Cmsghdr, Out>::new(UserAddr(self.at)).write(cx, &header)
    }

    fn advance(&mut self, len: usize) {
        let len = align(len).min(self.room);
        self.at += len as u64;
        self.room -= len;
    }

    /// Gives descriptors to the open files that came, as many as there is room for.
    fn rights(&mut self, cx: &Context<'_>, rights: Vec<Passed>) -> Result<()> {
        let fits = self.room.saturating_sub(HEADER) / size_of::<i32>();
        let total = rights.len();
        let mut given = 0;
        for passed in rights.into_iter().take(fits) {
            let Ok(description) = passed.downcast::<Description>() else { break };
            let Ok(fd) = install(cx, description, self.close) else { break };
            let at = UserAddr(self.at).offset((HEADER + given * size_of::<i32>()) as u64);
            if UserPtr::<i32, Out>::new(at).write(cx, &fd.0).is_err() {
                drop(cx.files().remove(fd));
                break;
            }
            given += 1;
        }
        if given > 0 {
            let len = HEADER + given * size_of::<i32>();
            self.header(cx, len, SOL_SOCKET, SCM_RIGHTS)?;
            self.advance(len);
        }
        if given < total {
            self.flags |= MsgFlags::MSG_CTRUNC;
        }
        Ok(())
    }
}
