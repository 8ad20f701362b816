//! What a handler answers.

use abi::Errno;

/// How a system call that a signal interrupted goes on (`signal(7)`, "Interruption of system calls").
///
/// These never reach an application: the return path turns them into `EINTR` or into another try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// Again if the handler has `SA_RESTART`, or if no handler runs; else `EINTR`. Most calls.
    Sys,
    /// Again always, whatever the handler's flags.
    Always,
    /// Again only if no handler runs; `EINTR` if one does, also with `SA_RESTART` (`pause`, `poll`, `epoll_wait` ...).
    NoHandler,
    /// Again through `restart_syscall` with what the thread noted (a remaining time), if no handler runs; else `EINTR`.
    Block,
}

impl Restart {
    /// Returns what a tracer sees in the result's register (`ERESTARTSYS` and its like), as Linux has it.
    pub(crate) const fn code(self) -> u64 {
        let code: i64 = match self {
            Self::Sys => 512,
            Self::Always => 513,
            Self::NoHandler => 514,
            Self::Block => 516,
        };
        (-code).cast_unsigned()
    }

    /// Returns how the call goes on that a tracer has left in the registers, if it was interrupted.
    pub(crate) fn pending(regs: &hal::UserRegs) -> Option<Self> {
        const ALL: [Restart; 4] = [Restart::Sys, Restart::Always, Restart::NoHandler, Restart::Block];
        let is_call = regs.orig_rax.cast_signed() >= 0;
        ALL.into_iter().find(|restart| is_call && regs.rax == restart.code())
    }
}

/// Why a system call did not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SysError {
    /// The answer for the application.
    Errno(Errno),
    /// A signal came in first.
    Restart(Restart),
}

impl From<Errno> for SysError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<hal::Fault> for SysError {
    /// A fault while copying from or to the application is `EFAULT` wherever it happens.
    fn from(_: hal::Fault) -> Self {
        Self::Errno(Errno::EFAULT)
    }
}

/// The result of a handler.
pub type SysResult<T> = Result<T, SysError>;

/// A [`Restart`] that is as wide as a return value, so that an [`Outcome`] travels in two registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WideRestart(i64);

impl From<Restart> for WideRestart {
    fn from(restart: Restart) -> Self {
        Self(restart as i64)
    }
}

impl From<WideRestart> for Restart {
    fn from(wide: WideRestart) -> Self {
        const ALL: [Restart; 4] = [Restart::Sys, Restart::Always, Restart::NoHandler, Restart::Block];
        ALL.into_iter().find(|&r| r as i64 == wide.0).unwrap_or(Self::Sys)
    }
}

/// What dispatch does with a handler's result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Store the value in the return register.
    Return(i64),
    /// A signal came in first; see [`Restart`].
    Restart(WideRestart),
    /// The registers are already what the thread goes on with (`execve`, `rt_sigreturn`).
    Resume,
    /// The thread ends.
    Exit,
}

/// A handler's success value that has a place in the return register.
pub(crate) trait IntoOutcome {
    /// Converts.
    fn into_outcome(self) -> Outcome;
}

macro_rules! returns {
    ($($t:ty),*) => { $(
        impl IntoOutcome for $t {
            #[inline]
            #[expect(clippy::allow_attributes, reason = "which casts a type needs differs")]
            #[allow(clippy::cast_possible_wrap, clippy::cast_lossless, reason = "the register holds the bits")]
            fn into_outcome(self) -> Outcome {
                Outcome::Return(self as i64)
            }
        }
    )* };
}
returns!(i32, u32, i64, u64, usize);

impl IntoOutcome for () {
    #[inline]
    fn into_outcome(self) -> Outcome {
        Outcome::Return(0)
    }
}

impl IntoOutcome for Outcome {
    #[inline]
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl<T: IntoOutcome> IntoOutcome for SysResult<T> {
    #[inline]
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(value) => value.into_outcome(),
            // The only place where an errno becomes a negative number.
            Err(SysError::Errno(errno)) => Outcome::Return(-i64::from(errno.number())),
            Err(SysError::Restart(restart)) => Outcome::Restart(restart.into()),
        }
    }
}
