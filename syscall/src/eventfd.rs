//! Counters that wake (`eventfd(2)`).

use alloc::sync::Arc;

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Dest, Readiness, Source, WaitQueue};

/// Largest value that the counter can hold.
const MAX: u64 = u64::MAX - 1;

/// What a read takes from the counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Take {
    /// All of it.
    All,
    /// One (`EFD_SEMAPHORE`).
    One,
}

/// An event counter.
pub struct EventFd {
    count: Lock<u64, { rank::OBJECT }>,
    take: Take,
    queue: Arc<WaitQueue>,
}

impl EventFd {
    /// Makes a counter.
    pub fn new(count: u32, take: Take) -> Self {
        Self { count: Lock::new(u64::from(count)), take, queue: WaitQueue::new() }
    }

    /// Returns the counter and how reads take from it, for `/proc/self/fdinfo`.
    pub fn state(&self) -> (u64, Take) {
        (*self.count.lock(), self.take)
    }

    /// Takes from the counter.
    ///
    /// # Errors
    /// `EINVAL` if the buffer is shorter than eight bytes, `EAGAIN` if the counter is zero, `EFAULT`.
    pub fn read(&self, to: &mut Dest<'_>) -> Result<usize> {
        if to.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let taken = {
            let mut count = self.count.lock();
            let taken = if self.take == Take::One { (*count).min(1) } else { *count };
            *count -= taken;
            taken
        };
        if taken == 0 {
            return Err(Errno::EAGAIN);
        }
        self.queue.wake(Readiness::WRITE);
        push_whole(to, &taken.to_ne_bytes())
    }

    /// Adds to the counter.
    ///
    /// # Errors
    /// `EINVAL` if there are fewer than eight bytes, or they are all ones; `EAGAIN` if the counter would overflow.
    pub fn write(&self, from: &mut Source<'_>) -> Result<usize> {
        if from.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        // The bytes are used up only by a write that succeeds: another try reads them again.
        let mut look = from.clone();
        let mut bytes = [0; size_of::<u64>()];
        pull_whole(&mut look, &mut bytes)?;
        let add = u64::from_ne_bytes(bytes);
        if add > MAX {
            return Err(Errno::EINVAL);
        }
        {
            let mut count = self.count.lock();
            *count = count.checked_add(add).filter(|&sum| sum <= MAX).ok_or(Errno::EAGAIN)?;
        }
        *from = look;
        self.queue.wake(Readiness::READ);
        Ok(bytes.len())
    }

    /// Adds one without waiting, as the kernel does when it reports something; the counter stops at its maximum.
    pub fn signal(&self) {
        {
            let mut count = self.count.lock();
            *count = count.saturating_add(1);
        }
        self.queue.wake(Readiness::READ);
    }

    /// Says what the counter is ready for.
    pub fn readiness(&self) -> Readiness {
        let count = *self.count.lock();
        let mut ready = Readiness::empty();
        if count > 0 {
            ready |= Readiness::READ;
        }
        if count < MAX {
            ready |= Readiness::WRITE;
        }
        if count == u64::MAX {
            ready |= Readiness::ERR;
        }
        ready
    }

    /// Returns who waits.
    pub const fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }
}

/// Puts a record that must not be cut.
///
/// # Errors
/// `EFAULT` where a part of it could not be stored.
pub fn push_whole(to: &mut Dest<'_>, bytes: &[u8]) -> Result<usize> {
    if to.push(bytes)? == bytes.len() { Ok(bytes.len()) } else { Err(Errno::EFAULT) }
}

/// Takes a record that must not be cut.
///
/// # Errors
/// `EFAULT` where a part of it could not be read.
pub fn pull_whole(from: &mut Source<'_>, bytes: &mut [u8]) -> Result<()> {
    if from.pull(bytes)? == bytes.len() { Ok(()) } else { Err(Errno::EFAULT) }
}
