//! TCP.

pub(crate) mod connection;
mod input;
mod output;
mod reassembly;
mod recovery;
pub(crate) mod segment;
pub(crate) mod seq;
#[cfg(test)]
mod tests;
