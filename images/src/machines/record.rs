//! What is written down about a machine, and how it stands.

use crate::boot::net::Forward;
use crate::boot::outcome::{self, End, Outcome};
use crate::problem::FAILURE;
use serde::{Deserialize, Serialize};
use std::os::unix::process::ExitStatusExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// A machine, as its supervisor writes it down.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its name, unique for this user.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The image's file.
    pub image: String,
    /// Whether it belongs to a tool in the foreground, which has its input and output.
    pub foreground: bool,
    /// Memory in bytes.
    pub memory: u64,
    /// Number of processors.
    pub cpus: u32,
    /// Ports of this host that lead to it.
    pub ports: Vec<Forward>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// This host's boot, as `/proc/sys/kernel/random/boot_id` names it.
    pub boot: String,
    /// The supervising process.
    pub supervisor: i32,
    /// The hypervisor's process, once it is there.
    pub hypervisor: Option<u32>,
    /// When the program started, in seconds since 1970.
    pub started: Option<u64>,
    /// When it ended, in seconds since 1970.
    pub ended: Option<u64>,
    /// How it ended.
    pub ending: Option<Ending>,
    /// What is missing from its output, and why.
    pub lost_output: Option<String>,
}

/// How a machine ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Ending {
    /// The program exited.
    Exited {
        /// Its exit code.
        code: u8,
    },
    /// A signal ended the program.
    Signalled {
        /// The signal's number.
        signal: u32,
    },
    /// The kernel in the machine panicked.
    KernelPanicked {
        /// Its message.
        message: String,
    },
    /// The hypervisor ended although the program had not.
    HypervisorDied {
        /// What is known.
        why: String,
    },
    /// It was asked to stop, did not in time, and was ended.
    StoppedAfterDeadline,
    /// It was ended at once, on request.
    Killed,
    /// The time given with `--timeout` was up.
    TimedOut,
    /// Its supervisor is gone, and the hypervisor with it.
    SupervisorDied {
        /// What is known.
        why: String,
    },
}

impl Ending {
    /// Reads it from how a session ended.
    pub fn of(outcome: &Outcome) -> Self {
        match outcome.end {
            End::Exit(status) => match outcome::exit_code(status) {
                (_, Some(signal)) => Self::Signalled { signal },
                (code, None) => Self::Exited { code },
            },
            End::Timeout => Self::TimedOut,
            End::Killed(_) => Self::StoppedAfterDeadline,
            End::Ended => Self::Killed,
            End::Crash => {
                let panic = outcome.log.lines().find_map(|line| line.split_once("kernel panic: "));
                if let Some((_, message)) = panic {
                    return Self::KernelPanicked { message: message.trim().to_owned() };
                }
                let said = outcome.hypervisor.as_deref().and_then(|text| text.lines().last());
                let status = outcome.status.map(|status| match (status.code(), status.signal()) {
                    (_, Some(signal)) => format!("killed by {}", signal_name(signal.unsigned_abs())),
                    (code, None) => format!("exit code {}", code.unwrap_or(0)),
                });
                let why = [status.as_deref(), said].into_iter().flatten().collect::<Vec<_>>().join(": ");
                Self::HypervisorDied { why }
            }
        }
    }

    /// The exit code that a shell would show.
    pub fn code(&self) -> u8 {
        match self {
            Self::Exited { code } => *code,
            Self::Signalled { signal } => u8::try_from(128 + signal).unwrap_or(FAILURE),
            Self::StoppedAfterDeadline | Self::Killed => 128 + 9,
            Self::TimedOut => 124,
            Self::KernelPanicked { .. } | Self::HypervisorDied { .. } | Self::SupervisorDied { .. } => {
                FAILURE
            }
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited { code } => write!(f, "exited {code}"),
            Self::Signalled { signal } => write!(f, "killed by signal {signal} ({})", signal_name(*signal)),
            Self::KernelPanicked { message } => write!(f, "guest kernel panicked: {message}"),
            Self::HypervisorDied { why } if why.is_empty() => f.write_str("hypervisor died"),
            Self::HypervisorDied { why } => write!(f, "hypervisor died: {why}"),
            Self::StoppedAfterDeadline => f.write_str("stopped after deadline"),
            Self::Killed => f.write_str("killed"),
            Self::TimedOut => f.write_str("timed out"),
            Self::SupervisorDied { why } => write!(f, "dead: {why}"),
        }
    }
}

/// How a machine stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// The hypervisor is on its way to the program.
    Starting,
    /// The program runs.
    Running,
    /// It has ended.
    Ended(Ending),
}

impl State {
    /// Judges a record by whether its supervisor lives on this boot of the host.
    pub(super) fn of(record: &Record, supervised: bool, boot: &str) -> Self {
        if let Some(ending) = &record.ending {
            return Self::Ended(ending.clone());
        }
        if supervised {
            return if record.started.is_some() { Self::Running } else { Self::Starting };
        }
        let why = if record.boot == boot {
            format!("its supervisor (process {}) was killed", record.supervisor)
        } else {
            "this host was restarted".to_owned()
        };
        Self::Ended(Ending::SupervisorDied { why })
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Running => f.write_str("running"),
            Self::Ended(ending) => ending.fmt(f),
        }
    }
}

/// The name of a signal, such as `SIGTERM`.
pub fn signal_name(signal: u32) -> String {
    let number = i32::try_from(signal).unwrap_or(0);
    signal_hook::low_level::signal_name(number).map_or_else(|| format!("SIG{signal}"), str::to_owned)
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// This boot of the host, by name.
pub(super) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
