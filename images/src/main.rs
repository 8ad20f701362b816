//! `hull`: see the library's `cli` module.

fn main() {}
