//! The conversation with a running machine.
//!
//! One loop waits for everything at once: the application's channel, the serial log, standard input,
//! signals, the hypervisor's end, deadlines. Nothing in it blocks for long, so a signal is never stuck.

use super::machine::Machine;
use super::output::Stream;
use super::{guard, symbols, terminal};
use crate::problem::Problem;
use abi::boot::Channel;
use abi::channel::{Decoder, Event, Kind, frame};
use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
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
}

/// How a session ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// The application ended with this wait status.
    Exit(u32),
    /// The machine ended without saying how the application did.
    Crash,
    /// The time was up.
    Timeout,
    /// The user ended the machine with this signal.
    Killed(i32),
}

/// What a session leaves behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The machine's report: `key=value` lines.
    pub reports: Vec<(String, String)>,
    /// The end of the serial log, with symbolised backtraces.
    pub log: String,
    /// From start to end.
    pub duration: Duration,
    /// How QEMU itself ended, where that is worth knowing.
    pub hypervisor: Option<String>,
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
    };
    let result = session.converse(&mut child.0, log, &signals);
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
        end: match (session.status, session.timed_out, session.killed_by) {
            (Some(status), ..) => End::Exit(status),
            (None, true, _) => End::Timeout,
            (None, false, Some(signal)) => End::Killed(signal),
            (None, false, None) => End::Crash,
        },
        reports: session.reports,
        log,
        duration: started.elapsed(),
        hypervisor: Some(errors.trim().to_owned()).filter(|e| !e.is_empty()),
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
                self.receive();
            }
            if is(Source::Log) && !self.read_log(log.as_mut()) {
                log = None;
            }
            self.notice_broken_pipe();
            if is(Source::Child) {
                // What it had said before it ended is still in the socket and the pipe.
                while self.socket.is_some() && self.receive() {}
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
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 65536];
        let Some(socket) = &mut self.socket else { return false };
        match socket.read(&mut buffer) {
            Ok(0) => self.socket = None,
            Ok(len) => {
                self.hear(&buffer[..len]);
                return true;
            }
            Err(e) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&e.kind()) => {}
            Err(_) => self.socket = None,
        }
        false
    }

    fn hear(&mut self, bytes: &[u8]) {
        if !self.frames {
            self.stdout.put(bytes);
            return;
        }
        for event in self.decoder.push(bytes) {
            match event {
                Event::Noise(bytes) => self.note_log(&bytes),
                Event::Frame { kind, stream, payload } => self.frame(kind, stream, &payload),
            }
        }
    }

    fn frame(&mut self, kind: Kind, stream: u8, payload: &[u8]) {
        let number = || payload.first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
        match kind {
            Kind::Output if stream == 2 => self.stderr.put(payload),
            Kind::Output => self.stdout.put(payload),
            Kind::Log => {
                let mut line = payload.to_vec();
                line.push(b'\n');
                if self.options.log_level.is_some_and(|level| stream <= level) {
                    self.stderr.put(&[b"[kernel] ", &line[..]].concat());
                }
                self.note_log(&line);
            }
            Kind::Exit => {
                self.status = Some(number());
                self.power_off = Some(Instant::now() + POWER_OFF);
            }
            Kind::Credit => {
                self.credit = self.credit.saturating_add(usize::try_from(number()).unwrap_or(usize::MAX));
            }
            Kind::Report => {
                let line = String::from_utf8_lossy(payload);
                let (key, value) = line.trim_end().split_once('=').unwrap_or((&line, ""));
                self.reports.push((key.to_owned(), value.to_owned()));
            }
            Kind::Trace => {
                let mut line = payload.to_vec();
                if !line.ends_with(b"\n") {
                    line.push(b'\n');
                }
                match &mut self.options.trace {
                    Some(file) => drop(file.write_all(&line)),
                    None => self.stderr.put(&line),
                }
            }
            // Frames that only the tool sends: a machine that sends them is out of step.
            Kind::Input | Kind::InputEof | Kind::Resize | Kind::Signal => {}
        }
    }

    fn read_log(&mut self, log: Option<&mut File>) -> bool {
        let mut buffer = [0; 4096];
        match log.map(|log| log.read(&mut buffer)) {
            Some(Ok(len)) if len > 0 => {
                self.note_log(&buffer[..len]);
                if self.options.log_level.is_some_and(|level| level >= 2) {
                    self.stderr.put(&buffer[..len]);
                }
                true
            }
            Some(Err(e)) if e.kind() == ErrorKind::Interrupted => true,
            _ => false,
        }
    }

    fn note_log(&mut self, bytes: &[u8]) {
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

const SIGNALS: [i32; 5] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH];

/// Signals as bytes in pipes, one pipe each.
struct Signals {
    pipes: Vec<UnixStream>,
    ids: Vec<signal_hook::SigId>,
}

impl Signals {
    fn new() -> Result<Self> {
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
    fn take(&self, index: usize) -> bool {
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

/// Sums the report's counts of system calls that the kernel does not implement.
pub fn unimplemented(reports: &[(String, String)]) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for (key, value) in reports {
        if let Some(name) = key.strip_prefix("unimplemented.") {
            *out.entry(name.to_owned()).or_insert(0) += value.parse::<u64>().unwrap_or(1);
        }
    }
    out
}

/// The exit code for a wait status, as shells form it, and the signal if one killed the application.
pub fn exit_code(status: u32) -> (u8, Option<u32>) {
    let low = |v: u32| u8::try_from(v & 0xff).unwrap_or(0);
    match status & 0x7f {
        0 => (low(status >> 8), None),
        signal => (low(128 + signal), Some(signal)),
    }
}
