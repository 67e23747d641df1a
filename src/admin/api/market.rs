//! Market data: books, trades and the day so far, from the market-data agent.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use trading_engine_protocol::types::Side;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Named, Params, Viewer};
use super::instruments::no_instrument;
use super::phases::Phase;
use super::problem::{Problem, Result};
use super::{Amount, Timestamp};
use crate::market_data::state::{
    InstrumentView, LEVELS_SHOWN, LevelView, Statistics, Trade, TradeKind,
};

/// One price of a book.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BookLevel {
    /// Price.
    price: Amount,
    /// What is shown there.
    quantity: Amount,
    /// Orders there.
    orders: u64,
}

/// A book at one point of the log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Book {
    /// Symbol(55).
    symbol: String,
    /// Number of the instrument's last change since the venue started.
    feed_sequence: u64,
    /// Last command whose events are in.
    sequence: u64,
    /// Highest first.
    bids: Vec<BookLevel>,
    /// Lowest first.
    asks: Vec<BookLevel>,
    /// Prices with bids, shown or not.
    bid_levels: u64,
    /// Prices with asks.
    ask_levels: u64,
}

fn levels(levels: &[LevelView]) -> Vec<BookLevel> {
    let level = |level: &LevelView| BookLevel {
        price: Amount(level.price.0.into()),
        quantity: Amount(level.quantity.0.into()),
        orders: level.orders,
    };
    levels.iter().map(level).collect()
}

impl Book {
    /// The best levels of a view.
    pub fn of(view: &InstrumentView, depth: usize) -> Self {
        let best = |side: &[LevelView]| levels(&side[..side.len().min(depth)]);
        Self {
            symbol: view.info.symbol.to_string(),
            feed_sequence: view.feed_sequence,
            sequence: view.sequence,
            bids: best(&view.bids),
            asks: best(&view.asks),
            bid_levels: view.bid_levels,
            ask_levels: view.ask_levels,
        }
    }
}

/// How much of a book.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BookParams {
    /// Levels a side at most, 10 if absent.
    #[param(minimum = 1, maximum = 1000)]
    depth: Option<u32>,
}

/// The book of an instrument.
#[utoipa::path(get, path = "/instruments/{symbol}/book", tag = "market data",
    operation_id = "show_book", security(("bearer" = [])),
    params(("symbol" = String, Path, description = "Symbol(55).", min_length = 1, max_length = 24),
        BookParams),
    responses((status = 200, description = "It.", body = Book)))]
pub async fn book(
    caller: Viewer,
    Named(symbol): Named<String>,
    Params(params): Params<BookParams>,
) -> Result<Json<Book>> {
    let depth = bounded(params.depth, 10, "depth")? as usize;
    let market = &caller.api.market_data;
    let book = if depth <= LEVELS_SHOWN {
        market.book(&symbol, depth)
    } else {
        let whole = market.whole_book(&symbol, depth).await;
        whole.map_err(|error| Problem::unavailable(error.to_string()))?
    };
    let book = book.ok_or_else(|| no_instrument(&symbol))?;
    Ok(Json(Book {
        symbol: book.info.symbol.to_string(),
        feed_sequence: book.feed_sequence,
        sequence: book.sequence,
        bids: levels(&book.bids),
        asks: levels(&book.asks),
        bid_levels: book.bid_levels,
        ask_levels: book.ask_levels,
    }))
}

/// A number from 1 to 1000.
pub fn bounded(stated: Option<u32>, default: u32, what: &str) -> Result<u32> {
    let number = stated.unwrap_or(default);
    if (1..=1_000).contains(&number) {
        Ok(number)
    } else {
        let why = format!("{what} is 1 to 1000");
        Err(Problem::new(StatusCode::BAD_REQUEST, why))
    }
}

/// A side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SideName {
    /// Buy.
    Buy,
    /// Sell.
    Sell,
}

impl From<Side> for SideName {
    fn from(side: Side) -> Self {
        match side {
            Side::Buy => Self::Buy,
            Side::Sell => Self::Sell,
        }
    }
}

impl From<SideName> for Side {
    fn from(side: SideName) -> Self {
        match side {
            SideName::Buy => Self::Buy,
            SideName::Sell => Self::Sell,
        }
    }
}

/// What a trade is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TradeState {
    /// It traded.
    Traded,
    /// It never was.
    Busted,
    /// It was at another price.
    Corrected,
}

/// A trade, or what became of one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PublicTrade {
    /// Symbol(55).
    symbol: String,
    /// TrdMatchID(880).
    trade_id: String,
    /// What it is now.
    state: TradeState,
    /// What it traded at. Where the stream says what became of a trade: what it stood at until then.
    price: Amount,
    /// What it was corrected to.
    #[serde(skip_serializing_if = "Option::is_none")]
    corrected_price: Option<Amount>,
    /// How much.
    quantity: Amount,
    /// Side of the order that came in; absent in an auction, and where the stream says what became of a trade.
    #[serde(skip_serializing_if = "Option::is_none")]
    aggressor: Option<SideName>,
    /// When it traded, or in the stream became what it is.
    at: Timestamp,
    /// The command that did that.
    sequence: u64,
}

impl From<&Trade> for PublicTrade {
    fn from(trade: &Trade) -> Self {
        let (state, corrected_price) = match trade.kind {
            TradeKind::New => (TradeState::Traded, None),
            TradeKind::Busted => (TradeState::Busted, None),
            TradeKind::Corrected(price) => (TradeState::Corrected, Some(Amount(price.0.into()))),
        };
        Self {
            symbol: trade.info.symbol.to_string(),
            trade_id: trade.trade_id.to_string(),
            state,
            price: Amount(trade.price.0.into()),
            corrected_price,
            quantity: Amount(trade.quantity.0.into()),
            aggressor: trade.aggressor.map(SideName::from),
            at: Timestamp(trade.at),
            sequence: trade.sequence,
        }
    }
}

/// How many trades.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TradesParams {
    /// Trades at most, 50 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// The newest trades of an instrument.
#[derive(Serialize, ToSchema)]
pub struct NewestTrades {
    /// Newest first.
    items: Vec<PublicTrade>,
}

/// The newest trades of an instrument, as everybody may know them.
///
/// Those that market data remembers; `/trades` has all there were.
#[utoipa::path(get, path = "/instruments/{symbol}/trades", tag = "market data",
    operation_id = "list_instrument_trades", security(("bearer" = [])),
    params(("symbol" = String, Path, description = "Symbol(55).", min_length = 1, max_length = 24),
        TradesParams),
    responses((status = 200, description = "Newest first.", body = NewestTrades)))]
pub async fn trades(
    caller: Viewer,
    Named(symbol): Named<String>,
    Params(params): Params<TradesParams>,
) -> Result<Json<NewestTrades>> {
    let limit = bounded(params.limit, 50, "limit")? as usize;
    let trades = caller.api.market_data.trades(&symbol, limit);
    let trades = trades.ok_or_else(|| no_instrument(&symbol))?;
    let items = trades.iter().map(PublicTrade::from).collect();
    Ok(Json(NewestTrades { items }))
}

/// What an auction would trade at now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IndicativeView {
    /// Price; absent: nothing would trade.
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Amount>,
    /// How much would.
    volume: Amount,
    /// How much of `imbalance_side` could and would not.
    imbalance: Amount,
    /// Absent: there is no imbalance.
    #[serde(skip_serializing_if = "Option::is_none")]
    imbalance_side: Option<SideName>,
}

/// An instrument's phase and its trading day so far.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StatisticsView {
    /// Symbol(55).
    symbol: String,
    /// Number of the instrument's last change since the venue started.
    feed_sequence: u64,
    /// Phase.
    phase: Phase,
    /// Why it is in it; absent: it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase_reason: Option<String>,
    /// When the core ends it by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase_until: Option<Timestamp>,
    /// A kill switch of its own is on.
    blocked: bool,
    /// Reference price.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_price: Option<Amount>,
    /// What it traded at last before the day, whatever became of that trade since.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_close: Option<Amount>,
    /// First price of the day.
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<Amount>,
    /// Highest.
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<Amount>,
    /// Lowest.
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<Amount>,
    /// Last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Amount>,
    /// Quantity of the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_quantity: Option<Amount>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_at: Option<Timestamp>,
    /// Trades of the day.
    trades: u64,
    /// How much was traded.
    volume: Amount,
    /// For how much.
    notional: Amount,
    /// While orders are collected.
    indicative: IndicativeView,
}

impl StatisticsView {
    /// Of a view.
    pub fn of(view: &InstrumentView) -> Self {
        let s: &Statistics = &view.statistics;
        let price = |price: trading_engine_protocol::types::Decimal8| Amount(price.0.into());
        let reason = s.phase_reason;
        Self {
            symbol: view.info.symbol.to_string(),
            feed_sequence: view.feed_sequence,
            phase: s.phase.into(),
            phase_reason: (reason.code() != 0).then(|| reason.text().to_owned()),
            phase_until: s.until.map(Timestamp),
            blocked: s.blocked,
            reference_price: s.reference.map(price),
            previous_close: s.previous_close.map(price),
            open: s.open.map(price),
            high: s.high.map(price),
            low: s.low.map(price),
            last: s.last.map(|last| price(last.price)),
            last_quantity: s.last.map(|last| price(last.quantity)),
            last_at: s.last.map(|last| Timestamp(last.at)),
            trades: s.trades,
            volume: Amount(s.volume.0),
            notional: Amount(s.notional.0),
            indicative: IndicativeView {
                price: s.indicative.price.map(price),
                volume: Amount(s.indicative.volume.0),
                imbalance: Amount(s.indicative.imbalance.0),
                imbalance_side: s.indicative.imbalance_side.map(SideName::from),
            },
        }
    }
}

/// An instrument's phase and its trading day so far.
#[utoipa::path(get, path = "/instruments/{symbol}/statistics", tag = "market data",
    operation_id = "show_statistics", security(("bearer" = [])),
    params(("symbol" = String, Path, description = "Symbol(55).", min_length = 1, max_length = 24)),
    responses((status = 200, description = "It.", body = StatisticsView)))]
pub async fn statistics(
    caller: Viewer,
    Named(symbol): Named<String>,
) -> Result<Json<StatisticsView>> {
    let view = caller.api.market_data.instrument(&symbol);
    let view = view.ok_or_else(|| no_instrument(&symbol))?;
    Ok(Json(StatisticsView::of(&view)))
}
