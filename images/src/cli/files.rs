//! `hull ls`, `hull cat`, `hull cp`: reading images.

use super::print_json;
use crate::erofs::{Follow, Image, Inode, Kind};
use crate::problem::Problem;
use anyhow::{Context as _, Result};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Directory levels that a walk follows: a damaged image may contain itself.
const DEPTH_MAX: usize = 200;

#[derive(clap::Args, Debug)]
pub(super) struct LsArgs {
    /// Show modes, owners, sizes and link targets
    #[arg(short)]
    long: bool,
    /// List directories below, too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The image
    image: PathBuf,
    /// A path in it
    #[arg(default_value = "/")]
    path: PathBuf,
}

#[derive(serde::Serialize)]
struct Row {
    path: PathBuf,
    mode: String,
    links: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

pub(super) fn ls(args: &LsArgs) -> Result<()> {
    let image = Image::open(&args.image)?;
    let inode = image.find(&args.path, Follow::Yes)?;
    let mut rows = Vec::new();
    if inode.kind == Kind::Dir {
        list(&image, &inode, Path::new(""), args.recursive, 0, &mut rows)?;
    } else {
        rows.push(row(&image, &inode, args.path.clone())?);
    }
    if args.json {
        return print_json(&rows);
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for row in rows {
        out.write_all(&if args.long { row.long() } else { row.path.into_os_string().into_vec() })?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

fn list(
    image: &Image,
    dir: &Inode,
    prefix: &Path,
    recursive: bool,
    depth: usize,
    rows: &mut Vec<Row>,
) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(
            Problem::new(format!("damaged: directories are nested more than {DEPTH_MAX} deep")).into()
        );
    }
    for entry in image.entries(dir)? {
        let inode = image.inode(entry.nid)?;
        let path = prefix.join(OsStr::from_bytes(&entry.name));
        rows.push(row(image, &inode, path.clone())?);
        if recursive && inode.kind == Kind::Dir {
            list(image, &inode, &path, recursive, depth + 1, rows)?;
        }
    }
    Ok(())
}

fn row(image: &Image, inode: &Inode, path: PathBuf) -> Result<Row> {
    let target = match inode.kind {
        Kind::Symlink => Some(OsString::from_vec(image.target(inode)?).to_string_lossy().into_owned()),
        _ => None,
    };
    let meta = inode.meta;
    let (uid, gid, mtime) = (meta.uid, meta.gid, meta.mtime);
    Ok(Row { path, mode: mode(inode), links: inode.links, uid, gid, size: inode.size, mtime, target })
}

impl Row {
    fn long(self) -> Vec<u8> {
        let head =
            format!("{} {:>3} {:>5} {:>5} {:>10} ", self.mode, self.links, self.uid, self.gid, self.size);
        let mut out = head.into_bytes();
        out.extend(self.path.into_os_string().into_vec());
        if let Some(target) = self.target {
            out.extend(format!(" -> {target}").into_bytes());
        }
        out
    }
}

/// The mode as `ls -l` shows it.
fn mode(inode: &Inode) -> String {
    let kind = match inode.kind {
        Kind::File => '-',
        Kind::Dir => 'd',
        Kind::Symlink => 'l',
        Kind::Char(..) => 'c',
        Kind::Block(..) => 'b',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
    };
    let mode = inode.meta.mode;
    let mut out = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        out.push(if bits & 4 != 0 { 'r' } else { '-' });
        out.push(if bits & 2 != 0 { 'w' } else { '-' });
        out.push(match (bits & 1 != 0, mode & special != 0) {
            (true, false) => 'x',
            (false, false) => '-',
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
        });
    }
    out
}

#[derive(clap::Args, Debug)]
pub(super) struct CatArgs {
    /// The image
    image: PathBuf,
    /// Files in it
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

pub(super) fn cat(args: &CatArgs) -> Result<()> {
    let image = Image::open(&args.image)?;
    let mut out = std::io::stdout().lock();
    for path in &args.paths {
        let inode = image.find(path, Follow::Yes)?;
        if inode.kind != Kind::File {
            let message =
                format!("{} in image {} is not a regular file", path.display(), args.image.display());
            return Err(Problem::new(message).hint("`hull ls -l` shows what it is").into());
        }
        copy(&image, &inode, &mut out)?;
    }
    out.flush()?;
    Ok(())
}

fn copy(image: &Image, inode: &Inode, out: &mut impl Write) -> Result<()> {
    let mut buffer = vec![0; 1 << 18];
    let mut at = 0;
    loop {
        let len = image.read(inode, at, &mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        out.write_all(&buffer[..len])?;
        at += len as u64;
    }
}

#[derive(clap::Args, Debug)]
pub(super) struct CpArgs {
    /// Copy directories with what they hold
    #[arg(short, long, visible_short_alias = 'a')]
    recursive: bool,
    /// What to copy: IMAGE:PATH
    #[arg(value_name = "IMAGE:PATH")]
    from: OsString,
    /// Where to: a path on this machine
    to: PathBuf,
}

pub(super) fn cp(args: &CpArgs) -> Result<()> {
    let bytes = args.from.as_bytes();
    let Some(colon) = bytes.iter().rposition(|&b| b == b':') else {
        let message = format!("{} does not name a file in an image", args.from.to_string_lossy());
        let hint = "write IMAGE:PATH; images do not change, so copying goes from them only";
        return Err(Problem::new(message).hint(hint).into());
    };
    let (image, path) =
        (Path::new(OsStr::from_bytes(&bytes[..colon])), Path::new(OsStr::from_bytes(&bytes[colon + 1..])));
    let image = Image::open(image)?;
    let inode = image.find(path, Follow::Yes)?;
    if inode.kind == Kind::Dir && !args.recursive {
        let message = format!("{} is a directory", path.display());
        return Err(Problem::new(message).hint("-r copies it with what it holds").into());
    }
    let to = match path.file_name() {
        Some(name) if args.to.is_dir() => args.to.join(name),
        _ => args.to.clone(),
    };
    extract(&image, &inode, &to, 0)
}

fn extract(image: &Image, inode: &Inode, to: &Path, depth: usize) -> Result<()> {
    let trouble = || format!("cannot write {}", to.display());
    if depth > DEPTH_MAX {
        return Err(
            Problem::new(format!("damaged: directories are nested more than {DEPTH_MAX} deep")).into()
        );
    }
    match inode.kind {
        Kind::Dir => {
            if !to.is_dir() {
                std::fs::create_dir(to).with_context(trouble)?;
            }
            for entry in image.entries(inode)? {
                // The reader lets no name with a slash, and neither `.` nor `..`, through.
                extract(
                    image,
                    &image.inode(entry.nid)?,
                    &to.join(OsStr::from_bytes(&entry.name)),
                    depth + 1,
                )?;
            }
            set_mode(inode, to).with_context(trouble)
        }
        Kind::File => {
            // An existing link must not lead the bytes elsewhere.
            let _ = std::fs::remove_file(to);
            let mut file = std::fs::File::create_new(to).with_context(trouble)?;
            copy(image, inode, &mut file).with_context(trouble)?;
            let time =
                SystemTime::UNIX_EPOCH + Duration::new(inode.meta.mtime, inode.meta.mtime_ns % 1_000_000_000);
            file.set_modified(time).with_context(trouble)?;
            set_mode(inode, to).with_context(trouble)
        }
        Kind::Symlink => {
            let _ = std::fs::remove_file(to);
            let target = OsString::from_vec(image.target(inode)?);
            std::os::unix::fs::symlink(target, to).with_context(trouble)
        }
        Kind::Char(..) | Kind::Block(..) | Kind::Fifo | Kind::Socket => {
            eprintln!("hull: {}: devices, pipes and sockets are not copied", to.display());
            Ok(())
        }
    }
}

/// Permissions, without set-id bits: the files belong to whoever copies them.
fn set_mode(inode: &Inode, to: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(u32::from(inode.meta.mode & 0o777)))
}
