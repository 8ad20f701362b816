//! Keys of the auxiliary vector (`getauxval(3)`, `<linux/auxvec.h>`).

/// End of the vector.
pub const AT_NULL: u64 = 0;
/// To be ignored.
pub const AT_IGNORE: u64 = 1;
/// Descriptor of the program.
pub const AT_EXECFD: u64 = 2;
/// Address of the program headers.
pub const AT_PHDR: u64 = 3;
/// Size of a program header in bytes.
pub const AT_PHENT: u64 = 4;
/// Number of program headers.
pub const AT_PHNUM: u64 = 5;
/// Page size in bytes.
pub const AT_PAGESZ: u64 = 6;
/// Base address of the interpreter; 0 without one.
pub const AT_BASE: u64 = 7;
/// Flags; 0 on x86.
pub const AT_FLAGS: u64 = 8;
/// Entry point of the program.
pub const AT_ENTRY: u64 = 9;
/// The program is not an ELF one.
pub const AT_NOTELF: u64 = 10;
/// Real user.
pub const AT_UID: u64 = 11;
/// Effective user.
pub const AT_EUID: u64 = 12;
/// Real group.
pub const AT_GID: u64 = 13;
/// Effective group.
pub const AT_EGID: u64 = 14;
/// Address of the platform's name.
pub const AT_PLATFORM: u64 = 15;
/// Processor features; on x86 EDX of CPUID leaf 1.
pub const AT_HWCAP: u64 = 16;
/// Clock ticks a second, as in `times(2)`: 100.
pub const AT_CLKTCK: u64 = 17;
/// Whether the program is to be run in secure mode.
pub const AT_SECURE: u64 = 23;
/// Address of the real platform's name.
pub const AT_BASE_PLATFORM: u64 = 24;
/// Address of 16 random bytes.
pub const AT_RANDOM: u64 = 25;
/// More processor features; on x86 bit 0 is MONITOR/MWAIT in ring 3, bit 1 is FSGSBASE in ring 3.
pub const AT_HWCAP2: u64 = 26;
/// Size of the registered part of `struct rseq` in bytes.
pub const AT_RSEQ_FEATURE_SIZE: u64 = 27;
/// Alignment of `struct rseq` in bytes.
pub const AT_RSEQ_ALIGN: u64 = 28;
/// Address of the program's path as given to `execve`.
pub const AT_EXECFN: u64 = 31;
/// Address of the vDSO's entry point (32-bit x86 only).
pub const AT_SYSINFO: u64 = 32;
/// Address of the vDSO's ELF header.
pub const AT_SYSINFO_EHDR: u64 = 33;
/// Smallest size of a signal frame in bytes.
pub const AT_MINSIGSTKSZ: u64 = 51;
