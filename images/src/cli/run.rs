//! `hull run`.

use super::background::{self, Recorded, Role};
use super::net::Network;
use super::select::{self, Contents, Start, progress, user};
use crate::boot::accel::{self, Accel};
use crate::boot::machine::{Machine, MachineType, find_kernel, find_qemu, parse_memory};
use crate::boot::outcome::{self, End, Outcome};
use crate::boot::{session, terminal};
use crate::cache::{self, Built, Cache};
use crate::erofs::{Follow, Image};
use crate::machines::record::signal_name;
use crate::problem::{FAILURE, Problem};
use abi::boot::{self, Channel, Config};
use abi::channel;
use anyhow::{Context as _, Result};
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Exit code when the time given with `--timeout` is up, as timeout(1) has it.
const TIMED_OUT: u8 = 124;

/// Memory of a machine of which nothing is said, in bytes.
const MEMORY_DEFAULT: u64 = 256 << 20;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    contents: Contents,
    #[command(flatten)]
    start: Start,
    #[command(flatten)]
    network: Network,
    /// Memory of the machine [default: the recipe's, or 256M]
    #[arg(short, long, value_name = "SIZE", value_parser = parse_memory)]
    memory: Option<u64>,
    /// Number of processors [default: the recipe's, or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    cpus: Option<u32>,
    /// Keep standard input open (it always is: for habits from docker)
    #[arg(short, long)]
    interactive: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    tty: bool,
    /// Type of the machine
    #[arg(long, value_enum, default_value_t)]
    machine: MachineType,
    /// Run in the background: print the machine's name once the program has started
    #[arg(short, long, conflicts_with_all = ["tty", "interactive"])]
    detach: bool,
    /// Name of the machine, for `hull ps`, `stop` and others; also its host name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Write a line for every system call to standard error
    #[arg(long)]
    trace: bool,
    /// Write the system-call trace to a file
    #[arg(long, value_name = "FILE")]
    trace_file: Option<PathBuf>,
    /// Give up after this many seconds (exit code 124)
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// Show what is done, and the kernel's log; twice for more
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Show nothing of the tool's own but errors
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Use this kernel file
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Carry the program's input and output by virtio or over the serial port
    #[arg(long, value_name = "KIND", default_value = "virtio", hide = true,
          value_parser = clap::builder::PossibleValuesParser::new(["virtio", "serial", "raw"]))]
    channel: String,
    /// Turn address randomisation off
    #[arg(long, hide = true)]
    no_aslr: bool,
    /// One more argument for QEMU (repeatable)
    #[arg(long = "qemu-arg", value_name = "ARG", hide = true, allow_hyphen_values = true)]
    qemu_args: Vec<OsString>,
    /// A program (path, or name in PATH), an image or a recipe (see `hull recipes`), and its arguments
    #[arg(
        value_name = "PROGRAM|IMAGE|RECIPE [ARGS]...",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<OsString>,
}

/// Wraps, boots, stays until the end; returns the exit code.
pub(super) fn run(mut args: Args, role: Role) -> Result<u8> {
    let program = args.command.first().context("a program is required")?;
    if program.as_bytes().starts_with(b"-") && program != "-" {
        let message = format!("unknown option {}", program.to_string_lossy());
        let hint = "`hull run --help` lists the options; options of the program come after its name";
        return Err(Problem::new(message).hint(hint).into());
    }
    let timeout = match args.timeout {
        Some(seconds) => Some(Duration::try_from_secs_f64(seconds).map_err(|_| {
            Problem::new(format!("--timeout {seconds} is not a time")).hint("write seconds, such as 2.5")
        })?),
        None => None,
    };
    if args.tty && args.interactive && !std::io::stdin().is_terminal() {
        let hint = "leave -t out: input and output then pass unchanged";
        return Err(Problem::new("-it needs a terminal, and standard input is none").hint(hint).into());
    }
    if args.detach && role == Role::Tool {
        return background::start();
    }
    background::check_name(args.name.as_ref())?;
    let qemu = find_qemu()?;
    let kernel = find_kernel(args.kernel.as_deref())?;
    let (accel, why) = accel::choose(std::env::var(accel::VARIABLE).ok().as_deref())?;
    let recipe = args.contents.recipe(args.command.first())?;
    let mut ports = Vec::new();
    if let Some(found) = &recipe {
        select::apply(found, &mut args.contents, &mut args.start, &mut args.command);
        ports.extend(found.recipe.ports.iter().flat_map(|ports| ports.0.clone()));
        args.memory = args.memory.or(found.recipe.memory.map(|memory| memory.0));
        args.cpus = args.cpus.or(found.recipe.cpus.map(|cpus| u32::from(cpus.get())));
    }
    let (program, rest) = args.command.split_first().context("a program is required")?;
    let network = args.network.setup(args.machine, &ports)?;
    let prepared = prepare(&args, program, rest).map_err(|error| select::explain(recipe.as_ref(), error))?;
    let is_new = prepared.built.as_ref().is_some_and(|b| b.fresh);
    if args.verbose > 0 {
        let state = if is_new { "built" } else { "kept from before" };
        eprintln!("hull: image {} ({state})", prepared.image.display());
        eprintln!("hull: accelerator {accel}: {why}");
        network.forwards().for_each(|forward| eprintln!("hull: port {forward}"));
    }
    let warnings = prepared.built.iter().flat_map(|b| &b.warnings);
    if args.verbose > 0 || is_new && !args.quiet && std::io::stderr().is_terminal() {
        warnings.for_each(|warning| eprintln!("hull: {warning}"));
    }
    let mut config = prepared.config;
    let clock = Frequency::new(accel);
    config.tsc_khz = clock.known();
    config.dns = network.dns.clone();
    let mut machine = Machine {
        qemu,
        kind: args.machine,
        accel,
        memory: args.memory.unwrap_or(MEMORY_DEFAULT),
        cpus: args.cpus.unwrap_or(1),
        kernel,
        image: prepared.image.clone(),
        nets: network.interfaces,
        config,
        extra: args.qemu_args.clone(),
    };
    let trace = match &args.trace_file {
        Some(path) => {
            let file = std::fs::File::create(path);
            let file = file.with_context(|| format!("cannot write the trace to {}", path.display()))?;
            Some(std::io::BufWriter::new(file))
        }
        None => None,
    };
    let log_level = match (args.quiet, args.verbose) {
        (true, _) => None,
        (_, 0) => Some(0),
        (_, 1) => Some(2),
        _ => Some(4),
    };
    let terminal = args.tty && std::io::stdin().is_terminal();
    let mut options = session::Options { terminal, timeout, log_level, trace, ..session::Options::default() };
    let recorded = Recorded::new(role, args.name.as_ref(), &args.command, &mut machine, &mut options)?;
    let outcome = session::run(&machine, options);
    if let Some(recorded) = recorded {
        recorded.finish(&outcome)?;
    }
    let outcome = outcome?;
    clock.learn(&outcome.reports);
    Ok(conclude(&args, &outcome, &machine, &prepared.image, rest))
}

struct Prepared {
    image: PathBuf,
    config: Config,
    /// Held until the machine has ended: it may own the image's file.
    built: Option<Built>,
}

/// Finds or builds the image, and writes the configuration.
fn prepare(args: &Args, program: &OsStr, rest: &[OsString]) -> Result<Prepared> {
    let path = Path::new(program);
    cache::check_image_name(path)?;
    let added = args.start.environment()?;
    let term = args.tty.then(|| std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned()));
    let mut config = Config::default();
    let (image, built);
    if Image::probe(path) {
        if args.contents.is_given() {
            let message = format!("{} is an image already: nothing can be added to it", path.display());
            return Err(Problem::new(message).hint("give these options to `hull build`").into());
        }
        config = image_config(path)?;
        if !rest.is_empty() {
            config.args.truncate(1);
        }
        let mut env = std::mem::take(&mut config.env);
        env.extend(term.iter().map(|t| format!("TERM={t}").into_bytes()));
        env.extend(added);
        let path_entry = env.iter().find_map(|e| e.strip_prefix(b"PATH=").map(<[u8]>::to_vec));
        let path_entry = path_entry.map(|p| String::from_utf8_lossy(&p).into_owned());
        config.env =
            cache::environment(path_entry.as_deref().unwrap_or(crate::resolve::DEFAULT_PATH), &env, None);
        (image, built) = (path.to_owned(), None);
    } else {
        let request = args.contents.request(Some(program))?;
        let cache = Cache::of_user().unwrap_or_else(Cache::none);
        let found = cache.image(&request, &mut progress(args.quiet))?;
        let launch = found.launch.as_ref().context("a program has a way to start")?;
        config.args = vec![launch.argv0.as_bytes().to_vec()];
        config.exe = Some(launch.exe.as_os_str().as_bytes().to_vec());
        config.env = cache::environment(&launch.path, &added, term.as_deref());
        (image, built) = (found.image.clone(), Some(found));
    }
    config.args.extend(rest.iter().map(|arg| arg.as_bytes().to_vec()));
    if let Some(dir) = &args.start.workdir {
        config.cwd = Some(dir.as_os_str().as_bytes().to_vec());
    }
    if let Some(name) = &args.start.user {
        config.user = Some(user(&Image::open(&image)?, name)?);
    }
    config.hostname = args.name.as_ref().map(|n| n.as_bytes().to_vec()).or(config.hostname);
    config.tty = args.tty;
    config.winsize = if args.tty { terminal::size() } else { None };
    config.channel = match args.channel.as_str() {
        "serial" => Channel::Serial,
        "raw" => Channel::Raw,
        _ => Channel::Virtio,
    };
    config.trace = args.trace || args.trace_file.is_some();
    config.no_aslr = args.no_aslr;
    config.log = (args.verbose > 0).then_some(if args.verbose == 1 { 2 } else { 4 });
    Ok(Prepared { image, config, built })
}

/// Reads the configuration that an image carries.
pub(super) fn image_config(path: &Path) -> Result<Config> {
    let image = Image::open(path)?;
    let Ok(inode) = image.find(Path::new(boot::IMAGE_FILE), Follow::Yes) else {
        return Ok(Config::default());
    };
    let mut bytes = vec![0; usize::try_from(inode.size.min(1 << 20))?];
    let len = image.read(&inode, 0, &mut bytes)?;
    let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
    Config::parse(&text).map_err(|e| {
        let message = format!("{}: its {} is damaged: {e}", path.display(), boot::IMAGE_FILE);
        Problem::new(message).hint("build the image again").into()
    })
}

/// Says what is worth saying at the end, and finds the exit code.
fn conclude(args: &Args, outcome: &Outcome, machine: &Machine, image: &Path, rest: &[OsString]) -> u8 {
    let program = args.command.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
    if !args.quiet {
        for (name, count) in outcome::unimplemented(&outcome.reports) {
            let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
            eprintln!("hull: system call {name} was not implemented: used {times}");
        }
    }
    if args.verbose > 0 {
        for (key, value) in outcome.reports.iter().filter(|(key, _)| !key.starts_with("unimplemented.")) {
            eprintln!("hull: report: {key}={value}");
        }
        eprintln!("hull: {:.3} s from start to end", outcome.duration.as_secs_f64());
    }
    let failed = outcome.reports.iter().find(|(key, _)| key == channel::START_FAILED);
    match outcome.end {
        // In the foreground the kernel's own message has been shown.
        End::Exit(status) if failed.is_some() && args.detach => {
            eprintln!("error: {}", failed.map_or("", |(_, why)| why));
            outcome::exit_code(status).0
        }
        End::Exit(status) => {
            let (code, signal) = outcome::exit_code(status);
            if let Some(signal) = signal.filter(|_| !args.quiet) {
                let name = signal_name(signal);
                let core = if status & 0x80 != 0 { " (core dumped on Linux)" } else { "" };
                eprintln!("hull: {program} was killed by signal {signal} ({name}){core}");
            }
            if code != 0 && !args.quiet {
                hint_at_missing_files(image, rest);
            }
            code
        }
        End::Timeout => {
            let seconds = args.timeout.unwrap_or_default();
            eprintln!("error: {program} still ran after {seconds} s and was stopped (--timeout)");
            show_log(outcome, args.verbose > 0);
            TIMED_OUT
        }
        End::Killed(signal) => {
            eprintln!(
                "hull: the machine was ended by signal {signal} ({})",
                signal_name(signal.unsigned_abs())
            );
            u8::try_from(128 + signal).unwrap_or(FAILURE)
        }
        End::Ended => {
            eprintln!("hull: the machine was ended by `hull kill` or `hull rm`");
            128 + 9
        }
        End::Crash => {
            eprintln!("error: the machine ended before {program} did");
            if let Some(text) = &outcome.hypervisor {
                eprintln!("{}: {text}", Path::new(&machine.qemu).display());
            }
            show_log(outcome, true);
            if outcome.hypervisor.is_none() {
                eprintln!("hint: more memory (-m) may help; -vv shows the kernel's whole log");
            }
            FAILURE
        }
    }
}

fn show_log(outcome: &Outcome, show: bool) {
    let lines: Vec<&str> = outcome.log.lines().collect();
    if show && !lines.is_empty() {
        eprintln!("the end of the kernel's log:");
        lines[lines.len().saturating_sub(60)..].iter().for_each(|line| eprintln!("  {line}"));
    }
}

/// A file name among the arguments that exists here and not there explains many failures.
fn hint_at_missing_files(image: &Path, rest: &[OsString]) {
    let Ok(image) = Image::open(image) else { return };
    let Ok(cwd) = std::env::current_dir() else { return };
    for arg in rest.iter().filter(|arg| !arg.as_bytes().starts_with(b"-") && !arg.as_bytes().is_empty()) {
        let path = cwd.join(arg);
        if path.is_file() && image.find(&path, Follow::Yes).is_err() && std::io::stderr().is_terminal() {
            let arg = arg.to_string_lossy();
            let directory = if arg.starts_with('/') { "" } else { " -w \"$PWD\"" };
            eprintln!("hint: {arg} is a file here, but not in the machine: add --include {arg}{directory}");
        }
    }
}

/// The clock's frequency, as an earlier machine measured it since this host booted: measuring takes time.
struct Frequency {
    file: Option<PathBuf>,
    boot: String,
}

impl Frequency {
    fn new(accel: Accel) -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let file = Cache::of_user().map(|cache| cache.dir().join(format!("tsc-{accel}")));
        Self { file: file.filter(|_| !boot.is_empty()), boot: boot.trim().to_owned() }
    }

    fn known(&self) -> Option<u64> {
        let text = std::fs::read_to_string(self.file.as_ref()?).ok()?;
        text.strip_prefix(&self.boot)?.trim().parse().ok().filter(|&khz| khz > 0)
    }

    fn learn(&self, reports: &[(String, String)]) {
        let measured =
            reports.iter().find(|(key, _)| key == "tsc_khz").and_then(|(_, v)| v.parse::<u64>().ok());
        if let (Some(file), Some(khz)) = (&self.file, measured)
            && let Some(dir) = file.parent()
            && let Ok(mut temporary) = tempfile::NamedTempFile::new_in(dir)
        {
            use std::io::Write as _;
            if writeln!(temporary, "{} {khz}", self.boot).is_ok() {
                let _ = temporary.persist(file);
            }
        }
    }
}

/// Writes bytes of a configuration for people.
pub(super) fn shown(bytes: &[u8]) -> String {
    OsString::from_vec(bytes.to_vec()).to_string_lossy().into_owned()
}
