//! The nodes: entries that were looked up, and files that are open.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::fs::{O_ACCMODE, O_RDONLY, O_TRUNC, O_WRONLY};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Dest, Source};

use super::{Content, Entry, File, Manner, ROOT_INO, Synthetic, WRITE_MAX};
use crate::credentials::{Caller, Credentials, Want};
use crate::node::{FileSystem, LinkTarget, Node, Remember, Rename, WriteAt};
use crate::types::{
    DirEntry, DirSink, Durable, Kind, Metadata, NewNode, Permissions, SetAttributes, Time, XattrMode,
};

/// Makes the node of an entry.
pub(super) fn make(fs: &Arc<Synthetic>, entry: Entry, ino: u64) -> Arc<dyn Node> {
    if let Content::Node(node) = entry.content {
        return node;
    }
    Arc::new(Inode { fs: Arc::clone(fs), ino, made: fs.now(), entry })
}

/// Returns the inode number of an entry: a hash (FNV-1a) of its directory's number and its name, above the root's.
fn number(parent: u64, name: &[u8]) -> u64 {
    let start = parent.to_le_bytes();
    let hash = start.iter().chain(name).fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // 48 bits are plenty, and easier to read.
    (hash >> 16 ^ hash & 0xffff).max(ROOT_INO + 1)
}

/// A file, link or directory.
struct Inode {
    fs: Arc<Synthetic>,
    ino: u64,
    made: Time,
    entry: Entry,
}

impl Inode {
    fn manner(&self) -> Manner {
        self.fs.description.manner
    }

    fn changed(&self) -> SetAttributes {
        self.entry.kept.as_ref().map_or_else(SetAttributes::default, |kept| *kept.lock())
    }

    /// Answers an attempt to make a name.
    fn refuse_new(&self, kind: Kind) -> Errno {
        match self.manner() {
            _ if self.kind() != Kind::Directory => Errno::ENOTDIR,
            Manner::Proc => Errno::ENOENT,
            // LINUX: open(2) answers EACCES in sysfs, every other call EPERM; a regular file is made by the former.
            Manner::Sys if kind == Kind::File => Errno::EACCES,
            Manner::Sys => Errno::EPERM,
        }
    }

    /// Checks what the permission bits say even to the superuser.
    fn check_strict(&self, flags: u32, caller: &Caller<'_>) -> Result<()> {
        let access = flags & O_ACCMODE;
        let mut want = Want::empty();
        want.set(Want::READ, access != O_WRONLY);
        want.set(Want::WRITE, access != O_RDONLY || flags & O_TRUNC != 0);
        let permissions = self.permissions();
        let mode = permissions.mode;
        let granted = if self.entry.strict {
            let who = caller.credentials;
            let shift = if who.fsuid == permissions.uid {
                6
            } else if who.in_group(permissions.gid) {
                3
            } else {
                0
            };
            mode >> shift
        } else if self.manner() == Manner::Sys {
            mode >> 6 | mode >> 3 | mode
        } else {
            return Ok(());
        };
        if granted & want.bits() == want.bits() { Ok(()) } else { Err(Errno::EACCES) }
    }
}

impl Node for Inode {
    fn kind(&self) -> Kind {
        self.entry.kind()
    }

    fn metadata(&self) -> Metadata {
        let Permissions { mode, uid, gid } = self.permissions();
        let changed = self.changed();
        let sys = self.manner() == Manner::Sys;
        let (nlink, size) = match &self.entry.content {
            Content::Directory(directory) => (2 + directory.subdirectories(), directory.size()),
            Content::File(_) if sys => (1, 4096),
            _ => (1, 0),
        };
        Metadata {
            ino: self.ino,
            dev: self.fs.description.dev,
            kind: self.kind(),
            mode,
            nlink,
            uid,
            gid,
            rdev: 0,
            size: self.entry.size.unwrap_or(size),
            blocks: 0,
            block_size: if sys { 4096 } else { 1024 },
            atime: changed.atime.unwrap_or(self.made),
            mtime: changed.mtime.unwrap_or(self.made),
            ctime: changed.ctime.unwrap_or(self.made),
            btime: None,
        }
    }

    fn permissions(&self) -> Permissions {
        let changed = self.changed();
        Permissions {
            mode: changed.mode.unwrap_or(self.entry.mode),
            uid: changed.uid.unwrap_or(self.entry.uid),
            gid: changed.gid.unwrap_or(self.entry.gid),
        }
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        self.fs.clone()
    }

    fn set_attributes(&self, changes: &SetAttributes) -> Result<()> {
        let now = self.permissions();
        let same = |new: Option<u32>, old| new.is_none_or(|new| new == old);
        let Some(kept) = &self.entry.kept else {
            // LINUX: chmod(2) is refused below /proc/PID, chown(2) to the same and utimensat(2) are not.
            let quiet = changes.mode.is_none() && same(changes.uid, now.uid) && same(changes.gid, now.gid);
            return if quiet { Ok(()) } else { Err(Errno::EPERM) };
        };
        if self.entry.strict && changes.mode.is_some() {
            return Err(Errno::EPERM);
        }
        let mut kept = kept.lock();
        kept.mode = changes.mode.or(kept.mode);
        kept.uid = changes.uid.or(kept.uid);
        kept.gid = changes.gid.or(kept.gid);
        kept.atime = changes.atime.or(kept.atime);
        kept.mtime = changes.mtime.or(kept.mtime);
        kept.ctime = Some(changes.ctime.unwrap_or_else(|| self.fs.now()));
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Node>> {
        let Content::Directory(directory) = &self.entry.content else { return Err(Errno::ENOTDIR) };
        Ok(make(&self.fs, directory.lookup(name)?, number(self.ino, name)))
    }

    fn remember(&self) -> Remember {
        match &self.entry.content {
            Content::Directory(directory) => directory.remember(),
            _ => Remember::All,
        }
    }

    fn create(&self, _: &[u8], new: &NewNode, _: &[u8]) -> Result<Arc<dyn Node>> {
        Err(self.refuse_new(new.kind))
    }

    fn link(&self, _: &[u8], _: &Arc<dyn Node>) -> Result<()> {
        Err(self.refuse_new(Kind::Symlink))
    }

    fn rename(
        &self,
        _: &[u8],
        _: &Arc<dyn Node>,
        _: &Arc<dyn Node>,
        _: &[u8],
        new: Option<&Arc<dyn Node>>,
        _: &Rename,
    ) -> Result<()> {
        Err(if new.is_some() { Errno::EPERM } else { self.refuse_new(Kind::Symlink) })
    }

    fn read_dir(&self, cursor: u64, parent_ino: u64, sink: &mut DirSink<'_>) -> Result<u64> {
        let Content::Directory(directory) = &self.entry.content else { return Err(Errno::ENOTDIR) };
        let mut at = cursor;
        for (place, name, ino) in [(0, b".".as_slice(), self.ino), (1, b"..", parent_ino)] {
            if at == place {
                if !sink(&DirEntry { name, ino, kind: Kind::Directory, next: place + 1 }) {
                    return Ok(at);
                }
                at = place + 1;
            }
        }
        directory.list(at - 2, &mut |name, kind, next| {
            let next = next.saturating_add(2);
            let taken = sink(&DirEntry { name, ino: number(self.ino, name), kind, next });
            if taken {
                at = next;
            }
            taken
        })?;
        Ok(at)
    }

    fn read_link(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        match &self.entry.content {
            Content::Link(link) => link.text(caller),
            _ => Err(Errno::EINVAL),
        }
    }

    fn follow(&self, caller: &Caller<'_>) -> Result<LinkTarget> {
        match &self.entry.content {
            Content::Link(link) => link.follow(caller),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(&self, flags: u32, caller: &Caller<'_>) -> Result<Option<Arc<dyn Node>>> {
        let Content::File(file) = &self.entry.content else { return Ok(None) };
        self.check_strict(flags, caller)?;
        file.open(flags, caller)?;
        let inode = Self { fs: Arc::clone(&self.fs), entry: self.entry.clone(), ..*self };
        Ok(Some(Arc::new(Opening {
            inode,
            file: Arc::clone(file),
            credentials: caller.credentials.clone(),
            umask: caller.umask,
            pid: caller.pid,
            tid: caller.tid,
            contents: Lock::new(None),
        })))
    }

    fn truncate(&self, _: u64) -> Result<()> {
        // LINUX: O_TRUNC comes before many a write, and does nothing here.
        if self.kind() == Kind::File { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn mappable(&self) -> bool {
        false
    }

    fn sync(&self, _: Durable) -> Result<()> {
        match self.manner() {
            Manner::Sys if self.kind() == Kind::File => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn xattr(&self, _: &[u8]) -> Result<Vec<u8>> {
        Err(match self.manner() {
            Manner::Proc => Errno::EOPNOTSUPP,
            Manner::Sys => Errno::ENODATA,
        })
    }

    fn set_xattr(&self, _: &[u8], _: &[u8], _: XattrMode) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
}

/// A file that is open: what it says to this opening.
struct Opening {
    inode: Inode,
    file: Arc<dyn File>,
    credentials: Credentials,
    umask: u32,
    pid: u32,
    tid: u32,
    contents: Lock<Option<Arc<Vec<u8>>>, { rank::LEAF }>,
}

impl Opening {
    fn caller(&self) -> Caller<'_> {
        Caller {
            credentials: &self.credentials,
            umask: self.umask,
            pid: self.pid,
            tid: self.tid,
            size_limit: u64::MAX,
        }
    }

    fn contents(&self, offset: u64) -> Result<Arc<Vec<u8>>> {
        if offset != 0
            && let Some(contents) = &*self.contents.lock()
        {
            return Ok(Arc::clone(contents));
        }
        let new = Arc::new(self.file.read(&self.caller())?);
        let before = self.contents.lock().replace(Arc::clone(&new));
        drop(before);
        Ok(new)
    }
}

impl Node for Opening {
    fn kind(&self) -> Kind {
        Kind::File
    }

    fn metadata(&self) -> Metadata {
        self.inode.metadata()
    }

    fn permissions(&self) -> Permissions {
        self.inode.permissions()
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        self.inode.file_system()
    }

    fn set_attributes(&self, changes: &SetAttributes) -> Result<()> {
        self.inode.set_attributes(changes)
    }

    fn read_at(&self, offset: u64, to: &mut Dest<'_>) -> Result<usize> {
        if let Some(result) = self.file.read_at(offset, to, &self.caller()) {
            return result;
        }
        let contents = self.contents(offset)?;
        match usize::try_from(offset).ok().and_then(|at| contents.get(at..)) {
            Some(rest) if !rest.is_empty() => to.push(rest),
            _ => Ok(0),
        }
    }

    fn write_at(&self, how: &mut WriteAt, from: &mut Source<'_>) -> Result<usize> {
        let mut bytes = alloc::vec![0; from.remaining().min(WRITE_MAX)];
        let pulled = from.pull(&mut bytes)?;
        if pulled < bytes.len() {
            return Err(Errno::EFAULT);
        }
        let written = self.file.write(&bytes, how.offset, &self.caller())?;
        let before = self.contents.lock().take();
        drop(before);
        Ok(written)
    }

    fn truncate(&self, size: u64) -> Result<()> {
        self.inode.truncate(size)
    }

    fn mappable(&self) -> bool {
        false
    }

    fn sync(&self, what: Durable) -> Result<()> {
        self.inode.sync(what)
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.inode.xattr(name)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        self.inode.set_xattr(name, value, mode)
    }
}
