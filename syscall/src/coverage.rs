//! The coverage page, `COVERAGE.md`, from the table.

use alloc::format;
use alloc::string::String;

use crate::table::{Support, TABLE};

/// Writes the page. It depends on the table alone.
pub fn page() -> String {
    let count = |test: fn(&Support) -> bool| TABLE.iter().filter(|e| test(&e.support)).count();
    let full = count(|s| matches!(s, Support::Full));
    let partial = count(|s| matches!(s, Support::Partial(_)));
    let absent = count(|s| matches!(s, Support::Absent(_)));
    let mut page = format!(
        "# System calls\n\n\
         Generated from `syscall/src/table.rs` by `HULL_UPDATE=1 cargo test -p syscall --test coverage`; do not edit.\n\n\
         Of Linux 6.1's {} system calls on x86_64, {full} are supported in full, {partial} in part and {absent} not.\n\
         An absent call answers `ENOSYS`, and the tool reports it at the end of the run.\n\n\
         | number | name | support | what is missing, or why |\n|---|---|---|---|\n",
        TABLE.len()
    );
    for entry in TABLE {
        let (support, text) = match entry.support {
            Support::Full => ("full", ""),
            Support::Partial(text) => ("partial", text),
            Support::Absent(text) => ("absent", text),
        };
        page += &format!("| {} | {} | {support} | {text} |\n", entry.number, entry.name);
    }
    page
}
