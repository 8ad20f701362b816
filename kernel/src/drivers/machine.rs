//! What drivers need from the rest of the kernel, in one place: memory, interrupts, waiting, entropy, the end.

use alloc::sync::Arc;
use core::ptr::NonNull;
use core::task::Waker;

use super::ProbeError;
use super::tables::Line;
use crate::mm;
use crate::mm::dma::DmaPages;

/// Called in an interrupt, with no lock held. It must not park.
pub(crate) type Handler = Arc<dyn Fn() + Send + Sync>;

/// Where a device sends a message that interrupts, and what it sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    pub(crate) address: u64,
    pub(crate) data: u32,
}

/// Maps device registers for good; `None` if the range wraps or is memory that the system uses.
pub(super) fn map_device(physical: u64, len: usize) -> Option<NonNull<u8>> {
    let end = physical.checked_add(len as u64)?;
    // Physical addresses have 52 bits at most.
    if end > 1 << 52 || mm::is_direct(physical, 1) || mm::is_direct(end - 1, 1) {
        return None;
    }
    NonNull::new(mm::map_device(physical, len))
}

/// Takes contiguous pages of zeros for good: their physical address, and where the kernel sees them.
pub(super) fn dma_pages(pages: usize) -> Option<(u64, NonNull<u8>)> {
    let pages = DmaPages::new(u32::try_from(pages).ok()?)?;
    let base = NonNull::new(pages.pointer())?;
    Some((pages.into_physical(), base))
}

/// Copies bytes of physical memory that is not the system's own; `false` if there can be none at that address.
pub(super) fn copy_physical(address: u64, to: &mut [u8]) -> bool {
    if address == 0 || address.checked_add(to.len() as u64).is_none_or(|end| end > 1 << 52) {
        return false;
    }
    let from = mm::map_memory(address, to.len());
    // SAFETY: `map_memory` maps the whole range for good, nobody writes to firmware tables, and `to` is a slice of the
    // kernel's own.
    unsafe { core::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
    true
}

// PENDING-IRQ
pub(super) fn listen(_gsi: u32, _line: Line, _handler: Handler) -> Result<(), ProbeError> {
    Ok(())
}
pub(super) fn listen_isa(_isa: u8, _handler: Handler) -> Result<(), ProbeError> {
    Ok(())
}
pub(super) fn listen_isa_as(_isa: u8, _line: Line, _handler: Handler) -> Result<(), ProbeError> {
    Ok(())
}
pub(super) fn listen_message(_handler: Handler) -> Result<Message, ProbeError> {
    Ok(Message { address: 0xfee0_0000, data: 0x40 })
}
pub(super) fn wait_until(mut ready: impl FnMut(Option<&Waker>) -> bool) {
    while !ready(None) {
        hal::sync::relax();
    }
}
pub(super) fn mix_entropy(_: &[u8]) {}
pub(super) fn triple_fault() -> ! {
    crate::arch::power_off_after_panic()
}
