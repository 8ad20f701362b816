//! Another process's memory: as a tracer reaches it, whatever the mappings permit, and as they permit.

use hal::{Access, PAGE_SIZE, Prot, UserAddr};

use super::{Area, Vm};

/// What a mapping has to be for a remote access.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// A tracer's: a private mapping can be written to, as a copy of the process's own (`FOLL_FORCE`).
    Forced,
    /// The process itself could do it.
    Permitted,
}

impl Rule {
    fn allows(self, area: &Area, access: Access) -> bool {
        let writes = access == Access::Write;
        match self {
            Self::Forced => !writes || area.prot.contains(Prot::WRITE) || !area.is_shared(),
            Self::Permitted if writes => area.prot.contains(Prot::WRITE),
            Self::Permitted => area.is_accessible(),
        }
    }
}

impl Vm {
    /// Writes bytes as a tracer does: breakpoints in code that the process may not change. Returns how many there were
    /// before the first that cannot be written.
    pub fn write_forced(&self, at: UserAddr, bytes: &[u8]) -> usize {
        self.write_by(Rule::Forced, at, bytes)
    }

    /// Writes bytes where the process itself could; returns how many there were before the first that it could not.
    pub fn write_permitted(&self, at: UserAddr, bytes: &[u8]) -> usize {
        self.write_by(Rule::Permitted, at, bytes)
    }

    /// Reads bytes where the process itself could; returns how many there were before the first that it could not.
    pub fn read_permitted(&self, at: UserAddr, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let (now, count) = piece(at, done, bytes.len());
            if !self.allows(Rule::Permitted, now, Access::Read)
                || self.read_remote(now, &mut bytes[done..done + count]) < count
            {
                break;
            }
            done += count;
        }
        done
    }

    fn write_by(&self, rule: Rule, at: UserAddr, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let (now, count) = piece(at, done, bytes.len());
            if !self.allows(rule, now, Access::Write)
                || self.write_initial(now, &bytes[done..done + count]).is_err()
            {
                break;
            }
            done += count;
        }
        done
    }

    fn allows(&self, rule: Rule, at: UserAddr, access: Access) -> bool {
        self.state.lock().areas.find(at.0).is_some_and(|area| rule.allows(area, access))
    }
}

/// Returns where the part behind `done` bytes begins, and how much of it lies on one page.
fn piece(at: UserAddr, done: usize, len: usize) -> (UserAddr, usize) {
    let now = at.offset(done as u64);
    (now, (PAGE_SIZE - now.page_offset()).min(len - done))
}
