//! Signals on the host.
