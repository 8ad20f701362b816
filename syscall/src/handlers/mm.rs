//! Memory: mapping, protecting, advising, locking.

use abi::fs::{F_SEAL_FUTURE_WRITE, F_SEAL_WRITE};
use abi::mm::*;
use abi::{Errno, Result};
use hal::{PAGE_SIZE, PageRange, Prot as PageProt, UserAddr};

use crate::decode::{Fd, Flags, Flags64, Out, UserPtr};
use crate::proc::{Capability, Description, Resource};
use crate::vm::{
    Advice, AreaFlags, Backing, FileSource, Invalidate, LockMode, MMAP_MIN_ADDR, MapRequest, PageSource,
    Place, Populate, RemapPlace, RemapRequest, SharedObject, SourceName, Stretch, Sync,
};
use crate::{Context, SysResult};

const PAGE: u64 = PAGE_SIZE as u64;
/// `MADV_*` advice that needs hardware memory errors.
const POISON: [i32; 2] = [MADV_HWPOISON, MADV_SOFT_OFFLINE];
/// The personality bit that makes readable memory executable.
const READ_IMPLIES_EXEC: u32 = 0x040_0000;
/// Flags of `mmap(2)` that `MAP_SHARED_VALIDATE` accepts (Linux's `LEGACY_MAP_MASK`).
const LEGACY_FLAGS: u32 = MAP_TYPE
    | MAP_FIXED
    | MAP_ANONYMOUS
    | MAP_DENYWRITE
    | MAP_EXECUTABLE
    | MAP_UNINITIALIZED
    | MAP_GROWSDOWN
    | MAP_LOCKED
    | MAP_NORESERVE
    | MAP_POPULATE
    | MAP_NONBLOCK
    | MAP_STACK
    | MAP_HUGETLB
    | MAP_32BIT
    | MAP_HUGE_2MB
    | MAP_HUGE_1GB;

/// Reads the protection bits; others are for the caller.
pub(super) fn page_prot(prot: u32) -> PageProt {
    let mut out = PageProt::empty();
    out.set(PageProt::READ, prot & PROT_READ != 0);
    out.set(PageProt::WRITE, prot & PROT_WRITE != 0);
    out.set(PageProt::EXEC, prot & PROT_EXEC != 0);
    out
}

/// Returns how many bytes the caller may lock.
pub(super) fn lock_limit(cx: &Context<'_>) -> u64 {
    if cx.credentials().can(Capability::IpcLock) { u64::MAX } else { cx.process().limit(Resource::Memlock) }
}

/// `mmap(2)`.
pub(crate) fn sys_mmap(
    cx: &Context<'_>,
    at: UserAddr,
    len: u64,
    prot: Flags,
    flags: Flags,
    fd: Fd,
    offset: u64,
) -> SysResult<u64> {
    let flags = flags.0;
    if !offset.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    let description = if flags & MAP_ANONYMOUS == 0 { Some(cx.files().get(fd)?) } else { None };
    if description.as_ref().is_some_and(|d| d.is_path_only()) {
        return Err(Errno::EBADF.into());
    }
    if flags & MAP_HUGETLB != 0 {
        // No pages are set aside for huge pages, so that there is none left to map; a file holds none either.
        return Err(if description.is_some() { Errno::EINVAL } else { Errno::ENOMEM }.into());
    }
    if len == 0 {
        return Err(Errno::EINVAL.into());
    }
    let pages = UserAddr(len).page_up().ok_or(Errno::ENOMEM)?.0 / PAGE;
    let first = offset / PAGE;
    if first.checked_add(pages).is_none_or(|end| end > u64::MAX / PAGE) {
        return Err(Errno::EOVERFLOW.into());
    }
    let mut request = MapRequest::anonymous(place(cx, at, flags)?, len, page_prot(prot.0));
    let personality = cx.process().state.lock().personality;
    if personality & READ_IMPLIES_EXEC != 0 && prot.0 & PROT_READ != 0 {
        request.prot |= PageProt::EXEC;
    }
    request.flags.set(AreaFlags::NORESERVE, flags & MAP_NORESERVE != 0);
    request.lock_limit = lock_limit(cx);
    if flags & MAP_LOCKED != 0 {
        if request.lock_limit == 0 {
            return Err(Errno::EPERM.into());
        }
        request.flags |= AreaFlags::LOCKED;
    }
    if flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE {
        request.populate = Populate::Yes;
    }
    match description {
        Some(description) => map_file(&mut request, &description, flags, first)?,
        None => map_anonymous(&mut request, flags, pages)?,
    }
    Ok(cx.vm().map(request)?.0)
}

fn place(cx: &Context<'_>, at: UserAddr, flags: u32) -> Result<Place> {
    if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
        if at.0 < MMAP_MIN_ADDR && !cx.credentials().can(Capability::SysRawio) {
            return Err(Errno::EPERM);
        }
        return Ok(if flags & MAP_FIXED_NOREPLACE != 0 {
            Place::FixedNoReplace(at)
        } else {
            Place::Fixed(at)
        });
    }
    Ok(match flags & MAP_32BIT {
        0 if at.is_null() => Place::Anywhere,
        0 => Place::Hint(at),
        _ => Place::Low,
    })
}

fn map_anonymous(request: &mut MapRequest, flags: u32, pages: u64) -> Result<()> {
    match flags & MAP_TYPE {
        MAP_SHARED => {
            if flags & MAP_GROWSDOWN != 0 {
                return Err(Errno::EINVAL);
            }
            share_zeros(request, pages);
        }
        MAP_PRIVATE => request.flags.set(AreaFlags::GROWSDOWN, flags & MAP_GROWSDOWN != 0),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// Makes the mapping one of new memory that children share.
fn share_zeros(request: &mut MapRequest, pages: u64) {
    let name = SourceName { path: b"/dev/zero (deleted)".to_vec(), device: 1, inode: 1 };
    request.backing = Backing::Source(SharedObject::new(pages, name), 0);
    request.flags |= AreaFlags::SHARED;
}

fn map_file(request: &mut MapRequest, description: &Description, flags: u32, first: u64) -> Result<()> {
    let shared = match flags & MAP_TYPE {
        MAP_SHARED => true,
        MAP_SHARED_VALIDATE if flags & !LEGACY_FLAGS != 0 => return Err(Errno::EOPNOTSUPP),
        MAP_SHARED_VALIDATE => true,
        MAP_PRIVATE => false,
        _ => return Err(Errno::EINVAL),
    };
    let writes = request.prot.contains(PageProt::WRITE);
    if shared && writes && !description.writable() || !description.readable() {
        return Err(Errno::EACCES);
    }
    let file = description.file().ok_or(Errno::ENODEV)?;
    let source = FileSource::with_node(file.place(), file.node());
    if !source.may_execute() {
        if request.prot.contains(PageProt::EXEC) {
            return Err(Errno::EPERM);
        }
        request.may -= PageProt::EXEC;
    }
    if !file.node().mappable() {
        return Err(Errno::ENODEV);
    }
    if flags & MAP_GROWSDOWN != 0 {
        return Err(Errno::EINVAL);
    }
    if vfs::fs::dev::is_zero(&**file.node()) {
        // LINUX: /dev/zero is another name for anonymous memory.
        if shared {
            share_zeros(request, UserAddr(request.len).page_up().ok_or(Errno::ENOMEM)?.0 / PAGE);
        }
        return Ok(());
    }
    if shared {
        let sealed = file.node().seals().is_ok_and(|seals| seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) != 0);
        if sealed && writes {
            return Err(Errno::EPERM);
        }
        if sealed || !description.writable() {
            request.may -= PageProt::WRITE;
        }
        request.flags |= AreaFlags::SHARED;
    }
    request.backing = Backing::Source(source, first);
    Ok(())
}

/// `munmap(2)`.
pub(crate) fn sys_munmap(cx: &Context<'_>, at: UserAddr, len: u64) -> SysResult<()> {
    Ok(cx.vm().unmap(at, len)?)
}

/// `mprotect(2)`.
pub(crate) fn sys_mprotect(cx: &Context<'_>, at: UserAddr, len: u64, prot: Flags) -> SysResult<()> {
    let grows = prot.0 & (PROT_GROWSDOWN | PROT_GROWSUP);
    if grows == PROT_GROWSDOWN | PROT_GROWSUP || !at.is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(());
    }
    let prot = prot.0 & !grows;
    let end = UserAddr(len).page_up().and_then(|len| at.0.checked_add(len.0)).ok_or(Errno::ENOMEM)?;
    if prot & !(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM) != 0 {
        return Err(Errno::EINVAL.into());
    }
    // LINUX: nothing grows up on this architecture.
    if grows == PROT_GROWSUP {
        return Err(Errno::EINVAL.into());
    }
    let stretch = if grows == PROT_GROWSDOWN { Stretch::Down } else { Stretch::No };
    Ok(cx.vm().protect(at, end - at.0, page_prot(prot), stretch)?)
}

/// `mremap(2)`.
pub(crate) fn sys_mremap(
    cx: &Context<'_>,
    at: UserAddr,
    old_len: u64,
    new_len: u64,
    flags: Flags,
    to: UserAddr,
) -> SysResult<u64> {
    let flags = MremapFlags::from_bits(flags.0).ok_or(Errno::EINVAL)?;
    let moves = flags.contains(MremapFlags::MREMAP_MAYMOVE);
    let fixed = flags.contains(MremapFlags::MREMAP_FIXED);
    let leaves = flags.contains(MremapFlags::MREMAP_DONTUNMAP);
    if (fixed || leaves) && !moves || leaves && old_len != new_len {
        return Err(Errno::EINVAL.into());
    }
    let place = match (fixed, leaves) {
        (true, true) => RemapPlace::LeaveTo(to),
        (true, false) => RemapPlace::To(to),
        (false, true) => RemapPlace::Leave,
        (false, false) if moves => RemapPlace::MayMove,
        (false, false) => RemapPlace::Stay,
    };
    let request = RemapRequest { at, old_len, new_len, place, lock_limit: lock_limit(cx) };
    Ok(cx.vm().remap(request)?.0)
}

/// `brk(2)`.
pub(crate) fn sys_brk(cx: &Context<'_>, end: UserAddr) -> SysResult<u64> {
    Ok(cx.vm().brk(end, lock_limit(cx)).0)
}

fn advice(number: i32) -> Option<Advice> {
    Some(match number {
        MADV_NORMAL => Advice::Normal,
        MADV_RANDOM => Advice::Random,
        MADV_SEQUENTIAL => Advice::Sequential,
        MADV_WILLNEED => Advice::WillNeed,
        MADV_DONTNEED | MADV_DONTNEED_LOCKED => Advice::DontNeed,
        MADV_FREE => Advice::Free,
        MADV_REMOVE => Advice::Remove,
        MADV_DONTFORK => Advice::DontFork,
        MADV_DOFORK => Advice::DoFork,
        MADV_MERGEABLE => Advice::Mergeable,
        MADV_UNMERGEABLE => Advice::Unmergeable,
        MADV_HUGEPAGE => Advice::HugePage,
        MADV_NOHUGEPAGE => Advice::NoHugePage,
        MADV_DONTDUMP => Advice::DontDump,
        MADV_DODUMP => Advice::DoDump,
        MADV_WIPEONFORK => Advice::WipeOnFork,
        MADV_KEEPONFORK => Advice::KeepOnFork,
        MADV_COLD => Advice::Cold,
        MADV_PAGEOUT => Advice::PageOut,
        MADV_POPULATE_READ => Advice::PopulateRead,
        MADV_POPULATE_WRITE => Advice::PopulateWrite,
        _ => return None,
    })
}

/// `madvise(2)`.
pub(crate) fn sys_madvise(cx: &Context<'_>, at: UserAddr, len: u64, number: i32) -> SysResult<()> {
    // Pages cannot be poisoned, and are never gathered into large ones behind the application's back.
    if POISON.contains(&number) || number == MADV_COLLAPSE {
        return Err(Errno::EINVAL.into());
    }
    let advice = advice(number).ok_or(Errno::EINVAL)?;
    if !at.is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    let rounded = UserAddr(len).page_up().ok_or(Errno::EINVAL)?;
    let end = at.0.checked_add(rounded.0).ok_or(Errno::EINVAL)?;
    if end == at.0 {
        return Ok(());
    }
    let range = PageRange::try_new(at, UserAddr(end)).ok_or(Errno::ENOMEM)?;
    Ok(cx.vm().advise(range, advice)?)
}

/// `mincore(2)`.
pub(crate) fn sys_mincore(cx: &Context<'_>, at: UserAddr, len: u64, to: UserPtr<u8, Out>) -> SysResult<()> {
    if !at.is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    let range = PageRange::try_from_len(at, len).ok_or(Errno::ENOMEM)?;
    // A page of answers at a time.
    let mut start = range.start();
    let mut done = 0;
    while start < range.end() {
        let end = UserAddr(start.0.saturating_add(PAGE * PAGE).min(range.end().0));
        let part = PageRange::try_new(start, end).ok_or(Errno::ENOMEM)?;
        let answer = cx.vm().in_core(part)?;
        cx.memory().copy_out(to.addr().offset(done), &answer)?;
        done += answer.len() as u64;
        start = end;
    }
    Ok(())
}

/// `msync(2)`.
pub(crate) fn sys_msync(cx: &Context<'_>, at: UserAddr, len: u64, flags: Flags) -> SysResult<()> {
    let flags = MsyncFlags::from_bits(flags.0).ok_or(Errno::EINVAL)?;
    if !at.is_page_aligned() || flags.contains(MsyncFlags::MS_ASYNC | MsyncFlags::MS_SYNC) {
        return Err(Errno::EINVAL.into());
    }
    let rounded = UserAddr(len).page_up().ok_or(Errno::ENOMEM)?;
    let end = at.0.checked_add(rounded.0).ok_or(Errno::ENOMEM)?;
    if end == at.0 {
        return Ok(());
    }
    let range = PageRange::try_new(at, UserAddr(end)).ok_or(Errno::ENOMEM)?;
    let sync = if flags.contains(MsyncFlags::MS_SYNC) { Sync::Wait } else { Sync::Later };
    let invalidate = if flags.contains(MsyncFlags::MS_INVALIDATE) { Invalidate::Yes } else { Invalidate::No };
    Ok(cx.vm().sync(range, sync, invalidate)?)
}

/// Reads the range of the lock calls, which need not be at pages.
fn lock_range(at: UserAddr, len: u64) -> Result<PageRange> {
    let end = at.0.checked_add(len).ok_or(Errno::EINVAL)?;
    let end = UserAddr(end).page_up().ok_or(Errno::EINVAL)?;
    PageRange::try_new(at.page(), end).ok_or(Errno::ENOMEM)
}

fn lock(cx: &Context<'_>, at: UserAddr, len: u64, mode: LockMode) -> SysResult<()> {
    let limit = lock_limit(cx);
    if limit == 0 {
        return Err(Errno::EPERM.into());
    }
    let range = lock_range(at, len)?;
    if range.is_empty() {
        return Ok(());
    }
    Ok(cx.vm().lock(range, mode, limit)?)
}

/// `mlock(2)`.
pub(crate) fn sys_mlock(cx: &Context<'_>, at: UserAddr, len: u64) -> SysResult<()> {
    lock(cx, at, len, LockMode::Now)
}

/// `mlock2(2)`.
pub(crate) fn sys_mlock2(cx: &Context<'_>, at: UserAddr, len: u64, flags: Flags) -> SysResult<()> {
    match flags.0 {
        0 => lock(cx, at, len, LockMode::Now),
        MLOCK_ONFAULT => lock(cx, at, len, LockMode::OnFault),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `munlock(2)`.
pub(crate) fn sys_munlock(cx: &Context<'_>, at: UserAddr, len: u64) -> SysResult<()> {
    let range = lock_range(at, len)?;
    if range.is_empty() {
        return Ok(());
    }
    Ok(cx.vm().unlock(range)?)
}

/// `mlockall(2)`.
pub(crate) fn sys_mlockall(cx: &Context<'_>, flags: Flags) -> SysResult<()> {
    let flags = MclFlags::from_bits(flags.0).ok_or(Errno::EINVAL)?;
    if flags.is_empty() || flags == MclFlags::MCL_ONFAULT {
        return Err(Errno::EINVAL.into());
    }
    let limit = lock_limit(cx);
    if limit == 0 {
        return Err(Errno::EPERM.into());
    }
    let mode = if flags.contains(MclFlags::MCL_ONFAULT) { LockMode::OnFault } else { LockMode::Now };
    let when = |flag| flags.contains(flag).then_some(mode);
    Ok(cx.vm().lock_all(when(MclFlags::MCL_CURRENT), when(MclFlags::MCL_FUTURE), limit)?)
}

/// `munlockall(2)`.
pub(crate) fn sys_munlockall(cx: &Context<'_>) -> SysResult<()> {
    cx.vm().unlock_all();
    Ok(())
}

/// `remap_file_pages(2)`: Linux, too, makes separate mappings of it since 4.0.
pub(crate) fn sys_remap_file_pages(
    cx: &Context<'_>,
    at: UserAddr,
    len: u64,
    prot: Flags,
    page: u64,
    flags: Flags,
) -> SysResult<()> {
    let start = at.page();
    let len = len & !(PAGE - 1);
    if prot.0 != 0 || len == 0 || start.0.checked_add(len).is_none() {
        return Err(Errno::EINVAL.into());
    }
    let lock = flags.0 & MAP_NONBLOCK == 0;
    Ok(cx.vm().remap_pages(start, len, page, if lock { Populate::Yes } else { Populate::No })?)
}

/// `pkey_alloc(2)`: what Linux answers where the processor has no protection keys.
pub(crate) fn sys_pkey_alloc(_: &Context<'_>, flags: Flags64, rights: Flags64) -> SysResult<i32> {
    if flags.0 != 0 || rights.0 & !u64::from(PKEY_ACCESS_MASK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    Err(Errno::ENOSPC.into())
}

/// `pkey_free(2)`: no key was ever given out.
pub(crate) fn sys_pkey_free(_: &Context<'_>, _key: i32) -> SysResult<()> {
    Err(Errno::EINVAL.into())
}

/// `pkey_mprotect(2)`: without a key, that is with key -1, `mprotect(2)`.
pub(crate) fn sys_pkey_mprotect(
    cx: &Context<'_>,
    at: UserAddr,
    len: u64,
    prot: Flags,
    key: i32,
) -> SysResult<()> {
    if key != -1 {
        return Err(Errno::EINVAL.into());
    }
    sys_mprotect(cx, at, len, prot)
}
