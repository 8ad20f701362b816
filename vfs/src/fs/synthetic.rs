//! File systems whose contents are made when somebody looks: the frame of proc and sysfs.
//!
//! Whoever fills such a file system describes it with [`Entry`]s. A [`File`] makes its whole contents at once, a
//! [`Link`] its target, a [`Directory`] its entries. [`Folder`] is the directory whose entries are known from the start,
//! [`Rows`] one of many alike (each process has the same files). An entry's inode number follows from its path, so it is
//! the same in every listing and every `stat(2)`.
//!
//! What a file says belongs to one opening, as with Linux's seq_file: it is made at the first read and again at each read
//! from offset 0; reads further on continue what that one began. So a reader with a small buffer sees one state.

mod build;
mod node;
#[cfg(test)]
mod tests;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Clock, Dest};

use crate::types::{FileSystemStatus, Kind, SetAttributes, Time};
use crate::{Caller, FileSystem, LinkTarget, Node, Remember};

pub use build::{Folder, Row, Rows};

/// A file whose contents are made on demand.
pub trait File: Send + Sync {
    /// Makes the whole contents. The caller is the one who opened the file.
    ///
    /// Nothing is locked by this crate but, for `read(2)`, the open file's offset (rank `OFFSET`).
    ///
    /// # Errors
    /// Whatever `read(2)` shall answer, such as `ESRCH` for a process that has gone.
    fn read(&self, caller: &Caller<'_>) -> Result<Vec<u8>>;

    /// Reads at an offset, for a file whose contents are not made at once: the memory of a process. `None` leaves it to
    /// [`File::read`].
    fn read_at(&self, offset: u64, to: &mut Dest<'_>, caller: &Caller<'_>) -> Option<Result<usize>> {
        let _ = (offset, to, caller);
        None
    }

    /// Takes what one `write(2)` brought, at most [`WRITE_MAX`] bytes; returns how many bytes count as written.
    ///
    /// # Errors
    /// `EINVAL` for what makes no sense to it; that is also the answer of files that cannot be written.
    fn write(&self, bytes: &[u8], offset: u64, caller: &Caller<'_>) -> Result<usize> {
        let _ = (bytes, offset, caller);
        Err(Errno::EINVAL)
    }

    /// Hears that somebody opens the file with these flags of `open(2)`; permission bits were checked.
    ///
    /// # Errors
    /// Whatever keeps the file from being opened, such as `EACCES`.
    fn open(&self, flags: u32, caller: &Caller<'_>) -> Result<()> {
        let _ = (flags, caller);
        Ok(())
    }
}

/// A symbolic link whose target is made on demand.
pub trait Link: Send + Sync {
    /// Returns what `readlink(2)` shows.
    ///
    /// # Errors
    /// `ENOENT` if there is nothing behind it now, `EACCES`.
    fn text(&self, caller: &Caller<'_>) -> Result<Vec<u8>>;

    /// Returns where it leads; differs from [`Link::text`] for magic links.
    ///
    /// # Errors
    /// As for [`Link::text`].
    fn follow(&self, caller: &Caller<'_>) -> Result<LinkTarget> {
        self.text(caller).map(LinkTarget::Path)
    }
}

/// Takes the entries of a listing: name, type, and the cursor that goes on behind it. `false` ends the listing before it.
pub type ListSink<'a> = dyn FnMut(&[u8], Kind, u64) -> bool + 'a;

/// A directory whose entries are made on demand.
pub trait Directory: Send + Sync {
    /// Finds an entry.
    ///
    /// # Errors
    /// `ENOENT` if there is none.
    fn lookup(&self, name: &[u8]) -> Result<Entry>;

    /// Lists the entries from a cursor on, in ascending order of cursors: 0 is the start, and an entry's cursor is one that
    /// stays right whatever comes and goes (for a process: its number plus one), less than 2^62.
    ///
    /// # Errors
    /// `ENOENT` if the directory has gone.
    fn list(&self, cursor: u64, sink: &mut ListSink<'_>) -> Result<()>;

    /// Returns the number of subdirectories, for `st_nlink`.
    fn subdirectories(&self) -> u32 {
        0
    }

    /// Returns what `st_size` shows.
    fn size(&self) -> u64 {
        0
    }

    /// Says how entries may be remembered.
    fn remember(&self) -> Remember {
        Remember::Nothing
    }
}

/// Bytes that one write brings at most; more is a short write.
pub const WRITE_MAX: usize = 64 << 10;

/// What is behind a name.
#[derive(Clone)]
pub struct Entry {
    content: Content,
    mode: u32,
    uid: u32,
    gid: u32,
    size: Option<u64>,
    strict: bool,
    /// Attributes that were set; only entries that exist for ever keep them.
    kept: Option<Arc<Lock<SetAttributes, { rank::LEAF }>>>,
}

#[derive(Clone)]
enum Content {
    File(Arc<dyn File>),
    Link(Arc<dyn Link>),
    Directory(Arc<dyn Directory>),
    Node(Arc<dyn Node>),
}

impl Entry {
    fn new(content: Content, mode: u32) -> Self {
        Self { content, mode, uid: 0, gid: 0, size: None, strict: false, kept: None }
    }

    /// Makes a file with these permission bits.
    pub fn file(mode: u32, file: impl File + 'static) -> Self {
        Self::new(Content::File(Arc::new(file)), mode)
    }

    /// Makes a read-only file from a function.
    pub fn file_fn(mode: u32, read: impl Fn(&Caller<'_>) -> Result<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::file(mode, build::ReadFn(read))
    }

    /// Makes a file from a function that makes the contents and one that takes what is written.
    pub fn file_with(
        mode: u32,
        read: impl Fn(&Caller<'_>) -> Result<Vec<u8>> + Send + Sync + 'static,
        write: impl Fn(&[u8], u64, &Caller<'_>) -> Result<usize> + Send + Sync + 'static,
    ) -> Self {
        Self::file(mode, build::ReadWriteFn(read, write))
    }

    /// Makes a read-only file (mode 0444) that always says the same.
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        Self::file_fn(0o444, move |_| Ok(text.clone()))
    }

    /// Makes a link.
    pub fn link(link: impl Link + 'static) -> Self {
        Self::new(Content::Link(Arc::new(link)), 0o777)
    }

    /// Makes a link that always leads to the same path.
    pub fn link_to(text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        Self::link_fn(move |_| Ok(text.clone()))
    }

    /// Makes a link from a function that makes its text, which is also where it leads.
    pub fn link_fn(text: impl Fn(&Caller<'_>) -> Result<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::link(build::LinkFn(text))
    }

    /// Makes a magic link: its text is only shown, and it leads to a place.
    pub fn magic_link(
        text: impl Fn(&Caller<'_>) -> Result<Vec<u8>> + Send + Sync + 'static,
        follow: impl Fn(&Caller<'_>) -> Result<LinkTarget> + Send + Sync + 'static,
    ) -> Self {
        Self::link(build::MagicFn(text, follow))
    }

    /// Makes a directory (mode 0555) whose entries are made on demand.
    pub fn directory(directory: impl Directory + 'static) -> Self {
        Self::new(Content::Directory(Arc::new(directory)), 0o555)
    }

    /// Makes an entry of a node that looks after itself: for contents that are no snapshot (`/proc/PID/mem`).
    pub fn node(node: Arc<dyn Node>) -> Self {
        Self::new(Content::Node(node), 0)
    }

    /// Sets the owner.
    #[must_use]
    pub const fn owner(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// Sets the permission bits.
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Sets what `st_size` shows; else that is 0, and 4096 for a file of sysfs.
    #[must_use]
    pub const fn size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Lets the permission bits count for the superuser, too (`/proc/sys`): opening answers `EACCES` for what they lack.
    #[must_use]
    pub const fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Returns the file type.
    pub fn kind(&self) -> Kind {
        match &self.content {
            Content::File(_) => Kind::File,
            Content::Link(_) => Kind::Symlink,
            Content::Directory(_) => Kind::Directory,
            Content::Node(node) => node.kind(),
        }
    }
}

/// Which of Linux's two a file system resembles, where they differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// proc: nothing can be made (`ENOENT`), files have no size.
    Proc,
    /// sysfs: nothing can be made (`EPERM`), files are 4096 bytes long, bits of the mode that nobody has count for the
    /// superuser, too.
    Sys,
}

/// What a [`Synthetic`] says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Name of the type.
    pub name: &'static str,
    /// Magic number of the type (`f_type`).
    pub magic: u32,
    /// Device number.
    pub dev: u64,
    /// Which of Linux's two it resembles.
    pub manner: Manner,
}

/// A file system whose contents are made on demand.
pub struct Synthetic {
    this: Weak<Self>,
    description: Description,
    clock: &'static dyn Clock,
    root: Entry,
}

/// Number of the root directory.
const ROOT_INO: u64 = 1;

impl Synthetic {
    /// Makes the file system from the entry of its root directory.
    ///
    /// # Panics
    /// If that is no directory.
    pub fn new(description: Description, clock: &'static dyn Clock, root: Entry) -> Arc<Self> {
        assert!(root.kind() == Kind::Directory, "the root is a directory");
        let root = build::keep(root);
        Arc::new_cyclic(|this| Self { this: Weak::clone(this), description, clock, root })
    }

    fn now(&self) -> Time {
        Time::from_ns(self.clock.realtime_ns())
    }
}

impl FileSystem for Synthetic {
    fn name(&self) -> &'static str {
        self.description.name
    }

    fn root(&self) -> Arc<dyn Node> {
        let this = self.this.upgrade().expect("whoever calls holds a reference");
        node::make(&this, self.root.clone(), ROOT_INO)
    }

    fn dev(&self) -> u64 {
        self.description.dev
    }

    fn status(&self) -> FileSystemStatus {
        FileSystemStatus {
            magic: u64::from(self.description.magic),
            block_size: 4096,
            id: self.description.dev,
            name_len: 255,
            ..FileSystemStatus::default()
        }
    }
}
