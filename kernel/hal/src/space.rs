//! Page tables of one process.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::{Frame, OutOfMemory, PageRange, UserAddr};

bitflags::bitflags! {
    /// What a mapped page permits. The processor cannot deny reads of a mapped page, nor permit writes alone.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Prot: u8 {
        /// Loads.
        const READ = 1;
        /// Stores.
        const WRITE = 2;
        /// Instruction fetches.
        const EXEC = 4;
    }
}

/// A page that is mapped.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// The page's memory.
    pub frame: Frame,
    /// What the page table permits now.
    pub prot: Prot,
    /// The processor has used the page since the bit was last cleared.
    pub accessed: bool,
    /// The processor has written to the page through this mapping.
    pub dirty: bool,
}

/// How [`AddressSpace::fork`] passes pages on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForkMode {
    /// Parent and child share the frame with unchanged permissions.
    Share,
    /// Parent and child share the frame, and both lose [`Prot::WRITE`], so that a write makes a copy.
    CopyOnWrite,
}

/// One range for [`AddressSpace::fork`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForkRange {
    /// Which pages.
    pub range: PageRange,
    /// How they are passed on.
    pub mode: ForkMode,
}

/// The page tables of one process.
///
/// The caller (`syscall`'s `Vm`, under its lock) decides what is mapped; implementations keep the tables and
/// every processor's TLB in step: when a call returns, no processor uses what was removed, and only then are
/// frames released. Callers serialise calls that touch the same page.
pub trait AddressSpace: Send + Sync {
    /// Maps a page, in place of what was mapped there.
    ///
    /// # Errors
    /// [`OutOfMemory`] if a page table cannot be allocated; nothing has changed then.
    fn map(&self, at: UserAddr, frame: Frame, prot: Prot) -> Result<(), OutOfMemory>;
    /// Maps 512 contiguous frames at a 2 MiB boundary where nothing is mapped; may use one large entry, which
    /// every other call splits when it needs to.
    ///
    /// # Errors
    /// [`OutOfMemory`] if a page table cannot be allocated.
    fn map_large(&self, at: UserAddr, frames: Vec<Frame>, prot: Prot) -> Result<(), OutOfMemory>;
    /// Maps consecutive pages from `at` wherever a frame is given and nothing is mapped yet; the frames that were used are
    /// taken out. Returns how many. Stops where a page table cannot be allocated: these pages are only a guess.
    fn map_absent(&self, at: UserAddr, frames: &mut [Option<Frame>], prot: Prot) -> u64 {
        let mut mapped = 0;
        for (page, frame) in (0..).zip(frames) {
            let at = at.offset(page * crate::PAGE_SIZE as u64);
            if frame.is_some()
                && self.lookup(at).is_none()
                && let Some(frame) = frame.take()
            {
                if self.map(at, frame, prot).is_err() {
                    break;
                }
                mapped += 1;
            }
        }
        mapped
    }
    /// Returns what is mapped at a page.
    fn lookup(&self, at: UserAddr) -> Option<Mapped>;
    /// Removes every page in a range. Returns how many there were.
    fn unmap(&self, range: PageRange) -> u64;
    /// Sets the permissions of every mapped page in a range; an empty `prot` makes pages inaccessible but keeps them.
    /// With `keep_readonly`, pages that are not writable now do not become so (they may be shared copy-on-write).
    fn protect(&self, range: PageRange, prot: Prot, keep_readonly: bool);
    /// Moves every mapped page of `from` to the same offset from `to`; nothing is mapped there.
    ///
    /// # Errors
    /// [`OutOfMemory`] if a page table cannot be allocated; nothing has moved then.
    fn relocate(&self, from: PageRange, to: UserAddr) -> Result<(), OutOfMemory>;
    /// Counts the mapped pages in a range.
    fn resident(&self, range: PageRange) -> u64;
    /// Makes a new address space that holds the pages of these ranges, and says how many those are.
    ///
    /// # Errors
    /// [`OutOfMemory`] if a page table cannot be allocated.
    fn fork(&self, ranges: &[ForkRange]) -> Result<(Arc<dyn AddressSpace>, u64), OutOfMemory>;
    /// Gives the implementation's own type back to it.
    fn as_any(&self) -> &dyn core::any::Any;
}

/// Makes address spaces.
pub trait Spaces: Send + Sync {
    /// Makes an empty address space.
    ///
    /// # Errors
    /// [`OutOfMemory`] if its root table cannot be allocated.
    fn create(&self) -> Result<Arc<dyn AddressSpace>, OutOfMemory>;
}
