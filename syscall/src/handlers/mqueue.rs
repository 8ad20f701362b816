//! Message queues of POSIX.

use alloc::sync::Arc;

use abi::fs::{O_ACCMODE, O_CREAT, O_EXCL, O_LARGEFILE, O_NONBLOCK};
use abi::ipc::{MQ_PRIO_MAX, MqAttr};
use abi::signal::SIGRTMAX;
use abi::time::{SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, Sigevent, Timespec};
use abi::{Errno, Result};
use vfs::OpenFile;

use super::at;
use super::file::install;
use super::time::{Base, duration_ns};
use crate::block::Woken;
use crate::decode::{Fd, Flags, In, InBuf, Mode, Out, OutBuf, UserPath, UserPtr};
use crate::futex::{Deadline, park_until};
use crate::ipc::mqueue::{Notify, Opening, Queue, Received, Wait};
use crate::proc::{CloseOnExec, Description};
use crate::{Context, Restart, SysError, SysResult};

/// Length of the cookie that comes back through a socket (`NOTIFY_COOKIE_LEN`).
const COOKIE_LEN: usize = 32;

/// `mq_open(2)`: the name comes without its slash.
pub(crate) fn sys_mq_open(
    cx: &Context<'_>,
    name: UserPath,
    flags: Flags,
    mode: Mode,
    attributes: UserPtr<MqAttr, In>,
) -> SysResult<i32> {
    let attributes = attributes.non_null().map(|attributes| attributes.read(cx)).transpose()?;
    let name = name.read(cx)?;
    let flags = flags.0 & (O_ACCMODE | O_CREAT | O_EXCL | O_NONBLOCK) | O_LARGEFILE;
    let opening = Opening { name: &name, flags, mode: mode.0, attributes };
    let file = cx.system().ipc.mqueue.open(cx, &opening)?;
    // LINUX: always closed by execve(2), whatever the flags.
    Ok(install(cx, Description::of_file(file), CloseOnExec::Yes)?.0)
}

/// `mq_unlink(2)`.
pub(crate) fn sys_mq_unlink(cx: &Context<'_>, name: UserPath) -> SysResult<()> {
    let name = name.read(cx)?;
    Ok(cx.system().ipc.mqueue.unlink(cx, &name)?)
}

/// A descriptor of a queue.
struct Opened(Arc<OpenFile>);

impl Opened {
    /// # Errors
    /// `EBADF`, also for what is no queue.
    fn get(cx: &Context<'_>, fd: Fd) -> Result<Self> {
        let description = cx.files().get(fd)?;
        let file = description.file().filter(|file| !file.is_path()).ok_or(Errno::EBADF)?;
        if file.node().downcast_ref::<Queue>().is_none() {
            return Err(Errno::EBADF);
        }
        Ok(Self(Arc::clone(file)))
    }

    fn queue(&self) -> Result<&Queue> {
        self.0.node().downcast_ref::<Queue>().ok_or(Errno::EBADF)
    }

    fn wait(&self) -> Wait {
        if self.0.flags() & O_NONBLOCK != 0 { Wait::No } else { Wait::Yes }
    }
}

/// Reads the time at which a wait ends, by the wall clock.
fn deadline(cx: &Context<'_>, timeout: UserPtr<Timespec, In>) -> Result<Option<Deadline>> {
    let Some(timeout) = timeout.non_null() else { return Ok(None) };
    let at = duration_ns(&timeout.read(cx)?)?;
    Ok(Some(Deadline { base: Base::Realtime, at }))
}

/// How a wait ended that nothing came of.
fn given_up(end: Woken) -> SysError {
    match end {
        Woken::Deadline => Errno::ETIMEDOUT.into(),
        Woken::Again | Woken::Signal => SysError::Restart(Restart::Sys),
    }
}

/// `mq_timedsend(2)`.
pub(crate) fn sys_mq_timedsend(
    cx: &Context<'_>,
    fd: Fd,
    from: InBuf,
    priority: u32,
    timeout: UserPtr<Timespec, In>,
) -> SysResult<()> {
    let deadline = deadline(cx, timeout)?;
    if priority >= MQ_PRIO_MAX.cast_unsigned() {
        return Err(Errno::EINVAL.into());
    }
    let opened = Opened::get(cx, fd)?;
    let queue = opened.queue()?;
    if !opened.0.writable() {
        return Err(Errno::EBADF.into());
    }
    if from.0.len > queue.shape().size as usize {
        return Err(Errno::EMSGSIZE.into());
    }
    let text = UserPtr::<u8, In>::new(from.0.start).read_many(cx, from.0.len)?;
    let Some(sender) = queue.send(cx, (priority, text), opened.wait())? else { return Ok(()) };
    match park_until(cx, deadline.as_ref(), || sender.has_ended()) {
        Woken::Again => Ok(()),
        end if queue.leave_sender(&sender) => Err(given_up(end)),
        _ => Ok(()),
    }
}

/// `mq_timedreceive(2)`.
pub(crate) fn sys_mq_timedreceive(
    cx: &Context<'_>,
    fd: Fd,
    to: OutBuf,
    priority: UserPtr<u32, Out>,
    timeout: UserPtr<Timespec, In>,
) -> SysResult<usize> {
    let deadline = deadline(cx, timeout)?;
    let opened = Opened::get(cx, fd)?;
    let queue = opened.queue()?;
    if !opened.0.readable() {
        return Err(Errno::EBADF.into());
    }
    if to.0.len < queue.shape().size as usize {
        return Err(Errno::EMSGSIZE.into());
    }
    let (of, text) = match queue.receive(cx, opened.wait())? {
        Received::Message(message) => message,
        Received::Queued(receiver) => {
            let end = park_until(cx, deadline.as_ref(), || receiver.has_ended());
            if end != Woken::Again && queue.leave_receiver(&receiver) {
                return Err(given_up(end));
            }
            receiver.take().ok_or(Errno::EAGAIN)?
        }
    };
    if let Some(priority) = priority.non_null() {
        priority.write(cx, &of)?;
    }
    UserPtr::<u8, Out>::new(to.0.start).write_many(cx, &text)?;
    Ok(text.len())
}

/// `mq_notify(2)`.
pub(crate) fn sys_mq_notify(cx: &Context<'_>, fd: Fd, event: UserPtr<Sigevent, In>) -> SysResult<()> {
    let Some(event) = event.non_null() else {
        Opened::get(cx, fd)?.queue()?.unregister(cx.process());
        return Ok(());
    };
    let event = event.read(cx)?;
    let how = match event.sigev_notify {
        SIGEV_NONE => Notify::Nothing,
        SIGEV_SIGNAL if (0..=SIGRTMAX).contains(&event.sigev_signo) => {
            Notify::Signal(event.sigev_signo, event.sigev_value)
        }
        SIGEV_THREAD => {
            // The signal's number is the descriptor of a netlink socket, which gets the cookie; none can be made yet.
            UserPtr::<u8, In>::new(hal::UserAddr(event.sigev_value)).read_many(cx, COOKIE_LEN)?;
            cx.files().get(Fd(event.sigev_signo))?;
            return Err(Errno::ENOTSOCK.into());
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(Opened::get(cx, fd)?.queue()?.register(cx.process(), how)?)
}

/// `mq_getsetattr(2)`.
pub(crate) fn sys_mq_getsetattr(
    cx: &Context<'_>,
    fd: Fd,
    new: UserPtr<MqAttr, In>,
    old: UserPtr<MqAttr, Out>,
) -> SysResult<()> {
    let nonblock = i64::from(O_NONBLOCK);
    let new = new.non_null().map(|new| new.read(cx)).transpose()?;
    if new.as_ref().is_some_and(|new| new.mq_flags & !nonblock != 0) {
        return Err(Errno::EINVAL.into());
    }
    let opened = Opened::get(cx, fd)?;
    let mut attributes = opened.queue()?.attributes();
    let flags = opened.0.flags();
    attributes.mq_flags = i64::from(flags & O_NONBLOCK);
    if let Some(new) = new {
        let wanted = if new.mq_flags & nonblock != 0 { flags | O_NONBLOCK } else { flags & !O_NONBLOCK };
        at::as_caller(cx, |caller| opened.0.set_flags(wanted, caller))?;
    }
    if let Some(old) = old.non_null() {
        old.write(cx, &attributes)?;
    }
    Ok(())
}
