//! The image builder: plan every position from metadata, then write once, front to back.

use super::{
    BLOCK, COMPAT_CHECKSUM, COMPAT_MTIME, DIRENT_LEN, FLAT_INLINE, FLAT_PLAIN, INLINE_MAX, MAGIC, SLOT,
    SUPER_LEN, SUPER_OFFSET, XATTR_PREFIXES, crc32c,
};
use crate::problem::Problem;
use crate::tree::{Body, NodeId, ROOT, Source, Tree, type_bits};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write};

/// How an image is built.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Times later than this (seconds since 1970) become this: `SOURCE_DATE_EPOCH`.
    pub latest_time: Option<u64>,
}

/// What was built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Size of the image in bytes, a multiple of the block size.
    pub bytes: u64,
    /// Number of inodes.
    pub inodes: u64,
}

/// Where a node's parts lie.
struct Place {
    node: NodeId,
    nid: u64,
    parent: usize,
    links: u32,
    xattrs: Vec<u8>,
    extended: bool,
    size: u64,
    /// First block of the content that lies in blocks.
    block: u64,
    /// Bytes of content in blocks; the rest is behind the inode.
    in_blocks: u64,
}

impl Place {
    fn inode_len(&self) -> u64 {
        if self.extended { 64 } else { 32 }
    }

    fn tail(&self) -> u64 {
        self.size - self.in_blocks
    }

    fn slot_len(&self) -> u64 {
        self.inode_len() + self.xattrs.len() as u64 + self.tail()
    }
}

/// Writes `tree` as an EROFS image to `out`; `progress` is told the bytes written so far.
///
/// The same tree and the same file contents give the same image, byte for byte.
///
/// # Errors
/// If a file cannot be read or has changed its length, if `out` fails, or if something exceeds the format.
pub fn build(
    tree: &Tree,
    out: &mut impl Write,
    options: &Options,
    mut progress: impl FnMut(u64),
) -> Result<Summary> {
    let plan = Plan::new(tree, options)?;
    let mut out = Output { inner: out, at: 0 };
    out.bytes(&plan.superblock()?)?;
    for place in &plan.places {
        out.pad_to(BLOCK + place.nid * SLOT)?;
        out.bytes(&plan.inode(place)?)?;
        out.bytes(&place.xattrs)?;
        if place.tail() > 0 {
            plan.content(place, place.in_blocks, &mut out, &mut progress)?;
        }
    }
    let mut in_blocks: Vec<&Place> = plan.places.iter().filter(|p| p.in_blocks > 0).collect();
    in_blocks.sort_by_key(|p| p.block);
    for place in in_blocks {
        out.pad_to(place.block * BLOCK)?;
        plan.content(place, 0, &mut out, &mut progress)?;
        progress(out.at);
    }
    out.pad_to(plan.blocks * BLOCK)?;
    Ok(Summary { bytes: out.at, inodes: plan.places.len() as u64 })
}

struct Plan<'a> {
    tree: &'a Tree,
    options: &'a Options,
    places: Vec<Place>,
    /// Index into `places` by node.
    index: Vec<usize>,
    /// Packed directories, by index into `places`: the entries of each block.
    dirs: BTreeMap<usize, Vec<Vec<DirEntry>>>,
    blocks: u64,
}

struct DirEntry {
    name: Vec<u8>,
    place: usize,
}

impl<'a> Plan<'a> {
    fn new(tree: &'a Tree, options: &'a Options) -> Result<Self> {
        let mut plan = Self {
            tree,
            options,
            places: Vec::with_capacity(tree.len()),
            index: vec![usize::MAX; tree.len()],
            dirs: BTreeMap::new(),
            blocks: 0,
        };
        plan.collect()?;
        plan.pack_dirs();
        plan.assign()?;
        Ok(plan)
    }

    /// Lists the nodes that have a name, parents first, and counts their links.
    fn collect(&mut self) -> Result<()> {
        let mut stack = vec![(ROOT, 0)];
        while let Some((node, parent)) = stack.pop() {
            if self.index[node] != usize::MAX {
                let place = &mut self.places[self.index[node]];
                place.links += 1;
                continue;
            }
            let here = self.places.len();
            self.index[node] = here;
            let (size, links) = match &self.tree.node(node).body {
                Body::Dir(entries) => {
                    let dirs = |&&id: &&NodeId| matches!(self.tree.node(id).body, Body::Dir(_));
                    stack.extend(entries.values().rev().map(|&id| (id, here)));
                    // The size follows from the packed entries; `.` and the name in the parent are links.
                    (0, 2 + u32::try_from(entries.values().filter(dirs).count())?)
                }
                Body::File(_, len) => (*len, 1),
                Body::Symlink(target) => (target.len() as u64, 1),
                Body::Char(..) | Body::Block(..) | Body::Fifo | Body::Socket => (0, 1),
            };
            let xattrs = xattr_area(&self.tree.node(node).xattrs)?;
            let place =
                Place { node, nid: 0, parent, links, xattrs, extended: false, size, block: 0, in_blocks: 0 };
            self.places.push(place);
        }
        Ok(())
    }

    fn pack_dirs(&mut self) {
        for at in 0..self.places.len() {
            let Body::Dir(entries) = &self.tree.node(self.places[at].node).body else { continue };
            let mut all: Vec<DirEntry> = entries
                .iter()
                .map(|(name, &id)| DirEntry { name: name.clone(), place: self.index[id] })
                .collect();
            all.push(DirEntry { name: b".".to_vec(), place: at });
            all.push(DirEntry { name: b"..".to_vec(), place: self.places[at].parent });
            all.sort_by(|a, b| a.name.cmp(&b.name));
            let mut blocks: Vec<Vec<DirEntry>> = vec![Vec::new()];
            let mut used = 0;
            for entry in all {
                let need = (DIRENT_LEN + entry.name.len()) as u64;
                if used + need > BLOCK {
                    blocks.push(Vec::new());
                    used = 0;
                }
                used += need;
                if let Some(block) = blocks.last_mut() {
                    block.push(entry);
                }
            }
            self.places[at].size = (blocks.len() as u64 - 1) * BLOCK + used;
            self.dirs.insert(at, blocks);
        }
    }

    /// Chooses inode forms and positions.
    fn assign(&mut self) -> Result<()> {
        let mut at = 0;
        for index in 0..self.places.len() {
            let extended = self.needs_extended(&self.places[index]);
            let place = &mut self.places[index];
            place.extended = extended;
            let head = place.inode_len() + place.xattrs.len() as u64;
            let tail = place.size % BLOCK;
            let inline = match self.tree.node(place.node).body {
                Body::Dir(_) | Body::Symlink(_) => tail > 0 && head + tail <= BLOCK,
                Body::File(..) => place.size <= INLINE_MAX && head + tail <= BLOCK,
                _ => false,
            };
            place.in_blocks = if inline { place.size - tail } else { place.size };
            let left = BLOCK - at % BLOCK;
            // Inline content must not cross a block, and no reader needs to piece an inode together.
            if place.slot_len().min(BLOCK) > left {
                at += left;
            }
            place.nid = at / SLOT;
            at = (at + place.slot_len()).next_multiple_of(SLOT);
        }
        let mut block = 1 + at.div_ceil(BLOCK);
        // Directories first: what a path walk reads lies together.
        for dirs in [true, false] {
            for index in 0..self.places.len() {
                if self.dirs.contains_key(&index) != dirs {
                    continue;
                }
                let place = &mut self.places[index];
                if place.in_blocks > 0 {
                    place.block = block;
                    block += place.in_blocks.div_ceil(BLOCK);
                }
            }
        }
        self.blocks = block;
        if u32::try_from(block).is_err() {
            return Err(Problem::new("the image would exceed 16 TiB, the most that EROFS can address").into());
        }
        Ok(())
    }

    /// The compact form has 16-bit owners and links, a 32-bit size, and the image's time.
    fn needs_extended(&self, place: &Place) -> bool {
        let meta = &self.tree.node(place.node).meta;
        self.time(place) != (0, 0)
            || place.size > u64::from(u32::MAX)
            || meta.uid > u32::from(u16::MAX)
            || meta.gid > u32::from(u16::MAX)
            || place.links > u32::from(u16::MAX)
    }

    fn time(&self, place: &Place) -> (u64, u32) {
        let meta = &self.tree.node(place.node).meta;
        match self.options.latest_time {
            Some(latest) if meta.mtime >= latest => (latest, 0),
            _ => (meta.mtime, meta.mtime_ns),
        }
    }

    fn superblock(&self) -> Result<Vec<u8>> {
        let mut sb = Bytes(vec![0; SUPER_OFFSET]);
        sb.u32(MAGIC).u32(0).u32(COMPAT_CHECKSUM | COMPAT_MTIME);
        sb.u8(12).u8(0); // block size bits, no superblock extensions
        sb.u16(u16::try_from(self.places[0].nid)?);
        sb.u64(self.places.len() as u64);
        sb.u64(0).u32(0); // build time, which compact inodes take as theirs
        sb.u32(u32::try_from(self.blocks)?);
        sb.u32(1).u32(0); // inodes start at block 1; there is no shared attribute area
        sb.0.extend_from_slice(&[0; 16]); // no identifier: equal contents are equal images
        sb.0.extend_from_slice(b"hull\0\0\0\0\0\0\0\0\0\0\0\0");
        sb.0.resize(SUPER_OFFSET + SUPER_LEN, 0);
        sb.0.resize(usize::try_from(BLOCK)?, 0);
        let sum = crc32c(&sb.0[SUPER_OFFSET..]);
        sb.0[SUPER_OFFSET + 4..SUPER_OFFSET + 8].copy_from_slice(&sum.to_le_bytes());
        Ok(sb.0)
    }

    fn inode(&self, place: &Place) -> Result<Vec<u8>> {
        let node = self.tree.node(place.node);
        let layout = if place.tail() > 0 { FLAT_INLINE } else { FLAT_PLAIN };
        let mode = type_bits(&node.body) | node.meta.mode & 0o7777;
        let icount = match u16::try_from(place.xattrs.len())? {
            0 => 0,
            len => (len - 12) / 4 + 1,
        };
        let union = match node.body {
            Body::Char(major, minor) | Body::Block(major, minor) => device(major, minor),
            _ => u32::try_from(place.block)?,
        };
        let number = u32::try_from(place.nid + 1)?;
        let mut out = Bytes(Vec::with_capacity(64));
        out.u16(u16::from(place.extended) | layout << 1).u16(icount).u16(mode);
        if place.extended {
            let (seconds, nanoseconds) = self.time(place);
            out.u16(0).u64(place.size).u32(union).u32(number).u32(node.meta.uid).u32(node.meta.gid);
            out.u64(seconds).u32(nanoseconds).u32(place.links);
            out.0.resize(64, 0);
        } else {
            out.u16(u16::try_from(place.links)?)
                .u32(u32::try_from(place.size)?)
                .u32(0)
                .u32(union)
                .u32(number);
            out.u16(u16::try_from(node.meta.uid)?).u16(u16::try_from(node.meta.gid)?).u32(0);
        }
        Ok(out.0)
    }

    /// Writes a node's content: what lies in blocks (`from` 0), or the tail from `from` on.
    fn content(
        &self,
        place: &Place,
        from: u64,
        out: &mut Output<impl Write>,
        progress: &mut impl FnMut(u64),
    ) -> Result<()> {
        let part = |len: u64| if from > 0 || place.in_blocks == 0 { from..len } else { 0..place.in_blocks };
        match &self.tree.node(place.node).body {
            Body::Dir(_) => {
                let blocks = &self.dirs[&self.index[place.node]];
                let mut bytes = Vec::new();
                for block in blocks {
                    bytes.resize(bytes.len().next_multiple_of(usize::try_from(BLOCK)?), 0);
                    self.dir_block(block, &mut bytes)?;
                }
                let part = part(bytes.len() as u64);
                out.bytes(&bytes[usize::try_from(part.start)?..usize::try_from(part.end)?])
            }
            Body::File(Source::Bytes(bytes), _) | Body::Symlink(bytes) => {
                let part = part(bytes.len() as u64);
                out.bytes(&bytes[usize::try_from(part.start)?..usize::try_from(part.end)?])
            }
            Body::File(Source::Host(path), len) => {
                let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
                let copied = out
                    .copy(file, *len, progress)
                    .with_context(|| format!("cannot copy {}", path.display()))?;
                if copied != *len {
                    let message = format!("{} became shorter while it was copied", path.display());
                    return Err(Problem::new(message).hint("run the command again").into());
                }
                Ok(())
            }
            Body::Char(..) | Body::Block(..) | Body::Fifo | Body::Socket => Ok(()),
        }
    }

    fn dir_block(&self, entries: &[DirEntry], out: &mut Vec<u8>) -> Result<()> {
        let mut name_at = entries.len() * DIRENT_LEN;
        let mut bytes = Bytes(Vec::new());
        for entry in entries {
            let place = &self.places[entry.place];
            bytes.u64(place.nid).u16(u16::try_from(name_at)?);
            bytes.u8(file_type(&self.tree.node(place.node).body)).u8(0);
            name_at += entry.name.len();
        }
        for entry in entries {
            bytes.0.extend_from_slice(&entry.name);
        }
        out.extend_from_slice(&bytes.0);
        Ok(())
    }
}

/// The type byte of a directory entry (`EROFS_FT_*`).
fn file_type(body: &Body) -> u8 {
    match body {
        Body::File(..) => 1,
        Body::Dir(_) => 2,
        Body::Char(..) => 3,
        Body::Block(..) => 4,
        Body::Fifo => 5,
        Body::Socket => 6,
        Body::Symlink(_) => 7,
    }
}

/// Linux's 32-bit device number (`new_encode_dev`).
fn device(major: u32, minor: u32) -> u32 {
    minor & 0xff | (major & 0xfff) << 8 | (minor & 0xfff00) << 12
}

/// The inline attribute area: a 12-byte header, then entries padded to four bytes.
fn xattr_area(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<u8>> {
    if xattrs.is_empty() {
        return Ok(Vec::new());
    }
    let mut out = Bytes(vec![0; 12]);
    for (name, value) in xattrs {
        let Some((index, short)) =
            XATTR_PREFIXES.iter().find_map(|(i, prefix)| Some((*i, name.strip_prefix(*prefix)?)))
        else {
            continue; // a namespace that EROFS has no number for
        };
        let too_long = || {
            let name = String::from_utf8_lossy(name).into_owned();
            Problem::new(format!("extended attribute {name} does not fit into an EROFS image"))
        };
        out.u8(u8::try_from(short.len()).map_err(|_| too_long())?).u8(index);
        out.u16(u16::try_from(value.len()).map_err(|_| too_long())?);
        out.0.extend_from_slice(short);
        out.0.extend_from_slice(value);
        out.0.resize(out.0.len().next_multiple_of(4), 0);
    }
    if u16::try_from(out.0.len()).is_err() {
        return Err(Problem::new("the extended attributes of one file exceed 64 KiB").into());
    }
    Ok(if out.0.len() == 12 { Vec::new() } else { out.0 })
}

/// Little-endian bytes in the making.
struct Bytes(Vec<u8>);

impl Bytes {
    fn u8(&mut self, v: u8) -> &mut Self {
        self.0.push(v);
        self
    }
    fn u16(&mut self, v: u16) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
    fn u32(&mut self, v: u32) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
    fn u64(&mut self, v: u64) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
}

struct Output<'a, W> {
    inner: &'a mut W,
    at: u64,
}

impl<W: Write> Output<'_, W> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.inner.write_all(bytes).context("cannot write the image")?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn pad_to(&mut self, at: u64) -> Result<()> {
        debug_assert!(self.at <= at, "the plan goes forward");
        const ZEROS: [u8; 4096] = [0; 4096];
        while self.at < at {
            let len = usize::try_from((at - self.at).min(ZEROS.len() as u64))?;
            self.bytes(&ZEROS[..len])?;
        }
        Ok(())
    }

    /// Copies up to `len` bytes; a file that has grown is cut where it ended when it was looked at.
    fn copy(&mut self, mut file: File, len: u64, progress: &mut impl FnMut(u64)) -> Result<u64> {
        let mut buffer = vec![0; usize::try_from(len.clamp(1, 1 << 20))?];
        let mut done = 0;
        while done < len {
            let want = usize::try_from((len - done).min(buffer.len() as u64))?;
            let got = file.read(&mut buffer[..want])?;
            if got == 0 {
                break;
            }
            self.bytes(&buffer[..got])?;
            done += got as u64;
            if len > 1 << 20 {
                progress(self.at);
            }
        }
        Ok(done)
    }
}
