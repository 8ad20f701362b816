//! Pseudo-terminals (`pty(7)`): a line discipline between a master that types and shows, and a slave that is a terminal.
//!
//! Like files everywhere here, a [`Pair`] does not wait: it answers `EAGAIN`, and its queues tell when to try again. Who
//! may use it, who gets the signals and how it is named is the owner's business.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::tty::{
    CREAD, CS8, CSIZE, EXTPROC, IXON, PARENB, TCIFLUSH, TCIOFLUSH, TCOFLUSH, TIOCPKT_DATA, TIOCPKT_DOSTOP,
    TIOCPKT_FLUSHREAD, TIOCPKT_FLUSHWRITE, TIOCPKT_IOCTL, TIOCPKT_NOSTOP, TIOCPKT_START, TIOCPKT_STOP,
    Termios, VSTART, VSTOP, Winsize,
};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Readiness, WaitQueue};

use super::{Events, Line, Output, Reading, When};

/// Bytes that wait in each direction at most.
pub const CAPACITY: usize = 16 << 10;
/// A side is ready for writing while so many bytes fit.
const ROOM_MIN: usize = 256;
/// Bytes that the master reads at a time at most.
const MASTER_READ_MAX: usize = 4095;

/// One side of a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The side of the terminal emulator.
    Master,
    /// The side of the programs.
    Slave,
}

/// What a read of the slave side came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taken {
    /// These bytes; none is the end of the file. What was typed meanwhile may have made events.
    Bytes(Vec<u8>, Events),
    /// Nothing yet: again after more input, or at this time of the monotonic clock.
    Wait(Option<u64>),
}

/// A pseudo-terminal.
pub struct Pair {
    state: Lock<State, { rank::TTY }>,
    master: Arc<WaitQueue>,
    slave: Arc<WaitQueue>,
}

struct State {
    line: Line,
    /// From the slave to the master.
    screen: VecDeque<u8>,
    /// From the master, not taken by the line yet.
    typed: VecDeque<u8>,
    /// The master hears of flushes and stops (`TIOCPKT`); these are the news.
    packet: bool,
    news: u32,
    /// The slave cannot be opened yet (`TIOCSPTLCK`).
    locked: bool,
    master_open: bool,
    slaves: usize,
    slave_was_open: bool,
}

impl State {
    fn output(&self) -> Output {
        Output::new(CAPACITY.saturating_sub(self.screen.len()))
    }

    fn tell(&mut self, set: u32, clear: u32) {
        if self.packet {
            self.news = self.news & !clear | set;
        }
    }

    /// Takes what the line answers.
    fn apply(&mut self, events: Events, out: Output) {
        if events.contains(Events::FLUSH_OUTPUT) {
            self.screen.clear();
        }
        if events.contains(Events::STOPPED) {
            self.tell(TIOCPKT_STOP, TIOCPKT_START);
        }
        if events.contains(Events::STARTED) {
            self.tell(TIOCPKT_START, TIOCPKT_STOP);
        }
        self.screen.extend(out.bytes);
    }

    /// Gives the line what was typed, as far as it takes it.
    fn feed(&mut self) -> Events {
        let mut all = Events::empty();
        while !self.typed.is_empty() {
            let mut out = self.output();
            let (taken, events) = self.line.input(self.typed.make_contiguous(), &mut out);
            if events.contains(Events::FLUSH_OUTPUT) {
                self.tell(TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE, 0);
            }
            self.apply(events, out);
            all |= events;
            self.typed.drain(..taken);
            if taken == 0 {
                break;
            }
        }
        all
    }

    const fn hung_up(&self) -> bool {
        self.slave_was_open && self.slaves == 0
    }
}

impl Pair {
    /// Makes a pair whose master side is open, and whose slave side is locked.
    pub fn new() -> Arc<Self> {
        let state = State {
            line: Line::default(),
            screen: VecDeque::new(),
            typed: VecDeque::new(),
            packet: false,
            news: 0,
            locked: true,
            master_open: true,
            slaves: 0,
            slave_was_open: false,
        };
        Arc::new(Self { state: Lock::new(state), master: WaitQueue::new(), slave: WaitQueue::new() })
    }

    /// Returns the queue that is woken when a side's readiness may have changed.
    pub const fn queue(&self, side: Side) -> &Arc<WaitQueue> {
        match side {
            Side::Master => &self.master,
            Side::Slave => &self.slave,
        }
    }

    /// Does something with the state, and wakes those for whom there is more now than before.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let look = |state: &State| {
            let queued = [state.screen.len(), state.line.queue.len()];
            // Too few bytes for VMIN are worth a wake-up, too: they start the timer of VTIME.
            let partial = !state.line.by_lines() && !state.line.queue.is_empty();
            let mut slave = ready(state, Side::Slave);
            slave.set(Readiness::READ, partial || slave.contains(Readiness::READ));
            ([ready(state, Side::Master), slave], queued)
        };
        let mut state = self.state.lock();
        let (ready_before, queued_before) = look(&state);
        let result = change(&mut state);
        let (ready_after, queued_after) = look(&state);
        drop(state);
        for (side, queue) in [&self.master, &self.slave].into_iter().enumerate() {
            let mut news = ready_after[side] - ready_before[side];
            if queued_after[side] > queued_before[side] {
                news |= ready_after[side] & Readiness::READ;
            }
            if !news.is_empty() {
                queue.wake(news);
            }
        }
        result
    }

    /// Opens the slave side once more.
    ///
    /// # Errors
    /// `EIO` while it is locked, or after the master side was closed.
    pub fn open_slave(&self) -> Result<()> {
        self.change(|state| {
            if state.locked || !state.master_open {
                return Err(Errno::EIO);
            }
            state.slaves += 1;
            state.slave_was_open = true;
            Ok(())
        })
    }

    /// Closes what [`Pair::open_slave`] opened.
    pub fn close_slave(&self) {
        self.change(|state| state.slaves = state.slaves.saturating_sub(1));
    }

    /// Closes the master side: the slave side is hung up, and the owner tells the session (`SIGHUP`).
    pub fn close_master(&self) {
        self.change(|state| state.master_open = false);
    }

    /// Locks or unlocks the slave side (`TIOCSPTLCK`).
    pub fn set_locked(&self, locked: bool) {
        self.change(|state| state.locked = locked);
    }

    /// Says whether the slave side is locked (`TIOCGPTLCK`).
    pub fn is_locked(&self) -> bool {
        self.state.lock().locked
    }

    /// Switches packet mode (`TIOCPKT`).
    pub fn set_packet(&self, packet: bool) {
        self.change(|state| {
            if packet != state.packet {
                (state.packet, state.news) = (packet, 0);
            }
        });
    }

    /// Says whether packet mode is on (`TIOCGPKT`).
    pub fn is_packet(&self) -> bool {
        self.state.lock().packet
    }

    /// Types: writes on the master side. Returns how many bytes were taken.
    ///
    /// # Errors
    /// `EAGAIN` if none could be.
    pub fn write_master(&self, bytes: &[u8]) -> Result<(usize, Events)> {
        self.change(|state| {
            let taken = bytes.len().min(CAPACITY.saturating_sub(state.typed.len()));
            if taken == 0 && !bytes.is_empty() {
                return Err(Errno::EAGAIN);
            }
            state.typed.extend(&bytes[..taken]);
            Ok((taken, state.feed()))
        })
    }

    /// Reads up to `room` bytes on the master side; in packet mode the first one says what follows.
    ///
    /// # Errors
    /// `EAGAIN` if there is nothing, `EIO` if there is nothing and nobody has the slave side open any more.
    pub fn read_master(&self, room: usize) -> Result<Vec<u8>> {
        self.change(|state| {
            let mut bytes = Vec::new();
            if room == 0 {
                return Ok(bytes);
            }
            if state.news != 0 {
                bytes.push(low_byte(core::mem::take(&mut state.news)));
                return Ok(bytes);
            }
            if state.screen.is_empty() {
                return Err(if state.hung_up() { Errno::EIO } else { Errno::EAGAIN });
            }
            if state.packet {
                bytes.push(low_byte(TIOCPKT_DATA));
            }
            let count = (room - bytes.len()).min(MASTER_READ_MAX).min(state.screen.len());
            bytes.extend(state.screen.drain(..count));
            let mut out = state.output();
            state.line.put_echo(&mut out);
            state.screen.extend(out.bytes);
            Ok(bytes)
        })
    }

    /// Writes on the slave side. Returns how many bytes were taken.
    ///
    /// # Errors
    /// `EAGAIN` if none could be, because output is stopped or the master does not read; `EIO` after a hang-up.
    pub fn write_slave(&self, bytes: &[u8]) -> Result<usize> {
        self.change(|state| {
            if !state.master_open {
                return Err(Errno::EIO);
            }
            let mut out = state.output();
            let taken = state.line.write(bytes, &mut out);
            state.screen.extend(out.bytes);
            if taken == 0 && !bytes.is_empty() { Err(Errno::EAGAIN) } else { Ok(taken) }
        })
    }

    /// Reads up to `room` bytes on the slave side, if the rules of the terminal's modes let the read be completed now.
    /// For the rest of the arguments see [`Line::when`]; after a hang-up the file is at its end.
    pub fn read_slave(&self, room: usize, reading: &mut Reading, now_ns: u64) -> Taken {
        self.change(|state| {
            if !state.master_open {
                return Taken::Bytes(Vec::new(), Events::empty());
            }
            match state.line.when(reading, room, now_ns) {
                When::Later(deadline) => Taken::Wait(deadline),
                When::Now => Self::take(state, room),
            }
        })
    }

    /// Reads what is there on the slave side: for descriptors that do not wait, and for reads that a signal ends.
    ///
    /// # Errors
    /// `EAGAIN` if there is nothing.
    pub fn read_slave_now(&self, room: usize) -> Result<(Vec<u8>, Events)> {
        self.change(|state| {
            if !state.master_open || room == 0 {
                return Ok((Vec::new(), Events::empty()));
            }
            if state.line.would_block() {
                return Err(Errno::EAGAIN);
            }
            match Self::take(state, room) {
                Taken::Bytes(bytes, events) => Ok((bytes, events)),
                Taken::Wait(_) => Err(Errno::EAGAIN),
            }
        })
    }

    fn take(state: &mut State, room: usize) -> Taken {
        let bytes = state.line.take(room);
        let events = state.feed();
        Taken::Bytes(bytes, events)
    }

    /// Returns what a side is ready for.
    pub fn readiness(&self, side: Side) -> Readiness {
        ready(&self.state.lock(), side)
    }

    /// Returns how many bytes wait to be read (`FIONREAD`), and how many were written and not read (`TIOCOUTQ`).
    pub fn waiting(&self, side: Side) -> (usize, usize) {
        let state = self.state.lock();
        let (typed, shown) = (state.line.waiting(), state.screen.len());
        match side {
            // LINUX: what the other side has not read does not count as waiting output.
            Side::Master => (shown, 0),
            Side::Slave => (typed, 0),
        }
    }

    /// Returns the modes; both sides have the same.
    pub fn termios(&self) -> Termios {
        *self.state.lock().line.termios()
    }

    /// Sets the modes. The size of characters and parity are what they are: there is no wire.
    pub fn set_termios(&self, termios: &Termios) -> Events {
        self.change(|state| {
            let mut new = *termios;
            new.c_cflag = new.c_cflag & !(CSIZE | PARENB) | CS8 | CREAD;
            let old = *state.line.termios();
            let (before, after) = (usual_flow(&old), usual_flow(&new));
            if before != after {
                let set = if after { TIOCPKT_DOSTOP } else { TIOCPKT_NOSTOP };
                state.tell(set, TIOCPKT_DOSTOP | TIOCPKT_NOSTOP);
            }
            if (old.c_lflag | new.c_lflag) & EXTPROC != 0 {
                state.tell(TIOCPKT_IOCTL, 0);
            }
            let mut out = state.output();
            let events = state.line.set_termios(&new, &mut out);
            state.apply(events, out);
            events | state.feed()
        })
    }

    /// Returns the size (`TIOCGWINSZ`).
    pub fn size(&self) -> Winsize {
        self.state.lock().line.size()
    }

    /// Sets the size (`TIOCSWINSZ`); says whether it has changed.
    pub fn set_size(&self, size: Winsize) -> bool {
        self.state.lock().line.set_size(size)
    }

    /// Throws away what waits in a side's queues (`TCFLSH`).
    ///
    /// # Errors
    /// `EINVAL` for a queue that does not exist.
    pub fn flush(&self, side: Side, queue: i32) -> Result<()> {
        let (input, output) = match queue {
            TCIFLUSH => (true, false),
            TCOFLUSH => (false, true),
            TCIOFLUSH => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        self.change(|state| {
            let (typed, shown) = if side == Side::Slave { (input, output) } else { (output, input) };
            if typed {
                state.typed.clear();
                state.line.flush(TCIFLUSH)?;
            }
            if shown {
                state.screen.clear();
            }
            if side == Side::Slave {
                state.tell(if input { TIOCPKT_FLUSHREAD } else { 0 }, 0);
                state.tell(if output { TIOCPKT_FLUSHWRITE } else { 0 }, 0);
            }
            Ok(())
        })
    }

    /// Stops or starts the slave side's output, or sends the character that does so to the master (`TCXONC`).
    ///
    /// # Errors
    /// `EINVAL` for an action that does not exist.
    pub fn flow(&self, action: i32) -> Result<()> {
        self.change(|state| {
            let mut out = state.output();
            let (events, character) = state.line.flow(action, &mut out)?;
            state.apply(events, out);
            state.screen.extend(character);
            Ok(())
        })
    }
}

/// Says whether output is stopped and started by the usual characters, which a master may then do itself.
fn usual_flow(termios: &Termios) -> bool {
    termios.c_iflag & IXON != 0 && termios.c_cc[VSTOP] == 0x13 && termios.c_cc[VSTART] == 0x11
}

#[expect(clippy::cast_possible_truncation, reason = "packet mode's bits fit into a byte")]
const fn low_byte(bits: u32) -> u8 {
    bits as u8
}

fn ready(state: &State, side: Side) -> Readiness {
    let mut ready = Readiness::empty();
    match side {
        Side::Master => {
            ready.set(Readiness::READ, !state.screen.is_empty() || state.news != 0);
            ready.set(Readiness::WRITE, state.typed.len() + ROOM_MIN <= CAPACITY);
            ready.set(Readiness::PRI, state.news != 0);
            ready.set(Readiness::HUP, state.hung_up());
        }
        Side::Slave if !state.master_open => {
            ready = Readiness::READ | Readiness::WRITE | Readiness::ERR | Readiness::HUP;
        }
        Side::Slave => {
            ready = state.line.read_readiness();
            let room = state.screen.len() + ROOM_MIN <= CAPACITY;
            ready.set(Readiness::WRITE, room && !state.line.is_stopped());
        }
    }
    ready
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tty::{default_termios, raw_termios};
    use abi::tty::{TCOOFF, TCOON};

    fn open() -> Arc<Pair> {
        let pair = Pair::new();
        assert_eq!(pair.open_slave(), Err(Errno::EIO));
        pair.set_locked(false);
        pair.open_slave().unwrap();
        pair
    }

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let pair = open();
        assert_eq!(pair.write_master(b"ls\r"), Ok((3, Events::READABLE)));
        assert_eq!(pair.read_master(100).unwrap(), b"ls\r\n");
        assert_eq!(pair.read_slave_now(100).unwrap().0, b"ls\n");
        assert_eq!(pair.write_slave(b"a\nb"), Ok(3));
        assert_eq!(pair.read_master(2).unwrap(), b"a\r");
        assert_eq!(pair.read_master(9).unwrap(), b"\nb");
        assert_eq!(pair.read_master(9), Err(Errno::EAGAIN));
        assert_eq!(pair.read_slave(9, &mut Reading::new(0), 0), Taken::Wait(None));
    }

    #[test]
    fn a_side_that_is_left_alone_learns_so() {
        let pair = open();
        pair.write_slave(b"last words").unwrap();
        pair.close_slave();
        let all = Readiness::READ | Readiness::WRITE;
        assert_eq!(pair.readiness(Side::Master), all | Readiness::HUP);
        assert_eq!(pair.read_master(100).unwrap(), b"last words");
        assert_eq!(pair.read_master(100), Err(Errno::EIO));
        pair.open_slave().unwrap();
        assert_eq!(pair.readiness(Side::Master), Readiness::WRITE);
        pair.write_master(b"typed\n").unwrap();
        pair.close_master();
        assert_eq!(pair.read_slave_now(9).unwrap().0, b"");
        assert_eq!(pair.write_slave(b"x"), Err(Errno::EIO));
        assert_eq!(pair.readiness(Side::Slave), all | Readiness::ERR | Readiness::HUP);
    }

    #[test]
    fn packet_mode_tells_what_happened() {
        let pair = open();
        pair.set_packet(true);
        pair.write_slave(b"hello").unwrap();
        assert_eq!(pair.read_master(100).unwrap(), b"\0hello");
        pair.flush(Side::Slave, TCIFLUSH).unwrap();
        assert_eq!(pair.readiness(Side::Master).bits(), 0x147);
        assert_eq!(pair.read_master(100).unwrap(), [1]);
        pair.flush(Side::Slave, TCIOFLUSH).unwrap();
        assert_eq!(pair.read_master(100).unwrap(), [3]);
        pair.write_slave(b"data").unwrap();
        pair.flow(TCOOFF).unwrap();
        assert_eq!(pair.read_master(100).unwrap(), [4]);
        assert_eq!(pair.read_master(1).unwrap(), [0]);
        assert_eq!(pair.read_master(100).unwrap(), b"\0data");
        assert_eq!(pair.write_slave(b"x"), Err(Errno::EAGAIN));
        pair.flow(TCOON).unwrap();
        assert_eq!(pair.read_master(100).unwrap(), [8]);
        let mut termios = default_termios();
        termios.c_iflag &= !IXON;
        pair.set_termios(&termios);
        assert_eq!(pair.read_master(100).unwrap(), [0x10]);
        pair.set_termios(&default_termios());
        assert_eq!(pair.read_master(100).unwrap(), [0x20]);
        assert!(pair.write_master(b"x\x03").unwrap().1.contains(Events::INTERRUPT));
        assert_eq!(pair.read_master(100).unwrap(), [3]);
        assert_eq!(pair.read_master(100).unwrap(), b"\0^C");
    }

    #[test]
    fn full_directions_push_back_and_lose_nothing() {
        let pair = open();
        pair.set_termios(&raw_termios());
        let mut sent = 0;
        while let Ok((taken, _)) = pair.write_master(&[b'a'; 1000]) {
            sent += taken;
        }
        assert!(!pair.readiness(Side::Master).contains(Readiness::OUT));
        let mut got = 0;
        while let Ok((bytes, _)) = pair.read_slave_now(3000) {
            got += bytes.len();
        }
        assert_eq!(got, sent);
        let mut sent = 0;
        while let Ok(taken) = pair.write_slave(&[b'b'; 1000]) {
            sent += taken;
        }
        let mut got = 0;
        while let Ok(bytes) = pair.read_master(100_000) {
            assert!(bytes.len() < 4096);
            got += bytes.len();
        }
        assert_eq!(got, sent);
    }
}
