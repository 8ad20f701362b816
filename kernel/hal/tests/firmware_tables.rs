//! The kernel's parsers of firmware tables, tested on the host: the kernel builds for the bare machine only, so its
//! module is included here by its path, with the tests that stand in it.
#![expect(dead_code, reason = "what only the kernel uses")]

extern crate alloc;

#[path = "../../src/drivers/tables/mod.rs"]
mod tables;
