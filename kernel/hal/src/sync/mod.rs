//! Locks.
//!
//! Two kinds. [`Lock`] spins and is held briefly: no copy from or to the application, no I/O, no park while
//! it is held. [`SleepLock`] may be held across those; whoever waits for it parks. Each lock has a rank
//! ([`rank`]), and locks are taken in ascending order of rank; host tests check that ([`order`]).
//!
//! Kernel code runs with interrupts off (see the crate's documentation), so a lock needs no interrupt
//! masking, and a holder of a [`Lock`] is never descheduled. A processor that spins still serves other
//! processors' requests through [`Hooks::relax`]; without that, a holder that waits for the spinner to
//! flush its TLB would wait for ever.

pub mod order;
pub mod rank;
mod sleep;

use core::ops::{Deref, DerefMut};
use core::task::Waker;

pub use sleep::{SleepGuard, SleepLock};

/// What locks need from the machine; installed once at start-up.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// Called while spinning: serves other processors, then pauses.
    pub relax: fn(),
    /// Parks the calling thread until its waker is called; may return early.
    pub park: fn(),
    /// Returns a waker for the calling thread.
    pub waker: fn() -> Waker,
}

static HOOKS: spin::Once<Hooks> = spin::Once::new();

/// Installs the hooks; the first call wins.
pub fn install(hooks: Hooks) {
    HOOKS.call_once(|| hooks);
}

fn hooks() -> Option<Hooks> {
    #[cfg(feature = "fake")]
    {
        Some(*HOOKS.call_once(crate::fake::sync_hooks))
    }
    #[cfg(not(feature = "fake"))]
    {
        HOOKS.get().copied()
    }
}

/// Spins once, serving other processors' requests.
pub fn relax() {
    match hooks() {
        Some(hooks) => (hooks.relax)(),
        None => core::hint::spin_loop(),
    }
}

/// A spin lock around a value; see the module's documentation for what may be done while it is held.
#[derive(Default)]
pub struct Lock<T: ?Sized, const RANK: u16> {
    inner: spin::mutex::SpinMutex<T>,
}

impl<T, const RANK: u16> Lock<T, RANK> {
    /// Makes a lock.
    pub const fn new(value: T) -> Self {
        Self { inner: spin::mutex::SpinMutex::new(value) }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized, const RANK: u16> Lock<T, RANK> {
    /// Waits for the lock and takes it.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T> {
        let held = order::enter(RANK, order::Kind::Spin);
        loop {
            if let Some(inner) = self.inner.try_lock() {
                return Guard { inner, _held: held };
            }
            relax();
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        let inner = self.inner.try_lock()?;
        Some(Guard { inner, _held: order::enter_try(RANK, order::Kind::Spin) })
    }

    /// Returns the value, which nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }
}

impl<T: core::fmt::Debug, const RANK: u16> core::fmt::Debug for Lock<T, RANK> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.inner.try_lock() {
            Some(value) => value.fmt(f),
            None => f.write_str("<locked>"),
        }
    }
}

/// A [`Lock`] that is held.
pub struct Guard<'a, T: ?Sized> {
    inner: spin::mutex::SpinMutexGuard<'a, T>,
    _held: order::Held,
}

impl<T: ?Sized> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
