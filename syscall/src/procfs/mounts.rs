//! `mounts` and `mountinfo` of a process.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Result;
use vfs::fs::dev;
use vfs::{Caller, Dentry, Mount, MountOptions, PathText};

use super::Text;
use super::task::Subject;

/// Characters that end a field (`mangle`).
const SPECIAL: &[u8] = b" \t\n\\";
const SPECIAL_SOURCE: &[u8] = b" \t\n\\#";

/// Returns the mounts that can be reached from the process's root, with their paths.
fn reachable(subject: &Subject) -> Vec<(Arc<Mount>, Vec<u8>)> {
    let Some(thread) = subject.thread() else { return Vec::new() };
    let root = thread.fs().root();
    let path = |mount: Arc<Mount>| match mount.root_place().path(&root) {
        PathText::Absolute(path) => Some((mount, path)),
        PathText::Unreachable(_) => None,
    };
    subject.system().vfs.mount_list().into_iter().filter_map(path).collect()
}

/// Adds the flags of the mount itself.
fn options(text: &mut Text, mount: &Mount) {
    const NAMES: [(MountOptions, &str); 7] = [
        (MountOptions::NO_SUID, ",nosuid"),
        (MountOptions::NO_DEV, ",nodev"),
        (MountOptions::NO_EXEC, ",noexec"),
        (MountOptions::NO_ATIME, ",noatime"),
        (MountOptions::NO_DIR_ATIME, ",nodiratime"),
        (MountOptions::REL_ATIME, ",relatime"),
        (MountOptions::NO_SYMLINK_FOLLOW, ",nosymfollow"),
    ];
    let set = mount.options();
    NAMES.iter().filter(|(flag, _)| set.contains(*flag)).for_each(|(_, name)| text.push(name.as_bytes()));
}

/// Adds the file system's own options.
fn own_options(text: &mut Text, mount: &Mount) {
    let own = mount.tree.file_system.options();
    if !own.is_empty() {
        text.push(b",");
        text.push_escaped(&own, b" \t\n\\");
    }
}

const fn access(read_only: bool) -> &'static str {
    if read_only { "ro" } else { "rw" }
}

/// `proc_pid_mounts(5)`
pub(super) fn mounts(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let mut text = Text::default();
    for (mount, path) in reachable(subject) {
        text.push_escaped(mount.source.as_bytes(), SPECIAL_SOURCE);
        text.push(b" ");
        text.push_escaped(&path, SPECIAL);
        put!(text, " {} {}", mount.tree.file_system.name(), access(mount.is_read_only()));
        options(&mut text, &mount);
        own_options(&mut text, &mount);
        text.push(b" 0 0\n");
    }
    Ok(text)
}

/// `proc_pid_mountinfo(5)`. Nothing is propagated between mounts: there are no optional fields.
pub(super) fn mountinfo(subject: &Subject, _: &Caller<'_>) -> Result<Text> {
    let mut text = Text::default();
    for (mount, path) in reachable(subject) {
        // LINUX: the mount at the root of everything is its own parent.
        let parent = mount.covered().map_or(mount.id, |place| place.mount.id);
        let file_system = &mount.tree.file_system;
        let (major, minor) = dev::parts(file_system.dev());
        put!(text, "{} {parent} {major}:{minor} ", mount.id);
        text.push_escaped(&dentry_path(&mount.root), SPECIAL);
        text.push(b" ");
        text.push_escaped(&path, SPECIAL);
        put!(text, " {}", access(mount.options().contains(MountOptions::READ_ONLY)));
        options(&mut text, &mount);
        put!(text, " - {} ", file_system.name());
        text.push_escaped(mount.source.as_bytes(), SPECIAL_SOURCE);
        put!(text, " {}", access(mount.is_tree_read_only()));
        own_options(&mut text, &mount);
        text.push(b"\n");
    }
    Ok(text)
}

/// Returns the path of a name inside its file system.
fn dentry_path(dentry: &Arc<Dentry>) -> Vec<u8> {
    let mut names = Vec::new();
    let mut at = Arc::clone(dentry);
    while let Some(parent) = at.parent() {
        names.push(at.name());
        at = parent;
    }
    let mut path = Vec::new();
    for name in names.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if path.is_empty() {
        path.push(b'/');
    }
    if dentry.is_removed() {
        path.extend_from_slice(b"//deleted");
    }
    path
}
