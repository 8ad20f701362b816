//! The strace-like log (`hull run --trace`), from the table's rows.

use alloc::string::String;
use core::fmt::Write;

use abi::Errno;
use hal::{Fault, Frame, Stream, UserAddr, UserMemory, UserRegs};

use crate::error::Outcome;
use crate::proc::Thread;
use crate::{dispatch, table};

/// Carries out a call and writes its line.
#[cold]
pub(crate) fn call(thread: &Thread, regs: &mut UserRegs) -> Outcome {
    let platform = thread.process().system().platform();
    let (number, args) = (regs.orig_rax, [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9]);
    let mut line = String::new();
    let _ = write!(line, "{} ", thread.tid());
    match table::entry(number) {
        Some(entry) => {
            let _ = write!(line, "{}(", entry.name);
            (entry.show)(args, platform.memory, &mut line);
        }
        None => {
            let _ = write!(line, "syscall_{number}({:#x}", args[0]);
        }
    }
    line.push(')');
    let outcome = dispatch::call(thread, regs);
    match outcome {
        Outcome::Return(value @ -4095..0) => {
            let errno = Errno::ALL.iter().find(|e| -i64::from(e.number()) == value);
            match errno {
                Some(errno) => {
                    let _ = write!(line, " = -1 {} ({})", errno.name(), errno.text());
                }
                None => {
                    let _ = write!(line, " = {value}");
                }
            }
        }
        Outcome::Return(value @ 0..0x10000) => {
            let _ = write!(line, " = {value}");
        }
        Outcome::Return(value) => {
            let _ = write!(line, " = {value:#x}");
        }
        Outcome::Restart(_) => line.push_str(" = ? (interrupted by a signal)"),
        Outcome::Resume | Outcome::Exit => line.push_str(" = ?"),
    }
    line.push('\n');
    platform.console.write(Stream::Trace, line.as_bytes());
    outcome
}

/// Memory in which nothing is mapped: for showing arguments whose types are not known.
pub(crate) struct NoMemory;

impl UserMemory for NoMemory {
    fn copy_in(&self, _: UserAddr, _: &mut [u8]) -> Result<(), Fault> {
        Err(Fault { done: 0 })
    }

    fn copy_out(&self, _: UserAddr, _: &[u8]) -> Result<(), Fault> {
        Err(Fault { done: 0 })
    }

    fn frame_out(&self, _: UserAddr, _: &Frame, _: usize, _: usize) -> Result<(), Fault> {
        Err(Fault { done: 0 })
    }

    fn frame_in(&self, _: UserAddr, _: &Frame, _: usize, _: usize) -> Result<(), Fault> {
        Err(Fault { done: 0 })
    }

    fn zero(&self, _: UserAddr, _: usize) -> Result<(), Fault> {
        Err(Fault { done: 0 })
    }

    fn compare_exchange_u32(&self, _: UserAddr, _: u32, _: u32) -> Result<u32, Fault> {
        Err(Fault { done: 0 })
    }

    fn load_u32(&self, _: UserAddr) -> Result<u32, Fault> {
        Err(Fault { done: 0 })
    }

    fn copy_in_string(&self, _: UserAddr, _: &mut [u8]) -> Result<Option<usize>, Fault> {
        Err(Fault { done: 0 })
    }
}
