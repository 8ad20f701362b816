//! What the loader told us about the machine, independent of the boot protocol.

use alloc::string::String;
use alloc::vec;

use abi::boot::Config;

use crate::log::log;
use crate::mm;

/// Regions of a memory map that are kept.
const MAX_REGIONS: usize = 48;
/// Bytes of a command line that are kept; longer configurations travel in the boot module.
const MAX_COMMAND_LINE: usize = 4096;

/// What a region of physical memory is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RegionKind {
    /// Free for use.
    Ram,
    /// ACPI tables.
    Acpi,
    /// Not memory, or somebody else's.
    Reserved,
}

/// A region of physical memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    /// First byte.
    pub(crate) start: u64,
    /// Byte behind the last.
    pub(crate) end: u64,
    /// What it is.
    pub(crate) kind: RegionKind,
}

/// What the loader told us.
pub(crate) struct BootInfo {
    regions: [Region; MAX_REGIONS],
    region_count: usize,
    command_line: [u8; MAX_COMMAND_LINE],
    command_line_len: usize,
    /// Physical address and length of the boot module.
    pub(crate) module: Option<(u64, u64)>,
    /// Physical address of the ACPI root pointer; 0 if the loader named none.
    pub(crate) rsdp: u64,
}

impl Default for BootInfo {
    fn default() -> Self {
        Self {
            regions: [Region { start: 0, end: 0, kind: RegionKind::Reserved }; MAX_REGIONS],
            region_count: 0,
            command_line: [0; MAX_COMMAND_LINE],
            command_line_len: 0,
            module: None,
            rsdp: 0,
        }
    }
}

impl BootInfo {
    /// Adds a region; more than fit are left unused.
    pub(crate) fn push_region(&mut self, region: Region) {
        if let Some(slot) = self.regions.get_mut(self.region_count) {
            *slot = region;
            self.region_count += 1;
        }
    }

    /// Adds a byte of the command line; `false` when there is no more room.
    pub(crate) fn push_command_line(&mut self, byte: u8) -> bool {
        match self.command_line.get_mut(self.command_line_len) {
            Some(slot) => {
                *slot = byte;
                self.command_line_len += 1;
                true
            }
            None => false,
        }
    }

    /// Returns the memory map in the loader's order.
    pub(crate) fn regions(&self) -> &[Region] {
        &self.regions[..self.region_count]
    }

    /// Returns the command line up to the first byte that is not UTF-8.
    pub(crate) fn command_line(&self) -> &str {
        let bytes = &self.command_line[..self.command_line_len];
        match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(bad) => core::str::from_utf8(&bytes[..bad.valid_up_to()]).unwrap_or_default(),
        }
    }
}

/// Returns the configuration of the command line, completed by the block behind the image in the boot module. A
/// mistake in it is reported, and the machine starts with what was understood: nothing.
pub(crate) fn config(boot: &BootInfo) -> Config {
    let parse = |text: &str| {
        Config::parse(text).unwrap_or_else(|error| {
            log!(Error, "{error}");
            Config::default()
        })
    };
    let config = parse(boot.command_line());
    if !config.block {
        return config;
    }
    match boot.module.and_then(|(start, len)| block_text(start, len)) {
        Some(text) => config.or(parse(&text)),
        None => {
            log!(Error, "the boot module holds no configuration");
            config
        }
    }
}

/// Finds the configuration behind the image: a block that starts at a page and ends with the module.
fn block_text(module: u64, len: u64) -> Option<String> {
    const PAGE: u64 = 4096;
    const LONGEST: u64 = 1 << 20;
    let mut at = (len.checked_sub(1)?) & !(PAGE - 1);
    loop {
        if len - at > LONGEST {
            return None;
        }
        let mut head = [0; 16];
        mm::read_physical(module + at, &mut head[..16.min(usize::try_from(len - at).ok()?)]);
        if head.starts_with(&abi::boot::BLOCK_MAGIC) {
            let mut bytes = vec![0; usize::try_from(len - at).ok()?];
            mm::read_physical(module + at, &mut bytes);
            return abi::boot::read_block(&bytes).map(String::from);
        }
        at = at.checked_sub(PAGE)?;
    }
}
