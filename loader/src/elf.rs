//! Checked views of an ELF file's header and program headers.
//!
//! Numbers are read as little-endian whatever the identification bytes say: so does Linux, which looks at the
//! magic number, the type and the machine, and at nothing else. Offsets are those of the `Elf64_Ehdr`,
//! `Elf64_Phdr` and `Elf64_Dyn` structures (`elf(5)`).

use alloc::vec;
use alloc::vec::Vec;

use goblin::elf64::header::{EM_X86_64, ET_DYN, ET_EXEC};
pub use goblin::elf64::program_header::ProgramHeader;

use crate::file::read_up_to;
use crate::{ElfError, FileBytes};

/// Size of an ELF header in bytes.
pub const HEADER_LEN: usize = 64;
/// Size of a program header in bytes.
pub const ENTRY_LEN: u16 = 56;
/// Most program headers that Linux accepts: 64 KiB of them (6.1 has a page as its limit; it was lifted later).
pub const MAX_ENTRIES: u16 = 1170;

/// What a file is loaded as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The program that `execve` names (or the interpreter of a script).
    Program,
    /// The interpreter that a program names in `PT_INTERP`: the dynamic linker.
    Interpreter,
}

/// Where a program may be put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// `ET_EXEC`: at the addresses in the file.
    Fixed,
    /// `ET_DYN`: anywhere.
    Independent,
}

/// The fields of an ELF header that loading needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// `e_type`; [`Header::position`] is its meaning.
    pub kind: u16,
    /// `e_entry`: the address of the first instruction, before the load bias is added.
    pub entry: u64,
    /// `e_phoff`: the file offset of the program headers.
    pub entries_offset: u64,
    /// `e_phnum`: the number of program headers.
    pub entries: u16,
}

impl Header {
    /// Reads and checks a header, in Linux's order: magic, type, machine, then the program headers' size and
    /// number. The type of an interpreter is left to [`Header::position`]: Linux looks at it much later.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn parse(bytes: &[u8; HEADER_LEN], role: Role) -> Result<Self, ElfError> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err(ElfError::NotElf);
        }
        let header = Self {
            kind: u16_at(bytes, 16),
            entry: u64_at(bytes, 24),
            entries_offset: u64_at(bytes, 32),
            entries: u16_at(bytes, 56),
        };
        if role == Role::Program {
            header.position()?;
        }
        match u16_at(bytes, 18) {
            EM_X86_64 => {}
            other => return Err(ElfError::Machine(other)),
        }
        match u16_at(bytes, 54) {
            ENTRY_LEN => {}
            other => return Err(ElfError::EntrySize(other)),
        }
        if header.entries == 0 || header.entries > MAX_ENTRIES {
            return Err(ElfError::EntryCount(header.entries));
        }
        Ok(header)
    }

    /// Says where the file may be put.
    ///
    /// # Errors
    /// [`ElfError::Type`] if `e_type` is neither `ET_EXEC` nor `ET_DYN`.
    pub fn position(&self) -> Result<Position, ElfError> {
        match self.kind {
            ET_EXEC => Ok(Position::Fixed),
            ET_DYN => Ok(Position::Independent),
            other => Err(ElfError::Type(other)),
        }
    }

    /// Reads all program headers.
    ///
    /// # Errors
    /// [`ElfError::HeadersCut`] where the file is too short, or what reading it gave.
    pub fn program_headers(&self, file: &(impl FileBytes + ?Sized)) -> Result<Vec<ProgramHeader>, ElfError> {
        let mut bytes = vec![0; usize::from(self.entries).saturating_mul(usize::from(ENTRY_LEN))];
        if read_up_to(file, self.entries_offset, &mut bytes)? < bytes.len() {
            return Err(ElfError::HeadersCut);
        }
        Ok(bytes.chunks_exact(usize::from(ENTRY_LEN)).map(program_header).collect())
    }
}

/// Reads the first bytes of a file; what the file does not have is zero, as in Linux's buffer.
pub(crate) fn read_header(file: &(impl FileBytes + ?Sized)) -> Result<([u8; HEADER_LEN], usize), ElfError> {
    let mut bytes = [0; HEADER_LEN];
    let count = read_up_to(file, 0, &mut bytes)?;
    Ok((bytes, count))
}

fn program_header(bytes: &[u8]) -> ProgramHeader {
    ProgramHeader {
        p_type: u32_at(bytes, 0),
        p_flags: u32_at(bytes, 4),
        p_offset: u64_at(bytes, 8),
        p_vaddr: u64_at(bytes, 16),
        p_paddr: u64_at(bytes, 24),
        p_filesz: u64_at(bytes, 32),
        p_memsz: u64_at(bytes, 40),
        p_align: u64_at(bytes, 48),
    }
}

/// Reads a number; bytes that do not exist are zero (callers have checked the length where it matters).
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}
