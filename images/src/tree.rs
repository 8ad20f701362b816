//! The contents of an image, as metadata: names, modes, and where each file's bytes come from.
//!
//! A [`Tree`] holds no file data (but for small generated files), so that trees of any size fit in memory.

use anyhow::{Context as _, Result, bail};
use rustix::fs::FileType;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Index of a node in its tree.
pub type NodeId = usize;
/// The root directory's index.
pub const ROOT: NodeId = 0;

/// Owner, permissions and time of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Meta {
    /// Permission bits with set-id and sticky bits (12 bits; the type comes from the [`Body`]).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in seconds since 1970 (negative times become 0).
    pub mtime: u64,
    /// Nanoseconds of the modification time.
    pub mtime_ns: u32,
}

impl Meta {
    /// Metadata of a generated node: root's, time 0.
    pub const fn fixed(mode: u16) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: 0, mtime_ns: 0 }
    }

    fn of(meta: &std::fs::Metadata) -> Self {
        Self {
            mode: u16::try_from(meta.mode() & 0o7777).unwrap_or(0),
            uid: meta.uid(),
            gid: meta.gid(),
            mtime: u64::try_from(meta.mtime()).unwrap_or(0),
            mtime_ns: u32::try_from(meta.mtime_nsec()).unwrap_or(0),
        }
    }
}

/// Where a regular file's bytes come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A file of this machine.
    Host(PathBuf),
    /// Bytes made by the tool.
    Bytes(Vec<u8>),
}

/// What a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// A directory: names (no `.` and `..`) in byte order.
    Dir(BTreeMap<Vec<u8>, NodeId>),
    /// A regular file and its length in bytes.
    File(Source, u64),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A character device (major, minor).
    Char(u32, u32),
    /// A block device (major, minor).
    Block(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
}

/// One file, directory, link or device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Owner, permissions, time.
    pub meta: Meta,
    /// What it is.
    pub body: Body,
    /// Extended attributes: full name (`user.x`), value; in name order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Why it is in the image; for the report.
    pub reason: Arc<str>,
}

/// An image's contents.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    /// Host files that have several names: their nodes, so that the image has hard links too.
    linked: HashMap<(u64, u64), NodeId>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// Makes a tree of an empty root directory.
    pub fn new() -> Self {
        let root = Node {
            meta: Meta::fixed(0o755),
            body: Body::Dir(BTreeMap::new()),
            xattrs: Vec::new(),
            reason: "root".into(),
        };
        Self { nodes: vec![root], linked: HashMap::new() }
    }

    /// Returns a node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// Returns a node for change.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id]
    }

    /// Returns the number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Says whether the tree has nothing but its root.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Finds `path` without following symbolic links.
    pub fn find(&self, path: &Path) -> Option<NodeId> {
        let mut at = ROOT;
        for name in names(path) {
            let Body::Dir(entries) = &self.nodes[at].body else { return None };
            at = *entries.get(name.as_bytes())?;
        }
        Some(at)
    }

    /// Finds `path`, following symbolic links inside the tree; gives up after 40 links, as Linux does.
    pub fn lookup(&self, path: &Path) -> Option<(PathBuf, NodeId)> {
        let mut left: Vec<Vec<u8>> = names(path).map(|n| n.as_bytes().to_vec()).rev().collect();
        let mut trail: Vec<(Vec<u8>, NodeId)> = Vec::new();
        let mut links = 0;
        while let Some(name) = left.pop() {
            if name == b".." {
                trail.pop();
                continue;
            }
            let at = trail.last().map_or(ROOT, |(_, id)| *id);
            let Body::Dir(entries) = &self.nodes[at].body else { return None };
            let next = *entries.get(&name)?;
            if let Body::Symlink(target) = &self.nodes[next].body {
                links += 1;
                if links > 40 {
                    return None;
                }
                if target.starts_with(b"/") {
                    trail.clear();
                }
                let parts = target.split(|&b| b == b'/').filter(|p| !p.is_empty() && *p != b".");
                left.extend(parts.rev().map(<[u8]>::to_vec));
            } else {
                trail.push((name, next));
            }
        }
        let mut full = PathBuf::from("/");
        full.extend(trail.iter().map(|(name, _)| OsStr::from_bytes(name)));
        Some((full, trail.last().map_or(ROOT, |(_, id)| *id)))
    }

    /// Puts a node at `path`, making parent directories; replaces anything but a directory by a directory.
    ///
    /// # Errors
    /// If a parent is not a directory in the tree, or `path` has no name.
    pub fn insert(&mut self, path: &Path, node: Node) -> Result<NodeId> {
        let (dir, name) = self.parent(path, &node.reason)?;
        let Some(name) = name else {
            // The root itself: only its metadata can be replaced.
            if matches!(node.body, Body::Dir(_)) {
                self.nodes[ROOT].meta = node.meta;
                self.nodes[ROOT].xattrs = node.xattrs;
                return Ok(ROOT);
            }
            bail!("\"/\" can only be a directory");
        };
        if let Some(&old) = self.entries(dir, path)?.get(&name) {
            if let (Body::Dir(_), Body::Dir(_)) = (&self.nodes[old].body, &node.body) {
                self.nodes[old].meta = node.meta;
                self.nodes[old].xattrs = node.xattrs;
                return Ok(old);
            }
            if matches!(self.nodes[old].body, Body::Dir(_)) {
                bail!("{} is a directory in the image already", path.display());
            }
        }
        self.nodes.push(node);
        let id = self.nodes.len() - 1;
        self.entries(dir, path)?.insert(name, id);
        Ok(id)
    }

    /// Gives an existing node (no directory) one more name.
    ///
    /// # Errors
    /// As [`Tree::insert`].
    pub fn link(&mut self, path: &Path, id: NodeId) -> Result<()> {
        let reason = Arc::clone(&self.nodes[id].reason);
        let (dir, name) = self.parent(path, &reason)?;
        let name = name.context("a link needs a name")?;
        self.entries(dir, path)?.insert(name, id);
        Ok(())
    }

    /// Puts a directory at `path` with a mode of its own.
    ///
    /// # Errors
    /// As [`Tree::insert`].
    pub fn dir(&mut self, path: &str, mode: u16, reason: &Arc<str>) -> Result<NodeId> {
        let body = Body::Dir(BTreeMap::new());
        let node = Node { meta: Meta::fixed(mode), body, xattrs: Vec::new(), reason: Arc::clone(reason) };
        self.insert(Path::new(path), node)
    }

    /// Puts a generated file at `path`.
    ///
    /// # Errors
    /// As [`Tree::insert`].
    pub fn file(&mut self, path: &str, mode: u16, bytes: Vec<u8>, reason: &Arc<str>) -> Result<NodeId> {
        let len = bytes.len() as u64;
        let body = Body::File(Source::Bytes(bytes), len);
        let node = Node { meta: Meta::fixed(mode), body, xattrs: Vec::new(), reason: Arc::clone(reason) };
        self.insert(Path::new(path), node)
    }

    /// Puts a symbolic link at `path`.
    ///
    /// # Errors
    /// As [`Tree::insert`].
    pub fn symlink(&mut self, path: &str, target: &str, reason: &Arc<str>) -> Result<NodeId> {
        let body = Body::Symlink(target.as_bytes().to_vec());
        let node = Node { meta: Meta::fixed(0o777), body, xattrs: Vec::new(), reason: Arc::clone(reason) };
        self.insert(Path::new(path), node)
    }

    /// Puts the host object `host` (not what it links to) at `path` in the tree.
    ///
    /// # Errors
    /// If it cannot be read, or as [`Tree::insert`].
    pub fn take(&mut self, host: &Path, path: &Path, reason: &Arc<str>) -> Result<NodeId> {
        let stat = host.symlink_metadata().with_context(|| format!("cannot read {}", host.display()))?;
        self.take_known(host, &stat, path, reason)
    }

    /// Like [`Tree::take`], with the metadata at hand.
    ///
    /// # Errors
    /// As [`Tree::take`].
    pub fn take_known(
        &mut self,
        host: &Path,
        stat: &std::fs::Metadata,
        path: &Path,
        reason: &Arc<str>,
    ) -> Result<NodeId> {
        let key = (stat.dev(), stat.ino());
        let shared = stat.nlink() > 1 && !stat.is_dir();
        if shared && let Some(&id) = self.linked.get(&key) {
            self.link(path, id)?;
            return Ok(id);
        }
        let device = || (rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev()));
        let body = match FileType::from_raw_mode(stat.mode()) {
            FileType::Directory => Body::Dir(BTreeMap::new()),
            FileType::Symlink => {
                let target =
                    host.read_link().with_context(|| format!("cannot read link {}", host.display()))?;
                Body::Symlink(target.into_os_string().into_encoded_bytes())
            }
            FileType::CharacterDevice => Body::Char(device().0, device().1),
            FileType::BlockDevice => Body::Block(device().0, device().1),
            FileType::Fifo => Body::Fifo,
            FileType::Socket => Body::Socket,
            FileType::RegularFile | FileType::Unknown => Body::File(Source::Host(host.into()), stat.len()),
        };
        let xattrs = if matches!(body, Body::File(..)) { xattrs(host) } else { Vec::new() };
        let node = Node { meta: Meta::of(stat), body, xattrs, reason: Arc::clone(reason) };
        let id = self.insert(path, node)?;
        if shared {
            self.linked.insert(key, id);
        }
        Ok(id)
    }

    /// Calls `visit` for every name in the tree: parents first, in byte order.
    pub fn walk(&self, mut visit: impl FnMut(&Path, NodeId)) {
        let mut stack = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, id)) = stack.pop() {
            visit(&path, id);
            if let Body::Dir(entries) = &self.nodes[id].body {
                stack
                    .extend(entries.iter().rev().map(|(name, &id)| (path.join(OsStr::from_bytes(name)), id)));
            }
        }
    }

    /// Finds or makes the parent directory of `path`; the name is `None` for the root.
    fn parent(&mut self, path: &Path, reason: &Arc<str>) -> Result<(NodeId, Option<Vec<u8>>)> {
        let mut parts: Vec<&OsStr> = names(path).collect();
        let Some(name) = parts.pop() else { return Ok((ROOT, None)) };
        let mut at = ROOT;
        for part in parts {
            let next = self.entries(at, path)?.get(part.as_bytes()).copied();
            at = match next {
                Some(next) => next,
                None => {
                    let body = Body::Dir(BTreeMap::new());
                    let meta = Meta::fixed(0o755);
                    self.nodes.push(Node { meta, body, xattrs: Vec::new(), reason: Arc::clone(reason) });
                    let id = self.nodes.len() - 1;
                    self.entries(at, path)?.insert(part.as_bytes().to_vec(), id);
                    id
                }
            };
        }
        Ok((at, Some(name.as_bytes().to_vec())))
    }

    fn entries(&mut self, id: NodeId, path: &Path) -> Result<&mut BTreeMap<Vec<u8>, NodeId>> {
        match &mut self.nodes[id].body {
            Body::Dir(entries) => Ok(entries),
            _ => bail!("cannot put {} into the image: a parent is not a directory there", path.display()),
        }
    }
}

/// The names of a path below the root; `.` disappears, `..` is taken away textually.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = &OsStr> {
    let mut out: Vec<&OsStr> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out.into_iter()
}

/// Reads a file's extended attributes; file systems without them have none.
fn xattrs(host: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut list = vec![0u8; 4096];
    let Ok(len) = rustix::fs::llistxattr(host, list.as_mut_slice()) else { return Vec::new() };
    let mut out = Vec::new();
    for name in list[..len].split(|&b| b == 0).filter(|n| !n.is_empty()) {
        // Security modules label files for their own host's policy; only capabilities mean the same elsewhere.
        if name.starts_with(b"security.") && name != b"security.capability" {
            continue;
        }
        let mut value = vec![0u8; 65536];
        if let Ok(len) = rustix::fs::lgetxattr(host, OsStr::from_bytes(name), value.as_mut_slice()) {
            value.truncate(len);
            out.push((name.to_vec(), value));
        }
    }
    out.sort();
    out
}

/// Bits of `st_mode` for a body.
pub(crate) const fn type_bits(body: &Body) -> u16 {
    match body {
        Body::Dir(_) => 0o040_000,
        Body::File(..) => 0o100_000,
        Body::Symlink(_) => 0o120_000,
        Body::Char(..) => 0o020_000,
        Body::Block(..) => 0o060_000,
        Body::Fifo => 0o010_000,
        Body::Socket => 0o140_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_follow_links_inside_the_tree_and_end_in_loops() {
        let mut tree = Tree::new();
        let why: Arc<str> = "test".into();
        tree.file("/usr/bin/x", 0o755, vec![1], &why).unwrap();
        tree.symlink("/bin", "usr/bin", &why).unwrap();
        tree.symlink("/usr/bin/y", "../../bin/./x", &why).unwrap();
        tree.symlink("/loop", "/loop", &why).unwrap();
        let (path, id) = tree.lookup(Path::new("/bin/y")).unwrap();
        assert_eq!(path, Path::new("/usr/bin/x"));
        assert_eq!(tree.find(Path::new("/usr/bin/x")), Some(id));
        assert_eq!(tree.lookup(Path::new("/loop")), None);
        assert_eq!(tree.find(Path::new("/bin/x")), None);
        assert!(tree.file("/bin/z", 0o644, vec![], &why).is_err(), "a link is no directory");
    }

    #[test]
    fn a_later_node_replaces_a_file_and_keeps_a_directory() {
        let mut tree = Tree::new();
        let why: Arc<str> = "test".into();
        tree.file("/a/f", 0o644, vec![1], &why).unwrap();
        tree.file("/a/f", 0o600, vec![2, 3], &why).unwrap();
        tree.dir("/a", 0o1777, &why).unwrap();
        let Body::File(_, len) = &tree.node(tree.find(Path::new("/a/f")).unwrap()).body else {
            panic!("file")
        };
        assert_eq!(*len, 2);
        assert!(tree.file("/a", 0o644, vec![], &why).is_err());
    }
}
