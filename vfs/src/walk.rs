//! From a path to a place (`path_resolution(7)`, `openat2(2)`).
//!
//! [`Walk`] is one question: who asks, from where, with which restrictions. Its methods are the operations that take a
//! path; this module holds the walk itself.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::fs::{
    RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV,
};
use abi::{Errno, Result};

use crate::credentials::{Caller, Want, check, check_follow};
use crate::dentry::Dentry;
use crate::mount::MountOptions;
use crate::node::LinkTarget;
use crate::types::{Kind, LINKS_MAX, NAME_MAX, PATH_MAX};
use crate::vfs::Protection;
use crate::{Place, Vfs};

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    /// It is.
    Yes,
    /// The link itself is meant.
    No,
}

/// Who walks, and from where.
#[derive(Clone, Copy)]
pub struct Walk<'a> {
    /// The system of files.
    pub vfs: &'a Vfs,
    /// Who asks.
    pub caller: Caller<'a>,
    /// The process's root directory.
    pub root: &'a Place,
    /// Where relative paths start: the working directory, or what a descriptor names.
    pub start: &'a Place,
    /// `RESOLVE_*` of `openat2(2)`.
    pub resolve: u64,
}

/// The last component of a path.
pub(crate) enum Last<'p> {
    /// A name.
    Name(Bytes<'p>),
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// Nothing but slashes.
    Root,
}

/// Bytes of the caller's path, or of a link on the way.
#[derive(Clone)]
pub(crate) enum Bytes<'p> {
    Path(&'p [u8], usize, usize),
    Link(Arc<Vec<u8>>, usize, usize),
}

impl<'p> Bytes<'p> {
    #[inline]
    pub(crate) fn get(&self) -> &[u8] {
        match self {
            Self::Path(bytes, start, end) => &bytes[*start..*end],
            Self::Link(bytes, start, end) => &bytes[*start..*end],
        }
    }

    /// Returns what lies between two offsets.
    fn part(&self, from: usize, to: usize) -> Self {
        match self {
            Self::Path(bytes, start, _) => Self::Path(bytes, start + from, start + to),
            Self::Link(bytes, start, _) => Self::Link(Arc::clone(bytes), start + from, start + to),
        }
    }

    fn skip(&mut self, count: usize) {
        match self {
            Self::Path(_, start, _) | Self::Link(_, start, _) => *start += count,
        }
    }

    fn skip_slashes(&mut self) -> usize {
        let count = self.get().iter().take_while(|&&b| b == b'/').count();
        self.skip(count);
        count
    }

    fn is_empty(&self) -> bool {
        self.get().is_empty()
    }
}

/// A directory and what is looked for in it.
pub(crate) struct Parent<'p> {
    /// The directory.
    pub(crate) place: Place,
    /// The last component.
    pub(crate) last: Last<'p>,
    /// Slashes follow the last component.
    pub(crate) slashes: bool,
}

/// A walk that is under way.
pub(crate) struct Walker<'w, 'p> {
    walk: &'w Walk<'w>,
    root: &'w Place,
    at: Place,
    /// What is left of the path.
    path: Bytes<'p>,
    /// What is left of the links that were met; the innermost is last, and comes before all else.
    inner: Vec<Bytes<'p>>,
    links: u32,
    /// A trailing slash was met: the end must be a directory.
    must_be_dir: bool,
}

impl<'w, 'p> Walker<'w, 'p> {
    /// Starts at the beginning of a path.
    pub(crate) fn new(walk: &'w Walk<'w>, path: &'p [u8]) -> Result<Self> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let root = if walk.restricted(RESOLVE_IN_ROOT) { walk.start } else { walk.root };
        let absolute = path.first() == Some(&b'/');
        if absolute && walk.restricted(RESOLVE_BENEATH) {
            return Err(Errno::EXDEV);
        }
        let at = if absolute { root } else { walk.start };
        if !absolute && !at.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let mut path = Bytes::Path(path, 0, path.len());
        path.skip_slashes();
        Ok(Self { walk, root, at: at.clone(), path, inner: Vec::new(), links: 0, must_be_dir: false })
    }

    /// Goes on to the last component; says also whether slashes follow it.
    pub(crate) fn go_to_last(&mut self) -> Result<(Last<'p>, bool)> {
        loop {
            while self.inner.last().is_some_and(Bytes::is_empty) {
                self.inner.pop();
            }
            let rest = self.inner.last_mut().unwrap_or(&mut self.path);
            if rest.is_empty() {
                return Ok((Last::Root, false));
            }
            check(&**self.at.node(), Want::EXEC, self.walk.caller.credentials)?;
            let bytes = rest.get();
            let len = bytes.iter().position(|&b| b == b'/').unwrap_or(bytes.len());
            let name = rest.part(0, len);
            rest.skip(len);
            let slashes = rest.skip_slashes() > 0;
            let more = !rest.is_empty() || !self.path.is_empty() || self.inner.iter().any(|r| !r.is_empty());
            if !more {
                let last = match name.get() {
                    b"." => Last::Dot,
                    b".." => Last::DotDot,
                    _ => Last::Name(name),
                };
                self.must_be_dir |= slashes;
                return Ok((last, slashes));
            }
            match name.get() {
                b"." => {}
                b".." => self.up()?,
                name => {
                    let dentry = self.at.dentry.child(name)?;
                    self.step(dentry, Follow::Yes)?;
                }
            }
            if !self.at.is_dir() {
                return Err(Errno::ENOTDIR);
            }
        }
    }

    /// Says whether the end has to be a directory because of slashes behind it.
    pub(crate) const fn must_be_dir(&self) -> bool {
        self.must_be_dir
    }

    /// Goes to the end of the path.
    pub(crate) fn go_to_end(mut self, follow: Follow) -> Result<Place> {
        loop {
            let (last, _) = self.go_to_last()?;
            if self.finish(&last, follow)? {
                break;
            }
        }
        if self.must_be_dir && !self.at.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        Ok(self.at)
    }

    /// Takes the last step. `false` means that it met a link, whose text is the path from here on.
    fn finish(&mut self, last: &Last<'p>, follow: Follow) -> Result<bool> {
        match last {
            Last::Root | Last::Dot => Ok(true),
            Last::DotDot => self.up().map(|()| true),
            Last::Name(name) => {
                let dentry = self.at.dentry.child(name.get())?;
                self.finish_at(dentry, follow)
            }
        }
    }

    /// As [`Walker::finish`], for an entry that was looked up already.
    pub(crate) fn finish_at(&mut self, dentry: Arc<Dentry>, follow: Follow) -> Result<bool> {
        let follow = if self.must_be_dir { Follow::Yes } else { follow };
        // LINUX: links in the middle of a path are not protected.
        if dentry.kind() == Kind::Symlink
            && follow == Follow::Yes
            && self.at.mount.shared.protection(Protection::Symlinks) != 0
        {
            let (directory, link) = (self.at.node().permissions(), dentry.node().permissions());
            check_follow(directory, link, self.walk.caller.credentials)?;
        }
        self.step(dentry, follow)
    }

    /// Returns where the walk is.
    pub(crate) const fn at(&self) -> &Place {
        &self.at
    }

    /// Steps onto an entry of the present directory; `false` if it is a link that was entered instead.
    #[inline]
    fn step(&mut self, dentry: Arc<Dentry>, follow: Follow) -> Result<bool> {
        if dentry.kind() == Kind::Symlink && follow == Follow::Yes {
            return self.enter_link(&dentry);
        }
        let crossing = dentry.is_mount_point();
        self.at.dentry = dentry;
        if crossing {
            let top = self.at.topmost();
            if self.walk.restricted(RESOLVE_NO_XDEV) && !Arc::ptr_eq(&top.mount, &self.at.mount) {
                return Err(Errno::EXDEV);
            }
            self.at = top;
        }
        Ok(true)
    }

    /// Starts on the text of a link; `true` if it was a magic one, which leads to a place at once.
    fn enter_link(&mut self, link: &Arc<Dentry>) -> Result<bool> {
        self.links += 1;
        if self.links > LINKS_MAX || self.walk.restricted(RESOLVE_NO_SYMLINKS) {
            return Err(Errno::ELOOP);
        }
        if self.at.mount.options().contains(MountOptions::NO_SYMLINK_FOLLOW) {
            return Err(Errno::ELOOP);
        }
        match link.node().follow(&self.walk.caller)? {
            LinkTarget::Place(place) => {
                if self.walk.restricted(RESOLVE_NO_MAGICLINKS) {
                    return Err(Errno::ELOOP);
                }
                let other = !Arc::ptr_eq(&place.mount, &self.at.mount);
                if self.walk.restricted(RESOLVE_BENEATH | RESOLVE_IN_ROOT)
                    || other && self.walk.restricted(RESOLVE_NO_XDEV)
                {
                    return Err(Errno::EXDEV);
                }
                self.at = place;
                Ok(true)
            }
            LinkTarget::Path(text) => {
                if text.is_empty() {
                    return Err(Errno::ENOENT);
                }
                let len = text.len();
                let mut text = Bytes::Link(Arc::new(text), 0, len);
                if text.skip_slashes() > 0 {
                    if self.walk.restricted(RESOLVE_BENEATH) {
                        return Err(Errno::EXDEV);
                    }
                    let other = !Arc::ptr_eq(&self.root.mount, &self.at.mount);
                    if other && self.walk.restricted(RESOLVE_NO_XDEV) {
                        return Err(Errno::EXDEV);
                    }
                    self.at = self.root.clone();
                }
                self.inner.push(text);
                Ok(false)
            }
        }
    }

    /// Goes to the parent directory; at the root that is the root.
    fn up(&mut self) -> Result<()> {
        if self.walk.restricted(RESOLVE_BENEATH) && self.at.same(self.walk.start) {
            return Err(Errno::EXDEV);
        }
        loop {
            if self.at.same(self.root) {
                return Ok(());
            }
            if !self.at.is_mount_root() {
                break;
            }
            let Some(covered) = self.at.mount.covered() else { return Ok(()) };
            if self.walk.restricted(RESOLVE_NO_XDEV) {
                return Err(Errno::EXDEV);
            }
            self.at = covered;
        }
        if let Some(parent) = self.at.dentry.parent() {
            self.at.dentry = parent;
        }
        if self.at.dentry.is_mount_point() {
            self.at = self.at.topmost();
        }
        Ok(())
    }
}

impl Walk<'_> {
    #[inline]
    const fn restricted(&self, bits: u64) -> bool {
        self.resolve & bits != 0
    }

    /// Finds what a path names.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `EACCES`, `ELOOP`, `ENAMETOOLONG`, `EIO`; `EXDEV` where [`Walk::resolve`] forbids the way.
    pub fn lookup(&self, path: &[u8], follow: Follow) -> Result<Place> {
        Walker::new(self, path)?.go_to_end(follow)
    }

    /// As [`Walk::lookup`], where an empty path names the start itself (`AT_EMPTY_PATH`).
    ///
    /// # Errors
    /// As for [`Walk::lookup`].
    pub fn lookup_or_start(&self, path: &[u8], follow: Follow) -> Result<Place> {
        if path.is_empty() { Ok(self.start.clone()) } else { self.lookup(path, follow) }
    }

    /// Finds a directory (`chdir(2)`, `chroot(2)`, also checks search permission).
    ///
    /// # Errors
    /// As for [`Walk::lookup`], and `ENOTDIR`.
    pub fn lookup_directory(&self, path: &[u8]) -> Result<Place> {
        let place = self.lookup(path, Follow::Yes)?;
        if !place.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        check(&**place.node(), Want::EXEC, self.caller.credentials)?;
        Ok(place)
    }

    /// Finds the directory that holds the last component, and that component.
    pub(crate) fn parent<'p>(&self, path: &'p [u8]) -> Result<Parent<'p>> {
        let mut walker = Walker::new(self, path)?;
        let (last, slashes) = walker.go_to_last()?;
        Ok(Parent { place: walker.at, last, slashes })
    }
}

/// Checks the length of a name that is to be made.
pub(crate) const fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > NAME_MAX { Err(Errno::ENAMETOOLONG) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
