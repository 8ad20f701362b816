//! The files in `/proc` that are about the system as a whole.

use alloc::format;
use alloc::sync::Arc;

use hal::CpuTime;
use vfs::fs::synthetic::{Entry, Folder};

use super::usage::{self, Load};
use super::{Text, ipc, locks, meminfo, sysctl};
use crate::handlers::system::{RELEASE, VERSION};
use crate::handlers::time::{SECOND, USER_TICK_NS};
use crate::system::{FIRST_PID, System};

/// Makes an entry of a function that writes about the system.
pub(super) fn about(system: &Arc<System>, mode: u32, write: fn(&System) -> Text) -> Entry {
    let system = Arc::clone(system);
    Entry::file_fn(mode, move |_| Ok(write(&system).0))
}

/// Makes the root of `/proc` without the processes.
pub(super) fn root(system: &Arc<System>) -> Folder {
    let (self_system, load) = (Arc::clone(system), Load::new());
    Folder::new()
        // DEVIATION: the boot loader's line is the tool's, and not kept.
        .with("cmdline", Entry::text("\n"))
        .with("cpuinfo", about(system, 0o444, cpuinfo))
        .with("devices", Entry::text(DEVICES))
        .with("diskstats", Entry::text(""))
        .with("filesystems", Entry::text(FILE_SYSTEMS))
        .with("loadavg", Entry::file_fn(0o444, move |_| Ok(loadavg(&self_system, &load).0)))
        .with("locks", about(system, 0o444, locks::locks))
        .with("meminfo", about(system, 0o444, meminfo::meminfo))
        .with("mounts", Entry::link_to("self/mounts"))
        .with("net", Entry::link_to("self/net"))
        .with("partitions", Entry::text("major minor  #blocks  name\n\n"))
        .with("self", Entry::link_fn(|caller| Ok(format!("{}", caller.pid).into_bytes())))
        .with("stat", about(system, 0o444, stat))
        .with("swaps", Entry::text("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"))
        .folder("sys", sysctl::folder(system))
        .folder("sysvipc", ipc::sysvipc(system))
        .with(
            "thread-self",
            Entry::link_fn(|caller| Ok(format!("{}/task/{}", caller.pid, caller.tid).into_bytes())),
        )
        .with("uptime", about(system, 0o444, uptime))
        .with("version", about(system, 0o444, version))
        .with("vmstat", about(system, 0o444, meminfo::vmstat))
}

/// `proc_devices(5)`
const DEVICES: &str =
    "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n";

/// `proc_filesystems(5)`
const FILE_SYSTEMS: &str = "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\tpipefs\nnodev\tdevpts\nnodev\tmqueue\n\
    \terofs\nnodev\toverlay\n";

/// `proc_cpuinfo(5)`. Of the machine's topology nothing is known: each processor is shown as a core of one package.
fn cpuinfo(system: &System) -> Text {
    let info = system.platform().info;
    let one = &info.processor;
    let mut text = Text::default();
    for cpu in 0..info.cpus {
        put!(text, "processor\t: {cpu}\nvendor_id\t: {}\n", one.vendor);
        put!(text, "cpu family\t: {}\nmodel\t\t: {}\n", one.family, one.model);
        let name = if one.name.is_empty() { "unknown" } else { &one.name };
        put!(text, "model name\t: {name}\nstepping\t: {}\n", one.stepping);
        put!(text, "cpu MHz\t\t: {}.{:03}\n", info.tsc_khz / 1000, info.tsc_khz % 1000);
        put!(text, "physical id\t: 0\nsiblings\t: {0}\ncore id\t\t: {cpu}\ncpu cores\t: {0}\n", info.cpus);
        put!(text, "apicid\t\t: {cpu}\ninitial apicid\t: {cpu}\n");
        put!(text, "fpu\t\t: yes\nfpu_exception\t: yes\nwp\t\t: yes\n");
        put!(text, "flags\t\t: {}\nbugs\t\t:\n", one.flags);
        put!(text, "bogomips\t: {}.{:02}\n", info.tsc_khz / 500, info.tsc_khz / 5 % 100);
        put!(text, "clflush size\t: {0}\ncache_alignment\t: {0}\n", one.cache_line);
        let (physical, virt) = one.address_bits;
        put!(text, "address sizes\t: {physical} bits physical, {virt} bits virtual\npower management:\n\n");
    }
    text
}

/// `proc_loadavg(5)`
fn loadavg(system: &System, load: &Load) -> Text {
    let mut text = Text::default();
    for average in load.averages(system) {
        // LINUX: rounded to hundredths.
        let rounded = average + 10;
        put!(text, "{}.{:02} ", rounded >> 11, ((rounded & 2047) * 100) >> 11);
    }
    let threads = usage::threads(system);
    put!(text, "{}/{} {}\n", threads.running, threads.all, system.thread_count().1);
    text
}

/// Returns the time that the processors were idle, in nanoseconds.
fn idle(system: &System, time: CpuTime) -> u64 {
    let all = system.platform().clock.monotonic_ns() * u64::from(system.platform().info.cpus.max(1));
    all.saturating_sub(time.user_ns + time.system_ns)
}

/// `proc_uptime(5)`
fn uptime(system: &System) -> Text {
    let idle = idle(system, usage::processor_time(system));
    let up = system.platform().clock.monotonic_ns();
    let mut text = Text::default();
    let hundredths = |ns: u64| ns / (SECOND / 100) % 100;
    put!(text, "{}.{:02} ", up / SECOND, hundredths(up));
    put!(text, "{}.{:02}\n", idle / SECOND, hundredths(idle));
    text
}

/// `proc_stat(5)`
///
/// DEVIATION: time is counted by thread, not by processor, so each processor shows its part of the whole. Interrupts
/// are not counted; their lines are left out. Context switches are those of threads that have not ended.
fn stat(system: &System) -> Text {
    let time = usage::processor_time(system);
    let idle = idle(system, time);
    let mut text = Text::default();
    let mut line = |name: &str, parts: u64| {
        let ticks = |ns: u64| ns / USER_TICK_NS / parts;
        put!(text, "{name} {} 0 {} ", ticks(time.user_ns), ticks(time.system_ns));
        put!(text, "{} 0 0 0 0 0 0\n", ticks(idle));
    };
    let cpus = system.platform().info.cpus.max(1);
    line("cpu ", 1);
    for cpu in 0..cpus {
        line(&format!("cpu{cpu}"), u64::from(cpus));
    }
    let mut switches = 0;
    for thread in system.processes().iter().flat_map(|process| process.threads()) {
        let (voluntary, involuntary) = thread.task().switches();
        switches += voluntary + involuntary;
    }
    let clock = system.platform().clock;
    let boot = clock.realtime_ns().saturating_sub(clock.monotonic_ns()) / SECOND;
    let forks = system.thread_count().1.saturating_sub(FIRST_PID - 1);
    let running = usage::threads(system).running;
    put!(text, "ctxt {switches}\nbtime {boot}\nprocesses {forks}\n");
    put!(text, "procs_running {running}\nprocs_blocked 0\n");
    text
}

/// `proc_version(5)`
fn version(_: &System) -> Text {
    let mut text = Text::default();
    put!(text, "Linux version {RELEASE} (hull@hull) (rustc) {VERSION}\n");
    text
}
