//! Debian's package database, read directly: which files a package has, and what it depends on.

use super::collect::{Collector, absolute};
use crate::problem::Problem;
use anyhow::Result;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const INFO: &str = "/var/lib/dpkg/info";
const STATUS: &str = "/var/lib/dpkg/status";

/// Dependencies that serve installing, not running.
const NOT_AT_RUN_TIME: [&str; 12] = [
    "adduser",
    "cdebconf",
    "debconf",
    "debconf-2.0",
    "dpkg",
    "init-system-helpers",
    "install-info",
    "lsb-base",
    "perl:any",
    "sysvinit-utils",
    "ucf",
    "update-inetd",
];

/// The installed packages.
pub(super) struct Dpkg {
    packages: HashMap<String, Package>,
    /// Virtual names to the packages that provide them.
    provides: HashMap<String, Vec<String>>,
}

#[derive(Default)]
struct Package {
    depends: Vec<Vec<String>>,
    essential: bool,
}

impl Dpkg {
    /// Reads the status file; a machine without dpkg has no packages.
    fn load() -> Self {
        Self::parse(&std::fs::read_to_string(STATUS).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut dpkg = Self { packages: HashMap::new(), provides: HashMap::new() };
        for paragraph in text.split("\n\n") {
            let field = |name: &str| {
                let value = |line: &'_ str| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned);
                paragraph.lines().find_map(value)
            };
            let (Some(name), Some(status)) = (field("Package"), field("Status")) else { continue };
            if !status.ends_with(" installed") {
                continue;
            }
            let mut package = Package { essential: field("Essential").is_some(), ..Package::default() };
            for list in [field("Pre-Depends"), field("Depends")].into_iter().flatten() {
                let groups = list.split(',').map(|group| group.split('|').filter_map(bare).collect());
                package.depends.extend(groups);
            }
            for provided in field("Provides").iter().flat_map(|p| p.split(',')).filter_map(bare) {
                dpkg.provides.entry(provided).or_default().push(name.clone());
            }
            dpkg.packages.insert(name, package);
        }
        dpkg
    }

    /// The installed package that a dependency group names, if any is there.
    fn choose(&self, group: &[String]) -> Option<String> {
        let real = group.iter().find(|name| self.packages.contains_key(*name));
        let provider = || group.iter().find_map(|name| self.provides.get(name)?.first());
        real.or_else(provider).cloned()
    }

    /// A package with everything that it depends on; essential packages are assumed by all, and left out.
    fn closure(&self, name: &str) -> Option<Vec<String>> {
        let mut out = vec![self.choose(&[name.to_owned()])?];
        let mut at = 0;
        while let Some(name) = out.get(at).cloned() {
            at += 1;
            for group in self.packages.get(&name).map_or(&[][..], |p| &p.depends) {
                if group.iter().any(|n| NOT_AT_RUN_TIME.contains(&n.as_str())) {
                    continue;
                }
                // libc6 comes with the libraries; its whole list has 8 MB of character sets.
                let Some(next) = self.choose(group).filter(|n| n != "libc6" && !out.contains(n)) else {
                    continue;
                };
                if !self.packages.get(&next).is_some_and(|p| p.essential) {
                    out.push(next);
                }
            }
        }
        Some(out)
    }
}

/// A dependency's name without version and architecture.
fn bare(text: &str) -> Option<String> {
    let name = text.split(['(', '[', '<']).next()?.trim();
    let name = name.split(':').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// A package's list file: with or without its architecture.
fn list_file(name: &str) -> Option<PathBuf> {
    ["", ":amd64"].iter().map(|arch| Path::new(INFO).join(format!("{name}{arch}.list"))).find(|p| p.exists())
}

/// Files that no running program wants: documentation, translations, headers, packaging.
pub(super) fn is_wanted(path: &str) -> bool {
    const NOT: [&str; 17] = [
        "/usr/share/doc",
        "/usr/share/man",
        "/usr/share/info",
        "/usr/share/locale",
        "/usr/share/lintian",
        "/usr/share/bash-completion",
        "/usr/share/zsh",
        "/usr/share/fish",
        "/usr/share/doc-base",
        "/usr/share/menu",
        "/usr/share/pixmaps",
        "/usr/share/applications",
        "/usr/share/bug",
        "/usr/share/gcc",
        "/usr/include",
        "/usr/lib/debug",
        "/usr/src",
    ];
    let below =
        |dir: &&str| path.strip_prefix(*dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    !(NOT.iter().any(below) || path.ends_with(".a") || path.ends_with(".h"))
}

impl Collector<'_> {
    fn dpkg(&mut self) -> &Dpkg {
        self.note(Path::new(STATUS));
        self.dpkg.get_or_insert_with(Dpkg::load)
    }

    /// The installed package that a file belongs to.
    pub(super) fn owner(&mut self, path: &Path) -> Option<String> {
        self.note(Path::new(STATUS));
        let text = path.to_str()?;
        // Packages list a file where they put it, perhaps under a directory that is a link now.
        let short = text
            .strip_prefix("/usr")
            .filter(|s| s.starts_with("/bin/") || s.starts_with("/sbin/") || s.starts_with("/lib"));
        let wanted = [Some(text), short];
        for entry in std::fs::read_dir(INFO).ok()?.flatten() {
            let file = entry.path();
            if file.extension().is_none_or(|e| e != "list") {
                continue;
            }
            let Ok(list) = std::fs::read(&file) else { continue };
            let Ok(list) = std::str::from_utf8(&list) else { continue };
            let has = |want: &str| {
                list.match_indices(want).any(|(at, _)| {
                    let before = at == 0 || list.as_bytes()[at - 1] == b'\n';
                    before && list.as_bytes().get(at + want.len()).is_none_or(|&b| b == b'\n')
                })
            };
            if wanted.iter().flatten().any(|want| has(want)) {
                let stem = file.file_stem()?.to_str()?;
                return Some(stem.split(':').next()?.to_owned());
            }
        }
        None
    }

    /// Takes a package and its dependencies, because the user asked for it.
    pub(super) fn package(&mut self, name: &str) -> Result<()> {
        let Some(closure) = self.dpkg().closure(name) else {
            let what = if Path::new(STATUS).exists() {
                format!("package {name} is not installed on this machine")
            } else {
                format!("package {name}: this machine has no dpkg database ({STATUS})")
            };
            let hint = format!("`apt-get install {name}` installs it; images are made from what is here");
            return Err(Problem::new(what).hint(hint).into());
        };
        self.take_packages(closure)
    }

    /// Takes packages that an interpreter needs, with their dependencies; those not installed are left out.
    pub(super) fn package_if_installed(&mut self, name: &str) -> Result<bool> {
        match self.dpkg().closure(name) {
            Some(closure) => self.take_packages(closure).map(|()| true),
            None => Ok(false),
        }
    }

    fn take_packages(&mut self, names: Vec<String>) -> Result<()> {
        for name in names {
            if self.packages.insert(name.clone()) {
                self.package_files(&name, &|_| true)?;
            }
        }
        Ok(())
    }

    /// Takes the files of one package that `keep` chooses and that programs want at run time.
    pub(super) fn package_files(&mut self, name: &str, keep: &dyn Fn(&str) -> bool) -> Result<()> {
        let Some(file) = list_file(name) else { return Ok(()) };
        let why: Arc<str> = format!("package {name}").into();
        let list = std::fs::read_to_string(&file).unwrap_or_default();
        for line in list.lines().filter(|line| *line != "/." && is_wanted(line) && keep(line)) {
            // A listed file that is gone (a diversion, an administrator's choice) is not this tool's to judge.
            self.add_if_there(&absolute(Path::new(line)), &why);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "Package: app\nStatus: install ok installed\nDepends: lib1 (>= 2), mta | lib2, debconf\n\n\
        Package: lib1\nStatus: install ok installed\nPre-Depends: libc6, base\n\n\
        Package: exim\nStatus: install ok installed\nProvides: mta (= 1), x\nDepends: app\n\n\
        Package: base\nStatus: install ok installed\nEssential: yes\n\n\
        Package: gone\nStatus: deinstall ok config-files\n";

    #[test]
    fn a_closure_has_providers_and_no_essentials_and_ends_in_cycles() {
        let dpkg = Dpkg::parse(SAMPLE);
        assert_eq!(dpkg.closure("app").unwrap(), ["app", "lib1", "exim"]);
        assert_eq!(dpkg.closure("mta").unwrap()[0], "exim");
        assert!(dpkg.closure("gone").is_none() && dpkg.closure("nothing").is_none());
    }

    #[test]
    fn documentation_and_headers_stay_out() {
        assert!(
            !is_wanted("/usr/share/doc/x") && !is_wanted("/usr/share/man") && !is_wanted("/usr/lib/libx.a")
        );
        assert!(is_wanted("/usr/share/docbook") && is_wanted("/usr/lib/libx.so.1"));
    }
}
