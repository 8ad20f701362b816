//! Machines in the background: start, list, hear, stop, wait, remove, and what becomes of one that crashes.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::command::{self, Output};
use crate::stage::{Context, Report};

/// A program that says when it runs, and that it was asked to end.
const SERVER: &str = "trap 'echo bye; exit 3' TERM; echo ready; echo error >&2; while :; do sleep 0.05; done";

/// The checks.
pub(super) fn run(cx: &Context, report: &Report) {
    for (name, check) in CHECKS {
        report.check(cx, &format!("session/background/{name}"), || {
            let hull = Hull::new(cx, name);
            let result = check(&hull);
            hull.clear();
            result.into()
        });
    }
}

type Check = fn(&Hull) -> Result<(), String>;

const CHECKS: &[(&str, Check)] = &[
    ("life", life),
    ("fast", fast),
    ("start", start),
    ("deadline", deadline),
    ("killed", killed),
    ("hypervisor", hypervisor),
    ("supervisor", supervisor),
    ("network", network),
];

/// The tool with a state directory of its own.
struct Hull {
    tool: PathBuf,
    state: PathBuf,
}

impl Hull {
    fn new(cx: &Context, name: &str) -> Self {
        Self { tool: cx.target().join("release/hull"), state: cx.scratch().join("state").join(name) }
    }

    fn call(&self, args: &[&str]) -> Result<Output, String> {
        let mut command = Command::new(&self.tool);
        command.args(args).env("HULL_ACCEL", "tcg").env("HULL_STATE_DIR", &self.state);
        command::run(&mut command, b"", Duration::from_secs(60))
    }

    /// Calls the tool, which must end with `status` and say `stdout`.
    fn says(&self, args: &[&str], status: i32, stdout: &str) -> Result<(), String> {
        let output = self.call(args)?;
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status != Some(status) || said != stdout {
            return Err(format!("{args:?}: {}, {said:?}\n{}", output.status_text(), output.tail(10)));
        }
        Ok(())
    }

    fn record(&self, name: &str) -> Result<serde_json::Value, String> {
        let output = self.call(&["ps", "-a", "--json"])?;
        let list: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
        let found = list.as_array().and_then(|list| list.iter().find(|machine| machine["name"] == name));
        found.cloned().ok_or_else(|| format!("{name} is not in {list}"))
    }

    fn has_status(&self, name: &str, status: &str) -> Result<(), String> {
        let record = self.record(name)?;
        let found = record["status"].as_str().unwrap_or_default();
        if found.starts_with(status) {
            Ok(())
        } else {
            Err(format!("status {found:?} instead of {status:?}"))
        }
    }

    /// Waits until the machine has written `text`.
    fn hears(&self, name: &str, text: &str) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let output = self.call(&["logs", name])?;
            if output.text().contains(text) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{text:?} did not come: {:?}", output.text()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills one of the processes that a record names.
    fn kill(&self, name: &str, key: &str) -> Result<(), String> {
        let number = self.record(name)?[key].as_i64().and_then(|n| i32::try_from(n).ok());
        let pid = number.and_then(Pid::from_raw).ok_or_else(|| format!("there is no {key}"))?;
        kill_process(pid, Signal::KILL).map_err(|e| e.to_string())
    }

    /// Leaves nothing running, whatever a check has met.
    fn clear(&self) {
        let Ok(output) = self.call(&["ps", "-aq"]) else { return };
        for name in String::from_utf8_lossy(&output.stdout).lines() {
            let _ = self.call(&["rm", "-f", name]);
        }
    }
}

fn life(hull: &Hull) -> Result<(), String> {
    hull.says(&["run", "-d", "--name", "box", "sh", "-c", SERVER], 0, "box\n")?;
    hull.says(&["run", "-d", "--name", "box", "true"], 125, "")?;
    hull.has_status("box", "running")?;
    hull.hears("box", "ready")?;
    hull.says(&["ps", "-q"], 0, "box\n")?;
    hull.says(&["rm", "box"], 125, "")?;
    hull.says(&["stop", "-t", "40", "box"], 0, "box\n")?;
    hull.says(&["logs", "-f", "box"], 0, "ready\nbye\n")?;
    if hull.call(&["logs", "box"])?.stderr != b"error\n" {
        return Err("standard error is not kept apart".into());
    }
    hull.says(&["wait", "box"], 0, "3\n")?;
    hull.has_status("box", "exited 3")?;
    hull.says(&["ps", "-q"], 0, "")?;
    hull.says(&["rm", "box"], 0, "box\n")?;
    hull.says(&["ps", "-aq"], 0, "")
}

/// Nothing is lost of a program that is gone before anybody listens.
fn fast(hull: &Hull) -> Result<(), String> {
    let script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; kill -SEGV $$";
    hull.says(&["run", "-d", "--name", "fast", "sh", "-c", script], 0, "fast\n")?;
    hull.says(&["wait", "fast"], 0, "139\n")?;
    let lines: String = (0..2000).map(|i| format!("line {i}\n")).collect();
    hull.says(&["logs", "fast"], 0, &lines)?;
    hull.has_status("fast", "killed by signal 11 (SIGSEGV)")
}

/// What does not start is said at once, and leaves nothing.
fn start(hull: &Hull) -> Result<(), String> {
    let output = hull.call(&["run", "-d", "--name", "x", "-w", "/no/such/directory", "true"])?;
    if output.status != Some(125) || !output.text().contains("/no/such/directory") {
        return Err(format!("{}\n{}", output.status_text(), output.tail(5)));
    }
    hull.says(&["run", "-d", "no-such-program-anywhere"], 127, "")?;
    hull.says(&["ps", "-aq"], 0, "")
}

fn deadline(hull: &Hull) -> Result<(), String> {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    hull.says(&["run", "-d", "--name", "deaf", "sh", "-c", script], 0, "deaf\n")?;
    hull.hears("deaf", "ready")?;
    hull.says(&["stop", "-t", "0.5", "deaf"], 0, "deaf\n")?;
    hull.says(&["wait", "deaf"], 0, "137\n")?;
    hull.has_status("deaf", "stopped after deadline")
}

fn killed(hull: &Hull) -> Result<(), String> {
    hull.says(&["run", "-d", "--name", "a", "sleep", "1000"], 0, "a\n")?;
    hull.says(&["run", "-d", "--name", "b", "sleep", "1000"], 0, "b\n")?;
    hull.says(&["kill", "-s", "USR1", "a"], 0, "a\n")?;
    hull.says(&["kill", "b"], 0, "b\n")?;
    hull.says(&["wait", "a", "b"], 0, "138\n137\n")?;
    hull.has_status("a", "killed by signal 10 (SIGUSR1)")?;
    hull.has_status("b", "killed")
}

fn hypervisor(hull: &Hull) -> Result<(), String> {
    hull.says(&["run", "-d", "--name", "box", "sh", "-c", SERVER], 0, "box\n")?;
    hull.hears("box", "ready")?;
    hull.kill("box", "hypervisor")?;
    hull.says(&["wait", "box"], 0, "125\n")?;
    hull.has_status("box", "hypervisor died: killed by SIGKILL")?;
    hull.says(&["logs", "box"], 0, "ready\n")
}

fn supervisor(hull: &Hull) -> Result<(), String> {
    hull.says(&["run", "-d", "--name", "box", "sh", "-c", SERVER], 0, "box\n")?;
    hull.hears("box", "ready")?;
    hull.kill("box", "supervisor")?;
    hull.says(&["wait", "box"], 0, "125\n")?;
    hull.has_status("box", "dead: its supervisor")?;
    hull.says(&["logs", "-f", "box"], 0, "ready\n")?;
    hull.says(&["rm", "box"], 0, "box\n")
}

/// Every kind of card is tolerated on every type of machine, and the kernel understands what it is told about it.
fn network(hull: &Hull) -> Result<(), String> {
    for kind in crate::machine::TYPES {
        for net in [&["--net", "none"][..], &["-p", "127.0.0.1:0:80"], &["--net", "user", "--net", "user"]] {
            let line = [&["run", "--machine", kind][..], net, &["--dns", "fec0::3", "sh", "-c", "exit 4"]];
            hull.says(&line.concat(), 4, "")?;
        }
    }
    Ok(())
}
