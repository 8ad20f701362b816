//! Processes and threads, and what belongs to them.

mod credentials;
mod description;
mod exec;
mod exit;
mod fd_table;
mod fs_context;
mod limits;
mod process;
pub mod program;
mod thread;

pub use credentials::{ALL_CAPABILITIES, Capability, Credentials};
pub use description::{Description, Object, PipeFile, Sharing, SignalOwner, Watch};
pub use exec::exec;
pub(crate) use exit::tell_end;
pub use exit::{exit_group, exit_thread};
pub use fd_table::{CloseOnExec, FdTable};
pub use fs_context::FsContext;
pub use limits::{Limit, Limits, Resource};
pub use process::{ExitState, Process, ProcessState};
pub use thread::{Entry, SchedPolicy, Thread, ThreadParts, VforkDone, Work};
