//! What drivers need from the rest of the kernel, in one place: memory, interrupts, waiting, entropy, the end.

use alloc::sync::Arc;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;
use core::time::Duration;

use hal::PAGE_SIZE;

use super::tables::Line;
use super::{ProbeError, firmware};
use crate::arch::{self, copy, irq};
use crate::mm::dma::DmaPages;
use crate::mm::{areas, layout};
use crate::{clock, cpu, entropy, mm, sched};

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

/// Returns where the kernel sees physical memory; `None` if there is none at that address.
pub(super) fn direct(physical: u64, len: usize) -> Option<NonNull<u8>> {
    if mm::is_direct(physical, len as u64) { NonNull::new(layout::direct(physical)) } else { None }
}

/// Makes a buffer reachable for a device, and returns the physical address. What is contiguous for the kernel only
/// (stacks, heap blocks above 4 MiB) is stood for by DMA pages, into which the buffer is copied if `copied` says so.
///
/// # Panics
/// If there are no such pages.
///
/// # Safety
/// The buffer is valid, not empty, and nobody else uses it until [`unshare`].
pub(super) unsafe fn share(buffer: NonNull<[u8]>, copied: bool) -> u64 {
    let from = buffer.cast::<u8>().as_ptr();
    if !areas::contains(from) {
        return layout::physical(from);
    }
    let pages = DmaPages::new(stand_in(buffer)).expect("memory for a device's copy of a buffer");
    if copied {
        // SAFETY: the caller vouches for the buffer, and the pages are new and as many as it needs.
        unsafe { copy::copy(pages.pointer(), from, buffer.len()) };
    }
    pages.into_physical()
}

/// Ends what [`share`] began; copies what the device wrote back into the buffer if `copied` says so.
///
/// # Safety
/// `address` is what `share` gave for this valid buffer, and the device is done with it.
pub(super) unsafe fn unshare(address: u64, buffer: NonNull<[u8]>, copied: bool) {
    let to = buffer.cast::<u8>().as_ptr();
    if !areas::contains(to) {
        return;
    }
    // SAFETY: `share` gave as many pages away at this address, and the caller says that the device is done.
    let Some(pages) = (unsafe { DmaPages::from_physical(address, stand_in(buffer)) }) else { return };
    if copied {
        // SAFETY: the caller vouches for the buffer, and the pages are as many as it needs.
        unsafe { copy::copy(to, pages.pointer(), buffer.len()) };
    }
}

/// Returns the number of pages that stand for a buffer; too many for any run if it is too long.
fn stand_in(buffer: NonNull<[u8]>) -> u32 {
    u32::try_from(buffer.len().div_ceil(PAGE_SIZE)).unwrap_or(1 << 31)
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

/// Registers a handler for a global system interrupt.
///
/// # Errors
/// [`ProbeError::Interrupt`] if there is no such interrupt or no vector for it.
pub(super) fn listen(gsi: u32, line: Line, handler: Handler) -> Result<(), ProbeError> {
    if irq::register_gsi(gsi, line, marked(handler)) { Ok(()) } else { Err(ProbeError::Interrupt) }
}

/// Registers a handler for an ISA interrupt, wherever the firmware says that it is wired to.
///
/// # Errors
/// As [`listen`].
pub(super) fn listen_isa(isa: u8, handler: Handler) -> Result<(), ProbeError> {
    listen_isa_as(isa, Line::ISA, handler)
}

/// Registers a handler for an ISA interrupt that signals as `line` says, unless the firmware says otherwise.
///
/// # Errors
/// As [`listen`].
pub(super) fn listen_isa_as(isa: u8, line: Line, handler: Handler) -> Result<(), ProbeError> {
    let overrides = firmware::known().map_or(&[][..], |f| &f.topology.overrides);
    let wired = overrides.iter().find(|o| o.isa == isa);
    let (gsi, line) = wired.map_or((isa.into(), line), |o| (o.gsi, o.line));
    listen(gsi, line, handler)
}

/// Registers a handler for a message of its own, which goes to the processor of this number.
///
/// # Errors
/// [`ProbeError::Interrupt`] if there is no vector for it.
pub(super) fn listen_message(processor: usize, handler: Handler) -> Result<Message, ProbeError> {
    let message = irq::register_msi(processor, marked(handler)).ok_or(ProbeError::Interrupt)?;
    Ok(Message { address: message.address, data: message.data })
}

/// Processors that run a handler now, by number: there, waiting means spinning.
static IN_HANDLER: AtomicU64 = AtomicU64::new(0);

fn marked(handler: Handler) -> Handler {
    Arc::new(move || {
        let bit = 1 << cpu::this().number();
        IN_HANDLER.fetch_or(bit, Ordering::Relaxed);
        handler();
        IN_HANDLER.fetch_and(!bit, Ordering::Relaxed);
    })
}

/// Calls `ready` until it answers true. A thread parks between two calls, and is woken by the waker that `ready` got;
/// without a waker (at start-up, in a handler) the processor spins.
pub(super) fn wait_until(mut ready: impl FnMut(Option<&Waker>) -> bool) {
    if ready(None) {
        return;
    }
    let in_handler = IN_HANDLER.load(Ordering::Relaxed) & 1 << cpu::this().number() != 0;
    if in_handler || !sched::may_park() {
        while !ready(None) {
            hal::sync::relax();
        }
        return;
    }
    let waker = sched::waker();
    while !ready(Some(&waker)) {
        sched::park(None);
    }
    // These parks may have used up the wake-up of an outer wait: leave one behind, so that it looks again.
    waker.wake();
}

/// Calls `ready` until it answers true, or until the time is over; answers whether it did. Spins.
pub(super) fn spin_until(limit: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    let end = clock::monotonic_ns().saturating_add(limit);
    loop {
        if ready() {
            return true;
        }
        if clock::monotonic_ns() >= end {
            return false;
        }
        hal::sync::relax();
    }
}

/// Fills a buffer with random bytes.
pub(super) fn random(to: &mut [u8]) {
    entropy::fill(to);
}

/// Returns the bytes of memory and the number of processors.
pub(super) fn scale() -> (usize, usize) {
    let pages = usize::try_from(hal::Frame::usage().total).unwrap_or(0);
    (pages * PAGE_SIZE, cpu::online().count_ones() as usize)
}

/// Mixes random bytes into the pool.
pub(super) fn mix_entropy(bytes: &[u8]) {
    entropy::mix(bytes);
}

/// Ends the machine by an exception that it cannot handle.
pub(super) fn triple_fault() -> ! {
    arch::power_off_after_panic()
}
