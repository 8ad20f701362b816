//! Programs that are useless without a tree of files beside them.

use super::collect::Collector;
use super::find_program;
use crate::problem::Problem;
use anyhow::Result;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest tree of installed add-ons (site-packages and the like) that comes along unasked, in bytes.
const ADD_ONS_MAX: u64 = 64 << 20;
/// Largest set of files of its own package that a program brings along, in bytes.
const OWN_FILES_MAX: u64 = 32 << 20;

/// Names (without version) of programs that need the whole of their package and its dependencies.
const INTERPRETERS: [&str; 22] = [
    "beam.smp", "clisp", "elixir", "erl", "escript", "gforth", "ghci", "guile", "gst", "iex", "java",
    "jshell", "julia", "lua", "node", "nodejs", "ocaml", "perl", "php", "ruby", "tclsh", "wish",
];
const SHELLS: [&str; 8] = ["sh", "dash", "bash", "rbash", "zsh", "ksh", "mksh", "busybox"];

/// Packages whose programs a script may call without asking.
const COMMAND_PACKAGES: [&str; 16] = [
    "coreutils",
    "grep",
    "sed",
    "findutils",
    "mawk",
    "gawk",
    "tar",
    "gzip",
    "bzip2",
    "xz-utils",
    "diffutils",
    "debianutils",
    "hostname",
    "bash",
    "dash",
    "ncurses-bin",
];
/// Programs of larger packages that belong to the same set.
const COMMANDS: [&str; 36] = [
    "awk", "bash", "cat", "chmod", "column", "cp", "date", "env", "expr", "find", "flock", "free", "getopt",
    "grep", "gzip", "hexdump", "kill", "logger", "ls", "mkdir", "more", "mount", "mv", "nice", "nproc",
    "pgrep", "ps", "rev", "rm", "sed", "setsid", "sh", "sleep", "tar", "umount", "which",
];

/// Takes what belongs to a program beside its libraries.
pub(super) fn program(c: &mut Collector<'_>, given: &Path, real: &Path) -> Result<()> {
    let file = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let (name, real_name) = (file(given), file(real));
    let stem =
        |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit() || ".-".contains(c)).to_owned();
    // `system` and `popen` of every language call it.
    if !c.request.bare && (stem(&real_name) == "python" || INTERPRETERS.contains(&stem(&real_name).as_str()))
    {
        c.add_if_there(Path::new("/bin/sh"), &"called by interpreters".into());
    }
    if stem(&real_name) == "python" || stem(&real_name) == "pypy" {
        return python(c, given, real, &real_name);
    }
    if [&name, &real_name].iter().any(|n| SHELLS.contains(&stem(n).as_str()) || SHELLS.contains(&n.as_str()))
    {
        return shell(c, &real_name);
    }
    let is_interpreter = [&name, &real_name]
        .iter()
        .any(|n| INTERPRETERS.contains(&n.as_str()) || INTERPRETERS.contains(&stem(n).as_str()));
    if !real.starts_with("/usr") || real.starts_with("/usr/local") {
        return if is_interpreter { prefix(c, real, &stem(&real_name)) } else { Ok(()) };
    }
    let Some(owner) = c.owner(real) else { return Ok(()) };
    if is_interpreter {
        c.package_if_installed(&owner)?;
        // What scripts of that language expect beyond the smallest package.
        for more in companions(&stem(&real_name)) {
            c.package_if_installed(more)?;
        }
        return Ok(());
    }
    own_files(c, &owner, real)
}

fn companions(stem: &str) -> &'static [&'static str] {
    match stem {
        "perl" => &["perl"],
        "ruby" => &["ruby"],
        "tclsh" => &["tcl"],
        "php" => &["php-cli"],
        "erl" | "beam.smp" | "escript" => &["erlang-base"],
        _ => &[],
    }
}

/// A program's data: the files of its package that are no other programs.
fn own_files(c: &mut Collector<'_>, package: &str, real: &Path) -> Result<()> {
    let is_program = |path: &str| {
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        dir.ends_with("/bin") || dir.ends_with("/sbin")
    };
    let is_system = |path: &str| {
        ["/lib/systemd", "/usr/lib/systemd", "/etc/init.d", "/etc/cron", "/etc/pam.d", "/usr/share/perl"]
            .iter()
            .any(|dir| path.starts_with(dir))
    };
    let keep = |path: &str| {
        let is_dir = || Path::new(path).is_dir();
        (!is_program(path) || Path::new(path) == real) && !is_system(path) && !is_dir()
    };
    let mut total = 0;
    let list = |name: &str| Path::new("/var/lib/dpkg/info").join(format!("{name}.list"));
    let text = std::fs::read_to_string(list(package))
        .or_else(|_| std::fs::read_to_string(list(&format!("{package}:amd64"))))
        .unwrap_or_default();
    for path in text.lines().filter(|p| super::dpkg::is_wanted(p) && keep(p)) {
        total += Path::new(path).symlink_metadata().map_or(0, |m| m.len());
    }
    if total > OWN_FILES_MAX {
        let hint = format!("--package {package} takes it");
        c.warnings
            .insert(format!("left out the other files of package {package} ({} MB): {hint}", total >> 20));
        return Ok(());
    }
    c.package_files(package, &keep)
}

/// Python: the standard library, its extension modules, and installed packages.
fn python(c: &mut Collector<'_>, given: &Path, real: &Path, real_name: &str) -> Result<()> {
    // A virtual environment: its own tree; the program that its `python` links to is followed by `add`.
    if let Some(venv) = given.parent().and_then(Path::parent).filter(|d| d.join("pyvenv.cfg").is_file()) {
        let why: Arc<str> = "virtual environment".into();
        c.add_tree(venv, &why, &|_| true)?;
    }
    let version = real_name.trim_start_matches(|c: char| !c.is_ascii_digit()).to_owned();
    let why: Arc<str> = "Python's library".into();
    if real.starts_with("/usr/bin") {
        let owner = c.owner(real).unwrap_or_default();
        for package in [&owner, &format!("python{version}"), &format!("libpython{version}-stdlib")] {
            c.package_if_installed(package)?;
        }
        add_ons(c, Path::new("/usr/lib/python3/dist-packages"))?;
        add_ons(c, &PathBuf::from(format!("/usr/local/lib/python{version}/dist-packages")))?;
        c.add_if_there(Path::new("/etc/python3"), &why);
        return Ok(());
    }
    let Some(root) = real.parent().and_then(Path::parent) else { return Ok(()) };
    for directory in [format!("python{version}"), format!("pypy{version}")] {
        let lib = root.join("lib").join(directory);
        if !lib.is_dir() {
            continue;
        }
        // The standard library's own tests, build files and headers are for Python's developers.
        let skip = ["test", "tests", "idle_test", "site-packages", "lib2to3/tests"];
        // Compiled code for `python -O` is made again where it is wanted.
        let is_config = |name: &str| {
            let optimised = name.ends_with(".opt-1.pyc") || name.ends_with(".opt-2.pyc");
            name.starts_with("config-") || name.ends_with(".a") || optimised
        };
        c.add_tree(&lib, &why, &|path| {
            let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
            !(skip.contains(&&*name) || is_config(&name))
        })?;
        add_ons(c, &lib.join("site-packages"))?;
    }
    // A build that was moved or configured from its source tree finds itself by these names.
    for link in ["bin/python", "bin/python3"] {
        c.add_if_there(&root.join(link), &why);
    }
    Ok(())
}

/// An interpreter outside packages: the library directory of its name below its prefix.
fn prefix(c: &mut Collector<'_>, real: &Path, stem: &str) -> Result<()> {
    let Some(root) = real.parent().and_then(Path::parent) else { return Ok(()) };
    let why: Arc<str> = format!("{stem}'s library").into();
    let names: &[&str] = match stem {
        "java" | "jshell" => &["lib", "conf", "release"],
        "node" | "nodejs" => &[],
        "perl" => &["lib/perl5", "lib/perl"],
        "ruby" => &["lib/ruby"],
        "tclsh" | "wish" => &["lib"],
        "erl" | "beam.smp" | "escript" => &["lib/erlang"],
        _ => &["lib", "share"],
    };
    for name in names {
        let dir = root.join(name);
        // A shared prefix such as /usr/local holds far more than one language.
        if dir.is_dir() && (root != Path::new("/usr/local") || name.contains('/')) {
            c.add_tree(&dir, &why, &|path| path.extension().is_none_or(|e| e != "a"))?;
        } else if dir.is_file() {
            c.add(&dir, &why)?;
        }
    }
    Ok(())
}

/// Takes a tree of add-ons if it is small, and says so if it is not.
fn add_ons(c: &mut Collector<'_>, dir: &Path) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    c.note(dir);
    let why: Arc<str> = format!("installed in {}", dir.display()).into();
    if size_up_to(dir, ADD_ONS_MAX) <= ADD_ONS_MAX {
        return c.add_tree(dir, &why, &|_| true);
    }
    let (dir, most) = (dir.display(), ADD_ONS_MAX >> 20);
    c.warnings
        .insert(format!("left out {dir} (more than {most} MB): --include {dir} takes it, or parts of it"));
    Ok(())
}

/// The size of a tree; stops counting above `limit`.
fn size_up_to(dir: &Path, limit: u64) -> u64 {
    let (mut total, mut stack) = (0, vec![dir.to_path_buf()]);
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => stack.push(entry.path()),
                Ok(meta) => total += meta.len(),
                Err(_) => {}
            }
            if total > limit {
                return total;
            }
        }
    }
    total
}

/// A shell brings the commands that scripts call.
fn shell(c: &mut Collector<'_>, real_name: &str) -> Result<()> {
    c.has_shell = true;
    if c.request.bare || real_name == "busybox" {
        return Ok(());
    }
    let why: Arc<str> = "commands for the shell".into();
    let in_bin = |path: &str| {
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        ["/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu/coreutils"].contains(&dir)
            || path.starts_with("/usr/libexec/coreutils/")
    };
    for package in COMMAND_PACKAGES {
        c.package_files(package, &in_bin)?;
    }
    for name in COMMANDS {
        // Only the system's own: a command that a version manager offers is not what scripts mean.
        let request = super::Request { search: super::DEFAULT_PATH.into(), ..c.request.clone() };
        if let Ok(path) = find_program(&request, OsStr::new(name)) {
            c.add_if_there(&path, &why);
        }
    }
    // `sh` itself, by the name that scripts use.
    c.add_if_there(Path::new("/bin/sh"), &why).map(drop).ok_or_else(|| {
        Problem::new("this machine has no /bin/sh to put into the image").hint("use --bare").into()
    })
}
