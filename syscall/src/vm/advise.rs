//! `madvise(2)`, `mincore(2)`, `msync(2)`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::{Errno, Result};
use hal::{Access, PAGE_SIZE, PageFault, PageRange, Prot, UserAddr};

use super::{Area, AreaFlags, Backing, FaultKind, PageSource, State, Vm};

/// What the application says about its use of memory; the names are those of `madvise(2)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "madvise(2) describes each")]
pub enum Advice {
    Normal,
    Random,
    Sequential,
    WillNeed,
    DontNeed,
    Free,
    Remove,
    DontFork,
    DoFork,
    Mergeable,
    Unmergeable,
    HugePage,
    NoHugePage,
    DontDump,
    DoDump,
    WipeOnFork,
    KeepOnFork,
    Cold,
    PageOut,
    PopulateRead,
    PopulateWrite,
}

impl Vm {
    /// Takes advice about a range. What is mapped in it takes effect also where there are holes.
    ///
    /// # Errors
    /// `EINVAL` where the advice does not fit a mapping, `EACCES`, `ENOMEM` for a hole or no memory, `EFAULT`.
    pub fn advise(&self, range: PageRange, advice: Advice) -> Result<()> {
        match advice {
            Advice::PopulateRead => return self.populate_for(range, Access::Read),
            Advice::PopulateWrite => return self.populate_for(range, Access::Write),
            _ => {}
        }
        let mut at = range.start().0;
        let mut hole = false;
        // Removed pages go back to the file without this lock's holder waiting for others of the same file.
        let mut punches: Vec<(Arc<dyn PageSource>, core::ops::Range<u64>)> = Vec::new();
        let mut state = self.state.lock();
        while at < range.end().0 {
            let Some(area) = state.areas.find_from(at).filter(|a| a.start < range.end().0) else {
                hole = true;
                break;
            };
            hole |= area.start > at;
            let part = area.range().intersection(range).expect("areas found overlap the range");
            at = part.end().0;
            if advice == Advice::Remove {
                punches.push(removable(area, part)?);
            }
            self.advise_part(&mut state, part, advice)?;
        }
        drop(state);
        for (source, pages) in punches {
            source.punch(pages)?;
        }
        if hole { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    fn advise_part(&self, state: &mut State, part: PageRange, advice: Advice) -> Result<()> {
        let area = state.areas.find(part.start().0).ok_or(Errno::ENOMEM)?;
        let locked = area.flags.contains(AreaFlags::LOCKED);
        let private_anonymous = area.is_anonymous();
        let (set, clear) = match advice {
            Advice::DontNeed | Advice::Remove | Advice::Free => {
                if locked || (advice == Advice::Free && !private_anonymous) {
                    return Err(Errno::EINVAL);
                }
                self.forget_pages(state, part);
                return Ok(());
            }
            Advice::Cold | Advice::PageOut => {
                return if locked { Err(Errno::EINVAL) } else { Ok(()) };
            }
            Advice::WillNeed | Advice::PopulateRead | Advice::PopulateWrite => return Ok(()),
            Advice::Normal => (AreaFlags::empty(), AreaFlags::RANDOM | AreaFlags::SEQUENTIAL),
            Advice::Random => (AreaFlags::RANDOM, AreaFlags::SEQUENTIAL),
            Advice::Sequential => (AreaFlags::SEQUENTIAL, AreaFlags::RANDOM),
            Advice::DontFork => (AreaFlags::DONTFORK, AreaFlags::empty()),
            Advice::DoFork => (AreaFlags::empty(), AreaFlags::DONTFORK),
            Advice::WipeOnFork if !private_anonymous => return Err(Errno::EINVAL),
            Advice::WipeOnFork => (AreaFlags::WIPEONFORK, AreaFlags::empty()),
            Advice::KeepOnFork => (AreaFlags::empty(), AreaFlags::WIPEONFORK),
            Advice::HugePage => (AreaFlags::HUGE, AreaFlags::NO_HUGE),
            Advice::NoHugePage => (AreaFlags::NO_HUGE, AreaFlags::HUGE),
            Advice::DontDump => (AreaFlags::DONTDUMP, AreaFlags::empty()),
            Advice::DoDump if area.flags.contains(AreaFlags::SPECIAL) => return Err(Errno::EINVAL),
            Advice::DoDump => (AreaFlags::empty(), AreaFlags::DONTDUMP),
            // Pages are never merged, which no application can tell from nothing to merge.
            Advice::Mergeable => (AreaFlags::MERGEABLE, AreaFlags::empty()),
            Advice::Unmergeable => (AreaFlags::empty(), AreaFlags::MERGEABLE),
        };
        if area.flags.contains(set) && !area.flags.intersects(clear) {
            return Ok(());
        }
        state.areas.change(part, |area| area.flags = (area.flags - clear) | set)
    }

    /// Brings pages in as an access would (`MADV_POPULATE_READ`, `MADV_POPULATE_WRITE`).
    fn populate_for(&self, range: PageRange, access: Access) -> Result<()> {
        for page in range.iter() {
            self.fault(&PageFault { addr: page.0, access, protection: false }).map_err(
                |kind| match kind {
                    FaultKind::NotMapped | FaultKind::OutOfMemory => Errno::ENOMEM,
                    FaultKind::NotPermitted => Errno::EINVAL,
                    FaultKind::NoPage => Errno::EFAULT,
                },
            )?;
        }
        Ok(())
    }

    /// Says for each page of a range whether it is in memory (`mincore(2)`).
    ///
    /// # Errors
    /// `ENOMEM` for a hole.
    pub fn in_core(&self, range: PageRange) -> Result<Vec<u8>> {
        let state = self.state.lock();
        if !state.areas.covers(range) {
            return Err(Errno::ENOMEM);
        }
        let mut answer = Vec::new();
        for area in state.areas.overlapping(range) {
            let Some(part) = area.range().intersection(range) else { continue };
            answer.extend(part.iter().map(|page| {
                let in_file = match &area.backing {
                    Backing::Source(source, _) => source.resident(area.page_index(page.0)).is_some(),
                    Backing::Anonymous | Backing::Special(..) => false,
                };
                u8::from(in_file || self.space.lookup(page).is_some())
            }));
        }
        Ok(answer)
    }

    /// Makes changed pages of shared file mappings durable, if asked to (`msync(2)`).
    ///
    /// # Errors
    /// `EBUSY` where `invalidate` meets locked memory, `EIO`, `ENOSPC`; `ENOMEM` for a hole, after all the rest is done.
    pub fn sync(&self, range: PageRange, sync: Sync, invalidate: Invalidate) -> Result<()> {
        let mut hole = false;
        let mut at = range.start().0;
        let mut work: Vec<(Arc<dyn PageSource>, core::ops::Range<u64>)> = Vec::new();
        let state = self.state.lock();
        for area in state.areas.overlapping(range) {
            hole |= area.start > at;
            at = area.end;
            if invalidate == Invalidate::Yes && area.flags.contains(AreaFlags::LOCKED) {
                return Err(Errno::EBUSY);
            }
            if let Backing::Source(source, _) = &area.backing
                && area.is_shared()
                && sync == Sync::Wait
                && let Some(part) = area.range().intersection(range)
            {
                let first = area.page_index(part.start().0);
                work.push((Arc::clone(source), first..first + part.pages()));
            }
        }
        hole |= at < range.end().0;
        drop(state);
        for (source, pages) in work {
            source.sync(pages)?;
        }
        if hole { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// Says which page of which object a shared mapping has at an address; `None` where the mapping is private.
    ///
    /// # Errors
    /// `EFAULT` where nothing is mapped.
    pub fn shared_page(&self, at: UserAddr) -> Result<Option<(u64, u64)>> {
        let state = self.state.lock();
        let area = state.areas.find(at.0).ok_or(Errno::EFAULT)?;
        Ok(match &area.backing {
            Backing::Source(source, _) if area.is_shared() => {
                Some((source.identity(), area.page_index(at.page().0)))
            }
            _ => None,
        })
    }
}

/// Whether `msync` waits for storage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sync {
    /// No: dirty pages are written in their time (`MS_ASYNC`).
    Later,
    /// Yes (`MS_SYNC`).
    Wait,
}

/// Whether `msync` asks to invalidate other mappings of the file, which here always see the same pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalidate {
    /// No.
    No,
    /// Yes (`MS_INVALIDATE`).
    Yes,
}

/// Finds what `MADV_REMOVE` gives back.
fn removable(area: &Area, part: PageRange) -> Result<(Arc<dyn PageSource>, core::ops::Range<u64>)> {
    let Backing::Source(source, _) = &area.backing else { return Err(Errno::EINVAL) };
    if area.flags.contains(AreaFlags::LOCKED) {
        return Err(Errno::EINVAL);
    }
    if !area.is_shared() || !area.prot.contains(Prot::WRITE) {
        return Err(Errno::EACCES);
    }
    let first = area.page_index(part.start().0);
    Ok((Arc::clone(source), first..first + part.len() / PAGE_SIZE as u64))
}
