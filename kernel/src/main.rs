//! Hull's kernel: the machine under the seams of `hal`.
//!
//! The modules named here with `allow(unsafe_code)` are all that may hold unsafe code.
#![no_std]
#![no_main]

extern crate alloc;

#[allow(unsafe_code, reason = "instructions, assembly, descriptor tables")]
mod arch;
mod boot;
mod clock;
#[allow(unsafe_code, reason = "state of each processor, reached through the GS base")]
mod cpu;
mod drivers;
mod entropy;
mod log;
#[allow(unsafe_code, reason = "page tables, frames, the heap")]
mod mm;
mod panic;
mod platform;
#[allow(unsafe_code, reason = "frames of the boot module become references")]
mod root;
#[allow(unsafe_code, reason = "switching stacks, threads that own themselves")]
mod sched;
#[allow(unsafe_code, reason = "the data page that user mode reads")]
mod vdso;

use abi::boot::Config;
use abi::channel;
use hal::Stream;

use crate::boot::BootInfo;
use crate::log::log;

/// Called by the entry code with the address of the PVH loader's structure. The order matters: each step may use what
/// the steps before it set up.
#[allow(unsafe_code, reason = "the entry code calls it by this name")]
#[unsafe(no_mangle)]
extern "C" fn kernel_main(start_info: u32) -> ! {
    let entered = arch::cpu::rdtsc();
    cpu::init_boot();
    arch::init_early();
    let boot = arch::pvh::read(start_info);
    mm::init(&boot);
    platform::install_hooks();
    sched::adopt_idle();
    let config = boot::config(&boot);
    if let Some(level) = config.log {
        log::set_level(level);
    }
    let firmware = drivers::firmware::read(boot.rsdp);
    arch::apic::init();
    arch::irq::init(&firmware.topology);
    clock::init(config.tsc_khz);
    entropy::init();
    cpu::set_online();
    start_processors(&config, &firmware.topology);
    drivers::init(&config);
    log!(Debug, "entered {entered} ticks after reset, started in {}", arch::cpu::rdtsc() - entered);
    start_system(&boot, config);
    sched::run()
}

/// Starts the other processors: those that the firmware lists, or else as many as the option says, by number.
fn start_processors(config: &Config, topology: &drivers::tables::Topology) {
    let limit = config.cpus.unwrap_or(u32::MAX) as usize;
    if topology.processors.is_empty() {
        arch::smp::start(0..config.cpus.unwrap_or(1));
    } else {
        arch::smp::start(topology.processors.iter().map(|p| p.apic).take(limit));
    }
}

/// Hands the machine to the system above, which makes the first thread.
fn start_system(boot: &BootInfo, config: Config) {
    let usage = hal::Frame::usage();
    log!(Info, "{} of {} pages free, {} processors", usage.free, usage.total, cpu::online().count_ones());
    let platform = platform::platform(drivers::console(), &drivers::Power);
    let image = root::image(boot, &config, drivers::disks());
    let announce = config.announce;
    let report = |key: &str, value: &dyn core::fmt::Display| {
        platform.console.write(Stream::Report, alloc::format!("{key}={value}\n").as_bytes());
    };
    match syscall::boot::start(platform, config, image, drivers::nets()) {
        Ok(_) if announce => report(channel::STARTED, &1),
        Ok(_) => {}
        Err(error) => {
            log!(Error, "{error}");
            report(channel::START_FAILED, &error);
            platform.power.exit(error.exit_code() << 8);
        }
    }
}
