//! Parsers of what firmware and hypervisors say about the machine: bytes in, facts out.
//!
//! Nothing here touches hardware, so it needs no machine to be tested: `hal`'s tests include this directory
//! by its path, which runs the tests beside the code. Every length and checksum is verified, and
//! whatever does not hold is left out, because a table that lies must not stop a machine that works.

use alloc::vec::Vec;

pub(crate) mod acpi;
pub(crate) mod cmdline;
pub(crate) mod mp;

/// Interrupt trigger and polarity, as firmware describes a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    /// Level-triggered; else edge-triggered.
    pub(crate) level: bool,
    /// Active when low; else active when high.
    pub(crate) low: bool,
}

impl Line {
    /// What the ISA bus uses: edge-triggered, active high.
    pub(crate) const ISA: Self = Self { level: false, low: false };

    /// Reads the flags that MADT overrides and MP interrupt entries share (ACPI 6.5, table 5.26); the values
    /// "as the bus does" and the reserved ones mean ISA's.
    pub(crate) const fn from_flags(flags: u16) -> Self {
        Self { level: flags >> 2 & 3 == 3, low: flags & 3 == 3 }
    }
}

/// A processor's interrupt controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Processor {
    /// Its (x2)APIC number.
    pub(crate) apic: u32,
}

/// An I/O APIC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IoApic {
    /// Its number.
    pub(crate) id: u8,
    /// Physical address of its registers.
    pub(crate) address: u32,
    /// Number of its first input among all global system interrupts.
    pub(crate) first_gsi: u32,
}

/// An ISA interrupt that is wired otherwise than number for number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Override {
    /// The ISA interrupt number.
    pub(crate) isa: u8,
    /// The global system interrupt that it arrives at.
    pub(crate) gsi: u32,
    /// How the line signals.
    pub(crate) line: Line,
}

/// Processors and interrupt controllers, from a MADT or an MP table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Topology {
    /// Physical address of each processor's local APIC, if the table says it.
    pub(crate) local_apic: Option<u64>,
    /// Enabled processors, in the table's order.
    pub(crate) processors: Vec<Processor>,
    /// I/O APICs.
    pub(crate) io_apics: Vec<IoApic>,
    /// Interrupts that are wired specially.
    pub(crate) overrides: Vec<Override>,
    /// Says that the two 8259 controllers exist and must be masked.
    pub(crate) has_8259: bool,
}

impl Topology {
    /// What a PC has that does not describe itself, such as QEMU's microvm without ACPI.
    pub(crate) fn assumed() -> Self {
        let io_apic = IoApic { id: 0, address: 0xfec0_0000, first_gsi: 0 };
        Self { io_apics: alloc::vec![io_apic], has_8259: true, ..Self::default() }
    }
}

/// Reads a little-endian number at an offset, if it lies within the bytes.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Reads a little-endian number at an offset, if it lies within the bytes.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Reads a little-endian number at an offset, if it lies within the bytes.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Says whether the bytes sum up to zero, as the bytes of every such table do.
pub(crate) fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, &b| sum.wrapping_add(b)) == 0
}
