//! Packets from the machine to itself that have no shorter way: datagrams of raw sockets, ICMP.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::RxInfo;
use hal::sync::{Lock, rank};

use crate::Net;
use crate::ingress::Batch;
use crate::interface::{Interface, LOOPBACK};

/// Packets that may wait.
const MOST: usize = 1000;

/// Packets on their way.
#[derive(Default)]
pub(crate) struct Queue {
    state: Lock<State, { rank::NET_TABLE }>,
}

#[derive(Default)]
struct State {
    packets: VecDeque<Vec<u8>>,
    /// Somebody takes them out: answers to packets are taken by whoever takes the packets.
    busy: bool,
}

impl Net {
    /// Takes a packet that goes to a group through an interface as if it had come in there.
    pub(crate) fn loop_back_from(self: &Arc<Self>, interface: &Arc<Interface>, packet: Vec<u8>) {
        let mut batch = Batch::default();
        self.packet(interface, &packet, RxInfo { checksum_good: true }, true, &mut batch);
        self.finish(batch);
    }

    /// Sends a packet to the machine itself. The caller holds no lock.
    pub(crate) fn loop_back(self: &Arc<Self>, packet: Vec<u8>) {
        let mut state = self.loopback.state.lock();
        if state.packets.len() < MOST {
            state.packets.push_back(packet);
        }
        if core::mem::replace(&mut state.busy, true) {
            return;
        }
        drop(state);
        let Some(interface) = self.interface(LOOPBACK) else { return };
        loop {
            let mut state = self.loopback.state.lock();
            let Some(packet) = state.packets.pop_front() else {
                state.busy = false;
                return;
            };
            drop(state);
            interface.count_local(1, packet.len() as u64);
            let mut batch = Batch::default();
            self.packet(&interface, &packet, RxInfo { checksum_good: true }, false, &mut batch);
            self.finish(batch);
        }
    }
}
