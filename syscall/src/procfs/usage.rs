//! How busy the processors are, as far as the threads' own times tell.

use alloc::sync::Arc;

use hal::CpuTime;
use hal::sync::{Lock, rank};

use crate::proc::ExitState;
use crate::system::System;

/// Returns the processor time of all processes, with that of those that were waited for.
///
/// What processes used whose parents ignored their end is not kept.
pub(super) fn processor_time(system: &System) -> CpuTime {
    let mut sum = CpuTime::default();
    for process in system.processes() {
        let (own, children) = (process.cpu_time(), process.state.lock().children_time);
        sum.user_ns += own.user_ns + children.user_ns;
        sum.system_ns += own.system_ns + children.system_ns;
    }
    sum
}

/// Threads by what they do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Threads {
    pub(super) all: usize,
    pub(super) running: usize,
}

pub(super) fn threads(system: &System) -> Threads {
    let mut count = Threads::default();
    for process in system.processes() {
        let zombie = matches!(process.state.lock().exit, ExitState::Zombie(_));
        let threads = process.threads();
        // A process that nobody has waited for counts as one.
        count.all += if zombie { 1 } else { threads.len() };
        count.running += threads.iter().filter(|thread| !thread.task().is_parked()).count();
    }
    count
}

/// Bits behind the point in averages (`FSHIFT`), and 1.
const SHIFT: u32 = 11;
const ONE: u64 = 1 << SHIFT;
/// Nanoseconds between two samples of Linux's load average (`LOAD_FREQ`).
const STEP_NS: u64 = 5_000_000_000;
/// By how much an average over 1, 5 and 15 minutes decays in a step (`EXP_1`, `EXP_5`, `EXP_15`).
const DECAY: [u64; 3] = [1884, 2014, 2037];

/// The load averages (`proc_loadavg(5)`).
///
/// DEVIATION: nothing samples the run queues. When somebody asks, the mean number of threads that ran since the last
/// time, which the threads' processor time tells, goes in as if it had been the load in all steps since. Threads that
/// waited for a processor count only at the moment of asking.
pub(super) struct Load {
    state: Lock<State, { rank::LEAF }>,
}

#[derive(Clone, Copy, Default)]
struct State {
    averages: [u64; 3],
    at_ns: u64,
    used_ns: u64,
}

impl Load {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Lock::default() })
    }

    /// Returns the three averages, in units of 1/2048.
    pub(super) fn averages(&self, system: &System) -> [u64; 3] {
        let now = system.platform().clock.monotonic_ns();
        let time = processor_time(system);
        let used = time.user_ns + time.system_ns;
        let mut state = self.state.lock();
        state.sample(now, used);
        state.averages
    }
}

impl State {
    fn sample(&mut self, now: u64, used: u64) {
        let elapsed = now.saturating_sub(self.at_ns);
        let steps = elapsed / STEP_NS;
        if steps == 0 {
            return;
        }
        let ran = used.saturating_sub(self.used_ns);
        // The quotient of two times below 2^53: no overflow.
        let load = ran / (elapsed >> SHIFT).max(1);
        for (average, decay) in self.averages.iter_mut().zip(DECAY) {
            // After an hour, nothing is left of the old average.
            for _ in 0..steps.min(720) {
                let up = if load >= *average { ONE - 1 } else { 0 };
                *average = (*average * decay + load * (ONE - decay) + up) >> SHIFT;
            }
        }
        (self.at_ns, self.used_ns) = (now, used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_of_one_busy_thread_goes_to_one_and_back() {
        let minute = 60_000_000_000;
        let mut state = State::default();
        for i in 1..=60 {
            state.sample(i * minute, i * minute);
        }
        assert!(
            state.averages.iter().all(|&a| (ONE * 95 / 100..=ONE + 8).contains(&a)),
            "{:?}",
            state.averages
        );
        state.sample(61 * minute, 60 * minute);
        let [one, five, fifteen] = state.averages;
        assert!(one < ONE / 2 && one < five && five < fifteen, "{:?}", state.averages);
        state.sample(200 * minute, 60 * minute);
        assert!(state.averages.iter().all(|&a| a < 40), "{:?}", state.averages);
    }
}
