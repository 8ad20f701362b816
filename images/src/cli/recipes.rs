//! `hull recipes`.

use super::print_json;
use crate::problem::{NOT_FOUND, Problem};
use crate::recipe;
use anyhow::{Context as _, Result};
use std::ffi::OsString;
use std::io::Write as _;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long, conflicts_with = "name")]
    json: bool,
    /// Print this recipe's text
    name: Option<OsString>,
}

#[derive(serde::Serialize)]
struct Line {
    name: String,
    about: String,
}

pub(super) fn recipes(args: &Args) -> Result<()> {
    let mut out = String::new();
    if let Some(name) = &args.name {
        let found = recipe::find(name)?.ok_or_else(|| {
            let problem = Problem::new(format!("there is no recipe named {}", name.to_string_lossy()));
            problem.hint("`hull recipes` lists them").code(NOT_FOUND)
        })?;
        out += &found.text;
    } else {
        let lines =
            recipe::all()?.into_iter().map(|found| Line { name: found.name, about: found.recipe.about });
        let lines: Vec<Line> = lines.collect();
        if args.json {
            return print_json(&lines);
        }
        let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
        lines.iter().for_each(|line| out += &format!("{:width$}  {}\n", line.name, line.about));
    }
    std::io::stdout().write_all(out.as_bytes()).context("cannot write")
}
