//! Frames, address spaces and user copies on the host.

use alloc::sync::Arc;
use core::num::NonZeroU32;
use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, Mutex};

use super::{hold, threads};
use crate::{
    Access, AddressSpace, Fault, Fill, ForkMode, ForkRange, Frame, FramePool, FrameUsage, Mapped,
    OutOfMemory, PAGE_SIZE, PageFault, PageRange, Prot, Spaces, USER_END, UserAddr, UserMemory,
};

type Page = Box<[u8; PAGE_SIZE]>;

struct Pool(Mutex<PoolState>);

#[derive(Default)]
struct PoolState {
    frames: HashMap<NonZeroU32, (u32, Page)>,
    last: u32,
}

const TOTAL_FRAMES: usize = 1 << 18;

static POOL: LazyLock<Pool> = LazyLock::new(|| Pool(Mutex::default()));

pub(crate) fn frame_pool() -> &'static dyn FramePool {
    &*POOL
}

/// Returns how many frames are in use in the whole test process.
pub fn frames_in_use() -> usize {
    hold(&POOL.0).frames.len()
}

impl PoolState {
    fn insert(&mut self) -> Option<NonZeroU32> {
        if self.frames.len() >= TOTAL_FRAMES {
            return None;
        }
        self.last += 1;
        let id = NonZeroU32::new(self.last)?;
        self.frames.insert(id, (1, Box::new([0; PAGE_SIZE])));
        Some(id)
    }

    fn page(&mut self, frame: NonZeroU32) -> &mut [u8; PAGE_SIZE] {
        &mut self.frames.get_mut(&frame).expect("a frame in use").1
    }
}

impl FramePool for Pool {
    fn allocate(&self, fill: Fill) -> Option<NonZeroU32> {
        let mut state = hold(&self.0);
        let id = state.insert()?;
        if fill == Fill::Any {
            state.page(id).fill(0xa5);
        }
        Some(id)
    }

    fn allocate_large(&self, _: Fill) -> Option<NonZeroU32> {
        let mut state = hold(&self.0);
        state.last = state.last.next_multiple_of(512) - 1;
        let first = state.insert()?;
        for _ in 1..512 {
            state.insert()?;
        }
        Some(first)
    }

    fn retain(&self, frame: NonZeroU32) {
        hold(&self.0).frames.get_mut(&frame).expect("a frame in use").0 += 1;
    }

    fn release(&self, frame: NonZeroU32) {
        let mut state = hold(&self.0);
        let entry = state.frames.get_mut(&frame).expect("a frame in use");
        entry.0 -= 1;
        if entry.0 == 0 {
            state.frames.remove(&frame);
        }
    }

    fn references(&self, frame: NonZeroU32) -> u32 {
        hold(&self.0).frames.get(&frame).map_or(0, |f| f.0)
    }

    fn read(&self, frame: NonZeroU32, offset: usize, to: &mut [u8]) {
        to.copy_from_slice(&hold(&self.0).page(frame)[offset..offset + to.len()]);
    }

    fn write(&self, frame: NonZeroU32, offset: usize, from: &[u8]) {
        hold(&self.0).page(frame)[offset..offset + from.len()].copy_from_slice(from);
    }

    fn zero(&self, frame: NonZeroU32, offset: usize, len: usize) {
        hold(&self.0).page(frame)[offset..offset + len].fill(0);
    }

    fn copy(&self, from: NonZeroU32, to: NonZeroU32) {
        let mut state = hold(&self.0);
        let page = *state.page(from);
        *state.page(to) = page;
    }

    fn usage(&self) -> FrameUsage {
        let total = TOTAL_FRAMES as u64;
        FrameUsage { total, free: total - hold(&self.0).frames.len() as u64 }
    }
}

/// An address space: a map from page address to frame.
#[derive(Default)]
pub struct FakeSpace(Mutex<BTreeMap<u64, Mapped>>);

/// Makes [`FakeSpace`]s.
pub struct FakeSpaces;

impl Spaces for FakeSpaces {
    fn create(&self) -> Result<Arc<dyn AddressSpace>, OutOfMemory> {
        Ok(Arc::new(FakeSpace::default()))
    }
}

impl AddressSpace for FakeSpace {
    fn map(&self, at: UserAddr, frame: Frame, prot: Prot) -> Result<(), OutOfMemory> {
        assert!(at.is_page_aligned() && at.0 < USER_END, "a page of the application");
        hold(&self.0).insert(at.0, Mapped { frame, prot, accessed: false, dirty: false });
        Ok(())
    }

    fn map_large(&self, at: UserAddr, frames: Vec<Frame>, prot: Prot) -> Result<(), OutOfMemory> {
        assert!(at.0.is_multiple_of(512 * PAGE_SIZE as u64) && frames.len() == 512, "an aligned large page");
        for (i, frame) in frames.into_iter().enumerate() {
            self.map(at.offset((i * PAGE_SIZE) as u64), frame, prot)?;
        }
        Ok(())
    }

    fn lookup(&self, at: UserAddr) -> Option<Mapped> {
        hold(&self.0).get(&at.page().0).cloned()
    }

    fn unmap(&self, range: PageRange) -> u64 {
        let mut map = hold(&self.0);
        let before = map.len();
        map.retain(|&at, _| !range.contains(UserAddr(at)));
        (before - map.len()) as u64
    }

    fn protect(&self, range: PageRange, prot: Prot, keep_readonly: bool) {
        for (_, page) in hold(&self.0).range_mut(range.start().0..range.end().0) {
            let readonly = keep_readonly && !page.prot.contains(Prot::WRITE);
            page.prot = if readonly { prot - Prot::WRITE } else { prot };
        }
    }

    fn relocate(&self, from: PageRange, to: UserAddr) -> Result<(), OutOfMemory> {
        let mut map = hold(&self.0);
        let keys: Vec<u64> = map.range(from.start().0..from.end().0).map(|(&at, _)| at).collect();
        for at in keys {
            if let Some(page) = map.remove(&at) {
                map.insert(at - from.start().0 + to.0, page);
            }
        }
        Ok(())
    }

    fn resident(&self, range: PageRange) -> u64 {
        hold(&self.0).range(range.start().0..range.end().0).count() as u64
    }

    fn fork(&self, ranges: &[ForkRange]) -> Result<(Arc<dyn AddressSpace>, u64), OutOfMemory> {
        let mut map = hold(&self.0);
        let mut child = BTreeMap::new();
        for fork in ranges {
            for (&at, page) in map.range_mut(fork.range.start().0..fork.range.end().0) {
                if fork.mode == ForkMode::CopyOnWrite {
                    page.prot -= Prot::WRITE;
                }
                child.insert(at, page.clone());
            }
        }
        let count = child.len() as u64;
        Ok((Arc::new(Self(Mutex::new(child))), count))
    }

    fn as_any(&self) -> &dyn core::any::Any {
        self
    }
}

/// Copies from and to the address space of the thread that [`super::enter`] made current.
pub struct FakeMemory;

impl FakeMemory {
    /// Returns the frame behind a page, after asking the thread to bring it in.
    fn frame(at: UserAddr, access: Access) -> Option<Frame> {
        crate::sync::order::assert_may_wait("a copy from or to the application", crate::sync::rank::VM);
        let (space, thread) = threads::current()?;
        let need = if access == Access::Write { Prot::WRITE } else { Prot::READ };
        for _ in 0..4 {
            let mapped = if at.0 < USER_END { space.lookup(at.page()) } else { None };
            match mapped {
                Some(page) if page.prot.intersects(need) => return Some(page.frame),
                found => {
                    let fault = PageFault { addr: at.0, access, protection: found.is_some() };
                    if at.0 >= USER_END || !thread.copy_fault(&fault) {
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Goes through a range page by page: frame, offset in it, offset in the range, length.
    fn pieces(
        at: UserAddr,
        len: usize,
        access: Access,
        mut piece: impl FnMut(&Frame, usize, usize, usize),
    ) -> Result<(), Fault> {
        let mut done = 0;
        while done < len {
            let now = at.offset(done as u64);
            let count = (PAGE_SIZE - now.page_offset()).min(len - done);
            let Some(frame) = Self::frame(now, access) else { return Err(Fault { done }) };
            piece(&frame, now.page_offset(), done, count);
            done += count;
        }
        Ok(())
    }
}

impl UserMemory for FakeMemory {
    fn copy_in(&self, from: UserAddr, to: &mut [u8]) -> Result<(), Fault> {
        Self::pieces(from, to.len(), Access::Read, |f, at, done, n| f.read(at, &mut to[done..done + n]))
    }

    fn copy_out(&self, to: UserAddr, from: &[u8]) -> Result<(), Fault> {
        Self::pieces(to, from.len(), Access::Write, |f, at, done, n| f.write(at, &from[done..done + n]))
    }

    fn frame_out(&self, to: UserAddr, frame: &Frame, offset: usize, len: usize) -> Result<(), Fault> {
        let mut bytes = vec![0; len];
        frame.read(offset, &mut bytes);
        self.copy_out(to, &bytes)
    }

    fn frame_in(&self, from: UserAddr, frame: &Frame, offset: usize, len: usize) -> Result<(), Fault> {
        let mut bytes = vec![0; len];
        let result = self.copy_in(from, &mut bytes);
        let done = result.map_or_else(|fault| fault.done, |()| len);
        frame.write(offset, &bytes[..done]);
        result
    }

    fn zero(&self, to: UserAddr, len: usize) -> Result<(), Fault> {
        Self::pieces(to, len, Access::Write, |f, at, _, n| f.zero(at, n))
    }

    fn compare_exchange_u32(&self, at: UserAddr, old: u32, new: u32) -> Result<u32, Fault> {
        static ATOMIC: Mutex<()> = Mutex::new(());
        let _one_at_a_time = hold(&ATOMIC);
        let was = self.load_u32(at)?;
        if was == old {
            self.copy_out(at, &new.to_le_bytes())?;
        }
        Ok(was)
    }

    fn load_u32(&self, at: UserAddr) -> Result<u32, Fault> {
        let mut word = [0; 4];
        self.copy_in(at, &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    fn copy_in_string(&self, from: UserAddr, to: &mut [u8]) -> Result<Option<usize>, Fault> {
        for (i, byte) in to.iter_mut().enumerate() {
            let mut one = [0];
            self.copy_in(from.offset(i as u64), &mut one).map_err(|_| Fault { done: i })?;
            *byte = one[0];
            if one[0] == 0 {
                return Ok(Some(i));
            }
        }
        Ok(None)
    }
}
