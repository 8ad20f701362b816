//! The byte channel to whoever started the machine.

use alloc::sync::Arc;

/// Where output goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// Standard output, or the terminal.
    Output,
    /// Standard error.
    Error,
    /// The system-call trace.
    Trace,
    /// `key=value` lines of the report at the end.
    Report,
}

/// The console. Writing never waits for events: it may wait for the device, as on Linux's console.
pub trait Console: Send + Sync {
    /// Writes all bytes.
    fn write(&self, stream: Stream, bytes: &[u8]);
    /// Says who takes the input; called once, before any credit is given.
    fn set_input(&self, input: Arc<dyn ConsoleInput>);
    /// Lets the other side send `bytes` more bytes of input.
    fn credit(&self, bytes: u32);
}

/// Takes what comes in from the console; called from an interrupt, so implementations must not park.
pub trait ConsoleInput: Send + Sync {
    /// Bytes came in, never more than the credit given.
    fn bytes(&self, bytes: &[u8]);
    /// There will be no more input.
    fn end(&self);
    /// The terminal has this size now.
    fn resize(&self, rows: u16, columns: u16);
    /// The tool asks to deliver a signal to the application.
    fn signal(&self, signal: u32);
}
