//! Checks the vDSO's image before the kernel offers it to programs, and finds its functions.

use alloc::vec::Vec;

use goblin::elf64::dynamic::{
    DT_HASH, DT_JMPREL, DT_NEEDED, DT_NULL, DT_REL, DT_RELA, DT_STRTAB, DT_SYMTAB, DT_TEXTREL,
};
use goblin::elf64::program_header::{PF_W, PT_DYNAMIC, PT_LOAD};

use crate::elf::{self, Header, Position, Role, u16_at, u32_at, u64_at};
use crate::{ElfError, page_end};

/// `DT_RELR`, which goblin does not name.
const DT_RELR: u64 = 36;
const SYMBOL_LEN: usize = 24;

/// What the image holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image<'a> {
    /// Bytes to map, whole pages.
    pub span: u64,
    /// Defined symbols: name and offset from the image's first byte.
    pub symbols: Vec<(&'a [u8], u64)>,
}

impl Image<'_> {
    /// Returns a function's offset from the image's first byte.
    pub fn symbol(&self, name: &[u8]) -> Option<u64> {
        self.symbols.iter().find(|(known, _)| *known == name).map(|&(_, at)| at)
    }
}

/// Checks an image: one segment at address and offset 0 that is not writable and wholly in the file, a dynamic
/// section, nothing to relocate, no library needed.
///
/// # Errors
/// [`ElfError`] for the first of these that does not hold.
pub fn check(bytes: &[u8]) -> Result<Image<'_>, ElfError> {
    let (first, _) = elf::read_header(bytes)?;
    let header = Header::parse(&first, Role::Program)?;
    if header.position()? != Position::Independent {
        return Err(ElfError::Type(header.kind));
    }
    let entries = header.program_headers(bytes)?;
    let mut loads = entries.iter().filter(|e| e.p_type == PT_LOAD);
    let load = loads.next().ok_or(ElfError::NoSegments)?;
    if loads.next().is_some() || load.p_flags & PF_W != 0 {
        return Err(ElfError::Dynamic("a vDSO has one segment, which is not writable"));
    }
    if (load.p_vaddr, load.p_offset) != (0, 0) || load.p_memsz != load.p_filesz {
        return Err(ElfError::Dynamic("a vDSO's segment is the file itself, from address 0 on"));
    }
    let image =
        part(bytes, 0, load.p_filesz).ok_or(ElfError::Dynamic("the segment is not inside the file"))?;
    let span = page_end(load.p_filesz).ok_or(ElfError::Address(0))?;

    // Addresses are offsets from here on.
    let table = entries.iter().find(|e| e.p_type == PT_DYNAMIC).ok_or(ElfError::Dynamic("there is none"))?;
    let table =
        part(image, table.p_vaddr, table.p_filesz).ok_or(ElfError::Dynamic("it is not inside the image"))?;
    let rows = || {
        let rows = table.chunks_exact(16).map(|row| (u64_at(row, 0), u64_at(row, 8)));
        rows.take_while(|&(tag, _)| tag != DT_NULL)
    };
    if rows().any(|(tag, _)| [DT_REL, DT_RELA, DT_RELR, DT_JMPREL, DT_TEXTREL, DT_NEEDED].contains(&tag)) {
        return Err(ElfError::Dynamic("a vDSO has no relocations and needs no library"));
    }
    let from = |wanted: u64, what: &'static str| {
        let at = rows().find(|&(tag, _)| tag == wanted).map(|(_, at)| at);
        let rest = at.and_then(|at| image.get(usize::try_from(at).ok()?..));
        rest.ok_or(ElfError::Dynamic(what))
    };
    let hash = from(DT_HASH, "no hash table")?;
    let symbols = from(DT_SYMTAB, "no symbol table")?;
    let strings = from(DT_STRTAB, "no string table")?;

    // The second word of a DT_HASH table is the number of symbols.
    let count = usize::try_from(u32_at(hash, 4)).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for symbol in symbols.chunks_exact(SYMBOL_LEN).take(count) {
        // Section 0 means undefined.
        if u16_at(symbol, 6) == 0 {
            continue;
        }
        let name = usize::try_from(u32_at(symbol, 0)).ok().and_then(|at| strings.get(at..));
        let name = name.and_then(|rest| rest.split(|&b| b == 0).next());
        let at = u64_at(symbol, 8);
        if at >= load.p_filesz {
            return Err(ElfError::Dynamic("a symbol is not inside the image"));
        }
        found.push((name.ok_or(ElfError::Dynamic("a symbol's name is not inside the image"))?, at));
    }
    Ok(Image { span, symbols: found })
}

fn part(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
}
