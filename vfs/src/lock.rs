//! Advisory locks: POSIX record locks, open-file-description locks and `flock(2)`.
//!
//! [`LockTable`] holds all locks of a [`crate::Vfs`]. A request that conflicts is refused with the conflict; the caller
//! registers with [`LockTable::queue`], tries again, and parks. Owners that wait are noted for deadlock detection.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Readiness, WaitQueue};
use hashbrown::HashMap;

use crate::{Node, Vfs};

/// Which file is locked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileKey {
    dev: u64,
    ino: u64,
}

impl FileKey {
    /// Returns a node's key.
    pub fn of(node: &dyn Node) -> Self {
        let m = node.metadata();
        Self { dev: m.dev, ino: m.ino }
    }

    /// Returns the device and inode number.
    pub const fn parts(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }
}

/// Who holds a record lock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    /// A process, by number (`F_SETLK`).
    Process(u32),
    /// An open file description, by [`crate::OpenFile::id`] (`F_OFD_SETLK`).
    Description(u64),
}

/// How a file is locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockMode {
    /// Others may lock so, too (`F_RDLCK`, `LOCK_SH`).
    Shared,
    /// Nobody else may lock (`F_WRLCK`, `LOCK_EX`).
    Exclusive,
}

/// A lock on bytes `start..=last`; `u64::MAX >> 1` as `last` means to the end, however far that moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordLock {
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub last: u64,
    /// How.
    pub mode: LockMode,
    /// Who.
    pub owner: Owner,
    /// Process number that `F_GETLK` shows; -1 for a description.
    pub pid: i32,
}

/// Last byte of a lock that reaches to the end (`l_len` 0).
pub const TO_END: u64 = i64::MAX.unsigned_abs();

impl RecordLock {
    const fn overlaps(&self, start: u64, last: u64) -> bool {
        self.start <= last && start <= self.last
    }

    fn conflicts(&self, other: &Self) -> bool {
        self.owner != other.owner
            && self.overlaps(other.start, other.last)
            && (self.mode == LockMode::Exclusive || other.mode == LockMode::Exclusive)
    }
}

/// Locks on one file.
#[derive(Default)]
struct FileLocks {
    records: Vec<RecordLock>,
    /// `flock(2)` locks: description and mode.
    whole: Vec<(u64, LockMode)>,
    queue: Option<Arc<WaitQueue>>,
}

impl FileLocks {
    fn is_idle(&self) -> bool {
        let waited_for = self.queue.as_ref().is_some_and(|q| Arc::strong_count(q) > 1);
        self.records.is_empty() && self.whole.is_empty() && !waited_for
    }

    /// Takes `start..=last` out of an owner's locks.
    fn clear(&mut self, owner: Owner, start: u64, last: u64) {
        let mut kept = Vec::with_capacity(self.records.len() + 1);
        for lock in self.records.drain(..) {
            if lock.owner != owner || !lock.overlaps(start, last) {
                kept.push(lock);
                continue;
            }
            if lock.start < start {
                kept.push(RecordLock { last: start - 1, ..lock });
            }
            if lock.last > last {
                kept.push(RecordLock { start: last + 1, ..lock });
            }
        }
        self.records = kept;
    }

    /// Adds a lock, joining it with the owner's neighbours of the same mode.
    fn add(&mut self, mut new: RecordLock) {
        self.clear(new.owner, new.start, new.last);
        self.records.retain(|lock| {
            let joins = lock.owner == new.owner
                && lock.mode == new.mode
                && (lock.last.checked_add(1) == Some(new.start)
                    || new.last.checked_add(1) == Some(lock.start));
            if joins {
                new.start = new.start.min(lock.start);
                new.last = new.last.max(lock.last);
            }
            !joins
        });
        let at = self.records.partition_point(|lock| lock.start < new.start);
        self.records.insert(at, new);
    }
}

#[derive(Default)]
struct State {
    files: HashMap<FileKey, FileLocks>,
    /// Which owner each waiting process waits for.
    waiting: HashMap<Owner, Owner>,
}

/// All locks.
#[derive(Default)]
pub struct LockTable {
    state: Lock<State, { rank::OBJECT }>,
}

impl Vfs {
    /// Returns the table of file locks.
    pub fn locks(&self) -> &LockTable {
        &self.shared.locks
    }
}

impl LockTable {
    /// Changes the locks of a file and wakes those who wait if something was released.
    fn change<T>(&self, key: FileKey, f: impl FnOnce(&mut FileLocks) -> T) -> T {
        let mut state = self.state.lock();
        let file = state.files.entry(key).or_default();
        let result = f(file);
        let queue = file.queue.clone();
        if file.is_idle() && queue.is_none() {
            state.files.remove(&key);
        }
        drop(state);
        if let Some(queue) = queue {
            queue.wake(Readiness::all());
        }
        result
    }

    /// Returns the first lock that conflicts with a wish (`F_GETLK`).
    pub fn test(&self, key: FileKey, wish: &RecordLock) -> Option<RecordLock> {
        let state = self.state.lock();
        state.files.get(&key)?.records.iter().find(|lock| lock.conflicts(wish)).copied()
    }

    /// Sets a record lock, in place of what the owner had locked there.
    ///
    /// # Errors
    /// `EAGAIN` if it conflicts.
    pub fn set(&self, key: FileKey, lock: RecordLock) -> Result<()> {
        if self.test(key, &lock).is_some() {
            return Err(Errno::EAGAIN);
        }
        self.change(key, |file| {
            if file.records.iter().any(|other| other.conflicts(&lock)) {
                return Err(Errno::EAGAIN);
            }
            file.add(lock);
            Ok(())
        })
    }

    /// Releases an owner's locks on bytes `start..=last` (`F_UNLCK`).
    pub fn release(&self, key: FileKey, owner: Owner, start: u64, last: u64) {
        self.change_existing(key, |file| file.clear(owner, start, last));
    }

    /// Sets a lock on the whole file (`flock(2)`), in place of the description's lock before.
    ///
    /// # Errors
    /// `EAGAIN` (`EWOULDBLOCK`) if it conflicts. LINUX: a lock held before is lost then, for a conversion is not atomic.
    pub fn flock(&self, key: FileKey, description: u64, mode: LockMode) -> Result<()> {
        self.change(key, |file| {
            if file.whole.contains(&(description, mode)) {
                return Ok(());
            }
            file.whole.retain(|lock| lock.0 != description);
            if file.whole.iter().any(|lock| mode == LockMode::Exclusive || lock.1 == LockMode::Exclusive) {
                return Err(Errno::EAGAIN);
            }
            file.whole.push((description, mode));
            Ok(())
        })
    }

    /// Releases a description's lock on the whole file (`LOCK_UN`).
    pub fn funlock(&self, key: FileKey, description: u64) {
        self.change_existing(key, |file| file.whole.retain(|lock| lock.0 != description));
    }

    /// Releases what a process has locked in a file, because it closed a descriptor of it or ended.
    pub fn release_process(&self, key: FileKey, pid: u32) {
        self.change_existing(key, |file| file.clear(Owner::Process(pid), 0, u64::MAX));
    }

    /// Releases what a description has locked, because it was closed.
    pub fn release_description(&self, key: FileKey, description: u64) {
        self.change_existing(key, |file| {
            file.clear(Owner::Description(description), 0, u64::MAX);
            file.whole.retain(|lock| lock.0 != description);
        });
    }

    fn change_existing(&self, key: FileKey, f: impl FnOnce(&mut FileLocks)) {
        let there = self.state.lock().files.contains_key(&key);
        if there {
            self.change(key, f);
        }
    }

    /// Returns the queue that is woken when a lock on the file goes.
    pub fn queue(&self, key: FileKey) -> Arc<WaitQueue> {
        let mut state = self.state.lock();
        let idle: Vec<FileKey> = if state.files.len() > 64 {
            state.files.iter().filter(|f| f.1.is_idle()).map(|f| *f.0).collect()
        } else {
            Vec::new()
        };
        for other in idle {
            state.files.remove(&other);
        }
        Arc::clone(state.files.entry(key).or_default().queue.get_or_insert_with(WaitQueue::new))
    }

    /// Notes that an owner is about to wait for the holder of a conflicting lock.
    ///
    /// # Errors
    /// `EDEADLK` if that would close a circle of processes that wait for each other.
    pub fn wait(&self, key: FileKey, wish: &RecordLock) -> Result<()> {
        let mut state = self.state.lock();
        let holder = state
            .files
            .get(&key)
            .and_then(|file| file.records.iter().find(|lock| lock.conflicts(wish)))
            .map(|lock| lock.owner);
        let Some(holder) = holder else { return Ok(()) };
        let mut next = Some(holder);
        let mut steps = 0;
        // LINUX: only locks of processes are looked at, and a chain of more than ten is not followed.
        while let Some(owner @ Owner::Process(_)) = next
            && steps <= 10
        {
            if owner == wish.owner {
                return Err(Errno::EDEADLK);
            }
            next = state.waiting.get(&owner).copied();
            steps += 1;
        }
        state.waiting.insert(wish.owner, holder);
        Ok(())
    }

    /// Notes that an owner waits no more.
    pub fn stop_waiting(&self, owner: Owner) {
        self.state.lock().waiting.remove(&owner);
    }

    /// Calls back with every record lock and whole-file lock (`/proc/locks`).
    pub fn for_each(&self, mut each: impl FnMut(FileKey, Option<&RecordLock>, Option<(u64, LockMode)>)) {
        let state = self.state.lock();
        for (key, file) in &state.files {
            file.records.iter().for_each(|lock| each(*key, Some(lock), None));
            file.whole.iter().for_each(|lock| each(*key, None, Some(*lock)));
        }
    }
}

#[cfg(test)]
mod tests;
