//! People of the console. The only state that lives in SQL alone: neither journal nor snapshot knows them,
//! and trading never asks for them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash};

use super::queries::Kind;
use super::url::DatabaseUrl;
use super::{Record, Sql, Store, StoreError};

/// Roles, the least first; each may do what those before it may.
pub const ROLES: [&str; 4] = crate::engine::command::AuditNote::ROLES;
/// Longest name: an audit note has room for it.
pub const NAME_LENGTH_MAX: usize = crate::limits::NAME_LENGTH_MAX;
/// Shortest password.
pub const PASSWORD_LENGTH_MIN: usize = 12;

/// Somebody who may log in to the console.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Login, printable ASCII without spaces.
    pub name: String,
    /// One of [`ROLES`].
    pub role: String,
    /// Argon2id as a PHC string.
    pub password_hash: String,
    /// May not log in.
    pub disabled: bool,
    /// ns UTC.
    pub created_at: u64,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

impl User {
    /// Somebody new. Hashing takes tens of milliseconds on purpose: not for a thread that serves others.
    ///
    /// # Errors
    /// A name, role or password that cannot be, or no randomness.
    pub fn new(name: &str, role: &str, password: &str) -> Result<Self, StoreError> {
        if crate::engine::command::name(name).is_none() {
            return Err(StoreError::Data(format!(
                "user {name:?}: allowed are 1 to {NAME_LENGTH_MAX} printable characters without spaces"
            )));
        }
        if !ROLES.contains(&role) {
            return Err(StoreError::Data(format!(
                "role {role:?}: allowed is {}",
                ROLES.join(", ")
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            role: role.to_owned(),
            password_hash: hash(password)?,
            disabled: false,
            created_at: now(),
        })
    }

    /// Whether it is the password. As slow as [`User::new`].
    pub fn is_password(&self, password: &str) -> bool {
        PasswordHash::new(&self.password_hash).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        })
    }
}

/// A password as it is stored.
///
/// # Errors
/// It is too short, or there is no randomness.
pub fn hash(password: &str) -> Result<String, StoreError> {
    if password.chars().count() < PASSWORD_LENGTH_MIN {
        return Err(StoreError::Data(format!(
            "a password needs at least {PASSWORD_LENGTH_MIN} characters"
        )));
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string())
        .map_err(|error| StoreError::Data(format!("hashing a password: {error}")))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

const COLUMNS: &str = "SELECT name, role, password_hash, disabled, created_at FROM users";

fn user(record: &Record) -> Result<User, StoreError> {
    Ok(User {
        name: record.text("name")?,
        role: record.text("role")?,
        password_hash: record.text("password_hash")?,
        disabled: record.flag("disabled")?,
        created_at: record.number("created_at")?,
    })
}

impl Store {
    /// Somebody, by name.
    ///
    /// # Errors
    /// The database is not to be had.
    pub async fn find_user(&self, name: &str) -> Result<Option<User>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" WHERE name = ").bind(name);
        let found = self.fetch(Kind::Users, sql).await?;
        found.first().map(user).transpose()
    }

    /// Everybody, by name.
    ///
    /// # Errors
    /// The database is not to be had.
    pub async fn list_users(&self) -> Result<Vec<User>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" ORDER BY name");
        self.fetch(Kind::Users, sql)
            .await?
            .iter()
            .map(user)
            .collect()
    }

    /// Makes somebody, or changes role, password and whether they are disabled.
    ///
    /// # Errors
    /// The database is not to be had.
    pub async fn upsert_user(&self, user: &User) -> Result<(), StoreError> {
        let mut sql = Sql::new(
            "INSERT INTO users (name, role, password_hash, disabled, created_at) VALUES (",
        );
        sql.bind_all([
            user.name.as_str().into(),
            user.role.as_str().into(),
            user.password_hash.as_str().into(),
            i64::from(user.disabled).into(),
            i64::try_from(user.created_at).unwrap_or(i64::MAX).into(),
        ])
        .push(
            ") ON CONFLICT (name) DO UPDATE SET role = excluded.role, \
             password_hash = excluded.password_hash, disabled = excluded.disabled",
        );
        self.execute(Kind::Users, sql).await.map(drop)
    }

    /// Lets somebody in no more. `false`: there is nobody of that name.
    ///
    /// # Errors
    /// The database is not to be had.
    pub async fn disable_user(&self, name: &str) -> Result<bool, StoreError> {
        let mut sql = Sql::new("UPDATE users SET disabled = 1 WHERE name = ");
        sql.bind(name);
        Ok(self.execute(Kind::Users, sql).await? > 0)
    }
}

/// Makes the users that are not there (name, role, password), on a thread of its own, as soon as the
/// database has the table for them. For a demo's logins, which are in a file as well. `is_begun`: the
/// projector has been at the database; two that make a SQLite file at once can lock each other out.
///
/// # Errors
/// When no thread or runtime can be had.
pub fn plant(
    url: DatabaseUrl,
    users: Vec<(String, String, String)>,
    is_begun: impl Fn() -> bool + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    const RETRY: Duration = Duration::from_millis(200);
    const GLANCE: Duration = Duration::from_millis(5);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let plant = async move {
        while !is_begun() {
            tokio::time::sleep(GLANCE).await;
        }
        let store = Store::connect_with(&url, 1)?;
        for (name, role, password) in &users {
            loop {
                match store.find_user(name).await {
                    Ok(Some(_)) => break,
                    Ok(None) => store.upsert_user(&User::new(name, role, password)?).await?,
                    // Not there yet, or down: these users are in no hurry.
                    Err(_) => tokio::time::sleep(RETRY).await,
                }
            }
        }
        store.close().await;
        Ok::<_, StoreError>(())
    };
    std::thread::Builder::new()
        .name("demo-users".into())
        .spawn(move || {
            if let Err(error) = runtime.block_on(plant) {
                tracing::warn!(%error, "the demo's console users could not be made");
            }
        })
}
