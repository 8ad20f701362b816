//! Debian's own programs, unmodified: each line of `apps.list` runs here and in the machine, with equal output.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::command::{self, difference, words};
use crate::machine::{self, Machine, host_command};
use crate::stage::{Context, Outcome, Report};

/// A line of the list.
struct App {
    name: String,
    /// Options for `hull run`.
    options: Vec<String>,
    command: Vec<String>,
    /// The file that is its standard input.
    stdin: Option<String>,
    /// Whether its output differs from run to run.
    status_only: bool,
    /// Whether it takes too long for every run.
    full_only: bool,
}

/// The stage.
pub fn run(cx: &Context, report: &Report) {
    let apps: Vec<App> = include_str!("../apps.list").lines().filter_map(parse).collect();
    for kind in machine::types(cx) {
        report.each(&apps, 2, |app| {
            // Some lines ask for a machine type of their own, and run once.
            let own = machine::type_of(&app.options);
            let wanted = cx.full || !app.full_only;
            if wanted && own.is_none_or(|own| own == *kind || !cx.full) {
                let name = machine::check_name(&format!("apps/{}", app.name), own.unwrap_or(kind));
                report.check(cx, &name, || check(cx, app, own.unwrap_or(kind)));
            }
        });
    }
}

/// The names of all lines, and their commands.
pub(crate) fn lines() -> Vec<(String, String)> {
    let app = |line| {
        let App { name, .. } = parse(line)?;
        Some((name, line.split_once(": ")?.1.to_owned()))
    };
    include_str!("../apps.list").lines().filter_map(app).collect()
}

fn parse(line: &str) -> Option<App> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (head, command) = line.split_once(": ")?;
    let (name, options) = head.split_once(" [").map_or((head, ""), |(n, o)| (n, o.trim_end_matches(']')));
    let (command, stdin) =
        command.rsplit_once(" < ").map_or((command, None), |(c, f)| (c, Some(f.to_owned())));
    Some(App {
        name: name.trim_end_matches(['?', '!']).to_owned(),
        options: words(options),
        command: words(command),
        stdin,
        status_only: name.ends_with('?'),
        full_only: name.ends_with('!'),
    })
}

/// Options without the machine type, which is given apart.
fn without_type(options: &[String]) -> Vec<String> {
    match options.iter().position(|option| option == "--machine") {
        Some(at) => [&options[..at], options.get(at + 2..).unwrap_or_default()].concat(),
        None => options.to_vec(),
    }
}

/// The program's file, as the tool looks it up.
fn resolve(name: &str, dir: &Path) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(dir.join(name.trim_start_matches("./")));
    }
    machine::find_program(name)
}

fn check(cx: &Context, app: &App, kind: &str) -> Outcome {
    // Both sides see the same path, so the folder is made anew for each.
    let dir = cx.scratch().join("apps").join(&app.name);
    if let Err(problem) = prepare(cx, app, &dir) {
        return Outcome::Failed(problem);
    }
    let Some(program) = app.command.first().and_then(|name| resolve(name, &dir)) else {
        return Outcome::Skipped(format!(
            "{} is not installed",
            app.command.first().map_or("", String::as_str)
        ));
    };
    let stdin = app.stdin.as_ref().and_then(|file| std::fs::read(dir.join(file)).ok()).unwrap_or_default();
    let mut here = host_command(&program);
    std::os::unix::process::CommandExt::arg0(&mut here, app.command.first().map_or("", String::as_str));
    here.args(&app.command[1..]).current_dir(&dir);
    let host = match command::run(&mut here, &stdin, Duration::from_secs(60)) {
        Ok(output) => output,
        Err(problem) => return Outcome::Failed(problem),
    };
    if let Err(problem) = prepare(cx, app, &dir) {
        return Outcome::Failed(problem);
    }
    let machine = match Machine::new(cx, Duration::from_secs(180)) {
        Ok(machine) => machine,
        Err(problem) => return Outcome::Skipped(format!("{problem}; on Linux: {}", host.status_text())),
    };
    let folder = dir.to_string_lossy().into_owned();
    let machine = machine.options(["--machine", kind, "--include", &folder, "-w", &folder]);
    let machine = machine.options(without_type(&app.options));
    let mut line = app.command.clone();
    if line[0].contains('/') {
        line[0] = program.to_string_lossy().into_owned();
    }
    let outcome = match machine.run(&line, &stdin) {
        Ok(guest) if guest.status == host.status && (app.status_only || guest.stdout == host.stdout) => {
            Outcome::Passed
        }
        Ok(guest) => Outcome::Failed(format!(
            "Linux: {}, Hull: {}\n{}{}",
            host.status_text(),
            guest.status_text(),
            difference(&host.stdout, &guest.stdout),
            String::from_utf8_lossy(&guest.stderr).lines().take(15).collect::<Vec<_>>().join("\n"),
        )),
        Err(problem) => Outcome::Failed(problem),
    };
    let _ = std::fs::remove_dir_all(&dir);
    outcome
}

/// Makes the folder, with the scripts where the command names one.
fn prepare(cx: &Context, app: &App, dir: &Path) -> Result<(), String> {
    data(dir)?;
    if !app.command.iter().any(|word| word.starts_with("scripts/")) {
        return Ok(());
    }
    let mut copy = std::process::Command::new("cp");
    copy.arg("-r").arg(cx.root.join("tests/apps")).arg(dir.join("scripts"));
    command::must(&mut copy, Duration::from_secs(10)).map(drop)
}

const PANGRAMS: &str = "\
the quick brown fox jumps over the lazy dog
pack my box with five dozen liquor jugs

how vexingly quick daft zebras jump
the five boxing wizards jump quickly
the lazy dog sleeps, the fox does not
";

const LIBRARY: &str = "\
import importlib, pkgutil, sys, warnings
warnings.simplefilter('ignore')
skip = {'antigravity', 'this', 'idlelib', 'turtledemo', 'turtle', 'tkinter', '__main__', 'test', 'lib2to3', 'ensurepip'}
bad = []
names = sorted(n for n in sys.stdlib_module_names if n not in skip and not n.startswith('_'))
for name in names:
    try:
        importlib.import_module(name)
    except Exception as e:
        bad.append((name, type(e).__name__))
print(len(names), bad)
";

const THREADS: &str = "\
import concurrent.futures, queue, threading, time
total, lock = 0, threading.Lock()
def add(n):
    global total
    for _ in range(n):
        with lock:
            total += 1
    return n
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(sum(pool.map(add, range(100))), total)
q, event, barrier = queue.Queue(), threading.Event(), threading.Barrier(4)
def meet(i):
    barrier.wait()
    event.wait()
    q.put(i * i)
threads = [threading.Thread(target=meet, args=(i,)) for i in range(4)]
[t.start() for t in threads]
event.set()
[t.join() for t in threads]
print(sorted(q.get() for _ in range(4)))
start = time.monotonic()
t = threading.Timer(0.05, lambda: print('timer'))
t.start(); t.join()
print(time.monotonic() - start >= 0.05)
";

const SESSION: &str = "\
create table people(id integer primary key, name text, age int);
begin;
insert into people(name, age) values('ann', 31), ('bob', 25), ('cyd', 47);
commit;
create index by_age on people(age);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000) insert into people(name, age) select 'p' || i, i % 90 from n;
select count(*), avg(age), max(name) from people;
.mode csv
.headers on
select age, count(*) as n from people group by age order by n desc, age limit 5;
update people set age = age + 1 where name like 'p1%';
pragma integrity_check;
pragma journal_mode = wal;
delete from people where age > 40;
vacuum;
select count(*) from people;
select * from nowhere;
";

const JSON: &str = r#"{"people":[{"name":"ann","age":31},{"name":"bob","age":25},{"name":"cyd","age":47}],"n":[1,2.5,null,true]}"#;

/// Makes the folder that programs work in: the same bytes and times whenever it is made.
fn data(dir: &Path) -> Result<(), String> {
    let _ = std::fs::remove_dir_all(dir);
    let fail = |e: std::io::Error| format!("{}: {e}", dir.display());
    for sub in ["tree/sub/deep", "chain/link", "empty"] {
        std::fs::create_dir_all(dir.join(sub)).map_err(fail)?;
    }
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let random: Vec<u8> = std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[3]
    })
    .take(100_000)
    .collect();
    let numbers: String = (1..60).map(|i| format!("{}\n", i * 7919 % 1000)).collect();
    let big: String = (0..20_000).map(|i| format!("{}\n", i * 7919 % 20_011)).collect();
    let sorted: String = ["a", "a", "b", "c", "c", "c", "d"].map(|w| format!("{w}\n")).concat();
    let table: String = (1..40).map(|i| format!("key{i:02},{},{}\n", i * 37 % 101, i * i)).collect();
    let table2: String = (1..40).step_by(3).map(|i| format!("key{i:02},other{i}\n")).collect();
    let files: &[(&str, &[u8])] = &[
        ("words.txt", PANGRAMS.as_bytes()),
        ("numbers.txt", numbers.as_bytes()),
        ("big.txt", big.as_bytes()),
        ("sorted.txt", sorted.as_bytes()),
        ("spaces.txt", b"a        b       c\n        d\n"),
        ("pairs.txt", b"a b\nb c\na d\nd c\n"),
        ("table.csv", table.as_bytes()),
        ("table2.csv", table2.as_bytes()),
        ("table.tsv", b"a\tb\tc\n\tx\ty\n"),
        ("data.json", JSON.as_bytes()),
        ("random.bin", &random),
        ("program.py", b"import sys\nprint('from standard input', sys.argv)\n"),
        ("library.py", LIBRARY.as_bytes()),
        ("threads.py", THREADS.as_bytes()),
        ("session.sql", SESSION.as_bytes()),
        ("pi.bc", b"scale=50\n4*a(1)\ne(1)\nquit\n"),
        ("power.bc", b"2^200\n12345678901234567890 * 98765432109876543210\nquit\n"),
        ("script.sh", b"#!/bin/sh -e\necho \"$0 has $# arguments: $*\" | sed 's,.*/,,'\nfalse || exit 3\n"),
        ("heredoc.sh", b"cat <<END\nwords: $((1 + 2))\nEND\nset -- a 'b c'\nfor x; do echo \"<$x>\"; done\n"),
        ("sums.md5", b"d41d8cd98f00b204e9800998ecf8427e  tree/nothing\n"),
        ("tree/nothing", b""),
        ("tree/one", b"one\ntwo\n"),
        ("tree/sub/two", b"two\ntwo\n"),
        // One entry in each folder: file systems list several in orders of their own.
        ("chain/link/file", b"one\ntwo\n"),
        ("tree/sub/deep/three", &random[..5000]),
        ("archive.tar", &archive()),
        // gzip of "words words words\n", with no name and no time.
        (
            "words.gz",
            &[
                31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 43, 207, 47, 74, 41, 86, 40, 71, 144, 92, 0, 105, 107, 11,
                165, 18, 0, 0, 0,
            ],
        ),
    ];
    for (name, bytes) in files {
        std::fs::write(dir.join(name), bytes).map_err(fail)?;
    }
    std::os::unix::fs::symlink("../words.txt", dir.join("tree/link")).map_err(fail)?;
    let mut touch = std::process::Command::new("touch");
    command::must(
        touch.args(["-h", "-d", "@1600000000"]).arg(dir.join("tree/link")),
        Duration::from_secs(10),
    )?;
    // Contents first: writing a file changes its folder's time.
    for name in files.iter().map(|(name, _)| *name).chain([
        "tree/sub/deep",
        "tree/sub",
        "tree",
        "chain/link",
        "chain",
        "empty",
        ".",
    ]) {
        let path = dir.join(name);
        let mode = if path.is_dir() || *name == *"script.sh" { 0o755 } else { 0o644 };
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).map_err(fail)?;
        let file = std::fs::File::open(&path).map_err(fail)?;
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_600_000_000)).map_err(fail)?;
    }
    Ok(())
}

/// A tar file with one folder and one file, as the format's description has it (`tar(5)`).
fn archive() -> Vec<u8> {
    let mut out = Vec::new();
    for (name, kind, body) in [("packed/", b'5', &b""[..]), ("packed/file", b'0', b"from the archive\n")] {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, if kind == b'5' { "0000755" } else { "0000644" });
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{:011o}", body.len()));
        put(136, &format!("{:011o}", 1_600_000_000));
        put(148, "        ");
        put(257, "ustar\x0000root");
        put(297, "root");
        header[156] = kind;
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_command() {
        let app = parse("bc/pi? [-m 1G --cpus 2]: bc -l 'a b' < pi.bc").unwrap();
        assert_eq!((app.name.as_str(), app.status_only), ("bc/pi", true));
        assert_eq!(app.options, ["-m", "1G", "--cpus", "2"]);
        assert_eq!(app.command, ["bc", "-l", "a b"]);
        assert_eq!(app.stdin.as_deref(), Some("pi.bc"));
        assert!(parse("# x: y").is_none());
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<String> =
            include_str!("../apps.list").lines().filter_map(parse).map(|a| a.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
