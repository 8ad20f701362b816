//! Memory policy and placement: there is one memory node, number 0.

use alloc::sync::Arc;
use alloc::vec;

use abi::mm::*;
use abi::{Errno, Result};
use hal::{PAGE_SIZE, PageRange, UserAddr};

use crate::decode::{Flags, In, Out, UserPtr};
use crate::proc::Capability;
use crate::vm::Vm;
use crate::{Context, SysResult};

const PAGE: u64 = PAGE_SIZE as u64;
/// The one memory node there is.
const NODE: u64 = 1;

/// Reads a mask of memory nodes; only node 0 exists.
fn node_mask(cx: &Context<'_>, at: UserAddr, bits: u64) -> Result<u64> {
    // LINUX: the count is one too large.
    let bits = bits.saturating_sub(1);
    if at.is_null() || bits == 0 {
        return Ok(0);
    }
    if bits > PAGE * 8 {
        return Err(Errno::EINVAL);
    }
    let words = usize::try_from(bits.div_ceil(64)).map_err(|_| Errno::EINVAL)?;
    let mask = UserPtr::<u64, In>::new(at).read_many(cx, words)?;
    let (first, rest) = mask.split_first().ok_or(Errno::EINVAL)?;
    let used = if bits < 64 { first & ((1 << bits) - 1) } else { *first };
    if used & !NODE != 0 || rest.iter().any(|&word| word != 0) {
        return Err(Errno::EINVAL);
    }
    Ok(used)
}

/// Checks a memory policy: with one node every valid policy means the same.
fn check_policy(cx: &Context<'_>, mode: u32, mask: UserAddr, bits: u64) -> Result<()> {
    let flags = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING;
    let (mode, flags) = (mode & !flags, mode & flags);
    let both = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES;
    if mode >= MPOL_MAX || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let nodes = node_mask(cx, mask, bits)?;
    match mode {
        MPOL_DEFAULT | MPOL_LOCAL if nodes != 0 => Err(Errno::EINVAL),
        MPOL_BIND | MPOL_INTERLEAVE | MPOL_PREFERRED_MANY if nodes == 0 => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

/// `mbind(2)`.
pub(crate) fn sys_mbind(
    cx: &Context<'_>,
    at: UserAddr,
    len: u64,
    mode: u32,
    mask: UserAddr,
    bits: u64,
    flags: Flags,
) -> SysResult<()> {
    if flags.0 & !(MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL) != 0 || !at.is_page_aligned() {
        return Err(Errno::EINVAL.into());
    }
    if flags.0 & MPOL_MF_MOVE_ALL != 0 && !cx.credentials().can(Capability::SysNice) {
        return Err(Errno::EPERM.into());
    }
    check_policy(cx, mode, mask, bits)?;
    let range = PageRange::try_from_len(at, len).ok_or(Errno::EINVAL)?;
    if range.is_empty() || cx.vm().is_mapped(range) { Ok(()) } else { Err(Errno::EFAULT.into()) }
}

/// `set_mempolicy(2)`.
pub(crate) fn sys_set_mempolicy(cx: &Context<'_>, mode: u32, mask: UserAddr, bits: u64) -> SysResult<()> {
    Ok(check_policy(cx, mode, mask, bits)?)
}

/// `get_mempolicy(2)`.
pub(crate) fn sys_get_mempolicy(
    cx: &Context<'_>,
    mode: UserPtr<u32, Out>,
    mask: UserAddr,
    bits: u64,
    at: UserAddr,
    flags: Flags,
) -> SysResult<()> {
    let flags = flags.0;
    if flags & !(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let allowed = flags & MPOL_F_MEMS_ALLOWED != 0;
    if allowed && flags & (MPOL_F_NODE | MPOL_F_ADDR) != 0 || !mask.is_null() && bits < 64 {
        return Err(Errno::EINVAL.into());
    }
    if flags & MPOL_F_ADDR != 0 {
        let range = PageRange::try_from_len(at.page(), PAGE).ok_or(Errno::EFAULT)?;
        if !cx.vm().is_mapped(range) {
            return Err(Errno::EFAULT.into());
        }
    } else if !at.is_null() || flags & MPOL_F_NODE != 0 {
        // Asking for the next node of an interleaved policy needs such a policy.
        return Err(Errno::EINVAL.into());
    }
    if let Some(mode) = mode.non_null() {
        mode.write(cx, &MPOL_DEFAULT)?;
    }
    if !mask.is_null() {
        let len = usize::try_from(bits.min(PAGE * 8).div_ceil(64) * 8).map_err(|_| Errno::EINVAL)?;
        let mut bytes = vec![0; len];
        bytes[0] = u8::from(allowed);
        cx.memory().copy_out(mask, &bytes)?;
    }
    Ok(())
}

/// `set_mempolicy_home_node(2)`.
pub(crate) fn sys_set_mempolicy_home_node(
    _: &Context<'_>,
    at: UserAddr,
    len: u64,
    node: u64,
    flags: Flags,
) -> SysResult<()> {
    if !at.is_page_aligned() || flags.0 != 0 || node != 0 {
        return Err(Errno::EINVAL.into());
    }
    let end = UserAddr(len).page_up().and_then(|len| at.0.checked_add(len.0)).ok_or(Errno::EINVAL)?;
    if end == at.0 {
        return Ok(());
    }
    // Only ranges that mbind(2) bound to nodes have a home, and those it keeps unbound.
    Err(Errno::ENOENT.into())
}

/// `move_pages(2)`, of the calling process: every page is on node 0.
pub(crate) fn sys_move_pages(
    cx: &Context<'_>,
    pid: i32,
    count: u64,
    pages: UserPtr<u64, In>,
    nodes: UserPtr<i32, In>,
    status: UserPtr<i32, Out>,
    flags: Flags,
) -> SysResult<()> {
    if flags.0 & !(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL) != 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags.0 & MPOL_MF_MOVE_ALL != 0 && !cx.credentials().can(Capability::SysNice) {
        return Err(Errno::EPERM.into());
    }
    let vm: Arc<Vm> = if pid == 0 {
        cx.vm()
    } else {
        let process = cx.system().process(pid.cast_unsigned()).ok_or(Errno::ESRCH)?;
        process.try_vm().ok_or(Errno::EINVAL)?
    };
    for i in 0..usize::try_from(count).map_err(|_| Errno::E2BIG)? {
        let at = UserAddr(pages.add(i).read(cx)?).page();
        if !nodes.is_null() {
            match nodes.add(i).read(cx)? {
                0 => {}
                _ => return Err(Errno::ENODEV.into()),
            }
        }
        let on_node = match PageRange::try_from_len(at, PAGE) {
            Some(range) if !vm.is_mapped(range) => -Errno::EFAULT.number(),
            Some(_) if vm.space().lookup(at).is_none() => -Errno::ENOENT.number(),
            Some(_) => 0,
            None => -Errno::EFAULT.number(),
        };
        status.add(i).write(cx, &on_node)?;
    }
    Ok(())
}
