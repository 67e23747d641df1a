//! The file of settings: TOML, one key a setting, the setting's name in lower case.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::secret::Secret;
use super::table::SETTINGS;

/// Longest key that is compared with the known ones.
const COMPARED_KEY_MAX: usize = 64;

/// What a file says of each setting (or `NAME_FILE`), and on which line.
pub(super) type Entries = BTreeMap<&'static str, (Secret, usize)>;

/// Reads a file's text. Every key that is no setting is named with the line and the nearest one that
/// is; nothing of a value is, for it may be a secret.
pub(super) fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Entries {
    let mut problem = |allowed: String| {
        problems.push(Problem::new("CONFIG_FILE", path.display(), allowed));
    };
    let line_of = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    let mut entries = Entries::new();
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(span.start));
            problem(format!("TOML; line {line}: {}", error.message()));
            return entries;
        }
    };
    // The table is in the order of its keys; people read from top to bottom.
    let mut keys: Vec<_> = table.get_ref().iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in keys {
        let line = line_of(key.span().start);
        let key = key.get_ref();
        let Some(name) = known().find(|name| is_key_of(key, name)) else {
            let near = nearest(key).map_or_else(String::new, |name| {
                format!("; the nearest is {:?}", name.to_ascii_lowercase())
            });
            problem(format!(
                "known settings only; line {line} has {key:?}{near}"
            ));
            continue;
        };
        match text_of(value.get_ref()) {
            Some(text) => {
                entries.insert(name, (Secret::new(text), line));
            }
            None => problem(format!(
                "one value for each setting; line {line} has a table for {key:?}"
            )),
        }
    }
    entries
}

/// What may stand in a file: every setting and every `NAME_FILE`. A file cannot name another one.
fn known() -> impl Iterator<Item = &'static str> {
    let names = SETTINGS
        .iter()
        .flat_map(|setting| [Some(setting.name), setting.file]);
    names.flatten().filter(|name| *name != "CONFIG_FILE")
}

fn is_key_of(key: &str, name: &str) -> bool {
    key.eq_ignore_ascii_case(name) && !key.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// The known name that takes the fewest changes, unless it takes more than half of it.
fn nearest(key: &str) -> Option<&'static str> {
    if key.len() > COMPARED_KEY_MAX {
        return None;
    }
    let key = key.to_ascii_uppercase().replace('-', "_");
    let distances = known().map(|name| (strsim::osa_distance(&key, name), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance * 2 <= name.len()).then_some(name)
}

/// The value as the environment would have it; a list is comma-separated.
fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.as_ref().to_owned()),
        DeValue::Integer(number) => {
            let decimal = i64::from_str_radix(number.as_str(), number.radix());
            Some(decimal.map_or_else(|_| number.as_str().to_owned(), |number| number.to_string()))
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(is_true) => Some(is_true.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(values) => {
            let is_scalar =
                |value: &DeValue<'_>| !matches!(value, DeValue::Array(_) | DeValue::Table(_));
            let scalars = values.iter().map(|value| {
                let value = value.get_ref();
                is_scalar(value).then(|| text_of(value)).flatten()
            });
            let all: Option<Vec<String>> = scalars.collect();
            Some(all?.join(","))
        }
        DeValue::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(&'static str, String, usize)>, Vec<String>) {
        let mut problems = Vec::new();
        let entries = parse(Path::new("venue.toml"), text, &mut problems);
        let entries = entries.into_iter();
        let entries = entries.map(|(name, (text, line))| (name, text.reveal().to_owned(), line));
        (
            entries.collect(),
            problems.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn every_kind_of_value_is_what_the_environment_would_have() {
        let text = "port = 0x50\nsnapshots = false\n\ncores = [0, 1]\ndata_dir = 'd'\n\
                    trading_day_start = 08:30\ntrading_schedule = ['09:00 closed', \"10:00 \
                    continuous\"]\njwt_secret_file = '/run/x'\n";
        let (entries, problems) = read(text);
        assert_eq!(problems, [""; 0]);
        let expected = [
            ("CORES", "0,1", 4),
            ("DATA_DIR", "d", 5),
            ("JWT_SECRET_FILE", "/run/x", 8),
            ("PORT", "80", 1),
            ("SNAPSHOTS", "false", 2),
            ("TRADING_DAY_START", "08:30", 6),
            ("TRADING_SCHEDULE", "09:00 closed,10:00 continuous", 7),
        ];
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, text, line)| (*name, &**text, *line))
            .collect();
        assert_eq!(entries, expected);
    }

    #[test]
    fn unknown_keys_are_named_with_the_nearest_known_one() {
        let (_, problems) = read(
            "prot = 1\nMETRICS_PORT = 2\njwt-secret = 'hunter2'\nxyzzy = 3\nconfig_file = 'x'\n\
             [fix]\nport = 1\n",
        );
        assert_eq!(
            problems,
            [
                "CONFIG_FILE=\"venue.toml\": allowed is known settings only; line 1 has \"prot\"; the \
                 nearest is \"port\"",
                "CONFIG_FILE=\"venue.toml\": allowed is known settings only; line 2 has \
                 \"METRICS_PORT\"; the nearest is \"metrics_port\"",
                "CONFIG_FILE=\"venue.toml\": allowed is known settings only; line 3 has \
                 \"jwt-secret\"; the nearest is \"jwt_secret\"",
                "CONFIG_FILE=\"venue.toml\": allowed is known settings only; line 4 has \"xyzzy\"",
                "CONFIG_FILE=\"venue.toml\": allowed is known settings only; line 5 has \
                 \"config_file\"",
                "CONFIG_FILE=\"venue.toml\": allowed is known settings only; line 6 has \"fix\"",
            ]
        );
    }

    #[test]
    fn what_is_no_toml_is_refused_without_a_word_of_its_values() {
        for text in [
            "port = 1\njwt_secret = hunter2",
            "jwt_secret = \"hunter2",
            "jwt_secret = 'hunter2'\njwt_secret = 'hunter2'",
            "jwt_secret = { a = 'hunter2' }",
            "jwt_secret = [['hunter2']]",
            "[jwt_secret]\nx = 'hunter2'",
        ] {
            let (_, problems) = read(text);
            assert_eq!(problems.len(), 1, "{text}");
            assert!(problems[0].contains("line "), "{}", problems[0]);
            assert!(!problems[0].contains("hunter2"), "{}", problems[0]);
        }
    }
}
