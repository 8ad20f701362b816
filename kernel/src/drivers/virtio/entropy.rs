//! The virtio entropy device (virtio 1.2, section 5.4): random bytes for the pool, asked for at start-up.

use alloc::sync::Arc;
use alloc::vec;

use hal::sync::{Lock, rank};

use super::queue::{Direction, Queue, Segment};
use super::{Link, Starting};
use crate::drivers::machine;
use crate::drivers::region::Dma;
use crate::drivers::{Device, ProbeError};

/// Bytes that are asked for: a full seed of a 256-bit generator.
const SEED_LEN: usize = 32;

struct Source {
    queue: Queue,
    page: Dma,
}

/// Asks the device for a seed. Nobody waits for it: the interrupt mixes it in.
pub(crate) fn probe(link: Link) -> Result<Device, ProbeError> {
    let mut device = Starting::new(link, 0)?;
    let mut source = Source { queue: device.queue(0, 2)?, page: Dma::new(1).ok_or(ProbeError::Memory)? };
    let buffer = Segment::new(&source.page, 0, SEED_LEN, Direction::FromDevice);
    // The queue is empty, so there is room.
    let _ = source.queue.push(0, &[], None, &[buffer]);
    let source: Arc<Lock<Source, { rank::DRIVER }>> = Arc::new(Lock::new(source));
    let handler = Arc::clone(&source);
    device.run(vec![(0, Arc::new(move || mix(&handler)))])?;
    source.lock().queue.kick();
    Ok(Device::Entropy)
}

fn mix(source: &Lock<Source, { rank::DRIVER }>) {
    let mut seed = [0; SEED_LEN];
    let mut len = 0;
    let mut locked = source.lock();
    if let Some(done) = locked.queue.pop() {
        len = usize::try_from(done.len).map_or(SEED_LEN, |len| len.min(SEED_LEN));
        locked.page.region().copy_out(0, &mut seed[..len]);
        // The seed is a secret now: no copy of it stays where a device can read.
        locked.page.region().copy_in(0, &[0; SEED_LEN]);
    }
    drop(locked);
    machine::mix_entropy(&seed[..len]);
}
