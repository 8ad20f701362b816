//! The firmware's tables: ACPI's where there is ACPI, else the MultiProcessor table.

use alloc::vec;
use alloc::vec::Vec;

use super::tables::acpi::{self, Ecam, Fadt, Root};
use super::tables::cmdline::MmioDevice;
use super::tables::{Topology, mp};
use super::{machine, pci};

/// Where the BIOS leaves pointers to tables: ACPI's and the MultiProcessor table's.
const BIOS_AREA: (u64, usize) = (0xf_0000, 0x1_0000);
/// The rest of where ACPI's may be.
const LOWER_BIOS_AREA: (u64, usize) = (0xe_0000, 0x1_0000);
/// The last KiB below 640 KiB, where an extended BIOS data area would be, and where Firecracker puts its table.
const BASE_MEMORY_END: (u64, usize) = (0x9_fc00, 0x400);
/// Tables that a root table may list; more are left out.
const MAX_TABLES: usize = 64;

/// What the firmware said.
pub(crate) struct Firmware {
    /// Processors and interrupt controllers. If the firmware describes none: a PC's usual ones, and no processors.
    pub(crate) topology: Topology,
    /// PCI's configuration window.
    pub(crate) ecam: Option<Ecam>,
    /// Ports for power.
    pub(crate) fadt: Option<Fadt>,
}

static FIRMWARE: spin::Once<Firmware> = spin::Once::new();

/// Returns what the firmware said; the first call reads it. `rsdp` is where the loader said that ACPI's root pointer
/// is, or 0.
pub(crate) fn read(rsdp: u64) -> &'static Firmware {
    FIRMWARE.call_once(|| {
        let mut found = Firmware { topology: Topology::default(), ecam: None, fadt: None };
        if let Some(root) = root(rsdp) {
            read_acpi(root, &mut found);
        }
        if found.topology.io_apics.is_empty() {
            found.topology = read_mp().unwrap_or_else(Topology::assumed);
        }
        found
    })
}

/// Returns what was read, or nothing if that has not happened.
pub(super) fn known() -> Option<&'static Firmware> {
    FIRMWARE.get()
}

fn bytes(address: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    machine::copy_physical(address, &mut bytes).then_some(bytes)
}

fn root(rsdp: u64) -> Option<Root> {
    if rsdp != 0 {
        return acpi::rsdp(&bytes(rsdp, 36)?);
    }
    bios_areas(&[BIOS_AREA, LOWER_BIOS_AREA]).find_map(|&(at, len)| acpi::find_rsdp(&bytes(at, len)?))
}

/// Returns the areas in which a BIOS leaves pointers, if this looks like a machine with a BIOS. Searching them costs more
/// than all else here, and the small machines of hypervisors have nothing there.
fn bios_areas(areas: &[(u64, usize)]) -> impl Iterator<Item = &(u64, usize)> {
    let pc = pci::has_ports();
    areas.iter().filter(move |_| pc)
}

/// Reads a table if its signature is wanted.
fn table(address: u64, wanted: impl Fn(&[u8; 4]) -> bool) -> Option<([u8; 4], Vec<u8>)> {
    let (signature, len) = acpi::header(&bytes(address, acpi::HEADER_LEN)?)?;
    if !wanted(&signature) {
        return None;
    }
    let whole = bytes(address, len)?;
    acpi::table(&whole)?;
    Some((signature, whole))
}

fn read_acpi(root: Root, found: &mut Firmware) {
    let (Root::Rsdt(at) | Root::Xsdt(at)) = root;
    let Some((_, list)) = table(at, |signature| matches!(signature, b"RSDT" | b"XSDT")) else { return };
    for address in acpi::entries(root, &list).into_iter().take(MAX_TABLES) {
        let Some((signature, table)) = table(address, |s| matches!(s, b"APIC" | b"MCFG" | b"FACP")) else {
            continue;
        };
        match &signature {
            b"APIC" => found.topology = acpi::madt(&table).unwrap_or_default(),
            b"MCFG" => found.ecam = acpi::mcfg(&table),
            _ => found.fadt = acpi::fadt(&table),
        }
    }
}

fn read_mp() -> Option<Topology> {
    let mut areas = [BASE_MEMORY_END].iter().chain(bios_areas(&[BIOS_AREA]));
    let at = areas.find_map(|&(at, len)| mp::find(&bytes(at, len)?))?.into();
    let len = mp::len(&bytes(at, mp::HEADER_LEN)?)?;
    // A table without processors (qboot writes one) says nothing.
    mp::parse(&bytes(at, len)?).filter(|found| !found.processors.is_empty())
}

fn dsdt() -> Option<Vec<u8>> {
    table(known()?.fadt?.dsdt, |signature| signature == b"DSDT").map(|t| t.1)
}

/// Returns the sleep type that means "off" to PM1a's control register.
pub(super) fn sleep_type_off() -> Option<u8> {
    acpi::sleep_type_off(&dsdt()?)
}

/// Returns the virtio devices that ACPI describes.
pub(super) fn virtio_mmio() -> Vec<MmioDevice> {
    dsdt().map(|code| acpi::virtio_mmio(&code)).unwrap_or_default()
}
