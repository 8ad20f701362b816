//! `brk(2)`: the heap.

use core::sync::atomic::Ordering;

use hal::{PageRange, Prot, UserAddr};

use super::{Area, Backing, State, Vm};

impl Vm {
    /// Moves the heap's end; returns where it is now, which is the old place where it cannot be moved.
    ///
    /// `lock_limit` is the most bytes that may be locked, `u64::MAX` with `CAP_IPC_LOCK`.
    pub fn brk(&self, end: UserAddr, lock_limit: u64) -> UserAddr {
        let mut state = self.state.lock();
        let moved = self.move_brk(&mut state, end, lock_limit);
        if moved.is_some() {
            state.layout.brk = end.0;
        }
        let now = UserAddr(state.layout.brk);
        drop(state);
        if let Some(Some(grown)) = moved {
            let _ = self.populate(grown);
        }
        now
    }

    /// Changes the mapping; returns the range to be brought in at once, if any.
    fn move_brk(&self, state: &mut State, end: UserAddr, lock_limit: u64) -> Option<Option<PageRange>> {
        let layout = state.layout;
        if end.0 < layout.start_brk || layout.start_brk == 0 {
            return None;
        }
        let data = layout.end_data.saturating_sub(layout.start_data);
        if (end.0 - layout.start_brk).saturating_add(data) > self.limits.data.load(Ordering::Relaxed) {
            return None;
        }
        let (old, new) = (UserAddr(layout.brk).page_up()?, end.page_up()?);
        if new < old {
            drop(self.take_out(state, PageRange::try_new(new, old)?).ok()?);
            return Some(None);
        }
        let range = PageRange::try_new(old, new)?;
        if range.is_empty() {
            return Some(None);
        }
        if !state.areas.is_free(range) || !state.areas.respects_gap(range) {
            return None;
        }
        let flags = state.default_flags;
        let area = Area {
            attachment: None,
            start: old.0,
            end: new.0,
            prot: Prot::READ | Prot::WRITE,
            may: Prot::all(),
            flags,
            backing: Backing::Anonymous,
        };
        if flags.contains(super::AreaFlags::LOCKED)
            && state.areas.locked.saturating_add(range.len()) > lock_limit
        {
            return None;
        }
        self.check_limits(state, &area, 0).ok()?;
        if state.areas.count() > super::MAX_AREAS {
            return None;
        }
        state.areas.insert(area);
        state.note_peak();
        Some(flags.contains(super::AreaFlags::LOCKED).then_some(range))
    }
}
