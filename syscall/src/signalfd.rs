//! Signals as records to be read (`signalfd(2)`).

use alloc::sync::Arc;

use abi::signal::{
    SI_MESGQ, SI_QUEUE, SI_SIGIO, SI_TIMER, SI_TKILL, SI_USER, SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGIO,
    SIGSEGV, SIGTRAP, Siginfo, SignalfdSiginfo,
};
use abi::{Errno, Result};
use core::sync::atomic::{AtomicU64, Ordering};
use hal::{Dest, Readiness, WaitQueue};
use zerocopy::IntoBytes;

use crate::eventfd::push_whole;
use crate::proc::Thread;
use crate::signal::{self, SignalSet};

/// A signal descriptor. It shows the signals of whoever reads it, not of whoever made it.
pub struct SignalFd {
    mask: AtomicU64,
}

impl SignalFd {
    /// Makes a descriptor for the signals in the mask.
    pub const fn new(mask: u64) -> Self {
        Self { mask: AtomicU64::new(mask) }
    }

    /// Returns the signals that are shown.
    pub fn mask(&self) -> u64 {
        self.mask.load(Ordering::SeqCst)
    }

    /// Changes the signals that are shown.
    pub fn set_mask(&self, mask: u64) {
        self.mask.store(mask, Ordering::SeqCst);
    }

    /// Takes waiting signals, as many as fit.
    ///
    /// # Errors
    /// `EINVAL` if no record fits, `EAGAIN` if no signal waits, `EFAULT`.
    pub fn read(&self, thread: &Thread, to: &mut Dest<'_>) -> Result<usize> {
        const RECORD: usize = size_of::<SignalfdSiginfo>();
        if to.remaining() < RECORD {
            return Err(Errno::EINVAL);
        }
        let mut done = 0;
        while to.remaining() >= RECORD {
            let Some(info) = signal::dequeue(thread, SignalSet(self.mask())) else { break };
            match push_whole(to, record(&info).as_bytes()) {
                Ok(len) => done += len,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        if done == 0 { Err(Errno::EAGAIN) } else { Ok(done) }
    }

    /// Says whether a signal waits for this thread.
    pub fn readiness(&self, thread: &Thread) -> Readiness {
        let waiting = signal::pending(thread).0 & self.mask();
        if waiting != 0 { Readiness::READ } else { Readiness::empty() }
    }

    /// Returns the queues that are woken when a signal comes in.
    pub fn queues(thread: &Thread) -> [&Arc<WaitQueue>; 2] {
        [thread.signals.pending.events(), thread.process().pending.events()]
    }
}

/// Which member of `siginfo_t`'s union holds.
enum Layout {
    /// Sender and value.
    Sender,
    /// A POSIX timer.
    Timer,
    /// A child.
    Child,
    /// An address.
    Fault,
    /// A descriptor.
    Poll,
}

const fn layout(info: &Siginfo) -> Layout {
    match info.si_code {
        SI_TIMER => Layout::Timer,
        SI_USER | SI_QUEUE | SI_MESGQ | SI_TKILL => Layout::Sender,
        SI_SIGIO => Layout::Poll,
        code if code > 0 && code < 0x80 => match info.si_signo {
            SIGCHLD => Layout::Child,
            SIGILL | SIGFPE | SIGSEGV | SIGBUS | SIGTRAP => Layout::Fault,
            SIGIO => Layout::Poll,
            _ => Layout::Sender,
        },
        _ => Layout::Sender,
    }
}

/// Converts to the record that a program reads; which fields are set depends on the signal and its code.
fn record(info: &Siginfo) -> SignalfdSiginfo {
    let mut out = SignalfdSiginfo {
        ssi_signo: info.si_signo.cast_unsigned(),
        ssi_errno: info.si_errno,
        ssi_code: info.si_code,
        ..SignalfdSiginfo::default()
    };
    let words = &info._fields;
    #[expect(clippy::cast_possible_truncation, reason = "each half of a word is taken by itself")]
    let (low, high) = (|i: usize| words[i] as u32, |i: usize| (words[i] >> 32) as u32);
    match layout(info) {
        Layout::Sender => {
            (out.ssi_pid, out.ssi_uid) = (low(0), high(0));
            (out.ssi_ptr, out.ssi_int) = (words[1], low(1).cast_signed());
        }
        Layout::Timer => {
            (out.ssi_tid, out.ssi_overrun) = (low(0), high(0));
            (out.ssi_ptr, out.ssi_int) = (words[1], low(1).cast_signed());
        }
        Layout::Child => {
            (out.ssi_pid, out.ssi_uid, out.ssi_status) = (low(0), high(0), low(1).cast_signed());
            (out.ssi_utime, out.ssi_stime) = (words[2], words[3]);
        }
        Layout::Fault => out.ssi_addr = words[0],
        Layout::Poll => (out.ssi_band, out.ssi_fd) = (low(0), low(1).cast_signed()),
    }
    out
}
