//! The console: what the application and the kernel say to whoever started the machine, and what comes back.
//!
//! Three ways, chosen by `hull.channel`: plain text on the serial port, frames on the serial port, and frames on a
//! virtio console (frames: `abi::channel`). Where a virtio console was asked for and there is none, frames go over
//! the serial port, which the tool reads as well.

mod input;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::boot::Channel;
use abi::channel::{self, Kind};
use hal::{ConsoleInput, Stream};

use super::ProbeError;
use super::serial::{Receiver, SERIAL};
use super::virtio::console::Port;
use crate::log::{self, Level};
use input::Input;

/// Payload of one frame on the serial port at most: a bound on how long the port is kept from others.
const SERIAL_PAYLOAD: usize = 16 << 10;

/// The console of this machine.
pub(crate) struct Console {
    port: spin::Once<Arc<Port>>,
    /// Frames are spoken; else plain text.
    frames: AtomicBool,
    input: spin::Once<Arc<Input>>,
}

static CONSOLE: Console =
    Console { port: spin::Once::new(), frames: AtomicBool::new(false), input: spin::Once::new() };

/// Returns the console.
pub(crate) fn console() -> &'static Console {
    &CONSOLE
}

/// Starts the console. `port` is the virtio console that was found, if it was looked for.
pub(super) fn init(channel: Channel, port: Option<Arc<Port>>) -> Result<(), ProbeError> {
    let frames = channel != Channel::Raw;
    let input = CONSOLE.input.call_once(|| Input::new(frames));
    CONSOLE.frames.store(frames, Ordering::Relaxed);
    let on_port = port.is_some();
    if let Some(port) = port {
        let receiver = Arc::clone(input);
        port.set_receiver(move |bytes| receiver.frames(bytes));
        CONSOLE.port.call_once(|| port);
    }
    log::set_sink(|level, line| CONSOLE.log(level, line));
    if channel == Channel::Virtio && !on_port {
        log::log!(Warn, "there is no virtio console: speaking frames on the serial port");
    }
    let receiver: Arc<dyn Receiver> = Arc::clone(input) as Arc<dyn Receiver>;
    if on_port { Ok(()) } else { SERIAL.listen(receiver) }
}

impl Console {
    fn send(&self, kind: Kind, stream: u8, bytes: &[u8]) {
        if let Some(port) = self.port.get() {
            return port.send(kind, stream, bytes);
        }
        let mut rest = bytes;
        loop {
            let (part, more) = rest.split_at(rest.len().min(SERIAL_PAYLOAD));
            SERIAL.write(&[&channel::header(kind, stream, part.len()), part]);
            if more.is_empty() {
                return;
            }
            rest = more;
        }
    }

    fn framed(&self) -> bool {
        self.frames.load(Ordering::Relaxed)
    }

    fn log(&self, level: Level, line: &str) {
        if self.framed() {
            self.send(Kind::Log, level as u8, line.as_bytes());
        } else {
            SERIAL.write(&[b"hull: ", line.as_bytes(), b"\n"]);
        }
    }

    /// Sends the application's wait status and waits until everything has left.
    pub(super) fn finish(&self, wait_status: u32) {
        if self.framed() {
            self.send(Kind::Exit, 0, &wait_status.to_le_bytes());
        }
        if let Some(port) = self.port.get() {
            port.flush();
        }
        SERIAL.flush();
    }

    /// Asks to deliver a signal to the application, as the tool does.
    pub(super) fn signal(&self, signal: u32) {
        if let Some(input) = self.input.get() {
            input.signal(signal);
        }
    }
}

impl hal::Console for Console {
    fn write(&self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (kind, number) = match stream {
            Stream::Output => (Kind::Output, 1),
            Stream::Error => (Kind::Output, 2),
            Stream::Trace => (Kind::Trace, 0),
            Stream::Report => (Kind::Report, 0),
        };
        if self.framed() {
            self.send(kind, number, bytes);
        } else if stream != Stream::Report {
            SERIAL.write(&[bytes]);
        } else if let Ok(line) = core::str::from_utf8(bytes) {
            // Nobody collects a report on a plain port: it is of interest to those who asked for more of the log.
            log::log!(Info, "{}", line.trim_end());
        }
    }

    fn set_input(&self, sink: Arc<dyn ConsoleInput>) {
        if let Some(input) = self.input.get() {
            input.set_sink(sink);
        }
    }

    fn credit(&self, bytes: u32) {
        let Some(input) = self.input.get() else { return };
        if self.framed() {
            self.send(Kind::Credit, 0, &bytes.to_le_bytes());
        } else {
            input.add_room(bytes);
            SERIAL.want(true);
        }
    }
}
