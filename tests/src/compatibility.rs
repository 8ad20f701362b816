//! `COMPATIBILITY.md`: what ran, on which machine type, and whether it answered as Linux does.
//!
//! The page is made from the outcomes of checks, never by hand. A run that leaves something out (another machine type,
//! a suite) keeps what the page says about it from the run before; what no longer exists disappears.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::machine::TYPES;
use crate::stage::{Context, Outcome, Report};
use crate::{apps, guest, servers, suites};

/// A table of the page.
struct Section {
    /// What the names of its checks start with.
    stage: &'static str,
    title: &'static str,
    about: &'static str,
    /// The head of the second column.
    what: &'static str,
    /// The word for a check that passed.
    good: &'static str,
}

const SECTIONS: &[Section] = &[
    Section {
        stage: "guest",
        title: "Guest programs",
        about: "Each calls a family of system calls, right and wrong, and prints what it got: here and on Linux.",
        what: "family",
        good: "equal",
    },
    Section {
        stage: "apps",
        title: "Applications",
        about: "Debian's programs, unmodified: output and status are those of Linux.",
        what: "command",
        good: "works",
    },
    Section {
        stage: "servers",
        title: "Servers",
        about: "Servers in the machine, clients on the host: answers and status are those of the same server on Linux.",
        what: "command",
        good: "works",
    },
    Section {
        stage: "suites",
        title: "Suites",
        about: "Tests of other projects from Debian's packages, run by `./hull test full` on the default machine type.",
        what: "what runs",
        good: "passes",
    },
];

/// What the page says about a check on each machine type; empty where it never ran.
type Cells = [String; 3];
/// The cells by section and name.
type Page = BTreeMap<(String, String), Cells>;

/// The check.
pub fn run(cx: &Context, report: &Report) {
    let seen = report.seen();
    let any =
        seen.iter().any(|(name, _)| SECTIONS.iter().any(|s| name.starts_with(&format!("{}/", s.stage))));
    if !any || !(cx.updates() || cx.complete()) {
        return;
    }
    let path = cx.root.join("COMPATIBILITY.md");
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let mut page = read(&old);
    for (name, passed) in &seen {
        note(&mut page, name, *passed);
    }
    let rows: Vec<Vec<(String, String)>> = vec![
        guest::names(cx)
            .into_iter()
            .map(|name| (name.clone(), name.split('/').next().unwrap_or_default().to_owned()))
            .collect(),
        apps::lines(),
        servers::lines(),
        suites::lines(),
    ];
    let new = write(&page, &rows);
    let verdict = || match cx.updates() {
        true => std::fs::write(&path, &new).map_err(|e| format!("{}: {e}", path.display())).into(),
        false if old == new => Outcome::Passed,
        false => Outcome::Failed(format!(
            "COMPATIBILITY.md does not say what just ran; HULL_UPDATE=1 ./hull test writes it\n{}",
            changed(&old, &new)
        )),
    };
    report.check_always("compatibility", verdict);
}

fn section(name: &str) -> Option<(&'static Section, &str)> {
    let (stage, rest) = name.split_once('/')?;
    SECTIONS.iter().find(|section| section.stage == stage).map(|section| (section, rest))
}

/// Takes down what became of a check: `STAGE/NAME` or `STAGE/NAME@MACHINE`.
fn note(page: &mut Page, check: &str, passed: bool) {
    let Some((section, name)) = section(check) else { return };
    let (name, machine) = match name.rsplit_once('@') {
        Some((name, machine)) if TYPES.contains(&machine) => (name, machine),
        _ => (name, TYPES[0]),
    };
    let cells = page.entry((section.stage.to_owned(), name.to_owned())).or_default();
    for (cell, kind) in cells.iter_mut().zip(TYPES) {
        if *kind == machine {
            *cell = if passed { section.good } else { "**differs**" }.to_owned();
        }
    }
}

/// Reads a page as [`write`] writes it.
fn read(text: &str) -> Page {
    let mut page = Page::new();
    let mut stage = None;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            stage = SECTIONS.iter().find(|section| section.title == title).map(|section| section.stage);
        }
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        if let (Some(stage), Some((name, rest))) = (stage, cells.split_first())
            && let Some(name) = name.strip_prefix('`')
            && rest.len() > TYPES.len()
        {
            let last = &rest[rest.len() - TYPES.len()..];
            let cells = std::array::from_fn(|i| last[i].to_owned());
            page.insert((stage.to_owned(), name.trim_end_matches('`').to_owned()), cells);
        }
    }
    page
}

/// Writes the page: the rows of each section with what is known about them.
fn write(page: &Page, rows: &[Vec<(String, String)>]) -> String {
    let mut text = "\
# What runs

Generated from what ran by `HULL_UPDATE=1 ./hull test` (`./hull test full` for every machine type and the suites);
do not edit. An empty cell has not been run. The system calls themselves are in [COVERAGE.md](COVERAGE.md).
"
    .to_owned();
    for (section, rows) in SECTIONS.iter().zip(rows) {
        let known: Vec<(&(String, String), &Cells)> = rows
            .iter()
            .filter_map(|row| Some((row, page.get(&(section.stage.to_owned(), row.0.clone()))?)))
            .collect();
        if known.is_empty() {
            continue;
        }
        let _ = write!(text, "\n## {}\n\n{}\n\n", section.title, section.about);
        for (index, kind) in TYPES.iter().enumerate() {
            let ran = known.iter().filter(|(_, cells)| !cells[index].is_empty());
            let good = ran.clone().filter(|(_, cells)| cells[index] == section.good);
            if ran.clone().count() > 0 {
                let _ = writeln!(text, "- {kind}: {} of {} {}", good.count(), ran.count(), section.good);
            }
        }
        let _ = writeln!(text, "\n| name | {} | {} |", section.what, TYPES.join(" | "));
        let _ = writeln!(text, "|---|---|{}", "---|".repeat(TYPES.len()));
        for ((name, what), cells) in known {
            let what = what.replace('|', "\\|");
            let what = if section.what == "family" { what } else { format!("`{what}`") };
            let _ = writeln!(text, "| `{name}` | {what} | {} |", cells.join(" | "));
        }
    }
    text
}

/// The first lines that differ.
fn changed(old: &str, new: &str) -> String {
    let old: std::collections::BTreeSet<&str> = old.lines().collect();
    let fresh: Vec<&str> = new.lines().filter(|line| !old.contains(line)).take(12).collect();
    if fresh.is_empty() { "lines are gone".into() } else { fresh.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_what_did_not_run_again() {
        let rows = vec![
            vec![("io/read".to_owned(), "io".to_owned()), ("io/write".to_owned(), "io".to_owned())],
            vec![("sh/pipe".to_owned(), "sh -c 'a | b'".to_owned())],
            Vec::new(),
        ];
        let mut page = Page::new();
        note(&mut page, "guest/io/read@q35", true);
        note(&mut page, "guest/io/write", false);
        note(&mut page, "apps/sh/pipe@pc", true);
        note(&mut page, "fmt", true);
        let text = write(&page, &rows);
        assert_eq!(read(&text), page);
        assert!(text.contains("| `io/read` | io |  | equal |  |"), "{text}");
        assert!(text.contains("| `sh/pipe` | `sh -c 'a \\| b'` |  |  | works |"), "{text}");
        let mut again = read(&text);
        note(&mut again, "guest/io/read", true);
        assert!(write(&again, &rows).contains("| `io/read` | io | equal | equal |  |"));
        assert!(!write(&again, &[Vec::new(), Vec::new(), Vec::new()]).contains("io/read"));
    }
}
