//! `/etc/ld.so.cache`: read this machine's, and write one for the image that names only what is in it.
//!
//! Format (glibc `sysdeps/generic/dl-cache.h`, 1.1): a 48-byte header, entries of 24 bytes, strings. Entries
//! are in descending order of the dynamic linker's own comparison, which counts digits as numbers.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// `FLAG_ELF_LIBC6 | FLAG_X8664_LIB64`.
const FLAGS: u32 = 0x0303;

/// Reads a cache: library name to paths, the preferred one first. Malformed parts are left out.
pub fn read(bytes: &[u8]) -> BTreeMap<Vec<u8>, Vec<PathBuf>> {
    use std::os::unix::ffi::OsStringExt as _;
    let mut out: BTreeMap<Vec<u8>, Vec<PathBuf>> = BTreeMap::new();
    // An old-format cache may come first; the new one then follows it, and offsets count from there.
    let Some(start) = bytes.windows(MAGIC.len()).position(|w| w == MAGIC) else { return out };
    let bytes = &bytes[start..];
    let u32_at = |at: usize| {
        bytes
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .map(|b| usize::try_from(u32::from_le_bytes(*b)).unwrap_or(0))
    };
    let string = |at: Option<usize>| Some(bytes.get(at?..)?.split(|&b| b == 0).next()?.to_vec());
    for index in 0..u32_at(20).unwrap_or(0).min(bytes.len() / ENTRY) {
        let at = HEADER + index * ENTRY;
        if u32_at(at) != Some(FLAGS as usize) {
            continue;
        }
        if let (Some(name), Some(path)) = (string(u32_at(at + 4)), string(u32_at(at + 8))) {
            out.entry(name).or_default().push(PathBuf::from(std::ffi::OsString::from_vec(path)));
        }
    }
    out
}

/// Writes a cache of (name, path) pairs.
pub fn write(libraries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut sorted: Vec<_> = libraries.iter().collect();
    sorted.sort_by(|a, b| compare(&b.0, &a.0).then_with(|| a.1.cmp(&b.1)));
    let strings_at = HEADER + sorted.len() * ENTRY;
    let mut strings = Vec::new();
    let mut entries = Vec::new();
    for (name, path) in sorted {
        let mut put = |text: &[u8]| {
            let at = strings_at + strings.len();
            strings.extend_from_slice(text);
            strings.push(0);
            u32::try_from(at).unwrap_or(u32::MAX).to_le_bytes()
        };
        let (key, value) = (put(name), put(path));
        entries.extend_from_slice(&FLAGS.to_le_bytes());
        entries.extend_from_slice(&key);
        entries.extend_from_slice(&value);
        entries.extend_from_slice(&[0; 12]); // OS version and hardware capabilities: none
    }
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&u32::try_from(libraries.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&u32::try_from(strings.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.push(2); // little-endian
    out.resize(HEADER, 0);
    out.extend(entries);
    out.extend(strings);
    out
}

/// The order of `_dl_cache_libcmp`.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.first(), b.first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (left, right) = (number(&mut a), number(&mut b));
                if left != right {
                    return left.cmp(&right);
                }
            }
            (Some(x), _) if x.is_ascii_digit() => return Ordering::Greater,
            (_, Some(y)) if y.is_ascii_digit() => return Ordering::Less,
            (Some(x), Some(y)) if x == y => (a, b) = (&a[1..], &b[1..]),
            (x, y) => return x.cmp(&y),
        }
    }
}

fn number(text: &mut &[u8]) -> u64 {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    *text = rest;
    number.iter().fold(0, |n: u64, &b| n.wrapping_mul(10).wrapping_add(u64::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_ldconfig_agrees() {
        let names =
            ["libc.so.6", "libm.so.6", "libz.so.1", "libx10.so", "libx9.so", "libx.so.10", "libx.so.9"];
        let pairs: Vec<_> =
            names.iter().map(|n| (n.as_bytes().to_vec(), format!("/lib/{n}").into_bytes())).collect();
        let cache = write(&pairs);
        let back = read(&cache);
        assert_eq!(back.len(), names.len());
        assert_eq!(back[&b"libz.so.1".to_vec()], [PathBuf::from("/lib/libz.so.1")]);
        assert!(read(&cache[..60]).is_empty() && read(b"").is_empty());

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        std::fs::write(&path, &cache).unwrap();
        let Ok(out) = std::process::Command::new("/sbin/ldconfig").arg("-p").arg("-C").arg(&path).output()
        else {
            return;
        };
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(names.iter().all(|n| text.contains(&format!("{n} (libc6,x86-64) => /lib/{n}"))), "{text}");
    }

    #[test]
    fn this_machines_cache_is_in_the_order_that_we_write() {
        let Ok(bytes) = std::fs::read("/etc/ld.so.cache") else { return };
        let pairs: Vec<_> = read(&bytes).into_iter().map(|(name, paths)| (name, paths[0].clone())).collect();
        assert!(pairs.iter().any(|(name, _)| name == b"libc.so.6"));
    }
}
