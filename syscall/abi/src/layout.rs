//! Compares every constant and structure with what a C compiler makes of the kernel's and the C library's headers.

extern crate std;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::format;
use std::process::Command;
use std::string::String;
use std::vec::Vec;

/// A structure as Rust lays it out.
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    /// The C type, after `libc:` where the C library has it.
    pub(crate) c: &'static str,
    pub(crate) size: usize,
    /// Names and offsets; names that start with `_` are not C's.
    pub(crate) fields: &'static [(&'static str, usize)],
}

const KERNEL: &str = include_str!("../tests/kernel.h");
const LIBC: &str = include_str!("../tests/libc.h");

const SOURCES: &[&str] = &[
    include_str!("fs.rs"),
    include_str!("futex.rs"),
    include_str!("inotify.rs"),
    include_str!("io.rs"),
    include_str!("ioctl.rs"),
    include_str!("ipc.rs"),
    include_str!("mm.rs"),
    include_str!("mount.rs"),
    include_str!("netlink.rs"),
    include_str!("poll.rs"),
    include_str!("process.rs"),
    include_str!("ptrace.rs"),
    include_str!("sched.rs"),
    include_str!("seccomp.rs"),
    include_str!("signal.rs"),
    include_str!("socket.rs"),
    include_str!("time.rs"),
    include_str!("tty.rs"),
    include_str!("uring.rs"),
];

/// Compiles and runs a C program; `None` where no compiler is installed.
fn run_c(name: &str, headers: &str, body: &str) -> Option<String> {
    let dir = std::env::temp_dir().join(format!("abi-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (source, program) = (dir.join("dump.c"), dir.join("dump"));
    let text = format!("{headers}\nint printf(const char *, ...);\nint main(void) {{\n{body}return 0;\n}}\n");
    std::fs::write(&source, text).unwrap();
    let compiled = Command::new("gcc").args(["-w", "-O0", "-o"]).arg(&program).arg(&source).output().ok()?;
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let out = Command::new(&program).output().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    Some(String::from_utf8(out.stdout).unwrap())
}

#[test]
fn structures_are_laid_out_as_in_c() {
    let all = [
        crate::fs::LAYOUTS,
        crate::futex::LAYOUTS,
        crate::inotify::LAYOUTS,
        crate::io::LAYOUTS,
        crate::ipc::LAYOUTS,
        crate::mount::LAYOUTS,
        crate::netlink::LAYOUTS,
        crate::poll::LAYOUTS,
        crate::process::LAYOUTS,
        crate::ptrace::LAYOUTS,
        crate::sched::LAYOUTS,
        crate::seccomp::LAYOUTS,
        crate::signal::LAYOUTS,
        crate::socket::LAYOUTS,
        crate::time::LAYOUTS,
        crate::tty::LAYOUTS,
        crate::uring::LAYOUTS,
    ];
    let (mut bodies, mut expected) = ([String::new(), String::new()], [String::new(), String::new()]);
    for layout in all.into_iter().flatten().filter(|layout| !layout.c.is_empty()) {
        let (which, c) = layout.c.strip_prefix("libc:").map_or((0, layout.c), |c| (1, c));
        let name = layout.name;
        writeln!(bodies[which], "printf(\"{name} %zu\\n\", sizeof({c}));").unwrap();
        writeln!(expected[which], "{name} {}", layout.size).unwrap();
        for (field, offset) in layout.fields.iter().filter(|(field, _)| !field.starts_with('_')) {
            writeln!(bodies[which], "printf(\"{name}.{field} %zu\\n\", __builtin_offsetof({c}, {field}));")
                .unwrap();
            writeln!(expected[which], "{name}.{field} {offset}").unwrap();
        }
    }
    for (which, headers) in [KERNEL, LIBC].into_iter().enumerate() {
        let Some(out) = run_c(&format!("layout{which}"), headers, &bodies[which]) else { return };
        for (c, rust) in out.lines().zip(expected[which].lines()) {
            assert_eq!(c, rust, "C on the left");
        }
        assert_eq!(out.lines().count(), expected[which].lines().count());
    }
}

/// The constants of the macros' blocks: every `NAME = number` in the sources.
fn constants() -> Vec<(&'static str, i128)> {
    let mut found = Vec::new();
    for text in SOURCES.iter().flat_map(|source| source.split(['{', '}', ','])) {
        let Some((name, value)) = text.split_once('=') else { continue };
        let (name, value) = (name.trim(), value.trim());
        let value = match value.get(..2) {
            Some("0x") => i128::from_str_radix(&value[2..], 16),
            Some("0o") => i128::from_str_radix(&value[2..], 8),
            _ => value.parse(),
        };
        if let Ok(value) = value
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            found.push((name, value));
        }
    }
    found
}

#[test]
fn constants_have_linux_values() {
    let constants = constants();
    assert!(constants.len() > 1900, "{} constants found", constants.len());
    let mut known = BTreeMap::new();
    for headers in [KERNEL, LIBC] {
        // Which names a header knows is asked of the compiler: macros by `#ifdef`, members of enums by the text.
        let mut body = String::new();
        let enums = enum_members(headers);
        for (name, _) in constants.iter().filter(|(name, _)| !known.contains_key(*name)) {
            let print = format!("printf(\"{name} %lld\\n\", (long long)({name}));\n");
            if enums.iter().any(|member| member == name) {
                body.push_str(&print);
            } else {
                write!(body, "#ifdef {name}\n{print}#endif\n").unwrap();
            }
        }
        let Some(out) = run_c(&format!("constants{}", known.len()), headers, &body) else { return };
        for (name, value) in out.lines().filter_map(|line| line.split_once(' ')) {
            known.insert(String::from(name), value.parse::<i64>().unwrap());
        }
    }
    let mut unknown = Vec::new();
    for (name, value) in &constants {
        let Some(c) = known.get(*name) else {
            unknown.push(*name);
            continue;
        };
        // A C `int` may be Rust's `u32` or `u16`: the bits count.
        let same = [32, 64, 8, 16].iter().any(|bits| {
            let mask = (1_i128 << bits) - 1;
            i128::from(*c) == *value || (*value <= mask && i128::from(*c) & mask == *value && *c < 0)
        });
        assert!(same, "{name}: C has {c}, Rust {value}");
    }
    // Newer than these headers, or kept from programs by them.
    assert!(unknown.len() < 30, "in no header: {unknown:?}");
}

/// The members of every `enum` in a header and what it includes.
fn enum_members(headers: &str) -> Vec<String> {
    let mut child = Command::new("gcc")
        .args(["-E", "-P", "-w", "-x", "c", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), headers.as_bytes()).unwrap();
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let mut members = Vec::new();
    for body in text.split("enum").skip(1) {
        let Some((_, rest)) = body.split_once('{') else { continue };
        let Some((list, _)) = rest.split_once('}') else { continue };
        members.extend(list.split(',').filter_map(|m| m.split('=').next()).map(|m| String::from(m.trim())));
    }
    members
}

/// Structures that the header crate knows as well.
#[test]
fn structures_have_the_sizes_of_the_header_crate() {
    use linux_raw_sys::{general as g, net as n, system as s};
    macro_rules! same {
        ($($ours:ty = $theirs:ty),* $(,)?) => { $( assert_eq!(size_of::<$ours>(), size_of::<$theirs>(), stringify!($ours)); )* };
    }
    same! {
        crate::fs::Stat = g::stat, crate::fs::Statx = g::statx, crate::fs::Iovec = g::iovec, crate::fs::Flock = g::flock,
        crate::mount::Statfs = g::statfs, crate::signal::Siginfo = g::siginfo, crate::signal::StackT = g::stack_t,
        crate::signal::KernelSigaction = g::kernel_sigaction, crate::time::Timespec = g::__kernel_timespec,
        crate::time::Itimerspec = g::__kernel_itimerspec, crate::time::Sigevent = g::sigevent,
        crate::sched::CloneArgs = g::clone_args, crate::sched::Rusage = g::rusage, crate::sched::Rlimit = g::rlimit64,
        crate::sched::Sysinfo = s::sysinfo, crate::sched::Utsname = s::new_utsname, crate::poll::Pollfd = g::pollfd,
        crate::poll::EpollEvent = g::epoll_event, crate::tty::Termios = g::termios, crate::tty::Termios2 = g::termios2,
        crate::tty::Winsize = g::winsize, crate::futex::RobustListHead = g::robust_list_head,
        crate::futex::FutexWaitv = g::futex_waitv, crate::socket::SockaddrIn = n::sockaddr_in,
        crate::socket::SockaddrIn6 = n::sockaddr_in6, crate::socket::SockaddrUn = n::sockaddr_un,
        crate::socket::Msghdr = n::msghdr, crate::socket::Cmsghdr = n::cmsghdr, crate::socket::Ucred = n::ucred,
        crate::socket::Linger = n::linger,
    }
}

#[test]
fn numbers_are_linux_numbers() {
    for number in crate::nr::NUMBERS {
        let theirs = syscalls::x86_64::Sysno::new(usize::try_from(number.x86_64).unwrap());
        assert_eq!(theirs.map(|n| n.name()), Some(number.name));
        let Some(aarch64) = number.aarch64 else { continue };
        let theirs = syscalls::aarch64::Sysno::new(usize::try_from(aarch64).unwrap()).map(|n| n.name());
        // One call, two names.
        assert_eq!(theirs.map(|n| if n == "fstatat" { "newfstatat" } else { n }), Some(number.name));
    }
    assert_eq!(crate::nr::NUMBERS.last().map(|n| n.x86_64), Some(crate::nr::LAST));
    assert_eq!(crate::nr::NUMBERS.len(), 335 + 27);
}
