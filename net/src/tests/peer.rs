//! Our stack against smoltcp's on the other end of the wire: handshakes, bytes both ways, ends, refusals, datagrams.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use abi::Errno;
use abi::socket::{AF_INET, MsgFlags, SO_KEEPALIVE, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, SOL_TCP, TCP_INFO};
use hal::fake::FakeMachine;
use hal::{Dest, Readiness, Source};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

use super::Card;
use crate::{Address, Environment, Identity, InterfaceAddress, Net, Outgoing, Shutdown, Socket};

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

#[derive(Default)]
struct Wire {
    to_peer: VecDeque<Vec<u8>>,
    from_peer: Vec<Vec<u8>>,
}

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push(frame);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx<'_>)> {
        let frame = self.to_peer.pop_front()?;
        Some((Rx(frame), Tx(&mut self.from_peer)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.from_peer))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ethernet;
        caps.max_transmission_unit = 1514;
        caps
    }
}

/// Both ends, and the wire between them.
struct World {
    machine: &'static FakeMachine,
    net: Arc<Net>,
    card: Arc<Card>,
    wire: Wire,
    peer: Interface,
    sockets: SocketSet<'static>,
    /// Every so manieth frame is lost; 0 for none.
    lose: u64,
    count: u64,
}

fn who() -> Identity {
    Identity { pid: 1, net_admin: true, net_raw: true, bind_service: true, ..Identity::default() }
}

impl World {
    fn new() -> Self {
        let machine: &'static FakeMachine = Box::leak(Box::new(FakeMachine::new(1)));
        let environment = Environment { clock: machine.platform.clock, entropy: machine.platform.entropy };
        let net = Net::new(environment);
        let card = Arc::new(Card::default());
        let interface = net.add_card(card.clone()).index;
        net.add_address(InterfaceAddress { interface, address: IpAddr::V4(US), prefix: 24 }).unwrap();
        let mut wire = Wire::default();
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 2])));
        let mut peer = Interface::new(config, &mut wire, Instant::ZERO);
        peer.update_ip_addrs(|all| all.push(IpCidr::new(PEER.into(), 24)).unwrap());
        Self { machine, net, card, wire, peer, sockets: SocketSet::new(Vec::new()), lose: 0, count: 0 }
    }

    fn lost(&mut self) -> bool {
        self.count += 1;
        self.lose != 0 && self.count.is_multiple_of(self.lose)
    }

    /// Carries frames both ways until there are none, and lets a millisecond pass.
    fn step(&mut self) {
        for _ in 0..100 {
            let ours = self.card.take();
            let quiet = ours.is_empty();
            for frame in ours {
                if !self.lost() {
                    self.wire.to_peer.push_back(frame);
                }
            }
            let now = Instant::from_micros(i64::try_from(self.net.now() / 1000).unwrap());
            self.peer.poll(now, &mut self.wire, &mut self.sockets);
            let theirs = core::mem::take(&mut self.wire.from_peer);
            let silent = theirs.is_empty();
            for frame in theirs {
                if !self.lost() {
                    self.card.arrive(&frame);
                }
            }
            if quiet && silent {
                break;
            }
        }
        self.machine.clock.advance(1_000_000);
    }

    fn tcp(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 20_000]);
        self.sockets.add(tcp::Socket::new(buffer(), buffer()))
    }

    fn theirs(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    fn socket(&self, kind: u32) -> Arc<dyn Socket> {
        self.net.socket(i32::from(AF_INET), kind, 0, &who()).unwrap()
    }

    fn connect(&mut self, socket: &Arc<dyn Socket>, port: u16) -> Result<(), Errno> {
        let peer = Address::Inet(SocketAddr::new(IpAddr::V4(PEER), port));
        assert_eq!(socket.connect(&peer, &who()), Err(Errno::EINPROGRESS));
        for _ in 0..5000 {
            self.step();
            match socket.connected() {
                Err(Errno::EAGAIN) => {}
                other => return other,
            }
        }
        panic!("the handshake goes on for ever");
    }
}

fn send(socket: &Arc<dyn Socket>, bytes: &[u8]) -> Result<usize, Errno> {
    socket.send(&mut Source::kernel(bytes), &mut Outgoing { sender: who(), ..Outgoing::default() })
}

fn receive(socket: &Arc<dyn Socket>, len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; len];
    let incoming = socket.receive(&mut Dest::kernel(&mut bytes), MsgFlags::empty())?;
    bytes.truncate(incoming.len);
    Ok(bytes)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect()
}

fn echo(lose: u64, len: usize) {
    let mut world = World::new();
    let server = world.tcp();
    world.theirs(server).listen(7).unwrap();
    let socket = world.socket(SOCK_STREAM);
    assert_eq!(socket.readiness(), Readiness::WRITE | Readiness::HUP);
    world.connect(&socket, 7).unwrap();
    world.lose = lose;
    let sent = pattern(len);
    let (mut done, mut got) = (0, Vec::new());
    for _ in 0..200_000 {
        if done < len {
            match send(&socket, &sent[done..(done + 5000).min(len)]) {
                Ok(count) => done += count,
                Err(errno) => assert_eq!(errno, Errno::EAGAIN),
            }
            if done == len {
                socket.shutdown(Shutdown::Write).unwrap();
            }
        }
        world.step();
        let theirs = world.theirs(server);
        let mut buffer = [0; 4000];
        while theirs.can_recv() && theirs.send_capacity() - theirs.send_queue() >= buffer.len() {
            let count = theirs.recv_slice(&mut buffer).unwrap();
            assert_eq!(theirs.send_slice(&buffer[..count]).unwrap(), count);
        }
        if !theirs.may_recv() && !theirs.can_recv() {
            theirs.close();
        }
        match receive(&socket, 3000) {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => got.extend(bytes),
            Err(errno) => assert_eq!(errno, Errno::EAGAIN),
        }
    }
    assert!(got == sent, "{} of {} bytes came back", got.len(), sent.len());
    let info = socket.option(SOL_TCP, TCP_INFO).unwrap();
    assert!(info.len() > 200);
    drop(socket);
    for _ in 0..100 {
        world.step();
    }
    // One side waits out its time, and no more is left.
    let (all, waiting) = world.net.tcp_counts();
    assert_eq!(all, waiting);
}

#[test]
fn bytes_go_to_another_stack_and_come_back() {
    echo(0, 100_000);
}

#[test]
fn bytes_go_and_come_over_a_bad_wire() {
    echo(17, 60_000);
    echo(5, 8_000);
}

#[test]
fn another_stack_connects_to_us() {
    let mut world = World::new();
    let listener = world.socket(SOCK_STREAM);
    let any = Address::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80));
    listener.common().keep_alive.store(true, core::sync::atomic::Ordering::Relaxed);
    listener.set_option(SOL_SOCKET, SO_KEEPALIVE, &1_i32.to_ne_bytes(), &who()).unwrap();
    listener.bind(&any, &who()).unwrap();
    listener.listen(5, &who()).unwrap();
    assert!(matches!(listener.accept(), Err(Errno::EAGAIN)));
    let client = world.tcp();
    let (peer, sockets) = (&mut world.peer, &mut world.sockets);
    sockets.get_mut::<tcp::Socket<'_>>(client).connect(peer.context(), (US, 80), 4000).unwrap();
    for _ in 0..10 {
        world.step();
    }
    assert_eq!(listener.readiness(), Readiness::READ);
    let accepted = listener.accept().unwrap();
    assert_eq!(accepted.peer(), Ok(Address::Inet(SocketAddr::new(IpAddr::V4(PEER), 4000))));
    assert_eq!(accepted.name(), Address::Inet(SocketAddr::new(IpAddr::V4(US), 80)));
    assert_eq!(receive(&accepted, 10), Err(Errno::EAGAIN));
    world.theirs(client).send_slice(b"hello").unwrap();
    world.step();
    assert_eq!(accepted.pending(), (5, 0));
    assert_eq!(receive(&accepted, 3).unwrap(), b"hel");
    assert_eq!(receive(&accepted, 10).unwrap(), b"lo");
    world.theirs(client).close();
    world.step();
    assert_eq!(receive(&accepted, 10).unwrap(), b"");
    assert!(accepted.readiness().contains(Readiness::RDHUP | Readiness::READ | Readiness::WRITE));
    assert_eq!(send(&accepted, b"bye"), Ok(3));
    accepted.shutdown(Shutdown::Write).unwrap();
    assert_eq!(send(&accepted, b"more"), Err(Errno::EPIPE));
    // The other side takes its time to acknowledge.
    for _ in 0..50 {
        world.step();
    }
    let mut buffer = [0; 10];
    assert_eq!(world.theirs(client).recv_slice(&mut buffer), Ok(3));
    assert_eq!(world.net.tcp_counts(), (0, 0));
}

#[test]
fn refusals_and_resets_are_told() {
    let mut world = World::new();
    let socket = world.socket(SOCK_STREAM);
    assert_eq!(world.connect(&socket, 9), Err(Errno::ECONNREFUSED));
    // The socket can be used again.
    let server = world.tcp();
    world.theirs(server).listen(9).unwrap();
    world.connect(&socket, 9).unwrap();
    assert_eq!(
        socket.connect(&Address::Inet(SocketAddr::new(IpAddr::V4(PEER), 9)), &who()),
        Err(Errno::EISCONN)
    );
    world.theirs(server).abort();
    world.step();
    assert!(socket.readiness().contains(Readiness::ERR | Readiness::HUP));
    assert_eq!(receive(&socket, 10), Err(Errno::ECONNRESET));
    assert_eq!(receive(&socket, 10), Ok(Vec::new()));
    assert_eq!(send(&socket, b"x"), Err(Errno::EPIPE));
}

#[test]
fn a_flood_of_handshakes_leaves_room_for_real_ones() {
    let mut world = World::new();
    let listener = world.socket(SOCK_STREAM);
    let any = Address::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80));
    listener.bind(&any, &who()).unwrap();
    listener.listen(16, &who()).unwrap();
    // Segments of many who never answer.
    let mut frame = vec![0; 54];
    for i in 0..5000_u32 {
        let header = crate::wire::IpHeader {
            source: IpAddr::V4(Ipv4Addr::from(0x0a00_0300 + i)),
            destination: IpAddr::V4(US),
            protocol: 6,
            hop_limit: 64,
            traffic_class: 0,
            dont_fragment: true,
        };
        crate::wire::emit_ethernet(&mut frame, [2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9], 0x0800);
        header.emit(&mut frame[14..], 20, 0);
        let syn = crate::tcp::segment::Segment {
            seq: crate::tcp::seq::Seq(i),
            flags: crate::tcp::segment::Flags::SYN,
            window: 1000,
            ..Default::default()
        };
        syn.emit(crate::tcp::segment::Ports { source: 1000, destination: 80 }, &mut frame[34..]);
        crate::wire::finish_checksum(&mut frame[14..], 20, 16, false);
        world.card.arrive(&frame);
    }
    assert!(world.net.tcp_counts().0 <= 64, "{:?}", world.net.tcp_counts());
    world.card.take();
    let client = world.tcp();
    let (peer, sockets) = (&mut world.peer, &mut world.sockets);
    sockets.get_mut::<tcp::Socket<'_>>(client).connect(peer.context(), (US, 80), 4000).unwrap();
    for _ in 0..10 {
        world.step();
    }
    let accepted = listener.accept().unwrap();
    world.theirs(client).send_slice(b"through").unwrap();
    world.step();
    assert_eq!(receive(&accepted, 10).unwrap(), b"through");
}

#[test]
fn connections_within_the_machine_need_no_wire() {
    let world = World::new();
    let listener = world.socket(SOCK_STREAM);
    let local = Address::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
    listener.bind(&local, &who()).unwrap();
    listener.listen(1, &who()).unwrap();
    let name = listener.name();
    let clients: Vec<_> = (0..3).map(|_| world.socket(SOCK_STREAM)).collect();
    for client in &clients {
        assert_eq!(client.connect(&name, &who()), Err(Errno::EINPROGRESS));
    }
    // A backlog of one holds two; the third one waits.
    assert_eq!(
        clients.iter().map(|c| c.connected()).collect::<Vec<_>>(),
        [Ok(()), Ok(()), Err(Errno::EAGAIN)]
    );
    let first = listener.accept().unwrap();
    assert_eq!(clients[2].connected(), Ok(()));
    assert_eq!((first.name(), first.peer()), (name, Ok(clients[0].name())));
    let sent = pattern(300_000);
    assert_eq!(send(&clients[0], &sent), Ok(sent.len()));
    let mut got = Vec::new();
    while got.len() < sent.len() {
        got.extend(receive(&first, 70_000).unwrap());
    }
    assert_eq!(got, sent);
    assert_eq!(receive(&first, 1), Err(Errno::EAGAIN));
    clients[0].shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive(&first, 1), Ok(Vec::new()));
    assert_eq!(send(&first, b"unread"), Ok(6));
    drop(first);
    assert_eq!(receive(&clients[0], 10).unwrap(), b"unread");
    // Those that nobody accepts are reset when the listener goes.
    drop(listener);
    assert_eq!(receive(&clients[1], 1), Err(Errno::ECONNRESET));
    let late = world.socket(SOCK_STREAM);
    let gone = Address::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1));
    assert_eq!(late.connect(&gone, &who()), Err(Errno::EINPROGRESS));
    assert_eq!(late.connected(), Err(Errno::ECONNREFUSED));
}

#[test]
fn datagrams_find_their_sockets() {
    let mut world = World::new();
    let (a, b) = (world.socket(SOCK_DGRAM), world.socket(SOCK_DGRAM));
    let local = Address::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
    b.bind(&local, &who()).unwrap();
    let to = b.name();
    let mut message = Outgoing { to: Some(&to), sender: who(), ..Outgoing::default() };
    assert_eq!(a.send(&mut Source::kernel(b"ping"), &mut message), Ok(4));
    assert_eq!(b.readiness(), Readiness::READ | Readiness::WRITE);
    let mut bytes = [0; 2];
    let incoming = b.receive(&mut Dest::kernel(&mut bytes), MsgFlags::empty()).unwrap();
    assert_eq!((incoming.len, incoming.flags), (2, MsgFlags::MSG_TRUNC));
    let Some(Address::Inet(from)) = incoming.from else { panic!("an address") };
    assert_eq!(
        Address::Inet(from),
        Address::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), from.port()))
    );
    // A port that nobody has, here and there.
    let nobody = Address::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9));
    a.connect(&nobody, &who()).unwrap();
    assert_eq!(send(&a, b"x"), Ok(1));
    assert_eq!(receive(&a, 1), Err(Errno::ECONNREFUSED));
    let far = world.socket(SOCK_DGRAM);
    far.connect(&Address::Inet(SocketAddr::new(IpAddr::V4(PEER), 9)), &who()).unwrap();
    assert_eq!(send(&far, &[7; 4000]), Ok(4000));
    world.step();
    // Three parts, after the question for the neighbour.
    assert!(world.count >= 4, "{}", world.count);
}
