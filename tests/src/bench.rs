//! x
use crate::stage::Context;
/// x
/// # Errors
/// x
pub fn run(_: &Context) -> Result<(), String> { Ok(()) }
