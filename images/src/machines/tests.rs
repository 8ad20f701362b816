//! The directory of machines, without machines.

use super::*;
use std::time::Duration;

fn registry() -> (tempfile::TempDir, Registry) {
    let dir = tempfile::tempdir().unwrap();
    // Longer than a socket's address.
    let registry = Registry::new(dir.path().join("x".repeat(120)));
    (dir, registry)
}

fn claim(registry: &Registry, name: &str) -> Result<Claim> {
    registry.claim(new_record(name.into(), vec!["true".into()]))
}

#[test]
fn names_are_unique_while_they_are_taken() {
    let (_dir, registry) = registry();
    let first = claim(&registry, "a").unwrap();
    let error = format!("{:#}", claim(&registry, "a").unwrap_err());
    assert!(error.contains("a machine named a is there already (starting)"), "{error}");
    drop(first);
    let error = format!("{:#}", claim(&registry, "a").unwrap_err());
    assert!(error.contains("is there already (dead: its supervisor"), "{error}");
    registry.remove(&registry.find("a").unwrap()).unwrap();
    claim(&registry, "a").unwrap();
    for bad in ["", "-a", ".new", "a/b", "..", "é", &"x".repeat(64)] {
        assert!(registry.must_be_free(bad).is_err() && registry.find(bad).is_err(), "{bad}");
    }
    assert!(registry.find("b").is_err());
    let left = std::fs::read_dir(&registry.dir).unwrap().count();
    assert_eq!(left, 1, "nothing hidden stays");
}

#[test]
fn the_state_follows_lock_record_and_boot() {
    let (_dir, registry) = registry();
    assert!(registry.all().unwrap().is_empty());
    let mut machine = claim(&registry, "a").unwrap();
    let state = || registry.find("a").unwrap().state;
    assert_eq!(state(), State::Starting);
    machine.update(|record| record.started = Some(1)).unwrap();
    assert_eq!(state(), State::Running);
    assert!(registry.remove(&registry.find("a").unwrap()).is_err());
    assert!(registry.find("a").unwrap().supervisor().unwrap().is_some());
    machine.update(|record| record.ending = Some(Ending::Exited { code: 3 })).unwrap();
    assert_eq!(state().to_string(), "exited 3");
    machine.update(|record| (record.ending, record.boot) = (None, "other".into())).unwrap();
    assert_eq!(state(), State::Running);
    drop(machine);
    assert_eq!(state().to_string(), "dead: this host was restarted");
    let entry = registry.find("a").unwrap();
    assert!(entry.supervisor().unwrap().is_none() && !entry.request(Request::End).unwrap());
    std::fs::write(entry.dir.join("record.json"), "{").unwrap();
    assert!(format!("{:#}", registry.find("a").unwrap_err()).contains("damaged"));
}

#[test]
fn requests_arrive_at_the_supervisor_only_while_it_lives() {
    let (_dir, registry) = registry();
    let machine = claim(&registry, "a").unwrap();
    let socket = machine.control().unwrap();
    let entry = registry.find("a").unwrap();
    assert!(entry.request(Request::Stop(Duration::from_secs(2))).unwrap());
    let mut buffer = [0; 64];
    let len = socket.recv(&mut buffer).unwrap();
    assert_eq!(Request::parse(&buffer[..len]), Some(Request::Stop(Duration::from_secs(2))));
    drop(socket);
    assert!(!entry.request(Request::End).unwrap());
    machine.forget();
    assert!(registry.all().unwrap().is_empty());
}

#[test]
fn endings_have_the_codes_of_a_shell_and_say_what_happened() {
    for (ending, code, text) in [
        (Ending::Exited { code: 7 }, 7, "exited 7"),
        (Ending::Signalled { signal: 11 }, 139, "killed by signal 11 (SIGSEGV)"),
        (
            Ending::KernelPanicked { message: "at the disco".into() },
            125,
            "guest kernel panicked: at the disco",
        ),
        (Ending::HypervisorDied { why: String::new() }, 125, "hypervisor died"),
        (Ending::StoppedAfterDeadline, 137, "stopped after deadline"),
        (Ending::Killed, 137, "killed"),
        (Ending::TimedOut, 124, "timed out"),
    ] {
        assert_eq!((ending.code(), ending.to_string().as_str()), (code, text));
        let json = serde_json::to_string(&ending).unwrap();
        assert_eq!(serde_json::from_str::<Ending>(&json).unwrap(), ending);
    }
}

#[test]
fn made_up_names_are_names() {
    for program in ["/usr/bin/redis-server", "./-x", "é", &"y".repeat(300)] {
        check_name(&new_name(program)).unwrap();
    }
    assert!(new_name("/usr/bin/redis-server").starts_with("redis-server-"));
}
