//! The first serial port, polled: the log of the earliest start and of a panic.

use core::fmt;

use super::cpu::{inb, outb};

const PORT: u16 = 0x3f8;
const LINE_STATUS: u16 = PORT + 5;
const TRANSMITTER_EMPTY: u8 = 1 << 5;

/// The port as a formatter's target. Works at any time, under any lock; lines of two processors may mix.
pub(crate) struct EarlySerial;

impl EarlySerial {
    /// Writes bytes. A port that never becomes ready (there is none) costs a bounded wait.
    pub(crate) fn write(bytes: &[u8]) {
        for &byte in bytes {
            for _ in 0..100_000 {
                if inb(LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
                    break;
                }
            }
            outb(PORT, byte);
        }
    }
}

impl fmt::Write for EarlySerial {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for line in s.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(text) => {
                    Self::write(text.as_bytes());
                    Self::write(b"\r\n");
                }
                None => Self::write(line.as_bytes()),
            }
        }
        Ok(())
    }
}
