//! The MultiProcessor Specification's table (version 1.4), which Firecracker supplies in place of ACPI.

use super::{IoApic, Line, Override, Processor, Topology, sums_to_zero, u16_at, u32_at};

/// Bytes of the floating pointer structure.
const POINTER_LEN: usize = 16;
/// Bytes of the configuration table's header.
pub(crate) const HEADER_LEN: usize = 44;
/// MP flag: the processor may be used.
const ENABLED: u8 = 1;

/// Finds the floating pointer in an area of low memory and returns the physical address of the table.
pub(crate) fn find(area: &[u8]) -> Option<u32> {
    area.chunks_exact(POINTER_LEN).find_map(|p| {
        (p.starts_with(b"_MP_") && sums_to_zero(p)).then(|| u32_at(p, 4)).flatten().filter(|&at| at != 0)
    })
}

/// Returns how many bytes the table has, from its header.
pub(crate) fn len(header: &[u8]) -> Option<usize> {
    if !header.starts_with(b"PCMP") {
        return None;
    }
    let len = usize::from(u16_at(header, 4)?);
    (len >= HEADER_LEN).then_some(len)
}

/// Reads a whole table; `None` if its checksum does not hold.
pub(crate) fn parse(table: &[u8]) -> Option<Topology> {
    let table = table.get(..len(table)?)?;
    if !sums_to_zero(table) {
        return None;
    }
    let mut found = Topology {
        local_apic: u32_at(table, 36).map(u64::from).filter(|&at| at != 0),
        has_8259: true,
        ..Topology::default()
    };
    let mut isa_bus = None;
    let mut rest = table.get(HEADER_LEN..)?;
    for _ in 0..u16_at(table, 34)? {
        let len = if rest.first()? == &0 { 20 } else { 8 };
        let Some((entry, next)) = rest.split_at_checked(len) else { break };
        rest = next;
        match entry[0] {
            0 if entry[3] & ENABLED != 0 => found.processors.push(Processor { apic: u32::from(entry[1]) }),
            1 if entry[2..8].starts_with(b"ISA") => isa_bus = Some(entry[1]),
            2 if entry[3] & ENABLED != 0 => {
                // The table numbers no global interrupts: they follow from the order of the controllers.
                let first_gsi = u32::try_from(found.io_apics.len()).ok()? * 24;
                found.io_apics.push(IoApic { id: entry[1], address: u32_at(entry, 4)?, first_gsi });
            }
            // Type 0 is an ordinary interrupt; those wired straight need no entry.
            3 if entry[1] == 0 && Some(entry[4]) == isa_bus => {
                let controller = found.io_apics.iter().find(|c| c.id == entry[6] || entry[6] == 0xff);
                let line = Line::from_flags(u16_at(entry, 2)?);
                if let Some(controller) = controller
                    && (entry[5] != entry[7] || line != Line::ISA)
                {
                    let gsi = controller.first_gsi + u32::from(entry[7]);
                    found.overrides.push(Override { isa: entry[5], gsi, line });
                }
            }
            _ => {}
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn seal(table: &mut [u8]) {
        table[7] = 0;
        table[7] = table.iter().fold(0u8, |sum, &b| sum.wrapping_sub(b));
    }

    fn sample() -> Vec<u8> {
        let mut table = std::vec![0; HEADER_LEN];
        table[..4].copy_from_slice(b"PCMP");
        table[36..40].copy_from_slice(&0xfee0_0000u32.to_le_bytes());
        for (apic, flags) in [(0, 3), (1, 1), (2, 0)] {
            let mut cpu = [0; 20];
            (cpu[1], cpu[3]) = (apic, flags);
            table.extend(cpu);
        }
        table.extend([1, 0, b'I', b'S', b'A', b' ', b' ', b' ']);
        table.extend([2, 3, 0x11, 1, 0, 0, 0xc0, 0xfe]);
        table.extend([3, 0, 0, 0, 0, 0, 3, 2]);
        table.extend([3, 0, 0, 0, 0, 4, 3, 4]);
        table[34] = 7;
        let len = u16::try_from(table.len()).unwrap();
        table[4..6].copy_from_slice(&len.to_le_bytes());
        seal(&mut table);
        table
    }

    #[test]
    fn processors_controllers_and_wiring_are_read() {
        let found = parse(&sample()).unwrap();
        assert_eq!(found.processors, [Processor { apic: 0 }, Processor { apic: 1 }]);
        assert_eq!(found.io_apics, [IoApic { id: 3, address: 0xfec0_0000, first_gsi: 0 }]);
        assert_eq!(found.overrides, [Override { isa: 0, gsi: 2, line: Line::ISA }]);
        assert_eq!(found.local_apic, Some(0xfee0_0000));
    }

    #[test]
    fn no_cut_or_flip_makes_it_panic() {
        let whole = sample();
        for len in 0..whole.len() {
            assert_eq!(parse(&whole[..len]), None);
        }
        for at in 0..whole.len() * 8 {
            let mut bad = whole.clone();
            bad[at / 8] ^= 1 << (at % 8);
            let _ = parse(&bad);
            seal(&mut bad);
            let _ = parse(&bad);
        }
    }

    #[test]
    fn the_pointer_is_found_by_its_checksum() {
        let mut area = [0u8; 64];
        area[32..36].copy_from_slice(b"_MP_");
        area[36..40].copy_from_slice(&0x9f000u32.to_le_bytes());
        assert_eq!(find(&area), None);
        let sum = area[32..48].iter().fold(0u8, |sum, &b| sum.wrapping_add(b));
        area[42] = 0u8.wrapping_sub(sum);
        assert_eq!(find(&area), Some(0x9f000));
    }
}
