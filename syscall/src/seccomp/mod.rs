//! Filters of system calls: `seccomp(2)`.
//!
//! A thread with a mode or filters has [`Entry::SECCOMP`](crate::proc::Entry), so that the way into its calls leads
//! through `check`; other threads pay nothing. A child inherits the chain, and a new program keeps it.

mod bpf;
mod check;

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::seccomp::*;
use abi::{Errno, Result};

use crate::proc::{Entry, Process, Thread};

pub use bpf::Program;
pub(crate) use check::{Verdict, check};

/// Most instructions of a chain; each filter counts four more (`MAX_INSNS_PER_PATH`).
const CHAIN_MAX: usize = (1 << 18) / size_of::<SockFilter>();
/// What a filter costs beside its instructions.
const FILTER_COST: usize = 4;

/// A filter, and those that were there before it.
pub struct Filter {
    program: Program,
    previous: Option<Arc<Self>>,
}

impl Filter {
    /// Goes through a chain, the newest first.
    fn chain(newest: Option<&Arc<Self>>) -> impl Iterator<Item = &Self> {
        core::iter::successors(newest.map(AsRef::as_ref), |filter| filter.previous.as_deref())
    }
}

impl Drop for Filter {
    /// Takes the chain down link by link: the stack is too small for thousands of nested calls.
    fn drop(&mut self) {
        let mut next = self.previous.take();
        while let Some(filter) = next {
            next = Arc::into_inner(filter).and_then(|mut filter| filter.previous.take());
        }
    }
}

/// What a thread may call.
#[derive(Clone, Default)]
pub enum Mode {
    /// Everything.
    #[default]
    Disabled,
    /// `read`, `write`, `exit` and `rt_sigreturn`.
    Strict,
    /// What every filter of the chain allows.
    Filter(Arc<Filter>),
}

impl Mode {
    /// Returns the number that `/proc/PID/status` and `PR_GET_SECCOMP` show, and how many filters there are.
    pub fn numbers(&self) -> (u64, usize) {
        match self {
            Self::Disabled => (SECCOMP_MODE_DISABLED, 0),
            Self::Strict => (SECCOMP_MODE_STRICT, 0),
            Self::Filter(newest) => (SECCOMP_MODE_FILTER, Filter::chain(Some(newest)).count()),
        }
    }

    fn newest(&self) -> Option<&Arc<Filter>> {
        match self {
            Self::Filter(newest) => Some(newest),
            Self::Disabled | Self::Strict => None,
        }
    }

    /// Says whether this is the other's chain, or one that the other has grown from.
    fn is_ancestor_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Disabled, _) => true,
            (Self::Strict, _) => false,
            (Self::Filter(own), _) => {
                Filter::chain(other.newest()).any(|f| core::ptr::eq(f, &raw const **own))
            }
        }
    }
}

/// Whom a new filter is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The calling thread.
    Thread,
    /// Every thread of the process (`SECCOMP_FILTER_FLAG_TSYNC`).
    Process,
}

fn set(thread: &Thread, mode: Mode) {
    let old = core::mem::replace(&mut *thread.seccomp.lock(), mode);
    thread.add_entry(Entry::SECCOMP);
    drop(old);
}

/// Lets the thread do no more than read, write, return from a handler, and end.
///
/// # Errors
/// `EINVAL` if it has filters.
pub fn set_strict(thread: &Thread) -> Result<()> {
    let filtered = matches!(*thread.seccomp.lock(), Mode::Filter(_));
    if filtered {
        return Err(Errno::EINVAL);
    }
    set(thread, Mode::Strict);
    Ok(())
}

/// Puts a filter in front of those that the thread has.
///
/// # Errors
/// `EINVAL` in strict mode, `ENOMEM` where the chain would be too long; the number of a thread whose filters do not
/// belong to the caller's chain comes as `Ok(Some)`.
pub fn add_filter(thread: &Thread, program: Program, scope: Scope) -> Result<Option<u32>> {
    let current = thread.seccomp.lock().clone();
    if matches!(current, Mode::Strict) {
        return Err(Errno::EINVAL);
    }
    let cost: usize = Filter::chain(current.newest()).map(|f| f.program.cost() + FILTER_COST).sum();
    if cost + program.cost() > CHAIN_MAX {
        return Err(Errno::ENOMEM);
    }
    let others = match scope {
        Scope::Thread => Vec::new(),
        Scope::Process => others(thread.process(), thread),
    };
    let astray = others.iter().find(|other| {
        let mode = other.seccomp.lock().clone();
        !mode.is_ancestor_of(&current)
    });
    if let Some(other) = astray {
        return Ok(Some(other.tid()));
    }
    let mode = Mode::Filter(Arc::new(Filter { program, previous: current.newest().cloned() }));
    let no_new_privs = thread.credentials().no_new_privs;
    for other in others {
        if no_new_privs && !other.credentials().no_new_privs {
            let mut credentials = crate::proc::Credentials::clone(&other.credentials());
            credentials.no_new_privs = true;
            other.set_credentials(credentials);
        }
        set(&other, mode.clone());
    }
    set(thread, mode);
    Ok(None)
}

fn others(process: &Process, thread: &Thread) -> Vec<Arc<Thread>> {
    let mut threads = process.threads();
    threads.retain(|other| other.tid() != thread.tid());
    threads
}

/// Gives a new thread its maker's mode.
pub fn inherit(parent: &Thread, child: &Thread) {
    if parent.entry().contains(Entry::SECCOMP) {
        let mode = parent.seccomp.lock().clone();
        set(child, mode);
    }
}
