//! The host's terminal: raw while a machine owns it, and restored however the tool ends.

use anyhow::{Context as _, Result};
use rustix::termios::{OptionalActions, Termios};
use std::sync::Mutex;

/// The settings to go back to; global because a panic must find them too.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal in raw mode; dropping it restores the old mode.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// Switches standard input's terminal to raw mode.
    ///
    /// # Errors
    /// If standard input is no terminal.
    pub fn enter() -> Result<Self> {
        let old =
            rustix::termios::tcgetattr(rustix::stdio::stdin()).context("standard input is no terminal")?;
        let mut raw = old.clone();
        raw.make_raw();
        if let Ok(mut saved) = SAVED.lock() {
            *saved = Some(old);
        }
        // Panics abort in release builds, and then nothing is dropped.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            hook(info);
        }));
        rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)
            .context("cannot set the terminal to raw mode")?;
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Ok(mut saved) = SAVED.lock()
        && let Some(old) = saved.take()
    {
        let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &old);
    }
}

/// The terminal's size in rows and columns, from whichever standard stream is one.
pub fn size() -> Option<(u16, u16)> {
    let sizes = [
        rustix::termios::tcgetwinsize(rustix::stdio::stdin()),
        rustix::termios::tcgetwinsize(rustix::stdio::stdout()),
        rustix::termios::tcgetwinsize(rustix::stdio::stderr()),
    ];
    sizes.into_iter().flatten().map(|s| (s.ws_row, s.ws_col)).find(|&(rows, columns)| rows > 0 && columns > 0)
}
