//! Kernel stacks: mapped areas, whose unmapped neighbours catch an overflow.

use hal::PAGE_SIZE;
use hal::sync::{Lock, rank};

use crate::mm::{areas, layout};

/// Pages of a kernel stack.
const PAGES: usize = 6;
/// Stacks of ended threads that are kept for new ones.
const KEPT: usize = 16;

static FREE: Lock<([u64; KEPT], usize), { rank::LEAF }> = Lock::new(([0; KEPT], 0));

/// A kernel stack.
pub(crate) struct Stack {
    bottom: u64,
}

impl Stack {
    /// Takes one; `None` if there is no memory.
    pub(crate) fn new() -> Option<Self> {
        let mut free = FREE.lock();
        let (list, count) = &mut *free;
        if *count > 0 {
            *count -= 1;
            return Some(Self { bottom: list[*count] });
        }
        drop(free);
        let bottom = areas::allocate(PAGES)?.expose_provenance() as u64;
        Some(Self { bottom })
    }

    /// Returns the address behind the stack's last byte.
    pub(crate) fn top(&self) -> u64 {
        self.bottom + (PAGES * PAGE_SIZE) as u64
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let mut free = FREE.lock();
        let (list, count) = &mut *free;
        if *count < KEPT {
            list[*count] = self.bottom;
            *count += 1;
            return;
        }
        drop(free);
        areas::release(layout::pointer(self.bottom));
    }
}
