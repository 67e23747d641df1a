//! History: orders, executions, trades, positions, quotes, the audit and other events, from the database; busts
//! and corrections of trades, which are looked up there.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use trading_engine_protocol::types::{
    ExecId, InstrumentId, OrderId, OrderStatus, Price, Quantity, SessionId, Side, TradeId, UtcNanos,
};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Named, NoBody, Operator, Params, Viewer};
use super::market::{SideName, bounded};
use super::problem::{Problem, Result, accepted};
use super::{Amount, Api, Timestamp, unavailable};
use crate::admin::desk::{Ask, Outcome, Said};
use crate::engine::command::{AmendTrade, AuditNote, CommandKind, NO_PRICE};
use crate::engine::event::{OrderState, TradeAmended};
use crate::limits::NAME_LENGTH_MAX;
use crate::store::StoreError;
use crate::store::history::{
    AuditFilter, AuditRow, Cursor, EVENT_KINDS, EventFilter, EventRow, ExecutionFilter,
    ExecutionRow, OrderFilter, OrderKey, OrderRow, Page, PositionFilter, PositionRow, QuoteFilter,
    QuoteRow, TradeFilter, TradeRow,
};

/// How long a bust waits for history to have what is durable.
const CATCH_UP_TIME: Duration = Duration::from_secs(3);
/// How often it looks.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(5);

/// Which part of a list is asked for, and how it is answered: the same for every list of history.
struct Listing {
    /// From this time on, UTC ns.
    since: Option<u64>,
    /// Before this time.
    until: Option<u64>,
    cursor: Option<Cursor>,
    limit: u32,
}

impl Listing {
    fn read(
        [since, until]: [Option<&str>; 2],
        cursor: Option<&str>,
        limit: Option<u32>,
    ) -> Result<Self> {
        Ok(Self {
            since: time(since, "since")?,
            until: time(until, "until")?,
            cursor: read_cursor(cursor)?,
            limit: bounded(limit, 100, "limit")?,
        })
    }

    fn answer<T: ToSchema>(
        &self,
        page: std::result::Result<Page<T>, StoreError>,
    ) -> Result<Json<Page<T>>> {
        page.map(Json).map_err(|error| {
            // A cursor of another list reads well and is none of this one.
            if self.cursor.is_some() && matches!(error, StoreError::Data(_)) {
                no_cursor()
            } else {
                unavailable(&error)
            }
        })
    }
}

/// A query of a list: its own fields, and the part of it that is asked for.
macro_rules! list_params {
    ($(#[$doc:meta])* $name:ident { $($fields:tt)* }) => {
        $(#[$doc])*
        #[derive(Deserialize, IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($fields)*
            /// From this time on, UTC, like 2026-11-28T09:00:00Z.
            #[param(format = DateTime)]
            since: Option<String>,
            /// Before this time.
            #[param(format = DateTime)]
            until: Option<String>,
            /// `next` of the page before.
            #[param(max_length = 64)]
            cursor: Option<String>,
            /// Rows at most, 100 if absent.
            #[param(minimum = 1, maximum = 1000)]
            limit: Option<u32>,
        }

        impl $name {
            fn listing(&self) -> Result<Listing> {
                let times = [self.since.as_deref(), self.until.as_deref()];
                Listing::read(times, self.cursor.as_deref(), self.limit)
            }
        }
    };
}

fn no_cursor() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "cursor is the `next` of a page")
}

/// Text that is no longer than what it may name.
fn short(text: Option<String>, length_max: usize, what: &str) -> Result<Option<String>> {
    if text
        .as_ref()
        .is_some_and(|text| text.chars().count() > length_max)
    {
        let why = format!("{what} has at most {length_max} characters");
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    Ok(text)
}

/// Longest ClOrdID(11), QuoteID(117).
const CLIENT_ID_MAX: usize = 36;
const CURSOR_MAX: usize = 64;

fn read_cursor(text: Option<&str>) -> Result<Option<Cursor>> {
    let text = short(text.map(str::to_owned), CURSOR_MAX, "cursor")?;
    let text = text.as_deref();
    let parsed = text.map(str::parse::<Cursor>).transpose();
    parsed.map_err(|_| no_cursor())
}

/// The id of a symbol in a filter; a symbol that nobody has is of nothing.
fn instrument(api: &Api, symbol: Option<&str>) -> Result<Option<u32>> {
    let Some(symbol) = symbol else {
        return Ok(None);
    };
    let id = api.mirror.read(|reference| {
        let known = reference.instrument(symbol)?;
        Some(known.definition.instrument.0)
    });
    id.map(Some)
        .ok_or_else(|| Problem::missing(format!("no instrument {symbol:?}")))
}

/// A time like 2026-11-28T09:00:00Z, with up to nine decimals of a second.
fn time(text: Option<&str>, what: &str) -> Result<Option<u64>> {
    let Some(text) = text else {
        return Ok(None);
    };
    read_time(text).map(Some).ok_or_else(|| {
        let why = format!("{what} is a time like 2026-11-28T09:00:00Z, UTC");
        Problem::new(StatusCode::BAD_REQUEST, why)
    })
}

fn read_time(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let (clock, part) = rest
        .strip_suffix(['Z', 'z'])
        .map(|rest| rest.split_once('.').unwrap_or((rest, "0")))?;
    let numbers = |text: &str, separator, lengths: [usize; 3]| {
        let mut parts = text.split(separator);
        let mut out = [0u32; 3];
        for (number, length) in out.iter_mut().zip(lengths) {
            let part = parts.next()?;
            let is_right = part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
            *number = part.parse().ok().filter(|_| is_right)?;
        }
        parts.next().is_none().then_some(out)
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let in_day = (1..=12).contains(&month)
        && (1970..=2500).contains(&year)
        && (1..=UtcNanos::days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_day || part.is_empty() || part.len() > 9 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ns: u64 = format!("{part:0<9}").parse().ok()?;
    let of_day = u64::from(hour) * 3_600 + u64::from(minute) * 60 + u64::from(second);
    Some(UtcNanos::from_date(year, month, day).0 + of_day * UtcNanos::SECOND + ns)
}

/// An id of the venue in text.
fn id(text: &str, what: &str) -> Result<u64> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse::<u64>().ok().filter(|_| is_number);
    number
        .filter(|number| i64::try_from(*number).is_ok())
        .ok_or_else(|| Problem::missing(format!("no {what} {text:?}")))
}

/// An order's status.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StatusName {
    /// New.
    New,
    /// Partially filled.
    PartiallyFilled,
    /// Filled.
    Filled,
    /// Canceled.
    Canceled,
    /// Expired.
    Expired,
}

impl From<StatusName> for OrderStatus {
    fn from(status: StatusName) -> Self {
        match status {
            StatusName::New => Self::New,
            StatusName::PartiallyFilled => Self::PartiallyFilled,
            StatusName::Filled => Self::Filled,
            StatusName::Canceled => Self::Canceled,
            StatusName::Expired => Self::Expired,
        }
    }
}

list_params! {
    /// Which orders.
    OrdersParams {
        /// Of this session.
        session: Option<u32>,
        /// Of this firm.
        firm: Option<u32>,
        /// Of this account.
        account: Option<u32>,
        /// Of this instrument.
        #[param(min_length = 1, max_length = 24)]
        symbol: Option<String>,
        /// With this client's id, the newest one.
        #[param(max_length = 36)]
        client_order_id: Option<String>,
        /// On this side.
        #[param(inline)]
        side: Option<SideName>,
        /// In this status.
        #[param(inline)]
        status: Option<StatusName>,
        /// Open orders that are no quotes, or all others.
        open: Option<bool>,
    }
}

/// Orders.
///
/// The one entered last first, as their last reports stated them. A page looks at 50,000 rows at most: with a filter it
/// may have few or none, and a `next` that goes on.
#[utoipa::path(get, path = "/orders", tag = "history", operation_id = "list_orders",
    security(("bearer" = [])), params(OrdersParams),
    responses((status = 200, description = "Some of them.", body = Page<OrderRow>)))]
pub async fn orders(
    caller: Viewer,
    Params(params): Params<OrdersParams>,
) -> Result<Json<Page<OrderRow>>> {
    let api = &caller.api;
    let listing = params.listing()?;
    let filter = OrderFilter {
        session: params.session,
        firm: params.firm,
        account: params.account,
        instrument: instrument(api, params.symbol.as_deref())?,
        client_order_id: short(params.client_order_id, CLIENT_ID_MAX, "client_order_id")?,
        side: params.side.map(|side| Side::from(side).as_u8()),
        status: params
            .status
            .map(|status| OrderStatus::from(status).as_u8()),
        open: params.open,
        since: listing.since,
        until: listing.until,
    };
    let (cursor, limit) = (listing.cursor.as_ref(), listing.limit);
    listing.answer(api.store.orders(&filter, cursor, limit).await)
}

/// How else an order can be named.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct OrderParams {
    /// What the id is, the venue's order id if absent. A client's id needs its session.
    #[param(inline)]
    by: Option<OrderIdKind>,
    /// Session of a client's id.
    session: Option<u32>,
}

/// Kinds of ids that an order can be found by.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OrderIdKind {
    /// OrderID(37).
    Order,
    /// ClOrdID(11), the newest one or one before.
    Client,
    /// ExecID(17) of one of its reports.
    Execution,
    /// TrdMatchID(880): both orders of the trade.
    Trade,
}

/// Orders that were found.
#[derive(serde::Serialize, ToSchema)]
pub struct Found {
    /// The order; both of a trade.
    items: Vec<OrderRow>,
}

/// An order by any of its ids.
#[utoipa::path(get, path = "/orders/{id}", tag = "history", operation_id = "show_order",
    security(("bearer" = [])),
    params(("id" = String, Path, description = "OrderID(37), or what `by` says.",
        min_length = 1, max_length = 36), OrderParams),
    responses((status = 200, description = "It; both orders of a trade.", body = Found)))]
pub async fn order(
    caller: Viewer,
    Named(text): Named<String>,
    Params(params): Params<OrderParams>,
) -> Result<Json<Found>> {
    let key = match params.by.unwrap_or(OrderIdKind::Order) {
        OrderIdKind::Order => OrderKey::Order(OrderId(id(&text, "order")?)),
        OrderIdKind::Execution => OrderKey::Execution(ExecId(id(&text, "execution")?)),
        OrderIdKind::Trade => OrderKey::Trade(TradeId(id(&text, "trade")?)),
        OrderIdKind::Client => {
            let session = params.session.ok_or_else(|| {
                Problem::new(StatusCode::BAD_REQUEST, "a client's id needs its session")
            })?;
            OrderKey::Client(SessionId(session), text.clone())
        }
    };
    let items = caller.api.store.order(&key).await;
    let items = items.map_err(|error| unavailable(&error))?;
    if items.is_empty() {
        return Err(Problem::missing(format!("no order {text:?}")));
    }
    Ok(Json(Found { items }))
}

list_params! {
    /// Which execution reports.
    ExecutionsParams {
        /// Of this order.
        #[param(max_length = 20, pattern = "^[0-9]{1,18}$")]
        order_id: Option<String>,
        /// This one.
        #[param(max_length = 20, pattern = "^[0-9]{1,18}$")]
        exec_id: Option<String>,
        /// Of this trade.
        #[param(max_length = 20, pattern = "^[0-9]{1,18}$")]
        trade_id: Option<String>,
        /// Of this session.
        session: Option<u32>,
        /// Of this instrument.
        #[param(min_length = 1, max_length = 24)]
        symbol: Option<String>,
        /// Of this client's id.
        #[param(max_length = 36)]
        client_order_id: Option<String>,
    }
}

/// Execution reports.
///
/// The newest first. A page looks at 50,000 rows at most: with a filter it
/// may have few or none, and a `next` that goes on.
#[utoipa::path(get, path = "/executions", tag = "history", operation_id = "list_executions",
    security(("bearer" = [])), params(ExecutionsParams),
    responses((status = 200, description = "Some of them.", body = Page<ExecutionRow>)))]
pub async fn executions(
    caller: Viewer,
    Params(params): Params<ExecutionsParams>,
) -> Result<Json<Page<ExecutionRow>>> {
    let api = &caller.api;
    let listing = params.listing()?;
    let number = |text: &Option<String>, what| {
        let text = text.as_deref();
        text.map(|text| id(text, what)).transpose()
    };
    let filter = ExecutionFilter {
        order_id: number(&params.order_id, "order")?,
        exec_id: number(&params.exec_id, "execution")?,
        trade_id: number(&params.trade_id, "trade")?,
        session: params.session,
        instrument: instrument(api, params.symbol.as_deref())?,
        client_order_id: short(params.client_order_id, CLIENT_ID_MAX, "client_order_id")?,
        kind: None,
        since: listing.since,
        until: listing.until,
    };
    let (cursor, limit) = (listing.cursor.as_ref(), listing.limit);
    listing.answer(api.store.executions(&filter, cursor, limit).await)
}

list_params! {
    /// Which trades.
    AllTradesParams {
        /// Of this instrument.
        #[param(min_length = 1, max_length = 24)]
        symbol: Option<String>,
        /// With this firm on either side.
        firm: Option<u32>,
        /// With this session on either side.
        session: Option<u32>,
        /// Busted ones, or all others.
        busted: Option<bool>,
    }
}

/// Trades with both their sides.
///
/// The newest first. A page looks at 50,000 rows at most: with a filter it
/// may have few or none, and a `next` that goes on.
#[utoipa::path(get, path = "/trades", tag = "history", operation_id = "list_trades",
    security(("bearer" = [])), params(AllTradesParams),
    responses((status = 200, description = "Some of them.", body = Page<TradeRow>)))]
pub async fn trades(
    caller: Viewer,
    Params(params): Params<AllTradesParams>,
) -> Result<Json<Page<TradeRow>>> {
    let api = &caller.api;
    let listing = params.listing()?;
    let filter = TradeFilter {
        instrument: instrument(api, params.symbol.as_deref())?,
        firm: params.firm,
        session: params.session,
        busted: params.busted,
        since: listing.since,
        until: listing.until,
    };
    let (cursor, limit) = (listing.cursor.as_ref(), listing.limit);
    listing.answer(api.store.trades(&filter, cursor, limit).await)
}

/// One trade.
#[utoipa::path(get, path = "/trades/{id}", tag = "history", operation_id = "show_trade",
    security(("bearer" = [])),
    params(("id" = String, Path, description = "TrdMatchID(880).", min_length = 1, max_length = 20)),
    responses((status = 200, description = "It.", body = TradeRow)))]
pub async fn trade(caller: Viewer, Named(text): Named<String>) -> Result<Json<TradeRow>> {
    let trade_id = TradeId(id(&text, "trade")?);
    let found = caller.api.store.trade(trade_id).await;
    let found = found.map_err(|error| unavailable(&error))?;
    found
        .map(Json)
        .ok_or_else(|| Problem::missing(format!("no trade {text:?}")))
}

/// Bust a trade.
///
/// It never was: both sides are told. A trade of the day can be busted, once; corrected before or not.
#[utoipa::path(post, path = "/trades/{id}/bust", tag = "trades", security(("bearer" = [])),
    params(("id" = String, Path, description = "TrdMatchID(880).", min_length = 1, max_length = 20)),
    responses((status = 200, description = "It is busted.", body = Amended)))]
pub async fn bust(
    caller: Operator,
    Named(text): Named<String>,
    _: NoBody,
) -> Result<Json<Amended>> {
    amend(&caller, &text, None).await
}

/// A price to correct to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Correction {
    /// What it traded at.
    price: Amount,
}

/// Correct the price of a trade.
///
/// Both sides are told. A trade of the day can be corrected, again too, until it is busted.
#[utoipa::path(post, path = "/trades/{id}/correct", tag = "trades", security(("bearer" = [])),
    request_body = Correction,
    params(("id" = String, Path, description = "TrdMatchID(880).", min_length = 1, max_length = 20)),
    responses((status = 200, description = "It is corrected.", body = Amended)))]
pub async fn correct(
    caller: Operator,
    Named(text): Named<String>,
    Body(correction): Body<Correction>,
) -> Result<Json<Amended>> {
    amend(&caller, &text, Some(correction.price)).await
}

async fn amend(caller: &Operator, text: &str, price: Option<Amount>) -> Result<Json<Amended>> {
    let api = &caller.api;
    let trade_id = TradeId(id(text, "trade")?);
    // One at a time, and over everything that is durable now: what an order came to since its fill is
    // stated to the core.
    let _turn = api.desk.edit().await;
    // An order that ended while this was on its way is refused by the core, which says which. What is
    // durable with the refusal has all that the order came to. There are two orders, so the third time
    // is the last.
    let mut ended = 0;
    for _ in 0..3 {
        catch_up(api).await?;
        let fills = api.store.fill_of_trade(trade_id).await;
        let fills = fills.map_err(|error| unavailable(&error))?;
        let mut fills = fills.ok_or_else(|| Problem::missing(format!("no trade {text:?}")))?;
        let new_price = match price {
            None => NO_PRICE,
            Some(price) => price_of(api, fills.fills[0].order.instrument, price)?,
        };
        for (place, fill) in fills.fills.iter_mut().enumerate() {
            fill.checks_end = 1;
            if ended >> place & 1 == 1 {
                state_as_ended(&mut fill.order);
            }
        }
        let asks = [Ask::new(AmendTrade {
            trade_id,
            price: fills.price,
            quantity: fills.quantity,
            new_price,
            fills: fills.fills,
        })];
        let outcome = api.desk.perform(&caller.who, trade_id.0, &asks).await?;
        if outcome.ended() == 0 {
            return Ok(Json(Amended::of(api, &accepted(outcome)?)));
        }
        ended |= outcome.ended();
    }
    Err(Problem::unavailable(
        "the trade's orders are still changing",
    ))
}

/// An order that is known to have ended: a quote that a mass quote took away has no report of it.
fn state_as_ended(order: &mut OrderState) {
    order.leaves = Quantity(0);
    if !OrderStatus::try_from(order.status).is_ok_and(OrderStatus::is_terminal) {
        order.status = OrderStatus::Canceled.as_u8();
    }
}

/// A trade that was busted or corrected, as its two sides were told.
#[derive(serde::Serialize, ToSchema)]
pub struct Amended {
    /// Position in the log of the note that begins the change; its commands follow.
    sequence: u64,
    /// When it was sequenced.
    sequenced_at: Timestamp,
    /// What the log says of both orders: the buyer's and the seller's.
    sides: Vec<AmendedSide>,
}

/// One side of a trade that was busted or corrected.
#[derive(serde::Serialize, ToSchema)]
pub struct AmendedSide {
    /// Which side.
    side: SideName,
    /// OrderID(37).
    order_id: String,
    /// ExecID(17) of the report.
    exec_id: String,
    /// ExecID(17) of the fill, or of the correction, that it amends.
    amends: String,
    /// What the order is filled by from now on.
    executed: Amount,
    /// What is open of it.
    open: Amount,
}

impl Amended {
    fn of(api: &Api, outcome: &Outcome) -> Self {
        let sides = api.mirror.read(|reference| {
            let side = |amended: &TradeAmended| {
                let order = &amended.order;
                let known = reference.instruments.get(&order.instrument.0)?;
                let lots = |lots: u64| Amount::of(lots.into(), known.definition.lot_size_e8);
                Some(AmendedSide {
                    side: Side::try_from(order.side).ok()?.into(),
                    order_id: order.order_id.0.to_string(),
                    exec_id: order.exec_id.0.to_string(),
                    amends: amended.reference.0.to_string(),
                    executed: lots(order.cumulative.0),
                    open: lots(order.leaves.0),
                })
            };
            let said = outcome.said.iter().filter_map(|said| match said {
                Said::Amended(amended) => side(amended),
                _ => None,
            });
            said.collect()
        });
        Self {
            sequence: outcome.sequence.0,
            sequenced_at: Timestamp(outcome.sequenced_at),
            sides,
        }
    }
}

fn price_of(api: &Api, instrument: InstrumentId, price: Amount) -> Result<Price> {
    let unit = api.mirror.read(|reference| {
        let known = reference.instruments.get(&instrument.0);
        known.map(|known| known.definition.price_unit_e8)
    });
    let units = unit.and_then(|unit| price.in_units(unit));
    units
        .map(Price)
        .ok_or_else(|| Problem::invalid("price is no multiple of the instrument's price unit"))
}

/// Waits until history has everything that is durable now.
async fn catch_up(api: &Api) -> Result<()> {
    let durable = (api.durable_sequence)();
    let caught_up = async {
        while (api.history_sequence)() < durable {
            tokio::time::sleep(CATCH_UP_PAUSE).await;
        }
    };
    tokio::time::timeout(CATCH_UP_TIME, caught_up)
        .await
        .map_err(|_| {
            Problem::unavailable("history is behind the log; the trade cannot be looked up")
        })
}

/// Which positions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PositionsParams {
    /// Of this firm.
    firm: Option<u32>,
    /// Of this account.
    account: Option<u32>,
    /// In this instrument.
    #[param(min_length = 1, max_length = 24)]
    symbol: Option<String>,
    /// `next` of the page before.
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Rows at most, 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Positions from all trades there were.
#[utoipa::path(get, path = "/positions", tag = "history", operation_id = "list_positions",
    security(("bearer" = [])), params(PositionsParams),
    responses((status = 200, description = "Some of them.", body = Page<PositionRow>)))]
pub async fn positions(
    caller: Viewer,
    Params(params): Params<PositionsParams>,
) -> Result<Json<Page<PositionRow>>> {
    let api = &caller.api;
    let listing = Listing::read([None; 2], params.cursor.as_deref(), params.limit)?;
    let filter = PositionFilter {
        firm: params.firm,
        account: params.account,
        instrument: instrument(api, params.symbol.as_deref())?,
    };
    let (cursor, limit) = (listing.cursor.as_ref(), listing.limit);
    listing.answer(api.store.positions(&filter, cursor, limit).await)
}

list_params! {
    /// Which quotes.
    QuotesParams {
        /// Of this session.
        session: Option<u32>,
        /// Of this instrument.
        #[param(min_length = 1, max_length = 24)]
        symbol: Option<String>,
        /// Of this mass quote.
        #[param(max_length = 36)]
        quote_id: Option<String>,
    }
}

/// What became of mass quotes.
///
/// The newest first, a row an entry. A page looks at 50,000 rows at most: with a filter it
/// may have few or none, and a `next` that goes on.
#[utoipa::path(get, path = "/quotes", tag = "history", operation_id = "list_quotes",
    security(("bearer" = [])), params(QuotesParams),
    responses((status = 200, description = "Some of them.", body = Page<QuoteRow>)))]
pub async fn quotes(
    caller: Viewer,
    Params(params): Params<QuotesParams>,
) -> Result<Json<Page<QuoteRow>>> {
    let api = &caller.api;
    let listing = params.listing()?;
    let filter = QuoteFilter {
        session: params.session,
        instrument: instrument(api, params.symbol.as_deref())?,
        quote_id: short(params.quote_id, CLIENT_ID_MAX, "quote_id")?,
        since: listing.since,
        until: listing.until,
    };
    let (cursor, limit) = (listing.cursor.as_ref(), listing.limit);
    listing.answer(api.store.quotes(&filter, cursor, limit).await)
}

list_params! {
    /// Which deeds.
    AuditParams {
        /// Of this user.
        #[param(max_length = 24)]
        actor: Option<String>,
        /// Of this kind: a command's name such as `KillSwitch`, or `KeyRotated`, `UserChanged`.
        #[param(max_length = 32)]
        action: Option<String>,
    }
}

/// What the venue's people did.
///
/// The newest first, refusals too. A page looks at 50,000 rows at most: with a filter it
/// may have few or none, and a `next` that goes on.
#[utoipa::path(get, path = "/audit", tag = "history", operation_id = "list_audit",
    security(("bearer" = [])), params(AuditParams),
    responses((status = 200, description = "Some of it.", body = Page<AuditRow>)))]
pub async fn audit(
    caller: Viewer,
    Params(params): Params<AuditParams>,
) -> Result<Json<Page<AuditRow>>> {
    let api = &caller.api;
    let listing = params.listing()?;
    let filter = AuditFilter {
        actor: short(params.actor, NAME_LENGTH_MAX, "actor")?,
        action: params.action.as_deref().map(action).transpose()?,
        since: listing.since,
        until: listing.until,
    };
    let (cursor, limit) = (listing.cursor.as_ref(), listing.limit);
    listing.answer(api.store.audit(&filter, cursor, limit).await)
}

list_params! {
    /// Which events.
    EventsParams {
        /// Of this session; 0: the venue's own.
        session: Option<u32>,
        /// Of this kind: an event's name such as `LogonAnswered`, `SessionClosed`, `RequestRejected`,
        /// `MassCancelDone`, `AuctionUncrossed` or `DayRolled`.
        #[param(max_length = 32)]
        kind: Option<String>,
    }
}

/// What else happened.
///
/// Logons and their ends, refusals, mass cancels, kill switches, protections, auctions and days, and of what the
/// venue's people do the reference prices, capacities and refused definitions: everything that is no order, quote,
/// execution or trade. The newest first. A page looks at
/// 50,000 rows at most: with a filter it may have few or none, and a `next` that goes on.
#[utoipa::path(get, path = "/events", tag = "history", operation_id = "list_events",
    security(("bearer" = [])), params(EventsParams),
    responses((status = 200, description = "Some of them.", body = Page<EventRow>)))]
pub async fn events(
    caller: Viewer,
    Params(params): Params<EventsParams>,
) -> Result<Json<Page<EventRow>>> {
    let api = &caller.api;
    let listing = params.listing()?;
    let filter = EventFilter {
        session: params.session,
        kind: params.kind.as_deref().map(event_kind).transpose()?,
        since: listing.since,
        until: listing.until,
    };
    let (cursor, limit) = (listing.cursor.as_ref(), listing.limit);
    listing.answer(api.store.events(&filter, cursor, limit).await)
}

fn event_kind(name: &str) -> Result<u8> {
    let mut kinds = EVENT_KINDS.iter();
    let known = kinds.find(|kind| format!("{kind:?}") == name);
    known
        .map(|kind| *kind as u8)
        .ok_or_else(|| Problem::missing(format!("no kind of event {name:?}")))
}

fn action(name: &str) -> Result<u8> {
    let known = CommandKind::ALL
        .iter()
        .find(|kind| format!("{kind:?}") == name)
        .map(|kind| *kind as u8);
    let known = known.or(match name {
        "KeyRotated" => Some(AuditNote::KEY_ROTATED),
        "UserChanged" => Some(AuditNote::USER_CHANGED),
        _ => None,
    });
    known.ok_or_else(|| Problem::missing(format!("no action {name:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_nanosecond_and_nothing_else_is() {
        let second = 951_827_696_000_000_000;
        assert_eq!(read_time("2000-02-29T12:34:56Z"), Some(second));
        assert_eq!(
            read_time("2000-02-29t12:34:56.000000001z"),
            Some(second + 1)
        );
        assert_eq!(
            read_time("2000-02-29T12:34:56.5Z"),
            Some(second + 500_000_000)
        );
        for wrong in [
            "",
            "2000-02-30T00:00:00Z",
            "2000-13-01T00:00:00Z",
            "2000-02-29 12:34:56Z",
            "2000-02-29T12:34:56",
            "2000-02-29T12:34:56+01:00",
            "2000-02-29T24:00:00Z",
            "2000-02-29T12:34:56.Z",
            "2000-02-29T12:34:56.1234567890Z",
            "+200-02-29T12:34:56Z",
        ] {
            assert_eq!(read_time(wrong), None, "{wrong}");
        }
    }
}
