//! `hull doctor`: what Hull needs, what is there, what to do.

use super::print_json;
use crate::boot::accel;
use crate::boot::machine::{find_kernel, find_qemu};
use crate::cache::Cache;
use crate::problem::{FAILURE, explain};
use crate::report::size;
use anyhow::{Context as _, Result};
use std::path::Path;
use std::process::Command;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// Runs all checks; the exit code says whether a machine could start.
pub(super) fn doctor(args: &Args) -> Result<u8> {
    let checks = [hypervisor(), accelerator(), kernel(), memory(), cache(), resolver(), checker()];
    let code = if checks[..4].iter().all(|check| check.ok) { 0 } else { FAILURE };
    if args.json {
        print_json(&checks)?;
        return Ok(code);
    }
    let mut out = String::new();
    for check in &checks {
        let mark = if check.ok { "ok" } else { "MISSING" };
        out += &format!("{mark:8} {:12} {}\n", check.name, check.found);
        if let Some(hint) = &check.hint {
            out += &format!("{:8} {:12} hint: {hint}\n", "", "");
        }
    }
    use std::io::Write as _;
    std::io::stdout().write_all(out.as_bytes()).context("cannot write")?;
    Ok(code)
}

fn check(name: &'static str, result: Result<String>) -> Check {
    match result {
        Ok(found) => Check { name, ok: true, found, hint: None },
        Err(error) => {
            let (text, _) = explain(&error);
            let hint = text.lines().find_map(|line| line.strip_prefix("hint: ")).map(str::to_owned);
            Check { name, ok: false, found: format!("{error:#}"), hint }
        }
    }
}

fn hypervisor() -> Check {
    check(
        "hypervisor",
        find_qemu().and_then(|program| {
            let path = Path::new(&program).display();
            let output = Command::new(&program)
                .arg("--version")
                .output()
                .with_context(|| format!("{path} does not start"))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let version = text.lines().next().unwrap_or("says nothing about its version").to_owned();
            Ok(format!("{path}: {version}"))
        }),
    )
}

fn accelerator() -> Check {
    let wish = std::env::var(accel::VARIABLE).ok();
    let mut check =
        check("accelerator", accel::choose(wish.as_deref()).map(|(a, why)| format!("{a}: {why}")));
    if check.ok && check.found.contains("does not open") {
        check.hint =
            Some("add yourself to the group kvm: sudo usermod -aG kvm $USER, then log in again".into());
    }
    check
}

fn kernel() -> Check {
    check(
        "kernel",
        find_kernel(None).and_then(|path| {
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            anyhow::ensure!(loader::dynamic::is_elf(&bytes), "{} is not an ELF file", path.display());
            Ok(format!("{} ({})", path.display(), size(bytes.len() as u64)))
        }),
    )
}

fn memory() -> Check {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let free = line.and_then(|l| l.split_ascii_whitespace().next()?.parse::<u64>().ok()).map(|kib| kib << 10);
    let Some(free) = free else { return check("memory", Ok("unknown".into())) };
    let enough = free >= 512 << 20;
    let hint = (!enough).then(|| "machines take 256M unless -m says otherwise".to_owned());
    Check { name: "memory", ok: enough, found: format!("{} available", size(free)), hint }
}

fn cache() -> Check {
    let Some(cache) = Cache::of_user() else {
        let hint = Some("set HOME or XDG_CACHE_HOME: without, each run builds its image again".into());
        return Check { name: "cache", ok: false, found: "no directory for it".into(), hint };
    };
    let files = std::fs::read_dir(cache.dir()).into_iter().flatten().flatten();
    let total: u64 = files.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum();
    let dir = cache.dir().display().to_string();
    let writable = std::fs::create_dir_all(cache.dir()).and_then(|()| tempfile::tempfile_in(cache.dir()));
    let result = writable.with_context(|| format!("{dir} is not writable: each run builds its image again"));
    check("cache", result.map(|_| format!("{dir} ({})", size(total))))
}

fn resolver() -> Check {
    let dpkg = Path::new("/var/lib/dpkg/status").exists();
    let found = if dpkg {
        "dpkg: --package and interpreters by package"
    } else {
        "no dpkg: --package has nothing to take"
    };
    Check { name: "packages", ok: dpkg, found: found.into(), hint: None }
}

fn checker() -> Check {
    let found = Command::new("fsck.erofs").arg("-V").output().is_ok();
    let hint = (!found).then(|| "apt-get install erofs-utils (only tests use it)".to_owned());
    let text = if found { "fsck.erofs is there" } else { "fsck.erofs is not installed" };
    Check { name: "image check", ok: found, found: text.into(), hint }
}
