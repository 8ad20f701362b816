extern crate std;

use super::*;
use abi::Errno;
use std::cell::Cell;

/// Program headers as tests write them.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
}

const fn load(flags: u32, offset: u64, address: u64, file_size: u64, memory_size: u64) -> Entry {
    Entry { kind: PT_LOAD, flags, offset, address, file_size, memory_size }
}

/// Makes a file of 12 KiB with these program headers.
pub(crate) fn file(position: Position, entries: &[Entry]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16] = if position == Position::Fixed { 2 } else { 3 };
    bytes[18] = 62;
    bytes[24..32].copy_from_slice(&0x1234_u64.to_le_bytes());
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = u8::try_from(entries.len()).expect("few");
    for e in entries {
        bytes.extend(e.kind.to_le_bytes());
        bytes.extend(e.flags.to_le_bytes());
        for word in [e.offset, e.address, e.address, e.file_size, e.memory_size, 4096] {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes.resize(0x3000, 0);
    bytes
}

/// Text and data with a zero-filled tail.
pub(crate) fn sample(position: Position) -> Vec<u8> {
    let base = if position == Position::Fixed { 0x40_0000 } else { 0 };
    file(position, &[load(5, 0, base, 0x1100, 0x1100), load(6, 0x1100, base + 0x2100, 0x200, 0x3000)])
}

fn program(bytes: &[u8]) -> Result<LoadPlan, ElfError> {
    plan(bytes, Role::Program)
}

#[test]
fn a_segment_becomes_file_pages_a_cleared_tail_and_anonymous_pages() {
    let plan = program(&sample(Position::Independent)).expect("valid");
    let text = Prot { read: true, write: false, execute: true };
    let data = Prot { read: true, write: true, execute: false };
    assert_eq!(
        plan.operations(0x10_0000).expect("in range"),
        [
            Operation::Map { address: 0x10_0000, len: 0x2000, offset: 0, prot: text },
            Operation::Map { address: 0x10_2000, len: 0x1000, offset: 0x1000, prot: data },
            Operation::Zero { address: 0x10_2300, len: 0xd00 },
            Operation::Anonymous { address: 0x10_3000, len: 0x3000, prot: data },
        ]
    );
    assert_eq!((plan.span, plan.brk, plan.first_page, plan.align), (0x6000, 0x6000, 0, 4096));
    assert_eq!((plan.entries_address, plan.entries, plan.entry), (64, 2, 0x1234));
    assert_eq!(plan.entry_at(0x10_0000), Ok(0x10_1234));
    assert_eq!((plan.code.clone(), plan.data.clone()), (0..0x1100, 0x2100..0x2300));
    assert_eq!(plan.stack, StackProt::ReadWrite);
    assert_eq!(text.bits(), 5);
}

#[test]
fn a_tail_that_may_not_be_written_is_not_cleared_but_its_pages_are_writable() {
    let bytes = file(Position::Fixed, &[load(5, 0, 0x40_0000, 0x800, 0x1800)]);
    let all = Prot { read: true, write: true, execute: true };
    let text = Prot { write: false, ..all };
    assert_eq!(
        program(&bytes).expect("valid").operations(0).expect("in range"),
        [
            Operation::Map { address: 0x40_0000, len: 0x1000, offset: 0, prot: text },
            Operation::Anonymous { address: 0x40_1000, len: 0x1000, prot: all },
        ]
    );
}

#[test]
fn a_segment_without_file_bytes_is_anonymous_whatever_its_offset() {
    let bytes = file(Position::Fixed, &[load(6, 0x123, 0x40_0777, 0, 0x1000)]);
    let data = Prot { read: true, write: true, execute: false };
    let operations = program(&bytes).expect("valid").operations(0).expect("in range");
    assert_eq!(operations, [Operation::Anonymous { address: 0x40_0000, len: 0x2000, prot: data }]);
}

#[test]
fn each_fault_has_linuxs_error_number_and_moment() {
    let one = |entry| program(&file(Position::Independent, &[entry])).expect_err("faulty");
    let cases = [
        (one(load(4, 0, 0, 2, 1)), Errno::EINVAL),
        (one(load(4, 0x10, 0, 8, 8)), Errno::EINVAL),
        (one(load(4, 0, TASK_SIZE, 0, 0)), Errno::EINVAL),
        (one(load(4, 0, TASK_SIZE - 0x1000, 0, 0x1001)), Errno::EINVAL),
        (one(load(4, 0, 0x1000, 0, u64::MAX)), Errno::EINVAL),
        (one(load(4, u64::MAX - 0xfff, 0, 8, 8)), Errno::EOVERFLOW),
        (one(load(6, 0x3000, 0, 8, 16)), Errno::EFAULT),
        (one(load(6, 0, 0, 0, 0)), Errno::EINVAL),
    ];
    for (error, errno) in cases {
        assert!(error.is_late(), "{error}");
        assert_eq!(error.errno(), errno, "{error}");
    }
    let interp = |file_size| Entry { kind: PT_INTERP, ..load(4, 0x2000, 0, file_size, file_size) };
    for (error, errno) in [(one(interp(1)), 8), (one(interp(4097)), 8), (one(interp(0x1001)), 8)] {
        assert!(!error.is_late(), "{error}");
        assert_eq!(error.errno() as i32, errno, "{error}");
    }
    let mut cut = file(Position::Independent, &[interp(0x800)]);
    cut.truncate(0x2700);
    assert_eq!(program(&cut), Err(ElfError::InterpreterCut));
    assert_eq!(ElfError::InterpreterCut.errno(), Errno::EIO);
    let mut open = file(Position::Independent, &[interp(3)]);
    open[0x2000..0x2003].copy_from_slice(b"/ab");
    assert_eq!(program(&open), Err(ElfError::InterpreterOpen));
    open[0x2001] = 0;
    open[0x2002] = 0;
    assert_eq!(program(&open).expect("valid").interpreter, Some(b"/".to_vec()));
}

#[test]
fn an_interpreters_faults_are_told_apart_from_the_programs() {
    let mut bytes = sample(Position::Independent);
    let faulty = |bytes: &[u8]| plan(bytes, Role::Interpreter).map(|_| ()).expect_err("faulty");
    bytes[0] = 0;
    assert_eq!(faulty(&bytes).errno(), Errno::ELIBBAD);
    bytes[0] = 0x7f;
    bytes[18] = 3;
    bytes[16] = 1;
    assert_eq!(faulty(&bytes), ElfError::Interpreter(Box::new(ElfError::Machine(3))));
    bytes[18] = 62;
    assert_eq!(faulty(&bytes).errno(), Errno::EPERM);
    assert!(faulty(&bytes).is_late());
    bytes[16] = 3;
    assert_eq!(faulty(&bytes[..63]).errno(), Errno::EIO);
    assert_eq!(faulty(&bytes[..100]).errno(), Errno::ELIBBAD);
}

#[test]
fn a_bias_that_moves_a_segment_out_of_user_space_is_refused() {
    let plan = program(&sample(Position::Independent)).expect("valid");
    assert_eq!(plan.operations(TASK_SIZE - 0x6000).map(|_| ()), Ok(()));
    assert_eq!(plan.operations(TASK_SIZE - 0x5000), Err(ElfError::Address(1)));
    assert_eq!(plan.operations(u64::MAX), Err(ElfError::Address(0)));
    assert_eq!(plan.entry_at(TASK_SIZE), Err(ElfError::Entry(TASK_SIZE + 0x1234)));
}

#[test]
fn the_bias_puts_the_first_segments_page_at_the_base() {
    let bytes = file(Position::Independent, &[load(5, 0x234, 0x1_1234, 0x100, 0x100)]);
    let plan = program(&bytes).expect("valid");
    assert_eq!(plan.bias_for(0x5000_0000), 0x5000_0000 - 0x1_1000);
    assert_eq!(program(&sample(Position::Fixed)).expect("valid").bias_for(0x5000_0000), 0);
}

/// A file that gives one byte at a time and remembers how far it was read.
struct Slow<'a>(&'a [u8], Cell<u64>);

impl FileBytes for Slow<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Errno> {
        self.1.set(self.1.get().max(offset));
        let one = buf.get_mut(..1).ok_or(Errno::EINVAL)?;
        self.0.read_at(offset, one)
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

#[test]
fn only_headers_are_read_and_short_reads_are_continued() {
    let bytes = sample(Position::Independent);
    let slow = Slow(&bytes, Cell::new(0));
    assert_eq!(plan(&slow, Role::Program), program(&bytes));
    assert!(slow.1.get() < 64 + 2 * 56);
}

#[test]
fn a_read_error_is_passed_on() {
    struct Broken;
    impl FileBytes for Broken {
        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<usize, Errno> {
            Err(Errno::EIO)
        }
        fn len(&self) -> u64 {
            4096
        }
    }
    assert_eq!(plan(&Broken, Role::Program), Err(ElfError::Read(Errno::EIO)));
}
