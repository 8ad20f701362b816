//! The console channel: frames between a running machine and the tool that started it.
//!
//! One byte stream (a virtio-console, or a serial port where there is none) carries the application's
//! output, the kernel's log and the exit status out, and standard input, terminal size and signals in.
//! A frame is an eight-byte header (two magic bytes, kind, stream, little-endian length) and its payload.
//! Bytes outside a frame are firmware or early-boot noise; [`Decoder`] hands them out as [`Event::Noise`].
//!
//! Standard input flows on credit: the machine says how many bytes it has room for, and the tool never
//! sends more, so control frames are never stuck behind unread input, and input that the application did
//! not ask for stays with the host.

use alloc::vec::Vec;

/// First two bytes of each frame.
pub const MAGIC: [u8; 2] = [0xf5, b'H'];
/// Bytes in a frame header.
pub const HEADER_LEN: usize = 8;
/// Longest payload of one frame, in bytes; a longer length means that the stream is out of step.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// The key of the report that the application's first thread is ready to run; sent if the configuration asks for it.
pub const STARTED: &str = "started";
/// The key of the report that the application could not be started, and why; an [`Kind::Exit`] with the tool's exit
/// code for that follows.
pub const START_FAILED: &str = "start_failed";

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Machine to tool: application output; stream 1 or 2.
    Output = 1,
    /// Machine to tool: one line of the kernel's log; the stream byte is the level (0 error to 4 trace).
    Log = 2,
    /// Machine to tool: the application's wait status (`wait(2)` encoding) as a little-endian `u32`. Last frame.
    Exit = 3,
    /// Machine to tool: room for that many more bytes of standard input, a little-endian `u32`.
    Credit = 4,
    /// Machine to tool: one `key=value` line of the report on the run.
    Report = 5,
    /// Machine to tool: one line of the system-call trace.
    Trace = 6,
    /// Tool to machine: standard input.
    Input = 16,
    /// Tool to machine: end of standard input.
    InputEof = 17,
    /// Tool to machine: terminal size, little-endian `u16` rows then `u16` columns.
    Resize = 18,
    /// Tool to machine: deliver this signal (little-endian `u32`) to the application.
    Signal = 19,
}

impl Kind {
    /// Returns the kind with this number.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Output,
            2 => Self::Log,
            3 => Self::Exit,
            4 => Self::Credit,
            5 => Self::Report,
            6 => Self::Trace,
            16 => Self::Input,
            17 => Self::InputEof,
            18 => Self::Resize,
            19 => Self::Signal,
            _ => return None,
        })
    }
}

/// Builds the header of a frame with `len` payload bytes.
///
/// # Panics
/// If `len` exceeds [`MAX_PAYLOAD`].
pub const fn header(kind: Kind, stream: u8, len: usize) -> [u8; HEADER_LEN] {
    assert!(len <= MAX_PAYLOAD, "a frame's payload is bounded");
    #[expect(clippy::cast_possible_truncation, reason = "bounded by MAX_PAYLOAD just above")]
    let l = (len as u32).to_le_bytes();
    [MAGIC[0], MAGIC[1], kind as u8, stream, l[0], l[1], l[2], l[3]]
}

/// Builds a whole frame.
pub fn frame(kind: Kind, stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN + payload.len());
    out.extend_from_slice(&header(kind, stream, payload.len()));
    out.extend_from_slice(payload);
    out
}

/// What a [`Decoder`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A whole frame.
    Frame {
        /// What it is.
        kind: Kind,
        /// Its stream or level byte.
        stream: u8,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// Bytes that belong to no frame.
    Noise(Vec<u8>),
}

/// Cuts a byte stream into frames.
#[derive(Default, Debug)]
pub struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Takes the next bytes of the stream and returns what they complete, in order.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.pending.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut at = 0;
        let mut noise = Vec::new();
        loop {
            let rest = &self.pending[at..];
            match Self::parse(rest) {
                Parsed::Frame { kind, stream, end } => {
                    if !noise.is_empty() {
                        events.push(Event::Noise(core::mem::take(&mut noise)));
                    }
                    events.push(Event::Frame { kind, stream, payload: rest[HEADER_LEN..end].to_vec() });
                    at += end;
                }
                Parsed::Noise => {
                    noise.push(rest[0]);
                    at += 1;
                }
                Parsed::Incomplete => break,
            }
        }
        if !noise.is_empty() {
            events.push(Event::Noise(noise));
        }
        self.pending.drain(..at);
        events
    }

    fn parse(rest: &[u8]) -> Parsed {
        if !MAGIC.starts_with(&rest[..rest.len().min(2)]) {
            return Parsed::Noise;
        }
        let Some(&[_, _, kind, stream, a, b, c, d]) = rest.first_chunk::<HEADER_LEN>() else {
            return Parsed::Incomplete;
        };
        let (Some(kind), len) = (Kind::from_byte(kind), u32::from_le_bytes([a, b, c, d]) as usize) else {
            return Parsed::Noise;
        };
        if len > MAX_PAYLOAD {
            return Parsed::Noise;
        }
        if rest.len() < HEADER_LEN + len {
            return Parsed::Incomplete;
        }
        Parsed::Frame { kind, stream, end: HEADER_LEN + len }
    }
}

enum Parsed {
    Frame { kind: Kind, stream: u8, end: usize },
    Noise,
    Incomplete,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut_and_noise_is_kept_apart() {
        let mut stream = b"SeaBIOS\n".to_vec();
        stream.extend(frame(Kind::Output, 1, b"hello"));
        stream.extend([MAGIC[0], 1, 2]);
        stream.extend(frame(Kind::Exit, 0, &7u32.to_le_bytes()));
        for cut in 1..stream.len() {
            let mut decoder = Decoder::default();
            let (mut frames, mut noise) = (Vec::new(), Vec::new());
            for part in stream.chunks(cut) {
                for event in decoder.push(part) {
                    match event {
                        Event::Frame { kind, payload, .. } => frames.push((kind, payload)),
                        Event::Noise(bytes) => noise.extend(bytes),
                    }
                }
            }
            assert_eq!(
                frames,
                [(Kind::Output, b"hello".to_vec()), (Kind::Exit, 7u32.to_le_bytes().to_vec())]
            );
            assert_eq!(noise, [b"SeaBIOS\n".as_slice(), &[MAGIC[0], 1, 2]].concat());
        }
    }

    #[test]
    fn a_length_over_the_bound_is_noise() {
        let mut bytes = header(Kind::Output, 1, 0);
        bytes[7] = 0xff;
        let events = Decoder::default().push(&bytes);
        assert_eq!(events, [Event::Noise(bytes.to_vec())]);
    }
}
