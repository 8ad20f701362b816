//! Message queues of System V (`msgget(2)`, `msgop(2)`, `msgctl(2)`).

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::Waker;

use abi::ipc::{MSG_COPY, MSG_EXCEPT, MSG_NOERROR, MSGMAX, MSGMNB, MSGMNI, MsqidDs};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};

use super::Wakes;
use super::table::{Keyed, Permissions, READ, Table, WRITE};
use crate::Context;
use crate::proc::{Capability, Credentials};

/// All queues.
pub struct Queues {
    /// By key and identifier.
    pub table: Table<Queue>,
    /// Longest message in bytes (`msgmax`).
    pub message_limit: AtomicU32,
    /// Bytes that a new queue may hold (`msgmnb`).
    pub queue_limit: AtomicU32,
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            table: Table::new(MSGMNI),
            message_limit: AtomicU32::new(MSGMAX),
            queue_limit: AtomicU32::new(MSGMNB),
        }
    }
}

impl Queues {
    /// Makes a queue; `None` if another was faster with the key.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many.
    pub fn add(&self, key: i32, flags: u32, who: &Credentials, now: i64) -> Result<Option<i32>> {
        let room = u64::from(self.queue_limit.load(Ordering::Relaxed));
        self.table.add(key, |id| {
            let state = State {
                permissions: Permissions::new(id, key, flags, who),
                times: (0, 0, now),
                pids: (0, 0),
                bytes: 0,
                room,
                removed: false,
                messages: VecDeque::new(),
                receivers: VecDeque::new(),
                senders: VecDeque::new(),
            };
            Arc::new(Queue { state: Lock::new(state) })
        })
    }

    /// `IPC_RMID`: whoever waits wakes with `EIDRM`.
    ///
    /// # Errors
    /// `EPERM`, `EIDRM`
    pub fn remove(&self, queue: &Queue, who: &Credentials) -> Result<()> {
        let mut wakes = Wakes::default();
        let mut state = queue.state.lock();
        state.permissions.control(who)?;
        if core::mem::replace(&mut state.removed, true) {
            return Err(Errno::EIDRM);
        }
        // Not the last reference: the caller has one.
        drop(self.table.remove(&state.permissions));
        let messages = core::mem::take(&mut state.messages);
        let receivers = core::mem::take(&mut state.receivers);
        let senders = core::mem::take(&mut state.senders);
        drop(state);
        drop(messages);
        for receiver in receivers {
            receiver.finish(Err(Errno::EIDRM), &mut wakes);
        }
        for sender in senders {
            sender.go_on(&mut wakes);
        }
        wakes.wake();
        Ok(())
    }
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its type, a positive number.
    pub kind: i64,
    /// Its text.
    pub text: Vec<u8>,
}

/// Which message a receiver wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Choice {
    /// The first.
    Any,
    /// The first of this type.
    Equal(i64),
    /// The first of any other type.
    NotEqual(i64),
    /// The first of the lowest type that is not above this one.
    AtMost(i64),
    /// The one in this place, of which a copy is taken.
    Place(i64),
}

/// What a receiver asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    choice: Choice,
    /// Most bytes of text.
    room: usize,
    cuts: bool,
}

impl Request {
    /// Reads the arguments of `msgrcv(2)`.
    pub const fn new(kind: i64, flags: u32, room: usize) -> Self {
        let choice = if flags & MSG_COPY != 0 {
            Choice::Place(kind)
        } else if kind == 0 {
            Choice::Any
        } else if kind < 0 {
            Choice::AtMost(if kind == i64::MIN { i64::MAX } else { -kind })
        } else if flags & MSG_EXCEPT != 0 {
            Choice::NotEqual(kind)
        } else {
            Choice::Equal(kind)
        };
        Self { choice, room, cuts: flags & MSG_NOERROR != 0 }
    }

    /// Says whether a message that comes in is wanted.
    const fn wants(&self, kind: i64) -> bool {
        match self.choice {
            Choice::Any | Choice::Place(_) => true,
            Choice::Equal(wanted) => kind == wanted,
            Choice::NotEqual(unwanted) => kind != unwanted,
            Choice::AtMost(most) => kind <= most,
        }
    }

    /// Finds the message's place.
    fn find(&self, messages: &VecDeque<Message>) -> Option<usize> {
        match self.choice {
            Choice::Place(place) => usize::try_from(place).ok().filter(|&place| place < messages.len()),
            Choice::AtMost(most) => {
                let fitting = messages.iter().enumerate().filter(|(_, m)| m.kind <= most);
                fitting.min_by_key(|(place, m)| (m.kind, *place)).map(|(place, _)| place)
            }
            _ => messages.iter().position(|message| self.wants(message.kind)),
        }
    }

    const fn fits(&self, message: &Message) -> bool {
        self.cuts || message.text.len() <= self.room
    }
}

/// A thread that waits for a message.
pub struct Receiver {
    waker: Waker,
    request: Request,
    pid: u32,
    /// Set when the wait has ended.
    ended: AtomicBool,
    result: Lock<Option<Result<Message>>, { rank::LEAF }>,
}

impl Receiver {
    fn finish(&self, result: Result<Message>, wakes: &mut Wakes) {
        wakes.push(self.waker.clone());
        *self.result.lock() = Some(result);
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Says whether the wait has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Returns what came; `EAGAIN` says to look again.
    pub fn take(&self) -> Option<Result<Message>> {
        self.result.lock().take()
    }
}

/// A thread that waits for room.
pub struct Sender {
    waker: Waker,
    len: u64,
    ended: AtomicBool,
}

impl Sender {
    fn go_on(&self, wakes: &mut Wakes) {
        wakes.push(self.waker.clone());
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Says whether there may be room now.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

/// A message queue.
pub struct Queue {
    state: Lock<State, { rank::OBJECT }>,
}

struct State {
    permissions: Permissions,
    /// Of the last message sent, the last one received, the last change.
    times: (i64, i64, i64),
    /// Who sent and who received last.
    pids: (u32, u32),
    bytes: u64,
    /// Most bytes, and most messages.
    room: u64,
    removed: bool,
    messages: VecDeque<Message>,
    receivers: VecDeque<Arc<Receiver>>,
    senders: VecDeque<Arc<Sender>>,
}

/// What [`Queue::send`] has done.
pub enum Sent {
    /// Sent it.
    Done,
    /// There is no room: here is the message again.
    Full(Message),
    /// There is no room, and the thread is among those who wait.
    Queued(Message, Arc<Sender>),
}

/// What [`Queue::receive`] has found.
pub enum Received {
    /// A message.
    Message(Message),
    /// None, and the thread is among those who wait.
    Queued(Arc<Receiver>),
}

/// Whether to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// No (`IPC_NOWAIT`).
    No,
    /// Yes.
    Yes,
}

impl Queue {
    /// Sends a message: to the first receiver that waits for one like it, or into the queue.
    ///
    /// # Errors
    /// `EACCES`, `EIDRM`
    pub fn send(&self, cx: &Context<'_>, message: Message, wait: Wait) -> Result<Sent> {
        let now = super::seconds(cx.clock());
        let mut wakes = Wakes::default();
        let mut state = self.state.lock();
        cx.thread.with_credentials(|who| state.permissions.allow(who, WRITE))?;
        if state.removed {
            return Err(Errno::EIDRM);
        }
        if !state.fits(message.text.len() as u64) {
            if wait == Wait::No {
                return Ok(Sent::Full(message));
            }
            let len = message.text.len() as u64;
            let sender = Sender { waker: cx.thread.waker().clone(), len, ended: AtomicBool::new(false) };
            let sender = Arc::new(sender);
            state.senders.push_back(Arc::clone(&sender));
            return Ok(Sent::Queued(message, sender));
        }
        state.pids.0 = cx.process().pid();
        state.times.0 = now;
        if let Some(message) = state.hand_over(message, now, &mut wakes) {
            state.bytes += message.text.len() as u64;
            state.messages.push_back(message);
        }
        drop(state);
        wakes.wake();
        Ok(Sent::Done)
    }

    /// Takes a message, or a copy of one.
    ///
    /// # Errors
    /// `EACCES`, `EIDRM`, `E2BIG` for a message longer than there is room, `EINVAL` for a copy that would be cut,
    /// `ENOMSG` if there is none and the thread does not wait.
    pub fn receive(&self, cx: &Context<'_>, request: Request, wait: Wait) -> Result<Received> {
        let now = super::seconds(cx.clock());
        let mut wakes = Wakes::default();
        let mut state = self.state.lock();
        cx.thread.with_credentials(|who| state.permissions.allow(who, READ))?;
        if state.removed {
            return Err(Errno::EIDRM);
        }
        let Some(place) = request.find(&state.messages) else {
            if wait == Wait::No {
                return Err(Errno::ENOMSG);
            }
            let receiver = Arc::new(Receiver {
                waker: cx.thread.waker().clone(),
                request,
                pid: cx.process().pid(),
                ended: AtomicBool::new(false),
                result: Lock::new(None),
            });
            state.receivers.push_back(Arc::clone(&receiver));
            return Ok(Received::Queued(receiver));
        };
        let found = &state.messages[place];
        if !request.fits(found) {
            return Err(Errno::E2BIG);
        }
        if matches!(request.choice, Choice::Place(_)) {
            // LINUX: a copy is never cut.
            return if found.text.len() > request.room {
                Err(Errno::EINVAL)
            } else {
                Ok(Received::Message(found.clone()))
            };
        }
        let message = state.messages.remove(place).ok_or(Errno::ENOMSG)?;
        state.bytes -= message.text.len() as u64;
        state.pids.1 = cx.process().pid();
        state.times.1 = now;
        state.wake_senders(&mut wakes);
        drop(state);
        wakes.wake();
        Ok(Received::Message(message))
    }

    /// Takes a receiver out that does not want to wait any more.
    pub fn leave_receiver(&self, receiver: &Arc<Receiver>) {
        let mut state = self.state.lock();
        let at = state.receivers.iter().position(|r| Arc::ptr_eq(r, receiver));
        let gone = at.and_then(|at| state.receivers.remove(at));
        drop(state);
        drop(gone);
    }

    /// Takes a sender out that does not want to wait any more.
    pub fn leave_sender(&self, sender: &Arc<Sender>) {
        let mut state = self.state.lock();
        let at = state.senders.iter().position(|s| Arc::ptr_eq(s, sender));
        let gone = at.and_then(|at| state.senders.remove(at));
        drop(state);
        drop(gone);
    }

    /// `IPC_SET`
    ///
    /// # Errors
    /// `EPERM`, also for more room than `limit` without `CAP_SYS_RESOURCE`; `EINVAL`, `EIDRM`.
    pub fn set(&self, who: &Credentials, new: &MsqidDs, limit: u32, now: i64) -> Result<()> {
        let mut wakes = Wakes::default();
        let mut state = self.state.lock();
        state.permissions.control(who)?;
        if state.removed {
            return Err(Errno::EIDRM);
        }
        if new.msg_qbytes > u64::from(limit) && !who.can(Capability::SysResource) {
            return Err(Errno::EPERM);
        }
        state.permissions.update(&new.msg_perm)?;
        state.room = new.msg_qbytes;
        state.times.2 = now;
        // Some may have lost the permission to wait, others may have room now.
        for receiver in core::mem::take(&mut state.receivers) {
            receiver.finish(Err(Errno::EAGAIN), &mut wakes);
        }
        state.wake_senders(&mut wakes);
        drop(state);
        wakes.wake();
        Ok(())
    }

    /// Tells about the queue.
    pub fn status(&self) -> (i32, MsqidDs) {
        let state = self.state.lock();
        let status = MsqidDs {
            msg_perm: state.permissions.to_abi(),
            msg_stime: state.times.0,
            msg_rtime: state.times.1,
            msg_ctime: state.times.2,
            msg_cbytes: state.bytes,
            msg_qnum: state.messages.len() as u64,
            msg_qbytes: state.room,
            msg_lspid: state.pids.0.cast_signed(),
            msg_lrpid: state.pids.1.cast_signed(),
            _unused: [0; 2],
        };
        (state.permissions.id, status)
    }
}

impl State {
    fn fits(&self, len: u64) -> bool {
        self.bytes + len <= self.room && (self.messages.len() as u64) < self.room
    }

    /// Gives a message to whoever waits for it; returns it if nobody does.
    fn hand_over(&mut self, message: Message, now: i64, wakes: &mut Wakes) -> Option<Message> {
        let mut at = 0;
        while at < self.receivers.len() {
            if !self.receivers[at].request.wants(message.kind) {
                at += 1;
                continue;
            }
            let Some(receiver) = self.receivers.remove(at) else { break };
            if receiver.request.fits(&message) {
                self.pids.1 = receiver.pid;
                self.times.1 = now;
                receiver.finish(Ok(message), wakes);
                return None;
            }
            receiver.finish(Err(Errno::E2BIG), wakes);
        }
        Some(message)
    }

    /// Wakes the senders whose message would fit; the others keep their order.
    fn wake_senders(&mut self, wakes: &mut Wakes) {
        let mut at = 0;
        while at < self.senders.len() {
            if self.fits(self.senders[at].len) {
                if let Some(sender) = self.senders.remove(at) {
                    sender.go_on(wakes);
                }
            } else {
                at += 1;
            }
        }
    }
}

impl Keyed for Queue {
    fn permissions(&self) -> Permissions {
        self.state.lock().permissions
    }
}
