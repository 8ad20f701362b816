//! The machine, played on the host for tests.
//!
//! Everything is safe, slow and real enough: frames live in a map, address spaces are maps from page to frame,
//! a thread is whichever host thread calls [`enter`], time is the host's. [`platform`] puts them together.

mod memory;
mod threads;

use alloc::sync::Arc;
use core::task::Waker;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::sync::Hooks;
use crate::{Clock, Console, ConsoleInput, Entropy, MachineInfo, Platform, Power, Stream, TimerId};

pub(crate) use memory::frame_pool;
pub use memory::{FakeMemory, FakeSpace, FakeSpaces, frames_in_use};
pub use threads::{FakeScheduler, FakeTask, enter, leave};

pub(crate) fn sync_hooks() -> Hooks {
    Hooks { relax: std::thread::yield_now, park: threads::park_current, waker: threads::current_waker }
}

/// Locks although another test's thread may have panicked with the lock held.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A machine of its own; the pieces are leaked, as a real machine's are for ever.
pub struct FakeMachine {
    /// What the system above gets.
    pub platform: Platform,
    /// What was written to the console, and its input.
    pub console: &'static FakeConsole,
    /// The threads that were made.
    pub scheduler: &'static FakeScheduler,
    /// The clock.
    pub clock: &'static FakeClock,
}

impl FakeMachine {
    /// Makes a machine with that many processors.
    pub fn new(cpus: u32) -> Self {
        let console: &'static FakeConsole = Box::leak(Box::default());
        let scheduler: &'static FakeScheduler = Box::leak(Box::default());
        let clock: &'static FakeClock = Box::leak(Box::new(FakeClock::new()));
        let info = MachineInfo { cpus, tsc_khz: 1_000_000, extended_len: 512, ..MachineInfo::default() };
        let platform = Platform {
            memory: &FakeMemory,
            spaces: &FakeSpaces,
            scheduler,
            clock,
            entropy: Box::leak(Box::new(FakeEntropy(Mutex::new(1)))),
            console,
            power: &FakePower,
            info: Box::leak(Box::new(info)),
        };
        Self { platform, console, scheduler, clock }
    }
}

/// Collects what is written.
#[derive(Default)]
pub struct FakeConsole {
    output: Mutex<Vec<u8>>,
    input: Mutex<Option<Arc<dyn ConsoleInput>>>,
    credit: Mutex<u64>,
}

impl FakeConsole {
    /// Takes what was written since the last call, both streams together.
    pub fn take_output(&self) -> Vec<u8> {
        std::mem::take(&mut *hold(&self.output))
    }

    /// Returns the taker of input, once there is one.
    pub fn input(&self) -> Option<Arc<dyn ConsoleInput>> {
        hold(&self.input).clone()
    }

    /// Returns the sum of all credit given.
    pub fn credit_given(&self) -> u64 {
        *hold(&self.credit)
    }
}

impl Console for FakeConsole {
    fn write(&self, stream: Stream, bytes: &[u8]) {
        if matches!(stream, Stream::Output | Stream::Error) {
            hold(&self.output).extend_from_slice(bytes);
        }
    }

    fn set_input(&self, input: Arc<dyn ConsoleInput>) {
        *hold(&self.input) = Some(input);
    }

    fn credit(&self, bytes: u32) {
        *hold(&self.credit) += u64::from(bytes);
    }
}

/// The host's time since the machine was made, plus what [`FakeClock::advance`] added.
pub struct FakeClock {
    start: Instant,
    state: Mutex<ClockState>,
}

#[derive(Default)]
struct ClockState {
    advanced_ns: u64,
    realtime_offset_ns: i128,
    timers: BTreeMap<(u64, TimerId), Waker>,
    next: u64,
}

impl FakeClock {
    fn new() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let state =
            ClockState { realtime_offset_ns: i128::try_from(unix).unwrap_or(0), ..ClockState::default() };
        Self { start: Instant::now(), state: Mutex::new(state) }
    }

    /// Moves the clock on and calls the timers that are due.
    pub fn advance(&self, ns: u64) {
        hold(&self.state).advanced_ns += ns;
        self.fire();
    }

    /// Calls the timers that are due.
    pub fn fire(&self) {
        let now = self.monotonic_ns();
        let mut due = Vec::new();
        let mut state = hold(&self.state);
        while let Some(entry) = state.timers.first_entry()
            && entry.key().0 <= now
        {
            due.push(entry.remove());
        }
        drop(state);
        due.into_iter().for_each(Waker::wake);
    }
}

impl Clock for FakeClock {
    fn monotonic_ns(&self) -> u64 {
        let real = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        real + hold(&self.state).advanced_ns + 1_000_000
    }

    fn realtime_ns(&self) -> u64 {
        let offset = hold(&self.state).realtime_offset_ns;
        u64::try_from(i128::from(self.monotonic_ns()) + offset).unwrap_or(0)
    }

    fn set_realtime_ns(&self, ns: u64) {
        let offset = i128::from(ns) - i128::from(self.monotonic_ns());
        hold(&self.state).realtime_offset_ns = offset;
    }

    fn arm(&self, at_ns: u64, waker: Waker) -> TimerId {
        let mut state = hold(&self.state);
        state.next += 1;
        let id = TimerId(state.next);
        state.timers.insert((at_ns, id), waker);
        id
    }

    fn cancel(&self, timer: TimerId) {
        hold(&self.state).timers.retain(|key, _| key.1 != timer);
    }
}

/// A repeatable sequence.
struct FakeEntropy(Mutex<u64>);

impl Entropy for FakeEntropy {
    fn fill(&self, to: &mut [u8]) {
        let mut state = hold(&self.0);
        for byte in to {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = state.to_le_bytes()[7];
        }
    }

    fn mix(&self, _: &[u8]) {}
}

struct FakePower;

impl Power for FakePower {
    fn exit(&self, wait_status: u32) -> ! {
        panic!("the machine switched off with wait status {wait_status:#x}");
    }
}
