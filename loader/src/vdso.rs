//! Checks the vDSO's image before the kernel offers it to programs, finds its functions, and writes the page from which
//! they read the time.

use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Relaxed, Release};
use core::sync::atomic::fence;

use abi::vdso::{CLOCKS, SHIFT, VdsoData};

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

/// What the data page is to say; [`VdsoData`] describes the fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Times {
    /// `MODE_*`.
    pub mode: u32,
    /// `FLAG_*`.
    pub flags: u32,
    /// Value of the time-stamp counter at which the bases hold.
    pub tsc_base: u64,
    /// [`rate`] of the counter, as `adjtimex` has slewed it.
    pub mult: u64,
    /// [`rate`] of the counter.
    pub raw_mult: u64,
    /// Resolution of the coarse clocks in nanoseconds: 4,000,000 on Debian's Linux.
    pub coarse_ns: u32,
    /// Time zone for `gettimeofday`: minutes west of Greenwich, and kind of summer time.
    pub zone: (i32, i32),
    /// Nanoseconds of each clock, by its number.
    pub base_ns: [u64; CLOCKS],
}

/// Returns nanoseconds for a tick, times 2^[`SHIFT`], of a counter with this many ticks a second.
///
/// Rounded down, so that clocks never run ahead: less than one in 10^9 is lost at 4 GHz. 0 for a counter that stands.
pub fn rate(ticks_per_second: u64) -> u64 {
    let wanted = u128::from(1_000_000_000_u64) << SHIFT;
    wanted.checked_div(ticks_per_second.into()).and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0)
}

/// Writes the data page, so that readers see all of it or nothing.
///
/// LOCK: one writer at a time; the caller holds the lock of its clocks, with interrupts off (a reader in user code on
/// this processor would wait for a writer that cannot go on).
pub fn publish(data: &VdsoData, times: &Times) {
    let seq = data.seq.load(Relaxed) & !1;
    data.seq.store(seq | 1, Relaxed);
    fence(Release);
    data.mode.store(times.mode, Relaxed);
    data.flags.store(times.flags, Relaxed);
    data.tsc_base.store(times.tsc_base, Relaxed);
    data.mult.store(times.mult, Relaxed);
    data.raw_mult.store(times.raw_mult, Relaxed);
    data.coarse_ns.store(times.coarse_ns, Relaxed);
    data.minutes_west.store(times.zone.0, Relaxed);
    data.dst_time.store(times.zone.1, Relaxed);
    for (to, ns) in data.base_ns.iter().zip(times.base_ns) {
        to.store(ns, Relaxed);
    }
    data.seq.store(seq.wrapping_add(2), Release);
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::sync::atomic::Ordering::Acquire;

    #[test]
    fn rates_are_exact_to_a_billionth_and_never_fast() {
        assert_eq!(rate(1_000_000_000), 1 << 32);
        for hz in [1_000_000, 2_399_998_765, 4_000_000_000] {
            let second = (u128::from(hz) * u128::from(rate(hz))) >> SHIFT;
            assert!((999_999_998..=1_000_000_000).contains(&second), "{hz}: {second}");
        }
        assert_eq!((rate(0), rate(u64::MAX)), (0, 0));
    }

    #[test]
    fn a_reader_never_sees_half_of_a_write() {
        const ROUNDS: u64 = 20_000;
        let data = VdsoData::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..=ROUNDS {
                    publish(&data, &Times { tsc_base: n, base_ns: [n; CLOCKS], ..Times::default() });
                }
            });
            let mut last = 0;
            while last < ROUNDS {
                let seq = data.seq.load(Acquire);
                let seen =
                    [&data.tsc_base, &data.base_ns[0], &data.base_ns[11]].map(|field| field.load(Relaxed));
                fence(Acquire);
                if seq & 1 == 0 && data.seq.load(Relaxed) == seq {
                    assert!(seen == [seen[0]; 3] && seen[0] >= last, "{seen:?} after {last}");
                    last = seen[0];
                }
            }
        });
        assert_eq!(u64::from(data.seq.load(Relaxed)), 2 * ROUNDS);
    }
}
