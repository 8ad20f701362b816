//! Devices that live here (`null(4)`, `full(4)`, `random(4)`), and the tree of `/dev`.
//!
//! A device node of any file system is only a number. [`crate::Walk::open`] asks [`device`] for what is behind it; what
//! that does not know (terminals) is the layer's above, which answers `ENXIO` for numbers that nobody knows.

use alloc::sync::Arc;

use abi::{Errno, Result};
use hal::{Dest, Entropy, Frame, Source};

use crate::Environment;
use crate::fs::ram::{RamFs, RamOptions};
use crate::node::{FileSystem, Node, PageUse, WriteAt};
use crate::types::{Durable, Kind, Metadata, NewNode, Permissions, Seek, SetAttributes};

/// Makes a device number as `stat(2)` shows it (`makedev(3)`).
pub const fn number(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    (major & !0xfff) << 32 | (major & 0xfff) << 8 | (minor & !0xff) << 12 | minor & 0xff
}

/// Returns the major and minor number (`major(3)`, `minor(3)`).
#[expect(clippy::cast_possible_truncation, reason = "each half of a device number is 32 bits")]
pub const fn parts(number: u64) -> (u32, u32) {
    let major = (number >> 32) as u32 & !0xfff | (number >> 8) as u32 & 0xfff;
    let minor = (number >> 12) as u32 & !0xff | number as u32 & 0xff;
    (major, minor)
}

/// `/dev/null`
pub const NULL: u64 = number(1, 3);
/// `/dev/zero`
pub const ZERO: u64 = number(1, 5);
/// `/dev/full`
pub const FULL: u64 = number(1, 7);
/// `/dev/random`
pub const RANDOM: u64 = number(1, 8);
/// `/dev/urandom`
pub const URANDOM: u64 = number(1, 9);
/// `/dev/kmsg`
pub const KMSG: u64 = number(1, 11);
/// `/dev/tty`: the caller's own terminal.
pub const TTY: u64 = number(5, 0);
/// `/dev/console`
pub const CONSOLE: u64 = number(5, 1);
/// `/dev/ptmx`: makes a new pair of pseudo-terminals.
pub const PTMX: u64 = number(5, 2);
/// Major number of the slave sides of pseudo-terminals; the minor number is the terminal's.
pub const PTS_MAJOR: u32 = 136;

/// Bytes that are made at a time.
const CHUNK: usize = 512;

/// What a device does.
#[derive(Clone, Copy)]
enum Device {
    Null,
    Zero,
    Full,
    Random(&'static dyn Entropy),
}

/// A device that is open: the node that was opened, and what is behind its number.
struct Opened {
    inode: Arc<dyn Node>,
    device: Device,
}

/// Returns what is read and written behind a device node; `None` for a device that does not live here.
pub fn device(inode: &Arc<dyn Node>, environment: &Environment) -> Option<Arc<dyn Node>> {
    if inode.kind() != Kind::CharDevice {
        return None;
    }
    let device = match inode.metadata().rdev {
        NULL => Device::Null,
        ZERO => Device::Zero,
        FULL => Device::Full,
        RANDOM | URANDOM => Device::Random(environment.entropy),
        _ => return None,
    };
    Some(Arc::new(Opened { inode: Arc::clone(inode), device }))
}

/// Says whether an open node is `/dev/zero`, whose mappings are anonymous memory: a shared one is shared with
/// children only, and not with another mapping of the device.
pub fn is_zero(node: &dyn Node) -> bool {
    node.downcast_ref::<Opened>().is_some_and(|opened| matches!(opened.device, Device::Zero))
}

impl Node for Opened {
    fn kind(&self) -> Kind {
        Kind::CharDevice
    }

    fn metadata(&self) -> Metadata {
        self.inode.metadata()
    }

    fn permissions(&self) -> Permissions {
        self.inode.permissions()
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        self.inode.file_system()
    }

    fn set_attributes(&self, changes: &SetAttributes) -> Result<()> {
        self.inode.set_attributes(changes)
    }

    fn read_at(&self, _: u64, to: &mut Dest<'_>) -> Result<usize> {
        match self.device {
            Device::Null => Ok(0),
            Device::Zero | Device::Full => to.push_zeros(to.remaining()),
            Device::Random(entropy) => {
                let start = to.done();
                let mut bytes = [0; CHUNK];
                while to.remaining() > 0 {
                    let chunk = &mut bytes[..to.remaining().min(CHUNK)];
                    entropy.fill(chunk);
                    match to.push(chunk) {
                        Ok(pushed) if pushed == chunk.len() => {}
                        Err(error) if to.done() == start => return Err(error),
                        _ => break,
                    }
                }
                Ok(to.done() - start)
            }
        }
    }

    fn write_at(&self, _: &mut WriteAt, from: &mut Source<'_>) -> Result<usize> {
        match self.device {
            // LINUX: the bytes are not even looked at, so a bad address is no error.
            Device::Null | Device::Zero => Ok(from.remaining()),
            Device::Full => Err(Errno::ENOSPC),
            Device::Random(entropy) => {
                let start = from.done();
                let mut bytes = [0; CHUNK];
                while from.remaining() > 0 {
                    match from.pull(&mut bytes) {
                        Ok(pulled) => entropy.mix(&bytes[..pulled]),
                        Err(error) if from.done() == start => return Err(error),
                        Err(_) => break,
                    }
                }
                Ok(from.done() - start)
            }
        }
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek(&self, _: Seek, _: u64) -> Result<u64> {
        Ok(0)
    }

    fn page(&self, _: u64, _: PageUse) -> Result<Frame> {
        match self.device {
            Device::Zero => Frame::zeroed().map_err(|_| Errno::ENOMEM),
            _ => Err(Errno::ENODEV),
        }
    }

    fn mappable(&self) -> bool {
        matches!(self.device, Device::Zero)
    }

    fn sync(&self, _: Durable) -> Result<()> {
        Err(Errno::EINVAL)
    }
}

/// Makes the tree of `/dev`: a file system in memory, so programs may add to it.
///
/// # Errors
/// Those of making a node in memory.
pub fn tree(environment: &Environment) -> Result<Arc<RamFs>> {
    const DEVICES: [(&[u8], u32, u64); 9] = [
        (b"null", 0o666, NULL),
        (b"zero", 0o666, ZERO),
        (b"full", 0o666, FULL),
        (b"random", 0o666, RANDOM),
        (b"urandom", 0o666, URANDOM),
        (b"kmsg", 0o644, KMSG),
        (b"tty", 0o666, TTY),
        (b"console", 0o620, CONSOLE),
        (b"ptmx", 0o666, PTMX),
    ];
    const LINKS: [(&[u8], &[u8]); 4] = [
        (b"fd", b"/proc/self/fd"),
        (b"stdin", b"/proc/self/fd/0"),
        (b"stdout", b"/proc/self/fd/1"),
        (b"stderr", b"/proc/self/fd/2"),
    ];
    const DIRECTORIES: [(&[u8], u32); 3] = [(b"pts", 0o755), (b"shm", 0o1777), (b"mqueue", 0o1777)];
    /// Debian's group `tty`, which terminals belong to.
    const TTY_GROUP: u32 = 5;

    let fs = RamFs::new(environment, &RamOptions { mode: 0o755, ..RamOptions::default() });
    let root = fs.root();
    let make = |name: &[u8], kind, mode, rdev, target: &[u8]| {
        let gid = if rdev == TTY || rdev == CONSOLE || rdev == PTMX { TTY_GROUP } else { 0 };
        root.create(name, &NewNode { kind, mode, uid: 0, gid, rdev }, target).map(drop)
    };
    for (name, mode, rdev) in DEVICES {
        make(name, Kind::CharDevice, mode, rdev, b"")?;
    }
    for (name, target) in LINKS {
        make(name, Kind::Symlink, 0o777, 0, target)?;
    }
    for (name, mode) in DIRECTORIES {
        make(name, Kind::Directory, mode, 0, b"")?;
    }
    Ok(fs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn environment() -> Environment {
        let platform = hal::fake::FakeMachine::new(1).platform;
        Environment { clock: platform.clock, entropy: platform.entropy, events: Arc::new(crate::NoEvents) }
    }

    fn open(name: &[u8]) -> Arc<dyn Node> {
        let environment = environment();
        let root = tree(&environment).unwrap().root();
        device(&root.lookup(name).unwrap(), &environment).unwrap()
    }

    fn read(node: &Arc<dyn Node>, len: usize) -> Vec<u8> {
        let mut bytes = alloc::vec![0xaa; len];
        let count = node.read_at(0, &mut Dest::kernel(&mut bytes)).unwrap();
        bytes.truncate(count);
        bytes
    }

    fn write(node: &Arc<dyn Node>, bytes: &[u8]) -> Result<usize> {
        node.write_at(&mut WriteAt::offset(0), &mut Source::kernel(bytes))
    }

    #[test]
    fn each_device_reads_and_takes_what_its_manual_page_says() {
        let (null, zero, full, random) = (open(b"null"), open(b"zero"), open(b"full"), open(b"urandom"));
        assert_eq!((read(&null, 9), write(&null, b"abc")), (alloc::vec![], Ok(3)));
        assert_eq!((read(&zero, 9), write(&zero, b"abc")), (alloc::vec![0; 9], Ok(3)));
        assert_eq!((read(&full, 9), write(&full, b"abc")), (alloc::vec![0; 9], Err(Errno::ENOSPC)));
        let (a, b) = (read(&random, 100_000), read(&random, 100_000));
        assert_eq!((a.len(), write(&random, &a)), (100_000, Ok(100_000)));
        assert_ne!(a, b);
        assert_eq!(null.metadata().rdev, 0x103);
        assert!(is_zero(&*zero) && !is_zero(&*null) && zero.mappable() && !null.mappable());
    }

    #[test]
    fn a_device_works_wherever_its_node_is() {
        let environment = environment();
        let vfs = crate::Vfs::new(environment.clone());
        let root = vfs.mount_root(tree(&environment).unwrap(), "dev");
        let who = crate::Credentials::root();
        let caller = crate::Caller::kernel(&who);
        let walk = crate::Walk { vfs: &vfs, caller, root: &root, start: &root, resolve: 0 };
        walk.make_node(b"/shm/zero", Kind::CharDevice, 0o666, ZERO).unwrap();
        let file = walk.open(b"/shm/zero", abi::fs::O_RDWR, 0).unwrap();
        let mut bytes = [1; 7];
        assert_eq!(file.read(&mut Dest::kernel(&mut bytes)), Ok(7));
        assert_eq!(bytes, [0; 7]);
        assert_eq!(file.read_at(99, &mut Dest::kernel(&mut bytes)), Ok(7));
        assert_eq!(file.seek(5, crate::Whence::End), Ok(0), "it is always at its start");
        assert_eq!(file.write(&mut Source::kernel(b"abc"), &caller), Ok(3));
        let console = walk.open(b"/console", abi::fs::O_RDWR, 0).unwrap();
        assert_eq!(console.node().metadata().rdev, CONSOLE);
        assert_eq!(
            &*walk.lookup(b"/fd", crate::Follow::No).unwrap().read_link(&caller).unwrap(),
            b"/proc/self/fd"
        );
    }

    #[test]
    fn numbers_are_taken_apart_as_the_library_does() {
        for (major, minor, packed) in
            [(1, 3, 0x103), (136, 300, 0x10_882c), (0x1234, 0x5_6789, 0x1000_5672_3489)]
        {
            assert_eq!(number(major, minor), packed);
            assert_eq!(parts(packed), (major, minor));
        }
    }
}
