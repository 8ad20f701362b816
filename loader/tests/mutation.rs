//! Damaged files never make the loader panic, loop, or ask for memory without bound.
//!
//! The random numbers have a fixed seed, so that a failure comes again.
#![expect(clippy::tests_outside_test_module, reason = "the whole file is a test")]

use std::fs;

use loader::layout::{Layout, Place, Random};
use loader::plan::{Operation, Role, plan};
use loader::{TASK_SIZE, dynamic, script, vdso};

const ROUNDS: u32 = 20_000;

/// Numbers that are likely to find a missing check.
const HARD: [u64; 12] = [
    0,
    1,
    0xfff,
    0x1000,
    0x7fff_ffff,
    0xffff_ffff,
    TASK_SIZE - 1,
    TASK_SIZE,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 0xfff,
    u64::MAX,
];

/// A small generator (xorshift): good enough to choose places and values.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            // Most of the damage goes where the headers and the dynamic section are.
            let at =
                if self.below(4) == 0 { self.below(bytes.len()) } else { self.below(bytes.len().min(0x400)) };
            match self.below(4) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.next().to_le_bytes()[0],
                2 => {
                    let at = at & !7;
                    let value = HARD[self.below(HARD.len())].to_le_bytes();
                    let len = bytes.len().min(at + 8) - at;
                    bytes[at..at + len].copy_from_slice(&value[..len]);
                }
                _ if self.below(8) == 0 => bytes.truncate(at.max(1)),
                _ => {}
            }
        }
    }
}

fn use_everything(bytes: &[u8], numbers: &mut Numbers) {
    let _ = dynamic::read(bytes);
    let _ = vdso::check(bytes);
    let _ = script::parse(bytes);
    for role in [Role::Program, Role::Interpreter] {
        let plan = match plan(bytes, role) {
            Ok(plan) => plan,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                let _ = (error.errno(), error.is_late());
                continue;
            }
        };
        let [mmap, program, stack, stack_gap, brk, vdso] = [0; 6].map(|_| numbers.next());
        let layout = Layout::new(numbers.next(), Some(Random { mmap, program, stack, stack_gap, brk, vdso }));
        let base = match layout.place(&plan) {
            Place::Fixed => 0,
            Place::At(base) => base,
            Place::Anywhere(align) => layout.mmap_base.saturating_sub(plan.span) & !(align - 1),
        };
        let bias = plan.bias_for(base);
        let _ = (layout.brk(&plan, bias), plan.entry_at(bias), plan.entries_at(bias));
        for operation in plan.operations(bias).unwrap_or_default() {
            let (address, len) = match operation {
                Operation::Map { address, len, offset, .. } => {
                    assert!(
                        offset.is_multiple_of(4096)
                            && address.is_multiple_of(4096)
                            && len.is_multiple_of(4096)
                    );
                    (address, len)
                }
                Operation::Anonymous { address, len, .. } => {
                    assert!(address.is_multiple_of(4096) && len.is_multiple_of(4096));
                    (address, len)
                }
                Operation::Zero { address, len } => {
                    assert!(len < 4096 && (address + len).is_multiple_of(4096));
                    (address, len)
                }
            };
            assert!(len > 0 && address.checked_add(len).is_some_and(|end| end <= TASK_SIZE));
        }
    }
}

#[test]
fn damaged_files_are_refused_or_planned_within_user_space() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let originals: Vec<Vec<u8>> = ["/bin/true", "/sbin/ldconfig", "/lib64/ld-linux-x86-64.so.2"]
        .iter()
        .filter_map(|path| fs::read(path).ok())
        // The headers, and for /bin/true the dynamic section too, are within this.
        .map(|bytes| bytes[..bytes.len().min(0xa000)].to_vec())
        .collect();
    assert!(!originals.is_empty());
    for _ in 0..ROUNDS {
        let mut bytes = originals[numbers.below(originals.len())].clone();
        numbers.damage(&mut bytes);
        use_everything(&bytes, &mut numbers);
    }
}

#[test]
fn random_first_lines_never_panic_and_give_parts_of_the_line() {
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    for _ in 0..ROUNDS {
        let mut head = b"#!".to_vec();
        for _ in 0..numbers.below(300) {
            head.push(b" \t\n\0/a"[numbers.below(6)]);
        }
        if let Ok(script) = script::parse(&head) {
            for part in [Some(script.interpreter), script.argument].into_iter().flatten() {
                assert!(!part.contains(&0) && !part.contains(&b'\n'));
                assert!(part.is_empty() || head.windows(part.len()).any(|window| window == part));
            }
        }
    }
}
