//! Queues as files: `stat(2)`, `read(2)`, `poll(2)`, and the directory that they are in when it is mounted.

use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Clock, Dest, Readiness, WaitQueue};
use vfs::{
    DirEntry, DirSink, FileSystem, FileSystemStatus, Kind, Metadata, NewNode, Node, Remember, SetAttributes,
    Time,
};

use super::directory::{Directory, NAME_MAX};
use super::{Attributes, Notify, Queue};

/// `MQUEUE_MAGIC`
const MAGIC: u64 = 0x1980_0202;
/// What `st_size` shows of a queue: room for the status line (`FILENT_SIZE`).
const STATUS_SIZE: u64 = 80;
/// The root's inode number.
const ROOT_INO: u64 = 1;

/// The file system.
pub(super) struct MqueueFs {
    pub(super) directory: Arc<Directory>,
}

impl FileSystem for MqueueFs {
    fn name(&self) -> &'static str {
        "mqueue"
    }

    fn root(&self) -> Arc<dyn Node> {
        self.directory.root_node()
    }

    fn dev(&self) -> u64 {
        self.directory.dev
    }

    fn status(&self) -> FileSystemStatus {
        FileSystemStatus { magic: MAGIC, block_size: 4096, name_len: 255, ..FileSystemStatus::default() }
    }
}

impl Attributes {
    const fn metadata(&self, dev: u64, ino: u64, kind: Kind, size: u64) -> Metadata {
        Metadata {
            ino,
            dev,
            kind,
            mode: self.mode,
            nlink: self.links,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            size,
            blocks: 0,
            block_size: 4096,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            btime: None,
        }
    }

    fn change(&mut self, changes: &SetAttributes) {
        self.mode = changes.mode.unwrap_or(self.mode);
        self.uid = changes.uid.unwrap_or(self.uid);
        self.gid = changes.gid.unwrap_or(self.gid);
        self.atime = changes.atime.unwrap_or(self.atime);
        self.mtime = changes.mtime.unwrap_or(self.mtime);
        self.ctime = changes.ctime.unwrap_or(self.ctime);
    }
}

impl Queue {
    /// Notes that the name is gone.
    pub(super) fn removed(&self) {
        let mut state = self.state.lock();
        state.attributes.links = 0;
        state.attributes.ctime = self.now();
    }

    /// Returns the line that `read(2)` gives.
    fn status_line(&self) -> Vec<u8> {
        let state = self.state.lock();
        let (notify, signal, pid) = match &state.notice {
            Some(notice) => match notice.how {
                Notify::Nothing => (abi::time::SIGEV_NONE, 0, notice.pid),
                Notify::Signal(signal, _) => (abi::time::SIGEV_SIGNAL, signal, notice.pid),
            },
            None => (0, 0, 0),
        };
        let line =
            format!("QSIZE:{:<10} NOTIFY:{notify:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n", state.bytes);
        line.into_bytes()
    }
}

impl Node for Queue {
    fn kind(&self) -> Kind {
        Kind::File
    }

    fn metadata(&self) -> Metadata {
        let dev = self.directory.upgrade().map_or(0, |directory| directory.dev);
        self.state.lock().attributes.metadata(dev, self.ino, Kind::File, STATUS_SIZE)
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        self.directory.upgrade().expect("a node outlives no system").file_system()
    }

    fn set_attributes(&self, changes: &SetAttributes) -> Result<()> {
        self.state.lock().attributes.change(changes);
        Ok(())
    }

    fn read_at(&self, offset: u64, to: &mut Dest<'_>) -> Result<usize> {
        let line = self.status_line();
        let rest = usize::try_from(offset).ok().and_then(|offset| line.get(offset..)).unwrap_or_default();
        to.push(rest)
    }

    fn mappable(&self) -> bool {
        false
    }

    fn readiness(&self) -> Readiness {
        let count = self.state.lock().count;
        let mut ready = Readiness::empty();
        if count > 0 {
            ready |= Readiness::READ;
        }
        if count < self.shape().messages {
            ready |= Readiness::WRITE;
        }
        ready
    }

    fn wait_queue(&self) -> Option<Arc<WaitQueue>> {
        Some(Arc::clone(&self.events))
    }
}

/// The directory of all queues.
pub(super) struct Root {
    directory: Weak<Directory>,
    attributes: Lock<Attributes, { rank::LEAF }>,
}

impl Root {
    /// Makes it: everybody may make queues, and remove only their own.
    pub(super) fn new(directory: &Arc<Directory>, now: Time) -> Arc<Self> {
        let attributes =
            Attributes { mode: 0o1777, uid: 0, gid: 0, links: 2, atime: now, mtime: now, ctime: now };
        Arc::new(Self { directory: Arc::downgrade(directory), attributes: Lock::new(attributes) })
    }

    /// Notes that a name came or went.
    pub(super) fn changed(&self, clock: &dyn Clock) {
        let now = Time::from_ns(clock.realtime_ns());
        let mut attributes = self.attributes.lock();
        (attributes.atime, attributes.mtime, attributes.ctime) = (now, now, now);
    }

    fn directory(&self) -> Arc<Directory> {
        self.directory.upgrade().expect("a node outlives no system")
    }
}

impl Node for Root {
    fn kind(&self) -> Kind {
        Kind::Directory
    }

    fn metadata(&self) -> Metadata {
        let directory = self.directory();
        // LINUX: the kernel counts 20 bytes for an entry that it never stores.
        let size = directory.names.lock().len() as u64 * 20;
        self.attributes.lock().metadata(directory.dev, ROOT_INO, Kind::Directory, size)
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        self.directory().file_system()
    }

    fn set_attributes(&self, changes: &SetAttributes) -> Result<()> {
        self.attributes.lock().change(changes);
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Node>> {
        let directory = self.directory();
        let queue = directory.names.lock().get(name).cloned().ok_or(Errno::ENOENT)?;
        Ok(queue)
    }

    fn remember(&self) -> Remember {
        Remember::Nothing
    }

    fn create(&self, name: &[u8], new: &NewNode, _: &[u8]) -> Result<Arc<dyn Node>> {
        if new.kind != Kind::File {
            return Err(Errno::EPERM);
        }
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let directory = self.directory();
        let queue = directory.make_default(name, (new.mode, new.uid, new.gid))?;
        self.changed(directory.clock);
        Ok(queue)
    }

    fn unlink(&self, name: &[u8], node: &Arc<dyn Node>) -> Result<()> {
        let queue = Arc::clone(node).downcast::<Queue>().ok_or(Errno::EPERM)?;
        self.directory().remove(name, &queue)
    }

    fn read_dir(&self, cursor: u64, parent_ino: u64, sink: &mut DirSink<'_>) -> Result<u64> {
        let mut at = cursor;
        for (place, name, ino) in [(0, b".".as_slice(), ROOT_INO), (1, b"..", parent_ino)] {
            if at == place {
                if !sink(&DirEntry { name, ino, kind: Kind::Directory, next: place + 1 }) {
                    return Ok(at);
                }
                at = place + 1;
            }
        }
        let directory = self.directory();
        let mut entries: Vec<(u64, Vec<u8>)> = {
            let names = directory.names.lock();
            names.iter().map(|(name, queue)| (queue.ino, name.clone())).collect()
        };
        entries.sort_unstable();
        // Numbers ascend as queues are made, and so do the cursors.
        for (ino, name) in entries.iter().filter(|(ino, _)| ino + 2 > cursor) {
            if !sink(&DirEntry { name, ino: *ino, kind: Kind::File, next: ino + 2 }) {
                break;
            }
            at = ino + 2;
        }
        Ok(at)
    }
}
