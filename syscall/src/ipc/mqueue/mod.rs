//! Message queues of POSIX (`mq_overview(7)`).
//!
//! A queue is a file of the file system `mqueue`, and its descriptors are descriptors of that file: `fstat`, `fchmod`,
//! `read` and `poll` work on it as on any other, and the calls of `mq_overview(7)` find the queue behind the file. The
//! file system is always there; mounting it only makes it visible.

mod directory;
mod node;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;

use abi::ipc::MqAttr;
use abi::signal::{SI_MESGQ, Siginfo};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Clock, Readiness, WaitQueue};
use vfs::Time;

use super::Wakes;
use crate::Context;
use crate::proc::Process;

pub use directory::{Directory, Limits, Opening};

/// What a queue may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Most messages (`mq_maxmsg`).
    pub messages: u32,
    /// Longest message in bytes (`mq_msgsize`).
    pub size: u32,
}

impl Shape {
    /// Returns how much is accounted to the user: the messages, and what Linux keeps for each of them.
    const fn charge(self) -> u64 {
        const MESSAGE: u64 = 48;
        const PRIORITY: u64 = 48;
        let (messages, priorities) = (self.messages as u64, abi::ipc::MQ_PRIO_MAX as u64);
        let kept = if messages < priorities { messages } else { priorities };
        messages * (MESSAGE + self.size as u64) + kept * PRIORITY
    }
}

/// A queue.
pub struct Queue {
    directory: Weak<Directory>,
    clock: &'static dyn Clock,
    ino: u64,
    shape: Shape,
    /// The user to whom it is accounted, and how much.
    charge: (u32, u64),
    state: Lock<State, { rank::OBJECT }>,
    /// Who polls.
    events: Arc<WaitQueue>,
}

struct State {
    attributes: Attributes,
    messages: BTreeMap<u32, VecDeque<Vec<u8>>>,
    count: u32,
    bytes: u64,
    notice: Option<Notice>,
    receivers: VecDeque<Arc<Receiver>>,
    senders: VecDeque<Arc<Sender>>,
}

#[derive(Clone, Copy)]
struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    atime: Time,
    mtime: Time,
    ctime: Time,
}

/// Who wants to hear of the next message (`mq_notify(3)`).
pub struct Notice {
    owner: Weak<Process>,
    pid: u32,
    how: Notify,
}

/// How somebody hears of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notify {
    /// Not at all: the registration only ends (`SIGEV_NONE`).
    Nothing,
    /// By a signal with a value (`SIGEV_SIGNAL`).
    Signal(i32, u64),
}

/// A message and its priority.
pub type Message = (u32, Vec<u8>);

/// A thread that waits for a message.
pub struct Receiver {
    waker: Waker,
    ended: AtomicBool,
    message: Lock<Option<Message>, { rank::LEAF }>,
}

impl Receiver {
    /// Says whether a message has come.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Returns the message.
    pub fn take(&self) -> Option<Message> {
        self.message.lock().take()
    }
}

/// A thread that waits for room.
pub struct Sender {
    waker: Waker,
    ended: AtomicBool,
    message: Lock<Option<Message>, { rank::LEAF }>,
}

impl Sender {
    /// Says whether the message has been sent.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

/// Whether to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// No (`O_NONBLOCK`).
    No,
    /// Yes.
    Yes,
}

/// What [`Queue::send`] has done, if not sent the message.
pub type Sent = Option<Arc<Sender>>;

/// What [`Queue::receive`] has found.
pub enum Received {
    /// A message.
    Message(Message),
    /// None, and the thread is among those who wait.
    Queued(Arc<Receiver>),
}

impl Queue {
    /// Returns what it may hold.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Sends a message: to the thread that has waited longest, or into the queue.
    ///
    /// # Errors
    /// `EAGAIN` where there is no room and the thread does not wait.
    pub fn send(&self, cx: &Context<'_>, message: Message, wait: Wait) -> Result<Sent> {
        let mut wakes = Wakes::default();
        let mut state = self.state.lock();
        if state.count >= self.shape.messages {
            if wait == Wait::No {
                return Err(Errno::EAGAIN);
            }
            let sender = Arc::new(Sender {
                waker: cx.thread.waker().clone(),
                ended: AtomicBool::new(false),
                message: Lock::new(Some(message)),
            });
            state.senders.push_back(Arc::clone(&sender));
            return Ok(Some(sender));
        }
        self.touch(&mut state);
        if let Some(receiver) = state.receivers.pop_front() {
            *receiver.message.lock() = Some(message);
            wakes.push(receiver.waker.clone());
            receiver.ended.store(true, Ordering::SeqCst);
            drop(state);
            wakes.wake();
            return Ok(None);
        }
        state.put(message);
        let notice = if state.count == 1 { state.notice.take() } else { None };
        drop(state);
        if let Some(notice) = notice {
            notice.tell(cx);
        }
        self.events.wake(Readiness::READ);
        Ok(None)
    }

    /// Takes the oldest message of the highest priority.
    ///
    /// # Errors
    /// `EAGAIN` where there is none and the thread does not wait.
    pub fn receive(&self, cx: &Context<'_>, wait: Wait) -> Result<Received> {
        let mut wakes = Wakes::default();
        let mut state = self.state.lock();
        let Some(message) = state.take() else {
            if wait == Wait::No {
                return Err(Errno::EAGAIN);
            }
            let receiver = Arc::new(Receiver {
                waker: cx.thread.waker().clone(),
                ended: AtomicBool::new(false),
                message: Lock::new(None),
            });
            state.receivers.push_back(Arc::clone(&receiver));
            return Ok(Received::Queued(receiver));
        };
        self.touch(&mut state);
        let sender = state.senders.pop_front();
        if let Some(sender) = &sender {
            let waiting = sender.message.lock().take();
            if let Some(message) = waiting {
                state.put(message);
            }
            wakes.push(sender.waker.clone());
            sender.ended.store(true, Ordering::SeqCst);
        }
        drop(state);
        wakes.wake();
        // LINUX: the place that a waiting sender's message takes at once is no news.
        self.events.wake(if sender.is_some() { Readiness::READ } else { Readiness::WRITE });
        Ok(Received::Message(message))
    }

    /// Takes out a sender that does not want to wait any more; `false` if its message has just been sent.
    pub fn leave_sender(&self, sender: &Arc<Sender>) -> bool {
        let mut state = self.state.lock();
        let at = state.senders.iter().position(|s| Arc::ptr_eq(s, sender));
        let gone = at.and_then(|at| state.senders.remove(at));
        drop(state);
        gone.is_some()
    }

    /// Takes out a receiver that does not want to wait any more; `false` if a message has just come.
    pub fn leave_receiver(&self, receiver: &Arc<Receiver>) -> bool {
        let mut state = self.state.lock();
        let at = state.receivers.iter().position(|r| Arc::ptr_eq(r, receiver));
        let gone = at.and_then(|at| state.receivers.remove(at));
        drop(state);
        gone.is_some()
    }

    /// Registers a process for the next message.
    ///
    /// # Errors
    /// `EBUSY` if one is registered.
    pub fn register(&self, process: &Arc<Process>, how: Notify) -> Result<()> {
        if let Some(directory) = self.directory.upgrade() {
            directory.note_notices();
        }
        let mut state = self.state.lock();
        if state.notice.is_some() {
            return Err(Errno::EBUSY);
        }
        state.notice = Some(Notice { owner: Arc::downgrade(process), pid: process.pid(), how });
        self.touch_attributes(&mut state);
        Ok(())
    }

    /// Ends the registration of a process, if it is the one registered.
    pub fn unregister(&self, process: &Process) {
        let mut state = self.state.lock();
        let gone = state.notice.take_if(|notice| notice.pid == process.pid());
        drop(state);
        drop(gone);
    }

    /// Returns what `mq_getattr(3)` tells, without the flags.
    pub fn attributes(&self) -> MqAttr {
        MqAttr {
            mq_flags: 0,
            mq_maxmsg: i64::from(self.shape.messages),
            mq_msgsize: i64::from(self.shape.size),
            mq_curmsgs: i64::from(self.state.lock().count),
            _reserved: [0; 4],
        }
    }

    fn now(&self) -> Time {
        Time::from_ns(self.clock.realtime_ns())
    }

    /// Notes that a message was sent or received.
    fn touch(&self, state: &mut State) {
        let now = self.now();
        let attributes = &mut state.attributes;
        (attributes.atime, attributes.mtime, attributes.ctime) = (now, now, now);
    }

    /// Notes that somebody looked at the queue's state.
    fn touch_attributes(&self, state: &mut State) {
        let now = self.now();
        (state.attributes.atime, state.attributes.ctime) = (now, now);
    }
}

impl State {
    fn put(&mut self, (priority, text): Message) {
        self.count += 1;
        self.bytes += text.len() as u64;
        self.messages.entry(priority).or_default().push_back(text);
    }

    fn take(&mut self) -> Option<Message> {
        let mut highest = self.messages.last_entry()?;
        let priority = *highest.key();
        let text = highest.get_mut().pop_front()?;
        if highest.get().is_empty() {
            highest.remove();
        }
        self.count -= 1;
        self.bytes -= text.len() as u64;
        Some((priority, text))
    }
}

impl Notice {
    fn tell(self, cx: &Context<'_>) {
        let Notify::Signal(signal @ 1.., value) = self.how else { return };
        if let Some(owner) = self.owner.upgrade() {
            let (pid, uid) = (cx.process().pid().cast_signed(), cx.credentials().uid);
            // LINUX: a message is sent whether or not there is room for its signal.
            let _ = crate::signal::send_process(&owner, Siginfo::rt(signal, SI_MESGQ, pid, uid, value));
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Some(directory) = self.directory.upgrade() {
            directory.release(self.charge);
        }
    }
}
