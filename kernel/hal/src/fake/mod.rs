//! The machine, played on the host for tests.
