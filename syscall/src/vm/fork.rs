//! Copies of address spaces.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use abi::Result;
use hal::sync::SleepLock;
use hal::{ForkMode, ForkRange};

use super::areas::Areas;
use super::{AreaFlags, State, Vm, VmLimits, no_memory};

impl Vm {
    /// Makes a copy for a child with that number: private pages are shared until one side writes.
    ///
    /// # Errors
    /// `ENOMEM`
    pub fn fork(&self, child: u32) -> Result<Arc<Self>> {
        let mut state = self.state.lock();
        state.note_peak();
        let mut copies = Vec::with_capacity(state.areas.count());
        let mut ranges: Vec<ForkRange> = Vec::new();
        for area in state.areas.iter().filter(|a| !a.flags.contains(AreaFlags::DONTFORK)) {
            let mut copy = area.clone();
            // LINUX: memory locks are not inherited.
            copy.flags -= AreaFlags::LOCKED | AreaFlags::LOCK_ON_FAULT;
            if let Some(attachment) = &mut copy.attachment {
                attachment.give_to(child);
            }
            copies.push(copy);
            if !area.flags.contains(AreaFlags::WIPEONFORK) {
                let mode = if area.is_shared() { ForkMode::Share } else { ForkMode::CopyOnWrite };
                ranges.push(ForkRange { range: area.range(), mode });
            }
        }
        let (space, resident) = self.space.fork(&ranges).map_err(no_memory)?;
        let areas = Areas::from_sorted(copies);
        let child = State {
            areas,
            search: state.search,
            layout: state.layout,
            default_flags: AreaFlags::empty(),
            resident,
            peak_resident: resident,
            peak_total: state.areas.total,
        };
        let limits = VmLimits::new(
            self.limits.address_space.load(Ordering::Relaxed),
            self.limits.data.load(Ordering::Relaxed),
            self.limits.stack.load(Ordering::Relaxed),
        );
        Ok(Arc::new(Self {
            space,
            state: SleepLock::new(child),
            limits,
            zero: self.zero.clone(),
            large_pages: AtomicBool::new(self.uses_large_pages()),
            barriers: AtomicI32::new(self.barriers.load(Ordering::Relaxed)),
        }))
    }
}
