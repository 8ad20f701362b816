//! Threads on the host: parking, and which thread of the application the caller plays.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::task::Waker;
use std::cell::RefCell;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::hold;
use crate::{AddressSpace, CpuSet, CpuTime, ExtendedState, OutOfMemory, Scheduler, Start, Task, UserThread};

std::thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    static TASK: RefCell<Arc<FakeTask>> = RefCell::default();
}

struct Current {
    space: Arc<dyn AddressSpace>,
    thread: Arc<dyn UserThread>,
}

/// Makes the calling host thread play that thread of the application from now on.
pub fn enter(thread: Arc<dyn UserThread>, space: Arc<dyn AddressSpace>, task: Arc<FakeTask>) {
    CURRENT.set(Some(Current { space, thread }));
    TASK.set(task);
}

/// Makes the calling host thread play none any more.
pub fn leave() {
    CURRENT.set(None);
    TASK.set(Arc::default());
}

pub(crate) fn current() -> Option<(Arc<dyn AddressSpace>, Arc<dyn UserThread>)> {
    CURRENT.with_borrow(|c| c.as_ref().map(|c| (Arc::clone(&c.space), Arc::clone(&c.thread))))
}

pub(crate) fn park_current() {
    crate::sync::order::assert_may_wait("park", u16::MAX);
    let task = TASK.with_borrow(Arc::clone);
    task.park(None);
}

pub(crate) fn current_waker() -> Waker {
    TASK.with_borrow(|task| Waker::from(Arc::clone(task)))
}

/// A thread: a park token, and the registers that only tests look at.
#[derive(Default)]
pub struct FakeTask {
    token: Mutex<bool>,
    changed: Condvar,
    state: Mutex<TaskState>,
}

#[derive(Default)]
struct TaskState {
    fs_base: u64,
    gs_base: u64,
    extended: ExtendedState,
}

impl FakeTask {
    fn park(&self, timeout: Option<Duration>) {
        let mut token = hold(&self.token);
        if !*token {
            token = match timeout {
                Some(timeout) => {
                    self.changed.wait_timeout(token, timeout).map_or_else(|e| e.into_inner().0, |r| r.0)
                }
                None => self.changed.wait(token).unwrap_or_else(std::sync::PoisonError::into_inner),
            };
        }
        *token = false;
    }
}

impl Wake for FakeTask {
    fn wake(self: Arc<Self>) {
        self.unpark();
    }
}

impl Task for FakeTask {
    fn unpark(&self) {
        *hold(&self.token) = true;
        self.changed.notify_all();
    }

    fn kick(&self) {}

    fn cpu_time(&self) -> CpuTime {
        CpuTime::default()
    }

    fn set_affinity(&self, _: CpuSet) {}

    fn set_nice(&self, _: i8) {}

    fn is_parked(&self) -> bool {
        false
    }

    fn cpu(&self) -> u32 {
        0
    }

    fn switches(&self) -> (u64, u64) {
        (0, 0)
    }
}

/// Keeps the threads that were made, for a test to play.
#[derive(Default)]
pub struct FakeScheduler {
    spawned: Mutex<Vec<(Start, Arc<FakeTask>)>>,
}

impl FakeScheduler {
    /// Takes the threads made since the last call.
    pub fn take_spawned(&self) -> Vec<(Start, Arc<FakeTask>)> {
        std::mem::take(&mut *hold(&self.spawned))
    }
}

impl Scheduler for FakeScheduler {
    fn spawn(&self, start: Start) -> Result<Arc<dyn Task>, OutOfMemory> {
        let task = Arc::new(FakeTask::default());
        hold(&task.state).fs_base = start.fs_base;
        hold(&self.spawned).push((start, Arc::clone(&task)));
        Ok(task)
    }

    fn park(&self, deadline_ns: Option<u64>) {
        crate::sync::order::assert_may_wait("park", u16::MAX);
        let task = TASK.with_borrow(Arc::clone);
        // The deadline is on the machine's clock; callers test it again, so a short wait stands for any.
        task.park(deadline_ns.map(|_| Duration::from_millis(1)));
    }

    fn yield_now(&self) {
        std::thread::yield_now();
    }

    fn checkpoint(&self) {}

    fn cpu(&self) -> u32 {
        0
    }

    fn set_fs_base(&self, base: u64) {
        TASK.with_borrow(|task| hold(&task.state).fs_base = base);
    }

    fn fs_base(&self) -> u64 {
        TASK.with_borrow(|task| hold(&task.state).fs_base)
    }

    fn set_gs_base(&self, base: u64) {
        TASK.with_borrow(|task| hold(&task.state).gs_base = base);
    }

    fn gs_base(&self) -> u64 {
        TASK.with_borrow(|task| hold(&task.state).gs_base)
    }

    fn save_extended(&self) -> ExtendedState {
        TASK.with_borrow(|task| {
            let mut state = hold(&task.state).extended.clone();
            state.0.resize(512, 0);
            state
        })
    }

    fn restore_extended(&self, state: Option<&ExtendedState>) -> bool {
        TASK.with_borrow(|task| hold(&task.state).extended = state.cloned().unwrap_or_default());
        true
    }

    fn switch_space(&self, space: Arc<dyn AddressSpace>) {
        CURRENT.with_borrow_mut(|current| {
            if let Some(current) = current {
                current.space = space;
            }
        });
    }

    fn barrier(&self, _: Option<&dyn AddressSpace>) {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }
}
