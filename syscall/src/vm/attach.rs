//! Taking System V segments out of an address space (`shmdt(2)`).

use abi::{Errno, Result};
use alloc::vec::Vec;
use hal::{PAGE_SIZE, UserAddr};

use super::{Area, Backing, Vm};

impl Vm {
    /// Unmaps what is left of the attachment that began at an address.
    ///
    /// # Errors
    /// `EINVAL` if none began there.
    pub fn detach(&self, at: UserAddr) -> Result<()> {
        if !at.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        // LINUX: the attachment's beginning may have been unmapped; its first remaining part says where it began.
        let mut from = at.0;
        let (number, end) = loop {
            let area = state.areas.find_from(from).ok_or(Errno::EINVAL)?;
            if let Some(attachment) = &area.attachment
                && began_at(area, at)
            {
                break (attachment.number(), at.0.saturating_add(attachment.segment().size()));
            }
            from = area.end;
        };
        let end = UserAddr(end).page_up().map_or(u64::MAX, |end| end.0);
        let mut gone = Vec::new();
        // LINUX: the first part goes whatever its length, which mremap(2) may have made more than the segment's.
        while let Some(area) = state.areas.find_from(from).filter(|a| a.end <= end || gone.is_empty()) {
            let range = area.range();
            from = range.end().0;
            let same = area.attachment.as_ref().is_some_and(|a| a.number() == number);
            if same && began_at(area, at) {
                gone.append(&mut self.take_out(&mut state, range)?);
            }
        }
        drop(state);
        drop(gone);
        Ok(())
    }
}

/// Says whether the part of a segment that is mapped here would lie here if the whole was mapped at an address.
fn began_at(area: &Area, at: UserAddr) -> bool {
    matches!(area.backing, Backing::Source(_, first) if at.0.checked_add(first * PAGE_SIZE as u64) == Some(area.start))
}
