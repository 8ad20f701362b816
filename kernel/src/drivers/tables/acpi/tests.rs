use std::vec;
use std::vec::Vec;

use super::*;

fn seal(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0u8, |sum, &b| sum.wrapping_sub(b));
}

fn make(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut table = vec![0; HEADER_LEN];
    table[..4].copy_from_slice(signature);
    table.extend(body);
    let len = u32::try_from(table.len()).unwrap();
    table[4..8].copy_from_slice(&len.to_le_bytes());
    seal(&mut table, 9);
    table
}

fn pointer(revision: u8) -> Vec<u8> {
    let mut rsdp = vec![0; 36];
    rsdp[..8].copy_from_slice(b"RSD PTR ");
    rsdp[15] = revision;
    rsdp[16..20].copy_from_slice(&0x1000u32.to_le_bytes());
    rsdp[20] = 36;
    rsdp[24..32].copy_from_slice(&0x2000u64.to_le_bytes());
    let sum = rsdp[..20].iter().fold(0u8, |sum, &b| sum.wrapping_sub(b));
    rsdp[8] = sum;
    seal(&mut rsdp, 32);
    rsdp
}

#[test]
fn the_root_pointer_leads_to_the_wider_table_if_it_has_one() {
    assert_eq!(rsdp(&pointer(0)), Some(Root::Rsdt(0x1000)));
    assert_eq!(rsdp(&pointer(2)), Some(Root::Xsdt(0x2000)));
    let mut area = vec![0; 64];
    area.extend(pointer(2));
    assert_eq!(find_rsdp(&area), Some(Root::Xsdt(0x2000)));
    // The extended part is broken: the part with its own checksum still counts.
    area[64 + 33] ^= 1;
    assert_eq!(find_rsdp(&area), Some(Root::Rsdt(0x1000)));
    area[64 + 17] ^= 1;
    assert_eq!(find_rsdp(&area), None);
}

#[test]
fn a_table_is_cut_to_its_length_and_refused_if_a_byte_is_wrong() {
    let whole = make(b"APIC", &[1, 2, 3]);
    let mut longer = whole.clone();
    longer.extend([9; 10]);
    assert_eq!(table(&longer), Some(&*whole));
    assert_eq!(table(&whole[..whole.len() - 1]), None);
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 0x40;
        assert_eq!(table(&bad), None, "byte {at}");
    }
}

fn sample_madt() -> Vec<u8> {
    let mut body = vec![0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
    body.extend([0, 8, 0, 0, 1, 0, 0, 0]);
    body.extend([0, 8, 1, 7, 0, 0, 0, 0]);
    body.extend([1, 12, 2, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    body.extend([2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    body.extend([2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0]);
    body.extend([9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    body.extend([4, 6, 0xff, 0, 0, 1]);
    make(b"APIC", &body)
}

#[test]
fn processors_controllers_and_overrides_come_from_the_madt() {
    let found = madt(table(&sample_madt()).unwrap()).unwrap();
    assert_eq!(found.processors, [Processor { apic: 0 }, Processor { apic: 256 }]);
    assert_eq!(found.io_apics, [IoApic { id: 2, address: 0xfec0_0000, first_gsi: 0 }]);
    assert_eq!(found.overrides[0], Override { isa: 0, gsi: 2, line: Line::ISA });
    assert_eq!(found.overrides[1], Override { isa: 9, gsi: 9, line: Line { level: true, low: false } });
    assert_eq!((found.local_apic, found.has_8259), (Some(0xfee0_0000), true));
}

#[test]
fn cut_tables_never_panic() {
    let madt_bytes = sample_madt();
    let fadt_bytes = sample_fadt();
    for len in 0..madt_bytes.len() {
        let _ = madt(&madt_bytes[..len]);
        let _ = mcfg(&madt_bytes[..len]);
        let _ = rsdp(&madt_bytes[..len]);
    }
    for len in 0..fadt_bytes.len() {
        let _ = fadt(&fadt_bytes[..len]);
    }
    // An entry of length zero must not loop for ever.
    let _ = madt(&make(b"APIC", &[0; 32]));
}

fn sample_fadt() -> Vec<u8> {
    let mut fadt = vec![0; 268 - HEADER_LEN];
    let mut put = |at: usize, bytes: &[u8]| fadt[at - HEADER_LEN..][..bytes.len()].copy_from_slice(bytes);
    put(40, &0x7fe_0000u32.to_le_bytes());
    put(46, &9u16.to_le_bytes());
    put(48, &0xb2u32.to_le_bytes());
    put(52, &[2]);
    put(56, &0x600u32.to_le_bytes());
    put(64, &0x604u32.to_le_bytes());
    put(76, &0x608u32.to_le_bytes());
    put(88, &[4]);
    put(112, &(1u32 << 10).to_le_bytes());
    put(116, &[1, 8, 0, 0]);
    put(120, &0xcf9u64.to_le_bytes());
    put(128, &[0x0f]);
    make(b"FACP", &fadt)
}

#[test]
fn ports_for_power_come_from_the_fadt() {
    let found = fadt(&sample_fadt()).unwrap();
    assert_eq!(found.dsdt, 0x7fe_0000);
    assert_eq!((found.sci, found.enable), (9, Some((0xb2, 2))));
    assert_eq!((found.pm1a_event, found.pm1a_control), (Some((0x600, 4)), Some(0x604)));
    assert_eq!(found.reset, Some((Register::Port(0xcf9), 0x0f)));
    assert_eq!((found.sleep_control, found.fixed_power_button), (None, true));
    assert_eq!(found.pm_timer, Some(0x608));
}

#[test]
fn the_configuration_window_is_that_of_segment_zero() {
    let mut body = vec![0; 8];
    body.extend([0, 0, 0, 0xc0, 0, 0, 0, 0, 1, 0, 0, 255, 0, 0, 0, 0]);
    body.extend([0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0]);
    let found = mcfg(&make(b"MCFG", &body));
    assert_eq!(found, Some(Ecam { address: 0xb000_0000, first_bus: 0, last_bus: 255 }));
}

#[test]
fn the_sleep_type_is_found_in_each_way_of_writing_it() {
    for (package, value) in [
        (&b"\x08_S5_\x12\x06\x04\x00\x00\x00\x00"[..], Some(0)),
        (b"\x08_S5_\x12\x07\x04\x0a\x05\x00\x00\x00", Some(5)),
        (b"\x08_S5_\x12\x46\x00\x04\x01\x01\x00\x00", Some(1)),
        (b"\x08_S5_\x12", None),
        (b"\x08_S5_\x12\xc0", None),
        (b"\x08_S4_\x12\x06\x04\x02", None),
    ] {
        assert_eq!(sleep_type_off(&make(b"DSDT", package)), value);
    }
}

#[test]
fn virtio_devices_are_found_in_a_dsdt() {
    let mut code = b"junk".to_vec();
    for (address, gsi) in [(0xfeb0_0000u32, 16u32), (0xfeb0_0200, 17)] {
        code.extend(b"\x08_HID\x0dLNRO0005\x00\x08_CRS\x11\x1a\x0a\x17\x86\x09\x00\x01");
        code.extend(address.to_le_bytes());
        code.extend(512u32.to_le_bytes());
        code.extend([0x89, 6, 0, 3, 1]);
        code.extend(gsi.to_le_bytes());
        code.extend([0x79, 0]);
    }
    code.extend(b"\x0dLNRO0005\x00");
    let found = virtio_mmio(&make(b"DSDT", &code));
    let device = |address, gsi| MmioDevice { address, len: 512, gsi, line: Line::ISA };
    assert_eq!(found, [device(0xfeb0_0000, 16), device(0xfeb0_0200, 17)]);
}
