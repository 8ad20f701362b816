//! Every call that `COVERAGE.md` says is supported in full is used by some guest program, by its own name or by that of
//! the C library's function around it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::stage::{Context, Outcome, Report};

/// Calls that programs make under another name.
const NAMES: &[(&str, &str)] = &[
    ("clone", "pthread_create"),
    ("eventfd2", "eventfd"),
    ("exit", "pthread_exit"),
    ("exit_group", "exit"),
    ("fadvise64", "posix_fadvise"),
    ("getdents64", "readdir"),
    ("mq_getsetattr", "mq_getattr"),
    ("newfstatat", "fstatat"),
    ("pread64", "pread"),
    ("prlimit64", "prlimit"),
    ("pselect6", "pselect"),
    ("pwrite64", "pwrite"),
    ("rt_sigaction", "sigaction"),
    ("rt_sigpending", "sigpending"),
    ("rt_sigprocmask", "sigprocmask"),
    ("rt_sigqueueinfo", "sigqueue"),
    // Every handler that returns.
    ("rt_sigreturn", "sigaction"),
    ("rt_sigsuspend", "sigsuspend"),
    ("rt_sigtimedwait", "sigtimedwait"),
    ("set_robust_list", "pthread_mutexattr_setrobust"),
    // Every start of a thread.
    ("set_tid_address", "pthread_create"),
    ("signalfd4", "signalfd"),
    ("umount2", "umount"),
];

/// The check.
pub fn run(cx: &Context, report: &Report) {
    report.check(cx, "rows", || {
        let page = match std::fs::read_to_string(cx.root.join("COVERAGE.md")) {
            Ok(page) => page,
            Err(e) => return Outcome::Failed(format!("COVERAGE.md: {e}")),
        };
        let mut used = BTreeSet::new();
        collect(&cx.root.join("tests/guest"), &mut used);
        let missing: Vec<&str> = full(&page).filter(|name| !is_used(name, &used)).collect();
        match missing.as_slice() {
            [] => Outcome::Passed,
            missing => {
                Outcome::Failed(format!("said to be whole, but no guest program asks: {}", missing.join(" ")))
            }
        }
    });
}

/// The calls that the page calls full.
fn full(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter_map(|line| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (_number, name, support) = (cells.next()?, cells.next()?, cells.next()?);
        (support == "full").then_some(name)
    })
}

fn is_used(name: &str, used: &BTreeSet<String>) -> bool {
    used.contains(name) || NAMES.iter().any(|(call, function)| *call == name && used.contains(*function))
}

/// What the programs below a folder call: names before a parenthesis, and numbers by name.
fn collect(dir: &Path, used: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), used);
        } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
            calls(&text, used);
        }
    }
}

fn calls(text: &str, used: &mut BTreeSet<String>) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let number = word.strip_prefix("SYS_").or_else(|| word.strip_prefix("__NR_"));
        if let Some(name) = number.or_else(|| after.starts_with('(').then_some(word)) {
            used.insert(name.to_owned());
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_name_before_a_parenthesis_or_a_number() {
        let mut used = BTreeSet::new();
        calls("CALL(read(fd, x, 1)); syscall(SYS_tkill, write); __NR_brk", &mut used);
        let names = ["CALL", "brk", "read", "syscall", "tkill"].map(String::from);
        assert_eq!(used, BTreeSet::from(names));
        assert!(is_used("read", &used) && !is_used("write", &used));
        let page = "| number | name | support |\n|---|---|---|\n| 0 | read | full |  |\n| 9 | mmap | partial | x |\n";
        assert_eq!(full(page).collect::<Vec<_>>(), ["read"]);
    }
}
