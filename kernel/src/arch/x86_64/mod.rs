//! x86_64.

pub(crate) mod apic;
pub(crate) mod copy;
pub(crate) mod cpu;
pub(crate) mod descriptors;
pub(crate) mod features;
pub(crate) mod fpu;
pub(crate) mod identity;
pub(crate) mod ipi;
pub(crate) mod irq;
pub(crate) mod pvh;
pub(crate) mod serial;
pub(crate) mod smp;
pub(crate) mod tlb;
mod trap;

use core::arch::{asm, global_asm};

use crate::cpu::{self as processor, Cpu};
use crate::mm::layout;
use features::{Features, has};

// One text, because macros do not reach from one `global_asm` to the next.
global_asm!(
    include_str!("boot.S"),
    include_str!("macros.S"),
    include_str!("copy.S"),
    include_str!("entry.S")
);

/// The page tables that the assembler filled in.
pub(crate) struct BootTables {
    /// The root, which stays the kernel's own.
    pub(crate) root: *const u64,
    /// Directory of the first GiB.
    pub(crate) first_gib: *const u64,
    /// Directory of the kernel's image.
    pub(crate) image: *const u64,
}

/// Returns the boot tables.
pub(crate) fn boot_tables() -> BootTables {
    unsafe extern "C" {
        static boot_pml4: u64;
        static boot_pd: u64;
        static boot_pd_high: u64;
    }
    BootTables { root: &raw const boot_pml4, first_gib: &raw const boot_pd, image: &raw const boot_pd_high }
}

/// Says whether the processor maps pages of 1 GiB.
pub(crate) fn has_gib_pages() -> bool {
    cpu::cpuid(0x8000_0000, 0)[0] >= 0x8000_0001 && cpu::cpuid(0x8000_0001, 0)[3] & 1 << 26 != 0
}

/// Sets this processor up, before there is memory: it finds out what it is, and patches the code accordingly.
pub(crate) fn init_early() {
    features::detect();
    features::patch_smap_sites();
    features::enable();
    descriptors::init_idt();
    processor::this().descriptors.load();
    descriptors::init_syscall();
    fpu::enable();
    fpu::detect();
    init_tsc_aux(0);
}

/// Lets `rdtscp` and `rdpid` tell the processor's number (Linux's format, with node 0).
pub(crate) fn init_tsc_aux(number: u32) {
    const TSC_AUX: u32 = 0xc000_0103;
    if has(Features::RDTSCP) || has(Features::RDPID) {
        cpu::wrmsr(TSC_AUX, number.into());
    }
}

unsafe extern "C" {
    /// Changes to another kernel stack; see `entry.S`.
    pub(crate) fn switch_stacks(keep: *mut u64, other: u64);
}

const FS_BASE: u32 = 0xc000_0100;
const USER_GS_BASE: u32 = 0xc000_0102;

/// Returns the application's FS base.
pub(crate) fn user_fs_base() -> u64 {
    if has(Features::FSGSBASE) {
        let value;
        // SAFETY: reading a register changes nothing; CR4.FSGSBASE is on.
        unsafe { asm!("rdfsbase {}", out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    } else {
        cpu::rdmsr(FS_BASE)
    }
}

/// Returns the application's GS base, which waits in the other register while the kernel runs.
pub(crate) fn user_gs_base() -> u64 {
    if has(Features::FSGSBASE) {
        let value;
        // SAFETY: nothing uses GS between the two exchanges, and interrupts are off.
        unsafe {
            asm!("swapgs", "rdgsbase {}", "swapgs", out(reg) value, options(nomem, nostack, preserves_flags));
        };
        value
    } else {
        cpu::rdmsr(USER_GS_BASE)
    }
}

/// Sets the application's FS and GS bases; the values are canonical.
pub(crate) fn set_user_bases(fs: u64, gs: u64) {
    if has(Features::FSGSBASE) {
        // SAFETY: the kernel does not use FS, nothing uses GS between the exchanges, and interrupts are off.
        unsafe {
            asm!(
                "wrfsbase {}", "swapgs", "wrgsbase {}", "swapgs", in(reg) fs, in(reg) gs,
                options(nomem, nostack, preserves_flags)
            );
        };
    } else {
        cpu::wrmsr(FS_BASE, fs);
        cpu::wrmsr(USER_GS_BASE, gs);
    }
}

/// Waits for an interrupt and handles it. Interrupts are off before and after.
pub(crate) fn wait_for_interrupt() {
    // SAFETY: interrupts from the kernel are handled on this stack, and `sti` takes effect after `hlt` has begun.
    unsafe { asm!("sti", "hlt", "cli", options(nostack)) };
}

/// Handles the interrupts that wait.
pub(crate) fn take_interrupts() {
    // SAFETY: as in `wait_for_interrupt`.
    unsafe { asm!("sti", "nop", "cli", options(nostack)) };
}

/// Returns the physical address of something in the kernel's image.
pub(crate) fn layout_physical(pointer: *const u8) -> u64 {
    layout::physical(pointer)
}

/// Reads words that a hypervisor wrote.
pub(crate) fn read_volatile_words(words: &[u32; 16]) -> [u32; 16] {
    // SAFETY: a reference is valid to read.
    unsafe { core::ptr::from_ref(words).read_volatile() }
}

/// Points this processor's GS base to its state.
pub(crate) fn set_local_base(base: u64) {
    const GS_BASE: u32 = 0xc000_0101;
    cpu::wrmsr(GS_BASE, base);
}

/// Returns the address of this processor's state.
#[inline(always)]
pub(crate) fn local_base() -> *const Cpu {
    let base;
    // SAFETY: the first word of a `Cpu` is its own address, and the GS base points to one.
    unsafe { asm!("mov {}, gs:[0]", out(reg) base, options(pure, readonly, nostack, preserves_flags)) };
    base
}

/// Returns the current frame pointer.
#[inline(always)]
pub(crate) fn frame_pointer() -> u64 {
    let value;
    // SAFETY: reading a register changes nothing.
    unsafe { asm!("mov {}, rbp", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Follows frame pointers and names each return address.
pub(crate) fn backtrace(mut frame: u64, mut each: impl FnMut(usize, u64)) {
    for depth in 0..32 {
        if frame < layout::DIRECT_MAP || !frame.is_multiple_of(8) {
            break;
        }
        let at = layout::pointer::<[u64; 2]>(frame);
        // SAFETY: frame pointers of kernel code lead from frame to frame of one kernel stack, and end at 0; a broken
        // chain faults, which ends the panic as well as anything could.
        let [next, address] = unsafe { at.read() };
        if address < layout::IMAGE {
            break;
        }
        each(depth, address);
        if next <= frame {
            break;
        }
        frame = next;
    }
}

/// Ends a machine whose kernel panicked: by the ways of the usual hypervisors, then by a triple fault.
pub(crate) fn power_off_after_panic() -> ! {
    // An empty IDT turns the next exception into a triple fault, at which hypervisors reset or end the machine.
    let empty: [u64; 2] = [0; 2];
    // SAFETY: nothing is to run any more.
    unsafe { asm!("lidt [{}]", "int3", in(reg) &raw const empty, options(nostack)) };
    cpu::halt_forever()
}

/// Returns 64 bits of the processor's random number generator, if it has one that works.
pub(crate) fn random_word() -> Option<u64> {
    for _ in 0..10 {
        let (value, good): (u64, u8);
        if has(Features::RDSEED) {
            // SAFETY: CPUID announces the instruction.
            unsafe {
                asm!("rdseed {}", "setc {}", out(reg) value, out(reg_byte) good, options(nomem, nostack))
            };
        } else if has(Features::RDRAND) {
            // SAFETY: CPUID announces the instruction.
            unsafe {
                asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) good, options(nomem, nostack))
            };
        } else {
            return None;
        }
        if good != 0 {
            return Some(value);
        }
    }
    None
}
