//! How a session ended, and what it leaves behind.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::Duration;

/// How a session ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// The application ended with this wait status.
    Exit(u32),
    /// The machine ended without saying how the application did.
    Crash,
    /// The time was up.
    Timeout,
    /// This signal had asked the program to end, and the machine was ended when it had not in time.
    Killed(i32),
    /// The machine was ended at once, on request.
    Ended,
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
    /// With which status QEMU ended, if it did so by itself.
    pub status: Option<ExitStatus>,
    /// Whether the program ran at all.
    pub started: bool,
    /// What was lost of the output that belongs into a journal, and why.
    pub lost_output: Option<String>,
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
