//! Stages, their checks, the count and the summary.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What every check needs to know.
pub struct Context {
    /// The project's folder.
    pub root: PathBuf,
    /// Whether long checks run as well.
    pub full: bool,
    filters: Vec<String>,
    scratch: PathBuf,
}

impl Context {
    /// Finds the project's folder from the current one, and makes a scratch folder that is removed at the end.
    ///
    /// # Errors
    /// A sentence, where no folder above holds the project or no scratch folder can be made.
    pub fn new(full: bool, filters: Vec<String>) -> Result<Self, String> {
        let here = std::env::current_dir().map_err(|e| format!("the current folder: {e}"))?;
        let root = here
            .ancestors()
            .find(|dir| dir.join("syscall/abi").is_dir() && dir.join("Cargo.toml").is_file())
            .ok_or_else(|| format!("{} is not inside the project", here.display()))?
            .to_path_buf();
        let scratch = std::env::temp_dir().join(format!("hull-tests-{}", std::process::id()));
        std::fs::create_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
        Ok(Self { root, full, filters, scratch })
    }

    /// The scratch folder.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Where cargo puts what it builds.
    pub fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.root.join("target"), |dir| self.root.join(dir))
    }

    /// Whether every check runs.
    pub fn complete(&self) -> bool {
        self.filters.is_empty()
    }

    /// Whether the generated pages are to be written instead of compared.
    pub fn updates(&self) -> bool {
        std::env::var_os("HULL_UPDATE").is_some_and(|value| value == "1")
    }

    /// Whether a check is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|f| name.contains(f.as_str()))
    }

    /// Whether some check of a stage may be wanted.
    fn wants_stage(&self, stage: &str) -> bool {
        self.wants(stage) || self.filters.iter().any(|f| f.split('/').next() == Some(stage))
    }

    /// Whether the stage's checks may be chosen by names of their own, so that its name need not match.
    fn names_checks(&self, stage: &str) -> bool {
        ["guest", "apps", "servers", "hostile", "session", "suites", "compatibility"].contains(&stage)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

/// A named group of checks.
pub struct Stage {
    /// Its name, which its checks' names start with.
    pub name: &'static str,
    /// What it checks.
    pub about: &'static str,
    /// Runs its checks.
    pub run: fn(&Context, &Report),
}

/// What became of a check.
pub enum Outcome {
    /// As it should be.
    Passed,
    /// Not as it should be: what was seen.
    Failed(String),
    /// Could not be looked at: why.
    Skipped(String),
}

impl<E: ToString> From<Result<(), E>> for Outcome {
    fn from(result: Result<(), E>) -> Self {
        result.map_or_else(|e| Self::Failed(e.to_string()), |()| Self::Passed)
    }
}

/// A check that ran, and whether it passed.
pub type Seen = (String, bool);

#[derive(Default)]
struct Counts {
    passed: usize,
    /// What ran, for the page that is made from it; not what was skipped.
    seen: Vec<Seen>,
    failed: Vec<String>,
    skipped: Vec<String>,
}

/// Counts outcomes and prints them as they come; shared by the threads of a stage.
#[derive(Default)]
pub struct Report(Mutex<Counts>);

impl Report {
    /// Runs one check if it is wanted.
    pub fn check(&self, cx: &Context, name: &str, run: impl FnOnce() -> Outcome) {
        if cx.wants(name) {
            self.check_always(name, run);
        }
    }

    /// Runs one check whatever the filters say.
    pub fn check_always(&self, name: &str, run: impl FnOnce() -> Outcome) {
        let start = Instant::now();
        let outcome = run();
        self.add(name, start.elapsed(), outcome);
    }

    #[expect(clippy::unwrap_used, reason = "a thread that panicked while counting has ended the run anyway")]
    fn add(&self, name: &str, took: Duration, outcome: Outcome) {
        let mut counts = self.0.lock().unwrap();
        let took = took.as_secs_f64();
        match outcome {
            Outcome::Passed => {
                counts.passed += 1;
                counts.seen.push((name.to_owned(), true));
                println!("  ok    {name} ({took:.2} s)");
            }
            Outcome::Failed(why) => {
                println!("  FAIL  {name} ({took:.2} s)");
                why.lines().for_each(|line| println!("        {line}"));
                counts.seen.push((name.to_owned(), false));
                counts.failed.push(name.to_owned());
            }
            Outcome::Skipped(why) => {
                println!("  skip  {name}: {why}");
                counts.skipped.push(name.to_owned());
            }
        }
    }

    /// What ran so far.
    #[expect(clippy::unwrap_used, reason = "a thread that panicked while counting has ended the run anyway")]
    pub fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap().seen.clone()
    }

    /// Runs `run` on every item, as many at once as `threads`.
    pub fn each<T: Sync>(&self, items: &[T], threads: usize, run: impl Fn(&T) + Sync) {
        let next = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(item) = items.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                    {
                        run(item);
                    }
                });
            }
        });
    }
}

/// Runs the stages that are wanted and prints the summary.
#[expect(clippy::unwrap_used, reason = "a thread that panicked while counting has ended the run anyway")]
pub fn run(cx: &Context, stages: &[Stage]) -> ExitCode {
    let report = Report::default();
    let mut times = Vec::new();
    for stage in stages.iter().filter(|s| cx.wants_stage(s.name) || cx.names_checks(s.name)) {
        println!("== {} ({})", stage.name, stage.about);
        let start = Instant::now();
        (stage.run)(cx, &report);
        times.push((stage.name, start.elapsed()));
    }
    let counts = report.0.into_inner().unwrap();
    println!("== summary");
    for (name, took) in times {
        println!("  {name:<10} {:>7.1} s", took.as_secs_f64());
    }
    counts.failed.iter().for_each(|name| println!("  failed: {name}"));
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed.len(), counts.skipped.len());
    if counts.passed + counts.failed.len() + counts.skipped.len() == 0 {
        println!("no check has such a name");
        return ExitCode::from(2);
    }
    if counts.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
