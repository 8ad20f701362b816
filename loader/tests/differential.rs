//! Linux is the oracle: damaged programs are given to the host's `execve` and to our plan, and the two answers must
//! be the same: accepted, an error number, or death after the point of no return.
//!
//! What the plan leaves to the system's memory management is modelled here, in [`carry_out`]: a mapping must lie in
//! free space, and there must be memory for it. The host may be newer than Linux 6.1; where that shows, the case
//! says so.
#![expect(clippy::tests_outside_test_module, reason = "the whole file is a test")]

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use loader::ElfError;
use loader::layout::{Layout, Place};
use loader::plan::{LoadPlan, Operation, Role, plan};
use loader::script;

const SEGMENT_READ_EXECUTE: u32 = 5;
const SEGMENT_READ_WRITE: u32 = 6;

/// What becomes of an `execve`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Accepted,
    Errno(i32),
    Late,
}

/// A directory for the files of one test, removed at its end.
struct Room(PathBuf);

impl Room {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("loader-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory can be written");
        Self(path)
    }

    fn program(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("the temporary directory can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
        path
    }

    /// Asks the host about every file.
    fn ask_linux(&self, files: &[PathBuf]) -> Vec<Answer> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/oracle.c");
        let oracle = self.0.join("oracle");
        let status = Command::new("cc").args(["-O1", "-o"]).arg(&oracle).arg(&source).status();
        assert!(status.expect("a C compiler is needed: install gcc").success());
        let mut child = Command::new(&oracle)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the oracle was just built");
        let mut input = child.stdin.take().expect("piped");
        let list: Vec<u8> = files.iter().flat_map(|f| format!("{}\n", f.display()).into_bytes()).collect();
        let writer = std::thread::spawn(move || input.write_all(&list));
        let output = child.wait_with_output().expect("the oracle ends");
        writer.join().expect("no panic").expect("the oracle reads everything");
        let answers = String::from_utf8(output.stdout).expect("ASCII");
        let answers: Vec<_> = answers.lines().map(answer).collect();
        assert_eq!(answers.len(), files.len());
        answers
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // Best effort: what is left behind is in the temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn answer(line: &str) -> Answer {
    match line {
        "ok" => Answer::Accepted,
        "late" => Answer::Late,
        other => {
            let number = other.strip_prefix("errno ").and_then(|n| n.parse().ok());
            Answer::Errno(number.expect("the oracle's third kind of line"))
        }
    }
}

/// What `execve` does with the plan's help.
fn ask_plan(bytes: &[u8]) -> Answer {
    execute(bytes).unwrap_or_else(|error| error)
}

fn execute(bytes: &[u8]) -> Result<Answer, Answer> {
    let refused = |error: ElfError| {
        if error.is_late() { Answer::Late } else { Answer::Errno(error.errno() as i32) }
    };
    let late = |_| Answer::Late;
    let program = plan(bytes, Role::Program).map_err(refused);
    // The interpreter is opened, read and refused before the program's segments are looked at.
    let path = match &program {
        Ok(plan) => plan.interpreter.clone(),
        Err(Answer::Late) => interpreter_of(bytes),
        Err(early) => return Err(*early),
    };
    let interpreter = match path {
        Some(path) => {
            let bytes = open_program(&path)?;
            match plan(bytes.as_slice(), Role::Interpreter).map_err(refused) {
                Err(error) => return Err(error),
                Ok(plan) => Some(plan),
            }
        }
        None => None,
    };
    let program = program?;
    let layout = Layout::new(8 << 20, None);
    let mut memory =
        Memory { used: vec![(layout.stack_top - (132 << 10), layout.stack_top)], free: available() };
    let bias = memory.carry_out(&program, &layout)?;
    match &interpreter {
        Some(plan) => {
            let bias = memory.carry_out(plan, &layout)?;
            plan.entry_at(bias).map_err(late)?;
        }
        None => {
            program.entry_at(bias).map_err(late)?;
        }
    }
    Ok(Answer::Accepted)
}

/// Finds the interpreter of a program whose segments are refused.
fn interpreter_of(bytes: &[u8]) -> Option<Vec<u8>> {
    // Without its segments it is accepted if its type is; the type is looked at before the interpreter.
    let mut bytes = bytes.to_vec();
    let entries = usize::try_from(u64::from_le_bytes(bytes[32..40].try_into().ok()?)).ok()?;
    for entry in 0..usize::from(u16::from_le_bytes([bytes[56], bytes[57]])) {
        let kind = &mut bytes[entries + entry * 56..][..4];
        if kind == [1, 0, 0, 0] {
            kind.fill(0);
        }
    }
    plan(bytes.as_slice(), Role::Program).ok()?.interpreter
}

/// Opens an interpreter as `execve` does.
fn open_program(path: &[u8]) -> Result<Vec<u8>, Answer> {
    // LINUX: an empty path is the working directory, and a directory cannot be executed.
    let path = if path.is_empty() { b"." } else { path };
    let path = Path::new(OsStr::from_bytes(path));
    let read = fs::metadata(path).and_then(|meta| {
        let may_run = meta.is_file() && meta.permissions().mode() & 0o111 != 0;
        if may_run { fs::read(path) } else { Err(ErrorKind::PermissionDenied.into()) }
    });
    read.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => Answer::Errno(13),
        _ => Answer::Errno(error.raw_os_error().unwrap_or(2)),
    })
}

/// The part of memory management that decides whether a plan can be carried out.
struct Memory {
    used: Vec<(u64, u64)>,
    free: u64,
}

impl Memory {
    fn carry_out(&mut self, plan: &LoadPlan, layout: &Layout) -> Result<u64, Answer> {
        let base = match layout.place(plan) {
            Place::Fixed => 0,
            Place::At(base) => base,
            Place::Anywhere(align) => {
                let base = layout.mmap_base.checked_sub(plan.span).ok_or(Answer::Late)?;
                base & !(align - 1)
            }
        };
        let bias = plan.bias_for(base);
        let operations = plan.operations(bias).map_err(|_| Answer::Late)?;
        let first = plan.first_page.wrapping_add(bias);
        if plan.position == loader::plan::Position::Independent
            && (self.is_used(first, first.saturating_add(plan.span)) || first + plan.span > loader::TASK_SIZE)
        {
            return Err(Answer::Late);
        }
        for (operation, number) in operations.iter().zip(0..) {
            let (address, len, is_private) = match *operation {
                Operation::Map { address, len, prot, .. } => (address, len, prot.write),
                Operation::Anonymous { address, len, .. } => (address, len, true),
                Operation::Zero { .. } => continue,
            };
            // Later mappings replace what is in their way.
            if number == 0 && self.is_used(address, address + len) {
                return Err(Answer::Late);
            }
            if is_private && len > self.free {
                return Err(Answer::Late);
            }
            self.used.push((address, address + len));
        }
        Ok(bias)
    }

    fn is_used(&self, from: u64, to: u64) -> bool {
        self.used.iter().any(|&(start, end)| from < end && start < to)
    }
}

/// Returns the bytes that Linux grants to one mapping: all memory and swap (its heuristic overcommit).
fn available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").expect("Linux");
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("it has this line");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    };
    (field("MemTotal:") + field("SwapTotal:")) * 1024
}

struct Entry {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
}

/// Makes a small program: headers, text, data with a zero-filled tail, and the interpreter's path if it has one.
fn sample(kind: u16, base: u64, interpreter: Option<&[u8]>) -> Vec<u8> {
    let text = |kind, offset, file_size, memory_size| Entry {
        kind,
        flags: SEGMENT_READ_EXECUTE,
        offset,
        address: base + offset,
        file_size,
        memory_size,
    };
    let path = interpreter.unwrap_or_default();
    let mut entries = vec![
        text(1, 0, 0x1000, 0x1000),
        Entry { flags: SEGMENT_READ_WRITE, ..text(1, 0x1000, 0x800, 0x2800) },
        Entry { flags: SEGMENT_READ_WRITE, ..text(0x6474_e551, 0, 0, 0) },
    ];
    if interpreter.is_some() {
        let len = path.len() as u64;
        entries.push(text(3, 0x800, len, len));
    }
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend(kind.to_le_bytes());
    bytes.extend([62, 0, 1, 0, 0, 0]);
    bytes.extend((base + 0x400).to_le_bytes());
    bytes.extend(64_u64.to_le_bytes());
    bytes.extend([0; 12]);
    bytes.extend([64, 0, 56, 0]);
    bytes.extend(u16::try_from(entries.len()).expect("few").to_le_bytes());
    bytes.extend([64, 0, 0, 0, 0, 0]);
    for e in &entries {
        bytes.extend(e.kind.to_le_bytes());
        bytes.extend(e.flags.to_le_bytes());
        for word in [e.offset, e.address, e.address, e.file_size, e.memory_size, 0x1000] {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes.resize(0x800, 0x90);
    bytes.extend(path);
    bytes.resize(0x1800, 0);
    bytes
}

/// Cuts the file at every byte of its headers and behind, and flips every bit of its headers.
fn damages(original: &[u8]) -> Vec<(String, Vec<u8>)> {
    let headers = 64 + 56 * usize::from(original[56]);
    let mut all = vec![("untouched".to_owned(), original.to_vec())];
    for len in (0..=headers).chain([0x7ff, 0x800, 0x801, 0x810, 0xfff, 0x1000, 0x1001, 0x17ff]) {
        all.push((format!("cut to {len} bytes"), original[..len].to_vec()));
    }
    for at in 0..headers {
        for bit in 0..8 {
            let mut bytes = original.to_vec();
            bytes[at] ^= 1 << bit;
            all.push((format!("byte {at} bit {bit} flipped"), bytes));
        }
    }
    all
}

fn compare(name: &str, cases: &[(String, Vec<u8>)], ours: impl Fn(&[u8]) -> Answer) {
    let room = Room::new(name);
    let files: Vec<_> =
        cases.iter().zip(0..).map(|((_, bytes), i)| room.program(&format!("{i}"), bytes)).collect();
    let mut wrong = Vec::new();
    for ((case, bytes), linux) in cases.iter().zip(room.ask_linux(&files)) {
        let plan = ours(bytes);
        if plan != linux {
            wrong.push(format!("{name}, {case}: Linux says {linux:?}, the plan {plan:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn damaged_programs_at_fixed_addresses() {
    compare("fixed", &damages(&sample(2, 0x40_0000, None)), ask_plan);
}

#[test]
fn damaged_static_position_independent_programs() {
    compare("static-pie", &damages(&sample(3, 0, None)), ask_plan);
}

#[test]
fn damaged_programs_with_an_interpreter() {
    compare("pie", &damages(&sample(3, 0, Some(b"/lib64/ld-linux-x86-64.so.2\0"))), ask_plan);
}

#[test]
fn damaged_interpreters() {
    let room = Room::new("interpreter-files");
    let original = sample(3, 0, None);
    let mut cases = Vec::new();
    for ((case, bytes), i) in damages(&original).into_iter().zip(0..) {
        let path = room.program(&format!("{i}"), &bytes);
        let path = [path.to_str().expect("ASCII").as_bytes(), b"\0"].concat();
        cases.push((case, sample(2, 0x40_0000, Some(&path))));
    }
    compare("interpreter", &cases, ask_plan);
}

#[test]
fn numbers_of_program_headers() {
    let mut cases = Vec::new();
    for count in [0_u16, 1, 73, 74, 1170, 1171, 0xffff] {
        let mut bytes = sample(2, 0x40_0000, None);
        bytes[56..58].copy_from_slice(&count.to_le_bytes());
        // Behind the data, where there is room: copies of the first three, then empty ones.
        let table = bytes[64..64 + 56 * 3].to_vec();
        bytes.resize(0x2000, 0);
        bytes[32..40].copy_from_slice(&0x2000_u64.to_le_bytes());
        bytes.extend(table);
        bytes.resize(0x2000 + 56 * 0x1_0000, 0);
        cases.push((format!("{count} program headers"), bytes));
    }
    compare("counts", &cases, ask_plan);
}

#[test]
fn first_lines_of_scripts() {
    let long = |len: usize, tail: &str| format!("#!/{}{tail}", "a".repeat(len - 3));
    let lines = [
        "#!/bin/true\n",
        "#!/bin/true",
        "#! /bin/true -x y\n",
        "#!",
        "#!\n",
        "#! \t \n",
        "#! \t ",
        "#",
        "#!\0\n",
        "#!/bin/true\0",
        "#!/bin/true \0\n",
        "#!/nonexistent\n",
        "#!/\n",
        "#!/bin/true/x\n",
        "#!/bin/true\r\n",
        "!#/bin/true\n",
    ];
    let mut cases: Vec<_> = lines.iter().map(|line| ((*line).to_owned(), line.as_bytes().to_vec())).collect();
    for len in 253..259 {
        for tail in ["", "\n", " ", "\0", "\n\n", " x\n", "xxxx\n"] {
            let line = long(len, tail);
            cases.push((format!("path to byte {len}, then {tail:?}"), line.into_bytes()));
            cases.push((
                format!("blanks to byte {len}, then {tail:?}"),
                format!("#!{:1$}{tail}", "", len - 2).into(),
            ));
            cases.push((
                format!("argument to byte {len}, then {tail:?}"),
                format!("#!/bin/true {}{tail}", "b".repeat(len - 12)).into(),
            ));
        }
    }
    compare("scripts", &cases, |bytes| {
        let head = &bytes[..bytes.len().min(script::HEAD_LEN)];
        let found = match script::parse(head) {
            Ok(script) => open_program(script.interpreter),
            Err(errno) => Err(Answer::Errno(errno as i32)),
        };
        found.map_or_else(|error| error, |program| ask_plan(&program))
    });
}

/// The words that a program sees are the words that the parser and the caller make of the line.
#[test]
fn words_of_scripts() {
    let room = Room::new("words");
    let lines: [&[u8]; 9] = [
        b"#!ORACLE\n",
        b"#! ORACLE  -a  b \t\n",
        b"#!ORACLE",
        b"#!ORACLE x ",
        b"#!ORACLE ",
        b"#!ORACLE \0x\n",
        b"#!ORACLE x\0y\n",
        b"#!ORACLE\t\tx\ty\n",
        b"#!ORACLE x\n y",
    ];
    // `echo` that shows each argument between brackets.
    let source = room.0.join("words.c");
    fs::write(
        &source,
        "#include <stdio.h>\nint main(int c, char **v) { while (*v) printf(\"[%s]\", *v++); return 0; }",
    )
    .expect("the temporary directory can be written");
    let show = room.0.join("words");
    assert!(
        Command::new("cc")
            .arg("-o")
            .arg(&show)
            .arg(&source)
            .status()
            .expect("a C compiler is needed")
            .success()
    );
    let show = show.to_str().expect("ASCII").to_owned();
    for (line, i) in lines.iter().zip(0..) {
        let line = String::from_utf8(line.to_vec()).expect("ASCII").replace("ORACLE", &show).into_bytes();
        let path = room.program(&format!("{i}"), &line);
        let path = path.to_str().expect("ASCII");
        let linux = Command::new(path).arg("last").output().expect("a valid script").stdout;
        let script = script::parse(&line).expect("a valid script");
        let words = [Some(script.interpreter), script.argument, Some(path.as_bytes()), Some(b"last")];
        let ours: Vec<u8> = words.iter().flatten().flat_map(|word| [b"[", *word, b"]"].concat()).collect();
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&linux), "{line:?}");
    }
}
