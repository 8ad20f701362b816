//! Other projects' tests, from Debian's packages, in the machine: only in a full run, for they take long.
//!
//! Each line of `suites.list` runs here first; where it passes here it must pass there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::{self, words};
use crate::machine::{Machine, host_command};
use crate::stage::{Context, Outcome, Report};

/// A line of the list: `NAME [OPTIONS]: COMMAND`.
struct Suite {
    name: String,
    options: Vec<String>,
    command: Vec<String>,
}

/// The stage.
pub fn run(cx: &Context, report: &Report) {
    if !cx.full {
        return;
    }
    let suites: Vec<Suite> = include_str!("../suites.list").lines().filter_map(parse).collect();
    report.each(&suites, 2, |suite| {
        report.check(cx, &format!("suites/{}", suite.name), || check(cx, suite));
    });
}

/// The names of all lines, and their commands.
pub(crate) fn lines() -> Vec<(String, String)> {
    let suites = include_str!("../suites.list").lines().filter_map(parse);
    suites.map(|suite| (suite.name, suite.command.join(" "))).collect()
}

fn parse(line: &str) -> Option<Suite> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (head, command) = line.split_once(": ")?;
    let (name, options) = head.split_once(" [").map_or((head, ""), |(n, o)| (n, o.trim_end_matches(']')));
    Some(Suite { name: name.to_owned(), options: words(options), command: words(command) })
}

fn check(cx: &Context, suite: &Suite) -> Outcome {
    let Some((program, args)) = suite.command.split_first() else {
        return Outcome::Failed("no command".into());
    };
    let path = ["", "/usr/bin/", "/bin/"].map(|dir| PathBuf::from(format!("{dir}{program}")));
    let Some(path) = path.iter().find(|path| path.is_file()) else {
        return Outcome::Skipped(format!("{program} is not installed"));
    };
    // A folder each: several run at once, and some leave files.
    let dir = cx.scratch().join(&suite.name);
    if let Err(e) = std::fs::create_dir_all(&dir) {
        return Outcome::Failed(format!("{}: {e}", dir.display()));
    }
    let limit = Duration::from_secs(300);
    let mut here = host_command(path);
    match command::run(here.args(args).current_dir(&dir), b"", limit) {
        Ok(output) if output.status == Some(0) => {}
        Ok(output) => {
            return Outcome::Skipped(format!("on Linux: {}: {}", output.status_text(), output.tail(1)));
        }
        Err(problem) => return Outcome::Failed(problem),
    }
    verdict(cx, suite, path)
}

fn verdict(cx: &Context, suite: &Suite, path: &Path) -> Outcome {
    let machine = match Machine::new(cx, Duration::from_secs(900)) {
        Ok(machine) => machine.options(["-m", "1G", "-w", "/tmp"]).options(suite.options.clone()),
        Err(problem) => return Outcome::Skipped(problem),
    };
    let mut line = suite.command.clone();
    line[0] = path.to_string_lossy().into_owned();
    match machine.run(&line, b"") {
        Ok(output) if output.status == Some(0) => Outcome::Passed,
        Ok(output) => {
            // Which tests, as Python's and stress-ng's runners say it.
            let text = output.text();
            let marks = ["ERROR: ", "FAIL: ", "fail:", "hull: "];
            let named = text.lines().filter(|line| marks.iter().any(|mark| line.contains(mark)));
            let named: Vec<&str> = named.take(30).collect();
            Outcome::Failed(format!("{}\n{}\n{}", output.status_text(), named.join("\n"), output.tail(8)))
        }
        Err(problem) => Outcome::Failed(problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_suite() {
        let text = include_str!("../suites.list");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        let mut names: Vec<String> = lines_of(text);
        assert_eq!(names.len(), lines);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), lines);
    }

    fn lines_of(text: &str) -> Vec<String> {
        text.lines().filter_map(parse).map(|suite| suite.name).collect()
    }
}
