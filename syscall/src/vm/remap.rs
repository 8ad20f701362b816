//! `mremap(2)`.

use core::sync::atomic::Ordering;

use abi::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::{PageRange, USER_END, UserAddr};

use super::{Area, AreaFlags, Backing, MAX_AREAS, MapRequest, Place, Populate, State, Vm, no_memory};

/// Where a mapping may move to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RemapPlace {
    /// Nowhere: it grows where it is, or not at all.
    Stay,
    /// Anywhere, if it cannot grow where it is (`MREMAP_MAYMOVE`).
    MayMove,
    /// Here, in place of what is mapped (`MREMAP_FIXED`).
    To(UserAddr),
    /// Anywhere, leaving an empty mapping behind (`MREMAP_DONTUNMAP`).
    Leave,
    /// Here, leaving an empty mapping behind (`MREMAP_FIXED | MREMAP_DONTUNMAP`).
    LeaveTo(UserAddr),
}

/// What to move or resize.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemapRequest {
    /// The first page.
    pub at: UserAddr,
    /// How many bytes; 0 makes a second mapping of a shared one.
    pub old_len: u64,
    /// How many bytes it shall have.
    pub new_len: u64,
    /// Where to.
    pub place: RemapPlace,
    /// Most bytes that may be locked; `u64::MAX` with `CAP_IPC_LOCK`.
    pub lock_limit: u64,
}

impl Vm {
    /// Moves or resizes a mapping; returns where it is now.
    ///
    /// # Errors
    /// `EINVAL`, `EFAULT`, `ENOMEM`, `EAGAIN` as `mremap(2)` says.
    pub fn remap(&self, request: RemapRequest) -> Result<UserAddr> {
        let at = request.at;
        if !at.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        // LINUX: lengths that wrap when rounded up become 0.
        let old_len = UserAddr(request.old_len).page_up().map_or(0, |a| a.0);
        let new_len = UserAddr(request.new_len).page_up().map_or(0, |a| a.0);
        if new_len == 0 {
            return Err(Errno::EINVAL);
        }
        let mut dropped = Vec::new();
        let mut state = self.state.lock();
        if state.areas.find(at.0).is_none() {
            return Err(Errno::EFAULT);
        }
        let request = RemapRequest { old_len, new_len, ..request };
        let result = match request.place {
            RemapPlace::To(to) | RemapPlace::LeaveTo(to) => {
                self.remap_to(&mut state, request, Some(to), &mut dropped)
            }
            RemapPlace::Leave => self.remap_to(&mut state, request, None, &mut dropped),
            RemapPlace::Stay | RemapPlace::MayMove => self.resize(&mut state, request, &mut dropped),
        };
        let new = result.as_ref().ok().and_then(|&to| state.areas.find(to.0)).map(|area| area.flags);
        drop(state);
        drop(dropped);
        let to = result?;
        if new.is_some_and(|f| f.contains(AreaFlags::LOCKED) && !f.contains(AreaFlags::LOCK_ON_FAULT))
            && new_len > old_len
            && let Some(grown) = PageRange::try_from_len(to.offset(old_len), new_len - old_len)
        {
            let _ = self.populate(grown);
        }
        Ok(to)
    }

    /// Maps other pages of a shared mapping's file in a part of it (`remap_file_pages(2)`).
    ///
    /// # Errors
    /// `EINVAL` where no one shared mapping is.
    pub fn remap_pages(&self, at: UserAddr, len: u64, page: u64, populate: Populate) -> Result<()> {
        let request = {
            let state = self.state.lock();
            let area = state.areas.find(at.0).filter(|a| a.is_shared()).ok_or(Errno::EINVAL)?;
            let Backing::Source(source, _) = &area.backing else { return Err(Errno::EINVAL) };
            if len > area.end - at.0 {
                return Err(Errno::EINVAL);
            }
            let mut request =
                MapRequest::private_file(Place::Fixed(at), len, area.prot, Arc::clone(source), page);
            (request.flags, request.may, request.populate) = (area.flags, area.may, populate);
            request.attachment.clone_from(&area.attachment);
            request
        };
        self.map(request).map(|_| ())
    }

    fn remap_to(
        &self,
        state: &mut State,
        request: RemapRequest,
        to: Option<UserAddr>,
        dropped: &mut Vec<Area>,
    ) -> Result<UserAddr> {
        let RemapRequest { at, mut old_len, new_len, .. } = request;
        if let Some(to) = to {
            if !to.is_page_aligned() || new_len > USER_END || to.0 > USER_END - new_len {
                return Err(Errno::EINVAL);
            }
            if at.0.saturating_add(old_len) > to.0 && to.0 + new_len > at.0 {
                return Err(Errno::EINVAL);
            }
        }
        if state.areas.count() + 2 >= MAX_AREAS - 3 {
            return Err(Errno::ENOMEM);
        }
        if let Some(to) = to {
            let range = PageRange::try_from_len(to, new_len).ok_or(Errno::EINVAL)?;
            dropped.append(&mut self.take_out(state, range)?);
        }
        if old_len > new_len {
            let tail = PageRange::try_from_len(at.offset(new_len), old_len - new_len).ok_or(Errno::EINVAL)?;
            dropped.append(&mut self.take_out(state, tail)?);
            old_len = new_len;
        }
        let request = RemapRequest { old_len, ..request };
        self.check_resize(state, request)?;
        let range = match to {
            Some(to) => PageRange::try_from_len(to, new_len).ok_or(Errno::EINVAL)?,
            None => state.place(Place::Anywhere, new_len)?,
        };
        self.move_area(state, request, range, dropped)
    }

    fn resize(&self, state: &mut State, request: RemapRequest, dropped: &mut Vec<Area>) -> Result<UserAddr> {
        let RemapRequest { at, old_len, new_len, .. } = request;
        if old_len >= new_len {
            if old_len > new_len {
                let tail =
                    PageRange::try_from_len(at.offset(new_len), old_len - new_len).ok_or(Errno::EINVAL)?;
                dropped.append(&mut self.take_out(state, tail)?);
            }
            return Ok(at);
        }
        self.check_resize(state, request)?;
        let area = state.areas.find(at.0).ok_or(Errno::EFAULT)?;
        if old_len == area.end - at.0
            && let Some(grown) = PageRange::try_from_len(UserAddr(area.end), new_len - old_len)
            && state.areas.is_free(grown)
            && state.areas.respects_gap(grown)
        {
            let backing = area.backing.advanced(area.len_bytes() / hal::PAGE_SIZE as u64);
            let more = Area { start: grown.start().0, end: grown.end().0, backing, ..area.clone() };
            state.areas.insert(more);
            state.note_peak();
            return Ok(at);
        }
        if request.place != RemapPlace::MayMove {
            return Err(Errno::ENOMEM);
        }
        let range = state.place(Place::Anywhere, new_len)?;
        self.move_area(state, request, range, dropped)
    }

    /// Linux's `vma_to_resize`: may this part of this mapping have another size or place?
    fn check_resize(&self, state: &State, request: RemapRequest) -> Result<()> {
        let RemapRequest { at, old_len, new_len, place, lock_limit } = request;
        let area = state.areas.find(at.0).ok_or(Errno::EFAULT)?;
        let leaves = matches!(place, RemapPlace::Leave | RemapPlace::LeaveTo(_));
        if old_len == 0 && !area.is_shared() {
            return Err(Errno::EINVAL);
        }
        if leaves && area.flags.contains(AreaFlags::DONTEXPAND) {
            return Err(Errno::EINVAL);
        }
        if old_len > area.end - at.0 {
            return Err(Errno::EFAULT);
        }
        if leaves && state.areas.total + new_len > self.limits.address_space.load(Ordering::Relaxed) {
            return Err(Errno::ENOMEM);
        }
        if old_len == new_len {
            return Ok(());
        }
        if let Backing::Source(..) = &area.backing
            && area.page_index(at.0).checked_add(new_len / hal::PAGE_SIZE as u64).is_none()
        {
            return Err(Errno::EINVAL);
        }
        if area.flags.contains(AreaFlags::DONTEXPAND) {
            return Err(Errno::EFAULT);
        }
        let more = new_len - old_len;
        if area.flags.contains(AreaFlags::LOCKED) && state.areas.locked + more > lock_limit {
            return Err(Errno::EAGAIN);
        }
        let grown = Area { start: 0, end: more, ..area.clone() };
        self.check_limits(state, &grown, 0)
    }

    /// Moves a part of one area, with its pages, to where nothing is mapped.
    fn move_area(
        &self,
        state: &mut State,
        request: RemapRequest,
        to: PageRange,
        dropped: &mut Vec<Area>,
    ) -> Result<UserAddr> {
        let RemapRequest { at, old_len, place, .. } = request;
        if state.areas.count() + 3 >= MAX_AREAS {
            return Err(Errno::ENOMEM);
        }
        let area = state.areas.find(at.0).ok_or(Errno::EFAULT)?;
        let backing = area.backing.advanced((at.0 - area.start) / hal::PAGE_SIZE as u64);
        let new = Area { start: to.start().0, end: to.end().0, backing, ..area.clone() };
        if old_len > 0 {
            let from = PageRange::try_from_len(at, old_len).ok_or(Errno::EFAULT)?;
            self.space.relocate(from, to.start()).map_err(no_memory)?;
            if matches!(place, RemapPlace::Leave | RemapPlace::LeaveTo(_)) {
                state.areas.change(from, |old| {
                    old.flags -= AreaFlags::LOCKED | AreaFlags::LOCK_ON_FAULT;
                })?;
            } else {
                dropped.append(&mut state.areas.remove(from)?);
                state.search.from = state.search.from.max(from.end().0);
            }
        }
        state.areas.insert(new);
        state.note_peak();
        Ok(to.start())
    }
}
