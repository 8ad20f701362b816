//! The subject: our path walk on a file system in memory, or on an overlay above an image.

use std::path::Path;
use std::sync::Arc;

use abi::Errno;
use hal::fake::FakeMachine;
use hal::{Dest, Frame, PAGE_SIZE, PageStore, Source};
use vfs::fs::ram::{RamFs, RamOptions};
use vfs::{
    Allocate, Caller, Credentials, Environment, FileSystem, Follow, Kind, Metadata, NoEvents, OpenFile,
    Place, Protection, SetTime, Time, Vfs, Walk, Want, Whence, XattrMode,
};

use crate::ops::{Answer, Op, SLOTS, System, digest};

/// A system of files of our own.
pub(crate) struct Ours {
    vfs: Vfs,
    root: Place,
    credentials: Credentials,
    slots: [Option<Arc<OpenFile>>; SLOTS],
    blocks: bool,
}

/// An image in memory.
struct Store(Vec<Frame>);

impl PageStore for Store {
    fn len(&self) -> u64 {
        (self.0.len() * PAGE_SIZE) as u64
    }

    fn page(&self, index: u64) -> abi::Result<Frame> {
        usize::try_from(index).ok().and_then(|i| self.0.get(i)).cloned().ok_or(Errno::EINVAL)
    }
}

fn environment() -> Environment {
    let platform = FakeMachine::new(1).platform;
    Environment { clock: platform.clock, entropy: platform.entropy, events: Arc::new(NoEvents) }
}

impl Ours {
    fn above(environment: Environment, fs: Arc<dyn FileSystem>, blocks: bool) -> Self {
        let vfs = Vfs::new(environment);
        let root = vfs.mount_root(fs, "root");
        let settings = [
            ("hardlinks", Protection::Hardlinks),
            ("symlinks", Protection::Symlinks),
            ("regular", Protection::Regular),
            ("fifos", Protection::Fifos),
        ];
        for (name, which) in settings {
            let text = std::fs::read_to_string(format!("/proc/sys/fs/protected_{name}")).unwrap_or_default();
            vfs.set_protection(which, text.trim().parse().unwrap_or(0));
        }
        Self { vfs, root, credentials: Credentials::root(), slots: [const { None }; SLOTS], blocks }
    }

    /// Starts with an empty file system in memory.
    pub(crate) fn ram() -> Self {
        let environment = environment();
        let options = RamOptions { mode: 0o777, ..RamOptions::default() };
        let fs = RamFs::new(&environment, &options);
        Self::above(environment, fs, true)
    }

    /// Starts with an overlay above an image of a directory, made by `mkfs.erofs`; `None` where there is none.
    pub(crate) fn overlay(from: &Path) -> Option<Self> {
        let image = from.with_extension("erofs");
        let made =
            std::process::Command::new("mkfs.erofs").arg("-x1").arg("-d2").arg(&image).arg(from).output();
        let Ok(output) = made else {
            eprintln!("note: skipped, for there is no mkfs.erofs (Debian package erofs-utils)");
            return None;
        };
        if !output.status.success() {
            let find = std::process::Command::new("find").arg(from).arg("-ls").output().expect("find");
            eprintln!("{}", String::from_utf8_lossy(&find.stdout));
        }
        assert!(output.status.success(), "mkfs.erofs: {}", String::from_utf8_lossy(&output.stderr));
        let bytes = std::fs::read(&image).expect("the image");
        let _ = std::fs::remove_file(&image);
        let frames = bytes.chunks(PAGE_SIZE).map(|page| {
            let frame = Frame::zeroed().expect("memory");
            frame.write(0, page);
            frame
        });
        let store = Arc::new(Store(frames.collect()));
        let lower = vfs::fs::erofs::Erofs::open(store, vfs::fs::anonymous_dev()).expect("an image");
        let environment = environment();
        let lower: Arc<dyn FileSystem> = lower;
        let fs = vfs::fs::overlay::above(&environment, &lower, &RamOptions::default());
        Some(Self::above(environment, fs, false))
    }

    /// Leaves out how many blocks are allocated, and where holes are.
    pub(crate) fn keep_clear_of_blocks(&mut self) {
        self.blocks = false;
    }

    /// Becomes user 1000 in groups 1000 and 2000.
    pub(crate) fn become_user(&mut self) {
        self.credentials = Credentials { groups: Arc::from([2000]), ..Credentials::user(1000, 1000) };
    }

    fn caller(&self) -> Caller<'_> {
        Caller { umask: 0o022, ..Caller::kernel(&self.credentials) }
    }

    fn walk(&self) -> Walk<'_> {
        Walk { vfs: &self.vfs, caller: self.caller(), root: &self.root, start: &self.root, resolve: 0 }
    }

    fn slot(&self, slot: usize) -> Result<&Arc<OpenFile>, Errno> {
        self.slots[slot].as_ref().ok_or(Errno::EBADF)
    }

    fn describe(&self, m: &Metadata) -> String {
        let size = if m.kind == Kind::Directory { 0 } else { m.size };
        let blocks = if self.blocks && m.kind == Kind::File { m.blocks } else { 0 };
        let rdev = if matches!(m.kind, Kind::CharDevice | Kind::BlockDevice) { m.rdev } else { 0 };
        let mtime = if m.mtime.seconds == 1_000_000 { "set" } else { "recent" };
        format!(
            "{:o} links {} owner {}:{} size {size} blocks {blocks} rdev {rdev} mtime {mtime}",
            m.st_mode(),
            m.nlink,
            m.uid,
            m.gid
        )
    }

    fn step(&mut self, op: &Op) -> Result<String, Errno> {
        let walk = self.walk();
        let who = &self.credentials;
        let follow = |yes: bool| if yes { Follow::Yes } else { Follow::No };
        let done = |result: abi::Result<()>| result.map(|()| String::new());
        match op {
            Op::Open { slot, path, flags, mode } => {
                let file = walk.open(path, *flags | 0o4000, *mode)?;
                if file.kind() == Kind::Fifo && !file.is_path() && flags & 3 == 1 {
                    // What the layer above does: a fifo cannot be opened for writing while nobody reads.
                    return Err(Errno::ENXIO);
                }
                if file.kind() == Kind::Fifo && !file.is_path() {
                    return Ok("a fifo".into());
                }
                if file.kind() == Kind::CharDevice && !file.is_path() && file.place().metadata().rdev == 0 {
                    return Err(Errno::ENXIO);
                }
                self.slots[*slot] = Some(file);
                Ok(String::new())
            }
            Op::Close { slot } => {
                self.slots[*slot] = None;
                Ok(String::new())
            }
            Op::Read { slot, len } => {
                let mut buffer = vec![0; *len];
                let n = self.slot(*slot)?.read(&mut Dest::kernel(&mut buffer))?;
                Ok(digest(&buffer[..n]))
            }
            Op::Write { slot, len, byte } => {
                let bytes = vec![*byte; *len];
                Ok(self.slot(*slot)?.write(&mut Source::kernel(&bytes), &walk.caller)?.to_string())
            }
            Op::ReadAt { slot, offset, len } => {
                let mut buffer = vec![0; *len];
                let n = self.slot(*slot)?.read_at(*offset, &mut Dest::kernel(&mut buffer))?;
                Ok(digest(&buffer[..n]))
            }
            Op::WriteAt { slot, offset, len, byte } => {
                let bytes = vec![*byte; *len];
                let n = self.slot(*slot)?.write_at(*offset, &mut Source::kernel(&bytes), &walk.caller)?;
                Ok(n.to_string())
            }
            Op::Seek { slot, offset, whence } => {
                let whence = match whence {
                    0 if *offset < 0 => return Ok("negative".into()),
                    0 => Whence::Set,
                    1 => Whence::Current,
                    2 => Whence::End,
                    _ if *offset < 0 || !self.blocks => return Ok("skipped".into()),
                    3 => Whence::Data,
                    _ => Whence::Hole,
                };
                let file = self.slot(*slot)?;
                if file.kind() == Kind::Directory
                    && (whence != Whence::Set || *offset != 0)
                    && !file.is_path()
                {
                    return Ok("a directory".into());
                }
                if file.is_path() && file.kind() == Kind::Directory && (whence != Whence::Set || *offset != 0)
                {
                    return Ok("a directory".into());
                }
                Ok(file.seek(*offset, whence)?.to_string())
            }
            Op::SetLen { slot, len } => done(self.slot(*slot)?.truncate(*len, &walk.caller)),
            Op::Allocate { slot, mode, offset, len } => {
                if *offset < 0 || *len <= 0 {
                    return Ok("skipped".into());
                }
                let what = Allocate::from_bits_retain(*mode);
                done(self.slot(*slot)?.allocate(what, *offset, *len, &walk.caller))
            }
            Op::StatSlot { slot } => Ok(self.describe(&self.slot(*slot)?.place().metadata())),
            Op::List { slot } => {
                let file = self.slot(*slot)?;
                let mut names = Vec::new();
                let _ = file.seek(0, Whence::Set);
                // In small steps, as a program with a small buffer would.
                loop {
                    let before = names.len();
                    let mut room = 3;
                    file.read_dir(&mut |entry| {
                        if room == 0 {
                            return false;
                        }
                        room -= 1;
                        let name = std::ffi::CString::new(entry.name).expect("no NUL");
                        let kind = rustix::fs::FileType::from_raw_mode(entry.kind.mode_bits());
                        names.push(format!("{name:?} {kind:?}"));
                        true
                    })?;
                    if names.len() == before {
                        break;
                    }
                }
                names.sort();
                Ok(names.join(","))
            }
            Op::Stat { path, follow: f } => Ok(self.describe(&walk.lookup(path, follow(*f))?.metadata())),
            Op::Mkdir { path, mode } => walk.make_directory(path, *mode).map(|_| String::new()),
            Op::Mknod { path, mode, rdev } => {
                let kind = match Kind::from_mode(*mode) {
                    Some(Kind::Anonymous) => Kind::File,
                    Some(kind) => kind,
                    None => return Err(Errno::EINVAL),
                };
                walk.make_node(path, kind, *mode, *rdev).map(|_| String::new())
            }
            Op::Symlink { target, path } => walk.make_symlink(path, target).map(|_| String::new()),
            Op::ReadLink { path } => {
                let text = walk.lookup(path, Follow::No)?.read_link(&walk.caller)?;
                Ok(format!("{:?}", std::ffi::CString::new(text).expect("no NUL")))
            }
            Op::Link { old, new, follow: f } => {
                let old = walk.lookup(old, follow(*f))?;
                done(walk.make_link(new, &old))
            }
            Op::Unlink { path } => done(walk.unlink(path)),
            Op::Rmdir { path } => done(walk.remove_directory(path)),
            Op::Rename { old, new, flags } => done(walk.rename(old, &walk, new, *flags)),
            Op::Chmod { path, mode } => done(walk.lookup(path, Follow::Yes)?.set_mode(*mode, who)),
            Op::Chown { path, uid, gid, follow: f } => {
                done(walk.lookup(path, follow(*f))?.set_owner(*uid, *gid, who))
            }
            Op::Truncate { path, len } => {
                if path.len() > 3900 {
                    return Err(Errno::ENAMETOOLONG);
                }
                done(walk.lookup(path, Follow::Yes)?.truncate(*len, &walk.caller))
            }
            Op::Access { path, mode } => {
                let place = walk.lookup(path, Follow::Yes)?;
                done(walk.access(&place, Want::from_bits_truncate(*mode)))
            }
            Op::SetTimes { path, atime, mtime } => {
                if (*atime, *mtime) == (0, 0) {
                    // The system call does not even look at the path.
                    return Ok(String::new());
                }
                let time = |choice: u8| match choice {
                    0 => SetTime::Omit,
                    1 => SetTime::Now,
                    _ => SetTime::To(Time { seconds: 1_000_000, nanoseconds: 5 }),
                };
                done(walk.lookup(path, Follow::Yes)?.set_times(time(*atime), time(*mtime), who))
            }
            Op::SetXattr { path, name, value, flags } => {
                let mode = match flags {
                    0 => XattrMode::Either,
                    1 => XattrMode::Create,
                    _ => XattrMode::Replace,
                };
                done(walk.lookup(path, Follow::Yes)?.set_xattr(name.as_bytes(), value, mode, who))
            }
            Op::GetXattr { path, name } => {
                Ok(digest(&walk.lookup(path, Follow::Yes)?.xattr(name.as_bytes(), who)?))
            }
            Op::ListXattr { path } => {
                let names = walk.lookup(path, Follow::Yes)?.list_xattr(who)?;
                let mut names: Vec<_> = names.split(|&b| b == 0).map(String::from_utf8_lossy).collect();
                names.sort();
                Ok(names.join(","))
            }
            Op::RemoveXattr { path, name } => {
                done(walk.lookup(path, Follow::Yes)?.remove_xattr(name.as_bytes(), who))
            }
        }
    }
}

impl System for Ours {
    fn run(&mut self, op: &Op) -> Answer {
        self.step(op).map_err(Errno::number)
    }

    fn tree(&mut self) -> Vec<String> {
        let root = Credentials::root();
        let user = std::mem::replace(&mut self.credentials, root.clone());
        let walk = self.walk();
        let mut lines = Vec::new();
        let mut waiting = vec![Vec::new()];
        while let Some(path) = waiting.pop() {
            let full = [b"/", &path[..]].concat();
            let place = walk.lookup(&full, Follow::No).expect("is there");
            let xattrs = || {
                let names = place.list_xattr(&root).expect("names");
                let mut names: Vec<_> = names.split(|&b| b == 0).map(String::from_utf8_lossy).collect();
                names.sort();
                names.join(",")
            };
            let content = match place.kind() {
                Kind::Directory => {
                    let dir = walk.open(&full, 0o200_000, 0).expect("a directory");
                    dir.read_dir(&mut |entry| {
                        if entry.name != b"." && entry.name != b".." {
                            let mut below = path.clone();
                            if !below.is_empty() {
                                below.push(b'/');
                            }
                            below.extend_from_slice(entry.name);
                            waiting.push(below);
                        }
                        true
                    })
                    .expect("entries");
                    xattrs()
                }
                Kind::File => {
                    let mut bytes = vec![0; 1 << 18];
                    let file = walk.open(&full, 0, 0).expect("a file");
                    let n = file.read(&mut Dest::kernel(&mut bytes)).expect("contents");
                    format!("{} {}", digest(&bytes[..n]), xattrs())
                }
                Kind::Symlink => format!("{:?}", place.read_link(&walk.caller).expect("a link")),
                _ => String::new(),
            };
            let name = String::from_utf8(path).expect("plain names");
            lines.push(format!("{name}: {} {content}", self.describe(&place.metadata())));
        }
        self.credentials = user;
        lines.sort();
        lines
    }
}
