//! Version managers (pyenv, rbenv, nodenv, asdf) put scripts into `PATH` that choose the real program.
//!
//! A machine wants the program, not the manager, so the choice is made here, by the manager's own rules.

use crate::problem::{NOT_FOUND, Problem};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Manager {
    tool: &'static str,
    variable: &'static str,
    file: &'static str,
}

const MANAGERS: [Manager; 3] = [
    Manager { tool: "pyenv", variable: "PYENV_VERSION", file: ".python-version" },
    Manager { tool: "rbenv", variable: "RBENV_VERSION", file: ".ruby-version" },
    Manager { tool: "nodenv", variable: "NODENV_VERSION", file: ".node-version" },
];

/// The program that a shim stands for, with the files that decided; `None` if `path` is no shim.
///
/// # Errors
/// If it is a shim, and its manager has no such program.
pub(super) fn real_program(path: &Path, cwd: &Path) -> Result<Option<(PathBuf, Vec<PathBuf>)>> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    if dir.file_name().is_none_or(|n| n != "shims") {
        return Ok(None);
    }
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(None) };
    let Some(root) = dir.parent() else { return Ok(None) };
    let mut tool = text.contains("asdf exec").then_some("asdf");
    for manager in &MANAGERS {
        if !text.contains(manager.tool) {
            continue;
        }
        tool = Some(manager.tool);
        let (versions, files) = versions(manager, root, cwd);
        for version in versions {
            let program = root.join("versions").join(&version).join("bin").join(name);
            if program.exists() {
                return Ok(Some((program, files)));
            }
        }
    }
    // What the rules above do not decide (prefixes, plugins), the manager does.
    let Some(tool) = tool else { return Ok(None) };
    let answer = [root.join("bin").join(tool), PathBuf::from(tool)]
        .into_iter()
        .find_map(|tool| Command::new(tool).arg("which").arg(name).current_dir(cwd).output().ok());
    let found = answer.as_ref().filter(|a| a.status.success());
    let found = found.map(|a| PathBuf::from(String::from_utf8_lossy(&a.stdout).trim()));
    if let Some(program) = found.filter(|p| p.exists()) {
        return Ok(Some((program, Vec::new())));
    }
    let name = name.to_string_lossy();
    let message = format!("{} is a shim of {tool}, which has no {name} for this directory", path.display());
    let hint = format!("`{tool} which {name}` says why; give the program's own path to avoid the shim");
    Err(Problem::new(message).hint(hint).code(NOT_FOUND).into())
}

/// The versions that hold in `cwd`, in order, and the files that were read.
fn versions(manager: &Manager, root: &Path, cwd: &Path) -> (Vec<String>, Vec<PathBuf>) {
    let mut files = Vec::new();
    let mut text = std::env::var(manager.variable).unwrap_or_default().replace(':', "\n");
    if text.is_empty() {
        let local = cwd.ancestors().map(|dir| dir.join(manager.file));
        for file in local.chain([root.join("version")]) {
            files.push(file.clone());
            if let Ok(found) = std::fs::read_to_string(&file) {
                text = found;
                break;
            }
        }
    }
    let words = text.lines().flat_map(str::split_ascii_whitespace);
    let versions = words.filter(|w| !w.starts_with('#') && !w.contains('/')).map(str::to_owned);
    (versions.collect(), files)
}
