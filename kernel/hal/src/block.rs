//! Block devices.

use abi::Result;

use crate::Frame;

/// A disk, read and written by whole pages of 4096 bytes. Calls wait for the device (uninterruptibly, as on Linux);
/// several threads may call at once, and their requests are under way together.
pub trait BlockDevice: Send + Sync {
    /// Returns the size in bytes.
    fn len(&self) -> u64;
    /// Says whether there is not a byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Says whether writes are refused.
    fn read_only(&self) -> bool;
    /// Reads consecutive pages from page number `first`; bytes behind the end of the device read as zeros.
    ///
    /// # Errors
    /// `EIO` if the device reports an error.
    fn read(&self, first: u64, frames: &[Frame]) -> Result<()>;
    /// Writes consecutive pages from page number `first`.
    ///
    /// # Errors
    /// `EIO` if the device reports an error, `EROFS` if it is read-only, `ENOSPC` behind its end.
    fn write(&self, first: u64, frames: &[Frame]) -> Result<()>;
    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// `EIO` if the device reports an error.
    fn flush(&self) -> Result<()>;
}

/// Read-only bytes that are there page by page: the root image in the boot module, or behind a page cache on a disk.
///
/// A page is given out as the frame that holds it, to be mapped as it is; nobody writes to it.
pub trait PageStore: Send + Sync {
    /// Returns the size in bytes.
    fn len(&self) -> u64;
    /// Says whether there is not a byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Returns page number `index`; bytes behind the end read as zeros.
    ///
    /// # Errors
    /// `EIO` if it cannot be read, `ENOMEM` if there is no memory for it, `EINVAL` behind the end.
    fn page(&self, index: u64) -> Result<Frame>;
}
