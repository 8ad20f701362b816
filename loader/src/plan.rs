//! The load plan: what to map where so that a program can start.
//!
//! The rules, and which error number comes when, are those of Linux's `fs/binfmt_elf.c`. Its behaviour changed
//! in one way between 6.1 and today, and the newer one is taken: each segment's zero-filled tail is made with
//! the segment (6.1 joins the tails of several segments, which breaks files with more than one).
//!
//! The order in `execve`: plan the program (early errors are returned to the caller), plan the interpreter that
//! it names, replace the address space, choose a base with [`crate::layout`], carry out
//! [`LoadPlan::operations`] for both, then write the stack with [`crate::stack`].

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use goblin::elf64::program_header::{PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD, ProgramHeader};

use crate::elf::{ENTRY_LEN, HEADER_LEN, Header, read_header};
pub use crate::elf::{Position, Role};
use crate::file::read_up_to;
use crate::{ElfError, FileBytes, PAGE_SIZE, TASK_SIZE, page_end, page_offset, page_start};

/// Longest interpreter path in bytes, with its NUL.
const PATH_MAX: u64 = 4096;

/// What may be done with mapped memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prot {
    /// `PF_R`.
    pub read: bool,
    /// `PF_W`.
    pub write: bool,
    /// `PF_X`.
    pub execute: bool,
}

impl Prot {
    /// Returns the bits as `mmap(2)` takes them: `PROT_READ` 1, `PROT_WRITE` 2, `PROT_EXEC` 4.
    pub const fn bits(self) -> u32 {
        let mut bits = 0;
        if self.read {
            bits |= 1;
        }
        if self.write {
            bits |= 2;
        }
        if self.execute {
            bits |= 4;
        }
        bits
    }

    const fn of(p_flags: u32) -> Self {
        Self { read: p_flags & PF_R != 0, write: p_flags & PF_W != 0, execute: p_flags & PF_X != 0 }
    }
}

/// One `PT_LOAD` segment, checked; addresses are the file's own, before the bias is added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Number of its program header.
    pub index: u16,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many bytes come from the file; at most `memory_size`.
    pub file_size: u64,
    /// Where it begins in memory; equal to `offset` within a page if `file_size` is not 0.
    pub address: u64,
    /// How many bytes it has in memory.
    pub memory_size: u64,
    /// What the program may do with it.
    pub prot: Prot,
}

/// What the program asks for its stack (`PT_GNU_STACK`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StackProt {
    /// Readable and writable: the header says so or is missing.
    ReadWrite,
    /// Executable too.
    ReadWriteExecute,
}

/// How to load one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadPlan {
    /// Whether the addresses below are final.
    pub position: Position,
    /// The segments, in the order of the file.
    pub segments: Vec<Segment>,
    /// The first segment's first page; [`LoadPlan::bias_for`] puts it at the base.
    pub first_page: u64,
    /// Bytes from the lowest to the highest page of any segment: what must be free at the base.
    pub span: u64,
    /// Largest alignment that a segment asks for: a power of two, at least a page.
    pub align: u64,
    /// `e_entry`, without bias.
    pub entry: u64,
    /// `PT_INTERP` without its NUL; only programs have one. It may be empty, which means the working directory, and
    /// so `EACCES`.
    pub interpreter: Option<Vec<u8>>,
    /// What the program asks for its stack.
    pub stack: StackProt,
    /// Where the program headers are in memory, without bias (`AT_PHDR`); 0 if no segment holds them.
    pub entries_address: u64,
    /// Number of program headers (`AT_PHNUM`).
    pub entries: u16,
    /// First page behind all segments, without bias: where the heap may begin.
    pub brk: u64,
    /// First and last code address, without bias, as in `/proc/PID/stat` (`start_code`, `end_code`).
    pub code: Range<u64>,
    /// Start of the last segment and end of file data, without bias (`start_data`, `end_data`).
    pub data: Range<u64>,
}

/// One thing to do to an address space. Addresses are absolute; all but those of [`Operation::Zero`] are whole
/// pages. A later operation replaces what an earlier one mapped (`MAP_FIXED`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Map file pages, private (copy on write).
    Map {
        /// First address.
        address: u64,
        /// Bytes, whole pages; may reach past the file's end, where access means `SIGBUS`.
        len: u64,
        /// File offset, a multiple of the page size.
        offset: u64,
        /// Protection.
        prot: Prot,
    },
    /// Clear bytes of the page just mapped, up to its end. The page is writable and inside the file.
    Zero {
        /// First address.
        address: u64,
        /// Bytes, less than a page.
        len: u64,
    },
    /// Map zero-filled pages, private.
    Anonymous {
        /// First address.
        address: u64,
        /// Bytes, whole pages.
        len: u64,
        /// Protection; always readable and writable, as Linux has it.
        prot: Prot,
    },
}

/// Reads a file's headers and plans how to load it.
///
/// # Errors
/// [`ElfError`], whose `errno` and `is_late` say what `execve` does about it; the errors of an interpreter come as
/// [`ElfError::Interpreter`].
pub fn plan(file: &(impl FileBytes + ?Sized), role: Role) -> Result<LoadPlan, ElfError> {
    read_plan(file, role).map_err(|error| match role {
        Role::Program => error,
        Role::Interpreter => ElfError::Interpreter(Box::new(error)),
    })
}

fn read_plan(file: &(impl FileBytes + ?Sized), role: Role) -> Result<LoadPlan, ElfError> {
    let (first, count) = read_header(file)?;
    if role == Role::Interpreter && count < HEADER_LEN {
        return Err(ElfError::HeaderCut);
    }
    let header = Header::parse(&first, role)?;
    let entries = header.program_headers(file)?;
    let interpreter = match role {
        Role::Program => interpreter(file, &entries)?,
        Role::Interpreter => None,
    };
    // From here on Linux has given up the old program.
    let position = header.position()?;

    let mut plan = LoadPlan {
        position,
        segments: Vec::new(),
        first_page: 0,
        span: 0,
        align: PAGE_SIZE,
        entry: header.entry,
        interpreter,
        stack: StackProt::ReadWrite,
        entries_address: 0,
        entries: header.entries,
        brk: 0,
        code: 0..0,
        data: 0..0,
    };
    for (entry, index) in entries.iter().zip(0_u16..) {
        match entry.p_type {
            PT_LOAD => plan.add(file.len(), entry, index, header.entries_offset)?,
            PT_GNU_STACK if entry.p_flags & PF_X != 0 => plan.stack = StackProt::ReadWriteExecute,
            PT_GNU_STACK => plan.stack = StackProt::ReadWrite,
            _ => {}
        }
    }
    plan.finish(role)?;
    Ok(plan)
}

/// Reads the path in the first `PT_INTERP`.
fn interpreter(
    file: &(impl FileBytes + ?Sized),
    entries: &[ProgramHeader],
) -> Result<Option<Vec<u8>>, ElfError> {
    let Some(entry) = entries.iter().find(|e| e.p_type == PT_INTERP) else { return Ok(None) };
    let len = usize::try_from(entry.p_filesz).ok().filter(|_| (2..=PATH_MAX).contains(&entry.p_filesz));
    let len = len.ok_or(ElfError::InterpreterLength(entry.p_filesz))?;
    let mut path = vec![0; len];
    // LINUX: the offset is a signed number; a negative one is EINVAL from the read itself.
    if i64::try_from(entry.p_offset).is_err() {
        return Err(ElfError::Read(abi::Errno::EINVAL));
    }
    if read_up_to(file, entry.p_offset, &mut path)? < len {
        return Err(ElfError::InterpreterCut);
    }
    if path.last() != Some(&0) {
        return Err(ElfError::InterpreterOpen);
    }
    let end = path.iter().position(|&b| b == 0).unwrap_or_default();
    path.truncate(end);
    Ok(Some(path))
}

impl LoadPlan {
    fn add(
        &mut self,
        file_len: u64,
        entry: &ProgramHeader,
        index: u16,
        entries_offset: u64,
    ) -> Result<(), ElfError> {
        let (address, file_size, memory_size) = (entry.p_vaddr, entry.p_filesz, entry.p_memsz);
        if file_size > memory_size {
            return Err(ElfError::FileSize(index));
        }
        let end = address.checked_add(memory_size).filter(|&end| address < TASK_SIZE && end <= TASK_SIZE);
        let end = end.ok_or(ElfError::Address(index))?;
        // Cannot overflow: the file's part is inside memory's.
        let file_end = address.saturating_add(file_size);
        let prot = Prot::of(entry.p_flags);
        if file_size > 0 {
            if page_offset(entry.p_offset) != page_offset(address) {
                return Err(ElfError::Misaligned(index));
            }
            let offset_end = entry.p_offset.checked_add(file_size).and_then(page_end);
            if offset_end.is_none_or(|end| i64::try_from(end).is_err()) {
                return Err(ElfError::Offset(index));
            }
            // The last page must exist where its end is to be cleared.
            let last = page_start(entry.p_offset.saturating_add(file_size));
            if memory_size > file_size && prot.write && page_offset(file_end) != 0 && last >= file_len {
                return Err(ElfError::TailCut(index));
            }
        }
        if let Some(inside) = entries_offset.checked_sub(entry.p_offset).filter(|&inside| inside < file_size)
        {
            self.entries_address = inside.wrapping_add(address);
        }
        if prot.execute {
            let start = if self.code.is_empty() { address } else { self.code.start.min(address) };
            self.code = start..self.code.end.max(file_end);
        }
        self.data = self.data.start.max(address)..self.data.end.max(file_end);
        self.brk = self.brk.max(end);
        if entry.p_align.is_power_of_two() {
            self.align = self.align.max(entry.p_align);
        }
        if self.segments.is_empty() {
            self.first_page = page_start(address);
        }
        self.segments.push(Segment { index, offset: entry.p_offset, file_size, address, memory_size, prot });
        Ok(())
    }

    fn finish(&mut self, role: Role) -> Result<(), ElfError> {
        let lowest = self.segments.iter().map(|s| page_start(s.address)).min().unwrap_or_default();
        self.brk = page_end(self.brk).unwrap_or(TASK_SIZE);
        self.span = self.brk.saturating_sub(lowest);
        // LINUX: a program at fixed addresses may have nothing to load, and dies on its first instruction.
        let must_have_span = role == Role::Interpreter || !self.segments.is_empty();
        if self.span == 0
            && must_have_span
            && (self.position == Position::Independent || role == Role::Interpreter)
        {
            return Err(ElfError::NoSegments);
        }
        Ok(())
    }

    /// Returns what to add to every address so that the first segment's page comes to `base`; 0 for a program
    /// at fixed addresses.
    ///
    /// `base` should be a multiple of [`LoadPlan::align`], with [`LoadPlan::span`] bytes free from there on.
    pub const fn bias_for(&self, base: u64) -> u64 {
        match self.position {
            Position::Fixed => 0,
            Position::Independent => base.wrapping_sub(self.first_page),
        }
    }

    /// Returns the biased entry point.
    ///
    /// # Errors
    /// [`ElfError::Entry`] if it lies outside user space.
    pub fn entry_at(&self, bias: u64) -> Result<u64, ElfError> {
        let entry = self.entry.wrapping_add(bias);
        if entry < TASK_SIZE { Ok(entry) } else { Err(ElfError::Entry(entry)) }
    }

    /// Returns `AT_PHDR` for a bias.
    pub const fn entries_at(&self, bias: u64) -> u64 {
        self.entries_address.wrapping_add(bias)
    }

    /// Returns `AT_PHENT`.
    pub const fn entry_size(&self) -> u64 {
        ENTRY_LEN as u64
    }

    /// Lists what to do to an address space, in order.
    ///
    /// Whether the result fits beside what is mapped already, and whether addresses below `mmap_min_addr` are
    /// allowed, the caller's `mmap` decides.
    ///
    /// # Errors
    /// [`ElfError::Address`] if the bias moves a segment out of user space.
    pub fn operations(&self, bias: u64) -> Result<Vec<Operation>, ElfError> {
        let mut list = Vec::new();
        for segment in &self.segments {
            segment.operations(bias, &mut list).ok_or(ElfError::Address(segment.index))?;
        }
        Ok(list)
    }
}

impl Segment {
    fn operations(&self, bias: u64, list: &mut Vec<Operation>) -> Option<()> {
        let start = self.address.wrapping_add(bias);
        let end = start.checked_add(self.memory_size).filter(|&end| start < TASK_SIZE && end <= TASK_SIZE)?;
        let file_end = start.checked_add(self.file_size)?;
        let mut zero_from = page_start(start);
        if self.file_size > 0 {
            let (address, mapped_end) = (page_start(start), page_end(file_end)?);
            list.push(Operation::Map {
                address,
                len: mapped_end.checked_sub(address)?,
                offset: page_start(self.offset),
                prot: self.prot,
            });
            // LINUX: the rest of the last page is cleared whole, even past the segment's end; a page that is not
            // writable keeps what the file has there.
            if self.memory_size > self.file_size && self.prot.write && mapped_end > file_end {
                list.push(Operation::Zero { address: file_end, len: mapped_end.checked_sub(file_end)? });
            }
            zero_from = mapped_end;
        }
        let zero_to = page_end(end)?;
        if self.memory_size > self.file_size && zero_to > zero_from {
            // LINUX: always readable and writable, whatever the segment says; executable if it says so.
            let prot = Prot { read: true, write: true, execute: self.prot.execute };
            list.push(Operation::Anonymous {
                address: zero_from,
                len: zero_to.checked_sub(zero_from)?,
                prot,
            });
        }
        Some(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
