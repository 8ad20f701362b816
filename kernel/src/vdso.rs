//! The vDSO: the image that every process maps, and the page below it that tells it the time.

use alloc::vec;
use core::sync::atomic::{AtomicPtr, Ordering};

use abi::vdso::{CLOCKS, FLAG_RDPID, FLAG_RDTSCP, MODE_NONE, MODE_TSC, VdsoData};
use hal::sync::{Lock, rank};
use hal::{Frame, PAGE_SIZE, VdsoImage};
use loader::vdso::{Times, publish};

use crate::arch::features::{Features, has};
use crate::clock;
use crate::log::log;
use crate::mm::layout;

/// Built from `libc-shim` by the build script.
static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vdso.so"));

/// The data page, once there is one. The lock makes writers take turns.
static DATA: Lock<AtomicPtr<VdsoData>, { rank::LEAF }> = Lock::new(AtomicPtr::new(core::ptr::null_mut()));

/// Makes the pages. Without memory for them, or with an image that does not hold together, there is no vDSO, and
/// programs make system calls instead.
pub(crate) fn init() -> Option<VdsoImage> {
    if let Err(error) = loader::vdso::check(IMAGE) {
        log!(Error, "the vDSO's image is broken: {error}");
        return None;
    }
    let mut code = vec![];
    for page in IMAGE.chunks(PAGE_SIZE) {
        let frame = Frame::zeroed().ok()?;
        frame.write(0, page);
        code.push(frame);
    }
    let data = Frame::zeroed().ok()?;
    let pointer = layout::direct(u64::from(data.number().get()) << 12).cast();
    DATA.lock().store(pointer, Ordering::Relaxed);
    // The image's pages are never given back, and neither is the data page, which the clock goes on writing.
    core::mem::forget(data.clone());
    update();
    Some(VdsoImage { data: vec![data], code, sigreturn: None })
}

/// What `clock_getres(2)` answers for the coarse clocks, whether asked here or by a call: Linux's tick at 250 Hz.
const COARSE_NS: u32 = 4_000_000;

/// Writes the clocks' present state into the data page.
pub(crate) fn update() {
    let data = DATA.lock();
    let pointer = data.load(Ordering::Relaxed);
    // SAFETY: null, or the page that `init` keeps for ever; `VdsoData` is made of atomics.
    let Some(page) = (unsafe { pointer.as_ref() }) else { return };
    let (tsc_base, offset) = clock::bases();
    let realtime = u64::try_from(offset).unwrap_or(0);
    let mut base_ns = [0; CLOCKS];
    // REALTIME, REALTIME_COARSE, TAI; the others count from the start of the machine.
    for clock in [0, 5, 11] {
        base_ns[clock] = realtime;
    }
    let mut flags = 0;
    if has(Features::RDTSCP) {
        flags |= FLAG_RDTSCP;
    }
    if has(Features::RDPID) {
        flags |= FLAG_RDPID;
    }
    // A wall clock before 1970 has no base that the page can hold.
    let mode = if offset < 0 { MODE_NONE } else { MODE_TSC };
    let mult = clock::mult();
    let times = Times {
        mode,
        flags,
        tsc_base,
        mult,
        raw_mult: mult,
        base_ns,
        coarse_ns: COARSE_NS,
        ..Times::default()
    };
    publish(page, &times);
}
