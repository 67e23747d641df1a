//! What everybody may ask, without a token: instruments and their books, as a market shows them to anybody.
//! Trades, statistics and everything of a session, a firm or the venue itself need a token.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::Named;
use super::instruments::no_instrument;
use super::problem::{Problem, Result};
use crate::admin::AdminState;
use crate::market_data::feed::MarketData;
use crate::market_data::state::{LEVELS_SHOWN, LevelView};

/// An instrument by its two names.
#[derive(Serialize, ToSchema)]
pub struct PublicInstrument {
    /// Number, as binary order entry has it.
    id: u32,
    /// Symbol(55).
    symbol: String,
}

/// A price of a book.
#[derive(Serialize, ToSchema)]
pub struct PublicLevel {
    /// Decimal.
    price: String,
    /// Decimal.
    quantity: String,
    /// Orders and quotes there.
    orders: u64,
}

/// A book.
#[derive(Serialize, ToSchema)]
pub struct PublicBook {
    /// Symbol(55).
    symbol: String,
    /// All commands up to this one are in.
    sequence: u64,
    /// Best first.
    bids: Vec<PublicLevel>,
    /// Best first.
    asks: Vec<PublicLevel>,
}

/// How much of a book.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PublicBookParams {
    /// Levels a side; absent: all, 1000 at most.
    depth: Option<usize>,
}

fn market_data(state: &AdminState) -> Result<&MarketData> {
    let view = state.venue.get();
    let view = view.ok_or_else(|| Problem::unavailable("starting"))?;
    Ok(&view.market_data)
}

fn levels(of: &[LevelView]) -> Vec<PublicLevel> {
    let levels = of.iter().map(|level| PublicLevel {
        price: level.price.to_string(),
        quantity: level.quantity.to_string(),
        orders: level.orders,
    });
    levels.collect()
}

/// The book of an instrument, for everybody.
#[utoipa::path(get, path = "/book/{symbol}", tag = "public", operation_id = "show_public_book",
    params(("symbol" = String, Path, description = "Symbol(55).", min_length = 1, max_length = 24),
        PublicBookParams),
    responses((status = 200, description = "It.", body = PublicBook)))]
pub async fn book(
    State(state): State<AdminState>,
    Named(symbol): Named<String>,
    query: std::result::Result<Query<PublicBookParams>, QueryRejection>,
) -> Result<Json<PublicBook>> {
    let market_data = market_data(&state)?;
    let Ok(Query(query)) = query else {
        let why = "depth is a whole number";
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    };
    let wanted = query.depth.unwrap_or(usize::MAX);
    let book = if wanted <= LEVELS_SHOWN {
        market_data.book(&symbol, wanted)
    } else {
        let whole = market_data.whole_book(&symbol, wanted).await;
        whole.map_err(|error| Problem::unavailable(error.to_string()))?
    };
    let book = book.ok_or_else(|| no_instrument(&symbol))?;
    Ok(Json(PublicBook {
        symbol: book.info.symbol.to_string(),
        sequence: book.sequence,
        bids: levels(&book.bids),
        asks: levels(&book.asks),
    }))
}

/// All instruments, for everybody.
#[utoipa::path(get, path = "/instruments", tag = "public", operation_id = "list_public_instruments",
    responses((status = 200, description = "All of them.", body = Vec<PublicInstrument>)))]
pub async fn instruments(State(state): State<AdminState>) -> Result<Json<Vec<PublicInstrument>>> {
    let all = market_data(&state)?.instruments();
    let rows = all.iter().map(|info| PublicInstrument {
        id: info.id().0,
        symbol: info.symbol.to_string(),
    });
    Ok(Json(rows.collect()))
}
