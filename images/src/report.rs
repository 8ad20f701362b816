//! What an image holds and why: for `hull build --report`, `hull inspect`, and the file inside each image.

use crate::tree::{Body, Tree};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Where the report lies in an image.
pub const IMAGE_FILE: &str = "/.hull/report";

/// One reason and what it brought.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Why these files are in the image.
    pub reason: String,
    /// Number of files, links and directories.
    pub entries: u64,
    /// Bytes of file data.
    pub bytes: u64,
}

/// One file, for the long form.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Its path in the image.
    pub path: PathBuf,
    /// Bytes of data.
    pub bytes: u64,
    /// Why it is in the image.
    pub reason: String,
}

/// The whole report.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// By reason, the largest first.
    pub groups: Vec<Group>,
    /// Every file (no directories), by path; empty in the report inside images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
}

impl Report {
    /// Describes a tree.
    pub fn new(tree: &Tree) -> Self {
        let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
        let mut items = Vec::new();
        let mut seen = HashSet::new();
        tree.walk(|path, id| {
            let node = tree.node(id);
            let bytes = match &node.body {
                Body::File(_, len) if seen.insert(id) => *len,
                _ => 0,
            };
            let reason = &*node.reason;
            let empty = || Group { reason: reason.to_owned(), entries: 0, bytes: 0 };
            let group = groups.entry(reason).or_insert_with(empty);
            group.entries += 1;
            group.bytes += bytes;
            if !matches!(node.body, Body::Dir(_)) {
                items.push(Item { path: path.into(), bytes, reason: reason.to_owned() });
            }
        });
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.reason.cmp(&b.reason)));
        Self { groups, items }
    }

    /// The report without its files, as it goes into the image.
    #[must_use]
    pub fn summary(&self) -> Self {
        Self { groups: self.groups.clone(), items: Vec::new() }
    }

    /// Formats the groups as a table.
    pub fn table(&self) -> String {
        let mut out = format!("{:>10}  {:>7}  WHY\n", "SIZE", "ENTRIES");
        for group in &self.groups {
            let _ = writeln!(out, "{:>10}  {:>7}  {}", size(group.bytes), group.entries, group.reason);
        }
        let (bytes, entries) = self.groups.iter().fold((0, 0), |(b, e), g| (b + g.bytes, e + g.entries));
        let _ = writeln!(out, "{:>10}  {entries:>7}  in all", size(bytes));
        out
    }
}

/// Writes a number of bytes as a person reads it.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut scaled, mut unit) = (bytes * 10 / 1024, 0);
    while scaled >= 10_240 && unit + 1 < UNITS.len() {
        scaled /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", scaled / 10, scaled % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well_and_reports_add_up() {
        assert_eq!(
            [size(5), size(1536), size(3 << 20), size(5 << 30)],
            ["5 B", "1.5 KiB", "3.0 MiB", "5.0 GiB"]
        );
        let mut tree = Tree::new();
        tree.file("/a", 0o644, vec![0; 100], &"x".into()).unwrap();
        tree.file("/b", 0o644, vec![0; 300], &"y".into()).unwrap();
        let report = Report::new(&tree);
        assert_eq!(report.groups[0], Group { reason: "y".into(), entries: 1, bytes: 300 });
        assert_eq!(report.items.len(), 2);
        assert!(report.summary().items.is_empty() && report.table().contains("400 B"));
    }
}
