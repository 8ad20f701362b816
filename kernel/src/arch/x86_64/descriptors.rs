//! Segments, the task state segment and the interrupt descriptor table.

use core::arch::asm;
use core::cell::UnsafeCell;

use super::cpu;

/// Kernel code segment.
pub(crate) const KERNEL_CS: u64 = 0x10;
/// Application's stack segment, with RPL 3.
pub(crate) const USER_SS: u64 = 0x2b;
/// Application's code segment, with RPL 3.
pub(crate) const USER_CS: u64 = 0x33;
const TSS: u16 = 0x40;
/// Bytes of each stack for the exceptions that must not rely on the current one.
const EMERGENCY_STACK: usize = 4096;

/// The segments, in Linux's order, because applications see CS and SS.
const SEGMENTS: [u64; 8] = [
    0,
    0x00cf_9b00_0000_ffff, // 0x08: 32-bit kernel code, unused
    0x00af_9b00_0000_ffff, // 0x10: kernel code
    0x00cf_9300_0000_ffff, // 0x18: kernel data
    0x00cf_fb00_0000_ffff, // 0x20: 32-bit application code, unused
    0x00cf_f300_0000_ffff, // 0x28: application data
    0x00af_fb00_0000_ffff, // 0x30: application code
    0,
];

/// The task state segment (Intel SDM volume 3, 8.7), packed because its fields are misaligned.
#[repr(C, packed(4))]
struct TaskState {
    reserved0: u32,
    stacks: [u64; 3],
    reserved1: u64,
    interrupt_stacks: [u64; 7],
    reserved2: u64,
    reserved3: u16,
    io_map: u16,
}

/// One processor's descriptors.
#[repr(C, align(16))]
pub(crate) struct Descriptors {
    gdt: UnsafeCell<[u64; 10]>,
    tss: UnsafeCell<TaskState>,
    emergency: UnsafeCell<[[u8; EMERGENCY_STACK]; 2]>,
}

impl Descriptors {
    pub(crate) const fn new() -> Self {
        Self {
            gdt: UnsafeCell::new([0; 10]),
            tss: UnsafeCell::new(TaskState {
                reserved0: 0,
                stacks: [0; 3],
                reserved1: 0,
                interrupt_stacks: [0; 7],
                reserved2: 0,
                reserved3: 0,
                io_map: 104,
            }),
            emergency: UnsafeCell::new([[0; EMERGENCY_STACK]; 2]),
        }
    }

    /// Sets the stack for interrupts from user mode.
    #[inline]
    pub(crate) fn set_kernel_stack(&self, top: u64) {
        self.set_stack(0, top);
    }

    /// Sets one of the 64-bit fields behind the first word: 0 is the stack for ring 0, 4 the first interrupt stack.
    #[inline]
    fn set_stack(&self, field: usize, top: u64) {
        const FIRST: usize = core::mem::offset_of!(TaskState, stacks);
        let at = self.tss.get().cast::<u8>().wrapping_add(FIRST + field * 8).cast::<u64>();
        // SAFETY: the field lies within the TSS; only the owning processor writes to it, and the hardware reads it only on
        // an entry from user mode or an exception.
        unsafe { at.write_unaligned(top) };
    }

    /// Loads them on this processor, which owns them, for ever.
    pub(crate) fn load(&'static self) {
        let tss = self.tss.get().expose_provenance() as u64;
        let emergency = self.emergency.get().expose_provenance() as u64;
        let stack = |n: u64| emergency + (n + 1) * EMERGENCY_STACK as u64;
        self.set_stack(4, stack(0));
        self.set_stack(5, stack(1));
        let mut gdt = [0; 10];
        gdt[..8].copy_from_slice(&SEGMENTS);
        gdt[8] = 103 | (tss & 0xff_ffff) << 16 | 0x89 << 40 | (tss >> 24 & 0xff) << 56;
        gdt[9] = tss >> 32;
        // SAFETY: as above; the boot GDT is in use until `lgdt`.
        unsafe { *self.gdt.get() = gdt };
        let pointer = Pointer { limit: 79, base: self.gdt.get().expose_provenance() as u64 };
        // SAFETY: the new table holds the same code and data segments at the selectors in use; selectors 0 for FS and GS
        // would clear their bases, so those are left alone.
        unsafe {
            asm!(
                "lgdt [{pointer}]",
                "push {cs}", "lea {tmp}, [rip + 2f]", "push {tmp}", "retfq", "2:",
                "mov ds, {zero:e}", "mov es, {zero:e}", "mov ss, {ds:e}",
                "ltr {tss:x}",
                pointer = in(reg) &raw const pointer, cs = const KERNEL_CS, tmp = out(reg) _,
                zero = in(reg) 0, ds = in(reg) 0x18, tss = in(reg) TSS,
            );
        }
        load_idt();
    }
}

#[repr(C, packed(2))]
struct Pointer {
    limit: u16,
    base: u64,
}

/// An interrupt gate (Intel SDM volume 3, 6.14.1).
#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    low: u64,
    high: u64,
}

struct Idt(UnsafeCell<[Gate; 256]>);

// SAFETY: written once by the boot processor before any other runs.
unsafe impl Sync for Idt {}

static IDT: Idt = Idt(UnsafeCell::new([Gate { low: 0, high: 0 }; 256]));

/// Fills the interrupt descriptor table; once, on the boot processor.
pub(crate) fn init_idt() {
    unsafe extern "C" {
        static trap_stubs: u8;
    }
    let stubs = (&raw const trap_stubs).expose_provenance() as u64;
    for (vector, slot) in (0..).zip(gates()) {
        let address = stubs + vector * 16_u64;
        // `int3` and `into` may come from user mode; nothing else, so `int 0x80` is a general protection fault, as on
        // a Linux without 32-bit support.
        let dpl = if vector == 3 || vector == 4 { 3 } else { 0 };
        let stack = match vector {
            2 | 18 => 1,
            8 => 2,
            _ => 0,
        };
        let low = address & 0xffff
            | KERNEL_CS << 16
            | stack << 32
            | (0x8e | dpl << 5) << 40
            | (address >> 16 & 0xffff) << 48;
        *slot = Gate { low, high: address >> 32 };
    }
}

fn gates() -> &'static mut [Gate; 256] {
    // SAFETY: called once, by `init_idt`, while nobody else runs.
    unsafe { &mut *IDT.0.get() }
}

fn load_idt() {
    let pointer = Pointer { limit: 4095, base: IDT.0.get().expose_provenance() as u64 };
    // SAFETY: the table is filled in, and lives for ever.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(readonly, nostack, preserves_flags)) };
}

/// Sets the registers of the `syscall` instruction up on this processor.
pub(crate) fn init_syscall() {
    unsafe extern "C" {
        static syscall_entry: u8;
        static syscall32_entry: u8;
    }
    const EFER: u32 = 0xc000_0080;
    const STAR: u32 = 0xc000_0081;
    const LSTAR: u32 = 0xc000_0082;
    const CSTAR: u32 = 0xc000_0083;
    const FMASK: u32 = 0xc000_0084;
    const SYSENTER_CS: u32 = 0x174;
    cpu::wrmsr(STAR, 0x23 << 48 | KERNEL_CS << 32);
    cpu::wrmsr(LSTAR, (&raw const syscall_entry).expose_provenance() as u64);
    cpu::wrmsr(CSTAR, (&raw const syscall32_entry).expose_provenance() as u64);
    // Everything but the fixed bit, as Linux does: above all IF, DF, TF, NT and AC.
    cpu::wrmsr(FMASK, 0x25_7fd5);
    // A null segment makes `sysenter` a general protection fault.
    cpu::wrmsr(SYSENTER_CS, 0);
    cpu::wrmsr(EFER, cpu::rdmsr(EFER) | 1);
}
