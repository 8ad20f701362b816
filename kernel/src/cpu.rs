//! What each processor has for itself.
//!
//! The GS base points to the processor's [`Cpu`] whenever the kernel runs. Kernel code is not preempted, so what
//! [`this`] returns stays the current processor's until the caller parks, yields, passes a checkpoint or touches
//! the application's memory (which may park on a page fault).

use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::arch::descriptors::Descriptors;
use crate::arch::ipi::Mail;
use crate::clock::timer::Timers;
use crate::mm::frames::FrameCache;
use crate::mm::heap::Magazines;
use crate::mm::loaded::Loaded;
use crate::sched::{Handover, Local, Thread, UserSide};

/// Processors that the kernel uses at most (`hal::CpuSet` has 64 bits).
pub(crate) const MAX_CPUS: usize = 64;

/// State that only its own processor reaches, through [`this`].
pub(crate) struct LocalCell<T>(UnsafeCell<T>);

impl<T> LocalCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Lends the value. `f` must not park, and must not reach the same cell again.
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: only the owning processor calls this, kernel code is neither interrupted nor preempted while `f`
        // runs, and no `f` in this crate nests a call on the same cell.
        f(unsafe { &mut *self.0.get() })
    }
}

/// One processor's state. The entry code knows the offsets of the first fields.
#[repr(C, align(64))]
pub(crate) struct Cpu {
    /// Address of this structure, for `gs:0`.
    this: AtomicPtr<Self>,
    /// Top of the running thread's kernel stack.
    kernel_stack: AtomicU64,
    /// Where the system-call entry keeps the application's stack pointer for a moment.
    user_stack: AtomicU64,
    /// The running thread's ticks in user mode; see `Thread::user_ticks`.
    pub(crate) user_ticks: AtomicU64,
    /// The running thread is to give way before it returns to user mode.
    pub(crate) need_resched: AtomicBool,
    /// Number from 0.
    id: AtomicU32,
    /// Number of its local APIC.
    pub(crate) apic: AtomicU32,
    /// The running thread.
    pub(crate) current: AtomicPtr<Thread>,
    /// The system's side of it.
    pub(crate) user: UserSide,
    /// Time-stamp counter at the last switch between threads.
    pub(crate) stamp: AtomicU64,
    /// The thread that runs when there is no other.
    pub(crate) idle: AtomicPtr<Thread>,
    /// Run queue and slice.
    pub(crate) sched: Local,
    /// What the next thread does for the previous one.
    pub(crate) handover: LocalCell<Option<Handover>>,
    /// Timers that fire here.
    pub(crate) timers: Timers,
    /// The page tables in use.
    pub(crate) loaded: Loaded,
    /// Requests from and to other processors.
    pub(crate) mail: Mail,
    /// Segments and task state.
    pub(crate) descriptors: Descriptors,
    /// Free frames.
    pub(crate) frames: LocalCell<FrameCache>,
    /// How many those are, for the statistics.
    pub(crate) cached_frames: AtomicUsize,
    /// Free heap blocks.
    pub(crate) magazines: LocalCell<Magazines>,
}

// SAFETY: fields that other processors reach are atomics or locks; `LocalCell`s are reached by their owner alone.
unsafe impl Sync for Cpu {}

impl Cpu {
    pub(crate) const fn new() -> Self {
        Self {
            this: AtomicPtr::new(null_mut()),
            kernel_stack: AtomicU64::new(0),
            user_stack: AtomicU64::new(0),
            user_ticks: AtomicU64::new(0),
            need_resched: AtomicBool::new(false),
            id: AtomicU32::new(0),
            apic: AtomicU32::new(0),
            current: AtomicPtr::new(null_mut()),
            user: UserSide::new(),
            stamp: AtomicU64::new(0),
            idle: AtomicPtr::new(null_mut()),
            sched: Local::new(),
            handover: LocalCell::new(None),
            timers: Timers::new(),
            loaded: Loaded::new(),
            mail: Mail::new(),
            descriptors: Descriptors::new(),
            frames: FrameCache::new(),
            cached_frames: AtomicUsize::new(0),
            magazines: Magazines::new(),
        }
    }
}

impl Cpu {
    /// Returns its number.
    #[inline(always)]
    pub(crate) fn number(&self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    /// Sets the stack on which the application enters the kernel; on the processor itself.
    #[inline]
    pub(crate) fn set_kernel_stack(&self, top: u64) {
        // `syscall` pushes onto it as it is; an interrupt aligns it first, so both frames lie alike.
        self.kernel_stack.store(top - 8, Ordering::Relaxed);
        self.descriptors.set_kernel_stack(top);
    }
}

/// The boot processor's state; the others' is allocated when they start.
static BOOT: Cpu = Cpu::new();
/// Processors that take work, one bit each.
static ONLINE: AtomicU64 = AtomicU64::new(0);
static ALL: [AtomicPtr<Cpu>; MAX_CPUS] = [const { AtomicPtr::new(null_mut()) }; MAX_CPUS];

/// Makes the boot processor's state reachable: the first thing that Rust code does.
pub(crate) fn init_boot() {
    register(&BOOT, 0);
    crate::arch::set_local_base((&raw const BOOT).expose_provenance() as u64);
}

/// Makes a processor's state known under its number.
pub(crate) fn register(cpu: &'static Cpu, number: u32) {
    let pointer = core::ptr::from_ref(cpu).cast_mut();
    cpu.this.store(pointer, Ordering::Relaxed);
    cpu.id.store(number, Ordering::Relaxed);
    ALL[number as usize].store(pointer, Ordering::Release);
}

/// Takes back what [`register`] did, for a processor that does not start.
pub(crate) fn unregister(number: u32) {
    ALL[number as usize].store(null_mut(), Ordering::Release);
}

/// Returns this processor's state.
#[inline(always)]
pub(crate) fn this() -> &'static Cpu {
    // SAFETY: the GS base points to a `Cpu` that lives for ever from `init_boot` on.
    unsafe { &*crate::arch::local_base() }
}

/// Returns a processor's state by number, if it was started.
pub(crate) fn by_id(id: usize) -> Option<&'static Cpu> {
    let pointer = ALL.get(id)?.load(Ordering::Acquire);
    // SAFETY: registered pointers are to states that live for ever.
    unsafe { pointer.as_ref() }
}

/// Goes through all processors that were started.
pub(crate) fn all() -> impl Iterator<Item = &'static Cpu> {
    (0..MAX_CPUS).map_while(by_id)
}

/// Notes that this processor takes work from now on.
pub(crate) fn set_online() {
    ONLINE.fetch_or(1 << this().number(), Ordering::SeqCst);
}

/// Returns the processors that take work, one bit each.
#[inline]
pub(crate) fn online() -> u64 {
    ONLINE.load(Ordering::Relaxed)
}
