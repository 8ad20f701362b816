//! Which page tables a processor uses.

use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::space::Space;
use super::table::kernel_root;
use crate::arch::cpu::{cr3, set_cr3};
use crate::cpu::Cpu;

/// What a processor has loaded.
pub(crate) struct Loaded {
    space: AtomicPtr<Space>,
    /// The processor idles: it uses none of the space's translations.
    lazy: AtomicBool,
    /// Translations changed while it idled.
    stale: AtomicBool,
}

impl Loaded {
    pub(crate) const fn new() -> Self {
        let space = AtomicPtr::new(core::ptr::null_mut());
        Self { space, lazy: AtomicBool::new(false), stale: AtomicBool::new(false) }
    }

    /// Says whether the processor idles, and then sees to it that it forgets all translations before it goes on.
    pub(super) fn may_wait(&self) -> bool {
        if !self.lazy.load(Ordering::SeqCst) {
            return false;
        }
        self.stale.store(true, Ordering::SeqCst);
        // Still idle: then `resume` comes later, and sees the mark.
        self.lazy.load(Ordering::SeqCst)
    }

    /// Says whether this space is loaded.
    #[inline(always)]
    pub(crate) fn is(&self, space: *const Space) -> bool {
        core::ptr::eq(self.space.load(Ordering::Relaxed), space)
    }
}

/// Loads a space on this processor.
pub(crate) fn activate(cpu: &Cpu, space: &Space) {
    if cpu.loaded.is(space) {
        return;
    }
    let bit = 1 << cpu.number();
    // Whoever changes an entry after this sees the bit; whoever changed one before has it seen by the load.
    space.cpus.fetch_or(bit, Ordering::SeqCst);
    set_cr3(space.root);
    let old = cpu.loaded.space.swap(core::ptr::from_ref(space).cast_mut(), Ordering::Relaxed);
    forget(old, bit);
}

/// Loads the kernel's own tables on this processor.
pub(crate) fn leave(cpu: &Cpu) {
    set_cr3(kernel_root());
    let old = cpu.loaded.space.swap(core::ptr::null_mut(), Ordering::Relaxed);
    forget(old, 1 << cpu.number());
}

fn forget(old: *mut Space, bit: u64) {
    // SAFETY: a space that a processor has loaded waits in its `drop` until that one's bit is gone.
    if let Some(old) = unsafe { old.as_ref() } {
        old.cpus.fetch_and(!bit, Ordering::SeqCst);
    }
}

/// Notes that this processor begins to idle: the space stays loaded, but need not be kept in step.
pub(crate) fn rest(cpu: &Cpu) {
    cpu.loaded.lazy.store(true, Ordering::SeqCst);
}

/// Ends what [`rest`] began.
pub(crate) fn resume(cpu: &Cpu) {
    cpu.loaded.lazy.store(false, Ordering::SeqCst);
    if cpu.loaded.stale.swap(false, Ordering::SeqCst) {
        set_cr3(cr3());
    }
}
