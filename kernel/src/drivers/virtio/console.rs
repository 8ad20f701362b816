//! The virtio console (virtio 1.2, section 5.3): one port, a stream of frames each way.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;

use abi::channel::{self, HEADER_LEN, Kind};
use hal::PAGE_SIZE;
use hal::sync::{Lock, rank};

use super::queue::{Direction, Queue, Segment};
use super::{Interrupt, Link, Starting};
use crate::drivers::machine;
use crate::drivers::region::Dma;
use crate::drivers::{Device, ProbeError};

/// Feature bit: several ports, and queues to control them.
const MULTIPORT: u64 = 1 << 1;
/// Offset of the largest number of ports in the configuration.
const MAX_PORTS_AT: usize = 4;
/// Pages that wait for input.
const RECEIVE_PAGES: u16 = 4;
/// Pages of output that may be under way; each holds one frame.
const TRANSMIT_PAGES: u16 = 16;
/// Payload of one frame at most.
const PAYLOAD: usize = PAGE_SIZE - HEADER_LEN;

type Receiver = Box<dyn Fn(&[u8]) + Send + Sync>;

/// The port.
pub(crate) struct Port {
    transmit: Lock<Transmit, { rank::DRIVER }>,
    receive: Lock<Receive, { rank::DRIVER }>,
    receiver: spin::Once<Receiver>,
}

struct Transmit {
    queue: Queue,
    pages: Dma,
    /// Numbers of the pages that the device does not have.
    free: Vec<u16>,
    /// Threads that wait for a page.
    waiting: Vec<Waker>,
}

struct Receive {
    queue: Queue,
    pages: Dma,
}

/// Starts a virtio console.
///
/// Of a device with several ports it is port 1: QEMU drops what its port 0 (`virtconsole`) cannot pass on at once, while
/// its other ports (`virtserialport`) wait. Of a device with one port it is that.
pub(crate) fn probe(link: Link) -> Result<Device, ProbeError> {
    let mut device = Starting::new(link, MULTIPORT)?;
    let several = device.has(MULTIPORT) && device.config32(MAX_PORTS_AT) > 1;
    let mut control = if several { Some(Control::new(&mut device)?) } else { None };
    let number = u16::from(several);
    let (receive, transmit) = queues_of(number);
    let port =
        Arc::new(Port::new(device.queue(receive, RECEIVE_PAGES)?, device.queue(transmit, TRANSMIT_PAGES)?)?);
    let (on_receive, on_transmit) = (Arc::clone(&port), Arc::clone(&port));
    device.run(vec![
        Interrupt::new(receive, move || on_receive.received()),
        Interrupt::new(transmit, move || on_transmit.transmitted()),
    ])?;
    if let Some(control) = &mut control
        && !control.open(number.into())
    {
        return Err(ProbeError::Unsupported(
            "a virtio console without port 1 (QEMU: virtserialport,nr=1, or max_ports=1 and virtconsole)",
        ));
    }
    port.receive.lock().queue.kick();
    Ok(Device::Console(port))
}

/// Returns the numbers of a port's queues for receiving and transmitting (section 5.3.2).
const fn queues_of(port: u16) -> (u16, u16) {
    if port == 0 { (0, 1) } else { (2 * port + 2, 2 * port + 3) }
}

/// The queues through which ports are announced and opened (section 5.3.6.2).
struct Control {
    receive: Queue,
    transmit: Queue,
    page: Dma,
}

impl Control {
    const RECEIVE: u16 = 2;
    const TRANSMIT: u16 = 3;
    /// Messages in each direction that may be under way. One is a number, an event and a value; a name may follow.
    const MESSAGES: u16 = 8;
    const MESSAGE_LEN: usize = 8;
    const BUFFER_LEN: usize = 64;
    const DEVICE_READY: u16 = 0;
    const PORT_ADD: u16 = 1;
    const PORT_READY: u16 = 3;
    const PORT_OPEN: u16 = 6;
    /// How long to wait for the announcement of a port, which comes in microseconds.
    const PATIENCE: Duration = Duration::from_millis(500);

    fn new(device: &mut Starting) -> Result<Self, ProbeError> {
        let mut receive = device.queue(Self::RECEIVE, Self::MESSAGES)?;
        let mut transmit = device.queue(Self::TRANSMIT, Self::MESSAGES)?;
        let page = Dma::new(1).ok_or(ProbeError::Memory)?;
        receive.set_interrupts(false);
        transmit.set_interrupts(false);
        for slot in 0..receive.size().min(Self::MESSAGES) {
            let at = usize::from(slot) * Self::BUFFER_LEN;
            let buffer = Segment::new(&page, at, Self::BUFFER_LEN, Direction::FromDevice);
            // There is a descriptor for each buffer.
            let _ = receive.push(slot, &[], None, &[buffer]);
        }
        Ok(Self { receive, transmit, page })
    }

    /// Waits until the device announces a port, and opens it; `false` if it does not.
    fn open(&mut self, wanted: u32) -> bool {
        self.receive.kick();
        self.send(0, u32::MAX, Self::DEVICE_READY);
        let announced = machine::spin_until(Self::PATIENCE, || {
            self.receive.pop().is_some_and(|done| {
                let at = usize::from(done.token) * Self::BUFFER_LEN;
                let message = self.page.region();
                message.read32(at) == wanted && message.read16(at + 4) == Self::PORT_ADD
            })
        });
        if announced {
            self.send(1, wanted, Self::PORT_READY);
            self.send(2, wanted, Self::PORT_OPEN);
        }
        announced
    }

    fn send(&mut self, slot: u16, port: u32, event: u16) {
        let at = PAGE_SIZE / 2 + usize::from(slot) * Self::MESSAGE_LEN;
        let message = self.page.region();
        message.write32(at, port);
        message.write16(at + 4, event);
        message.write16(at + 6, 1);
        let segment = Segment::new(&self.page, at, Self::MESSAGE_LEN, Direction::ToDevice);
        // Each slot is sent once, and there is a descriptor for each.
        let _ = self.transmit.push(slot, &[segment], None, &[]);
        self.transmit.kick();
    }
}

impl Port {
    fn new(receive: Queue, mut transmit: Queue) -> Result<Self, ProbeError> {
        let pages =
            |queue: &Queue, n: u16| Dma::new(usize::from(queue.size().min(n))).ok_or(ProbeError::Memory);
        let mut receive = Receive { pages: pages(&receive, RECEIVE_PAGES)?, queue: receive };
        for page in 0..receive.queue.size().min(RECEIVE_PAGES) {
            receive.post(page);
        }
        transmit.set_interrupts(false);
        let free = (0..transmit.size().min(TRANSMIT_PAGES)).rev().collect();
        let transmit =
            Transmit { pages: pages(&transmit, TRANSMIT_PAGES)?, queue: transmit, free, waiting: vec![] };
        Ok(Self { transmit: Lock::new(transmit), receive: Lock::new(receive), receiver: spin::Once::new() })
    }

    /// Says who takes what comes in: called from the interrupt, with no lock held. What has come already is taken now.
    pub(crate) fn set_receiver(&self, receiver: impl Fn(&[u8]) + Send + Sync + 'static) {
        self.receiver.call_once(|| Box::new(receiver));
        self.received();
    }

    /// Sends a payload in one frame or several. Waits only while all pages are under way.
    pub(crate) fn send(&self, kind: Kind, stream: u8, payload: &[u8]) {
        let mut rest = Some(payload);
        machine::wait_until(|waker| {
            let mut transmit = self.transmit.lock();
            loop {
                transmit.reap();
                while let Some(bytes) = rest
                    && let Some(page) = transmit.free.pop()
                {
                    let (part, more) = bytes.split_at(bytes.len().min(PAYLOAD));
                    transmit.put(page, &channel::header(kind, stream, part.len()), part);
                    rest = (!more.is_empty()).then_some(more);
                }
                transmit.queue.kick();
                if rest.is_none() {
                    return true;
                }
                let Some(waker) = waker else { return false };
                transmit.waiting.push(waker.clone());
                transmit.queue.set_interrupts(true);
                // What the device did before interrupts were on brings none.
                if !transmit.queue.has_done() {
                    return false;
                }
            }
        });
    }

    /// Waits until the device has taken everything. For the end of the machine: it spins.
    pub(crate) fn flush(&self) {
        loop {
            let mut transmit = self.transmit.lock();
            transmit.reap();
            if transmit.free.len() == usize::from(transmit.queue.size().min(TRANSMIT_PAGES)) {
                return;
            }
            drop(transmit);
            hal::sync::relax();
        }
    }

    fn transmitted(&self) {
        let mut transmit = self.transmit.lock();
        if !transmit.waiting.is_empty() {
            transmit.reap();
            let waiting = core::mem::take(&mut transmit.waiting);
            transmit.queue.set_interrupts(false);
            drop(transmit);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    fn received(&self) {
        // Before there is somebody to take it, input stays in the queue.
        let Some(receiver) = self.receiver.get() else { return };
        let mut bytes = Vec::new();
        loop {
            let mut receive = self.receive.lock();
            bytes.clear();
            while let Some(done) = receive.queue.pop() {
                let len = usize::try_from(done.len).map_or(PAGE_SIZE, |len| len.min(PAGE_SIZE));
                let at = bytes.len();
                bytes.resize(at + len, 0);
                receive.pages.region().copy_out(usize::from(done.token) * PAGE_SIZE, &mut bytes[at..]);
                receive.post(done.token);
            }
            receive.queue.kick();
            drop(receive);
            if bytes.is_empty() {
                return;
            }
            receiver(&bytes);
        }
    }
}

impl Receive {
    fn post(&mut self, page: u16) {
        let segment =
            Segment::new(&self.pages, usize::from(page) * PAGE_SIZE, PAGE_SIZE, Direction::FromDevice);
        // There is a descriptor for each page.
        let _ = self.queue.push(page, &[], None, &[segment]);
    }
}

impl Transmit {
    fn reap(&mut self) {
        while let Some(done) = self.queue.pop() {
            self.free.push(done.token);
        }
    }

    fn put(&mut self, page: u16, header: &[u8], payload: &[u8]) {
        let at = usize::from(page) * PAGE_SIZE;
        self.pages.region().copy_in(at, header);
        self.pages.region().copy_in(at + header.len(), payload);
        let segment = Segment::new(&self.pages, at, header.len() + payload.len(), Direction::ToDevice);
        // There is a descriptor for each page.
        let _ = self.queue.push(page, &[segment], None, &[]);
    }
}
