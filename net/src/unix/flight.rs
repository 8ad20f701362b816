//! Open files under way (`SCM_RIGHTS`): how many there are, and cycles of sockets that hold only each other.
//!
//! A socket whose last descriptors lie in queues of sockets that themselves can be reached only so would never be closed.
//! Every reference to a socket that lies in a queue is known here, with the socket whose queue it is. A socket all of
//! whose references lie in queues is a candidate; a candidate that is in the queue of a socket which is none is
//! reachable, and no candidate any more. What is left when nothing changes is garbage: its queues are emptied.
//!
//! The look is taken under one lock, without which no reference leaves a queue's account. Whoever receives holds a
//! reference to the receiving socket meanwhile, so that this one is no candidate.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};

use hal::sync::{Lock, rank};

use super::side::Side;
use super::{Domain, UnixSocket};
use crate::Passed;

/// What is under way in one machine.
#[derive(Default)]
pub(super) struct Flight {
    state: Lock<State, { rank::LEAF }>,
    /// Files that nobody took, to be let go of one after the other. A socket among them may hold others in its queue,
    /// and so on: closing each within the closing of the last would need a stack as deep as the chain.
    lost: Lock<Vec<Passed>, { rank::LEAF }>,
    /// Somebody lets go of them.
    closing: AtomicBool,
    /// Somebody looks for cycles: closing what was found must not start again.
    collecting: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Files under way by the user who sent them.
    users: BTreeMap<u32, u64>,
    edges: BTreeMap<u64, Edge>,
    next: u64,
}

/// A reference to a socket, in the queue of another or of itself.
struct Edge {
    passed: Weak<dyn Any + Send + Sync>,
    target: Arc<Side>,
    holder: Arc<Side>,
}

/// Open files in a queue; dropping them takes them off the account, and lets go of the files.
pub(super) struct Rights {
    domain: Arc<Domain>,
    list: Vec<Passed>,
    user: u32,
    edges: Vec<u64>,
}

impl Rights {
    /// Enters files that go into the queue of `holder`. `None` where there are none.
    pub(super) fn new(
        domain: &Arc<Domain>,
        list: Vec<Passed>,
        user: u32,
        holder: &Arc<Side>,
    ) -> Option<Self> {
        if list.is_empty() {
            return None;
        }
        let mut found = Vec::new();
        for passed in &list {
            let Some(socket) = domain.behind(passed) else { continue };
            let any: &dyn Any = &*socket;
            if let Some(unix) = any.downcast_ref::<UnixSocket>() {
                let (target, holder) = (Arc::clone(unix.side()), Arc::clone(holder));
                found.push(Edge { passed: Arc::downgrade(passed), target, holder });
            }
        }
        let mut state = domain.flight.state.lock();
        *state.users.entry(user).or_insert(0) += list.len() as u64;
        let edges = found
            .into_iter()
            .map(|edge| {
                let id = state.next;
                state.next += 1;
                state.edges.insert(id, edge);
                id
            })
            .collect();
        drop(state);
        Some(Self { domain: Arc::clone(domain), list, user, edges })
    }

    /// Returns the files, which stay where they are as well (`MSG_PEEK`).
    pub(super) fn copy(&self) -> Vec<Passed> {
        self.list.clone()
    }

    /// Takes the files out of the queue.
    pub(super) fn into_list(mut self) -> Vec<Passed> {
        let list = core::mem::take(&mut self.list);
        self.settle(list.len());
        list
    }

    /// Takes files off the account.
    fn settle(&mut self, count: usize) {
        let mut gone = Vec::new();
        let mut state = self.domain.flight.state.lock();
        if let Some(left) = state.users.get_mut(&self.user) {
            *left = left.saturating_sub(count as u64);
            if *left == 0 {
                state.users.remove(&self.user);
            }
        }
        for id in self.edges.drain(..) {
            gone.extend(state.edges.remove(&id));
        }
        drop(state);
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        if !self.list.is_empty() {
            self.settle(self.list.len());
            self.domain.flight.let_go(core::mem::take(&mut self.list));
        }
    }
}

impl Flight {
    /// Returns how many files of a user are under way.
    pub(super) fn of_user(&self, user: u32) -> u64 {
        self.state.lock().users.get(&user).copied().unwrap_or(0)
    }

    /// Lets go of files that nobody took.
    fn let_go(&self, mut files: Vec<Passed>) {
        self.lost.lock().append(&mut files);
        // Whoever adds while another is at it leaves the rest to that one, which looks again after it has said it is done.
        while !self.lost.lock().is_empty() && !self.closing.swap(true, Ordering::SeqCst) {
            loop {
                let file = self.lost.lock().pop();
                let Some(file) = file else { break };
                drop(file);
            }
            self.closing.store(false, Ordering::SeqCst);
        }
    }

    /// Empties the queues of sockets that nobody can reach any more.
    pub(super) fn collect(&self) {
        if self.state.lock().edges.is_empty() || self.collecting.swap(true, Ordering::SeqCst) {
            return;
        }
        for side in self.garbage() {
            side.discard();
        }
        self.collecting.store(false, Ordering::SeqCst);
    }

    fn garbage(&self) -> Vec<Arc<Side>> {
        let state = self.state.lock();
        // By socket: how often it lies in a queue, and how many references there are at all.
        let mut found: BTreeMap<u64, (usize, usize, &Arc<Side>)> = BTreeMap::new();
        for edge in state.edges.values() {
            let entry = found.entry(edge.target.id()).or_insert((0, 0, &edge.target));
            entry.0 += 1;
            entry.1 = edge.passed.strong_count();
        }
        found.retain(|_, (queued, all, _)| queued == all);
        loop {
            let reachable: Vec<u64> = state
                .edges
                .values()
                .filter(|e| found.contains_key(&e.target.id()) && !found.contains_key(&e.holder.owner()))
                .map(|e| e.target.id())
                .collect();
            if reachable.is_empty() {
                return found.into_values().map(|(_, _, side)| Arc::clone(side)).collect();
            }
            for id in reachable {
                found.remove(&id);
            }
        }
    }
}
