//! Filters of system calls: `seccomp(2)`, and the classic BPF that they are written in.

consts! {
    /// Operations of `seccomp(2)`.
    u32 {
        SECCOMP_SET_MODE_STRICT = 0, SECCOMP_SET_MODE_FILTER = 1, SECCOMP_GET_ACTION_AVAIL = 2,
        SECCOMP_GET_NOTIF_SIZES = 3,
    }
}

consts! {
    /// Modes of a thread.
    u64 {
        SECCOMP_MODE_DISABLED = 0, SECCOMP_MODE_STRICT = 1, SECCOMP_MODE_FILTER = 2,
    }
}

flags! {
    /// Flags of `SECCOMP_SET_MODE_FILTER`.
    FilterFlags: u32 {
        SECCOMP_FILTER_FLAG_TSYNC = 1, SECCOMP_FILTER_FLAG_LOG = 2, SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4,
        SECCOMP_FILTER_FLAG_NEW_LISTENER = 8, SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 16,
        SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32,
    }
}

consts! {
    /// What a filter answers: the strictest first, as signed numbers.
    u32 {
        SECCOMP_RET_KILL_PROCESS = 0x80000000, SECCOMP_RET_KILL_THREAD = 0, SECCOMP_RET_TRAP = 0x30000,
        SECCOMP_RET_ERRNO = 0x50000, SECCOMP_RET_USER_NOTIF = 0x7fc00000, SECCOMP_RET_TRACE = 0x7ff00000,
        SECCOMP_RET_LOG = 0x7ffc0000, SECCOMP_RET_ALLOW = 0x7fff0000, SECCOMP_RET_ACTION_FULL = 0xffff0000,
        SECCOMP_RET_DATA = 0xffff,
    }
}

consts! {
    /// Architectures as filters see them.
    u32 {
        AUDIT_ARCH_X86_64 = 0xc000003e,
    }
}

consts! {
    /// Parts of a BPF instruction's code.
    u16 {
        BPF_LD = 0, BPF_LDX = 1, BPF_ST = 2, BPF_STX = 3, BPF_ALU = 4, BPF_JMP = 5, BPF_RET = 6, BPF_MISC = 7,
        BPF_W = 0, BPF_H = 8, BPF_B = 0x10, BPF_IMM = 0, BPF_ABS = 0x20, BPF_IND = 0x40, BPF_MEM = 0x60,
        BPF_LEN = 0x80, BPF_MSH = 0xa0, BPF_ADD = 0, BPF_SUB = 0x10, BPF_MUL = 0x20, BPF_DIV = 0x30,
        BPF_OR = 0x40, BPF_AND = 0x50, BPF_LSH = 0x60, BPF_RSH = 0x70, BPF_NEG = 0x80, BPF_MOD = 0x90,
        BPF_XOR = 0xa0, BPF_JA = 0, BPF_JEQ = 0x10, BPF_JGT = 0x20, BPF_JGE = 0x30, BPF_JSET = 0x40, BPF_K = 0,
        BPF_X = 8, BPF_A = 0x10, BPF_TAX = 0, BPF_TXA = 0x80,
    }
}

consts! {
    /// Most instructions of a filter, and how many words of memory it has.
    usize {
        BPF_MAXINSNS = 4096, BPF_MEMWORDS = 16,
    }
}

structs! {
    /// An instruction of classic BPF.
    SockFilter = "struct sock_filter" { code: u16, jt: u8, jf: u8, k: u32 }

    /// A program of classic BPF: its length in instructions, and its address.
    SockFprog = "struct sock_fprog" { len: u16, _pad: [u8; 6], filter: u64 }

    /// What a filter looks at.
    SeccompData = "struct seccomp_data" { nr: i32, arch: u32, instruction_pointer: u64, args: [u64; 6] }

    /// A call that waits for a supervisor's answer (`seccomp_unotify(2)`).
    SeccompNotif = "struct seccomp_notif" { id: u64, pid: u32, flags: u32, data: SeccompData }

    /// A supervisor's answer.
    SeccompNotifResp = "struct seccomp_notif_resp" { id: u64, val: i64, error: i32, flags: u32 }

    /// How large the structures of notifications are.
    SeccompNotifSizes = "struct seccomp_notif_sizes" {
        seccomp_notif: u16, seccomp_notif_resp: u16, seccomp_data: u16,
    }
}
