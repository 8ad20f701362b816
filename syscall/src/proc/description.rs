//! Open file descriptions: what a descriptor refers to, and what can be done with each kind.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::task::Waker;

use abi::fs::{O_ACCMODE, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Dest, Readiness, Registration, Source, WaitQueue};
use vfs::lock::FileKey;
use vfs::pipe::{PipeEnd, Side, WriteMode};
use vfs::{Caller, FileSystemStatus, Kind, Metadata, OpenFile, Place, STATUS_FLAGS};

use super::{Process, Thread};
use crate::Context;
use crate::epoll::{self, Epoll};
use crate::eventfd::EventFd;
use crate::files::{self, AnonymousFile};
use crate::handlers::at;
use crate::inotify::Inotify;
use crate::signalfd::SignalFd;
use crate::socket::{self, SocketFile};
use crate::timerfd::TimerFd;
use crate::tty::TtyFile;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What a description stands for. A closed set: who can do what is decided in the matches below.
pub enum Object {
    /// A file of the tree that needs nothing from above: regular files, directories, most devices.
    Node(Arc<OpenFile>),
    /// An end of a pipe or fifo.
    Pipe(PipeFile),
    /// A terminal.
    Tty(TtyFile),
    /// An epoll instance.
    Epoll(Arc<Epoll>),
    /// An event counter.
    EventFd(EventFd),
    /// Signals as records.
    SignalFd(SignalFd),
    /// A timer (`timerfd_create(2)`).
    TimerFd(Arc<TimerFd>),
    /// Events of files.
    Inotify(Arc<Inotify>),
    /// A process (`pidfd_open(2)`).
    Process(Arc<Process>),
    /// A socket.
    Socket(SocketFile),
}

/// An end of a pipe, or an opening of a fifo.
pub struct PipeFile {
    /// The end.
    pub end: PipeEnd,
    /// Where a fifo was opened.
    pub fifo: Option<Arc<OpenFile>>,
    /// Where a pipe without a name lives, for `/proc/self/fd` and `fstat(2)`.
    pub node: Option<Arc<files::PipeNode>>,
}

/// Who hears of a wake-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Every waiter.
    All,
    /// One of those who said so.
    Exclusive,
}

/// Registrations with the queues of one description; dropping it leaves them.
#[must_use = "dropping a watch ends it"]
pub struct Watch {
    _queues: [Option<Registration>; 2],
}

/// Who gets signals about input and output (`F_SETOWN`), and which (`F_SETSIG`).
#[derive(Clone, Copy, Default)]
pub struct SignalOwner {
    /// `F_OWNER_TID`, `F_OWNER_PID` or `F_OWNER_PGRP`.
    pub kind: i32,
    /// The number; 0 for nobody.
    pub id: i32,
    /// The signal; 0 means `SIGIO` without details.
    pub signal: i32,
    /// Real and effective user of whoever set the owner: signals are sent as if by them.
    pub users: (u32, u32),
}

/// An open file description (`open(2)`, NOTES): shared by `dup` and `fork`.
pub struct Description {
    id: u64,
    object: Object,
    /// Access mode and status flags; a [`Object::Node`] keeps its own.
    flags: AtomicU32,
    watchers: Lock<Vec<Weak<epoll::Item>>, { rank::LEAF }>,
    /// Who gets signals about input and output.
    pub owner: Lock<SignalOwner, { rank::LEAF }>,
    /// The watch behind `O_ASYNC`.
    pub(crate) asynchronous: Lock<Option<Watch>, { rank::LEAF }>,
    /// The watch behind `SIGURG`.
    pub(crate) urgent: Lock<Option<Watch>, { rank::LEAF }>,
}

impl Description {
    /// Makes a description. An object that has only one sensible access mode gets it, whatever `flags` says.
    pub fn new(object: Object, flags: u32) -> Arc<Self> {
        let access = match &object {
            Object::Node(_) | Object::Tty(_) => flags & O_ACCMODE,
            Object::Pipe(pipe) => access_of(pipe.end.side()),
            Object::Inotify(_) => O_RDONLY,
            _ => O_RDWR,
        };
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            object,
            flags: AtomicU32::new(flags & !O_ACCMODE | access),
            watchers: Lock::default(),
            owner: Lock::default(),
            asynchronous: Lock::default(),
            urgent: Lock::default(),
        })
    }

    /// Makes the description of an open file of the tree.
    pub fn of_file(file: Arc<OpenFile>) -> Arc<Self> {
        let flags = file.flags();
        Self::new(Object::Node(file), flags)
    }

    /// Returns a number that no other description has had.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Returns what the description stands for.
    #[inline]
    pub const fn object(&self) -> &Object {
        &self.object
    }

    /// Returns the access mode and the status flags.
    #[inline]
    pub fn flags(&self) -> u32 {
        match &self.object {
            Object::Node(file) => file.flags(),
            _ => self.flags.load(Ordering::Relaxed),
        }
    }

    /// Sets the status flags (`F_SETFL`); what cannot be changed stays.
    ///
    /// # Errors
    /// `EPERM` for `O_NOATIME` on somebody else's file.
    pub fn set_flags(&self, flags: u32, who: &Caller<'_>) -> Result<()> {
        match &self.object {
            Object::Node(file) => file.set_flags(flags, who),
            _ => {
                let new = self.flags() & !STATUS_FLAGS | flags & STATUS_FLAGS;
                self.flags.store(new, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Says whether calls answer `EAGAIN` in place of waiting.
    #[inline]
    pub fn is_nonblocking(&self) -> bool {
        self.flags() & O_NONBLOCK != 0
    }

    /// Says whether the description was opened with `O_PATH`: it stands for a place and no more.
    #[inline]
    pub fn is_path_only(&self) -> bool {
        matches!(&self.object, Object::Node(file) if file.is_path())
    }

    /// Says whether it was opened for reading.
    #[inline]
    pub fn readable(&self) -> bool {
        !self.is_path_only() && matches!(self.flags() & O_ACCMODE, O_RDONLY | O_RDWR)
    }

    /// Says whether it was opened for writing.
    #[inline]
    pub fn writable(&self) -> bool {
        !self.is_path_only() && matches!(self.flags() & O_ACCMODE, O_WRONLY | O_RDWR)
    }

    /// Returns the open file of the tree, if there is one behind this.
    pub const fn file(&self) -> Option<&Arc<OpenFile>> {
        match &self.object {
            Object::Node(file) => Some(file),
            Object::Pipe(pipe) => pipe.fifo.as_ref(),
            Object::Tty(tty) => tty.file(),
            _ => None,
        }
    }

    /// Returns the place in the tree of files. A pipe has one of its own, which is part of no tree.
    pub fn place(&self) -> Option<Place> {
        match &self.object {
            Object::Pipe(PipeFile { node: Some(node), .. }) => Some(node.place()),
            _ => self.file().map(|f| f.place().clone()),
        }
    }

    /// Returns the open directory.
    ///
    /// # Errors
    /// `EBADF` for `O_PATH`, `ENOTDIR` for anything else.
    pub fn directory(&self) -> Result<&Arc<OpenFile>> {
        match &self.object {
            Object::Node(file) if file.is_path() => Err(Errno::EBADF),
            Object::Node(file) if file.kind() == Kind::Directory => Ok(file),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Returns what an object without a place is called, and what tells it from others.
    pub const fn anonymous(&self) -> Option<AnonymousFile> {
        Some(match &self.object {
            Object::Node(_) | Object::Pipe(_) | Object::Tty(_) | Object::Socket(_) => return None,
            Object::Epoll(_) => AnonymousFile::Epoll,
            Object::EventFd(_) => AnonymousFile::EventFd,
            Object::SignalFd(_) => AnonymousFile::SignalFd,
            Object::TimerFd(_) => AnonymousFile::TimerFd,
            Object::Inotify(_) => AnonymousFile::Inotify,
            Object::Process(_) => AnonymousFile::Process,
        })
    }

    /// Returns what `fstat(2)` tells.
    pub fn metadata(&self) -> Metadata {
        match &self.object {
            Object::Pipe(PipeFile { node: Some(node), .. }) => vfs::Node::metadata(&**node),
            Object::Socket(socket) => socket.metadata(),
            _ => match self.file() {
                Some(file) if file.is_path() => file.place().metadata(),
                Some(file) => file.node().metadata(),
                None => files::anonymous_metadata(),
            },
        }
    }

    /// Returns what `fstatfs(2)` tells of an object without a place.
    pub fn file_system_status(&self) -> FileSystemStatus {
        match &self.object {
            Object::Socket(_) => socket::status(),
            _ => files::anonymous_status(),
        }
    }

    /// Says whether reads and writes may be given an offset.
    pub fn seekable(&self) -> bool {
        matches!(&self.object, Object::Node(file) if file.node().seekable())
    }

    /// Reads. Never waits.
    ///
    /// # Errors
    /// `EAGAIN` if nothing is there yet; `EINVAL` where there is nothing to read; and what the object answers.
    #[inline]
    pub fn read(&self, cx: &Context<'_>, to: &mut Dest<'_>) -> Result<usize> {
        match &self.object {
            Object::Node(file) => file.read(to),
            Object::Pipe(pipe) => pipe.end.read(to),
            Object::Socket(socket) => socket.read(to),
            Object::Tty(tty) => tty.read(cx, to),
            Object::EventFd(event) => event.read(to),
            Object::SignalFd(signals) => signals.read(cx.thread, to),
            Object::TimerFd(timer) => timer.read(to),
            Object::Inotify(inotify) => inotify.read(to),
            Object::Epoll(_) | Object::Process(_) => Err(Errno::EINVAL),
        }
    }

    /// Writes. Never waits; a source of which nothing was taken is as it was.
    ///
    /// # Errors
    /// `EAGAIN` if there is no room; `EINVAL` where nothing can be written; and what the object answers.
    #[inline]
    pub fn write(&self, cx: &Context<'_>, from: &mut Source<'_>) -> Result<usize> {
        match &self.object {
            Object::Node(file) => at::as_caller(cx, |caller| file.write(from, caller)),
            Object::Pipe(pipe) => pipe.end.write(from, self.write_mode()),
            Object::Socket(socket) => socket.write(cx, from),
            Object::Tty(tty) => tty.write(cx, from),
            Object::EventFd(event) => event.write(from),
            Object::SignalFd(_)
            | Object::TimerFd(_)
            | Object::Inotify(_)
            | Object::Epoll(_)
            | Object::Process(_) => Err(Errno::EINVAL),
        }
    }

    /// Says whether each write to a pipe becomes a packet.
    pub fn write_mode(&self) -> WriteMode {
        if self.flags() & abi::fs::O_DIRECT != 0 { WriteMode::Packet } else { WriteMode::Stream }
    }

    /// Sets the size (`ftruncate(2)`).
    ///
    /// # Errors
    /// `EINVAL` if this is no regular file open for writing, and those of the file system.
    pub fn truncate(&self, size: u64, who: &Caller<'_>) -> Result<()> {
        match &self.object {
            Object::Node(file) => file.truncate(size, who),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Says whether `epoll(7)` can watch it: regular files and directories are always ready, and refused.
    pub fn pollable(&self) -> bool {
        match &self.object {
            Object::Node(file) => file.node().wait_queue().is_some(),
            _ => true,
        }
    }

    /// Says what the object is ready for, to this thread.
    pub fn readiness(&self, thread: &Thread) -> Readiness {
        self.readiness_within(thread, 0)
    }

    /// As [`Self::readiness`]; `depth` counts the epoll instances above this one.
    pub(crate) fn readiness_within(&self, thread: &Thread, depth: u32) -> Readiness {
        match &self.object {
            Object::Node(file) => file.node().readiness(),
            Object::Pipe(pipe) => pipe.end.readiness(),
            Object::Tty(tty) => tty.readiness(),
            Object::Epoll(epoll) if depth <= epoll::MAX_NESTS => epoll.readiness(thread, depth + 1),
            Object::Epoll(_) => Readiness::empty(),
            Object::EventFd(event) => event.readiness(),
            Object::SignalFd(signals) => signals.readiness(thread),
            Object::TimerFd(timer) => timer.readiness(),
            Object::Inotify(inotify) => inotify.readiness(),
            Object::Process(process) => files::process_readiness(process),
            Object::Socket(socket) => socket.socket().readiness(),
        }
    }

    /// Registers a waker with whatever wakes when the readiness changes.
    pub fn watch(&self, thread: &Thread, interest: Readiness, waker: &Waker, sharing: Sharing) -> Watch {
        let add = |queue: &Arc<WaitQueue>| match sharing {
            Sharing::All => queue.add(interest, waker),
            Sharing::Exclusive => queue.add_exclusive(interest, waker),
        };
        let queues = match &self.object {
            Object::Node(file) => [file.node().wait_queue().as_ref().map(add), None],
            Object::Pipe(pipe) => [Some(add(pipe.end.pipe().wait_queue())), None],
            Object::Tty(tty) => [Some(add(tty.queue())), None],
            Object::Epoll(epoll) => [Some(add(epoll.pollers())), None],
            Object::EventFd(event) => [Some(add(event.queue())), None],
            Object::TimerFd(timer) => [Some(add(timer.queue())), None],
            Object::SignalFd(_) => SignalFd::queues(thread).map(|queue| Some(add(queue))),
            Object::Inotify(inotify) => [Some(add(inotify.queue())), None],
            Object::Process(process) => [Some(add(&process.exit_events)), None],
            Object::Socket(socket) => [Some(add(socket.socket().queue())), None],
        };
        Watch { _queues: queues }
    }

    /// Returns the key under which the file's locks are kept, and the owner that this description is.
    ///
    /// # Errors
    /// `EBADF` for `O_PATH` and for what has no place in the tree.
    pub fn lock_key(&self) -> Result<(FileKey, u64)> {
        let file = self.file().filter(|f| !f.is_path()).ok_or(Errno::EBADF)?;
        Ok((file.lock_key(), file.id()))
    }

    pub(crate) fn add_watcher(&self, item: &Arc<epoll::Item>) {
        self.watchers.lock().push(Arc::downgrade(item));
    }

    pub(crate) fn remove_watcher(&self, item: &Arc<epoll::Item>) {
        let gone: Vec<Weak<epoll::Item>> = {
            let mut watchers = self.watchers.lock();
            let is_it = |w: &mut Weak<epoll::Item>| core::ptr::eq(w.as_ptr(), Arc::as_ptr(item));
            watchers.extract_if(.., is_it).collect()
        };
        drop(gone);
    }
}

const fn access_of(side: Side) -> u32 {
    match (side.contains(Side::READ), side.contains(Side::WRITE)) {
        (true, true) => O_RDWR,
        (false, true) => O_WRONLY,
        _ => O_RDONLY,
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        let watchers = core::mem::take(self.watchers.get_mut());
        let address = core::ptr::from_ref(self).addr();
        for item in watchers.iter().filter_map(Weak::upgrade) {
            item.description_closed(address);
        }
    }
}

impl core::fmt::Debug for Description {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Description({}, {:#o})", self.id, self.flags())
    }
}
