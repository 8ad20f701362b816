//! Signals about input and output: `F_SETOWN`, `F_SETSIG`, `O_ASYNC`.

use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use core::task::Waker;

use abi::Errno;
use abi::fs::{
    F_GETOWN, F_GETOWN_EX, F_GETOWNER_UIDS, F_GETSIG, F_OWNER_PGRP, F_OWNER_PID, F_OWNER_TID, F_SETOWN,
    F_SETOWN_EX, F_SETSIG, FOwnerEx,
};
use abi::signal::{POLL_IN, POLL_OUT, SI_KERNEL, SIGIO, SIGURG, Siginfo};
use hal::{Readiness, UserAddr};

use super::fcntl;
use crate::decode::{Fd, In, Out, UserPtr};
use crate::proc::{Description, Object, Sharing, SignalOwner, Thread};
use crate::{Context, SysResult};

/// Carries out the commands of `fcntl(2)` about the owner.
pub(super) fn owner(
    cx: &Context<'_>,
    description: &Arc<Description>,
    command: u32,
    argument: u64,
) -> SysResult<i64> {
    let at = UserAddr(argument);
    #[expect(clippy::cast_possible_truncation, reason = "the argument is an int")]
    let word = (argument as u32).cast_signed();
    match command {
        F_GETOWN => Ok(i64::from(plain_owner(description))),
        F_SETOWN => set_plain_owner(cx, description, word),
        F_GETOWN_EX => {
            let owner = *description.owner.lock();
            fcntl::write_owner(cx, at, owner.kind, owner.id)?;
            Ok(0)
        }
        F_SETOWN_EX => {
            let wish = UserPtr::<FOwnerEx, In>::new(at).read(cx)?;
            if !fcntl::is_owner_kind(wish.kind) {
                return Err(Errno::EINVAL.into());
            }
            set_owner(cx, description, wish.kind, wish.pid)
        }
        F_GETOWNER_UIDS => {
            let users = description.owner.lock().users;
            UserPtr::<[u32; 2], Out>::new(at).write(cx, &[users.0, users.1])?;
            Ok(0)
        }
        F_GETSIG => Ok(i64::from(description.owner.lock().signal)),
        F_SETSIG if (0..=64).contains(&word) => {
            description.owner.lock().signal = word;
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// Returns the owner as one number: a process group is negative.
pub(super) fn plain_owner(description: &Description) -> i32 {
    let owner = *description.owner.lock();
    if owner.kind == F_OWNER_PGRP { -owner.id } else { owner.id }
}

/// Sets the owner that one number names.
pub(super) fn set_plain_owner(
    cx: &Context<'_>,
    description: &Arc<Description>,
    owner: i32,
) -> SysResult<i64> {
    let (kind, id) = match owner {
        i32::MIN => return Err(Errno::EINVAL.into()),
        group @ ..0 => (F_OWNER_PGRP, -group),
        process => (F_OWNER_PID, process),
    };
    set_owner(cx, description, kind, id)
}

fn set_owner(cx: &Context<'_>, description: &Arc<Description>, kind: i32, id: i32) -> SysResult<i64> {
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    let system = cx.system();
    let number = id.cast_unsigned();
    let there = match kind {
        _ if id == 0 => true,
        F_OWNER_TID => system.thread(number).is_some(),
        F_OWNER_PID => system.process(number).is_some(),
        _ => system.processes().iter().any(|p| p.state.lock().group == number),
    };
    if !there {
        return Err(Errno::ESRCH.into());
    }
    let who = cx.credentials();
    let mut owner = description.owner.lock();
    *owner = SignalOwner { kind, id, users: (who.uid, who.euid), ..*owner };
    drop(owner);
    watch_urgent(cx, description);
    Ok(0)
}

/// Sends the owner's signal when the description becomes ready.
struct Asynchronous {
    description: Weak<Description>,
    fd: Fd,
    thread: Weak<Thread>,
}

impl Wake for Asynchronous {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let (Some(description), Some(thread)) = (self.description.upgrade(), self.thread.upgrade()) else {
            return;
        };
        let owner = *description.owner.lock();
        if owner.id == 0 {
            return;
        }
        let ready = description.readiness(&thread);
        let code = if ready.intersects(Readiness::READ) { POLL_IN } else { POLL_OUT };
        let signal = if owner.signal == 0 { SIGIO } else { owner.signal };
        let info = Siginfo::poll(signal, code, i64::from(ready.bits()), self.fd.0);
        deliver(&thread, owner, info);
    }
}

/// Sends a signal to an owner.
fn deliver(thread: &Thread, owner: SignalOwner, info: Siginfo) {
    let system = thread.process().system();
    let id = owner.id.cast_unsigned();
    match owner.kind {
        F_OWNER_TID => drop(system.thread(id).map(|t| crate::signal::send_thread(&t, info))),
        F_OWNER_PID => drop(system.process(id).map(|p| crate::signal::send_process(&p, info))),
        _ => crate::signal::send_group(system, id, info.si_signo),
    }
}

/// Sends `SIGURG` to a socket's owner when urgent data comes in, `O_ASYNC` or not (`socket(7)`).
struct Urgent {
    description: Weak<Description>,
    thread: Weak<Thread>,
}

impl Wake for Urgent {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let (Some(description), Some(thread)) = (self.description.upgrade(), self.thread.upgrade()) else {
            return;
        };
        let owner = *description.owner.lock();
        if owner.id != 0 && description.readiness(&thread).contains(Readiness::PRI) {
            deliver(&thread, owner, Siginfo::kill(SIGURG, SI_KERNEL, 0, 0));
        }
    }
}

/// Listens for urgent data of a socket that has got an owner.
fn watch_urgent(cx: &Context<'_>, description: &Arc<Description>) {
    if !matches!(description.object(), Object::Socket(_)) {
        return;
    }
    let thread = Arc::downgrade(&cx.thread.arc());
    let waker = Waker::from(Arc::new(Urgent { description: Arc::downgrade(description), thread }));
    let watch = description.watch(cx.thread, Readiness::PRI, &waker, Sharing::All);
    let old = description.urgent.lock().replace(watch);
    drop(old);
}

/// Turns the signals on or off (`O_ASYNC`).
pub(super) fn switch(cx: &Context<'_>, fd: Fd, description: &Arc<Description>, on: bool) {
    let watch = on.then(|| {
        let waker = Waker::from(Arc::new(Asynchronous {
            description: Arc::downgrade(description),
            fd,
            thread: Arc::downgrade(&cx.thread.arc()),
        }));
        description.watch(cx.thread, Readiness::READ | Readiness::WRITE, &waker, Sharing::All)
    });
    let old = core::mem::replace(&mut *description.asynchronous.lock(), watch);
    drop(old);
}
