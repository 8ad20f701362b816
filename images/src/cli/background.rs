//! Machines with a record: `hull run -d`, which leaves a supervising process behind, and named ones in the foreground.
//!
//! There is no daemon. The tool starts itself once more; that process prepares and owns the machine as any `hull run`
//! does, writes down how it stands, and says over a pipe when the program has started. Until then its messages are
//! the tool's; then it leaves the terminal and the pipe to those who have them.

use crate::boot::machine::Machine;
use crate::boot::outcome::{End, Outcome};
use crate::boot::session::{Notify, Options, Progress};
use crate::machines::{Claim, Ending, Registry, new_name, new_record, record};
use crate::problem::FAILURE;
use anyhow::{Context as _, Result};
use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

/// The first argument of the supervising process.
pub(super) const ARGUMENT: &str = "__supervise";

/// Who runs `hull run`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// The tool that the user started.
    Tool,
    /// The process that owns a machine in the background.
    Supervisor,
}

/// Starts the supervisor with this tool's own arguments, and waits until it has started the program; returns the
/// exit code.
pub(super) fn start() -> Result<u8> {
    let exe = std::env::current_exe().context("where is this program?")?;
    let mut child = Command::new(exe)
        .arg(ARGUMENT)
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the supervising process")?;
    let mut name = String::new();
    child.stdout.take().context("the supervisor has a pipe")?.read_to_string(&mut name)?;
    if name.ends_with('\n') {
        print!("{name}");
        std::io::stdout().flush()?;
        return Ok(0);
    }
    // It has said why.
    let status = child.wait().context("cannot wait for the supervising process")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILURE))
}

/// A machine that is written down; shared with the session, which reports its progress.
pub(super) struct Recorded {
    claim: Rc<RefCell<Claim>>,
    role: Role,
}

/// Refuses a name before anything is built for it.
pub(super) fn check_name(name: Option<&String>) -> Result<()> {
    name.map_or(Ok(()), |name| Registry::of_user()?.must_be_free(name))
}

impl Recorded {
    /// Writes a machine down, and gives its session the means to be watched and asked; a machine in the foreground
    /// has a record only if it has a name.
    pub(super) fn new(
        role: Role,
        name: Option<&String>,
        command: &[OsString],
        machine: &mut Machine,
        options: &mut Options,
    ) -> Result<Option<Self>> {
        if role == Role::Tool && name.is_none() {
            return Ok(None);
        }
        if role == Role::Supervisor {
            // No terminal's hang-up and no interrupt is meant for it from here on.
            rustix::process::setsid().context("cannot leave the terminal's session")?;
        }
        let command: Vec<String> = command.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let program = command.first().map_or("", String::as_str);
        let mut record = new_record(name.cloned().unwrap_or_else(|| new_name(program)), command.clone());
        record.image = machine.image.display().to_string();
        record.foreground = role == Role::Tool;
        (record.memory, record.cpus) = (machine.memory, machine.cpus);
        record.ports = machine.nets.iter().flat_map(|net| net.forwards().to_vec()).collect();
        let claim = Registry::of_user()?.claim(record)?;
        options.control = Some(claim.control()?);
        if role == Role::Supervisor {
            options.journal = Some(claim.journal()?);
            machine.config.announce = true;
            machine.config.hostname.get_or_insert_with(|| claim.record().name.clone().into_bytes());
            // The directory that it was started in may be unmounted or removed.
            machine.image = std::path::absolute(&machine.image)?;
            std::env::set_current_dir("/").context("cannot leave the directory")?;
        }
        let claim = Rc::new(RefCell::new(claim));
        let shared = Rc::clone(&claim);
        options.notify = Some(Notify(Box::new(move |progress| {
            let mut claim = shared.borrow_mut();
            match progress {
                Progress::Hypervisor(pid) => claim.update(|record| record.hypervisor = Some(pid)),
                Progress::Started => {
                    claim.update(|record| record.started = Some(record::now()))?;
                    if role == Role::Supervisor { detach(&claim.record().name) } else { Ok(()) }
                }
            }
        })));
        Ok(Some(Self { claim, role }))
    }

    /// Writes down how the session ended. Nothing stays of a machine that never ran its program, or that was in the
    /// foreground.
    pub(super) fn finish(self, result: &Result<Outcome>) -> Result<()> {
        let Self { claim, role } = self;
        let started =
            result.as_ref().map_or_else(|_| claim.borrow().record().started.is_some(), |o| o.started);
        // The session that shared it has ended.
        let Some(claim) = Rc::into_inner(claim) else { return Ok(()) };
        let mut claim = claim.into_inner();
        if role == Role::Tool || !started {
            claim.forget();
            return Ok(());
        }
        let ending = match result {
            Ok(outcome) => Ending::of(outcome),
            Err(error) => Ending::SupervisorDied { why: format!("{error:#}") },
        };
        if let Ok(outcome) = result
            && outcome.end == End::Crash
        {
            claim.keep_log(&outcome.log)?;
        }
        claim.update(|record| {
            record.ended = Some(record::now());
            record.ending = Some(ending);
            record.lost_output = result.as_ref().ok().and_then(|outcome| outcome.lost_output.clone());
        })
    }
}

/// Tells the tool that the program has started, and lets go of its terminal and pipe.
fn detach(name: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    // A tool that is gone was interrupted: nobody wants the machine.
    writeln!(out, "{name}")
        .and_then(|()| out.flush())
        .context("the tool that started this machine is gone")?;
    let null =
        std::fs::File::options().write(true).open(Path::new("/dev/null")).context("cannot open /dev/null")?;
    rustix::stdio::dup2_stdout(&null).context("cannot close standard output")?;
    rustix::stdio::dup2_stderr(&null).context("cannot close standard error")
}
