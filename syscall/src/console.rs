//! Standard input, output and error where they are no terminal: streams to and from the tool.
//!
//! Input is sent on credit. None is given before the application first asks for input, so that what it never
//! reads stays with the tool and whoever feeds it.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use abi::fs::{O_LARGEFILE, O_RDONLY, O_RDWR, O_WRONLY};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{ConsoleInput, Dest, Readiness, Source, Stream, WaitQueue};
use vfs::OpenFile;

use crate::files::PipeContent;
use crate::proc::{Description, Object};
use crate::system::{FIRST_PID, System};
use crate::tty::{self, Terminal, TtyFile};

/// Bytes of input that may wait here or be on their way.
const WINDOW: usize = 64 << 10;
/// Bytes copied at once.
const CHUNK: usize = 4096;

/// Which stream a file stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Standard input.
    Input,
    /// Standard output or error.
    Output(Stream),
}

/// The application's side of the console channel.
pub struct Console {
    device: &'static dyn hal::Console,
    input: Lock<Input, { rank::TTY }>,
    queue: Arc<WaitQueue>,
    system: spin::Once<Weak<System>>,
}

#[derive(Default)]
struct Input {
    bytes: VecDeque<u8>,
    /// Credit that was given and not used yet.
    credit: usize,
    ended: bool,
}

impl Console {
    pub(crate) fn new(device: &'static dyn hal::Console) -> Arc<Self> {
        Arc::new(Self { device, input: Lock::default(), queue: WaitQueue::new(), system: spin::Once::new() })
    }

    /// Starts taking input, for this system.
    pub(crate) fn connect(self: &Arc<Self>, system: &Arc<System>) {
        self.system.call_once(|| Arc::downgrade(system));
        self.device.set_input(self.clone());
    }

    /// Writes to a stream.
    ///
    /// # Errors
    /// `EFAULT` where the first byte could not be read.
    pub fn write(&self, stream: Stream, from: &mut Source<'_>) -> Result<usize> {
        let mut chunk = [0; CHUNK];
        let mut done = 0;
        while from.remaining() > 0 {
            match from.pull(&mut chunk) {
                Ok(len) => {
                    self.device.write(stream, &chunk[..len]);
                    done += len;
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Reads what has come in; zero at the end.
    ///
    /// # Errors
    /// `EAGAIN` if nothing is there yet, `EFAULT` where the first byte could not be stored.
    pub fn read(&self, to: &mut Dest<'_>) -> Result<usize> {
        let mut done = 0;
        let mut chunk = Vec::new();
        while to.remaining() > 0 {
            {
                let mut input = self.input.lock();
                let len = input.bytes.len().min(to.remaining()).min(CHUNK);
                if len == 0 {
                    if done == 0 && !input.ended {
                        drop(input);
                        self.top_up();
                        return Err(Errno::EAGAIN);
                    }
                    break;
                }
                chunk.clear();
                chunk.extend(input.bytes.drain(..len));
            }
            let stored = to.push(&chunk);
            let kept = *stored.as_ref().unwrap_or(&0);
            if kept < chunk.len() {
                let mut input = self.input.lock();
                for &byte in chunk[kept..].iter().rev() {
                    input.bytes.push_front(byte);
                }
            }
            match stored {
                Ok(len) if len == chunk.len() => done += len,
                Ok(len) => {
                    done += len;
                    break;
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        self.top_up();
        Ok(done)
    }

    /// Says whether there is input; asking means that the application wants some.
    pub fn readiness(&self) -> Readiness {
        self.top_up();
        let input = self.input.lock();
        let mut ready = Readiness::empty();
        if !input.bytes.is_empty() {
            ready |= Readiness::READ;
        }
        if input.ended {
            ready |= Readiness::HUP;
        }
        ready
    }

    /// Returns the bytes that wait (`FIONREAD`).
    pub fn available(&self) -> usize {
        self.input.lock().bytes.len()
    }

    /// Returns who waits for input.
    pub const fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// Gives credit for as much as fits, once that is worth a message.
    fn top_up(&self) {
        let more = {
            let mut input = self.input.lock();
            let used = input.bytes.len() + input.credit;
            if input.ended || used > WINDOW / 2 {
                return;
            }
            input.credit += WINDOW - used;
            WINDOW - used
        };
        self.device.credit(u32::try_from(more).unwrap_or(u32::MAX));
    }
}

impl ConsoleInput for Console {
    fn bytes(&self, bytes: &[u8]) {
        {
            let mut input = self.input.lock();
            input.credit = input.credit.saturating_sub(bytes.len());
            input.bytes.extend(bytes);
        }
        self.queue.wake(Readiness::READ);
    }

    fn end(&self) {
        self.input.lock().ended = true;
        self.queue.wake(Readiness::READ | Readiness::HUP);
    }

    fn resize(&self, _: u16, _: u16) {}

    fn signal(&self, signal: u32) {
        if let Some(system) = self.system.get().and_then(Weak::upgrade) {
            crate::files::signal_first(&system, signal);
        }
    }
}

/// Makes the first process's standard input, output and error: a terminal, or three streams.
///
/// # Panics
/// Never: a stream that is not a regular file opens without conditions.
pub fn stdio(system: &Arc<System>, terminal: bool, size: Option<(u16, u16)>) -> [Arc<Description>; 3] {
    let device = system.platform().console;
    if terminal {
        let terminal = system.files.terminal.call_once(|| Terminal::console(system, device, size));
        tty::attach(system, terminal, FIRST_PID, FIRST_PID);
        // One opening behind all three, as from a login.
        let file = TtyFile::new(terminal, tty::Side::Slave, open_node(system));
        let description = Description::new(Object::Tty(file), O_RDWR | O_LARGEFILE);
        return [Arc::clone(&description), Arc::clone(&description), description];
    }
    let console = &system.files.console;
    console.connect(system);
    [
        (Side::Input, O_RDONLY),
        (Side::Output(Stream::Output), O_WRONLY),
        (Side::Output(Stream::Error), O_WRONLY),
    ]
    .map(|(side, flags)| {
        let content = PipeContent::Console(side, Arc::clone(console));
        let node = system.files.new_pipe_node(content, (0, 0));
        node.open(flags).expect("only regular files refuse to be opened without a name")
    })
}

/// Opens the console's node in `/dev`, so that the terminal has a name (`ttyname(3)`).
fn open_node(system: &System) -> Option<Arc<OpenFile>> {
    let root = system.vfs.mount_list().first()?.root_place();
    let who = vfs::Credentials::root();
    let caller = vfs::Caller::kernel(&who);
    let walk = vfs::Walk { vfs: &system.vfs, caller, root: &root, start: &root, resolve: 0 };
    walk.open(b"/dev/console", O_RDWR | O_LARGEFILE, 0).ok()
}
