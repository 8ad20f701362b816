//! Clocks and timers: `clock_gettime(2)`, `timer_create(2)`, `timerfd_create(2)`, `adjtimex(2)`.

consts! {
    /// Clocks (`clock_gettime(2)`).
    i32 {
        CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1, CLOCK_PROCESS_CPUTIME_ID = 2, CLOCK_THREAD_CPUTIME_ID = 3,
        CLOCK_MONOTONIC_RAW = 4, CLOCK_REALTIME_COARSE = 5, CLOCK_MONOTONIC_COARSE = 6, CLOCK_BOOTTIME = 7,
        CLOCK_REALTIME_ALARM = 8, CLOCK_BOOTTIME_ALARM = 9, CLOCK_SGI_CYCLE = 10, CLOCK_TAI = 11,
    }
}

consts! {
    /// Flags of `clock_nanosleep(2)` and `timer_settime(2)`.
    u32 {
        TIMER_ABSTIME = 1,
    }
}

consts! {
    /// Interval timers of `setitimer(2)`.
    i32 {
        ITIMER_REAL = 0, ITIMER_VIRTUAL = 1, ITIMER_PROF = 2,
    }
}

consts! {
    /// How a timer announces itself (`sigevent(7)`).
    i32 {
        SIGEV_SIGNAL = 0, SIGEV_NONE = 1, SIGEV_THREAD = 2, SIGEV_THREAD_ID = 4,
    }
}

consts! {
    /// Flags of the timer descriptors.
    u32 {
        TFD_TIMER_ABSTIME = 1, TFD_TIMER_CANCEL_ON_SET = 2, TFD_CLOEXEC = 0x80000, TFD_NONBLOCK = 0x800,
    }
}

consts! {
    /// What `adjtimex(2)` changes.
    u32 {
        ADJ_OFFSET = 1, ADJ_FREQUENCY = 2, ADJ_MAXERROR = 4, ADJ_ESTERROR = 8, ADJ_STATUS = 16,
        ADJ_TIMECONST = 32, ADJ_TAI = 128, ADJ_SETOFFSET = 256, ADJ_MICRO = 4096, ADJ_NANO = 8192,
        ADJ_TICK = 16384, ADJ_OFFSET_SINGLESHOT = 32769, ADJ_OFFSET_SS_READ = 40961,
    }
}

consts! {
    /// Status bits and states of the clock (`adjtimex(2)`).
    i32 {
        STA_PLL = 1, STA_PPSFREQ = 2, STA_PPSTIME = 4, STA_FLL = 8, STA_INS = 16, STA_DEL = 32,
        STA_UNSYNC = 64, STA_FREQHOLD = 128, STA_PPSSIGNAL = 256, STA_PPSJITTER = 512, STA_PPSWANDER = 1024,
        STA_PPSERROR = 2048, STA_CLOCKERR = 4096, STA_NANO = 8192, STA_MODE = 16384, STA_CLK = 32768,
        STA_RONLY = 65280, TIME_OK = 0, TIME_INS = 1, TIME_DEL = 2, TIME_OOP = 3, TIME_WAIT = 4,
        TIME_ERROR = 5,
    }
}

consts! {
    /// Special nanoseconds of `utimensat(2)`.
    i64 {
        UTIME_NOW = 0x3fffffff, UTIME_OMIT = 0x3ffffffe,
    }
}

structs! {
    /// Seconds and nanoseconds.
    Timespec = "struct __kernel_timespec" { tv_sec: i64, tv_nsec: i64 }

    /// Seconds and microseconds.
    Timeval = "libc:struct timeval" { tv_sec: i64, tv_usec: i64 }

    /// A timer's period and next expiration.
    Itimerspec = "struct __kernel_itimerspec" { it_interval: Timespec, it_value: Timespec }

    /// An interval timer's period and next expiration.
    Itimerval = "libc:struct itimerval" { it_interval: Timeval, it_value: Timeval }

    /// How a timer announces itself.
    Sigevent = "struct sigevent" {
        sigev_value: u64, sigev_signo: i32, sigev_notify: i32,
        /// The thread of `SIGEV_THREAD_ID` (`_sigev_un._tid`).
        _tid: i32,
        _pad: [u32; 11],
    }

    /// The time zone that `gettimeofday(2)` can store.
    Timezone = "libc:struct timezone" { tz_minuteswest: i32, tz_dsttime: i32 }

    /// Processor times in clock ticks (`times(2)`).
    Tms = "libc:struct tms" { tms_utime: i64, tms_stime: i64, tms_cutime: i64, tms_cstime: i64 }

    /// The state of the clock's discipline (`adjtimex(2)`).
    Timex = "libc:struct timex" {
        modes: u32, _pad0: u32, offset: i64, freq: i64, maxerror: i64, esterror: i64, status: i32, _pad1: u32,
        constant: i64, precision: i64, tolerance: i64, time: Timeval, tick: i64, ppsfreq: i64, jitter: i64, shift: i32,
        _pad2: u32, stabil: i64, jitcnt: i64, calcnt: i64, errcnt: i64, stbcnt: i64, tai: i32, _pad3: [i32; 11],
    }
}
