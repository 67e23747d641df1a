//! What is wrong with a setting, and where a setting came from.

use std::fmt;
use std::path::{Path, PathBuf};

use super::secret::REDACTED;

/// One wrong setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which, as the environment has it.
    pub variable: &'static str,
    /// Its value, as far as it may be shown.
    pub value: Value,
    /// Where that came from.
    pub origin: Origin,
    /// What would be right.
    pub allowed: String,
}

/// A value as far as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// This.
    Shown(String),
    /// There is one, which is secret.
    Secret,
    /// There is none.
    NotSet,
}

/// Who said what a setting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// The environment.
    Environment,
    /// The command line.
    Flag,
    /// A line of the file of settings.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A file of its own, which `NAME_FILE` names.
    SecretFile(PathBuf),
}

impl Problem {
    /// A problem with a value that may be shown.
    pub fn new(variable: &'static str, value: impl fmt::Display, allowed: String) -> Self {
        Self {
            variable,
            value: Value::Shown(value.to_string()),
            origin: Origin::Default,
            allowed,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            variable,
            value,
            origin,
            allowed,
        } = self;
        match value {
            Value::Shown(value) => write!(f, "{variable}={value:?}")?,
            Value::Secret => write!(f, "{variable}={REDACTED}")?,
            Value::NotSet => write!(f, "{variable} is not set")?,
        }
        match origin {
            Origin::Default | Origin::Environment => {}
            Origin::Flag | Origin::File { .. } | Origin::SecretFile(_) => write!(f, " ({origin})")?,
        }
        write!(f, ": allowed is {allowed}")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
            Self::File { path, line } => write!(f, "{}:{line}", plain(path)),
            Self::SecretFile(path) => f.write_str(&plain(path)),
        }
    }
}

/// A path without what could play tricks with a terminal.
fn plain(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// Text on one line, control characters escaped.
pub(super) fn printable(text: &str) -> String {
    let escaped = |character: char| {
        let is_control = character.is_control();
        let hidden = is_control.then(|| character.escape_default().to_string());
        hidden.unwrap_or_else(|| character.into())
    };
    text.chars().map(escaped).collect()
}
