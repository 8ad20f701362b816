//! Memory: what exists, who owns it, where it appears.
//!
//! Start-up order: the direct map from the loader's memory map, permissions of the kernel's image, the frame
//! table, the frame pool; the heap works from then on.

pub(crate) mod areas;
mod buddy;
pub(crate) mod dma;
pub(crate) mod frames;
pub(crate) mod heap;
mod init;
pub(crate) mod layout;
pub(crate) mod loaded;
pub(crate) mod space;
pub(crate) mod table;
pub(crate) mod user;

pub(crate) use areas::{map_device, map_memory};
pub(crate) use init::{init, is_direct, trampoline_page};

/// Copies bytes of physical memory that the direct map covers.
///
/// # Panics
/// If it does not.
pub(crate) fn read_physical(address: u64, to: &mut [u8]) {
    assert!(is_direct(address, to.len() as u64), "{address:#x} is not memory");
    // SAFETY: the direct map covers the range, and `to` is a slice.
    unsafe { crate::arch::copy::copy(to.as_mut_ptr(), layout::direct(address), to.len()) };
}
