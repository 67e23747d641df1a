//! What history has to say after some events, worked out from the events alone and in plain words; and what
//! a database says, as lines to compare. A row is its columns joined by bars, nothing is a dash.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use trading_engine::engine::Engine;
use trading_engine::engine::command::{AuditNote, NO_PRICE, OrderTerms, name_text};
use trading_engine::engine::event::{
    EventBody, EventHeader, EventKind, Fill, OrderState, QuoteResult,
};
use trading_engine::store::url::DatabaseUrl;
use trading_engine_protocol::types::{ClientOrderId, Liquidity, Price, UtcNanos};

use super::postgres::block_on;

/// Table, columns in the order of a line, the order of the lines.
pub const TABLES: [(&str, &str, &str); 12] = [
    (
        "executions",
        "exec_id sequence idx sequenced_at received_at kind reason session epoch session_seq \
         order_id client_order_id request_id instrument account side order_type time_in_force \
         status price quantity leaves cumulative reduced last_price last_quantity liquidity \
         trade_id reference_exec_id new_price stop_price display_quantity minimum_quantity \
         expire_at raw symbol",
        "exec_id",
    ),
    (
        "trades",
        "trade_id sequence idx sequenced_at instrument price quantity aggressor buy_order_id \
         buy_exec_id buy_session buy_firm buy_account sell_order_id sell_exec_id sell_session \
         sell_firm sell_account busted corrected_price amended_sequence",
        "trade_id",
    ),
    (
        "orders",
        "order_id session firm account instrument client_order_id side order_type time_in_force \
         status price quantity leaves cumulative notional instructions self_trade_prevention \
         protection_group is_quote stop_price display_quantity minimum_quantity expire_at reason \
         exec_id entered_at updated_at sequence idx",
        "order_id",
    ),
    (
        "quotes",
        "sequence idx entry sequenced_at session session_seq account quote_id entry_id \
         protection_group reason instrument layer bid_order_id bid_price bid_quantity bid_status \
         bid_reason ask_order_id ask_price ask_quantity ask_status ask_reason",
        "sequence, idx, entry",
    ),
    (
        "positions",
        "firm account instrument bought sold bought_notional sold_notional sequence idx",
        "firm, account, instrument",
    ),
    ("accounts", "firm account enabled", "firm, account"),
    (
        "phases",
        "sequence idx sequenced_at instrument phase previous phase_until reason",
        "sequence, idx",
    ),
    (
        "events",
        "sequence idx sequenced_at kind session session_seq reason ref_tag",
        "sequence, idx",
    ),
    (
        "risk_limits",
        "firm by_account account instrument quantity notional_e8 position_limit gross_e8 net_e8 \
         collar_bp open_orders executions executions_ms messages position stopped sequence idx",
        "firm, by_account, account, instrument",
    ),
    (
        "kill_switches",
        "scope target firm active canceled session sequence idx",
        "scope, target, firm",
    ),
    (
        "protections",
        "firm protection_group session quantity net fills window_ms frozen_ms frozen_until \
         sequence idx",
        "firm, protection_group",
    ),
    (
        "admin_audit",
        "sequence idx actor action target ended_sequence reason",
        "sequence, idx",
    ),
];

/// Lines of every table, in the order of [`TABLES`].
pub type Lines = Vec<Vec<String>>;

/// Bought, sold, both notionals; the last event.
type Sums = ([i128; 4], (u64, u32));

#[derive(Clone)]
struct Order {
    state: OrderState,
    terms: OrderTerms,
    session: u32,
    is_quote: bool,
    reason: u16,
    entered_at: u64,
    updated_at: u64,
    at: (u64, u32),
}

/// What history has to say.
#[derive(Default)]
pub struct Projected {
    firms: BTreeMap<u32, u32>,
    executions: BTreeMap<u64, String>,
    trades: BTreeMap<u64, Vec<String>>,
    orders: BTreeMap<u64, Order>,
    quotes: Vec<String>,
    positions: BTreeMap<(u32, u32, u32), Sums>,
    /// Whether it is enabled, if it is registered.
    accounts: BTreeMap<(u32, u32), Option<u8>>,
    phases: Vec<String>,
    events: Vec<String>,
    limits: BTreeMap<(u32, u8, u32, u32), String>,
    switches: BTreeMap<(u8, u32, u32), String>,
    protections: BTreeMap<(u32, u16), Vec<String>>,
    audit: Vec<(u64, Vec<String>)>,
    half: Option<(Fill, u32, u32)>,
    sessions: BTreeMap<u32, (bool, u32)>,
    pub events_seen: u64,
    pub last_sequence: u64,
}

fn id(id: &ClientOrderId) -> String {
    match (id.as_text(), id.as_number()) {
        (Some(text), _) => String::from_utf8(text.to_vec()).unwrap(),
        (None, Some(number)) => number.to_string(),
        (None, None) => String::new(),
    }
}

fn some_id(of: &ClientOrderId) -> String {
    if of.is_none() { "-".into() } else { id(of) }
}

fn price(price: Price) -> String {
    if price == NO_PRICE {
        "-".into()
    } else {
        price.0.to_string()
    }
}

/// Zero is nothing.
fn some(number: u64) -> String {
    if number == 0 {
        "-".into()
    } else {
        at_most(number)
    }
}

/// What a BIGINT cannot say is its largest number.
fn at_most(number: u64) -> String {
    number.min(i64::MAX as u64).to_string()
}

fn terms(terms: &OrderTerms) -> String {
    let display = some(terms.display.0);
    let (minimum, expires) = (some(terms.minimum.0), some(terms.expire_at.0));
    format!("{}|{display}|{minimum}|{expires}", price(terms.stop_price))
}

const NO_TERMS: &str = "-|-|-|-";

impl Projected {
    fn firm(&self, h: &EventHeader) -> u32 {
        self.firms.get(&h.session.0).copied().unwrap_or(0)
    }

    /// Takes an event into account.
    pub fn event(&mut self, h: &EventHeader, body: &EventBody<'_>) {
        self.events_seen += 1;
        self.last_sequence = h.sequence.0;
        let refusal = match body {
            EventBody::CommandRefused(_) | EventBody::DefinitionRefused(_) => true,
            EventBody::KillSwitchDone(_) => h.session.0 == 0,
            _ => false,
        };
        for (asked, audit) in &mut self.audit {
            if refusal
                && h.reason != 0
                && *asked == h.received_at.0
                && audit[5] == "-"
                && audit[6] == "0"
            {
                audit[6] = h.reason.to_string();
            }
        }
        let plain = ["-"; 7].map(String::from);
        match body {
            EventBody::OrderAccepted(e) => self.report(h, &e.order, None, plain, "-".into()),
            EventBody::OrderAcceptedWithTerms(e) => {
                self.report(h, &e.order, Some(e.terms), plain, "-".into());
            }
            EventBody::OrderReplaced(e) => {
                self.report(h, &e.order, None, plain, some_id(&e.original));
            }
            EventBody::OrderReplacedWithTerms(e) => {
                let original = some_id(&e.replaced.original);
                self.report(h, &e.replaced.order, Some(e.terms), plain, original);
            }
            EventBody::OrderTriggered(e) => self.report(h, &e.order, None, plain, "-".into()),
            EventBody::OrderCanceled(e) => {
                let mut rest = plain;
                rest[0] = e.canceled.to_string();
                self.report(h, &e.order, None, rest, some_id(&e.request));
            }
            EventBody::QuoteCanceled(e) => {
                let mut rest = plain;
                rest[0] = e.canceled.canceled.to_string();
                self.report(h, &e.canceled.order, None, rest, some_id(&e.entry_id));
            }
            EventBody::OrderRestated(e) => {
                let mut rest = plain;
                rest[0] = e.reduced.to_string();
                self.report(h, &e.order, None, rest, "-".into());
            }
            EventBody::QuoteRestated(e) => {
                let mut rest = plain;
                rest[0] = e.restated.reduced.to_string();
                self.report(h, &e.restated.order, None, rest, some_id(&e.entry_id));
            }
            EventBody::Fill(e) => self.fill(h, e, "-".into()),
            EventBody::QuoteFill(e) => self.fill(h, &e.fill, some_id(&e.entry_id)),
            EventBody::TradeAmended(e) => {
                let rest = [
                    "-".into(),
                    e.price.to_string(),
                    e.quantity.to_string(),
                    e.liquidity.to_string(),
                    e.trade_id.to_string(),
                    e.reference.to_string(),
                    price(e.new_price),
                ];
                self.report(h, &e.order, None, rest, "-".into());
                let busted = e.new_price == NO_PRICE;
                let lots = i128::from(e.quantity.0);
                let was = i128::from(e.price.0) * lots;
                if busted {
                    self.book(h, &e.order, -lots, -was);
                } else {
                    self.book(h, &e.order, 0, i128::from(e.new_price.0) * lots - was);
                }
                let trade = self.trades.get_mut(&e.trade_id.0).expect("it was a trade");
                trade[18] = u8::from(busted).to_string();
                trade[19] = price(e.new_price);
                trade[20] = h.sequence.to_string();
            }
            EventBody::OrderRejected(e) => {
                let symbol = e.symbol.iter().take_while(|byte| **byte != 0);
                let symbol: String = symbol.map(|byte| char::from(*byte)).collect();
                let symbol = if symbol.is_empty() { "-" } else { &symbol };
                let line = format!(
                    "{}|-|{}|-|{}|{}|{}|{}|{}|8|{}|{}|0|0|-|-|-|-|-|-|-|{NO_TERMS}|{}|{symbol}",
                    self.head(h, e.exec_id.0),
                    id(&e.client_order_id),
                    e.instrument,
                    e.account,
                    e.side,
                    e.order_type,
                    e.time_in_force,
                    price(Price(e.price)),
                    e.quantity,
                    if e.raw == 1 { "1" } else { "-" },
                );
                self.executions.insert(e.exec_id.0, line);
            }
            EventBody::MassQuoteAnswered(e) => {
                let head = |entry: usize, entry_id: String| {
                    format!(
                        "{}|{}|{entry}|{}|{}|{}|{}|{}|{entry_id}|{}|{}",
                        h.sequence,
                        h.index,
                        h.sequenced_at.0,
                        h.session,
                        h.session_seq,
                        e.head.account,
                        id(&e.head.quote_id),
                        e.head.protection_group,
                        h.reason
                    )
                };
                if e.results.is_empty() {
                    let none = ["-"; 12].join("|");
                    self.quotes.push(format!("{}|{none}", head(0, "-".into())));
                }
                for (entry, result) in e.results.iter().enumerate() {
                    let head = head(entry, some_id(&result.entry_id));
                    self.quotes.push(format!("{head}|{}", quote(result)));
                }
            }
            EventBody::PhaseChanged(e) => {
                let until = some(e.until.0);
                self.phases.push(format!(
                    "{}|{}|{}|{}|{}|{}|{until}|{}",
                    h.sequence,
                    h.index,
                    h.sequenced_at.0,
                    e.instrument,
                    e.phase,
                    e.previous,
                    h.reason
                ));
            }
            EventBody::AccountSet(e) => {
                let key = (e.definition.firm.0, e.definition.account.0);
                self.accounts.insert(key, Some(e.definition.enabled));
            }
            EventBody::LimitsSet(e) => {
                let l = &e.limits;
                let key = (l.firm.0, l.by_account, l.account.0, l.instrument.0);
                let line = format!(
                    "{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}",
                    l.firm,
                    l.by_account,
                    l.account,
                    l.instrument,
                    l.quantity,
                    l.notional_e8,
                    l.position_limit,
                    l.gross_e8,
                    l.net_e8,
                    l.collar_bp,
                    l.open_orders,
                    l.executions,
                    l.executions_ms,
                    l.messages,
                    l.position,
                    e.stopped,
                    h.sequence,
                    h.index
                );
                self.limits.insert(key, line);
            }
            EventBody::AuditNoted(e) => self.audit(h, &e.note),
            EventBody::SessionDefined(e) => {
                let session = &e.definition;
                self.firms.insert(session.session.0, session.firm.0);
                self.sessions.entry(session.session.0).or_default();
            }
            EventBody::InstrumentDefined(_)
            | EventBody::FirmDefined(_)
            | EventBody::TickTableDefined(_)
            | EventBody::AdminMessage(_)
            | EventBody::AuctionIndicative(_)
            | EventBody::OrderStatusReport(_)
            | EventBody::QuoteStatusAnswered(_) => {}
            EventBody::KillSwitchDone(e) => {
                let firm = self.firm(h);
                if h.reason == 0 && e.cancels_only == 0 {
                    let line = format!(
                        "{}|{}|{firm}|{}|{}|{}|{}|{}",
                        e.scope,
                        e.target,
                        1 - e.release,
                        e.canceled,
                        h.session,
                        h.sequence,
                        h.index
                    );
                    self.switches.insert((e.scope, e.target, firm), line);
                }
                self.other(h);
            }
            EventBody::ProtectionSet(e) => {
                if h.reason == 0 {
                    let firm = self.firm(h);
                    let line = [
                        firm.to_string(),
                        e.protection_group.to_string(),
                        h.session.to_string(),
                        e.quantity.to_string(),
                        e.net.to_string(),
                        e.fills.to_string(),
                        e.window_ms.to_string(),
                        e.frozen_ms.to_string(),
                        some(e.frozen_until.0),
                        h.sequence.to_string(),
                        h.index.to_string(),
                    ];
                    let key = (firm, e.protection_group);
                    self.protections.insert(key, line.to_vec());
                }
                self.other(h);
            }
            EventBody::ProtectionTripped(e) => {
                let key = (self.firm(h), e.protection_group);
                if let Some(line) = self.protections.get_mut(&key) {
                    line[2] = h.session.to_string();
                    line[8] = at_most(e.frozen_until.0);
                    line[9] = h.sequence.to_string();
                    line[10] = h.index.to_string();
                }
                self.other(h);
            }
            EventBody::LogonAnswered(_) => {
                if h.reason == 0 || h.session_seq.0 != 0 {
                    self.sessions
                        .insert(h.session.0, (h.reason == 0, h.generation.0));
                }
                self.other(h);
            }
            EventBody::SessionClosed(_) => {
                self.sessions.entry(h.session.0).or_default().0 = false;
                self.other(h);
            }
            EventBody::DefinitionRefused(_)
            | EventBody::BusinessRejected(_)
            | EventBody::CommandRefused(_)
            | EventBody::RequestRejected(_)
            | EventBody::MassCancelDone(_)
            | EventBody::CancelAfterSet(_)
            | EventBody::DayRolled(_)
            | EventBody::ReferenceSet(_)
            | EventBody::CapacitiesSet(_)
            | EventBody::AuctionUncrossed(_)
            | EventBody::QuoteCancelDone(_) => self.other(h),
        }
    }

    fn other(&mut self, h: &EventHeader) {
        self.events.push(format!(
            "{}|{}|{}|{}|{}|{}|{}|{}",
            h.sequence,
            h.index,
            h.sequenced_at.0,
            h.kind,
            h.session,
            h.session_seq,
            h.reason,
            h.ref_tag
        ));
    }

    fn audit(&mut self, h: &EventHeader, note: &AuditNote) {
        if note.stage == AuditNote::ENDS {
            let asked = h.received_at.0;
            let mut open = self.audit.iter_mut();
            let open = open.find(|(of, line)| *of == asked && line[5] == "-");
            if let Some((_, line)) = open {
                line[5] = h.sequence.to_string();
            }
            return;
        }
        let alone = note.stage == AuditNote::ALONE;
        let line = [
            h.sequence.to_string(),
            h.index.to_string(),
            name_text(&note.actor).to_owned(),
            note.action.to_string(),
            note.target.to_string(),
            if alone {
                h.sequence.to_string()
            } else {
                "-".into()
            },
            "0".into(),
        ];
        self.audit.push((h.received_at.0, line.to_vec()));
    }

    fn head(&self, h: &EventHeader, exec_id: u64) -> String {
        format!(
            "{exec_id}|{}|{}|{}|{}|{}|{}|{}|{}|{}",
            h.sequence,
            h.index,
            h.sequenced_at.0,
            some(h.received_at.0),
            h.kind,
            h.reason,
            h.session,
            h.epoch,
            h.session_seq
        )
    }

    fn report(
        &mut self,
        h: &EventHeader,
        order: &OrderState,
        terms_now: Option<OrderTerms>,
        rest: [String; 7],
        request: String,
    ) {
        let line = format!(
            "{}|{}|{}|{request}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|-|-",
            self.head(h, order.exec_id.0),
            order.order_id,
            id(&order.client_order_id),
            order.instrument,
            order.account,
            order.side,
            order.order_type,
            order.time_in_force,
            order.status,
            price(order.price),
            order.quantity,
            order.leaves,
            order.cumulative,
            rest.join("|"),
            terms_now.as_ref().map_or_else(|| NO_TERMS.into(), terms),
        );
        assert!(self.executions.insert(order.exec_id.0, line).is_none());
        let firm = self.firm(h);
        self.accounts.entry((firm, order.account.0)).or_default();
        // An order begins with its acceptance; a quote's is in another event.
        let begins = [
            EventKind::OrderAccepted as u8,
            EventKind::OrderAcceptedWithTerms as u8,
        ];
        let known = self
            .orders
            .entry(order.order_id.0)
            .or_insert_with(|| Order {
                state: *order,
                terms: OrderTerms::NONE,
                session: h.session.0,
                is_quote: !begins.contains(&h.kind),
                reason: 0,
                entered_at: h.sequenced_at.0,
                updated_at: 0,
                at: (0, 0),
            });
        known.state = *order;
        known.terms = terms_now.unwrap_or(known.terms);
        known.reason = h.reason;
        known.updated_at = h.sequenced_at.0;
        known.at = (h.sequence.0, h.index);
    }

    fn fill(&mut self, h: &EventHeader, fill: &Fill, entry: String) {
        let rest = [
            "-".into(),
            fill.last_price.to_string(),
            fill.last_quantity.to_string(),
            fill.liquidity.to_string(),
            fill.trade_id.to_string(),
            "-".into(),
            "-".into(),
        ];
        self.report(h, &fill.order, None, rest, entry);
        let lots = i128::from(fill.last_quantity.0);
        self.book(h, &fill.order, lots, i128::from(fill.last_price.0) * lots);
        let Some((first, session, index)) = self.half.take() else {
            self.half = Some((*fill, h.session.0, h.index));
            return;
        };
        assert_eq!(first.trade_id, fill.trade_id, "fills come in pairs");
        let mut sides = [(first, session), (*fill, h.session.0)];
        let took = sides
            .iter()
            .find(|(fill, _)| fill.liquidity == Liquidity::Removed.as_u8());
        let aggressor = took.map_or(0, |(fill, _)| fill.order.side);
        sides.sort_by_key(|(fill, _)| fill.order.side);
        let mut line = vec![
            fill.trade_id.to_string(),
            h.sequence.to_string(),
            index.to_string(),
            h.sequenced_at.0.to_string(),
            fill.order.instrument.to_string(),
            fill.last_price.to_string(),
            fill.last_quantity.to_string(),
            aggressor.to_string(),
        ];
        for (fill, session) in sides {
            line.push(fill.order.order_id.to_string());
            line.push(fill.order.exec_id.to_string());
            line.push(session.to_string());
            line.push(self.firms[&session].to_string());
            line.push(fill.order.account.to_string());
        }
        line.extend(["0".into(), "-".into(), "-".into()]);
        assert!(self.trades.insert(fill.trade_id.0, line).is_none());
    }

    fn book(&mut self, h: &EventHeader, order: &OrderState, lots: i128, notional: i128) {
        let key = (self.firm(h), order.account.0, order.instrument.0);
        let (sums, at) = self.positions.entry(key).or_default();
        let side = usize::from(order.side) - 1;
        sums[side] += lots;
        sums[2 + side] += notional;
        *at = (h.sequence.0, h.index);
    }

    /// Lines of every table, and nothing that the engine would not confirm.
    pub fn lines(&self, engine: &Engine) -> Lines {
        let mut open = BTreeMap::new();
        engine.open_orders_in_full(|order| {
            if order.layer.is_none() {
                let state = order.state;
                let now = (state.leaves, state.cumulative, state.price, state.status);
                open.insert(state.order_id.0, now);
            }
        });
        let ours = self
            .orders
            .iter()
            .filter(|(_, order)| !order.is_quote && order.state.leaves.0 > 0);
        let ours: BTreeMap<u64, _> = ours
            .map(|(id, order)| {
                let state = order.state;
                (
                    *id,
                    (state.leaves, state.cumulative, state.price, state.status),
                )
            })
            .collect();
        assert_eq!(ours, open, "open orders are the engine's");
        let orders = self.orders.values().map(|order| {
            let o = &order.state;
            let notional =
                (u128::from(o.notional[1]) << 64 | u128::from(o.notional[0])).cast_signed();
            format!(
                "{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{notional}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}",
                o.order_id,
                order.session,
                self.firms[&order.session],
                o.account,
                o.instrument,
                id(&o.client_order_id),
                o.side,
                o.order_type,
                o.time_in_force,
                o.status,
                price(o.price),
                o.quantity,
                o.leaves,
                o.cumulative,
                o.instructions,
                o.self_trade_prevention,
                o.protection_group,
                u8::from(order.is_quote),
                terms(&order.terms),
                order.reason,
                o.exec_id,
                order.entered_at,
                order.updated_at,
                order.at.0,
                order.at.1,
            )
        });
        let positions = self
            .positions
            .iter()
            .map(|((firm, account, instrument), (sums, at))| {
                let sums = sums.map(|sum| sum.to_string()).join("|");
                format!("{firm}|{account}|{instrument}|{sums}|{}|{}", at.0, at.1)
            });
        let accounts = self.accounts.iter();
        vec![
            self.executions.values().cloned().collect(),
            self.trades.values().map(|line| line.join("|")).collect(),
            orders.collect(),
            self.quotes.clone(),
            positions.collect(),
            accounts
                .map(|((firm, account), enabled)| {
                    let enabled = enabled.map_or("-".into(), |enabled| enabled.to_string());
                    format!("{firm}|{account}|{enabled}")
                })
                .collect(),
            self.phases.clone(),
            self.events.clone(),
            self.limits.values().cloned().collect(),
            self.switches.values().cloned().collect(),
            self.protections
                .values()
                .map(|line| line.join("|"))
                .collect(),
            self.audit.iter().map(|(_, line)| line.join("|")).collect(),
        ]
    }

    /// Sessions: connected, generation.
    pub fn sessions(&self) -> Vec<String> {
        let line = |(session, (connected, generation)): (&u32, &(bool, u32))| {
            format!("{session}|{}|{generation}", u8::from(*connected))
        };
        self.sessions.iter().map(line).collect()
    }
}

fn quote(result: &QuoteResult) -> String {
    let side = |order: u64, price: i64, quantity: u64, status: u8, reason: u16| {
        let price = if quantity == 0 {
            "-".into()
        } else {
            price.to_string()
        };
        format!("{}|{price}|{quantity}|{status}|{reason}", some(order))
    };
    let bid = side(
        result.bid_order.0,
        result.bid_price.0,
        result.bid_quantity.0,
        result.bid_status,
        result.bid_reason,
    );
    let ask = side(
        result.ask_order.0,
        result.ask_price.0,
        result.ask_quantity.0,
        result.ask_status,
        result.ask_reason,
    );
    format!("{}|{}|{bid}|{ask}", result.instrument, result.layer)
}

/// Lines of a query with one text column.
pub fn lines_of(url: &DatabaseUrl, text: &str) -> Vec<String> {
    let text = AssertSqlSafe(text.to_owned());
    block_on(async {
        match url {
            DatabaseUrl::Postgres(options) => {
                let mut connection = PgConnection::connect_with(options).await.unwrap();
                let query = sqlx::query_scalar(text);
                query.fetch_all(&mut connection).await.unwrap()
            }
            DatabaseUrl::Sqlite(path) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                let query = sqlx::query_scalar(text);
                query.fetch_all(&mut connection).await.unwrap()
            }
        }
    })
}

/// Lines of every table of a database, in the order of [`TABLES`].
pub fn lines_in(url: &DatabaseUrl) -> Lines {
    TABLES
        .iter()
        .map(|(table, columns, order)| {
            let columns: Vec<String> = columns
                .split_whitespace()
                .map(|column| format!("COALESCE(CAST({column} AS TEXT), '-')"))
                .collect();
            let columns = columns.join(" || '|' || ");
            lines_of(
                url,
                &format!("SELECT {columns} FROM {table} ORDER BY {order}"),
            )
        })
        .collect()
}

/// Both are the same, row for row; says where they are not.
pub fn assert_same(found: &Lines, expected: &Lines) {
    for (((table, columns, _), found), expected) in TABLES.iter().zip(found).zip(expected) {
        for (at, (one, other)) in found.iter().zip(expected).enumerate() {
            assert_eq!(one, other, "{table}, row {at}: {columns}");
        }
        assert_eq!(found.len(), expected.len(), "rows of {table}");
    }
}

/// Day of a time, for partitions.
pub fn day(ns: u64) -> String {
    let (year, month, day) = UtcNanos(ns).date();
    format!("{year:04}{month:02}{day:02}")
}
