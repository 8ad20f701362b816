//! File systems.
//!
//! [`ram`] keeps files in memory (tmpfs, memory files), and is also the upper part of [`overlay`].

use core::sync::atomic::{AtomicU64, Ordering};

pub mod dev;
pub mod erofs;
pub mod overlay;
pub mod ram;
pub mod synthetic;

/// Returns a device number that no other file system has: major 0, as for every file system without a disk.
pub fn anonymous_dev() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(20);
    let minor = NEXT.fetch_add(1, Ordering::Relaxed);
    minor & 0xff | (minor & !0xff) << 12
}
