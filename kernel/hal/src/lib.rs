//! The seams between the machine and everything above it.
//!
//! `vfs`, `net` and `syscall` are pure: they reach memory, time, threads and devices only through the traits
//! here. The `kernel` crate implements them on the hardware; `fake` implements them on the host, so that
//! nearly every rule that an application can see is tested by plain `cargo test`.
//!
//! Two facts about the machine shape the traits. Kernel code is never interrupted: interrupts are taken in
//! user mode, in the idle loop and at [`Scheduler::checkpoint`] only, so a [`sync::Lock`] needs no
//! interrupt masking and a waker may take one. And kernel code is not preempted, so only `park`,
//! `yield_now` and `checkpoint` give the processor away.
#![cfg_attr(not(feature = "fake"), no_std)]

extern crate alloc;

mod addr;
mod block;
mod console;
#[cfg(feature = "fake")]
pub mod fake;
#[allow(unsafe_code, reason = "Frame::from_raw: the caller vouches for a reference count")]
mod frame;
mod machine;
mod memory;
mod net;
mod regs;
mod space;
pub mod sync;
#[cfg(test)]
mod tests;
mod wait;

pub use addr::{PAGE_SIZE, PageRange, USER_END, UserAddr};
pub use block::{BlockDevice, PageStore};
pub use console::{Console, ConsoleInput, Stream};
pub use frame::{Fill, Frame, FramePool, FrameUsage, OutOfMemory, install_frame_pool};
pub use machine::{
    Clock, CpuSet, CpuTime, Entropy, ExtendedState, Flow, MachineInfo, Platform, Power, ProcessorInfo,
    Scheduler, Start, Task, TimerId, UserThread, VdsoImage,
};
pub use memory::{Dest, Fault, Source, UserMemory, UserRange};
pub use net::{NetCounters, NetDevice, NetEvents, NetInfo, Offloads, QueueFull, RxInfo, Segment, TxOffload};
pub use regs::{Access, Exception, PageFault, UserRegs};
pub use space::{AddressSpace, ForkMode, ForkRange, Mapped, Prot, Spaces};
pub use wait::{Readiness, Registration, WaitQueue};
