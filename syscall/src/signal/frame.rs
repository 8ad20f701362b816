//! The frame that a handler gets on its stack, exactly as Linux lays it out on x86_64 (`rt_sigframe`).
//!
//! From low to high addresses: the restorer's address (the handler's return address), `ucontext`, `siginfo`, and
//! above, at a multiple of 64, the extended state with the marks around it that say how long it is.

use alloc::vec::Vec;

use abi::Errno;
use abi::signal::{
    FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2, FpxSwBytes, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, SaFlags,
    Sigcontext, Siginfo, StackT, UcFlags, Ucontext,
};
use hal::{ExtendedState, Fault, MachineInfo, USER_END, UserAddr, UserRegs};
use zerocopy::{FromBytes, IntoBytes};

use super::{Action, AltStack, SignalSet, set_mask};
use crate::Context;

/// Bytes below the stack pointer that belong to the function that was interrupted (System V ABI, 3.2.2).
const RED_ZONE: u64 = 128;
/// Bytes of the frame below the extended state.
const FRAME_LEN: u64 = 8 + size_of::<Ucontext>() as u64 + size_of::<Siginfo>() as u64;
/// Offset of `ucontext` in the frame.
const CONTEXT_AT: u64 = 8;
/// Bytes of the `FXSAVE` area.
const FXSAVE_LEN: usize = 512;
/// Offset of the first mark in the `FXSAVE` area.
const MARK_AT: usize = 464;
/// Bytes of the mark behind the extended state.
const END_MARK_LEN: usize = 4;
/// Offset of the list of features in use in the XSAVE header behind the `FXSAVE` area.
const FEATURES_AT: usize = FXSAVE_LEN;
/// Flags that a handler starts without: direction, resume, trap.
const CLEARED_FLAGS: u64 = 1 << 10 | 1 << 16 | 1 << 8;
/// Flags that `rt_sigreturn` takes from the frame: alignment check, overflow, direction, trap, sign, zero, adjust, parity,
/// carry, resume.
const RESTORED_FLAGS: u64 =
    1 << 18 | 1 << 11 | 1 << 10 | 1 << 8 | 1 << 7 | 1 << 6 | 1 << 4 | 1 << 2 | 1 | 1 << 16;

/// Returns the least size of an alternate stack (`AT_MINSIGSTKSZ`).
pub const fn minimum_stack(info: &MachineInfo) -> u64 {
    let extended = if info.extended_len > FXSAVE_LEN { info.extended_len + END_MARK_LEN } else { FXSAVE_LEN };
    // The frame, what alignment may cost, and the red zone.
    (FRAME_LEN + 16 + 64 + RED_ZONE + extended as u64).next_multiple_of(16)
}

/// Pushes a frame and makes the handler the next thing that runs; `mask` comes back when it returns.
///
/// # Errors
/// [`Fault`] where the frame cannot be written, or the handler cannot be called.
pub(super) fn push(cx: &Context<'_>, info: &Siginfo, action: &Action, mask: SignalSet) -> Result<(), Fault> {
    let broken = Fault { done: 0 };
    let signals = &cx.thread.signals;
    let mut regs = cx.regs.borrow_mut();
    let stack = signals.stack();
    let on_stack = stack.holds(regs.rsp);
    let mut top = regs.rsp.wrapping_sub(RED_ZONE);
    let mut entering = false;
    if action.flags.contains(SaFlags::SA_ONSTACK) && !on_stack && stack.size > 0 {
        top = stack.start.wrapping_add(stack.size);
        entering = true;
    }
    let state = extended(cx);
    let state_at = top.wrapping_sub(state.len() as u64) & !63;
    // The stack pointer is at a multiple of 16 before a call pushes the return address.
    let at = (state_at.wrapping_sub(FRAME_LEN) & !15).wrapping_sub(8);
    if (on_stack || entering) && (at <= stack.start || at > stack.start + stack.size) {
        // The alternate stack is full.
        return Err(broken);
    }
    // LINUX: the C library always gives a restorer, and without one there is nothing to return to.
    if !action.flags.contains(SaFlags::SA_RESTORER) || action.handler >= USER_END {
        return Err(broken);
    }
    let trap = signals.trap();
    let flags = UcFlags::UC_SIGCONTEXT_SS | UcFlags::UC_STRICT_RESTORE_SS;
    let has_xsave = if state.len() > FXSAVE_LEN { UcFlags::UC_FP_XSTATE } else { UcFlags::empty() };
    let context = Ucontext {
        uc_flags: (flags | has_xsave).bits(),
        uc_link: 0,
        uc_stack: stack.show(regs.rsp),
        uc_mcontext: Sigcontext {
            err: trap.error,
            trapno: trap.number,
            cr2: trap.cr2,
            oldmask: mask.0,
            fpstate: state_at,
            ..registers(&regs)
        },
        uc_sigmask: mask.0,
    };
    let mut bytes = Vec::with_capacity(size_of::<Ucontext>() + size_of::<Siginfo>() + 8);
    bytes.extend_from_slice(&action.restorer.to_le_bytes());
    bytes.extend_from_slice(context.as_bytes());
    bytes.extend_from_slice(info.as_bytes());
    let memory = cx.memory();
    drop(regs);
    memory.copy_out(UserAddr(state_at), &state)?;
    memory.copy_out(UserAddr(at), &bytes)?;
    if stack.auto_disarm && entering {
        signals.set_stack(AltStack::default());
    }
    regs = cx.regs.borrow_mut();
    regs.rdi = u64::from(info.si_signo.cast_unsigned());
    regs.rsi = at + CONTEXT_AT + size_of::<Ucontext>() as u64;
    regs.rdx = at + CONTEXT_AT;
    regs.rax = 0;
    regs.rip = action.handler;
    regs.rsp = at;
    regs.rflags &= !CLEARED_FLAGS;
    // What follows is no system call that could be repeated.
    regs.orig_rax = u64::MAX;
    Ok(())
}

/// Returns the extended state with its marks, as it lies in the frame.
fn extended(cx: &Context<'_>) -> Vec<u8> {
    let mut state = cx.scheduler().save_extended().0;
    state.resize(state.len().max(FXSAVE_LEN), 0);
    if state.len() == FXSAVE_LEN {
        return state;
    }
    let len = u32::try_from(state.len()).unwrap_or(0);
    let mark = FpxSwBytes {
        magic1: FP_XSTATE_MAGIC1,
        extended_size: len + 4,
        xfeatures: cx.platform().info.xcr0,
        xstate_size: len,
        padding: [0; 7],
    };
    state[MARK_AT..MARK_AT + size_of::<FpxSwBytes>()].copy_from_slice(mark.as_bytes());
    state.extend_from_slice(&FP_XSTATE_MAGIC2.to_le_bytes());
    state
}

fn registers(regs: &UserRegs) -> Sigcontext {
    let selector = |value: u64| u16::try_from(value & 0xffff).unwrap_or(0);
    Sigcontext {
        r8: regs.r8,
        r9: regs.r9,
        r10: regs.r10,
        r11: regs.r11,
        r12: regs.r12,
        r13: regs.r13,
        r14: regs.r14,
        r15: regs.r15,
        rdi: regs.rdi,
        rsi: regs.rsi,
        rbp: regs.rbp,
        rbx: regs.rbx,
        rdx: regs.rdx,
        rax: regs.rax,
        rcx: regs.rcx,
        rsp: regs.rsp,
        rip: regs.rip,
        eflags: regs.rflags,
        cs: selector(regs.cs),
        ss: selector(regs.ss),
        ..Sigcontext::default()
    }
}

/// Takes everything back from a frame, at the end of a handler (`rt_sigreturn(2)`).
///
/// # Errors
/// [`Errno::EFAULT`] for a frame that is broken: the thread gets `SIGSEGV`.
pub(crate) fn return_from_handler(cx: &Context<'_>) -> Result<(), Errno> {
    let memory = cx.memory();
    let broken = |_| Errno::EFAULT;
    // The handler's return has taken the restorer's address off the stack.
    let at = UserAddr(cx.regs.borrow().rsp.wrapping_sub(8));
    let mut bytes = [0; size_of::<Ucontext>()];
    memory.copy_in(at.offset(CONTEXT_AT), &mut bytes).map_err(broken)?;
    let context = Ucontext::read_from_bytes(&bytes).map_err(|_| Errno::EFAULT)?;
    let saved = &context.uc_mcontext;
    // An address outside of user space would fault in the kernel when it is returned to.
    if saved.rip >= USER_END {
        return Err(Errno::EFAULT);
    }
    let state = read_extended(cx, saved.fpstate)?;
    if !cx.scheduler().restore_extended(state.as_ref()) {
        return Err(Errno::EFAULT);
    }
    // What cannot be taken back is left as it is.
    let _ = set_alternate_stack(cx, &context.uc_stack, saved.rsp);
    {
        let mut regs = cx.regs.borrow_mut();
        let regs = &mut **regs;
        let kept = (regs.cs, regs.ss, regs.rflags & !RESTORED_FLAGS);
        *regs = UserRegs {
            r15: saved.r15,
            r14: saved.r14,
            r13: saved.r13,
            r12: saved.r12,
            rbp: saved.rbp,
            rbx: saved.rbx,
            r11: saved.r11,
            r10: saved.r10,
            r9: saved.r9,
            r8: saved.r8,
            rax: saved.rax,
            rcx: saved.rcx,
            rdx: saved.rdx,
            rsi: saved.rsi,
            rdi: saved.rdi,
            orig_rax: u64::MAX,
            rip: saved.rip,
            cs: kept.0,
            rflags: kept.2 | saved.eflags & RESTORED_FLAGS,
            rsp: saved.rsp,
            ss: kept.1,
        };
    }
    set_mask(cx.thread, SignalSet(context.uc_sigmask));
    Ok(())
}

/// Reads the extended state; `None` where the frame has none, which means the initial state.
fn read_extended(cx: &Context<'_>, at: u64) -> Result<Option<ExtendedState>, Errno> {
    if at == 0 {
        return Ok(None);
    }
    let memory = cx.memory();
    let broken = |_| Errno::EFAULT;
    let own_len = cx.platform().info.extended_len.max(FXSAVE_LEN);
    let mut state = alloc::vec![0; own_len];
    memory.copy_in(UserAddr(at), &mut state[..FXSAVE_LEN]).map_err(broken)?;
    if own_len == FXSAVE_LEN {
        return Ok(Some(ExtendedState(state)));
    }
    let mark = FpxSwBytes::read_from_bytes(&state[MARK_AT..MARK_AT + size_of::<FpxSwBytes>()])
        .map_err(|_| Errno::EFAULT)?;
    let len = usize::try_from(mark.xstate_size).unwrap_or(0);
    let sized = mark.magic1 == FP_XSTATE_MAGIC1
        && (FXSAVE_LEN + 64..=own_len).contains(&len)
        && mark.xstate_size <= mark.extended_size;
    let mut end = [0; END_MARK_LEN];
    let ends = sized
        && memory.copy_in(UserAddr(at.wrapping_add(len as u64)), &mut end).is_ok()
        && u32::from_le_bytes(end) == FP_XSTATE_MAGIC2;
    let features = if ends {
        let rest = UserAddr(at.wrapping_add(FXSAVE_LEN as u64));
        memory.copy_in(rest, &mut state[FXSAVE_LEN..len]).map_err(broken)?;
        let mut word = [0; 8];
        word.copy_from_slice(&state[FEATURES_AT..FEATURES_AT + 8]);
        u64::from_le_bytes(word) & mark.xfeatures & cx.platform().info.xcr0
    } else {
        // LINUX: without the marks only the 512 bytes count, and the rest is as at the start of a program.
        cx.platform().info.xcr0 & 3
    };
    state[FEATURES_AT..FEATURES_AT + 8].copy_from_slice(&features.to_le_bytes());
    Ok(Some(ExtendedState(state)))
}

/// Sets the alternate stack (`sigaltstack(2)`).
///
/// # Errors
/// `EPERM` on that stack, `EINVAL` for flags, `ENOMEM` for too small a one.
pub(crate) fn set_alternate_stack(cx: &Context<'_>, new: &StackT, pointer: u64) -> Result<(), Errno> {
    let signals = &cx.thread.signals;
    if signals.stack().holds(pointer) {
        return Err(Errno::EPERM);
    }
    let flags = new.ss_flags.cast_unsigned();
    let mode = flags & !SS_AUTODISARM;
    if mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0 {
        return Err(Errno::EINVAL);
    }
    let auto_disarm = flags & SS_AUTODISARM != 0;
    if mode == SS_DISABLE {
        signals.set_stack(AltStack { start: 0, size: 0, auto_disarm });
        return Ok(());
    }
    if new.ss_size < abi::signal::MINSIGSTKSZ as u64 {
        return Err(Errno::ENOMEM);
    }
    signals.set_stack(AltStack { start: new.ss_sp, size: new.ss_size, auto_disarm });
    Ok(())
}
