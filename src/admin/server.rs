//! Routes. `PORT`: `GET /health`, `/health/live`, `/health/ready`, `/health/db`, `/health/redis`,
//! and the admin API with what everybody may ask (`api`). `METRICS_PORT`: `GET /metrics`,
//! `/debug/pprof/heap`, `/debug/pprof/profile`.
//!
//! Strangers may connect here too: each port has a bounded number of connections (`places`), and each
//! connection, and each request, bounded times. Every request gets an id, every answer headers that
//! keep browsers from guessing and caching.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::api::{self, Peer, Problem, RequestId};
use super::console;
use super::health::{self, Ping};
use super::places::{Place, Places, RoomCounts};
use super::proxies::TrustedProxies;
use super::{AdminState, View};
use crate::telemetry::traces;

/// Time to send a request's header, from the accept or from the answer before.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// The same for its body. Until it is there, the request's connection is idle.
const BODY_TIME: Duration = Duration::from_secs(5);
/// Time a connection has in all, so that one that does not read its answer goes, too. At its end
/// a request that is being answered has [`HEADER_TIME`] more.
const CONNECTION_TIME: Duration = Duration::from_secs(300);
/// Time a request has to be answered, its body included. A change of the log is given up before.
const REQUEST_TIME: Duration = Duration::from_secs(15);
/// The same for a profile, which is taken for as long as its client says, a minute at most.
const PROFILE_TIME: Duration = Duration::from_secs(90);
/// What a browser may do with an answer that says nothing else: nothing.
const POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What the paths of profiles begin with.
const PROFILES: &str = "/debug/pprof/";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Pause after an accept that failed: the system is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves both ports until the runtime ends.
pub async fn serve(http: TcpListener, metrics: TcpListener, state: AdminState) {
    let main = Router::new()
        .route("/health", get(health))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/db", get(database))
        .route("/health/redis", get(redis))
        .merge(api::routes())
        .merge(console::routes())
        .layer(middleware::from_fn(traces::trace))
        .fallback(missing)
        .layer(middleware::from_fn_with_state(state.clone(), around))
        .with_state(state.clone());
    let room = state.room.clone();
    let proxies = state.about.trusted_proxies.clone();
    let side = Router::new()
        .route("/metrics", get(scrape))
        .with_state(state.clone())
        .merge(state.profiles.clone().routes())
        .fallback(missing)
        .layer(middleware::from_fn_with_state(state, around));
    tokio::join!(
        listen(http, main, room.clone(), proxies.clone()),
        listen(metrics, side, room, proxies)
    );
}

async fn listen(listener: TcpListener, routes: Router, room: RoomCounts, proxies: TrustedProxies) {
    let places = Places::new(room);
    loop {
        match listener.accept().await {
            Ok((socket, from)) => {
                let Some((place, displaced)) = places.take(from.ip()) else {
                    continue;
                };
                let (routes, proxies) = (routes.clone(), proxies.clone());
                tokio::spawn(converse(socket, from, routes, proxies, place));
                if displaced {
                    // Who gave way closes first, so that there are never many more than places.
                    tokio::task::yield_now().await;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "accept failed on a side port");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection. What goes wrong on it is its client's business.
async fn converse(
    socket: TcpStream,
    from: SocketAddr,
    routes: Router,
    proxies: TrustedProxies,
    place: Place,
) {
    let routes = TowerToHyperService::new(routes);
    let here = place.clone();
    let routes = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        let client = proxies.client(from.ip(), request.headers());
        request.extensions_mut().insert(Peer(client));
        request.extensions_mut().insert(ConnectInfo(from));
        let work = here.begin().filter(|_| here.answers(request.uri().path()));
        let answer = work.map(|work| {
            let request = request.map(|body| work.after(Body::new(body), BODY_TIME));
            (work, routes.call(request))
        });
        async move {
            let Some((work, answer)) = answer else {
                return Ok(crowded());
            };
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| work.until(body)))
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .serve_connection(TokioIo::new(socket), routes)
    );
    let in_time = tokio::select! {
        biased;
        // An answer that is made may still be on its way to somebody slow: who comes is worth more.
        () = place.lost() => return,
        in_time = timeout(CONNECTION_TIME, connection.as_mut()) => in_time.is_ok(),
    };
    if !in_time {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(HEADER_TIME, connection).await;
    }
}

/// What a request is told on a place that is only for those who watch.
fn crowded() -> Response {
    let why = "too many connections are open; this one answers /health only";
    let mut response = Problem::unavailable(why).into_response();
    let closes = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, closes);
    response
}

/// Around every handler: the request's id, its time, its counts, and headers of the answer.
async fn around(State(state): State<AdminState>, mut request: Request, next: Next) -> Response {
    let stated = request.headers().get(&REQUEST_ID);
    let stated = stated.and_then(|value| RequestId::parse(value.to_str().ok()?));
    let id = stated.unwrap_or_else(RequestId::drawn);
    request.extensions_mut().insert(id);
    let template = request.extensions().get::<MatchedPath>();
    let template = template.map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let method = method_of(request.method());
    let counted = state.requests.of(method, &template).begin();
    let most = if template.starts_with(PROFILES) {
        PROFILE_TIME
    } else {
        REQUEST_TIME
    };
    let answer = timeout(most, next.run(request)).await;
    let mut response =
        answer.unwrap_or_else(|_| problem(StatusCode::GATEWAY_TIMEOUT, "it took too long"));
    counted.answered(response.status().as_u16());
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        state.requests.rate_limited.fetch_add(1, Ordering::Relaxed);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers
            .entry(name)
            .or_insert_with(|| HeaderValue::from_static(value));
    }
    if response.status().is_server_error() {
        tracing::warn!(method, template, %id, status = response.status().as_u16(), "a request failed");
    }
    response
}

/// Methods by name; others are one, so that strangers cannot make counters.
fn method_of(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "PUT" => "PUT",
        "POST" => "POST",
        "HEAD" => "HEAD",
        _ => "other",
    }
}

fn problem(status: StatusCode, detail: &str) -> Response {
    Problem::new(status, detail).into_response()
}

async fn missing() -> Response {
    problem(StatusCode::NOT_FOUND, "there is nothing here")
}

/// Nobody knows yet.
struct Starting;

impl IntoResponse for Starting {
    fn into_response(self) -> Response {
        problem(StatusCode::SERVICE_UNAVAILABLE, "starting")
    }
}

fn venue(state: &AdminState) -> Result<&View, Starting> {
    state.venue.get().ok_or(Starting)
}

async fn health(State(state): State<AdminState>) -> Response {
    let mut health = state.health();
    if let Some(view) = state.venue.get() {
        let (db, redis) = tokio::join!(view.database.ask(), view.redis.ask());
        health.dependencies = Some(health::Dependencies { db, redis });
    }
    let status = if health.status == "failed" {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, Json(health)).into_response()
}

async fn database(State(state): State<AdminState>) -> Response {
    dependency(state.venue.get().map(|view| &view.database)).await
}

async fn redis(State(state): State<AdminState>) -> Response {
    dependency(state.venue.get().map(|view| &view.redis)).await
}

/// One that is down is no reason to send clients elsewhere, so only its own page says 503.
async fn dependency(ping: Option<&Ping>) -> Response {
    let Some(ping) = ping else {
        return Starting.into_response();
    };
    let dependency = ping.ask().await;
    let status = if dependency.is_down() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, Json(dependency)).into_response()
}

async fn live() -> Response {
    Json(json!({"status": "live"})).into_response()
}

async fn ready(State(state): State<AdminState>) -> Response {
    let failed = state.health().failure;
    match (state.readiness.check(), failed) {
        (Ok(()), None) => Json(json!({"status": "ready"})).into_response(),
        (Err(why), _) => problem(StatusCode::SERVICE_UNAVAILABLE, why),
        (_, Some(why)) => problem(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

async fn scrape(State(state): State<AdminState>) -> Result<Response, Starting> {
    let text = (venue(&state)?.metrics)();
    let answer = (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    );
    Ok(answer.into_response())
}
