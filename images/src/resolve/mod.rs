//! What a program needs: from a name to a [`Tree`].
//!
//! [`resolve`] finds the program, then follows what leads to other files until nothing is left: symbolic
//! links (kept as links), the dynamic linker and libraries ([`libraries`]), `#!` lines, the library trees of
//! interpreters ([`interpreters`], through the owning Debian package in [`dpkg`] where there is one), and the
//! small set of files that every system has ([`base`]).
//!
//! Everything that was looked at is noted as a [`Stamp`], so that the cache can tell whether it still holds.

mod base;
mod collect;
mod dpkg;
mod interpreters;
pub mod ld_cache;
mod libraries;
mod shims;
#[cfg(test)]
mod tests;

use crate::problem::{NOT_EXECUTABLE, NOT_FOUND, Problem};
use crate::tree::Tree;
use anyhow::Result;
use collect::Collector;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Directories that are searched for programs, inside machines and (after `PATH`) here.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A host path that goes into the image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Include {
    /// The file or directory on this machine.
    pub from: PathBuf,
    /// Its absolute path in the image.
    pub to: PathBuf,
}

/// A file or directory that is made for the image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Given {
    /// Its absolute path in the image.
    pub path: PathBuf,
    /// The file's text; `None` makes a directory.
    pub contents: Option<String>,
    /// Its permissions.
    pub mode: u16,
    /// Its owner, a name of the image's `/etc/passwd` or a number; root if `None`.
    pub owner: Option<String>,
}

/// What an image shall hold.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Request {
    /// The program: a path, or a name that is searched for.
    pub program: Option<OsString>,
    /// Debian packages to take whole, with their dependencies.
    pub packages: Vec<String>,
    /// A directory that becomes the root; programs are then looked for inside it.
    pub dir: Option<PathBuf>,
    /// More host paths.
    pub includes: Vec<Include>,
    /// Files and directories to make; an included path comes before them.
    pub given: Vec<Given>,
    /// Leave out what shells and scripts usually want.
    pub bare: bool,
    /// Where names are searched for: `PATH` of this machine.
    pub search: OsString,
    /// The directory that relative paths start from.
    pub cwd: PathBuf,
}

/// How a host path looked when it was used; the cache compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stamp(u64, u64, u64, i64, i64, u32);

impl Stamp {
    /// Looks at a path (not at what it links to); `None` where nothing is.
    pub fn of(path: &Path) -> Option<Self> {
        path.symlink_metadata().ok().map(|meta| Self::from(&meta))
    }
}

impl From<&std::fs::Metadata> for Stamp {
    fn from(meta: &std::fs::Metadata) -> Self {
        // A directory's own size and inode say nothing that its time does not.
        let size = if meta.is_dir() { 0 } else { meta.len() };
        Self(meta.dev(), meta.ino(), size, meta.mtime(), meta.mtime_nsec(), meta.mode())
    }
}

/// How the program is started.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Launch {
    /// The program's path in the image.
    pub exe: PathBuf,
    /// The first argument.
    pub argv0: OsString,
    /// `PATH` in the machine.
    pub path: String,
}

/// The outcome of [`resolve`].
#[derive(Debug)]
pub struct Resolved {
    /// The image's contents.
    pub tree: Tree,
    /// How to start the program, if one was asked for.
    pub launch: Option<Launch>,
    /// What the outcome depends on.
    pub stamps: Vec<(PathBuf, Option<Stamp>)>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Finds everything that `request` needs.
///
/// # Errors
/// If the program is not found or cannot be executed, or something that was asked for cannot be read.
pub fn resolve(request: &Request) -> Result<Resolved> {
    let mut collector = Collector::new(request);
    let launch = match &request.dir {
        Some(dir) => collector.directory_root(dir, request)?,
        None => collector.program(request)?,
    };
    for include in &request.includes {
        collector.include(include)?;
    }
    for name in &request.packages {
        collector.package(name)?;
    }
    collector.follow()?;
    collector.base()?;
    collector.given()?;
    Ok(collector.finish(launch))
}

/// Finds a program as a shell does: a name with a slash is a path, another is searched for.
///
/// # Errors
/// [`NOT_FOUND`] or [`NOT_EXECUTABLE`], saying where was looked.
pub fn find_program(request: &Request, name: &OsStr) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let shown = name.to_string_lossy();
    if name.as_bytes().contains(&b'/') {
        let path = request.cwd.join(name);
        return match path.metadata() {
            Ok(meta) if meta.is_dir() => {
                let hint = format!("`hull run --dir {shown} PROGRAM` runs a program inside a directory tree");
                Err(Problem::new(format!("{shown} is a directory")).hint(hint).code(NOT_EXECUTABLE).into())
            }
            Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
                let problem = Problem::new(format!("{shown} is not executable")).code(NOT_EXECUTABLE);
                Err(problem.hint(format!("chmod +x {shown}")).into())
            }
            Ok(_) => Ok(path),
            Err(e) => Err(Problem::new(format!("cannot run {shown}: {e}")).code(NOT_FOUND).into()),
        };
    }
    let mut dirs: Vec<&str> = Vec::new();
    let given = request.search.to_string_lossy();
    for dir in given.split(':').chain(DEFAULT_PATH.split(':')) {
        if !dir.is_empty() && !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    let mut blocked = None;
    for dir in &dirs {
        let path = request.cwd.join(dir).join(name);
        match path.metadata() {
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => return Ok(path),
            Ok(meta) if meta.is_file() => blocked = blocked.or(Some(path)),
            _ => {}
        }
    }
    if let Some(path) = blocked {
        let message = format!("{} is not executable", path.display());
        return Err(Problem::new(message).code(NOT_EXECUTABLE).into());
    }
    let mut problem =
        Problem::new(format!("program {shown:?} was not found in {}", dirs.join(":"))).code(NOT_FOUND);
    if request.cwd.join(name).exists() {
        problem = problem.hint(format!("a file of that name is here: write ./{shown}"));
    } else {
        problem = problem.hint("install it on this machine first, or give its path");
    }
    Err(problem.into())
}
