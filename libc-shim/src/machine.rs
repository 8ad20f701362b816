//! The instructions that the vDSO needs, and the names under which its functions are found.

use core::arch::{asm, global_asm};

use crate::data::VdsoData;

/// `struct timespec`.
#[repr(C)]
pub struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

impl Timespec {
    pub(crate) const fn new(seconds: u64, nanoseconds: u64) -> Self {
        Self { seconds: seconds.cast_signed(), nanoseconds: nanoseconds.cast_signed() }
    }
}

// The C libraries ask for the prefixed names; the plain ones are weak aliases, as on Linux.
global_asm!(
    ".weak clock_gettime",
    ".set clock_gettime, __vdso_clock_gettime",
    ".weak clock_getres",
    ".set clock_getres, __vdso_clock_getres",
    ".weak gettimeofday",
    ".set gettimeofday, __vdso_gettimeofday",
    ".weak time",
    ".set time, __vdso_time",
    ".weak getcpu",
    ".set getcpu, __vdso_getcpu",
    // The note by which a C library tells the version of Linux without uname: name "Linux", type 0, 6.1.0.
    ".section .note.linux, \"a\", @note",
    ".balign 4",
    ".long 6, 4, 0",
    ".asciz \"Linux\"",
    ".balign 4",
    ".long 0x060100",
    ".previous",
);

/// Returns the page that the kernel shares with this image.
#[inline(always)]
pub(crate) fn data() -> &'static VdsoData {
    let address: *const VdsoData;
    // SAFETY: computes an address only. `__ehdr_start` is the linker's hidden symbol for the image's first byte.
    unsafe {
        asm!("lea {}, [rip + __ehdr_start - 4096]", out(reg) address, options(pure, nomem, nostack, preserves_flags));
    }
    // SAFETY:
    // 1. The kernel maps the shared page, readable, directly below the image for as long as the image is mapped.
    // 2. Every bit pattern is a valid `VdsoData`: it consists of atomic integers, so that the kernel's writes do not
    //    conflict with reads from here.
    // 3. A page is aligned to more than the 64 bytes of the type.
    unsafe { &*address }
}

/// Reads the time-stamp counter, not before any earlier load is complete.
#[inline(always)]
pub(crate) fn tsc() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: the kernel sets `MODE_TSC` only where ring 3 may read the counter. RDTSC is not ordered by itself:
    // LFENCE waits for the load of the sequence counter. Not `nomem`, so that the compiler keeps the order too.
    unsafe {
        asm!("lfence", "rdtsc", out("rax") low, out("rdx") high, options(nostack, preserves_flags));
    }
    low | high << 32
}

/// Reads TSC_AUX by RDPID.
pub(crate) fn rdpid() -> u32 {
    let aux: u64;
    // SAFETY: the caller has seen the kernel's flag that the processor has the instruction.
    unsafe {
        asm!("rdpid {}", out(reg) aux, options(nomem, nostack, preserves_flags));
    }
    truncate(aux)
}

/// Reads TSC_AUX by RDTSCP.
pub(crate) fn rdtscp_aux() -> u32 {
    let aux: u64;
    // SAFETY: the caller has seen the kernel's flag that the processor has the instruction.
    unsafe {
        asm!("rdtscp", out("rax") _, out("rdx") _, out("rcx") aux, options(nomem, nostack, preserves_flags));
    }
    truncate(aux)
}

/// Makes a system call; its answer is the caller's, a negative error number included.
pub(crate) fn system_call(number: usize, first: usize, second: usize, third: usize) -> i64 {
    let answer: i64;
    // SAFETY: the kernel checks number, values and addresses; it clobbers RCX and R11 and keeps the rest.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer
}

#[expect(clippy::cast_possible_truncation, reason = "the register has 32 bits")]
const fn truncate(aux: u64) -> u32 {
    aux as u32
}
