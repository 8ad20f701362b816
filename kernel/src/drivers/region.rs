//! Memory that a device sees too: its registers, and the pages that it reads and writes by DMA.
//!
//! The one place of the drivers that touches memory by address. Every access is volatile and within bounds that the
//! constructor established, so the drivers themselves need no `unsafe`; only those of network cards, whose frames are
//! lent where they lie.

use core::ptr::{self, NonNull};

use hal::PAGE_SIZE;

use super::machine;
use crate::arch::copy;

/// A range of device registers or shared memory. It stays mapped for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a region is an address; accesses through it are volatile, and their order between processors is what the
// drivers' locks make it.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

macro_rules! access {
    ($($read:ident $write:ident $type:ty;)*) => {$(
        /// Reads a register.
        ///
        /// # Panics
        /// If it is not aligned or not within the region.
        pub(crate) fn $read(&self, at: usize) -> $type {
            let pointer = self.pointer(at, size_of::<$type>()).cast::<$type>();
            // SAFETY: `pointer` checked that the register lies in the region, which is mapped for ever, and its
            // alignment; any bits are a valid integer.
            unsafe { ptr::read_volatile(pointer) }
        }

        /// Writes a register.
        ///
        /// # Panics
        /// If it is not aligned or not within the region.
        pub(crate) fn $write(&self, at: usize, value: $type) {
            let pointer = self.pointer(at, size_of::<$type>()).cast::<$type>();
            // SAFETY: as for reading; no reference to this memory exists.
            unsafe { ptr::write_volatile(pointer, value) };
        }
    )*};
}

impl Region {
    /// Maps device registers; `None` if the range wraps, is empty, or is the system's own memory.
    pub(crate) fn device(physical: u64, len: u64) -> Option<Self> {
        let len = usize::try_from(len).ok().filter(|&len| len > 0)?;
        let base = machine::map_device(physical, len)?;
        Some(Self { base, len })
    }

    /// Makes a region of memory that is mapped already.
    ///
    /// # Safety
    /// The memory is mapped for ever, is shared with a device, and no reference to it exists or will.
    pub(crate) const unsafe fn mapped(base: NonNull<u8>, len: usize) -> Self {
        Self { base, len }
    }

    /// Returns the part of the region that starts at an offset; `None` if that is not all within.
    pub(crate) fn part(&self, at: usize, len: usize) -> Option<Self> {
        let end = at.checked_add(len)?;
        if end > self.len || len == 0 {
            return None;
        }
        // SAFETY: `at` is within the region, so the sum stays within the same mapping.
        Some(Self { base: unsafe { self.base.add(at) }, len })
    }

    /// Returns the number of bytes.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    fn pointer(&self, at: usize, size: usize) -> *mut u8 {
        assert!(
            at.is_multiple_of(size) && at < self.len && size <= self.len - at,
            "register {at:#x} of {:#x}",
            self.len
        );
        // SAFETY: `at` is within the region.
        unsafe { self.base.as_ptr().add(at) }
    }

    access! {
        read8 write8 u8;
        read16 write16 u16;
        read32 write32 u32;
    }

    /// Writes a 64-bit register as two halves, the lower first.
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    pub(crate) fn write64(&self, at: usize, value: u64) {
        self.write32(at, value as u32);
        self.write32(at + 4, (value >> 32) as u32);
    }

    fn range(&self, at: usize, len: usize) -> *mut u8 {
        assert!(
            at <= self.len && len <= self.len - at,
            "bytes {at:#x} to {:#x} of {:#x}",
            at + len,
            self.len
        );
        // SAFETY: `at` is within the region, or its end.
        unsafe { self.base.as_ptr().add(at) }
    }

    /// Copies bytes in.
    ///
    /// # Panics
    /// If they do not fit in the region at that offset.
    pub(crate) fn copy_in(&self, at: usize, from: &[u8]) {
        let to = self.range(at, from.len());
        // SAFETY: `range` checked that the bytes lie in the region; the copy is in assembly, so a device that writes there
        // meanwhile spoils its own data only.
        unsafe { copy::copy(to, from.as_ptr(), from.len()) };
    }

    /// Copies bytes out.
    ///
    /// # Panics
    /// If they do not lie in the region.
    pub(crate) fn copy_out(&self, at: usize, to: &mut [u8]) {
        let from = self.range(at, to.len());
        // SAFETY: as for `copy_in`.
        unsafe { copy::copy(to.as_mut_ptr(), from, to.len()) };
    }
}

/// Physically contiguous pages for a device to read and write. They are never freed, so that a device cannot reach
/// memory that has become something else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dma {
    region: Region,
    physical: u64,
}

impl Dma {
    /// Takes pages of zeros; `None` if there is no such run of free memory.
    pub(crate) fn new(pages: usize) -> Option<Self> {
        let (physical, base) = machine::dma_pages(pages)?;
        Some(Self { region: Region { base, len: pages * PAGE_SIZE }, physical })
    }

    /// Returns the memory.
    pub(crate) const fn region(&self) -> &Region {
        &self.region
    }

    /// Returns the physical address of a byte.
    ///
    /// # Panics
    /// If the range does not lie in the pages.
    pub(crate) fn physical(&self, at: usize, len: usize) -> u64 {
        assert!(at <= self.region.len && len <= self.region.len - at, "address within the pages");
        self.physical + at as u64
    }

    /// Lends bytes.
    ///
    /// # Panics
    /// If the range does not lie in the pages.
    ///
    /// # Safety
    /// The device has given the range back, or never had it, and nobody gives it to the device or writes to it while the
    /// reference lives. (A device that writes to what it has given back could as well write to any other memory.)
    pub(crate) unsafe fn bytes(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: `range` checked that the bytes lie in the pages, which are mapped for ever and were zeroed, and the caller
        // vouches that they stay as they are.
        unsafe { core::slice::from_raw_parts(self.region.range(at, len), len) }
    }

    /// Lends bytes to be written.
    ///
    /// # Panics
    /// If the range does not lie in the pages.
    ///
    /// # Safety
    /// As for [`Self::bytes`], and nobody reads the range.
    #[expect(
        clippy::mut_from_ref,
        reason = "several ranges are lent at once, and the caller vouches for each"
    )]
    pub(crate) unsafe fn bytes_mut(&self, at: usize, len: usize) -> &mut [u8] {
        // SAFETY: as for `bytes`; the caller vouches that the range is theirs alone.
        unsafe { core::slice::from_raw_parts_mut(self.region.range(at, len), len) }
    }
}
