//! Files: path walk, mounts, open files, file systems, pipes, locks, terminals' line discipline.
//!
//! Pure: no system-call names, no addresses of the application (only [`hal::Dest`] and [`hal::Source`]), and no waiting
//! for events (an operation answers `EAGAIN`, and a [`hal::WaitQueue`] tells when to try again).
//!
//! - [`Vfs`] is one system of files with its mounts; a test may have many.
//! - [`Node`] is an inode of any file system, [`FileSystem`] what it belongs to ([`fs`] has ours).
//! - [`Dentry`] joins a node to a name; [`Place`] is a dentry seen through a [`Mount`].
//! - [`Walk`] is a question that starts with a path; [`Place`] has the operations on what was found; [`OpenFile`] is what
//!   a descriptor refers to.
//!
//! Lock order:
//!
//! ```text
//! OFFSET            OpenFile: offset                     (held across copies from and to the application)
//!   FILE_WRITE      a file's writers; a pipe's buffers   (the same)
//!     RENAME        Vfs: renames
//!       DIRECTORY   Dentry: a parent before its child
//!         FILE_SYSTEM   a file system's tables
//!           INODE       a directory's entries, extended attributes
//!             DISK_READ     pages on their way from a disk
//!             PAGE_CACHE    a file's frames
//!               MOUNTS        the table of mounts
//!                 DENTRY        children, name and parent of one dentry
//!                   OBJECT        file locks
//!                     WAIT_QUEUE, LEAF (attributes)
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod attributes;
pub mod credentials;
mod dentry;
mod events;
pub mod fs;
pub mod lock;
mod make;
mod mount;
mod mount_text;
mod node;
mod open;
mod open_file;
pub mod page_cache;
pub mod pipe;
mod place;
mod remove;
mod rename;
pub mod tty;
mod types;
mod vfs;
mod walk;

pub use attributes::SetTime;
pub use credentials::{Caller, Capabilities, Credentials, Want};
pub use dentry::Dentry;
pub use events::{Event, Events, NoEvents};
pub use mount::{Mount, MountOptions, Recursive, Tree, Unmount};
pub use node::{AccessTime, FileSystem, LinkTarget, Node, PageUse, Remember, Rename, WriteAt, same};
pub use open_file::{OpenFile, STATUS_FLAGS, Whence};
pub use place::{PathText, Place};
pub use types::{
    Allocate, DirEntry, DirSink, Durable, FileSystemStatus, Kind, LINKS_MAX, Metadata, NAME_MAX, Name,
    NewNode, PATH_MAX, Permissions, RenameMode, Seek, SetAttributes, Time, XattrMode,
};
pub use vfs::{Environment, Protection, Vfs};
pub use walk::{Follow, Walk};
