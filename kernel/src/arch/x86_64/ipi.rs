//! What processors ask of each other: forget translations, pass a barrier, look at the run queue.
//!
//! The kernel runs with interrupts off, so a processor serves requests in three places: on the interrupt (in user mode
//! or idle), while it spins for a lock ([`relax`]), and while it waits for answers itself. Two processors that ask each
//! other at the same time therefore never wait for ever.

use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

use hal::CpuSet;

use super::{apic, tlb};
use crate::cpu::{self, Cpu};
use crate::mm::loaded;
use crate::mm::space::Space;
use crate::sched;

/// Requests of one processor to others, and of others to it.
pub(crate) struct Mail {
    /// Processors whose request waits here.
    inbox: AtomicU64,
    /// This processor's own request; valid while `pending` is not 0.
    kind: AtomicU32,
    space: AtomicPtr<Space>,
    start: AtomicU64,
    pages: AtomicU64,
    /// Who has not answered yet.
    pending: AtomicU64,
}

impl Mail {
    pub(crate) const fn new() -> Self {
        Self {
            inbox: AtomicU64::new(0),
            kind: AtomicU32::new(0),
            space: AtomicPtr::new(core::ptr::null_mut()),
            start: AtomicU64::new(0),
            pages: AtomicU64::new(0),
            pending: AtomicU64::new(0),
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    /// Forget pages of a space: start, pages.
    Flush(&'a Space, u64, u64),
    /// Stop using a space's tables.
    Leave(&'a Space),
    /// Forget pages of the kernel's half.
    FlushKernel(u64, u64),
    /// Pass a full memory barrier.
    Barrier,
}

/// Asks a set of processors, and waits until all have done it.
pub(crate) fn ask(targets: u64, request: Request<'_>) {
    let cpu = cpu::this();
    let own = 1 << cpu.number();
    let targets = targets & !own;
    if targets == 0 {
        return;
    }
    let mail = &cpu.mail;
    let (kind, space, start, pages) = match request {
        Request::Flush(space, start, pages) => (0, core::ptr::from_ref(space), start, pages),
        Request::Leave(space) => (1, core::ptr::from_ref(space), 0, 0),
        Request::FlushKernel(start, pages) => (2, core::ptr::null(), start, pages),
        Request::Barrier => (3, core::ptr::null(), 0, 0),
    };
    mail.kind.store(kind, Ordering::Relaxed);
    mail.space.store(space.cast_mut(), Ordering::Relaxed);
    mail.start.store(start, Ordering::Relaxed);
    mail.pages.store(pages, Ordering::Relaxed);
    mail.pending.store(targets, Ordering::SeqCst);
    for target in cpu::all().filter(|t| targets & 1 << t.number() != 0) {
        target.mail.inbox.fetch_or(own, Ordering::SeqCst);
        apic::send(target.apic.load(Ordering::Relaxed), apic::IPI_VECTOR);
    }
    while mail.pending.load(Ordering::Acquire) != 0 {
        relax();
    }
}

/// Does what other processors ask.
#[inline]
pub(crate) fn serve() {
    let cpu = cpu::this();
    if cpu.mail.inbox.load(Ordering::Relaxed) != 0 {
        serve_inbox(cpu);
    }
}

#[cold]
fn serve_inbox(cpu: &Cpu) {
    let own = 1 << cpu.number();
    let mut senders = cpu.mail.inbox.swap(0, Ordering::SeqCst);
    while senders != 0 {
        let number = senders.trailing_zeros() as usize;
        senders &= senders - 1;
        let Some(sender) = cpu::by_id(number) else { continue };
        let mail = &sender.mail;
        let space = mail.space.load(Ordering::Relaxed);
        let (start, pages) = (mail.start.load(Ordering::Relaxed), mail.pages.load(Ordering::Relaxed));
        match mail.kind.load(Ordering::Relaxed) {
            0 if cpu.loaded.is(space) => tlb::flush_local(start, pages),
            1 if cpu.loaded.is(space) => loaded::leave(cpu),
            2 => tlb::flush_local_kernel(start, pages),
            _ => fence(Ordering::SeqCst),
        }
        mail.pending.fetch_and(!own, Ordering::AcqRel);
    }
}

/// The interrupt.
pub(crate) fn interrupt() {
    serve();
    sched::poked();
}

/// Spins once, serving other processors.
pub(crate) fn relax() {
    serve();
    core::hint::spin_loop();
}

/// Makes a processor look at its run queue, or its thread enter the kernel.
pub(crate) fn reschedule(number: u32) {
    if let Some(cpu) = cpu::by_id(number as usize) {
        apic::send(cpu.apic.load(Ordering::Relaxed), apic::IPI_VECTOR);
    }
}

/// Makes processors pass a full memory barrier.
pub(crate) fn barrier(cpus: CpuSet) {
    fence(Ordering::SeqCst);
    ask(cpus.0 & cpu::online(), Request::Barrier);
}
