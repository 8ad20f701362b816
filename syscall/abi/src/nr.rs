//! System-call numbers of Linux 6.1 on x86_64 and aarch64.

/// A system call and its numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Number {
    /// Linux's name.
    pub name: &'static str,
    /// Its number on x86_64.
    pub x86_64: u32,
    /// Its number on aarch64, where it exists there.
    pub aarch64: Option<u32>,
}

macro_rules! option {
    (_) => {
        None
    };
    ($n:literal) => {
        Some($n)
    };
}

macro_rules! numbers {
    ($( [$x86:literal $arm:tt] $constant:ident; )*) => {
        $(
            #[doc = concat!("`", stringify!($constant), "` on x86_64.")]
            #[expect(non_upper_case_globals, reason = "Linux's own spelling")]
            pub const $constant: u32 = $x86;
        )*

        /// Every call of Linux 6.1 on x86_64, by ascending number.
        pub static NUMBERS: &[Number] = &[ $(
            Number { name: name(stringify!($constant)), x86_64: $x86, aarch64: option!($arm) },
        )* ];

        /// Names by x86_64 number, ascending.
        pub static NAMES: &[(u32, &str)] = &[ $( ($x86, name(stringify!($constant))) ),* ];
    };
}

/// Cuts `__NR_` off.
const fn name(constant: &'static str) -> &'static str {
    constant.split_at("__NR_".len()).1
}

/// The number above which no call exists on x86_64.
pub const LAST: u32 = 450;

// [x86_64 aarch64]
numbers! {
    [0 63] __NR_read; [1 64] __NR_write; [2 _] __NR_open; [3 57] __NR_close; [4 _] __NR_stat;
    [5 80] __NR_fstat; [6 _] __NR_lstat; [7 _] __NR_poll; [8 62] __NR_lseek; [9 222] __NR_mmap;
    [10 226] __NR_mprotect; [11 215] __NR_munmap; [12 214] __NR_brk; [13 134] __NR_rt_sigaction;
    [14 135] __NR_rt_sigprocmask; [15 139] __NR_rt_sigreturn; [16 29] __NR_ioctl; [17 67] __NR_pread64;
    [18 68] __NR_pwrite64; [19 65] __NR_readv; [20 66] __NR_writev; [21 _] __NR_access; [22 _] __NR_pipe;
    [23 _] __NR_select; [24 124] __NR_sched_yield; [25 216] __NR_mremap; [26 227] __NR_msync;
    [27 232] __NR_mincore; [28 233] __NR_madvise; [29 194] __NR_shmget; [30 196] __NR_shmat;
    [31 195] __NR_shmctl; [32 23] __NR_dup; [33 _] __NR_dup2; [34 _] __NR_pause; [35 101] __NR_nanosleep;
    [36 102] __NR_getitimer; [37 _] __NR_alarm; [38 103] __NR_setitimer; [39 172] __NR_getpid;
    [40 71] __NR_sendfile; [41 198] __NR_socket; [42 203] __NR_connect; [43 202] __NR_accept;
    [44 206] __NR_sendto; [45 207] __NR_recvfrom; [46 211] __NR_sendmsg; [47 212] __NR_recvmsg;
    [48 210] __NR_shutdown; [49 200] __NR_bind; [50 201] __NR_listen; [51 204] __NR_getsockname;
    [52 205] __NR_getpeername; [53 199] __NR_socketpair; [54 208] __NR_setsockopt; [55 209] __NR_getsockopt;
    [56 220] __NR_clone; [57 _] __NR_fork; [58 _] __NR_vfork; [59 221] __NR_execve; [60 93] __NR_exit;
    [61 260] __NR_wait4; [62 129] __NR_kill; [63 160] __NR_uname; [64 190] __NR_semget; [65 193] __NR_semop;
    [66 191] __NR_semctl; [67 197] __NR_shmdt; [68 186] __NR_msgget; [69 189] __NR_msgsnd;
    [70 188] __NR_msgrcv; [71 187] __NR_msgctl; [72 25] __NR_fcntl; [73 32] __NR_flock; [74 82] __NR_fsync;
    [75 83] __NR_fdatasync; [76 45] __NR_truncate; [77 46] __NR_ftruncate; [78 _] __NR_getdents;
    [79 17] __NR_getcwd; [80 49] __NR_chdir; [81 50] __NR_fchdir; [82 _] __NR_rename; [83 _] __NR_mkdir;
    [84 _] __NR_rmdir; [85 _] __NR_creat; [86 _] __NR_link; [87 _] __NR_unlink; [88 _] __NR_symlink;
    [89 _] __NR_readlink; [90 _] __NR_chmod; [91 52] __NR_fchmod; [92 _] __NR_chown; [93 55] __NR_fchown;
    [94 _] __NR_lchown; [95 166] __NR_umask; [96 169] __NR_gettimeofday; [97 163] __NR_getrlimit;
    [98 165] __NR_getrusage; [99 179] __NR_sysinfo; [100 153] __NR_times; [101 117] __NR_ptrace;
    [102 174] __NR_getuid; [103 116] __NR_syslog; [104 176] __NR_getgid; [105 146] __NR_setuid;
    [106 144] __NR_setgid; [107 175] __NR_geteuid; [108 177] __NR_getegid; [109 154] __NR_setpgid;
    [110 173] __NR_getppid; [111 _] __NR_getpgrp; [112 157] __NR_setsid; [113 145] __NR_setreuid;
    [114 143] __NR_setregid; [115 158] __NR_getgroups; [116 159] __NR_setgroups; [117 147] __NR_setresuid;
    [118 148] __NR_getresuid; [119 149] __NR_setresgid; [120 150] __NR_getresgid; [121 155] __NR_getpgid;
    [122 151] __NR_setfsuid; [123 152] __NR_setfsgid; [124 156] __NR_getsid; [125 90] __NR_capget;
    [126 91] __NR_capset; [127 136] __NR_rt_sigpending; [128 137] __NR_rt_sigtimedwait;
    [129 138] __NR_rt_sigqueueinfo; [130 133] __NR_rt_sigsuspend; [131 132] __NR_sigaltstack;
    [132 _] __NR_utime; [133 _] __NR_mknod; [134 _] __NR_uselib; [135 92] __NR_personality;
    [136 _] __NR_ustat; [137 43] __NR_statfs; [138 44] __NR_fstatfs; [139 _] __NR_sysfs;
    [140 141] __NR_getpriority; [141 140] __NR_setpriority; [142 118] __NR_sched_setparam;
    [143 121] __NR_sched_getparam; [144 119] __NR_sched_setscheduler; [145 120] __NR_sched_getscheduler;
    [146 125] __NR_sched_get_priority_max; [147 126] __NR_sched_get_priority_min;
    [148 127] __NR_sched_rr_get_interval; [149 228] __NR_mlock; [150 229] __NR_munlock;
    [151 230] __NR_mlockall; [152 231] __NR_munlockall; [153 58] __NR_vhangup; [154 _] __NR_modify_ldt;
    [155 41] __NR_pivot_root; [156 _] __NR__sysctl; [157 167] __NR_prctl; [158 _] __NR_arch_prctl;
    [159 171] __NR_adjtimex; [160 164] __NR_setrlimit; [161 51] __NR_chroot; [162 81] __NR_sync;
    [163 89] __NR_acct; [164 170] __NR_settimeofday; [165 40] __NR_mount; [166 39] __NR_umount2;
    [167 224] __NR_swapon; [168 225] __NR_swapoff; [169 142] __NR_reboot; [170 161] __NR_sethostname;
    [171 162] __NR_setdomainname; [172 _] __NR_iopl; [173 _] __NR_ioperm; [174 _] __NR_create_module;
    [175 105] __NR_init_module; [176 106] __NR_delete_module; [177 _] __NR_get_kernel_syms;
    [178 _] __NR_query_module; [179 60] __NR_quotactl; [180 42] __NR_nfsservctl; [181 _] __NR_getpmsg;
    [182 _] __NR_putpmsg; [183 _] __NR_afs_syscall; [184 _] __NR_tuxcall; [185 _] __NR_security;
    [186 178] __NR_gettid; [187 213] __NR_readahead; [188 5] __NR_setxattr; [189 6] __NR_lsetxattr;
    [190 7] __NR_fsetxattr; [191 8] __NR_getxattr; [192 9] __NR_lgetxattr; [193 10] __NR_fgetxattr;
    [194 11] __NR_listxattr; [195 12] __NR_llistxattr; [196 13] __NR_flistxattr; [197 14] __NR_removexattr;
    [198 15] __NR_lremovexattr; [199 16] __NR_fremovexattr; [200 130] __NR_tkill; [201 _] __NR_time;
    [202 98] __NR_futex; [203 122] __NR_sched_setaffinity; [204 123] __NR_sched_getaffinity;
    [205 _] __NR_set_thread_area; [206 0] __NR_io_setup; [207 1] __NR_io_destroy; [208 4] __NR_io_getevents;
    [209 2] __NR_io_submit; [210 3] __NR_io_cancel; [211 _] __NR_get_thread_area;
    [212 18] __NR_lookup_dcookie; [213 _] __NR_epoll_create; [214 _] __NR_epoll_ctl_old;
    [215 _] __NR_epoll_wait_old; [216 234] __NR_remap_file_pages; [217 61] __NR_getdents64;
    [218 96] __NR_set_tid_address; [219 128] __NR_restart_syscall; [220 192] __NR_semtimedop;
    [221 223] __NR_fadvise64; [222 107] __NR_timer_create; [223 110] __NR_timer_settime;
    [224 108] __NR_timer_gettime; [225 109] __NR_timer_getoverrun; [226 111] __NR_timer_delete;
    [227 112] __NR_clock_settime; [228 113] __NR_clock_gettime; [229 114] __NR_clock_getres;
    [230 115] __NR_clock_nanosleep; [231 94] __NR_exit_group; [232 _] __NR_epoll_wait;
    [233 21] __NR_epoll_ctl; [234 131] __NR_tgkill; [235 _] __NR_utimes; [236 _] __NR_vserver;
    [237 235] __NR_mbind; [238 237] __NR_set_mempolicy; [239 236] __NR_get_mempolicy;
    [240 180] __NR_mq_open; [241 181] __NR_mq_unlink; [242 182] __NR_mq_timedsend;
    [243 183] __NR_mq_timedreceive; [244 184] __NR_mq_notify; [245 185] __NR_mq_getsetattr;
    [246 104] __NR_kexec_load; [247 95] __NR_waitid; [248 217] __NR_add_key; [249 218] __NR_request_key;
    [250 219] __NR_keyctl; [251 30] __NR_ioprio_set; [252 31] __NR_ioprio_get; [253 _] __NR_inotify_init;
    [254 27] __NR_inotify_add_watch; [255 28] __NR_inotify_rm_watch; [256 238] __NR_migrate_pages;
    [257 56] __NR_openat; [258 34] __NR_mkdirat; [259 33] __NR_mknodat; [260 54] __NR_fchownat;
    [261 _] __NR_futimesat; [262 79] __NR_newfstatat; [263 35] __NR_unlinkat; [264 38] __NR_renameat;
    [265 37] __NR_linkat; [266 36] __NR_symlinkat; [267 78] __NR_readlinkat; [268 53] __NR_fchmodat;
    [269 48] __NR_faccessat; [270 72] __NR_pselect6; [271 73] __NR_ppoll; [272 97] __NR_unshare;
    [273 99] __NR_set_robust_list; [274 100] __NR_get_robust_list; [275 76] __NR_splice; [276 77] __NR_tee;
    [277 84] __NR_sync_file_range; [278 75] __NR_vmsplice; [279 239] __NR_move_pages;
    [280 88] __NR_utimensat; [281 22] __NR_epoll_pwait; [282 _] __NR_signalfd; [283 85] __NR_timerfd_create;
    [284 _] __NR_eventfd; [285 47] __NR_fallocate; [286 86] __NR_timerfd_settime;
    [287 87] __NR_timerfd_gettime; [288 242] __NR_accept4; [289 74] __NR_signalfd4; [290 19] __NR_eventfd2;
    [291 20] __NR_epoll_create1; [292 24] __NR_dup3; [293 59] __NR_pipe2; [294 26] __NR_inotify_init1;
    [295 69] __NR_preadv; [296 70] __NR_pwritev; [297 240] __NR_rt_tgsigqueueinfo;
    [298 241] __NR_perf_event_open; [299 243] __NR_recvmmsg; [300 262] __NR_fanotify_init;
    [301 263] __NR_fanotify_mark; [302 261] __NR_prlimit64; [303 264] __NR_name_to_handle_at;
    [304 265] __NR_open_by_handle_at; [305 266] __NR_clock_adjtime; [306 267] __NR_syncfs;
    [307 269] __NR_sendmmsg; [308 268] __NR_setns; [309 168] __NR_getcpu; [310 270] __NR_process_vm_readv;
    [311 271] __NR_process_vm_writev; [312 272] __NR_kcmp; [313 273] __NR_finit_module;
    [314 274] __NR_sched_setattr; [315 275] __NR_sched_getattr; [316 276] __NR_renameat2;
    [317 277] __NR_seccomp; [318 278] __NR_getrandom; [319 279] __NR_memfd_create;
    [320 294] __NR_kexec_file_load; [321 280] __NR_bpf; [322 281] __NR_execveat; [323 282] __NR_userfaultfd;
    [324 283] __NR_membarrier; [325 284] __NR_mlock2; [326 285] __NR_copy_file_range;
    [327 286] __NR_preadv2; [328 287] __NR_pwritev2; [329 288] __NR_pkey_mprotect;
    [330 289] __NR_pkey_alloc; [331 290] __NR_pkey_free; [332 291] __NR_statx; [333 292] __NR_io_pgetevents;
    [334 293] __NR_rseq; [424 424] __NR_pidfd_send_signal; [425 425] __NR_io_uring_setup;
    [426 426] __NR_io_uring_enter; [427 427] __NR_io_uring_register; [428 428] __NR_open_tree;
    [429 429] __NR_move_mount; [430 430] __NR_fsopen; [431 431] __NR_fsconfig; [432 432] __NR_fsmount;
    [433 433] __NR_fspick; [434 434] __NR_pidfd_open; [435 435] __NR_clone3; [436 436] __NR_close_range;
    [437 437] __NR_openat2; [438 438] __NR_pidfd_getfd; [439 439] __NR_faccessat2;
    [440 440] __NR_process_madvise; [441 441] __NR_epoll_pwait2; [442 442] __NR_mount_setattr;
    [443 443] __NR_quotactl_fd; [444 444] __NR_landlock_create_ruleset; [445 445] __NR_landlock_add_rule;
    [446 446] __NR_landlock_restrict_self; [447 447] __NR_memfd_secret; [448 448] __NR_process_mrelease;
    [449 449] __NR_futex_waitv; [450 450] __NR_set_mempolicy_home_node;
}
