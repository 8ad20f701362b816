//! What `/proc` tells of an address space.

use alloc::vec::Vec;

use hal::{PAGE_SIZE, PageRange, Prot, UserAddr};

use super::{Area, AreaFlags, Backing, SourceName, Vm};

/// Sizes in bytes (`/proc/PID/status`, `/proc/PID/statm`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VmStatistics {
    /// `VmSize`.
    pub size: u64,
    /// `VmPeak`.
    pub peak_size: u64,
    /// `VmRSS`.
    pub resident: u64,
    /// `VmHWM`.
    pub peak_resident: u64,
    /// `RssAnon`: what no file holds.
    pub resident_anonymous: u64,
    /// `RssFile`.
    pub resident_file: u64,
    /// `RssShmem`.
    pub resident_shared: u64,
    /// `VmLck`.
    pub locked: u64,
    /// `VmData`.
    pub data: u64,
    /// `VmStk`.
    pub stack: u64,
    /// `VmExe`.
    pub code: u64,
    /// `VmLib`.
    pub libraries: u64,
    /// `VmPTE`, estimated from what is resident.
    pub page_tables: u64,
    /// What was promised (`Committed_AS`).
    pub committed: u64,
}

/// A line of `/proc/PID/maps`.
#[derive(Clone, Debug)]
pub struct MapLine {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// What the application may do.
    pub prot: Prot,
    /// What it might do (`mr mw me` in `smaps`).
    pub may: Prot,
    /// Properties.
    pub flags: AreaFlags,
    /// Offset in the file in bytes.
    pub offset: u64,
    /// The file, or a name in brackets.
    pub name: SourceName,
}

/// What is in memory of one mapping, in bytes (`/proc/PID/smaps`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// `Rss`.
    pub resident: u64,
    /// `Pss`: shared pages count by their part.
    pub proportional: u64,
    /// `Shared_Clean`.
    pub shared_clean: u64,
    /// `Shared_Dirty`.
    pub shared_dirty: u64,
    /// `Private_Clean`.
    pub private_clean: u64,
    /// `Private_Dirty`.
    pub private_dirty: u64,
    /// `Referenced`.
    pub referenced: u64,
    /// `Anonymous`.
    pub anonymous: u64,
}

const PAGE: u64 = PAGE_SIZE as u64;
/// Bytes that a last-level page table maps.
const TABLE_SPAN: u64 = 512 * PAGE;

impl Vm {
    /// Returns the lines of `/proc/PID/maps`.
    pub fn maps(&self) -> Vec<MapLine> {
        let state = self.state.lock();
        let layout = state.layout;
        let line = |area: &Area| {
            let mut offset = 0;
            let mut name = SourceName::default();
            let special = matches!(area.backing, Backing::Special(..));
            match &area.backing {
                Backing::Source(source, first) => {
                    name = source.name();
                    offset = first * PAGE;
                }
                Backing::Special(_, _, special) => name.path = special.as_bytes().to_vec(),
                Backing::Anonymous if area.start < layout.brk && area.end > layout.start_brk => {
                    name.path = b"[heap]".to_vec();
                }
                Backing::Anonymous if area.start <= layout.start_stack && layout.start_stack <= area.end => {
                    name.path = b"[stack]".to_vec();
                }
                Backing::Anonymous => {}
            }
            let &Area { start, end, prot, may, mut flags, .. } = area;
            // LINUX: what the kernel supplies counts as private, though nobody copies it.
            flags.set(AreaFlags::SHARED, flags.contains(AreaFlags::SHARED) && !special);
            MapLine { start, end, prot, may, flags, offset, name }
        };
        state.areas.iter().map(line).collect()
    }

    /// Returns what is in memory of the mapping that starts at an address (`/proc/PID/smaps`).
    pub fn usage(&self, start: u64) -> Usage {
        let state = self.state.lock();
        let mut usage = Usage::default();
        let Some(area) = state.areas.find(start) else { return usage };
        let mut at = area.start;
        while at < area.end {
            // Reserved gigabytes are passed over a table at a time.
            let end = ((at / TABLE_SPAN + 1) * TABLE_SPAN).min(area.end);
            if let Some(part) = PageRange::try_new(UserAddr(at), UserAddr(end))
                && self.space.resident(part) > 0
            {
                part.iter().for_each(|page| self.add_usage(area, page, &mut usage));
            }
            at = end;
        }
        usage
    }

    fn add_usage(&self, area: &Area, page: UserAddr, usage: &mut Usage) {
        let Some(mapped) = self.space.lookup(page) else { return };
        if mapped.frame == self.zero {
            return;
        }
        let references = match mapped.frame.references() {
            // Pages of the image are not counted: taken as mapped once, as they are by a single process.
            uncounted if uncounted >= u32::MAX >> 1 => 3,
            counted => counted,
        };
        // One reference is `mapped`'s own.
        let sharers = u64::from(references.saturating_sub(1)).max(1);
        let file = match &area.backing {
            Backing::Source(source, _) => {
                source.resident(area.page_index(page.0)).is_some_and(|f| f == mapped.frame)
            }
            Backing::Anonymous => false,
            Backing::Special(..) => true,
        };
        usage.resident += PAGE;
        usage.referenced += if mapped.accessed { PAGE } else { 0 };
        usage.anonymous += if file { 0 } else { PAGE };
        // The page cache's reference is no other mapping.
        let sharers = if file { sharers.saturating_sub(1).max(1) } else { sharers };
        usage.proportional += PAGE / sharers;
        let place = match (sharers > 1, mapped.dirty || !file) {
            (true, false) => &mut usage.shared_clean,
            (true, true) => &mut usage.shared_dirty,
            (false, false) => &mut usage.private_clean,
            (false, true) => &mut usage.private_dirty,
        };
        *place += PAGE;
    }

    /// Returns the sizes.
    pub fn statistics(&self) -> VmStatistics {
        let mut state = self.state.lock();
        state.note_peak();
        let layout = state.layout;
        let page_round = |bytes: u64| bytes.div_ceil(PAGE) * PAGE;
        let code = page_round(layout.end_code) - layout.start_code / PAGE * PAGE;
        let executable = state.areas.sum(|a| {
            a.prot.contains(Prot::EXEC)
                && !a.prot.contains(Prot::WRITE)
                && !a.flags.contains(AreaFlags::GROWSDOWN)
        });
        let (mut file, mut shared) = (0, 0);
        for area in state.areas.iter() {
            if let Backing::Source(source, _) = &area.backing {
                let pages = self.space.resident(area.range()) * PAGE;
                *(if source.name().device == 0 { &mut shared } else { &mut file }) += pages;
            }
        }
        let resident = state.resident * PAGE;
        VmStatistics {
            size: state.areas.total,
            peak_size: state.peak_total,
            resident,
            peak_resident: state.peak_resident * PAGE,
            resident_anonymous: resident.saturating_sub(file + shared),
            resident_file: file,
            resident_shared: shared,
            locked: state.areas.locked,
            data: state.areas.data,
            stack: state.areas.sum(|a| a.flags.contains(AreaFlags::GROWSDOWN)),
            code,
            libraries: executable.saturating_sub(code),
            page_tables: (state.resident / 512 + state.areas.count() as u64 / 8 + 4) * PAGE,
            committed: state.areas.sum(Area::is_accounted),
        }
    }

    /// Returns the most memory that was in use at once, in bytes (`ru_maxrss`).
    pub fn peak_resident(&self) -> u64 {
        let mut state = self.state.lock();
        state.note_peak();
        state.peak_resident * PAGE
    }
}
