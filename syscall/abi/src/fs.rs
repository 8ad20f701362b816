//! Files: opening, status, directories, names, locks, seals (`open(2)`, `stat(2)`, `fcntl(2)` and their neighbours).

flags! {
    /// Flags of `open(2)` (without the access mode, which is a number in the low two bits).
    OpenFlags: u32 {
        O_CREAT = 0x40, O_EXCL = 0x80, O_NOCTTY = 0x100, O_TRUNC = 0x200, O_APPEND = 0x400,
        O_NONBLOCK = 0x800, O_DSYNC = 0x1000, FASYNC = 0x2000, O_DIRECT = 0x4000, O_LARGEFILE = 0x8000,
        O_DIRECTORY = 0x10000, O_NOFOLLOW = 0x20000, O_NOATIME = 0x40000, O_CLOEXEC = 0x80000,
        O_SYNC = 0x101000, O_PATH = 0x200000, O_TMPFILE = 0x410000,
    }
}

consts! {
    /// Access modes of `open(2)`, the mask that selects them, and other spellings of the flags.
    u32 {
        O_ACCMODE = 3, O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_NDELAY = 0x800, __O_SYNC = 0x100000,
        __O_TMPFILE = 0x400000, O_ASYNC = 0x2000,
    }
}

consts! {
    /// Values of the directory descriptor of the `*at` calls.
    i32 {
        AT_FDCWD = -100,
    }
}

flags! {
    /// Flags of the `*at` calls.
    AtFlags: u32 {
        AT_SYMLINK_NOFOLLOW = 0x100, AT_REMOVEDIR = 0x200, AT_SYMLINK_FOLLOW = 0x400,
        AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000, AT_STATX_FORCE_SYNC = 0x2000,
        AT_STATX_DONT_SYNC = 0x4000, AT_RECURSIVE = 0x8000,
    }
}

consts! {
    /// Other values of the flags of the `*at` calls.
    u32 {
        AT_EACCESS = 0x200, AT_STATX_SYNC_TYPE = 0x6000, AT_STATX_SYNC_AS_STAT = 0,
    }
}

consts! {
    /// File types in a mode, and the mask that selects them (`inode(7)`).
    u32 {
        S_IFMT = 0o170000, S_IFSOCK = 0o140000, S_IFLNK = 0o120000, S_IFREG = 0o100000, S_IFBLK = 0o60000,
        S_IFDIR = 0o40000, S_IFCHR = 0o20000, S_IFIFO = 0o10000,
    }
}

consts! {
    /// Permission bits of a mode (`inode(7)`).
    u32 {
        S_ISUID = 0o4000, S_ISGID = 0o2000, S_ISVTX = 0o1000, S_IRWXU = 0o700, S_IRUSR = 0o400,
        S_IWUSR = 0o200, S_IXUSR = 0o100, S_IRWXG = 0o70, S_IRGRP = 0o40, S_IWGRP = 0o20, S_IXGRP = 0o10,
        S_IRWXO = 0o7, S_IROTH = 0o4, S_IWOTH = 0o2, S_IXOTH = 0o1,
    }
}

consts! {
    /// Modes of `access(2)`.
    u32 {
        F_OK = 0, X_OK = 1, W_OK = 2, R_OK = 4,
    }
}

consts! {
    /// Where an offset of `lseek(2)` counts from.
    u32 {
        SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2, SEEK_DATA = 3, SEEK_HOLE = 4,
    }
}

consts! {
    /// Commands of `fcntl(2)`.
    u32 {
        F_DUPFD = 0, F_GETFD = 1, F_SETFD = 2, F_GETFL = 3, F_SETFL = 4, F_GETLK = 5, F_SETLK = 6,
        F_SETLKW = 7, F_SETOWN = 8, F_GETOWN = 9, F_SETSIG = 10, F_GETSIG = 11, F_SETOWN_EX = 15,
        F_GETOWN_EX = 16, F_GETOWNER_UIDS = 17, F_OFD_GETLK = 36, F_OFD_SETLK = 37, F_OFD_SETLKW = 38,
        F_SETLEASE = 1024, F_GETLEASE = 1025, F_NOTIFY = 1026, F_CANCELLK = 1029, F_DUPFD_CLOEXEC = 1030,
        F_SETPIPE_SZ = 1031, F_GETPIPE_SZ = 1032, F_ADD_SEALS = 1033, F_GET_SEALS = 1034,
        F_GET_RW_HINT = 1035, F_SET_RW_HINT = 1036, F_GET_FILE_RW_HINT = 1037, F_SET_FILE_RW_HINT = 1038,
    }
}

consts! {
    /// The one descriptor flag (`F_SETFD`).
    u32 {
        FD_CLOEXEC = 1,
    }
}

consts! {
    /// Kinds of a record lock (`Flock::l_type`).
    i16 {
        F_RDLCK = 0, F_WRLCK = 1, F_UNLCK = 2,
    }
}

consts! {
    /// Kinds of owner (`FOwnerEx::kind`).
    i32 {
        F_OWNER_TID = 0, F_OWNER_PID = 1, F_OWNER_PGRP = 2,
    }
}

consts! {
    /// Operations of `flock(2)`.
    u32 {
        LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8,
    }
}

consts! {
    /// Hints about the life of what is written.
    u64 {
        RWH_WRITE_LIFE_NOT_SET = 0, RWH_WRITE_LIFE_NONE = 1, RWH_WRITE_LIFE_SHORT = 2,
        RWH_WRITE_LIFE_MEDIUM = 3, RWH_WRITE_LIFE_LONG = 4, RWH_WRITE_LIFE_EXTREME = 5,
    }
}

consts! {
    /// What `F_NOTIFY` reports.
    u32 {
        DN_ACCESS = 1, DN_MODIFY = 2, DN_CREATE = 4, DN_DELETE = 8, DN_RENAME = 0x10, DN_ATTRIB = 0x20,
        DN_MULTISHOT = 0x80000000,
    }
}

flags! {
    /// Seals of a memory file (`F_ADD_SEALS`).
    Seals: u32 {
        F_SEAL_SEAL = 1, F_SEAL_SHRINK = 2, F_SEAL_GROW = 4, F_SEAL_WRITE = 8, F_SEAL_FUTURE_WRITE = 0x10,
        F_SEAL_EXEC = 0x20,
    }
}

flags! {
    /// Flags of `memfd_create(2)`.
    MfdFlags: u32 {
        MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_HUGETLB = 4, MFD_NOEXEC_SEAL = 8, MFD_EXEC = 0x10,
    }
}

consts! {
    /// File types in a directory entry.
    u8 {
        DT_UNKNOWN = 0, DT_FIFO = 1, DT_CHR = 2, DT_DIR = 4, DT_BLK = 6, DT_REG = 8, DT_LNK = 10,
        DT_SOCK = 12, DT_WHT = 14,
    }
}

flags! {
    /// Flags of `renameat2(2)`.
    RenameFlags: u32 {
        RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2, RENAME_WHITEOUT = 4,
    }
}

flags! {
    /// Modes of `fallocate(2)`.
    FallocateFlags: u32 {
        FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2, FALLOC_FL_NO_HIDE_STALE = 4,
        FALLOC_FL_COLLAPSE_RANGE = 8, FALLOC_FL_ZERO_RANGE = 0x10, FALLOC_FL_INSERT_RANGE = 0x20,
        FALLOC_FL_UNSHARE_RANGE = 0x40,
    }
}

consts! {
    /// Advice of `posix_fadvise(2)`.
    i32 {
        POSIX_FADV_NORMAL = 0, POSIX_FADV_RANDOM = 1, POSIX_FADV_SEQUENTIAL = 2, POSIX_FADV_WILLNEED = 3,
        POSIX_FADV_DONTNEED = 4, POSIX_FADV_NOREUSE = 5,
    }
}

flags! {
    /// Flags of `preadv2(2)` and `pwritev2(2)`.
    RwFlags: u32 {
        RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4, RWF_NOWAIT = 8, RWF_APPEND = 0x10,
    }
}

flags! {
    /// Flags of `setxattr(2)`.
    XattrFlags: u32 {
        XATTR_CREATE = 1, XATTR_REPLACE = 2,
    }
}

consts! {
    /// Limits of extended attributes, paths and vectors.
    usize {
        XATTR_NAME_MAX = 255, XATTR_SIZE_MAX = 65536, XATTR_LIST_MAX = 65536, NAME_MAX = 255,
        PATH_MAX = 4096, PIPE_BUF = 4096, IOV_MAX = 1024, NGROUPS_MAX = 65536, ARG_MAX = 131072,
        LINK_MAX = 127,
    }
}

flags! {
    /// What `statx(2)` fills.
    StatxMask: u32 {
        STATX_TYPE = 1, STATX_MODE = 2, STATX_NLINK = 4, STATX_UID = 8, STATX_GID = 0x10,
        STATX_ATIME = 0x20, STATX_MTIME = 0x40, STATX_CTIME = 0x80, STATX_INO = 0x100, STATX_SIZE = 0x200,
        STATX_BLOCKS = 0x400, STATX_BASIC_STATS = 0x7ff, STATX_BTIME = 0x800, STATX_MNT_ID = 0x1000,
        STATX_DIOALIGN = 0x2000, STATX__RESERVED = 0x80000000,
    }
}

consts! {
    /// Every field of the first `statx`.
    u32 {
        STATX_ALL = 4095,
    }
}

flags! {
    /// Attributes that `statx(2)` reports.
    StatxAttributes: u64 {
        STATX_ATTR_COMPRESSED = 4, STATX_ATTR_IMMUTABLE = 0x10, STATX_ATTR_APPEND = 0x20,
        STATX_ATTR_NODUMP = 0x40, STATX_ATTR_ENCRYPTED = 0x800, STATX_ATTR_AUTOMOUNT = 0x1000,
        STATX_ATTR_MOUNT_ROOT = 0x2000, STATX_ATTR_VERITY = 0x100000, STATX_ATTR_DAX = 0x200000,
    }
}

flags! {
    /// How `openat2(2)` resolves a path.
    ResolveFlags: u64 {
        RESOLVE_NO_XDEV = 1, RESOLVE_NO_MAGICLINKS = 2, RESOLVE_NO_SYMLINKS = 4, RESOLVE_BENEATH = 8,
        RESOLVE_IN_ROOT = 0x10, RESOLVE_CACHED = 0x20,
    }
}

consts! {
    /// Size of the first `open_how`.
    usize {
        OPEN_HOW_SIZE_VER0 = 24,
    }
}

flags! {
    /// Flags of `close_range(2)`.
    CloseRangeFlags: u32 {
        CLOSE_RANGE_UNSHARE = 2, CLOSE_RANGE_CLOEXEC = 4,
    }
}

flags! {
    /// Flags of `sync_file_range(2)`.
    SyncFileRangeFlags: u32 {
        SYNC_FILE_RANGE_WAIT_BEFORE = 1, SYNC_FILE_RANGE_WRITE = 2, SYNC_FILE_RANGE_WAIT_AFTER = 4,
    }
}

flags! {
    /// Flags of `splice(2)`, `tee(2)` and `vmsplice(2)`.
    SpliceFlags: u32 {
        SPLICE_F_MOVE = 1, SPLICE_F_NONBLOCK = 2, SPLICE_F_MORE = 4, SPLICE_F_GIFT = 8,
    }
}

structs! {
    /// `struct stat` as x86_64 has it (`stat(2)`).
    Stat = "struct stat" {
        st_dev: u64, st_ino: u64, st_nlink: u64, st_mode: u32, st_uid: u32, st_gid: u32, __pad0: u32, st_rdev: u64,
        st_size: i64, st_blksize: i64, st_blocks: i64, st_atime: i64, st_atime_nsec: i64, st_mtime: i64,
        st_mtime_nsec: i64, st_ctime: i64, st_ctime_nsec: i64, _unused: [i64; 3],
    }

    /// A time in [`Statx`].
    StatxTimestamp = "struct statx_timestamp" { tv_sec: i64, tv_nsec: u32, __reserved: i32 }

    /// `struct statx` (`statx(2)`).
    Statx = "struct statx" {
        stx_mask: u32, stx_blksize: u32, stx_attributes: u64, stx_nlink: u32, stx_uid: u32, stx_gid: u32,
        stx_mode: u16, __spare0: [u16; 1], stx_ino: u64, stx_size: u64, stx_blocks: u64, stx_attributes_mask: u64,
        stx_atime: StatxTimestamp, stx_btime: StatxTimestamp, stx_ctime: StatxTimestamp, stx_mtime: StatxTimestamp,
        stx_rdev_major: u32, stx_rdev_minor: u32, stx_dev_major: u32, stx_dev_minor: u32, stx_mnt_id: u64,
        stx_dio_mem_align: u32, stx_dio_offset_align: u32, _spare3: [u64; 12],
    }

    /// A piece of memory in a vector (`readv(2)`).
    Iovec = "struct iovec" { iov_base: u64, iov_len: u64 }

    /// A record lock (`fcntl(2)`).
    Flock = "struct flock" { l_type: i16, l_whence: i16, _pad: u32, l_start: i64, l_len: i64, l_pid: i32, _pad2: u32 }

    /// Who gets a descriptor's signals (`F_SETOWN_EX`); `kind` is C's `type`.
    FOwnerEx = "" { kind: i32, pid: i32 }

    /// The part of a `linux_dirent64` before its name.
    LinuxDirent64 = "" { d_ino: u64, d_off: i64, d_reclen: u16, d_type: u8 , _name: [u8; 5] }

    /// How `openat2(2)` opens.
    OpenHow = "struct open_how" { flags: u64, mode: u64, resolve: u64 }

    /// The part of a file handle before its bytes (`name_to_handle_at(2)`).
    FileHandle = "" { handle_bytes: u32, handle_type: i32 }

    /// What `FICLONERANGE` copies.
    FileCloneRange = "struct file_clone_range" { src_fd: i64, src_offset: u64, src_length: u64, dest_offset: u64 }

    /// Old time stamps (`utime(2)`).
    Utimbuf = "" { actime: i64, modtime: i64 }
}

/// Bytes of a `linux_dirent64` before its name.
pub const LINUX_DIRENT64_NAME: usize = 19;
/// Bytes of a `linux_dirent` (`d_ino`, `d_off`, `d_reclen`) before its name; the type is the record's last byte.
pub const LINUX_DIRENT_NAME: usize = 18;
