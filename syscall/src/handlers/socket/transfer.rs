//! Moving bytes through sockets: waiting, timeouts, partial results, `SIGPIPE`.

use abi::signal::SIGPIPE;
use abi::socket::MsgFlags;
use abi::{Errno, Result};
use core::sync::atomic::Ordering;
use hal::{Dest, Readiness, Source};
use net::{Incoming, Outgoing};

use crate::handlers::io::raise;
use crate::proc::Description;
use crate::socket::SocketFile;
use crate::{Context, Restart, SysError, SysResult, block};

/// Whether a call waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::handlers) enum Waits {
    /// It does not (`O_NONBLOCK`, `MSG_DONTWAIT`).
    Never,
    /// It does, as long as the socket's timeouts say.
    AsSet,
}

impl Waits {
    /// Reads the description's status flags.
    #[inline]
    pub(in crate::handlers) fn of(description: &Description) -> Self {
        if description.is_nonblocking() { Self::Never } else { Self::AsSet }
    }

    /// Reads the flags of a call, too.
    #[inline]
    pub(in crate::handlers) fn with(description: &Description, flags: MsgFlags) -> Self {
        if flags.contains(MsgFlags::MSG_DONTWAIT) { Self::Never } else { Self::of(description) }
    }
}

/// How long one call may still wait: the timeout counts for all of its sleeps together.
pub(in crate::handlers) struct Patience {
    interest: Readiness,
    waits: Waits,
    /// `SO_RCVTIMEO` or `SO_SNDTIMEO` in nanoseconds, 0 for none.
    timeout_ns: u64,
    deadline_ns: Option<u64>,
}

impl Patience {
    /// Starts a call that waits for these events.
    #[inline]
    pub(in crate::handlers) fn new(socket: &SocketFile, interest: Readiness, waits: Waits) -> Self {
        let common = socket.socket().common();
        let timeout = if interest.intersects(Readiness::WRITE) {
            &common.send_timeout_ns
        } else {
            &common.receive_timeout_ns
        };
        Self { interest, waits, timeout_ns: timeout.load(Ordering::Relaxed), deadline_ns: None }
    }

    /// Repeats `step` until it answers something else than `EAGAIN`.
    ///
    /// # Errors
    /// What `step` answers; `EAGAIN` if the call does not wait, or has waited for too long; `EINTR` or a restart when a
    /// signal comes in.
    #[inline]
    pub(in crate::handlers) fn wait<T>(
        &mut self,
        cx: &Context<'_>,
        socket: &SocketFile,
        mut step: impl FnMut() -> Result<T>,
    ) -> SysResult<T> {
        match step() {
            Err(Errno::EAGAIN) if self.waits == Waits::AsSet => self.sleep(cx, socket, step),
            other => Ok(other?),
        }
    }

    /// As [`Self::wait`], after a first try has answered `EAGAIN`.
    pub(in crate::handlers) fn sleep<T>(
        &mut self,
        cx: &Context<'_>,
        socket: &SocketFile,
        step: impl FnMut() -> Result<T>,
    ) -> SysResult<T> {
        if self.timeout_ns != 0 && self.deadline_ns.is_none() {
            self.deadline_ns = cx.clock().monotonic_ns().checked_add(self.timeout_ns);
        }
        let queue = socket.socket().queue();
        let register = |waker: &_| queue.add_exclusive(self.interest, waker);
        let result = block::sleep_until_woken(cx, register, self.deadline_ns, step);
        match result {
            // LINUX: a call with a timeout is not started again (`signal(7)`).
            Err(SysError::Restart(Restart::Sys)) if self.timeout_ns != 0 => Err(Errno::EINTR.into()),
            other => other,
        }
    }
}

/// Sends a message; of a stream all of it, sleeping in between. What was sent beats an error.
///
/// # Errors
/// Those of [`net::Socket::send`], with `SIGPIPE` where a stream answers `EPIPE`; see [`Patience::wait`].
pub(in crate::handlers) fn send(
    cx: &Context<'_>,
    socket: &SocketFile,
    from: &mut Source<'_>,
    message: &mut Outgoing<'_>,
    waits: Waits,
) -> SysResult<usize> {
    let mut patience = Patience::new(socket, Readiness::WRITE, waits);
    let mut done = 0;
    loop {
        match patience.wait(cx, socket, || socket.socket().send(from, message)) {
            Ok(some) => {
                done += some;
                let goes_on = socket.is_stream() && waits == Waits::AsSet && some > 0;
                if !goes_on || from.remaining() == 0 {
                    return Ok(done);
                }
            }
            Err(_) if done > 0 => return Ok(done),
            Err(error) => {
                let signal = socket.is_stream() && !message.flags.contains(MsgFlags::MSG_NOSIGNAL);
                if signal && error == SysError::Errno(Errno::EPIPE) {
                    raise(cx, SIGPIPE);
                }
                return Err(error);
            }
        }
    }
}

/// Receives a message; of a stream at least what `SO_RCVLOWAT` or `MSG_WAITALL` want, unless the end, an error or a signal
/// comes first.
///
/// # Errors
/// Those of [`net::Socket::receive`]; see [`Patience::wait`].
pub(in crate::handlers) fn receive(
    cx: &Context<'_>,
    socket: &SocketFile,
    to: &mut Dest<'_>,
    flags: MsgFlags,
    waits: Waits,
) -> SysResult<Incoming> {
    /// What is read once, whatever its length.
    const ONCE: MsgFlags = MsgFlags::MSG_PEEK.union(MsgFlags::MSG_OOB).union(MsgFlags::MSG_ERRQUEUE);
    let inner = socket.socket();
    let mut patience = Patience::new(socket, Readiness::READ, waits);
    let room = to.remaining();
    let mut got = patience.wait(cx, socket, || inner.receive(to, flags))?;
    if !socket.is_stream() || got.len == 0 || got.len >= room || flags.intersects(ONCE) {
        return Ok(got);
    }
    let low = inner.common().receive_low.load(Ordering::Relaxed) as usize;
    let target = if flags.contains(MsgFlags::MSG_WAITALL) { room } else { low.min(room) };
    // Rights end a read, and so does an error, which is for the next call to report.
    while got.len < target && got.ancillary.rights.is_empty() && !inner.common().has_error() {
        match patience.wait(cx, socket, || inner.receive(to, flags)) {
            Ok(more) if more.len > 0 => {
                got.len += more.len;
                got.flags |= more.flags;
                got.ancillary.rights = more.ancillary.rights;
            }
            Ok(_) | Err(_) => break,
        }
    }
    Ok(got)
}
