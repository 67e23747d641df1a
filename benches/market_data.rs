//! What market data costs: its agent, and the core that writes its events for one reader more.
//!
//! * `engine`: [`Engine::apply_bytes`] with its events into the event ring.
//! * `agent`: the same events out of the ring into books, trades and statistics, published; nobody
//!   reads. `apply` is that without ring and publications.
//! * `read`: [`Reader`] passes over the same events, the floor.
//!
//! Blocks of engine and agent take turns on one thread, so both see the same events; ns and millions
//! a second are by the event, the median over blocks of 10,000 commands.
//!
//! `--instructions`: instructions a command of the core with one to four readers of its ring. The
//! ring is a sixteenth of the venue's, so what a lap costs is seen sixteen times as often.
//!
//! `cargo bench --bench market_data [-- --instructions] [FILTER]`

#[path = "support/ours.rs"]
mod ours;
mod support;
#[path = "../tests/support/venue.rs"]
#[allow(dead_code)]
mod venue;
#[path = "../tests/support/workload.rs"]
mod workload;

use std::time::Instant;

use ours::{Buffer, COMMANDS, Found, LINES, Line, Prepared, engine, prepare};
use trading_engine::agent::Agent;
use trading_engine::engine::event::{self, EventSink};
use trading_engine::engine::{Engine, Progress};
use trading_engine::limits::{STEP_BYTES_MAX, STEP_EVENTS_MAX};
use trading_engine::market_data::agent::MarketDataAgent;
use trading_engine::market_data::feed::Life;
use trading_engine::market_data::market::Market;
use trading_engine::ring::{self, Cursor, Reader, Writer};

const BLOCK: usize = 10_000;
/// A block's events fit.
const RING: usize = 64 << 20;
/// For instructions.
const SMALL_RING: usize = 1 << 20;
/// Commands between two publications of the core.
const BATCH: usize = 64;

/// The engine agent's way into the ring.
struct RingSink<'a>(&'a mut Writer);

impl EventSink for RingSink<'_> {
    #[inline]
    fn write(&mut self, parts: [&[u8]; 3]) {
        self.0
            .write(&[&[0; 8], parts[0], parts[1], parts[2]])
            .expect("Invariant: a step's room was checked before it");
    }
}

/// One command, as the engine agent does it.
#[inline]
fn apply(engine: &mut Engine, bytes: &[u8], ring: &mut Writer) {
    let room = STEP_BYTES_MAX + STEP_EVENTS_MAX * 8;
    assert!(ring.has_room_for(STEP_EVENTS_MAX, room), "the ring is read");
    let mut progress = engine
        .apply_bytes(bytes, &mut RingSink(ring))
        .expect("a command");
    while progress == Progress::More {
        assert!(ring.has_room_for(STEP_EVENTS_MAX, room), "the ring is read");
        progress = engine.resume(&mut RingSink(ring));
    }
}

/// A block of commands.
fn run(engine: &mut Engine, prepared: &Prepared, from: usize, count: usize, ring: &mut Writer) {
    let mut found = Found::default();
    for at in from..from + count {
        let at = prepared.prefill + at;
        prepared.look_ahead(engine, at, &mut found);
        apply(engine, prepared.log.get(at), ring);
        if at.is_multiple_of(BATCH) {
            ring.publish();
        }
    }
    ring.publish();
}

fn market_of(engine: &Engine) -> Market {
    let mut orders = Vec::new();
    engine.open_orders_in_full(|order| orders.push(*order));
    let instruments: Vec<_> = engine.instrument_states().collect();
    let mut market = Market::default();
    market.begin_with(
        engine.sequence(),
        engine.trading_day(),
        engine.first_trade_of_day(),
        &instruments,
        &orders,
    );
    market
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Passes over all there is; how many events.
fn read(reader: &mut Reader, mut each: impl FnMut(&[u8])) -> u64 {
    let mut events = 0;
    while let Some(record) = reader.peek() {
        each(&record[8..]);
        reader.advance();
        events += 1;
    }
    reader.release();
    events
}

fn measure(line: &Line) {
    let prepared = prepare(line, COMMANDS);
    let mut engine = engine(&prepared, &mut Buffer::new());
    let (mut ring, mut readers) = ring::channel(RING, 3);
    let (mut of_floor, mut of_apply) = (readers.pop().unwrap(), readers.pop().unwrap());
    let (durable, applied) = (Cursor::new(0), Cursor::new(0));
    let life = Life {
        log_id: 1,
        epoch: 1,
        instruments: prepared.limits.instruments,
    };
    let (mut agent, market_data) = MarketDataAgent::new(
        readers.pop().unwrap(),
        durable.clone(),
        applied.clone(),
        market_of(&engine),
        life,
    );
    let mut market = market_of(&engine);
    let mut times: [Vec<f64>; 4] = Default::default();
    let mut events = 0;
    for start in (0..COMMANDS).step_by(BLOCK) {
        let before = market_data.events();
        let started = Instant::now();
        run(&mut engine, &prepared, start, BLOCK, &mut ring);
        let of_engine = started.elapsed();
        applied.publish(engine.sequence().0);
        durable.publish(engine.sequence().0);
        let started = Instant::now();
        while agent.do_work() > 0 {}
        let of_agent = started.elapsed();
        let started = Instant::now();
        read(&mut of_apply, |bytes| {
            if let Ok((header, body)) = event::read(bytes) {
                market.apply(header, &body);
            }
        });
        market.keep_trades(0);
        let of_market = started.elapsed();
        let started = Instant::now();
        let count = read(&mut of_floor, |bytes| {
            std::hint::black_box(event::read(bytes).is_ok());
        });
        let of_read = started.elapsed();
        assert_eq!(market_data.events() - before, count, "the agent saw it all");
        events += count;
        for (times, took) in times
            .iter_mut()
            .zip([of_engine, of_agent, of_market, of_read])
        {
            times.push(took.as_nanos() as f64 / count as f64);
        }
    }
    assert_eq!(engine.state_hash(), prepared.state_hash, "{}", line.name);
    let [of_engine, of_agent, of_market, of_read] = times.each_mut().map(|times| median(times));
    println!(
        "{:<24}{of_engine:>9.1}{of_agent:>9.1}{of_market:>9.1}{of_read:>9.1}{:>11.2}{:>9.2}{:>9.2} x{:>8.2}",
        line.name,
        1e3 / of_engine,
        1e3 / of_agent,
        of_engine / of_agent,
        events as f64 / COMMANDS as f64,
    );
}

/// What a child under callgrind does: `2 mixed 1 1000` and a count.
fn one(name: &str, count: usize) {
    let (readers, name) = name.split_once(' ').expect("readers and line");
    let line = LINES.iter().find(|line| line.name == name).expect("a line");
    let prepared = prepare(line, support::INSTRUCTION_COUNTS[1] as usize);
    let mut engine = engine(&prepared, &mut Buffer::new());
    let (mut ring, readers) = ring::channel(SMALL_RING, readers.parse().expect("a number"));
    // Readers that are gone hold nobody back, and are looked at like others.
    drop(readers);
    run(&mut engine, &prepared, 0, count, &mut ring);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, count] = &arguments[..]
        && flag == "--one"
    {
        return one(name, count.parse().expect("a count"));
    }
    let instructions = arguments.iter().any(|a| a == "--instructions");
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let chosen = LINES
        .iter()
        .filter(|line| filter.is_none_or(|word| line.name.contains(word.as_str())));
    if instructions {
        println!("instructions a command of the core, by the readers of its event ring");
        println!("{:<24}{:>9}{:>9}{:>9}{:>9}", "", 1, 2, 3, 4);
        for line in chosen {
            print!("{:<24}", line.name);
            for readers in 1..=4 {
                print!(
                    "{:>9.2}",
                    support::each(&format!("{readers} {}", line.name))
                );
            }
            println!();
        }
        return;
    }
    println!("by the event: stream, instruments, resting orders");
    println!(
        "{:<24}{:>9}{:>9}{:>9}{:>9}{:>11}{:>9}{:>11}{:>8}",
        "",
        "engine ns",
        "agent ns",
        "apply ns",
        "read ns",
        "engine M/s",
        "agent",
        "ratio",
        "ev/cmd"
    );
    chosen.for_each(measure);
}
