//! What a PVH loader hands over (Xen, public/arch-x86/hvm/start_info.h), copied into [`BootInfo`].

use crate::boot::{BootInfo, Region, RegionKind};
use crate::mm::layout;

const MAGIC: u32 = 0x336e_c578;

#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    module_list: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

#[repr(C)]
struct Module {
    address: u64,
    size: u64,
    command_line: u64,
    reserved: u64,
}

#[repr(C)]
struct MapEntry {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

/// Reads a structure from physical memory of the first GiB.
fn at<T>(address: u64) -> T {
    // SAFETY: the loader left the structure at this address, below 1 GiB, which the boot tables map; the types
    // read here are plain integers, so any bytes are valid.
    unsafe { core::ptr::read_unaligned(layout::direct(address).cast_const().cast::<T>()) }
}

/// Copies everything out of the loader's structures.
pub(crate) fn read(start_info: u32) -> BootInfo {
    let mut boot = BootInfo::default();
    let info: StartInfo = at(u64::from(start_info));
    assert!(info.magic == MAGIC, "started without a PVH start_info: magic {:#x}", info.magic);
    boot.rsdp = info.rsdp;
    if info.modules > 0 {
        let module: Module = at(info.module_list);
        if module.size > 0 {
            boot.module = Some((module.address, module.size));
        }
    }
    if info.command_line != 0 {
        let mut address = info.command_line;
        loop {
            let byte: u8 = at(address);
            if byte == 0 || !boot.push_command_line(byte) {
                break;
            }
            address += 1;
        }
    }
    if info.version >= 1 && info.memory_map != 0 {
        for i in 0..u64::from(info.memory_map_entries) {
            let entry: MapEntry = at(info.memory_map + i * 24);
            let kind = match entry.kind {
                1 => RegionKind::Ram,
                3 => RegionKind::Acpi,
                _ => RegionKind::Reserved,
            };
            boot.push_region(Region { start: entry.address, end: entry.address + entry.size, kind });
        }
    }
    boot
}
