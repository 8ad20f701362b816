//! The boot configuration: what the tool tells the kernel.
//!
//! Text: tokens `key=value` separated by white space, values percent-encoded. It may arrive on the kernel
//! command line (among tokens of the hypervisor's own, which are kept in [`Config::foreign`]), in a block
//! behind the image in the boot module ([`append_block`]), or in the image's own file [`IMAGE_FILE`];
//! an earlier place wins for a single value, and its list (arguments, environment, interfaces, name servers) replaces
//! a later one's.

mod net;

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

pub use net::{NetConfig, parse_prefix};

/// Path of the image's own configuration, the least binding one.
pub const IMAGE_FILE: &str = "/.hull/boot";
/// First bytes of a configuration block behind the image; a little-endian `u64` length and the text follow.
pub const BLOCK_MAGIC: [u8; 8] = *b"HULLCONF";

/// How the machine talks to the tool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Channel {
    /// Plain text on the serial port: nobody decodes frames.
    #[default]
    Raw,
    /// Frames (see [`crate::channel`]) on the virtio console.
    Virtio,
    /// Frames on the first serial port.
    Serial,
}

/// Where the root image is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Root {
    /// In the boot module; a configuration block may follow it, at the next page.
    #[default]
    Module,
    /// On the first virtio block device; the boot module then holds only a configuration block, or is absent.
    Disk,
}

/// What to run and how; every field has a usable default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// `hull.arg`, repeated: the argument vector; the first is also the program's path.
    pub args: Vec<Vec<u8>>,
    /// `hull.exe`: the program's path where it differs from the first argument.
    pub exe: Option<Vec<u8>>,
    /// `hull.env`, repeated: environment entries, `NAME=value`.
    pub env: Vec<Vec<u8>>,
    /// `hull.cwd`: working directory.
    pub cwd: Option<Vec<u8>>,
    /// `hull.user=UID:GID[,GID...]`: user, group, supplementary groups.
    pub user: Option<(u32, u32, Vec<u32>)>,
    /// `hull.hostname`.
    pub hostname: Option<Vec<u8>>,
    /// `hull.tty=1`: standard input, output and error are a terminal.
    pub tty: bool,
    /// `hull.winsize=ROWSxCOLUMNS`: the terminal's size.
    pub winsize: Option<(u16, u16)>,
    /// `hull.channel=raw|virtio|serial`.
    pub channel: Channel,
    /// `hull.root=module|disk`.
    pub root: Root,
    /// `hull.cpus`: processors to start, where the platform does not list them.
    pub cpus: Option<u32>,
    /// `hull.net`, repeated: the network interfaces in their order; one without an entry is the kernel's to set up.
    pub nets: Vec<NetConfig>,
    /// `hull.dns`, repeated: name servers, the preferred one first.
    pub dns: Vec<IpAddr>,
    /// `hull.tsc_khz`: frequency of the time-stamp counter in kHz.
    pub tsc_khz: Option<u64>,
    /// `hull.log=error|warn|info|debug|trace` as 0 to 4.
    pub log: Option<u8>,
    /// `hull.trace=1`: write a line for each system call.
    pub trace: bool,
    /// `hull.aslr=0` turns address randomisation off.
    pub no_aslr: bool,
    /// `hull.announce=1`: report when the application has started ([`crate::channel::STARTED`]).
    pub announce: bool,
    /// `hull.block=1`: a configuration block stands behind the image in the boot module.
    pub block: bool,
    /// Tokens that are not Hull's, in order, as they came.
    pub foreign: Vec<String>,
}

/// Why a configuration was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadToken(pub String);

impl core::fmt::Display for BadToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "boot option {:?} is not understood", self.0)
    }
}

impl core::error::Error for BadToken {}

impl Config {
    /// Reads a text of tokens.
    ///
    /// # Errors
    /// [`BadToken`] for a `hull.` key that does not exist or whose value does not parse.
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        let mut config = Self::default();
        for token in text.split_ascii_whitespace() {
            match token.strip_prefix("hull.").and_then(|t| t.split_once('=')) {
                Some((key, value)) => config.set(key, value).ok_or_else(|| BadToken(token.into()))?,
                None => config.foreign.push(token.into()),
            }
        }
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "arg" => self.args.push(decode(value)?),
            "exe" => self.exe = Some(decode(value)?),
            "env" => self.env.push(decode(value)?),
            "cwd" => self.cwd = Some(decode(value)?),
            "hostname" => self.hostname = Some(decode(value)?),
            "user" => {
                let (uid, groups) = value.split_once(':')?;
                let groups: Option<Vec<u32>> = groups.split(',').map(|g| g.parse().ok()).collect();
                let groups = groups?;
                self.user = Some((uid.parse().ok()?, *groups.first()?, groups[1..].to_vec()));
            }
            "tty" => self.tty = switch(value)?,
            "winsize" => {
                let (rows, columns) = value.split_once('x')?;
                self.winsize = Some((rows.parse().ok()?, columns.parse().ok()?));
            }
            "channel" => {
                self.channel = match value {
                    "raw" => Channel::Raw,
                    "virtio" => Channel::Virtio,
                    "serial" => Channel::Serial,
                    _ => return None,
                }
            }
            "root" => {
                self.root = match value {
                    "module" => Root::Module,
                    "disk" => Root::Disk,
                    _ => return None,
                }
            }
            "cpus" => self.cpus = Some(value.parse().ok().filter(|&n| n >= 1)?),
            "net" => self.nets.push(NetConfig::parse(value)?),
            "dns" => self.dns.push(value.parse().ok()?),
            "tsc_khz" => self.tsc_khz = Some(value.parse().ok().filter(|&n| n >= 1)?),
            "log" => {
                let level = ["error", "warn", "info", "debug", "trace"].iter().position(|&l| l == value)?;
                self.log = u8::try_from(level).ok();
            }
            "trace" => self.trace = switch(value)?,
            "aslr" => self.no_aslr = !switch(value)?,
            "announce" => self.announce = switch(value)?,
            "block" => self.block = switch(value)?,
            _ => return None,
        }
        Some(())
    }

    /// Takes from `later` what this configuration leaves open.
    #[must_use]
    pub fn or(mut self, later: Self) -> Self {
        if self.args.is_empty() {
            self.args = later.args;
            self.exe = self.exe.or(later.exe);
        }
        if self.env.is_empty() {
            self.env = later.env;
        }
        self.cwd = self.cwd.or(later.cwd);
        self.user = self.user.or(later.user);
        self.hostname = self.hostname.or(later.hostname);
        self.tty |= later.tty;
        self.winsize = self.winsize.or(later.winsize);
        if self.channel == Channel::Raw {
            self.channel = later.channel;
        }
        if self.root == Root::Module {
            self.root = later.root;
        }
        self.cpus = self.cpus.or(later.cpus);
        if self.nets.is_empty() {
            self.nets = later.nets;
        }
        if self.dns.is_empty() {
            self.dns = later.dns;
        }
        self.tsc_khz = self.tsc_khz.or(later.tsc_khz);
        self.log = self.log.or(later.log);
        self.trace |= later.trace;
        self.no_aslr |= later.no_aslr;
        self.announce |= later.announce;
        self.foreign.extend(later.foreign);
        self
    }

    /// Writes the configuration as the text that [`Config::parse`] reads.
    pub fn to_text(&self) -> String {
        let mut out = Vec::new();
        let mut put = |key: &str, value: String| out.push(alloc::format!("hull.{key}={value}"));
        for arg in &self.args {
            put("arg", encode(arg));
        }
        for (key, value) in [("exe", &self.exe), ("cwd", &self.cwd), ("hostname", &self.hostname)] {
            if let Some(value) = value {
                put(key, encode(value));
            }
        }
        for entry in &self.env {
            put("env", encode(entry));
        }
        if let Some((uid, gid, more)) = &self.user {
            let mut value = alloc::format!("{uid}:{gid}");
            for group in more {
                value += &alloc::format!(",{group}");
            }
            put("user", value);
        }
        if let Some((rows, columns)) = self.winsize {
            put("winsize", alloc::format!("{rows}x{columns}"));
        }
        match self.channel {
            Channel::Raw => {}
            Channel::Virtio => put("channel", "virtio".into()),
            Channel::Serial => put("channel", "serial".into()),
        }
        if self.root == Root::Disk {
            put("root", "disk".into());
        }
        if let Some(n) = self.cpus {
            put("cpus", alloc::format!("{n}"));
        }
        for net in &self.nets {
            put("net", net.to_text());
        }
        for server in &self.dns {
            put("dns", alloc::format!("{server}"));
        }
        if let Some(n) = self.tsc_khz {
            put("tsc_khz", alloc::format!("{n}"));
        }
        if let Some(level) = self.log {
            let names = ["error", "warn", "info", "debug", "trace"];
            put("log", names[usize::from(level).min(4)].into());
        }
        for (key, on) in
            [("tty", self.tty), ("trace", self.trace), ("announce", self.announce), ("block", self.block)]
        {
            if on {
                put(key, "1".into());
            }
        }
        if self.no_aslr {
            put("aslr", "0".into());
        }
        out.extend(self.foreign.iter().cloned());
        out.join(" ")
    }
}

/// Appends a configuration block to an image (which the block starts page-aligned behind).
pub fn append_block(image: &mut Vec<u8>, text: &str) {
    image.resize(image.len().next_multiple_of(4096), 0);
    image.extend_from_slice(&BLOCK_MAGIC);
    image.extend_from_slice(&(text.len() as u64).to_le_bytes());
    image.extend_from_slice(text.as_bytes());
}

/// Reads the configuration block at the start of `bytes`, if one stands there whole.
pub fn read_block(bytes: &[u8]) -> Option<&str> {
    let rest = bytes.strip_prefix(&BLOCK_MAGIC)?;
    let (len, rest) = rest.split_first_chunk::<8>()?;
    let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
    core::str::from_utf8(rest.get(..len)?).ok()
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

/// Percent-encodes everything but unreserved ASCII, so that a value has no white space and no `%` of its own.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &b in bytes {
        if b.is_ascii_alphanumeric() || b"-._~/=:,+@".contains(&b) {
            out.push(char::from(b));
        } else {
            out += &alloc::format!("%{b:02x}");
        }
    }
    out
}

/// Reverses [`encode`]; `None` for a malformed escape.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(b);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn text_round_trips_and_foreign_tokens_are_kept() {
        let config = Config {
            args: vec![b"/bin/echo".to_vec(), b"a b\n%\xff".to_vec(), b"".to_vec()],
            env: vec![b"A=b c".to_vec()],
            user: Some((1, 2, vec![3, 4])),
            winsize: Some((24, 80)),
            root: Root::Disk,
            channel: Channel::Virtio,
            tty: true,
            announce: true,
            no_aslr: true,
            log: Some(2),
            nets: vec![NetConfig::default(), NetConfig { dhcp: true, slaac: true, ..NetConfig::default() }],
            dns: vec!["10.0.2.3".parse().unwrap(), "fec0::3".parse().unwrap()],
            foreign: vec!["virtio_mmio.device=512@0xfeb00e00:12".into()],
            ..Config::default()
        };
        assert_eq!(Config::parse(&config.to_text()), Ok(config));
    }

    #[test]
    fn unknown_or_malformed_options_are_named() {
        for bad in [
            "hull.nope=1",
            "hull.cpus=0",
            "hull.tty=yes",
            "hull.arg=%4",
            "hull.arg=%zz",
            "hull.user=1",
            "hull.net=",
            "hull.net=dhcp,10.0.2.15",
            "hull.dns=resolver",
        ] {
            assert_eq!(Config::parse(bad), Err(BadToken(bad.into())));
        }
    }

    #[test]
    fn an_earlier_list_replaces_a_later_one() {
        let own = Config::parse("hull.net=dhcp hull.dns=1.1.1.1 hull.dns=::1").unwrap();
        let given = Config::parse("hull.net=10.0.2.15/24,gw=10.0.2.2 hull.net=none").unwrap();
        let both = given.clone().or(own.clone());
        assert_eq!((&both.nets, &both.dns), (&given.nets, &own.dns));
        assert_eq!(Config::default().or(own.clone()).nets, own.nets);
    }

    #[test]
    fn damaged_text_is_refused_or_round_trips() {
        let sample = "hull.arg=/bin/x hull.user=1:2,3 hull.winsize=24x80 hull.net=dhcp,slaac,10.0.2.15/24,gw=10.0.2.2 \
            hull.net=none hull.dns=fec0::3 hull.env=A=b%20c hull.log=warn x=y";
        let mut state = 1_u64;
        let mut next = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % end
        };
        for _ in 0..20_000 {
            let mut bytes = sample.as_bytes().to_vec();
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                bytes[at] = b"0129:.,/=%-+ nx"[next(15)];
            }
            if let Ok(config) = Config::parse(core::str::from_utf8(&bytes).unwrap()) {
                assert_eq!(Config::parse(&config.to_text()), Ok(config));
            }
        }
    }

    #[test]
    fn a_block_is_read_back_and_a_cut_one_is_refused() {
        let mut image = vec![1, 2, 3];
        append_block(&mut image, "hull.arg=x");
        assert_eq!(read_block(&image[4096..]), Some("hull.arg=x"));
        assert_eq!(read_block(&image[4096..image.len() - 1]), None);
    }
}
