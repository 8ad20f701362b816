//! The collector: a work list of host files and what each leads to.

use super::base::CERTIFICATES;
use super::dpkg::Dpkg;
use super::libraries::Libraries;
use super::{DEFAULT_PATH, Include, Launch, Request, Resolved, Stamp, find_program, interpreters, shims};
use crate::problem::{NOT_EXECUTABLE, NOT_FOUND, Problem};
use crate::tree::{Body, Meta, Tree};
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Directory levels below which a walk gives up: no real tree is deeper, a bind-mounted loop is.
const DEPTH_MAX: usize = 100;

pub(super) struct Collector<'a> {
    pub(super) request: &'a Request,
    pub(super) tree: Tree,
    pub(super) stamps: HashMap<PathBuf, Option<Stamp>>,
    pub(super) warnings: BTreeSet<String>,
    /// Libraries that were not found: who asks, and the name.
    pub(super) missing: BTreeSet<(PathBuf, String)>,
    pub(super) libraries: Libraries,
    pub(super) dpkg: Option<Dpkg>,
    /// Files whose contents are still to be looked at: host path, run paths of its loaders, reason.
    queue: Vec<(PathBuf, Vec<PathBuf>)>,
    followed: HashSet<PathBuf>,
    /// Real directories that are in the tree.
    dirs: HashSet<PathBuf>,
    pub(super) packages: HashSet<String>,
    pub(super) interpreters: HashSet<PathBuf>,
    /// Directories of programs that were found outside the default path: they go first in the machine's `PATH`.
    pub(super) path_dirs: Vec<PathBuf>,
    /// Base names of libraries that are in: they decide what data comes along.
    pub(super) library_names: BTreeMap<String, PathBuf>,
    pub(super) has_shell: bool,
    pub(super) root_is_given: bool,
    /// A program without libraries (Go's, Rust's) names the file of certificates itself.
    pub(super) names_certificates: bool,
}

impl<'a> Collector<'a> {
    pub(super) fn new(request: &'a Request) -> Self {
        Self {
            request,
            tree: Tree::new(),
            stamps: HashMap::new(),
            warnings: BTreeSet::new(),
            missing: BTreeSet::new(),
            libraries: Libraries::default(),
            dpkg: None,
            queue: Vec::new(),
            followed: HashSet::new(),
            dirs: HashSet::new(),
            packages: HashSet::new(),
            interpreters: HashSet::new(),
            path_dirs: Vec::new(),
            library_names: BTreeMap::new(),
            has_shell: false,
            root_is_given: false,
            names_certificates: false,
        }
    }

    /// Takes the program that was asked for, and says how to start it.
    pub(super) fn program(&mut self, request: &Request) -> Result<Option<Launch>> {
        let Some(name) = &request.program else { return Ok(None) };
        let why: Arc<str> = "program".into();
        let found = self.find(name)?;
        let exe = absolute(&found);
        let real = self.add(&exe, &why)?;
        self.must_be_runnable(&real)?;
        self.executable(&exe, &real)?;
        // A relative path means nothing in a machine that starts in another directory.
        let argv0 = if name.as_bytes().contains(&b'/') { exe.clone().into_os_string() } else { name.clone() };
        Ok(Some(Launch { exe, argv0, path: String::new() }))
    }

    /// Finds a program by path or name, sees through version managers' shims, and notes its directory.
    pub(super) fn find(&mut self, name: &OsStr) -> Result<PathBuf> {
        let found = find_program(self.request, name)?;
        self.note(&found);
        let found = match shims::real_program(&found, &self.request.cwd)? {
            Some((program, files)) => {
                files.iter().for_each(|file| self.note(file));
                program
            }
            None => found,
        };
        if !name.as_bytes().contains(&b'/')
            && let Some(dir) = found.parent().map(absolute)
            && !DEFAULT_PATH.split(':').any(|d| Path::new(d) == dir)
            && !self.path_dirs.contains(&dir)
        {
            self.path_dirs.push(dir);
        }
        Ok(found)
    }

    /// Refuses a main program that no machine could start.
    fn must_be_runnable(&self, real: &Path) -> Result<()> {
        let start = head(real)?;
        let refuse = |why: &str| Err(Problem::new(format!("{}: {why}", real.display())).code(NOT_EXECUTABLE));
        if start.starts_with(b"\x7fELF") {
            let bytes = std::fs::read(real).with_context(|| format!("cannot read {}", real.display()))?;
            let interpreter = match loader::dynamic::read(&bytes) {
                Ok(dynamic) => dynamic.interpreter.map(|path| PathBuf::from(OsStr::from_bytes(path))),
                Err(e) => return Ok(refuse(&format!("not a program for x86-64 Linux: {e}"))?),
            };
            if let Some(path) = interpreter.filter(|path| !path.exists()) {
                let problem = refuse(&format!("its dynamic linker {} is missing", path.display()));
                let hint = "it was made for another distribution: --dir takes a root directory that has it";
                return Ok(problem.map_err(|p| p.code(NOT_FOUND).hint(hint))?);
            }
        } else if !start.starts_with(b"#!") {
            let problem = refuse("neither an ELF program nor a script with a `#!` line");
            return Ok(
                problem.map_err(|p| p.hint("`file` tells what it is; a script needs `#!/bin/sh` first"))?
            );
        }
        Ok(())
    }

    /// What follows from a file being executed: its `#!` interpreter, its library tree, shell commands.
    pub(super) fn executable(&mut self, given: &Path, real: &Path) -> Result<()> {
        let start = head(real)?;
        if let Some(line) = start.strip_prefix(b"#!") {
            let line = line.split(|&b| b == b'\n').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line).trim().to_owned();
            return self.script(given, &line);
        }
        if self.interpreters.insert(real.to_path_buf()) {
            interpreters::program(self, given, real)?;
        }
        Ok(())
    }

    fn script(&mut self, script: &Path, line: &str) -> Result<()> {
        let why: Arc<str> = format!("interpreter of {}", script.display()).into();
        let mut words = line.split_ascii_whitespace();
        let interpreter = words.next().unwrap_or_default();
        if interpreter.is_empty() {
            let message = format!("{}: its `#!` line names no interpreter", script.display());
            return Err(Problem::new(message).code(NOT_EXECUTABLE).into());
        }
        let missing = |e: anyhow::Error| {
            let what = format!("{}: its interpreter {interpreter} cannot be used", script.display());
            e.context(Problem::new(what).code(NOT_FOUND))
        };
        let path = find_program(self.request, OsStr::new(interpreter)).map_err(missing)?;
        let real = self.add(&absolute(&path), &why)?;
        self.executable(&path, &real)?;
        if path.file_name() == Some(OsStr::new("env")) {
            // `env -S` splits its argument; options and assignments come before the program's name.
            let name = words.find(|w| !w.starts_with('-') && !w.contains('='));
            if let Some(name) = name {
                let found = self.find(OsStr::new(name)).map_err(missing)?;
                let exe = absolute(&found);
                let real = self.add(&exe, &why)?;
                self.executable(&exe, &real)?;
            }
        }
        Ok(())
    }

    /// Takes a host path with every symbolic link on the way; returns the real path.
    pub(super) fn add(&mut self, path: &Path, why: &Arc<str>) -> Result<PathBuf> {
        let trouble = || format!("cannot take {} ({why})", path.display());
        let mut left: Vec<OsString> = parts(path);
        let mut real = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = left.pop() {
            if name == ".." {
                real.pop();
                continue;
            }
            let next = real.join(&name);
            if self.dirs.contains(&next) {
                real = next;
                continue;
            }
            let meta = next.symlink_metadata().with_context(trouble)?;
            self.stamp(&next, &meta);
            let there = self.tree.find(&next).is_some();
            if meta.is_symlink() {
                links += 1;
                if links > 40 {
                    return Err(Problem::new("too many levels of symbolic links")).with_context(trouble);
                }
                if !there {
                    self.tree.take_known(&next, &meta, &next, why)?;
                }
                let target = next.read_link().with_context(trouble)?;
                if target.is_absolute() {
                    real = PathBuf::from("/");
                }
                left.extend(parts(&target));
            } else {
                if !there {
                    let id = self.tree.take_known(&next, &meta, &next, why)?;
                    if meta.is_dir() {
                        // Only part of it is taken: the host's time would only make equal images differ.
                        let node = self.tree.node_mut(id);
                        node.meta = Meta { mtime: 0, mtime_ns: 0, ..node.meta };
                    }
                }
                if meta.is_dir() {
                    self.dirs.insert(next.clone());
                } else if meta.is_file() {
                    self.enqueue(&next, &meta);
                }
                real = next;
            }
        }
        Ok(real)
    }

    /// Like [`Collector::add`] for what may be missing.
    pub(super) fn add_if_there(&mut self, path: &Path, why: &Arc<str>) -> Option<PathBuf> {
        self.note(path);
        if path.exists() { self.add(path, why).ok() } else { None }
    }

    /// Takes a directory tree of this machine to the same place; `keep` chooses by path.
    pub(super) fn add_tree(
        &mut self,
        dir: &Path,
        why: &Arc<str>,
        keep: &dyn Fn(&Path) -> bool,
    ) -> Result<()> {
        let real = self.add(dir, why)?;
        let to = real.clone();
        self.walk(&real, &to, why, keep, 0)
    }

    fn walk(
        &mut self,
        from: &Path,
        to: &Path,
        why: &Arc<str>,
        keep: &dyn Fn(&Path) -> bool,
        depth: usize,
    ) -> Result<()> {
        if depth > DEPTH_MAX {
            let message = format!("{} is more than {DEPTH_MAX} directories deep", from.display());
            return Err(Problem::new(message).into());
        }
        self.note(from);
        let entries = std::fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", from.display()))?;
            let path = entry.path();
            if !keep(&path) {
                continue;
            }
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue, // gone meanwhile
                Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
            };
            self.stamp(&path, &meta);
            let to = to.join(entry.file_name());
            self.tree.take_known(&path, &meta, &to, why)?;
            if meta.is_dir() {
                self.walk(&path, &to, why, keep, depth + 1)?;
            } else if meta.is_file() && !self.root_is_given {
                self.enqueue(&path, &meta);
            } else if meta.is_symlink() && path == to && !self.root_is_given && path.exists() {
                // A link out of the tree (a venv's `python`): what it leads to comes along.
                if let Ok(target) = path.canonicalize()
                    && target.is_file()
                {
                    self.add(&path, why)?;
                }
            }
        }
        Ok(())
    }

    /// Takes one `--include`.
    pub(super) fn include(&mut self, include: &Include) -> Result<()> {
        let why: Arc<str> = format!("--include {}", include.from.display()).into();
        let from = absolute(&self.request.cwd.join(&include.from));
        let meta = from.metadata().with_context(|| format!("cannot include {}", include.from.display()))?;
        if absolute(&include.to) == from && !self.root_is_given {
            let real = self.add(&from, &why)?;
            return if meta.is_dir() { self.add_tree(&real, &why, &|_| true) } else { Ok(()) };
        }
        self.note(&from);
        // The path is followed on this machine: what it names is meant, not the link.
        let real = from.canonicalize().with_context(|| format!("cannot include {}", from.display()))?;
        let to = self.tree.lookup(&include.to).map_or_else(|| include.to.clone(), |(path, _)| path);
        self.tree.take(&real, &to, &why)?;
        if meta.is_dir() {
            self.walk(&real, &to, &why, &|_| true, 0)
        } else {
            self.stamp(&real, &meta);
            if !self.root_is_given {
                self.enqueue(&real, &meta);
            }
            Ok(())
        }
    }

    /// Makes a directory the root; the program is then looked for inside it.
    pub(super) fn directory_root(&mut self, dir: &Path, request: &Request) -> Result<Option<Launch>> {
        let why: Arc<str> = format!("--dir {}", dir.display()).into();
        let from = self.request.cwd.join(dir);
        let from = from.canonicalize().with_context(|| format!("cannot use directory {}", dir.display()))?;
        if !from.is_dir() {
            return Err(Problem::new(format!("{} is not a directory", dir.display())).into());
        }
        self.root_is_given = true;
        self.tree.take(&from, Path::new("/"), &why)?;
        self.walk(&from, Path::new("/"), &why, &|_| true, 0)?;
        let Some(name) = &request.program else { return Ok(None) };
        let places: Vec<PathBuf> = if name.as_bytes().contains(&b'/') {
            vec![Path::new("/").join(name)]
        } else {
            DEFAULT_PATH.split(':').map(|d| Path::new(d).join(name)).collect()
        };
        for place in &places {
            if let Some((_, id)) = self.tree.lookup(place)
                && let node = self.tree.node(id)
                && matches!(node.body, Body::File(..))
                && node.meta.mode & 0o111 != 0
            {
                return Ok(Some(Launch { exe: place.clone(), argv0: name.clone(), path: String::new() }));
            }
        }
        let list: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
        let message = format!("program {} was not found in {}", name.to_string_lossy(), dir.display());
        Err(Problem::new(message).hint(format!("looked for {}", list.join(", "))).code(NOT_FOUND).into())
    }

    /// Looks into every file that waits, until nothing new comes up.
    pub(super) fn follow(&mut self) -> Result<()> {
        while let Some((path, run_paths)) = self.queue.pop() {
            if !self.followed.insert(path.clone()) || !head(&path)?.starts_with(b"\x7fELF") {
                continue;
            }
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            match loader::dynamic::read(&bytes) {
                Ok(dynamic) => {
                    self.names_certificates |= dynamic.interpreter.is_none()
                        && dynamic.needed.is_empty()
                        && bytes.windows(CERTIFICATES.len()).any(|window| window == CERTIFICATES.as_bytes());
                    self.dynamic(&path, &dynamic, &run_paths)?;
                }
                Err(loader::ElfError::Class | loader::ElfError::Machine(_)) => {} // data for another machine
                Err(e) => {
                    self.warnings.insert(format!("{}: {e}", path.display()));
                }
            }
        }
        Ok(())
    }

    pub(super) fn enqueue_library(&mut self, path: PathBuf, run_paths: Vec<PathBuf>) {
        self.queue.push((path, run_paths));
    }

    fn enqueue(&mut self, path: &Path, meta: &std::fs::Metadata) {
        let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
        let library = name.windows(3).any(|w| w == b".so") || name.ends_with(b".node");
        if (library || meta.permissions().mode() & 0o111 != 0) && !self.followed.contains(path) {
            self.queue.push((path.into(), Vec::new()));
        }
    }

    /// Notes how a path looks now, missing or not.
    pub(super) fn note(&mut self, path: &Path) {
        if !self.stamps.contains_key(path) {
            self.stamps.insert(path.into(), Stamp::of(path));
        }
    }

    fn stamp(&mut self, path: &Path, meta: &std::fs::Metadata) {
        // A directory that only lies on the way may change; one that is listed is noted by the walk.
        if !meta.is_dir() && !self.stamps.contains_key(path) {
            self.stamps.insert(path.into(), Some(Stamp::from(meta)));
        }
    }

    /// Says which libraries are missing. One that lies elsewhere in the image is not: its program loads it by
    /// path first, and the linker then takes what is loaded already.
    fn report_missing(&mut self) {
        if self.missing.is_empty() {
            return;
        }
        let mut names = HashSet::new();
        self.tree.walk(|path, _| names.extend(path.file_name().map(OsStr::to_owned)));
        for (path, name) in &self.missing {
            if !names.contains(OsStr::new(name)) {
                self.warnings.insert(format!("{}: library {name} was not found", path.display()));
            }
        }
    }

    pub(super) fn finish(mut self, launch: Option<Launch>) -> Resolved {
        self.report_missing();
        let dirs: Vec<String> = self.path_dirs.iter().map(|d| d.display().to_string()).collect();
        let path = dirs.into_iter().chain([DEFAULT_PATH.to_owned()]).collect::<Vec<_>>().join(":");
        let mut stamps: Vec<_> = self.stamps.into_iter().collect();
        stamps.sort_by(|a, b| a.0.cmp(&b.0));
        Resolved {
            tree: self.tree,
            launch: launch.map(|launch| Launch { path, ..launch }),
            stamps,
            warnings: self.warnings.into_iter().collect(),
        }
    }
}

/// Makes a path absolute and free of `.` and `..` (by text, as a shell's `cd` does).
pub(super) fn absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out
}

/// The first bytes of a file.
fn head(path: &Path) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(256).read_to_end(&mut start).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(start)
}

/// A path's names in reverse order.
fn parts(path: &Path) -> Vec<OsString> {
    let names = path.components().filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir));
    let mut names: Vec<OsString> = names.map(|c| c.as_os_str().to_owned()).collect();
    names.reverse();
    names
}
