//! Devices that the hypervisor announces on the command line.

use super::Line;

/// A virtio device behind memory-mapped registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MmioDevice {
    /// Physical address of its registers.
    pub(crate) address: u64,
    /// Bytes of registers.
    pub(crate) len: u64,
    /// Its global system interrupt.
    pub(crate) gsi: u32,
    /// How that signals.
    pub(crate) line: Line,
}

/// Parses a token `virtio_mmio.device=SIZE@ADDRESS:IRQ[:ID]` (Linux's admin-guide, kernel-parameters); `None` for any
/// other token and for a malformed one. Such a device interrupts by an edge, as Linux has it.
pub(crate) fn virtio_mmio(token: &str) -> Option<MmioDevice> {
    let (len, rest) = token.strip_prefix("virtio_mmio.device=")?.split_once('@')?;
    let mut fields = rest.split(':');
    let (address, gsi) = (number(fields.next()?)?, number(fields.next()?)?);
    let len = match len.as_bytes().last()? {
        b'K' | b'k' => number(&len[..len.len() - 1])?.checked_mul(1 << 10)?,
        b'M' | b'm' => number(&len[..len.len() - 1])?.checked_mul(1 << 20)?,
        _ => number(len)?,
    };
    address.checked_add(len)?;
    Some(MmioDevice { address, len, gsi: u32::try_from(gsi).ok()?, line: Line::ISA })
}

/// Parses a number as C does: `0x` means hexadecimal.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_of_qemu_and_firecracker_are_understood() {
        let qemu = virtio_mmio("virtio_mmio.device=512@0xfeb02e00:12");
        assert_eq!(qemu, Some(MmioDevice { address: 0xfeb0_2e00, len: 512, gsi: 12, line: Line::ISA }));
        let firecracker = virtio_mmio("virtio_mmio.device=4K@0xd0000000:5");
        assert_eq!(
            firecracker,
            Some(MmioDevice { address: 0xd000_0000, len: 4096, gsi: 5, line: Line::ISA })
        );
        assert!(virtio_mmio("virtio_mmio.device=4K@0xd0000000:5:1").is_some());
    }

    #[test]
    fn malformed_tokens_are_refused() {
        for bad in
            ["", "=", "@1:2", "4K@", "4K@0x1", "4K@0x1:", "x@1:2", "1@0xffffffffffffffff:2", "K@1:4294967296"]
        {
            assert_eq!(virtio_mmio(bad), None);
            assert_eq!(virtio_mmio(&std::format!("virtio_mmio.device={bad}")), None, "{bad}");
        }
    }
}
