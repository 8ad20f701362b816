//! One mapping: a range of pages with one protection and one origin.

use alloc::boxed::Box;
use alloc::sync::Arc;

use hal::{Frame, PAGE_SIZE, PageRange, Prot, UserAddr};

use super::PageSource;
use crate::ipc::shm::Attachment;

bitflags::bitflags! {
    /// Properties of a mapping (Linux's `VM_*`, as far as they have an effect).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct AreaFlags: u32 {
        /// Writes are seen by everyone who maps the same pages (`MAP_SHARED`).
        const SHARED = 1;
        /// Grows down when the page below is touched (`MAP_GROWSDOWN`, stacks).
        const GROWSDOWN = 2;
        /// Does not count as promised memory (`MAP_NORESERVE`).
        const NORESERVE = 4;
        /// Counts against `RLIMIT_MEMLOCK`, and its pages are all in memory (`mlock(2)`).
        const LOCKED = 8;
        /// As `LOCKED`, but pages come in when touched (`MLOCK_ONFAULT`).
        const LOCK_ON_FAULT = 0x10;
        /// A child does not get it (`MADV_DONTFORK`).
        const DONTFORK = 0x20;
        /// A child gets it empty (`MADV_WIPEONFORK`).
        const WIPEONFORK = 0x40;
        /// Large pages wanted (`MADV_HUGEPAGE`).
        const HUGE = 0x80;
        /// No large pages (`MADV_NOHUGEPAGE`).
        const NO_HUGE = 0x100;
        /// Not in a core dump (`MADV_DONTDUMP`).
        const DONTDUMP = 0x200;
        /// `mremap` may not resize it (the vDSO).
        const DONTEXPAND = 0x400;
        /// Access is expected in order, or at random (`MADV_SEQUENTIAL`, `MADV_RANDOM`).
        const SEQUENTIAL = 0x800;
        const RANDOM = 0x1000;
        /// Identical pages may be merged (`MADV_MERGEABLE`).
        const MERGEABLE = 0x2000;
        /// A child gets it with `MADV_DONTFORK` undone only where this is not set (device memory).
        const SPECIAL = 0x4000;
    }
}

/// Where a mapping's pages come from.
#[derive(Clone)]
pub enum Backing {
    /// Zeros, private to the process and its forks.
    Anonymous,
    /// Pages of a file or shared object, from this page number on.
    Source(Arc<dyn PageSource>, u64),
    /// Pages that the kernel supplies (vDSO), from this place in the list on, with a name for `/proc/PID/maps`.
    Special(Arc<[Frame]>, usize, &'static str),
}

impl core::fmt::Debug for Backing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Source(source, first) => write!(f, "source {:#x} from page {first}", source.identity()),
            Self::Special(_, first, name) => write!(f, "{name} from page {first}"),
        }
    }
}

impl Backing {
    /// Returns the backing of what lies `pages` further on.
    pub(super) fn advanced(&self, pages: u64) -> Self {
        match self {
            Self::Anonymous => Self::Anonymous,
            Self::Source(source, first) => Self::Source(Arc::clone(source), first + pages),
            Self::Special(frames, first, name) => {
                let more = usize::try_from(pages).unwrap_or(usize::MAX);
                Self::Special(Arc::clone(frames), first.saturating_add(more), name)
            }
        }
    }

    /// Says whether `next` continues this backing of `pages` pages.
    fn continues(&self, pages: u64, next: &Self) -> bool {
        match (self, next) {
            (Self::Anonymous, Self::Anonymous) => true,
            (Self::Source(a, first), Self::Source(b, second)) => {
                Arc::ptr_eq(a, b) && first.checked_add(pages) == Some(*second)
            }
            _ => false,
        }
    }
}

/// A mapping.
#[derive(Clone, Debug)]
pub struct Area {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// What the application may do.
    pub prot: Prot,
    /// What `mprotect` may make of `prot`.
    pub may: Prot,
    /// Properties.
    pub flags: AreaFlags,
    /// Origin of the pages.
    pub backing: Backing,
    /// What counts it as a mapping of a System V segment.
    pub attachment: Option<Box<Attachment>>,
}

const PAGE: u64 = PAGE_SIZE as u64;

impl Area {
    /// Returns the range.
    pub const fn range(&self) -> PageRange {
        match PageRange::try_new(UserAddr(self.start), UserAddr(self.end)) {
            Some(range) => range,
            None => panic!("an area is a range of pages"),
        }
    }

    /// Returns the length in bytes.
    pub const fn len_bytes(&self) -> u64 {
        self.end - self.start
    }

    /// Says whether other mappings see its writes.
    pub const fn is_shared(&self) -> bool {
        self.flags.contains(AreaFlags::SHARED)
    }

    /// Says whether it is private and starts as zeros.
    pub const fn is_anonymous(&self) -> bool {
        matches!(self.backing, Backing::Anonymous)
    }

    /// Says whether any access is permitted.
    pub const fn is_accessible(&self) -> bool {
        !self.prot.is_empty()
    }

    /// Returns the page's number in a [`Backing::Source`].
    pub const fn page_index(&self, at: u64) -> u64 {
        match &self.backing {
            Backing::Source(_, first) => *first + (at - self.start) / PAGE,
            Backing::Special(_, first, _) => *first as u64 + (at - self.start) / PAGE,
            Backing::Anonymous => at / PAGE,
        }
    }

    /// Says whether it counts as data (`RLIMIT_DATA`): private, writable, no stack.
    pub const fn is_data(&self) -> bool {
        self.prot.contains(Prot::WRITE) && !self.is_shared() && !self.flags.contains(AreaFlags::GROWSDOWN)
    }

    /// Says whether it counts as promised memory.
    pub const fn is_accounted(&self) -> bool {
        let writable = self.prot.contains(Prot::WRITE);
        writable && !self.is_shared() && !self.flags.contains(AreaFlags::NORESERVE)
    }

    /// Returns what a page may be mapped with while its memory is also somebody else's.
    pub fn shared_prot(&self) -> Prot {
        self.page_prot() - Prot::WRITE
    }

    /// Returns what a page may be mapped with that only this mapping has, or that is meant to be shared.
    ///
    /// The processor cannot permit writes or fetches without reads.
    pub fn page_prot(&self) -> Prot {
        if self.prot.is_empty() { self.prot } else { self.prot | Prot::READ }
    }

    /// Cuts the area in two; returns the upper part.
    pub(super) fn split_off(&mut self, at: u64) -> Self {
        debug_assert!(self.start < at && at < self.end, "cut inside");
        let backing = self.backing.advanced((at - self.start) / PAGE);
        let upper = Self { start: at, backing, ..self.clone() };
        self.end = at;
        upper
    }

    /// Says whether `next` can become part of this one.
    pub(super) fn joins(&self, next: &Self) -> bool {
        self.end == next.start
            // LINUX: what counts its mappings is never joined again.
            && self.attachment.is_none()
            && next.attachment.is_none()
            && self.prot == next.prot
            && self.may == next.may
            && self.flags == next.flags
            && self.backing.continues(self.len_bytes() / PAGE, &next.backing)
    }
}
