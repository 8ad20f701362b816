//! Names for the addresses in a kernel backtrace, from the kernel's ELF file.

use std::fmt::Write as _;
use std::path::Path;

/// Adds function, file and line to every line that looks like `#N 0xADDRESS`; other text stays as it is.
pub fn symbolise(text: &str, kernel: &Path) -> String {
    if !text.lines().any(|line| frame_address(line).is_some()) {
        return text.to_owned();
    }
    let Ok(loader) = addr2line::Loader::new(kernel) else { return text.to_owned() };
    let mut out = String::new();
    for line in text.lines() {
        out += line;
        // The kernel prints return addresses: each belongs to the call before it.
        match frame_address(line).map(|address| address - 1) {
            // The kernel names its own functions already when the line has more than the address.
            Some(address) if line.trim_end().ends_with(|c: char| c.is_ascii_hexdigit()) => {
                describe(&loader, address, &mut out);
            }
            _ => {}
        }
        out.push('\n');
    }
    out
}

fn describe(loader: &addr2line::Loader, address: u64, out: &mut String) {
    let mut found = false;
    if let Ok(mut frames) = loader.find_frames(address) {
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.as_ref().and_then(|f| f.demangle().ok()).map(|n| n.into_owned());
            let place = frame.location.map(|l| {
                let file = l.file.unwrap_or("?");
                let file = file.rsplit_once("/kernel/src/").map_or(file, |(_, rest)| rest);
                format!("{file}:{}", l.line.unwrap_or(0))
            });
            let separator = if found { "\n       inlined into" } else { "" };
            let _ = write!(out, "{separator} {}", name.as_deref().unwrap_or("?"));
            if let Some(place) = place {
                let _ = write!(out, " at {place}");
            }
            found = true;
        }
    }
    if !found && let Some(name) = loader.find_symbol(address) {
        let _ = write!(out, " {:#}", addr2line::demangle_auto(name.into(), None));
    }
}

/// The address in a line like `  #3 0xffffffff80012345`.
fn frame_address(line: &str) -> Option<u64> {
    let at = line.find('#')?;
    let mut words = line[at + 1..].split_ascii_whitespace();
    words.next()?.trim_end_matches(':').parse::<u32>().ok()?;
    let address = words.find_map(|w| w.strip_prefix("0x"))?;
    u64::from_str_radix(address.trim_end_matches(|c: char| !c.is_ascii_hexdigit()), 16)
        .ok()
        .filter(|&a| a > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_recognised_and_other_text_is_not() {
        assert_eq!(frame_address("  #3 0xffffffff80012345"), Some(0xffff_ffff_8001_2345));
        assert_eq!(frame_address("[error] #12: rip 0x10,"), Some(0x10));
        assert_eq!(frame_address("issue #3 is 5"), None);
        assert_eq!(frame_address("0xffff"), None);
        assert_eq!(symbolise("plain\ntext", Path::new("/no/such")), "plain\ntext");
    }

    #[test]
    fn this_programs_own_functions_are_named() {
        // Any ELF file with debug information will do.
        let exe = std::env::current_exe().unwrap();
        let loader = addr2line::Loader::new(&exe).unwrap();
        let Some(address) = (0..0x80_0000u64).step_by(64).find(|&a| loader.find_symbol(a).is_some()) else {
            return;
        };
        let frame = format!("#0 {:#x}", address + 1);
        let text = symbolise(&frame, &exe);
        assert!(text.len() > frame.len() + 1, "{text}");
    }
}
