//! What a handler works with.

use alloc::sync::Arc;
use core::cell::RefCell;

use hal::{Clock, Platform, Scheduler, UserMemory, UserRegs};

use crate::proc::{Credentials, FdTable, FsContext, Process, Thread};
use crate::system::System;
use crate::vm::Vm;

/// The calling thread and everything that it can reach; made anew for each entry.
pub struct Context<'a> {
    /// The calling thread.
    pub thread: &'a Thread,
    /// The application's registers. Only calls that change the flow (`clone`, `execve`, `rt_sigreturn`) look at them.
    pub regs: RefCell<&'a mut UserRegs>,
}

impl<'a> Context<'a> {
    /// Makes the context of an entry.
    #[inline]
    pub const fn new(thread: &'a Thread, regs: &'a mut UserRegs) -> Self {
        Self { thread, regs: RefCell::new(regs) }
    }

    /// Returns the calling process.
    #[inline]
    pub fn process(&self) -> &'a Arc<Process> {
        self.thread.process()
    }

    /// Returns the system.
    #[inline]
    pub fn system(&self) -> &'a Arc<System> {
        self.thread.process().system()
    }

    /// Returns the machine.
    #[inline]
    pub fn platform(&self) -> &'a Platform {
        self.system().platform()
    }

    /// Returns the application's memory.
    #[inline]
    pub fn memory(&self) -> &'static dyn UserMemory {
        self.platform().memory
    }

    /// Returns the clock.
    pub fn clock(&self) -> &'static dyn Clock {
        self.platform().clock
    }

    /// Returns the scheduler.
    pub fn scheduler(&self) -> &'static dyn Scheduler {
        self.platform().scheduler
    }

    /// Returns the address space.
    pub fn vm(&self) -> Arc<Vm> {
        self.process().vm()
    }

    /// Returns the descriptor table.
    pub fn files(&self) -> Arc<FdTable> {
        self.thread.files()
    }

    /// Returns the working directory, root and umask.
    pub fn fs(&self) -> Arc<FsContext> {
        self.thread.fs()
    }

    /// Returns the caller's identity.
    pub fn credentials(&self) -> Arc<Credentials> {
        self.thread.credentials()
    }
}
