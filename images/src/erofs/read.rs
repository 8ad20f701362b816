//! The image reader for `ls`, `cat`, `cp` and `inspect`: every offset is checked, nothing is trusted.

use super::{
    COMPAT_CHECKSUM, DIRENT_LEN, FLAT_INLINE, FLAT_PLAIN, MAGIC, SLOT, SUPER_LEN, SUPER_OFFSET, crc32c,
};
use crate::problem::Problem;
use crate::tree::Meta;
use anyhow::{Context as _, Result};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Largest directory and symbolic link that are read at once, in bytes: far above what the builder makes.
const DIR_MAX: u64 = 1 << 28;
const LINK_MAX: u64 = 4095;

/// An EROFS image.
#[derive(Debug)]
pub struct Image {
    file: File,
    path: PathBuf,
    len: u64,
    root: u64,
    meta_start: u64,
    block_size: u64,
    inodes: u64,
    build_time: (u64, u32),
}

/// What an inode is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Regular file.
    File,
    /// Directory.
    Dir,
    /// Symbolic link.
    Symlink,
    /// Character device (major, minor).
    Char(u32, u32),
    /// Block device (major, minor).
    Block(u32, u32),
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
}

/// An inode, as read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inode {
    /// Its number: equal numbers are hard links.
    pub nid: u64,
    /// What it is.
    pub kind: Kind,
    /// Owner, permissions, time.
    pub meta: Meta,
    /// Length of the content in bytes.
    pub size: u64,
    /// Number of names.
    pub links: u32,
    /// Where content in blocks starts, in bytes.
    data: u64,
    /// Where the tail behind the inode starts, and the first content byte that it holds.
    tail: Option<(u64, u64)>,
}

/// A name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name.
    pub name: Vec<u8>,
    /// The inode's number.
    pub nid: u64,
}

impl Image {
    /// Says whether `path` starts like an EROFS image; `false` also where it cannot be read.
    pub fn probe(path: &Path) -> bool {
        let mut magic = [0; 4];
        path.is_file()
            && File::open(path).is_ok_and(|f| f.read_exact_at(&mut magic, SUPER_OFFSET as u64).is_ok())
            && u32::from_le_bytes(magic) == MAGIC
    }

    /// Opens an image and checks its superblock.
    ///
    /// # Errors
    /// If it cannot be read, is no EROFS image, is damaged, or uses what this reader does not support.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || -> Result<Self> {
            let file = File::open(path)?;
            let len = file.metadata()?.len();
            let mut sb = [0; SUPER_LEN];
            if file.read_exact_at(&mut sb, SUPER_OFFSET as u64).is_err() || u32_at(&sb, 0) != MAGIC {
                let hint = "`hull build -o FILE PROGRAM` makes images";
                return Err(Problem::new("not an EROFS image").hint(hint).into());
            }
            let bits = sb[12];
            if !(9..=16).contains(&bits) {
                return Err(Problem::new(format!("its block size, 2^{bits}, is not supported")).into());
            }
            let incompatible = u32_at(&sb, 80);
            if incompatible != 0 {
                let what = format!("it uses EROFS features {incompatible:#x} (compression, chunks, devices)");
                return Err(Problem::new(what).hint("Hull's images are uncompressed and plain").into());
            }
            let block_size = 1u64 << bits;
            if u32_at(&sb, 8) & COMPAT_CHECKSUM != 0 {
                let end = block_size.max((SUPER_OFFSET + SUPER_LEN) as u64);
                let mut whole = vec![0; usize::try_from(end)? - SUPER_OFFSET];
                if file.read_exact_at(&mut whole, SUPER_OFFSET as u64).is_err() {
                    return Err(damaged(format!("it is cut short: {len} bytes")));
                }
                whole[4..8].fill(0);
                if crc32c(&whole) != u32_at(&sb, 4) {
                    return Err(damaged("the superblock's checksum does not match"));
                }
            }
            let blocks = u64::from(u32_at(&sb, 36));
            if blocks * block_size > len {
                return Err(damaged(format!("it is cut short: {len} bytes of {}", blocks * block_size)));
            }
            Ok(Self {
                len,
                root: u64::from(u16_at(&sb, 14)),
                meta_start: u64::from(u32_at(&sb, 40)) * block_size,
                block_size,
                inodes: u64_at(&sb, 16),
                build_time: (u64_at(&sb, 24), u32_at(&sb, 32)),
                path: path.into(),
                file,
            })
        };
        open().with_context(|| format!("cannot open image {}", path.display()))
    }

    /// Returns the size of the image in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Says whether the image file is empty; an opened image never is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of inodes that the superblock announces.
    pub fn inodes(&self) -> u64 {
        self.inodes
    }

    /// Returns the root directory.
    ///
    /// # Errors
    /// If the image is damaged.
    pub fn root(&self) -> Result<Inode> {
        let root = self.inode(self.root)?;
        if root.kind == Kind::Dir { Ok(root) } else { Err(self.damaged("the root is not a directory")) }
    }

    /// Reads an inode.
    ///
    /// # Errors
    /// If the image is damaged or the inode uses what is not supported.
    pub fn inode(&self, nid: u64) -> Result<Inode> {
        let at = nid.checked_mul(SLOT).and_then(|o| o.checked_add(self.meta_start));
        let at = at.ok_or_else(|| self.damaged(format!("inode {nid} lies outside")))?;
        let mut raw = [0; 64];
        self.bytes(at, &mut raw[..32])?;
        let format = u16_at(&raw, 0);
        let extended = format & 1 != 0;
        if extended {
            self.bytes(at, &mut raw)?;
        }
        let mode = u16_at(&raw, 4);
        let number = u32_at(&raw, 16);
        let (size, meta, links, union) = if extended {
            let (uid, gid) = (u32_at(&raw, 24), u32_at(&raw, 28));
            let meta =
                Meta { mode: mode & 0o7777, uid, gid, mtime: u64_at(&raw, 32), mtime_ns: u32_at(&raw, 40) };
            (u64_at(&raw, 8), meta, u32_at(&raw, 44), number)
        } else {
            let (uid, gid) = (u16_at(&raw, 24).into(), u16_at(&raw, 26).into());
            let (mtime, mtime_ns) = self.build_time;
            let meta = Meta { mode: mode & 0o7777, uid, gid, mtime, mtime_ns };
            (u32_at(&raw, 8).into(), meta, u16_at(&raw, 6).into(), number)
        };
        let device = (union >> 8 & 0xfff, union & 0xff | union >> 12 & 0xfff00);
        let kind = match mode >> 12 {
            0o01 => Kind::Fifo,
            0o02 => Kind::Char(device.0, device.1),
            0o04 => Kind::Dir,
            0o06 => Kind::Block(device.0, device.1),
            0o10 => Kind::File,
            0o12 => Kind::Symlink,
            0o14 => Kind::Socket,
            _ => return Err(self.damaged(format!("inode {nid} has mode {mode:#o}"))),
        };
        let xattrs = match u64::from(u16_at(&raw, 2)) {
            0 => 0,
            count => 12 + (count - 1) * 4,
        };
        let data = u64::from(union) * self.block_size;
        let inline_at = at + if extended { 64 } else { 32 } + xattrs;
        let tail = match format >> 1 & 7 {
            FLAT_PLAIN => None,
            FLAT_INLINE => Some((inline_at, size - size % self.block_size)),
            other => {
                let what = format!("inode {nid} uses layout {other} (compressed or chunked)");
                return Err(Problem::new(what).hint("Hull's images are uncompressed and plain").into());
            }
        };
        Ok(Inode { nid, kind, meta, size, links, data, tail })
    }

    /// Reads content at `offset` into `out`; returns the bytes read, fewer only at the end.
    ///
    /// # Errors
    /// If the image is damaged or cannot be read.
    pub fn read(&self, inode: &Inode, offset: u64, out: &mut [u8]) -> Result<usize> {
        let want = inode.size.saturating_sub(offset).min(out.len() as u64);
        let end = offset + want;
        let split = inode.tail.map_or(end, |(_, first)| first.clamp(offset, end));
        let (blocks, tail) = out[..usize::try_from(want)?].split_at_mut(usize::try_from(split - offset)?);
        if !blocks.is_empty() {
            let at = inode.data.checked_add(offset);
            self.bytes(at.ok_or_else(|| self.damaged("content lies outside"))?, blocks)?;
        }
        if let Some((at, first)) = inode.tail
            && !tail.is_empty()
        {
            self.bytes(at + (split - first), tail)?;
        }
        Ok(usize::try_from(want)?)
    }

    /// Reads a directory's entries, without `.` and `..`.
    ///
    /// # Errors
    /// If it is no directory, or the image is damaged.
    pub fn entries(&self, dir: &Inode) -> Result<Vec<Entry>> {
        if dir.kind != Kind::Dir {
            return Err(Problem::new("not a directory").into());
        }
        if dir.size > DIR_MAX.min(self.len) {
            return Err(self.damaged(format!("directory inode {} has {} bytes", dir.nid, dir.size)));
        }
        let mut bytes = vec![0; usize::try_from(dir.size)?];
        self.read(dir, 0, &mut bytes)?;
        let mut out = Vec::new();
        for block in bytes.chunks(usize::try_from(self.block_size)?) {
            self.dir_block(dir.nid, block, &mut out)?;
        }
        Ok(out)
    }

    fn dir_block(&self, nid: u64, block: &[u8], out: &mut Vec<Entry>) -> Result<()> {
        let bad = || self.damaged(format!("directory inode {nid} has a damaged block"));
        if block.len() < DIRENT_LEN {
            return Err(bad());
        }
        let first = usize::from(u16_at(block, 8));
        if first < DIRENT_LEN || !first.is_multiple_of(DIRENT_LEN) || first > block.len() {
            return Err(bad());
        }
        let count = first / DIRENT_LEN;
        for index in 0..count {
            let at = index * DIRENT_LEN;
            let start = usize::from(u16_at(block, at + 8));
            let last = index + 1 == count;
            let end = if last { block.len() } else { usize::from(u16_at(block, at + DIRENT_LEN + 8)) };
            let name = block.get(start..end).ok_or_else(bad)?;
            // The last name of a block ends at a zero byte or at the block's end.
            let name = if last { name.split(|&b| b == 0).next().unwrap_or_default() } else { name };
            if name.is_empty() || name.len() > 255 || name.contains(&b'/') || name.contains(&0) {
                return Err(bad());
            }
            if name != b"." && name != b".." {
                out.push(Entry { name: name.to_vec(), nid: u64_at(block, at) });
            }
        }
        Ok(())
    }

    /// Reads a symbolic link's target.
    ///
    /// # Errors
    /// If the image is damaged.
    pub fn target(&self, link: &Inode) -> Result<Vec<u8>> {
        if link.size > LINK_MAX || link.kind != Kind::Symlink {
            return Err(self.damaged(format!("symbolic link inode {} has {} bytes", link.nid, link.size)));
        }
        let mut target = vec![0; usize::try_from(link.size)?];
        self.read(link, 0, &mut target)?;
        Ok(target)
    }

    /// Finds `path`, following symbolic links (the last one only if `follow` says so).
    ///
    /// # Errors
    /// If it does not exist, loops, or the image is damaged.
    pub fn find(&self, path: &Path, follow: Follow) -> Result<Inode> {
        use std::os::unix::ffi::OsStrExt as _;
        let parts = |bytes: &[u8]| -> Vec<Vec<u8>> {
            let parts = bytes.split(|&b| b == b'/').filter(|p| !p.is_empty() && *p != b".");
            parts.rev().map(<[u8]>::to_vec).collect()
        };
        let missing = |why: &str| {
            let message = format!("{}: {why} in image {}", path.display(), self.path.display());
            Problem::new(message).hint(format!("`hull ls -R {}` lists what is in it", self.path.display()))
        };
        let mut left = parts(path.as_os_str().as_bytes());
        let mut trail = vec![self.root()?];
        let mut links = 0;
        while let Some(name) = left.pop() {
            let here = *trail.last().context("the root is always there")?;
            if name == b".." {
                trail.truncate(trail.len().saturating_sub(1).max(1));
                continue;
            }
            if here.kind != Kind::Dir {
                return Err(missing("a part of it is not a directory").into());
            }
            let entry = self.entries(&here)?.into_iter().find(|e| e.name == name);
            let inode = self.inode(entry.ok_or_else(|| missing("no such file"))?.nid)?;
            if inode.kind == Kind::Symlink && (follow == Follow::Yes || !left.is_empty()) {
                links += 1;
                if links > 40 {
                    return Err(missing("too many levels of symbolic links").into());
                }
                let target = self.target(&inode)?;
                if target.starts_with(b"/") {
                    trail.truncate(1);
                }
                left.extend(parts(&target));
            } else {
                trail.push(inode);
            }
        }
        trail.pop().context("the root is always there")
    }

    fn bytes(&self, at: u64, out: &mut [u8]) -> Result<()> {
        if at.checked_add(out.len() as u64).is_none_or(|end| end > self.len) {
            return Err(self.damaged(format!("it refers to byte {at}, behind its end")));
        }
        self.file.read_exact_at(out, at).with_context(|| format!("cannot read {}", self.path.display()))
    }

    fn damaged(&self, what: impl std::fmt::Display) -> anyhow::Error {
        damaged(format!("image {}: {what}", self.path.display()))
    }
}

/// Whether the last symbolic link of a path is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    /// It is.
    Yes,
    /// It is not: the link itself is meant.
    No,
}

fn damaged(what: impl Into<String>) -> anyhow::Error {
    Problem::new(format!("damaged: {}", what.into())).hint("build the image again").into()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u16::from_le_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u64::from_le_bytes(*b))
}
