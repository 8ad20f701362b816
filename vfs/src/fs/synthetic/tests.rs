use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::fs::{O_RDONLY, O_RDWR, O_WRONLY};
use abi::{Errno, Result};
use hal::{Dest, Source};

use super::*;
use crate::credentials::Credentials;
use crate::types::NewNode;
use crate::{DirEntry, WriteAt};

fn build(manner: Manner, root: Folder) -> Arc<Synthetic> {
    let machine = hal::fake::FakeMachine::new(1);
    let description = Description { name: "proc", magic: 0x9fa0, dev: 7, manner };
    Synthetic::new(description, machine.platform.clock, Entry::directory(root))
}

fn open(node: &Arc<dyn Node>, flags: u32) -> Result<Arc<dyn Node>> {
    let root = Credentials::root();
    node.open(flags, &Caller { pid: 3, ..Caller::kernel(&root) }).map(Option::unwrap)
}

fn read(node: &Arc<dyn Node>, offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut bytes = alloc::vec![0; len];
    let count = node.read_at(offset, &mut Dest::kernel(&mut bytes))?;
    bytes.truncate(count);
    Ok(bytes)
}

fn names(node: &Arc<dyn Node>, step: usize) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    let mut cursor = 0;
    loop {
        let before = all.len();
        let mut sink = |entry: &DirEntry<'_>| {
            let fits = all.len() < before + step;
            if fits {
                all.push((String::from_utf8_lossy(entry.name).into_owned(), entry.ino));
            }
            fits
        };
        let next = node.read_dir(cursor, 99, &mut sink).unwrap();
        if all.len() == before {
            return all;
        }
        cursor = next;
    }
}

struct Pids;

impl Directory for Pids {
    fn lookup(&self, name: &[u8]) -> Result<Entry> {
        static ROWS: [Row<u64>; 2] = [
            Row { name: "stat", kind: Kind::File, make: |pid| Ok(Entry::text(pid.to_string())) },
            Row { name: "fd", kind: Kind::Directory, make: |_| Ok(Entry::directory(Folder::new())) },
        ];
        match core::str::from_utf8(name).unwrap().parse::<u64>() {
            Ok(pid @ (1 | 5)) => Ok(Entry::directory(Rows { about: pid, rows: &ROWS }).owner(1000, 1000)),
            _ => Err(Errno::ENOENT),
        }
    }

    fn list(&self, cursor: u64, sink: &mut ListSink<'_>) -> Result<()> {
        for pid in [1, 5] {
            if pid >= cursor && !sink(pid.to_string().as_bytes(), Kind::Directory, pid + 1) {
                break;
            }
        }
        Ok(())
    }
}

#[test]
fn contents_stay_for_one_opening_until_it_reads_from_the_start() {
    let count = AtomicU64::new(0);
    let file = Entry::file_fn(0o444, move |caller| {
        Ok(format!("{} {}\n", caller.pid, count.fetch_add(1, Ordering::SeqCst)).into_bytes())
    });
    let fs = build(Manner::Proc, Folder::new().with("count", file));
    let node = fs.root().lookup(b"count").unwrap();
    assert_eq!(node.size(), 0);
    let (a, b) = (open(&node, O_RDONLY).unwrap(), open(&node, O_RDONLY).unwrap());
    assert_eq!(read(&a, 0, 2).unwrap(), b"3 ");
    assert_eq!(read(&b, 2, 9).unwrap(), b"1\n");
    assert_eq!(read(&a, 2, 9).unwrap(), b"0\n", "goes on with what it began");
    assert_eq!(read(&a, 4, 9).unwrap(), b"");
    assert_eq!(read(&a, 0, 9).unwrap(), b"3 2\n", "begins anew");
}

#[test]
fn listings_agree_with_lookups_however_small_the_buffer() {
    let root = Folder::new()
        .with("version", Entry::text("1\n"))
        .folder("sys", Folder::new().folder("kernel", Folder::new()))
        .with("self", Entry::link_fn(|caller| Ok(caller.pid.to_string().into_bytes())))
        .further(Pids);
    let fs = build(Manner::Proc, root);
    let root = fs.root();
    let all = names(&root, 100);
    let only: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(only, [".", "..", "version", "sys", "self", "1", "5"]);
    assert_eq!((all[0].1, all[1].1), (1, 99));
    for step in 1..4 {
        assert_eq!(names(&root, step), all);
    }
    for (name, ino) in &all[2..] {
        assert_eq!(root.lookup(name.as_bytes()).unwrap().metadata().ino, *ino);
    }
    assert_eq!(root.remember(), Remember::Nothing);
    assert_eq!(root.lookup(b"sys").unwrap().remember(), Remember::All);
    assert_eq!(root.metadata().nlink, 3);
    let five = root.lookup(b"5").unwrap();
    assert_eq!((five.metadata().uid, five.metadata().nlink), (1000, 3));
    assert_eq!(names(&five, 1).len(), 4);
    assert_eq!(root.lookup(b"6").err(), Some(Errno::ENOENT));
    assert_ne!(
        root.lookup(b"1").unwrap().lookup(b"stat").unwrap().metadata().ino,
        five.lookup(b"stat").unwrap().metadata().ino
    );
}

#[test]
fn writes_reach_the_file_and_renew_what_it_says() {
    let value = Arc::new(AtomicU64::new(7));
    let (shown, set) = (Arc::clone(&value), Arc::clone(&value));
    let file = Entry::file_with(
        0o644,
        move |_| Ok(format!("{}\n", shown.load(Ordering::SeqCst)).into_bytes()),
        move |bytes, _, _| {
            let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
            set.store(text.trim().parse().map_err(|_| Errno::EINVAL)?, Ordering::SeqCst);
            Ok(bytes.len())
        },
    );
    let root = Folder::new().with("limit", file).with("fixed", Entry::text("x"));
    let fs = build(Manner::Proc, root);
    let file = open(&fs.root().lookup(b"limit").unwrap(), O_RDWR).unwrap();
    assert_eq!(read(&file, 0, 9).unwrap(), b"7\n");
    assert_eq!(file.write_at(&mut WriteAt::offset(0), &mut Source::kernel(b"12\n")), Ok(3));
    assert_eq!(read(&file, 1, 9).unwrap(), b"2\n");
    assert_eq!(file.write_at(&mut WriteAt::offset(0), &mut Source::kernel(b"?")), Err(Errno::EINVAL));
    let fixed = open(&fs.root().lookup(b"fixed").unwrap(), O_WRONLY).unwrap();
    assert_eq!(fixed.write_at(&mut WriteAt::offset(0), &mut Source::kernel(b"y")), Err(Errno::EINVAL));
}

#[test]
fn names_cannot_be_made_or_removed() {
    for (manner, file, other, ino) in [
        (Manner::Proc, Errno::ENOENT, Errno::ENOENT, Errno::EINVAL),
        (Manner::Sys, Errno::EACCES, Errno::EPERM, Errno::EINVAL),
    ] {
        let fs = build(manner, Folder::new().with("a", Entry::text("x")));
        let root = fs.root();
        let new = |kind| NewNode { kind, mode: 0o644, uid: 0, gid: 0, rdev: 0 };
        assert_eq!(root.create(b"b", &new(Kind::File), b"").err(), Some(file));
        assert_eq!(root.create(b"b", &new(Kind::Directory), b"").err(), Some(other));
        let a = root.lookup(b"a").unwrap();
        assert_eq!(root.link(b"b", &a), Err(other));
        assert_eq!(root.unlink(b"a", &a), Err(Errno::EPERM));
        assert_eq!(root.create_unnamed(&new(Kind::File)).err(), Some(Errno::EOPNOTSUPP));
        assert_eq!(root.sync(crate::Durable::All), Err(ino));
    }
}

#[test]
fn attributes_are_kept_where_the_entry_stays() {
    let fs = build(Manner::Proc, Folder::new().with("a", Entry::text("x")).further(Pids));
    let mode = |mode| SetAttributes { mode: Some(mode), ..SetAttributes::default() };
    fs.root().lookup(b"a").unwrap().set_attributes(&mode(0o400)).unwrap();
    assert_eq!(fs.root().lookup(b"a").unwrap().metadata().mode, 0o400);
    let stat = fs.root().lookup(b"5").unwrap().lookup(b"stat").unwrap();
    assert_eq!(stat.set_attributes(&mode(0o444)), Err(Errno::EPERM));
    assert_eq!(stat.set_attributes(&SetAttributes { uid: Some(0), ..SetAttributes::default() }), Ok(()));
}

#[test]
fn modes_bind_the_superuser_where_linux_has_it_so() {
    let root = || Folder::new().with("a", Entry::text("x")).with("b", Entry::text("x").strict());
    let (proc, sys) = (build(Manner::Proc, root()), build(Manner::Sys, root()));
    assert!(open(&proc.root().lookup(b"a").unwrap(), O_WRONLY).is_ok());
    assert_eq!(open(&proc.root().lookup(b"b").unwrap(), O_WRONLY).err(), Some(Errno::EACCES));
    assert_eq!(open(&sys.root().lookup(b"a").unwrap(), O_RDWR).err(), Some(Errno::EACCES));
    assert_eq!(sys.root().lookup(b"a").unwrap().size(), 4096);
}
