//! `hull ps`, `stop`, `kill`, `wait` and `rm`: machines that are written down.

use super::print_json;
use crate::boot::control::Request;
use crate::machines::record::{Record, now};
use crate::machines::{Ending, Entry, Registry, State};
use crate::problem::{Problem, explain};
use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// How long a supervisor has to end its machine once it must, and to write that down.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(clap::Args, Debug)]
pub(super) struct PsArgs {
    /// List machines that have ended too
    #[arg(short, long)]
    all: bool,
    /// Print names only
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
pub(super) struct StopArgs {
    /// End the machine if the program still runs after this many seconds
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10.0)]
    time: f64,
    /// Machines to stop
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

#[derive(clap::Args, Debug)]
pub(super) struct KillArgs {
    /// Send this signal to the program instead of ending the machine: a name such as HUP, or a number
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL", value_parser = signal)]
    signal: i32,
    /// Machines to end
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

#[derive(clap::Args, Debug)]
pub(super) struct WaitArgs {
    /// Machines to wait for; their exit codes are printed
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

#[derive(clap::Args, Debug)]
pub(super) struct RmArgs {
    /// End machines that run
    #[arg(short, long)]
    force: bool,
    /// Machines to remove
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// A line of `hull ps`, for programs.
#[derive(serde::Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    record: &'a Record,
    state: &'static str,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
}

impl<'a> Line<'a> {
    fn of(entry: &'a Entry) -> Self {
        let (state, exit_code) = match &entry.state {
            State::Starting => ("starting", None),
            State::Running => ("running", None),
            State::Ended(ending) => ("ended", Some(ending.code())),
        };
        Self { record: &entry.record, state, status: entry.state.to_string(), exit_code }
    }
}

pub(super) fn ps(args: &PsArgs) -> Result<()> {
    let mut entries = Registry::of_user()?.all()?;
    entries.retain(|entry| args.all || !matches!(entry.state, State::Ended(_)));
    if args.json {
        return print_json(&entries.iter().map(Line::of).collect::<Vec<_>>());
    }
    let mut rows = vec![["NAME", "PROGRAM", "STATUS", "AGE", "PORTS", "PID"].map(str::to_owned)];
    for Entry { record, state, .. } in &entries {
        let ports: Vec<String> = record.ports.iter().map(ToString::to_string).collect();
        let pid = match state {
            State::Ended(_) => None,
            State::Starting | State::Running => record.hypervisor,
        };
        rows.push([
            record.name.clone(),
            record.command.first().cloned().unwrap_or_default(),
            state.to_string(),
            age(now().saturating_sub(record.created)),
            ports.join(", "),
            pid.map_or_else(String::new, |pid| pid.to_string()),
        ]);
    }
    let mut out = String::new();
    if args.quiet {
        entries.iter().for_each(|entry| out += &format!("{}\n", entry.record.name));
    } else {
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..6).map(width).collect();
        for row in &rows {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            out += &format!("{}\n", cells.join("  ").trim_end());
        }
    }
    std::io::stdout().write_all(out.as_bytes()).context("cannot write")
}

/// A span of time in its largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Does something for each name, goes on after failures, and fails if one did; what succeeds is named.
fn for_each(names: &[String], mut act: impl FnMut(&Registry, &str) -> Result<Option<String>>) -> Result<u8> {
    let registry = Registry::of_user()?;
    let mut worst = 0;
    for name in names {
        match act(&registry, name) {
            Ok(Some(text)) => writeln!(std::io::stdout(), "{text}").context("cannot write")?,
            Ok(None) => {}
            Err(error) => {
                let (text, code) = explain(&error);
                eprint!("{text}");
                worst = code.max(worst);
            }
        }
    }
    Ok(worst)
}

pub(super) fn stop(args: &StopArgs) -> Result<u8> {
    let after = Duration::try_from_secs_f64(args.time).map_err(|_| {
        Problem::new(format!("-t {} is not a time", args.time)).hint("write seconds, such as 2.5")
    })?;
    // All of them have the same time, not one after the other.
    let registry = Registry::of_user()?;
    let mut there = Vec::new();
    for name in &args.names {
        if let Ok(entry) = registry.find(name) {
            entry.request(Request::Stop(after))?;
            there.push(name.as_str());
        }
    }
    let deadline = Instant::now().checked_add(after + PATIENCE);
    for_each(&args.names, |registry, name| {
        match registry.find(name) {
            Ok(entry) => end_by(&entry, deadline)?,
            // One in the foreground has removed itself meanwhile.
            Err(_) if there.contains(&name) => {}
            Err(error) => return Err(error),
        }
        Ok(Some(name.to_owned()))
    })
}

pub(super) fn kill(args: &KillArgs) -> Result<u8> {
    for_each(&args.names, |registry, name| {
        let entry = registry.find(name)?;
        if let State::Ended(ending) = &entry.state {
            return Err(Problem::new(format!("machine {name} does not run: {ending}")).into());
        }
        if args.signal == Signal::KILL.as_raw() {
            end(&entry)?;
        } else if !entry.request(Request::Signal(args.signal))? {
            return Err(Problem::new(format!("machine {name} has just ended")).into());
        }
        Ok(Some(name.to_owned()))
    })
}

pub(super) fn wait(args: &WaitArgs) -> Result<u8> {
    for_each(&args.names, |registry, name| {
        let entry = registry.find(name)?;
        end_by(&entry, None)?;
        if entry.record.foreground && registry.find(name).is_err() {
            let problem =
                Problem::new(format!("machine {name} has ended, and its `hull run` has its exit code"));
            return Err(problem.hint("machines in the background (-d) are kept until `hull rm`").into());
        }
        match registry.find(name)?.state {
            State::Ended(ending) => {
                if let Ending::SupervisorDied { .. } = ending {
                    eprintln!("hull: machine {name}: {ending}");
                }
                Ok(Some(ending.code().to_string()))
            }
            state => Err(Problem::new(format!("machine {name} is {state} again")).into()),
        }
    })
}

pub(super) fn rm(args: &RmArgs) -> Result<u8> {
    for_each(&args.names, |registry, name| {
        let entry = registry.find(name)?;
        if args.force {
            end(&entry)?;
        }
        match registry.find(name) {
            Ok(entry) => registry.remove(&entry)?,
            Err(_) if args.force => {} // a machine in the foreground removes itself
            Err(error) => return Err(error),
        }
        Ok(Some(name.to_owned()))
    })
}

/// Ends a machine now, if it runs.
fn end(entry: &Entry) -> Result<()> {
    entry.request(Request::End)?;
    end_by(entry, Instant::now().checked_add(PATIENCE))
}

/// Waits until a machine's supervisor has ended; one that has not at the deadline is killed, and the hypervisor with it.
fn end_by(entry: &Entry, deadline: Option<Instant>) -> Result<()> {
    let Some(process) = entry.supervisor()? else { return Ok(()) };
    let mut limit = deadline;
    loop {
        let left = limit.map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], left.as_ref()) {
            Ok(0) => {
                rustix::process::pidfd_send_signal(&process, Signal::KILL)
                    .context("cannot end the supervisor")?;
                limit = None;
            }
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("cannot wait for the supervisor"),
        }
    }
}

/// Reads a signal's name, with or without `SIG`, or its number.
fn signal(text: &str) -> Result<i32, String> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let number = text.parse::<i32>().ok().filter(|n| (1..=64).contains(n));
    let named = || {
        let is_named = |n: &i32| signal_hook::low_level::signal_name(*n).is_some_and(|s| s[3..] == *name);
        (1..32).find(is_named)
    };
    number
        .or_else(named)
        .ok_or_else(|| "write a signal's name, such as HUP, or a number from 1 to 64".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [("HUP", 1), ("sigterm", 15), ("SIGUSR1", 10), ("9", 9), ("64", 64)] {
            assert_eq!(signal(text), Ok(number));
        }
        for bad in ["", "0", "65", "SIG", "NOPE"] {
            assert!(signal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ages_are_in_their_largest_unit() {
        assert_eq!([age(59), age(60), age(7300), age(200_000)], ["59 s", "1 min", "2 h", "2 days"]);
    }
}
