//! Virtio devices whose registers are in memory (virtio 1.2, section 4.2), modern and legacy.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::PAGE_SIZE;

use super::super::ProbeError;
use super::super::machine::{self, Handler};
use super::super::region::Region;
use super::super::tables::cmdline::MmioDevice;
use super::queue::Bell;
use super::{Interrupt, Registers};

const MAGIC: u32 = 0x7472_6976;
/// Bits of the pending interrupts: some queue, or a change of the configuration.
const QUEUES_PENDING: u32 = 1;
const CHANGE_PENDING: u32 = 2;

/// Register offsets (section 4.2.2 and, for legacy devices, 4.2.4).
mod at {
    pub(super) const MAGIC: usize = 0x00;
    pub(super) const VERSION: usize = 0x04;
    pub(super) const DEVICE: usize = 0x08;
    pub(super) const DEVICE_FEATURES: usize = 0x10;
    pub(super) const DEVICE_FEATURES_SELECT: usize = 0x14;
    pub(super) const DRIVER_FEATURES: usize = 0x20;
    pub(super) const DRIVER_FEATURES_SELECT: usize = 0x24;
    pub(super) const LEGACY_PAGE_SIZE: usize = 0x28;
    pub(super) const QUEUE_SELECT: usize = 0x30;
    pub(super) const QUEUE_MAX: usize = 0x34;
    pub(super) const QUEUE_SIZE: usize = 0x38;
    pub(super) const LEGACY_ALIGN: usize = 0x3c;
    pub(super) const LEGACY_PAGE: usize = 0x40;
    pub(super) const QUEUE_READY: usize = 0x44;
    pub(super) const QUEUE_NOTIFY: usize = 0x50;
    pub(super) const INTERRUPT_STATUS: usize = 0x60;
    pub(super) const INTERRUPT_ACK: usize = 0x64;
    pub(super) const STATUS: usize = 0x70;
    pub(super) const DESCRIPTORS: usize = 0x80;
    pub(super) const AVAILABLE: usize = 0x90;
    pub(super) const USED: usize = 0xa0;
    pub(super) const GENERATION: usize = 0xfc;
    pub(super) const CONFIG: usize = 0x100;
}

/// A device's registers in memory.
pub(crate) struct MmioLink {
    registers: Region,
    legacy: bool,
    device: MmioDevice,
}

impl MmioLink {
    /// Looks at the registers; `None` if no device is plugged in there.
    ///
    /// # Errors
    /// [`ProbeError`] if the place cannot be mapped or speaks another version.
    pub(crate) fn new(device: MmioDevice) -> Result<Option<(u32, Self)>, ProbeError> {
        if device.len < at::CONFIG as u64 || !device.address.is_multiple_of(4) {
            return Err(ProbeError::Unsupported("a virtio device with too few registers"));
        }
        let registers = Region::device(device.address, device.len)
            .ok_or(ProbeError::Unsupported("virtio registers where memory is"))?;
        if registers.read32(at::MAGIC) != MAGIC {
            return Err(ProbeError::Unsupported("virtio registers without their magic number"));
        }
        let legacy = match registers.read32(at::VERSION) {
            1 => true,
            2 => false,
            _ => return Err(ProbeError::Unsupported("an unknown version of virtio registers")),
        };
        let kind = registers.read32(at::DEVICE);
        Ok((kind != 0).then_some((kind, Self { registers, legacy, device })))
    }
}

impl Registers for MmioLink {
    #[expect(clippy::cast_possible_truncation, reason = "the status has eight bits")]
    fn status(&self) -> u8 {
        self.registers.read32(at::STATUS) as u8
    }

    fn set_status(&self, status: u8) {
        self.registers.write32(at::STATUS, status.into());
    }

    fn device_features(&self) -> u64 {
        let half = |select| {
            self.registers.write32(at::DEVICE_FEATURES_SELECT, select);
            u64::from(self.registers.read32(at::DEVICE_FEATURES))
        };
        // A legacy device has 32 bits, and may repeat them for any selection.
        half(0) | if self.legacy { 0 } else { half(1) << 32 }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    fn set_driver_features(&self, features: u64) {
        self.registers.write32(at::DRIVER_FEATURES_SELECT, 0);
        self.registers.write32(at::DRIVER_FEATURES, features as u32);
        if self.legacy {
            self.registers.write32(at::LEGACY_PAGE_SIZE, PAGE_SIZE as u32);
        } else {
            self.registers.write32(at::DRIVER_FEATURES_SELECT, 1);
            self.registers.write32(at::DRIVER_FEATURES, (features >> 32) as u32);
        }
    }

    fn legacy(&self) -> bool {
        self.legacy
    }

    fn queue_max(&self, index: u16) -> u16 {
        self.registers.write32(at::QUEUE_SELECT, index.into());
        u16::try_from(self.registers.read32(at::QUEUE_MAX)).unwrap_or(u16::MAX)
    }

    fn bell(&self, _: u16) -> Option<Bell> {
        Some(Bell { region: self.registers, at: at::QUEUE_NOTIFY, wide: true })
    }

    #[expect(clippy::cast_possible_truncation, reason = "a page number: legacy devices reach 16 TiB")]
    fn set_queue(&self, index: u16, size: u16, [descriptors, available, used]: [u64; 3]) {
        self.registers.write32(at::QUEUE_SELECT, index.into());
        self.registers.write32(at::QUEUE_SIZE, size.into());
        if self.legacy {
            self.registers.write32(at::LEGACY_ALIGN, PAGE_SIZE as u32);
            self.registers.write32(at::LEGACY_PAGE, (descriptors / PAGE_SIZE as u64) as u32);
        } else {
            self.registers.write64(at::DESCRIPTORS, descriptors);
            self.registers.write64(at::AVAILABLE, available);
            self.registers.write64(at::USED, used);
        }
    }

    fn enable_queue(&self, index: u16) {
        if !self.legacy {
            self.registers.write32(at::QUEUE_SELECT, index.into());
            self.registers.write32(at::QUEUE_READY, 1);
        }
    }

    fn config32(&self, at: usize) -> u32 {
        if at::CONFIG + at + 4 <= self.registers.len() { self.registers.read32(at::CONFIG + at) } else { 0 }
    }

    fn config_generation(&self) -> u32 {
        if self.legacy { 0 } else { self.registers.read32(at::GENERATION) }
    }

    fn config(&self) -> Option<Region> {
        self.registers.part(at::CONFIG, self.registers.len() - at::CONFIG)
    }

    fn listen(&mut self, queues: Vec<Interrupt>, changed: Option<Handler>) -> Result<(), ProbeError> {
        let registers = self.registers;
        let handler: Handler = Arc::new(move || {
            // Acknowledge first: what the device finishes after this raises the line again.
            let pending = registers.read32(at::INTERRUPT_STATUS);
            if pending != 0 {
                registers.write32(at::INTERRUPT_ACK, pending);
            }
            if pending & QUEUES_PENDING != 0 {
                queues.iter().for_each(|queue| (queue.handler)());
            }
            if pending & CHANGE_PENDING != 0 {
                changed.iter().for_each(|handler| handler());
            }
        });
        machine::listen(self.device.gsi, self.device.line, handler)
    }
}
