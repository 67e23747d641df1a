//! Addresses of other services: a URL that may have a password, shown without it.

use std::fmt;

use url::Url;

use super::secret::{REDACTED, Secret};

/// A URL with one of the schemes its setting allows. `Debug` and `Display` show it without passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceUrl {
    text: Secret,
    scheme: &'static str,
    shown: String,
}

/// Parameters that are shown with their values; a URL with any other one shows none.
const SHOWN_PARAMETERS: &[&str] = &[
    "application_name",
    "cache",
    "dbname",
    "host",
    "mode",
    "port",
    "sslmode",
    "sslrootcert",
    "user",
];

impl ServiceUrl {
    /// From text with one of `schemes`. A URL that cannot be told apart from its password (an `@`, `#`,
    /// `?` or `/` in one has to be written `%40`, `%23`, `%3F`, `%2F`) is none.
    pub fn parse(text: &str, schemes: &[&'static str]) -> Option<Self> {
        let (found, rest) = text.split_once(':')?;
        let scheme = *schemes.iter().find(|scheme| **scheme == found)?;
        // Of a backslash some make a slash.
        let is_plain = |character: char| {
            !character.is_control() && !character.is_whitespace() && character != '\\'
        };
        if rest.is_empty() || !text.chars().all(is_plain) {
            return None;
        }
        let shown = if scheme == "sqlite" {
            shown_file(text)?
        } else {
            shown_host(text)?
        };
        Some(Self {
            text: Secret::new(text.to_owned()),
            scheme,
            shown,
        })
    }

    /// The whole URL, password included.
    pub fn reveal(&self) -> &str {
        self.text.reveal()
    }

    /// What stands before the first colon.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }
}

fn shown_host(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    // A password with one of these in it would be taken for a path, or for a port.
    let tail = text.split_once("://")?.1.split_once(['/', '?', '#']);
    if url.fragment().is_some() || tail.is_some_and(|(_, tail)| tail.contains('@')) {
        return None;
    }
    // PostgreSQL's socket may stand in the parameters.
    if url.host_str().is_none_or(str::is_empty) && !url.scheme().starts_with("postgres") {
        return None;
    }
    let mut shown = url.clone();
    shown.set_query(None);
    // A user alone may be a token, and on the web one with a password as well.
    let is_web = url.scheme().starts_with("http");
    if !url.username().is_empty() && (is_web || url.password().is_none()) {
        shown.set_username(REDACTED).ok()?;
    }
    if url.password().is_some() {
        shown.set_password(Some(REDACTED)).ok()?;
    }
    Some(format!("{shown}{}", shown_parameters(&url)))
}

/// SQLite's URLs are a path, with no host or user.
fn shown_file(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    if url.fragment().is_some() || text.contains('@') {
        return None;
    }
    let path = text.split_once('?').map_or(text, |(path, _)| path);
    let named = path.trim_start_matches("sqlite:").trim_start_matches('/');
    (!named.is_empty()).then(|| format!("{path}{}", shown_parameters(&url)))
}

fn shown_parameters(url: &Url) -> String {
    match url.query() {
        None => String::new(),
        Some(query) => {
            let is_known = |(key, _): (_, _)| SHOWN_PARAMETERS.contains(&AsRef::as_ref(&key));
            if url.query_pairs().all(is_known) {
                format!("?{query}")
            } else {
                format!("?{REDACTED}")
            }
        }
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: &[&str] = &["postgres", "postgresql", "sqlite"];

    #[test]
    fn a_url_is_shown_without_its_password_and_revealed_with_it() {
        let check = |text: &str, shown: &str| {
            let url = ServiceUrl::parse(text, SQL).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(url.reveal(), text);
        };
        check("postgres://db/te", "postgres://db/te");
        check(
            "postgres://te:pw%40x@db:5432/te",
            "postgres://te:***@db:5432/te",
        );
        check(
            "postgresql://te:pw@[::1]/te?sslmode=require",
            "postgresql://te:***@[::1]/te?sslmode=require",
        );
        check(
            "postgres://te@db/te?password=pw",
            "postgres://***@db/te?***",
        );
        let web = ServiceUrl::parse("http://token:x@otel:4318", &["http"]).unwrap();
        assert_eq!(web.to_string(), "http://***:***@otel:4318/");
        check("postgres:///te?host=/run/pg", "postgres:///te?host=/run/pg");
        check("sqlite:data/h.sqlite", "sqlite:data/h.sqlite");
        check("sqlite://h.sqlite?mode=rwc", "sqlite://h.sqlite?mode=rwc");
        check("sqlite:/var/h?key=pw", "sqlite:/var/h?***");
        assert_eq!(
            ServiceUrl::parse("sqlite:h", SQL).map(|url| url.scheme()),
            Some("sqlite")
        );
    }

    #[test]
    fn what_is_no_url_or_hides_its_password_badly_is_refused() {
        for wrong in [
            "",
            "postgres",
            "postgres:",
            "postgres://",
            "mysql://db/te",
            "POSTGRES://db/te",
            "sqlite:",
            "sqlite://",
            "postgres://te:p w@db/te",
            "postgres://db/te\n",
            "postgres://te:12#pw@db/te",
            "postgres://te:12?pw@db/te",
            "postgres://te:12/pw@db/te",
            "postgres://te:12\\pw@db/te",
            "sqlite://te:pw@db",
        ] {
            // A path alone is PostgreSQL's own default database.
            if wrong != "postgres://" {
                assert_eq!(ServiceUrl::parse(wrong, SQL), None, "{wrong}");
            }
        }
        for wrong in [
            "redis:",
            "redis://",
            "redis:///0",
            "redis:6379",
            "redis://h:port",
        ] {
            assert_eq!(
                ServiceUrl::parse(wrong, &["redis", "rediss"]),
                None,
                "{wrong}"
            );
        }
    }
}
