//! The conversation with a running machine.
//!
//! One loop waits for everything at once: the application's channel, the serial log, standard input,
//! signals, the hypervisor's end, deadlines. Nothing in it blocks for long, so a signal is never stuck.

use super::control::Request;
use super::machine::Machine;
use super::outcome::{End, Outcome};
use super::output::Stream;
use super::signals::{SIGNALS, Signals};
use super::{guard, symbols, terminal};
use crate::machines::journal::Journal;
use crate::problem::Problem;
use abi::boot::Channel;
use abi::channel::{self, Decoder, Event, Kind, frame};
use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// After SIGTERM or SIGHUP the application has this long, as docker gives it.
const GRACE: Duration = Duration::from_secs(10);
/// After its last frame the machine has this long to power itself off.
const POWER_OFF: Duration = Duration::from_secs(2);
/// Two interrupts within this time mean it.
const TWICE: Duration = Duration::from_secs(1);
/// Output that may wait for a slow reader before the machine has to wait too, in bytes.
const OUTPUT_MAX: usize = 1 << 20;
/// The level of a journal's lines from the serial port, which name none.
const NOISE: u8 = 4;
/// The end of the serial log that is kept for reports, in bytes.
const LOG_MAX: usize = 64 << 10;

/// How to talk with the machine.
#[derive(Debug, Default)]
pub struct Options {
    /// Give the application the host's terminal: raw mode, size changes.
    pub terminal: bool,
    /// Give up after this time.
    pub timeout: Option<Duration>,
    /// Show the kernel's log up to this level (0 error to 4 trace) on standard error.
    pub log_level: Option<u8>,
    /// Where trace lines go; standard error if `None`.
    pub trace: Option<BufWriter<File>>,
    /// Where output and log go in place of standard output and standard error.
    pub journal: Option<Journal>,
    /// Where requests come from.
    pub control: Option<UnixDatagram>,
    /// Who wants to know how far the machine has come.
    pub notify: Option<Notify>,
}

/// How far a machine has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The hypervisor runs, as this process.
    Hypervisor(u32),
    /// The program runs, or has run.
    Started,
}

/// Someone who is told of [`Progress`].
pub struct Notify(pub Box<dyn FnMut(Progress) -> Result<()>>);

impl std::fmt::Debug for Notify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notify")
    }
}

/// Starts the machine and stays with it until it has ended.
///
/// # Errors
/// If it cannot be started; how it ends is no error.
pub fn run(machine: &Machine, options: Options) -> Result<Outcome> {
    let plan = machine.plan()?;
    let (ours, theirs) = UnixStream::pair().context("cannot make a socket pair")?;
    let (log, log_end) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("cannot make a pipe")?;
    let signals = Signals::new()?;
    let started = Instant::now();
    let child = guard::command(&machine.qemu, &plan.args)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(log_end))
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| {
            let message = format!("cannot start {}: {e}", machine.qemu.to_string_lossy());
            Problem::new(message).hint("`hull doctor` checks what is missing")
        })?;
    let mut child = Reaped(child);
    ours.set_nonblocking(true)?;
    let raw = if options.terminal { Some(terminal::Raw::enter()?) } else { None };
    let mut session = Session {
        deadline: options.timeout.map(|t| started + t),
        options,
        frames: machine.config.channel != Channel::Raw,
        socket: Some(ours),
        decoder: Decoder::default(),
        to_machine: Vec::new(),
        stdin_open: true,
        credit: 0,
        stdout: Stream::new(rustix::stdio::stdout()),
        stderr: Stream::new(rustix::stdio::stderr()),
        broken_pipe: false,
        log: Vec::new(),
        status: None,
        power_off: None,
        kill_at: None,
        killed_by: None,
        interrupted: None,
        reports: Vec::new(),
        timed_out: false,
        hypervisor_ended: false,
        ended: false,
        started: false,
    };
    session.tell(Progress::Hypervisor(child.0.id()))?;
    let result = session.converse(&mut child.0, log, &signals);
    let status = child.0.try_wait().ok().flatten().filter(|_| session.hypervisor_ended);
    child.end();
    if let Some(trace) = &mut session.options.trace {
        trace.flush().context("cannot write the trace")?;
    }
    session.stdout.flush();
    session.stderr.flush();
    drop(raw);
    result?;
    let mut errors = String::new();
    if let Some(mut stderr) = child.0.stderr.take() {
        let _ = stderr.read_to_string(&mut errors);
    }
    drop(plan);
    let log = symbols::symbolise(&String::from_utf8_lossy(&session.log), &machine.kernel);
    Ok(Outcome {
        end: match (session.status, session.killed_by) {
            (Some(status), _) => End::Exit(status),
            _ if session.hypervisor_ended => End::Crash,
            _ if session.timed_out => End::Timeout,
            _ if session.ended => End::Ended,
            (None, Some(signal)) => End::Killed(signal),
            (None, None) => End::Crash,
        },
        reports: session.reports,
        log,
        duration: started.elapsed(),
        hypervisor: Some(errors.trim().to_owned()).filter(|e| !e.is_empty()),
        status,
        started: session.started,
        lost_output: session.options.journal.as_ref().and_then(Journal::lost).map(str::to_owned),
    })
}

struct Session {
    options: Options,
    frames: bool,
    /// `None` once the other end is closed.
    socket: Option<UnixStream>,
    decoder: Decoder,
    to_machine: Vec<u8>,
    stdin_open: bool,
    /// Bytes of standard input that the machine has room for.
    credit: usize,
    stdout: Stream,
    stderr: Stream,
    broken_pipe: bool,
    log: Vec<u8>,
    status: Option<u32>,
    deadline: Option<Instant>,
    power_off: Option<Instant>,
    kill_at: Option<Instant>,
    killed_by: Option<i32>,
    interrupted: Option<Instant>,
    reports: Vec<(String, String)>,
    timed_out: bool,
    hypervisor_ended: bool,
    /// A request has ended the machine.
    ended: bool,
    started: bool,
}

/// What `poll` was asked about, in the order of its list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Child,
    Socket,
    Log,
    Stdin,
    Stdout,
    Stderr,
    Control,
    Signal(usize),
}

impl Session {
    fn converse(&mut self, child: &mut Child, log: OwnedFd, signals: &Signals) -> Result<()> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("QEMU has no process id")?;
        let ended = rustix::process::pidfd_open(pid, PidfdFlags::empty()).context("cannot watch QEMU")?;
        let mut log = Some(File::from(log));
        loop {
            let ready = self.wait(&ended, log.as_ref(), signals)?;
            let is = |source| ready.contains(&source);
            for (index, &signal) in SIGNALS.iter().enumerate() {
                if is(Source::Signal(index)) && signals.take(index) {
                    self.signal(signal);
                }
            }
            if is(Source::Control) {
                self.serve();
            }
            if is(Source::Stdout) {
                self.stdout.write();
            }
            if is(Source::Stderr) {
                self.stderr.write();
            }
            if is(Source::Stdin) {
                self.read_stdin();
            }
            self.send();
            if is(Source::Socket) {
                self.receive()?;
            }
            if is(Source::Log) && !self.read_log(log.as_mut()) {
                log = None;
            }
            self.notice_broken_pipe();
            if is(Source::Child) {
                // What it had said before it ended is still in the socket and the pipe.
                self.hypervisor_ended = true;
                while self.socket.is_some() && self.receive()? {}
                while self.read_log(log.as_mut()) {}
                return Ok(());
            }
            if self.is_time_up() {
                return Ok(());
            }
        }
    }

    fn wait(&self, ended: &OwnedFd, log: Option<&File>, signals: &Signals) -> Result<Vec<Source>> {
        let stdin = rustix::stdio::stdin();
        let mut fds = vec![PollFd::new(ended, PollFlags::IN)];
        let mut sources = vec![Source::Child];
        let mut add = |source, fd| {
            fds.push(fd);
            sources.push(source);
        };
        if let Some(socket) = &self.socket {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.stdout.waiting() + self.stderr.waiting() < OUTPUT_MAX);
            flags.set(PollFlags::OUT, !self.to_machine.is_empty());
            if !flags.is_empty() {
                add(Source::Socket, PollFd::new(socket, flags));
            }
        }
        if let Some(log) = log {
            add(Source::Log, PollFd::new(log, PollFlags::IN));
        }
        if self.stdin_open && self.credit > 0 && self.to_machine.len() < OUTPUT_MAX && self.socket.is_some() {
            add(Source::Stdin, PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
        for (source, stream) in [(Source::Stdout, &self.stdout), (Source::Stderr, &self.stderr)] {
            if stream.waiting() > 0 {
                add(source, PollFd::from_borrowed_fd(stream.fd(), PollFlags::OUT));
            }
        }
        if let Some(control) = &self.options.control {
            add(Source::Control, PollFd::new(control, PollFlags::IN));
        }
        for (index, pipe) in signals.pipes.iter().enumerate() {
            add(Source::Signal(index), PollFd::new(pipe, PollFlags::IN));
        }
        let until = [self.deadline, self.power_off, self.kill_at].into_iter().flatten().min();
        let timeout = until.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e).context("cannot wait for the machine"),
        }
        let ready = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(sources.iter().copied().zip(ready).filter(|(_, ready)| *ready).map(|(source, _)| source).collect())
    }

    /// Reads what the machine said; returns whether there was anything.
    fn receive(&mut self) -> Result<bool> {
        let mut buffer = [0; 65536];
        let Some(socket) = &mut self.socket else { return Ok(false) };
        match socket.read(&mut buffer) {
            Ok(0) => self.socket = None,
            Ok(len) => {
                self.hear(&buffer[..len])?;
                return Ok(true);
            }
            Err(e) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&e.kind()) => {}
            Err(_) => self.socket = None,
        }
        Ok(false)
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.frames {
            self.output(1, bytes);
            return self.note_start();
        }
        for event in self.decoder.push(bytes) {
            match event {
                Event::Noise(bytes) => self.note_log(NOISE, &bytes),
                Event::Frame { kind, stream, payload } => self.frame(kind, stream, &payload)?,
            }
        }
        Ok(())
    }

    fn output(&mut self, stream: u8, bytes: &[u8]) {
        match (&mut self.options.journal, stream) {
            (Some(journal), _) => journal.put(Kind::Output, stream, bytes),
            (None, 2) => self.stderr.put(bytes),
            (None, _) => self.stdout.put(bytes),
        }
    }

    fn tell(&mut self, progress: Progress) -> Result<()> {
        self.options.notify.as_mut().map_or(Ok(()), |notify| (notify.0)(progress))
    }

    fn note_start(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.started, true) { Ok(()) } else { self.tell(Progress::Started) }
    }

    fn frame(&mut self, kind: Kind, stream: u8, payload: &[u8]) -> Result<()> {
        let number = || payload.first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
        match kind {
            Kind::Output => {
                self.output(stream, payload);
                self.note_start()?;
            }
            Kind::Log => {
                let mut line = payload.to_vec();
                line.push(b'\n');
                if self.options.journal.is_none()
                    && self.options.log_level.is_some_and(|level| stream <= level)
                {
                    self.stderr.put(&[b"[kernel] ", &line[..]].concat());
                }
                self.note_log(stream, &line);
            }
            Kind::Exit => {
                self.status = Some(number());
                self.power_off = Some(Instant::now() + POWER_OFF);
                // A kernel that could not start the program says so, and ends with the tool's code for that.
                if !self.reports.iter().any(|(key, _)| key == channel::START_FAILED) {
                    self.note_start()?;
                }
            }
            Kind::Credit => {
                self.credit = self.credit.saturating_add(usize::try_from(number()).unwrap_or(usize::MAX));
            }
            Kind::Report => {
                let line = String::from_utf8_lossy(payload);
                let (key, value) = line.trim_end().split_once('=').unwrap_or((&line, ""));
                if key == channel::STARTED {
                    return self.note_start();
                }
                self.reports.push((key.to_owned(), value.to_owned()));
            }
            Kind::Trace => {
                let mut line = payload.to_vec();
                if !line.ends_with(b"\n") {
                    line.push(b'\n');
                }
                match (&mut self.options.trace, &mut self.options.journal) {
                    (Some(file), _) => drop(file.write_all(&line)),
                    (None, Some(journal)) => journal.put(Kind::Trace, 0, &line),
                    (None, None) => self.stderr.put(&line),
                }
            }
            // Frames that only the tool sends: a machine that sends them is out of step.
            Kind::Input | Kind::InputEof | Kind::Resize | Kind::Signal => {}
        }
        Ok(())
    }

    fn read_log(&mut self, log: Option<&mut File>) -> bool {
        let mut buffer = [0; 4096];
        match log.map(|log| log.read(&mut buffer)) {
            Some(Ok(len)) if len > 0 => {
                self.note_log(NOISE, &buffer[..len]);
                if self.options.journal.is_none() && self.options.log_level.is_some_and(|level| level >= 2) {
                    self.stderr.put(&buffer[..len]);
                }
                true
            }
            Some(Err(e)) if e.kind() == ErrorKind::Interrupted => true,
            _ => false,
        }
    }

    fn note_log(&mut self, level: u8, bytes: &[u8]) {
        if let Some(journal) = &mut self.options.journal {
            journal.put(Kind::Log, level, bytes);
        }
        self.log.extend_from_slice(bytes);
        if self.log.len() > LOG_MAX {
            self.log.drain(..self.log.len() - LOG_MAX / 2);
        }
    }

    fn read_stdin(&mut self) {
        let mut buffer = vec![0; self.credit.min(65536)];
        match rustix::io::read(rustix::stdio::stdin(), buffer.as_mut_slice()) {
            Ok(0) => self.end_stdin(),
            Ok(len) => {
                self.credit -= len;
                self.to_machine.extend(frame(Kind::Input, 0, &buffer[..len]));
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => self.end_stdin(),
        }
    }

    fn end_stdin(&mut self) {
        self.stdin_open = false;
        self.to_machine.extend(frame(Kind::InputEof, 0, &[]));
    }

    fn send(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        while !self.to_machine.is_empty() {
            match socket.write(&self.to_machine) {
                Ok(len) => drop(self.to_machine.drain(..len)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.to_machine.clear(),
            }
        }
    }

    /// A signal to the tool is meant for the application.
    fn signal(&mut self, signal: i32) {
        let now = Instant::now();
        if signal == SIGWINCH {
            if self.options.terminal
                && let Some((rows, columns)) = terminal::size()
            {
                let size = [rows.to_le_bytes(), columns.to_le_bytes()].concat();
                self.to_machine.extend(frame(Kind::Resize, 0, &size));
            }
            return;
        }
        let again = match signal {
            SIGINT | SIGQUIT => self.interrupted.is_some_and(|at| now - at < TWICE),
            _ => self.kill_at.is_some(),
        };
        if again {
            self.kill_at = Some(now);
        } else if signal == SIGTERM || signal == SIGHUP {
            self.kill_at = Some(now + GRACE);
        }
        self.interrupted = Some(now);
        self.killed_by = Some(signal);
        self.forward(signal);
    }

    /// Does what the requests ask for.
    fn serve(&mut self) {
        while let Some(request) = self.options.control.as_ref().and_then(Request::receive) {
            match request {
                Request::Signal(signal) => self.forward(signal),
                Request::Stop(after) => {
                    let at = Instant::now().checked_add(after);
                    // A second request may shorten the time, not lengthen it.
                    self.kill_at = [self.kill_at, at].into_iter().flatten().min();
                    self.killed_by = Some(SIGTERM);
                    self.forward(SIGTERM);
                }
                Request::End => {
                    self.ended = true;
                    self.kill_at = Some(Instant::now());
                }
            }
        }
    }

    fn forward(&mut self, signal: i32) {
        self.to_machine.extend(frame(Kind::Signal, 0, &signal.to_le_bytes()));
    }

    /// Nobody reads the output: the application learns it as it would on this machine.
    fn notice_broken_pipe(&mut self) {
        if self.stdout.closed && !self.broken_pipe {
            self.broken_pipe = true;
            self.forward(signal_hook::consts::SIGPIPE);
            self.kill_at = self.kill_at.or(Some(Instant::now() + GRACE));
            self.killed_by = Some(signal_hook::consts::SIGPIPE);
        }
    }

    fn is_time_up(&mut self) -> bool {
        let now = Instant::now();
        let over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        self.timed_out = over(self.deadline) && self.status.is_none();
        self.timed_out || over(self.power_off) || over(self.kill_at)
    }
}

/// A child that never outlives its owner.
struct Reaped(Child);

impl Reaped {
    fn end(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        self.end();
    }
}
