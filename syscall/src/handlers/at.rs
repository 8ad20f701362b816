//! Paths that start at a descriptor: what the calls with names in `at` have in common.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::fs::{AT_EMPTY_PATH, AT_FDCWD};
use abi::{Errno, Result};
use vfs::{Caller, Capabilities, Follow, Place, Walk};

use crate::Context;
use crate::decode::{Fd, UserPath};
use crate::proc::{Credentials, Description, Resource};

/// The current directory, as a descriptor.
pub(crate) const CWD: Fd = Fd(AT_FDCWD);

/// What a walk borrows: who asks, and from where.
pub(crate) struct Origin<'a> {
    vfs: &'a vfs::Vfs,
    credentials: vfs::Credentials,
    root: Place,
    start: Place,
    umask: u32,
    pid: u32,
    tid: u32,
    size_limit: u64,
}

/// Converts an identity to what files are checked against.
pub(crate) fn file_credentials(who: &Credentials) -> vfs::Credentials {
    who.file_access()
}

/// Calls with the calling thread as the one who asks, where no path is walked.
pub(crate) fn as_caller<T>(cx: &Context<'_>, f: impl FnOnce(&Caller<'_>) -> T) -> T {
    let credentials = cx.credentials().file_access();
    let process = cx.process();
    f(&Caller {
        credentials: &credentials,
        umask: 0,
        pid: process.pid(),
        tid: cx.thread.tid(),
        size_limit: process.limit(Resource::Fsize),
    })
}

/// Converts an identity for `access(2)`, which asks for the real user and group.
pub(crate) fn real_credentials(who: &Credentials) -> vfs::Credentials {
    // LINUX: the real user's capabilities are the permitted ones for the superuser, and none for others.
    let capabilities = if who.uid == 0 { who.permitted } else { 0 };
    vfs::Credentials {
        fsuid: who.uid,
        fsgid: who.gid,
        groups: Arc::clone(&who.groups),
        capabilities: Capabilities::from_bits_retain(capabilities),
    }
}

impl<'a> Origin<'a> {
    /// Starts at the working directory.
    pub(crate) fn cwd(cx: &Context<'a>) -> Self {
        let fs = cx.fs();
        let (root, start) = fs.places();
        Self::new(cx, root, start, fs.umask())
    }

    fn new(cx: &Context<'a>, root: Place, start: Place, umask: u32) -> Self {
        let process = cx.process();
        Self {
            vfs: &cx.system().vfs,
            credentials: file_credentials(&cx.credentials()),
            root,
            start,
            umask,
            pid: process.pid(),
            tid: cx.thread.tid(),
            size_limit: process.limit(Resource::Fsize),
        }
    }

    /// Starts where a path that came with a descriptor starts: an absolute path does not look at the descriptor.
    ///
    /// # Errors
    /// `EBADF` for a bad descriptor, `ENOTDIR` for one that has no place in the tree of files.
    pub(crate) fn at(cx: &Context<'a>, at: Fd, path: &[u8]) -> Result<Self> {
        if at == CWD || path.first() == Some(&b'/') {
            return Ok(Self::cwd(cx));
        }
        let description = cx.files().get(at)?;
        let start = description.place().ok_or(Errno::ENOTDIR)?;
        let fs = cx.fs();
        Ok(Self::new(cx, fs.root(), start, fs.umask()))
    }

    /// Asks for another identity.
    #[must_use]
    pub(crate) fn with_credentials(self, credentials: vfs::Credentials) -> Self {
        Self { credentials, ..self }
    }

    /// Returns the question.
    pub(crate) fn walk(&self) -> Walk<'_> {
        self.restricted(0)
    }

    /// Returns the question with `RESOLVE_*` restrictions.
    pub(crate) fn restricted(&self, resolve: u64) -> Walk<'_> {
        Walk { vfs: self.vfs, caller: self.caller(), root: &self.root, start: &self.start, resolve }
    }

    /// Returns who asks.
    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller {
            credentials: &self.credentials,
            umask: self.umask,
            pid: self.pid,
            tid: self.tid,
            size_limit: self.size_limit,
        }
    }

    /// Returns the identity.
    pub(crate) const fn credentials(&self) -> &vfs::Credentials {
        &self.credentials
    }

    /// Returns where relative paths start.
    pub(crate) const fn start(&self) -> &Place {
        &self.start
    }
}

/// What a call with a descriptor and a path means.
pub(crate) enum Target {
    /// A place in the tree of files.
    Place(Place),
    /// The descriptor itself, which has no place there (a pipe, an event counter).
    Description(Arc<Description>),
}

/// Reads a path that must not be empty.
///
/// # Errors
/// `EFAULT`, `ENAMETOOLONG`, `ENOENT` for the empty path.
pub(crate) fn read_path(cx: &Context<'_>, path: UserPath) -> Result<Vec<u8>> {
    let path = path.read(cx)?;
    if path.is_empty() { Err(Errno::ENOENT) } else { Ok(path) }
}

/// Reads a path that may be empty if `flags` has `AT_EMPTY_PATH`; the null pointer is the empty path then.
///
/// # Errors
/// As for [`read_path`].
pub(crate) fn read_path_or_empty(cx: &Context<'_>, path: UserPath, flags: u32) -> Result<Vec<u8>> {
    if flags & AT_EMPTY_PATH == 0 {
        return read_path(cx, path);
    }
    if path.0.is_null() { Ok(Vec::new()) } else { path.read(cx) }
}

/// Finds what a descriptor and a path name; an empty path names the descriptor.
///
/// # Errors
/// `EBADF`, and those of a walk.
pub(crate) fn find(cx: &Context<'_>, at: Fd, path: &[u8], follow: Follow) -> Result<Target> {
    if !path.is_empty() {
        return Ok(Target::Place(Origin::at(cx, at, path)?.walk().lookup(path, follow)?));
    }
    if at == CWD {
        return Ok(Target::Place(cx.fs().cwd()));
    }
    let description = cx.files().get(at)?;
    Ok(match description.place() {
        Some(place) => Target::Place(place),
        None => Target::Description(description),
    })
}

/// Finds the place that a descriptor and a path name.
///
/// # Errors
/// As for [`find`]; `EOPNOTSUPP` for a descriptor without a place.
pub(crate) fn find_place(cx: &Context<'_>, at: Fd, path: &[u8], follow: Follow) -> Result<Place> {
    match find(cx, at, path, follow)? {
        Target::Place(place) => Ok(place),
        Target::Description(_) => Err(Errno::EOPNOTSUPP),
    }
}
