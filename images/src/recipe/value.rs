//! Values of a recipe that are checked as they are read, so that a message can name their line.

use crate::boot::machine::parse_memory;
use crate::boot::net::Forward;
use serde::Deserialize;
use std::path::{Component, PathBuf};

/// An absolute path without `..`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Absolute(pub PathBuf);

impl TryFrom<String> for Absolute {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let path = PathBuf::from(&text);
        if path.is_absolute() && !path.components().any(|part| part == Component::ParentDir) {
            return Ok(Self(path));
        }
        Err(format!("{text:?} is not an absolute path without \"..\""))
    }
}

/// Permissions in octal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct FileMode(pub u16);

impl TryFrom<String> for FileMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mode =
            u16::from_str_radix(&text, 8).ok().filter(|&mode| mode <= 0o7777 && !text.starts_with('+'));
        mode.map(Self).ok_or_else(|| format!("mode {text:?} is not octal, such as \"0644\""))
    }
}

/// A size of memory, as `-m` takes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Memory(pub u64);

impl TryFrom<String> for Memory {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_memory(&text).map(Self).map_err(|why| format!("memory {text:?}: {why}"))
    }
}

/// Ports, as `-p` takes them.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Ports(pub Vec<Forward>);

impl TryFrom<String> for Ports {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Forward::parse(&text).map(Self).map_err(|why| format!("ports {text:?}: {why}"))
    }
}
