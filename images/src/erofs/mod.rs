//! EROFS images: 4 KiB blocks, uncompressed, made for mapping.
//!
//! Layout (Linux `fs/erofs/erofs_fs.h`): block 0 holds the superblock at byte 1024; from block 1 on, the
//! inodes in 32-byte slots, with extended attributes and short contents behind them; then directory blocks
//! and file data. A regular file is either short ([`INLINE_MAX`]) and lies behind its inode, or starts on a
//! block and is contiguous, zero-padded to the block's end: each of its pages is a page of the image.
//!
//! [`build()`] writes images, [`Image`] reads them (any hostile bytes give an error, never a panic).

mod build;
mod read;
#[cfg(test)]
mod tests;

pub use build::{Options, Summary, build};
pub use read::{Entry, Follow, Image, Inode, Kind};

/// Bytes in a block.
pub const BLOCK: u64 = 4096;
/// Longest regular file that is stored behind its inode, in bytes.
pub const INLINE_MAX: u64 = 2000;

/// Where the superblock starts.
const SUPER_OFFSET: usize = 1024;
const SUPER_LEN: usize = 128;
const MAGIC: u32 = 0xe0f5_e1e2;
/// `EROFS_FEATURE_COMPAT_SB_CHKSUM`.
const COMPAT_CHECKSUM: u32 = 1;
/// `EROFS_FEATURE_COMPAT_MTIME`: inode times are modification times.
const COMPAT_MTIME: u32 = 2;
/// Bytes in an inode slot, the unit of node numbers.
const SLOT: u64 = 32;
const DIRENT_LEN: usize = 12;
const FLAT_PLAIN: u16 = 0;
const FLAT_INLINE: u16 = 2;

/// Namespaces of extended attributes, by EROFS index.
const XATTR_PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

/// The checksum of EROFS: CRC-32C from all ones, without the final inversion.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            let low = crc & 1;
            crc = (crc >> 1) ^ (0x82f6_3b78 & low.wrapping_neg());
        }
    }
    crc
}
