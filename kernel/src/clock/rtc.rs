//! The battery-backed clock (MC146818), read once for the wall time at boot.

use crate::arch::cpu::{inb, outb};

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;

fn register(number: u8) -> u8 {
    outb(INDEX, number);
    inb(DATA)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> u64 {
    // Years begin in March here, so that the leap day is the last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = y / 4 - y / 100 + y / 400;
    365 * y + leap_days + (153 * m + 2) / 5 + day - 1 - 719_468
}

/// Returns seconds since 1970-01-01T00:00:00Z, if there is a clock with a plausible time.
pub(super) fn read() -> Option<u64> {
    let sample = || [0, 2, 4, 7, 8, 9].map(register);
    // No clock answers with ones; then the update flag never clears either.
    let mut tries = 0;
    let fields = loop {
        while register(10) & 0x80 != 0 {
            tries += 1;
            if tries > 10_000 {
                return None;
            }
        }
        // Two equal samples lie on one side of an update.
        let first = sample();
        if first == sample() {
            break first;
        }
    };
    let mode = register(11);
    let plain = |v: u8| u64::from(if mode & 4 != 0 { v } else { (v >> 4) * 10 + (v & 15) });
    let [second, minute, hour, day, month, year] = fields;
    let afternoon = mode & 2 == 0 && hour & 0x80 != 0;
    let mut hour = plain(if mode & 2 == 0 { hour & 0x7f } else { hour });
    if mode & 2 == 0 {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let (day, month, year) = (plain(day), plain(month), 2000 + plain(year));
    let plausible = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24;
    plausible.then(|| ((days(year, month, day) * 24 + hour) * 60 + plain(minute)) * 60 + plain(second))
}
