//! New damage on every run, for as long as `HULL_FUZZ_SECONDS` says: no file makes the loader panic.
//!
//! A failure prints the seed; `HULL_FUZZ_SEED` starts there again.
#![expect(clippy::tests_outside_test_module, clippy::unwrap_used, reason = "the whole file is a test")]

use std::time::{Duration, Instant, SystemTime};

use loader::plan::{Role, plan};
use loader::{dynamic, script, vdso};

struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap() % end.max(1)
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
#[ignore = "takes as long as it is told"]
fn fuzz_programs() {
    let end = Instant::now() + Duration::from_secs(setting("HULL_FUZZ_SECONDS").unwrap_or(5));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut seed =
        setting("HULL_FUZZ_SEED").unwrap_or_else(|| u64::from(now.subsec_nanos()) << 20 | now.as_secs());
    let samples: Vec<Vec<u8>> = ["/bin/true", "/lib64/ld-linux-x86-64.so.2", "/bin/sh"]
        .iter()
        .filter_map(|path| std::fs::read(path).ok())
        .collect();
    while Instant::now() < end {
        seed = seed.wrapping_add(1);
        let result = std::panic::catch_unwind(|| {
            let mut numbers = Numbers(seed | 1);
            let mut bytes =
                samples.get(numbers.below(samples.len())).cloned().unwrap_or_else(|| vec![0; 4096]);
            for _ in 0..=numbers.below(8) {
                // Most of the rules are about the first bytes.
                let reach = [64, 1024, bytes.len()][numbers.below(3)].min(bytes.len());
                let at = numbers.below(reach);
                let value = numbers.next().to_le_bytes();
                let width = [1, 2, 4, 8][numbers.below(4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&value[..width]);
            }
            if numbers.below(4) == 0 {
                bytes.truncate(numbers.below(bytes.len()));
            }
            let bias = numbers.next() & 0x7fff_ffff_f000;
            for role in [Role::Program, Role::Interpreter] {
                if let Ok(plan) = plan(&bytes[..], role) {
                    let _ = (plan.entry_at(bias), plan.operations(bias));
                }
            }
            let _ = dynamic::read(&bytes);
            let _ = vdso::check(&bytes);
            let _ = script::parse(&bytes[..bytes.len().min(256)]);
        });
        assert!(result.is_ok(), "HULL_FUZZ_SEED={}", seed.wrapping_sub(1));
    }
}
