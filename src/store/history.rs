//! What the admin API asks of history: lists, the newest first, a page at a time by the id of the last row,
//! so that a page costs the same wherever it is. Nothing here is on the way of an order.
//!
//! Whatever is asked for, a page looks at [`ROWS_LOOKED_AT`] rows at most (`super::pages`): an index for every
//! filter would cost the projector more than it is worth.

use trading_engine_protocol::types::{
    AccountId, ClientOrderId, ExecId, InstrumentId, OrderId, Price, Quantity, SessionId,
    SessionProtocol, TradeId,
};

use super::pages::{Keys, List};
pub use super::pages::{LIMIT_MAX, ROWS_LOOKED_AT};
use super::queries::Kind;
pub use super::shapes::{
    AuditRow, Cursor, EventRow, ExecutionRow, Id, OrderRow, Page, PositionRow, QuoteRow, QuoteSide,
    Time, TradeRow, TradeSide, phase,
};
use super::shapes::{
    average, decimal, order_type, quote_status, reason, side, status, time_in_force,
};
use super::{Record, Sql, Store, StoreError};
use crate::engine::command::{AmendedFill, AuditNote, CommandKind, NO_PRICE};
use crate::engine::event::{EventKind, OrderState};

/// Which orders.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "columns")]
pub struct OrderFilter {
    pub session: Option<u32>,
    pub firm: Option<u32>,
    pub account: Option<u32>,
    pub instrument: Option<u32>,
    /// The newest id of the order.
    pub client_order_id: Option<String>,
    /// `Side`.
    pub side: Option<u8>,
    /// `OrderStatus`.
    pub status: Option<u8>,
    /// Open orders that are no quotes, or all others.
    pub open: Option<bool>,
    /// Entered from this time on, ns UTC.
    pub since: Option<u64>,
    /// Entered before this time, ns UTC.
    pub until: Option<u64>,
}

/// Which execution reports.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "columns")]
pub struct ExecutionFilter {
    pub order_id: Option<u64>,
    pub exec_id: Option<u64>,
    pub trade_id: Option<u64>,
    pub session: Option<u32>,
    pub instrument: Option<u32>,
    pub client_order_id: Option<String>,
    /// `EventKind`.
    pub kind: Option<u8>,
    /// From this time on, ns UTC.
    pub since: Option<u64>,
    /// Before this time, ns UTC.
    pub until: Option<u64>,
}

/// Which trades.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "columns")]
pub struct TradeFilter {
    pub instrument: Option<u32>,
    /// On either side.
    pub firm: Option<u32>,
    /// On either side.
    pub session: Option<u32>,
    pub busted: Option<bool>,
    /// From this time on, ns UTC.
    pub since: Option<u64>,
    /// Before this time, ns UTC.
    pub until: Option<u64>,
}

/// Which positions.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "columns")]
pub struct PositionFilter {
    pub firm: Option<u32>,
    pub account: Option<u32>,
    pub instrument: Option<u32>,
}

/// Which quotes.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "columns")]
pub struct QuoteFilter {
    pub session: Option<u32>,
    pub instrument: Option<u32>,
    pub quote_id: Option<String>,
    /// From this time on, ns UTC.
    pub since: Option<u64>,
    /// Before this time, ns UTC.
    pub until: Option<u64>,
}

/// Which deeds of the venue's people.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "columns")]
pub struct AuditFilter {
    pub actor: Option<String>,
    /// `CommandKind`, or [`AuditNote::KEY_ROTATED`] and so on.
    pub action: Option<u8>,
    /// From this time on, ns UTC.
    pub since: Option<u64>,
    /// Before this time, ns UTC.
    pub until: Option<u64>,
}

/// Which of all other events.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "columns")]
pub struct EventFilter {
    pub session: Option<u32>,
    /// `EventKind`.
    pub kind: Option<u8>,
    /// From this time on, ns UTC.
    pub since: Option<u64>,
    /// Before this time, ns UTC.
    pub until: Option<u64>,
}

/// What an order can be found by.
#[derive(Clone, Debug)]
pub enum OrderKey {
    /// The venue's id.
    Order(OrderId),
    /// The client's id, the newest one or one before.
    Client(SessionId, String),
    /// One of its reports.
    Execution(ExecId),
    /// A trade: both its orders.
    Trade(TradeId),
}

/// A trade as `AmendTrade` has to state it.
#[derive(Clone, Debug)]
pub struct TradeFills {
    /// TrdMatchID(880).
    pub trade_id: TradeId,
    /// What it stands at.
    pub price: Price,
    /// Lots.
    pub quantity: Quantity,
    /// It is no more.
    pub busted: bool,
    /// Both fills in the order of their ExecIDs, which are those of the last correction if there was one, with the last
    /// report of each order.
    pub fills: [AmendedFill; 2],
}

const ORDERS: &str = "SELECT o.order_id, o.session, o.firm, o.account, o.instrument, \
    o.client_order_id, o.side, o.order_type, o.time_in_force, o.status, o.price, o.quantity, \
    o.leaves, o.cumulative, CAST(o.notional AS TEXT) AS notional, o.instructions, \
    o.self_trade_prevention, o.protection_group, o.is_quote, o.stop_price, o.display_quantity, \
    o.minimum_quantity, o.expire_at, o.reason, o.exec_id, o.entered_at, o.updated_at, o.sequence, \
    o.idx, i.symbol, i.price_unit_e8, i.lot_size_e8, i.price_decimals \
    FROM orders o LEFT JOIN instruments i ON i.instrument = o.instrument";

const EXECUTIONS: &str = "SELECT e.exec_id, e.sequence, e.idx, e.sequenced_at, e.received_at, \
    e.kind, e.reason, e.session, e.epoch, e.session_seq, e.order_id, e.client_order_id, \
    e.request_id, e.instrument, e.account, e.side, e.order_type, e.time_in_force, e.status, \
    e.price, e.quantity, e.leaves, e.cumulative, e.reduced, e.last_price, e.last_quantity, \
    e.liquidity, e.trade_id, e.reference_exec_id, e.new_price, e.stop_price, e.display_quantity, \
    e.minimum_quantity, e.expire_at, e.raw, COALESCE(e.symbol, i.symbol) AS symbol, \
    i.price_unit_e8, i.lot_size_e8, i.price_decimals \
    FROM executions e LEFT JOIN instruments i ON i.instrument = e.instrument";

const TRADES: &str = "SELECT t.trade_id, t.sequence, t.idx, t.sequenced_at, t.instrument, t.price, \
    t.quantity, t.aggressor, t.buy_order_id, t.buy_exec_id, t.buy_session, t.buy_firm, \
    t.buy_account, t.sell_order_id, t.sell_exec_id, t.sell_session, t.sell_firm, t.sell_account, \
    t.busted, t.corrected_price, t.amended_sequence, i.symbol, i.price_unit_e8, i.lot_size_e8, \
    i.price_decimals \
    FROM trades t LEFT JOIN instruments i ON i.instrument = t.instrument";

const QUOTES: &str = "SELECT q.sequence, q.idx, q.entry, q.sequenced_at, q.session, q.account, \
    q.quote_id, q.entry_id, q.protection_group, q.reason, q.instrument, q.layer, q.bid_order_id, \
    q.bid_price, q.bid_quantity, q.bid_status, q.bid_reason, q.ask_order_id, q.ask_price, \
    q.ask_quantity, q.ask_status, q.ask_reason, i.symbol, i.price_unit_e8, i.lot_size_e8, \
    i.price_decimals FROM quotes q LEFT JOIN instruments i ON i.instrument = q.instrument";

const POSITIONS: &str = "SELECT p.firm, p.account, p.instrument, p.bought, p.sold, \
    CAST(p.bought_notional AS TEXT) AS bought_notional, \
    CAST(p.sold_notional AS TEXT) AS sold_notional, p.sequence, i.symbol, i.price_unit_e8, \
    i.lot_size_e8, i.price_decimals \
    FROM positions p LEFT JOIN instruments i ON i.instrument = p.instrument";

const AUDIT: &str = "SELECT sequence, idx, sequenced_at, request, actor, role, action, target, \
    address, ended_sequence, reason, detail FROM admin_audit";

/// ExecIDs ascend with the log, and so with time; the same goes for the others.
const EXECUTION_KEYS: Keys = Keys {
    table: "executions e",
    columns: &["e.exec_id"],
    time: "e.sequenced_at",
    partitioned: true,
    in_order: None,
};
const TRADE_KEYS: Keys = Keys {
    table: "trades t",
    columns: &["t.trade_id"],
    time: "t.sequenced_at",
    ..EXECUTION_KEYS
};
const QUOTE_KEYS: Keys = Keys {
    table: "quotes q",
    columns: &["q.sequence", "q.idx", "q.entry"],
    time: "q.sequenced_at",
    ..EXECUTION_KEYS
};
/// A quote's row says when it first traded, which is after it was entered and got its id.
const ORDER_KEYS: Keys = Keys {
    table: "orders o",
    columns: &["o.order_id"],
    time: "o.entered_at",
    partitioned: false,
    in_order: Some("o.is_quote = 0"),
};
const POSITION_KEYS: Keys = Keys {
    table: "positions p",
    columns: &["p.firm", "p.account", "p.instrument"],
    time: "p.sequence",
    partitioned: false,
    in_order: None,
};
const AUDIT_KEYS: Keys = Keys {
    table: "admin_audit",
    columns: &["sequence", "idx"],
    time: "sequenced_at",
    partitioned: false,
    in_order: None,
};
const EVENT_KEYS: Keys = Keys {
    table: "events",
    ..AUDIT_KEYS
};

fn signed(number: u64) -> i64 {
    super::fold::signed(number)
}

fn wide(number: Option<u32>) -> Option<i64> {
    number.map(i64::from)
}

impl Store {
    /// Orders, the one entered last first.
    ///
    /// # Errors
    /// The database is not to be had, or the cursor is of another list.
    pub async fn orders(
        &self,
        filter: &OrderFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<OrderRow>, StoreError> {
        let mut list = List::of(ORDERS, &ORDER_KEYS);
        // The orders that are open have an index, and are the fewer ones.
        match filter.open {
            Some(true) => list.is("o.session", wide(filter.session)),
            _ => list.by("o.session", wide(filter.session)),
        };
        list.is("o.firm", wide(filter.firm))
            .is("o.account", wide(filter.account))
            .is("o.instrument", wide(filter.instrument))
            .is("o.side", filter.side.map(i64::from))
            .is("o.status", filter.status.map(i64::from))
            .between(filter.since, filter.until);
        // The index is by session and id.
        match filter.session {
            Some(_) if filter.open != Some(true) => {
                list.by("o.client_order_id", filter.client_order_id.clone())
            }
            _ => list.is("o.client_order_id", filter.client_order_id.clone()),
        };
        match filter.open {
            Some(true) => list.by_text("o.leaves > 0").is_text("o.is_quote = 0"),
            Some(false) => list.is_text("(o.leaves = 0 OR o.is_quote = 1)"),
            None => &mut list,
        };
        let key = |row: &OrderRow| vec![signed(row.order_id.0)];
        self.page(list, cursor, limit, order_row, key).await
    }

    /// The order of a key; both orders of a trade; none.
    ///
    /// # Errors
    /// The database is not to be had.
    pub async fn order(&self, key: &OrderKey) -> Result<Vec<OrderRow>, StoreError> {
        let mut sql = Sql::new(ORDERS);
        match key {
            OrderKey::Order(id) => {
                sql.push(" WHERE o.order_id = ").bind(signed(id.0));
            }
            OrderKey::Execution(id) => {
                sql.push(" WHERE o.order_id IN (SELECT order_id FROM executions WHERE exec_id = ");
                sql.bind(signed(id.0)).push(")");
            }
            OrderKey::Trade(id) => {
                for (word, column) in [(" WHERE", "buy_order_id"), (" OR", "sell_order_id")] {
                    sql.push(word).push(" o.order_id IN (SELECT ").push(column);
                    sql.push(" FROM trades WHERE trade_id = ")
                        .bind(signed(id.0))
                        .push(")");
                }
            }
            // Ids are the client's again on another day: the last order counts.
            OrderKey::Client(session, id) => {
                sql.push(" WHERE o.session = ").bind(i64::from(session.0));
                sql.push(" AND o.client_order_id = ").bind(id.as_str());
                sql.push(" ORDER BY o.order_id DESC LIMIT 1");
                let found = self.fetch(Kind::Read, sql).await?;
                if !found.is_empty() {
                    return found.iter().map(order_row).collect();
                }
                sql = Sql::new(ORDERS);
                sql.push(
                    " WHERE o.order_id = (SELECT MAX(order_id) FROM executions \
                     WHERE kind IN (21, 27) AND session = ",
                );
                sql.bind(i64::from(session.0));
                sql.push(" AND request_id = ").bind(id.as_str()).push(")");
            }
        }
        self.fetch(Kind::Read, sql)
            .await?
            .iter()
            .map(order_row)
            .collect()
    }

    /// Execution reports.
    ///
    /// # Errors
    /// As [`Store::orders`].
    pub async fn executions(
        &self,
        filter: &ExecutionFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<ExecutionRow>, StoreError> {
        let mut list = List::of(EXECUTIONS, &EXECUTION_KEYS);
        list.by("e.order_id", filter.order_id.map(signed))
            .by("e.exec_id", filter.exec_id.map(signed))
            .by("e.session", wide(filter.session))
            .is("e.instrument", wide(filter.instrument))
            .is("e.client_order_id", filter.client_order_id.clone())
            .is("e.kind", filter.kind.map(i64::from))
            .between(filter.since, filter.until);
        if let Some(trade) = filter.trade_id {
            // Found by the trade's fills, which have an index; busts and corrections by what they speak of.
            list.is("e.trade_id", Some(signed(trade)));
            let mut orders =
                Sql::new("e.order_id IN (SELECT buy_order_id FROM trades WHERE trade_id = ");
            orders.bind(signed(trade));
            orders.push(" UNION ALL SELECT sell_order_id FROM trades WHERE trade_id = ");
            orders.bind(signed(trade)).push(")");
            list.by_sql(orders);
        }
        let key = |row: &ExecutionRow| vec![signed(row.exec_id.0)];
        self.page(list, cursor, limit, execution_row, key).await
    }

    /// Trades.
    ///
    /// # Errors
    /// As [`Store::orders`].
    pub async fn trades(
        &self,
        filter: &TradeFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<TradeRow>, StoreError> {
        let mut list = List::of(TRADES, &TRADE_KEYS);
        list.by("t.instrument", wide(filter.instrument))
            .is("t.busted", filter.busted.map(i64::from))
            .either(["t.buy_firm", "t.sell_firm"], filter.firm)
            .either(["t.buy_session", "t.sell_session"], filter.session)
            .between(filter.since, filter.until);
        let key = |row: &TradeRow| vec![signed(row.trade_id.0)];
        self.page(list, cursor, limit, trade_row, key).await
    }

    /// A trade.
    ///
    /// # Errors
    /// As [`Store::orders`].
    pub async fn trade(&self, id: TradeId) -> Result<Option<TradeRow>, StoreError> {
        let mut sql = Sql::new(TRADES);
        sql.push(" WHERE t.trade_id = ").bind(signed(id.0));
        self.fetch(Kind::Read, sql)
            .await?
            .first()
            .map(trade_row)
            .transpose()
    }

    /// What a bust or correction of a trade has to state.
    ///
    /// # Errors
    /// As [`Store::orders`].
    pub async fn fill_of_trade(&self, id: TradeId) -> Result<Option<TradeFills>, StoreError> {
        let mut sql = Sql::new(
            "SELECT (SELECT MAX(a.exec_id) FROM executions a \
             WHERE a.order_id = o.order_id AND a.trade_id = t.trade_id) AS last_exec_id, \
             e.liquidity, t.quantity AS traded, t.busted, \
             COALESCE(t.corrected_price, t.price) AS traded_at, s.protocol, o.order_id, \
             o.client_order_id, o.price, o.quantity, o.leaves, o.cumulative, \
             CAST(o.notional AS TEXT) AS notional, o.instrument, o.account, o.side, o.order_type, \
             o.time_in_force, o.status, o.instructions, o.self_trade_prevention, \
             o.protection_group, o.is_quote, o.session \
             FROM trades t \
             JOIN executions e ON e.exec_id IN (t.buy_exec_id, t.sell_exec_id) \
             AND e.sequenced_at = t.sequenced_at \
             JOIN orders o ON o.order_id = e.order_id \
             JOIN sessions s ON s.session = o.session WHERE t.trade_id = ",
        );
        sql.bind(signed(id.0)).push(" ORDER BY e.exec_id");
        let found = self.fetch(Kind::Read, sql).await?;
        let [one, other] = found.as_slice() else {
            return Ok(None);
        };
        Ok(Some(TradeFills {
            trade_id: id,
            price: Price(one.int("traded_at")?),
            quantity: Quantity(one.number("traded")?),
            busted: one.flag("busted")?,
            fills: [amended_fill(one)?, amended_fill(other)?],
        }))
    }

    /// Positions, the highest firm first.
    ///
    /// # Errors
    /// As [`Store::orders`].
    pub async fn positions(
        &self,
        filter: &PositionFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<PositionRow>, StoreError> {
        let mut list = List::of(POSITIONS, &POSITION_KEYS);
        list.by("p.firm", wide(filter.firm))
            .is("p.account", wide(filter.account))
            .by("p.instrument", wide(filter.instrument));
        let key = |row: &PositionRow| {
            [row.firm, row.account, row.instrument]
                .map(i64::from)
                .to_vec()
        };
        self.page(list, cursor, limit, position_row, key).await
    }

    /// What became of mass quotes.
    ///
    /// # Errors
    /// As [`Store::orders`].
    pub async fn quotes(
        &self,
        filter: &QuoteFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<QuoteRow>, StoreError> {
        let mut list = List::of(QUOTES, &QUOTE_KEYS);
        list.by("q.session", wide(filter.session))
            .is("q.instrument", wide(filter.instrument))
            .is("q.quote_id", filter.quote_id.clone())
            .between(filter.since, filter.until);
        let key = |row: &QuoteRow| {
            vec![
                signed(row.sequence),
                i64::from(row.index),
                i64::from(row.entry),
            ]
        };
        self.page(list, cursor, limit, quote_row, key).await
    }

    /// What the venue's people did.
    ///
    /// # Errors
    /// As [`Store::orders`].
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<AuditRow>, StoreError> {
        let mut list = List::of(AUDIT, &AUDIT_KEYS);
        list.by("actor", filter.actor.clone())
            .is("action", filter.action.map(i64::from))
            .between(filter.since, filter.until);
        let key = |row: &AuditRow| vec![signed(row.sequence), i64::from(row.index)];
        self.page(list, cursor, limit, audit_row, key).await
    }

    /// Everything that is in none of the other lists: logons, refusals, mass cancels, switches, limits of
    /// protection, auctions, days.
    ///
    /// # Errors
    /// As [`Store::orders`].
    pub async fn events(
        &self,
        filter: &EventFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<EventRow>, StoreError> {
        let mut list = List::of(
            "SELECT sequence, idx, sequenced_at, kind, session, reason, \
             CAST(detail AS TEXT) AS detail FROM events",
            &EVENT_KEYS,
        );
        list.by("session", wide(filter.session))
            .is("kind", filter.kind.map(i64::from))
            .between(filter.since, filter.until);
        let key = |row: &EventRow| vec![signed(row.sequence), i64::from(row.index)];
        self.page(list, cursor, limit, event_row, key).await
    }
}

/// Units of a row's instrument.
struct Units {
    price_e8: i64,
    lot_e8: i64,
    decimals: u8,
}

impl Units {
    fn of(record: &Record) -> Result<Self, StoreError> {
        // Of an instrument the venue does not know: as sent, or nothing.
        Ok(Self {
            price_e8: record.int_or_null("price_unit_e8")?.unwrap_or(1),
            lot_e8: record.int_or_null("lot_size_e8")?.unwrap_or(1),
            decimals: record.number_or_null("price_decimals")?.unwrap_or(0),
        })
    }

    fn price(&self, units: i64) -> String {
        decimal(units, self.price_e8, self.decimals)
    }

    fn lots(&self, lots: i64) -> String {
        decimal(lots, self.lot_e8, 0)
    }
}

fn order_row(record: &Record) -> Result<OrderRow, StoreError> {
    let units = Units::of(record)?;
    let price = |column| Ok::<_, StoreError>(record.int_or_null(column)?.map(|p| units.price(p)));
    let lots = |column| Ok::<_, StoreError>(record.int_or_null(column)?.map(|l| units.lots(l)));
    let cumulative = record.int("cumulative")?;
    Ok(OrderRow {
        order_id: Id(record.number("order_id")?),
        session: record.number("session")?,
        firm: record.number("firm")?,
        account: record.number("account")?,
        instrument: record.number("instrument")?,
        symbol: record.text_or_null("symbol")?.unwrap_or_default(),
        client_order_id: record.text("client_order_id")?,
        side: side(record.number("side")?),
        order_type: order_type(record.number("order_type")?),
        time_in_force: time_in_force(record.number("time_in_force")?),
        status: status(record.number("status")?),
        price: price("price")?,
        quantity: units.lots(record.int("quantity")?),
        leaves: units.lots(record.int("leaves")?),
        cumulative: units.lots(cumulative),
        average_price: average(
            record.wide("notional")?,
            cumulative,
            units.price_e8,
            units.decimals,
        ),
        stop_price: price("stop_price")?,
        display_quantity: lots("display_quantity")?,
        minimum_quantity: lots("minimum_quantity")?,
        expire_at: record.number_or_null("expire_at")?.map(Time),
        post_only: record.int("instructions")? & 1 == 1,
        is_quote: record.flag("is_quote")?,
        protection_group: record.number("protection_group")?,
        reason: reason(record.number("reason")?),
        entered_at: Time(record.number("entered_at")?),
        updated_at: Time(record.number("updated_at")?),
        sequence: record.number("sequence")?,
        index: record.number("idx")?,
    })
}

fn execution_kind(kind: i64, corrected: bool) -> &'static str {
    let is = |one: EventKind| kind == i64::from(one as u8);
    if is(EventKind::OrderAccepted) || is(EventKind::OrderAcceptedWithTerms) {
        "accepted"
    } else if is(EventKind::OrderReplaced) || is(EventKind::OrderReplacedWithTerms) {
        "replaced"
    } else if is(EventKind::OrderCanceled) || is(EventKind::QuoteCanceled) {
        "canceled"
    } else if is(EventKind::OrderRejected) {
        "rejected"
    } else if is(EventKind::Fill) || is(EventKind::QuoteFill) {
        "fill"
    } else if is(EventKind::OrderTriggered) {
        "triggered"
    } else if is(EventKind::OrderRestated) || is(EventKind::QuoteRestated) {
        "restated"
    } else if is(EventKind::TradeAmended) {
        if corrected { "corrected" } else { "busted" }
    } else {
        "unknown"
    }
}

fn execution_row(record: &Record) -> Result<ExecutionRow, StoreError> {
    let mut units = Units::of(record)?;
    if record.int_or_null("raw")?.is_some() {
        (units.price_e8, units.lot_e8) = (1, 1);
    }
    let price = |column| Ok::<_, StoreError>(record.int_or_null(column)?.map(|p| units.price(p)));
    let lots = |column| Ok::<_, StoreError>(record.int_or_null(column)?.map(|l| units.lots(l)));
    let id = |column| Ok::<_, StoreError>(record.number_or_null(column)?.map(Id));
    let kind = record.int("kind")?;
    let new_price = price("new_price")?;
    let liquidity = record.int_or_null("liquidity")?.map(|number| match number {
        1 => "added",
        2 => "removed",
        4 => "auction",
        _ => "unknown",
    });
    Ok(ExecutionRow {
        exec_id: Id(record.number("exec_id")?),
        sequence: record.number("sequence")?,
        index: record.number("idx")?,
        at: Time(record.number("sequenced_at")?),
        received_at: record.number_or_null("received_at")?.map(Time),
        kind: execution_kind(kind, new_price.is_some()),
        reason: reason(record.number("reason")?),
        session: record.number("session")?,
        session_sequence: record.number("session_seq")?,
        epoch: record.number("epoch")?,
        order_id: id("order_id")?,
        client_order_id: record.text("client_order_id")?,
        request_id: record.text_or_null("request_id")?,
        instrument: record.number("instrument")?,
        symbol: record.text_or_null("symbol")?,
        account: record.number("account")?,
        side: side(record.number("side")?),
        order_type: order_type(record.number("order_type")?),
        time_in_force: time_in_force(record.number("time_in_force")?),
        status: status(record.number("status")?),
        price: price("price")?,
        quantity: units.lots(record.int("quantity")?),
        leaves: units.lots(record.int("leaves")?),
        cumulative: units.lots(record.int("cumulative")?),
        reduced: lots("reduced")?,
        last_price: price("last_price")?,
        last_quantity: lots("last_quantity")?,
        liquidity,
        trade_id: id("trade_id")?,
        reference_exec_id: id("reference_exec_id")?,
        new_price,
        stop_price: price("stop_price")?,
        display_quantity: lots("display_quantity")?,
        minimum_quantity: lots("minimum_quantity")?,
        expire_at: record.number_or_null("expire_at")?.map(Time),
        is_quote: kind == i64::from(EventKind::QuoteFill as u8)
            || kind == i64::from(EventKind::QuoteCanceled as u8)
            || kind == i64::from(EventKind::QuoteRestated as u8),
    })
}

fn trade_row(record: &Record) -> Result<TradeRow, StoreError> {
    let units = Units::of(record)?;
    let aggressor: u8 = record.number("aggressor")?;
    let corrected = record.int_or_null("corrected_price")?;
    Ok(TradeRow {
        trade_id: Id(record.number("trade_id")?),
        sequence: record.number("sequence")?,
        index: record.number("idx")?,
        at: Time(record.number("sequenced_at")?),
        instrument: record.number("instrument")?,
        symbol: record.text_or_null("symbol")?.unwrap_or_default(),
        price: units.price(record.int("price")?),
        quantity: units.lots(record.int("quantity")?),
        aggressor: (aggressor != 0).then(|| side(aggressor)),
        buy: TradeSide {
            order_id: Id(record.number("buy_order_id")?),
            exec_id: Id(record.number("buy_exec_id")?),
            session: record.number("buy_session")?,
            firm: record.number("buy_firm")?,
            account: record.number("buy_account")?,
        },
        sell: TradeSide {
            order_id: Id(record.number("sell_order_id")?),
            exec_id: Id(record.number("sell_exec_id")?),
            session: record.number("sell_session")?,
            firm: record.number("sell_firm")?,
            account: record.number("sell_account")?,
        },
        busted: record.flag("busted")?,
        corrected_price: corrected.map(|price| units.price(price)),
        amended_sequence: record.number_or_null("amended_sequence")?,
    })
}

fn position_row(record: &Record) -> Result<PositionRow, StoreError> {
    let units = Units::of(record)?;
    let (bought, sold) = (record.int("bought")?, record.int("sold")?);
    let price = |notional: &str, lots| {
        let sum = record.wide(notional)?;
        Ok::<_, StoreError>(average(sum, lots, units.price_e8, units.decimals))
    };
    Ok(PositionRow {
        firm: record.number("firm")?,
        account: record.number("account")?,
        instrument: record.number("instrument")?,
        symbol: record.text_or_null("symbol")?.unwrap_or_default(),
        bought: units.lots(bought),
        sold: units.lots(sold),
        net: units.lots(bought.saturating_sub(sold)),
        average_bought_price: price("bought_notional", bought)?,
        average_sold_price: price("sold_notional", sold)?,
        sequence: record.number("sequence")?,
    })
}

fn quote_row(record: &Record) -> Result<QuoteRow, StoreError> {
    let units = Units::of(record)?;
    let side = |columns: [&str; 5]| {
        let [order, price, quantity, status, why] = columns;
        let Some(quantity) = record.int_or_null(quantity)? else {
            return Ok::<_, StoreError>(None);
        };
        Ok(Some(QuoteSide {
            order_id: record.number_or_null(order)?.map(Id),
            price: record.int_or_null(price)?.map(|price| units.price(price)),
            quantity: units.lots(quantity),
            status: quote_status(record.number(status)?),
            reason: reason(record.number(why)?),
        }))
    };
    Ok(QuoteRow {
        sequence: record.number("sequence")?,
        index: record.number("idx")?,
        entry: record.number("entry")?,
        at: Time(record.number("sequenced_at")?),
        session: record.number("session")?,
        account: record.number("account")?,
        quote_id: record.text("quote_id")?,
        entry_id: record.text_or_null("entry_id")?,
        protection_group: record.number("protection_group")?,
        reason: reason(record.number("reason")?),
        instrument: record.number_or_null("instrument")?,
        symbol: record.text_or_null("symbol")?,
        layer: record.number_or_null("layer")?,
        bid: side([
            "bid_order_id",
            "bid_price",
            "bid_quantity",
            "bid_status",
            "bid_reason",
        ])?,
        ask: side([
            "ask_order_id",
            "ask_price",
            "ask_quantity",
            "ask_status",
            "ask_reason",
        ])?,
    })
}

fn audit_row(record: &Record) -> Result<AuditRow, StoreError> {
    let action: u8 = record.number("action")?;
    let role: usize = record.number("role")?;
    let command = CommandKind::ALL.iter().find(|kind| **kind as u8 == action);
    let target: u64 = record.number("target")?;
    let mut detail = record.text_or_null("detail")?;
    // Older notes had the login's first eight bytes for a number.
    let of_user = action == AuditNote::USER_CHANGED;
    if of_user && detail.is_none() && target != 0 {
        let bytes = target.to_be_bytes();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(8);
        detail = Some(String::from_utf8_lossy(&bytes[..end]).into_owned());
    }
    Ok(AuditRow {
        sequence: record.number("sequence")?,
        index: record.number("idx")?,
        at: Time(record.number("sequenced_at")?),
        request: record.text("request")?,
        actor: record.text("actor")?,
        role: AuditNote::ROLES.get(role).copied().unwrap_or("unknown"),
        action: match (action, command) {
            (AuditNote::KEY_ROTATED, _) => "KeyRotated".into(),
            (AuditNote::USER_CHANGED, _) => "UserChanged".into(),
            (_, Some(kind)) => format!("{kind:?}"),
            (_, None) => action.to_string(),
        },
        target: if of_user { 0 } else { target },
        detail,
        address: record.text("address")?,
        ended_sequence: record.number_or_null("ended_sequence")?,
        reason: reason(record.number("reason")?),
    })
}

/// Kinds of events that have rows in `events`: all but those that other tables are made of, and those that say
/// again what other rows say.
pub const EVENT_KINDS: [EventKind; 16] = [
    EventKind::ReferenceSet,
    EventKind::CapacitiesSet,
    EventKind::DefinitionRefused,
    EventKind::LogonAnswered,
    EventKind::SessionClosed,
    EventKind::BusinessRejected,
    EventKind::CommandRefused,
    EventKind::RequestRejected,
    EventKind::MassCancelDone,
    EventKind::DayRolled,
    EventKind::CancelAfterSet,
    EventKind::AuctionUncrossed,
    EventKind::KillSwitchDone,
    EventKind::QuoteCancelDone,
    EventKind::ProtectionSet,
    EventKind::ProtectionTripped,
];

/// The name of such a kind.
fn event_kind(number: u8) -> String {
    let known = EVENT_KINDS.iter().find(|kind| **kind as u8 == number);
    known.map_or_else(|| format!("Event{number}"), |kind| format!("{kind:?}"))
}

fn event_row(record: &Record) -> Result<EventRow, StoreError> {
    let detail = record.text("detail")?;
    Ok(EventRow {
        sequence: record.number("sequence")?,
        index: record.number("idx")?,
        at: Time(record.number("sequenced_at")?),
        kind: event_kind(record.number("kind")?),
        session: record.number("session")?,
        reason: reason(record.number("reason")?),
        detail: serde_json::from_str(&detail)
            .map_err(|error| StoreError::Data(format!("detail of an event: {error}")))?,
    })
}

fn amended_fill(record: &Record) -> Result<AmendedFill, StoreError> {
    let id = record.text("client_order_id")?;
    let binary = record.int("protocol")? == i64::from(SessionProtocol::Binary.as_u8());
    let wrong = || StoreError::Data(format!("client_order_id {id:?} cannot be"));
    let client_order_id = if binary {
        ClientOrderId::from_u64(id.parse().map_err(|_| wrong())?)
    } else {
        ClientOrderId::from_text(id.as_bytes()).map_err(|_| wrong())?
    };
    let notional = record.wide("notional")?.cast_unsigned();
    #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
    let notional = [notional as u64, (notional >> 64) as u64];
    Ok(AmendedFill {
        order: OrderState {
            order_id: OrderId(record.number("order_id")?),
            exec_id: ExecId(record.number("last_exec_id")?),
            client_order_id,
            price: record.int_or_null("price")?.map_or(NO_PRICE, Price),
            quantity: Quantity(record.number("quantity")?),
            leaves: Quantity(record.number("leaves")?),
            cumulative: Quantity(record.number("cumulative")?),
            notional,
            instrument: InstrumentId(record.number("instrument")?),
            account: AccountId(record.number("account")?),
            side: record.number("side")?,
            order_type: record.number("order_type")?,
            time_in_force: record.number("time_in_force")?,
            status: record.number("status")?,
            instructions: record.number("instructions")?,
            self_trade_prevention: record.number("self_trade_prevention")?,
            protection_group: record.number("protection_group")?,
        },
        session: SessionId(record.number("session")?),
        liquidity: record.number("liquidity")?,
        is_quote: u8::from(record.flag("is_quote")?),
        ..AmendedFill::default()
    })
}
