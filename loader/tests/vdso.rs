//! The vDSO on the host: its image is built, examined, mapped behind a data page and called; and C libraries that are
//! started with it in the place of the host's find its functions.
#![expect(clippy::tests_outside_test_module, reason = "the whole file is a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use loader::vdso::check;

#[path = "../../libc-shim/build_vdso.rs"]
mod build_vdso;

const FUNCTIONS: [&str; 5] = ["clock_gettime", "clock_getres", "gettimeofday", "time", "getcpu"];

/// A directory of one test, removed at its end.
struct Room(PathBuf);

impl Room {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vdso-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory can be written");
        Self(path)
    }

    fn compile(&self, compiler: &str, source: &str, options: &[&str]) -> PathBuf {
        let program = self.0.join(format!("{source}-{compiler}{}", options.concat()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/vdso/{source}.c"));
        let status =
            Command::new(compiler).args(["-O1", "-o"]).arg(&program).arg(source).args(options).status();
        assert!(status.unwrap_or_else(|error| panic!("{compiler} is needed: {error}")).success());
        program
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // Best effort: what is left behind is in the temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} is needed: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn the_image_is_one_read_only_page_with_linuxs_names_and_version() {
    let room = Room::new("image");
    assert!(build_vdso::inputs().iter().all(|path| path.exists()));
    let path = build_vdso::build(&room.0);
    let bytes = fs::read(&path).expect("just built");
    let image = check(&bytes).expect("a valid vDSO");
    assert_eq!(image.span, 4096);
    assert_eq!(image.symbols.len(), 2 * FUNCTIONS.len());
    for name in FUNCTIONS {
        let at = image.symbol(format!("__vdso_{name}").as_bytes());
        assert!(at.is_some() && at == image.symbol(name.as_bytes()), "{name}");
    }
    let text =
        run(Command::new("readelf").env("LC_ALL", "C").args(["-lWd", "-V", "--dyn-syms", "-r"]).arg(&path));
    for name in FUNCTIONS {
        let has = |bind: &str, name: &str| {
            text.lines().any(|line| line.contains(bind) && line.contains("FUNC") && line.contains(name))
        };
        assert!(has("GLOBAL", &format!(" __vdso_{name}@@LINUX_2.6")), "{text}");
        assert!(has("WEAK", &format!(" {name}@@LINUX_2.6")), "{text}");
    }
    for wanted in ["no relocations", "[linux-vdso.so.1]", "(HASH)", "(GNU_HASH)", "GNU_EH_FRAME"] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    assert!(!String::from_utf8_lossy(&bytes).contains("/src/"), "paths of the build");

    for len in 0..bytes.len() {
        let _ = check(&bytes[..len]);
    }
}

#[test]
fn functions_answer_what_the_data_page_says() {
    let room = Room::new("behaviour");
    let path = build_vdso::build(&room.0);
    let bytes = fs::read(&path).expect("just built");
    let image = check(&bytes).expect("a valid vDSO");
    let program = room.compile("cc", "behaviour", &["-pthread"]);
    let offsets = FUNCTIONS.map(|name| image.symbol(name.as_bytes()).expect("checked above").to_string());
    print!("{}", run(Command::new(program).arg(&path).args(offsets)));
}

#[test]
fn c_libraries_find_and_use_it() {
    let room = Room::new("libraries");
    let path = build_vdso::build(&room.0);
    let inject = room.compile("cc", "inject", &[]);
    for (compiler, options) in
        [("cc", &[][..]), ("cc", &["-static"]), ("musl-gcc", &[]), ("musl-gcc", &["-static"])]
    {
        let clock = room.compile(compiler, "clock", options);
        let text = run(Command::new(&inject).arg(&path).arg(clock));
        let coarse = "1234567890.000000042";
        assert_eq!(text, format!("{coarse} {coarse} 1234567890\n"), "{compiler} {options:?}");
    }
}
