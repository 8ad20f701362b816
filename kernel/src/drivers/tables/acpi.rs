//! ACPI's static tables (ACPI 6.5, chapter 5): no AML is interpreted, but two facts are found in it by their bytes.

use alloc::vec::Vec;

use super::cmdline::MmioDevice;
use super::{IoApic, Line, Override, Processor, Topology, sums_to_zero, u16_at, u32_at, u64_at};

/// Bytes of the header that every table but the root pointer has.
pub(crate) const HEADER_LEN: usize = 36;
/// No table of a machine comes near this size; a longer one is a broken length.
pub(crate) const MAX_LEN: usize = 4 << 20;

/// Where the root table is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Root {
    /// A table of 32-bit addresses.
    Rsdt(u64),
    /// A table of 64-bit addresses.
    Xsdt(u64),
}

/// Reads a root system description pointer (section 5.2.5.3) at the start of the bytes.
pub(crate) fn rsdp(bytes: &[u8]) -> Option<Root> {
    if !bytes.starts_with(b"RSD PTR ") || !sums_to_zero(bytes.get(..20)?) {
        return None;
    }
    if *bytes.get(15)? >= 2
        && let Some(len) = u32_at(bytes, 20).and_then(|len| usize::try_from(len).ok())
        && let Some(whole) = bytes.get(..len)
        && len >= 36
        && sums_to_zero(whole)
        && let Some(at) = u64_at(whole, 24).filter(|&at| at != 0)
    {
        return Some(Root::Xsdt(at));
    }
    u32_at(bytes, 16).filter(|&at| at != 0).map(|at| Root::Rsdt(at.into()))
}

/// Finds the root pointer in the BIOS area.
pub(crate) fn find_rsdp(area: &[u8]) -> Option<Root> {
    (0..area.len()).step_by(16).find_map(|at| rsdp(&area[at..]))
}

/// Returns the signature and whole length of a table from its header.
pub(crate) fn header(bytes: &[u8]) -> Option<([u8; 4], usize)> {
    let len = usize::try_from(u32_at(bytes, 4)?).ok()?;
    (HEADER_LEN..=MAX_LEN).contains(&len).then_some((*bytes.first_chunk()?, len))
}

/// Returns the table at the start of the bytes, cut to its length, if it is whole and its checksum holds.
pub(crate) fn table(bytes: &[u8]) -> Option<&[u8]> {
    let whole = bytes.get(..header(bytes)?.1)?;
    sums_to_zero(whole).then_some(whole)
}

/// Returns the addresses that a root table lists.
pub(crate) fn entries(root: Root, table: &[u8]) -> Vec<u64> {
    let list = table.get(HEADER_LEN..).unwrap_or_default();
    match root {
        Root::Rsdt(_) => list.chunks_exact(4).filter_map(|e| u32_at(e, 0)).map(u64::from).collect(),
        Root::Xsdt(_) => list.chunks_exact(8).filter_map(|e| u64_at(e, 0)).collect(),
    }
}

/// Reads a multiple APIC description table (section 5.2.12).
pub(crate) fn madt(table: &[u8]) -> Option<Topology> {
    let mut found = Topology {
        local_apic: Some(u64::from(u32_at(table, 36)?)),
        has_8259: u32_at(table, 40)? & 1 != 0,
        ..Topology::default()
    };
    let mut rest = table.get(44..)?;
    while let [kind, len, ..] = *rest {
        let Some((entry, next)) = rest.split_at_checked(usize::from(len.max(2))) else { break };
        rest = next;
        // A field outside a short entry leaves the entry out.
        let _ = madt_entry(&mut found, kind, entry);
    }
    Some(found)
}

fn madt_entry(found: &mut Topology, kind: u8, entry: &[u8]) -> Option<()> {
    /// Flag of a processor that runs now.
    const ENABLED: u32 = 1;
    match kind {
        0 if u32_at(entry, 4)? & ENABLED != 0 => {
            found.processors.push(Processor { apic: u32::from(*entry.get(3)?) });
        }
        1 => found.io_apics.push(IoApic {
            id: *entry.get(2)?,
            address: u32_at(entry, 4)?,
            first_gsi: u32_at(entry, 8)?,
        }),
        2 => found.overrides.push(Override {
            isa: *entry.get(3)?,
            gsi: u32_at(entry, 4)?,
            line: Line::from_flags(u16_at(entry, 8)?),
        }),
        5 => found.local_apic = Some(u64_at(entry, 4)?),
        9 if u32_at(entry, 8)? & ENABLED != 0 => {
            found.processors.push(Processor { apic: u32_at(entry, 4)? });
        }
        _ => {}
    }
    Some(())
}

/// A window through which PCI configuration space is memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ecam {
    /// Physical address of bus 0's first function, whichever bus the window starts with.
    pub(crate) address: u64,
    /// First bus that it decodes.
    pub(crate) first_bus: u8,
    /// Last bus that it decodes.
    pub(crate) last_bus: u8,
}

/// Reads the window of segment 0 from a memory-mapped configuration table (PCI firmware specification 3.3, 4.1.2).
pub(crate) fn mcfg(table: &[u8]) -> Option<Ecam> {
    table.get(44..)?.chunks_exact(16).find_map(|e| {
        let found = Ecam { address: u64_at(e, 0)?, first_bus: e[10], last_bus: e[11] };
        (u16_at(e, 8)? == 0 && found.address != 0 && found.first_bus <= found.last_bus).then_some(found)
    })
}

/// A register that a table names (section 5.2.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Register {
    /// A byte in memory.
    Memory(u64),
    /// A port.
    Port(u16),
}

fn register(table: &[u8], at: usize) -> Option<Register> {
    let address = u64_at(table, at + 4).filter(|&address| address != 0)?;
    match table.get(at)? {
        0 => Some(Register::Memory(address)),
        1 => u16::try_from(address).ok().map(Register::Port),
        _ => None,
    }
}

/// What is used of the fixed description table (section 5.2.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fadt {
    /// Physical address of the DSDT.
    pub(crate) dsdt: u64,
    /// Number of the system control interrupt.
    pub(crate) sci: u16,
    /// Port and value that turn ACPI mode on, where it is not always on.
    pub(crate) enable: Option<(u16, u8)>,
    /// Port of PM1a's status register; the enable register is behind it at half of its length.
    pub(crate) pm1a_event: Option<(u16, u8)>,
    /// Port of PM1a's control register.
    pub(crate) pm1a_control: Option<u16>,
    /// Register and value that reset the machine.
    pub(crate) reset: Option<(Register, u8)>,
    /// The sleep control register of hardware-reduced machines.
    pub(crate) sleep_control: Option<Register>,
    /// Says that the power button is PM1's fixed one.
    pub(crate) fixed_power_button: bool,
    /// Port of the PM timer, if there is one.
    pub(crate) pm_timer: Option<u16>,
}

/// Reads a fixed description table of any revision.
pub(crate) fn fadt(table: &[u8]) -> Option<Fadt> {
    const PWR_BUTTON: u32 = 1 << 4;
    const RESET_REG_SUP: u32 = 1 << 10;
    const HW_REDUCED_ACPI: u32 = 1 << 20;
    let port = |at| u32_at(table, at).and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0);
    let flags = u32_at(table, 112)?;
    let reduced = flags & HW_REDUCED_ACPI != 0;
    let dsdt = u64_at(table, 140).filter(|&at| at != 0).or(u32_at(table, 40).map(u64::from))?;
    let value = |at: usize| table.get(at).copied();
    Some(Fadt {
        dsdt,
        sci: u16_at(table, 46)?,
        enable: port(48).zip(value(52)).filter(|&(_, value)| value != 0 && !reduced),
        pm1a_event: port(56).zip(value(88)).filter(|&(_, len)| len >= 4 && !reduced),
        pm1a_control: port(64).filter(|_| !reduced),
        reset: register(table, 116).zip(value(128)).filter(|_| flags & RESET_REG_SUP != 0),
        sleep_control: register(table, 244).filter(|_| reduced),
        fixed_power_button: flags & PWR_BUTTON == 0 && !reduced,
        pm_timer: port(76).filter(|_| !reduced),
    })
}

/// Finds PM1a's sleep type for "off" in a DSDT: the first element of the package that the name `\_S5_` has.
///
/// In AML (section 20.2) that reads: the name, a package opcode 0x12, its length in one to four bytes, the number of
/// elements, and the first element as 0x0a and a byte, or as the opcode of zero or one.
pub(crate) fn sleep_type_off(dsdt: &[u8]) -> Option<u8> {
    let code = dsdt.get(HEADER_LEN..)?;
    code.windows(5).enumerate().filter(|(_, w)| *w == b"_S5_\x12").find_map(|(at, _)| {
        let package = &code[at + 5..];
        let elements = package.get(1 + usize::from(package.first()? >> 6) + 1..)?;
        match *elements {
            [0x0a, value, ..] if value < 8 => Some(value),
            [value @ (0 | 1), ..] => Some(value),
            _ => None,
        }
    })
}

/// Finds the virtio devices that a DSDT describes: behind each hardware name `LNRO0005`, the resource template's 32-bit
/// memory descriptor (section 6.4.3.4) and interrupt descriptor (6.4.3.6).
pub(crate) fn virtio_mmio(dsdt: &[u8]) -> Vec<MmioDevice> {
    const NAME: &[u8] = b"LNRO0005";
    let mut found = Vec::new();
    let mut rest = dsdt.get(HEADER_LEN..).unwrap_or_default();
    while let Some(at) = rest.windows(NAME.len()).position(|w| w == NAME) {
        rest = &rest[at + NAME.len()..];
        let device = rest.windows(NAME.len()).position(|w| w == NAME).map_or(rest, |end| &rest[..end]);
        let memory = device.windows(12).find(|w| w.starts_with(&[0x86, 9, 0]));
        let interrupt = device.windows(9).find(|w| w.starts_with(&[0x89, 6, 0]) && w[4] == 1);
        if let (Some(memory), Some(interrupt)) = (memory, interrupt)
            && let (Some(address), Some(len)) = (u32_at(memory, 4), u32_at(memory, 8))
            && let Some(gsi) = u32_at(interrupt, 5)
        {
            let line = Line { level: interrupt[3] & 2 == 0, low: interrupt[3] & 4 != 0 };
            found.push(MmioDevice { address: address.into(), len: len.into(), gsi, line });
        }
    }
    found
}

#[cfg(test)]
mod tests;
