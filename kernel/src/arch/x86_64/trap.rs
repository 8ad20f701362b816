//! From the entry code's registers to whoever handles the event.

use core::fmt::Write;

use hal::{Access, Exception, Flow, PageFault, UserRegs};

use super::cpu;
use super::descriptors::{USER_CS, USER_SS};
use super::irq;
use super::serial::EarlySerial;
use crate::cpu as processor;
use crate::mm::frames;
use crate::sched;

const DIVIDE: u64 = 0;
const DEBUG: u64 = 1;
const PAGE_FAULT: u64 = 14;
/// First vector that is not an exception.
pub(crate) const FIRST_INTERRUPT: u64 = 32;

/// Flags that an application may set by itself: CF, PF, AF, ZF, SF, TF, DF, OF, NT, RF, AC, ID.
const USER_FLAGS: u64 = 0x25_4dd5;
const INTERRUPT_FLAG: u64 = 1 << 9;

/// Called by `syscall_entry`. Says whether the call has changed no register but the return value's.
#[unsafe(no_mangle)]
extern "C" fn syscall_from_user(regs: &mut UserRegs) -> bool {
    match processor::this().user.get().syscall(regs) {
        Flow::Return => true,
        Flow::Resume => false,
        Flow::Exit => sched::exit(),
    }
}

/// Called by `syscall_slow`, on whatever processor the thread is now: lets another thread go first if it is its turn.
#[unsafe(no_mangle)]
extern "C" fn leave_slowly(regs: &mut UserRegs) {
    while sched::should_yield() {
        if frames::take_shortage() {
            sched::user_thread().memory_short();
        }
        sched::preempt();
        before_user(regs);
    }
}

fn before_user(regs: &mut UserRegs) {
    if sched::user_thread().before_user(regs) == Flow::Exit {
        sched::exit();
    }
}

/// Called by `thread_start` with the new thread's first registers.
#[unsafe(no_mangle)]
extern "C" fn thread_started(regs: &mut UserRegs) {
    sched::thread_started();
    before_user(regs);
}

/// Called before each `iretq` to user mode that takes registers from the system's side: makes them such that the
/// instruction cannot fault in the kernel.
#[unsafe(no_mangle)]
extern "C" fn check_return(regs: &mut UserRegs) {
    (regs.cs, regs.ss) = (USER_CS, USER_SS);
    regs.rflags = regs.rflags & USER_FLAGS | INTERRUPT_FLAG | 2;
    while regs.rip >> 47 != 0 && regs.rip >> 47 != 0x1_ffff {
        // LINUX: a return to a non-canonical address is a general protection fault at that address.
        let flow = sched::user_thread().exception(Exception::GeneralProtection(0), regs);
        if flow == Flow::Exit {
            sched::exit();
        }
        (regs.cs, regs.ss) = (USER_CS, USER_SS);
        regs.rflags = regs.rflags & USER_FLAGS | INTERRUPT_FLAG | 2;
    }
}

fn page_fault(error: u64) -> PageFault {
    let access = match error {
        e if e & 1 << 4 != 0 => Access::Execute,
        e if e & 1 << 1 != 0 => Access::Write,
        _ => Access::Read,
    };
    PageFault { addr: cpu::cr2(), access, protection: error & 1 != 0 }
}

/// Reads and clears DR6.
fn debug_status() -> u64 {
    let value: u64;
    // SAFETY: the debug registers have no say in what the kernel does.
    unsafe {
        core::arch::asm!(
            "mov {0}, dr6", "mov {1}, 0xffff0ff0", "mov dr6, {1}", out(reg) value, out(reg) _,
            options(nomem, nostack)
        );
    };
    value
}

/// Names an exception.
fn exception(vector: u64, error: u64) -> Option<Exception> {
    Some(match vector {
        DIVIDE => Exception::DivideError,
        DEBUG => Exception::Debug(debug_status()),
        3 => Exception::Breakpoint,
        4 => Exception::Overflow,
        5 => Exception::BoundRange,
        6 => Exception::InvalidOpcode,
        7 => Exception::DeviceNotAvailable,
        11 => Exception::SegmentNotPresent(error),
        12 => Exception::StackSegment(error),
        13 => Exception::GeneralProtection(error),
        16 => {
            let mut environment = [0_u16; 14];
            // SAFETY: 28 bytes, which is what FNSTENV writes; it also masks the exceptions, as Linux's handler leaves it to
            // the application's handler to find (FNSTENV is followed by FLDENV to keep the state).
            unsafe {
                core::arch::asm!("fnstenv [{0}]", "fldenv [{0}]", in(reg) &raw mut environment, options(nostack));
            };
            Exception::X87 { status: environment[2], control: environment[0] }
        }
        17 => Exception::AlignmentCheck,
        19 => {
            let mut mxcsr = 0_u32;
            // SAFETY: STMXCSR writes four bytes.
            unsafe { core::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack)) };
            Exception::Simd(mxcsr)
        }
        21 => Exception::ControlProtection(error),
        _ => return None,
    })
}

/// Called by `trap` where the application was interrupted.
#[unsafe(no_mangle)]
extern "C" fn trap_from_user(vector: u64, error: u64, regs: &mut UserRegs) {
    let thread = sched::user_thread();
    let flow = if vector >= FIRST_INTERRUPT {
        irq::dispatch(vector);
        if sched::should_yield() {
            sched::preempt();
        }
        thread.before_user(regs)
    } else if vector == PAGE_FAULT {
        assert!(error & 1 << 3 == 0, "reserved bits in a page table, at {:#x}", cpu::cr2());
        thread.page_fault(&page_fault(error), regs)
    } else {
        match exception(vector, error) {
            Some(exception) => thread.exception(exception, regs),
            None => fatal(vector, error, regs),
        }
    };
    if flow == Flow::Exit {
        sched::exit();
    }
    leave_slowly(regs);
    check_return(regs);
}

/// Called by `trap` where the kernel was interrupted: in a copy from or to the application, in the idle loop, at a
/// checkpoint, or by a mistake.
#[unsafe(no_mangle)]
extern "C" fn trap_from_kernel(vector: u64, error: u64, regs: &mut UserRegs) {
    if vector >= FIRST_INTERRUPT {
        irq::dispatch(vector);
        return;
    }
    // A fault in a copy: a page that must be brought in first, or an address that is not the application's.
    if (vector == PAGE_FAULT || vector == 13)
        && let Some(fixup) = find_fixup(regs.rip)
    {
        let fault = page_fault(error);
        if vector == PAGE_FAULT && fault.addr < hal::USER_END && sched::user_thread().copy_fault(&fault) {
            return;
        }
        regs.rip = fixup;
        return;
    }
    fatal(vector, error, regs)
}

/// Looks an instruction up among those that may fault.
fn find_fixup(rip: u64) -> Option<u64> {
    unsafe extern "C" {
        static exception_table_start: [u64; 2];
        static exception_table_end: [u64; 2];
    }
    let mut entry = &raw const exception_table_start;
    while entry < &raw const exception_table_end {
        // SAFETY: the linker collected the pairs between the two symbols.
        let [at, fixup] = unsafe { entry.read() };
        if at == rip {
            return Some(fixup);
        }
        entry = entry.wrapping_add(1);
    }
    None
}

/// Called by `trap_fatal`.
#[unsafe(no_mangle)]
extern "C" fn trap_is_fatal(vector: u64, error: u64, regs: &UserRegs) -> ! {
    fatal(vector, error, regs)
}

/// Ends the machine with the registers and the call chain.
fn fatal(vector: u64, error: u64, regs: &UserRegs) -> ! {
    crate::panic::begin();
    let mut out = EarlySerial;
    let (cpu, cr2, cr3) = (crate::cpu::this().number(), cpu::cr2(), cpu::cr3());
    let r = regs;
    let _ = writeln!(out, "kernel panic: exception {vector}, error {error:#x}, processor {cpu}");
    let _ = writeln!(out, "  rip {:016x} rsp {:016x} rflags {:08x} cs {:x}", r.rip, r.rsp, r.rflags, r.cs);
    let _ = writeln!(out, "  rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}", r.rax, r.rbx, r.rcx, r.rdx);
    let _ = writeln!(out, "  rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}", r.rsi, r.rdi, r.rbp, r.r8);
    let _ = writeln!(out, "  r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}", r.r9, r.r10, r.r11, r.r12);
    let _ = writeln!(out, "  r13 {:016x} r14 {:016x} r15 {:016x} cr2 {cr2:016x}", r.r13, r.r14, r.r15);
    let _ = writeln!(out, "  cr3 {cr3:016x}");
    let _ = writeln!(out, "  #0 {:#018x}", r.rip);
    crate::panic::finish(r.rbp)
}
