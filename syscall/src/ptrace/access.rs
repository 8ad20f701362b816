//! Who may look into whom.

use abi::{Errno, Result};

use crate::proc::{Capability, Credentials, Thread};

/// Checks that a caller may trace a thread (`PTRACE_MODE_ATTACH_REALCREDS`, `ptrace(2)`, "Ptrace access mode checking").
///
/// # Errors
/// `EPERM`
pub(crate) fn may_access(caller: &Thread, target: &Thread) -> Result<()> {
    if core::ptr::eq(&raw const **caller.process(), &raw const **target.process()) {
        return Ok(());
    }
    let who = caller.credentials();
    if who.can(Capability::SysPtrace) {
        return Ok(());
    }
    let dumpable = target.process().state.lock().dumpable;
    if dumpable && covers(&who, &target.credentials()) { Ok(()) } else { Err(Errno::EPERM) }
}

fn covers(who: &Credentials, target: &Credentials) -> bool {
    [target.uid, target.euid, target.suid].iter().all(|&id| id == who.uid)
        && [target.gid, target.egid, target.sgid].iter().all(|&id| id == who.gid)
        && target.permitted & !who.permitted == 0
}
