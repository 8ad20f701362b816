//! The scheduler as `hal` sees it.

use alloc::sync::Arc;
use core::sync::atomic::{Ordering, fence};

use hal::{AddressSpace, CpuSet, ExtendedState, OutOfMemory, Start, Task};

use super::{Thread, Why, current, may_park, park, schedule, should_yield};
use crate::arch::{self, ipi};
use crate::cpu;
use crate::mm::loaded;
use crate::mm::space::Space;

/// The scheduler.
pub(crate) struct Threads;

impl hal::Scheduler for Threads {
    fn spawn(&self, start: Start) -> Result<Arc<dyn Task>, OutOfMemory> {
        Ok(Thread::new(start)?)
    }

    fn park(&self, deadline_ns: Option<u64>) {
        park(deadline_ns);
    }

    fn yield_now(&self) {
        schedule(Why::Yields);
    }

    fn checkpoint(&self) {
        arch::take_interrupts();
        if should_yield() && may_park() {
            schedule(Why::Preempted);
        }
    }

    fn cpu(&self) -> u32 {
        cpu::this().number()
    }

    fn set_fs_base(&self, base: u64) {
        arch::set_user_bases(base, arch::user_gs_base());
    }

    fn fs_base(&self) -> u64 {
        arch::user_fs_base()
    }

    fn set_gs_base(&self, base: u64) {
        arch::set_user_bases(arch::user_fs_base(), base);
    }

    fn gs_base(&self) -> u64 {
        arch::user_gs_base()
    }

    fn save_extended(&self) -> ExtendedState {
        let Some(extended) = &current().extended else { return ExtendedState::default() };
        extended.save();
        ExtendedState(extended.get())
    }

    fn restore_extended(&self, state: Option<&ExtendedState>) -> bool {
        let Some(extended) = &current().extended else { return false };
        extended.save();
        let done = extended.set(state.map(|state| state.0.as_slice()));
        if done {
            extended.restore();
        }
        done
    }

    fn switch_space(&self, space: Arc<dyn AddressSpace>) {
        let thread = current();
        loaded::activate(cpu::this(), Space::of(&*space));
        let old = thread.own().space.replace(space);
        drop(old);
    }

    fn barrier(&self, space: Option<&dyn AddressSpace>) {
        let cpus = space.map_or(u64::MAX, |space| Space::of(space).cpus());
        fence(Ordering::SeqCst);
        ipi::barrier(CpuSet(cpus));
    }
}
