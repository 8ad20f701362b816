//! `status`, `stat`, `limits` and `schedstat` of a process or thread.

use core::sync::atomic::Ordering;

use abi::Result;
use hal::PAGE_SIZE;
use vfs::Caller;

use super::task::{Subject, trim};
use super::{Text, all_cpus, cpu_list, cpu_mask};
use crate::handlers::time::USER_TICK_NS;
use crate::proc::{ExitState, Limit, Resource, Thread};
use crate::signal::SignalSet;
use crate::vm::{VmLayout, VmStatistics};

/// Flag bits of `stat`: the process is ending; its address space is randomized; no `execve` since the fork.
const PF_EXITING: u32 = 4;
const PF_RANDOMIZE: u32 = 0x0040_0000;
const PF_FORKNOEXEC: u32 = 0x40;

/// Returns the letter and name of what a process or thread is doing.
pub(super) fn state(subject: &Subject, thread: Option<&Thread>) -> (char, &'static str) {
    let (exit, stopped) = {
        let state = subject.process.state.lock();
        (state.exit, state.stopped)
    };
    match thread {
        None => ('Z', "zombie"),
        Some(_) if matches!(exit, ExitState::Zombie(_)) => ('Z', "zombie"),
        Some(thread) if thread.is_traced() && thread.tracing.lock().stop.is_some() => ('t', "tracing stop"),
        Some(_) if stopped.is_some() => ('T', "stopped"),
        Some(thread) if thread.task().is_parked() => ('S', "sleeping"),
        Some(_) => ('R', "running"),
    }
}

/// Signals as the files show them.
struct Signals {
    queued: usize,
    own: u64,
    shared: u64,
    blocked: u64,
    ignored: SignalSet,
    caught: SignalSet,
}

fn signals(subject: &Subject, thread: Option<&Thread>) -> Signals {
    let process = &subject.process;
    let handlers = alloc::sync::Arc::clone(&process.handlers.lock());
    let (ignored, caught) = handlers.sets();
    let (own, blocked, queued) = thread.map_or((0, 0, 0), |thread| {
        (thread.signals.pending.set().0, thread.signals.mask(), thread.signals.pending.len())
    });
    let queued = queued + process.pending.len();
    Signals { queued, own, shared: process.pending.set().0, blocked, ignored, caught }
}

/// `proc_pid_status(5)`
pub(super) fn status(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let mut text = Text::default();
    let thread = subject.thread();
    let thread = thread.as_deref();
    let (who, name) = subject.credentials();
    let process = &subject.process;
    let pid = process.pid();
    text.push(b"Name:\t");
    text.push_escaped(trim(&name), b"\n\\");
    if let Some(thread) = thread {
        put!(text, "\nUmask:\t{:04o}", thread.fs().umask());
    }
    let (letter, word) = state(subject, thread);
    let tracer = thread.and_then(Thread::tracer).map_or(0, |tracer| tracer.tid());
    put!(text, "\nState:\t{letter} ({word})\nTgid:\t{pid}\nNgid:\t0\nPid:\t{}\n", subject.tid);
    put!(text, "PPid:\t{}\nTracerPid:\t{tracer}\n", process.parent_pid());
    put!(text, "Uid:\t{}\t{}\t{}\t{}\n", who.uid, who.euid, who.suid, who.fsuid);
    put!(text, "Gid:\t{}\t{}\t{}\t{}\n", who.gid, who.egid, who.sgid, who.fsgid);
    put!(text, "FDSize:\t{}\nGroups:\t", thread.map_or(0, descriptor_room));
    for (index, group) in who.groups.iter().enumerate() {
        put!(text, "{}{group}", if index == 0 { "" } else { " " });
    }
    let (group, session) = {
        let state = process.state.lock();
        (state.group, state.session)
    };
    // LINUX: there is a blank behind the last group, also if there is none.
    put!(text, " \nNStgid:\t{pid}\nNSpid:\t{}\nNSpgid:\t{group}\nNSsid:\t{session}\n", subject.tid);
    if let Some(vm) = subject.vm() {
        memory(&mut text, &vm.statistics());
    }
    let threads = process.state.lock().threads.len();
    let signals = signals(subject, thread);
    put!(text, "Threads:\t{}\n", threads.max(1));
    put!(text, "SigQ:\t{}/{}\n", signals.queued, process.limit(Resource::Sigpending));
    put!(text, "SigPnd:\t{:016x}\nShdPnd:\t{:016x}\n", signals.own, signals.shared);
    put!(text, "SigBlk:\t{:016x}\nSigIgn:\t{:016x}\n", signals.blocked, signals.ignored.0);
    put!(text, "SigCgt:\t{:016x}\n", signals.caught.0);
    put!(text, "CapInh:\t{:016x}\nCapPrm:\t{:016x}\n", who.inheritable, who.permitted);
    put!(text, "CapEff:\t{:016x}\nCapBnd:\t{:016x}\n", who.effective, who.bounding);
    put!(text, "CapAmb:\t{:016x}\nNoNewPrivs:\t{}\n", who.ambient, u32::from(who.no_new_privs));
    let (mode, filters) = thread.map_or((0, 0), |thread| thread.seccomp.lock().numbers());
    put!(text, "Seccomp:\t{mode}\nSeccomp_filters:\t{filters}\n");
    // Hull does not control speculation, and does not know what the processor does.
    put!(text, "Speculation_Store_Bypass:\tunknown\nSpeculationIndirectBranch:\tunsupported\n");
    let system = subject.system();
    let cpus = thread.map_or_else(|| all_cpus(system), |thread| thread.affinity.lock().0) & all_cpus(system);
    put!(text, "Cpus_allowed:\t{}\n", cpu_mask(cpus, system.platform().info.cpus));
    put!(text, "Cpus_allowed_list:\t{}\nMems_allowed:\t1\nMems_allowed_list:\t0\n", cpu_list(cpus));
    let (voluntary, involuntary) = thread.map_or((0, 0), |thread| thread.task().switches());
    put!(text, "voluntary_ctxt_switches:\t{voluntary}\nnonvoluntary_ctxt_switches:\t{involuntary}\n");
    Ok(text)
}

fn memory(text: &mut Text, sizes: &VmStatistics) {
    let lines = [
        ("VmPeak", sizes.peak_size),
        ("VmSize", sizes.size),
        ("VmLck", sizes.locked),
        ("VmPin", 0),
        ("VmHWM", sizes.peak_resident),
        ("VmRSS", sizes.resident),
        ("RssAnon", sizes.resident_anonymous),
        ("RssFile", sizes.resident_file),
        ("RssShmem", sizes.resident_shared),
        ("VmData", sizes.data),
        ("VmStk", sizes.stack),
        ("VmExe", sizes.code),
        ("VmLib", sizes.libraries),
        ("VmPTE", sizes.page_tables),
        ("VmSwap", 0),
        ("HugetlbPages", 0),
    ];
    for (name, bytes) in lines {
        put!(text, "{name}:\t{:8} kB\n", bytes / 1024);
    }
    put!(text, "CoreDumping:\t0\nTHP_enabled:\t1\n");
}

/// Returns the room in a table of descriptors, as Linux's grows: 64, 256, 512, 1024 ...
fn descriptor_room(thread: &Thread) -> u64 {
    let last = thread.files().list().last().map_or(0, |fd| u64::from(fd.0.unsigned_abs()));
    if last < 64 { 64 } else { (last / 128 + 1).next_power_of_two().max(2) * 128 }
}

/// `proc_pid_stat(5)`
pub(super) fn stat(subject: &Subject, caller: &Caller<'_>) -> Result<Text> {
    let mut text = Text::default();
    let process = &subject.process;
    let thread = subject.thread();
    let thread = thread.as_deref();
    let (_, name) = subject.credentials();
    let permitted = subject.may_inspect(caller);
    let (letter, _) = state(subject, thread);
    let vm = subject.vm();
    let sizes = vm.as_ref().map(|vm| vm.statistics()).unwrap_or_default();
    let layout = vm.as_ref().map(|vm| vm.layout()).unwrap_or_default();
    let (group, session, exit, children, has_execed) = {
        let state = process.state.lock();
        (state.group, state.session, state.exit, state.children_time, state.has_execed)
    };
    put!(text, "{} (", subject.tid);
    text.push(trim(&name));
    put!(text, ") {letter} {} {group} {session} ", process.parent_pid());
    let (terminal, foreground) = terminal(subject);
    let ending = if letter == 'Z' { PF_EXITING } else { 0 };
    let flags = PF_RANDOMIZE | ending | if has_execed { 0 } else { PF_FORKNOEXEC };
    put!(text, "{terminal} {foreground} {flags} ");
    let threads = process.threads();
    let (mut minor, mut major) = (0, 0);
    let mut add = |thread: &Thread| {
        minor += thread.faults.0.load(Ordering::Relaxed);
        major += thread.faults.1.load(Ordering::Relaxed);
    };
    if subject.whole {
        threads.iter().for_each(|thread| add(thread));
    } else if let Some(thread) = thread {
        add(thread);
    }
    let time = match thread {
        Some(thread) if !subject.whole => thread.task().cpu_time(),
        _ => process.cpu_time(),
    };
    let ticks = |ns: u64| ns / USER_TICK_NS;
    put!(text, "{minor} 0 {major} 0 {} {} ", ticks(time.user_ns), ticks(time.system_ns));
    put!(text, "{} {} ", ticks(children.user_ns), ticks(children.system_ns));
    let sched = thread.map(|thread| *thread.sched.lock()).unwrap_or_default();
    let priority = match sched.policy {
        1 | 2 => -1 - i64::from(sched.priority),
        _ => 20 + i64::from(sched.nice),
    };
    let count = threads.len().max(1);
    put!(text, "{priority} {} {count} 0 {} ", sched.nice, ticks(process.start_ns));
    let resident = sizes.resident / PAGE_SIZE as u64;
    put!(text, "{} {resident} {} ", sizes.size, process.limit(Resource::Rss));
    let VmLayout { start_code, end_code, start_stack, .. } = layout;
    // LINUX: somebody who may not look into the process gets ones in place of the code's addresses, else zeros.
    let hidden = |address: u64| if permitted { address } else { u64::from(address != 0) };
    let shown = |address: u64| if permitted { address } else { 0 };
    put!(text, "{} {} {} 0 0 ", hidden(start_code), hidden(end_code), shown(start_stack));
    let signals = signals(subject, thread);
    let low = |set: u64| set & 0x7fff_ffff;
    put!(text, "{} {} ", low(signals.own), low(signals.blocked));
    put!(text, "{} {} ", low(signals.ignored.0), low(signals.caught.0));
    let waits = permitted && letter == 'S' && (!subject.whole || count < 2);
    let cpu = thread.map_or(0, |thread| thread.task().cpu());
    let signal = if subject.tid == process.pid() { process.exit_signal } else { -1 };
    put!(text, "{} 0 0 {signal} {cpu} {} {} 0 0 0 ", u32::from(waits), sched.priority, sched.policy);
    put!(text, "{} {} {} ", shown(layout.start_data), shown(layout.end_data), shown(layout.start_brk));
    put!(text, "{} {} ", shown(layout.arg_start), shown(layout.arg_end));
    put!(text, "{} {} ", shown(layout.env_start), shown(layout.env_end));
    let status = match exit {
        ExitState::Zombie(status) | ExitState::Ending(status) if permitted => status,
        _ => 0,
    };
    put!(text, "{status}\n");
    Ok(text)
}

/// Returns the controlling terminal's device number, as `stat` encodes it, and its foreground process group.
fn terminal(subject: &Subject) -> (u64, i32) {
    let session = subject.process.state.lock().session;
    match subject.system().files.sessions.terminal(session) {
        Some(terminal) => (terminal.device(), terminal.session().1.cast_signed()),
        None => (0, -1),
    }
}

/// `proc_pid_syscall(5)`. DEVIATION: only the registers of a thread that stands for its tracer are known; another one counts
/// as running.
pub(super) fn syscall(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let mut text = Text::default();
    let thread = subject.thread().ok_or(abi::Errno::ESRCH)?;
    let regs = thread.tracing.lock().stop.as_ref().map(|stop| *stop.held.regs());
    match regs {
        Some(r) if r.orig_rax.cast_signed() >= 0 => {
            put!(text, "{} {:#x} {:#x} {:#x} ", r.orig_rax, r.rdi, r.rsi, r.rdx);
            put!(text, "{:#x} {:#x} {:#x} {:#x} {:#x}\n", r.r10, r.r8, r.r9, r.rsp, r.rip);
        }
        Some(r) => put!(text, "-1 {:#x} {:#x}\n", r.rsp, r.rip),
        None => put!(text, "running\n"),
    }
    Ok(text)
}

/// `proc_pid_schedstat(5)`: time on a processor, time waiting for one (not counted here), turns.
pub(super) fn schedstat(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let mut text = Text::default();
    let (time, turns) = match subject.thread() {
        Some(thread) => {
            let (time, (voluntary, involuntary)) = (thread.task().cpu_time(), thread.task().switches());
            (time.user_ns + time.system_ns, voluntary + involuntary)
        }
        None => (0, 0),
    };
    put!(text, "{time} 0 {turns}\n");
    Ok(text)
}

/// `proc_pid_limits(5)`
pub(super) fn limits(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    const ROWS: [(Resource, &str, &str); 16] = [
        (Resource::Cpu, "Max cpu time", "seconds"),
        (Resource::Fsize, "Max file size", "bytes"),
        (Resource::Data, "Max data size", "bytes"),
        (Resource::Stack, "Max stack size", "bytes"),
        (Resource::Core, "Max core file size", "bytes"),
        (Resource::Rss, "Max resident set", "bytes"),
        (Resource::Nproc, "Max processes", "processes"),
        (Resource::Nofile, "Max open files", "files"),
        (Resource::Memlock, "Max locked memory", "bytes"),
        (Resource::As, "Max address space", "bytes"),
        (Resource::Locks, "Max file locks", "locks"),
        (Resource::Sigpending, "Max pending signals", "signals"),
        (Resource::Msgqueue, "Max msgqueue size", "bytes"),
        (Resource::Nice, "Max nice priority", ""),
        (Resource::Rtprio, "Max realtime priority", ""),
        (Resource::Rttime, "Max realtime timeout", "us"),
    ];
    let limits = subject.process.limits.lock().clone();
    let mut text = Text::default();
    put!(text, "{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (resource, name, unit) in ROWS {
        let Limit { soft, hard } = limits.get(resource);
        put!(text, "{name:<25} ");
        for value in [soft, hard] {
            if value == u64::MAX {
                put!(text, "{:<20} ", "unlimited");
            } else {
                put!(text, "{value:<20} ");
            }
        }
        if unit.is_empty() {
            put!(text, "\n");
        } else {
            put!(text, "{unit:<10}\n");
        }
    }
    Ok(text)
}
