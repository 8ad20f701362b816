//! Segments go out (RFC 9293, section 3.8), and timers run out.

use abi::Errno;

use super::connection::{Connection, Events, Full, Link, MS, Now, State, TimerKind};
use super::segment::{Flags, Sacks, Segment};
use super::seq::Seq;

/// How often a SYN that answers one is sent again (`net.ipv4.tcp_synack_retries`).
const ANSWER_RETRIES: u32 = 5;
/// How often data is sent again (`net.ipv4.tcp_retries2`), and for an orphan (`tcp_orphan_retries`).
const DATA_RETRIES: u32 = 15;
const ORPHAN_RETRIES: u32 = 8;

/// How long a small segment waits for more at most, where the application asked for that (`TCP_CORK`).
const HOLD: u64 = 200 * MS;

/// Whether small segments may wait for more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hold {
    Yes,
    No,
}

impl Connection {
    /// Sends what is due: lost segments, new ones, a FIN, an acknowledgement.
    pub(crate) fn output(&mut self, now: Now, link: &mut dyn Link) {
        self.blocked = false;
        let sent = match self.state {
            State::Closed => return,
            State::SynSent | State::SynReceived => self.send_syn(now, link),
            _ => self.send_due(now, link),
        };
        self.blocked = sent.is_err();
    }

    fn header(&self, now: Now, seq: Seq) -> Segment {
        let window = self.offered() >> self.receive_scale;
        Segment {
            seq,
            ack: Some(self.receive_next),
            window: u16::try_from(window).unwrap_or(u16::MAX),
            timestamp: self.timestamps.then(|| (self.stamp(now), self.timestamp_recent)),
            ..Segment::default()
        }
    }

    /// Returns the window to be offered: the room, but never less than what was offered before, and nothing where it
    /// would be too small to be of use (RFC 9293, section 3.8.6.2.2).
    fn offered(&self) -> usize {
        let promised = self.advertised.distance(self.receive_next);
        let room = self.receive_room().saturating_sub(self.reassembly.len());
        let most = usize::from(u16::MAX) << self.receive_scale;
        let unit = 1 << self.receive_scale;
        let useful = self.mss.min(self.settings.receive_limit / 2);
        let room = if room < useful { 0 } else { room / unit * unit };
        room.max(promised).min(most)
    }

    fn note_sent(&mut self, window: u16) {
        self.counters.segments_out = self.counters.segments_out.wrapping_add(1);
        self.advertised =
            self.advertised.later(self.receive_next + (usize::from(window) << self.receive_scale));
        self.ack_now = false;
        self.delayed_ack = None;
        self.unacknowledged = 0;
    }

    fn send_syn(&mut self, now: Now, link: &mut dyn Link) -> Result<(), Full> {
        if !self.syn_due {
            return Ok(());
        }
        let answers = self.state == State::SynReceived;
        let window = u16::try_from(self.receive_room()).unwrap_or(u16::MAX);
        let scaled = !answers || self.receive_scale > 0 || self.send_scale > 0;
        let segment = Segment {
            seq: self.iss,
            ack: answers.then_some(self.receive_next),
            flags: Flags::SYN,
            window,
            mss: Some(self.settings.mss),
            scale: scaled.then_some(self.receive_scale),
            sack_permitted: self.sack,
            timestamp: self
                .timestamps
                .then(|| (self.stamp(now), if answers { self.timestamp_recent } else { 0 })),
            ..Segment::default()
        };
        link.send(&segment, &self.tx, 0, 0, self.mss)?;
        self.counters.segments_out = self.counters.segments_out.wrapping_add(1);
        self.syn_due = false;
        self.next = self.iss + 1;
        if answers {
            self.advertised = self.advertised.later(self.receive_next + usize::from(window));
        }
        if self.backoff == 0 {
            self.stuck_since = now;
        }
        self.timer = Some((now + self.round_trip.timeout(self.backoff), TimerKind::Retransmit));
        Ok(())
    }

    fn send_due(&mut self, now: Now, link: &mut dyn Link) -> Result<(), Full> {
        if self.next.before(self.tx_seq) {
            self.next = self.tx_seq;
        }
        self.send_lost(now, link)?;
        while self.send_new(now, link, Hold::Yes)? {}
        if self.ack_now || self.window_grew() {
            let mut segment = self.header(now, self.next);
            segment.sacks = self.sacks();
            link.send(&segment, &self.tx, 0, 0, self.mss)?;
            self.note_sent(segment.window);
        }
        if self.timer.is_none() && self.flight() == 0 && self.unsent() > 0 {
            // The window is closed, or too small, or the segment waits for more: none of them for ever.
            let wait = if self.window == 0 { self.round_trip.timeout(self.backoff) } else { HOLD };
            self.timer = Some((now + wait, TimerKind::Persist));
        }
        Ok(())
    }

    fn sacks(&self) -> Sacks {
        if self.sack && !self.reassembly.is_empty() { self.reassembly.sacks() } else { [None; 3] }
    }

    /// Says whether the peer should hear that it may send more: the window has doubled since it last heard of it
    /// (`tcp_cleanup_rbuf`).
    pub(crate) fn window_grew(&self) -> bool {
        if self.fin_received || self.receive_shut || self.state == State::TimeWait {
            return false;
        }
        let promised = self.advertised.distance(self.receive_next);
        let offered = self.offered();
        offered > promised && offered >= 2 * promised.max(self.mss / 2)
    }

    fn send_lost(&mut self, now: Now, link: &mut dyn Link) -> Result<(), Full> {
        let mut first = true;
        while let Some((seq, len)) = self.recovery.next_lost(self.una) {
            let under_way = self.recovery.pipe(self.una, self.next);
            if !first && under_way + len > self.recovery.window() {
                break;
            }
            self.send_range(now, link, seq, len)?;
            self.recovery.repaired(seq + len);
            first = false;
            if self.timer.is_none_or(|(_, kind)| kind != TimerKind::Retransmit) {
                self.timer = Some((now + self.round_trip.timeout(self.backoff), TimerKind::Retransmit));
            }
            if under_way + len > self.recovery.window() {
                break;
            }
        }
        Ok(())
    }

    /// Sends a range again; the last number may be that of the FIN.
    fn send_range(&mut self, now: Now, link: &mut dyn Link, seq: Seq, len: usize) -> Result<(), Full> {
        let bytes_end = self.fin_seq();
        let bytes = bytes_end.distance(seq).min(len);
        let mut segment = self.header(now, seq);
        if self.fin && seq + len == bytes_end + 1 {
            segment.flags |= Flags::FIN;
        }
        if bytes > 0 {
            segment.flags |= Flags::PSH;
        }
        link.send(&segment, &self.tx, seq.distance(self.tx_seq), bytes, self.mss)?;
        self.round_trip.forget();
        self.counters.retransmitted = self.counters.retransmitted.wrapping_add(1);
        self.counters.bytes_retransmitted += bytes as u64;
        self.note_sent(segment.window);
        Ok(())
    }

    /// Sends new bytes, if they may go now; says whether it did.
    fn send_new(&mut self, now: Now, link: &mut dyn Link, hold: Hold) -> Result<bool, Full> {
        let unsent = self.unsent();
        let fin_due = self.fin && !self.next.after(self.fin_seq());
        if unsent == 0 && !fin_due {
            return Ok(false);
        }
        let flight = self.flight();
        let window = self.window.saturating_sub(flight);
        let under_way = self.recovery.pipe(self.una, self.next);
        let congestion = self.recovery.window().saturating_sub(under_way);
        let idle_for = now.saturating_sub(self.counters.last_sent);
        if flight == 0 && unsent > 0 && idle_for > self.round_trip.timeout(0) {
            self.recovery.restart();
        }
        let mut len = unsent.min(window).min(congestion).min(link.most(self.mss));
        if len > self.mss {
            // Whole segments, but for the last.
            let whole = len / self.mss * self.mss;
            if len < unsent || self.holds_back(len - whole, flight + whole) {
                len = whole;
            }
        } else if len < self.mss && unsent > 0 && hold == Hold::Yes {
            // Less than a segment: only where it is all there is and nothing speaks against it, or where the peer's
            // window never was larger (silly window avoidance, RFC 9293, section 3.8.6.2.1).
            let all = len == unsent;
            let half = len > 0 && len >= self.largest_window / 2;
            if len == 0 || (!all || self.holds_back(len, flight)) && !half {
                return Ok(false);
            }
        }
        let fin_now = fin_due && len == unsent && (window > len || unsent == 0);
        if len == 0 && !fin_now {
            return Ok(false);
        }
        let mut segment = self.header(now, self.next);
        if len > 0 && len == unsent {
            segment.flags |= Flags::PSH;
        }
        if fin_now {
            segment.flags |= Flags::FIN;
        }
        if let Some(urgent) = self.urgent_sent
            && !urgent.before(self.next)
        {
            segment.flags |= Flags::URG;
            segment.urgent = u16::try_from(urgent.distance(self.next) + 1).unwrap_or(u16::MAX);
        }
        segment.sacks = self.sacks();
        link.send(&segment, &self.tx, self.next.distance(self.tx_seq), len, self.mss)?;
        // Whoever answers by itself needs no acknowledgements in a hurry.
        if self.delayed_ack.is_some() || self.ack_now {
            self.quick = 0;
        }
        self.next = self.next + len + usize::from(fin_now);
        self.note_sent(segment.window);
        self.counters.last_sent = now;
        self.counters.data_out =
            self.counters.data_out.wrapping_add(u32::try_from(len.div_ceil(self.mss)).unwrap_or(0));
        self.counters.bytes_out += len as u64;
        self.round_trip.sent(self.next, now);
        if flight == 0 {
            self.stuck_since = now;
        }
        if self.timer.is_none_or(|(_, kind)| kind != TimerKind::Retransmit) {
            self.arm_retransmit(now);
        }
        Ok(true)
    }

    /// Says whether a segment that is not full waits for more: corked, or by Nagle's algorithm as Minshall changed it.
    fn holds_back(&self, len: usize, flight: usize) -> bool {
        if len == 0 || self.fin {
            return false;
        }
        if self.settings.cork {
            return true;
        }
        !self.settings.no_delay && flight > 0
    }

    /// Runs the timers that are due. What they want sent is sent by the [`Connection::output`] that follows.
    pub(crate) fn tick(&mut self, now: Now, link: &mut dyn Link) -> Events {
        if self.delayed_ack.is_some_and(|at| at <= now) {
            self.delayed_ack = None;
            self.ack_now = true;
            // The application does not answer by itself.
            self.quick = self.quick.max(1);
        }
        if self.linger.is_some_and(|at| at <= now) {
            self.enter_closed(None);
            return Events::CLOSED;
        }
        if self.keep_alive.is_some_and(|at| at <= now) {
            let events = self.tick_keep_alive(now, link);
            if !events.is_empty() {
                return events;
            }
        }
        match self.timer {
            Some((at, kind)) if at <= now => self.tick_timer(now, kind, link),
            _ => Events::empty(),
        }
    }

    fn give_up(&mut self, errno: Errno) -> Events {
        self.enter_closed(Some(errno));
        Events::CLOSED | Events::READ | Events::WRITE
    }

    fn tick_keep_alive(&mut self, now: Now, link: &mut dyn Link) -> Events {
        let (idle, interval, count) = self.settings.keep;
        if self.flight() > 0 || self.unsent() > 0 {
            // What is under way tells whether the peer is there.
            self.keep_alive = Some(now + idle);
            return Events::empty();
        }
        let timeout = self.settings.user_timeout;
        let quiet = now.saturating_sub(self.counters.last_ack);
        if timeout > 0 && quiet >= timeout && self.probes > 0 || timeout == 0 && self.probes >= count {
            return self.give_up(Errno::ETIMEDOUT);
        }
        self.probes += 1;
        self.keep_alive = Some(now + interval);
        let _ = self.send_probe(now, link);
        Events::empty()
    }

    /// Sends an acknowledgement of an old number, which the peer has to answer.
    fn send_probe(&mut self, now: Now, link: &mut dyn Link) -> Result<(), Full> {
        let segment = self.header(now, self.una - 1);
        link.send(&segment, &self.tx, 0, 0, self.mss)?;
        self.note_sent(segment.window);
        Ok(())
    }

    fn tick_timer(&mut self, now: Now, kind: TimerKind, link: &mut dyn Link) -> Events {
        let retries = match self.state {
            State::SynSent => self.settings.syn_retries,
            State::SynReceived => ANSWER_RETRIES,
            _ if self.orphan => ORPHAN_RETRIES,
            _ => DATA_RETRIES,
        };
        let stuck = now.saturating_sub(self.stuck_since);
        let timeout = self.settings.user_timeout;
        let over = if timeout > 0 && self.state != State::SynReceived {
            stuck >= timeout
        } else {
            self.backoff >= retries
        };
        match kind {
            TimerKind::TailProbe => {
                if self.flight() == 0 {
                    self.timer = None;
                    return Events::empty();
                }
                // New bytes if there are any, else the last segment again: the answer shows what is missing.
                let before = self.next;
                let sent = self.send_new(now, link, Hold::No);
                if self.next == before && sent.is_ok() {
                    let len = self.flight().min(self.mss);
                    let _ = self.send_range(now, link, self.next - len, len);
                }
                self.timer = Some((now + self.round_trip.timeout(0), TimerKind::Retransmit));
                Events::empty()
            }
            _ if over => self.give_up(Errno::ETIMEDOUT),
            TimerKind::Retransmit => {
                self.backoff += 1;
                self.round_trip.forget();
                if matches!(self.state, State::SynSent | State::SynReceived) {
                    self.syn_due = true;
                } else {
                    self.recovery.begin_timeout(self.una, self.next);
                }
                self.timer = Some((now + self.round_trip.timeout(self.backoff), TimerKind::Retransmit));
                Events::empty()
            }
            TimerKind::Persist => {
                self.timer = None;
                if self.window > 0 {
                    let _ = self.send_new(now, link, Hold::No);
                    return Events::empty();
                }
                self.backoff += 1;
                let _ = self.send_probe(now, link);
                self.timer =
                    Some((now + self.round_trip.timeout(self.backoff).max(200 * MS), TimerKind::Persist));
                Events::empty()
            }
        }
    }
}
