//! SQL: history of the venue for people and the admin API, in PostgreSQL or the embedded SQLite; and Redis.
//!
//! * `url`: which database
//! * `migrate`: its tables, `trading-engine migrate`
//! * `fold`: events to rows, pure
//! * `projector`: tails the event log into the database; `postgres` and `sqlite` write its batches
//! * `history`: what the API asks for, by `pages`; `shapes`: what the answers look like
//! * `queries`: how long what is asked takes, for metrics
//! * `users`: people of the console, the only state that lives here alone
//! * `redis`: market data for downstream services; `owner`: which venue's; `shared_limits`: counters that
//!   instances share
//!
//! Everything but the users is made again from the journal. Nothing that trades waits for any of it: with
//! the database down the venue runs on, and the projector catches up later.

mod fold;
pub mod history;
pub mod migrate;
mod owner;
mod pages;
mod postgres;
pub mod projector;
pub mod queries;
pub mod redis;
mod rows;
mod shapes;
pub mod shared_limits;
mod sqlite;
pub mod url;
pub mod users;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgPool, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Column as _, Database, Postgres, Row as _, Sqlite, TypeInfo as _};
use sqlx::{ValueRef as _, query};

use queries::{Kind, Queries};
use url::DatabaseUrl;

/// Connections of a pool at most, unless told otherwise.
pub const POOL_MAX: u32 = 8;
/// How long a question waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a question may take in PostgreSQL.
const STATEMENT_TIMEOUT: &str = "10s";
/// And in SQLite.
const STATEMENT_TIME: Duration = Duration::from_secs(10);
/// Steps of SQLite's machine between two looks at the clock, a fraction of a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// A database, for those who ask it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    queries: Arc<Queries>,
}

#[derive(Clone, Debug)]
enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// Why the database did not do what it was asked for.
#[derive(Debug)]
pub enum StoreError {
    /// It cannot be reached, or said no.
    Sql(sqlx::Error),
    /// Its tables are not, or cannot be made, what this build needs.
    Migrate(String),
    /// It holds the history of something else; nothing is written to it.
    Refused(String),
    /// A row that this build does not understand, or an argument without a meaning.
    Data(String),
}

impl StoreError {
    /// Whether the same may succeed later: the database is down, or busy.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => {
                let code = error.code().unwrap_or_default();
                // PostgreSQL: connection, resources, operator, system; serialization and deadlock. SQLite:
                // busy, locked.
                let classes = ["08", "40", "53", "57", "58"];
                (code.len() == 5 && classes.iter().any(|class| code.starts_with(class)))
                    || matches!(code.as_ref(), "5" | "6" | "261" | "262" | "517")
            }
            Self::Sql(
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::Protocol(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::WorkerCrashed,
            ) => true,
            Self::Sql(_) | Self::Migrate(_) | Self::Refused(_) | Self::Data(_) => false,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(error) => write!(f, "database: {error}"),
            Self::Migrate(why) => write!(f, "database tables: {why}"),
            Self::Refused(why) => write!(f, "database refused: {why}"),
            Self::Data(why) => write!(f, "database: {why}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sql(error) => Some(error),
            Self::Migrate(_) | Self::Refused(_) | Self::Data(_) => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

/// A pool from outside, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolState {
    /// Connections there are.
    pub connections: u32,
    /// Of them, those that nobody uses.
    pub idle: u32,
    /// Connections there may be.
    pub connections_max: u32,
}

impl Store {
    /// A pool of at most [`POOL_MAX`] connections. Nothing is connected before the first question, so a
    /// database that is down is no error here. Must be called inside the runtime that will ask.
    ///
    /// # Errors
    /// None at present; a database is refused when it is asked.
    pub fn connect(url: &DatabaseUrl) -> Result<Self, StoreError> {
        Self::connect_with(url, POOL_MAX)
    }

    /// Likewise, of at most `connections_max`.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub fn connect_with(url: &DatabaseUrl, connections_max: u32) -> Result<Self, StoreError> {
        let pool = match url {
            DatabaseUrl::Postgres(options) => {
                let options = options
                    .as_ref()
                    .clone()
                    .options([("statement_timeout", STATEMENT_TIMEOUT)]);
                let pool = PgPoolOptions::new()
                    .max_connections(connections_max)
                    .acquire_timeout(ACQUIRE_TIMEOUT);
                Pool::Postgres(pool.connect_lazy_with(options))
            }
            DatabaseUrl::Sqlite(path) => {
                let pool = SqlitePoolOptions::new()
                    .max_connections(connections_max)
                    .acquire_timeout(ACQUIRE_TIMEOUT);
                Pool::Sqlite(pool.connect_lazy_with(DatabaseUrl::sqlite_options(path)))
            }
        };
        Ok(Self {
            pool,
            queries: Arc::default(),
        })
    }

    /// `postgresql` or `sqlite`.
    pub fn kind(&self) -> &'static str {
        match &self.pool {
            Pool::Postgres(_) => "postgresql",
            Pool::Sqlite(_) => "sqlite",
        }
    }

    /// Asks for nothing and tells how long the answer took.
    ///
    /// # Errors
    /// The database is not to be had.
    pub async fn ping(&self) -> Result<Duration, StoreError> {
        let begun = Instant::now();
        self.fetch(Kind::Ping, Sql::new("SELECT 1 AS one")).await?;
        Ok(begun.elapsed())
    }

    /// The pool as it is.
    pub fn pool_state(&self) -> PoolState {
        let (connections, idle, connections_max) = match &self.pool {
            Pool::Postgres(pool) => (
                pool.size(),
                pool.num_idle(),
                pool.options().get_max_connections(),
            ),
            Pool::Sqlite(pool) => (
                pool.size(),
                pool.num_idle(),
                pool.options().get_max_connections(),
            ),
        };
        PoolState {
            connections,
            idle: u32::try_from(idle).unwrap_or(u32::MAX),
            connections_max,
        }
    }

    /// How long the answers took.
    pub fn queries(&self) -> &Queries {
        &self.queries
    }

    /// Closes every connection, after those in use are given back.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Postgres(pool) => pool.close().await,
            Pool::Sqlite(pool) => pool.close().await,
        }
    }

    async fn fetch(&self, kind: Kind, sql: Sql) -> Result<Vec<Record>, StoreError> {
        let answer = async {
            match &self.pool {
                Pool::Postgres(pool) => {
                    let rows = sql.postgres().fetch_all(pool).await?;
                    Ok(rows.into_iter().map(Record::Postgres).collect())
                }
                Pool::Sqlite(pool) => {
                    let mut connection = for_a_while(pool).await?;
                    let rows = sql.sqlite().fetch_all(&mut *connection).await?;
                    Ok(rows.into_iter().map(Record::Sqlite).collect())
                }
            }
        };
        self.queries.timed(kind, answer).await
    }

    async fn execute(&self, kind: Kind, sql: Sql) -> Result<u64, StoreError> {
        let answer = async {
            match &self.pool {
                Pool::Postgres(pool) => Ok(sql.postgres().execute(pool).await?.rows_affected()),
                Pool::Sqlite(pool) => {
                    let mut connection = for_a_while(pool).await?;
                    let done = sql.sqlite().execute(&mut *connection).await?;
                    Ok(done.rows_affected())
                }
            }
        };
        self.queries.timed(kind, answer).await
    }
}

/// A connection whose next statement ends by itself in time: SQLite has no timeout of its own, and one that
/// nobody waits for any more would go on.
async fn for_a_while(pool: &SqlitePool) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let until = Instant::now() + STATEMENT_TIME;
    connection
        .lock_handle()
        .await?
        .set_progress_handler(STEPS_BETWEEN_LOOKS, move || Instant::now() < until);
    Ok(connection)
}

/// An argument of a statement.
#[derive(Clone, Debug)]
enum Value {
    Int(Option<i64>),
    Text(Option<String>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

/// A statement in the words both databases know, with `$1` and so on for its arguments. Text from outside
/// only ever becomes an argument.
#[derive(Clone, Debug, Default)]
struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Another piece with its arguments, which are numbered anew.
    fn append(&mut self, piece: &Self) -> &mut Self {
        let mut rest = piece.text.as_str();
        for value in &piece.values {
            let Some((before, behind)) = rest.split_once('$') else {
                break;
            };
            self.push(before).bind(value.clone());
            rest = behind.trim_start_matches(|digit: char| digit.is_ascii_digit());
        }
        self.push(rest)
    }

    fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
        self
    }

    /// Arguments of a whole row, with commas.
    fn bind_all(&mut self, values: impl IntoIterator<Item = Value>) -> &mut Self {
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.push(", ");
            }
            self.bind(value);
        }
        self
    }

    fn postgres(self) -> Query<'static, Postgres, PgArguments> {
        build(self)
    }

    fn sqlite(self) -> Query<'static, Sqlite, SqliteArguments> {
        build(self)
    }
}

fn build<DB>(sql: Sql) -> Query<'static, DB, <DB as Database>::Arguments>
where
    DB: Database,
    Option<i64>: sqlx::Encode<'static, DB> + sqlx::Type<DB>,
    Option<String>: sqlx::Encode<'static, DB> + sqlx::Type<DB>,
    <DB as Database>::Arguments: sqlx::IntoArguments<DB>,
{
    let mut built = query::<DB>(AssertSqlSafe(sql.text));
    for value in sql.values {
        built = match value {
            Value::Int(number) => built.bind(number),
            Value::Text(text) => built.bind(text),
        };
    }
    built
}

/// A row of either database.
enum Record {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

impl Record {
    /// A whole number, however wide its column is; `None` = NULL.
    fn int_or_null(&self, column: &str) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(column)?),
            Self::Postgres(row) => {
                let value = row.try_get_raw(column)?;
                if value.is_null() {
                    return Ok(None);
                }
                let wide = match value.type_info().name() {
                    "INT2" => i64::from(row.try_get::<i16, _>(column)?),
                    "INT4" => i64::from(row.try_get::<i32, _>(column)?),
                    _ => row.try_get(column)?,
                };
                Ok(Some(wide))
            }
        }
    }

    fn int(&self, column: &str) -> Result<i64, StoreError> {
        self.int_or_null(column)?
            .ok_or_else(|| StoreError::Data(format!("{column} is missing")))
    }

    /// A number that has to fit: an id, a choice, a count.
    fn number<T: TryFrom<i64>>(&self, column: &str) -> Result<T, StoreError> {
        let number = self.int(column)?;
        T::try_from(number)
            .map_err(|_| StoreError::Data(format!("{column} {number} is out of range")))
    }

    fn number_or_null<T: TryFrom<i64>>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let number = self.int_or_null(column)?;
        number
            .map(|number| {
                T::try_from(number)
                    .map_err(|_| StoreError::Data(format!("{column} {number} is out of range")))
            })
            .transpose()
    }

    fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    fn text_or_null(&self, column: &str) -> Result<Option<String>, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    fn text(&self, column: &str) -> Result<String, StoreError> {
        self.text_or_null(column)?
            .ok_or_else(|| StoreError::Data(format!("{column} is missing")))
    }

    /// A sum that may outgrow 64 bits, selected as text.
    fn wide(&self, column: &str) -> Result<i128, StoreError> {
        let text = self.text(column)?;
        text.parse()
            .map_err(|_| StoreError::Data(format!("{column} {text:?} is no whole number")))
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = match self {
            Self::Postgres(row) => row.columns().iter().map(|c| c.name()).collect(),
            Self::Sqlite(row) => row.columns().iter().map(|c| c.name()).collect(),
        };
        f.debug_list().entries(names).finish()
    }
}
