//! Random and damaged frames into a network with live sockets, for as long as `HULL_FUZZ_SECONDS` says: no panic, no
//! memory left behind.
//!
//! A failure prints the seed; `HULL_FUZZ_SEED` starts there again.
#![expect(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "the whole file is a test, and takes parts of random numbers"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use abi::socket::{AF_INET, AF_INET6, MsgFlags, SOCK_DGRAM, SOCK_STREAM};
use hal::fake::FakeMachine;
use hal::{Dest, NetCounters, NetDevice, NetEvents, NetInfo, Offloads, QueueFull, RxInfo, Source, TxOffload};
use net::{Address, Environment, Identity, InterfaceAddress, Net, Outgoing, Route, Shutdown, Socket};

struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap() % end.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }
}

/// A card whose other end is the test; it says that checksums are right, so that damage gets further.
#[derive(Default)]
struct Card {
    waiting: Mutex<Vec<Vec<u8>>>,
    sent: Mutex<Vec<Vec<u8>>>,
    events: Mutex<Option<Arc<dyn NetEvents>>>,
}

impl NetDevice for Card {
    fn info(&self) -> NetInfo {
        NetInfo { mac: [2, 0, 0, 0, 0, 1], mtu: 1500, offloads: Offloads::RX_CHECKSUM, queues: 1 }
    }

    fn link_up(&self) -> bool {
        true
    }

    fn counters(&self) -> NetCounters {
        NetCounters::default()
    }

    fn start(&self, events: Arc<dyn NetEvents>) {
        *self.events.lock().unwrap() = Some(events);
    }

    fn transmit(
        &self,
        _queue: usize,
        len: usize,
        _offload: TxOffload,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), QueueFull> {
        assert!((14..=1514).contains(&len), "a frame of {len} bytes");
        let mut frame = vec![0; len];
        fill(&mut frame);
        self.sent.lock().unwrap().push(frame);
        Ok(())
    }

    fn flush(&self, _queue: usize) {}

    fn receive(&self, _queue: usize, _budget: usize, each: &mut dyn FnMut(&[u8], RxInfo)) -> usize {
        let frames = std::mem::take(&mut *self.waiting.lock().unwrap());
        for frame in &frames {
            each(frame, RxInfo { checksum_good: true });
        }
        frames.len()
    }

    fn listen(&self, _queue: usize) -> bool {
        !self.waiting.lock().unwrap().is_empty()
    }

    fn set_filter(&self, _promiscuous: bool, _multicast: &[[u8; 6]]) {}
}

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const US6: Ipv6Addr = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 15);
const PEER6: Ipv6Addr = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 2);

fn who() -> Identity {
    Identity { pid: 1, net_admin: true, net_raw: true, bind_service: true, ..Identity::default() }
}

fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], *w.get(1).unwrap_or(&0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A frame around a payload of this protocol.
fn packet(numbers: &mut Numbers, v6: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend((payload.len() as u16).to_be_bytes());
        frame.extend([protocol, if numbers.below(2) == 0 { 255 } else { 64 }]);
        frame.extend(PEER6.octets());
        frame.extend(US6.octets());
    } else {
        frame.extend([8, 0]);
        let mut header = vec![0x45, 0];
        header.extend((payload.len() as u16 + 20).to_be_bytes());
        let fragment = if numbers.below(8) == 0 { numbers.next() as u16 & 0x2003 } else { 0 };
        header.extend([0, numbers.below(4) as u8]);
        header.extend(fragment.to_be_bytes());
        header.extend([64, protocol, 0, 0]);
        header.extend(PEER.octets());
        header.extend(US.octets());
        let checksum = sum(&header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        frame.extend(header);
    }
    frame.extend(payload);
    frame
}

fn segment(numbers: &mut Numbers, sent: &[Vec<u8>]) -> Vec<u8> {
    // Now and then the numbers of something that was sent, so that connections come to life.
    let word = |f: &[u8], at: usize| u32::from_be_bytes([f[at], f[at + 1], f[at + 2], f[at + 3]]);
    let answered = sent.last().filter(|f| f.len() >= 54 && f[23] == 6 && f[12] == 8);
    let ours = answered.map_or(0, |f| word(f, 38));
    let theirs = answered.map_or(0, |f| word(f, 42));
    let near = |base: u32, n: u64| {
        if n.is_multiple_of(3) { base.wrapping_add((n >> 8) as u32 % 3000) } else { base }
    };
    let mut bytes = Vec::new();
    bytes.extend((1000 + numbers.below(4) as u16).to_be_bytes());
    bytes.extend(80_u16.to_be_bytes());
    bytes.extend(near(theirs, numbers.next()).to_be_bytes());
    bytes.extend(near(ours.wrapping_add(1), numbers.next()).to_be_bytes());
    let options: &[u8] = match numbers.below(4) {
        0 => &[2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 7, 1, 1],
        1 => &[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 2, 0],
        2 => &[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0],
        _ => &[],
    };
    bytes.push((((20 + options.len()) / 4) << 4) as u8);
    let flags = [0x02, 0x10, 0x18, 0x11, 0x04, 0x12, 0x38, numbers.byte()];
    bytes.push(flags[numbers.below(8)]);
    bytes.extend((numbers.next() as u16).to_be_bytes());
    bytes.extend([0, 0, 0, numbers.below(5) as u8]);
    bytes.extend(options);
    bytes.extend(vec![b'x'; numbers.below(1400)]);
    bytes
}

fn frame(numbers: &mut Numbers, sent: &[Vec<u8>]) -> Vec<u8> {
    let v6 = numbers.below(3) == 0;
    let any: Vec<u8> = (0..numbers.below(80)).map(|_| numbers.byte()).collect();
    let mut frame = match numbers.below(9) {
        0..=3 => {
            let segment = segment(numbers, sent);
            packet(numbers, v6, 6, &segment)
        }
        4 => {
            let mut bytes = vec![0x10, 0, 0, 53];
            bytes.extend((any.len() as u16 + 8).to_be_bytes());
            bytes.extend([0, 0]);
            bytes.extend(&any);
            packet(numbers, v6, 17, &bytes)
        }
        5 => {
            // Reports that quote something of ours, echo requests, neighbour discovery.
            let kind = [3, 8, 0, 11, 1, 2, 128, 134, 135, 136][numbers.below(10)];
            let mut bytes = vec![kind, numbers.below(6) as u8, 0, 0, 0, 0, 5, numbers.byte()];
            bytes.extend(sent.last().and_then(|f| f.get(14..)).unwrap_or(&any));
            bytes.truncate(1400);
            let checksum = sum(&bytes);
            bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
            packet(numbers, v6, if v6 { 58 } else { 1 }, &bytes)
        }
        6 => {
            let mut arp = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8, 6];
            arp.extend([0, 1, 8, 0, 6, 4, 0, 1 + numbers.below(2) as u8, 2, 0, 0, 0, 0, 2]);
            arp.extend(PEER.octets());
            arp.extend([0; 6]);
            arp.extend(US.octets());
            arp
        }
        7 => {
            let next = [0, 43, 44, 60][numbers.below(4)];
            packet(numbers, true, next, &any)
        }
        _ => any,
    };
    if numbers.below(4) == 0 && !frame.is_empty() {
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(frame.len());
            frame[at] ^= 1 << numbers.below(8);
        }
    }
    if numbers.below(10) == 0 {
        frame.truncate(numbers.below(frame.len() + 1));
    }
    frame
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn open(net: &Arc<Net>, family: u16, kind: u32, port: u16) -> Arc<dyn Socket> {
    let socket = net.socket(i32::from(family), kind, 0, &who()).unwrap();
    let any =
        if family == AF_INET { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    socket.bind(&Address::Inet(SocketAddr::new(any, port)), &who()).unwrap();
    socket
}

/// Lets an application do something with a socket; what it is answered does not matter.
fn act(numbers: &mut Numbers, socket: &Arc<dyn Socket>) {
    let mut buffer = [0; 500];
    match numbers.below(6) {
        0 | 1 => drop(socket.receive(&mut Dest::kernel(&mut buffer), MsgFlags::empty())),
        2 => drop(socket.receive(&mut Dest::kernel(&mut buffer), MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC)),
        3 => {
            let mut message = Outgoing { sender: who(), ..Outgoing::default() };
            let _ = socket.send(&mut Source::kernel(&buffer), &mut message);
        }
        4 if numbers.below(20) == 0 => {
            let _ = socket.shutdown(Shutdown::Write);
        }
        _ => {
            let _ = socket.readiness();
        }
    }
}

fn round(seed: u64) {
    let numbers = &mut Numbers(seed | 1);
    let machine: &'static FakeMachine = Box::leak(Box::new(FakeMachine::new(1)));
    let environment = Environment { clock: machine.platform.clock, entropy: machine.platform.entropy };
    let net = Net::new(environment);
    let card = Arc::new(Card::default());
    let interface = net.add_card(card.clone()).index;
    for (address, prefix) in [(IpAddr::V4(US), 24), (IpAddr::V6(US6), 64)] {
        net.add_address(InterfaceAddress { interface, address, prefix }).unwrap();
    }
    let destination = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let gateway = Some(IpAddr::V4(PEER));
    net.add_route(Route { destination, gateway, interface, source: None, metric: 0, protocol: 3 }).unwrap();
    let mut sockets = vec![
        open(&net, AF_INET, SOCK_STREAM, 80),
        open(&net, AF_INET6, SOCK_DGRAM, 53),
        open(&net, AF_INET, SOCK_STREAM, 0),
    ];
    sockets[0].listen(4, &who()).unwrap();
    let _ = sockets[2].connect(&Address::Inet(SocketAddr::new(IpAddr::V4(PEER), 1000)), &who());
    for _ in 0..300 {
        let frame = {
            let sent = card.sent.lock().unwrap();
            frame(numbers, &sent)
        };
        card.waiting.lock().unwrap().push(frame);
        let events = card.events.lock().unwrap().clone();
        events.unwrap().received(0);
        if let Ok(accepted) = sockets[0].accept() {
            sockets.push(accepted);
        }
        let chosen = numbers.below(sockets.len());
        act(numbers, &sockets[chosen].clone());
        if numbers.below(30) == 0 && sockets.len() > 3 {
            sockets.pop();
        }
        if numbers.below(5) == 0 {
            machine.clock.advance(numbers.next() % 3_000_000_000);
        }
        let mut sent = card.sent.lock().unwrap();
        let many = sent.len().saturating_sub(8);
        sent.drain(..many);
    }
    drop(sockets);
    // Everything that waits for an answer gives up in time.
    for _ in 0..200 {
        machine.clock.advance(60_000_000_000);
    }
    assert_eq!(net.tcp_counts(), (0, 0), "connections that stay for ever");
}

#[test]
#[ignore = "takes as long as it is told"]
fn fuzz_frames() {
    let end = Instant::now() + Duration::from_secs(setting("HULL_FUZZ_SECONDS").unwrap_or(5));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let start = u64::from(now.subsec_nanos()) << 20 | now.as_secs();
    let mut seed = setting("HULL_FUZZ_SEED").unwrap_or(start);
    while Instant::now() < end {
        println!("HULL_FUZZ_SEED={seed}");
        round(seed);
        seed = seed.wrapping_add(0x9e37_79b9);
    }
    assert_eq!(hal::fake::frames_in_use(), 0, "pages that nobody gave back");
}
