//! `membarrier(2)`.

use abi::Errno;
use abi::futex::*;

use crate::decode::Flags;
use crate::{Context, SysResult};

/// What works without and with registration.
const PLAIN: i32 = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED;
const REGISTRATIONS: i32 = MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED
    | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED
    | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;
const PRIVATE: i32 = MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE;

/// `membarrier(2)`.
pub(crate) fn sys_membarrier(cx: &Context<'_>, command: i32, flags: Flags, _cpu: i32) -> SysResult<i32> {
    // The commands for restartable sequences come with those.
    if flags.0 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let vm = cx.vm();
    match command {
        MEMBARRIER_CMD_QUERY => return Ok(PLAIN | REGISTRATIONS | PRIVATE),
        MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED => cx.scheduler().barrier(None),
        _ if command.count_ones() == 1 && command & REGISTRATIONS != 0 => vm.register_barrier(command),
        MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE => {
            // Each command's registration is the next bit.
            if !vm.has_barrier(command << 1) {
                return Err(Errno::EPERM.into());
            }
            // A processor that is interrupted comes back with an instruction that serialises (IRET).
            cx.scheduler().barrier(Some(vm.space().as_ref()));
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
