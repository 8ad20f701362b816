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
pub(crate) mod table;

pub(crate) use areas::{map_device, map_memory};
pub(crate) use init::{init, is_direct, trampoline_page};
