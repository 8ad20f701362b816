//! `/proc/sys` (`proc_sys(5)`): what the system does, and the little of it that can be changed.
//!
//! A value that Hull has built in can be written as Linux lets it (mode 0644) only where the new value is the old one:
//! then it holds. Anything else answers `EPERM`, for the program must not believe that it had an effect.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::{Errno, Result};
use hal::Entropy;
use vfs::Caller;
use vfs::fs::synthetic::{Entry, File, Folder};

use crate::boot;
use crate::handlers::system::{RELEASE, VERSION};
use crate::inotify;
use crate::proc::ALL_CAPABILITIES;
use crate::system::{Names, PID_MAX, System};
use crate::vm;

/// Longest host or domain name.
const NAME_MAX: usize = 64;
/// Largest number of descriptors that `RLIMIT_NOFILE` may be set to.
const OPEN_MAX: u64 = 1 << 20;
/// Bits of entropy that Linux says it has, once it has enough.
const ENTROPY_BITS: u32 = 256;

/// Makes the directory.
pub(super) fn folder(system: &Arc<System>) -> Folder {
    Folder::new()
        .folder("fs", fs(system))
        .folder("kernel", kernel(system))
        .folder("net", net())
        .folder("vm", vm())
}

/// A file that says what cannot be changed.
fn fact(value: impl Into<String>) -> Entry {
    let mut text: String = value.into();
    text.push('\n');
    Entry::text(text).strict()
}

/// A value that is built in.
struct Fixed(String);

impl File for Fixed {
    fn read(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        Ok(format!("{}\n", self.0).into_bytes())
    }

    fn write(&self, bytes: &[u8], _: u64, _: &Caller<'_>) -> Result<usize> {
        let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
        let same = text.split_ascii_whitespace().eq(self.0.split_ascii_whitespace());
        if same { Ok(bytes.len()) } else { Err(Errno::EPERM) }
    }
}

/// A setting with a value that is built in.
pub(super) fn fixed(value: impl Into<String>) -> Entry {
    Entry::file(0o644, Fixed(value.into())).strict()
}

/// A file whose contents a function makes.
fn made(system: &Arc<System>, make: impl Fn(&System) -> String + Send + Sync + 'static) -> Entry {
    let system = Arc::clone(system);
    let read = move |_: &Caller<'_>| {
        let mut text = make(&system);
        text.push('\n');
        Ok(text.into_bytes())
    };
    Entry::file_fn(0o444, read).strict()
}

/// `proc_sys_kernel(5)`
fn kernel(system: &Arc<System>) -> Folder {
    let threads = boot::max_threads();
    let folder = Folder::new()
        .with("arch", fact("x86_64"))
        .with("cap_last_cap", fact(format!("{}", ALL_CAPABILITIES.ilog2())))
        .with("core_pattern", fixed("core"))
        .with("core_uses_pid", fixed("0"))
        .with(
            "domainname",
            Entry::file(0o644, Name { system: Arc::clone(system), which: Which::Domain }).strict(),
        )
        .with(
            "hostname",
            Entry::file(0o644, Name { system: Arc::clone(system), which: Which::Host }).strict(),
        )
        .with("ngroups_max", fact("65536"))
        .with("osrelease", fact(RELEASE))
        .with("ostype", fact("Linux"))
        .with("overflowgid", fixed("65534"))
        .with("overflowuid", fixed("65534"))
        // Lines of the kernel's log go to the tool, by a level that is set when the machine starts.
        .with("pid_max", fixed(format!("{PID_MAX}")))
        .folder("random", random(system))
        .with("randomize_va_space", fixed("2"))
        .with("tainted", fixed("0"))
        .with("threads-max", fixed(format!("{threads}")))
        .with("version", fact(VERSION));
    super::ipc::kernel(folder, system)
}

/// `random(4)`
fn random(system: &Arc<System>) -> Folder {
    let boot_id = uuid(system.platform().entropy);
    Folder::new()
        .with("boot_id", fact(boot_id))
        .with("entropy_avail", fact(format!("{ENTROPY_BITS}")))
        .with("poolsize", fact(format!("{ENTROPY_BITS}")))
        .with("uuid", made(system, |system| uuid(system.platform().entropy)))
}

/// Makes a random UUID (RFC 9562, version 4).
fn uuid(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let id = u128::from_be_bytes(bytes);
    let part = |shift: u32, bits: u32| id >> shift & ((1 << bits) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 32),
        part(80, 16),
        part(64, 16),
        part(48, 16),
        part(0, 48)
    )
}

/// `proc_sys_fs(5)`
fn fs(system: &Arc<System>) -> Folder {
    let inotify = Folder::new()
        .with("max_queued_events", fixed(format!("{}", inotify::MAX_QUEUED)))
        // There is no limit on instances but that on descriptors.
        .with("max_user_instances", fixed(format!("{}", i32::MAX)))
        .with("max_user_watches", fixed(format!("{}", inotify::MAX_WATCHES)));
    // There is no limit on open files but memory.
    let most = i64::MAX;
    Folder::new()
        .with("file-max", fixed(format!("{most}")))
        .with("file-nr", made(system, move |system| format!("{}\t0\t{most}", open_files(system))))
        .folder("inotify", inotify)
        .folder("mqueue", super::ipc::mqueue(system))
        .with("nr_open", fixed(format!("{OPEN_MAX}")))
        .with("overflowgid", fixed("65534"))
        .with("overflowuid", fixed("65534"))
        .with("pipe-max-size", fixed(format!("{}", vfs::pipe::CAPACITY_MAX)))
        .with("pipe-user-pages-hard", fixed("0"))
        .with("pipe-user-pages-soft", fixed("0"))
        .with("suid_dumpable", fixed("0"))
}

/// Counts the open file descriptions that some descriptor refers to.
fn open_files(system: &System) -> usize {
    let mut seen = BTreeSet::new();
    for thread in system.processes().iter().flat_map(|process| process.threads()) {
        let files = thread.files();
        seen.extend(files.list().into_iter().filter_map(|fd| files.get(fd).ok()).map(|d| d.id()));
    }
    seen.len()
}

/// `proc_sys_net(5)`: the values that network programs ask for before they begin.
fn net() -> Folder {
    let core = Folder::new()
        .with("rmem_default", fixed("212992"))
        .with("rmem_max", fixed("212992"))
        .with("somaxconn", fixed("4096"))
        .with("wmem_default", fixed("212992"))
        .with("wmem_max", fixed("212992"));
    let ipv4 = Folder::new()
        .with("ip_local_port_range", fixed("32768\t60999"))
        .with("ip_unprivileged_port_start", fixed("1024"))
        .with("tcp_max_syn_backlog", fixed("512"));
    Folder::new().folder("core", core).folder("ipv4", ipv4)
}

/// `proc_sys_vm(5)`
fn vm() -> Folder {
    Folder::new()
        .with("max_map_count", fixed(format!("{}", vm::MAX_AREAS)))
        .with("mmap_min_addr", fixed(format!("{}", vm::MMAP_MIN_ADDR)))
        .with("nr_hugepages", fixed("0"))
        .with("overcommit_kbytes", fixed("0"))
        .with("overcommit_memory", fixed("0"))
        .with("overcommit_ratio", fixed("50"))
        .with("panic_on_oom", fixed("0"))
        .with("swappiness", fixed("60"))
}

#[derive(Clone, Copy)]
enum Which {
    Host,
    Domain,
}

/// `hostname` or `domainname`.
struct Name {
    system: Arc<System>,
    which: Which,
}

impl Name {
    const fn of<'a>(&self, names: &'a mut Names) -> &'a mut Vec<u8> {
        match self.which {
            Which::Host => &mut names.host,
            Which::Domain => &mut names.domain,
        }
    }
}

impl File for Name {
    fn read(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        let mut text = self.of(&mut self.system.names()).clone();
        text.push(b'\n');
        Ok(text)
    }

    fn write(&self, bytes: &[u8], offset: u64, _: &Caller<'_>) -> Result<usize> {
        // LINUX: only the first write of an opening counts (sysctl_writes_strict), up to the end of a line.
        if offset == 0 {
            let line = bytes.split(|&b| matches!(b, 0 | b'\n')).next().unwrap_or_default();
            let mut name = line[..line.len().min(NAME_MAX)].to_vec();
            self.system.change_names(|names| core::mem::swap(self.of(names), &mut name));
        }
        Ok(bytes.len())
    }
}
