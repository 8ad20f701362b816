//! Turns the bytes of a program into a plan for loading it, by the rules of Linux.
//!
//! Pure functions: nothing here maps memory or opens files. [`plan`] reads the headers of an ELF file through
//! [`FileBytes`] and says what to map where; [`script`] splits a `#!` line; [`layout`] places the pieces of an
//! address space; [`stack`] writes the first stack of a program; [`vdso`] checks the image that the kernel
//! offers to programs; [`dynamic`] tells the host tool which libraries a file asks for.
//!
//! Everything that comes from a file is hostile: no function here panics on it, and none trusts a length.
//!
//! Lock order: none, the crate has no state.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

extern crate alloc;

pub mod dynamic;
pub mod elf;
mod error;
mod file;
pub mod layout;
pub mod plan;
pub mod script;
pub mod stack;
pub mod vdso;

pub use error::ElfError;
pub use file::FileBytes;

/// Bytes in a page; the only page size of the x86_64 ABI.
pub const PAGE_SIZE: u64 = 4096;
/// First address that user space cannot have (`TASK_SIZE` with four-level page tables).
pub const TASK_SIZE: u64 = 0x7fff_ffff_f000;

/// Rounds an address down to its page.
const fn page_start(addr: u64) -> u64 {
    addr & !0xfff
}

/// Rounds an address up to a page boundary; `None` when that is past the end of the number range.
fn page_end(addr: u64) -> Option<u64> {
    Some(page_start(addr.checked_add(0xfff)?))
}

/// Returns an address's offset in its page.
const fn page_offset(addr: u64) -> u64 {
    addr & 0xfff
}
