//! Routes. `PORT`: `GET /health`, `/health/live`, `/health/ready`, `/book/{symbol}`,
//! `/instruments`. `METRICS_PORT`: `GET /metrics`.
//!
//! Strangers may connect here too: each port has a bounded number of connections, and each
//! connection bounded times.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use trading_engine_protocol::types::Decimal8;

use super::{AdminState, View};

/// Connections at once on each port; more are closed at accept.
const CONNECTIONS_MAX: usize = 64;
/// Time to send a request's header, from the accept or from the answer before.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// Time a connection has in all, so that one that does not read its answer goes, too. At its end
/// a request that is being answered has [`HEADER_TIME`] more.
const CONNECTION_TIME: Duration = Duration::from_secs(300);
/// Pause after an accept that failed: the system is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves both ports until the runtime ends.
pub async fn serve(http: TcpListener, metrics: TcpListener, state: AdminState) {
    let main = Router::new()
        .route("/health", get(health))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/book/{symbol}", get(book))
        .route("/instruments", get(instruments))
        .fallback(missing)
        .with_state(state.clone());
    let side = Router::new()
        .route("/metrics", get(scrape))
        .fallback(missing)
        .with_state(state);
    tokio::join!(listen(http, main), listen(metrics, side));
}

async fn listen(listener: TcpListener, routes: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    continue;
                };
                let routes = routes.clone();
                tokio::spawn(async move {
                    converse(socket, routes).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "accept failed on a side port");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection. What goes wrong on it is its client's business.
async fn converse(socket: TcpStream, routes: Router) {
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .serve_connection(TokioIo::new(socket), TowerToHyperService::new(routes))
    );
    if timeout(CONNECTION_TIME, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(HEADER_TIME, connection).await;
    }
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("error"),
        "status": status.as_u16(),
        "detail": detail,
    });
    (
        status,
        [(header::CONTENT_TYPE, "application/problem+json")],
        body.to_string(),
    )
        .into_response()
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
    let health = state.health();
    let status = if health.status == "failed" {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, Json(health)).into_response()
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

#[derive(Deserialize)]
struct BookQuery {
    depth: Option<usize>,
}

async fn book(
    State(state): State<AdminState>,
    Path(symbol): Path<String>,
    query: Result<Query<BookQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Starting> {
    let depth = &venue(&state)?.depth;
    let Ok(Query(query)) = query else {
        let why = "depth is a whole number";
        return Ok(problem(StatusCode::BAD_REQUEST, why));
    };
    let levels = query.depth.unwrap_or(usize::MAX);
    let Some(book) = depth.with(|depth| depth.snapshot(&symbol, levels)) else {
        let why = format!("no instrument {symbol:?}");
        return Ok(problem(StatusCode::NOT_FOUND, &why));
    };
    let side = |levels: &[(Decimal8, Decimal8, u64)]| {
        let rows = levels.iter().map(|(price, quantity, orders)| {
            json!({
                "price": price.to_string(),
                "quantity": quantity.to_string(),
                "orders": orders,
            })
        });
        rows.collect::<Vec<_>>()
    };
    let answer = Json(json!({
        "symbol": book.symbol,
        "sequence": book.sequence,
        "bids": side(&book.bids),
        "asks": side(&book.asks),
    }));
    Ok(answer.into_response())
}

async fn instruments(State(state): State<AdminState>) -> Result<Response, Starting> {
    let all = venue(&state)?.depth.with(|depth| depth.instruments());
    let rows: Vec<_> = all
        .iter()
        .map(|(id, symbol)| json!({"id": id.0, "symbol": symbol}))
        .collect();
    Ok(Json(rows).into_response())
}
