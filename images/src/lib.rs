//! Hull's host side: from a program on this machine to a running virtual machine.
//!
//! * [`resolve`] finds what a program needs and describes it as a [`tree::Tree`];
//! * [`erofs`] writes a tree as an image, and reads images;
//! * [`cache`] keeps built images, so that the second run of a program builds nothing;
//! * [`boot`] starts the hypervisor on an image and carries input, output, signals and the exit status;
//! * [`machines`] knows the machines that run in the background;
//! * [`recipe`] reads recipes: programs with what they need to serve;
//! * [`cli`] is the command line on top of them; the binary `hull` only calls it.
//!
//! Every failure that a user can meet is a [`problem::Problem`]: what was tried, what was found, what to do.
#![deny(missing_docs)]

pub mod boot;
pub mod cache;
pub mod cli;
pub mod erofs;
pub mod machines;
pub mod problem;
pub mod recipe;
pub mod report;
pub mod resolve;
pub mod tree;
