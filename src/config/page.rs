//! What people read of the settings: the reference page and the list of `--check-config`.

use std::fmt::Write as _;

use super::problem::{Value, printable};
use super::reader::Effective;
use super::table::{Initial, SETTINGS, Setting};

const HEAD: &str = "\
# Configuration

Every setting of the venue. This page is what `trading-engine settings` prints; a test compares the two.

A setting can be said in four places. The first that says it wins:

1. a flag, before the command: `trading-engine --port 8000`,
2. the environment: `PORT=8000`,
3. a TOML file named by `--config FILE` or `CONFIG_FILE`: `port = 8000`, the name in lower case, no tables; a
   list is a comma-separated value; a key that is no setting is refused,
4. its default.

A **secret** can stand in the environment, in the file of settings, or in a file of its own, whose path is
the setting's name with `_FILE` (`JWT_SECRET_FILE=/run/secrets/jwt`, `--jwt-secret-file`, `jwt_secret_file`);
newlines at its end do not count. It has no flag for itself, because everybody on a machine can see flags. A
secret and its file in one place are refused; a file that everybody can read is warned of. Nothing that the
venue writes has a secret in it, or a password of a URL. Where one of `@ # ? /` is part of a password in a
URL, it is written `%40 %23 %3F %2F`.

A setting without a default that is empty (`REDIS_URL=`) is not set.

`trading-engine --check-config` prints every setting, its value and where that came from, and exits with 0; or
it prints everything that is wrong, each with its value and what is allowed, and exits with 64. A start does
the same before it opens a port.
";

/// The reference page, in Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    let mut group = None;
    for setting in SETTINGS {
        if group != Some(setting.group) {
            group = Some(setting.group);
            let _ = write!(
                page,
                "\n## {}\n\n| variable | flag | allowed | default | meaning |\n|---|---|---|---|---|\n",
                setting.group.title()
            );
        }
        let _ = writeln!(
            page,
            "| {} | `--{}` | {} | {} | {} |",
            name_cell(setting),
            setting.flag,
            cell(&setting.allowed()),
            default_cell(setting),
            setting.about
        );
    }
    page
}

fn name_cell(setting: &Setting) -> String {
    match setting.file {
        Some(file) => format!("`{}` or `{file}` (secret)", setting.name),
        None => format!("`{}`", setting.name),
    }
}

fn default_cell(setting: &Setting) -> String {
    match setting.default {
        Initial::Unset => "not set".into(),
        Initial::Text("") => "empty".into(),
        Initial::Text(text) => format!("`{text}`"),
        Initial::Number(number) => format!("`{}`", number()),
        Initial::Depends { words, .. } => words.into(),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Every setting with its value and where that came from, in the order of the page.
pub fn listing(effective: &[Effective]) -> String {
    let mut rows = Vec::new();
    for setting in SETTINGS {
        let known = effective
            .iter()
            .find(|one| one.setting.name == setting.name);
        if let Some(one) = known {
            rows.push((setting.name, value_cell(one), one.origin.to_string()));
        }
    }
    let widest = |width: fn(&(&str, String, String)) -> usize| rows.iter().map(width).max();
    let name_width = widest(|row| row.0.len()).unwrap_or(0);
    let value_width = widest(|row| row.1.chars().count()).unwrap_or(0);
    let mut out = String::new();
    for (name, value, origin) in rows {
        let _ = writeln!(out, "{name:name_width$}  {value:value_width$}  {origin}");
    }
    out
}

fn value_cell(one: &Effective) -> String {
    match &one.value {
        Value::Shown(value) if value.is_empty() => "\"\"".into(),
        Value::Shown(value) => printable(value),
        Value::Secret => "set".into(),
        Value::NotSet => "not set".into(),
    }
}
