//! What all processes share.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use hal::{Platform, Stream};

use crate::files::FileState;
use crate::proc::{Entry, Process, Thread};
use crate::table;

/// Largest process and thread number (`/proc/sys/kernel/pid_max`).
pub const PID_MAX: u32 = 4_194_304;

/// The application's process number; 1 is the kernel, which plays init.
pub const FIRST_PID: u32 = 2;

/// The running system: one in a machine, many in a test process.
pub struct System {
    platform: Platform,
    trace: AtomicBool,
    tasks: Lock<Tasks, { rank::PROCESS_TABLE }>,
    unimplemented: Lock<BTreeMap<u64, u64>, { rank::LEAF }>,
    names: Lock<Names, { rank::LEAF }>,
    /// The tree of files.
    pub vfs: vfs::Vfs,
    /// Sockets.
    pub net: Arc<net::Net>,
    /// What else belongs to files: console, pipes, terminals.
    pub files: FileState,
    /// The time zone, and who wants to hear that the clock was set.
    pub time: crate::handlers::time::SystemTime,
    /// Who waits on futexes.
    pub futexes: crate::futex::Futexes,
    /// Shared memory, semaphores and message queues.
    pub ipc: crate::ipc::Ipc,
}

#[derive(Default)]
struct Tasks {
    processes: BTreeMap<u32, Arc<Process>>,
    threads: BTreeMap<u32, Weak<Thread>>,
    last: u32,
}

/// `uname(2)`'s names that can be set.
#[derive(Clone, Debug)]
pub struct Names {
    /// `sethostname(2)`.
    pub host: Vec<u8>,
    /// `setdomainname(2)`.
    pub domain: Vec<u8>,
}

impl System {
    /// Makes a system on a machine, without processes.
    pub fn new(platform: Platform, vfs: vfs::Vfs, hostname: &[u8]) -> Arc<Self> {
        let net = net::Net::new(net::Environment { clock: platform.clock, entropy: platform.entropy });
        net.unix().set_behind(crate::socket::behind);
        let names = Names { host: hostname.to_vec(), domain: b"(none)".to_vec() };
        Arc::new(Self {
            platform,
            trace: AtomicBool::new(false),
            // Number 1 is the kernel, which plays init.
            tasks: Lock::new(Tasks { last: 1, ..Tasks::default() }),
            unimplemented: Lock::default(),
            names: Lock::new(names),
            net,
            files: FileState::new(&platform, &vfs),
            time: crate::handlers::time::SystemTime::default(),
            futexes: crate::futex::Futexes::default(),
            ipc: crate::ipc::Ipc::new(platform.clock),
            vfs,
        })
    }

    /// Returns the machine.
    #[inline]
    pub const fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Says whether system calls are traced.
    #[inline]
    pub fn trace(&self) -> bool {
        self.trace.load(Ordering::Relaxed)
    }

    /// Turns the trace on or off.
    pub fn set_trace(&self, on: bool) {
        self.trace.store(on, Ordering::Relaxed);
        let threads: Vec<_> = self.tasks.lock().threads.values().filter_map(Weak::upgrade).collect();
        for thread in threads {
            if on {
                thread.add_entry(Entry::LOG);
            } else {
                thread.clear_entry(Entry::LOG);
            }
        }
    }

    /// Returns the host and domain name.
    pub fn names(&self) -> Names {
        self.names.lock().clone()
    }

    /// Changes the host or domain name.
    pub fn change_names(&self, change: impl FnOnce(&mut Names)) {
        change(&mut self.names.lock());
    }

    /// Gives out the next free process or thread number, ascending, from 300 again after the largest.
    ///
    /// # Errors
    /// `EAGAIN` if none is free.
    pub fn new_id(&self) -> Result<u32> {
        let mut tasks = self.tasks.lock();
        for _ in 0..PID_MAX {
            tasks.last = if tasks.last >= PID_MAX - 1 { 300 } else { tasks.last + 1 };
            let id = tasks.last;
            if !tasks.processes.contains_key(&id) && !tasks.threads.contains_key(&id) {
                return Ok(id);
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Enters a process in the table.
    pub fn add_process(&self, process: &Arc<Process>) {
        self.tasks.lock().processes.insert(process.pid(), Arc::clone(process));
    }

    /// Says whether this is the application: the machine ends with it.
    pub fn is_first(&self, process: &Process) -> bool {
        process.pid() == FIRST_PID
    }

    /// Takes a process out of the table, after its parent waited for it.
    pub fn remove_process(&self, pid: u32) {
        let gone = self.tasks.lock().processes.remove(&pid);
        drop(gone);
    }

    /// Enters a thread in the table.
    pub fn add_thread(&self, thread: &Arc<Thread>) {
        self.tasks.lock().threads.insert(thread.tid(), Arc::downgrade(thread));
    }

    /// Takes a thread out of the table.
    pub fn remove_thread(&self, tid: u32) {
        self.tasks.lock().threads.remove(&tid);
    }

    /// Finds a process (also a zombie).
    pub fn process(&self, pid: u32) -> Option<Arc<Process>> {
        self.tasks.lock().processes.get(&pid).cloned()
    }

    /// Finds a thread that has not ended.
    pub fn thread(&self, tid: u32) -> Option<Arc<Thread>> {
        self.tasks.lock().threads.get(&tid).and_then(Weak::upgrade)
    }

    /// Returns all processes in ascending order of number.
    pub fn processes(&self) -> Vec<Arc<Process>> {
        self.tasks.lock().processes.values().cloned().collect()
    }

    /// Returns how many threads there are, and the number given out last.
    pub fn thread_count(&self) -> (usize, u32) {
        let tasks = self.tasks.lock();
        (tasks.threads.len(), tasks.last)
    }

    /// Counts a call that Hull does not have.
    #[cold]
    pub fn note_unimplemented(&self, number: u64) {
        *self.unimplemented.lock().entry(number).or_insert(0) += 1;
    }

    /// Writes the report for the tool, and switches the machine off with the first process's wait status.
    pub fn power_off(&self, wait_status: u32) -> ! {
        let calls = core::mem::take(&mut *self.unimplemented.lock());
        for (number, count) in calls {
            let line = match table::entry(number) {
                Some(entry) => format!("unimplemented.{}={count}", entry.name),
                None => format!("unimplemented.{number}={count}"),
            };
            self.platform.console.write(Stream::Report, line.as_bytes());
        }
        self.platform.power.exit(wait_status)
    }
}
