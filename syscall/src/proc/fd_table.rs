//! A process's descriptors.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::{Errno, Result};
use hal::sync::{Lock, rank};

use super::Description;
use crate::decode::Fd;

/// Whether `execve` closes a descriptor (`FD_CLOEXEC`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseOnExec {
    /// It does.
    Yes,
    /// It stays open.
    No,
}

impl CloseOnExec {
    /// Reads the flag that most calls spell as `O_CLOEXEC`.
    pub const fn from_bit(set: bool) -> Self {
        if set { Self::Yes } else { Self::No }
    }
}

#[derive(Clone)]
struct Slot {
    description: Arc<Description>,
    close_on_exec: CloseOnExec,
}

/// Descriptors by number; the lowest free one is given out, as POSIX wants it.
#[derive(Default)]
pub struct FdTable {
    slots: Lock<Slots, { rank::FD_TABLE }>,
}

#[derive(Default, Clone)]
struct Slots {
    list: Vec<Option<Slot>>,
    /// No slot below this one is free.
    free_from: usize,
}

impl Slots {
    fn lowest_free(&mut self, from: usize, limit: usize) -> Result<usize> {
        let start = from.max(self.free_from);
        let found = (start..self.list.len()).find(|&i| self.list[i].is_none());
        let index = found.unwrap_or(self.list.len().max(start));
        if index >= limit {
            return Err(Errno::EMFILE);
        }
        if from <= self.free_from {
            self.free_from = index;
        }
        Ok(index)
    }

    fn put(&mut self, index: usize, slot: Slot) -> Result<Option<Slot>> {
        if index >= self.list.len() {
            let more = index + 1 - self.list.len();
            self.list.try_reserve(more).map_err(|_| Errno::ENOMEM)?;
            self.list.resize_with(index + 1, || None);
        }
        Ok(self.list[index].replace(slot))
    }

    fn take(&mut self, index: usize) -> Option<Slot> {
        let slot = self.list.get_mut(index)?.take();
        self.free_from = self.free_from.min(index);
        slot
    }
}

fn index(fd: Fd) -> Result<usize> {
    usize::try_from(fd.0).map_err(|_| Errno::EBADF)
}

fn fd(index: usize) -> Fd {
    Fd(i32::try_from(index).expect("RLIMIT_NOFILE is far below 2^31"))
}

impl FdTable {
    /// Returns the open file description behind a descriptor.
    ///
    /// # Errors
    /// `EBADF`
    #[inline]
    pub fn get(&self, fd: Fd) -> Result<Arc<Description>> {
        let slots = self.slots.lock();
        let slot = usize::try_from(fd.0).ok().and_then(|i| slots.list.get(i)).and_then(Option::as_ref);
        slot.map(|s| Arc::clone(&s.description)).ok_or(Errno::EBADF)
    }

    /// Gives out the lowest free descriptor that is at least `from` and below `limit` (`RLIMIT_NOFILE`).
    ///
    /// # Errors
    /// `EMFILE`, `ENOMEM`
    pub fn add(
        &self,
        description: Arc<Description>,
        close: CloseOnExec,
        from: usize,
        limit: u64,
    ) -> Result<Fd> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut slots = self.slots.lock();
        let index = slots.lowest_free(from, limit)?;
        slots.put(index, Slot { description, close_on_exec: close })?;
        Ok(fd(index))
    }

    /// Says whether `count` descriptors below `limit` are free. Another thread may take them before the caller does.
    pub fn has_room(&self, count: usize, limit: u64) -> bool {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let slots = self.slots.lock();
        let end = slots.list.len().min(limit);
        let behind = limit - end;
        let free = (slots.free_from..end).filter(|&i| slots.list[i].is_none()).take(count).count();
        behind >= count || free + behind >= count
    }

    /// Puts a description at a descriptor, and returns the one that was there, to be closed by the caller without the
    /// table's lock (`dup2(2)`).
    ///
    /// # Errors
    /// `EBADF` for a number out of range, `ENOMEM`
    pub fn replace(
        &self,
        at: Fd,
        description: Arc<Description>,
        close: CloseOnExec,
        limit: u64,
    ) -> Result<Option<Arc<Description>>> {
        let index = index(at)?;
        if index as u64 >= limit {
            return Err(Errno::EBADF);
        }
        let old = self.slots.lock().put(index, Slot { description, close_on_exec: close })?;
        Ok(old.map(|s| s.description))
    }

    /// Takes a descriptor out; the caller closes the description without the table's lock.
    ///
    /// # Errors
    /// `EBADF`
    pub fn remove(&self, fd: Fd) -> Result<Arc<Description>> {
        let index = index(fd)?;
        self.slots.lock().take(index).map(|s| s.description).ok_or(Errno::EBADF)
    }

    /// Takes a range of descriptors out (`close_range(2)`).
    pub fn remove_range(&self, first: u32, last: u32) -> Vec<Arc<Description>> {
        let mut slots = self.slots.lock();
        let end = slots.list.len().min(last as usize + 1);
        (first as usize..end).filter_map(|i| slots.take(i)).map(|s| s.description).collect()
    }

    /// Sets close-on-exec for a range of descriptors (`CLOSE_RANGE_CLOEXEC`).
    pub fn close_range_on_exec(&self, first: u32, last: u32) {
        let mut slots = self.slots.lock();
        let end = slots.list.len().min(last as usize + 1);
        for slot in slots.list.get_mut(first as usize..end).into_iter().flatten().flatten() {
            slot.close_on_exec = CloseOnExec::Yes;
        }
    }

    /// Takes out what `execve` closes.
    pub fn remove_close_on_exec(&self) -> Vec<Arc<Description>> {
        let mut slots = self.slots.lock();
        let closing: Vec<usize> = (0..slots.list.len())
            .filter(|&i| slots.list[i].as_ref().is_some_and(|s| s.close_on_exec == CloseOnExec::Yes))
            .collect();
        closing.into_iter().filter_map(|i| slots.take(i)).map(|s| s.description).collect()
    }

    /// Returns the close-on-exec flag.
    ///
    /// # Errors
    /// `EBADF`
    pub fn close_on_exec(&self, fd: Fd) -> Result<CloseOnExec> {
        let index = index(fd)?;
        let slots = self.slots.lock();
        slots.list.get(index).and_then(Option::as_ref).map(|s| s.close_on_exec).ok_or(Errno::EBADF)
    }

    /// Sets the close-on-exec flag.
    ///
    /// # Errors
    /// `EBADF`
    pub fn set_close_on_exec(&self, fd: Fd, close: CloseOnExec) -> Result<()> {
        let index = index(fd)?;
        let mut slots = self.slots.lock();
        let slot = slots.list.get_mut(index).and_then(Option::as_mut).ok_or(Errno::EBADF)?;
        slot.close_on_exec = close;
        Ok(())
    }

    /// Returns the open descriptors in ascending order.
    pub fn list(&self) -> Vec<Fd> {
        let slots = self.slots.lock();
        (0..slots.list.len()).filter(|&i| slots.list[i].is_some()).map(fd).collect()
    }

    /// Returns how many descriptors Linux's table would have room for; `select(2)` does not look at numbers above.
    ///
    /// LINUX: a table begins with 64 places, and is then replaced by one of 128 or another power of two. It never
    /// shrinks; but a child's begins anew, with as many places as its open descriptors need.
    pub fn capacity(&self) -> usize {
        match self.slots.lock().list.len() {
            0..=64 => 64,
            len => len.next_power_of_two(),
        }
    }

    /// Makes a table with the same descriptors (`fork(2)`).
    pub fn copy(&self) -> Self {
        let mut slots = self.slots.lock().clone();
        let used = slots.list.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        slots.list.truncate(used);
        Self { slots: Lock::new(slots) }
    }
}
