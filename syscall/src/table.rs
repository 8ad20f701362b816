//! The one table of system calls: a row for each of Linux 6.1's on x86_64.
//!
//! A row holds the numbers on x86_64 and aarch64 (`_` where there is none), the name, the handler with its
//! argument types, and how far the call is supported. Dispatch, trace and `COVERAGE.md` come from here.
//! A call that does not do all that its man page says is [`Support::Partial`] with what is missing.

use alloc::string::String;

use abi::futex::FutexWaitv;
use abi::ipc::{MqAttr, Sembuf};
use abi::signal::{KernelSigaction, Siginfo, StackT};
use abi::socket::{Mmsghdr, Msghdr};
use abi::time::{Itimerspec, Itimerval, Sigevent, Timespec, Timeval, Timex, Timezone, Tms};

use abi::process::{CapUserData, CapUserHeader, Rlimit, Rusage, Sysinfo, Utsname};
use hal::{UserAddr, UserMemory, UserRegs};

use crate::Context;
use crate::decode::{
    Arg, Args, Fd, Flags, Flags64, In, InBuf, InOut, Mode, Out, OutBuf, Signal, UserPath, UserPtr,
};
use crate::error::{IntoOutcome, Outcome};
use crate::handlers::*;
use crate::proc::Thread;

/// How far a call is supported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// All that the man page says.
    Full,
    /// All but what this says.
    Partial(&'static str),
    /// Not at all, for this reason: the call answers `ENOSYS`.
    Absent(&'static str),
}

/// Carries a call out for the thread that made it.
pub type Call = fn(&Thread, &mut UserRegs) -> Outcome;

/// A row of the table.
pub struct Entry {
    /// Linux's name.
    pub name: &'static str,
    /// The number on x86_64.
    pub number: u32,
    /// The number on aarch64, where the call exists there.
    pub aarch64: Option<u32>,
    /// How far it is supported.
    pub support: Support,
    /// Decodes the arguments and calls the handler; `None` for an absent call.
    pub call: Option<Call>,
    /// Writes the arguments as the trace shows them.
    pub show: fn([u64; 6], &dyn UserMemory, &mut String),
}

macro_rules! number {
    (_) => {
        None
    };
    ($n:literal) => {
        Some($n)
    };
}

macro_rules! call {
    () => {
        None
    };
    ($m:ident::$f:ident($($arg:ty),*)) => {
        Some(|thread, regs| {
            #[allow(unused_mut, unused_variables, reason = "a call may have no argument")]
            let mut args = Args::of(regs);
            // All are taken before the context borrows the registers.
            #[allow(clippy::unused_unit, reason = "a call may have no argument")]
            let decoded = ($(<$arg as Arg>::take(&mut args),)*);
            Handler::apply(&$m::$f, &Context::new(thread, regs), decoded).into_outcome()
        })
    };
}

macro_rules! show {
    () => {
        |regs, _, out| {
            let mut args = Args::new(regs);
            for i in 0..6 {
                out.push_str(if i > 0 { ", " } else { "" });
                Flags64::take(&mut args).show(&crate::trace::NoMemory, out);
            }
        }
    };
    ($m:ident::$f:ident($($arg:ty),*)) => {
        |regs, memory, out| {
            #[allow(unused_mut, unused_variables, reason = "a call may have no argument")]
            let (mut args, start) = (Args::new(regs), out.len());
            $(
                out.push_str(if out.len() > start { ", " } else { "" });
                <$arg as Arg>::take(&mut args).show(memory, out);
            )*
            let _ = memory;
        }
    };
}

macro_rules! syscalls {
    ($( [$x86:literal $arm:tt] $name:ident $(=> $m:ident::$f:ident($($arg:ty),*))? : $support:expr; )*) => {
        /// Every row, in ascending order of the number on x86_64.
        pub static TABLE: &[Entry] = &[$( Entry {
            name: stringify!($name),
            number: $x86,
            aarch64: number!($arm),
            support: $support,
            call: call!($($m::$f($($arg),*))?),
            show: show!($($m::$f($($arg),*))?),
        } ),*];
    };
}

/// One more than the highest number in the table.
pub const NUMBERS: usize = 451;

/// The handler of each number: dispatch is one load.
static CALLS: [Option<Call>; NUMBERS] = {
    let mut calls = [None; NUMBERS];
    let mut row = 0;
    while row < TABLE.len() {
        calls[TABLE[row].number as usize] = TABLE[row].call;
        row += 1;
    }
    calls
};

/// Returns the handler of a number on x86_64, if it has one.
#[inline(always)]
pub(crate) fn handler(number: u64) -> Option<Call> {
    *CALLS.get(usize::try_from(number).ok()?)?
}

/// A function of a context and decoded arguments.
trait Handler<Arguments> {
    type Result;
    fn apply(&self, cx: &Context<'_>, arguments: Arguments) -> Self::Result;
}

macro_rules! handlers {
    ($($($arg:ident)*;)*) => { $(
        impl<F, R, $($arg),*> Handler<($($arg,)*)> for F
        where
            F: Fn(&Context<'_>, $($arg),*) -> R,
        {
            type Result = R;

            #[inline(always)]
            #[allow(non_snake_case, reason = "the types' names serve for the values, too")]
            fn apply(&self, cx: &Context<'_>, ($($arg,)*): ($($arg,)*)) -> R {
                self(cx, $($arg),*)
            }
        }
    )* };
}
handlers! { ; A; A B; A B C; A B C D; A B C D E; A B C D E G; }

/// For each number the row's place plus one, or 0.
static INDEX: [u16; NUMBERS] = {
    let mut index = [0; NUMBERS];
    let mut row = 0;
    while row < TABLE.len() {
        #[expect(clippy::cast_possible_truncation, reason = "there are fewer than 500 rows")]
        {
            index[TABLE[row].number as usize] = row as u16 + 1;
        }
        row += 1;
    }
    index
};

/// Returns the row of a number on x86_64.
#[inline]
pub fn entry(number: u64) -> Option<&'static Entry> {
    let row = *INDEX.get(usize::try_from(number).ok()?)?;
    TABLE.get(usize::from(row.checked_sub(1)?))
}

use Support::{Absent, Full, Partial};

syscalls! {
    [  0  63] read => io::sys_read(Fd, OutBuf) : Full;
    [  1  64] write => io::sys_write(Fd, InBuf) : Full;
    [  2   _] open => file::sys_open(UserPath, Flags, Mode) : Full;
    [  3  57] close => file::sys_close(Fd) : Full;
    [  4   _] stat => stat::sys_stat(UserPath, UserPtr<abi::fs::Stat, Out>) : Full;
    [  5  80] fstat => stat::sys_fstat(Fd, UserPtr<abi::fs::Stat, Out>) : Full;
    [  6   _] lstat => stat::sys_lstat(UserPath, UserPtr<abi::fs::Stat, Out>) : Full;
    [  7   _] poll => poll::sys_poll(UserPtr<abi::poll::Pollfd, InOut>, u32, i32) : Full;
    [  8  62] lseek => io::sys_lseek(Fd, i64, u32) : Full;
    [  9 222] mmap => mm::sys_mmap(UserAddr, u64, Flags, Flags, Fd, u64) : Partial("no huge-page pools: MAP_HUGETLB answers ENOMEM");
    [ 10 226] mprotect => mm::sys_mprotect(UserAddr, u64, Flags) : Full;
    [ 11 215] munmap => mm::sys_munmap(UserAddr, u64) : Full;
    [ 12 214] brk => mm::sys_brk(UserAddr) : Full;
    [ 13 134] rt_sigaction => signal::sys_rt_sigaction(Signal, UserPtr<KernelSigaction, In>, UserPtr<KernelSigaction, Out>, usize) : Full;
    [ 14 135] rt_sigprocmask => signal::sys_rt_sigprocmask(i32, UserPtr<u64, In>, UserPtr<u64, Out>, usize) : Full;
    [ 15 139] rt_sigreturn => signal::sys_rt_sigreturn() : Full;
    [ 16  29] ioctl => ioctl::sys_ioctl(Fd, u32, u64) : Partial("terminals, random devices, and what every file knows; no file flags, no extents map");
    [ 17  67] pread64 => io::sys_pread64(Fd, OutBuf, i64) : Full;
    [ 18  68] pwrite64 => io::sys_pwrite64(Fd, InBuf, i64) : Full;
    [ 19  65] readv => io::sys_readv(Fd, UserPtr<abi::fs::Iovec, In>, usize) : Full;
    [ 20  66] writev => io::sys_writev(Fd, UserPtr<abi::fs::Iovec, In>, usize) : Full;
    [ 21   _] access => stat::sys_access(UserPath, u32) : Full;
    [ 22   _] pipe => file::sys_pipe(UserPtr<[i32; 2], Out>) : Full;
    [ 23   _] select => poll::sys_select(i32, UserAddr, UserAddr, UserAddr, UserPtr<Timeval, InOut>) : Full;
    [ 24 124] sched_yield => sched::sys_sched_yield() : Full;
    [ 25 216] mremap => mm::sys_mremap(UserAddr, u64, u64, Flags, UserAddr) : Full;
    [ 26 227] msync => mm::sys_msync(UserAddr, u64, Flags) : Full;
    [ 27 232] mincore => mm::sys_mincore(UserAddr, u64, UserPtr<u8, Out>) : Full;
    [ 28 233] madvise => mm::sys_madvise(UserAddr, u64, i32) : Partial("MADV_COLLAPSE, MADV_HWPOISON and MADV_SOFT_OFFLINE answer EINVAL");
    [ 29 194] shmget => shm::sys_shmget(i32, u64, Flags) : Partial("no huge-page pools: SHM_HUGETLB answers ENOMEM");
    [ 30 196] shmat => shm::sys_shmat(i32, UserAddr, Flags) : Full;
    [ 31 195] shmctl => shm::sys_shmctl(i32, i32, UserAddr) : Full;
    [ 32  23] dup => file::sys_dup(Fd) : Full;
    [ 33   _] dup2 => file::sys_dup2(Fd, Fd) : Full;
    [ 34   _] pause => signal::sys_pause() : Full;
    [ 35 101] nanosleep => time::sys_nanosleep(UserPtr<Timespec, In>, UserPtr<Timespec, Out>) : Full;
    [ 36 102] getitimer => timer::sys_getitimer(i32, UserPtr<Itimerval, Out>) : Full;
    [ 37   _] alarm => timer::sys_alarm(u32) : Full;
    [ 38 103] setitimer => timer::sys_setitimer(i32, UserPtr<Itimerval, In>, UserPtr<Itimerval, Out>) : Full;
    [ 39 172] getpid => identity::sys_getpid() : Full;
    [ 40  71] sendfile => splice::sys_sendfile(Fd, Fd, UserPtr<i64, InOut>, usize) : Full;
    [ 41 198] socket => socket::sys_socket(i32, u32, i32) : Partial("AF_UNIX, AF_INET and AF_INET6 streams and datagrams, netlink's routes; no raw, ping, packet and vsock sockets yet");
    [ 42 203] connect => socket::sys_connect(Fd, UserAddr, i32) : Full;
    [ 43 202] accept => socket::sys_accept(Fd, UserAddr, UserPtr<i32, InOut>) : Full;
    [ 44 206] sendto => socket::sys_sendto(Fd, InBuf, Flags, UserAddr, i32) : Full;
    [ 45 207] recvfrom => socket::sys_recvfrom(Fd, OutBuf, Flags, UserAddr, UserPtr<i32, InOut>) : Full;
    [ 46 211] sendmsg => socket::sys_sendmsg(Fd, UserPtr<Msghdr, In>, Flags) : Full;
    [ 47 212] recvmsg => socket::sys_recvmsg(Fd, UserPtr<Msghdr, InOut>, Flags) : Full;
    [ 48 210] shutdown => socket::sys_shutdown(Fd, u32) : Full;
    [ 49 200] bind => socket::sys_bind(Fd, UserAddr, i32) : Full;
    [ 50 201] listen => socket::sys_listen(Fd, u32) : Full;
    [ 51 204] getsockname => socket::sys_getsockname(Fd, UserAddr, UserPtr<i32, InOut>) : Full;
    [ 52 205] getpeername => socket::sys_getpeername(Fd, UserAddr, UserPtr<i32, InOut>) : Full;
    [ 53 199] socketpair => socket::sys_socketpair(i32, u32, i32, UserPtr<[i32; 2], Out>) : Full;
    [ 54 208] setsockopt => socket::sys_setsockopt(Fd, i32, i32, UserAddr, i32) : Partial("no socket filters; SO_TXTIME, SO_TIMESTAMPING and SO_MAX_PACING_RATE are refused");
    [ 55 209] getsockopt => socket::sys_getsockopt(Fd, i32, i32, UserAddr, UserPtr<i32, InOut>) : Partial("no socket filters; SO_MEMINFO, SO_TIMESTAMPING and SO_MAX_PACING_RATE are refused");
    [ 56 220] clone => task::sys_clone(u64, u64, UserAddr, UserAddr, u64) : Partial("no namespaces");
    [ 57   _] fork => task::sys_fork() : Full;
    [ 58   _] vfork => task::sys_vfork() : Full;
    [ 59 221] execve => task::sys_execve(UserPath, UserPtr<u64, In>, UserPtr<u64, In>) : Full;
    [ 60  93] exit => task::sys_exit(i32) : Full;
    [ 61 260] wait4 => wait::sys_wait4(i32, UserPtr<u32, Out>, Flags, UserPtr<Rusage, Out>) : Full;
    [ 62 129] kill => signal::sys_kill(i32, Signal) : Full;
    [ 63 160] uname => system::sys_uname(UserPtr<Utsname, Out>) : Full;
    [ 64 190] semget => sem::sys_semget(i32, i32, Flags) : Full;
    [ 65 193] semop => sem::sys_semop(i32, UserPtr<Sembuf, In>, u32) : Full;
    [ 66 191] semctl => sem::sys_semctl(i32, i32, i32, u64) : Full;
    [ 67 197] shmdt => shm::sys_shmdt(UserAddr) : Full;
    [ 68 186] msgget => msg::sys_msgget(i32, Flags) : Full;
    [ 69 189] msgsnd => msg::sys_msgsnd(i32, UserPtr<i64, InOut>, i64, Flags) : Full;
    [ 70 188] msgrcv => msg::sys_msgrcv(i32, UserPtr<i64, InOut>, i64, i64, Flags) : Full;
    [ 71 187] msgctl => msg::sys_msgctl(i32, i32, UserAddr) : Full;
    [ 72  25] fcntl => fcntl::sys_fcntl(Fd, u32, u64) : Partial("leases and directory notification are refused, write-life hints are not kept");
    [ 73  32] flock => fcntl::sys_flock(Fd, u32) : Partial("only on files of the tree: pipes without a name and event descriptors are refused");
    [ 74  82] fsync => io::sys_fsync(Fd) : Full;
    [ 75  83] fdatasync => io::sys_fdatasync(Fd) : Full;
    [ 76  45] truncate => attr::sys_truncate(UserPath, i64) : Full;
    [ 77  46] ftruncate => attr::sys_ftruncate(Fd, i64) : Full;
    [ 78   _] getdents => dir::sys_getdents(Fd, OutBuf) : Full;
    [ 79  17] getcwd => dir::sys_getcwd(OutBuf) : Full;
    [ 80  49] chdir => dir::sys_chdir(UserPath) : Full;
    [ 81  50] fchdir => dir::sys_fchdir(Fd) : Full;
    [ 82   _] rename => dir::sys_rename(UserPath, UserPath) : Full;
    [ 83   _] mkdir => dir::sys_mkdir(UserPath, Mode) : Full;
    [ 84   _] rmdir => dir::sys_rmdir(UserPath) : Full;
    [ 85   _] creat => file::sys_creat(UserPath, Mode) : Full;
    [ 86   _] link => dir::sys_link(UserPath, UserPath) : Full;
    [ 87   _] unlink => dir::sys_unlink(UserPath) : Full;
    [ 88   _] symlink => dir::sys_symlink(UserPath, UserPath) : Full;
    [ 89   _] readlink => stat::sys_readlink(UserPath, OutBuf) : Full;
    [ 90   _] chmod => attr::sys_chmod(UserPath, Mode) : Full;
    [ 91  52] fchmod => attr::sys_fchmod(Fd, Mode) : Full;
    [ 92   _] chown => attr::sys_chown(UserPath, u32, u32) : Full;
    [ 93  55] fchown => attr::sys_fchown(Fd, u32, u32) : Full;
    [ 94   _] lchown => attr::sys_lchown(UserPath, u32, u32) : Full;
    [ 95 166] umask => dir::sys_umask(u32) : Full;
    [ 96 169] gettimeofday => time::sys_gettimeofday(UserPtr<Timeval, Out>, UserPtr<Timezone, Out>) : Full;
    [ 97 163] getrlimit => system::sys_getrlimit(u32, UserPtr<Rlimit, Out>) : Full;
    [ 98 165] getrusage => system::sys_getrusage(i32, UserPtr<Rusage, Out>) : Partial("block input and output, and the maximum of children, are zero");
    [ 99 179] sysinfo => system::sys_sysinfo(UserPtr<Sysinfo, Out>) : Partial("the load averages are zero");
    [100 153] times => time::sys_times(UserPtr<Tms, Out>) : Full;
    [101 117] ptrace => ptrace::sys_ptrace(u64, i32, u64, u64) : Partial("no hardware breakpoints (ENOSPC), no PTRACE_SINGLEBLOCK, no saved filters, no PTRACE_O_SUSPEND_SECCOMP");
    [102 174] getuid => identity::sys_getuid() : Full;
    [103 116] syslog => system::sys_syslog(i32, OutBuf) : Partial("there is no log to read");
    [104 176] getgid => identity::sys_getgid() : Full;
    [105 146] setuid => identity::sys_setuid(u32) : Full;
    [106 144] setgid => identity::sys_setgid(u32) : Full;
    [107 175] geteuid => identity::sys_geteuid() : Full;
    [108 177] getegid => identity::sys_getegid() : Full;
    [109 154] setpgid => identity::sys_setpgid(i32, i32) : Full;
    [110 173] getppid => identity::sys_getppid() : Full;
    [111   _] getpgrp => identity::sys_getpgrp() : Full;
    [112 157] setsid => identity::sys_setsid() : Full;
    [113 145] setreuid => identity::sys_setreuid(u32, u32) : Full;
    [114 143] setregid => identity::sys_setregid(u32, u32) : Full;
    [115 158] getgroups => identity::sys_getgroups(i32, UserPtr<u32, Out>) : Full;
    [116 159] setgroups => identity::sys_setgroups(i32, UserPtr<u32, In>) : Full;
    [117 147] setresuid => identity::sys_setresuid(u32, u32, u32) : Full;
    [118 148] getresuid => identity::sys_getresuid(UserPtr<u32, Out>, UserPtr<u32, Out>, UserPtr<u32, Out>) : Full;
    [119 149] setresgid => identity::sys_setresgid(u32, u32, u32) : Full;
    [120 150] getresgid => identity::sys_getresgid(UserPtr<u32, Out>, UserPtr<u32, Out>, UserPtr<u32, Out>) : Full;
    [121 155] getpgid => identity::sys_getpgid(i32) : Full;
    [122 151] setfsuid => identity::sys_setfsuid(u32) : Full;
    [123 152] setfsgid => identity::sys_setfsgid(u32) : Full;
    [124 156] getsid => identity::sys_getsid(i32) : Full;
    [125  90] capget => identity::sys_capget(UserPtr<CapUserHeader, InOut>, UserPtr<CapUserData, Out>) : Full;
    [126  91] capset => identity::sys_capset(UserPtr<CapUserHeader, InOut>, UserPtr<CapUserData, In>) : Full;
    [127 136] rt_sigpending => signal::sys_rt_sigpending(UserPtr<u64, Out>, usize) : Full;
    [128 137] rt_sigtimedwait => signal::sys_rt_sigtimedwait(UserPtr<u64, In>, UserPtr<Siginfo, Out>, UserPtr<Timespec, In>, usize) : Full;
    [129 138] rt_sigqueueinfo => signal::sys_rt_sigqueueinfo(i32, Signal, UserPtr<Siginfo, In>) : Full;
    [130 133] rt_sigsuspend => signal::sys_rt_sigsuspend(UserPtr<u64, In>, usize) : Full;
    [131 132] sigaltstack => signal::sys_sigaltstack(UserPtr<StackT, In>, UserPtr<StackT, Out>) : Full;
    [132   _] utime => attr::sys_utime(UserPath, UserPtr<abi::fs::Utimbuf, In>) : Full;
    [133   _] mknod => dir::sys_mknod(UserPath, Mode, u32) : Full;
    [134   _] uselib : Absent("gone from Linux too");
    [135  92] personality => system::sys_personality(u32) : Partial("only ADDR_NO_RANDOMIZE has an effect");
    [136   _] ustat => stat::sys_ustat(u32, UserPtr<[u8; 32], Out>) : Full;
    [137  43] statfs => stat::sys_statfs(UserPath, UserPtr<abi::mount::Statfs, Out>) : Full;
    [138  44] fstatfs => stat::sys_fstatfs(Fd, UserPtr<abi::mount::Statfs, Out>) : Full;
    [139   _] sysfs => dir::sys_sysfs(i32, u64, UserAddr) : Full;
    [140 141] getpriority => sched::sys_getpriority(i32, i32) : Full;
    [141 140] setpriority => sched::sys_setpriority(i32, i32, i32) : Full;
    [142 118] sched_setparam => sched::sys_sched_setparam(i32, UserPtr<i32, In>) : Partial("real-time policies get the most weight, not strict priority");
    [143 121] sched_getparam => sched::sys_sched_getparam(i32, UserPtr<u32, Out>) : Full;
    [144 119] sched_setscheduler => sched::sys_sched_setscheduler(i32, i32, UserPtr<i32, In>) : Partial("real-time policies get the most weight, not strict priority");
    [145 120] sched_getscheduler => sched::sys_sched_getscheduler(i32) : Full;
    [146 125] sched_get_priority_max => sched::sys_sched_get_priority_max(u32) : Full;
    [147 126] sched_get_priority_min => sched::sys_sched_get_priority_min(u32) : Full;
    [148 127] sched_rr_get_interval => sched::sys_sched_rr_get_interval(i32, UserPtr<Timespec, Out>) : Full;
    [149 228] mlock => mm::sys_mlock(UserAddr, u64) : Full;
    [150 229] munlock => mm::sys_munlock(UserAddr, u64) : Full;
    [151 230] mlockall => mm::sys_mlockall(Flags) : Full;
    [152 231] munlockall => mm::sys_munlockall() : Full;
    [153  58] vhangup => system::sys_vhangup() : Partial("no terminal is hung up");
    [154   _] modify_ldt : Absent("not built yet");
    [155  41] pivot_root : Absent("no namespaces in a single-application machine");
    [156   _] _sysctl : Absent("gone from Linux too");
    [157 167] prctl => prctl::sys_prctl(i32, u64, u64, u64, u64) : Partial("no PR_SET_MM, PR_SET_VMA, PR_MCE_KILL, speculation control, core scheduling; the others answer EINVAL");
    [158   _] arch_prctl => prctl::sys_arch_prctl(i32, u64) : Partial("CPUID faulting and permission for AMX cannot be asked for");
    [159 171] adjtimex => time::sys_adjtimex(UserPtr<Timex, InOut>) : Partial("the clock can be read and stepped, not slewed");
    [160 164] setrlimit => system::sys_setrlimit(u32, UserPtr<Rlimit, In>) : Partial("RLIMIT_CPU, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_LOCKS and RLIMIT_RTTIME are kept but not enforced");
    [161  51] chroot => dir::sys_chroot(UserPath) : Full;
    [162  81] sync => io::sys_sync() : Full;
    [163  89] acct : Absent("no accounting, quota or swap");
    [164 170] settimeofday => time::sys_settimeofday(UserPtr<Timeval, In>, UserPtr<Timezone, In>) : Full;
    [165  40] mount => mount::sys_mount(UserAddr, UserPath, UserAddr, Flags64, UserAddr) : Partial("tmpfs, ramfs, proc, sysfs, bind, move, remount; propagation has no effect without namespaces");
    [166  39] umount2 => mount::sys_umount2(UserPath, Flags) : Partial("MNT_EXPIRE unmounts at the first call");
    [167 224] swapon : Absent("no accounting, quota or swap");
    [168 225] swapoff : Absent("no accounting, quota or swap");
    [169 142] reboot => system::sys_reboot(u32, u32, u32, InBuf) : Partial("restarting ends the machine, too");
    [170 161] sethostname => system::sys_sethostname(UserAddr, i32) : Full;
    [171 162] setdomainname => system::sys_setdomainname(UserAddr, i32) : Full;
    [172   _] iopl : Absent("no direct port access for applications");
    [173   _] ioperm : Absent("no direct port access for applications");
    [174   _] create_module : Absent("gone from Linux too");
    [175 105] init_module : Absent("kernel modules and other kernels have no place here");
    [176 106] delete_module : Absent("kernel modules and other kernels have no place here");
    [177   _] get_kernel_syms : Absent("gone from Linux too");
    [178   _] query_module : Absent("gone from Linux too");
    [179  60] quotactl : Absent("no accounting, quota or swap");
    [180  42] nfsservctl : Absent("gone from Linux too");
    [181   _] getpmsg : Absent("gone from Linux too");
    [182   _] putpmsg : Absent("gone from Linux too");
    [183   _] afs_syscall : Absent("gone from Linux too");
    [184   _] tuxcall : Absent("gone from Linux too");
    [185   _] security : Absent("gone from Linux too");
    [186 178] gettid => identity::sys_gettid() : Full;
    [187 213] readahead => io::sys_readahead(Fd, i64, usize) : Partial("checks its arguments; pages come in when they are used");
    [188   5] setxattr => xattr::sys_setxattr(UserPath, UserAddr, InBuf, Flags) : Full;
    [189   6] lsetxattr => xattr::sys_lsetxattr(UserPath, UserAddr, InBuf, Flags) : Full;
    [190   7] fsetxattr => xattr::sys_fsetxattr(Fd, UserAddr, InBuf, Flags) : Full;
    [191   8] getxattr => xattr::sys_getxattr(UserPath, UserAddr, OutBuf) : Full;
    [192   9] lgetxattr => xattr::sys_lgetxattr(UserPath, UserAddr, OutBuf) : Full;
    [193  10] fgetxattr => xattr::sys_fgetxattr(Fd, UserAddr, OutBuf) : Full;
    [194  11] listxattr => xattr::sys_listxattr(UserPath, OutBuf) : Full;
    [195  12] llistxattr => xattr::sys_llistxattr(UserPath, OutBuf) : Full;
    [196  13] flistxattr => xattr::sys_flistxattr(Fd, OutBuf) : Full;
    [197  14] removexattr => xattr::sys_removexattr(UserPath, UserAddr) : Full;
    [198  15] lremovexattr => xattr::sys_lremovexattr(UserPath, UserAddr) : Full;
    [199  16] fremovexattr => xattr::sys_fremovexattr(Fd, UserAddr) : Full;
    [200 130] tkill => signal::sys_tkill(i32, Signal) : Full;
    [201   _] time => time::sys_time(UserPtr<i64, Out>) : Full;
    [202  98] futex => futex::sys_futex(UserAddr, Flags, u32, UserAddr, UserAddr, u32) : Partial("no FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI; there are no priorities to inherit");
    [203 122] sched_setaffinity => sched::sys_sched_setaffinity(i32, u32, UserAddr) : Full;
    [204 123] sched_getaffinity => sched::sys_sched_getaffinity(i32, u32, UserAddr) : Full;
    [205   _] set_thread_area : Absent("gone from Linux too");
    [206   0] io_setup : Absent("AIO arrives with disks");
    [207   1] io_destroy : Absent("AIO arrives with disks");
    [208   4] io_getevents : Absent("AIO arrives with disks");
    [209   2] io_submit : Absent("AIO arrives with disks");
    [210   3] io_cancel : Absent("AIO arrives with disks");
    [211   _] get_thread_area : Absent("gone from Linux too");
    [212  18] lookup_dcookie : Absent("gone from Linux too");
    [213   _] epoll_create => poll::sys_epoll_create(i32) : Full;
    [214   _] epoll_ctl_old : Absent("gone from Linux too");
    [215   _] epoll_wait_old : Absent("gone from Linux too");
    [216 234] remap_file_pages => mm::sys_remap_file_pages(UserAddr, u64, Flags, u64, Flags) : Full;
    [217  61] getdents64 => dir::sys_getdents64(Fd, OutBuf) : Full;
    [218  96] set_tid_address => task::sys_set_tid_address(UserAddr) : Full;
    [219 128] restart_syscall => signal::sys_restart_syscall() : Full;
    [220 192] semtimedop => sem::sys_semtimedop(i32, UserPtr<Sembuf, In>, u32, UserPtr<Timespec, In>) : Full;
    [221 223] fadvise64 => io::sys_fadvise64(Fd, i64, i64, i32) : Partial("advice is checked and has no effect");
    [222 107] timer_create => timer::sys_timer_create(i32, UserPtr<Sigevent, In>, UserPtr<i32, Out>) : Full;
    [223 110] timer_settime => timer::sys_timer_settime(i32, Flags, UserPtr<Itimerspec, In>, UserPtr<Itimerspec, Out>) : Full;
    [224 108] timer_gettime => timer::sys_timer_gettime(i32, UserPtr<Itimerspec, Out>) : Full;
    [225 109] timer_getoverrun => timer::sys_timer_getoverrun(i32) : Full;
    [226 111] timer_delete => timer::sys_timer_delete(i32) : Full;
    [227 112] clock_settime => time::sys_clock_settime(i32, UserPtr<Timespec, In>) : Full;
    [228 113] clock_gettime => time::sys_clock_gettime(i32, UserPtr<Timespec, Out>) : Full;
    [229 114] clock_getres => time::sys_clock_getres(i32, UserPtr<Timespec, Out>) : Full;
    [230 115] clock_nanosleep => time::sys_clock_nanosleep(i32, Flags, UserPtr<Timespec, In>, UserPtr<Timespec, Out>) : Full;
    [231  94] exit_group => task::sys_exit_group(i32) : Full;
    [232   _] epoll_wait => poll::sys_epoll_wait(Fd, UserPtr<abi::poll::EpollEvent, Out>, i32, i32) : Full;
    [233  21] epoll_ctl => poll::sys_epoll_ctl(Fd, i32, Fd, UserPtr<abi::poll::EpollEvent, In>) : Full;
    [234 131] tgkill => signal::sys_tgkill(i32, i32, Signal) : Full;
    [235   _] utimes => attr::sys_utimes(UserPath, UserPtr<Timeval, In>) : Full;
    [236   _] vserver : Absent("gone from Linux too");
    [237 235] mbind => numa::sys_mbind(UserAddr, u64, u32, UserAddr, u64, Flags) : Partial("there is one memory node, and a policy is checked but not kept");
    [238 237] set_mempolicy => numa::sys_set_mempolicy(u32, UserAddr, u64) : Partial("there is one memory node, and a policy is checked but not kept");
    [239 236] get_mempolicy => numa::sys_get_mempolicy(UserPtr<u32, Out>, UserAddr, u64, UserAddr, Flags) : Partial("always answers the default policy");
    [240 180] mq_open => mqueue::sys_mq_open(UserPath, Flags, Mode, UserPtr<MqAttr, In>) : Full;
    [241 181] mq_unlink => mqueue::sys_mq_unlink(UserPath) : Full;
    [242 182] mq_timedsend => mqueue::sys_mq_timedsend(Fd, InBuf, u32, UserPtr<Timespec, In>) : Full;
    [243 183] mq_timedreceive => mqueue::sys_mq_timedreceive(Fd, OutBuf, UserPtr<u32, Out>, UserPtr<Timespec, In>) : Full;
    [244 184] mq_notify => mqueue::sys_mq_notify(Fd, UserPtr<Sigevent, In>) : Partial("SIGEV_THREAD needs a netlink socket, which there is not yet");
    [245 185] mq_getsetattr => mqueue::sys_mq_getsetattr(Fd, UserPtr<MqAttr, In>, UserPtr<MqAttr, Out>) : Full;
    [246 104] kexec_load : Absent("kernel modules and other kernels have no place here");
    [247  95] waitid => wait::sys_waitid(i32, i32, UserAddr, Flags, UserPtr<Rusage, Out>) : Full;
    [248 217] add_key : Absent("no key retention service; programs fall back");
    [249 218] request_key : Absent("no key retention service; programs fall back");
    [250 219] keyctl : Absent("no key retention service; programs fall back");
    [251  30] ioprio_set => sched::sys_ioprio_set(i32, i32, u32) : Partial("the priority is kept, but disks serve requests in order");
    [252  31] ioprio_get => sched::sys_ioprio_get(i32, i32) : Full;
    [253   _] inotify_init => inotify::sys_inotify_init() : Full;
    [254  27] inotify_add_watch => inotify::sys_inotify_add_watch(Fd, UserPath, Flags) : Full;
    [255  28] inotify_rm_watch => inotify::sys_inotify_rm_watch(Fd, i32) : Full;
    [256 238] migrate_pages : Absent("no NUMA nodes to move between");
    [257  56] openat => file::sys_openat(Fd, UserPath, Flags, Mode) : Full;
    [258  34] mkdirat => dir::sys_mkdirat(Fd, UserPath, Mode) : Full;
    [259  33] mknodat => dir::sys_mknodat(Fd, UserPath, Mode, u32) : Full;
    [260  54] fchownat => attr::sys_fchownat(Fd, UserPath, u32, u32, Flags) : Full;
    [261   _] futimesat => attr::sys_futimesat(Fd, UserPath, UserPtr<Timeval, In>) : Full;
    [262  79] newfstatat => stat::sys_newfstatat(Fd, UserPath, UserPtr<abi::fs::Stat, Out>, Flags) : Full;
    [263  35] unlinkat => dir::sys_unlinkat(Fd, UserPath, Flags) : Full;
    [264  38] renameat => dir::sys_renameat(Fd, UserPath, Fd, UserPath) : Full;
    [265  37] linkat => dir::sys_linkat(Fd, UserPath, Fd, UserPath, Flags) : Full;
    [266  36] symlinkat => dir::sys_symlinkat(UserPath, Fd, UserPath) : Full;
    [267  78] readlinkat => stat::sys_readlinkat(Fd, UserPath, OutBuf) : Full;
    [268  53] fchmodat => attr::sys_fchmodat(Fd, UserPath, Mode) : Full;
    [269  48] faccessat => stat::sys_faccessat(Fd, UserPath, u32) : Full;
    [270  72] pselect6 => poll::sys_pselect6(i32, UserAddr, UserAddr, UserAddr, UserPtr<Timespec, InOut>, UserPtr<abi::signal::SigsetArgument, In>) : Full;
    [271  73] ppoll => poll::sys_ppoll(UserPtr<abi::poll::Pollfd, InOut>, u32, UserPtr<Timespec, InOut>, UserPtr<u64, In>, usize) : Full;
    [272  97] unshare => task::sys_unshare(u64) : Partial("no namespaces");
    [273  99] set_robust_list => futex::sys_set_robust_list(UserAddr, usize) : Full;
    [274 100] get_robust_list => futex::sys_get_robust_list(i32, UserPtr<u64, Out>, UserPtr<usize, Out>) : Full;
    [275  76] splice => splice::sys_splice(Fd, UserPtr<i64, InOut>, Fd, UserPtr<i64, InOut>, usize, Flags) : Full;
    [276  77] tee => splice::sys_tee(Fd, Fd, usize, Flags) : Full;
    [277  84] sync_file_range => io::sys_sync_file_range(Fd, i64, i64, Flags) : Partial("writes the whole file out, not only the range");
    [278  75] vmsplice => splice::sys_vmsplice(Fd, UserPtr<abi::fs::Iovec, In>, usize, Flags) : Full;
    [279 239] move_pages => numa::sys_move_pages(i32, u64, UserPtr<u64, In>, UserPtr<i32, In>, UserPtr<i32, Out>, Flags) : Full;
    [280  88] utimensat => attr::sys_utimensat(Fd, UserPath, UserPtr<Timespec, In>, Flags) : Full;
    [281  22] epoll_pwait => poll::sys_epoll_pwait(Fd, UserPtr<abi::poll::EpollEvent, Out>, i32, i32, UserPtr<u64, In>, usize) : Full;
    [282   _] signalfd => event::sys_signalfd(Fd, UserPtr<u64, In>, usize) : Full;
    [283  85] timerfd_create => timerfd::sys_timerfd_create(i32, Flags) : Full;
    [284   _] eventfd => event::sys_eventfd(u32) : Full;
    [285  47] fallocate => io::sys_fallocate(Fd, Flags, i64, i64) : Full;
    [286  86] timerfd_settime => timerfd::sys_timerfd_settime(Fd, Flags, UserPtr<Itimerspec, In>, UserPtr<Itimerspec, Out>) : Full;
    [287  87] timerfd_gettime => timerfd::sys_timerfd_gettime(Fd, UserPtr<Itimerspec, Out>) : Full;
    [288 242] accept4 => socket::sys_accept4(Fd, UserAddr, UserPtr<i32, InOut>, Flags) : Full;
    [289  74] signalfd4 => event::sys_signalfd4(Fd, UserPtr<u64, In>, usize, Flags) : Full;
    [290  19] eventfd2 => event::sys_eventfd2(u32, Flags) : Full;
    [291  20] epoll_create1 => poll::sys_epoll_create1(Flags) : Full;
    [292  24] dup3 => file::sys_dup3(Fd, Fd, Flags) : Full;
    [293  59] pipe2 => file::sys_pipe2(UserPtr<[i32; 2], Out>, Flags) : Full;
    [294  26] inotify_init1 => inotify::sys_inotify_init1(Flags) : Full;
    [295  69] preadv => io::sys_preadv(Fd, UserPtr<abi::fs::Iovec, In>, usize, i64) : Full;
    [296  70] pwritev => io::sys_pwritev(Fd, UserPtr<abi::fs::Iovec, In>, usize, i64) : Full;
    [297 240] rt_tgsigqueueinfo => signal::sys_rt_tgsigqueueinfo(i32, i32, Signal, UserPtr<Siginfo, In>) : Full;
    [298 241] perf_event_open : Absent("performance counters are not offered");
    [299 243] recvmmsg => socket::sys_recvmmsg(Fd, UserPtr<Mmsghdr, InOut>, u32, Flags, UserPtr<Timespec, InOut>) : Full;
    [300 262] fanotify_init : Absent("no file events for other processes");
    [301 263] fanotify_mark : Absent("no file events for other processes");
    [302 261] prlimit64 => system::sys_prlimit64(i32, u32, UserPtr<Rlimit, In>, UserPtr<Rlimit, Out>) : Partial("RLIMIT_CPU, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_LOCKS and RLIMIT_RTTIME are kept but not enforced");
    [303 264] name_to_handle_at => dir::sys_name_to_handle_at(Fd, UserPath, UserAddr, UserAddr, Flags) : Partial("file systems give out no handles: EOPNOTSUPP");
    [304 265] open_by_handle_at => dir::sys_open_by_handle_at(Fd, UserAddr, Flags) : Partial("file systems give out no handles: ESTALE");
    [305 266] clock_adjtime => time::sys_clock_adjtime(i32, UserPtr<Timex, InOut>) : Partial("the clock can be read and stepped, not slewed");
    [306 267] syncfs => io::sys_syncfs(Fd) : Full;
    [307 269] sendmmsg => socket::sys_sendmmsg(Fd, UserPtr<Mmsghdr, InOut>, u32, Flags) : Full;
    [308 268] setns : Absent("no namespaces in a single-application machine");
    [309 168] getcpu => sched::sys_getcpu(UserPtr<u32, Out>, UserPtr<u32, Out>, UserAddr) : Full;
    [310 270] process_vm_readv => remote::sys_process_vm_readv(i32, UserPtr<abi::fs::Iovec, In>, usize, UserPtr<abi::fs::Iovec, In>, usize, u64) : Full;
    [311 271] process_vm_writev => remote::sys_process_vm_writev(i32, UserPtr<abi::fs::Iovec, In>, usize, UserPtr<abi::fs::Iovec, In>, usize, u64) : Full;
    [312 272] kcmp => remote::sys_kcmp(i32, i32, i32, u64, u64) : Partial("no I/O contexts, undo lists and epoll targets");
    [313 273] finit_module : Absent("kernel modules and other kernels have no place here");
    [314 274] sched_setattr => sched::sys_sched_setattr(i32, UserAddr, Flags) : Partial("no SCHED_DEADLINE, no utilisation clamps; real-time policies get the most weight, not strict priority");
    [315 275] sched_getattr => sched::sys_sched_getattr(i32, UserAddr, u32, Flags) : Full;
    [316 276] renameat2 => dir::sys_renameat2(Fd, UserPath, Fd, UserPath, Flags) : Full;
    [317 277] seccomp => seccomp::sys_seccomp(u32, Flags, UserAddr) : Partial("no listeners: SECCOMP_FILTER_FLAG_NEW_LISTENER answers EINVAL; SECCOMP_RET_LOG logs nothing");
    [318 278] getrandom => system::sys_getrandom(OutBuf, Flags) : Full;
    [319 279] memfd_create => memfd::sys_memfd_create(UserAddr, Flags) : Partial("no huge pages");
    [320 294] kexec_file_load : Absent("kernel modules and other kernels have no place here");
    [321 280] bpf : Absent("no BPF");
    [322 281] execveat => task::sys_execveat(Fd, UserPath, UserPtr<u64, In>, UserPtr<u64, In>, Flags) : Full;
    [323 282] userfaultfd : Absent("no user-fault handling");
    [324 283] membarrier => membarrier::sys_membarrier(i32, Flags, i32) : Partial("no commands for restartable sequences");
    [325 284] mlock2 => mm::sys_mlock2(UserAddr, u64, Flags) : Full;
    [326 285] copy_file_range => splice::sys_copy_file_range(Fd, UserPtr<i64, InOut>, Fd, UserPtr<i64, InOut>, usize, Flags) : Full;
    [327 286] preadv2 => io::sys_preadv2(Fd, UserPtr<abi::fs::Iovec, In>, usize, i64, u64, Flags) : Full;
    [328 287] pwritev2 => io::sys_pwritev2(Fd, UserPtr<abi::fs::Iovec, In>, usize, i64, u64, Flags) : Full;
    [329 288] pkey_mprotect => mm::sys_pkey_mprotect(UserAddr, u64, Flags, i32) : Partial("no protection keys, as on a processor without them");
    [330 289] pkey_alloc => mm::sys_pkey_alloc(Flags64, Flags64) : Partial("no protection keys, as on a processor without them");
    [331 290] pkey_free => mm::sys_pkey_free(i32) : Partial("no protection keys, as on a processor without them");
    [332 291] statx => stat::sys_statx(Fd, UserPath, Flags, u32, UserPtr<abi::fs::Statx, Out>) : Full;
    [333 292] io_pgetevents : Absent("AIO arrives with disks");
    [334 293] rseq => rseq::sys_rseq(UserAddr, u32, Flags, u32) : Full;
    [424 424] pidfd_send_signal => task::sys_pidfd_send_signal(Fd, Signal, UserAddr, Flags) : Full;
    [425 425] io_uring_setup : Absent("AIO arrives with disks");
    [426 426] io_uring_enter : Absent("AIO arrives with disks");
    [427 427] io_uring_register : Absent("AIO arrives with disks");
    [428 428] open_tree : Absent("the new mount interface is not built");
    [429 429] move_mount : Absent("the new mount interface is not built");
    [430 430] fsopen : Absent("the new mount interface is not built");
    [431 431] fsconfig : Absent("the new mount interface is not built");
    [432 432] fsmount : Absent("the new mount interface is not built");
    [433 433] fspick : Absent("the new mount interface is not built");
    [434 434] pidfd_open => task::sys_pidfd_open(i32, Flags) : Full;
    [435 435] clone3 => task::sys_clone3(UserAddr, usize) : Partial("no namespaces, no chosen numbers, no control groups");
    [436 436] close_range => file::sys_close_range(u32, u32, Flags) : Full;
    [437 437] openat2 => file::sys_openat2(Fd, UserPath, UserAddr, usize) : Full;
    [438 438] pidfd_getfd : Absent("not built yet");
    [439 439] faccessat2 => stat::sys_faccessat2(Fd, UserPath, u32, Flags) : Full;
    [440 440] process_madvise : Absent("tracing arrives with many processes");
    [441 441] epoll_pwait2 => poll::sys_epoll_pwait2(Fd, UserPtr<abi::poll::EpollEvent, Out>, i32, UserPtr<Timespec, InOut>, UserPtr<u64, In>, usize) : Full;
    [442 442] mount_setattr : Absent("the new mount interface is not built");
    [443 443] quotactl_fd : Absent("no accounting, quota or swap");
    [444 444] landlock_create_ruleset : Absent("sandboxing arrives with many processes");
    [445 445] landlock_add_rule : Absent("sandboxing arrives with many processes");
    [446 446] landlock_restrict_self : Absent("sandboxing arrives with many processes");
    [447 447] memfd_secret : Absent("not built yet");
    [448 448] process_mrelease : Absent("tracing arrives with many processes");
    [449 449] futex_waitv => futex::sys_futex_waitv(UserPtr<FutexWaitv, In>, u32, Flags, UserPtr<Timespec, In>, i32) : Full;
    [450 450] set_mempolicy_home_node => numa::sys_set_mempolicy_home_node(UserAddr, u64, u64, Flags) : Partial("policies are not kept, so that no range has one");
}
