//! What programs ask, what they are told, and that no message makes the kernel stumble.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use abi::netlink::*;
use abi::socket::{AF_INET, AF_NETLINK, MsgFlags, SOCK_RAW, SOCK_STREAM, SOL_NETLINK};
use abi::{Errno, Result};
use hal::{Dest, Readiness, Source};
use zerocopy::{FromBytes, IntoBytes};

use super::message::{Attributes, Message, Request};
use crate::{Address, Identity, Net, Outgoing, Socket, test_net};

const ROOT: Identity =
    Identity { pid: 7, uid: 0, gid: 0, net_admin: true, net_raw: true, bind_service: true };
const USER: Identity =
    Identity { pid: 7, uid: 1, gid: 1, net_admin: false, net_raw: false, bind_service: false };

fn open(net: &Arc<Net>) -> Arc<dyn Socket> {
    net.socket(i32::from(AF_NETLINK), SOCK_RAW, NETLINK_ROUTE, &USER).unwrap()
}

fn send_as(socket: &Arc<dyn Socket>, bytes: &[u8], who: Identity) -> Result<usize> {
    socket.send(&mut Source::kernel(bytes), &mut Outgoing { sender: who, ..Outgoing::default() })
}

fn receive(socket: &Arc<dyn Socket>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; 32768];
    let incoming = socket.receive(&mut Dest::kernel(&mut bytes), MsgFlags::empty())?;
    assert!(matches!(incoming.from, Some(Address::Netlink { port: 0, .. })));
    bytes.truncate(incoming.len);
    Ok(bytes)
}

fn request(kind: u16, flags: u16, body: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = Message::new(kind, flags | NLM_F_REQUEST, 5, 0);
    message.put(body);
    for (kind, value) in attributes {
        message.attribute(*kind, value);
    }
    message.finish()
}

/// Takes a whole dump: kind and body of each message.
fn dump(socket: &Arc<dyn Socket>) -> Vec<(u16, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        let bytes = receive(socket).unwrap();
        let mut rest = &bytes[..];
        while let Some(message) = Request::take(&mut rest, false) {
            assert_eq!((message.header.nlmsg_seq, message.header.nlmsg_pid), (5, 7));
            assert_ne!(message.header.nlmsg_flags & NLM_F_MULTI, 0);
            if message.header.nlmsg_type == NLMSG_DONE {
                return all;
            }
            all.push((message.header.nlmsg_type, message.body.to_vec()));
        }
    }
}

/// Carries an order out and returns what came of it.
fn order(socket: &Arc<dyn Socket>, bytes: &[u8], who: Identity) -> i32 {
    send_as(socket, bytes, who).unwrap();
    let answer = receive(socket).unwrap();
    let (error, _) = Nlmsgerr::read_from_prefix(&answer[16..]).unwrap();
    assert_eq!(error.msg.nlmsg_seq, 5);
    -error.error
}

fn add_address(last: u8) -> Vec<u8> {
    let header = Ifaddrmsg { ifa_family: 2, ifa_prefixlen: 24, ifa_index: 2, ..Ifaddrmsg::default() };
    let address = [10, 9, 8, last];
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    request(RTM_NEWADDR, flags, header.as_bytes(), &[(IFA_LOCAL, &address), (IFA_ADDRESS, &address)])
}

#[test]
fn types_and_protocols_that_do_not_exist_are_refused() {
    let (net, _card) = test_net();
    let make = |kind, protocol| net.socket(i32::from(AF_NETLINK), kind, protocol, &USER).map(|_| ());
    assert_eq!(make(SOCK_STREAM, NETLINK_ROUTE), Err(Errno::ESOCKTNOSUPPORT));
    assert_eq!(make(SOCK_RAW, NETLINK_GENERIC), Err(Errno::EPROTONOSUPPORT));
    assert_eq!(make(SOCK_RAW, -1), Err(Errno::EPROTONOSUPPORT));
    assert_eq!(make(SOCK_RAW, NETLINK_KOBJECT_UEVENT), Ok(()));
}

#[test]
fn ports_are_given_once() {
    let (net, _card) = test_net();
    let (a, b) = (open(&net), open(&net));
    let none = Address::Netlink { port: 0, groups: 0 };
    a.bind(&none, &USER).unwrap();
    b.bind(&none, &USER).unwrap();
    assert_eq!(a.name(), Address::Netlink { port: 7, groups: 0 });
    assert_ne!(b.name(), a.name());
    let c = open(&net);
    assert_eq!(c.bind(&a.name(), &USER), Err(Errno::EADDRINUSE));
    drop(a);
    assert_eq!(c.bind(&Address::Netlink { port: 7, groups: 0 }, &USER), Ok(()));
    assert_eq!(c.bind(&Address::Netlink { port: 8, groups: 0 }, &USER), Err(Errno::EINVAL));
}

#[test]
fn links_addresses_routes_and_rules_are_listed() {
    let (net, _card) = test_net();
    let socket = open(&net);
    let ask = |kind, body: &[u8]| {
        send_as(&socket, &request(kind, NLM_F_DUMP, body, &[]), USER).unwrap();
        dump(&socket)
    };
    let links = ask(RTM_GETLINK, Ifinfomsg::default().as_bytes());
    let names: Vec<_> = links
        .iter()
        .map(|(_, body)| Attributes::parse(&body[16..], true).unwrap().text(IFLA_IFNAME).unwrap().to_vec())
        .collect();
    assert_eq!(names, [b"lo".to_vec(), b"eth0".to_vec()]);
    // As getifaddrs(3) asks: with a family alone.
    let addresses = ask(RTM_GETADDR, &[0]);
    assert_eq!(addresses.len(), 3);
    let (header, rest) = Ifaddrmsg::read_from_prefix(&addresses[1].1).unwrap();
    assert_eq!((header.ifa_index, header.ifa_prefixlen, header.ifa_flags), (2, 24, IFA_F_PERMANENT));
    let attributes = Attributes::parse(rest, true).unwrap();
    assert_eq!(attributes.get(IFA_BROADCAST), Some(&[10, 0, 2, 255][..]));
    assert_eq!(attributes.text(IFA_LABEL), Some(&b"eth0"[..]));
    let header = Rtmsg { rtm_family: 2, ..Rtmsg::default() };
    let routes = ask(RTM_GETROUTE, header.as_bytes());
    let tables: Vec<_> = routes.iter().map(|(_, body)| (body[4], body[1])).collect();
    let local = [(255, 32), (255, 32), (255, 8), (255, 32), (255, 32)];
    let mut wanted = vec![(254, 0), (254, 24)];
    wanted.extend(local);
    assert_eq!(tables, wanted);
    assert_eq!(ask(RTM_GETRULE, header.as_bytes()).len(), 3);
}

#[test]
fn the_way_to_an_address_is_told() {
    let (net, _card) = test_net();
    let socket = open(&net);
    let header = Rtmsg { rtm_family: 2, rtm_dst_len: 32, ..Rtmsg::default() };
    let ask = |to: [u8; 4]| {
        send_as(&socket, &request(RTM_GETROUTE, 0, header.as_bytes(), &[(RTA_DST, &to)]), USER).unwrap();
        receive(&socket).unwrap()
    };
    let answer = ask([8, 8, 8, 8]);
    let attributes = Attributes::parse(&answer[28..], true).unwrap();
    assert_eq!(attributes.address(RTA_GATEWAY, AF_INET).unwrap(), "10.0.2.2".parse().ok());
    assert_eq!(attributes.address(RTA_PREFSRC, AF_INET).unwrap(), "10.0.2.15".parse().ok());
    assert_eq!(attributes.number(RTA_OIF), Ok(Some(2)));
    let answer = ask([127, 0, 0, 1]);
    assert_eq!(answer[16 + 7], RTN_LOCAL);
}

#[test]
fn only_an_administrator_changes_something_and_everybody_hears_of_it() {
    let (net, _card) = test_net();
    let (socket, listener) = (open(&net), open(&net));
    let groups = RTMGRP_IPV4_IFADDR | RTMGRP_LINK;
    listener.bind(&Address::Netlink { port: 0, groups }, &USER).unwrap();
    assert_eq!(order(&socket, &add_address(7), USER), Errno::EPERM.number());
    assert_eq!(order(&socket, &add_address(7), ROOT), 0);
    assert_eq!(order(&socket, &add_address(7), ROOT), Errno::EEXIST.number());
    let news = receive(&listener).unwrap();
    assert_eq!(u16::from_ne_bytes([news[4], news[5]]), RTM_NEWADDR);
    assert_eq!(receive(&listener), Err(Errno::EAGAIN));
    let down = Ifinfomsg { ifi_index: 2, ifi_change: IFF_UP, ..Ifinfomsg::default() };
    assert_eq!(order(&socket, &request(RTM_NEWLINK, NLM_F_ACK, down.as_bytes(), &[]), ROOT), 0);
    let news = receive(&listener).unwrap();
    assert_eq!(u16::from_ne_bytes([news[4], news[5]]), RTM_NEWLINK);
    assert!(net.routes().is_empty());
    let up = Ifinfomsg { ifi_flags: IFF_UP, ..down };
    assert_eq!(order(&socket, &request(RTM_NEWLINK, NLM_F_ACK, up.as_bytes(), &[]), ROOT), 0);
    assert_eq!(net.routes().len(), 2);
    let mtu = Ifinfomsg { ifi_index: 2, ..Ifinfomsg::default() };
    let set = |mtu_bytes: u32| {
        request(RTM_SETLINK, NLM_F_ACK, mtu.as_bytes(), &[(IFLA_MTU, &mtu_bytes.to_ne_bytes())])
    };
    assert_eq!(order(&socket, &set(20), ROOT), Errno::EINVAL.number());
    assert_eq!(order(&socket, &set(1400), ROOT), 0);
    assert_eq!(net.interface(2).unwrap().mtu(), 1400);
}

#[test]
fn routes_come_and_go() {
    let (net, _card) = test_net();
    let socket = open(&net);
    let header = Rtmsg {
        rtm_family: 2,
        rtm_dst_len: 16,
        rtm_table: RT_TABLE_MAIN,
        rtm_protocol: RTPROT_BOOT,
        rtm_type: RTN_UNICAST,
        ..Rtmsg::default()
    };
    let attributes: [(u16, &[u8]); 2] = [(RTA_DST, &[172, 16, 0, 0]), (RTA_GATEWAY, &[10, 0, 2, 3])];
    let add = |flags| request(RTM_NEWROUTE, NLM_F_ACK | flags, header.as_bytes(), &attributes);
    assert_eq!(order(&socket, &add(0), ROOT), Errno::ENOENT.number());
    assert_eq!(order(&socket, &add(NLM_F_CREATE | NLM_F_EXCL), ROOT), 0);
    assert_eq!(order(&socket, &add(NLM_F_CREATE | NLM_F_EXCL), ROOT), Errno::EEXIST.number());
    let far: [(u16, &[u8]); 2] = [(RTA_DST, &[172, 17, 0, 0]), (RTA_GATEWAY, &[9, 9, 9, 9])];
    // The gateway lies behind another one.
    let bad = request(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE, header.as_bytes(), &far);
    assert_eq!(order(&socket, &bad, ROOT), Errno::ENETUNREACH.number());
    let wanted = Rtmsg { rtm_scope: RT_SCOPE_NOWHERE, rtm_protocol: 0, rtm_type: 0, ..header };
    let remove = request(RTM_DELROUTE, NLM_F_ACK, wanted.as_bytes(), &attributes[..1]);
    assert_eq!(order(&socket, &remove, ROOT), 0);
    assert_eq!(order(&socket, &remove, ROOT), Errno::ESRCH.number());
}

#[test]
fn neighbours_are_set_and_forgotten() {
    let (net, _card) = test_net();
    let socket = open(&net);
    let header = Ndmsg { ndm_family: 2, ndm_ifindex: 2, ndm_state: NUD_PERMANENT, ..Ndmsg::default() };
    let attributes: [(u16, &[u8]); 2] = [(NDA_DST, &[10, 0, 2, 9]), (NDA_LLADDR, &[2, 0, 0, 0, 0, 9])];
    let add = request(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, header.as_bytes(), &attributes);
    assert_eq!(order(&socket, &add, ROOT), 0);
    assert_eq!(order(&socket, &add, ROOT), Errno::EEXIST.number());
    send_as(&socket, &request(RTM_GETNEIGH, NLM_F_DUMP, Ndmsg::default().as_bytes(), &[]), USER).unwrap();
    let all = dump(&socket);
    assert_eq!((all.len(), all[0].1[8]), (1, 0x80));
    let remove = request(RTM_DELNEIGH, NLM_F_ACK, header.as_bytes(), &attributes[..1]);
    assert_eq!(order(&socket, &remove, ROOT), 0);
    assert_eq!(order(&socket, &remove, ROOT), Errno::ENOENT.number());
}

#[test]
fn a_full_buffer_is_told_once_and_heals() {
    let (net, _card) = test_net();
    let listener = open(&net);
    listener.set_option(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &5_i32.to_ne_bytes(), &USER).unwrap();
    listener.common().receive_buffer.store(2304, core::sync::atomic::Ordering::Relaxed);
    let socket = open(&net);
    for last in 0..20 {
        order(&socket, &add_address(last), ROOT);
    }
    assert!(listener.readiness().contains(Readiness::ERR | Readiness::READ));
    assert_eq!(receive(&listener), Err(Errno::ENOBUFS));
    while receive(&listener) != Err(Errno::EAGAIN) {}
    order(&socket, &add_address(99), ROOT);
    assert!(receive(&listener).is_ok());
}

#[test]
fn a_peek_tells_the_whole_length() {
    let (net, _card) = test_net();
    let socket = open(&net);
    send_as(&socket, &request(RTM_GETLINK, NLM_F_DUMP, &[0], &[]), USER).unwrap();
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    let peeked = socket.receive(&mut Dest::kernel(&mut []), flags).unwrap();
    assert_eq!(peeked.flags, MsgFlags::MSG_TRUNC);
    assert_eq!(receive(&socket).unwrap().len(), peeked.len);
}

#[test]
fn a_strict_socket_refuses_what_makes_no_sense() {
    let (net, _card) = test_net();
    let socket = open(&net);
    let odd = Ifinfomsg { ifi_index: 2, ..Ifinfomsg::default() };
    let ask = request(RTM_GETLINK, NLM_F_DUMP, odd.as_bytes(), &[]);
    send_as(&socket, &ask, USER).unwrap();
    dump(&socket);
    socket.set_option(SOL_NETLINK, NETLINK_GET_STRICT_CHK, &1_i32.to_ne_bytes(), &USER).unwrap();
    assert_eq!(order(&socket, &ask, USER), Errno::EINVAL.number());
    let links = Ifaddrmsg { ifa_index: 2, ..Ifaddrmsg::default() };
    send_as(&socket, &request(RTM_GETADDR, NLM_F_DUMP, links.as_bytes(), &[]), USER).unwrap();
    assert_eq!(dump(&socket).len(), 1);
}

#[test]
fn no_bytes_make_it_stumble() {
    let (net, _card) = test_net();
    let socket = open(&net);
    let mut state = 1_u64;
    let mut next = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % end
    };
    for round in 0..20_000 {
        let strict = i32::from(round % 2 == 0).to_ne_bytes();
        socket.set_option(SOL_NETLINK, NETLINK_GET_STRICT_CHK, &strict, &USER).unwrap();
        let kind = u16::try_from(16 + next(24)).unwrap();
        let flags = [0, NLM_F_DUMP, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_ACK][next(5)];
        let mut bytes = request(kind, flags, &vec![0; next(20)], &[(1, &[10, 0, 2, 9]), (4, &[2, 0, 0, 0])]);
        for _ in 0..next(6) {
            let at = next(bytes.len());
            bytes[at] = u8::try_from(next(256)).unwrap();
        }
        bytes.truncate(1 + next(bytes.len()));
        send_as(&socket, &bytes, ROOT).unwrap();
        loop {
            match receive(&socket) {
                Ok(_) | Err(Errno::ENOBUFS) => {}
                Err(errno) => {
                    assert_eq!(errno, Errno::EAGAIN);
                    break;
                }
            }
        }
    }
}
