//! Timers that are read from a descriptor (`timerfd_create(2)`).

use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Dest, Platform, Readiness, Registration, WaitQueue};

use crate::handlers::time::{Base, SystemTime};
use crate::handlers::timer::{Alarm, Setting};

/// A timer descriptor.
pub struct TimerFd {
    alarm: Arc<Alarm>,
    queue: Arc<WaitQueue>,
    clock: i32,
    /// A read answers `ECANCELED` if the wall clock was set (`TFD_TIMER_CANCEL_ON_SET`).
    cancels: AtomicBool,
    /// The wall clock was set since the last read.
    cancelled: AtomicBool,
    /// Hears of the wall clock being set, while the timer is on it.
    listening: Lock<Option<Registration>, { rank::LEAF }>,
    this: Weak<Self>,
}

/// Hears that the wall clock was set.
struct ClockSet(Weak<TimerFd>);

impl Wake for ClockSet {
    fn wake(self: Arc<Self>) {
        if let Some(timer) = self.0.upgrade() {
            timer.alarm.clock_was_set();
            if timer.cancels.load(Ordering::SeqCst) {
                timer.cancelled.store(true, Ordering::SeqCst);
                timer.queue.wake(Readiness::READ);
            }
        }
    }
}

impl TimerFd {
    /// Makes a timer that is off.
    pub(crate) fn new(platform: &Platform, base: Base, clock: i32) -> Arc<Self> {
        let queue = WaitQueue::new();
        let readers = Arc::clone(&queue);
        let alarm = Alarm::new(platform, base, move |_| readers.wake(Readiness::READ));
        Arc::new_cyclic(|this| Self {
            alarm,
            queue,
            clock,
            cancels: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            listening: Lock::default(),
            this: Weak::clone(this),
        })
    }

    /// Takes the number of expirations since the last read.
    ///
    /// # Errors
    /// `EINVAL` where eight bytes do not fit, `EAGAIN` if there was none, `ECANCELED` if the wall clock was set,
    /// `EFAULT`.
    pub fn read(&self, to: &mut Dest<'_>) -> Result<usize> {
        if to.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        if self.cancelled.swap(false, Ordering::SeqCst) {
            return Err(Errno::ECANCELED);
        }
        match self.alarm.forward() {
            0 => Err(Errno::EAGAIN),
            count => crate::eventfd::push_whole(to, &count.to_le_bytes()),
        }
    }

    /// Returns [`Readiness::READ`] while there is an expiration to read.
    pub fn readiness(&self) -> Readiness {
        if self.cancelled.load(Ordering::SeqCst) || self.alarm.is_reached() {
            Readiness::READ
        } else {
            Readiness::empty()
        }
    }

    /// Returns the queue that is woken at an expiration.
    pub const fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// Returns the clock's number, as it was given (`/proc/PID/fdinfo`).
    pub const fn clock(&self) -> i32 {
        self.clock
    }

    /// Sets the timer; returns what was set before.
    pub(crate) fn set(
        &self,
        time: &SystemTime,
        value: u64,
        interval: u64,
        absolute: bool,
        cancels: bool,
    ) -> Setting {
        let on_wall_clock = absolute && value != 0;
        self.cancels.store(cancels && on_wall_clock, Ordering::SeqCst);
        self.cancelled.store(false, Ordering::SeqCst);
        let registration = on_wall_clock.then(|| {
            let waker = Waker::from(Arc::new(ClockSet(Weak::clone(&self.this))));
            time.changes().add(Readiness::READ, &waker)
        });
        let old = core::mem::replace(&mut *self.listening.lock(), registration);
        drop(old);
        self.alarm.set(value, interval, absolute)
    }

    /// Returns what is left and the period.
    pub(crate) fn get(&self) -> Setting {
        self.alarm.get()
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        self.alarm.set(0, 0, false);
    }
}
