//! The queue for commands to a card (virtio 1.2, section 5.1.6.5).

use core::time::Duration;

use hal::PAGE_SIZE;

use super::super::super::machine;
use super::super::super::region::Dma;
use super::super::queue::{Direction, Queue, Segment};

/// Descriptors of the queue: one command is under way at a time, of two.
pub(super) const DESCRIPTORS: u16 = 4;
/// Addresses that a device is asked to know; QEMU knows 64, and takes all groups' frames beyond that.
const ADDRESSES_MAX: usize = 64;
/// Bytes of the longest command: class, number, two counts, addresses.
const COMMAND_MAX: usize = 2 + 4 + 4 + 6 * ADDRESSES_MAX;
/// Where the answer lies in the page, behind the command.
const ANSWER_AT: usize = PAGE_SIZE - 1;
const OK: u8 = 0;
const NO_ANSWER: u8 = 0xff;
/// How long to wait for an answer, which comes in microseconds. The processor spins meanwhile.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a card is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Command<'a> {
    /// Hand over every frame, or not.
    Promiscuous(bool),
    /// Hand over frames to any group, or not.
    AllMulticast(bool),
    /// Hand over frames to these groups; at most [`ADDRESSES_MAX`].
    Groups(&'a [[u8; 6]]),
    /// Use as many pairs of queues.
    Pairs(u16),
}

impl Command<'_> {
    /// Writes the command, and returns its length.
    pub(super) fn encode(self, to: &mut [u8; COMMAND_MAX]) -> usize {
        let (class, number) = match self {
            Self::Promiscuous(_) => (0, 0),
            Self::AllMulticast(_) => (0, 1),
            Self::Groups(_) => (1, 0),
            Self::Pairs(_) => (4, 0),
        };
        [to[0], to[1]] = [class, number];
        match self {
            Self::Promiscuous(on) | Self::AllMulticast(on) => {
                to[2] = on.into();
                3
            }
            Self::Groups(groups) => {
                let groups = &groups[..groups.len().min(ADDRESSES_MAX)];
                // No single addresses but the card's own, which it knows.
                to[2..6].fill(0);
                #[expect(clippy::cast_possible_truncation, reason = "at most ADDRESSES_MAX")]
                to[6..10].copy_from_slice(&(groups.len() as u32).to_le_bytes());
                let len = 6 * groups.len();
                to[10..10 + len].copy_from_slice(groups.as_flattened());
                10 + len
            }
            Self::Pairs(pairs) => {
                to[2..4].copy_from_slice(&pairs.to_le_bytes());
                4
            }
        }
    }
}

/// Turns a filter into commands: more groups than a device knows are all groups.
pub(super) const fn filter(promiscuous: bool, groups: &[[u8; 6]]) -> [Command<'_>; 3] {
    let all = groups.len() > ADDRESSES_MAX;
    [
        Command::Promiscuous(promiscuous),
        Command::AllMulticast(all),
        Command::Groups(if all { &[] } else { groups }),
    ]
}

/// The queue.
pub(super) struct Control {
    queue: Queue,
    page: Dma,
    /// An answer did not come: the page is the device's, for ever perhaps.
    lost: bool,
}

impl Control {
    pub(super) fn new(mut queue: Queue, page: Dma) -> Self {
        queue.set_interrupts(false);
        Self { queue, page, lost: false }
    }

    /// Sends a command and waits for the answer; `false` if the card did not obey.
    pub(super) fn send(&mut self, command: Command<'_>) -> bool {
        if self.lost {
            return false;
        }
        let mut bytes = [0; COMMAND_MAX];
        let len = command.encode(&mut bytes);
        let region = self.page.region();
        region.copy_in(0, &bytes[..len]);
        region.write8(ANSWER_AT, NO_ANSWER);
        let words = Segment::new(&self.page, 0, len, Direction::ToDevice);
        let answer = Segment::new(&self.page, ANSWER_AT, 1, Direction::FromDevice);
        if self.queue.push(0, &[words], None, &[answer]).is_err() {
            return false;
        }
        self.queue.kick();
        self.lost = !machine::spin_until(PATIENCE, || self.queue.pop().is_some());
        !self.lost && region.read8(ANSWER_AT) == OK
    }
}
