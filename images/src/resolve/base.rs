//! What every image holds: mount points, a usable `/etc`, and data that libraries load by name.

use super::collect::Collector;
use super::{Given, ld_cache};
use crate::problem::Problem;
use crate::tree::{Body, Meta, Node, Source};
use anyhow::Result;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
bin:x:2:2:bin:/bin:/usr/sbin/nologin\nsys:x:3:3:sys:/dev:/usr/sbin/nologin\n\
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nwww-data:x:33:\n\
utmp:x:43:\nstaff:x:50:\nusers:x:100:\nnogroup:x:65534:\n";
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
/// The host end of QEMU's user network; a network set up otherwise replaces the file at boot.
const RESOLV: &str = "nameserver 10.0.2.3\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n\
protocols: files\nservices: files\nethers: files\nrpc: files\n";

/// System accounts have numbers below this one (`SYS_UID_MAX` in Debian's `login.defs`).
const ACCOUNTS_MAX: u32 = 1000;

/// Terminals that images know; whole databases have thousands.
const TERMINALS: [&str; 14] = [
    "d/dumb",
    "l/linux",
    "v/vt100",
    "v/vt102",
    "v/vt220",
    "x/xterm",
    "x/xterm-256color",
    "x/xterm-color",
    "a/ansi",
    "r/rxvt",
    "s/screen",
    "s/screen-256color",
    "t/tmux",
    "t/tmux-256color",
];
/// Debian's certificates in one file.
pub(super) const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const CHARSETS: [&str; 11] = [
    "gconv-modules",
    "gconv-modules.cache",
    "gconv-modules.d",
    "UTF-16.so",
    "UTF-32.so",
    "UTF-7.so",
    "UNICODE.so",
    "ISO8859-1.so",
    "ISO8859-15.so",
    "CP1252.so",
    "KOI8-R.so",
];

impl Collector<'_> {
    /// Completes the tree; what the user put there stays.
    pub(super) fn base(&mut self) -> Result<()> {
        let why: Arc<str> = "base".into();
        for (path, mode) in [
            ("/proc", 0o555),
            ("/sys", 0o555),
            ("/dev", 0o755),
            ("/run", 0o755),
            ("/tmp", 0o1777),
            ("/root", 0o700),
            ("/etc", 0o755),
            ("/var/tmp", 0o1777),
            ("/var/log", 0o755),
            ("/var/lib", 0o755),
            ("/var/cache", 0o755),
            ("/mnt", 0o755),
            ("/.hull", 0o755),
        ] {
            if self.tree.lookup(Path::new(path)).is_none() && self.tree.find(Path::new(path)).is_none() {
                self.tree.dir(path, mode, &why)?;
            }
        }
        for (path, target) in [("/var/run", "/run"), ("/etc/mtab", "/proc/self/mounts")] {
            if self.tree.find(Path::new(path)).is_none() {
                self.tree.symlink(path, target, &why)?;
            }
        }
        let (passwd, group) = (self.accounts("/etc/passwd", PASSWD), self.accounts("/etc/group", GROUP));
        for (path, text) in [
            ("/etc/passwd", &*passwd),
            ("/etc/group", &group),
            ("/etc/hosts", HOSTS),
            ("/etc/resolv.conf", RESOLV),
            ("/etc/nsswitch.conf", NSSWITCH),
            ("/etc/hostname", "hull\n"),
            ("/etc/host.conf", "multi on\n"),
            ("/etc/shells", "/bin/sh\n/bin/bash\n"),
        ] {
            if self.tree.find(Path::new(path)).is_none() {
                self.tree.file(path, 0o644, text.as_bytes().to_vec(), &why)?;
            }
        }
        if !self.root_is_given {
            self.data()?;
            self.follow()?;
            self.linker_cache(&why)?;
        }
        Ok(())
    }

    /// The accounts of every image, and this machine's system accounts where whole packages are taken: a package's
    /// files and programs belong to users that it made here.
    fn accounts(&mut self, path: &str, usual: &str) -> String {
        let mut text = usual.to_owned();
        if self.request.packages.is_empty() {
            return text;
        }
        self.note(Path::new(path));
        let names: Vec<&str> = usual.lines().filter_map(|line| line.split(':').next()).collect();
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            let mut fields = line.split(':');
            let (name, id) =
                (fields.next().unwrap_or_default(), fields.nth(1).and_then(|id| id.parse::<u32>().ok()));
            if id.is_some_and(|id| (1..ACCOUNTS_MAX).contains(&id)) && !names.contains(&name) {
                text += &format!("{line}\n");
            }
        }
        text
    }

    /// Makes the files and directories that the request gives; a file that the user includes at the same path stays.
    pub(super) fn given(&mut self) -> Result<()> {
        let request = self.request;
        let why: Arc<str> = "recipe".into();
        for Given { path, contents, mode, owner } in &request.given {
            if contents.is_some()
                && request.includes.iter().any(|i| path.starts_with(&i.to))
                && self.tree.lookup(path).is_some()
            {
                continue;
            }
            let (uid, gid) = match owner {
                Some(name) => self.ids(name, path)?,
                None => (0, 0),
            };
            // The parent may be a link in the image.
            let parent = path.parent().and_then(|dir| self.tree.lookup(dir)).map(|(dir, _)| dir);
            let place = match (parent, path.file_name()) {
                (Some(dir), Some(name)) => dir.join(name),
                _ => path.clone(),
            };
            let body = match contents {
                Some(text) => Body::File(Source::Bytes(text.as_bytes().to_vec()), text.len() as u64),
                None => Body::Dir(BTreeMap::new()),
            };
            let meta = Meta { uid, gid, ..Meta::fixed(*mode) };
            self.tree.insert(&place, Node { meta, body, xattrs: Vec::new(), reason: Arc::clone(&why) })?;
        }
        Ok(())
    }

    /// Finds a user's numbers by the image's own accounts.
    fn ids(&self, name: &str, path: &Path) -> Result<(u32, u32)> {
        let bytes =
            self.tree.lookup(Path::new("/etc/passwd")).and_then(|(_, id)| match &self.tree.node(id).body {
                Body::File(Source::Bytes(bytes), _) => Some(bytes.clone()),
                Body::File(Source::Host(host), _) => std::fs::read(host).ok(),
                _ => None,
            });
        let passwd = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
        let row = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|row| row.first() == Some(&name));
        let field = |n: usize| row.as_ref().and_then(|row| row.get(n)?.parse().ok());
        let number = name.parse::<u32>().ok();
        field(2).zip(field(3)).or(number.zip(number)).ok_or_else(|| {
            let problem = Problem::new(format!(
                "{}: its owner {name:?} is not in the image's /etc/passwd",
                path.display()
            ));
            problem.hint("use a number, or take the package that makes the user").into()
        })
    }

    /// Data and libraries that the libraries in the image open by name.
    fn data(&mut self) -> Result<()> {
        let has = |c: &Self, name: &str| c.library_names.keys().any(|n| n.starts_with(name));
        if self.tree.find(Path::new("/etc/localtime")).is_none() {
            self.add_if_there(Path::new("/etc/localtime"), &"local time".into());
        }
        // Every C library reads them, also one that a static program has inside.
        for file in ["/etc/services", "/etc/protocols"] {
            self.add_if_there(Path::new(file), &"network names".into());
        }
        if has(self, "libc.so.6") {
            let why: Arc<str> = "loaded by glibc while it runs".into();
            // NSS modules, and the unwinder that thread cancellation needs.
            for name in ["libnss_files.so.2", "libnss_dns.so.2", "libgcc_s.so.1"] {
                self.add_library(name, &why)?;
            }
            for file in ["/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"] {
                if Path::new(file).is_dir() {
                    self.add_tree(Path::new(file), &"locale".into(), &|_| true)?;
                }
            }
            let iconv = self.tree.find(Path::new("/usr/bin/iconv")).is_some();
            if iconv || self.has_shell || !self.packages.is_empty() {
                let why: Arc<str> = "character sets".into();
                let dir = Path::new("/usr/lib/x86_64-linux-gnu/gconv");
                if iconv && dir.is_dir() {
                    self.add_tree(dir, &why, &|_| true)?;
                }
                for name in CHARSETS {
                    let path = dir.join(name);
                    if path.is_dir() {
                        self.add_tree(&path, &why, &|_| true)?;
                    } else {
                        self.add_if_there(&path, &why);
                    }
                }
            }
        }
        if ["libtinfo", "libncurses", "libreadline", "libedit"].iter().any(|n| has(self, n)) {
            for terminal in TERMINALS {
                for dir in ["/lib/terminfo", "/usr/share/terminfo", "/etc/terminfo"] {
                    self.add_if_there(&Path::new(dir).join(terminal), &"terminal".into());
                }
            }
            self.add_if_there(Path::new("/etc/inputrc"), &"terminal".into());
        }
        let why: Arc<str> = "certificates".into();
        if self.names_certificates {
            self.add_if_there(Path::new(CERTIFICATES), &why);
        }
        if ["libssl", "libcrypto", "libgnutls", "libnss3"].iter().any(|n| has(self, n)) {
            for file in [
                CERTIFICATES,
                "/usr/lib/ssl/openssl.cnf",
                "/usr/lib/ssl/certs",
                "/usr/lib/ssl/private",
                "/usr/lib/ssl/cert.pem",
                "/etc/ssl/openssl.cnf",
            ] {
                self.add_if_there(Path::new(file), &why);
            }
        }
        if has(self, "libcrypto.so.3") {
            self.add_if_there(
                Path::new("/usr/lib/x86_64-linux-gnu/ossl-modules/legacy.so"),
                &"OpenSSL module".into(),
            );
        }
        if has(self, "libmagic") {
            for file in ["/usr/lib/file/magic.mgc", "/etc/magic", "/usr/share/misc/magic.mgc"] {
                self.add_if_there(Path::new(file), &"file types".into());
            }
        }
        Ok(())
    }

    /// Writes the dynamic linker's cache: without it, each start would try every directory for every library.
    fn linker_cache(&mut self, why: &Arc<str>) -> Result<()> {
        let libraries: Vec<(Vec<u8>, Vec<u8>)> = self
            .libraries
            .cached
            .iter()
            .map(|(name, path)| (name.clone(), path.as_os_str().as_bytes().to_vec()))
            .collect();
        if !libraries.is_empty() {
            self.tree.file("/etc/ld.so.cache", 0o644, ld_cache::write(&libraries), why)?;
            // Cached names are sorted out by the linker itself; the rest of its configuration names directories.
            self.add_if_there(Path::new("/etc/ld.so.conf"), why);
        }
        Ok(())
    }
}
