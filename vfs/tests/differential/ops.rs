//! The operations, and how they are chosen.

/// Descriptors that a test has at most.
pub(crate) const SLOTS: usize = 3;

/// A path or a link's text, printed as text.
#[derive(Clone)]
pub(crate) struct Text(pub(crate) Vec<u8>);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.0[..self.0.len().min(40)];
        write!(f, "\"{}\"", shown.escape_ascii())
    }
}

impl std::ops::Deref for Text {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Open { slot: usize, path: Text, flags: u32, mode: u32 },
    Close { slot: usize },
    Read { slot: usize, len: usize },
    Write { slot: usize, len: usize, byte: u8 },
    ReadAt { slot: usize, offset: u64, len: usize },
    WriteAt { slot: usize, offset: u64, len: usize, byte: u8 },
    Seek { slot: usize, offset: i64, whence: u32 },
    SetLen { slot: usize, len: u64 },
    Allocate { slot: usize, mode: u32, offset: i64, len: i64 },
    StatSlot { slot: usize },
    List { slot: usize },
    Stat { path: Text, follow: bool },
    Mkdir { path: Text, mode: u32 },
    Mknod { path: Text, mode: u32, rdev: u64 },
    Symlink { target: Text, path: Text },
    ReadLink { path: Text },
    Link { old: Text, new: Text, follow: bool },
    Unlink { path: Text },
    Rmdir { path: Text },
    Rename { old: Text, new: Text, flags: u32 },
    Chmod { path: Text, mode: u32 },
    Chown { path: Text, uid: Option<u32>, gid: Option<u32>, follow: bool },
    Truncate { path: Text, len: u64 },
    Access { path: Text, mode: u32 },
    SetTimes { path: Text, atime: u8, mtime: u8 },
    SetXattr { path: Text, name: &'static str, value: Vec<u8>, flags: u32 },
    GetXattr { path: Text, name: &'static str },
    ListXattr { path: Text },
    RemoveXattr { path: Text, name: &'static str },
}

/// What a step answers: text to compare, or an error number.
pub(crate) type Answer = Result<String, i32>;

/// One of the two sides.
pub(crate) trait System {
    /// Does a step.
    fn run(&mut self, op: &Op) -> Answer;
    /// Describes the whole tree, a line for each file.
    fn tree(&mut self) -> Vec<String>;
}

/// A small generator (xorshift64*), the same on every machine.
pub(crate) struct Random {
    state: u64,
    /// tmpfs reports pages that were allocated but never written as holes, and we as data, which both may: so half of the
    /// runs allocate, the other half looks for holes.
    allocates: bool,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, allocates: seed.is_multiple_of(2) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    fn size(&mut self) -> u64 {
        let limit = self.pick(&[10, 100, 4097, 9000, 20000]);
        match self.below(4) {
            0 => self.below(5) * 4096,
            _ => self.below(limit),
        }
    }

    fn name(&mut self) -> Vec<u8> {
        match self.below(60) {
            0 => vec![b'n'; 255],
            1 => vec![b'n'; 256],
            _ => self.pick(&["a", "b", "c", "d"]).as_bytes().to_vec(),
        }
    }

    /// Makes a path that does not leave the tree: links never lead up, so it holds as many `..` as names before it at most.
    fn path(&mut self) -> Text {
        Text(self.path_bytes())
    }

    fn path_bytes(&mut self) -> Vec<u8> {
        if self.one_in(300) {
            return Vec::new();
        }
        let count = self.pick(&[1, 1, 1, 1, 1, 2, 2, 3]);
        let mut path = Vec::new();
        let mut depth = 0;
        for at in 0..count {
            if at > 0 {
                path.push(b'/');
                if self.one_in(30) {
                    path.push(b'/');
                }
            }
            if self.one_in(20) {
                path.push(b'.');
            } else if depth > 0 && self.one_in(10) {
                path.extend_from_slice(b"..");
                depth -= 1;
            } else {
                path.extend(self.name());
                depth += 1;
            }
        }
        if self.one_in(15) {
            path.push(b'/');
        }
        if self.one_in(400) {
            path.resize(5000, b'/');
        }
        path
    }

    fn target(&mut self) -> Text {
        let mut target = self.name();
        if self.one_in(3) {
            target.push(b'/');
            target.extend(self.name());
        }
        if self.one_in(20) {
            target.push(b'/');
        }
        Text(if self.one_in(50) { Vec::new() } else { target })
    }

    fn mode(&mut self) -> u32 {
        match self.below(3) {
            0 => u32::try_from(self.below(0o10000)).unwrap(),
            _ => self.pick(&[0o644, 0o755, 0o777, 0o700, 0o2755, 0o1777, 0o4755, 0o2777, 0o070, 0o007]),
        }
    }

    fn id(&mut self) -> Option<u32> {
        self.pick(&[None, Some(0), Some(1000), Some(1000), Some(1001), Some(2000)])
    }
}

const XATTRS: [&str; 6] = ["user.a", "user.b", "trusted.t", "security.s", "nonsense", "user.long-name"];

const O_CREAT: u32 = 0o100;
const FLAGS: [u32; 8] = [0o200, 0o1000, 0o2000, 0o200_000, 0o400_000, 0o1_000_000, 0o10_000_000, 0];

impl Op {
    pub(crate) fn random(r: &mut Random) -> Self {
        let slot = usize::try_from(r.below(SLOTS as u64)).unwrap();
        match r.below(100) {
            0..14 => {
                let mut flags = r.pick(&[0, 1, 2, 2, 2, 2]) | r.pick(&[0, O_CREAT, O_CREAT]);
                for _ in 0..r.below(3).saturating_sub(u64::from(r.one_in(2))) {
                    flags |= r.pick(&FLAGS);
                }
                if r.one_in(60) {
                    flags |= 0o20_200_000;
                }
                Self::Open { slot, path: r.path(), flags, mode: r.mode() & 0o7777 }
            }
            14..15 => Self::Close { slot },
            15..21 => Self::Read { slot, len: usize::try_from(r.size()).unwrap() },
            21..27 => Self::Write { slot, len: usize::try_from(r.size()).unwrap(), byte: r.pick(b"xyz") },
            27..30 => Self::ReadAt { slot, offset: r.size(), len: usize::try_from(r.size()).unwrap() },
            30..34 => {
                let len = usize::try_from(r.size()).unwrap();
                Self::WriteAt { slot, offset: r.size() * r.below(3), len, byte: r.pick(b"pqr") }
            }
            34..38 => {
                let offset = i64::try_from(r.size()).unwrap() - 50;
                Self::Seek {
                    slot,
                    offset,
                    whence: r.pick(if r.allocates { &[0, 1, 2] } else { &[0, 1, 2, 3, 4] }),
                }
            }
            38..40 => Self::SetLen { slot, len: r.size() },
            40..42 => {
                let (offset, len) = (i64::try_from(r.size()).unwrap() - 5, i64::try_from(r.size()).unwrap());
                Self::Allocate {
                    slot,
                    mode: r.pick(if r.allocates { &[0, 1, 3, 3, 2] } else { &[3] }),
                    offset,
                    len,
                }
            }
            42..45 => Self::StatSlot { slot },
            45..48 => Self::List { slot },
            48..53 => Self::Stat { path: r.path(), follow: !r.one_in(3) },
            53..59 => Self::Mkdir { path: r.path(), mode: r.mode() },
            59..61 => {
                let mode = r.pick(&[0o010_000, 0o100_000, 0o140_000, 0o020_000, 0o040_000]) | r.mode();
                Self::Mknod { path: r.path(), mode, rdev: r.pick(&[0, 0x103]) }
            }
            61..64 => Self::Symlink { target: r.target(), path: r.path() },
            64..66 => Self::ReadLink { path: r.path() },
            66..70 => Self::Link { old: r.path(), new: r.path(), follow: r.one_in(3) },
            70..74 => Self::Unlink { path: r.path() },
            74..77 => Self::Rmdir { path: r.path() },
            77..84 => {
                let flags = r.pick(&[0, 0, 0, 0, 1, 2, 2, 3, 4, 6]);
                Self::Rename { old: r.path(), new: r.path(), flags }
            }
            84..87 => Self::Chmod { path: r.path(), mode: r.mode() },
            87..90 => Self::Chown { path: r.path(), uid: r.id(), gid: r.id(), follow: !r.one_in(3) },
            90..92 => Self::Truncate { path: r.path(), len: r.size() },
            92..94 => Self::Access { path: r.path(), mode: u32::try_from(r.below(8)).unwrap() },
            94..96 => Self::SetTimes { path: r.path(), atime: r.pick(&[0, 1, 2]), mtime: r.pick(&[0, 1, 2]) },
            96..98 => {
                let value = vec![b'v'; usize::try_from(r.below(40)).unwrap()];
                Self::SetXattr {
                    path: r.path(),
                    name: r.pick(&XATTRS),
                    value,
                    flags: r.pick(&[0, 0, 0, 1, 2]),
                }
            }
            98 => Self::GetXattr { path: r.path(), name: r.pick(&XATTRS) },
            _ => match r.below(2) {
                0 => Self::ListXattr { path: r.path() },
                _ => Self::RemoveXattr { path: r.path(), name: r.pick(&XATTRS) },
            },
        }
    }
}

/// Says a few words about bytes that were read.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for &byte in bytes {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    format!("{} bytes {sum:016x}", bytes.len())
}
