//! Signals: sending, blocking, delivering (`signal(7)`).
//!
//! A signal waits in a [`Pending`] queue, of a process or of a thread. Its sender sets [`crate::proc::Work::SIGNAL`]
//! on a thread that does not block it, which ends that thread's sleep; on the way back to user mode the thread
//! takes what is deliverable, and either acts by default or pushes a frame for the handler.

mod action;
mod deliver;
mod fault;
mod frame;
mod mask;
mod pending;
mod send;
mod thread;

pub use action::{Action, Default, Handlers, LAST, SignalSet, default_action};
pub use deliver::deliver_pending;
pub(crate) use fault::end_largest_process;
pub use fault::{force_exception, force_fault, force_signal};
pub use frame::minimum_stack;
pub(crate) use frame::{return_from_handler, set_alternate_stack};
pub use mask::{clone_thread, dequeue, leave_to_others, pending, set_mask, with_mask};
pub use pending::{Pending, Queued};
pub use send::{notify_orphan, notify_parent, send_group, send_process, send_thread, waiting};
pub(crate) use send::{notify_tracer, notify_tracer_of_end, queue_stop};
pub use thread::{AltStack, Continuation, ThreadSignals, Trap};

use crate::proc::exit_group;
