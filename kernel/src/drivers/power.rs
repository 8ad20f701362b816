//! Switching off, and the power button.
//!
//! Ways off, in the order in which they are tried: ACPI's soft-off state; ACPI's reset register; the keyboard
//! controller and the chip set's reset port, which end the machine where the hypervisor takes a reset for its end
//! (QEMU with `-no-reboot`, Firecracker); at last a triple fault. None of them waits for a device to appear.

use alloc::sync::Arc;

use super::console::console;
use super::region::Region;
use super::tables::Line;
use super::tables::acpi::{Fadt, Register};
use super::{firmware, machine};
use crate::arch::cpu::{inw, outb, outw};
use crate::log::log;

/// Bits of PM1 (ACPI 6.5, section 4.8.3).
mod pm1 {
    pub(super) const POWER_BUTTON: u16 = 1 << 8;
    pub(super) const SCI_ENABLED: u16 = 1;
    pub(super) const SLEEP_TYPE: u32 = 10;
    pub(super) const SLEEP: u16 = 1 << 13;
}

const SIGTERM: u32 = 15;

/// The machine's power.
pub(crate) struct Power;

impl hal::Power for Power {
    fn exit(&self, wait_status: u32) -> ! {
        console().finish(wait_status);
        off()
    }
}

/// Switches off at once.
pub(crate) fn off() -> ! {
    if let Some(fadt) = firmware::known().and_then(|f| f.fadt) {
        soft_off(&fadt);
        if let Some((register, value)) = fadt.reset {
            write(register, value);
            settle();
        }
    }
    // The keyboard controller's command that pulses the reset line, and the chip set's reset with a full cycle.
    outb(0x64, 0xfe);
    outb(0xcf9, 0x06);
    machine::triple_fault()
}

fn soft_off(fadt: &Fadt) {
    let kind = firmware::sleep_type_off();
    if let (Some(port), Some(kind)) = (fadt.pm1a_control, kind) {
        outw(port, u16::from(kind) << pm1::SLEEP_TYPE | pm1::SLEEP);
        settle();
    }
    if let (Some(register), Some(kind)) = (fadt.sleep_control, kind) {
        // Section 4.8.3.7: sleep type in bits 2 to 4, sleep enable in bit 5.
        write(register, kind << 2 | 1 << 5);
        settle();
    }
}

/// Gives the hypervisor a moment to take what was written, before the next way is tried.
fn settle() {
    for _ in 0..20_000_000 {
        core::hint::spin_loop();
    }
}

fn write(register: Register, value: u8) {
    match register {
        Register::Port(port) => outb(port, value),
        Register::Memory(address) => {
            if let Some(region) = Region::device(address, 1) {
                region.write8(0, value);
            }
        }
    }
}

/// Lets the power button mean SIGTERM to the application.
pub(super) fn listen_to_button() {
    let Some(fadt) = firmware::known().and_then(|f| f.fadt).filter(|f| f.fixed_power_button) else { return };
    let (Some((status, len)), Some(control)) = (fadt.pm1a_event, fadt.pm1a_control) else { return };
    if inw(control) & pm1::SCI_ENABLED == 0
        && let Some((port, value)) = fadt.enable
    {
        outb(port, value);
    }
    let enable = status + u16::from(len / 2);
    let handler = Arc::new(move || {
        if inw(status) & pm1::POWER_BUTTON != 0 {
            // Writing the bit clears it, and with it the line.
            outw(status, pm1::POWER_BUTTON);
            console().signal(SIGTERM);
        }
    });
    // PCs wire it to an ISA interrupt; the override of that number says how, and this is how without one.
    let line = Line { level: true, low: true };
    match u8::try_from(fadt.sci).ok().map(|isa| machine::listen_isa_as(isa, line, handler)) {
        Some(Ok(())) => outw(enable, pm1::POWER_BUTTON),
        _ => log!(Warn, "the power button's interrupt {} cannot be had", fadt.sci),
    }
}
