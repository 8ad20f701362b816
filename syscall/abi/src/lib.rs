//! Linux's numbers and structures, and the two small formats that the tool and the kernel share.
//!
//! Data only: constants with exactly Linux's names, structures with exactly Linux's layout (tests compare
//! each of them with the kernel headers), the boot configuration ([`boot`]) and the console channel
//! ([`channel`]) through which a running machine talks to the tool that started it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod auxv;
pub mod boot;
pub mod channel;
mod errno;
pub mod vdso;

pub use errno::{Errno, Result};
