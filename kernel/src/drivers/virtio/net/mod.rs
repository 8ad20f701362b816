//! The virtio network card (virtio 1.2, section 5.1): several pairs of queues, offloads, joined buffers.
//!
//! [`setup`] settles what is used, [`receive`] and [`transmit`] carry frames, [`control`] tells the card what to hand
//! over. A card takes memory and interrupts when it is started, and not before.

mod control;
mod header;
#[allow(unsafe_code, reason = "frames are lent where the device put them")]
mod receive;
mod ring;
mod setup;
#[allow(unsafe_code, reason = "frames are written where the device reads them")]
mod transmit;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::sync::{Lock, rank};
use hal::{NetCounters, NetDevice, NetEvents, NetInfo, PAGE_SIZE, QueueFull, RxInfo, TxOffload};

use super::{Interrupt, Link, Starting};
use crate::drivers::machine;
use crate::drivers::region::{Dma, Region};
use crate::drivers::{Device, ProbeError};
use crate::log::log;
use control::{Command, Control};
use receive::Receive;
use setup::{Config, Plan, Scale, feature};
use transmit::Transmit;

/// A card.
struct Card {
    info: NetInfo,
    features: u64,
    plan: Plan,
    /// Pairs of queues that the device has; the queue for commands comes behind them.
    pairs: u16,
    config: Option<Region>,
    /// Until it is started.
    starting: Lock<Option<Box<Starting>>, { rank::DRIVER }>,
    running: spin::Once<Running>,
}

/// What a started card has.
struct Running {
    pairs: Vec<Arc<Pair>>,
    control: Option<Lock<Control, { rank::DRIVER }>>,
}

struct Pair {
    receive: Receive,
    transmit: Transmit,
}

/// Agrees with a card on what is used. It stays still until [`NetDevice::start`].
pub(crate) fn probe(link: Link) -> Result<Device, ProbeError> {
    let (memory, processors) = machine::scale();
    let scale = Scale { memory, processors };
    let starting = Starting::agree(link, |offered| setup::choose(offered, scale))?;
    let (features, region) = (starting.features(), starting.config());
    let config = Config::read(features, region);
    let plan = Plan::new(features, config, scale);
    let info = NetInfo {
        mac: config.mac.unwrap_or_else(random_address),
        mtu: config.mtu,
        offloads: setup::offloads(features),
        queues: plan.pairs.into(),
    };
    log!(Debug, "network card: {info:?}");
    Ok(Device::Net(Arc::new(Card {
        info,
        features,
        plan,
        pairs: config.pairs,
        config: region,
        starting: Lock::new(Some(Box::new(starting))),
        running: spin::Once::new(),
    })))
}

/// Makes up an address for a card without one: for one machine, not for a group, and nobody's (IEEE 802, "locally
/// administered").
fn random_address() -> [u8; 6] {
    let mut address = [0; 6];
    machine::random(&mut address);
    address[0] = address[0] & !1 | 2;
    address
}

impl Card {
    fn run(&self, mut starting: Starting, events: &Arc<dyn NetEvents>) -> Result<Running, ProbeError> {
        let (mut pairs, mut interrupts) = (Vec::new(), Vec::new());
        for number in 0..self.plan.pairs {
            let pair = Arc::new(self.pair(&mut starting, number)?);
            let queue = usize::from(number);
            let (on_receive, receiver) = (Arc::clone(&pair), Arc::clone(events));
            let received = move || {
                if on_receive.receive.interrupt() {
                    receiver.received(queue);
                }
            };
            let (on_transmit, sender) = (Arc::clone(&pair), Arc::clone(events));
            let transmitted = move || {
                if on_transmit.transmit.interrupt() {
                    sender.room(queue);
                }
            };
            // There are no more pairs than processors.
            interrupts.push(Interrupt::new(2 * number, received).on(queue));
            interrupts.push(Interrupt::new(2 * number + 1, transmitted).on(queue));
            pairs.push(pair);
        }
        let mut control = None;
        if starting.has(feature::CTRL_VQ) {
            let queue = starting.queue(2 * self.pairs, control::DESCRIPTORS)?;
            control = Some(Control::new(queue, Dma::new(1).ok_or(ProbeError::Memory)?));
        }
        if starting.has(feature::STATUS) {
            let events = Arc::clone(events);
            starting.on_change(Arc::new(move || events.link_changed()));
        }
        starting.run(interrupts)?;
        pairs.iter().for_each(|pair| pair.receive.kick());
        if let Some(control) = &mut control
            && pairs.len() > 1
            && !control.send(Command::Pairs(self.plan.pairs))
        {
            // It goes on with the first pair, as it began.
            log!(Warn, "network card: it takes no more than one pair of queues");
            pairs.truncate(1);
        }
        Ok(Running { pairs, control: control.map(Lock::new) })
    }

    fn pair(&self, starting: &mut Starting, number: u16) -> Result<Pair, ProbeError> {
        let Plan { descriptors, buffers, shape, transmit_len, transmit_max, .. } = self.plan;
        // Devices that predate version 1 want the header by itself, unless buffers are joined (section 5.1.6.1).
        let legacy = starting.is_legacy();
        let memory = |pages| Dma::new(pages).ok_or(ProbeError::Memory);
        Ok(Pair {
            receive: Receive::new(
                starting.queue(2 * number, descriptors)?,
                memory(self.plan.receive_pages())?,
                shape,
                buffers,
                legacy && !shape.merge,
            ),
            transmit: Transmit::new(
                starting.queue(2 * number + 1, descriptors)?,
                memory(transmit_len.div_ceil(PAGE_SIZE))?,
                shape.header_len,
                transmit_max,
                legacy,
            ),
        })
    }

    fn pairs(&self) -> &[Arc<Pair>] {
        self.running.get().map_or(&[], |running| &running.pairs)
    }

    /// Finds a pair by number. If the device takes fewer pairs than it said, the last one stands for the rest.
    fn pair_of(&self, queue: usize) -> Option<&Pair> {
        let pairs = self.pairs();
        pairs.get(queue).or(pairs.last()).map(|pair| &**pair)
    }
}

impl NetDevice for Card {
    fn info(&self) -> NetInfo {
        self.info
    }

    fn link_up(&self) -> bool {
        self.running.is_completed() && setup::link_up(self.features, self.config)
    }

    fn counters(&self) -> NetCounters {
        let parts = self.pairs().iter().flat_map(|p| [p.receive.counters(), p.transmit.counters()]);
        parts.fold(NetCounters::default(), |sum, part| NetCounters {
            rx_packets: sum.rx_packets + part.rx_packets,
            rx_bytes: sum.rx_bytes + part.rx_bytes,
            rx_errors: sum.rx_errors + part.rx_errors,
            rx_dropped: sum.rx_dropped + part.rx_dropped,
            tx_packets: sum.tx_packets + part.tx_packets,
            tx_bytes: sum.tx_bytes + part.tx_bytes,
            tx_dropped: sum.tx_dropped + part.tx_dropped,
        })
    }

    fn start(&self, events: Arc<dyn NetEvents>) {
        let Some(starting) = self.starting.lock().take() else { return };
        match self.run(*starting, &events) {
            Ok(running) => {
                self.running.call_once(|| running);
                // Some devices hand over everything until they are told not to.
                self.set_filter(false, &[]);
            }
            Err(why) => log!(Error, "network card: not used: {why}"),
        }
    }

    fn transmit(
        &self,
        queue: usize,
        len: usize,
        offload: TxOffload,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), QueueFull> {
        self.pair_of(queue).ok_or(QueueFull)?.transmit.put(len, offload, fill)
    }

    fn flush(&self, queue: usize) {
        if let Some(pair) = self.pair_of(queue) {
            pair.transmit.flush();
        }
    }

    fn receive(&self, queue: usize, budget: usize, each: &mut dyn FnMut(&[u8], RxInfo)) -> usize {
        self.pairs().get(queue).map_or(0, |pair| pair.receive.take(budget, each))
    }

    fn listen(&self, queue: usize) -> bool {
        self.pairs().get(queue).is_some_and(|pair| pair.receive.listen())
    }

    fn set_filter(&self, promiscuous: bool, multicast: &[[u8; 6]]) {
        let control = self.running.get().and_then(|running| running.control.as_ref());
        let Some(control) = control.filter(|_| self.features & feature::CTRL_RX != 0) else { return };
        let mut control = control.lock();
        let obeyed = control::filter(promiscuous, multicast).map(|command| control.send(command));
        if obeyed.contains(&false) {
            log!(Debug, "network card: it does not filter as it was told");
        }
    }
}
