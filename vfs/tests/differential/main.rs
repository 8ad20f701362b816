//! Random operations on our file systems and on the host's tmpfs, compared step by step: Linux is the oracle.
//!
//! Each step runs on both sides, and answers (values or error numbers) must be equal; now and then, and at the end, so must the
//! whole trees. A failure prints the seed and the steps, so that it can be run again: `SEED=n cargo test -p vfs --test differential`.

#![expect(clippy::tests_outside_test_module, reason = "an integration test is all test")]
#![expect(clippy::unwrap_used, reason = "small random numbers fit everywhere")]

mod host;
mod ops;
mod ours;

use ops::{Op, Random, SLOTS, System};

/// Runs `steps` random operations on both sides.
fn compare(seed: u64, steps: usize, oracle: &mut dyn System, subject: &mut dyn System) {
    let mut random = Random::new(seed);
    let mut history: Vec<String> = Vec::new();
    for step in 0..steps {
        let op = Op::random(&mut random);
        let expected = oracle.run(&op);
        let got = subject.run(&op);
        history.push(format!("{op:?} -> {expected:?}"));
        if expected != got {
            let from = history.len().saturating_sub(60);
            panic!(
                "seed {seed} step {step}: {op:?}\n  Linux: {expected:?}\n  ours:  {got:?}\nbefore:\n{}",
                history[from..].join("\n")
            );
        }
        if step % 200 == 199 || step + 1 == steps {
            let (expected, got) = (oracle.tree(), subject.tree());
            if expected != got {
                let difference: Vec<_> = expected
                    .iter()
                    .filter(|line| !got.contains(line))
                    .map(|line| format!("- {line}"))
                    .chain(got.iter().filter(|line| !expected.contains(line)).map(|line| format!("+ {line}")))
                    .collect();
                let from = history.len().saturating_sub(200);
                panic!(
                    "seed {seed} step {step}: trees differ\n{}\nbefore:\n{}",
                    difference.join("\n"),
                    history[from..].join("\n")
                );
            }
        }
    }
    for slot in 0..SLOTS {
        let _ = oracle.run(&Op::Close { slot });
        let _ = subject.run(&Op::Close { slot });
    }
}

fn seeds(count: u64) -> std::ops::Range<u64> {
    match std::env::var("SEED").ok().and_then(|s| s.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 1..1 + count,
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("note: skipped, for it needs root to give files to other users");
    }
    root
}

#[test]
fn ram_answers_as_tmpfs_does() {
    if !is_root() {
        return;
    }
    for seed in seeds(40) {
        let mut oracle = host::Host::new(&format!("ram-{seed}"));
        let mut subject = ours::Ours::ram();
        compare(seed, 1500, &mut oracle, &mut subject);
    }
}

#[test]
fn ram_answers_as_tmpfs_does_to_an_ordinary_user() {
    if !is_root() {
        return;
    }
    for seed in seeds(40) {
        // Credentials belong to a thread on Linux, so a thread can give up its own.
        let done = std::thread::spawn(move || {
            let mut oracle = host::Host::new(&format!("user-{seed}"));
            let mut subject = ours::Ours::ram();
            compare(seed, 300, &mut oracle, &mut subject);
            oracle.become_user();
            subject.become_user();
            compare(seed + 1000, 1200, &mut oracle, &mut subject);
            oracle
        })
        .join();
        match done {
            Ok(oracle) => drop(oracle),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

#[test]
fn overlay_above_an_image_answers_as_tmpfs_does() {
    if !is_root() {
        return;
    }
    for seed in seeds(30) {
        let mut oracle = host::Host::new(&format!("overlay-{seed}"));
        oracle.keep_clear_of_blocks();
        let mut maker = ours::Ours::ram();
        maker.keep_clear_of_blocks();
        // First a tree to start from, made by the same kind of operations; then an image of it is the lower file system.
        compare(seed + 5000, 400, &mut oracle, &mut maker);
        oracle.remove_longest_names();
        let Some(mut subject) = ours::Ours::overlay(oracle.base()) else { return };
        compare(seed, 1200, &mut oracle, &mut subject);
    }
}

#[test]
fn overlay_above_an_image_answers_as_tmpfs_does_to_an_ordinary_user() {
    if !is_root() {
        return;
    }
    for seed in seeds(15) {
        let done = std::thread::spawn(move || {
            let mut oracle = host::Host::new(&format!("overlay-user-{seed}"));
            oracle.keep_clear_of_blocks();
            let mut maker = ours::Ours::ram();
            maker.keep_clear_of_blocks();
            compare(seed + 9000, 600, &mut oracle, &mut maker);
            oracle.remove_longest_names();
            let mut subject = ours::Ours::overlay(oracle.base())?;
            oracle.become_user();
            subject.become_user();
            compare(seed, 1200, &mut oracle, &mut subject);
            Some(oracle)
        })
        .join();
        match done {
            Ok(oracle) => drop(oracle),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
