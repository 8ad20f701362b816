//! `fd` and `fdinfo` of a process or thread.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::fs::{O_CLOEXEC, O_CREAT, O_EXCL, O_NOCTTY, O_TRUNC};
use abi::{Errno, Result};
use vfs::fs::synthetic::{Directory, Entry, File, Link, ListSink};
use vfs::{Caller, FileSystem, Kind, LinkTarget, Metadata, Node, Place};

use super::Text;
use super::task::{Subject, number, viewer_root};
use crate::decode::Fd;
use crate::eventfd::Take;
use crate::proc::{CloseOnExec, Description, FdTable, Object};

/// `/proc/PID/fd` (`proc_pid_fd(5)`) and `/proc/PID/fdinfo` (`proc_pid_fdinfo(5)`).
pub(super) struct Descriptors {
    pub(super) subject: Subject,
    pub(super) info: bool,
}

impl Descriptors {
    fn table(&self) -> Result<Arc<FdTable>> {
        self.subject.check().map_err(|_| Errno::ENOENT)?;
        // A process that has ended has closed its descriptors.
        Ok(self.subject.thread().map_or_else(Arc::default, |thread| thread.files()))
    }
}

impl Directory for Descriptors {
    fn lookup(&self, name: &[u8]) -> Result<Entry> {
        let fd = Fd(i32::try_from(number(name)?).map_err(|_| Errno::ENOENT)?);
        let description = self.table()?.get(fd).map_err(|_| Errno::ENOENT)?;
        let subject = self.subject.clone();
        if self.info {
            return Ok(self.subject.own(Entry::file(0o444, Info { subject, fd })));
        }
        // LINUX: the link's own permission bits say how the file was opened.
        let mut mode = 0;
        mode |= if description.readable() { 0o500 } else { 0 };
        mode |= if description.writable() { 0o300 } else { 0 };
        Ok(self.subject.own(Entry::link(Opened { subject, fd }).mode(mode).size(64)))
    }

    fn list(&self, cursor: u64, sink: &mut ListSink<'_>) -> Result<()> {
        let kind = if self.info { Kind::File } else { Kind::Symlink };
        for fd in self.table()?.list() {
            let number = u64::from(fd.0.unsigned_abs());
            if number >= cursor && !sink(format!("{number}").as_bytes(), kind, number + 1) {
                break;
            }
        }
        Ok(())
    }
}

/// The link that stands for a descriptor.
struct Opened {
    subject: Subject,
    fd: Fd,
}

impl Opened {
    fn description(&self, caller: &Caller<'_>) -> Result<Arc<Description>> {
        self.subject.inspect(caller)?;
        let thread = self.subject.thread().ok_or(Errno::ENOENT)?;
        thread.files().get(self.fd).map_err(|_| Errno::ENOENT)
    }
}

/// Returns the name of what a descriptor refers to, as links show it.
fn name(description: &Description, root: &Place) -> Vec<u8> {
    if let Some(kind) = description.anonymous() {
        return kind.name().as_bytes().to_vec();
    }
    match description.place() {
        // Pipes live in a file system that is mounted nowhere, and are called by their kind and number.
        Some(place) if place.mount.tree.file_system.name() == "pipefs" => {
            format!("pipe:[{}]", place.metadata().ino).into_bytes()
        }
        Some(place) => place.display(root),
        None => format!("socket:[{}]", description.metadata().ino).into_bytes(),
    }
}

impl Link for Opened {
    fn text(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        let description = self.description(caller)?;
        Ok(name(&description, &viewer_root(self.subject.system(), caller)))
    }

    fn follow(&self, caller: &Caller<'_>) -> Result<LinkTarget> {
        let description = self.description(caller)?;
        let place = description.place().unwrap_or_else(|| {
            let mount = &self.subject.system().files.pipes;
            let file_system = Arc::clone(&mount.tree.file_system);
            let node = AnonymousNode { metadata: description.metadata(), file_system };
            Place::unnamed(mount, Arc::new(node), b"anon_inode")
        });
        Ok(LinkTarget::Place(place))
    }
}

/// What a link to an object without a place leads to: it can be looked at, not opened.
struct AnonymousNode {
    metadata: Metadata,
    file_system: Arc<dyn FileSystem>,
}

impl Node for AnonymousNode {
    fn kind(&self) -> Kind {
        self.metadata.kind
    }

    fn metadata(&self) -> Metadata {
        self.metadata
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        Arc::clone(&self.file_system)
    }

    fn open(&self, _: u32, _: &Caller<'_>) -> Result<Option<Arc<dyn Node>>> {
        Err(Errno::ENXIO)
    }
}

/// What there is to say of a descriptor.
struct Info {
    subject: Subject,
    fd: Fd,
}

impl File for Info {
    fn read(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        self.subject.check()?;
        let table = self.subject.thread().ok_or(Errno::ENOENT)?.files();
        let description = table.get(self.fd).map_err(|_| Errno::ENOENT)?;
        let cloexec = table.close_on_exec(self.fd) == Ok(CloseOnExec::Yes);
        let mut flags = description.flags() & !(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC);
        flags = if cloexec { flags | O_CLOEXEC } else { flags & !O_CLOEXEC };
        let mount = description.place().map_or(self.subject.system().files.pipes.id, |place| place.mount.id);
        let mut text = Text::default();
        let position = description.file().map_or(0, |file| file.offset());
        put!(text, "pos:\t{position}\nflags:\t0{flags:o}\n");
        put!(text, "mnt_id:\t{mount}\nino:\t{}\n", description.metadata().ino);
        details(&mut text, &self.subject, description.object());
        Ok(text.0)
    }

    fn open(&self, _: u32, caller: &Caller<'_>) -> Result<()> {
        self.subject.inspect(caller)
    }
}

/// Adds what the kinds of object say of themselves.
fn details(text: &mut Text, subject: &Subject, object: &Object) {
    match object {
        Object::EventFd(event) => {
            let (count, take) = event.state();
            put!(text, "eventfd-count: {count:16x}\n");
            put!(text, "eventfd-semaphore: {}\n", u32::from(matches!(take, Take::One)));
        }
        Object::SignalFd(signals) => put!(text, "sigmask:\t{:016x}\n", signals.mask()),
        Object::Inotify(inotify) => inotify.each(|wd, node, mask| {
            let about = node.metadata();
            put!(text, "inotify wd:{wd:x} ino:{:x} sdev:{:x} ", about.ino, kernel_device(about.dev));
            put!(text, "mask:{mask:x} ignored_mask:0\n");
        }),
        Object::Epoll(epoll) => epoll.each(|fd, events, data, description| {
            let about = description.metadata();
            let position = description.file().map_or(0, |file| file.offset());
            put!(text, "tfd: {fd:8} events: {events:8x} data: {data:16x}  pos:{position} ");
            put!(text, "ino:{:x} sdev:{:x}\n", about.ino, kernel_device(about.dev));
        }),
        Object::TimerFd(timer) => {
            let setting = timer.get();
            let time = |ns: u64| (ns / 1_000_000_000, ns % 1_000_000_000);
            put!(text, "clockid: {}\n", timer.clock());
            put!(text, "it_value: {:?}\nit_interval: {:?}\n", time(setting.left), time(setting.interval));
        }
        Object::Process(process) => {
            let waited = subject.system().process(process.pid()).is_none();
            let pid = if waited { -1 } else { i64::from(process.pid()) };
            put!(text, "Pid:\t{pid}\nNSpid:\t{pid}\n");
        }
        _ => {}
    }
}

/// Returns a device number as the kernel keeps it: twelve bits for the major, twenty for the minor number.
fn kernel_device(device: u64) -> u64 {
    let (major, minor) = vfs::fs::dev::parts(device);
    u64::from(major) << 20 | u64::from(minor)
}
