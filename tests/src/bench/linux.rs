//! The Linux guest that figures are compared with: Debian's cloud kernel and an initial RAM disk of our programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::must;
use crate::stage::Context;

/// Debian's package that names the newest cloud kernel.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// Fetches the kernel once and unpacks it to an ELF file that QEMU starts directly (PVH).
///
/// # Errors
/// A sentence, where the package cannot be fetched or its kernel is packed in a way that is not known.
pub fn kernel(cx: &Context) -> Result<PathBuf, String> {
    let dir = cx.target().join("bench");
    let out = dir.join("vmlinux");
    if out.is_file() {
        return Ok(out);
    }
    let io = |e: std::io::Error| format!("{}: {e}", dir.display());
    std::fs::create_dir_all(&dir).map_err(io)?;
    let limit = Duration::from_secs(600);
    let depends = must(Command::new("apt-cache").args(["depends", PACKAGE]), limit)?;
    let text = depends.text();
    let package = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .ok_or_else(|| format!("apt-cache knows no {PACKAGE}: run `apt-get update`"))?;
    must(Command::new("apt-get").args(["download", package]).current_dir(&dir), limit)?;
    let find = |dir: &Path, start: &str| {
        std::fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(start)))
            .ok_or_else(|| format!("no {start}* in {}", dir.display()))
    };
    let unpacked = dir.join("unpacked");
    must(Command::new("dpkg").arg("-x").arg(find(&dir, package)?).arg(&unpacked), limit)?;
    let packed = std::fs::read(find(&unpacked.join("boot"), "vmlinuz")?).map_err(io)?;
    let elf = unpack(&packed).ok_or("the kernel is packed in a way that is not known")?;
    std::fs::write(&out, elf).map_err(io)?;
    std::fs::remove_dir_all(&unpacked).map_err(io)?;
    Ok(out)
}

/// Takes the ELF file out of a bzImage that holds it as an LZ4 stream of the legacy format, as Debian 12's does.
fn unpack(image: &[u8]) -> Option<Vec<u8>> {
    const MAGIC: &[u8] = b"\x02\x21\x4c\x18";
    let mut at = image.windows(4).position(|window| window == MAGIC)? + 4;
    let mut out = Vec::with_capacity(64 << 20);
    while let Some(size) = image.get(at..at + 4) {
        let size = u32::from_le_bytes(size.try_into().ok()?) as usize;
        at += 4;
        // Behind the last block stands the size of the whole, which no block has.
        let Some(block) = image.get(at..at + size).filter(|_| size > 0 && size <= 9 << 20) else { break };
        lz4_block(block, &mut out)?;
        at += size;
    }
    out.starts_with(b"\x7fELF").then_some(out)
}

/// Decompresses one LZ4 block (the format's public description).
fn lz4_block(block: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut bytes = block.iter().copied();
    let long = |bytes: &mut dyn Iterator<Item = u8>, short: u8| {
        let mut length = usize::from(short);
        if short == 15 {
            loop {
                let more = bytes.next()?;
                length += usize::from(more);
                if more != 255 {
                    break;
                }
            }
        }
        Some(length)
    };
    while let Some(token) = bytes.next() {
        let literals = long(&mut bytes, token >> 4)?;
        out.extend(bytes.by_ref().take(literals));
        let Some(low) = bytes.next() else { return Some(()) };
        let offset = usize::from(low) | usize::from(bytes.next()?) << 8;
        let length = long(&mut bytes, token & 15)? + 4;
        let from = out.len().checked_sub(offset).filter(|_| offset > 0)?;
        for i in from..from + length {
            out.push(*out.get(i)?);
        }
    }
    Some(())
}

/// The frequency of the time stamp counter under `-icount shift=0`.
pub const ICOUNT_KHZ: u64 = 1_000_000;

/// A file of the initial RAM disk: name, mode, bytes, device.
type Entry<'a> = (String, u32, &'a [u8], (u32, u32));

/// Packs files as `cpio(5)` of the "newc" kind, which is what the kernel reads.
fn cpio(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let end = ("TRAILER!!!".to_owned(), 0, &b""[..], (0, 0));
    for (inode, (name, mode, bytes, device)) in entries.iter().chain([&end]).enumerate() {
        let mut header = String::from("070701");
        for field in [
            inode,
            *mode as usize,
            0,
            0,
            1,
            0,
            bytes.len(),
            0,
            0,
            device.0 as usize,
            device.1 as usize,
            name.len() + 1,
            0,
        ] {
            header.push_str(&format!("{field:08X}"));
        }
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// An initial RAM disk whose first program is `program`, with the libraries that it names.
///
/// # Errors
/// A sentence, where a file cannot be read.
pub fn ramdisk(program: &Path, out: &Path) -> Result<(), String> {
    let read = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    let mut files = vec![("init".to_owned(), read(program)?)];
    let listed = crate::command::run(Command::new("ldd").arg(program), b"", Duration::from_secs(10))?;
    for library in listed.text().split_whitespace().filter(|word| word.starts_with('/')) {
        files.push((library.trim_start_matches('/').to_owned(), read(Path::new(library))?));
    }
    let mut entries: Vec<Entry<'_>> = vec![
        ("dev".into(), 0o40755, b"", (0, 0)),
        ("dev/console".into(), 0o20600, b"", (5, 1)),
        ("lib".into(), 0o40755, b"", (0, 0)),
        ("lib64".into(), 0o40755, b"", (0, 0)),
        ("lib/x86_64-linux-gnu".into(), 0o40755, b"", (0, 0)),
    ];
    entries.extend(files.iter().map(|(name, bytes)| (name.clone(), 0o100_755, &bytes[..], (0, 0))));
    std::fs::write(out, cpio(&entries)).map_err(|e| format!("{}: {e}", out.display()))
}

/// The command that starts the guest, tuned: no firmware, no decompression, output over the serial port.
///
/// `khz` is the frequency of the time stamp counter, which Linux cannot find out on microvm. Under `-icount` it counts
/// instructions: 1 GHz; else QEMU passes the host's through.
pub fn command(kernel: &Path, ramdisk: &Path, memory: u32, khz: u64, args: &str) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-accel", "tcg", "-M", "microvm", "-nodefaults", "-display", "none", "-no-reboot"]);
    command.args(["-serial", "stdio", "-m", &format!("{memory}M")]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(ramdisk);
    command.arg("-append").arg(format!(
        "console=ttyS0 quiet reboot=t panic=-1 tsc=reliable tsc_early_khz={khz} no_timer_check -- {args}"
    ));
    if khz == ICOUNT_KHZ {
        command.args(["-icount", "shift=0"]);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_repeats_what_came_before() {
        // "abc", then six bytes from three back, then "d".
        let mut out = Vec::new();
        lz4_block(&[0x32, b'a', b'b', b'c', 3, 0, 0x10, b'd'], &mut out).unwrap();
        assert_eq!(out, b"abcabcabcd");
        assert!(lz4_block(&[0x10, b'a', 9, 0], &mut out.split_off(9)).is_none());
    }

    #[test]
    fn an_archive_is_aligned() {
        let bytes = cpio(&[("a".into(), 0o100_644, b"12345", (0, 0))]);
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.starts_with(b"07070100000000000081A4"));
    }
}
