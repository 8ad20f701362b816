//! Real programs of the host: the plan agrees with what `readelf` prints and with where Linux maps them.
#![expect(clippy::tests_outside_test_module, reason = "the whole file is a test")]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use loader::dynamic;
use loader::plan::{LoadPlan, Operation, Position, Role, StackProt, plan};

/// Programs of every kind; those that the host does not have are left out, the first must exist.
const FILES: &[&str] = &[
    "/bin/true",
    "/bin/bash",
    "/usr/bin/python3",
    "/usr/bin/perl",
    "/sbin/ldconfig",
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/x86_64-linux-gnu/libm.so.6",
    "/usr/bin/gcc",
    "/usr/bin/git",
    "/usr/bin/qemu-system-x86_64",
];

fn readelf(option: &str, file: &str) -> String {
    let output = Command::new("readelf").env("LC_ALL", "C").args([option, file]).output();
    String::from_utf8_lossy(&output.expect("readelf is needed: install binutils").stdout).into_owned()
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("a hexadecimal number")
}

fn files() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    FILES.iter().filter_map(|file| Some((*file, fs::read(file).ok()?)))
}

#[test]
fn segments_and_headers_are_those_that_readelf_prints() {
    assert_eq!(files().next().map(|(name, _)| name), Some("/bin/true"));
    for (name, bytes) in files() {
        let plan = plan(bytes.as_slice(), Role::Program).unwrap_or_else(|error| panic!("{name}: {error}"));
        let text = readelf("-lW", name);
        let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let loads: Vec<_> = rows.clone().filter(|row| row.first() == Some(&"LOAD")).collect();
        assert_eq!(plan.segments.len(), loads.len(), "{name}");
        for (segment, row) in plan.segments.iter().zip(&loads) {
            let numbers = [segment.offset, segment.address, segment.file_size, segment.memory_size];
            assert_eq!(numbers, [1, 2, 4, 5].map(|column| hex(row[column])), "{name}");
            let flags = row[6..row.len() - 1].concat();
            let has = |letter| flags.contains(letter);
            let prot = segment.prot;
            assert_eq!((prot.read, prot.write, prot.execute), (has('R'), has('W'), has('E')), "{name}");
        }
        let end = loads.iter().map(|row| hex(row[2]) + hex(row[5])).max().expect("some");
        assert_eq!(plan.brk, end.next_multiple_of(4096), "{name}");
        assert_eq!(
            plan.align,
            loads.iter().map(|row| hex(row[row.len() - 1])).max().expect("some").max(4096)
        );
        let entry =
            text.lines().find_map(|line| line.strip_prefix("Entry point ")).expect("readelf prints it");
        assert_eq!(plan.entry, hex(entry), "{name}");
        assert_eq!(plan.position == Position::Independent, text.contains("Elf file type is DYN"), "{name}");
        assert_eq!(plan.stack, StackProt::ReadWrite, "{name}");
        // The table is in memory right behind the ELF header.
        assert_eq!(plan.entries_address, plan.segments[0].address + 64, "{name}");

        let interpreter = text.lines().find_map(|line| line.split_once("program interpreter: "));
        let interpreter = interpreter.map(|(_, path)| path.trim_end_matches(']').as_bytes());
        assert_eq!(plan.interpreter.as_deref(), interpreter, "{name}");
    }
}

#[test]
fn libraries_are_those_that_readelf_prints() {
    for (name, bytes) in files() {
        let found = dynamic::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let text = readelf("-dW", name);
        let strings = |tag: &str| -> Vec<Vec<u8>> {
            let rows = text.lines().filter(|line| line.contains(tag));
            let values = rows.filter_map(|line| line.split_once('[')?.1.split_once(']'));
            values.map(|(value, _)| value.as_bytes().to_vec()).collect()
        };
        assert_eq!(found.needed, strings("(NEEDED)"), "{name}");
        assert_eq!(found.soname.map(<[u8]>::to_vec), strings("(SONAME)").pop(), "{name}");
        assert_eq!(found.runpath.map(<[u8]>::to_vec), strings("(RUNPATH)").pop(), "{name}");
        assert_eq!(found.rpath.map(<[u8]>::to_vec), strings("(RPATH)").pop(), "{name}");
        let entries = plan(bytes.as_slice(), Role::Program).expect("checked above").entries;
        assert!(entries > 0 && found.is_dynamic != text.contains("no dynamic section"), "{name}");
    }
}

/// The page protections that the operations leave behind, as `/proc/PID/maps` shows them.
fn pages(plan: &LoadPlan, bias: u64) -> BTreeMap<u64, (String, Option<u64>)> {
    let mut pages = BTreeMap::new();
    for operation in plan.operations(bias).expect("in range") {
        let (address, len, offset, prot) = match operation {
            Operation::Map { address, len, offset, prot } => (address, len, Some(offset), prot),
            Operation::Anonymous { address, len, prot } => (address, len, None, prot),
            Operation::Zero { .. } => continue,
        };
        let mark = |is_on: bool, letter| if is_on { letter } else { '-' };
        let text: String =
            [mark(prot.read, 'r'), mark(prot.write, 'w'), mark(prot.execute, 'x'), 'p'].iter().collect();
        for page in (0..len).step_by(4096) {
            pages.insert(address + page, (text.clone(), offset.map(|offset| offset + page)));
        }
    }
    pages
}

/// Compares with the map that a program prints of itself; by then its dynamic linker has made the relocated part of
/// the data read-only, which is let pass.
#[test]
fn linux_maps_the_same_pages_of_a_running_program() {
    let bytes = fs::read("/bin/cat").expect("every Linux host has it");
    let plan = plan(bytes.as_slice(), Role::Program).expect("valid");
    let output = Command::new("/bin/cat").arg("/proc/self/maps").output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("ASCII");
    let mine: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let mine: Vec<_> =
        mine.iter().filter(|row| row.last().is_some_and(|path| path.ends_with("/cat"))).collect();
    let base = hex(mine[0][0].split_once('-').expect("a range").0);
    let planned = pages(&plan, plan.bias_for(base));
    let mut seen = 0;
    for row in mine {
        let (start, end) = row[0].split_once('-').expect("a range");
        for (page, offset) in (hex(start)..hex(end)).step_by(4096).zip((hex(row[2])..).step_by(4096)) {
            let (prot, from) = &planned[&page];
            assert_eq!(*from, Some(offset));
            assert!(
                prot == row[1] || (prot == "rw-p" && row[1] == "r--p"),
                "{page:#x}: {prot}, Linux {}",
                row[1]
            );
            seen += 1;
        }
    }
    assert_eq!(seen, planned.values().filter(|(_, offset)| offset.is_some()).count());
}
