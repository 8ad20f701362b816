//! Job control: which session a terminal controls, and who may use it now (`setpgid(2)`, `tcsetpgrp(3)`).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use abi::Errno;
use abi::signal::{SI_KERNEL, SIG_IGN, SIGCONT, SIGHUP, SIGTTIN, Siginfo};
use hal::sync::{Lock, rank};

use super::Terminal;
use crate::proc::Process;
use crate::signal::{send_group, send_process};
use crate::system::System;
use crate::{Context, Restart, SysError, SysResult};

/// The controlling terminal of each session that has one.
#[derive(Default)]
pub struct Sessions {
    terminals: Lock<BTreeMap<u32, Arc<Terminal>>, { rank::LEAF }>,
}

impl Sessions {
    /// Returns a session's terminal.
    pub fn terminal(&self, session: u32) -> Option<Arc<Terminal>> {
        self.terminals.lock().get(&session).cloned()
    }

    pub(super) fn leave(&self, session: u32) {
        let gone = self.terminals.lock().remove(&session);
        drop(gone);
    }
}

/// Returns a process's session and process group.
fn session_of(process: &Process) -> (u32, u32) {
    let state = process.state.lock();
    (state.session, state.group)
}

/// Returns a process's controlling terminal.
pub(crate) fn controlling(process: &Process) -> Option<Arc<Terminal>> {
    process.system().files.sessions.terminal(session_of(process).0)
}

/// Makes a terminal control a session, with a process group in the foreground.
pub(crate) fn attach(system: &System, terminal: &Arc<Terminal>, session: u32, group: u32) {
    {
        let mut state = terminal.state.lock();
        (state.session, state.foreground) = (session, group);
    }
    let old = system.files.sessions.terminals.lock().insert(session, Arc::clone(terminal));
    drop(old);
}

/// Lets go of a session's terminal, because its leader ended or asked for it (`TIOCNOTTY`).
fn detach(system: &System, session: u32) -> Option<Arc<Terminal>> {
    let terminal = system.files.sessions.terminals.lock().remove(&session)?;
    let group = {
        let mut state = terminal.state.lock();
        if state.session != session {
            return None;
        }
        let group = state.foreground;
        (state.session, state.foreground) = (0, 0);
        group
    };
    if group != 0 {
        send_group(system, group, SIGHUP);
        send_group(system, group, SIGCONT);
    }
    Some(terminal)
}

/// Hangs the terminal up when a session's leader ends.
pub(crate) fn process_ended(process: &Process) {
    let (session, _) = session_of(process);
    if session == process.pid()
        && let Some(terminal) = detach(process.system(), session)
    {
        terminal.hang_up();
    }
}

/// Tells the leader of a session that its terminal hung up.
pub(super) fn signal_leader(system: &System, session: u32) {
    if let Some(leader) = system.process(session) {
        for signal in [SIGHUP, SIGCONT] {
            let _ = send_process(&leader, Siginfo::kill(signal, SI_KERNEL, 0, 0));
        }
    }
}

/// Says whether nobody outside a process group, but in its session, is left to look after it.
pub(super) fn is_orphaned(system: &System, group: u32) -> bool {
    let processes = system.processes();
    !processes.iter().any(|process| {
        let (parent, session, own) = {
            let state = process.state.lock();
            (state.parent.upgrade(), state.session, state.group)
        };
        own == group
            && parent.is_some_and(|parent| {
                let (parent_session, parent_group) = session_of(&parent);
                parent_session == session && parent_group != group
            })
    })
}

/// Checks that the caller may read from (`SIGTTIN`) or change (`SIGTTOU`) its terminal: only the foreground may.
///
/// # Errors
/// `EIO` where stopping would be for ever; a restart where the process is to stop.
pub(super) fn check_foreground(cx: &Context<'_>, terminal: &Arc<Terminal>, signal: i32) -> SysResult<()> {
    let (session, group) = session_of(cx.process());
    let system = cx.system();
    let mine = system.files.sessions.terminal(session).is_some_and(|t| Arc::ptr_eq(&t, terminal));
    let foreground = terminal.state.lock().foreground;
    if !mine || foreground == 0 || foreground == group {
        return Ok(());
    }
    let handlers = Arc::clone(&cx.process().handlers.lock());
    let ignored = handlers.get(signal).handler == SIG_IGN || cx.thread.signals.blocked().has(signal);
    if ignored {
        return if signal == SIGTTIN { Err(Errno::EIO.into()) } else { Ok(()) };
    }
    if is_orphaned(system, group) {
        return Err(Errno::EIO.into());
    }
    send_group(system, group, signal);
    Err(SysError::Restart(Restart::Sys))
}

/// `TIOCSCTTY`: makes the terminal the controlling one of the caller's session.
///
/// # Errors
/// `EPERM` if the caller leads no session, has a terminal, or another session has this one.
pub(super) fn set_controlling(cx: &Context<'_>, terminal: &Arc<Terminal>, steal: bool) -> SysResult<()> {
    let process = cx.process();
    let system = cx.system();
    let (session, group) = session_of(process);
    let owner = terminal.state.lock().session;
    if session == process.pid() && owner == session {
        return Ok(());
    }
    if session != process.pid() || system.files.sessions.terminal(session).is_some() {
        return Err(Errno::EPERM.into());
    }
    if owner != 0 {
        if !steal || !cx.credentials().can(crate::proc::Capability::SysAdmin) {
            return Err(Errno::EPERM.into());
        }
        system.files.sessions.leave(owner);
    }
    attach(system, terminal, session, group);
    Ok(())
}

/// Gives a session's leader that has no terminal the one that it opens without `O_NOCTTY`.
pub(crate) fn opened(cx: &Context<'_>, terminal: &Arc<Terminal>) {
    let process = cx.process();
    let (session, group) = session_of(process);
    let free = terminal.state.lock().session == 0;
    if session == process.pid() && free && cx.system().files.sessions.terminal(session).is_none() {
        attach(cx.system(), terminal, session, group);
    }
}

/// `TIOCNOTTY`: gives the controlling terminal up.
///
/// # Errors
/// `ENOTTY` if this is not the caller's.
pub(super) fn give_up(cx: &Context<'_>, terminal: &Arc<Terminal>) -> SysResult<()> {
    let process = cx.process();
    let mine = controlling(process).filter(|t| Arc::ptr_eq(t, terminal));
    mine.ok_or(Errno::ENOTTY)?;
    let (session, _) = session_of(process);
    if session == process.pid() {
        drop(detach(cx.system(), session));
        return Ok(());
    }
    // The terminal belongs to the session here, so that a process that does not lead it cannot leave it alone.
    Err(Errno::EPERM.into())
}

/// `TIOCGPGRP` and `TIOCGSID`: the numbers, for who may ask.
///
/// # Errors
/// `ENOTTY` if the slave side is asked and is not the caller's controlling terminal.
pub(super) fn numbers(cx: &Context<'_>, terminal: &Arc<Terminal>, master: bool) -> SysResult<(u32, u32)> {
    if !master && !controlling(cx.process()).is_some_and(|t| Arc::ptr_eq(&t, terminal)) {
        return Err(Errno::ENOTTY.into());
    }
    Ok(terminal.session())
}

/// `TIOCSPGRP`: puts a process group into the foreground.
///
/// # Errors
/// `ENOTTY` if this is not the caller's terminal, `EINVAL`, `ESRCH`, `EPERM` for a group of another session.
pub(super) fn set_foreground(cx: &Context<'_>, terminal: &Arc<Terminal>, group: i32) -> SysResult<()> {
    let system = cx.system();
    let (session, _) = session_of(cx.process());
    let mine = controlling(cx.process()).is_some_and(|t| Arc::ptr_eq(&t, terminal));
    if !mine || terminal.state.lock().session != session {
        return Err(Errno::ENOTTY.into());
    }
    let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
    let found = system.processes().iter().map(|p| session_of(p)).find(|s| s.1 == group);
    match found {
        None => Err(Errno::ESRCH.into()),
        Some((other, _)) if other != session => Err(Errno::EPERM.into()),
        Some(_) => {
            terminal.state.lock().foreground = group;
            Ok(())
        }
    }
}
