//! The locks on files: `/proc/locks`.

use alloc::vec::Vec;

use vfs::fs::dev;
use vfs::lock::{FileKey, LockMode, Owner, TO_END};

use super::Text;
use crate::system::System;

/// One line.
struct Line {
    file: FileKey,
    mode: LockMode,
    kind: &'static str,
    pid: i32,
    start: u64,
    last: u64,
}

/// `proc_locks(5)`
pub(super) fn locks(system: &System) -> Text {
    let (mut lines, mut whole) = (Vec::new(), Vec::new());
    system.vfs.locks().for_each(|file, record, flock| {
        if let Some(record) = record {
            let kind = if matches!(record.owner, Owner::Description(_)) { "OFDLCK" } else { "POSIX " };
            let (mode, pid) = (record.mode, record.pid);
            lines.push(Line { file, mode, kind, pid, start: record.start, last: record.last });
        }
        if let Some((description, mode)) = flock {
            whole.push((file, description, mode));
        }
    });
    for (file, description, mode) in whole {
        let pid = holder(system, description);
        lines.push(Line { file, mode, kind: "FLOCK ", pid, start: 0, last: TO_END });
    }
    let mut text = Text::default();
    for (line, number) in lines.iter().zip(1..) {
        let (device, inode) = line.file.parts();
        let (major, minor) = dev::parts(device);
        let mode = if line.mode == LockMode::Exclusive { "WRITE" } else { "READ" };
        put!(text, "{number}: {} ADVISORY  {mode} {} ", line.kind, line.pid);
        put!(text, "{major:02x}:{minor:02x}:{inode} {} ", line.start);
        if line.last >= TO_END {
            text.push(b"EOF\n");
        } else {
            put!(text, "{}\n", line.last);
        }
    }
    text
}

/// Returns a process that has the open file; the lock belongs to the file, and does not know who took it.
fn holder(system: &System, description: u64) -> i32 {
    let holds = |thread: &crate::proc::Thread| {
        let files = thread.files();
        let open = files.list().into_iter().filter_map(|fd| files.get(fd).ok());
        open.into_iter().any(|d| d.file().is_some_and(|file| file.id() == description))
    };
    let process = system.processes().into_iter().find(|process| process.threads().iter().any(|t| holds(t)));
    process.map_or(-1, |process| process.pid().cast_signed())
}
