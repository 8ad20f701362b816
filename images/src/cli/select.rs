//! Options that say what goes into an image and how its program starts; shared by `run` and `build`.

use crate::erofs::{Follow, Image};
use crate::problem::Problem;
use crate::recipe::{self, Found};
use crate::resolve::{DEFAULT_PATH, Given, Include, Request};
use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Images above this size show their progress.
const PROGRESS_FROM: u64 = 32 << 20;

/// What an image holds.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Contents {
    /// Take a Debian package whole, with its dependencies (repeatable)
    #[arg(long = "package", value_name = "NAME")]
    packages: Vec<String>,
    /// Use a directory tree as the root; PROGRAM is looked for inside it
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Put a file or directory of this machine into the image, at the same path or at DST (repeatable)
    #[arg(long = "include", value_name = "PATH[:DST]")]
    includes: Vec<OsString>,
    /// Leave out the commands that come along with a shell
    #[arg(long)]
    bare: bool,
    /// Files and directories of a recipe.
    #[arg(skip)]
    given: Vec<Given>,
}

/// How the program starts.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Start {
    /// Set an environment variable; without a value, take this machine's (repeatable)
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Run as this user: names of the image's /etc/passwd and /etc/group, or numbers
    #[arg(short = 'u', long, value_name = "USER[:GROUP]")]
    pub(super) user: Option<String>,
    /// Start in this directory of the image
    #[arg(short = 'w', long, value_name = "DIR")]
    pub(super) workdir: Option<PathBuf>,
}

impl Contents {
    /// Whether anything was asked for that only a new image can have.
    pub(super) fn is_given(&self) -> bool {
        !self.packages.is_empty() || self.dir.is_some() || !self.includes.is_empty()
    }

    /// Finds the recipe that a name means; a directory tree given with `--dir` has programs only.
    pub(super) fn recipe(&self, name: Option<&OsString>) -> Result<Option<Found>> {
        name.filter(|name| self.dir.is_none() && !Image::probe(Path::new(name)))
            .map_or(Ok(None), |name| recipe::find(name))
    }

    pub(super) fn request(&self, program: Option<&OsStr>) -> Result<Request> {
        let cwd = std::env::current_dir().context("cannot find the current directory")?;
        let includes = self.includes.iter().map(|text| include(text, &cwd)).collect::<Result<_>>()?;
        Ok(Request {
            program: program.map(OsStr::to_owned),
            packages: self.packages.clone(),
            dir: self.dir.clone(),
            includes,
            given: self.given.clone(),
            bare: self.bare,
            search: std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into()),
            cwd,
        })
    }
}

/// Puts a recipe's values where the command line leaves room: its program with its arguments in place of its name.
pub(super) fn apply(found: &Found, contents: &mut Contents, start: &mut Start, command: &mut Vec<OsString>) {
    let recipe = &found.recipe;
    if let Some(name) = command.first_mut() {
        *name = (&recipe.program).into();
    }
    if command.len() == 1 {
        command.extend(recipe.args.iter().map(OsString::from));
    }
    contents.packages.extend(recipe.packages.iter().cloned());
    // What the user includes may replace what the recipe does.
    let own = recipe.include.iter().map(|text| match &found.dir {
        Some(dir) => dir.join(text).into_os_string(),
        None => text.into(),
    });
    contents.includes.splice(0..0, own);
    contents.given.extend(recipe.given());
    let variables = recipe.env.iter().map(|(name, value)| format!("{name}={value}").into());
    start.env.splice(0..0, variables);
    start.user = start.user.take().or_else(|| recipe.user.clone());
    start.workdir = start.workdir.take().or_else(|| recipe.workdir.clone().map(|dir| dir.0));
}

/// Says what a recipe needs when it cannot be followed.
pub(super) fn explain(found: Option<&Found>, error: anyhow::Error) -> anyhow::Error {
    let Some(found) = found else { return error };
    let mut problem = Problem::within(&format!("recipe {}", found.name), &error);
    let needed = [&found.recipe.install[..], &found.recipe.packages].concat();
    if !needed.is_empty() {
        problem = problem.hint(format!("the recipe needs: apt-get install {}", needed.join(" ")));
    }
    problem.into()
}

impl Start {
    /// The entries that the user added.
    pub(super) fn environment(&self) -> Result<Vec<Vec<u8>>> {
        let mut out = Vec::new();
        for entry in &self.env {
            let bytes = entry.as_bytes();
            if bytes.is_empty() || bytes.starts_with(b"=") {
                let message = format!("-e {}: a variable needs a name", entry.to_string_lossy());
                return Err(Problem::new(message).hint("write -e NAME=VALUE").into());
            }
            if bytes.contains(&b'=') {
                out.push(bytes.to_vec());
            } else if let Some(value) = std::env::var_os(entry) {
                out.push([bytes, b"=", value.as_bytes()].concat());
            }
        }
        Ok(out)
    }
}

fn include(text: &OsStr, cwd: &Path) -> Result<Include> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().rposition(|&b| b == b':');
    let split = colon.filter(|_| !cwd.join(text).exists());
    let (from, to) = match split {
        Some(at) => (OsString::from_vec(bytes[..at].to_vec()), OsString::from_vec(bytes[at + 1..].to_vec())),
        None => (text.to_owned(), std::path::absolute(cwd.join(text))?.into_os_string()),
    };
    if !Path::new(&to).is_absolute() {
        let message =
            format!("--include {}: {} is not an absolute path", text.to_string_lossy(), to.to_string_lossy());
        return Err(Problem::new(message).hint("write --include PATH:/path/in/the/image").into());
    }
    Ok(Include { from: from.into(), to: to.into() })
}

/// Finds user and groups by the image's own files.
pub(super) fn user(image: &Image, text: &str) -> Result<(u32, u32, Vec<u32>)> {
    let file = |path: &str| -> String {
        let read = || -> Result<String> {
            let inode = image.find(Path::new(path), Follow::Yes)?;
            let mut bytes = vec![0; usize::try_from(inode.size.min(1 << 20))?];
            let len = image.read(&inode, 0, &mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes[..len]).into_owned())
        };
        read().unwrap_or_default()
    };
    let (passwd, groups) = (file("/etc/passwd"), file("/etc/group"));
    find_user(&passwd, &groups, text)
}

fn find_user(passwd: &str, groups: &str, text: &str) -> Result<(u32, u32, Vec<u32>)> {
    let (name, group) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
    let rows = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
    };
    let field = |row: &[String], n: usize| row.get(n).and_then(|f| f.parse::<u32>().ok());
    let missing = |what: &str, name: &str, file: &str| {
        let message = format!("{what} {name:?} is not in the image's {file}");
        Problem::new(message).hint("use a number, or --include a file that has it")
    };
    let entry = rows(passwd).into_iter().find(|row| row.first().is_some_and(|n| n == name));
    let number = name.parse::<u32>().ok();
    let entry =
        entry.or_else(|| rows(passwd).into_iter().find(|row| number.is_some() && field(row, 2) == number));
    let uid = entry.as_ref().and_then(|row| field(row, 2)).or(number);
    let uid = uid.ok_or_else(|| missing("user", name, "/etc/passwd"))?;
    let group_rows = rows(groups);
    let gid = match group {
        None => entry.as_ref().and_then(|row| field(row, 3)).unwrap_or(0),
        Some(group) => {
            let row = group_rows.iter().find(|row| row.first().is_some_and(|n| n == group));
            let gid = row.and_then(|row| field(row, 2)).or_else(|| group.parse().ok());
            gid.ok_or_else(|| missing("group", group, "/etc/group"))?
        }
    };
    let login = entry.and_then(|row| row.first().cloned());
    let is_member = |row: &&Vec<String>| {
        group.is_none()
            && login.as_ref().is_some_and(|l| row.get(3).is_some_and(|m| m.split(',').any(|m| m == l)))
    };
    let more = group_rows.iter().filter(is_member).filter_map(|row| field(row, 2)).filter(|&g| g != gid);
    Ok((uid, gid, more.collect()))
}

/// Shows how far a long build has come, on terminals only.
pub(super) fn progress(quiet: bool) -> impl FnMut(u64, u64) {
    let mut bar: Option<ProgressBar> = None;
    move |done, total| {
        if quiet || total < PROGRESS_FROM || !std::io::stderr().is_terminal() {
            return;
        }
        let bar = bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("building image {bar:30} {bytes}/{total_bytes}");
            let bar = ProgressBar::new(total);
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar
        });
        bar.set_position(done.min(total));
        if done >= total {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_names_or_numbers() {
        let passwd = "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/:/bin/sh\n";
        let groups = "root:x:0:\nweb:x:34:\nlogs:x:50:me,web\n";
        assert_eq!(find_user(passwd, groups, "web").unwrap(), (33, 34, vec![50]));
        assert_eq!(find_user(passwd, groups, "33").unwrap(), (33, 34, vec![50]));
        assert_eq!(find_user(passwd, groups, "web:logs").unwrap(), (33, 50, vec![]));
        assert_eq!(find_user(passwd, groups, "1000:1000").unwrap(), (1000, 1000, vec![]));
        assert!(find_user(passwd, groups, "nobody").is_err() && find_user(passwd, groups, "web:x").is_err());
    }

    #[test]
    fn an_include_names_its_place() {
        let cwd = Path::new("/");
        assert_eq!(include(OsStr::new("etc/passwd"), cwd).unwrap().to, Path::new("/etc/passwd"));
        let renamed = include(OsStr::new("/etc/passwd:/x/y"), cwd).unwrap();
        assert_eq!(
            (renamed.from.as_path(), renamed.to.as_path()),
            (Path::new("/etc/passwd"), Path::new("/x/y"))
        );
        assert!(include(OsStr::new("/etc/passwd:x"), cwd).is_err());
    }
}
