//! Running programs with a time limit, and what they answered.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a program did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// Its status as a shell shows it: 128 and the signal where one ended it. `None` where its time ran out.
    pub status: Option<i32>,
    /// From start to end.
    pub took: Duration,
}

impl Output {
    /// Standard output and error as text.
    pub fn text(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr))
    }

    /// The last lines of standard output and error.
    pub fn tail(&self, lines: usize) -> String {
        let text = self.text();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// The status in words.
    pub fn status_text(&self) -> String {
        self.status
            .map_or_else(|| format!("no end after {} s", self.took.as_secs()), |s| format!("status {s}"))
    }
}

/// Runs a command to its end or its time limit, whichever is first; it and its children are then killed.
///
/// # Errors
/// A sentence where it cannot be started.
pub fn run(command: &mut Command, stdin: &[u8], limit: Duration) -> Result<Output, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let start = Instant::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|e| format!("{name}: {e}"))?;
    let (mut to, mut out, mut err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(move || to.take().map(|mut to| to.write_all(stdin)));
        let out = scope.spawn(move || read_all(out.take()));
        let err = scope.spawn(move || read_all(err.take()));
        let status = wait(&mut child, start + limit);
        let (stdout, stderr) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
        Ok(Output { stdout, stderr, status, took: start.elapsed() })
    })
}

fn read_all(from: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.map(|mut from| from.read_to_end(&mut bytes));
    bytes
}

fn wait(child: &mut Child, deadline: Instant) -> Option<i32> {
    let mut pause = Duration::from_micros(500);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
        }
        if Instant::now() > deadline {
            // The whole group: a tool may have started a virtual machine.
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

/// Runs a command that must end with status 0.
///
/// # Errors
/// What it said at last, where it did not.
pub fn must(command: &mut Command, limit: Duration) -> Result<Output, String> {
    let line = format!("{command:?}").replace('"', "");
    let output = run(command, b"", limit)?;
    match output.status {
        Some(0) => Ok(output),
        _ => Err(format!("{line}: {}\n{}", output.status_text(), output.tail(30))),
    }
}

/// Splits a line into words as a shell would: quotes keep spaces.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut any) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (None, '\'' | '"') => (quote, any) = (Some(c), true),
            (None, ' ') => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            _ => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Says where two outputs part: the first differing lines, ours against theirs.
pub fn difference(host: &[u8], machine: &[u8]) -> String {
    let (host, machine) = (String::from_utf8_lossy(host), String::from_utf8_lossy(machine));
    let (host, machine): (Vec<&str>, Vec<&str>) = (host.lines().collect(), machine.lines().collect());
    let mut text = String::new();
    let mut shown = 0;
    for i in 0..host.len().max(machine.len()) {
        let (h, m) = (host.get(i), machine.get(i));
        if h != m {
            shown += 1;
            if shown > 12 {
                text.push_str("...\n");
                break;
            }
            text.push_str(&format!("line {}: Linux: {}\n", i + 1, h.unwrap_or(&"(end)")));
            text.push_str(&format!("line {}: Hull:  {}\n", i + 1, m.unwrap_or(&"(end)")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_what_is_quoted() {
        assert_eq!(words("sh -c 'exit 7' \"a b\"  ''"), ["sh", "-c", "exit 7", "a b", ""]);
    }

    #[test]
    fn a_program_past_its_time_is_ended() {
        let output = run(Command::new("sleep").arg("20"), b"", Duration::from_millis(50)).unwrap();
        assert_eq!(output.status, None);
        assert!(output.took < Duration::from_secs(5));
    }

    #[test]
    fn a_signal_is_128_and_its_number() {
        let output =
            run(Command::new("sh").args(["-c", "kill -SEGV $$"]), b"", Duration::from_secs(5)).unwrap();
        assert_eq!(output.status, Some(139));
    }
}
