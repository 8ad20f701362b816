//! EROFS, the read-only root: a page of a file is a page of the image, mapped and not copied.
//!
//! Uncompressed images with blocks of 4 KiB, as Hull's builder and `mkfs.erofs` without options write them
//! (Linux's `Documentation/filesystems/erofs.rst`, `fs/erofs/erofs_fs.h`). Nothing is read ahead or indexed.
//! An image is not trusted: every offset is checked, and what does not fit is `EUCLEAN`, as on Linux.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod dir;
mod xattr;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Deref;

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Dest, Frame, PAGE_SIZE, PageStore};
use hashbrown::HashMap;

use crate::Caller;
use crate::node::{FileSystem, Node, PageUse};
use crate::types::{DirSink, FileSystemStatus, Kind, Metadata, Permissions, Time};

const SUPER_OFFSET: u64 = 1024;
const SUPER_LEN: usize = 128;
const MAGIC: u32 = 0xe0f5_e1e2;
const PAGE: u64 = PAGE_SIZE as u64;
/// Inode numbers count units of 32 bytes from the start of the metadata.
const SLOT: u64 = 32;
/// Incompatible features that do not concern how uncompressed files are read: zero-padded clusters.
const INCOMPAT_KNOWN: u32 = 1;
/// Longest symbolic link.
const LINK_MAX: u64 = 4095;

/// How a file's data is laid out, by the number in the inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layout {
    /// Whole blocks, one after the other.
    Plain,
    /// Whole blocks, and the rest behind the inode.
    Inline,
}

/// An EROFS image.
pub struct Erofs {
    this: Weak<Self>,
    store: Arc<dyn PageStore>,
    dev: u64,
    status: FileSystemStatus,
    /// Byte offset of inode number 0.
    metadata: u64,
    /// Byte offset of the shared extended attributes.
    shared_xattrs: u64,
    root: u64,
    /// The root directory's inode, read once so that [`FileSystem::root`] cannot fail.
    root_fields: Option<Fixed>,
    build_time: Time,
    /// Nodes that somebody holds, so that hard links are one node.
    nodes: Lock<HashMap<u64, Weak<Inode>>, { rank::LEAF }>,
}

/// A file of an image.
pub struct Inode {
    fs: Arc<Erofs>,
    nid: u64,
    fixed: Fixed,
    /// The last page of a file whose end is behind the inode, once somebody wanted it.
    tail: Lock<Option<Frame>, { rank::LEAF }>,
}

/// What an inode on the disk says.
#[derive(Clone, Copy)]
pub struct Fixed {
    kind: Kind,
    mode: u32,
    nlink: u32,
    uid: u32,
    gid: u32,
    rdev: u64,
    size: u64,
    mtime: Time,
    layout: Layout,
    /// First block of the data.
    first_block: u64,
    /// Byte offset of the inode's own extended attributes, and their length.
    xattrs: (u64, u64),
}

impl Deref for Inode {
    type Target = Fixed;

    fn deref(&self) -> &Fixed {
        &self.fixed
    }
}

/// Little-endian numbers out of bytes; what lies outside is damage.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Errno::EUCLEAN)
    }

    fn u8(&self, at: usize) -> Result<u8> {
        self.bytes::<1>(at).map(|[b]| b)
    }

    fn u16(&self, at: usize) -> Result<u16> {
        self.bytes(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize) -> Result<u32> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: usize) -> Result<u64> {
        self.bytes(at).map(u64::from_le_bytes)
    }
}

fn add(a: u64, b: u64) -> Result<u64> {
    a.checked_add(b).ok_or(Errno::EUCLEAN)
}

fn times(a: u64, b: u64) -> Result<u64> {
    a.checked_mul(b).ok_or(Errno::EUCLEAN)
}

impl Erofs {
    /// Opens an image.
    ///
    /// # Errors
    /// `EINVAL` if it is none or of a kind that is not supported (compression, other block sizes), `EUCLEAN` if it is
    /// damaged, `EIO`.
    pub fn open(store: Arc<dyn PageStore>, dev: u64) -> Result<Arc<Self>> {
        let mut bytes = [0; SUPER_LEN];
        read_bytes(&*store, SUPER_OFFSET, &mut bytes).map_err(|_| Errno::EINVAL)?;
        let fields = Fields(&bytes);
        if fields.u32(0)? != MAGIC || fields.u8(12)? != 12 || fields.u32(80)? & !INCOMPAT_KNOWN != 0 {
            return Err(Errno::EINVAL);
        }
        let blocks = u64::from(fields.u32(36)?);
        if times(blocks, PAGE)? > store.len().next_multiple_of(PAGE) {
            // The image is cut: better said now than when some file is missing its end.
            return Err(Errno::EUCLEAN);
        }
        let build_time =
            Time { seconds: fields.u64(24)?.cast_signed(), nanoseconds: fields.u32(32)?.min(999_999_999) };
        let status = FileSystemStatus {
            magic: u64::from(MAGIC),
            block_size: PAGE,
            blocks,
            files: fields.u64(16)?,
            id: dev,
            name_len: 255,
            ..FileSystemStatus::default()
        };
        let mut fs = Self {
            this: Weak::new(),
            store,
            dev,
            status,
            metadata: u64::from(fields.u32(40).unwrap_or(0)).saturating_mul(PAGE),
            shared_xattrs: u64::from(fields.u32(44).unwrap_or(0)).saturating_mul(PAGE),
            root: u64::from(fields.u16(14).unwrap_or(0)),
            root_fields: None,
            build_time,
            nodes: Lock::new(HashMap::new()),
        };
        let root = fs.read_inode(fs.root)?;
        if root.kind != Kind::Directory {
            return Err(Errno::EUCLEAN);
        }
        fs.root_fields = Some(root);
        Ok(Arc::new_cyclic(|this| {
            fs.this = Weak::clone(this);
            fs
        }))
    }

    /// Returns the number of bytes of the image that the file system uses: what follows is not its own.
    pub const fn used_bytes(&self) -> u64 {
        self.status.blocks.saturating_mul(PAGE)
    }

    fn read(&self, offset: u64, to: &mut [u8]) -> Result<()> {
        read_bytes(&*self.store, offset, to)
    }

    /// Returns the node with that number: the same one for everyone.
    fn inode(&self, nid: u64) -> Result<Arc<Inode>> {
        if let Some(inode) = self.nodes.lock().get(&nid).and_then(Weak::upgrade) {
            return Ok(inode);
        }
        let fixed = self.read_inode(nid)?;
        self.enter(nid, fixed)
    }

    fn enter(&self, nid: u64, fixed: Fixed) -> Result<Arc<Inode>> {
        let fs = self.this.upgrade().ok_or(Errno::EIO)?;
        let inode = Arc::new(Inode { fs, nid, fixed, tail: Lock::new(None) });
        let mut nodes = self.nodes.lock();
        if let Some(faster) = nodes.get(&nid).and_then(Weak::upgrade) {
            return Ok(faster);
        }
        if nodes.len() == nodes.capacity() {
            nodes.retain(|_, node| node.strong_count() > 0);
        }
        nodes.insert(nid, Arc::downgrade(&inode));
        Ok(inode)
    }

    fn read_inode(&self, nid: u64) -> Result<Fixed> {
        let at = add(self.metadata, times(nid, SLOT)?)?;
        let mut bytes = [0; 64];
        self.read(at, bytes.get_mut(..32).ok_or(Errno::EUCLEAN)?)?;
        let format = Fields(&bytes).u16(0)?;
        let extended = format & 1 != 0;
        if extended {
            self.read(at, &mut bytes)?;
        }
        let fields = Fields(&bytes);
        let layout = match format >> 1 & 7 {
            0 => Layout::Plain,
            2 => Layout::Inline,
            _ => return Err(Errno::EOPNOTSUPP),
        };
        let st_mode = u32::from(fields.u16(4)?);
        let kind = Kind::from_mode(st_mode).ok_or(Errno::EUCLEAN)?;
        let xattr_count = u64::from(fields.u16(2)?);
        let xattr_len = match xattr_count.checked_sub(1) {
            Some(more) => add(12, times(4, more)?)?,
            None => 0,
        };
        let xattr_at = add(at, if extended { 64 } else { 32 })?;
        let place = fields.u32(16)?;
        let device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        let (size, uid, gid, nlink, mtime) = if extended {
            let mtime = Time {
                seconds: fields.u64(32)?.cast_signed(),
                nanoseconds: fields.u32(40)?.min(999_999_999),
            };
            (fields.u64(8)?, fields.u32(24)?, fields.u32(28)?, fields.u32(44)?, mtime)
        } else {
            let (uid, gid) = (u32::from(fields.u16(24)?), u32::from(fields.u16(26)?));
            (u64::from(fields.u32(8)?), uid, gid, u32::from(fields.u16(6)?), self.build_time)
        };
        // Within what an offset of a file can be, so that sums with it do not overflow.
        if size > i64::MAX.cast_unsigned() {
            return Err(Errno::EUCLEAN);
        }
        Ok(Fixed {
            kind,
            mode: st_mode & 0o7777,
            nlink,
            uid,
            gid,
            rdev: if device { u64::from(place) } else { 0 },
            size,
            mtime,
            layout,
            first_block: u64::from(place),
            xattrs: (xattr_at, xattr_len),
        })
    }
}

/// Copies bytes out of the image.
fn read_bytes(store: &dyn PageStore, offset: u64, to: &mut [u8]) -> Result<()> {
    let mut done = 0_usize;
    while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = add(offset, done as u64)?;
        if at >= store.len() {
            return Err(Errno::EUCLEAN);
        }
        let within = page_offset(at);
        let count = rest.len().min(PAGE_SIZE.saturating_sub(within));
        store.page(at / PAGE)?.read(within, rest.get_mut(..count).ok_or(Errno::EUCLEAN)?);
        done = done.saturating_add(count);
    }
    Ok(())
}

const fn page_offset(at: u64) -> usize {
    (at % PAGE) as usize
}

impl Inode {
    /// Where a byte of the data is in the image, and how many follow it there.
    fn locate(&self, offset: u64) -> Result<(u64, u64)> {
        let left = self.size.saturating_sub(offset);
        let whole = match self.layout {
            Layout::Plain => self.size,
            Layout::Inline => (self.size / PAGE).saturating_mul(PAGE),
        };
        if offset < whole {
            Ok((add(times(self.first_block, PAGE)?, offset)?, left.min(whole.saturating_sub(offset))))
        } else {
            let (xattr_at, xattr_len) = self.xattrs;
            let tail = add(xattr_at, xattr_len)?;
            // The end of the data lies in the inode's block, so that it is read with it.
            if page_offset(tail) as u64 > PAGE.saturating_sub(self.size.saturating_sub(whole)) {
                return Err(Errno::EUCLEAN);
            }
            Ok((add(tail, offset.saturating_sub(whole))?, left))
        }
    }

    /// Copies data out; the range lies within the file.
    fn read(&self, offset: u64, to: &mut [u8]) -> Result<()> {
        let mut done = 0_usize;
        while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let (at, len) = self.locate(add(offset, done as u64)?)?;
            let count = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
            if count == 0 {
                return Err(Errno::EUCLEAN);
            }
            self.fs.read(at, rest.get_mut(..count).ok_or(Errno::EUCLEAN)?)?;
            done = done.saturating_add(count);
        }
        Ok(())
    }

    fn data_page(&self, index: u64) -> Result<Frame> {
        let start = index.checked_mul(PAGE).filter(|&at| at < self.size).ok_or(Errno::EINVAL)?;
        if self.layout == Layout::Plain || add(start, PAGE)? <= self.size {
            let (at, _) = self.locate(start)?;
            if at >= self.fs.store.len() {
                return Err(Errno::EUCLEAN);
            }
            return self.fs.store.page(at / PAGE);
        }
        if let Some(frame) = &*self.tail.lock() {
            return Ok(frame.clone());
        }
        let frame = Frame::zeroed().map_err(|_| Errno::ENOMEM)?;
        let mut bytes = alloc::vec![0; page_offset(self.size)];
        self.read(start, &mut bytes)?;
        frame.write(0, &bytes);
        Ok(self.tail.lock().get_or_insert(frame).clone())
    }
}

impl Node for Inode {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn metadata(&self) -> Metadata {
        Metadata {
            ino: self.nid,
            dev: self.fs.dev,
            kind: self.kind,
            mode: self.mode,
            nlink: self.nlink,
            uid: self.uid,
            gid: self.gid,
            rdev: self.rdev,
            size: self.size,
            blocks: self.size.div_ceil(PAGE).saturating_mul(PAGE / 512),
            block_size: PAGE_SIZE.try_into().unwrap_or(u32::MAX),
            atime: self.mtime,
            mtime: self.mtime,
            ctime: self.mtime,
            btime: None,
        }
    }

    fn permissions(&self) -> Permissions {
        Permissions { mode: self.mode, uid: self.uid, gid: self.gid }
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        self.fs.clone()
    }

    fn set_attributes(&self, _: &crate::types::SetAttributes) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Node>> {
        if self.kind != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let nid = dir::find(self, name)?.ok_or(Errno::ENOENT)?;
        Ok(self.fs.inode(nid)?)
    }

    fn read_dir(&self, cursor: u64, parent_ino: u64, sink: &mut DirSink<'_>) -> Result<u64> {
        if self.kind != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        dir::list(self, cursor, parent_ino, sink)
    }

    fn read_link(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        if self.kind != Kind::Symlink {
            return Err(Errno::EINVAL);
        }
        if self.size > LINK_MAX {
            return Err(Errno::EUCLEAN);
        }
        let mut text = alloc::vec![0; usize::try_from(self.size).map_err(|_| Errno::EUCLEAN)?];
        self.read(0, &mut text)?;
        Ok(text)
    }

    fn read_at(&self, offset: u64, to: &mut Dest<'_>) -> Result<usize> {
        match self.kind {
            Kind::File => {}
            Kind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        let mut at = offset;
        let start = to.done();
        while at < self.size && to.remaining() > 0 {
            let within = page_offset(at);
            let left = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
            let count = PAGE_SIZE.saturating_sub(within).min(left);
            let pushed = self.data_page(at / PAGE).and_then(|frame| to.push_frame(&frame, within, count));
            match pushed {
                Ok(pushed) => {
                    at = at.saturating_add(pushed as u64);
                    if pushed < count {
                        break;
                    }
                }
                Err(_) if to.done() > start => break,
                Err(error) => return Err(error),
            }
        }
        Ok(to.done().saturating_sub(start))
    }

    fn page(&self, index: u64, usage: PageUse) -> Result<Frame> {
        match (self.kind, usage) {
            (Kind::File, PageUse::Read) => self.data_page(index),
            (Kind::File, PageUse::Write) => Err(Errno::EROFS),
            _ => Err(Errno::ENODEV),
        }
    }

    fn truncate(&self, _: u64) -> Result<()> {
        Err(if self.kind == Kind::File { Errno::EROFS } else { Errno::EINVAL })
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        xattr::get(self, name)
    }

    fn set_xattr(&self, _: &[u8], _: &[u8], _: crate::types::XattrMode) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn remove_xattr(&self, _: &[u8]) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn list_xattr(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        xattr::list(self, each)
    }
}

impl FileSystem for Erofs {
    fn name(&self) -> &'static str {
        "erofs"
    }

    fn root(&self) -> Arc<dyn Node> {
        if let Some(root) = self.nodes.lock().get(&self.root).and_then(Weak::upgrade) {
            return root;
        }
        let root = self.root_fields.and_then(|fixed| self.enter(self.root, fixed).ok());
        root.expect("an image that was opened has a root, and somebody holds it")
    }

    fn dev(&self) -> u64 {
        self.dev
    }

    fn status(&self) -> FileSystemStatus {
        self.status
    }

    fn read_only(&self) -> bool {
        true
    }
}
