//! The traits that a file system implements: [`Node`] is an inode, [`FileSystem`] what it belongs to.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use abi::{Errno, Result};
use hal::{Dest, Frame, Readiness, Source, WaitQueue};

use crate::pipe::Pipe;
use crate::types::{
    Allocate, DirSink, Durable, FileSystemStatus, Kind, Metadata, NewNode, Permissions, RenameMode, Seek,
    SetAttributes, Time, XattrMode,
};
use crate::{Caller, Place};

/// Where a symbolic link leads.
pub enum LinkTarget {
    /// To a path, as written in the link.
    Path(Vec<u8>),
    /// Directly to a place: a magic link such as `/proc/self/fd/3`.
    Place(Place),
}

/// How entries below a directory may be remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remember {
    /// Entries change only through this system's own operations: present and absent names are remembered.
    All,
    /// Entries come and go by themselves (`/proc/PID`): every walk asks the node.
    Nothing,
}

/// When an access time changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessTime {
    /// Always (`strictatime`).
    Strict,
    /// `relatime`.
    Relative,
}

/// What a page is wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageUse {
    /// It is only read: by a private mapping, or a shared one until its first write.
    Read,
    /// It is written through a shared mapping.
    Write,
}

/// A file of any kind. `Arc<dyn Node>` is what everything else holds.
///
/// Nodes check no permissions and wait for no events: [`crate::Walk`] and [`crate::Place`] do the former, the one
/// function of `syscall` that blocks the latter (an operation answers `EAGAIN`, see [`Node::readiness`]). Waiting for a
/// disk is allowed, so no spin lock may be held by the caller. Methods that move bytes from or to the application
/// hold no lock from rank `VM` up while they do, for a page fault may follow.
///
/// Every method that a kind of file lacks answers with Linux's error for it; that is what the default bodies do.
#[expect(unused_variables, reason = "default bodies refuse whatever they are asked")]
pub trait Node: Any + Send + Sync {
    /// Returns the file type; never changes.
    fn kind(&self) -> Kind;

    /// Returns what `stat(2)` tells.
    fn metadata(&self) -> Metadata;

    /// Returns what access checks need; quicker than [`Node::metadata`] where it matters.
    fn permissions(&self) -> Permissions {
        let m = self.metadata();
        Permissions { mode: m.mode, uid: m.uid, gid: m.gid }
    }

    /// Returns the size in bytes; quicker than [`Node::metadata`] where it matters.
    fn size(&self) -> u64 {
        self.metadata().size
    }

    /// Returns the file system.
    fn file_system(&self) -> Arc<dyn FileSystem>;

    /// Sets attributes.
    ///
    /// # Errors
    /// `EPERM` where attributes are fixed, `EROFS`.
    fn set_attributes(&self, changes: &SetAttributes) -> Result<()> {
        Err(Errno::EPERM)
    }

    // --- Directories. The caller holds the directory's lock (that of its dentry). ---

    /// Finds an entry. Not called with `.` or `..`.
    ///
    /// # Errors
    /// `ENOENT` if there is none, `ENOTDIR` if this is no directory.
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Node>> {
        Err(Errno::ENOTDIR)
    }

    /// Says how entries may be remembered.
    fn remember(&self) -> Remember {
        Remember::All
    }

    /// Makes an entry and its node; the caller has made sure that the name is free. For a link, `target` is its text.
    ///
    /// # Errors
    /// `EPERM`, `EROFS`, `ENOSPC`.
    fn create(&self, name: &[u8], new: &NewNode, target: &[u8]) -> Result<Arc<dyn Node>> {
        Err(Errno::EPERM)
    }

    /// Makes a node without a name (`O_TMPFILE`); [`Node::link`] may give it one.
    ///
    /// # Errors
    /// `EOPNOTSUPP`.
    fn create_unnamed(&self, new: &NewNode) -> Result<Arc<dyn Node>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes another entry for a node of the same file system; the caller has made sure that the name is free.
    ///
    /// # Errors
    /// `EPERM`, `EMLINK`, `ENOSPC`.
    fn link(&self, name: &[u8], node: &Arc<dyn Node>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Removes an entry that is no directory.
    ///
    /// # Errors
    /// `EPERM`, `EROFS`.
    fn unlink(&self, name: &[u8], node: &Arc<dyn Node>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `ENOTEMPTY`, `EPERM`, `EROFS`.
    fn rmdir(&self, name: &[u8], node: &Arc<dyn Node>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Moves an entry of this directory to one (maybe the same) of the same file system. `old` is what is moved and
    /// `new` what the new name names now; the caller has checked that their kinds agree.
    ///
    /// # Errors
    /// `ENOTEMPTY` if `new` is a directory with entries, `EPERM`, `EROFS`.
    fn rename(
        &self,
        name: &[u8],
        old: &Arc<dyn Node>,
        to: &Arc<dyn Node>,
        to_name: &[u8],
        new: Option<&Arc<dyn Node>>,
        rename: &Rename,
    ) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Gives entries to the sink, from a cursor on: 0 is the start, and [`crate::DirEntry::next`] of an entry goes on
    /// behind it, whatever was removed or added since. Gives `.` and `..`, too (`parent_ino` is the latter's number). The
    /// sink must not touch the application's memory. Returns the cursor behind the last entry that was taken.
    ///
    /// # Errors
    /// `ENOTDIR` if this is no directory, `EIO`.
    fn read_dir(&self, cursor: u64, parent_ino: u64, sink: &mut DirSink<'_>) -> Result<u64> {
        Err(Errno::ENOTDIR)
    }

    // --- Symbolic links. ---

    /// Returns the text of a link, as `readlink(2)` shows it.
    ///
    /// # Errors
    /// `EINVAL` if this is no link.
    fn read_link(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        Err(Errno::EINVAL)
    }

    /// Returns where a link leads; differs from [`Node::read_link`] only for magic links.
    ///
    /// # Errors
    /// As for [`Node::read_link`].
    fn follow(&self, caller: &Caller<'_>) -> Result<LinkTarget> {
        self.read_link(caller).map(LinkTarget::Path)
    }

    // --- Contents. ---

    /// Prepares for being opened. `Some` is the node that the open file reads and writes in place of this one, for
    /// files whose contents belong to one opening (proc) and for devices that live here.
    ///
    /// # Errors
    /// Whatever keeps the file from being opened.
    fn open(&self, flags: u32, caller: &Caller<'_>) -> Result<Option<Arc<dyn Node>>> {
        Ok(None)
    }

    /// Reads from an offset until the buffer is full or the file ends.
    ///
    /// # Errors
    /// `EISDIR`, `EINVAL` where reading makes no sense, `EAGAIN` if nothing is there yet, `EIO`, `EFAULT`.
    fn read_at(&self, offset: u64, to: &mut Dest<'_>) -> Result<usize> {
        Err(if self.kind() == Kind::Directory { Errno::EISDIR } else { Errno::EINVAL })
    }

    /// Writes at an offset, or at the end; `how.offset` is where it began.
    ///
    /// # Errors
    /// `EINVAL` where writing makes no sense, `EAGAIN`, `EFBIG`, `ENOSPC`, `EIO`, `EFAULT`.
    fn write_at(&self, how: &mut WriteAt, from: &mut Source<'_>) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    /// Says whether reads and writes take place at offsets: `false` is a stream (`ESPIPE` for seek and pread).
    fn seekable(&self) -> bool {
        matches!(self.kind(), Kind::File | Kind::Directory | Kind::BlockDevice)
    }

    /// Sets the size; a part that appears reads as zeros.
    ///
    /// # Errors
    /// `EINVAL` if this is no regular file, `EFBIG`, `EPERM` if sealed, `EIO`.
    fn truncate(&self, size: u64) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// Allocates, makes holes, or moves contents; see [`Allocate`].
    ///
    /// # Errors
    /// `EOPNOTSUPP`, `ENOSPC`, `EFBIG`, `EPERM` if sealed.
    fn allocate(&self, what: Allocate, offset: u64, len: u64) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Finds data or a hole at or behind an offset that lies within the file.
    ///
    /// # Errors
    /// `ENXIO` if there is none.
    fn seek(&self, what: Seek, offset: u64) -> Result<u64> {
        let size = self.size();
        match what {
            _ if offset >= size => Err(Errno::ENXIO),
            Seek::Data => Ok(offset),
            Seek::Hole => Ok(size),
        }
    }

    /// Returns page number `index` of the contents: the very frame that reads and writes use. A frame got for
    /// [`PageUse::Read`] may be replaced when somebody writes ([`crate::Events::unmap`] tells).
    ///
    /// # Errors
    /// `EINVAL` behind the end (`SIGBUS`), `ENODEV` if the file cannot be mapped, `ENOMEM`, `ENOSPC`, `EIO`.
    fn page(&self, index: u64, usage: PageUse) -> Result<Frame> {
        Err(Errno::ENODEV)
    }

    /// Says whether [`Node::page`] can work.
    fn mappable(&self) -> bool {
        self.kind() == Kind::File
    }

    /// Notes that pages were written through a shared mapping: times, and writing back where there is a disk.
    fn pages_written(&self, first: u64, count: u64) {}

    /// Notes that contents were read: sets the access time to `now()`, or with [`AccessTime::Relative`] only if it is not
    /// younger than the other times, or a day old. File systems without access times do nothing.
    fn accessed(&self, policy: AccessTime, now: &dyn Fn() -> Time) {}

    /// Counts one more opening for writing.
    ///
    /// # Errors
    /// `ETXTBSY` while the file is being executed.
    fn get_write_access(&self) -> Result<()> {
        Ok(())
    }

    /// Takes back one [`Node::get_write_access`].
    fn put_write_access(&self) {}

    /// Forbids opening for writing, while a program runs from the file.
    ///
    /// # Errors
    /// `ETXTBSY` while it is open for writing.
    fn deny_write_access(&self) -> Result<()> {
        Ok(())
    }

    /// Takes back one [`Node::deny_write_access`].
    fn allow_write_access(&self) {}

    /// Makes what was written durable.
    ///
    /// # Errors
    /// `EIO`, `EINVAL` where there is nothing to make durable.
    fn sync(&self, what: Durable) -> Result<()> {
        Ok(())
    }

    // --- Extended attributes. Names include the prefix. ---

    /// Returns an attribute's value.
    ///
    /// # Errors
    /// `ENODATA` if there is none, `EOPNOTSUPP`.
    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets an attribute.
    ///
    /// # Errors
    /// `EEXIST`, `ENODATA`, `EOPNOTSUPP`, `ENOSPC`, `EROFS`.
    fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Removes an attribute.
    ///
    /// # Errors
    /// `ENODATA`, `EOPNOTSUPP`, `EROFS`.
    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Calls back with the name of each attribute.
    ///
    /// # Errors
    /// `EOPNOTSUPP`, `EIO`.
    fn list_xattr(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        Ok(())
    }

    // --- Special nodes. ---

    /// Returns what the node is ready for; regular files always are.
    fn readiness(&self) -> Readiness {
        Readiness::READ | Readiness::WRITE
    }

    /// Returns the queue that is woken when [`Node::readiness`] may have changed; `None` where it never does.
    fn wait_queue(&self) -> Option<Arc<WaitQueue>> {
        None
    }

    /// Returns the pipe behind a named pipe.
    fn fifo(&self) -> Option<Arc<Pipe>> {
        None
    }

    /// Returns the seals of a memory file (`F_GET_SEALS`).
    ///
    /// # Errors
    /// `EINVAL` where there are no seals.
    fn seals(&self) -> Result<u32> {
        Err(Errno::EINVAL)
    }

    /// Adds seals. `writable_mappings` says whether a shared writable mapping exists, which forbids `F_SEAL_WRITE`.
    ///
    /// # Errors
    /// `EINVAL` where there are no seals, `EPERM` if sealed against that, `EBUSY` for such a mapping.
    fn add_seals(&self, seals: u32, writable_mappings: bool) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// Returns an object that another crate keeps here, such as the socket bound to a socket file.
    fn object(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }

    /// Keeps an object here, in place of the one before; ignored where there is no room for one.
    fn set_object(&self, object: Option<Arc<dyn Any + Send + Sync>>) {}
}

impl dyn Node {
    /// Returns the node's own type, if it is that one.
    pub fn downcast<T: Node>(self: Arc<Self>) -> Option<Arc<T>> {
        let any: Arc<dyn Any + Send + Sync> = self;
        any.downcast().ok()
    }

    /// Returns the node's own type, if it is that one.
    pub fn downcast_ref<T: Node>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}

/// Says whether both are the same node.
pub fn same(a: &Arc<dyn Node>, b: &Arc<dyn Node>) -> bool {
    core::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
}

/// How [`Node::rename`] moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rename {
    /// What happens to a node that has the new name.
    pub mode: RenameMode,
    /// Leave this whiteout (character device 0:0) behind (`RENAME_WHITEOUT`).
    pub whiteout: Option<NewNode>,
}

/// Where [`Node::write_at`] writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriteAt {
    /// The offset; with `append`, set to where the write began.
    pub offset: u64,
    /// Write at the end of the file (`O_APPEND`).
    pub append: bool,
    /// No byte is written at this offset or behind it (`RLIMIT_FSIZE`): `EFBIG`.
    pub limit: u64,
}

impl WriteAt {
    /// Writes at an offset, without a limit.
    pub const fn offset(offset: u64) -> Self {
        Self { offset, append: false, limit: u64::MAX }
    }
}

/// A file system that is mounted somewhere, or kept inside.
pub trait FileSystem: Any + Send + Sync {
    /// Returns the name of the type, as in `/proc/mounts`.
    fn name(&self) -> &'static str;
    /// Returns the root directory.
    fn root(&self) -> Arc<dyn Node>;
    /// Returns the device number that its nodes report.
    fn dev(&self) -> u64;
    /// Returns what `statfs(2)` tells.
    fn status(&self) -> FileSystemStatus;
    /// Says whether it can never be written to.
    fn read_only(&self) -> bool {
        false
    }
    /// Returns its own options for `/proc/mounts`, such as `size=1024k`; empty if there are none.
    fn options(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Changes its own options (`mount -o remount`).
    ///
    /// # Errors
    /// `EINVAL` for an option that it does not know or cannot change.
    fn remount(&self, options: &[u8]) -> Result<()> {
        if options.is_empty() { Ok(()) } else { Err(Errno::EINVAL) }
    }
    /// Makes everything durable (`sync(2)`, `syncfs(2)`, the last unmount).
    ///
    /// # Errors
    /// `EIO`.
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    /// Frees memory that can be got again, about that many pages; returns how many were freed.
    fn shrink(&self, pages: usize) -> usize {
        let _ = pages;
        0
    }
}
