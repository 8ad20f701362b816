//! Virtio (OASIS, version 1.2): what its devices share.
//!
//! [`Link`] is how a device is reached (registers in memory, or PCI), [`queue::Queue`] how work is handed over; the
//! drivers of the devices that carry data stand beside them. Links and queue are ours because the `virtio-drivers`
//! crate's PCI transport knows no MSI-X and its queue takes slices of memory (see there). Where neither matters, the
//! crate's driver of the device is used, over [`adapter::Adapter`].

mod adapter;
pub(super) mod block;
pub(super) mod console;
pub(super) mod entropy;
#[allow(unsafe_code, reason = "the crate's interface to memory is unsafe")]
mod memory;
mod mmio;
pub(super) mod net;
mod pci;
mod queue;

use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::PAGE_SIZE;
pub(super) use mmio::MmioLink;
pub(super) use pci::PciLink;
use queue::{Bell, Queue};

use super::ProbeError;
use super::machine::Handler;
use super::region::Region;

/// Device numbers (section 5).
pub(super) mod kind {
    pub(crate) const NETWORK: u32 = 1;
    pub(crate) const BLOCK: u32 = 2;
    pub(crate) const CONSOLE: u32 = 3;
    pub(crate) const ENTROPY: u32 = 4;
}

/// Feature bits that all devices share (section 6).
mod feature {
    pub(super) const EVENT_IDX: u64 = 1 << 29;
    pub(super) const VERSION_1: u64 = 1 << 32;
}

/// Bits of the device status (section 2.1).
mod status {
    pub(super) const ACKNOWLEDGE: u8 = 1;
    pub(super) const DRIVER: u8 = 2;
    pub(super) const DRIVER_OK: u8 = 4;
    pub(super) const FEATURES_OK: u8 = 8;
    pub(super) const FAILED: u8 = 128;
}

/// What the two ways to a device have in common. Numbers of the configuration space are little-endian.
trait Registers {
    fn status(&self) -> u8;
    fn set_status(&self, status: u8);
    fn device_features(&self) -> u64;
    fn set_driver_features(&self, features: u64);
    /// Says that the device predates version 1: no `FEATURES_OK`.
    fn legacy(&self) -> bool;
    /// Returns the longest size of a queue; 0 if there is no such queue.
    fn queue_max(&self, index: u16) -> u16;
    /// Returns where a queue is notified.
    fn bell(&self, index: u16) -> Option<Bell>;
    /// Tells the device where a queue lies.
    fn set_queue(&self, index: u16, size: u16, addresses: [u64; 3]);
    /// Starts a queue that was set.
    fn enable_queue(&self, index: u16);
    /// Reads 32 aligned bits of the device's configuration; 0 behind its end.
    fn config32(&self, at: usize) -> u32;
    fn config_generation(&self) -> u32;
    /// Returns the device's configuration, if it has one.
    fn config(&self) -> Option<Region>;
    /// Registers handlers of queues' interrupts, and perhaps one of changes of the configuration.
    fn listen(&mut self, queues: Vec<Interrupt>, changed: Option<Handler>) -> Result<(), ProbeError>;
}

/// Whom a queue's interrupt calls.
pub(super) struct Interrupt {
    queue: u16,
    /// The number of the processor that it goes to, if the device can send it to one.
    processor: usize,
    handler: Handler,
}

impl Interrupt {
    /// Lets a queue interrupt the boot processor.
    fn new(queue: u16, handler: impl Fn() + Send + Sync + 'static) -> Self {
        Self { queue, processor: 0, handler: Arc::new(handler) }
    }

    /// The same for another processor.
    fn on(self, processor: usize) -> Self {
        Self { processor, ..self }
    }
}

/// The way to a virtio device.
pub(super) enum Link {
    Mmio(MmioLink),
    Pci(PciLink),
}

impl Link {
    fn registers(&self) -> &dyn Registers {
        match self {
            Self::Mmio(link) => link,
            Self::Pci(link) => link,
        }
    }
}

/// A device that is being started (section 3.1.1): features, then queues, then interrupts, then off it goes.
pub(super) struct Starting {
    link: Link,
    features: u64,
    queues: Vec<u16>,
    changed: Option<Handler>,
}

impl Starting {
    /// Resets the device and agrees on features: those of `wanted` that it offers, and the ones that the queue knows.
    pub(super) fn new(link: Link, wanted: u64) -> Result<Self, ProbeError> {
        Self::agree(link, |offered| offered & wanted)
    }

    /// The same with features that are chosen among those that the device offers.
    fn agree(link: Link, choose: impl FnOnce(u64) -> u64) -> Result<Self, ProbeError> {
        let registers = link.registers();
        registers.set_status(0);
        while registers.status() != 0 {
            hal::sync::relax();
        }
        registers.set_status(status::ACKNOWLEDGE);
        registers.set_status(status::ACKNOWLEDGE | status::DRIVER);
        let offered = registers.device_features();
        if !registers.legacy() && offered & feature::VERSION_1 == 0 {
            registers.set_status(status::FAILED);
            return Err(ProbeError::Unsupported("a virtio device without VERSION_1"));
        }
        let features = choose(offered) | offered & (feature::EVENT_IDX | feature::VERSION_1);
        registers.set_driver_features(features);
        if !registers.legacy() {
            registers.set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK);
            if registers.status() & status::FEATURES_OK == 0 {
                registers.set_status(status::FAILED);
                return Err(ProbeError::Unsupported("a virtio device that refuses its own features"));
            }
        }
        Ok(Self { link, features, queues: Vec::new(), changed: None })
    }

    /// Says whether all of these features were agreed on.
    pub(super) const fn has(&self, features: u64) -> bool {
        self.features & features == features
    }

    /// Returns the features that were agreed on.
    const fn features(&self) -> u64 {
        self.features
    }

    /// Says whether the device predates version 1.
    fn is_legacy(&self) -> bool {
        self.link.registers().legacy()
    }

    /// Makes a queue of at most `size` descriptors (a power of two).
    fn queue(&mut self, index: u16, size: u16) -> Result<Queue, ProbeError> {
        let registers = self.link.registers();
        let max = registers.queue_max(index);
        if max < 2 {
            return Err(ProbeError::Unsupported("a virtio device without the queue that its kind has"));
        }
        // Sizes are powers of two; a device whose maximum is none (allowed for packed queues only) gets the next lower.
        let size = size.min(1 << max.ilog2());
        let bell =
            registers.bell(index).ok_or(ProbeError::Unsupported("a virtio queue without notification"))?;
        let align = if registers.legacy() { PAGE_SIZE } else { 4 };
        let queue =
            Queue::new(index, size, align, self.has(feature::EVENT_IDX), bell).ok_or(ProbeError::Memory)?;
        registers.set_queue(index, queue.size(), queue.addresses());
        self.queues.push(index);
        Ok(queue)
    }

    /// Reads 32 bits of the configuration.
    pub(super) fn config32(&self, at: usize) -> u32 {
        self.link.registers().config32(at)
    }

    /// Reads 64 bits of the configuration, whole.
    pub(super) fn config64(&self, at: usize) -> u64 {
        let registers = self.link.registers();
        loop {
            let before = registers.config_generation();
            let value = u64::from(registers.config32(at)) | u64::from(registers.config32(at + 4)) << 32;
            if before == registers.config_generation() {
                return value;
            }
        }
    }

    /// Returns the configuration, if there is one.
    fn config(&self) -> Option<Region> {
        self.link.registers().config()
    }

    /// Says who hears of changes of the configuration.
    fn on_change(&mut self, handler: Handler) {
        self.changed = Some(handler);
    }

    /// Registers the handlers of queues' interrupts and lets the device run.
    pub(super) fn run(mut self, interrupts: Vec<Interrupt>) -> Result<(), ProbeError> {
        match &mut self.link {
            Link::Mmio(link) => link.listen(interrupts, self.changed)?,
            Link::Pci(link) => link.listen(interrupts, self.changed)?,
        }
        let registers = self.link.registers();
        for &queue in &self.queues {
            registers.enable_queue(queue);
        }
        let ok = if registers.legacy() { 0 } else { status::FEATURES_OK };
        registers.set_status(status::ACKNOWLEDGE | status::DRIVER | ok | status::DRIVER_OK);
        Ok(())
    }
}
