//! Memory of an address space that need not be the running one.

use abi::{Errno, Result};
use hal::{Access, Frame, PAGE_SIZE, PageRange, UserAddr};

use super::{FaultKind, Vm, no_memory};

impl Vm {
    /// Writes bytes whatever the mappings permit the application: a new program's stack, for example.
    ///
    /// # Errors
    /// `EFAULT` where nothing is mapped or a page cannot be had, `ENOMEM`
    pub fn write_initial(&self, at: UserAddr, bytes: &[u8]) -> Result<()> {
        self.each_page(at, bytes.len(), Access::Write, |frame, offset, done, len| {
            frame.write(offset, &bytes[done..done + len]);
        })
    }

    /// Sets bytes to zero whatever the mappings permit the application.
    ///
    /// # Errors
    /// As for [`Self::write_initial`].
    pub fn zero_range(&self, at: UserAddr, len: u64) -> Result<()> {
        let len = usize::try_from(len).map_err(|_| Errno::EFAULT)?;
        self.each_page(at, len, Access::Write, |frame, offset, _, len| frame.zero(offset, len))
    }

    /// Reads bytes whatever the mappings permit the application: another process's command line, for example.
    /// Returns how many there were before the first that cannot be had.
    pub fn read_remote(&self, at: UserAddr, bytes: &mut [u8]) -> usize {
        let mut copied = 0;
        let _ = self.each_page(at, bytes.len(), Access::Read, |frame, offset, done, len| {
            frame.read(offset, &mut bytes[done..done + len]);
            copied = done + len;
        });
        copied
    }

    fn each_page(
        &self,
        at: UserAddr,
        len: usize,
        access: Access,
        mut piece: impl FnMut(&Frame, usize, usize, usize),
    ) -> Result<()> {
        let mut done = 0;
        while done < len {
            let now = at.offset(done as u64);
            let count = (PAGE_SIZE - now.page_offset()).min(len - done);
            let frame = self.page_of(now, access)?;
            piece(&frame, now.page_offset(), done, count);
            done += count;
        }
        Ok(())
    }

    /// Returns the memory behind a page of the application; with [`Access::Write`], memory that may be written to.
    ///
    /// # Errors
    /// `EFAULT` where nothing is mapped or a page cannot be had, `ENOMEM`
    pub fn page_of(&self, at: UserAddr, access: Access) -> Result<Frame> {
        let page = at.page();
        self.touch(at.0, access, |_| Ok(())).map_err(|kind| match kind {
            FaultKind::OutOfMemory => Errno::ENOMEM,
            _ => Errno::EFAULT,
        })?;
        let state = self.state.lock();
        let area = state.areas.find(at.0).ok_or(Errno::EFAULT)?;
        let frame = self.space.lookup(page).map(|mapped| mapped.frame).ok_or(Errno::EFAULT)?;
        let is_own = area.is_shared() || area.page_prot().contains(hal::Prot::WRITE);
        if access != Access::Write || is_own {
            return Ok(frame);
        }
        // A page that the application may not write to can still be a file's, or another process's too.
        let copy = Frame::copy_of(&frame).map_err(no_memory)?;
        self.space.map(page, copy.clone(), area.page_prot()).map_err(no_memory)?;
        Ok(copy)
    }

    /// Says whether every page of a range is mapped.
    pub fn is_mapped(&self, range: PageRange) -> bool {
        self.state.lock().areas.covers(range)
    }
}
