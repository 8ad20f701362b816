//! `hull build` and `hull inspect`.

use super::print_json;
use super::run::{image_config, shown};
use super::select::{self, Contents, Start, progress, user};
use crate::cache::{environment, write_image};
use crate::erofs::{Follow, Image};
use crate::problem::Problem;
use crate::report::{IMAGE_FILE, Report, size};
use crate::resolve::resolve;
use abi::boot::Config;
use anyhow::{Context as _, Result};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    contents: Contents,
    #[command(flatten)]
    start: Start,
    /// The image to write
    #[arg(short, long, value_name = "IMAGE")]
    output: PathBuf,
    /// Print what was taken, and why
    #[arg(long)]
    report: bool,
    /// Print the report as JSON, with every file
    #[arg(long)]
    json: bool,
    /// Show nothing but errors
    #[arg(short, long)]
    quiet: bool,
    /// The program (or a recipe) and the arguments that it starts with
    #[arg(value_name = "PROGRAM|RECIPE [ARGS]...", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

pub(super) fn build(mut args: Args) -> Result<()> {
    let program = args.command.first();
    if let Some(option) = program.filter(|p| p.as_bytes().starts_with(b"-")) {
        let message = format!("unknown option {}", option.to_string_lossy());
        return Err(Problem::new(message).hint("`hull build --help` lists the options").into());
    }
    if program.is_none() && !args.contents.is_given() {
        let hint = "name a program, or use --package, --dir or --include";
        return Err(Problem::new("nothing to build an image from").hint(hint).into());
    }
    let recipe = args.contents.recipe(program)?;
    if let Some(found) = &recipe {
        select::apply(found, &mut args.contents, &mut args.start, &mut args.command);
    }
    let request = args.contents.request(args.command.first().map(OsString::as_os_str))?;
    let mut resolved = resolve(&request).map_err(|error| select::explain(recipe.as_ref(), error))?;
    let mut config = Config::default();
    if let Some(launch) = &resolved.launch {
        config.args.push(launch.argv0.as_bytes().to_vec());
        config.args.extend(args.command.iter().skip(1).map(|arg| arg.as_bytes().to_vec()));
        config.env = environment(&launch.path, &args.start.environment()?, None);
    }
    config.cwd = args.start.workdir.as_ref().map(|dir| dir.as_os_str().as_bytes().to_vec());
    let dir = match args.output.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    let trouble = || format!("cannot write image {}", args.output.display());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".hull-").suffix(".erofs");
    let write = |config: &Config, tree: &mut crate::tree::Tree| -> Result<_> {
        let file = builder.tempfile_in(dir).with_context(trouble)?;
        let written =
            write_image(tree, resolved.launch.as_ref(), config, file.as_file(), &mut progress(args.quiet))?;
        Ok((file, written))
    };
    let (mut file, mut written) = write(&config, &mut resolved.tree)?;
    if let Some(name) = &args.start.user {
        // The user's numbers come from the image's own files: look them up, then write again.
        config.user = Some(user(&Image::open(file.path())?, name)?);
        (file, written) = write(&config, &mut resolved.tree)?;
    }
    // An image is for sharing; temporary files are not readable for others.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode).with_context(trouble)?;
    file.persist(&args.output).with_context(trouble)?;
    let (summary, report) = written;
    if !args.quiet {
        resolved.warnings.iter().for_each(|warning| eprintln!("hull: {warning}"));
    }
    if args.json {
        return print_json(&report);
    }
    if args.report {
        print!("{}", report.table());
    }
    if !args.quiet {
        eprintln!("{}: {}, {} files", args.output.display(), size(summary.bytes), summary.inodes);
    }
    Ok(())
}

#[derive(clap::Args, Clone, Debug)]
pub(super) struct InspectArgs {
    #[command(flatten)]
    contents: Contents,
    /// List every file with its reason (programs only: images keep the sums)
    #[arg(long)]
    files: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// An image, or a program or recipe as for `hull run`
    #[arg(value_name = "IMAGE|PROGRAM|RECIPE")]
    subject: OsString,
}

#[derive(serde::Serialize)]
struct Description {
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inodes: Option<u64>,
    program: Option<String>,
    arguments: Vec<String>,
    environment: Vec<String>,
    directory: Option<String>,
    report: Report,
    warnings: Vec<String>,
}

pub(super) fn inspect(args: InspectArgs) -> Result<()> {
    let path = Path::new(&args.subject);
    crate::cache::check_image_name(path)?;
    let description = if Image::probe(path) { of_image(path)? } else { of_program(args.clone())? };
    if args.json {
        return print_json(&description);
    }
    let mut out = String::new();
    let mut line = |key: &str, value: String| out += &format!("{key:12} {value}\n");
    if let (Some(bytes), Some(inodes)) = (description.bytes, description.inodes) {
        line("image", format!("{}, {} files", size(bytes), inodes));
    }
    line("program", description.program.clone().unwrap_or_else(|| "none".to_owned()));
    line("arguments", description.arguments.join(" "));
    for entry in &description.environment {
        line("environment", entry.clone());
    }
    line("directory", description.directory.clone().unwrap_or_else(|| "/".to_owned()));
    out += &format!("\n{}", description.report.table());
    if args.files {
        for item in &description.report.items {
            out += &format!("{:>10}  {}  ({})\n", size(item.bytes), item.path.display(), item.reason);
        }
    }
    description.warnings.iter().for_each(|warning| eprintln!("hull: {warning}"));
    use std::io::Write as _;
    std::io::stdout().write_all(out.as_bytes()).context("cannot write")
}

fn of_image(path: &Path) -> Result<Description> {
    let image = Image::open(path)?;
    let config = image_config(path)?;
    let report = image.find(Path::new(IMAGE_FILE), Follow::Yes).and_then(|inode| {
        let mut bytes = vec![0; usize::try_from(inode.size.min(1 << 24))?];
        let len = image.read(&inode, 0, &mut bytes)?;
        Ok(serde_json::from_slice(&bytes[..len])?)
    });
    Ok(Description {
        bytes: Some(image.len()),
        inodes: Some(image.inodes()),
        program: config.exe.as_ref().or(config.args.first()).map(|exe| shown(exe)),
        arguments: config.args.iter().map(|arg| shown(arg)).collect(),
        environment: config.env.iter().map(|entry| shown(entry)).collect(),
        directory: config.cwd.as_ref().map(|dir| shown(dir)),
        report: report.unwrap_or_default(),
        warnings: Vec::new(),
    })
}

fn of_program(mut args: InspectArgs) -> Result<Description> {
    let mut command = vec![args.subject];
    let mut start = Start::default();
    let recipe = args.contents.recipe(command.first())?;
    if let Some(found) = &recipe {
        select::apply(found, &mut args.contents, &mut start, &mut command);
    }
    let resolved = resolve(&args.contents.request(command.first().map(OsString::as_os_str))?)
        .map_err(|error| select::explain(recipe.as_ref(), error))?;
    let launch = resolved.launch.context("a program has a way to start")?;
    let mut report = Report::new(&resolved.tree);
    if !args.files && !args.json {
        report.items.clear();
    }
    Ok(Description {
        bytes: None,
        inodes: None,
        program: Some(launch.exe.display().to_string()),
        arguments: [&[launch.argv0], &command[1..]]
            .concat()
            .iter()
            .map(|a| a.to_string_lossy().into_owned())
            .collect(),
        environment: environment(&launch.path, &start.environment()?, None)
            .iter()
            .map(|e| shown(e))
            .collect(),
        directory: start.workdir.map(|dir| dir.display().to_string()),
        report,
        warnings: resolved.warnings,
    })
}
