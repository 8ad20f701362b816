//! `hull-tests test [full] [--list] [FILTER...]` and `hull-tests bench [FILTER...]`.

use std::process::ExitCode;

use tests::stage::{Context, Stage};
use tests::{apps, arrows, bench, compatibility, guest, host, hostile, rows, servers, session, suites, tree};

const HELP: &str = "\
usage: ./hull test [full] [FILTER...]   run the checks whose name contains a FILTER (all without one)
       ./hull test --list               name the stages
       ./hull bench [FILTER...]         measure against a Linux guest

Stages run in the order listed. `full` adds what takes long: more seeds, larger budgets, every machine type.
A program's check is named after its file: `./hull test guest/mm` runs the memory programs.
";

/// The stages, cheap ones first.
const STAGES: &[Stage] = &[
    Stage { name: "fmt", about: "formatting", run: host::fmt },
    Stage { name: "arrows", about: "which crate may depend on which", run: arrows::run },
    Stage { name: "tree", about: "rules on files: unsafe code, sizes, architecture, paths", run: tree::run },
    Stage { name: "clippy", about: "lints, host and bare target", run: host::clippy },
    Stage { name: "unit", about: "tests that need no machine", run: host::unit },
    Stage { name: "docs", about: "documentation builds without warnings", run: host::docs },
    Stage { name: "coverage", about: "generated pages are fresh", run: host::coverage },
    Stage { name: "rows", about: "every call said to be whole is named by a guest program", run: rows::run },
    Stage { name: "fuzz", about: "random input to the parsers", run: host::fuzz },
    Stage { name: "guest", about: "guest programs, here and in the machine", run: guest::run },
    Stage { name: "apps", about: "Debian's programs, here and in the machine", run: apps::run },
    Stage { name: "servers", about: "servers in the machine, clients here", run: servers::run },
    Stage {
        name: "session",
        about: "a user at a terminal; pipes, signals, statuses; the background",
        run: session::run,
    },
    Stage { name: "suites", about: "other projects' tests (full only)", run: suites::run },
    Stage { name: "hostile", about: "damaged input and wrong usage", run: hostile::run },
    Stage { name: "compatibility", about: "the page of what ran is fresh", run: compatibility::run },
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).peekable();
    let command = args.next();
    match command.as_deref() {
        Some("test") => {
            let full = args.next_if(|a| a == "full").is_some();
            let filters: Vec<String> = args.collect();
            if filters.iter().any(|f| f == "--list") {
                STAGES.iter().for_each(|stage| println!("{:<10} {}", stage.name, stage.about));
                return ExitCode::SUCCESS;
            }
            if let Some(option) = filters.iter().find(|f| f.starts_with('-')) {
                eprintln!("hull test: unknown option {option}\n{HELP}");
                return ExitCode::from(2);
            }
            match Context::new(full, filters) {
                Ok(cx) => tests::stage::run(&cx, STAGES),
                Err(problem) => {
                    eprintln!("hull test: {problem}");
                    ExitCode::from(2)
                }
            }
        }
        Some("bench") => match Context::new(false, args.collect()).and_then(|cx| bench::run(&cx)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => {
                eprintln!("hull bench: {problem}");
                ExitCode::FAILURE
            }
        },
        Some("--help" | "-h") => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("hull-tests: unknown command {:?}\n{HELP}", other.unwrap_or_default());
            ExitCode::from(2)
        }
    }
}
