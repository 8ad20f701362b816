//! Starting the tool: one place that knows its command line.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{self, Output};
use crate::stage::Context;

/// The machine types of QEMU, the tool's default first.
pub const TYPES: &[&str] = &["microvm", "q35", "pc"];

/// The machine types that programs run on: the default, or all of them in a full run.
pub fn types(cx: &Context) -> &'static [&'static str] {
    if cx.full { TYPES } else { &TYPES[..1] }
}

/// The machine type that options ask for.
pub fn type_of(options: &[String]) -> Option<&str> {
    let at = options.iter().position(|option| option == "--machine")?;
    options.get(at + 1).map(String::as_str)
}

/// A check's name: that of its program, and the machine type where it is not the default.
pub fn check_name(program: &str, machine: &str) -> String {
    if machine == TYPES[0] { program.to_owned() } else { format!("{program}@{machine}") }
}

/// A run of the tool.
pub struct Machine {
    tool: PathBuf,
    options: Vec<String>,
    limit: Duration,
}

impl Machine {
    /// The tool as built, with a time limit for the whole run.
    ///
    /// # Errors
    /// A sentence, where it is not built.
    pub fn new(cx: &Context, limit: Duration) -> Result<Self, String> {
        let tool = cx.target().join("release/hull");
        if !tool.is_file() {
            return Err(format!("{} is not built", tool.display()));
        }
        Ok(Self { tool, options: Vec::new(), limit })
    }

    /// Adds options of `hull run`.
    #[must_use]
    pub fn options<S: Into<String>>(mut self, options: impl IntoIterator<Item = S>) -> Self {
        self.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// Runs a program in a machine.
    ///
    /// # Errors
    /// A sentence, where the tool cannot be started.
    pub fn run(&self, program: &[String], stdin: &[u8]) -> Result<Output, String> {
        let mut command = Command::new(&self.tool);
        command.arg("run").args(&self.options).args(program);
        // Only the emulator: what a machine answers must not depend on the host's processor.
        command.env("HULL_ACCEL", "tcg");
        command::run(&mut command, stdin, self.limit)
    }

    /// Runs another command of the tool.
    ///
    /// # Errors
    /// A sentence, where the tool cannot be started.
    pub fn tool(&self, args: &[&str]) -> Result<Output, String> {
        command::run(Command::new(&self.tool).args(args).env("HULL_ACCEL", "tcg"), b"", self.limit)
    }
}

/// Where the tool and the programs that it starts look for a program without a path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds a program's file as the tool does.
pub fn find_program(name: &str) -> Option<PathBuf> {
    PATH.split(':').map(|dir| Path::new(dir).join(name)).find(|file| file.is_file())
}

/// The environment that the tool gives to programs, for the run on the host.
pub fn host_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs([("PATH", PATH), ("HOME", "/root"), ("TERM", "dumb"), ("LANG", "C.UTF-8")]);
    command
}
