//! Physical memory by the page: reference-counted frames.

use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::PAGE_SIZE;

/// There is no free memory for what was asked. The caller decides between `ENOMEM` and the OOM killer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// What a new frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fill {
    /// Zeros.
    Zero,
    /// Anything: the caller overwrites the whole page before anyone else sees it.
    Any,
}

/// How much memory there is, in frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrameUsage {
    /// Frames that the machine has for the system and the application.
    pub total: u64,
    /// Frames that are free now.
    pub free: u64,
}

/// The owner of physical memory. Numbers are physical frame numbers (address / 4096); frame 0 is never used.
///
/// Contents are read and written by copy only, because an application may change them at any time.
pub trait FramePool: Send + Sync {
    /// Takes a free frame with a reference count of one.
    fn allocate(&self, fill: Fill) -> Option<NonZeroU32>;
    /// Takes 512 contiguous free frames aligned to 2 MiB, each with a reference count of one; returns the first.
    fn allocate_large(&self, fill: Fill) -> Option<NonZeroU32>;
    /// Adds a reference.
    fn retain(&self, frame: NonZeroU32);
    /// Drops a reference; the last one frees the frame.
    fn release(&self, frame: NonZeroU32);
    /// Returns the reference count.
    fn references(&self, frame: NonZeroU32) -> u32;
    /// Copies bytes out of a frame. `offset + to.len()` is at most [`PAGE_SIZE`].
    fn read(&self, frame: NonZeroU32, offset: usize, to: &mut [u8]);
    /// Copies bytes into a frame. `offset + from.len()` is at most [`PAGE_SIZE`].
    fn write(&self, frame: NonZeroU32, offset: usize, from: &[u8]);
    /// Sets bytes of a frame to zero.
    fn zero(&self, frame: NonZeroU32, offset: usize, len: usize);
    /// Copies a whole page.
    fn copy(&self, from: NonZeroU32, to: NonZeroU32);
    /// Returns how much memory there is.
    fn usage(&self) -> FrameUsage;
}

static POOL: spin::Once<&'static dyn FramePool> = spin::Once::new();

/// Sets the pool that all frames come from; the first call wins. The kernel calls it once at start-up.
pub fn install_frame_pool(pool: &'static dyn FramePool) {
    POOL.call_once(|| pool);
}

fn pool() -> &'static dyn FramePool {
    #[cfg(feature = "fake")]
    {
        *POOL.call_once(|| crate::fake::frame_pool())
    }
    #[cfg(not(feature = "fake"))]
    {
        *POOL.get().expect("the kernel installs the frame pool before anything allocates")
    }
}

/// A counted reference to one page of physical memory; four bytes, also in an `Option`.
///
/// Cloning adds a reference, dropping removes one.
#[derive(PartialEq, Eq)]
pub struct Frame(NonZeroU32);

impl Frame {
    /// Takes a page of zeros.
    ///
    /// # Errors
    /// [`OutOfMemory`] if there is none.
    pub fn zeroed() -> Result<Self, OutOfMemory> {
        pool().allocate(Fill::Zero).map(Self).ok_or(OutOfMemory)
    }

    /// Takes a page whose contents are not defined; see [`Fill::Any`].
    ///
    /// # Errors
    /// [`OutOfMemory`] if there is none.
    pub fn scratch() -> Result<Self, OutOfMemory> {
        pool().allocate(Fill::Any).map(Self).ok_or(OutOfMemory)
    }

    /// Takes a page and copies `original` into it.
    ///
    /// # Errors
    /// [`OutOfMemory`] if there is none.
    pub fn copy_of(original: &Self) -> Result<Self, OutOfMemory> {
        let copy = Self::scratch()?;
        pool().copy(original.0, copy.0);
        Ok(copy)
    }

    /// Returns the physical frame number.
    pub const fn number(&self) -> NonZeroU32 {
        self.0
    }

    /// Gives the reference away as a number, to a page table for example.
    pub fn into_raw(self) -> NonZeroU32 {
        let number = self.0;
        core::mem::forget(self);
        number
    }

    /// Takes a reference back from a number.
    ///
    /// # Safety
    /// The caller owns one reference to that frame, and gives it up.
    pub const unsafe fn from_raw(number: NonZeroU32) -> Self {
        Self(number)
    }

    /// Returns how many references there are; a count of one cannot grow behind the caller's back.
    pub fn references(&self) -> u32 {
        pool().references(self.0)
    }

    /// Copies bytes out of the page.
    ///
    /// # Panics
    /// If the range leaves the page.
    pub fn read(&self, offset: usize, to: &mut [u8]) {
        assert!(offset <= PAGE_SIZE && to.len() <= PAGE_SIZE - offset, "read within a page");
        pool().read(self.0, offset, to);
    }

    /// Copies bytes into the page.
    ///
    /// # Panics
    /// If the range leaves the page.
    pub fn write(&self, offset: usize, from: &[u8]) {
        assert!(offset <= PAGE_SIZE && from.len() <= PAGE_SIZE - offset, "write within a page");
        pool().write(self.0, offset, from);
    }

    /// Sets bytes of the page to zero.
    ///
    /// # Panics
    /// If the range leaves the page.
    pub fn zero(&self, offset: usize, len: usize) {
        assert!(offset <= PAGE_SIZE && len <= PAGE_SIZE - offset, "zero within a page");
        pool().zero(self.0, offset, len);
    }

    /// Takes 512 contiguous pages of zeros, aligned to 2 MiB, in ascending order of address.
    ///
    /// # Errors
    /// [`OutOfMemory`] if there is no such run.
    pub fn zeroed_large() -> Result<Vec<Self>, OutOfMemory> {
        let first = pool().allocate_large(Fill::Zero).ok_or(OutOfMemory)?;
        Ok((0..512).filter_map(|i| first.checked_add(i)).map(Self).collect())
    }

    /// Returns how much memory there is.
    pub fn usage() -> FrameUsage {
        pool().usage()
    }
}

impl Clone for Frame {
    fn clone(&self) -> Self {
        pool().retain(self.0);
        Self(self.0)
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        pool().release(self.0);
    }
}

impl core::fmt::Debug for Frame {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Frame({:#x})", self.0)
    }
}
