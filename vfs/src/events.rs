//! What the layer above is told: events for `inotify(7)`, and pages that mappings must let go of.

use alloc::sync::Arc;
use core::ops::Range;

use crate::Node;

/// Something happened to a file.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    /// What: one `IN_*` bit of `inotify(7)`, with `IN_ISDIR` where the node is a directory.
    pub mask: u32,
    /// The directory that has the entry, and its name; `None` where only the node itself is concerned.
    pub entry: Option<(&'a Arc<dyn Node>, &'a [u8])>,
    /// The node; `None` where it is not at hand (it has gone).
    pub node: Option<&'a Arc<dyn Node>>,
    /// Joins the two halves of a rename; else 0.
    pub cookie: u32,
}

/// Who wants to hear of it. Called without locks of this crate, but for directories' (rank `DIRECTORY`) and the
/// tree's rename lock.
pub trait Events: Send + Sync {
    /// Hears of an event; only called while [`crate::Vfs::set_watched`] says that somebody watches.
    fn happened(&self, event: &Event<'_>);

    /// Every mapping of these pages of a node has to go: the file was cut, or the pages were replaced. The next access
    /// faults and asks for the page again.
    /// Private mappings keep the pages that they have copied.
    fn unmap(&self, node: &Arc<dyn Node>, pages: Range<u64>);
}

/// Hears nothing.
pub struct NoEvents;

impl Events for NoEvents {
    fn happened(&self, _: &Event<'_>) {}
    fn unmap(&self, _: &Arc<dyn Node>, _: Range<u64>) {}
}
