//! Interrupts of devices: I/O APIC inputs and message-signalled ones.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use hal::sync::{Lock, rank};

use super::{apic, ipi};
use crate::clock::timer;
use crate::cpu;
use crate::drivers::tables::{Line, Topology};
use crate::log::log;
use crate::mm;

/// What an interrupt calls: with interrupts off and no lock held. It must not park.
pub(crate) type Handler = Arc<dyn Fn() + Send + Sync>;

/// First and last vector of devices.
const FIRST: u32 = 0x30;
const LAST: u32 = 0xef;

/// Handlers by vector; a list is replaced, never changed, so that an interrupt needs no lock.
static HANDLERS: [AtomicPtr<Vec<Handler>>; 256] = [const { AtomicPtr::new(core::ptr::null_mut()) }; 256];
static NEXT: AtomicU32 = AtomicU32::new(FIRST);

/// An I/O APIC.
struct Controller {
    registers: AtomicPtr<u32>,
    first_gsi: u32,
    inputs: u32,
}

impl Controller {
    fn register(&self, number: u32) -> (*mut u32, *mut u32) {
        let base = self.registers.load(Ordering::Relaxed);
        // SAFETY: `init` mapped the registers; the index register selects what the window shows.
        unsafe { base.write_volatile(number) };
        (base, base.wrapping_add(4))
    }

    fn read(&self, number: u32) -> u32 {
        let (_, window) = self.register(number);
        // SAFETY: as in `register`.
        unsafe { window.read_volatile() }
    }

    fn write(&self, number: u32, value: u32) {
        let (_, window) = self.register(number);
        // SAFETY: as in `register`.
        unsafe { window.write_volatile(value) };
    }
}

struct Routes {
    controllers: Vec<Controller>,
    /// Inputs in use, with their vectors.
    gsis: Vec<(u32, u32)>,
}

static ROUTES: Lock<Routes, { rank::DRIVER }> =
    Lock::new(Routes { controllers: Vec::new(), gsis: Vec::new() });

/// What a device writes where to interrupt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Msi {
    /// Physical address.
    pub(crate) address: u64,
    /// Value.
    pub(crate) data: u32,
}

/// Maps the I/O APICs, all inputs masked.
pub(crate) fn init(topology: &Topology) {
    let mut routes = ROUTES.lock();
    for io_apic in &topology.io_apics {
        let registers = mm::map_device(io_apic.address.into(), 0x20);
        let mut controller = Controller {
            registers: AtomicPtr::new(registers.cast()),
            first_gsi: io_apic.first_gsi,
            inputs: 0,
        };
        controller.inputs = (controller.read(1) >> 16 & 0xff) + 1;
        routes.controllers.push(controller);
    }
    if routes.controllers.is_empty() {
        log!(Warn, "no I/O APIC: devices without message-signalled interrupts do not work");
    }
}

fn add(vector: u32, handler: Handler) {
    let slot = &HANDLERS[vector as usize & 255];
    let old = slot.load(Ordering::Acquire);
    // SAFETY: lists are never freed.
    let mut list = unsafe { old.as_ref() }.cloned().unwrap_or_default();
    list.push(handler);
    // The old list stays: an interrupt on another processor may be going through it.
    slot.store(Box::leak(Box::new(list)), Ordering::Release);
}

fn new_vector() -> Option<u32> {
    NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |v| (v <= LAST).then_some(v + 1)).ok()
}

/// Lets an I/O APIC's input call a handler; several may share one. `false` if there is no such input, or no vector left.
pub(crate) fn register_gsi(gsi: u32, line: Line, handler: Handler) -> bool {
    let mut routes = ROUTES.lock();
    if let Some(&(_, vector)) = routes.gsis.iter().find(|r| r.0 == gsi) {
        add(vector, handler);
        return true;
    }
    let found = routes.controllers.iter().position(|c| c.first_gsi <= gsi && gsi < c.first_gsi + c.inputs);
    let Some(at) = found else { return false };
    let Some(vector) = new_vector() else { return false };
    routes.gsis.push((gsi, vector));
    add(vector, handler);
    let controller = &routes.controllers[at];
    let input = 0x10 + 2 * (gsi - controller.first_gsi);
    let target = boot_apic();
    controller.write(input + 1, target << 24);
    controller.write(input, vector | u32::from(line.low) << 13 | u32::from(line.level) << 15);
    true
}

/// Lets a message call a handler on the processor of this number; `None` if there is no vector left.
pub(crate) fn register_msi(processor: usize, handler: Handler) -> Option<Msi> {
    let vector = new_vector()?;
    add(vector, handler);
    let apic = cpu::by_id(processor).map(|cpu| cpu.apic.load(Ordering::Relaxed));
    // A message has eight bits for the target; whoever has a greater number is stood for by the boot processor.
    let target = apic.filter(|&apic| apic < 0xff).unwrap_or_else(boot_apic);
    Some(Msi { address: 0xfee0_0000 | u64::from(target) << 12, data: vector })
}

/// All lines interrupt the boot processor: its APIC number is below 256 on every machine.
fn boot_apic() -> u32 {
    cpu::by_id(0).map_or(0, |cpu| cpu.apic.load(Ordering::Relaxed)) & 0xff
}

/// Handles one interrupt.
pub(crate) fn dispatch(vector: u64) {
    match vector {
        apic::TIMER_VECTOR => {
            apic::end_of_interrupt();
            timer::interrupt();
        }
        apic::IPI_VECTOR => {
            apic::end_of_interrupt();
            ipi::interrupt();
        }
        apic::SPURIOUS_VECTOR => {}
        _ => {
            let list = HANDLERS[usize::try_from(vector & 255).unwrap_or(0)].load(Ordering::Acquire);
            // SAFETY: lists are never freed.
            for handler in unsafe { list.as_ref() }.into_iter().flatten() {
                handler();
            }
            // A level-triggered input comes again if its device still asks, so the end is signalled last.
            apic::end_of_interrupt();
        }
    }
}
