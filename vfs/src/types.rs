//! What is said about a node: kinds, metadata, changes of attributes, directory entries, file system figures.

use alloc::sync::Arc;

use abi::fs::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK};

/// Longest name of a directory entry, in bytes (`NAME_MAX`).
pub const NAME_MAX: usize = 255;
/// Longest path, in bytes, with the terminating NUL (`PATH_MAX`).
pub const PATH_MAX: usize = 4096;
/// Symbolic links followed in one walk before `ELOOP` (`MAXSYMLINKS`).
pub const LINKS_MAX: u32 = 40;

/// A name in a directory.
pub type Name = Arc<[u8]>;

/// What kind of file a node is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket of the local domain.
    Socket,
    /// No file type at all: an object behind an anonymous inode, such as an epoll instance.
    Anonymous,
}

impl Kind {
    /// Returns the bits of `st_mode` under `S_IFMT`.
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::File => S_IFREG,
            Self::Directory => S_IFDIR,
            Self::Symlink => S_IFLNK,
            Self::CharDevice => S_IFCHR,
            Self::BlockDevice => S_IFBLK,
            Self::Fifo => S_IFIFO,
            Self::Socket => S_IFSOCK,
            Self::Anonymous => 0,
        }
    }

    /// Returns the kind that the bits of `st_mode` under `S_IFMT` name; zero is [`Kind::Anonymous`].
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & S_IFMT {
            S_IFREG => Self::File,
            S_IFDIR => Self::Directory,
            S_IFLNK => Self::Symlink,
            S_IFCHR => Self::CharDevice,
            S_IFBLK => Self::BlockDevice,
            S_IFIFO => Self::Fifo,
            S_IFSOCK => Self::Socket,
            0 => Self::Anonymous,
            _ => return None,
        })
    }

    /// Returns the `d_type` of `getdents64(2)`.
    pub const fn entry_type(self) -> u8 {
        #[expect(clippy::cast_possible_truncation, reason = "four bits are left after the shift")]
        {
            (self.mode_bits() >> 12) as u8
        }
    }
}

/// A point in time, as a file keeps it. Ordered by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds, less than 1,000,000,000.
    pub nanoseconds: u32,
}

impl Time {
    /// Makes a time from nanoseconds since 1970-01-01T00:00:00Z.
    pub const fn from_ns(ns: u64) -> Self {
        #[expect(clippy::cast_possible_wrap, reason = "the quotient fits")]
        Self { seconds: (ns / 1_000_000_000) as i64, nanoseconds: (ns % 1_000_000_000) as u32 }
    }
}

/// What `stat(2)` tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// Inode number.
    pub ino: u64,
    /// Device number of the file system.
    pub dev: u64,
    /// File type.
    pub kind: Kind,
    /// Permission bits: the low twelve bits of `st_mode`.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number, for a device.
    pub rdev: u64,
    /// Size in bytes.
    pub size: u64,
    /// Units of 512 bytes that are allocated.
    pub blocks: u64,
    /// Preferred size of one transfer, in bytes.
    pub block_size: u32,
    /// Last access.
    pub atime: Time,
    /// Last change of the contents.
    pub mtime: Time,
    /// Last change of the metadata.
    pub ctime: Time,
    /// Creation, where the file system keeps it.
    pub btime: Option<Time>,
}

impl Metadata {
    /// Returns `st_mode`: type and permissions.
    pub const fn st_mode(&self) -> u32 {
        self.kind.mode_bits() | self.mode
    }
}

/// What access checks look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permissions {
    /// Permission bits: the low twelve bits of `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Attributes to set; what is `None` stays. No checks are made below this point.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetAttributes {
    /// Permission bits (12).
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Access time.
    pub atime: Option<Time>,
    /// Modification time.
    pub mtime: Option<Time>,
    /// Change time; the file system's own clock where it is `None` and something else is set.
    pub ctime: Option<Time>,
}

/// A new node's first attributes; the mode is already masked, the group already chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewNode {
    /// File type; not [`Kind::Anonymous`].
    pub kind: Kind,
    /// Permission bits (12).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number, for a device.
    pub rdev: u64,
}

/// One entry of a directory, as `getdents64(2)` tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirEntry<'a> {
    /// Name.
    pub name: &'a [u8],
    /// Inode number.
    pub ino: u64,
    /// File type.
    pub kind: Kind,
    /// The cursor that goes on behind this entry (`d_off`).
    pub next: u64,
}

/// Takes directory entries; `false` means that this one did not fit and reading ends before it.
pub type DirSink<'a> = dyn FnMut(&DirEntry<'_>) -> bool + 'a;

/// What `statfs(2)` tells of a file system, but for the mount's flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FileSystemStatus {
    /// Magic number of the type (`f_type`).
    pub magic: u64,
    /// Bytes in a block.
    pub block_size: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks for ordinary users.
    pub blocks_available: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// File system number (`f_fsid`).
    pub id: u64,
    /// Longest name.
    pub name_len: u64,
}

bitflags::bitflags! {
    /// What `fallocate(2)` does; the bits are those of `FALLOC_FL_*`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Allocate: u32 {
        /// The size stays.
        const KEEP_SIZE = 1;
        /// Makes a hole.
        const PUNCH_HOLE = 2;
        /// Takes the range out, moving down what is behind.
        const COLLAPSE_RANGE = 8;
        /// Makes the range read as zeros.
        const ZERO_RANGE = 0x10;
        /// Moves up what is behind, leaving a hole.
        const INSERT_RANGE = 0x20;
        /// Unshares blocks; nothing is shared here.
        const UNSHARE_RANGE = 0x40;
    }
}

/// What [`crate::Node::seek`] looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seek {
    /// The next byte that is stored (`SEEK_DATA`).
    Data,
    /// The next byte that is not, or the end (`SEEK_HOLE`).
    Hole,
}

/// What has to be durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durable {
    /// The contents and what is needed to read them (`fdatasync(2)`).
    Data,
    /// All (`fsync(2)`).
    All,
}

/// What a new extended attribute may do (`setxattr(2)`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XattrMode {
    /// Make or replace.
    Either,
    /// Make only, else `EEXIST` (`XATTR_CREATE`).
    Create,
    /// Replace only, else `ENODATA` (`XATTR_REPLACE`).
    Replace,
}

/// What `rename` does with a name that is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RenameMode {
    /// Take its place (`rename(2)`).
    Replace,
    /// `EEXIST` (`RENAME_NOREPLACE`).
    NoReplace,
    /// Both change places (`RENAME_EXCHANGE`).
    Exchange,
}
