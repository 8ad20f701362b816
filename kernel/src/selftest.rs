//! A user-mode program of a few instructions, until the system above starts a real one.

use alloc::sync::Arc;
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::{
    CpuSet, Exception, Flow, Frame, PAGE_SIZE, PageFault, Platform, Prot, Start, UserAddr, UserMemory, UserRegs, UserThread,
};

use crate::log::log;

global_asm!(
    ".section .rodata",
    "selftest_start:",
    "mov r12, 100000",
    "1: mov eax, 39",
    "syscall",
    "dec r12",
    "jnz 1b",
    "mov rbx, 0x700000",
    "mov qword ptr [rbx], 42",
    "mov eax, 1",
    "mov rdi, rbx",
    "syscall",
    "mov rcx, 300000000",
    "3: dec rcx",
    "jnz 3b",
    "mov eax, 2",
    "syscall",
    "ud2",
    "selftest_end:",
    ".text",
);

struct Test {
    platform: Platform,
    space: Arc<dyn hal::AddressSpace>,
    number: u64,
    calls: AtomicU64,
    start: AtomicU64,
}

impl UserThread for Test {
    fn syscall(&self, regs: &mut UserRegs) -> Flow {
        match regs.rax {
            39 => {
                let n = self.calls.fetch_add(1, Ordering::Relaxed);
                if n == 0 {
                    self.start.store(self.platform.clock.monotonic_ns(), Ordering::Relaxed);
                }
                if n == 99_999 {
                    let took = self.platform.clock.monotonic_ns() - self.start.load(Ordering::Relaxed);
                    log!(Warn, "thread {} cpu {}: {} ns per call", self.number, self.platform.scheduler.cpu(), took / 100_000);
                }
                regs.rax = 1;
            }
            1 => {
                let mut word = [0; 8];
                let result = self.platform.memory.copy_in(UserAddr(regs.rdi), &mut word);
                let bad = self.platform.memory.copy_in(UserAddr(0x70_0ffc), &mut word);
                let t0 = self.platform.clock.monotonic_ns();
                self.platform.scheduler.park(Some(t0 + 20_000_000));
                let slept = self.platform.clock.monotonic_ns() - t0;
                log!(Warn, "thread {}: read {word:?} {result:?}, {bad:?}, slept {slept}", self.number);
            }
            2 => {
                log!(Warn, "thread {} done on cpu {}", self.number, self.platform.scheduler.cpu());
                return Flow::Exit;
            }
            _ => {}
        }
        Flow::Resume
    }
    fn page_fault(&self, fault: &PageFault, regs: &mut UserRegs) -> Flow {
        log!(Warn, "thread {}: fault {fault:x?} at {:#x}", self.number, regs.rip);
        if fault.addr == 0x70_0000 {
            let frame = Frame::zeroed().expect("memory");
            self.space.map(UserAddr(0x70_0000), frame, Prot::READ | Prot::WRITE).expect("memory");
            return Flow::Resume;
        }
        Flow::Exit
    }
    fn copy_fault(&self, _: &PageFault) -> bool {
        false
    }
    fn exception(&self, exception: Exception, regs: &mut UserRegs) -> Flow {
        log!(Warn, "thread {}: {exception:?} at {:#x}", self.number, regs.rip);
        Flow::Exit
    }
    fn before_user(&self, _: &mut UserRegs) -> Flow {
        Flow::Resume
    }
}

pub(crate) fn start(platform: Platform) {
    unsafe extern "C" {
        static selftest_start: u8;
        static selftest_end: u8;
    }
    for number in 0..3 {
        let space = platform.spaces.create().expect("memory");
        let frame = Frame::zeroed().expect("memory");
        let len = (&raw const selftest_end).addr() - (&raw const selftest_start).addr();
        // SAFETY: the linker's symbols.
        let code = unsafe { core::slice::from_raw_parts(&raw const selftest_start, len.min(PAGE_SIZE)) };
        frame.write(0, code);
        space.map(UserAddr(0x40_0000), frame, Prot::READ | Prot::EXEC).expect("memory");
        let test = Test { platform, space: space.clone(), number, calls: AtomicU64::new(0), start: AtomicU64::new(0) };
        let regs = UserRegs { rip: 0x40_0000, rflags: 0x202, cs: 0x33, ss: 0x2b, ..UserRegs::default() };
        let start = Start {
            thread: Arc::new(test), regs, fs_base: 0, gs_base: 0, space, extended: None, affinity: CpuSet(u64::MAX),
        };
        platform.scheduler.spawn(start).expect("memory").unpark();
    }
}
