//! An engine that is saved and restored goes on as the one before: the same events, byte for byte,
//! and the same state, whatever comes.
//!
//! `SEED` repeats a run, `COMMANDS` sets its length.

mod support;

use std::collections::BTreeMap;
use std::time::Instant;

use support::busy::{Busy, LIMITS};
use support::settings::{number, seed};
use support::venue::{self, Driver, SESSION};
use support::workload::Random;
use trading_engine::engine::command::{
    Command, CommandError, DefineTickTable, Genesis, RULES, SetCapacities, TickStep,
};
use trading_engine::engine::event::EventBody;
use trading_engine::engine::snapshot::{SNAPSHOT_VERSION, SnapshotError};
use trading_engine::engine::{Engine, Progress};
use trading_engine::limits::EngineLimits;
use trading_engine_protocol::types::{Price, Reason, SessionId};
use zerocopy::IntoBytes;

fn apply(engine: &mut Engine, command: &[u64], events: &mut Vec<u8>) {
    events.clear();
    let mut progress = engine.apply_bytes(command.as_bytes(), events).unwrap();
    while progress == Progress::More {
        assert_eq!(
            engine.save(),
            None,
            "there is no state in the middle of a command"
        );
        progress = engine.resume(events);
    }
}

fn larger() -> EngineLimits {
    EngineLimits {
        orders: LIMITS.orders * 2,
        client_order_ids: LIMITS.client_order_ids * 8,
        price_pages: LIMITS.price_pages * 2,
        instruments: 9,
        firms: 9,
        sessions: 40,
        quotes: LIMITS.quotes * 16,
        quotes_per_firm: LIMITS.quotes_per_firm,
        protection_groups_per_firm: LIMITS.protection_groups_per_firm,
        protection_groups: 64,
        risk_limits: 64,
        accounts: 64,
    }
}

/// A command's bytes, aligned.
fn words(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0; bytes.len() / 8];
    words.as_mut_bytes().copy_from_slice(bytes);
    words
}

/// Where a snapshot says what there is room for: behind its version.
const ROOM: std::ops::Range<usize> = 8..8 + size_of::<SetCapacities>();

/// Whether something was refused for lack of room.
fn lacks_room(events: &[u8]) -> bool {
    let capacities = [
        Reason::OrderCapacity,
        Reason::ClientOrderIdCapacity,
        Reason::PriceLevelCapacity,
        Reason::QuoteCapacity,
        Reason::ProtectionCapacity,
        Reason::DefinitionCapacity,
    ]
    .map(Reason::code);
    let mut found = false;
    venue::for_each_event(events, |header, body| {
        found |= capacities.contains(&header.reason);
        if let EventBody::MassQuoteAnswered(answer) = body {
            let mut reasons = answer
                .results
                .iter()
                .flat_map(|it| [it.bid_reason, it.ask_reason]);
            found |= reasons.any(|reason| capacities.contains(&reason));
        }
    });
    found
}

/// Three engines: one that is never saved, one that is restored again and again, one that is restored
/// into larger limits. Where the first reaches a limit, the third would go another way: it begins
/// anew with each save.
#[test]
fn restored_engines_go_on_byte_by_byte() {
    let mut random = Random::new(seed() ^ 0x5AFE);
    let mut busy = Busy::new(seed());
    let mut engine = Engine::new(LIMITS);
    let (mut again, mut roomy) = (Engine::new(LIMITS), None::<Engine>);
    let (mut events, mut others) = (Vec::new(), Vec::new());
    let (mut saves, mut grown) = (0, 0);
    let mut kinds: BTreeMap<u8, u64> = BTreeMap::new();
    for _ in 0..number("COMMANDS").unwrap_or(150_000) {
        let command = busy.next(&engine);
        apply(&mut engine, &command, &mut events);
        apply(&mut again, &command, &mut others);
        let at = engine.sequence();
        assert!(events == others, "other events at Sequence {at}");
        if let Some(roomier) = &mut roomy {
            apply(roomier, &command, &mut others);
            let full = events != others;
            grown += u64::from(!full);
            if full {
                assert!(lacks_room(&events), "other events in larger limits at {at}");
                roomy = None;
            }
        }
        busy.saw(&events);
        venue::for_each_event(&events, |header, _| {
            *kinds.entry(header.kind).or_default() += 1
        });
        if random.below(50) != 0 {
            continue;
        }
        let bytes = engine.save().unwrap();
        assert!(
            again.save().unwrap() == bytes,
            "another snapshot at Sequence {at}"
        );
        again = Engine::restore(LIMITS, &bytes).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert!(
            again.save().unwrap() == bytes,
            "not the same again at Sequence {at}"
        );
        assert_eq!(again.state_hash(), engine.state_hash());
        assert_eq!(again.next_deadline(), engine.next_deadline());
        assert!(again.risk_limits().eq(engine.risk_limits()));
        assert!(again.accounts().eq(engine.accounts()));
        let restored = Engine::restore(larger(), &bytes).unwrap();
        let mut in_larger = restored.save().unwrap();
        assert!(in_larger != bytes, "it says what there is room for");
        in_larger[ROOM].copy_from_slice(&bytes[ROOM]);
        assert!(in_larger == bytes, "larger limits, another state");
        roomy = Some(restored);
        saves += 1;
    }
    assert_eq!(again.state_hash(), engine.state_hash());
    println!("{saves} saves, {grown} commands in larger limits, events by kind: {kinds:?}");
    assert!(
        kinds.len() >= 30,
        "nearly every kind of event came: {kinds:?}"
    );
}

/// Whatever an engine is made for, it answers as the one that the log is of: capacities decide what is refused, so
/// they are in the log, where a setting that was changed cannot change what was answered.
#[test]
fn capacities_are_what_the_log_says() {
    let mut random = Random::new(seed());
    let mut busy = Busy::new(random.next());
    let mut engine = Engine::new(LIMITS);
    let tiny = EngineLimits {
        orders: 1,
        client_order_ids: 1,
        price_pages: 1,
        instruments: 1,
        firms: 1,
        sessions: 1,
        quotes: 1,
        quotes_per_firm: 1,
        protection_groups: 1,
        protection_groups_per_firm: 1,
        risk_limits: 1,
        accounts: 1,
    };
    let mut others = [tiny, larger()].map(Engine::new);
    let (mut events, mut again) = (Vec::new(), Vec::new());
    let (mut changed, mut refused) = (0, 0);
    for at in 0..number("COMMANDS").unwrap_or(20_000) {
        let asked = match (at, random.below(100)) {
            // The first is its genesis.
            (1, _) => Some(LIMITS),
            (2.., 0) => Some(LIMITS),
            (2.., 1) => Some(larger()),
            (2.., 2) => Some(EngineLimits {
                orders: 1 + random.below(u64::from(LIMITS.orders)) as u32,
                price_pages: 1 + random.below(u64::from(LIMITS.price_pages)) as u32,
                risk_limits: 1 + random.below(8) as u32,
                ..LIMITS
            }),
            _ => None,
        };
        let command = match asked {
            None => busy.next(&engine),
            Some(limits) => {
                let mut command = Command::new(SetCapacities::of(&limits));
                command.header.sequence.0 = engine.sequence().0 + 1;
                command.header.sequenced_at = engine.sequenced_at();
                words(&command.to_bytes())
            }
        };
        apply(&mut engine, &command, &mut events);
        let mut done = false;
        venue::for_each_event(&events, |_, body| match body {
            EventBody::CapacitiesSet(_) => done = true,
            EventBody::DefinitionRefused(_) if asked.is_some() => refused += 1,
            _ => {}
        });
        if let Some(limits) = asked.filter(|_| done) {
            changed += 1;
            assert_eq!(engine.limits(), limits);
        }
        busy.saw(&events);
        for other in &mut others {
            apply(other, &command, &mut again);
            assert!(again == events, "other events in another engine at {at}");
        }
    }
    println!("{changed} changes of capacities, {refused} refused");
    assert!(changed > 20 && refused > 20, "{changed} and {refused}");
    let state = engine.save().unwrap();
    for other in others {
        assert!(other.save().unwrap() == state, "another state");
    }
}

/// Rules of a newer build are no rules of this one: neither in a log nor in a snapshot.
#[test]
fn rules_of_a_newer_build_are_refused() {
    let mut engine = Driver::world(LIMITS, 1, 1).engine;
    let mut command = Command::new(SetCapacities {
        rules: RULES + 1,
        ..SetCapacities::of(&LIMITS)
    });
    command.header.sequence.0 = engine.sequence().0 + 1;
    let bytes = words(&command.to_bytes());
    let before = engine.save().unwrap();
    assert_eq!(
        engine.replay_bytes(bytes.as_bytes(), &mut Vec::new()),
        Err(CommandError::Rules(RULES + 1))
    );
    assert!(engine.save().unwrap() == before);
    let mut newer = before;
    newer[8..12].copy_from_slice(&(RULES + 1).to_le_bytes());
    assert_eq!(
        Engine::restore(LIMITS, &newer).err(),
        Some(SnapshotError::Rules(RULES + 1))
    );
}

type Shrink = fn(&mut EngineLimits);

#[test]
fn less_room_than_is_needed_is_refused_by_name() {
    let fewer: [(&str, Shrink); 10] = [
        ("orders", |limits| limits.orders = 8),
        ("client order ids", |limits| {
            (limits.orders, limits.client_order_ids) = (200, 200);
        }),
        ("price levels", |limits| limits.price_pages = 1),
        ("instruments", |limits| limits.instruments = 2),
        ("firms", |limits| limits.firms = 1),
        ("sessions", |limits| limits.sessions = 4),
        ("quotes", |limits| limits.quotes = 1),
        ("risk limits", |limits| limits.risk_limits = 1),
        ("accounts", |limits| limits.accounts = 1),
        ("protection groups", |limits| limits.protection_groups = 1),
    ];
    let mut missing: Vec<_> = fewer.into();
    let mut busy = Busy::new(seed());
    let mut engine = Engine::new(LIMITS);
    let mut events = Vec::new();
    // Each of them is short at some time.
    while !missing.is_empty() {
        assert!(engine.sequence().0 < 200_000, "{missing:?}");
        for _ in 0..100 {
            let command = busy.next(&engine);
            apply(&mut engine, &command, &mut events);
            busy.saw(&events);
        }
        let bytes = engine.save().unwrap();
        missing.retain(|(what, shrink)| {
            let mut limits = LIMITS;
            shrink(&mut limits);
            match Engine::restore(limits, &bytes) {
                Err(SnapshotError::Limit(named)) => named != *what,
                Err(other) => panic!("{what}: {other}"),
                Ok(_) => true,
            }
        });
    }
}

/// What counts is what is open: places of orders and quotes that were used once and are free again can be done without,
/// and who goes on in fewer goes on like one that is restored there.
#[test]
fn fewer_places_are_enough_for_what_is_open() {
    let mut random = Random::new(seed() ^ 0xF1A7);
    let mut busy = Busy::new(seed());
    let mut engine = Engine::new(LIMITS);
    let (mut events, mut others) = (Vec::new(), Vec::new());
    // Rounds in which places of orders and of quotes were left out, and rounds in which something was in them.
    let (mut left_out, mut needed) = ([0; 2], 0);
    while left_out.iter().any(|&rounds| rounds < 10) || needed < 10 {
        assert!(engine.sequence().0 < 400_000, "{left_out:?} {needed}");
        for _ in 0..60 {
            let command = busy.next(&engine);
            apply(&mut engine, &command, &mut events);
            busy.saw(&events);
        }
        let mut limits = LIMITS;
        let which = random.below(2) as usize;
        match which {
            0 => limits.orders = 1 + random.below(u64::from(LIMITS.orders)) as u32,
            _ => limits.quotes = 1 + random.below(u64::from(LIMITS.quotes)) as u32,
        }
        let mut smaller = match engine.with_room_for(limits) {
            Ok(smaller) => smaller,
            Err(SnapshotError::Limit("orders" | "quotes")) => {
                needed += 1;
                continue;
            }
            Err(other) => panic!("{other}"),
        };
        let all = engine.save().unwrap();
        let is_all = Engine::restore(limits, &all).is_ok();
        left_out[which] += u64::from(!is_all);
        assert_eq!(smaller.open_orders(), engine.open_orders());
        let bytes = smaller.save().unwrap();
        let mut again = Engine::restore(limits, &bytes).unwrap();
        assert_eq!(again.state_hash(), smaller.state_hash());
        for _ in 0..40 {
            let command = busy.next(&smaller);
            apply(&mut smaller, &command, &mut events);
            apply(&mut again, &command, &mut others);
            assert!(events == others);
            busy.saw(&events);
        }
        assert!(again.save() == smaller.save());
        engine = smaller.with_room_for(LIMITS).unwrap();
    }
}

/// An id whose order ended is answered as before, wherever the order was.
#[test]
fn ids_of_orders_in_places_that_are_gone_are_answered_as_before() {
    const MAKER: SessionId = SessionId(1);
    let mut driver = Driver::world(LIMITS, 1, 1);
    let out = &mut Vec::new();
    let order = |id: u64| venue::enter(id, 1, 1, 0, 100, 1);
    for id in 1..=20 {
        driver.apply(MAKER, order(id), out);
    }
    // The order that stays is in the first place.
    for id in 2..=20 {
        driver.apply(MAKER, venue::cancel(100 + id, id), out);
    }
    let limits = EngineLimits {
        orders: 2,
        ..LIMITS
    };
    driver.engine = driver.engine.with_room_for(limits).unwrap();
    let reason = |driver: &mut Driver, command: Result<u64, (u64, u64)>| {
        let mut events = Vec::new();
        match command {
            Ok(id) => driver.apply(MAKER, order(id), &mut events),
            Err((id, original)) => driver.apply(MAKER, venue::cancel(id, original), &mut events),
        }
        let mut reason = None;
        venue::for_each_event(&events, |header, _| reason = Some(header.reason));
        reason.unwrap()
    };
    for id in 2..=20 {
        let late = reason(&mut driver, Err((200 + id, id)));
        assert_eq!(late, Reason::TooLateToCancel.code(), "{id}");
        let twice = reason(&mut driver, Ok(id));
        assert_eq!(twice, Reason::DuplicateClientOrderId.code(), "{id}");
    }
    assert_eq!(reason(&mut driver, Ok(21)), Reason::None.code());
    let full = reason(&mut driver, Ok(22));
    assert_eq!(full, Reason::OrderCapacity.code());
    let canceled = reason(&mut driver, Err((221, 1)));
    assert_eq!(canceled, Reason::CanceledByRequest.code());
    assert_eq!(reason(&mut driver, Ok(23)), Reason::None.code());
}

/// Cut anywhere, or with anything behind it, it is none.
#[test]
fn a_part_of_a_snapshot_is_none() {
    let mut busy = Busy::new(seed());
    let mut engine = Engine::new(LIMITS);
    let mut events = Vec::new();
    for _ in 0..400 {
        let command = busy.next(&engine);
        apply(&mut engine, &command, &mut events);
        busy.saw(&events);
    }
    let mut bytes = engine.save().unwrap();
    for length in (0..bytes.len()).step_by(61) {
        assert!(
            Engine::restore(LIMITS, &bytes[..length]).is_err(),
            "{length} bytes"
        );
    }
    bytes.extend([0; 8]);
    assert_eq!(
        Engine::restore(LIMITS, &bytes).err(),
        Some(SnapshotError::Length)
    );
    bytes.truncate(bytes.len() - 8);
    bytes[0] += 1;
    assert_eq!(
        Engine::restore(LIMITS, &bytes).err(),
        Some(SnapshotError::Version(SNAPSHOT_VERSION + 1))
    );
}

/// Whoever asks, and for what numbers.
#[test]
fn capacities_that_no_engine_can_have_are_an_error() {
    let engine = Engine::new(LIMITS);
    let mut impossible = LIMITS;
    impossible.client_order_ids = impossible.orders - 1;
    let made = engine.with_room_for(impossible);
    assert_eq!(made.err(), Some(SnapshotError::Capacities));
    let bytes = engine.save().unwrap();
    impossible = LIMITS;
    impossible.orders = 0;
    let made = Engine::restore(impossible, &bytes);
    assert_eq!(made.err(), Some(SnapshotError::Capacities));
}

/// No tick is too large for a table, and so for a snapshot.
#[test]
fn whatever_can_be_defined_can_be_restored() {
    let mut driver = Driver::new(LIMITS);
    let out = &mut Vec::new();
    let genesis = Genesis {
        log_id: 1,
        ..Genesis::default()
    };
    driver.apply(SessionId(0), genesis, out);
    let mut table = DefineTickTable {
        table: 64,
        ..DefineTickTable::default()
    };
    table.steps[0] = TickStep {
        from: Price(0),
        tick: u64::MAX,
    };
    driver.apply(SessionId(0), table, out);
    venue::for_each_event(out, |_, body| {
        assert!(!matches!(body, EventBody::DefinitionRefused(_)));
    });
    let bytes = driver.engine.save().unwrap();
    assert!(Engine::restore(LIMITS, &bytes).is_ok());
}

/// What a slot's last order left behind is no state: an engine that never saw it saves the same.
#[test]
fn what_orders_left_behind_is_not_saved() {
    let mut busy = Busy::new(seed() + 1);
    let mut engine = Engine::new(LIMITS);
    let mut events = Vec::new();
    let mut again = Engine::new(LIMITS);
    for number in 0..30_000 {
        let command = busy.next(&engine);
        apply(&mut engine, &command, &mut events);
        busy.saw(&events);
        apply(&mut again, &command, &mut events);
        if number % 997 == 0 {
            again = Engine::restore(LIMITS, &again.save().unwrap()).unwrap();
        }
    }
    assert!(again.save() == engine.save());
}

#[test]
fn a_million_resting_orders_take_this_long() {
    const ORDERS: u32 = 1_000_000;
    let limits = EngineLimits {
        orders: 1 << 20,
        client_order_ids: 1 << 21,
        instruments: 128,
        price_pages: 1 << 14,
        ..EngineLimits::default()
    };
    let mut driver = Driver::world(limits, 100, 1);
    let mut out = Vec::new();
    for id in 1..=u64::from(ORDERS) {
        out.clear();
        let side = 1 + (id % 2) as u8;
        let away = (id / 200 % 1_000) as i64;
        let price = if side == 1 {
            99_000 - away
        } else {
            101_000 + away
        };
        let order = venue::enter(id, 1 + (id % 100) as u32, side, 1, price, 1 + id % 50);
        driver.apply(SESSION, order, &mut out);
    }
    assert_eq!(driver.engine.open_orders(), ORDERS);
    let started = Instant::now();
    let bytes = driver.engine.save().unwrap();
    let saved = started.elapsed();
    let started = Instant::now();
    let again = Engine::restore(limits, &bytes).unwrap();
    let restored = started.elapsed();
    println!(
        "{ORDERS} resting orders: {} MB, saved in {saved:?}, restored in {restored:?}",
        bytes.len() / 1_000_000
    );
    assert_eq!(again.state_hash(), driver.engine.state_hash());
}
