//! Shared memory: segments, and who has them attached (`shmget(2)`, `shmop(2)`, `shmctl(2)`).
//!
//! A segment's pages are a [`SharedObject`]. Each mapping of it carries an [`Attachment`], which counts itself: a
//! mapping that is copied by `fork` or cut in two counts twice, as on Linux, and the segment that was removed goes with
//! the last one.

use alloc::format;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, Ordering};

use abi::ipc::{IpcPerm, SHM_DEST, SHM_LOCKED, SHM_NORESERVE, SHMALL, SHMMAX, SHMMNI, ShmidDs};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Clock, PAGE_SIZE};

use super::seconds;
use super::table::{Keyed, Permissions, Table};
use crate::proc::Credentials;
use crate::vm::{SharedObject, SourceName};

const PAGE: u64 = PAGE_SIZE as u64;
/// Device number of the file system in which Linux keeps segments.
const DEVICE: u64 = 1;

/// All segments.
pub struct Segments {
    /// By key and identifier.
    pub table: Table<Segment>,
    /// Largest segment in bytes (`shmmax`).
    pub max: AtomicU64,
    /// Most pages of all segments together (`shmall`).
    pub all: AtomicU64,
    /// Pages of all segments.
    total: Lock<u64, { rank::LEAF }>,
    next_attachment: AtomicU64,
    clock: &'static dyn Clock,
}

/// A segment.
pub struct Segment {
    all: Weak<Segments>,
    clock: &'static dyn Clock,
    object: Arc<SharedObject>,
    size: u64,
    state: Lock<State, { rank::OBJECT }>,
}

struct State {
    permissions: Permissions,
    atime: i64,
    dtime: i64,
    ctime: i64,
    cpid: u32,
    lpid: u32,
    attached: u64,
    /// It has left the table.
    gone: bool,
}

/// What `/proc/sysvipc/shm` and `SHM_INFO` tell of a segment.
pub struct Report {
    /// What `IPC_STAT` tells.
    pub status: ShmidDs,
    /// The identifier.
    pub id: i32,
    /// Pages that hold memory.
    pub resident: u64,
}

impl Segments {
    /// Makes the state without segments.
    pub fn new(clock: &'static dyn Clock) -> Arc<Self> {
        Arc::new(Self {
            table: Table::new(u32::try_from(SHMMNI).unwrap_or(4096)),
            max: AtomicU64::new(SHMMAX),
            all: AtomicU64::new(SHMALL),
            total: Lock::default(),
            next_attachment: AtomicU64::new(1),
            clock,
        })
    }

    /// Checks the size of a new segment.
    ///
    /// # Errors
    /// `EINVAL` for a size that is not permitted, `ENOSPC` if all segments would have too many pages, `ENOMEM` for more
    /// than the machine has.
    pub fn check_size(&self, size: u64, flags: u32) -> Result<()> {
        if size < 1 || size > self.max.load(Ordering::Relaxed) {
            return Err(Errno::EINVAL);
        }
        let pages = size.checked_next_multiple_of(PAGE).ok_or(Errno::ENOSPC)? / PAGE;
        let total = self.total.lock().checked_add(pages).ok_or(Errno::ENOSPC)?;
        if total > self.all.load(Ordering::Relaxed) {
            return Err(Errno::ENOSPC);
        }
        // What could never be there is refused at once (`vm.overcommit_memory` 0).
        let promised = flags & SHM_NORESERVE == 0;
        if promised && pages > hal::Frame::usage().total { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// Makes a segment; `None` if another was faster with the key.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many.
    pub fn add(
        self: &Arc<Self>,
        key: i32,
        size: u64,
        flags: u32,
        who: &Credentials,
        pid: u32,
    ) -> Result<Option<i32>> {
        let pages = size.div_ceil(PAGE);
        let ctime = seconds(self.clock);
        let id = self.table.add(key, |id| {
            let name = SourceName {
                path: format!("/SYSV{key:08x} (deleted)").into_bytes(),
                device: DEVICE,
                inode: u64::from(id.cast_unsigned()),
            };
            Arc::new(Segment {
                all: Arc::downgrade(self),
                clock: self.clock,
                object: SharedObject::new(pages, name),
                size,
                state: Lock::new(State {
                    permissions: Permissions::new(id, key, flags, who),
                    atime: 0,
                    dtime: 0,
                    ctime,
                    cpid: pid,
                    lpid: 0,
                    attached: 0,
                    gone: false,
                }),
            })
        })?;
        if id.is_some() {
            *self.total.lock() += pages;
        }
        Ok(id)
    }

    /// Returns the pages of all segments.
    pub fn total_pages(&self) -> u64 {
        *self.total.lock()
    }
}

impl Segment {
    /// Returns the size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the pages.
    pub const fn object(&self) -> &Arc<SharedObject> {
        &self.object
    }

    /// Attaches the segment for a process: the mapping is to carry what is returned.
    ///
    /// # Errors
    /// `EACCES` without permission for `wanted`, `EIDRM` if the segment has gone meanwhile.
    pub fn attach(self: &Arc<Self>, who: &Credentials, wanted: u32, pid: u32) -> Result<Attachment> {
        let mut state = self.state.lock();
        state.permissions.allow(who, wanted)?;
        if state.gone {
            return Err(Errno::EIDRM);
        }
        state.attached += 1;
        state.note_attached(pid, self.clock);
        drop(state);
        let number = self.all.upgrade().map_or(0, |all| all.next_attachment.fetch_add(1, Ordering::Relaxed));
        Ok(Attachment { segment: Arc::clone(self), number, pid })
    }

    /// Tells about the segment.
    pub fn report(&self) -> Report {
        let state = self.state.lock();
        let status = ShmidDs {
            shm_perm: state.permissions.to_abi(),
            shm_segsz: self.size,
            shm_atime: state.atime,
            shm_dtime: state.dtime,
            shm_ctime: state.ctime,
            shm_cpid: state.cpid.cast_signed(),
            shm_lpid: state.lpid.cast_signed(),
            shm_nattch: state.attached,
            _unused: [0; 2],
        };
        let id = state.permissions.id;
        drop(state);
        Report { status, id, resident: self.object.resident_pages() }
    }

    /// `IPC_SET`
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`
    pub fn set(&self, who: &Credentials, new: &IpcPerm) -> Result<()> {
        let mut state = self.state.lock();
        state.permissions.control(who)?;
        state.permissions.update(new)?;
        state.ctime = seconds(self.clock);
        Ok(())
    }

    /// `IPC_RMID`: the segment goes when nobody has it attached.
    ///
    /// # Errors
    /// `EPERM`
    pub fn remove(&self, who: &Credentials) -> Result<()> {
        let mut state = self.state.lock();
        state.permissions.control(who)?;
        if state.attached == 0 {
            self.destroy(&mut state);
            return Ok(());
        }
        let key = core::mem::take(&mut state.permissions.key);
        state.permissions.mode |= SHM_DEST;
        drop(state);
        if key != 0
            && let Some(all) = self.all.upgrade()
        {
            all.table.forget_key(key);
        }
        Ok(())
    }

    /// `SHM_LOCK` and `SHM_UNLOCK`. Nothing is ever written out, so that only the mark tells the two apart.
    ///
    /// # Errors
    /// `EPERM`; `ENOMEM` where the segment is larger than what may be locked.
    pub fn lock(&self, who: &Credentials, lock: bool, limit: u64) -> Result<()> {
        let mut state = self.state.lock();
        if !who.can(crate::proc::Capability::IpcLock) {
            if !state.permissions.owned_by(who) || lock && limit == 0 {
                return Err(Errno::EPERM);
            }
            if lock && self.size.div_ceil(PAGE) * PAGE > limit {
                return Err(Errno::ENOMEM);
            }
        }
        state.permissions.mode &= !SHM_LOCKED;
        if lock {
            state.permissions.mode |= SHM_LOCKED;
        }
        Ok(())
    }

    /// Takes the segment out of the table; its pages go with the last mapping.
    fn destroy(&self, state: &mut State) {
        if core::mem::replace(&mut state.gone, true) {
            return;
        }
        if let Some(all) = self.all.upgrade() {
            *all.total.lock() -= self.object.pages();
            // Not the last reference: the caller has one.
            drop(all.table.remove(&state.permissions));
        }
    }

    /// Another mapping of it came up.
    fn opened(&self, pid: u32) {
        let mut state = self.state.lock();
        state.attached += 1;
        state.note_attached(pid, self.clock);
    }

    /// A mapping of it went.
    fn closed(&self, pid: u32) {
        let mut state = self.state.lock();
        state.attached = state.attached.saturating_sub(1);
        state.lpid = pid;
        state.dtime = seconds(self.clock);
        if state.attached == 0 && state.permissions.mode & SHM_DEST != 0 {
            self.destroy(&mut state);
        }
    }
}

impl State {
    fn note_attached(&mut self, pid: u32, clock: &dyn Clock) {
        self.atime = seconds(clock);
        self.lpid = pid;
    }
}

impl Keyed for Segment {
    fn permissions(&self) -> Permissions {
        self.state.lock().permissions
    }
}

/// What makes a mapping one of a segment: as many as there are, so often is the segment attached (`shm_nattch`).
pub struct Attachment {
    segment: Arc<Segment>,
    /// Which `shmat` call made it: `shmdt` takes all that is left of one.
    number: u64,
    /// The process.
    pid: u32,
}

impl Attachment {
    /// Returns the segment.
    pub const fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Returns the number of the `shmat` call.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Says that a child of the process has this one.
    pub const fn give_to(&mut self, child: u32) {
        self.pid = child;
    }
}

impl Clone for Attachment {
    fn clone(&self) -> Self {
        self.segment.opened(self.pid);
        Self { segment: Arc::clone(&self.segment), number: self.number, pid: self.pid }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.segment.closed(self.pid);
    }
}

impl core::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Attachment({})", self.number)
    }
}
