//! A machine's description, and QEMU's arguments for it.

use super::accel::Accel;
use super::net::Interface;
use crate::problem::Problem;
use abi::boot::{self, Channel, Config, Root};
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::ffi::OsString;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Overrides the hypervisor's program.
pub const QEMU_VARIABLE: &str = "HULL_QEMU";
/// Longest configuration that travels on the kernel command line, in bytes: longer lines are cut by some
/// hypervisors (2,048 is the usual limit, and QEMU adds tokens for its devices).
const COMMAND_LINE_MAX: usize = 1600;
/// An image above this share of the memory is attached as a disk: a module is copied before the machine starts
/// (some 3 ms a megabyte under QEMU) and takes its memory for good.
const MODULE_SHARE: u64 = 8;
/// Smallest memory of a machine in bytes: what QEMU's firmware and the kernel need to say anything at all.
pub const MEMORY_MIN: u64 = 4 << 20;

/// QEMU's machine types that Hull boots on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineType {
    /// The smallest: virtio over MMIO, no PCI, no firmware to speak of.
    #[default]
    Microvm,
    /// A PC with PCI Express.
    Q35,
    /// An older PC.
    Pc,
}

/// A machine to start.
#[derive(Clone, Debug)]
pub struct Machine {
    /// QEMU's program: a path or a name.
    pub qemu: OsString,
    /// The machine type.
    pub kind: MachineType,
    /// How instructions are run.
    pub accel: Accel,
    /// Memory in bytes; a multiple of 1 MiB is used.
    pub memory: u64,
    /// Number of processors.
    pub cpus: u32,
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// The root image.
    pub image: PathBuf,
    /// Network interfaces.
    pub nets: Vec<Interface>,
    /// The configuration; `root`, `cpus`, `nets` and `block` are set by [`Machine::plan`].
    pub config: Config,
    /// More arguments for QEMU, for debugging and measuring.
    pub extra: Vec<OsString>,
}

/// A command line that is ready to start.
#[derive(Debug)]
pub struct Plan {
    /// QEMU's arguments.
    pub args: Vec<OsString>,
    /// Where the root image is.
    pub root: Root,
    /// A file that must live as long as the machine.
    pub temporary: Option<NamedTempFile>,
}

impl Machine {
    /// Writes QEMU's arguments. Standard input of QEMU is the application's channel (a socket), standard
    /// output is the serial log; with [`Channel::Serial`] both are the one serial port.
    ///
    /// # Errors
    /// If the image cannot be read, a temporary file cannot be written, or a value is out of range.
    pub fn plan(&self) -> Result<Plan> {
        if self.memory < MEMORY_MIN {
            let message = format!("{} KiB of memory is too little for any machine", self.memory >> 10);
            return Err(Problem::new(message).hint("use -m 16M or more").into());
        }
        let size = std::fs::metadata(&self.image)
            .with_context(|| format!("cannot read image {}", self.image.display()))?
            .len();
        let mut config = self.config.clone();
        // A module is copied into memory before the machine starts: only a small part may go there.
        config.root = if size > self.memory / MODULE_SHARE { Root::Disk } else { Root::Module };
        // Not every platform lists its processors (microvm without ACPI does not).
        config.cpus = Some(self.cpus);
        config.nets = self.nets.iter().map(|interface| interface.config.clone()).collect();
        let mut text = config.to_text();
        let mut module = (config.root == Root::Module).then(|| self.image.clone());
        let mut temporary = None;
        if text.len() > COMMAND_LINE_MAX {
            let file = self.block_file(&text, module.as_deref())?;
            module = Some(file.path().into());
            temporary = Some(file);
            // What the kernel needs before it reads the block.
            let early = Config {
                channel: config.channel,
                root: config.root,
                tsc_khz: config.tsc_khz,
                cpus: config.cpus,
                log: config.log,
                block: true,
                ..Config::default()
            };
            text = early.to_text();
        }
        let root = config.root;
        let args = self.args(&text, module.as_deref(), root)?;
        Ok(Plan { args, root, temporary })
    }

    /// Makes the module that carries a configuration too long for the command line.
    fn block_file(&self, text: &str, image: Option<&Path>) -> Result<NamedTempFile> {
        let write = || -> Result<NamedTempFile> {
            let mut file = tempfile::Builder::new().prefix("hull-").suffix(".module").tempfile()?;
            if let Some(image) = image {
                let mut from = std::fs::File::open(image)?;
                let len = std::io::copy(&mut from, file.as_file_mut())?;
                file.seek(SeekFrom::Start(len.next_multiple_of(4096)))?;
            }
            let mut block = Vec::new();
            boot::append_block(&mut block, text);
            file.write_all(&block)?;
            Ok(file)
        };
        write().context("cannot write the boot module with the configuration to the temporary directory")
    }

    fn args(&self, text: &str, module: Option<&Path>, root: Root) -> Result<Vec<OsString>> {
        let mut args: Vec<OsString> = Vec::new();
        let mut put = |parts: &[&str]| args.extend(parts.iter().map(OsString::from));
        put(&["-machine", self.machine()]);
        match self.accel {
            Accel::Kvm => put(&["-accel", "kvm", "-cpu", "host"]),
            Accel::Tcg => put(&["-accel", "tcg", "-cpu", TCG_CPU]),
        }
        put(&["-m", &format!("{}M", self.memory >> 20), "-smp", &self.cpus.to_string()]);
        put(&["-no-user-config", "-nodefaults", "-no-reboot", "-display", "none"]);
        let pci = self.kind != MachineType::Microvm;
        if !pci {
            put(&["-global", "virtio-mmio.force-legacy=false"]);
        }
        let device = |name: &str, options: &str| {
            if pci {
                format!("{name}-pci,disable-legacy=on{options}")
            } else {
                format!("{name}-device{options}")
            }
        };
        match self.config.channel {
            Channel::Virtio => {
                // A console port (port 0) drops what a full socket does not take; other ports wait.
                put(&["-chardev", "socket,id=app,fd=0", "-device", &device("virtio-serial", ",max_ports=2")]);
                put(&["-device", "virtserialport,nr=1,chardev=app"]);
                put(&["-chardev", "file,id=log,path=/dev/stdout", "-serial", "chardev:log"]);
            }
            Channel::Serial | Channel::Raw => {
                put(&["-chardev", "socket,id=app,fd=0", "-serial", "chardev:app"]);
            }
        }
        if root == Root::Disk {
            let path = self.image.to_str().ok_or_else(|| {
                let message = format!("image path {} is not UTF-8", self.image.display());
                Problem::new(message).hint("QEMU's drive options need a plain path: move the image")
            })?;
            let drive = format!("if=none,id=root,format=raw,readonly=on,file={}", path.replace(',', ",,"));
            put(&["-drive", &drive, "-device", &device("virtio-blk", ",drive=root")]);
        }
        for (index, interface) in (0..).zip(&self.nets) {
            args.extend(interface.args(index, self.kind, self.cpus).map(OsString::from));
        }
        args.extend(["-kernel".into(), self.kernel.clone().into_os_string()]);
        if let Some(module) = module {
            args.extend(["-initrd".into(), module.as_os_str().to_owned()]);
        }
        args.extend(["-append".into(), text.into()]);
        args.extend(self.extra.iter().cloned());
        Ok(args)
    }

    fn machine(&self) -> &'static str {
        match self.kind {
            MachineType::Microvm => "microvm,acpi=off,pit=on,pic=on,rtc=on,isa-serial=on",
            MachineType::Q35 => "q35",
            MachineType::Pc => "pc",
        }
    }
}

/// The processor under TCG: all that it can do, without what it does slowly and C libraries would choose.
/// Measured with glibc 2.36 under QEMU 7.2, 64 KiB: copy 102 us with `max`, 29 us so; fill 57 us and 2.6 us.
const TCG_CPU: &str = "max,-avx,-avx2,-f16c,-fma,-erms,-fsrm,-la57,-svm";

/// Finds the hypervisor.
///
/// # Errors
/// If it is not installed.
pub fn find_qemu() -> Result<OsString> {
    if let Some(name) = std::env::var_os(QEMU_VARIABLE).filter(|name| !name.is_empty()) {
        return Ok(name);
    }
    let name = "qemu-system-x86_64";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.map(PathBuf::into_os_string).ok_or_else(|| {
        let message = format!("{name} was not found in PATH");
        let hint = format!("apt-get install qemu-system-x86; or set {QEMU_VARIABLE} to its path");
        Problem::new(message).hint(hint).into()
    })
}

/// Overrides the kernel's file.
pub const KERNEL_VARIABLE: &str = "HULL_KERNEL";

/// Finds the kernel: where it was asked for, or beside the tool, as cargo and packages place it.
///
/// # Errors
/// If it was not built.
pub fn find_kernel(given: Option<&Path>) -> Result<PathBuf> {
    let named = given.map(PathBuf::from).or_else(|| std::env::var_os(KERNEL_VARIABLE).map(PathBuf::from));
    if let Some(path) = named {
        if path.is_file() {
            return Ok(path);
        }
        return Err(Problem::new(format!("kernel {} is not a file", path.display())).into());
    }
    let exe = std::env::current_exe().and_then(|exe| exe.canonicalize()).context("where is this program?")?;
    let dir = exe.parent().unwrap_or(Path::new("/"));
    let places = ["../x86_64-unknown-none/release/kernel", "../lib/hull/kernel", "kernel"];
    for place in places.map(|place| dir.join(place)) {
        if place.is_file() {
            return Ok(place.canonicalize().unwrap_or(place));
        }
    }
    let message = format!("the kernel was not found near {}", dir.display());
    let hint = "cargo build --release -p kernel --target x86_64-unknown-none (the launcher ./hull does that)";
    Err(Problem::new(message).hint(hint).into())
}

/// Reads a memory size: bytes, or with K, M, G, T (powers of 1024), as docker does.
///
/// # Errors
/// What to write instead.
pub fn parse_memory(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err("write a number with K, M, G or T, such as 256M".into()),
    };
    let number: u64 =
        digits.parse().map_err(|_| "write a number with K, M, G or T, such as 256M".to_owned())?;
    let size = number.checked_mul(1 << shift).ok_or("too large")?;
    if size < 1 << 20 {
        return Err(format!("{size} bytes is less than 1M (a number without a unit counts bytes)"));
    }
    Ok(size)
}
