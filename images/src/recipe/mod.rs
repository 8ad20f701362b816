//! Recipes: programs with what they need to serve, in a few lines of TOML.
//!
//! A recipe is found by its name among those built in (`images/recipes`) and those in the user's
//! `$XDG_CONFIG_HOME/hull/recipes`, which come first; or by the path of a file that ends in `.toml`. Its values are
//! defaults: what the command line says comes before them.

#[cfg(test)]
mod tests;
mod value;

pub use value::{Absolute, FileMode, Memory, Ports};

use crate::problem::{NOT_FOUND, Problem};
use crate::resolve::Given;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The ending of a recipe's file.
const ENDING: &str = "toml";

/// The recipes that the tool brings along.
const BUILT_IN: [(&str, &str); 7] = [
    ("haproxy", include_str!("../../recipes/haproxy.toml")),
    ("lighttpd", include_str!("../../recipes/lighttpd.toml")),
    ("memcached", include_str!("../../recipes/memcached.toml")),
    ("nginx", include_str!("../../recipes/nginx.toml")),
    ("node-http", include_str!("../../recipes/node-http.toml")),
    ("python-http", include_str!("../../recipes/python-http.toml")),
    ("redis", include_str!("../../recipes/redis.toml")),
];

/// A recipe.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What it is, in a line.
    pub about: String,
    /// The program: a path, or a name that is searched for.
    pub program: String,
    /// Its arguments, unless the command line has some.
    #[serde(default)]
    pub args: Vec<String>,
    /// Debian packages that the program comes from, for the message where it is missing.
    #[serde(default)]
    pub install: Vec<String>,
    /// Debian packages to take whole, with their dependencies; a program's own files come without that.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Host paths to take, `PATH[:DST]`; relative ones start from the recipe's directory.
    #[serde(default)]
    pub include: Vec<String>,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Ports to publish, as `-p` takes them.
    #[serde(default)]
    pub ports: Vec<Ports>,
    /// Memory of the machine.
    pub memory: Option<Memory>,
    /// Number of processors.
    pub cpus: Option<std::num::NonZeroU8>,
    /// User, and perhaps group, to run as.
    pub user: Option<String>,
    /// Directory to start in.
    pub workdir: Option<Absolute>,
    /// Files with their contents.
    #[serde(default)]
    pub file: Vec<File>,
    /// Directories.
    #[serde(default)]
    pub directory: Vec<Directory>,
}

/// A file of a recipe.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its path in the image.
    pub path: Absolute,
    /// Its text.
    pub contents: String,
    /// Its permissions, `0644` if not given.
    pub mode: Option<FileMode>,
    /// Its owner, by name or number; root if not given.
    pub owner: Option<String>,
}

/// A directory of a recipe.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Its path in the image.
    pub path: Absolute,
    /// Its permissions, `0755` if not given.
    pub mode: Option<FileMode>,
    /// Its owner, by name or number; root if not given.
    pub owner: Option<String>,
}

/// A recipe with its place.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What it says.
    pub recipe: Recipe,
    /// Its text.
    pub text: String,
    /// The directory that its relative paths start from, if it is a file.
    pub dir: Option<PathBuf>,
}

impl Recipe {
    /// Reads a recipe; `origin` names it in messages.
    ///
    /// # Errors
    /// If it is malformed, with line and column.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let place = error.span().map_or_else(String::new, |span| {
                let before = text.get(..span.start).unwrap_or(text);
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                format!(":{line}:{column}")
            });
            let message = format!("{origin}{place}: {}", error.message().trim().replace('\n', ", "));
            Problem::new(message).hint("`hull recipes redis` prints an example").into()
        })
    }

    /// The files and directories, as a request takes them.
    pub fn given(&self) -> impl Iterator<Item = Given> {
        let files = self.file.iter().map(|file| Given {
            path: file.path.0.clone(),
            contents: Some(file.contents.clone()),
            mode: file.mode.map_or(0o644, |mode| mode.0),
            owner: file.owner.clone(),
        });
        let directories = self.directory.iter().map(|directory| Given {
            path: directory.path.0.clone(),
            contents: None,
            mode: directory.mode.map_or(0o755, |mode| mode.0),
            owner: directory.owner.clone(),
        });
        directories.chain(files)
    }
}

/// Finds a recipe; `None` if the name is none's.
///
/// # Errors
/// If there is one, and it cannot be read or is malformed.
pub fn find(name: &OsStr) -> Result<Option<Found>> {
    let path = Path::new(name);
    if path.extension().is_some_and(|ending| ending == ENDING) {
        return read_file(path).map(Some);
    }
    let Some(name) = name.to_str().filter(|name| !name.contains('/') && !name.is_empty()) else {
        return Ok(None);
    };
    if let Some(file) =
        user_dir().map(|dir| dir.join(format!("{name}.{ENDING}"))).filter(|file| file.is_file())
    {
        return read_file(&file).map(Some);
    }
    let Some((name, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) else { return Ok(None) };
    let recipe = Recipe::parse(text, &format!("recipe {name}"))?;
    Ok(Some(Found { name: (*name).to_owned(), recipe, text: (*text).to_owned(), dir: None }))
}

/// All recipes that have names, in the order of these.
///
/// # Errors
/// As [`find`].
pub fn all() -> Result<Vec<Found>> {
    let mut names: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
    for entry in user_dir().and_then(|dir| std::fs::read_dir(dir).ok()).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            names.extend(path.file_stem().and_then(OsStr::to_str).map(str::to_owned));
        }
    }
    names.sort();
    names.dedup();
    names.iter().filter_map(|name| find(OsStr::new(name)).transpose()).collect()
}

fn read_file(path: &Path) -> Result<Found> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let problem = Problem::new(format!("cannot read recipe {shown}: {error}")).code(NOT_FOUND);
        problem.hint("`hull recipes` lists those that have names")
    })?;
    let recipe = Recipe::parse(&text, &shown.to_string())?;
    let absolute = std::path::absolute(path).with_context(|| format!("cannot find {shown}"))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Found { name, recipe, text, dir: absolute.parent().map(Path::to_owned) })
}

fn user_dir() -> Option<PathBuf> {
    let dir = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    Some(dir("XDG_CONFIG_HOME").or_else(|| Some(dir("HOME")?.join(".config")))?.join("hull/recipes"))
}
