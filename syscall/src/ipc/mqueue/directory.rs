//! The names of queues, how much of them there may be, and the file system in which they are.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use abi::fs::{O_ACCMODE, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY};
use abi::ipc::MqAttr;
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Clock, WaitQueue};
use vfs::{FileSystem, Mount, Node, OpenFile, Place, Time, Vfs, Want};

use super::node::{MqueueFs, Root};
use super::{Attributes, Queue, Shape, State};
use crate::Context;
use crate::handlers::at;
use crate::proc::{Capability, Resource};

/// What even a privileged process cannot exceed (`HARD_MSGMAX`, `HARD_MSGSIZEMAX`).
const HARD_MESSAGES: u32 = 65_536;
const HARD_SIZE: u32 = 16 << 20;
/// Longest name.
pub(super) const NAME_MAX: usize = 255;

/// The limits of `/proc/sys/fs/mqueue`.
#[expect(missing_docs, reason = "mq_overview(7) describes each")]
pub struct Limits {
    pub queues_max: AtomicU32,
    pub msg_max: AtomicU32,
    pub msgsize_max: AtomicU32,
    pub msg_default: AtomicU32,
    pub msgsize_default: AtomicU32,
}

/// All queues that have a name.
pub struct Directory {
    pub(super) this: Weak<Self>,
    pub(super) clock: &'static dyn Clock,
    pub(super) dev: u64,
    pub(super) root: spin::Once<Arc<Root>>,
    mount: spin::Once<Arc<Mount>>,
    /// The limits.
    pub limits: Limits,
    pub(super) names: Lock<BTreeMap<Vec<u8>, Arc<Queue>>, { rank::IPC_TABLE }>,
    usage: Lock<Usage, { rank::LEAF }>,
    next_ino: AtomicU64,
    /// Set by the first registration: before that, closing a file has none to end.
    notices: AtomicBool,
}

#[derive(Default)]
struct Usage {
    queues: u32,
    /// Bytes by user.
    bytes: BTreeMap<u32, u64>,
}

/// What `mq_open(2)` asks for.
pub struct Opening<'a> {
    /// The name, without a slash.
    pub name: &'a [u8],
    /// Flags of `open(2)`.
    pub flags: u32,
    /// Permission bits of a new queue, before the mask.
    pub mode: u32,
    /// What a new queue may hold.
    pub attributes: Option<MqAttr>,
}

impl Directory {
    /// Makes the state without queues.
    pub fn new(clock: &'static dyn Clock) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            clock,
            dev: vfs::fs::anonymous_dev(),
            root: spin::Once::new(),
            mount: spin::Once::new(),
            limits: Limits {
                queues_max: AtomicU32::new(256),
                msg_max: AtomicU32::new(10),
                msgsize_max: AtomicU32::new(8192),
                msg_default: AtomicU32::new(10),
                msgsize_default: AtomicU32::new(8192),
            },
            names: Lock::default(),
            usage: Lock::default(),
            next_ino: AtomicU64::new(2),
            notices: AtomicBool::new(false),
        })
    }

    /// Returns the file system.
    pub fn file_system(&self) -> Arc<dyn FileSystem> {
        Arc::new(MqueueFs { directory: self.arc() })
    }

    pub(super) fn arc(&self) -> Arc<Self> {
        self.this.upgrade().expect("whoever calls this has a reference")
    }

    pub(super) fn root_node(&self) -> Arc<Root> {
        Arc::clone(self.root.call_once(|| Root::new(&self.arc(), Time::from_ns(self.clock.realtime_ns()))))
    }

    /// Returns the mount that no path leads to.
    fn mount(&self, vfs: &Vfs) -> &Arc<Mount> {
        self.mount.call_once(|| vfs.mount_internal(self.file_system(), "mqueue"))
    }

    /// Notes that a process registers for a message.
    pub(super) fn note_notices(&self) {
        self.notices.store(true, Ordering::Relaxed);
    }

    /// Says whether a process has ever registered for a message.
    pub fn notices_used(&self) -> bool {
        self.notices.load(Ordering::Relaxed)
    }

    /// Opens a queue, or makes one.
    ///
    /// # Errors
    /// `EACCES`, `EEXIST`, `EINVAL`, `ENOENT`, `ENOSPC` for too many queues, `EMFILE` for more bytes than the user may
    /// have in queues, `EOVERFLOW`.
    pub fn open(&self, cx: &Context<'_>, opening: &Opening<'_>) -> Result<Arc<OpenFile>> {
        let flags = opening.flags;
        check_name(opening.name)?;
        let found = self.names.lock().get(opening.name).cloned();
        let queue = match found {
            Some(_) if flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL => return Err(Errno::EEXIST),
            Some(queue) => {
                let want = match flags & O_ACCMODE {
                    O_RDONLY => Want::READ,
                    O_WRONLY => Want::WRITE,
                    O_RDWR => Want::READ | Want::WRITE,
                    _ => return Err(Errno::EINVAL),
                };
                vfs::credentials::check(&*queue, want, &cx.credentials().file_access())?;
                queue
            }
            None if flags & O_CREAT == 0 => return Err(Errno::ENOENT),
            None => {
                let who = cx.credentials().file_access();
                vfs::credentials::check(&*self.root_node(), Want::WRITE | Want::EXEC, &who)?;
                self.make(cx, opening)?
            }
        };
        let node: Arc<dyn Node> = queue;
        let place = Place::unnamed(self.mount(&cx.system().vfs), node, opening.name);
        OpenFile::unnamed(place, flags)
    }

    fn make(&self, cx: &Context<'_>, opening: &Opening<'_>) -> Result<Arc<Queue>> {
        let who = cx.credentials();
        let privileged = who.can(Capability::SysResource);
        self.check_count(privileged)?;
        let shape = self.shape(opening.attributes.as_ref(), privileged)?;
        let charge = (who.uid, shape.charge());
        self.take_room(charge, cx.process().limit(Resource::Msgqueue))?;
        let mode = opening.mode & 0o7777 & !cx.fs().umask();
        let queue = self.new_queue(shape, charge, (mode, who.fsuid, who.fsgid));
        let mut names = self.names.lock();
        if let Some(other) = names.get(opening.name) {
            // Another was faster.
            let result = if opening.flags & O_EXCL != 0 { Err(Errno::EEXIST) } else { Ok(Arc::clone(other)) };
            drop(names);
            drop(queue);
            return result;
        }
        names.insert(opening.name.to_vec(), Arc::clone(&queue));
        drop(names);
        self.root_node().changed(self.clock);
        Ok(queue)
    }

    /// Makes a queue of the default shape, for `open(2)` in the mounted file system.
    pub(super) fn make_default(&self, name: &[u8], owner: (u32, u32, u32)) -> Result<Arc<Queue>> {
        self.check_count(false)?;
        let shape = self.shape(None, false)?;
        let charge = (owner.1, shape.charge());
        self.take_room(charge, u64::MAX)?;
        let queue = self.new_queue(shape, charge, owner);
        self.names.lock().insert(name.to_vec(), Arc::clone(&queue));
        Ok(queue)
    }

    fn new_queue(&self, shape: Shape, charge: (u32, u64), (mode, uid, gid): (u32, u32, u32)) -> Arc<Queue> {
        let now = Time::from_ns(self.clock.realtime_ns());
        let attributes = Attributes { mode, uid, gid, links: 1, atime: now, mtime: now, ctime: now };
        Arc::new(Queue {
            directory: Weak::clone(&self.this),
            clock: self.clock,
            ino: self.next_ino.fetch_add(1, Ordering::Relaxed),
            shape,
            charge,
            state: Lock::new(State {
                attributes,
                messages: BTreeMap::new(),
                count: 0,
                bytes: 0,
                notice: None,
                receivers: alloc::collections::VecDeque::new(),
                senders: alloc::collections::VecDeque::new(),
            }),
            events: WaitQueue::new(),
        })
    }

    /// Checks what a new queue is to hold.
    fn shape(&self, wanted: Option<&MqAttr>, privileged: bool) -> Result<Shape> {
        let limit = |value: &AtomicU32| value.load(Ordering::Relaxed);
        let limits = &self.limits;
        let Some(wanted) = wanted else {
            return Ok(Shape {
                messages: limit(&limits.msg_max).min(limit(&limits.msg_default)),
                size: limit(&limits.msgsize_max).min(limit(&limits.msgsize_default)),
            });
        };
        let (most, longest) = if privileged {
            (HARD_MESSAGES, HARD_SIZE)
        } else {
            (limit(&limits.msg_max), limit(&limits.msgsize_max))
        };
        let within = |value: i64, most: u32| u32::try_from(value).ok().filter(|v| (1..=most).contains(v));
        let messages = within(wanted.mq_maxmsg, most).ok_or(Errno::EINVAL)?;
        let size = within(wanted.mq_msgsize, longest).ok_or(Errno::EINVAL)?;
        Ok(Shape { messages, size })
    }

    fn check_count(&self, privileged: bool) -> Result<()> {
        let most = self.limits.queues_max.load(Ordering::Relaxed);
        if !privileged && self.usage.lock().queues >= most { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    fn take_room(&self, (user, bytes): (u32, u64), limit: u64) -> Result<()> {
        let mut usage = self.usage.lock();
        let used = usage.bytes.entry(user).or_default();
        if *used + bytes > limit {
            return Err(Errno::EMFILE);
        }
        *used += bytes;
        usage.queues += 1;
        Ok(())
    }

    /// Takes back what a queue was accounted for.
    pub(super) fn release(&self, (user, bytes): (u32, u64)) {
        let mut usage = self.usage.lock();
        usage.queues -= 1;
        if let Some(used) = usage.bytes.get_mut(&user) {
            *used -= bytes;
            if *used == 0 {
                usage.bytes.remove(&user);
            }
        }
    }

    /// Removes a name; the queue goes with its last descriptor.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`, `EPERM`
    pub fn unlink(&self, cx: &Context<'_>, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let root = self.root_node();
        let queue = self.names.lock().get(name).cloned().ok_or(Errno::ENOENT)?;
        at::as_caller(cx, |caller| vfs::credentials::check_delete(&*root, &*queue, caller.credentials))?;
        self.remove(name, &queue)
    }

    pub(super) fn remove(&self, name: &[u8], queue: &Arc<Queue>) -> Result<()> {
        let gone = {
            let mut names = self.names.lock();
            if !names.get(name).is_some_and(|current| Arc::ptr_eq(current, queue)) {
                return Err(Errno::ENOENT);
            }
            names.remove(name)
        };
        queue.removed();
        drop(gone);
        self.root_node().changed(self.clock);
        Ok(())
    }
}

/// Checks a name; a path is none.
fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() {
        return Err(Errno::ENOENT);
    }
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if name.contains(&b'/') || name == b"." || name == b".." { Err(Errno::EACCES) } else { Ok(()) }
}
