//! Making and removing mappings.

use abi::{Errno, Result};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use hal::{Access, Frame, PAGE_SIZE, PageFault, PageRange, Prot, USER_END, UserAddr};

use crate::ipc::shm::Attachment;

use super::{Area, AreaFlags, Backing, MAX_AREAS, MMAP_MIN_ADDR, PageSource, Search, State, Vm};

/// Where a mapping goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Where there is room.
    Anywhere,
    /// Here if there is room, else elsewhere.
    Hint(UserAddr),
    /// Here, in place of what is mapped (`MAP_FIXED`).
    Fixed(UserAddr),
    /// Here, or not at all (`MAP_FIXED_NOREPLACE`).
    FixedNoReplace(UserAddr),
    /// In the second gigabyte (`MAP_32BIT`).
    Low,
}

/// Whether pages come in at once (`MAP_POPULATE`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Populate {
    /// When they are touched.
    No,
    /// At once, as far as there is memory.
    Yes,
}

/// What to map.
#[derive(Clone, Debug)]
pub struct MapRequest {
    /// Where.
    pub place: Place,
    /// How many bytes; rounded up to pages.
    pub len: u64,
    /// What the application may do.
    pub prot: Prot,
    /// What `mprotect` may make of it.
    pub may: Prot,
    /// Properties.
    pub flags: AreaFlags,
    /// Origin of the pages.
    pub backing: Backing,
    /// At once?
    pub populate: Populate,
    /// Most bytes that may be locked; `u64::MAX` with `CAP_IPC_LOCK`.
    pub lock_limit: u64,
    /// What counts it as a mapping of a System V segment.
    pub attachment: Option<Box<Attachment>>,
}

impl MapRequest {
    /// Private zeros.
    pub const fn anonymous(place: Place, len: u64, prot: Prot) -> Self {
        Self::new(place, len, prot, Backing::Anonymous)
    }

    /// A private copy of a file's pages from number `first` on.
    pub const fn private_file(
        place: Place,
        len: u64,
        prot: Prot,
        file: Arc<dyn PageSource>,
        first: u64,
    ) -> Self {
        Self::new(place, len, prot, Backing::Source(file, first))
    }

    /// Pages that the kernel supplies, as they are; `name` is what `/proc/PID/maps` shows.
    pub fn special(place: Place, frames: Vec<Frame>, prot: Prot, name: &'static str) -> Self {
        let len = (frames.len() * PAGE_SIZE) as u64;
        let mut request = Self::new(place, len, prot, Backing::Special(frames.into(), 0, name));
        request.flags = AreaFlags::DONTEXPAND | AreaFlags::SPECIAL | AreaFlags::SHARED;
        request.may = prot;
        request
    }

    const fn new(place: Place, len: u64, prot: Prot, backing: Backing) -> Self {
        Self {
            place,
            len,
            prot,
            may: Prot::all(),
            flags: AreaFlags::empty(),
            backing,
            populate: Populate::No,
            lock_limit: u64::MAX,
            attachment: None,
        }
    }
}

/// What [`Vm::unmap_source`] leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// What private mappings have: the file got other pages, and whether they see them is open (`mmap(2)`).
    Private,
    /// Nothing: the file was cut, and access is `SIGBUS` from now on.
    Nothing,
}

const PAGE: u64 = PAGE_SIZE as u64;
/// First address where `mmap` looks upwards when there is no room below its base (`TASK_UNMAPPED_BASE`).
const BOTTOM_UP_BASE: u64 = (USER_END / 3).next_multiple_of(PAGE);
/// Where `MAP_32BIT` looks.
const LOW_WINDOW: core::ops::Range<u64> = 0x4000_0000..0x8000_0000;

impl Vm {
    /// Maps.
    ///
    /// # Errors
    /// `EINVAL` for no length or a fixed address that is not at a page; `ENOMEM` for no room, no memory or beyond a
    /// limit; `EEXIST` for [`Place::FixedNoReplace`]; `EAGAIN` beyond the limit of locked memory.
    pub fn map(&self, request: MapRequest) -> Result<UserAddr> {
        if request.len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = UserAddr(request.len).page_up().ok_or(Errno::ENOMEM)?.0;
        let mut state = self.state.lock();
        if state.areas.count() > MAX_AREAS || len > USER_END {
            return Err(Errno::ENOMEM);
        }
        let range = state.place(request.place, len)?;
        let flags = request.flags | state.default_flags;
        let area = Area {
            start: range.start().0,
            end: range.end().0,
            prot: request.prot,
            may: request.may,
            flags,
            backing: request.backing,
            attachment: request.attachment,
        };
        if flags.contains(AreaFlags::LOCKED) && state.areas.locked.saturating_add(len) > request.lock_limit {
            return Err(Errno::EAGAIN);
        }
        let replaced = if state.areas.is_free(range) { 0 } else { state.areas.data_in(range, |_| true) };
        self.check_limits(&state, &area, replaced)?;
        let gone = self.take_out(&mut state, range)?;
        state.areas.insert(area);
        state.note_peak();
        drop(state);
        drop(gone);
        let locked = flags.contains(AreaFlags::LOCKED) && !flags.contains(AreaFlags::LOCK_ON_FAULT);
        if (request.populate == Populate::Yes || locked) && !request.prot.is_empty() {
            // LINUX: mmap(2) succeeds even if not all pages could be brought in.
            let _ = self.populate(range);
        }
        Ok(range.start())
    }

    /// Refuses a mapping beyond the limits, or of more memory than there is (`vm.overcommit_memory` 0).
    pub(super) fn check_limits(&self, state: &State, area: &Area, replaced: u64) -> Result<()> {
        let total = (state.areas.total - replaced).saturating_add(area.len_bytes());
        if total > self.limits.address_space.load(Ordering::Relaxed) {
            return Err(Errno::ENOMEM);
        }
        if area.is_data()
            && state.areas.data.saturating_add(area.len_bytes()) > self.limits.data.load(Ordering::Relaxed)
        {
            return Err(Errno::ENOMEM);
        }
        if area.is_accounted() && area.len_bytes() / PAGE > Frame::usage().total {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// Unmaps whole pages; what is not mapped is passed over.
    ///
    /// # Errors
    /// `EINVAL` for no length, an address that is not at a page, or a range that leaves user space; `ENOMEM` if
    /// cutting mappings makes too many.
    pub fn unmap(&self, at: UserAddr, len: u64) -> Result<()> {
        if !at.is_page_aligned() || len == 0 {
            return Err(Errno::EINVAL);
        }
        let range = PageRange::try_from_len(at, len).ok_or(Errno::EINVAL)?;
        let gone = self.take_out(&mut self.state.lock(), range)?;
        drop(gone);
        Ok(())
    }

    /// Unmaps; the caller drops the areas without the lock, because files may be closed with them.
    pub(super) fn take_out(&self, state: &mut State, range: PageRange) -> Result<Vec<Area>> {
        let gone = state.areas.remove(range)?;
        state.search.from = state.search.from.max(range.end().0);
        for area in &gone {
            self.forget_pages(state, area.range());
        }
        Ok(gone)
    }

    /// Takes pages out of the page tables.
    pub(super) fn forget_pages(&self, state: &mut State, range: PageRange) {
        state.note_peak();
        state.resident = state.resident.saturating_sub(self.space.unmap(range));
    }

    /// Takes pages of a file out of the page tables: they are asked for again when they are touched.
    pub fn unmap_source(&self, identity: u64, pages: core::ops::Range<u64>, keep: Keep) {
        let mut state = self.state.lock();
        let parts: Vec<PageRange> = state
            .areas
            .iter()
            .filter_map(|area| {
                let Backing::Source(source, first) = &area.backing else { return None };
                if source.identity() != identity || (keep == Keep::Private && !area.is_shared()) {
                    return None;
                }
                let start = pages.start.max(*first);
                let end = pages.end.min(first + area.len_bytes() / PAGE);
                let at = area.start + start.checked_sub(*first)? * PAGE;
                let range = PageRange::try_from_len(UserAddr(at), end.checked_sub(start)? * PAGE)?;
                (!range.is_empty()).then_some(range)
            })
            .collect();
        for range in parts {
            self.forget_pages(&mut state, range);
        }
    }

    /// Brings every page of a range in, for writing where the mapping is private and writable.
    ///
    /// # Errors
    /// `ENOMEM` for a hole or no memory, `EFAULT` where a page cannot be had.
    pub(super) fn populate(&self, range: PageRange) -> Result<()> {
        for page in range.iter() {
            let writes = {
                let state = self.state.lock();
                let area = state.areas.find(page.0).ok_or(Errno::ENOMEM)?;
                area.prot.contains(Prot::WRITE) && !area.is_shared()
            };
            let access = if writes { Access::Write } else { Access::Read };
            // One page at a time, so that other threads' faults come in between.
            let fault = PageFault { addr: page.0, access, protection: false };
            self.fault(&fault).map_err(super::fault::errno)?;
        }
        Ok(())
    }
}

impl State {
    /// Chooses a range, which may hold mappings only for [`Place::Fixed`].
    pub(super) fn place(&mut self, place: Place, len: u64) -> Result<PageRange> {
        let fixed = |at: UserAddr| {
            if len > USER_END || at.0 > USER_END - len {
                return Err(Errno::ENOMEM);
            }
            if !at.is_page_aligned() {
                return Err(Errno::EINVAL);
            }
            PageRange::try_from_len(at, len).ok_or(Errno::ENOMEM)
        };
        match place {
            Place::Fixed(at) => fixed(at),
            Place::FixedNoReplace(at) => {
                let range = fixed(at)?;
                if self.areas.is_free(range) { Ok(range) } else { Err(Errno::EEXIST) }
            }
            Place::Hint(at) if at.page().0 != 0 => {
                // LINUX: a hint is cut to a page, and raised to the lowest permitted address.
                let at = UserAddr(at.page().0.max(MMAP_MIN_ADDR));
                match PageRange::try_from_len(at, len) {
                    Some(range) if self.areas.is_free(range) && self.areas.respects_gap(range) => Ok(range),
                    _ => self.room(len),
                }
            }
            Place::Anywhere | Place::Hint(_) => self.room(len),
            Place::Low => {
                let start = self.areas.room_above(LOW_WINDOW, len).ok_or(Errno::ENOMEM)?;
                PageRange::try_from_len(UserAddr(start), len).ok_or(Errno::ENOMEM)
            }
        }
    }

    /// Finds room as high as there is. Processes with many mappings get theirs below each other, so the search goes on
    /// where the last one ended, unless there is room above that was left before.
    fn room(&mut self, len: u64) -> Result<PageRange> {
        let base = self.layout.mmap_base;
        if len <= self.search.skipped || self.search.from > base {
            self.search = Search { from: base, skipped: 0 };
        }
        let window = MMAP_MIN_ADDR..self.search.from;
        let below = self.areas.room_below(window, len, &mut self.search.skipped);
        self.search.from = below.unwrap_or(base);
        if below.is_none() {
            self.search.skipped = 0;
        }
        let start = below.or_else(|| self.areas.room_above(BOTTOM_UP_BASE..USER_END, len));
        let start = start.ok_or(Errno::ENOMEM)?;
        PageRange::try_from_len(UserAddr(start), len).ok_or(Errno::ENOMEM)
    }

    pub(super) fn note_peak(&mut self) {
        self.peak_resident = self.peak_resident.max(self.resident);
        self.peak_total = self.peak_total.max(self.areas.total);
    }
}
