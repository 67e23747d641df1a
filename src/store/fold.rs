//! Events to rows: what each event means for history's tables. Pure, in the order of the log; a batch holds
//! what some thousand events come to, each order and position once.
//!
//! Every kind of event is named in `Fold::take`. Tables that grow (executions, trades, quotes, ...) get rows
//! in bulk, orders and positions are brought up to date as sets, and what seldom changes (definitions,
//! limits, switches) is one statement each, in the order of the events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;
use trading_engine_protocol::types::{
    ClientOrderId, KillScope, Liquidity, Price, Quantity, SessionId, Side, TradingPhase, UtcNanos,
};

use super::Sql;
use super::history::EVENT_KINDS;
use super::rows::{RowSink, Table};
use super::shapes::decimal;
use crate::engine::command::{
    AuditNote, CommandKind, DefineInstrument, NO_PRICE, OrderTerms, SetLimits, name_text,
};
use crate::engine::event::{
    EventBody, EventHeader, EventKind, Fill, KillSwitchDone, MassQuoteAnswered, OrderRejected,
    OrderReplaced, OrderState, ProtectionSet, TradeAmended,
};

/// A place in the stream of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The command.
    pub sequence: u64,
    /// The event of it, from 0.
    pub index: u32,
}

pub(super) const EXECUTIONS: Table = Table {
    name: "executions",
    columns: &[
        "exec_id",
        "sequence",
        "idx",
        "sequenced_at",
        "received_at",
        "kind",
        "reason",
        "session",
        "epoch",
        "session_seq",
        "order_id",
        "client_order_id",
        "request_id",
        "instrument",
        "account",
        "side",
        "order_type",
        "time_in_force",
        "status",
        "price",
        "quantity",
        "leaves",
        "cumulative",
        "reduced",
        "last_price",
        "last_quantity",
        "liquidity",
        "trade_id",
        "reference_exec_id",
        "new_price",
        "stop_price",
        "display_quantity",
        "minimum_quantity",
        "expire_at",
        "raw",
        "symbol",
    ],
};
pub(super) const TRADES: Table = Table {
    name: "trades",
    columns: &[
        "trade_id",
        "sequence",
        "idx",
        "sequenced_at",
        "instrument",
        "price",
        "quantity",
        "aggressor",
        "buy_order_id",
        "buy_exec_id",
        "buy_session",
        "buy_firm",
        "buy_account",
        "sell_order_id",
        "sell_exec_id",
        "sell_session",
        "sell_firm",
        "sell_account",
    ],
};
pub(super) const QUOTES: Table = Table {
    name: "quotes",
    columns: &[
        "sequence",
        "idx",
        "entry",
        "sequenced_at",
        "session",
        "session_seq",
        "account",
        "quote_id",
        "entry_id",
        "protection_group",
        "reason",
        "instrument",
        "layer",
        "bid_order_id",
        "bid_price",
        "bid_quantity",
        "bid_status",
        "bid_reason",
        "ask_order_id",
        "ask_price",
        "ask_quantity",
        "ask_status",
        "ask_reason",
    ],
};
pub(super) const EVENTS: Table = Table {
    name: "events",
    columns: &[
        "sequence",
        "idx",
        "sequenced_at",
        "kind",
        "session",
        "session_seq",
        "reason",
        "ref_tag",
        "detail",
    ],
};
pub(super) const PHASES: Table = Table {
    name: "phases",
    columns: &[
        "sequence",
        "idx",
        "sequenced_at",
        "instrument",
        "phase",
        "previous",
        "phase_until",
        "reason",
    ],
};
pub(super) const ORDERS: Table = Table {
    name: "orders",
    columns: &[
        "order_id",
        "session",
        "firm",
        "account",
        "instrument",
        "client_order_id",
        "side",
        "order_type",
        "time_in_force",
        "status",
        "price",
        "quantity",
        "leaves",
        "cumulative",
        "notional",
        "instructions",
        "self_trade_prevention",
        "protection_group",
        "is_quote",
        "stop_price",
        "display_quantity",
        "minimum_quantity",
        "expire_at",
        "reason",
        "exec_id",
        "entered_at",
        "updated_at",
        "sequence",
        "idx",
    ],
};
/// How an order that has a row gets what its last report says.
pub(super) const ORDERS_CHANGE: &str = " ON CONFLICT (order_id) DO UPDATE SET \
    client_order_id = excluded.client_order_id, order_type = excluded.order_type, \
    time_in_force = excluded.time_in_force, status = excluded.status, price = excluded.price, \
    quantity = excluded.quantity, leaves = excluded.leaves, cumulative = excluded.cumulative, \
    notional = excluded.notional, instructions = excluded.instructions, \
    stop_price = COALESCE(excluded.stop_price, orders.stop_price), \
    display_quantity = COALESCE(excluded.display_quantity, orders.display_quantity), \
    minimum_quantity = COALESCE(excluded.minimum_quantity, orders.minimum_quantity), \
    expire_at = COALESCE(excluded.expire_at, orders.expire_at), reason = excluded.reason, \
    exec_id = excluded.exec_id, updated_at = excluded.updated_at, \
    sequence = excluded.sequence, idx = excluded.idx";

/// What some fills did to a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PositionChange {
    pub bought: i64,
    pub sold: i64,
    pub bought_notional: i128,
    pub sold_notional: i128,
    pub at: Position,
}

/// Firm, account, instrument.
pub(super) type PositionKey = (u32, u32, u32);

/// What has one row that its last event states whole, so that a batch needs no statement of an earlier one.
/// They are written in the order in which they stand here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Latest {
    /// Phase of an instrument.
    Phase(u32),
    /// Its reference price.
    Reference(u32),
    /// Limits: firm, by account, account, instrument.
    Limits(u32, u8, u32, u32),
    /// A kill switch: scope, target, firm.
    KillSwitch(u8, u32, u32),
    /// Settings of a protection group: firm, group.
    Protection(u32, u16),
    /// Its trip since then.
    Trip(u32, u16),
    /// What a trade was amended to.
    Amended(u64),
}

/// How much a batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub events: u64,
    /// Rows and statements. Exceeded by what the last event of a batch comes to, a hundred rows at most.
    pub rows: u64,
}

/// Rows of some events, to be written in one transaction.
#[derive(Default)]
pub(super) struct Batch<S> {
    pub executions: S,
    pub trades: S,
    pub quotes: S,
    pub events: S,
    pub phases: S,
    /// Orders that this batch entered.
    pub orders_entered: S,
    /// Orders that have a row, or are quotes.
    pub orders_changed: S,
    pub accounts: BTreeMap<(u32, u32), Position>,
    pub positions: BTreeMap<PositionKey, PositionChange>,
    /// In this order.
    pub statements: Vec<Sql>,
    /// What each of these came to, behind the others: one statement each, however often it changed.
    latest: BTreeMap<Latest, Sql>,
    /// Days since 1970 that rows of partitioned tables are of.
    pub days: BTreeSet<u64>,
    /// Events it holds.
    pub count: u64,
    /// The last of them, its checksum and time.
    pub last: Position,
    pub crc: u32,
    pub sequenced_at: u64,
}

impl<S: RowSink> Batch<S> {
    /// Tables that only grow, and what they get.
    pub fn appended(&mut self) -> [(&'static Table, S); 6] {
        use std::mem::take;
        [
            (&ORDERS, take(&mut self.orders_entered)),
            (&EXECUTIONS, take(&mut self.executions)),
            (&TRADES, take(&mut self.trades)),
            (&QUOTES, take(&mut self.quotes)),
            (&EVENTS, take(&mut self.events)),
            (&PHASES, take(&mut self.phases)),
        ]
    }

    /// Rows of tables that only grow.
    pub fn rows(&self) -> u64 {
        let sinks = [
            &self.executions,
            &self.trades,
            &self.quotes,
            &self.events,
            &self.phases,
        ];
        sinks.iter().map(|sink| sink.rows() as u64).sum()
    }
}

/// An order as the batch leaves it.
struct OrderNow {
    state: OrderState,
    terms: OrderTerms,
    session: u32,
    firm: u32,
    /// Its acceptance is in the batch. Of one that is not, there is a row, or it is a quote: what restates
    /// a quote says the same as what restates an order.
    entered: bool,
    entered_at: u64,
    updated_at: u64,
    reason: u16,
    at: Position,
}

/// An audit note that began and has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenAudit {
    pub at: Position,
    pub received_at: u64,
    pub reason: u16,
    /// The row says so already.
    pub told: u16,
}

/// What is known across batches, and the batch being made.
pub(super) struct Fold<S> {
    /// Firm of each session.
    firms: HashMap<u32, u32>,
    audits: Vec<OpenAudit>,
    orders: HashMap<u64, OrderNow>,
    sessions: BTreeMap<u32, SessionNow>,
    /// The first fill of a trade, until the second.
    half: Option<(Fill, u32, Position)>,
    batch: Batch<S>,
}

/// What a batch did to a session's connection.
#[derive(Clone, Copy, Default)]
struct SessionNow {
    /// Generation and epoch.
    numbers: Option<(u32, u32)>,
    logon_at: Option<u64>,
    closed: Option<(u64, u16)>,
    connected: bool,
    at: Position,
}

/// What an execution report says beside the order.
#[derive(Default)]
struct Report {
    request: ClientOrderId,
    reduced: Option<u64>,
    last_price: Option<i64>,
    last_quantity: Option<u64>,
    liquidity: Option<u8>,
    trade: Option<u64>,
    reference: Option<u64>,
    new_price: Option<i64>,
    terms: Option<OrderTerms>,
}

impl<S: RowSink> Fold<S> {
    /// Begins behind what the database has: the sessions it knows, and its open audit notes.
    pub fn new(firms: HashMap<u32, u32>, audits: Vec<OpenAudit>) -> Self {
        Self {
            firms,
            audits,
            orders: HashMap::new(),
            sessions: BTreeMap::new(),
            half: None,
            batch: Batch::default(),
        }
    }

    /// Events taken since the last batch.
    pub fn count(&self) -> u64 {
        self.batch.count
    }

    /// Whether the batch holds as much as it may.
    pub fn is_full(&self, bound: Bound) -> bool {
        let statements = self.batch.statements.len() + self.batch.latest.len();
        let rows = self.batch.rows() + (self.orders.len() + statements) as u64;
        self.batch.count >= bound.events || rows >= bound.rows
    }

    /// Whether a batch may end here: not between the two fills of a trade.
    pub fn may_end(&self) -> bool {
        self.half.is_none()
    }

    /// The batch of what was taken.
    pub fn finish(&mut self) -> Batch<S> {
        let mut batch = std::mem::take(&mut self.batch);
        let latest = std::mem::take(&mut batch.latest);
        batch.statements.extend(latest.into_values());
        // In the order of their ids: that is how the index likes them.
        let mut orders: Vec<(u64, OrderNow)> = self.orders.drain().collect();
        orders.sort_unstable_by_key(|(id, _)| *id);
        for (_, order) in &orders {
            let sink = if order.entered {
                &mut batch.orders_entered
            } else {
                &mut batch.orders_changed
            };
            order_row(sink, order);
        }
        for (session, now) in std::mem::take(&mut self.sessions) {
            batch.statements.push(session_statement(session, &now));
        }
        for audit in &mut self.audits {
            if audit.reason != audit.told {
                audit.told = audit.reason;
                batch.statements.push(audit_statement(audit, None));
            }
        }
        batch
    }

    /// Takes the next event into account.
    pub fn take(&mut self, header: &EventHeader, body: &EventBody<'_>, crc: u32) {
        let at = Position {
            sequence: header.sequence.0,
            index: header.index,
        };
        self.batch.last = at;
        self.batch.crc = crc;
        self.batch.sequenced_at = header.sequenced_at.0;
        self.batch.count += 1;
        if is_refusal(header, body) && !self.audits.is_empty() {
            let asked = header.received_at.0;
            for audit in &mut self.audits {
                if audit.received_at == asked && audit.reason == 0 {
                    audit.reason = header.reason;
                }
            }
        }
        if !self.audits.is_empty()
            && let Some((action, detail)) = asked_for(header, body)
        {
            self.tell_audit(header, action, detail);
        }
        let h = header;
        match body {
            EventBody::Fill(fill) => {
                let none = &ClientOrderId::NONE;
                self.fill(h, EventKind::Fill, fill, none);
            }
            EventBody::OrderAccepted(event) => {
                self.report(h, EventKind::OrderAccepted, &event.order, Report::default());
            }
            EventBody::OrderAcceptedWithTerms(event) => {
                let report = Report {
                    terms: Some(event.terms),
                    ..Report::default()
                };
                self.report(h, EventKind::OrderAcceptedWithTerms, &event.order, report);
            }
            EventBody::OrderReplaced(event) => {
                self.replaced(h, EventKind::OrderReplaced, event, None);
            }
            EventBody::OrderReplacedWithTerms(event) => {
                let kind = EventKind::OrderReplacedWithTerms;
                self.replaced(h, kind, &event.replaced, Some(event.terms));
            }
            EventBody::OrderCanceled(event) => {
                let report = Report {
                    request: event.request,
                    reduced: Some(event.canceled.0),
                    ..Report::default()
                };
                self.report(h, EventKind::OrderCanceled, &event.order, report);
            }
            EventBody::OrderTriggered(event) => {
                self.report(
                    h,
                    EventKind::OrderTriggered,
                    &event.order,
                    Report::default(),
                );
            }
            EventBody::OrderRestated(event) => {
                let report = Report {
                    reduced: Some(event.reduced.0),
                    ..Report::default()
                };
                self.report(h, EventKind::OrderRestated, &event.order, report);
            }
            EventBody::QuoteRestated(event) => {
                let report = Report {
                    request: event.entry_id,
                    reduced: Some(event.restated.reduced.0),
                    ..Report::default()
                };
                let order = &event.restated.order;
                self.report(h, EventKind::QuoteRestated, order, report);
            }
            EventBody::OrderRejected(event) => self.rejected(h, event),
            EventBody::TradeAmended(event) => self.amended(h, event),
            EventBody::QuoteFill(event) => {
                self.fill(h, EventKind::QuoteFill, &event.fill, &event.entry_id);
            }
            EventBody::QuoteCanceled(event) => {
                let report = Report {
                    request: event.entry_id,
                    reduced: Some(event.canceled.canceled.0),
                    ..Report::default()
                };
                let order = &event.canceled.order;
                self.report(h, EventKind::QuoteCanceled, order, report);
            }
            EventBody::MassQuoteAnswered(event) => self.quoted(h, event),
            EventBody::InstrumentDefined(event) => {
                let statement = instrument_statement(at, &event.definition);
                self.batch.statements.push(statement);
            }
            EventBody::FirmDefined(event) => {
                let mut sql = Sql::new("INSERT INTO firms (firm, name, sequence, idx) VALUES (");
                let firm = &event.definition;
                sql.bind_all([int(firm.firm.0), name_text(&firm.name).into()]);
                end_upsert(&mut sql, at, "firm", &["name"]);
                self.batch.statements.push(sql);
            }
            EventBody::SessionDefined(event) => {
                let session = &event.definition;
                self.firms.insert(session.session.0, session.firm.0);
                let key = session.public_key;
                let key = key.iter().any(|byte| *byte != 0).then(|| hex(&key));
                let mut sql = Sql::new(
                    "INSERT INTO sessions (session, firm, protocol, name, roles, user_number, \
                     reset_at_day_roll, public_key, sequence, idx) VALUES (",
                );
                sql.bind_all([
                    int(session.session.0),
                    int(session.firm.0),
                    int(session.protocol),
                    name_text(&session.name).into(),
                    int(session.roles),
                    int(session.user),
                    int(session.reset_at_day_roll),
                    key.into(),
                ]);
                let columns = [
                    "firm",
                    "protocol",
                    "name",
                    "roles",
                    "user_number",
                    "reset_at_day_roll",
                    "public_key",
                ];
                end_upsert(&mut sql, at, "session", &columns);
                self.batch.statements.push(sql);
            }
            EventBody::TickTableDefined(event) => {
                let table = &event.definition;
                let steps = table.steps.iter().filter(|step| step.tick != 0);
                let steps: Vec<_> = steps.map(|step| json!([step.from.0, step.tick])).collect();
                let mut sql =
                    Sql::new("INSERT INTO tick_tables (tick_table, steps, sequence, idx) VALUES (");
                sql.bind_all([int(table.table), json!(steps).to_string().into()]);
                end_upsert(&mut sql, at, "tick_table", &["steps"]);
                self.batch.statements.push(sql);
            }
            EventBody::CapacitiesSet(event) => {
                let rules = event.capacities.rules;
                let c = &event.capacities.limits;
                let detail = json!({
                    "rules": rules,
                    "orders": c.orders,
                    "client_order_ids": c.client_order_ids,
                    "price_pages": c.price_pages,
                    "instruments": c.instruments,
                    "firms": c.firms,
                    "sessions": c.sessions,
                    "quotes": c.quotes,
                    "quotes_per_firm": c.quotes_per_firm,
                    "protection_groups": c.protection_groups,
                    "protection_groups_per_firm": c.protection_groups_per_firm,
                    "risk_limits": c.risk_limits,
                    "accounts": c.accounts,
                });
                self.note(h, &detail);
            }
            EventBody::ReferenceSet(event) => {
                let mut sql = Sql::new("UPDATE instruments SET reference_price = ");
                sql.bind(event.price.0);
                sql.push(" WHERE instrument = ")
                    .bind(int(event.instrument.0));
                let reference = Latest::Reference(event.instrument.0);
                self.batch.latest.insert(reference, sql);
                let detail = json!({"instrument": event.instrument.0, "price": event.price.0});
                self.note(h, &detail);
            }
            EventBody::AuditNoted(event) => self.audit(h, &event.note),
            EventBody::LimitsSet(event) => {
                let l = &event.limits;
                let key = Latest::Limits(l.firm.0, l.by_account, l.account.0, l.instrument.0);
                self.batch.latest.insert(key, limits_statement(at, event));
            }
            EventBody::AccountSet(event) => {
                let set = &event.definition;
                // Its row is made like that of one that trades, before all statements.
                let account = (set.firm.0, set.account.0);
                self.batch.accounts.entry(account).or_insert(at);
                let mut sql = Sql::new("UPDATE accounts SET enabled = ");
                sql.bind(int(set.enabled));
                sql.push(" WHERE firm = ").bind(int(set.firm.0));
                sql.push(" AND account = ").bind(int(set.account.0));
                self.batch.statements.push(sql);
            }
            EventBody::PhaseChanged(event) => {
                let until = (event.until.0 != 0).then_some(signed(event.until.0));
                let mut sql = Sql::new("UPDATE instruments SET phase = ");
                sql.bind(int(event.phase));
                sql.push(", phase_until = ").bind(until);
                sql.push(" WHERE instrument = ")
                    .bind(int(event.instrument.0));
                let phase = Latest::Phase(event.instrument.0);
                self.batch.latest.insert(phase, sql);
                let sink = &mut self.batch.phases;
                sink.row(PHASES.columns.len());
                place(sink, at);
                sink.int8(signed(h.sequenced_at.0));
                sink.int8(i64::from(event.instrument.0));
                sink.int2(i16::from(event.phase));
                sink.int2(i16::from(event.previous));
                sink.int8_or_null(until);
                sink.int2(small(h.reason));
            }
            EventBody::AuctionUncrossed(event) => {
                let detail = json!({
                    "instrument": event.instrument.0, "price": event.price.0,
                    "volume": event.volume.0, "imbalance": event.imbalance.0, "side": event.side,
                });
                self.note(h, &detail);
            }
            EventBody::KillSwitchDone(event) => self.kill_switch(h, event),
            EventBody::ProtectionSet(event) => self.protection(h, event),
            EventBody::ProtectionTripped(event) => {
                let firm = self.firm_of(h.session);
                let mut sql = Sql::new("UPDATE protections SET frozen_until = ");
                sql.bind(signed(event.frozen_until.0));
                sql.push(", tripped_by = ").bind(int(event.limit));
                sql.push(", session = ").bind(int(h.session.0));
                sql.push(", sequence = ").bind(signed(at.sequence));
                sql.push(", idx = ").bind(int(at.index));
                sql.push(" WHERE firm = ").bind(int(firm));
                sql.push(" AND protection_group = ")
                    .bind(int(event.protection_group));
                let trip = Latest::Trip(firm, event.protection_group);
                self.batch.latest.insert(trip, sql);
                let detail = json!({
                    "protection_group": event.protection_group, "limit": event.limit,
                    "frozen_until": event.frozen_until.0, "window_fills": event.window_fills,
                    "window_quantity": event.window_quantity.0, "window_net": event.window_net,
                    "order_id": event.order_id.0,
                });
                self.note(h, &detail);
            }
            EventBody::LogonAnswered(event) => {
                // A FIX logon with a number that is too low is refused, and takes the session over.
                if h.reason == 0 || h.session_seq.0 != 0 {
                    let now = self.sessions.entry(h.session.0).or_default();
                    now.numbers = Some((h.generation.0, h.epoch.0));
                    now.connected = h.reason == 0;
                    if now.connected {
                        now.logon_at = Some(h.sequenced_at.0);
                    }
                    now.at = at;
                }
                let detail = json!({
                    "generation": h.generation.0, "epoch": h.epoch.0, "reset": event.reset,
                    "inbound": event.inbound, "next_outbound": event.next_outbound.0,
                });
                self.note(h, &detail);
            }
            EventBody::SessionClosed(_) => {
                let now = self.sessions.entry(h.session.0).or_default();
                now.closed = Some((h.sequenced_at.0, h.reason));
                now.connected = false;
                now.at = at;
                self.note(h, &json!({"generation": h.generation.0}));
            }
            EventBody::DefinitionRefused(event) => {
                self.note(h, &json!({"command": event.command, "id": event.id}));
            }
            EventBody::BusinessRejected(event) => {
                let detail = json!({
                    "ref_msg_type": ascii(&event.ref_msg_type),
                    "business_reason": event.business_reason,
                    "ref_id": Id::of(&event.ref_id).text(),
                });
                self.note(h, &detail);
            }
            EventBody::CommandRefused(event) => self.note(h, &json!({"command": event.command})),
            EventBody::RequestRejected(event) => {
                let detail = json!({
                    "client_order_id": Id::of(&event.client_order_id).text(),
                    "original": Id::of(&event.original).text(),
                    "order_id": event.order_id.0, "request": event.request,
                    "status": event.status,
                });
                self.note(h, &detail);
            }
            EventBody::MassCancelDone(event) => {
                let detail = json!({
                    "client_order_id": Id::of(&event.client_order_id).text(),
                    "canceled": event.canceled, "instrument": event.instrument.0,
                    "product": event.product, "scope": event.scope, "side": event.side,
                    "account": (event.by_account == 1).then_some(event.account.0),
                    "protection_group": event.protection_group, "kinds": event.kinds,
                });
                self.note(h, &detail);
            }
            EventBody::CancelAfterSet(event) => {
                self.note(h, &json!({"cancel_at": event.cancel_at.0}));
            }
            EventBody::DayRolled(event) => {
                self.note(h, &json!({"trading_day": event.trading_day}));
            }
            EventBody::QuoteCancelDone(event) => {
                let detail = json!({
                    "quote_id": Id::of(&event.quote_id).text(), "canceled": event.canceled,
                    "instrument": event.instrument.0, "scope": event.scope,
                    "protection_group": event.protection_group, "layer": event.layer,
                });
                self.note(h, &detail);
            }
            // Heartbeats and their like; what an auction would do, ten times a second; and answers that say
            // again what other rows say. The event log has them.
            EventBody::AdminMessage(_)
            | EventBody::AuctionIndicative(_)
            | EventBody::OrderStatusReport(_)
            | EventBody::QuoteStatusAnswered(_) => {}
        }
    }

    fn firm_of(&self, session: SessionId) -> u32 {
        self.firms.get(&session.0).copied().unwrap_or(0)
    }

    fn fill(&mut self, h: &EventHeader, kind: EventKind, fill: &Fill, entry: &ClientOrderId) {
        let report = Report {
            request: *entry,
            last_price: Some(fill.last_price.0),
            last_quantity: Some(fill.last_quantity.0),
            liquidity: Some(fill.liquidity),
            trade: Some(fill.trade_id.0),
            ..Report::default()
        };
        self.report(h, kind, &fill.order, report);
        let lots = signed(fill.last_quantity.0);
        let notional = i128::from(fill.last_price.0) * i128::from(lots);
        self.book(h, &fill.order, lots, notional);
        let at = Position {
            sequence: h.sequence.0,
            index: h.index,
        };
        match self.half.take() {
            Some((first, session, first_at)) if first.trade_id == fill.trade_id => {
                let sides = [(&first, session), (fill, h.session.0)];
                self.trade(h, first_at, sides);
            }
            _ => self.half = Some((*fill, h.session.0, at)),
        }
    }

    fn trade(&mut self, h: &EventHeader, at: Position, sides: [(&Fill, u32); 2]) {
        let removed = |fill: &Fill| fill.liquidity == Liquidity::Removed.as_u8();
        let aggressor = sides.iter().find(|(fill, _)| removed(fill));
        let aggressor = aggressor.map_or(0, |(fill, _)| fill.order.side);
        let [one, other] = sides;
        let buy_first = one.0.order.side == Side::Buy.as_u8();
        let [buy, sell] = if buy_first {
            [one, other]
        } else {
            [other, one]
        };
        let firms = [buy, sell].map(|(_, session)| self.firm_of(SessionId(session)));
        let sink = &mut self.batch.trades;
        sink.row(TRADES.columns.len());
        sink.int8(signed(buy.0.trade_id.0));
        place(sink, at);
        sink.int8(signed(h.sequenced_at.0));
        sink.int8(i64::from(buy.0.order.instrument.0));
        sink.int8(buy.0.last_price.0);
        sink.int8(signed(buy.0.last_quantity.0));
        sink.int2(i16::from(aggressor));
        for ((fill, session), firm) in [buy, sell].into_iter().zip(firms) {
            sink.int8(signed(fill.order.order_id.0));
            sink.int8(signed(fill.order.exec_id.0));
            sink.int8(i64::from(session));
            sink.int8(i64::from(firm));
            sink.int8(i64::from(fill.order.account.0));
        }
    }

    /// Adds lots, or takes them back, to the position the order trades for.
    fn book(&mut self, h: &EventHeader, order: &OrderState, lots: i64, notional: i128) {
        let firm = self.firm_of(h.session);
        let at = Position {
            sequence: h.sequence.0,
            index: h.index,
        };
        let key = (firm, order.account.0, order.instrument.0);
        let change = self.batch.positions.entry(key).or_default();
        change.at = at;
        if order.side == Side::Buy.as_u8() {
            change.bought += lots;
            change.bought_notional += notional;
        } else {
            change.sold += lots;
            change.sold_notional += notional;
        }
    }

    fn replaced(
        &mut self,
        h: &EventHeader,
        kind: EventKind,
        event: &OrderReplaced,
        terms: Option<OrderTerms>,
    ) {
        let report = Report {
            request: event.original,
            terms,
            ..Report::default()
        };
        self.report(h, kind, &event.order, report);
    }

    fn amended(&mut self, h: &EventHeader, event: &TradeAmended) {
        let busted = event.new_price == NO_PRICE;
        let report = Report {
            last_price: Some(event.price.0),
            last_quantity: Some(event.quantity.0),
            liquidity: Some(event.liquidity),
            trade: Some(event.trade_id.0),
            reference: Some(event.reference.0),
            new_price: (!busted).then_some(event.new_price.0),
            ..Report::default()
        };
        self.report(h, EventKind::TradeAmended, &event.order, report);
        let lots = signed(event.quantity.0);
        let was = i128::from(event.price.0) * i128::from(lots);
        if busted {
            self.book(h, &event.order, -lots, -was);
        } else {
            let is = i128::from(event.new_price.0) * i128::from(lots);
            self.book(h, &event.order, 0, is - was);
        }
        // Said twice, once for each side: the second says the same. The last amendment is what stands.
        let mut sql = Sql::new("UPDATE trades SET busted = ");
        sql.bind(i64::from(busted));
        sql.push(", corrected_price = ")
            .bind((!busted).then_some(event.new_price.0));
        sql.push(", amended_sequence = ").bind(signed(h.sequence.0));
        sql.push(" WHERE trade_id = ")
            .bind(signed(event.trade_id.0));
        let amended = Latest::Amended(event.trade_id.0);
        self.batch.latest.insert(amended, sql);
    }

    /// A row of executions, and the order as it is now.
    fn report(&mut self, h: &EventHeader, kind: EventKind, order: &OrderState, report: Report) {
        let at = Position {
            sequence: h.sequence.0,
            index: h.index,
        };
        let at_ns = h.sequenced_at.0;
        self.batch.days.insert(at_ns / UtcNanos::DAY);
        let sink = &mut self.batch.executions;
        execution_head(sink, h, kind, order.exec_id.0);
        sink.int8(signed(order.order_id.0));
        sink.text(Id::of(&order.client_order_id).text());
        let request = Id::of(&report.request);
        sink.text_or_null((!report.request.is_none()).then(|| request.text()));
        sink.int8(i64::from(order.instrument.0));
        sink.int8(i64::from(order.account.0));
        sink.int2(i16::from(order.side));
        sink.int2(i16::from(order.order_type));
        sink.int2(i16::from(order.time_in_force));
        sink.int2(i16::from(order.status));
        sink.int8_or_null(price(order.price));
        sink.int8(signed(order.quantity.0));
        sink.int8(signed(order.leaves.0));
        sink.int8(signed(order.cumulative.0));
        sink.int8_or_null(report.reduced.map(signed));
        sink.int8_or_null(report.last_price);
        sink.int8_or_null(report.last_quantity.map(signed));
        sink.int2_or_null(report.liquidity.map(i16::from));
        sink.int8_or_null(report.trade.map(signed));
        sink.int8_or_null(report.reference.map(signed));
        sink.int8_or_null(report.new_price);
        terms(sink, report.terms.as_ref().unwrap_or(&OrderTerms::NONE));
        sink.null();
        sink.null();

        let firm = self.firm_of(h.session);
        let account = (firm, order.account.0);
        self.batch.accounts.entry(account).or_insert(at);
        let entered = matches!(
            kind,
            EventKind::OrderAccepted | EventKind::OrderAcceptedWithTerms
        );
        let now = self
            .orders
            .entry(order.order_id.0)
            .or_insert_with(|| OrderNow {
                state: *order,
                terms: OrderTerms::NONE,
                session: h.session.0,
                firm,
                entered,
                entered_at: at_ns,
                updated_at: at_ns,
                reason: h.reason,
                at,
            });
        now.state = *order;
        now.updated_at = at_ns;
        now.reason = h.reason;
        now.at = at;
        if let Some(terms) = report.terms {
            now.terms = terms;
        }
    }

    /// An order that never was: a report without an order.
    fn rejected(&mut self, h: &EventHeader, event: &OrderRejected) {
        self.batch.days.insert(h.sequenced_at.0 / UtcNanos::DAY);
        let sink = &mut self.batch.executions;
        execution_head(sink, h, EventKind::OrderRejected, event.exec_id.0);
        sink.null();
        sink.text(Id::of(&event.client_order_id).text());
        sink.null();
        sink.int8(i64::from(event.instrument.0));
        sink.int8(i64::from(event.account.0));
        sink.int2(i16::from(event.side));
        sink.int2(i16::from(event.order_type));
        sink.int2(i16::from(event.time_in_force));
        sink.int2(i16::from(
            trading_engine_protocol::types::OrderStatus::Rejected.as_u8(),
        ));
        sink.int8_or_null(price(Price(event.price)));
        sink.int8(event.quantity);
        sink.int8(0);
        sink.int8(0);
        for _ in 0..7 {
            sink.null();
        }
        terms(sink, &OrderTerms::NONE);
        sink.int2_or_null((event.raw != 0).then_some(1));
        let symbol = ascii(&event.symbol);
        sink.text_or_null((!symbol.is_empty()).then_some(symbol.as_str()));
    }

    fn quoted(&mut self, h: &EventHeader, event: &MassQuoteAnswered) {
        self.batch.days.insert(h.sequenced_at.0 / UtcNanos::DAY);
        let head = &event.head;
        let quote_id = Id::of(&head.quote_id);
        let mut row = |entry: usize, result: Option<&crate::engine::event::QuoteResult>| {
            let sink = &mut self.batch.quotes;
            sink.row(QUOTES.columns.len());
            sink.int8(signed(h.sequence.0));
            sink.int4(count(h.index));
            sink.int4(i32::try_from(entry).unwrap_or(i32::MAX));
            sink.int8(signed(h.sequenced_at.0));
            sink.int8(i64::from(h.session.0));
            sink.int8(signed(h.session_seq.0));
            sink.int8(i64::from(head.account.0));
            sink.text(quote_id.text());
            let Some(result) = result else {
                sink.null();
                sink.int4(i32::from(head.protection_group));
                sink.int2(small(h.reason));
                for _ in 0..12 {
                    sink.null();
                }
                return;
            };
            let entry_id = Id::of(&result.entry_id);
            sink.text_or_null((!result.entry_id.is_none()).then(|| entry_id.text()));
            sink.int4(i32::from(head.protection_group));
            sink.int2(small(h.reason));
            sink.int8(i64::from(result.instrument.0));
            sink.int4(i32::from(result.layer));
            let bid = (result.bid_order, result.bid_price, result.bid_quantity);
            let ask = (result.ask_order, result.ask_price, result.ask_quantity);
            let bid = (bid, result.bid_status, result.bid_reason);
            let ask = (ask, result.ask_status, result.ask_reason);
            for ((order, price, quantity), status, reason) in [bid, ask] {
                sink.int8_or_null((order.0 != 0).then(|| signed(order.0)));
                sink.int8_or_null((quantity.0 != 0).then_some(price.0));
                sink.int8(signed(quantity.0));
                sink.int2(i16::from(status));
                sink.int2(small(reason));
            }
        };
        if event.results.is_empty() {
            row(0, None);
        }
        for (entry, result) in event.results.iter().enumerate() {
            row(entry, Some(result));
        }
    }

    fn kill_switch(&mut self, h: &EventHeader, event: &KillSwitchDone) {
        let firm = self.firm_of(h.session);
        if h.reason == 0 && event.cancels_only == 0 {
            let at = Position {
                sequence: h.sequence.0,
                index: h.index,
            };
            let mut sql = Sql::new(
                "INSERT INTO kill_switches (scope, target, firm, active, canceled, session, \
                 changed_at, sequence, idx) VALUES (",
            );
            sql.bind_all([
                int(event.scope),
                int(event.target),
                int(firm),
                i64::from(event.release == 0).into(),
                signed(event.canceled).into(),
                int(h.session.0),
                signed(h.sequenced_at.0).into(),
            ]);
            let columns = ["active", "canceled", "session", "changed_at"];
            end_upsert(&mut sql, at, "scope, target, firm", &columns);
            let switch = Latest::KillSwitch(event.scope, event.target, firm);
            self.batch.latest.insert(switch, sql);
        }
        let mut detail = json!({
            "scope": event.scope, "target": event.target, "release": event.release,
            "canceled": event.canceled,
            "client_order_id": Id::of(&event.client_order_id).text(),
        });
        if event.cancels_only == 1 {
            detail["cancels_only"] = json!(1);
        }
        self.note(h, &detail);
    }

    fn protection(&mut self, h: &EventHeader, event: &ProtectionSet) {
        let firm = self.firm_of(h.session);
        if h.reason == 0 {
            let at = Position {
                sequence: h.sequence.0,
                index: h.index,
            };
            let frozen = (event.frozen_until.0 != 0).then(|| signed(event.frozen_until.0));
            let mut sql = Sql::new(
                "INSERT INTO protections (firm, protection_group, session, quantity, net, fills, \
                 window_ms, frozen_ms, frozen_until, tripped_by, sequence, idx) VALUES (",
            );
            sql.bind_all([
                int(firm),
                int(event.protection_group),
                int(h.session.0),
                signed(event.quantity.0).into(),
                signed(event.net.0).into(),
                int(event.fills),
                int(event.window_ms),
                int(event.frozen_ms),
                frozen.into(),
                Option::<i64>::None.into(),
            ]);
            let columns = [
                "session",
                "quantity",
                "net",
                "fills",
                "window_ms",
                "frozen_ms",
                "frozen_until",
                "tripped_by",
            ];
            end_upsert(&mut sql, at, "firm, protection_group", &columns);
            let latest = &mut self.batch.latest;
            latest.insert(Latest::Protection(firm, event.protection_group), sql);
            // The settings say that it is not, or is still, frozen.
            latest.remove(&Latest::Trip(firm, event.protection_group));
        }
        let detail = json!({
            "protection_group": event.protection_group, "quantity": event.quantity.0,
            "net": event.net.0, "fills": event.fills, "window_ms": event.window_ms,
            "frozen_ms": event.frozen_ms, "frozen_until": event.frozen_until.0,
            "client_order_id": Id::of(&event.client_order_id).text(),
        });
        self.note(h, &detail);
    }

    fn audit(&mut self, h: &EventHeader, note: &AuditNote) {
        let at = Position {
            sequence: h.sequence.0,
            index: h.index,
        };
        let asked = h.received_at.0;
        let mut open = self.audits.iter();
        let open = open.position(|open| open.received_at == asked);
        if note.stage == AuditNote::SUBJECT {
            if let Some(place) = open {
                let mut sql = Sql::new("UPDATE admin_audit SET detail = ");
                sql.bind(audit_detail(note));
                end_audit_statement(&mut sql, self.audits[place].at);
                self.batch.statements.push(sql);
            }
            return;
        }
        if note.stage == AuditNote::ENDS {
            if let Some(place) = open {
                let open = self.audits.remove(place);
                let statement = audit_statement(&open, Some(at.sequence));
                self.batch.statements.push(statement);
            }
            return;
        }
        let alone = note.stage == AuditNote::ALONE;
        let mut sql = Sql::new(
            "INSERT INTO admin_audit (sequence, idx, sequenced_at, received_at, request, actor, \
             role, action, target, address, ended_sequence, reason, detail) VALUES (",
        );
        let address = std::net::Ipv6Addr::from(note.address).to_canonical();
        sql.bind_all([
            signed(at.sequence).into(),
            int(at.index),
            signed(h.sequenced_at.0).into(),
            signed(h.received_at.0).into(),
            hex(&note.request).into(),
            name_text(&note.actor).into(),
            int(note.role),
            int(note.action),
            signed(note.target).into(),
            address.to_string().into(),
            alone.then(|| signed(at.sequence)).into(),
            int(h.reason),
            audit_detail(note).into(),
        ]);
        sql.push(")");
        self.batch.statements.push(sql);
        if !alone {
            self.audits.push(OpenAudit {
                at,
                received_at: h.received_at.0,
                reason: 0,
                told: 0,
            });
        }
    }

    /// What was asked for, as the event of a command between two notes says it.
    fn tell_audit(&mut self, h: &EventHeader, action: CommandKind, detail: String) {
        let asked = h.received_at.0;
        let open = self.audits.iter().find(|open| open.received_at == asked);
        if let Some(at) = open.map(|open| open.at) {
            let mut sql = Sql::new("UPDATE admin_audit SET detail = ");
            sql.bind(detail);
            end_audit_statement(&mut sql, at);
            // A day that begins, say, changes more than itself.
            sql.push(" AND action = ").bind(int(action as u8));
            sql.push(" AND detail IS NULL");
            self.batch.statements.push(sql);
        }
    }

    /// A row of the table of everything else.
    fn note(&mut self, h: &EventHeader, detail: &serde_json::Value) {
        debug_assert!(
            EVENT_KINDS.iter().any(|kind| *kind as u8 == h.kind),
            "Invariant: what is noted has a name: {h:?}"
        );
        let sink = &mut self.batch.events;
        sink.row(EVENTS.columns.len());
        sink.int8(signed(h.sequence.0));
        sink.int4(count(h.index));
        sink.int8(signed(h.sequenced_at.0));
        sink.int2(i16::from(h.kind));
        sink.int8(i64::from(h.session.0));
        sink.int8(signed(h.session_seq.0));
        sink.int2(small(h.reason));
        sink.int4(count(h.ref_tag));
        sink.json(&detail.to_string());
    }
}

fn execution_head<S: RowSink>(sink: &mut S, h: &EventHeader, kind: EventKind, exec_id: u64) {
    sink.row(EXECUTIONS.columns.len());
    sink.int8(signed(exec_id));
    sink.int8(signed(h.sequence.0));
    sink.int4(count(h.index));
    sink.int8(signed(h.sequenced_at.0));
    sink.int8_or_null((h.received_at.0 != 0).then(|| signed(h.received_at.0)));
    sink.int2(kind as i16);
    sink.int2(small(h.reason));
    sink.int8(i64::from(h.session.0));
    sink.int8(i64::from(h.epoch.0));
    sink.int8(signed(h.session_seq.0));
}

fn terms<S: RowSink>(sink: &mut S, terms: &OrderTerms) {
    let some = |number: u64| (number != 0).then(|| signed(number));
    sink.int8_or_null(price(terms.stop_price));
    sink.int8_or_null(some(terms.display.0));
    sink.int8_or_null(some(terms.minimum.0));
    sink.int8_or_null(some(terms.expire_at.0));
}

fn order_row<S: RowSink>(sink: &mut S, order: &OrderNow) {
    let state = &order.state;
    sink.row(ORDERS.columns.len());
    sink.int8(signed(state.order_id.0));
    sink.int8(i64::from(order.session));
    sink.int8(i64::from(order.firm));
    sink.int8(i64::from(state.account.0));
    sink.int8(i64::from(state.instrument.0));
    sink.text(Id::of(&state.client_order_id).text());
    sink.int2(i16::from(state.side));
    sink.int2(i16::from(state.order_type));
    sink.int2(i16::from(state.time_in_force));
    sink.int2(i16::from(state.status));
    sink.int8_or_null(price(state.price));
    sink.int8(signed(state.quantity.0));
    sink.int8(signed(state.leaves.0));
    sink.int8(signed(state.cumulative.0));
    sink.wide(notional(state.notional));
    sink.int2(i16::from(state.instructions));
    sink.int2(i16::from(state.self_trade_prevention));
    sink.int4(i32::from(state.protection_group));
    sink.int2(i16::from(!order.entered));
    terms(sink, &order.terms);
    sink.int2(small(order.reason));
    sink.int8(signed(state.exec_id.0));
    sink.int8(signed(order.entered_at));
    sink.int8(signed(order.updated_at));
    place(sink, order.at);
}

fn place<S: RowSink>(sink: &mut S, at: Position) {
    sink.int8(signed(at.sequence));
    sink.int4(count(at.index));
}

fn session_statement(session: u32, now: &SessionNow) -> Sql {
    let mut sql = Sql::new("UPDATE sessions SET connected = ");
    sql.bind(i64::from(now.connected));
    if let Some((generation, epoch)) = now.numbers {
        sql.push(", generation = ").bind(int(generation));
        sql.push(", epoch = ").bind(int(epoch));
    }
    if let Some(at) = now.logon_at {
        sql.push(", logon_at = ").bind(signed(at));
    }
    if let Some((at, reason)) = now.closed {
        sql.push(", closed_at = ").bind(signed(at));
        sql.push(", closed_reason = ").bind(int(reason));
    }
    sql.push(", sequence = ").bind(signed(now.at.sequence));
    sql.push(", idx = ").bind(int(now.at.index));
    sql.push(" WHERE session = ").bind(int(session));
    sql
}

/// Whether something that the venue asked for was refused. Other reasons say why it was done.
fn is_refusal(header: &EventHeader, body: &EventBody<'_>) -> bool {
    // A session's own kill switch has nothing to do with the venue's.
    let of_venue = matches!(body, EventBody::KillSwitchDone(_)) && header.session.0 == 0;
    header.reason != 0
        && (of_venue
            || matches!(
                body,
                EventBody::CommandRefused(_) | EventBody::DefinitionRefused(_)
            ))
}

fn audit_statement(audit: &OpenAudit, ended: Option<u64>) -> Sql {
    let mut sql = Sql::new("UPDATE admin_audit SET reason = ");
    sql.bind(int(audit.reason));
    if let Some(ended) = ended {
        sql.push(", ended_sequence = ").bind(signed(ended));
    }
    end_audit_statement(&mut sql, audit.at);
    sql
}

fn end_audit_statement(sql: &mut Sql, at: Position) {
    sql.push(" WHERE sequence = ").bind(signed(at.sequence));
    sql.push(" AND idx = ").bind(int(at.index));
}

/// What was asked for, as far as a note says it.
fn audit_detail(note: &AuditNote) -> Option<String> {
    let [what, how] = note.content;
    if note.action == AuditNote::KEY_ROTATED && how & 2 == 2 {
        return Some("it failed; the key is as it was".into());
    }
    let less = what.checked_sub(1)?;
    if note.action == CommandKind::KillSwitch as u8 {
        let scope = KillScope::try_from(what).ok()?;
        let how = ["on", "off", "cancels only"].get(usize::from(how))?;
        Some(format!("{} {how}", format!("{scope:?}").to_lowercase()))
    } else if note.action == CommandKind::SetPhase as u8 {
        let phase = TradingPhase::try_from(less).ok()?;
        Some(format!("{phase:?}"))
    } else if note.action == AuditNote::USER_CHANGED && note.stage == AuditNote::SUBJECT {
        let role = AuditNote::ROLES.get(usize::from(less))?;
        let disabled = if how & 1 == 1 { ", disabled" } else { "" };
        let failed = if how & 2 == 2 {
            "; the database failed at it"
        } else {
            ""
        };
        let name = name_text(&note.actor);
        Some(format!("{name}: {role}{disabled}{failed}"))
    } else {
        None
    }
}

/// What a command of the venue's people asked for, of those whose note does not say it: of one that was taken.
/// Secrets are in no event.
fn asked_for(header: &EventHeader, body: &EventBody<'_>) -> Option<(CommandKind, String)> {
    let told = match body {
        EventBody::InstrumentDefined(event) => {
            let d = &event.definition;
            let price = |units| decimal(units, d.price_unit_e8, d.price_decimals);
            let distance = |units: u64| price(signed(units));
            let lots = |lots: Quantity| decimal(signed(lots.0), d.lot_size_e8, 0);
            let mut text = format!(
                "{}: price {} to {} by {}, quantity {} to {} by {}, protection {} ticks",
                name_text(&d.symbol),
                price(d.price_min.0),
                price(d.price_max.0),
                distance(d.tick),
                lots(d.quantity_min),
                lots(d.quantity_max),
                lots(d.quantity_increment),
                d.protection_ticks,
            );
            for (name, band) in [("static", d.static_band), ("dynamic", d.dynamic_band)] {
                if band != 0 {
                    text += &format!(", {name} band {}", distance(band));
                }
            }
            for (name, number) in [
                ("interruption_ms", d.interruption_ms),
                ("product", d.product),
                ("tick_table", u32::from(d.tick_table)),
            ] {
                if number != 0 {
                    text += &format!(", {name} {number}");
                }
            }
            (CommandKind::DefineInstrument, text)
        }
        EventBody::FirmDefined(event) => {
            let name = name_text(&event.definition.name);
            (CommandKind::DefineFirm, name.to_owned())
        }
        EventBody::SessionDefined(event) => {
            let d = &event.definition;
            let (firm, user, roles) = (d.firm.0, d.user, d.roles);
            let text = format!(
                "{}: firm {firm}, protocol {}, roles {roles}, user {user}",
                name_text(&d.name),
                d.protocol
            );
            (CommandKind::DefineSession, text)
        }
        EventBody::TickTableDefined(event) => {
            let steps = event.definition.steps.iter().filter(|step| step.tick != 0);
            let steps: Vec<String> = steps
                .map(|step| format!("from {} by {}", step.from.0, step.tick))
                .collect();
            (CommandKind::DefineTickTable, steps.join(", "))
        }
        EventBody::ReferenceSet(event) => {
            let text = format!("{} price units", event.price.0);
            (CommandKind::SetReference, text)
        }
        // Fills stopped what these are for, before the command that was asked for.
        EventBody::LimitsSet(_) if header.reason != 0 => return None,
        EventBody::LimitsSet(event) => (CommandKind::SetLimits, limits_text(&event.limits)),
        EventBody::AccountSet(event) => {
            let set = &event.definition;
            let now = if set.enabled == 1 {
                "enabled"
            } else {
                "disabled"
            };
            let text = format!("firm {}, account {}: {now}", set.firm.0, set.account.0);
            (CommandKind::SetAccount, text)
        }
        EventBody::TradeAmended(event) => {
            let text = if event.new_price == NO_PRICE {
                "busted".to_owned()
            } else {
                let (price, new_price) = (event.price.0, event.new_price.0);
                format!("{new_price} price units in place of {price}")
            };
            (CommandKind::AmendTrade, text)
        }
        EventBody::DayRolled(event) => (CommandKind::DayRoll, event.trading_day.to_string()),
        EventBody::AuditNoted(_)
        | EventBody::CapacitiesSet(_)
        | EventBody::LogonAnswered(_)
        | EventBody::AdminMessage(_)
        | EventBody::BusinessRejected(_)
        | EventBody::OrderAccepted(_)
        | EventBody::OrderReplaced(_)
        | EventBody::OrderCanceled(_)
        | EventBody::OrderRejected(_)
        | EventBody::RequestRejected(_)
        | EventBody::Fill(_)
        | EventBody::OrderAcceptedWithTerms(_)
        | EventBody::OrderReplacedWithTerms(_)
        | EventBody::OrderTriggered(_)
        | EventBody::OrderRestated(_)
        | EventBody::QuoteRestated(_)
        | EventBody::MassCancelDone(_)
        | EventBody::CancelAfterSet(_)
        | EventBody::AuctionIndicative(_)
        | EventBody::AuctionUncrossed(_)
        | EventBody::MassQuoteAnswered(_)
        | EventBody::QuoteCanceled(_)
        | EventBody::QuoteFill(_)
        | EventBody::QuoteCancelDone(_)
        | EventBody::ProtectionSet(_)
        | EventBody::ProtectionTripped(_)
        | EventBody::OrderStatusReport(_)
        | EventBody::QuoteStatusAnswered(_)
        | EventBody::DefinitionRefused(_)
        | EventBody::CommandRefused(_)
        | EventBody::PhaseChanged(_)
        | EventBody::KillSwitchDone(_)
        | EventBody::SessionClosed(_) => return None,
    };
    Some(told)
}

fn limits_text(limits: &SetLimits) -> String {
    let mut text = format!("firm {}", limits.firm.0);
    if limits.by_account == 1 {
        text += &format!(", account {}", limits.account.0);
    }
    if limits.instrument.0 != 0 {
        text += &format!(", instrument {}", limits.instrument.0);
    }
    let all = [
        ("quantity", limits.quantity.0),
        ("notional_e8", limits.notional_e8),
        ("position_limit", limits.position_limit.0),
        ("gross_e8", limits.gross_e8),
        ("net_e8", limits.net_e8),
        ("collar_bp", limits.collar_bp.into()),
        ("open_orders", limits.open_orders.into()),
        ("duplicates", limits.duplicates.into()),
        ("duplicates_ms", limits.duplicates_ms.into()),
        ("executions", limits.executions.into()),
        ("executions_ms", limits.executions_ms.into()),
        ("messages", limits.messages.into()),
        ("messages_ms", limits.messages_ms.into()),
    ];
    let set: Vec<String> = all
        .iter()
        .filter(|(_, number)| *number != 0)
        .map(|(name, number)| format!("{name} {number}"))
        .collect();
    let set = if set.is_empty() {
        "none".to_owned()
    } else {
        set.join(", ")
    };
    format!("{text}: {set}")
}

fn instrument_statement(at: Position, d: &DefineInstrument) -> Sql {
    let mut sql = Sql::new(
        "INSERT INTO instruments (phase, instrument, symbol, price_decimals, price_unit_e8, \
         lot_size_e8, tick, tick_table, price_min, price_max, quantity_min, quantity_max, \
         quantity_increment, protection_ticks, static_band, dynamic_band, interruption_ms, \
         product, sequence, idx) VALUES (",
    );
    sql.bind_all([
        int(d.first_phase),
        int(d.instrument.0),
        name_text(&d.symbol).into(),
        int(d.price_decimals),
        d.price_unit_e8.into(),
        d.lot_size_e8.into(),
        signed(d.tick).into(),
        int(d.tick_table),
        d.price_min.0.into(),
        d.price_max.0.into(),
        signed(d.quantity_min.0).into(),
        signed(d.quantity_max.0).into(),
        signed(d.quantity_increment.0).into(),
        signed(d.protection_ticks).into(),
        signed(d.static_band).into(),
        signed(d.dynamic_band).into(),
        int(d.interruption_ms),
        int(d.product),
    ]);
    // Its phase is another matter once it is there.
    let columns = [
        "symbol",
        "price_decimals",
        "price_unit_e8",
        "lot_size_e8",
        "tick",
        "tick_table",
        "price_min",
        "price_max",
        "quantity_min",
        "quantity_max",
        "quantity_increment",
        "protection_ticks",
        "static_band",
        "dynamic_band",
        "interruption_ms",
        "product",
    ];
    end_upsert(&mut sql, at, "instrument", &columns);
    sql
}

fn limits_statement(at: Position, event: &crate::engine::event::LimitsSet) -> Sql {
    let l = &event.limits;
    let mut sql = Sql::new(
        "INSERT INTO risk_limits (firm, by_account, account, instrument, quantity, notional_e8, \
         position_limit, gross_e8, net_e8, collar_bp, open_orders, duplicates, duplicates_ms, \
         executions, executions_ms, messages, messages_ms, position, stopped, sequence, idx) \
         VALUES (",
    );
    sql.bind_all([
        int(l.firm.0),
        int(l.by_account),
        int(l.account.0),
        int(l.instrument.0),
        signed(l.quantity.0).into(),
        signed(l.notional_e8).into(),
        signed(l.position_limit.0).into(),
        signed(l.gross_e8).into(),
        signed(l.net_e8).into(),
        int(l.collar_bp),
        int(l.open_orders),
        int(l.duplicates),
        int(l.duplicates_ms),
        int(l.executions),
        int(l.executions_ms),
        int(l.messages),
        int(l.messages_ms),
        l.position.into(),
        int(event.stopped),
    ]);
    let columns = [
        "quantity",
        "notional_e8",
        "position_limit",
        "gross_e8",
        "net_e8",
        "collar_bp",
        "open_orders",
        "duplicates",
        "duplicates_ms",
        "executions",
        "executions_ms",
        "messages",
        "messages_ms",
        "position",
        "stopped",
    ];
    end_upsert(
        &mut sql,
        at,
        "firm, by_account, account, instrument",
        &columns,
    );
    sql
}

/// Ends an insert whose last two columns are the place it comes from: a row that is there gets `columns`.
fn end_upsert(sql: &mut Sql, at: Position, key: &str, columns: &[&str]) {
    sql.push(", ").bind(signed(at.sequence));
    sql.push(", ").bind(int(at.index));
    sql.push(") ON CONFLICT (")
        .push(key)
        .push(") DO UPDATE SET ");
    for column in columns {
        sql.push(column)
            .push(" = excluded.")
            .push(column)
            .push(", ");
    }
    sql.push("sequence = excluded.sequence, idx = excluded.idx");
}

/// Ids, times and lots are far below 2^63; what is not, is as far as a BIGINT goes.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn small(number: u16) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

fn int(number: impl Into<i64>) -> super::Value {
    number.into().into()
}

fn price(price: Price) -> Option<i64> {
    (price != NO_PRICE).then_some(price.0)
}

/// The two halves of an `i128`, put together.
pub(super) fn notional(halves: [u64; 2]) -> i128 {
    ((u128::from(halves[1]) << 64) | u128::from(halves[0])).cast_signed()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Zero-padded text that came from outside: what is not printable is not shown.
fn ascii(padded: &[u8]) -> String {
    let bytes = padded.iter().take_while(|byte| **byte != 0);
    bytes
        .map(|byte| {
            if byte.is_ascii_graphic() {
                char::from(*byte)
            } else {
                '?'
            }
        })
        .collect()
}

/// A client's id as text, without an allocation: a binary one is decimal.
pub(super) struct Id {
    bytes: [u8; ClientOrderId::TEXT_LENGTH_MAX],
    length: usize,
}

impl Id {
    pub fn of(id: &ClientOrderId) -> Self {
        let mut bytes = [0; ClientOrderId::TEXT_LENGTH_MAX];
        if let Some(text) = id.as_text() {
            bytes[..text.len()].copy_from_slice(text);
            return Self {
                bytes,
                length: text.len(),
            };
        }
        let Some(mut number) = id.as_number() else {
            return Self { bytes, length: 0 };
        };
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        while number > 0 {
            at -= 1;
            #[allow(clippy::cast_possible_truncation, reason = "below 10")]
            let digit = (number % 10) as u8;
            digits[at] = b'0' + digit;
            number /= 10;
        }
        let length = digits.len() - at;
        bytes[..length].copy_from_slice(&digits[at..]);
        Self { bytes, length }
    }

    pub fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or("?")
    }
}
