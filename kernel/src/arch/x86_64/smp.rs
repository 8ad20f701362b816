//! Starting the other processors (Intel SDM volume 3, 9.4).

use alloc::boxed::Box;
use core::arch::global_asm;
use core::sync::atomic::Ordering;

use super::cpu::{cr4, set_cr3, set_cr4};
use super::descriptors;
use super::{apic, copy, features, fpu};
use crate::clock;
use crate::cpu::{self, Cpu, MAX_CPUS};
use crate::log::log;
use crate::mm::{self, layout, table};
use crate::sched;

global_asm!(include_str!("ap.S"));

/// Longest wait for a processor to report.
const PATIENCE_NS: u64 = 200_000_000;
/// Wait before a second start-up signal, for processors that missed the first.
const RETRY_NS: u64 = 1_000_000;
const STACK: usize = 16 << 10;

/// What the start code reads; the layout is that of `ap_fields`.
#[repr(C)]
struct Fields {
    entry: u64,
    cpu: u64,
    stack: u64,
    root: u64,
    jump32: u32,
    jump32_cs: u32,
    jump64: u32,
    jump64_cs: u32,
    gdt_limit: u16,
    gdt_base: [u16; 2],
    padding: u16,
}

/// Starts processors with these APIC numbers, beside the running one, and waits until they take work.
pub(crate) fn start(apics: impl Iterator<Item = u32>) {
    unsafe extern "C" {
        static ap_start: u8;
        static ap_start32: u8;
        static ap_start64: u8;
        static ap_fields: u8;
        static ap_end: u8;
    }
    let own = apic::id();
    let mut others = apics.filter(|&apic| apic != own).take(MAX_CPUS - 1).peekable();
    if others.peek().is_none() {
        return;
    }
    let Some(page) = mm::trampoline_page() else {
        log!(Warn, "no memory below 1 MiB to start other processors from");
        return;
    };
    let start = (&raw const ap_start).addr();
    let offset = |symbol: *const u8| (symbol.addr() - start) as u64;
    // SAFETY: the page is kept for this, and the code is shorter than a page.
    unsafe { copy::copy(layout::direct(page), &raw const ap_start, (&raw const ap_end).addr() - start) };
    let Some(identity) = Identity::new() else { return };
    let fields = layout::direct(page + offset(&raw const ap_fields)).cast::<Fields>();
    let low = |address: u64| u32::try_from(address).unwrap_or(0);
    let gdt = page + offset(&raw const ap_fields) + size_of::<Fields>() as u64;
    let gdt = low(gdt);
    let mut template = Fields {
        entry: (ap_main as extern "C" fn(&'static Cpu) -> ! as *const ()).addr() as u64,
        cpu: 0,
        stack: 0,
        root: table::kernel_root(),
        jump32: low(page + offset(&raw const ap_start32)),
        jump32_cs: 0x20,
        jump64: low(page + offset(&raw const ap_start64)),
        jump64_cs: 0x10,
        gdt_limit: 39,
        gdt_base: [(gdt & 0xffff) as u16, (gdt >> 16) as u16],
        padding: 0,
    };
    for (number, apic) in (1_u32..).zip(others) {
        let state: &'static Cpu = Box::leak(Box::new(Cpu::new()));
        let stack = Box::leak(alloc::vec![0_u8; STACK].into_boxed_slice());
        template.cpu = core::ptr::from_ref(state).expose_provenance() as u64;
        template.stack = stack.as_mut_ptr_range().end.expose_provenance() as u64 & !15;
        state.apic.store(apic, Ordering::Relaxed);
        cpu::register(state, number);
        // SAFETY: the fields lie in the trampoline's page, and no processor is reading them: the last one is up.
        unsafe { fields.write(Fields { ..template }) };
        if !start_one(apic, number, page) {
            log!(Warn, "processor {number} (APIC {apic}) does not start");
            cpu::unregister(number);
            break;
        }
    }
    drop(identity);
}

fn start_one(apic: u32, number: u32, page: u64) -> bool {
    let up = || cpu::online() & 1 << number != 0;
    let begin = clock::monotonic_ns();
    let mut signals = 0;
    apic::send_init(apic);
    loop {
        let waited = clock::monotonic_ns() - begin;
        if signals == 0 || (signals == 1 && waited > RETRY_NS) {
            apic::send_startup(apic, page);
            signals += 1;
        }
        if up() {
            return true;
        }
        if waited > PATIENCE_NS {
            return false;
        }
        super::ipi::relax();
    }
}

/// The first 2 MiB mapped at their physical address, executable, while processors switch paging on.
struct Identity {
    tables: [u64; 2],
}

impl Identity {
    fn new() -> Option<Self> {
        let tables = [table::new_table()?, table::new_table()?];
        let flags = table::PRESENT | table::WRITABLE;
        table::Table::at(tables[1]).set(0, flags | table::LARGE);
        table::Table::at(tables[0]).set(0, tables[1] | flags);
        table::Table::at(table::kernel_root()).set(0, tables[0] | flags);
        Some(Self { tables })
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        table::Table::at(table::kernel_root()).set(0, 0);
        super::tlb::flush_kernel(0, u64::MAX);
        for table in self.tables {
            table::free(table);
        }
    }
}

/// The first Rust code of a started processor.
extern "C" fn ap_main(state: &'static Cpu) -> ! {
    super::set_local_base(core::ptr::from_ref(state).expose_provenance() as u64);
    features::enable();
    state.descriptors.load();
    descriptors::init_syscall();
    fpu::enable();
    apic::enable();
    super::init_tsc_aux(state.number());
    sched::adopt_idle();
    // The boot code turned global pages on late; start with a clean cache.
    set_cr4(cr4());
    set_cr3(table::kernel_root());
    cpu::set_online();
    sched::run()
}
