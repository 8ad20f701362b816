//! A process: threads that share an address space, handlers and limits.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use hal::sync::{Lock, rank};
use hal::{CpuTime, WaitQueue};

use super::program::Executable;
use super::{Credentials, Limits, Thread};
use crate::signal::{Handlers, Pending};
use crate::system::System;
use crate::vm::Vm;

/// How far a process is on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ExitState {
    /// It runs.
    #[default]
    Running,
    /// All its threads are to end, with this wait status.
    Ending(u32),
    /// All its threads have ended; the parent has not waited yet. The wait status.
    Zombie(u32),
}

/// What changes in a process, under one lock.
pub struct ProcessState {
    /// The parent; none for the first process and for orphans, whose parent is the kernel (pid 1).
    pub parent: Weak<Process>,
    /// The children that have not been waited for.
    pub children: Vec<Arc<Process>>,
    /// The threads that have not ended.
    pub threads: Vec<Arc<Thread>>,
    /// The process group.
    pub group: u32,
    /// The session.
    pub session: u32,
    /// On its way out?
    pub exit: ExitState,
    /// Stopped by this signal (job control).
    pub stopped: Option<u32>,
    /// The parent has not been told of the last stop (`Some(status)`) or continuation (`Some(0xffff)`) yet.
    pub report: Option<u32>,
    /// Has called `execve` since it was made (`setpgid(2)`).
    pub has_execed: bool,
    /// Makes itself the parent of its descendants' orphans (`PR_SET_CHILD_SUBREAPER`).
    pub subreaper: bool,
    /// May be dumped and inspected (`PR_SET_DUMPABLE`).
    pub dumpable: bool,
    /// The program's file (`/proc/self/exe`).
    pub exe: Option<Arc<Executable>>,
    /// The auxiliary vector (`/proc/self/auxv`).
    pub auxv: Vec<(u64, u64)>,
    /// The real user of the thread that ended last.
    pub last_uid: u32,
    /// Processor time of threads that have ended.
    pub ended_time: CpuTime,
    /// Processor time of children that were waited for.
    pub children_time: CpuTime,
    /// `personality(2)`.
    pub personality: u32,
    /// `/proc/self/oom_score_adj`.
    pub oom_score_adj: i16,
}

/// A process.
pub struct Process {
    pid: u32,
    system: Arc<System>,
    vm: Lock<Option<Arc<Vm>>, { rank::LEAF }>,
    /// The state; see [`ProcessState`].
    pub state: Lock<ProcessState, { rank::PROCESS }>,
    /// What the process does on each signal.
    pub handlers: Lock<Arc<Handlers>, { rank::LEAF }>,
    /// Signals sent to the process as a whole.
    pub pending: Pending,
    /// Resource limits.
    pub limits: Lock<Limits, { rank::LEAF }>,
    /// Interval and POSIX timers.
    pub timers: crate::handlers::time::ProcessTimers,
    /// Woken when a child changes its state.
    pub child_events: Arc<WaitQueue>,
    /// Woken when this process ends (pidfd).
    pub exit_events: Arc<WaitQueue>,
    /// The signal that the parent gets at the end; 0 for none.
    pub exit_signal: i32,
    /// Monotonic time of its start, in nanoseconds.
    pub start_ns: u64,
    /// What a tracer holds of it.
    pub(crate) tracing: Lock<crate::ptrace::TracedProcess, { rank::LEAF }>,
    /// Identity and name of the thread that ended last: what `/proc` shows of a zombie.
    pub last_identity: Lock<Option<(Arc<Credentials>, [u8; 16])>, { rank::LEAF }>,
}

impl Process {
    /// Makes a process without threads.
    pub fn new(
        system: &Arc<System>,
        pid: u32,
        vm: Arc<Vm>,
        handlers: Arc<Handlers>,
        limits: Limits,
        state: ProcessState,
        exit_signal: i32,
    ) -> Arc<Self> {
        Arc::new(Self {
            pid,
            system: Arc::clone(system),
            vm: Lock::new(Some(vm)),
            state: Lock::new(state),
            handlers: Lock::new(handlers),
            pending: Pending::default(),
            limits: Lock::new(limits),
            timers: crate::handlers::time::ProcessTimers::default(),
            child_events: WaitQueue::new(),
            exit_events: WaitQueue::new(),
            exit_signal,
            start_ns: system.platform().clock.monotonic_ns(),
            tracing: Lock::default(),
            last_identity: Lock::default(),
        })
    }

    /// Returns the process number, which is also the number of the first thread.
    #[inline]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the system.
    #[inline]
    pub const fn system(&self) -> &Arc<System> {
        &self.system
    }

    /// Returns the address space.
    ///
    /// # Panics
    /// If the process has ended: only its own threads may call this.
    #[inline]
    pub fn vm(&self) -> Arc<Vm> {
        self.try_vm().expect("a running thread has an address space")
    }

    /// Returns the address space, unless the process has ended.
    pub fn try_vm(&self) -> Option<Arc<Vm>> {
        self.vm.lock().clone()
    }

    /// Replaces the address space (`execve`), and returns the old one.
    pub fn set_vm(&self, vm: Arc<Vm>) -> Option<Arc<Vm>> {
        self.vm.lock().replace(vm)
    }

    /// Lets go of the address space, when the process ends.
    pub(crate) fn release_vm(&self) -> Option<Arc<Vm>> {
        self.vm.lock().take()
    }

    /// Returns the real user, also of a process that has ended.
    pub fn uid(&self) -> u32 {
        let state = self.state.lock();
        state.threads.first().map_or(state.last_uid, |thread| thread.credentials().uid)
    }

    /// Returns the number of the parent: 1 is the kernel, which plays init.
    pub fn parent_pid(&self) -> u32 {
        self.state.lock().parent.upgrade().map_or(1, |p| p.pid)
    }

    /// Returns a resource's soft limit.
    pub fn limit(&self, resource: super::Resource) -> u64 {
        self.limits.lock().get(resource).soft
    }

    /// Returns the threads that have not ended.
    pub fn threads(&self) -> Vec<Arc<Thread>> {
        self.state.lock().threads.clone()
    }

    /// Returns the processor time of all threads, ended ones too.
    pub fn cpu_time(&self) -> CpuTime {
        let (mut sum, threads) = {
            let state = self.state.lock();
            (state.ended_time, state.threads.clone())
        };
        for thread in threads {
            let time = thread.task().cpu_time();
            sum.user_ns += time.user_ns;
            sum.system_ns += time.system_ns;
        }
        sum
    }
}
