//! The scheduler: threads of the application, one kernel stack each, over per-processor run queues.
//!
//! ```text
//! Lock order: a run queue (SCHEDULER) is the only lock here, and two are never held at once.
//! ```
//!
//! Rules that the code relies on:
//! - A thread that is in a processor's registers (`on_cpu`) may only stand in that processor's queue. So nobody has
//!   to wait for another processor's switch to finish: whoever takes the thread next is that processor itself.
//! - A started thread holds a reference to itself until its last switch, so queues hold plain pointers.
//! - Nothing here runs in an interrupt of kernel code, other than in the idle loop and at a checkpoint.

mod queue;
mod stack;
mod thread;
mod threads;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use hal::UserThread;
use hal::sync::{Lock, rank};

use crate::arch::{self, cpu::rdtsc, ipi};
use crate::clock;
use crate::cpu::{self, Cpu, LocalCell};
use crate::mm::loaded;
use queue::{RunQueue, ThreadRef};
pub(crate) use thread::Thread;
use thread::{DEAD, PARKED, RUNNABLE};
pub(crate) use threads::Threads;

/// Longest time in user mode while others wait.
const SLICE_NS: u64 = 4_000_000;
/// A woken thread takes the processor from one that had so much more time than it.
const WAKE_LEAD_NS: u64 = 1_000_000;
/// A processor looks for one with less to do each time so many slices have passed.
const BALANCE_SLICES: u32 = 8;

/// One processor's share of the scheduler.
pub(crate) struct Local {
    queue: Lock<RunQueue, { rank::SCHEDULER }>,
    /// End of the running thread's slice; `u64::MAX` while nobody waits.
    slice_end: AtomicU64,
    /// When the running thread was last charged, on the monotonic clock.
    charged: AtomicU64,
    slices: core::sync::atomic::AtomicU32,
}

impl Local {
    pub(crate) const fn new() -> Self {
        Self {
            queue: Lock::new(RunQueue::new()),
            slice_end: AtomicU64::new(u64::MAX),
            charged: AtomicU64::new(0),
            slices: core::sync::atomic::AtomicU32::new(0),
        }
    }
}

/// Processors that wait in the idle loop and were not given anything yet.
static IDLE: AtomicU64 = AtomicU64::new(0);

/// Makes the running code this processor's idle thread.
pub(crate) fn adopt_idle() {
    let cpu = cpu::this();
    let idle = alloc::boxed::Box::leak(alloc::boxed::Box::new(Thread::idle(cpu.number())));
    cpu.idle.store(idle, Ordering::Relaxed);
    cpu.current.store(idle, Ordering::Relaxed);
    cpu.stamp.store(rdtsc(), Ordering::Relaxed);
}

/// Returns the running thread.
#[inline(always)]
pub(crate) fn current() -> &'static Thread {
    // SAFETY: a thread lives while it runs, and idle threads live for ever. Callers do not keep the reference past the
    // end of the running thread.
    unsafe { &*cpu::this().current.load(Ordering::Relaxed) }
}

fn idle_of(cpu: &Cpu) -> &'static Thread {
    // SAFETY: set by `adopt_idle`, and lives for ever.
    unsafe { &*cpu.idle.load(Ordering::Relaxed) }
}

/// Says whether the caller runs in a thread that may park.
pub(crate) fn may_park() -> bool {
    let current = cpu::this().current.load(Ordering::Relaxed);
    // SAFETY: the running thread lives; null before `adopt_idle`.
    unsafe { current.as_ref() }.is_some_and(|thread| !thread.is_idle())
}

/// Returns the system's side of the running thread.
#[inline(always)]
pub(crate) fn user_thread() -> &'static dyn UserThread {
    cpu::this().user.get()
}

/// The system's side of the thread that runs on a processor, where the entry code finds it fast.
pub(crate) struct UserSide(LocalCell<Option<*const dyn UserThread>>);

impl UserSide {
    pub(crate) const fn new() -> Self {
        Self(LocalCell::new(None))
    }

    fn set(&self, user: Option<&dyn UserThread>) {
        let user = user.map(core::ptr::from_ref);
        // SAFETY: only the lifetime changes: the running thread keeps the object alive until `exit`, and every switch to
        // another thread of the application sets the pointer anew.
        let user = unsafe {
            core::mem::transmute::<Option<*const dyn UserThread>, Option<*const dyn UserThread>>(user)
        };
        self.0.with(|slot| *slot = user);
    }

    /// Returns it. Called only on behalf of a thread of the application, never of an idle one.
    #[inline(always)]
    pub(crate) fn get(&self) -> &'static dyn UserThread {
        match self.0.with(|slot| *slot) {
            // SAFETY: see `set`.
            Some(user) => unsafe { &*user },
            None => not_a_thread(),
        }
    }
}

#[cold]
fn not_a_thread() -> ! {
    panic!("no thread of the application runs here");
}

/// Returns the ticks that a thread has run since it was switched to; 0 if it does not run.
fn ticks_since_switch(thread: &Thread, now: u64) -> u64 {
    let cpu = cpu::by_id(thread.cpu.load(Ordering::Relaxed) as usize);
    let cpu = cpu.filter(|cpu| core::ptr::eq(cpu.current.load(Ordering::SeqCst), thread));
    cpu.map_or(0, |cpu| now.saturating_sub(cpu.stamp.load(Ordering::Relaxed)))
}

/// Returns a thread's ticks in user mode as the entry code keeps them.
fn user_ticks(thread: &Thread) -> u64 {
    let cpu = cpu::by_id(thread.cpu.load(Ordering::Relaxed) as usize);
    let runs = |cpu: &Cpu| core::ptr::eq(cpu.current.load(Ordering::SeqCst), thread);
    let live = cpu.filter(|cpu| runs(cpu)).map(|cpu| (cpu, cpu.user_ticks.load(Ordering::SeqCst)));
    // The processor's value is another thread's if a switch came in between; the thread's own is good then.
    match live {
        Some((cpu, ticks)) if runs(cpu) => ticks,
        _ => thread.user_ticks.load(Ordering::SeqCst),
    }
}

/// Says whether the running thread is to give way before it returns to user mode.
#[inline(always)]
pub(crate) fn should_yield() -> bool {
    cpu::this().need_resched.load(Ordering::Relaxed)
}

/// What becomes of the thread that gives the processor away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It waits; somebody will put it into a queue again, or has already.
    Parks,
    /// It lets others go first.
    Yields,
    /// Its time is over.
    Preempted,
    /// It has ended.
    Ends,
}

/// Charges the running thread for its time since the last call.
fn charge(cpu: &Cpu, thread: &Thread) -> u64 {
    let now = clock::monotonic_ns();
    let before = cpu.sched.charged.swap(now, Ordering::Relaxed);
    if !thread.is_idle() {
        thread.charge(now.saturating_sub(before));
    }
    now
}

/// Gives the processor to the next thread, and comes back when it is this one's turn again.
fn schedule(why: Why) {
    let cpu = cpu::this();
    let previous = current();
    let now = charge(cpu, previous);
    cpu.need_resched.store(false, Ordering::Relaxed);
    let mut stray = None;
    let mut queue = cpu.sched.queue.lock();
    if matches!(why, Why::Yields | Why::Preempted) && !previous.is_idle() {
        if previous.affinity.load(Ordering::SeqCst) & 1 << cpu.number() == 0 {
            stray = Some(ThreadRef::new(previous));
        } else {
            if why == Why::Yields
                && let Some(first) = queue.first()
            {
                // Behind the next one, whatever it had, or a yield would often come straight back.
                previous.vruntime.fetch_max(first + 1, Ordering::Relaxed);
            }
            queue.push(previous);
        }
    }
    let next = queue.pop();
    let end = if next.is_some() && queue.len() > 0 { now + SLICE_NS } else { u64::MAX };
    // Still under the lock: whoever puts a thread into the queue later sees whether this processor will look again.
    cpu.sched.slice_end.store(end, Ordering::Relaxed);
    drop(queue);
    if end != u64::MAX {
        clock::timer::need_interrupt(end);
    }
    let next = match next.or_else(|| steal(cpu)) {
        Some(next) => next.get(),
        None => idle_of(cpu),
    };
    if core::ptr::eq(next, previous) {
        return;
    }
    match why {
        Why::Parks | Why::Yields => previous.voluntary.fetch_add(1, Ordering::Relaxed),
        Why::Preempted => previous.involuntary.fetch_add(1, Ordering::Relaxed),
        Why::Ends => 0,
    };
    switch(cpu, previous, next, stray);
}

/// Starts a slice for the thread that runs here, because another waits.
fn start_slice(cpu: &Cpu) {
    let end = clock::monotonic_ns() + SLICE_NS;
    cpu.sched.slice_end.store(end, Ordering::Relaxed);
    clock::timer::need_interrupt(end);
}

/// Changes from one thread to another.
fn switch(cpu: &'static Cpu, previous: &Thread, next: &Thread, stray: Option<ThreadRef>) {
    let now = rdtsc();
    let used = now.saturating_sub(cpu.stamp.swap(now, Ordering::Relaxed));
    previous.total_ticks.store(previous.total_ticks.load(Ordering::Relaxed) + used, Ordering::Relaxed);
    previous.user_ticks.store(cpu.user_ticks.load(Ordering::Relaxed), Ordering::SeqCst);
    if let Some(extended) = &previous.extended
        && previous.state.load(Ordering::Relaxed) != DEAD
    {
        extended.save();
        let own = previous.own();
        (own.fs_base, own.gs_base) = (arch::user_fs_base(), arch::user_gs_base());
    }
    if let Some(extended) = &next.extended {
        if let Some(space) = next.space() {
            loaded::activate(cpu, space);
        }
        extended.restore();
        let own = next.own();
        arch::set_user_bases(own.fs_base, own.gs_base);
        cpu.set_kernel_stack(next.stack_top);
        cpu.user.set(next.own().user.as_deref());
        if let Some(user) = next.own().user.as_deref() {
            user.rescheduled();
        }
    }
    next.cpu.store(cpu.number(), Ordering::Relaxed);
    next.on_cpu.store(true, Ordering::SeqCst);
    if next.affinity.load(Ordering::SeqCst) & 1 << cpu.number() == 0 {
        // Changed while it was on its way to this queue.
        cpu.need_resched.store(true, Ordering::Relaxed);
    }
    cpu.current.store(core::ptr::from_ref(next).cast_mut(), Ordering::SeqCst);
    cpu.user_ticks.store(next.user_ticks.load(Ordering::Relaxed), Ordering::SeqCst);
    let handover = Handover { previous: ThreadRef::new(previous), stray };
    cpu.handover.with(|slot| *slot = Some(handover));
    // SAFETY: `next` is not in any processor's registers, and its stack pointer is from its own last switch or from
    // `first_frame`; `previous` keeps its own in `own`.
    unsafe { arch::switch_stacks(&raw mut previous.own().stack_pointer, next.own().stack_pointer) };
    finish_switch();
}

/// What the next thread does for the one before it, once that one's registers are saved.
pub(crate) struct Handover {
    previous: ThreadRef,
    stray: Option<ThreadRef>,
}

fn finish_switch() {
    let cpu = cpu::this();
    let Some(Handover { previous, stray }) = cpu.handover.with(Option::take) else { return };
    let thread = previous.get();
    if thread.state.load(Ordering::Relaxed) == DEAD {
        // SAFETY: `unpark` counted this reference when the thread started; the thread is off its stack for ever.
        let thread = unsafe { Arc::from_raw(core::ptr::from_ref(thread)) };
        thread.own().stack = None;
        thread.on_cpu.store(false, Ordering::Release);
        return;
    }
    thread.on_cpu.store(false, Ordering::SeqCst);
    if let Some(stray) = stray {
        enqueue(stray.get());
    }
}

/// The first code of a new thread.
pub(crate) fn thread_started() {
    finish_switch();
    current().token.store(false, Ordering::SeqCst);
}

/// Gives way because the time is over or a more deserving thread woke.
pub(crate) fn preempt() {
    balance();
    schedule(Why::Preempted);
}

/// Ends the running thread.
pub(crate) fn exit() -> ! {
    let thread = current();
    // The system's side and the page tables go first, while there is still a thread that may wait for something.
    let user = thread.own().user.take();
    drop(user);
    arch::set_user_bases(0, 0);
    loaded::leave(cpu::this());
    let space = thread.own().space.take();
    drop(space);
    thread.state.store(DEAD, Ordering::SeqCst);
    schedule(Why::Ends);
    unreachable!("an ended thread runs");
}

/// Waits until the running thread is woken, or the clock reaches the deadline.
pub(crate) fn park(deadline_ns: Option<u64>) {
    let thread = current();
    assert!(!thread.is_idle(), "the idle thread cannot wait");
    if thread.token.swap(false, Ordering::SeqCst) {
        return;
    }
    if deadline_ns.is_some_and(|at| at <= clock::monotonic_ns()) {
        return;
    }
    let timer = deadline_ns.map(|at| clock::timer::arm(at, waker()));
    thread.state.store(PARKED, Ordering::SeqCst);
    // Whoever set the token before this line saw no parked thread; whoever sets it later puts the thread in a queue.
    let woken = thread.token.load(Ordering::SeqCst)
        && thread.state.compare_exchange(PARKED, RUNNABLE, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    if !woken {
        schedule(Why::Parks);
    }
    if let Some(timer) = timer {
        clock::timer::cancel(timer);
    }
    thread.token.store(false, Ordering::SeqCst);
    fence(Ordering::SeqCst);
}

/// Wakes a thread.
pub(crate) fn unpark(thread: &Thread) {
    if thread.token.swap(true, Ordering::SeqCst) {
        return;
    }
    if thread.state.compare_exchange(PARKED, RUNNABLE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
        if thread.start_once() {
            // SAFETY: every thread but the idle ones lives in an `Arc`, and those are never parked.
            unsafe { Arc::increment_strong_count(core::ptr::from_ref(thread)) };
        }
        enqueue(thread);
    }
}

/// Returns a waker for the running thread.
pub(crate) fn waker() -> core::task::Waker {
    let thread = core::ptr::from_ref(current());
    assert!(may_park(), "the idle thread cannot be woken");
    // SAFETY: a running thread that is not idle lives in an `Arc` and holds a reference to itself.
    unsafe { Arc::increment_strong_count(thread) };
    // SAFETY: the reference that was just counted.
    core::task::Waker::from(unsafe { Arc::from_raw(thread) })
}

/// Puts a runnable thread into a queue.
fn enqueue(thread: &Thread) {
    let here = cpu::this();
    let target = choose(thread, here);
    let mut queue = target.sched.queue.lock();
    queue.enter(thread);
    let floor = thread.vruntime.load(Ordering::Relaxed);
    // Still under the lock: later it may run already, and elsewhere.
    thread.cpu.store(target.number(), Ordering::Relaxed);
    drop(queue);
    let bit = 1 << target.number();
    if IDLE.fetch_and(!bit, Ordering::SeqCst) & bit != 0 {
        if !core::ptr::eq(target, here) {
            ipi::reschedule(target.number());
        }
        return;
    }
    // SAFETY: the pointer is to a thread that runs or idles there; a stale answer only costs an early or late switch, and
    // thread memory is not unmapped while the kernel runs.
    let running = unsafe { target.current.load(Ordering::SeqCst).as_ref() };
    let deserves = running.is_none_or(|r| r.vruntime.load(Ordering::Relaxed) > floor + WAKE_LEAD_NS);
    if core::ptr::eq(target, here) {
        if !current().is_idle() {
            if deserves {
                here.need_resched.store(true, Ordering::Relaxed);
            }
            if here.sched.slice_end.load(Ordering::Relaxed) == u64::MAX {
                start_slice(here);
            }
        }
    } else if deserves || target.sched.slice_end.load(Ordering::Relaxed) == u64::MAX {
        if deserves {
            target.need_resched.store(true, Ordering::SeqCst);
        }
        ipi::reschedule(target.number());
    }
}

/// Chooses the processor for a runnable thread: where it ran if that is idle, else any idle one, else where it ran.
fn choose(thread: &Thread, here: &'static Cpu) -> &'static Cpu {
    let last = cpu::by_id(thread.cpu.load(Ordering::Relaxed) as usize).unwrap_or(here);
    if thread.on_cpu.load(Ordering::SeqCst) {
        return last;
    }
    let online = cpu::online();
    let allowed = match thread.affinity.load(Ordering::SeqCst) & online {
        0 => online,
        some => some,
    };
    let idle = IDLE.load(Ordering::SeqCst) & allowed;
    let last_bit = 1 << last.number();
    if idle & last_bit != 0 || (idle == 0 && allowed & last_bit != 0) {
        return last;
    }
    let here_bit = 1 << here.number();
    let candidates = if idle != 0 { idle } else { allowed };
    if candidates & here_bit != 0 {
        return here;
    }
    cpu::by_id(candidates.trailing_zeros() as usize).unwrap_or(here)
}

/// Takes a waiting thread from another processor.
fn steal(cpu: &Cpu) -> Option<ThreadRef> {
    for other in cpu::all() {
        if !core::ptr::eq(other, cpu)
            && let Some(mut queue) = other.sched.queue.try_lock()
            && let Some(thread) = queue.steal(cpu.number())
        {
            return Some(thread);
        }
    }
    None
}

/// Now and then hands a waiting thread to a processor that has less to do, so that three threads on two processors get
/// two thirds each.
fn balance() {
    let cpu = cpu::this();
    if !cpu.sched.slices.fetch_add(1, Ordering::Relaxed).is_multiple_of(BALANCE_SLICES) {
        return;
    }
    let own = cpu.sched.queue.try_lock().map_or(0, |queue| queue.len());
    for other in cpu::all() {
        if core::ptr::eq(other, cpu) || own == 0 {
            continue;
        }
        let less = other.sched.queue.try_lock().is_some_and(|queue| queue.len() < own);
        // A statement of its own: the lock must be free before the other one is taken.
        let moved = if less { cpu.sched.queue.lock().steal(other.number()) } else { None };
        if let Some(thread) = moved {
            adopt(other, thread);
            ipi::reschedule(other.number());
            return;
        }
    }
}

/// Puts a thread that stands in no queue into a processor's.
fn adopt(cpu: &Cpu, thread: ThreadRef) {
    let mut queue = cpu.sched.queue.lock();
    queue.enter(thread.get());
    thread.get().cpu.store(cpu.number(), Ordering::Relaxed);
}

/// Called when a thread's affinity was changed.
fn affinity_changed(thread: &Thread) {
    let cpu = thread.cpu.load(Ordering::Relaxed);
    let Some(target) = cpu::by_id(cpu as usize) else { return };
    if thread.affinity.load(Ordering::SeqCst) & 1 << cpu != 0 {
        return;
    }
    let mut strangers = alloc::vec::Vec::new();
    target.sched.queue.lock().take_strangers(cpu, |thread| strangers.push(thread));
    for stranger in strangers {
        enqueue(stranger.get());
    }
    if thread.on_cpu.load(Ordering::SeqCst) {
        target.need_resched.store(true, Ordering::SeqCst);
        if core::ptr::eq(thread, current()) {
            schedule(Why::Yields);
        } else {
            ipi::reschedule(cpu);
        }
    }
}

/// Called by the timer interrupt: ends the slice if it is over.
pub(crate) fn tick(now: u64) -> u64 {
    let local = &cpu::this().sched;
    let end = local.slice_end.load(Ordering::Relaxed);
    if end <= now {
        cpu::this().need_resched.store(true, Ordering::Relaxed);
        return u64::MAX;
    }
    end
}

/// Called by the interrupt that another processor sends: somebody may wait here now.
pub(crate) fn poked() {
    let cpu = cpu::this();
    if !current().is_idle()
        && cpu.sched.slice_end.load(Ordering::Relaxed) == u64::MAX
        && cpu.sched.queue.lock().len() > 0
    {
        start_slice(cpu);
    }
}

/// Runs threads on this processor for ever; the caller becomes its idle thread.
pub(crate) fn run() -> ! {
    let cpu = cpu::this();
    let bit = 1 << cpu.number();
    loop {
        ipi::serve();
        IDLE.fetch_or(bit, Ordering::SeqCst);
        if has_work(cpu) {
            IDLE.fetch_and(!bit, Ordering::SeqCst);
            loaded::resume(cpu);
            schedule(Why::Yields);
            loaded::rest(cpu);
        } else {
            arch::wait_for_interrupt();
        }
    }
}

/// Says whether a thread waits here; fetches one from another processor if none does.
fn has_work(cpu: &Cpu) -> bool {
    if cpu.sched.queue.lock().len() > 0 {
        return true;
    }
    match steal(cpu) {
        Some(thread) => {
            adopt(cpu, thread);
            true
        }
        None => false,
    }
}
