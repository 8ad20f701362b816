//! Which crate may depend on which: the arrows of ARCHITECTURE.md, read from `cargo metadata`.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use crate::command::must;
use crate::stage::{Context, Outcome, Report};

/// Allowed edges besides those to `abi` and `hal`, which every crate above them may name.
const EDGES: &[(&str, &[&str])] = &[
    ("abi", &[]),
    ("hal", &["abi"]),
    ("loader", &["abi"]),
    ("vfs", &["abi", "hal"]),
    ("net", &["abi", "hal"]),
    ("syscall", &["abi", "hal", "vfs", "net", "loader"]),
    ("kernel", &["abi", "hal", "syscall", "vfs", "net", "loader"]),
    ("libc-shim", &["abi"]),
    ("images", &["abi", "loader", "vfs"]),
    ("tests", &["abi", "images"]),
];

/// The check.
pub fn run(cx: &Context, report: &Report) {
    report.check(cx, "arrows", || {
        let mut command = Command::new("cargo");
        command.current_dir(&cx.root).args(["metadata", "--format-version", "1", "--no-deps"]);
        match must(&mut command, Duration::from_secs(120)) {
            Ok(output) => wrong(&String::from_utf8_lossy(&output.stdout)).into(),
            Err(problem) => Outcome::Failed(problem),
        }
    });
}

/// Names the edges that are not allowed.
fn wrong(metadata: &str) -> Result<(), String> {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let mut problems = Vec::new();
    let packages = packages(metadata);
    if packages.len() < EDGES.len() {
        problems.push(format!("{} packages found, {} expected", packages.len(), EDGES.len()));
    }
    for (name, dependencies) in packages {
        let Some(edges) = allowed.get(name.as_str()) else {
            problems.push(format!("{name} is not among the crates of the project"));
            continue;
        };
        for to in
            dependencies.iter().filter(|d| allowed.contains_key(d.as_str()) && !edges.contains(&d.as_str()))
        {
            problems.push(format!("{name} must not depend on {to}"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// Packages and their dependencies that are not for tests only.
fn packages(metadata: &str) -> Vec<(String, Vec<String>)> {
    let Ok(metadata) = serde_json::from_str::<serde_json::Value>(metadata) else { return Vec::new() };
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap_or_default().to_owned();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let dependencies = list(&package["dependencies"]);
            (name(package), dependencies.iter().filter(|d| d["kind"] != "dev").map(name).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_edge_is_named() {
        let dep = |name: &str, kind: &str| {
            format!("{{\"name\":\"{name}\",\"source\":null,\"req\":\"*\",\"kind\":{kind},\"path\":\"/x\"}}")
        };
        let package = |name: &str, deps: &str| {
            format!("{{\"name\":\"{name}\",\"version\":\"0.1.0\",\"dependencies\":[{deps}]}}")
        };
        let deps = [dep("net", "null"), dep("loader", "\"dev\"")].join(",");
        let text = format!("{{\"packages\":[{},{}]}}", package("vfs", &deps), package("net", ""));
        let problem = wrong(&text).unwrap_err();
        assert!(problem.contains("vfs must not depend on net"), "{problem}");
        assert!(!problem.contains("on loader"), "{problem}");
    }
}
