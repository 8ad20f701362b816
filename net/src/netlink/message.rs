//! Netlink messages as bytes (`netlink(7)`, `netlink(3)`): taking them apart, and putting them together.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi::netlink::{NLA_TYPE_MASK, Nlmsghdr};
use abi::socket::AF_INET;
use abi::{Errno, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Length of a message's header.
pub(super) const HEADER: usize = size_of::<Nlmsghdr>();

/// Rounds a length up to where the next message or attribute begins.
pub(super) const fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// A message that is being put together.
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Begins a message.
    pub(super) fn new(kind: u16, flags: u16, seq: u32, port: u32) -> Self {
        let header =
            Nlmsghdr { nlmsg_len: 0, nlmsg_type: kind, nlmsg_flags: flags, nlmsg_seq: seq, nlmsg_pid: port };
        Self(header.as_bytes().to_vec())
    }

    /// Adds a structure or raw bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        self.pad();
    }

    /// Adds an attribute.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.pad();
    }

    /// Adds an attribute of four bytes.
    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// Adds an attribute with a text and the NUL behind it.
    pub(super) fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    /// Adds an attribute with an address.
    pub(super) fn address(&mut self, kind: u16, value: IpAddr) {
        match value {
            IpAddr::V4(v4) => self.attribute(kind, &v4.octets()),
            IpAddr::V6(v6) => self.attribute(kind, &v6.octets()),
        }
    }

    fn pad(&mut self) {
        self.0.resize(aligned(self.0.len()), 0);
    }

    /// Ends the message.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&len.to_ne_bytes());
        self.0
    }
}

/// A request, taken apart as far as its kind is not looked at.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) header: Nlmsghdr,
    /// What follows the header.
    pub(super) body: &'a [u8],
    /// The sender wants to hear of what makes no sense (`NETLINK_GET_STRICT_CHK`).
    pub(super) strict: bool,
}

impl<'a> Request<'a> {
    /// Takes the next message off the front of `bytes`; `None` where no whole one is left.
    pub(super) fn take(bytes: &mut &'a [u8], strict: bool) -> Option<Self> {
        let (header, _) = Nlmsghdr::read_from_prefix(bytes).ok()?;
        let len = usize::try_from(header.nlmsg_len).ok()?;
        let whole = bytes.get(..len).filter(|_| len >= HEADER)?;
        *bytes = bytes.get(aligned(len)..).unwrap_or_default();
        Some(Self { header, body: &whole[HEADER..], strict })
    }

    /// Says whether a flag is set.
    pub(super) const fn has(&self, flag: u16) -> bool {
        self.header.nlmsg_flags & flag != 0
    }

    /// Returns the structure that the body begins with, and the attributes behind it.
    ///
    /// # Errors
    /// `EINVAL` if it is too short.
    pub(super) fn parts<T: FromBytes + KnownLayout + Immutable>(&self) -> Result<(T, Attributes<'a>)> {
        let (start, _) = T::read_from_prefix(self.body).map_err(|_| Errno::EINVAL)?;
        let rest = self.body.get(aligned(size_of::<T>())..).unwrap_or_default();
        Ok((start, Attributes::parse(rest, self.strict)?))
    }

    /// As [`Self::parts`], for dumps: old programs send only the family.
    ///
    /// # Errors
    /// `EINVAL` if more was asked for.
    pub(super) fn dump_parts<T: FromBytes + IntoBytes + KnownLayout + Immutable>(
        &self,
    ) -> Result<(T, Attributes<'a>)> {
        if self.strict || self.body.len() >= size_of::<T>() {
            return self.parts();
        }
        let mut start = T::new_zeroed();
        if let (Some(to), Some(&family)) = (start.as_mut_bytes().first_mut(), self.body.first()) {
            *to = family;
        }
        Ok((start, Attributes::default()))
    }
}

/// The attributes of a message. Of two of one kind the last one counts.
#[derive(Clone, Default)]
pub(super) struct Attributes<'a>(Vec<(u16, &'a [u8])>);

impl<'a> Attributes<'a> {
    /// Reads attributes.
    ///
    /// # Errors
    /// `EINVAL` if bytes are left over and `strict` asks to look.
    pub(super) fn parse(mut bytes: &'a [u8], strict: bool) -> Result<Self> {
        let mut all = Vec::new();
        while let Some((&[a, b, c, d], _)) = bytes.split_first_chunk() {
            let len = usize::from(u16::from_ne_bytes([a, b]));
            let Some(value) = bytes.get(4..len) else { break };
            all.push((u16::from_ne_bytes([c, d]) & NLA_TYPE_MASK, value));
            bytes = bytes.get(aligned(len)..).unwrap_or_default();
        }
        if strict && !bytes.is_empty() {
            return Err(Errno::EINVAL);
        }
        Ok(Self(all))
    }

    /// Says that there is no attribute beside those named.
    ///
    /// # Errors
    /// `EINVAL`
    pub(super) fn only(&self, kinds: &[u16]) -> Result<()> {
        if self.0.iter().all(|(kind, _)| kinds.contains(kind)) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Returns an attribute's bytes.
    pub(super) fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.0.iter().rev().find(|(k, _)| *k == kind).map(|(_, value)| *value)
    }

    /// Returns an attribute of four bytes.
    ///
    /// # Errors
    /// `ERANGE` if it is shorter.
    pub(super) fn number(&self, kind: u16) -> Result<Option<u32>> {
        self.get(kind)
            .map(|v| v.first_chunk().map(|b| u32::from_ne_bytes(*b)).ok_or(Errno::ERANGE))
            .transpose()
    }

    /// Returns an attribute with an address of a family.
    ///
    /// # Errors
    /// `EINVAL` if it is shorter than one.
    pub(super) fn address(&self, kind: u16, family: u16) -> Result<Option<IpAddr>> {
        let Some(value) = self.get(kind) else { return Ok(None) };
        let address = if family == AF_INET {
            value.first_chunk::<4>().map(|b| IpAddr::V4(Ipv4Addr::from(*b)))
        } else {
            value.first_chunk::<16>().map(|b| IpAddr::V6(Ipv6Addr::from(*b)))
        };
        address.map(Some).ok_or(Errno::EINVAL)
    }

    /// Returns an attribute with a text, without the NUL behind it.
    pub(super) fn text(&self, kind: u16) -> Option<&'a [u8]> {
        let value = self.get(kind)?;
        value.split(|&b| b == 0).next()
    }
}
