//! From the entry of an application to the handler, and back.

use abi::Errno;
use abi::signal::{SI_KERNEL, SIGSEGV, Siginfo};
use hal::{Exception, Flow, PageFault, UserRegs, UserThread};

use crate::error::Outcome;
use crate::proc::{Thread, Work, exit_thread};
use crate::handlers::rseq;
use crate::{Context, Restart, signal, table, trace};

impl UserThread for Thread {
    fn syscall(&self, regs: &mut UserRegs) -> Flow {
        let number = regs.orig_rax;
        let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
        let system = self.process().system();
        if system.trace() {
            return self.finish_call(trace::call(self, regs, number, args), regs);
        }
        let outcome = call(&Context::new(self, regs), number, args);
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
    #[inline]
    fn finish_call(&self, outcome: Outcome, regs: &mut UserRegs) -> Flow {
        let restart = match outcome {
            Outcome::Return(value) => {
                regs.rax = value.cast_unsigned();
                None
            }
            Outcome::Restart(restart) => Some(restart),
            Outcome::Resume => None,
            Outcome::Exit => return Flow::Exit,
        };
        if restart.is_none() && !self.has_work() {
            return Flow::Resume;
        }
        self.work(regs, restart)
    }

    /// Does what is pending before the return to user mode: ends, stops, or delivers signals.
    #[cold]
    fn work(&self, regs: &mut UserRegs, mut restart: Option<Restart>) -> Flow {
        let cx = Context::new(self, regs);
        loop {
            signal::deliver_pending(&cx, restart.take());
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

/// Finds the row and calls the handler.
pub(crate) fn call(cx: &Context<'_>, number: u64, args: [u64; 6]) -> Outcome {
    if let Some(entry) = table::entry(number)
        && let Some(call) = entry.call
    {
        return call(cx, args);
    }
    cx.system().note_unimplemented(number);
    Outcome::Return(-i64::from(Errno::ENOSYS.number()))
}
