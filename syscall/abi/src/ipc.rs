//! System V shared memory, semaphores and messages (`sysvipc(7)`), POSIX message queues (`mq_overview(7)`).

consts! {
    /// Commands that the System V calls share, and the private key.
    u32 {
        IPC_PRIVATE = 0, IPC_RMID = 0, IPC_SET = 1, IPC_STAT = 2, IPC_INFO = 3,
    }
}

consts! {
    /// Flags that the System V calls share.
    u32 {
        IPC_CREAT = 0x200, IPC_EXCL = 0x400, IPC_NOWAIT = 0x800,
    }
}

consts! {
    /// Commands and flags of shared memory (`shmctl(2)`, `shmget(2)`, `shmat(2)`).
    u32 {
        SHM_R = 0x100, SHM_W = 0x80, SHM_RDONLY = 0x1000, SHM_RND = 0x2000, SHM_REMAP = 0x4000,
        SHM_EXEC = 0x8000, SHM_LOCK = 0xb, SHM_UNLOCK = 0xc, SHM_STAT = 0xd, SHM_INFO = 0xe,
        SHM_STAT_ANY = 0xf, SHM_HUGETLB = 0x800, SHM_NORESERVE = 0x1000, SHM_DEST = 0x200,
        SHM_LOCKED = 0x400,
    }
}

consts! {
    /// Default limits of shared memory.
    u64 {
        SHMMIN = 1, SHMMNI = 4096, SHMMAX = 0xfffffffffeffffff, SHMALL = 0xfffffffffeffffff,
    }
}

consts! {
    /// Commands and flags of semaphores (`semctl(2)`, `semop(2)`).
    u32 {
        SEM_UNDO = 0x1000, GETPID = 0xb, GETVAL = 0xc, GETALL = 0xd, GETNCNT = 0xe, GETZCNT = 0xf,
        SETVAL = 0x10, SETALL = 0x11, SEM_STAT = 0x12, SEM_INFO = 0x13, SEM_STAT_ANY = 0x14,
    }
}

consts! {
    /// Default limits of semaphores.
    u32 {
        SEMMNI = 32000, SEMMSL = 32000, SEMMNS = 1024000000, SEMOPM = 500, SEMVMX = 32767, SEMAEM = 32767,
    }
}

consts! {
    /// Commands and flags of message queues (`msgctl(2)`, `msgrcv(2)`).
    u32 {
        MSG_STAT = 0xb, MSG_INFO = 0xc, MSG_STAT_ANY = 0xd, MSG_NOERROR = 0x1000, MSG_EXCEPT = 0x2000,
        MSG_COPY = 0x4000,
    }
}

consts! {
    /// Default limits of message queues.
    u32 {
        MSGMNI = 32000, MSGMAX = 8192, MSGMNB = 16384,
    }
}

consts! {
    /// POSIX message queues.
    i32 {
        MQ_PRIO_MAX = 32768, MQ_BYTES_MAX = 819200,
    }
}

structs! {
    /// Who owns and may use a System V object.
    IpcPerm = "struct ipc64_perm" {
        key: i32, uid: u32, gid: u32, cuid: u32, cgid: u32, mode: u32, seq: u16, __pad2: u16, _pad3: u32, _unused: [u64; 2],
    }

    /// A segment of shared memory (`shmctl(2)`).
    ShmidDs = "struct shmid64_ds" {
        shm_perm: IpcPerm, shm_segsz: u64, shm_atime: i64, shm_dtime: i64, shm_ctime: i64, shm_cpid: i32, shm_lpid: i32,
        shm_nattch: u64, _unused: [u64; 2],
    }

    /// Limits of shared memory (`IPC_INFO`).
    Shminfo = "struct shminfo64" { shmmax: u64, shmmin: u64, shmmni: u64, shmseg: u64, shmall: u64, _unused: [u64; 4] }

    /// Use of shared memory (`SHM_INFO`).
    ShmInfo = "struct shm_info" {
        used_ids: i32, _pad: u32, shm_tot: u64, shm_rss: u64, shm_swp: u64, swap_attempts: u64, swap_successes: u64,
    }

    /// A set of semaphores (`semctl(2)`).
    SemidDs = "struct semid64_ds" {
        sem_perm: IpcPerm, sem_otime: i64, _unused1: u64, sem_ctime: i64, _unused2: u64, sem_nsems: u64, _unused3: [u64; 2],
    }

    /// An operation of `semop(2)`.
    Sembuf = "struct sembuf" { sem_num: u16, sem_op: i16, sem_flg: i16 }

    /// Limits of semaphores (`IPC_INFO`), or their use (`SEM_INFO`).
    Seminfo = "struct seminfo" {
        semmap: i32, semmni: i32, semmns: i32, semmnu: i32, semmsl: i32, semopm: i32, semume: i32, semusz: i32, semvmx: i32,
        semaem: i32,
    }

    /// A message queue (`msgctl(2)`).
    MsqidDs = "struct msqid64_ds" {
        msg_perm: IpcPerm, msg_stime: i64, msg_rtime: i64, msg_ctime: i64, msg_cbytes: u64, msg_qnum: u64, msg_qbytes: u64,
        msg_lspid: i32, msg_lrpid: i32, _unused: [u64; 2],
    }

    /// Limits of message queues (`IPC_INFO`), or their use (`MSG_INFO`).
    Msginfo = "struct msginfo" {
        msgpool: i32, msgmap: i32, msgmax: i32, msgmnb: i32, msgmni: i32, msgssz: i32, msgtql: i32, msgseg: u16, _pad: u16,
    }

    /// Attributes of a POSIX message queue (`mq_getattr(3)`).
    MqAttr = "struct mq_attr" { mq_flags: i64, mq_maxmsg: i64, mq_msgsize: i64, mq_curmsgs: i64, _reserved: [i64; 4] }
}
