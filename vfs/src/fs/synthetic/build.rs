//! Directories made of known entries, and functions in place of objects.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::{Errno, Result};
use hal::sync::Lock;

use super::{Directory, Entry, File, Link, ListSink};
use crate::types::{Kind, SetAttributes};
use crate::{Caller, LinkTarget, Remember};

/// Lets an entry keep the attributes that are set, for it is the same one for ever.
pub(super) fn keep(mut entry: Entry) -> Entry {
    entry.kept = Some(Arc::new(Lock::new(SetAttributes::default())));
    entry
}

/// A directory whose entries are known from the start, in their order; further ones may come from another directory.
#[derive(Default)]
pub struct Folder {
    entries: Vec<(&'static str, Entry)>,
    further: Option<Arc<dyn Directory>>,
}

/// Cursors of further entries start here.
const FURTHER: u64 = 1 << 32;

impl Folder {
    /// Makes an empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry.
    #[must_use]
    pub fn with(mut self, name: &'static str, entry: Entry) -> Self {
        self.entries.push((name, keep(entry)));
        self
    }

    /// Adds a folder.
    #[must_use]
    pub fn folder(self, name: &'static str, folder: Self) -> Self {
        self.with(name, Entry::directory(folder))
    }

    /// Adds the entries of another directory behind the known ones; entries are then not remembered.
    #[must_use]
    pub fn further(mut self, directory: impl Directory + 'static) -> Self {
        self.further = Some(Arc::new(directory));
        self
    }
}

impl Directory for Folder {
    fn lookup(&self, name: &[u8]) -> Result<Entry> {
        match self.entries.iter().find(|(known, _)| known.as_bytes() == name) {
            Some((_, entry)) => Ok(entry.clone()),
            None => self.further.as_ref().ok_or(Errno::ENOENT)?.lookup(name),
        }
    }

    fn list(&self, cursor: u64, sink: &mut ListSink<'_>) -> Result<()> {
        let first = usize::try_from(cursor).unwrap_or(usize::MAX);
        for ((name, entry), next) in self.entries.iter().zip(1..).skip(first) {
            if !sink(name.as_bytes(), entry.kind(), next) {
                return Ok(());
            }
        }
        match &self.further {
            Some(further) => further.list(cursor.saturating_sub(FURTHER), &mut |name, kind, next| {
                sink(name, kind, next.saturating_add(FURTHER))
            }),
            None => Ok(()),
        }
    }

    fn subdirectories(&self) -> u32 {
        let known = self.entries.iter().filter(|(_, entry)| entry.kind() == Kind::Directory).count();
        let further = self.further.as_ref().map_or(0, |further| further.subdirectories());
        u32::try_from(known).unwrap_or(u32::MAX).saturating_add(further)
    }

    fn remember(&self) -> Remember {
        if self.further.is_some() { Remember::Nothing } else { Remember::All }
    }
}

/// One entry of [`Rows`].
pub struct Row<T: 'static> {
    /// Name.
    pub name: &'static str,
    /// File type, as listings show it.
    pub kind: Kind,
    /// Makes the entry.
    pub make: fn(&T) -> Result<Entry>,
}

/// A directory of which there are many alike: what its entries are about, and one table for all.
pub struct Rows<T: 'static> {
    /// What the entries are about, such as a process.
    pub about: T,
    /// The entries.
    pub rows: &'static [Row<T>],
}

impl<T: Send + Sync> Directory for Rows<T> {
    fn lookup(&self, name: &[u8]) -> Result<Entry> {
        let row = self.rows.iter().find(|row| row.name.as_bytes() == name).ok_or(Errno::ENOENT)?;
        (row.make)(&self.about)
    }

    fn list(&self, cursor: u64, sink: &mut ListSink<'_>) -> Result<()> {
        let first = usize::try_from(cursor).unwrap_or(usize::MAX);
        for (row, next) in self.rows.iter().zip(1..).skip(first) {
            if !sink(row.name.as_bytes(), row.kind, next) {
                break;
            }
        }
        Ok(())
    }

    fn subdirectories(&self) -> u32 {
        let count = self.rows.iter().filter(|row| row.kind == Kind::Directory).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

pub(super) struct ReadFn<R>(pub(super) R);

impl<R: Fn(&Caller<'_>) -> Result<Vec<u8>> + Send + Sync> File for ReadFn<R> {
    fn read(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        (self.0)(caller)
    }
}

pub(super) struct ReadWriteFn<R, W>(pub(super) R, pub(super) W);

impl<R, W> File for ReadWriteFn<R, W>
where
    R: Fn(&Caller<'_>) -> Result<Vec<u8>> + Send + Sync,
    W: Fn(&[u8], u64, &Caller<'_>) -> Result<usize> + Send + Sync,
{
    fn read(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        (self.0)(caller)
    }

    fn write(&self, bytes: &[u8], offset: u64, caller: &Caller<'_>) -> Result<usize> {
        (self.1)(bytes, offset, caller)
    }
}

pub(super) struct LinkFn<T>(pub(super) T);

impl<T: Fn(&Caller<'_>) -> Result<Vec<u8>> + Send + Sync> Link for LinkFn<T> {
    fn text(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        (self.0)(caller)
    }
}

pub(super) struct MagicFn<T, F>(pub(super) T, pub(super) F);

impl<T, F> Link for MagicFn<T, F>
where
    T: Fn(&Caller<'_>) -> Result<Vec<u8>> + Send + Sync,
    F: Fn(&Caller<'_>) -> Result<LinkTarget> + Send + Sync,
{
    fn text(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        (self.0)(caller)
    }

    fn follow(&self, caller: &Caller<'_>) -> Result<LinkTarget> {
        (self.1)(caller)
    }
}
