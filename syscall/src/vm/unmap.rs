//! Files that change under their mappings.

use alloc::sync::Arc;
use core::ops::Range;

use hal::PAGE_SIZE;
use vfs::Node;

use super::{Keep, file};
use crate::system::System;

/// Takes pages of a file out of every address space, because the file was cut or got other pages.
pub fn unmap_file(system: &Arc<System>, node: &Arc<dyn Node>, pages: Range<u64>) {
    let identity = file::identity(node);
    let end = node.size().div_ceil(PAGE_SIZE as u64);
    for process in system.processes() {
        let Some(vm) = process.try_vm() else { continue };
        // Behind the file's end every access is SIGBUS, also to what a private mapping has copied.
        if pages.start < end {
            vm.unmap_source(identity, pages.start..pages.end.min(end), Keep::Private);
        }
        if pages.end > end {
            vm.unmap_source(identity, pages.start.max(end)..pages.end, Keep::Nothing);
        }
    }
}
