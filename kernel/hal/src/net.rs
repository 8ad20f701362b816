//! Network cards.

use alloc::sync::Arc;

bitflags::bitflags! {
    /// Work that a card takes over.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Offloads: u32 {
        /// It fills in the checksum of outgoing TCP and UDP packets ([`TxOffload::checksum`]).
        const TX_CHECKSUM = 1;
        /// It cuts outgoing TCP packets over IPv4 into segments ([`TxOffload::segment`]).
        const TSO4 = 2;
        /// The same over IPv6.
        const TSO6 = 4;
        /// It checks incoming checksums, and may hand over packets whose checksum was never filled in.
        const RX_CHECKSUM = 8;
        /// It may join incoming TCP segments into frames of up to 64 KiB.
        const RX_LARGE = 16;
        /// It reports changes of the link.
        const LINK = 32;
    }
}

/// What is known of a card and does not change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetInfo {
    /// Ethernet address.
    pub mac: [u8; 6],
    /// Largest packet behind the Ethernet header, in bytes.
    pub mtu: u16,
    /// What the card does for us.
    pub offloads: Offloads,
    /// Pairs of queues, at least 1; they are numbered from 0.
    pub queues: usize,
}

/// What the card is to do with an outgoing frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TxOffload {
    /// Where the checksummed part starts, and where in that part the checksum lies; offsets in bytes, the first from the
    /// start of the frame. The field holds the sum of the pseudo header.
    pub checksum: Option<(u16, u16)>,
    /// Cut the frame into TCP segments.
    pub segment: Option<Segment>,
}

/// How an outgoing frame is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The packet is IPv6.
    pub v6: bool,
    /// Bytes of payload in a segment.
    pub size: u16,
    /// Bytes of Ethernet, IP and TCP headers in front of the payload.
    pub header: u16,
}

/// What the card says of an incoming frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RxInfo {
    /// The checksum is right, or was never filled in because the frame has not left the host.
    pub checksum_good: bool,
}

/// What passed through a card, or did not (`/proc/net/dev`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NetCounters {
    /// Frames received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames received that were malformed.
    pub rx_errors: u64,
    /// Frames that found no buffer, as far as the card says so.
    pub rx_dropped: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames that were not sent because the queue was full.
    pub tx_dropped: u64,
}

/// The queue has no room: [`NetEvents::room`] will say when it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueFull;

/// A network card that carries Ethernet frames. Several processors may call at once; each queue has its own lock. Events
/// of queue `n` come on processor `n` where the card can choose.
pub trait NetDevice: Send + Sync {
    /// Returns what does not change.
    fn info(&self) -> NetInfo;
    /// Says whether the link is up.
    fn link_up(&self) -> bool;
    /// Returns what passed so far.
    fn counters(&self) -> NetCounters;
    /// Says who hears of events, and from then on reports them; the first frame of each queue is reported without
    /// [`NetDevice::listen`]. Called once. A card takes its memory here; one that finds none stays down, and says so in the
    /// log.
    fn start(&self, events: Arc<dyn NetEvents>);
    /// Puts a frame of `len` bytes into a queue: `fill` writes it into the card's buffer, all of it, while no lock of the
    /// card is held. The card need not hear of it before [`NetDevice::flush`]. Only what [`NetInfo::offloads`] names may be
    /// asked for.
    ///
    /// # Errors
    /// [`QueueFull`]; `fill` was not called then, and the card has heard of all frames before.
    ///
    /// # Panics
    /// If the frame is empty, or longer than the packet size or, where the card cuts, 64 KiB allow.
    fn transmit(
        &self,
        queue: usize,
        len: usize,
        offload: TxOffload,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), QueueFull>;
    /// Tells the card of the frames put into a queue since the last call.
    fn flush(&self, queue: usize);
    /// Hands over at most `budget` received frames in order, and returns how many there were. While `each` runs, no lock
    /// of the card is held, so it may transmit. A queue is drained by one caller at a time: another one gets 0 meanwhile,
    /// also from within `each`, and can leave the rest to the first, which will listen when it is through.
    fn receive(&self, queue: usize, budget: usize, each: &mut dyn FnMut(&[u8], RxInfo)) -> usize;
    /// Asks for [`NetEvents::received`] when the next frame comes in; returns `true`, asking for nothing, if one is there
    /// already. While another caller drains the queue it returns `false`, and asks for nothing.
    fn listen(&self, queue: usize) -> bool;
    /// Says which frames the card should hand over beyond its own and broadcasts; none at first. A card that cannot filter
    /// may hand over more.
    fn set_filter(&self, promiscuous: bool, multicast: &[[u8; 6]]);
}

/// Who hears of a card's events. Called in an interrupt: may take a [`crate::sync::Lock`] and call the card, must not park.
pub trait NetEvents: Send + Sync {
    /// Frames were received; there is no further call for this queue before [`NetDevice::listen`].
    fn received(&self, queue: usize);
    /// A queue that was full has room again.
    fn room(&self, queue: usize);
    /// The link came up or went down.
    fn link_changed(&self);
}
