//! The tool from outside, with a script in the hypervisor's place: no machine is needed.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::tests_outside_test_module, reason = "this whole file is tests")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

mod support;
use support::{Host, text, wait_until};

#[test]
fn output_status_and_arguments_pass() {
    let host =
        Host::new("say_frame(1, 1, \"out\\n\"); say_frame(1, 2, \"$arg{-append}\\n\"); leave(7 << 8);");
    let out = host.output(&["run", "-e", "A=b c", "-w", "/tmp", "--name", "box", "true", "-x", "--", "é"]);
    assert_eq!(out.status.code(), Some(7));
    assert_eq!(text(&out.stdout), "out\n");
    let line = text(&out.stderr);
    for token in [
        "hull.arg=true hull.arg=-x hull.arg=-- hull.arg=%c3%a9",
        "hull.exe=/usr/bin/true",
        "hull.cwd=/tmp",
        "hull.env=A=b%20c",
        "hull.env=PATH=",
        "hull.env=LANG=C.UTF-8",
        "hull.hostname=box",
        "hull.channel=virtio",
    ] {
        assert!(line.contains(token), "{token} in {line}");
    }
    assert!(!line.contains("TERM="));
}

#[test]
fn input_flows_on_credit_only() {
    let guest = "my $all = ''; say_frame(4, 0, pack 'V', 3); \
        while (1) { my ($kind, $data) = read_frame(); last if $kind == 17; die if length $data > 3; $all .= $data; \
        say_frame(4, 0, pack 'V', length $data) } say_frame(1, 1, uc $all); leave(0);";
    let host = Host::new(guest);
    let mut child = host.hull(&["run", "true"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello, machine").unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(0), "HELLO, MACHINE".to_owned()));
}

#[test]
fn large_output_arrives_whole_at_a_slow_reader() {
    let host = Host::new("say_frame(1, 1, 'x' x 100_000) for 1 .. 80; leave(0);");
    let mut child = host.hull(&["run", "true"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(child.stdout.as_mut().unwrap(), &mut bytes).unwrap();
    assert_eq!((bytes.len(), child.wait().unwrap().code()), (8_000_000, Some(0)));
}

#[test]
fn deaths_by_signal_and_missing_calls_are_told() {
    let host = Host::new("say_frame(5, 0, 'unimplemented.bpf=2'); leave(11);");
    let out = host.output(&["run", "true"]);
    assert_eq!(out.status.code(), Some(139));
    let errors = text(&out.stderr);
    assert!(errors.contains("hull: true was killed by signal 11 (SIGSEGV)"), "{errors}");
    assert!(errors.contains("hull: system call bpf was not implemented: used 2 times"), "{errors}");
    assert_eq!(text(&host.output(&["run", "-q", "true"]).stderr), "");
}

#[test]
fn signals_go_to_the_program() {
    let guest = "open my $f, '>', 'ready'; close $f; my ($kind, $data) = read_frame(); leave($kind == 19 ? unpack 'V', $data : 99);";
    let host = Host::new(guest);
    let mut child = host.hull(&["run", "-q", "true"]).stdin(Stdio::null()).spawn().unwrap();
    wait_until("the guest runs", || host.path("ready").exists());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
}

#[test]
fn a_crash_shows_the_log_and_leaves_nothing() {
    let host = Host::new("print \"PANIC at the disco\\n\"; exit 1;");
    let out = host.output(&["run", "true"]);
    assert_eq!(out.status.code(), Some(125));
    let errors = text(&out.stderr);
    assert!(
        errors.contains("the machine ended before true did") && errors.contains("PANIC at the disco"),
        "{errors}"
    );
}

#[test]
fn time_is_bounded() {
    let host = Host::new("sleep 100;");
    let out = host.output(&["run", "--timeout", "0.2", "true"]);
    assert_eq!(out.status.code(), Some(124), "{}", text(&out.stderr));
}

#[test]
fn the_hypervisor_dies_with_the_tool() {
    let host =
        Host::new("open my $f, '>', 'pid.new'; print $f $$; close $f; rename 'pid.new', 'pid'; sleep 100;");
    let mut child = host.hull(&["run", "true"]).stdin(Stdio::null()).spawn().unwrap();
    wait_until("the guest runs", || host.path("pid").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let pid = std::fs::read_to_string(host.path("pid")).unwrap();
    let stat = format!("/proc/{pid}/stat");
    // A process that nobody has waited for yet is dead all the same.
    wait_until("it is gone", || std::fs::read_to_string(&stat).map_or(true, |s| s.contains(") Z ")));
}

#[test]
fn a_reader_that_leaves_ends_the_program_as_on_this_machine() {
    let guest = "say_frame(1, 1, 'y' x 70_000) for 1 .. 4; while (1) { my ($kind, $data) = read_frame(); leave(unpack 'V', $data) if $kind == 19 }";
    let host = Host::new(guest);
    let mut child =
        host.hull(&["run", "-q", "true"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(128 + 13));
}

#[test]
fn mistakes_are_explained_with_dockers_codes() {
    let host = Host::new("leave(0);");
    std::fs::write(host.path("data"), "text").unwrap();
    let program = std::fs::read("/bin/true").unwrap();
    let executable = |name: &str, bytes: &[u8]| {
        std::fs::write(host.path(name), bytes).unwrap();
        std::fs::set_permissions(host.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    executable("cut", &program[..100]);
    let at = program.windows(10).position(|w| w == b"/lib64/ld-").unwrap();
    executable("strange", &[&program[..at], b"/lib65", &program[at + 6..]].concat());
    executable("empty", b"");
    for (args, code, words) in [
        (&["run", "no-such-program"][..], 127, "was not found in"),
        (&["run", "./data"], 126, "not executable"),
        (&["run", "./cut"], 126, "not a program for x86-64 Linux"),
        (&["run", "./empty"], 126, "neither an ELF program nor a script"),
        (&["run", "./strange"], 127, "dynamic linker /lib65/ld-linux-x86-64.so.2 is missing"),
        (&["run", "-p", "80", "true"], 125, "one of the two ports is missing"),
        (&["run", "--net", "tap:no-such-tap", "true"], 125, "does not exist"),
        (&["run", "-dt", "true"], 125, "cannot be used with"),
        (&["run", "-d", "no-such-program"], 127, "was not found in"),
        (&["run", "-d", "--name", "a/b", "true"], 125, "cannot name a machine"),
        (&["run"], 125, "required"),
        (&["run", "-it", "true"], 125, "needs a terminal"),
        (&["run", "-m", "256", "true"], 125, "less than 1M"),
        (&["run", "--user", "who", "true"], 125, "not in the image's /etc/passwd"),
        (&["run", "--package", "no-such-package", "true"], 125, "is not installed"),
        (&["run", "--kernel", "/no/kernel", "true"], 125, "is not a file"),
        (&["ls", "data"], 125, "not an EROFS image"),
        (&["frobnicate"], 125, "unrecognized subcommand"),
    ] {
        let out = host.output(args);
        let errors = text(&out.stderr);
        assert!(
            out.status.code() == Some(code) && errors.contains(words),
            "{args:?}: {:?} {errors}",
            out.status
        );
        assert!(errors.starts_with("error: "), "{errors}");
    }
}

#[test]
fn images_are_built_inspected_listed_copied_and_run() {
    let host = Host::new("say_frame(1, 1, $arg{-append}); leave(0);");
    let out = host.output(&[
        "build",
        "--report",
        "-o",
        "app.erofs",
        "-e",
        "A=1",
        "-w",
        "/tmp",
        "-u",
        "nobody",
        "true",
        "arg",
    ]);
    assert!(out.status.success() && text(&out.stdout).contains("in all"), "{}", text(&out.stderr));
    let inspected = host.output(&["inspect", "--json", "app.erofs"]);
    let json: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(json["arguments"], serde_json::json!(["true", "arg"]));
    assert_eq!(json["directory"], "/tmp");
    let listed = text(&host.output(&["ls", "-l", "app.erofs"]).stdout);
    assert!(listed.lines().any(|l| l.starts_with("drwxrwxrwt") && l.ends_with(" tmp")), "{listed}");
    assert!(text(&host.output(&["cat", "app.erofs", "/etc/passwd"]).stdout).starts_with("root:"));
    assert!(
        text(&host.output(&["cat", "app.erofs", "/.hull/boot"]).stdout).contains("hull.user=65534:65534")
    );
    assert!(host.output(&["cp", "-r", "app.erofs:/etc", "copy"]).status.success());
    assert!(host.path("copy/hosts").is_file());
    let run = text(&host.output(&["run", "-e", "B=2", "app.erofs", "other"]).stdout);
    assert!(
        run.contains("hull.arg=true hull.arg=other") && run.contains("hull.env=A=1 hull.env=B=2"),
        "{run}"
    );
    assert_eq!(host.output(&["run", "--package", "x", "app.erofs"]).status.code(), Some(125));
}

#[test]
fn two_tools_at_once_do_not_disturb_each_other() {
    let host = Host::new("leave(0);");
    let children: Vec<_> =
        (0..6).map(|_| host.hull(&["run", "true"]).stdin(Stdio::null()).spawn().unwrap()).collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let left = std::fs::read_dir(host.path("cache/hull")).unwrap().flatten();
    assert!(left.map(|e| e.file_name()).all(|name| !name.to_string_lossy().starts_with('.')));
}

#[test]
fn the_doctor_reports_in_json() {
    let host = Host::new("print \"fake 1.0\\n\";");
    let out = host.output(&["doctor", "--json"]);
    let checks: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let find = |name: &str| checks.as_array().unwrap().iter().find(|c| c["name"] == name).unwrap().clone();
    assert_eq!(find("hypervisor")["ok"], true);
    assert!(find("accelerator")["found"].as_str().unwrap().contains("HULL_ACCEL=tcg"));
    assert!(Path::new("/var/lib/dpkg").exists() == find("packages")["ok"].as_bool().unwrap());
}

#[test]
fn a_terminal_is_raw_for_the_program_and_restored_afterwards() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
    let guest = "say_frame(1, 1, \"[$arg{-append}]\"); say_frame(4, 0, pack 'V', 100); my $keys = ''; my $size = ''; \
        until ($keys =~ /\\cC/ and $size) { my ($kind, $data) = read_frame(); $keys .= $data if $kind == 16; \
        $size = join 'x', unpack 'vv', $data if $kind == 18; } say_frame(1, 1, \"<$size>\"); leave(0);";
    let host = Host::new(guest);
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let open = || std::fs::File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let size = |rows, columns| Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size(30, 90)).unwrap();
    let slave = open();
    let is_raw = || !tcgetattr(&slave).unwrap().local_modes.contains(LocalModes::ICANON);
    let mut command = host.hull(&["run", "-it", "true"]);
    let mut child =
        command.env("TERM", "vt100").stdin(open()).stdout(open()).stderr(Stdio::inherit()).spawn().unwrap();
    wait_until("the terminal is raw", is_raw);
    tcsetwinsize(&master, size(40, 100)).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::WINCH).unwrap();
    rustix::io::write(&master, b"a\x03").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!is_raw());
    let mut seen = vec![0; 4096];
    let len = rustix::io::read(&master, seen.as_mut_slice()).unwrap();
    let seen = text(&seen[..len]);
    for part in ["hull.tty=1", "hull.winsize=30x90", "hull.env=TERM=vt100", "<40x100>"] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
}
