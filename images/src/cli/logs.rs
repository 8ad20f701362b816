//! `hull logs`: what a machine has written.

use crate::machines::record::Ending;
use crate::machines::{Entry, Registry, State};
use abi::channel::Kind;
use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use std::io::Write as _;

/// Lines of a crashed kernel's log that are shown.
const LOG_LINES: usize = 60;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Go on until the machine has ended
    #[arg(short, long)]
    follow: bool,
    /// Show the kernel's log among the output
    #[arg(short, long)]
    kernel: bool,
    /// The machine
    name: String,
}

/// Writes the machine's standard output to standard output and its errors to standard error, in their order.
pub(super) fn logs(args: &Args) -> Result<()> {
    let registry = Registry::of_user()?;
    let entry = registry.find(&args.name)?;
    let mut reader = entry.output()?;
    let show = |kind: Kind, stream: u8, bytes: &[u8]| -> Result<()> {
        let result = match (kind, stream) {
            (Kind::Output, 1) => std::io::stdout().write_all(bytes).and_then(|()| std::io::stdout().flush()),
            (Kind::Output | Kind::Trace, _) => std::io::stderr().write_all(bytes),
            (Kind::Log, _) if args.kernel => std::io::stderr().write_all(&[b"[kernel] ", bytes].concat()),
            _ => Ok(()),
        };
        result.context("cannot write")
    };
    // Watched before it is read: what comes in between is not missed.
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .context("cannot watch files")?;
    inotify::add_watch(&changes, entry.output_path(), inotify::WatchFlags::MODIFY)
        .context("cannot watch the machine's output")?;
    loop {
        // Asked before it is read: what was written until the end is there then.
        let supervisor = if args.follow { entry.supervisor()? } else { None };
        while reader.read(show)? {}
        let Some(supervisor) = supervisor else { break };
        let wanted = PollFlags::IN;
        let mut fds = [PollFd::new(&changes, wanted), PollFd::new(&supervisor, wanted)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("cannot wait for output"),
        }
        let mut buffer = [0; 4096];
        while rustix::io::read(&changes, &mut buffer[..]).is_ok_and(|len| len > 0) {}
    }
    registry.find(&args.name).map(|entry| explain_end(&entry)).or_else(|_| Ok(()))
}

/// Says what the output does not: that it is not whole, or that the machine did not end by its program's will.
fn explain_end(entry: &Entry) {
    let name = &entry.record.name;
    if let Some(why) = &entry.record.lost_output {
        eprintln!("hull: output of machine {name} is missing: it could not be written: {why}");
    }
    let State::Ended(ending) = &entry.state else { return };
    if let Ending::KernelPanicked { .. } | Ending::HypervisorDied { .. } | Ending::SupervisorDied { .. } =
        ending
    {
        eprintln!("hull: machine {name}: {ending}");
    }
    if let Some(log) = entry.kernel_log().filter(|log| !log.trim().is_empty()) {
        eprintln!("the end of the kernel's log:");
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].iter().for_each(|line| eprintln!("  {line}"));
    }
}
