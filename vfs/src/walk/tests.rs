use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{
    O_CREAT, O_DIRECTORY, O_EXCL, O_RDWR, O_TMPFILE, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
};
use hal::sync::{Lock, rank};
use hal::{Dest, Source};

use crate::fs::ram::{RamFs, RamOptions};
use crate::{
    Caller, Credentials, Environment, Event, Events, Follow, MountOptions, NoEvents, Node, PathText, Place,
    Recursive, Unmount, Vfs, Walk,
};

struct World {
    vfs: Vfs,
    root: Place,
    credentials: Credentials,
}

impl World {
    fn new() -> Self {
        Self::hearing(Arc::new(NoEvents))
    }

    fn hearing(events: Arc<dyn Events>) -> Self {
        let platform = hal::fake::FakeMachine::new(1).platform;
        let environment = Environment { clock: platform.clock, entropy: platform.entropy, events };
        let vfs = Vfs::new(environment.clone());
        let root = vfs.mount_root(RamFs::new(&environment, &RamOptions::default()), "root");
        let world = Self { vfs, root, credentials: Credentials::root() };
        let walk = world.walk();
        for directory in [&b"/a"[..], b"/a/b", b"/a/b/c", b"/m", b"/n"] {
            walk.make_directory(directory, 0o755).expect("makes");
        }
        walk.open(b"/a/file", O_CREAT | O_RDWR, 0o644).expect("creates");
        world
    }

    fn walk(&self) -> Walk<'_> {
        let caller = Caller::kernel(&self.credentials);
        Walk { vfs: &self.vfs, caller, root: &self.root, start: &self.root, resolve: 0 }
    }

    fn find(&self, path: &str) -> Result<Place, Errno> {
        self.walk().lookup(path.as_bytes(), Follow::Yes)
    }

    fn shown(&self, place: &Place) -> String {
        String::from_utf8(place.display(&self.root)).expect("plain names")
    }

    fn path_of(&self, path: &str) -> Result<String, Errno> {
        self.find(path).map(|place| self.shown(&place))
    }

    fn new_fs(&self) -> Arc<RamFs> {
        RamFs::new(self.vfs.environment(), &RamOptions::default())
    }
}

#[test]
fn the_root_is_its_own_parent() {
    let w = World::new();
    assert_eq!(w.path_of("/../..//a/./b/../../a/b").as_deref(), Ok("/a/b"));
    assert_eq!(w.path_of("/").as_deref(), Ok("/"));
    assert_eq!(w.path_of("///..").as_deref(), Ok("/"));
}

#[test]
fn errors_come_in_linuxs_order() {
    let mut w = World::new();
    assert_eq!(w.find("").err(), Some(Errno::ENOENT));
    assert_eq!(w.find("/a/file/x").err(), Some(Errno::ENOTDIR));
    assert_eq!(w.find("/a/file/").err(), Some(Errno::ENOTDIR));
    assert_eq!(w.find("/a/file/..").err(), Some(Errno::ENOTDIR));
    assert_eq!(w.find("/none/..").err(), Some(Errno::ENOENT));
    let long = "n".repeat(256);
    assert_eq!(w.find(&long).err(), Some(Errno::ENAMETOOLONG));
    assert_eq!(w.find(&"/a".repeat(2048)).err(), Some(Errno::ENAMETOOLONG));
    w.find("/a").expect("there").set_mode(0o600, &w.credentials).expect("changes");
    w.credentials = Credentials::user(1000, 1000);
    assert_eq!(w.find("/a/none").err(), Some(Errno::EACCES), "not searchable comes before not there");
    assert_eq!(w.find(&alloc::format!("/a/{long}")).err(), Some(Errno::EACCES));
}

#[test]
fn links_are_followed_forty_times() {
    let w = World::new();
    let walk = w.walk();
    walk.make_symlink(b"/l0", b"a/b").expect("makes");
    for i in 1..=40 {
        let (name, target) = (alloc::format!("/l{i}"), alloc::format!("l{}", i - 1));
        walk.make_symlink(name.as_bytes(), target.as_bytes()).expect("makes");
    }
    assert_eq!(w.path_of("/l39/c").as_deref(), Ok("/a/b/c"));
    assert_eq!(w.find("/l40").err(), Some(Errno::ELOOP));
    walk.make_symlink(b"/loop", b"loop").expect("makes");
    assert_eq!(w.find("/loop").err(), Some(Errno::ELOOP));
    walk.make_symlink(b"/up", b"../../a/b/").expect("makes");
    assert_eq!(w.path_of("/up/../file").as_deref(), Ok("/a/file"));
    walk.make_symlink(b"/a/abs", b"/a/b").expect("makes");
    assert_eq!(w.path_of("a/abs/c").as_deref(), Ok("/a/b/c"));
    assert_eq!(walk.lookup(b"/a/abs", Follow::No).map(|p| w.shown(&p)).as_deref(), Ok("/a/abs"));
    assert_eq!(walk.lookup(b"/a/abs/", Follow::No).map(|p| w.shown(&p)).as_deref(), Ok("/a/b"));
    // open(2) makes what a dangling link names.
    walk.make_symlink(b"/dangling", b"a/made").expect("makes");
    assert_eq!(walk.open(b"/dangling", O_CREAT | O_EXCL, 0o600).err(), Some(Errno::EEXIST));
    walk.open(b"/dangling", O_CREAT, 0o600).expect("creates");
    assert_eq!(w.path_of("/a/made").as_deref(), Ok("/a/made"));
}

#[test]
fn restrictions_of_openat2_hold() {
    let w = World::new();
    let start = w.find("/a").expect("there");
    w.walk().make_symlink(b"/a/abs", b"/m").expect("makes");
    w.walk().make_symlink(b"/a/rel", b"b/c").expect("makes");
    w.vfs.mount(w.new_fs(), "m", &w.find("/a/b").expect("there"), MountOptions::empty()).expect("mounts");
    let try_it = |path: &str, resolve| {
        let walk = Walk { start: &start, resolve, ..w.walk() };
        walk.lookup(path.as_bytes(), Follow::Yes).map(|place| w.shown(&place))
    };
    assert_eq!(try_it("..", RESOLVE_BENEATH).err(), Some(Errno::EXDEV));
    assert_eq!(try_it("/a", RESOLVE_BENEATH).err(), Some(Errno::EXDEV));
    assert_eq!(try_it("abs", RESOLVE_BENEATH).err(), Some(Errno::EXDEV));
    assert_eq!(try_it("b/..", RESOLVE_BENEATH).as_deref(), Ok("/a"));
    assert_eq!(try_it("../../file", RESOLVE_IN_ROOT).as_deref(), Ok("/a/file"));
    assert_eq!(try_it("/file", RESOLVE_IN_ROOT).as_deref(), Ok("/a/file"));
    assert_eq!(try_it("abs", RESOLVE_IN_ROOT).err(), Some(Errno::ENOENT));
    assert_eq!(try_it("rel", RESOLVE_NO_SYMLINKS).err(), Some(Errno::ELOOP));
    assert_eq!(try_it("b", RESOLVE_NO_XDEV).err(), Some(Errno::EXDEV));
    assert_eq!(try_it("../m", RESOLVE_NO_XDEV).as_deref(), Ok("/m"));
}

#[test]
fn mounts_cover_and_uncover() {
    let w = World::new();
    let walk = w.walk();
    let below = w.find("/m").expect("there");
    walk.make_directory(b"/m/hidden", 0o755).expect("makes");
    w.vfs.mount(w.new_fs(), "one", &below, MountOptions::empty()).expect("mounts");
    assert_eq!(w.find("/m/hidden").err(), Some(Errno::ENOENT));
    walk.make_directory(b"/m/sub", 0o755).expect("makes");
    assert_eq!(w.path_of("/m/sub/..").as_deref(), Ok("/m"));
    assert_eq!(w.path_of("/m/sub/../..").as_deref(), Ok("/"));
    // Another on top of it, then both go again.
    w.vfs.mount(w.new_fs(), "two", &w.find("/m").expect("there"), MountOptions::empty()).expect("mounts");
    assert_eq!(w.find("/m/sub").err(), Some(Errno::ENOENT));
    w.vfs.unmount(&w.find("/m").expect("there"), Unmount::IfUnused).expect("unmounts");
    let held = w.find("/m/sub").expect("uncovered");
    assert_eq!(w.vfs.unmount(&w.find("/m").expect("there"), Unmount::IfUnused), Err(Errno::EBUSY));
    assert_eq!(walk.remove_directory(b"/m"), Err(Errno::EBUSY));
    assert_eq!(walk.rename(b"/m", &walk, b"/x", 0), Err(Errno::EBUSY));
    assert_eq!(walk.rename(b"/a/file", &walk, b"/m/file", 0), Err(Errno::EXDEV));
    w.vfs.unmount(&w.find("/m").expect("there"), Unmount::Detach).expect("detaches");
    assert_eq!(held.path(&w.root), PathText::Unreachable(b"/sub".to_vec()));
    w.find("/m/hidden").expect("uncovered");
    assert_eq!(w.vfs.unmount(&w.find("/m").expect("there"), Unmount::IfUnused), Err(Errno::EINVAL));
}

#[test]
fn detaching_takes_everything_below_along() {
    let w = World::new();
    w.vfs.mount(w.new_fs(), "one", &w.find("/m").expect("there"), MountOptions::empty()).expect("mounts");
    w.walk().make_directory(b"/m/inner", 0o755).expect("makes");
    w.vfs
        .mount(w.new_fs(), "two", &w.find("/m/inner").expect("there"), MountOptions::empty())
        .expect("mounts");
    assert_eq!(w.vfs.unmount(&w.find("/m").expect("there"), Unmount::IfUnused), Err(Errno::EBUSY));
    let inside = w.find("/m").expect("there");
    w.vfs.unmount(&inside, Unmount::Detach).expect("detaches");
    assert_eq!(w.vfs.mount_list().len(), 1);
    let walk = Walk { start: &inside, ..w.walk() };
    walk.remove_directory(b"inner").expect("no mount point any more");
}

#[test]
fn a_file_system_becomes_read_only_when_nobody_writes() {
    let w = World::new();
    let file = w.walk().open(b"/a/file", O_RDWR, 0).expect("opens");
    let remount = |options| w.vfs.remount(&w.root.mount, options, b"");
    assert_eq!(remount(MountOptions::READ_ONLY), Err(Errno::EBUSY));
    drop(file);
    remount(MountOptions::READ_ONLY).expect("nobody writes");
    assert_eq!(w.walk().open(b"/a/file", O_RDWR, 0).err(), Some(Errno::EROFS));
    assert_eq!(w.walk().make_directory(b"/new", 0o755).err(), Some(Errno::EROFS));
    assert_eq!(w.walk().make_directory(b"/a", 0o755).err(), Some(Errno::EEXIST), "being there comes first");
    remount(MountOptions::REL_ATIME).expect("writable again");
    w.walk().make_directory(b"/new", 0o755).expect("makes");
}

#[test]
fn bind_mounts_show_the_same_tree_with_their_own_flags() {
    let w = World::new();
    w.vfs.mount(w.new_fs(), "inner", &w.find("/a/b").expect("there"), MountOptions::empty()).expect("mounts");
    w.walk().make_directory(b"/a/b/inside", 0o755).expect("makes");
    let (from, to) = (w.find("/a").expect("there"), w.find("/m").expect("there"));
    let mount = w.vfs.bind(&from, &to, Recursive::Yes).expect("binds");
    assert_eq!(w.path_of("/m/b/inside").as_deref(), Ok("/m/b/inside"));
    assert_eq!(w.path_of("/m/b/../..").as_deref(), Ok("/"));
    w.vfs.set_mount_options(&mount, MountOptions::READ_ONLY);
    assert_eq!(w.walk().open(b"/m/file", O_RDWR, 0).err(), Some(Errno::EROFS));
    assert_eq!(w.walk().unlink(b"/m/file"), Err(Errno::EROFS));
    w.walk().open(b"/a/file", O_RDWR, 0).expect("the other mount is writable");
    let shallow = w.vfs.bind(&from, &w.find("/n").expect("there"), Recursive::No).expect("binds");
    assert_eq!(w.find("/n/b/inside").err(), Some(Errno::ENOENT));
    drop(shallow);
    w.vfs.move_mount(&w.find("/n").expect("there"), &w.find("/a/b/inside").expect("there")).expect("moves");
    assert_eq!(w.path_of("/a/b/inside/file").as_deref(), Ok("/a/b/inside/file"));
    assert_eq!(w.vfs.mount_list().len(), 5);
}

#[test]
fn the_mount_table_reads_as_in_proc() {
    let w = World::new();
    w.walk().make_directory(b"/with blank", 0o755).expect("makes");
    let at = w.find("/with blank").expect("there");
    let options = MountOptions::NO_SUID | MountOptions::READ_ONLY;
    let mount = w.vfs.mount(w.new_fs(), "some thing", &at, options).expect("mounts");
    let line = mount.mounts_line(&w.root).expect("can be seen");
    assert!(line.starts_with("some\\040thing /with\\040blank tmpfs ro,nosuid,size="), "{line}");
    assert!(line.ends_with("k 0 0\n"), "{line}");
    let info = mount.mountinfo_line(&w.root).expect("can be seen");
    let start = alloc::format!("{} {} 0:", mount.id, w.root.mount.id);
    assert!(info.starts_with(&start), "{info}");
    assert!(info.contains(" / /with\\040blank ro,nosuid - tmpfs some\\040thing rw,size="), "{info}");
    let bound = w
        .vfs
        .bind(&w.find("/a/b").expect("there"), &w.find("/m").expect("there"), Recursive::No)
        .expect("binds");
    assert!(
        bound.mountinfo_line(&w.root).expect("can be seen").contains(" /a/b /m rw,relatime - tmpfs root ")
    );
    assert!(w.root.mount.mounts_line(&w.root).expect("can be seen").starts_with("root / tmpfs rw,relatime"));
    assert_eq!(w.root.mount.mounts_line(&at), None, "not below another root");
}

#[test]
fn reclaiming_forgets_names_that_nobody_uses() {
    let w = World::new();
    let held = w.find("/a/b").expect("there");
    w.find("/a/b/c").expect("there");
    assert!(w.vfs.reclaim(0) > 0);
    let again = w.find("/a/b").expect("there");
    assert!(again.same(&held), "what is in use stays the same");
    assert_eq!(w.path_of("/a/b/c").as_deref(), Ok("/a/b/c"));
}

#[test]
fn removed_names_are_shown_as_deleted() {
    let w = World::new();
    let walk = w.walk();
    let file = walk.open(b"/a/file", O_RDWR, 0).expect("opens");
    let directory = w.find("/a/b/c").expect("there");
    walk.unlink(b"/a/file").expect("unlinks");
    assert_eq!(w.shown(file.place()), "/a/file (deleted)");
    file.write(&mut Source::kernel(b"still here"), &walk.caller).expect("writes");
    let mut bytes = [0; 10];
    assert_eq!(file.read_at(0, &mut Dest::kernel(&mut bytes)), Ok(10));
    walk.rename(b"/a/b", &walk, b"/z", 0).expect("renames");
    assert_eq!(w.shown(&directory), "/z/c");
    walk.remove_directory(b"/z/c").expect("removes");
    assert_eq!(directory.working_directory(&w.root).err(), Some(Errno::ENOENT));
    let inside = Walk { start: &directory, ..walk };
    assert_eq!(inside.open(b"x", O_CREAT, 0o600).err(), Some(Errno::ENOENT));
    assert_eq!(inside.lookup(b"..", Follow::Yes).map(|p| w.shown(&p)).as_deref(), Ok("/z"));
}

#[test]
fn a_file_without_a_name_can_be_given_one() {
    let w = World::new();
    let walk = w.walk();
    let file = walk.open(b"/a", O_TMPFILE | O_RDWR, 0o600).expect("makes");
    assert_eq!(walk.open(b"/a", O_TMPFILE, 0o600).err(), Some(Errno::EINVAL));
    assert_eq!(file.place().metadata().nlink, 0);
    walk.make_link(b"/a/named", file.place()).expect("links");
    assert_eq!(w.find("/a/named").expect("there").metadata().nlink, 1);
    assert_eq!(walk.open(b"/a/file", O_DIRECTORY, 0).err(), Some(Errno::ENOTDIR));
}

/// Writes down what happens.
#[derive(Default)]
struct Diary(Lock<Vec<String>, { rank::LEAF }>);

impl Events for Diary {
    fn happened(&self, event: &Event<'_>) {
        let name = event.entry.map_or("self".into(), |e| String::from_utf8_lossy(e.1));
        self.0.lock().push(alloc::format!("{:#x} {name}", event.mask));
    }

    fn unmap(&self, _: &Arc<dyn Node>, _: core::ops::Range<u64>) {}
}

#[test]
fn those_who_watch_are_told() {
    let diary = Arc::new(Diary::default());
    let w = World::hearing(Arc::clone(&diary) as Arc<dyn Events>);
    assert!(diary.0.lock().is_empty(), "nobody watches yet");
    w.vfs.set_watched(true);
    let walk = w.walk();
    let file = walk.open(b"/new", O_CREAT | O_RDWR, 0o644).expect("creates");
    file.write(&mut Source::kernel(b"x"), &walk.caller).expect("writes");
    drop(file);
    walk.rename(b"/new", &walk, b"/a/moved", 0).expect("renames");
    walk.unlink(b"/a/moved").expect("unlinks");
    let expected = [
        "0x100 new",
        "0x20 new",
        "0x2 new",
        "0x8 new",
        "0x40 new",
        "0x80 moved",
        "0x800 self",
        "0x4 self",
        "0x200 moved",
        "0x400 self",
    ];
    assert_eq!(*diary.0.lock(), expected);
}

#[test]
fn threads_that_rename_and_walk_agree_in_the_end() {
    let w = World::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let w = &w;
            scope.spawn(move || {
                let walk = w.walk();
                for i in 0..300 {
                    let name = alloc::format!("/a/t{thread}");
                    let other = alloc::format!("/m/t{}", (thread + i) % 4);
                    let _ = walk.make_directory(name.as_bytes(), 0o755);
                    let _ = walk.open(alloc::format!("{name}/f").as_bytes(), O_CREAT | O_RDWR, 0o644);
                    let _ = walk.rename(name.as_bytes(), &walk, other.as_bytes(), 0);
                    let _ = walk.rename(b"/m", &walk, b"/a/b/m", 0);
                    let _ = walk.rename(b"/a/b/m", &walk, b"/m", 0);
                    let _ = walk.unlink(alloc::format!("{other}/f").as_bytes());
                    let _ = walk.remove_directory(other.as_bytes());
                    let _ = walk.lookup(other.as_bytes(), Follow::Yes);
                }
            });
        }
    });
    // Every name that a directory lists can be looked up, and says the number that was listed.
    for directory in [&b"/a"[..], b"/m"] {
        let Ok(dir) = w.walk().open(directory, 0, 0) else { continue };
        let start = dir.place().clone();
        let walk = Walk { start: &start, ..w.walk() };
        let mut names = Vec::new();
        dir.read_dir(&mut |e| {
            names.push((e.name.to_vec(), e.ino));
            true
        })
        .expect("reads");
        for (name, ino) in names {
            assert_eq!(walk.lookup(&name, Follow::No).expect("listed").metadata().ino, ino);
        }
    }
}
