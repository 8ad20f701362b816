//! The vDSO: the small shared object that the kernel maps into every program, in which the C library finds
//! functions that tell the time and the processor without a system call (`vdso(7)`).
//!
//! The functions answer exactly what the system calls of the same names answer. Time comes from the page below
//! the image ([`data`]), which the kernel writes; wherever that page does not suffice they make the system call.
//!
//! `build_vdso.rs` makes the image: position-independent, one read-only executable segment, no relocations.
#![no_std]
#![allow(
    unsafe_code,
    reason = "exported to C by name: raw pointers, instructions and system calls are its matter"
)]

// By path and not as a dependency: the image is then one object file, built by one call of the compiler.
#[path = "../../syscall/abi/src/vdso.rs"]
#[allow(dead_code, unreachable_pub, reason = "the kernel uses the rest")]
mod data;

mod clock;
mod machine;

use clock::Reading;
use machine::Timespec;

const CLOCK_REALTIME: u32 = 0;
const CLOCK_REALTIME_COARSE: u32 = 5;
const CLOCK_MONOTONIC_COARSE: u32 = 6;
const NANOSECONDS: u64 = 1_000_000_000;

const SYS_GETTIMEOFDAY: usize = 96;
const SYS_TIME: usize = 201;
const SYS_CLOCK_GETTIME: usize = 228;
const SYS_CLOCK_GETRES: usize = 229;
const SYS_GETCPU: usize = 309;

/// `struct timeval`.
#[repr(C)]
pub struct Timeval {
    seconds: i64,
    microseconds: i64,
}

/// `struct timezone`.
#[repr(C)]
pub struct Timezone {
    minutes_west: i32,
    dst_time: i32,
}

/// `clock_gettime(2)`.
///
/// # Safety
/// `to` must be valid for writing; the C library's caller promises it. A bad address faults in the caller.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_clock_gettime(clock: u32, to: *mut Timespec) -> i32 {
    match clock::read_exact_clock(clock) {
        // SAFETY: the caller's promise.
        Some(ns) => unsafe { put(to, ns) },
        // SAFETY: the caller's promise.
        None => unsafe { other_clock_gettime(clock, to) },
    }
}

/// Everything but the exact clocks; out of line, so that their path stays short.
///
/// # Safety
/// As for [`__vdso_clock_gettime`].
#[inline(never)]
unsafe fn other_clock_gettime(clock: u32, to: *mut Timespec) -> i32 {
    match clock::read_coarse_clock(clock) {
        // SAFETY: the caller's promise.
        Some(ns) => unsafe { put(to, ns) },
        None => status(machine::system_call(SYS_CLOCK_GETTIME, clock as usize, to.addr(), 0)),
    }
}

/// Writes a time and returns 0.
///
/// # Safety
/// `to` must be valid for writing.
#[inline(always)]
unsafe fn put(to: *mut Timespec, ns: u64) -> i32 {
    // Division by a constant is a multiplication.
    let seconds = ns / NANOSECONDS;
    // SAFETY: the caller's promise.
    unsafe { to.write(Timespec::new(seconds, ns - seconds * NANOSECONDS)) };
    0
}

/// `clock_getres(2)`.
///
/// # Safety
/// `to` must be null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_clock_getres(clock: u32, to: *mut Timespec) -> i32 {
    let Some(coarse_ns) = clock::resolution(clock) else {
        return status(machine::system_call(SYS_CLOCK_GETRES, clock as usize, to.addr(), 0));
    };
    let is_coarse = matches!(clock, CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE);
    if !to.is_null() {
        // SAFETY: not null, and the caller's promise.
        unsafe { to.write(Timespec::new(0, if is_coarse { u64::from(coarse_ns) } else { 1 })) };
    }
    0
}

/// `gettimeofday(2)`.
///
/// # Safety
/// Each pointer must be null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_gettimeofday(to: *mut Timeval, zone: *mut Timezone) -> i32 {
    let Some(ns) = clock::read_exact_clock(CLOCK_REALTIME) else {
        return status(machine::system_call(SYS_GETTIMEOFDAY, to.addr(), zone.addr(), 0));
    };
    if !to.is_null() {
        let seconds = ns / NANOSECONDS;
        let microseconds = (ns - seconds * NANOSECONDS) / 1000;
        // SAFETY: not null, and the caller's promise.
        unsafe {
            to.write(Timeval { seconds: seconds.cast_signed(), microseconds: microseconds.cast_signed() })
        };
    }
    if !zone.is_null() {
        let (minutes_west, dst_time) = clock::time_zone();
        // SAFETY: not null, and the caller's promise.
        unsafe { zone.write(Timezone { minutes_west, dst_time }) };
    }
    0
}

/// `time(2)`.
///
/// # Safety
/// `to` must be null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_time(to: *mut i64) -> i64 {
    // LINUX: whole seconds of the coarse clock, which may lag behind the exact one by a tick.
    let Some(ns) = clock::read_coarse_clock(CLOCK_REALTIME_COARSE) else {
        return machine::system_call(SYS_TIME, to.addr(), 0, 0);
    };
    let seconds = (ns / NANOSECONDS).cast_signed();
    if !to.is_null() {
        // SAFETY: not null, and the caller's promise.
        unsafe { to.write(seconds) };
    }
    seconds
}

/// `getcpu(2)`; the third argument has no meaning since Linux 2.6.24.
///
/// # Safety
/// Each of the first two pointers must be null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_getcpu(cpu: *mut u32, node: *mut u32, _unused: *mut u8) -> i32 {
    let aux = match clock::reading_of_processor() {
        Reading::Rdpid => machine::rdpid(),
        Reading::Rdtscp => machine::rdtscp_aux(),
        Reading::SystemCall => return status(machine::system_call(SYS_GETCPU, cpu.addr(), node.addr(), 0)),
    };
    if !cpu.is_null() {
        // SAFETY: not null, and the caller's promise.
        unsafe { cpu.write(aux & 0xfff) };
    }
    if !node.is_null() {
        // SAFETY: not null, and the caller's promise.
        unsafe { node.write(aux >> 12) };
    }
    0
}

/// Narrows a system call's answer, which is 0 or a negative error number here.
#[expect(clippy::cast_possible_truncation, reason = "between -4095 and 0")]
const fn status(answer: i64) -> i32 {
    answer as i32
}
