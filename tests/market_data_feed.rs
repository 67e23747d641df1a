//! Readers of market data: what they are told, in which order, and what becomes of one that does
//! not read.

mod support;

use std::time::Duration;

use support::market::{Floor, RING_BYTES};
use trading_engine::agent::Agent;
use trading_engine::engine::command::{DayRoll, DefineInstrument, KillSwitch, SetPhase, name};
use trading_engine::market_data::feed::{
    FeedReader, INSTRUMENTS_PER_UPDATE, Selection, TAPE_RECORDS, TRADES_PER_UPDATE, Update,
};
use trading_engine::market_data::state::{LEVELS_SHOWN, TradeKind};
use trading_engine_protocol::types::{InstrumentId, KillScope, SessionId, Side, TradingPhase};

use crate::support::venue;

const VENUE: SessionId = SessionId(0);

fn symbols(names: &[&str]) -> Selection {
    Selection::Symbols(names.iter().map(|&name| name.to_owned()).collect())
}

/// All updates there are.
fn drain(reader: &mut FeedReader) -> Vec<Update> {
    let mut all = Vec::new();
    while let Some(update) = reader.poll() {
        all.push(update);
    }
    all
}

fn missed(updates: &[Update]) -> u64 {
    updates.iter().map(|update| update.trades_missed).sum()
}

fn trades(updates: &[Update]) -> Vec<u64> {
    let all = updates.iter().flat_map(|update| &update.trades);
    all.map(|trade| trade.trade_id.0).collect()
}

#[test]
fn a_reader_that_keeps_up_sees_every_number() {
    let mut floor = Floor::new(2);
    let mut reader = floor.rig.market_data.reader(Selection::All);
    let first = drain(&mut reader);
    assert_eq!(first.len(), 1);
    assert_eq!(
        first[0].instruments.len(),
        2,
        "the present state comes first"
    );
    let mut numbers = [0, 0];
    for view in &first[0].instruments {
        numbers[view.info.id().0 as usize - 1] = view.feed_sequence;
    }
    for number in 0..2_000_u64 {
        let on = 1 + (number % 3 / 2) as u32;
        let side = 1 + (number / 7 % 2) as u8;
        let session = 1 + (number % 2) as u32;
        floor.enter(
            session,
            on,
            side,
            1_000 + (number % 5) as i64,
            1 + number % 9,
        );
        let updates = drain(&mut reader);
        assert_eq!(updates.len(), 1);
        let [view] = &updates[0].instruments[..] else {
            panic!("one instrument changed");
        };
        assert_eq!(view.info.id(), InstrumentId(on));
        numbers[on as usize - 1] += 1;
        assert_eq!(view.feed_sequence, numbers[on as usize - 1]);
        assert_eq!(view.sequence, floor.rig.engine.sequence().0);
        assert_eq!(updates[0].sequence, view.sequence);
        for trade in &updates[0].trades {
            assert_eq!(trade.feed_sequence, view.feed_sequence);
            assert_eq!(trade.sequence, view.sequence);
            assert_eq!(trade.aggressor, Side::try_from(side).ok());
        }
        assert_eq!(missed(&updates), 0);
    }
    assert!(reader.poll().is_none(), "nothing is told twice");
}

#[test]
fn a_slow_reader_gets_the_newest_book_and_every_trade() {
    let mut floor = Floor::new(3);
    let mut slow = floor.rig.market_data.reader(symbols(&["INST1"]));
    let before = drain(&mut slow)[0].instruments[0].feed_sequence;
    for round in 0..100 {
        floor.trade(1, 1_000 + round, 5);
        floor.trade(2, 2_000, 1);
    }
    floor.enter(1, 1, 1, 900, 7);
    let updates = drain(&mut slow);
    assert_eq!(updates.len(), 1);
    let [view] = &updates[0].instruments[..] else {
        panic!("only what is followed is told");
    };
    assert_eq!(
        view.feed_sequence,
        before + 201,
        "the changes between are left out"
    );
    let rig = &floor.rig;
    assert_eq!(view, &rig.market_data.instrument("INST1").unwrap());
    assert_eq!(view.bids.len(), 1);
    assert_eq!(view.statistics.trades, 100);
    let expected: Vec<u64> = (0..100).map(|round| 1 + 2 * round).collect();
    assert_eq!(trades(&updates), expected, "trades are not left out");
    assert_eq!(missed(&updates), 0);
    let newest = rig.market_data.trades("INST1", 3).unwrap();
    let newest: Vec<u64> = newest.iter().map(|trade| trade.trade_id.0).collect();
    assert_eq!(newest, [199, 197, 195]);
}

#[test]
fn a_reader_that_never_reads_is_told_how_much_it_missed() {
    let mut floor = Floor::new(3);
    let data = floor.rig.market_data.clone();
    let mut all = data.reader(Selection::All);
    let mut first = data.reader(symbols(&["INST1"]));
    let mut second = data.reader(symbols(&["INST2"]));
    let mut third = data.reader(symbols(&["INST3"]));
    // All of these are forgotten, of an instrument that does not trade again.
    for _ in 0..10 {
        floor.trade(2, 50, 1);
    }
    let more = TAPE_RECORDS as u64 + 100;
    for _ in 0..more {
        floor.trade(1, 60, 1);
    }
    let updates = drain(&mut all);
    assert_eq!(missed(&updates), 110);
    let told = trades(&updates);
    assert_eq!(told.len(), TAPE_RECORDS, "what is remembered is told");
    assert_eq!(told[0], 111);
    assert!(told.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    assert!(
        updates
            .iter()
            .all(|one| one.trades.len() <= TRADES_PER_UPDATE)
    );
    let updates = drain(&mut first);
    assert_eq!(
        (missed(&updates), trades(&updates).len()),
        (100, TAPE_RECORDS)
    );
    let updates = drain(&mut second);
    assert_eq!((missed(&updates), trades(&updates).len()), (10, 0));
    assert_eq!(updates.last().unwrap().instruments.len(), 1);
    let updates = drain(&mut third);
    assert_eq!((missed(&updates), trades(&updates).len()), (0, 0));
    // Nothing is counted twice.
    floor.trade(2, 50, 1);
    for (reader, told) in [(&mut all, 1), (&mut first, 0), (&mut second, 1)] {
        let updates = drain(reader);
        assert_eq!((missed(&updates), trades(&updates).len()), (0, told));
    }
    assert_eq!(data.trades("INST2", 100).unwrap().len(), 1);
}

#[test]
fn a_reader_goes_on_after_a_sequence() {
    let mut floor = Floor::new(2);
    let data = floor.rig.market_data.clone();
    let mut at = Vec::new();
    for round in 0..500 {
        floor.trade(1 + round % 2, 70, 1);
        at.push(floor.rig.engine.sequence().0);
    }
    for seen in [0, 1, 250, 499, 500] {
        let after = if seen == 0 { 0 } else { at[seen - 1] };
        let mut reader = data.reader_after(Selection::All, after);
        let updates = drain(&mut reader);
        let expected: Vec<u64> = (seen as u64 + 1..=500).collect();
        assert_eq!((missed(&updates), trades(&updates)), (0, expected));
    }
}

#[test]
fn nothing_is_told_before_it_is_durable_and_whole() {
    let mut floor = Floor::new(1);
    let mut reader = floor.rig.market_data.reader(Selection::All);
    drain(&mut reader);
    let command = floor.order(1, 1, 1, 100, 5);
    let sequence = floor.rig.engine.sequence().0;
    floor.rig.apply_only(&command, &mut Vec::new());
    floor.rig.settle();
    assert!(reader.poll().is_none(), "it is not durable");
    assert_eq!(floor.rig.market_data.sequence(), sequence);
    floor.rig.durable.publish(sequence + 1);
    floor.rig.settle();
    assert_eq!(drain(&mut reader)[0].instruments[0].bids.len(), 1);

    // Durable long before the core gets to it: a sweep of more than one step of events.
    for price in 0..600 {
        floor.enter(1, 1, 2, 200 + price, 1);
    }
    drain(&mut reader);
    let sweep = floor.order(2, 1, 1, 10_000, 600);
    floor.rig.durable.publish(floor.rig.engine.sequence().0 + 1);
    let (market_data, applied) = (floor.rig.market_data.clone(), floor.rig.applied.clone());
    let before = market_data.sequence();
    floor.rig.apply_in_steps(&sweep, |agent| {
        while agent.do_work() > 0 {}
        if applied.get() == before {
            let view = market_data.instrument("INST1").unwrap();
            assert_eq!(view.asks.len(), LEVELS_SHOWN, "no half of a command");
            assert_eq!(market_data.sequence(), before);
        }
    });
    floor.rig.settle();
    let updates = drain(&mut reader);
    assert_eq!(trades(&updates).len(), 600);
    assert_eq!(updates[0].instruments[0].ask_levels, 0);
}

#[test]
fn a_command_of_more_events_than_the_ring_holds_is_told_as_a_whole() {
    const ORDERS: u64 = 4_000;
    let mut floor = Floor::new(1);
    for _ in 0..ORDERS {
        floor.enter(1, 1, 2, 200, 1);
    }
    let mut reader = floor.rig.market_data.reader(Selection::All);
    drain(&mut reader);
    let sweep = floor.order(2, 1, 1, 200, ORDERS);
    let before = floor.rig.market_data.sequence();
    floor.rig.durable.publish(before + 1);
    // The rig waits for room in the ring as the core does.
    let mut events = Vec::new();
    floor.rig.apply_only(&sweep, &mut events);
    assert!(events.len() > RING_BYTES);
    assert_eq!(floor.rig.market_data.sequence(), before);
    assert!(reader.poll().is_none(), "no half of a command");
    floor.rig.settle();
    assert_eq!(floor.rig.market_data.sequence(), before + 1);
    let updates = drain(&mut reader);
    let told = trades(&updates).len() as u64 + missed(&updates);
    assert_eq!(told, ORDERS);
    assert_eq!(updates[0].instruments[0].ask_levels, 0);
}

#[test]
fn what_is_defined_later_is_followed_and_halts_blocks_and_days_are_told() {
    let mut floor = Floor::new(1);
    let data = floor.rig.market_data.clone();
    let mut all = data.reader(Selection::All);
    let mut later = data.reader(symbols(&["LATER", "NEVER"]));
    drain(&mut all);
    assert!(drain(&mut later).is_empty());
    let definition = DefineInstrument {
        symbol: name("LATER").unwrap(),
        price_unit_e8: 1,
        lot_size_e8: 50_000_000,
        ..venue::instrument(2)
    };
    let run = |floor: &mut Floor, words: Vec<u64>| floor.rig.apply(&words, &mut Vec::new());
    let command = floor.words(VENUE, definition);
    run(&mut floor, command);
    for reader in [&mut all, &mut later] {
        let updates = drain(reader);
        assert_eq!(&*updates[0].instruments[0].info.symbol, "LATER");
    }
    floor.trade(2, 123_456, 3);
    let update = drain(&mut later).remove(0);
    assert_eq!(update.trades[0].price.to_string(), "0.00123456");
    assert_eq!(update.trades[0].quantity.to_string(), "1.5");
    let statistics = update.instruments[0].statistics;
    assert_eq!(statistics.notional.to_string(), "0.00185184");
    assert_eq!(statistics.volume.to_string(), "1.5");

    let halt = SetPhase {
        instrument: InstrumentId(2),
        phase: TradingPhase::Halted.as_u8(),
        ..SetPhase::default()
    };
    let command = floor.words(VENUE, halt);
    run(&mut floor, command);
    assert!(drain(&mut later)[0].instruments[0].statistics.is_halted());
    let kill = |release| KillSwitch {
        target: 2,
        scope: KillScope::Instrument.as_u8(),
        release,
        ..KillSwitch::default()
    };
    for release in [0, 1] {
        let command = floor.words(VENUE, kill(release));
        run(&mut floor, command);
        let view = drain(&mut later).remove(0).instruments.remove(0);
        assert_eq!(view.statistics.blocked, release == 0);
    }
    let day = DayRoll {
        trading_day: 20_260_102,
        ..DayRoll::default()
    };
    let command = floor.words(VENUE, day);
    run(&mut floor, command);
    let update = drain(&mut later).remove(0);
    assert_eq!(update.trading_day, 20_260_102);
    let statistics = update.instruments[0].statistics;
    assert_eq!((statistics.trades, statistics.last), (0, None));
    assert_eq!(statistics.previous_close.unwrap().to_string(), "0.00123456");
    assert_eq!(data.trades("LATER", 9).unwrap()[0].kind, TradeKind::New);
}

#[test]
fn more_instruments_than_an_update_holds_come_with_the_next_ones() {
    let instruments = INSTRUMENTS_PER_UPDATE as u32 + 100;
    let floor = Floor::new(instruments);
    let mut reader = floor.rig.market_data.reader(Selection::All);
    let updates = drain(&mut reader);
    assert_eq!(updates.len(), 2);
    assert!(updates[0].more && !updates[1].more);
    let mut ids: Vec<u32> = updates
        .iter()
        .flat_map(|update| &update.instruments)
        .map(|view| view.info.id().0)
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=instruments).collect::<Vec<_>>());
}

/// Readers of every kind beside a busy agent: each ends with the newest state and has been told of
/// every trade, as one or as missed.
#[test]
fn readers_on_other_threads_end_where_the_agent_is() {
    let mut floor = Floor::new(4);
    let data = floor.rig.market_data.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let readers: Vec<_> = [0, 1, 30]
        .into_iter()
        .map(|pace| {
            let mut reader = data
                .reader(Selection::All)
                .with_pace(Duration::from_millis(pace));
            runtime.spawn(async move {
                let (mut told, mut numbers, mut updates) = (0, [0; 5], 0_u64);
                while let Some(update) = reader.next().await {
                    told += update.trades.len() as u64 + update.trades_missed;
                    updates += 1;
                    for view in update.instruments {
                        let number = &mut numbers[view.info.id().0 as usize];
                        assert!(view.feed_sequence > *number, "numbers grow");
                        *number = view.feed_sequence;
                        let asks: Vec<_> = view.asks.iter().map(|level| level.price).collect();
                        assert!(asks.is_sorted());
                    }
                }
                (told, numbers, updates)
            })
        })
        .collect();
    for number in 0..20_000_u64 {
        let on = 1 + (number % 4) as u32;
        floor.enter(1, on, 2, 100 + (number % 13) as i64, 2);
        floor.enter(2, on, 1, 100 + (number % 13) as i64, 2);
    }
    let trades = data.tape_records();
    assert!(trades > 10_000);
    let mut expected = [0; 5];
    for info in data.instruments() {
        let view = data.instrument(&info.symbol).unwrap();
        expected[info.id().0 as usize] = view.feed_sequence;
    }
    // The venue stops: readers are told what is left, and that it is over.
    drop(floor);
    for reader in readers {
        let (told, numbers, updates) = runtime.block_on(reader).unwrap();
        assert_eq!((told, numbers), (trades, expected));
        println!("{updates} updates");
    }
}
