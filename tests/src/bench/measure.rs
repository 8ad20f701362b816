//! Taking times, memory and the smallest value that works.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One start of a machine.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// From start to the line that was waited for.
    pub(super) first: Duration,
    /// From start to end.
    pub(super) whole: Duration,
    /// Most memory that the emulator's process held.
    pub(super) memory_mb: f64,
    /// The line.
    pub(super) line: String,
    pub(super) status: Option<i32>,
}

/// Starts a command and waits for a line that starts with `word`, then for the end.
///
/// # Errors
/// A sentence, where it does not start, or ends or runs out of time without the line.
pub(super) fn first_line(command: &mut Command, word: &str, limit: Duration) -> Result<Run, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let start = Instant::now();
    let mut child = command.spawn().map_err(|e| format!("{name}: {e}"))?;
    let id = child.id();
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Ends what runs too long, and looks at the memory meanwhile.
        let watcher = scope.spawn(|| {
            let mut most = 0.0_f64;
            while !over.load(Ordering::Relaxed) {
                most = most.max(emulator_memory(id));
                if start.elapsed() > limit {
                    let group = format!("-{id}");
                    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            most
        });
        let errors = scope.spawn(move || {
            let mut text = String::new();
            let _ = err.map(|mut err| err.read_to_string(&mut text));
            text
        });
        let mut found = None;
        let mut seen = String::new();
        for line in out.map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
            if found.is_none() && line.starts_with(word) {
                found = Some((start.elapsed(), line));
            } else {
                seen.push_str(&line);
                seen.push('\n');
            }
        }
        let status = child.wait().ok().and_then(|status| status.code());
        let whole = start.elapsed();
        over.store(true, Ordering::Relaxed);
        let memory_mb = watcher.join().unwrap_or(f64::NAN);
        let errors = errors.join().unwrap_or_default();
        let (first, line) = found.ok_or_else(|| format!("{name}: no line {word:?}\n{seen}{errors}"))?;
        Ok(Run { first, whole, memory_mb, line, status })
    })
}

/// The peak memory of the emulator among a process and its children, in MB.
fn emulator_memory(id: u32) -> f64 {
    let mut most = 0.0_f64;
    let mut queue = vec![id];
    while let Some(id) = queue.pop() {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
        if read("comm").starts_with("qemu-system") {
            let status = read("status");
            let peak = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
            most = most.max(peak.unwrap_or(0.0) / 1024.0);
        }
        for thread in std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            queue.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    most
}

/// The middle one of several figures.
pub(super) fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The smallest number from `low` to `high` that works, if all above it do; 0 where none does.
pub(super) fn smallest(low: u32, high: u32, works: impl Fn(u32) -> bool) -> u32 {
    if !works(high) {
        return 0;
    }
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = low.midpoint(high);
        if works(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_that_works_is_found() {
        assert_eq!(smallest(2, 64, |n| n >= 11), 11);
        assert_eq!(smallest(2, 64, |_| true), 2);
        assert_eq!(smallest(2, 64, |_| false), 0);
    }

    #[test]
    fn the_middle_is_the_median() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_line_is_timed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo other; echo hello 5; sleep 0.1; exit 3"]);
        let run = first_line(&mut command, "hello", Duration::from_secs(10)).unwrap();
        assert_eq!((run.line.as_str(), run.status), ("hello 5", Some(3)));
        assert!(run.whole >= Duration::from_millis(100) && run.first < run.whole);
    }
}
