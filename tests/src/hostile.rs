//! Damaged input and wrong usage: a clear message and a status that is not 0, never a panic, never a hang.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::Output;
use crate::machine::Machine;
use crate::stage::{Context, Outcome, Report};

/// What must appear nowhere: the marks of a program that lost control.
const PANICS: &[&str] =
    &["panicked at", "RUST_BACKTRACE", "stack backtrace", "Hull panic", "kernel panic", "internal error"];

/// A wrong command line and a word that its message must hold.
const USAGE: &[(&str, &[&str], &str)] = &[
    ("unknown-option", &["run", "--no-such-option", "true"], "no-such-option"),
    ("unknown-command", &["fly"], "fly"),
    ("missing-program", &["run", "/no/such/program"], "/no/such/program"),
    ("missing-name", &["run", "no-such-program-anywhere"], "no-such-program-anywhere"),
    ("nothing-to-run", &["run"], "PROGRAM"),
    ("a-folder", &["run", "/etc"], "/etc"),
    ("a-text-file", &["run", "/etc/passwd"], "/etc/passwd"),
    ("bad-memory", &["run", "-m", "lots", "true"], "lots"),
    ("no-memory", &["run", "-m", "1M", "/bin/true"], "memory"),
    ("no-cpus", &["run", "--cpus", "0", "true"], "0"),
    ("unknown-machine", &["run", "--machine", "toaster", "true"], "toaster"),
    ("missing-include", &["run", "--include", "/no/such/file", "true"], "/no/such/file"),
    ("relative-folder", &["run", "-w", "not/absolute", "true"], "not/absolute"),
    ("missing-user", &["run", "-u", "nobody-of-that-name", "true"], "nobody-of-that-name"),
    ("missing-package", &["run", "--package", "no-such-package", "true"], "no-such-package"),
    ("inspect-missing", &["inspect", "/no/such/image"], "/no/such/image"),
    ("ls-not-an-image", &["ls", "/etc/passwd"], "/etc/passwd"),
];

/// The stage.
pub fn run(cx: &Context, report: &Report) {
    for (name, args, word) in USAGE {
        report.check(cx, &format!("hostile/usage/{name}"), || {
            refused(cx, args, Some(word)).map_or_else(|outcome| outcome, |()| Outcome::Passed)
        });
    }
    let names = ["truncated", "flipped", "zeroed"];
    for name in names {
        report.check(cx, &format!("hostile/elf/{name}"), || elves(cx, name));
    }
    for name in names {
        report.check(cx, &format!("hostile/image/{name}"), || images(cx, name));
    }
    report.check(cx, "hostile/memory", || memory(cx));
}

fn machine(cx: &Context) -> Result<Machine, Outcome> {
    Machine::new(cx, Duration::from_secs(60)).map_err(Outcome::Skipped)
}

/// Nothing that a user must not see: a panic, or no end at all.
fn sane(output: &Output) -> Result<(), Outcome> {
    let text = output.text();
    if let Some(mark) = PANICS.iter().find(|mark| text.contains(**mark)) {
        return Err(Outcome::Failed(format!("{mark} in the output:\n{}", output.tail(20))));
    }
    match output.status {
        None => Err(Outcome::Failed(format!("{}:\n{}", output.status_text(), output.tail(20)))),
        Some(_) => Ok(()),
    }
}

fn refused(cx: &Context, args: &[&str], word: Option<&str>) -> Result<(), Outcome> {
    let output = machine(cx)?.tool(args).map_err(Outcome::Failed)?;
    sane(&output)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status == Some(0) {
        return Err(Outcome::Failed(format!("{args:?} was accepted:\n{}", output.tail(10))));
    }
    match word {
        Some(word) if !said.contains(word) => Err(Outcome::Failed(format!("no word of {word}:\n{said}"))),
        _ if said.trim().is_empty() => Err(Outcome::Failed("no message".into())),
        _ => Ok(()),
    }
}

/// Damages a file in a way that `round` chooses.
fn damage(bytes: &[u8], kind: &str, round: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let len = bytes.len().max(1);
    match kind {
        "truncated" => {
            bytes.truncate([0, 3, 16, 63, 64, 100, 4095, 4096, 5000, len / 2, len - 1][round % 11].min(len))
        }
        "flipped" => {
            // The headers are where damage is interesting; the step is odd, so each round hits other places.
            for i in 0..3 {
                let at = (round * 7 + i * 41 + round * round * 3) % 1200 % len;
                bytes[at] ^= 1 << ((round + i) % 8);
            }
        }
        _ => {
            let from = round * 24 % 600;
            bytes.iter_mut().skip(from).take(24).for_each(|byte| *byte = 0);
        }
    }
    bytes
}

fn rounds(cx: &Context) -> usize {
    if cx.full { 60 } else { 8 }
}

/// Runs each damaged file: whatever it does, the tool and the kernel keep their heads.
fn each(
    cx: &Context,
    kind: &str,
    original: &Path,
    run: impl Fn(&Path) -> Result<Output, Outcome>,
) -> Outcome {
    let Ok(bytes) = std::fs::read(original) else {
        return Outcome::Skipped(format!("{} cannot be read", original.display()));
    };
    for round in 0..rounds(cx) {
        let path = cx.scratch().join(format!("{kind}-{round}"));
        let made = std::fs::write(&path, damage(&bytes, kind, round)).and_then(|()| {
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        });
        if let Err(e) = made {
            return Outcome::Failed(e.to_string());
        }
        let seen = run(&path).and_then(|output| {
            sane(&output)?;
            let silent = output.status != Some(0) && output.text().trim().is_empty();
            if silent { Err(Outcome::Failed("it failed without a word".into())) } else { Ok(()) }
        });
        match seen {
            Err(Outcome::Failed(why)) => return Outcome::Failed(format!("round {round}: {why}")),
            Err(other) => return other,
            Ok(()) => {}
        }
        let _ = std::fs::remove_file(&path);
    }
    Outcome::Passed
}

fn elves(cx: &Context, kind: &str) -> Outcome {
    each(cx, kind, Path::new("/bin/true"), |path| {
        machine(cx)?.run(&[path.to_string_lossy().into_owned()], b"").map_err(Outcome::Failed)
    })
}

fn images(cx: &Context, kind: &str) -> Outcome {
    let image: PathBuf = cx.scratch().join(format!("{kind}.hull"));
    let name = image.to_string_lossy().into_owned();
    let built = match machine(cx) {
        Ok(machine) => machine.tool(&["build", "-o", &name, "/bin/true"]),
        Err(outcome) => return outcome,
    };
    match built {
        Ok(output) if output.status == Some(0) => {}
        Ok(output) => return Outcome::Failed(format!("the image was not built:\n{}", output.tail(10))),
        Err(problem) => return Outcome::Failed(problem),
    }
    each(cx, kind, &image, |path| {
        machine(cx)?.run(&[path.to_string_lossy().into_owned()], b"").map_err(Outcome::Failed)
    })
}

/// Too little memory for the program: it ends with a report, at every size.
fn memory(cx: &Context) -> Outcome {
    for size in ["2M", "4M", "6M", "8M", "12M", "16M", "24M"] {
        let ran = machine(cx).and_then(|machine| {
            let line = ["python3", "-c", "b = bytearray(64 << 20); print(len(b))"].map(String::from);
            machine.options(["-m", size]).run(&line, b"").map_err(Outcome::Failed)
        });
        match ran.and_then(|output| sane(&output).map(|()| output)) {
            Ok(output) if output.status == Some(0) => {
                return Outcome::Failed(format!("64 MB fitted into {size}: {}", output.tail(3)));
            }
            Ok(output) if output.text().trim().is_empty() => {
                return Outcome::Failed(format!("nothing was said at {size}"));
            }
            Ok(_) => {}
            Err(outcome) => return outcome,
        }
    }
    Outcome::Passed
}
