//! Makes the hypervisor end with the tool, whatever ends the tool.
//!
//! A child can ask the kernel for a signal on its parent's death, but only the child itself, after the fork.
//! So the tool starts itself once more with a hidden first argument; that process asks, and becomes QEMU.

use rustix::process::{Pid, Signal};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

const ARGUMENT: &str = "__hypervisor";
static SELF: OnceLock<PathBuf> = OnceLock::new();

/// To be called first in `main` of a program that starts machines: becomes the hypervisor if the program was
/// started for that, and returns `None` otherwise.
pub fn enter() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    let me = args.next();
    if args.next().is_none_or(|arg| arg != ARGUMENT) {
        if let Ok(exe) = std::env::current_exe().or_else(|e| me.map(PathBuf::from).ok_or(e)) {
            let _ = SELF.set(exe);
        }
        return None;
    }
    let parent: Option<i32> = args.next().and_then(|p| p.to_str()?.parse().ok());
    let program = args.next()?;
    let asked = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // The parent may have died before the request.
    let parent_lives = rustix::process::getppid().map(Pid::as_raw_nonzero).map(|p| p.get()) == parent;
    if asked.is_err() || !parent_lives {
        return Some(ExitCode::from(crate::problem::FAILURE));
    }
    let error = Command::new(&program).args(args).exec();
    eprintln!("error: cannot start {}: {error}", Path::new(&program).display());
    Some(ExitCode::from(crate::problem::FAILURE))
}

/// The command that starts the hypervisor; under a guard if [`enter`] was called.
pub(super) fn command(program: &OsStr, args: &[OsString]) -> Command {
    let mut command = match SELF.get() {
        Some(exe) => {
            let mut command = Command::new(exe);
            command.arg(ARGUMENT).arg(std::process::id().to_string()).arg(program);
            command
        }
        None => Command::new(program),
    };
    // A group of its own: ^C at the terminal goes to the tool, which tells the application.
    command.args(args).process_group(0);
    command
}
