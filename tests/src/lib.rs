//! The checks of the project: one program, `hull-tests`, that `./hull test` and `./hull bench` start.
//!
//! [`stage`] runs named checks and counts them; [`host`] are the checks that need no machine; [`guest`] and [`apps`]
//! run programs on this Linux first and in a virtual machine second, and want equal output; [`hostile`] feeds
//! damaged input; [`bench`] measures against a Linux guest. [`command`] runs everything with a time limit.
pub mod apps;
pub mod arrows;
pub mod bench;
pub mod command;
pub mod guest;
pub mod host;
pub mod hostile;
pub mod machine;
pub mod stage;
pub mod tree;
