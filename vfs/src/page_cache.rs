//! Pages of a disk, kept in memory.
