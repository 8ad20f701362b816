//! File systems as a whole: `mount(2)`, `statfs(2)` and the file-descriptor based mount calls.

flags! {
    /// Flags of `mount(2)`.
    MountFlags: u64 {
        MS_RDONLY = 1, MS_NOSUID = 2, MS_NODEV = 4, MS_NOEXEC = 8, MS_SYNCHRONOUS = 0x10, MS_REMOUNT = 0x20,
        MS_MANDLOCK = 0x40, MS_DIRSYNC = 0x80, MS_NOSYMFOLLOW = 0x100, MS_NOATIME = 0x400,
        MS_NODIRATIME = 0x800, MS_BIND = 0x1000, MS_MOVE = 0x2000, MS_REC = 0x4000, MS_SILENT = 0x8000,
        MS_POSIXACL = 0x10000, MS_UNBINDABLE = 0x20000, MS_PRIVATE = 0x40000, MS_SLAVE = 0x80000,
        MS_SHARED = 0x100000, MS_RELATIME = 0x200000, MS_KERNMOUNT = 0x400000, MS_I_VERSION = 0x800000,
        MS_STRICTATIME = 0x1000000, MS_LAZYTIME = 0x2000000,
    }
}

consts! {
    /// The number in the high half that `mount(2)` ignores, for programs of 1994.
    u64 {
        MS_MGC_VAL = 3236757504, MS_MGC_MSK = 0xffff0000,
    }
}

flags! {
    /// Flags of `umount2(2)`.
    UmountFlags: u32 {
        MNT_FORCE = 1, MNT_DETACH = 2, MNT_EXPIRE = 4, UMOUNT_NOFOLLOW = 8,
    }
}

flags! {
    /// Mount flags that `statfs(2)` reports.
    StFlags: u64 {
        ST_RDONLY = 1, ST_NOSUID = 2, ST_NODEV = 4, ST_NOEXEC = 8, ST_SYNCHRONOUS = 0x10, ST_VALID = 0x20,
        ST_MANDLOCK = 0x40, ST_NOATIME = 0x400, ST_NODIRATIME = 0x800, ST_RELATIME = 0x1000,
        ST_NOSYMFOLLOW = 0x2000,
    }
}

consts! {
    /// File system magic numbers (`statfs(2)`).
    i64 {
        AUTOFS_SUPER_MAGIC = 391, DEVPTS_SUPER_MAGIC = 7377, MSDOS_SUPER_MAGIC = 19780,
        NFS_SUPER_MAGIC = 26985, ISOFS_SUPER_MAGIC = 38496, PROC_SUPER_MAGIC = 40864,
        EXT2_SUPER_MAGIC = 61267, EXT3_SUPER_MAGIC = 61267, EXT4_SUPER_MAGIC = 61267,
        ECRYPTFS_SUPER_MAGIC = 61791, CGROUP_SUPER_MAGIC = 0x27e0eb, TMPFS_MAGIC = 0x1021994,
        EXFAT_SUPER_MAGIC = 0x2011bab0, CRAMFS_MAGIC = 0x28cd3d45, BINFMTFS_MAGIC = 0x42494e4d,
        PIPEFS_MAGIC = 0x50495045, REISERFS_SUPER_MAGIC = 0x52654973, SOCKFS_MAGIC = 0x534f434b,
        XFS_SUPER_MAGIC = 0x58465342, BDEVFS_MAGIC = 0x62646576, SYSFS_MAGIC = 0x62656572,
        CGROUP2_SUPER_MAGIC = 0x63677270, DEBUGFS_MAGIC = 0x64626720, FUSE_SUPER_MAGIC = 0x65735546,
        BINDERFS_SUPER_MAGIC = 0x6c6f6f70, NSFS_MAGIC = 0x6e736673, SQUASHFS_MAGIC = 0x73717368,
        TRACEFS_MAGIC = 0x74726163, OVERLAYFS_SUPER_MAGIC = 0x794c7630, RAMFS_MAGIC = 0x858458f6,
        BTRFS_SUPER_MAGIC = 0x9123683e, HUGETLBFS_MAGIC = 0x958458f6, BPF_FS_MAGIC = 0xcafe4a11,
        F2FS_SUPER_MAGIC = 0xf2f52010, EROFS_SUPER_MAGIC_V1 = 0xe0f5e1e2, MQUEUE_MAGIC = 0x19800202,
    }
}

consts! {
    /// Flags of the file-descriptor based mount calls.
    u32 {
        FSOPEN_CLOEXEC = 1, FSMOUNT_CLOEXEC = 1, FSPICK_CLOEXEC = 1, FSPICK_SYMLINK_NOFOLLOW = 2,
        FSPICK_NO_AUTOMOUNT = 4, FSPICK_EMPTY_PATH = 8, OPEN_TREE_CLONE = 1, OPEN_TREE_CLOEXEC = 0x80000,
        MOVE_MOUNT_F_SYMLINKS = 1, MOVE_MOUNT_F_AUTOMOUNTS = 2, MOVE_MOUNT_F_EMPTY_PATH = 4,
        MOVE_MOUNT_T_SYMLINKS = 0x10, MOVE_MOUNT_T_AUTOMOUNTS = 0x20, MOVE_MOUNT_T_EMPTY_PATH = 0x40,
        MOVE_MOUNT_SET_GROUP = 0x100, MOVE_MOUNT__MASK = 0x177, MOUNT_ATTR_RELATIME = 0,
        MOUNT_ATTR_RDONLY = 1, MOUNT_ATTR_NOSUID = 2, MOUNT_ATTR_NODEV = 4, MOUNT_ATTR_NOEXEC = 8,
        MOUNT_ATTR_NOATIME = 0x10, MOUNT_ATTR_SIZE_VER0 = 0x20, MOUNT_ATTR_STRICTATIME = 0x20,
        MOUNT_ATTR__ATIME = 0x70, MOUNT_ATTR_NODIRATIME = 0x80, MOUNT_ATTR_IDMAP = 0x100000,
        MOUNT_ATTR_NOSYMFOLLOW = 0x200000,
    }
}

structs! {
    /// `struct statfs` (`statfs(2)`).
    Statfs = "libc:struct statfs" {
        f_type: i64, f_bsize: i64, f_blocks: u64, f_bfree: u64, f_bavail: u64, f_files: u64, f_ffree: u64,
        f_fsid: [i32; 2], f_namelen: i64, f_frsize: i64, f_flags: i64, _spare: [i64; 4],
    }

    /// What `mount_setattr(2)` changes.
    MountAttr = "struct mount_attr" { attr_set: u64, attr_clr: u64, propagation: u64, userns_fd: u64 }
}
