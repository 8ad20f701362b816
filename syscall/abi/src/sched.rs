//! Threads and scheduling: `clone(2)`, `sched(7)`. What belongs to processes and to futexes is visible here as well.

pub use crate::futex::*;
pub use crate::process::*;

flags! {
    /// Flags of `clone(2)` and `clone3(2)`.
    CloneFlags: u64 {
        CLONE_NEWTIME = 0x80, CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400,
        CLONE_SIGHAND = 0x800, CLONE_PIDFD = 0x1000, CLONE_PTRACE = 0x2000, CLONE_VFORK = 0x4000,
        CLONE_PARENT = 0x8000, CLONE_THREAD = 0x10000, CLONE_NEWNS = 0x20000, CLONE_SYSVSEM = 0x40000,
        CLONE_SETTLS = 0x80000, CLONE_PARENT_SETTID = 0x100000, CLONE_CHILD_CLEARTID = 0x200000,
        CLONE_DETACHED = 0x400000, CLONE_UNTRACED = 0x800000, CLONE_CHILD_SETTID = 0x1000000,
        CLONE_NEWCGROUP = 0x2000000, CLONE_NEWUTS = 0x4000000, CLONE_NEWIPC = 0x8000000,
        CLONE_NEWUSER = 0x10000000, CLONE_NEWPID = 0x20000000, CLONE_NEWNET = 0x40000000,
        CLONE_IO = 0x80000000, CLONE_CLEAR_SIGHAND = 0x100000000, CLONE_INTO_CGROUP = 0x200000000,
    }
}

consts! {
    /// The part of `clone(2)`'s flags that is the exit signal.
    u64 {
        CSIGNAL = 0xff,
    }
}

consts! {
    /// Sizes of the published `clone_args`.
    usize {
        CLONE_ARGS_SIZE_VER0 = 64, CLONE_ARGS_SIZE_VER1 = 80, CLONE_ARGS_SIZE_VER2 = 88,
    }
}

consts! {
    /// Scheduling policies, and the flag beside them.
    u32 {
        SCHED_OTHER = 0, SCHED_NORMAL = 0, SCHED_FIFO = 1, SCHED_RR = 2, SCHED_BATCH = 3, SCHED_IDLE = 5,
        SCHED_DEADLINE = 6, SCHED_RESET_ON_FORK = 0x40000000,
    }
}

consts! {
    /// Flags of `sched_setattr(2)`.
    u64 {
        SCHED_FLAG_RESET_ON_FORK = 1, SCHED_FLAG_RECLAIM = 2, SCHED_FLAG_DL_OVERRUN = 4,
        SCHED_FLAG_KEEP_POLICY = 8, SCHED_FLAG_KEEP_PARAMS = 0x10, SCHED_FLAG_KEEP_ALL = 0x18,
        SCHED_FLAG_UTIL_CLAMP_MIN = 0x20, SCHED_FLAG_UTIL_CLAMP_MAX = 0x40, SCHED_FLAG_UTIL_CLAMP = 0x60,
        SCHED_FLAG_ALL = 0x7f,
    }
}

consts! {
    /// Size of the first `sched_attr`.
    u32 {
        SCHED_ATTR_SIZE_VER0 = 48, SCHED_ATTR_SIZE_VER1 = 56,
    }
}

consts! {
    /// Targets of `getpriority(2)`.
    i32 {
        PRIO_PROCESS = 0, PRIO_PGRP = 1, PRIO_USER = 2,
    }
}

consts! {
    /// Targets of `ioprio_set(2)`.
    i32 {
        IOPRIO_WHO_PROCESS = 1, IOPRIO_WHO_PGRP = 2, IOPRIO_WHO_USER = 3,
    }
}

consts! {
    /// Classes of I/O priority.
    u32 {
        IOPRIO_CLASS_NONE = 0, IOPRIO_CLASS_RT = 1, IOPRIO_CLASS_BE = 2, IOPRIO_CLASS_IDLE = 3,
        IOPRIO_CLASS_SHIFT = 13,
    }
}

structs! {
    /// Arguments of `clone3(2)`.
    CloneArgs = "struct clone_args" {
        flags: u64, pidfd: u64, child_tid: u64, parent_tid: u64, exit_signal: u64, stack: u64, stack_size: u64, tls: u64,
        set_tid: u64, set_tid_size: u64, cgroup: u64,
    }

    /// The priority of `sched_setscheduler(2)`.
    SchedParam = "struct sched_param" { sched_priority: i32 }

    /// Attributes of `sched_setattr(2)`.
    SchedAttr = "struct sched_attr" {
        size: u32, sched_policy: u32, sched_flags: u64, sched_nice: i32, sched_priority: u32, sched_runtime: u64,
        sched_deadline: u64, sched_period: u64, sched_util_min: u32, sched_util_max: u32,
    }
}
