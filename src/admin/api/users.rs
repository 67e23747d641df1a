//! People who may log in, for operators. Every change is noted in the log; names and hashes are not there.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tracing::{Instrument as _, Span};
use trading_engine_protocol::types::UtcNanos;
use utoipa::ToSchema;

use super::extract::{Body, Named, Operator};
use super::problem::{Problem, Result};
use super::{Api, Role, Timestamp};
use crate::admin::desk::Who;
use crate::admin::known_users::role_of;
use crate::admin::users::hash_password;
use crate::engine::command::{Name, name};
use crate::store::StoreError;
use crate::store::users::User;

/// Somebody who may log in.
#[derive(Serialize, ToSchema)]
pub struct UserView {
    /// Login.
    name: String,
    /// What they may do.
    role: Role,
    /// May not log in.
    disabled: bool,
    /// When they were made.
    created_at: Timestamp,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        let role = role_of(&user);
        Self {
            name: user.name,
            role,
            disabled: user.disabled,
            created_at: Timestamp(UtcNanos(user.created_at)),
        }
    }
}

/// Everybody who may log in.
#[derive(Serialize, ToSchema)]
pub struct AllUsers {
    /// By name.
    items: Vec<UserView>,
}

/// What somebody is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// What they may do.
    role: Role,
    /// At least 12 characters; absent: as it is. Somebody new needs one.
    #[serde(default)]
    #[schema(min_length = 12, max_length = 256)]
    password: Option<String>,
    /// May not log in.
    #[serde(default)]
    disabled: bool,
}

/// People who may log in.
#[utoipa::path(get, path = "/users", tag = "users", operation_id = "list_users",
    security(("bearer" = [])),
    responses((status = 200, description = "All of them.", body = AllUsers)))]
pub async fn list(caller: Operator) -> Result<Json<AllUsers>> {
    let users = caller.api.people.read().await;
    let users = users.map_err(|error| away(&error))?;
    let items = users.into_iter().map(UserView::from).collect();
    Ok(Json(AllUsers { items }))
}

/// Make somebody, or change them.
///
/// Needs the database. Tokens that are out do no more than the change leaves them: nothing after another
/// password or when disabled, and what both roles may after another role. Other instances of the venue
/// learn it within five seconds.
#[utoipa::path(put, path = "/users/{name}", tag = "users", operation_id = "put_user",
    security(("bearer" = [])), request_body = UserChange,
    params(("name" = String, Path, description = "Login.", min_length = 1, max_length = 24)),
    responses((status = 200, description = "They are so.", body = UserView)))]
pub async fn put(
    caller: Operator,
    Named(login): Named<String>,
    Body(mut change): Body<UserChange>,
) -> Result<Json<UserView>> {
    let api = &caller.api;
    let subject = name(&login).ok_or_else(|| {
        Problem::invalid("a login has 1 to 24 printable characters without spaces")
    })?;
    // Whoever locks the last operator out needs the command line to get back in.
    if login == caller.bearer.name && (change.disabled || change.role != Role::Operator) {
        return Err(Problem::conflict("you cannot take your own role away"));
    }
    let hashed = match change.password.take() {
        Some(password) => {
            let hashed = api.turns.slowly(move || hash_password(&password)).await?;
            Some(hashed.map_err(Problem::invalid)?)
        }
        None => None,
    };
    // Once it is noted it is done or noted as failed, whether or not the client waits for it.
    let edit = edit(Arc::clone(api), caller.who, subject, login, change, hashed);
    let task = tokio::spawn(edit.instrument(Span::current()));
    let user = task.await.map_err(|error| {
        tracing::error!(%error, "a change of a user ended");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the change ended with an error",
        )
    })??;
    Ok(Json(user.into()))
}

/// Notes that a user is changed, and changes it; one that cannot be is noted, too.
async fn edit(
    api: Arc<Api>,
    who: Who,
    subject: Name,
    login: String,
    change: UserChange,
    hashed: Option<String>,
) -> Result<User> {
    // Others' edits wait for this one, and must not for a database that says nothing.
    let _turn = api.desk.edit().await;
    let known = api.people.kept(&login).await;
    let known = known.map_err(|error| away(&error))?;
    let password_hash = match (hashed, &known) {
        (Some(hashed), _) => hashed,
        (None, Some(known)) => known.password_hash.clone(),
        (None, None) => return Err(Problem::invalid("somebody new needs a password")),
    };
    let user = User {
        role: change.role.name().to_owned(),
        password_hash,
        disabled: change.disabled,
        created_at: known.map_or_else(|| api.clock.utc_now().0, |known| known.created_at),
        name: login,
    };
    let note = async |failed| {
        let note = (api.desk).note_user(&who, subject, change.role as u8, change.disabled, failed);
        note.await
    };
    note(false).await?;
    if let Err(error) = api.people.change(&user).await {
        let problem = away(&error);
        // The log has said it already.
        note(true).await?;
        return Err(problem);
    }
    Ok(user)
}

/// The copy that logins go by is not enough here.
fn away(error: &StoreError) -> Problem {
    tracing::error!(%error, "users cannot be read or changed");
    Problem::unavailable("users are kept in the database, and it cannot be asked now")
}
