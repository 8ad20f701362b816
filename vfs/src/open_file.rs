//! An open file of the tree: what a descriptor refers to.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use abi::fs::{
    O_ACCMODE, O_APPEND, O_DIRECT, O_DSYNC, O_NOATIME, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_SYNC, O_WRONLY,
};
use abi::inotify::{IN_ACCESS, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_MODIFY};
use abi::{Errno, Result};
use hal::sync::{SleepLock, rank};
use hal::{Dest, Source};

use crate::Place;
use crate::credentials::Caller;
use crate::lock::FileKey;
use crate::mount::MountOptions;
use crate::node::{AccessTime, Node, WriteAt};
use crate::types::{Allocate, DirSink, Durable, Kind, Seek};

/// Status flags that `fcntl(F_SETFL)` changes.
pub const STATUS_FLAGS: u32 = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC;
const O_ASYNC: u32 = 0o20000;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// An open file description whose object is in the tree of files. Access modes are checked here (`EBADF`).
///
/// The last reference closes the file, which may reach into file systems: do not drop it under a spin lock.
pub struct OpenFile {
    id: u64,
    place: Place,
    /// What is read and written, where that is not the place's own node.
    other: Option<Arc<dyn Node>>,
    flags: AtomicU32,
    offset: SleepLock<u64, { rank::OFFSET }>,
    /// Locks may have been taken through this description.
    locks: AtomicBool,
    writes: bool,
}

/// Where `lseek(2)` counts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whence {
    /// The start.
    Set,
    /// The present offset.
    Current,
    /// The end.
    End,
    /// The next data.
    Data,
    /// The next hole.
    Hole,
}

impl OpenFile {
    pub(crate) fn new(place: Place, other: Option<Arc<dyn Node>>, flags: u32) -> Arc<Self> {
        let writes = place.kind() == Kind::File && flags & O_ACCMODE != O_RDONLY;
        Self::make(place, other, flags, writes)
    }

    fn make(place: Place, other: Option<Arc<dyn Node>>, flags: u32, writes: bool) -> Arc<Self> {
        if writes {
            place.mount.tree.writers.fetch_add(1, Ordering::AcqRel);
        }
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            place,
            other,
            flags: AtomicU32::new(flags),
            offset: SleepLock::new(0),
            locks: AtomicBool::new(false),
            writes,
        })
    }

    /// Opens a place without access to its contents (`O_PATH`).
    pub fn path_only(place: Place, flags: u32) -> Arc<Self> {
        Self::make(place, None, flags | O_PATH, false)
    }

    /// Opens a node that has no path, such as a memory file; nothing is checked.
    ///
    /// # Errors
    /// `ETXTBSY`.
    pub fn unnamed(place: Place, flags: u32) -> Result<Arc<Self>> {
        if flags & O_ACCMODE != O_RDONLY && place.kind() == Kind::File {
            place.node().get_write_access()?;
        }
        Ok(Self::new(place, None, flags))
    }

    /// Returns a number that no other description has had.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Returns where it was opened.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Returns what is read and written.
    #[inline]
    pub fn node(&self) -> &Arc<dyn Node> {
        self.other.as_ref().unwrap_or_else(|| self.place.node())
    }

    /// Returns the file type.
    pub fn kind(&self) -> Kind {
        self.place.kind()
    }

    /// Returns the flags of `fcntl(F_GETFL)`, with the access mode.
    #[inline]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Sets the flags of `fcntl(F_SETFL)`; others stay.
    ///
    /// # Errors
    /// `EPERM` for `O_NOATIME` on a file of somebody else.
    pub fn set_flags(&self, flags: u32, who: &Caller<'_>) -> Result<()> {
        let new = flags & STATUS_FLAGS;
        let permissions = self.place.node().permissions();
        if new & O_NOATIME & !self.flags() != 0 && !who.credentials.owns(permissions) {
            return Err(Errno::EPERM);
        }
        // Nobody else changes flags in between that matter: the last writer wins, as on Linux.
        self.flags.store(self.flags() & !STATUS_FLAGS | new, Ordering::Relaxed);
        Ok(())
    }

    /// Says whether this is `O_PATH`.
    pub fn is_path(&self) -> bool {
        self.flags() & O_PATH != 0
    }

    /// Says whether it was opened for reading.
    #[inline]
    pub fn readable(&self) -> bool {
        let flags = self.flags();
        flags & O_PATH == 0 && matches!(flags & O_ACCMODE, O_RDONLY | O_RDWR)
    }

    /// Says whether it was opened for writing.
    #[inline]
    pub fn writable(&self) -> bool {
        let flags = self.flags();
        flags & O_PATH == 0 && matches!(flags & O_ACCMODE, O_WRONLY | O_RDWR)
    }

    #[inline]
    fn check(&self, allowed: bool) -> Result<()> {
        if allowed { Ok(()) } else { Err(Errno::EBADF) }
    }

    fn check_seekable(&self) -> Result<()> {
        if self.node().seekable() { Ok(()) } else { Err(Errno::ESPIPE) }
    }

    /// Tells those who watch.
    pub(crate) fn notify(&self, mask: u32) {
        self.place.notify(mask);
    }

    #[inline]
    fn touch(&self) {
        let mount = &self.place.mount;
        let options = mount.options();
        let skip = options.contains(MountOptions::NO_ATIME)
            || self.flags() & O_NOATIME != 0
            || mount.is_read_only()
            || options.contains(MountOptions::NO_DIR_ATIME) && self.place.is_dir();
        if !skip {
            let relative = options.contains(MountOptions::REL_ATIME);
            let policy = if relative { AccessTime::Relative } else { AccessTime::Strict };
            self.node().accessed(policy, &|| mount.shared.now());
        }
        if mount.shared.watched() {
            self.notify(IN_ACCESS);
        }
    }

    /// Reads at the offset and moves it (`read(2)`).
    ///
    /// # Errors
    /// `EBADF` if not open for reading, and those of [`Node::read_at`].
    pub fn read(&self, to: &mut Dest<'_>) -> Result<usize> {
        self.check(self.readable())?;
        let done = if self.node().seekable() {
            let mut offset = self.offset.lock();
            let done = self.node().read_at(*offset, to)?;
            *offset += done as u64;
            done
        } else {
            self.node().read_at(0, to)?
        };
        self.touch();
        Ok(done)
    }

    /// Reads at an offset (`pread(2)`).
    ///
    /// # Errors
    /// As for [`OpenFile::read`], and `ESPIPE`.
    pub fn read_at(&self, offset: u64, to: &mut Dest<'_>) -> Result<usize> {
        self.check(!self.is_path())?;
        self.check_seekable()?;
        self.check(self.readable())?;
        let done = self.node().read_at(offset, to)?;
        self.touch();
        Ok(done)
    }

    /// Writes at the offset and moves it, or at the end (`write(2)`).
    ///
    /// # Errors
    /// `EBADF` if not open for writing, `EFBIG` above the limit (`SIGXFSZ` is the caller's), and those of
    /// [`Node::write_at`].
    pub fn write(&self, from: &mut Source<'_>, who: &Caller<'_>) -> Result<usize> {
        self.check(self.writable())?;
        if !self.node().seekable() {
            return self.node().write_at(&mut WriteAt::offset(0), from);
        }
        let mut offset = self.offset.lock();
        let append = self.flags() & O_APPEND != 0;
        let mut how = WriteAt { offset: *offset, append, limit: who.size_limit };
        let done = self.write_how(&mut how, from, who)?;
        if done > 0 {
            *offset = how.offset + done as u64;
        }
        Ok(done)
    }

    /// Writes at an offset (`pwrite(2)`).
    ///
    /// # Errors
    /// As for [`OpenFile::write`], and `ESPIPE`.
    pub fn write_at(&self, offset: u64, from: &mut Source<'_>, who: &Caller<'_>) -> Result<usize> {
        self.check(!self.is_path())?;
        self.check_seekable()?;
        self.check(self.writable())?;
        // LINUX: with O_APPEND, pwrite appends whatever its offset says (pwrite(2), BUGS).
        let append = self.flags() & O_APPEND != 0;
        self.write_how(&mut WriteAt { offset, append, limit: who.size_limit }, from, who)
    }

    /// Writes as `how` says (`pwritev2(2)` with `RWF_APPEND` or `RWF_NOAPPEND`).
    ///
    /// # Errors
    /// As for [`OpenFile::write_at`].
    pub fn write_how(&self, how: &mut WriteAt, from: &mut Source<'_>, who: &Caller<'_>) -> Result<usize> {
        self.check(self.writable())?;
        if from.remaining() == 0 {
            return Ok(0);
        }
        self.place.strip_privileges(who.credentials)?;
        let done = self.node().write_at(how, from)?;
        if self.flags() & O_DSYNC != 0 {
            let all = self.flags() & O_SYNC == O_SYNC;
            self.node().sync(if all { Durable::All } else { Durable::Data })?;
        }
        if done > 0 && self.place.mount.shared.watched() {
            self.notify(IN_MODIFY);
        }
        Ok(done)
    }

    /// Moves the offset (`lseek(2)`).
    ///
    /// # Errors
    /// `ESPIPE`, `EINVAL` before the start, `EOVERFLOW`, `ENXIO` where there is no data or hole; `EBADF` for `O_PATH`.
    pub fn seek(&self, delta: i64, whence: Whence) -> Result<u64> {
        self.check(!self.is_path())?;
        self.check_seekable()?;
        let mut offset = self.offset.lock();
        if self.kind() == Kind::CharDevice {
            // LINUX: `/dev/null` and its like are always at their start.
            *offset = 0;
            return Ok(0);
        }
        let base = match whence {
            Whence::Set => 0,
            Whence::Current => *offset,
            Whence::End => {
                if self.kind() == Kind::Directory {
                    return Err(Errno::EINVAL);
                }
                self.node().size()
            }
            Whence::Data | Whence::Hole => {
                let what = if whence == Whence::Data { Seek::Data } else { Seek::Hole };
                let from = u64::try_from(delta).map_err(|_| Errno::ENXIO)?;
                *offset = self.node().seek(what, from)?;
                return Ok(*offset);
            }
        };
        let base = i64::try_from(base).map_err(|_| Errno::EOVERFLOW)?;
        let new = base.checked_add(delta).ok_or(Errno::EOVERFLOW)?;
        *offset = u64::try_from(new).map_err(|_| Errno::EINVAL)?;
        Ok(*offset)
    }

    /// Returns the offset.
    pub fn offset(&self) -> u64 {
        *self.offset.lock()
    }

    /// Sets the offset (`splice` and `sendfile` move it themselves).
    pub fn set_offset(&self, offset: u64) {
        *self.offset.lock() = offset;
    }

    /// Gives directory entries from the offset on to the sink, and moves the offset (`getdents64(2)`). The sink
    /// must not touch the application's memory: it gathers, and the caller copies out.
    ///
    /// # Errors
    /// `EBADF`, `ENOTDIR`, `ENOENT` if the directory was removed.
    pub fn read_dir(&self, sink: &mut DirSink<'_>) -> Result<()> {
        self.check(!self.is_path())?;
        if self.kind() != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let mut offset = self.offset.lock();
        let dentry = &self.place.dentry;
        let parent =
            dentry.parent().map_or_else(|| dentry.node().metadata().ino, |p| p.node().metadata().ino);
        let lock = dentry.lock();
        if dentry.is_removed() {
            return Err(Errno::ENOENT);
        }
        *offset = self.node().read_dir(*offset, parent, sink)?;
        drop(lock);
        self.touch();
        Ok(())
    }

    /// Sets the size (`ftruncate(2)`).
    ///
    /// # Errors
    /// `EINVAL` if not open for writing or no regular file, `EBADF` for `O_PATH`, and those of [`Node::truncate`].
    pub fn truncate(&self, size: u64, who: &Caller<'_>) -> Result<()> {
        self.check(!self.is_path())?;
        if !self.writable() || self.kind() != Kind::File {
            return Err(Errno::EINVAL);
        }
        self.place.resize(size, who)
    }

    /// Allocates, makes holes or moves contents (`fallocate(2)`).
    ///
    /// # Errors
    /// `EBADF`, `EINVAL`, `EOPNOTSUPP`, `ENODEV` if this is no regular file, `ESPIPE` for a fifo, `EFBIG`, `ENOSPC`.
    pub fn allocate(&self, what: Allocate, offset: i64, len: i64, who: &Caller<'_>) -> Result<()> {
        self.check(!self.is_path())?;
        let (Ok(offset), Ok(len @ 1..)) = (u64::try_from(offset), u64::try_from(len)) else {
            return Err(Errno::EINVAL);
        };
        check_allocate(what)?;
        self.check(self.writable())?;
        match self.kind() {
            Kind::File => {}
            Kind::Fifo => return Err(Errno::ESPIPE),
            Kind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::ENODEV),
        }
        let end = offset + len;
        if i64::try_from(end).is_err() {
            return Err(Errno::EFBIG);
        }
        let stays = what.intersects(Allocate::KEEP_SIZE | Allocate::PUNCH_HOLE | Allocate::COLLAPSE_RANGE);
        if !stays && end > who.size_limit {
            return Err(Errno::EFBIG);
        }
        self.node().allocate(what, offset, len)?;
        self.place.strip_privileges(who.credentials)?;
        if !(what - Allocate::KEEP_SIZE).is_empty() {
            let page = hal::PAGE_SIZE as u64;
            let moves = what.intersects(Allocate::COLLAPSE_RANGE | Allocate::INSERT_RANGE);
            let last = if moves { u64::MAX } else { end.div_ceil(page) };
            self.place.mount.shared.environment.events.unmap(self.node(), offset / page..last);
        }
        self.notify(IN_MODIFY);
        Ok(())
    }

    /// Makes what was written durable (`fsync(2)`, `fdatasync(2)`).
    ///
    /// # Errors
    /// `EBADF` for `O_PATH`, `EINVAL` for special files, `EIO`.
    pub fn sync(&self, what: Durable) -> Result<()> {
        self.check(!self.is_path())?;
        self.node().sync(what)
    }

    /// Returns the key of the file's locks, and remembers that closing this description may release some.
    pub fn lock_key(&self) -> FileKey {
        self.locks.store(true, Ordering::Release);
        FileKey::of(&**self.place.node())
    }
}

/// Checks which operations of `fallocate(2)` go together.
fn check_allocate(what: Allocate) -> Result<()> {
    if !Allocate::all().contains(what) {
        return Err(Errno::EOPNOTSUPP);
    }
    let single = what - Allocate::KEEP_SIZE;
    let fine = match single {
        s if s.is_empty() || s == Allocate::ZERO_RANGE || s == Allocate::UNSHARE_RANGE => true,
        Allocate::PUNCH_HOLE => what.contains(Allocate::KEEP_SIZE),
        Allocate::COLLAPSE_RANGE | Allocate::INSERT_RANGE => !what.contains(Allocate::KEEP_SIZE),
        _ => false,
    };
    if fine { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if self.locks.load(Ordering::Acquire) {
            let key = FileKey::of(&**self.place.node());
            self.place.mount.shared.locks.release_description(key, self.id);
        }
        if self.writes {
            self.place.node().put_write_access();
            self.place.mount.tree.writers.fetch_sub(1, Ordering::AcqRel);
        }
        if !self.is_path() && self.place.mount.shared.watched() {
            self.notify(if self.writable() { IN_CLOSE_WRITE } else { IN_CLOSE_NOWRITE });
        }
    }
}

impl core::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "OpenFile({}, {:?}, {:#o})", self.id, self.place, self.flags())
    }
}
