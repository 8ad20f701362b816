use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, O_CREAT, O_RDWR, RENAME_EXCHANGE};
use hal::sync::{Lock, rank};
use hal::{Dest, Frame, PAGE_SIZE, Source};

use super::{RamFs, RamOptions};
use crate::fs::overlay;
use crate::node::WriteAt;
use crate::{
    Caller, Credentials, Environment, Event, Events, FileSystem, Follow, Kind, NewNode, NoEvents, Node,
    PageUse, Place, Vfs, Walk,
};

pub(crate) fn environment() -> Environment {
    let platform = hal::fake::FakeMachine::new(1).platform;
    Environment { clock: platform.clock, entropy: platform.entropy, events: Arc::new(NoEvents) }
}

fn new_file() -> NewNode {
    NewNode { kind: Kind::File, mode: 0o644, uid: 0, gid: 0, rdev: 0 }
}

fn write(node: &dyn Node, offset: u64, bytes: &[u8]) -> abi::Result<usize> {
    node.write_at(&mut WriteAt::offset(offset), &mut Source::kernel(bytes))
}

fn read(node: &dyn Node, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; len];
    let n = node.read_at(offset, &mut Dest::kernel(&mut bytes)).expect("reads");
    bytes.truncate(n);
    bytes
}

fn page(node: &dyn Node, index: u64, usage: PageUse) -> Frame {
    node.page(index, usage).expect("a page")
}

#[test]
fn a_mapped_page_is_the_page_that_is_read_and_written() {
    let fs = RamFs::new(&environment(), &RamOptions::default());
    let node = fs.root().create(b"f", &new_file(), b"").expect("creates");
    write(&*node, 0, b"first").expect("writes");
    let frame = page(&*node, 0, PageUse::Write);
    write(&*node, 1, b"I").expect("writes");
    let mut seen = [0; 5];
    frame.read(0, &mut seen);
    assert_eq!(&seen, b"fIrst");
    frame.write(4, b"T");
    assert_eq!(read(&*node, 0, 10), b"fIrsT");
    // What a mapping leaves behind the end does not appear when the file grows.
    frame.write(5, b"rubbish");
    node.truncate(8).expect("grows");
    assert_eq!(read(&*node, 0, 10), b"fIrsT\0\0\0");
    assert_eq!(node.page(1, PageUse::Read).err(), Some(Errno::EINVAL));
}

#[test]
fn the_size_limit_holds_and_is_given_back() {
    let options = RamOptions { pages: Some(3), ..RamOptions::default() };
    let fs = RamFs::new(&environment(), &options);
    let node = fs.root().create(b"f", &new_file(), b"").expect("creates");
    assert_eq!(write(&*node, 0, &[1; 5 * PAGE_SIZE]), Ok(3 * PAGE_SIZE), "as much as fits");
    assert_eq!(write(&*node, 3 * PAGE_SIZE as u64, b"x"), Err(Errno::ENOSPC));
    assert_eq!(fs.status().blocks_free, 0);
    node.truncate(1).expect("shrinks");
    assert_eq!(fs.status().blocks_free, 2);
    fs.root().unlink(b"f", &node).expect("unlinks");
    drop(node);
    assert_eq!(fs.status().blocks_free, 3);
}

#[test]
fn options_are_read_as_tmpfs_reads_them() {
    let options = RamOptions::parse(b"size=1m,mode=0755,uid=7,nr_inodes=10").expect("known options");
    assert_eq!((options.pages, options.mode, options.uid, options.nodes), (Some(256), 0o755, 7, Some(10)));
    for bad in [&b"size=x"[..], b"nonsense", b"mode=9", b"size="] {
        assert_eq!(RamOptions::parse(bad), Err(Errno::EINVAL), "{bad:?}");
    }
}

#[test]
fn seals_forbid_what_they_name() {
    let fs = RamFs::new(&environment(), &RamOptions::default());
    let file = fs.memory_file(0o777, 0, 0, 0).expect("a memory file");
    write(&*file, 0, &[7; 100]).expect("writes");
    file.add_seals(F_SEAL_GROW, false).expect("seals");
    assert_eq!(write(&*file, 90, &[8; 20]), Ok(10), "up to the size");
    assert_eq!(write(&*file, 100, b"x"), Err(Errno::EPERM));
    assert_eq!(file.truncate(101), Err(Errno::EPERM));
    file.truncate(50).expect("may shrink");
    file.add_seals(F_SEAL_SHRINK, false).expect("seals");
    assert_eq!(file.truncate(10), Err(Errno::EPERM));
    assert_eq!(file.add_seals(F_SEAL_WRITE, true), Err(Errno::EBUSY));
    file.add_seals(F_SEAL_WRITE | F_SEAL_SEAL, false).expect("seals");
    assert_eq!(write(&*file, 0, b"x"), Err(Errno::EPERM));
    assert_eq!(file.add_seals(F_SEAL_GROW, false), Err(Errno::EPERM));
    assert_eq!(file.seals(), Ok(F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL));
}

#[test]
fn a_program_that_runs_is_not_written_to() {
    let fs = RamFs::new(&environment(), &RamOptions::default());
    let node = fs.root().create(b"f", &new_file(), b"").expect("creates");
    node.deny_write_access().expect("nobody writes");
    assert_eq!(node.get_write_access(), Err(Errno::ETXTBSY));
    node.allow_write_access();
    node.get_write_access().expect("nobody runs it");
    assert_eq!(node.deny_write_access(), Err(Errno::ETXTBSY));
}

/// Notes which pages mappings were told to drop.
#[derive(Default)]
struct Dropped(Lock<Vec<core::ops::Range<u64>>, { rank::LEAF }>);

impl Events for Dropped {
    fn happened(&self, _: &Event<'_>) {}

    fn unmap(&self, _: &Arc<dyn Node>, pages: core::ops::Range<u64>) {
        self.0.lock().push(pages);
    }
}

/// An overlay above a file system in memory, which is as good a lower one as any.
fn layered() -> (Arc<Dropped>, Arc<dyn FileSystem>, Arc<RamFs>) {
    let dropped = Arc::new(Dropped::default());
    let environment = Environment { events: Arc::clone(&dropped) as Arc<dyn Events>, ..environment() };
    let lower: Arc<dyn FileSystem> = RamFs::new(&environment, &RamOptions::default());
    let root = lower.root();
    let file = root.create(b"file", &new_file(), b"").expect("creates");
    write(&*file, 0, &[1; 3 * PAGE_SIZE + 10]).expect("writes");
    root.link(b"other", &file).expect("links");
    let directory = NewNode { kind: Kind::Directory, mode: 0o755, ..new_file() };
    let directory = root.create(b"dir", &directory, b"").expect("creates");
    directory.create(b"inner", &new_file(), b"").expect("creates");
    let fs = overlay::above(&environment, &lower, &RamOptions::default());
    (dropped, lower, fs)
}

#[test]
fn a_write_copies_one_page_of_the_lower_file() {
    let (dropped, lower, fs) = layered();
    let below = lower.root().lookup(b"file").expect("is there");
    let file = fs.root().lookup(b"file").expect("is there");
    let (before, untouched) = (page(&*file, 1, PageUse::Read), page(&*file, 2, PageUse::Read));
    assert_eq!(before, page(&*below, 1, PageUse::Read), "given out without a copy");
    write(&*file, PAGE_SIZE as u64 + 5, b"new").expect("writes");
    assert_ne!(page(&*file, 1, PageUse::Read), before);
    assert_eq!(page(&*file, 2, PageUse::Read), untouched);
    assert_eq!(dropped.0.lock().pop(), Some(1..2), "mappings of the old page are told");
    assert!(dropped.0.lock().is_empty());
    assert_eq!(fs.status().blocks - fs.status().blocks_free, 1);
    assert_eq!(read(&*file, PAGE_SIZE as u64 + 4, 5), b"\x01new\x01");
    assert_eq!(read(&*below, PAGE_SIZE as u64 + 4, 5), [1; 5]);
    // The other name is the same file, also after every reference has gone.
    let ino = file.metadata().ino;
    drop((file, before, untouched));
    let other = fs.root().lookup(b"other").expect("is there");
    assert_eq!((other.metadata().ino, other.metadata().nlink), (ino, 2));
    assert_eq!(read(&*other, PAGE_SIZE as u64 + 4, 5), b"\x01new\x01");
}

#[test]
fn cutting_and_growing_a_lower_file_shows_zeros() {
    let (_, _, fs) = layered();
    let file = fs.root().lookup(b"file").expect("is there");
    file.truncate(PAGE_SIZE as u64 + 1).expect("shrinks");
    file.truncate(3 * PAGE_SIZE as u64).expect("grows");
    let bytes = read(&*file, 0, 4 * PAGE_SIZE);
    assert_eq!(bytes.len(), 3 * PAGE_SIZE);
    assert!(bytes[..=PAGE_SIZE].iter().all(|&b| b == 1) && bytes[PAGE_SIZE + 1..].iter().all(|&b| b == 0));
}

fn walk_on<R>(fs: Arc<RamFs>, f: impl FnOnce(&Walk<'_>) -> R) -> R {
    let vfs = Vfs::new(environment());
    let root: Place = vfs.mount_root(fs, "test");
    let credentials = Credentials::root();
    let caller = Caller::kernel(&credentials);
    f(&Walk { vfs: &vfs, caller, root: &root, start: &root, resolve: 0 })
}

#[test]
fn directories_of_the_lower_file_system_can_be_renamed_and_removed() {
    let (_, _, fs) = layered();
    walk_on(Arc::clone(&fs), |walk| {
        let before = walk.lookup(b"/dir", Follow::Yes).expect("is there").metadata().ino;
        walk.rename(b"/dir", walk, b"/moved", 0).expect("renames");
        assert_eq!(walk.lookup(b"/dir", Follow::Yes).err(), Some(Errno::ENOENT));
        assert_eq!(walk.lookup(b"/moved", Follow::Yes).expect("moved").metadata().ino, before);
        assert_eq!(walk.remove_directory(b"/moved"), Err(Errno::ENOTEMPTY));
        walk.make_directory(b"/dir", 0o755).expect("the name is free");
        assert_eq!(
            walk.lookup(b"/dir/inner", Follow::Yes).err(),
            Some(Errno::ENOENT),
            "nothing shines through"
        );
        walk.rename(b"/dir", walk, b"/moved", RENAME_EXCHANGE).expect("exchanges");
        walk.lookup(b"/dir/inner", Follow::Yes).expect("came back");
        walk.unlink(b"/dir/inner").expect("unlinks");
        walk.remove_directory(b"/dir").expect("is empty now");
        let mut names = Vec::new();
        let root = walk.open(b"/", 0, 0).expect("opens");
        root.read_dir(&mut |entry| {
            names.push(entry.name.to_vec());
            true
        })
        .expect("reads");
        names.sort();
        assert_eq!(names, [&b"."[..], b"..", b"file", b"moved", b"other"]);
    });
}

#[test]
fn reading_a_directory_goes_on_where_it_was_while_names_go() {
    let fs = RamFs::new(&environment(), &RamOptions::default());
    walk_on(fs, |walk| {
        for i in 0..100 {
            let name = alloc::format!("/f{i}");
            walk.open(name.as_bytes(), O_CREAT | O_RDWR, 0o600).expect("creates");
        }
        let root = walk.open(b"/", 0, 0).expect("opens");
        let mut seen = 0;
        loop {
            let mut found = Vec::new();
            root.read_dir(&mut |entry| {
                found.push(entry.name.to_vec());
                found.len() < 8
            })
            .expect("reads");
            // The eighth was refused, so it comes again.
            let refused = if found.len() == 8 { found.pop() } else { None };
            if found.is_empty() {
                break;
            }
            for name in found.iter().filter(|name| name[0] != b'.') {
                walk.unlink(&[b"/", &name[..]].concat()).expect("unlinks");
                seen += 1;
            }
            drop(refused);
        }
        assert_eq!(seen, 100, "rm -r sees every name once");
    });
}

#[test]
fn a_deep_tree_is_taken_down_without_deep_recursion() {
    let fs = RamFs::new(&environment(), &RamOptions::default());
    let directory = NewNode { kind: Kind::Directory, mode: 0o755, ..new_file() };
    let mut node = fs.root();
    for _ in 0..50_000 {
        node = node.create(b"d", &directory, b"").expect("creates");
    }
    drop(node);
    drop(fs);
}
