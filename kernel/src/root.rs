//! The root image's pages: those of the boot module as they lie in memory.

use alloc::sync::Arc;
use core::num::NonZeroU32;

use abi::{Errno, Result};
use hal::{Frame, FramePool, PAGE_SIZE, PageStore};

use crate::boot::BootInfo;
use crate::log::log;
use crate::mm;
use crate::mm::frames::Frames;

/// An image in the boot module. Its frames are never freed, and count as shared for ever.
struct ModuleImage {
    first: u32,
    len: u64,
}

impl PageStore for ModuleImage {
    fn len(&self) -> u64 {
        self.len
    }

    fn page(&self, index: u64) -> Result<Frame> {
        if index >= self.len.div_ceil(PAGE_SIZE as u64) {
            return Err(Errno::EINVAL);
        }
        let number = u32::try_from(index).ok().and_then(|i| self.first.checked_add(i)).and_then(NonZeroU32::new);
        let number = number.ok_or(Errno::EINVAL)?;
        Frames.retain(number);
        // SAFETY: the reference that was just added.
        Ok(unsafe { Frame::from_raw(number) })
    }
}

/// Returns the image in the boot module, if there is a module.
pub(crate) fn module(boot: &BootInfo) -> Option<Arc<dyn PageStore>> {
    let (start, len) = boot.module?;
    if !start.is_multiple_of(PAGE_SIZE as u64) || !mm::is_direct(start, len) {
        log!(Error, "the boot module at {start:#x} is not page-aligned memory");
        return None;
    }
    let first = u32::try_from(start / PAGE_SIZE as u64).ok()?;
    // Bytes behind the end read as zeros: the loader left whatever was there.
    let tail = (len % PAGE_SIZE as u64) as usize;
    if tail > 0 {
        let last = NonZeroU32::new(u32::try_from((start + len) / PAGE_SIZE as u64).ok()?)?;
        Frames.zero(last, tail, PAGE_SIZE - tail);
    }
    Some(Arc::new(ModuleImage { first, len }))
}
