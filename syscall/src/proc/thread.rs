//! A thread of the application.

use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::task::Waker;

use hal::sync::{Lock, rank};
use hal::{CpuSet, Readiness, Task, WaitQueue};

use super::{Credentials, FdTable, FsContext, Process};
use crate::ipc::sem::UndoList;
use crate::signal::ThreadSignals;

bitflags::bitflags! {
    /// What a thread has to do before it returns to user mode.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Work: u32 {
        /// A signal may be deliverable: look.
        const SIGNAL = 1;
        /// End: the process ends, or another thread called `execve`.
        const EXIT = 2;
        /// Stop, or look whether to go on.
        const STOP = 4;
        /// Bring the registered `rseq` area up to date.
        const RSEQ = 8;
        /// Stop for the tracer: it said so, or job control has changed.
        const TRAP = 16;
    }
}

bitflags::bitflags! {
    /// Who has a say in a thread's system calls before they are carried out.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Entry: u32 {
        /// The trace of `hull run --trace`.
        const LOG = 1;
        /// Filters, or the strict mode (`seccomp(2)`).
        const SECCOMP = 2;
        /// A tracer (`ptrace(2)`).
        const TRACED = 4;
    }
}

/// Scheduling policy (`sched(7)`); only `nice` has an effect on the fair scheduler.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SchedPolicy {
    /// `SCHED_OTHER` (0), `SCHED_FIFO` (1), `SCHED_RR` (2), `SCHED_BATCH` (3), `SCHED_IDLE` (5).
    pub policy: u32,
    /// Real-time priority, 1 to 99, or 0.
    pub priority: u32,
    /// -20 to 19.
    pub nice: i8,
    /// Children get the default policy (`SCHED_RESET_ON_FORK`).
    pub reset_on_fork: bool,
}

/// What a thread is made of.
pub struct ThreadParts {
    /// Its process.
    pub process: Arc<Process>,
    /// Its number.
    pub tid: u32,
    /// Its descriptors.
    pub files: Arc<FdTable>,
    /// Its working directory, root and umask.
    pub fs: Arc<FsContext>,
    /// Its identity.
    pub credentials: Arc<Credentials>,
    /// Its name, at most 15 bytes and NULs.
    pub name: [u8; 16],
    /// Its blocked signals.
    pub signal_mask: u64,
    /// Its scheduling policy.
    pub sched: SchedPolicy,
    /// Processors on which it may run.
    pub affinity: CpuSet,
}

/// A thread.
pub struct Thread {
    this: Weak<Self>,
    process: Arc<Process>,
    tid: AtomicU32,
    work: AtomicU32,
    entry: AtomicU32,
    task: spin::Once<Arc<dyn Task>>,
    waker: spin::Once<Waker>,
    files: Lock<Arc<FdTable>, { rank::LEAF }>,
    fs: Lock<Arc<FsContext>, { rank::LEAF }>,
    credentials: Lock<Arc<Credentials>, { rank::LEAF }>,
    name: Lock<[u8; 16], { rank::LEAF }>,
    /// Mask, pending signals, alternate stack.
    pub signals: ThreadSignals,
    /// Where `CLONE_CHILD_CLEARTID` and `set_tid_address(2)` want a zero and a futex wake-up at the end; 0 for nowhere.
    pub clear_child_tid: AtomicU64,
    /// Head of the list of robust futexes; 0 for none.
    pub robust_list: AtomicU64,
    /// The registered `rseq` area, its length and signature.
    pub rseq: Lock<(u64, u32, u32), { rank::LEAF }>,
    /// Scheduling policy.
    pub sched: Lock<SchedPolicy, { rank::LEAF }>,
    /// Processors on which it may run.
    pub affinity: Lock<CpuSet, { rank::LEAF }>,
    /// Timer slack in nanoseconds (`PR_SET_TIMERSLACK`).
    pub timer_slack_ns: AtomicU64,
    /// Class and level of `ioprio_set(2)`; disks serve requests in order, so it has no effect.
    pub io_priority: AtomicU32,
    /// Signal at the parent's end (`PR_SET_PDEATHSIG`).
    pub parent_death_signal: AtomicU32,
    /// Who waits for this thread's `execve` or end (`vfork(2)`).
    pub vfork: Lock<Option<Arc<VforkDone>>, { rank::LEAF }>,
    /// What is undone at the end (`SEM_UNDO`).
    pub(crate) undo: Lock<Option<Arc<UndoList>>, { rank::LEAF }>,
    /// What it may call (`seccomp(2)`).
    pub seccomp: Lock<crate::seccomp::Mode, { rank::LEAF }>,
    /// How it is traced (`ptrace(2)`).
    pub(crate) tracing: Lock<crate::ptrace::Tracing, { rank::THREAD }>,
    /// Whom it traces.
    pub(crate) tracees: Lock<Vec<Arc<Self>>, { rank::LEAF }>,
    /// The thread that made it.
    pub(crate) maker: Lock<Weak<Self>, { rank::LEAF }>,
    /// Page faults without and with I/O (`getrusage(2)`).
    pub faults: (AtomicU64, AtomicU64),
}

/// What a parent in `vfork` waits for.
#[derive(Default)]
pub struct VforkDone {
    done: AtomicBool,
    queue: Arc<WaitQueue>,
}

impl VforkDone {
    /// Lets the parent go on.
    pub fn finish(&self) {
        self.done.store(true, Ordering::SeqCst);
        self.queue.wake(Readiness::IN);
    }

    /// Says whether the parent may go on.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }

    /// Returns the queue on which the parent waits.
    pub const fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }
}

struct Unpark(Weak<Thread>);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(thread) = self.0.upgrade() {
            thread.task().unpark();
        }
    }
}

impl Thread {
    /// Makes a thread; [`Thread::set_task`] completes it.
    pub fn new(parts: ThreadParts) -> Arc<Self> {
        let entry = if parts.process.system().trace() { Entry::LOG } else { Entry::empty() };
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            process: parts.process,
            tid: AtomicU32::new(parts.tid),
            work: AtomicU32::new(0),
            entry: AtomicU32::new(entry.bits()),
            task: spin::Once::new(),
            waker: spin::Once::new(),
            files: Lock::new(parts.files),
            fs: Lock::new(parts.fs),
            credentials: Lock::new(parts.credentials),
            name: Lock::new(parts.name),
            signals: ThreadSignals::new(parts.signal_mask),
            clear_child_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            rseq: Lock::new((0, 0, 0)),
            sched: Lock::new(parts.sched),
            affinity: Lock::new(parts.affinity),
            timer_slack_ns: AtomicU64::new(50_000),
            io_priority: AtomicU32::new(0),
            undo: Lock::default(),
            parent_death_signal: AtomicU32::new(0),
            vfork: Lock::default(),
            seccomp: Lock::default(),
            tracing: Lock::default(),
            tracees: Lock::default(),
            maker: Lock::default(),
            faults: (AtomicU64::new(0), AtomicU64::new(0)),
        })
    }

    /// Connects the thread with the kernel's side of it. Called once, before it runs.
    pub fn set_task(&self, task: Arc<dyn Task>) {
        self.task.call_once(|| task);
        self.waker.call_once(|| Waker::from(Arc::new(Unpark(Weak::clone(&self.this)))));
    }

    /// Returns the kernel's side of the thread.
    ///
    /// # Panics
    /// If the thread was not completed.
    #[inline]
    pub fn task(&self) -> &Arc<dyn Task> {
        self.task.get().expect("a thread gets its task before it runs")
    }

    /// Returns the waker that ends the thread's sleep.
    ///
    /// # Panics
    /// If the thread was not completed.
    #[inline]
    pub fn waker(&self) -> &Waker {
        self.waker.get().expect("a thread gets its waker before it runs")
    }

    /// Returns the counted reference to this thread.
    pub fn arc(&self) -> Arc<Self> {
        self.this.upgrade().expect("a thread that is borrowed is alive")
    }

    /// Returns the thread number.
    #[inline]
    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// Takes over the process's number, after `execve` has ended the first thread.
    pub(crate) fn become_leader(&self) {
        self.tid.store(self.process.pid(), Ordering::Relaxed);
    }

    /// Lets go of what the thread shares with others, when it ends.
    pub(crate) fn release_resources(&self) {
        drop(self.set_files(Arc::default()));
    }

    /// Returns the process.
    #[inline]
    pub const fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Returns who has a say in its system calls.
    #[inline]
    pub fn entry(&self) -> Entry {
        Entry::from_bits_retain(self.entry.load(Ordering::Relaxed))
    }

    /// Gives somebody a say in its system calls from the next one on.
    pub fn add_entry(&self, entry: Entry) {
        self.entry.fetch_or(entry.bits(), Ordering::SeqCst);
    }

    /// Takes that back.
    pub fn clear_entry(&self, entry: Entry) {
        self.entry.fetch_and(!entry.bits(), Ordering::SeqCst);
    }

    /// Says whether something is to be done before the return to user mode.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.work.load(Ordering::Relaxed) != 0
    }

    /// Says whether a sleep has to end: a signal is deliverable, or the thread is to end or stop.
    #[inline]
    pub fn interrupted(&self) -> bool {
        self.work.load(Ordering::SeqCst) & !Work::RSEQ.bits() != 0
    }

    /// Returns what is to be done.
    pub fn work_flags(&self) -> Work {
        Work::from_bits_retain(self.work.load(Ordering::SeqCst))
    }

    /// Notes work for the thread, without waking it.
    pub fn add_work(&self, work: Work) {
        self.work.fetch_or(work.bits(), Ordering::SeqCst);
    }

    /// Notes work and makes the thread see it soon: ends its sleep, or its stay in user mode.
    pub fn notify(&self, work: Work) {
        self.add_work(work);
        if let Some(task) = self.task.get() {
            task.unpark();
            task.kick();
        }
    }

    /// Takes back work that is done.
    pub fn clear_work(&self, work: Work) {
        self.work.fetch_and(!work.bits(), Ordering::SeqCst);
    }

    /// Says whether the thread has registered an `rseq` area.
    pub fn has_rseq(&self) -> bool {
        self.rseq.lock().0 != 0
    }

    /// Returns the descriptor table.
    #[inline]
    pub fn files(&self) -> Arc<FdTable> {
        Arc::clone(&self.files.lock())
    }

    /// Replaces the descriptor table, and returns the old one.
    pub fn set_files(&self, files: Arc<FdTable>) -> Arc<FdTable> {
        core::mem::replace(&mut self.files.lock(), files)
    }

    /// Returns the working directory, root and umask.
    #[inline]
    pub fn fs(&self) -> Arc<FsContext> {
        Arc::clone(&self.fs.lock())
    }

    /// Replaces the working directory, root and umask, and returns the old ones.
    pub fn set_fs(&self, fs: Arc<FsContext>) -> Arc<FsContext> {
        core::mem::replace(&mut self.fs.lock(), fs)
    }

    /// Returns the identity.
    #[inline]
    pub fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.lock())
    }

    /// Looks at the identity without counting a reference to it; `look` takes no lock.
    #[inline]
    pub fn with_credentials<R>(&self, look: impl FnOnce(&Credentials) -> R) -> R {
        look(&self.credentials.lock())
    }

    /// Replaces the identity.
    pub fn set_credentials(&self, credentials: Credentials) {
        let new = Arc::new(credentials);
        let _old = core::mem::replace(&mut *self.credentials.lock(), new);
    }

    /// Returns the name (`PR_GET_NAME`), padded with NULs.
    pub fn name(&self) -> [u8; 16] {
        *self.name.lock()
    }

    /// Sets the name to the first 15 bytes (`PR_SET_NAME`).
    pub fn set_name(&self, name: &[u8]) {
        let mut padded = [0; 16];
        let len = name.len().min(15);
        padded[..len].copy_from_slice(&name[..len]);
        *self.name.lock() = padded;
    }
}

impl core::fmt::Debug for Thread {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Thread({})", self.tid())
    }
}
