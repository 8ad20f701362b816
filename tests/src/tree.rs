//! Rules on the files of the project that no compiler checks.

use std::path::{Path, PathBuf};

use crate::stage::{Context, Outcome, Report};

/// Crates that may hold unsafe code.
const UNSAFE: &[&str] = &["kernel/", "libc-shim/"];
/// Where code may depend on the processor.
const ARCHITECTURE: &[&str] = &["kernel/src/arch/mod.rs", "kernel/src/main.rs", "syscall/abi/src/nr.rs"];
/// Most lines of a source file.
const LINES: usize = 600;

/// The check.
pub fn run(cx: &Context, report: &Report) {
    let mut files = Vec::new();
    collect(&cx.root, &cx.root, &mut files);
    report.check(cx, "tree/unsafe", || verdict(&cx.root, &files, unsafe_code));
    report.check(cx, "tree/size", || verdict(&cx.root, &files, too_long));
    report.check(cx, "tree/architecture", || verdict(&cx.root, &files, architecture));
    report.check(cx, "tree/words", || verdict(&cx.root, &files, words));
}

/// Files of the project, without what is built and what git keeps.
fn collect(root: &Path, dir: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_some_and(|n| n == ".git" || n == "target" || n == "Cargo.lock");
        if hidden || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, files);
        } else if let Ok(relative) = path.strip_prefix(root) {
            files.push(relative.to_path_buf());
        }
    }
}

fn verdict(root: &Path, files: &[PathBuf], rule: fn(&str, &str) -> Option<String>) -> Outcome {
    let problems: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let text = std::fs::read_to_string(root.join(file)).ok()?;
            let name = file.to_str()?;
            rule(name, &text).map(|problem| format!("{name}: {problem}"))
        })
        .collect();
    if problems.is_empty() { Outcome::Passed } else { Outcome::Failed(problems.join("\n")) }
}

fn is_rust(name: &str) -> bool {
    name.ends_with(".rs")
}

/// Pure crates forbid unsafe code at their root; nobody else allows it.
fn unsafe_code(name: &str, text: &str) -> Option<String> {
    if !is_rust(name)
        || UNSAFE.iter().any(|allowed| name.starts_with(allowed))
        || name.starts_with("tests/guest/")
    {
        return None;
    }
    let root = matches!(
        name,
        "vfs/src/lib.rs"
            | "net/src/lib.rs"
            | "loader/src/lib.rs"
            | "syscall/src/lib.rs"
            | "syscall/abi/src/lib.rs"
    );
    if root && !text.contains("#![forbid(unsafe_code)]") {
        return Some("the crate does not forbid unsafe code".into());
    }
    let allows = concat!("allow(", "unsafe_code");
    text.contains(allows).then(|| "allows unsafe code outside the crates that may hold it".into())
}

fn too_long(name: &str, text: &str) -> Option<String> {
    let source = is_rust(name) || name.ends_with(".S") || name.ends_with(".c");
    let lines = text.lines().count();
    (source && lines > LINES).then(|| format!("{lines} lines; split it at {LINES} by subject"))
}

fn architecture(name: &str, text: &str) -> Option<String> {
    let depends = concat!("target_", "arch");
    (is_rust(name) && !ARCHITECTURE.contains(&name) && text.contains(depends))
        .then(|| "depends on the processor outside the places for that".into())
}

/// Paths that exist on one machine only, and notes without an issue's number.
fn words(name: &str, text: &str) -> Option<String> {
    let paths = [concat!("/wo", "rk/"), concat!("/home", "/"), concat!("/root", "/.cargo")];
    if let Some(path) = paths.iter().find(|path| text.contains(**path))
        && !name.starts_with("tests/guest/")
    {
        return Some(format!("names {path}, which exists on one machine only"));
    }
    let note = concat!("TO", "DO");
    text.lines()
        .find(|line| line.contains(note) && !line.contains("#"))
        .map(|line| format!("a note without an issue's number: {}", line.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_see_what_breaks_them() {
        let allow = concat!("#[allow(", "unsafe_code)]");
        assert!(unsafe_code("vfs/src/node.rs", allow).is_some());
        assert!(unsafe_code("kernel/src/main.rs", allow).is_none());
        assert!(too_long("a.rs", &"x\n".repeat(601)).is_some());
        assert!(too_long("a.rs", &"x\n".repeat(600)).is_none());
        assert!(architecture("vfs/src/lib.rs", concat!("cfg(target_", "arch = \"x\")")).is_some());
    }
}
