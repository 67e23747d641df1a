//! The console's users as the venue knows them: asked of the database, with a copy for when it does not
//! answer. The users live in SQL alone, and the kill switch is needed most when something is down.
//!
//! Read whole at start and every `READ_TIME`, by name at each login and refresh, and after each change.
//! Logins and refreshes ask the database for `ANSWER_TIME` at most and then use the copy, which also tells
//! what a token that is out may still do: nothing more than its user may. Changes need the database.
//! The copy is in memory: in a venue that starts without its database nobody can log in until that answers,
//! and tokens from before do what they say.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::auth::{Bearer, Role, password_mark};
use crate::store::users::User;
use crate::store::{Store, StoreError};

/// Longest wait for the database.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// The same for everybody.
const LIST_TIME: Duration = Duration::from_secs(5);
/// After a failure the database is not asked for so long, but for changes.
const PAUSE: Duration = Duration::from_secs(1);
/// How often everybody is read: what another instance, the command line or SQL itself changed holds then.
const READ_TIME: Duration = Duration::from_secs(5);
/// How often that is tried until it was done once.
const FIRST_TIME: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Debug)]
pub struct KnownUsers {
    store: Store,
    copy: Mutex<Copy>,
    /// Held over a change and over reading everybody, so that neither overwrites the other with the past.
    changing: tokio::sync::Mutex<()>,
    /// Answers that were the copy's because the database gave none.
    from_copy: AtomicU64,
}

#[derive(Debug, Default)]
struct Copy {
    /// By name, with the mark of their password; those that were ever found.
    users: BTreeMap<String, (User, String)>,
    /// When everybody was read last.
    read_at: Option<Instant>,
    /// Grows with each change, so that an answer from before one is not taken after it.
    version: u64,
    /// When the database failed last, until it answers.
    failed_at: Option<Instant>,
}

impl Copy {
    fn set(&mut self, user: User) {
        let mark = password_mark(&user.password_hash);
        self.users.insert(user.name.clone(), (user, mark));
    }
}

impl KnownUsers {
    /// Nobody yet.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            copy: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            from_copy: AtomicU64::new(0),
        }
    }

    /// Reads everybody again and again. `is_begun`: the projector has been at the database; two that make a
    /// SQLite file at once can lock each other out.
    pub async fn keep(&self, is_begun: impl Fn() -> bool) {
        while !is_begun() {
            sleep(Duration::from_millis(5)).await;
        }
        loop {
            let _ = self.read().await;
            let is_known = self.look().read_at.is_some();
            sleep(if is_known { READ_TIME } else { FIRST_TIME }).await;
        }
    }

    /// Everybody, by name.
    ///
    /// # Errors
    /// The database is not to be had.
    pub async fn read(&self) -> Result<Vec<User>, StoreError> {
        let _turn = self.changing.lock().await;
        let users = timeout(LIST_TIME, self.store.list_users()).await;
        let users = users.unwrap_or_else(|_| Err(late(LIST_TIME)));
        self.judge(users.as_ref().err());
        let users = users?;
        let mut copy = self.look();
        copy.users.clear();
        users.iter().cloned().for_each(|user| copy.set(user));
        copy.read_at = Some(Instant::now());
        copy.version += 1;
        Ok(users)
    }

    /// Somebody as the database has them now, and only so.
    ///
    /// # Errors
    /// The database is not to be had.
    pub async fn kept(&self, name: &str) -> Result<Option<User>, StoreError> {
        let asked = timeout(ANSWER_TIME, self.store.find_user(name)).await;
        asked.unwrap_or_else(|_| Err(late(ANSWER_TIME)))
    }

    /// Makes or changes somebody.
    ///
    /// # Errors
    /// The database is not to be had, or did not say in time whether it is done.
    pub async fn change(&self, user: &User) -> Result<(), StoreError> {
        let _turn = self.changing.lock().await;
        let changed = timeout(LIST_TIME, self.store.upsert_user(user)).await;
        changed.unwrap_or_else(|_| Err(late(LIST_TIME)))?;
        let mut copy = self.look();
        copy.set(user.clone());
        copy.version += 1;
        Ok(())
    }

    /// Somebody: as the database has them, or as it had them when it answered last.
    ///
    /// # Errors
    /// The database is not to be had, and never was.
    pub async fn find(&self, name: &str) -> Result<Option<User>, StoreError> {
        let (version, pauses) = {
            let copy = self.look();
            let pauses = copy.failed_at.is_some_and(|at| at.elapsed() < PAUSE);
            (copy.version, pauses && copy.read_at.is_some())
        };
        let error = if pauses {
            None
        } else {
            match self.kept(name).await {
                Ok(found) => {
                    self.judge(None);
                    let mut copy = self.look();
                    if copy.version == version {
                        match &found {
                            Some(user) => copy.set(user.clone()),
                            None => drop(copy.users.remove(name)),
                        }
                    }
                    return Ok(found);
                }
                Err(error) => {
                    self.judge(Some(&error));
                    Some(error)
                }
            }
        };
        let copy = self.look();
        match (error, copy.read_at) {
            (Some(error), None) => Err(error),
            _ => {
                self.from_copy.fetch_add(1, Ordering::Relaxed);
                Ok(copy.users.get(name).map(|(user, _)| user.clone()))
            }
        }
    }

    /// What the bearer of a token may do by now: no more than the token says, and no more than its user
    /// may. `None`: nothing at all. Asks the database, for when the copy allows less than the token: who was made
    /// or changed elsewhere since everybody was read is not told so by an old copy.
    pub async fn role(&self, bearer: &Bearer) -> Option<Role> {
        match self.find(&bearer.name).await {
            Ok(found) => {
                let user = found?;
                allowed(&user, &password_mark(&user.password_hash), bearer)
            }
            Err(_) => self.role_known(bearer),
        }
    }

    /// Likewise, by the copy alone. Before everybody was read once, the token is all there is: who has one from
    /// before a start without the database can still use the kill switch.
    pub fn role_known(&self, bearer: &Bearer) -> Option<Role> {
        let copy = self.look();
        if copy.read_at.is_none() {
            return Some(bearer.role);
        }
        let (user, mark) = copy.users.get(&bearer.name)?;
        allowed(user, mark, bearer)
    }

    /// How old the copy is; `None`: there is none.
    pub fn age(&self) -> Option<Duration> {
        self.look().read_at.map(|at| at.elapsed())
    }

    /// How often the copy answered because the database did not.
    pub fn from_copy(&self) -> u64 {
        self.from_copy.load(Ordering::Relaxed)
    }

    /// Says once when the database fails, and once when it answers again.
    fn judge(&self, error: Option<&StoreError>) {
        let mut copy = self.look();
        let failed_before = copy.failed_at.is_some();
        copy.failed_at = error.map(|_| Instant::now());
        // Before everybody was read once, the tables may just not be there yet.
        let Some(read_at) = copy.read_at else {
            return;
        };
        drop(copy);
        match error {
            Some(error) if !failed_before => {
                let age_seconds = read_at.elapsed().as_secs();
                tracing::warn!(%error, age_seconds, "logins use the copy of the users");
            }
            None if failed_before => tracing::info!("logins use the database again"),
            Some(_) | None => {}
        }
    }

    fn look(&self) -> MutexGuard<'_, Copy> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of a token its user allows; `mark` is of the user's password.
fn allowed(user: &User, mark: &str, bearer: &Bearer) -> Option<Role> {
    // One that names no password is from before tokens did.
    let is_same = bearer.password.is_empty() || bearer.password == mark;
    (is_same && !user.disabled).then(|| role_of(user).min(bearer.role))
}

fn late(after: Duration) -> StoreError {
    StoreError::Data(format!("no answer within {after:?}"))
}

/// A user's role. A database that has one nobody knows lets its user look.
pub fn role_of(user: &User) -> Role {
    Role::of(&user.role).unwrap_or(Role::Viewer)
}
