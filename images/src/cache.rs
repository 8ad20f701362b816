//! Built images, kept: the second run of a program builds nothing.
//!
//! For each request there is a manifest: how to start the program, the image's file, and a [`Stamp`] of every
//! host path that the image depends on. If all stamps still hold, the image does. Files appear whole, by
//! renaming, so a killed tool leaves at worst a temporary file, which a later run removes; two tools at once
//! build two images, and the last manifest wins.

use crate::erofs;
use crate::problem::Problem;
use crate::report::{IMAGE_FILE, Report};
use crate::resolve::{Launch, Request, Resolved, Stamp, find_program, resolve};
use crate::tree::{Body, Tree};
use abi::boot;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufReader, BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempPath;

/// Bytes that the cache may hold; the images that were used longest ago go first.
const SIZE_MAX: u64 = 4 << 30;
/// Files that no manifest names are removed at this age: a tool may be about to name or to boot them.
const ORPHAN_AGE: Duration = Duration::from_secs(600);
/// Environment variables that decide which program a version manager means.
const DECIDING: [&str; 3] = ["PYENV_VERSION", "RBENV_VERSION", "NODENV_VERSION"];

/// The directory of images.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
}

/// An image that is ready to boot.
#[derive(Debug)]
pub struct Built {
    /// Its file.
    pub image: PathBuf,
    /// How to start its program.
    pub launch: Option<Launch>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Whether it had to be built.
    pub fresh: bool,
    /// Removes the image where there is no cache to keep it in.
    pub temporary: Option<TempPath>,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    identity: String,
    image: String,
    launch: Option<Launch>,
    warnings: Vec<String>,
    stamps: Vec<(PathBuf, Option<Stamp>)>,
}

impl Cache {
    /// Uses `dir`, which is made when something is kept.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Keeps nothing: no directory can be made there.
    pub fn none() -> Self {
        Self::new("/dev/null/hull")
    }

    /// Uses `$XDG_CACHE_HOME/hull` or `~/.cache/hull`; `None` for a user without either.
    pub fn of_user() -> Option<Self> {
        let dir = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let dir = dir("XDG_CACHE_HOME").or_else(|| Some(dir("HOME")?.join(".cache")))?;
        Some(Self::new(dir.join("hull")))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the image for a request, building it if there is none that still holds.
    ///
    /// # Errors
    /// As [`resolve`] and [`erofs::build`].
    pub fn image(&self, request: &Request, progress: &mut dyn FnMut(u64, u64)) -> Result<Built> {
        let identity = identity(request);
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        let manifest_path = self.dir.join(format!("{:016x}.json", hasher.finish()));
        if let Some(built) = self.hit(&manifest_path, &identity) {
            return Ok(built);
        }
        let resolved = resolve(request)?;
        let kept = std::fs::create_dir_all(&self.dir).and_then(|()| temporary(&self.dir));
        let (file, keep) = match kept {
            Ok(file) => (file, true),
            Err(_) => {
                (temporary(&std::env::temp_dir()).context("cannot write to the temporary directory")?, false)
            }
        };
        let Resolved { mut tree, launch, stamps, warnings } = resolved;
        write_image(&mut tree, launch.as_ref(), &boot::Config::default(), file.as_file(), progress)?;
        if !keep {
            let temporary = file.into_temp_path();
            let image = temporary.to_path_buf();
            return Ok(Built { image, launch, warnings, fresh: true, temporary: Some(temporary) });
        }
        let path = file.into_temp_path();
        let name = path.file_name().context("a temporary file has a name")?.to_string_lossy().into_owned();
        let name = name.trim_start_matches('.').to_owned();
        let image = self.dir.join(&name);
        path.persist(&image).context("cannot keep the image in the cache")?;
        let manifest = Manifest { identity, image: name, launch, warnings, stamps };
        self.write_manifest(&manifest_path, &manifest)?;
        self.tidy(SIZE_MAX, &image);
        Ok(Built {
            image,
            launch: manifest.launch,
            warnings: manifest.warnings,
            fresh: true,
            temporary: None,
        })
    }

    fn hit(&self, manifest_path: &Path, identity: &str) -> Option<Built> {
        let file = File::open(manifest_path).ok()?;
        let manifest: Manifest = serde_json::from_reader(BufReader::with_capacity(1 << 16, &file)).ok()?;
        let image = self.dir.join(&manifest.image);
        if manifest.identity != identity || !image.is_file() {
            return None;
        }
        if manifest.stamps.iter().any(|(path, stamp)| Stamp::of(path) != *stamp) {
            return None;
        }
        let _ = file.set_modified(SystemTime::now()); // it was used just now
        let Manifest { launch, warnings, .. } = manifest;
        Some(Built { image, launch, warnings, fresh: false, temporary: None })
    }

    fn write_manifest(&self, path: &Path, manifest: &Manifest) -> Result<()> {
        let file = temporary(&self.dir)?;
        let mut out = BufWriter::new(file.as_file());
        serde_json::to_writer(&mut out, manifest)?;
        out.flush()?;
        drop(out);
        file.persist(path).context("cannot keep the manifest in the cache")?;
        Ok(())
    }

    /// Removes what no manifest names, and the longest unused images above `most` bytes; never `keep`.
    fn tidy(&self, most: u64, keep: &Path) {
        let now = SystemTime::now();
        let mut manifests = Vec::new();
        let mut others = Vec::new();
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            let used = meta.modified().unwrap_or(now);
            let path = entry.path();
            if path.extension().is_some_and(|e| e == "json") {
                let text = std::fs::read(&path).unwrap_or_default();
                let image = serde_json::from_slice::<Manifest>(&text).ok().map(|m| self.dir.join(m.image));
                manifests.push((used, path, image));
            } else {
                others.push((used, path));
            }
        }
        manifests.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
        let mut named = HashSet::new();
        let mut total = 0;
        for (_, path, image) in manifests {
            let size = image.as_ref().and_then(|i| i.metadata().ok()).map(|m| m.len());
            total += size.unwrap_or(0);
            match image {
                Some(image) if image == keep || size.is_some() && total <= most => drop(named.insert(image)),
                Some(image) => {
                    let _ = (std::fs::remove_file(path), std::fs::remove_file(image));
                }
                None => drop(std::fs::remove_file(path)),
            }
        }
        for (used, path) in others {
            let old = now.duration_since(used).is_ok_and(|age| age > ORPHAN_AGE);
            let ours = path.file_name().is_some_and(|n| n.as_bytes().ends_with(b".erofs"));
            if ours && old && !named.contains(&path) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Completes a tree with its configuration and its report, and writes it as an image.
///
/// # Errors
/// As [`erofs::build`].
pub fn write_image(
    tree: &mut Tree,
    launch: Option<&Launch>,
    config: &boot::Config,
    file: &File,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(erofs::Summary, Report)> {
    let why = "base".into();
    let mut config = config.clone();
    if let Some(launch) = launch {
        if config.args.is_empty() {
            config.args.push(launch.argv0.as_bytes().to_vec());
        }
        config.exe = Some(launch.exe.as_os_str().as_bytes().to_vec());
        if config.env.is_empty() {
            config.env = environment(&launch.path, &[], None);
        }
    }
    let report = Report::new(tree);
    tree.file(boot::IMAGE_FILE, 0o644, config.to_text().into_bytes(), &why)?;
    tree.file(IMAGE_FILE, 0o644, serde_json::to_vec(&report.summary())?, &why)?;
    let mut total = 0;
    tree.walk(|_, id| {
        if let Body::File(_, len) = &tree.node(id).body {
            total += len;
        }
    });
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|e| e.parse().ok());
    let options = erofs::Options { latest_time: epoch };
    let mut out = BufWriter::with_capacity(1 << 18, file);
    let summary = erofs::build(tree, &mut out, &options, |done| progress(done, total))?;
    out.flush().context("cannot write the image")?;
    Ok((summary, report))
}

/// The environment of a program in a machine: small and known, then what the user adds.
pub fn environment(path: &str, added: &[Vec<u8>], terminal: Option<&str>) -> Vec<Vec<u8>> {
    let mut env: Vec<Vec<u8>> = vec![format!("PATH={path}").into_bytes(), b"HOME=/root".to_vec()];
    if let Some(terminal) = terminal {
        env.push(format!("TERM={terminal}").into_bytes());
    }
    env.push(b"LANG=C.UTF-8".to_vec());
    for entry in added {
        let name = entry.split(|&b| b == b'=').next().unwrap_or_default();
        env.retain(|old| !(old.starts_with(name) && old.get(name.len()) == Some(&b'=')));
        env.push(entry.clone());
    }
    env
}

fn temporary(dir: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".image-").suffix(".erofs").tempfile_in(dir)
}

/// What a request means on this machine, as text: equal texts share an image.
fn identity(request: &Request) -> String {
    let mut request = request.clone();
    let found = request.program.as_ref().filter(|_| request.dir.is_none());
    let found = found.and_then(|name| find_program(&request, name).ok());
    let is_shim = found.as_ref().is_some_and(|p| p.components().any(|c| c.as_os_str() == "shims"));
    if let (Some(name), Some(found)) = (&request.program, &found)
        && name.as_bytes().contains(&b'/')
    {
        request.program = Some(found.clone().into_os_string());
    }
    request.includes.iter_mut().for_each(|include| include.from = request.cwd.join(&include.from));
    request.dir = request.dir.map(|dir| request.cwd.join(dir));
    // The directory matters only to version managers, once every path is absolute.
    if !is_shim {
        request.cwd = PathBuf::new();
    }
    let tool = std::env::current_exe().ok().and_then(|exe| Stamp::of(&exe));
    let variables = DECIDING.map(|name| std::env::var(name).unwrap_or_default());
    let variables = (variables, std::env::var("SOURCE_DATE_EPOCH").unwrap_or_default());
    serde_json::to_string(&(env!("CARGO_PKG_VERSION"), tool, found, variables, request)).unwrap_or_default()
}

/// Fails where a name that ends in an image's usual ending is not one, before it is taken for a program.
///
/// # Errors
/// If `path` exists, is named like an image, and is none.
pub fn check_image_name(path: &Path) -> Result<()> {
    if path.extension().is_some_and(|e| e == "erofs" || e == "hull")
        && path.is_file()
        && !erofs::Image::probe(path)
    {
        let message = format!("{} is named like an image and is not one", path.display());
        return Err(Problem::new(message).hint("`hull build -o FILE PROGRAM` makes images").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(dir: &Path, program: &str) -> Request {
        Request {
            program: Some(program.into()),
            search: crate::resolve::DEFAULT_PATH.into(),
            cwd: dir.into(),
            ..Request::default()
        }
    }

    #[test]
    fn a_second_run_builds_nothing_and_a_change_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        let program = dir.path().join("program");
        std::fs::copy("/bin/true", &program).unwrap();
        let request = request(dir.path(), "./program");
        let run = || cache.image(&request, &mut |_, _| {}).unwrap();
        let (first, second) = (run(), run());
        assert!(first.fresh && !second.fresh);
        assert_eq!((first.image, &first.launch), (second.image, &second.launch));
        assert_eq!(second.launch.unwrap().exe, program);
        std::fs::copy("/bin/false", &program).unwrap();
        let third = run();
        assert!(third.fresh);
        let image = erofs::Image::open(&third.image).unwrap();
        let inode = image.find(&program, erofs::Follow::Yes).unwrap();
        let mut bytes = vec![0; usize::try_from(inode.size).unwrap()];
        image.read(&inode, 0, &mut bytes).unwrap();
        assert!(bytes == std::fs::read("/bin/false").unwrap());
    }

    #[test]
    fn the_size_is_bounded_and_a_damaged_manifest_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        let one = cache.image(&request(dir.path(), "true"), &mut |_, _| {}).unwrap();
        let two = cache.image(&request(dir.path(), "false"), &mut |_, _| {}).unwrap();
        cache.tidy(two.image.metadata().unwrap().len(), &two.image);
        assert!(!one.image.exists() && two.image.exists());
        for entry in std::fs::read_dir(cache.dir()).unwrap().flatten() {
            if entry.path().extension().is_some_and(|e| e == "json") {
                std::fs::write(entry.path(), "{").unwrap();
            }
        }
        assert!(cache.image(&request(dir.path(), "false"), &mut |_, _| {}).unwrap().fresh);
    }

    #[test]
    fn added_environment_replaces_by_name() {
        let env = environment("/bin", &[b"HOME=/x".to_vec(), b"A=1".to_vec()], Some("xterm"));
        let env: Vec<_> = env.iter().map(|e| String::from_utf8_lossy(e).into_owned()).collect();
        assert_eq!(env, ["PATH=/bin", "TERM=xterm", "LANG=C.UTF-8", "HOME=/x", "A=1"]);
    }
}
