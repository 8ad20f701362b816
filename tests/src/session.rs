//! A user at a terminal, and scripts around the tool: pipes, signals, statuses.
//!
//! A conversation is a list of steps: text to send and text that must come back. It is played with the program on this
//! Linux first, behind a pseudo-terminal, and with the tool second; both must say what the steps expect.

mod background;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::machine::{Machine, host_command};
use crate::stage::{Context, Outcome, Report};

/// A step of a conversation.
enum Step {
    /// Send this.
    Say(&'static str),
    /// Wait until this has come since the last wait.
    Hear(&'static str),
    /// Let the program get going: what is typed must reach the program, not the shell before it.
    Pause(u64),
    /// Give the terminal so many columns and rows.
    Resize(u16, u16),
}
use Step::{Hear, Pause, Resize, Say};

const PYTHON: &[Step] = &[
    Hear(">>> "),
    Say("6*7\n"),
    Hear("42"),
    Hear(">>> "),
    Say("input('name? ').upper()\n"),
    Hear("name? "),
    Say("ann\n"),
    Hear("'ANN'"),
    Hear(">>> "),
    Say("import time; print('sleep', 'ing'); time.sleep(50)\n"),
    Hear("sleep ing"),
    Pause(300),
    Say("\x03"),
    Hear("KeyboardInterrupt"),
    Hear(">>> "),
    Say("import os; os.get_terminal_size()\n"),
    Hear("columns=80, lines=24"),
    Hear(">>> "),
    Resize(132, 43),
    Pause(300),
    Say("os.get_terminal_size()\n"),
    Hear("columns=132, lines=43"),
    Hear(">>> "),
    Say("\x04"),
];

const BASH: &[Step] = &[
    Hear("# "),
    Say("echo $((6 * 7)) on $(tty | cut -c 1-5)\n"),
    Hear("42 on /dev/"),
    Hear("# "),
    Say("cat\n"),
    Pause(500),
    Say("one line\n"),
    Hear("one line\r\none line"),
    Say("\x04"),
    Hear("# "),
    Say("sleep 50\n"),
    Pause(700),
    Say("\x1a"),
    Hear("Stopped"),
    Hear("# "),
    Say("jobs\n"),
    Hear("[1]+  Stopped"),
    Hear("# "),
    Say("fg\n"),
    Hear("sleep 50"),
    Pause(500),
    Say("\x03"),
    Hear("# "),
    Say("echo status $?\n"),
    Hear("status 130"),
    Hear("# "),
    Say("sleep 0.2 & wait; echo waited $?\n"),
    Hear("waited 0"),
    Hear("# "),
    Say("stty size\n"),
    Hear("24 80"),
    Hear("# "),
    Resize(100, 30),
    Pause(300),
    Say("stty size\n"),
    Hear("30 100"),
    Hear("# "),
    Say("exit 5\n"),
];

const DIALOGUES: &[(&str, &[&str], &[Step], i32)] =
    &[("python", &["python3"], PYTHON, 0), ("bash", &["bash", "--norc", "--noprofile"], BASH, 5)];

/// The stage.
pub fn run(cx: &Context, report: &Report) {
    for (name, line, steps, status) in DIALOGUES {
        report.check(cx, &format!("session/{name}"), || dialogue(cx, line, steps, *status).into());
    }
    report.check(cx, "session/terminate", || terminate(cx).into());
    report.check(cx, "session/end-of-input", || {
        exchange(cx, &["sh", "-c", "read x; echo $?; cat; echo end"], b"", Some(b"1\nend\n"), 0).into()
    });
    report.check(cx, "session/pipe", || {
        let big: Vec<u8> =
            (0..3_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        exchange(cx, &["cat"], &big, Some(&big), 0).into()
    });
    report.check(cx, "session/closed-pipe", || closed_pipe(cx).into());
    report.check(cx, "session/localhost", || {
        let script =
            "import socket; print(sorted({a[4][0] for a in socket.getaddrinfo('localhost', 'http')}))";
        exchange(cx, &["python3", "-c", script], b"", Some(b"['127.0.0.1', '::1']\n"), 0).into()
    });
    background::run(cx, report);
    for name in RECIPES {
        report.check(cx, &format!("session/recipe/{name}"), || recipe(cx, name));
    }
    for (name, line, status) in STATUSES {
        report.check(cx, &format!("session/status/{name}"), || exchange(cx, line, b"", None, *status).into());
    }
}

/// What ends how: as `docker run` has it, and as a shell shows signals.
const STATUSES: &[(&str, &[&str], i32)] = &[
    ("program", &["sh", "-c", "exit 7"], 7),
    ("largest", &["sh", "-c", "exit 255"], 255),
    ("tool", &["--no-such-option", "true"], 125),
    ("not-executable", &["/etc/passwd"], 126),
    ("not-found", &["no-such-program-anywhere"], 127),
    ("killed", &["sh", "-c", "kill -KILL $$"], 137),
    ("aborted", &["sh", "-c", "kill -ABRT $$"], 134),
    ("terminated", &["sh", "-c", "kill -TERM $$"], 143),
    ("real-time", &["bash", "-c", "kill -RTMIN $$"], 162),
];

/// Recipes that the tool brings along.
const RECIPES: &[&str] = &["haproxy", "lighttpd", "memcached", "nginx", "node-http", "python-http", "redis"];

/// A recipe becomes an image, where its program is installed.
fn recipe(cx: &Context, name: &str) -> Outcome {
    let image = cx.scratch().join(format!("{name}.erofs"));
    let build = || {
        let image = image.to_str().ok_or("the scratch folder has a strange name")?;
        Machine::new(cx, Duration::from_secs(120))?.tool(&["build", "-q", "-o", image, name])
    };
    let outcome = match build() {
        Ok(output) if output.status == Some(0) => Outcome::Passed,
        Ok(output) if output.status == Some(127) => Outcome::Skipped(output.tail(1)),
        Ok(output) => Outcome::Failed(format!("{}\n{}", output.status_text(), output.tail(5))),
        Err(problem) => Outcome::Failed(problem),
    };
    let _ = std::fs::remove_file(image);
    outcome
}

fn exchange(
    cx: &Context,
    line: &[&str],
    stdin: &[u8],
    stdout: Option<&[u8]>,
    status: i32,
) -> Result<(), String> {
    let line: Vec<String> = line.iter().map(ToString::to_string).collect();
    let output = Machine::new(cx, Duration::from_secs(90))?.run(&line, stdin)?;
    if output.status != Some(status) {
        return Err(format!("{} instead of {status}\n{}", output.status_text(), output.tail(5)));
    }
    match stdout {
        Some(expected) if expected != output.stdout => {
            let same = expected.iter().zip(&output.stdout).take_while(|(a, b)| a == b).count();
            let (want, got) = (expected.len(), output.stdout.len());
            Err(format!("{got} bytes came back of {want}; they part at {same}"))
        }
        _ => Ok(()),
    }
}

/// The tool as a child with pipes.
fn start(cx: &Context, line: &[&str]) -> Result<Child, String> {
    let tool = cx.target().join("release/hull");
    let mut command = Command::new(&tool);
    command.arg("run").args(line).env("HULL_ACCEL", "tcg");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().map_err(|e| format!("{}: {e}", tool.display()))
}

/// Waits for a child until a deadline, and kills it then.
fn wait(child: &mut Child, limit: Duration) -> Result<i32, String> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            use std::os::unix::process::ExitStatusExt;
            return Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(format!("no end after {} s", limit.as_secs()))
}

/// SIGTERM to the tool is SIGTERM to the program, whose handler runs and whose status is the tool's.
fn terminate(cx: &Context) -> Result<(), String> {
    let script = "trap 'echo handled; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = start(cx, &["sh", "-c", script])?;
    let mut from = child.stdout.take().ok_or("no pipe")?;
    let mut text = String::new();
    let mut byte = [0];
    while !text.contains("ready") && from.read(&mut byte).is_ok_and(|n| n == 1) {
        text.push(char::from(byte[0]));
    }
    // Unless the program said that it is ready, only the wait is left to say what happened.
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let status = wait(&mut child, Duration::from_secs(20))?;
    let _ = from.read_to_string(&mut text);
    match (status, text.as_str()) {
        (3, "ready\nhandled\n") => Ok(()),
        _ => Err(format!("status {status}, output {text:?}")),
    }
}

/// Who reads no longer ends the program: `hull run yes | head -1`.
fn closed_pipe(cx: &Context) -> Result<(), String> {
    let mut child = start(cx, &["yes"])?;
    let mut line = [0; 2];
    let read = child.stdout.take().map(|mut from| from.read_exact(&mut line));
    if !matches!(read, Some(Ok(()))) || line != *b"y\n" {
        return Err(format!("{line:?} came first"));
    }
    let status = wait(&mut child, Duration::from_secs(20))?;
    if status == 0 { Err("status 0 although the output was lost".into()) } else { Ok(()) }
}

fn dialogue(cx: &Context, line: &[&str], steps: &[Step], status: i32) -> Result<(), String> {
    Machine::new(cx, Duration::from_secs(1))?;
    let on = |system: &str, command: Command, limit| {
        play(command, steps, limit)
            .and_then(|ended| match ended {
                (ended, _) if ended == status => Ok(()),
                (ended, text) => Err(format!("status {ended} instead of {status}\n{}", shown(&text))),
            })
            .map_err(|e| format!("on {system}: {e}"))
    };
    // `setsid` gives the program the terminal as its own.
    let mut here = host_command(Path::new("setsid"));
    here.args(["--ctty", "--wait"]).args(line).current_dir("/");
    on("Linux", here, Duration::from_secs(10))?;
    let mut there = Command::new("setsid");
    there.args(["--ctty", "--wait"]).arg(cx.target().join("release/hull"));
    there.args(["run", "-it", "-e", "TERM=dumb"]).args(line).env("HULL_ACCEL", "tcg");
    on("Hull", there, Duration::from_secs(40))
}

fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text).replace('\r', "");
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(12)..].join("\n")
}

/// Plays a conversation; `limit` is for each step. Returns the status and all that was heard.
fn play(mut command: Command, steps: &[Step], limit: Duration) -> Result<(i32, Vec<u8>), String> {
    let (ours, theirs) = terminal().map_err(|e| format!("a pseudo-terminal: {e}"))?;
    let copy = || theirs.try_clone().map_err(|e| e.to_string());
    command.stdin(copy()?).stdout(copy()?).stderr(copy()?);
    let mut child = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
    drop((command, theirs));
    let mut ours = std::fs::File::from(ours);
    let (mut heard, mut from) = (Vec::new(), 0);
    for (index, step) in steps.iter().enumerate() {
        let result = match step {
            Say(text) => ours.write_all(text.as_bytes()).map_err(|e| e.to_string()),
            Hear(text) => hear(&mut ours, &mut heard, limit, |all| {
                let at = all[from..].windows(text.len()).position(|part| part == text.as_bytes())?;
                from += at + text.len();
                Some(())
            })
            .map_err(|e| format!("{text:?}: {e}")),
            Pause(millis) => {
                std::thread::sleep(Duration::from_millis(*millis));
                Ok(())
            }
            Resize(columns, rows) => size(&ours, *columns, *rows).map_err(|e| e.to_string()),
        };
        if let Err(problem) = result {
            // The terminal's end is the program's: it is hung up on.
            drop(ours);
            let _ = wait(&mut child, Duration::from_secs(5));
            return Err(format!("step {}: {problem}\n{}", index + 1, shown(&heard)));
        }
    }
    let _ = hear(&mut ours, &mut heard, limit, |_| None::<()>);
    wait(&mut child, limit).map(|status| (status, heard))
}

/// Reads until `found` has found, or nobody is there any more, or the time is over.
fn hear<T>(
    from: &mut std::fs::File,
    heard: &mut Vec<u8>,
    limit: Duration,
    mut found: impl FnMut(&[u8]) -> Option<T>,
) -> Result<T, String> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(what) = found(heard) {
            return Ok(what);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(from, PollFlags::IN)];
        match poll(&mut fds, Some(&left)) {
            Ok(0) => return Err(format!("did not come within {} s", limit.as_secs())),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.to_string()),
        }
        let mut buffer = [0; 4096];
        match from.read(&mut buffer) {
            Ok(0) => return Err("the other side has gone".into()),
            Ok(count) => heard.extend_from_slice(&buffer[..count]),
            // EIO: nobody has the other end open.
            Err(e) => return Err(format!("the other side has gone ({e})")),
        }
    }
}

/// A pseudo-terminal of 80 columns and 24 rows: our end and the program's.
fn terminal() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let theirs = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    size(&ours, 80, 24)?;
    Ok((ours, theirs))
}

fn size(terminal: impl AsFd, columns: u16, rows: u16) -> rustix::io::Result<()> {
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
}
