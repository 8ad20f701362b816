//! From a machine and a root image to the first process.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::boot::{BadToken, Channel, Config};
use abi::{Errno, Result};
use hal::{CpuSet, CpuTime, Dest, NetDevice, PageStore, Platform, Start};
use vfs::fs::erofs::Erofs;
use vfs::fs::ram::{RamFs, RamOptions};
use vfs::fs::{dev, overlay};
use vfs::{Environment, FileSystem, Follow, MountOptions, Place, Vfs, Walk};

use crate::proc::program::{ADDR_NO_RANDOMIZE, LoadError, Loading};
use crate::proc::{
    CloseOnExec, Credentials, ExitState, FdTable, FsContext, Limits, Process, ProcessState, SchedPolicy,
    Thread, ThreadParts,
};
use crate::signal::Handlers;
use crate::system::{FIRST_PID, System};
use crate::{console, inotify, network, procfs};

/// Largest image configuration that is read.
const CONFIG_MAX: u64 = 1 << 20;

/// Why the application was not started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StartError {
    /// The boot configuration in the image is not understood.
    Config(BadToken),
    /// The root image cannot be used.
    Root(Errno),
    /// Something that every system has could not be made.
    Setup(&'static str, Errno),
    /// The working directory cannot be entered.
    Directory(Vec<u8>, Errno),
    /// Neither the command line nor the image says what to run.
    NothingToRun,
    /// The program cannot be executed.
    Program(Vec<u8>, LoadError),
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Config(error) => write!(f, "{error}"),
            Self::Root(Errno::EINVAL) => {
                f.write_str("the root image is no EROFS image, or uses features that are not supported")
            }
            Self::Root(Errno::EUCLEAN) => f.write_str("the root image is damaged or cut short"),
            Self::Root(errno) => write!(f, "the root image cannot be read: {errno}"),
            Self::Setup(what, errno) => write!(f, "{what}: {errno}"),
            Self::Directory(path, errno) => {
                write!(f, "cannot enter the working directory {}: {errno}", String::from_utf8_lossy(path))
            }
            Self::NothingToRun => f.write_str("no program is named, neither by hull.arg nor in the image"),
            Self::Program(path, LoadError::Errno(errno)) => {
                write!(f, "cannot execute {}: {errno}", String::from_utf8_lossy(path))
            }
            Self::Program(path, LoadError::Late(error)) => {
                write!(f, "cannot execute {}: {error}", String::from_utf8_lossy(path))
            }
        }
    }
}

impl core::error::Error for StartError {}

impl StartError {
    /// Returns the exit code for the tool, as a shell and docker give it: 127 for a program that is not there, 126 for
    /// one that cannot be executed, 125 for everything else.
    pub const fn exit_code(&self) -> u32 {
        match self {
            Self::Program(_, LoadError::Errno(Errno::ENOENT)) => 127,
            Self::Program(..) => 126,
            _ => 125,
        }
    }
}

/// Starts the application; its first thread runs when the caller lets threads run.
///
/// `image` is the root image; without one the root is an empty RAM file system, and nothing can be run. `cards` are the
/// network cards, in the order in which the configuration names them.
///
/// # Errors
/// See [`StartError`].
pub fn start(
    platform: Platform,
    config: Config,
    image: Option<Arc<dyn PageStore>>,
    cards: Vec<Arc<dyn NetDevice>>,
) -> Result<Arc<System>, StartError> {
    let events = inotify::Hub::new();
    let vfs =
        Vfs::new(Environment { clock: platform.clock, entropy: platform.entropy, events: events.clone() });
    let root = mount_root(&vfs, image)?;
    let config = match read_config(&vfs, &root)? {
        Some(own) => config.or(own),
        None => config,
    };
    let hostname = config.hostname.as_deref().unwrap_or(b"hull");
    let system = System::new(platform, vfs, hostname);
    system.set_trace(config.trace);
    mount_standard(&system, &root)?;
    network::write_resolver(&system.vfs, &root, &config)
        .map_err(|errno| StartError::Setup("/etc/resolv.conf", errno))?;
    network::set_up(&system, cards, &config);
    let (uid, gid, groups) = config.user.clone().unwrap_or_default();
    let credentials = Arc::new(Credentials::new(uid, gid, &groups));
    let limits = Limits::new(max_threads());
    let cwd = working_directory(&system, &root, &credentials, config.cwd.as_deref())?;
    let fs = Arc::new(FsContext::new(root, cwd.clone(), 0o022));

    let path = config.exe.as_ref().or(config.args.first()).ok_or(StartError::NothingToRun)?.clone();
    let loading = Loading {
        system: &system,
        fs: &fs,
        credentials: &credentials,
        limits: &limits,
        personality: if config.no_aslr { ADDR_NO_RANDOMIZE } else { 0 },
        ids: (0, 0),
        tracer: None,
    };
    let program = loading
        .open(&cwd, &path, Follow::Yes, false)
        .map_err(LoadError::from)
        .and_then(|file| loading.load(file, &path, &config.args, &config.env))
        .map_err(|error| StartError::Program(path, error))?;

    let out_of = |what| move |errno| StartError::Setup(what, errno);
    let files = FdTable::default();
    let terminal = config.tty || config.channel == Channel::Raw;
    for description in console::stdio(&system, terminal, config.winsize) {
        files.add(description, CloseOnExec::No, 0, 1024).map_err(out_of("standard input and output"))?;
    }
    let state = ProcessState {
        parent: alloc::sync::Weak::new(),
        children: Vec::new(),
        threads: Vec::new(),
        group: FIRST_PID,
        session: FIRST_PID,
        exit: ExitState::Running,
        stopped: None,
        report: None,
        has_execed: true,
        subreaper: false,
        dumpable: program.dumpable,
        exe: Some(Arc::clone(&program.exe)),
        auxv: program.auxv,
        last_uid: 0,
        ended_time: CpuTime::default(),
        children_time: CpuTime::default(),
        personality: program.personality,
        oom_score_adj: 0,
    };
    let pid = system.new_id().map_err(out_of("the first process"))?;
    let handlers = Arc::new(Handlers::default());
    let process =
        Process::new(&system, pid, Arc::clone(&program.vm), handlers, limits, state, abi::signal::SIGCHLD);
    let affinity = CpuSet(u64::MAX >> (64 - platform.info.cpus.clamp(1, 64)));
    let thread = Thread::new(ThreadParts {
        process: Arc::clone(&process),
        tid: pid,
        files: Arc::new(files),
        fs,
        credentials: program.credentials,
        name: [0; 16],
        signal_mask: 0,
        sched: SchedPolicy::default(),
        affinity,
    });
    thread.set_name(&program.name);
    let start = Start {
        thread: thread.clone(),
        regs: program.regs,
        fs_base: 0,
        gs_base: 0,
        space: Arc::clone(program.vm.space()),
        extended: None,
        affinity,
    };
    let task =
        platform.scheduler.spawn(start).map_err(|_| StartError::Setup("the first thread", Errno::ENOMEM))?;
    thread.set_task(task);
    process.state.lock().threads.push(Arc::clone(&thread));
    system.add_process(&process);
    system.add_thread(&thread);
    events.connect(&system);
    thread.task().unpark();
    Ok(system)
}

/// Linux's rule for the most threads: what an eighth of the memory holds in kernel stacks of 16 KiB.
pub(crate) fn max_threads() -> u64 {
    (hal::Frame::usage().total / 8 / 4).clamp(20, u64::from(crate::system::PID_MAX))
}

fn mount_root(vfs: &Vfs, image: Option<Arc<dyn PageStore>>) -> Result<Place, StartError> {
    let options = RamOptions::default();
    let Some(image) = image else {
        return Ok(vfs.mount_root(RamFs::new(vfs.environment(), &options), "rootfs"));
    };
    let lower: Arc<dyn FileSystem> =
        Erofs::open(image, vfs::fs::anonymous_dev()).map_err(StartError::Root)?;
    Ok(vfs.mount_root(overlay::above(vfs.environment(), &lower, &options), "overlay"))
}

/// Walks as the kernel itself.
fn walk<'a>(vfs: &'a Vfs, root: &'a Place, who: &'a vfs::Credentials) -> Walk<'a> {
    Walk { vfs, caller: vfs::Caller::kernel(who), root, start: root, resolve: 0 }
}

/// Reads the image's own configuration; most images built by the tool have one.
fn read_config(vfs: &Vfs, root: &Place) -> Result<Option<Config>, StartError> {
    let who = vfs::Credentials::root();
    let Ok(file) = walk(vfs, root, &who).lookup(abi::boot::IMAGE_FILE.as_bytes(), Follow::Yes) else {
        return Ok(None);
    };
    let len = file.node().size().min(CONFIG_MAX);
    let mut bytes = alloc::vec![0; usize::try_from(len).unwrap_or(0)];
    let read = file.node().read_at(0, &mut Dest::kernel(&mut bytes)).map_err(StartError::Root)?;
    bytes.truncate(read);
    let text = String::from_utf8_lossy(&bytes);
    Config::parse(&text).map(Some).map_err(StartError::Config)
}

/// Mounts what every system has: proc, sysfs, devices, shared memory.
fn mount_standard(system: &Arc<System>, root: &Place) -> Result<(), StartError> {
    let vfs = &system.vfs;
    let plain = MountOptions::REL_ATIME | MountOptions::NO_SUID;
    let strict = plain | MountOptions::NO_DEV | MountOptions::NO_EXEC;
    let mount = |path: &'static str, source: &str, fs: Arc<dyn FileSystem>, options| {
        let who = vfs::Credentials::root();
        let walk = walk(vfs, root, &who);
        let place = match walk.lookup(path.as_bytes(), Follow::Yes) {
            Err(Errno::ENOENT) => walk
                .make_directory(path.as_bytes(), 0o755)
                .and_then(|_| walk.lookup(path.as_bytes(), Follow::Yes)),
            found => found,
        };
        place
            .and_then(|place| vfs.mount(fs, source, &place, options))
            .map_err(|errno| StartError::Setup(path, errno))
    };
    mount("/proc", "proc", procfs::proc(system), strict)?;
    mount("/sys", "sysfs", procfs::sys(system), strict)?;
    let environment = vfs.environment();
    let devices = dev::tree(environment).map_err(|errno| StartError::Setup("/dev", errno))?;
    mount("/dev", "devtmpfs", devices, plain)?;
    mount("/dev/pts", "devpts", crate::tty::file_system(system), plain | MountOptions::NO_EXEC)?;
    let shared = RamOptions { mode: 0o1777, ..RamOptions::default() };
    mount("/dev/shm", "tmpfs", RamFs::new(environment, &shared), plain | MountOptions::NO_DEV)?;
    mount("/dev/mqueue", "mqueue", system.ipc.mqueue.file_system(), strict)?;
    Ok(())
}

fn working_directory(
    system: &System,
    root: &Place,
    credentials: &Credentials,
    path: Option<&[u8]>,
) -> Result<Place, StartError> {
    let Some(path) = path else { return Ok(root.clone()) };
    let access = credentials.file_access();
    walk(&system.vfs, root, &access)
        .lookup_directory(path)
        .map_err(|errno| StartError::Directory(path.to_vec(), errno))
}
