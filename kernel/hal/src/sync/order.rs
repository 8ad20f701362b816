//! The check that locks are taken in order, in host tests: each thread keeps the ranks that it holds.
//!
//! In the kernel's own build the functions are empty; the types have no size.

/// What kind of lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A [`super::Lock`].
    Spin,
    /// A [`super::SleepLock`].
    Sleep,
}

#[cfg(feature = "fake")]
mod check {
    use std::cell::RefCell;

    use super::Kind;

    std::thread_local! {
        static HELD: RefCell<Vec<(u16, Kind)>> = const { RefCell::new(Vec::new()) };
    }

    /// A rank that is held until this is dropped.
    #[derive(Debug)]
    pub struct Held(u16, Kind);

    fn name(rank: u16) -> &'static str {
        super::super::rank::ALL.iter().find(|r| r.0 == rank).map_or("?", |r| r.1)
    }

    /// Notes that a lock is about to be taken.
    pub fn enter(rank: u16, kind: Kind) -> Held {
        HELD.with_borrow(|held| {
            if let Some(&(top, _)) = held.iter().max_by_key(|h| h.0)
                && !std::thread::panicking()
            {
                assert!(top < rank, "lock {} taken while {} is held", name(rank), name(top));
                assert!(
                    kind == Kind::Spin || held.iter().all(|h| h.1 == Kind::Sleep),
                    "sleeping lock {} taken while a spin lock is held",
                    name(rank)
                );
            }
        });
        enter_try(rank, kind)
    }

    /// Notes a lock that was taken without waiting, or whose order the caller vouches for.
    pub fn enter_try(rank: u16, kind: Kind) -> Held {
        HELD.with_borrow_mut(|held| held.push((rank, kind)));
        Held(rank, kind)
    }

    impl Drop for Held {
        fn drop(&mut self) {
            HELD.with_borrow_mut(|held| {
                if let Some(at) = held.iter().rposition(|h| *h == (self.0, self.1)) {
                    held.remove(at);
                }
            });
        }
    }

    /// Checks that the thread may park or copy from and to the application: it holds no spin lock, and no rank
    /// from `below` up.
    pub fn assert_may_wait(what: &str, below: u16) {
        HELD.with_borrow(|held| {
            for &(rank, kind) in held {
                if !std::thread::panicking() {
                    assert!(kind == Kind::Sleep && rank < below, "{what} while {} is held", name(rank));
                }
            }
        });
    }
}

#[cfg(not(feature = "fake"))]
mod check {
    use super::Kind;

    /// A rank that is held until this is dropped.
    #[derive(Debug)]
    pub struct Held;

    /// Notes that a lock is about to be taken.
    #[inline(always)]
    pub fn enter(_: u16, _: Kind) -> Held {
        Held
    }

    /// Notes a lock that was taken without waiting, or whose order the caller vouches for.
    #[inline(always)]
    pub fn enter_try(_: u16, _: Kind) -> Held {
        Held
    }

    /// Checks that the thread may wait.
    #[inline(always)]
    pub fn assert_may_wait(_: &str, _: u16) {}
}

pub use check::{Held, assert_may_wait, enter, enter_try};
