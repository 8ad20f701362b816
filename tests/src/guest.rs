//! Guest programs: each runs on this Linux first, which is the oracle, and in the machine second.
//!
//! A program is one file `tests/guest/FAMILY/NAME.c` or `.rs`. Comments in its first lines change how it is built
//! and run: `// build: -static` (flags for the compiler; `musl` takes musl's), `// args: one 'two words'`,
//! `// machine: --cpus 2` (options of `hull run`), `// stdin: text`, `// needs: cc FLAG` (skipped where absent).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{self, difference, must, words};
use crate::machine::{self, Machine, host_command};
use crate::stage::{Context, Outcome, Report};

/// A guest program.
struct Program {
    /// `guest/FAMILY/NAME`.
    name: String,
    source: PathBuf,
    build: Vec<String>,
    args: Vec<String>,
    machine: Vec<String>,
    stdin: String,
}

/// The stage.
pub fn run(cx: &Context, report: &Report) {
    let programs: Vec<Program> = find(&cx.root.join("tests/guest"));
    if Machine::new(cx, Duration::from_secs(60)).is_err() {
        println!("  the tool is not built: programs run on this Linux only");
    }
    for machine in machine::types(cx) {
        report.each(&programs, 2, |program| {
            report.check(cx, &machine::check_name(&program.name, machine), || check(cx, program, machine));
        });
    }
}

/// The names of all programs: `FAMILY/NAME`.
pub(crate) fn names(cx: &Context) -> Vec<String> {
    let programs = find(&cx.root.join("tests/guest"));
    programs.iter().map(|program| program.name.trim_start_matches("guest/").to_owned()).collect()
}

/// Every program, by name.
fn find(dir: &Path) -> Vec<Program> {
    let mut programs = Vec::new();
    for family in entries(dir).into_iter().filter(|path| path.is_dir()) {
        for source in entries(&family) {
            let is_program = source.extension().is_some_and(|e| e == "c" || e == "rs");
            if is_program && let Ok(text) = std::fs::read_to_string(&source) {
                programs.push(describe(source, &text));
            }
        }
    }
    programs
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.sort();
    paths
}

fn describe(source: PathBuf, text: &str) -> Program {
    let head = |key: &str| {
        text.lines().take(12).find_map(|line| line.strip_prefix(&format!("// {key}: "))).unwrap_or_default()
    };
    let part = |path: Option<&Path>| {
        path.and_then(Path::file_stem).unwrap_or_default().to_string_lossy().into_owned()
    };
    Program {
        name: format!("guest/{}/{}", part(source.parent()), part(Some(&source))),
        build: words(head("build")),
        args: words(head("args")),
        machine: words(head("machine")),
        stdin: head("stdin").replace("\\n", "\n"),
        source,
    }
}

/// Builds a program once per version of its source and flags.
fn build(cx: &Context, program: &Program) -> Result<PathBuf, String> {
    let out = cx.target().join("guest").join(program.name.trim_start_matches("guest/"));
    let mut sources = vec![program.source.clone(), cx.root.join("tests/guest/check.h")];
    let family = program.source.parent().map(entries).unwrap_or_default();
    sources.extend(family.into_iter().filter(|path| path.extension().is_some_and(|e| e == "h")));
    let changed = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    if changed(&out)
        .is_some_and(|built| sources.iter().all(|source| changed(source).is_some_and(|time| time < built)))
    {
        return Ok(out);
    }
    let dir = out.parent().unwrap_or(&cx.root);
    std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let flags = program.build.iter().filter(|flag| *flag != "musl");
    let mut command = if program.source.extension().is_some_and(|e| e == "rs") {
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-O", "-o"]);
        rustc
    } else {
        let mut cc = Command::new(if program.build.iter().any(|f| f == "musl") { "musl-gcc" } else { "gcc" });
        cc.args(["-O1", "-g", "-w", "-pthread", "-o"]);
        cc
    };
    command.arg(&out).arg(&program.source).args(flags);
    if program.source.extension().is_some_and(|e| e == "c") {
        command.arg("-I").arg(cx.root.join("tests/guest")).args(["-lm", "-lrt"]);
    }
    must(&mut command, Duration::from_secs(120))?;
    Ok(out)
}

fn check(cx: &Context, program: &Program, kind: &str) -> Outcome {
    let path = match build(cx, program) {
        Ok(path) => path,
        Err(problem) if problem.contains("No such file") && program.build.iter().any(|f| f == "musl") => {
            return Outcome::Skipped("musl-gcc is not installed".into());
        }
        Err(problem) => return Outcome::Failed(problem),
    };
    // In memory on both sides: file systems on disk differ in what directories weigh and which times they keep.
    let mut here = host_command(&path);
    here.args(&program.args).env("SCRATCH", "/dev/shm").current_dir("/");
    let limit = Duration::from_secs(30);
    let host = match command::run(&mut here, program.stdin.as_bytes(), limit) {
        Ok(output) if output.status.is_some() => output,
        Ok(output) => {
            return Outcome::Failed(format!("on Linux: {}\n{}", output.status_text(), output.tail(10)));
        }
        Err(problem) => return Outcome::Failed(problem),
    };
    let machine = match Machine::new(cx, Duration::from_secs(60)) {
        Ok(machine) => {
            machine.options(["-e", "SCRATCH=/tmp", "--machine", kind]).options(program.machine.clone())
        }
        Err(problem) => return Outcome::Skipped(format!("{problem}; on Linux: {}", host.status_text())),
    };
    let mut line = vec![path.to_string_lossy().into_owned()];
    line.extend(program.args.iter().cloned());
    match machine.run(&line, program.stdin.as_bytes()) {
        Ok(guest) if guest.stdout == host.stdout && guest.status == host.status => Outcome::Passed,
        Ok(guest) => {
            let mut text = difference(&host.stdout, &guest.stdout);
            if guest.status != host.status {
                text.push_str(&format!("Linux: {}, Hull: {}\n", host.status_text(), guest.status_text()));
            }
            let said = String::from_utf8_lossy(&guest.stderr);
            text.push_str(&said.lines().take(15).collect::<Vec<_>>().join("\n"));
            Outcome::Failed(text)
        }
        Err(problem) => Outcome::Failed(problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_how_it_is_built_and_run() {
        let text =
            "// build: -static musl\n// args: a 'b c'\n// machine: --cpus 2\n// stdin: x\\ny\nint main;\n";
        let program = describe(PathBuf::from("tests/guest/io/read.c"), text);
        assert_eq!(program.name, "guest/io/read");
        assert_eq!(program.build, ["-static", "musl"]);
        assert_eq!(program.args, ["a", "b c"]);
        assert_eq!(program.machine, ["--cpus", "2"]);
        assert_eq!(program.stdin, "x\ny");
    }
}
