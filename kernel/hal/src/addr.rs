//! Addresses of the application.

/// Bytes in a page.
pub const PAGE_SIZE: usize = 4096;
/// First address above the application's half (Linux's `TASK_SIZE_MAX` on x86_64 with four levels).
pub const USER_END: u64 = 0x7fff_ffff_f000;

const PAGE_MASK: u64 = PAGE_SIZE as u64 - 1;

/// An address that an application named.
///
/// Holding one proves nothing: it may be unmapped, misaligned, or in the kernel's half. Only
/// [`crate::UserMemory`] reads or writes through it, and says [`crate::Fault`] where that is not possible.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UserAddr(pub u64);

impl UserAddr {
    /// The null pointer.
    pub const NULL: Self = Self(0);

    /// Says whether this is the null pointer.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// Adds bytes, wrapping: a wrapped address is not mapped and faults when used.
    #[must_use]
    pub const fn offset(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// Rounds down to a page boundary.
    #[must_use]
    pub const fn page(self) -> Self {
        Self(self.0 & !PAGE_MASK)
    }

    /// Rounds up to a page boundary; `None` if that wraps.
    pub const fn page_up(self) -> Option<Self> {
        match self.0.checked_add(PAGE_MASK) {
            Some(sum) => Some(Self(sum & !PAGE_MASK)),
            None => None,
        }
    }

    /// Returns the offset within the page.
    pub const fn page_offset(self) -> usize {
        (self.0 & PAGE_MASK) as usize
    }

    /// Says whether the address is on a page boundary.
    pub const fn is_page_aligned(self) -> bool {
        self.0 & PAGE_MASK == 0
    }
}

impl core::fmt::Debug for UserAddr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A range of whole pages, in the application's half.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageRange {
    start: UserAddr,
    end: UserAddr,
}

impl PageRange {
    /// Makes the range `start..end`; `None` unless both are page-aligned, in order and at most [`USER_END`].
    pub const fn try_new(start: UserAddr, end: UserAddr) -> Option<Self> {
        if start.is_page_aligned() && end.is_page_aligned() && start.0 <= end.0 && end.0 <= USER_END {
            Some(Self { start, end })
        } else {
            None
        }
    }

    /// Makes the range of `len` bytes (rounded up to pages) from `start`; `None` as for [`Self::try_new`].
    pub const fn try_from_len(start: UserAddr, len: u64) -> Option<Self> {
        match start.0.checked_add(len) {
            Some(end) => match UserAddr(end).page_up() {
                Some(end) => Self::try_new(start, end),
                None => None,
            },
            None => None,
        }
    }

    /// Returns the first address.
    pub const fn start(self) -> UserAddr {
        self.start
    }

    /// Returns the address after the last.
    pub const fn end(self) -> UserAddr {
        self.end
    }

    /// Returns the length in bytes.
    pub const fn len(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Says whether there is no page in the range.
    pub const fn is_empty(self) -> bool {
        self.start.0 == self.end.0
    }

    /// Returns the number of pages.
    pub const fn pages(self) -> u64 {
        self.len() / PAGE_SIZE as u64
    }

    /// Says whether the address lies in the range.
    pub const fn contains(self, addr: UserAddr) -> bool {
        self.start.0 <= addr.0 && addr.0 < self.end.0
    }

    /// Returns what both ranges share, if they share a page.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        (start < end).then_some(Self { start, end })
    }

    /// Goes through the page addresses in ascending order.
    pub fn iter(self) -> impl Iterator<Item = UserAddr> {
        (self.start.0..self.end.0).step_by(PAGE_SIZE).map(UserAddr)
    }
}

impl core::fmt::Debug for PageRange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#x}-{:#x}", self.start.0, self.end.0)
    }
}
