//! Memory: `mmap(2)`, `madvise(2)`, `mremap(2)` and their neighbours.

flags! {
    /// Protection of `mmap(2)` and `mprotect(2)`.
    Prot: u32 {
        PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, PROT_SEM = 8, PROT_GROWSDOWN = 0x1000000,
        PROT_GROWSUP = 0x2000000,
    }
}

consts! {
    /// No access at all.
    u32 {
        PROT_NONE = 0,
    }
}

flags! {
    /// Flags of `mmap(2)`; the kind of sharing is a number under [`MAP_TYPE`].
    MapFlags: u32 {
        MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20, MAP_32BIT = 0x40, MAP_GROWSDOWN = 0x100,
        MAP_DENYWRITE = 0x800, MAP_EXECUTABLE = 0x1000, MAP_LOCKED = 0x2000, MAP_NORESERVE = 0x4000,
        MAP_POPULATE = 0x8000, MAP_NONBLOCK = 0x10000, MAP_STACK = 0x20000, MAP_HUGETLB = 0x40000,
        MAP_SYNC = 0x80000, MAP_FIXED_NOREPLACE = 0x100000, MAP_UNINITIALIZED = 0x4000000,
    }
}

consts! {
    /// Kinds of sharing, the mask that selects them, and the encoding of a page size.
    u32 {
        MAP_FILE = 0, MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_SHARED_VALIDATE = 3, MAP_TYPE = 0xf,
        MAP_HUGE_SHIFT = 0x1a, MAP_HUGE_MASK = 0x3f, MAP_HUGE_2MB = 0x54000000, MAP_HUGE_1GB = 0x78000000,
    }
}

consts! {
    /// Advice of `madvise(2)`.
    i32 {
        MADV_NORMAL = 0, MADV_RANDOM = 1, MADV_SEQUENTIAL = 2, MADV_WILLNEED = 3, MADV_DONTNEED = 4,
        MADV_FREE = 8, MADV_REMOVE = 9, MADV_DONTFORK = 10, MADV_DOFORK = 11, MADV_MERGEABLE = 12,
        MADV_UNMERGEABLE = 13, MADV_HUGEPAGE = 14, MADV_NOHUGEPAGE = 15, MADV_DONTDUMP = 16,
        MADV_DODUMP = 17, MADV_WIPEONFORK = 18, MADV_KEEPONFORK = 19, MADV_COLD = 20, MADV_PAGEOUT = 21,
        MADV_POPULATE_READ = 22, MADV_POPULATE_WRITE = 23, MADV_DONTNEED_LOCKED = 24, MADV_COLLAPSE = 25,
        MADV_HWPOISON = 100, MADV_SOFT_OFFLINE = 101,
    }
}

flags! {
    /// Flags of `mremap(2)`.
    MremapFlags: u32 {
        MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2, MREMAP_DONTUNMAP = 4,
    }
}

flags! {
    /// Flags of `msync(2)`.
    MsyncFlags: u32 {
        MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4,
    }
}

flags! {
    /// Flags of `mlockall(2)`.
    MclFlags: u32 {
        MCL_CURRENT = 1, MCL_FUTURE = 2, MCL_ONFAULT = 4,
    }
}

consts! {
    /// Flags of `mlock2(2)`.
    u32 {
        MLOCK_ONFAULT = 1,
    }
}

consts! {
    /// Memory policies.
    u32 {
        MPOL_DEFAULT = 0, MPOL_PREFERRED = 1, MPOL_BIND = 2, MPOL_INTERLEAVE = 3, MPOL_LOCAL = 4,
        MPOL_PREFERRED_MANY = 5, MPOL_MAX = 6,
    }
}

consts! {
    /// Flags of the memory policy calls.
    u32 {
        MPOL_F_NODE = 1, MPOL_F_ADDR = 2, MPOL_F_MEMS_ALLOWED = 4, MPOL_F_NUMA_BALANCING = 0x2000,
        MPOL_F_RELATIVE_NODES = 0x4000, MPOL_F_STATIC_NODES = 0x8000, MPOL_MF_STRICT = 1, MPOL_MF_MOVE = 2,
        MPOL_MF_MOVE_ALL = 4,
    }
}

consts! {
    /// Access rights of a protection key.
    u32 {
        PKEY_DISABLE_ACCESS = 1, PKEY_DISABLE_WRITE = 2, PKEY_ACCESS_MASK = 3,
    }
}
