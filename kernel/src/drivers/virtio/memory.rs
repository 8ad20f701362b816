//! Memory for the drivers of the `virtio-drivers` crate.

use core::ptr::NonNull;

use virtio_drivers::{BufferDirection, Hal, PhysAddr};

use super::super::machine;
use super::super::region::Region;

/// The crate's way to memory. Pages of queues stay a device's for ever, as everywhere in the drivers.
pub(super) struct Memory;

// SAFETY: `dma_pages` gives zeroed pages, aligned to pages, to nobody else; no address is made up.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // The crate takes the address 0 for an error.
        machine::dma_pages(pages).unwrap_or((0, NonNull::dangling()))
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("only the crate's own PCI transport maps registers")
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let copied = direction != BufferDirection::DeviceToDriver;
        // SAFETY: the caller vouches for the buffer.
        unsafe { machine::share(buffer, copied) }
    }

    unsafe fn unshare(address: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        let copied = direction != BufferDirection::DriverToDevice;
        // SAFETY: the caller vouches for the buffer, and that `share` gave this address for it.
        unsafe { machine::unshare(address, buffer, copied) }
    }
}

/// Returns a view of a part of a queue; `None` if there is no memory at that address.
pub(super) fn part_of_queue(address: PhysAddr, len: usize) -> Option<Region> {
    let base = machine::direct(address, len)?;
    // SAFETY: the crate names parts of pages from `dma_alloc` here, which it reads and writes through raw pointers only
    // and which are never freed; the direct map is for ever.
    Some(unsafe { Region::mapped(base, len) })
}
