//! Tracing: `ptrace(2)`.

consts! {
    /// Requests.
    u64 {
        PTRACE_TRACEME = 0, PTRACE_PEEKTEXT = 1, PTRACE_PEEKDATA = 2, PTRACE_PEEKUSR = 3, PTRACE_POKETEXT = 4,
        PTRACE_POKEDATA = 5, PTRACE_POKEUSR = 6, PTRACE_CONT = 7, PTRACE_KILL = 8, PTRACE_SINGLESTEP = 9,
        PTRACE_GETREGS = 12, PTRACE_SETREGS = 13, PTRACE_GETFPREGS = 14, PTRACE_SETFPREGS = 15,
        PTRACE_ATTACH = 16, PTRACE_DETACH = 17, PTRACE_SYSCALL = 24, PTRACE_ARCH_PRCTL = 30,
        PTRACE_SYSEMU = 31, PTRACE_SYSEMU_SINGLESTEP = 32, PTRACE_SINGLEBLOCK = 33, PTRACE_SETOPTIONS = 0x4200,
        PTRACE_GETEVENTMSG = 0x4201, PTRACE_GETSIGINFO = 0x4202, PTRACE_SETSIGINFO = 0x4203,
        PTRACE_GETREGSET = 0x4204, PTRACE_SETREGSET = 0x4205, PTRACE_SEIZE = 0x4206, PTRACE_INTERRUPT = 0x4207,
        PTRACE_LISTEN = 0x4208, PTRACE_PEEKSIGINFO = 0x4209, PTRACE_GETSIGMASK = 0x420a,
        PTRACE_SETSIGMASK = 0x420b, PTRACE_SECCOMP_GET_FILTER = 0x420c, PTRACE_GET_SYSCALL_INFO = 0x420e,
        PTRACE_GET_RSEQ_CONFIGURATION = 0x420f,
    }
}

flags! {
    /// What `PTRACE_SETOPTIONS` and `PTRACE_SEIZE` take.
    PtraceOptions: u64 {
        PTRACE_O_TRACESYSGOOD = 1, PTRACE_O_TRACEFORK = 2, PTRACE_O_TRACEVFORK = 4, PTRACE_O_TRACECLONE = 8,
        PTRACE_O_TRACEEXEC = 0x10, PTRACE_O_TRACEVFORKDONE = 0x20, PTRACE_O_TRACEEXIT = 0x40,
        PTRACE_O_TRACESECCOMP = 0x80, PTRACE_O_EXITKILL = 0x100000, PTRACE_O_SUSPEND_SECCOMP = 0x200000,
    }
}

consts! {
    /// Events: what stands above the signal in a stop's status.
    u32 {
        PTRACE_EVENT_FORK = 1, PTRACE_EVENT_VFORK = 2, PTRACE_EVENT_CLONE = 3, PTRACE_EVENT_EXEC = 4,
        PTRACE_EVENT_VFORK_DONE = 5, PTRACE_EVENT_EXIT = 6, PTRACE_EVENT_SECCOMP = 7, PTRACE_EVENT_STOP = 128,
    }
}

consts! {
    /// Messages of stops at system calls, and what `PTRACE_GET_SYSCALL_INFO` says of them.
    u8 {
        PTRACE_EVENTMSG_SYSCALL_ENTRY = 1, PTRACE_EVENTMSG_SYSCALL_EXIT = 2, PTRACE_SYSCALL_INFO_NONE = 0,
        PTRACE_SYSCALL_INFO_ENTRY = 1, PTRACE_SYSCALL_INFO_EXIT = 2, PTRACE_SYSCALL_INFO_SECCOMP = 3,
    }
}

consts! {
    /// The flag of `PTRACE_PEEKSIGINFO`: signals to the process, not to the thread.
    u32 {
        PTRACE_PEEKSIGINFO_SHARED = 1,
    }
}

consts! {
    /// Sets of registers.
    u64 {
        NT_PRSTATUS = 1, NT_PRFPREG = 2, NT_X86_XSTATE = 0x202,
    }
}

structs! {
    /// The integer registers and segments.
    UserRegsStruct = "libc:struct user_regs_struct" {
        r15: u64, r14: u64, r13: u64, r12: u64, rbp: u64, rbx: u64, r11: u64, r10: u64, r9: u64, r8: u64, rax: u64,
        rcx: u64, rdx: u64, rsi: u64, rdi: u64, orig_rax: u64, rip: u64, cs: u64, eflags: u64, rsp: u64, ss: u64,
        fs_base: u64, gs_base: u64, ds: u64, es: u64, fs: u64, gs: u64,
    }

    /// Which signals `PTRACE_PEEKSIGINFO` shows.
    PtracePeeksiginfoArgs = "struct ptrace_peeksiginfo_args" { off: u64, flags: u32, nr: i32 }

    /// Where a thread has registered its restartable sequences.
    PtraceRseqConfiguration = "struct ptrace_rseq_configuration" {
        rseq_abi_pointer: u64, rseq_abi_size: u32, signature: u32, flags: u32, pad: u32,
    }

    /// What `PTRACE_GET_SYSCALL_INFO` says: `values` are the number and the arguments, or the result, and what
    /// belongs to them.
    PtraceSyscallInfo = "" {
        op: u8, _pad: [u8; 3], arch: u32, instruction_pointer: u64, stack_pointer: u64, values: [u64; 8],
    }
}
