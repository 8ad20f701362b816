//! An address space: mappings, and what a page fault finds.
//!
//! [`Vm`] keeps the mappings ([`Area`]) under one sleeping lock and drives the page tables
//! ([`hal::AddressSpace`]), which hold nothing that cannot be made again from the mappings but private pages.
//! A mapping costs nothing until it is touched: [`Vm::fault`] brings pages in one by one, from the
//! [`PageSource`] of a file, or as zeros. Private pages are shared copy-on-write after `fork`.

mod advise;
mod area;
mod areas;
mod attach;
mod brk;
mod fault;
mod file;
mod fork;
mod initial;
mod lock;
mod map;
mod protect;
mod remap;
mod remote;
mod report;
mod source;
#[cfg(test)]
mod tests;
mod unmap;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use abi::{Errno, Result};
use hal::sync::{SleepLock, rank};
use hal::{AddressSpace, Frame, OutOfMemory, Platform, UserAddr};

use crate::proc::{Limits, Resource};

pub use advise::{Advice, Invalidate, Sync};
pub use area::{Area, AreaFlags, Backing};
pub use areas::MAX_AREAS;
pub use file::{FileSource, identity};
pub use lock::LockMode;
pub use map::{Keep, MapRequest, Place, Populate};
pub use protect::Stretch;
pub use remap::{RemapPlace, RemapRequest};
pub use report::{MapLine, Usage, VmStatistics};
pub use source::{PageSource, SharedObject, SourceName};
pub use unmap::unmap_file;

use areas::Areas;

/// Why an access has no page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// No mapping: `SIGSEGV`, `SEGV_MAPERR`.
    NotMapped,
    /// The mapping does not permit the access: `SIGSEGV`, `SEGV_ACCERR`.
    NotPermitted,
    /// Behind the end of the file, or it cannot be read: `SIGBUS`, `BUS_ADRERR`.
    NoPage,
    /// No memory, and nothing more to free: the process is killed.
    OutOfMemory,
}

/// Lowest address that a hint may name (`/proc/sys/vm/mmap_min_addr`).
pub const MMAP_MIN_ADDR: u64 = 65_536;

/// Where the parts of the address space are (`/proc/PID/stat`, `prctl(PR_SET_MM)`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the names of Linux's mm_struct, which proc(5) describes")]
pub struct VmLayout {
    /// `mmap` looks for room from here down.
    pub mmap_base: u64,
    /// The first stack's highest address.
    pub start_stack: u64,
    pub start_code: u64,
    pub end_code: u64,
    pub start_data: u64,
    pub end_data: u64,
    pub start_brk: u64,
    pub brk: u64,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
}

/// The soft limits that concern memory, in bytes.
struct VmLimits {
    address_space: AtomicU64,
    data: AtomicU64,
    stack: AtomicU64,
}

impl VmLimits {
    const fn new(address_space: u64, data: u64, stack: u64) -> Self {
        Self {
            address_space: AtomicU64::new(address_space),
            data: AtomicU64::new(data),
            stack: AtomicU64::new(stack),
        }
    }
}

/// Where the search for room goes on.
#[derive(Clone, Copy)]
struct Search {
    /// First address above the part that is searched.
    from: u64,
    /// No room above it is larger than this.
    skipped: u64,
}

/// What changes in an address space.
struct State {
    areas: Areas,
    search: Search,
    layout: VmLayout,
    /// Flags of every new mapping (`mlockall(MCL_FUTURE)`).
    default_flags: AreaFlags,
    /// Pages in the page tables.
    resident: u64,
    /// Most pages that were in the page tables at once (`VmHWM`), as far as it was looked at.
    peak_resident: u64,
    /// Most bytes that were mapped at once (`VmPeak`).
    peak_total: u64,
}

/// An address space.
pub struct Vm {
    space: Arc<dyn AddressSpace>,
    state: SleepLock<State, { rank::VM }>,
    limits: VmLimits,
    /// The page that reads of untouched private memory find; nobody writes to it.
    zero: Frame,
    /// Which kinds of `membarrier(2)` the process has registered for.
    barriers: AtomicI32,
    /// Large pages may be used (`PR_SET_THP_DISABLE`); a child inherits it, a new program does not.
    large_pages: AtomicBool,
}

impl Vm {
    /// Makes an empty address space without limits.
    ///
    /// # Errors
    /// `ENOMEM`
    pub fn new(platform: &Platform) -> Result<Arc<Self>> {
        let space = platform.spaces.create().map_err(no_memory)?;
        let state = State {
            areas: Areas::default(),
            search: Search { from: hal::USER_END, skipped: 0 },
            layout: VmLayout { mmap_base: hal::USER_END, ..VmLayout::default() },
            default_flags: AreaFlags::empty(),
            resident: 0,
            peak_resident: 0,
            peak_total: 0,
        };
        Ok(Arc::new(Self {
            space,
            state: SleepLock::new(state),
            limits: VmLimits::new(u64::MAX, u64::MAX, 8 << 20),
            zero: Frame::zeroed().map_err(no_memory)?,
            barriers: AtomicI32::new(0),
            large_pages: AtomicBool::new(true),
        }))
    }

    /// Returns the page tables.
    #[inline]
    pub const fn space(&self) -> &Arc<dyn AddressSpace> {
        &self.space
    }

    /// Notes a registration for `membarrier(2)`.
    pub(crate) fn register_barrier(&self, kind: i32) {
        self.barriers.fetch_or(kind, Ordering::SeqCst);
    }

    /// Says whether the process has registered for a kind of `membarrier(2)`.
    pub(crate) fn has_barrier(&self, kind: i32) -> bool {
        self.barriers.load(Ordering::SeqCst) & kind != 0
    }

    /// Says whether large pages may be used.
    pub fn uses_large_pages(&self) -> bool {
        self.large_pages.load(Ordering::Relaxed)
    }

    /// Permits or forbids large pages from now on.
    pub fn set_large_pages(&self, on: bool) {
        self.large_pages.store(on, Ordering::Relaxed);
    }

    /// Takes over the limits on memory; called at `execve` and when a limit changes.
    pub fn set_limits(&self, limits: &Limits) {
        self.limits.address_space.store(limits.get(Resource::As).soft, Ordering::Relaxed);
        self.limits.data.store(limits.get(Resource::Data).soft, Ordering::Relaxed);
        self.limits.stack.store(limits.get(Resource::Stack).soft, Ordering::Relaxed);
    }

    /// Returns where the parts are.
    pub fn layout(&self) -> VmLayout {
        self.state.lock().layout
    }

    /// Says where the parts are.
    pub fn set_layout(&self, layout: VmLayout) {
        let mut state = self.state.lock();
        state.layout = layout;
        state.search = Search { from: layout.mmap_base, skipped: 0 };
    }

    /// Says where the heap begins: `brk` moves its end up from there.
    pub fn set_brk_start(&self, at: UserAddr) {
        let mut state = self.state.lock();
        state.layout.start_brk = at.0;
        state.layout.brk = at.0;
    }
}

impl core::fmt::Debug for Vm {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.state.lock().areas.iter()).finish()
    }
}

const fn no_memory(_: OutOfMemory) -> Errno {
    Errno::ENOMEM
}
