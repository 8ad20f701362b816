//! Signals to the tool, as bytes in pipes that a loop can wait for.

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use std::io::Read as _;
use std::os::unix::net::UnixStream;

/// The signals that are caught, in the order of the pipes.
pub(super) const SIGNALS: [i32; 5] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH];

/// Signals as bytes in pipes, one pipe each.
pub(super) struct Signals {
    pub(super) pipes: Vec<UnixStream>,
    ids: Vec<signal_hook::SigId>,
}

impl Signals {
    pub(super) fn new() -> Result<Self> {
        let (mut pipes, mut ids) = (Vec::new(), Vec::new());
        for signal in SIGNALS {
            let (read, write) = UnixStream::pair().context("cannot make a socket pair")?;
            read.set_nonblocking(true)?;
            ids.push(signal_hook::low_level::pipe::register(signal, write).context("cannot catch signals")?);
            pipes.push(read);
        }
        Ok(Self { pipes, ids })
    }

    /// Empties a pipe; returns whether a signal had come.
    pub(super) fn take(&self, index: usize) -> bool {
        let mut buffer = [0; 64];
        self.pipes.get(index).is_some_and(|mut pipe| pipe.read(&mut buffer).is_ok_and(|len| len > 0))
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}
