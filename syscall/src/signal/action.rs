//! Dispositions: what a process does on each signal.

use abi::signal::{
    SIG_DFL, SIG_IGN, SIGCHLD, SIGCONT, SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
    SaFlags,
};
use hal::sync::{Lock, rank};

/// The highest signal number.
pub const LAST: i32 = 64;

/// A set of signals, as `sigset_t`: bit 0 is signal 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// What nobody can block, catch or ignore.
    pub const UNBLOCKABLE: Self = Self::of(&[SIGKILL, SIGSTOP]);
    /// The signals that stop a process unless it catches them.
    pub const STOP: Self = Self::of(&[SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU]);

    /// Makes a set.
    pub const fn of(signals: &[i32]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < signals.len() {
            bits |= 1 << (signals[i] - 1);
            i += 1;
        }
        Self(bits)
    }

    /// Says whether the signal is in the set.
    pub const fn has(self, signal: i32) -> bool {
        self.0 >> (signal - 1) & 1 != 0
    }

    /// Says whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns what is in this set and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// What happens on a signal that is not caught (`signal(7)`, "Standard signals").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Default {
    /// Nothing.
    Ignore,
    /// The process goes on if it is stopped.
    Continue,
    /// The process stops.
    Stop,
    /// The process ends.
    Terminate,
}

/// Returns the default action.
pub const fn default_action(signal: i32) -> Default {
    match signal {
        SIGCHLD | SIGURG | SIGWINCH => Default::Ignore,
        SIGCONT => Default::Continue,
        SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU => Default::Stop,
        _ => Default::Terminate,
    }
}

/// What `sigaction(2)` sets for one signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Action {
    /// `SIG_DFL`, `SIG_IGN`, or the handler's address.
    pub handler: u64,
    /// `SA_*`.
    pub flags: SaFlags,
    /// Where the handler returns to.
    pub restorer: u64,
    /// What is blocked while the handler runs.
    pub mask: SignalSet,
}

impl Action {
    /// Says whether the signal has no effect.
    pub const fn ignores(&self, signal: i32) -> bool {
        self.handler == SIG_IGN
            || self.handler == SIG_DFL
                && matches!(default_action(signal), Default::Ignore | Default::Continue)
    }
}

type Actions = [Action; LAST as usize];

/// What a process does on each signal; shared by `CLONE_SIGHAND`.
pub struct Handlers {
    actions: Lock<Actions, { rank::SIGNAL }>,
}

impl core::default::Default for Handlers {
    fn default() -> Self {
        Self::with([Action::default(); LAST as usize])
    }
}

const fn index(signal: i32) -> usize {
    (signal - 1).cast_unsigned() as usize
}

impl Handlers {
    const fn with(actions: Actions) -> Self {
        Self { actions: Lock::new(actions) }
    }

    /// Returns the action for a signal from 1 to 64.
    pub fn get(&self, signal: i32) -> Action {
        self.actions.lock()[index(signal)]
    }

    /// Sets the action for a signal from 1 to 64; returns the one before.
    pub fn set(&self, signal: i32, action: Action) -> Action {
        core::mem::replace(&mut self.actions.lock()[index(signal)], action)
    }

    /// Returns the action, and sets the default one if the action says so (`SA_RESETHAND`).
    pub(super) fn take(&self, signal: i32) -> Action {
        let mut actions = self.actions.lock();
        let action = &mut actions[index(signal)];
        let was = *action;
        if was.handler > SIG_IGN && was.flags.contains(SaFlags::SA_RESETHAND) {
            action.handler = SIG_DFL;
        }
        was
    }

    /// Makes the same actions for a child.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::with(*self.actions.lock())
    }

    /// Makes the actions for a child without handlers (`CLONE_CLEAR_SIGHAND`): what is ignored stays ignored.
    #[must_use]
    pub fn copy_cleared(&self) -> Self {
        let mut actions = *self.actions.lock();
        for action in &mut actions {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = Action { handler, ..Action::default() };
        }
        Self::with(actions)
    }

    /// Makes the actions after `execve`: what is ignored stays ignored, all else is the default.
    #[must_use]
    pub fn for_exec(&self) -> Self {
        self.copy_cleared()
    }

    /// Returns which signals are ignored and which are caught (`/proc/PID/status`).
    pub fn sets(&self) -> (SignalSet, SignalSet) {
        let (mut ignored, mut caught) = (0, 0);
        for (bit, action) in self.actions.lock().iter().enumerate() {
            match action.handler {
                SIG_DFL => {}
                SIG_IGN => ignored |= 1 << bit,
                _ => caught |= 1 << bit,
            }
        }
        (SignalSet(ignored), SignalSet(caught))
    }
}
