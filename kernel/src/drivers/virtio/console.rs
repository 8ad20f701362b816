//! The virtio console (virtio 1.2, section 5.3): one port, a stream of frames each way.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;

use abi::channel::{self, HEADER_LEN, Kind};
use hal::PAGE_SIZE;
use hal::sync::{Lock, rank};

use super::queue::{Direction, Queue, Segment};
use super::{Link, Starting};
use crate::drivers::machine::{self, Handler};
use crate::drivers::region::Dma;
use crate::drivers::{Device, ProbeError};

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
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
pub(crate) fn probe(link: Link) -> Result<Device, ProbeError> {
    let mut device = Starting::new(link, 0)?;
    let pages = |n: u16| Dma::new(usize::from(n)).ok_or(ProbeError::Memory);
    let mut receive = Receive { queue: device.queue(RECEIVE, RECEIVE_PAGES)?, pages: pages(RECEIVE_PAGES)? };
    let mut queue = device.queue(TRANSMIT, TRANSMIT_PAGES)?;
    queue.set_interrupts(false);
    let free = (0..queue.size().min(TRANSMIT_PAGES)).rev().collect();
    let transmit = Transmit { queue, pages: pages(TRANSMIT_PAGES)?, free, waiting: vec![] };
    for page in 0..receive.queue.size().min(RECEIVE_PAGES) {
        receive.post(page);
    }
    let port = Arc::new(Port {
        transmit: Lock::new(transmit),
        receive: Lock::new(receive),
        receiver: spin::Once::new(),
    });
    let (on_receive, on_transmit) = (Arc::clone(&port), Arc::clone(&port));
    let handlers: Vec<(u16, Handler)> = vec![
        (RECEIVE, Arc::new(move || on_receive.received())),
        (TRANSMIT, Arc::new(move || on_transmit.transmitted())),
    ];
    device.run(handlers)?;
    port.receive.lock().queue.kick();
    Ok(Device::Console(port))
}

impl Port {
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
