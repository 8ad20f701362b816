//! The first stack of a program: argument and environment strings, their pointers, the auxiliary vector.
//!
//! From high to low addresses, as on Linux: eight zero bytes, the program's path, the environment's strings, the
//! arguments' strings, a random gap, the platform's name, 16 random bytes, and at the stack pointer (a multiple of
//! 16) `argc`, `argv`, a null, `envp`, a null, the auxiliary vector (System V ABI for AMD64, section 3.4.1).

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use abi::Errno;
use abi::auxv::{AT_EXECFN, AT_NULL, AT_PLATFORM, AT_RANDOM};

/// Longest string in bytes, with its NUL (`MAX_ARG_STRLEN`).
pub const MAX_STRING: usize = 32 * 4096;
/// Bytes that strings and pointers may have however small the stack's limit is (`ARG_MAX`).
const LEAST_TOTAL: u64 = 128 * 1024;
/// Bytes that they may have at most: three quarters of 8 MiB.
const MOST_TOTAL: u64 = 6 * 1024 * 1024;
/// The name that `AT_PLATFORM` points to.
const PLATFORM: &[u8] = b"x86_64\0";

/// What goes onto the stack.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a, S> {
    /// First address above the stack, a multiple of the page size.
    pub top: u64,
    /// The soft `RLIMIT_STACK` in bytes; `u64::MAX` is no limit.
    pub limit: u64,
    /// Arguments; if there are none the program gets one that is empty, as since Linux 5.18.
    pub args: &'a [S],
    /// Environment.
    pub env: &'a [S],
    /// The path that `execve` was called with (`AT_EXECFN`); a script's own path, not its interpreter's.
    pub path: &'a [u8],
    /// Auxiliary vector without `AT_NULL`. `AT_RANDOM`, `AT_EXECFN` and `AT_PLATFORM` get their values here, in their
    /// place if they are in the vector, and behind it if not.
    pub auxv: &'a [(u64, u64)],
    /// What `AT_RANDOM` points to; seeds the program's stack protector and pointer guard.
    pub random: [u8; 16],
    /// Bytes between strings and pointers, for randomisation ([`crate::layout::Layout::stack_gap`]).
    pub gap: u64,
}

/// The stack's content and where it lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stack {
    /// The stack pointer at the program's first instruction; `bytes` begin here and reach to the stack's top.
    pub pointer: u64,
    /// What to write.
    pub bytes: Vec<u8>,
    /// Where the arguments' strings are (`/proc/PID/cmdline`).
    pub args: Range<u64>,
    /// Where the environment's strings are (`/proc/PID/environ`).
    pub env: Range<u64>,
    /// The whole auxiliary vector with `AT_NULL` (`/proc/PID/auxv`).
    pub auxv: Vec<(u64, u64)>,
}

/// Checks what `execve` checks before it gives up the old program.
///
/// # Errors
/// `E2BIG` if a string is longer than [`MAX_STRING`], or if all of them with their pointers need more than a
/// quarter of the stack's limit (at least 128 KiB and at most 6 MiB are granted).
pub fn check<S: AsRef<[u8]>>(args: &[S], env: &[S], path: &[u8], limit: u64) -> Result<(), Errno> {
    let granted = (limit / 4).clamp(LEAST_TOTAL, MOST_TOTAL);
    let pointers = args.len().max(1).saturating_add(env.len()).saturating_mul(8);
    let mut left = granted.checked_sub(pointers as u64).filter(|&left| left > 0).ok_or(Errno::E2BIG)?;
    // LINUX: the path is not a member of the arguments, and only the total bounds it.
    let strings = args.iter().chain(env).map(|s| s.as_ref());
    if strings.clone().any(|s| s.len() >= MAX_STRING) {
        return Err(Errno::E2BIG);
    }
    let empty = args.is_empty().then_some(&b""[..]);
    for string in strings.chain(empty).chain([path]) {
        let len = (string.len() as u64).saturating_add(1);
        left = left.checked_sub(len).ok_or(Errno::E2BIG)?;
    }
    Ok(())
}

/// Writes the stack.
///
/// # Errors
/// `E2BIG` as [`check`] says; `ENOMEM` if the stack would reach below address 0.
pub fn build<S: AsRef<[u8]>>(input: &Input<'_, S>) -> Result<Stack, Errno> {
    check(input.args, input.env, input.path, input.limit)?;
    let empty = [b"".as_slice()];
    let mut args: Vec<&[u8]> = input.args.iter().map(AsRef::as_ref).collect();
    if args.is_empty() {
        args.extend(empty);
    }
    let env: Vec<&[u8]> = input.env.iter().map(AsRef::as_ref).collect();

    // Addresses first, from the top down.
    let down = |from: u64, bytes: u64| from.checked_sub(bytes).ok_or(Errno::ENOMEM);
    let path_at = down(down(input.top, 8)?, with_nul(input.path))?;
    let env_at = down(path_at, env.iter().map(|s| with_nul(s)).sum())?;
    let args_at = down(env_at, args.iter().map(|s| with_nul(s)).sum())?;
    let platform_at = down(down(args_at, input.gap)? & !15, PLATFORM.len() as u64)?;
    let random_at = down(platform_at, input.random.len() as u64)?;

    let mut auxv = input.auxv.to_vec();
    for (key, address) in [(AT_RANDOM, random_at), (AT_EXECFN, path_at), (AT_PLATFORM, platform_at)] {
        match auxv.iter_mut().find(|(known, _)| *known == key) {
            Some((_, value)) => *value = address,
            None => auxv.push((key, address)),
        }
    }
    auxv.push((AT_NULL, 0));
    let mut words: Vec<u64> = vec![args.len() as u64];
    words.extend(starts(args_at, &args));
    words.push(0);
    words.extend(starts(env_at, &env));
    words.push(0);
    words.extend(auxv.iter().flat_map(|&(key, value)| [key, value]));
    let pointer = down(random_at, (words.len() as u64).saturating_mul(8))? & !15;

    let size = usize::try_from(down(input.top, pointer)?).map_err(|_| Errno::ENOMEM)?;
    let mut bytes = Vec::with_capacity(size);
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    let mut put = |at: u64, content: &[u8]| {
        // The pieces come in ascending order; what lies between them is zero.
        let offset = usize::try_from(at.saturating_sub(pointer)).unwrap_or(size);
        bytes.resize(offset, 0);
        bytes.extend_from_slice(content);
    };
    put(random_at, &input.random);
    put(platform_at, PLATFORM);
    for (at, string) in starts(args_at, &args).zip(&args) {
        put(at, string);
    }
    for (at, string) in starts(env_at, &env).zip(&env) {
        put(at, string);
    }
    put(path_at, input.path);
    bytes.resize(size, 0);
    Ok(Stack { pointer, bytes, args: args_at..env_at, env: env_at..path_at, auxv })
}

fn with_nul(string: &[u8]) -> u64 {
    (string.len() as u64).saturating_add(1)
}

/// Returns each string's address when they are laid out one behind the other.
fn starts(first: u64, strings: &[&[u8]]) -> impl Iterator<Item = u64> {
    strings.iter().scan(first, |next, string| {
        let at = *next;
        *next = at.saturating_add(with_nul(string));
        Some(at)
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::elf::u64_at;

    fn input<'a>(args: &'a [&'a [u8]], env: &'a [&'a [u8]]) -> Input<'a, &'a [u8]> {
        let auxv = &[(6, 4096)];
        Input { top: 0x7fff_0000, limit: 8 << 20, args, env, path: b"/bin/x", auxv, random: [7; 16], gap: 0 }
    }

    fn string(stack: &Stack, at: u64) -> &[u8] {
        let from = usize::try_from(at - stack.pointer).expect("inside");
        stack.bytes[from..].split(|&b| b == 0).next().expect("one")
    }

    #[test]
    fn pointers_lead_to_the_strings_in_order() {
        for gap in [0, 1, 8191] {
            let stack =
                build(&Input { gap, ..input(&[b"x", b"", b"long one"], &[b"A=1", b"B="]) }).expect("fits");
            assert_eq!(stack.pointer % 16, 0);
            assert_eq!(stack.pointer + stack.bytes.len() as u64, 0x7fff_0000);
            let word = |i: usize| u64_at(&stack.bytes, i * 8);
            assert_eq!((word(0), word(4), word(7)), (3, 0, 0));
            assert_eq!([1, 2, 3].map(|i| string(&stack, word(i))), [&b"x"[..], b"", b"long one"]);
            assert_eq!([5, 6].map(|i| string(&stack, word(i))), [b"A=1".as_slice(), b"B="]);
            assert_eq!((word(8), word(9)), (6, 4096));
            assert_eq!(
                (word(10), word(12), word(14), word(16), word(17)),
                (AT_RANDOM, AT_EXECFN, AT_PLATFORM, 0, 0)
            );
            assert_eq!(string(&stack, word(13)), b"/bin/x");
            assert_eq!(string(&stack, word(15)), b"x86_64");
            let random = usize::try_from(word(11) - stack.pointer).expect("inside");
            assert_eq!(stack.bytes[random..random + 16], [7; 16]);
            assert_eq!((stack.args.start, stack.env.start), (word(1), word(5)));
            assert_eq!(stack.env.end - stack.env.start, 7);
            assert_eq!(stack.bytes[stack.bytes.len() - 8..], [0; 8]);
        }
    }

    #[test]
    fn a_program_without_arguments_gets_an_empty_one() {
        let stack = build(&input(&[], &[])).expect("fits");
        assert_eq!(u64_at(&stack.bytes, 0), 1);
        assert_eq!(string(&stack, u64_at(&stack.bytes, 8)), b"");
    }

    #[test]
    fn too_long_or_too_many_is_e2big_at_the_exact_byte() {
        let long = [b'a'; MAX_STRING];
        assert_eq!(build(&input(&[&long[1..]], &[])).map(|_| ()), Ok(()));
        assert_eq!(build(&input(&[&long], &[])).map(|_| ()), Err(Errno::E2BIG));
        // 128 KiB are granted: two pointers, "/bin/x", and the strings.
        let rest = 128 * 1024 - 16 - 7 - 1;
        let first = &long[..rest - 1];
        let small = |args: &[&[u8]], env: &[&[u8]]| check(args, env, b"/bin/x", 4096);
        assert_eq!(small(&[first], &[b""]), Ok(()));
        assert_eq!(small(&[first], &[b"a"]), Err(Errno::E2BIG));
        let pointers = std::vec![&b""[..]; 16 * 1024];
        assert_eq!(small(&pointers, &[]), Err(Errno::E2BIG));
    }
}
