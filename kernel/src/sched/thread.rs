//! A thread: its stack, its registers while it does not run, its place among the others.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicI8, AtomicU32, AtomicU64, Ordering};

use hal::{AddressSpace, CpuSet, CpuTime, OutOfMemory, Start, Task, UserRegs, UserThread};

use super::stack::Stack;
use crate::arch::cpu::rdtsc;
use crate::arch::fpu;
use crate::clock;
use crate::mm::space::Space;
use crate::mm::{frames, layout};

/// It runs, or stands in a run queue.
pub(super) const RUNNABLE: u32 = 0;
/// It waits in `park`.
pub(super) const PARKED: u32 = 1;
/// It has ended.
pub(super) const DEAD: u32 = 2;

/// What only the thread itself touches, or the processor that switches to or from it.
pub(super) struct Own {
    pub(super) user: Option<Arc<dyn UserThread>>,
    pub(super) space: Option<Arc<dyn AddressSpace>>,
    pub(super) stack: Option<Stack>,
    pub(super) stack_pointer: u64,
    pub(super) fs_base: u64,
    pub(super) gs_base: u64,
}

/// A thread.
pub(crate) struct Thread {
    own: UnsafeCell<Own>,
    pub(super) extended: Option<fpu::Area>,
    /// Top of the kernel stack; 0 for idle threads.
    pub(super) stack_top: u64,
    pub(super) state: AtomicU32,
    /// A wake-up that was not used yet.
    pub(super) token: AtomicBool,
    /// It was woken for the first time, and holds a reference to itself since.
    started: AtomicBool,
    /// Its registers are in a processor: it must not be started elsewhere yet.
    pub(super) on_cpu: AtomicBool,
    pub(super) cpu: AtomicU32,
    pub(super) affinity: AtomicU64,
    nice: AtomicI8,
    pub(super) vruntime: AtomicU64,
    /// Ticks in user mode, up to the last switch; while the thread runs, its processor has the value. The entry code adds
    /// the time-stamp counter at every entry into the kernel, and takes it away at every return: the value is "negative"
    /// in user mode.
    pub(super) user_ticks: AtomicU64,
    /// Ticks on a processor, up to the last switch.
    pub(super) total_ticks: AtomicU64,
    pub(super) voluntary: AtomicU64,
    pub(super) involuntary: AtomicU64,
}

// SAFETY: `own` is reached by the thread itself or by the processor that switches to or from it, never by two at once
// (`on_cpu` orders them); everything else is atomic.
unsafe impl Send for Thread {}
// SAFETY: as above.
unsafe impl Sync for Thread {}

/// Weight of each nice level from -20 to 19: each step is a factor of 1.25, and 0 weighs 1024.
const WEIGHTS: [u32; 40] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121,
    2501, 1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29,
    23, 18, 15,
];

impl Thread {
    fn make(own: Own, extended: Option<fpu::Area>, stack_top: u64, affinity: u64) -> Self {
        Self {
            own: UnsafeCell::new(own),
            extended,
            stack_top,
            state: AtomicU32::new(PARKED),
            token: AtomicBool::new(false),
            started: AtomicBool::new(false),
            on_cpu: AtomicBool::new(false),
            cpu: AtomicU32::new(0),
            affinity: AtomicU64::new(affinity),
            nice: AtomicI8::new(0),
            vruntime: AtomicU64::new(0),
            user_ticks: AtomicU64::new(0),
            total_ticks: AtomicU64::new(0),
            voluntary: AtomicU64::new(0),
            involuntary: AtomicU64::new(0),
        }
    }

    /// Makes the thread that a processor runs when there is no other: the one that it started with.
    pub(super) fn idle(cpu: u32) -> Self {
        let own = Own { user: None, space: None, stack: None, stack_pointer: 0, fs_base: 0, gs_base: 0 };
        let thread = Self::make(own, None, 0, 1 << cpu);
        thread.state.store(RUNNABLE, Ordering::Relaxed);
        thread.on_cpu.store(true, Ordering::Relaxed);
        thread.cpu.store(cpu, Ordering::Relaxed);
        thread
    }

    /// Makes a thread that will begin in user mode.
    pub(super) fn new(start: Start) -> Result<Arc<Self>, OutOfMemory> {
        if frames::only_reserve_left() {
            return Err(OutOfMemory);
        }
        let extended = fpu::Area::new().ok_or(OutOfMemory)?;
        extended.set(start.extended.as_ref().map(|state| state.0.as_slice()));
        let stack = Stack::new().ok_or(OutOfMemory)?;
        let top = stack.top();
        let stack_pointer = first_frame(top, &start.regs);
        let own = Own {
            user: Some(start.thread),
            space: Some(start.space),
            stack: Some(stack),
            stack_pointer,
            fs_base: start.fs_base,
            gs_base: start.gs_base,
        };
        let thread = Arc::new(Self::make(own, Some(extended), top, start.affinity.0));
        thread.cpu.store(crate::cpu::this().number(), Ordering::Relaxed);
        Ok(thread)
    }

    /// Lends what belongs to the thread alone.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "see the safety comment")]
    pub(super) fn own(&self) -> &mut Own {
        // SAFETY: called by the thread itself or by the processor that switches to or from it (see `Sync` above); callers
        // use the reference for one access and call nothing meanwhile that reaches `own` again.
        unsafe { &mut *self.own.get() }
    }

    /// Says whether this is the first call.
    pub(super) fn start_once(&self) -> bool {
        !self.started.load(Ordering::Relaxed) && !self.started.swap(true, Ordering::Relaxed)
    }

    /// Says whether it is a processor's idle thread.
    #[inline(always)]
    pub(super) fn is_idle(&self) -> bool {
        self.stack_top == 0
    }

    /// Returns the page tables that it runs on.
    pub(super) fn space(&self) -> Option<&Space> {
        self.own().space.as_ref().map(|space| Space::of(&**space))
    }

    /// Returns its weight; 1024 is that of nice 0.
    pub(super) fn weight(&self) -> u64 {
        let index = usize::try_from(i32::from(self.nice.load(Ordering::Relaxed)) + 20).unwrap_or(0);
        u64::from(WEIGHTS[index.min(39)])
    }

    /// Notes processor time.
    pub(super) fn charge(&self, ns: u64) {
        let weighted = ns * 1024 / self.weight();
        self.vruntime.store(self.vruntime.load(Ordering::Relaxed) + weighted, Ordering::Relaxed);
    }
}

/// Puts what `switch_stacks` and `thread_start` expect on a new stack; returns the stack pointer.
fn first_frame(top: u64, regs: &UserRegs) -> u64 {
    unsafe extern "C" {
        static thread_start: u8;
    }
    let at = top - 8 - size_of::<UserRegs>() as u64;
    // SAFETY: the stack is new and larger than this; nobody else has its address.
    unsafe { layout::pointer::<UserRegs>(at).write(*regs) };
    let frame: [u64; 7] = [0, 0, 0, 0, 0, 0, (&raw const thread_start).expose_provenance() as u64];
    let at = at - size_of_val(&frame) as u64;
    // SAFETY: as above.
    unsafe { layout::pointer::<[u64; 7]>(at).write(frame) };
    at
}

impl Wake for Thread {
    fn wake(self: Arc<Self>) {
        super::unpark(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        super::unpark(self);
    }
}

impl Task for Thread {
    fn unpark(&self) {
        super::unpark(self);
    }

    fn kick(&self) {
        let cpu = self.cpu.load(Ordering::Relaxed);
        if self.on_cpu.load(Ordering::SeqCst) && cpu != crate::cpu::this().number() {
            crate::arch::ipi::reschedule(cpu);
        }
    }

    fn cpu_time(&self) -> CpuTime {
        let now = rdtsc();
        let user = super::user_ticks(self);
        let user = if user.cast_signed() < 0 { user.wrapping_add(now) } else { user };
        let total = self.total_ticks.load(Ordering::Relaxed) + super::ticks_since_switch(self, now);
        CpuTime {
            user_ns: clock::ticks_to_ns(user),
            system_ns: clock::ticks_to_ns(total.saturating_sub(user)),
        }
    }

    fn set_affinity(&self, cpus: CpuSet) {
        if cpus.0 & crate::cpu::online() == 0 {
            return;
        }
        self.affinity.store(cpus.0, Ordering::SeqCst);
        super::affinity_changed(self);
    }

    fn set_nice(&self, nice: i8) {
        self.nice.store(nice.clamp(-20, 19), Ordering::Relaxed);
    }

    fn is_parked(&self) -> bool {
        self.state.load(Ordering::SeqCst) == PARKED
    }

    fn cpu(&self) -> u32 {
        self.cpu.load(Ordering::Relaxed)
    }

    fn switches(&self) -> (u64, u64) {
        (self.voluntary.load(Ordering::Relaxed), self.involuntary.load(Ordering::Relaxed))
    }
}
