//! The line discipline of terminals.
