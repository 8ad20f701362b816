//! The mappings of an address space, in order of address.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use abi::{Errno, Result};
use hal::PageRange;

use super::{Area, AreaFlags};

/// Most mappings that a process may have (`/proc/sys/vm/max_map_count`).
pub const MAX_AREAS: usize = 65_530;
/// Bytes kept free below a mapping that grows down (`stack_guard_gap`).
pub(super) const GUARD_GAP: u64 = 256 * 4096;

/// Mappings that do not overlap, and their sums in bytes.
#[derive(Default, Clone)]
pub(super) struct Areas {
    map: BTreeMap<u64, Area>,
    /// Every mapping (`VmSize`).
    pub(super) total: u64,
    /// Mappings that count as data (`RLIMIT_DATA`).
    pub(super) data: u64,
    /// Locked mappings (`RLIMIT_MEMLOCK`).
    pub(super) locked: u64,
}

impl Areas {
    /// Takes areas in order of address, no two of which could be joined.
    pub(super) fn from_sorted(list: Vec<Area>) -> Self {
        let mut areas = Self::default();
        for area in &list {
            areas.add_sums(area);
        }
        areas.map = list.into_iter().map(|area| (area.start, area)).collect();
        areas
    }

    pub(super) fn count(&self) -> usize {
        self.map.len()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Area> {
        self.map.values()
    }

    /// Finds the area that holds an address.
    #[inline]
    pub(super) fn find(&self, at: u64) -> Option<&Area> {
        let (_, area) = self.map.range(..=at).next_back()?;
        (at < area.end).then_some(area)
    }

    /// Finds the first area that ends above an address.
    pub(super) fn find_from(&self, at: u64) -> Option<&Area> {
        self.find(at).or_else(|| self.map.range(at..).next().map(|(_, area)| area))
    }

    /// Finds the last area that starts below an address.
    pub(super) fn find_below(&self, at: u64) -> Option<&Area> {
        self.map.range(..at).next_back().map(|(_, area)| area)
    }

    /// Goes through the areas that share a page with the range.
    pub(super) fn overlapping(&self, range: PageRange) -> impl Iterator<Item = &Area> {
        let from = self.find(range.start().0).map_or(range.start().0, |area| area.start);
        self.map.range(from..range.end().0.max(from)).map(|(_, area)| area)
    }

    /// Says whether nothing is mapped in the range.
    pub(super) fn is_free(&self, range: PageRange) -> bool {
        self.find_below(range.end().0).is_none_or(|area| area.end <= range.start().0)
    }

    /// Says whether every page of the range is mapped.
    pub(super) fn covers(&self, range: PageRange) -> bool {
        let mut at = range.start().0;
        for area in self.overlapping(range) {
            if area.start > at {
                return false;
            }
            at = area.end;
        }
        at >= range.end().0
    }

    fn add_sums(&mut self, area: &Area) {
        self.total += area.len_bytes();
        self.data += if area.is_data() { area.len_bytes() } else { 0 };
        self.locked += if area.flags.contains(AreaFlags::LOCKED) { area.len_bytes() } else { 0 };
    }

    fn take_sums(&mut self, area: &Area) {
        self.total -= area.len_bytes();
        self.data -= if area.is_data() { area.len_bytes() } else { 0 };
        self.locked -= if area.flags.contains(AreaFlags::LOCKED) { area.len_bytes() } else { 0 };
    }

    /// Puts an area where nothing is mapped, and joins it with its neighbours where they are alike.
    pub(super) fn insert(&mut self, mut area: Area) {
        self.add_sums(&area);
        if let Some((&start, below)) = self.map.range_mut(..area.start).next_back()
            && below.joins(&area)
        {
            below.end = area.end;
            if let Some(above) = self.map.get(&area.end)
                && self.map[&start].joins(above)
            {
                let above = self.map.remove(&area.end).expect("just found");
                self.map.get_mut(&start).expect("just found").end = above.end;
            }
            return;
        }
        if let Some(above) = self.map.get(&area.end)
            && area.joins(above)
        {
            let above = self.map.remove(&area.end).expect("just found");
            area.end = above.end;
        }
        self.map.insert(area.start, area);
    }

    /// Cuts areas so that none crosses the range's ends.
    ///
    /// # Errors
    /// `ENOMEM` if that makes too many areas; nothing has changed then.
    pub(super) fn cut(&mut self, range: PageRange) -> Result<()> {
        let crosses = |areas: &Self, at: u64| areas.find(at).is_some_and(|area| area.start < at);
        let cuts = usize::from(crosses(self, range.start().0)) + usize::from(crosses(self, range.end().0));
        // LINUX: a cut may reach the limit, not go beyond it.
        if cuts > 0 && self.count() + cuts > MAX_AREAS {
            return Err(Errno::ENOMEM);
        }
        for at in [range.start().0, range.end().0] {
            if let Some((_, area)) = self.map.range_mut(..at).next_back()
                && area.end > at
            {
                let upper = area.split_off(at);
                self.map.insert(at, upper);
            }
        }
        Ok(())
    }

    /// Takes out every area in a range, cutting those that cross its ends.
    ///
    /// # Errors
    /// `ENOMEM` if cutting makes too many areas; nothing has changed then.
    pub(super) fn remove(&mut self, range: PageRange) -> Result<Vec<Area>> {
        let mut gone = Vec::new();
        // The usual cases: nothing there, or just one area.
        match self.find_below(range.end().0) {
            Some(area) if area.end > range.start().0 => {
                if area.range() == range {
                    let area = self.map.remove(&range.start().0).expect("just found");
                    self.take_sums(&area);
                    gone.push(area);
                    return Ok(gone);
                }
            }
            _ => return Ok(gone),
        }
        self.cut(range)?;
        while let Some((&start, _)) = self.map.range(range.start().0..range.end().0).next() {
            let area = self.map.remove(&start).expect("just found");
            self.take_sums(&area);
            gone.push(area);
        }
        Ok(gone)
    }

    /// Changes every area in a range, and joins what became alike.
    ///
    /// # Errors
    /// `ENOMEM` if cutting makes too many areas; nothing has changed then.
    pub(super) fn change(&mut self, range: PageRange, mut change: impl FnMut(&mut Area)) -> Result<()> {
        // Nothing to cut where the areas stay as they are: the usual case for repeated advice.
        for mut area in self.remove(range)? {
            change(&mut area);
            self.insert(area);
        }
        // The area above the range may be alike now.
        if let Some((_, above)) = self.map.range(range.end().0..).next()
            && above.start == range.end().0
        {
            let above = self.map.remove(&range.end().0).expect("just found");
            self.take_sums(&above);
            self.insert(above);
        }
        Ok(())
    }

    /// Makes the lowest address of an area that grows down smaller.
    pub(super) fn extend_down(&mut self, start: u64, new_start: u64) {
        let Some(mut area) = self.map.remove(&start) else { return };
        self.take_sums(&area);
        area.start = new_start;
        self.insert(area);
    }

    /// Returns where an area begins for those who look for room: a stack keeps a gap below itself.
    fn guarded_start(area: &Area) -> u64 {
        let gap = if area.flags.contains(AreaFlags::GROWSDOWN) { GUARD_GAP } else { 0 };
        area.start.saturating_sub(gap)
    }

    /// Finds the highest room of `len` bytes in the window; `skipped` grows to the largest room that was too small.
    pub(super) fn room_below(&self, window: Range<u64>, len: u64, skipped: &mut u64) -> Option<u64> {
        let mut top = window.end;
        if let Some(area) = self.find(top) {
            top = Self::guarded_start(area);
        } else if let Some((_, above)) = self.map.range(top..).next() {
            top = top.min(Self::guarded_start(above));
        }
        for (_, area) in self.map.range(..top).rev() {
            if area.end <= window.start {
                break;
            }
            if top.checked_sub(len).is_some_and(|start| start >= area.end && start >= window.start) {
                return Some(top - len);
            }
            *skipped = (*skipped).max(top.saturating_sub(area.end));
            top = Self::guarded_start(area);
        }
        top.checked_sub(len).filter(|&start| start >= window.start)
    }

    /// Finds the lowest room of `len` bytes in the window.
    pub(super) fn room_above(&self, window: Range<u64>, len: u64) -> Option<u64> {
        let mut start = window.start;
        if let Some(area) = self.find(start) {
            start = area.end;
        }
        for (_, area) in self.map.range(start..) {
            if start.checked_add(len)? <= Self::guarded_start(area) {
                break;
            }
            start = area.end;
        }
        (start.checked_add(len)? <= window.end).then_some(start)
    }

    /// Says whether an area may end at `at` as far as the one above it is concerned, and begin there as far as a stack.
    pub(super) fn respects_gap(&self, range: PageRange) -> bool {
        self.map.range(range.end().0..).next().is_none_or(|(_, above)| {
            Self::guarded_start(above) >= range.end().0 || above.start == range.start().0
        })
    }

    /// Sums the sizes of areas that a test chooses.
    pub(super) fn sum(&self, test: impl Fn(&Area) -> bool) -> u64 {
        self.map.values().filter(|a| test(a)).map(Area::len_bytes).sum()
    }

    /// Says whether any area may be written to and is not shared, in a range: what `RLIMIT_DATA` counts.
    pub(super) fn data_in(&self, range: PageRange, counts: impl Fn(&Area) -> bool) -> u64 {
        self.overlapping(range)
            .filter(|a| counts(a))
            .filter_map(|a| a.range().intersection(range))
            .map(PageRange::len)
            .sum()
    }
}
