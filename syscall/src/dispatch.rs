//! From the entry of an application to the handler, and back.

use abi::Errno;
use abi::signal::{SI_KERNEL, SIGSEGV, Siginfo};
use hal::{Exception, Flow, PageFault, UserRegs, UserThread};

use crate::error::Outcome;
use crate::handlers::rseq;
use crate::proc::{Thread, Work, exit_thread};
use crate::{Context, Restart, entry, signal, table};

impl UserThread for Thread {
    fn syscall(&self, regs: &mut UserRegs) -> Flow {
        let watched = !self.entry().is_empty();
        let outcome = if watched { entry::call(self, regs) } else { call(self, regs) };
        if let Outcome::Return(value) = outcome {
            regs.rax = value.cast_unsigned();
            if !self.has_work() {
                return Flow::Return;
            }
        }
        self.finish_call(outcome, regs)
    }

    fn page_fault(&self, fault: &PageFault, regs: &mut UserRegs) -> Flow {
        self.faults.0.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        if let Err(kind) = self.process().vm().fault(fault) {
            signal::force_fault(self, fault, kind, regs);
        }
        self.before_user(regs)
    }

    fn copy_fault(&self, fault: &PageFault) -> bool {
        self.process().vm().fault(fault).is_ok()
    }

    fn exception(&self, exception: Exception, regs: &mut UserRegs) -> Flow {
        signal::force_exception(self, exception, regs);
        self.before_user(regs)
    }

    fn memory_short(&self) {
        signal::end_largest_process(self.process().system());
    }

    fn rescheduled(&self) {
        if self.has_rseq() {
            self.add_work(Work::RSEQ);
        }
    }

    #[inline]
    fn before_user(&self, regs: &mut UserRegs) -> Flow {
        if self.has_work() { self.work(regs, None) } else { Flow::Resume }
    }
}

impl Thread {
    /// Goes on after a call with more to do than to return a value.
    #[cold]
    #[inline(never)]
    fn finish_call(&self, outcome: Outcome, regs: &mut UserRegs) -> Flow {
        match outcome {
            Outcome::Exit => Flow::Exit,
            Outcome::Restart(restart) => self.work(regs, Some(restart.into())),
            Outcome::Return(_) | Outcome::Resume => self.before_user(regs),
        }
    }

    /// Does what is pending before the return to user mode: ends, stops, or delivers signals.
    #[cold]
    fn work(&self, regs: &mut UserRegs, mut restart: Option<Restart>) -> Flow {
        let cx = Context::new(self, regs);
        loop {
            // A switch of processors alone is no reason to look for signals.
            if restart.is_some() || self.work_flags() != Work::RSEQ {
                signal::deliver_pending(&cx, restart.take());
            }
            let work = self.work_flags();
            if work.contains(Work::EXIT) {
                exit_thread(&cx, 0);
                return Flow::Exit;
            }
            if !work.contains(Work::RSEQ) {
                return Flow::Resume;
            }
            // Taken back first: a switch while the area is written sets it again.
            self.clear_work(Work::RSEQ);
            if rseq::resume(&cx).is_err() {
                signal::force_signal(self, Siginfo::kill(SIGSEGV, SI_KERNEL, 0, 0));
            }
        }
    }
}

/// Calls the handler.
#[inline(always)]
pub(crate) fn call(thread: &Thread, regs: &mut UserRegs) -> Outcome {
    match table::handler(regs.orig_rax) {
        Some(call) => call(thread, regs),
        None => unimplemented_call(thread, regs),
    }
}

#[cold]
fn unimplemented_call(thread: &Thread, regs: &UserRegs) -> Outcome {
    thread.process().system().note_unimplemented(regs.orig_rax);
    Outcome::Return(-i64::from(Errno::ENOSYS.number()))
}
