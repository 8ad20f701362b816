//! Message queues of System V.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use abi::ipc::*;
use abi::{Errno, Result};
use hal::UserAddr;

use crate::block::{self, Woken};
use crate::decode::{Flags, InOut, UserPtr};
use crate::ipc::msg::{Message, Queue, Received, Request, Sent, Wait};
use crate::ipc::seconds;
use crate::ipc::table::{Keyed, READ};
use crate::{Context, Restart, SysError, SysResult};

/// `MSGSSZ` and `MSGSEG`, which have no meaning any more.
const SEGMENT_SIZE: i32 = 16;
const SEGMENTS: u16 = 0xffff;
/// `MSGPOOL`: kilobytes that all queues would hold.
const POOL: u32 = MSGMNI * MSGMNB / 1024;

/// `msgget(2)`.
pub(crate) fn sys_msgget(cx: &Context<'_>, key: i32, flags: Flags) -> SysResult<i32> {
    let (queues, who) = (&cx.system().ipc.msg, cx.credentials());
    loop {
        if let Some(id) = queues.table.find(key, flags.0, &who, |_| Ok(()))? {
            return Ok(id);
        }
        if let Some(id) = queues.add(key, flags.0, &who, seconds(cx.clock()))? {
            return Ok(id);
        }
    }
}

const fn wait(flags: u32) -> Wait {
    if flags & IPC_NOWAIT != 0 { Wait::No } else { Wait::Yes }
}

/// `msgsnd(2)`.
pub(crate) fn sys_msgsnd(
    cx: &Context<'_>,
    id: i32,
    from: UserPtr<i64, InOut>,
    len: i64,
    flags: Flags,
) -> SysResult<()> {
    let queues = &cx.system().ipc.msg;
    let kind = from.read(cx)?;
    let most = queues.message_limit.load(Ordering::Relaxed);
    let len = usize::try_from(len).ok().filter(|&len| len <= most as usize).ok_or(Errno::EINVAL)?;
    if id < 0 || kind < 1 {
        return Err(Errno::EINVAL.into());
    }
    let text = UserPtr::<u8, InOut>::new(from.add(1).addr()).read_many(cx, len)?;
    let queue = queues.table.get(id)?;
    let mut message = Message { kind, text };
    loop {
        let (again, sender) = match queue.send(cx, message, wait(flags.0))? {
            Sent::Done => return Ok(()),
            Sent::Full(_) => return Err(Errno::EAGAIN.into()),
            Sent::Queued(message, sender) => (message, sender),
        };
        message = again;
        while !sender.has_ended() {
            if block::park(cx, None) == Woken::Signal {
                queue.leave_sender(&sender);
                return Err(SysError::Restart(Restart::NoHandler));
            }
        }
    }
}

/// `msgrcv(2)`.
pub(crate) fn sys_msgrcv(
    cx: &Context<'_>,
    id: i32,
    to: UserPtr<i64, InOut>,
    room: i64,
    kind: i64,
    flags: Flags,
) -> SysResult<usize> {
    let (queues, flags) = (&cx.system().ipc.msg, flags.0);
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags & MSG_COPY != 0 && (flags & MSG_EXCEPT != 0 || flags & IPC_NOWAIT == 0) {
        return Err(Errno::EINVAL.into());
    }
    let queue = queues.table.get(id)?;
    let message = receive(cx, &queue, Request::new(kind, flags, room), wait(flags))?;
    to.write(cx, &message.kind)?;
    let len = message.text.len().min(room);
    UserPtr::<u8, InOut>::new(to.add(1).addr()).write_many(cx, &message.text[..len])?;
    Ok(len)
}

fn receive(cx: &Context<'_>, queue: &Queue, request: Request, wait: Wait) -> SysResult<Message> {
    loop {
        let receiver = match queue.receive(cx, request, wait)? {
            Received::Message(message) => return Ok(message),
            Received::Queued(receiver) => receiver,
        };
        while !receiver.has_ended() {
            if block::park(cx, None) == Woken::Signal {
                queue.leave_receiver(&receiver);
                break;
            }
        }
        match receiver.take() {
            Some(Err(Errno::EAGAIN)) => {}
            Some(result) => return Ok(result?),
            None => return Err(SysError::Restart(Restart::NoHandler)),
        }
    }
}

/// `msgctl(2)`.
pub(crate) fn sys_msgctl(cx: &Context<'_>, id: i32, command: i32, to: UserAddr) -> SysResult<i32> {
    let queues = &cx.system().ipc.msg;
    let command = u32::try_from(command).map_err(|_| Errno::EINVAL)?;
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    match command {
        IPC_INFO | MSG_INFO => {
            let info = info(cx, command == MSG_INFO)?;
            UserPtr::<Msginfo, InOut>::new(to).write(cx, &info)?;
            Ok(queues.table.usage().1)
        }
        IPC_STAT | MSG_STAT | MSG_STAT_ANY => {
            let queue = if command == IPC_STAT { queues.table.get(id) } else { queues.table.at(id) }?;
            if command != MSG_STAT_ANY {
                queue.permissions().allow(&cx.credentials(), READ)?;
            }
            let (id, status) = queue.status();
            UserPtr::<MsqidDs, InOut>::new(to).write(cx, &status)?;
            Ok(if command == IPC_STAT { 0 } else { id })
        }
        IPC_SET => {
            let new = UserPtr::<MsqidDs, InOut>::new(to).read(cx)?;
            let limit = queues.queue_limit.load(Ordering::Relaxed);
            queues.table.get(id)?.set(&cx.credentials(), &new, limit, seconds(cx.clock()))?;
            Ok(0)
        }
        IPC_RMID => {
            let queue = queues.table.get(id)?;
            queues.remove(&queue, &cx.credentials())?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// The limits; with `use_too` three of them make place for how much there is.
fn info(cx: &Context<'_>, use_too: bool) -> Result<Msginfo> {
    let queues = &cx.system().ipc.msg;
    let limit = |value: &core::sync::atomic::AtomicU32| value.load(Ordering::Relaxed).cast_signed();
    let mut info = Msginfo {
        msgpool: POOL.cast_signed(),
        msgmap: MSGMNB.cast_signed(),
        msgmax: limit(&queues.message_limit),
        msgmnb: limit(&queues.queue_limit),
        msgmni: limit(&queues.table.limit),
        msgssz: SEGMENT_SIZE,
        msgtql: MSGMNB.cast_signed(),
        msgseg: SEGMENTS,
        _pad: 0,
    };
    if use_too {
        let all: Vec<MsqidDs> = queues.table.all().iter().map(|queue| queue.status().1).collect();
        let number = |value: u64| i32::try_from(value).unwrap_or(i32::MAX);
        info.msgpool = number(all.len() as u64);
        info.msgmap = number(all.iter().map(|q| q.msg_qnum).sum());
        info.msgtql = number(all.iter().map(|q| q.msg_cbytes).sum());
    }
    Ok(info)
}
