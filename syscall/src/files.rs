//! What the file side of a system keeps, and files without a name: pipes, and what `anon_inode` stands for.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::mount::PIPEFS_MAGIC;
use abi::signal::{SI_USER, Siginfo};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Clock, Platform, Readiness};
use vfs::fs::ram::{RamFs, RamOptions};
use vfs::pipe::{Pipe, Side};
use vfs::{
    Caller, Dentry, FileSystem, FileSystemStatus, Kind, Metadata, Mount, Node, OpenFile, Place,
    SetAttributes, Time, Vfs,
};

use crate::console::Console;
use crate::inotify::Hub;
use crate::proc::{Description, ExitState, Object, PipeFile, Process};
use crate::signal;
use crate::system::{FIRST_PID, System};
use crate::tty::{Ptys, Sessions, Terminal};

/// `anon_inodefs`' magic number.
const ANON_INODE_FS_MAGIC: u64 = 0x0904_1934;
/// Device number of pipes: no block device has major number 0, and file systems count their minors from 1.
const PIPE_DEVICE: u64 = 0xfe;
/// Device number of the other files without a name.
const ANONYMOUS_DEVICE: u64 = 0xff;
/// The one inode number that all of these share, as on Linux.
const ANONYMOUS_INODE: u64 = 1;

/// What the file side of one system keeps.
pub struct FileState {
    /// Where pipes and the console's streams live; mounted nowhere.
    pub(crate) pipes: Arc<Mount>,
    /// Input and output of the application.
    pub console: Arc<Console>,
    /// What the tree of files reports to.
    pub(crate) hub: spin::Once<Arc<Hub>>,
    /// Where memory files live; mounted nowhere.
    pub(crate) memory: (Arc<RamFs>, Arc<Mount>),
    /// Which terminal controls which session.
    pub(crate) sessions: Sessions,
    /// Pseudo-terminals.
    pub(crate) ptys: Ptys,
    /// Where their slave sides are.
    pub(crate) pts: spin::Once<Arc<dyn FileSystem>>,
    /// The terminal on the console channel, if the console is one.
    pub(crate) terminal: spin::Once<Arc<Terminal>>,
    /// Set by the first record lock: before that, closing a file has no locks to release.
    record_locks: AtomicBool,
    clock: &'static dyn Clock,
    next_pipe: AtomicU64,
}

impl FileState {
    /// Makes the state of a new system.
    pub fn new(platform: &Platform, vfs: &Vfs) -> Self {
        // Memory files are limited by memory alone.
        let unlimited = RamOptions { pages: Some(u64::MAX >> 12), ..RamOptions::default() };
        let memory = RamFs::new(vfs.environment(), &unlimited);
        let memory_mount = vfs.mount_internal(memory.clone(), "tmpfs");
        let pipes = vfs.mount_internal(Arc::new(PipeFs), "pipefs");
        Self {
            pipes,
            console: Console::new(platform.console),
            hub: spin::Once::new(),
            sessions: Sessions::default(),
            ptys: Ptys::default(),
            pts: spin::Once::new(),
            terminal: spin::Once::new(),
            memory: (memory, memory_mount),
            record_locks: AtomicBool::new(false),
            clock: platform.clock,
            next_pipe: AtomicU64::new(1),
        }
    }

    /// Says whether a process has ever locked a part of a file.
    pub(crate) fn record_locks_used(&self) -> bool {
        self.record_locks.load(Ordering::Relaxed)
    }

    /// Notes that a process locks a part of a file.
    pub(crate) fn note_record_lock(&self) {
        self.record_locks.store(true, Ordering::Relaxed);
    }

    /// Makes the node of a pipe, or of a stream that looks like one.
    pub(crate) fn new_pipe_node(&self, content: PipeContent, owner: (u32, u32)) -> Arc<PipeNode> {
        let now = Time::from_ns(self.clock.realtime_ns());
        Arc::new(PipeNode {
            mount: Arc::clone(&self.pipes),
            ino: self.next_pipe.fetch_add(1, Ordering::Relaxed),
            content,
            attributes: Lock::new(Attributes {
                mode: 0o600,
                uid: owner.0,
                gid: owner.1,
                atime: now,
                mtime: now,
                ctime: now,
            }),
        })
    }

    /// Makes a pipe: descriptions of the reading and the writing end.
    pub fn pipe(&self, flags: u32, owner: (u32, u32)) -> (Arc<Description>, Arc<Description>) {
        let pipe = Pipe::new();
        let node = self.new_pipe_node(PipeContent::Pipe(Arc::clone(&pipe)), owner);
        let end = |side| {
            let object = PipeFile { end: pipe.open(side), fifo: None, node: Some(Arc::clone(&node)) };
            Description::new(Object::Pipe(object), flags)
        };
        (end(Side::READ), end(Side::WRITE))
    }
}

/// The kinds of file that only a descriptor names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnonymousFile {
    Epoll,
    EventFd,
    TimerFd,
    SignalFd,
    Inotify,
    Process,
}

impl AnonymousFile {
    /// Returns what `readlink` on `/proc/self/fd` shows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epoll => "anon_inode:[eventpoll]",
            Self::EventFd => "anon_inode:[eventfd]",
            Self::TimerFd => "anon_inode:[timerfd]",
            Self::SignalFd => "anon_inode:[signalfd]",
            Self::Inotify => "anon_inode:inotify",
            Self::Process => "anon_inode:[pidfd]",
        }
    }
}

/// Returns what `fstat(2)` tells of all of them.
pub(crate) fn anonymous_metadata() -> Metadata {
    Metadata {
        ino: ANONYMOUS_INODE,
        dev: ANONYMOUS_DEVICE,
        kind: Kind::Anonymous,
        mode: 0o600,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        size: 0,
        blocks: 0,
        block_size: 4096,
        atime: Time::default(),
        mtime: Time::default(),
        ctime: Time::default(),
        btime: None,
    }
}

/// Returns what `fstatfs(2)` tells of them.
pub(crate) fn anonymous_status() -> FileSystemStatus {
    FileSystemStatus {
        magic: ANON_INODE_FS_MAGIC,
        block_size: 4096,
        name_len: 255,
        ..FileSystemStatus::default()
    }
}

/// Sends a signal to the application's first process, on behalf of the tool.
pub(crate) fn signal_first(system: &System, signal: u32) {
    if let Some(first) = system.process(FIRST_PID) {
        let info = Siginfo::kill(signal.cast_signed(), SI_USER, 0, 0);
        // A process that cannot take another signal has one to act on already.
        let _ = signal::send_process(&first, info);
    }
}

/// A pidfd is readable once the process has ended, and hangs up once it has been waited for.
pub(crate) fn process_readiness(process: &Process) -> Readiness {
    let ended = matches!(process.state.lock().exit, ExitState::Zombie(_));
    if ended { Readiness::READ } else { Readiness::empty() }
}

/// The file system of pipes.
struct PipeFs;

impl FileSystem for PipeFs {
    fn name(&self) -> &'static str {
        "pipefs"
    }

    fn root(&self) -> Arc<dyn Node> {
        Arc::new(PipeRoot)
    }

    fn dev(&self) -> u64 {
        PIPE_DEVICE
    }

    fn status(&self) -> FileSystemStatus {
        FileSystemStatus {
            magic: PIPEFS_MAGIC.cast_unsigned(),
            block_size: 4096,
            name_len: 255,
            ..FileSystemStatus::default()
        }
    }
}

/// The root that a mount must have; no path leads there.
struct PipeRoot;

impl Node for PipeRoot {
    fn kind(&self) -> Kind {
        Kind::Directory
    }

    fn metadata(&self) -> Metadata {
        Metadata { dev: PIPE_DEVICE, kind: Kind::Directory, ino: 0, ..anonymous_metadata() }
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        Arc::new(PipeFs)
    }

    fn lookup(&self, _: &[u8]) -> Result<Arc<dyn Node>> {
        Err(Errno::ENOENT)
    }
}

/// What is behind a [`PipeNode`].
pub(crate) enum PipeContent {
    /// A pipe.
    Pipe(Arc<Pipe>),
    /// A stream of the console, which programs see as the pipe that it is on the other side.
    Console(crate::console::Side, Arc<Console>),
}

/// The inode of a pipe without a name.
pub struct PipeNode {
    mount: Arc<Mount>,
    ino: u64,
    content: PipeContent,
    attributes: Lock<Attributes, { rank::LEAF }>,
}

#[derive(Clone, Copy)]
struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    atime: Time,
    mtime: Time,
    ctime: Time,
}

impl PipeNode {
    /// Returns the inode number.
    pub const fn ino(&self) -> u64 {
        self.ino
    }

    /// Returns what `readlink` on `/proc/self/fd` shows.
    pub fn text(&self) -> Vec<u8> {
        format!("pipe:[{}]", self.ino).into_bytes()
    }

    /// Returns the bytes that wait in the console's input.
    pub(crate) fn available(&self) -> Option<usize> {
        match &self.content {
            PipeContent::Console(crate::console::Side::Input, console) => Some(console.available()),
            PipeContent::Pipe(pipe) => Some(pipe.len()),
            PipeContent::Console(..) => Some(0),
        }
    }

    /// Returns a place for the node, in no tree.
    pub fn place(self: &Arc<Self>) -> Place {
        let node: Arc<dyn Node> = self.clone();
        Place { mount: Arc::clone(&self.mount), dentry: Dentry::new_root(node, &self.text()) }
    }

    /// Opens the node as the object that it stands for.
    ///
    /// # Errors
    /// Those of [`OpenFile::unnamed`].
    pub(crate) fn open(self: &Arc<Self>, flags: u32) -> Result<Arc<Description>> {
        Ok(Description::of_file(OpenFile::unnamed(self.place(), flags)?))
    }
}

impl Node for PipeNode {
    fn kind(&self) -> Kind {
        Kind::Fifo
    }

    fn metadata(&self) -> Metadata {
        let a = *self.attributes.lock();
        Metadata {
            ino: self.ino,
            dev: PIPE_DEVICE,
            kind: Kind::Fifo,
            mode: a.mode,
            uid: a.uid,
            gid: a.gid,
            atime: a.atime,
            mtime: a.mtime,
            ctime: a.ctime,
            ..anonymous_metadata()
        }
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        Arc::clone(&self.mount.tree.file_system)
    }

    fn set_attributes(&self, changes: &SetAttributes) -> Result<()> {
        let mut a = self.attributes.lock();
        a.mode = changes.mode.unwrap_or(a.mode);
        a.uid = changes.uid.unwrap_or(a.uid);
        a.gid = changes.gid.unwrap_or(a.gid);
        a.atime = changes.atime.unwrap_or(a.atime);
        a.mtime = changes.mtime.unwrap_or(a.mtime);
        a.ctime = changes.ctime.unwrap_or(a.ctime);
        Ok(())
    }

    fn read_link(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        Err(Errno::EINVAL)
    }

    fn fifo(&self) -> Option<Arc<Pipe>> {
        match &self.content {
            PipeContent::Pipe(pipe) => Some(Arc::clone(pipe)),
            PipeContent::Console(..) => None,
        }
    }

    fn read_at(&self, _: u64, to: &mut hal::Dest<'_>) -> Result<usize> {
        match &self.content {
            PipeContent::Console(crate::console::Side::Input, console) => console.read(to),
            _ => Err(Errno::EINVAL),
        }
    }

    fn write_at(&self, _: &mut vfs::WriteAt, from: &mut hal::Source<'_>) -> Result<usize> {
        match &self.content {
            PipeContent::Console(crate::console::Side::Output(stream), console) => {
                console.write(*stream, from)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn sync(&self, _: vfs::Durable) -> Result<()> {
        Err(Errno::EINVAL)
    }

    fn readiness(&self) -> Readiness {
        match &self.content {
            PipeContent::Console(crate::console::Side::Input, console) => console.readiness(),
            _ => Readiness::WRITE,
        }
    }

    fn wait_queue(&self) -> Option<Arc<hal::WaitQueue>> {
        match &self.content {
            PipeContent::Console(_, console) => Some(Arc::clone(console.queue())),
            PipeContent::Pipe(pipe) => Some(Arc::clone(pipe.wait_queue())),
        }
    }
}
