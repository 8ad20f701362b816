//! The machines of this user, in a directory: no daemon knows them.
//!
//! Below `machines/` each has a directory of its name: `record.json` ([`Record`], replaced as a whole), `output`
//! ([`journal`]), `control` (a datagram socket for [`Request`]s), `kernel.log` after a crash, and `lock`, which the
//! supervising process holds locked as long as it lives, whatever ends it. Whether a machine lives is asked of that
//! lock: process numbers come again, locks do not.
//!
//! A directory appears under its name by renaming, whole and locked, and goes the same way; so a name is taken or
//! free, and never in between.

pub mod journal;
pub mod record;
#[cfg(test)]
mod tests;

pub use record::{Ending, Record, State};

use crate::boot::control::Request;
use crate::problem::Problem;
use anyhow::{Context as _, Result};
use journal::{Journal, Reader};
use rustix::fs::FlockOperation;
use rustix::process::{Pid, PidfdFlags};
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Overrides the directory.
pub const VARIABLE: &str = "HULL_STATE_DIR";
/// Longest name: a host name's length on Linux.
const NAME_MAX: usize = 63;

/// The directory of machines.
#[derive(Clone, Debug)]
pub struct Registry {
    dir: PathBuf,
}

/// A machine that this process owns; its lock is held until this is dropped.
#[derive(Debug)]
pub struct Claim {
    dir: PathBuf,
    record: Record,
    _lock: File,
}

/// A machine in the directory.
#[derive(Clone, Debug)]
pub struct Entry {
    dir: PathBuf,
    /// What is written down about it.
    pub record: Record,
    /// How it stands.
    pub state: State,
}

impl Registry {
    /// Uses `$HULL_STATE_DIR`, `$XDG_STATE_HOME/hull` or `~/.local/state/hull`.
    ///
    /// # Errors
    /// For a user without any of them.
    pub fn of_user() -> Result<Self> {
        let dir = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        if let Some(given) = std::env::var_os(VARIABLE).filter(|given| !given.is_empty())
            && !Path::new(&given).is_absolute()
        {
            let message = format!("{VARIABLE}={} is no absolute path", given.to_string_lossy());
            return Err(Problem::new(message).hint("machines are found again from every directory").into());
        }
        let dir = dir(VARIABLE)
            .or_else(|| dir("XDG_STATE_HOME").map(|d| d.join("hull")))
            .or_else(|| dir("HOME").map(|d| d.join(".local/state/hull")));
        let problem = || Problem::new("there is no directory to note machines in");
        Ok(Self::new(dir.ok_or_else(|| problem().hint(format!("set HOME or {VARIABLE}")))?))
    }

    /// Uses a directory, which is made when a machine is.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into().join("machines") }
    }

    /// Notes a new machine under its name, owned by this process.
    ///
    /// # Errors
    /// If the name is taken, or the directory cannot be written.
    pub fn claim(&self, record: Record) -> Result<Claim> {
        let trouble = || format!("cannot note the machine in {}", self.dir.display());
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).with_context(trouble)?;
        self.tidy();
        let fresh = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.dir).with_context(trouble)?;
        let lock = File::create(fresh.path().join("lock")).with_context(trouble)?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).with_context(trouble)?;
        write_record(fresh.path(), &record).with_context(trouble)?;
        let dir = self.dir.join(&record.name);
        // A directory with something in it is never replaced.
        match std::fs::rename(fresh.path(), &dir) {
            Ok(()) => {
                let _ = fresh.keep();
                Ok(Claim { dir, record, _lock: lock })
            }
            Err(e) if [ErrorKind::DirectoryNotEmpty, ErrorKind::AlreadyExists].contains(&e.kind()) => {
                self.must_be_free(&record.name)?;
                Err(e).with_context(trouble)
            }
            Err(e) => Err(e).with_context(trouble),
        }
    }

    /// Refuses a name that is taken.
    ///
    /// # Errors
    /// If it is, or cannot be a name.
    pub fn must_be_free(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let Some(entry) = self.read(name)? else { return Ok(()) };
        let hint = match entry.state {
            State::Ended(_) => format!("`hull rm {name}` removes it; or choose another --name"),
            State::Starting | State::Running => {
                format!("`hull rm -f {name}` ends and removes it; or choose another --name")
            }
        };
        Err(Problem::new(format!("a machine named {name} is there already ({})", entry.state))
            .hint(hint)
            .into())
    }

    /// All machines, the youngest first.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn all(&self) -> Result<Vec<Entry>> {
        let trouble = || format!("cannot read {}", self.dir.display());
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e).with_context(trouble),
        };
        let mut out = Vec::new();
        for entry in entries {
            let name = entry.with_context(trouble)?.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            out.extend(self.read(name)?);
        }
        out.sort_by(|a, b| (b.record.created, &a.record.name).cmp(&(a.record.created, &b.record.name)));
        Ok(out)
    }

    /// Finds a machine by name.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(&self, name: &str) -> Result<Entry> {
        check_name(name)?;
        self.read(name)?.ok_or_else(|| {
            Problem::new(format!("there is no machine named {name}")).hint("`hull ps -a` lists all").into()
        })
    }

    fn read(&self, name: &str) -> Result<Option<Entry>> {
        let dir = self.dir.join(name);
        // Asked before the record is read: a supervisor writes how it ended before it lets go.
        let supervised = is_locked(&dir);
        let bytes = match std::fs::read(dir.join("record.json")) {
            Ok(bytes) => bytes,
            Err(_) if !dir.exists() => return Ok(None),
            Err(e) => {
                return Err(e).with_context(|| format!("cannot read what is noted in {}", dir.display()));
            }
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(|e| {
            let problem = Problem::new(format!("{}: damaged: {e}", dir.join("record.json").display()));
            problem.hint(format!("remove the directory {}", dir.display()))
        })?;
        let state = State::of(&record, supervised, &record::boot_id());
        Ok(Some(Entry { dir, record, state }))
    }

    /// Removes a machine that has ended.
    ///
    /// # Errors
    /// If it has not, or its directory cannot be removed.
    pub fn remove(&self, entry: &Entry) -> Result<()> {
        let name = &entry.record.name;
        if is_locked(&entry.dir) {
            let problem = Problem::new(format!("machine {name} is {}", entry.state));
            return Err(problem.hint(format!("`hull stop {name}` first, or `hull rm -f {name}`")).into());
        }
        let trouble = || format!("cannot remove {}", entry.dir.display());
        let old = tempfile::Builder::new().prefix(".old-").tempdir_in(&self.dir).with_context(trouble)?;
        std::fs::rename(&entry.dir, old.path()).with_context(trouble)?;
        old.close().with_context(trouble)
    }

    /// Removes what killed tools left behind.
    fn tidy(&self) {
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
            if hidden && age.is_some_and(|age| age.as_secs() > 600) && !is_locked(&entry.path()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Claim {
    /// What is written down.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Changes what is written down.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn update(&mut self, change: impl FnOnce(&mut Record)) -> Result<()> {
        change(&mut self.record);
        write_record(&self.dir, &self.record)
            .with_context(|| format!("cannot write down how machine {} stands", self.record.name))
    }

    /// Makes the file for its output.
    ///
    /// # Errors
    /// As [`Journal::create`].
    pub fn journal(&self) -> Result<Journal> {
        Journal::create(&self.dir.join("output"))
    }

    /// Makes the socket for requests.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn control(&self) -> Result<UnixDatagram> {
        let (_dir, path) = short(&self.dir, "control")?;
        let socket = UnixDatagram::bind(path).context("cannot make the socket for requests")?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// Keeps the end of the kernel's log.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_log(&self, text: &str) -> Result<()> {
        std::fs::write(self.dir.join("kernel.log"), text).context("cannot keep the kernel's log")
    }

    /// Removes the machine: nothing of it is of interest.
    pub fn forget(self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Entry {
    /// Reads its output.
    ///
    /// # Errors
    /// If there is none.
    pub fn output(&self) -> Result<Reader> {
        if self.record.foreground {
            let problem = Problem::new(format!("machine {} runs in the foreground", self.record.name));
            return Err(problem.hint("its output goes where its `hull run` runs; -d keeps it").into());
        }
        Reader::open(&self.dir.join("output"))
    }

    /// Where its output is.
    pub fn output_path(&self) -> PathBuf {
        self.dir.join("output")
    }

    /// The end of the kernel's log, if the machine crashed.
    pub fn kernel_log(&self) -> Option<String> {
        std::fs::read_to_string(self.dir.join("kernel.log")).ok()
    }

    /// Sends a request to the supervisor; returns whether there is one to take it.
    ///
    /// # Errors
    /// If it cannot be sent although there is.
    pub fn request(&self, request: Request) -> Result<bool> {
        let Ok((_dir, path)) = short(&self.dir, "control") else { return Ok(false) };
        let socket = UnixDatagram::unbound().context("cannot make a socket")?;
        match socket.send_to(request.to_text().as_bytes(), path) {
            Ok(_) => Ok(true),
            Err(e) if [ErrorKind::ConnectionRefused, ErrorKind::NotFound].contains(&e.kind()) => Ok(false),
            Err(e) => Err(e).with_context(|| format!("cannot reach machine {}", self.record.name)),
        }
    }

    /// A descriptor that becomes readable when the supervisor has ended; `None` if it has already.
    ///
    /// # Errors
    /// If the process cannot be watched.
    pub fn supervisor(&self) -> Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.record.supervisor) else { return Ok(None) };
        let process = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(e) => return Err(e).context("cannot watch the supervisor"),
        };
        // Locked after the process was opened: then the process is the one that holds the lock.
        Ok(is_locked(&self.dir).then_some(process))
    }
}

/// Whether a live process has locked a machine's directory.
fn is_locked(dir: &Path) -> bool {
    let Ok(lock) = File::open(dir.join("lock")) else { return false };
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}

/// A path to a file in a directory that fits into a socket's address (`unix(7)`: 108 bytes), and what keeps it valid.
fn short(dir: &Path, name: &str) -> Result<(File, PathBuf)> {
    let dir = File::open(dir).with_context(|| format!("cannot open {}", dir.display()))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()));
    Ok((dir, path))
}

fn write_record(dir: &Path, record: &Record) -> Result<()> {
    let mut file = tempfile::Builder::new().prefix(".record-").tempfile_in(dir)?;
    serde_json::to_writer_pretty(file.as_file_mut(), record)?;
    file.persist(dir.join("record.json"))?;
    Ok(())
}

/// Refuses what cannot name a machine.
///
/// # Errors
/// If it is empty, too long, or has other characters than docker allows.
pub fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if first && name.len() <= NAME_MAX && name.chars().all(fits) {
        return Ok(());
    }
    let problem = Problem::new(format!("{name:?} cannot name a machine"));
    let hint = format!("use letters, digits, and _ . - after the first, at most {NAME_MAX} characters");
    Err(problem.hint(hint).into())
}

/// Makes a name from a program's.
pub fn new_name(program: &str) -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let base = Path::new(program).file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let base: String =
        base.chars().filter(|c| c.is_ascii_alphanumeric() || "_.-".contains(*c)).take(40).collect();
    let base = base.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let base = if base.is_empty() { "machine" } else { base };
    format!("{base}-{:06x}", RandomState::new().hash_one(program) & 0xff_ffff)
}

/// A record of a machine that this process is about to start.
pub fn new_record(name: String, command: Vec<String>) -> Record {
    Record {
        name,
        command,
        image: String::new(),
        foreground: false,
        memory: 0,
        cpus: 1,
        ports: Vec::new(),
        created: record::now(),
        boot: record::boot_id(),
        supervisor: Pid::as_raw(Some(rustix::process::getpid())),
        hypervisor: None,
        started: None,
        ended: None,
        ending: None,
        lost_output: None,
    }
}
