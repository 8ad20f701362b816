//! Page faults: the hot path of memory.

use core::sync::atomic::Ordering;

use abi::Errno;
use alloc::sync::Arc;
use hal::{Access, Frame, Mapped, OutOfMemory, PAGE_SIZE, PageFault, PageRange, Prot, UserAddr};

use super::areas::GUARD_GAP;
use super::{Area, AreaFlags, Backing, FaultKind, PageSource, State, Vm};

const PAGE: u64 = PAGE_SIZE as u64;
/// Bytes of a large page.
const LARGE: u64 = 512 * PAGE;
/// Pages around a file page that are mapped with it if they are in memory; a power of two.
const AROUND: u64 = 16;
/// The same, as a length.
const AROUND_LEN: usize = 16;

impl Vm {
    /// Brings the page in.
    ///
    /// # Errors
    /// Why there is none.
    pub fn fault(&self, fault: &PageFault) -> Result<(), FaultKind> {
        self.touch(fault.addr, fault.access, |state| {
            let area = match state.areas.find(fault.addr) {
                Some(area) => area,
                None => {
                    self.grow_down(state, fault.addr)?;
                    state.areas.find(fault.addr).ok_or(FaultKind::NotMapped)?
                }
            };
            let permitted = match fault.access {
                // LINUX: the processor cannot deny reads of what may be written or executed.
                Access::Read => area.is_accessible(),
                Access::Write => area.prot.contains(Prot::WRITE),
                Access::Execute => area.prot.contains(Prot::EXEC),
            };
            if permitted { Ok(()) } else { Err(FaultKind::NotPermitted) }
        })
    }

    /// Makes a page present for an access that `check` permits.
    #[inline]
    pub(super) fn touch(
        &self,
        at: u64,
        access: Access,
        mut check: impl FnMut(&mut State) -> Result<(), FaultKind>,
    ) -> Result<(), FaultKind> {
        let mut prepared = None;
        loop {
            let mut state = self.state.lock();
            check(&mut state)?;
            let (source, index) = match self.bring_in(&mut state, at, access, prepared.take()) {
                Ok(()) => return Ok(()),
                Err(Obstacle::Final(kind)) => return Err(kind),
                Err(Obstacle::Source(source, index)) => (source, index),
            };
            // A file that gets its first write may take pages out of all mappings, this space's too.
            drop(state);
            prepared = Some(source.page_for_write(index).map_err(no_page)?);
        }
    }

    /// Makes a page present. A write to a private mapping makes the page the process's own, whatever the mapping
    /// permits the application. A write to a shared one needs the page that the file has `prepared`.
    pub(super) fn bring_in(
        &self,
        state: &mut State,
        at: u64,
        access: Access,
        prepared: Option<Frame>,
    ) -> Result<(), Obstacle> {
        let State { areas, resident, .. } = state;
        let area = areas.find(at).ok_or(Obstacle::Final(FaultKind::NotMapped))?;
        let page = UserAddr(at).page();
        if let Some(mapped) = self.space.lookup(page) {
            return self.upgrade(area, page, &mapped, access, prepared);
        }
        *resident += match &area.backing {
            Backing::Anonymous => self.fault_anonymous(area, page, access)?,
            Backing::Source(source, _) if area.is_shared() => {
                self.fault_shared(area, page, source, access, prepared)?
            }
            Backing::Source(source, _) => self.fault_private(area, page, source, access)?,
            Backing::Special(frames, ..) => {
                let index = usize::try_from(area.page_index(page.0)).unwrap_or(usize::MAX);
                let frame = frames.get(index).ok_or(Obstacle::Final(FaultKind::NoPage))?;
                self.install(page, frame.clone(), area.page_prot())?
            }
        };
        Ok(())
    }

    fn install(&self, page: UserAddr, frame: Frame, prot: Prot) -> Result<u64, FaultKind> {
        self.space.map(page, frame, prot).map_err(out_of_memory)?;
        Ok(1)
    }

    fn fault_anonymous(&self, area: &Area, page: UserAddr, access: Access) -> Result<u64, FaultKind> {
        if access != Access::Write {
            return self.install(page, self.zero.clone(), area.shared_prot());
        }
        if page.0.is_multiple_of(LARGE)
            && self.wants_large(area, page)
            && let Ok(frames) = Frame::zeroed_large()
        {
            self.space.map_large(page, frames, area.page_prot()).map_err(out_of_memory)?;
            return Ok(LARGE / PAGE);
        }
        self.install(page, Frame::zeroed().map_err(out_of_memory)?, area.page_prot())
    }

    /// Says whether a large page is worth its memory: asked for, or the memory below is in use up to here, so that
    /// the application goes through it in order; and only while a quarter of all memory is free.
    #[cold]
    fn wants_large(&self, area: &Area, page: UserAddr) -> bool {
        if area.end - page.0 < LARGE || area.flags.contains(AreaFlags::NO_HUGE) || !self.uses_large_pages() {
            return false;
        }
        let asked = area.flags.contains(AreaFlags::HUGE);
        let in_order = page.0 > area.start && self.space.lookup(UserAddr(page.0 - PAGE)).is_some();
        let usage = Frame::usage();
        let Some(range) = PageRange::try_from_len(page, LARGE) else { return false };
        (asked || in_order) && usage.free > usage.total / 4 && self.space.resident(range) == 0
    }

    fn fault_shared(
        &self,
        area: &Area,
        page: UserAddr,
        source: &Arc<dyn PageSource>,
        access: Access,
        prepared: Option<Frame>,
    ) -> Result<u64, Obstacle> {
        let index = area.page_index(page.0);
        if access == Access::Write && source.notes_writes() {
            let frame = current(source, index, prepared)?;
            return Ok(self.install(page, frame, area.page_prot())?);
        }
        let notes = source.notes_writes();
        // Who is the first to touch a page is likely to be so for its neighbours: they are not there to be mapped.
        if !notes && source.resident(index).is_none() {
            let frame = source.page(index).map_err(no_page)?;
            return Ok(self.install(page, frame, area.page_prot())?);
        }
        let frame = source.page(index).map_err(no_page)?;
        let prot = if notes { area.shared_prot() } else { area.page_prot() };
        Ok(self.install(page, frame, prot)? + self.fault_around(area, page, source.as_ref(), prot))
    }

    fn fault_private(
        &self,
        area: &Area,
        page: UserAddr,
        source: &Arc<dyn PageSource>,
        access: Access,
    ) -> Result<u64, FaultKind> {
        let frame = source.page(area.page_index(page.0)).map_err(no_page)?;
        if access == Access::Write {
            let copy = Frame::copy_of(&frame).map_err(out_of_memory)?;
            return self.install(page, copy, area.page_prot());
        }
        let prot = area.shared_prot();
        Ok(self.install(page, frame, prot)? + self.fault_around(area, page, source.as_ref(), prot))
    }

    /// Maps the neighbours that are in memory, so that going through a file costs one fault in sixteen pages.
    fn fault_around(&self, area: &Area, page: UserAddr, source: &dyn PageSource, prot: Prot) -> u64 {
        if area.flags.contains(AreaFlags::RANDOM) {
            return 0;
        }
        let window = page.0 & !(AROUND * PAGE - 1);
        let start = window.max(area.start);
        let end = (window + AROUND * PAGE).min(area.end);
        let mut frames = [const { None }; AROUND_LEN];
        let place = |at: u64| usize::try_from((at - start) / PAGE).unwrap_or(AROUND_LEN);
        let count = place(end);
        source.resident_from(area.page_index(start), &mut frames[..count]);
        frames[place(page.0)] = None;
        self.space.map_absent(UserAddr(start), &mut frames[..count], prot)
    }

    /// Lets a page that is mapped permit more.
    fn upgrade(
        &self,
        area: &Area,
        page: UserAddr,
        mapped: &Mapped,
        access: Access,
        prepared: Option<Frame>,
    ) -> Result<(), Obstacle> {
        let needed = match access {
            Access::Read => Prot::READ,
            Access::Write => Prot::WRITE,
            Access::Execute => Prot::EXEC,
        };
        if mapped.prot.contains(needed) {
            // Another thread was faster.
            return Ok(());
        }
        let range = PageRange::try_from_len(page, PAGE).ok_or(Obstacle::Final(FaultKind::NotMapped))?;
        if access != Access::Write {
            self.space.protect(range, area.page_prot(), true);
            return Ok(());
        }
        let frame = match &area.backing {
            Backing::Source(source, _) if area.is_shared() && source.notes_writes() => {
                let frame = current(source, area.page_index(page.0), prepared)?;
                (frame != mapped.frame).then_some(frame)
            }
            Backing::Source(..) if area.is_shared() => None,
            Backing::Special(..) if area.is_shared() => None,
            _ if mapped.frame == self.zero => Some(Frame::zeroed().map_err(out_of_memory)?),
            backing => {
                // One reference is the page table's, one is `mapped`: then nobody else has the page. A file's own
                // page is never the process's, even if the cache has let go of it in the meantime.
                let is_files = match backing {
                    Backing::Source(source, _) => {
                        source.resident(area.page_index(page.0)).is_some_and(|f| f == mapped.frame)
                    }
                    _ => false,
                };
                let exclusive = mapped.frame.references() == 2 && !is_files;
                if exclusive { None } else { Some(Frame::copy_of(&mapped.frame).map_err(out_of_memory)?) }
            }
        };
        match frame {
            Some(frame) => {
                self.install(page, frame, area.page_prot())?;
                Ok(())
            }
            None => {
                self.space.protect(range, area.page_prot(), false);
                Ok(())
            }
        }
    }

    /// Extends a mapping that grows down, if the address is below one and there is room.
    fn grow_down(&self, state: &mut State, at: u64) -> Result<(), FaultKind> {
        let page = UserAddr(at).page().0;
        let above = state.areas.find_from(at).ok_or(FaultKind::NotMapped)?;
        if !above.flags.contains(AreaFlags::GROWSDOWN) {
            return Err(FaultKind::NotMapped);
        }
        let (start, end, flags) = (above.start, above.end, above.flags);
        if end - page > self.limits.stack.load(Ordering::Relaxed) || page < super::MMAP_MIN_ADDR {
            return Err(FaultKind::NotMapped);
        }
        if let Some(below) = state.areas.find_below(start)
            && below.is_accessible()
            && !below.flags.contains(AreaFlags::GROWSDOWN)
            && page - below.end < GUARD_GAP
        {
            return Err(FaultKind::NotMapped);
        }
        let more = start - page;
        if state.areas.total + more > self.limits.address_space.load(Ordering::Relaxed) {
            return Err(FaultKind::NotMapped);
        }
        state.areas.extend_down(start, page);
        state.note_peak();
        if flags.contains(AreaFlags::LOCKED) {
            for other in (page..start).step_by(PAGE_SIZE) {
                // What cannot be had now comes in, or faults, when it is touched.
                let _ = self.bring_in(state, other, Access::Write, None);
            }
        }
        Ok(())
    }
}

/// Why a page could not be made present.
pub(super) enum Obstacle {
    /// It cannot.
    Final(FaultKind),
    /// The file has to prepare this page first ([`PageSource::page_for_write`]), without the address space's lock.
    Source(Arc<dyn PageSource>, u64),
}

impl From<FaultKind> for Obstacle {
    fn from(kind: FaultKind) -> Self {
        Self::Final(kind)
    }
}

/// Takes the page that was prepared, unless the file has got another since.
fn current(source: &Arc<dyn PageSource>, index: u64, prepared: Option<Frame>) -> Result<Frame, Obstacle> {
    prepared
        .filter(|frame| source.resident(index).is_some_and(|now| now == *frame))
        .ok_or_else(|| Obstacle::Source(Arc::clone(source), index))
}

const fn out_of_memory(_: OutOfMemory) -> FaultKind {
    FaultKind::OutOfMemory
}

fn no_page(errno: Errno) -> FaultKind {
    if errno == Errno::ENOMEM { FaultKind::OutOfMemory } else { FaultKind::NoPage }
}

/// What a call that brings pages in answers.
pub(super) const fn errno(kind: FaultKind) -> Errno {
    match kind {
        FaultKind::NoPage => Errno::EFAULT,
        FaultKind::NotMapped | FaultKind::NotPermitted | FaultKind::OutOfMemory => Errno::ENOMEM,
    }
}
