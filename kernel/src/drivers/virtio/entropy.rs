//! The virtio entropy device (virtio 1.2, section 5.4): random bytes for the pool, asked for at start-up, through the
//! driver of the `virtio-drivers` crate.

use alloc::boxed::Box;
use core::hint::black_box;
use core::time::Duration;

use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::transport::DeviceType;

use super::Link;
use super::adapter::Adapter;
use super::memory::Memory;
use crate::drivers::{Device, ProbeError, machine};
use crate::log::log;

/// Bytes that are asked for: two keys of the generator.
const SEED_LEN: usize = 64;
/// How long the device may take. Start-up stands still meanwhile; a hypervisor that has its bytes at hand needs some
/// microseconds.
const LIMIT: Duration = Duration::from_millis(100);

/// Asks the device for a seed and mixes it in. The device is not used after that.
pub(crate) fn probe(link: Link) -> Result<Device, ProbeError> {
    let adapter = Adapter::new(link, DeviceType::EntropySource, LIMIT);
    let mut source = VirtIORng::<Memory, Adapter>::new(adapter)?;
    source.disable_interrupts();
    // On the heap, which a device can reach without a copy.
    let mut seed = Box::new([0; SEED_LEN]);
    let answer = source.request_entropy(&mut seed[..]);
    drop(source);
    let len = answer.unwrap_or(0).min(SEED_LEN);
    if len == 0 {
        // A device this far gone may not even have been reset: its memory is not used for anything else.
        Box::leak(seed);
        return Err(ProbeError::Unsupported("it gave no bytes"));
    }
    machine::mix_entropy(&seed[..len]);
    // The seed is a secret now: no copy of it stays on the heap.
    seed.fill(0);
    black_box(&seed);
    log!(Debug, "virtio-rng: {len} random bytes");
    Ok(Device::Entropy)
}
