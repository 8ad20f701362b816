//! Virtio devices on PCI (virtio 1.2, section 4.1): modern ones, with an interrupt message for each queue.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::ProbeError;
use super::super::machine::Handler;
use super::super::pci::Function;
use super::super::region::Region;
use super::queue::Bell;
use super::{Interrupt, Registers};

/// Vendor number of virtio devices.
const VENDOR: u16 = 0x1af4;
/// The capability that says where virtio's registers are.
const VENDOR_CAPABILITY: u8 = 9;
/// What stands in a vector register if there is no message.
const NO_VECTOR: u16 = 0xffff;
/// Bits of the pending interrupts, without messages: some queue, or a change of the configuration.
const QUEUES_PENDING: u8 = 1;
const CHANGE_PENDING: u8 = 2;

/// Offsets of the common configuration (section 4.1.4.3).
mod at {
    pub(super) const DEVICE_FEATURES_SELECT: usize = 0x00;
    pub(super) const DEVICE_FEATURES: usize = 0x04;
    pub(super) const DRIVER_FEATURES_SELECT: usize = 0x08;
    pub(super) const DRIVER_FEATURES: usize = 0x0c;
    pub(super) const CONFIG_VECTOR: usize = 0x10;
    pub(super) const STATUS: usize = 0x14;
    pub(super) const GENERATION: usize = 0x15;
    pub(super) const QUEUE_SELECT: usize = 0x16;
    pub(super) const QUEUE_SIZE: usize = 0x18;
    pub(super) const QUEUE_VECTOR: usize = 0x1a;
    pub(super) const QUEUE_ENABLE: usize = 0x1c;
    pub(super) const QUEUE_NOTIFY: usize = 0x1e;
    pub(super) const DESCRIPTORS: usize = 0x20;
    pub(super) const AVAILABLE: usize = 0x28;
    pub(super) const USED: usize = 0x30;
    pub(super) const END: usize = 0x38;
}

/// A device on PCI.
pub(crate) struct PciLink {
    function: Function,
    common: Region,
    notify: Region,
    notify_step: u32,
    isr: Option<Region>,
    config: Option<Region>,
}

impl PciLink {
    /// Returns the kind of virtio device that a function is; `None` if it is something else.
    pub(crate) fn kind(function: &Function) -> Option<u32> {
        if function.vendor != VENDOR {
            return None;
        }
        // Transitional devices have numbers of their own (section 4.1.2.1).
        match function.device {
            0x1000 => Some(1),
            0x1001 => Some(2),
            0x1003 => Some(3),
            0x1005 => Some(4),
            modern @ 0x1041..=0x107f => Some(u32::from(modern - 0x1040)),
            _ => None,
        }
    }

    /// Finds the device's registers.
    ///
    /// # Errors
    /// [`ProbeError`] if they are not all there.
    pub(crate) fn new(function: Function) -> Result<Self, ProbeError> {
        const MISSING: ProbeError =
            ProbeError::Unsupported("a virtio device on PCI without modern registers");
        function.enable();
        let (mut common, mut notify, mut isr, mut config) = (None, None, None, None);
        for (id, at) in function.capabilities() {
            if id != VENDOR_CAPABILITY {
                continue;
            }
            let [_, _, len, kind] = function.read32(at).to_le_bytes();
            let [bar, ..] = function.read32(at + 4).to_le_bytes();
            if len < 16 || bar > 5 {
                continue;
            }
            let map = || function.map(bar, function.read32(at + 8), function.read32(at + 12));
            // The first of each kind is the preferred one.
            match kind {
                1 if common.is_none() => common = map().filter(|r| r.len() >= at::END),
                2 if notify.is_none() && len >= 20 => notify = map().map(|r| (r, function.read32(at + 16))),
                3 if isr.is_none() => isr = map(),
                4 if config.is_none() => config = map(),
                _ => {}
            }
        }
        let (notify, notify_step) = notify.ok_or(MISSING)?;
        Ok(Self { function, common: common.ok_or(MISSING)?, notify, notify_step, isr, config })
    }
}

impl PciLink {
    /// Says which message stands for which queue, and which for changes of the configuration.
    fn set_vectors(
        &self,
        queues: impl Iterator<Item = (u16, u16)>,
        changed: Option<usize>,
    ) -> Result<(), ProbeError> {
        let set = |at, vector| {
            self.common.write16(at, vector);
            match self.common.read16(at) {
                NO_VECTOR => Err(ProbeError::Unsupported("a virtio device that refuses an interrupt vector")),
                _ => Ok(()),
            }
        };
        for (queue, vector) in queues {
            self.common.write16(at::QUEUE_SELECT, queue);
            set(at::QUEUE_VECTOR, vector)?;
        }
        changed.and_then(|vector| u16::try_from(vector).ok()).map_or(Ok(()), |v| set(at::CONFIG_VECTOR, v))
    }
}

impl Registers for PciLink {
    fn status(&self) -> u8 {
        self.common.read8(at::STATUS)
    }

    fn set_status(&self, status: u8) {
        self.common.write8(at::STATUS, status);
    }

    fn device_features(&self) -> u64 {
        let half = |select| {
            self.common.write32(at::DEVICE_FEATURES_SELECT, select);
            u64::from(self.common.read32(at::DEVICE_FEATURES))
        };
        half(0) | half(1) << 32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    fn set_driver_features(&self, features: u64) {
        for (select, half) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.common.write32(at::DRIVER_FEATURES_SELECT, select);
            self.common.write32(at::DRIVER_FEATURES, half);
        }
    }

    fn legacy(&self) -> bool {
        false
    }

    fn queue_max(&self, index: u16) -> u16 {
        self.common.write16(at::QUEUE_SELECT, index);
        self.common.read16(at::QUEUE_SIZE)
    }

    fn bell(&self, index: u16) -> Option<Bell> {
        self.common.write16(at::QUEUE_SELECT, index);
        let step = usize::from(self.common.read16(at::QUEUE_NOTIFY));
        let at = step.checked_mul(usize::try_from(self.notify_step).ok()?)?;
        self.notify.part(at, 2).map(|region| Bell { region, at: 0, wide: false })
    }

    fn set_queue(&self, index: u16, size: u16, [descriptors, available, used]: [u64; 3]) {
        self.common.write16(at::QUEUE_SELECT, index);
        self.common.write16(at::QUEUE_SIZE, size);
        self.common.write64(at::DESCRIPTORS, descriptors);
        self.common.write64(at::AVAILABLE, available);
        self.common.write64(at::USED, used);
    }

    fn enable_queue(&self, index: u16) {
        self.common.write16(at::QUEUE_SELECT, index);
        self.common.write16(at::QUEUE_ENABLE, 1);
    }

    fn config32(&self, at: usize) -> u32 {
        self.config.filter(|c| at + 4 <= c.len()).map_or(0, |c| c.read32(at))
    }

    fn config_generation(&self) -> u32 {
        self.common.read8(at::GENERATION).into()
    }

    fn config(&self) -> Option<Region> {
        self.config
    }

    fn listen(&mut self, queues: Vec<Interrupt>, changed: Option<Handler>) -> Result<(), ProbeError> {
        let mut messages: Vec<_> = queues.iter().map(|q| (q.processor, q.handler.clone())).collect();
        messages.extend(changed.clone().map(|handler| (0, handler)));
        let numbers = queues.iter().map(|q| q.queue);
        if self.function.listen_messages(&messages)? {
            return self.set_vectors(numbers.zip(0..), changed.map(|_| queues.len()));
        }
        // A function may have fewer messages than it has queues: then one stands for all.
        let all: Handler = Arc::new(move || messages.iter().for_each(|(_, handler)| handler()));
        if self.function.listen_messages(&[(0, all)])? {
            return self.set_vectors(numbers.map(|queue| (queue, 0)), changed.map(|_| 0));
        }
        let isr = self.isr.ok_or(ProbeError::Unsupported("a virtio device without any interrupt"))?;
        self.function.listen_line(Arc::new(move || {
            // Reading the register acknowledges; zero means that another device on the line called.
            let pending = isr.read8(0);
            if pending & QUEUES_PENDING != 0 {
                queues.iter().for_each(|queue| (queue.handler)());
            }
            if pending & CHANGE_PENDING != 0 {
                changed.iter().for_each(|handler| handler());
            }
        }))
    }
}
