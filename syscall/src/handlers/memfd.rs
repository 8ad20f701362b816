//! `memfd_create(2)`.

use alloc::sync::Arc;

use abi::Errno;
use abi::fs::{
    F_SEAL_EXEC, F_SEAL_SEAL, MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_EXEC, MFD_HUGETLB, MFD_NOEXEC_SEAL,
    O_LARGEFILE, O_RDWR,
};
use hal::UserAddr;
use vfs::{Dentry, OpenFile, Place};

use super::file::install;
use crate::decode::{Flags, read_string};
use crate::proc::{CloseOnExec, Description};
use crate::{Context, SysResult};

/// Longest name (`MFD_NAME_MAX_LEN`): what is left of `NAME_MAX` behind `memfd:`.
const NAME_MAX: usize = 255 - 6;

/// `memfd_create(2)`.
pub(crate) fn sys_memfd_create(cx: &Context<'_>, name: UserAddr, flags: Flags) -> SysResult<i32> {
    let flags = flags.0;
    if flags & !(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC) != 0
        || flags & MFD_EXEC != 0 && flags & MFD_NOEXEC_SEAL != 0
    {
        return Err(Errno::EINVAL.into());
    }
    let name = read_string(cx.memory(), name, NAME_MAX + 1)?.ok_or(Errno::EINVAL)?;
    if flags & MFD_HUGETLB != 0 {
        // As a machine that has no pages set aside for it.
        return Err(Errno::ENOMEM.into());
    }
    let who = cx.credentials();
    let (mode, seals) = match flags & (MFD_NOEXEC_SEAL | MFD_ALLOW_SEALING) {
        0 => (0o777, F_SEAL_SEAL),
        MFD_ALLOW_SEALING => (0o777, 0),
        // Being sealed against execution implies that it may be sealed further.
        _ => (0o666, F_SEAL_EXEC),
    };
    let (memory, mount) = &cx.system().files.memory;
    let node = memory.memory_file(mode, who.fsuid, who.fsgid, seals)?;
    let dentry = Dentry::new_root(node, &[b"memfd:", name.as_slice(), b" (deleted)"].concat());
    let file = OpenFile::unnamed(Place { mount: Arc::clone(mount), dentry }, O_RDWR | O_LARGEFILE)?;
    Ok(install(cx, Description::of_file(file), CloseOnExec::from_bit(flags & MFD_CLOEXEC != 0))?.0)
}
