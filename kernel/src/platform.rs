//! The machine as `hal` describes it, handed to the system above.

use alloc::boxed::Box;
use core::task::Waker;

use hal::sync::Hooks;
use hal::{Console, MachineInfo, Platform, Power};

use crate::arch::features::{Features, has};
use crate::arch::{fpu, identity, ipi};
use crate::mm::{space, user};
use crate::{clock, cpu, entropy, sched, vdso};

/// Lets the locks of `hal` wait.
pub(crate) fn install_hooks() {
    hal::sync::install(Hooks { relax: ipi::relax, park, waker });
}

/// During start-up there is no thread yet that could park: then waiting is spinning.
fn park() {
    if sched::may_park() { sched::park(None) } else { ipi::relax() }
}

fn waker() -> Waker {
    if sched::may_park() { sched::waker() } else { Waker::noop().clone() }
}

/// Gathers what does not change any more.
fn info() -> MachineInfo {
    MachineInfo {
        cpus: cpu::online().count_ones(),
        processor: identity::describe(fpu::xcr0(), has(Features::INVARIANT_TSC)),
        tsc_khz: clock::tsc_khz(),
        hwcap: identity::hwcap(),
        hwcap2: if has(Features::FSGSBASE) { 2 } else { 0 },
        extended_len: fpu::len(),
        xcr0: fpu::xcr0(),
        vdso: vdso::init(),
    }
}

/// Puts everything together, for good.
pub(crate) fn platform(console: &'static dyn Console, power: &'static dyn Power) -> Platform {
    Platform {
        memory: &user::Memory,
        spaces: &space::Maker,
        scheduler: &sched::Threads,
        clock: &clock::Time,
        entropy: &entropy::Random,
        console,
        power,
        info: Box::leak(Box::new(info())),
    }
}
