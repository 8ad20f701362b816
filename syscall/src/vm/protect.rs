//! `mprotect(2)`.

use core::sync::atomic::Ordering;

use abi::{Errno, Result};
use hal::{PageRange, Prot, UserAddr};

use super::{Area, AreaFlags, Backing, State, Vm};

/// Whether a range is stretched to where a stack begins (`PROT_GROWSDOWN`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stretch {
    /// As given.
    No,
    /// Down to the start of the mapping, which grows down.
    Down,
}

impl Vm {
    /// Changes what the application may do.
    ///
    /// # Errors
    /// `EINVAL` for an address that is not at a page; `ENOMEM` for a hole (what is below it has changed then), too
    /// many mappings, or beyond a limit; `EACCES` for more than the mapping may ever permit.
    pub fn protect(&self, at: UserAddr, len: u64, prot: Prot, stretch: Stretch) -> Result<()> {
        if !at.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        let range = PageRange::try_from_len(at, len).ok_or(Errno::ENOMEM)?;
        let mut state = self.state.lock();
        let first = state.areas.find_from(at.0).ok_or(Errno::ENOMEM)?;
        let mut start = at.0;
        match stretch {
            Stretch::Down => {
                if first.start >= range.end().0 {
                    return Err(Errno::ENOMEM);
                }
                if !first.flags.contains(AreaFlags::GROWSDOWN) {
                    return Err(Errno::EINVAL);
                }
                start = first.start;
            }
            Stretch::No if first.start > at.0 => return Err(Errno::ENOMEM),
            Stretch::No => {}
        }
        while start < range.end().0 {
            let area = state.areas.find(start).ok_or(Errno::ENOMEM)?;
            let end = area.end.min(range.end().0);
            self.protect_part(&mut state, start, end, prot)?;
            start = end;
        }
        Ok(())
    }

    /// Changes a part of one area.
    fn protect_part(&self, state: &mut State, start: u64, end: u64, prot: Prot) -> Result<()> {
        let area = state.areas.find(start).ok_or(Errno::ENOMEM)?;
        if area.prot == prot {
            return Ok(());
        }
        if !area.may.contains(prot) {
            return Err(Errno::EACCES);
        }
        let part = Area { start, end, ..area.clone() };
        let new = Area { prot, ..part.clone() };
        if new.is_data()
            && !part.is_data()
            && state.areas.data.saturating_add(new.len_bytes()) > self.limits.data.load(Ordering::Relaxed)
        {
            return Err(Errno::ENOMEM);
        }
        if new.is_accounted()
            && !part.is_accounted()
            && new.len_bytes() / hal::PAGE_SIZE as u64 > hal::Frame::usage().total
        {
            return Err(Errno::ENOMEM);
        }
        state.areas.change(new.range(), |area| area.prot = prot)?;
        // Pages that may be shared, or whose first write has to be noted, become writable one by one.
        let notes = match &new.backing {
            Backing::Source(source, _) => source.notes_writes(),
            Backing::Anonymous | Backing::Special(..) => false,
        };
        self.space.protect(new.range(), new.page_prot(), !new.is_shared() || notes);
        Ok(())
    }
}
