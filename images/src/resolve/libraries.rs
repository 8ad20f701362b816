//! The dynamic linker's search (ld.so(8)), done ahead of time.

use super::collect::Collector;
use super::ld_cache;
use anyhow::Result;
use loader::dynamic::Dynamic;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DEFAULT_DIRS: [&str; 6] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
/// Subdirectories that glibc prefers where the processor has what they need: all that exist are taken.
const HWCAPS: [&str; 3] = ["glibc-hwcaps/x86-64-v4", "glibc-hwcaps/x86-64-v3", "glibc-hwcaps/x86-64-v2"];
const MUSL_DIRS: &str = "/lib:/usr/local/lib:/usr/lib";

/// What is known about this machine's libraries.
#[derive(Default)]
pub(super) struct Libraries {
    cache: Option<BTreeMap<Vec<u8>, Vec<PathBuf>>>,
    /// musl's directories, once a program that uses it was met.
    musl: Option<Vec<PathBuf>>,
    /// Libraries found through the cache, for the image's own.
    pub(super) cached: BTreeMap<Vec<u8>, PathBuf>,
}

impl Collector<'_> {
    /// Takes what one ELF file names; `inherited` are the `RPATH`s of what loads it.
    pub(super) fn dynamic(
        &mut self,
        path: &Path,
        dynamic: &Dynamic<'_>,
        inherited: &[PathBuf],
    ) -> Result<()> {
        let mut musl = self.libraries.musl.is_some();
        if let Some(interpreter) = dynamic.interpreter {
            let interpreter = Path::new(OsStr::from_bytes(interpreter));
            let why: Arc<str> = format!("dynamic linker of {}", path.display()).into();
            self.note(interpreter);
            if self.add_if_there(interpreter, &why).is_none() {
                let what =
                    format!("{}: its dynamic linker {} is missing", path.display(), interpreter.display());
                self.warnings.insert(what);
                return Ok(());
            }
            musl = interpreter.as_os_str().as_bytes().windows(7).any(|w| w == b"ld-musl");
            if musl {
                self.read_musl_path(interpreter, &why);
            }
        }
        let origin = path.parent().unwrap_or(Path::new("/"));
        let dirs = |text: Option<&[u8]>| -> Vec<PathBuf> {
            let entries = text.unwrap_or_default().split(|&b| b == b':').filter(|d| !d.is_empty());
            entries.map(|entry| expand(entry, origin)).collect()
        };
        let (rpath, runpath) = (dynamic.rpath.filter(|_| dynamic.runpath.is_none()), dynamic.runpath);
        let own: Vec<PathBuf> = dirs(rpath).into_iter().chain(inherited.iter().cloned()).collect();
        let mut search = if dynamic.runpath.is_some() { Vec::new() } else { own.clone() };
        search.extend(dirs(runpath));
        let why: Arc<str> = format!("library of {}", path.display()).into();
        for &name in &dynamic.needed {
            let found = if name.contains(&b'/') {
                vec![PathBuf::from(OsStr::from_bytes(name))].into_iter().filter(|p| p.exists()).collect()
            } else if musl {
                self.search_musl(name, &search)
            } else {
                self.search(name, &search, dynamic.no_default_directories)
            };
            if found.is_empty() && !(musl && name.starts_with(b"libc.")) {
                self.missing.insert((path.into(), String::from_utf8_lossy(name).into_owned()));
            }
            for library in found {
                let real = self.add(&library, &why)?;
                self.library_names.insert(String::from_utf8_lossy(name).into_owned(), real.clone());
                self.enqueue_library(real, own.clone());
            }
        }
        Ok(())
    }

    /// Finds a library by name and takes it, for what programs load while they run.
    pub(super) fn add_library(&mut self, name: &str, why: &Arc<str>) -> Result<()> {
        for library in self.search(name.as_bytes(), &[], false) {
            let real = self.add(&library, why)?;
            self.enqueue_library(real, Vec::new());
        }
        Ok(())
    }

    fn search(&mut self, name: &[u8], first: &[PathBuf], no_default: bool) -> Vec<PathBuf> {
        let file = OsStr::from_bytes(name);
        let in_dir = |collector: &mut Self, dir: &Path| -> Vec<PathBuf> {
            let plain = dir.join(file);
            collector.note(&plain);
            let better = HWCAPS.iter().map(|caps| dir.join(caps).join(file));
            better.chain([plain]).filter(|p| is_elf64(p)).collect()
        };
        for dir in first {
            let found = in_dir(self, dir);
            if !found.is_empty() {
                return found;
            }
        }
        if !no_default {
            if self.libraries.cache.is_none() {
                self.note(Path::new("/etc/ld.so.cache"));
                let bytes = std::fs::read("/etc/ld.so.cache").unwrap_or_default();
                self.libraries.cache = Some(ld_cache::read(&bytes));
            }
            let cached = self.libraries.cache.as_ref().and_then(|c| c.get(name)).cloned().unwrap_or_default();
            let cached: Vec<_> = cached.into_iter().filter(|p| is_elf64(p)).collect();
            if let Some(plain) =
                cached.iter().find(|p| !p.as_os_str().as_bytes().windows(6).any(|w| w == b"hwcaps"))
            {
                self.libraries.cached.insert(name.to_vec(), plain.clone());
                return cached;
            }
            for dir in DEFAULT_DIRS {
                let found = in_dir(self, Path::new(dir));
                if !found.is_empty() {
                    return found;
                }
            }
        }
        Vec::new()
    }

    fn read_musl_path(&mut self, interpreter: &Path, why: &Arc<str>) {
        // The linker looks for /etc/ld-musl-ARCH.path, ARCH from its own name.
        let stem = interpreter.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let file = PathBuf::from(format!("/etc/{}.path", stem.trim_end_matches(".so.1")));
        self.add_if_there(&file, why);
        let text = std::fs::read_to_string(file).unwrap_or_else(|_| MUSL_DIRS.to_owned());
        let dirs = text.split([':', '\n']).filter(|d| d.starts_with('/'));
        self.libraries.musl = Some(dirs.map(PathBuf::from).collect());
    }

    fn search_musl(&mut self, name: &[u8], first: &[PathBuf]) -> Vec<PathBuf> {
        let dirs = self.libraries.musl.clone().unwrap_or_default();
        let mut places = first.iter().chain(&dirs).map(|dir| dir.join(OsStr::from_bytes(name)));
        places.find(|p| is_elf64(p)).into_iter().collect()
    }
}

/// Replaces `$ORIGIN`, `$LIB` and `$PLATFORM` (ld.so(8), "Dynamic string tokens").
fn expand(entry: &[u8], origin: &Path) -> PathBuf {
    let mut text = String::from_utf8_lossy(entry).into_owned();
    let origin = origin.to_string_lossy();
    for (token, value) in [("ORIGIN", &*origin), ("LIB", "lib/x86_64-linux-gnu"), ("PLATFORM", "x86_64")] {
        text = text.replace(&format!("${{{token}}}"), value).replace(&format!("${token}"), value);
    }
    PathBuf::from(text)
}

/// Whether a file is a 64-bit ELF file for this architecture: the linker skips others in its search.
fn is_elf64(path: &Path) -> bool {
    use std::io::Read as _;
    let mut head = [0; 20];
    let read = std::fs::File::open(path).and_then(|mut f| f.read_exact(&mut head));
    read.is_ok() && head.starts_with(b"\x7fELF\x02\x01") && head[18..] == [62, 0]
}
