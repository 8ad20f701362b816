//! The state of one connection (RFC 9293), apart from sockets, packets and locks: segments and the time come in as
//! arguments, segments go out through a [`Link`].
//!
//! The work is split by direction: [`super::input`] takes segments, [`super::output`] sends them, [`super::recovery`]
//! decides what was lost, [`super::reassembly`] keeps what came out of order.

use abi::Errno;

use super::reassembly::Reassembly;
use super::recovery::{Recovery, RoundTrip};
use super::segment::{Flags, Segment};
use super::seq::Seq;
use crate::bytes::Bytes;

/// A nanosecond count of the monotonic clock.
pub(crate) type Now = u64;

/// Nanoseconds in a millisecond.
pub(crate) const MS: u64 = 1_000_000;

/// States, with the numbers that `TCP_INFO` gives them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    Established = 1,
    SynSent = 2,
    SynReceived = 3,
    FinWait1 = 4,
    FinWait2 = 5,
    TimeWait = 6,
    Closed = 7,
    CloseWait = 8,
    LastAck = 9,
    Closing = 11,
}

bitflags::bitflags! {
    /// What happened to a connection, for its owner to act on.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Events: u8 {
        /// There is something to read, or the end.
        const READ = 1;
        /// There is room to write.
        const WRITE = 2;
        /// The handshake is done.
        const CONNECTED = 4;
        /// It is over; [`Connection::error`] may say why.
        const CLOSED = 8;
        /// It waits out its last two minutes (`TIME_WAIT`).
        const TIME_WAIT = 16;
    }
}

/// The way has no room: try again when it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// Where a connection's segments go.
pub(crate) trait Link {
    /// Sends a segment with `len` bytes of `bytes` from `offset` on. A payload longer than `mss` is cut into segments of
    /// that size on the way.
    ///
    /// # Errors
    /// [`Full`]: it was not sent.
    fn send(
        &mut self,
        segment: &Segment,
        bytes: &Bytes,
        offset: usize,
        len: usize,
        mss: usize,
    ) -> Result<(), Full>;

    /// Returns the longest payload that one call may send, `mss` at least.
    fn most(&self, mss: usize) -> usize;
}

/// What a connection's owner chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Settings {
    /// Largest segment that the way takes, in bytes of payload without options.
    pub mss: u16,
    /// Bytes that may wait to be sent.
    pub send_limit: usize,
    /// Bytes that may wait to be read.
    pub receive_limit: usize,
    /// The limits follow the traffic.
    pub autotune: bool,
    /// `TCP_NODELAY`
    pub no_delay: bool,
    /// `TCP_CORK`, `MSG_MORE`
    pub cork: bool,
    /// `SO_KEEPALIVE`
    pub keep_alive: bool,
    /// `TCP_KEEPIDLE`, `TCP_KEEPINTVL` in nanoseconds, `TCP_KEEPCNT`.
    pub keep: (u64, u64, u32),
    /// `TCP_USER_TIMEOUT` in nanoseconds, 0 for none.
    pub user_timeout: u64,
    /// `TCP_SYNCNT`
    pub syn_retries: u32,
    /// `TCP_LINGER2` in nanoseconds: how long an orphan waits for the peer's end.
    pub linger2: u64,
    /// `TCP_WINDOW_CLAMP`, 0 for none.
    pub window_clamp: usize,
    /// `SO_OOBINLINE`
    pub oob_inline: bool,
}

/// `net.ipv4.tcp_rmem[1]`, as Linux has it: what may wait to be read before the buffer follows the traffic.
pub(crate) const RECEIVE_START: usize = 131_072;
/// `net.ipv4.tcp_rmem[2]`
pub(crate) const RECEIVE_MOST: usize = 6 << 20;
/// What may wait to be sent, in the place of `net.ipv4.tcp_wmem[1]`, with which Linux begins and which soon grows.
pub(crate) const SEND_START: usize = 262_144;
/// `net.ipv4.tcp_wmem[2]`
pub(crate) const SEND_MOST: usize = 4 << 20;

impl Default for Settings {
    fn default() -> Self {
        Self {
            mss: 1460,
            send_limit: SEND_START,
            receive_limit: RECEIVE_START,
            autotune: true,
            no_delay: false,
            cork: false,
            keep_alive: false,
            keep: (7200 * 1000 * MS, 75 * 1000 * MS, 9),
            user_timeout: 0,
            syn_retries: 6,
            linger2: 60 * 1000 * MS,
            window_clamp: 0,
            oob_inline: false,
        }
    }
}

/// Why the retransmission timer runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimerKind {
    /// What is under way may be lost (RFC 6298).
    Retransmit,
    /// The last segment of a flight may be lost (RFC 8985, section 7).
    TailProbe,
    /// The peer's window is closed (RFC 9293, section 3.8.6.1).
    Persist,
}

/// Counters that `TCP_INFO` shows.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counters {
    pub segments_in: u32,
    pub segments_out: u32,
    pub data_in: u32,
    pub data_out: u32,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub bytes_acked: u64,
    pub retransmitted: u32,
    pub bytes_retransmitted: u64,
    pub out_of_order: u32,
    /// Times of the last data sent and received, and of the last acknowledgement received.
    pub last_sent: Now,
    pub last_received: Now,
    pub last_ack: Now,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) state: State,
    pub(crate) settings: Settings,
    error: Option<Errno>,
    pub(crate) counters: Counters,

    // Sending.
    /// Bytes to send and to be acknowledged.
    pub(crate) tx: Bytes,
    /// Sequence number of the first byte of [`Self::tx`].
    pub(crate) tx_seq: Seq,
    /// First sequence number that is not acknowledged.
    pub(crate) una: Seq,
    /// Next sequence number to be sent for the first time.
    pub(crate) next: Seq,
    pub(crate) iss: Seq,
    /// The peer's window, scaled, from [`Self::una`] on, and the largest that it ever was.
    pub(crate) window: usize,
    pub(crate) largest_window: usize,
    /// Segment and acknowledgement of the last window update.
    pub(crate) window_seq: Seq,
    pub(crate) window_ack: Seq,
    pub(crate) send_scale: u8,
    /// Bytes of payload in a segment: what both sides take, less the options of every segment.
    pub(crate) mss: usize,
    /// The application has ended sending: a FIN follows the bytes.
    pub(crate) fin: bool,
    /// A SYN is to be sent (again).
    pub(crate) syn_due: bool,
    pub(crate) recovery: Recovery,
    pub(crate) round_trip: RoundTrip,

    // Receiving.
    /// Bytes for the application.
    pub(crate) rx: Bytes,
    pub(crate) reassembly: Reassembly,
    pub(crate) irs: Seq,
    pub(crate) receive_next: Seq,
    /// First sequence number behind the window that the peer knows.
    pub(crate) advertised: Seq,
    pub(crate) receive_scale: u8,
    /// The peer has ended sending, and everything before that has arrived.
    pub(crate) fin_received: bool,
    /// The application does not read any more.
    pub(crate) receive_shut: bool,
    /// Bytes that came in since the last acknowledgement.
    pub(crate) unacknowledged: usize,
    pub(crate) ack_now: bool,
    /// Acknowledgements left that are sent at once: at the start, and while the application does not answer by itself.
    pub(crate) quick: u8,
    /// For the buffer's growth: bytes that the application took in the present round trip, and when that began.
    pub(crate) taken: (usize, Now),
    /// The urgent byte: its sequence number, and its value once it was taken out of the stream.
    pub(crate) urgent: Option<Seq>,
    pub(crate) urgent_byte: Option<u8>,
    /// Last sequence number of urgent data that was written.
    pub(crate) urgent_sent: Option<Seq>,

    // Options.
    pub(crate) sack: bool,
    pub(crate) timestamps: bool,
    /// Added to the clock in time stamps, so that they do not tell how long the machine has run.
    pub(crate) timestamp_offset: u32,
    pub(crate) timestamp_recent: u32,

    // Timers: deadlines, of which `deadline` is the earliest.
    pub(crate) timer: Option<(Now, TimerKind)>,
    pub(crate) delayed_ack: Option<Now>,
    pub(crate) keep_alive: Option<Now>,
    pub(crate) probes: u32,
    /// Retransmissions in a row, and since when nothing was acknowledged.
    pub(crate) backoff: u32,
    pub(crate) stuck_since: Now,
    /// The end of `FIN_WAIT_2` or `TIME_WAIT`.
    pub(crate) linger: Option<Now>,
    /// The application is gone.
    pub(crate) orphan: bool,
    /// The link was full at the last try.
    pub(crate) blocked: bool,
}

impl Connection {
    fn new(state: State, now: Now, iss: Seq, offset: u32, settings: Settings) -> Self {
        Self {
            state,
            settings,
            error: None,
            counters: Counters { last_sent: now, last_received: now, last_ack: now, ..Counters::default() },
            tx: Bytes::default(),
            tx_seq: iss + 1,
            una: iss,
            next: iss,
            iss,
            window: 0,
            largest_window: 0,
            window_seq: Seq(0),
            window_ack: Seq(0),
            send_scale: 0,
            mss: usize::from(settings.mss.min(536)),
            fin: false,
            syn_due: true,
            recovery: Recovery::new(settings.mss),
            round_trip: RoundTrip::default(),
            rx: Bytes::default(),
            reassembly: Reassembly::default(),
            irs: Seq(0),
            receive_next: Seq(0),
            advertised: Seq(0),
            receive_scale: scale_for(&settings),
            fin_received: false,
            receive_shut: false,
            unacknowledged: 0,
            ack_now: false,
            quick: 16,
            taken: (0, now),
            urgent: None,
            urgent_byte: None,
            urgent_sent: None,
            sack: true,
            timestamps: true,
            timestamp_offset: offset,
            timestamp_recent: 0,
            timer: None,
            delayed_ack: None,
            keep_alive: None,
            probes: 0,
            backoff: 0,
            stuck_since: now,
            linger: None,
            orphan: false,
            blocked: false,
        }
    }

    /// Begins a connection from this side; [`Self::output`] sends the SYN.
    pub(crate) fn connect(now: Now, iss: Seq, offset: u32, settings: Settings) -> Self {
        Self::new(State::SynSent, now, iss, offset, settings)
    }

    /// Answers a SYN; [`Self::output`] sends the other one.
    pub(crate) fn answer(now: Now, iss: Seq, offset: u32, syn: &Segment, settings: Settings) -> Self {
        let mut connection = Self::new(State::SynReceived, now, iss, offset, settings);
        connection.take_syn(syn);
        connection
    }

    /// Takes over what a SYN says.
    pub(crate) fn take_syn(&mut self, syn: &Segment) {
        self.irs = syn.seq;
        self.receive_next = syn.seq + 1;
        self.advertised = self.receive_next;
        self.window = usize::from(syn.window);
        self.largest_window = self.window;
        self.window_seq = syn.seq;
        self.sack &= syn.sack_permitted;
        self.timestamps &= syn.timestamp.is_some();
        if let Some((value, _)) = syn.timestamp {
            self.timestamp_recent = value;
        }
        match syn.scale {
            Some(scale) => self.send_scale = scale.min(14),
            None => self.receive_scale = 0,
        }
        // Linux takes nothing below 48 bytes (`TCP_MIN_SND_MSS`), lest a peer make us send headers only.
        let theirs = syn.mss.unwrap_or(536).max(48);
        let options = if self.timestamps { 12 } else { 0 };
        self.mss = usize::from(theirs.min(self.settings.mss)).saturating_sub(options).max(36);
        self.recovery.set_mss(self.mss);
    }

    /// Returns the state.
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// Says whether the handshake is done.
    pub(crate) const fn is_connected(&self) -> bool {
        !matches!(self.state, State::SynSent | State::SynReceived | State::Closed)
    }

    /// Takes the reason for which the connection broke.
    pub(crate) const fn take_error(&mut self) -> Option<Errno> {
        self.error.take()
    }

    /// Returns the bytes that the application can read.
    pub(crate) const fn readable(&self) -> usize {
        self.rx.len()
    }

    /// Says whether nothing more will come in.
    pub(crate) const fn at_end(&self) -> bool {
        self.fin_received || self.receive_shut || matches!(self.state, State::Closed | State::TimeWait)
    }

    /// Says whether the application may write.
    pub(crate) const fn may_write(&self) -> bool {
        !self.fin && matches!(self.state, State::Established | State::CloseWait)
    }

    /// Returns how many bytes the application may write now.
    pub(crate) fn room(&self) -> usize {
        self.settings.send_limit.saturating_sub(self.tx.len())
    }

    /// Says whether there is so much room that a writer should be woken: a third of the buffer, as on Linux.
    pub(crate) fn has_room(&self) -> bool {
        self.room() >= (self.tx.len() / 2).max(1)
    }

    /// Takes bytes off what has come in, through `take`, and notes that the window grows.
    pub(crate) fn read<T>(&mut self, now: Now, take: impl FnOnce(&mut Bytes) -> T) -> T {
        let before = self.rx.len();
        let taken = take(&mut self.rx);
        self.note_taken(now, before.saturating_sub(self.rx.len()));
        taken
    }

    /// Lets the receive buffer grow while the application keeps up: it took more in a round trip than half of what the
    /// buffer holds (`tcp_rcv_space_adjust`).
    fn note_taken(&mut self, now: Now, len: usize) {
        if !self.settings.autotune {
            return;
        }
        self.taken.0 += len;
        let round_trip = self.round_trip.smoothed().max(MS);
        if now.saturating_sub(self.taken.1) >= round_trip {
            if self.taken.0 > self.settings.receive_limit / 2 {
                self.settings.receive_limit = (self.settings.receive_limit * 2).min(RECEIVE_MOST);
            }
            self.taken = (0, now);
        }
    }

    /// Ends sending: a FIN follows what was written.
    pub(crate) fn end_sending(&mut self) {
        match self.state {
            State::Established => self.state = State::FinWait1,
            State::CloseWait => self.state = State::LastAck,
            // The FIN follows when the handshake is done.
            State::SynReceived => {}
            _ => return,
        }
        self.fin = true;
        self.settings.cork = false;
    }

    /// Ends receiving for the application; the peer does not hear of it (`shutdown(SHUT_RD)`).
    pub(crate) const fn end_receiving(&mut self) {
        self.receive_shut = true;
    }

    /// The application is gone: ends both directions in order, or at once where it left something unread (RFC 2525,
    /// section 2.17). Returns the reset to be sent in that case.
    pub(crate) fn close(&mut self, now: Now) -> Option<Segment> {
        self.orphan = true;
        let unread = !self.rx.is_empty();
        self.rx.clear();
        self.reassembly = Reassembly::default();
        self.receive_shut = true;
        match self.state {
            State::SynSent | State::Closed => {
                self.enter_closed(None);
                None
            }
            _ if unread => self.abort(),
            _ => {
                self.end_sending();
                if self.state == State::FinWait2 {
                    self.linger = Some(now + self.settings.linger2);
                }
                None
            }
        }
    }

    /// Breaks the connection; returns the reset that tells the peer.
    pub(crate) fn abort(&mut self) -> Option<Segment> {
        let told = matches!(
            self.state,
            State::SynReceived
                | State::Established
                | State::FinWait1
                | State::FinWait2
                | State::CloseWait
                | State::Closing
                | State::LastAck
        );
        let reset =
            Segment { seq: self.next, ack: Some(self.receive_next), flags: Flags::RST, ..Segment::default() };
        self.enter_closed(None);
        told.then_some(reset)
    }

    pub(crate) fn enter_closed(&mut self, error: Option<Errno>) {
        self.state = State::Closed;
        self.error = error;
        self.tx.clear();
        self.reassembly = Reassembly::default();
        (self.timer, self.delayed_ack, self.keep_alive, self.linger) = (None, None, None, None);
        (self.syn_due, self.ack_now) = (false, false);
    }

    /// Breaks a connection that has not yet been made, or notes that the way to the peer has a problem: a message of
    /// ICMP. Returns what happened.
    pub(crate) fn unreachable(&mut self, errno: Errno) -> Events {
        if matches!(self.state, State::SynSent | State::SynReceived) {
            self.enter_closed(Some(errno));
            return Events::CLOSED;
        }
        Events::empty()
    }

    /// Takes a smaller path MTU into account: payloads of at most `mss` bytes, options included.
    pub(crate) fn lower_mss(&mut self, mss: usize) {
        let options = if self.timestamps { 12 } else { 0 };
        let mss = mss.saturating_sub(options).max(36);
        if mss < self.mss {
            self.mss = mss;
            self.recovery.set_mss(mss);
            // What was too large is lost.
            self.recovery.begin_timeout(self.una, self.next);
        }
    }

    /// Returns when [`Self::tick`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Now> {
        let timer = self.timer.map(|(at, _)| at);
        [timer, self.delayed_ack, self.keep_alive, self.linger].into_iter().flatten().min()
    }

    /// Returns the sequence space under way.
    pub(crate) fn flight(&self) -> usize {
        self.next.distance(self.una)
    }

    /// Returns the sequence number of the FIN, which stands behind all bytes.
    pub(crate) fn fin_seq(&self) -> Seq {
        self.tx_seq + self.tx.len()
    }

    /// Returns the bytes that were not sent yet.
    pub(crate) fn unsent(&self) -> usize {
        self.fin_seq().distance(self.next.later(self.tx_seq))
    }

    /// Returns the time stamp for now.
    pub(crate) const fn stamp(&self, now: Now) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "time stamps wrap")]
        let ms = (now / MS) as u32;
        ms.wrapping_add(self.timestamp_offset)
    }

    /// Returns the room in the receive buffer.
    pub(crate) fn receive_room(&self) -> usize {
        let mut limit = self.settings.receive_limit;
        if self.settings.window_clamp != 0 {
            limit = limit.min(self.settings.window_clamp);
        }
        limit.saturating_sub(self.rx.len())
    }
}

/// Returns the window scale that lets the whole receive buffer be used, grown as far as it may.
fn scale_for(settings: &Settings) -> u8 {
    let largest = if settings.autotune { RECEIVE_MOST } else { settings.receive_limit };
    let mut scale = 0;
    while scale < 14 && largest >> scale > usize::from(u16::MAX) {
        scale += 1;
    }
    scale
}
