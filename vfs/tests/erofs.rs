//! EROFS images that `mkfs.erofs` made: what is read equals what went in, and damage gives errors, never a panic or a hang.

#![expect(clippy::tests_outside_test_module, reason = "an integration test is all test")]

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use abi::Errno;
use hal::{Dest, Frame, PAGE_SIZE, PageStore};
use vfs::fs::erofs::Erofs;
use vfs::{Caller, Credentials, FileSystem, Kind, Node, PageUse};

struct Store(Vec<Frame>);

impl Store {
    fn new(bytes: &[u8]) -> Arc<Self> {
        let frames = bytes.chunks(PAGE_SIZE).map(|page| {
            let frame = Frame::zeroed().expect("memory");
            frame.write(0, page);
            frame
        });
        Arc::new(Self(frames.collect()))
    }
}

impl PageStore for Store {
    fn len(&self) -> u64 {
        (self.0.len() * PAGE_SIZE) as u64
    }

    fn page(&self, index: u64) -> abi::Result<Frame> {
        usize::try_from(index).ok().and_then(|i| self.0.get(i)).cloned().ok_or(Errno::EINVAL)
    }
}

/// A directory with every kind of file and layout, removed at the end.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let base = std::env::temp_dir().join(format!("vfs-erofs-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&base);
        std::fs::create_dir_all(base.join("tree/many")).expect("directories");
        let tree = base.join("tree");
        for (name, len) in [
            ("empty", 0),
            ("short", 5),
            ("inline", 1900),
            ("page", 4096),
            ("odd", 10_000),
            ("large", 300_000),
        ] {
            let bytes: Vec<u8> = (0..len).map(|i: u32| (i * 7 + i / 4096).to_le_bytes()[0]).collect();
            std::fs::write(tree.join(name), bytes).expect("a file");
        }
        for i in 0..600 {
            std::fs::write(tree.join(format!("many/file-with-a-long-name-{i:04}")), format!("{i}"))
                .expect("a file");
        }
        std::fs::hard_link(tree.join("odd"), tree.join("odd-again")).expect("a link");
        std::os::unix::fs::symlink("many/../short", tree.join("link")).expect("a link");
        std::os::unix::fs::symlink("x".repeat(4000), tree.join("long-link")).expect("a link");
        let _ =
            rustix::fs::setxattr(tree.join("short"), "user.note", b"hello", rustix::fs::XattrFlags::empty());
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, tree.join("fifo"), fifo, rustix::fs::Mode::RUSR, 0)
            .expect("a fifo");
        Self(base)
    }

    fn image(&self) -> Option<Vec<u8>> {
        let image = self.0.join("image");
        let run = std::process::Command::new("mkfs.erofs")
            .args(["-x1", "--quiet"])
            .arg(&image)
            .arg(self.0.join("tree"))
            .output();
        let Ok(output) = run else {
            eprintln!("note: skipped, for there is no mkfs.erofs (Debian package erofs-utils)");
            return None;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(std::fs::read(image).expect("the image"))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn contents(node: &dyn Node) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(node.size()).expect("small") + 10];
    let n = node.read_at(0, &mut Dest::kernel(&mut bytes)).expect("reads");
    bytes.truncate(n);
    bytes
}

fn names(node: &dyn Node) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    let mut cursor = 0;
    loop {
        let before = names.len();
        cursor = node
            .read_dir(cursor, 0, &mut |entry| {
                let fits = names.len() < before + 7;
                if fits {
                    names.push(entry.name.to_vec());
                }
                fits
            })
            .expect("lists");
        if names.len() == before {
            return names;
        }
    }
}

fn compare(host: &Path, node: &Arc<dyn Node>, caller: &Caller<'_>) {
    let expected = std::fs::symlink_metadata(host).expect("there");
    let m = node.metadata();
    assert_eq!(m.st_mode(), expected.mode(), "{host:?}");
    assert_eq!(
        (m.uid, m.gid, u64::from(m.nlink)),
        (expected.uid(), expected.gid(), expected.nlink()),
        "{host:?}"
    );
    assert_eq!(m.mtime.seconds, expected.mtime(), "{host:?}");
    match m.kind {
        Kind::File => {
            let bytes = std::fs::read(host).expect("reads");
            assert_eq!(contents(&**node), bytes, "{host:?}");
            for (index, page) in bytes.chunks(PAGE_SIZE).enumerate() {
                let mut seen = vec![0; page.len()];
                node.page(index as u64, PageUse::Read).expect("a page").read(0, &mut seen);
                assert_eq!(seen, page, "{host:?} page {index}");
            }
        }
        Kind::Symlink => {
            let target = std::fs::read_link(host).expect("a link");
            assert_eq!(node.read_link(caller).expect("a link"), target.as_os_str().as_bytes());
        }
        Kind::Directory => {
            let mut listed = names(&**node);
            listed.retain(|name| name != b"." && name != b"..");
            let mut expected: Vec<_> = std::fs::read_dir(host)
                .expect("lists")
                .map(|entry| entry.expect("an entry").file_name().as_bytes().to_vec())
                .collect();
            listed.sort();
            expected.sort();
            assert_eq!(listed, expected, "{host:?}");
            for name in listed {
                let child = node.lookup(&name).expect("is listed");
                compare(&host.join(std::ffi::OsStr::from_bytes(&name)), &child, caller);
            }
            assert_eq!(node.lookup(b"no such name").err(), Some(Errno::ENOENT));
            assert_eq!(node.lookup(b"\xff").err(), Some(Errno::ENOENT));
        }
        _ => {}
    }
}

#[test]
fn an_image_of_mkfs_reads_as_the_directory_that_it_was_made_from() {
    let tree = Tree::new("read");
    let Some(image) = tree.image() else { return };
    let fs = Erofs::open(Store::new(&image), 1).expect("an image");
    let credentials = Credentials::root();
    compare(&tree.0.join("tree"), &fs.root(), &Caller::kernel(&credentials));
    let short = fs.root().lookup(b"short").expect("there");
    match rustix::fs::getxattr(tree.0.join("tree/short"), "user.note", &mut [0; 100][..]) {
        Ok(_) => assert_eq!(short.xattr(b"user.note").as_deref(), Ok(&b"hello"[..])),
        Err(_) => eprintln!("note: the host's file system has no extended attributes"),
    }
    assert_eq!(short.xattr(b"user.none").err(), Some(Errno::ENODATA));
}

/// Reads everything that can be reached, with a bound: a damaged image may name a directory below itself.
fn read_all(fs: &Arc<Erofs>, caller: &Caller<'_>) {
    let mut left = 3000;
    let mut waiting = vec![(fs.root(), 0)];
    while let Some((node, depth)) = waiting.pop() {
        if left == 0 {
            return;
        }
        left -= 1;
        let _ = node.metadata();
        let _ = node.read_link(caller);
        let _ = node.list_xattr(&mut |_| {});
        let _ = node.xattr(b"user.note");
        let mut piece = [0; 64];
        for offset in [0, 1, 4095, 4096, 299_999, node.size().saturating_sub(1), u64::MAX / 2, u64::MAX] {
            let _ = node.read_at(offset, &mut Dest::kernel(&mut piece));
            let _ = node.page(offset / PAGE_SIZE as u64, PageUse::Read);
        }
        let mut names = Vec::new();
        let listed = node.read_dir(0, 0, &mut |entry| {
            names.push(entry.name.to_vec());
            names.len() < 1000
        });
        for cursor in [1, 5, 1023, 1024, 1 << 40, u64::MAX] {
            let _ = node.read_dir(cursor, 0, &mut |_| false);
        }
        let _ = (listed, node.lookup(b"short"), node.lookup(b"\0"), node.lookup(&[0xff; 255]));
        for name in names.iter().take(40) {
            if depth < 4
                && name != b"."
                && name != b".."
                && let Ok(child) = node.lookup(name)
            {
                waiting.push((child, depth + 1));
            }
        }
    }
}

#[test]
fn damaged_images_give_errors() {
    let tree = Tree::new("damage");
    let Some(image) = tree.image() else { return };
    let credentials = Credentials::root();
    let caller = Caller::kernel(&credentials);
    let mut state: u64 = 0x1234_5678_9abc_def1;
    let mut random = move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    };
    // Without a checksum to refuse them early, damaged superblocks get further.
    let mut plain = image.clone();
    plain[1024 + 8] &= !1;
    let metadata = plain.len().min(64 << 10) as u64;
    let mut opened = 0;
    for round in 0..3000 {
        let mut bytes = plain.clone();
        for _ in 0..=random() % 8 {
            // Most of the damage goes where the structure is.
            let at = match random() % 4 {
                0 => 1024 + random() % 128,
                1 => random() % (bytes.len() as u64),
                _ => random() % metadata,
            };
            let at = usize::try_from(at).expect("small").min(bytes.len() - 1);
            bytes[at] = match random() % 4 {
                0 => 0xff,
                1 => 0,
                2 => bytes[at] ^ (1 << (random() % 8)),
                _ => random().to_le_bytes()[0],
            };
        }
        if round % 10 == 0 {
            bytes.truncate(usize::try_from(random()).unwrap_or(usize::MAX) % bytes.len());
        }
        if let Ok(fs) = Erofs::open(Store::new(&bytes), 1) {
            opened += 1;
            read_all(&fs, &caller);
        }
    }
    assert!(opened > 1000, "only {opened} images could be opened at all");
}
