//! What may be under way, and what was lost: round-trip times (RFC 6298), congestion control (RFC 5681, Reno), selective
//! acknowledgements (RFC 2018, RFC 6675), without them NewReno (RFC 6582).

use alloc::vec::Vec;

use super::connection::{MS, Now};
use super::seq::Seq;

/// Shortest and longest retransmission timeout, and the one before the first measurement, as Linux has them
/// (`TCP_RTO_MIN`, `TCP_RTO_MAX`, `TCP_TIMEOUT_INIT`).
const RTO_MIN: u64 = 200 * MS;
const RTO_MAX: u64 = 120_000 * MS;
const RTO_INITIAL: u64 = 1000 * MS;

/// Segments that may be under way at the start (RFC 6928).
const INITIAL_SEGMENTS: usize = 10;

/// Segments that must have come in behind a hole before it counts as lost (RFC 5681, section 3.2).
const REORDERING: usize = 3;

/// Most blocks that are remembered.
const MOST_BLOCKS: usize = 256;

/// Round-trip times, in nanoseconds.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct RoundTrip {
    smoothed: Option<u64>,
    variation: u64,
    least: u64,
    /// The segment that is measured where there are no time stamps: what acknowledges it, and when it was sent.
    measured: Option<(Seq, Now)>,
}

impl RoundTrip {
    /// Returns the smoothed round-trip time, 0 before the first measurement.
    pub(crate) fn smoothed(&self) -> u64 {
        self.smoothed.unwrap_or(0)
    }

    /// Returns the mean deviation.
    pub(crate) const fn variation(&self) -> u64 {
        self.variation
    }

    /// Returns the shortest round-trip time.
    pub(crate) const fn least(&self) -> u64 {
        self.least
    }

    /// Takes a measurement.
    pub(crate) fn sample(&mut self, round_trip: u64) {
        let round_trip = round_trip.max(1000);
        self.least = if self.smoothed.is_none() { round_trip } else { self.least.min(round_trip) };
        match self.smoothed {
            None => {
                self.smoothed = Some(round_trip);
                self.variation = round_trip / 2;
            }
            Some(smoothed) => {
                self.variation = (3 * self.variation + smoothed.abs_diff(round_trip)) / 4;
                self.smoothed = Some((7 * smoothed + round_trip) / 8);
            }
        }
    }

    /// Returns the retransmission timeout after so many timeouts in a row.
    pub(crate) fn timeout(&self, backoff: u32) -> u64 {
        let base = match self.smoothed {
            None => RTO_INITIAL,
            Some(smoothed) => smoothed + (4 * self.variation).max(RTO_MIN),
        };
        (base << backoff.min(10)).min(RTO_MAX)
    }

    /// Notes that a segment was sent for the first time; `end` acknowledges it.
    pub(crate) const fn sent(&mut self, end: Seq, now: Now) {
        if self.measured.is_none() {
            self.measured = Some((end, now));
        }
    }

    /// Forgets the measured segment, because it was sent twice (Karn's algorithm).
    pub(crate) const fn forget(&mut self) {
        self.measured = None;
    }

    /// Takes a measurement if the measured segment is acknowledged.
    pub(crate) fn acknowledged(&mut self, ack: Seq, now: Now) {
        if let Some((end, at)) = self.measured
            && !ack.before(end)
        {
            self.measured = None;
            self.sample(now.saturating_sub(at));
        }
    }
}

/// Losses that are being repaired.
#[derive(Clone, Copy, Debug)]
struct Repair {
    /// It ends when everything sent before it began is acknowledged.
    point: Seq,
    /// Next sequence number to be sent again.
    next: Seq,
    /// Everything in front of this that was not reported as received counts as lost.
    edge: Seq,
    /// A timeout began it: the window starts small.
    timeout: bool,
}

/// Congestion control and loss.
#[derive(Debug)]
pub(crate) struct Recovery {
    mss: usize,
    window: usize,
    threshold: usize,
    /// Bytes acknowledged since the window last grew, in congestion avoidance.
    counted: usize,
    duplicates: usize,
    /// What the peer reported, in order and apart.
    blocks: Vec<(Seq, Seq)>,
    repair: Option<Repair>,
}

impl Recovery {
    /// Makes the state of a new connection.
    pub(crate) fn new(mss: u16) -> Self {
        let mss = usize::from(mss);
        Self {
            mss,
            window: INITIAL_SEGMENTS * mss,
            threshold: usize::MAX,
            counted: 0,
            duplicates: 0,
            blocks: Vec::new(),
            repair: None,
        }
    }

    /// Sets the segment size once it is known.
    pub(crate) fn set_mss(&mut self, mss: usize) {
        self.window = (self.window / self.mss.max(1)).max(1) * mss;
        self.mss = mss;
    }

    /// Returns the congestion window in bytes.
    pub(crate) const fn window(&self) -> usize {
        self.window
    }

    /// Returns the threshold of slow start in bytes.
    pub(crate) const fn threshold(&self) -> usize {
        self.threshold
    }

    /// Says whether losses are being repaired, and whether a timeout found them.
    pub(crate) fn is_repairing(&self) -> Option<bool> {
        self.repair.map(|r| r.timeout)
    }

    /// Returns the bytes that the peer reported behind what it acknowledged.
    pub(crate) fn reported(&self) -> usize {
        self.blocks.iter().map(|(start, end)| end.distance(*start)).sum()
    }

    /// Notes what the peer reports; says whether that is news.
    pub(crate) fn report(&mut self, blocks: &[Option<(Seq, Seq)>], una: Seq, next: Seq) -> bool {
        let before = self.reported();
        for &(start, end) in blocks.iter().flatten() {
            // Blocks below the acknowledgement tell of duplicates (RFC 2883), others of what was never sent.
            if start.before(una) || !end.after(start) || end.after(next) {
                continue;
            }
            let first = self.blocks.partition_point(|(_, e)| e.before(start));
            let last = self.blocks.partition_point(|(s, _)| !s.after(end));
            let merged = self.blocks[first..last]
                .iter()
                .fold((start, end), |(s, e), block| (s.earlier(block.0), e.later(block.1)));
            if first < last {
                self.blocks.splice(first..last, [merged]);
            } else if self.blocks.len() < MOST_BLOCKS {
                self.blocks.insert(first, merged);
            }
        }
        self.reported() != before
    }

    /// Takes an acknowledgement of `len` new bytes up to `una`. `limited` says that the window held sending back.
    pub(crate) fn acknowledged(&mut self, una: Seq, len: usize, limited: bool) {
        self.duplicates = 0;
        self.blocks.retain(|(_, end)| end.after(una));
        if let Some(first) = self.blocks.first_mut() {
            first.0 = first.0.later(una);
        }
        match &mut self.repair {
            Some(repair) if !una.before(repair.point) => {
                let timeout = repair.timeout;
                self.repair = None;
                if !timeout {
                    self.window = self.threshold.max(self.mss);
                }
                self.blocks.clear();
            }
            Some(repair) => {
                repair.next = repair.next.later(una);
                // A partial acknowledgement: the next hole is lost too.
                repair.edge = repair.edge.later(una + self.mss).earlier(repair.point);
                if self.blocks.is_empty() && !repair.timeout {
                    repair.next = una;
                }
                if repair.timeout {
                    self.grow(len);
                }
            }
            None if limited => self.grow(len),
            None => {}
        }
        self.widen(una);
    }

    fn grow(&mut self, len: usize) {
        if self.window < self.threshold {
            // Appropriate byte counting with L = 2 (RFC 3465); Linux counts every segment.
            self.window += len;
            if self.window <= self.threshold {
                return;
            }
            self.counted = 0;
            self.window = self.window.min(self.threshold.max(self.mss));
            return;
        }
        self.counted += len;
        if self.counted >= self.window {
            self.counted -= self.window;
            self.window += self.mss;
        }
    }

    /// Moves the edge of what counts as lost, by what was reported behind it.
    fn widen(&mut self, una: Seq) {
        let highest = self.blocks.last().map(|(_, end)| *end);
        if let (Some(repair), Some(highest)) = (&mut self.repair, highest) {
            let margin = (REORDERING - 1) * self.mss;
            if highest.distance(una) > margin {
                repair.edge = repair.edge.later(highest - margin).earlier(repair.point);
            }
        }
    }

    /// Takes an acknowledgement that acknowledged nothing new while `flight` bytes from `una` to `next` are under way;
    /// `news` says that it reported something. Says whether that begins a repair.
    pub(crate) fn duplicate(&mut self, una: Seq, next: Seq, flight: usize, news: bool) -> bool {
        self.duplicates += 1;
        if self.repair.is_some() {
            self.widen(una);
            return false;
        }
        let behind = self.reported();
        // With little under way fewer segments can come in behind a hole (RFC 5827).
        let enough = (flight.div_ceil(self.mss.max(1))).saturating_sub(1).clamp(1, REORDERING);
        let lost = self.duplicates >= enough && (news || self.blocks.is_empty())
            || behind > (REORDERING - 1) * self.mss;
        if !lost {
            return false;
        }
        self.threshold = (flight.min(self.window) / 2).max(2 * self.mss);
        self.window = self.threshold;
        self.counted = 0;
        let repair = Repair { point: next, next: una, edge: (una + self.mss).earlier(next), timeout: false };
        self.repair = Some(repair);
        self.widen(una);
        true
    }

    /// Everything that was not reported counts as lost, because nothing was acknowledged for too long.
    pub(crate) fn begin_timeout(&mut self, una: Seq, next: Seq) {
        if self.repair.is_none_or(|r| !r.timeout) {
            let flight = next.distance(una);
            self.threshold = (flight.min(self.window) / 2).max(2 * self.mss);
        } else {
            // Twice in a row: maybe the peer has thrown away what it reported (RFC 2018, section 8).
            self.blocks.clear();
        }
        self.window = self.mss;
        self.counted = 0;
        self.duplicates = 0;
        self.repair = Some(Repair { point: next, next: una, edge: next, timeout: true });
    }

    /// Returns the bytes that count as under way (RFC 6675, `SetPipe`).
    pub(crate) fn pipe(&self, una: Seq, next: Seq) -> usize {
        let flight = next.distance(una);
        let away = match &self.repair {
            Some(repair) => {
                let from = repair.next.later(una);
                let lost = repair.edge.distance(from);
                lost.saturating_sub(self.reported_in(from, repair.edge))
            }
            None => 0,
        };
        let gone = if self.blocks.is_empty() {
            // Without reports every duplicate tells of a segment that has left the network.
            self.duplicates * self.mss
        } else {
            self.reported()
        };
        flight.saturating_sub(away).saturating_sub(gone)
    }

    fn reported_in(&self, from: Seq, to: Seq) -> usize {
        let overlap = |&(start, end): &(Seq, Seq)| end.earlier(to).distance(start.later(from));
        self.blocks.iter().map(overlap).sum()
    }

    /// Returns the next range to be sent again, at most a segment long.
    pub(crate) fn next_lost(&self, una: Seq) -> Option<(Seq, usize)> {
        let repair = self.repair.as_ref()?;
        let mut seq = repair.next.later(una);
        let mut end = repair.edge;
        for &(start, stop) in &self.blocks {
            if stop.after(seq) {
                if start.after(seq) {
                    end = end.earlier(start);
                    break;
                }
                seq = stop;
            }
        }
        let len = end.distance(seq).min(self.mss);
        (len > 0).then_some((seq, len))
    }

    /// Notes that a range was sent again.
    pub(crate) const fn repaired(&mut self, end: Seq) {
        if let Some(repair) = &mut self.repair {
            repair.next = end;
        }
    }

    /// Begins anew after the connection was idle for longer than a timeout (RFC 2861).
    pub(crate) fn restart(&mut self) {
        if self.repair.is_none() {
            self.window = self.window.min(INITIAL_SEGMENTS * self.mss);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: usize = 1000;

    fn recovery() -> Recovery {
        Recovery::new(1000)
    }

    #[test]
    fn timeouts_follow_the_round_trip() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.timeout(0), 1000 * MS);
        round_trip.sample(10 * MS);
        assert_eq!(round_trip.timeout(0), 210 * MS);
        assert_eq!(round_trip.timeout(1), 420 * MS);
        round_trip.sample(500 * MS);
        assert!(round_trip.timeout(0) > 500 * MS);
        assert_eq!(round_trip.timeout(30), 120_000 * MS);
    }

    #[test]
    fn a_hole_is_sent_again_once() {
        let mut state = recovery();
        let (una, next) = (Seq(0), Seq(10_000));
        for end in [2000, 3000, 4000] {
            let news = state.report(&[Some((Seq(1000), Seq(end))), None, None], una, next);
            assert!(news);
            let began = state.duplicate(una, next, 10_000, news);
            assert_eq!(began, end == 4000);
        }
        assert_eq!(state.next_lost(una), Some((Seq(0), MSS)));
        // Ten segments, of which three came in and one is lost.
        assert_eq!(state.pipe(una, next), 6000);
        state.repaired(Seq(1000));
        assert_eq!(state.next_lost(una), None);
        state.acknowledged(Seq(10_000), 10_000, true);
        assert_eq!((state.is_repairing(), state.window()), (None, 5000));
    }

    #[test]
    fn a_timeout_sends_only_what_is_missing() {
        let mut state = recovery();
        state.report(&[Some((Seq(1000), Seq(2000))), None, None], Seq(0), Seq(4000));
        state.begin_timeout(Seq(0), Seq(4000));
        assert_eq!(state.next_lost(Seq(0)), Some((Seq(0), MSS)));
        state.repaired(Seq(1000));
        assert_eq!(state.next_lost(Seq(0)), Some((Seq(2000), MSS)));
        assert_eq!(state.window(), MSS);
    }

    #[test]
    fn reports_that_cannot_be_are_left_alone() {
        let mut state = recovery();
        let bad = [Some((Seq(500), Seq(100))), Some((Seq(0), Seq(9000))), Some((Seq(u32::MAX), Seq(5)))];
        assert!(!state.report(&bad, Seq(1), Seq(100)));
        assert_eq!(state.reported(), 0);
    }
}
