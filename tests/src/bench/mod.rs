//! The benchmark: Hull against a Linux guest on the same emulator, machine type, memory and processor model, in turn.
//!
//! Wall times on a shared machine are noisy, so each is the median of several runs; the instruction counts come from
//! `-icount shift=0`, where the guest's clock counts instructions, and repeat to one part in thousands.

pub mod linux;
mod measure;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::must;
use crate::stage::Context;
use linux::ICOUNT_KHZ;
use measure::{Run, first_line, median, smallest};
use table::Table;

/// Memory of both guests, in MB.
const MEMORY: u32 = 512;
/// Boots of each guest, in turn.
const BOOTS: usize = 5;
/// Runs of the operations of each guest.
const ROUNDS: usize = 3;

/// What both sides run.
struct Bench {
    tool: PathBuf,
    kernel: PathBuf,
    /// Frequency of the host's time stamp counter.
    khz: u64,
    dir: PathBuf,
}

impl Bench {
    /// Hull with a program, as a user would start it.
    fn hull(&self, program: &Path, memory: u32, icount: bool, args: &[&str]) -> Command {
        let mut command = Command::new(&self.tool);
        command.env("HULL_ACCEL", "tcg").args(["run", "-q", "-w", "/tmp", "-m", &format!("{memory}M")]);
        if icount {
            command.args(["--qemu-arg=-icount", "--qemu-arg=shift=0"]);
        }
        command.arg(program).args(args);
        command
    }

    /// The Linux guest with the same program as its first.
    fn linux(&self, program: &Path, memory: u32, icount: bool, args: &[&str]) -> Result<Command, String> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ramdisk = self.dir.join(format!("{name}.cpio"));
        if !ramdisk.is_file() {
            linux::ramdisk(program, &ramdisk)?;
        }
        let khz = if icount { ICOUNT_KHZ } else { self.khz };
        Ok(linux::command(&self.kernel, &ramdisk, memory, khz, &args.join(" ")))
    }
}

/// Builds a program of `tests/bench`.
fn build(cx: &Context, dir: &Path, source: &str, name: &str, flags: &[&str]) -> Result<PathBuf, String> {
    let out = dir.join(name);
    let mut command = Command::new("gcc");
    command
        .args(["-O2", "-pthread", "-o"])
        .arg(&out)
        .arg(cx.root.join("tests/bench").join(source))
        .args(flags);
    must(&mut command, Duration::from_secs(120))?;
    Ok(out)
}

/// Runs it all and prints the table.
///
/// # Errors
/// A sentence, where something that is needed is missing.
pub fn run(cx: &Context) -> Result<(), String> {
    let tool = cx.target().join("release/hull");
    if !tool.is_file() {
        return Err(format!("{} is not built", tool.display()));
    }
    let dir = cx.target().join("bench");
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    for old in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
        if old.path().extension().is_some_and(|e| e == "cpio") {
            let _ = std::fs::remove_file(old.path());
        }
    }
    let fixed = build(cx, &dir, "hello.c", "hello-static", &["-static"])?;
    let dynamic = build(cx, &dir, "hello.c", "hello-dynamic", &[])?;
    let micro = build(cx, &dir, "micro.c", "micro", &["-static"])?;
    eprintln!("fetching and unpacking the Linux guest's kernel");
    let kernel = linux::kernel(cx)?;
    let host = operations(Command::new(&micro).arg("5").current_dir(cx.scratch()))?;
    let bench = Bench { tool, kernel, khz: frequency(&host), dir };
    let mut table = Table::new();
    if cx.wants("boot") {
        for (program, name) in [(&fixed, "static hello"), (&dynamic, "dynamic hello")] {
            boot(&bench, program, name, &mut table)?;
        }
    }
    if cx.wants("memory") {
        memory(&bench, &dynamic, &mut table)?;
    }
    if cx.wants("size") {
        sizes(cx, &bench, &mut table);
    }
    if cx.wants("micro") {
        micro_wall(&bench, &micro, &host, &mut table)?;
    }
    if cx.wants("icount") {
        micro_count(&bench, &micro, &mut table)?;
    }
    table.print();
    Ok(())
}

fn boot(bench: &Bench, program: &Path, name: &str, table: &mut Table) -> Result<(), String> {
    let limit = Duration::from_secs(60);
    let (mut ours, mut theirs): (Vec<Run>, Vec<Run>) = (Vec::new(), Vec::new());
    // The first start builds the image; its time is not the machine's.
    let _ = first_line(&mut bench.hull(program, MEMORY, false, &[]), "hello", limit)?;
    for round in 0..BOOTS {
        eprintln!("boot, {name}: {} of {BOOTS}", round + 1);
        ours.push(first_line(&mut bench.hull(program, MEMORY, false, &[]), "hello", limit)?);
        theirs.push(first_line(&mut bench.linux(program, MEMORY, false, &[])?, "hello", limit)?);
    }
    let of = |runs: &[Run], f: fn(&Run) -> f64| median(runs.iter().map(f).collect());
    let row = |f: fn(&Run) -> f64| (of(&ours, f), of(&theirs, f));
    table.add(&format!("boot to first line, {name}"), "s", row(|r| r.first.as_secs_f64()));
    table.add(&format!("start to end, {name}"), "s", row(|r| r.whole.as_secs_f64()));
    table.add(&format!("memory of the emulator, {name}"), "MB", row(|r| r.memory_mb));
    eprintln!("boot, {name}: instructions");
    let long = Duration::from_secs(120);
    let count =
        |line: &str| line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(f64::NAN);
    let ours = first_line(&mut bench.hull(program, MEMORY, true, &[]), "hello", long)?;
    let theirs = first_line(&mut bench.linux(program, MEMORY, true, &[])?, "hello", long)?;
    let millions = (count(&ours.line) / 1e6, count(&theirs.line) / 1e6);
    table.add(&format!("instructions from reset, {name}"), "M", millions);
    Ok(())
}

fn memory(bench: &Bench, program: &Path, table: &mut Table) -> Result<(), String> {
    let limit = Duration::from_secs(12);
    eprintln!("smallest memory: Hull");
    let ours = smallest(2, 64, |mb| {
        first_line(&mut bench.hull(program, mb, false, &[]), "hello", limit)
            .is_ok_and(|r| r.status == Some(0))
    });
    eprintln!("smallest memory: Linux");
    let theirs = smallest(32, 256, |mb| {
        bench.linux(program, mb, false, &[]).and_then(|mut c| first_line(&mut c, "hello", limit)).is_ok()
    });
    table.add("smallest memory, dynamic hello", "MB", (f64::from(ours), f64::from(theirs)));
    Ok(())
}

fn sizes(cx: &Context, bench: &Bench, table: &mut Table) {
    let size = |path: &Path| {
        std::fs::metadata(path).map_or(f64::NAN, |m| f64::from(u32::try_from(m.len()).unwrap_or(0)))
    };
    let kernel = cx.target().join("x86_64-unknown-none/release/kernel");
    let stripped = bench.dir.join("kernel-stripped");
    let _ = must(Command::new("strip").arg("-o").arg(&stripped).arg(&kernel), Duration::from_secs(60));
    table.add("kernel file, stripped", "MB", (size(&stripped) / 1e6, size(&bench.kernel) / 1e6));
    let image = bench.dir.join("hello.hull");
    let program = bench.dir.join("hello-dynamic");
    let mut build = Command::new(&bench.tool);
    build.arg("build").arg("-o").arg(&image).arg(&program);
    if must(&mut build, Duration::from_secs(60)).is_ok() {
        let ramdisk = bench.dir.join("hello-dynamic.cpio");
        let _ = linux::ramdisk(&program, &ramdisk);
        table.add("image of a dynamic hello", "MB", (size(&image) / 1e6, size(&ramdisk) / 1e6));
    }
}

/// An operation's name, nanoseconds and ticks.
type Operation = (String, f64, f64);

/// Runs the operations' program and reads its lines.
fn operations(command: &mut Command) -> Result<Vec<Operation>, String> {
    let output = crate::command::run(command, b"", Duration::from_secs(300))?;
    let lines: Vec<Operation> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect();
    if lines.is_empty() {
        return Err(format!("no figures: {}\n{}", output.status_text(), output.tail(10)));
    }
    Ok(lines)
}

/// The time stamp counter's frequency in kHz, from an operation that took both clocks long.
fn frequency(host: &[Operation]) -> u64 {
    let ghz = median(host.iter().filter(|o| o.1 > 500.0).map(|o| o.2 / o.1).collect());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive frequency")]
    let khz = (ghz * 1e6) as u64;
    khz
}

/// Medians by operation over several runs.
fn medians(runs: &[Vec<Operation>], figure: fn(&Operation) -> f64) -> Vec<(String, f64)> {
    let names: Vec<&String> = runs.first().into_iter().flatten().map(|o| &o.0).collect();
    names
        .into_iter()
        .map(|name| {
            let all = runs.iter().filter_map(|run| run.iter().find(|o| o.0 == *name)).map(figure).collect();
            (name.clone(), median(all))
        })
        .collect()
}

fn micro_wall(bench: &Bench, micro: &Path, host: &[Operation], table: &mut Table) -> Result<(), String> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        eprintln!("operations: {} of {ROUNDS}", round + 1);
        ours.push(operations(&mut bench.hull(micro, MEMORY, false, &["5"]))?);
        theirs.push(operations(&mut bench.linux(micro, MEMORY, false, &["5"])?)?);
    }
    let theirs = medians(&theirs, |o| o.1);
    for (name, ns) in medians(&ours, |o| o.1) {
        let linux = theirs.iter().find(|o| o.0 == name).map_or(f64::NAN, |o| o.1);
        let here = host.iter().find(|o| o.0 == name).map_or(f64::NAN, |o| o.1);
        table.add_with(&name, "ns", (ns, linux), &format!("this host {here:.0}"));
    }
    Ok(())
}

fn micro_count(bench: &Bench, micro: &Path, table: &mut Table) -> Result<(), String> {
    eprintln!("operations: instructions");
    let ours = operations(&mut bench.hull(micro, MEMORY, true, &["1"]))?;
    let theirs = operations(&mut bench.linux(micro, MEMORY, true, &["1"])?)?;
    for (name, _, count) in ours {
        let linux = theirs.iter().find(|o| o.0 == name).map_or(f64::NAN, |o| o.2);
        table.add(&format!("{name}, instructions"), "", (count, linux));
    }
    Ok(())
}
