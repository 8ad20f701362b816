//! A process on a fake machine, for tests that call the table.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;

use abi::Errno;
use hal::fake::{FakeMachine, FakeTask, enter, leave};
use hal::{CpuSet, CpuTime, Prot, UserAddr, UserMemory, UserRegs, UserThread};
use syscall::proc::{
    Credentials, ExitState, FdTable, FsContext, Limits, Process, ProcessState, SchedPolicy, Thread,
    ThreadParts,
};
use syscall::signal::Handlers;
use syscall::system::{FIRST_PID, System};
use syscall::table::TABLE;
use syscall::vm::{MapRequest, Place, Vm};
use vfs::fs::ram::{RamFs, RamOptions};
use vfs::{Environment, NoEvents, Vfs};

/// A fake machine with an empty RAM root, and one process whose thread the calling host thread plays.
pub(crate) struct Machine {
    pub fake: FakeMachine,
    pub system: Arc<System>,
    pub process: Arc<Process>,
    pub thread: Arc<Thread>,
    /// A mebibyte of the application's memory, readable and writable.
    pub scratch: UserAddr,
}

/// An address in the kernel's half.
pub(crate) const NOT_USER: u64 = 0xffff_8000_0000_0000;

/// Takes the circle of system, process and thread apart, so that a test may make many machines.
impl Drop for Machine {
    fn drop(&mut self) {
        leave();
        self.system.remove_thread(self.thread.tid());
        self.system.remove_process(self.process.pid());
        let threads = std::mem::take(&mut self.process.state.lock().threads);
        drop(threads);
    }
}

impl Machine {
    pub(crate) fn new() -> Self {
        let fake = FakeMachine::new(2);
        let platform = fake.platform;
        let vfs = Vfs::new(Environment {
            clock: platform.clock,
            entropy: platform.entropy,
            events: Arc::new(NoEvents),
        });
        let root = vfs.mount_root(RamFs::new(vfs.environment(), &RamOptions::default()), "rootfs");
        let system = System::new(platform, vfs, b"test");
        let vm = Vm::new(system.platform()).unwrap();
        let scratch =
            vm.map(MapRequest::anonymous(Place::Anywhere, 1 << 20, Prot::READ | Prot::WRITE)).unwrap();
        let state = ProcessState {
            parent: std::sync::Weak::new(),
            children: Vec::new(),
            threads: Vec::new(),
            group: FIRST_PID,
            session: FIRST_PID,
            exit: ExitState::Running,
            stopped: None,
            report: None,
            has_execed: true,
            subreaper: false,
            dumpable: true,
            exe: None,
            auxv: Vec::new(),
            last_uid: 0,
            ended_time: CpuTime::default(),
            children_time: CpuTime::default(),
            personality: 0,
            oom_score_adj: 0,
        };
        let pid = system.new_id().unwrap();
        let limits = Limits::new(1000);
        let process =
            Process::new(&system, pid, Arc::clone(&vm), Arc::new(Handlers::default()), limits, state, 17);
        let thread = Thread::new(ThreadParts {
            process: Arc::clone(&process),
            tid: pid,
            files: Arc::new(FdTable::default()),
            fs: Arc::new(FsContext::new(root.clone(), root, 0o022)),
            credentials: Arc::new(Credentials::new(0, 0, &[])),
            name: *b"test\0\0\0\0\0\0\0\0\0\0\0\0",
            signal_mask: 0,
            sched: SchedPolicy::default(),
            affinity: CpuSet(3),
        });
        let task = Arc::new(FakeTask::default());
        thread.set_task(task.clone());
        process.state.lock().threads.push(Arc::clone(&thread));
        system.add_process(&process);
        system.add_thread(&thread);
        enter(thread.clone(), Arc::clone(vm.space()), task);
        Self { fake, system, process, thread, scratch }
    }

    /// Makes a call by name.
    pub(crate) fn call(&self, name: &str, args: &[u64]) -> Result<u64, Errno> {
        let entry = TABLE.iter().find(|e| e.name == name).expect("a call of that name");
        self.call_number(u64::from(entry.number), args)
    }

    /// Makes a call by number.
    pub(crate) fn call_number(&self, number: u64, args: &[u64]) -> Result<u64, Errno> {
        let arg = |i: usize| args.get(i).copied().unwrap_or(0);
        let mut regs = UserRegs {
            orig_rax: number,
            rax: (-38_i64).cast_unsigned(),
            rdi: arg(0),
            rsi: arg(1),
            rdx: arg(2),
            r10: arg(3),
            r8: arg(4),
            r9: arg(5),
            ..UserRegs::default()
        };
        let _ = self.thread.syscall(&mut regs);
        match regs.rax.cast_signed() {
            value @ -4095..0 => {
                Err(*Errno::ALL.iter().find(|e| -i64::from(e.number()) == value).expect("an errno"))
            }
            _ => Ok(regs.rax),
        }
    }

    /// Puts bytes into the application's memory, at an offset of the scratch area; returns their address.
    pub(crate) fn put(&self, offset: u64, bytes: &[u8]) -> u64 {
        let at = self.scratch.offset(offset);
        self.memory().copy_out(at, bytes).expect("the scratch area is writable");
        at.0
    }

    /// Puts a string with its NUL.
    pub(crate) fn path(&self, text: &str) -> u64 {
        self.put(0x8_0000, &[text.as_bytes(), b"\0"].concat())
    }

    /// Reads the application's memory.
    pub(crate) fn get(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory().copy_in(UserAddr(at), &mut bytes).expect("readable memory");
        bytes
    }

    fn memory(&self) -> &'static dyn UserMemory {
        self.fake.platform.memory
    }
}
