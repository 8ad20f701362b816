//! Signals: numbers, actions, what a handler is told, and the frame that it returns through (`signal(7)`).

consts! {
    /// Signal numbers (`signal(7)`).
    i32 {
        SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGIOT = 6, SIGBUS = 7,
        SIGFPE = 8, SIGKILL = 9, SIGUSR1 = 10, SIGSEGV = 11, SIGUSR2 = 12, SIGPIPE = 13, SIGALRM = 14,
        SIGTERM = 15, SIGSTKFLT = 16, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20, SIGTTIN = 21,
        SIGTTOU = 22, SIGURG = 23, SIGXCPU = 24, SIGXFSZ = 25, SIGVTALRM = 26, SIGPROF = 27, SIGWINCH = 28,
        SIGIO = 29, SIGPOLL = 29, SIGPWR = 30, SIGSYS = 31, SIGRTMIN = 32, SIGRTMAX = 64,
    }
}

flags! {
    /// Flags of `sigaction(2)`.
    SaFlags: u64 {
        SA_NOCLDSTOP = 1, SA_NOCLDWAIT = 2, SA_SIGINFO = 4, SA_UNSUPPORTED = 0x400,
        SA_EXPOSE_TAGBITS = 0x800, SA_RESTORER = 0x4000000, SA_ONSTACK = 0x8000000, SA_RESTART = 0x10000000,
        SA_NODEFER = 0x40000000, SA_RESETHAND = 0x80000000,
    }
}

consts! {
    /// Handlers that are no function.
    u64 {
        SIG_DFL = 0, SIG_IGN = 1,
    }
}

consts! {
    /// How `sigprocmask(2)` changes the mask.
    i32 {
        SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2,
    }
}

consts! {
    /// Codes that say who sent a signal.
    i32 {
        SI_USER = 0, SI_KERNEL = 128, SI_QUEUE = -1, SI_TIMER = -2, SI_MESGQ = -3, SI_ASYNCIO = -4,
        SI_SIGIO = -5, SI_TKILL = -6, SI_DETHREAD = -7, SI_ASYNCNL = -60,
    }
}

consts! {
    /// Codes of `SIGILL`, `SIGFPE`, `SIGSEGV`, `SIGBUS`, `SIGTRAP`, `SIGCHLD`, `SIGPOLL` and `SIGSYS`.
    i32 {
        ILL_ILLOPC = 1, ILL_ILLOPN = 2, ILL_ILLADR = 3, ILL_ILLTRP = 4, ILL_PRVOPC = 5, ILL_PRVREG = 6,
        ILL_COPROC = 7, ILL_BADSTK = 8, FPE_INTDIV = 1, FPE_INTOVF = 2, FPE_FLTDIV = 3, FPE_FLTOVF = 4,
        FPE_FLTUND = 5, FPE_FLTRES = 6, FPE_FLTINV = 7, FPE_FLTSUB = 8, FPE_FLTUNK = 14, SEGV_MAPERR = 1,
        SEGV_ACCERR = 2, SEGV_BNDERR = 3, SEGV_PKUERR = 4, BUS_ADRALN = 1, BUS_ADRERR = 2, BUS_OBJERR = 3,
        BUS_MCEERR_AR = 4, BUS_MCEERR_AO = 5, TRAP_BRKPT = 1, TRAP_TRACE = 2, TRAP_BRANCH = 3,
        TRAP_HWBKPT = 4, TRAP_UNK = 5, TRAP_PERF = 6, CLD_EXITED = 1, CLD_KILLED = 2, CLD_DUMPED = 3,
        CLD_TRAPPED = 4, CLD_STOPPED = 5, CLD_CONTINUED = 6, POLL_IN = 1, POLL_OUT = 2, POLL_MSG = 3,
        POLL_ERR = 4, POLL_PRI = 5, POLL_HUP = 6, SYS_SECCOMP = 1, SYS_USER_DISPATCH = 2,
    }
}

consts! {
    /// Flags of an alternate signal stack.
    u32 {
        SS_ONSTACK = 1, SS_DISABLE = 2, SS_AUTODISARM = 0x80000000,
    }
}

consts! {
    /// Sizes of an alternate signal stack: the smallest allowed, and the advised one.
    usize {
        MINSIGSTKSZ = 2048, SIGSTKSZ = 8192,
    }
}

flags! {
    /// Flags of a signal frame's `ucontext`.
    UcFlags: u64 {
        UC_FP_XSTATE = 1, UC_SIGCONTEXT_SS = 2, UC_STRICT_RESTORE_SS = 4,
    }
}

consts! {
    /// Marks around the extended state in a signal frame.
    u32 {
        FP_XSTATE_MAGIC1 = 1179670611, FP_XSTATE_MAGIC2 = 1179670597,
    }
}

flags! {
    /// Flags of `signalfd4(2)`.
    SfdFlags: u32 {
        SFD_CLOEXEC = 0x80000, SFD_NONBLOCK = 0x800,
    }
}

structs! {
    /// `struct sigaction` as the kernel has it (`rt_sigaction(2)`).
    KernelSigaction = "struct sigaction" { sa_handler: u64, sa_flags: u64, sa_restorer: u64, sa_mask: u64 }

    /// `siginfo_t`; `fields` are the union behind the code.
    Siginfo = "siginfo_t" { si_signo: i32, si_errno: i32, si_code: i32, _pad: u32, _fields: [u64; 14] }

    /// An alternate signal stack (`sigaltstack(2)`).
    StackT = "stack_t" { ss_sp: u64, ss_flags: i32, _pad: u32, ss_size: u64 }

    /// The registers in a signal frame.
    Sigcontext = "struct sigcontext" {
        r8: u64, r9: u64, r10: u64, r11: u64, r12: u64, r13: u64, r14: u64, r15: u64, rdi: u64, rsi: u64, rbp: u64,
        rbx: u64, rdx: u64, rax: u64, rcx: u64, rsp: u64, rip: u64, eflags: u64, cs: u16, gs: u16, fs: u16, ss: u16,
        err: u64, trapno: u64, oldmask: u64, cr2: u64,
        /// Address of the extended state, or 0.
        fpstate: u64,
        reserved1: [u64; 8],
    }

    /// `struct ucontext` as the kernel has it: what lies in a signal frame.
    Ucontext = "struct ucontext" {
        uc_flags: u64, uc_link: u64, uc_stack: StackT, uc_mcontext: Sigcontext, uc_sigmask: u64,
    }

    /// What says that more than the 512 bytes of `FXSAVE` follow; lies in their last 48 bytes.
    FpxSwBytes = "struct _fpx_sw_bytes" {
        magic1: u32,
        /// Bytes of the whole state, with `FP_XSTATE_MAGIC2` behind it.
        extended_size: u32,
        xfeatures: u64,
        /// Bytes of the state without the mark.
        xstate_size: u32,
        padding: [u32; 7],
    }

    /// The `FXSAVE` area in a signal frame.
    Fpstate = "struct _fpstate_64" {
        cwd: u16, swd: u16, twd: u16, fop: u16, rip: u64, rdp: u64, mxcsr: u32, mxcsr_mask: u32, st_space: [u32; 32],
        xmm_space: [u32; 64], _reserved2: [u32; 12], sw_reserved: FpxSwBytes,
    }

    /// The header behind the `FXSAVE` area.
    XsaveHeader = "struct _header" { xfeatures: u64, reserved1: [u64; 2], reserved2: [u64; 5] }

    /// What a signal descriptor reads (`signalfd(2)`).
    SignalfdSiginfo = "struct signalfd_siginfo" {
        ssi_signo: u32, ssi_errno: i32, ssi_code: i32, ssi_pid: u32, ssi_uid: u32, ssi_fd: i32, ssi_tid: u32,
        ssi_band: u32, ssi_overrun: u32, ssi_trapno: u32, ssi_status: i32, ssi_int: i32, ssi_ptr: u64, ssi_utime: u64,
        ssi_stime: u64, ssi_addr: u64, ssi_addr_lsb: u16, __pad2: u16, ssi_syscall: i32, ssi_call_addr: u64,
        ssi_arch: u32, _pad: [u8; 28],
    }

    /// The mask argument of `pselect6(2)`: address and size of a signal set.
    SigsetArgument = "" { address: u64, size: u64 }
}

/// Joins two `i32` as they lie in memory.
const fn pair(low: i32, high: i32) -> u64 {
    (high.cast_unsigned() as u64) << 32 | low.cast_unsigned() as u64
}

/// The half of a word that holds an `i32`.
#[expect(clippy::cast_possible_truncation, reason = "the halves of a word")]
const fn half(word: u64, high: bool) -> i32 {
    (if high { (word >> 32) as u32 } else { word as u32 }).cast_signed()
}

impl Siginfo {
    const fn with(signo: i32, code: i32, words: [u64; 4]) -> Self {
        let mut fields = [0; 14];
        [fields[0], fields[1], fields[2], fields[3]] = words;
        Self { si_signo: signo, si_errno: 0, si_code: code, _pad: 0, _fields: fields }
    }

    /// From a process: `SI_USER` or `SI_TKILL`; also what the kernel sends by itself (`SI_KERNEL`, with zeroes).
    pub const fn kill(signo: i32, code: i32, pid: i32, uid: u32) -> Self {
        Self::with(signo, code, [pair(pid, uid.cast_signed()), 0, 0, 0])
    }

    /// With a value: `SI_QUEUE`, `SI_MESGQ`.
    pub const fn rt(signo: i32, code: i32, pid: i32, uid: u32, value: u64) -> Self {
        Self::with(signo, code, [pair(pid, uid.cast_signed()), value, 0, 0])
    }

    /// From a POSIX timer: its number, how many expirations were missed, and its value.
    pub const fn timer(signo: i32, timer: i32, overrun: i32, value: u64) -> Self {
        Self::with(signo, SI_TIMER, [pair(timer, overrun), value, 0, 0])
    }

    /// About a child: `CLD_*`. Times are in clock ticks (a hundredth of a second).
    pub const fn child(code: i32, pid: i32, uid: u32, status: i32, utime: i64, stime: i64) -> Self {
        let [utime, stime] = [utime.cast_unsigned(), stime.cast_unsigned()];
        Self::with(SIGCHLD, code, [pair(pid, uid.cast_signed()), pair(status, 0), utime, stime])
    }

    /// About a fault at `address`.
    pub const fn fault(signo: i32, code: i32, address: u64) -> Self {
        Self::with(signo, code, [address, 0, 0, 0])
    }

    /// About a descriptor that became ready: `POLL_*`.
    pub const fn poll(signo: i32, code: i32, band: i64, fd: i32) -> Self {
        Self::with(signo, code, [band.cast_unsigned(), pair(fd, 0), 0, 0])
    }

    /// About a system call that was caught: its address, number and architecture (`AUDIT_ARCH_*`).
    pub const fn sys(code: i32, address: u64, number: i32, arch: u32) -> Self {
        Self::with(SIGSYS, code, [address, pair(number, arch.cast_signed()), 0, 0])
    }

    /// The sender's or child's process (`si_pid`), or a timer's number (`si_timerid`).
    pub const fn pid(&self) -> i32 {
        half(self._fields[0], false)
    }

    /// The sender's or child's user (`si_uid`).
    pub const fn uid(&self) -> u32 {
        half(self._fields[0], true).cast_unsigned()
    }

    /// How many expirations of a timer were missed (`si_overrun`).
    pub const fn overrun(&self) -> i32 {
        half(self._fields[0], true)
    }

    /// The value of a queued signal or timer (`si_value`).
    pub const fn value(&self) -> u64 {
        self._fields[1]
    }

    /// A child's status (`si_status`).
    pub const fn status(&self) -> i32 {
        half(self._fields[1], false)
    }

    /// A child's user time, in clock ticks (`si_utime`).
    pub const fn utime(&self) -> u64 {
        self._fields[2]
    }

    /// A child's system time, in clock ticks (`si_stime`).
    pub const fn stime(&self) -> u64 {
        self._fields[3]
    }

    /// The address of a fault or of a caught call (`si_addr`, `si_call_addr`).
    pub const fn address(&self) -> u64 {
        self._fields[0]
    }

    /// Readiness of a descriptor (`si_band`).
    pub const fn band(&self) -> u64 {
        self._fields[0]
    }

    /// The descriptor that became ready (`si_fd`), or a caught call's number (`si_syscall`).
    pub const fn fd(&self) -> i32 {
        half(self._fields[1], false)
    }

    /// A caught call's architecture (`si_arch`).
    pub const fn arch(&self) -> u32 {
        half(self._fields[1], true).cast_unsigned()
    }
}
