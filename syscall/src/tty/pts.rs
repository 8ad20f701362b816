//! Pseudo-terminals: `/dev/ptmx`, and `/dev/pts` where their slave sides are.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use abi::fs::{O_NOCTTY, O_WRONLY};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};
use vfs::fs::dev::{self, CONSOLE, PTMX, PTS_MAJOR, TTY};
use vfs::fs::synthetic::{Directory, Entry, ListSink, Manner, Synthetic};
use vfs::{FileSystem, Kind, Metadata, Node, OpenFile, SetAttributes, Time};

use super::control;
use super::{Behind, Side, Terminal, TtyFile};
use crate::proc::{Description, Object};
use crate::system::System;
use crate::{Context, SysResult};

/// `DEVPTS_SUPER_MAGIC`.
const DEVPTS_MAGIC: u32 = 0x1cd1;
/// Pseudo-terminals at most (`/proc/sys/kernel/pty/max`).
const MAX: u32 = 4096;
/// The group `tty`, which owns them.
const TTY_GROUP: u32 = 5;

/// All pseudo-terminals that are open.
#[derive(Default)]
pub struct Ptys {
    open: Lock<BTreeMap<u32, Arc<PtsNode>>, { rank::LEAF }>,
}

impl Ptys {
    fn find(&self, number: u32) -> Option<Arc<PtsNode>> {
        self.open.lock().get(&number).cloned()
    }

    pub(super) fn remove(&self, number: u32) {
        let gone = self.open.lock().remove(&number);
        drop(gone);
    }

    /// Makes a pseudo-terminal, whose slave side belongs to the caller.
    fn make(&self, cx: &Context<'_>) -> Result<Arc<Terminal>> {
        let who = cx.credentials();
        let now = Time::from_ns(cx.clock().realtime_ns());
        let mut open = self.open.lock();
        let number = (0..MAX).find(|n| !open.contains_key(n)).ok_or(Errno::ENOSPC)?;
        let terminal = Terminal::new(cx.system(), Behind::Master(number));
        let attributes =
            Attributes { mode: 0o620, uid: who.fsuid, gid: TTY_GROUP, atime: now, mtime: now, ctime: now };
        let node = PtsNode {
            number,
            terminal: Arc::downgrade(&terminal),
            system: Arc::downgrade(cx.system()),
            attributes: Lock::new(attributes),
        };
        open.insert(number, Arc::new(node));
        Ok(terminal)
    }
}

/// The device node of a slave side.
struct PtsNode {
    number: u32,
    terminal: Weak<Terminal>,
    system: Weak<System>,
    attributes: Lock<Attributes, { rank::LEAF }>,
}

#[derive(Clone, Copy)]
struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    atime: Time,
    mtime: Time,
    ctime: Time,
}

impl Node for PtsNode {
    fn kind(&self) -> Kind {
        Kind::CharDevice
    }

    fn metadata(&self) -> Metadata {
        let a = *self.attributes.lock();
        let dev = self.system.upgrade().and_then(|s| s.files.pts.get().map(|fs| fs.dev())).unwrap_or(0);
        Metadata {
            ino: u64::from(self.number) + 3,
            dev,
            kind: Kind::CharDevice,
            mode: a.mode,
            nlink: 1,
            uid: a.uid,
            gid: a.gid,
            rdev: dev::number(PTS_MAJOR, self.number),
            size: 0,
            blocks: 0,
            block_size: 1024,
            atime: a.atime,
            mtime: a.mtime,
            ctime: a.ctime,
            btime: None,
        }
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        let system = self.system.upgrade().expect("a node outlives no system");
        system.files.pts.get().cloned().expect("a slave side is found in its file system")
    }

    fn set_attributes(&self, changes: &SetAttributes) -> Result<()> {
        let mut a = self.attributes.lock();
        a.mode = changes.mode.unwrap_or(a.mode);
        a.uid = changes.uid.unwrap_or(a.uid);
        a.gid = changes.gid.unwrap_or(a.gid);
        a.atime = changes.atime.unwrap_or(a.atime);
        a.mtime = changes.mtime.unwrap_or(a.mtime);
        a.ctime = changes.ctime.unwrap_or(a.ctime);
        Ok(())
    }
}

/// The directory of slave sides.
struct PtsDirectory(Weak<System>);

impl Directory for PtsDirectory {
    fn lookup(&self, name: &[u8]) -> Result<Entry> {
        let text = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let number: u32 = text.parse().map_err(|_| Errno::ENOENT)?;
        let system = self.0.upgrade().ok_or(Errno::ENOENT)?;
        let node = system.files.ptys.find(number).ok_or(Errno::ENOENT)?;
        // Numbers have one spelling.
        if format!("{number}") == text { Ok(Entry::node(node)) } else { Err(Errno::ENOENT) }
    }

    fn list(&self, cursor: u64, each: &mut ListSink<'_>) -> Result<()> {
        let Some(system) = self.0.upgrade() else { return Ok(()) };
        let numbers: Vec<u32> = system.files.ptys.open.lock().keys().copied().collect();
        for number in numbers.into_iter().filter(|&n| u64::from(n) >= cursor) {
            if !each(format!("{number}").as_bytes(), Kind::CharDevice, u64::from(number) + 1) {
                break;
            }
        }
        Ok(())
    }
}

/// Makes the file system of `/dev/pts`, or returns the one that there is.
pub fn file_system(system: &Arc<System>) -> Arc<dyn FileSystem> {
    let make = || -> Arc<dyn FileSystem> {
        let about = vfs::fs::synthetic::Description {
            name: "devpts",
            magic: DEVPTS_MAGIC,
            dev: vfs::fs::anonymous_dev(),
            manner: Manner::Sys,
        };
        let root = Entry::directory(PtsDirectory(Arc::downgrade(system))).mode(0o755);
        Synthetic::new(about, system.platform().clock, root)
    };
    Arc::clone(system.files.pts.call_once(make))
}

/// Opens a device that is a terminal.
///
/// # Errors
/// `ENXIO` for a device that nobody knows, and for `/dev/tty` without a controlling terminal; `EIO` for a slave side that is
/// locked or whose master is gone; `EBUSY` for one that somebody has for itself; `ENOSPC` if there are too many.
pub(crate) fn open_device(cx: &Context<'_>, file: Arc<OpenFile>, flags: u32) -> SysResult<Arc<Description>> {
    let m = file.node().metadata();
    if m.kind != Kind::CharDevice {
        return Err(Errno::ENXIO.into());
    }
    let files = &cx.system().files;
    let (terminal, side) = match m.rdev {
        TTY => (control::controlling(cx.process()).ok_or(Errno::ENXIO)?, Side::Slave),
        CONSOLE => match files.terminal.get() {
            Some(terminal) => (Arc::clone(terminal), Side::Slave),
            None => return open_console(cx, flags),
        },
        PTMX => (files.ptys.make(cx)?, Side::Master),
        rdev => {
            let (major, minor) = dev::parts(rdev);
            if major != PTS_MAJOR {
                return Err(Errno::ENXIO.into());
            }
            let node = files.ptys.find(minor).ok_or(Errno::EIO)?;
            (node.terminal.upgrade().ok_or(Errno::EIO)?, Side::Slave)
        }
    };
    if side == Side::Slave {
        let state = terminal.state.lock();
        let (locked, exclusive) = (state.locked, state.exclusive);
        let gone = matches!(terminal.behind, Behind::Master(_)) && state.masters == 0;
        drop(state);
        if locked || gone {
            return Err(Errno::EIO.into());
        }
        if exclusive && !cx.credentials().can(crate::proc::Capability::SysAdmin) {
            return Err(Errno::EBUSY.into());
        }
    }
    let flags_kept = file.flags();
    let opened = TtyFile::new(&terminal, side, Some(file));
    if side == Side::Slave && flags & O_NOCTTY == 0 && m.rdev != TTY && flags & abi::fs::O_ACCMODE != O_WRONLY
    {
        control::opened(cx, &terminal);
    }
    Ok(Description::new(Object::Tty(opened), flags_kept))
}

/// Opens `/dev/console` where the console is no terminal: what is written goes to standard error.
fn open_console(cx: &Context<'_>, flags: u32) -> SysResult<Arc<Description>> {
    let files = &cx.system().files;
    let side = crate::console::Side::Output(hal::Stream::Error);
    let content = crate::files::PipeContent::Console(side, Arc::clone(&files.console));
    Ok(files.new_pipe_node(content, (0, 0)).open(flags & !abi::fs::O_CLOEXEC)?)
}
