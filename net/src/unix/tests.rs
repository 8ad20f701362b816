use alloc::sync::Arc;
use alloc::vec;

use abi::Errno;
use abi::socket::{AF_UNIX, MsgFlags, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};
use hal::fake::FakeMachine;
use hal::{Dest, Readiness, Source};

use crate::{Address, Environment, Identity, Net, Outgoing, Passed, Shutdown, Socket, UnixName};

fn net() -> Arc<Net> {
    let platform = FakeMachine::new(1).platform;
    Net::new(Environment { clock: platform.clock, entropy: platform.entropy })
}

fn pair(net: &Arc<Net>, kind: u32) -> (Arc<dyn Socket>, Arc<dyn Socket>) {
    net.pair(i32::from(AF_UNIX), kind, 0, &Identity::default()).expect("a pair")
}

fn socket(net: &Arc<Net>, kind: u32) -> Arc<dyn Socket> {
    net.socket(i32::from(AF_UNIX), kind, 0, &Identity::default()).expect("a socket")
}

fn send(socket: &dyn Socket, bytes: &[u8]) -> Result<usize, Errno> {
    socket.send(&mut Source::kernel(bytes), &mut Outgoing::default())
}

fn receive(socket: &dyn Socket, room: usize) -> Result<vec::Vec<u8>, Errno> {
    let mut buffer = vec![0; room];
    let got = socket.receive(&mut Dest::kernel(&mut buffer), MsgFlags::empty())?;
    buffer.truncate(got.len);
    Ok(buffer)
}

fn named(text: &[u8]) -> Address {
    Address::Unix(UnixName::Abstract(text.to_vec()))
}

#[test]
fn bytes_of_a_stream_come_out_in_order_whatever_the_pieces() {
    let net = net();
    let (a, b) = pair(&net, SOCK_STREAM);
    let all: vec::Vec<u8> = (0..500_000_u32).map(|i| u8::try_from(i % 251).expect("small")).collect();
    let (mut sent, mut got, mut step) = (0, vec![], 1);
    while got.len() < all.len() {
        step = step * 7 % 10_007 + 1;
        let end = (sent + step).min(all.len());
        match send(&*a, &all[sent..end]) {
            Ok(len) => sent += len,
            Err(errno) => assert_eq!(errno, Errno::EAGAIN),
        }
        match receive(&*b, step / 2 + 1) {
            Ok(bytes) => got.extend(bytes),
            Err(errno) => assert_eq!(errno, Errno::EAGAIN),
        }
    }
    assert_eq!(got, all);
    assert_eq!(b.pending().0, 0);
}

#[test]
fn readiness_follows_the_connection() {
    let net = net();
    let (a, b) = pair(&net, SOCK_STREAM);
    let writable = Readiness::WRITE | Readiness::WRBAND;
    assert_eq!(a.readiness(), writable);
    send(&*b, b"x").expect("room");
    assert_eq!(a.readiness(), writable | Readiness::READ);
    b.shutdown(Shutdown::Write).expect("a connection");
    assert_eq!(a.readiness(), writable | Readiness::READ | Readiness::RDHUP);
    drop(b);
    assert_eq!(a.readiness(), writable | Readiness::READ | Readiness::RDHUP | Readiness::HUP);
    let alone = socket(&net, SOCK_STREAM);
    assert_eq!(alone.readiness(), writable | Readiness::HUP);
    assert_eq!(socket(&net, SOCK_DGRAM).readiness(), writable);
}

#[test]
fn eleven_messages_wait_for_a_stranger_and_then_there_is_room_again() {
    let net = net();
    let (server, client) = (socket(&net, SOCK_DGRAM), socket(&net, SOCK_DGRAM));
    server.bind(&named(b"server"), &Identity::default()).expect("free");
    client.connect(&named(b"server"), &Identity::default()).expect("bound");
    let count = (0..100).take_while(|_| send(&*client, b"m").is_ok()).count();
    assert_eq!(count, 11);
    assert!(!client.readiness().intersects(Readiness::WRITE));
    assert_eq!(receive(&*server, 10).as_deref(), Ok(&b"m"[..]));
    assert!(client.readiness().intersects(Readiness::WRITE));
    assert_eq!(send(&*client, b"m"), Ok(1));
}

#[test]
fn a_name_is_free_again_when_its_socket_is_closed() {
    let net = net();
    let (a, b) = (socket(&net, SOCK_SEQPACKET), socket(&net, SOCK_SEQPACKET));
    a.bind(&named(b"name"), &Identity::default()).expect("free");
    assert_eq!(b.bind(&named(b"name"), &Identity::default()), Err(Errno::EADDRINUSE));
    drop(a);
    assert_eq!(b.connect(&named(b"name"), &Identity::default()), Err(Errno::ECONNREFUSED));
    assert_eq!(b.bind(&named(b"name"), &Identity::default()), Ok(()));
}

#[test]
fn files_end_a_read_and_are_let_go_when_nobody_takes_them() {
    let net = net();
    let (a, b) = pair(&net, SOCK_STREAM);
    let file: Passed = Arc::new(7_u32);
    for text in [&b"with"[..], b"behind"] {
        let mut message = Outgoing::default();
        if text == b"with" {
            message.ancillary.rights.push(Arc::clone(&file));
        }
        a.send(&mut Source::kernel(text), &mut message).expect("room");
    }
    assert_eq!(net.unix().in_flight(0), 1);
    let mut buffer = [0; 64];
    let got = b.receive(&mut Dest::kernel(&mut buffer), MsgFlags::empty()).expect("bytes");
    assert_eq!((got.len, got.ancillary.rights.len()), (4, 1));
    assert_eq!(net.unix().in_flight(0), 0);
    drop(got);
    let mut message = Outgoing::default();
    message.ancillary.rights.push(Arc::clone(&file));
    a.send(&mut Source::kernel(b"lost"), &mut message).expect("room");
    assert_eq!(Arc::strong_count(&file), 2);
    drop(b);
    assert_eq!((Arc::strong_count(&file), net.unix().in_flight(0)), (1, 0));
}

#[test]
fn the_urgent_byte_stands_apart() {
    let net = net();
    let (a, b) = pair(&net, SOCK_STREAM);
    let mut message = Outgoing { flags: MsgFlags::MSG_OOB, ..Outgoing::default() };
    assert_eq!(a.send(&mut Source::kernel(b"abc"), &mut message), Ok(3));
    assert!(b.readiness().contains(Readiness::PRI) && !b.at_mark());
    assert_eq!(receive(&*b, 10).as_deref(), Ok(&b"ab"[..]));
    assert!(b.at_mark());
    let mut buffer = [0; 4];
    let got = b.receive(&mut Dest::kernel(&mut buffer), MsgFlags::MSG_OOB).expect("a byte");
    assert_eq!((got.len, buffer[0]), (1, b'c'));
    assert_eq!(receive(&*b, 10), Err(Errno::EAGAIN));
}

#[test]
fn a_long_chain_of_sockets_is_closed_without_a_deep_stack() {
    /// An open file that is a socket.
    struct File(#[expect(dead_code, reason = "only held")] Arc<dyn Socket>);
    let net = net();
    let (mut first, mut second) = pair(&net, SOCK_DGRAM);
    for _ in 0..20_000 {
        // The old pair's receiving end, with what is in its queue, goes into the queue of the next.
        let (a, b) = pair(&net, SOCK_DGRAM);
        let mut message = Outgoing::default();
        message.ancillary.rights.push(Arc::new(File(second)));
        a.send(&mut Source::kernel(b"x"), &mut message).expect("room");
        (first, second) = (a, b);
    }
    drop(first);
    drop(second);
    assert_eq!(net.unix().in_flight(0), 0);
    assert!(net.unix().list().is_empty());
}
