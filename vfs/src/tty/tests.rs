//! Every setting is tried on a pseudo-terminal of the host, too, and both have to give the same bytes.

extern crate std;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::time::{Duration, Instant};

use abi::tty::*;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno as HostErrno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};

use super::*;

/// Where `c_cc` has what, in the order of its indices.
const CODES: [SpecialCodeIndex; 17] = [
    SpecialCodeIndex::VINTR,
    SpecialCodeIndex::VQUIT,
    SpecialCodeIndex::VERASE,
    SpecialCodeIndex::VKILL,
    SpecialCodeIndex::VEOF,
    SpecialCodeIndex::VTIME,
    SpecialCodeIndex::VMIN,
    SpecialCodeIndex::VSWTC,
    SpecialCodeIndex::VSTART,
    SpecialCodeIndex::VSTOP,
    SpecialCodeIndex::VSUSP,
    SpecialCodeIndex::VEOL,
    SpecialCodeIndex::VREPRINT,
    SpecialCodeIndex::VDISCARD,
    SpecialCodeIndex::VWERASE,
    SpecialCodeIndex::VLNEXT,
    SpecialCodeIndex::VEOL2,
];

/// A pseudo-terminal of the host.
struct Host {
    master: OwnedFd,
    slave: OwnedFd,
}

impl Host {
    fn new() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        use rustix::fs::{Mode, OFlags};
        let slave =
            rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        rustix::fs::fcntl_setfl(&master, OFlags::NONBLOCK).unwrap();
        Self { master, slave }
    }

    fn termios(&self) -> Termios {
        let host = tcgetattr(&self.slave).unwrap();
        let mut termios = default_termios();
        termios.c_iflag = host.input_modes.bits();
        termios.c_oflag = host.output_modes.bits();
        termios.c_cflag = host.control_modes.bits();
        termios.c_lflag = host.local_modes.bits();
        for (index, code) in CODES.into_iter().enumerate() {
            termios.c_cc[index] = host.special_codes[code];
        }
        termios
    }

    fn set(&self, termios: &Termios) {
        use rustix::termios::{InputModes, LocalModes, OutputModes};
        let mut host = tcgetattr(&self.slave).unwrap();
        host.input_modes = InputModes::from_bits_retain(termios.c_iflag);
        host.output_modes = OutputModes::from_bits_retain(termios.c_oflag);
        host.local_modes = LocalModes::from_bits_retain(termios.c_lflag);
        for (index, code) in CODES.into_iter().enumerate() {
            host.special_codes[code] = termios.c_cc[index];
        }
        tcsetattr(&self.slave, OptionalActions::Now, &host).unwrap();
    }

    /// Reads until as many bytes came as expected, or no more come.
    fn screen(&self, expected: usize) -> Vec<u8> {
        let mut all = Vec::new();
        let deadline = Instant::now() + Duration::from_millis(150);
        loop {
            match read(&self.master, 4096) {
                Ok(bytes) => all.extend(bytes),
                Err(_) if all.len() >= expected || Instant::now() > deadline => return all,
                Err(_) => std::thread::sleep(Duration::from_micros(100)),
            }
        }
    }

    fn wait_for_input(&self, expected: usize) -> usize {
        let deadline = Instant::now() + Duration::from_millis(150);
        loop {
            let waiting = usize::try_from(rustix::io::ioctl_fionread(&self.slave).unwrap()).unwrap();
            if waiting == expected || Instant::now() > deadline {
                return waiting;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

fn read(fd: impl AsFd, len: usize) -> Result<Vec<u8>, HostErrno> {
    let mut bytes = alloc::vec![0; len];
    let count = rustix::io::read(fd, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().collect_string()
}

trait CollectString {
    fn collect_string(self) -> String;
}

impl<T: core::fmt::Display> CollectString for T {
    fn collect_string(self) -> String {
        format!("{self}")
    }
}

/// One step of a trial.
#[derive(Clone, Debug)]
enum Step {
    Type(Vec<u8>),
    Write(Vec<u8>),
    Read(usize),
    Set(Termios),
}

/// Does the same here and on the host; returns the first difference.
fn compare(steps: &[Step]) -> Option<String> {
    let host = Host::new();
    let mut line = Line::default();
    // What the line did not take yet, as its owner has to keep it.
    let mut rest: Vec<u8> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let mut out = Output::new(1 << 20);
        let mut differ = None;
        match step {
            Step::Set(termios) => {
                host.set(termios);
                let mut ours = host.termios();
                ours.c_cc[17..].fill(0);
                line.set_termios(&ours, &mut out);
            }
            Step::Type(bytes) => {
                rest.extend(bytes);
                let (taken, _) = line.input(&rest, &mut out);
                rest.drain(..taken);
                assert_eq!(rustix::io::write(&host.master, bytes), Ok(bytes.len()));
                if out.bytes.is_empty() {
                    // Nothing will show that the host has seen it.
                    std::thread::sleep(Duration::from_millis(3));
                }
                let theirs = host.wait_for_input(line.waiting());
                if theirs != line.waiting() {
                    differ = Some(format!("{theirs} bytes wait, {} here", line.waiting()));
                }
            }
            Step::Write(bytes) => {
                let ours = line.write(bytes, &mut out);
                let theirs = rustix::io::write(&host.slave, bytes);
                let theirs = theirs.or_else(|e| if e == HostErrno::AGAIN { Ok(0) } else { Err(e) });
                if theirs != Ok(ours) {
                    differ = Some(format!("{theirs:?} bytes taken, {ours} here"));
                }
            }
            Step::Read(len) => {
                let ours = if line.would_block() { Err(HostErrno::AGAIN) } else { Ok(line.take(*len)) };
                let (taken, _) = line.input(&rest, &mut out);
                rest.drain(..taken);
                let theirs = read(&host.slave, *len);
                if ours != theirs {
                    differ = Some(format!("read {theirs:?}, {ours:?} here"));
                }
            }
        }
        let screen = host.screen(out.bytes.len());
        if screen != out.bytes {
            differ = Some(format!("screen \"{}\", \"{}\" here", show(&screen), show(&out.bytes)));
        }
        if let Some(differ) = differ {
            return Some(format!("step {number} {step:?} of {steps:?}: host {differ}"));
        }
    }
    None
}

fn check(steps: &[Step]) {
    // A busy host may need more time than it was given; only what differs every time is a difference.
    let tries = (0..4).map(|_| compare(steps));
    let mut differences = Vec::new();
    for one in tries {
        match one {
            None => return,
            Some(difference) => differences.push(difference),
        }
    }
    panic!("{}", differences[0]);
}

fn typed(bytes: &[u8]) -> Step {
    Step::Type(bytes.to_vec())
}

fn with(change: impl Fn(&mut Termios)) -> Step {
    let mut termios = default_termios();
    change(&mut termios);
    Step::Set(termios)
}

#[test]
fn the_first_modes_are_the_hosts() {
    assert_eq!(Host::new().termios().c_cc[..17], default_termios().c_cc[..17]);
    let (host, ours) = (Host::new().termios(), default_termios());
    assert_eq!((host.c_iflag, host.c_oflag, host.c_lflag), (ours.c_iflag, ours.c_oflag, ours.c_lflag));
    assert_eq!(host.c_cflag & (CSIZE | CREAD | CBAUD), ours.c_cflag);
}

#[test]
fn lines_are_edited_and_echoed() {
    let everything: [&[u8]; 12] = [
        b"hello\r",
        b"helxx\x7f\x7flo\n",
        b"one two  three\x17\x17four\n",
        b"kill me\x15new\n",
        b"a\x01b\x02\x7f\x7f\x7f!\n",
        b"a\tb\t\x7f\x7f\x7f\tc\t\t\x7f\x7f\x7f\x7f\n",
        b"lit\x16\x03eral\x16\x16\n",
        b"again\x12\n",
        b"end\x04",
        b"\x04",
        b"interrupted\x03rest\n",
        b"\x1cquit\x1asusp\n",
    ];
    for bytes in everything {
        check(&[typed(bytes), Step::Read(100), Step::Read(100)]);
    }
    check(&[
        typed(b"abc"),
        typed(b"\x7f"),
        typed(b"\x15"),
        typed(b"x\n"),
        Step::Read(1),
        Step::Read(1),
        Step::Read(1),
    ]);
}

#[test]
fn short_reads_keep_the_rest_of_a_line() {
    for len in 1..6 {
        let mut steps = alloc::vec![typed(b"abc\nde\x04fg\n\x04h\n")];
        steps.extend([const { Step::Read(0) }; 14].map(|_| Step::Read(len)));
        check(&steps);
    }
}

#[test]
fn modes_of_the_echo_are_followed() {
    let text = b"ab\x03c\x7f\x7f\tx\x7f\x7f\x15q w\x17\x17\x16\x12r\x12\xffz\x7f\x7f\n";
    for local in [
        ICANON,
        ICANON | ECHO,
        ICANON | ECHO | ECHOE,
        ICANON | ECHO | ECHOE | ECHOK,
        ICANON | ECHO | ECHOK | ECHOCTL,
        ICANON | ECHO | ECHOE | ECHOPRT | IEXTEN,
        ICANON | ECHO | ECHOE | ECHOPRT | ECHOCTL | IEXTEN | ECHOK | ECHOKE,
        ICANON | ECHONL,
        ECHO,
        ECHO | ECHOCTL,
        ISIG | ECHO | NOFLSH,
        0,
    ] {
        check(&[with(|t| t.c_lflag = local), typed(text), Step::Read(100), Step::Read(100)]);
    }
}

#[test]
fn characters_of_several_bytes_are_erased_whole() {
    for utf8 in [IUTF8, 0] {
        let set = with(|t| t.c_iflag |= utf8);
        check(&[set, typed("aä€😀".as_bytes()), typed(b"\x7f\x7f"), typed(b"\x7f\n"), Step::Read(50)]);
    }
}

#[test]
fn output_is_processed() {
    let text = b"a\tb\rc\nd\r\ne\x08f\tg\n\xc3\xa4\th\r\rxyz\n";
    for output in [
        0,
        OPOST,
        OPOST | ONLCR,
        OPOST | OCRNL,
        OPOST | ONOCR,
        OPOST | ONLRET,
        OPOST | ONLRET | OCRNL | XTABS,
        OPOST | XTABS,
        OPOST | XTABS | ONLCR | ONOCR,
        OPOST | OLCUC,
    ] {
        let set = with(|t| t.c_oflag = output);
        check(&[set, Step::Write(text.to_vec()), typed(b"x\ty\n"), Step::Write(text.to_vec())]);
    }
}

#[test]
fn output_stops_and_goes_on() {
    check(&[
        typed(b"\x13"),
        Step::Write(b"held".to_vec()),
        typed(b"typed"),
        typed(b"\x11"),
        Step::Write(b"shown".to_vec()),
    ]);
    let any = with(|t| t.c_iflag |= IXANY);
    check(&[any, typed(b"\x13abc\n"), Step::Write(b"x".to_vec())]);
    check(&[typed(b"\x13ab"), with(|t| t.c_iflag &= !IXON), Step::Write(b"x".to_vec())]);
}

#[test]
fn switching_between_lines_and_bytes_keeps_what_was_typed() {
    let raw = || with(|t| t.c_lflag &= !ICANON);
    let lines = || Step::Set(default_termios());
    check(&[typed(b"half"), raw(), Step::Read(2), lines(), Step::Read(10), typed(b"x\n"), Step::Read(10)]);
    check(&[typed(b"one\ntwo\nthr"), raw(), Step::Read(100), Step::Read(1)]);
    check(&[raw(), typed(b"abc"), lines(), typed(b"\x7f\n"), Step::Read(10), Step::Read(10)]);
}

#[test]
fn a_line_that_is_too_long_keeps_its_end() {
    let mut long = alloc::vec![b'a'; 5000];
    long.push(b'\n');
    let quiet = with(|t| t.c_lflag &= !ECHO);
    check(&[
        quiet.clone(),
        Step::Type(long),
        typed(b"b\n"),
        Step::Read(3000),
        Step::Read(3000),
        Step::Read(9),
    ]);
    let raw = with(|t| t.c_lflag = 0);
    check(&[raw, Step::Type(alloc::vec![b'a'; 4095]), Step::Read(5000), typed(b"z"), Step::Read(9)]);
}

/// Numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound
    }

    fn bits(&mut self, of: &[u32]) -> u32 {
        of.iter().filter(|_| self.below(2) == 0).fold(0, |bits, bit| bits | bit)
    }

    fn bytes(&mut self) -> Vec<u8> {
        const FREQUENT: &[u8] =
            b"ab c_\t\r\n\x03\x04\x7f\x15\x17\x16\x12\x01\x00\xff\xc3\xa4\xe2\x82\xacZ\x11\x13\x08\x1a";
        let len = 1 + self.below(12);
        (0..len).map(|_| FREQUENT[self.below(FREQUENT.len())]).collect()
    }

    fn step(&mut self) -> Step {
        match self.below(10) {
            0 => {
                let mut t = default_termios();
                t.c_iflag = self.bits(&[
                    ISTRIP, INLCR, IGNCR, ICRNL, IUCLC, IXON, IXANY, IUTF8, PARMRK, IMAXBEL, IGNBRK, BRKINT,
                ]);
                t.c_oflag = self.bits(&[OPOST, OLCUC, ONLCR, OCRNL, ONOCR, ONLRET, XTABS]);
                t.c_lflag = self.bits(&[
                    ISIG, ICANON, ECHO, ECHOE, ECHOK, ECHONL, NOFLSH, ECHOCTL, ECHOPRT, ECHOKE, IEXTEN,
                ]) | if self.below(2) == 0 { ICANON | ECHO } else { 0 };
                t.c_cc[VEOL] = [0, b'Z'][self.below(2)];
                t.c_cc[VEOL2] = [0, b'_', 0xff][self.below(3)];
                t.c_cc[VMIN] = [0, 1, 1, 3][self.below(4)];
                Step::Set(t)
            }
            1 => Step::Write(self.bytes()),
            2 | 3 => Step::Read(1 + self.below(20)),
            _ => Step::Type(self.bytes()),
        }
    }
}

#[test]
fn random_trials_end_as_on_the_host() {
    let seeds = std::env::var("TTY_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    for seed in 1..=seeds {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut steps = alloc::vec![random.step()];
        for _ in 0..12 {
            steps.push(random.step());
        }
        check(&steps);
    }
}

#[test]
fn reads_wait_for_the_least_number_or_the_timer() {
    let mut out = Output::new(100);
    let mut line = Line::new(raw_termios());
    let set = |line: &mut Line, min, time| {
        let mut termios = raw_termios();
        (termios.c_cc[VMIN], termios.c_cc[VTIME]) = (min, time);
        line.set_termios(&termios, &mut Output::new(0));
    };
    const TENTH: u64 = 100_000_000;
    set(&mut line, 0, 0);
    assert_eq!(line.when(&mut Reading::new(0), 9, 0), When::Now);
    assert!(!line.would_block());
    set(&mut line, 0, 2);
    let mut reading = Reading::new(5);
    assert_eq!(line.when(&mut reading, 9, 6), When::Later(Some(2 * TENTH + 5)));
    assert_eq!(line.when(&mut reading, 9, 2 * TENTH + 5), When::Now);
    set(&mut line, 3, 0);
    assert_eq!(line.when(&mut Reading::new(0), 9, 0), When::Later(None));
    line.input(b"ab", &mut out);
    assert_eq!(line.when(&mut Reading::new(0), 9, 0), When::Later(None));
    assert_eq!(line.when(&mut Reading::new(0), 2, 0), When::Now, "a shorter read is content with less");
    assert!(line.read_readiness().is_empty());
    set(&mut line, 3, 1);
    let mut reading = Reading::new(0);
    assert_eq!(line.when(&mut reading, 9, 10), When::Later(Some(10 + TENTH)), "between bytes");
    assert!(line.read_readiness().contains(hal::Readiness::IN));
    line.take(9);
    assert_eq!(
        line.when(&mut Reading::new(0), 9, 99 * TENTH),
        When::Later(None),
        "the first byte has no timer"
    );
}

#[test]
fn output_waits_for_room() {
    let mut line = Line::default();
    let mut out = Output::new(3);
    assert_eq!(line.write(b"ab\ncd", &mut out), 2, "a new line needs two bytes");
    line.input(b"xyz", &mut out);
    assert_eq!(out.bytes, b"abx");
    let mut out = Output::new(9);
    assert_eq!(line.write(b"\ncd", &mut out), 3);
    assert_eq!(out.bytes, b"yz\r\ncd", "echo comes first");
}
