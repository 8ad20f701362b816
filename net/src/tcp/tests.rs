#![expect(clippy::cast_possible_truncation, reason = "parts of random numbers")]
//! Connections against each other over a link that loses, doubles, delays and reorders, and against smoltcp's.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use abi::Errno;
use hal::Dest;

use super::connection::{Connection, Events, Full, Link, MS, Now, Settings, State};
use super::segment::{Flags, Segment};
use super::seq::Seq;
use crate::bytes::Bytes;

/// A generator whose numbers depend on the seed alone.
pub(super) struct Numbers(pub u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn per_mille(&mut self, chance: u64) -> bool {
        (self.next() >> 20) % 1000 < chance
    }
}

type Packet = (Segment, Vec<u8>);

/// What a connection sent.
struct Out<'a> {
    sent: &'a mut Vec<Packet>,
    most: usize,
}

impl Link for Out<'_> {
    fn send(
        &mut self,
        segment: &Segment,
        bytes: &Bytes,
        offset: usize,
        len: usize,
        mss: usize,
    ) -> Result<(), Full> {
        assert!(len <= self.most.max(mss), "no longer than the link said");
        let mut payload = vec![0; len];
        bytes.copy_out(offset, &mut payload);
        let mut at = 0;
        loop {
            let now = (len - at).min(mss);
            let last = at + now == len;
            let mut part = Segment { seq: segment.seq + at, ..*segment };
            if !last {
                part.flags -= Flags::FIN | Flags::PSH;
            }
            self.sent.push((part, payload[at..at + now].to_vec()));
            at += now;
            if last {
                return Ok(());
            }
        }
    }

    fn most(&self, mss: usize) -> usize {
        self.most.max(mss)
    }
}

struct Side {
    connection: Option<Connection>,
    to_send: Vec<u8>,
    written: usize,
    received: Vec<u8>,
    events: Events,
    closed: bool,
}

/// How bad the way is, in thousandths.
#[derive(Clone, Copy, Default)]
struct Faults {
    lost: u64,
    doubled: u64,
    delayed: u64,
}

struct World {
    now: Now,
    sides: [Side; 2],
    /// Packets under way: when they arrive, a number that keeps them apart, to whom.
    way: BTreeMap<(Now, u64), (usize, Packet)>,
    count: u64,
    numbers: Numbers,
    faults: Faults,
    delay: u64,
    most: usize,
    settings: Settings,
}

fn side(to_send: Vec<u8>) -> Side {
    Side {
        connection: None,
        to_send,
        written: 0,
        received: Vec::new(),
        events: Events::empty(),
        closed: false,
    }
}

impl World {
    fn new(seed: u64, faults: Faults, sizes: [usize; 2], settings: Settings) -> Self {
        let mut numbers = Numbers(seed | 1);
        let mut bytes = |len: usize| (0..len).map(|_| (numbers.next() >> 32) as u8).collect::<Vec<u8>>();
        let sides = [side(bytes(sizes[0])), side(bytes(sizes[1]))];
        let mut world = Self {
            now: 1_000_000 * MS,
            sides,
            way: BTreeMap::new(),
            count: 0,
            numbers,
            faults,
            delay: 5 * MS,
            most: 0,
            settings,
        };
        let connection = Connection::connect(world.now, Seq(u32::MAX - 3000), 7, settings);
        world.sides[0].connection = Some(connection);
        world.push_out(0);
        world
    }

    fn send(&mut self, from: usize, packet: Packet) {
        let copies = 1 + usize::from(self.numbers.per_mille(self.faults.doubled));
        for _ in 0..copies {
            if self.numbers.per_mille(self.faults.lost) {
                continue;
            }
            let late =
                if self.numbers.per_mille(self.faults.delayed) { self.numbers.next() % (30 * MS) } else { 0 };
            self.count += 1;
            self.way.insert((self.now + self.delay + late, self.count), (1 - from, packet.clone()));
        }
    }

    /// Lets a side's application act, and sends what is due.
    fn push_out(&mut self, index: usize) {
        let now = self.now;
        let mut sent = Vec::new();
        let side = &mut self.sides[index];
        let Some(connection) = &mut side.connection else { return };
        while connection.readable() > 0 {
            let mut buffer = [0; 3000];
            let mut to = Dest::kernel(&mut buffer);
            let moved = connection.read(now, |rx| {
                let mut piece = rx.take_piece(3000).unwrap();
                let moved = piece.push_to(&mut to).unwrap();
                rx.put_back(piece);
                moved
            });
            side.received.extend_from_slice(&buffer[..moved]);
        }
        if connection.may_write() && connection.is_connected() {
            let len = connection.room().min(side.to_send.len() - side.written).min(10_000);
            connection.tx.append(&side.to_send[side.written..side.written + len]).unwrap();
            side.written += len;
            if side.written == side.to_send.len() && !side.closed {
                connection.end_sending();
                side.closed = true;
            }
        }
        connection.output(now, &mut Out { sent: &mut sent, most: self.most });
        for packet in sent {
            self.send(index, packet);
        }
    }

    fn arrive(&mut self, index: usize, (segment, payload): Packet) {
        let now = self.now;
        let mut reply = None;
        let side = &mut self.sides[index];
        match &mut side.connection {
            None if segment.has(Flags::SYN) && segment.ack.is_none() => {
                side.connection = Some(Connection::answer(now, Seq(77), 9, &segment, self.settings));
            }
            None => reply = segment.reset_for(payload.len()),
            Some(connection) => {
                let (events, answer) = connection.input(now, &segment, &payload);
                side.events |= events;
                reply = answer;
            }
        }
        if let Some(reply) = reply {
            self.send(index, (reply, Vec::new()));
        }
        self.push_out(index);
    }

    fn done(&self) -> bool {
        let over = |side: &Side| {
            side.connection.as_ref().is_some_and(|c| matches!(c.state(), State::Closed | State::TimeWait))
        };
        self.sides.iter().all(over)
    }

    /// Runs until both sides are over, or for so many milliseconds.
    fn run(&mut self, most_ms: u64) {
        let end = self.now + most_ms * MS;
        while !self.done() && self.now < end {
            let arrival = self.way.keys().next().map(|key| key.0);
            let timers = self.sides.iter().filter_map(|s| s.connection.as_ref()?.deadline());
            let Some(next) = arrival.into_iter().chain(timers).min() else { break };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, (to, packet)) = self.way.pop_first().unwrap();
                self.arrive(to, packet);
                continue;
            }
            for index in 0..2 {
                let mut sent = Vec::new();
                let side = &mut self.sides[index];
                let Some(connection) = &mut side.connection else { continue };
                let mut out = Out { sent: &mut sent, most: self.most };
                side.events |= connection.tick(self.now, &mut out);
                for packet in sent {
                    self.send(index, packet);
                }
                self.push_out(index);
            }
        }
    }

    fn check(&self, what: &str) {
        for index in 0..2 {
            let (me, peer) = (&self.sides[index], &self.sides[1 - index]);
            assert!(
                me.received == peer.to_send,
                "{what}: every byte, in order ({} of {})",
                me.received.len(),
                peer.to_send.len()
            );
        }
        assert!(self.done(), "{what}: over");
    }
}

#[test]
fn a_clean_link_carries_everything() {
    for most in [0, 60_000] {
        let mut world = World::new(1, Faults::default(), [300_000, 100_000], Settings::default());
        world.most = most;
        world.run(60_000);
        world.check("clean");
        assert_eq!(world.sides[0].connection.as_ref().unwrap().counters.retransmitted, 0);
    }
}

#[test]
fn a_bad_link_carries_everything() {
    for seed in 1..60 {
        let faults = Faults { lost: seed % 7 * 20, doubled: seed % 5 * 20, delayed: seed % 3 * 150 };
        let mut world = World::new(seed * 7919, faults, [120_000, 40_000], Settings::default());
        world.most = if seed % 2 == 0 { 0 } else { 30_000 };
        world.run(3_600_000);
        world.check(&alloc::format!("seed {seed}"));
    }
}

#[test]
fn a_peer_without_options_is_served() {
    for seed in 1..20 {
        let faults = Faults { lost: 30, doubled: 0, delayed: 50 };
        let mut world = World::new(seed * 31, faults, [50_000, 50_000], Settings::default());
        let connection = world.sides[0].connection.as_mut().unwrap();
        (connection.sack, connection.timestamps) = (false, false);
        world.way.clear();
        connection.syn_due = true;
        world.push_out(0);
        world.run(3_600_000);
        world.check(&alloc::format!("seed {seed}"));
        let connection = world.sides[1].connection.as_ref().unwrap();
        assert!(!connection.sack && !connection.timestamps);
    }
}

#[test]
fn one_loss_in_a_hundred_costs_little() {
    let time = |lost| {
        let faults = Faults { lost, ..Faults::default() };
        let mut world = World::new(99, faults, [4_000_000, 0], Settings::default());
        world.run(3_600_000);
        world.check("lossy");
        (world.now - 1_000_000 * MS) / MS
    };
    let (clean, lossy) = (time(0), time(10));
    // At a round trip of 10 ms, Reno's window is some 12 segments at this rate: 1.7 MB a second.
    assert!(lossy < 4000, "{lossy} ms, without loss {clean} ms");
}

#[test]
fn a_refused_connection_says_so() {
    let mut world = World::new(5, Faults::default(), [10, 0], Settings::default());
    let (_, (_, (syn, _))) = world.way.pop_first().unwrap();
    let reset = syn.reset_for(0).unwrap();
    let connection = world.sides[0].connection.as_mut().unwrap();
    let (events, _) = connection.input(world.now, &reset, &[]);
    assert_eq!((events, connection.take_error()), (Events::CLOSED, Some(Errno::ECONNREFUSED)));
}

#[test]
fn nobody_there_times_out() {
    let mut world = World::new(5, Faults { lost: 1000, ..Faults::default() }, [10, 0], Settings::default());
    world.run(600_000);
    let connection = world.sides[0].connection.as_mut().unwrap();
    assert_eq!((connection.state(), connection.take_error()), (State::Closed, Some(Errno::ETIMEDOUT)));
    // Six more tries, the waits doubling from one second: 127 seconds.
    assert_eq!((world.now / MS - 1_000_000) / 1000, 127);
}

#[test]
fn a_closed_window_is_probed_until_it_opens() {
    let settings = Settings { receive_limit: 4000, autotune: false, ..Settings::default() };
    let mut world = World::new(8, Faults::default(), [0, 0], settings);
    world.sides[0].closed = true;
    world.sides[1].closed = true;
    world.run(1000);
    let now = world.now;
    let sender = world.sides[0].connection.as_mut().unwrap();
    sender.tx.append(&[7; 20_000]).unwrap();
    // The receiver's application does not read: its connection is driven by hand.
    let mut sent = Vec::new();
    for step in 0..2000 {
        let now = now + step * 10 * MS;
        sent.clear();
        let sender = world.sides[0].connection.as_mut().unwrap();
        sender.tick(now, &mut Out { sent: &mut sent, most: 0 });
        sender.output(now, &mut Out { sent: &mut sent, most: 0 });
        let mut answers = Vec::new();
        let receiver = world.sides[1].connection.as_mut().unwrap();
        for (segment, payload) in &sent {
            receiver.input(now, segment, payload);
        }
        if step == 1500 {
            receiver.read(now, Bytes::clear);
        }
        receiver.tick(now, &mut Out { sent: &mut answers, most: 0 });
        receiver.output(now, &mut Out { sent: &mut answers, most: 0 });
        assert!(receiver.readable() <= 4000);
        let sender = world.sides[0].connection.as_mut().unwrap();
        for (segment, payload) in &answers {
            sender.input(now, segment, payload);
        }
        if step == 1499 {
            assert!(sender.tx.len() >= 16_000 && sender.backoff > 2, "it waits, and probes");
        }
    }
    let sender = world.sides[0].connection.as_ref().unwrap();
    assert!(sender.tx.len() < 14_000, "it went on: {}", sender.tx.len());
    assert_eq!(sender.state(), State::Established);
}

#[test]
fn resets_and_syns_out_of_place_change_nothing() {
    let mut world = World::new(3, Faults::default(), [0, 0], Settings::default());
    world.sides[0].closed = true;
    world.sides[1].closed = true;
    world.run(1000);
    let now = world.now;
    let connection = world.sides[0].connection.as_mut().unwrap();
    assert_eq!(connection.state(), State::Established);
    let next = connection.receive_next;
    for (seq, flags) in [(next + 5, Flags::RST), (next, Flags::SYN), (next - 70_000, Flags::RST)] {
        let segment = Segment {
            seq,
            ack: Some(connection.una),
            flags,
            timestamp: Some((u32::MAX / 2, 0)),
            ..Segment::default()
        };
        connection.timestamps = false;
        connection.input(now, &segment, &[]);
        assert_eq!(connection.state(), State::Established);
    }
    let segment = Segment { seq: next, ack: Some(connection.una), flags: Flags::RST, ..Segment::default() };
    let (events, _) = connection.input(now, &segment, &[]);
    assert!(events.contains(Events::CLOSED));
    assert_eq!(connection.take_error(), Some(Errno::ECONNRESET));
}

#[test]
fn a_silent_peer_is_noticed_by_keep_alives() {
    let settings = Settings { keep_alive: true, keep: (10_000 * MS, 1000 * MS, 3), ..Settings::default() };
    let mut world = World::new(3, Faults::default(), [0, 0], settings);
    world.sides[0].closed = true;
    world.sides[1].closed = true;
    world.run(15_000);
    assert_eq!(world.sides[0].connection.as_ref().unwrap().state(), State::Established);
    world.faults.lost = 1000;
    world.run(100_000);
    let connection = world.sides[0].connection.as_mut().unwrap();
    assert_eq!((connection.state(), connection.take_error()), (State::Closed, Some(Errno::ETIMEDOUT)));
}

#[test]
fn random_segments_never_panic() {
    let mut numbers = Numbers(0x5eed);
    for _ in 0..300 {
        let mut world = World::new(numbers.next(), Faults::default(), [5000, 5000], Settings::default());
        world.run(numbers.next() % 100);
        let now = world.now;
        for _ in 0..200 {
            let index = usize::try_from(numbers.next() % 2).unwrap();
            let Some(connection) = &mut world.sides[index].connection else { continue };
            let any = numbers.next();
            let near = |base: Seq, n: u64| {
                if n.is_multiple_of(4) { Seq(n as u32) } else { base + (n >> 8) as usize % 3000 - 1500 }
            };
            let segment = Segment {
                seq: near(connection.receive_next, numbers.next()),
                ack: (!any.is_multiple_of(5)).then(|| near(connection.una, numbers.next())),
                flags: Flags::from_bits_truncate((numbers.next() % 256) as u8),
                window: numbers.next() as u16,
                urgent: numbers.next() as u16,
                mss: any.is_multiple_of(3).then_some(numbers.next() as u16),
                scale: any.is_multiple_of(7).then_some(numbers.next() as u8),
                sack_permitted: any.is_multiple_of(2),
                sacks: [
                    Some((near(connection.una, numbers.next()), near(connection.una, numbers.next()))),
                    None,
                    None,
                ],
                timestamp: (any.is_multiple_of(2))
                    .then_some((connection.timestamp_recent, numbers.next() as u32)),
            };
            let payload = vec![1; (numbers.next() % 2000) as usize];
            let _ = connection.input(now, &segment, &payload);
            let mut sent = Vec::new();
            connection.output(now, &mut Out { sent: &mut sent, most: 5000 });
            if let Some(at) = connection.deadline() {
                let _ = connection.tick(at, &mut Out { sent: &mut sent, most: 5000 });
                connection.output(at, &mut Out { sent: &mut sent, most: 5000 });
            }
            assert!(sent.len() < 2000);
        }
    }
}
