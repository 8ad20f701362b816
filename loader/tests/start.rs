//! What Linux makes of a program before its first instruction: the host starts programs without randomisation, and the
//! stack must be ours byte for byte, the layout ours address for address.
#![expect(clippy::tests_outside_test_module, reason = "the whole file is a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use loader::layout::{Layout, Place};
use loader::plan::{Role, plan};
use loader::stack::{self, Input};

const AT_RANDOM: u64 = 25;

/// A process before its first instruction.
struct Snapshot {
    /// Fields of `/proc/PID/stat`, numbered as in `proc(5)`, from the third on.
    stat: Vec<u64>,
    maps: Vec<(u64, u64, String)>,
    pointer: u64,
    stack: Vec<u8>,
}

impl Snapshot {
    fn take(tool: &Path, program: &str, args: &[&str], env: &[&str], limit: Option<u64>) -> Self {
        let mut command = match limit {
            Some(bytes) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--stack={bytes}:")).arg(tool);
                command
            }
            None => Command::new(tool),
        };
        // A command sorts its environment, and so do the tests.
        command
            .arg(program)
            .args(args)
            .env_clear()
            .envs(env.iter().filter_map(|entry| entry.split_once('=')));
        let output = command.output().expect("prlimit is needed: install util-linux");
        assert!(output.status.success(), "{command:?}: {output:?}");
        let text = String::from_utf8(output.stdout).expect("ASCII");
        let mut parts = text.split("\n\n");
        let mut part = || parts.next().expect("four parts");
        let (_, stat) = part().rsplit_once(')').expect("the name is in brackets");
        let stat = stat.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect();
        let maps = part().lines().map(|line| {
            let (start, rest) = line.split_once('-').expect("a range");
            let (end, _) = rest.split_once(' ').expect("a range");
            (hex(start), hex(end), rest.split_whitespace().nth(5).unwrap_or_default().to_owned())
        });
        let maps = maps.collect();
        let (pointer, bytes) = part().trim().split_once('\n').expect("two lines");
        let stack = (0..bytes.len() / 2)
            .map(|i| u8::from_str_radix(&bytes[2 * i..2 * i + 2], 16).expect("hex"))
            .collect();
        Self { stat, maps, pointer: hex(pointer), stack }
    }

    fn field(&self, number: usize) -> u64 {
        self.stat[number - 3]
    }

    fn word(&self, at: u64) -> u64 {
        let at = usize::try_from(at - self.pointer).expect("on the stack");
        u64::from_le_bytes(self.stack[at..at + 8].try_into().expect("eight bytes"))
    }

    fn auxv(&self) -> Vec<(u64, u64)> {
        let mut at = self.pointer + 8;
        for _ in 0..2 {
            while self.word(at) != 0 {
                at += 8;
            }
            at += 8;
        }
        let pairs = (0..).map(|i| (self.word(at + 16 * i), self.word(at + 16 * i + 8)));
        pairs.take_while(|&(key, _)| key != 0).collect()
    }
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text, 16).expect("a hexadecimal number")
}

fn snapshot_tool(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/start/snapshot.c");
    let tool = std::env::temp_dir().join(format!("loader-{name}-{}", std::process::id()));
    let status = Command::new("cc").args(["-O1", "-o"]).arg(&tool).arg(source).status();
    assert!(status.expect("a C compiler is needed: install gcc").success());
    tool
}

fn stack_limit() -> u64 {
    let text = fs::read_to_string("/proc/self/limits").expect("Linux");
    let line = text.lines().find(|line| line.starts_with("Max stack size")).expect("it has this line");
    line.split_whitespace().nth(3).expect("the soft limit").parse().unwrap_or(u64::MAX)
}

#[test]
fn the_stack_is_linuxs_byte_for_byte() {
    let tool = snapshot_tool("stack");
    let cases: [(&[&str], &[&str]); 6] = [
        (&["true"], &[]),
        (&["true", "a", "", "bb ccc"], &["A=1"]),
        (&["t"], &["A=1", "B=", "LONG=0123456789abcdef0123456789abcdef"]),
        (&["true", "12345678"], &["A=1", "B=2"]),
        (&["", "\u{e9}"], &["A=12345"]),
        (&[], &["A=1"]),
    ];
    for (args, env) in cases {
        let linux = Snapshot::take(&tool, "/bin/true", args, env, None);
        let auxv = linux.auxv();
        let random_at = auxv.iter().find(|(key, _)| *key == AT_RANDOM).expect("always there").1;
        let mut random = [0; 16];
        random[..8].copy_from_slice(&linux.word(random_at).to_le_bytes());
        random[8..].copy_from_slice(&linux.word(random_at + 8).to_le_bytes());
        let top = Layout::new(stack_limit(), None).stack_top;
        let input =
            Input { top, limit: stack_limit(), args, env, path: b"/bin/true", auxv: &auxv, random, gap: 0 };
        let ours = stack::build(&input).expect("short enough");
        assert_eq!(ours.pointer, linux.pointer, "{args:?} {env:?}");
        assert!(ours.bytes == linux.stack, "{args:?} {env:?}:\n{:x?}\n{:x?}", ours.bytes, linux.stack);
        assert_eq!(ours.auxv[..auxv.len()], auxv);
        assert_eq!((ours.args.start, ours.args.end), (linux.field(48), linux.field(49)), "{args:?} {env:?}");
        assert_eq!((ours.env.start, ours.env.end), (linux.field(50), linux.field(51)), "{args:?} {env:?}");
    }
    // Best effort: what is left behind is in the temporary directory.
    let _ = fs::remove_file(tool);
}

#[test]
fn addresses_are_linuxs_without_randomisation() {
    let tool = snapshot_tool("layout");
    let limits = [None, Some(64 << 10), Some(1 << 20), Some(200 << 20), Some(10 << 30)];
    for program in ["/bin/true", "/bin/bash", "/sbin/ldconfig", "/usr/bin/python3"] {
        let Ok(bytes) = fs::read(program) else { continue };
        let planned = plan(bytes.as_slice(), Role::Program).expect("valid");
        for limit in limits {
            let linux = Snapshot::take(&tool, program, &[program], &[], limit);
            let what = format!("{program} {limit:?}: {:x?}", linux.maps);
            let layout = Layout::new(limit.unwrap_or_else(stack_limit), None);
            let stack = linux.maps.iter().find(|(.., name)| name == "[stack]").expect("always there");
            assert_eq!(layout.stack_top, stack.1, "{what}");
            let file = fs::canonicalize(program).expect("it was read");
            let first = linux.maps.iter().find(|(.., name)| Path::new(name) == file).expect("it is mapped").0;
            match layout.place(&planned) {
                Place::Fixed => assert_eq!(first, planned.first_page, "{what}"),
                Place::At(base) => assert_eq!(first, base, "{what}"),
                Place::Anywhere(align) => {
                    assert_eq!(first, (layout.mmap_base - planned.span) & !(align - 1), "{what}");
                }
            }
            let bias = planned.bias_for(first);
            if let Some(path) = &planned.interpreter {
                let path = std::str::from_utf8(path).expect("ASCII");
                let interpreter = fs::read(path).expect("the program runs");
                let interpreter = plan(interpreter.as_slice(), Role::Interpreter).expect("valid");
                let name = fs::canonicalize(path).expect("it was read");
                let first =
                    linux.maps.iter().find(|(.., known)| Path::new(known) == name).expect("it is mapped").0;
                assert_eq!(first, layout.mmap_base - interpreter.span, "{what}");
            }
            let code = planned.code.start + bias..planned.code.end + bias;
            let data = planned.data.start + bias..planned.data.end + bias;
            assert_eq!((code.start, code.end), (linux.field(26), linux.field(27)), "{what}");
            assert_eq!((data.start, data.end), (linux.field(45), linux.field(46)), "{what}");
            assert_eq!(layout.brk(&planned, bias), linux.field(47), "{what}");
        }
    }
    // Best effort: what is left behind is in the temporary directory.
    let _ = fs::remove_file(tool);
}

#[test]
fn arguments_are_too_long_at_the_same_byte_as_on_linux() {
    let limit = stack_limit();
    let program = "/bin/true";
    let accepts = |args: &[String]| {
        let mut all = vec![program.to_owned()];
        all.extend_from_slice(args);
        stack::check(&all, &[], program.as_bytes(), limit).is_ok()
    };
    let linux_accepts = |args: &[String]| Command::new(program).args(args).env_clear().status().is_ok();

    let one = |len: usize| vec!["a".repeat(len)];
    for len in [stack::MAX_STRING - 2, stack::MAX_STRING - 1, stack::MAX_STRING] {
        assert_eq!(accepts(&one(len)), linux_accepts(&one(len)), "one argument of {len} bytes");
    }
    let mut many = Vec::new();
    while accepts(&many) {
        many.push("a".repeat(100_000));
    }
    many.pop();
    let last = (0..100_000_usize).rev().find(|&len| accepts(&[many.clone(), one(len)].concat()));
    let last = last.expect("an empty one fits, or else none was needed");
    for len in [last, last + 1] {
        let args = [many.clone(), one(len)].concat();
        assert_eq!(accepts(&args), len == last);
        assert_eq!(linux_accepts(&args), len == last, "{} arguments, the last of {len} bytes", args.len());
    }
}
