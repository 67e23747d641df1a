//! `DATABASE_URL`: which database history goes to. Read from the settings, used by `Store::connect`; its
//! password is shown to nobody.

use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

/// What `DATABASE_URL` may be, for messages.
pub const ALLOWED: &str =
    "postgres://USER:PASSWORD@HOST:PORT/DATABASE, or sqlite:PATH for a file of this machine";

/// A database that history can go to.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A PostgreSQL server.
    Postgres(Box<PgConnectOptions>),
    /// A file of the embedded SQLite.
    Sqlite(PathBuf),
}

impl DatabaseUrl {
    /// Reads `postgres://...`, `postgresql://...` or `sqlite:PATH` (also `sqlite://PATH`). `None`: it is
    /// none of them.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let file = !path.is_empty() && !path.starts_with(':') && !path.contains('?');
            return file.then(|| Self::Sqlite(path.into()));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(text).ok()?;
            return Some(Self::Postgres(Box::new(
                options.application_name("trading-engine"),
            )));
        }
        None
    }

    /// The embedded default of a data folder.
    pub fn embedded(data_dir: &Path) -> Self {
        Self::Sqlite(data_dir.join("history.sqlite"))
    }

    /// `postgresql` or `sqlite`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgresql",
            Self::Sqlite(_) => "sqlite",
        }
    }

    pub(super) fn sqlite_options(path: &Path) -> SqliteConnectOptions {
        // SQLite would let everybody read a new one; the files it puts beside have the mode of this one.
        // What is wrong with it is said when it is opened.
        let _ = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path);
        SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            // Readers and the projector do not wait for each other; what a crash of the machine takes from
            // the end is projected again.
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(5))
    }
}

/// Without user and password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(options) => {
                let database = options.get_database().unwrap_or_default();
                let (host, port) = (options.get_host(), options.get_port());
                write!(f, "postgresql://{host}:{port}/{database}")
            }
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_and_no_password_is_shown() {
        let url = DatabaseUrl::parse("postgres://me:secret@db.example:5433/venue").unwrap();
        assert_eq!(url.kind(), "postgresql");
        let shown = format!("{url} {url:?}");
        assert!(shown.contains("db.example:5433/venue"), "{shown}");
        assert!(
            !shown.contains("secret") && !shown.contains("me:"),
            "{shown}"
        );
        for text in [
            "sqlite:/var/lib/history.sqlite",
            "sqlite:///var/lib/history.sqlite",
        ] {
            let url = DatabaseUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), "sqlite:/var/lib/history.sqlite");
        }
        for text in [
            "",
            "sqlite:",
            "sqlite::memory:",
            "mysql://x/y",
            "history.sqlite",
        ] {
            assert!(DatabaseUrl::parse(text).is_none(), "{text}");
        }
    }
}
