//! Tokens: a password gives one, and one that is right gives the next.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Body, NoBody, Peer, Running, Viewer};
use super::problem::{Problem, Result};
use super::{Api, Role, unavailable};
use crate::admin::auth::{self, LOGIN_TIME};
use crate::admin::known_users::role_of;
use crate::admin::proxies::counted_as;
use crate::admin::users;
use crate::store::users::User;
use axum::extract::Extension;

/// Longest name and password that are looked at.
const TEXT_LENGTH_MAX: usize = users::PASSWORD_LENGTH_MAX;

/// Somebody's name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Login.
    #[schema(max_length = 256)]
    username: String,
    /// Password.
    #[schema(max_length = 256)]
    password: String,
}

/// A token.
#[derive(Serialize, ToSchema)]
pub struct Token {
    /// For `Authorization: Bearer`.
    token: String,
    /// When it ends, seconds since 1970.
    expires_at: u64,
    /// What its bearer may do.
    role: Role,
}

/// Log in.
///
/// While the database does not answer, users are as they were when it did. Wrong names, wrong passwords and disabled users are told apart by nothing. Failures lock the name for
/// that address, and the address, for a while.
#[utoipa::path(post, path = "/login", tag = "login", request_body = Login,
    responses((status = 200, description = "A token.", body = Token)))]
pub async fn login(
    Running(api): Running,
    peer: Option<Extension<Peer>>,
    Body(login): Body<Login>,
) -> Result<Json<Token>> {
    let from = peer.map(|peer| peer.0.0);
    let address = from.map_or_else(|| "?".to_owned(), |from| counted_as(from).to_string());
    if login.username.len() > TEXT_LENGTH_MAX || login.password.len() > TEXT_LENGTH_MAX {
        return Err(wrong());
    }
    let throttle = &api.throttle;
    if let Some(time) = throttle.locked(&address, &login.username).await {
        let why = "too many logins failed; later ones are looked at again";
        return Err(Problem::too_many(why, time.as_secs() + 1));
    }
    let taken = throttle.take(&format!("logins:{address}")).await;
    taken.map_err(|after| Problem::too_many("too many logins", after.as_secs() + 1))?;
    let user = api.people.find(&login.username).await;
    let user = user.map_err(|error| unavailable(&error))?;
    let checked = user.clone();
    let password = login.password;
    let right = api
        .turns
        .slowly(move || users::is_right(checked.as_ref(), &password))
        .await?;
    let Some(user) = user.clone().filter(|_| right) else {
        // A name that nobody has may be a password in the wrong field.
        let name = user.map_or_else(String::new, |user| user.name);
        let address_said = from.map_or_else(|| "?".to_owned(), |from| from.to_string());
        tracing::warn!(user = name, address = address_said, "a login failed");
        throttle.failed(&address, &login.username).await;
        return Err(wrong());
    };
    throttle.succeeded(&address, &login.username).await;
    let now = auth::seconds(api.clock.utc_now());
    issue(&api, &user, now, now)
}

/// A token for the next while, without the password, as long as the login is not too long ago, the user
/// may log in, and the password is the same.
#[utoipa::path(post, path = "/token/refresh", tag = "login", security(("bearer" = [])),
    responses((status = 200, description = "A token.", body = Token)))]
pub async fn refresh(caller: Viewer, _: NoBody) -> Result<Json<Token>> {
    let api = &caller.api;
    let now = auth::seconds(api.clock.utc_now());
    let user = api.people.find(&caller.bearer.name).await;
    let user = user
        .map_err(|error| unavailable(&error))?
        .filter(|user| !user.disabled);
    let Some(user) = user else {
        return Err(wrong());
    };
    // Whoever has a stolen token is out when the password was changed.
    let is_same = caller.bearer.password == auth::password_mark(&user.password_hash);
    if !is_same || now > caller.bearer.auth_time.saturating_add(LOGIN_TIME) {
        return Err(wrong());
    }
    issue(api, &user, caller.bearer.auth_time, now)
}

fn issue(api: &Api, user: &User, auth_time: u64, now: u64) -> Result<Json<Token>> {
    let role = role_of(user);
    let password = auth::password_mark(&user.password_hash);
    let issued = api
        .tokens
        .issue(&user.name, role, &password, auth_time, now);
    let (token, expires_at) = issued.map_err(|error| {
        tracing::error!(error, "cannot make a token");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no token can be made")
    })?;
    Ok(Json(Token {
        token,
        expires_at,
        role,
    }))
}

fn wrong() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "wrong name or password")
}
