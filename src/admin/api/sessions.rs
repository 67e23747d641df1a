//! Firms and sessions: who may trade, whether they are connected, and the secrets they log on with.

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use trading_engine_protocol::types::{
    FirmId, Generation, KillScope, Reason, Roles, SessionId, SessionProtocol,
};
use utoipa::ToSchema;
use zerocopy::IntoBytes as _;

use super::extract::{Body, IfMatch, MaybeBody, Named, NoBody, Operator, Params, Support, Viewer};
use super::problem::{Problem, Result, accepted};
use super::risk::Killed;
use super::{Api, Done, Page, Paging, Timestamp, tag, tagged};
use crate::admin::desk::{Ask, Said, Who};
use crate::admin::mirror::{Mirror, Reference, Session, protocol_of};
use crate::engine::command::{
    DefineFirm, DefineSession, KillSwitch, SessionDisconnected, SessionMessage, name, name_text,
};
use crate::gateway::keystore::{Fresh, Rotated, decode_hex, encode_hex};

/// How often a disconnect is asked for anew, because the session had logged on again.
const DISCONNECTS_MAX: u32 = 3;

/// A member firm.
#[derive(Serialize, ToSchema)]
pub struct FirmView {
    /// Number.
    id: u32,
    /// Short name.
    name: String,
    /// A kill switch for it is on.
    blocked: bool,
}

/// What a firm is. It cannot be changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FirmDefinition {
    /// Short name.
    #[schema(min_length = 1, max_length = 24, pattern = "^[!-~]{1,24}$")]
    name: String,
}

fn firm_view(firm: &DefineFirm, reference: &Reference) -> FirmView {
    FirmView {
        id: firm.firm.0,
        name: name_text(&firm.name).to_owned(),
        blocked: reference.is_blocked(KillScope::Firm, firm.firm.0),
    }
}

/// All firms.
#[utoipa::path(get, path = "/firms", tag = "sessions", params(Paging), security(("bearer" = [])),
    operation_id = "list_firms",
    responses((status = 200, description = "Some of them.", body = Page<FirmView>)))]
pub async fn firms(caller: Viewer, Params(paging): Params<Paging>) -> Result<Json<Page<FirmView>>> {
    let page = caller.api.mirror.read(|reference| {
        let all = reference.firms.iter();
        paging.page(all.map(|(id, firm)| (*id, firm_view(firm, reference))))
    })?;
    Ok(Json(page))
}

/// One firm.
#[utoipa::path(get, path = "/firms/{id}", tag = "sessions", security(("bearer" = [])),
    operation_id = "show_firm",
    params(("id" = u32, Path, description = "Number.", minimum = 1)),
    responses((status = 200, description = "It.", body = FirmView)))]
pub async fn firm(caller: Viewer, Named(id): Named<u32>) -> Result<Json<FirmView>> {
    let found = caller.api.mirror.read(|reference| {
        let firm = reference.firms.get(&id)?;
        Some(firm_view(firm, reference))
    });
    found
        .map(Json)
        .ok_or_else(|| Problem::missing(format!("no firm {id}")))
}

/// Define a firm.
///
/// Saying the same again is fine, saying something else is refused.
#[utoipa::path(put, path = "/firms/{id}", tag = "sessions", security(("bearer" = [])),
    operation_id = "define_firm", request_body = FirmDefinition,
    params(("id" = u32, Path, description = "Number.", minimum = 1)),
    responses((status = 200, description = "It is defined so.", body = Done)))]
pub async fn define_firm(
    caller: Operator,
    Named(id): Named<u32>,
    Body(definition): Body<FirmDefinition>,
) -> Result<Json<Done>> {
    let firm = DefineFirm {
        firm: FirmId(id),
        name: name(&definition.name).ok_or_else(|| no_name("a name"))?,
        ..DefineFirm::default()
    };
    let asks = [Ask::new(firm)];
    let desk = &caller.api.desk;
    let outcome = desk.perform(&caller.who, u64::from(id), &asks);
    Ok(Json(Done::of(&accepted(outcome.await?)?)))
}

fn no_name(what: &str) -> Problem {
    Problem::invalid(format!(
        "{what} has 1 to 24 printable characters without spaces"
    ))
}

/// Which door a session comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// FIX 4.4.
    Fix,
    /// Binary (SBE).
    Binary,
}

impl From<SessionProtocol> for Protocol {
    fn from(protocol: SessionProtocol) -> Self {
        match protocol {
            SessionProtocol::Fix => Self::Fix,
            SessionProtocol::Binary => Self::Binary,
        }
    }
}

impl From<Protocol> for SessionProtocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Fix => Self::Fix,
            Protocol::Binary => Self::Binary,
        }
    }
}

/// What a session may do beyond its own orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionRole {
    /// Cancel for its whole firm, stop and release its sessions.
    Risk,
}

/// What a session is. With a second definition public key, roles and user may be others.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionDefinition {
    /// Its firm.
    #[schema(minimum = 1)]
    firm: u32,
    /// Which door.
    protocol: Protocol,
    /// FIX: the client's SenderCompID(49). Binary: its key id.
    #[schema(min_length = 1, max_length = 24, pattern = "^[!-~]{1,24}$")]
    name: String,
    /// What it may do beyond its own orders.
    #[serde(default)]
    #[schema(max_items = 4)]
    roles: Vec<SessionRole>,
    /// Whose it is, a number of the firm's own; 0 = nobody's.
    #[serde(default)]
    user: u32,
    /// Numbers restart at 1 with the day roll.
    #[serde(default)]
    reset_at_day_roll: bool,
    /// Binary with Ed25519: the public key, 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    public_key: Option<String>,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub struct SessionView {
    /// Number.
    id: u32,
    /// Whether a connection is logged on.
    connected: bool,
    /// Since when it is, or is not, if that was in this life of the venue.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// Why its last connection ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_because: Option<String>,
    /// Its newest connection.
    generation: u32,
    /// Its numbering run.
    epoch: u32,
    /// A kill switch stops it: its own, its user's, its firm's or the venue's.
    blocked: bool,
    /// Numbered messages it was told since the venue started.
    messages: u64,
    /// Orders accepted since the venue started, quotes not among them.
    orders: u64,
    /// Fills since the venue started.
    fills: u64,
    /// Bytes for it that its connection has not taken yet: how far it lags. Far behind, it is ended.
    unsent_bytes: u64,
    /// As defined last.
    definition: SessionDefinition,
}

fn view(session: &Session, reference: &Reference, mirror: &Mirror) -> SessionView {
    let d = &session.definition;
    let told = mirror.told(d.session.0);
    let count = |of: fn(&crate::admin::mirror::Told) -> &AtomicU64| {
        told.map_or(0, |told| of(told).load(Ordering::Relaxed))
    };
    let closed = session.closed;
    let roles = if Roles(d.roles).has(Roles::RISK) {
        vec![SessionRole::Risk]
    } else {
        Vec::new()
    };
    let user = |block: &crate::admin::mirror::Block| {
        block.target == d.user && block.firm == d.firm.0 && d.user != 0
    };
    let blocked = reference.blocks.iter().any(|block| match block.scope {
        KillScope::Session => block.target == d.session.0,
        KillScope::Firm => block.target == d.firm.0,
        KillScope::User => user(block),
        KillScope::Venue => true,
        KillScope::Instrument => false,
    });
    SessionView {
        id: d.session.0,
        connected: session.connected,
        since: (session.since.0 != 0).then_some(Timestamp(session.since)),
        closed_because: (!session.connected && closed != Reason::None)
            .then(|| closed.text().to_owned()),
        generation: session.generation,
        epoch: session.epoch,
        blocked,
        messages: count(|told| &told.messages),
        orders: count(|told| &told.orders),
        fills: count(|told| &told.fills),
        unsent_bytes: count(|told| &told.unsent_bytes),
        definition: SessionDefinition {
            firm: d.firm.0,
            protocol: protocol_of(d).into(),
            name: name_text(&d.name).to_owned(),
            roles,
            user: d.user,
            reset_at_day_roll: d.reset_at_day_roll == 1,
            public_key: (d.public_key != [0; 32]).then(|| encode_hex(&d.public_key)),
        },
    }
}

/// All sessions, connected or not.
#[utoipa::path(get, path = "/sessions", tag = "sessions", params(Paging),
    operation_id = "list_sessions", security(("bearer" = [])),
    responses((status = 200, description = "Some of them.", body = Page<SessionView>)))]
pub async fn list(
    caller: Viewer,
    Params(paging): Params<Paging>,
) -> Result<Json<Page<SessionView>>> {
    let mirror = &caller.api.mirror;
    let page = mirror.read(|reference| {
        let all = reference.sessions.iter();
        paging.page(all.map(|(id, one)| (*id, view(one, reference, mirror))))
    })?;
    Ok(Json(page))
}

/// One session.
#[utoipa::path(get, path = "/sessions/{id}", tag = "sessions", operation_id = "show_session",
    security(("bearer" = [])),
    params(("id" = u32, Path, description = "Number.", minimum = 1)),
    responses((status = 200, description = "It; ETag is the version of its definition.",
        body = SessionView, headers(("ETag" = String)))))]
pub async fn show(caller: Viewer, Named(id): Named<u32>) -> Result<Response> {
    let mirror = &caller.api.mirror;
    let found = mirror.read(|reference| {
        let session = reference.sessions.get(&id)?;
        let tag = tag(session.definition.as_bytes());
        Some(tagged(tag, view(session, reference, mirror)))
    });
    found.ok_or_else(|| no_session(id))
}

fn no_session(id: u32) -> Problem {
    Problem::missing(format!("no session {id}"))
}

fn session_of(api: &Api, id: u32) -> Result<Session> {
    let found = api
        .mirror
        .read(|reference| reference.sessions.get(&id).copied());
    found.ok_or_else(|| no_session(id))
}

/// Define a session, or change its public key, roles and user.
///
/// A new one can log on as soon as it has a secret: its public key here, or one drawn by
/// `/sessions/{id}/keys`.
#[utoipa::path(put, path = "/sessions/{id}", tag = "sessions", operation_id = "define_session",
    security(("bearer" = [])), request_body = SessionDefinition,
    params(("id" = u32, Path, description = "Number.", minimum = 1),
        ("If-Match" = Option<String>, Header, description = "Version that the change is made to.")),
    responses((status = 200, description = "It is defined so.", body = Done)))]
pub async fn define(
    caller: Operator,
    Named(id): Named<u32>,
    seen: IfMatch,
    Body(definition): Body<SessionDefinition>,
) -> Result<Json<Done>> {
    let api = &caller.api;
    let session = DefineSession {
        session: SessionId(id),
        firm: FirmId(definition.firm),
        protocol: SessionProtocol::from(definition.protocol).as_u8(),
        reset_at_day_roll: u8::from(definition.reset_at_day_roll),
        roles: if definition.roles.is_empty() {
            0
        } else {
            Roles::RISK.0
        },
        user: definition.user,
        name: name(&definition.name).ok_or_else(|| no_name("a name"))?,
        public_key: public_key(definition.protocol, definition.public_key.as_deref())?,
        ..DefineSession::default()
    };
    let _turn = api.desk.edit().await;
    let version = api.mirror.read(|reference| {
        let known = reference.sessions.get(&id);
        known.map(|session| tag(session.definition.as_bytes()))
    });
    seen.check(version.as_deref())?;
    let asks = [Ask::new(session)];
    let outcome = api.desk.perform(&caller.who, u64::from(id), &asks);
    Ok(Json(Done::of(&accepted(outcome.await?)?)))
}

fn public_key(protocol: Protocol, text: Option<&str>) -> Result<[u8; 32]> {
    let Some(text) = text else {
        return Ok([0; 32]);
    };
    if protocol == Protocol::Fix {
        return Err(Problem::invalid("FIX sessions have no public key"));
    }
    decode_hex(text)
        .filter(|key| *key != [0; 32])
        .ok_or_else(|| Problem::invalid("a public key has 64 hex digits, not all of them 0"))
}

/// End the connection of a session.
///
/// It is told by a Logout. The client may log on again at once, if nothing else stops it. What it asked for on
/// a lost connection happens to its orders.
#[utoipa::path(post, path = "/sessions/{id}/disconnect", tag = "sessions",
    security(("bearer" = [])),
    params(("id" = u32, Path, description = "Number.", minimum = 1)),
    responses((status = 200, description = "Its connection is closed.", body = Done)))]
pub async fn disconnect(caller: Support, Named(id): Named<u32>, _: NoBody) -> Result<Json<Done>> {
    let api = &caller.api;
    let mut session = session_of(api, id)?;
    for _ in 0..DISCONNECTS_MAX {
        let asks = end_of_connection(&session);
        let outcome = api.desk.perform(&caller.who, u64::from(id), &asks).await?;
        if outcome.refusal() != Some(Reason::StaleGeneration) {
            return Ok(Json(Done::of(&accepted(outcome)?)));
        }
        // The mirror follows the log at a distance, and named the connection before this one, or none.
        // With the log's answer it has what came before the question.
        let before = session.generation;
        session = session_of(api, id)?;
        if !session.connected || session.generation == before {
            break;
        }
    }
    Err(Problem::conflict("it is not connected"))
}

/// Asks for the end of the connection that a session has.
fn end_of_connection(session: &Session) -> Vec<Ask> {
    let (id, generation) = (session.definition.session, Generation(session.generation));
    let mut asks = Vec::new();
    if protocol_of(&session.definition) == SessionProtocol::Fix {
        // Its Logout has a number, which is the core's to give.
        let logout = SessionMessage {
            outbound_kind: b'5',
            token: SessionMessage::LOGOUT_BY_VENUE,
            ..SessionMessage::default()
        };
        asks.push(Ask::of_session(logout, id, generation));
    }
    let gone = SessionDisconnected {
        reason: Reason::DisconnectedByVenue.code(),
        ..SessionDisconnected::default()
    };
    asks.push(Ask::of_session(gone, id, generation));
    asks
}

/// Cancel every order and quote of a session.
///
/// It may enter new ones at once: to stop it, use a kill switch.
#[utoipa::path(post, path = "/sessions/{id}/cancel-orders", tag = "sessions",
    security(("bearer" = [])),
    params(("id" = u32, Path, description = "Number.", minimum = 1)),
    responses((status = 200, description = "They are canceled.", body = Killed)))]
pub async fn cancel_orders(
    caller: Support,
    Named(id): Named<u32>,
    _: NoBody,
) -> Result<Json<Killed>> {
    let api = &caller.api;
    session_of(api, id)?;
    // Whatever anybody does to its kill switch meanwhile stays as it is.
    let asks = [Ask::new(KillSwitch {
        target: id,
        scope: KillScope::Session.as_u8(),
        cancels_only: 1,
        ..KillSwitch::default()
    })];
    let outcome = api.desk.perform(&caller.who, u64::from(id), &asks);
    let outcome = accepted(outcome.await?)?;
    Ok(Json(Killed::of(&outcome)))
}

/// How a session's key is to be changed.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// FIX: Username(553); absent: what it is, or the CompID in lower case.
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-~]{1,64}$")]
    username: Option<String>,
    /// Binary with Ed25519: the new public key, 64 hex digits. Nothing is drawn then.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    public_key: Option<String>,
}

/// A session's new key. A secret in it is shown this once.
#[derive(Serialize, ToSchema)]
pub struct NewKey {
    /// Position in the log of the note of it.
    sequence: u64,
    /// Which kind of key it is.
    kind: KeyKind,
    /// FIX: SenderCompID(49). Binary: the key id.
    name: String,
    /// FIX: Username(553).
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// FIX: Password(554). Binary: the HMAC secret, 64 hex digits. Absent for a public key.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// Kinds of keys.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// A FIX password.
    Password,
    /// A binary secret.
    Hmac,
    /// A binary public key.
    Ed25519,
}

/// Change the key of a session.
///
/// A password or HMAC secret is drawn by the venue and shown once; the old one is wrong from then on, in
/// this life and the next. A public key is stated. A connection that is logged on stays: disconnect it
/// if it should not.
#[utoipa::path(post, path = "/sessions/{id}/keys", tag = "sessions", security(("bearer" = [])),
    request_body = KeyChange,
    params(("id" = u32, Path, description = "Number.", minimum = 1)),
    responses((status = 200, description = "The new key.", body = NewKey)))]
pub async fn rotate_key(
    caller: Operator,
    Named(id): Named<u32>,
    MaybeBody(change): MaybeBody<KeyChange>,
) -> Result<Json<NewKey>> {
    let api = &caller.api;
    // Nothing of the session's definition changes meanwhile.
    let turn = api.desk.edit().await;
    let session = session_of(api, id)?.definition;
    let protocol = protocol_of(&session);
    let name = name_text(&session.name).to_owned();
    if let Some(stated) = &change.public_key {
        let public_key = public_key(protocol.into(), Some(stated))?;
        let asks = [Ask::new(DefineSession {
            public_key,
            ..session
        })];
        let outcome = api.desk.perform(&caller.who, u64::from(id), &asks);
        let outcome = accepted(outcome.await?)?;
        return Ok(Json(NewKey {
            sequence: outcome.sequence.0,
            kind: KeyKind::Ed25519,
            name,
            username: None,
            secret: None,
        }));
    }
    if change.username.is_some() && protocol == SessionProtocol::Binary {
        return Err(Problem::conflict("binary sessions have no username"));
    }
    signs_with_no_key(&session)?;
    let (key, username) = (name.clone(), change.username);
    let fresh = api.turns.slowly(move || match protocol {
        SessionProtocol::Binary => Fresh::hmac(key),
        SessionProtocol::Fix => Fresh::password(key, username),
    });
    let fresh = fresh.await?.map_err(|error| unchanged(id, &error))?;
    drop(turn);
    // Once it is noted it is done or noted as failed, whether or not the client waits for it.
    let task = tokio::spawn(rotate(Arc::clone(api), caller.who, id, fresh));
    let (sequence, rotated) = task.await.map_err(|error| unchanged(id, &error))??;
    let (kind, username, secret) = match rotated {
        Rotated::Hmac(secret) => (KeyKind::Hmac, None, encode_hex(&secret)),
        Rotated::Password(login) => (KeyKind::Password, Some(login.username), login.password),
    };
    Ok(Json(NewKey {
        sequence,
        kind,
        name,
        username,
        secret: Some(secret),
    }))
}

/// Notes that a key is changed, and changes it; one that cannot be is noted, too.
async fn rotate(api: Arc<Api>, who: Who, id: u32, fresh: Fresh) -> Result<(u64, Rotated)> {
    let _turn = api.desk.edit().await;
    signs_with_no_key(&session_of(&api, id)?.definition)?;
    let sequence = api.desk.note_key(&who, id, false).await?.sequence.0;
    let keystore = api.keystore.clone();
    let rotated = tokio::task::spawn_blocking(move || keystore.rotate(fresh)).await;
    let problem = match rotated {
        Ok(Ok(rotated)) => return Ok((sequence, rotated)),
        Ok(Err(error)) => unchanged(id, &error),
        Err(error) => unchanged(id, &error),
    };
    api.desk.note_key(&who, id, true).await?;
    Err(problem)
}

/// The venue draws no secret for a session that signs.
fn signs_with_no_key(session: &DefineSession) -> Result<()> {
    if session.public_key == [0; 32] {
        return Ok(());
    }
    Err(Problem::conflict(
        "it signs with its own key: state the new public key",
    ))
}

fn unchanged(session: u32, error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, session, "a key could not be changed");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the key could not be changed; the old one is still right",
    )
}

impl Killed {
    fn of(outcome: &crate::admin::desk::Outcome) -> Self {
        let canceled = outcome.said.iter().map(|said| match said {
            Said::Killed(done) => done.canceled,
            _ => 0,
        });
        Self::new(outcome, canceled.sum())
    }
}
