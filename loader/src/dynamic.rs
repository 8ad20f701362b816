//! Which libraries an ELF file asks for: the part of the dynamic section that decides what an image must hold.
//!
//! For the host tool, which has the whole file in memory. Addresses in the dynamic section are looked up through
//! the loadable segments, as the dynamic linker does; section headers are never needed (a stripped file may have
//! none).

use alloc::vec::Vec;

use goblin::elf64::dynamic::{
    DF_1_NODEFLIB, DF_1_PIE, DT_FLAGS_1, DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ,
    DT_STRTAB,
};
use goblin::elf64::program_header::{PT_DYNAMIC, PT_INTERP, PT_LOAD, ProgramHeader};

use crate::ElfError;
use crate::elf::{self, Header, Position, Role, u64_at};

/// What a file says about its interpreter and libraries; every string is as it stands in the file, without NUL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dynamic<'a> {
    /// `ET_EXEC` or `ET_DYN`.
    pub position: Position,
    /// `PT_INTERP`: the dynamic linker's path; `None` in static programs and most libraries.
    pub interpreter: Option<&'a [u8]>,
    /// `DT_NEEDED`, in order: names of libraries, or paths if they contain a slash.
    pub needed: Vec<&'a [u8]>,
    /// `DT_RPATH`: directories separated by colons. The dynamic linker ignores it where `runpath` is present.
    pub rpath: Option<&'a [u8]>,
    /// `DT_RUNPATH`: directories separated by colons.
    pub runpath: Option<&'a [u8]>,
    /// `DT_SONAME`: the library's own name.
    pub soname: Option<&'a [u8]>,
    /// `DF_1_NODEFLIB`: the default directories are not searched for this file's libraries.
    pub no_default_directories: bool,
    /// `DF_1_PIE`: the file says of itself that it is a program, not a library.
    pub is_pie: bool,
    /// Whether the file has a dynamic section at all (static programs that are not PIE have none).
    pub is_dynamic: bool,
}

/// Tells whether a file begins like an ELF file.
pub fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// Reads the libraries and paths that a file names.
///
/// # Errors
/// [`ElfError`] for a file that is not a 64-bit x86 program or library, or that refers to bytes it does not have.
pub fn read(bytes: &[u8]) -> Result<Dynamic<'_>, ElfError> {
    let (first, count) = elf::read_header(bytes)?;
    if !is_elf(bytes) {
        return Err(ElfError::NotElf);
    }
    if count < elf::HEADER_LEN {
        return Err(ElfError::HeaderCut);
    }
    if first.get(4..6) != Some(&[2, 1]) {
        return Err(ElfError::Class);
    }
    let header = Header::parse(&first, Role::Program)?;
    let entries = header.program_headers(bytes)?;

    let mut found = Dynamic {
        position: header.position()?,
        interpreter: None,
        needed: Vec::new(),
        rpath: None,
        runpath: None,
        soname: None,
        no_default_directories: false,
        is_pie: false,
        is_dynamic: false,
    };
    if let Some(entry) = entries.iter().find(|e| e.p_type == PT_INTERP) {
        let path = slice(bytes, entry.p_offset, entry.p_filesz).ok_or(ElfError::InterpreterCut)?;
        if !(2..=4096).contains(&entry.p_filesz) {
            return Err(ElfError::InterpreterLength(entry.p_filesz));
        }
        // LINUX: the last byte must be NUL, and the path is what precedes the first one.
        if path.last() != Some(&0) {
            return Err(ElfError::InterpreterOpen);
        }
        found.interpreter = path.split(|&b| b == 0).next();
    }
    if let Some(entry) = entries.iter().find(|e| e.p_type == PT_DYNAMIC) {
        let table = slice(bytes, entry.p_offset, entry.p_filesz)
            .ok_or(ElfError::Dynamic("its table is not inside the file"))?;
        found.is_dynamic = true;
        found.read_table(bytes, &entries, table)?;
    }
    Ok(found)
}

impl<'a> Dynamic<'a> {
    fn read_table(
        &mut self,
        bytes: &'a [u8],
        entries: &[ProgramHeader],
        table: &[u8],
    ) -> Result<(), ElfError> {
        let rows = || {
            let rows = table.chunks_exact(16).map(|row| (u64_at(row, 0), u64_at(row, 8)));
            rows.take_while(|&(tag, _)| tag != DT_NULL)
        };
        let last = |wanted: u64| rows().filter(|&(tag, _)| tag == wanted).last().map(|(_, value)| value);

        if let Some(flags) = last(DT_FLAGS_1) {
            self.no_default_directories = flags & DF_1_NODEFLIB != 0;
            self.is_pie = flags & DF_1_PIE != 0;
        }
        if !rows().any(|(tag, _)| [DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME].contains(&tag)) {
            return Ok(());
        }
        let address = last(DT_STRTAB).ok_or(ElfError::Dynamic("it has strings but no string table"))?;
        let size = last(DT_STRSZ).ok_or(ElfError::Dynamic("its string table has no size"))?;
        let strings = file_offset(entries, address)
            .and_then(|offset| slice(bytes, offset, size))
            .ok_or(ElfError::Dynamic("its string table is not inside the file"))?;
        let string = |at: u64| {
            let rest = usize::try_from(at).ok().and_then(|at| strings.get(at..));
            let end = rest.and_then(|rest| rest.iter().position(|&b| b == 0));
            let text = rest.zip(end).and_then(|(rest, end)| rest.get(..end));
            text.ok_or(ElfError::Dynamic("a string is not inside its string table"))
        };
        for (tag, value) in rows() {
            match tag {
                DT_NEEDED => self.needed.push(string(value)?),
                DT_RPATH => self.rpath = Some(string(value)?),
                DT_RUNPATH => self.runpath = Some(string(value)?),
                DT_SONAME => self.soname = Some(string(value)?),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Finds where in the file the byte at a virtual address comes from.
fn file_offset(entries: &[ProgramHeader], address: u64) -> Option<u64> {
    entries.iter().filter(|e| e.p_type == PT_LOAD).find_map(|entry| {
        let inside = address.checked_sub(entry.p_vaddr).filter(|&inside| inside < entry.p_filesz)?;
        entry.p_offset.checked_add(inside)
    })
}

fn slice(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    bytes.get(start..end)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_host_program_names_its_linker_and_libraries() {
        let bytes = std::fs::read("/bin/true").expect("every Linux host has it");
        let dynamic = read(&bytes).expect("a valid program");
        assert_eq!(dynamic.interpreter, Some(&b"/lib64/ld-linux-x86-64.so.2"[..]));
        assert_eq!(dynamic.needed, [b"libc.so.6"]);
        assert!(dynamic.is_dynamic && dynamic.is_pie && dynamic.soname.is_none());
        for cut in 0..bytes.len().min(4096) {
            let _ = read(&bytes[..cut]);
        }
    }

    #[test]
    fn what_is_no_64_bit_x86_file_is_refused_by_name() {
        assert_eq!(read(b"#!/bin/sh\n"), Err(ElfError::NotElf));
        assert_eq!(read(b"\x7fELF\x02\x01"), Err(ElfError::HeaderCut));
        let mut small = [0; 64];
        small[..6].copy_from_slice(b"\x7fELF\x01\x01");
        assert_eq!(read(&small), Err(ElfError::Class));
        small[4] = 2;
        small[16] = 2;
        small[18] = 183;
        assert_eq!(read(&small), Err(ElfError::Machine(183)));
    }
}
