//! The files of one process or thread: `/proc/PID` and `/proc/PID/task/TID` (`proc_pid(5)`).

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::{Errno, Result};
use vfs::fs::synthetic::{Directory, Entry, File, ListSink, Row, Rows};
use vfs::{Caller, Capabilities, Kind, LinkTarget, Place};

use super::{Text, descriptors, memory, mounts, network, status};
use crate::proc::{Capability, Credentials, ExitState, Process, Thread};
use crate::system::System;
use crate::vm::Vm;

/// `CAP_SYS_PTRACE`.
const SYS_PTRACE: Capabilities = Capabilities::from_bits_retain(1 << Capability::SysPtrace as u8);
/// `CAP_SYS_RESOURCE`.
const SYS_RESOURCE: Capabilities = Capabilities::SYS_RESOURCE;

/// What a directory is about.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) process: Arc<Process>,
    /// The thread; the process's own number stands for the process when its first thread has ended.
    pub(super) tid: u32,
    /// `/proc/PID`, which sums up over all threads, not `/proc/PID/task/TID`.
    pub(super) whole: bool,
}

impl Subject {
    pub(super) fn system(&self) -> &Arc<System> {
        self.process.system()
    }

    /// Checks that the process has not been waited for, and the thread has not ended.
    ///
    /// # Errors
    /// `ESRCH`
    pub(super) fn check(&self) -> Result<()> {
        let system = self.system();
        let same = |process: Arc<Process>| Arc::ptr_eq(&process, &self.process);
        let alive = system.process(self.process.pid()).is_some_and(same)
            && (self.tid == self.process.pid() || self.thread().is_some());
        if alive { Ok(()) } else { Err(Errno::ESRCH) }
    }

    /// Returns the thread. A process whose first thread has ended shows another one, and a zombie none.
    pub(super) fn thread(&self) -> Option<Arc<Thread>> {
        let state = self.process.state.lock();
        let own = state.threads.iter().find(|thread| thread.tid() == self.tid);
        let any = state.threads.first().filter(|_| self.tid == self.process.pid());
        own.or(any).cloned()
    }

    /// Returns the address space, which a zombie has not.
    pub(super) fn vm(&self) -> Option<Arc<Vm>> {
        self.process.try_vm()
    }

    /// Returns the identity and the name, also of a process that has ended.
    pub(super) fn credentials(&self) -> (Arc<Credentials>, [u8; 16]) {
        match self.thread() {
            Some(thread) => (thread.credentials(), thread.name()),
            None => self
                .process
                .last_identity
                .lock()
                .clone()
                .unwrap_or_else(|| (Arc::new(Credentials::new(self.process.uid(), 0, &[])), [0; 16])),
        }
    }

    /// Says whether the caller may look into the process: `PTRACE_MODE_READ_FSCREDS` of `ptrace(2)`, without what
    /// security modules and user namespaces add.
    pub(super) fn may_inspect(&self, caller: &Caller<'_>) -> bool {
        if caller.pid == self.process.pid() {
            return true;
        }
        let who = caller.credentials;
        if who.capable(SYS_PTRACE) {
            return true;
        }
        let (target, _) = self.credentials();
        [target.uid, target.euid, target.suid].iter().all(|&id| id == who.fsuid)
            && [target.gid, target.egid, target.sgid].iter().all(|&id| id == who.fsgid)
            && self.process.state.lock().dumpable
            && target.permitted & !who.capabilities.bits() == 0
    }

    /// As [`Self::may_inspect`], as a result.
    ///
    /// # Errors
    /// `EACCES`
    pub(super) fn inspect(&self, caller: &Caller<'_>) -> Result<()> {
        if self.may_inspect(caller) { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Returns the owner of the files: the effective user, or root for a process that may not be inspected.
    fn owner(&self) -> (u32, u32) {
        let (who, _) = self.credentials();
        if self.process.state.lock().dumpable { (who.euid, who.egid) } else { (0, 0) }
    }

    /// Gives an entry to the process's user.
    pub(super) fn own(&self, entry: Entry) -> Entry {
        let (uid, gid) = self.owner();
        entry.owner(uid, gid)
    }

    /// Gives a directory that everybody may list to the process's user, whatever its dumpable attribute.
    fn own_directory(&self, directory: impl Directory + 'static) -> Entry {
        let (who, _) = self.credentials();
        Entry::directory(directory).owner(who.euid, who.egid)
    }

    fn file(&self, mode: u32, read: Read) -> Result<Entry> {
        Ok(self.own(Entry::file(mode, TaskFile { subject: self.clone(), read, write: None, guarded: false })))
    }

    /// A file that can be opened only by who may look into the process.
    fn guarded(&self, mode: u32, read: Read) -> Result<Entry> {
        Ok(self.own(Entry::file(mode, TaskFile { subject: self.clone(), read, write: None, guarded: true })))
    }

    fn writable(&self, mode: u32, read: Read, write: Write) -> Result<Entry> {
        let file = TaskFile { subject: self.clone(), read, write: Some(write), guarded: false };
        Ok(self.own(Entry::file(mode, file)))
    }

    /// A magic link to a place.
    fn place(&self, place: fn(&Self) -> Option<Place>) -> Result<Entry> {
        let (a, b) = (self.clone(), self.clone());
        let find = move |subject: &Self, caller: &Caller<'_>| {
            subject.check()?;
            subject.inspect(caller)?;
            place(subject).ok_or(Errno::ENOENT)
        };
        Ok(self.own(Entry::magic_link(
            move |caller| Ok(find(&a, caller)?.display(&viewer_root(a.system(), caller))),
            move |caller| find(&b, caller).map(LinkTarget::Place),
        )))
    }
}

/// Returns the root directory of whoever looks: paths are shown from there.
pub(super) fn viewer_root(system: &System, caller: &Caller<'_>) -> Place {
    let thread = system.thread(caller.tid);
    thread.map_or_else(|| global_root(system), |thread| thread.fs().root())
}

fn global_root(system: &System) -> Place {
    let mut mounts = system.vfs.mount_list();
    let first = mounts.iter().position(|mount| mount.covered().is_none()).unwrap_or(0);
    mounts.swap_remove(first).root_place()
}

type Read = fn(&Subject, &Caller<'_>) -> Result<Text>;
type Write = fn(&Subject, &[u8], &Caller<'_>) -> Result<()>;

/// A file about a process.
struct TaskFile {
    subject: Subject,
    read: Read,
    write: Option<Write>,
    guarded: bool,
}

impl File for TaskFile {
    fn read(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        self.subject.check()?;
        (self.read)(&self.subject, caller).map(|text| text.0)
    }

    fn write(&self, bytes: &[u8], _: u64, caller: &Caller<'_>) -> Result<usize> {
        let write = self.write.ok_or(Errno::EINVAL)?;
        self.subject.check()?;
        write(&self.subject, bytes, caller).map(|()| bytes.len())
    }

    fn open(&self, _: u32, caller: &Caller<'_>) -> Result<()> {
        if self.guarded { self.subject.inspect(caller) } else { Ok(()) }
    }
}

const fn row(name: &'static str, kind: Kind, make: fn(&Subject) -> Result<Entry>) -> Row<Subject> {
    Row { name, kind, make }
}

const fn file(name: &'static str, make: fn(&Subject) -> Result<Entry>) -> Row<Subject> {
    row(name, Kind::File, make)
}

/// What both kinds of directory have, by a list of further rows.
macro_rules! rows {
    ($($further:expr),*) => { &[
        $($further,)*
        row("fd", Kind::Directory, |s| {
            let fds = descriptors::Descriptors { subject: s.clone(), info: false };
            Ok(s.own(Entry::directory(fds).mode(0o500)))
        }),
        row("fdinfo", Kind::Directory, |s| {
            Ok(s.own(Entry::directory(descriptors::Descriptors { subject: s.clone(), info: true })))
        }),
        row("net", Kind::Directory, |s| Ok(s.own_directory(network::folder(s.system())))),
        file("environ", |s| s.guarded(0o400, memory::environ)),
        file("auxv", |s| s.guarded(0o400, memory::auxv)),
        file("status", |s| s.file(0o444, status::status)),
        file("personality", |s| s.guarded(0o400, personality)),
        file("limits", |s| s.file(0o444, status::limits)),
        file("comm", |s| s.writable(0o644, comm, set_comm)),
        file("cmdline", |s| s.file(0o444, memory::cmdline)),
        file("stat", |s| s.file(0o444, status::stat)),
        file("statm", |s| s.file(0o444, memory::statm)),
        file("maps", |s| s.guarded(0o444, memory::maps)),
        file("mem", |s| Ok(s.own(Entry::file(0o600, memory::Memory(s.clone()))))),
        file("syscall", |s| s.guarded(0o400, status::syscall)),
        row("cwd", Kind::Symlink, |s| s.place(|s| Some(s.thread()?.fs().cwd()))),
        row("root", Kind::Symlink, |s| s.place(|s| Some(s.thread()?.fs().root()))),
        row("exe", Kind::Symlink, |s| {
            s.place(|s| s.process.state.lock().exe.as_ref().map(|exe| exe.place().clone()).filter(|_| s.vm().is_some()))
        }),
        file("mounts", |s| s.file(0o444, mounts::mounts)),
        file("mountinfo", |s| s.file(0o444, mounts::mountinfo)),
        file("smaps", |s| s.guarded(0o444, memory::smaps)),
        file("smaps_rollup", |s| s.guarded(0o444, memory::smaps_rollup)),
        file("wchan", |s| s.file(0o444, |_, _| Ok(Text(b"0".to_vec())))),
        file("schedstat", |s| s.file(0o444, status::schedstat)),
        file("cgroup", |s| s.file(0o444, |_, _| Ok(Text(b"0::/\n".to_vec())))),
        file("oom_score", |s| s.file(0o444, oom_score)),
        file("oom_adj", |s| s.writable(0o644, oom_adj, set_oom_adj)),
        file("oom_score_adj", |s| s.writable(0o644, oom_score_adj, set_oom_score_adj)),
        // There is no audit system that would keep a login's user: nobody has logged in.
        file("loginuid", |s| s.writable(0o644, |_, _| Ok(Text(b"4294967295".to_vec())), |_, _, _| Err(Errno::EPERM))),
        file("sessionid", |s| s.file(0o444, |_, _| Ok(Text(b"4294967295".to_vec()))))
    ] };
}

static PROCESS_ROWS: &[Row<Subject>] = rows![
    row("task", Kind::Directory, |s| Ok(s.own_directory(Tasks(s.clone())))),
    // DEVIATION: there are no core dumps, so what they would contain cannot be chosen.
    file("coredump_filter", |s| s.writable(
        0o644,
        |_, _| Ok(Text(b"00000033\n".to_vec())),
        |_, _, _| Err(Errno::EPERM)
    )),
    file("timerslack_ns", |s| s.file(0o444, timer_slack))
];

static THREAD_ROWS: &[Row<Subject>] = rows![file("children", |s| s.file(0o444, children))];

/// The directories of all processes, in `/proc` itself.
pub(super) struct Processes {
    system: Arc<System>,
}

impl Processes {
    pub(super) fn new(system: &Arc<System>) -> Self {
        Self { system: Arc::clone(system) }
    }
}

/// Reads a number as names of processes and descriptors are: decimal, no sign, no zero in front.
pub(super) fn number(name: &[u8]) -> Result<u32> {
    let text = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().map_err(|_| Errno::ENOENT) } else { Err(Errno::ENOENT) }
}

impl Directory for Processes {
    fn lookup(&self, name: &[u8]) -> Result<Entry> {
        let id = number(name)?;
        // LINUX: the threads of a process can be looked up here, though they are not listed.
        let thread = || self.system.thread(id).map(|thread| Arc::clone(thread.process()));
        let process = self.system.process(id).or_else(thread).ok_or(Errno::ENOENT)?;
        let subject = Subject { process, tid: id, whole: true };
        Ok(subject.own_directory(Rows { about: subject.clone(), rows: PROCESS_ROWS }))
    }

    fn list(&self, cursor: u64, sink: &mut ListSink<'_>) -> Result<()> {
        for process in self.system.processes() {
            let pid = process.pid();
            if u64::from(pid) >= cursor
                && !sink(format!("{pid}").as_bytes(), Kind::Directory, u64::from(pid) + 1)
            {
                break;
            }
        }
        Ok(())
    }

    fn subdirectories(&self) -> u32 {
        u32::try_from(self.system.processes().len()).unwrap_or(u32::MAX)
    }
}

/// `/proc/PID/task`.
struct Tasks(Subject);

impl Directory for Tasks {
    fn lookup(&self, name: &[u8]) -> Result<Entry> {
        let tid = number(name)?;
        let subject = Subject { tid, whole: false, ..self.0.clone() };
        subject.check().map_err(|_| Errno::ENOENT)?;
        Ok(subject.own_directory(Rows { about: subject.clone(), rows: THREAD_ROWS }))
    }

    fn list(&self, cursor: u64, sink: &mut ListSink<'_>) -> Result<()> {
        self.0.check().map_err(|_| Errno::ENOENT)?;
        let mut tids: Vec<u32> = self.0.process.threads().iter().map(|thread| thread.tid()).collect();
        // A first thread that has ended stays until the others have, as a zombie does.
        tids.push(self.0.process.pid());
        tids.sort_unstable();
        tids.dedup();
        for tid in tids.into_iter().filter(|&tid| u64::from(tid) >= cursor) {
            if !sink(format!("{tid}").as_bytes(), Kind::Directory, u64::from(tid) + 1) {
                break;
            }
        }
        Ok(())
    }

    fn subdirectories(&self) -> u32 {
        u32::try_from(self.0.process.threads().len().max(1)).unwrap_or(u32::MAX)
    }
}

/// Returns a name without the NULs behind it.
pub(super) fn trim(name: &[u8; 16]) -> &[u8] {
    name.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// `proc_pid_comm(5)`
fn comm(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let (_, name) = subject.credentials();
    let mut text = Text::default();
    text.push(trim(&name));
    text.push(b"\n");
    Ok(text)
}

/// LINUX: only threads of the same process may rename each other; a newline becomes part of the name.
fn set_comm(subject: &Subject, name: &[u8], caller: &Caller<'_>) -> Result<()> {
    if caller.pid != subject.process.pid() {
        return Err(Errno::EINVAL);
    }
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    subject.thread().ok_or(Errno::ESRCH)?.set_name(name);
    Ok(())
}

/// `proc_pid_personality(5)`
fn personality(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let mut text = Text::default();
    put!(text, "{:08x}\n", subject.process.state.lock().personality);
    Ok(text)
}

/// `proc_pid_timerslack_ns(5)`
fn timer_slack(subject: &Subject, caller: &Caller<'_>) -> Result<Text> {
    let thread = subject.thread().ok_or(Errno::ESRCH)?;
    if caller.tid != thread.tid() && !caller.credentials.capable(Capabilities::from_bits_retain(1 << 23)) {
        return Err(Errno::EPERM);
    }
    let mut text = Text::default();
    put!(text, "{}\n", thread.timer_slack_ns.load(core::sync::atomic::Ordering::Relaxed));
    Ok(text)
}

/// `proc_tid_children(5)`: children belong to the process here, and so to its first thread.
fn children(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let mut text = Text::default();
    if subject.tid == subject.process.pid() {
        let children: Vec<u32> = subject.process.state.lock().children.iter().map(|c| c.pid()).collect();
        children.iter().for_each(|pid| put!(text, "{pid} "));
    }
    Ok(text)
}

/// Largest `oom_score_adj`.
const OOM_SCORE_ADJ_MAX: i64 = 1000;
/// `oom_adj` that keeps a process alive, and the largest.
const OOM_DISABLE: i64 = -17;
const OOM_ADJUST_MAX: i64 = 15;

/// `proc_pid_oom_score(5)`: Linux's `oom_badness`, from 0 to 2000.
fn oom_score(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let adjust = i64::from(subject.process.state.lock().oom_score_adj);
    let total = hal::Frame::usage().total.max(1).cast_signed();
    let score = match subject.vm() {
        Some(vm) if adjust != -OOM_SCORE_ADJ_MAX => {
            let sizes = vm.statistics();
            let pages = ((sizes.resident + sizes.page_tables) / 4096).cast_signed();
            let points = pages + adjust * total / 1000;
            ((1000 + points * 1000 / total) * 2 / 3).max(0)
        }
        _ => 0,
    };
    let mut text = Text::default();
    put!(text, "{score}\n");
    Ok(text)
}

/// `proc_pid_oom_score_adj(5)`
fn oom_score_adj(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let mut text = Text::default();
    put!(text, "{}\n", subject.process.state.lock().oom_score_adj);
    Ok(text)
}

/// `proc_pid_oom_adj(5)`: the old scale from -17 to 15.
fn oom_adj(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let adjust = i64::from(subject.process.state.lock().oom_score_adj);
    let old = if adjust == OOM_SCORE_ADJ_MAX {
        OOM_ADJUST_MAX
    } else {
        (adjust * -OOM_DISABLE / OOM_SCORE_ADJ_MAX).min(OOM_ADJUST_MAX)
    };
    let mut text = Text::default();
    put!(text, "{old}\n");
    Ok(text)
}

/// Reads the number that was written, as `kstrtoint` does behind `strstrip`.
pub(super) fn integer(bytes: &[u8]) -> Result<i64> {
    let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?.trim_matches(['\n', ' ', '\t', '\0']);
    text.parse().map_err(|_| Errno::EINVAL)
}

fn adjust(subject: &Subject, value: i64, caller: &Caller<'_>) -> Result<()> {
    let value = i16::try_from(value).map_err(|_| Errno::EINVAL)?;
    let mut state = subject.process.state.lock();
    if matches!(state.exit, ExitState::Zombie(_)) {
        return Err(Errno::ESRCH);
    }
    // DEVIATION: Linux lets a process go back down to the lowest value that somebody privileged set.
    if value < state.oom_score_adj && !caller.credentials.capable(SYS_RESOURCE) {
        return Err(Errno::EACCES);
    }
    state.oom_score_adj = value;
    Ok(())
}

fn set_oom_score_adj(subject: &Subject, bytes: &[u8], caller: &Caller<'_>) -> Result<()> {
    let value = integer(bytes)?;
    if !(-OOM_SCORE_ADJ_MAX..=OOM_SCORE_ADJ_MAX).contains(&value) {
        return Err(Errno::EINVAL);
    }
    adjust(subject, value, caller)
}

fn set_oom_adj(subject: &Subject, bytes: &[u8], caller: &Caller<'_>) -> Result<()> {
    let value = integer(bytes)?;
    match value {
        OOM_ADJUST_MAX => adjust(subject, OOM_SCORE_ADJ_MAX, caller),
        OOM_DISABLE..OOM_ADJUST_MAX => adjust(subject, value * OOM_SCORE_ADJ_MAX / -OOM_DISABLE, caller),
        _ => Err(Errno::EINVAL),
    }
}
