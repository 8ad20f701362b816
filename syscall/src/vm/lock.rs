//! `mlock(2)` and its relatives. Nothing is ever swapped out, so a lock brings pages in and counts them.

use abi::{Errno, Result};
use alloc::vec::Vec;
use hal::{PageRange, USER_END, UserAddr};

use super::{AreaFlags, Vm};

/// How memory is locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockMode {
    /// All pages come in now.
    Now,
    /// Pages come in when touched (`MLOCK_ONFAULT`).
    OnFault,
}

impl LockMode {
    const fn flags(self) -> AreaFlags {
        match self {
            Self::Now => AreaFlags::LOCKED,
            Self::OnFault => AreaFlags::LOCKED.union(AreaFlags::LOCK_ON_FAULT),
        }
    }
}

const BOTH: AreaFlags = AreaFlags::LOCKED.union(AreaFlags::LOCK_ON_FAULT);

impl Vm {
    /// Locks a range; `limit` is the most bytes that may be locked.
    ///
    /// # Errors
    /// `ENOMEM` beyond the limit, for a hole, or for no memory.
    pub fn lock(&self, range: PageRange, mode: LockMode, limit: u64) -> Result<()> {
        let mut state = self.state.lock();
        let already = state.areas.data_in(range, |a| a.flags.contains(AreaFlags::LOCKED));
        if state.areas.locked + range.len() - already > limit {
            return Err(Errno::ENOMEM);
        }
        let whole = state.areas.covers(range);
        state.areas.change(range, |area| area.flags = (area.flags - BOTH) | mode.flags())?;
        drop(state);
        if !whole {
            return Err(Errno::ENOMEM);
        }
        if mode == LockMode::Now {
            self.populate(range)?;
        }
        Ok(())
    }

    /// Unlocks a range.
    ///
    /// # Errors
    /// `ENOMEM` for a hole.
    pub fn unlock(&self, range: PageRange) -> Result<()> {
        let mut state = self.state.lock();
        let whole = state.areas.covers(range);
        state.areas.change(range, |area| area.flags -= BOTH)?;
        if whole { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Locks everything that is mapped (`MCL_CURRENT`), everything that will be (`MCL_FUTURE`), or both.
    ///
    /// # Errors
    /// `ENOMEM` beyond the limit.
    pub fn lock_all(&self, current: Option<LockMode>, future: Option<LockMode>, limit: u64) -> Result<()> {
        let everything = PageRange::try_new(UserAddr(0), UserAddr(USER_END)).ok_or(Errno::EINVAL)?;
        let mut state = self.state.lock();
        if current.is_some() && state.areas.total > limit {
            return Err(Errno::ENOMEM);
        }
        state.default_flags = future.map_or(AreaFlags::empty(), LockMode::flags);
        let Some(mode) = current else { return Ok(()) };
        state.areas.change(everything, |area| area.flags = (area.flags - BOTH) | mode.flags())?;
        let ranges: Vec<PageRange> =
            state.areas.iter().filter(|a| a.is_accessible()).map(super::Area::range).collect();
        drop(state);
        if mode == LockMode::Now {
            // LINUX: mlockall(2) succeeds although some pages cannot be had.
            for range in ranges {
                let _ = self.populate(range);
            }
        }
        Ok(())
    }

    /// Unlocks everything, now and in future.
    pub fn unlock_all(&self) {
        let Some(everything) = PageRange::try_new(UserAddr(0), UserAddr(USER_END)) else { return };
        let mut state = self.state.lock();
        state.default_flags = AreaFlags::empty();
        // The range ends with user space, so that nothing is cut.
        let _ = state.areas.change(everything, |area| area.flags -= BOTH);
    }
}
