//! `/sys` (`sysfs(5)`): processors, the one memory node, and what else programs look for there.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::{Errno, Result};
use vfs::fs::synthetic::{Directory, Entry, Folder, ListSink, Row, Rows};
use vfs::{Kind, Remember};

use super::system::about;
use super::task::number;
use super::{all_cpus, cpu_list, cpu_mask, meminfo};
use crate::system::System;

/// Highest processor number that the kernel could have: sets of processors have 64 bits.
const KERNEL_MAX: u32 = 63;
/// Bytes of a large page.
const LARGE: u64 = 2 << 20;

/// A directory as sysfs has it.
fn directory(directory: impl Directory + 'static) -> Entry {
    Entry::directory(directory).mode(0o755)
}

fn line(text: impl core::fmt::Display) -> Entry {
    Entry::text(format!("{text}\n"))
}

/// Makes the root.
pub(super) fn root(system: &Arc<System>) -> Folder {
    let empty = || directory(Folder::new());
    let devices = Folder::new()
        .with("system", directory(Folder::new().with("cpu", cpus(system)).with("node", nodes(system))))
        .with("virtual", empty());
    let mm = Folder::new().with("transparent_hugepage", large_pages());
    let kernel = Folder::new()
        .with("address_bits", line(64))
        .with("cpu_byteorder", line("little"))
        .with("mm", directory(mm));
    Folder::new()
        .with("block", empty())
        .with("bus", empty())
        .with("class", empty())
        .with("dev", directory(Folder::new().with("block", empty()).with("char", empty())))
        .with("devices", directory(devices))
        .with("firmware", empty())
        .with("fs", directory(Folder::new().with("cgroup", empty())))
        .with("kernel", directory(kernel))
        .with("module", empty())
}

/// Large pages come where memory is in use already, or was asked for with `madvise(2)`.
fn large_pages() -> Entry {
    directory(
        Folder::new()
            .with("defrag", line("always defer defer+madvise madvise [never]"))
            .with("enabled", line("[always] madvise never"))
            .with("hpage_pmd_size", line(LARGE))
            .with("shmem_enabled", line("always within_size advise [never] deny force"))
            .with("use_zero_page", line(0)),
    )
}

/// `/sys/devices/system/cpu`
fn cpus(system: &Arc<System>) -> Entry {
    let all = cpu_list(all_cpus(system));
    let folder = Folder::new()
        .with("isolated", line(""))
        .with("kernel_max", line(KERNEL_MAX))
        .with("offline", line(""))
        .with("online", line(&all))
        .with("possible", line(&all))
        .with("present", line(&all))
        .further(Processors { system: Arc::clone(system) });
    directory(folder)
}

/// The directories of the processors.
struct Processors {
    system: Arc<System>,
}

#[derive(Clone)]
struct Processor {
    system: Arc<System>,
    number: u32,
}

impl Directory for Processors {
    fn lookup(&self, name: &[u8]) -> Result<Entry> {
        let number = number(name.strip_prefix(b"cpu").ok_or(Errno::ENOENT)?)?;
        if number >= self.system.platform().info.cpus {
            return Err(Errno::ENOENT);
        }
        let about = Processor { system: Arc::clone(&self.system), number };
        Ok(directory(Rows { about, rows: PROCESSOR }))
    }

    fn list(&self, cursor: u64, sink: &mut ListSink<'_>) -> Result<()> {
        for cpu in 0..self.system.platform().info.cpus {
            if u64::from(cpu) >= cursor
                && !sink(format!("cpu{cpu}").as_bytes(), Kind::Directory, u64::from(cpu) + 1)
            {
                break;
            }
        }
        Ok(())
    }

    fn subdirectories(&self) -> u32 {
        self.system.platform().info.cpus
    }

    fn remember(&self) -> Remember {
        Remember::All
    }
}

static PROCESSOR: &[Row<Processor>] = &[
    Row { name: "node0", kind: Kind::Symlink, make: |_| Ok(Entry::link_to("../../node/node0")) },
    Row {
        name: "topology",
        kind: Kind::Directory,
        make: |cpu| Ok(directory(Rows { about: cpu.clone(), rows: TOPOLOGY })),
    },
];

impl Processor {
    fn own(&self) -> u64 {
        1 << self.number
    }

    fn all(&self) -> u64 {
        all_cpus(&self.system)
    }

    fn mask(&self, set: u64) -> Result<Entry> {
        Ok(line(cpu_mask(set, self.system.platform().info.cpus)))
    }
}

const fn row(name: &'static str, make: fn(&Processor) -> Result<Entry>) -> Row<Processor> {
    Row { name, kind: Kind::File, make }
}

/// Each processor is shown as a core of one package, for nothing more is known.
static TOPOLOGY: &[Row<Processor>] = &[
    row("core_cpus", |cpu| cpu.mask(cpu.own())),
    row("core_cpus_list", |cpu| Ok(line(cpu_list(cpu.own())))),
    row("core_id", |cpu| Ok(line(cpu.number))),
    row("core_siblings", |cpu| cpu.mask(cpu.all())),
    row("core_siblings_list", |cpu| Ok(line(cpu_list(cpu.all())))),
    row("die_cpus", |cpu| cpu.mask(cpu.all())),
    row("die_cpus_list", |cpu| Ok(line(cpu_list(cpu.all())))),
    row("die_id", |_| Ok(line(0))),
    row("package_cpus", |cpu| cpu.mask(cpu.all())),
    row("package_cpus_list", |cpu| Ok(line(cpu_list(cpu.all())))),
    row("physical_package_id", |_| Ok(line(0))),
    row("thread_siblings", |cpu| cpu.mask(cpu.own())),
    row("thread_siblings_list", |cpu| Ok(line(cpu_list(cpu.own())))),
];

/// `/sys/devices/system/node`: all memory is one node.
fn nodes(system: &Arc<System>) -> Entry {
    let cpus = system.platform().info.cpus;
    let mut node = Folder::new()
        .with("cpulist", line(cpu_list(all_cpus(system))))
        .with("cpumap", line(cpu_mask(all_cpus(system), cpus)))
        .with("distance", line(10))
        .with("meminfo", about(system, 0o444, meminfo::node));
    node = node.further(Links(cpus));
    directory(
        Folder::new()
            .with("has_cpu", line(0))
            .with("has_memory", line(0))
            .with("has_normal_memory", line(0))
            .with("node0", directory(node))
            .with("online", line(0))
            .with("possible", line(0)),
    )
}

/// The links from a node to its processors.
struct Links(u32);

impl Directory for Links {
    fn lookup(&self, name: &[u8]) -> Result<Entry> {
        let number = number(name.strip_prefix(b"cpu").ok_or(Errno::ENOENT)?)?;
        let target: Vec<u8> = format!("../../cpu/cpu{number}").into_bytes();
        if number < self.0 { Ok(Entry::link_to(target)) } else { Err(Errno::ENOENT) }
    }

    fn list(&self, cursor: u64, sink: &mut ListSink<'_>) -> Result<()> {
        for cpu in 0..self.0 {
            let name: String = format!("cpu{cpu}");
            if u64::from(cpu) >= cursor && !sink(name.as_bytes(), Kind::Symlink, u64::from(cpu) + 1) {
                break;
            }
        }
        Ok(())
    }
}
