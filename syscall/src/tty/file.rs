//! An open terminal: reading and writing on either side.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::signal::{SIGTTIN, SIGTTOU};
use abi::tty::{ICANON, TOSTOP};
use abi::{Errno, Result};
use hal::{Dest, Readiness, Source, WaitQueue};
use vfs::OpenFile;
use vfs::tty::{Events, Output, Reading, When};

use super::control::check_foreground;
use super::{Behind, OUTPUT_MAX, State, Terminal};
use crate::proc::{Description, Sharing};
use crate::{Context, SysError, SysResult, block};

/// Bytes that are moved at once.
const CHUNK: usize = 4096;

/// A side of a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The side that a terminal emulator holds.
    Master,
    /// The side that programs use as their terminal.
    Slave,
}

/// One opening of a terminal; dropping it closes.
pub struct TtyFile {
    terminal: Arc<Terminal>,
    side: Side,
    generation: u32,
    file: Option<Arc<OpenFile>>,
}

impl TtyFile {
    /// Opens a side.
    pub(crate) fn new(terminal: &Arc<Terminal>, side: Side, file: Option<Arc<OpenFile>>) -> Self {
        let generation = {
            let mut state = terminal.state.lock();
            match side {
                Side::Master => state.masters += 1,
                Side::Slave => {
                    state.slaves += 1;
                    state.was_open = true;
                }
            }
            state.generation
        };
        terminal.master_queue.wake(Readiness::all());
        Self { terminal: Arc::clone(terminal), side, generation, file }
    }

    /// Returns the terminal.
    pub const fn terminal(&self) -> &Arc<Terminal> {
        &self.terminal
    }

    /// Returns the side.
    pub const fn side(&self) -> Side {
        self.side
    }

    /// Returns the open file in the tree, if it was opened there.
    pub const fn file(&self) -> Option<&Arc<OpenFile>> {
        self.file.as_ref()
    }

    /// Returns who waits on this side.
    pub fn queue(&self) -> &Arc<WaitQueue> {
        match self.side {
            Side::Master => &self.terminal.master_queue,
            Side::Slave => &self.terminal.slave_queue,
        }
    }

    pub(super) fn is_hung_up(&self, state: &State) -> bool {
        self.side == Side::Slave && self.generation != state.generation
    }

    /// Reads what is there. Never waits, and so looks at no timer.
    ///
    /// # Errors
    /// `EAGAIN` if nothing is there yet; `EIO` on a master side whose other side is closed.
    pub fn read(&self, _: &Context<'_>, to: &mut Dest<'_>) -> Result<usize> {
        match self.side {
            Side::Master => self.read_master(to),
            Side::Slave => {
                {
                    let state = self.terminal.state.lock();
                    if self.is_hung_up(&state) {
                        return Ok(0);
                    }
                    if state.line.would_block() {
                        return Err(Errno::EAGAIN);
                    }
                }
                self.take(to)
            }
        }
    }

    /// Reads as `termios(3)` says: a line, or what `VMIN` and `VTIME` ask for.
    ///
    /// # Errors
    /// `EIO` for a background process that cannot be stopped; a restart when a signal comes in before any input.
    pub fn read_waiting(
        &self,
        cx: &Context<'_>,
        description: &Description,
        to: &mut Dest<'_>,
    ) -> SysResult<usize> {
        if self.side == Side::Master {
            return crate::handlers::io::wait(cx, description, Readiness::READ, || self.read_master(to));
        }
        if !self.is_hung_up(&self.terminal.state.lock()) {
            check_foreground(cx, &self.terminal, SIGTTIN)?;
        }
        if description.is_nonblocking() {
            return Ok(self.read(cx, to)?);
        }
        let room = to.remaining();
        let mut reading = Reading::new(cx.clock().monotonic_ns());
        loop {
            let mut look = || {
                let state = self.terminal.state.lock();
                if self.is_hung_up(&state) {
                    return When::Now;
                }
                state.line.when(&mut reading, room, cx.clock().monotonic_ns())
            };
            let deadline = match look() {
                When::Now => return Ok(self.take(to)?),
                When::Later(deadline) => deadline,
            };
            let register =
                |waker: &_| description.watch(cx.thread, Readiness::READ, waker, Sharing::Exclusive);
            // Another deadline than the one that is slept until is a reason to wake up, too.
            let step = || if look() == When::Later(deadline) { Err(Errno::EAGAIN) } else { Ok(()) };
            match block::until_woken(cx, register, deadline, step) {
                Ok(()) | Err(SysError::Errno(_)) => {}
                Err(restart) => {
                    // LINUX: without lines, what has come in so far is the answer.
                    let some = {
                        let state = self.terminal.state.lock();
                        state.line.termios().c_lflag & ICANON == 0 && state.line.waiting() > 0
                    };
                    return if some { Ok(self.take(to)?) } else { Err(restart) };
                }
            }
        }
    }

    /// Takes from the line discipline, which may let it take more of what was typed ahead.
    fn take(&self, to: &mut Dest<'_>) -> Result<usize> {
        let bytes = {
            let mut state = self.terminal.state.lock();
            if self.is_hung_up(&state) { Vec::new() } else { state.line.take(to.remaining()) }
        };
        match self.terminal.behind {
            Behind::Console(_) => self.terminal.take_ahead(),
            Behind::Master(_) => self.terminal.master_queue.wake(Readiness::WRITE),
        }
        to.push(&bytes)
    }

    fn read_master(&self, to: &mut Dest<'_>) -> Result<usize> {
        if to.remaining() == 0 {
            return Ok(0);
        }
        let bytes: Vec<u8> = {
            let mut state = self.terminal.state.lock();
            let mut bytes = Vec::new();
            if let Some(status) = &mut state.packets {
                bytes.push(core::mem::take(status));
                if bytes != [0] {
                    drop(state);
                    return to.push(&bytes);
                }
            }
            if state.output.is_empty() {
                let closed = state.was_open && state.slaves == 0;
                return Err(if closed { Errno::EIO } else { Errno::EAGAIN });
            }
            let len =
                state.output.len().min(to.remaining() - bytes.len().min(to.remaining())).min(OUTPUT_MAX);
            bytes.extend(state.output.drain(..len));
            bytes
        };
        // There is room again, for what programs write and for echo.
        self.terminal.change(|state, out| {
            state.line.put_echo(out);
            ((), Events::empty())
        });
        self.terminal.slave_queue.wake(Readiness::WRITE);
        to.push(&bytes)
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// `EAGAIN` if there is none, `EIO` after a hang-up.
    pub fn write(&self, _: &Context<'_>, from: &mut Source<'_>) -> Result<usize> {
        let mut done = 0;
        let mut chunk = [0; CHUNK];
        while from.remaining() > 0 {
            let mut look = from.clone();
            let len = match look.pull(&mut chunk) {
                Ok(len) => len,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            };
            let taken = match self.put(&chunk[..len]) {
                Ok(taken) => taken,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            };
            // What was not taken is read again by the next try.
            from.pull(&mut chunk[..taken])?;
            done += taken;
            if taken < len {
                break;
            }
        }
        if done == 0 && from.remaining() > 0 { Err(Errno::EAGAIN) } else { Ok(done) }
    }

    fn put(&self, bytes: &[u8]) -> Result<usize> {
        match self.side {
            Side::Slave => {
                if self.is_hung_up(&self.terminal.state.lock()) {
                    return Err(Errno::EIO);
                }
                Ok(self
                    .terminal
                    .change(|state, out: &mut Output| (state.line.write(bytes, out), Events::empty())))
            }
            Side::Master => {
                let state = self.terminal.state.lock();
                // LINUX: what is written before the slave side was ever opened waits for it; after its end it is lost.
                let gone = state.was_open && state.slaves == 0;
                drop(state);
                if gone {
                    return Ok(bytes.len());
                }
                Ok(self.terminal.change(|state, out| state.line.input(bytes, out)))
            }
        }
    }

    /// Checks that the caller may write: a background process may unless the terminal says `TOSTOP`.
    ///
    /// # Errors
    /// As for reading.
    pub fn check_write(&self, cx: &Context<'_>) -> SysResult<()> {
        let stops = self.terminal.state.lock().line.termios().c_lflag & TOSTOP != 0;
        if self.side == Side::Slave && stops { check_foreground(cx, &self.terminal, SIGTTOU) } else { Ok(()) }
    }

    /// Says what this side is ready for.
    pub fn readiness(&self) -> Readiness {
        let state = self.terminal.state.lock();
        let mut ready = Readiness::empty();
        match self.side {
            Side::Slave => {
                if self.is_hung_up(&state) {
                    return Readiness::READ | Readiness::WRITE | Readiness::ERR | Readiness::HUP;
                }
                ready |= state.line.read_readiness();
                if !state.line.is_stopped() && self.terminal.output_for(&state).room > 0 {
                    ready |= Readiness::WRITE;
                }
            }
            Side::Master => {
                if !state.output.is_empty() {
                    ready |= Readiness::READ;
                }
                if state.packets.is_some_and(|status| status != 0) {
                    ready |= Readiness::READ | Readiness::PRI;
                }
                if state.was_open && state.slaves == 0 {
                    ready |= Readiness::HUP;
                }
                ready |= Readiness::WRITE;
            }
        }
        ready
    }
}

impl Drop for TtyFile {
    fn drop(&mut self) {
        let ends = {
            let mut state = self.terminal.state.lock();
            match self.side {
                Side::Master => {
                    state.masters -= 1;
                    state.masters == 0
                }
                Side::Slave => {
                    if self.generation == state.generation {
                        state.slaves -= 1;
                    }
                    false
                }
            }
        };
        if ends {
            if let (Some(number), Some(system)) = (self.terminal.number(), self.terminal.system.upgrade()) {
                system.files.ptys.remove(number);
            }
            self.terminal.hang_up();
        }
        self.terminal.master_queue.wake(Readiness::all());
    }
}
