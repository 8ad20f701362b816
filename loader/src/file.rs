//! Reading a file piece by piece, so that execve touches only the headers.

use abi::Errno;

use crate::ElfError;

/// A file that can be read at any place.
pub trait FileBytes {
    /// Reads up to `buf.len()` bytes at `offset` and returns how many; 0 means that the file ends there.
    ///
    /// # Errors
    /// What the file system answers, `EIO` first of all.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Errno>;

    /// Returns the file's length in bytes.
    fn len(&self) -> u64;

    /// Tells whether the file has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FileBytes for [u8] {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Errno> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let count = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }
}

/// Reads until `buf` is full or the file ends; returns the number of bytes read.
pub(crate) fn read_up_to(
    file: &(impl FileBytes + ?Sized),
    offset: u64,
    buf: &mut [u8],
) -> Result<usize, ElfError> {
    let mut done = 0_usize;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let Some(at) = offset.checked_add(done as u64) else { break };
        match file.read_at(at, rest).map_err(ElfError::Read)? {
            0 => break,
            count => done = done.saturating_add(count),
        }
    }
    Ok(done.min(buf.len()))
}
