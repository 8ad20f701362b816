//! Terminals: the console of `hull run -it`, and pseudo-terminals (`pty(7)`).
//!
//! A [`Terminal`] is a line discipline ([`vfs::tty::Line`]) between two sides. Applications open the slave side. Behind
//! it is the console channel, or the master side of a pseudo-terminal, which a program holds. Job control
//! (`credentials(7)`, "Process groups and sessions") is here; the requests of `ioctl(2)` are in [`ioctl`].

mod control;
mod file;
pub(crate) mod ioctl;
mod pts;

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};

use abi::signal::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGWINCH};
use abi::tty::{TIOCPKT_FLUSHWRITE, TIOCPKT_START, TIOCPKT_STOP, VEOF, Winsize};
use hal::sync::{Lock, rank};
use hal::{ConsoleInput, Readiness, Stream, WaitQueue};
use vfs::tty::{Events, Line, Output, default_termios};

use crate::signal::send_group;
use crate::system::System;

pub use control::Sessions;
pub(crate) use control::{attach, process_ended};
pub use file::{Side, TtyFile};
pub(crate) use pts::open_device;
pub use pts::{Ptys, file_system};

/// Bytes that wait on their way to a master side at most.
const OUTPUT_MAX: usize = 64 << 10;
/// Bytes typed ahead on the console at most, behind what the line discipline holds.
const AHEAD_MAX: usize = 4096;

/// What is behind a terminal.
enum Behind {
    /// The console channel.
    Console(&'static dyn hal::Console),
    /// The master side of pseudo-terminal number N.
    Master(u32),
}

/// A terminal.
pub struct Terminal {
    system: Weak<System>,
    behind: Behind,
    state: Lock<State, { rank::TTY }>,
    /// Who waits on the slave side.
    slave_queue: Arc<WaitQueue>,
    /// Who waits on the master side.
    master_queue: Arc<WaitQueue>,
}

struct State {
    line: Line,
    /// Console: typed, but not taken by the line discipline yet.
    ahead: VecDeque<u8>,
    /// Console: input that the other side may still send.
    credit: usize,
    /// Pseudo-terminal: shown, but not read by the master yet.
    output: VecDeque<u8>,
    session: u32,
    foreground: u32,
    /// Openings of the slave side; all that were made under an older number are hung up.
    generation: u32,
    slaves: u32,
    /// The slave side was open at least once.
    was_open: bool,
    masters: u32,
    /// The slave side cannot be opened (`TIOCSPTLCK`).
    locked: bool,
    /// Nobody else may open it (`TIOCEXCL`).
    exclusive: bool,
    /// The master reads packets (`TIOCPKT`), and this is what it has not been told yet.
    packets: Option<u8>,
}

impl Terminal {
    fn new(system: &Arc<System>, behind: Behind) -> Arc<Self> {
        Arc::new(Self {
            system: Arc::downgrade(system),
            state: Lock::new(State {
                line: Line::new(default_termios()),
                ahead: VecDeque::new(),
                credit: 0,
                output: VecDeque::new(),
                session: 0,
                foreground: 0,
                generation: 0,
                slaves: 0,
                was_open: false,
                masters: 0,
                // A new pseudo-terminal waits for `unlockpt(3)`.
                locked: matches!(behind, Behind::Master(_)),
                exclusive: false,
                packets: None,
            }),
            behind,
            slave_queue: WaitQueue::new(),
            master_queue: WaitQueue::new(),
        })
    }

    /// Makes the terminal on the console channel, for the first process's session.
    pub(crate) fn console(
        system: &Arc<System>,
        device: &'static dyn hal::Console,
        size: Option<(u16, u16)>,
    ) -> Arc<Self> {
        let terminal = Self::new(system, Behind::Console(device));
        {
            let mut state = terminal.state.lock();
            let (ws_row, ws_col) = size.unwrap_or_default();
            state.line.set_size(Winsize { ws_row, ws_col, ..Winsize::default() });
        }
        device.set_input(terminal.clone());
        terminal.top_up();
        terminal
    }

    /// Returns the number of a pseudo-terminal.
    pub fn number(&self) -> Option<u32> {
        match self.behind {
            Behind::Console(_) => None,
            Behind::Master(number) => Some(number),
        }
    }

    /// Returns the device number of the slave side: `/dev/pts/N`, or `/dev/console`.
    pub fn device(&self) -> u64 {
        match self.behind {
            Behind::Console(_) => vfs::fs::dev::CONSOLE,
            Behind::Master(number) => vfs::fs::dev::number(vfs::fs::dev::PTS_MAJOR, number),
        }
    }

    /// Returns the session and the foreground process group; 0 for none.
    pub fn session(&self) -> (u32, u32) {
        let state = self.state.lock();
        (state.session, state.foreground)
    }

    /// Makes room for what goes to the other side.
    fn output_for(&self, state: &State) -> Output {
        Output::new(match self.behind {
            Behind::Console(_) => usize::MAX,
            Behind::Master(_) => OUTPUT_MAX.saturating_sub(state.output.len()),
        })
    }

    /// Changes the line discipline and does what follows from that: output, signals, wake-ups.
    fn change<T>(&self, f: impl FnOnce(&mut State, &mut Output) -> (T, Events)) -> T {
        let (result, events, shown, foreground) = {
            let mut state = self.state.lock();
            let mut out = self.output_for(&state);
            let (result, events) = f(&mut state, &mut out);
            if events.contains(Events::FLUSH_OUTPUT) {
                state.output.clear();
            }
            self.note_packet(&mut state, events);
            let shown = match self.behind {
                Behind::Console(_) => out.bytes,
                Behind::Master(_) => {
                    state.output.extend(&out.bytes);
                    out.bytes
                }
            };
            (result, events, shown, state.foreground)
        };
        if let Behind::Console(device) = self.behind {
            if !shown.is_empty() {
                device.write(Stream::Output, &shown);
            }
        } else if !shown.is_empty()
            || events.intersects(Events::FLUSH_OUTPUT | Events::STOPPED | Events::STARTED)
        {
            self.master_queue.wake(Readiness::READ | Readiness::PRI);
        }
        for (event, signal) in
            [(Events::INTERRUPT, SIGINT), (Events::QUIT, SIGQUIT), (Events::SUSPEND, SIGTSTP)]
        {
            if events.contains(event) {
                self.signal(foreground, signal);
            }
        }
        if events.contains(Events::READABLE) {
            self.slave_queue.wake(Readiness::READ);
        }
        if events.intersects(Events::STARTED | Events::FLUSH_OUTPUT) {
            self.slave_queue.wake(Readiness::WRITE);
        }
        result
    }

    /// Notes for a master that reads packets what happened (`ioctl_tty(2)`, TIOCPKT).
    #[expect(clippy::cast_possible_truncation, reason = "the bits of a packet's first byte")]
    fn note_packet(&self, state: &mut State, events: Events) {
        if let Some(status) = &mut state.packets {
            for (event, bit) in [
                (Events::FLUSH_OUTPUT, TIOCPKT_FLUSHWRITE),
                (Events::STOPPED, TIOCPKT_STOP),
                (Events::STARTED, TIOCPKT_START),
            ] {
                if events.contains(event) {
                    *status |= bit as u8;
                }
            }
        }
    }

    fn signal(&self, group: u32, signal: i32) {
        if group != 0
            && let Some(system) = self.system.upgrade()
        {
            send_group(&system, group, signal);
        }
    }

    /// Sets the size, and tells the foreground process group if it has changed.
    fn resize(&self, size: Winsize) {
        let (changed, group) = {
            let mut state = self.state.lock();
            (state.line.set_size(size), state.foreground)
        };
        if changed {
            self.signal(group, SIGWINCH);
        }
    }

    /// Lets the line discipline take what was typed ahead on the console.
    fn take_ahead(&self) {
        let mut any = false;
        self.change(|state, out| {
            let mut events = Events::empty();
            let typed = state.ahead.make_contiguous();
            if !typed.is_empty() {
                any = true;
                let (taken, happened) = state.line.input(typed, out);
                events = happened;
                state.ahead.drain(..taken);
            }
            ((), events)
        });
        if any {
            self.top_up();
        }
    }

    /// Gives the other side of the console credit for more input.
    fn top_up(&self) {
        let Behind::Console(device) = self.behind else { return };
        let more = {
            let mut state = self.state.lock();
            let more = AHEAD_MAX.saturating_sub(state.ahead.len() + state.credit);
            // A message for each key would be too many; one for none would stop the keyboard.
            if more < AHEAD_MAX / 2 {
                return;
            }
            state.credit += more;
            more
        };
        device.credit(u32::try_from(more).unwrap_or(u32::MAX));
    }

    /// Ends all openings of the slave side (`vhangup(2)`, the master's end, the end of the session's leader).
    fn hang_up(&self) {
        let (session, group) = {
            let mut state = self.state.lock();
            state.generation += 1;
            state.slaves = 0;
            let ends = (state.session, state.foreground);
            (state.session, state.foreground) = (0, 0);
            ends
        };
        if let Some(system) = self.system.upgrade()
            && session != 0
        {
            system.files.sessions.leave(session);
            // The leader hears of it in any case, and who is in the foreground, too.
            control::signal_leader(&system, session);
            if group != 0 {
                send_group(&system, group, SIGHUP);
                send_group(&system, group, SIGCONT);
            }
        }
        self.slave_queue.wake(Readiness::all());
        self.master_queue.wake(Readiness::all());
    }
}

impl ConsoleInput for Terminal {
    fn bytes(&self, bytes: &[u8]) {
        {
            let mut state = self.state.lock();
            state.credit = state.credit.saturating_sub(bytes.len());
            state.ahead.extend(bytes);
        }
        self.take_ahead();
    }

    fn end(&self) {
        // Nobody types any more, but whoever watches still sees: that is the end of the file, not of the terminal.
        {
            let mut state = self.state.lock();
            let end = state.line.termios().c_cc[VEOF];
            state.ahead.push_back(end);
        }
        self.take_ahead();
    }

    fn resize(&self, rows: u16, columns: u16) {
        self.resize(Winsize { ws_row: rows, ws_col: columns, ..Winsize::default() });
    }

    fn signal(&self, signal: u32) {
        if let Some(system) = self.system.upgrade() {
            crate::files::signal_first(&system, signal);
        }
    }
}
