//! The tool with a script in the hypervisor's place.
#![expect(unreachable_pub, reason = "each test program includes this file as its own module")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A guest in Perl: reads frames from the channel (standard input), answers with the subroutines below.
const GUEST: &str = r#"#!/usr/bin/perl
use strict; use warnings;
open(my $io, '+<&=', 0) or die; binmode $io; $| = 1;
my %arg; for my $i (0 .. $#ARGV - 1) { $arg{$ARGV[$i]} = $ARGV[$i + 1] }
sub say_frame { my ($kind, $stream, $data) = @_;
    syswrite $io, pack('CCCCV', 0xf5, 0x48, $kind, $stream, length $data) . $data }
sub read_all { my ($len) = @_; my $got = '';
    while (length $got < $len) { sysread($io, my $part, $len - length $got) or exit 9; $got .= $part } $got }
sub read_frame { my ($a, $b, $kind, $stream, $len) = unpack 'CCCCV', read_all(8); ($kind, $len ? read_all($len) : '') }
sub leave { say_frame(3, 0, pack 'V', $_[0]); exit 0 }
"#;

pub struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    pub fn new(guest: &str) -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap() };
        let fake = host.path("qemu");
        std::fs::write(&fake, format!("{GUEST}{guest}")).unwrap();
        std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(host.path("kernel"), "\x7fELF").unwrap();
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn hull(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hull"));
        command.args(args).current_dir(self.dir.path());
        command.env("HULL_QEMU", self.path("qemu")).env("HULL_KERNEL", self.path("kernel"));
        command.env("HULL_STATE_DIR", self.path("state"));
        command.env("XDG_CACHE_HOME", self.path("cache")).env("HULL_ACCEL", "tcg");
        command
    }

    pub fn output(&self, args: &[&str]) -> Output {
        self.hull(args).stdin(Stdio::null()).output().unwrap()
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
