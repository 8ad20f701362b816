//! `hull`: see the library's `cli` module.

use std::process::ExitCode;

fn main() -> ExitCode {
    images::boot::guard::enter().unwrap_or_else(images::cli::main)
}
