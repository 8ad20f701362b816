//! Processes: waiting, limits, capabilities, `prctl(2)`, `reboot(2)`, `seccomp(2)`, `ptrace(2)`.

use crate::time::Timeval;

flags! {
    /// Options of `wait4(2)` and `waitid(2)`.
    WaitFlags: u32 {
        WNOHANG = 1, WUNTRACED = 2, WEXITED = 4, WCONTINUED = 8, WNOWAIT = 0x1000000,
        __WNOTHREAD = 0x20000000, __WALL = 0x40000000, __WCLONE = 0x80000000,
    }
}

consts! {
    /// Another spelling of `WUNTRACED`.
    u32 {
        WSTOPPED = 2,
    }
}

consts! {
    /// What `waitid(2)` waits for.
    i32 {
        P_ALL = 0, P_PID = 1, P_PGID = 2, P_PIDFD = 3,
    }
}

consts! {
    /// Operations of `prctl(2)`.
    i32 {
        PR_SET_PDEATHSIG = 1, PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4,
        PR_GET_UNALIGN = 5, PR_SET_UNALIGN = 6, PR_GET_KEEPCAPS = 7, PR_SET_KEEPCAPS = 8, PR_GET_FPEMU = 9,
        PR_SET_FPEMU = 10, PR_GET_FPEXC = 11, PR_SET_FPEXC = 12, PR_GET_TIMING = 13, PR_SET_TIMING = 14,
        PR_SET_NAME = 15, PR_GET_NAME = 16, PR_GET_ENDIAN = 19, PR_SET_ENDIAN = 20, PR_GET_SECCOMP = 21,
        PR_SET_SECCOMP = 22, PR_CAPBSET_READ = 23, PR_CAPBSET_DROP = 24, PR_GET_TSC = 25, PR_SET_TSC = 26,
        PR_GET_SECUREBITS = 27, PR_SET_SECUREBITS = 28, PR_SET_TIMERSLACK = 29, PR_GET_TIMERSLACK = 30,
        PR_TASK_PERF_EVENTS_DISABLE = 31, PR_TASK_PERF_EVENTS_ENABLE = 32, PR_MCE_KILL = 33,
        PR_MCE_KILL_GET = 34, PR_SET_MM = 35, PR_SET_PTRACER = 1499557217, PR_SET_CHILD_SUBREAPER = 36,
        PR_GET_CHILD_SUBREAPER = 37, PR_SET_NO_NEW_PRIVS = 38, PR_GET_NO_NEW_PRIVS = 39,
        PR_GET_TID_ADDRESS = 40, PR_SET_THP_DISABLE = 41, PR_GET_THP_DISABLE = 42,
        PR_MPX_ENABLE_MANAGEMENT = 43, PR_MPX_DISABLE_MANAGEMENT = 44, PR_CAP_AMBIENT = 47,
        PR_GET_SPECULATION_CTRL = 52, PR_SET_SPECULATION_CTRL = 53, PR_SET_IO_FLUSHER = 57,
        PR_GET_IO_FLUSHER = 58, PR_SET_SYSCALL_USER_DISPATCH = 59, PR_SCHED_CORE = 62,
        PR_SET_VMA = 1398164801,
    }
}

consts! {
    /// Operands of `prctl(2)`.
    u32 {
        PR_UNALIGN_NOPRINT = 1, PR_UNALIGN_SIGBUS = 2, PR_TIMING_STATISTICAL = 0, PR_TIMING_TIMESTAMP = 1,
        PR_TSC_ENABLE = 1, PR_TSC_SIGSEGV = 2, PR_MCE_KILL_CLEAR = 0, PR_MCE_KILL_SET = 1,
        PR_MCE_KILL_LATE = 0, PR_MCE_KILL_EARLY = 1, PR_MCE_KILL_DEFAULT = 2, PR_SET_MM_START_CODE = 1,
        PR_SET_MM_END_CODE = 2, PR_SET_MM_START_DATA = 3, PR_SET_MM_END_DATA = 4, PR_SET_MM_START_STACK = 5,
        PR_SET_MM_START_BRK = 6, PR_SET_MM_BRK = 7, PR_SET_MM_ARG_START = 8, PR_SET_MM_ARG_END = 9,
        PR_SET_MM_ENV_START = 10, PR_SET_MM_ENV_END = 11, PR_SET_MM_AUXV = 12, PR_SET_MM_EXE_FILE = 13,
        PR_SET_MM_MAP = 14, PR_SET_MM_MAP_SIZE = 15, PR_CAP_AMBIENT_IS_SET = 1, PR_CAP_AMBIENT_RAISE = 2,
        PR_CAP_AMBIENT_LOWER = 3, PR_CAP_AMBIENT_CLEAR_ALL = 4, PR_SPEC_NOT_AFFECTED = 0,
        PR_SPEC_STORE_BYPASS = 0, PR_SPEC_INDIRECT_BRANCH = 1, PR_SPEC_PRCTL = 1, PR_SPEC_ENABLE = 2,
        PR_SPEC_L1D_FLUSH = 2, PR_SPEC_DISABLE = 4, PR_SPEC_FORCE_DISABLE = 8, PR_SPEC_DISABLE_NOEXEC = 16,
        PR_SYS_DISPATCH_OFF = 0, PR_SYS_DISPATCH_ON = 1, PR_SCHED_CORE_GET = 0,
        PR_SCHED_CORE_SCOPE_THREAD = 0, PR_SCHED_CORE_CREATE = 1, PR_SCHED_CORE_SCOPE_THREAD_GROUP = 1,
        PR_SCHED_CORE_SCOPE_PROCESS_GROUP = 2, PR_SCHED_CORE_SHARE_TO = 2, PR_SCHED_CORE_SHARE_FROM = 3,
        PR_SCHED_CORE_MAX = 4, PR_SET_VMA_ANON_NAME = 0,
    }
}

consts! {
    /// Operations of `arch_prctl(2)`.
    i32 {
        ARCH_SET_GS = 4097, ARCH_SET_FS = 4098, ARCH_GET_FS = 4099, ARCH_GET_GS = 4100,
        ARCH_GET_CPUID = 4113, ARCH_SET_CPUID = 4114, ARCH_GET_XCOMP_SUPP = 4129,
        ARCH_GET_XCOMP_PERM = 4130, ARCH_REQ_XCOMP_PERM = 4131, ARCH_GET_XCOMP_GUEST_PERM = 4132,
        ARCH_REQ_XCOMP_GUEST_PERM = 4133, ARCH_MAP_VDSO_X32 = 8193, ARCH_MAP_VDSO_32 = 8194,
        ARCH_MAP_VDSO_64 = 8195,
    }
}

consts! {
    /// Whose usage `getrusage(2)` reports.
    i32 {
        RUSAGE_SELF = 0, RUSAGE_CHILDREN = -1, RUSAGE_THREAD = 1,
    }
}

consts! {
    /// Limited resources (`getrlimit(2)`).
    u32 {
        RLIMIT_CPU = 0, RLIMIT_FSIZE = 1, RLIMIT_DATA = 2, RLIMIT_STACK = 3, RLIMIT_CORE = 4,
        RLIMIT_RSS = 5, RLIMIT_NPROC = 6, RLIMIT_NOFILE = 7, RLIMIT_MEMLOCK = 8, RLIMIT_AS = 9,
        RLIMIT_LOCKS = 10, RLIMIT_SIGPENDING = 11, RLIMIT_MSGQUEUE = 12, RLIMIT_NICE = 13,
        RLIMIT_RTPRIO = 14, RLIMIT_RTTIME = 15, RLIM_NLIMITS = 16,
    }
}

consts! {
    /// No limit.
    u64 {
        RLIM_INFINITY = 0xffffffffffffffff,
    }
}

consts! {
    /// Capabilities (`capabilities(7)`).
    u32 {
        CAP_CHOWN = 0, CAP_DAC_OVERRIDE = 1, CAP_DAC_READ_SEARCH = 2, CAP_FOWNER = 3, CAP_FSETID = 4,
        CAP_KILL = 5, CAP_SETGID = 6, CAP_SETUID = 7, CAP_SETPCAP = 8, CAP_LINUX_IMMUTABLE = 9,
        CAP_NET_BIND_SERVICE = 10, CAP_NET_BROADCAST = 11, CAP_NET_ADMIN = 12, CAP_NET_RAW = 13,
        CAP_IPC_LOCK = 14, CAP_IPC_OWNER = 15, CAP_SYS_MODULE = 16, CAP_SYS_RAWIO = 17, CAP_SYS_CHROOT = 18,
        CAP_SYS_PTRACE = 19, CAP_SYS_PACCT = 20, CAP_SYS_ADMIN = 21, CAP_SYS_BOOT = 22, CAP_SYS_NICE = 23,
        CAP_SYS_RESOURCE = 24, CAP_SYS_TIME = 25, CAP_SYS_TTY_CONFIG = 26, CAP_MKNOD = 27, CAP_LEASE = 28,
        CAP_AUDIT_WRITE = 29, CAP_AUDIT_CONTROL = 30, CAP_SETFCAP = 31, CAP_MAC_OVERRIDE = 32,
        CAP_MAC_ADMIN = 33, CAP_SYSLOG = 34, CAP_WAKE_ALARM = 35, CAP_BLOCK_SUSPEND = 36,
        CAP_AUDIT_READ = 37, CAP_PERFMON = 38, CAP_BPF = 39, CAP_CHECKPOINT_RESTORE = 40,
    }
}

consts! {
    /// Versions of the capability header.
    u32 {
        _LINUX_CAPABILITY_VERSION_1 = 0x19980330, _LINUX_CAPABILITY_VERSION_2 = 0x20071026,
        _LINUX_CAPABILITY_VERSION_3 = 0x20080522,
    }
}

consts! {
    /// Personalities (`personality(2)`).
    u32 {
        UNAME26 = 131072, ADDR_NO_RANDOMIZE = 262144, FDPIC_FUNCPTRS = 524288, MMAP_PAGE_ZERO = 1048576,
        ADDR_COMPAT_LAYOUT = 2097152, READ_IMPLIES_EXEC = 4194304, ADDR_LIMIT_32BIT = 8388608,
        SHORT_INODE = 16777216, WHOLE_SECONDS = 33554432, STICKY_TIMEOUTS = 67108864,
        ADDR_LIMIT_3GB = 134217728, PER_LINUX = 0, PER_LINUX32 = 8, PER_MASK = 255,
    }
}

consts! {
    /// Magic numbers and commands of `reboot(2)`.
    u32 {
        LINUX_REBOOT_CMD_CAD_OFF = 0, LINUX_REBOOT_CMD_RESTART = 0x1234567,
        LINUX_REBOOT_MAGIC2A = 0x5121996, LINUX_REBOOT_MAGIC2B = 0x16041998,
        LINUX_REBOOT_MAGIC2C = 0x20112000, LINUX_REBOOT_MAGIC2 = 0x28121969,
        LINUX_REBOOT_CMD_POWER_OFF = 0x4321fedc, LINUX_REBOOT_CMD_KEXEC = 0x45584543,
        LINUX_REBOOT_CMD_CAD_ON = 0x89abcdef, LINUX_REBOOT_CMD_RESTART2 = 0xa1b2c3d4,
        LINUX_REBOOT_CMD_HALT = 0xcdef0123, LINUX_REBOOT_CMD_SW_SUSPEND = 0xd000fce2,
        LINUX_REBOOT_MAGIC1 = 0xfee1dead,
    }
}

flags! {
    /// Flags of `getrandom(2)`.
    GrndFlags: u32 {
        GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4,
    }
}

consts! {
    /// Comparisons of `kcmp(2)`.
    i32 {
        KCMP_FILE = 0, KCMP_VM = 1, KCMP_FILES = 2, KCMP_FS = 3, KCMP_SIGHAND = 4, KCMP_IO = 5,
        KCMP_SYSVSEM = 6, KCMP_EPOLL_TFD = 7,
    }
}

consts! {
    /// Flags of `pidfd_open(2)`.
    u32 {
        PIDFD_NONBLOCK = 0x800,
    }
}

consts! {
    /// Operations and flags of `seccomp(2)`.
    u32 {
        SECCOMP_MODE_DISABLED = 0, SECCOMP_MODE_STRICT = 1, SECCOMP_MODE_FILTER = 2,
        SECCOMP_SET_MODE_STRICT = 0, SECCOMP_SET_MODE_FILTER = 1, SECCOMP_GET_ACTION_AVAIL = 2,
        SECCOMP_GET_NOTIF_SIZES = 3, SECCOMP_FILTER_FLAG_TSYNC = 1, SECCOMP_FILTER_FLAG_LOG = 2,
        SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4, SECCOMP_FILTER_FLAG_NEW_LISTENER = 8,
        SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 0x10, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 0x20,
        SECCOMP_RET_KILL = 0, SECCOMP_RET_KILL_THREAD = 0, SECCOMP_RET_DATA = 0xffff,
        SECCOMP_RET_TRAP = 0x30000, SECCOMP_RET_ERRNO = 0x50000, SECCOMP_RET_USER_NOTIF = 0x7fc00000,
        SECCOMP_RET_TRACE = 0x7ff00000, SECCOMP_RET_LOG = 0x7ffc0000, SECCOMP_RET_ACTION = 0x7fff0000,
        SECCOMP_RET_ALLOW = 0x7fff0000, SECCOMP_RET_KILL_PROCESS = 0x80000000,
        SECCOMP_RET_ACTION_FULL = 0xffff0000,
    }
}

consts! {
    /// Requests and options of `ptrace(2)`.
    i32 {
        PTRACE_TRACEME = 0, PTRACE_PEEKSIGINFO_SHARED = 1, PTRACE_PEEKTEXT = 1, PTRACE_PEEKDATA = 2,
        PTRACE_PEEKUSR = 3, PTRACE_PEEKSIGINFO = 16905, PTRACE_POKETEXT = 4, PTRACE_POKEDATA = 5,
        PTRACE_POKEUSR = 6, PTRACE_CONT = 7, PTRACE_KILL = 8, PTRACE_SINGLESTEP = 9, PTRACE_GETREGS = 12,
        PTRACE_SETREGS = 13, PTRACE_GETFPREGS = 14, PTRACE_SETFPREGS = 15, PTRACE_ATTACH = 16,
        PTRACE_DETACH = 17, PTRACE_SYSCALL = 24, PTRACE_SETOPTIONS = 16896, PTRACE_GETEVENTMSG = 16897,
        PTRACE_GETSIGINFO = 16898, PTRACE_SETSIGINFO = 16899, PTRACE_GETREGSET = 16900,
        PTRACE_SETREGSET = 16901, PTRACE_SEIZE = 16902, PTRACE_INTERRUPT = 16903, PTRACE_LISTEN = 16904,
        PTRACE_O_TRACESYSGOOD = 1, PTRACE_O_TRACEFORK = 2, PTRACE_O_TRACEVFORK = 4, PTRACE_O_TRACECLONE = 8,
        PTRACE_O_TRACEEXEC = 16, PTRACE_O_TRACEVFORKDONE = 32, PTRACE_O_TRACEEXIT = 64,
        PTRACE_O_TRACESECCOMP = 128, PTRACE_O_EXITKILL = 1048576, PTRACE_O_SUSPEND_SECCOMP = 2097152,
        PTRACE_O_MASK = 3145983, PTRACE_EVENT_FORK = 1, PTRACE_EVENT_VFORK = 2, PTRACE_EVENT_CLONE = 3,
        PTRACE_EVENT_EXEC = 4, PTRACE_EVENT_VFORK_DONE = 5, PTRACE_EVENT_EXIT = 6, PTRACE_EVENT_SECCOMP = 7,
        PTRACE_EVENT_STOP = 128,
    }
}

structs! {
    /// Resources used (`getrusage(2)`).
    Rusage = "libc:struct rusage" {
        ru_utime: Timeval, ru_stime: Timeval,
        /// In kibibytes.
        ru_maxrss: i64,
        ru_ixrss: i64, ru_idrss: i64, ru_isrss: i64, ru_minflt: i64, ru_majflt: i64, ru_nswap: i64, ru_inblock: i64,
        ru_oublock: i64, ru_msgsnd: i64, ru_msgrcv: i64, ru_nsignals: i64, ru_nvcsw: i64, ru_nivcsw: i64,
    }

    /// A limit and how far it may be raised (`getrlimit(2)`, `prlimit64(2)`).
    Rlimit = "struct rlimit64" { rlim_cur: u64, rlim_max: u64 }

    /// The machine's memory and load (`sysinfo(2)`).
    Sysinfo = "struct sysinfo" {
        uptime: i64,
        /// In units of 1/65536.
        loads: [u64; 3],
        totalram: u64, freeram: u64, sharedram: u64, bufferram: u64, totalswap: u64, freeswap: u64, procs: u16, pad: u16,
        _pad: u32, totalhigh: u64, freehigh: u64, mem_unit: u32, _pad2: u32,
    }

    /// The system's names (`uname(2)`).
    Utsname = "struct new_utsname" {
        sysname: [u8; 65], nodename: [u8; 65], release: [u8; 65], version: [u8; 65], machine: [u8; 65],
        domainname: [u8; 65],
    }

    /// Version and process of `capget(2)`.
    CapUserHeader = "struct __user_cap_header_struct" { version: u32, pid: i32 }

    /// 32 capabilities of each set (`capget(2)`).
    CapUserData = "struct __user_cap_data_struct" { effective: u32, permitted: u32, inheritable: u32 }
}
