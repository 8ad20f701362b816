//! The mount table as `/proc` shows it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::mount::{Mount, MountOptions};
use crate::place::{PathText, Place};

/// Writes blanks, tabs, newlines and backslashes as octal escapes, and a `#` where it would begin a comment.
fn escape(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => out.push_str(&format!("\\{byte:03o}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// Names a mount's flags, beginning with `ro` or `rw`.
fn flags(mount: &Mount) -> String {
    let options = mount.options();
    let mut text = String::from(if options.contains(MountOptions::READ_ONLY) { "ro" } else { "rw" });
    for (flag, name) in [
        (MountOptions::NO_SUID, ",nosuid"),
        (MountOptions::NO_DEV, ",nodev"),
        (MountOptions::NO_EXEC, ",noexec"),
        (MountOptions::NO_ATIME, ",noatime"),
        (MountOptions::NO_DIR_ATIME, ",nodiratime"),
        (MountOptions::REL_ATIME, ",relatime"),
        (MountOptions::NO_SYMLINK_FOLLOW, ",nosymfollow"),
    ] {
        if options.contains(flag) {
            text.push_str(name);
        }
    }
    text
}

/// Names the options of the file system itself.
fn own_options(mount: &Mount) -> String {
    let own = mount.tree.file_system.options();
    let comma = if own.is_empty() { "" } else { "," };
    format!("{}{comma}{}", if mount.is_tree_read_only() { "ro" } else { "rw" }, String::from_utf8_lossy(&own))
}

impl Mount {
    /// Returns where the mount shows below a root; `None` if it does not.
    fn shown_at(self: &Arc<Self>, root: &Place) -> Option<Vec<u8>> {
        match self.root_place().path(root) {
            PathText::Absolute(path) => Some(path),
            PathText::Unreachable(_) => None,
        }
    }

    /// Returns the mount's line of `/proc/PID/mounts` (`fstab(5)`), as seen from a root; `None` if it cannot be seen.
    pub fn mounts_line(self: &Arc<Self>, root: &Place) -> Option<String> {
        let at = escape(&self.shown_at(root)?);
        let source = escape(self.source.as_bytes());
        let kind = self.tree.file_system.name();
        let own = self.tree.file_system.options();
        let comma = if own.is_empty() { "" } else { "," };
        let own = String::from_utf8_lossy(&own).into_owned();
        let mut flags = flags(self);
        if self.is_tree_read_only() && flags.starts_with("rw") {
            flags.replace_range(0..2, "ro");
        }
        Some(format!("{source} {at} {kind} {flags}{comma}{own} 0 0\n"))
    }

    /// Returns the mount's line of `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`), as seen from a root; `None` if it
    /// cannot be seen.
    pub fn mountinfo_line(self: &Arc<Self>, root: &Place) -> Option<String> {
        let at = escape(&self.shown_at(root)?);
        let parent = self.covered().map_or(self.id, |place| place.mount.id);
        let dev = self.tree.file_system.dev();
        let (major, minor) = (dev >> 8 & 0xfff, dev & 0xff | dev >> 12 & 0xf_ff00);
        let tree_root = self.root_in_tree();
        Some(format!(
            "{} {parent} {major}:{minor} {} {at} {} - {} {} {}\n",
            self.id,
            escape(&tree_root),
            flags(self),
            self.tree.file_system.name(),
            escape(self.source.as_bytes()),
            own_options(self),
        ))
    }

    /// Returns the path of what is shown within the file system.
    fn root_in_tree(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut dentry = Arc::clone(&self.root);
        while let Some(parent) = dentry.parent() {
            names.push(dentry.name());
            dentry = parent;
        }
        if names.is_empty() {
            return b"/".to_vec();
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if self.root.is_removed() {
            path.extend_from_slice(b"//deleted");
        }
        path
    }
}
