//! Keys, identifiers and permissions of System V objects (`sysvipc(7)`).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::ipc::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE, IpcPerm};
use abi::{Errno, Result};
use hal::sync::{Lock, rank};

use crate::proc::{Capability, Credentials};

/// Bits of an identifier that hold the place in the table; above them is a number that tells successive owners of the
/// place apart (`IPCMNI_SHIFT`).
const PLACE_BITS: u32 = 15;
/// Most objects of a kind (`IPCMNI`).
pub const MOST: u32 = 1 << PLACE_BITS;
/// The number above the place wraps here: an identifier is a positive `int`.
const SEQUENCE_END: u32 = 1 << (31 - PLACE_BITS);
/// Places are used in turn among at least so many (`ipc_min_cycle`).
const MIN_CYCLE: usize = 64;
/// Permission bits.
const MODE: u32 = 0o777;

/// Read permission for everyone, as [`Permissions::allow`] wants it.
pub const READ: u32 = 0o444;
/// Write permission for everyone.
pub const WRITE: u32 = 0o222;
/// Execute permission for everyone.
pub const EXECUTE: u32 = 0o111;

/// Who owns an object, and who may use it.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "sysvipc(7) describes each")]
pub struct Permissions {
    pub id: i32,
    pub key: i32,
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    pub mode: u32,
}

impl Permissions {
    /// Makes those of a new object.
    pub const fn new(id: i32, key: i32, flags: u32, who: &Credentials) -> Self {
        let (uid, gid) = (who.euid, who.egid);
        Self { id, key, uid, gid, cuid: uid, cgid: gid, mode: flags & MODE }
    }

    /// Checks an access; of `wanted` the bits of owner, group and others count alike, as in the flags of `*get` calls.
    ///
    /// # Errors
    /// `EACCES`
    pub fn allow(&self, who: &Credentials, wanted: u32) -> Result<()> {
        let wanted = wanted >> 6 | wanted >> 3 | wanted;
        let granted = if who.euid == self.cuid || who.euid == self.uid {
            self.mode >> 6
        } else if who.in_group(self.cgid) || who.in_group(self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        if wanted & !granted & 7 != 0 && !who.can(Capability::IpcOwner) {
            return Err(Errno::EACCES);
        }
        Ok(())
    }

    /// Says whether the thread is the owner or the creator.
    pub const fn owned_by(&self, who: &Credentials) -> bool {
        who.euid == self.cuid || who.euid == self.uid
    }

    /// Checks `IPC_SET` and `IPC_RMID`.
    ///
    /// # Errors
    /// `EPERM`
    pub const fn control(&self, who: &Credentials) -> Result<()> {
        if self.owned_by(who) || who.can(Capability::SysAdmin) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Takes over what `IPC_SET` may change.
    ///
    /// # Errors
    /// `EINVAL` for a user or group that there cannot be.
    pub const fn update(&mut self, new: &IpcPerm) -> Result<()> {
        if new.uid == u32::MAX || new.gid == u32::MAX {
            return Err(Errno::EINVAL);
        }
        (self.uid, self.gid) = (new.uid, new.gid);
        self.mode = self.mode & !MODE | new.mode & MODE;
        Ok(())
    }

    /// Returns them as `IPC_STAT` shows them.
    pub fn to_abi(&self) -> IpcPerm {
        let sequence = self.id.cast_unsigned() >> PLACE_BITS;
        IpcPerm {
            key: self.key,
            uid: self.uid,
            gid: self.gid,
            cuid: self.cuid,
            cgid: self.cgid,
            mode: self.mode,
            seq: u16::try_from(sequence).unwrap_or(u16::MAX),
            __pad2: 0,
            _pad3: 0,
            _unused: [0; 2],
        }
    }
}

/// A System V object.
pub trait Keyed {
    /// Returns the permissions as they are now.
    fn permissions(&self) -> Permissions;
}

/// The objects of one kind.
pub struct Table<T> {
    state: Lock<State<T>, { rank::IPC_TABLE }>,
    /// How many there may be (`shmmni`, `semmni`, `msgmni`).
    pub limit: AtomicU32,
}

struct State<T> {
    /// By place; the last is never empty.
    places: Vec<Option<(i32, Arc<T>)>>,
    keys: BTreeMap<i32, Arc<T>>,
    used: usize,
    /// Where the search for a free place begins.
    next: usize,
    /// The place given out last.
    last: Option<usize>,
    sequence: u32,
}

impl<T: Keyed> Table<T> {
    /// Makes an empty table.
    pub const fn new(limit: u32) -> Self {
        let state =
            State { places: Vec::new(), keys: BTreeMap::new(), used: 0, next: 0, last: None, sequence: 0 };
        Self { state: Lock::new(state), limit: AtomicU32::new(limit) }
    }

    /// Finds the object that a `*get` call asks for; `None` says that a new one is to be made.
    ///
    /// # Errors
    /// `ENOENT`, `EEXIST`, what `suits` answers, `EACCES`.
    pub fn find(
        &self,
        key: i32,
        flags: u32,
        who: &Credentials,
        suits: impl FnOnce(&T) -> Result<()>,
    ) -> Result<Option<i32>> {
        if key == IPC_PRIVATE.cast_signed() {
            return Ok(None);
        }
        let found = self.state.lock().keys.get(&key).cloned();
        let Some(object) = found else {
            return if flags & IPC_CREAT != 0 { Ok(None) } else { Err(Errno::ENOENT) };
        };
        if flags & (IPC_CREAT | IPC_EXCL) == IPC_CREAT | IPC_EXCL {
            return Err(Errno::EEXIST);
        }
        suits(&object)?;
        let permissions = object.permissions();
        permissions.allow(who, flags)?;
        Ok(Some(permissions.id))
    }

    /// Enters a new object, which `make` makes of its identifier; `None` if another was faster with the key.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many.
    pub fn add(&self, key: i32, make: impl FnOnce(i32) -> Arc<T>) -> Result<Option<i32>> {
        let limit = self.limit.load(Ordering::Relaxed).min(MOST) as usize;
        let mut state = self.state.lock();
        let private = key == IPC_PRIVATE.cast_signed();
        if !private && state.keys.contains_key(&key) {
            return Ok(None);
        }
        if state.used >= limit {
            return Err(Errno::ENOSPC);
        }
        let place = state.free_place(limit).ok_or(Errno::ENOSPC)?;
        if state.last.is_some_and(|last| place <= last) {
            state.sequence = (state.sequence + 1) % SEQUENCE_END;
        }
        state.last = Some(place);
        state.next = place + 1;
        let low = u32::try_from(place).map_err(|_| Errno::ENOSPC)?;
        let id = (state.sequence << PLACE_BITS | low).cast_signed();
        let object = make(id);
        if state.places.len() <= place {
            state.places.resize_with(place + 1, || None);
        }
        if !private {
            state.keys.insert(key, Arc::clone(&object));
        }
        state.places[place] = Some((id, object));
        state.used += 1;
        Ok(Some(id))
    }

    /// Finds an object by its identifier.
    ///
    /// # Errors
    /// `EINVAL` if there is none, or the identifier was that of an earlier one.
    #[inline]
    pub fn get(&self, id: i32) -> Result<Arc<T>> {
        let state = self.state.lock();
        match state.places.get(place_of(id)) {
            Some(Some((current, object))) if *current == id => Ok(Arc::clone(object)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Finds an object by its place in the table, as `SHM_STAT` and the like name it.
    ///
    /// # Errors
    /// `EINVAL` if the place is empty.
    pub fn at(&self, index: i32) -> Result<Arc<T>> {
        let state = self.state.lock();
        let found = state.places.get(place_of(index)).and_then(Option::as_ref);
        found.map(|(_, object)| Arc::clone(object)).ok_or(Errno::EINVAL)
    }

    /// Takes an object out. The caller drops it when it holds no lock.
    pub fn remove(&self, permissions: &Permissions) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        let key = state.keys.remove(&permissions.key);
        let place = state.places.get_mut(place_of(permissions.id));
        let gone = place.and_then(|place| place.take_if(|(id, _)| *id == permissions.id));
        if gone.is_some() {
            state.used -= 1;
        }
        while state.places.last().is_some_and(Option::is_none) {
            state.places.pop();
        }
        drop(state);
        drop(key);
        gone.map(|(_, object)| object)
    }

    /// Takes a key out: the object can be found only by its identifier from now on.
    pub fn forget_key(&self, key: i32) {
        let gone = self.state.lock().keys.remove(&key);
        drop(gone);
    }

    /// Returns the objects in the order of their places.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.state.lock().places.iter().flatten().map(|(_, object)| Arc::clone(object)).collect()
    }

    /// Returns how many there are, and the highest place in use or 0.
    pub fn usage(&self) -> (usize, i32) {
        let state = self.state.lock();
        (state.used, i32::try_from(state.places.len()).map_or(0, |len| (len - 1).max(0)))
    }
}

impl<T> State<T> {
    /// Finds a place: the next free one behind the last, so that identifiers are not soon given out again.
    fn free_place(&self, limit: usize) -> Option<usize> {
        let end = (self.used * 3 / 2).max(MIN_CYCLE).min(limit);
        let free = |place: &usize| self.places.get(*place).is_none_or(Option::is_none);
        (self.next..end).find(free).or_else(|| (0..end).find(free))
    }
}

const fn place_of(id: i32) -> usize {
    id.cast_unsigned() as usize & (MOST as usize - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Object(Permissions);

    impl Keyed for Object {
        fn permissions(&self) -> Permissions {
            self.0
        }
    }

    fn add(table: &Table<Object>, key: i32, who: &Credentials) -> Result<Option<i32>> {
        table.add(key, |id| Arc::new(Object(Permissions::new(id, key, 0o640, who))))
    }

    #[test]
    fn identifiers_are_not_given_out_again_at_once() {
        let (table, root) = (Table::new(MOST), Credentials::new(0, 0, &[]));
        let first = add(&table, 0, &root).unwrap().unwrap();
        assert_eq!(first, 0);
        let gone = table.remove(&table.get(first).unwrap().permissions());
        assert!(gone.is_some());
        let second = add(&table, 0, &root).unwrap().unwrap();
        assert_eq!(second, 1);
        assert_eq!(table.get(first).err(), Some(Errno::EINVAL));
        assert_eq!(table.usage(), (1, 1));
        for _ in 2..64 {
            add(&table, 0, &root).unwrap();
        }
        assert_eq!(add(&table, 0, &root), Ok(Some(64)), "room for half as many again");
        table.remove(&table.get(5).unwrap().permissions());
        for _ in 65..94 {
            add(&table, 0, &root).unwrap();
        }
        assert!(add(&table, 0, &root).unwrap().is_some());
    }

    #[test]
    fn keys_find_objects_until_they_are_removed() {
        let (table, root) = (Table::new(2), Credentials::new(0, 0, &[]));
        let user = Credentials::new(5, 5, &[]);
        let fits = |_: &Object| Ok(());
        assert_eq!(table.find(7, 0, &root, fits), Err(Errno::ENOENT));
        assert_eq!(table.find(7, IPC_CREAT, &root, fits), Ok(None));
        let id = add(&table, 7, &root).unwrap();
        assert_eq!(add(&table, 7, &root), Ok(None), "another was faster");
        assert_eq!(table.find(7, 0o400, &root, fits), Ok(id));
        assert_eq!(table.find(7, 0o400, &user, fits), Err(Errno::EACCES));
        assert_eq!(table.find(7, 0, &user, fits), Ok(id));
        assert_eq!(table.find(7, IPC_CREAT | IPC_EXCL, &root, fits), Err(Errno::EEXIST));
        table.forget_key(7);
        assert_eq!(table.find(7, 0, &root, fits), Err(Errno::ENOENT));
        assert!(add(&table, 0, &root).unwrap().is_some());
        assert_eq!(add(&table, 0, &root), Err(Errno::ENOSPC));
    }
}
