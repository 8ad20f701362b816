//! Tracing: `ptrace(2)`.
//!
//! A traced thread has [`Entry::TRACED`], so that the way into its calls leads here; other threads pay nothing. It stops
//! in [`stop`], on its own kernel stack, with its registers laid out in [`Held`], where the tracer reads and
//! changes them; when it goes on it takes them back. So a tracer never touches a thread that runs.
//!
//! A tracer is a thread, and only that thread may make requests. It holds its tracees; they know it weakly.

mod access;
mod events;
mod regs;
mod stop;

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use abi::ptrace::PtraceOptions;
use abi::signal::{SI_KERNEL, SIGKILL, SIGSTOP, Siginfo};
use hal::Readiness;

use crate::proc::{Entry, ExitState, Process, Thread, Work, exit_group};
use crate::signal;

pub(crate) use access::may_access;
pub(crate) use events::{
    event, follow, group_stop, handler_entered, hide_step, interrupt, signal_stop, stop_for_filter,
    syscall_entry, syscall_exit,
};
pub(crate) use regs::Held;
pub(crate) use stop::Stop;

/// How far a tracee goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Resume {
    /// To the next event.
    #[default]
    Continue,
    /// To the next system call's entry or exit.
    Syscall,
    /// To the next system call, which is left out.
    Emulate,
}

/// A thread's side of being traced.
#[derive(Default)]
pub struct Tracing {
    tracer: Weak<Thread>,
    /// It was attached by `PTRACE_SEIZE`.
    pub(crate) seized: bool,
    pub(crate) options: PtraceOptions,
    pub(crate) resume: Resume,
    /// It goes one instruction only.
    pub(crate) stepping: bool,
    /// The tracer has set the trap flag, so that the program must not see it.
    pub(crate) forced_trap: bool,
    /// What `PTRACE_GETEVENTMSG` answers.
    pub(crate) message: u64,
    /// Where it stands, if it does.
    pub(crate) stop: Option<Box<Stop>>,
    /// It has ended, with this wait status, which the tracer has not asked for yet.
    pub(crate) ended: Option<u32>,
}

impl Tracing {
    /// Returns the tracer.
    pub(crate) fn tracer(&self) -> Option<Arc<Thread>> {
        self.tracer.upgrade()
    }

    /// Returns the stop, if the tracer may look into it now.
    pub(crate) fn halted(&mut self) -> Option<&mut Stop> {
        self.stop.as_deref_mut().filter(|stop| stop.is_halted())
    }
}

/// What a tracer holds of a process whose first thread it traces.
#[derive(Default)]
pub struct TracedProcess {
    /// The first thread, when it has ended before others.
    pub(crate) leader: Option<Arc<Thread>>,
    /// It has ended, and the tracer, who is not the parent, has to be told first.
    pub(crate) hidden: bool,
}

/// How a thread becomes a tracee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// `PTRACE_TRACEME`.
    Asked,
    /// `PTRACE_ATTACH`.
    Attached,
    /// `PTRACE_SEIZE`.
    Seized,
}

impl Thread {
    /// Says whether somebody traces it.
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.entry().contains(Entry::TRACED)
    }

    /// Returns who traces it.
    pub fn tracer(&self) -> Option<Arc<Self>> {
        if self.is_traced() { self.tracing.lock().tracer() } else { None }
    }

    /// Says whether it leads its process: its number is the process's.
    pub(crate) fn leads(&self) -> bool {
        self.tid() == self.process().pid()
    }
}

/// Makes a thread a tracee; `false` if it is one already.
pub(crate) fn link(tracee: &Arc<Thread>, tracer: &Arc<Thread>, seized: bool, options: PtraceOptions) -> bool {
    {
        let mut tracing = tracee.tracing.lock();
        if tracing.tracer().is_some() {
            return false;
        }
        *tracing = Tracing { tracer: Arc::downgrade(tracer), seized, options, ..Tracing::default() };
    }
    tracer.tracees.lock().push(Arc::clone(tracee));
    tracee.add_entry(Entry::TRACED);
    true
}

/// Attaches to a running thread; `false` if it is traced already.
pub(crate) fn attach(
    tracee: &Arc<Thread>,
    tracer: &Arc<Thread>,
    manner: Manner,
    options: PtraceOptions,
) -> bool {
    if !link(tracee, tracer, manner == Manner::Seized, options) {
        return false;
    }
    if manner == Manner::Attached {
        let _ = signal::send_thread(tracee, Siginfo::kill(SIGSTOP, SI_KERNEL, 0, 0));
    }
    // LINUX: a thread that is stopped already tells its tracer so.
    if tracee.process().state.lock().stopped.is_some() {
        tracee.notify(Work::STOP);
    }
    true
}

/// Lets go of a tracee. It goes on with the signal, or with the one it stopped for.
pub(crate) fn detach(tracee: &Arc<Thread>, signal: Option<u32>) {
    let tracer = {
        let mut tracing = tracee.tracing.lock();
        let forced = core::mem::take(&mut tracing.forced_trap);
        let tracer = core::mem::take(&mut tracing.tracer).upgrade();
        (tracing.resume, tracing.stepping, tracing.options) = Default::default();
        if let Some(stop) = &mut tracing.stop {
            if forced {
                stop.held.set_trap_flag(false);
            }
            stop.go_on(signal);
        }
        tracer
    };
    tracee.clear_entry(Entry::TRACED);
    if let Some(tracer) = tracer {
        forget(&tracer, tracee);
    }
    if tracee.process().state.lock().stopped.is_some() {
        tracee.add_work(Work::STOP);
    }
    tracee.task().unpark();
    let leader = tracee.process().tracing.lock().leader.take_if(|leader| Arc::ptr_eq(leader, tracee));
    drop(leader);
    if tracee.leads() {
        unhide(tracee.process());
    }
}

/// Takes a tracee off its tracer's list.
fn forget(tracer: &Thread, tracee: &Arc<Thread>) {
    let gone: Vec<_> = {
        let mut tracees = tracer.tracees.lock();
        let at = tracees.iter().position(|other| Arc::ptr_eq(other, tracee));
        at.map(|at| tracees.swap_remove(at)).into_iter().collect()
    };
    drop(gone);
}

/// Tells the parent of a process that has ended while somebody else traced it.
fn unhide(process: &Arc<Process>) {
    let hidden = core::mem::take(&mut process.tracing.lock().hidden);
    let exit = process.state.lock().exit;
    if let (true, ExitState::Zombie(status)) = (hidden, exit) {
        crate::proc::tell_end(process, status);
    }
}

/// Lets go of everybody that a thread traces, because it ends.
pub(crate) fn tracer_ends(tracer: &Thread) {
    let tracees = core::mem::take(&mut *tracer.tracees.lock());
    for tracee in tracees {
        let kill = tracee.tracing.lock().options.contains(PtraceOptions::PTRACE_O_EXITKILL);
        if kill {
            exit_group(tracee.process(), SIGKILL.cast_unsigned());
        }
        detach(&tracee, None);
    }
}

/// Notes that a traced thread has ended, others of its process having not.
pub(crate) fn thread_ended(thread: &Arc<Thread>, status: u32) {
    let Some(tracer) = thread.tracer() else { return };
    if thread.leads() {
        // Told when the process ends.
        thread.process().tracing.lock().leader = Some(Arc::clone(thread));
        return;
    }
    thread.tracing.lock().ended = Some(status);
    tell_thread_end(thread, &tracer, status);
}

fn tell_thread_end(thread: &Arc<Thread>, tracer: &Arc<Thread>, status: u32) {
    let ignored = signal::notify_tracer_of_end(thread, tracer.process(), status);
    if ignored {
        forget(tracer, thread);
    }
    tracer.process().child_events.wake(Readiness::IN);
}

/// Notes that a process has ended; says whether its parent is not to know of it yet.
pub(crate) fn process_ended(process: &Arc<Process>, last: &Arc<Thread>, status: u32) -> bool {
    let leader = process.tracing.lock().leader.take();
    if !last.leads() && last.is_traced() {
        last.tracing.lock().ended = Some(status);
    }
    if !last.leads()
        && let Some(tracer) = last.tracer()
    {
        tell_thread_end(last, &tracer, status);
    }
    let Some(leader) = leader.or_else(|| last.leads().then(|| Arc::clone(last))) else { return false };
    let Some(tracer) = leader.tracer() else { return false };
    let parent = process.state.lock().parent.upgrade();
    if parent.is_some_and(|parent| Arc::ptr_eq(&parent, tracer.process())) {
        return false;
    }
    process.tracing.lock().hidden = true;
    let ignored = signal::notify_tracer_of_end(&leader, tracer.process(), status);
    tracer.process().child_events.wake(Readiness::IN);
    if ignored {
        detach_dead(&leader);
        process.tracing.lock().hidden = false;
    }
    !ignored
}

/// Takes an ended thread off its tracer's list.
pub(crate) fn detach_dead(thread: &Arc<Thread>) {
    let tracer = core::mem::take(&mut thread.tracing.lock().tracer).upgrade();
    thread.clear_entry(Entry::TRACED);
    if let Some(tracer) = tracer {
        forget(&tracer, thread);
    }
}

/// Takes a process that its parent has waited for off the parent's lists.
pub(crate) fn forget_process(parent: &Process, child: &Arc<Process>) {
    for thread in parent.threads() {
        let gone: Vec<_> = {
            let mut tracees = thread.tracees.lock();
            tracees.extract_if(.., |tracee| tracee.leads() && Arc::ptr_eq(tracee.process(), child)).collect()
        };
        drop(gone);
    }
}

/// Takes an ended thread's report: the tracer has waited for it.
pub(crate) fn reaped(thread: &Arc<Thread>) {
    detach_dead(thread);
    if thread.leads() {
        unhide(thread.process());
    }
}

/// Lets a listening tracee tell that its process goes on, or stops again.
pub(crate) fn job_control_changed(thread: &Thread) {
    let seized = {
        let mut tracing = thread.tracing.lock();
        if let Some(stop) = tracing.stop.as_deref_mut().filter(|stop| stop.listening) {
            stop.go_on(Some(0));
        }
        tracing.seized
    };
    if seized {
        thread.notify(Work::TRAP);
    }
}
