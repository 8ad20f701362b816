//! The first serial port: a 16550 at port 0x3f8 (PC16550D data sheet).
//!
//! Output is polled, by the FIFO's 16 bytes. Input comes by interrupt, and only while somebody wants it: otherwise
//! it stays in the port, and so with whoever is at its other end.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use hal::sync::{Lock, rank};

use super::ProbeError;
use super::machine;
use crate::arch::cpu::{inb, outb};

const PORT: u16 = 0x3f8;
/// The port's ISA interrupt.
const INTERRUPT: u8 = 4;
/// Bytes that the transmitter takes when it is empty.
const FIFO_LEN: usize = 16;

/// Register offsets.
mod at {
    pub(super) const DATA: u16 = 0;
    pub(super) const INTERRUPT_ENABLE: u16 = 1;
    pub(super) const INTERRUPT_ID: u16 = 2;
    pub(super) const FIFO_CONTROL: u16 = 2;
    pub(super) const LINE_CONTROL: u16 = 3;
    pub(super) const MODEM_CONTROL: u16 = 4;
    pub(super) const LINE_STATUS: u16 = 5;
    pub(super) const SCRATCH: u16 = 7;
}

const LOOPBACK: u8 = 1 << 4;
const ON_INPUT: u8 = 1;
const ON_EMPTY: u8 = 1 << 1;
const DATA_READY: u8 = 1;
const HOLDING_EMPTY: u8 = 1 << 5;
const TRANSMITTER_EMPTY: u8 = 1 << 6;

/// Takes what comes in. Called from the interrupt with no lock held; returns how many bytes it wants at most, for the
/// first call of an interrupt and after each part.
pub(super) trait Receiver: Send + Sync {
    /// Returns how many bytes are wanted now.
    fn room(&self) -> usize;
    /// Takes bytes, no more than were wanted.
    fn take(&self, bytes: &[u8]);
}

/// The port.
pub(super) struct Serial {
    present: AtomicBool,
    /// Held for a whole write, so that frames of two processors do not mix.
    transmit: Lock<(), { rank::DRIVER }>,
    /// Bytes that came before the FIFO was on.
    early: Lock<VecDeque<u8>, { rank::LEAF }>,
}

/// The port of this machine.
pub(super) static SERIAL: Serial =
    Serial { present: AtomicBool::new(false), transmit: Lock::new(()), early: Lock::new(VecDeque::new()) };

impl Serial {
    /// Looks whether there is a port, and sets it up.
    pub(super) fn init(&self) {
        const PROBE: u8 = 0xa5;
        outb(PORT + at::SCRATCH, PROBE);
        if inb(PORT + at::SCRATCH) != PROBE {
            return;
        }
        outb(PORT + at::INTERRUPT_ENABLE, 0);
        // Divisor 1 behind the latch bit: 115200 baud; then eight bits, no parity, one stop bit.
        outb(PORT + at::LINE_CONTROL, 0x80);
        outb(PORT + at::DATA, 1);
        outb(PORT + at::INTERRUPT_ENABLE, 0);
        outb(PORT + at::LINE_CONTROL, 0x03);
        // FIFOs on, an interrupt for each byte. That clears the receiver, and a byte of input may be in it already; in
        // loopback mode nothing follows it (QEMU then does not ask for more) until the FIFOs are on.
        let early = inb(PORT + at::LINE_STATUS) & DATA_READY != 0;
        if early {
            outb(PORT + at::MODEM_CONTROL, LOOPBACK);
            self.early.lock().push_back(inb(PORT + at::DATA));
        }
        outb(PORT + at::FIFO_CONTROL, 0x01);
        // Data terminal ready, request to send, and the line that connects the interrupt.
        outb(PORT + at::MODEM_CONTROL, 0x0b);
        if early {
            // A read is what makes QEMU ask for more. It finds nothing, unless more has come this instant.
            let more = inb(PORT + at::DATA);
            self.early.lock().extend((more != 0).then_some(more));
        }
        self.present.store(true, Ordering::Relaxed);
    }

    fn present(&self) -> bool {
        self.present.load(Ordering::Relaxed)
    }

    /// Writes all parts, one after the other and nothing between them.
    pub(super) fn write(&self, parts: &[&[u8]]) {
        if !self.present() {
            return;
        }
        let _guard = self.transmit.lock();
        let mut bytes = parts.iter().copied().flatten();
        loop {
            while inb(PORT + at::LINE_STATUS) & HOLDING_EMPTY == 0 {
                core::hint::spin_loop();
            }
            for _ in 0..FIFO_LEN {
                let Some(&byte) = bytes.next() else { return };
                outb(PORT + at::DATA, byte);
            }
        }
    }

    /// Waits until everything has left the port; not for ever, because it comes before switching off.
    pub(super) fn flush(&self) {
        for _ in 0..10_000_000 {
            if !self.present() || inb(PORT + at::LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
                return;
            }
            core::hint::spin_loop();
        }
    }

    /// Gives input to a receiver from now on.
    ///
    /// # Errors
    /// [`ProbeError`] if the port's interrupt cannot be had.
    pub(super) fn listen(&'static self, receiver: Arc<dyn Receiver>) -> Result<(), ProbeError> {
        if !self.present() {
            return Ok(());
        }
        let wanted = Arc::clone(&receiver);
        machine::listen_isa(INTERRUPT, Arc::new(move || self.interrupt(&*receiver)))?;
        self.want(wanted.room() > 0);
        Ok(())
    }

    /// Turns the interrupt for input on or off. Turning it on interrupts at once if there is input.
    pub(super) fn want(&self, input: bool) {
        if self.present() {
            // Early bytes have no interrupt of their own: an empty transmitter's will do.
            let early = input && !self.early.lock().is_empty();
            outb(
                PORT + at::INTERRUPT_ENABLE,
                if early { ON_INPUT | ON_EMPTY } else { u8::from(input) * ON_INPUT },
            );
        }
    }

    fn interrupt(&self, receiver: &dyn Receiver) {
        // The line falls, and can rise again, once its cause is gone; reading the cause is what some models want.
        let _ = inb(PORT + at::INTERRUPT_ID);
        let mut bytes = [0; 256];
        loop {
            let room = receiver.room().min(bytes.len());
            if room == 0 {
                return self.want(false);
            }
            let mut len = 0;
            let mut early = self.early.lock();
            while len < room
                && let Some(byte) = early.pop_front()
            {
                bytes[len] = byte;
                len += 1;
                outb(PORT + at::INTERRUPT_ENABLE, ON_INPUT);
            }
            drop(early);
            while len < room && inb(PORT + at::LINE_STATUS) & DATA_READY != 0 {
                bytes[len] = inb(PORT + at::DATA);
                len += 1;
            }
            if len == 0 {
                return;
            }
            receiver.take(&bytes[..len]);
        }
    }
}
