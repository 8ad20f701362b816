//! The machine as the system above it sees it: threads, time, entropy, power.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;

use crate::{AddressSpace, Console, Exception, Frame, OutOfMemory, PageFault, Spaces, UserMemory, UserRegs};

/// Everything that the kernel supplies, in one place.
#[derive(Clone, Copy)]
pub struct Platform {
    /// Memory of the running address space.
    pub memory: &'static dyn UserMemory,
    /// Page tables.
    pub spaces: &'static dyn Spaces,
    /// Threads.
    pub scheduler: &'static dyn Scheduler,
    /// Time.
    pub clock: &'static dyn Clock,
    /// Random bytes.
    pub entropy: &'static dyn Entropy,
    /// The channel to the tool or the terminal.
    pub console: &'static dyn Console,
    /// Switching off.
    pub power: &'static dyn Power,
    /// Facts that do not change.
    pub info: &'static MachineInfo,
}

/// What a thread does after it was in the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Flow {
    /// It goes on in user mode with the registers as they were at the entry, but for the return value.
    Return,
    /// It goes on in user mode with the registers as they are now.
    Resume,
    /// It ends: the kernel frees it and never calls it again.
    Exit,
}

/// The system's side of a thread; the kernel calls it when the application enters.
pub trait UserThread: Send + Sync {
    /// Carries out a system call, and what is pending (signals) before the return to user mode.
    fn syscall(&self, regs: &mut UserRegs) -> Flow;
    /// Resolves a page fault in user mode, or raises its signal.
    fn page_fault(&self, fault: &PageFault, regs: &mut UserRegs) -> Flow;
    /// Tries to resolve a page fault of the kernel's own copy; `false` means that it cannot be.
    fn copy_fault(&self, fault: &PageFault) -> bool;
    /// Raises the signal of an exception in user mode.
    fn exception(&self, exception: Exception, regs: &mut UserRegs) -> Flow;
    /// Hears that the thread gets a processor again, maybe another one. Called while it is switched to, so it only notes.
    fn rescheduled(&self) {}
    /// Hears that the kernel's own memory runs short: ends the process that frees most. Called where the thread holds
    /// nothing and may wait.
    fn memory_short(&self) {}
    /// Carries out what is pending. Called before each return to user mode from an interrupt.
    fn before_user(&self, regs: &mut UserRegs) -> Flow;
}

/// A new thread.
pub struct Start {
    /// The system's side of it.
    pub thread: Arc<dyn UserThread>,
    /// Its first registers in user mode.
    pub regs: UserRegs,
    /// Its FS base: the thread pointer.
    pub fs_base: u64,
    /// Its GS base.
    pub gs_base: u64,
    /// Its address space.
    pub space: Arc<dyn AddressSpace>,
    /// Its x87, SSE and AVX state; `None` is the state after `execve`.
    pub extended: Option<ExtendedState>,
    /// Processors on which it may run.
    pub affinity: CpuSet,
}

/// Extended state (x87, SSE, AVX ...) in the standard XSAVE format, or FXSAVE's 512 bytes where there is no XSAVE.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExtendedState(pub Vec<u8>);

/// A set of processors, by number from 0; at most 64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuSet(pub u64);

/// Processor time used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuTime {
    /// Nanoseconds in user mode.
    pub user_ns: u64,
    /// Nanoseconds in the kernel.
    pub system_ns: u64,
}

/// The kernel's side of a thread.
pub trait Task: Send + Sync {
    /// Ends the thread's [`Scheduler::park`], or the next one if it is not parked now.
    fn unpark(&self);
    /// If the thread runs in user mode on another processor, makes it enter the kernel soon.
    fn kick(&self);
    /// Returns the processor time that it has used.
    fn cpu_time(&self) -> CpuTime;
    /// Sets the processors on which it may run; none of them present is ignored.
    fn set_affinity(&self, cpus: CpuSet);
    /// Sets its weight among the runnable threads: -20 (most) to 19 (least).
    fn set_nice(&self, nice: i8);
    /// Says whether it waits in [`Scheduler::park`].
    fn is_parked(&self) -> bool;
    /// Returns the processor on which it ran last.
    fn cpu(&self) -> u32;
    /// Returns how often it gave the processor away itself, and how often it was taken away.
    fn switches(&self) -> (u64, u64);
}

/// Threads. The methods without a task act on the calling thread.
pub trait Scheduler: Send + Sync {
    /// Makes a thread; it does not run before [`Task::unpark`] is called on it once.
    ///
    /// # Errors
    /// [`OutOfMemory`] if its kernel stack or state cannot be allocated.
    fn spawn(&self, start: Start) -> Result<Arc<dyn Task>, OutOfMemory>;
    /// Waits until somebody calls [`Task::unpark`], or until the monotonic clock reaches `deadline_ns`. May return
    /// early: the caller tests its condition again.
    fn park(&self, deadline_ns: Option<u64>);
    /// Lets other runnable threads go first.
    fn yield_now(&self);
    /// Takes pending interrupts, and gives the processor away if it is another thread's turn. For long loops.
    fn checkpoint(&self);
    /// Returns the processor that the caller runs on.
    fn cpu(&self) -> u32;
    /// Sets the FS base, which holds the thread pointer.
    fn set_fs_base(&self, base: u64);
    /// Returns the FS base.
    fn fs_base(&self) -> u64;
    /// Sets the application's GS base.
    fn set_gs_base(&self, base: u64);
    /// Returns the application's GS base.
    fn gs_base(&self) -> u64;
    /// Copies the application's extended state out.
    fn save_extended(&self) -> ExtendedState;
    /// Replaces the application's extended state; `None` is the state after `execve`. Returns `false`, changing nothing,
    /// for a state that the processor would refuse.
    fn restore_extended(&self, state: Option<&ExtendedState>) -> bool;
    /// Makes another address space the running one (`execve`).
    fn switch_space(&self, space: Arc<dyn AddressSpace>);
    /// Makes every processor that runs a thread of this address space pass a full memory barrier (`membarrier(2)`);
    /// `None` means every processor.
    fn barrier(&self, space: Option<&dyn AddressSpace>);
}

/// Names a timer that was armed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TimerId(pub u64);

/// Time.
pub trait Clock: Send + Sync {
    /// Returns nanoseconds since the machine started. Never goes back.
    fn monotonic_ns(&self) -> u64;
    /// Returns nanoseconds since 1970-01-01T00:00:00Z.
    fn realtime_ns(&self) -> u64;
    /// Sets the wall clock.
    fn set_realtime_ns(&self, ns: u64);
    /// Calls the waker once when the monotonic clock reaches `at_ns`. The waker runs in an interrupt: it may take a
    /// [`crate::sync::Lock`], but must not park.
    fn arm(&self, at_ns: u64, waker: Waker) -> TimerId;
    /// Takes a timer back; nothing happens if it has fired.
    fn cancel(&self, timer: TimerId);
}

/// Random bytes from a cryptographic generator.
pub trait Entropy: Send + Sync {
    /// Fills a buffer.
    fn fill(&self, to: &mut [u8]);
    /// Mixes bytes into the pool.
    fn mix(&self, from: &[u8]);
}

/// Switching the machine off.
pub trait Power: Send + Sync {
    /// Sends the application's wait status (`wait(2)` encoding) to the tool, flushes the console, and switches off.
    fn exit(&self, wait_status: u32) -> !;
}

/// One processor, for `/proc/cpuinfo`.
#[derive(Clone, Debug, Default)]
pub struct ProcessorInfo {
    /// `vendor_id`.
    pub vendor: String,
    /// `cpu family`.
    pub family: u32,
    /// `model`.
    pub model: u32,
    /// `stepping`.
    pub stepping: u32,
    /// `model name`.
    pub name: String,
    /// `flags`, separated by blanks, with Linux's names.
    pub flags: String,
    /// Bytes in a cache line.
    pub cache_line: u32,
    /// Physical and virtual address bits.
    pub address_bits: (u8, u8),
}

/// Facts about the machine that do not change after start-up.
#[derive(Clone, Debug, Default)]
pub struct MachineInfo {
    /// Processors that run.
    pub cpus: u32,
    /// What they are (all alike).
    pub processor: ProcessorInfo,
    /// Frequency of the time-stamp counter in kHz.
    pub tsc_khz: u64,
    /// `AT_HWCAP`: CPUID leaf 1, EDX.
    pub hwcap: u64,
    /// `AT_HWCAP2`: bit 1 says that FSGSBASE instructions work in user mode.
    pub hwcap2: u64,
    /// Bytes of extended state that a signal frame needs (`AT_MINSIGSTKSZ` follows from it), and the XCR0 mask.
    pub extended_len: usize,
    /// Features enabled in XCR0; 0 where there is no XSAVE.
    pub xcr0: u64,
    /// The vDSO, if there is one.
    pub vdso: Option<VdsoImage>,
}

/// The pages that every process maps for the vDSO.
#[derive(Clone, Debug)]
pub struct VdsoImage {
    /// Data pages, mapped read-only directly below the code.
    pub data: Vec<Frame>,
    /// The ELF image, mapped readable and executable; `AT_SYSINFO_EHDR` points to it.
    pub code: Vec<Frame>,
    /// Offset of the signal return trampoline from the start of the image, if the image has one.
    pub sigreturn: Option<u64>,
}
