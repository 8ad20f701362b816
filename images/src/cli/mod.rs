//! The command line.

mod background;
mod build;
mod doctor;
mod files;
mod logs;
mod machines;
mod net;
mod recipes;
mod run;
mod select;

use crate::problem;
use anyhow::Result;
use background::Role;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs unmodified Linux programs as virtual machines.
#[derive(Parser, Debug)]
#[command(
    name = "hull",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "Examples:\n  hull run python3 -c 'print(6*7)'\n  hull run -it bash\n  \
    hull run -d --name cache -p 6379:6379 redis; hull logs -f cache; hull stop cache\n  \
    hull build -o app.erofs ./server --port 80\n  hull inspect app.erofs")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Wrap a program (or take an image) and boot it
    Run(Box<run::Args>),
    /// Write an image
    Build(build::Args),
    /// Show what an image holds, or what a program would bring
    Inspect(build::InspectArgs),
    /// List files in an image
    Ls(files::LsArgs),
    /// Print files of an image
    Cat(files::CatArgs),
    /// Copy files out of an image
    Cp(files::CpArgs),
    /// List recipes, or print one
    Recipes(recipes::Args),
    /// List machines
    Ps(machines::PsArgs),
    /// Show what a machine in the background has written
    Logs(logs::Args),
    /// Ask programs to end, and end their machines if they do not
    Stop(machines::StopArgs),
    /// End machines at once, or send signals to their programs
    Kill(machines::KillArgs),
    /// Wait until machines have ended, and print their exit codes
    Wait(machines::WaitArgs),
    /// Remove machines that have ended
    Rm(machines::RmArgs),
    /// Check what Hull needs on this machine
    Doctor(doctor::Args),
}

/// Parses the command line and does what it says; returns the exit code.
pub fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let is_supervisor = args.get(1).is_some_and(|arg| arg == background::ARGUMENT);
    if is_supervisor {
        args.remove(1);
    }
    let role = if is_supervisor { Role::Supervisor } else { Role::Tool };
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // Usage errors are the tool's failures, not the program's: scripts tell them apart by the code.
            return ExitCode::from(if error.use_stderr() { problem::FAILURE } else { 0 });
        }
    };
    let result = match cli.command {
        Command::Run(args) => run::run(*args, role),
        Command::Build(args) => build::build(args).map(|()| 0),
        Command::Inspect(args) => build::inspect(args).map(|()| 0),
        Command::Ls(args) => files::ls(&args).map(|()| 0),
        Command::Cat(args) => files::cat(&args).map(|()| 0),
        Command::Cp(args) => files::cp(&args).map(|()| 0),
        Command::Recipes(args) => recipes::recipes(&args).map(|()| 0),
        Command::Ps(args) => machines::ps(&args).map(|()| 0),
        Command::Logs(args) => logs::logs(&args).map(|()| 0),
        Command::Stop(args) => machines::stop(&args),
        Command::Kill(args) => machines::kill(&args),
        Command::Wait(args) => machines::wait(&args),
        Command::Rm(args) => machines::rm(&args),
        Command::Doctor(args) => doctor::doctor(&args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::from(128 + 13),
        Err(error) => {
            let (text, code) = problem::explain(&error);
            eprint!("{text}");
            ExitCode::from(code)
        }
    }
}

/// Whether nobody reads the tool's own output any more: no reason to complain.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<std::io::Error>().map(|e| e.kind());
    error.chain().any(|cause| kind(cause) == Some(std::io::ErrorKind::BrokenPipe))
}

/// Writes a value as JSON to standard output.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
