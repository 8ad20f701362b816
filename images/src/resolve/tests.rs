//! Resolution of this machine's own programs.

use super::*;
use crate::tree::Body;

fn request(program: &str) -> Request {
    Request {
        program: Some(program.into()),
        search: DEFAULT_PATH.into(),
        cwd: std::env::current_dir().unwrap(),
        ..Request::default()
    }
}

fn size(tree: &Tree) -> u64 {
    let mut total = 0;
    tree.walk(|_, id| {
        if let Body::File(_, len) = &tree.node(id).body {
            total += len;
        }
    });
    total
}

fn has(tree: &Tree, path: &str) -> bool {
    tree.lookup(Path::new(path)).is_some()
}

#[test]
fn a_small_program_brings_its_linker_libraries_and_base_files() {
    let found = resolve(&request("true")).unwrap();
    let launch = found.launch.unwrap();
    assert_eq!(launch.argv0, "true");
    assert!(launch.exe.ends_with("bin/true"));
    for path in
        ["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6", "/etc/passwd", "/tmp", "/proc"]
    {
        assert!(has(&found.tree, path), "{path}");
    }
    assert!(size(&found.tree) < 8 << 20, "{} bytes", size(&found.tree));
    assert!(found.stamps.iter().all(|(path, stamp)| Stamp::of(path) == *stamp));
}

#[test]
fn a_shell_brings_commands_unless_bare() {
    let tree = resolve(&request("sh")).unwrap().tree;
    for command in ["ls", "grep", "sed", "awk", "find", "tar", "sort", "bash"] {
        assert!(
            has(&tree, &format!("/usr/bin/{command}")) || has(&tree, &format!("/bin/{command}")),
            "{command}"
        );
    }
    let bare = resolve(&Request { bare: true, ..request("sh") }).unwrap().tree;
    assert!(!has(&bare, "/usr/bin/sort") && size(&bare) < 8 << 20);
}

#[test]
fn scripts_bring_their_interpreters() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "#!/usr/bin/env -S perl -w\nprint 1;\n").unwrap();
    let run = || resolve(&request(script.to_str().unwrap()));
    let error = run().unwrap_err();
    assert_eq!(crate::problem::explain(&error).1, NOT_EXECUTABLE);
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let found = run().unwrap();
    assert!(has(&found.tree, "/usr/bin/env") && has(&found.tree, "/usr/bin/perl"));
    assert!(has(&found.tree, script.to_str().unwrap()));
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    let (text, code) = crate::problem::explain(&run().unwrap_err());
    assert!(text.contains("/no/such/interpreter") && code == NOT_FOUND, "{text}");
}

#[test]
fn what_cannot_run_is_refused_with_the_shells_codes() {
    let code = |program: &str| {
        let error = resolve(&request(program)).unwrap_err();
        crate::problem::explain(&error).1
    };
    assert_eq!(code("no-such-program-anywhere"), NOT_FOUND);
    assert_eq!(code("/no/such/file"), NOT_FOUND);
    assert_eq!(code("/etc/passwd"), NOT_EXECUTABLE);
    assert_eq!(code("/etc"), NOT_EXECUTABLE);
}

#[test]
fn a_directory_becomes_the_root_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
    std::fs::copy("/bin/true", dir.path().join("usr/bin/mine")).unwrap();
    std::fs::create_dir_all(dir.path().join("etc")).unwrap();
    std::fs::write(dir.path().join("etc/passwd"), "mine").unwrap();
    let found = resolve(&Request { dir: Some(dir.path().into()), ..request("mine") }).unwrap();
    assert_eq!(found.launch.unwrap().exe, Path::new("/usr/bin/mine"));
    assert!(!has(&found.tree, "/lib64") && has(&found.tree, "/tmp"));
    let id = found.tree.find(Path::new("/etc/passwd")).unwrap();
    assert!(matches!(found.tree.node(id).body, Body::File(_, 4)));
}

#[test]
fn includes_bring_their_libraries_and_may_be_renamed() {
    let include = Include { from: "/bin/ls".into(), to: "/opt/tool".into() };
    let found = resolve(&Request { includes: vec![include], ..request("true") }).unwrap();
    assert!(has(&found.tree, "/opt/tool"));
    assert!(found.tree.node(found.tree.find(Path::new("/opt/tool")).unwrap()).meta.mode & 0o111 != 0);
}
