//! From a path to an address space that is ready to run (`execve(2)`, `elf(5)`).
//!
//! Nothing of the calling process changes here: `exec` takes over the result at its point of no return, and the first
//! process starts with one.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::auxv::*;
use abi::{Errno, Result};
use hal::{Dest, Prot, UserAddr, UserRegs};
use loader::layout::{self, Layout, Random};
use loader::plan::{LoadPlan, Operation, Role, StackProt};
use loader::{ElfError, FileBytes, script, stack};
use vfs::{Follow, MountOptions, Walk};

use super::{Capability, Credentials, FsContext, Limits, Resource, Thread};
use crate::decode::{Fd, Flags};
use crate::system::System;
use crate::vm::{self, MapRequest, Vm, VmLayout};
use crate::{Context, SysError};

/// `AT_EMPTY_PATH`, for `execveat(2)`.
const AT_EMPTY_PATH: u32 = 0x1000;
/// `AT_SYMLINK_NOFOLLOW`.
const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
/// `ADDR_NO_RANDOMIZE` of `personality(2)`.
pub const ADDR_NO_RANDOMIZE: u32 = 0x004_0000;
/// Bits of `personality(2)` that a set-user-ID program does not inherit.
const PER_CLEAR_ON_SETID: u32 = 0x00d5_0000 | 0x0800_0000;
/// The stack's size before it grows: what Linux maps beyond the arguments.
const STACK_ROOM: u64 = 128 << 10;

/// Code and data segments of the application: Linux's selectors, which programs may look at.
const USER_CS: u64 = 0x33;
const USER_SS: u64 = 0x2b;
/// Interrupts on, and the bit that is always one.
const INITIAL_RFLAGS: u64 = 0x202;

/// A file that is executed; nobody can open it for writing meanwhile (`ETXTBSY`).
pub struct Executable {
    place: vfs::Place,
}

impl Executable {
    fn new(place: vfs::Place) -> Result<Self> {
        place.node().deny_write_access()?;
        Ok(Self { place })
    }

    /// Returns the file's place.
    pub const fn place(&self) -> &vfs::Place {
        &self.place
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        self.place.node().allow_write_access();
    }
}

impl FileBytes for Executable {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.place.node().read_at(offset, &mut Dest::kernel(buf))
    }

    fn len(&self) -> u64 {
        self.place.node().size()
    }
}

/// A program in an address space of its own.
pub struct Program {
    /// The address space.
    pub vm: Arc<Vm>,
    /// The first registers.
    pub regs: UserRegs,
    /// The thread's name.
    pub name: Vec<u8>,
    /// The program's path, as `/proc/self/exe` shows it.
    pub exe: Arc<Executable>,
    /// Who the process is from now on.
    pub credentials: Arc<Credentials>,
    /// Whether it may be dumped and inspected.
    pub dumpable: bool,
    /// `personality(2)`.
    pub personality: u32,
    /// The auxiliary vector.
    pub auxv: Vec<(u64, u64)>,
}

/// Why a program was not loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// `execve` answers this, and the caller goes on.
    Errno(Errno),
    /// Linux finds this after the caller's program is gone, and kills the process with `SIGSEGV`.
    Late(ElfError),
}

impl From<Errno> for LoadError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<ElfError> for LoadError {
    fn from(error: ElfError) -> Self {
        if error.is_late() { Self::Late(error) } else { Self::Errno(error.errno()) }
    }
}

/// Who loads, and from where.
pub struct Loading<'a> {
    /// The system.
    pub system: &'a System,
    /// Working directory and root.
    pub fs: &'a FsContext,
    /// The caller's identity.
    pub credentials: &'a Credentials,
    /// The caller's limits.
    pub limits: &'a Limits,
    /// The caller's `personality(2)`.
    pub personality: u32,
    /// The caller's process and thread number, for `/proc/self` and `/proc/thread-self`; 0 for the kernel.
    pub ids: (u32, u32),
    /// Who traces the caller.
    pub tracer: Option<Arc<Thread>>,
}

impl Loading<'_> {
    /// Finds a file and checks that it may be executed.
    ///
    /// # Errors
    /// Those of a path walk, and `EACCES` for what is no regular file, has no execute permission, or is on a mount
    /// with `noexec`.
    pub fn open(&self, start: &vfs::Place, path: &[u8], follow: Follow, empty: bool) -> Result<Executable> {
        let access = self.credentials.file_access();
        let root = self.fs.root();
        let (pid, tid) = self.ids;
        let caller = vfs::Caller { umask: self.fs.umask(), pid, tid, ..vfs::Caller::kernel(&access) };
        let walk = Walk { vfs: &self.system.vfs, caller, root: &root, start, resolve: 0 };
        let place = if empty { walk.lookup_or_start(path, follow)? } else { walk.lookup(path, follow)? };
        walk.check_program(&place)?;
        Executable::new(place)
    }

    /// Loads a program, through the interpreters of scripts.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(
        &self,
        mut file: Executable,
        path: &[u8],
        args: &[Vec<u8>],
        env: &[Vec<u8>],
    ) -> Result<Program, LoadError> {
        let mut args = args.to_vec();
        let mut head_path = path.to_vec();
        let cwd = self.fs.cwd();
        let mut nesting = 0;
        loop {
            let mut head = [0; script::HEAD_LEN];
            let len = file.read_at(0, &mut head)?;
            if !script::is_script(&head[..len]) {
                break;
            }
            if nesting >= script::MAX_NESTING {
                return Err(Errno::ELOOP.into());
            }
            nesting += 1;
            let script = script::parse(&head[..len])?;
            let mut front = alloc::vec![script.interpreter.to_vec()];
            front.extend(script.argument.map(<[u8]>::to_vec));
            front.push(core::mem::replace(&mut head_path, script.interpreter.to_vec()));
            args.splice(..args.len().min(1), front);
            file = self.open(&cwd, &head_path, Follow::Yes, false)?;
        }
        let plan = loader::plan::plan(&file, Role::Program)?;
        let interpreter = match &plan.interpreter {
            Some(path) => {
                let file = self.open(&cwd, path, Follow::Yes, false)?;
                let plan = loader::plan::plan(&file, Role::Interpreter)?;
                Some((file, plan))
            }
            None => None,
        };
        stack::check(&args, env, path, self.limits.get(Resource::Stack).soft)?;
        self.build(Arc::new(file), &plan, interpreter.as_ref(), path, &args, env)
    }

    fn build(
        &self,
        file: Arc<Executable>,
        plan: &LoadPlan,
        interpreter: Option<&(Executable, LoadPlan)>,
        path: &[u8],
        args: &[Vec<u8>],
        env: &[Vec<u8>],
    ) -> Result<Program, LoadError> {
        let platform = self.system.platform();
        let (credentials, secure) = self.new_credentials(&file);
        let personality = if secure { self.personality & !PER_CLEAR_ON_SETID } else { self.personality };
        let mut random = [0_u8; 64];
        platform.entropy.fill(&mut random);
        let word = |i: usize| u64::from_le_bytes(random[i * 8..i * 8 + 8].try_into().unwrap_or_default());
        let randomness = (personality & ADDR_NO_RANDOMIZE == 0).then(|| Random {
            mmap: word(0),
            program: word(1),
            stack: word(2),
            stack_gap: word(3),
            brk: word(4),
            vdso: word(5),
        });
        let stack_limit = self.limits.get(Resource::Stack).soft;
        let layout = Layout::new(stack_limit, randomness);
        let vm = Vm::new(platform)?;
        vm.set_limits(self.limits);
        vm.set_layout(VmLayout { mmap_base: layout.mmap_base, ..VmLayout::default() });

        let top = UserAddr(layout.stack_top);
        let bias = map_file(&vm, &file, plan, layout.place(plan))?;
        let (start, base) = match interpreter {
            Some((file, plan)) => {
                let bias = map_file(&vm, file, plan, layout::Place::Anywhere(plan.align))?;
                (plan.entry_at(bias)?, plan.first_page.wrapping_add(bias))
            }
            None => (plan.entry_at(bias)?, 0),
        };
        let vdso = map_vdso(&vm, platform.info.vdso.as_ref(), &layout)?;

        let mut auxv = Vec::with_capacity(24);
        if let Some(vdso) = vdso {
            auxv.push((AT_SYSINFO_EHDR, vdso));
        }
        auxv.extend([
            (AT_MINSIGSTKSZ, crate::signal::minimum_stack(platform.info)),
            (AT_HWCAP, platform.info.hwcap),
            (AT_PAGESZ, hal::PAGE_SIZE as u64),
            (AT_CLKTCK, 100),
            (AT_PHDR, plan.entries_at(bias)),
            (AT_PHENT, plan.entry_size()),
            (AT_PHNUM, u64::from(plan.entries)),
            (AT_BASE, base),
            (AT_FLAGS, 0),
            (AT_ENTRY, plan.entry_at(bias)?),
            (AT_UID, u64::from(credentials.uid)),
            (AT_EUID, u64::from(credentials.euid)),
            (AT_GID, u64::from(credentials.gid)),
            (AT_EGID, u64::from(credentials.egid)),
            (AT_SECURE, u64::from(secure)),
            (AT_HWCAP2, platform.info.hwcap2),
        ]);
        let mut seed = [0; 16];
        seed.copy_from_slice(&random[48..]);
        let stack = stack::build(&stack::Input {
            top: top.0,
            limit: stack_limit,
            args,
            env,
            path,
            auxv: &auxv,
            random: seed,
            gap: layout.stack_gap,
        })?;
        map_stack(&vm, plan.stack, top, &stack)?;

        let brk = layout.brk(plan, bias);
        vm.set_layout(VmLayout {
            mmap_base: layout.mmap_base,
            start_stack: stack.pointer,
            start_code: plan.code.start.wrapping_add(bias),
            end_code: plan.code.end.wrapping_add(bias),
            start_data: plan.data.start.wrapping_add(bias),
            end_data: plan.data.end.wrapping_add(bias),
            start_brk: brk,
            brk,
            arg_start: stack.args.start,
            arg_end: stack.args.end,
            env_start: stack.env.start,
            env_end: stack.env.end,
        });
        let regs = UserRegs {
            rip: start,
            rsp: stack.pointer,
            cs: USER_CS,
            ss: USER_SS,
            rflags: INITIAL_RFLAGS,
            orig_rax: u64::MAX,
            ..UserRegs::default()
        };
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or(path).to_vec();
        let readable =
            vfs::credentials::check(&**file.place.node(), vfs::Want::READ, &credentials.file_access())
                .is_ok();
        Ok(Program {
            vm,
            regs,
            name,
            exe: file,
            credentials: Arc::new(credentials),
            dumpable: readable && !secure,
            personality,
            auxv: stack.auxv,
        })
    }

    /// Returns the identity under which a program runs, and whether it is more than the caller's (`AT_SECURE`):
    /// `execve(2)` on set-user-ID programs, `capabilities(7)`, "Transformation of capabilities during execve()".
    fn new_credentials(&self, file: &Executable) -> (Credentials, bool) {
        const SECBIT_NOROOT: u32 = 1;
        const SECBIT_KEEP_CAPS: u32 = 1 << 4;
        let old = self.credentials;
        let mut new = old.clone();
        let permissions = file.place.node().permissions();
        // A tracer must not get hold of what it could not do itself.
        let traced = self.tracer.as_ref().is_some_and(|t| !t.credentials().can(Capability::SysPtrace));
        let may_gain =
            !old.no_new_privs && !traced && !file.place.mount.options().contains(MountOptions::NO_SUID);
        if may_gain && permissions.mode & 0o4000 != 0 {
            new.euid = permissions.uid;
        }
        if may_gain && permissions.mode & 0o2010 == 0o2010 {
            new.egid = permissions.gid;
        }
        let set_id = new.euid != old.euid || new.egid != old.egid;
        (new.suid, new.fsuid) = (new.euid, new.euid);
        (new.sgid, new.fsgid) = (new.egid, new.egid);
        if set_id {
            new.ambient = 0;
        }
        let root_gains = new.securebits & SECBIT_NOROOT == 0;
        let by_root = root_gains && (new.euid == 0 || new.uid == 0);
        let (file_permitted, file_inheritable) = if by_root { (u64::MAX, u64::MAX) } else { (0, 0) };
        new.permitted = old.inheritable & file_inheritable | file_permitted & old.bounding | new.ambient;
        new.effective = if root_gains && new.euid == 0 { new.permitted } else { new.ambient };
        new.securebits &= !SECBIT_KEEP_CAPS;
        let secure = set_id
            || new.uid != new.euid
            || new.gid != new.egid
            || new.uid != 0 && new.permitted & !(old.permitted | new.ambient) != 0;
        (new, secure)
    }
}

/// Maps a file's segments; returns the bias.
fn map_file(vm: &Vm, file: &Executable, plan: &LoadPlan, place: layout::Place) -> Result<u64, LoadError> {
    let bias = match place {
        layout::Place::Fixed => 0,
        layout::Place::At(base) => plan.bias_for(base),
        layout::Place::Anywhere(align) => {
            // Room for the whole span is found with a mapping that is taken away again: nobody else uses this space.
            let len = plan.span.saturating_add(align.saturating_sub(hal::PAGE_SIZE as u64));
            let at = vm.map(MapRequest::anonymous(vm::Place::Anywhere, len, Prot::empty()))?;
            vm.unmap(at, len)?;
            plan.bias_for((at.0 + (len - plan.span)) & !(align - 1))
        }
    };
    let source = vm::FileSource::new(&file.place);
    for operation in plan.operations(bias)? {
        match operation {
            Operation::Map { address, len, offset, prot } => {
                let place = vm::Place::Fixed(UserAddr(address));
                let first = offset / hal::PAGE_SIZE as u64;
                vm.map(MapRequest::private_file(
                    place,
                    len,
                    protection(prot),
                    Arc::clone(&source) as _,
                    first,
                ))?;
            }
            Operation::Zero { address, len } => vm.zero_range(UserAddr(address), len)?,
            Operation::Anonymous { address, len, prot } => {
                let place = vm::Place::Fixed(UserAddr(address));
                vm.map(MapRequest::anonymous(place, len, protection(prot)))?;
            }
        }
    }
    Ok(bias)
}

fn protection(prot: loader::plan::Prot) -> Prot {
    let mut out = Prot::empty();
    out.set(Prot::READ, prot.read);
    out.set(Prot::WRITE, prot.write);
    out.set(Prot::EXEC, prot.execute);
    out
}

/// Maps the vDSO with its data below; returns the address of its ELF header.
fn map_vdso(vm: &Vm, vdso: Option<&hal::VdsoImage>, layout: &Layout) -> Result<Option<u64>> {
    let Some(vdso) = vdso else { return Ok(None) };
    let page = hal::PAGE_SIZE as u64;
    let (data, code) = (vdso.data.len() as u64 * page, vdso.code.len() as u64 * page);
    let data_at = match layout.vdso(layout.stack_top - 1, data + code) {
        Some(at) => at,
        None => {
            let at = vm.map(MapRequest::anonymous(vm::Place::Anywhere, data + code, Prot::empty()))?;
            vm.unmap(at, data + code)?;
            at.0
        }
    };
    let at = |address| vm::Place::Fixed(UserAddr(address));
    vm.map(MapRequest::special(at(data_at), vdso.data.clone(), Prot::READ, "[vvar]"))?;
    vm.map(MapRequest::special(at(data_at + data), vdso.code.clone(), Prot::READ | Prot::EXEC, "[vdso]"))?;
    Ok(Some(data_at + data))
}

fn map_stack(vm: &Vm, kind: StackProt, top: UserAddr, stack: &stack::Stack) -> Result<()> {
    let bottom = UserAddr(stack.pointer.saturating_sub(STACK_ROOM)).page();
    let mut prot = Prot::READ | Prot::WRITE;
    prot.set(Prot::EXEC, kind == StackProt::ReadWriteExecute);
    let mut request = MapRequest::anonymous(vm::Place::Fixed(bottom), top.0 - bottom.0, prot);
    request.flags |= vm::AreaFlags::GROWSDOWN;
    vm.map(request)?;
    vm.write_initial(UserAddr(stack.pointer), &stack.bytes)
}

/// Finds the file that `execve` or `execveat` names.
///
/// # Errors
/// Those of [`Loading::open`], `EBADF`, `EINVAL` for a flag.
pub fn open(
    cx: &Context<'_>,
    loading: &Loading<'_>,
    at: Fd,
    path: &[u8],
    flags: Flags,
) -> Result<Executable> {
    if flags.0 & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let follow = if flags.0 & AT_SYMLINK_NOFOLLOW != 0 { Follow::No } else { Follow::Yes };
    let start = crate::handlers::start_of(cx, at, path)?;
    loading.open(&start, path, follow, flags.0 & AT_EMPTY_PATH != 0)
}

impl From<LoadError> for SysError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Errno(errno) => Self::Errno(errno),
            LoadError::Late(error) => Self::Errno(error.errno()),
        }
    }
}
