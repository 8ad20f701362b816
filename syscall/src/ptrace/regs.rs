//! A tracee's registers, as its tracer sees them.

use alloc::vec::Vec;

use abi::ptrace::UserRegsStruct;
use abi::{Errno, Result};
use hal::{ExtendedState, USER_END, UserRegs};
use zerocopy::{FromBytes, IntoBytes};

use crate::Context;

/// The trap flag.
pub(super) const TF: u64 = 1 << 8;
/// Flags that a tracer may set: carry, parity, adjust, zero, sign, trap, direction, overflow, nested task, resume,
/// alignment check.
const FLAGS: u64 =
    1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | TF | 1 << 10 | 1 << 11 | 1 << 14 | 1 << 16 | 1 << 18;
/// Bytes of the `FXSAVE` area.
const FXSAVE_LEN: usize = 512;
/// Where its software bytes begin: the features that are enabled.
const SOFTWARE_AT: usize = 464;
/// Place of MXCSR, and the bits that it has.
const MXCSR_AT: usize = 24;
const MXCSR_BITS: u32 = 0xffff;
/// Place of the AVX state behind the header, and its length.
const AVX: core::ops::Range<usize> = 576..832;
/// How many registers stand in front of the bases, as in [`UserRegs`].
const INTEGERS: usize = 21;
/// Index of the flags.
const EFLAGS: usize = 18;
/// Index of the code segment and of the stack segment.
const CS: usize = 17;
const SS: usize = 20;
/// Bytes of `struct user`, and the places of the debug registers in it.
const USER_LEN: u64 = 912;
const DEBUG_AT: u64 = 848;
const REGS_LEN: u64 = size_of::<UserRegsStruct>() as u64;

/// The registers of a thread that stands.
pub(crate) struct Held {
    regs: UserRegsStruct,
    extended: Vec<u8>,
    extended_changed: bool,
    /// Features enabled in XCR0.
    features: u64,
}

impl Held {
    /// Takes the calling thread's.
    pub(super) fn take(cx: &Context<'_>) -> Self {
        let r = **cx.regs.borrow();
        let scheduler = cx.scheduler();
        let regs = UserRegsStruct {
            r15: r.r15,
            r14: r.r14,
            r13: r.r13,
            r12: r.r12,
            rbp: r.rbp,
            rbx: r.rbx,
            r11: r.r11,
            r10: r.r10,
            r9: r.r9,
            r8: r.r8,
            rax: r.rax,
            rcx: r.rcx,
            rdx: r.rdx,
            rsi: r.rsi,
            rdi: r.rdi,
            orig_rax: r.orig_rax,
            rip: r.rip,
            cs: r.cs,
            eflags: r.rflags,
            rsp: r.rsp,
            ss: r.ss,
            fs_base: scheduler.fs_base(),
            gs_base: scheduler.gs_base(),
            ..UserRegsStruct::default()
        };
        let mut extended = scheduler.save_extended().0;
        extended.resize(extended.len().max(FXSAVE_LEN), 0);
        let features = cx.platform().info.xcr0;
        if extended.len() > FXSAVE_LEN {
            fill_initial(&mut extended);
        }
        Self { regs, extended, extended_changed: false, features }
    }

    /// Gives them back to the calling thread.
    pub(super) fn give_back(&self, cx: &Context<'_>) {
        let (r, scheduler) = (&self.regs, cx.scheduler());
        **cx.regs.borrow_mut() = UserRegs {
            r15: r.r15,
            r14: r.r14,
            r13: r.r13,
            r12: r.r12,
            rbp: r.rbp,
            rbx: r.rbx,
            r11: r.r11,
            r10: r.r10,
            r9: r.r9,
            r8: r.r8,
            rax: r.rax,
            rcx: r.rcx,
            rdx: r.rdx,
            rsi: r.rsi,
            rdi: r.rdi,
            orig_rax: r.orig_rax,
            rip: r.rip,
            cs: r.cs,
            rflags: r.eflags,
            rsp: r.rsp,
            ss: r.ss,
        };
        if scheduler.fs_base() != r.fs_base {
            scheduler.set_fs_base(r.fs_base);
        }
        if scheduler.gs_base() != r.gs_base {
            scheduler.set_gs_base(r.gs_base);
        }
        if self.extended_changed {
            scheduler.restore_extended(Some(&ExtendedState(self.extended.clone())));
        }
    }

    /// Returns the integer registers.
    pub(crate) const fn regs(&self) -> &UserRegsStruct {
        &self.regs
    }

    pub(super) const fn has_trap_flag(&self) -> bool {
        self.regs.eflags & TF != 0
    }

    pub(super) const fn set_trap_flag(&mut self, on: bool) {
        if on {
            self.regs.eflags |= TF;
        } else {
            self.regs.eflags &= !TF;
        }
    }

    /// Sets the register at an index of `user_regs_struct`.
    ///
    /// # Errors
    /// `EIO` for a value that it cannot have.
    fn set_word(&mut self, index: usize, value: u64) -> Result<()> {
        let mut words = [0_u64; size_of::<UserRegsStruct>() / 8];
        words.as_mut_bytes().copy_from_slice(self.regs.as_bytes());
        let selector = value & 0xffff;
        let value = match index {
            CS | SS if selector & 3 != 3 => return Err(Errno::EIO),
            CS | SS => selector,
            EFLAGS => words[EFLAGS] & !FLAGS | value & FLAGS,
            n if n < INTEGERS => value,
            // The bases of FS and GS.
            21 | 22 if value >= USER_END => return Err(Errno::EIO),
            21 | 22 => value,
            _ if selector != 0 && selector & 3 != 3 => return Err(Errno::EIO),
            // DEVIATION: data segments are kept for the tracer and never loaded; 64-bit programs do not use them.
            _ => selector,
        };
        words[index] = value;
        self.regs = UserRegsStruct::read_from_bytes(words.as_bytes()).map_err(|_| Errno::EIO)?;
        Ok(())
    }

    /// Sets the first integer registers from whole words.
    ///
    /// # Errors
    /// As for [`Self::set_word`]; those before it are set.
    pub(crate) fn set_regs(&mut self, bytes: &[u8]) -> Result<()> {
        for (index, word) in bytes.chunks_exact(8).enumerate() {
            self.set_word(index, u64::from_ne_bytes(word.try_into().map_err(|_| Errno::EIO)?))?;
        }
        Ok(())
    }

    /// Reads a word of `struct user` (`PTRACE_PEEKUSER`).
    ///
    /// # Errors
    /// `EIO`
    pub(crate) fn peek(&self, at: u64) -> Result<u64> {
        if !at.is_multiple_of(8) || at >= USER_LEN {
            return Err(Errno::EIO);
        }
        let start = usize::try_from(at).map_err(|_| Errno::EIO)?;
        let word = self.regs.as_bytes().get(start..).and_then(|rest| rest.first_chunk());
        Ok(word.map_or(0, |word| u64::from_ne_bytes(*word)))
    }

    /// Writes a word of `struct user` (`PTRACE_POKEUSER`).
    ///
    /// # Errors
    /// `EIO`, and `ENOSPC` for a debug register: there are no hardware breakpoints to give out.
    pub(crate) fn poke(&mut self, at: u64, value: u64) -> Result<()> {
        if !at.is_multiple_of(8) || at >= USER_LEN {
            return Err(Errno::EIO);
        }
        if at < REGS_LEN {
            return self.set_word(usize::try_from(at / 8).map_err(|_| Errno::EIO)?, value);
        }
        match at {
            DEBUG_AT.. if value == 0 => Ok(()),
            DEBUG_AT.. => Err(Errno::ENOSPC),
            _ => Err(Errno::EIO),
        }
    }

    /// Returns the `FXSAVE` area.
    pub(crate) fn float(&self) -> &[u8] {
        &self.extended[..FXSAVE_LEN]
    }

    /// Replaces the first bytes of the `FXSAVE` area.
    ///
    /// # Errors
    /// `EINVAL` for an MXCSR that the processor does not have.
    pub(crate) fn set_float(&mut self, bytes: &[u8]) -> Result<()> {
        let len = bytes.len().min(SOFTWARE_AT);
        let mut new = self.extended.clone();
        new[..len].copy_from_slice(&bytes[..len]);
        check_mxcsr(&new)?;
        if new.len() > FXSAVE_LEN {
            new[FXSAVE_LEN] |= 3;
        }
        (self.extended, self.extended_changed) = (new, true);
        Ok(())
    }

    /// Returns the whole extended state, with the enabled features in its software bytes.
    pub(crate) fn xstate(&self) -> Vec<u8> {
        let mut state = self.extended.clone();
        state[SOFTWARE_AT..SOFTWARE_AT + 8].copy_from_slice(&self.features.to_ne_bytes());
        state
    }

    /// Replaces the whole extended state.
    ///
    /// # Errors
    /// `EINVAL` for one that the processor would refuse, `EFAULT` for another length.
    pub(crate) fn set_xstate(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() != self.extended.len() {
            return Err(Errno::EFAULT);
        }
        check_mxcsr(bytes)?;
        let word =
            |at: usize| bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_ne_bytes(*b));
        if bytes.len() > FXSAVE_LEN
            && (word(FXSAVE_LEN) & !self.features != 0
                || (FXSAVE_LEN + 8..FXSAVE_LEN + 64).step_by(8).any(|at| word(at) != 0))
        {
            return Err(Errno::EINVAL);
        }
        let mut new = bytes.to_vec();
        new[SOFTWARE_AT..FXSAVE_LEN].fill(0);
        (self.extended, self.extended_changed) = (new, true);
        Ok(())
    }
}

fn check_mxcsr(state: &[u8]) -> Result<()> {
    let mxcsr =
        state.get(MXCSR_AT..).and_then(|rest| rest.first_chunk()).map_or(0, |w| u32::from_ne_bytes(*w));
    if mxcsr & !MXCSR_BITS == 0 { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Writes the initial values of the parts that the processor has left out because they hold them (Intel SDM volume 1,
/// 13.6). The parts of AVX-512 are left as they are.
fn fill_initial(state: &mut [u8]) {
    let present = state[FXSAVE_LEN];
    if present & 1 == 0 {
        state[..MXCSR_AT].fill(0);
        state[..2].copy_from_slice(&0x37f_u16.to_le_bytes());
        state[32..160].fill(0);
    }
    if present & 2 == 0 {
        state[160..416].fill(0);
    }
    if present & 4 == 0
        && let Some(avx) = state.get_mut(AVX)
    {
        avx.fill(0);
    }
}
