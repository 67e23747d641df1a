//! The HTTP admin API, `/api/v1`: reference data, books and the venue's state to read, and everything the
//! venue's people do, each write a batch of audited commands.
//!
//! * `login`: tokens; `users`: who may have one
//! * `instruments`, `phases`, `sessions`, `accounts`, `risk`, `venue`: what there is, and changes of it
//! * `public`: instruments and books for everybody, outside of `/api/v1`
//! * `market`, `stream`: books, trades and statistics, asked for and as they change; `history`: what was
//! * `extract`, `strict`: who asks, and what; `problem`: what goes wrong; `amount`: numbers as text
//! * `requests`: counts and times by route; `docs`: the OpenAPI document and a page that shows it
//!
//! Handlers answer from the mirror, the books and the log's own word; none holds anything that the hot
//! threads wait for.

#![allow(
    unused_qualifications,
    reason = "utoipa's macros write whole paths of what is imported"
)]

mod accounts;
mod amount;
mod docs;
mod extract;
mod history;
mod instruments;
mod login;
mod market;
mod phases;
mod problem;
mod public;
mod requests;
mod risk;
mod sessions;
mod stream;
mod strict;
mod users;
mod venue;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use amount::{Amount, Timestamp};
pub use extract::{Peer, RequestId};
pub use phases::Phase;
pub use problem::{MEDIA_TYPE, Problem};
pub use requests::{CLASSES, RequestMetrics, RouteCounts};
pub use stream::Streams;

use super::AdminState;
pub use super::auth::Role;
use super::auth::Tokens;
use super::desk::{Desk, Outcome};
use super::known_users::KnownUsers;
use super::mirror::Mirror;
use super::throttle::Throttle;
use crate::clock::Clock;
use crate::gateway::keystore::LiveKeystore;
use crate::market_data::feed::MarketData;
use crate::store::{Store, StoreError};
use crate::telemetry::Counts;

/// Largest request body.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Passwords that are checked at once; the others wait.
const PASSWORD_CHECKS: usize = 2;
/// Logins that may wait for that.
const LOGINS_WAITING_MAX: usize = 16;

/// What the API is made of.
pub struct Api {
    /// Time.
    pub clock: Clock,
    /// Reference data.
    pub mirror: Mirror,
    /// Where changes are asked for.
    pub desk: Desk,
    /// Secrets of sessions.
    pub keystore: LiveKeystore,
    /// Books, trades and statistics.
    pub market_data: MarketData,
    /// Tokens.
    pub tokens: Tokens,
    /// History.
    pub store: Store,
    /// People.
    pub people: Arc<KnownUsers>,
    /// Bounds of requests and logins.
    pub throttle: Throttle,
    /// The phase that the schedule has now, if there is a schedule.
    pub scheduled_phase: Box<dyn Fn() -> Option<Phase> + Send + Sync>,
    /// How long reports took since the start, by stage.
    pub stages: Box<dyn Fn() -> [Counts; 4] + Send + Sync>,
    /// The last durable Sequence.
    pub durable_sequence: Box<dyn Fn() -> u64 + Send + Sync>,
    /// The last Sequence that history has whole.
    pub history_sequence: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Who follows.
    pub streams: Arc<Streams>,
    /// Turns of password checks.
    pub turns: Turns,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

/// Seconds since 1970.
fn auth_seconds(api: &Api) -> u64 {
    super::auth::seconds(api.clock.utc_now())
}

/// Who may hash a password now, and how many may wait for it.
pub struct Turns {
    at_work: tokio::sync::Semaphore,
    waiting: tokio::sync::Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            at_work: tokio::sync::Semaphore::new(PASSWORD_CHECKS),
            waiting: tokio::sync::Semaphore::new(LOGINS_WAITING_MAX),
        }
    }
}

impl Turns {
    /// Does something slow with a password beside the threads that serve.
    async fn slowly<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> problem::Result<T> {
        let busy = || Problem::too_many("too many passwords are being checked", 1);
        let _place = self.waiting.try_acquire().map_err(|_| busy())?;
        let _turn = self.at_work.acquire().await.map_err(|_| busy())?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "it could not be done"))
    }
}

/// The database cannot be asked. Why is for the log, not for strangers.
fn unavailable(error: &StoreError) -> Problem {
    tracing::error!(%error, "the database cannot be asked");
    Problem::unavailable("the database cannot be asked now")
}

/// What a change answers: where in the log it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Done {
    /// Position in the log of the note that begins the change; its commands follow.
    sequence: u64,
    /// When it was sequenced.
    sequenced_at: Timestamp,
}

impl Done {
    fn of(outcome: &Outcome) -> Self {
        Self {
            sequence: outcome.sequence.0,
            sequenced_at: Timestamp(outcome.sequenced_at),
        }
    }
}

/// Some of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T: ToSchema> {
    /// In order.
    items: Vec<T>,
    /// `cursor` of the next ones; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Which of a list.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// `next` of the page before.
    #[param(max_length = 64, pattern = "^[0-9]{1,10}$")]
    cursor: Option<String>,
    /// Items at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

impl Paging {
    /// Items behind the cursor, of a list that is ascending by id.
    fn page<T: ToSchema>(&self, items: impl Iterator<Item = (u32, T)>) -> problem::Result<Page<T>> {
        let wrong = |what| Problem::new(StatusCode::BAD_REQUEST, what);
        // An id may be 0.
        let after: Option<u32> = match &self.cursor {
            None => None,
            Some(text) => {
                let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let number = is_number.then(|| text.parse().ok()).flatten();
                Some(number.ok_or_else(|| wrong("cursor is the `next` of a page"))?)
            }
        };
        let limit = self.limit.unwrap_or(1_000);
        if !(1..=1_000).contains(&limit) {
            return Err(wrong("limit is 1 to 1000"));
        }
        let is_behind = |id: u32| after.is_none_or(|after| id > after);
        let mut behind = items.filter(|(id, _)| is_behind(*id)).peekable();
        let (mut last, mut page) = (0, Vec::new());
        while page.len() < limit as usize
            && let Some((id, item)) = behind.next()
        {
            last = id;
            page.push(item);
        }
        let next = behind.peek().is_some().then(|| last.to_string());
        Ok(Page { items: page, next })
    }
}

/// The version of something, for `ETag` and `If-Match`.
fn tag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

/// An answer with the version of what it shows.
fn tagged<T: Serialize>(tag: String, body: T) -> Response {
    let headers = [(axum::http::header::ETAG, tag)];
    (headers, axum::Json(body)).into_response()
}

/// Everything under `/api/v1`, and the document of it.
fn described() -> (Router<AdminState>, utoipa::openapi::OpenApi) {
    let api = OpenApiRouter::with_openapi(docs::base())
        .routes(routes!(login::login))
        .routes(routes!(login::refresh))
        .routes(routes!(instruments::list))
        .routes(routes!(instruments::show, instruments::define))
        .routes(routes!(market::book))
        .routes(routes!(market::trades))
        .routes(routes!(market::statistics))
        .routes(routes!(stream::stream))
        .routes(routes!(instruments::set_reference))
        .routes(routes!(instruments::tick_tables))
        .routes(routes!(instruments::define_tick_table))
        .routes(routes!(phases::halt))
        .routes(routes!(phases::resume))
        .routes(routes!(phases::set))
        .routes(routes!(phases::set_all))
        .routes(routes!(sessions::firms))
        .routes(routes!(sessions::firm, sessions::define_firm))
        .routes(routes!(accounts::list))
        .routes(routes!(accounts::show, accounts::set))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::show, sessions::define))
        .routes(routes!(sessions::disconnect))
        .routes(routes!(sessions::cancel_orders))
        .routes(routes!(sessions::rotate_key))
        .routes(routes!(risk::limits, risk::set_limits))
        .routes(routes!(risk::kill_switches))
        .routes(routes!(risk::kill))
        .routes(routes!(history::orders))
        .routes(routes!(history::order))
        .routes(routes!(history::executions))
        .routes(routes!(history::trades))
        .routes(routes!(history::trade))
        .routes(routes!(history::bust))
        .routes(routes!(history::correct))
        .routes(routes!(history::positions))
        .routes(routes!(history::quotes))
        .routes(routes!(history::audit))
        .routes(routes!(history::events))
        .routes(routes!(venue::show))
        .routes(routes!(venue::roll_day))
        .routes(routes!(users::list))
        .routes(routes!(users::put));
    let (router, mut document) = OpenApiRouter::new()
        .nest("/api/v1", api)
        .routes(routes!(public::book))
        .routes(routes!(public::instruments))
        .split_for_parts();
    docs::complete(&mut document);
    (router, document)
}

/// The routes of the API, its document and the page that shows it.
pub fn routes() -> Router<AdminState> {
    let (router, document) = described();
    router
        .merge(docs::routes(&document))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .method_not_allowed_fallback(not_that_method)
}

async fn not_that_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this cannot be asked of it")
}
