//! Devices: the table of drivers, and finding what there is to drive.
//!
//! Start-up order: the serial port, the firmware's tables (the rest of the kernel needs them before interrupts
//! work), then with interrupts the virtio devices that the command line, ACPI and PCI name, the console, the power
//! button. Only what is there is probed, and nothing waits for a device to get ready.
//!
//! Memory by address is touched in [`region`] and [`machine`] alone.

mod console;
pub(crate) mod firmware;
#[allow(unsafe_code, reason = "pointers to mapped memory leave the kernel's memory management here")]
mod machine;
mod pci;
mod power;
#[allow(unsafe_code, reason = "volatile access to registers and DMA memory")]
mod region;
mod serial;
pub(crate) mod tables;
mod virtio;

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::boot::{Channel, Config};
use hal::{BlockDevice, NetDevice};

use crate::log::log;
pub(crate) use console::console;
pub(crate) use power::Power;
use tables::{acpi, cmdline};
use virtio::console::Port;
use virtio::{Link, MmioLink, PciLink, kind};

/// Why a device is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProbeError {
    /// It is or lacks something that its driver does not know how to handle.
    Unsupported(&'static str),
    /// There is no memory for its queues.
    Memory,
    /// There is no free interrupt vector.
    Interrupt,
}

impl core::fmt::Display for ProbeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unsupported(what) => f.write_str(what),
            Self::Memory => f.write_str("no memory for its queues"),
            Self::Interrupt => f.write_str("no interrupt vector is free"),
        }
    }
}

impl From<virtio_drivers::Error> for ProbeError {
    fn from(error: virtio_drivers::Error) -> Self {
        match error {
            virtio_drivers::Error::DmaError => Self::Memory,
            _ => Self::Unsupported("a virtio device that does not start"),
        }
    }
}

/// What a device identifies itself as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DeviceId {
    /// A virtio device of this kind.
    Virtio(u32),
}

/// A device that works.
pub(crate) enum Device {
    Block(Arc<dyn BlockDevice>),
    Console(Arc<Port>),
    Net(Arc<dyn NetDevice>),
    /// Its bytes go to the entropy pool.
    Entropy,
}

/// A driver.
pub(crate) struct Driver {
    name: &'static str,
    matches: fn(DeviceId) -> bool,
    probe: fn(Link) -> Result<Device, ProbeError>,
}

/// Every driver; the first that matches a device gets it.
static DRIVERS: &[Driver] = &[
    Driver {
        name: "virtio-console",
        matches: |id| id == DeviceId::Virtio(kind::CONSOLE),
        probe: virtio::console::probe,
    },
    Driver {
        name: "virtio-blk",
        matches: |id| id == DeviceId::Virtio(kind::BLOCK),
        probe: virtio::block::probe,
    },
    Driver {
        name: "virtio-net",
        matches: |id| id == DeviceId::Virtio(kind::NETWORK),
        probe: virtio::net::probe,
    },
    Driver {
        name: "virtio-rng",
        matches: |id| id == DeviceId::Virtio(kind::ENTROPY),
        probe: virtio::entropy::probe,
    },
];

static DISKS: spin::Once<Vec<Arc<dyn BlockDevice>>> = spin::Once::new();

/// Returns the disks, in the order in which the hypervisor numbers them.
pub(crate) fn disks() -> Vec<Arc<dyn BlockDevice>> {
    DISKS.get().cloned().unwrap_or_default()
}

static NETS: spin::Once<Vec<Arc<dyn NetDevice>>> = spin::Once::new();

/// Returns the network cards, in the order in which the hypervisor numbers them. None was started.
pub(crate) fn nets() -> Vec<Arc<dyn NetDevice>> {
    NETS.get().cloned().unwrap_or_default()
}

/// Finds and starts the devices. Interrupts can be registered, and the firmware's tables have been read.
pub(crate) fn init(config: &Config) {
    serial::SERIAL.init();
    let (mut disks, mut nets, mut port) = (Vec::new(), Vec::new(), None);
    for (id, link) in find(config) {
        let Some(driver) = DRIVERS.iter().find(|driver| (driver.matches)(id)) else { continue };
        // A console that nobody asked for is left alone: its other end may not speak frames.
        if id == DeviceId::Virtio(kind::CONSOLE) && (config.channel != Channel::Virtio || port.is_some()) {
            continue;
        }
        match (driver.probe)(link) {
            Ok(Device::Block(disk)) => disks.push(disk),
            Ok(Device::Net(net)) => nets.push(net),
            Ok(Device::Console(found)) => port = Some(found),
            Ok(Device::Entropy) => {}
            Err(why) => log!(Warn, "{}: not used: {why}", driver.name),
        }
    }
    DISKS.call_once(|| disks);
    NETS.call_once(|| nets);
    if let Err(why) = console::init(config.channel, port) {
        log!(Warn, "the serial port takes no input: {why}");
    }
    power::listen_to_button();
}

fn find(config: &Config) -> Vec<(DeviceId, Link)> {
    let mut found = Vec::new();
    let mut registers: Vec<_> =
        config.foreign.iter().filter_map(|token| cmdline::virtio_mmio(token)).collect();
    let known = firmware::known();
    if registers.is_empty() && known.is_some_and(|f| f.fadt.is_some_and(|fadt| fadt.sleep_control.is_some()))
    {
        // Only hardware-reduced machines describe virtio devices in ACPI.
        registers = firmware::virtio_mmio();
    }
    // QEMU and Firecracker list them in the order in which they were configured, which is not that of their addresses.
    for device in registers {
        match MmioLink::new(device) {
            Ok(Some((kind, link))) => found.push((DeviceId::Virtio(kind), Link::Mmio(link))),
            Ok(None) => {}
            Err(why) => log!(Warn, "virtio at {:#x}: not used: {why}", device.address),
        }
    }
    let window: Option<acpi::Ecam> = known.and_then(|f| f.ecam);
    for function in pci::functions(window) {
        let Some(kind) = PciLink::kind(&function) else { continue };
        let id = DeviceId::Virtio(kind);
        if !DRIVERS.iter().any(|driver| (driver.matches)(id)) {
            continue;
        }
        match PciLink::new(function) {
            Ok(link) => found.push((id, Link::Pci(link))),
            Err(why) => log!(Warn, "virtio at PCI {:#06x}: not used: {why}", function.number),
        }
    }
    found
}
