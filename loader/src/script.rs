//! The `#!` line of a script (`execve(2)`, "Interpreter scripts").
//!
//! The caller replaces `argv[0]` by interpreter, optional argument, and the script's path, and starts again with
//! the interpreter; the sixth script in a chain is `ELOOP`.

use core::ops::RangeInclusive;

use abi::Errno;

/// How many bytes of a file Linux looks at to find out what it is (`BINPRM_BUF_SIZE`).
pub const HEAD_LEN: usize = 256;

/// Most scripts in a chain, each the interpreter of the one before: with one more `execve` says `ELOOP`.
pub const MAX_NESTING: usize = 5;

/// What a `#!` line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Script<'a> {
    /// Path of the interpreter; may be empty, which means the working directory, and so `EACCES`.
    pub interpreter: &'a [u8],
    /// The rest of the line, as one argument.
    pub argument: Option<&'a [u8]>,
}

/// Tells whether a file begins like a script.
pub fn is_script(head: &[u8]) -> bool {
    head.starts_with(b"#!")
}

/// Reads the `#!` line from the first [`HEAD_LEN`] bytes of a file; a shorter file gives fewer bytes.
///
/// # Errors
/// `ENOEXEC` if the file is no script, names no interpreter, or if the path may be cut at the end of `head`.
pub fn parse(head: &[u8]) -> Result<Script<'_>, Errno> {
    if !is_script(head) {
        return Err(Errno::ENOEXEC);
    }
    // Linux clears its buffer first, so that a shorter file ends in NUL.
    const LAST: usize = HEAD_LEN - 1;
    let byte = |at: usize| head.get(at).copied().unwrap_or(0);
    let find = |range: RangeInclusive<usize>, wanted: fn(u8) -> bool| {
        let mut range = range;
        range.find(|&at| wanted(byte(at)))
    };

    // Text ends at the first NUL: a newline behind one does not count.
    let newline = find(2..=LAST, |b| b == b'\n' || b == 0).filter(|&at| byte(at) == b'\n');
    let mut end = match newline {
        Some(at) => at,
        None => {
            // Without a newline the line may be cut. An argument may (the interpreter reads the script again),
            // but a path without a blank or NUL behind it is not to be trusted.
            let name = find(2..=LAST, |b| !is_blank(b)).ok_or(Errno::ENOEXEC)?;
            find(name..=LAST, ends_word).ok_or(Errno::ENOEXEC)?;
            LAST
        }
    };
    while is_blank(byte(end.saturating_sub(1))) {
        end = end.saturating_sub(1);
    }
    let name = find(2..=end, |b| !is_blank(b)).filter(|&at| at != end).ok_or(Errno::ENOEXEC)?;
    let word_end = find(name..=end, ends_word);
    // LINUX: without a newline, blanks before the end of the text make an argument that is empty.
    let argument = word_end.filter(|&at| byte(at) != 0).and_then(|at| find(at..=end, |b| !is_blank(b)));

    let text = |from: usize, to: usize| {
        let text = head.get(from..to.min(head.len())).unwrap_or_default();
        text.split(|&b| b == 0).next().unwrap_or_default()
    };
    Ok(Script {
        interpreter: text(name, word_end.unwrap_or(end)),
        argument: argument.map(|from| text(from, end)),
    })
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn ends_word(byte: u8) -> bool {
    is_blank(byte) || byte == 0
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn words(head: &[u8]) -> Result<(&[u8], Option<&[u8]>), Errno> {
        parse(head).map(|script| (script.interpreter, script.argument))
    }

    #[expect(clippy::unnecessary_wraps, reason = "what the parser's answer is compared with")]
    fn is<'a>(
        interpreter: &'a [u8],
        argument: Option<&'a [u8]>,
    ) -> Result<(&'a [u8], Option<&'a [u8]>), Errno> {
        Ok((interpreter, argument))
    }

    #[test]
    fn blanks_around_path_and_argument_are_dropped_and_the_argument_stays_one() {
        assert_eq!(words(b"#!/bin/sh\n"), is(b"/bin/sh", None));
        assert_eq!(words(b"#! \t/usr/bin/env \t -S a  b\t \nrest"), is(b"/usr/bin/env", Some(b"-S a  b")));
        assert_eq!(words(b"#!/bin/sh \n"), is(b"/bin/sh", None));
    }

    #[test]
    fn a_line_without_newline_is_used_as_far_as_it_goes() {
        assert_eq!(words(b"#!/bin/sh"), is(b"/bin/sh", None));
        assert_eq!(words(b"#!/bin/sh -x "), is(b"/bin/sh", Some(b"-x ")));
        assert_eq!(words(b"#!/bin/sh "), is(b"/bin/sh", Some(b"")));
        assert_eq!(words(b"#!/bin/sh\0x\n"), is(b"/bin/sh", None));
        assert_eq!(words(b"#!"), is(b"", None));
    }

    #[test]
    fn nothing_or_a_cut_path_is_no_interpreter() {
        for bad in [&b""[..], b"#", b"x!/bin/sh\n", b"#!\n", b"#! \t\n"] {
            assert_eq!(words(bad), Err(Errno::ENOEXEC), "{bad:?}");
        }
        let mut long: Vec<u8> = b"#!/".to_vec();
        long.resize(300, b'a');
        assert_eq!(words(&long), Err(Errno::ENOEXEC));
        long[255] = b'\n';
        assert_eq!(words(&long), is(&long[2..255], None));
        long[255] = b' ';
        assert_eq!(words(&long), is(&long[2..255], None));
        long[255] = b'a';
        long[100] = b' ';
        assert_eq!(words(&long), is(&long[2..100], Some(&long[101..255])));
        assert_eq!(words(&[b"#!", &[b' '; 300][..]].concat()), Err(Errno::ENOEXEC));
    }
}
