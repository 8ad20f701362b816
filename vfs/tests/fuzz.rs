//! Random paths, links in circles, renames and restrictions, for as long as `HULL_FUZZ_SECONDS` says: no question makes
//! the walk panic or hang, and what it finds is where it says.
//!
//! A failure prints the seed; `HULL_FUZZ_SEED` starts there again.
#![expect(clippy::tests_outside_test_module, clippy::unwrap_used, reason = "the whole file is a test")]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use abi::Errno;
use abi::fs::{
    O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDWR, O_TRUNC, RESOLVE_BENEATH, RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV,
};
use hal::fake::FakeMachine;
use vfs::fs::ram::{RamFs, RamOptions};
use vfs::{
    Caller, Credentials, Environment, Follow, Kind, MountOptions, NoEvents, PathText, Place, Recursive,
    Unmount, Vfs, Walk, Want,
};

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

    /// A path of few names, so that most of them exist, with what makes a walk take turns.
    fn path(&mut self) -> Vec<u8> {
        let mut path = Vec::new();
        if self.below(3) == 0 {
            path.push(b'/');
        }
        for _ in 0..self.below(9) {
            match self.below(40) {
                0..12 => path.push(b'a' + u8::try_from(self.below(6)).unwrap()),
                12..18 => path.extend_from_slice(b".."),
                18..21 => path.push(b'.'),
                21..30 => path.extend_from_slice(&[b'l', b'0' + u8::try_from(self.below(5)).unwrap()]),
                30 => path.extend(std::iter::repeat_n(b'n', 250 + self.below(10))),
                31 => path.push(u8::try_from(self.below(256)).unwrap().max(1)),
                32 => path.extend(std::iter::repeat_n(b'/', self.below(2000))),
                _ => path.push(b'm'),
            }
            if self.below(12) != 0 {
                path.push(b'/');
            }
        }
        if self.below(2) == 0 {
            while path.len() > 1 && path.last() == Some(&b'/') {
                path.pop();
            }
        }
        path
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A system of files with one below it, and where somebody stands.
struct World {
    environment: Environment,
    vfs: Vfs,
    root: Place,
    credentials: Credentials,
    places: Vec<Place>,
}

impl World {
    fn new(user: bool) -> Self {
        let platform = FakeMachine::new(1).platform;
        let environment =
            Environment { clock: platform.clock, entropy: platform.entropy, events: Arc::new(NoEvents) };
        let vfs = Vfs::new(environment.clone());
        let fs = RamFs::new(&environment, &RamOptions { mode: 0o777, ..RamOptions::default() });
        let root = vfs.mount_root(fs, "root");
        let credentials = if user { Credentials::user(1000, 1000) } else { Credentials::root() };
        Self { places: vec![root.clone()], environment, vfs, root, credentials }
    }

    fn walk<'a>(&'a self, start: &'a Place, root: &'a Place, resolve: u64) -> Walk<'a> {
        let caller = Caller { umask: 0o022, ..Caller::kernel(&self.credentials) };
        Walk { vfs: &self.vfs, caller, root, start, resolve }
    }

    fn step(&mut self, numbers: &mut Numbers) {
        let start = self.places[numbers.below(self.places.len())].clone();
        // Sometimes a root of one's own, as after chroot(2).
        let root = if numbers.below(6) == 0 { start.clone() } else { self.root.clone() };
        let resolve = if numbers.below(3) == 0 { restrictions(numbers) } else { 0 };
        let (path, other) = (numbers.path(), numbers.path());
        let walk = self.walk(&start, &root, resolve);
        match numbers.below(16) {
            0 | 1 => drop(walk.make_directory(&path, 0o755)),
            2 | 3 => drop(walk.make_symlink(&path, &other)),
            4 => drop(walk.make_node(&path, Kind::Fifo, 0o644, 0)),
            5 => drop(walk.unlink(&path)),
            6 => drop(walk.remove_directory(&path)),
            7 | 8 => {
                let flags = [0, 0, 0, 1, 2, 3, 7, 4][numbers.below(8)];
                let to = self.walk(&root, &root, resolve);
                let _ = walk.rename(&path, &to, &other, flags);
            }
            9 => {
                if let Ok(old) = walk.link_source(&path, Follow::No) {
                    let _ = walk.make_link(&other, &old);
                }
            }
            10 | 11 => {
                let flags =
                    [O_RDWR, O_CREAT, O_CREAT | O_EXCL, O_PATH, O_DIRECTORY, O_RDWR | O_TRUNC | O_CREAT];
                let more = [0, 0, O_NOFOLLOW, O_DIRECTORY][numbers.below(4)];
                if let Ok(file) = walk.open(&path, flags[numbers.below(flags.len())] | more | 0o4000, 0o644) {
                    self.agree(&walk, file.place());
                }
            }
            12 => self.mounts(&path, &start, &root, numbers),
            13 => {
                if let Ok(place) = walk.lookup_directory(&path) {
                    let at = numbers.below(6);
                    self.places.truncate(6);
                    if at < self.places.len() && at > 0 {
                        self.places[at] = place
                    } else {
                        self.places.push(place)
                    }
                }
            }
            _ => {
                let follow = if numbers.below(2) == 0 { Follow::Yes } else { Follow::No };
                if let Ok(place) = walk.lookup(&path, follow) {
                    self.agree(&walk, &place);
                    let _ = walk.access(&place, Want::READ);
                }
            }
        }
    }

    /// What was found is where it says, and where the question allows. With mounts, one may hide another.
    fn agree(&self, walk: &Walk<'_>, found: &Place) {
        let PathText::Absolute(path) = found.path(&self.root) else { return };
        if self.vfs.mount_list().len() > 1 || path.ends_with(b" (deleted)") {
            return;
        }
        let shown = String::from_utf8_lossy(&path).into_owned();
        if walk.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT) != 0 {
            assert!(
                matches!(found.path(walk.start), PathText::Absolute(_)),
                "{shown} is not below the start"
            );
        }
        let kernel = Credentials::root();
        let again =
            Walk { caller: Caller::kernel(&kernel), resolve: 0, ..self.walk(&self.root, &self.root, 0) };
        match again.lookup(&path, Follow::No) {
            Ok(place) => assert!(place.same(found), "{shown} is another file"),
            Err(Errno::ENAMETOOLONG) if path.len() >= 4096 => {}
            Err(e) => panic!("{shown} is not found again: {e:?}"),
        }
    }

    fn mounts(&self, path: &[u8], start: &Place, root: &Place, numbers: &mut Numbers) {
        let walk = self.walk(start, root, 0);
        let Ok(at) = walk.lookup(path, Follow::Yes) else { return };
        match numbers.below(4) {
            0 if self.vfs.mount_list().len() < 12 => {
                let fs = RamFs::new(&self.environment, &RamOptions { mode: 0o777, ..RamOptions::default() });
                let _ = self.vfs.mount(fs, "tmpfs", &at, MountOptions::default());
            }
            1 if self.vfs.mount_list().len() < 12 => {
                let from = &self.places[numbers.below(self.places.len())];
                let recursive = if numbers.below(2) == 0 { Recursive::Yes } else { Recursive::No };
                let _ = self.vfs.bind(from, &at, recursive);
            }
            2 => drop(self.vfs.move_mount(&at, start)),
            _ => {
                let how = [Unmount::Detach, Unmount::IfUnused][numbers.below(2)];
                let _ = self.vfs.unmount(&at, how);
            }
        }
    }
}

fn restrictions(numbers: &mut Numbers) -> u64 {
    let all = [RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV];
    let first = all[numbers.below(all.len())];
    let second = all[numbers.below(all.len())];
    let both = first | second;
    // The two exclude each other (`openat2(2)`).
    if both == RESOLVE_BENEATH | RESOLVE_IN_ROOT { first } else { both }
}

#[test]
#[ignore = "takes as long as it is told"]
fn fuzz_paths() {
    let end = Instant::now() + Duration::from_secs(setting("HULL_FUZZ_SECONDS").unwrap_or(5));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut seed =
        setting("HULL_FUZZ_SEED").unwrap_or_else(|| u64::from(now.subsec_nanos()) << 20 | now.as_secs());
    let mut rounds = 0_u64;
    while Instant::now() < end {
        seed = seed.wrapping_add(1);
        let result = std::panic::catch_unwind(|| {
            // Neighbouring seeds must not give neighbouring numbers.
            let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let mut world = World::new(seed.is_multiple_of(3));
            for _ in 0..400 {
                let start = Instant::now();
                world.step(&mut numbers);
                assert!(start.elapsed() < Duration::from_secs(5), "a step took {:?}", start.elapsed());
            }
        });
        assert!(result.is_ok(), "seed {seed}");
        rounds += 1;
    }
    assert!(rounds > 0);
}
