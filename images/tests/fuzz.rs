//! New damage on every run, for as long as `HULL_FUZZ_SECONDS` says: no image makes the reader panic or go on for ever.
//!
//! A failure prints the seed; `HULL_FUZZ_SEED` starts there again.
#![expect(clippy::tests_outside_test_module, clippy::unwrap_used, reason = "the whole file is a test")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use images::erofs::{Image, Options, build};
use images::tree::Tree;

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

fn sample() -> Vec<u8> {
    let mut tree = Tree::new();
    let why: Arc<str> = "fuzz".into();
    for (name, len) in [("/a", 0), ("/b", 100), ("/dir/c", 5000), ("/dir/sub/d", 9000)] {
        tree.file(name, 0o644, vec![7; len], &why).unwrap();
    }
    for i in 0..300 {
        tree.file(&format!("/many/file{i}"), 0o600, vec![1; i], &why).unwrap();
    }
    tree.symlink("/link", "dir/c", &why).unwrap();
    let mut out = Vec::new();
    build(&tree, &mut out, &Options::default(), |_| ()).unwrap();
    out
}

/// Reads all that an image claims to hold, with bounds of our own.
fn visit(image: &Image, nid: u64, depth: usize, left: &mut usize) {
    let Ok(inode) = image.inode(nid) else { return };
    let mut buffer = [0; 4096];
    let _ = image.read(&inode, 0, &mut buffer);
    let _ = image.target(&inode);
    let Ok(entries) = image.entries(&inode) else { return };
    for entry in entries {
        if depth < 6 && *left > 0 && entry.name != b"." && entry.name != b".." {
            *left -= 1;
            visit(image, entry.nid, depth + 1, left);
        }
    }
}

#[test]
#[ignore = "takes as long as it is told"]
fn fuzz_images() {
    let end = Instant::now() + Duration::from_secs(setting("HULL_FUZZ_SECONDS").unwrap_or(5));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut seed =
        setting("HULL_FUZZ_SEED").unwrap_or_else(|| u64::from(now.subsec_nanos()) << 20 | now.as_secs());
    let original = sample();
    let path = std::env::temp_dir().join(format!("hull-fuzz-{}", std::process::id()));
    while Instant::now() < end {
        seed = seed.wrapping_add(1);
        let mut numbers = Numbers(seed | 1);
        let mut bytes = original.clone();
        for _ in 0..=numbers.below(8) {
            let reach = [128, 16 << 10, bytes.len() - 1024][numbers.below(3)];
            let at = 1024 + numbers.below(reach).min(bytes.len() - 1025);
            let value = numbers.next().to_le_bytes();
            let width = [1, 2, 4, 8][numbers.below(4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&value[..width]);
        }
        if numbers.below(4) == 0 {
            bytes.truncate(numbers.below(bytes.len()));
        }
        std::fs::write(&path, &bytes).unwrap();
        let result = std::panic::catch_unwind(|| {
            if let Ok(image) = Image::open(&path)
                && let Ok(root) = image.root()
            {
                let _ = image.find(Path::new("/link"), images::erofs::Follow::Yes);
                let _ = image.entries(&root);
                let mut left = 2000;
                for nid in 0..64 {
                    visit(&image, nid, 0, &mut left);
                }
            }
        });
        assert!(result.is_ok(), "HULL_FUZZ_SEED={}", seed.wrapping_sub(1));
    }
    let _ = std::fs::remove_file(&path);
}
