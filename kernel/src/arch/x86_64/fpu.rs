//! The application's extended state: x87, SSE, AVX and AVX-512.
//!
//! The kernel is compiled without any of it, so the registers hold the running thread's state all the time; it is
//! saved when the thread leaves the processor.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::vec::Vec;
use core::arch::asm;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::cpu::cpuid;
use super::features::{Features, has};

/// Bytes that FXSAVE writes.
const LEGACY: usize = 512;
const HEADER: usize = 64;
/// x87, SSE, AVX, and the three parts of AVX-512.
const SUPPORTED: u64 = 0b1110_0111;

static XCR0: AtomicU64 = AtomicU64::new(0);
static LEN: AtomicUsize = AtomicUsize::new(LEGACY);
static MXCSR_MASK: AtomicU64 = AtomicU64::new(0xffbf);

/// Enables the state components on this processor.
pub(crate) fn enable() {
    if has(Features::XSAVE) {
        let supported = cpuid(0xd, 0);
        let mask = (u64::from(supported[3]) << 32 | u64::from(supported[0])) & SUPPORTED;
        // SAFETY: OSXSAVE is on, and CPUID announces these components.
        unsafe {
            asm!("xsetbv", in("ecx") 0, in("eax") u32::try_from(mask).unwrap_or(0), in("edx") 0, options(nomem, nostack));
        };
        XCR0.store(mask, Ordering::Relaxed);
        LEN.store(cpuid(0xd, 0)[1] as usize, Ordering::Relaxed);
    }
}

/// Finds out which MXCSR bits the processor has. Once, after `enable`; changes no register.
pub(crate) fn detect() {
    #[repr(align(16))]
    struct Image([u8; LEGACY]);
    let mut image = Image([0; LEGACY]);
    // SAFETY: the image is as large and as aligned as FXSAVE wants.
    unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut image, options(nostack, preserves_flags)) };
    let mask = u32::from_le_bytes([image.0[28], image.0[29], image.0[30], image.0[31]]);
    if mask != 0 {
        MXCSR_MASK.store(mask.into(), Ordering::Relaxed);
    }
}

/// Returns the enabled components; 0 without XSAVE.
pub(crate) fn xcr0() -> u64 {
    XCR0.load(Ordering::Relaxed)
}

/// Returns the bytes of a saved state.
pub(crate) fn len() -> usize {
    LEN.load(Ordering::Relaxed)
}

/// Memory for a thread's saved state.
pub(crate) struct Area(NonNull<u8>);

// SAFETY: the area is plain memory that belongs to one thread.
unsafe impl Send for Area {}
// SAFETY: as above; `save` and `restore` are called by the processor that runs the thread.
unsafe impl Sync for Area {}

fn layout() -> Layout {
    Layout::from_size_align(len(), 64).expect("a small size")
}

impl Area {
    /// Makes one with the state after `execve`; `None` if there is no memory.
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: the layout's size is not zero.
        let area = Self(NonNull::new(unsafe { alloc_zeroed(layout()) })?);
        area.reset();
        Some(area)
    }

    fn bytes(&self) -> *mut u8 {
        self.0.as_ptr()
    }

    /// Sets the state after `execve`: FCW 0x37f, MXCSR 0x1f80, the rest zero.
    fn reset(&self) {
        // SAFETY: the area has `len()` bytes and is ours.
        unsafe { self.bytes().write_bytes(0, len()) };
        // SAFETY: as above.
        unsafe { self.bytes().cast::<u16>().write(0x37f) };
        // SAFETY: as above.
        unsafe { self.bytes().wrapping_add(24).cast::<u32>().write(0x1f80) };
    }

    /// Saves the registers.
    #[inline]
    pub(crate) fn save(&self) {
        let at = self.bytes();
        if has(Features::XSAVEOPT) {
            // SAFETY: the area is aligned and large enough for every enabled component.
            unsafe { asm!("xsaveopt64 [{}]", in(reg) at, in("eax") !0, in("edx") !0, options(nostack)) };
        } else if has(Features::XSAVE) {
            // SAFETY: as above.
            unsafe { asm!("xsave64 [{}]", in(reg) at, in("eax") !0, in("edx") !0, options(nostack)) };
        } else {
            // SAFETY: as above, for FXSAVE.
            unsafe { asm!("fxsave64 [{}]", in(reg) at, options(nostack)) };
        }
    }

    /// Loads the registers.
    #[inline]
    pub(crate) fn restore(&self) {
        let at = self.bytes();
        if has(Features::XSAVE) {
            // SAFETY: the area holds what `save` or `reset` wrote, or what `set` checked.
            unsafe { asm!("xrstor64 [{}]", in(reg) at, in("eax") !0, in("edx") !0, options(nostack)) };
        } else {
            // SAFETY: as above.
            unsafe { asm!("fxrstor64 [{}]", in(reg) at, options(nostack)) };
        }
    }

    /// Copies the saved state out.
    pub(crate) fn get(&self) -> Vec<u8> {
        // SAFETY: the area has `len()` initialised bytes, which nobody writes meanwhile.
        unsafe { core::slice::from_raw_parts(self.bytes().cast_const(), len()) }.to_vec()
    }

    /// Replaces the saved state; `None` is that after `execve`. Returns `false`, changing nothing, for bytes that the
    /// processor would refuse to load.
    pub(crate) fn set(&self, state: Option<&[u8]>) -> bool {
        let Some(state) = state else {
            self.reset();
            return true;
        };
        if state.len() != len() || !acceptable(state) {
            return false;
        }
        // SAFETY: the lengths are equal, and the area is ours.
        unsafe { self.bytes().copy_from_nonoverlapping(state.as_ptr(), state.len()) };
        true
    }
}

/// Checks what XRSTOR or FXRSTOR check (Intel SDM volume 1, 13.8.1): MXCSR, and the header's reserved bits.
fn acceptable(state: &[u8]) -> bool {
    let word =
        |at: usize| state.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    let mxcsr = word(24) & 0xffff_ffff;
    if mxcsr & !MXCSR_MASK.load(Ordering::Relaxed) != 0 {
        return false;
    }
    if !has(Features::XSAVE) {
        return true;
    }
    state.len() >= LEGACY + HEADER
        && word(LEGACY) & !xcr0() == 0
        && (LEGACY + 8..LEGACY + HEADER).step_by(8).all(|at| word(at) == 0)
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout.
        unsafe { dealloc(self.bytes(), layout()) };
    }
}
