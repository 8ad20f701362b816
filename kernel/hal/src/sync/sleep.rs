//! The lock whose waiters park.

use alloc::collections::VecDeque;
use core::ops::{Deref, DerefMut};
use core::task::Waker;

use super::{Lock, order, rank, relax};

/// A lock that may be held while waiting for a device or copying from and to the application.
#[derive(Default)]
pub struct SleepLock<T: ?Sized, const RANK: u16> {
    waiters: Lock<VecDeque<Waker>, { rank::SLEEP_QUEUE }>,
    value: spin::mutex::SpinMutex<T>,
}

impl<T, const RANK: u16> SleepLock<T, RANK> {
    /// Makes a lock.
    pub const fn new(value: T) -> Self {
        Self { waiters: Lock::new(VecDeque::new()), value: spin::mutex::SpinMutex::new(value) }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized, const RANK: u16> SleepLock<T, RANK> {
    /// Waits for the lock and takes it.
    pub fn lock(&self) -> SleepGuard<'_, T> {
        self.acquire(order::enter(RANK, order::Kind::Sleep))
    }

    /// Waits for the lock and takes it while one of the same rank is held; the caller orders the two (a parent
    /// directory before its child, or by address).
    pub fn lock_nested(&self) -> SleepGuard<'_, T> {
        self.acquire(order::enter_try(RANK, order::Kind::Sleep))
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<SleepGuard<'_, T>> {
        let value = self.value.try_lock()?;
        Some(SleepGuard {
            value: Some(value),
            waiters: &self.waiters,
            _held: order::enter_try(RANK, order::Kind::Sleep),
        })
    }

    fn acquire(&self, held: order::Held) -> SleepGuard<'_, T> {
        let value = match self.value.try_lock() {
            Some(value) => value,
            None => self.wait(),
        };
        SleepGuard { value: Some(value), waiters: &self.waiters, _held: held }
    }

    #[cold]
    fn wait(&self) -> spin::mutex::SpinMutexGuard<'_, T> {
        let Some(hooks) = super::hooks() else {
            // Before there are threads there is nobody to wait for but another processor.
            loop {
                if let Some(value) = self.value.try_lock() {
                    return value;
                }
                relax();
            }
        };
        let waker = (hooks.waker)();
        loop {
            self.waiters.lock().push_back(waker.clone());
            if let Some(value) = self.value.try_lock() {
                self.waiters.lock().retain(|w| !w.will_wake(&waker));
                // A park here may have used up the wake-up of an outer wait: leave one behind, so that it looks again.
                waker.wake();
                return value;
            }
            (hooks.park)();
            self.waiters.lock().retain(|w| !w.will_wake(&waker));
        }
    }

    /// Returns the value, which nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: core::fmt::Debug, const RANK: u16> core::fmt::Debug for SleepLock<T, RANK> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.value.try_lock() {
            Some(value) => value.fmt(f),
            None => f.write_str("<locked>"),
        }
    }
}

/// A [`SleepLock`] that is held.
pub struct SleepGuard<'a, T: ?Sized> {
    /// Always there but in `drop`, which gives it up before it wakes the next waiter.
    value: Option<spin::mutex::SpinMutexGuard<'a, T>>,
    waiters: &'a Lock<VecDeque<Waker>, { rank::SLEEP_QUEUE }>,
    _held: order::Held,
}

impl<T: ?Sized> Deref for SleepGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value.as_ref().expect("held until drop")
    }
}

impl<T: ?Sized> DerefMut for SleepGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("held until drop")
    }
}

impl<T: ?Sized> Drop for SleepGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        let next = self.waiters.lock().pop_front();
        if let Some(waker) = next {
            waker.wake();
        }
    }
}
