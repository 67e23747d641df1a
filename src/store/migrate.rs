//! The database's tables: `trading-engine migrate {up,down N,status}`, and what the projector asks before it
//! writes. The files under `migrations/` are in the binary; applied ones stand with their checksums in
//! `_sqlx_migrations`, as sqlx's own tool has them, and golang-migrate reads the same files.

use std::collections::BTreeMap;

use sqlx::Connection as _;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqliteConnection};

use super::StoreError;
use super::projector::in_time;
use super::url::DatabaseUrl;

/// Version, name, up and down.
type Embedded = (i64, &'static str, &'static str, &'static str);

macro_rules! embedded {
    ($folder:literal, $($version:literal $name:literal),+) => {
        &[$((
            $version,
            $name,
            include_str!(concat!($folder, $name, ".up.sql")),
            include_str!(concat!($folder, $name, ".down.sql")),
        )),+]
    };
}

const POSTGRES: &[Embedded] = embedded!(
    "../../migrations/",
    1 "000001_users",
    2 "000002_history",
    3 "000003_indexes",
    4 "000004_audit_detail",
    5 "000005_accounts",
    6 "000006_orders_in_order",
    7 "000007_history_anew"
);
const SQLITE: &[Embedded] = embedded!(
    "../../migrations/sqlite/",
    1 "000001_users",
    2 "000002_history",
    3 "000003_indexes",
    4 "000004_audit_detail",
    5 "000005_accounts",
    6 "000006_orders_in_order",
    7 "000007_history_anew"
);

const TABLE: &str = "_sqlx_migrations";

/// A migration and whether it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Number.
    pub version: i64,
    /// File name without its end.
    pub name: &'static str,
    /// Whether the database has it.
    pub applied: bool,
}

fn embedded(url: &DatabaseUrl) -> &'static [Embedded] {
    match url {
        DatabaseUrl::Postgres(_) => POSTGRES,
        DatabaseUrl::Sqlite(_) => SQLITE,
    }
}

fn migrator(url: &DatabaseUrl) -> Migrator {
    let of = |(version, name, up, down): &Embedded| {
        let description = name.split_once('_').map_or(*name, |(_, name)| name);
        // As sqlx's tool writes the names of files.
        let description = description.replace('_', " ");
        let migration = |kind, text: &'static str| {
            Migration::new(
                *version,
                description.clone().into(),
                kind,
                text.into_sql_str(),
                false,
            )
        };
        [
            migration(MigrationType::ReversibleUp, up),
            migration(MigrationType::ReversibleDown, down),
        ]
    };
    Migrator::with_migrations(embedded(url).iter().flat_map(of).collect())
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => Self::Sql(error),
            MigrateError::Dirty(version) => Self::Migrate(format!(
                "migration {version} began and did not end; the database needs a hand"
            )),
            MigrateError::VersionMissing(version) => {
                Self::Migrate(format!("migration {version} was applied by a newer build"))
            }
            MigrateError::VersionMismatch(version) => Self::Migrate(format!(
                "migration {version} was applied with another text than this build's"
            )),
            other => Self::Migrate(other.to_string()),
        }
    }
}

/// A connection of its own: a pool's may be in use, and is given back when locks should be.
enum Connection {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Connection {
    async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        in_time(Self::connect(url)).await
    }

    async fn connect(url: &DatabaseUrl) -> Result<Self, StoreError> {
        Ok(match url {
            DatabaseUrl::Postgres(options) => {
                // The table of what is applied is made if it is not there, and the server notes each time
                // that it is.
                let options = options
                    .as_ref()
                    .clone()
                    .options([("client_min_messages", "warning")]);
                Self::Postgres(PgConnection::connect_with(&options).await?)
            }
            DatabaseUrl::Sqlite(path) => {
                let options = DatabaseUrl::sqlite_options(path);
                Self::Sqlite(SqliteConnection::connect_with(&options).await?)
            }
        })
    }

    async fn applied(&mut self) -> Result<Vec<AppliedMigration>, StoreError> {
        in_time(self.list_applied()).await
    }

    async fn list_applied(&mut self) -> Result<Vec<AppliedMigration>, StoreError> {
        async fn of(connection: &mut impl Migrate) -> Result<Vec<AppliedMigration>, MigrateError> {
            connection.ensure_migrations_table(TABLE).await?;
            connection.list_applied_migrations(TABLE).await
        }
        Ok(match self {
            Self::Postgres(connection) => of(connection).await?,
            Self::Sqlite(connection) => of(connection).await?,
        })
    }
}

/// Applies every migration that is not, each in a transaction of its own, one process at a time. Returns
/// how many that were.
///
/// # Errors
/// The database is not to be had, or has what this build does not know.
pub async fn up(url: &DatabaseUrl) -> Result<usize, StoreError> {
    let mut connection = Connection::open(url).await?;
    let before = connection.applied().await?.len();
    let migrator = migrator(url);
    match &mut connection {
        Connection::Postgres(connection) => migrator.run_direct(None, connection, false).await?,
        Connection::Sqlite(connection) => migrator.run_direct(None, connection, false).await?,
    }
    Ok(connection.applied().await?.len().saturating_sub(before))
}

/// Takes back the newest `count` migrations that are applied, with all that is in their tables. Returns how
/// many that were.
///
/// # Errors
/// As [`up`].
pub async fn down(url: &DatabaseUrl, count: usize) -> Result<usize, StoreError> {
    let mut connection = Connection::open(url).await?;
    let mut applied: Vec<i64> = connection
        .applied()
        .await?
        .iter()
        .map(|one| one.version)
        .collect();
    applied.sort_unstable();
    let keep = applied.len().saturating_sub(count);
    let target = keep.checked_sub(1).map_or(0, |last| applied[last]);
    undo(url, &mut connection, target).await?;
    Ok(applied.len() - keep)
}

/// Takes back all that are newer than `version`, likewise.
///
/// # Errors
/// As [`up`].
pub async fn down_to(url: &DatabaseUrl, version: i64) -> Result<usize, StoreError> {
    let mut connection = Connection::open(url).await?;
    let applied = connection.applied().await?;
    let newer = applied.iter().filter(|one| one.version > version).count();
    undo(url, &mut connection, version).await?;
    Ok(newer)
}

async fn undo(
    url: &DatabaseUrl,
    connection: &mut Connection,
    target: i64,
) -> Result<(), StoreError> {
    let migrator = migrator(url);
    match connection {
        Connection::Postgres(connection) => migrator.undo(connection, target).await?,
        Connection::Sqlite(connection) => migrator.undo(connection, target).await?,
    }
    Ok(())
}

/// Every migration of this build.
///
/// # Errors
/// As [`up`], and when one that is applied has another text than this build's.
pub async fn status(url: &DatabaseUrl) -> Result<Vec<Status>, StoreError> {
    let mut connection = Connection::open(url).await?;
    let applied: BTreeMap<i64, AppliedMigration> = connection
        .applied()
        .await?
        .into_iter()
        .map(|one| (one.version, one))
        .collect();
    let migrator = migrator(url);
    let ups = migrator
        .iter()
        .filter(|one| !one.migration_type.is_down_migration());
    for migration in ups {
        let other = |one: &&AppliedMigration| one.checksum != migration.checksum;
        if applied.get(&migration.version).filter(other).is_some() {
            return Err(MigrateError::VersionMismatch(migration.version).into());
        }
    }
    let newest = embedded(url).last().map_or(0, |(version, ..)| *version);
    if let Some((&version, _)) = applied.range(newest + 1..).next() {
        return Err(MigrateError::VersionMissing(version).into());
    }
    Ok(embedded(url)
        .iter()
        .map(|&(version, name, ..)| Status {
            version,
            name,
            applied: applied.contains_key(&version),
        })
        .collect())
}

/// Whether the database has every table of this build.
///
/// # Errors
/// As [`status`], and when a migration is missing.
pub async fn check(url: &DatabaseUrl) -> Result<(), StoreError> {
    let missing = status(url)
        .await?
        .into_iter()
        .filter(|one| !one.applied)
        .count();
    if missing == 0 {
        return Ok(());
    }
    Err(StoreError::Migrate(format!(
        "{missing} migrations are not applied: run `trading-engine migrate up`"
    )))
}
