//! What comes in from the console: frames or plain bytes, in order, to the one who takes them.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::channel::{Decoder, Event, Kind};
use hal::ConsoleInput;
use hal::sync::{Lock, rank};

use super::super::serial::Receiver;

/// Something that came in.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Item {
    Bytes(Vec<u8>),
    End,
    Resize(u16, u16),
    Signal(u32),
}

impl Item {
    fn from_event(event: Event) -> Option<Self> {
        // Noise, and frames that only go the other way, mean nothing here.
        let Event::Frame { kind, payload, .. } = event else { return None };
        match (kind, payload.as_slice()) {
            (Kind::Input, bytes) if !bytes.is_empty() => Some(Self::Bytes(payload)),
            (Kind::InputEof, _) => Some(Self::End),
            (Kind::Resize, &[a, b, c, d]) => {
                Some(Self::Resize(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])))
            }
            (Kind::Signal, &[a, b, c, d]) => Some(Self::Signal(u32::from_le_bytes([a, b, c, d]))),
            _ => None,
        }
    }

    fn deliver(&self, sink: &dyn ConsoleInput) {
        match self {
            Self::Bytes(bytes) => sink.bytes(bytes),
            Self::End => sink.end(),
            Self::Resize(rows, columns) => sink.resize(*rows, *columns),
            Self::Signal(signal) => sink.signal(*signal),
        }
    }
}

/// The input side of the console.
pub(super) struct Input {
    framed: bool,
    state: Lock<State, { rank::DRIVER }>,
}

#[derive(Default)]
struct State {
    sink: Option<Arc<dyn ConsoleInput>>,
    decoder: Decoder,
    /// What nobody has taken yet.
    waiting: VecDeque<Item>,
    /// Bytes that may be read from a plain port.
    room: usize,
    /// A processor is delivering: the others leave what they bring in `waiting`, so that order is kept.
    delivering: bool,
}

impl Input {
    pub(super) fn new(framed: bool) -> Arc<Self> {
        Arc::new(Self { framed, state: Lock::default() })
    }

    /// Takes a part of the stream of frames.
    pub(super) fn frames(&self, bytes: &[u8]) {
        let mut state = self.state.lock();
        let events = state.decoder.push(bytes);
        state.waiting.extend(events.into_iter().filter_map(Item::from_event));
        drop(state);
        self.deliver();
    }

    /// Says who takes the input, and gives him what came before.
    pub(super) fn set_sink(&self, sink: Arc<dyn ConsoleInput>) {
        self.state.lock().sink = Some(sink);
        self.deliver();
    }

    /// Lets more bytes be read from a plain port.
    pub(super) fn add_room(&self, bytes: u32) {
        let mut state = self.state.lock();
        state.room = state.room.saturating_add(bytes as usize);
    }

    pub(super) fn signal(&self, signal: u32) {
        self.state.lock().waiting.push_back(Item::Signal(signal));
        self.deliver();
    }

    /// Delivers what waits, with no lock held: the sink takes locks of its own.
    fn deliver(&self) {
        let mut mine = false;
        loop {
            let mut state = self.state.lock();
            if state.delivering && !mine {
                return;
            }
            let sink = state.sink.clone();
            let next = if sink.is_some() { state.waiting.pop_front() } else { None };
            mine = next.is_some();
            state.delivering = mine;
            drop(state);
            match (sink, next) {
                (Some(sink), Some(item)) => item.deliver(&*sink),
                _ => return,
            }
        }
    }
}

impl Receiver for Input {
    fn room(&self) -> usize {
        // Frames are read as they come: the tool holds input back until there is credit for it.
        if self.framed { usize::MAX } else { self.state.lock().room }
    }

    fn take(&self, bytes: &[u8]) {
        if self.framed {
            return self.frames(bytes);
        }
        let mut state = self.state.lock();
        state.room = state.room.saturating_sub(bytes.len());
        state.waiting.push_back(Item::Bytes(bytes.to_vec()));
        drop(state);
        self.deliver();
    }
}
