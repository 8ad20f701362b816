//! The builder against three independent readers: this crate's, the `erofs-rs` crate, and `fsck.erofs`.

use super::*;
use crate::tree::{Body, Meta, Node, Source, Tree};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

fn why() -> Arc<str> {
    "test".into()
}

fn node(mode: u16, body: Body) -> Node {
    Node { meta: Meta::fixed(mode), body, xattrs: Vec::new(), reason: why() }
}

fn bytes(len: usize, seed: u32) -> Vec<u8> {
    let mut x = seed.wrapping_mul(2_654_435_761) | 1;
    std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x.to_le_bytes()[1]
    })
    .take(len)
    .collect()
}

/// A tree with every kind of node, every layout and every boundary length.
fn sample(dir: &Path) -> Tree {
    let mut tree = Tree::new();
    for (n, len) in [0usize, 1, 31, 1999, 2000, 2001, 4095, 4096, 4097, 8192, 70_000].into_iter().enumerate()
    {
        tree.file(&format!("/files/of-{len}"), 0o644, bytes(len, u32::try_from(n).unwrap()), &why()).unwrap();
    }
    let host = dir.join("host-file");
    std::fs::write(&host, bytes(3_000_000, 99)).unwrap();
    std::fs::hard_link(&host, dir.join("host-link")).unwrap();
    tree.take(&host, Path::new("/host/file"), &why()).unwrap();
    tree.take(&dir.join("host-link"), Path::new("/host/link"), &why()).unwrap();
    for n in 0..700 {
        tree.file(&format!("/many/entry-with-a-rather-long-name-{n:04}"), 0o600, bytes(n, 7), &why())
            .unwrap();
    }
    for n in 0..170 {
        tree.symlink(&format!("/links/{}-{n}", "x".repeat(n % 200)), &"t/".repeat(n * 12 + 1), &why())
            .unwrap();
    }
    tree.dir("/tmp", 0o1777, &why()).unwrap();
    tree.dir("/empty", 0o700, &why()).unwrap();
    tree.insert(Path::new("/dev/null"), node(0o666, Body::Char(1, 3))).unwrap();
    tree.insert(Path::new("/dev/big"), node(0o600, Body::Block(259, 70_000))).unwrap();
    tree.insert(Path::new("/dev/fifo"), node(0o644, Body::Fifo)).unwrap();
    tree.insert(Path::new("/dev/sock"), node(0o755, Body::Socket)).unwrap();
    let mut odd = node(0o4755, Body::File(Source::Bytes(bytes(100, 1)), 100));
    odd.meta = Meta { uid: 70_000, gid: 3, mtime: 1_700_000_000, mtime_ns: 5, ..odd.meta };
    odd.xattrs = vec![
        (b"security.capability".to_vec(), vec![1, 2, 3, 4, 5]),
        (b"user.long".to_vec(), bytes(1500, 2)),
        (b"user.x".to_vec(), Vec::new()),
    ];
    tree.insert(Path::new("/odd"), odd).unwrap();
    tree
}

fn make(dir: &Path) -> (Tree, PathBuf) {
    let tree = sample(dir);
    let path = dir.join("image");
    let mut file = std::fs::File::create(&path).unwrap();
    let summary = build(&tree, &mut file, &Options::default(), |_| {}).unwrap();
    assert_eq!(summary.bytes, std::fs::metadata(&path).unwrap().len());
    assert_eq!(summary.bytes % BLOCK, 0);
    (tree, path)
}

fn content(source: &Source) -> Vec<u8> {
    match source {
        Source::Bytes(bytes) => bytes.clone(),
        Source::Host(path) => std::fs::read(path).unwrap(),
    }
}

#[test]
fn the_reader_finds_what_the_builder_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, path) = make(dir.path());
    let image = Image::open(&path).unwrap();
    let mut seen = 0;
    tree.walk(|path, id| {
        let node = tree.node(id);
        let inode = image.find(path, Follow::No).unwrap();
        assert_eq!(inode.meta, node.meta, "{}", path.display());
        seen += 1;
        match &node.body {
            Body::Dir(entries) => {
                let names: Vec<Vec<u8>> =
                    image.entries(&inode).unwrap().into_iter().map(|e| e.name).collect();
                assert!(names.iter().eq(entries.keys()), "{}", path.display());
            }
            Body::File(source, len) => {
                assert_eq!((inode.kind, inode.size), (Kind::File, *len));
                let mut out = vec![0; usize::try_from(*len).unwrap() + 10];
                let got = image.read(&inode, 0, &mut out).unwrap();
                assert_eq!(&out[..got], content(source), "{}", path.display());
            }
            Body::Symlink(target) => assert_eq!(&image.target(&inode).unwrap(), target),
            Body::Char(a, b) => assert_eq!(inode.kind, Kind::Char(*a, *b)),
            Body::Block(a, b) => assert_eq!(inode.kind, Kind::Block(*a, *b)),
            Body::Fifo => assert_eq!(inode.kind, Kind::Fifo),
            Body::Socket => assert_eq!(inode.kind, Kind::Socket),
        }
    });
    assert_eq!(seen, tree.len() + 1, "one node has two names");
    let (a, b) = (Path::new("/host/file"), Path::new("/host/link"));
    let (a, b) = (image.find(a, Follow::Yes).unwrap(), image.find(b, Follow::Yes).unwrap());
    assert_eq!((a.nid, a.links), (b.nid, 2));
    assert_eq!(image.root().unwrap().links, 2 + 7);
}

#[test]
fn a_file_page_is_an_image_page() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, path) = make(dir.path());
    let raw = std::fs::read(&path).unwrap();
    for name in ["/files/of-2001", "/files/of-4097", "/files/of-70000"] {
        let id = tree.find(Path::new(name)).unwrap();
        let Body::File(source, _) = &tree.node(id).body else { panic!("{name} is a file") };
        let mut padded = content(source);
        padded.resize(padded.len().next_multiple_of(4096), 0);
        assert!(
            raw.chunks(4096).collect::<Vec<_>>().windows(padded.len() / 4096).any(|w| w.concat() == padded)
        );
    }
}

#[test]
fn the_same_tree_gives_the_same_image() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, path) = make(dir.path());
    let mut again = Vec::new();
    build(&tree, &mut again, &Options::default(), |_| {}).unwrap();
    assert!(std::fs::read(path).unwrap() == again);
}

#[test]
fn late_times_are_clamped() {
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(dir.path());
    let path = dir.path().join("clamped");
    let mut file = std::fs::File::create(&path).unwrap();
    build(&tree, &mut file, &Options { latest_time: Some(1_600_000_000) }, |_| {}).unwrap();
    let image = Image::open(&path).unwrap();
    let odd = image.find(Path::new("/odd"), Follow::No).unwrap();
    assert_eq!((odd.meta.mtime, odd.meta.mtime_ns), (1_600_000_000, 0));
}

#[test]
fn fsck_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let (_, path) = make(dir.path());
    let Ok(out) = Command::new("fsck.erofs").arg("--extract").arg(&path).output() else {
        eprintln!("fsck.erofs is not installed: skipped");
        return;
    };
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && !text.contains("<E>"), "{text}");
}

#[test]
fn images_of_mkfs_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    std::fs::write(root.join("a/b/file"), bytes(10_000, 3)).unwrap();
    std::os::unix::fs::symlink("b/file", root.join("a/link")).unwrap();
    let path = dir.path().join("image");
    let Ok(out) = Command::new("mkfs.erofs").arg(&path).arg(&root).output() else {
        eprintln!("mkfs.erofs is not installed: skipped");
        return;
    };
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let image = Image::open(&path).unwrap();
    let inode = image.find(Path::new("/a/link"), Follow::Yes).unwrap();
    let mut out = vec![0; 10_000];
    assert_eq!(image.read(&inode, 0, &mut out).unwrap(), 10_000);
    assert_eq!(out, bytes(10_000, 3));
}

#[test]
fn hostile_images_give_errors() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = Tree::new();
    tree.file("/a/b", 0o644, bytes(100, 1), &why()).unwrap();
    tree.symlink("/a/l", "b", &why()).unwrap();
    tree.file("/c", 0o644, bytes(5000, 1), &why()).unwrap();
    let mut good = Vec::new();
    build(&tree, &mut good, &Options::default(), |_| {}).unwrap();
    let path = dir.path().join("image");
    std::fs::write(&path, &good).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    // Every bit of the superblock (its checksum switched off) and of the inodes and directories.
    let mut ok = 0;
    good[1024 + 8] &= !1;
    file.write_all_at(&good[..4096], 0).unwrap();
    for bit in (1024 * 8..(1024 + 128) * 8).chain(4096 * 8..(4096 + 600) * 8) {
        let at = bit / 8;
        file.write_all_at(&[good[at] ^ 1 << (bit % 8)], at as u64).unwrap();
        if let Ok(image) = Image::open(&path) {
            ok += usize::from(visit(&image).is_ok());
        }
        file.write_all_at(&good[at..=at], at as u64).unwrap();
    }
    assert!(ok > 0, "flipped times and owners still read");
    for cut in [0, 1000, 1100, 4096, 4200, good.len() - 1] {
        std::fs::write(&path, &good[..cut]).unwrap();
        assert!(Image::open(&path).is_err(), "cut at {cut}");
    }
}

/// Reads everything to a bounded depth (a damaged image may loop).
fn visit(image: &Image) -> anyhow::Result<()> {
    let mut stack = vec![(image.root()?, 0)];
    let mut left = 100;
    while let Some((inode, depth)) = stack.pop() {
        left -= 1;
        anyhow::ensure!(left > 0 && depth < 10, "loop");
        match inode.kind {
            Kind::Dir => {
                for entry in image.entries(&inode)? {
                    stack.push((image.inode(entry.nid)?, depth + 1));
                }
            }
            Kind::Symlink => drop(image.target(&inode)?),
            _ => drop(image.read(&inode, 0, &mut [0; 9000])?),
        }
    }
    Ok(())
}

#[test]
fn an_independent_crate_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, path) = make(dir.path());
    let raw = std::fs::read(path).unwrap();
    let image = erofs_rs::EroFS::new(erofs_rs::backend::SliceImage::new(&raw)).unwrap();
    tree.walk(|path, id| match &tree.node(id).body {
        Body::Dir(entries) => {
            let mut names: Vec<Vec<u8>> = image
                .read_dir(path.to_str().unwrap())
                .unwrap()
                .map(|e| e.unwrap().dir_entry.file_name().to_owned())
                .collect();
            names.retain(|n| n != b"." && n != b"..");
            assert!(names.iter().eq(entries.keys()), "{}", path.display());
        }
        Body::File(source, _) => {
            let mut out = Vec::new();
            image.open(path.to_str().unwrap()).unwrap().read_to_end(&mut out).unwrap();
            assert!(out == content(source), "{}", path.display());
        }
        _ => {}
    });
}
