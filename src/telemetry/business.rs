//! What the venue's business is, counted from durable events on the history thread: events by kind,
//! refusals by reason, orders, quotes and trades by instrument and firm.
//!
//! Labels are bounded: whoever has something to count first gets a series, what comes after the
//! last one is `other`. What is remembered is bounded by what is defined: a client says any number it
//! likes for an instrument.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use trading_engine_protocol::types::{QuoteStatus, Reason, Sequence, TradeId};

use super::{Exposition, Source};
use crate::engine::command::{DefineFirm, DefineInstrument, DefineSession, name_text};
use crate::engine::event::{self, EventBody, EventHeader, EventKind, Fill};
use crate::journal::history::Observer;
use crate::metric_names::{self as names, Metric};

/// Pairs of instrument and firm with series of their own.
pub const PAIRS_MAX: usize = 512;
/// Instruments with series of their own.
pub const INSTRUMENTS_MAX: usize = 256;
const OTHER: &str = "other";

/// A sum of numbers that are not whole. One thread adds, any thread reads.
#[derive(Debug, Default)]
struct Sum(AtomicU64);

impl Sum {
    fn add(&self, more: f64) {
        let sum = f64::from_bits(self.0.load(Ordering::Relaxed)) + more;
        self.0.store(sum.to_bits(), Ordering::Relaxed);
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

fn add(counter: &AtomicU64, more: u64) {
    // One writer: load and store suffice.
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// What is counted for an instrument and a firm.
#[derive(Debug, Default)]
struct Pair {
    /// Set before `Shared::pairs_used` covers it.
    labels: OnceLock<[String; 2]>,
    orders: AtomicU64,
    changes: AtomicU64,
    quotes: AtomicU64,
    fills: AtomicU64,
    quantity: Sum,
    notional: Sum,
}

/// What is counted for an instrument.
#[derive(Debug, Default)]
struct Instrument {
    /// Set before `Shared::instruments_used` covers it.
    label: OnceLock<String>,
    trades: AtomicU64,
    quantity: Sum,
    notional: Sum,
    amended: AtomicU64,
}

/// Counts, written by the history thread and read by scrapes.
#[derive(Debug)]
struct Shared {
    kinds: [AtomicU64; 256],
    reasons: Box<[AtomicU64]>,
    /// The last one is all others.
    pairs: Box<[Pair]>,
    pairs_used: AtomicUsize,
    /// The last one is all others.
    instruments: Box<[Instrument]>,
    instruments_used: AtomicUsize,
    /// Sequence of the last event seen.
    sequence: AtomicU64,
    bytes: AtomicU64,
}

fn zeros(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

/// Shows what a [`Tally`] counted.
#[derive(Clone, Debug)]
pub struct Business(Arc<Shared>);

impl Business {
    /// Sequence of the last event seen.
    pub fn sequence(&self) -> u64 {
        read(&self.0.sequence)
    }

    /// Bytes of events seen.
    pub fn bytes(&self) -> u64 {
        read(&self.0.bytes)
    }
}

/// What is known of an instrument.
#[derive(Clone, Copy)]
struct Known {
    series: usize,
    /// Units of the instrument in a lot.
    lot: f64,
    /// Currency in a price unit.
    price: f64,
}

/// The observer that counts.
pub struct Tally {
    shared: Arc<Shared>,
    definitions: HashMap<u32, DefineInstrument>,
    firms: HashMap<u32, String>,
    /// Firm of each session.
    sessions: HashMap<u32, u32>,
    /// Of those that traded.
    instruments: HashMap<u32, Known>,
    /// Places of those with series of their own, [`PAIRS_MAX`] at most.
    pairs: HashMap<(u32, u32), usize>,
    /// The sides of a trade follow each other.
    last_trade: TradeId,
    /// One command tells both sides of an amendment.
    last_amendment: Sequence,
}

impl Tally {
    /// Starts at zero, in a world that has these already, and says where to read.
    pub fn new(
        instruments: impl IntoIterator<Item = DefineInstrument>,
        firms: impl IntoIterator<Item = DefineFirm>,
        sessions: impl IntoIterator<Item = DefineSession>,
        sequence: u64,
    ) -> (Self, Business) {
        let reasons = Reason::ALL.iter().map(|reason| reason.code()).max();
        let shared = Arc::new(Shared {
            kinds: std::array::from_fn(|_| AtomicU64::new(0)),
            reasons: zeros(usize::from(reasons.unwrap_or(0)) + 1),
            pairs: (0..=PAIRS_MAX).map(|_| Pair::default()).collect(),
            pairs_used: AtomicUsize::new(0),
            instruments: (0..=INSTRUMENTS_MAX)
                .map(|_| Instrument::default())
                .collect(),
            instruments_used: AtomicUsize::new(0),
            sequence: AtomicU64::new(sequence),
            bytes: AtomicU64::new(0),
        });
        let mut tally = Self {
            shared: Arc::clone(&shared),
            definitions: HashMap::new(),
            firms: HashMap::new(),
            sessions: HashMap::new(),
            instruments: HashMap::new(),
            pairs: HashMap::new(),
            last_trade: TradeId(0),
            last_amendment: Sequence(0),
        };
        for definition in instruments {
            tally.define_instrument(&definition);
        }
        for definition in firms {
            tally.define_firm(&definition);
        }
        for definition in sessions {
            tally.define_session(&definition);
        }
        (tally, Business(shared))
    }

    fn define_instrument(&mut self, definition: &DefineInstrument) {
        self.definitions
            .insert(definition.instrument.0, *definition);
    }

    fn define_firm(&mut self, definition: &DefineFirm) {
        let name = name_text(&definition.name).to_owned();
        self.firms.insert(definition.firm.0, name);
    }

    fn define_session(&mut self, definition: &DefineSession) {
        self.sessions
            .insert(definition.session.0, definition.firm.0);
    }

    fn symbol(&self, instrument: u32) -> String {
        self.definitions
            .get(&instrument)
            .map_or_else(|| instrument.to_string(), |d| name_text(&d.symbol).into())
    }

    fn instrument(&mut self, instrument: u32) -> Known {
        if let Some(known) = self.instruments.get(&instrument) {
            return *known;
        }
        let series = self.instruments.len().min(INSTRUMENTS_MAX);
        if series < INSTRUMENTS_MAX {
            let _ = self.shared.instruments[series]
                .label
                .set(self.symbol(instrument));
            self.shared
                .instruments_used
                .store(series + 1, Ordering::Release);
        }
        let e8 = |of: fn(&DefineInstrument) -> i64| {
            let definition = self.definitions.get(&instrument);
            definition.map_or(0.0, |d| of(d) as f64 / 1e8)
        };
        let known = Known {
            series,
            lot: e8(|d| d.lot_size_e8),
            price: e8(|d| d.price_unit_e8),
        };
        self.instruments.insert(instrument, known);
        known
    }

    /// Where to count for an instrument and the session's firm; an instrument that nobody defined is among
    /// the others.
    fn pair(&mut self, header: &EventHeader, instrument: u32) -> &Pair {
        let firm = self.sessions.get(&header.session.0).copied().unwrap_or(0);
        let mut at = self.pairs.get(&(instrument, firm)).copied();
        let is_defined = || self.definitions.contains_key(&instrument);
        if at.is_none() && self.pairs.len() < PAIRS_MAX && is_defined() {
            let new = self.pairs.len();
            let name = self.firms.get(&firm).cloned();
            let name = name.unwrap_or_else(|| firm.to_string());
            let labels = [self.symbol(instrument), name];
            let _ = self.shared.pairs[new].labels.set(labels);
            self.shared.pairs_used.store(new + 1, Ordering::Release);
            self.pairs.insert((instrument, firm), new);
            at = Some(new);
        }
        &self.shared.pairs[at.unwrap_or(PAIRS_MAX)]
    }

    fn fill(&mut self, header: &EventHeader, fill: &Fill) {
        let instrument = fill.order.instrument.0;
        let known = self.instrument(instrument);
        let quantity = fill.last_quantity.0 as f64 * known.lot;
        // Prices below zero are money all the same.
        let notional = (fill.last_price.0 as f64 * known.price).abs() * quantity;
        let pair = self.pair(header, instrument);
        add(&pair.fills, 1);
        pair.quantity.add(quantity);
        pair.notional.add(notional);
        if fill.trade_id != self.last_trade {
            self.last_trade = fill.trade_id;
            let of = &self.shared.instruments[known.series];
            add(&of.trades, 1);
            of.quantity.add(quantity);
            of.notional.add(notional);
        }
    }

    fn count(&mut self, header: &EventHeader, body: &EventBody<'_>) {
        match body {
            EventBody::InstrumentDefined(defined) => self.define_instrument(&defined.definition),
            EventBody::FirmDefined(defined) => self.define_firm(&defined.definition),
            EventBody::SessionDefined(defined) => self.define_session(&defined.definition),
            EventBody::OrderAccepted(accepted) => {
                add(&self.pair(header, accepted.order.instrument.0).orders, 1);
            }
            EventBody::OrderAcceptedWithTerms(accepted) => {
                add(&self.pair(header, accepted.order.instrument.0).orders, 1);
            }
            EventBody::OrderReplaced(replaced) => {
                add(&self.pair(header, replaced.order.instrument.0).changes, 1);
            }
            EventBody::OrderReplacedWithTerms(event) => {
                let instrument = event.replaced.order.instrument.0;
                add(&self.pair(header, instrument).changes, 1);
            }
            // One that ended by itself is no message of its session.
            EventBody::OrderCanceled(canceled) if !canceled.request.is_none() => {
                add(&self.pair(header, canceled.order.instrument.0).changes, 1);
            }
            EventBody::Fill(fill) => self.fill(header, fill),
            EventBody::QuoteFill(quote) => self.fill(header, &quote.fill),
            EventBody::MassQuoteAnswered(answer) => {
                for result in &answer.results {
                    let changed = |status: &u8| {
                        matches!(
                            QuoteStatus::try_from(*status),
                            Ok(QuoteStatus::Entered | QuoteStatus::Kept | QuoteStatus::Removed)
                        )
                    };
                    let sides = [result.bid_status, result.ask_status];
                    let sides = sides.iter().filter(|status| changed(status)).count() as u64;
                    if sides > 0 {
                        add(&self.pair(header, result.instrument.0).quotes, sides);
                    }
                }
            }
            EventBody::TradeAmended(amended) if header.sequence != self.last_amendment => {
                self.last_amendment = header.sequence;
                let known = self.instrument(amended.order.instrument.0);
                add(&self.shared.instruments[known.series].amended, 1);
            }
            EventBody::OrderRejected(_)
            | EventBody::RequestRejected(_)
            | EventBody::CommandRefused(_)
            | EventBody::DefinitionRefused(_)
            | EventBody::BusinessRejected(_) => {
                if let Some(counter) = self.shared.reasons.get(usize::from(header.reason)) {
                    add(counter, 1);
                }
            }
            EventBody::OrderCanceled(_)
            | EventBody::TradeAmended(_)
            | EventBody::LogonAnswered(_)
            | EventBody::SessionClosed(_)
            | EventBody::AdminMessage(_)
            | EventBody::OrderTriggered(_)
            | EventBody::OrderRestated(_)
            | EventBody::QuoteRestated(_)
            | EventBody::MassCancelDone(_)
            | EventBody::CancelAfterSet(_)
            | EventBody::DayRolled(_)
            | EventBody::TickTableDefined(_)
            | EventBody::ReferenceSet(_)
            | EventBody::CapacitiesSet(_)
            | EventBody::AuditNoted(_)
            | EventBody::LimitsSet(_)
            | EventBody::AccountSet(_)
            | EventBody::PhaseChanged(_)
            | EventBody::AuctionIndicative(_)
            | EventBody::AuctionUncrossed(_)
            | EventBody::KillSwitchDone(_)
            | EventBody::QuoteCanceled(_)
            | EventBody::QuoteCancelDone(_)
            | EventBody::ProtectionSet(_)
            | EventBody::ProtectionTripped(_)
            | EventBody::OrderStatusReport(_)
            | EventBody::QuoteStatusAnswered(_) => {}
        }
    }
}

impl Observer for Tally {
    fn event(&mut self, header: &EventHeader, bytes: &[u8]) {
        add(&self.shared.kinds[usize::from(header.kind)], 1);
        add(&self.shared.bytes, u64::from(header.length));
        if let Ok((_, body)) = event::read(bytes) {
            self.count(header, &body);
        }
        self.shared
            .sequence
            .store(header.sequence.0, Ordering::Relaxed);
    }
}

/// A metric, and what of a pair is its value.
type Column<T> = (&'static Metric, fn(&Pair) -> T);

/// Messages for each fill; none without fills.
fn order_to_trade(pair: &Pair) -> Option<f64> {
    let messages = read(&pair.orders) + read(&pair.changes) + read(&pair.quotes);
    let fills = read(&pair.fills);
    (fills > 0).then(|| messages as f64 / fills as f64)
}

impl Source for Business {
    fn render(&self, out: &mut Exposition) {
        let shared = &*self.0;
        let kinds = EVENT_KINDS
            .iter()
            .map(|(kind, name)| ([*name], read(&shared.kinds[*kind as usize])));
        out.series(&names::EVENTS, kinds.filter(|(_, count)| *count > 0));
        let reasons = Reason::ALL.iter().filter_map(|reason| {
            let count = read(shared.reasons.get(usize::from(reason.code()))?);
            (count > 0).then(|| ([format!("{reason:?}")], count))
        });
        out.series(&names::REJECTS, reasons);

        let used = shared.pairs_used.load(Ordering::Acquire).min(PAIRS_MAX);
        let others = [OTHER.to_owned(), OTHER.to_owned()];
        let pairs: Vec<(&[String; 2], &Pair)> = shared.pairs[..used]
            .iter()
            .filter_map(|pair| Some((pair.labels.get()?, pair)))
            .chain((used == PAIRS_MAX).then(|| (&others, &shared.pairs[PAIRS_MAX])))
            .collect();
        let counts: [Column<u64>; 4] = [
            (&names::ORDERS, |pair| read(&pair.orders)),
            (&names::ORDER_CHANGES, |pair| read(&pair.changes)),
            (&names::QUOTES, |pair| read(&pair.quotes)),
            (&names::FILLS, |pair| read(&pair.fills)),
        ];
        for (metric, of) in counts {
            out.series(
                metric,
                pairs.iter().map(|(l, pair)| ((*l).clone(), of(pair))),
            );
        }
        let sums: [Column<f64>; 2] = [
            (&names::FILLED_QUANTITY, |pair| pair.quantity.get()),
            (&names::FILLED_NOTIONAL, |pair| pair.notional.get()),
        ];
        for (metric, of) in sums {
            out.series(
                metric,
                pairs.iter().map(|(l, pair)| ((*l).clone(), of(pair))),
            );
        }
        let ratios = pairs
            .iter()
            .filter_map(|(l, pair)| Some(((*l).clone(), order_to_trade(pair)?)));
        out.series(&names::ORDER_TO_TRADE, ratios);

        let used = shared.instruments_used.load(Ordering::Acquire);
        let others = OTHER.to_owned();
        let all: Vec<(&String, &Instrument)> = shared.instruments[..used.min(INSTRUMENTS_MAX)]
            .iter()
            .filter_map(|of| Some((of.label.get()?, of)))
            .chain(
                (used >= INSTRUMENTS_MAX).then(|| (&others, &shared.instruments[INSTRUMENTS_MAX])),
            )
            .collect();
        let whole = |of: fn(&Instrument) -> &AtomicU64| {
            all.iter().map(move |(l, i)| ([l.as_str()], read(of(i))))
        };
        out.series(&names::TRADES, whole(|of| &of.trades));
        out.series(&names::TRADES_AMENDED, whole(|of| &of.amended));
        let real =
            |of: fn(&Instrument) -> &Sum| all.iter().map(move |(l, i)| ([l.as_str()], of(i).get()));
        out.series(&names::TRADED_QUANTITY, real(|of| &of.quantity));
        out.series(&names::TRADED_NOTIONAL, real(|of| &of.notional));
    }
}

/// What the kinds are called.
const EVENT_KINDS: [(EventKind, &str); 42] = {
    use EventKind as K;
    [
        (K::InstrumentDefined, "instrument_defined"),
        (K::FirmDefined, "firm_defined"),
        (K::SessionDefined, "session_defined"),
        (K::DefinitionRefused, "definition_refused"),
        (K::TickTableDefined, "tick_table_defined"),
        (K::ReferenceSet, "reference_set"),
        (K::CapacitiesSet, "capacities_set"),
        (K::AuditNoted, "audit_noted"),
        (K::LimitsSet, "limits_set"),
        (K::AccountSet, "account_set"),
        (K::LogonAnswered, "logon_answered"),
        (K::SessionClosed, "session_closed"),
        (K::AdminMessage, "admin_message"),
        (K::BusinessRejected, "business_rejected"),
        (K::CommandRefused, "command_refused"),
        (K::OrderAccepted, "order_accepted"),
        (K::OrderReplaced, "order_replaced"),
        (K::OrderCanceled, "order_canceled"),
        (K::OrderRejected, "order_rejected"),
        (K::RequestRejected, "request_rejected"),
        (K::Fill, "fill"),
        (K::OrderAcceptedWithTerms, "order_accepted_with_terms"),
        (K::OrderReplacedWithTerms, "order_replaced_with_terms"),
        (K::OrderTriggered, "order_triggered"),
        (K::OrderRestated, "order_restated"),
        (K::MassCancelDone, "mass_cancel_done"),
        (K::DayRolled, "day_rolled"),
        (K::CancelAfterSet, "cancel_after_set"),
        (K::PhaseChanged, "phase_changed"),
        (K::AuctionIndicative, "auction_indicative"),
        (K::AuctionUncrossed, "auction_uncrossed"),
        (K::KillSwitchDone, "kill_switch_done"),
        (K::TradeAmended, "trade_amended"),
        (K::MassQuoteAnswered, "mass_quote_answered"),
        (K::QuoteCanceled, "quote_canceled"),
        (K::QuoteFill, "quote_fill"),
        (K::QuoteRestated, "quote_restated"),
        (K::QuoteCancelDone, "quote_cancel_done"),
        (K::ProtectionSet, "protection_set"),
        (K::ProtectionTripped, "protection_tripped"),
        (K::OrderStatusReport, "order_status_report"),
        (K::QuoteStatusAnswered, "quote_status_answered"),
    ]
};

#[cfg(test)]
mod tests {
    use trading_engine_protocol::types::{FirmId, InstrumentId, Price, Quantity, SessionId};
    use zerocopy::IntoBytes as _;

    use super::*;
    use crate::engine::command::name;
    use crate::engine::event::{
        Body, EVENT_VERSION, Event, MassQuoteAnsweredHead, OrderAccepted, OrderState, QuoteResult,
    };
    use crate::telemetry::exposition::Value;

    fn world(instruments: u32) -> (Tally, Business) {
        let instruments = (1..=instruments).map(|id| DefineInstrument {
            instrument: InstrumentId(id),
            symbol: name(&format!("I{id}")).unwrap(),
            price_unit_e8: 1_000_000,
            lot_size_e8: 50_000_000,
            ..DefineInstrument::default()
        });
        let firm = DefineFirm {
            firm: FirmId(7),
            name: name("ALPHA").unwrap(),
            ..DefineFirm::default()
        };
        let session = DefineSession {
            session: SessionId(1),
            firm: FirmId(7),
            ..DefineSession::default()
        };
        Tally::new(instruments, [firm], [session], 0)
    }

    fn tell(tally: &mut Tally, body: impl Body) {
        let header = EventHeader {
            session: SessionId(1),
            ..EventHeader::default()
        };
        let Event { header, body } = Event::new(header, body);
        tell_bytes(tally, &header, body.as_bytes());
    }

    fn tell_bytes(tally: &mut Tally, header: &EventHeader, body: &[u8]) {
        let mut words = vec![0u64; header.length as usize / 8];
        let (head, rest) = words.as_mut_bytes().split_at_mut(size_of::<EventHeader>());
        head.copy_from_slice(header.as_bytes());
        rest.copy_from_slice(body);
        tally.event(header, words.as_bytes());
    }

    /// A mass quote of one entry.
    fn tell_quote(tally: &mut Tally, instrument: u32, status: QuoteStatus) {
        let head = MassQuoteAnsweredHead::default();
        let result = QuoteResult {
            instrument: InstrumentId(instrument),
            bid_status: status.as_u8(),
            ask_status: status.as_u8(),
            ..QuoteResult::default()
        };
        let length = size_of::<EventHeader>() + size_of_val(&head) + size_of_val(&result);
        let header = EventHeader {
            length: u32::try_from(length).unwrap(),
            kind: EventKind::MassQuoteAnswered as u8,
            version: EVENT_VERSION,
            session: SessionId(1),
            ..EventHeader::default()
        };
        tell_bytes(
            tally,
            &header,
            &[head.as_bytes(), result.as_bytes()].concat(),
        );
    }

    fn order(instrument: u32) -> OrderState {
        OrderState {
            instrument: InstrumentId(instrument),
            ..OrderState::default()
        }
    }

    fn series(business: &Business, metric: &Metric) -> Vec<(String, Value)> {
        let mut out = Exposition::default();
        business.render(&mut out);
        let mut families = out.families().iter();
        let family = families.find(|of| of.metric.name == metric.name).unwrap();
        let samples = family.samples.iter();
        samples
            .map(|of| (of.labels.join(" "), of.value.clone()))
            .collect()
    }

    #[test]
    fn instruments_and_firms_beyond_the_bound_are_counted_together() {
        let pairs = u32::try_from(PAIRS_MAX).unwrap();
        let (mut tally, business) = world(pairs + 3);
        for instrument in 1..=pairs + 3 {
            let order = order(instrument);
            tell(&mut tally, OrderAccepted { order });
            let fill = Fill {
                order,
                trade_id: TradeId(u64::from(instrument)),
                last_price: Price(-200),
                last_quantity: Quantity(3),
                ..Fill::default()
            };
            // Both sides of one trade.
            tell(&mut tally, fill);
            tell(&mut tally, fill);
        }
        let remembered = tally.pairs.len();
        assert_eq!(remembered, PAIRS_MAX, "and what is remembered is bounded");
        let orders = series(&business, &names::ORDERS);
        assert_eq!(orders.len(), PAIRS_MAX + 1);
        assert_eq!(orders[0], ("I1 ALPHA".into(), Value::Whole(1)));
        assert_eq!(orders[PAIRS_MAX], ("other other".into(), Value::Whole(3)));
        let notional = series(&business, &names::FILLED_NOTIONAL);
        assert_eq!(
            notional[0].1,
            Value::Real(2.0 * 2.0 * 1.5),
            "both sides, without a sign"
        );
        let trades = series(&business, &names::TRADES);
        assert_eq!(trades.len(), INSTRUMENTS_MAX + 1);
        assert_eq!(trades[0], ("I1".into(), Value::Whole(1)));
        let rest = (PAIRS_MAX + 3 - INSTRUMENTS_MAX) as u64;
        assert_eq!(
            trades[INSTRUMENTS_MAX],
            ("other".into(), Value::Whole(rest))
        );
        let ratios = series(&business, &names::ORDER_TO_TRADE);
        assert_eq!(ratios[0].1, Value::Real(0.5));
    }

    #[test]
    fn quotes_for_instruments_that_nobody_defined_take_no_series() {
        let (mut tally, business) = world(1);
        for instrument in 2..3_002 {
            tell_quote(&mut tally, instrument, QuoteStatus::Refused);
        }
        tell_quote(&mut tally, 1, QuoteStatus::Refused);
        assert_eq!(series(&business, &names::QUOTES), []);
        tell_quote(&mut tally, 1, QuoteStatus::Entered);
        let counted = [("I1 ALPHA".to_owned(), Value::Whole(2))];
        assert_eq!(series(&business, &names::QUOTES), counted);
        assert_eq!(tally.pairs.len(), 1);
    }

    #[test]
    fn whoever_has_no_fill_has_no_ratio() {
        let (mut tally, business) = world(1);
        tell(&mut tally, OrderAccepted { order: order(1) });
        assert_eq!(series(&business, &names::ORDER_TO_TRADE), []);
        let trades = series(&business, &names::TRADES);
        assert_eq!(trades, [], "and an instrument without trades no series");
    }
}
