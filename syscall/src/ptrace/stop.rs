//! A tracee that stands, and how it gets there.

use alloc::boxed::Box;
use alloc::sync::Arc;

use abi::signal::{SIGTRAP, Siginfo};

use super::Held;
use crate::Context;
use crate::proc::{Thread, Work};
use crate::signal;

/// A tracee that stands.
pub(crate) struct Stop {
    /// What `wait(2)` reports, above the mark of a stop: a signal, and the event above it.
    pub(crate) code: u32,
    /// Nobody has waited for it yet.
    pub(crate) is_news: bool,
    /// What `PTRACE_GETSIGINFO` shows; nothing for a stop of the whole process.
    pub(crate) info: Option<Siginfo>,
    /// The registers.
    pub(crate) held: Held,
    /// It only waits for news (`PTRACE_LISTEN`).
    pub(crate) listening: bool,
    /// The signal to go on with, once the tracer has said so.
    resume: Option<u32>,
}

impl Stop {
    /// Says whether the tracer may look into it.
    pub(crate) const fn is_halted(&self) -> bool {
        self.resume.is_none() && !self.listening
    }

    /// Lets it go on, with a signal, or as it would have without a tracer.
    pub(crate) const fn go_on(&mut self, signal: Option<u32>) {
        let signal = match signal {
            Some(signal) => signal,
            None => self.code & 0x7f,
        };
        if self.resume.is_none() {
            self.resume = Some(signal);
        }
    }
}

/// Why a thread stops.
pub(super) struct Reason {
    pub(super) code: u32,
    pub(super) info: Option<Siginfo>,
    pub(super) message: u64,
    /// What `SIGCHLD` tells the tracer: `CLD_TRAPPED` or `CLD_STOPPED`.
    pub(super) why: i32,
}

/// Stops the calling thread until its tracer lets it go on; returns the signal to go on with, and the details that the
/// tracer left. A thread that nobody traces any more goes on with the signal of the stop.
pub(super) fn stop(cx: &Context<'_>, reason: &Reason) -> (u32, Option<Siginfo>) {
    let thread = cx.thread;
    let mut held = Held::take(cx);
    let tracer = {
        let mut tracing = thread.tracing.lock();
        let Some(tracer) = tracing.tracer() else { return (reason.code & 0x7f, reason.info) };
        if tracing.forced_trap {
            // The program's own registers do not hold it.
            held.set_trap_flag(false);
        }
        tracing.message = reason.message;
        tracing.stop = Some(Box::new(Stop {
            code: reason.code,
            is_news: true,
            info: reason.info,
            held,
            listening: false,
            resume: None,
        }));
        tracer
    };
    tell(thread, &tracer, reason);
    drop(tracer);
    while !thread.work_flags().contains(Work::EXIT) {
        let goes_on = thread.tracing.lock().stop.as_ref().is_none_or(|stop| stop.resume.is_some());
        if goes_on {
            break;
        }
        cx.scheduler().park(None);
    }
    let (stop, stepping) = {
        let mut tracing = thread.tracing.lock();
        let stepping = tracing.stepping;
        (tracing.stop.take(), stepping)
    };
    let Some(mut stop) = stop else { return (0, None) };
    let forced = stepping && !stop.held.has_trap_flag();
    if stepping {
        stop.held.set_trap_flag(true);
    }
    thread.tracing.lock().forced_trap = forced;
    stop.held.give_back(cx);
    (stop.resume.unwrap_or(0), stop.info)
}

fn tell(thread: &Thread, tracer: &Arc<Thread>, reason: &Reason) {
    signal::notify_tracer(thread, tracer.process(), reason.why, (reason.code & 0x7f).cast_signed());
}

/// The details of a stop that no signal caused.
pub(super) fn own_info(thread: &Thread, signal: i32, code: u32) -> Siginfo {
    let uid = thread.credentials().uid;
    Siginfo::kill(signal, code.cast_signed(), thread.tid().cast_signed(), uid)
}

/// `SIGTRAP`, as a wait status has it.
pub(super) const TRAP: u32 = SIGTRAP.cast_unsigned();
