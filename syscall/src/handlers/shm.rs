//! Shared memory of System V.

use core::sync::atomic::Ordering;

use abi::ipc::*;
use abi::mm::{PROT_EXEC, PROT_READ, PROT_WRITE};
use abi::{Errno, Result};
use alloc::boxed::Box;
use alloc::sync::Arc;
use hal::{PAGE_SIZE, Prot, UserAddr};

use super::mm::page_prot;
use crate::decode::{Flags, InOut, UserPtr};
use crate::ipc::shm::Segment;
use crate::ipc::table::{EXECUTE, READ, WRITE};
use crate::proc::{Capability, Resource};
use crate::vm::{AreaFlags, Backing, MMAP_MIN_ADDR, MapRequest, Place};
use crate::{Context, SysResult};

const PAGE: u64 = PAGE_SIZE as u64;
/// Where attachments may begin (`SHMLBA`).
const BOUNDARY: u64 = PAGE;

/// `shmget(2)`.
pub(crate) fn sys_shmget(cx: &Context<'_>, key: i32, size: u64, flags: Flags) -> SysResult<i32> {
    let (segments, flags, who) = (&cx.system().ipc.shm, flags.0, cx.credentials());
    loop {
        let fits = |segment: &Segment| if segment.size() < size { Err(Errno::EINVAL) } else { Ok(()) };
        if let Some(id) = segments.table.find(key, flags, &who, fits)? {
            return Ok(id);
        }
        segments.check_size(size, flags)?;
        if flags & SHM_HUGETLB != 0 {
            return Err(no_huge_pages(cx, size).into());
        }
        if let Some(id) = segments.add(key, size, flags, &who, cx.process().pid())? {
            return Ok(id);
        }
    }
}

/// Says why there are no huge pages: not everybody may have them, and no pages are set aside for those who may.
fn no_huge_pages(cx: &Context<'_>, size: u64) -> Errno {
    let who = cx.credentials();
    // LINUX: `vm.hugetlb_shm_group` is 0, and who may lock as much memory may have huge pages.
    let may =
        who.can(Capability::IpcLock) || who.in_group(0) || cx.process().limit(Resource::Memlock) >= size;
    if may { Errno::ENOMEM } else { Errno::EPERM }
}

/// `shmat(2)`.
pub(crate) fn sys_shmat(cx: &Context<'_>, id: i32, at: UserAddr, flags: Flags) -> SysResult<u64> {
    let flags = flags.0;
    let at = attach_place(id, at, flags)?;
    let (mut prot, mut wanted) = (PROT_READ | PROT_WRITE, READ | WRITE);
    if flags & SHM_RDONLY != 0 {
        (prot, wanted) = (PROT_READ, READ);
    }
    if flags & SHM_EXEC != 0 {
        (prot, wanted) = (prot | PROT_EXEC, wanted | EXECUTE);
    }
    let segment = cx.system().ipc.shm.table.get(id)?;
    let attachment = segment.attach(&cx.credentials(), wanted, cx.process().pid())?;
    let object = Arc::clone(segment.object());
    let place = match at {
        None => Place::Anywhere,
        Some(at) if flags & SHM_REMAP != 0 => Place::Fixed(at),
        Some(at) if at.0.checked_add(segment.size()).is_none() => return Err(Errno::EINVAL.into()),
        Some(at) => Place::FixedNoReplace(at),
    };
    if at.is_some_and(|at| at.0 < MMAP_MIN_ADDR) && !cx.credentials().can(Capability::SysRawio) {
        return Err(Errno::EPERM.into());
    }
    let mut request = MapRequest::anonymous(place, segment.size(), page_prot(prot));
    request.backing = Backing::Source(object, 0);
    request.flags |= AreaFlags::SHARED;
    if flags & SHM_RDONLY != 0 {
        request.may -= Prot::WRITE;
    }
    request.lock_limit = super::mm::lock_limit(cx);
    request.attachment = Some(Box::new(attachment));
    match cx.vm().map(request) {
        // LINUX: what is in the way is a bad address, unless it is to be replaced.
        Err(Errno::EEXIST) => Err(Errno::EINVAL.into()),
        other => Ok(other?.0),
    }
}

/// Checks and rounds the address of an attachment; `None` leaves the choice to the kernel.
fn attach_place(id: i32, at: UserAddr, flags: u32) -> Result<Option<UserAddr>> {
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    if at.is_null() {
        return if flags & SHM_REMAP != 0 { Err(Errno::EINVAL) } else { Ok(None) };
    }
    if at.0.is_multiple_of(BOUNDARY) {
        return Ok(Some(at));
    }
    if flags & SHM_RND == 0 {
        return Err(Errno::EINVAL);
    }
    let rounded = UserAddr(at.0 / BOUNDARY * BOUNDARY);
    if rounded.is_null() && flags & SHM_REMAP != 0 { Err(Errno::EINVAL) } else { Ok(Some(rounded)) }
}

/// `shmdt(2)`.
pub(crate) fn sys_shmdt(cx: &Context<'_>, at: UserAddr) -> SysResult<()> {
    Ok(cx.vm().detach(at)?)
}

/// `shmctl(2)`.
pub(crate) fn sys_shmctl(cx: &Context<'_>, id: i32, command: i32, to: UserAddr) -> SysResult<i32> {
    let segments = &cx.system().ipc.shm;
    let command = u32::try_from(command).map_err(|_| Errno::EINVAL)?;
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    match command {
        IPC_INFO => {
            let limits = Shminfo {
                shmmax: segments.max.load(Ordering::Relaxed),
                shmmin: SHMMIN,
                shmmni: u64::from(segments.table.limit.load(Ordering::Relaxed)),
                shmseg: u64::from(segments.table.limit.load(Ordering::Relaxed)),
                shmall: segments.all.load(Ordering::Relaxed),
                _unused: [0; 4],
            };
            UserPtr::<Shminfo, InOut>::new(to).write(cx, &limits)?;
            Ok(segments.table.usage().1)
        }
        SHM_INFO => {
            let (used, highest) = segments.table.usage();
            let resident = segments.table.all().iter().map(|s| s.object().resident_pages()).sum();
            let info = ShmInfo {
                used_ids: i32::try_from(used).unwrap_or(i32::MAX),
                _pad: 0,
                shm_tot: segments.total_pages(),
                shm_rss: resident,
                shm_swp: 0,
                swap_attempts: 0,
                swap_successes: 0,
            };
            UserPtr::<ShmInfo, InOut>::new(to).write(cx, &info)?;
            Ok(highest)
        }
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
            let segment = if command == IPC_STAT { segments.table.get(id) } else { segments.table.at(id) }?;
            if command != SHM_STAT_ANY {
                crate::ipc::table::Keyed::permissions(&*segment).allow(&cx.credentials(), READ)?;
            }
            let report = segment.report();
            UserPtr::<ShmidDs, InOut>::new(to).write(cx, &report.status)?;
            Ok(if command == IPC_STAT { 0 } else { report.id })
        }
        IPC_SET => {
            let new = UserPtr::<ShmidDs, InOut>::new(to).read(cx)?;
            segments.table.get(id)?.set(&cx.credentials(), &new.shm_perm)?;
            Ok(0)
        }
        IPC_RMID => {
            segments.table.get(id)?.remove(&cx.credentials())?;
            Ok(0)
        }
        SHM_LOCK | SHM_UNLOCK => {
            let limit = cx.process().limit(Resource::Memlock);
            segments.table.get(id)?.lock(&cx.credentials(), command == SHM_LOCK, limit)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}
