//! A network with a card made of code.

mod peer;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use hal::fake::FakeMachine;
use hal::{NetCounters, NetDevice, NetEvents, NetInfo, Offloads, QueueFull, RxInfo, TxOffload};

use crate::{Environment, InterfaceAddress, Net, Route};

/// A card whose other end is the test.
#[derive(Default)]
pub(crate) struct Card {
    sent: Mutex<Vec<Vec<u8>>>,
    waiting: Mutex<Vec<Vec<u8>>>,
    events: Mutex<Option<Arc<dyn NetEvents>>>,
}

impl Card {
    /// Takes what was sent.
    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        core::mem::take(&mut *self.sent.lock().unwrap())
    }

    /// Lets a frame come in.
    pub(crate) fn arrive(&self, frame: &[u8]) {
        self.waiting.lock().unwrap().push(frame.to_vec());
        let events = self.events.lock().unwrap().clone();
        if let Some(events) = events {
            events.received(0);
        }
    }
}

impl NetDevice for Card {
    fn info(&self) -> NetInfo {
        NetInfo { mac: [2, 0, 0, 0, 0, 1], mtu: 1500, offloads: Offloads::empty(), queues: 1 }
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
        let mut frame = alloc::vec![0; len];
        fill(&mut frame);
        self.sent.lock().unwrap().push(frame);
        Ok(())
    }

    fn flush(&self, _queue: usize) {}

    fn receive(&self, _queue: usize, _budget: usize, each: &mut dyn FnMut(&[u8], RxInfo)) -> usize {
        let frames = core::mem::take(&mut *self.waiting.lock().unwrap());
        for frame in &frames {
            each(frame, RxInfo::default());
        }
        frames.len()
    }

    fn listen(&self, _queue: usize) -> bool {
        !self.waiting.lock().unwrap().is_empty()
    }

    fn set_filter(&self, _promiscuous: bool, _multicast: &[[u8; 6]]) {}
}

/// Makes a network as QEMU's user networking has it: 10.0.2.15, with 10.0.2.2 as the gateway.
pub(crate) fn test_net() -> (Arc<Net>, Arc<Card>) {
    let machine = Box::leak(Box::new(FakeMachine::new(1)));
    let environment = Environment { clock: machine.platform.clock, entropy: machine.platform.entropy };
    let net = Net::new(environment);
    let card = Arc::new(Card::default());
    let interface = net.add_card(card.clone());
    let address = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15));
    net.add_address(InterfaceAddress { interface: interface.index, address, prefix: 24 }).unwrap();
    let gateway = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)));
    let destination = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let interface = interface.index;
    net.add_route(Route { destination, gateway, interface, source: None, metric: 0, protocol: 3 }).unwrap();
    (net, card)
}
