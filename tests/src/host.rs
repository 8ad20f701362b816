//! The checks that need no machine: cargo's own, and the generated pages.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::command::must;
use crate::stage::{Context, Outcome, Report};

/// The crates that only the bare target can build.
const BARE: &[&str] = &["-p", "kernel", "-p", "libc-shim", "--target", "x86_64-unknown-none"];

/// The crates that must build without a standard library.
const PURE: &[&str] = &["-p", "abi", "-p", "hal", "-p", "vfs", "-p", "net", "-p", "loader", "-p", "syscall"];

fn cargo(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(args).env("CARGO_TERM_COLOR", "never");
    command
}

fn passes(root: &Path, args: &[&str], seconds: u64) -> Outcome {
    must(&mut cargo(root, args), Duration::from_secs(seconds)).map(|_| ()).into()
}

/// Formatting.
pub fn fmt(cx: &Context, report: &Report) {
    report.check(cx, "fmt", || passes(&cx.root, &["fmt", "--all", "--check"], 120));
}

/// Lints on the host and on the bare target.
pub fn clippy(cx: &Context, report: &Report) {
    let deny = ["--", "-D", "warnings"];
    report.check(cx, "clippy/host", || {
        passes(&cx.root, &[&["clippy", "-q", "--all-targets"], &deny[..]].concat(), 1800)
    });
    report
        .check(cx, "clippy/bare", || passes(&cx.root, &[&["clippy", "-q"], BARE, &deny[..]].concat(), 1800));
    report.check(cx, "clippy/pure", || {
        passes(&cx.root, &[&["check", "-q", "--target", "x86_64-unknown-none"], PURE].concat(), 1800)
    });
}

/// Tests on the host.
pub fn unit(cx: &Context, report: &Report) {
    report.check(cx, "unit", || passes(&cx.root, &["test", "-q", "--no-fail-fast"], 3600));
}

/// Documentation.
pub fn docs(cx: &Context, report: &Report) {
    report.check(cx, "docs", || {
        let mut command = cargo(&cx.root, &["doc", "-q", "--no-deps"]);
        must(
            command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"),
            Duration::from_secs(1800),
        )
        .map(|_| ())
        .into()
    });
}

/// The pages that are made from what the code says: the test that makes them also compares them.
pub fn coverage(cx: &Context, report: &Report) {
    report.check(cx, "coverage", || {
        let page = cx.root.join("COVERAGE.md");
        if !page.is_file() {
            return Outcome::Failed("COVERAGE.md is missing".into());
        }
        passes(&cx.root, &["test", "-q", "-p", "syscall", "coverage"], 1800)
    });
}

/// Random input: the tests named `fuzz` are ignored by a plain run and take their time from the environment.
pub fn fuzz(cx: &Context, report: &Report) {
    for name in ["loader", "images", "vfs", "net", "syscall"] {
        report.check(cx, &format!("fuzz/{name}"), || {
            let seconds = if cx.full { "120" } else { "5" };
            let args = ["test", "-q", "--release", "-p", name, "fuzz", "--", "--ignored"];
            let mut command = cargo(&cx.root, &args);
            match must(command.env("HULL_FUZZ_SECONDS", seconds), Duration::from_secs(3600)) {
                Ok(output) if !ran_any(&output.text()) => Outcome::Failed("no test is named fuzz".into()),
                other => other.map(|_| ()).into(),
            }
        });
    }
}

/// Whether a test run reports any passed test.
fn ran_any(text: &str) -> bool {
    text.lines()
        .filter_map(|line| line.split_once("ok. ")?.1.split_once(" passed"))
        .any(|(count, _)| count.parse().is_ok_and(|count: usize| count > 0))
}
