//! What is in a process's memory: `maps`, `smaps`, `statm`, `auxv`, `cmdline`, `environ`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Result;
use hal::{Dest, PAGE_SIZE, Prot, UserAddr};
use vfs::Caller;
use vfs::fs::dev;
use vfs::fs::synthetic::File;

use super::Text;
use super::task::Subject;
use crate::vm::{AreaFlags, MapLine, Usage, Vm};

/// Column at which names begin in `maps` on a 64-bit machine.
const NAME_COLUMN: usize = 73;
/// Most bytes of arguments that are shown.
const ARGUMENTS_MAX: u64 = 16 << 20;

/// Adds one line of `proc_pid_maps(5)`.
fn map_line(text: &mut Text, line: &MapLine) {
    let start = text.0.len();
    let (major, minor) = dev::parts(line.name.device);
    let bit = |set, letter| if set { letter } else { '-' };
    put!(text, "{:08x}-{:08x} ", line.start, line.end);
    put!(text, "{}", bit(line.prot.contains(Prot::READ), 'r'));
    put!(text, "{}", bit(line.prot.contains(Prot::WRITE), 'w'));
    put!(text, "{}", bit(line.prot.contains(Prot::EXEC), 'x'));
    put!(text, "{} ", if line.flags.contains(AreaFlags::SHARED) { 's' } else { 'p' });
    put!(text, "{:08x} {major:02x}:{minor:02x} {} ", line.offset, line.name.inode);
    if !line.name.path.is_empty() {
        text.pad(start, NAME_COLUMN);
        text.push_escaped(&line.name.path, b"\n");
    }
    text.push(b"\n");
}

/// `proc_pid_maps(5)`
pub(super) fn maps(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let mut text = Text::default();
    for line in subject.vm().iter().flat_map(|vm| vm.maps()) {
        map_line(&mut text, &line);
    }
    Ok(text)
}

const fn is_file(line: &MapLine) -> bool {
    line.name.device != 0
}

/// Sums of `smaps_rollup`, in bytes.
#[derive(Default)]
struct Sums {
    usage: Usage,
    anonymous: u64,
    file: u64,
    locked: u64,
}

fn kilobytes(text: &mut Text, lines: &[(&str, u64)]) {
    for (name, bytes) in lines {
        put!(text, "{:<16}{:8} kB\n", alloc::format!("{name}:"), bytes / 1024);
    }
}

/// The lines that `smaps` and `smaps_rollup` share, from `Shared_Clean` on.
fn usage_lines(text: &mut Text, usage: &Usage, locked: u64) {
    kilobytes(
        text,
        &[
            ("Shared_Clean", usage.shared_clean),
            ("Shared_Dirty", usage.shared_dirty),
            ("Private_Clean", usage.private_clean),
            ("Private_Dirty", usage.private_dirty),
            ("Referenced", usage.referenced),
            ("Anonymous", usage.anonymous),
            ("LazyFree", 0),
            ("AnonHugePages", 0),
            ("ShmemPmdMapped", 0),
            ("FilePmdMapped", 0),
            ("Shared_Hugetlb", 0),
            ("Private_Hugetlb", 0),
            ("Swap", 0),
            ("SwapPss", 0),
            ("Locked", locked),
        ],
    );
}

/// The part of the proportional size that is dirty.
fn proportional_dirty(usage: &Usage) -> u64 {
    let shared = usage.proportional.saturating_sub(usage.private_clean + usage.private_dirty);
    let all_shared = (usage.shared_clean + usage.shared_dirty).max(1);
    usage.private_dirty + shared * usage.shared_dirty / all_shared
}

fn is_locked(line: &MapLine) -> bool {
    line.flags.intersects(AreaFlags::LOCKED | AreaFlags::LOCK_ON_FAULT)
}

/// `proc_pid_smaps(5)`
pub(super) fn smaps(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let mut text = Text::default();
    let Some(vm) = subject.vm() else { return Ok(text) };
    for line in vm.maps() {
        map_line(&mut text, &line);
        let usage = vm.usage(line.start);
        let page = PAGE_SIZE as u64;
        kilobytes(
            &mut text,
            &[
                ("Size", line.end - line.start),
                ("KernelPageSize", page),
                ("MMUPageSize", page),
                ("Rss", usage.resident),
                ("Pss", usage.proportional),
                ("Pss_Dirty", proportional_dirty(&usage)),
            ],
        );
        let locked = if is_locked(&line) { usage.proportional } else { 0 };
        usage_lines(&mut text, &usage, locked);
        put!(text, "THPeligible:    {}\nVmFlags: ", u32::from(may_be_large(&line)));
        flags(&mut text, &line);
        text.push(b"\n");
    }
    Ok(text)
}

fn may_be_large(line: &MapLine) -> bool {
    const LARGE: u64 = 2 << 20;
    let first = line.start.next_multiple_of(LARGE);
    let private = line.name.inode == 0 && !line.flags.intersects(AreaFlags::SHARED | AreaFlags::NO_HUGE);
    private && line.flags.contains(AreaFlags::HUGE) && first + LARGE <= line.end
}

/// The two-letter codes of `VmFlags`.
fn flags(text: &mut Text, line: &MapLine) {
    let shared = line.flags.contains(AreaFlags::SHARED);
    let protection = [
        (line.prot.contains(Prot::READ), "rd"),
        (line.prot.contains(Prot::WRITE), "wr"),
        (line.prot.contains(Prot::EXEC), "ex"),
        (shared, "sh"),
        (line.may.contains(Prot::READ), "mr"),
        (line.may.contains(Prot::WRITE), "mw"),
        (line.may.contains(Prot::EXEC), "me"),
        (shared && line.may.contains(Prot::WRITE), "ms"),
    ];
    let accounted = line.prot.contains(Prot::WRITE) && !shared && !line.flags.contains(AreaFlags::NORESERVE);
    let codes = [
        (AreaFlags::GROWSDOWN, "gd"),
        (AreaFlags::LOCKED, "lo"),
        (AreaFlags::LOCK_ON_FAULT, "lf"),
        (AreaFlags::SEQUENTIAL, "sr"),
        (AreaFlags::RANDOM, "rr"),
        (AreaFlags::DONTFORK, "dc"),
        (AreaFlags::DONTEXPAND, "de"),
    ];
    let more = [
        (AreaFlags::NORESERVE, "nr"),
        (AreaFlags::WIPEONFORK, "wf"),
        (AreaFlags::DONTDUMP, "dd"),
        (AreaFlags::HUGE, "hg"),
        (AreaFlags::NO_HUGE, "nh"),
        (AreaFlags::MERGEABLE, "mg"),
    ];
    let has = |&(flag, code): &(AreaFlags, &'static str)| line.flags.contains(flag).then_some(code);
    let protection = protection.iter().filter(|(set, _)| *set).map(|(_, code)| *code);
    let account = accounted.then_some("ac");
    for code in
        protection.chain(codes.iter().filter_map(has)).chain(account).chain(more.iter().filter_map(has))
    {
        put!(text, "{code} ");
    }
}

/// `smaps_rollup`: the sums of `smaps` over all mappings (`proc_pid_smaps(5)`).
pub(super) fn smaps_rollup(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let mut text = Text::default();
    let Some(vm) = subject.vm() else { return Err(abi::Errno::ESRCH) };
    let mut sums = Sums::default();
    let lines = vm.maps();
    for line in &lines {
        let one = vm.usage(line.start);
        let all = &mut sums.usage;
        all.resident += one.resident;
        all.proportional += one.proportional;
        all.shared_clean += one.shared_clean;
        all.shared_dirty += one.shared_dirty;
        all.private_clean += one.private_clean;
        all.private_dirty += one.private_dirty;
        all.referenced += one.referenced;
        all.anonymous += one.anonymous;
        *(if is_file(line) { &mut sums.file } else { &mut sums.anonymous }) += one.proportional;
        sums.locked += if is_locked(line) { one.proportional } else { 0 };
    }
    let start = lines.first().map_or(0, |line| line.start);
    let end = lines.last().map_or(0, |line| line.end);
    let at = text.0.len();
    put!(text, "{start:08x}-{end:08x} ---p 00000000 00:00 0 ");
    text.pad(at, NAME_COLUMN);
    put!(text, "[rollup]\n");
    kilobytes(
        &mut text,
        &[
            ("Rss", sums.usage.resident),
            ("Pss", sums.usage.proportional),
            ("Pss_Dirty", proportional_dirty(&sums.usage)),
            ("Pss_Anon", sums.anonymous),
            ("Pss_File", sums.file),
            ("Pss_Shmem", 0),
        ],
    );
    usage_lines(&mut text, &sums.usage, sums.locked);
    Ok(text)
}

/// `proc_pid_statm(5)`
pub(super) fn statm(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let sizes = subject.vm().map(|vm| vm.statistics()).unwrap_or_default();
    let pages = |bytes: u64| bytes / PAGE_SIZE as u64;
    let shared = sizes.resident_file + sizes.resident_shared;
    let data = sizes.data + sizes.stack;
    let mut text = Text::default();
    put!(text, "{} {} {} ", pages(sizes.size), pages(sizes.resident), pages(shared));
    put!(text, "{} 0 {} 0\n", pages(sizes.code), pages(data));
    Ok(text)
}

/// `proc_pid_auxv(5)`
pub(super) fn auxv(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let mut text = Text::default();
    if subject.vm().is_some() {
        let auxv = subject.process.state.lock().auxv.clone();
        for (kind, value) in auxv {
            text.push(&kind.to_ne_bytes());
            text.push(&value.to_ne_bytes());
        }
    }
    Ok(text)
}

fn read(vm: &Arc<Vm>, start: u64, end: u64) -> Vec<u8> {
    let len = end.saturating_sub(start).min(ARGUMENTS_MAX);
    let mut bytes = alloc::vec![0; usize::try_from(len).unwrap_or(0)];
    let read = vm.read_remote(UserAddr(start), &mut bytes);
    bytes.truncate(read);
    bytes
}

/// `proc_pid_mem(5)`: what a debugger reads and writes, also where the process itself may not write.
pub(super) struct Memory(pub(super) Subject);

impl Memory {
    /// DEVIATION: Linux keeps the memory that the process had when the file was opened; here a new program's is found.
    fn vm(&self, caller: &Caller<'_>) -> Result<Option<Arc<Vm>>> {
        self.0.inspect(caller)?;
        Ok(self.0.vm())
    }
}

impl File for Memory {
    fn read(&self, _: &Caller<'_>) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn read_at(&self, offset: u64, to: &mut Dest<'_>, caller: &Caller<'_>) -> Option<Result<usize>> {
        Some(self.copy_out(offset, to, caller))
    }

    fn write(&self, bytes: &[u8], offset: u64, caller: &Caller<'_>) -> Result<usize> {
        let Some(vm) = self.vm(caller)? else { return Ok(0) };
        match vm.write_forced(UserAddr(offset), bytes) {
            0 if !bytes.is_empty() => Err(abi::Errno::EIO),
            written => Ok(written),
        }
    }

    fn open(&self, _: u32, caller: &Caller<'_>) -> Result<()> {
        self.0.inspect(caller)
    }
}

impl Memory {
    fn copy_out(&self, offset: u64, to: &mut Dest<'_>, caller: &Caller<'_>) -> Result<usize> {
        let Some(vm) = self.vm(caller)? else { return Ok(0) };
        let mut bytes = alloc::vec![0; PAGE_SIZE];
        let mut done = 0;
        while to.remaining() > 0 {
            let at = UserAddr(offset.wrapping_add(done as u64));
            let len = (PAGE_SIZE - at.page_offset()).min(to.remaining());
            let read = vm.read_remote(at, &mut bytes[..len]);
            if read == 0 {
                break;
            }
            done += to.push(&bytes[..read])?;
        }
        if done == 0 && to.remaining() > 0 { Err(abi::Errno::EIO) } else { Ok(done) }
    }
}

/// `proc_pid_cmdline(5)`
pub(super) fn cmdline(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let Some(vm) = subject.vm() else { return Ok(Text::default()) };
    let layout = vm.layout();
    let mut bytes = read(&vm, layout.arg_start, layout.arg_end);
    // LINUX: a program that writes its title over the arguments leaves no NUL at their end; the title then ends at the
    // first NUL, which may lie in the environment behind.
    if bytes.last().is_some_and(|&byte| byte != 0) {
        if layout.env_start == layout.arg_end {
            bytes.extend(read(&vm, layout.env_start, layout.env_end));
        }
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
    }
    Ok(Text(bytes))
}

/// `proc_pid_environ(5)`
pub(super) fn environ(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let Some(vm) = subject.vm() else { return Ok(Text::default()) };
    let layout = vm.layout();
    Ok(Text(read(&vm, layout.env_start, layout.env_end)))
}
