//! Reads settings one by one: flags before environment before file before default, each checked, every
//! problem kept.

use std::cell::Cell;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::choices::{Choice, named};
use super::file::{self, Entries};
use super::problem::{Origin, Problem, Value};
use super::secret::Secret;
use super::service_url::ServiceUrl;
use super::table::{Basis, Kind, SETTINGS, Setting, row};

/// Largest file that is read, in bytes: of settings, or of a secret.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Permission of everybody to read.
const MODE_OTHERS_READ: u32 = 0o004;

/// Where settings come from. The real program has the machine's; tests and fuzzers have their own.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The command line's value of a variable, or of its `NAME_FILE`.
    pub flag: &'a dyn Fn(&str) -> Option<String>,
    /// The environment.
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
    /// Reads a file.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<FileText>,
}

/// A file, read.
#[derive(Debug)]
pub struct FileText {
    /// What stands in it.
    pub text: Secret,
    /// Whether everybody on the machine can read it.
    pub is_open_to_all: bool,
}

impl FileText {
    /// Reads a file of the machine.
    ///
    /// # Errors
    /// When it cannot be read, is larger than a megabyte, or is no UTF-8.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file = std::fs::File::open(path)?;
        let metadata = file.metadata()?;
        let mode = metadata.mode();
        // With room for all of it, so that no outgrown copies of a secret stay behind.
        let length = metadata.len().min(FILE_BYTES_MAX) + 32;
        let mut text = String::with_capacity(usize::try_from(length).unwrap_or_default());
        file.by_ref()
            .take(FILE_BYTES_MAX)
            .read_to_string(&mut text)?;
        if file.read(&mut [0])? > 0 {
            let why = format!("larger than {FILE_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        Ok(Self {
            text: Secret::new(text),
            is_open_to_all: mode & MODE_OTHERS_READ != 0,
        })
    }
}

/// What a setting turned out to be.
#[derive(Clone, Debug)]
pub struct Effective {
    /// Which.
    pub setting: &'static Setting,
    /// Its value, as far as it may be shown.
    pub value: Value,
    /// Who said so.
    pub origin: Origin,
}

/// Something that is allowed and unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(String);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) struct Reader<'a> {
    sources: Sources<'a>,
    file_path: PathBuf,
    file: Entries,
    pub(super) basis: Basis,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
    pub(super) effective: Vec<Effective>,
}

/// A value, and who said so.
struct Found {
    text: Secret,
    origin: Origin,
}

impl<'a> Reader<'a> {
    /// Reads the file of settings, if one is named.
    pub(super) fn new(sources: Sources<'a>, basis: Basis) -> Self {
        let mut reader = Self {
            sources,
            file_path: PathBuf::new(),
            file: Entries::new(),
            basis,
            problems: Vec::new(),
            warnings: Vec::new(),
            effective: Vec::new(),
        };
        let path = reader.parse("CONFIG_FILE", |path| Some(PathBuf::from(path)));
        if let Some(path) = path {
            reader.read_settings(path);
        }
        reader
    }

    fn read_settings(&mut self, path: PathBuf) {
        match (self.sources.read_file)(&path) {
            Ok(read) => {
                self.file = file::parse(&path, read.text.reveal(), &mut self.problems);
                let is_secret = |setting: &Setting| {
                    matches!(setting.kind, Kind::Secret { .. } | Kind::Url { .. })
                        && self.file.contains_key(setting.name)
                };
                if read.is_open_to_all
                    && let Some(secret) = SETTINGS.iter().find(|setting| is_secret(setting))
                {
                    self.warn_of(&path, secret.name);
                }
            }
            Err(error) => {
                let origin = self.origin("CONFIG_FILE");
                self.problems.push(Problem {
                    origin,
                    ..Problem::new(
                        "CONFIG_FILE",
                        path.display(),
                        format!("the path of a file that can be read: {error}"),
                    )
                });
            }
        }
        self.file_path = path;
    }

    fn warn_of(&mut self, path: &Path, name: &str) {
        self.warnings.push(Warning(format!(
            "{path:?} has {name} in it and everybody on this machine can read it (chmod o-r)"
        )));
    }

    /// A value of any kind; `None` when it is not set and has no default.
    pub(super) fn parse<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let setting = row(name).expect("Invariant: what is read stands in the table");
        if let Some(Found { text, origin }) = self.find(setting) {
            let shown = setting.shown(text.reveal());
            let value = shown.map_or(Value::Secret, Value::Shown);
            let parsed = parse(text.reveal());
            if parsed.is_none() {
                self.problems.push(Problem {
                    variable: name,
                    value: value.clone(),
                    origin: origin.clone(),
                    allowed: setting.allowed(),
                });
            }
            self.effective.push(Effective {
                setting,
                value,
                origin,
            });
            if parsed.is_some() {
                return parsed;
            }
            let default = setting.default_text(&self.basis);
            return default.and_then(|text| parse(&text));
        }
        let default = setting.default_text(&self.basis);
        self.effective.push(Effective {
            setting,
            value: default.clone().map_or(Value::NotSet, Value::Shown),
            origin: Origin::Default,
        });
        default.and_then(|text| parse(&text))
    }

    pub(super) fn choice<T: Choice>(&mut self, name: &'static str) -> T {
        // A choice without a default would be its first.
        self.parse(name, named).unwrap_or(T::NAMES[0].1)
    }

    pub(super) fn number(&mut self, name: &'static str) -> u64 {
        let (low, high) = match row(name).map(|setting| &setting.kind) {
            Some(Kind::Number { low, high }) => (*low, *high),
            _ => (0, u64::MAX),
        };
        let is_within = |number: &u64| (low..=high).contains(number);
        self.parse(name, |text| text.parse().ok().filter(is_within))
            .unwrap_or(low)
    }

    pub(super) fn port(&mut self, name: &'static str) -> u16 {
        self.parse(name, |text| text.parse().ok()).unwrap_or(0)
    }

    pub(super) fn url(&mut self, name: &'static str) -> Option<ServiceUrl> {
        self.url_as(name, Some)
    }

    /// A URL as the type of the one that uses it.
    pub(super) fn url_as<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(ServiceUrl) -> Option<T>,
    ) -> Option<T> {
        let schemes: &[&str] = match row(name).map(|setting| &setting.kind) {
            Some(Kind::Url { schemes }) => schemes,
            _ => &[],
        };
        let port_is_wrong = Cell::new(false);
        let problems = self.problems.len();
        let parsed = self.parse(name, |text| {
            port_is_wrong.set(has_no_port_there_is(text));
            let url = ServiceUrl::parse(text, schemes).filter(|_| !port_is_wrong.get());
            url.and_then(&parse)
        });
        if let Some(problem) = self.problems.get_mut(problems)
            && port_is_wrong.get()
        {
            problem.allowed = "a port from 1 to 65535".into();
        }
        parsed
    }

    pub(super) fn secret(
        &mut self,
        name: &'static str,
        is_right: impl Fn(&str) -> bool,
    ) -> Option<Secret> {
        self.parse(name, |text| {
            is_right(text).then(|| Secret::new(text.to_owned()))
        })
    }

    /// A problem with a value that is right by itself.
    pub(super) fn clash(&mut self, variable: &'static str, allowed: String) {
        let known = self
            .effective
            .iter()
            .find(|one| one.setting.name == variable);
        let (value, origin) = known.map_or((Value::NotSet, Origin::Default), |one| {
            (one.value.clone(), one.origin.clone())
        });
        self.problems.push(Problem {
            variable,
            value,
            origin,
            allowed,
        });
    }

    /// Whether something is wrong with one of these variables already.
    pub(super) fn is_wrong(&self, names: &[&str]) -> bool {
        let named = |problem: &Problem| names.contains(&problem.variable);
        self.problems.iter().any(named)
    }

    fn origin(&self, name: &str) -> Origin {
        let known = self.effective.iter().find(|one| one.setting.name == name);
        known.map_or(Origin::Default, |one| one.origin.clone())
    }

    /// The first of the sources that has it, by itself or in a file of its own.
    fn find(&mut self, setting: &'static Setting) -> Option<Found> {
        for source in [Self::flag, Self::environment, Self::in_file] {
            let itself = source(self, setting, setting.name);
            let path = setting.file.and_then(|name| source(self, setting, name));
            match (itself, path, setting.file) {
                (Some(_), Some(path), Some(name)) => {
                    self.problems.push(Problem {
                        variable: name,
                        value: Value::Shown(path.text.reveal().to_owned()),
                        origin: path.origin,
                        allowed: format!("not set while {} is", setting.name),
                    });
                    return None;
                }
                (None, Some(path), Some(name)) => return self.read_secret(setting, name, path),
                (Some(itself), ..) => return Some(itself),
                _ => {}
            }
        }
        None
    }

    fn read_secret(
        &mut self,
        setting: &'static Setting,
        name: &'static str,
        path: Found,
    ) -> Option<Found> {
        let file = PathBuf::from(path.text.reveal());
        match (self.sources.read_file)(&file) {
            Ok(read) => {
                if read.is_open_to_all {
                    self.warn_of(&file, setting.name);
                }
                let text = read.text.reveal().trim_end_matches(['\n', '\r']);
                Some(Found {
                    text: Secret::new(text.to_owned()),
                    origin: Origin::SecretFile(file),
                })
            }
            Err(error) => {
                self.problems.push(Problem {
                    variable: name,
                    value: Value::Shown(path.text.reveal().to_owned()),
                    origin: path.origin,
                    allowed: format!("the path of a file that can be read: {error}"),
                });
                None
            }
        }
    }

    fn flag(&mut self, setting: &'static Setting, name: &'static str) -> Option<Found> {
        let text = Secret::new((self.sources.flag)(name)?);
        Self::unless_empty(setting, text, Origin::Flag)
    }

    fn environment(&mut self, setting: &'static Setting, name: &'static str) -> Option<Found> {
        match (self.sources.environment)(name)?.into_string() {
            Ok(text) => Self::unless_empty(setting, Secret::new(text), Origin::Environment),
            Err(bytes) => {
                let is_path = Some(name) == setting.file;
                let value = bytes.to_string_lossy();
                let shown = if is_path {
                    Some(value.into_owned())
                } else {
                    setting.shown(&value)
                };
                self.problems.push(Problem {
                    variable: name,
                    value: shown.map_or(Value::Secret, Value::Shown),
                    origin: Origin::Environment,
                    allowed: format!("UTF-8, and {}", setting.allowed()),
                });
                None
            }
        }
    }

    fn in_file(&mut self, setting: &'static Setting, name: &'static str) -> Option<Found> {
        let (text, line) = self.file.get(name)?;
        let origin = Origin::File {
            path: self.file_path.clone(),
            line: *line,
        };
        Self::unless_empty(setting, text.clone(), origin)
    }

    /// Whoever starts the venue may have no better way to say nothing: `DATABASE_URL=${DATABASE_URL:-}`.
    fn unless_empty(setting: &Setting, text: Secret, origin: Origin) -> Option<Found> {
        let is_optional = matches!(setting.default, super::table::Initial::Unset);
        (!is_optional || !text.reveal().is_empty()).then_some(Found { text, origin })
    }
}

/// Whether a URL's port is a number that is none of a port: what is wrong is that alone.
fn has_no_port_there_is(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let Some((_, port)) = host.rsplit_once(':') else {
        return false;
    };
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    is_number && !port.parse::<u16>().is_ok_and(|port| port != 0)
}
