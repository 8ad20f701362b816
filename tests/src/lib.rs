//! The checks of the project: one program, `hull-tests`, that `./hull test` and `./hull bench` start.
//!
//! [`stage`] runs named checks and counts them; [`host`] are the checks that need no machine; [`guest`] and [`apps`]
//! run programs on this Linux first and in a virtual machine second, and want equal output; [`session`] plays the user
//! at a terminal; [`suites`] are other projects' tests; [`hostile`] feeds damaged input; [`compatibility`] makes a page
//! of what ran; [`mod@bench`] measures against a Linux guest. [`command`] runs everything with a time limit.
pub mod apps;
pub mod arrows;
pub mod bench;
pub mod command;
pub mod compatibility;
pub mod guest;
pub mod host;
pub mod hostile;
pub mod machine;
pub mod rows;
pub mod servers;
pub mod session;
pub mod stage;
pub mod suites;
pub mod tree;
