//! Machines in the background, from outside, with a script in the hypervisor's place.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::tests_outside_test_module, reason = "this whole file is tests")]

use std::process::Stdio;

mod support;
use support::{Host, text, wait_until};

/// A program that says that it runs, and answers signals: TERM ends it, USR1 is told.
const SERVER: &str = "say_frame(5, 0, 'started=1'); say_frame(1, 1, \"up\\n\"); while (1) { my ($kind, $data) = read_frame(); \
    next if $kind != 19; my $n = unpack 'V', $data; leave(5 << 8) if $n == 15; say_frame(1, 2, \"signal $n\\n\") }";

fn run(host: &Host, args: &[&str]) -> (Option<i32>, String, String) {
    let out = host.output(args);
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

fn ps(host: &Host) -> serde_json::Value {
    serde_json::from_slice(&host.output(&["ps", "-a", "--json"]).stdout).unwrap()
}

#[test]
fn a_machine_starts_is_listed_heard_and_stopped() {
    let host = Host::new(SERVER);
    let line = ["run", "-d", "--name", "web", "-p", "127.0.0.1:0:80", "true", "x y"];
    assert_eq!(run(&host, &line), (Some(0), "web\n".into(), String::new()));
    let (code, _, errors) = run(&host, &line);
    assert!(
        code == Some(125) && errors.contains("a machine named web is there already (running)"),
        "{errors}"
    );
    let listed = &ps(&host)[0];
    assert_eq!((&listed["name"], &listed["state"]), (&"web".into(), &"running".into()));
    assert_eq!(listed["command"], serde_json::json!(["true", "x y"]));
    assert_eq!(listed["ports"][0]["guest"], 80);
    let table = text(&host.output(&["ps"]).stdout);
    assert!(table.contains("NAME") && table.contains("->80/tcp") && table.contains("running"), "{table}");
    assert_eq!(text(&host.output(&["ps", "-q"]).stdout), "web\n");
    assert_eq!(run(&host, &["kill", "-s", "usr1", "web"]).0, Some(0));
    wait_until("the signal is told", || run(&host, &["logs", "web"]).2 == "signal 10\n");
    assert_eq!(run(&host, &["rm", "web"]).0, Some(125), "it runs");
    let mut follower = host.hull(&["logs", "-f", "web"]);
    let follower =
        follower.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(run(&host, &["stop", "web", "none"]).0, Some(125), "one of them is not there");
    let heard = follower.wait_with_output().unwrap();
    assert_eq!((text(&heard.stdout), text(&heard.stderr)), ("up\n".into(), "signal 10\n".into()));
    assert_eq!(run(&host, &["wait", "web"]), (Some(0), "5\n".into(), String::new()));
    assert_eq!(ps(&host)[0]["status"], "exited 5");
    assert_eq!(run(&host, &["ps", "-q"]).1, "");
    assert_eq!(run(&host, &["kill", "web"]).0, Some(125), "it has ended");
    assert_eq!(run(&host, &["rm", "web"]), (Some(0), "web\n".into(), String::new()));
    assert_eq!(ps(&host), serde_json::json!([]));
}

#[test]
fn nothing_is_lost_of_a_fast_end() {
    let host = Host::new("say_frame(1, 1, 'x' x 100_000) for 1 .. 30; say_frame(1, 2, 'end'); leave(11);");
    let name = run(&host, &["run", "-d", "true"]).1;
    let name = name.trim();
    assert!(name.starts_with("true-"), "{name}");
    assert_eq!(run(&host, &["wait", name]).1, "139\n");
    let (code, out, errors) = run(&host, &["logs", name]);
    assert_eq!((code, out.len(), errors.as_str()), (Some(0), 3_000_000, "end"));
    assert_eq!(ps(&host)[0]["status"], "killed by signal 11 (SIGSEGV)");
}

#[test]
fn a_failed_start_is_told_and_leaves_nothing() {
    let failed =
        "say_frame(2, 0, 'cannot'); say_frame(5, 0, 'start_failed=no such directory'); leave(125 << 8);";
    for (guest, words) in [
        (failed, "error: no such directory"),
        ("print \"kernel panic: early\\n\"; exit 1;", "kernel panic: early"),
        ("print STDERR \"bad option\\n\"; exit 1;", "bad option"),
    ] {
        let host = Host::new(guest);
        let (code, out, errors) = run(&host, &["run", "-d", "true"]);
        assert_eq!((code, out.as_str()), (Some(125), ""));
        assert!(errors.contains(words), "{errors}");
        assert_eq!(ps(&host), serde_json::json!([]));
    }
}

#[test]
fn every_way_to_end_has_its_reason() {
    let stubborn = "say_frame(5, 0, 'started=1'); $SIG{TERM} = 'IGNORE'; ";
    for (guest, args, status, code) in [
        ("sleep 100;", &["stop", "-t", "0.3", "m"][..], "stopped after deadline", "137"),
        ("sleep 100;", &["kill", "m"], "killed", "137"),
        (
            "print \"kernel panic: at the disco\\n\"; exit 1;",
            &["wait", "m"],
            "guest kernel panicked: at the disco",
            "125",
        ),
        ("kill 9, $$;", &["wait", "m"], "hypervisor died: killed by SIGKILL", "125"),
        (
            "print STDERR \"no memory\\n\"; exit 3;",
            &["wait", "m"],
            "hypervisor died: exit code 3: no memory",
            "125",
        ),
    ] {
        let host = Host::new(&format!("{stubborn}{guest}"));
        assert_eq!(run(&host, &["run", "-d", "--name", "m", "true"]).0, Some(0));
        assert_eq!(run(&host, args).0, Some(0));
        assert_eq!((&ps(&host)[0]["status"], run(&host, &["wait", "m"]).1.trim()), (&status.into(), code));
    }
    let host = Host::new(&format!("{stubborn}sleep 100;"));
    assert_eq!(run(&host, &["run", "-d", "--timeout", "0.3", "--name", "m", "true"]).0, Some(0));
    assert_eq!(run(&host, &["wait", "m"]).1, "124\n");
}

#[test]
fn a_supervisor_that_was_killed_is_recognised_and_takes_the_hypervisor_along() {
    let host = Host::new(SERVER);
    assert_eq!(run(&host, &["run", "-d", "--name", "m", "true"]).0, Some(0));
    let record = ps(&host)[0].clone();
    let number = |key: &str| i32::try_from(record[key].as_i64().unwrap()).unwrap();
    let supervisor = rustix::process::Pid::from_raw(number("supervisor")).unwrap();
    rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
    let stat = format!("/proc/{}/stat", number("hypervisor"));
    wait_until("the hypervisor is gone", || {
        std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
    });
    let (code, out, errors) = run(&host, &["wait", "m"]);
    assert_eq!((code, out.as_str()), (Some(0), "125\n"));
    assert!(errors.contains("its supervisor (process") && errors.contains("was killed"), "{errors}");
    assert_eq!(run(&host, &["logs", "m"]).1, "up\n");
    assert_eq!(run(&host, &["stop", "m"]).0, Some(0), "it has ended");
    assert_eq!(run(&host, &["rm", "m"]).0, Some(0));
}

#[test]
fn a_named_machine_in_the_foreground_is_listed_while_it_runs() {
    let host = Host::new(SERVER);
    let mut child = host
        .hull(&["run", "--name", "front", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("it runs", || ps(&host)[0]["state"] == "running");
    assert!(run(&host, &["logs", "front"]).2.contains("runs in the foreground"));
    assert!(run(&host, &["run", "--name", "front", "true"]).2.contains("is there already"));
    assert_eq!(run(&host, &["stop", "front"]).1, "front\n");
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(ps(&host), serde_json::json!([]));
    assert!(!host.path("state/machines/front").exists());
    let _ = run(&host, &["run", "-d", "--name", "front", "true"]);
    assert_eq!(run(&host, &["rm", "-f", "front"]), (Some(0), "front\n".into(), String::new()));
}

#[test]
fn a_recipe_gives_what_the_command_line_leaves_open() {
    let host =
        Host::new("say_frame(1, 1, \"$arg{-append}\\n$arg{-m} $arg{-smp} $arg{-netdev}\\n\"); leave(0);");
    std::fs::create_dir(host.path("pages")).unwrap();
    std::fs::write(host.path("pages/index"), "mine").unwrap();
    let recipe = "about = 'x'\nprogram = 'true'\nargs = ['one', 'two words']\nmemory = '64M'\ncpus = 2\nuser = 'nobody'\n\
        workdir = '/srv'\nenv = { A = '1', B = '2' }\nports = ['127.0.0.1:0:80']\ninclude = ['pages:/srv/pages']\n\
        [[directory]]\npath = '/srv/data'\nmode = '0700'\nowner = 'nobody'\n\
        [[file]]\npath = '/srv/conf'\ncontents = 'text'\n[[file]]\npath = '/srv/pages/index'\ncontents = 'default'\n";
    std::fs::write(host.path("my.toml"), recipe).unwrap();
    let (code, out, errors) = run(&host, &["run", "-e", "B=3", "my.toml"]);
    assert_eq!(code, Some(0), "{errors}");
    for part in [
        "hull.arg=true hull.arg=one hull.arg=two%20words",
        "hull.user=65534:65534",
        "hull.cwd=/srv",
        "hull.env=A=1 hull.env=B=3",
        "64M 2 user,id=net0,hostfwd=tcp:127.0.0.1:",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let line = ["run", "-m", "32M", "--cpus", "1", "-u", "0", "-w", "/", "--net", "none", "my.toml", "other"];
    let (_, out, _) = run(&host, &line);
    assert!(out.contains("hull.arg=true hull.arg=other ") && out.contains("\n32M 1 \n"), "{out}");
    assert!(out.contains("hull.cwd=/ hull.") && out.contains("hull.user=0:0"), "{out}");
    assert_eq!(run(&host, &["build", "-q", "-o", "my.erofs", "my.toml"]).0, Some(0));
    let boot = run(&host, &["cat", "my.erofs", "/.hull/boot"]).1;
    assert!(boot.contains("hull.arg=one") && boot.contains("hull.user=65534:65534"), "{boot}");
    assert_eq!(run(&host, &["cat", "my.erofs", "/srv/conf"]).1, "text");
    assert_eq!(run(&host, &["cat", "my.erofs", "/srv/pages/index"]).1, "mine");
    let listed = run(&host, &["ls", "-l", "my.erofs", "/srv"]).1;
    assert!(listed.lines().any(|l| l.starts_with("drwx------") && l.contains("65534")), "{listed}");
    assert_eq!(run(&host, &["inspect", "my.toml"]).0, Some(0));
    assert!(run(&host, &["recipes"]).1.contains("redis "));
    assert!(run(&host, &["recipes", "redis"]).1.contains("program = \"redis-server\""));
}

#[test]
fn mistakes_in_recipes_are_explained() {
    let host = Host::new("leave(0);");
    let start = "about = 'x'\nprogram = 'true'\n";
    for (name, text, code, words) in [
        ("a.toml", format!("{start}memory = 5\n"), 125, "a.toml:3:10: invalid type: integer"),
        (
            "b.toml",
            "about = 'x'\nprogram = 'no-such-program'\ninstall = ['pkg']\n".into(),
            127,
            "apt-get install pkg",
        ),
        (
            "c.toml",
            format!("{start}[[directory]]\npath = '/x'\nowner = 'who'\n"),
            125,
            "\"who\" is not in the image's",
        ),
        ("d.toml", format!("{start}packages = ['no-such-package']\n"), 125, "is not installed"),
        ("e.toml", format!("{start}[[file]]\npath = '/etc'\ncontents = ''\n"), 125, "is a directory"),
    ] {
        std::fs::write(host.path(name), text).unwrap();
        let (status, _, errors) = run(&host, &["run", name]);
        assert!(status == Some(code) && errors.contains(words), "{name}: {status:?} {errors}");
    }
    assert_eq!(run(&host, &["run", "none.toml"]).0, Some(127));
    assert_eq!(run(&host, &["recipes", "none"]).0, Some(127));
}
