//! PCI: configuration space, the functions that are there, their memory and message interrupts.
//!
//! Configuration space is reached through the two ports that every PC-like machine has, or through the window that
//! ACPI's MCFG names where there are no ports. Only buses that are there are visited: bus 0 and those behind bridges.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::sync::{Lock, rank};

use super::ProbeError;
use super::machine::{self, Handler};
use super::region::Region;
use super::tables::Line;
use super::tables::acpi::Ecam;
use crate::arch::cpu::{inl, outl};

const ADDRESS_PORT: u16 = 0xcf8;
const DATA_PORT: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;
/// Bytes of configuration space that the window has for each function.
const WINDOW_LEN: u64 = 4096;

/// Offsets in a function's header.
mod at {
    pub(super) const COMMAND: usize = 0x04;
    pub(super) const CLASS: usize = 0x08;
    pub(super) const HEADER_TYPE: usize = 0x0e;
    pub(super) const BARS: usize = 0x10;
    pub(super) const BUSES: usize = 0x18;
    pub(super) const CAPABILITIES: usize = 0x34;
    pub(super) const INTERRUPT: usize = 0x3c;
}

const COMMAND_MEMORY: u32 = 1 << 1;
const COMMAND_MASTER: u32 = 1 << 2;
const STATUS_CAPABILITIES: u32 = 1 << (16 + 4);
/// The capability of message interrupts with a table.
const MSIX: u8 = 0x11;
const MSIX_ENABLE: u32 = 1 << 31;
const MSIX_MASK_ALL: u32 = 1 << 30;

/// Serialises the pair of ports.
static PORTS: Lock<(), { rank::LEAF }> = Lock::new(());

/// A function's configuration space.
#[derive(Clone, Copy, Debug)]
enum Config {
    /// The upper part of what goes into the address port.
    Ports(u32),
    Window(Region),
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "offsets are below 256, and the truncations take a part of a word"
)]
impl Config {
    fn read32(&self, at: usize) -> u32 {
        match self {
            Self::Ports(base) => {
                let _guard = PORTS.lock();
                outl(ADDRESS_PORT, base | (at as u32 & 0xfc));
                inl(DATA_PORT)
            }
            Self::Window(region) => region.read32(at & !3),
        }
    }

    fn write32(&self, at: usize, value: u32) {
        match self {
            Self::Ports(base) => {
                let _guard = PORTS.lock();
                outl(ADDRESS_PORT, base | (at as u32 & 0xfc));
                outl(DATA_PORT, value);
            }
            Self::Window(region) => region.write32(at & !3, value),
        }
    }

    fn read8(&self, at: usize) -> u8 {
        (self.read32(at) >> (8 * (at & 3))) as u8
    }
}

/// A function of a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    config: Config,
    /// Bus, device and function number, as `bus << 8 | device << 3 | function`.
    pub(crate) number: u16,
    /// The vendor's number.
    pub(crate) vendor: u16,
    /// The vendor's number of the device.
    pub(crate) device: u16,
}

/// How to reach configuration space.
enum Host {
    Ports,
    Window(Ecam),
}

impl Host {
    /// Returns how this machine's configuration space is reached, if it has any.
    fn find(window: Option<Ecam>) -> Option<Self> {
        if has_ports() { Some(Self::Ports) } else { window.map(Self::Window) }
    }

    fn config(&self, number: u16) -> Option<Config> {
        match self {
            Self::Ports => Some(Config::Ports(ENABLE | u32::from(number) << 8)),
            Self::Window(window) => {
                let bus = (number >> 8) as u8;
                if bus < window.first_bus || bus > window.last_bus {
                    return None;
                }
                Region::device(window.address + u64::from(number) * WINDOW_LEN, WINDOW_LEN)
                    .map(Config::Window)
            }
        }
    }

    fn function(&self, number: u16) -> Option<Function> {
        let config = self.config(number)?;
        let id = config.read32(0);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let (vendor, device) = (id as u16, (id >> 16) as u16);
        // All ones mean that nobody answers.
        (vendor != u16::MAX).then_some(Function { config, number, vendor, device })
    }
}

/// Says whether configuration space is reached through ports: the address port reads back what was written to it.
pub(super) fn has_ports() -> bool {
    outl(ADDRESS_PORT, ENABLE);
    inl(ADDRESS_PORT) == ENABLE
}

/// Finds every function, in order of bus, device and function number.
pub(crate) fn functions(window: Option<Ecam>) -> Vec<Function> {
    let mut found = Vec::new();
    if let Some(host) = Host::find(window) {
        visit(&host, 0, &mut found);
    }
    found
}

fn visit(host: &Host, bus: u8, found: &mut Vec<Function>) {
    /// Class and subclass of a bridge to another PCI bus.
    const PCI_BRIDGE: u32 = 0x0604;
    for device in 0..32 {
        for function in 0..8 {
            let number = u16::from(bus) << 8 | device << 3 | function;
            let Some(present) = host.function(number) else {
                match function {
                    0 => break,
                    _ => continue,
                }
            };
            found.push(present);
            if present.config.read32(at::CLASS) >> 16 == PCI_BRIDGE {
                let behind = present.config.read8(at::BUSES + 1);
                // Firmware numbers buses upwards; anything else is no tree.
                if behind > bus {
                    visit(host, behind, found);
                }
            }
            let single = present.config.read8(at::HEADER_TYPE) & 0x80 == 0;
            if function == 0 && single {
                break;
            }
        }
    }
}

/// Where memory of functions goes that the firmware left without an address: below the I/O APIC, in the hole that PCs
/// leave for PCI.
static NEXT_FREE: AtomicU64 = AtomicU64::new(0xf000_0000);
const FREE_END: u64 = 0xfe00_0000;

impl Function {
    /// Lets the function answer at its memory and reach the machine's.
    pub(crate) fn enable(&self) {
        let command = self.config.read32(at::COMMAND) & 0xffff;
        self.config.write32(at::COMMAND, command | COMMAND_MEMORY | COMMAND_MASTER);
    }

    /// Returns the capabilities: number and offset.
    pub(crate) fn capabilities(&self) -> Vec<(u8, usize)> {
        let mut found = Vec::new();
        if self.config.read32(at::COMMAND) & STATUS_CAPABILITIES == 0 {
            return found;
        }
        let mut at = usize::from(self.config.read8(at::CAPABILITIES) & 0xfc);
        // Each takes four bytes at least, so a list that is longer than this is a ring.
        while at >= 0x40 && found.len() < 48 {
            let head = self.config.read32(at);
            found.push(((head & 0xff) as u8, at));
            at = (head >> 8 & 0xfc) as usize;
        }
        found
    }

    /// Reads from the configuration space.
    pub(crate) fn read32(&self, at: usize) -> u32 {
        self.config.read32(at)
    }

    /// Maps a part of a memory BAR; the BAR gets an address if the firmware gave it none.
    pub(crate) fn map(&self, bar: u8, offset: u32, len: u32) -> Option<Region> {
        if bar > 5 {
            return None;
        }
        let at = at::BARS + 4 * usize::from(bar);
        let low = self.config.read32(at);
        // Bit 0 means ports; bits 1 and 2 hold the width.
        let wide = low & 7 == 4;
        if low & 1 != 0 || wide && bar == 5 {
            return None;
        }
        let high = if wide { self.config.read32(at + 4) } else { 0 };
        let mut address = u64::from(high) << 32 | u64::from(low & !0xf);
        if address == 0 {
            address = self.assign(at, wide)?;
        }
        Region::device(address.checked_add(offset.into())?, len.into())
    }

    fn assign(&self, at: usize, wide: bool) -> Option<u64> {
        let command = self.config.read32(at::COMMAND) & 0xffff;
        self.config.write32(at::COMMAND, command & !COMMAND_MEMORY);
        self.config.write32(at, u32::MAX);
        let len = u64::from(!(self.config.read32(at) & !0xf)) + 1;
        let mut address = NEXT_FREE.load(Ordering::Relaxed).next_multiple_of(len);
        let fits = address.checked_add(len).is_some_and(|end| end <= FREE_END);
        if fits {
            NEXT_FREE.store(address + len, Ordering::Relaxed);
        } else {
            address = 0;
        }
        self.config.write32(at, u32::try_from(address).ok()?);
        if wide {
            self.config.write32(at + 4, 0);
        }
        self.config.write32(at::COMMAND, command);
        self.enable();
        fits.then_some(address)
    }

    /// Registers a handler for the function's shared interrupt line.
    ///
    /// # Errors
    /// [`ProbeError`] if the line is not connected or cannot be listened to.
    pub(crate) fn listen_line(&self, handler: Handler) -> Result<(), ProbeError> {
        let line = self.config.read8(at::INTERRUPT);
        let pin = self.config.read8(at::INTERRUPT + 1);
        if pin == 0 || line == 0 || line > 23 {
            return Err(ProbeError::Unsupported("a PCI device without an interrupt"));
        }
        machine::listen(line.into(), Line { level: true, low: true }, handler)
    }

    /// Turns on message interrupts with a table, one message for each handler, in order, to the
    /// processor of that number; `false` if the function has no
    /// such table or not enough entries.
    ///
    /// # Errors
    /// [`ProbeError`] if there are no more interrupt vectors.
    pub(crate) fn listen_messages(&self, handlers: &[(usize, Handler)]) -> Result<bool, ProbeError> {
        const ENTRY_LEN: u32 = 16;
        let Some((_, at)) = self.capabilities().into_iter().find(|c| c.0 == MSIX) else { return Ok(false) };
        let control = self.config.read32(at);
        let entries = (control >> 16 & 0x7ff) + 1;
        let place = self.config.read32(at + 4);
        let table = self.map((place & 7) as u8, place & !7, entries * ENTRY_LEN);
        let Some(table) = table.filter(|_| handlers.len() <= entries as usize) else { return Ok(false) };
        self.config.write32(at, control | MSIX_ENABLE | MSIX_MASK_ALL);
        for (i, (processor, handler)) in handlers.iter().enumerate() {
            let message = machine::listen_message(*processor, handler.clone())?;
            let entry = i * ENTRY_LEN as usize;
            table.write64(entry, message.address);
            table.write32(entry + 8, message.data);
            // The vector control's only bit masks the entry.
            table.write32(entry + 12, 0);
        }
        self.config.write32(at, (control | MSIX_ENABLE) & !MSIX_MASK_ALL);
        Ok(true)
    }
}
