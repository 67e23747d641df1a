//! Routes. `PORT`: `GET /health`, `/health/live`, `/health/ready`, `/book/{symbol}`,
//! `/instruments`. `METRICS_PORT`: `GET /metrics`.

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use trading_engine_protocol::types::Decimal8;

use super::AdminState;

/// Serves both ports until the runtime ends.
///
/// # Errors
/// When a listener fails for good.
pub async fn serve(
    http: TcpListener,
    metrics: TcpListener,
    state: AdminState,
) -> std::io::Result<()> {
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
    tokio::try_join!(async { axum::serve(http, main).await }, async {
        axum::serve(metrics, side).await
    })?;
    Ok(())
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

async fn health(State(state): State<AdminState>) -> Response {
    let health = (state.health)();
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
    let failed = (state.health)().failure;
    match (state.readiness.check(), failed) {
        (Ok(()), None) => Json(json!({"status": "ready"})).into_response(),
        (Err(why), _) => problem(StatusCode::SERVICE_UNAVAILABLE, why),
        (_, Some(why)) => problem(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

async fn scrape(State(state): State<AdminState>) -> Response {
    let text = (state.metrics)();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

#[derive(Deserialize)]
struct BookQuery {
    depth: Option<usize>,
}

async fn book(
    State(state): State<AdminState>,
    Path(symbol): Path<String>,
    query: Result<Query<BookQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(query)) = query else {
        return problem(StatusCode::BAD_REQUEST, "depth is a whole number");
    };
    let levels = query.depth.unwrap_or(usize::MAX);
    let Some(book) = state.depth.with(|depth| depth.snapshot(&symbol, levels)) else {
        return problem(StatusCode::NOT_FOUND, &format!("no instrument {symbol:?}"));
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
    Json(json!({
        "symbol": book.symbol,
        "sequence": book.sequence,
        "bids": side(&book.bids),
        "asks": side(&book.asks),
    }))
    .into_response()
}

async fn instruments(State(state): State<AdminState>) -> Response {
    let all = state.depth.with(|depth| depth.instruments());
    let rows: Vec<_> = all
        .iter()
        .map(|(id, symbol)| json!({"id": id.0, "symbol": symbol}))
        .collect();
    Json(rows).into_response()
}
