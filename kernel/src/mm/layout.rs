//! Where things lie in the kernel's half of the address space.
//!
//! ```text
//! ffff8000_00000000  direct map: physical memory, with the largest pages that fit
//! ffff8080_00000000  mapped areas: device registers, kernel stacks, large heap blocks
//! ffffffff_80000000  the kernel's image, at its physical address above this base
//! ```

/// Start of the direct map.
pub(crate) const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
/// Start of the mapped areas.
pub(crate) const AREAS: u64 = 0xffff_8080_0000_0000;
/// Base of the kernel's image.
pub(crate) const IMAGE: u64 = 0xffff_ffff_8000_0000;

/// Returns the direct map's pointer to a physical address.
#[inline]
pub(crate) const fn direct(physical: u64) -> *mut u8 {
    pointer(DIRECT_MAP + physical)
}

/// Returns the pointer to an address.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a pointer has 64 bits on every machine that this runs on"
)]
pub(crate) const fn pointer<T>(address: u64) -> *mut T {
    core::ptr::with_exposed_provenance_mut(address as usize)
}

/// Returns the physical address behind a pointer into the direct map or the kernel's image.
///
/// Heap blocks above 4 MiB and kernel stacks lie in neither; see [`super::areas::physical`] for those.
#[inline]
pub(crate) fn physical(pointer: *const u8) -> u64 {
    let address = pointer.expose_provenance() as u64;
    if address >= IMAGE { address - IMAGE } else { address - DIRECT_MAP }
}

unsafe extern "C" {
    static kernel_text_start: u8;
    static kernel_rodata_start: u8;
    static kernel_data_start: u8;
    static kernel_end: u8;
}

/// Physical boundaries of the kernel's image: text, read-only data, data, end.
pub(crate) fn image() -> [u64; 4] {
    [
        &raw const kernel_text_start,
        &raw const kernel_rodata_start,
        &raw const kernel_data_start,
        &raw const kernel_end,
    ]
    .map(physical)
}
