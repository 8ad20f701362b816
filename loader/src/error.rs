//! Why an ELF file cannot be loaded.

use alloc::boxed::Box;
use core::fmt;

use abi::Errno;

/// What is wrong with a file; [`ElfError::errno`] is Linux's answer to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ElfError {
    /// The file does not begin with the ELF magic number.
    NotElf,
    /// The file is a 32-bit or big-endian one (the host tool asks; Linux looks at the machine only).
    Class,
    /// `e_type` is neither `ET_EXEC` nor `ET_DYN`.
    Type(u16),
    /// `e_machine` is not `EM_X86_64`.
    Machine(u16),
    /// `e_phentsize` is not 56.
    EntrySize(u16),
    /// `e_phnum` is 0 or more than fits into 64 KiB.
    EntryCount(u16),
    /// The file ends before its program headers do.
    HeadersCut,
    /// The file ends inside its ELF header (fatal for an interpreter only).
    HeaderCut,
    /// `PT_INTERP` has a length outside 2..=4096 bytes.
    InterpreterLength(u64),
    /// The file ends before its interpreter's path does.
    InterpreterCut,
    /// The interpreter's path does not end in NUL.
    InterpreterOpen,
    /// No segment is to be loaded, although the file is position-independent.
    NoSegments,
    /// The segment's file offset and address differ within a page.
    Misaligned(u16),
    /// The segment's file size is larger than its memory size.
    FileSize(u16),
    /// The segment lies, wholly or in part, outside user space.
    Address(u16),
    /// The segment's offset plus length is past the end of what a file can have.
    Offset(u16),
    /// The segment's last page, whose end must be cleared, is not in the file.
    TailCut(u16),
    /// The entry point lies outside user space.
    Entry(u64),
    /// The dynamic section or something that it refers to is not inside the file; the text says what.
    Dynamic(&'static str),
    /// The file could not be read.
    Read(Errno),
    /// The interpreter that the program names cannot be loaded.
    Interpreter(Box<Self>),
}

impl ElfError {
    /// Returns the error number that `execve` gives on Linux.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Interpreter(inner) => match **inner {
                Self::Read(errno) => errno,
                Self::HeaderCut => Errno::EIO,
                // LINUX: a bare -1 comes out of the interpreter's loader for a wrong e_type.
                Self::Type(_) => Errno::EPERM,
                Self::FileSize(_) | Self::Address(_) => Errno::ENOMEM,
                ref inner if inner.is_late() => inner.errno(),
                _ => Errno::ELIBBAD,
            },
            Self::Read(errno) => *errno,
            Self::InterpreterCut | Self::HeaderCut => Errno::EIO,
            Self::NoSegments
            | Self::Misaligned(_)
            | Self::FileSize(_)
            | Self::Address(_)
            | Self::Entry(_) => Errno::EINVAL,
            Self::Offset(_) => Errno::EOVERFLOW,
            Self::TailCut(_) => Errno::EFAULT,
            Self::NotElf
            | Self::Class
            | Self::Type(_)
            | Self::Machine(_)
            | Self::EntrySize(_)
            | Self::EntryCount(_)
            | Self::HeadersCut
            | Self::InterpreterLength(_)
            | Self::InterpreterOpen
            | Self::Dynamic(_) => Errno::ENOEXEC,
        }
    }

    /// Tells whether Linux finds the fault only after the old program is gone.
    ///
    /// `execve` cannot return then: the process dies of `SIGSEGV`, and nobody sees the error number.
    pub fn is_late(&self) -> bool {
        match self {
            Self::Interpreter(inner) => matches!(**inner, Self::Type(_)) || inner.is_late(),
            Self::NoSegments
            | Self::Misaligned(_)
            | Self::FileSize(_)
            | Self::Address(_)
            | Self::Offset(_)
            | Self::TailCut(_)
            | Self::Entry(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf => write!(f, "the file does not begin with the ELF magic number"),
            Self::Class => write!(f, "the file is not a 64-bit little-endian ELF file"),
            Self::Type(n) => {
                write!(f, "ELF type {n} is neither an executable (2) nor position-independent (3)")
            }
            Self::Machine(n) => {
                write!(f, "the program is for ELF machine {n}{}, not for x86_64 (62)", machine(*n))
            }
            Self::EntrySize(n) => write!(f, "program headers of {n} bytes, where a 64-bit file has 56"),
            Self::EntryCount(n) => write!(f, "{n} program headers, where 1 to 1170 are possible"),
            Self::HeadersCut => write!(f, "the file ends before its program headers do"),
            Self::HeaderCut => write!(f, "the file ends inside its ELF header"),
            Self::InterpreterLength(n) => {
                write!(f, "the interpreter's path has {n} bytes, where 2 to 4096 are possible")
            }
            Self::InterpreterCut => write!(f, "the file ends before its interpreter's path does"),
            Self::InterpreterOpen => write!(f, "the interpreter's path does not end in a zero byte"),
            Self::NoSegments => write!(f, "the file has nothing to load"),
            Self::Misaligned(i) => write!(f, "program header {i}: offset and address differ within a page"),
            Self::FileSize(i) => {
                write!(f, "program header {i}: the file size is larger than the memory size")
            }
            Self::Address(i) => write!(f, "program header {i}: the segment lies outside user space"),
            Self::Offset(i) => write!(f, "program header {i}: the offset is past the end of any file"),
            Self::TailCut(i) => write!(f, "program header {i}: the file ends before the segment's data does"),
            Self::Entry(at) => write!(f, "the entry point {at:#x} lies outside user space"),
            Self::Dynamic(what) => write!(f, "the dynamic section is damaged: {what}"),
            Self::Read(errno) => write!(f, "the file could not be read: {}", errno.text()),
            Self::Interpreter(inner) => write!(f, "the program's interpreter (dynamic loader): {inner}"),
        }
    }
}

/// Names the machines that a user is likely to meet.
fn machine(number: u16) -> &'static str {
    match number {
        3 => " (32-bit x86)",
        8 => " (MIPS)",
        20 => " (32-bit PowerPC)",
        21 => " (PowerPC)",
        22 => " (S/390)",
        40 => " (32-bit Arm)",
        183 => " (64-bit Arm)",
        243 => " (RISC-V)",
        258 => " (LoongArch)",
        _ => "",
    }
}

impl core::error::Error for ElfError {}
