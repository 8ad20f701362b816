//! Our links as the `virtio-drivers` crate's transport, so that its drivers run over them.

use alloc::vec::Vec;
use core::time::Duration;

use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::queue::Bell;
use super::{Link, feature, memory, status};
use crate::drivers::machine;
use crate::drivers::region::Region;

/// How long a device may take to reset itself.
const RESET_LIMIT: Duration = Duration::from_millis(100);

/// A queue of the crate's, seen from outside.
struct Shared {
    index: u16,
    size: u16,
    bell: Bell,
    available: Region,
    used: Region,
    /// Index of the available ring up to which everything was answered.
    answered: u16,
}

/// A link whose device a driver of the crate drives. Dropped, it resets the device.
///
/// The crate waits without end for the answer to a request that it makes and waits for ("add, notify, wait, pop").
/// Here the wait is over when the notification returns: a device that has not answered in time is reset, so that it
/// reads and writes nothing any more, and what it owes is answered in its stead, with no bytes.
pub(super) struct Adapter {
    link: Link,
    kind: DeviceType,
    limit: Duration,
    queues: Vec<Shared>,
    /// The device was reset and the features agreed on suit the crate.
    usable: bool,
}

impl Adapter {
    /// Takes a device of this kind, which may take `limit` for a request.
    pub(super) const fn new(link: Link, kind: DeviceType, limit: Duration) -> Self {
        Self { link, kind, limit, queues: Vec::new(), usable: false }
    }

    fn reset(&self) -> bool {
        let registers = self.link.registers();
        registers.set_status(0);
        machine::spin_until(RESET_LIMIT, || registers.status() == 0)
    }
}

impl Shared {
    fn new(index: u16, size: u16, bell: Bell, available: PhysAddr, used: PhysAddr) -> Option<Self> {
        let n = usize::from(size);
        let available = memory::part_of_queue(available, 6 + 2 * n)?;
        let used = memory::part_of_queue(used, 6 + 8 * n)?;
        Some(Self { index, size, bell, available, used, answered: 0 })
    }

    /// Marks everything that the driver asked for as done, without bytes.
    fn answer(&mut self) {
        let available = self.available.read16(2);
        while self.answered != available {
            let slot = usize::from(self.answered & (self.size - 1));
            let head = self.available.read16(4 + 2 * slot);
            self.used.write32(4 + 8 * slot, head.into());
            self.used.write32(8 + 8 * slot, 0);
            self.answered = self.answered.wrapping_add(1);
        }
        // x86 keeps the order of writes, and volatile ones are not reordered by the compiler.
        self.used.write16(2, available);
    }
}

impl Transport for Adapter {
    fn device_type(&self) -> DeviceType {
        self.kind
    }

    fn read_device_features(&mut self) -> u64 {
        // The crate compares the event index without regard to its wrap.
        self.link.registers().device_features() & !feature::EVENT_IDX
    }

    fn write_driver_features(&mut self, features: u64) {
        let registers = self.link.registers();
        self.usable &= registers.legacy() || features & feature::VERSION_1 != 0;
        registers.set_driver_features(features);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        let registers = self.link.registers();
        let agreed = registers.legacy() || registers.status() & status::FEATURES_OK != 0;
        // The crate asks for no error while it starts a device; one that has no queues it does refuse.
        if self.usable && agreed { registers.queue_max(queue).into() } else { 0 }
    }

    fn notify(&mut self, queue: u16) {
        let Some(at) = self.queues.iter().position(|q| q.index == queue) else { return };
        let shared = &mut self.queues[at];
        let asked = shared.available.read16(2);
        if self.usable {
            shared.bell.ring(queue);
            if machine::spin_until(self.limit, || shared.used.read16(2) == asked) {
                shared.answered = asked;
                return;
            }
            self.usable = false;
            self.reset();
        }
        self.queues[at].answer();
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_truncate(self.link.registers().status().into())
    }

    fn set_status(&mut self, status: DeviceStatus) {
        if status.is_empty() {
            self.queues.clear();
            self.usable = self.reset();
            return;
        }
        let [bits, ..] = status.bits().to_le_bytes();
        let registers = self.link.registers();
        registers.set_status(if registers.legacy() { bits & !status::FEATURES_OK } else { bits });
    }

    /// Does nothing: a link says so together with the features.
    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        self.link.registers().legacy()
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        available: PhysAddr,
        used: PhysAddr,
    ) {
        let registers = self.link.registers();
        let shared = u16::try_from(size)
            .ok()
            .zip(registers.bell(queue))
            .and_then(|(size, bell)| Shared::new(queue, size, bell, available, used));
        let Some(shared) = shared else { return };
        registers.set_queue(queue, shared.size, [descriptors, available, used]);
        registers.enable_queue(queue);
        self.queues.push(shared);
    }

    /// Resets the device: PCI knows no way to take one queue back.
    fn queue_unset(&mut self, _: u16) {
        if !self.queues.is_empty() {
            self.set_status(DeviceStatus::empty());
        }
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.queues.iter().any(|q| q.index == queue)
    }

    /// Has nothing to say: a link acknowledges the interrupts that it was told to listen to.
    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        self.link.registers().config_generation()
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let config = self.field(offset, size_of::<T>())?;
        let mut value = T::new_zeroed();
        let bytes = value.as_mut_bytes();
        // A field is read at its own width (section 4.1.3.1); a longer one by 32 bits.
        match bytes.len() {
            2 => bytes.copy_from_slice(&config.read16(0).to_le_bytes()),
            len if len.is_multiple_of(4) => {
                for (at, to) in (0..len).step_by(4).zip(bytes.chunks_exact_mut(4)) {
                    to.copy_from_slice(&config.read32(at).to_le_bytes());
                }
            }
            len => (0..len).zip(bytes).for_each(|(at, to)| *to = config.read8(at)),
        }
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, offset: usize, value: T) -> Result<()> {
        let config = self.field(offset, size_of::<T>())?;
        let bytes = value.as_bytes();
        match *bytes {
            [a, b] => config.write16(0, u16::from_le_bytes([a, b])),
            _ if bytes.len().is_multiple_of(4) => {
                for (at, &from) in (0..bytes.len()).step_by(4).zip(bytes.as_chunks().0) {
                    config.write32(at, u32::from_le_bytes(from));
                }
            }
            _ => (0..).zip(bytes).for_each(|(at, &byte)| config.write8(at, byte)),
        }
        Ok(())
    }
}

impl Adapter {
    fn field(&self, offset: usize, len: usize) -> Result<Region> {
        let config = self.link.registers().config().ok_or(Error::ConfigSpaceMissing)?;
        config.part(offset, len).ok_or(Error::ConfigSpaceTooSmall)
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        self.queue_unset(0);
    }
}
