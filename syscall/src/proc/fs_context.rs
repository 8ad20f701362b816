//! A process's place in the tree of files: working directory, root, and the mask for new files.

use hal::sync::{Lock, rank};
use vfs::Place;

/// Working directory, root directory and umask; threads share one with `CLONE_FS`.
pub struct FsContext {
    state: Lock<State, { rank::FS_CONTEXT }>,
}

#[derive(Clone)]
struct State {
    root: Place,
    cwd: Place,
    umask: u32,
}

impl FsContext {
    /// Makes a context.
    pub const fn new(root: Place, cwd: Place, umask: u32) -> Self {
        Self { state: Lock::new(State { root, cwd, umask }) }
    }

    /// Returns the root directory.
    pub fn root(&self) -> Place {
        self.state.lock().root.clone()
    }

    /// Returns the working directory.
    pub fn cwd(&self) -> Place {
        self.state.lock().cwd.clone()
    }

    /// Returns root and working directory together.
    pub fn places(&self) -> (Place, Place) {
        let state = self.state.lock();
        (state.root.clone(), state.cwd.clone())
    }

    /// Sets the root directory.
    pub fn set_root(&self, root: Place) {
        let old = core::mem::replace(&mut self.state.lock().root, root);
        // Dropped without the lock: a place may be the last user of a mount.
        drop(old);
    }

    /// Sets the working directory.
    pub fn set_cwd(&self, cwd: Place) {
        let old = core::mem::replace(&mut self.state.lock().cwd, cwd);
        drop(old);
    }

    /// Returns the permission bits that new files do not get.
    pub fn umask(&self) -> u32 {
        self.state.lock().umask
    }

    /// Sets the umask and returns the old one.
    pub fn set_umask(&self, umask: u32) -> u32 {
        core::mem::replace(&mut self.state.lock().umask, umask & 0o777)
    }

    /// Makes a context of the same contents (`fork(2)`).
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { state: Lock::new(self.state.lock().clone()) }
    }
}
