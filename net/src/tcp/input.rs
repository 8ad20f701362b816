//! Segments come in (RFC 9293, section 3.10.7, with RFC 5961 and RFC 7323).

use abi::Errno;

use super::connection::{Connection, Events, MS, Now, State, TimerKind};
use super::segment::{Flags, Segment};
use super::seq::Seq;

/// How long an acknowledgement may wait for company (`TCP_DELACK_MIN`).
const DELAYED_ACK: u64 = 40 * MS;

/// The answer to a segment that does not fit the connection, beside what [`Connection::output`] sends.
pub(super) type Reply = Option<Segment>;

impl Connection {
    /// Takes a segment. What is to be sent in return is sent by [`Connection::output`], but for a reset of a segment that
    /// belongs to some other connection: that is the reply.
    pub(crate) fn input(&mut self, now: Now, segment: &Segment, payload: &[u8]) -> (Events, Reply) {
        self.counters.segments_in = self.counters.segments_in.wrapping_add(1);
        match self.state {
            State::Closed => (Events::empty(), segment.reset_for(payload.len())),
            State::SynSent => self.input_syn_sent(now, segment),
            _ => self.input_synchronized(now, segment, payload),
        }
    }

    fn input_syn_sent(&mut self, now: Now, segment: &Segment) -> (Events, Reply) {
        if let Some(ack) = segment.ack
            && (!ack.after(self.iss) || ack.after(self.next))
        {
            return (Events::empty(), segment.reset_for(0));
        }
        if segment.has(Flags::RST) {
            if segment.ack.is_some() {
                self.enter_closed(Some(Errno::ECONNREFUSED));
                return (Events::CLOSED, None);
            }
            return (Events::empty(), None);
        }
        if !segment.has(Flags::SYN) {
            return (Events::empty(), None);
        }
        self.take_syn(segment);
        match segment.ack {
            Some(ack) => {
                self.una = ack;
                self.window_ack = ack;
                if let (true, Some((_, echo))) = (self.timestamps, segment.timestamp) {
                    self.sample_echo(now, echo);
                }
                self.establish(now);
                self.ack_now = true;
                (Events::CONNECTED | Events::WRITE, None)
            }
            None => {
                // Both sides began at once.
                self.state = State::SynReceived;
                self.syn_due = true;
                self.next = self.iss;
                (Events::empty(), None)
            }
        }
    }

    fn establish(&mut self, now: Now) {
        self.state = State::Established;
        self.syn_due = false;
        self.backoff = 0;
        self.timer = None;
        self.probes = 0;
        self.counters.last_ack = now;
        self.counters.last_received = now;
        self.arm_keep_alive(now);
        if self.fin {
            self.state = State::FinWait1;
        }
    }

    pub(crate) fn arm_keep_alive(&mut self, now: Now) {
        let (idle, ..) = self.settings.keep;
        let useful = self.settings.keep_alive && self.is_connected() && self.state != State::TimeWait;
        self.keep_alive = useful.then_some(now + idle);
        self.probes = 0;
    }

    fn sample_echo(&mut self, now: Now, echo: u32) {
        let age = self.stamp(now).wrapping_sub(echo);
        // An echo from the future, or of long ago, is none.
        if age < 1 << 24 {
            self.round_trip.sample(u64::from(age) * MS);
        }
    }

    /// Says whether any of the segment lies in the receive window (RFC 9293, section 3.10.7.4).
    fn acceptable(&self, segment: &Segment, len: usize) -> bool {
        let space = segment.space(len);
        let edge = self.advertised.later(self.receive_next + self.receive_room());
        let window = edge.distance(self.receive_next);
        let (first, end) = (segment.seq, segment.seq + space);
        match (space, window) {
            (0, 0) => first == self.receive_next,
            (0, _) => !first.before(self.receive_next) && !first.after(edge),
            (_, 0) => false,
            _ => end.after(self.receive_next) && first.before(edge),
        }
    }

    fn input_synchronized(&mut self, now: Now, segment: &Segment, payload: &[u8]) -> (Events, Reply) {
        let mut events = Events::empty();
        // PAWS (RFC 7323, section 5): an old duplicate. Time stamps that are older than 24 days say nothing.
        if let (true, Some((value, _))) = (self.timestamps, segment.timestamp) {
            let old = value.wrapping_sub(self.timestamp_recent).cast_signed() < 0;
            let trusted = now.saturating_sub(self.counters.last_received) < 24 * 24 * 3_600_000 * MS;
            if old && trusted && !segment.has(Flags::RST) {
                self.ack_now = true;
                return (events, None);
            }
        }
        if self.state == State::SynReceived && segment.has(Flags::SYN) && segment.seq == self.irs {
            // The other SYN was lost, or is late.
            self.syn_due = segment.ack.is_none();
            if self.syn_due {
                return (events, None);
            }
        } else if !self.acceptable(segment, payload.len()) {
            if !segment.has(Flags::RST) {
                self.ack_now = true;
            }
            // Its acknowledgement is as good as any other's: a window update may come with a keep-alive.
            if segment.has(Flags::RST) || segment.has(Flags::SYN) || segment.space(payload.len()) > 0 {
                return (events, None);
            }
        }
        if segment.has(Flags::RST) {
            // RFC 5961, section 3: only the exact number is believed.
            if segment.seq != self.receive_next {
                self.ack_now = true;
                return (events, None);
            }
            let error = match self.state {
                State::SynReceived => Some(Errno::ECONNREFUSED),
                State::CloseWait => Some(Errno::EPIPE),
                State::Closing | State::LastAck | State::TimeWait => None,
                _ => Some(Errno::ECONNRESET),
            };
            self.enter_closed(error);
            return (Events::CLOSED | Events::READ, None);
        }
        if segment.has(Flags::SYN) && self.state != State::SynReceived {
            // RFC 5961, section 4.
            self.ack_now = true;
            return (events, None);
        }
        let Some(ack) = segment.ack else { return (events, None) };
        if let (true, Some((value, _))) = (self.timestamps, segment.timestamp)
            && !segment.seq.after(self.receive_next)
        {
            self.timestamp_recent = value;
        }
        if self.state == State::SynReceived {
            if !ack.after(self.una) || ack.after(self.next) {
                return (events, segment.reset_for(payload.len()));
            }
            self.una = self.iss + 1;
            self.window = usize::from(segment.window) << self.send_scale;
            self.window_seq = segment.seq;
            self.window_ack = ack;
            if let (true, Some((_, echo))) = (self.timestamps, segment.timestamp) {
                self.sample_echo(now, echo);
            }
            self.establish(now);
            events |= Events::CONNECTED | Events::WRITE;
        }
        if ack.after(self.next) {
            // It acknowledges what was never sent.
            self.ack_now = true;
            return (events, None);
        }
        self.counters.last_ack = now;
        events |= self.take_ack(now, segment, ack, payload.len());
        if self.state == State::Closed {
            return (events | Events::CLOSED, None);
        }
        if segment.has(Flags::URG) && segment.urgent > 0 {
            self.take_urgent(segment);
        }
        if self.orphan && self.reads_end_before(segment.seq + payload.len()) {
            // Nobody will read this (RFC 2525, section 2.17).
            let reset = segment.reset_for(payload.len());
            self.enter_closed(None);
            return (events | Events::CLOSED, reset);
        }
        events |= self.take_payload(now, segment, payload);
        if self.state == State::TimeWait {
            events |= Events::TIME_WAIT;
        }
        (events, None)
    }

    fn take_ack(&mut self, now: Now, segment: &Segment, ack: Seq, payload: usize) -> Events {
        let mut events = Events::empty();
        let news = self.sack && self.recovery.report(&segment.sacks, self.una, self.next);
        let window = usize::from(segment.window) << self.send_scale;
        let same_window = window == self.window;
        let newer = self.window_seq.before(segment.seq)
            || self.window_seq == segment.seq && !ack.before(self.window_ack);
        if newer && !ack.before(self.una) {
            (self.window, self.window_seq, self.window_ack) = (window, segment.seq, ack);
            self.largest_window = self.largest_window.max(window);
            if window > 0
                && let Some((_, TimerKind::Persist)) = self.timer
            {
                self.timer = None;
                self.backoff = 0;
            }
        }
        self.probes = 0;
        if self.settings.keep_alive {
            self.arm_keep_alive(now);
        }
        if ack.after(self.una) {
            events |= self.advance(now, segment, ack);
        } else if ack == self.una
            && self.flight() > 0
            && payload == 0
            && (same_window || news)
            && !segment.has(Flags::FIN)
            && self.recovery.duplicate(self.una, self.next, self.flight(), news)
        {
            // The first loss is repaired at once, whatever the timer does.
            self.round_trip.forget();
        }
        if matches!(self.timer, Some((_, TimerKind::Persist))) && self.flight() == 0 && self.window == 0 {
            // The peer is there, its window closed: the probes go on without counting as failures.
            self.stuck_since = now;
        }
        events
    }

    /// Takes an acknowledgement of something new.
    fn advance(&mut self, now: Now, segment: &Segment, ack: Seq) -> Events {
        let mut events = Events::empty();
        let limited = self.flight() + self.mss > self.recovery.window();
        let bytes_end = self.fin_seq();
        let acked = ack.earlier(bytes_end).distance(self.tx_seq);
        self.tx.consume(acked);
        self.tx_seq = self.tx_seq + acked;
        self.counters.bytes_acked += acked as u64;
        let repairing = self.recovery.is_repairing().is_some();
        match segment.timestamp {
            Some((_, echo)) if self.timestamps => self.sample_echo(now, echo),
            _ if !repairing => self.round_trip.acknowledged(ack, now),
            _ => {}
        }
        self.una = ack;
        self.recovery.acknowledged(ack, acked, limited);
        self.backoff = 0;
        self.stuck_since = now;
        self.timer = None;
        if self.flight() > 0 {
            self.arm_retransmit(now);
        }
        if acked > 0 && self.has_room() {
            if self.settings.autotune && self.settings.send_limit < 2 * self.recovery.window() {
                let most = super::connection::SEND_MOST;
                self.settings.send_limit = (2 * self.recovery.window()).min(most);
            }
            events |= Events::WRITE;
        }
        if self.fin && ack.after(bytes_end) {
            match self.state {
                State::FinWait1 => {
                    self.state = State::FinWait2;
                    if self.orphan {
                        self.linger = Some(now + self.settings.linger2);
                    }
                    events |= Events::WRITE;
                }
                State::Closing => self.enter_time_wait(),
                State::LastAck => self.enter_closed(None),
                _ => {}
            }
        }
        events
    }

    pub(crate) fn arm_retransmit(&mut self, now: Now) {
        let timeout = self.round_trip.timeout(self.backoff);
        let smoothed = self.round_trip.smoothed();
        let probe = (2 * smoothed + 10 * MS).max(20 * MS);
        let kind = if self.backoff == 0
            && smoothed > 0
            && self.recovery.is_repairing().is_none()
            && self.is_connected()
            && probe < timeout
        {
            (now + probe, TimerKind::TailProbe)
        } else {
            (now + timeout, TimerKind::Retransmit)
        };
        self.timer = Some(kind);
    }

    fn enter_time_wait(&mut self) {
        self.state = State::TimeWait;
        (self.timer, self.delayed_ack, self.keep_alive, self.linger) = (None, None, None, None);
    }

    fn take_urgent(&mut self, segment: &Segment) {
        // Linux takes the pointer as BSD did: it points behind the urgent byte.
        let at = segment.seq + usize::from(segment.urgent) - 1;
        if at.before(self.receive_next) || self.urgent.is_some_and(|known| !at.after(known)) {
            return;
        }
        self.urgent = Some(at);
        self.urgent_byte = None;
    }

    /// Says whether bytes up to `end` would be new to the application.
    fn reads_end_before(&self, end: Seq) -> bool {
        matches!(self.state, State::FinWait1 | State::FinWait2) && end.after(self.receive_next)
    }

    fn take_payload(&mut self, now: Now, segment: &Segment, payload: &[u8]) -> Events {
        let mut events = Events::empty();
        let takes = matches!(self.state, State::Established | State::FinWait1 | State::FinWait2);
        let fin_at = segment.seq + segment.has(Flags::SYN) as usize + payload.len();
        if !payload.is_empty() && takes {
            self.counters.data_in = self.counters.data_in.wrapping_add(1);
            self.counters.last_received = now;
            events |= self.take_bytes(now, segment.seq, payload);
        }
        if segment.has(Flags::FIN) && !self.fin_received {
            if fin_at != self.receive_next {
                // Something is missing in front of it; the peer sends it again.
                if takes {
                    self.ack_now = true;
                }
                return events;
            }
            self.receive_next = self.receive_next + 1;
            self.fin_received = true;
            self.ack_now = true;
            events |= Events::READ;
            match self.state {
                State::Established => self.state = State::CloseWait,
                State::FinWait1 => self.state = State::Closing,
                State::FinWait2 => self.enter_time_wait(),
                _ => {}
            }
        } else if segment.has(Flags::FIN) {
            self.ack_now = true;
        }
        events
    }

    fn take_bytes(&mut self, now: Now, seq: Seq, payload: &[u8]) -> Events {
        let known = self.receive_next.distance(seq).min(payload.len());
        let (seq, payload) = (seq + known, &payload[known..]);
        let edge = self.advertised.later(self.receive_next + self.receive_room());
        let payload = &payload[..payload.len().min(edge.distance(seq))];
        if payload.is_empty() {
            self.ack_now = true;
            return Events::empty();
        }
        if seq != self.receive_next {
            self.counters.out_of_order = self.counters.out_of_order.wrapping_add(1);
            self.reassembly.insert(seq, payload);
            self.ack_now = true;
            return Events::empty();
        }
        let holes = !self.reassembly.is_empty();
        if self.deliver(payload).is_err() {
            // No memory: as if it had been lost on the way.
            return Events::empty();
        }
        while let Some(piece) = self.reassembly.take(self.receive_next) {
            if self.deliver(&piece).is_err() {
                break;
            }
        }
        if holes || self.unacknowledged >= 2 * self.mss.min(1460) || self.quick > 0 {
            self.quick = self.quick.saturating_sub(1);
            self.ack_now = true;
        } else if self.delayed_ack.is_none() {
            self.delayed_ack = Some(now + DELAYED_ACK);
        }
        Events::READ
    }

    /// Appends bytes that are next in order to what the application reads; the urgent byte is taken out of them.
    fn deliver(&mut self, bytes: &[u8]) -> abi::Result<()> {
        let mark = self.urgent.filter(|at| {
            !self.settings.oob_inline
                && self.urgent_byte.is_none()
                && !at.before(self.receive_next)
                && at.distance(self.receive_next) < bytes.len()
        });
        match mark {
            Some(at) => {
                let index = at.distance(self.receive_next);
                self.rx.append(&bytes[..index])?;
                self.urgent_byte = Some(bytes[index]);
                self.rx.append(&bytes[index + 1..])?;
            }
            None => self.rx.append(bytes)?,
        }
        self.receive_next = self.receive_next + bytes.len();
        self.unacknowledged += bytes.len();
        self.counters.bytes_in += bytes.len() as u64;
        Ok(())
    }
}
