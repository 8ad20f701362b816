//! How much memory there is and who has it: `meminfo`, `vmstat`, and a node's `meminfo` in `/sys`.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use hal::{Frame, PAGE_SIZE};

use super::Text;
use crate::system::System;

const PAGE: u64 = PAGE_SIZE as u64;
/// Bytes of a thread's stack in the kernel.
const KERNEL_STACK: u64 = 16 << 10;
/// Bytes of the address range for the kernel's own mappings, as every x86-64 Linux shows.
const VMALLOC_TOTAL: u64 = 34_359_738_367 << 10;

/// Figures in bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Memory {
    pub(super) total: u64,
    pub(super) free: u64,
    anonymous: u64,
    mapped: u64,
    locked: u64,
    /// Pages of files that are kept in memory only: RAM file systems, shared memory.
    shared: u64,
    page_tables: u64,
    stacks: u64,
    committed: u64,
}

impl Memory {
    /// Gathers the figures. Takes address spaces' locks.
    pub(super) fn gather(system: &System) -> Self {
        let frames = Frame::usage();
        let mut memory = Self { total: frames.total * PAGE, free: frames.free * PAGE, ..Self::default() };
        for vm in system.processes().iter().filter_map(|process| process.try_vm()) {
            let sizes = vm.statistics();
            memory.anonymous += sizes.resident_anonymous;
            memory.mapped += sizes.resident_file + sizes.resident_shared;
            memory.locked += sizes.locked;
            memory.page_tables += sizes.page_tables;
            memory.committed += sizes.committed;
        }
        memory.stacks = system.thread_count().0 as u64 * KERNEL_STACK;
        memory.shared = shared(system);
        memory
    }

    /// What the kernel itself uses: all that is accounted for nowhere else.
    fn kernel(&self) -> u64 {
        let known = self.free + self.anonymous + self.shared + self.page_tables + self.stacks;
        self.total.saturating_sub(known)
    }
}

/// Returns the bytes that RAM file systems with a limit hold.
fn shared(system: &System) -> u64 {
    let mut seen = Vec::new();
    let mut sum = 0;
    for mount in system.vfs.mount_list() {
        let tree = core::ptr::from_ref(&*mount.tree).addr();
        if seen.contains(&tree) {
            continue;
        }
        seen.push(tree);
        if matches!(mount.tree.file_system.name(), "tmpfs" | "devtmpfs" | "overlay" | "ramfs") {
            let status = mount.tree.file_system.status();
            sum += status.blocks.saturating_sub(status.blocks_free) * status.block_size;
        }
    }
    sum
}

/// `proc_meminfo(5)`
///
/// DEVIATION: lines of which Hull keeps no figures are left out (`Dirty`, `Active`, `DirectMap4k` ...), but for those
/// that are 0 because there is no such memory.
pub(super) fn meminfo(system: &System) -> Text {
    let m = Memory::gather(system);
    let kernel = m.kernel();
    let lines = [
        ("MemTotal", m.total),
        ("MemFree", m.free),
        ("MemAvailable", m.free),
        ("Buffers", 0),
        ("Cached", m.shared),
        ("SwapCached", 0),
        ("Unevictable", m.shared + m.locked),
        ("Mlocked", m.locked),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Writeback", 0),
        ("AnonPages", m.anonymous),
        ("Mapped", m.mapped),
        ("Shmem", m.shared),
        ("KReclaimable", 0),
        ("Slab", kernel),
        ("SReclaimable", 0),
        ("SUnreclaim", kernel),
        ("KernelStack", m.stacks),
        ("PageTables", m.page_tables),
        ("NFS_Unstable", 0),
        ("Bounce", 0),
        ("WritebackTmp", 0),
        ("CommitLimit", m.total / 2),
        ("Committed_AS", m.committed),
        ("VmallocTotal", VMALLOC_TOTAL),
        ("VmallocChunk", 0),
    ];
    let mut text = Text::default();
    for (name, bytes) in lines {
        put!(text, "{:<15} {:8} kB\n", alloc::format!("{name}:"), bytes / 1024);
    }
    put!(text, "HugePages_Total:       0\nHugePages_Free:        0\n");
    put!(text, "HugePages_Rsvd:        0\nHugePages_Surp:        0\n");
    put!(text, "Hugepagesize:       2048 kB\nHugetlb:               0 kB\n");
    text
}

/// `proc_vmstat(5)`, as far as there are figures. Faults are those of threads that have not ended.
pub(super) fn vmstat(system: &System) -> Text {
    let m = Memory::gather(system);
    let (mut faults, mut major) = (0, 0);
    for thread in system.processes().iter().flat_map(|process| process.threads()) {
        let own_major = thread.faults.1.load(Ordering::Relaxed);
        faults += thread.faults.0.load(Ordering::Relaxed) + own_major;
        major += own_major;
    }
    let lines = [
        ("nr_free_pages", m.free / PAGE),
        ("nr_mlock", m.locked / PAGE),
        ("nr_anon_pages", m.anonymous / PAGE),
        ("nr_mapped", m.mapped / PAGE),
        ("nr_file_pages", m.shared / PAGE),
        ("nr_shmem", m.shared / PAGE),
        ("nr_kernel_stack", m.stacks / 1024),
        ("nr_page_table_pages", m.page_tables / PAGE),
        ("pswpin", 0),
        ("pswpout", 0),
        ("pgfault", faults),
        ("pgmajfault", major),
        ("oom_kill", 0),
    ];
    let mut text = Text::default();
    for (name, value) in lines {
        put!(text, "{name} {value}\n");
    }
    text
}

/// `meminfo` of the only NUMA node, in `/sys/devices/system/node/node0`.
pub(super) fn node(system: &System) -> Text {
    let m = Memory::gather(system);
    let kernel = m.kernel();
    let lines = [
        ("MemTotal", m.total),
        ("MemFree", m.free),
        ("MemUsed", m.total.saturating_sub(m.free)),
        ("SwapCached", 0),
        ("Unevictable", m.shared + m.locked),
        ("Mlocked", m.locked),
        ("Writeback", 0),
        ("FilePages", m.shared),
        ("Mapped", m.mapped),
        ("AnonPages", m.anonymous),
        ("Shmem", m.shared),
        ("KernelStack", m.stacks),
        ("PageTables", m.page_tables),
        ("NFS_Unstable", 0),
        ("Bounce", 0),
        ("WritebackTmp", 0),
        ("KReclaimable", 0),
        ("Slab", kernel),
        ("SReclaimable", 0),
        ("SUnreclaim", kernel),
    ];
    let mut text = Text::default();
    for (name, bytes) in lines {
        put!(text, "Node 0 {:<15} {:8} kB\n", alloc::format!("{name}:"), bytes / 1024);
    }
    put!(
        text,
        "Node 0 HugePages_Total:     0\nNode 0 HugePages_Free:      0\nNode 0 HugePages_Surp:      0\n"
    );
    text
}
