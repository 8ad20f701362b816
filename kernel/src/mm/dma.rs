//! Memory that devices read and write: physically contiguous, zeroed, and freed when dropped.

use core::num::NonZeroU32;

use hal::PAGE_SIZE;

use super::{frames, layout};
use crate::arch::copy;

/// Contiguous pages.
pub(crate) struct DmaPages {
    first: NonZeroU32,
    pages: u32,
}

impl DmaPages {
    /// Takes `pages` pages of zeros (at most 1024); `None` if there is no such run.
    pub(crate) fn new(pages: u32) -> Option<Self> {
        let first = frames::allocate_run(pages)?;
        let this = Self { first, pages };
        // SAFETY: the pages are ours, and contiguous in the direct map.
        unsafe { copy::zero(this.pointer(), pages as usize * PAGE_SIZE) };
        Some(this)
    }

    /// Returns the address that devices use.
    pub(crate) fn physical(&self) -> u64 {
        u64::from(self.first.get()) << 12
    }

    /// Returns the kernel's pointer to the first byte.
    pub(crate) fn pointer(&self) -> *mut u8 {
        layout::direct(self.physical())
    }

    /// Takes back pages that were given away.
    ///
    /// # Safety
    /// [`Self::into_physical`] of as many pages gave this address, nobody else has taken them back, and no device uses them
    /// any more.
    pub(crate) unsafe fn from_physical(physical: u64, pages: u32) -> Option<Self> {
        let first = NonZeroU32::new(u32::try_from(physical >> 12).ok()?)?;
        Some(Self { first, pages })
    }

    /// Gives the pages away: for good, or until [`Self::from_physical`].
    pub(crate) fn into_physical(self) -> u64 {
        let physical = self.physical();
        core::mem::forget(self);
        physical
    }
}

impl Drop for DmaPages {
    fn drop(&mut self) {
        frames::release_run(self.first, self.pages);
    }
}
