//! Stand-ins for the kernel's module of the same name: memory that is never freed.

use std::sync::Mutex;

/// Start and length of every region, so that addresses find theirs.
static REGIONS: Mutex<Vec<Region>> = Mutex::new(Vec::new());

#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    base: usize,
    len: usize,
}

macro_rules! access {
    ($($read:ident $write:ident $type:ty;)*) => {$(
        pub(crate) fn $read(&self, at: usize) -> $type {
            let pointer = self.pointer(at, size_of::<$type>()).cast::<$type>();
            // SAFETY: the bytes lie in a region, which is never freed, and any bits are an integer.
            unsafe { pointer.read_unaligned() }
        }

        pub(crate) fn $write(&self, at: usize, value: $type) {
            let pointer = self.pointer(at, size_of::<$type>()).cast::<$type>();
            // SAFETY: as for reading; tests run the two sides of a queue in turn.
            unsafe { pointer.write_unaligned(value) }
        }
    )*};
}

impl Region {
    pub(crate) fn new(len: usize) -> Self {
        let memory = Vec::leak(vec![0u8; len]);
        let region = Self { base: memory.as_mut_ptr().expose_provenance(), len };
        REGIONS.lock().unwrap().push(region);
        region
    }

    /// Finds the memory behind an address: the region, and the offset in it.
    pub(crate) fn at(address: u64) -> (Self, usize) {
        let address = usize::try_from(address).unwrap();
        let regions = REGIONS.lock().unwrap();
        let region = *regions.iter().find(|r| (r.base..r.base + r.len).contains(&address)).unwrap();
        (region, address - region.base)
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    fn pointer(&self, at: usize, len: usize) -> *mut u8 {
        assert!(at <= self.len && len <= self.len - at, "bytes within the region");
        core::ptr::with_exposed_provenance_mut(self.base + at)
    }

    access! {
        read8 write8 u8;
        read16 write16 u16;
        read32 write32 u32;
        read64 write64 u64;
    }

    pub(crate) fn copy_in(&self, at: usize, from: &[u8]) {
        let to = self.pointer(at, from.len());
        // SAFETY: as for writing.
        unsafe { to.copy_from(from.as_ptr(), from.len()) };
    }

    pub(crate) fn copy_out(&self, at: usize, to: &mut [u8]) {
        let from = self.pointer(at, to.len());
        // SAFETY: as for reading.
        unsafe { from.copy_to(to.as_mut_ptr(), to.len()) };
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Dma(Region);

impl Dma {
    pub(crate) fn new(pages: usize) -> Option<Self> {
        Some(Self(Region::new(pages * 4096)))
    }

    pub(crate) const fn region(&self) -> &Region {
        &self.0
    }

    pub(crate) fn physical(&self, at: usize, len: usize) -> u64 {
        self.0.pointer(at, len).addr() as u64
    }

    pub(crate) unsafe fn bytes(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: the caller vouches that nobody writes to them.
        unsafe { core::slice::from_raw_parts(self.0.pointer(at, len), len) }
    }

    #[expect(clippy::mut_from_ref, reason = "as in the kernel")]
    pub(crate) unsafe fn bytes_mut(&self, at: usize, len: usize) -> &mut [u8] {
        // SAFETY: the caller vouches that they are theirs alone.
        unsafe { core::slice::from_raw_parts_mut(self.0.pointer(at, len), len) }
    }
}
