//! Machines without a machine: arguments are compared, and scripts play QEMU.

use super::accel::Accel;
use super::machine::{Machine, MachineType, parse_memory};
use super::outcome::{End, exit_code, unimplemented};
use super::session::{Options, run};
use abi::boot::{Channel, Config, Root};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

fn machine(dir: &Path, kind: MachineType) -> Machine {
    let image = dir.join("image");
    std::fs::write(&image, vec![7; 5000]).unwrap();
    Machine {
        qemu: "qemu-system-x86_64".into(),
        kind,
        accel: Accel::Tcg,
        memory: 256 << 20,
        cpus: 2,
        kernel: "/k".into(),
        image,
        nets: Vec::new(),
        config: Config { args: vec![b"/bin/x".to_vec()], channel: Channel::Virtio, ..Config::default() },
        extra: Vec::new(),
    }
}

fn text(machine: &Machine) -> String {
    let plan = machine.plan().unwrap();
    plan.args.iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_machine_type_has_its_devices() {
    let dir = tempfile::tempdir().unwrap();
    let microvm = text(&machine(dir.path(), MachineType::Microvm));
    assert!(microvm.contains("virtio-serial-device") && microvm.contains("force-legacy=false"), "{microvm}");
    assert!(microvm.contains("-m 256M -smp 2") && microvm.contains("-no-reboot"));
    assert!(microvm.ends_with("-append hull.arg=/bin/x hull.channel=virtio hull.cpus=2"), "{microvm}");
    let q35 = text(&machine(dir.path(), MachineType::Q35));
    assert!(
        q35.contains("-machine q35") && q35.contains("virtio-serial-pci,disable-legacy=on,max_ports=2"),
        "{q35}"
    );
    let mut serial = machine(dir.path(), MachineType::Pc);
    serial.config.channel = Channel::Serial;
    let serial = text(&serial);
    assert!(serial.contains("-serial chardev:app") && !serial.contains("virtserialport"), "{serial}");
}

#[test]
fn large_images_become_disks() {
    let dir = tempfile::tempdir().unwrap();
    let mut m = machine(dir.path(), MachineType::Microvm);
    let comma = dir.path().join("a,b");
    std::fs::File::create(&comma).unwrap().set_len(200 << 20).unwrap();
    m.image = comma;
    let plan = m.plan().unwrap();
    assert_eq!(plan.root, Root::Disk);
    let text = text(&m);
    assert!(text.contains("a,,b") && text.contains("hull.root=disk") && !text.contains("-initrd"), "{text}");
    assert!(text.contains("readonly=on"));
}

#[test]
fn a_long_configuration_travels_behind_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let mut m = machine(dir.path(), MachineType::Microvm);
    m.config.args.push(vec![b'x'; 10_000]);
    let plan = m.plan().unwrap();
    assert!(plan.args.last().unwrap().len() < 200);
    let path = plan.temporary.as_ref().unwrap().path().to_owned();
    let module = std::fs::read(&path).unwrap();
    assert_eq!(&module[..5000], vec![7; 5000]);
    let block = abi::boot::read_block(&module[8192..]).unwrap();
    assert_eq!(Config::parse(block).unwrap().args, m.config.args);
    let early = Config::parse(plan.args.last().unwrap().to_str().unwrap()).unwrap();
    assert!(early.block && early.channel == Channel::Virtio && early.args.is_empty());
    drop(plan);
    assert!(!path.exists(), "the temporary file is gone");
}

#[test]
fn too_little_memory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let m = Machine { memory: 1 << 20, ..machine(dir.path(), MachineType::Pc) };
    assert!(m.plan().is_err());
}

/// Runs a shell script as QEMU: its standard input is the channel, its standard output the serial log.
fn play(script: &str, timeout: Option<Duration>) -> super::outcome::Outcome {
    let dir = tempfile::tempdir().unwrap();
    let fake = dir.path().join("qemu");
    std::fs::write(&fake, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let m = Machine { qemu: fake.into(), ..machine(dir.path(), MachineType::Microvm) };
    run(&m, Options { timeout, ..Options::default() }).unwrap()
}

/// `printf` of a frame: kind, stream, payload as octal escapes.
fn say(kind: u8, stream: u8, payload: &str, len: usize) -> String {
    format!("printf '\\365H\\{kind:03o}\\{stream:03o}\\{len:03o}\\000\\000\\000{payload}' >&0")
}

#[test]
fn the_status_the_reports_and_the_log_arrive() {
    let script = format!(
        "echo booting\n{}\n{}\n{}",
        say(5, 0, "unimplemented.bpf=3", 19),
        say(2, 1, "careful", 7),
        say(3, 0, "\\000\\007\\000\\000", 4)
    );
    let outcome = play(&script, Some(Duration::from_secs(20)));
    assert_eq!(outcome.end, End::Exit(7 << 8));
    assert_eq!(unimplemented(&outcome.reports).get("bpf"), Some(&3));
    assert!(outcome.log.contains("booting") && outcome.log.contains("careful"), "{}", outcome.log);
}

#[test]
fn a_machine_that_ends_without_a_status_has_crashed() {
    let outcome = play("echo kernel panic; echo bad option >&2; exit 1", Some(Duration::from_secs(20)));
    assert_eq!(outcome.end, End::Crash);
    assert!(outcome.log.contains("kernel panic"));
    assert_eq!(outcome.hypervisor.as_deref(), Some("bad option"));
}

#[test]
fn a_machine_that_hangs_is_ended_in_time() {
    let start = std::time::Instant::now();
    let outcome = play("exec sleep 60", Some(Duration::from_millis(200)));
    assert_eq!(outcome.end, End::Timeout);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn wait_statuses_become_exit_codes() {
    assert_eq!(exit_code(0), (0, None));
    assert_eq!(exit_code(7 << 8), (7, None));
    assert_eq!(exit_code(11), (139, Some(11)));
    assert_eq!(exit_code(11 | 0x80), (139, Some(11)));
}

#[test]
fn sizes_are_read_as_docker_reads_them() {
    assert_eq!(parse_memory("256M"), Ok(256 << 20));
    assert_eq!(parse_memory("1g"), Ok(1 << 30));
    assert_eq!(parse_memory("8388608"), Ok(8 << 20));
    for bad in ["", "M", "256", "1x", "99999999999G", "-1M"] {
        assert!(parse_memory(bad).is_err(), "{bad}");
    }
}
