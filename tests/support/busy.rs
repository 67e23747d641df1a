//! Random commands of every kind, most of which are taken: a small venue in which all of the core's
//! state is in use.

use std::collections::VecDeque;

use trading_engine::engine::Engine;
use trading_engine::engine::command::{
    self, AmendTrade, AmendedFill, Body, CancelAfter, Command, CommandHeader, ConfigureProtection,
    DayRoll, DefineFirm, DefineInstrument, DefineSession, DefineTickTable, EnterOrder,
    EnterOrderWithTerms, Genesis, KillSwitch, MassCancel, MassQuoteHead, OrderStatusRequest,
    OrderTerms, QuoteCancel, QuoteEntry, RefuseOrder, ReplaceOrderWithTerms, ResetProtection,
    SessionDisconnected, SessionLogon, SessionMessage, SetAccount, SetLimits, SetPhase,
    SetReference, Tick, TickStep, name,
};
use trading_engine::engine::event::{EventBody, Fill, QuoteFill};
use trading_engine::limits::EngineLimits;
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, FirmId, Generation, InstrumentId, Price, Quantity, Reason, Sequence,
    SessionId, SessionProtocol, UtcNanos,
};
use zerocopy::IntoBytes;

use super::venue::{self, NO_PRICE};
use super::workload::Random;

pub const LIMITS: EngineLimits = EngineLimits {
    orders: 256,
    client_order_ids: 2_048,
    price_pages: 32,
    instruments: 4,
    firms: 3,
    sessions: 6,
    quotes: 48,
    quotes_per_firm: 32,
    protection_groups: 4,
    protection_groups_per_firm: 3,
    risk_limits: 4,
    accounts: 5,
};

const SESSIONS: u64 = 5;
const INSTRUMENTS: u64 = 3;
const MILLISECOND: u64 = 1_000_000;

/// A trade as the event log would tell it.
type Trade = [(SessionId, Fill); 2];

/// Draws the commands.
pub struct Busy {
    random: Random,
    /// Definitions that come first, the next one last.
    first: Vec<Vec<u8>>,
    last_id: u64,
    now: u64,
    day: u32,
    half: Option<(SessionId, Fill)>,
    trades: VecDeque<Trade>,
}

impl Busy {
    pub fn new(seed: u64) -> Self {
        let mut first = definitions();
        first.reverse();
        Self {
            random: Random::new(seed),
            first,
            last_id: 0,
            now: 0,
            day: 20_260_101,
            half: None,
            trades: VecDeque::new(),
        }
    }

    /// Goes on where something was done before.
    pub fn further(seed: u64, last_id: u64) -> Self {
        Self {
            first: Vec::new(),
            last_id,
            ..Self::new(seed)
        }
    }

    /// The next command of the log, 8-aligned.
    pub fn next(&mut self, engine: &Engine) -> Vec<u64> {
        self.now = engine.sequenced_at().0;
        let mut bytes = match self.first.pop() {
            Some(definition) => definition,
            None => self.draw(),
        };
        let mut words = vec![0u64; bytes.len() / 8];
        let (mut header, _) = zerocopy::FromBytes::read_from_prefix(&bytes)
            .map(|(header, rest): (CommandHeader, &[u8])| (header, rest.len()))
            .unwrap();
        header.sequence = Sequence(engine.sequence().0 + 1);
        let step = match self.random.below(60) {
            0 => 400 * MILLISECOND,
            1..=9 => self.random.below(40) * MILLISECOND,
            _ => self.random.below(3),
        };
        header.sequenced_at = UtcNanos(self.now.saturating_add(step));
        let mut sessions = engine.sessions();
        if let Some(session) = sessions.find(|it| it.definition.session == header.session) {
            let stale = self.random.below(200) == 0;
            header.generation =
                Generation(session.generation - u32::from(stale && session.generation > 0));
        }
        bytes[..size_of::<CommandHeader>()].copy_from_slice(header.as_bytes());
        words.as_mut_bytes().copy_from_slice(&bytes);
        words
    }

    /// Remembers trades, for busts, and what they were corrected to.
    pub fn saw(&mut self, events: &[u8]) {
        venue::for_each_event(events, |header, body| {
            if let EventBody::TradeAmended(amended) = body
                && amended.new_price != NO_PRICE
            {
                let sides = self.trades.iter_mut().flatten().map(|(_, fill)| fill);
                let of = |fill: &&mut Fill| {
                    let order = fill.order.order_id == amended.order.order_id;
                    order && fill.trade_id == amended.trade_id
                };
                for side in sides.filter(of) {
                    side.order = amended.order;
                    side.last_price = amended.new_price;
                }
            }
            let (EventBody::Fill(&fill) | EventBody::QuoteFill(&QuoteFill { fill, .. })) = body
            else {
                return;
            };
            match self.half.take() {
                Some(maker) if maker.1.trade_id == fill.trade_id => {
                    self.trades.push_back([maker, (header.session, fill)]);
                    self.trades.truncate(64);
                }
                _ => self.half = Some((header.session, fill)),
            }
        });
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.random.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len() as u64) as usize]
    }

    fn new_id(&mut self) -> ClientOrderId {
        self.last_id += 1;
        ClientOrderId::from_u64(self.last_id)
    }

    fn later(&mut self) -> UtcNanos {
        let after = self.pick(&[0, 5, 50, 2_000, 1 << 40]) * MILLISECOND;
        UtcNanos(self.now.saturating_add(after))
    }

    /// One that the session used.
    fn old_id(&mut self, session: SessionId) -> ClientOrderId {
        let recent = self.last_id.saturating_sub(self.random.below(80)).max(6);
        let off = (recent - u64::from(session.0)) % SESSIONS;
        ClientOrderId::from_u64(recent - off)
    }

    fn instrument(&mut self) -> InstrumentId {
        InstrumentId(1 + self.random.below(INSTRUMENTS) as u32)
    }

    fn price(&mut self, side: u8) -> Price {
        let middle = if side == 1 { 9_990 } else { 10_010 };
        let away = self.random.below(60) as i64 - 30;
        Price(if self.one_in(2) {
            middle + away
        } else {
            (middle + away) / 5 * 5
        })
    }

    fn draw(&mut self) -> Vec<u8> {
        // A client keeps to its session: its ids are its own.
        let session = SessionId(1 + (self.last_id % SESSIONS) as u32);
        match self.random.below(100) {
            0..=33 => self.order(session),
            34..=43 => self.replace(session),
            44..=49 => {
                let (id, original) = (self.new_id(), self.old_id(session));
                let cancel = command::CancelOrder {
                    client_order_id: id,
                    original,
                    ..command::CancelOrder::default()
                };
                of(session, cancel)
            }
            50..=69 => self.mass_quote(session),
            70..=73 => {
                let cancel = QuoteCancel {
                    quote_id: self.new_id(),
                    instrument: self.instrument(),
                    protection_group: self.random.below(3) as u16,
                    layer: self.random.below(3) as u16,
                    scope: 1 + self.random.below(4) as u8,
                    ..QuoteCancel::default()
                };
                of(session, cancel)
            }
            74..=76 => self.protection(session),
            77..=82 => self.comes_or_goes(session),
            83 => {
                let cancel = MassCancel {
                    client_order_id: self.new_id(),
                    instrument: InstrumentId(self.random.below(INSTRUMENTS + 1) as u32),
                    scope: self.pick(&[1, 1, 2, 3]),
                    side: self.random.below(3) as u8,
                    kinds: self.random.below(3) as u8,
                    ..MassCancel::default()
                };
                of(session, cancel)
            }
            84 => {
                let request = OrderStatusRequest {
                    client_order_id: self.new_id(),
                    original: self.old_id(session),
                    all: self.random.below(2) as u8,
                    ..OrderStatusRequest::default()
                };
                of(session, request)
            }
            85 => {
                let after_ms = self.pick(&[0, 1, 20, 300]);
                of(
                    session,
                    CancelAfter {
                        after_ms,
                        reserved: 0,
                    },
                )
            }
            86 => {
                let refuse = RefuseOrder {
                    client_order_id: self.new_id(),
                    reason: Reason::InvalidField.code(),
                    ..RefuseOrder::default()
                };
                of(session, refuse)
            }
            _ => self.venue(),
        }
    }

    fn order(&mut self, session: SessionId) -> Vec<u8> {
        let side = 1 + self.random.below(2) as u8;
        let order_type = self.pick(&[2, 2, 2, 2, 1, 3, 4, 20]);
        let mut terms = OrderTerms::NONE;
        let mut price = self.price(side);
        if [1, 3, 20].contains(&order_type) {
            price = NO_PRICE;
        }
        if [3, 4].contains(&order_type) {
            let away = 5 * (1 + self.random.below(10) as i64);
            terms.stop_price = Price(if side == 1 {
                10_000 + away
            } else {
                10_000 - away
            });
        }
        let time_in_force = match order_type {
            1 => self.pick(&[3, 4, 2, 7]),
            3 | 4 => self.pick(&[0, 1, 6]),
            _ => self.pick(&[0, 1, 1, 6, 6, 3, 4, 2, 7]),
        };
        if time_in_force == 6 {
            terms.expire_at = self.later();
        }
        let most = self.pick(&[30, 30, 30, 30, 30, 300]);
        let quantity = 1 + self.random.below(most);
        let rests = [0, 1, 6].contains(&time_in_force);
        if rests && [2, 4].contains(&order_type) && self.one_in(3) {
            terms.display = Quantity(1 + self.random.below(quantity.min(5)));
        }
        let instrument = self.instrument();
        let order = EnterOrder {
            price,
            account: AccountId(self.random.below(2) as u32),
            order_type,
            instructions: if order_type == 2 && rests {
                self.pick(&[0, 0, 1, 4])
            } else {
                0
            },
            self_trade_prevention: self.pick(&[0, 0, 0, 1, 2, 3, 4, 0x12, 0x14]),
            protection_group: self.pick(&[0, 0, 0, 1, 2]),
            ..venue::enter(0, instrument.0, side, time_in_force, price.0, quantity)
        };
        let order = EnterOrder {
            client_order_id: self.new_id(),
            ..order
        };
        if terms == OrderTerms::NONE {
            of(session, order)
        } else {
            of(session, EnterOrderWithTerms { order, terms })
        }
    }

    fn replace(&mut self, session: SessionId) -> Vec<u8> {
        let side = 1 + self.random.below(2) as u8;
        let price = if self.one_in(5) {
            NO_PRICE
        } else {
            self.price(side)
        };
        let (original, total) = (self.old_id(session), 1 + self.random.below(60));
        let replace = command::ReplaceOrder {
            client_order_id: self.new_id(),
            original,
            ..self.stated(venue::replace(0, 0, 0, price.0, total))
        };
        if self.one_in(2) {
            return of(session, replace);
        }
        let mut terms = OrderTerms::NONE;
        match self.random.below(3) {
            0 => terms.display = Quantity(1 + self.random.below(5)),
            1 => terms.stop_price = Price(9_950 + 5 * self.random.below(20) as i64),
            _ => terms.expire_at = self.later(),
        }
        of(session, ReplaceOrderWithTerms { replace, terms })
    }

    /// Now and then a replace states what it cannot change, often as the order does not have it.
    fn stated(&mut self, replace: command::ReplaceOrder) -> command::ReplaceOrder {
        if !self.one_in(4) {
            return replace;
        }
        command::ReplaceOrder {
            stated: 1 << self.random.below(4),
            account: AccountId(self.random.below(2) as u32),
            protection_group: self.random.below(2) as u16,
            instructions: self.random.below(2) as u8,
            self_trade_prevention: self.pick(&[0, 1, 3]),
            ..replace
        }
    }

    fn mass_quote(&mut self, session: SessionId) -> Vec<u8> {
        let head = MassQuoteHead {
            quote_id: self.new_id(),
            account: AccountId(self.random.below(2) as u32),
            protection_group: self.random.below(3) as u16,
            instructions: self.random.below(2) as u8,
            self_trade_prevention: self.pick(&[0, 1, 3, 4]),
            ..MassQuoteHead::default()
        };
        let entries: Vec<QuoteEntry> = (0..1 + self.random.below(5))
            .map(|number| QuoteEntry {
                entry_id: ClientOrderId::from_u64(1 + number),
                instrument: self.instrument(),
                layer: self.random.below(3) as u16,
                not_stated: self.pick(&[0, 0, 0, 1, 2]),
                bid_price: self.price(1),
                bid_quantity: Quantity(self.random.below(12)),
                ask_price: self.price(2),
                ask_quantity: Quantity(self.random.below(12)),
                ..QuoteEntry::default()
            })
            .collect();
        let header = CommandHeader {
            session,
            ..Command::new(CancelAfter::default()).header
        };
        command::mass_quote(header, &head, &entries)
    }

    fn protection(&mut self, session: SessionId) -> Vec<u8> {
        let (client_order_id, protection_group) = (self.new_id(), 1 + self.random.below(2) as u16);
        if self.one_in(2) {
            let reset = ResetProtection {
                client_order_id,
                protection_group,
                ..Default::default()
            };
            return of(session, reset);
        }
        let configure = ConfigureProtection {
            client_order_id,
            quantity: Quantity(self.pick(&[0, 40, 200])),
            net: Quantity(self.pick(&[0, 60])),
            fills: self.pick(&[0, 20]),
            window_ms: self.pick(&[0, 5, 500, 60_000, 60_000]),
            frozen_ms: self.pick(&[0, 1, 100]),
            protection_group,
            ..ConfigureProtection::default()
        };
        of(session, configure)
    }

    fn comes_or_goes(&mut self, session: SessionId) -> Vec<u8> {
        match self.random.below(8) {
            0 => {
                let reason = Reason::GoingAway.code();
                of(
                    session,
                    SessionDisconnected {
                        reason,
                        ..Default::default()
                    },
                )
            }
            1 => {
                let message = SessionMessage {
                    outbound_kind: b'1',
                    ..SessionMessage::default()
                };
                of(session, message)
            }
            _ => {
                let logon = SessionLogon {
                    cancel_on_disconnect: self.random.below(4) as u8,
                    cancel_grace_ms: self.pick(&[0, 30, 2_000]),
                    ..SessionLogon::default()
                };
                of(session, logon)
            }
        }
    }

    /// What the venue does itself.
    fn venue(&mut self) -> Vec<u8> {
        let nobody = SessionId(0);
        match self.random.below(60) {
            0 => {
                self.day += 1;
                let trading_day = self.day;
                of(
                    nobody,
                    DayRoll {
                        trading_day,
                        reserved: 0,
                    },
                )
            }
            1..=14 => {
                // Mostly trading goes on.
                let phase = self.pick(&[0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
                let instrument = InstrumentId(self.random.below(INSTRUMENTS + 1) as u32);
                of(
                    nobody,
                    SetPhase {
                        instrument,
                        phase,
                        ..SetPhase::default()
                    },
                )
            }
            15..=20 => {
                let release = u8::from(!self.one_in(4));
                let scope = 1 + self.random.below(5) as u8;
                let target = if scope == 5 {
                    0
                } else {
                    1 + self.random.below(3) as u32
                };
                of(
                    nobody,
                    KillSwitch {
                        target,
                        scope,
                        release,
                        ..KillSwitch::default()
                    },
                )
            }
            21..=26 => self.limits(),
            27..=30 => {
                let (instrument, price) = (
                    self.instrument(),
                    Price(9_990 + 5 * self.random.below(5) as i64),
                );
                of(
                    nobody,
                    SetReference {
                        instrument,
                        reserved: 0,
                        price,
                    },
                )
            }
            31..=33 => of(nobody, tick_table(self.pick(&[1, 5]))),
            34..=48 => self.bust(),
            49..=51 => self.account(),
            _ => of(nobody, Tick::default()),
        }
    }

    fn limits(&mut self) -> Vec<u8> {
        let instrument = self.pick(&[0, 0, 1]);
        let set = SetLimits {
            firm: FirmId(self.pick(&[1, 1, 2])),
            instrument: InstrumentId(instrument),
            by_account: self.random.below(2) as u8,
            release: 1,
            quantity: Quantity(self.pick(&[0, 200])),
            open_orders: self.pick(&[0, 60]),
            gross_e8: self.pick(&[0, 1 << 60]),
            net_e8: self.pick(&[0, 1 << 55]),
            position_limit: Quantity(if instrument == 0 { 0 } else { 5_000 }),
            executions: 60,
            executions_ms: 100,
            ..SetLimits::default()
        };
        of(SessionId(0), set)
    }

    /// Firm 2 is held to its accounts, mostly enabled ones; firm 1 has none.
    fn account(&mut self) -> Vec<u8> {
        let set = SetAccount {
            firm: FirmId(self.pick(&[2, 2, 2, 2, 2, 9])),
            account: AccountId(self.random.below(6) as u32 / 2),
            enabled: u8::from(!self.one_in(4)),
            ..SetAccount::default()
        };
        of(SessionId(0), set)
    }

    fn bust(&mut self) -> Vec<u8> {
        if self.trades.is_empty() {
            return of(SessionId(0), Tick::default());
        }
        let at = self.random.below(self.trades.len() as u64) as usize;
        let [maker, taker] = self.trades[at];
        let fill = |(session, fill): (SessionId, Fill)| AmendedFill {
            order: fill.order,
            session,
            liquidity: fill.liquidity,
            ..AmendedFill::default()
        };
        let amend = AmendTrade {
            trade_id: maker.1.trade_id,
            price: maker.1.last_price,
            quantity: maker.1.last_quantity,
            new_price: self.pick(&[NO_PRICE, Price(10_000), Price(10_025)]),
            fills: [fill(maker), fill(taker)],
        };
        of(SessionId(0), amend)
    }
}

fn of<B: Body>(session: SessionId, body: B) -> Vec<u8> {
    let mut command = Command::new(body);
    command.header.session = session;
    command.to_bytes()
}

fn tick_table(tick: u64) -> DefineTickTable {
    let mut table = DefineTickTable {
        table: 1,
        ..DefineTickTable::default()
    };
    table.steps[0] = TickStep {
        from: Price(0),
        tick: 1,
    };
    table.steps[1] = TickStep {
        from: Price(10_000),
        tick,
    };
    table
}

fn definitions() -> Vec<Vec<u8>> {
    let nobody = SessionId(0);
    let genesis = Genesis {
        hash_key: 42,
        log_id: 7,
        ..Genesis::default()
    };
    let mut all = vec![of(nobody, genesis), of(nobody, tick_table(5))];
    for id in 1..=INSTRUMENTS as u32 {
        let plain = venue::instrument(id);
        let definition = match id {
            2 => DefineInstrument {
                tick_table: 1,
                static_band: 100,
                dynamic_band: 12,
                interruption_ms: 200,
                ..plain
            },
            3 => DefineInstrument {
                product: 2,
                first_phase: 1,
                ..plain
            },
            _ => plain,
        };
        all.push(of(nobody, definition));
    }
    for id in 1..=2 {
        let name = name(&format!("FIRM{id}")).unwrap();
        all.push(of(
            nobody,
            DefineFirm {
                firm: FirmId(id),
                name,
                ..DefineFirm::default()
            },
        ));
    }
    for id in 1..=SESSIONS as u32 {
        let protocol = if id == 5 {
            SessionProtocol::Fix
        } else {
            SessionProtocol::Binary
        };
        let definition = DefineSession {
            firm: FirmId(id.div_ceil(3)),
            roles: u8::from(id == 1),
            user: if id == 2 { 3 } else { 0 },
            reset_at_day_roll: u8::from(id == 4),
            ..venue::session(id, protocol)
        };
        all.push(of(nobody, definition));
        all.push(of(SessionId(id), SessionLogon::default()));
    }
    all
}
