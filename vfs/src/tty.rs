//! The line discipline of terminals (`termios(3)`, Linux's `N_TTY`): what lies between the keyboard and `read(2)`, and
//! between `write(2)` and the screen.
//!
//! [`Line`] is a state machine without clock, locks or waiting. Its owner (a pseudo-terminal, the console) feeds it what
//! was typed and passes on what it answers: bytes for the screen in an [`Output`], and [`Events`]. Job control and who
//! gets the signals is the owner's business.

mod class;
mod input;
mod output;
mod pair;
mod read;
#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use abi::tty::{
    B38400, CREAD, CS8, ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, EXTPROC, ICANON, ICRNL, IEXTEN, ISIG, IXON,
    ONLCR, OPOST, TCIFLUSH, TCIOFF, TCIOFLUSH, TCION, TCOFLUSH, TCOOFF, TCOON, Termios, VSTART, VSTOP,
    Winsize,
};
use abi::{Errno, Result};

use output::Echo;
pub use pair::{CAPACITY, Pair, Side, Taken};
pub use read::{Reading, When};

/// Bytes of input that wait at most (`MAX_CANON`, and the size of Linux's buffer).
pub const QUEUE_MAX: usize = 4096;
/// Character that switches a function of `c_cc` off (`_POSIX_VDISABLE`).
pub const DISABLED: u8 = 0;

bitflags::bitflags! {
    /// What the owner has to do after something was put in.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Events: u8 {
        /// Send `SIGINT` to the foreground process group.
        const INTERRUPT = 1;
        /// Send `SIGQUIT` to the foreground process group.
        const QUIT = 2;
        /// Send `SIGTSTP` to the foreground process group.
        const SUSPEND = 4;
        /// Throw away output that nobody has taken so far, but for what is in the [`Output`] of the same call.
        const FLUSH_OUTPUT = 8;
        /// There may be something to read now.
        const READABLE = 0x10;
        /// Output was stopped (`^S`): [`Line::write`] takes nothing.
        const STOPPED = 0x20;
        /// Output goes on: whoever waits to write may try again.
        const STARTED = 0x40;
    }
}

/// Bytes on their way to the screen.
#[derive(Debug, Default)]
pub struct Output {
    /// What goes out.
    pub bytes: Vec<u8>,
    /// How many more bytes the owner takes.
    pub room: usize,
}

impl Output {
    /// Makes an empty output that takes that many bytes.
    pub const fn new(room: usize) -> Self {
        Self { bytes: Vec::new(), room }
    }

    /// Adds bytes, or nothing if they do not all fit.
    fn push(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len() <= self.room;
        if fits {
            self.bytes.extend_from_slice(bytes);
            self.room -= bytes.len();
        }
        fits
    }
}

/// Modes of a terminal that was just opened (Linux's `tty_std_termios`, as pseudo-terminals have it).
pub const fn default_termios() -> Termios {
    Termios {
        c_iflag: ICRNL | IXON,
        c_oflag: OPOST | ONLCR,
        c_cflag: B38400 | CS8 | CREAD,
        c_lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
        c_line: 0,
        c_cc: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0],
    }
}

/// Modes of the master side of a pseudo-terminal, which passes everything through.
pub const fn raw_termios() -> Termios {
    let mut raw = default_termios();
    raw.c_iflag = 0;
    raw.c_oflag = 0;
    raw.c_lflag = 0;
    raw
}

/// A byte of input that waits to be read.
#[derive(Clone, Copy)]
struct Queued {
    byte: u8,
    /// A line ends with it; a [`DISABLED`] byte then stands for the end of the file and is not read.
    end: bool,
}

/// A terminal's line discipline.
pub struct Line {
    termios: Termios,
    size: Winsize,
    /// Input, the oldest first.
    queue: VecDeque<Queued>,
    /// So many bytes at the front of the queue are complete lines.
    complete: usize,
    /// The next character has no meaning of its own (`VLNEXT`).
    literal: bool,
    /// Erased characters are being shown after a backslash (`ECHOPRT`).
    erasing: bool,
    /// Characters with a meaning, under the present modes.
    special: [u64; 4],
    /// No input byte needs to be looked at.
    raw: bool,
    /// Column of the cursor, and that in which the line that is being typed began.
    column: usize,
    line_column: usize,
    /// Echo that is not out yet.
    echo: VecDeque<Echo>,
    /// Output is stopped, by a character or by `tcflow(3)`.
    stopped: bool,
    stopped_by_call: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self::new(default_termios())
    }
}

impl Line {
    /// Makes a line with these modes.
    pub fn new(termios: Termios) -> Self {
        let mut line = Self {
            termios,
            size: Winsize::default(),
            queue: VecDeque::new(),
            complete: 0,
            literal: false,
            erasing: false,
            special: [0; 4],
            raw: false,
            column: 0,
            line_column: 0,
            echo: VecDeque::new(),
            stopped: false,
            stopped_by_call: false,
        };
        line.note_special();
        line
    }

    /// Returns the modes (`tcgetattr(3)`).
    pub const fn termios(&self) -> &Termios {
        &self.termios
    }

    /// Sets the modes (`tcsetattr(3)`). Readers and writers try again after that.
    pub fn set_termios(&mut self, termios: &Termios, out: &mut Output) -> Events {
        let old = core::mem::replace(&mut self.termios, *termios);
        if (old.c_lflag ^ termios.c_lflag) & (ICANON | EXTPROC) != 0 {
            self.queue.iter_mut().for_each(|queued| queued.end = false);
            self.complete = 0;
            // LINUX: what was typed without lines counts as a line once there are lines.
            if self.local(ICANON)
                && let Some(last) = self.queue.back_mut()
            {
                last.end = true;
                self.complete = self.queue.len();
            }
            self.erasing = false;
            self.literal = false;
        }
        self.note_special();
        let mut events = Events::READABLE;
        if old.c_iflag & !termios.c_iflag & IXON != 0 {
            events |= self.start();
            self.put_echo(out);
        }
        events
    }

    /// Returns the size (`TIOCGWINSZ`).
    pub const fn size(&self) -> Winsize {
        self.size
    }

    /// Sets the size (`TIOCSWINSZ`); says whether it has changed, which the foreground process group is told (`SIGWINCH`).
    pub fn set_size(&mut self, size: Winsize) -> bool {
        let now = self.size;
        let fields = |s: Winsize| (s.ws_row, s.ws_col, s.ws_xpixel, s.ws_ypixel);
        self.size = size;
        fields(now) != fields(size)
    }

    /// Throws input away, or lets the owner do so with output (`tcflush(3)`).
    ///
    /// # Errors
    /// `EINVAL` for a queue that does not exist.
    pub fn flush(&mut self, queue: i32) -> Result<Events> {
        let output = match queue {
            TCIFLUSH => Events::empty(),
            TCOFLUSH | TCIOFLUSH => Events::FLUSH_OUTPUT | Events::STARTED,
            _ => return Err(Errno::EINVAL),
        };
        if queue != TCOFLUSH {
            self.clear_input();
        }
        Ok(output)
    }

    /// Stops or starts output, or has the other side do so with its own (`tcflow(3)`): in that case a character comes
    /// back, to be sent to the other side as if it were output.
    ///
    /// # Errors
    /// `EINVAL` for an action that does not exist.
    pub fn flow(&mut self, action: i32, out: &mut Output) -> Result<(Events, Option<u8>)> {
        match action {
            TCOOFF => {
                self.stopped_by_call = true;
                self.stopped = true;
                Ok((Events::STOPPED, None))
            }
            TCOON if self.stopped_by_call => {
                self.stopped_by_call = false;
                let events = self.start();
                self.put_echo(out);
                Ok((events, None))
            }
            TCOON => Ok((Events::empty(), None)),
            TCIOFF => Ok((Events::empty(), self.control(VSTOP))),
            TCION => Ok((Events::empty(), self.control(VSTART))),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Says whether output is stopped.
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Returns a control character, unless it is switched off.
    fn control(&self, index: usize) -> Option<u8> {
        self.termios.c_cc.get(index).copied().filter(|&c| c != DISABLED)
    }

    const fn input_mode(&self, bits: u32) -> bool {
        self.termios.c_iflag & bits != 0
    }

    const fn output_mode(&self, bits: u32) -> bool {
        self.termios.c_oflag & bits != 0
    }

    const fn local(&self, bits: u32) -> bool {
        self.termios.c_lflag & bits != 0
    }

    fn clear_input(&mut self) {
        self.queue.clear();
        self.complete = 0;
        self.erasing = false;
    }
}
