//! Signals that the thread itself causes: page faults, exceptions, broken frames.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use abi::signal::*;
use hal::{Access, Exception, PageFault, Stream, UserRegs};

use super::{Action, SignalSet, Trap};
use crate::Context;
use crate::proc::{ExitState, Thread, Work, exit_group};
use crate::system::System;
use crate::vm::FaultKind;

/// Numbers of processor exceptions (Intel SDM volume 3, table 6-1).
mod vector {
    pub(super) const DIVIDE_ERROR: u64 = 0;
    pub(super) const DEBUG: u64 = 1;
    pub(super) const BREAKPOINT: u64 = 3;
    pub(super) const OVERFLOW: u64 = 4;
    pub(super) const BOUND_RANGE: u64 = 5;
    pub(super) const INVALID_OPCODE: u64 = 6;
    pub(super) const DEVICE_NOT_AVAILABLE: u64 = 7;
    pub(super) const SEGMENT_NOT_PRESENT: u64 = 11;
    pub(super) const STACK_SEGMENT: u64 = 12;
    pub(super) const GENERAL_PROTECTION: u64 = 13;
    pub(super) const PAGE_FAULT: u64 = 14;
    pub(super) const X87: u64 = 16;
    pub(super) const ALIGNMENT_CHECK: u64 = 17;
    pub(super) const MACHINE_CHECK: u64 = 18;
    pub(super) const SIMD: u64 = 19;
    pub(super) const CONTROL_PROTECTION: u64 = 21;
}

/// Single step, in the debug status register (DR6).
const DR6_SINGLE_STEP: u64 = 1 << 14;

/// Forces the signal of a page fault on the thread that caused it.
pub fn force_fault(thread: &Thread, fault: &PageFault, kind: FaultKind, _regs: &mut UserRegs) {
    let address = fault.addr;
    let access = match fault.access {
        Access::Read => 0,
        Access::Write => 2,
        Access::Execute => 0x10,
    };
    // The processor's error code: present, write, user, instruction fetch.
    let error = u64::from(fault.protection) | access | 4;
    thread.signals.set_trap(Trap { number: vector::PAGE_FAULT, error, cr2: address });
    let (signal, code) = match kind {
        FaultKind::NotMapped => (SIGSEGV, SEGV_MAPERR),
        FaultKind::NotPermitted => (SIGSEGV, SEGV_ACCERR),
        FaultKind::NoPage => (SIGBUS, BUS_ADRERR),
        FaultKind::OutOfMemory => return kill_for_memory(thread),
    };
    force_signal(thread, Siginfo::fault(signal, code, address));
}

/// About what an open file, and a thread, cost of the kernel's memory.
const OBJECT_BYTES: u64 = 512;
const THREAD_BYTES: u64 = 32 << 10;

/// Ends a thread's process for want of memory, and says so.
fn kill_for_memory(thread: &Thread) {
    let line = format!("out-of-memory=process {} ({})", thread.process().pid(), name(thread));
    thread.process().system().platform().console.write(Stream::Report, line.as_bytes());
    exit_group(thread.process(), SIGKILL.cast_unsigned());
}

/// Ends the process that holds most memory, also of the kernel's (as far as it can be told), unless one is ending already,
/// which will free its own. Among equals the youngest goes.
pub(crate) fn end_largest_process(system: &System) {
    let mut largest: Option<(u64, Arc<Thread>)> = None;
    for process in system.processes() {
        let (exit, thread, threads) = {
            let state = process.state.lock();
            (state.exit, state.threads.first().cloned(), state.threads.len() as u64)
        };
        match (exit, thread, process.try_vm()) {
            (ExitState::Ending(_), Some(_), _) => return,
            (ExitState::Running, Some(thread), Some(vm)) => {
                let objects = thread.files().capacity() as u64 * OBJECT_BYTES + threads * THREAD_BYTES;
                let size = vm.statistics().resident + objects;
                if largest.as_ref().is_none_or(|(most, _)| size >= *most) {
                    largest = Some((size, thread));
                }
            }
            _ => {}
        }
    }
    if let Some((_, thread)) = largest {
        kill_for_memory(&thread);
    }
}

/// Forces the signal of a processor exception on the thread that caused it.
pub fn force_exception(thread: &Thread, exception: Exception, regs: &mut UserRegs) {
    let kernel = |signal| Siginfo::kill(signal, SI_KERNEL, 0, 0);
    let here = |signal, code| Siginfo::fault(signal, code, regs.rip);
    let (number, error, info) = match exception {
        Exception::DivideError => (vector::DIVIDE_ERROR, 0, here(SIGFPE, FPE_INTDIV)),
        Exception::Debug(status) => {
            let code = if status & DR6_SINGLE_STEP != 0 { TRAP_TRACE } else { TRAP_HWBKPT };
            (vector::DEBUG, 0, here(SIGTRAP, code))
        }
        Exception::Breakpoint => (vector::BREAKPOINT, 0, kernel(SIGTRAP)),
        Exception::Overflow => (vector::OVERFLOW, 0, kernel(SIGSEGV)),
        Exception::BoundRange => (vector::BOUND_RANGE, 0, kernel(SIGSEGV)),
        Exception::InvalidOpcode => (vector::INVALID_OPCODE, 0, here(SIGILL, ILL_ILLOPN)),
        Exception::DeviceNotAvailable => (vector::DEVICE_NOT_AVAILABLE, 0, kernel(SIGSEGV)),
        Exception::SegmentNotPresent(e) => (vector::SEGMENT_NOT_PRESENT, e, kernel(SIGBUS)),
        Exception::StackSegment(e) => (vector::STACK_SEGMENT, e, kernel(SIGBUS)),
        Exception::GeneralProtection(e) => (vector::GENERAL_PROTECTION, e, kernel(SIGSEGV)),
        Exception::X87 { status, control } => {
            (vector::X87, 0, here(SIGFPE, float_code(u32::from(status & !control))))
        }
        Exception::AlignmentCheck => (vector::ALIGNMENT_CHECK, 0, Siginfo::fault(SIGBUS, BUS_ADRALN, 0)),
        Exception::Simd(mxcsr) => (vector::SIMD, 0, here(SIGFPE, float_code(mxcsr & !(mxcsr >> 7)))),
        Exception::ControlProtection(e) => (vector::CONTROL_PROTECTION, e, kernel(SIGSEGV)),
        Exception::MachineCheck => (vector::MACHINE_CHECK, 0, kernel(SIGBUS)),
    };
    let cr2 = thread.signals.trap().cr2;
    thread.signals.set_trap(Trap { number, error, cr2 });
    force_signal(thread, info);
}

/// Finds the code of a floating-point error from its unmasked status bits.
const fn float_code(bits: u32) -> i32 {
    match bits {
        b if b & 0x01 != 0 => FPE_FLTINV,
        b if b & 0x04 != 0 => FPE_FLTDIV,
        b if b & 0x08 != 0 => FPE_FLTOVF,
        // A denormal operand counts as underflow.
        b if b & 0x12 != 0 => FPE_FLTUND,
        b if b & 0x20 != 0 => FPE_FLTRES,
        _ => 0,
    }
}

/// Raises a signal that the thread cannot get around: if it is blocked or ignored, the default action follows.
pub fn force_signal(thread: &Thread, info: Siginfo) {
    let signal = info.si_signo;
    let handlers = Arc::clone(&thread.process().handlers.lock());
    let blocked = thread.signals.blocked();
    if blocked.has(signal) || handlers.get(signal).handler == SIG_IGN {
        handlers.set(signal, Action::default());
        thread.signals.store_mask(blocked.without(SignalSet::of(&[signal])));
    }
    thread.signals.pending.force(info);
    thread.add_work(Work::SIGNAL);
}

/// Ends a thread's trouble with a frame that could not be pushed or was broken: `SIGSEGV`, by default if it was that
/// signal's own frame.
pub(super) fn force_bad_stack(thread: &Thread, signal: i32) {
    if signal == SIGSEGV {
        let handlers = Arc::clone(&thread.process().handlers.lock());
        handlers.set(SIGSEGV, Action::default());
    }
    force_signal(thread, Siginfo::kill(SIGSEGV, SI_KERNEL, 0, 0));
}

/// Writes one line on a fault that ends the process.
pub(super) fn report_fatal(cx: &Context<'_>, info: &Siginfo) {
    if !matches!(info.si_signo, SIGSEGV | SIGBUS | SIGILL | SIGFPE | SIGTRAP) || info.si_code <= 0 {
        return;
    }
    let regs = cx.regs.borrow();
    let trap = cx.thread.signals.trap();
    let line = format!(
        "fatal-fault=process {} ({}): signal {} code {} at {:#x}, ip {:#x} sp {:#x} trap {} error {:#x}",
        cx.process().pid(),
        name(cx.thread),
        info.si_signo,
        info.si_code,
        info.address(),
        regs.rip,
        regs.rsp,
        trap.number,
        trap.error,
    );
    cx.platform().console.write(Stream::Report, line.as_bytes());
}

fn name(thread: &Thread) -> String {
    let name = thread.name();
    let len = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    format!("{}", name[..len].escape_ascii())
}
