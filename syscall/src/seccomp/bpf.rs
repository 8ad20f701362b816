//! Classic BPF as seccomp allows it: checked once, then run over [`SeccompData`].

use abi::seccomp::*;
use abi::{Errno, Result};
use alloc::vec::Vec;
use zerocopy::IntoBytes;

/// Bytes that a program can look at.
const DATA_LEN: u32 = 64;
const _: () = assert!(size_of::<SeccompData>() == DATA_LEN as usize);

/// A program that was checked: it ends, and looks at nothing but the data and memory that it has written.
#[derive(Debug)]
pub struct Program(Vec<SockFilter>);

impl Program {
    /// Checks a program: every instruction is one that seccomp allows, jumps stay inside and lead on, the last
    /// instruction returns, and memory is written before it is read.
    ///
    /// # Errors
    /// `EINVAL`
    pub fn new(code: Vec<SockFilter>) -> Result<Self> {
        let sound = !code.is_empty()
            && code.len() <= BPF_MAXINSNS
            && code.iter().enumerate().all(|(at, one)| is_allowed(one, code.len() - at))
            && code.last().is_some_and(|last| class(last.code) == BPF_RET)
            && writes_before_reads(&code);
        if sound { Ok(Self(code)) } else { Err(Errno::EINVAL) }
    }

    /// Returns how many instructions Linux makes of the program before it runs it: what a chain's length is measured in
    /// (`bpf_convert_filter`).
    pub fn cost(&self) -> usize {
        const PROLOGUE: usize = 3;
        PROLOGUE + self.0.iter().map(cost).sum::<usize>()
    }

    /// Runs the program; returns an action and its data (`SECCOMP_RET_*`).
    pub fn run(&self, data: &SeccompData) -> u32 {
        let bytes = data.as_bytes();
        let (mut a, mut x) = (0_u32, 0_u32);
        let mut memory = [0_u32; BPF_MEMWORDS];
        let mut at = 0;
        // The check has seen that `at` only grows and that the last instruction returns.
        while let Some(one) = self.0.get(at) {
            at += 1;
            let k = one.k;
            let slot = usize::try_from(k).unwrap_or(0) % BPF_MEMWORDS;
            let operand = if one.code & BPF_X != 0 { x } else { k };
            match class(one.code) {
                BPF_RET => return if one.code & 0x18 == BPF_A { a } else { k },
                BPF_LD => a = load(one, bytes, memory[slot]),
                BPF_LDX => x = load(one, bytes, memory[slot]),
                BPF_ST => memory[slot] = a,
                BPF_STX => memory[slot] = x,
                BPF_MISC if one.code & 0xf8 == BPF_TXA => a = x,
                BPF_MISC => x = a,
                BPF_ALU => match alu(operation(one.code), a, operand) {
                    Some(value) => a = value,
                    // LINUX: a division by zero ends the program with 0.
                    None => return 0,
                },
                _ => at += jump(one, a, operand),
            }
        }
        0
    }
}

const fn class(code: u16) -> u16 {
    code & 7
}

const fn operation(code: u16) -> u16 {
    code & 0xf0
}

fn load(one: &SockFilter, bytes: &[u8], slot: u32) -> u32 {
    match one.code & 0xe0 {
        BPF_IMM => one.k,
        BPF_MEM => slot,
        BPF_LEN => DATA_LEN,
        _ => {
            let at = usize::try_from(one.k).unwrap_or(usize::MAX);
            let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
            word.map_or(0, |word| u32::from_ne_bytes(*word))
        }
    }
}

fn alu(operation: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match operation {
        BPF_ADD => a.wrapping_add(operand),
        BPF_SUB => a.wrapping_sub(operand),
        BPF_MUL => a.wrapping_mul(operand),
        BPF_DIV => a.checked_div(operand)?,
        BPF_AND => a & operand,
        BPF_OR => a | operand,
        BPF_XOR => a ^ operand,
        // LINUX: a shift by a register takes its low five bits, as the processor does.
        BPF_LSH => a.wrapping_shl(operand),
        BPF_RSH => a.wrapping_shr(operand),
        _ => a.wrapping_neg(),
    })
}

fn cost(one: &SockFilter) -> usize {
    let by_register = one.code & BPF_X != 0;
    let operation = operation(one.code);
    match class(one.code) {
        BPF_RET if one.code & 0x18 == BPF_K => 2,
        // The divisor is looked at first.
        BPF_ALU if operation == BPF_DIV && by_register => 4,
        BPF_JMP if operation != BPF_JA => {
            let constant = usize::from(!by_register && one.k.cast_signed() < 0);
            let inverse = one.jt == 0 && operation != BPF_JSET;
            constant + if one.jf == 0 || inverse { 1 } else { 2 }
        }
        _ => 1,
    }
}

/// Returns how many instructions are left out.
fn jump(one: &SockFilter, a: u32, operand: u32) -> usize {
    let taken = match operation(one.code) {
        BPF_JA => return usize::try_from(one.k).unwrap_or(usize::MAX),
        BPF_JEQ => a == operand,
        BPF_JGT => a > operand,
        BPF_JGE => a >= operand,
        _ => a & operand != 0,
    };
    usize::from(if taken { one.jt } else { one.jf })
}

/// Says whether an instruction may stand where `left` instructions are left, itself included (`seccomp_check_filter`
/// and `bpf_check_classic`).
fn is_allowed(one: &SockFilter, left: usize) -> bool {
    let code = one.code;
    if code & !0xff != 0 {
        return false;
    }
    let inside = |skipped: usize| skipped < left - 1;
    let in_memory = (one.k as usize) < BPF_MEMWORDS;
    match class(code) {
        BPF_RET => matches!(code & 0xf8, BPF_K | BPF_A),
        // Only whole words of the data, at their places.
        BPF_LD if code == BPF_LD | BPF_W | BPF_ABS => one.k < DATA_LEN && one.k.is_multiple_of(4),
        BPF_LD | BPF_LDX => match code & 0xf8 {
            BPF_IMM | BPF_LEN => true,
            BPF_MEM => in_memory,
            _ => false,
        },
        BPF_ST | BPF_STX => code & 0xf8 == 0 && in_memory,
        BPF_MISC => matches!(code & 0xf8, BPF_TAX | BPF_TXA),
        BPF_ALU => match operation(code) {
            BPF_DIV => code & BPF_X != 0 || one.k != 0,
            BPF_LSH | BPF_RSH => code & BPF_X != 0 || one.k < 32,
            BPF_ADD | BPF_SUB | BPF_MUL | BPF_AND | BPF_OR | BPF_XOR => true,
            BPF_NEG => code & BPF_X == 0,
            _ => false,
        },
        _ => match operation(code) {
            BPF_JA => code & BPF_X == 0 && inside(usize::try_from(one.k).unwrap_or(usize::MAX)),
            BPF_JEQ | BPF_JGT | BPF_JGE | BPF_JSET => inside(one.jt.into()) && inside(one.jf.into()),
            _ => false,
        },
    }
}

/// Says whether no word of memory can be read that was not written on every way there (`check_load_and_stores`).
fn writes_before_reads(code: &[SockFilter]) -> bool {
    // For each instruction the words that every jump to it has written.
    let mut written = alloc::vec![u16::MAX; code.len()];
    let mut valid = 0_u16;
    for (at, one) in code.iter().enumerate() {
        valid &= written[at];
        let bit = 1_u16.wrapping_shl(one.k);
        let mut note = |skipped: usize, valid: u16| {
            if let Some(there) = written.get_mut(at + 1 + skipped) {
                *there &= valid;
            }
        };
        match class(one.code) {
            BPF_ST | BPF_STX => valid |= bit,
            BPF_LD | BPF_LDX if one.code & 0xe0 == BPF_MEM && valid & bit == 0 => return false,
            BPF_JMP => {
                if operation(one.code) == BPF_JA {
                    note(usize::try_from(one.k).unwrap_or(usize::MAX), valid);
                } else {
                    note(one.jt.into(), valid);
                    note(one.jf.into(), valid);
                }
                valid = u16::MAX;
            }
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn op(code: u16, jt: u8, jf: u8, k: u32) -> SockFilter {
        SockFilter { code, jt, jf, k }
    }

    const fn ret(k: u32) -> SockFilter {
        op(BPF_RET | BPF_K, 0, 0, k)
    }

    fn refused(code: &[SockFilter]) -> bool {
        Program::new(code.to_vec()).is_err()
    }

    fn run(code: &[SockFilter], data: &SeccompData) -> u32 {
        Program::new(code.to_vec()).unwrap().run(data)
    }

    #[test]
    fn what_linux_refuses_is_refused() {
        let long = alloc::vec![ret(0); BPF_MAXINSNS + 1];
        assert!(refused(&[]) && refused(&long));
        assert!(refused(&[op(BPF_LD | BPF_W | BPF_ABS, 0, 0, 0)]), "no return at the end");
        let loads = [
            op(BPF_LD | BPF_W | BPF_ABS, 0, 0, 2),
            op(BPF_LD | BPF_W | BPF_ABS, 0, 0, 64),
            op(BPF_LD | BPF_B | BPF_ABS, 0, 0, 0),
            op(BPF_LD | BPF_W | BPF_IND, 0, 0, 0),
            op(BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0),
            op(BPF_LD | BPF_MEM, 0, 0, 0),
            op(BPF_LD | BPF_MEM, 0, 0, 16),
            op(BPF_ST, 0, 0, 16),
            op(BPF_ALU | BPF_DIV | BPF_K, 0, 0, 0),
            op(BPF_ALU | BPF_MOD | BPF_K, 0, 0, 3),
            op(BPF_ALU | BPF_LSH | BPF_K, 0, 0, 32),
            op(BPF_JMP | BPF_JA, 0, 0, 1),
            op(BPF_JMP | BPF_JA, 0, 0, u32::MAX),
            op(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
            op(BPF_JMP | 0x50, 0, 0, 0),
            op(BPF_RET | BPF_X, 0, 0, 0),
            op(0x100, 0, 0, 0),
        ];
        for load in loads {
            assert!(refused(&[load, ret(0)]), "{load:?}");
        }
    }

    #[test]
    fn memory_has_to_be_written_on_every_way() {
        let one_way = [
            op(BPF_LD | BPF_W | BPF_ABS, 0, 0, 0),
            op(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 7),
            op(BPF_ST, 0, 0, 3),
            op(BPF_LD | BPF_MEM, 0, 0, 3),
            op(BPF_RET | BPF_A, 0, 0, 0),
        ];
        assert!(refused(&one_way));
        let mut both = one_way;
        both.swap(1, 2);
        both[2].jt = 0;
        let data = SeccompData { nr: 9, ..SeccompData::default() };
        assert_eq!(run(&both, &data), 9);
    }

    #[test]
    fn arithmetic_and_jumps_work_as_on_linux() {
        let data =
            SeccompData { nr: 40, arch: AUDIT_ARCH_X86_64, args: [1 << 32 | 5; 6], ..SeccompData::default() };
        let alu = |code: u16, k: u32| {
            run(
                &[
                    op(BPF_LD | BPF_W | BPF_ABS, 0, 0, 0),
                    op(BPF_ALU | code, 0, 0, k),
                    op(BPF_RET | BPF_A, 0, 0, 0),
                ],
                &data,
            )
        };
        assert_eq!([alu(BPF_ADD, u32::MAX), alu(BPF_SUB, 41), alu(BPF_MUL, 3)], [39, u32::MAX, 120]);
        assert_eq!([alu(BPF_DIV, 7), alu(BPF_AND, 8), alu(BPF_OR, 1), alu(BPF_XOR, 41)], [5, 8, 41, 1]);
        assert_eq!([alu(BPF_LSH, 31), alu(BPF_RSH, 3), alu(BPF_NEG, 0)], [0, 5, u32::MAX - 39]);
        assert_eq!(alu(BPF_DIV | BPF_X, 0), 0, "division by zero kills");
        let by_register = [
            op(BPF_LD | BPF_IMM, 0, 0, 33),
            op(BPF_MISC | BPF_TAX, 0, 0, 0),
            op(BPF_ALU | BPF_LSH | BPF_X, 0, 0, 0),
            op(BPF_RET | BPF_A, 0, 0, 0),
        ];
        assert_eq!(run(&by_register, &data), 66, "the low five bits");
        let length = [op(BPF_LD | BPF_W | BPF_LEN, 0, 0, 0), op(BPF_RET | BPF_A, 0, 0, 0)];
        assert_eq!(run(&length, &data), 64);
        let high = [
            op(BPF_LD | BPF_W | BPF_ABS, 0, 0, 20),
            op(BPF_JMP | BPF_JGT | BPF_K, 0, 1, 0),
            ret(SECCOMP_RET_ALLOW),
            ret(SECCOMP_RET_TRAP),
        ];
        assert_eq!(run(&high, &data), SECCOMP_RET_ALLOW);
    }
}
