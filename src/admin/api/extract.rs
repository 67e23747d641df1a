//! What handlers are given: who asks, and bodies, queries and paths that were read without a mistake.

use std::error::Error;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::{Problem, Result};
use super::strict;
use super::{Api, Role};
use crate::admin::AdminState;
use crate::admin::auth::{self, Bearer};
use crate::admin::desk::Who;
use crate::admin::places::Late;
use crate::admin::proxies::counted_as;
use crate::engine::command::name;

/// A NUL character, as an address has it.
const NUL: &str = "%00";

/// Where a request comes from: the connection's other end, or whom a trusted proxy there names.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// A request's id, as its answer has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub [u8; 16]);

impl RequestId {
    /// From a UUID, with or without dashes.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > 36 {
            return None;
        }
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| *c != '-')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()?;
        if digits.len() != 32 {
            return None;
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Some(Self(id))
    }

    /// A new one; all zero when there is no randomness, which only this name suffers from.
    pub fn drawn() -> Self {
        let mut id = [0; 16];
        let _ = getrandom::fill(&mut id);
        // A random UUID, so that others can read it.
        id[6] = id[6] & 0x0f | 0x40;
        id[8] = id[8] & 0x3f | 0x80;
        Self(id)
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The API of a venue that runs.
pub struct Running(pub Arc<Api>);

impl FromRequestParts<AdminState> for Running {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, state: &AdminState) -> Result<Self> {
        let api = state.venue.get().and_then(|view| view.api.clone());
        api.map(Self)
            .ok_or_else(|| Problem::unavailable("the venue is starting"))
    }
}

/// The address that a request comes from.
pub fn address(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<Peer>();
    peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0)
}

/// Somebody with a right token and at least the role of this place in [`Role::ALL`].
pub struct Caller<const ROLE: usize> {
    /// What they ask.
    pub api: Arc<Api>,
    /// Their token.
    pub bearer: Bearer,
    /// As the log will have them.
    pub who: Who,
}

/// Somebody who may look.
pub type Viewer = Caller<{ Role::Viewer as usize }>;
/// Somebody who helps clients.
pub type Support = Caller<{ Role::TraderSupport as usize }>;
/// Somebody who stops and releases.
pub type Risk = Caller<{ Role::Risk as usize }>;
/// Somebody who changes what there is.
pub type Operator = Caller<{ Role::Operator as usize }>;

impl<const ROLE: usize> FromRequestParts<AdminState> for Caller<ROLE> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self> {
        let Running(api) = Running::from_request_parts(parts, state).await?;
        let address = address(parts);
        let Some(mut bearer) = bearer(parts, &api) else {
            counted_stranger(&api, address).await?;
            return Err(without_token());
        };
        if api.people.role_known(&bearer) != Some(bearer.role) {
            // Whoever has a token that is no good any more is a stranger, and must not use up its user's
            // requests, nor ask the database more often than strangers may.
            counted_stranger(&api, address).await?;
            bearer.role = api.people.role(&bearer).await.ok_or_else(without_token)?;
        }
        let taken = api.throttle.take(&format!("user:{}", bearer.name)).await;
        taken.map_err(|after| too_many(after, "too many requests"))?;
        if (bearer.role as usize) < ROLE {
            let needed = Role::ALL.get(ROLE).map_or("?", |role| role.name());
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!("this needs the role {needed}"),
            ));
        }
        let who = who(parts, &bearer, address);
        Ok(Self { api, bearer, who })
    }
}

/// One more request without a valid token from that address. `Err`: there were too many.
async fn counted_stranger(api: &Api, address: IpAddr) -> Result<()> {
    let taken = api
        .throttle
        .take(&format!("token:{}", counted_as(address)))
        .await;
    taken.map_err(|after| too_many(after, "too many requests without a valid token"))
}

/// What somebody without a valid token is told.
fn without_token() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "a valid bearer token is needed")
}

fn too_many(after: Duration, why: &str) -> Problem {
    Problem::too_many(why, after.as_secs() + 1)
}

fn bearer(parts: &Parts, api: &Api) -> Option<Bearer> {
    let mut all = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    api.tokens
        .check(token.trim(), auth::seconds(api.clock.utc_now()))
}

fn who(parts: &Parts, bearer: &Bearer, address: IpAddr) -> Who {
    let request = parts.extensions.get::<RequestId>();
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    Who {
        // Tokens name nobody else.
        actor: name(&bearer.name).unwrap_or_default(),
        role: bearer.role as u8,
        request: request.map_or([0; 16], |id| id.0),
        address: address.octets(),
    }
}

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AdminState> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self> {
        let (parts, bytes) = whole(request, state).await?;
        let again = Request::from_parts(parts, axum::body::Body::from(bytes.clone()));
        let Json(body) = Json::<T>::from_request(again, state)
            .await
            .map_err(|rejection| body_problem(&rejection))?;
        let value = serde_json::from_slice(&bytes);
        let value = value.map_err(|_| Problem::invalid("an object is expected"))?;
        if let Some(name) = nul_in(&value) {
            return Err(Problem::invalid(no_nul(name)));
        }
        strict::check::<T>(&value).map_err(|error| Problem::invalid(error.to_string()))?;
        Ok(Self(body))
    }
}

/// What of a JSON value has a NUL character, which no text of a database can have.
fn nul_in(value: &Value) -> Option<&str> {
    fn within<'a>(name: &'a str, value: &'a Value) -> Option<&'a str> {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
            Value::String(text) => text.contains('\0').then_some(name),
            Value::Array(items) => items.iter().find_map(|item| within(name, item)),
            Value::Object(fields) => fields.iter().find_map(|(name, value)| within(name, value)),
        }
    }
    within("the body", value)
}

fn no_nul(name: &str) -> String {
    format!("{name} has a NUL character")
}

/// A body as it is, up to the bound of bodies.
async fn whole(request: Request, state: &AdminState) -> Result<(Parts, Bytes)> {
    let (parts, body) = request.into_parts();
    let read = Request::from_parts(parts.clone(), body);
    match Bytes::from_request(read, state).await {
        Ok(bytes) => Ok((parts, bytes)),
        Err(rejection) if is_late(&rejection) => {
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, Late.to_string()))
        }
        Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
    }
}

/// Whether a body was waited for no longer.
fn is_late(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Late>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn body_problem(rejection: &JsonRejection) -> Problem {
    // What was read is not said again beyond the parser's own short text.
    Problem::new(rejection.status(), rejection.body_text())
}

/// A JSON body, or nothing.
pub struct MaybeBody<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<AdminState> for MaybeBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self> {
        let (parts, bytes) = whole(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        let again = Request::from_parts(parts, axum::body::Body::from(bytes));
        let Body(body) = Body::from_request(again, state).await?;
        Ok(Self(body))
    }
}

/// No body: `{}` is none, anything else is more than was asked for. What does something has its whole request first.
pub struct NoBody;

impl FromRequest<AdminState> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self> {
        let (_, bytes) = whole(request, state).await?;
        let nothing = serde_json::Value::Object(serde_json::Map::new());
        match serde_json::from_slice::<serde_json::Value>(&bytes) {
            _ if bytes.is_empty() => Ok(Self),
            Ok(body) if body == nothing => Ok(Self),
            _ => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "this request takes no body",
            )),
        }
    }
}

/// A query.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<AdminState> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self> {
        let query = parts.uri.query().unwrap_or_default();
        if let Some(nul) = query.split('&').find(|one| one.contains(NUL)) {
            let name = nul.split('=').next().unwrap_or_default();
            return Err(Problem::new(StatusCode::BAD_REQUEST, no_nul(name)));
        }
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Problem::new(StatusCode::BAD_REQUEST, rejection.body_text())),
        }
    }
}

/// What a path names. One that cannot be a name is the name of nothing.
pub struct Named<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<AdminState> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self> {
        if parts.uri.path().contains(NUL) {
            return Err(Problem::invalid(no_nul("the path")));
        }
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(rejection) => Err(Problem::missing(rejection.body_text())),
        }
    }
}

/// `If-Match`: the version that the client saw.
pub struct IfMatch(Option<String>);

impl IfMatch {
    /// Whether the client may go on over what there is.
    ///
    /// # Errors
    /// 412: it saw another version, or one where there is none.
    pub fn check(&self, current: Option<&str>) -> Result<()> {
        match (self.0.as_deref(), current) {
            (None, _) => Ok(()),
            (Some("*"), Some(_)) => Ok(()),
            (Some(seen), Some(current)) if seen.split(',').any(|tag| tag.trim() == current) => {
                Ok(())
            }
            (Some(_), _) => Err(Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "it was changed since it was read",
            )),
        }
    }
}

impl FromRequestParts<AdminState> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AdminState) -> Result<Self> {
        let value = parts.headers.get(header::IF_MATCH);
        Ok(Self(match value.map(|value| value.to_str()) {
            None => None,
            Some(Ok(text)) => Some(text.to_owned()),
            Some(Err(_)) => Some(String::new()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_uuid_in_and_out() {
        let text = "0123e567-e89b-42d3-a456-426614174000";
        assert_eq!(RequestId::parse(text).unwrap().to_string(), text);
        assert_eq!(RequestId::parse("x"), None);
        assert_eq!(RequestId::parse(&"a".repeat(33)), None);
        assert_ne!(RequestId::drawn(), RequestId::drawn());
    }
}
