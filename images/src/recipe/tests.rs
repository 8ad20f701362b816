//! Recipes that come along, and what is said of malformed ones.

use super::*;

#[test]
fn every_file_of_the_directory_is_a_recipe_that_is_built_in() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, BUILT_IN.map(|(name, _)| name));
    for (name, text) in BUILT_IN {
        let recipe = Recipe::parse(text, name).unwrap();
        assert!(!recipe.ports.is_empty() && recipe.about.len() < 100, "{name}");
        // Nothing is offered to other hosts unless the user asks for it.
        assert!(
            recipe.ports.iter().flat_map(|ports| &ports.0).all(|port| port.address.is_loopback()),
            "{name}"
        );
    }
}

#[test]
fn malformed_recipes_are_explained_with_line_and_column() {
    let start = "about = \"x\"\nprogram = \"true\"\n";
    for (text, place, words) in [
        ("about = \"x\"\n", "", "missing field `program`"),
        ("about = \n", ":1:", "string"),
        (&format!("{start}arg = []\n"), ":3:1", "unknown field `arg`"),
        (&format!("{start}args = \"one\"\n"), ":3:8", "expected a sequence"),
        (&format!("{start}ports = [\"8080:80\", \"80\"]\n"), ":3:", "one of the two ports is missing"),
        (&format!("{start}memory = \"much\"\n"), ":3:10", "write a number with K, M, G"),
        (&format!("{start}cpus = 0\n"), ":3:8", "nonzero"),
        (&format!("{start}workdir = \"here\"\n"), ":3:11", "not an absolute path"),
        (&format!("{start}[[file]]\npath = \"/a/../b\"\ncontents = \"\"\n"), ":4:8", "not an absolute path"),
        (
            &format!("{start}[[file]]\npath = \"/a\"\ncontents = \"\"\nmode = \"999\"\n"),
            ":6:8",
            "is not octal",
        ),
        (&format!("{start}[[file]]\npath = \"/a\"\n"), ":3:1", "missing field `contents`"),
        (&format!("{start}program = \"false\"\n"), ":3:1", "duplicate key"),
    ] {
        let message = format!("{:#}", Recipe::parse(text, "some.toml").unwrap_err());
        assert!(
            message.starts_with(&format!("some.toml{place}")) && message.contains(words),
            "{text}: {message}"
        );
    }
}

#[test]
fn a_recipe_is_found_by_name_or_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    std::fs::write(
        &path,
        "about = \"x\"\nprogram = \"true\"\n[[directory]]\npath = \"/a\"\nmode = \"1777\"\n",
    )
    .unwrap();
    let found = find(path.as_os_str()).unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.dir.as_deref()), ("mine", Some(dir.path())));
    let given: Vec<Given> = found.recipe.given().collect();
    assert_eq!((given[0].contents.as_ref(), given[0].mode), (None, 0o1777));
    assert!(find(OsStr::new("no/such.toml")).is_err());
    assert!(find(OsStr::new("true")).unwrap().is_none() && find(OsStr::new("./redis")).unwrap().is_none());
    assert_eq!(find(OsStr::new("redis")).unwrap().unwrap().recipe.program, "redis-server");
}
