//! What threads wait on: `futex(2)`, `rseq(2)`, `membarrier(2)`.

consts! {
    /// Operations of `futex(2)`, and the mask that selects them.
    u32 {
        FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_FD = 2, FUTEX_REQUEUE = 3, FUTEX_CMP_REQUEUE = 4,
        FUTEX_WAKE_OP = 5, FUTEX_LOCK_PI = 6, FUTEX_UNLOCK_PI = 7, FUTEX_TRYLOCK_PI = 8,
        FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET = 0xa, FUTEX_WAIT_REQUEUE_PI = 0xb,
        FUTEX_CMP_REQUEUE_PI = 0xc, FUTEX_LOCK_PI2 = 0xd, FUTEX_CMD_MASK = 0xfffffe7f,
    }
}

flags! {
    /// Flags beside the operation of `futex(2)`.
    FutexFlags: u32 {
        FUTEX_PRIVATE_FLAG = 0x80, FUTEX_CLOCK_REALTIME = 0x100,
    }
}

consts! {
    /// Bits of a futex word, and the bit set that matches every waiter.
    u32 {
        FUTEX_WAITERS = 0x80000000, FUTEX_OWNER_DIED = 0x40000000, FUTEX_TID_MASK = 0x3fffffff,
        FUTEX_BITSET_MATCH_ANY = 0xffffffff,
    }
}

consts! {
    /// Operations and comparisons of `FUTEX_WAKE_OP`.
    u32 {
        FUTEX_OP_CMP_EQ = 0, FUTEX_OP_SET = 0, FUTEX_OP_ADD = 1, FUTEX_OP_CMP_NE = 1, FUTEX_OP_CMP_LT = 2,
        FUTEX_OP_OR = 2, FUTEX_OP_ANDN = 3, FUTEX_OP_CMP_LE = 3, FUTEX_OP_CMP_GT = 4, FUTEX_OP_XOR = 4,
        FUTEX_OP_CMP_GE = 5, FUTEX_OP_OPARG_SHIFT = 8,
    }
}

consts! {
    /// Flags and limits of `futex_waitv(2)`.
    u32 {
        FUTEX_32 = 2, FUTEX_WAITV_MAX = 0x80,
    }
}

consts! {
    /// Longest robust list that is walked.
    usize {
        ROBUST_LIST_LIMIT = 2048,
    }
}

consts! {
    /// Flags of restartable sequences.
    u32 {
        RSEQ_FLAG_UNREGISTER = 1, RSEQ_CS_FLAG_NO_RESTART_ON_PREEMPT_BIT = 0,
        RSEQ_CS_FLAG_NO_RESTART_ON_PREEMPT = 1, RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL_BIT = 1,
        RSEQ_CS_FLAG_NO_RESTART_ON_MIGRATE_BIT = 2, RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL = 2,
        RSEQ_CS_FLAG_NO_RESTART_ON_MIGRATE = 4,
    }
}

consts! {
    /// States of a restartable sequence's CPU number.
    u32 {
        RSEQ_CPU_ID_UNINITIALIZED = 0xffffffff, RSEQ_CPU_ID_REGISTRATION_FAILED = 0xfffffffe,
    }
}

consts! {
    /// Commands of `membarrier(2)`.
    i32 {
        MEMBARRIER_CMD_QUERY = 0, MEMBARRIER_CMD_FLAG_CPU = 1, MEMBARRIER_CMD_GLOBAL = 1,
        MEMBARRIER_CMD_SHARED = 1, MEMBARRIER_CMD_GLOBAL_EXPEDITED = 2,
        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED = 4, MEMBARRIER_CMD_PRIVATE_EXPEDITED = 8,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 16, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE = 32,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 64,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ = 128, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ = 256,
    }
}

structs! {
    /// A futex that `futex_waitv(2)` waits for.
    FutexWaitv = "struct futex_waitv" { val: u64, uaddr: u64, flags: u32, __reserved: u32 }

    /// The head of a thread's robust list (`set_robust_list(2)`).
    RobustListHead = "struct robust_list_head" {
        /// Address of the first entry; bit 0 marks a priority-inheriting futex.
        list: u64,
        futex_offset: i64, list_op_pending: u64,
    }

    /// A thread's restartable sequence (`rseq(2)`), as Linux 6.1 has it.
    Rseq = "struct rseq" { cpu_id_start: u32, cpu_id: u32, rseq_cs: u64, flags: u32, _pad: [u32; 3] }

    /// A critical section of a restartable sequence.
    RseqCs = "struct rseq_cs" { version: u32, flags: u32, start_ip: u64, post_commit_offset: u64, abort_ip: u64 }
}
