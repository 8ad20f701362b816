//! The oracle: a directory of the host's tmpfs.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    self, Access, AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, OFlags, RenameFlags, SeekFrom, Stat,
    Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io;

use crate::ops::{Answer, Op, SLOTS, System, digest};

/// A directory below `/dev/shm`, removed at the end.
pub(crate) struct Host {
    base: PathBuf,
    root: OwnedFd,
    slots: [Option<OwnedFd>; SLOTS],
    blocks: bool,
}

fn number(error: io::Errno) -> i32 {
    error.raw_os_error()
}

impl Host {
    pub(crate) fn new(name: &str) -> Self {
        rustix::process::umask(Mode::from_raw_mode(0o022));
        let base = PathBuf::from(format!("/dev/shm/vfs-differential-{}-{name}", std::process::id()));
        std::fs::create_dir(&base).expect("a new directory");
        fs::chmod(&base, Mode::from_raw_mode(0o777)).expect("its mode");
        let root = fs::open(&base, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).expect("opens");
        Self { base, root, slots: [const { None }; SLOTS], blocks: true }
    }

    /// Leaves out how many blocks are allocated, and where holes are.
    pub(crate) fn keep_clear_of_blocks(&mut self) {
        self.blocks = false;
    }

    /// Removes what has a name of 255 bytes: mkfs.erofs 1.5 cannot store those.
    pub(crate) fn remove_longest_names(&self) {
        let mut waiting = vec![self.base.clone()];
        while let Some(directory) = waiting.pop() {
            for entry in std::fs::read_dir(directory).expect("a directory") {
                let entry = entry.expect("an entry");
                let is_dir = entry.file_type().expect("its type").is_dir();
                match (entry.file_name().len() == 255, is_dir) {
                    (true, true) => std::fs::remove_dir_all(entry.path()).expect("removes"),
                    (true, false) => std::fs::remove_file(entry.path()).expect("removes"),
                    (false, true) => waiting.push(entry.path()),
                    (false, false) => {}
                }
            }
        }
    }

    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Becomes user 1000 in groups 1000 and 2000, for this thread.
    pub(crate) fn become_user(&mut self) {
        let gid = Gid::from_raw(1000);
        rustix::thread::set_thread_groups(&[Gid::from_raw(2000)]).expect("groups");
        rustix::thread::set_thread_res_gid(gid, gid, gid).expect("group");
        let uid = Uid::from_raw(1000);
        // The saved one stays root's, so that the directory can be removed at the end.
        rustix::thread::set_thread_res_uid(uid, uid, Uid::ROOT).expect("user");
    }

    fn absolute(&self, path: &[u8]) -> Option<PathBuf> {
        // An empty path is an error of its own, and a long one must stay as long.
        (!path.is_empty()).then(|| self.base.join(OsStr::from_bytes(path)))
    }

    fn slot(&self, slot: usize) -> Result<&OwnedFd, i32> {
        self.slots[slot].as_ref().ok_or(9)
    }

    fn stat(&self, stat: &Stat) -> String {
        describe(stat, self.blocks)
    }

    fn step(&mut self, op: &Op) -> Result<String, i32> {
        let p = |path: &[u8]| OsStr::from_bytes(path).to_owned();
        let mode = |mode: u32| Mode::from_raw_mode(mode & 0o7777);
        let follow = |follow: bool| if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let done = |result: io::Result<()>| result.map(|()| String::new()).map_err(number);
        let root = &self.root;
        match op {
            Op::Open { slot, path, flags, mode: m } => {
                let flags = OFlags::from_bits_retain(*flags) | OFlags::NONBLOCK;
                let file = fs::openat(root, p(path), flags, mode(*m)).map_err(number)?;
                let path_only = flags.contains(OFlags::PATH);
                let stat = fs::fstat(&file).map_err(number)?;
                if !path_only && FileType::from_raw_mode(stat.st_mode) == FileType::Fifo {
                    // Reading and writing pipes is tested elsewhere.
                    return Ok("a fifo".into());
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
                let n = io::read(self.slot(*slot)?, &mut buffer).map_err(number)?;
                Ok(digest(&buffer[..n]))
            }
            Op::Write { slot, len, byte } => {
                io::write(self.slot(*slot)?, &vec![*byte; *len]).map(|n| n.to_string()).map_err(number)
            }
            Op::ReadAt { slot, offset, len } => {
                let mut buffer = vec![0; *len];
                let n = io::pread(self.slot(*slot)?, &mut buffer, *offset).map_err(number)?;
                Ok(digest(&buffer[..n]))
            }
            Op::WriteAt { slot, offset, len, byte } => {
                io::pwrite(self.slot(*slot)?, &vec![*byte; *len], *offset)
                    .map(|n| n.to_string())
                    .map_err(number)
            }
            Op::Seek { slot, offset, whence } => {
                let to = match whence {
                    0 if *offset < 0 => return Ok("negative".into()),
                    0 => SeekFrom::Start(offset.unsigned_abs()),
                    1 => SeekFrom::Current(*offset),
                    2 => SeekFrom::End(*offset),
                    _ if *offset < 0 || !self.blocks => return Ok("skipped".into()),
                    3 => SeekFrom::Data(offset.unsigned_abs()),
                    _ => SeekFrom::Hole(offset.unsigned_abs()),
                };
                let fd = self.slot(*slot)?;
                let is_dir =
                    fs::fstat(fd).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
                if is_dir && *whence != 0 {
                    return Ok("a directory".into());
                }
                if is_dir && *offset != 0 {
                    return Ok("a directory".into());
                }
                fs::seek(fd, to).map(|n| n.to_string()).map_err(number)
            }
            Op::SetLen { slot, len } => done(fs::ftruncate(self.slot(*slot)?, *len)),
            Op::Allocate { slot, mode, offset, len } => {
                if *offset < 0 || *len <= 0 {
                    return Ok("skipped".into());
                }
                let flags = FallocateFlags::from_bits_retain(*mode);
                done(fs::fallocate(self.slot(*slot)?, flags, offset.unsigned_abs(), len.unsigned_abs()))
            }
            Op::StatSlot { slot } => fs::fstat(self.slot(*slot)?).map(|s| self.stat(&s)).map_err(number),
            Op::List { slot } => {
                let fd = self.slot(*slot)?;
                let mut buffer = Vec::with_capacity(4096);
                let mut names = Vec::new();
                // Whether names made after the end was reached still appear is left open by POSIX.
                let _ = fs::seek(fd, SeekFrom::Start(0));
                let mut dir = fs::RawDir::new(fd, buffer.spare_capacity_mut());
                while let Some(entry) = dir.next() {
                    let entry = entry.map_err(number)?;
                    names.push(format!("{:?} {:?}", entry.file_name(), entry.file_type()));
                }
                names.sort();
                Ok(names.join(","))
            }
            Op::Stat { path, follow: f } => {
                fs::statat(root, p(path), follow(*f)).map(|s| self.stat(&s)).map_err(number)
            }
            Op::Mkdir { path, mode: m } => done(fs::mkdirat(root, p(path), mode(*m))),
            Op::Mknod { path, mode: m, rdev } => {
                let result = fs::mknodat(root, p(path), FileType::from_raw_mode(*m), mode(*m), *rdev);
                done(result)
            }
            Op::Symlink { target, path } => done(fs::symlinkat(OsStr::from_bytes(target), root, p(path))),
            Op::ReadLink { path } => {
                fs::readlinkat(root, p(path), Vec::new()).map(|t| format!("{t:?}")).map_err(number)
            }
            Op::Link { old, new, follow } => {
                let flags = if *follow { AtFlags::SYMLINK_FOLLOW } else { AtFlags::empty() };
                done(fs::linkat(root, p(old), root, p(new), flags))
            }
            Op::Unlink { path } => done(fs::unlinkat(root, p(path), AtFlags::empty())),
            Op::Rmdir { path } => done(fs::unlinkat(root, p(path), AtFlags::REMOVEDIR)),
            Op::Rename { old, new, flags } => {
                done(fs::renameat_with(root, p(old), root, p(new), RenameFlags::from_bits_retain(*flags)))
            }
            Op::Chmod { path, mode: m } => done(fs::chmodat(root, p(path), mode(*m), AtFlags::empty())),
            Op::Chown { path, uid, gid, follow: f } => {
                let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
                done(fs::chownat(root, p(path), uid, gid, follow(*f)))
            }
            Op::Truncate { path, len } => {
                let path = self.absolute(path).ok_or(2)?;
                if path.as_os_str().len() > 4000 {
                    return Err(36);
                }
                match nix_truncate(&path, *len) {
                    Ok(()) => Ok(String::new()),
                    Err(error) => Err(error),
                }
            }
            Op::Access { path, mode } => {
                done(fs::accessat(root, p(path), Access::from_bits_truncate(*mode), AtFlags::empty()))
            }
            Op::SetTimes { path, atime, mtime } => {
                let time = |choice: u8| Timespec {
                    tv_sec: 1_000_000,
                    tv_nsec: match choice {
                        0 => UTIME_OMIT,
                        1 => UTIME_NOW,
                        _ => 5,
                    },
                };
                let times = Timestamps { last_access: time(*atime), last_modification: time(*mtime) };
                done(fs::utimensat(root, p(path), &times, AtFlags::empty()))
            }
            Op::SetXattr { path, name, value, flags } => {
                let path = self.absolute(path).ok_or(2)?;
                done(fs::setxattr(path, *name, value, XattrFlags::from_bits_retain(*flags)))
            }
            Op::GetXattr { path, name } => {
                let path = self.absolute(path).ok_or(2)?;
                let mut value = vec![0; 1 << 16];
                let n = fs::getxattr(path, *name, &mut value[..]).map_err(number)?;
                Ok(digest(&value[..n]))
            }
            Op::ListXattr { path } => {
                let path = self.absolute(path).ok_or(2)?;
                list_xattr(&path)
            }
            Op::RemoveXattr { path, name } => {
                let path = self.absolute(path).ok_or(2)?;
                done(fs::removexattr(path, *name))
            }
        }
    }
}

/// `truncate(2)`: the only call of which rustix has no form.
fn nix_truncate(path: &Path, len: u64) -> Result<(), i32> {
    // Opening and cutting checks what truncate(2) checks, but for the order of the errors for special files.
    let stat = fs::stat(path).map_err(number)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(21),
        _ => return Err(22),
    }
    let file = fs::open(path, OFlags::WRONLY, Mode::empty()).map_err(number)?;
    fs::ftruncate(file, len).map_err(number)
}

fn list_xattr(path: &Path) -> Answer {
    let mut names = vec![0; 1 << 16];
    let n = fs::listxattr(path, &mut names[..]).map_err(number)?;
    let mut names: Vec<_> = names[..n].split(|&b| b == 0).map(String::from_utf8_lossy).collect();
    names.sort();
    Ok(names.join(","))
}

fn describe(s: &Stat, blocks: bool) -> String {
    let kind = FileType::from_raw_mode(s.st_mode);
    let size = if kind == FileType::Directory { 0 } else { s.st_size };
    let blocks = if blocks && kind == FileType::RegularFile { s.st_blocks } else { 0 };
    let rdev = if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) { s.st_rdev } else { 0 };
    let mtime = if s.st_mtime == 1_000_000 { "set" } else { "recent" };
    format!(
        "{:o} links {} owner {}:{} size {size} blocks {blocks} rdev {rdev} mtime {mtime}",
        s.st_mode, s.st_nlink, s.st_uid, s.st_gid
    )
}

impl System for Host {
    fn run(&mut self, op: &Op) -> Answer {
        self.step(op)
    }

    fn tree(&mut self) -> Vec<String> {
        // Looked at with root's rights, as the other side is.
        let effective = rustix::process::geteuid();
        if !effective.is_root() {
            rustix::thread::set_thread_res_uid(effective, Uid::ROOT, Uid::ROOT).expect("root again");
        }
        let mut lines = Vec::new();
        let mut waiting = vec![PathBuf::new()];
        while let Some(path) = waiting.pop() {
            let full = self.base.join(&path);
            let stat = fs::statat(CWD, &full, AtFlags::SYMLINK_NOFOLLOW).expect("is there");
            let content = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    for entry in std::fs::read_dir(&full).expect("a directory") {
                        waiting.push(path.join(entry.expect("an entry").file_name()));
                    }
                    list_xattr(&full).unwrap_or_default()
                }
                FileType::RegularFile => {
                    let names = list_xattr(&full).unwrap_or_default();
                    format!("{} {names}", digest(&std::fs::read(&full).expect("a file")))
                }
                FileType::Symlink => {
                    format!("{:?}", std::fs::read_link(&full).expect("a link").as_os_str().as_bytes())
                }
                _ => String::new(),
            };
            let name = if path.as_os_str().is_empty() { "" } else { path.to_str().expect("plain names") };
            lines.push(format!("{name}: {} {content}", self.stat(&stat)));
        }
        if !effective.is_root() {
            rustix::thread::set_thread_res_uid(effective, effective, Uid::ROOT).expect("the user again");
        }
        lines.sort();
        lines
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let uid = rustix::process::geteuid();
        if !uid.is_root() {
            let _ = rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT);
        }
        let _ = std::fs::remove_dir_all(&self.base);
    }
}
