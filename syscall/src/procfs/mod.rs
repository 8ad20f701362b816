//! The contents of `/proc` (`proc(5)`) and `/sys` (`sysfs(5)`), in the formats of Linux 6.1.
//!
//! What the files say is made when somebody reads them. [`task`] has the files of one process or thread, [`system`]
//! those about the system as a whole, [`sysctl`] `/proc/sys`, [`sys`] the tree of `/sys`. What Hull does not know is
//! left out where a reader can do without, and is never made up.

/// Adds formatted text to a [`Text`].
macro_rules! put {
    ($text:expr, $($format:tt)*) => { $text.add(format_args!($($format)*)) };
}

mod descriptors;
mod inet;
mod ipc;
mod locks;
mod meminfo;
mod memory;
mod mounts;
mod network;
mod status;
mod sys;
mod sysctl;
mod system;
mod task;
mod usage;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use vfs::FileSystem;
use vfs::fs::synthetic::{Description, Entry, Manner, Synthetic};

use crate::system::System;

/// Makes `/proc`.
pub fn proc(system: &Arc<System>) -> Arc<dyn FileSystem> {
    let about =
        Description { name: "proc", magic: 0x9fa0, dev: vfs::fs::anonymous_dev(), manner: Manner::Proc };
    let root = system::root(system).further(task::Processes::new(system));
    Synthetic::new(about, system.platform().clock, Entry::directory(root))
}

/// Makes `/sys`.
pub fn sys(system: &Arc<System>) -> Arc<dyn FileSystem> {
    let about =
        Description { name: "sysfs", magic: 0x6265_6572, dev: vfs::fs::anonymous_dev(), manner: Manner::Sys };
    Synthetic::new(about, system.platform().clock, Entry::directory(sys::root(system)))
}

/// The contents of a file in the making. Names in it are bytes, as on Linux.
#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    /// Adds formatted text; memory is all that it can lack, and the allocator looks after that.
    fn add(&mut self, text: fmt::Arguments<'_>) {
        let _ = fmt::write(self, text);
    }

    /// Adds bytes.
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Adds a name, with octal escapes for the characters that would end it for a reader (`seq_escape`).
    fn push_escaped(&mut self, name: &[u8], special: &[u8]) {
        for &byte in name {
            if special.contains(&byte) {
                put!(self, "\\{byte:03o}");
            } else {
                self.0.push(byte);
            }
        }
    }

    /// Adds blanks until what began at `start` is that long.
    fn pad(&mut self, start: usize, width: usize) {
        let wanted = (start + width).max(self.0.len());
        self.0.resize(wanted, b' ');
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Writes a set of processors as a list (`0-3,5`).
fn cpu_list(set: u64) -> String {
    use fmt::Write as _;
    let mut text = String::new();
    let mut at = 0;
    while at < 64 {
        if set >> at & 1 == 0 {
            at += 1;
            continue;
        }
        let count = (set >> at).trailing_ones();
        let comma = if text.is_empty() { "" } else { "," };
        let last = at + count - 1;
        let _ = if count == 1 { write!(text, "{comma}{at}") } else { write!(text, "{comma}{at}-{last}") };
        at += count;
    }
    text
}

/// Writes a set of processors as a mask in groups of 32 bits, as wide as the machine has processors (`%*pb`).
fn cpu_mask(set: u64, cpus: u32) -> String {
    if cpus > 32 {
        let high = usize::try_from((cpus - 32).div_ceil(4)).unwrap_or(8);
        alloc::format!("{:0high$x},{:08x}", set >> 32, set & 0xffff_ffff)
    } else {
        let width = usize::try_from(cpus.div_ceil(4)).unwrap_or(1);
        alloc::format!("{set:0width$x}")
    }
}

/// Returns the set of all processors.
fn all_cpus(system: &System) -> u64 {
    u64::MAX >> (64 - system.platform().info.cpus.clamp(1, 64))
}
