//! What the market-data agent publishes is what the core has: books, phases, blocks, and a day's
//! statistics, over random commands of every kind and over starts from snapshots.
//!
//! `SEED` repeats a run, `COMMANDS` sets its length.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use support::busy::{Busy, LIMITS};
use support::market::{Floor, Rig, market_of};
use support::settings::{number, seed};
use support::venue;
use support::workload::Random;
use trading_engine::engine::Engine;
use trading_engine::engine::command::{DayRoll, DefineInstrument, SetPhase};
use trading_engine::engine::event::{EventBody, Fill, QuoteFill};
use trading_engine::market_data::feed::Selection;
use trading_engine::market_data::state::{
    Amount, InstrumentInfo, InstrumentView, LEVELS_SHOWN, LevelView, Statistics, TradeKind,
};
use trading_engine_protocol::types::{
    Decimal8, InstrumentId, Price, Reason, SessionId, Side, TradingPhase,
};

#[derive(Clone, Copy, Debug)]
struct DayTrade {
    id: u64,
    price: i64,
    lots: u64,
}

/// The plain way: every trade of the day in a list.
#[derive(Default)]
struct Expected {
    /// By instrument.
    day: BTreeMap<u32, Vec<DayTrade>>,
    /// What traded last before the day.
    closes: BTreeMap<u32, i64>,
    /// What traded last, whatever became of it.
    traded: BTreeMap<u32, i64>,
    /// Every record the tape must have: instrument, trade, kind.
    tape: Vec<(u32, u64, &'static str)>,
    last_trade: u64,
    /// Sequence of the last bust or correction.
    last_amendment: u64,
    indicative: BTreeMap<u32, (i64, u64)>,
    seen: BTreeMap<&'static str, u64>,
}

impl Expected {
    fn see(&mut self, events: &[u8]) {
        venue::for_each_event(events, |header, body| match body {
            EventBody::Fill(&fill) | EventBody::QuoteFill(&QuoteFill { fill, .. })
                if fill.trade_id.0 > self.last_trade =>
            {
                self.last_trade = fill.trade_id.0;
                let id = fill.order.instrument.0;
                self.traded.insert(id, fill.last_price.0);
                self.day.entry(id).or_default().push(DayTrade {
                    id: fill.trade_id.0,
                    price: fill.last_price.0,
                    lots: fill.last_quantity.0,
                });
                self.tape.push((id, fill.trade_id.0, "new"));
                *self.seen.entry("trades").or_default() += 1;
            }
            EventBody::TradeAmended(amended) if header.sequence.0 != self.last_amendment => {
                self.last_amendment = header.sequence.0;
                let id = amended.order.instrument.0;
                let day = self.day.entry(id).or_default();
                let what = if amended.new_price.0 == i64::MIN {
                    day.retain(|trade| trade.id != amended.trade_id.0);
                    "busted"
                } else {
                    for trade in day.iter_mut().filter(|t| t.id == amended.trade_id.0) {
                        trade.price = amended.new_price.0;
                    }
                    "corrected"
                };
                self.tape.push((id, amended.trade_id.0, what));
                *self.seen.entry(what).or_default() += 1;
            }
            EventBody::DayRolled(_) => {
                self.closes = self.traded.clone();
                self.day.values_mut().for_each(Vec::clear);
                *self.seen.entry("days").or_default() += 1;
            }
            EventBody::AuctionIndicative(indicative) => {
                let (price, volume) = (indicative.price.0, indicative.volume.0);
                self.indicative
                    .insert(indicative.instrument.0, (price, volume));
                *self.seen.entry("indicative prices").or_default() += 1;
            }
            EventBody::PhaseChanged(changed) => {
                self.indicative.remove(&changed.instrument.0);
                *self.seen.entry("phases").or_default() += 1;
            }
            EventBody::KillSwitchDone(done) if header.reason == 0 && done.scope == 4 => {
                *self.seen.entry("instrument blocks").or_default() += 1;
            }
            EventBody::MassQuoteAnswered(_) => {
                *self.seen.entry("mass quotes").or_default() += 1;
            }
            _ => {}
        });
    }
}

fn levels(rig: &Rig, id: InstrumentId, side: Side) -> Vec<LevelView> {
    let symbol = symbol(rig, id);
    let info = rig.market_data.info(&symbol).unwrap();
    let levels = rig.engine.levels(id, side);
    levels
        .map(|(price, lots, orders)| LevelView {
            price: info.price(price),
            quantity: info.quantity(lots.0),
            orders: orders.into(),
        })
        .collect()
}

fn symbol(rig: &Rig, id: InstrumentId) -> String {
    let all = rig.market_data.instruments();
    let info = all.iter().find(|info| info.id() == id);
    info.expect("it is defined").symbol.to_string()
}

/// Everything that is published of every instrument, against the core and the plain way.
fn check(rig: &mut Rig, expected: &Expected, what: &str) {
    let states: Vec<_> = rig.engine.instrument_states().collect();
    assert_eq!(rig.market_data.instruments().len(), states.len());
    assert_eq!(rig.market_data.trading_day(), rig.engine.trading_day());
    for state in states {
        let id = state.definition.instrument;
        let symbol = symbol(rig, id);
        let view = rig.market_data.instrument(&symbol).unwrap();
        assert_eq!(view.info.definition, state.definition, "{what}");
        let (bids, asks) = (levels(rig, id, Side::Buy), levels(rig, id, Side::Sell));
        let best = |levels: &[LevelView]| levels[..levels.len().min(LEVELS_SHOWN)].to_vec();
        assert_eq!(view.bids, best(&bids), "{what}: bids of {symbol}");
        assert_eq!(view.asks, best(&asks), "{what}: asks of {symbol}");
        assert_eq!(view.bid_levels, bids.len() as u64, "{what}");
        assert_eq!(view.ask_levels, asks.len() as u64, "{what}");
        let statistics = view.statistics;
        let price = |price: Option<Price>| price.map(|price| view.info.price(price));
        assert_eq!(statistics.phase.as_u8(), state.phase, "{what}: {symbol}");
        assert_eq!(statistics.blocked, state.blocked, "{what}: {symbol}");
        assert_eq!(
            statistics.reference,
            price(state.reference),
            "{what}: {symbol}"
        );
        assert_eq!(
            statistics.until.map_or(0, |until| until.0),
            state.until.0,
            "{what}: {symbol}"
        );
        let some = |price: i64| (price != i64::MIN).then(|| view.info.price(Price(price)));
        let (indicative, volume) = expected
            .indicative
            .get(&id.0)
            .copied()
            .unwrap_or((i64::MIN, 0));
        assert_eq!(statistics.indicative.price, some(indicative), "{what}");
        assert_eq!(
            statistics.indicative.volume,
            Amount(i128::from(volume) * i128::from(state.definition.lot_size_e8)),
            "{what}"
        );
        check_day(&view, expected, &format!("{what}: {symbol}"));
    }
}

fn check_day(view: &InstrumentView, expected: &Expected, what: &str) {
    let none = Vec::new();
    let id = view.info.id().0;
    let day = expected.day.get(&id).unwrap_or(&none);
    let statistics = &view.statistics;
    let price = |price: i64| view.info.price(Price(price));
    let lots: u64 = day.iter().map(|trade| trade.lots).sum();
    let definition = &view.info.definition;
    let notional: i128 = day
        .iter()
        .map(|trade| i128::from(trade.price) * i128::from(trade.lots))
        .sum::<i128>()
        * i128::from(definition.price_unit_e8)
        * i128::from(definition.lot_size_e8)
        / 100_000_000;
    assert_eq!(statistics.trades, day.len() as u64, "{what}");
    assert_eq!(
        statistics.volume,
        Amount(i128::from(lots) * i128::from(definition.lot_size_e8)),
        "{what}"
    );
    assert_eq!(statistics.notional, Amount(notional), "{what}");
    let first = day.first().map(|trade| price(trade.price));
    assert_eq!(statistics.open, first, "{what}");
    let high = day.iter().map(|trade| trade.price).max().map(price);
    assert_eq!(statistics.high, high, "{what}");
    let low = day.iter().map(|trade| trade.price).min().map(price);
    assert_eq!(statistics.low, low, "{what}");
    let close = expected.closes.get(&id).copied().map(price);
    assert_eq!(statistics.previous_close, close, "{what}");
    let last = day.last();
    assert_eq!(
        statistics.last.map(|last| (last.trade_id.0, last.price)),
        last.map(|last| (last.id, price(last.price))),
        "{what}"
    );
}

#[test]
fn what_is_published_is_what_the_core_has_whatever_happens() {
    let commands = number("COMMANDS").unwrap_or(100_000);
    let seed = seed();
    let mut busy = Busy::new(seed);
    let mut random = Random::new(seed ^ 1);
    let mut rig = Rig::new(Engine::new(LIMITS));
    let mut expected = Expected::default();
    let mut reader = rig.market_data.reader(Selection::All);
    let mut told = Vec::new();
    let mut events = Vec::new();
    // The day's events, as the event log would have them.
    let mut day = Vec::new();
    let mut starts = 0;
    for step in 0..commands {
        let command = busy.next(&rig.engine);
        events.clear();
        rig.apply(&command, &mut events);
        busy.saw(&events);
        expected.see(&events);
        let what = format!("command {step}");
        check(&mut rig, &expected, &what);
        while let Some(update) = reader.poll() {
            assert_eq!(update.trades_missed, 0);
            told.extend(update.trades.iter().map(|trade| {
                let kind = match trade.kind {
                    TradeKind::New => "new",
                    TradeKind::Busted => "busted",
                    TradeKind::Corrected(_) => "corrected",
                };
                (trade.info.id().0, trade.trade_id.0, kind)
            }));
        }
        venue::for_each_event(&events, |_, body| {
            if matches!(body, EventBody::DayRolled(_)) {
                day.clear();
            }
        });
        day.extend_from_slice(&events);
        // A start from a snapshot: books and phases from the core, the day from its events.
        if random.below(500) == 0 {
            starts += 1;
            let saved = rig.engine.save().unwrap();
            let engine = Engine::restore(LIMITS, &saved).unwrap();
            let mut market = market_of(&engine);
            venue::for_each_event(&day, |header, body| market.remember(header, &body));
            let before = statistics(&rig);
            rig = Rig::with(engine, market);
            assert_eq!(statistics(&rig), before, "a start after command {step}");
            reader = rig.market_data.reader(Selection::All);
            check(
                &mut rig,
                &expected,
                &format!("a start after command {step}"),
            );
        }
    }
    assert_eq!(told, expected.tape, "every trade was told, once, in order");
    println!("{starts} starts, {:?}", expected.seen);
    if commands >= 100_000 {
        for what in [
            "trades",
            "days",
            "phases",
            "indicative prices",
            "instrument blocks",
            "mass quotes",
        ] {
            assert!(expected.seen.get(what).is_some_and(|&n| n > 20), "{what}");
        }
        let amended = ["busted", "corrected"].map(|what| expected.seen.get(what));
        assert!(amended.iter().flatten().copied().sum::<u64>() > 0);
        assert!(starts > 5);
    }
}

/// Of all instruments, but for why the phase is what it is: that may be of a day before.
fn statistics(rig: &Rig) -> Vec<Statistics> {
    let all = rig.market_data.instruments();
    let of = |info: &Arc<InstrumentInfo>| Statistics {
        phase_reason: Reason::None,
        ..rig.market_data.statistics(&info.symbol).unwrap()
    };
    all.iter().map(of).collect()
}

/// The events of a day do not have it: the core does.
#[test]
fn the_close_of_the_day_before_is_known_after_a_start() {
    let mut floor = Floor::new(2);
    floor.trade(1, 123, 1);
    floor.trade(2, 77, 1);
    let roll = DayRoll {
        trading_day: 20_260_102,
        ..DayRoll::default()
    };
    let roll = floor.words(SessionId(0), roll);
    floor.rig.apply(&roll, &mut Vec::new());
    let mut day = Vec::new();
    for (session, side) in [(1, 2), (2, 1)] {
        let order = floor.order(session, 1, side, 200, 1);
        let mut events = Vec::new();
        floor.rig.apply(&order, &mut events);
        day.extend_from_slice(&events);
    }
    let saved = floor.rig.engine.save().unwrap();
    let engine = Engine::restore(floor.rig.engine.limits(), &saved).unwrap();
    let mut market = market_of(&engine);
    venue::for_each_event(&day, |header, body| market.remember(header, &body));
    let started = Rig::with(engine, market);
    for rig in [&floor.rig, &started] {
        for (symbol, last, close) in [("INST1", Some(200), 123), ("INST2", None, 77)] {
            let view = rig.market_data.instrument(symbol).unwrap();
            let price = |price| view.info.price(Price(price));
            let statistics = view.statistics;
            assert_eq!(
                statistics.last.map(|last| last.price),
                last.map(price),
                "{symbol}"
            );
            assert_eq!(statistics.previous_close, Some(price(close)), "{symbol}");
        }
    }
}

/// Applies a command, adds its events to the day's; its fills.
fn apply(floor: &mut Floor, day: &mut Vec<u8>, words: &[u64]) -> Vec<(SessionId, Fill)> {
    let mut events = Vec::new();
    floor.rig.apply(words, &mut events);
    day.extend_from_slice(&events);
    let mut fills = Vec::new();
    venue::for_each_event(&events, |header, body| {
        if let EventBody::Fill(fill) = body {
            fills.push((header.session, *fill));
        }
    });
    fills
}

/// A lot between the two sessions, or what an auction will trade.
fn trade(floor: &mut Floor, day: &mut Vec<u8>, on: u32, price: i64) -> Vec<(SessionId, Fill)> {
    let sell = floor.order(1, on, 2, price, 1);
    apply(floor, day, &sell);
    let buy = floor.order(2, on, 1, price, 1);
    apply(floor, day, &buy)
}

/// A start from a snapshot, whose core knows nothing of these, publishes what was published before it.
#[test]
fn a_start_says_the_same_of_amended_trades_auctions_and_interruptions() {
    let (mut floor, mut day) = (Floor::new(3), Vec::new());
    // Of the day before: the last trade of one is corrected, of the other busted.
    let one = trade(&mut floor, &mut day, 1, 100);
    let other = trade(&mut floor, &mut day, 2, 100);
    for (fills, new_price) in [(one, Price(97)), (other, venue::NO_PRICE)] {
        let trade = fills[0].1.trade_id.0;
        let amend = venue::amendment(&fills, trade, new_price);
        let amend = floor.words(SessionId(0), amend);
        apply(&mut floor, &mut day, &amend);
    }
    let roll = DayRoll {
        trading_day: 20_260_102,
        ..DayRoll::default()
    };
    let roll = floor.words(SessionId(0), roll);
    apply(&mut floor, &mut day, &roll);
    // Today: an auction, a correction, an interruption.
    let phase = |phase: TradingPhase| SetPhase {
        instrument: InstrumentId(2),
        phase: phase.as_u8(),
        ..SetPhase::default()
    };
    let auction = floor.words(SessionId(0), phase(TradingPhase::OpeningAuction));
    apply(&mut floor, &mut day, &auction);
    trade(&mut floor, &mut day, 2, 103);
    let continuous = floor.words(SessionId(0), phase(TradingPhase::Continuous));
    let fills = apply(&mut floor, &mut day, &continuous);
    let trade = fills[0].1.trade_id.0;
    let correct = venue::amendment(&fills, trade, Price(104));
    let correct = floor.words(SessionId(0), correct);
    apply(&mut floor, &mut day, &correct);
    let states: Vec<_> = floor.rig.engine.instrument_states().collect();
    let banded = DefineInstrument {
        dynamic_band: 5,
        interruption_ms: 60_000,
        ..states[2].definition
    };
    let banded = floor.words(SessionId(0), banded);
    apply(&mut floor, &mut day, &banded);
    for (session, side, price) in [(1, 2, 100), (2, 1, 100), (1, 2, 120), (2, 1, 120)] {
        let order = floor.order(session, 3, side, price, 1);
        apply(&mut floor, &mut day, &order);
    }
    let saved = floor.rig.engine.save().unwrap();
    let engine = Engine::restore(floor.rig.engine.limits(), &saved).unwrap();
    let mut market = market_of(&engine);
    venue::for_each_event(&day, |header, body| market.remember(header, &body));
    let started = Rig::with(engine, market);
    let of = |rig: &Rig, symbol: &str| rig.market_data.statistics(symbol).unwrap();
    for symbol in ["INST1", "INST2", "INST3"] {
        assert_eq!(of(&started, symbol), of(&floor.rig, symbol), "{symbol}");
    }
    let price = |price| {
        floor
            .rig
            .market_data
            .instrument("INST1")
            .unwrap()
            .info
            .price(Price(price))
    };
    assert_eq!(of(&started, "INST1").previous_close, Some(price(100)));
    let auctioned = of(&started, "INST2");
    assert_eq!(auctioned.previous_close, Some(price(100)));
    assert_eq!(auctioned.uncrossed, Some(price(103)));
    assert_eq!(auctioned.last.unwrap().price, price(104));
    let interrupted = of(&started, "INST3");
    assert_eq!(interrupted.phase, TradingPhase::VolatilityAuction);
    assert_eq!(interrupted.phase_reason, Reason::VolatilityInterruption);
}

/// Levels far from each other, and many: the whole book is asked for.
#[test]
fn a_book_deeper_than_what_is_published_is_had_by_asking() {
    let mut floor = Floor::new(1);
    for number in 0..400_u64 {
        let distance = i64::try_from(number).unwrap();
        let (side, price) = if number % 2 == 0 {
            (1, 1_000 - distance)
        } else {
            (2, 2_000 + 37 * distance)
        };
        floor.enter(1, 1, side, price, 5 + number);
    }
    let rig = &mut floor.rig;
    let market_data = rig.market_data.clone();
    let asker = std::thread::spawn(move || {
        let few = market_data.whole_book_blocking("INST1", 30).unwrap();
        let all = market_data
            .whole_book_blocking("INST1", usize::MAX)
            .unwrap();
        let nobody = market_data.whole_book_blocking("NOBODY", 1).unwrap();
        assert_eq!(nobody, None);
        (few.unwrap(), all.unwrap())
    });
    while !asker.is_finished() {
        rig.settle();
        std::thread::yield_now();
    }
    let (few, all) = asker.join().unwrap();
    let id = InstrumentId(1);
    assert_eq!(all.bids, levels(rig, id, Side::Buy));
    assert_eq!(all.asks, levels(rig, id, Side::Sell));
    assert_eq!(few.bids, all.bids[..30]);
    assert_eq!((few.bid_levels, few.ask_levels), (200, 200));
    assert_eq!(all.sequence, rig.engine.sequence().0);
    let book = rig.market_data.book("INST1", usize::MAX).unwrap();
    assert_eq!(book.bids, all.bids[..LEVELS_SHOWN]);
    let top = rig.market_data.top("INST1").unwrap();
    assert_eq!(top.bid, all.bids.first().copied());
    assert_eq!(top.bid.unwrap().price, Decimal8(1_000 * 1_000_000));
    let statistics = rig.market_data.statistics("INST1").unwrap();
    assert_eq!(statistics.phase, TradingPhase::Continuous);
}
