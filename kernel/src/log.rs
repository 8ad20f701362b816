//! The kernel's log: lines with a level, to the serial port until a driver offers something better.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, Ordering};

use crate::arch::serial::EarlySerial;

/// How urgent a line is; the numbers are those of the `hull.log` option.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Level {
    Error = 0,
    Warn = 1,
    Info = 2,
    Debug = 3,
}

/// Longest line in bytes; the rest is cut off.
const MAX_LINE: usize = 480;

static LEVEL: AtomicU8 = AtomicU8::new(Level::Warn as u8);
static SINK: spin::Once<fn(Level, &str)> = spin::Once::new();

/// Sets the least urgent level that is written.
pub(crate) fn set_level(level: u8) {
    LEVEL.store(level, Ordering::Relaxed);
}

/// Says who takes the lines from now on, instead of the serial port; the first call wins. A line comes without its
/// line end. The sink must not log.
pub(crate) fn set_sink(sink: fn(Level, &str)) {
    SINK.call_once(|| sink);
}

/// Says whether lines of this level are written.
#[inline]
pub(crate) fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

struct Line {
    bytes: [u8; MAX_LINE],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            if self.len + c.len_utf8() > MAX_LINE {
                return Err(fmt::Error);
            }
            self.len += c.encode_utf8(&mut self.bytes[self.len..]).len();
        }
        Ok(())
    }
}

/// Writes one line; use the macros.
#[cold]
pub(crate) fn write(level: Level, args: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; MAX_LINE], len: 0 };
    // A line that does not fit is cut off, which is all that can go wrong.
    let _ = line.write_fmt(args);
    let text = core::str::from_utf8(&line.bytes[..line.len]).unwrap_or_default();
    match SINK.get() {
        Some(sink) => sink(level, text),
        None => {
            EarlySerial::write(text.as_bytes());
            EarlySerial::write(b"\r\n");
        }
    }
}

macro_rules! log {
    ($level:ident, $($arg:tt)*) => {
        if $crate::log::enabled($crate::log::Level::$level) {
            $crate::log::write($crate::log::Level::$level, ::core::format_args!($($arg)*));
        }
    };
}

pub(crate) use log;
