//! Translation caches.

use super::cpu::{cr3, cr4, invlpg, set_cr3, set_cr4};
use super::ipi::{self, Request};
use crate::cpu;

const PGE: u64 = 1 << 7;
/// More pages than this are forgotten by forgetting everything.
const FEW: u64 = 32;

/// Forgets every translation of this processor, global ones included.
pub(crate) fn flush_local_all() {
    let value = cr4();
    set_cr4(value & !PGE);
    set_cr4(value | PGE);
}

/// Forgets pages of the space in use.
pub(crate) fn flush_local(start: u64, pages: u64) {
    if pages > FEW {
        set_cr3(cr3());
        return;
    }
    for page in 0..pages {
        invlpg(start + page * 4096);
    }
}

/// Forgets pages of the kernel's half.
pub(crate) fn flush_local_kernel(start: u64, pages: u64) {
    if pages > FEW { flush_local_all() } else { flush_local(start, pages) }
}

/// Makes every processor forget pages of the kernel's half.
pub(crate) fn flush_kernel(start: u64, pages: u64) {
    flush_local_kernel(start, pages);
    ipi::ask(cpu::online(), Request::FlushKernel(start, pages));
}
